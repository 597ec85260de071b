/* gauge_world.c - step by step: what befalls, what moves, what is told, what was promised. */
#include "gauge_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

enum { STEP_US = 20000, FLIGHTS = 24, PARTS = 4 };

/* A bundle on its way: each message reaches the queue, and is confirmed later. */
struct flight {
    bool     used, committed, lost;
    uint64_t id; /* 0: of a former life */
    uint64_t order; /* of handing over */
    uint32_t n;
    int64_t  commit_us;
    struct {
        uint64_t bytes;
        int64_t  come_us, confirm_us; /* INT64_MAX: never */
        bool     came, done;
    } part[PARTS];
};

struct gauge_world {
    const struct gauge_fate *fate;
    struct gauge_figures *sum;
    struct model *m;
    struct gauge *g;
    struct chance chance;
    bool    trace;
    int64_t now_us, line_us; /* what is on the connection arrives in order: not before this */
    struct flight flights[FLIGHTS];
    bool    connected, waits; /* waits: a reservation is not handed over yet */
    int64_t back_us;
    double  want;
    uint64_t next_bytes;
    /* a fetch, and a count, under way */
    bool    fetching, counting, counted;
    int64_t fetch_us, answer_us, poll_us, count_asked_us, count_done_us, count_answer_us, count_next_us;
    struct numbers fetched;
    struct gauge_count count;
    uint32_t seen;            /* messages that had come by the newest sample */
    bool    informed;         /* of the last change of consumers */
    unsigned news;
    uint64_t overrun;
};

static double
seconds(const struct gauge_world *w)
{
    return (double)w->now_us / 1e6;
}

static bool
happens(struct gauge_world *w, double a_second)
{
    return a_second > 0 && chance_is(&w->chance, a_second * STEP_US / 1e6);
}

#define TELL(w, ...)                                  \
    do {                                              \
        if ((w)->trace) {                             \
            fprintf(stderr, "%8.2f ", seconds(w));    \
            fprintf(stderr, __VA_ARGS__);             \
            fputc('\n', stderr);                      \
        }                                             \
    } while (0)

static void
news(struct gauge_world *w, unsigned what)
{
    w->news |= what;
    w->sum->lag_news += (what & GAUGE_N_LAG) != 0;
    w->sum->foreign_news += (what & GAUGE_N_FOREIGN) != 0;
    w->sum->fell_news += (what & GAUGE_N_FELL) != 0;
    w->sum->dead_news += (what & GAUGE_N_DEAD) != 0;
    w->sum->unbounded_news += (what & GAUGE_N_UNBOUNDED) != 0;
    if (what != 0)
        TELL(w, "news %u", what);
}

/* --- publishing --- */

static void
admit(struct gauge_world *w)
{
    struct flight *f = NULL;
    uint64_t left = w->next_bytes, largest = 0;
    struct err err;

    for (int i = 0; i < FLIGHTS && f == NULL; i++)
        f = w->flights[i].used ? NULL : &w->flights[i];
    if (!w->connected || w->waits || f == NULL || gauge_upper(w->g, w->now_us) >= w->fate->threshold)
        return;
    if (w->fate->rate > 0 && w->want < (double)w->next_bytes)
        return;
    memset(f, 0, sizeof(*f));
    f->n = 1 + (uint32_t)chance_below(&w->chance, PARTS);
    for (uint32_t i = 0; i < f->n; i++) {
        f->part[i].bytes = i + 1 == f->n ? left : (uint64_t)chance_below(&w->chance, (int64_t)left + 1);
        f->part[i].come_us = f->part[i].confirm_us = INT64_MAX;
        left -= f->part[i].bytes;
        largest = f->part[i].bytes > largest ? f->part[i].bytes : largest;
    }
    if (gauge_reserve(w->g, w->next_bytes, f->n, largest, w->now_us, &f->id, &err) != 0)
        abort();
    f->used = w->waits = true;
    f->commit_us = w->now_us + (w->fate->prompt ? 0 : chance_below(&w->chance, 3) * STEP_US);
    w->want -= (double)w->next_bytes;
    f->order = w->sum->published++;
    w->next_bytes = (uint64_t)chance_log(&w->chance, 100, (int64_t)w->fate->bundle_max);
}

