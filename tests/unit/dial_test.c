/* dial_test.c - connecting is bounded, whatever the other side does. */
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/dial.h"
#include "clock.h"
#include "err.h"

/* What is over within SOON_US did not wait for LONG_US: between the two there is room for a busy machine. */
enum { FILL = 8, LIMIT_US = 300000, LONG_US = 60000000, SOON_US = 15000000 };

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker chose these names */
/* The linker leads these calls here: a resolver that is asked for "silent" answers only when the test is over. */
int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret);

static sem_t over, answered;

int
__wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret)
{
    if (strcmp(host, "silent") != 0)
        return __real_getaddrinfo(host, port, hints, ret);
    sem_wait(&over);
    sem_post(&answered);
    return EAI_AGAIN;
}

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* The dialer is gone by now, and its look-up is still welcome. */
static void
let_the_resolver_answer(void)
{
    sem_post(&over);
    sem_wait(&answered);
}

struct scene {
    struct dialer *dialer;
    int            stop_fd, listener, port;
    int            fill[FILL];
};

static struct scene
a_scene(int backlog)
{
    struct scene s = {.stop_fd = eventfd(0, EFD_CLOEXEC), .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    struct err err;

    s.dialer = dialer_new(2, s.stop_fd, &err);
    assert_non_null(s.dialer);
    assert_int_equal(bind(s.listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(s.listener, backlog), 0);
    assert_int_equal(getsockname(s.listener, (struct sockaddr *)&at, &len), 0);
    s.port = ntohs(at.sin_port);
    for (int i = 0; i < FILL; i++)
        s.fill[i] = -1;
    return s;
}

/* Nobody accepts, and the backlog is full: the next SYN is not answered, as by a host that is switched off. */
static struct scene
a_host_that_does_not_answer(void)
{
    struct scene s = a_scene(0);
    const struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s.port), .sin_addr = loopback};

    for (int i = 0; i < FILL; i++) {
        s.fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(s.fill[i], (const struct sockaddr *)&at, sizeof(at)); /* EINPROGRESS is what is wanted */
    }
    return s;
}

static void
end(struct scene *s)
{
    dialer_free(s->dialer);
    close(s->stop_fd);
    close(s->listener);
    for (int i = 0; i < FILL; i++)
        if (s->fill[i] >= 0)
            close(s->fill[i]);
}

static void *
stop_soon(void *arg)
{
    const struct timespec pause = {.tv_nsec = 100000000};

    nanosleep(&pause, NULL);
    eventfd_write(*(int *)arg, 1);
    return NULL;
}

static void
a_host_that_listens_is_reached_by_name_and_by_address(void **state)
{
    (void)state;
    struct scene s = a_scene(8);
    struct err err;
    const int fd = dialer_connect(s.dialer, 0, "127.0.0.1", s.port, LONG_US, &err);
    const int other = dialer_connect(s.dialer, 1, "localhost", s.port, LONG_US, &err);

    assert_true(fd >= 0);
    assert_true(other >= 0);
    close(fd);
    close(other);
    end(&s);
}

static void
a_refused_connection_names_host_and_port(void **state)
{
    (void)state;
    struct scene s = a_scene(8);
    struct err err;

    close(s.listener);
    s.listener = dup(s.stop_fd);
    assert_int_equal(dialer_connect(s.dialer, 0, "127.0.0.1", s.port, LONG_US, &err), -1);
    assert_non_null(strstr(err.text, "broker 127.0.0.1:"));
    assert_non_null(strstr(err.text, "Connection refused"));
    end(&s);
}

static void
a_name_that_does_not_exist_is_named(void **state)
{
    (void)state;
    struct scene s = a_scene(8);
    struct err err;

    assert_int_equal(dialer_connect(s.dialer, 0, "no-such-host.invalid", s.port, LONG_US, &err), -1);
    assert_non_null(strstr(err.text, "no-such-host.invalid"));
    end(&s);
}

static void
a_host_that_does_not_answer_costs_no_more_than_the_limit(void **state)
{
    (void)state;
    struct scene s = a_host_that_does_not_answer();
    struct err err;
    const int64_t began = clock_mono_us();

    assert_int_equal(dialer_connect(s.dialer, 0, "127.0.0.1", s.port, LIMIT_US, &err), -1);
    assert_in_range(clock_mono_us() - began, LIMIT_US, SOON_US);
    assert_non_null(strstr(err.text, "timed out"));
    end(&s);
}

static void
a_stop_ends_connecting_at_once(void **state)
{
    (void)state;
    struct scene s = a_host_that_does_not_answer();
    struct err err;
    pthread_t thread;
    const int64_t began = clock_mono_us();

    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &s.stop_fd), 0);
    assert_int_equal(dialer_connect(s.dialer, 0, "127.0.0.1", s.port, LONG_US, &err), -1);
    assert_in_range(clock_mono_us() - began, 0, SOON_US);
    pthread_join(thread, NULL);
    end(&s);
}

static void
a_resolver_that_does_not_answer_costs_no_more_than_the_limit(void **state)
{
    (void)state;
    struct scene s = a_scene(8);
    struct err err;
    const int64_t began = clock_mono_us();

    assert_int_equal(dialer_resolve(s.dialer, 0, "silent", s.port, LIMIT_US, &err), -1);
    assert_in_range(clock_mono_us() - began, LIMIT_US, SOON_US);
    assert_non_null(strstr(err.text, "name servers"));
    /* The other host is not held up by it. */
    const int fd = dialer_connect(s.dialer, 1, "127.0.0.1", s.port, LONG_US, &err);
    assert_true(fd >= 0);
    close(fd);
    end(&s);
    let_the_resolver_answer();
}

static void
a_stop_ends_a_look_up_at_once(void **state)
{
    (void)state;
    struct scene s = a_scene(8);
    struct err err;
    pthread_t thread;
    const int64_t began = clock_mono_us();

    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &s.stop_fd), 0);
    assert_int_equal(dialer_resolve(s.dialer, 0, "silent", s.port, LONG_US, &err), -1);
    assert_in_range(clock_mono_us() - began, 0, SOON_US);
    pthread_join(thread, NULL);
    end(&s);
    let_the_resolver_answer();
}

int
main(void)
{
    sem_init(&over, 0, 0);
    sem_init(&answered, 0, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_listens_is_reached_by_name_and_by_address),
        cmocka_unit_test(a_refused_connection_names_host_and_port),
        cmocka_unit_test(a_name_that_does_not_exist_is_named),
        cmocka_unit_test(a_host_that_does_not_answer_costs_no_more_than_the_limit),
        cmocka_unit_test(a_stop_ends_connecting_at_once),
        cmocka_unit_test(a_resolver_that_does_not_answer_costs_no_more_than_the_limit),
        cmocka_unit_test(a_stop_ends_a_look_up_at_once),
    };
    return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
