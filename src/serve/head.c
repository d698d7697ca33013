/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/head.h"

#include "base/text.h"

#include <string.h>

/* RFC 9110: what a name is made of */
#define TOKEN G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "!#$%&'*+-.^_`|~"
#define LENGTH_DIGITS_MAX 18 /* of Content-Length: below 2^63 */

static const struct {
    const char *name;
    gsize length, place;
    bool once;
} known[] = {
#define KNOWN(name, member, once)                                                                                      \
    {                                                                                                                  \
        (name), sizeof(name) - 1, G_STRUCT_OFFSET(Head, member), (once)                                                \
    }
    KNOWN("Host", host, true),
    KNOWN("Origin", origin, true),
    KNOWN("Sec-Fetch-Site", fetch_site, false),
    KNOWN("Authorization", authorization, true),
    KNOWN("Accept-Encoding", accept_encoding, false),
    KNOWN("If-None-Match", if_none_match, false),
    KNOWN("Last-Event-ID", last_event_id, false),
    KNOWN("Content-Length", content_length, true),
    KNOWN("Transfer-Encoding", transfer_encoding, true),
    KNOWN("Expect", expect, false),
#undef KNOWN
};

void head_take(Head *head, const char *name, const char *value)
{
    gsize length = strlen(name);
    if (length == 0 || strspn(name, TOKEN) != length)
        head->odd_name = true;
    for (guint i = 0; i < G_N_ELEMENTS(known); i++) {
        if (known[i].length != length || g_ascii_strncasecmp(known[i].name, name, length) != 0)
            continue;
        const char **member = G_STRUCT_MEMBER_P(head, known[i].place);
        if (*member && known[i].once)
            head->doubled = true;
        *member = value ? value : "";
        return;
    }
}

static const char *problem_of(const Head *head, const char *version)
{
    const char *length = head->content_length, *encoding = head->transfer_encoding;
    if (head->odd_name)
        return "a header's name holds characters that no name has";
    if (head->doubled)
        return "a header that may be there once is there twice";
    if (length && encoding)
        return "Content-Length beside Transfer-Encoding";
    if (length && (!*length || strlen(length) > LENGTH_DIGITS_MAX || length[strspn(length, "0123456789")] != '\0'))
        return "Content-Length is no number of bytes";
    if (encoding && strcmp(version, "HTTP/1.0") == 0)
        return "Transfer-Encoding in a request of HTTP/1.0";
    if (!head->host && strcmp(version, "HTTP/1.1") == 0)
        return "a request of HTTP/1.1 needs Host";
    return NULL;
}

bool head_check(const Head *head, const char *version, Reply **ret_reply)
{
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) {
        *ret_reply = reply_error(505, "HTTP/1.1 and HTTP/1.0 are understood here");
        return false;
    }
    const char *problem = problem_of(head, version);
    if (problem) {
        *ret_reply = reply_error(400, "%s", problem);
        return false;
    }
    if (head->transfer_encoding && g_ascii_strcasecmp(head->transfer_encoding, "chunked") != 0) {
        *ret_reply = reply_error(501, "of transfer encodings only chunked is understood here");
        return false;
    }
    return true;
}

guint64 head_body_length(const Head *head)
{
    guint64 length = 0;
    if (head->content_length)
        text_read_u64(head->content_length, &length);
    return length;
}

bool head_has_body(const Head *head)
{
    return head->transfer_encoding || head_body_length(head) > 0;
}
