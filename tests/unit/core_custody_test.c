/* core_custody_test.c - bundles coming in, chunk by chunk: rule 5 of the protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core_world.h"

enum { BIG = 150000, REST = BIG - 2 * WORLD_CHUNK }; /* three chunks */

static struct peer
feed_with_credit(struct world *w)
{
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, MIB, BIG);
    assert_true(p.credit >= 4 * BIG);
    world_forget(w);
    return p;
}

/* --- chunks --- */

static void
a_bundle_is_kept_chunk_by_chunk_and_published_with_the_last(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_credit(w);

    peer_chunk(&p, 1, BIG, 0, WORLD_CHUNK);
    peer_chunk(&p, 1, BIG, WORLD_CHUNK, WORLD_CHUNK);
    assert_int_equal(w->n_posted, 0);
    assert_int_equal(figures(w).held_bytes, BIG);
    peer_chunk(&p, 1, BIG, 2 * WORLD_CHUNK, REST);
    assert_int_equal(w->n_kept, 3);
    assert_true(w->kept[0].first && !w->kept[1].first && !w->kept[2].first);
    assert_int_equal(w->kept[0].size, BIG);
    assert_int_equal(w->n_posted, 1);
    assert_int_equal(w->posted[0].slot, w->kept[2].slot);
    assert_string_equal(w->posted[0].connector, "feed");
    assert_int_equal(w->posted[0].epoch, p.epoch);
    assert_int_equal(w->posted[0].seq, 1);
    assert_int_equal(w->posted[0].target, 1);
    assert_int_equal(figures(w).received, 1);
}

static void
a_confirmed_bundle_gives_its_slot_and_its_memory_back(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_credit(w);

    peer_sends(&p, BIG);
    broker_confirms(&p, 1);
    assert_int_equal(w->n_freed, 1);
    assert_int_equal(w->freed[0], w->posted[0].slot);
    assert_int_equal(figures(w).held, 0);
    assert_int_equal(figures(w).held_bytes, 0);
    assert_int_equal(figures(w).confirmed, 1);
    peer_sends(&p, BIG);
    assert_int_equal(w->posted[1].slot, w->posted[0].slot);
}

/* Each is wrong in its own way; what follows it is told once. */
static void
a_chunk_that_does_not_follow_is_a_gap(void **state)
{
    static const struct {
        uint64_t seq, size, off, len;
    } wrong[] = {
        {3, BIG, 0, WORLD_CHUNK},                        /* a bundle left out */
        {2, BIG, WORLD_CHUNK, WORLD_CHUNK},              /* not from its beginning */
        {1, BIG, 2 * WORLD_CHUNK, REST},                 /* a chunk left out */
        {1, BIG, 0, WORLD_CHUNK},                        /* from its beginning again */
        {1, BIG + 1, WORLD_CHUNK, WORLD_CHUNK},          /* another size */
        {1, BIG, WORLD_CHUNK - 1, WORLD_CHUNK},          /* bytes that are here */
        {2, BIG, 0, WORLD_CHUNK},                        /* the next before the last chunk */
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct peer p = feed_with_credit(w);

        if (i != 0 && i != 1)
            peer_chunk(&p, 1, BIG, 0, WORLD_CHUNK);
        world_forget(w);
        peer_chunk(&p, wrong[i].seq, wrong[i].size, wrong[i].off, wrong[i].len);
        assert_int_equal(said_count(w, p.conn, WIRE_ERROR), 1);
        assert_true(said_error(w, p.conn, WIRE_R_GAP));
        assert_int_equal(said_last(w, p.conn, WIRE_ERROR)->expect, 1);
        assert_int_equal(w->n_kept, 0);
        assert_int_equal(w->n_posted, 0);
    }
}

static void
bytes_beyond_the_stated_size_are_a_gap(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_credit(w);

    peer_chunk(&p, 1, WORLD_CHUNK + 10, 0, WORLD_CHUNK);
    peer_chunk(&p, 1, WORLD_CHUNK + 10, WORLD_CHUNK, 11);
    assert_true(said_error(w, p.conn, WIRE_R_GAP));
    assert_int_equal(w->n_posted, 0);
}

static void
a_chunk_that_is_too_long_or_empty_names_the_field_and_is_a_gap(void **state)
{
    static const struct {
        uint64_t size, len;
    } wrong[] = {{BIG, WORLD_CHUNK + 1}, {BIG, 0}, {10, 11}};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct peer p = feed_with_credit(w);

        peer_chunk(&p, 1, wrong[i].size, 0, wrong[i].len);
        assert_true(said_error(w, p.conn, WIRE_R_FIELD));
        assert_true(said_error(w, p.conn, WIRE_R_GAP));
        assert_int_equal(w->n_kept, 0);
    }
}

