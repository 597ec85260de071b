/* client_run_test.c - a schedule and its runs at the connector's side, without sockets or a clock. */
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
#define S INT64_C(1000000)

enum { BUNDLES = 8, PING_S = 40 };

static const uint8_t A[WIRE_RUN_LEN] = "run A", B[WIRE_RUN_LEN] = "run B";
static const struct session_schedule hourly = {.kind = WIRE_S_PERIOD, .period_ms = 3600000, .has_threshold = true,
                                               .threshold = 500000000, .resume = WIRE_RESUME_SCHEDULE, .ask = 7};

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

/* --- words of the domain --- */

static const struct wire_msg *
sends(struct world *w, enum wire_type type)
{
    uint8_t frame[WIRE_HEADER_MAX];

    assert_true(session_next_output(w->s, w->now, &w->out));
    assert_string_equal(wire_type_name(w->out.msg.type), wire_type_name(type));
    assert_int_not_equal(wire_encode(&w->out.msg, frame, sizeof(frame)), 0); /* the codec takes it */
    return &w->out.msg;
}

static void
sends_nothing(struct world *w)
{
    if (session_next_output(w->s, w->now, &w->out))
        fail_msg("it sends %s", wire_type_name(w->out.msg.type));
}

static void
receive(struct world *w, const struct wire_msg *m)
{
    session_receive(w->s, m, NULL, 0, w->now);
}

static struct session_run
run_of(struct world *w)
{
    struct session_info i;

    session_info(w->s, &i);
    return i.run;
}

static void
is_welcomed(struct world *w, uint64_t expect)
{
    const struct wire_msg *hello = sends(w, WIRE_HELLO);

    receive(w, &(struct wire_msg){.type = WIRE_WELCOME, .v = 1, .epoch = hello->epoch, .attempt = hello->attempt,
                                  .expect = expect, .credit = 1 << 20, .ping_ms = PING_S * 1000, .chunk = 65536,
                                  .max_bundle = 1 << 29});
}

static void
loses_the_connection(struct world *w)
{
    session_connection_reset(w->s, w->now);
    w->now += S;
    session_tick(w->s, w->now);
}

static void
permits(struct world *w, const uint8_t *run)
{
    struct wire_msg m = {.type = WIRE_PERMIT, .has = BIT(WIRE_F_RUN) | BIT(WIRE_F_LEASE_MS), .lease_ms = 120000};

    memcpy(m.run, run, sizeof(m.run));
    receive(w, &m);
}

/* run NULL: it is not about the end of one. */
static void
holds(struct world *w, uint32_t reasons, int64_t next_ms, const uint8_t *run)
{
    struct wire_msg m = {.type = WIRE_HOLD, .has = BIT(WIRE_F_REASONS), .reasons = reasons};

    if (next_ms >= 0) {
        m.has |= BIT(WIRE_F_NEXT_MS);
        m.next_ms = (uint64_t)next_ms;
    }
    if (run != NULL) {
        m.has |= BIT(WIRE_F_RUN);
        memcpy(m.run, run, sizeof(m.run));
    }
    receive(w, &m);
}

static void
errs(struct world *w, enum wire_reason code, uint64_t seq)
{
    struct wire_msg m = {.type = WIRE_ERROR, .has = BIT(WIRE_F_TEXT), .code = code,
                         .text = {.at = "its words", .len = 9}};

    if (seq > 0) {
        m.has |= BIT(WIRE_F_SEQ);
        m.seq = seq;
    }
    receive(w, &m);
}

static void
supersedes(struct world *w)
{
    receive(w, &(struct wire_msg){.type = WIRE_STOP, .has = BIT(WIRE_F_REASON), .reason = WIRE_R_SUPERSEDED});
}

static void
answers(struct world *w, uint64_t seq, enum wire_verdict verdict)
{
    receive(w, &(struct wire_msg){.type = WIRE_VERDICT, .seq = seq, .verdict = verdict});
}

static void
pushes(struct world *w)
{
    struct session_bundle *b = &w->bundles[w->pushed++];

    *b = (struct session_bundle){.size = 10};
    session_push(w->s, b);
    assert_int_equal(sends(w, WIRE_BUNDLE)->seq, w->pushed);
}

