/* misuse_test.c - right messages at the wrong time, or about the wrong thing, sent to the real gateway. */
#include "must.h"

#include <string.h>

#include "bad.h"
#include "consumer.h"
#include "sluiced.h"

/* --- order of things --- */
static void
whatever_comes_before_hello_is_refused(void **state)
{
    struct bad *s = *state;
    struct peer *p = bad_peer(s);
    struct wire_msg ping = {.type = WIRE_PING, .has = 1ULL << WIRE_F_SEEN | 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD};
    struct wire_msg ready = {.type = WIRE_READY, .schedule = WIRE_S_CONTINUOUS};
    struct wire_msg get = {.type = WIRE_STATE, .has = 1ULL << WIRE_F_OP, .op = WIRE_OP_GET};
    ready.has = 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD | 1ULL << WIRE_F_SCHEDULE;
    peer_send(p, &ping, NULL, 0);
    (void)bad_told(s, p, WIRE_R_HELLO_FIRST);
    peer_send(p, &ready, NULL, 0);
    (void)bad_told(s, p, WIRE_R_HELLO_FIRST);
    peer_send(p, &get, NULL, 0);
    (void)bad_told(s, p, WIRE_R_HELLO_FIRST);
    peer_bundle(p, 1, 3, 0, "abc", 3);
    (void)bad_told(s, p, WIRE_R_HELLO_FIRST);
    bad_lives(p, bad_epoch());
    bad_push_well(p, 1);
    peer_close(p);
}

static void
bytes_beyond_the_credit_end_the_connection(void **state)
{
    struct bad *s = *state;
    uint64_t epoch = bad_epoch();
    struct peer *p = bad_welcomed(s, epoch);
    peer_bundle(p, 1, 500, 0, s->bytes, 500); /* no credit was given: none was wanted */
    assert_true(sluiced_log_wait(s->gateway, s->mark, "connector_error", "code=credit", BAD_WAIT_MS));
    assert_true(peer_was_cut(p, BAD_WAIT_MS));
    bad_lives(p, epoch); /* by a new connection */
    uint64_t credit = peer_credit(p, 10000);
    assert_true(credit >= 10000);
    uint64_t seq = 1;
    for (uint64_t used = 0; used + (size_t)BAD_CHUNK <= credit; used += (size_t)BAD_CHUNK)
        peer_bundle(p, seq++, (size_t)BAD_CHUNK, 0, s->bytes, (size_t)BAD_CHUNK);
    peer_bundle(p, seq, (size_t)BAD_CHUNK, 0, s->bytes, (size_t)BAD_CHUNK);
    assert_true(peer_was_cut(p, BAD_WAIT_MS));
    peer_close(p);
}

static void
a_gap_in_the_sequence_is_told_once_and_mended_by_hello(void **state)
{
    struct bad *s = *state;
    char body[100] = {0};
    uint64_t epoch = bad_epoch();
    struct peer *p = bad_welcomed(s, epoch);
    assert_true(peer_credit(p, 10 * WIRE_COST_MIN) > 0);
    peer_bundle(p, 2, sizeof(body), 0, body, sizeof(body));
    struct wire_msg e = bad_told(s, p, WIRE_R_GAP);
    assert_int_equal(e.expect, 1);
    peer_bundle(p, 3, sizeof(body), 0, body, sizeof(body));
    peer_bundle(p, 9, sizeof(body), 0, body, sizeof(body));
    assert_null(peer_await_error(p, WIRE_R_GAP, 300));
    const struct wire_msg *w = peer_hello(p, "raw", epoch, false, 0);
    assert_non_null(w);
    assert_int_equal(w->expect, 1);
    bad_push_well(p, 1);
    bad_push_well(p, 2);
    peer_close(p);
}

static void
chunks_that_do_not_add_up_are_refused(void **state)
{
    /* seq 1 of 1000 bytes: its first chunk has 400; then one of these. */
    static const struct {
        uint64_t seq, size, off;
        size_t len;
    } WRONG[] = {
        {1, 1000, 500, 100}, /* a hole */
        {1, 1000, 300, 100}, /* an overlap */
        {1, 1000, 0, 400},   /* the first again */
        {1, 900, 400, 100},  /* another size */
        {1, 1000, 400, 601}, /* more than the rest */
        {2, 1000, 0, 400},   /* the next, before this one is whole */
        {1, 1000, UINT64_MAX / 2, 100},
    };
    struct bad *s = *state;
    char body[1000] = {0};
    uint64_t epoch = bad_epoch();
    struct peer *p = bad_welcomed(s, epoch);
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        assert_true(peer_credit(p, 5000) > 0);
        peer_bundle(p, 1, 1000, 0, body, 400);
        peer_bundle(p, WRONG[i].seq, WRONG[i].size, WRONG[i].off, body, WRONG[i].len);
        (void)bad_told(s, p, WIRE_R_GAP);
        bad_lives(p, epoch);
    }
    /* Nothing of the halves was forwarded, and the place is still free. */
    bad_push_well(p, 1);
    peer_close(p);
}

