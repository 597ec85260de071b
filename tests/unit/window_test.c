/* window_test.c - the confirm window: tags, ranges, returns, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/window.h"
#include "err.h"
#include "parts.h"

enum { BODY = 100, SEEN_MAX = 4096 };

/* What came out, in order. */
struct seen {
    size_t   n;
    uint64_t ticket[SEEN_MAX];
    bool     returned[SEEN_MAX];
};

static void
note(void *ctx, const struct window_item *item, char **returned)
{
    struct seen *seen = ctx;

    assert_true(seen->n < SEEN_MAX);
    seen->returned[seen->n] = *returned != NULL;
    seen->ticket[seen->n++] = item->message.ticket;
}

static struct window *
a_window(uint32_t most, uint64_t most_bytes)
{
    struct err err;
    struct window *w = window_new(most, most_bytes, &err);

    assert_non_null(w);
    return w;
}

/* Its ticket and sequence are n. */
static uint64_t
add(struct window *w, uint64_t n)
{
    const struct window_item item = {
        .message = {.ticket = n, .connector = "feed", .epoch = 7, .seq = n}, .size = BODY};

    return window_add(w, &item);
}

/* Message `part` of the bundle with sequence n; its ticket is 100 n + part. */
static uint64_t
add_part(struct window *w, struct parts *parts, uint64_t n, uint32_t part)
{
    const struct window_item item = {
        .message = {.ticket = 100 * n + part, .parts = parts, .connector = "feed", .epoch = 7, .seq = n},
        .size = BODY,
        .part = part};

    return window_add(w, &item);
}

static void
tags_count_from_one(void **state)
{
    (void)state;
    struct window *w = a_window(10, 1000000);

    assert_int_equal(add(w, 11), 1);
    assert_int_equal(add(w, 12), 2);
    assert_int_equal(window_count(w), 2);
    assert_int_equal(window_bytes(w), 2 * BODY);
    window_free(w);
}

static void
confirms_may_come_in_any_order(void **state)
{
    (void)state;
    struct window *w = a_window(10, 1000000);
    struct seen seen = {0};

    for (uint64_t i = 1; i <= 5; i++)
        add(w, i);
    assert_int_equal(window_settle(w, 4, false, note, &seen), 0);
    assert_int_equal(window_settle(w, 1, false, note, &seen), 0);
    assert_int_equal(window_settle(w, 3, true, note, &seen), 0);
    assert_int_equal(window_settle(w, 5, false, note, &seen), 0);
    const uint64_t want[] = {4, 1, 2, 3, 5};
    assert_int_equal(seen.n, 5);
    assert_memory_equal(seen.ticket, want, sizeof(want));
    assert_int_equal(window_count(w), 0);
    assert_int_equal(window_bytes(w), 0);
    window_free(w);
}

static void
a_tag_is_settled_once_however_often_it_is_named(void **state)
{
    (void)state;
    struct window *w = a_window(10, 1000000);
    struct seen seen = {0};

    for (uint64_t i = 1; i <= 4; i++)
        add(w, i);
    window_settle(w, 2, false, note, &seen);
    window_settle(w, 2, false, note, &seen);
    window_settle(w, 3, true, note, &seen);
    window_settle(w, 3, true, note, &seen);
    window_settle(w, 1, false, note, &seen);
    assert_int_equal(seen.n, 3);
    assert_int_equal(window_count(w), 1);
    window_free(w);
}

static void
tag_zero_with_multiple_means_all(void **state)
{
    (void)state;
    struct window *w = a_window(10, 1000000);
    struct seen seen = {0};

    for (uint64_t i = 1; i <= 4; i++)
        add(w, i);
    assert_int_equal(window_settle(w, 0, true, note, &seen), 0);
    assert_int_equal(seen.n, 4);
    window_free(w);
}

static void
a_tag_that_was_never_given_out_is_an_error(void **state)
{
    (void)state;
    struct window *w = a_window(10, 1000000);
    struct seen seen = {0};

    add(w, 1);
    assert_int_equal(window_settle(w, 2, false, note, &seen), -1);
    assert_int_equal(window_settle(w, 2, true, note, &seen), -1);
    assert_int_equal(window_settle(w, 0, false, note, &seen), -1);
    assert_int_equal(window_settle(w, UINT64_MAX, true, note, &seen), -1);
    assert_int_equal(seen.n, 0);
    assert_int_equal(window_count(w), 1);
    window_free(w);
}

