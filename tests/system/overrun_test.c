/* overrun_test.c - connectors that push as fast as they can: what is in the queue, by the queue's own word, never is
 * more than its threshold and one bundle; and a gate that stays shut is no answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "system/flood.h"
#include "system/late.h"
#include "system/must.h"
#include "system/orders.h"
#include "system/sluiced.h"
#include "system/world.h"

#define SECOND "poll = \"500ms\"; stats_lag = \"2s\"; stale_after = \"4s\";"

struct here {
    struct world *world;
    struct flood *flood;
};

static int
open_world(void **state)
{
    struct here *h = calloc(1, sizeof(*h));

    *state = h;
    h->world = h == NULL ? NULL : flood_world(1000);
    return h->world == NULL ? -1 : 0;
}

static int
close_world(void **state)
{
    struct here *h = *state;

    world_close(h->world);
    free(h);
    return 0;
}

static int
end(void **state)
{
    struct here *h = *state;

    flood_free(h->flood);
    h->flood = NULL;
    return 0;
}

static struct flood *
flood(void **state, const struct flood_plan *plan)
{
    struct here *h = *state;

    return h->flood = flood_new(h->world, plan);
}

enum { FILL_MS = 5000,
       OPEN_MS = 150000 };

/* How fast it goes is promised while stats_lag is true.  A broker on a busy machine may be later than that: then the
 * gateway holds everybody until it is sure again. */
static bool
lag_was_true(const struct flood *f)
{
    const int n = sluiced_log_count(f->gateway, 0, "event=stats_lag_violated");

    if (n > 0)
        print_message("  the broker's figures were older than stats_lag, %d times\n", n);
    return n == 0;
}

/* The first bundle comes once telemetry is fresh: after stats_lag and what our former life may have on its way. */
static void
fills(const struct flood *f)
{
    struct late *late = late_start();
    const int64_t took_ms = flood_reaches(f, 0.9, OPEN_MS), late_ms = late_stop(late) / 1000;

    print_message("  0.9 of each threshold after %lld ms; the machine is %lld ms late\n", (long long)took_ms,
                  (long long)late_ms);
    if (took_ms >= 0 && (took_ms <= FILL_MS + late_ms || !lag_was_true(f)))
        return;
    for (uint32_t i = 0; i < f->plan.connectors; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "load-%u", i);
        const struct standing s = orders_status(f->gateway, id);
        print_message("  %s: %s (%s), figures %s by %s, estimate %lld, upper %lld of %lld, acked %lld\n", id, s.state,
                      s.reasons, s.figures, s.source, (long long)s.estimate, (long long)s.upper,
                      (long long)s.threshold, f->loads[i] != NULL ? (long long)flood_acked(f, i) : -1);
    }
    sluiced_log_show(f->gateway);
    fail_msg("0.9 of each threshold was not reached within %d ms of the first bundle, but in %lld", FILL_MS,
             (long long)took_ms);
}

/* While nobody takes anything, nothing goes up any more. */
static void
stays_full(struct flood *f, int64_t ms)
{
    const uint64_t before = flood_truth(f, 0).bytes;
    const struct standing s = orders_await(f->gateway, "load-0", "held", "queue");

    assert_true(s.measured && s.upper != UINT64_MAX && s.upper >= s.threshold);
    world_sleep_ms(ms);
    assert_true(flood_truth(f, 0).bytes >= before);
}

static void
eight_fill_one_queue_to_its_threshold_and_no_further(void **state)
{
    struct flood *f = flood(state, &(struct flood_plan){.connectors = 8,
                                                        .one_queue = true,
                                                        .threshold_mb = {5},
                                                        .bundle = 50000,
                                                        .telemetry = SECOND});

    flood_begin(f);
    fills(f);
    stays_full(f, 3000);
    flood_kept_its_promise(f);
}

static uint64_t
pushed(const struct flood *f, uint32_t from, uint32_t to)
{
    uint64_t bytes = 0;

    for (uint32_t i = from; i < to; i++)
        bytes += flood_acked(f, i) * f->plan.bundle;
    return bytes;
}

/* These begin now, and fill the queue up to nine tenths of what they may. */
static void
begin_and_fill(struct flood *f, uint32_t from, uint32_t to, uint64_t threshold)
{
    for (uint32_t i = from; i < to; i++)
        flood_push(f, i);
    for (int i = 0; i < OPEN_MS / 10 && pushed(f, 0, to) < threshold / 10 * 9; i++)
        world_sleep_ms(10);
    assert_true(pushed(f, 0, to) >= threshold / 10 * 9);
}

