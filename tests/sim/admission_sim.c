/* admission_sim.c - many worlds of queues, each from its seed: SEEDS=n how many, SEED=n the first (with TRACE=1 that
 * one, told).  A world that breaks a promise is lived again without one fault after the other, and those that are
 * needed are named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "admission.h"
#include "core/decide.h"

enum { SEEDS = 200 };

static uint64_t
number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 10);
}

static void
explain(uint64_t seed, struct adm_fate *f, const char *broken, bool trace)
{
    for (int i = 0; i < ADM_FAULTS; i++) {
        struct adm_figures unused = {0};
        const double rate = f->faults[i];
        const char *again;

        if (rate == 0)
            continue;
        f->faults[i] = 0;
        again = adm_run(seed, f, false, &unused);
        if (again != NULL && strcmp(again, broken) == 0)
            continue;
        f->faults[i] = rate;
        fprintf(stderr, "needed: %s\n", adm_fault_name((enum adm_fault)i));
    }
    if (trace) {
        struct adm_figures unused = {0};

        adm_run(seed, f, true, &unused);
    }
}

static void
print_figures(uint64_t n, const struct adm_figures *f, double cpu_s)
{
#define N(x) (unsigned long long)(f->x)
    uint64_t crossed = 0;

    for (int i = 0; i < ADM_OVERSHOOTS; i++)
        crossed += f->overshoot[i];
    print_message("%llu worlds, %llu steps, %llu events, %.0f a CPU second: %llu published, %llu confirmed, %llu tried "
                  "again, %llu refused; %llu samples, %llu counts; %llu restarts, %llu of the broker, %llu lost "
                  "connections, %llu connector crashes, %llu reloads, %llu foreign, %llu purges, %llu deletes\n",
                  (unsigned long long)n, N(steps), N(events), (double)f->events / cpu_s, N(published), N(confirmed),
                  N(retried), N(refused), N(samples), N(counts), N(restarts), N(broker_restarts), N(downs), N(crashes),
                  N(reloads), N(foreign), N(purges), N(deletes));
    print_message("%llu permits, %llu of them first ones at a full queue, %llu holds, %llu for share; %llu decisions "
                  "done again; %llu gate changes, at most %llu a second of one; %llu looks at old figures; longest "
                  "calm %.1f s\n",
                  N(permits), N(firsts), N(holds), N(shares), N(replayed), N(gate_changes), N(gate_changes_most),
                  N(stale_looks), (double)f->wait_most_us / 1e6);
    print_message("%llu bundles crossed their threshold, by so many tenths of themselves:",
                  (unsigned long long)crossed);
    for (int i = 0; i < ADM_OVERSHOOTS; i++)
        print_message(" %.1f %%", crossed == 0 ? 0 : 100.0 * (double)f->overshoot[i] / (double)crossed);
    print_message("\n");
#undef N
}

static void
whatever_befalls_queues_nothing_overruns_and_nobody_waits_for_ever(void **state)
{
    const uint64_t first = number("SEED", 1), trace = number("TRACE", 0);
    const uint64_t n = trace ? 1 : number("SEEDS", SEEDS);
    struct adm_figures sum = {0};
    const clock_t began = clock();

    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct adm_fate f;
        const char *broken;

        adm_draw(seed, &f);
        broken = adm_run(seed, &f, false, &sum);
        if (broken == NULL)
            continue;
        explain(seed, &f, broken, trace != 0);
        fail_msg("seed %llu: %s (again with SEED=%llu TRACE=1)", (unsigned long long)seed, broken,
                 (unsigned long long)seed);
    }
    print_figures(n, &sum, (double)(clock() - began + 1) / CLOCKS_PER_SEC);
    /* Worlds in which nothing happens would prove nothing. */
    if (n >= 100)
        assert_true(sum.published > 100 * n && sum.permits > 2 * n && sum.holds > n && sum.counts > n &&
                    sum.restarts > n / 10 && sum.broker_restarts > n / 10 && sum.retried > n && sum.firsts > n / 50 &&
                    sum.shares > 0 && sum.spooled > n &&
                    sum.stale_looks > n && sum.overshoot[0] > 0 && sum.gate_changes > n);
}