static void
it_holds_no_more_messages_than_it_was_made_for(void **state)
{
    (void)state;
    struct window *w = a_window(3, 1000000);

    for (uint64_t i = 1; i <= 3; i++) {
        assert_true(window_room(w, BODY));
        add(w, i);
    }
    assert_false(window_room(w, BODY));
    window_settle(w, 2, false, NULL, NULL);
    assert_true(window_room(w, BODY));
    window_free(w);
}

static void
it_holds_no_more_bytes_but_always_one_message(void **state)
{
    (void)state;
    struct window *w = a_window(100, 250);

    assert_true(window_room(w, 1000000));
    add(w, 1);
    assert_true(window_room(w, BODY));
    add(w, 2);
    assert_false(window_room(w, BODY));
    assert_true(window_room(w, 50));
    window_free(w);
}

static void
an_oldest_message_that_stays_open_stops_it_at_twice_its_size(void **state)
{
    (void)state;
    struct window *w = a_window(16, 1000000);
    struct seen seen = {0};
    uint64_t n = 0;

    add(w, ++n);
    while (window_room(w, BODY) && n < 1000) {
        add(w, ++n);
        window_settle(w, n, false, note, &seen);
    }
    assert_int_equal(n, 32);
    assert_int_equal(window_settle(w, 1, false, note, &seen), 0);
    assert_true(window_room(w, BODY));
    assert_int_equal(seen.n, 32);
    window_free(w);
}

static void
it_goes_round_its_ring_for_ever(void **state)
{
    (void)state;
    struct window *w = a_window(5, 1000000);
    struct seen seen;

    for (uint64_t n = 1; n <= 100000; n++) {
        seen.n = 0;
        assert_int_equal(add(w, n), n);
        if (n % 3 != 0)
            continue;
        assert_int_equal(window_settle(w, n, true, note, &seen), 0);
        assert_int_equal(seen.n, 3);
        assert_int_equal(seen.ticket[0], n - 2);
    }
    window_free(w);
}

static void
a_returned_message_is_told_when_its_ack_comes(void **state)
{
    (void)state;
    struct window *w = a_window(10, 1000000);
    struct seen seen = {0};
    char *text = strdup("312 NO_ROUTE");

    for (uint64_t i = 1; i <= 3; i++)
        add(w, i);
    assert_true(window_return(w, "feed/7/2", 8, &text));
    assert_null(text);
    window_settle(w, 3, true, note, &seen);
    assert_int_equal(seen.n, 3);
    assert_false(seen.returned[0]);
    assert_true(seen.returned[1]);
    assert_false(seen.returned[2]);
    window_free(w);
}

static void
a_return_of_a_message_that_is_not_open_is_not_taken(void **state)
{
    (void)state;
    struct window *w = a_window(10, 1000000);
    char *text = strdup("312 NO_ROUTE");

    add(w, 1);
    add(w, 12);
    window_settle(w, 1, false, NULL, NULL);
    assert_false(window_return(w, "feed/7/1", 8, &text));
    assert_false(window_return(w, "feed/7/1", 7, &text));
    assert_false(window_return(w, "feed/7/123", 10, &text));
    assert_false(window_return(w, "", 0, &text));
    assert_non_null(text);
    assert_true(window_return(w, "feed/7/12", 9, &text));
    window_free(w); /* owns the text of what is still open */
}

static void
two_messages_with_one_id_are_returned_one_by_one(void **state)
{
    (void)state;
    struct window *w = a_window(10, 1000000);
    struct seen seen = {0};
    char *first = strdup("first"), *second = strdup("second"), *third = strdup("third");

    add(w, 5);
    add(w, 5);
    assert_true(window_return(w, "feed/7/5", 8, &first));
    assert_true(window_return(w, "feed/7/5", 8, &second));
    assert_false(window_return(w, "feed/7/5", 8, &third));
    window_settle(w, 0, true, note, &seen);
    assert_true(seen.returned[0] && seen.returned[1]);
    free(third);
    window_free(w);
}

