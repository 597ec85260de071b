/* publisher_parts_test.c - the publisher, and bundles of several messages: in health, and through every fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <amqp.h>
#include <amqp_framing.h>

#include "clock.h"
#include "err.h"
#include "parts_double.h"
#include "system/desk.h"
#include "system/operator.h"
#include "system/proxy.h"
#include "system/world.h"

enum { WINDOW = 200, LARGE = 1 << 20, KILLED = 5000, MILLION = 1000000 };

/* While it is set, nothing of LARGE bytes and more is allocated.  Linked with --wrap: the linker leaves no other way in
 * than file scope. */
static atomic_bool no_memory;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker chose these names */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *at, size_t size);
void *__wrap_realloc(void *at, size_t size);

void *
__wrap_malloc(size_t size)
{
    return size >= LARGE && atomic_load(&no_memory) ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
    return __real_calloc(n, size);
}

void *
__wrap_realloc(void *at, size_t size)
{
    return __real_realloc(at, size);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* --- What arrived ----------------------------------------------------------------------------------------------- */

static bool
text_is(amqp_bytes_t got, const char *want)
{
    return got.len == strlen(want) && memcmp(got.bytes, want, got.len) == 0;
}

static void
assert_number(const amqp_table_entry_t *h, const char *key, int64_t value)
{
    assert_true(text_is(h->key, key));
    assert_int_equal(h->value.kind, AMQP_FIELD_KIND_I64);
    assert_int_equal(h->value.value.i64, value);
}

/* Which message of the bundle it is, whole and signed as such. */
static uint32_t
assert_part(const amqp_message_t *m, const struct parts *p)
{
    const amqp_table_entry_t *h = m->properties.headers.entries;
    char id[100];

    assert_int_equal(m->properties.headers.num_entries, 5);
    assert_true(text_is(h[0].key, "x-sluice-connector"));
    assert_number(&h[1], "x-sluice-epoch", 7);
    assert_number(&h[2], "x-sluice-seq", PARTS_SEQ);
    assert_number(&h[4], "x-sluice-parts", p->n);
    assert_in_range(h[3].value.value.i64, 1, p->n);
    const uint32_t part = (uint32_t)h[3].value.value.i64 - 1;
    assert_number(&h[3], "x-sluice-part", (int64_t)part + 1);
    snprintf(id, sizeof(id), "feed/7/%d/%u", PARTS_SEQ, part + 1);
    assert_true(text_is(m->properties.message_id, id));
    assert_int_equal(m->properties.delivery_mode, 2);
    assert_true(text_is(m->properties.content_type, p->ctype));
    assert_true(parts_double_is(p, part, m->body.bytes, m->body.len));
    return part;
}

/* The next n messages of a queue are the bundle's, from the first on. */
static void
assert_next_parts(amqp_connection_state_t c, const char *queue, const struct parts *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        amqp_message_t m = get(c, queue);
        assert_int_equal(assert_part(&m, p), i);
        amqp_destroy_message(&m);
    }
}

/* Empty a queue of the bundle's messages; seen[i] counts message i.  Returns how many there were. */
static size_t
collect(const struct rabbit *r, const char *queue, const struct parts *p, uint32_t *seen)
{
    amqp_connection_state_t c = operator_open(r);
    const size_t n = depth(r, queue);

    for (size_t i = 0; i < n; i++) {
        amqp_message_t m = get(c, queue);
        seen[assert_part(&m, p)]++;
        amqp_destroy_message(&m);
    }
    operator_close(c);
    return n;
}

/* Each message of the bundle is in the queue.  Returns how many copies there are beside them. */
static size_t
assert_all_there(const struct rabbit *r, const char *queue, const struct parts *p)
{
    uint32_t *seen = calloc(p->n, sizeof(*seen));

    assert_non_null(seen);
    const size_t n = collect(r, queue, p, seen);
    for (size_t i = 0; i < p->n; i++)
        assert_in_range(seen[i], 1, UINT32_MAX);
    free(seen);
    print_message("# %zu copies\n", n - p->n);
    return n - p->n;
}

static void
wait_at_gate(const struct parts *p)
{
    const int64_t until = clock_mono_us() + (int64_t)WAIT_MS * 1000;

    while (!parts_double_waits(p) && clock_mono_us() < until)
        world_sleep_ms(1);
    assert_true(parts_double_waits(p));
}

/* --- Health ----------------------------------------------------------------------------------------------------- */

