/* runs.c - permits in, ends out: what sluice.h says about runs, without the callback. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "handle.h"
#include "text.h"

enum { GRACE_MS = 5000 }; /* for the end of a run to be recorded, once we were interrupted */

_Static_assert(sizeof(((struct sluice_run *)NULL)->id) == WIRE_RUN_LEN, "the id of a run is what the protocol has");
_Static_assert((int)SLUICE_RUN_OK == (int)WIRE_OUT_OK && (int)SLUICE_RUN_FAILED == (int)WIRE_OUT_FAILED &&
                   (int)SLUICE_RUN_STOP == (int)WIRE_OUT_STOP,
               "outcomes are counted as on the wire");

/* --- asking --- */

void
ask_for_runs(struct sluice *s, const struct session_schedule *schedule)
{
    struct desk *d = &s->desk;

    pthread_mutex_lock(&d->lock);
    d->runs.asked = true;
    d->runs.kind = schedule->kind;
    d->ready = DESK_READY_ASK;
    d->schedule = *schedule;
    d->schedule.ask = ++d->runs.asks;
    desk_unlock_waking(d);
}

static void
ask_no_more_locked(struct desk *d)
{
    d->runs.asked = false;
    d->ready = DESK_READY_WITHDRAW;
}

void
ask_no_more(struct sluice *s)
{
    pthread_mutex_lock(&s->desk.lock);
    ask_no_more_locked(&s->desk);
    desk_unlock_waking(&s->desk);
}

int
sluice_ready(struct sluice *s, const char *period, const struct sluice_schedule_options *opt, struct sluice_error *err)
{
    struct session_schedule schedule;
    int rc = read_schedule(period, opt, &schedule, err);

    if (rc == 0)
        ask_for_runs(s, &schedule);
    return rc;
}

/* --- ends --- */

static void
tell_end_locked(struct desk *d, const uint8_t run[WIRE_RUN_LEN], enum sluice_outcome outcome, char *text)
{
    free(d->end.text);
    d->end = (struct desk_end){.told = true, .outcome = (enum wire_outcome)outcome, .text = text};
    memcpy(d->end.run, run, sizeof(d->end.run));
}

static void
left_locked(struct desk *d, enum sluice_outcome outcome)
{
    d->runs.in_run = false;
    if (outcome == SLUICE_RUN_STOP)
        ask_no_more_locked(d);
}

/* Between the permit that was taken and the next one there is no other run. */
static bool
current_locked(const struct desk *d)
{
    return d->runs.seen.permits == d->runs.taken && d->runs.seen.step != SESSION_RUN_NONE &&
           d->runs.seen.step != SESSION_RUN_OVER;
}

bool
run_ending_locked(const struct desk *d)
{
    const struct desk_runs *r = &d->runs;

    /* What was seen of the run that was taken is older than its end, or tells of it. */
    if (r->in_run || r->taken == 0)
        return false;
    return r->seen.permits == r->taken && r->seen.step != SESSION_RUN_NONE;
}

int
sluice_run_alive(const struct sluice *s)
{
    struct desk *d = s->shared;
    int alive;

    pthread_mutex_lock(&d->lock);
    alive = d->runs.in_run && current_locked(d) && check_phase_locked(s, NULL) == 0;
    pthread_mutex_unlock(&d->lock);
    return alive;
}

static int
check_outcome(const char *what, enum sluice_outcome outcome, struct sluice_error *err)
{
    if (outcome >= SLUICE_RUN_OK && outcome <= SLUICE_RUN_STOP)
        return 0;
    return fail(err, SLUICE_EINVAL, "%s: %d is not an outcome", what, (int)outcome);
}

int
sluice_done(struct sluice *s, enum sluice_outcome outcome, const char *text, struct sluice_error *err)
{
    struct desk *d = &s->desk;
    char *copy = NULL;
    int rc = check_outcome("done", outcome, err);

    if (rc != 0)
        return rc;
    if (text != NULL && text[0] != '\0') {
        if (!text_is_utf8(text, strlen(text)))
            return fail(err, SLUICE_EINVAL, "done: the text is not UTF-8");
        copy = strndup(text, cut_text(text));
        if (copy == NULL)
            return fail(err, SLUICE_ENOMEM, "done: no memory for its text");
    }
    pthread_mutex_lock(&d->lock);
    if (!d->runs.in_run) {
        pthread_mutex_unlock(&d->lock);
        free(copy);
        return fail(err, SLUICE_ENORUN, "done: no run is under way");
    }
    if (!current_locked(d))
        rc = fail(err, SLUICE_ENORUN, "done: the gateway had ended the run already, or put another in its place");
    tell_end_locked(d, d->runs.id, outcome, copy);
    left_locked(d, outcome);
    desk_unlock_waking(d);
    return rc;
}

int
sluice_done_with_state(struct sluice *s, enum sluice_outcome outcome, const void *bytes, size_t len, uint64_t version,
                       uint64_t *ret_version, int timeout_ms, struct sluice_error *err)
{
    struct session_commit commit = {.after = true, .ends = true, .outcome = (enum wire_outcome)outcome};
    struct desk *d = &s->desk;
    int rc = check_outcome("done with state", outcome, err);
    bool in_run;

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&d->lock);
    in_run = d->runs.in_run;
    memcpy(commit.run, d->runs.id, sizeof(commit.run));
    pthread_mutex_unlock(&d->lock);
    if (!in_run)
        return fail(err, SLUICE_ENORUN, "done with state: no run is under way");
    rc = set_state(s, "done with state", bytes, len, version, &commit, ret_version, timeout_ms, err);
    if (rc != 0 && rc != SLUICE_ENORUN)
        return rc;
    pthread_mutex_lock(&d->lock);
    if (rc == SLUICE_ENORUN)
        tell_end_locked(d, commit.run, outcome, NULL); /* so that the session knows that we know */
    left_locked(d, outcome);
    desk_unlock_waking(d);
    return rc;
}

