#include "program.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "err.h"
#include "world.h"

struct program {
    struct program_plan plan;
    struct sluice *s;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    struct program_run runs[PROGRAM_RUNS_MAX];
    int begun, ended;
    bool over; /* a run is to end now */
    bool back; /* the call returned: */
    int rc;
    struct sluice_error why;
};

static bool
is_over(struct program *p)
{
    pthread_mutex_lock(&p->lock);
    bool over = p->over;
    pthread_mutex_unlock(&p->lock);
    return over;
}

/* The time of the run, or less where the gateway has given it up or the test is over. */
static void
take_time(struct program *p)
{
    const int64_t end = clock_mono_us() + (int64_t)p->plan.run_ms * 1000;
    for (;;) {
        int64_t left_ms = (end - clock_mono_us() + 999) / 1000;
        if (left_ms <= 0 || is_over(p) || !sluice_run_alive(p->s))
            return;
        world_sleep_ms(left_ms < 20 ? left_ms : 20);
    }
}

static enum sluice_outcome
run(struct sluice *s, struct sluice_run *r, void *ctx)
{
    struct program *p = ctx;
    enum sluice_outcome outcome = SLUICE_RUN_OK;
    pthread_mutex_lock(&p->lock);
    int i = p->begun++ % PROGRAM_RUNS_MAX;
    p->runs[i].begun_us = clock_mono_us();
    p->runs[i].begun_ms = clock_wall_us() / 1000;
    pthread_mutex_unlock(&p->lock);
    if (p->plan.within != NULL)
        outcome = p->plan.within(s, r, p->plan.ctx);
    take_time(p);
    pthread_mutex_lock(&p->lock);
    p->ended++;
    p->runs[i].ended_us = clock_mono_us();
    p->runs[i].ended_ms = clock_wall_us() / 1000;
    if (p->ended == p->plan.stop_at)
        outcome = SLUICE_RUN_STOP;
    pthread_mutex_unlock(&p->lock);
    return outcome;
}

static void *
program_main(void *arg)
{
    struct program *p = arg;
    const struct program_plan *plan = &p->plan;
    struct sluice_error why = {.code = 0};
    int rc = plan->period != NULL ? sluice_schedule_iso(p->s, plan->period, run, p, &plan->opt, &why)
                                  : sluice_schedule_unit(p->s, plan->n, plan->unit, run, p, &plan->opt, &why);
    pthread_mutex_lock(&p->lock);
    p->rc = rc;
    p->why = why;
    p->back = true;
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct program *
program_start(const char *endpoint, const struct program_plan *plan, struct err *err)
{
    const struct sluice_options opt = {.id = plan->id, .endpoint = endpoint};
    struct sluice_error why = {.code = 0};
    struct program *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        (void)err_set(err, ERR_NOMEM, errno, "program");
        return NULL;
    }
    p->plan = *plan;
    (void)pthread_mutex_init(&p->lock, NULL);
    p->s = sluice_open(&opt, &why);
    if (p->s == NULL || pthread_create(&p->thread, NULL, program_main, p) != 0) {
        (void)err_set(err, ERR_IO, 0, "program %s: %s", plan->id, p->s == NULL ? why.text : "no thread");
        (void)sluice_close(&p->s, 0, NULL);
        free(p);
        return NULL;
    }
    return p;
}

static bool
await(struct program *p, const int *count, int n, int timeout_ms)
{
    const int64_t end = clock_mono_us() + (int64_t)timeout_ms * 1000;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        bool there = *count >= n;
        pthread_mutex_unlock(&p->lock);
        if (there || clock_mono_us() >= end)
            return there;
        world_sleep_ms(2);
    }
}

bool
program_begins(struct program *p, int n, int timeout_ms)
{
    return await(p, &p->begun, n, timeout_ms);
}

bool
program_ends(struct program *p, int n, int timeout_ms)
{
    return await(p, &p->ended, n, timeout_ms);
}

int
program_runs(struct program *p)
{
    pthread_mutex_lock(&p->lock);
    int n = p->begun;
    pthread_mutex_unlock(&p->lock);
    return n;
}

struct program_run
program_run(struct program *p, int i)
{
    pthread_mutex_lock(&p->lock);
    struct program_run r = p->runs[i];
    pthread_mutex_unlock(&p->lock);
    return r;
}

int
program_returned(struct program *p, int timeout_ms, struct sluice_error *ret)
{
    const int64_t end = clock_mono_us() + (int64_t)timeout_ms * 1000;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        bool back = p->back;
        int rc = p->rc;
        *ret = p->why;
        pthread_mutex_unlock(&p->lock);
        if (back)
            return rc;
        if (clock_mono_us() >= end)
            return 1;
        world_sleep_ms(2);
    }
}

struct sluice *
program_sluice(const struct program *p)
{
    return p->s;
}

void
program_free(struct program *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->over = true;
    pthread_mutex_unlock(&p->lock);
    sluice_interrupt(p->s);
    (void)pthread_join(p->thread, NULL);
    (void)sluice_close(&p->s, 1000, NULL);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}
