/* client_session_test.c - the connector's side of the protocol, without sockets or a clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/session.h"
#include "err.h"

#define BIT(f) (UINT64_C(1) << (f))
#define MS INT64_C(1000)
#define S INT64_C(1000000)

enum { BUNDLES = 64 };

struct world {
    struct session       *s;
    int64_t               now;
    struct session_bundle bundles[BUNDLES];
    unsigned              pushed;
    struct session_output out; /* the last one */
};

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct session_config config = {.id = "c1", .agent = "test", .epoch = 100};

    w->now = 5 * S;
    w->s = session_new(&config, NULL);
    assert_non_null(w->s);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;
    struct session_bundle *b;

    while ((b = session_take_oldest(w->s)) != NULL)
        free(b->text);
    session_free(w->s);
    free(w);
    return 0;
}

/* What options say is nobody's business here, only how long they are. */
static const char OPTIONS[WIRE_OPTIONS_MAX];

/* --- words of the domain --- */

static struct session_bundle *
push_with(struct world *w, uint64_t size, uint32_t options)
{
    struct session_bundle *b = &w->bundles[w->pushed++];

    assert_true(w->pushed <= BUNDLES);
    *b = (struct session_bundle){.size = size, .options = {options > 0 ? OPTIONS : NULL, options}};
    session_push(w->s, b);
    return b;
}

static struct session_bundle *
push(struct world *w, uint64_t size)
{
    return push_with(w, size, 0);
}

static const struct wire_msg *
sends(struct world *w, enum wire_type type)
{
    assert_true(session_next_output(w->s, w->now, &w->out));
    assert_string_equal(wire_type_name(w->out.msg.type), wire_type_name(type));
    return &w->out.msg;
}

static void
sends_nothing(struct world *w)
{
    if (session_next_output(w->s, w->now, &w->out))
        fail_msg("it sends %s", wire_type_name(w->out.msg.type));
}

static void
sends_bundle(struct world *w, uint64_t seq)
{
    const struct wire_msg *m = sends(w, WIRE_BUNDLE);

    assert_int_equal(m->seq, seq);
    assert_int_equal(m->off, 0);
    assert_int_equal(w->out.len, m->size);
    assert_ptr_equal(w->out.bundle, &w->bundles[seq - 1]);
}

static void
passes(struct world *w, int64_t us)
{
    w->now += us;
    session_tick(w->s, w->now);
}

static void
receive(struct world *w, const struct wire_msg *m)
{
    session_receive(w->s, m, NULL, 0, w->now);
}

static struct session_info
info(struct world *w)
{
    struct session_info i;

    session_info(w->s, &i);
    return i;
}

static void
welcome_attempt(struct world *w, uint64_t attempt, uint64_t expect, uint64_t credit)
{
    struct wire_msg m = {.type = WIRE_WELCOME, .v = 1, .epoch = info(w).epoch, .attempt = attempt, .expect = expect,
                         .credit = credit, .ping_ms = 40000, .chunk = 65536, .max_bundle = 1 << 29};
    receive(w, &m);
}

static void
is_welcomed(struct world *w, uint64_t expect, uint64_t credit)
{
    sends(w, WIRE_HELLO);
    welcome_attempt(w, w->out.msg.attempt, expect, credit);
    assert_int_equal(info(w).phase, SESSION_WELCOMED);
}

static void
gives_credit(struct world *w, uint64_t credit)
{
    receive(w, &(struct wire_msg){.type = WIRE_CREDIT, .credit = credit});
}

static void
answers(struct world *w, uint64_t seq, enum wire_verdict verdict)
{
    struct wire_msg m = {.type = WIRE_VERDICT, .seq = seq, .verdict = verdict};

    if (verdict != WIRE_ACK) {
        m.has = BIT(WIRE_F_REASON) | BIT(WIRE_F_TEXT);
        m.reason = WIRE_R_UNROUTABLE;
        m.text = (struct wire_text){.at = "nobody listens!!", .len = 14};
    }
    receive(w, &m);
}

static void
errs(struct world *w, enum wire_reason code, bool fatal)
{
    receive(w, &(struct wire_msg){.type = WIRE_ERROR, .has = BIT(WIRE_F_TEXT), .code = code, .fatal = fatal,
                                  .text = {.at = "its words", .len = 9}});
}

static void
is_answered(struct world *w, uint64_t seq, enum session_verdict verdict)
{
    struct session_bundle *b = session_next_answer(w->s);

    assert_non_null(b);
    assert_int_equal(b->seq, seq);
    assert_int_equal(b->verdict, verdict);
    free(b->text);
    b->text = NULL;
}

/* --- hello --- */

static void
hello_comes_first_and_says_who_we_are(void **state)
{
    struct world *w = *state;
    const struct wire_msg *m;

    push(w, 3000);
    push(w, 5);
    m = sends(w, WIRE_HELLO);
    assert_int_equal(m->v, WIRE_VERSION);
    assert_memory_equal(m->id.at, "c1", 2);
    assert_int_equal(m->epoch, 100);
    assert_int_equal(m->attempt, 1);
    assert_true(m->fresh);
    assert_int_equal(m->seen, 0);
    assert_int_equal(m->want, 3005);
    assert_int_equal(m->head, 3000);
    sends_nothing(w);
}

