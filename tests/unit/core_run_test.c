/* core_run_test.c - permits, draining, and reloads: rule 8 of the protocol, and what an operator does to connectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_world.h"

/* --- runs --- */

static void
who_is_ready_gets_a_permit_with_a_lease_of_three_pings(void **state)
{
    static const uint8_t none[WIRE_RUN_LEN];
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_ready(&p);
    assert_int_equal(said_last(w, p.conn, WIRE_PERMIT)->lease_ms, 3 * 40000);
    assert_memory_not_equal(said_last(w, p.conn, WIRE_PERMIT)->run, none, WIRE_RUN_LEN);
}

static void
who_asks_again_gets_the_run_that_is_current(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    uint8_t run[WIRE_RUN_LEN];

    peer_ready(&p);
    memcpy(run, p.run, sizeof(run));
    peer_ready(&p);
    assert_int_equal(said_count(w, p.conn, WIRE_PERMIT), 2);
    assert_memory_equal(p.run, run, sizeof(run));
    peer_reconnects(&p);
    assert_true(peer_hello(&p));
    peer_ready(&p);
    assert_memory_equal(p.run, run, sizeof(run));
}

static void
after_done_the_next_run_is_another_one(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    uint8_t run[WIRE_RUN_LEN];

    peer_ready(&p);
    memcpy(run, p.run, sizeof(run));
    peer_done(&p, run);
    assert_int_equal(said_count(w, p.conn, WIRE_ERROR), 0);
    peer_ready(&p);
    assert_memory_not_equal(p.run, run, sizeof(run));
}

static void
two_connectors_have_two_runs(void **state)
{
    struct world *w = *state;
    struct peer feed = peer_welcomed(w, "feed"), slow = peer_welcomed(w, "slow");

    peer_ready(&feed);
    peer_ready(&slow);
    assert_memory_not_equal(feed.run, slow.run, WIRE_RUN_LEN);
}

static void
the_end_of_a_run_that_is_not_the_current_one_ends_nothing(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    uint8_t run[WIRE_RUN_LEN], other[WIRE_RUN_LEN] = {1};

    peer_done(&p, other);
    assert_true(said_error(w, p.conn, WIRE_R_NO_RUN));
    peer_ready(&p);
    memcpy(run, p.run, sizeof(run));
    world_forget(w);
    peer_done(&p, other);
    assert_true(said_error(w, p.conn, WIRE_R_NO_RUN));
    assert_false(said_last(w, p.conn, WIRE_ERROR)->fatal);
    peer_ready(&p);
    assert_memory_equal(p.run, run, sizeof(run));
}

static void
a_gateway_that_was_restarted_adopts_the_run_that_a_hello_declares(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    uint8_t run[WIRE_RUN_LEN];

    peer_ready(&p);
    memcpy(run, p.run, sizeof(run));
    world_restart(w);
    peer_reconnects(&p);
    assert_true(peer_hello(&p));
    peer_ready(&p);
    assert_memory_equal(p.run, run, sizeof(run));
}

static void
a_run_that_a_ping_declares_is_adopted_too(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    const uint8_t run[WIRE_RUN_LEN] = {7};

    p.has_run = true;
    memcpy(p.run, run, sizeof(run));
    peer_ping(&p);
    assert_int_equal(said_count(w, p.conn, WIRE_PERMIT), 0);
    peer_ready(&p);
    assert_memory_equal(p.run, run, sizeof(run));
}

static void
a_ping_with_another_run_is_told_that_it_was_superseded_and_ready_brings_the_current_one(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    uint8_t run[WIRE_RUN_LEN];

    peer_ready(&p);
    memcpy(run, p.run, sizeof(run));
    world_forget(w);
    peer_ping(&p);
    assert_int_equal(said_count(w, p.conn, WIRE_PERMIT), 0);
    p.run[3] ^= 1;
    peer_ping(&p);
    assert_int_equal(said_last(w, p.conn, WIRE_STOP)->reason, WIRE_R_SUPERSEDED);
    peer_ready(&p);
    assert_memory_equal(p.run, run, sizeof(run));
}

