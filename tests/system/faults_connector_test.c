/* faults_connector_test.c - what can happen between connectors and the gateway, and to the gateway itself.  Each test
 * ends with the ledger: nothing answered for is lost, nothing invented, order kept, repeats within their bound. */
#include "must.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "load.h"
#include "proxy.h"
#include "sluiced.h"
#include "stage.h"
#include "world.h"

enum { AT_ONCE = 64 /* connectors of one round of cuts */ };

static const struct sluiced_config ANYBODY = {.rest = SLUICED_ANYBODY("faults"), .ping = "500ms"};

/* A gateway behind the stage's proxy.  With slow pings nobody connects anew who was only late: where cuts are counted,
 * such a connection would have one for itself. */
static void
gateway_behind_proxy(struct stage *s, const char *ping)
{
    struct sluiced_config config = ANYBODY;
    config.ping = ping;
    config.hung_after = "20s"; /* the broker is well here, if slow: cutting it off would repeat bundles */
    stage_gateway(s, &config);
    MUST_HAVE(s->proxy, proxy_start(sluiced_port(s->gateway), &err));
}

/* Cut one connection at each of `positions` byte counts from `from` on, `step` apart; AT_ONCE connectors at once, each
 * with a bundle of size bytes.  Returns how many were really cut. */
static uint64_t
sweep(struct stage *s, enum proxy_way way, uint64_t from, uint64_t step, uint64_t positions, size_t size)
{
    static const uint32_t FIRST[] = {0, 2000}; /* the connectors of a way have names of their own */
    uint64_t cuts = 0;
    for (uint64_t at = 0; at < positions; at += AT_ONCE) {
        uint64_t n = positions - at < AT_ONCE ? positions - at : AT_ONCE;
        struct proxy_fault f = {
            .cut = true, .after = from + at * step, .step = step, .cuts = n, .reset = at / AT_ONCE % 2 == 1};
        struct load_plan plan = {.first = FIRST[way] + (uint32_t)at,
                                 .connectors = (uint32_t)n,
                                 .size_min = size,
                                 .size_max = size,
                                 .bundles = 1};
        proxy_set(s->proxy, way, &f);
        stage_finish(s, stage_load(s, &plan, true), 120000, NULL);
        cuts += proxy_cuts(s->proxy);
        proxy_set(s->proxy, way, NULL);
    }
    return cuts;
}

static void
a_connection_cut_at_any_byte_to_the_gateway_loses_and_repeats_nothing(void **state)
{
    struct stage *s = *state;
    gateway_behind_proxy(s, "5s");
    uint64_t step = world_long() ? 1 : 3, cuts = sweep(s, PROXY_UP, 0, step, 1500 / step, 1024);
    print_message("%llu connections cut\n", (unsigned long long)cuts);
    assert_true(cuts >= 1200 / step);
    (void)stage_agrees(s, "faults", 0, false);
}

static void
a_connection_cut_at_any_byte_from_the_gateway_loses_and_repeats_nothing(void **state)
{
    struct stage *s = *state;
    gateway_behind_proxy(s, "5s");
    uint64_t step = world_long() ? 1 : 3, cuts = sweep(s, PROXY_DOWN, 0, step, 600 / step, 1024);
    print_message("%llu connections cut\n", (unsigned long long)cuts);
    assert_true(cuts >= 250 / step); /* the whole exchange has a little more from the gateway */
    (void)stage_agrees(s, "faults", 0, false);
}

static void
a_large_bundle_cut_around_the_edges_of_its_chunks_arrives_once(void **state)
{
    struct stage *s = *state;
    gateway_behind_proxy(s, "5s");
    uint64_t cuts = 0, step = world_long() ? 2 : 8, positions = 512 / step;
    for (uint64_t chunk = 1; chunk <= 3; chunk++) {
        struct proxy_fault f = {
            .cut = true, .after = chunk * 65536 + 128 + 64 * chunk, .step = step, .cuts = positions};
        struct load_plan plan = {.first = (uint32_t)(chunk * 256),
                                 .connectors = (uint32_t)positions,
                                 .size_min = 200 * 1024,
                                 .size_max = 200 * 1024,
                                 .bundles = 1};
        proxy_set(s->proxy, PROXY_UP, &f);
        stage_finish(s, stage_load(s, &plan, true), 120000, NULL);
        cuts += proxy_cuts(s->proxy);
        proxy_set(s->proxy, PROXY_UP, NULL);
    }
    assert_int_equal(cuts, 3 * positions);
    (void)stage_agrees(s, "faults", 0, false);
}

