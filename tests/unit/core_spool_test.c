/* core_spool_test.c - to the spool: when a bundle goes there, what is answered and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core_world.h"

static void
configure(struct world *w, bool confirm)
{
    struct core_connector feed = {.id = "feed", .target = 1, .spool_limit = MIB};

    feed.confirm = confirm;
    feed.unanswered_max = MIB;
    world_configure(w, &feed, 1, NULL);
}

static struct peer
welcomed(struct world *w, bool confirm)
{
    configure(w, confirm);
    return peer_welcomed(w, "feed");
}

static void
while_the_way_is_open_nothing_is_spooled(void **state)
{
    struct world *w = *state;
    struct peer p = welcomed(w, false);

    peer_pushes(&p, 100);
    world_turn(w);
    assert_int_equal(errands(w, CORE_SPOOL), 0);
    assert_true(broker_has(&p, 1));
}

static void
a_bundle_is_acked_when_it_is_flushed_and_not_before(void **state)
{
    struct world *w = *state;
    struct peer p = welcomed(w, false);

    broker_down(w, 0);
    peer_pushes(&p, 100);
    world_turn(w);
    assert_int_equal(errands(w, CORE_SPOOL), 1);
    assert_int_equal(said_ack(w, p.conn), 0);
    spool_answers(w, errand_last(w, CORE_SPOOL), true, 7);
    assert_int_equal(said_ack(w, p.conn), 1);
    assert_int_equal(figures(w).spooled, 1);
    assert_int_equal(figures(w).held_bytes, 0);
}

static void
nothing_is_spooled_behind_a_bundle_that_is_at_a_publisher(void **state)
{
    struct world *w = *state;
    struct peer p = welcomed(w, false);

    peer_pushes(&p, 100);
    world_turn(w);
    broker_blocked(w, 0, true);
    peer_pushes(&p, 100);
    world_turn(w);
    assert_int_equal(errands(w, CORE_SPOOL), 0);
    broker_confirms(&p, 1);
    world_turn(w);
    assert_int_equal(errand_last(w, CORE_SPOOL)->seq, 2);
}

static void
after_one_failed_nothing_is_asked_before_all_have_failed(void **state)
{
    struct world *w = *state;
    struct peer p = welcomed(w, false);
    struct errand first, second;

    broker_down(w, 0);
    peer_pushes(&p, 100);
    peer_pushes(&p, 100);
    world_turn(w);
    assert_int_equal(errands(w, CORE_SPOOL), 2);
    first = w->errands[0];
    second = w->errands[1];
    assert_true(first.alone && !second.alone);
    spool_answers(w, &first, false, 0);
    world_pass(w, 10 * SECOND);
    assert_int_equal(errands(w, CORE_SPOOL), 2);
    spool_answers(w, &second, false, 0);
    world_pass(w, 10 * SECOND);
    assert_int_equal(errands(w, CORE_SPOOL), 4);
    assert_true(w->errands[2].alone && w->errands[2].seq == 1);
    assert_int_equal(said_nacks(w, p.conn), 0);
}

static void
a_full_spool_is_asked_for_nothing_and_gives_no_credit(void **state)
{
    struct world *w = *state;
    struct peer p = welcomed(w, false);

    broker_down(w, 0);
    spool_full(w, true);
    peer_asks(&p, 100, 100);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons & WIRE_HOLD_SPOOL_FULL, WIRE_HOLD_SPOOL_FULL);
    spool_full(w, false);
    peer_pushes(&p, 100);
    world_turn(w);
    assert_int_equal(errands(w, CORE_SPOOL), 1);
}

static void
what_was_found_is_known_and_answered_again(void **state)
{
    struct world *w = *state;
    struct peer p;

    configure(w, false);
    p = peer_new(w, "feed");
    spool_found(w, "feed", 3, 2, p.epoch, 5);
    p.fresh = false;
    assert_true(peer_hello(&p));
    assert_int_equal(said_last(w, p.conn, WIRE_WELCOME)->expect, 6);
}

static void
what_the_broker_refuses_is_a_dead_letter_and_said_so(void **state)
{
    struct world *w = *state;
    struct peer p = welcomed(w, false);

    peer_pushes(&p, 100);
    world_turn(w);
    broker_refuses(&p, 1, WIRE_R_UNROUTABLE, "no queue is bound");
    world_turn(w);
    assert_true(errand_last(w, CORE_SPOOL)->dead);
    assert_int_equal(errand_last(w, CORE_SPOOL)->reason, WIRE_R_UNROUTABLE);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 0);
    spool_answers(w, errand_last(w, CORE_SPOOL), true, 1);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->verdict, WIRE_ACK_DEAD);
    assert_int_equal(figures(w).dead, 1);
    assert_int_equal(figures(w).nacked, 0);
}

static void
a_dead_letter_that_the_spool_does_not_take_is_a_nack(void **state)
{
    struct world *w = *state;
    struct peer p = welcomed(w, false);

    peer_pushes(&p, 100);
    world_turn(w);
    broker_refuses(&p, 1, WIRE_R_UNROUTABLE, NULL);
    world_turn(w);
    spool_answers(w, errand_last(w, CORE_SPOOL), false, 0);
    assert_int_equal(said_nacks(w, p.conn), 1);
}

static void
with_confirm_a_spooled_bundle_is_acked_when_rabbitmq_has_it(void **state)
{
    struct world *w = *state;
    struct peer p = welcomed(w, true);

    broker_down(w, 0);
    peer_pushes(&p, 100);
    world_turn(w);
    spool_answers(w, errand_last(w, CORE_SPOOL), true, 1);
    assert_int_equal(said_ack(w, p.conn), 0);
    broker_up(w, 0);
    world_turn(w);
    spool_gives(w, 1, p.epoch, 1, 1);
    broker_confirms(&p, 1);
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 1);
}

static void
with_confirm_a_spooled_bundle_that_is_buried_is_said_to_be_dead(void **state)
{
    struct world *w = *state;
    struct peer p = welcomed(w, true);

    broker_down(w, 0);
    peer_pushes(&p, 100);
    world_turn(w);
    spool_answers(w, errand_last(w, CORE_SPOOL), true, 1);
    broker_up(w, 0);
    world_turn(w);
    spool_gives(w, 1, p.epoch, 1, 1);
    broker_refuses(&p, 1, WIRE_R_UNROUTABLE, "no queue is bound");
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 0);
    spool_answers(w, errand_last(w, CORE_BURY), true, 0);
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->verdict, WIRE_ACK_DEAD);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->reason, WIRE_R_UNROUTABLE);
    assert_int_equal(said_nacks(w, p.conn), 0);
}

/* RabbitMQ takes all directly: the disk is not needed, however full it is. */
static void
a_full_spool_holds_nobody_whose_way_is_open(void **state)
{
    struct world *w = *state;
    struct peer p = welcomed(w, false);

    spool_full(w, true);
    world_turn(w);
    peer_pushes(&p, 100);
    world_turn(w);
    assert_true(broker_has(&p, 1));
    broker_down(w, 0);
    peer_asks(&p, 400 * 1024, 400 * 1024);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons & WIRE_HOLD_SPOOL_FULL, WIRE_HOLD_SPOOL_FULL);
    assert_int_equal(errands(w, CORE_SPOOL), 0);
    broker_up(w, 0);
    peer_pushes(&p, 400 * 1024);
    assert_true(broker_has(&p, 2));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(while_the_way_is_open_nothing_is_spooled),
        TEST(a_full_spool_holds_nobody_whose_way_is_open),
        TEST(a_bundle_is_acked_when_it_is_flushed_and_not_before),
        TEST(nothing_is_spooled_behind_a_bundle_that_is_at_a_publisher),
        TEST(after_one_failed_nothing_is_asked_before_all_have_failed),
        TEST(a_full_spool_is_asked_for_nothing_and_gives_no_credit),
        TEST(what_was_found_is_known_and_answered_again),
        TEST(what_the_broker_refuses_is_a_dead_letter_and_said_so),
        TEST(a_dead_letter_that_the_spool_does_not_take_is_a_nack),
        TEST(with_confirm_a_spooled_bundle_is_acked_when_rabbitmq_has_it),
        TEST(with_confirm_a_spooled_bundle_that_is_buried_is_said_to_be_dead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