static void
bundles_and_their_messages_arrive_in_order(struct desk *d, const struct rabbit *r, const char *queue)
{
    const struct pub_target target = to_queue(queue);
    struct body *body = body_new(100, 100);
    struct parts *first = parts_double_new(500, 1000), *second = parts_double_new(30, 100000);
    declare(r, queue);

    parts_double_odd(first, 300, 300000);
    parts_double_odd(second, 3, 0);
    post(d, &target, body, 1, 1);
    post_parts(d, &target, first, 2);
    post_parts(d, &target, second, 3);
    post(d, &target, body, 4, 1);
    desk_results(d, 4);
    assert_int_equal(d->count[PUB_CONFIRMED], 4);
    assert_int_equal(first->went, 500);
    assert_int_equal(second->went, 30);

    amqp_connection_state_t c = operator_open(r);
    assert_int_equal(depth(r, queue), 532);
    amqp_message_t m = get(c, queue);
    assert_true(text_is(m.properties.message_id, "feed/7/1"));
    amqp_destroy_message(&m);
    assert_next_parts(c, queue, first, 500);
    assert_next_parts(c, queue, second, 30);
    m = get(c, queue);
    assert_true(text_is(m.properties.message_id, "feed/7/4"));
    amqp_destroy_message(&m);
    operator_close(c);
    parts_free(first);
    parts_free(second);
    body_free(body);
}

static void
parts_are_published_in_order_each_with_its_number(void **state)
{
    struct desk *d = desk_up(*state);

    bundles_and_their_messages_arrive_in_order(d, *state, "parts");
    desk_free(d);
}

static void
with_tls_parts_arrive_as_well(void **state)
{
    const struct rabbit *r = *state;
    struct desk *d = desk_new("localhost", r->tls_port);

    snprintf(d->ca, sizeof(d->ca), "%s/tls/ca.pem", world_dir(r->world));
    d->config.tls = true;
    d->config.ca_file = d->ca;
    desk_start(d);
    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    bundles_and_their_messages_arrive_in_order(d, r, "parts tls");
    desk_free(d);
}

static void
a_bundle_of_one_message_is_signed_as_a_body_is(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("only part");
    struct parts *p = parts_double_new(1, 1000);
    declare(r, "only part");
    struct desk *d = desk_up(r);

    p->ctype = "application/json";
    p->encoding = "utf-8";
    post_parts(d, &target, p, 1);
    desk_results(d, 1);
    assert_int_equal(d->result[1], PUB_CONFIRMED);
    amqp_connection_state_t c = operator_open(r);
    amqp_message_t m = get(c, "only part");
    assert_true(text_is(m.properties.message_id, "feed/7/42"));
    assert_true(text_is(m.properties.content_type, "application/json"));
    assert_true(text_is(m.properties.content_encoding, "utf-8"));
    assert_int_equal(m.properties.headers.num_entries, 3);
    assert_true(parts_double_is(p, 0, m.body.bytes, m.body.len));
    amqp_destroy_message(&m);
    operator_close(c);
    desk_free(d);
    parts_free(p);
}

static void
a_bundle_that_went_before_is_confirmed_and_not_published(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("gone before");
    struct parts *p = parts_double_new(100, 1000);
    declare(r, "gone before");
    struct desk *d = desk_up(r);

    for (uint32_t i = 0; i < 100; i++)
        parts_confirm(p, i);
    post_parts(d, &target, p, 1);
    desk_results(d, 1);
    assert_int_equal(d->result[1], PUB_CONFIRMED);
    assert_int_equal(parts_double_written(p), 0);
    assert_int_equal(depth(r, "gone before"), 0);
    desk_free(d);
    parts_free(p);
}

/* The most that was resident since reset_peak, in KiB. */
static long
peak_kib(void)
{
    char line[200];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "re");

    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    fclose(f);
    assert_true(kib > 0);
    return kib;
}

