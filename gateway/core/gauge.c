/* gauge.c - what a gauge is told, and the bounds that follow. */
#include "gauge_parts.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"

enum { FIRST_OPEN = 4, FOLD_DEEP = 1000 };

static int
check_config(const struct gauge_config *cfg, struct err *err)
{
    const int64_t most_us = INT64_MAX / 64;

    if (cfg->stats_lag_us < 1 || cfg->stats_lag_us > most_us)
        return err_set(err, ERR_CONFIG, 0, "gauge: stats_lag is %lld us; it must be above 0", (long long)cfg->stats_lag_us);
    if (cfg->stale_after_us < 1 || cfg->stale_after_us > most_us || cfg->late_us < 0 || cfg->late_us > most_us)
        return err_set(err, ERR_CONFIG, 0, "gauge: stale_after must be above 0, and late not below");
    if (cfg->entries != 0 && (cfg->entries < 4 || cfg->entries > LEDGER_MOST))
        return err_set(err, ERR_CONFIG, 0, "gauge: a ledger of %u entries; it must be 4 to %d", cfg->entries, LEDGER_MOST);
    return 0;
}

/* Samples that were made before now are worth nothing. */
static void
start_over(struct gauge *g, enum gauge_why why, int64_t wait_us)
{
    g->why = why;
    g->valid_from_us = g->floor_us = g->now_us + wait_us;
    g->sample.has = false;
}

/* From now on messages are held of whom the sizes, and by whom how many is not known. */
static void
mark(struct gauge *g)
{
    g->mark_us = g->now_us;
    g->mark_place = g->next_place;
    g->mark_messages = 0;
}

struct gauge *
gauge_new(const struct gauge_config *cfg, int64_t now_us, struct err *err)
{
    struct gauge *g;

    if (check_config(cfg, err) != 0)
        return NULL;
    g = calloc(1, sizeof(*g));
    if (g == NULL) {
        err_set(err, ERR_NOMEM, 0, "gauge: no memory");
        return NULL;
    }
    g->cfg = *cfg;
    g->now_us = now_us;
    g->lag_us = cfg->stats_lag_us;
    g->next_id = g->next_place = 1;
    g->ledger.most = cfg->entries == 0 ? LEDGER_MOST : cfg->entries;
    g->count_us = -1;
    g->count_consumers = GAUGE_UNKNOWN;
    g->unacked_max = g->consumers = g->holes = g->before = GAUGE_UNKNOWN;
    g->distrust_us = INT64_MIN;
    mark(g);
    /* What our former life had on its way comes late, too. */
    start_over(g, GAUGE_STARTING, g->lag_us + cfg->late_us);
    return g;
}

int
gauge_configure(struct gauge *g, const struct gauge_config *cfg, int64_t now_us, struct err *err)
{
    const uint32_t most = cfg->entries == 0 ? LEDGER_MOST : cfg->entries;

    if (check_config(cfg, err) != 0)
        return -1;
    gauge_turn(g, now_us);
    g->cfg = *cfg;
    g->lag_us = cfg->stats_lag_us;
    if (most >= g->ledger.cap) /* a smaller one waits until it is empty */
        g->ledger.most = most;
    if (g->why == GAUGE_LAGGING)
        g->valid_from_us = g->floor_us;
    g->count.has = false;
    gauge_recut(g);
    return 0;
}

void
gauge_recut(struct gauge *g)
{
    g->sample.cut_us = g->anchor_us - g->lag_us - 1;
    g->sample.since = ledger_since(&g->ledger, g->sample.cut_us);
}

/* --- bundles --- */

static struct open *
find(struct gauge *g, uint64_t id)
{
    uint32_t low = 0, high = g->n_open;

    while (low < high) {
        const uint32_t at = low + (high - low) / 2;

        if (g->open[at].id < id)
            low = at + 1;
        else
            high = at;
    }
    return low < g->n_open && g->open[low].id == id ? &g->open[low] : NULL;
}