/* Who may fill it less stops earlier, and the one who may fill it most fills it to the brim.  They begin one kind after
 * the other: together, the last would have it full before the first are connected. */
static void
unequal_thresholds_on_one_queue_are_each_kept(void **state)
{
    struct flood *f = flood(state, &(struct flood_plan){.connectors = 8,
                                                        .one_queue = true,
                                                        .threshold_mb = {2, 2, 2, 5, 5, 5, 20, 20},
                                                        .bundle = 50000,
                                                        .telemetry = SECOND});

    begin_and_fill(f, 0, 3, 2000000);
    begin_and_fill(f, 3, 6, 5000000);
    flood_push(f, 6);
    flood_push(f, 7);
    fills(f);
    stays_full(f, 100);
    print_message("  those to 2 MB pushed %.2f MB, with those to 5 MB %.2f\n", (double)pushed(f, 0, 3) / 1e6,
                  (double)pushed(f, 0, 6) / 1e6);
    assert_true(pushed(f, 0, 3) < 2000000 + f->plan.bundle && pushed(f, 0, 6) < 5000000 + f->plan.bundle);
    flood_kept_its_promise(f);
}

/* Of each kind of consumer two queues: none, steady, in bursts, and one that takes 10,000 and acknowledges nothing. */
static void
eight_queues_with_all_kinds_of_consumers_are_kept_below_their_thresholds(void **state)
{
    const struct taker_plan steady = {.prefetch = 20, .rate = 1000000},
                            bursts = {.prefetch = 50, .rate = 8000000, .on_ms = 500, .off_ms = 1500},
                            hoard = {.prefetch = 10000, .hoards = true};
    struct flood *f = flood(state,
                            &(struct flood_plan){.connectors = 8,
                                                 .threshold_mb = {5, 20, 5, 20, 5, 20, 2, 5},
                                                 .bundle = 20000,
                                                 .telemetry = SECOND,
                                                 .taker = {{0}, {0}, steady, steady, bursts, bursts, hoard, hoard}});
    struct taker_result r[FLOOD_MOST];

    flood_begin(f);
    fills(f);
    world_sleep_ms(2000);
    for (uint32_t i = 2; i < 6; i++)
        taker_so_far(f->takers[i], true, &r[i]);
    struct late *late = late_start();
    world_sleep_ms(8000);
    for (uint32_t i = 2; i < 6; i++)
        taker_so_far(f->takers[i], false, &r[i]);
    /* 1 MB/s, but for what kept the consumers themselves. */
    const double meant = 0.95 * (8e6 - (double)late_stop(late));
    for (uint32_t i = 2; i < 6; i++)
        print_message("  consumer %u: %.2f MB/s, idle %.1f %%\n", i, (double)r[i].bytes / 8e6,
                      r[i].active_us > 0 ? 100.0 * (double)r[i].idle_us / (double)r[i].active_us : 0.0);
    /* With counts every 0.2 s, 5 MB are more than three times what a steady one takes blindly. */
    assert_true(!lag_was_true(f) || ((double)r[2].bytes >= meant && (double)r[3].bytes >= meant));
    flood_kept_its_promise(f);
}

static void
a_gateway_killed_at_nine_tenths_and_started_again_overruns_nothing(void **state)
{
    struct flood *f = flood(state, &(struct flood_plan){.connectors = 8,
                                                        .one_queue = true,
                                                        .threshold_mb = {20},
                                                        .bundle = 20000,
                                                        .telemetry = SECOND});
    const int64_t until = clock_mono_us() + OPEN_MS * INT64_C(1000);
    uint64_t acked = 0;

    flood_begin(f);
    while (acked * f->plan.bundle < 18000000 && clock_mono_us() < until) {
        acked = 0;
        for (uint32_t i = 0; i < 8; i++)
            acked += flood_acked(f, i);
        world_sleep_ms(1);
    }
    sluiced_kill(f->gateway);
    print_message("  killed when %.2f MB were acknowledged\n", (double)acked * (double)f->plan.bundle / 1e6);
    MUST(sluiced_start(f->gateway, true, &err));
    assert_true(acked * f->plan.bundle >= 18000000);
    assert_true(flood_reaches(f, 0.99, OPEN_MS) >= 0);
    stays_full(f, 3000);
    flood_kept_its_promise(f);
}

