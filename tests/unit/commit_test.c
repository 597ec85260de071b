/* commit_test.c - rule 9 of the protocol: a state waits for its bundles, fails with those that were refused, and may
 * end a run, which has ended when both are on the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core_world.h"

static bool
went(const struct world *w, uint64_t ticket)
{
    const struct leave *l = leave_last(w, ticket);

    return l != NULL && l->go;
}

static bool
failed(const struct world *w, uint64_t ticket, enum wire_reason reason)
{
    const struct leave *l = leave_last(w, ticket);

    return l != NULL && !l->go && l->reason == reason;
}

/* The store has done what it had leave for. */
static void
stored(struct world *w, uint64_t ticket, bool ok)
{
    struct core_event e = {.kind = CORE_COMMITTED};

    assert_true(went(w, ticket));
    e.u.stored.ticket = leave_last(w, ticket)->stored;
    e.u.stored.ok = ok;
    world_step(w, &e);
    world_turn(w);
}

/* A connector that has pushed n bundles. */
static struct peer
pushed(struct world *w, uint64_t n)
{
    struct peer p = peer_welcomed(w, "feed");

    for (uint64_t i = 0; i < n; i++)
        peer_pushes(&p, 1000);
    return p;
}

static void
refuse(struct peer *p, uint64_t seq)
{
    broker_refuses(p, seq, WIRE_R_REFUSED, "no");
    world_turn(p->w);
}

/* --- after --- */

static void
a_state_that_waits_for_nothing_goes_at_once(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 1);

    peer_commits(&p, 0, NULL, 1);
    assert_true(went(w, 1));
    assert_false(leave_last(w, 1)->has_row);
}

static void
a_state_goes_when_every_bundle_before_it_is_acked_and_not_earlier(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 3);

    peer_commits(&p, 2, NULL, 1);
    broker_confirms(&p, 2);
    world_turn(w);
    assert_null(leave_last(w, 1));
    broker_confirms(&p, 1);
    assert_null(leave_last(w, 1)); /* the ack is told first, at the end of the turn */
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 2);
    assert_true(went(w, 1));
}

static void
a_state_waits_for_bundles_that_are_still_to_come(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 1);

    peer_commits(&p, 2, NULL, 1);
    broker_confirms(&p, 1);
    world_turn(w);
    assert_null(leave_last(w, 1));
    peer_pushes(&p, 1000);
    broker_confirms(&p, 2);
    world_turn(w);
    assert_true(went(w, 1));
}

static void
one_state_waits_and_a_second_is_told_to_try_again(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 1);

    peer_commits(&p, 1, NULL, 1);
    peer_commits(&p, 1, NULL, 2);
    assert_true(failed(w, 2, WIRE_R_BUSY));
    assert_null(leave_last(w, 1));
}

static void
a_state_waits_for_the_one_before_it_to_be_stored(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 1);

    peer_commits(&p, 0, NULL, 1);
    peer_commits(&p, 0, NULL, 2);
    assert_null(leave_last(w, 2));
    stored(w, 1, true);
    assert_true(went(w, 2));
    stored(w, 2, true);
}

static void
states_of_two_connectors_do_not_wait_for_each_other(void **state)
{
    struct world *w = *state;
    struct peer feed = pushed(w, 1), slow = peer_welcomed(w, "slow");

    peer_commits(&feed, 1, NULL, 1);
    peer_commits(&slow, 0, NULL, 2);
    assert_null(leave_last(w, 1));
    assert_true(went(w, 2));
}

/* --- what was refused --- */

static void
a_state_after_a_refused_bundle_fails_and_names_the_first(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 4);

    peer_commits(&p, 4, NULL, 1);
    broker_confirms(&p, 1);
    refuse(&p, 3);
    refuse(&p, 2);
    assert_null(leave_last(w, 1)); /* the verdict on 4 is still to come: then all of them are known */
    broker_confirms(&p, 4);
    world_turn(w);
    assert_true(failed(w, 1, WIRE_R_UNDELIVERED));
    assert_int_equal(leave_last(w, 1)->seq, 2);
}

