/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/finding.h"
#include "base/file.h"
#include "base/log.h"

#include <string.h>

#define DOING 'd' /* in a report, in the place of a verdict */
#define SAFE_WORD G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_./:@%+=,"

const char *verdict_word(Verdict verdict)
{
    static const char *const words[N_VERDICTS] = {"ok", "skipped", "warning", "error"};
    return words[verdict];
}

static Finding *make(Verdict verdict, const char *mend, const char *text)
{
    Finding *finding = g_new(Finding, 1);
    *finding = (Finding){verdict, log_quote(text, strlen(text), FINDING_TEXT_MAX), g_strdup(mend)};
    return finding;
}

Finding *finding_new(Verdict verdict, const char *mend, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return make(verdict, mend, text);
}

Finding *finding_ok(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return make(VERDICT_OK, NULL, text);
}

void finding_free(Finding *finding)
{
    if (!finding)
        return;
    g_free(finding->text);
    g_free(finding->mend);
    g_free(finding);
}

GPtrArray *findings_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)finding_free);
}

char *finding_shell_word(const char *text)
{
    return *text && text[strspn(text, SAFE_WORD)] == '\0' ? g_strdup(text) : g_shell_quote(text);
}

/* --- reports: a byte for the verdict, then text and mend, each with a NUL behind it; an empty mend is none --- */

static void write_record(const Report *to, char kind, const Finding *finding)
{
    g_autoptr(GString) record = g_string_new(NULL);
    g_string_append_c(record, kind);
    g_string_append_len(record, finding->text, (gssize)strlen(finding->text) + 1);
    const char *mend = finding->mend ? finding->mend : "";
    g_string_append_len(record, mend, (gssize)strlen(mend) + 1);
    file_write_all(to->fd, record->str, record->len);
}

void report(Report *to, Finding *finding)
{
    write_record(to, (char)('0' + (int)finding->verdict), finding);
    finding_free(finding);
}

void report_all(Report *to, GPtrArray *findings)
{
    for (guint i = 0; i < findings->len; i++)
        report(to, g_steal_pointer(&findings->pdata[i]));
    g_ptr_array_unref(findings);
}

void report_doing(Report *to, const char *mend, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autoptr(Finding) doing = make(VERDICT_ERROR, mend, text);
    write_record(to, DOING, doing);
}

static const char *text_end(const char *at, const char *end)
{
    return at < end ? memchr(at, '\0', (gsize)(end - at)) : NULL;
}

bool report_read(const char *data, gsize length, GPtrArray *findings, Finding **ret_doing)
{
    *ret_doing = NULL;
    const char *end = data + length;
    for (const char *at = data; at < end;) {
        const char kind = *at, *text = at + 1, *stop = text_end(text, end);
        const char *mend = stop ? stop + 1 : end, *mend_stop = text_end(mend, end);
        if (!mend_stop) /* killed in the middle of it */
            return true;
        if (kind != DOING && (kind < '0' || kind >= '0' + N_VERDICTS))
            return false;
        Verdict verdict = kind == DOING ? VERDICT_ERROR : (Verdict)(kind - '0');
        Finding *finding = make(verdict, *mend ? mend : NULL, text);
        if (kind != DOING) {
            g_ptr_array_add(findings, finding);
        } else {
            finding_free(*ret_doing);
            *ret_doing = finding;
        }
        at = mend_stop + 1;
    }
    return true;
}
