/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define IDENT "one-telemetry"
#define CUT "…"

static struct {
    GMutex lock;
    const char *program;
    LogTarget targets;
    LogLevel up_to;
} settings = {.program = IDENT, .targets = LOG_TO_STDERR, .up_to = LOG_LEVEL_INFO};

void log_init(const char *program, LogTarget targets, LogLevel up_to)
{
    g_mutex_lock(&settings.lock);
    settings.program = program;
    settings.targets = targets;
    settings.up_to = up_to;
    if (targets & LOG_TO_SYSLOG)
        openlog(IDENT, LOG_PID, LOG_DAEMON);
    g_mutex_unlock(&settings.lock);
}

/* --- making it one line --- */

/* FORMAT holds the marks that turn the direction of writing round, with which a line can be made to read as another. */
static bool must_be_escaped(gunichar c)
{
    switch (g_unichar_type(c)) {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
        return true;
    default:
        return false;
    }
}

/* Appends one character, or one byte that is none. Returns what comes after it. */
static const char *append_next(GString *line, const char *text, const char *end)
{
    gunichar c = *text ? g_utf8_get_char_validated(text, end - text) : 0;
    bool valid = c != (gunichar)-1 && c != (gunichar)-2;
    const char *next = valid ? text + MAX(1, g_unichar_to_utf8(c, NULL)) : text + 1;

    if (c == '\n')
        g_string_append(line, "\\n");
    else if (valid && !must_be_escaped(c))
        g_string_append_len(line, text, next - text);
    else
        for (const char *byte = text; byte < next; byte++)
            g_string_append_printf(line, "\\x%02X", (guchar)*byte);
    return next;
}

char *log_quote(const char *text, gsize length, gsize limit)
{
    const char *end = text + length;
    GString *line = g_string_sized_new(MIN(length, limit) + 1);
    gsize keep = 0; /* of the line when it has to be cut */

    while (text < end) {
        text = append_next(line, text, end);
        if (line->len > limit) {
            g_string_truncate(line, keep);
            g_string_append(line, CUT);
            break;
        }
        if (line->len + strlen(CUT) <= limit)
            keep = line->len;
    }
    return g_string_free(line, FALSE);
}

/* --- writing it --- */

static int syslog_priority(LogLevel level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return LOG_ERR;
    case LOG_LEVEL_WARNING:
        return LOG_WARNING;
    case LOG_LEVEL_INFO:
        return LOG_INFO;
    default:
        return LOG_DEBUG;
    }
}

static void write_line(LogLevel level, LogTarget targets, const char *text)
{
    g_autofree char *line = log_quote(text, strlen(text), LOG_LINE_MAX);
    if (targets & LOG_TO_SYSLOG)
        syslog(syslog_priority(level), "%s", line);
    if (targets & LOG_TO_STDERR) {
        /* In one write, so that lines of several threads do not mix. */
        g_autofree char *with_end = g_strconcat(line, "\n", NULL);
        file_write_all(STDERR_FILENO, with_end, strlen(with_end));
    }
}

void log_message(LogLevel level, const char *format, ...)
{
    int errno_before = errno;
    g_mutex_lock(&settings.lock);
    const char *program = settings.program;
    LogTarget targets = settings.targets;
    bool wanted = level <= settings.up_to;
    g_mutex_unlock(&settings.lock);

    if (wanted) {
        va_list arguments;
        va_start(arguments, format);
        g_autofree char *message = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        g_autofree char *text = g_strdup_printf("%s: %s", program, message);
        write_line(level, targets, text);
    }
    errno = errno_before;
}
