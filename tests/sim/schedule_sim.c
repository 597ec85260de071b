/* schedule_sim.c - many fleets, each from its seed: SEEDS=n how many, SEED=n the first (with TRACE=1 that one, told).
 *
 * A fleet that breaks a promise is lived again with less and less of what befell it, until each act that is left is
 * needed; that is printed, and with TRACE=1 everything that then happens. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/core.h"
#include "err.h"
#include "fleet.h"

enum { SEEDS = 1000, BYTES_MOST = 2048, SAMPLE = 8192, DUE = 3000 };

static uint64_t
number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 10);
}

/* --- reducing what fails --- */

struct failure {
    uint64_t seed;
    struct fleet_size size;
    const char *broken;
};

static bool
breaks_alike(void *ctx, const struct script *s)
{
    const struct failure *f = ctx;
    struct fleet_figures unused = {0};
    const char *broken = fleet_run(f->seed, &f->size, s, &unused, NULL);

    return broken != NULL && strcmp(broken, f->broken) == 0;
}

static void
explain(struct failure *f, struct script *s, bool trace)
{
    const uint32_t before = s->n, asked = script_reduce(s, breaks_alike, f);
    struct fleet_figures unused = {0};

    fprintf(stderr, "seed %llu: %s\n%u connectors, a ping each %lld s; %u of %u acts are needed (%u fleets lived):\n",
            (unsigned long long)f->seed, f->broken, f->size.connectors, (long long)(f->size.ping_us / 1000000), s->n,
            before, asked);
    script_print(stderr, s);
    if (trace)
        fleet_run(f->seed, &f->size, s, &unused, stderr);
}

/* --- figures --- */

static double
wait_s(const struct fleet_figures *f, double part)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < FLEET_WAITS; i++) {
        n += f->waits[i];
        if ((double)n >= part * (double)f->permits)
            return (double)fleet_wait_us(i) / 1e6;
    }
    return 0;
}

static void
print_figures(uint64_t seeds, const struct fleet_figures *f, double cpu_s)
{
    const double days = (double)f->connector_us / 86400e6;

    print_message("%llu fleets, %.1f days, %.1f connector days: %llu permits (%.1f a connector day), %llu runs, "
                  "%llu of them failed, %llu lost, %llu adopted, %llu superseded; %llu holds, %llu periods skipped; "
                  "waits p50 %.3f s, p99 %.1f s\n",
                  (unsigned long long)seeds, (double)f->simulated_us / 86400e6, days, (unsigned long long)f->permits,
                  days > 0 ? (double)f->permits / days : 0, (unsigned long long)f->runs, (unsigned long long)f->failed,
                  (unsigned long long)f->lost, (unsigned long long)f->adopted, (unsigned long long)f->superseded,
                  (unsigned long long)f->holds, (unsigned long long)f->skipped, wait_s(f, 0.5), wait_s(f, 0.99));
    print_message("%llu gateway crashes, %llu power cuts, %llu connector crashes, %llu cuts, %llu rows, %llu of them "
                  "not written, %llu with a state; %llu replaced, %llu exits, %llu runs that both sides forgot; "
                  "%llu events, %.0f a CPU second\n",
                  (unsigned long long)f->gateway_crashes, (unsigned long long)f->power_cuts,
                  (unsigned long long)f->crashes, (unsigned long long)f->cuts,
                  (unsigned long long)f->rows, (unsigned long long)f->rows_failed, (unsigned long long)f->commits,
                  (unsigned long long)f->replaced, (unsigned long long)f->exits, (unsigned long long)f->forgotten,
                  (unsigned long long)f->events, cpu_s > 0 ? (double)f->events / cpu_s : 0);
}

/* --- tests --- */

