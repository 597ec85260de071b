/* admission_broker.c - publishers, queues, and what telemetry says of them. */
#include "admission_parts.h"

#include <stdlib.h>
#include <string.h>

void
broker_open(struct adm *w)
{
    for (uint32_t q = 0; q < w->fate->n_queues; q++) {
        struct queue_world *x = &w->queues[q];
        const struct adm_queue *f = &w->fate->queues[q];

        model_open(&x->model, chance_next(&w->c));
        x->model.fifo = f->fifo;
        x->there = true;
        x->asked_us = -1;
        x->cfg = (struct core_queue){f->group, f->counts, f->alone, GAUGE_UNKNOWN};
        for (int i = 0; i < 2; i++) {
            x->model.beat_us[i] = f->beat_us[i];
            x->model.next_us[i] = chance_below(&w->c, f->beat_us[i]);
        }
        for (int i = 0; i < MODEL_CONSUMERS; i++) {
            struct consumer *c = &x->model.consumers[i];

            *c = (struct consumer){.here = f->consumers[i].here, .prefetch = f->consumers[i].prefetch,
                                   .rate = f->consumers[i].rate, .holds = f->consumers[i].holds,
                                   .on_us = f->consumers[i].on_us, .off_us = f->consumers[i].off_us};
        }
        if (f->bounded_key) {
            x->cfg.unacked_max = 0;
            for (int i = 0; i < MODEL_CONSUMERS; i++)
                x->cfg.unacked_max += f->consumers[i].prefetch;
        }
    }
}

void
broker_close(struct adm *w)
{
    for (uint32_t q = 0; q < w->fate->n_queues; q++)
        model_close(&w->queues[q].model);
}

/* --- bundles at a publisher --- */

void
broker_publish(struct adm *w, const struct core_effect *e)
{
    struct body *b = &w->bodies[e->u.publish.slot];
    struct flight *f;
    const uint32_t pub = e->u.publish.publisher;

    if (w->n_flights == FLIGHTS)
        abort();
    f = &w->flights[w->n_flights++];
    *f = (struct flight){.used = true, .slot = e->u.publish.slot, .publisher = pub, .queue = e->u.publish.target,
                         .end = CORE_CONFIRMED};
    for (uint32_t i = 0; i < b->n; i++) {
        const int64_t at_us = w->now_us + chance_below(&w->c, 100000);

        if (b->gone[i])
            continue;
        w->pubs[pub].line_us = at_us > w->pubs[pub].line_us ? at_us : w->pubs[pub].line_us;
        f->part[f->n].bytes = b->part[i];
        f->part[f->n].number = i;
        f->part[f->n].come_us = w->pubs[pub].line_us;
        f->part[f->n].confirm_us = INT64_MAX;
        f->n++;
        w->queues[f->queue].pending += b->part[i];
    }
}

static void
part_comes(struct adm *w, struct flight *f, uint32_t i)
{
    struct queue_world *q = &w->queues[f->queue];

    f->part[i].came = true;
    q->pending -= f->part[i].bytes;
    if (!q->there || (!f->lost && adm_happens(w, ADM_NACK, STEPS))) {
        f->end = q->there && f->end != CORE_REFUSED ? CORE_RETRY : CORE_REFUSED;
        f->part[i].done = true;
        return;
    }
    model_arrive(&q->model, f->part[i].bytes, true);
    f->part[i].confirm_us = w->now_us + chance_below(&w->c, 300000);
}

static bool
parts_move(struct adm *w, struct flight *f)
{
    bool over = true;

    for (uint32_t i = 0; i < f->n; i++) {
        if (!f->part[i].came && w->now_us >= f->part[i].come_us)
            part_comes(w, f, i);
        if (f->part[i].came && !f->part[i].done && w->now_us >= f->part[i].confirm_us)
            f->part[i].done = f->part[i].kept = true;
        over = over && (f->lost ? f->part[i].came : f->part[i].done);
    }
    return over;
}

static void
answered(struct adm *w, const struct flight *f)
{
    struct body *b = &w->bodies[f->slot];
    struct core_event e = {.kind = f->end};

    for (uint32_t i = 0; i < f->n; i++)
        if (f->part[i].kept && !b->gone[f->part[i].number]) {
            b->gone[f->part[i].number] = true;
            b->went++;
            b->went_bytes += f->part[i].bytes;
        }
    e.u.result.slot = f->slot;
    if (e.kind != CORE_CONFIRMED) {
        e.u.result.went = b->went;
        e.u.result.went_bytes = b->went_bytes;
    }
    e.u.result.reason = WIRE_R_UNROUTABLE;
    w->fig->confirmed += e.kind == CORE_CONFIRMED;
    w->fig->retried += e.kind == CORE_RETRY;
    adm_step(w, &e);
}

