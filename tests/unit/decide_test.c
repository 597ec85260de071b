/* decide_test.c - one decision from its figures: at the limit there is no room, what is unknown is not zero. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/decide.h"
#include "wire.h"

#define NO_LIMIT {0, DECIDE_NONE}

static struct decide_inputs
of_queue(uint64_t upper, uint64_t threshold)
{
    return (struct decide_inputs){.queue = {upper, threshold},
                                  .group = NO_LIMIT,
                                  .all = NO_LIMIT,
                                  .memory = NO_LIMIT,
                                  .disk = NO_LIMIT,
                                  .resume_ppm = 800000};
}

static void
below_the_threshold_there_is_room_and_at_it_there_is_none(void **state)
{
    struct decide_inputs in = of_queue(499999999, 500000000);

    (void)state;
    assert_int_equal(decide(&in), 0);
    in.queue.upper = 500000000;
    assert_int_equal(decide(&in), WIRE_HOLD_QUEUE);
}

static void
a_threshold_of_zero_holds_an_empty_queue(void **state)
{
    const struct decide_inputs in = of_queue(0, 0);

    (void)state;
    assert_int_equal(decide(&in), WIRE_HOLD_QUEUE);
}

static void
what_is_unknown_holds_and_is_not_zero(void **state)
{
    struct decide_inputs in = of_queue(DECIDE_UNKNOWN, 500000000);

    (void)state;
    assert_int_equal(decide(&in), WIRE_HOLD_TELEMETRY_STALE);
    in.run_on_stale = true;
    assert_int_equal(decide(&in), 0);
}

static void
what_was_closed_opens_below_its_mark_and_not_before(void **state)
{
    struct decide_inputs in = of_queue(400000000, 500000000);

    (void)state;
    in.before = WIRE_HOLD_QUEUE;
    assert_int_equal(decide(&in), WIRE_HOLD_QUEUE);
    in.queue.upper = 399999999;
    assert_int_equal(decide(&in), 0);
    in.before = WIRE_HOLD_BUDGET; /* another reason has no say in this one */
    in.queue.upper = 499999999;
    assert_int_equal(decide(&in), 0);
}

static void
the_first_run_ever_skips_the_queue_but_not_what_is_unknown(void **state)
{
    struct decide_inputs in = of_queue(900, 10);

    (void)state;
    in.first_free = true;
    assert_int_equal(decide(&in), 0);
    in.all = (struct decide_level){9, 9};
    assert_int_equal(decide(&in), WIRE_HOLD_BUDGET);
    in.queue.upper = DECIDE_UNKNOWN;
    assert_int_equal(decide(&in), WIRE_HOLD_BUDGET | WIRE_HOLD_TELEMETRY_STALE);
}

static void
every_level_has_a_say_and_they_are_told_together(void **state)
{
    struct decide_inputs in = of_queue(10, 10);
    struct decide_level *const levels[] = {&in.group, &in.all, &in.memory, &in.disk};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        *levels[i] = (struct decide_level){5, 5};
        assert_int_equal(decide(&in), WIRE_HOLD_QUEUE | WIRE_HOLD_BUDGET);
        levels[i]->upper = 4;
        assert_int_equal(decide(&in), WIRE_HOLD_QUEUE);
        levels[i]->upper = DECIDE_UNKNOWN;
        assert_int_equal(decide(&in), WIRE_HOLD_QUEUE | WIRE_HOLD_TELEMETRY_STALE);
        *levels[i] = (struct decide_level)NO_LIMIT;
    }
}

static void
a_mark_is_exact_to_the_byte_for_the_largest_limits(void **state)
{
    (void)state;
    assert_int_equal(decide_mark(0, 800000, true), 0);
    assert_int_equal(decide_mark(1, 800000, true), 1); /* or the smallest limit, once closed, would never open */
    assert_int_equal(decide_mark(10, 800000, true), 8);
    assert_int_equal(decide_mark(999999999999ULL, 800000, true), 799999999999ULL);
    assert_true(decide_mark(UINT64_MAX - 1, 1000000, true) == UINT64_MAX - 1);
    assert_true(decide_mark(DECIDE_NONE, 1, true) == DECIDE_NONE);
    assert_int_equal(decide_mark(77, 1, false), 77);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(below_the_threshold_there_is_room_and_at_it_there_is_none),
        cmocka_unit_test(a_threshold_of_zero_holds_an_empty_queue),
        cmocka_unit_test(what_is_unknown_holds_and_is_not_zero),
        cmocka_unit_test(what_was_closed_opens_below_its_mark_and_not_before),
        cmocka_unit_test(the_first_run_ever_skips_the_queue_but_not_what_is_unknown),
        cmocka_unit_test(every_level_has_a_say_and_they_are_told_together),
        cmocka_unit_test(a_mark_is_exact_to_the_byte_for_the_largest_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