static void
a_resend_of_what_was_answered_is_answered_again_and_not_forwarded_again(void **state)
{
    struct bad *s = *state;
    char body[100] = {'w'};
    uint64_t epoch = bad_epoch();
    struct peer *p = bad_welcomed(s, epoch);
    bad_push_well(p, 1);
    MUST(consumer_purge(s->consumer, "raw", &err));
    assert_true(peer_credit(p, 10 * WIRE_COST_MIN) > 0);
    for (int i = 0; i < 3; i++) {
        peer_bundle(p, 1, sizeof(body), 0, body, sizeof(body));
        const struct wire_msg *v = peer_await(p, WIRE_VERDICT, BAD_WAIT_MS);
        assert_non_null(v);
        assert_int_equal(v->seq, 1);
        assert_int_equal(v->verdict, WIRE_ACK);
    }
    bad_push_well(p, 2);
    MUST(consumer_ready(s->consumer, "raw", &err));
    assert_int_equal(consumer_drain(s->consumer, "raw", 10, 500, NULL, NULL, NULL), 1);
    peer_close(p);
}

static void
the_program_with_the_newer_epoch_takes_the_id_and_the_older_stays_away(void **state)
{
    struct bad *s = *state;
    uint64_t epoch = bad_epoch();
    struct peer *a = bad_welcomed(s, epoch), *b = bad_welcomed(s, epoch + 1);
    const struct wire_msg *m = peer_await(a, WIRE_STOP, BAD_WAIT_MS);
    assert_non_null(m);
    assert_int_equal(m->reason, WIRE_R_REPLACED);
    /* The old one does not listen, and goes on. */
    peer_bundle(a, 1, 3, 0, "old", 3);
    (void)bad_told(s, a, WIRE_R_HELLO_FIRST);
    struct wire_msg again = bad_hello("raw", epoch);
    again.fresh = false;
    again.attempt = 7;
    peer_send(a, &again, NULL, 0);
    m = peer_await(a, WIRE_STOP, BAD_WAIT_MS);
    assert_non_null(m);
    assert_int_equal(m->reason, WIRE_R_REPLACED);
    assert_true(sluiced_log_wait(s->gateway, s->mark, "connector_stopped", "reason=replaced", BAD_WAIT_MS));
    bad_push_well(b, 1);
    peer_close(a);
    peer_close(b);
}

static void
an_epoch_from_the_past_is_answered_with_the_known_one(void **state)
{
    struct bad *s = *state;
    uint64_t epoch = bad_epoch();
    struct peer *a = bad_welcomed(s, epoch);
    bad_push_well(a, 1);
    struct peer *b = bad_peer(s);
    struct wire_msg old = bad_hello("raw", epoch - 1000);
    peer_send(b, &old, NULL, 0);
    struct wire_msg e = bad_told(s, b, WIRE_R_EPOCH);
    assert_int_equal(e.epoch, epoch);
    bad_push_well(a, 2); /* and who is there is not disturbed */
    peer_close(a);
    peer_close(b);
}

static void
what_cannot_have_been_seen_is_not_believed(void **state)
{
    struct bad *s = *state;
    uint64_t epoch = bad_epoch();
    struct peer *p = bad_welcomed(s, epoch);
    struct wire_msg ping = {
        .type = WIRE_PING, .has = 1ULL << WIRE_F_SEEN | 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD, .seen = 1000000};
    peer_send(p, &ping, NULL, 0);
    assert_non_null(peer_await(p, WIRE_PONG, BAD_WAIT_MS));
    bad_push_well(p, 1);
    bad_push_well(p, 2);
    peer_close(p);
}

/* --- bundles --- */
static void
bundles_that_can_never_be_taken_get_their_verdict_at_once(void **state)
{
    struct bad *s = *state;
    uint64_t epoch = bad_epoch();
    struct peer *p = bad_welcomed(s, epoch);
    assert_true(peer_credit(p, 10000) > 0);
    peer_bundle(p, 1, 0, 0, "", 0);
    const struct wire_msg *v = peer_await(p, WIRE_VERDICT, BAD_WAIT_MS);
    assert_non_null(v);
    assert_int_equal(v->verdict, WIRE_NACK);
    assert_int_equal(v->reason, WIRE_R_EMPTY);
    (void)peer_hello(p, "raw", epoch, false, 1);
    assert_true(peer_credit(p, 10000) > 0);
    peer_bundle(p, 2, BAD_MAX_BUNDLE + 1, 0, s->bytes, BAD_CHUNK);
    peer_bundle(p, 2, BAD_MAX_BUNDLE + 1, BAD_CHUNK, s->bytes, BAD_CHUNK); /* dropped in silence */
    v = peer_await(p, WIRE_VERDICT, BAD_WAIT_MS);
    assert_non_null(v);
    assert_int_equal(v->seq, 2);
    assert_int_equal(v->verdict, WIRE_NACK);
    assert_int_equal(v->reason, WIRE_R_TOO_LARGE);
    assert_true(sluiced_log_wait(s->gateway, s->mark, "bundle_refused", "reason=too_large", BAD_WAIT_MS));
    (void)peer_hello(p, "raw", epoch, false, 2);
    bad_push_well(p, 3);
    peer_close(p);
}