static void
every_message_it_makes_is_one_that_the_codec_takes(void **state)
{
    struct world *w = *state;
    uint8_t frame[WIRE_HEADER_MAX];
    struct wire_msg back;
    struct wire_fault fault;
    unsigned types = 0;
    void *bytes = calloc(1, 10);

    push(w, 100)->ctype = (struct wire_text){.at = "text/plain", .len = 10};
    push(w, 100);
    session_log(w->s, WIRE_LV_WARN, "line", 4);
    session_health(w->s, WIRE_ST_DEGRADED, "so so", 5);
    assert_true(session_state_set(w->s, &bytes, 10, 0));
    for (int round = 0; round < 2; round++) {
        while (session_next_output(w->s, w->now, &w->out)) {
            size_t n = wire_encode(&w->out.msg, frame, sizeof(frame));

            assert_int_not_equal(n, 0);
            assert_int_equal(wire_decode(frame, n, WIRE_FROM_CONNECTOR, &back, &fault), 0);
            assert_int_equal(wire_has_body(&back), w->out.len > 0);
            types |= 1U << back.type;
            if (back.type == WIRE_HELLO)
                welcome_attempt(w, back.attempt, 1, 1024);
            if (back.type == WIRE_BUNDLE)
                answers(w, back.seq, WIRE_NACK);
        }
        session_bye(w->s);
    }
    assert_int_equal(types, 1U << WIRE_HELLO | 1U << WIRE_BUNDLE | 1U << WIRE_LOG | 1U << WIRE_HEALTH |
                                1U << WIRE_STATE | 1U << WIRE_PING | 1U << WIRE_BYE);
}

static void
an_unanswered_hello_is_repeated_ever_more_slowly(void **state)
{
    struct world *w = *state;
    static const int64_t pauses[] = {1 * S, 2 * S, 4 * S, 8 * S, 10 * S, 10 * S};

    sends(w, WIRE_HELLO);
    for (unsigned i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        assert_int_equal(session_due(w->s), w->now + pauses[i]);
        passes(w, pauses[i] - 1);
        sends_nothing(w);
        passes(w, 1);
        assert_int_equal(sends(w, WIRE_HELLO)->attempt, i + 2);
    }
}

static void
a_connection_on_which_four_hellos_are_lost_is_given_up(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 4; i++) {
        assert_false(session_wants_reset(w->s));
        sends(w, WIRE_HELLO);
        passes(w, 10 * S);
    }
    assert_true(session_wants_reset(w->s));
    assert_false(session_wants_reset(w->s));
}

static void
a_welcome_of_another_attempt_or_epoch_is_ignored(void **state)
{
    struct world *w = *state;
    struct wire_msg m = {.type = WIRE_WELCOME, .epoch = 99, .attempt = 2, .expect = 1, .ping_ms = 1, .chunk = 1};

    sends(w, WIRE_HELLO);
    passes(w, 1 * S);
    sends(w, WIRE_HELLO);
    welcome_attempt(w, 1, 1, 9999);
    assert_int_equal(info(w).phase, SESSION_CONNECTING);
    receive(w, &m);
    assert_int_equal(info(w).phase, SESSION_CONNECTING);
    welcome_attempt(w, 2, 1, 9999);
    assert_int_equal(info(w).phase, SESSION_WELCOMED);
}

static void
a_repeated_welcome_does_not_give_the_credit_twice(void **state)
{
    struct world *w = *state;

    push(w, 1024);
    push(w, 1024);
    is_welcomed(w, 1, 1024);
    sends_bundle(w, 1);
    welcome_attempt(w, 1, 1, 1024);
    sends_nothing(w);
    assert_int_equal(info(w).welcomes, 1);
}

static void
a_fresh_epoch_that_is_too_old_goes_above_the_known_one_by_its_own_bits(void **state)
{
    struct world *w = *state;
    struct wire_msg m = {.type = WIRE_ERROR, .has = BIT(WIRE_F_EPOCH), .code = WIRE_R_EPOCH, .epoch = 777};

    sends(w, WIRE_HELLO);
    receive(w, &m);
    assert_int_equal(sends(w, WIRE_HELLO)->epoch, 777 + 1 + 100);
    assert_true(w->out.msg.fresh);
    receive(w, &m); /* the answer to a hello that crossed it */
    sends_nothing(w);
    assert_int_equal(info(w).epoch, 878);
    welcome_attempt(w, 2, 1, 0);
    assert_int_equal(info(w).phase, SESSION_WELCOMED);
}

static void
an_epoch_in_use_is_never_changed(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 0);
    receive(w, &(struct wire_msg){.type = WIRE_ERROR, .has = BIT(WIRE_F_EPOCH), .code = WIRE_R_EPOCH, .epoch = 777});
    assert_int_equal(info(w).epoch, 100);
    session_connection_reset(w->s, w->now += S);
    assert_int_equal(sends(w, WIRE_HELLO)->epoch, 100);
    assert_false(w->out.msg.fresh);
}

static void
a_replaced_connector_stays_away_for_ever(void **state)
{
    struct world *w = *state;

    push(w, 10);
    is_welcomed(w, 1, 4096);
    receive(w, &(struct wire_msg){.type = WIRE_STOP, .reason = WIRE_R_REPLACED});
    assert_int_equal(info(w).phase, SESSION_REPLACED);
    session_connection_reset(w->s, w->now);
    passes(w, 3600 * S);
    sends_nothing(w);
    assert_int_equal(session_due(w->s), INT64_MAX);
}

