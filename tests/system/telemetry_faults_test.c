/* telemetry_faults_test.c - what says how full queues are fails in every way that it can: nothing new is published
 * within a poll, the status says why, it comes back by itself, and nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <amqp.h>
#include <amqp_tcp_socket.h>

#include "clock.h"
#include "system/consumer.h"
#include "system/flood.h"
#include "system/late.h"
#include "system/ledger.h"
#include "system/load.h"
#include "system/must.h"
#include "system/orders.h"
#include "system/proxy.h"
#include "system/sluiced.h"
#include "system/world.h"
#include "unit/tiny_http.h"

enum { POLL_MS = 300,
       STALE_MS = 1000,
       WAIT_MS = 60000,
       QUIET_MS = 10000,
       IDLE_MS = 200 };

/* Figures are collected each second from what queues say each 0.5 s. */
#define TELEMETRY "poll = \"300ms\"; stats_lag = \"1500ms\"; stale_after = \"1s\"; timeout = \"500ms\";"

struct here {
    struct world *world;
    struct proxy *proxy; /* before the management API */
    struct sluiced *gateway;
    struct load *load;
    struct ledger *ledger;
    char queue[64];
};

static int
begin_with(struct here *h, const char *queue)
{
    struct err err = {.text = ""};

    (void)snprintf(h->queue, sizeof(h->queue), "%s", queue);
    h->ledger = ledger_new();
    h->proxy = proxy_start(world_management_port(h->world), &err);
    return h->proxy == NULL ? -1 : 0;
}

static void
finish(struct here *h)
{
    load_free(h->load);
    sluiced_free(h->gateway);
    proxy_stop(h->proxy);
    ledger_free(h->ledger);
}

static int
open_world(void **state)
{
    struct here *h = calloc(1, sizeof(*h));

    *state = h;
    h->world = flood_world(500);
    return h->world == NULL ? -1 : begin_with(h, "shared");
}

static int
close_world(void **state)
{
    struct here *h = *state;

    finish(h);
    world_close(h->world);
    free(h);
    return 0;
}

/* A gateway waits for its first figures: most tests share one, and these have their own. */
static int
begin_alone(void **state)
{
    const struct here *shared = *state;
    struct here *h = calloc(1, sizeof(*h));
    char name[40];

    *state = h;
    h->world = shared->world;
    (void)snprintf(name, sizeof(name), "alone-%llx", (unsigned long long)clock_mono_us());
    return begin_with(h, name);
}

static int
end_alone(void **state)
{
    struct here *h = *state;

    finish(h);
    free(h);
    return 0;
}

/* --- The scene: one connector that pushes 1 kB each 2 ms, into a queue that holds 50 MB ------------------------ */

static void
gateway_on(struct here *h, int management_port, const char *more, const char *vhost)
{
    char telemetry[400], rest[700], broker[200];

    (void)snprintf(telemetry, sizeof(telemetry), "source = \"management\"; url = \"http://127.0.0.1:%d\"; " TELEMETRY,
                   management_port);
    (void)snprintf(rest, sizeof(rest),
                   "connectors = ( { id = \"load-1\"; queue = \"%s\"; declare = %s; queue_threshold = 50; %s } );",
                   h->queue, strstr(more, "declared") != NULL ? "false" : "true",
                   strstr(more, "declared") != NULL ? "" : more);
    (void)snprintf(broker, sizeof(broker), "vhost = \"%s\";", vhost);
    const struct sluiced_config config = {.telemetry = telemetry, .rest = rest, .broker = broker};
    MUST_HAVE(h->gateway, sluiced_new(h->world, &config, &err));
    MUST(sluiced_start(h->gateway, true, &err));
}

static void
push(struct here *h)
{
    MUST_HAVE(h->load, load_start(&(struct load_plan){.endpoint = sluiced_endpoint(h->gateway),
                                                      .ledger = h->ledger,
                                                      .first = 1,
                                                      .connectors = 1,
                                                      .size_min = 1000,
                                                      .size_max = 1000,
                                                      .pause_us = 2000,
                                                      .queue_bytes = 1 << 20},
                                  &err));
}

static uint64_t
acked(const struct here *h)
{
    struct load_result r;

    load_progress(h->load, &r);
    return r.acked;
}

