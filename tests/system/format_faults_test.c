/* format_faults_test.c - large bundles of which only some messages are published when something dies, and bundles that
 * are being formed then. */
#include "must.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "consumer.h"
#include "feed.h"
#include "late.h"
#include "peer.h"
#include "proxy.h"
#include "sluiced.h"
#include "stage.h"
#include "stix.h"
#include "worker.h"
#include "world.h"

enum {
    IDLE_MS = 300,
    WAIT_MS = 60 * 1000,
    WINDOW = 100,
    OBJECTS = 5000,
    AMID = OBJECTS / 4, /* so many messages are there when something dies */
    RATE = 2 << 20,     /* bytes a second to the broker, so that all of it takes seconds */
    LARGE_OBJECTS = 370000,
    LARGE_PAD = 5, /* 63 MiB, whose forming takes some tenths of a second */
    CHUNK = 65536
};

#define QUEUE "push_large"

/* A gateway whose broker is behind a slow proxy. */
static void
gateway_to_slow_broker(struct stage *s, const char *rest)
{
    const struct proxy_fault slow = {.rate = RATE};
    struct sluiced_config config = {.broker = "window = 100;", .hung_after = "20s", .rest = rest};

    MUST_HAVE(s->proxy, proxy_start(world_broker_port(s->world), &err));
    config.broker_port = proxy_port(s->proxy);
    stage_gateway(s, &config);
    proxy_set(s->proxy, PROXY_UP, &slow);
}

static const char LARGE_ID[] = "connectors = ( { id = \"large\"; format = \"opencti\"; declare = true; } );";

static int64_t
ready(const struct stage *s)
{
    struct consumer *c;
    int64_t n;

    MUST_HAVE(c, consumer_open(world_broker_port(s->world), &err));
    n = consumer_ready(c, QUEUE, NULL);
    consumer_close(c);
    return n;
}

static void
purge(const struct stage *s)
{
    struct consumer *c;

    MUST_HAVE(c, consumer_open(world_broker_port(s->world), &err));
    (void)consumer_purge(c, QUEUE, NULL);
    consumer_close(c);
}

/* Wait until some of the bundle is there, and not all. */
static void
await_amid(struct stage *s)
{
    const int64_t until = clock_mono_us() + (int64_t)WAIT_MS * 1000;
    int64_t n;

    while ((n = ready(s)) < AMID && clock_mono_us() < until)
        world_sleep_ms(10);
    assert_in_range(n, AMID, OBJECTS - 1);
}

/* Everything is in the queue, at most so many of it twice, all as one bundle. */
static void
assert_all_there(struct stage *s, uint32_t n, size_t pad, uint64_t most_twice)
{
    struct stix_tally *t = stix_tally_new(n, pad);

    (void)worker_drain(world_broker_port(s->world), QUEUE, UINT64_MAX, IDLE_MS, stix_tally_take, t);
    print_message("%llu messages of %u\n", (unsigned long long)t->messages, n);
    assert_int_equal(t->distinct, n);
    assert_in_range(t->messages, n, n + most_twice);
    stix_tally_free(t);
}

/* One ack, and nothing behind it. */
static void
acked_within(struct feed *f, int timeout_ms)
{
    const struct answer a = feed_answer(f, timeout_ms);

    if (a.kind != SLUICE_ACKED)
        fail_msg("refused: %s: %s", a.reason, a.text);
    assert_int_equal(sluice_flush(f->s, WAIT_MS, NULL), 0);
    assert_true(feed_waits(f));
}

static void
acked_once(struct feed *f)
{
    acked_within(f, WAIT_MS);
}

static void
after_sigkill_of_the_broker_amid_a_bundle_every_message_is_there_and_it_is_acked_once(void **state)
{
    struct stage *s = *state;
    size_t len;
    char *bundle = stix_bundle(OBJECTS, 500, &len);
    gateway_to_slow_broker(s, LARGE_ID);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "large", 0);

    feed_push(&f, bundle, len, NULL, NULL);
    await_amid(s);
    stage_broker(s, "kill", NULL);
    stage_broker(s, "restart", NULL);
    assert_true(feed_waits(&f));
    acked_once(&f);
    assert_all_there(s, OBJECTS, 500, WINDOW);
    feed_close(&f);
    free(bundle);
}