static void
give_back(struct gauge *g)
{
    if (g->n_open > 0 || g->ledger.n > 0)
        return;
    ledger_free(&g->ledger);
    g->ledger.most = g->cfg.entries == 0 ? LEDGER_MOST : g->cfg.entries;
    free(g->open);
    g->open = NULL;
    g->cap_open = 0;
}

/* o has so much less left; it is gone with its last message. */
static void
shrink(struct gauge *g, struct open *o, uint64_t bytes, uint64_t messages)
{
    uint64_t *sum = o->state == OPEN_RESERVED ? &g->reserved : &g->flying;
    const uint32_t at = (uint32_t)(o - g->open);

    *sum -= bytes;
    if (o->state != OPEN_RESERVED)
        g->flying_messages -= messages;
    o->bytes -= bytes;
    o->messages -= messages;
    o->largest = gauge_min(o->largest, o->bytes);
    if (o->messages > 0)
        return;
    memmove(o, o + 1, (g->n_open - at - 1) * sizeof(*o));
    g->n_open--;
}

static int
grow(struct gauge *g, struct err *err)
{
    const uint32_t cap = g->cap_open == 0 ? FIRST_OPEN : g->cap_open * 2;
    struct open *more;

    if (g->n_open >= GAUGE_OPEN_MAX)
        return err_set(err, ERR_FULL, 0, "gauge: %u bundles of one queue are without an answer", g->n_open);
    if (!ledger_room(&g->ledger))
        return err_set(err, ERR_NOMEM, 0, "gauge: no memory for the ledger");
    if (g->n_open < g->cap_open)
        return 0;
    more = realloc(g->open, cap * sizeof(*more));
    if (more == NULL)
        return err_set(err, ERR_NOMEM, 0, "gauge: no memory for a bundle");
    g->open = more;
    g->cap_open = cap;
    return 0;
}

int
gauge_reserve(struct gauge *g, uint64_t bytes, uint64_t messages, uint64_t largest, int64_t now_us, uint64_t *ret_id,
              struct err *err)
{
    const uint64_t n = messages == 0 ? 1 : messages;

    gauge_turn(g, now_us);
    if (grow(g, err) != 0)
        return -1;
    largest = gauge_min(largest, bytes);
    if (largest < bytes / n + (bytes % n != 0))
        largest = bytes; /* it cannot be: the worst is assumed */
    g->open[g->n_open++] = (struct open){.id = g->next_id, .bytes = bytes, .messages = n, .largest = largest,
                                         .settles_us = INT64_MAX, .state = OPEN_RESERVED};
    g->reserved += bytes;
    *ret_id = g->next_id++;
    return 0;
}

static void
fly(struct gauge *g, struct open *o)
{
    if (o->state != OPEN_RESERVED)
        return;
    o->state = OPEN_FLYING;
    o->place = g->next_place++;
    g->reserved -= o->bytes;
    g->flying += o->bytes;
    g->flying_messages += o->messages;
}

void
gauge_commit(struct gauge *g, uint64_t id, int64_t now_us)
{
    struct open *o;

    gauge_turn(g, now_us);
    o = find(g, id);
    if (o != NULL)
        fly(g, o);
}

void
gauge_cancel(struct gauge *g, uint64_t id)
{
    struct open *o = find(g, id);

    if (o != NULL && o->state == OPEN_RESERVED)
        shrink(g, o, o->bytes, o->messages);
    give_back(g);
}

static void
add_since(struct known *k, const struct entry *e)
{
    if (e->settled_us <= k->cut_us)
        return;
    k->since.bytes += e->bytes;
    k->since.messages += e->messages;
}

