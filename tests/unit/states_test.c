/* states_test.c - `state` messages: put together for the store, and its answers cut into chunks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "err.h"
#include "mailbox.h"
#include "states.h"
#include "store/state.h"

enum { CONN = 7, ASKED_MAX = 2048, SAID_MAX = 2048, BIG = 150000 };

/* --- a store that writes down what it is asked, in place of store/state.c --- */

struct asked {
    bool     set;
    char     connector[65];
    void    *bytes;
    size_t   len;
    uint64_t version, ticket;
};

struct state {
    struct asked asked[ASKED_MAX];
    size_t       n;
    bool         full; /* it has no memory for more */
};

int
state_get(struct state *st, const char *connector, uint64_t ticket, struct err *err)
{
    struct asked *a = &st->asked[st->n];

    if (st->full)
        return err_set(err, ERR_NOMEM, 0, "state");
    st->n++;
    a->ticket = ticket;
    strncpy(a->connector, connector, sizeof(a->connector) - 1);
    return 0;
}

int
state_set(struct state *st, const char *connector, void **bytes, size_t len, uint64_t version, uint64_t ticket,
          struct err *err)
{
    struct asked *a = &st->asked[st->n];

    if (st->full)
        return err_set(err, ERR_NOMEM, 0, "state");
    st->n++;
    *a = (struct asked){.set = true, .bytes = *bytes, .len = len, .version = version, .ticket = ticket};
    strncpy(a->connector, connector, sizeof(a->connector) - 1);
    *bytes = NULL;
    return 0;
}

/* --- the world --- */

struct said {
    uint64_t        conn;
    struct wire_msg m;
    char           *body;
    size_t          len;
};

struct world {
    struct state    store;
    struct states  *states;
    struct mailbox *answers;
    struct said     said[SAID_MAX];
    size_t          n_said;
    char            bytes[WIRE_STATE_MAX + 1];
};

static void
note(void *ctx, uint64_t conn, const struct wire_msg *m, const void *body, size_t len)
{
    struct world *w = ctx;
    unsigned char frame[WIRE_HEADER_MAX];

    assert_true(w->n_said < SAID_MAX);
    assert_true(wire_encode(m, frame, sizeof(frame)) > 0);
    assert_true(wire_has_body(m) == (body != NULL));
    w->said[w->n_said] = (struct said){conn, *m, NULL, len};
    if (body != NULL) {
        w->said[w->n_said].body = malloc(len);
        assert_non_null(w->said[w->n_said].body);
        memcpy(w->said[w->n_said].body, body, len);
    }
    w->n_said++;
}

static void
forget(struct world *w)
{
    for (size_t i = 0; i < w->n_said; i++)
        free(w->said[i].body);
    w->n_said = 0;
}

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    const struct states_reply reply = {note, w};
    struct err err;

    if (w == NULL)
        return -1;
    w->answers = mailbox_new(sizeof(struct state_answer), &err);
    w->states = states_new(&w->store, &reply, &err);
    for (size_t i = 0; i < sizeof(w->bytes); i++)
        w->bytes[i] = (char)(i * 31 + i / 997);
    *state = w;
    return w->answers == NULL || w->states == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    states_free(w->states);
    mailbox_free(w->answers);
    for (size_t i = 0; i < w->store.n; i++)
        free(w->store.asked[i].bytes);
    forget(w);
    free(w);
    return 0;
}

static void
get(struct world *w, uint64_t conn)
{
    const struct wire_msg m = {.type = WIRE_STATE, .has = 1ULL << WIRE_F_OP, .op = WIRE_OP_GET};

    states_message(w->states, conn, "feed", &m, NULL, 0);
}

static void
chunk(struct world *w, uint64_t conn, uint64_t version, uint64_t size, uint64_t off, size_t len)
{
    const struct wire_msg m = {.type = WIRE_STATE, .op = WIRE_OP_SET, .version = version, .size = size, .off = off};

    states_message(w->states, conn, "feed", &m, len == 0 ? NULL : w->bytes + off, len);
}

static void
set(struct world *w, uint64_t conn, uint64_t version, uint64_t size)
{
    uint64_t off = 0;

    do {
        const size_t n = size - off < WIRE_CHUNK_MAX ? (size_t)(size - off) : WIRE_CHUNK_MAX;

        chunk(w, conn, version, size, off, n);
        off += n;
    } while (off < size);
}

