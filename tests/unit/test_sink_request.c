/* SPDX-License-Identifier: Apache-2.0 */
#include "test_sink.h"

#include "deliver/sink_reply.h"
#include "deliver/sink_request.h"
#include "deliver/sink_secret.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STRANGER 54321 /* a user other than whoever runs this */

#define TEXT(literal) ((char *)(guintptr)(literal))

/* --- what is asked --- */

static void test_write_url(void **state)
{
    (void)state;
    static const struct {
        const char *label;
        SinkType type;
        const char *url, *database, *retention_policy, *org, *bucket, *want;
    } rows[] = {
        {"v1", SINK_INFLUXDB1, "http://h:8086", "one", "", "", "", "http://h:8086/write?db=one&precision=ns"},
        {"v1 rp", SINK_INFLUXDB1, "http://h", "one", "a week", "", "",
         "http://h/write?db=one&rp=a%20week&precision=ns"},
        {"v1, of others nothing", SINK_INFLUXDB1, "http://h", "one", "", "o", "b",
         "http://h/write?db=one&precision=ns"},
        {"v2", SINK_INFLUXDB2, "https://h", "", "", "my org", "b&precision=s",
         "https://h/api/v2/write?org=my%20org&bucket=b%26precision%3Ds&precision=ns"},
        {"v2, of others nothing", SINK_INFLUXDB2, "https://h", "d", "r", "o", "b",
         "https://h/api/v2/write?org=o&bucket=b&precision=ns"},
        {"v3", SINK_INFLUXDB3, "http://[::1]:8181", "one", "r", "", "",
         "http://[::1]:8181/api/v3/write_lp?db=one&precision=nanosecond&accept_partial=true"},
        {"VictoriaMetrics", SINK_VICTORIAMETRICS, "http://h:8428", "one", "", "", "",
         "http://h:8428/write?db=one&precision=ns"},
        {"VictoriaMetrics without database", SINK_VICTORIAMETRICS, "http://h:8428/insert/0/influx", "", "", "", "",
         "http://h:8428/insert/0/influx/write?precision=ns"},
        {"telemetryd", SINK_TELEMETRYD, "http://h:4126", "", "", "", "", "http://h:4126/write?precision=ns"},
        {"any bytes", SINK_INFLUXDB1, "http://h", "\xff\x01 #?/+%\"\xc3\xbc", "", "", "",
         "http://h/write?db=%FF%01%20%23%3F%2F%2B%25%22%C3%BC&precision=ns"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        SinkSettings settings = plain_settings(rows[i].type, rows[i].url);
        settings.database = TEXT(rows[i].database);
        settings.retention_policy = TEXT(rows[i].retention_policy);
        settings.org = TEXT(rows[i].org);
        settings.bucket = TEXT(rows[i].bucket);
        g_autofree char *url = sink_write_url(&settings);
        CHECK_TEXT(url, rows[i].want, rows[i].label);
    }
}

static void test_token_header(void **state)
{
    (void)state;
    static const char *const words[] = {
        [SINK_INFLUXDB1] = "Bearer",       [SINK_INFLUXDB2] = "Token",   [SINK_INFLUXDB3] = "Bearer",
        [SINK_VICTORIAMETRICS] = "Bearer", [SINK_TELEMETRYD] = "Bearer",
    };
    for (guint type = 0; type < G_N_ELEMENTS(words); type++) {
        g_autofree char *header = sink_token_header((SinkType)type, "a b=");
        g_autofree char *want = g_strdup_printf("Authorization: %s a b=", words[type]);
        CHECK_TEXT(header, want, words[type]);
    }
}

static void test_url_place(void **state)
{
    (void)state;
    static const struct {
        const char *url, *want;
    } rows[] = {
        {"http://h:8086", "h:8086"},
        {"https://h/path@x", "h"},
        {"http://[::1]:1/a", "[::1]:1"},
        {"http://user:pa@ss@proxy:3128/", "proxy:3128"},
        {"proxy:3128", "proxy:3128"},
        {"h?q=a@b", "h"},
        {"http://", ""},
        {"", ""},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *place = sink_url_place(rows[i].url);
        CHECK_TEXT(place, rows[i].want, rows[i].url);
    }
}

/* --- what comes --- */

typedef struct {
    const char *label;
    const char *lines; /* as they stand in an answer */
    long status;
    const char *retry_after, *influx_error;
    bool seen_status, seen_end, odd_length;
} Headers;

static void take_lines(SinkIncoming *incoming, const char *lines)
{
    while (*lines) {
        const char *end = strchr(lines, '\n');
        gsize length = end ? (gsize)(end - lines) + 1 : strlen(lines);
        sink_incoming_header(incoming, lines, length);
        lines += length;
    }
}

static void test_headers(void **state)
{
    (void)state;
    static const Headers rows[] = {
        {"plain", "HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", 204, NULL, NULL, true, true, false},
        {"not ended", "HTTP/1.1 204 No Content\r\nDate: x\r\n", 204, NULL, NULL, true, false, false},
        {"retry", "HTTP/1.1 429 Slow\r\nretry-AFTER:  7 \r\n\r\n", 429, "7", NULL, true, true, false},
        {"the first counts", "HTTP/1.1 503 X\r\nRetry-After: 7\r\nRetry-After: 9\r\n\r\n", 503, "7", NULL, true, true,
         false},
        {"error", "HTTP/1.0 400 X\r\nX-Influxdb-Error: no: x\r\n\r\n", 400, NULL, "no: x", true, true, false},
        {"100 first", "HTTP/1.1 100 Continue\r\nRetry-After: 7\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200, NULL, NULL, true,
         true, false},
        {"only 100", "HTTP/1.1 100 Continue\r\n\r\n", 100, NULL, NULL, true, false, false},
        {"204 of 3 bytes", "HTTP/1.1 204 X\r\nContent-Length: 3\r\n\r\n", 204, NULL, NULL, true, true, true},
        {"204 of none", "HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n", 204, NULL, NULL, true, true, false},
        {"no status line", "Retry-After: 7\r\n\r\n", 0, "7", NULL, false, false, false},
        {"no code", "HTTP/1.1\r\n\r\n", 0, NULL, NULL, true, false, false},
        {"a longer name", "HTTP/1.1 200 X\r\nRetry-Afternoon: 7\r\nRetry-After 8\r\n\r\n", 200, NULL, NULL, true, true,
         false},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        const Headers *row = &rows[i];
        SinkIncoming incoming = {0};
        sink_incoming_begin(&incoming);
        take_lines(&incoming, row->lines);
        CHECK(incoming.reply->status == row->status, "%s: %ld", row->label, incoming.reply->status);
        CHECK_TEXT(incoming.reply->retry_after, row->retry_after, row->label);
        CHECK_TEXT(incoming.reply->influx_error, row->influx_error, row->label);
        CHECK(incoming.seen_status == row->seen_status, "%s", row->label);
        CHECK(incoming.seen_end == row->seen_end, "%s", row->label);
        CHECK(incoming.odd_length == row->odd_length, "%s", row->label);
        sink_incoming_clear(&incoming);
    }
}

static void test_body_is_capped(void **state)
{
    (void)state;
    SinkIncoming incoming = {0};
    g_autofree char *piece = g_malloc0(100000);
    sink_incoming_begin(&incoming);
    for (guint i = 0; i < 5; i++)
        sink_incoming_body(&incoming, piece, 100000);
    assert_int_equal(incoming.reply->body->len, SINK_ANSWER_MAX);
    sink_incoming_clear(&incoming);
}

/* --- secrets --- */

static void test_mask(void **state)
{
    (void)state;
    static const struct {
        const char *secret, *text, *want;
    } rows[] = {
        {"sesame", "open sesame, sesamesesame!", "open ******, ************!"},
        {"sesame", "sesam", "sesam"},
        {"aaaa", "aaaaaa", "****aa"},
        {"abc", "abc", "abc"},
        {NULL, "abc", "abc"},
        {"sesame", "", ""},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strdup(rows[i].text);
        sink_secret_mask(text, strlen(text), rows[i].secret);
        CHECK_TEXT(text, rows[i].want, rows[i].text);
    }
    char with_nul[] = "a\0sesame";
    sink_secret_mask(with_nul, sizeof with_nul - 1, "sesame");
    assert_memory_equal(with_nul, "a\0******", 8);
}

static char *put_secret(const char *dir, const char *content, gsize length, mode_t mode)
{
    char *path = g_build_filename(dir, "secret", NULL);
    g_unlink(path);
    assert_true(g_file_set_contents(path, content, (gssize)length, NULL));
    assert_int_equal(g_chmod(path, (int)mode), 0);
    return path;
}

/* `want` NULL: it is refused for that reason, where %s is the file. */
static void check_secret(const char *path, const char *want, const char *reason, const char *label)
{
    g_autoptr(GError) error = NULL;
    char *secret = sink_secret_read(path, &error);
    CHECK_TEXT(secret, want, label);
    CHECK((secret == NULL) == (error != NULL), "%s", label);
    if (error) {
        g_auto(GStrv) parts = g_strsplit(reason, "FILE", -1);
        g_autofree char *message = g_strjoinv(path, parts);
        CHECK_TEXT(error->message, message, label);
        CHECK(g_error_matches(error, SINK_ERROR, SINK_ERROR_SECRET), "%s", label);
    }
    sink_secret_free(secret);
}

static void test_secret_files(void **state)
{
    (void)state;
    static const struct {
        const char *label, *content;
        gsize length;
        mode_t mode;
        const char *want, *reason;
    } rows[] = {
        {"plain", "token", 5, 0600, "token", NULL},
        {"read-only", "token", 5, 0400, "token", NULL},
        {"newline", "to ken\n", 7, 0600, "to ken", NULL},
        {"two newlines", "token\n\n", 7, 0600, NULL,
         "FILE: byte 6 is a control character: it must hold the secret alone, in one line"},
        {"Windows", "token\r\n", 7, 0600, NULL,
         "FILE: byte 6 is a control character: it must hold the secret alone, in one line"},
        {"NUL", "tok\0en", 6, 0600, NULL,
         "FILE: byte 4 is a control character: it must hold the secret alone, in one line"},
        {"DEL", "\x7f", 1, 0600, NULL,
         "FILE: byte 1 is a control character: it must hold the secret alone, in one line"},
        {"UTF-8", "s\xc3\xa4same", 7, 0600, "s\xc3\xa4same", NULL},
        {"empty", "", 0, 0600, NULL, "FILE: is empty"},
        {"only a newline", "\n", 1, 0600, NULL, "FILE: is empty"},
        {"group reads", "token", 5, 0640, NULL, "FILE: others may read or change it (mode 0640): chmod 600 FILE"},
        {"others read", "token", 5, 0604, NULL, "FILE: others may read or change it (mode 0604): chmod 600 FILE"},
        {"group writes", "token", 5, 0620, NULL, "FILE: others may read or change it (mode 0620): chmod 600 FILE"},
    };
    g_autofree char *dir = make_temporary_dir();
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = put_secret(dir, rows[i].content, rows[i].length, rows[i].mode);
        check_secret(path, rows[i].want, rows[i].reason, rows[i].label);
    }
    remove_tree(dir);
}