static void
commit(struct gauge_world *w, struct flight *f)
{
    gauge_commit(w->g, f->id, w->now_us);
    f->committed = true;
    w->waits = false;
    for (uint32_t i = 0; i < f->n; i++) {
        const int64_t at_us = w->now_us + chance_below(&w->chance, 200000);

        w->line_us = at_us > w->line_us ? at_us : w->line_us;
        f->part[i].come_us = w->line_us;
    }
}

static void
part_moves(struct gauge_world *w, struct flight *f, uint32_t i)
{
    if (!f->part[i].came && w->now_us >= f->part[i].come_us) {
        f->part[i].came = true;
        if (!f->lost && happens(w, w->fate->refuse)) {
            f->part[i].done = true;
            gauge_refused(w->g, f->id, f->part[i].bytes, 1);
            w->sum->refused++;
            return;
        }
        model_arrive(w->m, f->part[i].bytes, true);
        f->part[i].confirm_us = w->now_us + chance_below(&w->chance, 300000);
    }
    if (!f->lost && !f->part[i].done && w->now_us >= f->part[i].confirm_us) {
        f->part[i].done = true;
        gauge_taken(w->g, f->id, f->part[i].bytes, 1, w->now_us);
    }
}

static void
fly(struct gauge_world *w)
{
    for (int k = 0; k < FLIGHTS; k++) {
        struct flight *f = &w->flights[k];
        bool over = true;

        if (!f->used)
            continue;
        if (!f->lost && !f->committed && w->now_us >= f->commit_us)
            commit(w, f);
        if (!f->lost && !f->committed)
            continue;
        for (uint32_t i = 0; i < f->n; i++)
            part_moves(w, f, i);
        for (uint32_t i = 0; i < f->n; i++)
            over = over && (f->lost ? f->part[i].came || w->now_us > w->back_us + w->fate->cfg.late_us
                                    : f->part[i].done);
        f->used = !over;
    }
}

/* The order on the line is the order of publishing, whatever slot a bundle has. */
static void
fly_in_order(struct gauge_world *w)
{
    for (int i = 1; i < FLIGHTS; i++)
        for (int j = i; j > 0 && w->flights[j].used &&
                        (!w->flights[j - 1].used || w->flights[j - 1].order > w->flights[j].order);
             j--) {
            const struct flight x = w->flights[j];

            w->flights[j] = w->flights[j - 1];
            w->flights[j - 1] = x;
        }
    fly(w);
}

static void
cut(struct gauge_world *w, bool former)
{
    if (w->connected)
        w->back_us = w->now_us + (former ? 0 : chance_log(&w->chance, 100000, 5000000));
    w->connected = false;
    w->line_us = 0;
    w->sum->cuts++;
    for (int k = 0; k < FLIGHTS; k++) {
        struct flight *f = &w->flights[k];

        if (!f->used)
            continue;
        if (former || !f->committed) {
            if (!former)
                gauge_cancel(w->g, f->id);
            f->used = f->committed;
        } else if (!f->lost) {
            gauge_lost(w->g, f->id);
        }
        if (f->used && !f->lost) {
            f->lost = true;
            for (uint32_t i = 0; i < f->n; i++) /* what is left on the line comes late, or never */
                if (!f->part[i].came)
                    f->part[i].come_us =
                        chance_is(&w->chance, 0.5)
                            ? w->now_us + chance_below(&w->chance, w->back_us - w->now_us + w->fate->cfg.late_us)
                            : INT64_MAX;
        }
        f->id = former ? 0 : f->id;
    }
    w->waits = false;
    TELL(w, former ? "we start again" : "connection cut");
}

static void
connect(struct gauge_world *w)
{
    if (w->connected || w->now_us < w->back_us)
        return;
    /* One cut after the other: what was lost first is old by now. */
    w->connected = true;
    gauge_back(w->g, w->now_us);
}

/* --- telemetry --- */