static void
a_refused_connector_asks_again_every_30_s_and_recovers(void **state)
{
    struct world *w = *state;

    sends(w, WIRE_HELLO);
    errs(w, WIRE_R_UNKNOWN_ID, true);
    assert_int_equal(info(w).phase, SESSION_REFUSED);
    assert_string_equal(info(w).words, "unknown_id: its words");
    session_connection_reset(w->s, w->now); /* the gateway cuts, which must not become a storm */
    passes(w, 30 * S - 1);
    sends_nothing(w);
    passes(w, 1);
    is_welcomed(w, 1, 0);
}

static void
what_follows_a_refusal_does_not_hide_its_reason(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 0);
    errs(w, WIRE_R_UNKNOWN_ID, true);
    errs(w, WIRE_R_HELLO_FIRST, false); /* for a ping that was on its way */
    assert_int_equal(info(w).phase, SESSION_REFUSED);
    assert_string_equal(info(w).words, "unknown_id: its words");
    errs(w, WIRE_R_TYPE, false);
    assert_string_equal(info(w).words, "unknown_id: its words");
    errs(w, WIRE_R_VERSION, true); /* another reason to be out is news */
    assert_string_equal(info(w).words, "version: its words");
    passes(w, 30 * S);
    is_welcomed(w, 1, 0);
    assert_string_equal(info(w).words, "");
}

static void
a_gateway_that_stops_is_asked_again_after_a_second_on_a_new_connection(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 0);
    for (int i = 0; i < 2; i++) {
        receive(w, &(struct wire_msg){.type = WIRE_STOP, .reason = WIRE_R_SHUTDOWN});
        if (i == 0)
            session_connection_reset(w->s, w->now); /* it is gone already */
        sends_nothing(w);
        passes(w, 1 * S);
        assert_int_equal(session_wants_reset(w->s), i == 1);
        if (i == 1)
            session_connection_reset(w->s, w->now);
        is_welcomed(w, 1, 0);
    }
}

static void
a_welcome_that_claims_bundles_we_never_sent_is_not_believed(void **state)
{
    struct world *w = *state;

    push(w, 10);
    sends(w, WIRE_HELLO);
    welcome_attempt(w, 1, 2, 4096);
    assert_int_equal(info(w).phase, SESSION_CONNECTING);
    assert_int_equal(info(w).faults, 1);
    assert_true(session_wants_reset(w->s));
    assert_null(session_next_answer(w->s));
    session_connection_reset(w->s, w->now);
    passes(w, 1 * S);
    is_welcomed(w, 1, 4096);
    sends_bundle(w, 1);
}

/* --- bundles --- */

static void
bundles_go_in_order_within_the_credit(void **state)
{
    struct world *w = *state;

    push(w, 3000);
    push(w, 1);
    push(w, 2000);
    is_welcomed(w, 1, 3000 + 1024);
    sends_bundle(w, 1);
    assert_int_equal(w->out.msg.want, 2001);
    assert_int_equal(w->out.msg.head, 1);
    sends_bundle(w, 2);
    sends_nothing(w); /* the gateway was told what waits by the bundle before */
    gives_credit(w, 3000 + 1024 + 1999);
    sends_nothing(w);
    gives_credit(w, 3000 + 1024 + 2000);
    sends_bundle(w, 3);
    assert_int_equal(w->out.msg.want, 0);
    assert_int_equal(w->out.msg.head, 0);
}

static void
data_without_credit_is_told_by_one_ping(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 0);
    sends_nothing(w);
    push(w, 5000);
    assert_int_equal(sends(w, WIRE_PING)->want, 5000);
    assert_int_equal(w->out.msg.head, 5000);
    push(w, 6000);
    sends_nothing(w);
    receive(w, &(struct wire_msg){.type = WIRE_PONG, .credit = 5000, .expect = 1});
    sends_bundle(w, 1);
    assert_int_equal(w->out.msg.want, 6000);
    sends_nothing(w);
}

static void
a_want_that_hello_told_too_high_is_corrected(void **state)
{
    struct world *w = *state;

    push(w, 5000);
    is_welcomed(w, 1, 9000);
    sends_bundle(w, 1);
    session_connection_reset(w->s, w->now += S);
    assert_int_equal(sends(w, WIRE_HELLO)->want, 5000); /* it may have been lost */
    welcome_attempt(w, 2, 2, 0);
    assert_int_equal(sends(w, WIRE_PING)->want, 0);
    sends_nothing(w);
}

static void
credit_never_shrinks(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 4096);
    gives_credit(w, 100);
    push(w, 4096);
    sends_bundle(w, 1);
}