/* In the order of handing over; what is over leaves. */
static void
fly(struct adm *w)
{
    uint32_t to = 0;

    for (uint32_t i = 0; i < w->n_flights; i++) {
        struct flight f;

        if (!parts_move(w, &w->flights[i])) {
            w->flights[to++] = w->flights[i];
            continue;
        }
        f = w->flights[i];
        w->flights[i].used = false;
        if (f.lost)
            continue;
        /* What follows is appended behind those that are looked at yet. */
        answered(w, &f);
    }
    w->n_flights = to;
}

/* Of what a connection that is gone still carried, some comes late, and some never. */
static void
lose(struct adm *w, struct flight *f, int64_t until_us)
{
    if (f->lost)
        return;
    f->lost = true;
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->part[i].came)
            continue;
        f->part[i].come_us = w->now_us + chance_below(&w->c, until_us - w->now_us);
        if (chance_is(&w->c, 0.5)) {
            f->part[i].came = true;
            w->queues[f->queue].pending -= f->part[i].bytes;
        }
    }
}

void
broker_down(struct adm *w, uint32_t publisher)
{
    struct core_event e = {.kind = CORE_DOWN};

    if (!w->pubs[publisher].up)
        return;
    w->fig->downs++;
    w->pubs[publisher].up = w->pubs[publisher].blocked = false;
    w->pubs[publisher].line_us = 0;
    w->pubs[publisher].back_us = w->now_us + chance_log(&w->c, 100000, 5000000);
    for (uint32_t i = 0; i < w->n_flights; i++)
        if (w->flights[i].publisher == publisher)
            lose(w, &w->flights[i], w->pubs[publisher].back_us + LATE_US);
    TELL(w, "publisher %u is down", publisher);
    e.u.broker.publisher = publisher;
    adm_step(w, &e);
}

void
broker_former_life(struct adm *w)
{
    for (uint32_t i = 0; i < w->n_flights; i++)
        lose(w, &w->flights[i], w->now_us + LATE_US);
    for (uint32_t p = 0; p < ADM_PUBLISHERS; p++) {
        w->pubs[p].up = w->pubs[p].blocked = false;
        w->pubs[p].line_us = 0;
        w->pubs[p].back_us = w->now_us + chance_below(&w->c, SECOND);
    }
    w->fetching = w->alarm = false; /* as far as the core was told */
    w->n_forming = w->n_stored = 0;
    memset(w->bodies, 0, sizeof(w->bodies));
    for (uint32_t q = 0; q < w->fate->n_queues; q++) {
        w->queues[q].asked_us = -1;
        w->queues[q].counting = w->queues[q].informed = false;
    }
}

static void
connect(struct adm *w, uint32_t p)
{
    struct core_event e = {.kind = CORE_UP};

    e.u.broker.publisher = p;
    if (!w->pubs[p].up && w->now_us >= w->pubs[p].back_us) {
        w->pubs[p].up = true;
        e.u.broker.session = ++w->pubs[p].session;
        adm_step(w, &e);
    }
    e.kind = w->pubs[p].blocked ? CORE_UNBLOCKED : CORE_BLOCKED;
    if (w->pubs[p].up &&
        (w->pubs[p].blocked ? w->now_us >= w->pubs[p].unblock_us : adm_happens(w, ADM_BLOCKED, 1))) {
        w->pubs[p].blocked = !w->pubs[p].blocked;
        w->pubs[p].unblock_us = w->now_us + chance_log(&w->c, 100000, 5000000);
        adm_step(w, &e);
    }
}

static void
form(struct adm *w)
{
    const uint32_t n = w->n_forming; /* what follows is appended, and formed in the next step */

    for (uint32_t i = 0; i < n; i++) {
        struct body *b = &w->bodies[w->forming[i]];
        struct core_event e = {.kind = CORE_FORMED};
        uint64_t left = b->size + b->size / 8;

        if (adm_happens(w, ADM_REFUSE, STEPS)) {
            e.kind = CORE_REFUSED;
            e.u.result.slot = w->forming[i];
            e.u.result.reason = WIRE_R_FORMAT;
            w->fig->refused++;
            adm_step(w, &e);
            continue;
        }
        b->n = 1 + (uint32_t)chance_below(&w->c, PARTS);
        b->bytes = left;
        e.u.formed.largest = 0;
        for (uint32_t k = 0; k < b->n; k++) {
            b->part[k] = k + 1 == b->n ? left : (uint64_t)chance_below(&w->c, (int64_t)left + 1);
            left -= b->part[k];
            if (b->part[k] > e.u.formed.largest)
                e.u.formed.largest = b->part[k];
        }
        e.u.formed.slot = w->forming[i];
        e.u.formed.messages = b->n;
        e.u.formed.bytes = b->bytes;
        adm_step(w, &e);
    }
    memmove(w->forming, w->forming + n, (w->n_forming - n) * sizeof(*w->forming));
    w->n_forming -= n;
}

