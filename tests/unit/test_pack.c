/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"

#include "store/history.h"
#include "store/pack.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *label;
    guint n;
    PackFigure figures[6];
    gsize sample_length, bucket_length; /* of the blob */
} rows[] = {
    {"nothing", 0, {{0, 0, 0, 0}}, 2, 3},
    {"one absent", 1, {{0, 0, 0, 0}}, 2, 3},
    {"a zero", 1, {{0, 0, 0, 1}}, 3, 4},
    {"a short float", 1, {{8388608, 8388608, 8388608, 1}}, 5, 8},
    {"a float", 1, {{12.34, 12.34, 12.34, 1}}, 7, 8},
    {"below zero", 2, {{0, 0, 0, 0}, {-1.5, -1.5, -1.5, 1}}, 5, 8},
    {"all there is",
     6,
     {{1, 2, 3, 1}, {0, 0, 0, 0}, {0, 0, 0, 1}, {7, 7, 7, 1}, {0, 0, 0, 0}, {-1e30, 0, 1e30, 1}},
     8,
     33},
};

static void check_same(const PackRow *got, const PackRow *want, bool bucket, const char *label)
{
    for (guint i = 0; i < MAX(want->n, got->n); i++) {
        const PackFigure none = {0, 0, 0, 0}, *a = i < got->n ? &got->figure[i] : &none,
                         *b = i < want->n ? &want->figure[i] : &none;
        CHECK(a->count == b->count, "%s: figure %u", label, i);
        if (b->count == 0)
            continue;
        CHECK(a->mean == (double)(float)b->mean, "%s: mean %u", label, i);
        CHECK(a->min == (double)(float)(bucket ? b->min : b->mean), "%s: min %u", label, i);
        CHECK(a->max == (double)(float)(bucket ? b->max : b->mean), "%s: max %u", label, i);
    }
}

static void test_there_and_back(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint8 data[PACK_BYTES_MAX];
        PackRow row = {.n = rows[i].n}, got;
        memcpy(row.figure, rows[i].figures, sizeof rows[i].figures);
        CHECK(pack_write_sample(data, &row) == rows[i].sample_length, "%s", rows[i].label);
        CHECK(pack_read(data, rows[i].sample_length, &got), "%s", rows[i].label);
        check_same(&got, &row, false, rows[i].label);
        CHECK(pack_write_bucket(data, &row) == rows[i].bucket_length, "%s", rows[i].label);
        CHECK(pack_read(data, rows[i].bucket_length, &got), "%s", rows[i].label);
        check_same(&got, &row, true, rows[i].label);
    }
}

static void fill(GRand *random, PackRow *row)
{
    row->n = (guint)g_rand_int_range(random, 0, PACK_NUMBERS_MAX + 1);
    for (guint i = 0; i < row->n; i++) {
        PackFigure *figure = &row->figure[i];
        double scale = pow(10, g_rand_double_range(random, -3, 12));
        figure->count = g_rand_boolean(random) ? 0 : g_rand_boolean(random) ? 6 : g_rand_int(random);
        figure->min = g_rand_boolean(random) ? 0 : g_rand_double_range(random, -scale, scale);
        figure->max = g_rand_boolean(random) ? figure->min : figure->min + g_rand_double_range(random, 0, scale);
        figure->mean = figure->min + (figure->max - figure->min) / 3;
    }
}

/* Counts of their own, too; and no blob that is cut is one. */
static void test_random(void **state)
{
    (void)state;
    GRand *random = seeded_random();
    for (guint i = 0; i < 2000; i++) {
        guint8 data[PACK_BYTES_MAX];
        PackRow row, got;
        fill(random, &row);
        gsize length = pack_write_bucket(data, &row);
        assert_true(length <= PACK_BYTES_MAX);
        assert_true(pack_read(data, length, &got));
        check_same(&got, &row, true, "random");
        for (guint cut = 0; cut < 20; cut++)
            assert_false(pack_read(data, (gsize)g_rand_int_range(random, 0, (gint)length), &got));
    }
    g_rand_free(random);
}

static const struct {
    const char *label, *bytes;
    gsize length;
} damaged[] = {
    {"empty", "", 0},
    {"head alone", "\x11", 1},
    {"another version", "\x21\x00", 2},
    {"kind 0", "\x10\x00", 2},
    {"kind 4", "\x14\x00\x00", 3},
    {"too many tags", "\x11\x21", 2},
    {"more behind", "\x11\x00x", 3},
    {"not a number", "\x11\x01\x02\x00\x00\xC0\x7F", 7},
    {"infinity", "\x11\x01\x03\x80\x7F", 5},
    {"a bucket of none", "\x12\x01\x00\x01", 4},
    {"count too large", "\x12\x00\xFF\xFF\xFF\xFF\x7F", 7},
    {"count without end", "\x12\x00\xFF\xFF\xFF\xFF\xFF\xFF", 8},
    {"min above max", "\x12\x01\x01\x03\x00\x00\x80\x3F\x00\x00\x80\x3F\x00\x00\x00\x00", 16},
};

static void test_damaged(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(damaged); i++) {
        PackRow row;
        CHECK(!pack_read((const guint8 *)damaged[i].bytes, damaged[i].length, &row), "%s", damaged[i].label);
    }
}

static void test_map(void **state)
{
    (void)state;
    PackMap map;
    pack_map_init(&map);
    assert_true(pack_map_add(&map, METRIC_VM_MEMORY_RSS));
    assert_true(pack_map_add(&map, N_METRICS)); /* of another version */
    assert_true(pack_map_add(&map, METRIC_VM_CPU_USAGE_PERCENT));
    assert_int_equal(map.number[METRIC_VM_CPU_USAGE_PERCENT], 2);
    assert_int_equal(map.number[METRIC_VM_CPU_TIME], PACK_NO_NUMBER);

    g_autoptr(MetricRow) metrics = metric_row_new(SCOPE_VM, 0);
    PackRow row;
    row_set_u64(metrics, METRIC_VM_MEMORY_RSS, 4096);
    pack_row_from_metrics(&row, &map, metrics);
    assert_int_equal(row.n, 3);
    assert_true(row.figure[0].count == 1 && row.figure[0].mean == 4096);
    assert_true(row.figure[1].count == 0 && row.figure[2].count == 0);
    while (map.n < PACK_NUMBERS_MAX)
        assert_true(pack_map_add(&map, N_METRICS));
    assert_false(pack_map_add(&map, METRIC_VM_MEMORY_HOST));
}

/* All metrics that have a history find room in a file, with some to spare for later versions. */
static void test_room(void **state)
{
    (void)state;
    guint n = 0;
    for (Metric m = 0; m < N_METRICS; m++)
        n += history_has_metric(m);
    assert_in_range(n, 30, PACK_NUMBERS_MAX / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_random),
        cmocka_unit_test(test_damaged),        cmocka_unit_test(test_map),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
