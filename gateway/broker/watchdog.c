/* watchdog.c - cuts a connection whose owner is stuck in a library call. */
#include "watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"
#include "thread.h"

enum { TICK_MOST_US = 250000, TICK_LEAST_US = 5000 };

struct watchdog {
    _Atomic int64_t since;   /* mono us when the owner's call began; 0: in none */
    int64_t         hung_us;
    pthread_t       thread;
    pthread_mutex_t lock;    /* of what follows; nothing else is locked inside it */
    pthread_cond_t  wake;
    int             fd;      /* a duplicate; -1: nothing to guard */
    int64_t         stop_at; /* mono us */
    bool            cut, end;
};

void
watchdog_enter(struct watchdog *dog)
{
    atomic_store_explicit(&dog->since, clock_mono_us(), memory_order_relaxed);
}

void
watchdog_leave(struct watchdog *dog)
{
    atomic_store_explicit(&dog->since, 0, memory_order_relaxed);
}

/* Under lock.  A call that ends just as it is judged loses a connection that was about to be given up anyway. */
static void
judge(struct watchdog *dog, int64_t now)
{
    const int64_t since = atomic_load_explicit(&dog->since, memory_order_relaxed);

    if (since == 0 || (now - since < dog->hung_us && now < dog->stop_at))
        return;
    shutdown(dog->fd, SHUT_RDWR); /* one that the peer closed already says ENOTCONN, which is as good */
    dog->cut = true;
}

/* Four looks in hung_us, so that a cut is late by a quarter of a second at most; sharper near the end. */
static int64_t
tick(const struct watchdog *dog)
{
    int64_t us = dog->stop_at != INT64_MAX ? 4 * (int64_t)TICK_LEAST_US : dog->hung_us / 4;

    if (us > TICK_MOST_US)
        us = TICK_MOST_US;
    return us < TICK_LEAST_US ? TICK_LEAST_US : us;
}

static void *
watch(void *arg)
{
    struct watchdog *dog = arg;

    pthread_mutex_lock(&dog->lock);
    while (!dog->end) {
        if (dog->fd < 0 || dog->cut) {
            pthread_cond_wait(&dog->wake, &dog->lock);
            continue;
        }
        const int64_t now = clock_mono_us(), at = now + tick(dog);
        const struct timespec until = {.tv_sec = at / 1000000, .tv_nsec = at % 1000000 * 1000};
        pthread_cond_timedwait(&dog->wake, &dog->lock, &until);
        if (dog->fd >= 0 && !dog->cut)
            judge(dog, clock_mono_us());
    }
    pthread_mutex_unlock(&dog->lock);
    return NULL;
}

struct watchdog *
watchdog_start(int64_t hung_us, struct err *err)
{
    struct watchdog *dog = calloc(1, sizeof(*dog));
    pthread_condattr_t attr;

    if (dog == NULL) {
        err_set(err, ERR_NOMEM, errno, "the watchdog of a broker connection");
        return NULL;
    }
    dog->hung_us = hung_us;
    dog->fd = -1;
    dog->stop_at = INT64_MAX;
    pthread_mutex_init(&dog->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&dog->wake, &attr);
    pthread_condattr_destroy(&attr);

    if (thread_start(&dog->thread, watch, dog, "the watchdog of a broker connection", err) == 0)
        return dog;
    pthread_cond_destroy(&dog->wake);
    pthread_mutex_destroy(&dog->lock);
    free(dog);
    return NULL;
}

int
watchdog_guard(struct watchdog *dog, int fd, struct err *err)
{
    const int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (own < 0)
        return err_set(err, ERR_IO, errno, "a descriptor for the watchdog (see the limit of open files)");
    pthread_mutex_lock(&dog->lock);
    dog->fd = own;
    dog->cut = false;
    pthread_cond_signal(&dog->wake);
    pthread_mutex_unlock(&dog->lock);
    return 0;
}

bool
watchdog_release(struct watchdog *dog)
{
    pthread_mutex_lock(&dog->lock);
    const bool cut = dog->cut;
    if (dog->fd >= 0)
        close(dog->fd);
    dog->fd = -1;
    dog->cut = false;
    pthread_mutex_unlock(&dog->lock);
    return cut;
}

void
watchdog_stop_by(struct watchdog *dog, int64_t at_us)
{
    pthread_mutex_lock(&dog->lock);
    dog->stop_at = at_us;
    pthread_cond_signal(&dog->wake);
    pthread_mutex_unlock(&dog->lock);
}

void
watchdog_free(struct watchdog *dog)
{
    if (dog == NULL)
        return;
    pthread_mutex_lock(&dog->lock);
    dog->end = true;
    pthread_cond_signal(&dog->wake);
    pthread_mutex_unlock(&dog->lock);
    pthread_join(dog->thread, NULL);
    watchdog_release(dog);
    pthread_cond_destroy(&dog->wake);
    pthread_mutex_destroy(&dog->lock);
    free(dog);
}