static void
a_large_bundle_goes_in_chunks_without_gaps(void **state)
{
    struct world *w = *state;
    uint64_t size = 3 * 65536 + 17, off = 0;

    struct session_bundle *b = push(w, size);

    b->ctype = (struct wire_text){.at = "a/b", .len = 3};
    b->options = (struct wire_text){.at = "{}", .len = 2};
    b->format = WIRE_FMT_OPENCTI + 1;
    push(w, 1);
    is_welcomed(w, 1, 1 << 20);
    while (off < size) {
        const struct wire_msg *m = sends(w, WIRE_BUNDLE);

        assert_int_equal(m->seq, 1);
        assert_int_equal(m->size, size);
        assert_int_equal(m->off, off);
        assert_int_equal(w->out.off, off);
        assert_int_equal(WIRE_HAS(m, WIRE_F_CTYPE), off == 0);
        assert_int_equal(WIRE_HAS(m, WIRE_F_OPTIONS), off == 0);
        assert_int_equal(WIRE_HAS(m, WIRE_F_FORMAT), off == 0);
        assert_int_equal(w->out.len, size - off < 65536 ? size - off : 65536);
        off += w->out.len;
    }
    sends_bundle(w, 2);
}

static void
a_bundle_that_was_begun_is_sent_whole_before_the_next(void **state)
{
    struct world *w = *state;

    push(w, 100000);
    push(w, 10);
    is_welcomed(w, 1, 1 << 20);
    sends(w, WIRE_BUNDLE);
    answers(w, 1, WIRE_NACK); /* too large, say: known from the first chunk */
    assert_null(session_next_answer(w->s)); /* its body is still needed */
    assert_int_equal(sends(w, WIRE_PING)->seen, 1);
    assert_int_equal(sends(w, WIRE_BUNDLE)->off, 65536);
    is_answered(w, 1, SESSION_NACKED);
    sends_bundle(w, 2);
}

/* --- verdicts --- */

static void
an_ack_answers_for_everything_below_it(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 4; i++)
        push(w, 10);
    is_welcomed(w, 1, 1 << 20);
    for (uint64_t i = 1; i <= 4; i++)
        sends_bundle(w, i);
    answers(w, 3, WIRE_ACK);
    for (uint64_t i = 1; i <= 3; i++)
        is_answered(w, i, SESSION_ACKED);
    assert_null(session_next_answer(w->s));
    answers(w, 3, WIRE_ACK);
    answers(w, 2, WIRE_NACK);
    assert_null(session_next_answer(w->s)); /* repeats */
    assert_int_equal(info(w).seen, 3);
    sends_nothing(w);
}

static void
a_refusal_is_told_and_answered_by_a_ping_at_once(void **state)
{
    struct world *w = *state;
    struct session_bundle *b;

    push(w, 10);
    push(w, 10);
    is_welcomed(w, 1, 1 << 20);
    sends_bundle(w, 1);
    sends_bundle(w, 2);
    answers(w, 1, WIRE_NACK);
    assert_int_equal(sends(w, WIRE_PING)->seen, 1);
    b = session_next_answer(w->s);
    assert_int_equal(b->verdict, SESSION_NACKED);
    assert_int_equal(b->reason, WIRE_R_UNROUTABLE);
    assert_string_equal(b->text, "nobody listens");
    free(b->text);
    answers(w, 2, WIRE_ACK_DEAD);
    assert_int_equal(sends(w, WIRE_PING)->seen, 2);
    is_answered(w, 2, SESSION_DEAD);
    sends_nothing(w);
}

static void
a_refusal_whose_predecessors_answer_was_lost_waits_for_it(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 3; i++)
        push(w, 10);
    is_welcomed(w, 1, 1 << 20);
    for (uint64_t i = 1; i <= 3; i++)
        sends_bundle(w, i);
    answers(w, 3, WIRE_NACK); /* the ack of 1 and 2 was dropped on its way */
    assert_null(session_next_answer(w->s));
    assert_int_equal(sends(w, WIRE_PING)->seen, 0);
    answers(w, 2, WIRE_ACK);
    answers(w, 3, WIRE_NACK);
    is_answered(w, 1, SESSION_ACKED);
    is_answered(w, 2, SESSION_ACKED);
    is_answered(w, 3, SESSION_NACKED);
}

static void
an_ack_for_what_was_not_sent_whole_is_not_believed(void **state)
{
    struct world *w = *state;

    push(w, 100000);
    is_welcomed(w, 1, 1 << 20);
    sends(w, WIRE_BUNDLE);
    answers(w, 1, WIRE_ACK);
    assert_null(session_next_answer(w->s));
    assert_int_equal(info(w).faults, 1);
    assert_true(session_wants_reset(w->s));
}

static void
an_answer_that_comes_before_the_resend_makes_it_needless(void **state)
{
    struct world *w = *state;

    push(w, 10);
    push(w, 10);
    is_welcomed(w, 1, 1 << 20);
    sends_bundle(w, 1);
    session_connection_reset(w->s, w->now += S);
    is_welcomed(w, 1, 0);
    answers(w, 1, WIRE_ACK); /* was on its way when the gateway died, and forgot the bundle */
    is_answered(w, 1, SESSION_ACKED);
    gives_credit(w, 1 << 20);
    while (session_next_output(w->s, w->now, &w->out) && w->out.msg.type == WIRE_PING)
        continue;
    assert_int_equal(w->out.msg.seq, 2);
    assert_int_equal(w->out.msg.want, 0);
}

/* --- connections that break --- */

