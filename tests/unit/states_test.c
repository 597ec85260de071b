/* states_test.c - the shell's side of `state` messages: what waits for the core, and what is said when. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "err.h"
#include "mailbox.h"
#include "states.h"
#include "store/state.h"

enum { SAID_MAX = 64, CONN = 7 };

struct world {
    char              dir[64];
    struct mailbox   *answers;
    struct state     *store;
    struct states    *states;
    struct wire_msg   said[SAID_MAX]; /* without texts */
    uint64_t          to[SAID_MAX];
    int               n_said;
    struct core_event stepped[SAID_MAX];
    int               n_stepped;
    int               said_at_step;   /* what was said when the last step came */
    struct err        err;
};

static void
note_said(void *ctx, uint64_t conn, const struct wire_msg *m, const void *body, size_t len)
{
    unsigned char frame[WIRE_HEADER_MAX];
    struct world *w = ctx;

    (void)body;
    (void)len;
    assert_true(w->n_said < SAID_MAX);
    assert_int_not_equal(conn, 0);
    assert_int_not_equal(wire_encode(m, frame, sizeof(frame)), 0);
    w->to[w->n_said] = conn;
    w->said[w->n_said++] = *m;
}

static void
note_step(void *ctx, const struct core_event *e)
{
    struct world *w = ctx;

    assert_true(w->n_stepped < SAID_MAX);
    w->stepped[w->n_stepped++] = *e;
    w->said_at_step = w->n_said;
}

static int
world_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    const struct states_hands hands = {note_said, note_step, w};

    *state = w;
    if (w == NULL)
        return -1;
    strcpy(w->dir, "/tmp/sluice-states-XXXXXX");
    if (mkdtemp(w->dir) == NULL || (w->answers = mailbox_new(sizeof(struct state_answer), NULL)) == NULL)
        return -1;
    w->store = state_open(w->dir, w->answers, NULL, &w->err);
    w->states = w->store == NULL ? NULL : states_new(w->store, &hands, &w->err);
    return w->states == NULL ? -1 : 0;
}

static int
world_down(void **state)
{
    static const char *const names[] = {"state.db", "state.db-wal", "sluice.lock"};
    struct world *w = *state;
    char path[128];

    state_close(w->store);
    states_free(w->states);
    mailbox_free(w->answers);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
        unlink(path);
    }
    rmdir(w->dir);
    free(w);
    return 0;
}

/* Wait for n answers of the store and hand them on. */
static void
answers(struct world *w, size_t n)
{
    while (n > 0) {
        struct pollfd fd = {.fd = mailbox_fd(w->answers), .events = POLLIN};
        const struct state_answer *a;
        void *taken;
        size_t got;

        assert_int_equal(poll(&fd, 1, 60000), 1);
        got = mailbox_take(w->answers, &taken);
        a = taken;
        for (size_t i = 0; i < got; i++) {
            states_answer(w->states, &a[i]);
            free(a[i].bytes);
            free(a[i].text);
        }
        n -= got;
    }
}

static struct wire_msg
set_of(uint64_t version, uint64_t size, uint64_t after)
{
    struct wire_msg m = {.type = WIRE_STATE, .op = WIRE_OP_SET, .version = version, .size = size, .after = after};

    m.has = 1ULL << WIRE_F_OP | 1ULL << WIRE_F_VERSION | 1ULL << WIRE_F_SIZE | 1ULL << WIRE_F_OFF;
    if (after > 0)
        m.has |= 1ULL << WIRE_F_AFTER;
    return m;
}

static void
say(struct world *w, uint64_t conn, const struct wire_msg *m, const char *body)
{
    states_message(w->states, conn, "kev", m, body, strlen(body));
}

/* The last thing that was said is this error; it is the n-th. */
static void
assert_error(const struct world *w, int n, enum wire_reason code)
{
    assert_int_equal(w->n_said, n);
    assert_int_equal(w->said[n - 1].type, WIRE_ERROR);
    assert_int_equal(w->said[n - 1].code, code);
}

