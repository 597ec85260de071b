/* core_credit_test.c - who may push how much: rule 4 of the protocol, and that memory is never overdrawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core_world.h"

enum { KIB = 1024, MANY = 100 };

/* A world in which anybody is accepted. */
static struct world *
open_world(uint64_t memory, uint64_t max_bundle)
{
    const struct core_connector unknown = {.id = "", .target = 9};
    struct world *w = world_with(memory, max_bundle);

    broker_up(w, 0);
    broker_up(w, 1);
    world_configure(w, NULL, 0, &unknown);
    return w;
}

static struct peer
numbered(struct world *w, uint64_t n)
{
    char id[32];

    snprintf(id, sizeof(id), "c-%lu", (unsigned long)n);
    return peer_welcomed(w, id);
}

static uint64_t
left(const struct peer *p)
{
    return p->credit - p->spent;
}

/* Connectors push a bundle of size bytes each until one gets no credit; the broker has them all.  How many? */
static uint64_t
fill(struct world *w, struct peer *peers, uint64_t most, uint64_t size)
{
    for (uint64_t n = 0; n < most; n++) {
        peers[n] = numbered(w, n);
        peer_asks(&peers[n], size, size);
        if (left(&peers[n]) < size) {
            peer_says(&peers[n], WIRE_BYE);
            return n;
        }
        peers[n].want = peers[n].head = 0;
        peer_sends(&peers[n], size);
        world_turn(w);
    }
    fail_msg("the memory does not fill");
    return 0;
}

/* --- given --- */

static void
who_wants_nothing_gets_nothing(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, 0, 0);
    assert_int_equal(p.credit, 0);
    assert_int_equal(said_count(w, p.conn, WIRE_CREDIT), 0);
    assert_int_equal(figures(w).credit_out, 0);
}

static void
who_wants_gets_credit_for_all_that_waits(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, 300 * KIB, 100 * KIB);
    assert_int_equal(p.credit, 300 * KIB);
    assert_int_equal(figures(w).credit_out, 300 * KIB);
    assert_int_equal(figures(w).wanting, 1);
}

static void
the_want_of_a_hello_and_of_a_bundle_count_too(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w, "feed");

    p.want = p.head = 2 * KIB;
    assert_true(peer_hello(&p));
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_CREDIT)->credit, 2 * KIB);
    p.want = p.head = 500 * KIB;
    peer_chunk(&p, 1, 2 * KIB, 0, 2 * KIB);
    world_turn(w);
    assert_true(said_last(w, p.conn, WIRE_CREDIT)->credit >= 502 * KIB);
}

static void
the_next_bundle_is_always_given_whole_however_many_want(void **state)
{
    struct world *w = open_world(64 * MIB, 16 * MIB);
    struct peer large;

    for (uint64_t i = 0; i < MANY; i++) {
        struct peer p = numbered(w, i);

        peer_asks(&p, KIB, KIB);
    }
    large = peer_welcomed(w, "large");
    peer_asks(&large, 20 * MIB, 16 * MIB);
    assert_int_equal(large.credit, 16 * MIB);
    world_free(w);
    (void)state;
}

static void
tiny_bundles_get_what_they_cost(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, 100, 10);
    assert_true(p.credit >= 10 * WIRE_COST_MIN);
    p.want = p.head = 0;
    for (int i = 0; i < 10; i++)
        peer_sends(&p, 10);
    assert_false(was_cut(w, p.conn));
    assert_int_equal(figures(w).held_bytes, 10 * WIRE_COST_MIN);
}

static void
credit_may_be_used_to_the_last_byte_and_not_beyond(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, 5000, 5000);
    assert_int_equal(p.credit, 5000);
    p.want = p.head = 0;
    peer_sends(&p, 5000);
    assert_false(was_cut(w, p.conn));
    peer_sends(&p, 1);
    assert_true(was_cut(w, p.conn));
    assert_true(was_forgotten(w, p.conn));
    assert_true(said_error(w, p.conn, WIRE_R_CREDIT));
    assert_int_equal(w->n_kept, 1);
    assert_true(broker_has(&p, 1));
    assert_null(core_connector_of(w->core, p.conn));
}

