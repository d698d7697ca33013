/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "serve/accept.h"

static void test_gzip(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool takes;
    } headers[] = {
        {NULL, false},
        {"", false},
        {"gzip", true},
        {"GZip", true},
        {"x-gzip", true},
        {"deflate, gzip, br", true},
        {"deflate,br", false},
        {"gzipped", false},
        {"gzip;q=1", true},
        {"gzip ; q=0.5", true},
        {"gzip;q=0", false},
        {"gzip;q=0.000", false},
        {"gzip;q=0.001", true},
        {"gzip; Q=0", false},
        {"gzip;q=0, br", false},
        {"gzip;q=", false},
        {"gzip;nonsense", false},
        {"*", true},
        {"*;q=0", false},
        {"*, gzip;q=0", false},
        {"*;q=0, gzip", true},
        {"identity;q=0, *;q=0.1", true},
        {",,, gzip", true},
        {";;;", false},
        {"br;q=0.0, identity", false},
    };
    for (guint i = 0; i < G_N_ELEMENTS(headers); i++)
        CHECK(accept_gzip(headers[i].header) == headers[i].takes, "%s", headers[i].header);
}

static void test_tags(void **state)
{
    (void)state;
    static const struct {
        const char *header, *tag;
        bool has;
    } headers[] = {
        {NULL, "\"a\"", false},
        {"", "\"a\"", false},
        {"\"a\"", NULL, false},
        {"\"a\"", "\"a\"", true},
        {"W/\"a\"", "\"a\"", true},
        {"\"a\"", "W/\"a\"", true},
        {"W/\"a\"", "W/\"a\"", true},
        {"\"b\", W/\"a\"", "W/\"a\"", true},
        {"\"b\",\"c\"", "W/\"a\"", false},
        {"\"b,\", \"a\"", "\"a\"", true},
        {"\"b, \"a\"", "\"a\"", false},
        {"*", "\"a\"", true},
        {" * ", "\"a\"", true},
        {"*x", "\"a\"", false},
        {"\"*\"", "\"a\"", false},
        {"a", "\"a\"", false},
        {"\"a", "\"a\"", false},
        {"\"aa\"", "\"a\"", false},
        {"w/\"a\"", "\"a\"", false},
    };
    for (guint i = 0; i < G_N_ELEMENTS(headers); i++)
        CHECK(accept_has_tag(headers[i].header, headers[i].tag) == headers[i].has, "%s", headers[i].header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
