/* desk.c - somebody who gives messages to a publisher, and sees to it that each gets exactly one result. */
#include "system/desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <amqp.h>

#include "body.h"
#include "clock.h"
#include "err.h"
#include "log.h"
#include "mailbox.h"
#include "system/late.h"
#include "system/operator.h"
#include "system/world.h"

struct desk *
desk_new(const char *host, int port)
{
    struct desk *d = calloc(1, sizeof(*d));
    struct err err;

    assert_non_null(d);
    d->host = (struct pub_host){host, port};
    d->config = (struct pub_config){
        .hosts = &d->host,
        .n_hosts = 1,
        .vhost = "/",
        .user = "guest",
        .password = "guest",
        .name = "a desk",
        .window = 200,
        .window_bytes = 8 << 20,
        .heartbeat_us = 10000000,
        .hung_us = HUNG_US,
        .retry_min_us = 20000,
        .retry_max_us = 200000,
        .seed = 1};
    d->events = mailbox_new(sizeof(struct pub_event), &err);
    d->log_fd = memfd_create("log", MFD_CLOEXEC);
    d->log = log_new(d->log_fd, LOG_KEYVALUE, LOG_DEBUG, &err);
    assert_non_null(d->events);
    assert_non_null(d->log);
    return d;
}

void
desk_start(struct desk *d)
{
    struct err err;

    d->p = publisher_start(&d->config, 3, d->events, d->log, &err);
    assert_non_null(d->p);
}

void
desk_take(struct desk *d)
{
    void *taken;
    const size_t n = mailbox_take(d->events, &taken);
    const struct pub_event *e = taken;

    for (size_t i = 0; i < n; i++) {
        assert_int_equal(e[i].publisher, 3);
        d->count[e[i].kind]++;
        if (e[i].kind == PUB_UP)
            d->session = e[i].session;
        assert_int_equal(e[i].session, d->session);
        if (e[i].kind >= PUB_CONFIRMED) {
            assert_true(e[i].ticket < TICKETS);
            assert_int_equal(d->result[e[i].ticket], PUB_UP); /* exactly one for each */
            d->result[e[i].ticket] = e[i].kind;
            d->results++;
        }
        if (e[i].text != NULL)
            snprintf(d->text, sizeof(d->text), "%s", e[i].text);
        free(e[i].text);
    }
}

bool
desk_sees(struct desk *d, enum pub_event_kind kind, size_t n, int ms)
{
    const int64_t until = clock_mono_us() + (int64_t)ms * 1000;

    for (desk_take(d); d->count[kind] < n && clock_mono_us() < until; desk_take(d))
        world_sleep_ms(1);
    return d->count[kind] >= n;
}

void
desk_results(struct desk *d, size_t n)
{
    const int64_t until = clock_mono_us() + (int64_t)WAIT_MS * 1000;

    for (desk_take(d); d->results < n && clock_mono_us() < until; desk_take(d))
        world_sleep_ms(1);
    assert_int_equal(d->results, n);
}

struct desk *
desk_up(const struct rabbit *r)
{
    struct desk *d = desk_new("127.0.0.1", r->port);

    desk_start(d);
    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    return d;
}

void
desk_free(struct desk *d)
{
    struct late *late = late_start();
    const int64_t began = clock_mono_us();

    publisher_free(d->p, STOP_US);
    const int64_t took = clock_mono_us() - began;
    assert_in_range(took, 0, STOP_US + 500000 + late_stop(late));
    desk_take(d);
    mailbox_free(d->events);
    log_free(d->log);
    close(d->log_fd);
    free(d);
}

bool
desk_logged(struct desk *d, const char *text, int ms)
{
    static const char nothing[] = "";
    const int64_t until = clock_mono_us() + (int64_t)ms * 1000;
    char *log = malloc(1 << 20);
    bool found = false;

    assert_non_null(log);
    while (!found && clock_mono_us() < until) {
        const ssize_t n = pread(d->log_fd, log, (1 << 20) - 1, 0);
        memcpy(log + (n > 0 ? n : 0), nothing, 1);
        found = strstr(log, text) != NULL;
        if (!found)
            world_sleep_ms(5);
    }
    if (!found)
        fprintf(stderr, "# not in the log: %s\n%s\n", text, log);
    free(log);
    return found;
}