static void
a_connection_to_the_broker_that_breaks_amid_a_bundle_repeats_a_window_at_most(void **state)
{
    struct stage *s = *state;
    size_t len;
    char *bundle = stix_bundle(OBJECTS, 500, &len);
    gateway_to_slow_broker(s, LARGE_ID);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "large", 0);

    feed_push(&f, bundle, len, NULL, NULL);
    await_amid(s);
    for (int i = 0; i < 3; i++) {
        proxy_cut_all(s->proxy, i == 1);
        world_sleep_ms(200);
    }
    acked_once(&f);
    assert_all_there(s, OBJECTS, 500, 3 * WINDOW);
    feed_close(&f);
    free(bundle);
}

static void
after_sigkill_of_the_gateway_amid_a_bundle_it_is_pushed_again_and_nothing_is_missing(void **state)
{
    struct stage *s = *state;
    size_t len;
    char *bundle = stix_bundle(OBJECTS, 500, &len);
    gateway_to_slow_broker(s, LARGE_ID);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "large", 0);

    feed_push(&f, bundle, len, NULL, NULL);
    await_amid(s);
    sluiced_kill(s->gateway);
    const int64_t went = ready(s);
    proxy_set(s->proxy, PROXY_UP, NULL);
    MUST(sluiced_start(s->gateway, true, &err));
    acked_once(&f);
    assert_all_there(s, OBJECTS, 500, (uint64_t)went + WINDOW);
    feed_close(&f);
    free(bundle);
}

/* --- While a bundle is being formed ------------------------------------------------------------------------------- */

/* Push a bundle whole through a raw connection, in chunks. */
static void
push_raw(struct peer *p, uint64_t seq, const char *bundle, size_t len)
{
    const int64_t until = clock_mono_us() + (int64_t)WAIT_MS * 1000;

    while (peer_credit(p, len) == 0) /* a busy machine may take long for the bundles before */
        assert_true(clock_mono_us() < until);
    for (size_t at = 0; at < len; at += CHUNK)
        peer_bundle(p, seq, len, at, bundle + at, len - at < CHUNK ? len - at : CHUNK);
}

static struct peer *
program(struct stage *s, uint64_t epoch)
{
    struct peer *p;

    MUST_HAVE(p, peer_open(sluiced_endpoint(s->gateway), &err));
    assert_non_null(peer_hello(p, "large", epoch, true, 0));
    return p;
}

/* Push it, and return once the gateway has all of it: what is said behind the last chunk is in its log. */
static struct peer *
program_with_bundle(struct stage *s, uint64_t epoch, const char *bundle, size_t len)
{
    static const char words[] = "that was all";
    const struct wire_msg said = {.type = WIRE_LOG,
                                  .has = 1ULL << WIRE_F_LEVEL | 1ULL << WIRE_F_TEXT,
                                  .level = WIRE_LV_INFO,
                                  .text = {words, sizeof(words) - 1}};
    const int64_t mark = sluiced_log_mark(s->gateway);
    struct peer *p = program(s, epoch);

    push_raw(p, 1, bundle, len);
    peer_send(p, &said, NULL, 0);
    assert_true(sluiced_log_wait(s->gateway, mark, "event=connector_log", words, WAIT_MS));
    return p;
}

/* It has memory for four such bundles, so that the others show that those before were freed.  Who waits for that says
 * nothing meanwhile, and is not to be taken for dead. */
static void
programs_that_are_replaced_while_their_bundles_are_formed_leave_nothing_behind(void **state)
{
    static const struct sluiced_config config = {
        .memory = "limit = \"260MiB\"; max_bundle = \"65MiB\";", .ping = "20s", .rest = LARGE_ID};
    struct stage *s = *state;
    const uint64_t epoch = (uint64_t)clock_wall_us() * 1024;
    size_t len, small_len;
    char *bundle = stix_bundle(LARGE_OBJECTS, LARGE_PAD, &len), *small = stix_bundle(50, 10, &small_len);
    stage_gateway(s, &config);
    assert_in_range(len, 60 << 20, 65 << 20);

    for (uint64_t i = 0; i < 6; i++) {
        struct peer *p = program_with_bundle(s, epoch + 2 * i, bundle, len);
        struct peer *q = program(s, epoch + 2 * i + 1);
        const struct wire_msg *stop = peer_await(p, WIRE_STOP, WAIT_MS);

        assert_non_null(stop);
        assert_int_equal(stop->reason, WIRE_R_REPLACED);
        assert_int_equal(ready(s), 0);
        peer_close(p);
        peer_close(q);
    }
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "large", 0);
    feed_push(&f, small, small_len, NULL, NULL);
    acked_once(&f);
    assert_all_there(s, 50, 10, 0);
    feed_close(&f);
    free(bundle);
    free(small);
}

