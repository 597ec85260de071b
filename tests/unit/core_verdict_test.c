/* core_verdict_test.c - the answers, and what is remembered of them: rule 6 of the protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core_world.h"

/* A connector with n small bundles at the publisher. */
static struct peer
feed_with_posted(struct world *w, uint64_t n)
{
    struct peer p = peer_welcomed(w, "feed");

    for (uint64_t i = 0; i < n; i++)
        peer_pushes(&p, 100);
    world_turn(w);
    world_forget(w);
    return p;
}

static void
refuse(struct peer *p, uint64_t seq)
{
    broker_refuses(p, seq, WIRE_R_UNROUTABLE, "no queue is bound");
}

/* Its answer to verdicts: all up to seq are seen. */
static void
sees(struct peer *p, uint64_t seq)
{
    world_forget(p->w);
    p->seen = seq;
    peer_ping(p);
    world_turn(p->w);
}

/* --- acks --- */

static void
acks_are_cumulative_and_wait_for_the_oldest(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 3);

    broker_confirms(&p, 3);
    broker_confirms(&p, 2);
    world_turn(w);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 0);
    broker_confirms(&p, 1);
    world_turn(w);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 1);
    assert_int_equal(said_ack(w, p.conn), 3);
}

static void
confirms_of_one_turn_are_one_ack(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 3);

    for (uint64_t seq = 1; seq <= 3; seq++)
        broker_confirms(&p, seq);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 0);
    world_turn(w);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 1);
    world_turn(w);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 1);
}

/* --- nacks --- */

static void
a_refusal_reaches_the_connector_with_its_reason_and_the_words_of_the_broker(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 1);
    const struct wire_msg *m;

    broker_refuses(&p, 1, WIRE_R_TARGET, "queue 'q' is not durable");
    world_turn(w);
    m = said_last(w, p.conn, WIRE_VERDICT);
    assert_int_equal(m->seq, 1);
    assert_int_equal(m->verdict, WIRE_NACK);
    assert_int_equal(m->reason, WIRE_R_TARGET);
    assert_int_equal(m->text.len, strlen("queue 'q' is not durable"));
    assert_memory_equal(m->text.at, "queue 'q' is not durable", m->text.len);
    assert_int_equal(w->n_freed, 1);
    assert_int_equal(figures(w).nacked, 1);
}

static void
a_refusal_without_words_has_none(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 2);

    refuse(&p, 1);
    broker_refuses(&p, 2, WIRE_R_REFUSED, NULL);
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->seq, 2);
    assert_false(WIRE_HAS(said_last(w, p.conn, WIRE_VERDICT), WIRE_F_TEXT));
}

static void
words_longer_than_the_protocol_has_room_for_are_cut(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 1);
    char words[3 * WIRE_TEXT_MAX];

    memset(words, 'x', sizeof(words));
    words[sizeof(words) - 1] = '\0';
    broker_refuses(&p, 1, WIRE_R_REFUSED, words);
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->text.len, WIRE_TEXT_MAX);
}

static void
an_ack_never_passes_a_nack_that_was_not_seen(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 3);

    broker_confirms(&p, 1);
    refuse(&p, 2);
    broker_confirms(&p, 3);
    world_turn(w);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 2);
    assert_int_equal(said_ack(w, p.conn), 1);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->seq, 2);
    sees(&p, 1); /* the ack arrived, the nack did not */
    assert_int_equal(said_ack(w, p.conn), 0);
    assert_int_equal(said_nacks(w, p.conn), 1);
    sees(&p, 2);
    assert_int_equal(said_ack(w, p.conn), 3);
    assert_int_equal(said_nacks(w, p.conn), 0);
}

static void
a_nack_waits_until_all_before_it_are_answered(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 2);

    refuse(&p, 2);
    world_turn(w);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 0);
    broker_confirms(&p, 1);
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 1);
    assert_int_equal(said_nacks(w, p.conn), 1);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->seq, 2); /* after the ack */
}

static void
nacks_in_a_row_are_told_in_order_each_once(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 4);
    uint64_t next = 1;

    refuse(&p, 3);
    refuse(&p, 1);
    world_turn(w);
    refuse(&p, 2);
    world_turn(w);
    world_turn(w);
    assert_int_equal(said_nacks(w, p.conn), 3);
    for (uint32_t i = 0; i < w->n_said; i++)
        if (w->said[i].m.type == WIRE_VERDICT)
            assert_int_equal(w->said[i].m.seq, next++);
    broker_confirms(&p, 4);
    sees(&p, 3);
    assert_int_equal(said_ack(w, p.conn), 4);
}

static void
bundles_behind_a_nack_go_on_to_the_broker(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 1);

    refuse(&p, 1);
    peer_pushes(&p, 100);
    assert_true(broker_has(&p, 2));
}

/* --- again --- */

