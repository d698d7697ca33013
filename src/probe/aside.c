/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/aside.h"

#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TROUBLE_MAX 1024
#define REMIND_S 3600

int aside_lock(const char *state_dir, const char *name)
{
    FILE_AUTO_CLOSE int dir = file_open_private_dir(state_dir, NULL);
    int fd = dir < 0 ? -1 : openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

void aside_report(int lock_fd, const char *subject, const char *trouble)
{
    char told[TROUBLE_MAX + 1];
    struct stat status;
    const char *now = trouble ? trouble : "";
    gssize length = pread(lock_fd, told, TROUBLE_MAX, 0);
    told[MAX(length, 0)] = '\0';
    bool same = strncmp(told, now, TROUBLE_MAX) == 0;
    bool fresh = fstat(lock_fd, &status) == 0 && time(NULL) - status.st_mtime < REMIND_S;
    if (same && (fresh || !trouble))
        return;
    if (trouble)
        log_warning("%s: %s", subject, trouble);
    else
        log_info("%s: all is well again", subject);
    if (ftruncate(lock_fd, 0) < 0 || pwrite(lock_fd, now, MIN(strlen(now), TROUBLE_MAX), 0) < 0)
        log_debug("%s: %s", subject, g_strerror(errno)); /* it is said again then */
}

bool aside_has_told(int lock_fd)
{
    struct stat status;
    return fstat(lock_fd, &status) == 0 && status.st_size > 0 && time(NULL) - status.st_mtime < REMIND_S;
}

/* Owned by the caller. */
static char *book_name(const char *kind, const char *state_name)
{
    return g_strconcat(kind, "-", state_name, NULL);
}

VmBook *aside_load_book(const char *state_dir, const char *kind, const char *state_name)
{
    g_autofree char *name = book_name(kind, state_name), *text = NULL;
    gsize length;
    FILE_AUTO_CLOSE int dir = file_open_private_dir_at(AT_FDCWD, state_dir, NULL);
    VmBook *book = NULL;
    if (dir >= 0 && file_read_private(dir, name, VM_BOOK_FILE_MAX, &text, &length, NULL))
        book = vm_book_read(text, length);
    return book ? book : vm_book_new();
}

bool aside_save_book(const VmBook *book, const char *state_dir, const char *kind, const char *state_name,
                     GError **error)
{
    g_autofree char *name = book_name(kind, state_name);
    g_autoptr(GString) text = g_string_new(NULL);
    FILE_AUTO_CLOSE int dir = file_open_private_dir(state_dir, error);
    if (dir < 0)
        return false;
    vm_book_write(book, text);
    return file_write_private(dir, name, text->str, text->len, error);
}
