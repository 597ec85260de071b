/* core_opencti_test.c - schedules against those of OpenCTI's client: what is the same, and what is another on purpose.
 *
 * docs/opencti.md is the table; tests/system/schedule_test.c has the same cases against a whole gateway.  Here are
 * those that it cannot make: a queue that is full, a clock that is wrong, a microsecond more or less. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core_world.h"

#define BIT(f) (1ULL << (f))

enum { PERIOD_S = 2, WALL_S = 1700000000 /* when a test begins, in November 2023 */ };
#define WALL_US (WALL_S * INT64_C(1000000))

static const int64_t period_us = PERIOD_S * (int64_t)SECOND;

/* --- words --- */

static struct wire_msg
each_ms(uint64_t ms)
{
    return (struct wire_msg){.has = BIT(WIRE_F_PERIOD_MS), .schedule = WIRE_S_PERIOD, .period_ms = ms};
}

static struct wire_msg
each_period(void)
{
    return each_ms(PERIOD_S * 1000);
}

static struct wire_msg
once(void)
{
    return (struct wire_msg){.schedule = WIRE_S_TERMINATE};
}

static void
wall_is(struct world *w, int64_t wall_us)
{
    const struct core_event e = {.kind = CORE_WALL, .u.wall_us = wall_us};

    world_step(w, &e);
}

static void
are_held(struct world *w, const char *id, uint32_t reasons)
{
    const struct core_event e = {.kind = CORE_HOLD, .u.hold = {id, reasons}};

    world_step(w, &e);
    world_turn(w);
}

static void
an_operator(struct world *w, const char *id, enum core_action action)
{
    const struct core_event e = {.kind = CORE_OPERATOR, .u.operator = {id, action}};

    world_step(w, &e);
    world_turn(w);
}

static struct core_status
stands(struct world *w, const char *id)
{
    struct core_status s = {.id = NULL};
    uint32_t number = 0;

    assert_true(core_number(w->core, id, &number));
    assert_true(core_status(w->core, number, &s));
    return s;
}

static uint32_t
permits(const struct peer *p)
{
    return said_count(p->w, p->conn, WIRE_PERMIT);
}

/* A run that takes so long, and its ready for the next. */
static void
runs(struct peer *p, int64_t us, struct wire_msg plan)
{
    peer_waits(p, us);
    peer_done(p, p->run);
    peer_plans(p, plan);
}

/* A connector that has run once, with this schedule, and waits for the next time. */
static struct peer
has_run(struct world *w, struct wire_msg plan)
{
    struct peer p = peer_welcomed(w, "feed");

    wall_is(w, WALL_US);
    peer_plans(&p, plan);
    assert_int_equal(permits(&p), 1);
    runs(&p, SECOND, plan);
    world_forget(w);
    return p;
}

/* --- what holds what --- */

