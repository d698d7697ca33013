/* SPDX-License-Identifier: Apache-2.0
 * Files that survive crashes and bad neighbours: in a directory like /var/tmp others can prepare traps. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define FILE_ERROR file_error_quark()
GQuark file_error_quark(void);
typedef enum {
    FILE_ERROR_MISSING, /* not there: ENOENT */
    FILE_ERROR_UNSAFE,  /* a symbolic link, of another user, open to others, or no regular file / directory */
    FILE_ERROR_TOO_LARGE,
    FILE_ERROR_IO, /* everything else; the message holds strerror */
} FileErrorCode;

/* Opens directory `path`, making it (mode 0700; parents are not made) where it is missing. Refused, as UNSAFE: a
 * symbolic link in the last component, an owner other than the effective user, group or other write permission. Returns
 * a descriptor (O_CLOEXEC) or -1. */
int file_open_private_dir(const char *path, GError **error);

/* The same of `name` in directory `dir_fd` (or AT_FDCWD), but one that is MISSING is not made. */
int file_open_private_dir_at(int dir_fd, const char *name, GError **error);

/* Whole content of `name` in directory `dir_fd`; at most `limit` bytes, else TOO_LARGE. UNSAFE: as above (a regular
 * file of the effective user, no symbolic link; never blocks on a FIFO). Content is followed by a NUL that is not
 * counted; the caller frees it with g_free. */
bool file_read_private(int dir_fd, const char *name, gsize limit, char **ret_content, gsize *ret_length,
                       GError **error);

/* Replaces `name` in `dir_fd` by the content, mode 0600: written to "name.tmp-PID", fsync, rename, fsync of the
 * directory. After a failure (full disk) the old file is as it was and no temporary file is left. Temporary files that
 * killed writers of `name` left behind more than a minute ago are removed. */
bool file_write_private(int dir_fd, const char *name, const char *content, gsize length, GError **error);

/* Whole content of an ordinary file anywhere; symbolic links are followed. Owned by the caller. */
bool file_read(const char *path, gsize limit, char **ret_content, gsize *ret_length, GError **error);

/* Whole content of a secret (a password, a token, a key). UNSAFE, with what to do about it in the message: no regular
 * file, a symbolic link in the last component, an owner other than the effective user and root, permissions for others,
 * and for the group too, unless root owns it: root:oneadmin 0640 is how root hands a secret to a service. */
bool file_read_secret(const char *path, gsize limit, char **ret_content, gsize *ret_length, GError **error);

/* Appends to an ordinary file, made with mode 0644 where it is missing. */
bool file_append(const char *path, const char *content, gsize length, GError **error);

/* For a descriptor that is closed at the end of its scope, unless it is negative; errno stays as it is. */
void file_close_at_end(const int *fd);
#define FILE_AUTO_CLOSE __attribute__((cleanup(file_close_at_end)))

/* Writes all of it to a descriptor, over interruptions and partial writes. false: errno is set. */
bool file_write_all(int fd, const char *content, gsize length);