static void
sigterm_while_a_bundle_is_formed_ends_in_time_and_the_bundle_is_the_connectors(void **state)
{
    static const struct sluiced_config config = {
        .memory = "limit = \"300MiB\";", .ping = "20s", .rest = LARGE_ID};
    struct stage *s = *state;
    const uint64_t epoch = (uint64_t)clock_wall_us() * 1024;
    size_t len;
    char *bundle = stix_bundle(LARGE_OBJECTS, LARGE_PAD, &len);
    stage_gateway(s, &config);
    struct peer *p = program_with_bundle(s, epoch, bundle, len);

    struct late *late = late_start();
    const int64_t began = clock_mono_us();
    const int status = sluiced_stop(s->gateway);
    const int64_t took = clock_mono_us() - began, late_us = late_stop(late);
    print_message("ended after %lld ms, with %lld of %d messages gone\n", (long long)(took / 1000),
                  (long long)ready(s), LARGE_OBJECTS);
    assert_int_equal(status, 0);
    assert_in_range(took, 0, 8000000 + late_us); /* stop.within is 5 s, closing has 1 s for each connection */
    const struct wire_msg *m = peer_await(p, WIRE_VERDICT, 0);
    assert_null(m);
    peer_close(p);
    free(bundle);
}

/* --- Memory ------------------------------------------------------------------------------------------------------- */

static void
a_bundle_of_256_mib_passes_within_1_gib(void **state)
{
    static const struct sluiced_config config = {.memory = "limit = \"1GiB\";", .rest = LARGE_ID};
    struct stage *s = *state;
    const uint32_t n = world_long() ? 735000 : 1000;
    const size_t pad = world_long() ? 190 : 268000;
    size_t len;
    char *bundle = stix_bundle(n, pad, &len);
    stage_gateway(s, &config);
    assert_in_range(len, 250U << 20, 256U << 20);
    struct feed f = feed_open(sluiced_endpoint(s->gateway), "large", 512U << 20);

    const int64_t began = clock_mono_us();
    feed_push(&f, bundle, len, NULL, NULL);
    free(bundle);
    acked_within(&f, 10 * WAIT_MS); /* by the 100000 messages, RabbitMQ has its own pace */
    const int64_t peak = sluiced_peak_kib(s->gateway) / 1024;
    print_message("%zu MiB, %u objects: peak %lld MiB, acked after %.1f s\n", len >> 20, n, (long long)peak,
                  (double)(clock_mono_us() - began) / 1e6);
    assert_in_range(peak, 256, 1024);
    feed_close(&f);
    purge(s);
}

/* What a test leaves in the queue is not the next one's. */
static int
begin(void **state)
{
    const int rc = stage_begin(state);

    purge(*state);
    return rc;
}

#define FAULT(name) cmocka_unit_test_setup_teardown(name, begin, stage_end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT(after_sigkill_of_the_broker_amid_a_bundle_every_message_is_there_and_it_is_acked_once),
        FAULT(a_connection_to_the_broker_that_breaks_amid_a_bundle_repeats_a_window_at_most),
        FAULT(after_sigkill_of_the_gateway_amid_a_bundle_it_is_pushed_again_and_nothing_is_missing),
        FAULT(programs_that_are_replaced_while_their_bundles_are_formed_leave_nothing_behind),
        FAULT(sigterm_while_a_bundle_is_formed_ends_in_time_and_the_bundle_is_the_connectors),
        FAULT(a_bundle_of_256_mib_passes_within_1_gib),
    };

    return cmocka_run_group_tests_name("format faults", tests, stage_open, stage_close);
}