/* --- figures --- */

enum { RATE = 1000000,
       MB = 1000000,
       SECOND = 1000000,
       LAG_US = 10100000,
       POLL_US = 5000000 };

/* RabbitMQ's beats and the gateway's defaults: one queue, of which a megabyte a second is taken, and connectors that
 * always have more than they may push. */
static struct adm_fate
usual(uint32_t n_peers, uint64_t threshold, bool counts)
{
    struct adm_fate f = {.n_queues = 1, .n_peers = n_peers, .ring = 2000, .poll_us = POLL_US,
                         .length_us = 500 * (int64_t)SECOND, .warm_us = 200 * (int64_t)SECOND, .bundle_max = 200000,
                             .no_calm = true};

    f.core = (struct core_config){.memory_limit = 256 << 20, .max_bundle = 1 << 20, .chunk = 1 << 20,
                                  .ping_us = 40 * SECOND, .missed = 3, .publishers = 1};
    f.limits = (struct core_limits){.stats_lag_us = LAG_US, .stale_after_us = 20 * SECOND, .count_every_us = 200000,
                                    .resume_ppm = 800000};
    for (int g = 0; g < CORE_GROUPS_MAX; g++)
        f.limits.budget[g] = DECIDE_NONE;
    for (uint32_t q = 0; q < ADM_QUEUES; q++) {
        f.queues[q] = (struct adm_queue){.counts = counts, .fifo = true, .alone = true, .beat_us = {5000000, 5000000}};
        f.queues[q].consumers[0].here = true;
        f.queues[q].consumers[0].prefetch = 4;
        f.queues[q].consumers[0].rate = RATE;
    }
    for (uint32_t p = 0; p < ADM_PEERS; p++)
        f.peers[p] = (struct adm_peer){.weight = 1, .threshold = threshold, .word = DECIDE_NONE, .least = 10000,
                                       .most = 100000, .way_us = 1000};
    return f;
}

static struct adm_figures
lived(uint64_t seed, const struct adm_fate *f)
{
    struct adm_figures fig = {0};
    const char *broken = adm_run(seed, f, false, &fig);

    if (broken != NULL)
        fail_msg("%s", broken);
    return fig;
}

static double
jain(const struct adm_figures *f, uint32_t n)
{
    double sum = 0, squares = 0;

    for (uint32_t p = 0; p < n; p++) {
        sum += (double)f->passed[p];
        squares += (double)f->passed[p] * (double)f->passed[p];
    }
    return sum * sum / (n * squares);
}

static double
idle(const struct adm_figures *f)
{
    return 100 * f->idle_s[0] / (f->idle_s[0] + f->busy_s[0]);
}

static void
print_shares(const char *what, const struct adm_figures *f, uint32_t n)
{
    double sum = 0;

    for (uint32_t p = 0; p < n; p++)
        sum += (double)f->passed[p];
    print_message("  %-52s Jain %.3f, consumers idle %4.1f %%; shares", what, jain(f, n), idle(f));
    for (uint32_t p = 0; p < n; p++)
        print_message(" %.1f", 100 * (double)f->passed[p] / sum);
    print_message("\n");
}

static void
connectors_that_are_equal_get_equal_shares(void **state)
{
    (void)state;
    for (int kind = 0; kind < 8; kind++) {
        const bool counts = kind & 1, sizes = kind & 2, small = kind & 4;
        struct adm_fate f = usual(8, small ? 5 * MB : 40 * MB, counts);
        struct adm_figures fig;
        char what[80];

        for (uint32_t p = 0; p < 8; p++) {
            f.peers[p].way_us = (int64_t)1000 << p; /* 1 to 128 ms */
            if (sizes && p % 2 != 0)
                f.peers[p].least = 2000, f.peers[p].most = 4000;
        }
        fig = lived(1, &f);
        snprintf(what, sizeof(what), "8 equal, %s MB, %s, %s", small ? "5" : "40", counts ? "counts" : "samples",
                 sizes ? "large and small bundles" : "alike");
        print_shares(what, &fig, 8);
        assert_true(jain(&fig, 8) >= 0.95);
    }
}