static void
has_run(struct world *w, const uint8_t *run)
{
    is_welcomed(w, 1);
    session_ready(w->s, &hourly);
    sends(w, WIRE_READY);
    permits(w, run);
    assert_int_equal(run_of(w).step, SESSION_RUN_UNDER_WAY);
}

static void
names(const struct wire_msg *m, const uint8_t *run)
{
    assert_int_equal(WIRE_HAS(m, WIRE_F_RUN), run != NULL);
    if (run != NULL)
        assert_memory_equal(m->run, run, WIRE_RUN_LEN);
}

static const struct wire_msg *
pings(struct world *w)
{
    w->now += PING_S * S;
    session_tick(w->s, w->now);
    return sends(w, WIRE_PING);
}

/* --- asking --- */

static void
without_a_schedule_nothing_is_asked_and_no_permit_taken(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1);
    sends_nothing(w);
    permits(w, A);
    assert_int_equal(run_of(w).step, SESSION_RUN_NONE);
    names(pings(w), NULL);
}

static void
ready_says_the_whole_schedule(void **state)
{
    struct world *w = *state;
    const struct wire_msg *m;

    session_ready(w->s, &hourly);
    is_welcomed(w, 1);
    m = sends(w, WIRE_READY);
    assert_int_equal(m->schedule, WIRE_S_PERIOD);
    assert_int_equal(m->period_ms, 3600000);
    assert_int_equal(m->threshold, 500000000);
    assert_int_equal(m->first_run, WIRE_FIRST_FREE);
    assert_int_equal(m->resume, WIRE_RESUME_SCHEDULE);
    sends_nothing(w);
}

static void
run_and_terminate_has_no_period(void **state)
{
    struct world *w = *state;
    const struct wire_msg *m;

    session_ready(w->s, &(struct session_schedule){.kind = WIRE_S_TERMINATE, .period_ms = 5});
    is_welcomed(w, 1);
    m = sends(w, WIRE_READY);
    assert_int_equal(m->schedule, WIRE_S_TERMINATE);
    assert_int_equal(m->has, BIT(WIRE_F_SCHEDULE) | BIT(WIRE_F_WANT) | BIT(WIRE_F_HEAD));
}

static void
ready_is_said_again_after_each_welcome_while_there_is_no_run(void **state)
{
    struct world *w = *state;

    session_ready(w->s, &hourly);
    is_welcomed(w, 1);
    sends(w, WIRE_READY);
    loses_the_connection(w);
    is_welcomed(w, 1);
    sends(w, WIRE_READY);
    permits(w, A);
    loses_the_connection(w);
    is_welcomed(w, 1);
    sends_nothing(w);
}

static void
a_ready_without_an_answer_is_said_again_with_the_next_ping(void **state)
{
    struct world *w = *state;

    session_ready(w->s, &hourly);
    is_welcomed(w, 1);
    sends(w, WIRE_READY);
    pings(w);
    sends(w, WIRE_READY);
    holds(w, 0, 1000, NULL);
    pings(w);
    sends_nothing(w);
}

static void
a_hold_tells_why_and_when_it_is_looked_at_again(void **state)
{
    struct world *w = *state;

    session_ready(w->s, &hourly);
    is_welcomed(w, 1);
    holds(w, WIRE_HOLD_MEMORY, -1, NULL);
    assert_false(run_of(w).answered); /* ready is not said yet: that was about credit */
    sends(w, WIRE_READY);
    holds(w, WIRE_HOLD_QUEUE | WIRE_HOLD_PAUSED, 2500, NULL);
    assert_true(run_of(w).answered);
    assert_int_equal(run_of(w).ask, 7);
    assert_int_equal(run_of(w).reasons, WIRE_HOLD_QUEUE | WIRE_HOLD_PAUSED);
    assert_int_equal(run_of(w).next_us, w->now + 2500000);
    holds(w, 0, -1, NULL);
    assert_int_equal(run_of(w).next_us, -1);
}