static void
answer(struct gauge_world *w)
{
    struct gauge_sample s = {w->fetch_us, w->fetched.bytes, w->fetched.messages, w->fetched.unacked, w->fetched.work};
    const uint64_t unacked = model_unacked_max(w->m);
    struct gauge_consumers c = {unacked >= MODEL_UNBOUNDED ? GAUGE_UNKNOWN : unacked, model_consumers(w->m)};

    w->fetching = false;
    if (happens(w, w->fate->lose_sample * 1e6 / STEP_US))
        return;
    if (w->fate->bounded_key) {
        c.consumers = GAUGE_UNKNOWN;
        c.unacked_max = 0;
        for (int i = 0; i < MODEL_CONSUMERS; i++)
            c.unacked_max += w->m->consumers[i].prefetch;
        if (c.unacked_max >= MODEL_UNBOUNDED)
            c.unacked_max = GAUGE_UNKNOWN;
    }
    gauge_take_consumers(w->g, &c, w->now_us);
    w->informed = true;
    if (!w->fetched.there || happens(w, w->fate->lose_field * 1e6 / STEP_US))
        s.bytes = GAUGE_UNKNOWN;
    if (happens(w, w->fate->lose_field * 1e6 / STEP_US))
        s.messages = GAUGE_UNKNOWN;
    if (happens(w, w->fate->lose_field * 1e6 / STEP_US))
        s.unacked = GAUGE_UNKNOWN;
    if (w->fate->no_work || happens(w, w->fate->lose_field * 1e6 / STEP_US))
        s.work = GAUGE_UNKNOWN;
    if (s.bytes != GAUGE_UNKNOWN)
        w->seen = w->fetched.seen;
    TELL(w, "sample %lld (of %lld)", (long long)s.bytes, (long long)w->m->bytes);
    news(w, gauge_take_sample(w->g, &s, w->now_us));
    w->sum->samples++;
}

static void
telemetry(struct gauge_world *w)
{
    if (w->fetching && w->now_us >= w->answer_us)
        answer(w);
    if (!w->fetching && w->now_us >= w->poll_us) {
        w->fetching = true;
        w->fetch_us = w->now_us;
        w->fetched = w->m->shown;
        w->answer_us = w->now_us + chance_log(&w->chance, STEP_US, 1000000);
        w->poll_us = w->now_us + w->fate->poll_us;
    }
}

static void
counts(struct gauge_world *w)
{
    if (!w->fate->counts_come)
        return;
    if (!w->counting && w->now_us >= w->count_next_us && w->connected &&
        gauge_count_worth(w->g, w->fate->threshold, w->now_us)) {
        w->counting = true;
        w->counted = false;
        w->count.asked_us = w->now_us;
        w->count_done_us = w->now_us + chance_below(&w->chance, 4) * STEP_US;
        w->count_answer_us = w->count_done_us + chance_below(&w->chance, 4) * STEP_US;
        w->count_next_us = w->now_us + w->fate->count_us;
    }
    if (w->counting && !w->counted && w->now_us >= w->count_done_us) {
        w->counted = true;
        w->count.ready = w->m->ready;
        w->count.consumers = model_consumers(w->m);
    }
    if (w->counting && w->counted && w->now_us >= w->count_answer_us) {
        w->counting = false;
        TELL(w, "count %llu (%llu unacked)", (unsigned long long)w->count.ready, (unsigned long long)w->m->unacked);
        news(w, gauge_take_count(w->g, &w->count, w->now_us));
        w->sum->counts++;
    }
}

/* --- what befalls it --- */

static bool
open_gauge(struct gauge_world *w)
{
    struct err err;

    w->g = gauge_new(&w->fate->cfg, w->now_us, &err);
    w->informed = false;
    return w->g != NULL;
}