static void
a_ping_without_the_run_that_is_under_way_is_told_of_it(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_ready(&p);
    world_forget(w);
    p.has_run = false;
    peer_ping(&p);
    assert_memory_equal(said_last(w, p.conn, WIRE_PERMIT)->run, p.run, sizeof(p.run));
}

static void
the_end_of_a_run_is_answered_when_it_is_on_the_disk_and_not_before(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_ready(&p);
    w->slow_disk = true;
    peer_done(&p, p.run);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 0);
    assert_false(row_last(w, "feed")->has_run);
    disk_answers(w, true);
    assert_memory_equal(said_last(w, p.conn, WIRE_HOLD)->run, p.run, sizeof(p.run));
}

static void
who_is_quicker_than_the_disk_has_one_row_on_its_way_and_the_last_one_counts(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    w->slow_disk = true;
    for (int i = 0; i < 50; i++) {
        peer_ready(&p);
        peer_done(&p, p.run);
    }
    assert_int_equal(w->n_rows, 1);
    assert_true(row_last(w, "feed")->has_run);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 0);
    disk_answers(w, true);
    assert_int_equal(w->n_rows, 2);
    assert_false(row_last(w, "feed")->has_run);
    assert_memory_equal(row_last(w, "feed")->ended, p.run, sizeof(p.run));
    assert_memory_equal(said_last(w, p.conn, WIRE_HOLD)->run, p.run, sizeof(p.run));
}

static void
what_the_disk_did_not_take_is_stored_at_the_next_save_whoever_is_there(void **state)
{
    const struct core_event pause = {.kind = CORE_OPERATOR, .u.operator = {"slow", CORE_PAUSE}};
    struct world *w = *state;

    w->slow_disk = true;
    world_step(w, &pause);
    disk_answers(w, false);
    assert_int_equal(w->n_rows, 1);
    world_kind(w, CORE_SAVE);
    assert_int_equal(w->n_rows, 2);
    assert_true(row_last(w, "slow")->paused);
    world_kind(w, CORE_SAVE); /* it is on its way */
    disk_answers(w, true);
    world_kind(w, CORE_SAVE);
    assert_int_equal(w->n_rows, 2);
}

static void
an_end_that_the_disk_did_not_take_is_answered_once_it_did(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_ready(&p);
    w->slow_disk = true;
    peer_done(&p, p.run);
    disk_answers(w, false);
    peer_done(&p, p.run);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 0);
    world_kind(w, CORE_SAVE);
    disk_answers(w, true);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 1);
    assert_memory_equal(said_last(w, p.conn, WIRE_HOLD)->run, p.run, sizeof(p.run));
}

/* Each minute; and held, it waits for another one. */
static void
asks_by_the_minute(struct peer *p)
{
    struct wire_msg m = {.type = WIRE_READY, .schedule = WIRE_S_PERIOD, .period_ms = 60000};
    const struct core_event e = {.kind = CORE_MESSAGE, .u.message = {.conn = p->conn, .msg = &m}};

    m.resume = WIRE_RESUME_SCHEDULE;
    m.has = 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD | 1ULL << WIRE_F_SCHEDULE | 1ULL << WIRE_F_PERIOD_MS |
            1ULL << WIRE_F_RESUME;
    world_step(p->w, &e);
    world_turn(p->w);
}

static void
who_waits_for_a_period_before_its_first_run_does_not_shorten_that_by_asking_again(void **state)
{
    const struct core_event pause = {.kind = CORE_OPERATOR, .u.operator = {"feed", CORE_PAUSE}};
    const struct core_event resume = {.kind = CORE_OPERATOR, .u.operator = {"feed", CORE_RESUME}};
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    uint32_t rows;

    world_step(w, &pause);
    asks_by_the_minute(&p);
    rows = w->n_rows;
    world_pass(w, 1000000);
    for (int i = 0; i < 10; i++)
        asks_by_the_minute(&p);
    assert_int_equal(w->n_rows, rows);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 11); /* each is answered */
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->next_ms, 59000);
    world_step(w, &resume);
    asks_by_the_minute(&p);
    assert_int_equal(said_count(w, p.conn, WIRE_PERMIT), 0);
    world_pass(w, 59000000);
    assert_int_equal(said_count(w, p.conn, WIRE_PERMIT), 1);
}