/* The broker's figures are up to 2 s old, and the gateway was told 0.2 s: that is seen. */
static void
a_stats_lag_that_is_not_true_is_noticed(void **state)
{
    struct flood *f = flood(state,
                            &(struct flood_plan){.connectors = 2,
                                                 .one_queue = true,
                                                 .threshold_mb = {5},
                                                 .bundle = 50000,
                                                 .no_wire = true,
                                                 .telemetry = "poll = \"100ms\"; stats_lag = \"200ms\"; "
                                                              "stale_after = \"4s\";"});
    struct flood_figures figures;

    flood_begin(f);
    assert_true(sluiced_log_wait(f->gateway, 0, "event=stats_lag_violated", f->queues[0], OPEN_MS));
    flood_figures(f, &figures);
    flood_replays(f);
}

#define COLLECTORS "P <- [queue_metrics_metrics_collector, queue_coarse_metrics_metrics_collector]]."

static uint64_t
all_acked(const struct flood *f)
{
    uint64_t acked = 0;

    for (uint32_t i = 0; i < f->plan.connectors; i++)
        acked += flood_acked(f, i);
    return acked;
}

/* Held while collectors stand still; and once they go on, so does everybody. */
static void
held_until_statistics_go_on(struct flood *f)
{
    flood_kept_its_promise(f);
    orders_await(f->gateway, "load-0", "held", "queue");
    const uint64_t before = all_acked(f);
    truth_eval(f->world, "[sys:resume(P) || " COLLECTORS);
    const int64_t until = clock_mono_us() + OPEN_MS * INT64_C(1000);
    while (all_acked(f) <= before && clock_mono_us() < until)
        world_sleep_ms(10);
    assert_true(all_acked(f) > before);
    flood_kept_its_promise(f);
}

/* Collectors that stand still repeat their last figures for ever, with status 200; and one consumer without a prefetch
 * holds all that there is, so that counts see nothing either. */
static void
statistics_that_stop_in_mid_run_overrun_nothing_and_come_back(void **state)
{
    struct flood *f = flood(state, &(struct flood_plan){.connectors = 8,
                                                        .one_queue = true,
                                                        .threshold_mb = {5},
                                                        .bundle = 20000,
                                                        .telemetry = SECOND,
                                                        .taker = {{.rate = 1000000}}});

    flood_begin(f);
    fills(f);
    world_sleep_ms(3000); /* until the statistics must show it */
    truth_eval(f->world, "[sys:suspend(P) || " COLLECTORS);
    world_sleep_ms(8000);
    held_until_statistics_go_on(f);
}

/* The last that they told was that the queue is empty, and counts find nothing ready ever after. */
static void
statistics_that_stop_at_an_empty_queue_overrun_nothing_and_come_back(void **state)
{
    struct flood *f = flood(state, &(struct flood_plan){.connectors = 8,
                                                        .one_queue = true,
                                                        .threshold_mb = {5},
                                                        .bundle = 20000,
                                                        .telemetry = SECOND,
                                                        .taker = {{.rate = 1000000}}});

    flood_take(f);
    struct standing s = orders_status(f->gateway, "load-0");
    const int64_t until = clock_mono_us() + OPEN_MS * INT64_C(1000);
    while ((!s.measured || s.upper != 0 || strcmp(s.figures, "fresh") != 0) && clock_mono_us() < until) {
        world_sleep_ms(10); /* until the gate is open, but for the connectors that are not there */
        s = orders_status(f->gateway, "load-0");
    }
    assert_int_equal(s.upper, 0);
    world_sleep_ms(8000); /* and what collectors tell was so for longer than any doubt lasts */
    truth_eval(f->world, "[sys:suspend(P) || " COLLECTORS);
    flood_begin(f);
    fills(f);
    world_sleep_ms(8000);
    held_until_statistics_go_on(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(eight_fill_one_queue_to_its_threshold_and_no_further, end),
        cmocka_unit_test_teardown(unequal_thresholds_on_one_queue_are_each_kept, end),
        cmocka_unit_test_teardown(eight_queues_with_all_kinds_of_consumers_are_kept_below_their_thresholds, end),
        cmocka_unit_test_teardown(a_gateway_killed_at_nine_tenths_and_started_again_overruns_nothing, end),
        cmocka_unit_test_teardown(a_stats_lag_that_is_not_true_is_noticed, end),
        cmocka_unit_test_teardown(statistics_that_stop_in_mid_run_overrun_nothing_and_come_back, end),
        cmocka_unit_test_teardown(statistics_that_stop_at_an_empty_queue_overrun_nothing_and_come_back, end),
    };
    cmocka_set_test_filter(getenv("TEST_ONLY")); /* NULL: all */
    return cmocka_run_group_tests_name("overrun", tests, open_world, close_world);
}