static void
a_refused_bundle_beyond_a_state_does_not_hold_it(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 2);

    peer_commits(&p, 1, NULL, 1);
    refuse(&p, 2);
    broker_confirms(&p, 1);
    world_turn(w);
    assert_true(went(w, 1));
    stored(w, 1, true);
    peer_sees(&p, 2);
    peer_commits(&p, 2, NULL, 2); /* but it counts for the next */
    assert_true(failed(w, 2, WIRE_R_UNDELIVERED));
    assert_int_equal(leave_last(w, 2)->seq, 2);
}

static void
a_bundle_that_was_refused_and_seen_before_the_state_came_counts(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 2);

    refuse(&p, 1);
    broker_confirms(&p, 2);
    peer_sees(&p, 1);
    peer_commits(&p, 2, NULL, 1);
    assert_true(failed(w, 1, WIRE_R_UNDELIVERED));
    assert_int_equal(leave_last(w, 1)->seq, 1);
}

static void
what_an_error_told_of_counts_no_more_once_it_was_pushed_again(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 2);

    refuse(&p, 1);
    broker_confirms(&p, 2);
    peer_sees(&p, 1);
    peer_commits(&p, 2, NULL, 1);
    assert_true(failed(w, 1, WIRE_R_UNDELIVERED));
    peer_pushes(&p, 1000);
    peer_commits(&p, 3, NULL, 2);
    assert_null(leave_last(w, 2));
    broker_confirms(&p, 3);
    world_turn(w);
    assert_true(went(w, 2));
}

static void
who_was_told_may_set_a_state_that_does_without(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 1);

    refuse(&p, 1);
    peer_sees(&p, 1);
    peer_commits(&p, 1, NULL, 1);
    assert_true(failed(w, 1, WIRE_R_UNDELIVERED));
    peer_commits(&p, 1, NULL, 2);
    assert_true(went(w, 2));
}

static void
the_same_state_on_another_connection_gets_the_same_answer(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 1);

    refuse(&p, 1);
    peer_sees(&p, 1);
    peer_commits(&p, 1, NULL, 1);
    assert_true(failed(w, 1, WIRE_R_UNDELIVERED));
    peer_reconnects(&p); /* the error may have been lost with the connection */
    assert_true(peer_hello(&p));
    peer_commits(&p, 1, NULL, 2);
    assert_true(failed(w, 2, WIRE_R_UNDELIVERED));
    peer_reconnects(&p);
    assert_true(peer_hello(&p));
    peer_pushes(&p, 1000);
    broker_confirms(&p, 2);
    peer_commits(&p, 2, NULL, 3); /* this one was made since */
    assert_true(went(w, 3));
}

static void
a_bundle_that_is_refused_after_the_error_counts_for_the_next_state(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 2);

    refuse(&p, 1);
    broker_confirms(&p, 2);
    peer_sees(&p, 1);
    peer_commits(&p, 2, NULL, 1);
    assert_true(failed(w, 1, WIRE_R_UNDELIVERED));
    peer_pushes(&p, 1000);
    refuse(&p, 3);
    peer_sees(&p, 3);
    peer_commits(&p, 3, NULL, 2);
    assert_true(failed(w, 2, WIRE_R_UNDELIVERED));
    assert_int_equal(leave_last(w, 2)->seq, 3);
}

static void
more_refusals_than_are_remembered_are_never_passed(void **state)
{
    enum { MANY = 40 };
    struct world *w = *state;
    struct peer p = pushed(w, MANY);

    for (uint64_t seq = 1; seq <= MANY; seq++)
        refuse(&p, seq);
    peer_sees(&p, MANY);
    for (uint64_t seq = 1, ticket = 1; seq <= MANY; seq += 3, ticket++) {
        peer_commits(&p, seq, NULL, ticket);
        assert_true(failed(w, ticket, WIRE_R_UNDELIVERED));
    }
}