static void
the_first_run_of_a_period_is_free_of_the_queue_alone_unless_it_is_to_be_checked(void **state)
{
    static const struct {
        enum wire_schedule kind;
        enum wire_first    first;
        bool               ran;     /* it is not the first run any more */
        uint32_t           reasons, told;
        bool               permit;
    } rows[] = {
        {WIRE_S_PERIOD, WIRE_FIRST_FREE, false, 0, 0, true},
        {WIRE_S_PERIOD, WIRE_FIRST_FREE, false, WIRE_HOLD_QUEUE, 0, true}, /* as OpenCTI does */
        {WIRE_S_PERIOD, WIRE_FIRST_CHECK, false, WIRE_HOLD_QUEUE, WIRE_HOLD_QUEUE, false},
        {WIRE_S_PERIOD, WIRE_FIRST_CHECK, false, 0, 0, true},
        {WIRE_S_PERIOD, WIRE_FIRST_FREE, true, WIRE_HOLD_QUEUE, WIRE_HOLD_QUEUE, false},
        {WIRE_S_PERIOD, WIRE_FIRST_FREE, true, 0, 0, true},
        {WIRE_S_PERIOD, WIRE_FIRST_FREE, false, WIRE_HOLD_BUDGET, WIRE_HOLD_BUDGET, false},
        {WIRE_S_PERIOD, WIRE_FIRST_FREE, false, WIRE_HOLD_BUDGET | WIRE_HOLD_QUEUE, WIRE_HOLD_BUDGET, false},
        {WIRE_S_PERIOD, WIRE_FIRST_FREE, false, WIRE_HOLD_SHARE, WIRE_HOLD_SHARE, false},
        {WIRE_S_PERIOD, WIRE_FIRST_FREE, false, WIRE_HOLD_TELEMETRY_STALE, WIRE_HOLD_TELEMETRY_STALE, false},
        {WIRE_S_PERIOD, WIRE_FIRST_FREE, false, WIRE_HOLD_SPOOL_FULL, WIRE_HOLD_SPOOL_FULL, false},
        {WIRE_S_PERIOD, WIRE_FIRST_FREE, false, WIRE_HOLD_MEMORY, WIRE_HOLD_MEMORY, false},
        {WIRE_S_TERMINATE, WIRE_FIRST_FREE, false, 0, 0, true},
        {WIRE_S_TERMINATE, WIRE_FIRST_FREE, false, WIRE_HOLD_QUEUE, WIRE_HOLD_QUEUE, false}, /* it is looked at first */
        {WIRE_S_TERMINATE, WIRE_FIRST_FREE, false, WIRE_HOLD_TELEMETRY_STALE, WIRE_HOLD_TELEMETRY_STALE, false},
        {WIRE_S_CONTINUOUS, WIRE_FIRST_FREE, false, WIRE_HOLD_QUEUE, WIRE_HOLD_QUEUE, false},
        {WIRE_S_CONTINUOUS, WIRE_FIRST_FREE, false, 0, 0, true},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire_msg plan = {.schedule = rows[i].kind, .first_run = rows[i].first};
        void *world = NULL;
        struct world *w;
        struct peer p;

        plan.has = BIT(WIRE_F_FIRST_RUN) | (rows[i].kind == WIRE_S_PERIOD ? BIT(WIRE_F_PERIOD_MS) : 0);
        plan.period_ms = PERIOD_S * 1000;
        assert_int_equal(world_setup(&world), 0);
        w = world;
        p = rows[i].ran ? has_run(w, plan) : peer_welcomed(w, "feed");
        are_held(w, "feed", rows[i].reasons);
        if (rows[i].ran)
            peer_waits(&p, period_us);
        else
            peer_plans(&p, plan);
        if (permits(&p) != rows[i].permit)
            fail_msg("row %zu: %u permits", i, permits(&p));
        if (!rows[i].permit)
            assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons, rows[i].told);
        world_teardown(&world);
    }
}

static void
a_broker_that_is_away_or_blocked_holds_the_first_run_too_where_opencti_reads_zero_bytes_and_runs(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    broker_blocked(w, 0, true);
    peer_plans(&p, each_period());
    assert_int_equal(permits(&p), 0);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons, WIRE_HOLD_BROKER_ALARM);
    broker_down(w, 0);
    world_turn(w);
    assert_int_equal(permits(&p), 0);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons, WIRE_HOLD_BROKER_DOWN);
    broker_up(w, 0);
    world_turn(w);
    assert_int_equal(permits(&p), 1);
}

/* --- the rhythm --- */

static void
the_next_run_is_due_one_period_after_the_end_of_the_last_to_the_microsecond(void **state)
{
    static const int64_t takes_us[] = {0, 1, SECOND + SECOND / 2, 2 * (int64_t)SECOND, 3600 * (int64_t)SECOND};
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    wall_is(w, WALL_US);
    peer_plans(&p, each_period());
    for (size_t i = 0; i < sizeof(takes_us) / sizeof(takes_us[0]); i++) {
        world_forget(w);
        runs(&p, takes_us[i], each_period());
        peer_waits(&p, period_us - 1);
        assert_int_equal(permits(&p), 0);
        peer_waits(&p, 1);
        assert_int_equal(permits(&p), 1);
    }
}

static void
last_run_is_the_end_of_the_run_and_next_run_a_period_later(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    int64_t end_us;

    wall_is(w, WALL_US);
    end_us = WALL_US + SECOND + SECOND / 2;
    peer_plans(&p, each_period());
    runs(&p, SECOND + SECOND / 2, each_period());
    assert_int_equal(stands(w, "feed").last_run_us, end_us);
    assert_int_equal(stands(w, "feed").next_run_us, end_us + period_us);
    assert_int_equal(row_last(w, "feed")->last_run_us, end_us);
    assert_int_equal(row_last(w, "feed")->next_run_us, end_us + period_us);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->next_ms, PERIOD_S * 1000);
}

