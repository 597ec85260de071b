/* publisher_test.c - the publisher against a private RabbitMQ, in health and in all its illnesses. */
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
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>

#include "body.h"
#include "broker/publisher.h"
#include "clock.h"
#include "err.h"
#include "log.h"
#include "mailbox.h"
#include "system/world.h"

enum {
    WAIT_MS = 20000,      /* for what must happen */
    STOP_US = 1000000,    /* what a publisher is given to stop */
    MESSAGE_MAX = 20000000, /* the broker's max_message_size */
    TICKETS = 20001,
    HUNG_US = 2000000
};

/* --- The broker, and an operator's hand on it ------------------------------------------------------------------- */

static struct world *world;
static int amqp_port, tls_port;

static int
port_of(const char *name)
{
    char path[600], line[600];
    int port = 0;

    snprintf(path, sizeof(path), "%s/broker/env", world_dir(world));
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            port = (int)strtol(line + strlen(name) + 2, NULL, 10); /* NAME='n' */
    fclose(f);
    return port;
}

static int
start_broker(void **state)
{
    (void)state;
    char script[600], broker[600], tls[600], conf[600], out[4096];
    struct err err = {.text = ""};

    world = world_open(&err);
    if (world == NULL)
        return -1;
    snprintf(broker, sizeof(broker), "%s/broker", world_dir(world));
    snprintf(tls, sizeof(tls), "%s/tls", world_dir(world));
    snprintf(conf, sizeof(conf), "%s/more.conf", world_dir(world));
    FILE *f = fopen(conf, "we");
    if (f == NULL)
        return -1;
    fprintf(f, "max_message_size = %d\n", MESSAGE_MAX);
    fclose(f);
    const char *argv[] = {world_source("tests/broker", script, sizeof(script)), "start", broker, "--tls", tls, conf, NULL};
    if (world_run(argv, 120000, out, sizeof(out), &err) != 0) {
        fprintf(stderr, "%s%s\n", err.text, out);
        return -1;
    }
    amqp_port = port_of("AMQP_PORT");
    tls_port = port_of("TLS_PORT");
    return amqp_port > 0 && tls_port > 0 ? 0 : -1;
}

static int
stop_broker(void **state)
{
    (void)state;
    world_close(world);
    return 0;
}

static void
broker(const char *verb, const char *const *args)
{
    struct err err = {.text = ""};

    if (world_broker(world, verb, args, &err) != 0)
        fail_msg("%s: %s", verb, err.text);
}

/* What rabbitmqctl says about its connections. */
static void
connections(const char *column, char *out, size_t cap)
{
    char script[600], dir[600];
    struct err err = {.text = ""};

    snprintf(dir, sizeof(dir), "%s/broker", world_dir(world));
    const char *argv[] = {world_source("tests/broker", script, sizeof(script)), "ctl", dir, "list_connections", column, NULL};
    if (world_run(argv, 120000, out, cap, &err) != 0)
        fail_msg("%s: %s", err.text, out);
}

static void
watermark(const char *fraction)
{
    const char *args[] = {"set_vm_memory_high_watermark", fraction, NULL};

    broker("ctl", args);
}

/* The operator's own connection. */
static amqp_connection_state_t
operator_open(void)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(c);

    assert_int_equal(amqp_socket_open(socket, "127.0.0.1", amqp_port), AMQP_STATUS_OK);
    assert_int_equal(amqp_login(c, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type,
                     AMQP_RESPONSE_NORMAL);
    amqp_channel_open(c, 1);
    return c;
}

static void
operator_close(amqp_connection_state_t c)
{
    amqp_connection_close(c, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(c);
}

static void
ok(amqp_connection_state_t c)
{
    assert_int_equal(amqp_get_rpc_reply(c).reply_type, AMQP_RESPONSE_NORMAL);
}

static amqp_table_entry_t
argument_text(const char *key, const char *value)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)}};
}

struct queue {
    const char  *name;
    bool         transient, exclusive, auto_delete;
    amqp_table_t arguments;
};

static void
declare_on(amqp_connection_state_t c, struct queue q)
{
    amqp_queue_declare(c, 1, amqp_cstring_bytes(q.name), 0, !q.transient, q.exclusive, q.auto_delete, q.arguments);
    ok(c);
}

static void
declare(const char *name)
{
    amqp_connection_state_t c = operator_open();

    declare_on(c, (struct queue){.name = name});
    operator_close(c);
}