static void
whatever_befalls_a_fleet_everybody_runs_when_it_may_and_only_then(void **state)
{
    const uint64_t first = number("SEED", 1), trace = number("TRACE", 0);
    const uint64_t n = trace ? 1 : number("SEEDS", SEEDS);
    struct fleet_figures sum = {0};
    const clock_t began = clock();

    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct failure f = {.seed = seed, .size = fleet_size(seed)};
        struct script s = script_draw(seed, &f.size);

        f.broken = fleet_run(seed, &f.size, &s, &sum, NULL);
        if (f.broken != NULL)
            explain(&f, &s, trace != 0);
        else if (trace)
            fleet_run(seed, &f.size, &s, &sum, stderr);
        script_free(&s);
        if (f.broken != NULL)
            fail_msg("seed %llu: %s (again with SEED=%llu TRACE=1)", (unsigned long long)seed, f.broken,
                     (unsigned long long)seed);
    }
    print_figures(n, &sum, (double)(clock() - began) / CLOCKS_PER_SEC);
    /* Fleets in which nothing happens would prove nothing. */
    if (n >= 100)
        assert_true(sum.runs > n && sum.holds > n && sum.lost > n / 4 && sum.adopted > n / 20 && sum.skipped > n / 20 &&
                    sum.rows_failed > n / 20 && sum.commits > n && sum.power_cuts > n / 20);
}

static void
the_same_seed_gives_the_same_history(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const struct fleet_size size = fleet_size(seed);
        struct script s = script_draw(seed, &size), again = script_draw(seed, &size);
        struct fleet_figures a = {0}, b = {0};

        assert_int_equal(s.n, again.n);
        fleet_run(seed, &size, &s, &a, NULL);
        fleet_run(seed, &size, &again, &b, NULL);
        assert_memory_equal(&a, &b, sizeof(a));
        script_free(&s);
        script_free(&again);
    }
}

/* Fails as long as two of its acts are there: the first that is a pause, and the last. */
static bool
needs_two(void *ctx, const struct script *s)
{
    const struct act *wanted = ctx;
    int found = 0;

    for (uint32_t i = 0; i < s->n; i++)
        found += s->acts[i].at == wanted[0].at || s->acts[i].at == wanted[1].at;
    return found == 2;
}

static void
a_history_that_fails_is_reduced_to_the_acts_that_it_needs(void **state)
{
    for (uint32_t n = 2; n < 100; n++) {
        struct script s = {calloc(n, sizeof(struct act)), n};
        struct act wanted[2];

        (void)state;
        assert_non_null(s.acts);
        for (uint32_t i = 0; i < n; i++)
            s.acts[i].at = i;
        wanted[0] = s.acts[n / 3];
        wanted[1] = s.acts[n - 1];
        script_reduce(&s, needs_two, wanted);
        assert_int_equal(s.n, 2);
        assert_int_equal(s.acts[0].at, n / 3);
        assert_int_equal(s.acts[1].at, n - 1);
        script_free(&s);
    }
}

/* --- memory --- */

static void
ignore(void *ctx, const struct core_effect *e)
{
    (void)ctx;
    (void)e;
}

static void
connect_one(struct core *k, uint32_t n, uint64_t period_ms, const struct core_sink *sink)
{
    struct wire_msg hello = {.type = WIRE_HELLO, .epoch = 1, .attempt = 1, .fresh = true};
    struct wire_msg ready = {.type = WIRE_READY, .schedule = WIRE_S_PERIOD, .period_ms = period_ms};
    struct core_event e = {.kind = CORE_MESSAGE};
    char id[16];

    snprintf(id, sizeof(id), "c%u", n);
    hello.id = (struct wire_text){id, (uint32_t)strlen(id)};
    ready.has = 1ULL << WIRE_F_PERIOD_MS;
    e.u.message.conn = 1ULL << 32 | n;
    e.u.message.msg = &hello;
    core_step(k, &e, 1, sink);
    e.u.message.msg = &ready;
    core_step(k, &e, 1, sink);
}