static void
after_a_reconnect_it_resends_from_expect_on(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 5; i++)
        push(w, 10);
    is_welcomed(w, 1, 1 << 20);
    for (uint64_t i = 1; i <= 4; i++)
        sends_bundle(w, i);
    answers(w, 1, WIRE_ACK);
    session_connection_reset(w->s, w->now += S);
    assert_int_equal(sends(w, WIRE_HELLO)->seen, 1);
    assert_false(w->out.msg.fresh);
    welcome_attempt(w, 2, 3, 1 << 20); /* 2 is known there; 3 and 4 were lost */
    while (session_next_output(w->s, w->now, &w->out) && w->out.msg.type == WIRE_PING)
        continue;
    assert_int_equal(w->out.msg.seq, 3);
    sends_bundle(w, 4);
    sends_bundle(w, 5);
    assert_int_equal(info(w).resent, 2);
    answers(w, 5, WIRE_ACK);
    for (uint64_t i = 1; i <= 5; i++)
        is_answered(w, i, SESSION_ACKED);
}

static void
a_half_sent_bundle_is_resent_from_its_beginning(void **state)
{
    struct world *w = *state;

    push(w, 200000);
    is_welcomed(w, 1, 1 << 20);
    sends(w, WIRE_BUNDLE);
    sends(w, WIRE_BUNDLE);
    session_connection_reset(w->s, w->now += S);
    is_welcomed(w, 1, 1 << 20);
    assert_int_equal(sends(w, WIRE_BUNDLE)->off, 0);
}

static void
a_silent_reconnect_shows_by_hello_first_and_is_repaired_once(void **state)
{
    struct world *w = *state;

    push(w, 10);
    push(w, 10);
    is_welcomed(w, 1, 1 << 20);
    sends_bundle(w, 1);
    sends_bundle(w, 2);
    errs(w, WIRE_R_HELLO_FIRST, false);
    errs(w, WIRE_R_HELLO_FIRST, false);
    assert_int_equal(sends(w, WIRE_HELLO)->attempt, 2);
    errs(w, WIRE_R_HELLO_FIRST, false);
    sends_nothing(w);
    welcome_attempt(w, 2, 1, 1 << 20);
    sends_bundle(w, 1);
}

static void
gap_errors_without_progress_slow_down(void **state)
{
    struct world *w = *state;
    int64_t pause, last = -1;

    push(w, 10);
    is_welcomed(w, 1, 1 << 20);
    for (int i = 0; i < 8; i++) {
        sends_bundle(w, 1);
        errs(w, WIRE_R_GAP, false);
        pause = session_due(w->s) == INT64_MAX ? 0 : session_due(w->s) - w->now;
        assert_true(i == 0 ? pause == 0 : pause > last || pause == 10 * S);
        last = pause;
        passes(w, pause);
        is_welcomed(w, 1, 1 << 20);
    }
    assert_int_equal(last, 10 * S);
}

static void
a_cut_for_credit_makes_a_new_connection_not_a_storm(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 0);
    errs(w, WIRE_R_CREDIT, true);
    assert_int_equal(info(w).phase, SESSION_CONNECTING);
    assert_true(session_wants_reset(w->s));
    session_connection_reset(w->s, w->now);
    passes(w, 1 * S - 1);
    sends_nothing(w);
    passes(w, 1);
    sends(w, WIRE_HELLO);
}

static void
pings_go_out_in_time_and_silence_ends_the_connection(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 0);
    passes(w, 40 * S - 1);
    sends_nothing(w);
    passes(w, 1);
    sends(w, WIRE_PING);
    receive(w, &(struct wire_msg){.type = WIRE_PONG, .credit = 0, .expect = 1});
    for (int i = 0; i < 2; i++) {
        passes(w, 40 * S);
        sends(w, WIRE_PING);
        assert_false(session_wants_reset(w->s));
    }
    passes(w, 40 * S);
    assert_true(session_wants_reset(w->s));
    session_connection_reset(w->s, w->now);
    sends(w, WIRE_HELLO);
}

static void
credit_of_an_older_hello_is_not_used(void **state)
{
    struct world *w = *state;

    push(w, 10);
    is_welcomed(w, 1, 0);
    errs(w, WIRE_R_GAP, false);
    sends(w, WIRE_HELLO);
    gives_credit(w, 1 << 20);
    welcome_attempt(w, 2, 1, 0);
    sends_nothing(w);
}

/* --- a property: whatever the gateway grants, the connector stays within it --- */

struct random {
    uint64_t x;
};

static uint64_t
draw(struct random *r, uint64_t below)
{
    r->x ^= r->x << 13;
    r->x ^= r->x >> 7;
    r->x ^= r->x << 17;
    return r->x % below;
}

/* A gateway that checks every rule on what it gets, and loses connections at random. */
struct model {
    struct random r;
    uint64_t credit, spent, expect, off, answered;
    uint64_t sizes[400];
    bool     welcomed;
};

static void
model_takes(struct model *m, struct world *w)
{
    const struct wire_msg *out = &w->out.msg;

    if (out->type == WIRE_HELLO) {
        assert_true(out->seen <= m->answered);
        m->welcomed = draw(&m->r, 4) != 0;
        m->off = m->spent = 0;
        m->credit = draw(&m->r, 200000);
        if (m->welcomed)
            welcome_attempt(w, out->attempt, m->expect, m->credit);
        return;
    }
    assert_true(m->welcomed);
    if (out->type != WIRE_BUNDLE)
        return;
    assert_int_equal(out->seq, m->expect);
    assert_int_equal(out->off, m->off);
    assert_int_equal(out->size, m->sizes[out->seq]);
    assert_in_range(w->out.len, 1, WIRE_CHUNK_MAX);
    if (m->off == 0)
        m->spent += wire_cost(out->size + out->options.len);
    assert_true(m->spent <= m->credit);
    m->off += w->out.len;
    if (m->off == out->size) {
        m->expect++;
        m->off = 0;
    }
}

