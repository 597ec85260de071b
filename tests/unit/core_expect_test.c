/* core_expect_test.c - where a connector goes on after a reconnect, a restart, a loss: rule 3 of the protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core_world.h"

static void
after_a_reconnect_it_goes_on_where_the_gateway_stands(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_pushes(&p, 100);
    peer_pushes(&p, 100);
    peer_asks(&p, 200000, 200000);
    peer_chunk(&p, 3, 200000, 0, WORLD_CHUNK); /* half of the third */
    peer_reconnects(&p);
    assert_true(peer_hello(&p));
    assert_int_equal(p.next, 3);
}

static void
after_a_restart_of_the_gateway_it_goes_on_behind_the_mark(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    for (uint64_t seq = 1; seq <= 3; seq++) {
        peer_pushes(&p, 100);
        if (seq < 3)
            broker_confirms(&p, seq);
    }
    world_kind(w, CORE_SAVE);
    world_restart(w);
    peer_reconnects(&p);
    p.seen = 1;
    assert_true(peer_hello(&p));
    assert_int_equal(p.next, 3);
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 2); /* what was answered for is answered again */
}

static void
a_gateway_that_knows_less_than_the_connector_has_seen_believes_it(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w, "feed");

    p.fresh = false;
    p.seen = 17;
    assert_true(peer_hello(&p));
    assert_int_equal(p.next, 18);
    assert_int_equal(peer_pushes(&p, 100), 18);
    broker_confirms(&p, 18);
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 18);
}

static void
a_gateway_that_lost_its_newest_marks_believes_the_connector(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_pushes(&p, 100);
    broker_confirms(&p, 1);
    world_kind(w, CORE_SAVE);
    for (uint64_t seq = 2; seq <= 5; seq++) {
        peer_pushes(&p, 100);
        broker_confirms(&p, seq);
    }
    world_restart(w); /* the mark says 1 */
    peer_reconnects(&p);
    p.seen = 5;
    assert_true(peer_hello(&p));
    assert_int_equal(p.next, 6);
    world_turn(w);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 0);
}

static void
a_mark_of_who_is_not_configured_counts_when_it_is(void **state)
{
    struct world *w = *state;
    const struct core_connector list[] = {{.id = "later", .target = 4}};
    struct core_event e = {.kind = CORE_MARK};
    struct peer p = peer_new(w, "later");

    e.u.mark.id = "later";
    e.u.mark.epoch = p.epoch;
    e.u.mark.answered = 41;
    world_step(w, &e);
    assert_false(peer_hello(&p));
    assert_true(said_error(w, p.conn, WIRE_R_UNKNOWN_ID));
    world_configure(w, list, 1, NULL);
    p.fresh = false;
    p.seen = 40;
    assert_true(peer_hello(&p));
    assert_int_equal(p.next, 42);
}

static void
a_mark_does_not_overrule_who_has_spoken_already(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    struct core_event e = {.kind = CORE_MARK};

    e.u.mark.id = "feed";
    e.u.mark.epoch = p.epoch + 5;
    e.u.mark.answered = 41;
    world_step(w, &e);
    assert_true(peer_hello(&p));
    assert_int_equal(p.next, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(after_a_reconnect_it_goes_on_where_the_gateway_stands),
        TEST(after_a_restart_of_the_gateway_it_goes_on_behind_the_mark),
        TEST(a_gateway_that_knows_less_than_the_connector_has_seen_believes_it),
        TEST(a_gateway_that_lost_its_newest_marks_believes_the_connector),
        TEST(a_mark_of_who_is_not_configured_counts_when_it_is),
        TEST(a_mark_does_not_overrule_who_has_spoken_already),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
