/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/judges.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

/* What our contract with OpenNebula was read from, and since when it holds (docs/opennebula.md). */
#define OLDEST_MAJOR 5
#define OLDEST_MINOR 12
#define NEWEST_MAJOR 7

Finding *judge_user(const char *user, uid_t user_id, uid_t called_by)
{
    g_autofree char *again = g_strdup_printf("sudo -u %s one-telemetry doctor", user);
    if (user_id == NO_USER)
        return finding_new(VERDICT_ERROR,
                           "# OpenNebula's packages make it: opennebula on a front-end, opennebula-node-kvm on a host\n"
                           "# another one runs it? one-telemetry doctor --user NAME",
                           "there is no user %s, whom OpenNebula runs as; the checks are made as user %u", user,
                           (guint)called_by);
    if (called_by == user_id)
        return finding_ok("called by %s, whom OpenNebula runs as", user);
    if (called_by == 0)
        return finding_ok("called by root: each check is made as %s (uid %u)", user, (guint)user_id);
    return finding_new(
        VERDICT_WARNING, again,
        "called by user %u: whether %s may use libvirt, read its files and reach its hosts is not what is "
        "checked",
        (guint)called_by, user);
}

static bool read_version(const char *text, guint *ret_major, guint *ret_minor)
{
    return text && sscanf(text, "%u.%u", ret_major, ret_minor) == 2; /* NOLINT(cert-err34-c): a number too large is none
                                                                        of theirs either */
}

Finding *judge_opennebula(const char *version)
{
    guint major, minor;
    if (!read_version(version, &major, &minor))
        return finding_new(VERDICT_WARNING, "oned --version", "OpenNebula's version is not known: %s",
                           version ? version : "its tree has no file VERSION");
    if (major < OLDEST_MAJOR || (major == OLDEST_MAJOR && minor < OLDEST_MINOR))
        return finding_new(VERDICT_ERROR, "# upgrade OpenNebula: docs.opennebula.io, Upgrading",
                           "OpenNebula %s: its probes are called otherwise before 5.12", version);
    if (major > NEWEST_MAJOR)
        return finding_new(VERDICT_WARNING, "# see whether a newer one-telemetry names it in its CHANGELOG",
                           "OpenNebula %s is newer than what this was tried with (7.4)", version);
    return finding_ok("OpenNebula %s", version);
}

Finding *judge_clock(bool synchronised, gint64 max_error_us)
{
    if (!synchronised)
        return finding_new(VERDICT_WARNING,
                           "sudo systemctl enable --now chrony    # or chronyd, systemd-timesyncd: one of them",
                           "nothing keeps this machine's clock right: samples of several hosts do not fit together");
    return finding_ok("the clock is kept right, to %.1f ms", (double)max_error_us / 1000);
}

static char *describe_skew(gint64 skew_ms)
{
    if (ABS(skew_ms) < 10000)
        return g_strdup_printf("%.1f s", (double)ABS(skew_ms) / 1000);
    return text_span(ABS(skew_ms) / 1000);
}

Finding *judge_skew(const char *whose, gint64 skew_ms, gint64 within_ms)
{
    gint64 least_ms = ABS(skew_ms) - within_ms; /* that it is wrong by at any rate */
    if (least_ms <= SKEW_WARNING_MS)
        return NULL;
    g_autofree char *span = describe_skew(skew_ms);
    return finding_new(least_ms > SKEW_ERROR_MS ? VERDICT_ERROR : VERDICT_WARNING,
                       "chronyc tracking    # on both; where nothing runs: sudo systemctl enable --now chrony",
                       "%s: its clock is %s %s ours", whose, span, skew_ms > 0 ? "ahead of" : "behind");
}
