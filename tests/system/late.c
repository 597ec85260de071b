/* late.c - how much later than asked for a thread is woken, summed up over a while. */
#include "system/late.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"

enum {
    NAP_US = 1000,
    USUAL_US = 300, /* what a wake-up takes on an idle machine, with plenty */
    TURNS = 4       /* who waits once here waits in a test for one process after the other */
};

struct late {
    pthread_t thread;
    atomic_bool stop;
    int64_t sum_us; /* the thread's, until it is joined */
};

static void *
nap(void *arg)
{
    const struct timespec t = {.tv_nsec = NAP_US * 1000};
    struct late *l = arg;

    while (!atomic_load(&l->stop)) {
        const int64_t before_us = clock_mono_us();

        (void)nanosleep(&t, NULL);
        const int64_t over_us = clock_mono_us() - before_us - NAP_US;
        l->sum_us += over_us > USUAL_US ? over_us : 0;
    }
    return NULL;
}

struct late *
late_start(void)
{
    struct late *l = calloc(1, sizeof(*l));

    if (l == NULL || pthread_create(&l->thread, NULL, nap, l) != 0) {
        free(l);
        return NULL;
    }
    return l;
}

int64_t
late_stop(struct late *l)
{
    int64_t us;

    if (l == NULL)
        return 0;
    atomic_store(&l->stop, true);
    (void)pthread_join(l->thread, NULL);
    us = l->sum_us * TURNS;
    free(l);
    return us;
}