static void
reset_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "we");

    assert_non_null(f);
    assert_true(fputs("5\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* A queue that keeps its newest messages only. */
static void
declare_sink(const struct rabbit *r, const char *name)
{
    amqp_table_entry_t most = {.key = amqp_cstring_bytes("x-max-length"),
                               .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 10}};
    amqp_connection_state_t c = operator_open(r);

    declare_on(c, (struct queue){.name = name, .arguments = {.num_entries = 1, .entries = &most}});
    operator_close(c);
}

/* Post a bundle, and wait until all of it is confirmed.  Returns by how many KiB memory grew at most. */
static long
grown_by(struct desk *d, const struct pub_target *target, struct parts *p)
{
    const uint32_t left = p->n - p->went;
    const int64_t began = clock_mono_us();

    reset_peak();
    const long before = peak_kib();
    post_parts(d, target, p, 1);
    assert_true(desk_sees(d, PUB_CONFIRMED, 1, 10 * WAIT_MS));
    const long grown = peak_kib() - before;
    print_message("# %ld KiB more, %.0f messages/s\n", grown, left * 1e6 / (double)(clock_mono_us() - began));
    assert_int_equal(parts_double_written(p), left);
    assert_int_equal(p->went, p->n);
    return grown;
}

/* RabbitMQ may take a minute for a million: unless that is asked for, most of them went before, here and there. */
static void
a_million_tiny_messages_cost_no_memory(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("million");
    struct parts *p = parts_double_new(MILLION, 16);
    declare_sink(r, "million");
    struct desk *d = desk_up(r);

    for (uint32_t i = 0; !world_long() && i < MILLION; i++)
        if (i % 40 != 7)
            parts_confirm(p, i);
    assert_in_range(grown_by(d, &target, p), 0, 1024);
    desk_free(d);
    parts_free(p);
}

static void
large_messages_are_in_memory_one_at_a_time(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("large ones");
    struct parts *p = parts_double_new(40, 4 << 20);
    declare_sink(r, "large ones");
    struct desk *d = desk_up(r);

    assert_in_range(grown_by(d, &target, p), 0, (4 + 2) << 10);
    desk_free(d);
    parts_free(p);
}

/* --- Faults ----------------------------------------------------------------------------------------------------- */

static void
after_a_nack_in_the_middle_only_what_is_missing_goes_again(void **state)
{
    const struct rabbit *r = *state;
    amqp_table_entry_t limit[] = {
        {.key = amqp_cstring_bytes("x-max-length-bytes"), .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 30000}},
        argument_text("x-overflow", "reject-publish")};
    const struct pub_target target = to_queue("full parts");
    struct parts *p = parts_double_new(300, 1000);
    uint32_t seen[300] = {0};
    uint64_t ticket = 0;
    size_t got = 0;
    amqp_connection_state_t c = operator_open(r);
    declare_on(c, (struct queue){.name = "full parts", .arguments = {.num_entries = 2, .entries = limit}});
    operator_close(c);
    struct desk *d = desk_up(r);

    do {
        post_parts(d, &target, p, ticket);
        desk_results(d, ticket + 1);
        const size_t n = collect(r, "full parts", p, seen);
        got += n;
        assert_int_equal(p->went, got); /* what is noted is what is there */
        if (ticket == 0)
            assert_in_range(parts_double_written(p), n + 1, WINDOW + n); /* no more was begun after the nack */
    } while (d->result[ticket] == PUB_NACKED && ++ticket < 100);
    assert_int_equal(d->result[ticket], PUB_CONFIRMED);
    assert_int_equal(d->count[PUB_NACKED], ticket);
    assert_true(ticket > 0);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(seen[i], 1);
    desk_free(d);
    parts_free(p);
}

static void
after_sigkill_of_the_broker_amid_a_bundle_each_message_is_there(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("killed parts");
    struct parts *p = parts_double_new(KILLED, 1024);
    declare(r, "killed parts");
    world_sleep_ms(2000); /* RabbitMQ forgets a queue that is younger: gateway/broker/verify.c */
    struct desk *d = desk_up(r);

    parts_double_gate(p, KILLED / 2);
    post_parts(d, &target, p, 1);
    wait_at_gate(p);
    rabbit_do(r, "kill", NULL);
    parts_double_open(p);
    assert_true(desk_sees(d, PUB_DOWN, 1, WAIT_MS));
    assert_int_equal(d->results, 0);
    assert_in_range(p->went, KILLED / 2 - WINDOW, KILLED / 2);
    const uint32_t went = p->went;

    rabbit_do(r, "restart", NULL);
    assert_true(desk_sees(d, PUB_UP, 2, WAIT_MS));
    const uint64_t written = parts_double_written(p);
    post_parts(d, &target, p, 2);
    desk_results(d, 1);
    assert_int_equal(d->result[2], PUB_CONFIRMED);
    assert_int_equal(parts_double_written(p) - written, KILLED - went);
    assert_in_range(assert_all_there(r, "killed parts", p), 0, WINDOW);
    desk_free(d);
    parts_free(p);
}

