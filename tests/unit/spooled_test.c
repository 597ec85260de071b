/* spooled_test.c - between the core and the spool: what one is told of the other.  Both are this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bodies.h"
#include "core/core.h"
#include "err.h"
#include "loop_parts.h"
#include "mailbox.h"
#include "store/spool.h"

enum { KEV = 3, ICS = 4 /* connectors */, PUTS = 8, EVENTS = 8 };

struct world {
    struct loop loop;
    uint64_t put[PUTS]; /* slots that reached the spool */
    size_t n_put;
    bool no_memory;     /* the spool has none for a request */
    struct core_event told[EVENTS];
    char ctype[EVENTS][40], options[EVENTS][40]; /* of a bundle that was read, during the step */
    size_t n_told;
    bool keep;          /* the core wants what was read */
};

/* --- in the place of the others --- */

void
effects_later(struct loop *l, const struct core_event *e)
{
    l->after[l->n_after++] = *e;
}

void
effects_step(struct loop *l, const struct core_event *e)
{
    struct world *w = (struct world *)l;

    assert_true(w->n_told < EVENTS);
    w->told[w->n_told] = *e;
    if (e->kind == CORE_FETCHED) {
        (void)snprintf(w->ctype[w->n_told], 40, "%.*s", (int)l->header->ctype.len, l->header->ctype.at);
        (void)snprintf(w->options[w->n_told], 40, "%.*s", (int)l->header->options.len, l->header->options.at);
        if (w->keep)
            spooled_keep(l, 9);
    }
    w->n_told++;
}

bool
core_status(struct core *core, uint32_t number, struct core_status *ret)
{
    (void)core;
    ret->id = number == KEV ? "kev" : "ics";
    return true;
}

bool
core_number(const struct core *core, const char *id, uint32_t *ret)
{
    (void)core;
    (void)id;
    *ret = KEV;
    return true;
}

bool
letters_put(struct loop *l, const struct core_effect *e, uint64_t size)
{
    (void)l;
    (void)e;
    (void)size;
    return true;
}

void
letters_put_failed(struct loop *l, uint32_t slot)
{
    (void)l;
    (void)slot;
}

bool
letters_bury(struct loop *l, const struct core_effect *e)
{
    (void)l;
    (void)e;
    return false;
}

void
letters_not_buried(struct loop *l, const char *connector, uint64_t pos)
{
    (void)l;
    (void)connector;
    (void)pos;
}

bool
letters_appended(struct loop *l, const struct spool_answer *a)
{
    (void)l;
    (void)a;
    return false;
}

bool
spool_begin(struct spool *s)
{
    (void)s;
    return true;
}

bool
spool_append(struct spool *s, uint64_t ticket, const struct spool_bundle *bundle, const struct spool_chunk *chunks,
             size_t n)
{
    struct world *w = (struct world *)s;

    (void)bundle;
    (void)chunks;
    (void)n;
    if (w->no_memory)
        return false;
    assert_true(w->n_put < PUTS);
    w->put[w->n_put++] = ticket;
    return true;
}

bool
spool_fetch(struct spool *s, uint64_t ticket, const char *id, uint64_t pos, uint64_t room, uint32_t most)
{
    (void)ticket;
    (void)id;
    (void)pos;
    (void)room;
    (void)most;
    return !((struct world *)s)->no_memory;
}

bool
spool_release(struct spool *s, const char *id, uint64_t pos)
{
    (void)s;
    (void)id;
    (void)pos;
    return true;
}

struct spool *
spool_open(const struct spool_config *config, struct mailbox *answers, struct log *log, struct err *err)
{
    (void)config;
    (void)answers;
    (void)log;
    (void)err;
    return NULL;
}

void
spool_streams(struct spool *s, void (*each)(void *ctx, const struct spool_stream *stream), void *ctx)
{
    (void)s;
    (void)each;
    (void)ctx;
}

void
spool_figures(struct spool *s, struct spool_figures *ret)
{
    (void)s;
    memset(ret, 0, sizeof(*ret));
}

void
spool_close(struct spool *s)
{
    (void)s;
}

/* --- a loop of which only these parts are there --- */