static void
a_new_program_is_not_blamed_for_the_one_before(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 1), new;

    refuse(&p, 1);
    peer_sees(&p, 1);
    new = peer_welcomed(w, "feed");
    peer_pushes(&new, 1000);
    broker_confirms(&new, 1);
    peer_commits(&new, 1, NULL, 1);
    assert_true(went(w, 1));
}

/* --- what ends the wait --- */

static void
a_state_that_waits_is_forgotten_with_the_connection(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 1);
    const struct core_event gone = {.kind = CORE_GONE, .u.conn = p.conn};

    peer_commits(&p, 1, NULL, 1);
    world_step(w, &gone);
    assert_true(failed(w, 1, WIRE_R_NONE));
    broker_confirms(&p, 1);
    world_turn(w);
    assert_false(went(w, 1));
}

static void
a_state_that_waits_is_forgotten_at_a_hello(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 1);

    peer_commits(&p, 1, NULL, 1);
    assert_true(peer_hello(&p));
    assert_true(failed(w, 1, WIRE_R_NONE));
    broker_confirms(&p, 1);
    peer_commits(&p, 1, NULL, 2);
    assert_true(went(w, 2));
}

static void
a_state_that_waits_is_forgotten_when_another_program_comes(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 1);

    peer_commits(&p, 1, NULL, 1);
    peer_welcomed(w, "feed");
    assert_true(failed(w, 1, WIRE_R_NONE));
}

static void
a_state_of_nobody_goes_nowhere(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w, "feed");

    peer_commits(&p, 0, NULL, 1);
    assert_true(failed(w, 1, WIRE_R_NONE));
}

/* --- with the end of a run --- */

/* A connector in a run, that has pushed one bundle. */
static struct peer
running(struct world *w)
{
    struct peer p = pushed(w, 1);

    peer_ready(&p);
    assert_true(p.has_run);
    world_forget(w);
    return p;
}

static void
a_run_ends_with_its_state_once_both_are_on_the_disk(void **state)
{
    struct world *w = *state;
    struct peer p = running(w);
    struct core_event wall = {.kind = CORE_WALL, .u.wall_us = 1795223999000000};

    world_step(w, &wall);
    peer_commits(&p, 1, p.run, 1);
    broker_confirms(&p, 1);
    world_turn(w);
    assert_true(leave_last(w, 1)->has_row);
    assert_false(leave_last(w, 1)->row.has_run);
    assert_true(leave_last(w, 1)->row.has_ended);
    assert_memory_equal(leave_last(w, 1)->row.ended, p.run, sizeof(p.run));
    assert_int_equal(leave_last(w, 1)->row.last_run_us, 1795223999000000);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 0);
    stored(w, 1, true);
    assert_memory_equal(said_last(w, p.conn, WIRE_HOLD)->run, p.run, sizeof(p.run));
}

static void
where_the_state_is_not_stored_the_run_goes_on(void **state)
{
    struct world *w = *state;
    struct peer p = running(w);
    uint8_t run[WIRE_RUN_LEN];

    memcpy(run, p.run, sizeof(run));
    peer_commits(&p, 0, p.run, 1);
    stored(w, 1, false);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 0);
    peer_ready(&p);
    assert_memory_equal(p.run, run, sizeof(run));
}

static void
where_a_bundle_was_refused_the_run_goes_on(void **state)
{
    struct world *w = *state;
    struct peer p = running(w);
    uint8_t run[WIRE_RUN_LEN];

    memcpy(run, p.run, sizeof(run));
    refuse(&p, 1);
    peer_sees(&p, 1);
    peer_commits(&p, 1, p.run, 1);
    assert_true(failed(w, 1, WIRE_R_UNDELIVERED));
    peer_ready(&p);
    assert_memory_equal(p.run, run, sizeof(run));
}

