/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's etc/im/kvm-probes.d/probe_db.conf, which its state probe reads: YAML, of which we read lines
 * ":key: value". Not by base/yaml.h, which takes a file as a whole or not: what it can't read, a list maybe that is no
 * option of this probe's, must not make the database another one. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define PROBE_DB_CONF_FILE_MAX (256 * 1024) /* bytes */

typedef struct {
    guint64 times_missing; /* 0 … 10^6 */
    guint64 obsolete_s;
    char *base_path; /* the directory of the state probe's database; NULL: the usual one */
} ProbeDbConf;

/* `complaints`: a line "line 7: …" is added for what can't be read, as which what OpenNebula ships counts
 * (:times_missing: 5, :obsolete: 720); without an option the state probe's own default does (3, 720). Keys that are
 * none of these are passed over, and so is :sync:, which it takes from elsewhere. Of a key written twice the last
 * counts. */
ProbeDbConf *probe_db_conf_read(const char *text, gsize length, GPtrArray *complaints);
void probe_db_conf_free(ProbeDbConf *conf);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ProbeDbConf, probe_db_conf_free)

/* That of the tree that the probe at this path is installed in; defaults where there is no such tree or file. A
 * complaint begins with the file's path. */
ProbeDbConf *probe_db_conf_load(const char *program, GPtrArray *complaints);
