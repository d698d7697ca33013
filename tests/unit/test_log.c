/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_SKIP 77

/* --- log_quote --- */

static const struct {
    const char *text;
    gsize length, limit;
    const char *quoted;
} quotes[] = {
    {"", 0, 10, ""},
    {"plain text", 10, 10, "plain text"},
    {"plain text", 5, 10, "plain"},
    {"a\nb", 3, 10, "a\\nb"},
    {"a\r\tb", 4, 10, "a\\x0D\\x09b"},
    {"\0", 1, 10, "\\x00"},
    {"a\0b", 3, 10, "a\\x00b"},
    {"\x7f", 1, 10, "\\x7F"},
    {"\x1b[2J", 4, 10, "\\x1B[2J"},
    {"\xc2\x9b", 2, 10, "\\xC2\\x9B"},          /* CSI as one character */
    {"\xe2\x80\xa8", 3, 20, "\\xE2\\x80\\xA8"}, /* line separator */
    {"\xe2\x80\xae", 3, 20, "\\xE2\\x80\\xAE"}, /* right-to-left override */
    {"\xff\xfe", 2, 10, "\\xFF\\xFE"},          /* no UTF-8 */
    {"\xc3", 1, 10, "\\xC3"},                   /* half a character */
    {"\xc3\xa4", 1, 10, "\\xC3"},               /* cut by its length */
    {"\xc0\xaf", 2, 10, "\\xC0\\xAF"},          /* overlong */
    {"\xed\xa0\x80", 3, 20, "\\xED\\xA0\\x80"}, /* surrogate */
    {"\xc3\xa4\xe2\x82\xac", 5, 10, "\xc3\xa4\xe2\x82\xac"},
    {"12345678", 8, 8, "12345678"},
    {"123456789", 9, 8, "12345…"},
    {"1234\xc3\xa4xyz", 9, 8, "1234…"},
    {"1234\n6789", 9, 8, "1234…"},
    {"123456\n", 7, 8, "123456\\n"},
    {"xxxx", 4, 3, "…"},
    {"\xff\xff", 2, 5, "…"},
};

static void test_quotes(void **state)
{
    (void)state;
    for (gsize i = 0; i < G_N_ELEMENTS(quotes); i++) {
        /* A copy of exact size: a byte read too much is found. */
        g_autofree char *exact = g_malloc(MAX(1, quotes[i].length));
        memcpy(exact, quotes[i].text, quotes[i].length);
        g_autofree char *quoted = log_quote(exact, quotes[i].length, quotes[i].limit);
        g_autofree char *quoted_in_place = log_quote(quotes[i].text, quotes[i].length, quotes[i].limit);
        assert_string_equal(quoted, quotes[i].quoted);
        assert_string_equal(quoted_in_place, quotes[i].quoted);
    }
}

static void test_any_bytes_give_one_line(void **state)
{
    (void)state;
    g_autoptr(GRand) dice = g_rand_new_with_seed(2026);
    for (int round = 0; round < 20000; round++) {
        guchar bytes[40];
        gsize length = (gsize)g_rand_int_range(dice, 0, sizeof bytes + 1);
        gsize limit = (gsize)g_rand_int_range(dice, 3, 60);
        int highest = g_rand_boolean(dice) ? 256 : 128;
        for (gsize i = 0; i < length; i++)
            bytes[i] = (guchar)g_rand_int_range(dice, 0, highest);
        g_autofree char *quoted = log_quote((const char *)bytes, length, limit);
        assert_in_range(strlen(quoted), 0, limit);
        assert_true(g_utf8_validate(quoted, -1, NULL));
        for (char *c = quoted; *c; c = g_utf8_next_char(c))
            assert_false(g_unichar_iscntrl(g_utf8_get_char(c)));
        g_autofree char *again = log_quote(quoted, strlen(quoted), limit);
        assert_string_equal(again, quoted);
    }
}

/* --- standard error --- */

static const char *printed;

/* Runs `speak` with standard error in a file. Owned by the caller. */
static char *stderr_of(void (*speak)(void))
{
    g_autofree char *path = NULL;
    char *content = NULL;
    int file = g_file_open_tmp("one-telemetry-test-XXXXXX", &path, NULL), saved = dup(STDERR_FILENO);
    assert_true(file >= 0 && saved >= 0);
    dup2(file, STDERR_FILENO);
    speak();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(file);
    assert_true(g_file_get_contents(path, &content, NULL, NULL));
    g_unlink(path);
    return content;
}

static void speak_all_levels(void)
{
    log_debug("d %d", 1);
    log_info("i %d", 2);
    log_warning("w %d", 3);
    log_error("e %s", printed ? printed : "4");
}

/* The first test: nothing has called log_init yet. */
static void test_before_init(void **state)
{
    (void)state;
    g_autofree char *output = stderr_of(speak_all_levels);
    assert_string_equal(output, "one-telemetry: i 2\none-telemetry: w 3\none-telemetry: e 4\n");
}

static void test_levels(void **state)
{
    (void)state;
    static const char *const outputs[] = {
        [LOG_LEVEL_ERROR] = "p: e 4\n",
        [LOG_LEVEL_WARNING] = "p: w 3\np: e 4\n",
        [LOG_LEVEL_INFO] = "p: i 2\np: w 3\np: e 4\n",
        [LOG_LEVEL_DEBUG] = "p: d 1\np: i 2\np: w 3\np: e 4\n",
    };
    for (LogLevel level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        log_init("p", LOG_TO_STDERR, level);
        g_autofree char *output = stderr_of(speak_all_levels);
        assert_string_equal(output, outputs[level]);
    }
}