static void
the_end_of_a_run_that_is_not_current_fails_before_anything_is_stored(void **state)
{
    struct world *w = *state;
    struct peer p = running(w);
    uint8_t other[WIRE_RUN_LEN];

    memcpy(other, p.run, sizeof(other));
    other[0] ^= 1;
    peer_commits(&p, 1, other, 1);
    assert_true(failed(w, 1, WIRE_R_NO_RUN)); /* without waiting for bundles */
}

static void
a_run_that_ended_by_done_while_its_state_waited_does_not_end_twice(void **state)
{
    struct world *w = *state;
    struct peer p = running(w);
    uint8_t run[WIRE_RUN_LEN];

    memcpy(run, p.run, sizeof(run));
    peer_commits(&p, 1, run, 1);
    peer_done(&p, run);
    broker_confirms(&p, 1);
    world_turn(w);
    assert_true(failed(w, 1, WIRE_R_NO_RUN));
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 1);
}

static void
the_next_run_is_due_a_period_after_the_state_went_to_the_disk(void **state)
{
    struct world *w = *state;
    struct peer p = pushed(w, 1);
    struct wire_msg ready = {.type = WIRE_READY, .schedule = WIRE_S_PERIOD, .period_ms = 60000};
    struct core_event e = {.kind = CORE_MESSAGE, .u.message = {.conn = p.conn, .msg = &ready}};

    ready.has = 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD | 1ULL << WIRE_F_SCHEDULE | 1ULL << WIRE_F_PERIOD_MS;
    world_step(w, &e);
    peer_commits(&p, 0, said_last(w, p.conn, WIRE_PERMIT)->run, 1);
    w->now += 5 * SECOND; /* the disk is slow */
    stored(w, 1, true);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->next_ms, 55000);
    world_step(w, &e);
    world_forget(w);
    world_pass(w, 54 * SECOND);
    assert_int_equal(said_count(w, p.conn, WIRE_PERMIT), 0);
    world_pass(w, SECOND);
    assert_int_equal(said_count(w, p.conn, WIRE_PERMIT), 1);
}

static void
a_row_that_was_made_meanwhile_does_not_bring_the_run_back(void **state)
{
    struct world *w = *state;
    struct peer p = running(w);
    const struct core_event pause = {.kind = CORE_OPERATOR, .u.operator = {"feed", CORE_PAUSE}};

    w->slow_disk = true;
    peer_commits(&p, 0, p.run, 1);
    world_step(w, &pause);
    assert_true(row_last(w, "feed")->has_run); /* stored behind the other, it would */
    stored(w, 1, true);
    world_forget(w);
    disk_answers(w, true);
    assert_false(row_last(w, "feed")->has_run);
    assert_true(row_last(w, "feed")->paused);
    assert_memory_equal(said_last(w, p.conn, WIRE_HOLD)->run, p.run, sizeof(p.run));
}

static void
a_state_that_waits_to_end_a_run_is_refused_once_that_has_ended_otherwise(void **state)
{
    struct world *w = *state;
    struct peer p = running(w);

    peer_commits(&p, 5, p.run, 1); /* none of these bundles has come */
    assert_null(leave_last(w, 1));
    peer_done(&p, p.run);
    world_turn(w);
    assert_true(failed(w, 1, WIRE_R_NO_RUN));
}

static void
a_run_that_was_given_up_while_its_end_went_to_the_disk_has_ended(void **state)
{
    struct world *w = *state;
    struct peer p = running(w), new;

    peer_commits(&p, 0, p.run, 1);
    new = peer_welcomed(w, "feed"); /* another program: the run is lost */
    stored(w, 1, true);
    assert_true(row_last(w, "feed")->has_ended);
    assert_memory_equal(row_last(w, "feed")->ended, p.run, sizeof(p.run));
    assert_int_not_equal(row_last(w, "feed")->last_run_us, 0);
    assert_int_equal(said_count(w, new.conn, WIRE_HOLD), 0);
}