static void
befall(struct gauge_world *w)
{
    const struct gauge_fate *f = w->fate;

    if (happens(w, f->foreign)) {
        const int64_t n = 1 + chance_below(&w->chance, 8);

        for (int64_t i = 0; i < n; i++)
            model_arrive(w->m, (uint64_t)chance_log(&w->chance, 100, (int64_t)f->bundle_max * 2), false);
        w->sum->foreign++;
    }
    if (happens(w, f->purge)) {
        model_purge(w->m);
        w->sum->purges++;
        TELL(w, "purge");
    }
    if (w->connected && happens(w, f->cut))
        cut(w, false);
    if (happens(w, f->our_restart)) {
        cut(w, true);
        gauge_free(w->g);
        w->counting = w->fetching = false;
        w->sum->restarts++;
        if (!open_gauge(w))
            abort();
    }
    if (happens(w, f->broker_restart)) {
        TELL(w, "broker starts again");
        cut(w, false);
        model_restart(w->m);
        w->fetching = w->counting = false;
        gauge_restarted(w->g, w->now_us);
        w->sum->broker_restarts++;
    }
    if (w->informed && happens(w, f->consumers_change)) {
        const uint32_t c = (uint32_t)chance_below(&w->chance, MODEL_CONSUMERS);

        if (w->m->consumers[c].here)
            model_leave(w->m, c);
        else
            w->m->consumers[c].here = true;
        w->informed = false;
        TELL(w, "consumer %u %s", c, w->m->consumers[c].here ? "comes" : "leaves");
    }
    w->m->dead = f->dead_from_us > 0 && w->now_us >= f->dead_from_us;
}

/* --- promises --- */

static const char *
look(struct gauge_world *w)
{
    const struct gauge_fate *f = w->fate;
    const uint64_t upper = gauge_upper(w->g, w->now_us), size = gauge_size(w->g);
    const char *wrong = gauge_check(w->g);
    const bool true_lag = f->lag_true && f->dead_from_us == 0;
    struct gauge_view v;

    w->sum->size_max = size > w->sum->size_max ? size : w->sum->size_max;
    w->sum->steps++;
    w->sum->known_steps += upper != GAUGE_UNKNOWN;
    if (wrong != NULL)
        return wrong;
    if (w->m->ours > f->threshold + f->bundle_max) {
        if (true_lag)
            return "what passed the gate lifted the queue above threshold and one bundle";
        if (w->m->ours - f->threshold - f->bundle_max > w->overrun)
            w->overrun = w->m->ours - f->threshold - f->bundle_max;
    }
    if (upper == GAUGE_UNKNOWN || !true_lag)
        return NULL;
    if (w->m->ours > upper)
        return "upper is below what is there of ours";
    if (!f->wrong_alone && w->m->bytes > upper && w->m->ours + model_others(w->m, w->seen) > upper)
        return "upper is below what a sample showed of others";
    gauge_view(w->g, w->now_us, &v);
    w->sum->by_count_steps += v.upper_from == GAUGE_FROM_COUNT;
    if (v.estimate > v.upper)
        return "people see more than can be there";
    if (f->foreign == 0 && (w->news & (GAUGE_N_LAG | GAUGE_N_FOREIGN)) != 0)
        return "lag or others were blamed where there is nothing to blame";
    return NULL;
}

const char *
gauge_world_run(uint64_t seed, const struct gauge_fate *fate, struct model *m, bool trace, struct gauge_figures *sum)
{
    struct gauge_world w = {.fate = fate, .sum = sum, .m = m, .trace = trace, .connected = true};
    const char *broken = NULL;

    w.chance = chance_stream(seed, 5);
    w.next_bytes = (uint64_t)chance_log(&w.chance, 100, (int64_t)fate->bundle_max);
    w.poll_us = chance_below(&w.chance, fate->poll_us);
    if (!open_gauge(&w))
        return "no memory";
    for (w.now_us = 0; broken == NULL && w.now_us < fate->length_us; w.now_us += STEP_US) {
        befall(&w);
        connect(&w);
        w.want += fate->rate * STEP_US / 1e6;
        w.want = w.want > 4.0 * (double)fate->bundle_max ? 4.0 * (double)fate->bundle_max : w.want;
        fly_in_order(&w);
        model_step(m, w.now_us, STEP_US);
        if (w.now_us < fate->warm_us)
            m->idle_s = m->busy_s = 0;
        telemetry(&w);
        counts(&w);
        broken = look(&w);
        for (int i = 0; i < 4; i++) {
            admit(&w);
            fly_in_order(&w);
        }
    }
    if (w.overrun > sum->overrun_bytes)
        sum->overrun_bytes = w.overrun;
    sum->overran += w.overrun > 0;
    sum->overrun_unseen += w.overrun > 0 && (w.news & (GAUGE_N_LAG | GAUGE_N_FOREIGN | GAUGE_N_DEAD)) == 0;
    gauge_free(w.g);
    return broken;
}

