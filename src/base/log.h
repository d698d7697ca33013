/* SPDX-License-Identifier: Apache-2.0
 * Messages for the operator, one line each, to syslog (ident "one-telemetry", facility daemon) and, when run by hand,
 * to standard error. Thread-safe. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG } LogLevel;

typedef enum {
    LOG_TO_SYSLOG = 1 << 0,
    LOG_TO_STDERR = 1 << 1, /* as "program: message" */
} LogTarget;

/* `program` ("vm_monitor") is kept, not copied. Before the first call messages go to standard error only. */
void log_init(const char *program, LogTarget targets, LogLevel up_to);

/* Text from anywhere as one line that a terminal can show: newlines and other control characters (format characters and
 * bytes that are no UTF-8 too) are written as \n, \xNN; at most `limit` bytes, cut on a UTF-8 boundary and ended with
 * "…". `limit` is at least 3, `text` needs no NUL at its end. Owned by the caller. */
char *log_quote(const char *text, gsize length, gsize limit);

/* One line "program: message", made by log_quote, of at most LOG_LINE_MAX bytes. Leaves errno as it is. */
#define LOG_LINE_MAX 2048
void log_message(LogLevel level, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* A state of affairs that goes on over the cycles of a program that runs once in each is logged when it begins and once
 * in so many of them. */
#define LOG_REMIND_CYCLES 120

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)
