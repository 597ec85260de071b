/* gauge_sim.c - many queues, each from its seed: SEEDS=n how many, SEED=n the first (with TRACE=1 that one, told). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gauge_world.h"

enum { SEEDS = 400, WRONG = 40, DRAINS = 40, TAKEN = 400000 };

static uint64_t
number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 10);
}

static void
print_figures(uint64_t n, const struct gauge_figures *f)
{
#define N(x) (unsigned long long)(f->x)
    print_message("%llu queues, %llu steps, known in %.1f %%, by a count in %.1f %%; %llu published, %llu samples, "
                  "%llu counts\n",
                  (unsigned long long)n, N(steps), 100.0 * (double)f->known_steps / (double)f->steps,
                  100.0 * (double)f->by_count_steps / (double)f->steps, N(published), N(samples), N(counts));
    print_message("%llu cuts, %llu refused, %llu purges, %llu restarts of ours, %llu of the broker, %llu foreign; "
                  "news: %llu lag, %llu foreign, %llu fell, %llu dead, %llu unbounded; %llu overran where lag was "
                  "wrong, %llu of them unseen; at most %llu bytes\n",
                  N(cuts), N(refused), N(purges), N(restarts), N(broker_restarts), N(foreign), N(lag_news),
                  N(foreign_news), N(fell_news), N(dead_news), N(unbounded_news), N(overran), N(overrun_unseen),
                  N(size_max));
#undef N
}

static void
whatever_befalls_a_queue_upper_is_never_too_low_and_the_gate_never_overruns(void **state)
{
    const uint64_t first = number("SEED", 1), trace = number("TRACE", 0);
    const uint64_t n = trace ? 1 : number("SEEDS", SEEDS);
    struct gauge_figures sum = {0};

    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct gauge_fate fate;
        struct model model;
        const char *broken;

        gauge_world_draw(seed, &fate, &model);
        broken = gauge_world_run(seed, &fate, &model, trace != 0, &sum);
        model_close(&model);
        if (broken != NULL)
            fail_msg("seed %llu: %s (again with SEED=%llu TRACE=1)", (unsigned long long)seed, broken,
                     (unsigned long long)seed);
    }
    print_figures(n, &sum);
    /* Queues of which nothing can be said would prove nothing. */
    if (n >= 100)
        assert_true(sum.known_steps > sum.steps / 2 && sum.by_count_steps > sum.steps / 200 && sum.counts > n &&
                    sum.cuts > n / 2 && sum.refused > n && sum.restarts > n / 10 && sum.broker_restarts > n / 10 &&
                    sum.purges > n / 10 && sum.lag_news > n / 20 && sum.foreign_news > n / 10);
}

/* --- a gate that is not needlessly shut --- */

/* RabbitMQ's own beats and the defaults of the gateway; a megabyte a second is taken. */
static struct gauge_fate
usual(struct model *m, uint64_t seed)
{
    struct gauge_fate f = {.cfg = {.stats_lag_us = 10100000, .stale_after_us = 20000000, .late_us = 1000000,
                                   .counts = true, .alone = true},
                           .bundle_max = 200000, .prompt = true, .poll_us = 5000000, .count_us = 200000,
                           .length_us = 300000000, .lag_true = true, .counts_come = true, .warm_us = 60000000};

    model_open(m, seed);
    m->beat_us[0] = m->beat_us[1] = 5000000;
    m->next_us[0] = chance_below(&m->chance, 5000000);
    m->next_us[1] = chance_below(&m->chance, 5000000);
    m->consumers[0] = (struct consumer){.here = true, .prefetch = 4, .rate = 1e6};
    return f;
}

/* The share of the time in which a consumer that could work had nothing to take, while there was data. */
static double
idle(uint64_t threshold, bool bounded, bool counts, int64_t burst_us)
{
    double idle_s = 0, busy_s = 0;

    for (uint64_t seed = 1; seed <= 1; seed++) {
        struct gauge_figures unused = {0};
        struct model m;
        struct gauge_fate f = usual(&m, seed);
        const char *broken;

        f.threshold = threshold;
        f.counts_come = counts;
        m.consumers[0].prefetch = bounded ? 4 : MODEL_UNBOUNDED;
        m.consumers[0].rate = burst_us > 0 ? 2 * TAKEN : TAKEN;
        m.consumers[0].on_us = m.consumers[0].off_us = burst_us;
        broken = gauge_world_run(seed, &f, &m, false, &unused);
        idle_s += m.idle_s;
        busy_s += m.busy_s;
        model_close(&m);
        if (broken != NULL)
            fail_msg("%s", broken);
    }
    return 100 * idle_s / (idle_s + busy_s);
}