static void
while_a_run_is_under_way_no_next_run_is_told_where_opencti_tells_one_that_is_past(void **state)
{
    struct world *w = *state;
    struct peer p = has_run(w, each_period());
    const int64_t last_us = stands(w, "feed").last_run_us;

    peer_waits(&p, period_us);
    assert_int_equal(permits(&p), 1);
    peer_waits(&p, 10 * (int64_t)SECOND);
    assert_true(stands(w, "feed").running);
    assert_int_equal(stands(w, "feed").next_run_us, 0);
    assert_int_equal(stands(w, "feed").last_run_us, last_us);
}

static void
a_run_that_failed_is_followed_by_the_next_where_opencti_dies_or_stops(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    struct wire_msg done = {
        .type = WIRE_DONE, .has = BIT(WIRE_F_RUN) | BIT(WIRE_F_OUTCOME), .outcome = WIRE_OUT_FAILED};
    struct core_event e = {.kind = CORE_MESSAGE, .u.message = {p.conn, &done, 0}};

    peer_plans(&p, each_period());
    memcpy(done.run, p.run, sizeof(done.run));
    p.has_run = false;
    world_step(w, &e);
    peer_plans(&p, each_period());
    world_forget(w);
    peer_waits(&p, period_us);
    assert_int_equal(permits(&p), 1);
}

static void
a_period_below_a_second_is_refused_and_changes_nothing(void **state)
{
    static const uint64_t bad_ms[] = {0, 1, 400, 900, 999};
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_plans(&p, (struct wire_msg){.schedule = WIRE_S_PERIOD});
    assert_true(said_error(w, p.conn, WIRE_R_SCHEDULE));
    for (size_t i = 0; i < sizeof(bad_ms) / sizeof(bad_ms[0]); i++) {
        world_forget(w);
        peer_plans(&p, each_ms(bad_ms[i]));
        assert_true(said_error(w, p.conn, WIRE_R_SCHEDULE));
        assert_memory_equal(said_last(w, p.conn, WIRE_ERROR)->field.at, "period_ms", strlen("period_ms"));
        assert_false(said_last(w, p.conn, WIRE_ERROR)->fatal);
        assert_int_equal(permits(&p), 0);
        assert_int_equal(stands(w, "feed").kind, 0);
    }
    peer_plans(&p, each_ms(1000));
    assert_int_equal(permits(&p), 1);
    peer_plans(&p, each_ms(999)); /* in a run likewise */
    assert_int_equal(stands(w, "feed").period_us, SECOND);
}

static void
a_schedule_that_changes_in_a_run_counts_from_its_end(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_plans(&p, each_ms(3600000));
    peer_plans(&p, each_period()); /* the answer is the permit again, */
    assert_int_equal(permits(&p), 2);
    peer_waits(&p, 10 * period_us); /* and the run goes on */
    assert_int_equal(permits(&p), 2);
    assert_true(stands(w, "feed").running);
    peer_done(&p, p.run);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->next_ms, PERIOD_S * 1000);
    peer_plans(&p, each_period());
    peer_waits(&p, period_us - 1);
    assert_int_equal(permits(&p), 2);
    peer_waits(&p, 1);
    assert_int_equal(permits(&p), 3);
}

static void
a_schedule_that_changes_while_it_waits_counts_from_the_last_end(void **state)
{
    struct world *w = *state;
    struct peer p = has_run(w, each_ms(3600000));

    peer_waits(&p, SECOND);
    peer_plans(&p, each_ms(5000));
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->next_ms, 4000);
    peer_plans(&p, each_ms(30000));
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->next_ms, 29000);
    peer_plans(&p, each_ms(1000));
    assert_int_equal(permits(&p), 1);
}

/* --- holds --- */

static void
a_skipped_run_moves_next_run_by_one_period_and_nothing_else(void **state)
{
    struct wire_msg plan = each_period();
    struct world *w = *state;
    struct peer p;
    struct core_status before;

    plan.has |= BIT(WIRE_F_RESUME);
    plan.resume = WIRE_RESUME_SCHEDULE;
    p = has_run(w, plan);
    before = stands(w, "feed");
    are_held(w, "feed", WIRE_HOLD_QUEUE);
    for (int64_t n = 1; n <= 3; n++) {
        peer_waits(&p, period_us);
        assert_int_equal(stands(w, "feed").next_run_us, before.next_run_us + n * period_us);
        assert_int_equal(row_last(w, "feed")->next_run_us, before.next_run_us + n * period_us);
    }
    assert_int_equal(stands(w, "feed").last_run_us, before.last_run_us);
    assert_int_equal(row_last(w, "feed")->last_run_us, before.last_run_us);
    assert_int_equal(permits(&p), 0);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons, WIRE_HOLD_QUEUE);
}