static int
world_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    *state = w;
    if (w == NULL)
        return -1;
    w->loop.spool = (struct spool *)w;
    w->loop.bodies = bodies_new(NULL);
    w->loop.spooled = mailbox_new(sizeof(struct spool_answer), NULL);
    for (uint32_t slot = 1; slot < 8; slot++) {
        const struct wire_msg header = {.type = WIRE_BUNDLE, .size = 4};

        if (bodies_open_whole(w->loop.bodies, slot, &header, "some") == NULL)
            return -1;
    }
    return 0;
}

static int
world_down(void **state)
{
    struct world *w = *state;

    bodies_free(w->loop.bodies);
    mailbox_free(w->loop.spooled);
    free(w);
    return 0;
}

static void
put(struct world *w, uint32_t number, uint32_t slot)
{
    struct core_effect e = {.kind = CORE_SPOOL};

    e.u.spool.number = number;
    e.u.spool.connector = number == KEV ? "kev" : "ics";
    e.u.spool.slot = slot;
    spooled_put(&w->loop, &e);
}

/* --- to the spool --- */

static void
behind_one_that_failed_in_this_step_none_of_its_connector_goes(void **state)
{
    struct world *w = *state;

    put(w, KEV, 1);
    put(w, KEV, 20); /* there is no such body */
    put(w, KEV, 2);
    put(w, ICS, 3);
    put(w, KEV, 4);
    assert_int_equal(w->n_put, 2);
    assert_int_equal(w->put[0], 1);
    assert_int_equal(w->put[1], 3);
    assert_int_equal(w->loop.n_after, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(w->loop.after[i].kind, CORE_SPOOLED);
        assert_false(w->loop.after[i].u.spooled.ok);
    }
    w->loop.n_after = 0; /* the core was told */
    put(w, KEV, 2);
    assert_int_equal(w->n_put, 3);
}

static void
a_request_without_memory_is_a_failure_like_any_other(void **state)
{
    struct world *w = *state;

    w->no_memory = true;
    put(w, KEV, 1);
    w->no_memory = false;
    put(w, KEV, 2);
    assert_int_equal(w->n_put, 0);
    assert_int_equal(w->loop.n_after, 2);
}

/* --- and back --- */

static void
answer(struct world *w, const char *head, size_t head_len)
{
    struct spool_answer a = {.kind = SPOOL_FETCHED, .ticket = KEV, .pos = 7, .body = strdup("body")};

    a.bundle = (struct spool_bundle){
        .id = "kev", .epoch = 5, .seq = 6, .format = 1, .head = head, .head_len = (uint32_t)head_len, .size = 4};
    assert_int_equal(mailbox_post(w->loop.spooled, &a, 1, NULL), 0);
    spooled_take(&w->loop);
}

static void
what_is_read_has_the_header_that_it_came_with(void **state)
{
    static const char head[] = "text/plain\0{\"a\":1}";
    struct world *w = *state;

    w->keep = true;
    answer(w, head, sizeof(head) - 1);
    assert_int_equal(w->n_told, 1);
    assert_int_equal(w->told[0].u.fetched.number, KEV);
    assert_int_equal(w->told[0].u.fetched.pos, 7);
    assert_int_equal(w->told[0].u.fetched.epoch, 5);
    assert_int_equal(w->told[0].u.fetched.seq, 6);
    assert_int_equal(w->told[0].u.fetched.options_len, 7);
    assert_string_equal(w->ctype[0], "text/plain");
    assert_string_equal(w->options[0], "{\"a\":1}");
    assert_memory_equal(bodies_at(w->loop.bodies, 9)->chunks[0].at, "body", 4);
}

static void
what_the_core_does_not_want_is_thrown_away(void **state)
{
    struct world *w = *state;

    answer(w, "a/b", 4);
    assert_int_equal(w->n_told, 1);
    assert_null(bodies_at(w->loop.bodies, 9));
}

static void
a_head_that_is_not_ours_is_damage(void **state)
{
    struct world *w = *state;

    answer(w, "no end", 6);
    assert_int_equal(w->n_told, 1);
    assert_int_equal(w->told[0].kind, CORE_DAMAGED);
    assert_int_equal(w->told[0].u.damaged.pos, 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(behind_one_that_failed_in_this_step_none_of_its_connector_goes),
        TEST(a_request_without_memory_is_a_failure_like_any_other),
        TEST(what_is_read_has_the_header_that_it_came_with),
        TEST(what_the_core_does_not_want_is_thrown_away),
        TEST(a_head_that_is_not_ours_is_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
