/* targets_test.c - targets: one number for what is the same, and a number and an address that stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "err.h"
#include "settings.h"
#include "targets.h"

static int
setup(void **state)
{
    struct err err;

    *state = targets_new(&err);
    return *state == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
    targets_free(*state);
    return 0;
}

/* The texts may be changed after the call: they are copied. */
static int64_t
intern(struct targets *t, const char *exchange, const char *key, const char *queue, bool declare, struct err *err)
{
    char texts[3][64], empty[] = "", raw[] = "raw", refuse[] = "refuse";
    const struct settings_target s = {.exchange = texts[0], .routing_key = texts[1], .queue = texts[2],
                                      .format = raw, .queue_prefix = empty, .applicant_id = empty,
                                      .too_large = refuse, .declare = declare};
    int64_t number;

    snprintf(texts[0], sizeof(texts[0]), "%s", exchange);
    snprintf(texts[1], sizeof(texts[1]), "%s", key);
    snprintf(texts[2], sizeof(texts[2]), "%s", queue);
    number = targets_intern(t, &s, NULL, err);
    memset(texts, 'x', sizeof(texts));
    return number;
}

static void
numbers_count_from_zero_and_the_same_target_has_the_same(void **state)
{
    struct targets *t = *state;

    assert_int_equal(targets_count(t), 0);
    assert_int_equal(intern(t, "", "a", "a", false, NULL), 0);
    assert_int_equal(intern(t, "", "b", "b", false, NULL), 1);
    assert_int_equal(intern(t, "", "a", "a", false, NULL), 0);
    assert_int_equal(targets_count(t), 2);
    assert_string_equal(targets_at(t, 1)->exchange, "");
    assert_string_equal(targets_at(t, 1)->routing_key, "b");
    assert_string_equal(targets_at(t, 1)->queue, "b");
    assert_false(targets_at(t, 1)->declare);
}

static void
each_part_of_a_target_makes_it_another(void **state)
{
    struct targets *t = *state;

    assert_int_equal(intern(t, "x", "k", "q", false, NULL), 0);
    assert_int_equal(intern(t, "y", "k", "q", false, NULL), 1);
    assert_int_equal(intern(t, "x", "l", "q", false, NULL), 2);
    assert_int_equal(intern(t, "x", "k", "r", false, NULL), 3);
    assert_int_equal(intern(t, "x", "k", "q", true, NULL), 4);
    assert_true(targets_at(t, 4)->declare);
    assert_int_equal(intern(t, "xk", "", "q", false, NULL), 5); /* the same letters, elsewhere */
    assert_int_equal(intern(t, "", "xk", "q", false, NULL), 6);
}

/* There are fewer buckets than that, so some of these meet in one and differ in a single name. */
static void
names_that_meet_in_a_bucket_are_told_apart(void **state)
{
    struct targets *t = *state;
    char name[32];

    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(intern(t, name, "k", "q", false, NULL), 3 * i);
        assert_int_equal(intern(t, "x", name, "q", false, NULL), 3 * i + 1);
        assert_int_equal(intern(t, "x", "k", name, false, NULL), 3 * i + 2);
    }
}

static void
a_publisher_may_keep_a_target_while_others_are_added(void **state)
{
    struct targets *t = *state;
    const struct pub_target *first;
    char name[32];

    intern(t, "", "first", "first", false, NULL);
    first = targets_at(t, 0);
    for (int i = 1; i < 10000; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        assert_int_equal(intern(t, "", name, name, false, NULL), i);
    }
    assert_ptr_equal(targets_at(t, 0), first);
    assert_string_equal(first->queue, "first");
    assert_int_equal(intern(t, "", "q5000", "q5000", false, NULL), 5000);
    assert_string_equal(targets_at(t, 9999)->queue, "q9999");
}

static void
beyond_the_bound_a_new_one_is_refused_and_the_known_stay(void **state)
{
    struct targets *t = *state;
    struct err err = {.code = ERR_NONE};
    char name[32];

    for (int i = 0; i < TARGETS_MAX; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        assert_int_equal(intern(t, "", name, name, false, NULL), i);
    }
    assert_int_equal(intern(t, "", "more", "more", false, &err), -1);
    assert_int_equal(err.code, ERR_FULL);
    assert_non_null(strstr(err.text, "restart"));
    assert_int_equal(intern(t, "", "q77", "q77", false, NULL), 77);
    assert_int_equal(targets_count(t), TARGETS_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_count_from_zero_and_the_same_target_has_the_same),
        TEST(each_part_of_a_target_makes_it_another),
        TEST(names_that_meet_in_a_bucket_are_told_apart),
        TEST(a_publisher_may_keep_a_target_while_others_are_added),
        TEST(beyond_the_bound_a_new_one_is_refused_and_the_known_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
