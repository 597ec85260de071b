/* mailbox_test.c - threads hand messages over whole, in order, and wake once. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "err.h"
#include "mailbox.h"

/* Linked with --wrap for these: the call numbered so fails, counting down; 0: none.  The linker leaves no
 * other way in than file scope. */
static int fail_calloc, fail_reallocarray, fail_eventfd;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker chose these names */
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_reallocarray(void *at, size_t n, size_t size);
void *__wrap_reallocarray(void *at, size_t n, size_t size);
int __real_eventfd(unsigned int count, int flags);
int __wrap_eventfd(unsigned int count, int flags);

static bool
fails(int *countdown)
{
    return *countdown > 0 && --*countdown == 0;
}

void *
__wrap_calloc(size_t n, size_t size)
{
    if (!fails(&fail_calloc))
        return __real_calloc(n, size);
    errno = ENOMEM;
    return NULL;
}

void *
__wrap_reallocarray(void *at, size_t n, size_t size)
{
    if (!fails(&fail_reallocarray))
        return __real_reallocarray(at, n, size);
    errno = ENOMEM;
    return NULL;
}

int
__wrap_eventfd(unsigned int count, int flags)
{
    if (!fails(&fail_eventfd))
        return __real_eventfd(count, flags);
    errno = EMFILE;
    return -1;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

struct note {
    uint32_t from;
    uint32_t number;
};

static bool
is_readable(const struct mailbox *box)
{
    struct pollfd p = {.fd = mailbox_fd(box), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static int
open_box(void **state)
{
    struct err err;

    *state = mailbox_new(sizeof(struct note), &err);
    return *state == NULL ? -1 : 0;
}

static int
close_box(void **state)
{
    mailbox_free(*state);
    return 0;
}

static void
post(struct mailbox *box, uint32_t from, uint32_t number)
{
    const struct note note = {from, number};
    struct err err;

    assert_int_equal(mailbox_post(box, &note, 1, &err), 0);
}

static void
an_empty_box_gives_nothing_and_is_not_readable(void **state)
{
    struct mailbox *box = *state;
    void *got = box;

    assert_false(is_readable(box));
    assert_int_equal(mailbox_take(box, &got), 0);
    assert_null(got);
    assert_int_equal(mailbox_post(box, NULL, 0, NULL), 0);
    assert_false(is_readable(box));
}

static void
messages_come_out_in_the_order_they_were_posted(void **state)
{
    struct mailbox *box = *state;
    const struct note two[] = {{1, 2}, {1, 3}};
    void *got;

    post(box, 1, 1);
    assert_int_equal(mailbox_post(box, two, 2, NULL), 0);
    assert_int_equal(mailbox_take(box, &got), 3);
    const struct note *notes = got;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(notes[i].number, i + 1);
    assert_int_equal(mailbox_take(box, &got), 0);
}

static void
the_box_is_readable_exactly_while_it_holds_something(void **state)
{
    struct mailbox *box = *state;
    void *got;

    for (uint32_t round = 0; round < 3; round++) {
        post(box, 0, round);
        assert_true(is_readable(box));
        post(box, 0, round);
        assert_true(is_readable(box));
        assert_int_equal(mailbox_take(box, &got), 2);
        assert_false(is_readable(box));
    }
}

static void
the_taker_is_woken_by_the_first_message_only(void **state)
{
    struct mailbox *box = *state;
    eventfd_t wakes = 0;

    for (uint32_t i = 0; i < 100; i++)
        post(box, 0, i);
    assert_int_equal(eventfd_read(mailbox_fd(box), &wakes), 0);
    assert_int_equal(wakes, 1);
}

static void
post_quietly(struct mailbox *box, uint32_t number)
{
    const struct note note = {0, number};

    assert_int_equal(mailbox_post_quietly(box, &note, 1, NULL), 0);
}

static void
a_quiet_message_wakes_nobody_until_somebody_says_so(void **state)
{
    struct mailbox *box = *state;
    void *got;

    mailbox_wake(box); /* there is nothing */
    assert_false(is_readable(box));
    post_quietly(box, 1);
    assert_false(is_readable(box));
    mailbox_wake(box);
    mailbox_wake(box);
    assert_true(is_readable(box));
    post_quietly(box, 2);
    assert_int_equal(mailbox_take(box, &got), 2);
    assert_false(is_readable(box));

    post_quietly(box, 3);
    assert_int_equal(mailbox_take(box, &got), 1); /* a taker that looks finds it all the same */
    mailbox_wake(box);
    assert_false(is_readable(box));
}

static void
the_next_message_takes_the_quiet_ones_before_it_along(void **state)
{
    struct mailbox *box = *state;
    eventfd_t wakes = 0;
    void *got;

    post_quietly(box, 0);
    post(box, 0, 1);
    post_quietly(box, 2);
    post(box, 0, 3);
    assert_int_equal(eventfd_read(mailbox_fd(box), &wakes), 0);
    assert_int_equal(wakes, 1);
    assert_int_equal(eventfd_write(mailbox_fd(box), 1), 0);
    assert_int_equal(mailbox_take(box, &got), 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(((const struct note *)got)[i].number, i);
}

static void
a_loan_lasts_while_others_post(void **state)
{
    struct mailbox *box = *state;
    void *got;

    post(box, 9, 1);
    assert_int_equal(mailbox_take(box, &got), 1);
    const struct note *lent = got;
    for (uint32_t i = 0; i < 10000; i++)
        post(box, 0, i);
    assert_int_equal(lent->from, 9);
    assert_int_equal(mailbox_take(box, &got), 10000);
    const struct note *notes = got;
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(notes[i].number, i);
}

static void
a_box_works_on_after_a_burst(void **state)
{
    enum { BURST = 200000 };
    struct mailbox *box = *state;
    void *got;

    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < BURST; i++)
            post(box, 0, i);
        assert_int_equal(mailbox_take(box, &got), BURST);
        for (uint32_t i = 0; i < 5; i++) { /* mostly empty from now on: the large arrays go */
            post(box, 0, i);
            assert_int_equal(mailbox_take(box, &got), 1);
            assert_int_equal(((const struct note *)got)->number, i);
        }
    }
}

static void
without_memory_nothing_is_posted_and_nothing_is_lost(void **state)
{
    struct mailbox *box = *state;
    struct note many[100] = {{0, 0}};
    struct err err;
    void *got;

    fail_reallocarray = 1;
    assert_int_equal(mailbox_post(box, many, 1, &err), -1);
    assert_int_equal(err.code, ERR_NOMEM);
    assert_false(is_readable(box));

    post(box, 7, 7);
    fail_reallocarray = 1;
    assert_int_equal(mailbox_post(box, many, 100, &err), -1);
    assert_int_equal(err.code, ERR_NOMEM);
    assert_int_equal(mailbox_take(box, &got), 1);
    assert_int_equal(((const struct note *)got)->number, 7);

    assert_int_equal(mailbox_post(box, many, 100, &err), 0);
    assert_int_equal(mailbox_take(box, &got), 100);
}

static void
more_messages_than_memory_can_hold_are_refused(void **state)
{
    struct mailbox *box = *state;
    struct note note = {0, 0};
    struct err err;

    assert_int_equal(mailbox_post(box, &note, SIZE_MAX, &err), -1);
    assert_int_equal(err.code, ERR_NOMEM);
    post(box, 1, 1);
    assert_int_equal(mailbox_post(box, &note, SIZE_MAX, &err), -1);
    assert_int_equal(err.code, ERR_NOMEM);
}

static void
a_box_that_cannot_be_made_says_why(void **state)
{
    struct err err;
    (void)state;

    fail_calloc = 1;
    assert_null(mailbox_new(8, &err));
    assert_int_equal(err.code, ERR_NOMEM);
    fail_eventfd = 1;
    assert_null(mailbox_new(8, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_int_equal(err.sys, EMFILE);
    mailbox_free(NULL);
}

enum { POSTERS = 4, EACH = 20000 };

struct poster {
    struct mailbox *box;
    uint32_t        id;
};

static void *
post_many(void *arg)
{
    const struct poster *p = arg;

    for (uint32_t i = 0; i < EACH;) {
        struct note notes[3];
        size_t n = 0;
        while (n < 1 + i % 3 && i < EACH)
            notes[n++] = (struct note){p->id, i++};
        if (mailbox_post(p->box, notes, n, NULL) != 0)
            abort();
    }
    return NULL;
}

/* The taker sleeps in poll without a limit of its own that could hide a lost wake-up: 60 s is a failure. */
static void
many_threads_post_while_one_takes_and_nothing_is_lost(void **state)
{
    struct mailbox *box = *state;
    pthread_t threads[POSTERS];
    struct poster posters[POSTERS];
    uint32_t next[POSTERS] = {0};
    size_t total = 0;

    for (uint32_t i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){box, i};
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    while (total < (size_t)POSTERS * EACH) {
        struct pollfd p = {.fd = mailbox_fd(box), .events = POLLIN};
        void *got;
        assert_int_equal(poll(&p, 1, 60000), 1);
        const size_t n = mailbox_take(box, &got);
        assert_true(n > 0);
        const struct note *notes = got;
        for (size_t i = 0; i < n; i++) {
            assert_true(notes[i].from < POSTERS);
            assert_int_equal(notes[i].number, next[notes[i].from]++);
        }
        total += n;
    }
    for (size_t i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    assert_false(is_readable(box));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_box_gives_nothing_and_is_not_readable, open_box, close_box),
        cmocka_unit_test_setup_teardown(messages_come_out_in_the_order_they_were_posted, open_box, close_box),
        cmocka_unit_test_setup_teardown(the_box_is_readable_exactly_while_it_holds_something, open_box, close_box),
        cmocka_unit_test_setup_teardown(the_taker_is_woken_by_the_first_message_only, open_box, close_box),
        cmocka_unit_test_setup_teardown(a_quiet_message_wakes_nobody_until_somebody_says_so, open_box, close_box),
        cmocka_unit_test_setup_teardown(the_next_message_takes_the_quiet_ones_before_it_along, open_box, close_box),
        cmocka_unit_test_setup_teardown(a_loan_lasts_while_others_post, open_box, close_box),
        cmocka_unit_test_setup_teardown(a_box_works_on_after_a_burst, open_box, close_box),
        cmocka_unit_test_setup_teardown(without_memory_nothing_is_posted_and_nothing_is_lost, open_box, close_box),
        cmocka_unit_test_setup_teardown(more_messages_than_memory_can_hold_are_refused, open_box, close_box),
        cmocka_unit_test(a_box_that_cannot_be_made_says_why),
        cmocka_unit_test_setup_teardown(many_threads_post_while_one_takes_and_nothing_is_lost, open_box, close_box),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