static void
a_gap_is_told_once_and_again_at_each_ping_until_hello(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_credit(w);

    peer_chunk(&p, 5, 100, 0, 100);
    peer_chunk(&p, 6, 100, 0, 100);
    peer_chunk(&p, 1, 100, 0, 100); /* the right one, too late: it may be of a stream with holes */
    assert_int_equal(said_count(w, p.conn, WIRE_ERROR), 1);
    assert_int_equal(w->n_posted, 0);
    peer_ping(&p);
    assert_int_equal(said_count(w, p.conn, WIRE_ERROR), 2);
    assert_int_equal(said_last(w, p.conn, WIRE_ERROR)->code, WIRE_R_GAP);
    assert_true(peer_hello(&p));
    world_forget(w);
    peer_ping(&p);
    assert_int_equal(said_count(w, p.conn, WIRE_ERROR), 0);
    assert_int_equal(peer_pushes(&p, 100), 1);
    assert_true(broker_has(&p, 1));
}

/* --- half bundles --- */

static void
half_a_bundle_is_dropped(void **state, void (*then)(struct peer *p))
{
    struct world *w = *state;
    struct peer p = feed_with_credit(w);
    uint32_t slot;

    peer_sends(&p, 100);
    peer_chunk(&p, 2, BIG, 0, WORLD_CHUNK);
    slot = w->kept[1].slot;
    world_forget(w);
    then(&p);
    assert_int_equal(w->n_freed, 1);
    assert_int_equal(w->freed[0], slot);
    assert_int_equal(figures(w).held_bytes, WIRE_COST_MIN);
    peer_reconnects(&p);
    assert_true(peer_hello(&p));
    assert_int_equal(p.next, 2);
    peer_pushes(&p, BIG);
    assert_true(broker_has(&p, 2));
}

static void
says_hello_again(struct peer *p)
{
    peer_hello(p);
}

static void
says_bye(struct peer *p)
{
    peer_says(p, WIRE_BYE);
}

static void
is_gone(struct peer *p)
{
    world_step(p->w, &(struct core_event){.kind = CORE_GONE, .u.conn = p->conn});
}

static void
is_silent(struct peer *p)
{
    world_pass(p->w, 3LL * WORLD_PING);
}

static void
half_a_bundle_is_dropped_at_hello(void **state)
{
    half_a_bundle_is_dropped(state, says_hello_again);
}

static void
half_a_bundle_is_dropped_at_bye(void **state)
{
    half_a_bundle_is_dropped(state, says_bye);
}

static void
half_a_bundle_is_dropped_when_the_connection_is_gone(void **state)
{
    half_a_bundle_is_dropped(state, is_gone);
}

static void
half_a_bundle_is_dropped_when_its_author_is_lost(void **state)
{
    half_a_bundle_is_dropped(state, is_silent);
}

/* --- what can never be taken --- */

static void
a_bundle_that_is_too_large_gets_its_verdict_and_the_rest_of_it_is_dropped_in_silence(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_credit(w);

    peer_chunk(&p, 1, MIB + 1, 0, WORLD_CHUNK);
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->verdict, WIRE_NACK);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->reason, WIRE_R_TOO_LARGE);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->seq, 1);
    world_forget(w);
    for (uint64_t off = WORLD_CHUNK; off < MIB; off += WORLD_CHUNK)
        peer_chunk(&p, 1, MIB + 1, off, WORLD_CHUNK);
    assert_int_equal(said_count(w, p.conn, WIRE_ERROR), 0);
    assert_int_equal(w->n_kept, 0);
    p.next = 2;
    p.seen = 1;
    assert_true(peer_hello(&p));
    assert_int_equal(p.next, 2);
    peer_pushes(&p, 100);
    assert_true(broker_has(&p, 2));
}

static void
a_bundle_that_is_too_large_is_answered_and_not_punished_where_it_is_beyond_the_credit(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_asks(&p, 2048, 2048);
    p.want = p.head = 0;
    peer_chunk(&p, 1, WIRE_NUMBER_MAX, 0, WORLD_CHUNK);
    assert_false(was_cut(w, p.conn));
    assert_int_equal(figures(w).nacked, 1);
    peer_chunk(&p, 2, 100, 0, 100); /* what credit there was is used up */
    assert_true(was_cut(w, p.conn));
    assert_int_equal(w->n_posted, 0);
}

static void
a_bundle_without_bytes_gets_its_verdict_and_costs_as_much_as_a_tiny_one(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    uint64_t n;

    peer_asks(&p, 3 * WIRE_COST_MIN, WIRE_COST_MIN);
    p.want = p.head = 0;
    n = p.credit / WIRE_COST_MIN;
    for (uint64_t i = 0; i < n; i++)
        peer_sends(&p, 0);
    assert_false(was_cut(w, p.conn));
    assert_int_equal(figures(w).nacked, n);
    peer_sends(&p, 0);
    assert_true(was_cut(w, p.conn));
    assert_true(said_error(w, p.conn, WIRE_R_CREDIT));
}