int
await_end(struct sluice *s, struct sluice_error *err)
{
    int64_t deadline = INT64_MAX;
    struct desk *d = &s->desk;
    int rc = 0;

    pthread_mutex_lock(&d->lock);
    while (run_ending_locked(d) && (rc = check_phase_locked(s, err)) == 0) {
        if (deadline == INT64_MAX && atomic_load(&d->interrupted))
            deadline = desk_deadline(GRACE_MS);
        if (!desk_wait_locked(d, deadline)) {
            atomic_store(&d->interrupted, false);
            rc = fail(err, SLUICE_EINTR, "interrupted before the end of the run was recorded; the gateway may not "
                                         "have heard of it");
            break;
        }
    }
    pthread_mutex_unlock(&d->lock);
    return rc;
}

/* --- permits --- */

static int
no_permit_yet_locked(const struct sluice *s, struct sluice_error *err)
{
    const struct session_run *r = &s->desk.runs.seen;
    char why[96];

    if (s->desk.phase != SESSION_WELCOMED)
        return fail_again_locked(s, err, "permit");
    print_hold(r->reasons, why, sizeof(why));
    if (why[0] != '\0')
        return fail(err, SLUICE_EAGAIN, "permit: held by %s; it comes by itself", why);
    if (r->next_us >= 0)
        return fail(err, SLUICE_EAGAIN, "permit: the next run is due in %lld s",
                    (long long)(r->next_us > clock_mono_us() ? (r->next_us - clock_mono_us()) / 1000000 : 0));
    return fail(err, SLUICE_EAGAIN, "permit: the gateway has not answered yet");
}

static int
take_locked(struct desk *d, struct sluice_run *ret)
{
    struct desk_runs *r = &d->runs;

    r->taken = r->seen.permits;
    r->in_run = true;
    memcpy(r->id, r->seen.id, sizeof(r->id));
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->id, r->id, sizeof(ret->id));
    if (r->kind == WIRE_S_TERMINATE)
        ask_no_more_locked(d); /* or the session would ask for another as soon as this one's end is recorded */
    return 0;
}

/* Superseded before anybody took it: nothing was run, and the session is to ask for the other one. */
static void
pass_over_locked(struct desk *d)
{
    d->runs.taken = d->runs.seen.permits;
    tell_end_locked(d, d->runs.seen.id, SLUICE_RUN_STOP, NULL);
}

static int
held_locked(struct desk *d, struct sluice_error *err)
{
    char why[96];

    print_hold(d->runs.seen.reasons, why, sizeof(why));
    ask_no_more_locked(d);
    return fail(err, SLUICE_EHELD, "run and terminate: held by %s, so nothing was run; start it again later",
                why[0] == '\0' ? "the gateway" : why);
}

/* One look at what the gateway has said.  SLUICE_EAGAIN: nothing new. */
static int
look_locked(struct sluice *s, struct sluice_run *ret, struct sluice_error *err)
{
    struct desk *d = &s->desk;
    struct desk_runs *r = &d->runs;
    int rc;

    if (atomic_exchange(&d->interrupted, false))
        return fail(err, SLUICE_EINTR, "permit: interrupted");
    rc = check_phase_locked(s, err);
    if (rc != 0)
        return rc;
    if (r->in_run)
        return fail(err, SLUICE_EINVAL, "permit: a run is under way; end it with sluice_done first");
    if (!r->asked)
        return fail(err, SLUICE_EINVAL, "permit: nobody asked for one; call sluice_ready first");
    if (r->seen.permits > r->taken && r->seen.step != SESSION_RUN_OVER)
        return take_locked(d, ret);
    if (r->seen.permits > r->taken)
        pass_over_locked(d);
    if (r->seen.ask != r->asks || !r->seen.answered)
        return SLUICE_EAGAIN;
    if (r->seen.refused) {
        r->asked = false;
        return fail(err, SLUICE_EINVAL, "the gateway refuses this schedule: %s", r->words);
    }
    return r->kind == WIRE_S_TERMINATE ? held_locked(d, err) : SLUICE_EAGAIN;
}

int
sluice_permit_next(struct sluice *s, struct sluice_run *ret, int timeout_ms, struct sluice_error *err)
{
    int64_t deadline = desk_deadline(timeout_ms);
    struct desk *d = &s->desk;
    int rc;

    pthread_mutex_lock(&d->lock);
    while ((rc = look_locked(s, ret, err)) == SLUICE_EAGAIN)
        if (!desk_wait_locked(d, deadline)) {
            rc = no_permit_yet_locked(s, err);
            break;
        }
    desk_unlock_waking(d);
    return rc;
}

/* Nothing here but what a signal handler may do: who waits is woken by the library's thread. */
void
sluice_interrupt(struct sluice *s)
{
    const uint64_t one = 1;

    atomic_store(&s->desk.interrupted, true);
    atomic_store(&s->desk.interrupt_news, true);
    while (write(s->desk.wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}