static uint32_t
depth(const char *name)
{
    amqp_connection_state_t c = operator_open();
    const amqp_queue_declare_ok_t *got =
        amqp_queue_declare(c, 1, amqp_cstring_bytes(name), 1, 0, 0, 0, amqp_empty_table);

    assert_non_null(got);
    const uint32_t n = got->message_count;
    operator_close(c);
    return n;
}

/* --- A publisher, and what it reports --------------------------------------------------------------------------- */

struct desk {
    struct pub_host   host;
    struct pub_config config;
    struct mailbox   *events;
    struct log       *log;
    int               log_fd;
    struct publisher *p;
    uint32_t          session;
    char              dir[600], ca[700];
    enum pub_event_kind result[TICKETS]; /* by ticket; PUB_UP: none yet */
    size_t            results;
    size_t            count[PUB_BAD_TARGET + 1]; /* events by kind */
    char              text[600]; /* of the last event that had one */
};

static struct desk *
desk_new(const char *host, int port)
{
    struct desk *d = calloc(1, sizeof(*d));
    struct err err;

    assert_non_null(d);
    d->host = (struct pub_host){host, port};
    d->config = (struct pub_config){.hosts = &d->host, .n_hosts = 1, .vhost = "/", .user = "guest",
                                    .password = "guest", .name = "publisher_test", .window = 200,
                                    .window_bytes = 8 << 20, .heartbeat_us = 10000000, .hung_us = HUNG_US,
                                    .retry_min_us = 20000, .retry_max_us = 200000, .seed = 1};
    d->events = mailbox_new(sizeof(struct pub_event), &err);
    d->log_fd = memfd_create("log", MFD_CLOEXEC);
    d->log = log_new(d->log_fd, LOG_KEYVALUE, LOG_DEBUG, &err);
    assert_non_null(d->events);
    assert_non_null(d->log);
    return d;
}

static void
desk_start(struct desk *d)
{
    struct err err;

    d->p = publisher_start(&d->config, 3, d->events, d->log, &err);
    assert_non_null(d->p);
}

static void
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

/* Does the count of a kind reach n in time? */
static bool
desk_sees(struct desk *d, enum pub_event_kind kind, size_t n, int ms)
{
    const int64_t until = clock_mono_us() + (int64_t)ms * 1000;

    for (desk_take(d); d->count[kind] < n && clock_mono_us() < until; desk_take(d))
        world_sleep_ms(1);
    return d->count[kind] >= n;
}

static void
desk_results(struct desk *d, size_t n)
{
    const int64_t until = clock_mono_us() + (int64_t)WAIT_MS * 1000;

    for (desk_take(d); d->results < n && clock_mono_us() < until; desk_take(d))
        world_sleep_ms(1);
    assert_int_equal(d->results, n);
}

static struct desk *
desk_up(void)
{
    struct desk *d = desk_new("127.0.0.1", amqp_port);

    desk_start(d);
    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    return d;
}

/* Stopping is bounded in every state. */
static void
desk_free(struct desk *d)
{
    const int64_t began = clock_mono_us();

    publisher_free(d->p, STOP_US);
    assert_in_range(clock_mono_us() - began, 0, STOP_US + 500000);
    desk_take(d);
    mailbox_free(d->events);
    log_free(d->log);
    close(d->log_fd);
    free(d);
}

/* Does a line of the log hold this within the time? */
static bool
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

/* --- Messages --------------------------------------------------------------------------------------------------- */

/* A body of n chunks, filled so that a byte out of place is seen. */
static struct body *
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

static void
body_free(struct body *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        free((void *)(uintptr_t)b->chunks[i].at);
    free(b->chunks);
    free(b);
}

static void
post(struct desk *d, const struct pub_target *target, const struct body *body, uint64_t first, size_t n)
{
    struct pub_message *m = calloc(n, sizeof(*m));
    struct err err;

    assert_non_null(m);
    for (size_t i = 0; i < n; i++)
        m[i] = (struct pub_message){.ticket = first + i, .session = d->session, .target = target, .body = body,
                                    .connector = "feed", .epoch = 7, .seq = first + i};
    assert_int_equal(publisher_post(d->p, m, n, &err), 0);
    free(m);
}

static size_t
results_of(const struct desk *d, uint64_t first, size_t n, enum pub_event_kind kind)
{
    size_t found = 0;

    for (uint64_t t = first; t < first + n; t++)
        found += d->result[t] == kind;
    return found;
}

static struct pub_target
to_queue(const char *name)
{
    return (struct pub_target){.exchange = "", .routing_key = name, .queue = name};
}