static void test_secret_limits(void **state)
{
    (void)state;
    g_autofree char *dir = make_temporary_dir(), *most = g_strnfill(SINK_SECRET_MAX, 'x'),
                    *more = g_strnfill(SINK_SECRET_MAX + 2, 'x');
    g_autofree char *path = put_secret(dir, most, SINK_SECRET_MAX, 0600);
    check_secret(path, most, NULL, "most");
    g_autofree char *again = put_secret(dir, more, SINK_SECRET_MAX + 2, 0600);
    check_secret(path, NULL, "FILE: larger than 4097 bytes", "more");
    remove_tree(dir);
}

static void test_secrets_that_are_no_files(void **state)
{
    (void)state;
    g_autofree char *dir = make_temporary_dir(), *link = g_build_filename(dir, "link", NULL),
                    *fifo = g_build_filename(dir, "fifo", NULL), *path = put_secret(dir, "token", 5, 0600);
    assert_int_equal(symlink("secret", link), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    check_secret(link, NULL, "FILE: is a symbolic link", "link");
    check_secret(fifo, NULL, "FILE: is not a regular file", "FIFO");
    check_secret(dir, NULL, "FILE: is not a regular file", "directory");
    g_unlink(path);
    check_secret(path, NULL, "FILE: No such file or directory", "missing");
    remove_tree(dir);
}

/* As another user: 0 where the secret is read, 1 where it is refused. */
static int read_as(uid_t user, gid_t group, const char *path)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (setegid(group) < 0 || seteuid(user) < 0)
            _exit(2);
        char *secret = sink_secret_read(path, NULL);
        _exit(secret ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* root:oneadmin 0640 is fine, what others own is not. */
static void test_owners(void **state)
{
    (void)state;
    static const struct {
        uid_t owner;
        mode_t mode;
        uid_t reader;
        int want;
    } rows[] = {
        {0, 0640, STRANGER, 0},        {0, 0440, STRANGER, 0},
        {0, 0660, STRANGER, 1},        {0, 0644, STRANGER, 1},
        {0, 0600, STRANGER, 1},        {STRANGER, 0600, STRANGER, 0},
        {STRANGER, 0640, STRANGER, 1}, {STRANGER + 1, 0640, STRANGER, 1},
        {STRANGER, 0600, 0, 1},
    };
    if (geteuid() != 0)
        skip();
    g_autofree char *dir = make_temporary_dir();
    assert_int_equal(g_chmod(dir, 0755), 0);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = put_secret(dir, "token", 5, 0600);
        assert_int_equal(chown(path, rows[i].owner, STRANGER), 0);
        assert_int_equal(g_chmod(path, (int)rows[i].mode), 0);
        int got = read_as(rows[i].reader, rows[i].reader, path);
        CHECK(got == rows[i].want, "row %zu: %d", i, got);
    }
    g_autofree char *path = g_build_filename(dir, "secret", NULL);
    assert_int_equal(chown(path, STRANGER, 0), 0);
    check_secret(path, NULL, "FILE: belongs to user 54321, not to user 0: run as that user, or chown 0 FILE", "owner");
    remove_tree(dir);
}

/* Where we connect to: what is looked up, and the port that libcurl then takes. */
static void test_url_host(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host;
        guint port;
    } rows[] = {
        {"http://db", "db", 80},
        {"https://db", "db", 443},
        {"http://db:8086", "db", 8086},
        {"https://db.example.:8086/path:9", "db.example.", 8086},
        {"http://db/path:9", "db", 80},
        {"http://192.0.2.1:1", "192.0.2.1", 1},
        {"http://[2001:db8::1]:8086/x", "2001:db8::1", 8086},
        {"https://[::1]", "::1", 443},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint port;
        g_autofree char *host = sink_url_host(rows[i].url, 80, &port);
        assert_string_equal(host, rows[i].host);
        assert_int_equal(port, rows[i].port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_url),     cmocka_unit_test(test_token_header),
        cmocka_unit_test(test_url_place),     cmocka_unit_test(test_url_host),
        cmocka_unit_test(test_headers),       cmocka_unit_test(test_body_is_capped),
        cmocka_unit_test(test_mask),          cmocka_unit_test(test_secret_files),
        cmocka_unit_test(test_secret_limits), cmocka_unit_test(test_secrets_that_are_no_files),
        cmocka_unit_test(test_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