static void
model_acts(struct model *m, struct world *w)
{
    switch (draw(&m->r, 6)) {
    case 0:
    case 1:
        m->credit += draw(&m->r, 300000);
        if (m->welcomed)
            gives_credit(w, m->credit);
        break;
    case 2:
        if (m->expect - 1 > m->answered && m->welcomed) {
            m->answered += 1 + draw(&m->r, m->expect - 1 - m->answered);
            answers(w, m->answered, WIRE_ACK);
        }
        break;
    case 3:
        if (m->answered + 1 < m->expect && m->welcomed)
            answers(w, ++m->answered, WIRE_NACK);
        break;
    case 4:
        if (draw(&m->r, 10) == 0) {
            m->welcomed = false;
            session_connection_reset(w->s, w->now);
        }
        break;
    default:
        passes(w, (int64_t)draw(&m->r, 2000) * MS);
        if (session_wants_reset(w->s)) {
            m->welcomed = false;
            session_connection_reset(w->s, w->now);
        }
    }
}

static void
whatever_is_granted_and_lost_it_keeps_the_rules_and_loses_nothing(void **state)
{
    enum { N = 300 };
    struct session_bundle *bundles = calloc(N + 1, sizeof(*bundles));

    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct session_config config = {.id = "p", .epoch = seed};
        struct world w = {.now = S, .s = session_new(&config, NULL)};
        struct model m = {.r = {seed * 0x9e3779b97f4a7c15U}, .expect = 1};
        uint64_t pushed = 0, back = 0;
        struct session_bundle *b;

        for (int step = 0; step < 200000 && back < N; step++) {
            if (pushed < N && draw(&m.r, 3) == 0) {
                pushed++;
                m.sizes[pushed] = 1 + draw(&m.r, draw(&m.r, 8) == 0 ? 300000 : 3000);
                bundles[pushed] = (struct session_bundle){.size = m.sizes[pushed]};
                if (draw(&m.r, 4) == 0)
                    bundles[pushed].options = (struct wire_text){OPTIONS, 2 + (uint32_t)draw(&m.r, 8000)};
                session_push(w.s, &bundles[pushed]);
            }
            model_acts(&m, &w);
            for (uint64_t k = draw(&m.r, 6); k > 0 && session_next_output(w.s, w.now, &w.out); k--)
                model_takes(&m, &w);
            while ((b = session_next_answer(w.s)) != NULL) {
                assert_int_equal(b->seq, ++back);
                assert_true(back <= m.answered);
                free(b->text);
            }
        }
        assert_int_equal(back, N);
        assert_int_equal(info(&w).faults, 0);
        session_free(w.s);
    }
    free(bundles);
}

static void
options_count_in_want_head_and_credit(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 8099);
    push_with(w, 100, 8000);
    push_with(w, 100, 50);
    const struct wire_msg *ping = sends(w, WIRE_PING);
    assert_int_equal(ping->want, 8250);
    assert_int_equal(ping->head, 8100);
    sends_nothing(w);
    gives_credit(w, 8100);
    const struct wire_msg *bundle = sends(w, WIRE_BUNDLE);
    assert_int_equal(bundle->size, 100);
    assert_int_equal(bundle->want, 150);
    assert_int_equal(bundle->head, 150);
    sends_nothing(w);
    gives_credit(w, 8100 + WIRE_COST_MIN);
    assert_int_equal(sends(w, WIRE_BUNDLE)->want, 0);
}

/* --- log and health --- */

static void
lines_wait_for_the_welcome_and_the_oldest_are_dropped(void **state)
{
    struct world *w = *state;
    char text[2] = "a";

    for (int i = 0; i < SESSION_LOG_MAX + 2; i++) {
        text[0] = (char)('0' + i);
        session_log(w->s, WIRE_LV_INFO, text, 1);
    }
    is_welcomed(w, 1, 0);
    for (int i = 2; i < SESSION_LOG_MAX + 2; i++)
        assert_int_equal(sends(w, WIRE_LOG)->text.at[0], '0' + i);
    sends_nothing(w);
    assert_int_equal(info(w).log_dropped, 2);
}

static void
the_last_health_is_told_again_after_each_welcome(void **state)
{
    struct world *w = *state;

    session_health(w->s, WIRE_ST_OK, NULL, 0);
    session_health(w->s, WIRE_ST_FAILED, "on fire", 7);
    for (int i = 0; i < 2; i++) {
        is_welcomed(w, 1, 0);
        assert_int_equal(sends(w, WIRE_HEALTH)->status, WIRE_ST_FAILED);
        assert_memory_equal(w->out.msg.text.at, "on fire", 7);
        sends_nothing(w);
        session_connection_reset(w->s, w->now += S);
    }
}

/* --- state --- */

static void
gateway_has(struct world *w, const char *bytes, size_t size, size_t chunk, uint64_t version)
{
    size_t off = 0;

    do {
        size_t len = size - off < chunk ? size - off : chunk;
        struct wire_msg m = {.type = WIRE_STATE, .op = WIRE_OP_IS, .version = version, .size = size, .off = off};

        session_receive(w->s, &m, len == 0 ? NULL : bytes + off, len, w->now);
        off += len;
    } while (off < size);
}