static void
a_connector_that_waits_takes_at_most_two_kib(void **state)
{
    const struct core_config cfg = {.memory_limit = 1 << 30, .max_bundle = 1 << 20, .chunk = 65536, .ping_us = 40000000,
                                    .missed = 3, .publishers = 1, .seed = 1};
    const struct core_connector unknown = {.target = 0};
    const struct core_event all = {.kind = CORE_CONFIGURE, .u.configure = {.unknown = &unknown}};
    const struct core_sink sink = {ignore, NULL};
    struct err err = {0};
    struct core_figures f;
    const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    struct core *k = core_new(&cfg, &err);
    size_t after;

    (void)state;
    assert_non_null(k);
    core_step(k, &all, 1, &sink);
    for (uint32_t n = 0; n < SAMPLE; n++)
        connect_one(k, n, 1000, &sink);
    after = mallinfo2().uordblks + mallinfo2().hblkhd;
    core_figures(k, &f);
    core_free(k);
    assert_int_equal(f.connected, SAMPLE);
    if (after == before)
        skip(); /* another allocator than glibc's: it does not say */
    print_message("%zu bytes a connector\n", (after - before) / SAMPLE);
    assert_true(after - before > SAMPLE && (after - before) / SAMPLE <= BYTES_MOST);
}

/* --- everything was off for long --- */

struct counted {
    uint32_t permits;
};

static void
count_permits(void *ctx, const struct core_effect *e)
{
    struct counted *n = ctx;

    n->permits += e->kind == CORE_SEND && e->u.send.msg->type == WIRE_PERMIT;
}

/* Each has a row, of a run a day ago, and an hour between two. */
static void
load_row(struct core *k, uint32_t n, int64_t wall_us, const struct core_sink *sink)
{
    char id[16];
    struct core_event e = {.kind = CORE_ROW, .u.row = {.id = id, .kind = WIRE_S_PERIOD + 1, .ran = true}};

    snprintf(id, sizeof(id), "c%u", n);
    e.u.row.period_us = 3600LL * 1000000;
    e.u.row.last_run_us = wall_us - 86400LL * 1000000;
    e.u.row.next_run_us = e.u.row.last_run_us + e.u.row.period_us;
    core_step(k, &e, 1, sink);
}

static void
after_everything_was_off_for_long_who_is_due_is_let_in_one_after_the_other(void **state)
{
    const struct core_config cfg = {.memory_limit = 1 << 30, .max_bundle = 1 << 20, .chunk = 65536, .ping_us = 40000000,
                                    .missed = 3, .publishers = 1, .seed = 1};
    const struct core_connector unknown = {.target = 0};
    const struct core_event start[] = {{.kind = CORE_CONFIGURE, .u.configure = {.unknown = &unknown}},
                                       {.kind = CORE_WALL, .u.wall_us = 1790000000LL * 1000000},
                                       {.kind = CORE_UP, .u.broker = {0, 1}}};
    const struct core_event turn = {.kind = CORE_TURN};
    struct counted now = {0};
    const struct core_sink sink = {count_permits, &now};
    struct err err = {0};
    struct core *k = core_new(&cfg, &err);
    uint32_t sum = 0;

    (void)state;
    assert_non_null(k);
    for (size_t i = 0; i < sizeof(start) / sizeof(start[0]); i++)
        core_step(k, &start[i], 1, &sink);
    for (uint32_t n = 0; n < DUE; n++)
        load_row(k, n, start[1].u.wall_us, &sink);
    for (uint32_t n = 0; n < DUE; n++)
        connect_one(k, n, 3600 * 1000, &sink);
    for (int64_t s = 0; s <= 61; s++) { /* at most a minute, or a tenth of the period */
        core_step(k, &turn, s * 1000000 + 1, &sink);
        sum += now.permits;
        assert_true(now.permits <= 2 * DUE / 60);
        now.permits = 0;
    }
    core_free(k);
    assert_int_equal(sum, DUE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_that_fails_is_reduced_to_the_acts_that_it_needs),
        cmocka_unit_test(a_connector_that_waits_takes_at_most_two_kib),
        cmocka_unit_test(after_everything_was_off_for_long_who_is_due_is_let_in_one_after_the_other),
        cmocka_unit_test(the_same_seed_gives_the_same_history),
        cmocka_unit_test(whatever_befalls_a_fleet_everybody_runs_when_it_may_and_only_then),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