/* --- Health ----------------------------------------------------------------------------------------------------- */

static void
ten_thousand_messages_are_confirmed_once_each(void **state)
{
    (void)state;
    const struct pub_target target = to_queue("many");
    struct body *body = body_new(1024, 65536);
    declare("many");
    struct desk *d = desk_up();

    post(d, &target, body, 0, 10000);
    desk_results(d, 10000);
    assert_int_equal(d->count[PUB_CONFIRMED], 10000);
    assert_int_equal(depth("many"), 10000);
    desk_free(d);
    body_free(body);
}

/* Read one message whole from a queue. */
static amqp_message_t
get(amqp_connection_state_t c, const char *queue)
{
    amqp_message_t m;

    amqp_maybe_release_buffers(c);
    assert_int_equal(amqp_basic_get(c, 1, amqp_cstring_bytes(queue), 1).reply_type, AMQP_RESPONSE_NORMAL);
    assert_int_equal(amqp_read_message(c, 1, &m, 0).reply_type, AMQP_RESPONSE_NORMAL);
    return m;
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

static void
bodies_of_any_shape_arrive_byte_for_byte(struct desk *d, const char *queue)
{
    static const struct { size_t size, chunk; } shape[] = {
        {16 << 20, 65536}, {16 << 20, 1 << 20}, {1, 1}, {8192, 8192}, {8193, 8193}, {131064, 131064},
        {131065, 131065}, {262128, 65536}, {100000, 777}, {300000, 299999}, {65536, 65536}, {65537, 65536}};
    const struct pub_target target = to_queue(queue);
    amqp_connection_state_t c = operator_open();

    declare_on(c, (struct queue){.name = queue});
    for (size_t i = 0; i < sizeof(shape) / sizeof(shape[0]); i++) {
        struct body *body = body_new(shape[i].size, shape[i].chunk);
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

static void
a_body_in_chunks_arrives_byte_for_byte(void **state)
{
    (void)state;
    struct desk *d = desk_up();

    bodies_of_any_shape_arrive_byte_for_byte(d, "chunks");
    desk_free(d);
}

static void
a_message_says_whose_it_is(void **state)
{
    (void)state;
    const struct pub_target target = to_queue("signed");
    struct body *body = body_new(10, 10);
    declare("signed");
    struct desk *d = desk_up();

    post(d, &target, body, 42, 1);
    desk_results(d, 1);
    amqp_connection_state_t c = operator_open();
    amqp_message_t m = get(c, "signed");
    assert_int_equal(m.properties.delivery_mode, 2);
    assert_memory_equal(m.properties.message_id.bytes, "feed/7/42", 9);
    assert_int_equal(m.properties.message_id.len, 9);
    assert_memory_equal(m.properties.content_type.bytes, "application/stix+json", 21);
    assert_int_equal(m.properties.headers.num_entries, 3);
    const amqp_table_entry_t *h = m.properties.headers.entries;
    assert_memory_equal(h[0].key.bytes, "x-sluice-connector", 18);
    assert_memory_equal(h[0].value.value.bytes.bytes, "feed", 4);
    assert_memory_equal(h[1].key.bytes, "x-sluice-epoch", 14);
    assert_int_equal(h[1].value.value.i64, 7);
    assert_memory_equal(h[2].key.bytes, "x-sluice-seq", 12);
    assert_int_equal(h[2].value.value.i64, 42);
    amqp_destroy_message(&m);
    operator_close(c);
    desk_free(d);
    body_free(body);
}

static void
a_message_for_an_older_session_is_dropped(void **state)
{
    (void)state;
    const struct pub_target target = to_queue("sessions");
    struct body *body = body_new(10, 10);
    declare("sessions");
    struct desk *d = desk_up();

    d->session--;
    post(d, &target, body, 1, 1);
    d->session++;
    post(d, &target, body, 2, 1);
    desk_results(d, 1);
    assert_int_equal(d->result[2], PUB_CONFIRMED);
    assert_int_equal(depth("sessions"), 1);
    desk_free(d);
    body_free(body);
}

/* --- What the broker does not take ------------------------------------------------------------------------------ */

static void
a_message_that_no_queue_is_bound_for_comes_back_alone(void **state)
{
    (void)state;
    const struct pub_target good = to_queue("routed");
    const struct pub_target nowhere = {.exchange = "amq.direct", .routing_key = "nobody", .queue = ""};
    struct body *body = body_new(200000, 65536);
    declare("routed");
    struct desk *d = desk_up();

    for (uint64_t i = 0; i < 30; i++)
        post(d, i % 3 == 1 ? &nowhere : &good, body, i, 1);
    desk_results(d, 30);
    for (uint64_t i = 0; i < 30; i++)
        assert_int_equal(d->result[i], i % 3 == 1 ? PUB_RETURNED : PUB_CONFIRMED);
    assert_non_null(strstr(d->text, "NO_ROUTE"));
    assert_non_null(strstr(d->text, "'nobody'"));
    assert_int_equal(depth("routed"), 20);
    desk_free(d);
    body_free(body);
}

static void
a_poisonous_message_is_refused_alone(void **state)
{
    (void)state;
    const struct pub_target good = to_queue("healthy");
    const struct pub_target gone = {.exchange = "short lived", .routing_key = "k", .queue = "healthy", .declare = true};
    struct body *body = body_new(1024, 65536);
    struct err err;
    declare("healthy");
    struct desk *d = desk_up();

    /* Verified while it was there, and then taken away. */
    assert_int_equal(publisher_add_target(d->p, &gone, &err), 0);
    post(d, &gone, body, 0, 1);
    desk_results(d, 1);
    assert_int_equal(d->result[0], PUB_CONFIRMED);
    amqp_connection_state_t c = operator_open();
    amqp_exchange_delete(c, 1, amqp_cstring_bytes("short lived"), 0);
    ok(c);
    operator_close(c);

    struct pub_message m[300];
    for (uint64_t i = 0; i < 300; i++)
        m[i] = (struct pub_message){.ticket = 1 + i, .session = d->session,
                                    .target = i % 60 == 30 && i < 100 ? &gone : &good, .body = body,
                                    .connector = "feed", .epoch = 7, .seq = 1 + i};
    assert_int_equal(publisher_post(d->p, m, 300, &err), 0);
    desk_results(d, 301);
    assert_int_equal(results_of(d, 1, 300, PUB_CONFIRMED), 298);
    assert_int_equal(d->result[31], PUB_REFUSED);
    assert_int_equal(d->result[91], PUB_REFUSED);
    assert_non_null(strstr(d->text, "404 NOT_FOUND - no exchange 'short lived'"));
    assert_int_equal(d->count[PUB_DOWN], 0);
    assert_true(depth("healthy") >= 299); /* some may be there twice, under the same id */

    /* What follows has it declared anew. */
    post(d, &gone, body, 400, 1);
    desk_results(d, 302);
    assert_int_equal(d->result[400], PUB_CONFIRMED);
    desk_free(d);
    body_free(body);
}

static void
a_message_that_is_too_large_for_the_broker_is_refused_alone(void **state)
{
    (void)state;
    const struct pub_target target = to_queue("sizes");
    struct body *small = body_new(1024, 65536), *large = body_new(MESSAGE_MAX + 1, 65536);
    declare("sizes");
    struct desk *d = desk_up();

    post(d, &target, small, 0, 50);
    post(d, &target, large, 50, 1);
    post(d, &target, small, 51, 50);
    desk_results(d, 101);
    assert_int_equal(d->result[50], PUB_REFUSED);
    assert_int_equal(d->count[PUB_CONFIRMED], 100);
    assert_non_null(strstr(d->text, "406 PRECONDITION_FAILED"));
    assert_int_equal(d->count[PUB_DOWN], 0);
    desk_free(d);
    body_free(large);
    body_free(small);
}

static void
a_full_queue_says_try_again_later(void **state)
{
    (void)state;
    amqp_table_entry_t limit[] = {
        {.key = amqp_cstring_bytes("x-max-length"), .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 10}},
        argument_text("x-overflow", "reject-publish")};
    const struct pub_target target = to_queue("full");
    struct body *body = body_new(100, 100);
    amqp_connection_state_t c = operator_open();
    declare_on(c, (struct queue){.name = "full", .arguments = {.num_entries = 2, .entries = limit}});
    operator_close(c);
    struct desk *d = desk_up();

    for (uint64_t i = 0; i < 20; i++) { /* one by one: then it is exact which are refused */
        post(d, &target, body, i, 1);
        desk_results(d, i + 1);
    }
    assert_int_equal(results_of(d, 0, 10, PUB_CONFIRMED), 10);
    assert_int_equal(results_of(d, 10, 10, PUB_NACKED), 10);
    desk_free(d);
    body_free(body);
}

/* --- Targets ---------------------------------------------------------------------------------------------------- */

/* One message to a target; *ret_text is what was said about it. */
static enum pub_event_kind
try(struct desk *d, const struct pub_target *target, uint64_t ticket)
{
    struct body *body = body_new(100, 100);
    const size_t before = d->results;

    d->text[0] = '\0';
    post(d, target, body, ticket, 1);
    desk_results(d, before + 1);
    body_free(body);
    return d->result[ticket];
}

static void
a_queue_that_would_lose_what_it_confirmed_is_no_target(void **state)
{
    (void)state;
    amqp_connection_state_t c = operator_open();
    declare_on(c, (struct queue){.name = "t transient", .transient = true});
    declare_on(c, (struct queue){.name = "t auto-delete", .auto_delete = true});
    declare_on(c, (struct queue){.name = "t exclusive", .exclusive = true});
    struct desk *d = desk_up();
    struct pub_target target = to_queue("t transient"), other = to_queue("t auto-delete"), mine = to_queue("t exclusive");

    assert_int_equal(try(d, &target, 0), PUB_BAD_TARGET);
    assert_non_null(strstr(d->text, "queue 't transient' in vhost '/' is transient"));
    assert_int_equal(try(d, &other, 1), PUB_BAD_TARGET);
    assert_non_null(strstr(d->text, "auto-delete"));
    assert_int_equal(try(d, &mine, 2), PUB_BAD_TARGET);
    assert_non_null(strstr(d->text, "is exclusive"));
    assert_true(desk_logged(d, "target_bad", 1000));
    desk_free(d);
    operator_close(c);
}

static void
a_durable_queue_with_arguments_is_a_good_target(void **state)
{
    (void)state;
    amqp_table_entry_t quorum = argument_text("x-queue-type", "quorum");
    amqp_connection_state_t c = operator_open();
    declare_on(c, (struct queue){.name = "t quorum", .arguments = {.num_entries = 1, .entries = &quorum}});
    operator_close(c);
    struct desk *d = desk_up();
    const struct pub_target target = to_queue("t quorum");

    assert_int_equal(try(d, &target, 0), PUB_CONFIRMED);
    desk_free(d);
}

static void
a_missing_queue_is_named_and_found_once_it_is_there(void **state)
{
    (void)state;
    struct desk *d = desk_up();
    const struct pub_target target = to_queue("late");
    uint64_t ticket = 0;

    assert_int_equal(try(d, &target, ticket++), PUB_BAD_TARGET);
    assert_string_equal(d->text, "queue 'late' does not exist in vhost '/': declare it, or set declare = true");
    declare("late");
    const int64_t began = clock_mono_us();
    while (try(d, &target, ticket) == PUB_BAD_TARGET && ticket++ < 1000)
        world_sleep_ms(50);
    assert_int_equal(d->result[ticket], PUB_CONFIRMED);
    assert_in_range(clock_mono_us() - began, 1000000, 7000000);
    desk_free(d);
}

static void
a_missing_exchange_is_named(void **state)
{
    (void)state;
    struct desk *d = desk_up();
    const struct pub_target target = {.exchange = "no such", .routing_key = "k", .queue = ""};

    assert_int_equal(try(d, &target, 0), PUB_BAD_TARGET);
    assert_string_equal(d->text, "exchange 'no such' does not exist in vhost '/': declare it, or set declare = true");
    desk_free(d);
}

static void
what_is_missing_is_declared_where_that_is_wanted_whatever_its_name(void **state)
{
    (void)state;
    struct desk *d = desk_up();
    struct err err;
    const struct pub_target target = {.exchange = "a/b % \xc3\xa4", .routing_key = "k e/y", .queue = "q \xe2\x82\xac/ #*",
                                      .declare = true};

    assert_int_equal(publisher_add_target(d->p, &target, &err), 0);
    assert_true(desk_logged(d, "target_good", WAIT_MS)); /* without a message */
    assert_int_equal(try(d, &target, 0), PUB_CONFIRMED);
    assert_int_equal(depth(target.queue), 1);
    desk_free(d);
}

static void
an_exchange_of_another_type_is_used_as_it_is(void **state)
{
    (void)state;
    amqp_connection_state_t c = operator_open();
    amqp_exchange_declare(c, 1, amqp_cstring_bytes("topics"), amqp_cstring_bytes("topic"), 0, 1, 0, 0, amqp_empty_table);
    ok(c);
    operator_close(c);
    struct desk *d = desk_up();
    const struct pub_target target = {.exchange = "topics", .routing_key = "a.b", .queue = "topical", .declare = true};

    assert_int_equal(try(d, &target, 0), PUB_CONFIRMED);
    desk_free(d);
}

/* --- The broker comes and goes ---------------------------------------------------------------------------------- */

static void
a_broker_that_is_away_at_the_start_is_found_later(void **state)
{
    (void)state;
    broker("stop", NULL);
    struct desk *d = desk_new("127.0.0.1", amqp_port);
    desk_start(d);
    assert_true(desk_logged(d, "broker_unreachable", WAIT_MS));
    assert_false(desk_sees(d, PUB_UP, 1, 300));
    struct desk *other = desk_new("127.0.0.1", amqp_port);
    desk_start(other);
    desk_free(other); /* stops at once, too */

    broker("restart", NULL);
    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    desk_free(d);
}

static void
the_next_host_is_tried(void **state)
{
    (void)state;
    struct desk *d = desk_new("127.0.0.1", amqp_port);
    const struct pub_host hosts[] = {{"127.0.0.1", world_free_port()}, {"no-such-host.invalid", 5672}, d->host};

    d->config.hosts = hosts;
    d->config.n_hosts = 3;
    desk_start(d);
    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    assert_true(desk_logged(d, "no-such-host.invalid", 1000));
    desk_free(d);
}

static void
a_wrong_password_is_told_from_a_missing_vhost(void **state)
{
    (void)state;
    struct desk *d = desk_new("127.0.0.1", amqp_port), *e = desk_new("127.0.0.1", amqp_port);

    d->config.password = "wrong";
    e->config.vhost = "no such";
    desk_start(d);
    desk_start(e);
    assert_true(desk_logged(d, "check broker.user and its password", WAIT_MS));
    assert_true(desk_logged(e, "vhost no such not found", WAIT_MS));
    desk_free(d);
    desk_free(e);
}

static void
after_sigkill_of_the_broker_all_that_was_confirmed_is_there(void **state)
{
    (void)state;
    const struct pub_target target = to_queue("survivor");
    struct body *body = body_new(1024, 65536);
    declare("survivor");
    struct desk *d = desk_up();

    post(d, &target, body, 0, 20000);
    assert_true(desk_sees(d, PUB_CONFIRMED, 2000, WAIT_MS));
    broker("kill", NULL);
    assert_true(desk_sees(d, PUB_DOWN, 1, WAIT_MS));
    const size_t confirmed = d->count[PUB_CONFIRMED];
    assert_true(confirmed < 20000);
    assert_int_equal(d->results, confirmed);

    broker("restart", NULL);
    assert_true(desk_sees(d, PUB_UP, 2, WAIT_MS));
    assert_true(depth("survivor") >= confirmed);
    post(d, &target, body, 20000, 1);
    assert_true(desk_sees(d, PUB_CONFIRMED, confirmed + 1, WAIT_MS));
    desk_free(d);
    body_free(body);
}

static void
a_frozen_broker_is_cut_in_time(struct desk *d, const char *queue, struct body *body, size_t n)
{
    const struct pub_target target = to_queue(queue);

    post(d, &target, body, 0, 1);
    desk_results(d, 1);
    broker("freeze", NULL);
    const int64_t began = clock_mono_us();
    post(d, &target, body, 1, n);
    assert_true(desk_sees(d, PUB_DOWN, 1, WAIT_MS));
    const int64_t took = clock_mono_us() - began;
    print_message("# cut after %.2f s\n", (double)took / 1e6);
    assert_in_range(took, HUNG_US - 100000, HUNG_US + 1000000);
    assert_int_equal(d->count[PUB_UP], 1);

    /* While it is frozen, logging in does not succeed, and does not hang either. */
    struct desk *other = desk_new("127.0.0.1", amqp_port);
    desk_start(other);
    world_sleep_ms(300);
    desk_free(other);

    broker("thaw", NULL);
    assert_true(desk_sees(d, PUB_UP, 2, WAIT_MS));
    post(d, &target, body, n + 1, 1);
    assert_true(desk_sees(d, PUB_CONFIRMED, 2, WAIT_MS));
}

static void
a_frozen_broker_is_cut_in_time_and_used_again(void **state)
{
    (void)state;
    struct body *small = body_new(1024, 65536);
    declare("frozen");
    struct desk *d = desk_up();

    a_frozen_broker_is_cut_in_time(d, "frozen", small, 5000);
    desk_free(d);
    body_free(small);
}

static void
a_frozen_broker_is_cut_in_time_amid_a_large_message(void **state)
{
    (void)state;
    struct body *large = body_new(16 << 20, 65536);
    declare("frozen large");
    struct desk *d = desk_up();

    a_frozen_broker_is_cut_in_time(d, "frozen large", large, 3);
    desk_free(d);
    body_free(large);
}

static void
a_publisher_stops_in_time_while_its_broker_is_frozen(void **state)
{
    (void)state;
    const struct pub_target target = to_queue("frozen large");
    struct body *large = body_new(16 << 20, 65536);
    declare("frozen large");
    struct desk *d = desk_up();

    broker("freeze", NULL);
    post(d, &target, large, 0, 3);
    world_sleep_ms(300);
    desk_free(d); /* asserts how long it takes */
    broker("thaw", NULL);
    body_free(large);
}

static void
a_memory_alarm_blocks_and_unblocks(void **state)
{
    (void)state;
    const struct pub_target target = to_queue("alarm");
    struct body *small = body_new(1024, 65536), *large = body_new(16 << 20, 65536);
    declare("alarm");
    struct desk *d = desk_up(), *stopped = desk_up();

    watermark("0.0000001");
    /* RabbitMQ announces it to those who publish.  Large ones are stuck half-sent, and stay so, without a cut. */
    post(d, &target, small, 0, 1);
    post(stopped, &target, large, 0, 3);
    assert_true(desk_sees(d, PUB_BLOCKED, 1, WAIT_MS));
    assert_true(desk_sees(stopped, PUB_BLOCKED, 1, WAIT_MS));
    post(d, &target, small, 1, 1000);
    post(d, &target, large, 1001, 3);
    world_sleep_ms(HUNG_US / 1000 + 1500);
    desk_take(d);
    assert_int_equal(d->count[PUB_DOWN], 0);
    assert_int_equal(d->count[PUB_CONFIRMED], 0);
    desk_take(stopped);
    assert_int_equal(stopped->count[PUB_DOWN], 0);
    desk_free(stopped); /* in time here, too */

    watermark("0.4");
    assert_true(desk_sees(d, PUB_UNBLOCKED, 1, WAIT_MS));
    desk_results(d, 1004);
    assert_int_equal(d->count[PUB_CONFIRMED], 1004);
    desk_free(d);
    body_free(large);
    body_free(small);
}

static void
an_operator_who_closes_the_connection_is_survived(void **state)
{
    (void)state;
    const char *args[] = {"close_all_connections", "--vhost", "/", "test", NULL};
    struct desk *d = desk_up();

    broker("ctl", args);
    assert_true(desk_sees(d, PUB_DOWN, 1, WAIT_MS));
    assert_non_null(strstr(d->text, "320"));
    assert_true(desk_sees(d, PUB_UP, 2, WAIT_MS));
    desk_free(d);
}

/* --- TLS -------------------------------------------------------------------------------------------------------- */

static struct desk *
desk_tls(const char *host, const char *ca)
{
    struct desk *d = desk_new(host, tls_port);

    snprintf(d->dir, sizeof(d->dir), "%s/tls", world_dir(world));
    snprintf(d->ca, sizeof(d->ca), "%s/%s", d->dir, ca);
    d->config.tls = true;
    d->config.ca_file = d->ca;
    desk_start(d);
    return d;
}

static void
with_tls_bodies_arrive_byte_for_byte(void **state)
{
    (void)state;
    struct desk *d = desk_tls("localhost", "ca.pem");

    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    bodies_of_any_shape_arrive_byte_for_byte(d, "tls");
    desk_free(d);
}

static void
with_tls_ten_thousand_messages_are_confirmed(void **state)
{
    (void)state;
    const struct pub_target target = to_queue("tls many");
    struct body *body = body_new(1024, 65536);
    declare("tls many");
    struct desk *d = desk_tls("localhost", "ca.pem");

    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    post(d, &target, body, 0, 10000);
    desk_results(d, 10000);
    assert_int_equal(d->count[PUB_CONFIRMED], 10000);
    desk_free(d);
    body_free(body);
}

static void
a_client_certificate_is_shown_where_there_is_one(void **state)
{
    (void)state;
    char cert[700], key[700], subjects[4096];
    struct desk *d = desk_new("localhost", tls_port);

    snprintf(d->ca, sizeof(d->ca), "%s/tls/ca.pem", world_dir(world));
    snprintf(cert, sizeof(cert), "%s/tls/client.pem", world_dir(world));
    snprintf(key, sizeof(key), "%s/tls/client-key.pem", world_dir(world));
    d->config.tls = true;
    d->config.ca_file = d->ca;
    d->config.cert_file = cert;
    d->config.key_file = key;
    desk_start(d);
    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    connections("peer_cert_subject", subjects, sizeof(subjects));
    assert_non_null(strstr(subjects, "CN=sluice"));
    desk_free(d);
}

static void
a_certificate_of_another_ca_is_not_trusted(void **state)
{
    (void)state;
    struct desk *d = desk_tls("localhost", "other-ca.pem");

    assert_true(desk_logged(d, "check broker.ca_file", WAIT_MS));
    assert_false(desk_sees(d, PUB_UP, 1, 300));
    desk_free(d);
}

static void
a_certificate_for_another_name_is_not_trusted(void **state)
{
    (void)state;
    struct desk *d = desk_tls("127.0.0.1", "ca.pem");

    assert_true(desk_logged(d, "its certificate is not for '127.0.0.1'", WAIT_MS));
    assert_false(desk_sees(d, PUB_UP, 1, 300));
    desk_free(d);
}

static void
a_ca_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    struct desk *d = desk_tls("localhost", "no-such.pem");

    assert_true(desk_logged(d, "no-such.pem: cannot be read", WAIT_MS));
    desk_free(d);
}

static void
tls_to_a_port_without_it_fails_in_time(void **state)
{
    (void)state;
    struct desk *d = desk_tls("localhost", "ca.pem");

    desk_free(d);
    d = desk_new("localhost", amqp_port);
    snprintf(d->ca, sizeof(d->ca), "%s/tls/ca.pem", world_dir(world));
    d->config.tls = true;
    d->config.ca_file = d->ca;
    desk_start(d);
    assert_true(desk_logged(d, "no TLS connection", WAIT_MS));
    desk_free(d);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_messages_are_confirmed_once_each),
        cmocka_unit_test(a_body_in_chunks_arrives_byte_for_byte),
        cmocka_unit_test(a_message_says_whose_it_is),
        cmocka_unit_test(a_message_for_an_older_session_is_dropped),
        cmocka_unit_test(a_message_that_no_queue_is_bound_for_comes_back_alone),
        cmocka_unit_test(a_poisonous_message_is_refused_alone),
        cmocka_unit_test(a_message_that_is_too_large_for_the_broker_is_refused_alone),
        cmocka_unit_test(a_full_queue_says_try_again_later),
        cmocka_unit_test(a_queue_that_would_lose_what_it_confirmed_is_no_target),
        cmocka_unit_test(a_durable_queue_with_arguments_is_a_good_target),
        cmocka_unit_test(a_missing_queue_is_named_and_found_once_it_is_there),
        cmocka_unit_test(a_missing_exchange_is_named),
        cmocka_unit_test(what_is_missing_is_declared_where_that_is_wanted_whatever_its_name),
        cmocka_unit_test(an_exchange_of_another_type_is_used_as_it_is),
        cmocka_unit_test(the_next_host_is_tried),
        cmocka_unit_test(a_wrong_password_is_told_from_a_missing_vhost),
        cmocka_unit_test(an_operator_who_closes_the_connection_is_survived),
        cmocka_unit_test(a_memory_alarm_blocks_and_unblocks),
        cmocka_unit_test(with_tls_bodies_arrive_byte_for_byte),
        cmocka_unit_test(with_tls_ten_thousand_messages_are_confirmed),
        cmocka_unit_test(a_client_certificate_is_shown_where_there_is_one),
        cmocka_unit_test(a_certificate_of_another_ca_is_not_trusted),
        cmocka_unit_test(a_certificate_for_another_name_is_not_trusted),
        cmocka_unit_test(a_ca_file_that_cannot_be_read_is_named),
        cmocka_unit_test(tls_to_a_port_without_it_fails_in_time),
        cmocka_unit_test(a_frozen_broker_is_cut_in_time_and_used_again),
        cmocka_unit_test(a_frozen_broker_is_cut_in_time_amid_a_large_message),
        cmocka_unit_test(a_publisher_stops_in_time_while_its_broker_is_frozen),
        cmocka_unit_test(after_sigkill_of_the_broker_all_that_was_confirmed_is_there),
        cmocka_unit_test(a_broker_that_is_away_at_the_start_is_found_later),
    };
    return cmocka_run_group_tests_name("publisher", tests, start_broker, stop_broker);
}