static void
assert_saved(const struct world *w, int n, uint64_t version)
{
    assert_int_equal(w->n_said, n);
    assert_int_equal(w->said[n - 1].type, WIRE_STATE);
    assert_int_equal(w->said[n - 1].op, WIRE_OP_SAVED);
    assert_int_equal(w->said[n - 1].version, version);
}

static void
a_state_that_waits_for_nothing_needs_no_leave(void **state)
{
    struct world *w = *state;
    const struct wire_msg m = set_of(0, 3, 0);

    say(w, CONN, &m, "one");
    answers(w, 1);
    assert_saved(w, 1, 1);
    assert_int_equal(w->n_stepped, 0);
}

static void
a_state_after_bundles_is_stored_with_leave_and_said_before_the_core_hears(void **state)
{
    struct world *w = *state;
    const struct wire_msg m = set_of(0, 3, 5);
    const struct state_row row = {.connector = "kev", .has_ended = true};

    say(w, CONN, &m, "one");
    assert_int_equal(w->n_stepped, 1);
    assert_int_equal(w->stepped[0].kind, CORE_COMMIT);
    assert_int_equal(w->stepped[0].u.commit.conn, CONN);
    assert_int_equal(w->stepped[0].u.commit.after, 5);
    assert_false(w->stepped[0].u.commit.has_run);
    states_go(w->states, w->stepped[0].u.commit.ticket, 99, &row);
    assert_int_equal(w->n_said, 0);
    answers(w, 1);
    assert_saved(w, 1, 1);
    assert_int_equal(w->n_stepped, 2);
    assert_int_equal(w->stepped[1].kind, CORE_COMMITTED);
    assert_int_equal(w->stepped[1].u.stored.ticket, 99);
    assert_true(w->stepped[1].u.stored.ok);
    assert_int_equal(w->said_at_step, 1);
}

static void
a_state_in_chunks_that_ends_a_run_comes_with_the_run(void **state)
{
    struct world *w = *state;
    struct wire_msg m = set_of(0, 6, 0);

    m.has |= 1ULL << WIRE_F_RUN | 1ULL << WIRE_F_OUTCOME;
    m.run[0] = 0xAB;
    m.outcome = WIRE_OUT_FAILED;
    say(w, CONN, &m, "one");
    assert_int_equal(w->n_stepped, 0);
    m.off = 3;
    say(w, CONN, &m, "two");
    assert_int_equal(w->n_stepped, 1);
    assert_true(w->stepped[0].u.commit.has_run);
    assert_int_equal(w->stepped[0].u.commit.run[0], 0xAB);
    assert_int_equal(w->stepped[0].u.commit.outcome, WIRE_OUT_FAILED);
    assert_int_equal(w->stepped[0].u.commit.after, 0);
}

static void
chunks_that_say_different_things_do_not_add_up(void **state)
{
    struct world *w = *state;
    struct wire_msg m = set_of(0, 6, 5);

    say(w, CONN, &m, "one");
    m.off = 3;
    m.after = 4;
    say(w, CONN, &m, "two");
    assert_error(w, 1, WIRE_R_STATE_SIZE);
    assert_int_equal(w->n_stepped, 0);
}

static void
a_stale_state_is_told_and_the_core_hears_that_nothing_was_stored(void **state)
{
    struct world *w = *state;
    const struct wire_msg m = set_of(3, 3, 5);

    say(w, CONN, &m, "one");
    states_go(w->states, w->stepped[0].u.commit.ticket, 99, NULL);
    answers(w, 1);
    assert_error(w, 1, WIRE_R_STATE_STALE);
    assert_int_equal(w->stepped[1].kind, CORE_COMMITTED);
    assert_false(w->stepped[1].u.stored.ok);
}

