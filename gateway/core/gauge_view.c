/* gauge_view.c - what a gauge says: to gates, and to people. */
#include "gauge_parts.h"

#include <stddef.h>

enum { NEAR_PART = 8, DOUBT_PART = 2 };

enum gauge_why
gauge_why(const struct gauge *g)
{
    if (g->sample.has && g->anchor_us >= g->valid_from_us)
        return g->now_us - g->asked_us > g->cfg.stale_after_us ? GAUGE_STALE : GAUGE_FRESH;
    if (g->why == GAUGE_GONE || g->now_us < g->valid_from_us)
        return g->why;
    return g->sample.has && g->now_us - g->asked_us <= g->cfg.stale_after_us ? g->why : GAUGE_NO_SAMPLE;
}

static uint64_t
bound(const struct gauge *g, enum gauge_source *from)
{
    const uint64_t sample = g->sample.bytes + g->sample.since.bytes, count = g->count.bytes + g->count.since.bytes;

    if (gauge_why(g) != GAUGE_FRESH) {
        *from = GAUGE_FROM_NOTHING;
        return GAUGE_UNKNOWN;
    }
    *from = g->count.has && count < sample ? GAUGE_FROM_COUNT : GAUGE_FROM_SAMPLE;
    return (*from == GAUGE_FROM_COUNT ? count : sample) + gauge_open_bytes(g);
}

uint64_t
gauge_upper(struct gauge *g, int64_t now_us)
{
    enum gauge_source from;

    gauge_turn(g, now_us);
    return bound(g, &from);
}

/* What was there at some time, less what was taken since. */
static uint64_t
drained(const struct gauge *g, uint64_t bytes, int64_t from_us)
{
    double rate, taken;

    if (!pace_rate(g, &rate) || !pace_moves(g))
        return bytes;
    taken = rate * (double)(g->now_us - from_us) / 1e6;
    return taken >= (double)bytes ? 0 : bytes - (uint64_t)taken;
}

static uint64_t
estimate(const struct gauge *g, uint64_t upper, enum gauge_source *from)
{
    const int64_t made_us = pace_made_us(g);
    uint64_t bytes;

    *from = GAUGE_FROM_NOTHING;
    if (upper == GAUGE_UNKNOWN)
        return GAUGE_UNKNOWN;
    if (g->count_us > made_us && g->count_guess != GAUGE_UNKNOWN) {
        *from = GAUGE_FROM_COUNT;
        bytes = drained(g, g->count_guess + g->count_since.bytes, g->count_us);
    } else {
        *from = GAUGE_FROM_SAMPLE;
        bytes = drained(g, g->sample.bytes + ledger_since(&g->ledger, made_us).bytes, made_us);
    }
    return gauge_min(bytes + g->flying, upper);
}

/* Would a count that agrees make a sample new that repeats itself, and would that open the gate? */
static bool
worth_a_doubt(const struct gauge *g, uint64_t upper, uint64_t threshold)
{
    const uint64_t since = ledger_since(&g->ledger, g->asked_us - g->lag_us - 1).bytes;

    return g->anchor_us < g->asked_us && g->count_us < g->asked_us && gauge_sample_messages(g) != GAUGE_UNKNOWN &&
           upper >= threshold / DOUBT_PART && g->sample.bytes + since + gauge_open_bytes(g) < threshold;
}

bool
gauge_count_worth(struct gauge *g, uint64_t threshold, int64_t now_us)
{
    const uint64_t upper = gauge_upper(g, now_us);
    uint64_t lowest;

    if (upper == GAUGE_UNKNOWN)
        return false;
    if (worth_a_doubt(g, upper, threshold))
        return true;
    if (upper < threshold - threshold / NEAR_PART || !g->cfg.counts || !g->cfg.alone || g->now_us < g->distrust_us ||
        g->unacked_max == GAUGE_UNKNOWN || g->before == GAUGE_UNKNOWN)
        return false;
    if (g->holes == GAUGE_UNKNOWN)
        return g->mark_messages >= g->unacked_max; /* it may prove that the bound holds by now */
    ledger_tail(&g->ledger, g->now_us, 0, g->holes, &lowest);
    return lowest + g->before + gauge_open_bytes(g) < threshold;
}

void
gauge_view(struct gauge *g, int64_t now_us, struct gauge_view *ret)
{
    gauge_turn(g, now_us);
    *ret = (struct gauge_view){
        .why = gauge_why(g),
        .sample_age_us = g->sample.has ? g->now_us - g->asked_us : -1,
        .count_age_us = g->count_us < 0 ? -1 : g->now_us - g->count_us,
        .reserved = g->reserved,
        .flying = g->flying,
        .unacked_max = gauge_counts(g, g->consumers) ? g->holes : GAUGE_UNKNOWN,
        .lag_us = g->lag_us,
        .lag_broken = g->lag_broken,
    };
    ret->upper = bound(g, &ret->upper_from);
    ret->estimate = estimate(g, ret->upper, &ret->estimate_from);
    if (g->drift != 0 && ((g->drift & GAUGE_N_DEAD) != 0 || g->now_us - g->drift_seen_us < GAUGE_CALM_US)) {
        ret->drift = g->drift;
        ret->drift_bytes = g->drift_bytes;
        ret->drift_us = g->drift_us;
    }
}

void
gauge_drain(struct gauge *g, uint64_t level, int64_t now_us, struct gauge_drain *ret)
{
    struct gauge_view view;
    double rate = 0, within_us;

    gauge_view(g, now_us, &view);
    *ret = (struct gauge_drain){.within_us = -1};
    if (view.estimate != GAUGE_UNKNOWN && view.estimate <= level)
        ret->within_us = 0;
    ret->known = pace_rate(g, &rate);
    ret->draining = ret->known && pace_moves(g) && rate >= 1;
    ret->rate = ret->draining ? (uint64_t)rate : 0;
    if (!ret->draining || view.estimate == GAUGE_UNKNOWN || view.estimate <= level)
        return;
    within_us = (double)(view.estimate - level) / rate * 1e6;
    ret->within_us = within_us < 9e18 ? (int64_t)within_us : -1;
}

uint64_t
gauge_size(const struct gauge *g)
{
    return sizeof(*g) + g->cap_open * sizeof(*g->open) + g->ledger.cap * sizeof(*g->ledger.entries) +
           (g->pace == NULL ? 0 : sizeof(*g->pace));
}