/* A desk whose broker is behind a proxy. */
static struct desk *
desk_behind(struct proxy *proxy, uint32_t window)
{
    struct desk *d = desk_new("127.0.0.1", proxy_port(proxy));

    d->config.window = window;
    desk_start(d);
    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    return d;
}

static struct proxy *
a_proxy(const struct rabbit *r)
{
    struct err err;
    struct proxy *proxy = proxy_start(r->port, &err);

    assert_non_null(proxy);
    return proxy;
}

static void
where_the_confirms_were_lost_a_window_of_messages_comes_twice(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("unheard");
    const struct proxy_fault deaf = {.stall = true};
    struct parts *p = parts_double_new(1000, 1024);
    declare(r, "unheard");
    struct proxy *proxy = a_proxy(r);
    struct desk *d = desk_behind(proxy, WINDOW);

    parts_double_gate(p, 500);
    post_parts(d, &target, p, 1);
    wait_at_gate(p);
    proxy_set(proxy, PROXY_DOWN, &deaf);
    parts_double_open(p);
    assert_true(desk_sees(d, PUB_DOWN, 1, WAIT_MS));
    assert_int_equal(d->results, 0);
    const uint32_t went = p->went;
    proxy_set(proxy, PROXY_DOWN, NULL);

    assert_true(desk_sees(d, PUB_UP, 2, WAIT_MS));
    post_parts(d, &target, p, 2);
    desk_results(d, 1);
    assert_int_equal(d->result[2], PUB_CONFIRMED);
    assert_in_range(went, 500 - WINDOW, 500 + WINDOW);
    assert_in_range(assert_all_there(r, "unheard", p), 1, WINDOW);
    desk_free(d);
    proxy_stop(proxy);
    parts_free(p);
}

static void
a_bundle_gets_through_a_connection_that_breaks_again_and_again(void **state)
{
    enum { CUTS = 8, NARROW = 20 }; /* so that there are many confirms: it is these that are cut */
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("cut");
    struct proxy_fault cut = {.cut = true, .step = 21, .cuts = CUTS, .reset = true};
    struct parts *p = parts_double_new(5000, 1024);
    declare(r, "cut");
    struct proxy *proxy = a_proxy(r);
    struct desk *d = desk_behind(proxy, NARROW);

    cut.after = proxy_bytes(proxy, PROXY_DOWN) + 300;
    proxy_set(proxy, PROXY_DOWN, &cut);
    proxy_cut_all(proxy, true);
    for (size_t life = 2; d->results == 0 && life < 100; life++) {
        assert_true(desk_sees(d, PUB_UP, life, WAIT_MS));
        const uint32_t went = p->went;
        post_parts(d, &target, p, life);
        const int64_t until = clock_mono_us() + (int64_t)WAIT_MS * 1000;
        while (d->results == 0 && d->count[PUB_DOWN] < life && clock_mono_us() < until)
            desk_sees(d, PUB_CONFIRMED, 1, 10);
        assert_in_range(p->went, went, p->n);
    }
    assert_int_equal(d->results, 1);
    assert_int_equal(d->count[PUB_CONFIRMED], 1);
    assert_int_equal(proxy_cuts(proxy), CUTS);
    assert_in_range(assert_all_there(r, "cut", p), 0, CUTS * NARROW);
    desk_free(d);
    proxy_stop(proxy);
    parts_free(p);
}

static void
a_bundle_that_no_queue_is_bound_for_comes_back_once(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target good = to_queue("routed parts");
    const struct pub_target nowhere = {.exchange = "amq.direct", .routing_key = "nobody", .queue = ""};
    struct parts *p = parts_double_new(MILLION, 100), *other = parts_double_new(300, 100);
    declare(r, "routed parts");
    struct desk *d = desk_up(r);

    post_parts(d, &nowhere, p, 1);
    post_parts(d, &good, other, 2);
    desk_results(d, 2);
    assert_int_equal(d->result[1], PUB_RETURNED);
    assert_int_equal(d->result[2], PUB_CONFIRMED);
    assert_non_null(strstr(d->text, "message 1 of 1000000: 312 NO_ROUTE"));
    assert_int_equal(p->went, 0);
    assert_in_range(parts_double_written(p), 1, 2 * WINDOW);
    assert_int_equal(depth(r, "routed parts"), 300);
    desk_free(d);
    parts_free(other);
    parts_free(p);
}