static void
gateway_saved(struct world *w, uint64_t version)
{
    receive(w, &(struct wire_msg){.type = WIRE_STATE, .op = WIRE_OP_SAVED, .version = version});
}

static void
gateway_says_stale(struct world *w, uint64_t version)
{
    receive(w, &(struct wire_msg){.type = WIRE_ERROR, .has = BIT(WIRE_F_VERSION), .code = WIRE_R_STATE_STALE,
                                  .version = version});
}

static void
begins_set(struct world *w, const char *text, uint64_t version)
{
    void *bytes = strdup(text);

    assert_true(session_state_set(w->s, &bytes, strlen(text), version));
    assert_null(bytes);
}

static enum err_code
result(struct world *w, uint64_t version)
{
    struct session_state r;

    assert_true(session_state_done(w->s, &r));
    assert_int_equal(r.version, version);
    free(r.bytes);
    return r.code;
}

static void
a_state_is_read_in_chunks(void **state)
{
    struct world *w = *state;
    struct session_state r;
    char bytes[1000];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    assert_true(session_state_get(w->s));
    assert_false(session_state_get(w->s));
    is_welcomed(w, 1, 0);
    assert_int_equal(sends(w, WIRE_STATE)->op, WIRE_OP_GET);
    assert_false(session_state_done(w->s, &r));
    gateway_has(w, bytes, sizeof(bytes), 300, 7);
    assert_true(session_state_done(w->s, &r));
    assert_int_equal(r.code, ERR_NONE);
    assert_int_equal(r.version, 7);
    assert_int_equal(r.len, sizeof(bytes));
    assert_memory_equal(r.bytes, bytes, sizeof(bytes));
    free(r.bytes);
}

static void
an_absent_state_is_empty_and_of_version_0(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 0);
    assert_true(session_state_get(w->s));
    sends(w, WIRE_STATE);
    gateway_has(w, NULL, 0, 1, 0);
    assert_int_equal(result(w, 0), ERR_NONE);
}

static void
a_state_is_set_and_its_new_version_told(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 0);
    begins_set(w, "cursor", 4);
    assert_int_equal(sends(w, WIRE_STATE)->op, WIRE_OP_SET);
    assert_int_equal(w->out.msg.version, 4);
    assert_int_equal(w->out.len, 6);
    assert_memory_equal(w->out.state, "cursor", 6);
    gateway_saved(w, 3); /* of some older operation */
    gateway_saved(w, 5);
    assert_int_equal(result(w, 5), ERR_NONE);
}

static void
a_stale_set_is_told_as_such(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 0);
    begins_set(w, "cursor", 4);
    sends(w, WIRE_STATE);
    gateway_says_stale(w, 9);
    assert_int_equal(result(w, 9), ERR_STALE);
}

static void
loses_the_answer_of_a_set(struct world *w)
{
    is_welcomed(w, 1, 0);
    begins_set(w, "cursor", 4);
    sends(w, WIRE_STATE);
    session_connection_reset(w->s, w->now += S);
    is_welcomed(w, 1, 0);
    assert_int_equal(sends(w, WIRE_STATE)->op, WIRE_OP_GET);
}

static void
a_set_whose_answer_was_lost_succeeds_if_it_arrived(void **state)
{
    struct world *w = *state;

    loses_the_answer_of_a_set(w);
    gateway_has(w, "cursor", 6, 6, 5);
    assert_int_equal(result(w, 5), ERR_NONE);
}

static void
a_set_that_was_lost_is_repeated(void **state)
{
    struct world *w = *state;

    loses_the_answer_of_a_set(w);
    gateway_has(w, "old", 3, 3, 4);
    assert_int_equal(sends(w, WIRE_STATE)->op, WIRE_OP_SET);
    gateway_saved(w, 5);
    assert_int_equal(result(w, 5), ERR_NONE);
}

static void
a_lost_set_that_another_overtook_is_stale(void **state)
{
    struct world *w = *state;

    loses_the_answer_of_a_set(w);
    gateway_has(w, "theirs", 6, 6, 5);
    assert_int_equal(result(w, 5), ERR_STALE);
}

static void
the_same_bytes_of_a_later_version_are_not_taken_for_ours(void **state)
{
    struct world *w = *state;

    loses_the_answer_of_a_set(w);
    gateway_has(w, "cursor", 6, 6, 6);
    assert_int_equal(result(w, 6), ERR_STALE);
}

static void
a_repeated_set_is_not_stale_by_its_own_first_try(void **state)
{
    struct world *w = *state;

    loses_the_answer_of_a_set(w);
    gateway_has(w, "old", 3, 3, 4);
    assert_int_equal(sends(w, WIRE_STATE)->op, WIRE_OP_SET);
    gateway_says_stale(w, 5); /* the first came through after all, late */
    assert_int_equal(sends(w, WIRE_STATE)->op, WIRE_OP_GET);
    gateway_has(w, "cursor", 6, 6, 5);
    assert_int_equal(result(w, 5), ERR_NONE);
}