/* More is acknowledged within the wait. */
static void
flows(struct here *h)
{
    const uint64_t before = acked(h);
    const int64_t until = clock_mono_us() + WAIT_MS * INT64_C(1000);

    while (acked(h) < before + 20 && clock_mono_us() < until)
        world_sleep_ms(5);
    if (acked(h) >= before + 20)
        return;
    sluiced_log_show(h->gateway);
    const struct standing s = orders_status(h->gateway, "load-1");
    fail_msg("nothing is acknowledged any more: %s (%s), figures %s", s.state, s.reasons, s.figures);
}

/* It is held for this reason, and nothing is acknowledged any more.  Returns the milliseconds since from_us. */
static int64_t
held(struct here *h, const char *reasons, const char *figures, int64_t from_us)
{
    const struct standing s = orders_await(h->gateway, "load-1", "held", reasons);
    const int64_t after_ms = (clock_mono_us() - from_us) / 1000;

    uint64_t before;
    const int64_t quiet_by = clock_mono_us() + QUIET_MS * INT64_C(1000);
    do { /* what was published before is still confirmed */
        before = acked(h);
        world_sleep_ms(300);
    } while (acked(h) != before && clock_mono_us() < quiet_by);
    assert_int_equal(acked(h), before);
    print_message("  held by %s (%s) after %lld ms\n", s.reasons, s.figures, (long long)after_ms);
    /* A figure of the broker itself may be old a little before that of the queue is. */
    const int64_t until = clock_mono_us() + WAIT_MS * INT64_C(1000);
    struct standing now = orders_status(h->gateway, "load-1");
    while (figures != NULL && strcmp(now.figures, figures) != 0 && clock_mono_us() < until) {
        world_sleep_ms(10);
        now = orders_status(h->gateway, "load-1");
    }
    if (figures != NULL && strcmp(now.figures, figures) != 0)
        fail_msg("held by %s with figures \"%s\" and not \"%s\"", now.reasons, now.figures, figures);
    return after_ms;
}

/* Nothing lost: all that was acknowledged came out of the queue. */
static void
nothing_is_lost(struct here *h, uint64_t most_repeated)
{
    struct ledger_report r;
    struct consumer *c;
    char text[900];

    MUST(load_finish(h->load, WAIT_MS, NULL, &err));
    load_free(h->load);
    h->load = NULL;
    MUST_HAVE(c, consumer_open(world_broker_port(h->world), &err));
    MUST(consumer_drain(c, h->queue, UINT64_MAX, IDLE_MS, ledger_take, h->ledger, &err));
    consumer_close(c);
    ledger_check(h->ledger, &r);
    if (!ledger_good(&r, most_repeated, text, sizeof(text))) {
        sluiced_log_show(h->gateway);
        fail_msg("%s", text);
    }
    print_message("  %s\n", text);
    ledger_free(h->ledger);
    h->ledger = NULL; /* a later load counts anew, and is not compared */
}

static void
replays(const struct here *h)
{
    flood_replays(&(struct flood){.gateway = h->gateway});
}

/* All is well, at the shared gateway; what a test that failed left in the way is taken away. */
static void
all_is_well(struct here *h)
{
    proxy_set(h->proxy, PROXY_UP, NULL);
    proxy_set(h->proxy, PROXY_DOWN, NULL);
    if (h->gateway == NULL)
        gateway_on(h, proxy_port(h->proxy), "", "/");
    if (h->load == NULL)
        push(h);
    flows(h);
}

/* The time until a figure is stale, one poll, and 2 s for what else there is to do. */
static void
soon(struct late *late, int64_t ms)
{
    assert_true(ms < STALE_MS + POLL_MS + 2000 + late_stop(late) / 1000);
}

/* --- The management API ------------------------------------------------------------------------------------------- */

static void
an_api_that_is_away_holds_until_it_is_back(void **state)
{
    struct here *h = *state;

    all_is_well(h);
    struct late *late = late_start();
    const int64_t from_us = clock_mono_us();
    proxy_set(h->proxy, PROXY_UP, &(struct proxy_fault){.cut = true});
    proxy_cut_all(h->proxy, true);
    soon(late, held(h, "telemetry_stale", "stale", from_us));
    proxy_set(h->proxy, PROXY_UP, NULL);
    flows(h);
}

static void
an_api_that_hangs_holds_until_it_answers(void **state)
{
    struct here *h = *state;

    all_is_well(h);
    struct late *late = late_start();
    const int64_t from_us = clock_mono_us();
    proxy_set(h->proxy, PROXY_DOWN, &(struct proxy_fault){.stall = true});
    soon(late, held(h, "telemetry_stale", "stale", from_us));
    proxy_set(h->proxy, PROXY_DOWN, NULL);
    flows(h);
}