/* --- telemetry --- */

static uint64_t
maybe(struct adm *w, uint64_t field)
{
    return adm_happens(w, ADM_LOSE_FIELD, STEPS) ? GAUGE_UNKNOWN : field;
}

static void
tell_queue(struct adm *w, uint32_t number)
{
    struct queue_world *q = &w->queues[number];
    const uint64_t unacked = model_unacked_max(&q->model);
    struct core_event e = {.kind = CORE_CONSUMERS};

    e.u.measured.queue = number;
    if (!q->fetched_there) {
        e.kind = CORE_QUEUE_GONE;
        adm_step(w, &e);
        q->asked_us = -1;
        return;
    }
    e.u.measured.is.consumers.unacked_max = unacked >= MODEL_UNBOUNDED ? GAUGE_UNKNOWN : unacked;
    e.u.measured.is.consumers.consumers = model_consumers(&q->model);
    TELL(w, "queue %u: %lld consumers, %lld unacked at most", number, (long long)e.u.measured.is.consumers.consumers,
         (long long)e.u.measured.is.consumers.unacked_max);
    adm_step(w, &e);
    q->informed = true;
    if (!q->fetched.there || adm_happens(w, ADM_LOSE_SAMPLE, STEPS))
        return;
    e.kind = CORE_SAMPLE;
    e.u.measured.is.sample = (struct gauge_sample){w->fetch_us, maybe(w, q->fetched.bytes),
                                                   maybe(w, q->fetched.messages), maybe(w, q->fetched.unacked),
                                                   maybe(w, q->fetched.work)};
    if (e.u.measured.is.sample.bytes != GAUGE_UNKNOWN) {
        q->seen = q->fetched.seen;
        q->asked_us = w->fetch_us;
    }
    w->fig->samples++;
    TELL(w, "sample of queue %u: %lld of %lld", number, (long long)e.u.measured.is.sample.bytes,
         (long long)q->model.bytes);
    adm_step(w, &e);
}

static void
tell_node(struct adm *w)
{
    struct core_event e = {.kind = CORE_BROKER};

    if (!w->alarm && adm_happens(w, ADM_ALARM, 1))
        w->alarm_until_us = w->now_us + chance_log(&w->c, 100000, 20000000);
    w->alarm = w->now_us < w->alarm_until_us;
    e.u.node.asked_us = w->fetch_us;
    e.u.node.memory_used = e.u.node.memory_limit = e.u.node.disk_free = e.u.node.disk_limit = GAUGE_UNKNOWN;
    e.u.node.alarm = w->alarm;
    adm_step(w, &e);
}

static void
telemetry(struct adm *w)
{
    if (w->fetching && w->now_us >= w->answer_us) {
        w->fetching = false;
        for (uint32_t q = 0; q < w->fate->n_queues; q++)
            tell_queue(w, q);
        tell_node(w);
    }
    if (adm_happens(w, ADM_AWAY, 1))
        w->away_until_us = w->now_us + chance_log(&w->c, SECOND, 4 * w->limits.stale_after_us);
    if (w->fetching || w->now_us < w->poll_us || w->now_us < w->away_until_us)
        return;
    w->fetching = true;
    w->fetch_us = w->now_us;
    w->answer_us = w->now_us + chance_log(&w->c, STEP_US, 1000000);
    w->poll_us = w->now_us + w->fate->poll_us;
    for (uint32_t q = 0; q < w->fate->n_queues; q++) {
        w->queues[q].fetched = w->queues[q].model.shown;
        w->queues[q].fetched_there = w->queues[q].there;
    }
}

void
broker_count(struct adm *w, uint32_t queue)
{
    struct queue_world *q = &w->queues[queue];

    if (q->counting || !q->there || adm_happens(w, ADM_LOSE_COUNT, STEPS))
        return;
    q->counting = true;
    q->count_asked_us = w->now_us;
    q->count_at_us = w->now_us + chance_below(&w->c, 4) * STEP_US;
}

