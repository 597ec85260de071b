/* core_posting_test.c - bundles at the publishers: order, nacks of the broker, lost connections, alarms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core_world.h"

static struct peer
with_posted(struct world *w, const char *id, uint64_t n)
{
    struct peer p = peer_welcomed(w, id);

    for (uint64_t i = 0; i < n; i++)
        peer_pushes(&p, 100);
    world_turn(w);
    return p;
}

/* Were the bundles from `first` to `last` posted in order, and nothing else, since the from-th posting? */
static void
assert_posted(const struct world *w, uint32_t from, uint64_t first, uint64_t last)
{
    assert_int_equal(w->n_posted - from, last - first + 1);
    for (uint64_t seq = first; seq <= last; seq++)
        assert_int_equal(w->posted[from + seq - first].seq, seq);
}

/* --- order --- */

static void
bundles_are_posted_in_order_without_waiting_for_each_other(void **state)
{
    struct world *w = *state;

    with_posted(w, "feed", 5);
    assert_posted(w, 0, 1, 5);
}

static void
an_ordered_connector_has_one_bundle_at_the_broker(void **state)
{
    struct world *w = *state;
    struct peer p = with_posted(w, "ordered", 3);

    assert_posted(w, 0, 1, 1);
    assert_int_equal(w->posted[0].publisher, 1);
    broker_confirms(&p, 1);
    assert_posted(w, 0, 1, 2);
    broker_refuses(&p, 2, WIRE_R_UNROUTABLE, NULL);
    assert_posted(w, 0, 1, 3);
}

static void
an_ordered_bundle_that_the_broker_nacked_comes_before_those_behind_it(void **state)
{
    struct world *w = *state;
    struct peer p = with_posted(w, "ordered", 3);

    broker_nacks(&p, 1);
    peer_pushes(&p, 100);
    assert_int_equal(w->n_posted, 1);
    world_pass(w, SECOND);
    assert_int_equal(w->n_posted, 2);
    assert_int_equal(broker_newest(w)->seq, 1);
    broker_confirms(&p, 1);
    assert_int_equal(broker_newest(w)->seq, 2);
}

/* --- nacks of the broker --- */

static void
a_bundle_that_the_broker_nacked_is_posted_again_after_a_wait(void **state)
{
    struct world *w = *state;
    struct peer p = with_posted(w, "feed", 1);
    int64_t due;

    broker_nacks(&p, 1);
    world_turn(w);
    due = core_due(w->core);
    assert_in_range(due - w->now, 50000, 100000);
    world_pass(w, due - w->now - 1);
    assert_int_equal(times_posted(&p, 1), 1);
    world_pass(w, 1);
    assert_int_equal(times_posted(&p, 1), 2);
    assert_int_equal(broker_newest(w)->epoch, p.epoch);
    assert_int_equal(figures(w).retried, 1);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 0);
    broker_confirms(&p, 1);
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 1);
}

static void
the_wait_grows_with_nacks_in_a_row_up_to_half_a_minute_and_a_confirm_ends_that(void **state)
{
    struct world *w = *state;
    struct peer p = with_posted(w, "feed", 1);
    int64_t wait = 0;

    for (int i = 0; i < 15; i++) {
        int64_t limit = i < 9 ? 100000LL << i : 30LL * SECOND;

        if (limit > 30LL * SECOND)
            limit = 30LL * SECOND;
        broker_nacks(&p, 1);
        peer_ping(&p);
        wait = core_due(w->core) - w->now;
        assert_in_range(wait, limit / 2, limit);
        world_pass(w, wait);
        assert_true(broker_has(&p, 1));
    }
    assert_true(wait >= 15LL * SECOND);
    broker_confirms(&p, 1);
    peer_pushes(&p, 100);
    broker_nacks(&p, 2);
    assert_in_range(core_due(w->core) - w->now, 50000, 100000);
}

