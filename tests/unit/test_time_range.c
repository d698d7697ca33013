/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "serve/time_range.h"

#define S G_GINT64_CONSTANT(1000000000)
#define NOW (1700000000 * S)

static const struct {
    const char *text;
    gint64 want; /* -1: none */
} moments[] = {
    {"now", NOW},
    {"-1h", NOW - 3600 * S},
    {"-30s", NOW - 30 * S},
    {"-5", NOW - 5 * S},
    {"-7d", NOW - 7 * 86400 * S},
    {"0", 0},
    {"1700000000", NOW},
    {"1700000000.5", NOW + S / 2},
    {"1700000000.123456789", NOW + 123456789},
    {"2023-11-14T22:13:20Z", NOW},
    {"2023-11-14T23:13:20+01:00", NOW},
    {"2023-11-14T17:13:20-05:00", NOW},
    {"2023-11-14T22:13:20.250Z", NOW + S / 4},
    {"1970-01-01T00:00:00Z", 0},
    {"", -1},
    {"-", -1},
    {"-0s", -1},
    {"-100000d", -1},
    {"--1h", -1},
    {"+1h", -1},
    {"1h", -1},
    {"yesterday", -1},
    {"2023-11-14", -1},
    {"2023-11-14T22:13:20", -1}, /* of which zone? */
    {"2023-13-45T00:00:00Z", -1},
    {"1969-12-31T23:59:59Z", -1},
    {"2300-01-01T00:00:00Z", -1},
    {"99999999999", -1},
    {"1700000000.", -1},
    {"1700000000.1234567890", -1},
    {"1700000000x", -1},
    {" 1700000000", -1},
    {"1e9", -1},
    {"0x10", -1},
    {"2023-11-14T22:13:20Z2023-11-14T22:13:20Z20", -1},
};

static void moments_are_read(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(moments); i++) {
        gint64 got = -1;
        const bool taken = time_range_moment(moments[i].text, NOW, &got);
        CHECK(taken == (moments[i].want >= 0) && got == moments[i].want, "\"%s\": %d, %" G_GINT64_FORMAT,
              moments[i].text, taken, got);
    }
}

static const struct {
    const char *text;
    gint64 seconds; /* 0: none */
} spans[] = {
    {"60", 60},   {"60s", 60}, {"5m", 300}, {"1h", 3600}, {"1d", 86400},     {"3660d", 3660 * 86400},
    {"0", 0},     {"0s", 0},   {"-1s", 0},  {"", 0},      {"s", 0},          {"1.5m", 0},
    {"3661d", 0}, {"5y", 0},   {"1 h", 0},  {"1hh", 0},   {"1234567890", 0}, {"99999999999999999999s", 0},
};

static void spans_are_read(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(spans); i++) {
        gint64 got = 0;
        const bool taken = time_range_span(spans[i].text, &got);
        CHECK(taken == (spans[i].seconds > 0) && got == spans[i].seconds * S, "\"%s\": %" G_GINT64_FORMAT,
              spans[i].text, got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(moments_are_read), cmocka_unit_test(spans_are_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
