/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"

#include "store/rollup.h"

#include <math.h>

static void test_begin(void **state)
{
    (void)state;
    static const struct {
        gint64 time, step, begin;
    } cases[] = {{0, 60, 0},    {59, 60, 0},    {60, 60, 60},    {61, 60, 60},
                 {-1, 60, -60}, {-60, 60, -60}, {-61, 60, -120}, {1784800859, 900, 1784800800}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        CHECK(rollup_begin(cases[i].time, cases[i].step) == cases[i].begin, "%u", i);
}

static void test_merge(void **state)
{
    (void)state;
    static const struct {
        const char *label;
        PackFigure a, b, sum;
    } cases[] = {
        {"both absent", {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}},
        {"into nothing", {0, 0, 0, 0}, {1, 2, 3, 4}, {1, 2, 3, 4}},
        {"nothing into it", {1, 2, 3, 4}, {9, 9, 9, 0}, {1, 2, 3, 4}},
        {"weighted", {0, 10, 20, 3}, {50, 50, 50, 1}, {0, 20, 50, 4}},
        {"below zero", {-4, -2, 0, 1}, {-8, -6, -5, 3}, {-8, -5, 0, 4}},
        {"counts end somewhere", {1, 1, 1, G_MAXUINT32}, {1, 1, 1, 5}, {1, 1, 1, G_MAXUINT32}},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        PackFigure sum = cases[i].a;
        const PackFigure *want = &cases[i].sum;
        rollup_merge(&sum, &cases[i].b);
        CHECK(sum.count == want->count, "%s", cases[i].label);
        CHECK(sum.count == 0 || (sum.min == want->min && sum.mean == want->mean && sum.max == want->max), "%s",
              cases[i].label);
    }
}

static void test_rows(void **state)
{
    (void)state;
    PackRow a = {.n = 1, .figure = {{1, 1, 1, 1}}}, b = {.n = 3, .figure = {{3, 3, 3, 1}, {0}, {5, 5, 5, 1}}};
    PackRow rest = b;
    a.figure[1].count = a.figure[2].count = 77; /* not in use: says nothing */
    assert_true(rollup_subtract(&rest, &a));
    assert_int_equal(rest.figure[0].count, 0);
    assert_int_equal(rest.figure[2].count, 1);
    assert_false(rollup_subtract(&rest, &b));
    rollup_merge_row(&a, &b);
    assert_int_equal(a.n, 3);
    assert_true(a.figure[0].mean == 2 && a.figure[0].count == 2);
    assert_int_equal(a.figure[1].count, 0);
    assert_true(a.figure[2].mean == 5);
}

typedef struct {
    gint64 begin;
    PackFigure figure;
} Bucket;

static bool take(gint64 begin_ns, const PackRow *row, gpointer data)
{
    Bucket bucket = {begin_ns, row->figure[0]};
    g_array_append_val((GArray *)data, bucket);
    return ((GArray *)data)->len < 1000;
}

static void test_buckets(void **state)
{
    (void)state;
    static const struct {
        gint64 time;
        double value;
    } samples[] = {{0, 1}, {10, 3}, {59, 5}, {60, 7}, {200, 9}};
    g_autoptr(GArray) buckets = g_array_new(FALSE, FALSE, sizeof(Bucket));
    Rollup rollup;
    rollup_init(&rollup, 60, take, buckets);
    assert_true(rollup_end(&rollup)); /* nothing came yet */
    for (guint i = 0; i < G_N_ELEMENTS(samples); i++) {
        double value = samples[i].value;
        PackRow row = {.n = 1, .figure = {{value, value, value, 1}}};
        assert_true(rollup_add(&rollup, samples[i].time, &row));
    }
    assert_int_equal(buckets->len, 2); /* the last is open */
    assert_true(rollup_end(&rollup));
    assert_true(rollup_end(&rollup));
    assert_int_equal(buckets->len, 3);
    static const Bucket want[] = {{0, {1, 3, 5, 3}}, {60, {7, 7, 7, 1}}, {180, {9, 9, 9, 1}}};
    for (guint i = 0; i < 3; i++) {
        const Bucket *got = &g_array_index(buckets, Bucket, i);
        CHECK(got->begin == want[i].begin && got->figure.count == want[i].figure.count, "%u", i);
        CHECK(got->figure.min == want[i].figure.min && got->figure.mean == want[i].figure.mean &&
                  got->figure.max == want[i].figure.max,
              "%u", i);
    }
}

/* However samples are split up and merged, it comes to the same. */
static void test_any_order(void **state)
{
    (void)state;
    GRand *random = seeded_random();
    for (guint round = 0; round < 500; round++) {
        PackFigure parts[4] = {{0}}, all = {0}, merged = {0};
        double sum = 0;
        guint n = (guint)g_rand_int_range(random, 1, 50);
        for (guint i = 0; i < n; i++) {
            double value = g_rand_double_range(random, -1000, 1000);
            PackFigure one = {value, value, value, 1};
            sum += value;
            rollup_merge(&all, &one);
            rollup_merge(&parts[g_rand_int_range(random, 0, 4)], &one);
        }
        for (guint i = 0; i < 4; i++)
            rollup_merge(&merged, &parts[i]);
        assert_int_equal(merged.count, n);
        assert_true(merged.min == all.min && merged.max == all.max);
        assert_true(fabs(merged.mean - sum / n) < 1e-9 && fabs(all.mean - sum / n) < 1e-9);
    }
    g_rand_free(random);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begin),   cmocka_unit_test(test_merge),     cmocka_unit_test(test_rows),
        cmocka_unit_test(test_buckets), cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