static void
nacks_of_one_batch_share_one_wait_and_keep_their_order(void **state)
{
    struct world *w = *state;
    struct peer p = with_posted(w, "feed", 4);
    int64_t due;

    broker_nacks(&p, 3);
    due = core_due(w->core);
    broker_nacks(&p, 1);
    assert_int_equal(core_due(w->core), due);
    broker_confirms(&p, 2);
    peer_pushes(&p, 100); /* 5: behind those that wait */
    assert_int_equal(w->n_posted, 4);
    world_pass(w, SECOND);
    assert_int_equal(w->n_posted, 7);
    assert_int_equal(w->posted[4].seq, 1);
    assert_int_equal(w->posted[5].seq, 3);
    assert_int_equal(w->posted[6].seq, 5);
}

static void
a_nack_of_one_connector_holds_up_no_other(void **state)
{
    struct world *w = *state;
    struct peer feed = with_posted(w, "feed", 1), slow = with_posted(w, "slow", 1);

    broker_nacks(&feed, 1);
    peer_pushes(&slow, 100);
    assert_true(broker_has(&slow, 2));
}

static void
two_waits_end_each_at_its_time(void **state)
{
    struct world *w = *state;
    struct peer feed = with_posted(w, "feed", 1), slow = with_posted(w, "slow", 1);

    broker_nacks(&feed, 1);
    w->now += 200000;
    broker_nacks(&slow, 1);
    world_turn(w);
    assert_true(broker_has(&feed, 1));
    assert_false(broker_has(&slow, 1));
    world_pass(w, 100000);
    assert_true(broker_has(&slow, 1));
}

/* --- connections --- */

static void
nothing_is_posted_while_a_publisher_is_down(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, 2048, 1024);
    broker_down(w, 0);
    peer_sends(&p, 100);
    assert_int_equal(w->n_posted, 0);
    broker_up(w, 0);
    assert_posted(w, 0, 1, 1);
}

static void
what_was_at_a_lost_connection_is_posted_again_in_order_for_the_new_session(void **state)
{
    struct world *w = *state;
    struct peer p = with_posted(w, "feed", 4);
    const uint32_t session = broker_newest(w)->session;

    broker_confirms(&p, 2);
    broker_down(w, 0);
    assert_int_equal(figures(w).retried, 3);
    world_turn(w);
    assert_int_equal(w->n_posted, 4);
    broker_up(w, 0);
    assert_int_equal(w->n_posted, 7);
    assert_int_equal(w->posted[4].seq, 1);
    assert_int_equal(w->posted[5].seq, 3);
    assert_int_equal(w->posted[6].seq, 4);
    assert_int_equal(w->posted[6].epoch, p.epoch);
    assert_int_equal(w->posted[6].session, session + 2); /* publisher 1 took the one between */
}

static void
a_lost_connection_leaves_those_of_other_publishers_alone(void **state)
{
    struct world *w = *state;
    struct peer p = with_posted(w, "ordered", 1);

    with_posted(w, "feed", 1);
    broker_down(w, 0);
    assert_true(broker_has(&p, 1));
    broker_up(w, 0);
    assert_int_equal(times_posted(&p, 1), 1);
}

static void
a_connection_that_is_lost_twice_posts_once_for_each_session(void **state)
{
    struct world *w = *state;
    struct peer p = with_posted(w, "feed", 1);

    broker_down(w, 0);
    broker_down(w, 0);
    broker_up(w, 0);
    broker_down(w, 0);
    broker_up(w, 0);
    assert_int_equal(times_posted(&p, 1), 3);
    broker_confirms(&p, 1);
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 1);
}

static void
a_connection_that_is_lost_during_a_wait_does_not_shorten_it(void **state)
{
    struct world *w = *state;
    struct peer p = with_posted(w, "feed", 1);

    broker_nacks(&p, 1);
    broker_down(w, 0);
    broker_up(w, 0);
    assert_false(broker_has(&p, 1));
    world_pass(w, SECOND);
    assert_true(broker_has(&p, 1));
}