static void
verdicts_are_repeated_at_a_ping_from_what_was_seen(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 3);

    broker_confirms(&p, 1);
    broker_confirms(&p, 2);
    refuse(&p, 3);
    world_turn(w);
    sees(&p, 0); /* nothing arrived */
    assert_int_equal(said_ack(w, p.conn), 2);
    assert_int_equal(said_nacks(w, p.conn), 1);
    sees(&p, 2);
    assert_int_equal(said_ack(w, p.conn), 0);
    assert_int_equal(said_nacks(w, p.conn), 1);
    sees(&p, 3);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 0);
}

static void
verdicts_that_nobody_heard_are_said_at_the_next_hello(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 2);

    world_step(w, &(struct core_event){.kind = CORE_GONE, .u.conn = p.conn});
    broker_confirms(&p, 1);
    refuse(&p, 2);
    world_turn(w);
    assert_true(said_nothing(w, p.conn));
    peer_reconnects(&p);
    assert_true(peer_hello(&p));
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 1);
    assert_int_equal(said_nacks(w, p.conn), 1);
}

static void
what_it_claims_to_have_seen_of_what_was_never_pushed_does_not_count(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 1);

    sees(&p, 1000);
    broker_confirms(&p, 1);
    peer_pushes(&p, 100);
    refuse(&p, 2);
    world_turn(w);
    assert_int_equal(said_nacks(w, p.conn), 1);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->seq, 2);
}

static void
seen_does_not_go_back(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 2);

    refuse(&p, 1);
    sees(&p, 1);
    sees(&p, 0);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 0);
    broker_confirms(&p, 2);
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 2);
}

/* --- marks --- */

static void
marks_say_what_was_answered_for_and_only_where_it_moved(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 3), other = peer_welcomed(w, "slow");

    world_kind(w, CORE_SAVE);
    w->n_marks = 0;
    broker_confirms(&p, 1);
    broker_confirms(&p, 3);
    peer_pushes(&other, 100);
    world_kind(w, CORE_SAVE);
    assert_int_equal(w->n_marks, 1);
    assert_string_equal(w->marks[0].id, "feed");
    assert_int_equal(w->marks[0].epoch, p.epoch);
    assert_int_equal(w->marks[0].answered, 1);
    world_kind(w, CORE_SAVE);
    assert_int_equal(w->n_marks, 1);
}

static void
marks_never_pass_a_nack_that_was_not_seen(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 3);

    broker_confirms(&p, 1);
    refuse(&p, 2);
    broker_confirms(&p, 3);
    world_kind(w, CORE_SAVE);
    assert_int_equal(w->marks[w->n_marks - 1].answered, 1);
    sees(&p, 2);
    world_kind(w, CORE_SAVE);
    assert_int_equal(w->marks[w->n_marks - 1].answered, 3);
}

static void
a_new_epoch_is_marked_before_anything_is_answered(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    world_kind(w, CORE_SAVE);
    assert_int_equal(w->n_marks, 1);
    assert_int_equal(w->marks[0].epoch, p.epoch);
    assert_int_equal(w->marks[0].answered, 0);
}

static void
who_never_spoke_has_no_mark(void **state)
{
    struct world *w = *state;

    world_kind(w, CORE_SAVE);
    assert_int_equal(w->n_marks, 0);
}

static void
after_a_crash_a_refused_bundle_that_nobody_saw_refused_is_refused_again(void **state)
{
    struct world *w = *state;
    struct peer p = feed_with_posted(w, 2);

    broker_confirms(&p, 1);
    refuse(&p, 2);
    world_kind(w, CORE_SAVE);
    world_restart(w);
    broker_up(w, 0);
    peer_reconnects(&p);
    assert_true(peer_hello(&p));
    assert_int_equal(peer_pushes(&p, 100), 2);
    refuse(&p, 2);
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 1);
    assert_int_equal(said_nacks(w, p.conn), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(acks_are_cumulative_and_wait_for_the_oldest),
        TEST(confirms_of_one_turn_are_one_ack),
        TEST(a_refusal_reaches_the_connector_with_its_reason_and_the_words_of_the_broker),
        TEST(a_refusal_without_words_has_none),
        TEST(words_longer_than_the_protocol_has_room_for_are_cut),
        TEST(an_ack_never_passes_a_nack_that_was_not_seen),
        TEST(a_nack_waits_until_all_before_it_are_answered),
        TEST(nacks_in_a_row_are_told_in_order_each_once),
        TEST(bundles_behind_a_nack_go_on_to_the_broker),
        TEST(verdicts_are_repeated_at_a_ping_from_what_was_seen),
        TEST(verdicts_that_nobody_heard_are_said_at_the_next_hello),
        TEST(what_it_claims_to_have_seen_of_what_was_never_pushed_does_not_count),
        TEST(seen_does_not_go_back),
        TEST(marks_say_what_was_answered_for_and_only_where_it_moved),
        TEST(marks_never_pass_a_nack_that_was_not_seen),
        TEST(a_new_epoch_is_marked_before_anything_is_answered),
        TEST(who_never_spoke_has_no_mark),
        TEST(after_a_crash_a_refused_bundle_that_nobody_saw_refused_is_refused_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