/* So much of o is in the queue, since then. */
static void
settle(struct gauge *g, struct open *o, uint64_t bytes, uint64_t messages, int64_t settled_us)
{
    const bool ghost = o->state == OPEN_LOST;
    const uint64_t mean = bytes / messages + (bytes % messages != 0), largest = gauge_min(o->largest, bytes);
    const uint64_t place = ghost ? g->next_place++ : o->place;
    const struct entry e = {.first = place, .last = place, .settled_us = settled_us, .bytes = bytes, .messages = messages,
                            .ghosts = ghost ? messages : 0, .largest = largest < mean ? mean : largest};

    ledger_put(&g->ledger, &e);
    g->settled_bytes += bytes;
    if (!ghost && place >= g->mark_place)
        g->mark_messages += messages;
    add_since(&g->sample, &e);
    add_since(&g->count, &e);
    g->count_since.bytes += bytes;
    shrink(g, o, bytes, messages);
}

/* A part of o, never more than is left of it. */
static void
part(const struct open *o, uint64_t *bytes, uint64_t *messages)
{
    *messages = gauge_min(*messages, o->messages);
    *bytes = *messages == o->messages ? o->bytes : gauge_min(*bytes, o->bytes);
}

void
gauge_taken(struct gauge *g, uint64_t id, uint64_t bytes, uint64_t messages, int64_t now_us)
{
    struct open *o;

    gauge_turn(g, now_us);
    o = find(g, id);
    if (o == NULL || messages == 0)
        return;
    fly(g, o);
    part(o, &bytes, &messages);
    settle(g, o, bytes, messages, g->now_us);
}

void
gauge_refused(struct gauge *g, uint64_t id, uint64_t bytes, uint64_t messages)
{
    struct open *o = find(g, id);

    if (o == NULL || messages == 0)
        return;
    part(o, &bytes, &messages);
    shrink(g, o, bytes, messages);
    give_back(g);
}

void
gauge_lost(struct gauge *g, uint64_t id)
{
    struct open *o = find(g, id);

    if (o == NULL)
        return;
    fly(g, o);
    o->state = OPEN_LOST;
}

void
gauge_back(struct gauge *g, int64_t now_us)
{
    gauge_turn(g, now_us);
    for (uint32_t i = 0; i < g->n_open; i++)
        if (g->open[i].state == OPEN_LOST && g->open[i].settles_us == INT64_MAX)
            g->open[i].settles_us = g->now_us + g->cfg.late_us;
}

void
gauge_turn(struct gauge *g, int64_t now_us)
{
    if (now_us > g->now_us)
        g->now_us = now_us;
    for (uint32_t i = g->n_open; i-- > 0;) {
        struct open *o = &g->open[i];

        if (o->state == OPEN_LOST && o->settles_us <= g->now_us)
            settle(g, o, o->bytes, o->messages, o->settles_us);
    }
}

/* --- samples --- */

uint64_t
gauge_sample_messages(const struct gauge *g)
{
    return g->sample.bytes == 0 && g->messages == GAUGE_UNKNOWN ? 0 : g->messages;
}

/* At least so much of the sample is ours: its ready messages, without those that were delivered before and without those of
 * which nobody knows whether they were there. */
static uint64_t
least_of_ours(const struct gauge *g)
{
    const uint64_t doubtful = g->sample.since.messages + g->flying_messages;
    uint64_t ready;

    if (!g->cfg.alone || g->holes == GAUGE_UNKNOWN || g->messages == GAUGE_UNKNOWN || g->unacked == GAUGE_UNKNOWN)
        return 0;
    ready = g->messages - gauge_min(g->messages, g->unacked);
    if (ready <= doubtful || ready - doubtful <= g->holes)
        return 0;
    return ledger_tail_least(&g->ledger, g->sample.cut_us, ready - doubtful - g->holes);
}

/* Of `there` messages in the queue, is one sure to be newer than the mark?  Then, since the mark, a message was delivered
 * for the first time, and the bound of that time holds for all that was delivered before. */
