/* SPDX-License-Identifier: Apache-2.0 */
#include "test_spool.h"

#include <zlib.h>

/* Line protocol as it comes: long, and much the same in every line. */
static char *make_lines(guint n)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < n; i++)
        g_string_append_printf(text, "vm_totals,VMID=%u,host=h%u cputime=%ui,usage=%u.5 1700000000%09u\n", i % 90,
                               i % 7, i * 2654435761u, i % 100, i);
    return g_string_free(text, FALSE);
}

static void assert_expands(const char *data, gsize length, const char *text, gsize text_length)
{
    g_autoptr(GError) error = NULL;
    gsize found_length = 0;
    g_autofree char *found = spool_expand(data, length, text_length, &found_length, &error);
    if (!found)
        fail_msg("%s", error->message);
    assert_int_equal(found_length, text_length);
    assert_memory_equal(found, text, text_length);
    assert_int_equal(found[text_length], '\0');
}

static void assert_refused(const char *data, gsize length, gsize limit, SpoolErrorCode code, const char *message)
{
    g_autoptr(GError) error = NULL;
    gsize found_length = 99;
    char *found = spool_expand(data, length, limit, &found_length, &error);
    assert_null(found);
    assert_int_equal(found_length, 99);
    assert_true(g_error_matches(error, SPOOL_ERROR, (gint)code));
    if (message)
        assert_string_equal(error->message, message);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const guint lines[] = {0, 1, 2, 100, 5000, 40000};
    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        gsize length;
        g_autofree char *text = make_lines(lines[i]);
        g_autofree char *data = spool_compress(text, strlen(text), &length);
        assert_expands(data, length, text, strlen(text));
    }
}

/* Noise grows under gzip, and holds NULs. */
static void test_round_trip_of_noise(void **state)
{
    (void)state;
    GRand *random = g_rand_new_with_seed(7);
    for (guint i = 0; i < 60; i++) {
        gsize size = (gsize)g_rand_int_range(random, 0, 200000), length;
        g_autofree char *noise = g_malloc(size + 1);
        for (gsize j = 0; j < size; j++)
            noise[j] = (char)g_rand_int(random);
        g_autofree char *data = spool_compress(noise, size, &length);
        assert_expands(data, length, noise, size);
    }
    g_rand_free(random);
}

/* What gzip(1) and every HTTP server read: its header, and the same bytes whenever it is made. */
static void test_form(void **state)
{
    (void)state;
    static const guchar header[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    gsize length, again_length;
    g_autofree char *text = make_lines(1000);
    g_autofree char *data = spool_compress(text, strlen(text), &length);
    g_autofree char *again = spool_compress(text, strlen(text), &again_length);
    assert_memory_equal(data, header, sizeof header);
    assert_int_equal(length, again_length);
    assert_memory_equal(data, again, length);
    assert_true(length < strlen(text) / 4);
}

static void test_members_in_a_row(void **state)
{
    (void)state;
    g_autoptr(GString) data = g_string_new(NULL);
    g_autoptr(GString) text = g_string_new(NULL);
    static const guint lines[] = {3, 0, 5000, 1, 0};
    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        gsize length;
        g_autofree char *piece = make_lines(lines[i]);
        g_autofree char *member = spool_compress(piece, strlen(piece), &length);
        g_string_append(text, piece);
        g_string_append_len(data, member, (gssize)length);
    }
    assert_expands(data->str, data->len, text->str, text->len);
    assert_refused(data->str, data->len, text->len - 1, SPOOL_ERROR_TOO_LARGE, NULL);
}

static void test_every_cut_is_seen(void **state)
{
    (void)state;
    gsize length;
    g_autofree char *text = make_lines(20);
    g_autofree char *data = spool_compress(text, strlen(text), &length);
    for (gsize cut = 0; cut < length; cut++) {
        g_autofree char *part = g_memdup(data, (guint)cut); /* of its own, so that reading on is seen */
        assert_refused(part, cut, 1 << 20, SPOOL_ERROR_DAMAGED, "damaged gzip: it is cut off");
    }
    g_autoptr(GString) two = g_string_new_len(data, (gssize)length);
    g_string_append_len(two, data, (gssize)length);
    for (gsize cut = length + 1; cut < 2 * length; cut++)
        assert_refused(two->str, cut, 1 << 20, SPOOL_ERROR_DAMAGED, "damaged gzip: it is cut off");
}

/* Some bits say nothing: time and system in the header, padding. But no other text ever comes out. */
static void test_no_flipped_bit_changes_the_text(void **state)
{
    (void)state;
    gsize length;
    guint refused = 0;
    g_autofree char *text = make_lines(5);
    g_autofree char *data = spool_compress(text, strlen(text), &length);
    for (gsize bit = 0; bit < length * 8; bit++) {
        gsize found_length = 0;
        data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
        g_autofree char *found = spool_expand(data, length, 1 << 20, &found_length, NULL);
        data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
        if (found && (found_length != strlen(text) || strcmp(found, text) != 0))
            fail_msg("bit %zu", bit);
        refused += !found;
    }
    assert_in_range(refused, length * 8 - 64, length * 8);
}

static void test_what_is_no_gzip(void **state)
{
    (void)state;
    gsize length;
    g_autofree char *data = spool_compress("abc", 3, &length);
    static const char *const behind[] = {"x", "\n", "\x1f", "vm_totals,VMID=1 state=1i\n"};
    for (gsize i = 0; i < G_N_ELEMENTS(behind); i++) {
        g_autoptr(GString) all = g_string_new_len(data, (gssize)length);
        g_string_append(all, behind[i]);
        assert_refused(all->str, all->len, 100, SPOOL_ERROR_DAMAGED, NULL);
        assert_refused(behind[i], strlen(behind[i]), 100, SPOOL_ERROR_DAMAGED, NULL);
    }
    g_autoptr(GString) padded = g_string_new_len(data, (gssize)length);
    g_string_append_len(padded, "\0\0", 2);
    assert_refused(padded->str, padded->len, 100, SPOOL_ERROR_DAMAGED, NULL);
    assert_refused(NULL, 0, 100, SPOOL_ERROR_DAMAGED, "damaged gzip: it is cut off");
    assert_refused("x\x9c\x03\x00\x00\x00\x00\x01", 8, 100, SPOOL_ERROR_DAMAGED, NULL); /* zlib's own form */
}

static void test_limit(void **state)
{
    (void)state;
    static const gsize sizes[] = {1, 100, 65535, 65536, 65537, 131071, 131072, 131073, 1000000};
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        gsize length;
        g_autofree char *text = g_strnfill(sizes[i], 'x');
        g_autofree char *data = spool_compress(text, sizes[i], &length);
        g_autofree char *message = g_strdup_printf("gzip of more than %zu bytes", sizes[i] - 1);
        assert_expands(data, length, text, sizes[i]);
        assert_refused(data, length, sizes[i] - 1, SPOOL_ERROR_TOO_LARGE, message);
        assert_refused(data, length - 1, sizes[i], SPOOL_ERROR_DAMAGED, NULL);
    }
    gsize length, found_length;
    g_autofree char *nothing = spool_compress("", 0, &length);
    assert_expands(nothing, length, "", 0);
    g_autofree char *found = spool_expand(nothing, length, G_MAXSIZE, &found_length, NULL);
    assert_non_null(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_round_trip_of_noise),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_members_in_a_row),
        cmocka_unit_test(test_every_cut_is_seen),
        cmocka_unit_test(test_no_flipped_bit_changes_the_text),
        cmocka_unit_test(test_what_is_no_gzip),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
