/* bundle_test.c - bundles of several messages: what goes next, what is open, and the one result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/bundle.h"
#include "err.h"
#include "parts.h"

enum { MOST = 1000 };

/* Linked with --wrap: the linker leaves no other way in than file scope. */
static bool failing;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker chose these names */
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *
__wrap_calloc(size_t n, size_t size)
{
    return failing ? NULL : __real_calloc(n, size);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

struct world {
    struct parts    parts;
    uint64_t        bits[MOST / 64 + 1];
    struct bundles *all;
};

static struct bundle *
a_bundle(struct world *w, uint32_t n)
{
    const struct pub_message m = {.ticket = 77, .parts = &w->parts};

    w->parts.n = n;
    w->parts.went_bits = w->bits;
    return bundles_take(w->all, &m);
}

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct err err;

    *state = w;
    if (w != NULL)
        w->all = bundles_new(3, &err);
    return w != NULL && w->all != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    bundles_free(w->all);
    free(w);
    return 0;
}

static void
its_messages_go_in_order(void **state)
{
    struct bundle *b = a_bundle(*state, 200);

    assert_int_equal(b->message.ticket, 77);
    for (uint32_t i = 0; i < 200; i++) {
        assert_true(bundle_more(b));
        assert_int_equal(bundle_begin(b), i);
    }
    assert_false(bundle_more(b));
    assert_int_equal(b->open, 200);
}

static void
what_went_is_not_begun_again(void **state)
{
    struct world *w = *state;
    static const uint32_t left[] = {0, 62, 63, 64, 130, 700, 999};
    uint32_t at = 0;

    w->parts.went_bits = w->bits;
    for (uint32_t i = 0; i < MOST; i++) {
        if (i == left[at])
            at++;
        else
            parts_confirm(&w->parts, i);
    }
    struct bundle *b = a_bundle(w, MOST);
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        assert_int_equal(bundle_begin(b), left[i]);
    assert_false(bundle_more(b));
}

static void
one_of_which_all_went_is_over_at_once(void **state)
{
    struct world *w = *state;

    memset(w->bits, 0xff, sizeof(w->bits));
    static const uint32_t n[] = {1, 63, 64, 65, MOST};
    for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
        struct bundle *b = a_bundle(w, n[i]);
        assert_true(bundle_over(b));
        assert_false(bundle_failed(b));
        bundles_give(w->all, b);
    }
}

static void
it_is_over_when_the_last_is_confirmed(void **state)
{
    struct world *w = *state;
    struct bundle *b = a_bundle(w, 3);

    for (int i = 0; i < 2; i++)
        bundle_begin(b);
    bundle_settle(b, 1, PUB_CONFIRMED, NULL);
    bundle_settle(b, 0, PUB_CONFIRMED, NULL);
    assert_int_equal(b->open, 0);
    assert_false(bundle_over(b)); /* one was not begun */
    bundle_begin(b);
    assert_false(bundle_over(b));
    bundle_settle(b, 2, PUB_CONFIRMED, NULL);
    assert_true(bundle_over(b));
    assert_int_equal(b->result, PUB_CONFIRMED);
    assert_int_equal(w->parts.went, 3);
}

static void
after_a_nack_nothing_more_is_begun_and_the_open_are_awaited(void **state)
{
    struct world *w = *state;
    struct bundle *b = a_bundle(w, 10);

    for (int i = 0; i < 3; i++)
        bundle_begin(b);
    bundle_settle(b, 1, PUB_NACKED, NULL);
    assert_false(bundle_more(b));
    assert_false(bundle_over(b));
    bundle_settle(b, 0, PUB_CONFIRMED, NULL);
    assert_false(bundle_over(b));
    bundle_settle(b, 2, PUB_CONFIRMED, NULL);
    assert_true(bundle_over(b));
    assert_int_equal(b->result, PUB_NACKED);
    assert_true(parts_went(&w->parts, 0));
    assert_false(parts_went(&w->parts, 1));
    assert_true(parts_went(&w->parts, 2));
    bundles_give(w->all, b);

    b = a_bundle(w, 10); /* posted again */
    assert_int_equal(bundle_begin(b), 1);
    assert_int_equal(bundle_begin(b), 3);
}

static void
the_worst_is_its_result_and_the_first_of_the_worst_its_text(void **state)
{
    struct bundle *b = a_bundle(*state, 42);

    for (int i = 0; i < 6; i++)
        bundle_begin(b);
    bundle_settle(b, 0, PUB_NACKED, NULL);
    assert_int_equal(b->result, PUB_NACKED);
    bundle_fail(b, PUB_BAD_TARGET, strdup("no queue"));
    assert_int_equal(b->result, PUB_BAD_TARGET);
    assert_string_equal(b->text, "no queue");
    bundle_settle(b, 1, PUB_RETURNED, strdup("312 NO_ROUTE"));
    assert_int_equal(b->result, PUB_RETURNED);
    bundle_settle(b, 2, PUB_REFUSED, strdup("406 too large"));
    bundle_settle(b, 3, PUB_REFUSED, strdup("406 later"));
    bundle_settle(b, 4, PUB_RETURNED, strdup("312 NO_ROUTE"));
    bundle_settle(b, 5, PUB_NACKED, NULL);
    assert_true(bundle_over(b));
    assert_int_equal(b->result, PUB_REFUSED);
    assert_string_equal(b->text, "message 3 of 42: 406 too large");
}

static void
the_only_message_is_not_named(void **state)
{
    struct bundle *b = a_bundle(*state, 1);

    bundle_begin(b);
    bundle_settle(b, 0, PUB_REFUSED, strdup("406 too large"));
    assert_string_equal(b->text, "406 too large");
}

static void
what_is_given_back_or_forgotten_is_taken_again(void **state)
{
    struct world *w = *state;

    for (int round = 0; round < 3; round++) {
        struct bundle *some[3];
        for (int i = 0; i < 3; i++) {
            some[i] = a_bundle(w, 5);
            bundle_begin(some[i]);
            bundle_settle(some[i], 0, PUB_REFUSED, strdup("owned by the bundle"));
        }
        bundles_give(w->all, some[1]);
        assert_ptr_equal(a_bundle(w, 5), some[1]);
        bundles_forget(w->all);
    }
}

static void
without_memory_there_are_none(void **state)
{
    (void)state;
    struct err err;

    failing = true;
    assert_null(bundles_new(3, &err));
    failing = false;
    assert_int_equal(err.code, ERR_NOMEM);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(its_messages_go_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(what_went_is_not_begun_again, setup, teardown),
        cmocka_unit_test_setup_teardown(one_of_which_all_went_is_over_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(it_is_over_when_the_last_is_confirmed, setup, teardown),
        cmocka_unit_test_setup_teardown(after_a_nack_nothing_more_is_begun_and_the_open_are_awaited, setup, teardown),
        cmocka_unit_test_setup_teardown(the_worst_is_its_result_and_the_first_of_the_worst_its_text, setup, teardown),
        cmocka_unit_test_setup_teardown(the_only_message_is_not_named, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_given_back_or_forgotten_is_taken_again, setup, teardown),
        cmocka_unit_test(without_memory_there_are_none),
    };
    return cmocka_run_group_tests_name("bundle", tests, NULL, NULL);
}
