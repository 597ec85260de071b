/* desk.c - handing things over between the program's threads and the library's. */
#include "desk.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"

static int
init_condition(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);

    if (rc != 0)
        return rc;
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (rc == 0)
        rc = pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return rc;
}

int
desk_init(struct desk *d, uint64_t queue_bytes, bool report_acks, struct err *err)
{
    int rc;

    *d = (struct desk){.queue_bytes = queue_bytes, .report_acks = report_acks, .armed = true};
    d->lines_end = &d->lines;
    d->runs.seen.next_us = -1;
    d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->wake_fd < 0 || d->event_fd < 0) {
        err_set(err, ERR_IO, errno, "eventfd");
        goto no_fds;
    }
    rc = pthread_mutex_init(&d->lock, NULL);
    if (rc != 0) {
        err_set(err, ERR_IO, rc, "mutex");
        goto no_fds;
    }
    rc = init_condition(&d->changed);
    if (rc != 0) {
        err_set(err, ERR_IO, rc, "condition");
        goto no_condition;
    }
    return 0;

no_condition:
    pthread_mutex_destroy(&d->lock);
no_fds:
    if (d->wake_fd >= 0)
        close(d->wake_fd);
    if (d->event_fd >= 0)
        close(d->event_fd);
    return -1;
}

static void
free_bundles(struct bundle_list *list)
{
    struct bundle *b;

    while ((b = bundle_shift(list)) != NULL)
        bundle_unref(b);
}

void
desk_clear(struct desk *d)
{
    free_bundles(&d->inbox);
    free_bundles(&d->verdicts);
    bundle_unref(d->lent);
    while (d->lines != NULL) {
        struct desk_line *line = d->lines;

        d->lines = line->next;
        free(line);
    }
    free(d->health.text);
    free(d->request.bytes);
    free(d->end.text);
    free(d->state.bytes);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->lock);
    close(d->wake_fd);
    close(d->event_fd);
}

static void
signal_fd(int fd)
{
    /* Cannot fail: the counter is read before it could overflow, and EAGAIN would mean that it is readable. */
    while (eventfd_write(fd, 1) != 0 && errno == EINTR)
        continue;
}

/* --- callers --- */

void
desk_unlock_waking(struct desk *d)
{
    bool wake = d->asleep;

    d->asleep = false;
    pthread_mutex_unlock(&d->lock);
    if (wake)
        signal_fd(d->wake_fd);
}

int64_t
desk_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : clock_mono_us() + (int64_t)timeout_ms * 1000;
}

static void
arm(struct desk *d)
{
    eventfd_t ignored;

    if (d->armed)
        return; /* nothing was signalled since */
    while (eventfd_read(d->event_fd, &ignored) != 0 && errno == EINTR)
        continue;
    d->armed = true;
}

bool
desk_wait_locked(struct desk *d, int64_t deadline_us)
{
    struct timespec until = {.tv_sec = deadline_us / 1000000, .tv_nsec = deadline_us % 1000000 * 1000};
    int rc;

    if (deadline_us != INT64_MAX && clock_mono_us() >= deadline_us) {
        arm(d);
        return false;
    }
    d->waiters++;
    rc = deadline_us == INT64_MAX ? pthread_cond_wait(&d->changed, &d->lock)
                                  : pthread_cond_timedwait(&d->changed, &d->lock, &until);
    d->waiters--;
    /* On a timeout the caller looks once more, and comes back here with the deadline behind it. */
    return rc == 0 || rc == ETIMEDOUT;
}

/* --- the library's thread --- */

static void
wake_callers(struct desk *d)
{
    bool wake = d->armed;

    d->armed = false;
    if (wake)
        signal_fd(d->event_fd); /* under the lock: else arm() could read too early */
    if (d->waiters > 0)
        pthread_cond_broadcast(&d->changed);
}