static void
who_comes_back_after_its_end_was_stored_gets_the_answer_by_done(void **state)
{
    struct world *w = *state;
    struct peer p = running(w);
    uint8_t run[WIRE_RUN_LEN];

    memcpy(run, p.run, sizeof(run));
    peer_commits(&p, 0, run, 1);
    peer_reconnects(&p);
    assert_true(peer_hello(&p));
    stored(w, 1, true);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 0); /* it asked on another connection */
    peer_done(&p, run);
    assert_memory_equal(said_last(w, p.conn, WIRE_HOLD)->run, run, sizeof(run));
}

static void
an_answer_of_the_disk_that_nobody_waits_for_changes_nothing(void **state)
{
    struct world *w = *state;
    struct peer p = running(w);
    struct core_event e = {.kind = CORE_COMMITTED, .u.stored = {999999ULL << 32 | 1, true}};

    world_step(w, &e);
    e.u.stored.ticket = 7;
    world_step(w, &e);
    peer_commits(&p, 0, p.run, 1);
    stored(w, 1, true);
    world_forget(w);
    stored(w, 1, true);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 0);
    peer_ready(&p);
    peer_commits(&p, 0, p.run, 2);
    stored(w, 1, true); /* the old answer again, while another state is going */
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 0);
    stored(w, 2, true);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_state_that_waits_for_nothing_goes_at_once),
        TEST(a_state_goes_when_every_bundle_before_it_is_acked_and_not_earlier),
        TEST(a_state_waits_for_bundles_that_are_still_to_come),
        TEST(one_state_waits_and_a_second_is_told_to_try_again),
        TEST(a_state_waits_for_the_one_before_it_to_be_stored),
        TEST(states_of_two_connectors_do_not_wait_for_each_other),
        TEST(a_state_after_a_refused_bundle_fails_and_names_the_first),
        TEST(a_refused_bundle_beyond_a_state_does_not_hold_it),
        TEST(a_bundle_that_was_refused_and_seen_before_the_state_came_counts),
        TEST(what_an_error_told_of_counts_no_more_once_it_was_pushed_again),
        TEST(who_was_told_may_set_a_state_that_does_without),
        TEST(the_same_state_on_another_connection_gets_the_same_answer),
        TEST(a_bundle_that_is_refused_after_the_error_counts_for_the_next_state),
        TEST(more_refusals_than_are_remembered_are_never_passed),
        TEST(a_new_program_is_not_blamed_for_the_one_before),
        TEST(a_state_that_waits_is_forgotten_with_the_connection),
        TEST(a_state_that_waits_is_forgotten_at_a_hello),
        TEST(a_state_that_waits_is_forgotten_when_another_program_comes),
        TEST(a_state_of_nobody_goes_nowhere),
        TEST(a_run_ends_with_its_state_once_both_are_on_the_disk),
        TEST(where_the_state_is_not_stored_the_run_goes_on),
        TEST(where_a_bundle_was_refused_the_run_goes_on),
        TEST(the_end_of_a_run_that_is_not_current_fails_before_anything_is_stored),
        TEST(a_run_that_ended_by_done_while_its_state_waited_does_not_end_twice),
        TEST(the_next_run_is_due_a_period_after_the_state_went_to_the_disk),
        TEST(a_row_that_was_made_meanwhile_does_not_bring_the_run_back),
        TEST(a_state_that_waits_to_end_a_run_is_refused_once_that_has_ended_otherwise),
        TEST(a_run_that_was_given_up_while_its_end_went_to_the_disk_has_ended),
        TEST(who_comes_back_after_its_end_was_stored_gets_the_answer_by_done),
        TEST(an_answer_of_the_disk_that_nobody_waits_for_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
