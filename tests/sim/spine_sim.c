/* spine_sim.c - many worlds, each from its seed: SEEDS=n how many, SEED=n the first (with TRACE=1 that one, told). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "world.h"

static uint64_t
number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 10);
}

static void
add(struct world_figures *sum, const struct world_figures *f)
{
    uint64_t *to = (uint64_t *)(void *)sum;
    const uint64_t *from = (const uint64_t *)(const void *)f;

    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
        to[i] += from[i];
}

static void
whatever_fails_the_promises_hold_in_every_world(void **state)
{
    const uint64_t first = number("SEED", 1), trace = number("TRACE", 0);
    const uint64_t n = trace ? 1 : number("SEEDS", 2000);
    struct world_figures sum = {0};

    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct world_figures f;
        const char *broken = world_run(seed, trace != 0, &f);

        add(&sum, &f);
        if (broken != NULL)
            fail_msg("seed %llu: %s (again with SEED=%llu TRACE=1)", (unsigned long long)seed, broken,
                     (unsigned long long)seed);
    }
    print_message("%llu worlds, %llu events: %llu bundles pushed, %llu acked, %llu refused, %llu abandoned by crashes; "
                  "%llu stored, %llu of them twice; %llu cuts, %llu broker losses, %llu gateway crashes, %llu "
                  "connector crashes, %llu takeovers; %llu through the spool\n",
                  (unsigned long long)n, (unsigned long long)sum.events, (unsigned long long)sum.pushed,
                  (unsigned long long)sum.acked, (unsigned long long)sum.nacked, (unsigned long long)sum.abandoned,
                  (unsigned long long)sum.stored, (unsigned long long)sum.duplicates, (unsigned long long)sum.cuts,
                  (unsigned long long)sum.broker_losses, (unsigned long long)sum.gateway_crashes,
                  (unsigned long long)sum.connector_crashes, (unsigned long long)sum.takeovers,
                  (unsigned long long)sum.spooled);
    /* Worlds in which nothing happens would prove nothing. */
    assert_true(sum.acked > n && sum.cuts > n / 2 && sum.broker_losses > n / 4 && sum.spooled > n);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_fails_the_promises_hold_in_every_world),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