static void
the_row_of_a_run_that_begins_may_wait_and_that_of_its_end_may_not(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    uint8_t run[WIRE_RUN_LEN];

    peer_ready(&p);
    memcpy(run, p.run, sizeof(run));
    assert_int_equal(w->n_rows, 1);
    assert_true(w->rows[0].later && w->rows[0].row.has_run);
    peer_done(&p, run);
    assert_int_equal(w->n_rows, 2);
    assert_false(w->rows[1].later || w->rows[1].row.has_run);
}

static void
a_new_program_has_no_run_yet(void **state)
{
    struct world *w = *state;
    struct peer old = peer_welcomed(w, "feed"), new;

    peer_ready(&old);
    assert_true(row_last(w, "feed")->has_run);
    new = peer_welcomed(w, "feed");
    assert_false(row_last(w, "feed")->has_run);
    assert_int_equal(row_last(w, "feed")->last_run_us, 0); /* the one before was lost, and did not happen */
    assert_int_equal(said_count(w, new.conn, WIRE_PERMIT), 0);
}

static void
a_run_that_was_given_up_is_never_the_one_that_ended_last(void **state)
{
    struct world *w = *state;
    struct peer old = peer_welcomed(w, "feed"), new;

    peer_ready(&old);
    new = peer_welcomed(w, "feed");
    assert_false(row_last(w, "feed")->has_ended);
    peer_ready(&new);
    assert_true(row_last(w, "feed")->has_run); /* another is under way, */
    assert_false(row_last(w, "feed")->has_ended); /* and the first has no end by that */
    peer_done(&new, new.run);
    assert_true(row_last(w, "feed")->has_ended);
    assert_memory_equal(row_last(w, "feed")->ended, new.run, sizeof(new.run));
}

/* The gateway is killed after a new program was given a run, and before its epoch was marked. */
static void
a_run_is_not_given_to_the_program_that_was_replaced(void **state)
{
    struct world *w = *state;
    struct peer old, new;
    struct core_event e = {.kind = CORE_ROW};

    old = peer_welcomed(w, "feed");
    world_kind(w, CORE_SAVE);
    new = peer_welcomed(w, "feed");
    peer_ready(&new);
    e.u.row = *row_last(w, "feed");
    e.u.row.id = "feed";
    assert_true(e.u.row.has_run);
    assert_int_equal(e.u.row.epoch, new.epoch);
    world_restart(w);
    world_step(w, &e);
    peer_reconnects(&old);
    old.fresh = false;
    assert_false(peer_hello(&old));
    assert_int_equal(said_last(w, old.conn, WIRE_STOP)->reason, WIRE_R_REPLACED);
    peer_reconnects(&new);
    assert_true(peer_hello(&new));
    broker_up(w, 0);
    peer_ready(&new);
    assert_memory_equal(said_last(w, new.conn, WIRE_PERMIT)->run, e.u.row.run, WIRE_RUN_LEN);
}

/* The other way round: the new program's epoch is on disk, and its row is not. */
static void
a_run_of_a_program_that_was_replaced_is_not_given_to_the_one_that_came(void **state)
{
    struct world *w = *state;
    struct peer old, new, other;
    struct core_event e = {.kind = CORE_ROW};

    old = peer_welcomed(w, "feed");
    peer_ready(&old);
    e.u.row = *row_last(w, "feed");
    e.u.row.id = "feed";
    new = peer_welcomed(w, "feed");
    world_kind(w, CORE_SAVE);
    world_restart(w);
    world_step(w, &e);
    broker_up(w, 0);
    other = peer_welcomed(w, "slow");
    peer_ready(&other); /* it takes the first random id, which was the old one's */
    peer_reconnects(&new);
    assert_true(peer_hello(&new));
    peer_ready(&new);
    world_turn(w);
    assert_memory_not_equal(said_last(w, new.conn, WIRE_PERMIT)->run, e.u.row.run, WIRE_RUN_LEN);
}

/* --- draining --- */