static void
a_message_too_large_for_the_broker_is_named_and_its_bundle_alone_refused(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("large parts"), others = to_queue("large others");
    struct parts *bad = parts_double_new(42, 1024), *good = parts_double_new(42, 1024);
    struct body *body = body_new(1024, 65536);
    uint32_t seen[42] = {0};
    declare(r, "large parts");
    declare(r, "large others");
    struct desk *d = desk_new("127.0.0.1", r->port);

    d->config.window_bytes = 4 * (uint64_t)MESSAGE_MAX; /* so that others are open with it */
    desk_start(d);
    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));

    parts_double_odd(bad, 2, MESSAGE_MAX + 1);
    post(d, &others, body, 0, 50);
    post_parts(d, &target, bad, 100);
    post_parts(d, &target, good, 101);
    post(d, &others, body, 50, 50);
    desk_results(d, 102);
    assert_int_equal(d->result[100], PUB_TOO_LARGE);
    assert_int_equal(d->count[PUB_CONFIRMED], 101);
    assert_non_null(strstr(d->text, "message 3 of 42: 406 PRECONDITION_FAILED"));
    assert_int_equal(d->count[PUB_DOWN], 0);
    assert_int_equal(good->went, 42);
    assert_false(parts_went(bad, 2));
    assert_true(depth(r, "large others") >= 100);

    /* The good one's messages are there, and those of the bad one that went, but for those that may be there twice. */
    assert_int_equal(bad->went, 2); /* in the isolation those behind the culprit were given up */
    amqp_connection_state_t c = operator_open(r);
    const size_t n = depth(r, "large parts");
    for (size_t i = 0; i < n; i++) {
        amqp_message_t m = get(c, "large parts");
        seen[assert_part(&m, good)]++; /* small ones of both have the same bytes */
        amqp_destroy_message(&m);
    }
    operator_close(c);
    for (size_t i = 0; i < 42; i++)
        assert_true(seen[i] >= (i < 2 ? 2 : 1));
    desk_free(d);
    body_free(body);
    parts_free(good);
    parts_free(bad);
}

static void
of_a_bundle_whose_exchange_is_gone_one_message_is_tried_alone(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target good = to_queue("stays");
    const struct pub_target gone = {.exchange = "goes", .routing_key = "k", .queue = "stays", .declare = true};
    struct parts *bad = parts_double_new(300, 1024), *before = parts_double_new(100, 1024);
    struct parts *behind = parts_double_new(300, 1024);
    declare(r, "stays");
    struct desk *d = desk_up(r);

    parts_double_gate(bad, 1); /* its target was looked at */
    post_parts(d, &good, before, 1);
    post_parts(d, &gone, bad, 2);
    post_parts(d, &good, behind, 3);
    wait_at_gate(bad);
    amqp_connection_state_t c = operator_open(r);
    amqp_exchange_delete(c, 1, amqp_cstring_bytes("goes"), 0);
    operator_ok(c);
    operator_close(c);
    parts_double_open(bad);
    desk_results(d, 3);
    assert_int_equal(d->result[1], PUB_CONFIRMED);
    assert_int_equal(d->result[2], PUB_REFUSED);
    assert_int_equal(d->result[3], PUB_CONFIRMED);
    assert_non_null(strstr(d->text, " of 300: 404 NOT_FOUND - no exchange 'goes'"));
    assert_in_range(parts_double_written(bad), 1, WINDOW + 2);
    assert_int_equal(d->count[PUB_DOWN], 0);
    desk_free(d);
    parts_free(behind);
    parts_free(before);
    parts_free(bad);
}

static void
without_memory_for_a_message_its_bundle_is_tried_again_later(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("no memory");
    struct parts *p = parts_double_new(3, 1024);
    uint32_t seen[3] = {0};
    struct body *body = body_new(1024, 65536);
    declare(r, "no memory");
    declare(r, "no memory others");
    const struct pub_target others = to_queue("no memory others");
    struct desk *d = desk_up(r);

    parts_double_odd(p, 1, 2 * LARGE);
    atomic_store(&no_memory, true);
    post_parts(d, &target, p, 1);
    post(d, &others, body, 2, 10);
    desk_results(d, 11);
    assert_int_equal(d->result[1], PUB_NACKED);
    assert_int_equal(d->count[PUB_CONFIRMED], 10);
    assert_int_equal(p->went, 1);
    atomic_store(&no_memory, false);
    post_parts(d, &target, p, 20);
    desk_results(d, 12);
    assert_int_equal(d->result[20], PUB_CONFIRMED);
    assert_int_equal(collect(r, "no memory", p, seen), 3);
    assert_int_equal(d->count[PUB_DOWN], 0);
    desk_free(d);
    body_free(body);
    parts_free(p);
}