static void
a_bundle_that_is_a_byte_beyond_the_credit_is_beyond_it(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, 5000, 5000);
    peer_sends(&p, p.credit + 1);
    assert_true(was_cut(w, p.conn));
    assert_int_equal(w->n_kept, 0);
}

static void
credit_counts_from_each_hello_anew(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, 100 * KIB, 100 * KIB);
    p.want = p.head = 0;
    peer_sends(&p, 60 * KIB);
    assert_true(peer_hello(&p));
    assert_int_equal(said_last(w, p.conn, WIRE_WELCOME)->credit, 0);
    assert_int_equal(figures(w).credit_out, 0);
    peer_asks(&p, 50 * KIB, 50 * KIB);
    assert_int_equal(p.credit, 50 * KIB);
}

/* --- withheld --- */

static void
no_credit_is_given_while_the_broker_is_down_and_a_hold_says_so_once(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed"), other = peer_welcomed(w, "ordered");

    broker_down(w, 0);
    peer_asks(&p, KIB, KIB);
    peer_asks(&p, KIB, KIB);
    peer_asks(&other, KIB, KIB);
    assert_int_equal(p.credit, 0);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 1);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons, WIRE_HOLD_BROKER_DOWN);
    assert_true(other.credit > 0); /* its publisher is up */
    broker_up(w, 0);
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_CREDIT)->credit, KIB);
}

static void
no_credit_is_given_during_an_alarm_of_the_broker(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    broker_blocked(w, 0, true);
    peer_asks(&p, KIB, KIB);
    assert_int_equal(p.credit, 0);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons, WIRE_HOLD_BROKER_ALARM);
    broker_blocked(w, 0, false);
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_CREDIT)->credit, KIB);
}

static void
who_waits_for_memory_is_told_after_a_second(void **state)
{
    struct world *w = open_world(8 * MIB, MIB);
    struct peer peers[MANY], p;

    fill(w, peers, MANY, 512 * KIB);
    p = peer_welcomed(w, "late");
    peer_asks(&p, 512 * KIB, 512 * KIB);
    assert_int_equal(p.credit, 0);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 0);
    assert_int_equal(core_due(w->core), w->now + SECOND);
    world_pass(w, SECOND - 1);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 0);
    world_pass(w, 1);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons, WIRE_HOLD_MEMORY);
    world_pass(w, SECOND);
    assert_int_equal(said_count(w, p.conn, WIRE_HOLD), 1);
    broker_confirms(&peers[0], 1);
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_CREDIT)->credit, 512 * KIB);
    world_free(w);
    (void)state;
}

static void
while_the_gateway_drains_no_more_is_given(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    world_kind(w, CORE_DRAIN);
    peer_asks(&p, KIB, KIB);
    assert_int_equal(p.credit, 0);
    assert_int_equal(said_count(w, p.conn, WIRE_CREDIT), 0);
    assert_true(said_last(w, p.conn, WIRE_HOLD)->reasons & WIRE_HOLD_DRAINING);
}

static void
who_has_not_seen_its_nacks_gets_no_more_until_it_has(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, MIB, KIB);
    for (uint64_t seq = 1; seq <= CORE_NACKS_MAX; seq++) {
        peer_sends(&p, KIB);
        broker_refuses(&p, seq, WIRE_R_UNROUTABLE, NULL);
    }
    assert_true(peer_hello(&p)); /* what it had is void, and the nacks are unseen */
    peer_asks(&p, MIB, KIB);
    assert_int_equal(p.credit, 0);
    p.seen = CORE_NACKS_MAX;
    peer_asks(&p, MIB, KIB);
    assert_true(p.credit > 0);
}

