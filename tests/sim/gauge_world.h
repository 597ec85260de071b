/* gauge_world.h - a queue, a gauge, and a gate that believes the gauge. */
#ifndef GAUGE_WORLD_H
#define GAUGE_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "broker_model.h"
#include "core/gauge.h"

/* What is true of a world, and what befalls it.  Times in microseconds, chances a second. */
struct gauge_fate {
    struct gauge_config cfg;
    uint64_t threshold, bundle_max;
    int64_t  poll_us, count_us, length_us;
    double   rate;             /* bytes a second that want to be published; 0: all that the gate lets through */
    double   foreign, lose_sample, lose_field, purge, cut, broker_restart, our_restart, consumers_change, refuse;
    bool     lag_true, wrong_alone, bounded_key, counts_come;
    bool     prompt;           /* what is reserved is handed over at once */
    bool     no_work;          /* telemetry does not tell it */
    int64_t  dead_from_us;     /* 0: never */
    int64_t  warm_us;          /* what consumers do before is not looked at */
};

struct gauge_figures {
    uint64_t steps, published, samples, counts, lag_news, foreign_news, fell_news, dead_news, unbounded_news;
    uint64_t known_steps, by_count_steps, cuts, purges, restarts, broker_restarts, refused, foreign;
    uint64_t overrun_bytes;    /* above threshold + one bundle; only where stats_lag is wrong */
    uint64_t overran, overrun_unseen; /* worlds that overran, and of them those of which no news came */
    uint64_t size_max;
};

struct gauge_world;

void gauge_world_draw(uint64_t seed, struct gauge_fate *fate, struct model *model);

/* Live it.  NULL, or the promise that broke.  model is closed by the caller. */
const char *gauge_world_run(uint64_t seed, const struct gauge_fate *fate, struct model *model, bool trace,
                            struct gauge_figures *sum);

#endif