/* The store answers the n-th thing that it was asked, with len bytes. */
static void
answer(struct world *w, size_t n, enum state_answer_kind kind, uint64_t version, size_t len)
{
    struct state_answer a = {.kind = kind, .ticket = w->store.asked[n].ticket, .version = version, .len = len};

    if (len > 0) {
        a.bytes = malloc(len);
        assert_non_null(a.bytes);
        memcpy(a.bytes, w->bytes, len);
    }
    a.text = strdup("words of the store");
    assert_int_equal(mailbox_post(w->answers, &a, 1, NULL), 0);
    states_answers(w->states, w->answers);
}

static const struct said *
only(const struct world *w, uint64_t conn)
{
    assert_int_equal(w->n_said, 1);
    assert_int_equal(w->said[0].conn, conn);
    return &w->said[0];
}

static void
assert_error(struct world *w, uint64_t conn, enum wire_reason code)
{
    assert_int_equal(only(w, conn)->m.type, WIRE_ERROR);
    assert_int_equal(w->said[0].m.code, code);
    assert_false(w->said[0].m.fatal);
    forget(w);
}

/* --- get --- */

static void
a_state_is_read_from_the_store_and_sent_in_chunks(void **state)
{
    struct world *w = *state;
    uint64_t off = 0;

    get(w, CONN);
    assert_int_equal(w->store.n, 1);
    assert_string_equal(w->store.asked[0].connector, "feed");
    assert_int_equal(w->n_said, 0);
    answer(w, 0, STATE_GOT, 4, BIG);
    assert_int_equal(w->n_said, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct said *s = &w->said[i];

        assert_int_equal(s->conn, CONN);
        assert_int_equal(s->m.op, WIRE_OP_IS);
        assert_int_equal(s->m.version, 4);
        assert_int_equal(s->m.size, BIG);
        assert_int_equal(s->m.off, off);
        assert_int_equal(s->len, i < 2 ? WIRE_CHUNK_MAX : BIG - 2 * WIRE_CHUNK_MAX);
        assert_memory_equal(s->body, w->bytes + off, s->len);
        off += s->len;
    }
}

static void
a_state_that_was_never_set_is_one_message_without_bytes(void **state)
{
    struct world *w = *state;

    get(w, CONN);
    answer(w, 0, STATE_GOT, 0, 0);
    assert_int_equal(only(w, CONN)->m.op, WIRE_OP_IS);
    assert_int_equal(w->said[0].m.version, 0);
    assert_int_equal(w->said[0].m.size, 0);
    assert_null(w->said[0].body);
}

static void
each_answer_goes_to_who_asked(void **state)
{
    struct world *w = *state;

    get(w, 100);
    get(w, 200);
    answer(w, 1, STATE_GOT, 2, 10);
    assert_int_equal(only(w, 200)->m.version, 2);
    forget(w);
    answer(w, 0, STATE_GOT, 1, 10);
    assert_int_equal(only(w, 100)->m.version, 1);
}

/* --- set --- */

static void
a_state_in_chunks_reaches_the_store_whole(void **state)
{
    struct world *w = *state;

    set(w, CONN, 3, BIG);
    assert_int_equal(w->store.n, 1);
    assert_true(w->store.asked[0].set);
    assert_string_equal(w->store.asked[0].connector, "feed");
    assert_int_equal(w->store.asked[0].version, 3);
    assert_int_equal(w->store.asked[0].len, BIG);
    assert_memory_equal(w->store.asked[0].bytes, w->bytes, BIG);
    assert_int_equal(w->n_said, 0); /* not before it is on the disk */
    answer(w, 0, STATE_SAVED, 4, 0);
    assert_int_equal(only(w, CONN)->m.op, WIRE_OP_SAVED);
    assert_int_equal(w->said[0].m.version, 4);
}

static void
the_largest_state_and_the_empty_one_are_taken(void **state)
{
    struct world *w = *state;

    set(w, CONN, 0, WIRE_STATE_MAX);
    set(w, CONN, 0, 0);
    assert_int_equal(w->store.n, 2);
    assert_int_equal(w->store.asked[0].len, WIRE_STATE_MAX);
    assert_memory_equal(w->store.asked[0].bytes, w->bytes, WIRE_STATE_MAX);
    assert_int_equal(w->store.asked[1].len, 0);
}