static void
consumers_do_not_run_dry_where_the_threshold_is_three_times_what_they_take_in_the_blind_time(void **state)
{
    const double lag_bytes = TAKEN * 10.1, blind_bytes = TAKEN * 15.1, count_bytes = TAKEN * 0.34; /* and its way */
    double at_counts;

    (void)state;
    print_message("idle, in %% of the time, threshold in rate x lag:            1x     3x    10x\n");
    for (int kind = 0; kind < 6; kind++) {
        static const char *const names[] = {"samples and counts", "samples, counts check", "samples alone"};
        const int64_t burst_us = kind >= 3 ? 4000000 : 0;
        const bool bounded = kind % 3 == 0, counts = kind % 3 != 2;
        double at[3];

        for (int i = 0; i < 3; i++)
            at[i] = idle((uint64_t)(lag_bytes * (i == 0 ? 1 : i == 1 ? 3 : 10)), bounded, counts, burst_us);
        print_message("  %-22s %-30s %5.1f  %5.1f  %5.1f\n", names[kind % 3], burst_us > 0 ? "bursts of 4 s" : "steady",
                      at[0], at[1], at[2]);
    }
    assert_true(idle((uint64_t)(3 * blind_bytes), false, true, 0) < 1);
    assert_true(idle((uint64_t)(3 * blind_bytes), false, false, 0) < 1);
    /* What consumers hold and what is on its way is never lowered: it comes on top. */
    at_counts = idle((uint64_t)(3 * count_bytes + 4 * 200000 + 0.5 * TAKEN), true, true, 0);
    print_message("  counts, threshold of 3 x rate x (count interval and its way) + held + on its way (1.4 MB): %.1f\n",
                  at_counts);
    assert_true(at_counts < 1);
}

/* --- a lag that is wrong, statistics that died --- */

static double
larger(double a, double b)
{
    return a > b ? a : b;
}

static void
samples_older_than_stats_lag_are_found_out(void **state)
{
    struct gauge_figures sum = {0};
    double worst = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= WRONG; seed++) {
        struct model m;
        struct gauge_fate f = usual(&m, seed);
        struct gauge_figures one = {0};
        struct chance c = chance_stream(seed, 9);

        f.lag_true = false;
        m.beat_us[0] = chance_log(&c, 10000000, 30000000);
        f.threshold = (uint64_t)chance_log(&c, 1000000, 40000000);
        f.cfg.counts = f.counts_come = chance_is(&c, 0.5);
        f.rate = chance_is(&c, 0.5) ? 0 : 1.3e6;
        m.consumers[0].here = chance_is(&c, 0.7);
        if (gauge_world_run(seed, &f, &m, false, &one) != NULL)
            fail_msg("seed %llu: a gauge does not add up", (unsigned long long)seed);
        worst = larger(worst, (double)one.overrun_bytes / (double)f.threshold);
        sum.overran += one.overran;
        sum.overrun_unseen += one.overrun_unseen;
        sum.lag_news += one.lag_news;
        model_close(&m);
    }
    print_message("statistics of 10 to 30 s, stats_lag 10 s: %llu of %d queues overran, %.2f of the threshold at most, "
                  "%llu unseen; %llu times lag was raised\n",
                  (unsigned long long)sum.overran, WRONG, worst, (unsigned long long)sum.overrun_unseen,
                  (unsigned long long)sum.lag_news);
    assert_int_equal(sum.overrun_unseen, 0);
    assert_true(sum.lag_news > 0);
}