static void
a_chunk_larger_than_agreed_is_refused(void **state)
{
    struct bad *s = *state;
    uint64_t epoch = bad_epoch();
    struct peer *p = bad_welcomed(s, epoch);
    assert_true(peer_credit(p, 3 * BAD_CHUNK) > 0);
    peer_bundle(p, 1, BAD_CHUNK + 1, 0, s->bytes,
                BAD_CHUNK + 1); /* one byte: refused by the socket or by the gateway */
    bool refused = false;
    for (int i = 0; i < BAD_WAIT_MS / 100 && !refused; i++)
        refused = peer_was_cut(p, 50) || peer_await(p, WIRE_ERROR, 50) != NULL;
    assert_true(refused);
    bad_lives(p, epoch);
    assert_true(peer_credit(p, BAD_CHUNK) > 0);
    peer_bundle(p, 1, BAD_CHUNK, 0, s->bytes, BAD_CHUNK); /* and exactly the limit is well */
    const struct wire_msg *v = peer_await(p, WIRE_VERDICT, BAD_WAIT_MS);
    assert_non_null(v);
    assert_int_equal(v->verdict, WIRE_ACK);
    peer_close(p);
}

/* --- state --- */
static void
a_state_that_is_stale_or_too_large_changes_nothing(void **state)
{
    struct bad *s = *state;
    uint64_t epoch = bad_epoch();
    struct peer *p = bad_welcomed(s, epoch);
    struct wire_msg set = {.type = WIRE_STATE,
                           .op = WIRE_OP_SET,
                           .size = 3,
                           .has = 1ULL << WIRE_F_OP | 1ULL << WIRE_F_VERSION | 1ULL << WIRE_F_SIZE |
                                  1ULL << WIRE_F_OFF};
    struct wire_msg get = {.type = WIRE_STATE, .has = 1ULL << WIRE_F_OP, .op = WIRE_OP_GET};
    set.version = 41;
    peer_send(p, &set, "abc", 3);
    struct wire_msg e = bad_told(s, p, WIRE_R_STATE_STALE);
    assert_int_equal(e.version, 0);
    set.version = 0;
    set.size = WIRE_STATE_MAX + 1;
    peer_send(p, &set, "abc", 3);
    const struct wire_msg *m = peer_await(p, WIRE_ERROR, BAD_WAIT_MS);
    assert_non_null(m);
    assert_true(m->code == WIRE_R_STATE_SIZE || m->code == WIRE_R_FIELD);
    set.size = 10;
    peer_send(p, &set, "abc", 3);
    set.off = 4; /* there were three bytes */
    peer_send(p, &set, "abc", 3);
    (void)bad_told(s, p, WIRE_R_STATE_SIZE);
    peer_send(p, &get, NULL, 0);
    m = peer_await(p, WIRE_STATE, BAD_WAIT_MS);
    assert_non_null(m);
    assert_int_equal(m->version, 0);
    assert_int_equal(m->size, 0);
    peer_close(p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BAD(whatever_comes_before_hello_is_refused),
        BAD(bytes_beyond_the_credit_end_the_connection),
        BAD(a_gap_in_the_sequence_is_told_once_and_mended_by_hello),
        BAD(chunks_that_do_not_add_up_are_refused),
        BAD(a_resend_of_what_was_answered_is_answered_again_and_not_forwarded_again),
        BAD(the_program_with_the_newer_epoch_takes_the_id_and_the_older_stays_away),
        BAD(an_epoch_from_the_past_is_answered_with_the_known_one),
        BAD(what_cannot_have_been_seen_is_not_believed),
        BAD(bundles_that_can_never_be_taken_get_their_verdict_at_once),
        BAD(a_chunk_larger_than_agreed_is_refused),
        BAD(a_state_that_is_stale_or_too_large_changes_nothing),
        cmocka_unit_test(bad_the_honest_connector_lost_nothing_meanwhile),
    };
    return cmocka_run_group_tests(tests, bad_open, bad_close);
}