static void
a_schedule_that_is_refused_is_not_asked_with_again(void **state)
{
    struct world *w = *state;

    session_ready(w->s, &hourly);
    is_welcomed(w, 1);
    sends(w, WIRE_READY);
    errs(w, WIRE_R_SCHEDULE, 0);
    assert_true(run_of(w).refused);
    assert_string_equal(run_of(w).words, "schedule: its words");
    loses_the_connection(w);
    is_welcomed(w, 1);
    sends_nothing(w);
    session_ready(w->s, &hourly);
    assert_false(run_of(w).refused);
    sends(w, WIRE_READY);
}

static void
who_asks_no_more_takes_no_permit(void **state)
{
    struct world *w = *state;

    session_ready(w->s, &hourly);
    is_welcomed(w, 1);
    sends(w, WIRE_READY);
    session_unready(w->s);
    permits(w, A);
    assert_int_equal(run_of(w).step, SESSION_RUN_NONE);
    session_ready(w->s, &hourly);
    sends(w, WIRE_READY);
    permits(w, A); /* the gateway says it again */
    assert_int_equal(run_of(w).step, SESSION_RUN_UNDER_WAY);
}

/* --- under way --- */

static void
a_run_under_way_is_named_in_each_ping_and_hello(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    names(pings(w), A);
    loses_the_connection(w);
    names(sends(w, WIRE_HELLO), A);
}

static void
a_second_permit_of_the_same_run_changes_nothing(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    permits(w, A);
    assert_int_equal(run_of(w).permits, 1);
    sends_nothing(w);
    session_done(w->s, A, WIRE_OUT_OK, NULL);
    permits(w, A);
    assert_int_equal(run_of(w).step, SESSION_RUN_ENDING);
    assert_int_equal(run_of(w).permits, 1);
}

static void
a_permit_of_another_run_is_met_with_a_ping_that_names_ours(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    permits(w, B);
    assert_int_equal(run_of(w).permits, 1);
    names(sends(w, WIRE_PING), A);
}

static void
a_superseded_run_is_over_and_ready_waits_for_the_program(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    supersedes(w);
    assert_int_equal(run_of(w).step, SESSION_RUN_OVER);
    names(pings(w), NULL);
    permits(w, B); /* in answer to the ping; the program is still in the old one */
    assert_int_equal(run_of(w).permits, 1);
    sends_nothing(w);
    session_done(w->s, A, WIRE_OUT_OK, NULL);
    sends(w, WIRE_READY); /* and no done */
    permits(w, B);
    assert_int_equal(run_of(w).permits, 2);
    names(pings(w), B);
}

static void
the_connection_stays_when_a_run_is_superseded(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    supersedes(w);
    assert_false(session_wants_reset(w->s));
    pushes(w);
}

/* --- the end --- */

static void
done_is_told_once_all_that_was_pushed_before_is_answered(void **state)
{
    struct world *w = *state;
    const struct wire_msg *m;

    has_run(w, A);
    pushes(w);
    pushes(w);
    session_done(w->s, A, WIRE_OUT_FAILED, "half of it");
    sends_nothing(w);
    answers(w, 1, WIRE_ACK);
    sends_nothing(w);
    answers(w, 2, WIRE_NACK);
    sends(w, WIRE_PING);
    m = sends(w, WIRE_DONE);
    names(m, A);
    assert_int_equal(m->outcome, WIRE_OUT_FAILED);
    assert_int_equal(m->text.len, 10);
    sends_nothing(w);
}

static void
a_run_is_named_until_its_end_is_recorded_and_then_ready_is_said(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    session_done(w->s, A, WIRE_OUT_OK, NULL);
    sends(w, WIRE_DONE);
    names(pings(w), A);
    holds(w, WIRE_HOLD_QUEUE, -1, NULL); /* about something else */
    assert_int_equal(run_of(w).step, SESSION_RUN_ENDING);
    holds(w, 0, 3600000, B);
    assert_int_equal(run_of(w).step, SESSION_RUN_ENDING);
    holds(w, 0, 3600000, A);
    assert_int_equal(run_of(w).step, SESSION_RUN_NONE);
    sends(w, WIRE_READY);
    names(pings(w), NULL);
}