static void
with_resume_schedule_a_queue_that_drains_wakes_nobody_as_in_opencti(void **state)
{
    struct wire_msg plan = each_period();
    struct world *w = *state;
    struct peer p;

    plan.has |= BIT(WIRE_F_RESUME);
    plan.resume = WIRE_RESUME_SCHEDULE;
    p = has_run(w, plan);
    are_held(w, "feed", WIRE_HOLD_QUEUE);
    peer_waits(&p, period_us);
    are_held(w, "feed", 0);
    peer_waits(&p, period_us - 1);
    assert_int_equal(permits(&p), 0);
    peer_waits(&p, 1);
    assert_int_equal(permits(&p), 1);
}

static void
with_resume_drain_a_queue_that_drains_lets_in_who_waits_at_once(void **state)
{
    struct world *w = *state;
    struct peer p = has_run(w, each_period());

    are_held(w, "feed", WIRE_HOLD_QUEUE);
    peer_waits(&p, 100 * period_us);
    assert_int_equal(permits(&p), 0);
    are_held(w, "feed", 0);
    assert_int_equal(permits(&p), 1);
}

static void
what_holds_and_goes_again_before_the_time_has_come_is_no_matter(void **state)
{
    struct world *w = *state;
    struct peer p = has_run(w, each_period());

    are_held(w, "feed", WIRE_HOLD_QUEUE);
    peer_waits(&p, period_us / 2);
    are_held(w, "feed", 0);
    peer_waits(&p, period_us / 2);
    assert_int_equal(permits(&p), 1);
}

static void
an_operator_may_have_a_run_now_and_every_reason_still_holds_it(void **state)
{
    struct world *w = *state;
    struct peer p = has_run(w, each_ms(3600000));

    are_held(w, "feed", WIRE_HOLD_QUEUE);
    an_operator(w, "feed", CORE_RUN_NOW);
    assert_int_equal(permits(&p), 0);
    are_held(w, "feed", 0);
    assert_int_equal(permits(&p), 1);
    peer_ping(&p); /* it hears of it */
    world_forget(w);
    runs(&p, SECOND, each_ms(3600000));
    assert_int_equal(permits(&p), 0); /* once */
}

/* --- Run & Terminate --- */

static void
a_held_run_and_terminate_does_not_set_last_run_as_opencti_does_by_accident(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    int64_t last_us;

    wall_is(w, WALL_US);
    are_held(w, "feed", WIRE_HOLD_QUEUE);
    peer_plans(&p, once());
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons, WIRE_HOLD_QUEUE);
    assert_int_equal(stands(w, "feed").last_run_us, 0);
    are_held(w, "feed", 0);
    peer_plans(&p, once());
    runs(&p, SECOND, once());
    last_us = stands(w, "feed").last_run_us;
    assert_int_equal(last_us, WALL_US + SECOND);
    peer_done(&p, p.run);
    last_us = stands(w, "feed").last_run_us;
    are_held(w, "feed", WIRE_HOLD_QUEUE);
    peer_waits(&p, SECOND);
    peer_plans(&p, once());
    assert_int_equal(stands(w, "feed").last_run_us, last_us);
}

static void
a_held_run_and_terminate_waits_for_nothing(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    are_held(w, "feed", WIRE_HOLD_QUEUE);
    peer_plans(&p, once());
    assert_false(WIRE_HAS(said_last(w, p.conn, WIRE_HOLD), WIRE_F_NEXT_MS));
    are_held(w, "feed", 0);
    peer_waits(&p, 10 * period_us);
    assert_int_equal(permits(&p), 0);
}

static void
run_and_terminate_has_no_next_run_and_runs_as_often_as_it_is_started(void **state)
{
    struct world *w = *state;

    wall_is(w, WALL_US);
    for (int i = 0; i < 3; i++) {
        struct peer p = peer_welcomed(w, "feed");

        peer_plans(&p, once());
        assert_int_equal(permits(&p), 1);
        peer_waits(&p, SECOND);
        peer_done(&p, p.run);
        assert_int_equal(stands(w, "feed").next_run_us, 0);
        assert_false(WIRE_HAS(said_last(w, p.conn, WIRE_HOLD), WIRE_F_NEXT_MS));
        peer_says(&p, WIRE_BYE);
    }
}

/* --- ends --- */

