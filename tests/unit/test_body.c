/* SPDX-License-Identifier: Apache-2.0
 * Bodies in files in memory: the same bytes, and once; and packed ones. */
#include "gather_helpers.h"
#include "serve/gzip.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* A line that tells where it is, so that none can be lost, doubled or moved without being seen. */
static void append_line(GString *text, guint i)
{
    g_string_append_printf(text, "line %u\n", i);
}

static GString *lines(guint n)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < n; i++)
        append_line(text, i);
    return text;
}

static Body write_lines(guint n)
{
    BodyWriter writer;
    body_begin(&writer);
    for (guint i = 0; i < n; i++) {
        append_line(writer.text, i);
        body_relieve(&writer);
    }
    return body_end(&writer);
}

/* Its bytes, and those of its file. */
static void check_body(const Body *body, const GString *wanted, bool in_file)
{
    gsize length = 0;
    const char *data = g_bytes_get_data(body->bytes, &length);
    CHECK(length == wanted->len && (length == 0 || memcmp(data, wanted->str, length) == 0), "%zu bytes, not %zu",
          length, wanted->len);
    CHECK((body->fd >= 0) == in_file, "%zu bytes: descriptor %d", length, body->fd);
    if (!in_file)
        return;
    struct stat status;
    g_autofree char *read = g_malloc(length);
    assert_int_equal(fstat(body->fd, &status), 0);
    assert_int_equal(status.st_size, length);
    assert_int_equal(pread(body->fd, read, length, 0), length);
    assert_memory_equal(read, wanted->str, length);
}

static void test_sizes(void **state)
{
    (void)state;
    static const guint sizes[] = {0, 10, 5000, 7000, 20000, 100000};
    const gsize before = body_file_bytes();
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GString) wanted = lines(sizes[i]);
        const bool is_large = wanted->len >= BODY_FILE_WORTH;
        Body parts = write_lines(sizes[i]), whole = body_of_bytes(g_bytes_new(wanted->str, wanted->len));
        check_body(&parts, wanted, is_large);
        check_body(&whole, wanted, is_large);
        assert_int_equal(body_file_bytes() - before, is_large ? 2 * wanted->len : 0);
        g_bytes_unref(parts.bytes);
        g_bytes_unref(whole.bytes);
        assert_int_equal(body_file_bytes(), before);
    }
    Body none = body_of_bytes(NULL);
    assert_null(none.bytes);
    assert_int_equal(none.fd, -1);
}

/* What is written does not stay in the heap. */
static void test_relieved(void **state)
{
    (void)state;
    BodyWriter writer;
    gsize most = 0;
    body_begin(&writer);
    for (guint i = 0; i < 500000; i++) {
        append_line(writer.text, i);
        body_relieve(&writer);
        most = MAX(most, writer.text->allocated_len);
    }
    CHECK(most < 1000000, "%zu bytes", most);
    Body body = body_end(&writer);
    assert_true(g_bytes_get_size(body.bytes) > 5000000);
    g_bytes_unref(body.bytes);
}

/* The file lives as long as anything of it is held, and is counted as long. */
static void test_held(void **state)
{
    (void)state;
    const gsize before = body_file_bytes();
    Body body = write_lines(20000);
    const gsize length = g_bytes_get_size(body.bytes);
    GBytes *slice = g_bytes_new_from_bytes(body.bytes, 5, 1);
    g_bytes_unref(body.bytes);
    assert_int_equal(*(const char *)g_bytes_get_data(slice, NULL), '0');
    assert_int_equal(body_file_bytes() - before, length);
    g_bytes_unref(slice);
    assert_int_equal(body_file_bytes(), before);
}

/* Where files may not be so large, the heap has it, whatever was in the file already. */
static void test_no_room_in_files(void **state)
{
    (void)state;
    static const rlim_t limits[] = {0, 1000, 262200, 700000, 1000000};
    struct rlimit all;
    const gsize before = body_file_bytes();
    g_autoptr(GString) wanted = lines(100000);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    for (guint i = 0; i < G_N_ELEMENTS(limits); i++) {
        const struct rlimit limit = {limits[i], all.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        Body parts = write_lines(100000), whole = body_of_bytes(g_bytes_new(wanted->str, wanted->len));
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
        check_body(&parts, wanted, false);
        check_body(&whole, wanted, false);
        assert_int_equal(body_file_bytes(), before);
        g_bytes_unref(parts.bytes);
        g_bytes_unref(whole.bytes);
    }
}

/* No descriptor is left behind. */
static void test_descriptors(void **state)
{
    (void)state;
    const int next = dup(0);
    close(next);
    for (guint i = 0; i < 20; i++) {
        Body body = write_lines(20000);
        g_bytes_unref(body.bytes);
    }
    const int after = dup(0);
    assert_int_equal(after, next);
    close(after);
}

static void check_packed(const GString *plain)
{
    g_autoptr(GBytes) bytes = g_bytes_new(plain->str, plain->len);
    Body packed = gzip_pack(bytes);
    gsize length;
    const guchar *data = g_bytes_get_data(packed.bytes, &length);
    g_autofree guchar *room = g_malloc(plain->len + 1);
    z_stream stream = {.next_in = (z_const Bytef *)(guintptr)data, .avail_in = (uInt)length};
    stream.next_out = room;
    stream.avail_out = (uInt)plain->len + 1;
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.total_out, plain->len);
    assert_int_equal(stream.avail_in, 0);
    inflateEnd(&stream);
    assert_memory_equal(room, plain->str, plain->len);
    CHECK((packed.fd >= 0) == (length >= BODY_FILE_WORTH), "%zu bytes packed", length);
    g_bytes_unref(packed.bytes);
}

static void test_packed(void **state)
{
    (void)state;
    static const guint sizes[] = {200, 20000, 100000, 1000000};
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GString) plain = lines(sizes[i]);
        check_packed(plain);
    }
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    g_autoptr(GString) noise = g_string_new(NULL);
    for (guint i = 0; i < 300000; i++)
        g_string_append_c(noise, (char)g_rand_int_range(random, 0, 256));
    g_autoptr(GBytes) bytes = g_bytes_new(noise->str, noise->len), small = g_bytes_new("x", 1);
    const gsize before = body_file_bytes();
    assert_null(gzip_pack(bytes).bytes); /* it would not get smaller */
    assert_null(gzip_pack(small).bytes);
    assert_int_equal(body_file_bytes(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),       cmocka_unit_test(test_relieved),
        cmocka_unit_test(test_held),        cmocka_unit_test(test_no_room_in_files),
        cmocka_unit_test(test_descriptors), cmocka_unit_test(test_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