static void
an_api_that_answers_with_noise_holds_until_it_makes_sense(void **state)
{
    struct here *h = *state;

    all_is_well(h);
    struct late *late = late_start();
    const int64_t from_us = clock_mono_us();
    proxy_set(h->proxy, PROXY_DOWN, &(struct proxy_fault){.garbage = true});
    soon(late, held(h, "telemetry_stale", "stale", from_us));
    proxy_set(h->proxy, PROXY_DOWN, NULL);
    flows(h);
}

static void
an_api_that_comes_and_goes_each_second_loses_and_hangs_nothing(void **state)
{
    const struct proxy_fault cut = {.cut = true};
    struct here *h = *state;

    all_is_well(h);
    for (int i = 0; i < 8; i++) {
        const bool away = i % 2 == 0;
        proxy_set(h->proxy, PROXY_UP, away ? &cut : NULL);
        if (away)
            proxy_cut_all(h->proxy, i % 4 == 0);
        world_sleep_ms(500);
        (void)orders_status(h->gateway, "load-1"); /* it answers all the time */
    }
    proxy_set(h->proxy, PROXY_UP, NULL);
    flows(h);
}

/* 401 to everything. */
static void
refuse(void *ctx, const char *request, int socket)
{
    (void)ctx;
    (void)request;
    (void)tiny_http_say(socket, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
}

static void
an_api_that_lets_nobody_in_holds_and_the_log_and_the_status_say_so(void **state)
{
    struct here *h = *state;
    struct tiny_http http;

    tiny_http_start(&http, refuse, NULL);
    gateway_on(h, http.port, "", "/");
    push(h);
    (void)held(h, "telemetry_stale", NULL, clock_mono_us());
    assert_true(sluiced_log_wait(h->gateway, 0, "event=telemetry_down", "401", WAIT_MS));
    orders_await_warning(h->gateway, 0, "telemetry tells nothing: ");
    orders_await_warning(h->gateway, 0, "401");
    assert_int_equal(acked(h), 0);
    replays(h);
    tiny_http_stop(&http);
}

/* --- Queues ------------------------------------------------------------------------------------------------------- */

static void
sizes_that_are_missing_are_unknown_and_not_zero(void **state)
{
    struct here *h = *state;

    all_is_well(h);
    struct late *late = late_start();
    const int64_t from_us = clock_mono_us();
    truth_eval(h->world, "application:set_env(rabbitmq_management_agent, disable_metrics_collector, true).");
    soon(late, held(h, "telemetry_stale", NULL, from_us));
    truth_eval(h->world, "application:set_env(rabbitmq_management_agent, disable_metrics_collector, false).");
    flows(h);
}

static void
a_queue_that_is_deleted_holds_until_it_is_there_again(void **state)
{
    struct here *h = *state;
    struct consumer *c;

    MUST_HAVE(c, consumer_open(world_broker_port(h->world), &err));
    MUST(consumer_declare(c, h->queue, true, 0, &err));
    gateway_on(h, proxy_port(h->proxy), "declared", "/");
    push(h);
    flows(h);
    struct late *late = late_start();
    const int64_t from_us = clock_mono_us();
    MUST(consumer_delete(c, h->queue, &err));
    soon(late, held(h, "telemetry_stale", "no such queue", from_us));
    MUST(consumer_declare(c, h->queue, true, 0, &err));
    flows(h);
    consumer_close(c);
    replays(h);
}

/* After all that befell the shared gateway; only the broker's restart may have had something sent twice. */
static void
of_all_that_was_acknowledged_nothing_is_lost(void **state)
{
    struct here *h = *state;

    all_is_well(h);
    nothing_is_lost(h, UINT64_MAX);
    replays(h);
}

static void
a_purge_is_seen_and_does_not_stop_the_flow(void **state)
{
    struct here *h = *state;
    struct consumer *c;

    all_is_well(h);
    MUST_HAVE(c, consumer_open(world_broker_port(h->world), &err));
    bool seen = false;
    for (int tries = 0; tries < 3 && !seen; tries++) { /* late statistics may have shown nothing of what is purged */
        world_sleep_ms(2500 << tries);
        MUST(consumer_purge(c, h->queue, &err));
        seen = sluiced_log_wait(h->gateway, 0, "event=drift", "purged", WAIT_MS / 6);
    }
    consumer_close(c);
    assert_true(seen);
    flows(h);
    replays(h);
}

/* 60 MB by somebody else, past the threshold of 50. */
static void
what_others_publish_holds_from_the_sample_that_shows_it(void **state)
{
    struct here *h = *state;
    amqp_connection_state_t conn = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(conn);
    struct consumer *c;
    char *body = calloc(1, 1000000);

    all_is_well(h);
    assert_int_equal(amqp_socket_open(socket, "127.0.0.1", world_broker_port(h->world)), AMQP_STATUS_OK);
    assert_int_equal(amqp_login(conn, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type,
                     AMQP_RESPONSE_NORMAL);
    amqp_channel_open(conn, 1);
    for (int i = 0; i < 60; i++)
        amqp_basic_publish(conn, 1, amqp_cstring_bytes(""), amqp_cstring_bytes(h->queue), 0, 0, NULL,
                           (amqp_bytes_t){1000000, body});
    amqp_connection_close(conn, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(conn);
    free(body);
    (void)held(h, "queue", "fresh", clock_mono_us());
    assert_true(sluiced_log_wait(h->gateway, 0, "event=drift", "somebody else", WAIT_MS));
    MUST_HAVE(c, consumer_open(world_broker_port(h->world), &err));
    MUST(consumer_purge(c, h->queue, &err));
    consumer_close(c);
    flows(h);
    replays(h);
}

/* Declare the test's queue with these arguments, and have a gateway push there.  odd: counts say nothing of it. */
static void
push_to_declared(struct here *h, amqp_table_entry_t *arguments, int n, bool odd)
{
    amqp_connection_state_t conn = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(conn);

    assert_int_equal(amqp_socket_open(socket, "127.0.0.1", world_broker_port(h->world)), AMQP_STATUS_OK);
    assert_int_equal(amqp_login(conn, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type,
                     AMQP_RESPONSE_NORMAL);
    amqp_channel_open(conn, 1);
    amqp_queue_declare(conn, 1, amqp_cstring_bytes(h->queue), 0, 1, 0, 0, (amqp_table_t){n, arguments});
    assert_int_equal(amqp_get_rpc_reply(conn).reply_type, AMQP_RESPONSE_NORMAL);
    gateway_on(h, proxy_port(h->proxy), "declared", "/");
    push(h);
    flows(h);
    for (int i = 0; odd && i < 200; i++) {
        const struct standing s = orders_status(h->gateway, "load-1");
        if (strcmp(s.source, "count") == 0)
            fail_msg("counts say nothing of this queue, and it was counted");
        world_sleep_ms(10);
    }
    if (odd)
        assert_true(sluiced_log_wait(h->gateway, 0, "event=samples_only", h->queue, WAIT_MS));
    else
        assert_int_equal(sluiced_log_count(h->gateway, 0, "event=samples_only"), 0);
    amqp_connection_close(conn, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(conn);
    nothing_is_lost(h, 0);
    replays(h);
}

static amqp_table_entry_t
number(const char *key, int32_t value)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = value}};
}

static amqp_table_entry_t
word(const char *key, const char *value)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)}};
}