static void
a_queue_deleted_amid_a_bundle_is_declared_again_for_the_rest(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = {.exchange = "", .routing_key = "shot", .queue = "shot", .declare = true};
    struct parts *p = parts_double_new(1000, 1024);
    struct desk *d = desk_up(r);

    parts_double_gate(p, 500);
    post_parts(d, &target, p, 1);
    wait_at_gate(p);
    amqp_connection_state_t c = operator_open(r);
    amqp_queue_delete(c, 1, amqp_cstring_bytes("shot"), 0, 0);
    operator_ok(c);
    operator_close(c);
    parts_double_open(p);
    desk_results(d, 1);
    assert_int_equal(d->result[1], PUB_NACKED);
    const uint32_t went = p->went;
    assert_in_range(went, 500 - WINDOW, 500);
    post_parts(d, &target, p, 2);
    desk_results(d, 2);
    assert_int_equal(d->result[2], PUB_CONFIRMED);
    assert_int_equal(depth(r, "shot"), 1000 - went);
    desk_free(d);
    parts_free(p);
}

static void
a_bundle_without_a_queue_is_answered_with_what_to_do(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("nowhere parts");
    struct parts *p = parts_double_new(1000, 1024);
    struct desk *d = desk_up(r);

    post_parts(d, &target, p, 1);
    desk_results(d, 1);
    assert_int_equal(d->result[1], PUB_BAD_TARGET);
    assert_string_equal(d->text,
                        "queue 'nowhere parts' does not exist in vhost '/': declare it, or set declare = true");
    assert_int_equal(parts_double_written(p), 0);
    desk_free(d);
    parts_free(p);
}

static void
a_bundle_that_is_under_way_does_not_delay_the_end(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("stopped parts");
    struct parts *p = parts_double_new(MILLION, 1024);
    declare_sink(r, "stopped parts");
    struct desk *d = desk_up(r);

    parts_double_gate(p, 1000);
    post_parts(d, &target, p, 1);
    wait_at_gate(p);
    parts_double_open(p);
    desk_free(d); /* asserts how long it takes */
    assert_true(p->went > 0);
    assert_true(p->went < MILLION);
    parts_free(p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_published_in_order_each_with_its_number),
        cmocka_unit_test(with_tls_parts_arrive_as_well),
        cmocka_unit_test(a_bundle_of_one_message_is_signed_as_a_body_is),
        cmocka_unit_test(a_bundle_that_went_before_is_confirmed_and_not_published),
        cmocka_unit_test(a_million_tiny_messages_cost_no_memory),
        cmocka_unit_test(large_messages_are_in_memory_one_at_a_time),
        cmocka_unit_test(after_a_nack_in_the_middle_only_what_is_missing_goes_again),
        cmocka_unit_test(after_sigkill_of_the_broker_amid_a_bundle_each_message_is_there),
        cmocka_unit_test(where_the_confirms_were_lost_a_window_of_messages_comes_twice),
        cmocka_unit_test(a_bundle_gets_through_a_connection_that_breaks_again_and_again),
        cmocka_unit_test(a_bundle_that_no_queue_is_bound_for_comes_back_once),
        cmocka_unit_test(a_message_too_large_for_the_broker_is_named_and_its_bundle_alone_refused),
        cmocka_unit_test(of_a_bundle_whose_exchange_is_gone_one_message_is_tried_alone),
        cmocka_unit_test(without_memory_for_a_message_its_bundle_is_tried_again_later),
        cmocka_unit_test(a_queue_deleted_amid_a_bundle_is_declared_again_for_the_rest),
        cmocka_unit_test(a_bundle_without_a_queue_is_answered_with_what_to_do),
        cmocka_unit_test(a_bundle_that_is_under_way_does_not_delay_the_end),
    };
    cmocka_set_test_filter(getenv("TEST_FILTER")); /* such as "*alarm*"; NULL: all */
    return cmocka_run_group_tests_name("publisher_parts", tests, rabbit_start, rabbit_stop);
}
