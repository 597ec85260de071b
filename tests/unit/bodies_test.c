/* bodies_test.c - bodies: chunks as they came, small ones copied, everything given back once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bodies.h"
#include "err.h"
#include "heap_double.h"
#include "parts.h"

static struct body *
open_body(struct bodies *b, uint32_t slot, uint64_t size)
{
    const struct wire_msg m = {.type = WIRE_BUNDLE, .size = size};

    return bodies_open(b, slot, &m);
}

static struct body *
open_whole(struct bodies *b, uint32_t slot, const void *bytes, uint64_t size)
{
    const struct wire_msg m = {.type = WIRE_BUNDLE, .size = size};

    return bodies_open_whole(b, slot, &m, bytes);
}

/* A chunk remembers in its frame whom to tell that it was given back. */
static void
released(struct chunk *c)
{
    int *count;

    memcpy(&count, c->frame, sizeof(count));
    (*count)++;
}

static bool
add(struct body *body, const void *bytes, size_t len, int *count)
{
    struct chunk *c = bodies_next(body);

    if (c == NULL)
        return false;
    c->at = bytes;
    c->len = len;
    c->release = released;
    memcpy(c->frame, &count, sizeof(count));
    bodies_added(body);
    return true;
}

struct world {
    struct bodies *b;
    int            released; /* chunks that were given back */
};

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct err err;

    heap_double.left = 0;
    *state = w;
    if (w == NULL)
        return -1;
    w->b = bodies_new(&err);
    return w->b == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    heap_double.left = 0;
    bodies_free(w->b);
    free(w);
    return 0;
}

static void
a_body_is_the_chunks_that_came_in_their_order(void **state)
{
    struct world *w = *state;
    struct bodies *b = w->b;
    struct body *body = open_body(b, 3, 10);

    assert_true(add(body, "abcd", 4, &w->released) && add(body, "efgh", 4, &w->released));
    assert_int_equal(body->have, 8);
    assert_true(add(body, "ij", 2, &w->released));
    assert_ptr_equal(bodies_at(b, 3), body);
    assert_int_equal(body->n, 3);
    assert_int_equal(body->have, body->size);
    assert_memory_equal(body->chunks[0].at, "abcd", 4);
    assert_memory_equal(body->chunks[1].at, "efgh", 4);
    assert_memory_equal(body->chunks[2].at, "ij", 2);
    assert_int_equal(w->released, 0);
}

static void
closing_a_body_gives_each_chunk_back_once(void **state)
{
    struct world *w = *state;
    struct bodies *b = w->b;
    struct body *body = open_body(b, 0, 300);

    for (int i = 0; i < 3; i++)
        assert_true(add(body, "x", 1, &w->released));
    bodies_close(b, 0);
    assert_int_equal(w->released, 3);
    assert_null(bodies_at(b, 0));
    bodies_close(b, 0);
    assert_int_equal(w->released, 3);
}

static void
a_chunk_that_was_asked_for_and_not_added_is_not_given_back(void **state)
{
    struct world *w = *state;
    struct bodies *b = w->b;
    struct body *body = open_body(b, 0, 300);

    assert_non_null(bodies_next(body));
    bodies_close(b, 0);
    assert_null(bodies_at(b, 0));
}

static void
a_small_body_is_a_copy(void **state)
{
    struct world *w = *state;
    struct bodies *b = w->b;
    char bytes[] = "hello";
    const struct body *body = open_whole(b, 0, bytes, 5);

    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(body->n, 1);
    assert_int_equal(body->have, 5);
    assert_int_equal(body->size, 5);
    assert_int_equal(body->chunks[0].len, 5);
    assert_memory_equal(body->chunks[0].at, "hello", 5);
    assert_null(body->chunks[0].release);
}

static void
the_largest_body_that_is_copied_fits(void **state)
{
    static char bytes[BODIES_COPY_MAX];
    struct world *w = *state;
    struct bodies *b = w->b;
    const struct body *body;

    memset(bytes, 'z', sizeof(bytes));
    body = open_whole(b, 0, bytes, sizeof(bytes));
    assert_memory_equal(body->chunks[0].at, bytes, sizeof(bytes));
}

static void
content_type_and_options_are_copies_and_have_defaults(void **state)
{
    struct world *w = *state;
    struct bodies *b = w->b;
    char type[] = "application/json; and more", options[] = "{\"a\":1}, and more";
    const struct wire_msg m = {.type = WIRE_BUNDLE, .size = 10, .ctype = {type, 16}, .options = {options, 7}};
    const struct body *bodies[] = {bodies_open(b, 0, &m), bodies_open_whole(b, 1, &m, "0123456789"),
                                   open_body(b, 2, 10)};

    memset(type, 'x', sizeof(type));
    memset(options, 'x', sizeof(options));
    for (int i = 0; i < 2; i++) {
        assert_string_equal(bodies[i]->ctype, "application/json");
        assert_string_equal(bodies[i]->options, "{\"a\":1}");
        assert_int_equal(bodies[i]->options_len, 7);
    }
    assert_memory_equal(bodies[1]->chunks[0].at, "0123456789", 10);
    assert_string_equal(bodies[2]->ctype, "application/octet-stream");
    assert_string_equal(bodies[2]->options, "");
}

/* Messages in a body's place; how often they were freed is behind them. */
struct some_parts {
    struct parts parts;
    int         *freed;
};

static void
free_some(struct parts *p)
{
    ++*((struct some_parts *)(void *)p)->freed;
}