static void
a_storm_of_reconnects_loses_and_repeats_nothing(void **state)
{
    struct stage *s = *state;
    struct load_result r;
    gateway_behind_proxy(s, "500ms");
    struct load_plan plan = {
        .connectors = 100, .size_min = 100, .size_max = 20000, .pause_us = 5000, .queue_bytes = 1 << 18};
    struct load *load = stage_load(s, &plan, true);
    for (int i = 0; i < 8; i++) {
        const uint64_t all = (uint64_t)plan.connectors * (uint64_t)(i + 1);
        for (int n = 0; n < 6000 && proxy_accepted(s->proxy) < all; n++)
            world_sleep_ms(10); /* they are back */
        stage_await_acks(load, 500);
        proxy_cut_all(s->proxy, i % 2 == 0);
    }
    stage_await_acks(load, 200);
    stage_finish(s, load, 120000, &r);
    print_message("%llu reconnects, %llu bundles sent again\n", (unsigned long long)r.reconnects,
                  (unsigned long long)r.resent);
    assert_true(r.reconnects >= 300);
    (void)stage_agrees(s, "faults", 0, false);
}

static void
a_link_that_is_silent_for_seconds_is_replaced_and_nothing_is_lost_or_repeated(void **state)
{
    struct stage *s = *state;
    struct load_result r;
    gateway_behind_proxy(s, "500ms");
    struct load_plan plan = {
        .connectors = 4, .size_min = 100, .size_max = 5000, .pause_us = 2000, .queue_bytes = 1 << 18};
    struct proxy_fault stall = {.stall = true};
    struct load *load = stage_load(s, &plan, true);
    for (int i = 0; i < 3; i++) {
        stage_await_acks(load, 50);
        if (i != 1)
            proxy_set(s->proxy, PROXY_UP, &stall);
        if (i != 0)
            proxy_set(s->proxy, PROXY_DOWN, &stall);
        world_sleep_ms(3000); /* three pings of 500 ms are missed */
        proxy_set(s->proxy, PROXY_UP, NULL);
        proxy_set(s->proxy, PROXY_DOWN, NULL);
    }
    stage_await_acks(load, 50);
    stage_finish(s, load, 120000, &r);
    assert_true(r.reconnects >= 4);
    (void)stage_agrees(s, "faults", 0, false);
}

static void
a_slow_and_late_link_is_only_slow(void **state)
{
    struct stage *s = *state;
    gateway_behind_proxy(s, "500ms");
    struct proxy_fault slow = {.delay_us = 30000, .rate = 400000};
    struct load_plan plan = {.connectors = 2, .size_min = 100, .size_max = 150000, .bundles = 8};
    proxy_set(s->proxy, PROXY_UP, &slow);
    proxy_set(s->proxy, PROXY_DOWN, &slow);
    stage_finish(s, stage_load(s, &plan, true), 120000, NULL);
    (void)stage_agrees(s, "faults", 0, false);
}

static void
noise_instead_of_answers_on_both_sides_is_survived(void **state)
{
    struct stage *s = *state;
    gateway_behind_proxy(s, "500ms");
    struct proxy_fault noise = {.garbage = true}, stall = {.stall = true};
    struct load_plan plan = {
        .connectors = 4, .size_min = 100, .size_max = 2000, .pause_us = 2000, .queue_bytes = 1 << 18};
    struct load *load = stage_load(s, &plan, true);
    for (int i = 0; i < 2; i++) {
        stage_await_acks(load, 50);
        /* Noise begins with a connection: within one, nothing but TCP would notice it.  So nothing passes between the
         * cut and the noise. */
        proxy_set(s->proxy, PROXY_UP, &stall);
        proxy_set(s->proxy, PROXY_DOWN, &stall);
        proxy_cut_all(s->proxy, false);
        proxy_set(s->proxy, PROXY_UP, &noise);
        proxy_set(s->proxy, PROXY_DOWN, &noise);
        world_sleep_ms(500);
        proxy_set(s->proxy, PROXY_UP, NULL);
        proxy_set(s->proxy, PROXY_DOWN, NULL);
        proxy_cut_all(s->proxy, false);
    }
    stage_await_acks(load, 50);
    stage_finish(s, load, 120000, NULL);
    assert_true(sluiced_alive(s->gateway));
    /* A connection that was there when the noise came may have taken it for a bundle; it was cut before. */
    (void)stage_agrees(s, "faults", 0, false);
}