static void
done_is_repeated_at_each_welcome_until_its_end_is_recorded(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    session_done(w->s, A, WIRE_OUT_OK, "words");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sends(w, WIRE_DONE)->text.len, 5);
        sends_nothing(w);
        loses_the_connection(w);
        is_welcomed(w, 1);
    }
    sends(w, WIRE_DONE);
    holds(w, 0, 1, A);
    loses_the_connection(w);
    is_welcomed(w, 1);
    sends(w, WIRE_READY);
    sends_nothing(w);
}

static void
a_done_without_an_answer_is_repeated_with_the_next_ping(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    session_done(w->s, A, WIRE_OUT_OK, NULL);
    sends(w, WIRE_DONE);
    pings(w);
    sends(w, WIRE_DONE);
}

static void
an_end_of_which_the_gateway_knows_no_run_is_over(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    session_done(w->s, A, WIRE_OUT_OK, NULL);
    sends(w, WIRE_DONE);
    errs(w, WIRE_R_NO_RUN, 0);
    sends(w, WIRE_READY);
}

static void
an_end_that_is_superseded_is_over_too(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    session_done(w->s, A, WIRE_OUT_OK, NULL);
    sends(w, WIRE_DONE);
    supersedes(w);
    sends(w, WIRE_READY);
}

static void
the_end_of_a_run_that_is_not_the_present_one_ends_nothing(void **state)
{
    struct world *w = *state;

    has_run(w, B);
    session_done(w->s, A, WIRE_OUT_OK, NULL);
    assert_int_equal(run_of(w).step, SESSION_RUN_UNDER_WAY);
    sends_nothing(w);
}

static void
who_asks_no_more_says_no_ready_after_the_end(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    session_unready(w->s);
    session_done(w->s, A, WIRE_OUT_STOP, NULL);
    assert_int_equal(sends(w, WIRE_DONE)->outcome, WIRE_OUT_STOP);
    holds(w, 0, 1, A);
    sends_nothing(w);
}

/* --- the state, and the end with it --- */

static void
commits(struct world *w, const char *text, uint64_t version, const uint8_t *run)
{
    struct session_commit commit = {.after = true, .ends = run != NULL, .outcome = WIRE_OUT_OK};
    void *bytes = strdup(text);

    if (run != NULL)
        memcpy(commit.run, run, sizeof(commit.run));
    assert_true(session_state_commit(w->s, &bytes, strlen(text), version, &commit));
}

static void
saves(struct world *w, uint64_t version)
{
    receive(w, &(struct wire_msg){.type = WIRE_STATE, .op = WIRE_OP_SAVED, .version = version});
}

static void
state_is(struct world *w, const char *text, uint64_t version)
{
    struct wire_msg m = {.type = WIRE_STATE, .op = WIRE_OP_IS, .version = version, .size = strlen(text)};

    session_receive(w->s, &m, text, strlen(text), w->now);
}

static struct session_state
result(struct world *w)
{
    struct session_state r;

    assert_true(session_state_done(w->s, &r));
    return r;
}

static void
a_commit_waits_for_what_was_pushed_before_and_says_so(void **state)
{
    struct world *w = *state;
    const struct wire_msg *m;

    is_welcomed(w, 1);
    pushes(w);
    pushes(w);
    commits(w, "cursor", 3, NULL);
    sends_nothing(w);
    answers(w, 1, WIRE_ACK);
    sends_nothing(w);
    answers(w, 2, WIRE_ACK);
    m = sends(w, WIRE_STATE);
    assert_int_equal(m->after, 2);
    assert_int_equal(m->version, 3);
    names(m, NULL);
    saves(w, 4);
    assert_int_equal(result(w).version, 4);
}

static void
a_commit_after_a_refusal_is_denied_once_and_not_sent(void **state)
{
    struct world *w = *state;
    struct session_state r;

    is_welcomed(w, 1);
    pushes(w);
    commits(w, "cursor", 0, NULL);
    answers(w, 1, WIRE_NACK);
    sends(w, WIRE_PING);
    sends_nothing(w);
    r = result(w);
    assert_int_equal(r.code, ERR_DENIED);
    assert_int_equal(r.why, WIRE_R_UNDELIVERED);
    commits(w, "cursor", 0, NULL);
    sends(w, WIRE_STATE);
    errs(w, WIRE_R_UNDELIVERED, 1); /* the gateway tells it too, once: we have told it already */
    sends(w, WIRE_STATE);
    saves(w, 1);
    assert_int_equal(result(w).code, ERR_NONE);
}