static void
an_end_that_is_told_twice_is_answered_twice_and_counts_once(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    uint8_t run[WIRE_RUN_LEN];
    struct core_status once_ended;

    peer_plans(&p, each_period());
    memcpy(run, p.run, sizeof(run));
    peer_done(&p, run);
    once_ended = stands(w, "feed");
    peer_waits(&p, SECOND);
    world_forget(w);
    peer_done(&p, run);
    assert_memory_equal(said_last(w, p.conn, WIRE_HOLD)->run, run, sizeof(run));
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->next_ms, 1000);
    assert_int_equal(stands(w, "feed").last_run_us, once_ended.last_run_us);
    assert_int_equal(stands(w, "feed").next_run_us, once_ended.next_run_us);
}

static void
a_ping_for_a_run_that_ended_is_told_of_its_end_and_brings_it_not_back(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_plans(&p, each_period());
    peer_done(&p, p.run);
    world_forget(w);
    p.has_run = true; /* the answer was lost on the way */
    peer_ping(&p);
    assert_memory_equal(said_last(w, p.conn, WIRE_HOLD)->run, p.run, sizeof(p.run));
    assert_false(stands(w, "feed").running);
}

static void
a_run_that_was_given_up_is_no_last_run_and_the_next_is_due_a_period_later(void **state)
{
    struct world *w = *state;
    struct peer p = has_run(w, each_ms(3600000));
    const int64_t last_us = stands(w, "feed").last_run_us;
    struct peer other;

    peer_waits(&p, 3600 * (int64_t)SECOND);
    assert_true(stands(w, "feed").running);
    other = peer_welcomed(w, "feed"); /* it takes the id */
    assert_int_equal(said_last(w, p.conn, WIRE_STOP)->reason, WIRE_R_REPLACED);
    peer_plans(&other, each_ms(3600000));
    assert_int_equal(permits(&other), 0);
    assert_int_equal(said_last(w, other.conn, WIRE_HOLD)->next_ms, 3600000);
    assert_int_equal(stands(w, "feed").last_run_us, last_us);
}

static void
a_run_whose_program_is_silent_for_three_pings_is_given_up_and_not_before(void **state)
{
    struct world *w = *state;
    struct peer p = has_run(w, each_period());

    peer_waits(&p, period_us);
    assert_int_equal(permits(&p), 1);
    world_pass(w, 3 * (int64_t)WORLD_PING - 1);
    assert_true(stands(w, "feed").running);
    world_pass(w, 3 * (int64_t)WORLD_PING);
    world_pass(w, 3 * (int64_t)WORLD_PING);
    assert_false(stands(w, "feed").running);
}

/* --- restarts --- */

static struct peer
after_a_restart(struct world *w, struct core_row row, int64_t wall_us)
{
    struct core_event e = {.kind = CORE_ROW};
    struct peer p;

    world_restart(w);
    wall_is(w, wall_us);
    row.id = "feed";
    e.u.row = row;
    world_step(w, &e);
    broker_up(w, 0);
    p = peer_welcomed(w, "feed");
    peer_plans(&p, each_ms((uint64_t)(row.period_us / 1000)));
    return p;
}

static void
a_restart_of_program_and_gateway_is_no_free_run_where_opencti_runs_at_once(void **state)
{
    struct world *w = *state;
    struct peer p = has_run(w, each_ms(3600000));
    const struct core_row row = *row_last(w, "feed");

    p = peer_welcomed(w, "feed");
    peer_plans(&p, each_ms(3600000));
    assert_int_equal(permits(&p), 0);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->next_ms, 3600000);
    p = after_a_restart(w, row, row.last_run_us + 600 * (int64_t)SECOND);
    assert_int_equal(permits(&p), 0);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->next_ms, 3000000);
    assert_int_equal(stands(w, "feed").last_run_us, row.last_run_us);
}

static void
who_was_due_while_the_gateway_was_away_is_spread_over_a_part_of_the_period(void **state)
{
    static const struct {
        int64_t period_us, most_us;
    } rows[] = {{10 * (int64_t)SECOND, SECOND}, {86400 * (int64_t)SECOND, 60 * (int64_t)SECOND}};
    struct world *w = *state;
    struct core_row row = {.kind = WIRE_S_PERIOD + 1, .ran = true};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct peer p;

        row.period_us = rows[i].period_us;
        row.next_run_us = WALL_US;
        p = after_a_restart(w, row, row.next_run_us + 1000 * (int64_t)SECOND);
        peer_waits(&p, rows[i].most_us);
        assert_int_equal(permits(&p), 1);
    }
}

