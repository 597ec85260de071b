#include "load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "err.h"
#include "ledger.h"
#include "sluice/sluice.h"
#include "world.h"

enum { STEP_MS = 50 };

struct worker {
    struct load *load;
    uint32_t who;
    pthread_t thread;
    struct sluice *handle;
    struct load_result result; /* the worker's, until it is joined */
    atomic_uint_fast64_t pushed, acked;
};

struct load {
    struct load_plan plan;
    atomic_bool stop;
    _Atomic int64_t deadline_us; /* for answers, once set */
    uint32_t started;
    struct worker workers[LOAD_MAX];
};

static void
failed(struct worker *w, const char *call, const struct sluice_error *e)
{
    if (w->result.error[0] == '\0')
        (void)snprintf(w->result.error, sizeof(w->result.error), "%s: %s", call, e->text);
}

static void
note(struct worker *w, const struct sluice_verdict *v)
{
    enum ledger_answer answer = LEDGER_ACKED;
    if (v->kind == SLUICE_ACKED) {
        w->result.acked++;
        atomic_fetch_add(&w->acked, 1);
    } else {
        answer = v->kind == SLUICE_NACKED ? LEDGER_NACKED : LEDGER_DEAD;
        w->result.nacked += v->kind == SLUICE_NACKED;
        w->result.dead += v->kind != SLUICE_NACKED;
        (void)snprintf(w->result.reason, sizeof(w->result.reason), "%s", v->reason);
        (void)snprintf(w->result.text, sizeof(w->result.text), "%s", v->text);
    }
    if (w->load->plan.ledger != NULL)
        ledger_answered(w->load->plan.ledger, w->who, v->tag, answer);
}

/* Take the verdicts that are there, waiting for the first up to timeout_ms. */
static void
take_verdicts(struct worker *w, int timeout_ms)
{
    struct sluice_verdict v;
    while (sluice_verdict_next(w->handle, &v, timeout_ms, NULL) == 0) {
        note(w, &v);
        timeout_ms = 0;
    }
}

static size_t
size_of(const struct load_plan *plan, uint64_t number)
{
    return plan->size_min + (size_t)(number * 7919 % (plan->size_max - plan->size_min + 1));
}

/* Push one bundle, however long it takes.  -1: not any more. */
static int
push_one(struct worker *w, uint64_t number)
{
    const struct load_plan *plan = &w->load->plan;
    struct sluice_push_options opt = {.tag = number};
    struct sluice_error e;
    size_t size = size_of(plan, number);
    void *body = malloc(size);
    int code;
    if (body == NULL)
        abort();
    ledger_body(body, size, w->who, number);
    if (plan->ledger != NULL)
        ledger_pushed(plan->ledger, w->who, number, size);
    do {
        code = sluice_push_take(w->handle, &body, size, &opt, STEP_MS, &e);
        take_verdicts(w, 0);
    } while ((code == SLUICE_EAGAIN || code == SLUICE_EVERDICTS) &&
             (!atomic_load(&w->load->stop) || atomic_load(&w->load->deadline_us) == 0 ||
              clock_mono_us() < atomic_load(&w->load->deadline_us)));
    free(body);
    if (code == 0) {
        w->result.pushed++;
        atomic_fetch_add(&w->pushed, 1);
        return 0;
    }
    failed(w, "push", &e);
    return -1;
}

static bool
all_answered(const struct worker *w)
{
    return w->result.acked + w->result.dead + w->result.nacked >= w->result.pushed;
}

static void *
worker_main(void *arg)
{
    struct worker *w = arg;
    const struct load_plan *plan = &w->load->plan;
    struct sluice_info info;
    for (uint64_t i = 1; (plan->bundles == 0 || i <= plan->bundles) && !atomic_load(&w->load->stop); i++) {
        if (push_one(w, plan->start + i) != 0)
            break;
        if (plan->pause_us > 0)
            take_verdicts(w, (int)(plan->pause_us / 1000));
    }
    while (!all_answered(w) &&
           (atomic_load(&w->load->deadline_us) == 0 || clock_mono_us() < atomic_load(&w->load->deadline_us))) {
        struct sluice_error e;
        take_verdicts(w, STEP_MS);
        if (sluice_wait(w->handle, 0, &e) == SLUICE_EREPLACED) {
            failed(w, "wait", &e);
            break;
        }
    }
    (void)sluice_close(&w->handle, 0, &info);
    w->result.unanswered = w->result.pushed - w->result.acked - w->result.dead - w->result.nacked;
    w->result.resent = info.resent;
    w->result.reconnects = info.reconnects;
    return NULL;
}