/* --- worlds --- */

static void
draw_consumers(struct chance *c, struct gauge_fate *f, struct model *m)
{
    const bool unbounded = chance_is(c, 0.2);

    for (int i = 0; i < MODEL_CONSUMERS; i++) {
        struct consumer *x = &m->consumers[i];

        x->here = chance_is(c, 0.5);
        x->prefetch = (uint32_t)chance_log(c, 1, 50);
        x->rate = (double)f->threshold / (double)chance_log(c, 5, 200);
        x->holds = chance_is(c, 0.15);
        if (chance_is(c, 0.5)) {
            x->on_us = chance_log(c, 200000, 20000000);
            x->off_us = chance_log(c, 200000, 20000000);
        }
    }
    if (unbounded)
        m->consumers[0].prefetch = MODEL_UNBOUNDED;
    f->consumers_change = chance_is(c, 0.5) ? 0.05 : 0;
}

static double
maybe(struct chance *c, double a_second)
{
    return chance_is(c, 0.35) ? a_second : 0;
}

void
gauge_world_draw(uint64_t seed, struct gauge_fate *f, struct model *m)
{
    struct chance c = chance_stream(seed, 3);

    model_open(m, seed);
    memset(f, 0, sizeof(*f));
    for (int i = 0; i < 2; i++) {
        m->beat_us[i] = chance_log(&c, 1000000, 6000000);
        m->next_us[i] = chance_below(&c, m->beat_us[i]);
    }
    f->lag_true = chance_is(&c, 0.85);
    f->cfg.stats_lag_us = m->beat_us[0] + m->beat_us[1] + 4 * STEP_US;
    if (!f->lag_true)
        f->cfg.stats_lag_us /= 4;
    f->poll_us = chance_log(&c, 300000, 6000000);
    f->cfg.stale_after_us = 2 * f->cfg.stats_lag_us + 4 * f->poll_us;
    f->cfg.late_us = chance_log(&c, 100000, 2000000);
    f->cfg.counts = chance_is(&c, 0.8);
    f->cfg.alone = chance_is(&c, 0.7);
    f->cfg.entries = chance_is(&c, 0.5) ? 0 : (uint32_t)chance_log(&c, 4, 64);
    m->fifo = f->cfg.counts || chance_is(&c, 0.5);
    f->count_us = chance_log(&c, 200000, 2000000);
    f->counts_come = chance_is(&c, 0.8);
    f->bounded_key = chance_is(&c, 0.3);
    f->bundle_max = (uint64_t)chance_log(&c, 1000, 1000000);
    f->threshold = f->bundle_max * (uint64_t)chance_log(&c, 1, 30);
    f->rate = chance_is(&c, 0.4) ? 0 : (double)f->threshold / (double)chance_log(&c, 2, 100);
    f->length_us = chance_log(&c, 60000000, 240000000);
    if (!f->cfg.alone || chance_is(&c, 0.05)) {
        f->foreign = maybe(&c, 0.3);
        f->wrong_alone = f->cfg.alone && f->foreign > 0;
    }
    f->lose_sample = maybe(&c, 0.2);
    f->lose_field = maybe(&c, 0.1);
    f->purge = maybe(&c, 0.01);
    f->cut = maybe(&c, 0.03);
    f->broker_restart = maybe(&c, 0.01);
    f->our_restart = maybe(&c, 0.01);
    f->refuse = maybe(&c, 1);
    f->no_work = chance_is(&c, 0.3);
    f->dead_from_us = chance_is(&c, 0.05) ? chance_below(&c, f->length_us) : 0;
    draw_consumers(&c, f, m);
}
