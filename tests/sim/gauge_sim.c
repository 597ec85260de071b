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

enum { SEEDS = 1500 };

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
    print_message("%llu queues, %llu steps, known in %.1f %%, by a count in %.1f %%; %llu published, %llu samples, %llu counts\n",
                  (unsigned long long)n, N(steps), 100.0 * (double)f->known_steps / (double)f->steps,
                  100.0 * (double)f->by_count_steps / (double)f->steps, N(published), N(samples), N(counts));
    print_message("%llu cuts, %llu refused, %llu purges, %llu restarts of ours, %llu of the broker, %llu foreign; news: %llu lag, "
                  "%llu foreign, %llu fell, %llu dead, %llu unbounded; worlds that overran unseen %llu; at most %llu bytes\n",
                  N(cuts), N(refused), N(purges), N(restarts), N(broker_restarts), N(foreign), N(lag_news), N(foreign_news),
                  N(fell_news), N(dead_news), N(unbounded_news), N(overrun_unseen), N(size_max));
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
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_befalls_a_queue_upper_is_never_too_low_and_the_gate_never_overruns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