static int
start_worker(struct load *l, uint32_t i, struct err *err)
{
    struct worker *w = &l->workers[i];
    struct sluice_error e;
    char id[32];
    struct sluice_options opt = {
        .id = l->plan.id, .endpoint = l->plan.endpoint, .report_acks = 1, .queue_bytes = l->plan.queue_bytes};
    w->load = l;
    w->who = l->plan.first + i;
    (void)snprintf(id, sizeof(id), "load-%u", w->who);
    if (opt.id == NULL)
        opt.id = id;
    w->handle = sluice_open(&opt, &e);
    if (w->handle == NULL)
        return err_set(err, ERR_IO, 0, "sluice_open: %s", e.text);
    if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
        (void)sluice_close(&w->handle, 0, NULL);
        return err_set(err, ERR_IO, 0, "thread of %s", opt.id);
    }
    return 0;
}

struct load *
load_start(const struct load_plan *plan, struct err *err)
{
    struct load *l = calloc(1, sizeof(*l));
    if (l == NULL || plan->connectors > LOAD_MAX) {
        (void)err_set(err, ERR_NOMEM, 0, "load of %u connectors", plan->connectors);
        free(l);
        return NULL;
    }
    l->plan = *plan;
    for (; l->started < plan->connectors; l->started++)
        if (start_worker(l, l->started, err) != 0) {
            (void)load_finish(l, 0, NULL, NULL);
            load_free(l);
            return NULL;
        }
    return l;
}

void
load_stop(struct load *l)
{
    atomic_store(&l->stop, true);
}

void
load_progress(struct load *l, struct load_result *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (uint32_t i = 0; i < l->started; i++) {
        ret->pushed += atomic_load(&l->workers[i].pushed);
        ret->acked += atomic_load(&l->workers[i].acked);
    }
}

static void
add_result(struct load_result *sum, const struct load_result *one)
{
    sum->pushed += one->pushed;
    sum->acked += one->acked;
    sum->dead += one->dead;
    sum->nacked += one->nacked;
    sum->unanswered += one->unanswered;
    sum->resent += one->resent;
    sum->reconnects += one->reconnects;
    if (sum->error[0] == '\0')
        memcpy(sum->error, one->error, sizeof(sum->error));
    if (one->reason[0] != '\0') {
        memcpy(sum->reason, one->reason, sizeof(sum->reason));
        memcpy(sum->text, one->text, sizeof(sum->text));
    }
}

int
load_finish(struct load *l, int timeout_ms, struct load_result *ret, struct err *err)
{
    struct load_result sum = {.pushed = 0};
    atomic_store(&l->deadline_us, clock_mono_us() + (int64_t)timeout_ms * 1000);
    if (l->plan.bundles == 0 || timeout_ms == 0)
        load_stop(l);
    for (uint32_t i = 0; i < l->started; i++) {
        (void)pthread_join(l->workers[i].thread, NULL);
        add_result(&sum, &l->workers[i].result);
    }
    l->started = 0;
    if (ret != NULL)
        *ret = sum;
    if (sum.error[0] != '\0')
        return err_set(err, ERR_IO, 0, "a connector failed: %.180s", sum.error);
    if (sum.unanswered > 0)
        return err_set(err, ERR_TIMEOUT, 0, "%llu of %llu bundles are unanswered after %d ms",
                       (unsigned long long)sum.unanswered, (unsigned long long)sum.pushed, timeout_ms);
    return 0;
}

void
load_free(struct load *l)
{
    if (l == NULL)
        return;
    if (l->started > 0)
        (void)load_finish(l, 0, NULL, NULL);
    free(l);
}