static void
a_refusal_that_only_the_gateway_knows_of_denies_the_commit(void **state)
{
    struct world *w = *state;

    is_welcomed(w, 1);
    pushes(w);
    answers(w, 1, WIRE_ACK);
    commits(w, "cursor", 0, NULL);
    sends(w, WIRE_STATE);
    errs(w, WIRE_R_UNDELIVERED, 1);
    assert_int_equal(result(w).why, WIRE_R_UNDELIVERED);
}

static void
state_and_end_go_as_one_and_no_done_is_needed(void **state)
{
    struct world *w = *state;
    const struct wire_msg *m;

    has_run(w, A);
    commits(w, "cursor", 3, A);
    m = sends(w, WIRE_STATE);
    names(m, A);
    assert_int_equal(m->outcome, WIRE_OUT_OK);
    assert_int_equal(run_of(w).step, SESSION_RUN_UNDER_WAY);
    saves(w, 4);
    assert_int_equal(run_of(w).step, SESSION_RUN_ENDING);
    sends_nothing(w);
    holds(w, 0, 3600000, A);
    sends(w, WIRE_READY);
}

static void
a_lost_saved_is_looked_up_and_then_done_brings_the_hold(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    commits(w, "cursor", 3, A);
    sends(w, WIRE_STATE);
    loses_the_connection(w);
    is_welcomed(w, 1);
    assert_int_equal(sends(w, WIRE_STATE)->op, WIRE_OP_GET);
    sends_nothing(w);
    state_is(w, "cursor", 4);
    assert_int_equal(result(w).code, ERR_NONE);
    names(sends(w, WIRE_DONE), A);
}

static void
a_lost_set_is_set_again_with_the_end_in_it(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    commits(w, "cursor", 3, A);
    sends(w, WIRE_STATE);
    loses_the_connection(w);
    is_welcomed(w, 1);
    sends(w, WIRE_STATE);
    state_is(w, "before", 3);
    names(sends(w, WIRE_STATE), A);
}

static void
a_lost_hold_after_saved_is_brought_by_done(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    commits(w, "cursor", 3, A);
    sends(w, WIRE_STATE);
    saves(w, 4);
    loses_the_connection(w);
    is_welcomed(w, 1);
    names(sends(w, WIRE_DONE), A);
}

static void
after_any_error_but_no_run_the_run_goes_on(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    commits(w, "cursor", 3, A);
    sends(w, WIRE_STATE);
    errs(w, WIRE_R_STATE_SIZE, 0);
    assert_int_equal(result(w).code, ERR_CONFIG);
    assert_int_equal(run_of(w).step, SESSION_RUN_UNDER_WAY);
    session_done(w->s, A, WIRE_OUT_OK, NULL);
    sends(w, WIRE_DONE);
}

static void
a_state_with_the_end_of_a_run_that_is_not_current_is_not_set(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    commits(w, "cursor", 3, A);
    sends(w, WIRE_STATE);
    errs(w, WIRE_R_NO_RUN, 0);
    assert_int_equal(result(w).why, WIRE_R_NO_RUN);
    assert_int_equal(run_of(w).step, SESSION_RUN_OVER);
    commits(w, "cursor", 3, A); /* now it is known here */
    assert_int_equal(result(w).why, WIRE_R_NO_RUN);
    session_done(w->s, A, WIRE_OUT_OK, NULL);
    sends(w, WIRE_READY);
}

static void
the_late_answer_for_a_run_that_is_over_does_not_touch_the_next(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    commits(w, "cursor", 3, A);
    sends(w, WIRE_STATE);
    supersedes(w);
    session_done(w->s, A, WIRE_OUT_OK, NULL);
    sends(w, WIRE_READY);
    permits(w, B);
    errs(w, WIRE_R_NO_RUN, 0);
    assert_int_equal(result(w).why, WIRE_R_NO_RUN);
    assert_int_equal(run_of(w).step, SESSION_RUN_UNDER_WAY);
    names(pings(w), B);
}

