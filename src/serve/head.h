/* SPDX-License-Identifier: Apache-2.0
 * The headers of a request that the server itself looks at, and what is wrong with them. Pure. */
#pragma once

#include "serve/http.h"

/* Texts are the caller's; NULL: not sent. */
typedef struct {
    const char *host, *origin, *fetch_site, *authorization;
    const char *accept_encoding, *if_none_match, *last_event_id;
    const char *content_length, *transfer_encoding, *expect;
    bool doubled;  /* one of those above that may be sent but once was sent twice */
    bool odd_name; /* a name that no header can have */
} Head;

void head_take(Head *head, const char *name, const char *value);

/* false: *ret_reply (400, 501, 505) says what is wrong. Whatever two readers of the same bytes (a proxy and we) could
 * take for requests of different lengths is refused, and no request that follows it may be read: request smuggling. */
bool head_check(const Head *head, const char *version, Reply **ret_reply);

/* Once head_check has found it well. */
bool head_has_body(const Head *head);
guint64 head_body_length(const Head *head); /* as announced; 0: none, or in chunks */