static void test_one_message_is_one_line(void **state)
{
    (void)state;
    log_init("p", LOG_TO_STDERR, LOG_LEVEL_ERROR);
    printed = "a\nb\xff%s";
    g_autofree char *output = stderr_of(speak_all_levels);
    assert_string_equal(output, "p: e a\\nb\\xFF%s\n");
    printed = NULL;
}

static void test_long_message_is_cut(void **state)
{
    (void)state;
    g_autoptr(GString) text = g_string_new(NULL);
    while (text->len < 2 * LOG_LINE_MAX)
        g_string_append(text, "\xc3\xa4");
    log_init("p", LOG_TO_STDERR, LOG_LEVEL_ERROR);
    printed = text->str;
    g_autofree char *output = stderr_of(speak_all_levels);
    printed = NULL;
    assert_in_range(strlen(output), LOG_LINE_MAX - 3, LOG_LINE_MAX + 1);
    assert_true(g_utf8_validate(output, -1, NULL));
    assert_true(g_str_has_suffix(output, "\xc3\xa4…\n"));
}

static void speak_with_errno(void)
{
    errno = EDOM;
    log_error("%m");
    assert_int_equal(errno, EDOM);
    int saved = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    errno = EDOM;
    log_error("lost");
    int after = errno;
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(after, EDOM);
}

static void test_errno_stays(void **state)
{
    (void)state;
    log_init("p", LOG_TO_STDERR, LOG_LEVEL_ERROR);
    g_autofree char *output = stderr_of(speak_with_errno);
    assert_string_equal(output, "p: Numerical argument out of domain\n");
}

enum { THREADS = 8, MESSAGES = 500 };

static gpointer speak_often(gpointer data)
{
    g_autofree char *text = g_strnfill(200, (char)GPOINTER_TO_INT(data));
    for (int i = 0; i < MESSAGES; i++)
        log_error("%s", text);
    return NULL;
}

static void speak_from_threads(void)
{
    GThread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("speaker", speak_often, GINT_TO_POINTER('a' + i));
    for (int i = 0; i < MESSAGES; i++)
        log_init("p", LOG_TO_STDERR, LOG_LEVEL_ERROR);
    for (int i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
}

static void test_threads_do_not_mix_lines(void **state)
{
    (void)state;
    log_init("p", LOG_TO_STDERR, LOG_LEVEL_ERROR);
    g_autofree char *output = stderr_of(speak_from_threads);
    g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
    assert_int_equal(g_strv_length(lines), THREADS * MESSAGES + 1);
    for (int i = 0; i < THREADS * MESSAGES; i++) {
        g_autofree char *expected = g_strnfill(203, lines[i][3]);
        assert_string_equal(lines[i], memcpy(expected, "p: ", 3));
    }
}

/* --- syslog: a /dev/log of our own in a mount namespace of our own --- */

static int open_dev_log(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/dev", "tmpfs", 0, "size=64k") < 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}

/* Whether the next message is "<priority>time one-telemetry[pid]: text". */
static bool receives(int fd, int priority, const char *text)
{
    char message[4096];
    gssize length = recv(fd, message, sizeof message - 1, 0);
    message[MAX(0, length)] = '\0';
    g_autofree char *start = g_strdup_printf("<%d>", priority);
    g_autofree char *end = g_strdup_printf(" one-telemetry[%d]: %s", (int)getpid(), text);
    bool matches = g_str_has_prefix(message, start) && g_str_has_suffix(message, end);
    if (!matches)
        g_printerr("got \"%s\", not \"%s…%s\"\n", message, start, end);
    return matches;
}

/* The exit status of a process: no cmocka here, which would jump into the parent's code. */
static int check_syslog(void)
{
    enum { FACILITY_DAEMON = 3 << 3 };
    int fd = open_dev_log();
    if (fd < 0)
        return EXIT_SKIP;
    log_init("vm_monitor", LOG_TO_SYSLOG, LOG_LEVEL_DEBUG);
    log_error("no %s", "libvirt\n%s");
    log_warning("w");
    log_info("i");
    log_debug("d");
    if (!receives(fd, FACILITY_DAEMON | 3, "vm_monitor: no libvirt\\n%s") ||
        !receives(fd, FACILITY_DAEMON | 4, "vm_monitor: w") || !receives(fd, FACILITY_DAEMON | 6, "vm_monitor: i") ||
        !receives(fd, FACILITY_DAEMON | 7, "vm_monitor: d"))
        return 1;
    log_init("vm_monitor", LOG_TO_SYSLOG, LOG_LEVEL_ERROR);
    log_warning("w");
    log_init("vm_monitor", LOG_TO_STDERR, LOG_LEVEL_DEBUG);
    close(STDERR_FILENO);
    log_warning("w");
    char more;
    return recv(fd, &more, 1, 0) >= 0;
}

static void test_syslog(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(check_syslog());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == EXIT_SKIP)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_init),
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_any_bytes_give_one_line),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_one_message_is_one_line),
        cmocka_unit_test(test_long_message_is_cut),
        cmocka_unit_test(test_errno_stays),
        cmocka_unit_test(test_threads_do_not_mix_lines),
        cmocka_unit_test(test_syslog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
