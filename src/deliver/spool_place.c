/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/spool_place.h"
#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "one-telemetry-"
#define NAME "spool"
#define OTHERS_MAX 100 /* that are told of */

static char *place_of(guint uid)
{
    return g_strdup_printf(SPOOL_PLACES "/" PREFIX "%u/" NAME, uid);
}

char *spool_default_path(void)
{
    return place_of((guint)geteuid());
}

/* --- opening --- */

typedef enum { IF_IT_EXISTS, OR_MAKE } Use;

/* false and no error: it is missing. */
static bool check_parent(const char *path, Use use, GError **error)
{
    g_autofree char *standard = spool_default_path();
    if (strcmp(path, standard) != 0)
        return true;
    g_autofree char *parent = g_path_get_dirname(standard);
    g_autoptr(GError) reason = NULL;
    FILE_AUTO_CLOSE int fd =
        use == OR_MAKE ? file_open_private_dir(parent, &reason) : file_open_private_dir_at(AT_FDCWD, parent, &reason);
    if (reason && (use == OR_MAKE || !g_error_matches(reason, FILE_ERROR, FILE_ERROR_MISSING)))
        g_propagate_error(error, g_steal_pointer(&reason));
    return fd >= 0;
}

Spool *spool_open_place(const char *path, GError **error)
{
    return check_parent(path, OR_MAKE, error) ? spool_open(path, error) : NULL;
}

Spool *spool_open_existing(const char *path, GError **error)
{
    struct stat status;
    if (!check_parent(path, IF_IT_EXISTS, error))
        return NULL;
    if (lstat(path, &status) == 0)
        return spool_open(path, error);
    if (errno != ENOENT)
        g_set_error(error, SPOOL_ERROR, SPOOL_ERROR_IO, "%s: %s", path, g_strerror(errno));
    return NULL;
}

/* --- other users' --- */

void spool_place_free(SpoolPlace *place)
{
    g_free(place->path);
    g_free(place->user);
    g_free(place);
}

char *spool_user_name(guint uid)
{
    const struct passwd *user = getpwuid((uid_t)uid);
    return user ? g_strdup(user->pw_name) : g_strdup_printf("%u", uid);
}

/* Whose directory that is: a number behind the prefix, and the owner's. false: nobody's. */
static bool read_owner(int dir_fd, const char *name, guint *ret_uid)
{
    struct stat status;
    guint64 uid;
    if (!g_str_has_prefix(name, PREFIX) || !text_read_u64(name + strlen(PREFIX), &uid) || uid > G_MAXUINT ||
        fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(status.st_mode) || status.st_uid != uid)
        return false;
    *ret_uid = (guint)uid;
    return true;
}

/* As far as we may look. */
static bool may_hold_spool(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 ? S_ISDIR(status.st_mode) : errno == EACCES;
}

static gint by_path(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const SpoolPlace *const *)a)->path, (*(const SpoolPlace *const *)b)->path);
}

GPtrArray *spool_other_places(void)
{
    GPtrArray *places = g_ptr_array_new_with_free_func((GDestroyNotify)spool_place_free);
    g_autoptr(GDir) dir = g_dir_open(SPOOL_PLACES, 0, NULL);
    FILE_AUTO_CLOSE int fd = open(SPOOL_PLACES, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *name;
    while (dir && places->len < OTHERS_MAX && (name = g_dir_read_name(dir))) {
        guint uid;
        if (!read_owner(fd, name, &uid) || uid == (guint)geteuid())
            continue;
        g_autofree char *path = place_of(uid);
        if (!may_hold_spool(path))
            continue;
        SpoolPlace *place = g_new(SpoolPlace, 1);
        *place = (SpoolPlace){.path = g_steal_pointer(&path), .user = spool_user_name(uid)};
        g_ptr_array_add(places, place);
    }
    g_ptr_array_sort(places, by_path);
    return places;
}