static void
statistics_that_died_do_not_open_the_gate(void **state)
{
    double worst = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= WRONG; seed++) {
        struct model m;
        struct gauge_fate f = usual(&m, seed);
        struct gauge_figures one = {0};

        f.threshold = 30000000;
        f.rate = seed % 3 == 0 ? 0 : seed % 3 == 1 ? 1.05e6 : 3e6;
        f.dead_from_us = 1000000 + (int64_t)(seed % 2) * 100000000; /* at 0, or at something */
        if (seed % 2 != 0)
            m.consumers[0].rate = 0.9e6;
        if (seed % 4 < 2)
            m.consumers[0].prefetch = MODEL_UNBOUNDED; /* counts find nothing ready, whatever it holds */
        f.no_work = seed % 4 >= 2 && seed % 8 < 4;
        if (gauge_world_run(seed, &f, &m, false, &one) != NULL)
            fail_msg("seed %llu: a gauge does not add up", (unsigned long long)seed);
        worst = larger(worst, (double)one.overrun_bytes / (double)f.threshold);
        model_close(&m);
    }
    print_message("dead statistics, counts come: at most %.3f of the threshold too much\n", worst);
    assert_true(worst < 0.1);
}

/* --- when it will be drained --- */

static double
forecast_error(uint64_t seed, int kind)
{
    const uint64_t full = 100000000, level = 10000000;
    struct gauge_config cfg = {.stats_lag_us = 10100000, .stale_after_us = 20000000, .late_us = 0};
    struct chance c = chance_stream(seed, 4);
    struct err *no_err = NULL;
    struct gauge_drain d = {0};
    struct gauge *g;
    struct model m;
    int64_t asked_us = 0, now_us, poll_us = 0;

    usual(&m, seed);
    m.consumers[0].rate = (double)chance_log(&c, 200000, 1000000) * (kind == 1 ? 2 : 1);
    m.consumers[0].on_us = m.consumers[0].off_us = kind == 1 ? chance_log(&c, 500000, 5000000) : 0;
    g = gauge_new(&cfg, 0, no_err);
    assert_non_null(g);
    for (now_us = 0; m.bytes > level || now_us < 1000000; now_us += 20000) {
        const struct gauge_sample s = {now_us, m.shown.there ? m.shown.bytes : GAUGE_UNKNOWN, m.shown.messages,
                                       m.shown.unacked, m.shown.work};
        uint64_t id;

        while (now_us < 500000 && m.n < full / 50000) {
            assert_int_equal(gauge_reserve(g, 50000, 1, 50000, now_us, &id, no_err), 0);
            gauge_commit(g, id, now_us);
            gauge_taken(g, id, 50000, 1, now_us);
            model_arrive(&m, 50000, true);
        }
        model_step(&m, now_us, 20000);
        if (now_us >= poll_us) {
            gauge_take_sample(g, &s, now_us);
            poll_us += 5000000;
        }
        if (asked_us == 0 && m.bytes < full * (50 + seed % 20) / 100) {
            asked_us = now_us;
            gauge_drain(g, level, now_us, &d);
        }
    }
    gauge_free(g);
    model_close(&m);
    if (!d.known || !d.draining)
        return 1;
    return (double)llabs(d.within_us - (now_us - asked_us)) / (double)(now_us - asked_us);
}

static void
a_forecast_is_wrong_by_a_fifth_at_most(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        double worst = 0, sum = 0;

        for (uint64_t seed = 1; seed <= DRAINS; seed++) {
            const double e = forecast_error(seed, kind);

            worst = e > worst ? e : worst;
            sum += e / DRAINS;
        }
        print_message("%d drains, %s: forecast wrong by %.1f %% on average, %.1f %% at most\n", DRAINS,
                      kind == 0 ? "steady" : "in bursts", 100 * sum, 100 * worst);
        assert_true(worst <= 0.2);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_befalls_a_queue_upper_is_never_too_low_and_the_gate_never_overruns),
        cmocka_unit_test(consumers_do_not_run_dry_where_the_threshold_is_three_times_what_they_take_in_the_blind_time),
        cmocka_unit_test(samples_older_than_stats_lag_are_found_out),
        cmocka_unit_test(statistics_that_died_do_not_open_the_gate),
        cmocka_unit_test(a_forecast_is_wrong_by_a_fifth_at_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
