/* SPDX-License-Identifier: Apache-2.0
 * Part of programs that are built with SANITIZE=thread alone. GLib's locks are futexes, which ThreadSanitizer does not
 * see: without this it takes everything that they guard for a race. Each function here is GLib's own, and says besides
 * what it orders. */
#include <dlfcn.h>
#include <glib.h>
#include <sanitizer/tsan_interface.h>

/* GLib's function of that name; looked up once. */
#define REAL(name)                                                                                                     \
    static __typeof__(name) *real;                                                                                     \
    if (!__atomic_load_n(&real, __ATOMIC_ACQUIRE)) {                                                                   \
        void *found = dlsym(RTLD_NEXT, #name);                                                                         \
        __atomic_store_n((void **)(gpointer)&real, found, __ATOMIC_RELEASE);                                           \
    }

/* --- locks --- */

void g_mutex_lock(GMutex *mutex)
{
    REAL(g_mutex_lock)
    real(mutex);
    __tsan_acquire(mutex);
}

gboolean g_mutex_trylock(GMutex *mutex)
{
    REAL(g_mutex_trylock)
    gboolean got = real(mutex);
    if (got)
        __tsan_acquire(mutex);
    return got;
}

void g_mutex_unlock(GMutex *mutex)
{
    REAL(g_mutex_unlock)
    __tsan_release(mutex);
    real(mutex);
}

void g_cond_wait(GCond *cond, GMutex *mutex)
{
    REAL(g_cond_wait)
    __tsan_release(mutex);
    real(cond, mutex);
    __tsan_acquire(mutex);
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
    REAL(g_cond_wait_until)
    __tsan_release(mutex);
    gboolean in_time = real(cond, mutex, end_time);
    __tsan_acquire(mutex);
    return in_time;
}

void g_rw_lock_reader_lock(GRWLock *lock)
{
    REAL(g_rw_lock_reader_lock)
    real(lock);
    __tsan_acquire(lock);
}

void g_rw_lock_reader_unlock(GRWLock *lock)
{
    REAL(g_rw_lock_reader_unlock)
    __tsan_release(lock);
    real(lock);
}

void g_rw_lock_writer_lock(GRWLock *lock)
{
    REAL(g_rw_lock_writer_lock)
    real(lock);
    __tsan_acquire(lock);
}

void g_rw_lock_writer_unlock(GRWLock *lock)
{
    REAL(g_rw_lock_writer_unlock)
    __tsan_release(lock);
    real(lock);
}

/* --- what is handed from thread to thread --- */

typedef struct {
    GFunc work;
    gpointer data;
} Pool;

static void work_in_pool(gpointer task, gpointer data)
{
    const Pool *pool = data;
    __tsan_acquire(task);
    pool->work(task, pool->data);
    __tsan_release(data);
}

GThreadPool *g_thread_pool_new(GFunc func, gpointer user_data, gint max_threads, gboolean exclusive, GError **error)
{
    REAL(g_thread_pool_new)
    Pool *pool = g_new(Pool, 1);
    *pool = (Pool){func, user_data};
    __tsan_release(pool);
    return real(work_in_pool, pool, max_threads, exclusive, error);
}

gboolean g_thread_pool_push(GThreadPool *pool, gpointer data, GError **error)
{
    REAL(g_thread_pool_push)
    __tsan_release(data);
    return real(pool, data, error);
}

__attribute__((no_sanitize("thread"))) /* it reads what GLib's own threads free */
void g_thread_pool_free(GThreadPool *pool, gboolean immediate, gboolean wait_)
{
    REAL(g_thread_pool_free)
    gpointer ours = pool->user_data;
    real(pool, immediate, wait_);
    __tsan_acquire(ours);
    if (wait_)
        g_free(ours);
}

void g_async_queue_push(GAsyncQueue *queue, gpointer data)
{
    REAL(g_async_queue_push)
    __tsan_release(queue);
    real(queue, data);
}

gpointer g_async_queue_pop(GAsyncQueue *queue)
{
    REAL(g_async_queue_pop)
    gpointer data = real(queue);
    __tsan_acquire(queue);
    return data;
}

gpointer g_async_queue_try_pop(GAsyncQueue *queue)
{
    REAL(g_async_queue_try_pop)
    gpointer data = real(queue);
    __tsan_acquire(queue);
    return data;
}

/* The last to let go frees what others have read. */
void g_bytes_unref(GBytes *bytes)
{
    REAL(g_bytes_unref)
    if (bytes) {
        __tsan_release(bytes);
        __tsan_acquire(bytes);
    }
    real(bytes);
}