static void
shares_follow_weights(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        const bool counts = kind & 1, small = kind & 2;
        struct adm_fate f = usual(3, small ? 5 * MB : 40 * MB, counts);
        struct adm_figures fig;
        char what[80];
        double sum = 0;

        for (uint32_t p = 0; p < 3; p++) {
            f.peers[p].weight = 1U << p;
            f.peers[p].way_us = 50000 >> p;
        }
        fig = lived(2, &f);
        snprintf(what, sizeof(what), "weights 1 2 4, %s MB, %s", small ? "5" : "40", counts ? "counts" : "samples");
        print_shares(what, &fig, 3);
        for (uint32_t p = 0; p < 3; p++)
            sum += (double)fig.passed[p];
        for (uint32_t p = 0; p < 3; p++)
            assert_true((double)fig.passed[p] / sum * 7 > 0.95 * (1U << p) &&
                        (double)fig.passed[p] / sum * 7 < 1.05 * (1U << p));
    }
}

/* Who has little waits for the gate to open, and for its turn; not for all that another has. */
static void
one_with_a_hundred_times_the_data_does_not_delay_the_others(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        const uint64_t threshold = 40 * MB;
        struct adm_fate f = usual(6, threshold, kind != 0);
        const double opens_s = 0.2 * (double)threshold / RATE + (LAG_US + POLL_US) / 1e6, turn_s = 6 * 0.2;
        struct adm_figures fig;

        for (uint32_t p = 1; p < 6; p++)
            f.peers[p].rate = RATE / 100.0;
        fig = lived(3, &f);
        print_message("  one with all, five with a hundredth, %s: these waited", kind != 0 ? "counts" : "samples");
        for (uint32_t p = 1; p < 6; p++)
            print_message(" %.1f", (double)fig.waited_us[p] / 1e6);
        print_message(" s at most\n");
        for (uint32_t p = 1; p < 6; p++) {
            assert_true((double)fig.passed[p] > 0.95 * f.peers[p].rate * 300);
            assert_true((double)fig.waited_us[p] / 1e6 < opens_s + turn_s + 10);
        }
    }
}

static void
queues_of_one_budget_share_it(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct adm_fate f = usual(4, 40 * MB, kind != 0);
        struct adm_figures fig;

        f.n_queues = 4;
        f.limits.budget[0] = 60 * MB;
        for (uint32_t p = 0; p < 4; p++) {
            f.peers[p].queue = p;
            f.peers[p].way_us = (int64_t)1000 << 2 * p; /* 1 to 64 ms */
            f.queues[p].beat_us[0] = 5000000 - 1000000 * p;
        }
        fig = lived(4, &f);
        print_shares(kind != 0 ? "4 queues, one budget of 60 MB, counts" : "4 queues, one budget of 60 MB, samples",
                     &fig, 4);
        assert_true(jain(&fig, 4) >= 0.95);
    }
}

static void
consumers_do_not_run_dry_where_the_threshold_is_three_times_what_they_take_in_the_blind_time(void **state)
{
    const double blind_s[2] = {(LAG_US + POLL_US) / 1e6, 0.34};

    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        const bool counts = kind & 1, many = kind & 2;
        /* What consumers hold and what is on its way is never lowered: it comes on top. */
        const double top = counts ? 4 * 100000 + 0.5 * RATE : 0;
        struct adm_fate f = usual(many ? 8 : 1, (uint64_t)(3 * RATE * blind_s[counts] + top), counts);
        struct adm_figures fig = lived(5, &f);

        print_shares(counts ? "3 x rate x count interval" : "3 x rate x (lag and poll)", &fig, many ? 8 : 1);
        assert_true(idle(&fig) < 1);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_befalls_queues_nothing_overruns_and_nobody_waits_for_ever),
        cmocka_unit_test(connectors_that_are_equal_get_equal_shares),
        cmocka_unit_test(shares_follow_weights),
        cmocka_unit_test(one_with_a_hundred_times_the_data_does_not_delay_the_others),
        cmocka_unit_test(queues_of_one_budget_share_it),
        cmocka_unit_test(
            consumers_do_not_run_dry_where_the_threshold_is_three_times_what_they_take_in_the_blind_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
