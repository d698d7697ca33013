/* SPDX-License-Identifier: Apache-2.0
 * GLib's locks and counts of references are made of atomics within a library that ThreadSanitizer has not compiled, so
 * it does not know that they order anything. Linked into builds with SANITIZE=thread, these stand in front of GLib's
 * own and tell it. */
#include <dlfcn.h>
#include <glib.h>
#include <pthread.h>
#include <sanitizer/tsan_interface.h>

/* The next function of that name: GLib's. */
#define REAL(type, name)                                                                                               \
    static gpointer found;                                                                                             \
    if (!g_atomic_pointer_get(&found))                                                                                 \
        g_atomic_pointer_set(&found, dlsym(RTLD_NEXT, name));                                                          \
    type real = (type)g_atomic_pointer_get(&found)

typedef void (*OnLock)(void *lock);
typedef gboolean (*TryLock)(void *lock);
typedef void (*Wait)(GCond *cond, GMutex *mutex);
typedef gboolean (*WaitUntil)(GCond *cond, GMutex *mutex, gint64 until);

#define TAKES(function, type)                                                                                          \
    void function(type *lock)                                                                                          \
    {                                                                                                                  \
        REAL(OnLock, #function);                                                                                       \
        real(lock);                                                                                                    \
        __tsan_acquire(lock);                                                                                          \
    }
#define GIVES(function, type)                                                                                          \
    void function(type *lock)                                                                                          \
    {                                                                                                                  \
        REAL(OnLock, #function);                                                                                       \
        __tsan_release(lock);                                                                                          \
        real(lock);                                                                                                    \
    }

TAKES(g_mutex_lock, GMutex)
GIVES(g_mutex_unlock, GMutex)
TAKES(g_rw_lock_reader_lock, GRWLock)
GIVES(g_rw_lock_reader_unlock, GRWLock)
TAKES(g_rw_lock_writer_lock, GRWLock)
GIVES(g_rw_lock_writer_unlock, GRWLock)

gboolean g_mutex_trylock(GMutex *lock)
{
    REAL(TryLock, "g_mutex_trylock");
    gboolean taken = real(lock);
    if (taken)
        __tsan_acquire(lock);
    return taken;
}

void g_cond_wait(GCond *cond, GMutex *mutex)
{
    REAL(Wait, "g_cond_wait");
    __tsan_release(mutex);
    real(cond, mutex);
    __tsan_acquire(mutex);
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 until)
{
    REAL(WaitUntil, "g_cond_wait_until");
    __tsan_release(mutex);
    gboolean woken = real(cond, mutex, until);
    __tsan_acquire(mutex);
    return woken;
}

/* --- pools: what is pushed goes before what is done with it --- */

typedef struct {
    GFunc function;
    gpointer data;
} Work;

static char all_done; /* what workers did goes before the end of their pool */

static void do_work(gpointer item, gpointer data)
{
    const Work *work = data;
    __tsan_acquire(item);
    work->function(item, work->data);
    __tsan_release(&all_done);
}

typedef GThreadPool *(*NewPool)(GFunc function, gpointer data, gint most, gboolean exclusive, GError **error);
typedef gboolean (*Push)(GThreadPool *pool, gpointer item, GError **error);
typedef void (*FreePool)(GThreadPool *pool, gboolean immediate, gboolean wait);

GThreadPool *g_thread_pool_new(GFunc function, gpointer data, gint most, gboolean exclusive, GError **error)
{
    REAL(NewPool, "g_thread_pool_new");
    Work *work = g_new(Work, 1); /* as long as the pool, of which there are few */
    *work = (Work){function, data};
    return real(do_work, work, most, exclusive, error);
}

gboolean g_thread_pool_push(GThreadPool *pool, gpointer item, GError **error)
{
    REAL(Push, "g_thread_pool_push");
    __tsan_release(item);
    return real(pool, item, error);
}

void g_thread_pool_free(GThreadPool *pool, gboolean immediate, gboolean wait)
{
    REAL(FreePool, "g_thread_pool_free");
    real(pool, immediate, wait);
    __tsan_acquire(&all_done);
}

/* --- bytes: what was read of them goes before they are freed --- */

/* By a lock and not by acquire and release, between which another's last reading could fall. What is freed may hold
 * on to other bytes. */
static pthread_mutex_t unref_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

typedef void (*UnrefBytes)(GBytes *bytes);

void g_bytes_unref(GBytes *bytes)
{
    REAL(UnrefBytes, "g_bytes_unref");
    pthread_mutex_lock(&unref_lock);
    real(bytes);
    pthread_mutex_unlock(&unref_lock);
}

/* --- once --- */

#undef g_once_init_enter
#undef g_once_init_leave

typedef gboolean (*Enter)(volatile void *location);
typedef void (*Leave)(volatile void *location, gsize result);

gboolean(g_once_init_enter)(volatile void *location)
{
    REAL(Enter, "g_once_init_enter");
    gboolean enters = real(location);
    __tsan_acquire((void *)(guintptr)location);
    return enters;
}

void(g_once_init_leave)(volatile void *location, gsize result)
{
    REAL(Leave, "g_once_init_leave");
    __tsan_release((void *)(guintptr)location);
    real(location, result);
}