static void
counted(struct adm *w, uint32_t number)
{
    struct queue_world *q = &w->queues[number];
    struct core_event e = {.kind = CORE_COUNTED};

    if (!q->counting || w->now_us < q->count_at_us)
        return;
    q->counting = false;
    if (!q->there)
        return;
    e.u.measured.queue = number;
    e.u.measured.is.count = (struct gauge_count){q->count_asked_us, q->model.ready, model_consumers(&q->model)};
    w->fig->counts++;
    TELL(w, "count of queue %u: %llu ready, %llu unacked, asked at %.2f", number, (unsigned long long)q->model.ready,
         (unsigned long long)q->model.unacked, (double)q->count_asked_us / 1e6);
    adm_step(w, &e);
}

/* --- what befalls queues --- */

static void delete (struct adm *w, uint32_t number)
{
    struct queue_world *q = &w->queues[number];

    TELL(w, "queue %u is deleted", number);
    for (uint32_t c = 0; c < MODEL_CONSUMERS; c++) {
        const bool here = q->model.consumers[c].here;

        model_leave(&q->model, c);
        q->model.consumers[c].here = here;
    }
    model_purge(&q->model);
    q->model.told = q->model.shown = (struct numbers){false, 0, 0, 0, 0, 0};
    q->there = false;
    q->back_us = w->now_us + chance_log(&w->c, 100000, 20000000);
    w->fig->deletes++;
}

static void
befall(struct adm *w, uint32_t number)
{
    struct queue_world *q = &w->queues[number];

    if (!q->there) {
        q->there = w->now_us >= q->back_us;
        q->model.told = q->model.shown = (struct numbers){false, 0, 0, 0, 0, 0};
        return;
    }
    /* Who comes while it is not known that another left would be taken for that one. */
    if (w->calm && q->informed && !q->model.consumers[0].here) {
        q->model.consumers[0].here = true;
        q->informed = false;
    }
    if (!w->fate->queues[number].alone && adm_happens(w, ADM_FOREIGN, 1)) {
        for (int64_t i = 1 + chance_below(&w->c, 8); i > 0; i--)
            model_arrive(&q->model, (uint64_t)chance_log(&w->c, 100, (int64_t)w->fate->bundle_max * 2), false);
        w->fig->foreign++;
    }
    if (adm_happens(w, ADM_PURGE, 1)) {
        model_purge(&q->model);
        w->fig->purges++;
    }
    if (adm_happens(w, ADM_DELETE, 1))
        delete (w, number);
    if (q->informed && adm_happens(w, ADM_CONSUMERS, 1)) {
        const uint32_t c = (uint32_t)chance_below(&w->c, MODEL_CONSUMERS);

        if (q->model.consumers[c].here)
            model_leave(&q->model, c);
        else
            q->model.consumers[c].here = true;
        q->informed = false;
        TELL(w, "queue %u: consumer %u %s", number, c, q->model.consumers[c].here ? "comes" : "leaves");
    }
}

static void
restart(struct adm *w)
{
    struct core_event e = {.kind = CORE_RESTARTED};

    TELL(w, "the broker starts again");
    w->fig->broker_restarts++;
    for (uint32_t p = 0; p < ADM_PUBLISHERS; p++)
        broker_down(w, p);
    for (uint32_t q = 0; q < w->fate->n_queues; q++) {
        model_restart(&w->queues[q].model);
        w->queues[q].asked_us = -1;
        w->queues[q].counting = false;
        if (!w->queues[q].there)
            w->queues[q].model.shown.there = false;
    }
    w->fetching = false;
    adm_step(w, &e);
}

void
broker_step(struct adm *w)
{
    if (adm_happens(w, ADM_BROKER_RESTART, 1))
        restart(w);
    for (uint32_t p = 0; p < w->fate->core.publishers; p++) {
        if (adm_happens(w, ADM_BROKER_DOWN, 1))
            broker_down(w, p);
        connect(w, p);
    }
    form(w);
    fly(w);
    for (uint32_t q = 0; q < w->fate->n_queues; q++) {
        befall(w, q);
        model_step(&w->queues[q].model, w->now_us, STEP_US);
        if (w->now_us < w->fate->warm_us)
            w->queues[q].model.idle_s = w->queues[q].model.busy_s = 0;
        counted(w, q);
    }
    telemetry(w);
}

void
broker_calm(struct adm *w)
{
    w->away_until_us = w->alarm_until_us = 0;
    for (uint32_t q = 0; q < w->fate->n_queues; q++) {
        struct queue_world *x = &w->queues[q];

        x->model.fifo = true;
        for (uint32_t c = 0; c < MODEL_CONSUMERS; c++) {
            x->model.consumers[c].holds = false;
            x->model.consumers[c].on_us = x->model.consumers[c].off_us = 0;
            if (x->model.consumers[c].rate < (double)w->fate->bundle_max)
                x->model.consumers[c].rate = (double)w->fate->bundle_max;
        }
    }
}