static void
turn_over(struct gauge *g, uint64_t there, int64_t cut_us)
{
    const uint64_t open = ledger_since(&g->ledger, cut_us).messages;

    if (g->unacked_max != GAUGE_UNKNOWN && g->holes != g->unacked_max && cut_us >= g->mark_us &&
        g->mark_messages > open && g->mark_messages - open >= there)
        g->holes = g->unacked_max;
}

static unsigned
look_at_bounds(struct gauge *g)
{
    const uint64_t messages = gauge_sample_messages(g), least = least_of_ours(g);

    if (g->anchor_us < g->floor_us)
        return 0;
    g->before = gauge_min(g->before, g->sample.bytes - gauge_min(least, g->sample.bytes));
    if (messages != GAUGE_UNKNOWN)
        turn_over(g, messages, g->sample.cut_us);
    if (g->unacked == GAUGE_UNKNOWN || g->holes == GAUGE_UNKNOWN || g->unacked <= g->holes ||
        g->sample.cut_us < g->mark_us)
        return 0;
    g->holes = g->unacked_max = GAUGE_UNKNOWN;
    g->distrust_us = g->now_us + GAUGE_CALM_US;
    g->count.has = false;
    g->drift |= GAUGE_N_UNBOUNDED;
    g->drift_us = g->drift_seen_us = g->now_us;
    g->drift_bytes = 0;
    return GAUGE_N_UNBOUNDED;
}

/* What no bound needs in full any more. */
static void
tidy(struct gauge *g)
{
    const int64_t old_us = g->asked_us - g->cfg.stats_lag_us * GAUGE_LAG_TIMES;
    const uint64_t messages = gauge_sample_messages(g);

    if (g->anchor_us < g->floor_us)
        return; /* it proves nothing */
    if (g->sample.bytes == 0) {
        ledger_forget(&g->ledger, old_us < g->sample.cut_us ? old_us : g->sample.cut_us);
        g->count.since = ledger_since(&g->ledger, g->count.cut_us);
    } else if (messages < UINT32_MAX) {
        ledger_fold(&g->ledger, old_us, 2 * messages + FOLD_DEEP);
    }
    if (g->sample.bytes == 0 && g->n_open == 0 && g->ledger.n == 0)
        pace_forget(g);
    give_back(g);
}

unsigned
gauge_take_sample(struct gauge *g, const struct gauge_sample *s, int64_t now_us)
{
    unsigned news = 0;

    gauge_turn(g, now_us);
    if (s->bytes == GAUGE_UNKNOWN || s->asked_us > g->now_us || (g->sample.has && s->asked_us <= g->asked_us))
        return 0;
    if (g->sample.has && g->sample.bytes == s->bytes && g->messages == s->messages && g->unacked == s->unacked) {
        news = doubt_repeated(g, s->asked_us);
    } else {
        if (g->sample.has)
            news = doubt_against(g, s->bytes, s->messages) | doubt_fell(g, s->bytes, s->asked_us);
        g->drift &= ~(unsigned)GAUGE_N_DEAD;
        g->sample.has = true;
        g->sample.bytes = s->bytes;
        g->messages = s->messages;
        g->unacked = s->unacked;
        g->first_us = g->asked_us = g->anchor_us = s->asked_us;
        gauge_recut(g);
        pace_point(g);
    }
    news |= look_at_bounds(g);
    tidy(g);
    return news;
}

void
gauge_restarted(struct gauge *g, int64_t now_us)
{
    gauge_turn(g, now_us);
    start_over(g, GAUGE_STARTING, g->lag_us);
    pace_forget(g);
}

void
gauge_gone(struct gauge *g, int64_t now_us)
{
    gauge_turn(g, now_us);
    start_over(g, GAUGE_GONE, g->lag_us);
    pace_forget(g);
}

/* --- counts --- */

