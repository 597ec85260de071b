/* admission_world.c - step by step: what befalls, what moves, what the core says to it. */
#include "admission_parts.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"

enum { CALM_STEPS_MOST = 400000 };

void
adm_breaks(struct adm *w, const char *what)
{
    if (w->broken == NULL)
        w->broken = what;
}

/* Each fault has its own chance: without one of them the others stay as they were.  Rates are a second. */
bool
adm_happens(struct adm *w, enum adm_fault f, double times)
{
    const double rate = w->fate->faults[f];

    return rate > 0 && !w->calm && chance_is(&w->faults[f], rate * times * STEP_US / 1e6);
}

const char *
adm_fault_name(enum adm_fault f)
{
    static const char *const names[ADM_FAULTS] = {
        "foreign publishers",
        "purges",
        "deleted queues",
        "consumers that come and go",
        "lost publishers",
        "broker restarts",
        "blocked publishers",
        "nacks",
        "refused bundles",
        "gateway crashes",
        "connector crashes",
        "lost connections",
        "pauses",
        "reloads",
        "telemetry away",
        "lost samples",
        "lost fields",
        "lost counts",
        "alarms",
    };

    return names[f];
}

/* --- the shell --- */

static void
keep(struct adm *w, const struct core_effect *e)
{
    struct body *b = &w->bodies[e->u.keep.slot];

    if (e->u.keep.slot >= SLOTS)
        abort();
    if (w->fetched != NULL) {
        *b = (struct body){.used = true, .peer = w->fetched->stream, .seq = w->fetched->seq, .size = e->u.keep.size,
                           .bytes = e->u.keep.size, .n = 1, .part = {e->u.keep.size}};
        return;
    }
    *b = (struct body){.used = true, .peer = w->from, .seq = w->message->seq, .size = e->u.keep.size,
                       .bytes = e->u.keep.size, .n = 1, .part = {e->u.keep.size}};
}

static void
store_row(struct adm *w, const struct core_effect *e)
{
    const uint32_t n = (uint32_t)strtoul(e->u.store.row.id + 1, NULL, 10);

    w->rows[n] = e->u.store.row;
    w->rows[n].id = w->peers[n].id;
    w->has_row[n] = true;
    w->stored[w->n_stored++] = e->u.store.ticket;
}

static void
store_mark(struct adm *w, const struct core_effect *e)
{
    const uint32_t n = (uint32_t)strtoul(e->u.mark.id + 1, NULL, 10);

    w->marks[n].is = true;
    w->marks[n].epoch = e->u.mark.epoch;
    w->marks[n].answered = e->u.mark.answered;
}

static void
emit(void *ctx, const struct core_effect *e)
{
    struct adm *w = ctx;

    switch (e->kind) {
    case CORE_SEND:
        peer_hears(w, e->u.send.conn, e->u.send.msg);
        break;
    case CORE_CUT:
        adm_breaks(w, "a connector that obeys was cut off");
        break;
    case CORE_KEEP:
        keep(w, e);
        break;
    case CORE_FORM:
        w->forming[w->n_forming++] = e->u.form.slot;
        break;
    case CORE_FREE:
        w->bodies[e->u.slot].used = false;
        break;
    case CORE_PUBLISH:
        w->fig->published++;
        TELL(w, "c%u: %llu bytes to queue %u", w->bodies[e->u.publish.slot].peer,
             (unsigned long long)w->bodies[e->u.publish.slot].bytes, e->u.publish.target);
        rules_publish(w, e);
        broker_publish(w, e);
        break;
    case CORE_STORE_MARK:
        store_mark(w, e);
        break;
    case CORE_STORE_ROW:
        store_row(w, e);
        break;
    case CORE_COUNT:
        broker_count(w, e->u.queue);
        break;
    case CORE_JOURNAL:
        rules_journal(w, e);
        break;
    case CORE_SPOOL:
    case CORE_FETCH:
    case CORE_RELEASE:
    case CORE_BURY:
        spool_effect(w, e);
        break;
    case CORE_NEWS:
        TELL(w, "news %u of queue %u", e->u.news.news, e->u.news.queue);
        break;
    default:
        break;
    }
}

void
adm_step(struct adm *w, const struct core_event *e)
{
    if (w->core == NULL)
        return;
    if (e->kind == CORE_MESSAGE && e->u.message.msg->type == WIRE_READY)
        w->peers[(uint32_t)e->u.message.conn - 1].word_said = true;
    w->fig->events++;
    core_step(w->core, e, w->now_us, &w->sink);
}

void
adm_configure(struct adm *w)
{
    struct core_event e = {.kind = CORE_CONFIGURE};
    struct core_queue queues[ADM_QUEUES];

    for (uint32_t q = 0; q < w->fate->n_queues; q++)
        queues[q] = w->queues[q].cfg;
    e.u.configure.list = w->connectors;
    e.u.configure.n = w->fate->n_peers;
    e.u.configure.queues = queues;
    e.u.configure.n_queues = w->fate->n_queues;
    e.u.configure.limits = &w->limits;
    adm_step(w, &e);
}