/* --- the memory --- */

static void
what_cannot_be_used_yet_counts_as_nothing(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, 2 * KIB, 2 * KIB);
    assert_int_equal(figures(w).credit_out, 2 * KIB);
    broker_down(w, 0);
    peer_asks(&p, MIB, MIB);
    assert_int_equal(figures(w).credit_out, 0);
    broker_up(w, 0);
    world_turn(w);
    assert_int_equal(figures(w).credit_out, MIB);
}

static void
the_large_are_not_starved_by_the_small(void **state)
{
    struct world *w = open_world(8 * MIB, 2 * MIB);
    struct peer peers[MANY], large, small;
    uint64_t n, at = 0;

    n = fill(w, peers, MANY, 512 * KIB);
    large = peer_welcomed(w, "large");
    small = peer_welcomed(w, "small");
    peer_asks(&large, 2 * MIB, 2 * MIB);
    peer_asks(&small, KIB, KIB);
    for (; at < n && said_count(w, large.conn, WIRE_CREDIT) == 0; at++) {
        assert_int_equal(said_count(w, small.conn, WIRE_CREDIT), 0); /* it came later, though it would fit */
        broker_confirms(&peers[at], 1);
        world_turn(w);
    }
    assert_true(at > 1);
    assert_int_equal(said_last(w, large.conn, WIRE_CREDIT)->credit, 2 * MIB);
    broker_confirms(&peers[at], 1);
    world_turn(w);
    assert_int_equal(said_last(w, small.conn, WIRE_CREDIT)->credit, KIB);
    world_free(w);
    (void)state;
}

static void
what_idle_connectors_keep_is_an_eighth_of_the_memory_at_most(void **state)
{
    struct world *w = open_world(8 * MIB, MIB);
    struct peer peers[MANY];
    uint64_t sum = 0;

    for (uint64_t i = 0; i < MANY; i++) {
        peers[i] = numbered(w, i);
        peer_pushes(&peers[i], KIB);
        broker_confirms(&peers[i], 1);
        world_turn(w);
    }
    for (uint64_t i = 0; i < MANY; i++) {
        peer_asks(&peers[i], 0, 0);
        sum += left(&peers[i]);
    }
    assert_in_range(sum, MIB / 2, MIB);
    world_free(w);
    (void)state;
}

static void
a_slow_steady_connector_keeps_a_little_so_that_it_need_not_ask(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_pushes(&p, KIB);
    broker_confirms(&p, 1);
    peer_asks(&p, 0, 0);
    assert_true(left(&p) >= 128 * KIB);
}

static void
a_slow_queue_does_not_fill_the_memory_with_the_bundles_of_one(void **state)
{
    struct world *w = open_world(64 * MIB, MIB);
    struct peer p = peer_welcomed(w, "feed");
    uint64_t before;

    do {
        before = p.next;
        peer_asks(&p, 32 * MIB, 64 * KIB);
        while (left(&p) >= 64 * KIB)
            peer_sends(&p, 64 * KIB);
    } while (p.next > before);
    assert_in_range(figures(w).held_bytes, 3 * MIB, 4 * MIB + 64 * KIB);
    for (uint64_t seq = 1; seq <= 40; seq++)
        broker_confirms(&p, seq);
    peer_asks(&p, 32 * MIB, 64 * KIB);
    assert_true(left(&p) >= 64 * KIB);
    world_free(w);
    (void)state;
}