/* OpenCTI's scheduler counts on the wall clock; here it only stamps, and says where to begin after a restart. */
static void
a_clock_that_is_set_to_any_year_moves_no_run(void **state)
{
    static const int64_t years_s[] = {0, 1, 2147483647, 2147483648, 4294967296, 253402300799};
    struct world *w = *state;
    struct peer p = has_run(w, each_period());

    for (size_t i = 0; i < sizeof(years_s) / sizeof(years_s[0]); i++) {
        const int64_t wall_us = years_s[i] * SECOND;

        wall_is(w, wall_us);
        peer_waits(&p, period_us - 1);
        assert_int_equal(permits(&p), 0);
        peer_waits(&p, 1);
        assert_int_equal(permits(&p), 1);
        world_forget(w);
        runs(&p, SECOND, each_period());
        assert_int_equal(stands(w, "feed").last_run_us, wall_us + period_us + SECOND);
        assert_int_equal(stands(w, "feed").next_run_us, wall_us + 2 * period_us + SECOND);
    }
}

static void
a_clock_that_was_set_while_the_gateway_was_away_costs_at_most_one_period(void **state)
{
    static const int64_t walls_s[] = {0, WALL_S - 100000, WALL_S + 100000, 2147483648, 253402300799};
    struct world *w = *state;
    struct core_row row = {.kind = WIRE_S_PERIOD + 1, .ran = true, .period_us = 10 * (int64_t)SECOND};

    row.last_run_us = WALL_US - 5 * SECOND;
    row.next_run_us = WALL_US + 5 * SECOND;
    for (size_t i = 0; i < sizeof(walls_s) / sizeof(walls_s[0]); i++) {
        struct peer p = after_a_restart(w, row, walls_s[i] * SECOND);

        peer_waits(&p, row.period_us);
        if (permits(&p) != 1)
            fail_msg("at %" PRId64 ": %u permits", walls_s[i], permits(&p));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_run_of_a_period_is_free_of_the_queue_alone_unless_it_is_to_be_checked),
        TEST(a_broker_that_is_away_or_blocked_holds_the_first_run_too_where_opencti_reads_zero_bytes_and_runs),
        TEST(the_next_run_is_due_one_period_after_the_end_of_the_last_to_the_microsecond),
        TEST(last_run_is_the_end_of_the_run_and_next_run_a_period_later),
        TEST(while_a_run_is_under_way_no_next_run_is_told_where_opencti_tells_one_that_is_past),
        TEST(a_run_that_failed_is_followed_by_the_next_where_opencti_dies_or_stops),
        TEST(a_period_below_a_second_is_refused_and_changes_nothing),
        TEST(a_schedule_that_changes_in_a_run_counts_from_its_end),
        TEST(a_schedule_that_changes_while_it_waits_counts_from_the_last_end),
        TEST(a_skipped_run_moves_next_run_by_one_period_and_nothing_else),
        TEST(with_resume_schedule_a_queue_that_drains_wakes_nobody_as_in_opencti),
        TEST(with_resume_drain_a_queue_that_drains_lets_in_who_waits_at_once),
        TEST(what_holds_and_goes_again_before_the_time_has_come_is_no_matter),
        TEST(an_operator_may_have_a_run_now_and_every_reason_still_holds_it),
        TEST(a_held_run_and_terminate_does_not_set_last_run_as_opencti_does_by_accident),
        TEST(a_held_run_and_terminate_waits_for_nothing),
        TEST(run_and_terminate_has_no_next_run_and_runs_as_often_as_it_is_started),
        TEST(an_end_that_is_told_twice_is_answered_twice_and_counts_once),
        TEST(a_ping_for_a_run_that_ended_is_told_of_its_end_and_brings_it_not_back),
        TEST(a_run_that_was_given_up_is_no_last_run_and_the_next_is_due_a_period_later),
        TEST(a_run_whose_program_is_silent_for_three_pings_is_given_up_and_not_before),
        TEST(a_restart_of_program_and_gateway_is_no_free_run_where_opencti_runs_at_once),
        TEST(who_was_due_while_the_gateway_was_away_is_spread_over_a_part_of_the_period),
        TEST(a_clock_that_is_set_to_any_year_moves_no_run),
        TEST(a_clock_that_was_set_while_the_gateway_was_away_costs_at_most_one_period),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