static void
a_state_that_was_set_without_asking_counts_refusals_in(void **state)
{
    struct world *w = *state;
    void *bytes = strdup("x");

    is_welcomed(w, 1);
    pushes(w);
    answers(w, 1, WIRE_NACK);
    sends(w, WIRE_PING);
    assert_true(session_state_set(w->s, &bytes, 1, 0));
    sends(w, WIRE_STATE);
    saves(w, 1);
    assert_int_equal(result(w).code, ERR_NONE);
    commits(w, "cursor", 1, NULL);
    sends(w, WIRE_STATE);
}

static void
done_waits_for_a_set_that_nobody_waits_for_any_more(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    commits(w, "cursor", 3, A);
    sends(w, WIRE_STATE);
    session_state_cancel(w->s);
    session_done(w->s, A, WIRE_OUT_FAILED, NULL);
    sends_nothing(w);
    saves(w, 4); /* it came through after all: the end is recorded with it */
    names(sends(w, WIRE_DONE), A);
    holds(w, 0, 1, A);
    sends(w, WIRE_READY);
}

static void
a_set_that_was_given_up_unsent_leaves_the_end_to_done(void **state)
{
    struct world *w = *state;

    has_run(w, A);
    pushes(w);
    commits(w, "cursor", 3, A);
    session_state_cancel(w->s);
    session_done(w->s, A, WIRE_OUT_OK, NULL);
    answers(w, 1, WIRE_ACK);
    sends(w, WIRE_DONE);
    sends_nothing(w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(without_a_schedule_nothing_is_asked_and_no_permit_taken),
        T(ready_says_the_whole_schedule),
        T(run_and_terminate_has_no_period),
        T(ready_is_said_again_after_each_welcome_while_there_is_no_run),
        T(a_ready_without_an_answer_is_said_again_with_the_next_ping),
        T(a_hold_tells_why_and_when_it_is_looked_at_again),
        T(a_schedule_that_is_refused_is_not_asked_with_again),
        T(who_asks_no_more_takes_no_permit),
        T(a_run_under_way_is_named_in_each_ping_and_hello),
        T(a_second_permit_of_the_same_run_changes_nothing),
        T(a_permit_of_another_run_is_met_with_a_ping_that_names_ours),
        T(a_superseded_run_is_over_and_ready_waits_for_the_program),
        T(the_connection_stays_when_a_run_is_superseded),
        T(done_is_told_once_all_that_was_pushed_before_is_answered),
        T(a_run_is_named_until_its_end_is_recorded_and_then_ready_is_said),
        T(done_is_repeated_at_each_welcome_until_its_end_is_recorded),
        T(a_done_without_an_answer_is_repeated_with_the_next_ping),
        T(an_end_of_which_the_gateway_knows_no_run_is_over),
        T(an_end_that_is_superseded_is_over_too),
        T(the_end_of_a_run_that_is_not_the_present_one_ends_nothing),
        T(who_asks_no_more_says_no_ready_after_the_end),
        T(a_commit_waits_for_what_was_pushed_before_and_says_so),
        T(a_commit_after_a_refusal_is_denied_once_and_not_sent),
        T(a_refusal_that_only_the_gateway_knows_of_denies_the_commit),
        T(state_and_end_go_as_one_and_no_done_is_needed),
        T(a_lost_saved_is_looked_up_and_then_done_brings_the_hold),
        T(a_lost_set_is_set_again_with_the_end_in_it),
        T(a_lost_hold_after_saved_is_brought_by_done),
        T(after_any_error_but_no_run_the_run_goes_on),
        T(a_state_with_the_end_of_a_run_that_is_not_current_is_not_set),
        T(the_late_answer_for_a_run_that_is_over_does_not_touch_the_next),
        T(a_state_that_was_set_without_asking_counts_refusals_in),
        T(done_waits_for_a_set_that_nobody_waits_for_any_more),
        T(a_set_that_was_given_up_unsent_leaves_the_end_to_done),
    };
    return cmocka_run_group_tests_name("runs", tests, NULL, NULL);
}
