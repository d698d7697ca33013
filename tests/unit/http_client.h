/* SPDX-License-Identifier: Apache-2.0
 * A client that sends what it is told to, byte for byte, and reads answers. Whatever takes longer than HTTP_PATIENCE_S
 * fails the test. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define HTTP_PATIENCE_S 20

typedef struct {
    guint status;
    char *head; /* all of it, up to the empty line */
    GString *body;
    bool closes; /* the connection is at its end */
} HttpAnswer;

int http_connect(guint port);
void http_send(int fd, const char *bytes, gsize length); /* a connection that was closed meanwhile is no failure */
void http_send_text(int fd, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* NULL: the connection ended without one. `has_body`: false of an answer to HEAD. */
HttpAnswer *http_read(int fd, bool has_body);
void http_answer_free(HttpAnswer *answer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpAnswer, http_answer_free)
char *http_header(const HttpAnswer *answer, const char *name); /* owned by the caller; NULL: it has none */

/* The next bytes of a body that has no end, up to and with `end`. */
char *http_read_until(int fd, const char *end);
bool http_is_ended(int fd); /* waits for the end; false: more bytes came */

/* One request on a connection of its own; `headers`: "" or lines with their \r\n. */
HttpAnswer *http_ask(guint port, const char *method, const char *target, const char *headers, const char *body);