static void
a_queue_with_priorities_is_known_by_samples_alone(void **state)
{
    amqp_table_entry_t a[] = {number("x-max-priority", 3)};

    push_to_declared(*state, a, 1, true);
}

static void
a_queue_whose_messages_expire_is_known_by_samples_alone(void **state)
{
    amqp_table_entry_t a[] = {number("x-message-ttl", 3600000)};

    push_to_declared(*state, a, 1, true);
}

static void
a_queue_that_drops_its_oldest_is_known_by_samples_alone(void **state)
{
    amqp_table_entry_t a[] = {word("x-overflow", "drop-head"), number("x-max-length", 1000000000)};

    push_to_declared(*state, a, 2, true);
}

static void
a_quorum_queue_is_measured_as_any_other(void **state)
{
    amqp_table_entry_t a[] = {word("x-queue-type", "quorum")};

    push_to_declared(*state, a, 1, false);
}

static void
odd_names_of_a_vhost_and_a_queue_are_measured(void **state)
{
    static const char *const vhost = "a/b c%2F";
    struct here *h = *state;

    MUST(world_broker(h->world, "ctl", (const char *[]){"add_vhost", vhost, NULL}, &err));
    MUST(world_broker(h->world, "ctl",
                      (const char *[]){"set_permissions", "-p", vhost, "guest", ".*", ".*", ".*", NULL}, &err));
    (void)snprintf(h->queue, sizeof(h->queue), "q/1 %%2F?#");
    gateway_on(h, proxy_port(h->proxy), "", vhost);
    push(h);
    flows(h);
    struct standing s = orders_status(h->gateway, "load-1");
    for (int i = 0; i < WAIT_MS / 10 && strcmp(s.figures, "fresh") != 0; i++) {
        world_sleep_ms(10);
        s = orders_status(h->gateway, "load-1");
    }
    assert_string_equal(s.figures, "fresh");
    assert_true(s.measured && s.upper != UINT64_MAX);
    MUST(load_finish(h->load, WAIT_MS, NULL, &err));
    replays(h);
}