bool
gauge_counts(const struct gauge *g, uint64_t consumers)
{
    return g->cfg.counts && g->cfg.alone && g->now_us >= g->distrust_us && g->holes != GAUGE_UNKNOWN &&
           g->before != GAUGE_UNKNOWN && (g->consumers == GAUGE_UNKNOWN || g->consumers == consumers);
}

/* Bounds of counts all stay true: the lowest is kept. */
static void
lower(struct gauge *g, const struct gauge_count *c)
{
    struct known k = {.has = true, .cut_us = c->asked_us - 1};

    if (!gauge_counts(g, c->consumers) || !ledger_tail(&g->ledger, k.cut_us, c->ready, g->holes, &k.bytes))
        return;
    k.bytes += g->before;
    k.since = ledger_since(&g->ledger, k.cut_us);
    if (!g->count.has || k.bytes + k.since.bytes <= g->count.bytes + g->count.since.bytes)
        g->count = k;
}

/* A guess for people: so many messages of the usual size, and those that were unacked last. */
static void
guess(struct gauge *g, const struct gauge_count *c)
{
    const uint64_t messages = gauge_sample_messages(g);
    const uint64_t mean = g->sample.has && messages != GAUGE_UNKNOWN && messages > 0 ? g->sample.bytes / messages : 0;
    const uint64_t unacked = g->sample.has && g->unacked != GAUGE_UNKNOWN ? g->unacked : 0;

    if (!g->cfg.alone || !ledger_tail(&g->ledger, c->asked_us - 1, c->ready, 0, &g->count_guess)) {
        g->count_guess = GAUGE_UNKNOWN;
        if (mean > 0 && c->ready < UINT64_MAX / 2 / mean)
            g->count_guess = c->ready * mean;
    }
    if (g->count_guess != GAUGE_UNKNOWN && (mean == 0 || unacked < UINT64_MAX / 4 / mean))
        g->count_guess += unacked * mean;
    g->count_since = ledger_since(&g->ledger, c->asked_us - 1);
}

unsigned
gauge_take_count(struct gauge *g, const struct gauge_count *c, int64_t now_us)
{
    unsigned news;

    gauge_turn(g, now_us);
    /* Nothing ready and nobody there: a quorum queue without a leader answers so, too. */
    if (c->ready == GAUGE_UNKNOWN || c->asked_us > g->now_us || c->asked_us < g->count_us ||
        (c->ready == 0 && c->consumers == 0))
        return 0;
    g->count_us = c->asked_us;
    g->count_consumers = c->consumers;
    news = doubt_against(g, GAUGE_UNKNOWN, c->ready);
    if (news == 0)
        doubt_cleared(g, c);
    if (g->unacked_max != GAUGE_UNKNOWN && c->ready < UINT64_MAX / 2 && g->unacked_max < UINT64_MAX / 2)
        turn_over(g, c->ready + g->unacked_max, c->asked_us - 1);
    lower(g, c);
    guess(g, c);
    return news;
}

void
gauge_take_consumers(struct gauge *g, const struct gauge_consumers *c, int64_t now_us)
{
    gauge_turn(g, now_us);
    g->consumers = c->consumers;
    if (c->unacked_max == g->unacked_max)
        return;
    if (c->unacked_max == GAUGE_UNKNOWN) {
        g->holes = GAUGE_UNKNOWN;
        g->count.has = false;
    } else if (g->unacked_max == GAUGE_UNKNOWN || c->unacked_max < g->unacked_max) {
        mark(g); /* what the larger bound allowed may still be held */
    } else {
        /* A count that is here may have been made after they came. */
        g->count.has = false;
        if (g->holes != GAUGE_UNKNOWN && g->holes < c->unacked_max)
            g->holes = c->unacked_max;
    }
    g->unacked_max = c->unacked_max;
}

void
gauge_free(struct gauge *g)
{
    if (g == NULL)
        return;
    ledger_free(&g->ledger);
    free(g->open);
    free(g->pace);
    free(g);
}
