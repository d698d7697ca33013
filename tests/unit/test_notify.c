/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "serve/notify.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    return fd;
}

static void check_heard(const char *path)
{
    char text[200] = "";
    int fd = listen_at(path);
    g_setenv("NOTIFY_SOCKET", path, TRUE);
    assert_true(notify_send("READY=1\nSTATUS=x"));
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    CHECK_TEXT(text, "READY=1\nSTATUS=x", path);
    memset(text, 0, sizeof text);
    assert_true(notify_reloading());
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_true(g_str_has_prefix(text, "RELOADING=1\nMONOTONIC_USEC="));
    close(fd);
}

static void it_is_heard(void **state)
{
    (void)state;
    g_autofree char *dir = make_temporary_dir();
    g_autofree char *path = g_build_filename(dir, "socket", NULL);
    g_autofree char *name = g_strdup_printf("@one-telemetry-test-%d", (int)getpid());
    check_heard(path);
    check_heard(name);
    remove_tree(dir);
}

static void nobody_listens(void **state)
{
    (void)state;
    static const char *const paths[] = {"/nowhere/socket", "relative", "", "@"};
    g_unsetenv("NOTIFY_SOCKET");
    assert_false(notify_send("READY=1"));
    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_setenv("NOTIFY_SOCKET", paths[i], TRUE);
        CHECK(!notify_send("READY=1"), "%s", paths[i]);
    }
    g_autofree char *longest = g_strnfill(500, 'x');
    longest[0] = '/';
    g_setenv("NOTIFY_SOCKET", longest, TRUE);
    assert_false(notify_send("READY=1"));
}

static void the_watchdog_is_of_this_process(void **state)
{
    (void)state;
    g_autofree char *own = g_strdup_printf("%d", (int)getpid());
    g_unsetenv("WATCHDOG_USEC");
    assert_true(notify_watchdog_ms() == 0);
    g_setenv("WATCHDOG_USEC", "30000000", TRUE);
    assert_true(notify_watchdog_ms() == 30000);
    g_setenv("WATCHDOG_PID", "1", TRUE);
    assert_true(notify_watchdog_ms() == 0);
    g_setenv("WATCHDOG_PID", own, TRUE);
    assert_true(notify_watchdog_ms() == 30000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_heard),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(the_watchdog_is_of_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
