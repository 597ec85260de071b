/* dead_test.c - the list of dead letters: sorted, bounded, and none forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dead.h"
#include "err.h"

static int
list_up(void **state)
{
    *state = dead_new(NULL);
    return *state == NULL ? -1 : 0;
}

static int
list_down(void **state)
{
    dead_free(*state);
    return 0;
}

static int
put(struct dead *d, const char *connector, uint64_t pos, uint64_t seq, struct err *err)
{
    struct dead_letter letter = {.pos = pos, .seq = seq};

    snprintf(letter.connector, sizeof(letter.connector), "%s", connector);
    return dead_put(d, &letter, err);
}

static void
letters_are_listed_by_connector_and_position(void **state)
{
    static const struct {
        const char *connector;
        uint64_t    pos;
    } in[] = {{"kev", 7}, {"ics", 9}, {"kev", 2}, {"ics", 10}, {"a", 1}},
      out[] = {{"a", 1}, {"ics", 9}, {"ics", 10}, {"kev", 2}, {"kev", 7}};

    for (size_t i = 0; i < 5; i++)
        assert_int_equal(put(*state, in[i].connector, in[i].pos, i, NULL), 0);
    assert_int_equal(dead_count(*state), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(dead_at(*state, i)->connector, out[i].connector);
        assert_int_equal(dead_at(*state, i)->pos, out[i].pos);
    }
    assert_null(dead_at(*state, 5));
}

static void
the_same_position_is_one_letter(void **state)
{
    put(*state, "kev", 1, 5, NULL);
    put(*state, "kev", 1, 6, NULL);
    assert_int_equal(dead_count(*state), 1);
    assert_int_equal(dead_find(*state, "kev", 1)->seq, 6);
    assert_null(dead_find(*state, "kev", 2));
    assert_null(dead_find(*state, "ke", 1));
}

static void
what_is_dropped_is_gone_and_the_others_stay(void **state)
{
    for (uint64_t pos = 1; pos <= 50; pos++)
        put(*state, "kev", pos, pos, NULL);
    dead_drop(*state, "kev", 20);
    dead_drop(*state, "kev", 20);
    dead_drop(*state, "ics", 1);
    assert_int_equal(dead_count(*state), 49);
    for (uint64_t pos = 1; pos <= 50; pos++)
        assert_int_equal(dead_find(*state, "kev", pos) == NULL, pos == 20);
}

static void
beyond_its_bound_nothing_more_is_taken_but_what_is_there_can_change(void **state)
{
    struct err err = {0};

    for (uint64_t pos = 1; pos <= DEAD_MAX; pos++)
        assert_int_equal(put(*state, "kev", pos, pos, NULL), 0);
    assert_int_equal(put(*state, "kev", DEAD_MAX + 1, 1, &err), -1);
    assert_int_equal(err.code, ERR_FULL);
    assert_non_null(strstr(err.text, "replay or drop some"));
    assert_int_equal(put(*state, "kev", 3, 1, &err), 0);
    dead_drop(*state, "kev", 3);
    assert_int_equal(put(*state, "kev", DEAD_MAX + 1, 1, &err), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, list_up, list_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(letters_are_listed_by_connector_and_position),
        TEST(the_same_position_is_one_letter),
        TEST(what_is_dropped_is_gone_and_the_others_stay),
        TEST(beyond_its_bound_nothing_more_is_taken_but_what_is_there_can_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
