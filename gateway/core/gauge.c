/* gauge.c - what telemetry tells a gauge, and the bounds that follow. */
#include "gauge_parts.h"

#include <stdlib.h>

#include "err.h"

enum { FOLD_DEEP = 1000 };

static int
check_config(const struct gauge_config *cfg, struct err *err)
{
    const int64_t most_us = INT64_MAX / 64;

    if (cfg->stats_lag_us < 1 || cfg->stats_lag_us > most_us)
        return err_set(err, ERR_CONFIG, 0, "gauge: stats_lag is %lld us; it must be above 0",
                       (long long)cfg->stats_lag_us);
    if (cfg->stale_after_us < 1 || cfg->stale_after_us > most_us || cfg->late_us < 0 || cfg->late_us > most_us)
        return err_set(err, ERR_CONFIG, 0, "gauge: stale_after must be above 0, and late not below");
    if (cfg->entries != 0 && (cfg->entries < 4 || cfg->entries > LEDGER_MOST))
        return err_set(err, ERR_CONFIG, 0, "gauge: a ledger of %u entries; it must be 4 to %d", cfg->entries,
                       LEDGER_MOST);
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

/* --- samples --- */

uint64_t
gauge_sample_messages(const struct gauge *g)
{
    return g->sample.bytes == 0 && g->messages == GAUGE_UNKNOWN ? 0 : g->messages;
}

/* At least so much of the sample is ours: its ready messages, without those that were delivered before and without
 * those of which nobody knows whether they were there. */
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

/* Have as many of ours come since the mark as there are in the queue?  Then more have gone than were there at the mark:
 * a new one was delivered since, and the bound of that time holds for all that was delivered before. */
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
    gauge_give_back(g);
}

/* A field that is missing does not make numbers other ones. */
static bool
may_be(uint64_t had, uint64_t has)
{
    return had == has || had == GAUGE_UNKNOWN || has == GAUGE_UNKNOWN;
}

static bool
repeats(const struct gauge *g, const struct gauge_sample *s)
{
    return g->sample.has && g->sample.bytes == s->bytes && may_be(g->messages, s->messages) &&
           may_be(g->unacked, s->unacked) && may_be(g->work, s->work);
}

unsigned
gauge_take_sample(struct gauge *g, const struct gauge_sample *s, int64_t now_us)
{
    unsigned news = 0;

    gauge_turn(g, now_us);
    if (s->bytes == GAUGE_UNKNOWN || s->asked_us > g->now_us || (g->sample.has && s->asked_us <= g->asked_us))
        return 0;
    if (repeats(g, s)) {
        g->work = gauge_min(g->work, s->work); /* the one that is known */
        news = doubt_repeated(g, s->asked_us);
    } else {
        if (g->sample.has)
            news = doubt_against(g, s->bytes, s->messages) | doubt_fell(g, s->bytes, s->asked_us);
        g->drift &= ~(unsigned)GAUGE_N_DEAD;
        g->sample.has = true;
        g->sample.bytes = s->bytes;
        g->messages = s->messages;
        g->unacked = s->unacked;
        g->work = s->work;
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