static void
who_holds_credit_and_does_not_send_makes_room_when_others_wait_for_long(void **state)
{
    struct world *w = open_world(8 * MIB, 2 * MIB);
    struct peer a[4], late;
    uint32_t left = 0;

    for (uint64_t i = 0; i < 4; i++) {
        a[i] = numbered(w, i);
        peer_asks(&a[i], 2 * MIB, 2 * MIB);
    }
    late = peer_welcomed(w, "late");
    peer_asks(&late, 2 * MIB, 2 * MIB);
    for (int s = 0; s < 200; s++) { /* all of them live, by their pings */
        for (uint64_t i = 0; i < 4; i++)
            if (core_connector_of(w->core, a[i].conn) != NULL)
                peer_ping(&a[i]);
        peer_ping(&late);
        world_pass(w, SECOND);
    }
    for (uint64_t i = 0; i < 4; i++)
        left += core_connector_of(w->core, a[i].conn) == NULL;
    assert_int_equal(left, 4);
    assert_int_equal(said_last(w, late.conn, WIRE_CREDIT)->credit, 2 * MIB);
    assert_non_null(core_connector_of(w->core, late.conn));
    world_free(w);
    (void)state;
}

static void
what_a_lost_connection_had_goes_to_those_who_wait(void **state)
{
    struct world *w = open_world(8 * MIB, 2 * MIB);
    struct peer a[4], late;

    for (uint64_t i = 0; i < 4; i++) {
        a[i] = numbered(w, i);
        peer_asks(&a[i], 2 * MIB, 2 * MIB);
        assert_int_equal(a[i].credit, 2 * MIB);
    }
    late = peer_welcomed(w, "late");
    peer_asks(&late, 2 * MIB, 2 * MIB);
    assert_int_equal(late.credit, 0);
    world_step(w, &(struct core_event){.kind = CORE_GONE, .u.conn = a[2].conn});
    world_turn(w);
    assert_int_equal(said_last(w, late.conn, WIRE_CREDIT)->credit, 2 * MIB);
    world_free(w);
    (void)state;
}

/* Credit that is too little for the next bundle was given to others: a smaller bundle must not use it all the same. */
static void
who_says_its_next_bundle_is_larger_cannot_send_a_smaller_one_on_what_others_were_given(void **state)
{
    struct world *w = open_world(200000, 50000);
    struct peer held = numbered(w, 0), liar = numbered(w, 1), other = numbered(w, 2);

    (void)state;
    for (int i = 0; i < 3; i++)
        peer_pushes(&held, 50000);
    peer_pushes(&held, 10000);
    peer_asks(&liar, 20000, 20000);
    assert_int_equal(left(&liar), 20000);
    peer_asks(&other, 40000, 40000);
    assert_int_equal(left(&other), 0);
    peer_asks(&liar, 50000, 50000); /* now its 20000 count as nothing, */
    peer_asks(&other, 40000, 40000);
    assert_int_equal(left(&other), 40000);
    liar.want = liar.head = 0;
    peer_sends(&liar, 20000); /* and it uses them */
    world_turn(w);
    assert_true(said_error(w, liar.conn, WIRE_R_GAP));
    other.want = other.head = 0;
    peer_sends(&other, 40000);
    assert_true(figures(w).held_bytes <= 200000);
    world_free(w);
}

static void
credit_that_is_frozen_thaws_when_there_is_room(void **state)
{
    struct world *w = open_world(200000, 50000);
    struct peer held = numbered(w, 0), p = numbered(w, 1), other = numbered(w, 2);
    uint64_t seq = 0;

    (void)state;
    for (int i = 0; i < 3; i++)
        peer_pushes(&held, 50000);
    seq = peer_pushes(&held, 10000);
    peer_asks(&p, 20000, 20000);
    peer_asks(&other, 40000, 40000);
    peer_asks(&p, 50000, 50000);
    peer_asks(&p, 20000, 20000); /* what was in front needs no sending any more: too late, it is frozen */
    for (uint64_t s = 1; s <= seq; s++)
        broker_confirms(&held, s);
    world_turn(w);
    p.want = p.head = 0;
    peer_sends(&p, 20000);
    assert_false(said_error(w, p.conn, WIRE_R_GAP));
    assert_true(broker_has(&p, 1));
    world_free(w);
}