void
desk_collect(struct desk *d, struct desk_work *ret)
{
    pthread_mutex_lock(&d->lock);
    d->asleep = false;
    if (atomic_exchange(&d->interrupt_news, false))
        wake_callers(d);
    *ret = (struct desk_work){.bundles = d->inbox, .lines = d->lines, .health = d->health,
                              .state_cancel = d->state_cancel, .ready = d->ready, .schedule = d->schedule,
                              .end = d->end, .closing = d->closing};
    d->ready = DESK_READY_SAME;
    d->end = (struct desk_end){.told = false};
    d->inbox = (struct bundle_list){NULL, NULL};
    d->lines = NULL;
    d->lines_end = &d->lines;
    d->lines_n = 0;
    d->health = (struct desk_health){.told = false};
    d->state_cancel = false;
    if (d->state_step == DESK_STATE_ASKED) {
        d->state_step = DESK_STATE_TAKEN;
        ret->requested = true;
        ret->request = d->request;
        d->request.bytes = NULL;
    }
    pthread_mutex_unlock(&d->lock);
}

bool
desk_sleep(struct desk *d)
{
    bool idle;

    pthread_mutex_lock(&d->lock);
    idle = d->inbox.first == NULL && d->lines == NULL && !d->health.told && !d->state_cancel && !d->closing &&
           d->state_step != DESK_STATE_ASKED && d->ready == DESK_READY_SAME && !d->end.told &&
           !atomic_load(&d->interrupt_news);
    d->asleep = idle;
    pthread_mutex_unlock(&d->lock);
    return idle;
}

static void
settle(struct desk *d, struct bundle *b, struct bundle_list *freed)
{
    bool nacked = b->part.verdict == SESSION_NACKED;

    d->unanswered_bytes -= b->part.size;
    if (nacked) {
        d->nacked++;
        d->last_nack = b->part.seq;
    } else {
        d->acked++;
    }
    if (b->part.verdict == SESSION_ACKED && !d->report_acks) {
        d->used -= b->cost;
        bundle_append(freed, b);
    } else {
        d->waiting += b->cost;
        d->verdicts_n++;
        bundle_append(&d->verdicts, b);
    }
}

static bool
report_state(struct desk *d, struct desk_news *news)
{
    if (!news->state_done || d->state_step != DESK_STATE_TAKEN || d->state_cancel)
        return false;
    d->state = news->state;
    news->state.bytes = NULL;
    d->state_step = DESK_STATE_DONE;
    return true;
}

static bool
report_run(struct desk *d, const struct session_run *run)
{
    if (d->runs.seen.changes == run->changes && d->runs.seen.ask == run->ask)
        return false;
    d->runs.seen = *run;
    memcpy(d->runs.words, run->words, strlen(run->words) + 1);
    d->runs.seen.words = d->runs.words;
    return true;
}

static bool
report_info(struct desk *d, const struct desk_news *news)
{
    const struct session_info *info = news->info;
    bool changed = d->phase != info->phase || d->welcomes != info->welcomes;

    if (changed || d->words[0] != info->words[0] || strcmp(d->words, info->words) != 0)
        memcpy(d->words, info->words, strlen(info->words) + 1);
    d->phase = info->phase;
    d->answers = news->answers;
    d->hold = info->hold;
    d->max_bundle = info->max_bundle;
    d->resent = info->resent;
    d->welcomes = info->welcomes;
    changed |= report_run(d, &info->run);
    return changed;
}

void
desk_report(struct desk *d, struct desk_news *news)
{
    struct bundle_list freed = {NULL, NULL};
    bool news_for_callers = news->answered.first != NULL;
    struct bundle *b;

    pthread_mutex_lock(&d->lock);
    while ((b = bundle_shift(&news->answered)) != NULL)
        settle(d, b, &freed);
    news_for_callers |= report_state(d, news);
    news_for_callers |= report_info(d, news);
    if (news_for_callers)
        wake_callers(d);
    pthread_mutex_unlock(&d->lock);
    free_bundles(&freed);
    free(news->state.bytes);
    news->state.bytes = NULL;
}