static void
while_the_gateway_drains_there_is_no_permit_but_a_hold_that_says_why(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    world_kind(w, CORE_DRAIN);
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons, WIRE_HOLD_DRAINING);
    world_forget(w);
    peer_ready(&p);
    world_turn(w);
    assert_int_equal(said_count(w, p.conn, WIRE_PERMIT), 0);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons, WIRE_HOLD_DRAINING);
}

static void
while_the_gateway_drains_credit_that_is_out_may_be_used_and_is_answered_for(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    uint64_t credit;

    peer_asks(&p, 4096, 4096);
    credit = p.credit;
    assert_true(credit >= 4096);
    world_kind(w, CORE_DRAIN);
    peer_sends(&p, 4096);
    broker_confirms(&p, 1);
    peer_asks(&p, MIB, MIB);
    assert_int_equal(said_ack(w, p.conn), 1);
    assert_int_equal(p.credit, credit);
}

/* --- reloads --- */

static const struct core_connector without_slow[] = {{.id = "feed", .target = 1},
                                                     {.id = "ordered", .target = 3, .publisher = 1, .ordered = true}};

static void
a_reload_lets_in_who_was_added(void **state)
{
    struct world *w = *state;
    const struct core_connector list[] = {{.id = "feed", .target = 1}, {.id = "added", .target = 7}};
    struct peer p = peer_new(w, "added");

    assert_false(peer_hello(&p));
    world_configure(w, list, 2, NULL);
    assert_true(peer_hello(&p));
    peer_pushes(&p, 10);
    assert_int_equal(broker_newest(w)->target, 7);
}

static void
a_reload_ends_who_was_taken_out_and_forwards_what_it_left(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "slow");

    peer_asks(&p, 400000, 200000);
    broker_down(w, 0);
    peer_sends(&p, 200000);
    peer_chunk(&p, 2, 200000, 0, WORLD_CHUNK);
    world_forget(w);
    world_configure(w, without_slow, 2, NULL);
    assert_true(said_error(w, p.conn, WIRE_R_UNKNOWN_ID));
    assert_true(said_last(w, p.conn, WIRE_ERROR)->fatal);
    assert_true(was_forgotten(w, p.conn));
    assert_int_equal(w->n_freed, 1); /* the half bundle */
    broker_up(w, 0);
    assert_true(broker_has(&p, 1));
    broker_confirms(&p, 1);
    assert_int_equal(figures(w).held, 0);
    peer_reconnects(&p);
    assert_false(peer_hello(&p));
}

static void
who_comes_back_by_a_reload_goes_on_where_it_was(void **state)
{
    struct world *w = *state;
    const struct core_connector list[] = {{.id = "slow", .target = 2}};
    struct peer p = peer_welcomed(w, "slow");

    peer_pushes(&p, 10);
    broker_confirms(&p, 1);
    world_configure(w, without_slow, 2, NULL);
    world_configure(w, list, 1, NULL);
    peer_reconnects(&p);
    assert_true(peer_hello(&p));
    assert_int_equal(p.next, 2);
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 1);
}

/* A reload with as many connectors as settings may have, of this name and a number. */
static void
reload_named(struct world *w, char name, uint32_t n)
{
    struct core_connector *list = calloc(n, sizeof(*list));

    assert_non_null(list);
    for (uint32_t i = 0; i < n; i++)
        snprintf(list[i].id, sizeof(list[i].id), "%c%u", name, i);
    world_configure(w, list, n, NULL);
    free(list);
}

static void
a_reload_that_finds_no_room_for_all_changes_nothing(void **state)
{
    struct world *w = *state;
    struct peer p;

    w->unchecked = true;
    reload_named(w, 'a', CORE_CONNECTORS_MAX / 2);
    assert_true(core_configured(w->core, "a0"));
    p = peer_welcomed(w, "a0");
    reload_named(w, 'b', CORE_CONNECTORS_MAX / 2); /* with those of before it is too much */
    assert_false(core_configured(w->core, "b0"));
    assert_true(core_configured(w->core, "a0"));
    assert_false(was_forgotten(w, p.conn));
    peer_pushes(&p, 10);
    assert_non_null(broker_newest(w));
}