static void
what_a_format_made_of_a_body_takes_its_place_and_goes_with_it(void **state)
{
    static const struct parts_kind kind = {.free = free_some};
    struct world *w = *state;
    int freed = 0;
    struct some_parts some = {{.kind = &kind, .n = 3}, &freed};
    struct body *body = open_body(w->b, 4, 4);

    assert_true(add(body, "abcd", 4, &w->released));
    bodies_formed(body, &some.parts);
    assert_int_equal(w->released, 1);
    assert_ptr_equal(bodies_at(w->b, 4)->parts, &some.parts);
    bodies_close(w->b, 4);
    assert_int_equal(freed, 1);
    assert_int_equal(w->released, 1);
}

static void
slots_may_be_far_apart(void **state)
{
    struct world *w = *state;
    struct bodies *b = w->b;
    struct body *near = open_body(b, 0, 10), *far;

    assert_null(bodies_at(b, 100000));
    far = open_body(b, 100000, 10);
    assert_non_null(far);
    assert_ptr_equal(bodies_at(b, 0), near);
    assert_ptr_equal(bodies_at(b, 100000), far);
    assert_null(bodies_at(b, 99999));
    assert_null(bodies_at(b, UINT32_MAX));
    bodies_close(b, UINT32_MAX);
}

static void
a_slot_that_was_closed_is_opened_anew(void **state)
{
    struct world *w = *state;
    struct bodies *b = w->b;

    assert_true(add(open_body(b, 0, 4), "abcd", 4, &w->released));
    bodies_close(b, 0);
    assert_int_equal(open_body(b, 0, 9)->have, 0);
    assert_int_equal(bodies_at(b, 0)->size, 9);
}

static void
many_small_chunks_fill_pieces_of_memory_and_take_no_list(void **state)
{
    struct world *w = *state;
    struct body *body = open_body(w->b, 0, 200000);
    uint64_t at = 0;

    assert_true(add(body, "0123456789", 10, &w->released)); /* a large one between small ones stays as it is */
    for (int i = 10; i < 200000; i++) {
        const char c = (char)('a' + i % 26);

        assert_true(bodies_copy(body, &c, 1));
    }
    assert_int_equal(body->have, 200000);
    assert_true(body->n <= 6);
    for (uint32_t i = 0; i < body->n; i++)
        for (size_t j = 0; j < body->chunks[i].len; j++, at++)
            assert_int_equal(((const char *)body->chunks[i].at)[j], at < 10 ? '0' + (int)at : 'a' + (int)(at % 26));
    assert_int_equal(at, 200000);
}

static void
a_huge_body_takes_no_huge_list_before_its_chunks_come(void **state)
{
    struct world *w = *state;
    struct body *body = open_body(w->b, 0, UINT64_C(512) << 20);

    assert_true(add(body, "x", 1, &w->released) && add(body, "x", 1, &w->released));
    assert_true(body->cap <= 8194);
}

static void
freeing_the_table_gives_back_what_is_open(void **state)
{
    struct world *w = *state;
    struct err err;
    struct bodies *b = bodies_new(&err);

    assert_true(add(open_body(b, 5, 100), "a", 1, &w->released));
    assert_true(add(open_body(b, 700, 100), "b", 1, &w->released));
    bodies_free(b);
    assert_int_equal(w->released, 2);
    bodies_free(NULL);
}

static void
without_memory_nothing_is_opened_and_what_is_open_stays(void **state)
{
    struct world *w = *state;
    struct bodies *b = w->b;
    struct body *body = open_body(b, 0, 100);

    assert_true(add(body, "0123456789", 10, &w->released));
    heap_double.left = 1;
    assert_false(add(body, "0123456789", 10, &w->released));
    heap_double.left = 1;
    assert_null(open_body(b, 1, 100));
    heap_double.left = 1;
    assert_null(open_whole(b, 1, "x", 1));
    heap_double.left = 1;
    assert_null(open_body(b, 100000, 100)); /* no room for the slot */
    assert_null(bodies_at(b, 1));
    assert_null(bodies_at(b, 100000));
    assert_true(add(body, "0123456789", 10, &w->released));
    heap_double.left = 1;
    assert_false(add(body, "x", 1, &w->released)); /* no room for more chunks than were promised */
    heap_double.left = 1;
    assert_false(bodies_copy(body, "x", 1));
    assert_true(bodies_copy(body, "x", 1));
    assert_memory_equal(body->chunks[1].at, "0123456789", 10);
    assert_int_equal(body->n, 3);
}

static void
without_memory_there_is_no_table(void **state)
{
    struct err err = {.code = ERR_NONE};

    heap_double.left = 1;
    assert_null(bodies_new(&err));
    assert_int_equal(err.code, ERR_NOMEM);
    (void)state;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_body_is_the_chunks_that_came_in_their_order),
        TEST(closing_a_body_gives_each_chunk_back_once),
        TEST(a_chunk_that_was_asked_for_and_not_added_is_not_given_back),
        TEST(a_small_body_is_a_copy),
        TEST(the_largest_body_that_is_copied_fits),
        TEST(what_a_format_made_of_a_body_takes_its_place_and_goes_with_it),
        TEST(content_type_and_options_are_copies_and_have_defaults),
        TEST(slots_may_be_far_apart),
        TEST(a_slot_that_was_closed_is_opened_anew),
        TEST(many_small_chunks_fill_pieces_of_memory_and_take_no_list),
        TEST(a_huge_body_takes_no_huge_list_before_its_chunks_come),
        TEST(freeing_the_table_gives_back_what_is_open),
        TEST(without_memory_nothing_is_opened_and_what_is_open_stays),
        TEST(without_memory_there_is_no_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