static void
the_verdict_for_a_bundle_without_bytes_says_so(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_credit(w);

    peer_sends(&p, 0);
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->reason, WIRE_R_EMPTY);
    assert_int_equal(w->n_kept, 0);
}

static void
who_does_not_look_at_the_answers_to_its_mistakes_is_cut(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_credit(w);

    for (uint64_t seq = 1; seq <= CORE_NACKS_MAX; seq++)
        peer_chunk(&p, seq, MIB + 1, 0, WORLD_CHUNK);
    assert_false(was_cut(w, p.conn));
    peer_chunk(&p, CORE_NACKS_MAX + 1, MIB + 1, 0, WORLD_CHUNK);
    assert_true(was_cut(w, p.conn));
    assert_int_equal(figures(w).nacked, CORE_NACKS_MAX);
}

/* --- again --- */

static void
a_resend_of_what_is_known_is_answered_again_and_published_once(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_credit(w);
    uint64_t credit;

    peer_sends(&p, 100);
    peer_sends(&p, 100);
    broker_confirms(&p, 1);
    peer_asks(&p, 0, 0);
    assert_int_equal(said_ack(w, p.conn), 1);
    credit = figures(w).credit_out;
    world_forget(w);
    peer_chunk(&p, 1, 100, 0, 100);
    peer_chunk(&p, 2, 100, 0, 100);
    world_turn(w);
    assert_int_equal(figures(w).repeated, 2);
    assert_int_equal(said_ack(w, p.conn), 1);
    assert_int_equal(said_count(w, p.conn, WIRE_ERROR), 0);
    assert_int_equal(times_posted(&p, 1), 1);
    assert_int_equal(times_posted(&p, 2), 1);
    assert_int_equal(figures(w).credit_out, credit); /* it takes no memory, so it uses no credit */
}

static void
the_later_chunks_of_a_resend_are_dropped_in_silence(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_credit(w);

    peer_sends(&p, BIG);
    world_forget(w);
    p.next = 1;
    peer_sends(&p, BIG);
    world_turn(w);
    assert_int_equal(said_count(w, p.conn, WIRE_ERROR), 0);
    assert_int_equal(w->n_kept, 0);
    assert_int_equal(times_posted(&p, 1), 1);
}

static void
a_resend_below_half_a_bundle_does_not_disturb_it(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_credit(w);

    peer_sends(&p, 100);
    peer_chunk(&p, 2, BIG, 0, WORLD_CHUNK);
    peer_chunk(&p, 1, 100, 0, 100);
    peer_chunk(&p, 2, BIG, WORLD_CHUNK, WORLD_CHUNK);
    peer_chunk(&p, 2, BIG, 2 * WORLD_CHUNK, REST);
    assert_true(broker_has(&p, 2));
}

static void
a_thousand_bundles_on_their_way_are_answered_by_one_ack(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    for (uint64_t seq = 1; seq <= 1000; seq++)
        peer_pushes(&p, WIRE_COST_MIN);
    world_forget(w);
    for (uint64_t seq = 1000; seq >= 1; seq--)
        broker_confirms(&p, seq);
    world_turn(w);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 1);
    assert_int_equal(said_ack(w, p.conn), 1000);
    assert_int_equal(figures(w).held, 0);
    assert_int_equal(peer_pushes(&p, 100), 1001);
    assert_true(broker_has(&p, 1001));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bundle_is_kept_chunk_by_chunk_and_published_with_the_last),
        TEST(a_confirmed_bundle_gives_its_slot_and_its_memory_back),
        TEST(a_chunk_that_does_not_follow_is_a_gap),
        TEST(bytes_beyond_the_stated_size_are_a_gap),
        TEST(a_chunk_that_is_too_long_or_empty_names_the_field_and_is_a_gap),
        TEST(a_gap_is_told_once_and_again_at_each_ping_until_hello),
        TEST(half_a_bundle_is_dropped_at_hello),
        TEST(half_a_bundle_is_dropped_at_bye),
        TEST(half_a_bundle_is_dropped_when_the_connection_is_gone),
        TEST(half_a_bundle_is_dropped_when_its_author_is_lost),
        TEST(a_bundle_that_is_too_large_gets_its_verdict_and_the_rest_of_it_is_dropped_in_silence),
        TEST(a_bundle_that_is_too_large_is_answered_and_not_punished_where_it_is_beyond_the_credit),
        TEST(a_bundle_without_bytes_gets_its_verdict_and_costs_as_much_as_a_tiny_one),
        TEST(the_verdict_for_a_bundle_without_bytes_says_so),
        TEST(who_does_not_look_at_the_answers_to_its_mistakes_is_cut),
        TEST(a_resend_of_what_is_known_is_answered_again_and_published_once),
        TEST(the_later_chunks_of_a_resend_are_dropped_in_silence),
        TEST(a_resend_below_half_a_bundle_does_not_disturb_it),
        TEST(a_thousand_bundles_on_their_way_are_answered_by_one_ack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