/* Thresholds, weights, groups, budgets and queues as they may be written anew. */
static void
reload(struct adm *w)
{
    struct chance *c = &w->c;
    const uint32_t p = (uint32_t)chance_below(c, w->fate->n_peers);
    const int64_t had = (int64_t)w->fate->peers[p].threshold, largest = (int64_t)w->fate->bundle_max;

    switch (chance_below(c, 5)) {
    case 0:
        w->connectors[p].threshold = (uint64_t)chance_log(c, had / 4 + 1, 4 * had);
        break;
    case 1:
        w->connectors[p].weight = (uint32_t)chance_log(c, 1, 8);
        break;
    case 2:
        w->queues[chance_below(c, w->fate->n_queues)].cfg.group = (uint32_t)chance_below(c, 3);
        break;
    case 3:
        w->limits.budget[chance_below(c, 3)] =
            chance_is(c, 0.5) ? DECIDE_NONE : (uint64_t)chance_log(c, largest, 40 * largest);
        break;
    default:
        w->connectors[p].queue = w->connectors[p].target = (uint32_t)chance_below(c, w->fate->n_queues);
        w->connectors[p].publisher = w->connectors[p].queue % w->fate->core.publishers;
        break;
    }
    TELL(w, "reload");
    w->fig->reloads++;
    adm_configure(w);
}

static void
gateway_start(struct adm *w)
{
    struct core_config cfg = w->fate->core;
    struct core_event e = {.kind = CORE_WALL};
    struct err err;

    cfg.seed = chance_next(&w->c);
    w->core = core_new(&cfg, &err);
    if (w->core == NULL)
        abort();
    e.u.wall_us = 1700000000000000 + w->now_us;
    adm_step(w, &e);
    adm_configure(w);
    for (uint32_t n = 0; n < w->fate->n_peers; n++) {
        const char *id = w->peers[n].id;
        struct core_event mark = {.kind = CORE_MARK, .u.mark = {id, w->marks[n].epoch, w->marks[n].answered}};
        struct core_event row = {.kind = CORE_ROW, .u.row = w->rows[n]};

        if (w->marks[n].is)
            adm_step(w, &mark);
        if (w->has_row[n])
            adm_step(w, &row);
    }
    spool_found(w);
}

static void
gateway_crash(struct adm *w)
{
    TELL(w, "the gateway crashes");
    w->fig->restarts++;
    core_free(w->core);
    w->core = NULL;
    broker_former_life(w);
    w->n_buried = 0;
    spool_model_crash(&w->spool, w->now_us);
    for (uint32_t n = 0; n < w->fate->n_peers; n++) {
        struct program *p = &w->peers[n];

        p->word_said = false;
        p->first_over = w->has_row[n] && w->rows[n].ran;
        p->paused = w->has_row[n] && w->rows[n].paused;
        if (p->conn != 0)
            peer_lost(w, p);
    }
    gateway_start(w);
}

static void
store(struct adm *w)
{
    const uint32_t n = w->n_stored;
    uint64_t now[256];

    memcpy(now, w->stored, n * sizeof(*now));
    w->n_stored = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct core_event e = {.kind = CORE_STORED, .u.stored = {now[i], true}};

        adm_step(w, &e);
    }
}

/* --- time --- */

static void
pause(struct adm *w, struct program *p)
{
    struct core_event e = {.kind = CORE_OPERATOR, .u.operator= {p->id, p->paused ? CORE_RESUME : CORE_PAUSE} };

    if (p->paused ? !w->calm && w->now_us < p->paused_until_us : !adm_happens(w, ADM_PAUSE, 1))
        return;
    p->paused_until_us = w->now_us + chance_log(&w->c, 100000, 20000000);
    p->paused = !p->paused;
    adm_step(w, &e);
}

static void
step(struct adm *w)
{
    struct core_event turn = {.kind = CORE_TURN}, save = {.kind = CORE_SAVE};

    if (adm_happens(w, ADM_GATEWAY, 1))
        gateway_crash(w);
    if (adm_happens(w, ADM_RELOAD, 1))
        reload(w);
    peer_network(w);
    broker_step(w);
    store(w);
    spool_step(w);
    for (uint32_t n = 0; n < w->fate->n_peers; n++) {
        peer_step(w, &w->peers[n]);
        pause(w, &w->peers[n]);
    }
    if (w->now_us >= w->save_us) {
        w->save_us = w->now_us + SECOND;
        adm_step(w, &save);
    }
    adm_step(w, &turn);
    if (!w->fate->no_calm || w->fig->steps % 50 == 0) /* of long lines it costs most of the time */
        rules_look(w);
    w->fig->steps++;
    w->now_us += STEP_US;
}

static bool
all_done(const struct adm *w)
{
    for (uint32_t n = 0; n < w->fate->n_peers; n++)
        if (!peer_done(w, &w->peers[n]))
            return false;
    return spool_count(w) == 0;
}

