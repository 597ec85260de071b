/* watchdog_test.c - what hangs is cut, and nothing else is. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/watchdog.h"
#include "clock.h"
#include "err.h"

/* What is over within SOON_US did not wait for LONG_MS: between the two there is room for a busy machine. */
enum { HUNG_US = 200000, LONG_MS = 60000, SOON_US = 15000000 };

struct pair {
    struct watchdog *dog;
    int              own, peer;
};

static struct pair
guarded_for(int64_t hung_us)
{
    struct pair p;
    struct err err;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    p = (struct pair){.dog = watchdog_start(hung_us, &err), .own = fds[0], .peer = fds[1]};
    assert_non_null(p.dog);
    assert_int_equal(watchdog_guard(p.dog, p.own, &err), 0);
    return p;
}

static struct pair
a_guarded_connection(void)
{
    return guarded_for(HUNG_US);
}

static void
end(struct pair *p)
{
    watchdog_free(p->dog);
    close(p->own);
    close(p->peer);
}

/* A library call that waits for its peer.  Returns how long it took, or -1 if the peer never let it go. */
static int64_t
a_call(const struct pair *p, int ms)
{
    struct pollfd fd = {.fd = p->own, .events = POLLIN};
    const int64_t began = clock_mono_us();

    watchdog_enter(p->dog);
    const int ready = poll(&fd, 1, ms);
    watchdog_leave(p->dog);
    return ready == 0 ? -1 : clock_mono_us() - began;
}

static void
a_call_that_hangs_is_cut(void **state)
{
    (void)state;
    struct pair p = a_guarded_connection();
    char byte;

    const int64_t took = a_call(&p, LONG_MS);
    assert_in_range(took, HUNG_US, SOON_US);
    assert_int_equal(read(p.own, &byte, 1), 0);
    assert_true(watchdog_release(p.dog));
    end(&p);
}

static void
a_connection_that_is_not_in_a_call_is_left_alone(void **state)
{
    (void)state;
    struct pair p = a_guarded_connection();
    struct pollfd fd = {.fd = p.own, .events = POLLIN};

    assert_int_equal(poll(&fd, 1, 3 * HUNG_US / 1000), 0);
    assert_false(watchdog_release(p.dog));
    end(&p);
}

static void
many_short_calls_are_not_one_long_call(void **state)
{
    (void)state;
    struct pair p = guarded_for(5 * HUNG_US);

    for (int i = 0; i < 30; i++)
        assert_int_equal(a_call(&p, HUNG_US / 5000), -1); /* only a call that is late by a second is a long one */
    assert_false(watchdog_release(p.dog));
    end(&p);
}

static void
once_it_is_to_stop_no_call_is_waited_for(void **state)
{
    (void)state;
    struct pair p = guarded_for(2 * (int64_t)SOON_US);

    watchdog_stop_by(p.dog, clock_mono_us());
    assert_in_range(a_call(&p, LONG_MS), 0, SOON_US);
    end(&p);
}

static void
what_was_released_is_not_cut(void **state)
{
    (void)state;
    struct pair p = a_guarded_connection();

    assert_false(watchdog_release(p.dog));
    assert_int_equal(a_call(&p, 2 * HUNG_US / 1000), -1);
    end(&p);
}

static void
after_a_cut_it_guards_the_next_connection(void **state)
{
    (void)state;
    struct pair p = a_guarded_connection();
    struct err err;
    int fds[2];

    assert_true(a_call(&p, LONG_MS) > 0);
    assert_true(watchdog_release(p.dog));
    close(p.own);
    close(p.peer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    p.own = fds[0];
    p.peer = fds[1];
    assert_int_equal(watchdog_guard(p.dog, p.own, &err), 0);
    assert_in_range(a_call(&p, LONG_MS), HUNG_US, SOON_US);
    end(&p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_hangs_is_cut),
        cmocka_unit_test(a_connection_that_is_not_in_a_call_is_left_alone),
        cmocka_unit_test(many_short_calls_are_not_one_long_call),
        cmocka_unit_test(once_it_is_to_stop_no_call_is_waited_for),
        cmocka_unit_test(what_was_released_is_not_cut),
        cmocka_unit_test(after_a_cut_it_guards_the_next_connection),
    };
    return cmocka_run_group_tests_name("watchdog", tests, NULL, NULL);
}