static void
why_a_state_gets_no_leave_is_said_and_its_place_is_free_again(void **state)
{
    static const enum wire_reason reasons[] = {WIRE_R_UNDELIVERED, WIRE_R_NO_RUN, WIRE_R_BUSY};
    struct world *w = *state;
    const struct wire_msg m = set_of(0, 3, 5);

    for (int i = 0; i < 3; i++) {
        say(w, CONN, &m, "one");
        assert_int_equal(w->stepped[i].u.commit.ticket, 0);
        states_fail(w->states, 0, reasons[i], 4);
        assert_error(w, i + 1, reasons[i]);
    }
    assert_int_equal(w->said[0].seq, 4);
    say(w, CONN, &m, "one");
    states_fail(w->states, 0, WIRE_R_NONE, 0); /* forgotten: nothing is said */
    assert_int_equal(w->n_said, 3);
}

static void
what_was_stored_for_a_connection_that_is_gone_is_told_to_the_core_alone(void **state)
{
    struct world *w = *state;
    const struct wire_msg m = set_of(0, 3, 5);

    say(w, CONN, &m, "one");
    states_go(w->states, w->stepped[0].u.commit.ticket, 99, NULL);
    states_gone(w->states, CONN);
    answers(w, 1);
    assert_int_equal(w->n_said, 0);
    assert_true(w->stepped[1].u.stored.ok);
}

static void
states_that_wait_are_bounded_in_bytes(void **state)
{
    enum { FIT = STATES_WAITING_BYTES / WIRE_STATE_MAX };
    struct world *w = *state;
    struct wire_msg m = set_of(0, WIRE_STATE_MAX, 5);
    char *chunk = calloc(1, WIRE_CHUNK_MAX + 1);

    assert_non_null(chunk);
    memset(chunk, 'x', WIRE_CHUNK_MAX);
    for (int i = 0; i <= FIT; i++)
        for (m.off = 0; m.off < m.size; m.off += WIRE_CHUNK_MAX)
            say(w, CONN + (uint64_t)i, &m, chunk);
    free(chunk);
    assert_int_equal(w->n_stepped, FIT);
    assert_error(w, 1, WIRE_R_BUSY);
    assert_int_equal(w->to[0], CONN + FIT);
    states_fail(w->states, w->stepped[0].u.commit.ticket, WIRE_R_NONE, 0);
    m = set_of(0, 3, 5);
    say(w, CONN, &m, "one");
    assert_int_equal(w->n_stepped, FIT + 1);
}

static void
leave_that_finds_no_place_at_the_store_is_used_later(void **state)
{
    struct world *w = *state;
    const struct wire_msg get = {.type = WIRE_STATE, .op = WIRE_OP_GET}, m = set_of(0, 3, 5);

    say(w, CONN, &m, "one");
    for (uint64_t i = 0; i < STATES_ASKED_MAX; i++)
        say(w, 1000 + i, &get, "");
    for (uint64_t i = 0; i < STATES_ASKED_MAX; i++)
        states_gone(w->states, 1000 + i);
    states_go(w->states, w->stepped[0].u.commit.ticket, 99, NULL);
    assert_true(states_turn(w->states));
    answers(w, STATES_ASKED_MAX);
    assert_false(states_turn(w->states));
    answers(w, 1);
    assert_saved(w, 1, 1);
    assert_int_equal(w->stepped[1].u.stored.ticket, 99);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_state_that_waits_for_nothing_needs_no_leave),
        TEST(a_state_after_bundles_is_stored_with_leave_and_said_before_the_core_hears),
        TEST(a_state_in_chunks_that_ends_a_run_comes_with_the_run),
        TEST(chunks_that_say_different_things_do_not_add_up),
        TEST(a_stale_state_is_told_and_the_core_hears_that_nothing_was_stored),
        TEST(why_a_state_gets_no_leave_is_said_and_its_place_is_free_again),
        TEST(what_was_stored_for_a_connection_that_is_gone_is_told_to_the_core_alone),
        TEST(states_that_wait_are_bounded_in_bytes),
        TEST(leave_that_finds_no_place_at_the_store_is_used_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