/* Nothing fails, consumers take, nothing new is made: within a time that follows from lag, pace and what waits. */
static int64_t
calm_most_us(const struct adm *w)
{
    const int64_t lag_us = GAUGE_LAG_TIMES * w->limits.stats_lag_us;
    const int64_t cycle_us = lag_us + 2 * w->fate->poll_us + 3 * SECOND;
    int64_t bundles = 5, most_us = 0;
    uint64_t there = 0;

    bundles += (int64_t)spool_count(w);
    for (uint32_t n = 0; n < w->fate->n_peers; n++) {
        bundles += (int64_t)(w->peers[n].next - w->peers[n].first);
        if (w->fate->peers[n].period_us > most_us)
            most_us = w->fate->peers[n].period_us;
    }
    for (uint32_t q = 0; q < w->fate->n_queues; q++)
        there += w->queues[q].model.bytes;
    return bundles * cycle_us + (int64_t)(there / w->fate->bundle_max + (uint64_t)bundles) * 2 * SECOND +
           20 * most_us + 120 * SECOND;
}

static void
tell_peer(struct adm *w, uint32_t n)
{
    const struct program *p = &w->peers[n];
    struct core_status s = {.reasons = 0};
    uint32_t number;

    if (!peer_done(w, p) && core_number(w->core, p->id, &number) && core_status(w->core, number, &s))
        TELL(w, "%s: kind %u, %s, %s, %s, %u permits; %llu of %llu answered, %llu sent, credit %llu "
                "of %llu; held by %x (threshold %llu, upper %lld, queue %u)",
             p->id, p->fate->kind, p->welcomed ? "welcomed" : "away", p->asked ? "asked" : "silent",
             p->running ? "running" : "not running", p->permits, (unsigned long long)p->first - 1,
             (unsigned long long)p->next - 1, (unsigned long long)p->send - 1, (unsigned long long)p->spent,
             (unsigned long long)p->credit, s.reasons, (unsigned long long)s.threshold, (long long)s.gauge.upper,
             s.queue);
}

static void
calm(struct adm *w)
{
    const int64_t from_us = w->now_us;
    int64_t until_us;

    w->calm = true;
    broker_calm(w);
    for (uint32_t n = 0; n < w->fate->n_peers; n++) {
        w->peers[n].permits = 0;
        w->peers[n].run_left = 0;
    }
    for (uint32_t g = 0; g < CORE_GROUPS_MAX; g++) /* what a reload left must be enough for one bundle to pass */
        if (w->limits.budget[g] < w->fate->bundle_max)
            w->limits.budget[g] = w->fate->bundle_max;
    adm_configure(w);
    until_us = from_us + calm_most_us(w);
    while (w->broken == NULL && !all_done(w)) {
        step(w);
        if (w->now_us <= until_us)
            continue;
        adm_breaks(w, "somebody waits for ever though there is room");
        for (uint32_t n = 0; n < w->fate->n_peers; n++)
            tell_peer(w, n);
    }
    if (w->now_us - from_us > w->fig->wait_most_us)
        w->fig->wait_most_us = w->now_us - from_us;
}

static void
open_world(struct adm *w, uint64_t seed)
{
    const struct adm_fate *f = w->fate;

    w->c = chance_stream(seed, 11);
    w->heap = heap_new();
    w->sink = (struct core_sink){emit, w};
    w->limits = f->limits;
    for (uint32_t i = 0; i < ADM_FAULTS; i++) {
        w->faults[i] = chance_stream(seed, 100 + i);
        if (f->faults[i] == 0)
            w->faults[i].at = 0;
    }
    for (uint32_t n = 0; n < f->n_peers; n++) {
        const struct adm_peer *p = &f->peers[n];
        struct core_connector *c = &w->connectors[n];

        peer_open(w, n);
        *c = (struct core_connector){.target = p->queue, .publisher = p->publisher, .ordered = p->ordered,
                                     .queue = p->queue, .threshold = p->threshold, .threshold_fixed = p->fixed,
                                     .weight = p->weight, .spool_limit = f->spool_limit};
        snprintf(c->id, sizeof(c->id), "c%u", n);
    }
    broker_open(w);
    spool_open(w, seed);
    gateway_start(w);
}

const char *
adm_run(uint64_t seed, const struct adm_fate *f, bool trace, struct adm_figures *ret)
{
    struct adm *w = calloc(1, sizeof(*w));
    struct heap_item i;
    const char *broken;

    if (w == NULL)
        abort();
    w->fate = f;
    w->fig = ret;
    w->trace = trace;
    open_world(w, seed);
    while (w->broken == NULL && w->now_us < f->length_us)
        step(w);
    if (w->broken == NULL && !f->no_calm)
        calm(w);
    for (uint32_t q = 0; q < f->n_queues; q++) {
        ret->idle_s[q] += w->queues[q].model.idle_s;
        ret->busy_s[q] += w->queues[q].model.busy_s;
    }
    broken = w->broken;
    if (broken != NULL)
        TELL(w, "broken: %s", broken);
    while (heap_pop(w->heap, &i))
        free(i.p);
    heap_free(w->heap);
    broker_close(w);
    spool_model_free(&w->spool);
    core_free(w->core);
    free(w);
    return broken;
}
