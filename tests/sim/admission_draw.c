/* admission_draw.c - what a seed says of its world. */
#include <string.h>

#include "admission_parts.h"

static double
maybe(struct chance *c, double p, double a_second)
{
    return chance_is(c, p) ? a_second : 0;
}

static void
draw_queue(struct chance *c, struct adm_fate *f, struct adm_queue *q, uint64_t threshold)
{
    const bool unbounded = chance_is(c, 0.25);

    q->counts = chance_is(c, 0.7);
    q->fifo = q->counts || chance_is(c, 0.5);
    q->alone = chance_is(c, 0.7);
    q->bounded_key = chance_is(c, 0.2) && !unbounded;
    q->group = (uint32_t)chance_below(c, 3);
    for (int i = 0; i < 2; i++)
        q->beat_us[i] = chance_log(c, 300000, 5000000);
    for (int i = 0; i < MODEL_CONSUMERS; i++) {
        q->consumers[i].here = chance_is(c, 0.5);
        q->consumers[i].prefetch = (uint32_t)chance_log(c, 1, 50);
        q->consumers[i].rate = (double)threshold / (double)chance_log(c, 2, 100);
        q->consumers[i].holds = chance_is(c, 0.15);
        if (chance_is(c, 0.5)) {
            q->consumers[i].on_us = chance_log(c, 200000, 20000000);
            q->consumers[i].off_us = chance_log(c, 200000, 20000000);
        }
    }
    if (unbounded)
        q->consumers[0].prefetch = MODEL_UNBOUNDED;
    if (q->beat_us[0] + q->beat_us[1] + 4 * STEP_US > f->limits.stats_lag_us)
        f->limits.stats_lag_us = q->beat_us[0] + q->beat_us[1] + 4 * STEP_US;
}

static void
draw_peer(struct chance *c, struct adm_fate *f, struct adm_peer *p, uint64_t threshold)
{
    p->queue = (uint32_t)chance_below(c, f->n_queues);
    p->publisher = p->queue % f->core.publishers; /* one connection for each queue: counts need its order */
    p->weight = chance_is(c, 0.5) ? 1 : (uint32_t)chance_log(c, 1, 8);
    p->threshold = threshold;
    if (chance_is(c, 0.4))
        p->threshold = (uint64_t)chance_log(c, (int64_t)threshold / 8 + 1, 4 * (int64_t)threshold);
    p->fixed = chance_is(c, 0.5);
    p->word = DECIDE_NONE;
    if (chance_is(c, 0.2))
        p->word = (uint64_t)chance_log(c, (int64_t)threshold / 8 + 1, 2 * (int64_t)threshold);
    p->ordered = chance_is(c, 0.2);
    p->kind = (uint8_t)(chance_is(c, 0.3) ? 0 : 1 + chance_below(c, 3));
    p->check_first = chance_is(c, 0.3);
    p->resume_schedule = chance_is(c, 0.2);
    p->most = (uint64_t)chance_log(c, 1000, (int64_t)f->bundle_max * 8 / 9);
    p->least = (uint64_t)chance_log(c, 100, (int64_t)p->most);
    p->rate = chance_is(c, 0.5) ? 0 : (double)threshold / (double)chance_log(c, 1, 100);
    p->formed = chance_is(c, 0.5) ? 0 : 0.5;
    p->run_bytes = (uint64_t)chance_log(c, (int64_t)p->most, 2 * (int64_t)threshold + (int64_t)p->most);
    p->period_us = chance_log(c, 1000000, 20000000);
    p->way_us = chance_log(c, 1000, 200000);
}

static void
draw_faults(struct chance *c, struct adm_fate *f)
{
    static const double rates[ADM_FAULTS][2] = {
        /* how likely, and how often */
        [ADM_FOREIGN] = {0.6, 0.2},
        [ADM_PURGE] = {0.3, 0.01},
        [ADM_DELETE] = {0.2, 0.005},
        [ADM_CONSUMERS] = {0.5, 0.05},
        [ADM_BROKER_DOWN] = {0.4, 0.02},
        [ADM_BROKER_RESTART] = {0.3, 0.01},
        [ADM_BLOCKED] = {0.3, 0.03},
        [ADM_NACK] = {0.4, 0.1},
        [ADM_REFUSE] = {0.3, 0.05},
        [ADM_GATEWAY] = {0.3, 0.015},
        [ADM_CRASH] = {0.4, 0.01},
        [ADM_CUT] = {0.4, 0.02},
        [ADM_PAUSE] = {0.3, 0.01},
        [ADM_RELOAD] = {0.4, 0.05},
        [ADM_AWAY] = {0.3, 0.01},
        [ADM_LOSE_SAMPLE] = {0.3, 0.2},
        [ADM_LOSE_FIELD] = {0.3, 0.1},
        [ADM_LOSE_COUNT] = {0.3, 0.3},
        [ADM_ALARM] = {0.2, 0.05},
    };

    for (int i = 0; i < ADM_FAULTS; i++)
        f->faults[i] = maybe(c, rates[i][0], rates[i][1]);
}

void
adm_draw(uint64_t seed, struct adm_fate *f)
{
    struct chance c = chance_stream(seed, 10);
    uint64_t threshold;

    memset(f, 0, sizeof(*f));
    f->bundle_max = (uint64_t)chance_log(&c, 2000, 200000);
    threshold = f->bundle_max * (uint64_t)chance_log(&c, 1, 40);
    f->n_queues = (uint32_t)chance_log(&c, 1, ADM_QUEUES);
    f->n_peers = (uint32_t)chance_log(&c, 1, ADM_PEERS);
    f->ring = (uint32_t)chance_log(&c, 2, 24);
    f->core = (struct core_config){.memory_limit = chance_is(&c, 0.5) ? 8 << 20 : 256 << 20, .max_bundle = 1 << 20,
                                   .chunk = 1 << 20, .ping_us = 5000000, .missed = 3,
                                       .publishers = 1 + (uint32_t)chance_below(&c, ADM_PUBLISHERS)};
    for (uint32_t q = 0; q < f->n_queues; q++)
        draw_queue(&c, f, &f->queues[q], threshold);
    for (uint32_t p = 0; p < f->n_peers; p++)
        draw_peer(&c, f, &f->peers[p], threshold);
    f->poll_us = chance_log(&c, 300000, 5000000);
    f->limits.stale_after_us = 2 * f->limits.stats_lag_us + 4 * f->poll_us;
    f->limits.count_every_us = 200000;
    f->limits.resume_ppm = 800000;
    f->limits.run_on_stale = chance_is(&c, 0.05);
    for (int g = 0; g < CORE_GROUPS_MAX; g++)
        f->limits.budget[g] = DECIDE_NONE;
    for (int g = 0; g < 3; g++)
        if (chance_is(&c, 0.4))
            f->limits.budget[g] = (uint64_t)chance_log(&c, (int64_t)threshold / 2 + 1, 4 * (int64_t)threshold);
    f->length_us = chance_log(&c, 20 * SECOND, 120 * SECOND);
    draw_faults(&c, f);
    f->spool_limit = chance_is(&c, 0.5) ? 0 : f->bundle_max * (uint64_t)chance_log(&c, 2, 60);
}
