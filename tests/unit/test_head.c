/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "serve/head.h"

#include <string.h>

/* "Name: value|Name: value". Texts live as long as the lines. */
static void take_all(Head *head, char **lines)
{
    for (; *lines && **lines; lines++) {
        char *colon = strstr(*lines, ": ");
        *colon = '\0';
        head_take(head, *lines, colon + 2);
    }
}

static const struct {
    const char *headers, *version;
    guint status; /* 0: well */
    bool has_body;
    guint64 length;
} cases[] = {
    {"Host: x", "HTTP/1.1", 0, false, 0},
    {"", "HTTP/1.0", 0, false, 0},
    {"", "HTTP/1.1", 400, false, 0},
    {"Host: x", "HTTP/2.0", 505, false, 0},
    {"Host: x", "", 505, false, 0},
    {"Host: x|Host: x", "HTTP/1.1", 400, false, 0},
    {"Host: x|HOST: y", "HTTP/1.1", 400, false, 0},
    {"Host: x|content-length: 12", "HTTP/1.1", 0, true, 12},
    {"Host: x|Content-Length: 0", "HTTP/1.1", 0, false, 0},
    {"Host: x|Content-Length: 000", "HTTP/1.1", 0, false, 0},
    {"Host: x|Content-Length: 999999999999999999", "HTTP/1.1", 0, true, 999999999999999999},
    {"Host: x|Content-Length: 1000000000000000000", "HTTP/1.1", 400, false, 0},
    {"Host: x|Content-Length: ", "HTTP/1.1", 400, false, 0},
    {"Host: x|Content-Length: 1,1", "HTTP/1.1", 400, false, 0},
    {"Host: x|Content-Length: +1", "HTTP/1.1", 400, false, 0},
    {"Host: x|Content-Length: 1|Content-Length: 1", "HTTP/1.1", 400, false, 0},
    {"Host: x|Content-Length: 1|Transfer-Encoding: chunked", "HTTP/1.1", 400, false, 0},
    {"Host: x|Transfer-Encoding: chunked", "HTTP/1.1", 0, true, 0},
    {"Host: x|Transfer-Encoding: Chunked", "HTTP/1.1", 0, true, 0},
    {"Host: x|Transfer-Encoding: chunked|Transfer-Encoding: chunked", "HTTP/1.1", 400, false, 0},
    {"Host: x|Transfer-Encoding: gzip, chunked", "HTTP/1.1", 501, false, 0},
    {"Host: x|Transfer-Encoding: ", "HTTP/1.1", 501, false, 0},
    {"Transfer-Encoding: chunked", "HTTP/1.0", 400, false, 0},
    {"Host: x|Content-Length : 1", "HTTP/1.1", 400, false, 0},
    {"Host: x|Tra\x0bnsfer: 1", "HTTP/1.1", 400, false, 0},
    {"Host: x|\xc3\xa4: 1", "HTTP/1.1", 400, false, 0},
    {"Host: x|Authorization: a|Authorization: b", "HTTP/1.1", 400, false, 0},
    {"Host: x|Origin: a|Origin: b", "HTTP/1.1", 400, false, 0},
    {"Host: x|Accept-Encoding: a|Accept-Encoding: b", "HTTP/1.1", 0, false, 0},
};

static void test_check(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Head head = {0};
        Reply *refusal = NULL;
        g_auto(GStrv) lines = g_strsplit(cases[i].headers, "|", -1);
        take_all(&head, lines);
        bool well = head_check(&head, cases[i].version, &refusal);
        CHECK(well == (cases[i].status == 0) && (!refusal || refusal->status == cases[i].status), "%s: %u",
              cases[i].headers, refusal ? refusal->status : 0);
        if (well)
            CHECK(head_has_body(&head) == cases[i].has_body && head_body_length(&head) == cases[i].length, "%s",
                  cases[i].headers);
        reply_free(refusal);
    }
}

static void test_take(void **state)
{
    (void)state;
    Head head = {0};
    char all[] = "host: h|ORIGIN: o|Sec-fetch-Site: s|authorization: a|accept-encoding: e|if-none-match: n|"
                 "last-event-id: i|X-Other: x";
    g_auto(GStrv) lines = g_strsplit(all, "|", -1);
    take_all(&head, lines);
    assert_string_equal(head.host, "h");
    assert_string_equal(head.origin, "o");
    assert_string_equal(head.fetch_site, "s");
    assert_string_equal(head.authorization, "a");
    assert_string_equal(head.accept_encoding, "e");
    assert_string_equal(head.if_none_match, "n");
    assert_string_equal(head.last_event_id, "i");
    assert_null(head.content_length);
    assert_null(head.transfer_encoding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
