/* sort_test.c - sorting in place, whatever the numbers and the order they come in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "formats/sort.h"

enum { MOST = 5000 };

struct element {
    uint64_t number;
    uint32_t second, third;
};

static int
order(const void *context, const void *a, const void *b)
{
    const struct element *x = a, *y = b;

    (void)context;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return (x->second > y->second) - (x->second < y->second);
}

static int
plain_order(const void *a, const void *b)
{
    return order(NULL, a, b);
}

static uint64_t
draw(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return *state >> 11;
}

static void
is_sorted_as_by_the_library(struct element *v, uint32_t n)
{
    struct element *other = malloc((n + 1) * sizeof(*v));

    assert_non_null(other);
    for (uint32_t i = 0; i < n; i++)
        other[i] = v[i];
    qsort(other, n, sizeof(*other), plain_order);
    sort_numbered(v, n, sizeof(*v), order, NULL);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(v[i].number == other[i].number);
        assert_int_equal(v[i].second, other[i].second);
    }
    free(other);
}

/* Numbers that differ everywhere, in a few bits, in the highest, the lowest, or not at all. */
static void
elements_stand_by_number_and_then_by_what_the_order_says(void **state)
{
    static const uint64_t masks[] = {UINT64_MAX, 0xff00, 1, UINT64_C(1) << 63, 0, UINT64_C(0x8000000000000001)};
    static const uint32_t sizes[] = {0, 1, 2, 63, 64, 65, 66, 1000, MOST};
    static struct element v[MOST];
    uint64_t random = 1;

    (void)state;
    for (size_t m = 0; m < sizeof(masks) / sizeof(masks[0]); m++)
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            for (uint32_t i = 0; i < sizes[s]; i++)
                v[i] = (struct element){draw(&random) << 11 & masks[m], (uint32_t)draw(&random) % 100, i};
            for (uint32_t i = 0; i < sizes[s]; i++)
                v[i].number |= draw(&random) & masks[m] & 0x7ff;
            is_sorted_as_by_the_library(v, sizes[s]);
        }
}

static void
what_is_sorted_or_turned_round_is_sorted(void **state)
{
    static struct element v[MOST];

    (void)state;
    for (uint32_t i = 0; i < MOST; i++)
        v[i] = (struct element){i, i, i};
    is_sorted_as_by_the_library(v, MOST);
    for (uint32_t i = 0; i < MOST; i++)
        v[i] = (struct element){MOST - i, i, i};
    is_sorted_as_by_the_library(v, MOST);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_stand_by_number_and_then_by_what_the_order_says),
        cmocka_unit_test(what_is_sorted_or_turned_round_is_sorted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