static void
a_state_that_is_too_large_is_refused(void **state)
{
    struct world *w = *state;

    chunk(w, CONN, 0, WIRE_STATE_MAX + 1, 0, WIRE_CHUNK_MAX);
    assert_error(w, CONN, WIRE_R_STATE_SIZE);
    chunk(w, CONN, 0, WIRE_NUMBER_MAX, 0, WIRE_CHUNK_MAX);
    assert_error(w, CONN, WIRE_R_STATE_SIZE);
    assert_int_equal(w->store.n, 0);
}

static void
a_stale_version_is_told_with_the_current_one(void **state)
{
    struct world *w = *state;

    set(w, CONN, 3, 10);
    answer(w, 0, STATE_STALE, 9, 0);
    assert_int_equal(only(w, CONN)->m.version, 9);
    assert_error(w, CONN, WIRE_R_STATE_STALE);
}

static void
a_failing_disk_is_told_as_try_again(void **state)
{
    struct world *w = *state;

    set(w, CONN, 3, 10);
    answer(w, 0, STATE_FAILED, 0, 0);
    assert_error(w, CONN, WIRE_R_BUSY);
}

/* Each of these comes after the first 64 KiB of a state of 150,000 bytes. */
static void
chunks_that_do_not_add_up_are_refused_once_and_another_attempt_is_taken(void **state)
{
    static const struct {
        uint64_t size, off;
        size_t   len;
    } wrong[] = {
        {BIG, 2 * WIRE_CHUNK_MAX, 100},                  /* one left out */
        {BIG, WIRE_CHUNK_MAX - 1, 100},                  /* again what is here */
        {BIG + 1, WIRE_CHUNK_MAX, 100},                  /* another size */
        {BIG, WIRE_CHUNK_MAX, BIG - WIRE_CHUNK_MAX + 1}, /* more than there should be */
        {BIG, WIRE_CHUNK_MAX, 0},                        /* nothing */
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        chunk(w, CONN, 0, BIG, 0, WIRE_CHUNK_MAX);
        chunk(w, CONN, 0, wrong[i].size, wrong[i].off, wrong[i].len);
        assert_error(w, CONN, WIRE_R_STATE_SIZE);
        chunk(w, CONN, 0, BIG, WIRE_CHUNK_MAX, WIRE_CHUNK_MAX); /* the rest of it is dropped in silence */
        chunk(w, CONN, 0, BIG, 2 * WIRE_CHUNK_MAX, BIG - 2 * WIRE_CHUNK_MAX);
        assert_int_equal(w->n_said, 0);
        assert_int_equal(w->store.n, i);
        set(w, CONN, 0, BIG);
        assert_int_equal(w->store.n, i + 1);
        assert_memory_equal(w->store.asked[i].bytes, w->bytes, BIG);
    }
}

static void
a_state_that_is_begun_again_replaces_the_half_that_was_here(void **state)
{
    struct world *w = *state;

    chunk(w, CONN, 1, BIG, 0, WIRE_CHUNK_MAX);
    chunk(w, CONN, 2, 10, 0, 10);
    assert_int_equal(w->store.n, 1);
    assert_int_equal(w->store.asked[0].version, 2);
    assert_int_equal(w->store.asked[0].len, 10);
    assert_int_equal(w->n_said, 0);
}

static void
two_connectors_do_not_mix_their_chunks(void **state)
{
    struct world *w = *state;

    chunk(w, 1, 5, BIG, 0, WIRE_CHUNK_MAX);
    chunk(w, 2, 6, 20, 0, 10);
    chunk(w, 2, 6, 20, 10, 10);
    assert_int_equal(w->store.n, 1);
    assert_int_equal(w->store.asked[0].version, 6);
    assert_memory_equal(w->store.asked[0].bytes, w->bytes, 20);
    chunk(w, 1, 5, BIG, WIRE_CHUNK_MAX, WIRE_CHUNK_MAX);
    chunk(w, 1, 5, BIG, 2 * WIRE_CHUNK_MAX, BIG - 2 * WIRE_CHUNK_MAX);
    assert_memory_equal(w->store.asked[1].bytes, w->bytes, BIG);
}

/* --- bounds --- */