static void
an_alarm_holds_what_comes_and_leaves_what_is_there(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, 4096, 1024);
    peer_sends(&p, 100);
    broker_blocked(w, 0, true);
    peer_sends(&p, 100);
    peer_sends(&p, 100);
    assert_posted(w, 0, 1, 1);
    broker_confirms(&p, 1); /* RabbitMQ still confirms what it has */
    assert_int_equal(w->n_posted, 1);
    broker_blocked(w, 0, false);
    assert_posted(w, 0, 1, 3);
}

static void
a_new_connection_is_not_blocked(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    broker_blocked(w, 0, true);
    broker_down(w, 0);
    broker_up(w, 0);
    peer_pushes(&p, 100);
    assert_true(broker_has(&p, 1));
}

static void
the_gateway_can_publish_while_one_publisher_is_up_and_not_blocked(void **state)
{
    struct world *w = *state;

    assert_true(figures(w).can_publish);
    broker_down(w, 0);
    assert_true(figures(w).can_publish);
    broker_blocked(w, 1, true);
    assert_false(figures(w).can_publish);
    broker_up(w, 0);
    assert_true(figures(w).can_publish);
}

static void
whole_bundles_go_on_when_their_author_is_gone(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, 2048, 1024);
    broker_down(w, 0);
    peer_sends(&p, 100);
    peer_says(&p, WIRE_BYE);
    broker_up(w, 0);
    assert_true(broker_has(&p, 1));
    broker_confirms(&p, 1);
    assert_int_equal(figures(w).held, 0);
    world_kind(w, CORE_SAVE);
    assert_int_equal(w->marks[w->n_marks - 1].answered, 1);
}

static void
results_for_what_is_not_there_are_ignored(void **state)
{
    struct world *w = *state;
    struct peer p = with_posted(w, "feed", 1);
    const struct core_figures before = figures(w);
    static const enum core_event_kind kinds[] = {CORE_CONFIRMED, CORE_RETRY, CORE_REFUSED};

    for (int i = 0; i < 3; i++)
        for (uint32_t slot = 1; slot < 1000; slot += 998) {
            struct core_event e = {.kind = kinds[i]};

            e.u.result.slot = slot;
            world_step(w, &e);
        }
    world_step(w, &(struct core_event){.kind = CORE_DOWN, .u.broker = {.publisher = 99}});
    assert_int_equal(figures(w).held, before.held);
    assert_int_equal(figures(w).nacked, 0);
    assert_true(broker_has(&p, 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bundles_are_posted_in_order_without_waiting_for_each_other),
        TEST(an_ordered_connector_has_one_bundle_at_the_broker),
        TEST(an_ordered_bundle_that_the_broker_nacked_comes_before_those_behind_it),
        TEST(a_bundle_that_the_broker_nacked_is_posted_again_after_a_wait),
        TEST(the_wait_grows_with_nacks_in_a_row_up_to_half_a_minute_and_a_confirm_ends_that),
        TEST(nacks_of_one_batch_share_one_wait_and_keep_their_order),
        TEST(a_nack_of_one_connector_holds_up_no_other),
        TEST(two_waits_end_each_at_its_time),
        TEST(nothing_is_posted_while_a_publisher_is_down),
        TEST(what_was_at_a_lost_connection_is_posted_again_in_order_for_the_new_session),
        TEST(a_lost_connection_leaves_those_of_other_publishers_alone),
        TEST(a_connection_that_is_lost_twice_posts_once_for_each_session),
        TEST(a_connection_that_is_lost_during_a_wait_does_not_shorten_it),
        TEST(an_alarm_holds_what_comes_and_leaves_what_is_there),
        TEST(a_new_connection_is_not_blocked),
        TEST(the_gateway_can_publish_while_one_publisher_is_up_and_not_blocked),
        TEST(whole_bundles_go_on_when_their_author_is_gone),
        TEST(results_for_what_is_not_there_are_ignored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
