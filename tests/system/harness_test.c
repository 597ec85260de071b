/* harness_test.c - the tools of the system tests can fail: a checker that finds nothing proves nothing. */
#include "must.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "consumer.h"
#include "ledger.h"
#include "proxy.h"
#include "world.h"

/* A message as the gateway would have published bundle `number` of connector 1. */
static struct consumed
message_of(unsigned char *body, size_t size, uint64_t number)
{
    struct consumed m = {.body = body, .len = size, .epoch = 9, .seq = (int64_t)number, .persistent = true};
    ledger_body(body, size, 1, number);
    (void)snprintf(m.connector, sizeof(m.connector), "load-1");
    (void)snprintf(m.message_id, sizeof(m.message_id), "load-1/9/%llu", (unsigned long long)number);
    return m;
}

static struct ledger *
ledger_of(uint64_t bundles)
{
    struct ledger *l = ledger_new();
    for (uint64_t i = 1; i <= bundles; i++) {
        ledger_pushed(l, 1, i, 100);
        ledger_answered(l, 1, i, LEDGER_ACKED);
    }
    return l;
}

static struct ledger_report
report_of(struct ledger *l)
{
    struct ledger_report r;
    ledger_check(l, &r);
    ledger_free(l);
    return r;
}

static void
what_is_acked_and_consumed_once_in_order_is_good(void **state)
{
    (void)state;
    unsigned char body[100];
    char text[800];
    struct ledger *l = ledger_of(3);
    for (uint64_t i = 1; i <= 3; i++) {
        struct consumed m = message_of(body, sizeof(body), i);
        ledger_consumed(l, &m);
    }
    struct ledger_report r = report_of(l);
    assert_true(ledger_good(&r, 0, text, sizeof(text)));
    assert_int_equal(r.unique, 3);
}

static void
the_ledger_notices_a_lost_bundle(void **state)
{
    (void)state;
    unsigned char body[100];
    char text[800];
    struct ledger *l = ledger_of(2);
    struct consumed m = message_of(body, sizeof(body), 1);
    ledger_consumed(l, &m);
    struct ledger_report r = report_of(l);
    assert_false(ledger_good(&r, 0, text, sizeof(text)));
    assert_int_equal(r.lost, 1);
}

static void
the_ledger_notices_one_altered_byte_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < 100; i++) {
        unsigned char body[100];
        struct ledger *l = ledger_of(1);
        struct consumed m = message_of(body, sizeof(body), 1);
        body[i] ^= 1;
        ledger_consumed(l, &m);
        struct ledger_report r = report_of(l);
        assert_int_equal(r.invented, 1);
    }
}

static void
the_ledger_notices_repeats_other_names_and_disorder(void **state)
{
    (void)state;
    unsigned char body[100];
    struct ledger *l = ledger_of(3);
    struct consumed m = message_of(body, sizeof(body), 3);
    ledger_consumed(l, &m);
    ledger_consumed(l, &m);
    m = message_of(body, sizeof(body), 1);
    ledger_consumed(l, &m);
    m = message_of(body, sizeof(body), 2);
    ledger_consumed(l, &m);
    m.seq = 7;
    (void)snprintf(m.message_id, sizeof(m.message_id), "load-1/9/7");
    ledger_consumed(l, &m);
    struct ledger_report r = report_of(l);
    assert_int_equal(r.repeated, 2);
    assert_int_equal(r.renamed, 1);
    assert_int_equal(r.disordered, 2); /* 1 and 2 both came after 3 */
    assert_int_equal(r.lost, 0);
}

static void
the_ledger_notices_a_message_whose_id_is_not_its_headers(void **state)
{
    (void)state;
    unsigned char body[100];
    struct ledger *l = ledger_of(1);
    struct consumed m = message_of(body, sizeof(body), 1);
    m.epoch = 8;
    ledger_consumed(l, &m);
    m = message_of(body, sizeof(body), 1);
    m.persistent = false;
    ledger_consumed(l, &m);
    struct ledger_report r = report_of(l);
    assert_int_equal(r.invented, 2);
}