static void
clearing_gives_what_was_open_in_order_and_counts_anew(void **state)
{
    (void)state;
    struct window *w = a_window(10, 1000000);
    struct seen seen = {0};
    char *text = strdup("312 NO_ROUTE");

    for (uint64_t i = 1; i <= 5; i++)
        add(w, i);
    window_settle(w, 2, false, NULL, NULL);
    assert_true(window_return(w, "feed/7/4", 8, &text));
    window_clear(w, note, &seen);
    const uint64_t want[] = {1, 3, 4, 5};
    assert_int_equal(seen.n, 4);
    assert_memory_equal(seen.ticket, want, sizeof(want));
    assert_int_equal(window_count(w), 0);
    assert_int_equal(window_bytes(w), 0);
    assert_int_equal(add(w, 6), 1);
    window_free(w);
}

static void
a_part_of_a_bundle_is_returned_by_its_number(void **state)
{
    (void)state;
    struct window *w = a_window(20, 1000000);
    struct parts parts = {.n = 12};
    struct seen seen = {0};
    char *text = strdup("312 NO_ROUTE"), *other = strdup("other");

    add(w, 5);
    for (uint32_t i = 0; i < 12; i++)
        add_part(w, &parts, 5, i);
    assert_true(window_return(w, "feed/7/5/11", 11, &text));
    assert_false(window_return(w, "feed/7/5/13", 11, &other));
    assert_false(window_return(w, "feed/7/5/0", 10, &other));
    window_settle(w, 0, true, note, &seen);
    assert_int_equal(seen.n, 13);
    for (size_t i = 0; i < 13; i++)
        assert_int_equal(seen.returned[i], seen.ticket[i] == 510);
    free(other);
    window_free(w);
}

static void
the_id_names_connector_epoch_and_sequence(void **state)
{
    (void)state;
    char buf[WINDOW_ID_MAX];
    const struct window_item item = {.message = {.connector = "cisa-kev", .epoch = 0, .seq = 1234567890123}};

    assert_int_equal(window_id(&item, buf), strlen("cisa-kev/0/1234567890123"));
    assert_string_equal(buf, "cisa-kev/0/1234567890123");
}

static void
the_id_of_one_message_of_several_ends_with_its_number_from_one(void **state)
{
    (void)state;
    char buf[WINDOW_ID_MAX], longest[65];
    struct parts several = {.n = 3}, one = {.n = 1}, most = {.n = UINT32_MAX};
    struct window_item item = {.message = {.connector = "feed", .epoch = 7, .seq = 42, .parts = &several}, .part = 2};

    assert_int_equal(window_id(&item, buf), strlen("feed/7/42/3"));
    assert_string_equal(buf, "feed/7/42/3");
    item.message.parts = &one;
    item.part = 0;
    window_id(&item, buf);
    assert_string_equal(buf, "feed/7/42");

    memset(longest, 'x', 64);
    longest[64] = '\0';
    item = (struct window_item){
        .message = {.connector = longest, .epoch = UINT64_MAX, .seq = UINT64_MAX, .parts = &most},
        .part = UINT32_MAX - 1};
    assert_int_equal(window_id(&item, buf), WINDOW_ID_MAX - 1);
    assert_string_equal(buf + 64, "/18446744073709551615/18446744073709551615/4294967295");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_count_from_one),
        cmocka_unit_test(confirms_may_come_in_any_order),
        cmocka_unit_test(a_tag_is_settled_once_however_often_it_is_named),
        cmocka_unit_test(tag_zero_with_multiple_means_all),
        cmocka_unit_test(a_tag_that_was_never_given_out_is_an_error),
        cmocka_unit_test(it_holds_no_more_messages_than_it_was_made_for),
        cmocka_unit_test(it_holds_no_more_bytes_but_always_one_message),
        cmocka_unit_test(an_oldest_message_that_stays_open_stops_it_at_twice_its_size),
        cmocka_unit_test(it_goes_round_its_ring_for_ever),
        cmocka_unit_test(a_returned_message_is_told_when_its_ack_comes),
        cmocka_unit_test(a_return_of_a_message_that_is_not_open_is_not_taken),
        cmocka_unit_test(two_messages_with_one_id_are_returned_one_by_one),
        cmocka_unit_test(clearing_gives_what_was_open_in_order_and_counts_anew),
        cmocka_unit_test(a_part_of_a_bundle_is_returned_by_its_number),
        cmocka_unit_test(the_id_names_connector_epoch_and_sequence),
        cmocka_unit_test(the_id_of_one_message_of_several_ends_with_its_number_from_one),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