static void
who_leaves_the_line_does_not_hold_it_up(void **state)
{
    struct world *w = open_world(8 * MIB, 2 * MIB);
    struct peer a[4], gone, late;

    for (uint64_t i = 0; i < 4; i++) {
        a[i] = numbered(w, i);
        peer_asks(&a[i], 2 * MIB - KIB, 2 * MIB - KIB);
    }
    gone = peer_welcomed(w, "gone");
    late = peer_welcomed(w, "late");
    peer_asks(&gone, MIB, MIB);
    peer_asks(&late, 4 * KIB, 4 * KIB);
    assert_int_equal(late.credit, 0);
    peer_says(&gone, WIRE_BYE);
    world_turn(w);
    assert_int_equal(said_last(w, late.conn, WIRE_CREDIT)->credit, 4 * KIB);
    world_free(w);
    (void)state;
}

static void
a_hundred_greedy_connectors_share_a_small_memory_and_all_are_served(void **state)
{
    struct world *w = open_world(4 * MIB, MIB);
    struct peer peers[MANY];
    uint32_t served = 0;

    for (uint64_t i = 0; i < MANY; i++)
        peers[i] = numbered(w, i);
    for (int round = 0; round < 1000 && served < MANY; round++) {
        uint64_t out = 0;

        for (uint64_t i = 0; i < MANY; i++) {
            struct peer *p = &peers[i];

            if (p->next > 1)
                continue;
            peer_asks(p, MIB, MIB);
            out += left(p);
            if (left(p) < MIB)
                continue;
            p->want = p->head = 0;
            peer_sends(p, MIB);
            served++;
        }
        assert_true(out <= 4 * MIB);
        assert_true(figures(w).held_bytes + figures(w).credit_out <= 4 * MIB);
        for (uint64_t i = 0; i < MANY; i++)
            if (broker_has(&peers[i], 1))
                broker_confirms(&peers[i], 1);
    }
    assert_int_equal(served, MANY);
    world_free(w);
    (void)state;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_wants_nothing_gets_nothing),
        TEST(who_wants_gets_credit_for_all_that_waits),
        TEST(the_want_of_a_hello_and_of_a_bundle_count_too),
        cmocka_unit_test(the_next_bundle_is_always_given_whole_however_many_want),
        TEST(tiny_bundles_get_what_they_cost),
        TEST(credit_may_be_used_to_the_last_byte_and_not_beyond),
        TEST(a_bundle_that_is_a_byte_beyond_the_credit_is_beyond_it),
        TEST(credit_counts_from_each_hello_anew),
        TEST(no_credit_is_given_while_the_broker_is_down_and_a_hold_says_so_once),
        TEST(no_credit_is_given_during_an_alarm_of_the_broker),
        cmocka_unit_test(who_waits_for_memory_is_told_after_a_second),
        TEST(while_the_gateway_drains_no_more_is_given),
        TEST(who_has_not_seen_its_nacks_gets_no_more_until_it_has),
        TEST(what_cannot_be_used_yet_counts_as_nothing),
        cmocka_unit_test(the_large_are_not_starved_by_the_small),
        cmocka_unit_test(what_idle_connectors_keep_is_an_eighth_of_the_memory_at_most),
        TEST(a_slow_steady_connector_keeps_a_little_so_that_it_need_not_ask),
        cmocka_unit_test(a_slow_queue_does_not_fill_the_memory_with_the_bundles_of_one),
        cmocka_unit_test(who_holds_credit_and_does_not_send_makes_room_when_others_wait_for_long),
        cmocka_unit_test(what_a_lost_connection_had_goes_to_those_who_wait),
        cmocka_unit_test(who_says_its_next_bundle_is_larger_cannot_send_a_smaller_one_on_what_others_were_given),
        cmocka_unit_test(credit_that_is_frozen_thaws_when_there_is_room),
        cmocka_unit_test(who_leaves_the_line_does_not_hold_it_up),
        cmocka_unit_test(a_hundred_greedy_connectors_share_a_small_memory_and_all_are_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