/* --- the proxy --- */
static int
listen_somewhere(int *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static int
dial(int port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

/* Bytes until the end of the stream, whatever that is. */
static size_t
read_to_the_end(int fd)
{
    char buf[4096];
    size_t have = 0;
    ssize_t n;
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
        have += (size_t)n;
    return have;
}

static void
the_proxy_cuts_each_connection_one_byte_later(void **state)
{
    (void)state;
    struct proxy *p;
    int port, server = listen_somewhere(&port);
    struct proxy_fault f = {.cut = true, .after = 10, .step = 1, .cuts = 3};
    MUST_HAVE(p, proxy_start(port, &err));
    proxy_set(p, PROXY_UP, &f);
    for (size_t i = 0; i < 4; i++) {
        char bytes[100] = {0};
        int out = dial(proxy_port(p));
        int in = accept(server, NULL, NULL);
        assert_int_equal(send(out, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
        if (i == 3)
            (void)shutdown(out, SHUT_WR);
        assert_int_equal(read_to_the_end(in), i < 3 ? 10 + i : 100);
        (void)close(in);
        (void)close(out);
    }
    assert_int_equal(proxy_cuts(p), 3);
    assert_int_equal(proxy_accepted(p), 4);
    proxy_stop(p);
    (void)close(server);
}

static void
the_proxy_stalls_and_goes_on(void **state)
{
    (void)state;
    struct proxy *p;
    char byte = 'x';
    int port, server = listen_somewhere(&port);
    struct proxy_fault f = {.stall = true};
    MUST_HAVE(p, proxy_start(port, &err));
    proxy_set(p, PROXY_UP, &f);
    int out = dial(proxy_port(p)), in = accept(server, NULL, NULL);
    assert_int_equal(send(out, &byte, 1, 0), 1);
    world_sleep_ms(100);
    assert_int_equal(recv(in, &byte, 1, MSG_DONTWAIT), -1);
    proxy_set(p, PROXY_UP, NULL);
    assert_int_equal(recv(in, &byte, 1, 0), 1);
    (void)close(in);
    (void)close(out);
    proxy_stop(p);
    (void)close(server);
}

static void
the_proxy_keeps_to_a_rate_and_a_delay(void **state)
{
    (void)state;
    struct proxy *p;
    char bytes[20000] = {0};
    int port, server = listen_somewhere(&port);
    struct proxy_fault f = {.rate = 100000, .delay_us = 1000};
    MUST_HAVE(p, proxy_start(port, &err));
    proxy_set(p, PROXY_UP, &f);
    int out = dial(proxy_port(p)), in = accept(server, NULL, NULL);
    int64_t began = clock_mono_us();
    assert_int_equal(send(out, bytes, sizeof(bytes), 0), sizeof(bytes));
    (void)shutdown(out, SHUT_WR);
    assert_int_equal(read_to_the_end(in), sizeof(bytes));
    assert_in_range(clock_mono_us() - began, 150000, 20000000);
    (void)close(in);
    (void)close(out);
    proxy_stop(p);
    (void)close(server);
}

/* --- the world --- */
static void
a_world_leaves_nothing_behind(void **state)
{
    (void)state;
    struct world *w;
    char dir[600], file[640];
    MUST_HAVE(w, world_open(&err));
    (void)snprintf(dir, sizeof(dir), "%s", world_dir(w));
    (void)snprintf(file, sizeof(file), "%s/log", dir);
    const char *argv[] = {"/bin/sh", "-c", "echo here; exit 3", NULL};
    pid_t pid = world_spawn(argv, file, NULL);
    assert_true(pid > 0);
    assert_int_equal(world_wait(pid, 60000), 3);
    assert_int_equal(access(file, R_OK), 0);
    world_close(w);
    assert_int_equal(access(dir, F_OK), -1);
}

static void
a_program_that_does_not_end_is_ended(void **state)
{
    (void)state;
    char out[100];
    const char *argv[] = {"/bin/sh", "-c", "echo words; exec sleep 100", NULL};
    struct err err = {.code = ERR_NONE};
    int64_t began = clock_mono_us();
    assert_int_equal(world_run(argv, 1000, out, sizeof(out), &err), -1);
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_string_equal(out, "words\n");
    assert_true(clock_mono_us() - began < 50000000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_acked_and_consumed_once_in_order_is_good),
        cmocka_unit_test(the_ledger_notices_a_lost_bundle),
        cmocka_unit_test(the_ledger_notices_one_altered_byte_anywhere),
        cmocka_unit_test(the_ledger_notices_repeats_other_names_and_disorder),
        cmocka_unit_test(the_ledger_notices_a_message_whose_id_is_not_its_headers),
        cmocka_unit_test(the_proxy_cuts_each_connection_one_byte_later),
        cmocka_unit_test(the_proxy_stalls_and_goes_on),
        cmocka_unit_test(the_proxy_keeps_to_a_rate_and_a_delay),
        cmocka_unit_test(a_world_leaves_nothing_behind),
        cmocka_unit_test(a_program_that_does_not_end_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