/* --- The broker --------------------------------------------------------------------------------------------------- */

static void
a_memory_alarm_holds_at_once_and_its_end_lets_go(void **state)
{
    struct here *h = *state;

    all_is_well(h);
    const int64_t mark = sluiced_log_mark(h->gateway), from_us = clock_mono_us();
    MUST(world_broker(h->world, "ctl", (const char *[]){"set_vm_memory_high_watermark", "0.00001", NULL}, &err));
    assert_true(sluiced_log_wait(h->gateway, mark, "event=broker_blocked", NULL, WAIT_MS));
    struct late *late = late_start();
    const int64_t blocked_us = clock_mono_us();
    struct standing s = orders_status(h->gateway, "load-1");
    while (strstr(s.reasons, "broker_alarm") == NULL && clock_mono_us() - blocked_us < WAIT_MS * INT64_C(1000))
        s = orders_status(h->gateway, "load-1");
    const int64_t after_us = clock_mono_us() - blocked_us, late_us = late_stop(late);
    print_message("  blocked %lld ms after the order; held by %s %lld ms later; the machine is %lld ms late\n",
                  (long long)(blocked_us - from_us) / 1000, s.reasons, (long long)after_us / 1000,
                  (long long)late_us / 1000);
    assert_true(after_us < 100000 + late_us);
    MUST(world_broker(h->world, "ctl", (const char *[]){"set_vm_memory_high_watermark", "0.4", NULL}, &err));
    flows(h);
}

static void
a_broker_that_starts_again_is_waited_for_and_measured_anew(void **state)
{
    struct here *h = *state;

    all_is_well(h);
    MUST(world_broker(h->world, "stop", NULL, &err));
    struct standing s = orders_status(h->gateway, "load-1");
    for (int i = 0; i < WAIT_MS / 10 && strstr(s.reasons, "broker_down") == NULL; i++) {
        world_sleep_ms(10);
        s = orders_status(h->gateway, "load-1");
    }
    assert_non_null(strstr(s.reasons, "broker_down"));
    MUST(world_broker(h->world, "restart", NULL, &err));
    flows(h);
}

#define ALONE(name) cmocka_unit_test_setup_teardown(name, begin_alone, end_alone)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_api_that_is_away_holds_until_it_is_back),
        cmocka_unit_test(an_api_that_hangs_holds_until_it_answers),
        cmocka_unit_test(an_api_that_answers_with_noise_holds_until_it_makes_sense),
        cmocka_unit_test(an_api_that_comes_and_goes_each_second_loses_and_hangs_nothing),
        cmocka_unit_test(sizes_that_are_missing_are_unknown_and_not_zero),
        cmocka_unit_test(a_memory_alarm_holds_at_once_and_its_end_lets_go),
        cmocka_unit_test(a_broker_that_starts_again_is_waited_for_and_measured_anew),
        cmocka_unit_test(of_all_that_was_acknowledged_nothing_is_lost),
        cmocka_unit_test(a_purge_is_seen_and_does_not_stop_the_flow),
        cmocka_unit_test(what_others_publish_holds_from_the_sample_that_shows_it),
        ALONE(an_api_that_lets_nobody_in_holds_and_the_log_and_the_status_say_so),
        ALONE(a_queue_that_is_deleted_holds_until_it_is_there_again),
        ALONE(a_queue_with_priorities_is_known_by_samples_alone),
        ALONE(a_queue_whose_messages_expire_is_known_by_samples_alone),
        ALONE(a_queue_that_drops_its_oldest_is_known_by_samples_alone),
        ALONE(a_quorum_queue_is_measured_as_any_other),
        ALONE(odd_names_of_a_vhost_and_a_queue_are_measured),
    };

    cmocka_set_test_filter(getenv("TEST_ONLY")); /* NULL: all */
    return cmocka_run_group_tests_name("telemetry faults", tests, open_world, close_world);
}
