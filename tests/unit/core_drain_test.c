/* core_drain_test.c - back from the spool: read ahead, posted in order before what came later, released, buried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core_world.h"

/* "feed" has n bundles of this epoch in the spool, from position 1 and sequence 1 on; its publisher is up. */
static struct peer
with_stream(struct world *w, uint64_t n)
{
    const struct core_connector list[] = {{.id = "feed", .target = 1, .spool_limit = MIB}};
    struct peer p;

    world_configure(w, list, 1, NULL);
    p = peer_new(w, "feed");
    spool_found(w, "feed", 1, n, p.epoch, n);
    p.fresh = false;
    p.next = n + 1;
    p.seen = n;
    assert_true(peer_hello(&p));
    return p;
}

static void
what_is_in_the_spool_is_posted_in_order_and_released_when_it_is_confirmed(void **state)
{
    struct world *w = *state;
    struct peer p = with_stream(w, 3);

    spool_gives(w, 1, p.epoch, 1, 3);
    assert_int_equal(w->n_posted, 3);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        assert_int_equal(w->posted[seq - 1].seq, seq);
        assert_int_equal(w->posted[seq - 1].epoch, p.epoch);
    }
    broker_confirms(&p, 1);
    assert_int_equal(errand_last(w, CORE_RELEASE)->pos, 1);
    assert_int_equal(figures(w).spooled, 2);
}

static void
nothing_goes_direct_before_the_stream_is_posted(void **state)
{
    struct world *w = *state;
    struct peer p = with_stream(w, 2);

    peer_pushes(&p, 100);
    world_turn(w);
    assert_int_equal(w->n_posted, 0);
    spool_gives(w, 1, p.epoch, 1, 2);
    assert_int_equal(w->n_posted, 3);
    assert_int_equal(w->posted[2].seq, 3);
    assert_int_equal(errands(w, CORE_SPOOL), 0); /* the stream was nearly empty: back to direct without a gap */
}

static void
what_came_back_from_a_lost_connection_is_posted_again_in_order(void **state)
{
    struct world *w = *state;
    struct peer p = with_stream(w, 2);

    spool_gives(w, 1, p.epoch, 1, 2);
    broker_down(w, 0);
    broker_up(w, 0);
    world_turn(w);
    assert_int_equal(w->n_posted, 4);
    assert_int_equal(w->posted[2].seq, 1);
    assert_int_equal(w->posted[3].seq, 2);
}

static void
what_the_broker_refuses_now_is_buried_and_the_others_flow_on(void **state)
{
    struct world *w = *state;
    struct peer p = with_stream(w, 2);

    spool_gives(w, 1, p.epoch, 1, 2);
    broker_refuses(&p, 1, WIRE_R_UNROUTABLE, "no queue is bound");
    assert_int_equal(errand_last(w, CORE_BURY)->pos, 1);
    broker_confirms(&p, 2);
    assert_int_equal(figures(w).spooled, 1);
    spool_answers(w, errand_last(w, CORE_BURY), true, 0);
    assert_int_equal(figures(w).spooled, 0);
    assert_int_equal(said_nacks(w, p.conn), 0);
}

static void
a_grave_that_was_not_dug_is_dug_again(void **state)
{
    struct world *w = *state;
    struct peer p = with_stream(w, 1);

    spool_gives(w, 1, p.epoch, 1, 1);
    broker_refuses(&p, 1, WIRE_R_UNROUTABLE, NULL);
    spool_answers(w, errand_last(w, CORE_BURY), false, 0);
    world_pass(w, 5 * SECOND);
    assert_int_equal(errands(w, CORE_BURY), 2);
}

static void
nothing_is_read_while_the_publisher_is_away(void **state)
{
    struct world *w = *state;

    broker_down(w, 0);
    with_stream(w, 2);
    world_turn(w);
    assert_int_equal(errands(w, CORE_FETCH), 0);
    broker_up(w, 0);
    world_turn(w);
    assert_int_equal(errands(w, CORE_FETCH), 1);
}

static void
who_is_not_configured_keeps_its_stream(void **state)
{
    struct world *w = *state;
    struct core_status s;
    uint32_t number;

    spool_found(w, "gone", 4, 2, 9, 9);
    assert_int_equal(errands(w, CORE_FETCH), 0);
    assert_true(core_number(w->core, "gone", &number) && core_status(w->core, number, &s));
    assert_false(s.configured);
    assert_int_equal(s.spooled, 2);
    assert_int_equal(s.spooled_bytes, 200);
    assert_int_equal(s.oldest, 4);
}

static void
a_disk_that_gives_nothing_is_asked_again(void **state)
{
    struct world *w = *state;
    struct peer p = with_stream(w, 1);
    const struct core_event none = {.kind = CORE_FETCH_END, .u.fetch_end = {0, 1}};

    world_step(w, &none);
    world_turn(w);
    assert_int_equal(errands(w, CORE_FETCH), 1);
    world_pass(w, 2 * SECOND);
    assert_int_equal(errands(w, CORE_FETCH), 2);
    spool_gives(w, 1, p.epoch, 1, 1);
    assert_int_equal(w->n_posted, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_in_the_spool_is_posted_in_order_and_released_when_it_is_confirmed),
        TEST(nothing_goes_direct_before_the_stream_is_posted),
        TEST(what_came_back_from_a_lost_connection_is_posted_again_in_order),
        TEST(what_the_broker_refuses_now_is_buried_and_the_others_flow_on),
        TEST(a_grave_that_was_not_dug_is_dug_again),
        TEST(nothing_is_read_while_the_publisher_is_away),
        TEST(who_is_not_configured_keeps_its_stream),
        TEST(a_disk_that_gives_nothing_is_asked_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