static void
a_gateway_killed_again_and_again_under_load_loses_nothing(void **state)
{
    struct stage *s = *state;
    const int kills = world_long() ? 40 : 10;
    struct load_result r;
    stage_gateway(s, &ANYBODY);
    struct load_plan small = {
        .connectors = 4, .size_min = 100, .size_max = 3000, .pause_us = 2000, .queue_bytes = 1 << 18};
    struct load_plan large = {
        .first = 10, .connectors = 2, .size_min = 50000, .size_max = 300000, .pause_us = 20000, .queue_bytes = 1 << 21};
    struct load *a = stage_load(s, &small, false), *b = stage_load(s, &large, false);
    uint64_t before = 0;
    for (int i = 0; i < kills; i++) {
        stage_await_acks(a, 20);
        world_sleep_ms(37 * i % 200);
        sluiced_kill(s->gateway);
        MUST(sluiced_start(s->gateway, true, &err));
    }
    stage_await_acks(a, 20);
    load_stop(a);
    load_stop(b);
    stage_finish(s, a, 120000, &r);
    before = r.pushed;
    stage_finish(s, b, 120000, &r);
    print_message("%llu bundles, %d kills\n", (unsigned long long)before + r.pushed, kills);
    /* A kill repeats at most what was confirmed since the last marks (each 100 ms), or not yet confirmed: the queues
     * of six connectors, here 4 x 256 KiB of 100 to 3000 bytes and 2 x 2 MiB.  It is far less: the window is 200. */
    (void)stage_agrees(s, "faults", (uint64_t)kills * 600, false);
}

static void
a_gateway_killed_while_the_broker_is_away_loses_nothing(void **state)
{
    struct stage *s = *state;
    stage_gateway(s, &ANYBODY);
    struct load_plan plan = {
        .connectors = 4, .size_min = 100, .size_max = 3000, .pause_us = 1000, .queue_bytes = 1 << 18};
    struct load *load = stage_load(s, &plan, false);
    stage_await_acks(load, 100);
    stage_broker(s, "kill", NULL);
    world_sleep_ms(300);
    sluiced_kill(s->gateway);
    MUST(sluiced_start(s->gateway, false, &err));
    stage_broker(s, "restart", NULL);
    stage_await_acks(load, 100);
    stage_finish(s, load, 120000, NULL);
    (void)stage_agrees(s, "faults", 600, false);
}

#define FAULT(f) cmocka_unit_test_setup_teardown(f, stage_begin, stage_end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT(a_connection_cut_at_any_byte_to_the_gateway_loses_and_repeats_nothing),
        FAULT(a_connection_cut_at_any_byte_from_the_gateway_loses_and_repeats_nothing),
        FAULT(a_large_bundle_cut_around_the_edges_of_its_chunks_arrives_once),
        FAULT(a_storm_of_reconnects_loses_and_repeats_nothing),
        FAULT(a_link_that_is_silent_for_seconds_is_replaced_and_nothing_is_lost_or_repeated),
        FAULT(a_slow_and_late_link_is_only_slow),
        FAULT(noise_instead_of_answers_on_both_sides_is_survived),
        FAULT(a_gateway_killed_again_and_again_under_load_loses_nothing),
        FAULT(a_gateway_killed_while_the_broker_is_away_loses_nothing),
    };
    return cmocka_run_group_tests(tests, stage_open, stage_close);
}