struct body *
body_new(size_t size, size_t chunk)
{
    struct body *b = calloc(1, sizeof(*b));
    uint32_t x = 12345;

    assert_non_null(b);
    b->size = b->have = size;
    b->n = b->cap = (uint32_t)(size == 0 ? 1 : (size + chunk - 1) / chunk);
    b->chunks = calloc(b->n, sizeof(*b->chunks));
    b->ctype = "application/stix+json";
    for (uint32_t i = 0; i < b->n; i++) {
        const size_t len = size - i * chunk < chunk ? size - i * chunk : chunk;
        uint8_t *at = malloc(len + 1);
        for (size_t k = 0; k < len; k++)
            at[k] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
        b->chunks[i] = (struct chunk){.at = at, .len = len};
    }
    return b;
}

void
body_free(struct body *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        free((void *)(uintptr_t)b->chunks[i].at);
    free(b->chunks);
    free(b);
}

void
post(struct desk *d, const struct pub_target *target, const struct body *body, uint64_t first, size_t n)
{
    struct pub_message *m = calloc(n, sizeof(*m));
    struct err err;

    assert_non_null(m);
    for (size_t i = 0; i < n; i++)
        m[i] = (struct pub_message){
            .ticket = first + i,
            .session = d->session,
            .target = target,
            .body = body,
            .connector = "feed",
            .epoch = 7,
            .seq = first + i};
    assert_int_equal(publisher_post(d->p, m, n, &err), 0);
    free(m);
}

void
post_parts(struct desk *d, const struct pub_target *target, struct parts *parts, uint64_t ticket)
{
    const struct pub_message m = {
        .ticket = ticket,
        .session = d->session,
        .target = target,
        .parts = parts,
        .connector = "feed",
        .epoch = 7,
        .seq = PARTS_SEQ};
    struct err err;

    assert_int_equal(publisher_post(d->p, &m, 1, &err), 0);
}

size_t
results_of(const struct desk *d, uint64_t first, size_t n, enum pub_event_kind kind)
{
    size_t found = 0;

    for (uint64_t t = first; t < first + n; t++)
        found += d->result[t] == kind;
    return found;
}

struct pub_target
to_queue(const char *name)
{
    return (struct pub_target){.exchange = "", .routing_key = name, .queue = name};
}

static void
assert_same_bytes(const struct body *body, amqp_bytes_t got)
{
    size_t at = 0;

    assert_int_equal(got.len, body->size);
    for (uint32_t i = 0; i < body->n; i++) {
        assert_memory_equal((const char *)got.bytes + at, body->chunks[i].at, body->chunks[i].len);
        at += body->chunks[i].len;
    }
}

void
bodies_arrive_byte_for_byte(struct desk *d, const struct rabbit *r, const char *queue)
{
    static const size_t size[] = {1 << 24, 1 << 24, 1, 8192, 8193, 131064, 131065, 262128, 100000, 300000, 65537};
    static const size_t chunk[] = {65536, 1 << 20, 1, 8192, 8193, 131064, 131065, 65536, 777, 299999, 65536};
    const struct pub_target target = to_queue(queue);
    amqp_connection_state_t c = operator_open(r);

    declare_on(c, (struct queue){.name = queue});
    for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
        struct body *body = body_new(size[i], chunk[i]);
        post(d, &target, body, i, 1);
        desk_results(d, i + 1);
        assert_int_equal(d->result[i], PUB_CONFIRMED);
        amqp_message_t m = get(c, queue);
        assert_same_bytes(body, m.body);
        amqp_destroy_message(&m);
        body_free(body);
    }
    operator_close(c);
}