static void
a_reload_leaves_who_stays_connected(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    world_forget(w);
    world_configure(w, without_slow, 2, NULL);
    assert_true(said_nothing(w, p.conn));
    assert_string_equal(core_connector_of(w->core, p.conn), "feed");
}

static void
who_is_taken_out_where_unknown_ones_are_accepted_stays_with_the_default_target(void **state)
{
    struct world *w = *state;
    const struct core_connector unknown = {.id = "", .target = 9};
    struct peer p = peer_welcomed(w, "slow");

    world_configure(w, without_slow, 2, &unknown);
    assert_string_equal(core_connector_of(w->core, p.conn), "slow");
    peer_pushes(&p, 10);
    assert_int_equal(broker_newest(w)->target, 9);
}

static void
a_reload_that_moves_a_connector_to_another_publisher_moves_what_waits(void **state)
{
    struct world *w = *state;
    const struct core_connector list[] = {{.id = "feed", .target = 5, .publisher = 1}};
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, 2048, 1024);
    peer_sends(&p, 1024);
    broker_blocked(w, 0, true);
    peer_sends(&p, 1024);
    assert_int_equal(w->n_posted, 1);
    world_configure(w, list, 1, NULL);
    assert_int_equal(w->n_posted, 2);
    assert_int_equal(broker_newest(w)->publisher, 1);
    assert_int_equal(broker_newest(w)->target, 5);
    assert_int_equal(broker_newest(w)->seq, 2);
    broker_down(w, 0); /* the first is still there, and comes to the new one */
    assert_int_equal(w->n_posted, 3);
    assert_int_equal(broker_newest(w)->publisher, 1);
    assert_int_equal(broker_newest(w)->seq, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_ready_gets_a_permit_with_a_lease_of_three_pings),
        TEST(who_asks_again_gets_the_run_that_is_current),
        TEST(after_done_the_next_run_is_another_one),
        TEST(two_connectors_have_two_runs),
        TEST(the_end_of_a_run_that_is_not_the_current_one_ends_nothing),
        TEST(a_gateway_that_was_restarted_adopts_the_run_that_a_hello_declares),
        TEST(a_run_that_a_ping_declares_is_adopted_too),
        TEST(a_ping_with_another_run_is_told_that_it_was_superseded_and_ready_brings_the_current_one),
        TEST(a_ping_without_the_run_that_is_under_way_is_told_of_it),
        TEST(the_end_of_a_run_is_answered_when_it_is_on_the_disk_and_not_before),
        TEST(who_is_quicker_than_the_disk_has_one_row_on_its_way_and_the_last_one_counts),
        TEST(what_the_disk_did_not_take_is_stored_at_the_next_save_whoever_is_there),
        TEST(an_end_that_the_disk_did_not_take_is_answered_once_it_did),
        TEST(who_waits_for_a_period_before_its_first_run_does_not_shorten_that_by_asking_again),
        TEST(the_row_of_a_run_that_begins_may_wait_and_that_of_its_end_may_not),
        TEST(a_new_program_has_no_run_yet),
        TEST(a_run_that_was_given_up_is_never_the_one_that_ended_last),
        TEST(a_run_is_not_given_to_the_program_that_was_replaced),
        TEST(a_run_of_a_program_that_was_replaced_is_not_given_to_the_one_that_came),
        TEST(while_the_gateway_drains_there_is_no_permit_but_a_hold_that_says_why),
        TEST(while_the_gateway_drains_credit_that_is_out_may_be_used_and_is_answered_for),
        TEST(a_reload_lets_in_who_was_added),
        TEST(a_reload_ends_who_was_taken_out_and_forwards_what_it_left),
        TEST(who_comes_back_by_a_reload_goes_on_where_it_was),
        TEST(a_reload_that_finds_no_room_for_all_changes_nothing),
        TEST(a_reload_leaves_who_stays_connected),
        TEST(who_is_taken_out_where_unknown_ones_are_accepted_stays_with_the_default_target),
        TEST(a_reload_that_moves_a_connector_to_another_publisher_moves_what_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
