/* core_takeover_test.c - one program takes the place of another: what the old one left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core_world.h"

static struct peer
feed_with_credit(struct world *w)
{
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, MIB, 150000);
    world_forget(w);
    return p;
}

static void
half_a_bundle_of_a_program_that_was_replaced_is_dropped(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_credit(w), new;

    peer_chunk(&p, 1, 150000, 0, WORLD_CHUNK);
    new = peer_welcomed(w, "feed");
    assert_int_equal(w->n_freed, 1);
    assert_int_equal(figures(w).held_bytes, 0);
    assert_int_equal(new.next, 1);
}

static void
what_was_at_a_publisher_for_a_program_that_was_replaced_is_answered_to_nobody(void **state)
{
    struct world *w = *state;
    struct peer old = feed_with_credit(w), new;

    peer_sends(&old, 100);
    new = peer_welcomed(w, "feed");
    assert_int_equal(figures(w).orphaned, 1);
    assert_int_equal(w->n_freed, 0); /* the publisher borrows its body */
    world_forget(w);
    broker_confirms(&old, 1);
    world_turn(w);
    assert_int_equal(w->n_freed, 1);
    assert_int_equal(said_count(w, new.conn, WIRE_VERDICT), 0);
    assert_int_equal(peer_pushes(&new, 100), 1);
    assert_int_equal(broker_newest(w)->epoch, new.epoch);
}

static void
orphans_end_with_whatever_their_publisher_says(void **state)
{
    struct world *w = *state;
    struct peer old = feed_with_credit(w), new;

    for (int i = 0; i < 3; i++)
        peer_sends(&old, 100);
    new = peer_welcomed(w, "feed");
    broker_nacks(&old, 1);
    broker_refuses(&old, 2, WIRE_R_UNROUTABLE, NULL);
    assert_int_equal(figures(w).held, 1);
    broker_down(w, 0);
    assert_int_equal(figures(w).held, 0);
    broker_up(w, 0);
    world_turn(w);
    assert_int_equal(times_posted(&old, 3), 1); /* nobody waits for it: it is not published again */
    assert_int_equal(said_count(w, new.conn, WIRE_VERDICT), 0);
}

static void
what_waited_for_a_program_that_was_replaced_is_dropped_at_once(void **state)
{
    struct world *w = *state;
    struct peer old = feed_with_credit(w);

    broker_down(w, 0);
    peer_sends(&old, 100);
    peer_welcomed(w, "feed");
    assert_int_equal(figures(w).held, 0);
    broker_up(w, 0);
    assert_int_equal(w->n_posted, 0);
}

static void
refusals_that_a_replaced_program_had_not_seen_are_forgotten(void **state)
{
    struct world *w = *state;
    struct peer old = feed_with_credit(w), new;

    peer_sends(&old, 100);
    broker_refuses(&old, 1, WIRE_R_REFUSED, "because");
    new = peer_welcomed(w, "feed");
    world_turn(w);
    assert_int_equal(said_nacks(w, new.conn), 0);
    assert_int_equal(figures(w).held_bytes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(half_a_bundle_of_a_program_that_was_replaced_is_dropped),
        TEST(what_was_at_a_publisher_for_a_program_that_was_replaced_is_answered_to_nobody),
        TEST(orphans_end_with_whatever_their_publisher_says),
        TEST(what_waited_for_a_program_that_was_replaced_is_dropped_at_once),
        TEST(refusals_that_a_replaced_program_had_not_seen_are_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
