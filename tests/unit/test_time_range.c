/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"

#include "encode/line_samples.h"
#include "serve/time_range.h"

#define S G_GINT64_CONSTANT(1000000000)
#define NOW (1795680821 * S + 5)
#define NONE G_MININT64

static const struct {
    const char *text;
    gint64 ns; /* NONE: it is no moment */
} moments[] = {
    {"now", NOW},
    {"-1s", NOW - S},
    {"-15m", NOW - 900 * S},
    {"-24h", NOW - 86400 * S},
    {"-7d", NOW - 7 * 86400 * S},
    {"-30", NOW - 30 * S},
    {"2026-11-26T08:13:41Z", 1795680821 * S},
    {"2026-11-26T09:13:41+01:00", 1795680821 * S},
    {"2026-11-26T09:13:41 01:00", 1795680821 * S}, /* the + came as a blank */
    {"2026-11-26T02:43:41-05:30", 1795680821 * S},
    {"2026-11-26T08:13:41.5Z", 1795680821 * S + S / 2},
    {"20261126T081341Z", 1795680821 * S},
    {"1970-01-01T00:00:00Z", 0},
    {"0", 0},
    {"1795680821", 1795680821 * S},
    {"1795680821.25", 1795680821 * S + S / 4},
    {"1795680821.000000001", 1795680821 * S + 1},
    {"7258118400", LINE_TIME_MAX_NS},
    {"7258118401", NONE},
    {"9999999999999999999999999", NONE},
    {"1795680821.", NONE},
    {"1795680821.0000000001", NONE},
    {".5", NONE},
    {"1e9", NONE},
    {"2026-11-26T08:13:41", NONE}, /* of which zone? */
    {"2026-11-26", NONE},
    {"2026-11-26 08:13:41Z", NONE},
    {"2026-13-26T08:13:41Z", NONE},
    {"2026-02-30T08:13:41Z", NONE},
    {"2026-11-26T25:13:41Z", NONE},
    {"1969-12-31T23:59:59Z", NONE},
    {"2300-01-01T00:00:00Z", NONE},
    {"", NONE},
    {"-", NONE},
    {"--1h", NONE},
    {"-0s", NONE},
    {"-1y", NONE},
    {"-99999d", NONE},
    {"+1h", NONE},
    {"1h", NONE},
    {"0x10", NONE},
    {" 1795680821", NONE},
    {"1795680821x", NONE},
    {"Now", NONE},
    {"now ", NONE},
    {" now", NONE},
    {"yesterday", NONE},
    {"2026-11-26T08:13:41Z' OR 1=1", NONE},
    {"1111111111111111111111111111111111111111111111111111111111111111", NONE},
};

static void test_moments(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(moments); i++) {
        gint64 ns = NONE;
        CHECK(time_range_moment(moments[i].text, NOW, &ns) == (moments[i].ns != NONE), "\"%s\"", moments[i].text);
        CHECK(ns == moments[i].ns, "\"%s\": %" G_GINT64_FORMAT, moments[i].text, ns);
    }
}

static const struct {
    const char *text;
    gint64 seconds; /* 0: it is no span */
} spans[] = {
    {"1", 1},        {"60", 60},     {"60s", 60},       {"5m", 300},
    {"1h", 3600},    {"2d", 172800}, {"007m", 420},     {"3660d", 316224000},
    {"3661d", 0},    {"0", 0},       {"0h", 0},         {"", 0},
    {"s", 0},        {"-5m", 0},     {"+5m", 0},        {"5 m", 0},
    {"5M", 0},       {"5ms", 0},     {"1.5h", 0},       {"5y", 0},
    {"1e3s", 0},     {" 5m", 0},     {"9999999999", 0}, {"99999999999999999999m", 0},
    {"5m; DROP", 0},
};

static void test_spans(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(spans); i++) {
        gint64 ns = 0;
        CHECK(time_range_span(spans[i].text, &ns) == (spans[i].seconds > 0), "\"%s\"", spans[i].text);
        CHECK(ns == spans[i].seconds * S, "\"%s\": %" G_GINT64_FORMAT, spans[i].text, ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_moments), cmocka_unit_test(test_spans)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