static void
a_state_answer_that_never_comes_is_asked_for_again(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 0);
    assert_true(session_state_get(w->s));
    sends(w, WIRE_STATE);
    session_receive(w->s, &(struct wire_msg){.type = WIRE_STATE, .op = WIRE_OP_IS, .version = 2, .size = 6, .off = 0},
                    "cur", 3, w->now);
    passes(w, 10 * S);
    sends(w, WIRE_STATE);
    gateway_has(w, "cursor", 6, 2, 3);
    assert_int_equal(result(w, 3), ERR_NONE);
}

static void
a_cancelled_operation_holds_the_next_until_its_answer(void **state)
{
    struct world *w = *state;
    void *bytes = NULL;

    is_welcomed(w, 1, 0);
    begins_set(w, "a", 4);
    sends(w, WIRE_STATE);
    session_state_cancel(w->s);
    assert_false(session_state_set(w->s, &bytes, 0, 4));
    gateway_saved(w, 5);
    begins_set(w, "b", 4);
    sends(w, WIRE_STATE);
    gateway_says_stale(w, 5);
    assert_int_equal(result(w, 5), ERR_STALE);
}

static void
an_operation_that_was_not_sent_is_cancelled_at_once(void **state)
{
    struct world *w = *state;

    begins_set(w, "a", 4);
    session_state_cancel(w->s);
    is_welcomed(w, 1, 0);
    sends_nothing(w);
    assert_true(session_state_get(w->s));
}

static void
a_busy_gateway_is_asked_for_the_state_again(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1, 0);
    begins_set(w, "cursor", 4);
    sends(w, WIRE_STATE);
    errs(w, WIRE_R_BUSY, false);
    sends_nothing(w);
    passes(w, 1 * S);
    assert_int_equal(sends(w, WIRE_STATE)->op, WIRE_OP_GET);
}

static void
bye_is_the_last_word(void **state)
{
    struct world *w = *state;

    push(w, 10);
    is_welcomed(w, 1, 4096);
    session_bye(w->s);
    sends(w, WIRE_BYE);
    passes(w, 100 * S);
    sends_nothing(w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(hello_comes_first_and_says_who_we_are),
        T(every_message_it_makes_is_one_that_the_codec_takes),
        T(an_unanswered_hello_is_repeated_ever_more_slowly),
        T(a_connection_on_which_four_hellos_are_lost_is_given_up),
        T(a_welcome_of_another_attempt_or_epoch_is_ignored),
        T(a_repeated_welcome_does_not_give_the_credit_twice),
        T(a_fresh_epoch_that_is_too_old_goes_above_the_known_one_by_its_own_bits),
        T(an_epoch_in_use_is_never_changed),
        T(a_replaced_connector_stays_away_for_ever),
        T(a_refused_connector_asks_again_every_30_s_and_recovers),
        T(what_follows_a_refusal_does_not_hide_its_reason),
        T(a_gateway_that_stops_is_asked_again_after_a_second_on_a_new_connection),
        T(a_welcome_that_claims_bundles_we_never_sent_is_not_believed),
        T(bundles_go_in_order_within_the_credit),
        T(data_without_credit_is_told_by_one_ping),
        T(a_want_that_hello_told_too_high_is_corrected),
        T(credit_never_shrinks),
        T(a_large_bundle_goes_in_chunks_without_gaps),
        T(a_bundle_that_was_begun_is_sent_whole_before_the_next),
        T(an_ack_answers_for_everything_below_it),
        T(a_refusal_is_told_and_answered_by_a_ping_at_once),
        T(a_refusal_whose_predecessors_answer_was_lost_waits_for_it),
        T(an_ack_for_what_was_not_sent_whole_is_not_believed),
        T(an_answer_that_comes_before_the_resend_makes_it_needless),
        T(after_a_reconnect_it_resends_from_expect_on),
        T(a_half_sent_bundle_is_resent_from_its_beginning),
        T(a_silent_reconnect_shows_by_hello_first_and_is_repaired_once),
        T(gap_errors_without_progress_slow_down),
        T(a_cut_for_credit_makes_a_new_connection_not_a_storm),
        T(pings_go_out_in_time_and_silence_ends_the_connection),
        T(credit_of_an_older_hello_is_not_used),
        cmocka_unit_test(whatever_is_granted_and_lost_it_keeps_the_rules_and_loses_nothing),
        T(options_count_in_want_head_and_credit),
        T(lines_wait_for_the_welcome_and_the_oldest_are_dropped),
        T(the_last_health_is_told_again_after_each_welcome),
        T(a_state_is_read_in_chunks),
        T(an_absent_state_is_empty_and_of_version_0),
        T(a_state_is_set_and_its_new_version_told),
        T(a_stale_set_is_told_as_such),
        T(a_set_whose_answer_was_lost_succeeds_if_it_arrived),
        T(a_set_that_was_lost_is_repeated),
        T(a_lost_set_that_another_overtook_is_stale),
        T(the_same_bytes_of_a_later_version_are_not_taken_for_ours),
        T(a_repeated_set_is_not_stale_by_its_own_first_try),
        T(a_state_answer_that_never_comes_is_asked_for_again),
        T(a_cancelled_operation_holds_the_next_until_its_answer),
        T(an_operation_that_was_not_sent_is_cancelled_at_once),
        T(a_busy_gateway_is_asked_for_the_state_again),
        T(bye_is_the_last_word),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