static void
so_many_states_are_put_together_at_once_and_no_more(void **state)
{
    struct world *w = *state;

    for (uint64_t conn = 1; conn <= STATES_UPLOADS_MAX; conn++)
        chunk(w, conn, 0, BIG, 0, WIRE_CHUNK_MAX);
    assert_int_equal(w->n_said, 0);
    chunk(w, 99, 0, BIG, 0, WIRE_CHUNK_MAX);
    assert_error(w, 99, WIRE_R_BUSY);
    chunk(w, 99, 0, BIG, WIRE_CHUNK_MAX, WIRE_CHUNK_MAX);
    assert_int_equal(w->n_said, 0);
    states_gone(w->states, 5);
    set(w, 99, 0, BIG);
    assert_int_equal(w->store.n, 1);
    assert_int_equal(w->n_said, 0);
}

static void
so_many_wait_for_the_store_and_no_more(void **state)
{
    struct world *w = *state;

    for (uint64_t conn = 1; conn <= STATES_ASKED_MAX; conn++)
        get(w, conn);
    assert_int_equal(w->n_said, 0);
    get(w, 5000);
    assert_error(w, 5000, WIRE_R_BUSY);
    set(w, 5001, 0, 10);
    assert_error(w, 5001, WIRE_R_BUSY);
    assert_int_equal(w->store.n, STATES_ASKED_MAX);
    answer(w, 17, STATE_GOT, 0, 0);
    forget(w);
    get(w, 5000);
    assert_int_equal(w->n_said, 0);
    assert_int_equal(w->store.n, STATES_ASKED_MAX + 1);
}

static void
a_store_without_memory_is_told_as_try_again_and_keeps_no_place(void **state)
{
    struct world *w = *state;

    w->store.full = true;
    for (int i = 0; i <= STATES_ASKED_MAX; i++) {
        get(w, CONN);
        assert_error(w, CONN, WIRE_R_BUSY);
        set(w, CONN, 0, 10);
        assert_error(w, CONN, WIRE_R_BUSY);
    }
    w->store.full = false;
    get(w, CONN);
    set(w, CONN, 0, 10);
    assert_int_equal(w->store.n, 2);
}

static void
the_half_of_who_is_gone_is_dropped(void **state)
{
    struct world *w = *state;

    chunk(w, CONN, 0, BIG, 0, WIRE_CHUNK_MAX);
    states_gone(w->states, CONN);
    states_gone(w->states, CONN);
    chunk(w, CONN, 0, BIG, WIRE_CHUNK_MAX, WIRE_CHUNK_MAX);
    chunk(w, CONN, 0, BIG, 2 * WIRE_CHUNK_MAX, BIG - 2 * WIRE_CHUNK_MAX);
    assert_int_equal(w->store.n, 0);
    assert_int_equal(w->n_said, 0);
}

static void
an_answer_that_nobody_waits_for_is_dropped(void **state)
{
    struct world *w = *state;

    get(w, CONN);
    answer(w, 0, STATE_GOT, 1, 10);
    forget(w);
    answer(w, 0, STATE_GOT, 1, 10);
    w->store.asked[0].ticket = STATES_ASKED_MAX;
    answer(w, 0, STATE_GOT, 1, 10);
    w->store.asked[0].ticket = UINT64_MAX;
    answer(w, 0, STATE_GOT, 1, 10);
    assert_int_equal(w->n_said, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_state_is_read_from_the_store_and_sent_in_chunks),
        TEST(a_state_that_was_never_set_is_one_message_without_bytes),
        TEST(each_answer_goes_to_who_asked),
        TEST(a_state_in_chunks_reaches_the_store_whole),
        TEST(the_largest_state_and_the_empty_one_are_taken),
        TEST(a_state_that_is_too_large_is_refused),
        TEST(a_stale_version_is_told_with_the_current_one),
        TEST(a_failing_disk_is_told_as_try_again),
        TEST(chunks_that_do_not_add_up_are_refused_once_and_another_attempt_is_taken),
        TEST(a_state_that_is_begun_again_replaces_the_half_that_was_here),
        TEST(two_connectors_do_not_mix_their_chunks),
        TEST(so_many_states_are_put_together_at_once_and_no_more),
        TEST(so_many_wait_for_the_store_and_no_more),
        TEST(a_store_without_memory_is_told_as_try_again_and_keeps_no_place),
        TEST(the_half_of_who_is_gone_is_dropped),
        TEST(an_answer_that_nobody_waits_for_is_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
