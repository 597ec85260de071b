/* faults_broker_test.c - what can be wrong with RabbitMQ and its queues, seen from a connector.  Each ends with the
 * ledger: nothing answered for is lost, nothing invented, order kept unless the broker nacked, repeats bounded. */
#include "must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "consumer.h"
#include "ledger.h"
#include "load.h"
#include "proxy.h"
#include "sluice/sluice.h"
#include "sluiced.h"
#include "stage.h"
#include "world.h"

enum { WINDOW = 200, WAIT_MS = 60 * 1000, WAITING = 500 /* the number of the connector "waiting" */ };

/* Two connectors at the queue that is well, and one at a target that is not. */
#define GOOD                                                                                                           \
    "{ id = \"load-0\"; queue = \"faults\"; routing_key = \"faults\"; declare = true; },"                              \
    "{ id = \"load-1\"; queue = \"faults\"; routing_key = \"faults\"; declare = true; }"
#define WITH(odd) "connectors = ( " GOOD ", { id = \"odd\"; " odd " } );"

static const struct sluiced_config ANYBODY = {.rest = SLUICED_ANYBODY("faults")};

static struct consumer *
rabbit(struct stage *s)
{
    struct consumer *c;
    MUST_HAVE(c, consumer_open(world_broker_port(s->world), &err));
    return c;
}

/* The odd connector has its bundles refused for this reason, in words that say this; the others do not notice. */
static void
refused_and_the_others_go_on(struct stage *s, const char *rest, const char *reason, const char *words)
{
    struct sluiced_config config = {.rest = rest};
    struct load_result r;
    stage_gateway(s, &config);
    int64_t mark = sluiced_log_mark(s->gateway);
    struct load_plan good = {.connectors = 2, .size_min = 100, .size_max = 3000, .bundles = 400};
    struct load_plan odd = {.first = 9, .connectors = 1, .id = "odd", .size_min = 100, .size_max = 3000, .bundles = 40};
    struct load *a = stage_load(s, &good, false), *b = stage_load(s, &odd, false);
    stage_finish(s, b, 120000, &r);
    assert_int_equal(r.nacked, 40);
    assert_string_equal(r.reason, reason);
    if (strstr(r.text, words) == NULL)
        fail_msg("the connector is told '%s', which does not say '%s'", r.text, words);
    assert_true(sluiced_log_wait(s->gateway, mark, "bundle_refused", "connector=odd", WAIT_MS));
    stage_finish(s, a, 120000, &r);
    assert_int_equal(r.acked, 800);
    assert_true(sluiced_alive(s->gateway));
    (void)stage_agrees(s, "faults", 0, false);
}

static void
a_bundle_without_a_route_is_refused_and_the_others_go_on(void **state)
{
    refused_and_the_others_go_on(*state, WITH("exchange = \"amq.direct\"; routing_key = \"nowhere\"; queue = \"\";"),
                                 "unroutable", "nowhere");
}

static void
a_missing_exchange_is_named_and_the_others_go_on(void **state)
{
    refused_and_the_others_go_on(*state,
                                 WITH("exchange = \"no-such-exchange\"; routing_key = \"x\"; queue = \"faults\";"),
                                 "target", "no-such-exchange");
}

static void
a_missing_queue_is_named_with_the_way_out_and_the_others_go_on(void **state)
{
    refused_and_the_others_go_on(*state, WITH("routing_key = \"no-such-queue\"; queue = \"no-such-queue\";"), "target",
                                 "declare");
}

static void
a_transient_queue_is_refused_and_gets_nothing(void **state)
{
    struct stage *s = *state;
    struct consumer *c = rabbit(s);
    MUST(consumer_declare(c, "transient", false, 0, &err));
    refused_and_the_others_go_on(s, WITH("routing_key = \"transient\"; queue = \"transient\";"), "target", "durable");
    assert_int_equal(consumer_ready(c, "transient", NULL), 0);
    MUST(consumer_delete(c, "transient", &err));
    consumer_close(c);
}

/* Wait until the handle is told this hold. */
static bool
await_hold(struct sluice *h, const char *word)
{
    struct sluice_info info;
    for (int i = 0; i < WAIT_MS / 10; i++) {
        sluice_info(h, &info);
        if (info.connected && strstr(info.hold, word) != NULL)
            return true;
        world_sleep_ms(10);
    }
    fprintf(stderr, "connected %d, hold '%s'\n", info.connected, info.hold);
    return false;
}

/* A connector that has something to push. */
static struct sluice *
waiting(struct stage *s)
{
    struct sluice_options opt = {.id = "waiting", .endpoint = sluiced_endpoint(s->gateway)};
    struct sluice_error e;
    char body[100];
    struct sluice *h = sluice_open(&opt, &e);
    ledger_body(body, sizeof(body), WAITING, 1);
    ledger_pushed(s->ledger, WAITING, 1, sizeof(body));
    if (h == NULL || sluice_push(h, body, sizeof(body), NULL, 1000, &e) != 0)
        fail_msg("%s", e.text);
    return h;
}

static void
a_broker_that_is_away_at_the_start_gives_no_credit_and_says_so(void **state)
{
    struct stage *s = *state;
    struct sluiced_config config = ANYBODY;
    struct sluice_error e;
    struct sluice_info info;
    int port = world_free_port();
    config.broker_port = port; /* nobody is there */
    MUST_HAVE(s->gateway, sluiced_new(s->world, &config, &err));
    int64_t mark = sluiced_log_mark(s->gateway);
    MUST(sluiced_start(s->gateway, false, &err));
    assert_true(sluiced_log_wait(s->gateway, mark, "event=broker_unreachable", NULL, WAIT_MS));
    struct sluice *h = waiting(s);
    assert_int_equal(sluice_wait(h, WAIT_MS, &e), 0);
    assert_true(await_hold(h, "broker_down"));
    assert_int_equal(sluice_flush(h, 500, &e), SLUICE_EAGAIN);
    assert_int_equal(sluice_close(&h, 0, &info), SLUICE_EAGAIN);
    assert_int_equal(info.unanswered, 1);
    assert_int_equal(sluiced_stop(s->gateway), 0);
}

static void
a_broker_killed_and_restarted_under_load_loses_nothing(void **state)
{
    struct stage *s = *state;
    const int kills = world_long() ? 10 : 2;
    stage_gateway(s, &ANYBODY);
    int64_t mark = sluiced_log_mark(s->gateway);
    /* Below 4096 bytes, where RabbitMQ keeps a message in the index of its queue.  Above, it has a store of its own: a
     * kill may leave a later small one and take an earlier large one that was not confirmed, which then follows it. */
    struct load_plan plan = {
        .connectors = 4, .size_min = 100, .size_max = 3000, .pause_us = 500, .queue_bytes = 1 << 18};
    struct load *load = stage_load(s, &plan, false);
    for (int i = 0; i < kills; i++) {
        stage_await_acks(load, 300);
        stage_broker(s, "kill", NULL);
        world_sleep_ms(500);
        stage_broker(s, "restart", NULL);
    }
    stage_await_acks(load, 300);
    stage_finish(s, load, 120000, NULL);
    /* A broker that comes back may nack, or have no queue yet: order may then differ, which is said of it. */
    const bool nacked = sluiced_log_count(s->gateway, mark, "event=broker_nacked") > 0;
    (void)stage_agrees(s, "faults", (uint64_t)kills * WINDOW, nacked);
}

static void
a_broker_frozen_for_ten_seconds_under_load_loses_nothing(void **state)
{
    struct stage *s = *state;
    struct sluiced_config config = ANYBODY;
    config.hung_after = "2s";
    stage_gateway(s, &config);
    int64_t mark = sluiced_log_mark(s->gateway);
    struct load_plan plan = {
        .connectors = 4, .size_min = 100, .size_max = 5000, .pause_us = 500, .queue_bytes = 1 << 18};
    struct load *load = stage_load(s, &plan, false);
    stage_await_acks(load, 300);
    stage_broker(s, "freeze", NULL);
    world_sleep_ms(10000);
    assert_true(sluiced_alive(s->gateway));
    stage_broker(s, "thaw", NULL);
    stage_await_acks(load, 300);
    stage_finish(s, load, 120000, NULL);
    print_message("the log says broker_down %d times\n", sluiced_log_count(s->gateway, mark, "event=broker_down"));
    (void)stage_agrees(s, "faults", 2 * WINDOW, false);
}

static void
a_memory_alarm_holds_and_lets_go_and_nothing_goes_twice(void **state)
{
    struct stage *s = *state;
    const char *const alarm[] = {"set_vm_memory_high_watermark", "0.0000001", NULL};
    const char *const calm[] = {"set_vm_memory_high_watermark", "0.4", NULL};
    struct load_result before, now;
    struct sluiced_config config = ANYBODY;
    config.hung_after = "4s";
    stage_gateway(s, &config);
    int64_t mark = sluiced_log_mark(s->gateway);
    struct load_plan plan = {
        .connectors = 4, .size_min = 100, .size_max = 5000, .pause_us = 1000, .queue_bytes = 1 << 18};
    struct load *load = stage_load(s, &plan, false);
    stage_await_acks(load, 100);
    stage_broker(s, "ctl", alarm);
    bool blocked = sluiced_log_wait(s->gateway, mark, "event=broker_blocked", NULL, WAIT_MS);
    struct sluice *h = waiting(s);
    bool held = blocked && await_hold(h, "broker_alarm");
    world_sleep_ms(1000); /* what was on the way is still confirmed */
    load_progress(load, &before);
    world_sleep_ms(6000); /* longer than hung_after: an alarm is no hang */
    load_progress(load, &now);
    stage_broker(s, "ctl", calm);
    assert_true(blocked);
    assert_true(held);
    assert_int_equal(now.acked, before.acked);
    assert_int_equal(sluiced_log_count(s->gateway, mark, "event=broker_down"), 0);
    assert_int_equal(sluice_close(&h, WAIT_MS, NULL), 0);
    ledger_answered(s->ledger, WAITING, 1, LEDGER_ACKED);
    stage_await_acks(load, 100);
    stage_finish(s, load, 120000, NULL);
    (void)stage_agrees(s, "faults", 0, false);
}

static void
a_full_queue_that_rejects_is_waited_for_and_order_is_kept_where_asked(void **state)
{
    struct stage *s = *state;
    struct sluiced_config config = {
        .rest = "connectors = ( { id = \"load-0\"; queue = \"full\"; routing_key = \"full\"; ordered = true; } );"};
    struct consumer *c = rabbit(s);
    MUST(consumer_declare(c, "full", true, 20, &err));
    stage_gateway(s, &config);
    struct load_plan plan = {.connectors = 1, .size_min = 100, .size_max = 500, .bundles = 100};
    struct load *load = stage_load(s, &plan, false);
    struct load_result r;
    const int64_t until = clock_mono_us() + 2 * WAIT_MS * INT64_C(1000);
    for (load_progress(load, &r); r.acked < 100 && clock_mono_us() < until; load_progress(load, &r)) {
        /* Take ten at a time, as the queue fills. */
        MUST(consumer_drain(c, "full", 10, 100, ledger_take, s->ledger, &err));
    }
    stage_finish(s, load, 120000, NULL);
    (void)stage_agrees(s, "full", 0, false);
    MUST(consumer_delete(c, "full", &err));
    consumer_close(c);
}

static void
a_queue_deleted_under_load_refuses_and_works_again_once_it_is_back(void **state)
{
    struct stage *s = *state;
    struct sluiced_config config = {.rest =
                                        "connectors = ( { id = \"load-0\"; queue = \"gone\"; routing_key = \"gone\"; },"
                                        " { id = \"load-1\"; queue = \"gone\"; routing_key = \"gone\"; } );"};
    struct load_result r;
    struct consumer *c = rabbit(s);
    MUST(consumer_declare(c, "gone", true, 0, &err));
    stage_gateway(s, &config);
    struct load_plan plan = {.connectors = 1, .size_min = 100, .size_max = 500, .bundles = 100};
    stage_finish(s, stage_load(s, &plan, false), 120000, &r);
    assert_int_equal(r.acked, 100);
    MUST(consumer_drain(c, "gone", 100, 1000, ledger_take, s->ledger, &err));
    MUST(consumer_delete(c, "gone", &err));
    plan.start = 100;
    stage_finish(s, stage_load(s, &plan, false), 120000, &r);
    assert_int_equal(r.nacked, 100);
    MUST(consumer_declare(c, "gone", true, 0, &err));
    plan.first = 1;
    plan.start = 0;
    world_sleep_ms(6000); /* a bad target is looked at again after 5 s at most */
    struct load *load = stage_load(s, &plan, false);
    stage_finish(s, load, 120000, &r);
    print_message("once it is back: %llu acked, %llu refused (%s)\n", (unsigned long long)r.acked,
                  (unsigned long long)r.nacked, r.reason);
    assert_int_equal(r.acked, 100);
    (void)stage_agrees(s, "gone", 0, false);
    MUST(consumer_delete(c, "gone", &err));
    consumer_close(c);
}

/* The gateway's connection to the broker is cut at one byte count after the other while a load goes on. */
static void
cut_everywhere(struct stage *s, enum proxy_way way, uint64_t from, uint64_t step, uint64_t cuts, uint64_t repeats)
{
    struct sluiced_config config = ANYBODY;
    MUST_HAVE(s->proxy, proxy_start(world_broker_port(s->world), &err));
    config.broker_port = proxy_port(s->proxy);
    config.broker = "retry_min = \"10ms\"; retry_max = \"20ms\";";
    stage_gateway(s, &config);
    struct load_plan plan = {
        .connectors = 2, .size_min = 1024, .size_max = 1024, .pause_us = 2000, .queue_bytes = 1 << 16};
    struct load *load = stage_load(s, &plan, false);
    struct proxy_fault f = {.cut = true, .after = from, .step = step, .cuts = cuts};
    for (int half = 0; half < 2; half++) {
        f.reset = half == 1;
        f.after = from + (uint64_t)half * (step / 2);
        proxy_set(s->proxy, way, &f);
        proxy_cut_all(s->proxy, false);
        for (int i = 0; i < 12000 && proxy_cuts(s->proxy) < cuts; i++)
            world_sleep_ms(10);
        uint64_t cut = proxy_cuts(s->proxy);
        proxy_set(s->proxy, way, NULL);
        assert_true(cut >= cuts);
    }
    stage_await_acks(load, 100);
    stage_finish(s, load, 120000, NULL);
    uint64_t repeated = stage_agrees(s, "faults", 2 * cuts * repeats, false);
    print_message("%llu cuts, %llu repeated\n", 2 * (unsigned long long)cuts, (unsigned long long)repeated);
}

static void
the_brokers_connection_cut_at_any_byte_to_it_loses_nothing(void **state)
{
    /* Login takes about 500 bytes, a bundle of 1 KiB about 1200: up to three may be on the way when it is cut. */
    uint64_t step = world_long() ? 2 : 16;
    cut_everywhere(*state, PROXY_UP, 0, step, 4000 / step, 5);
}

static void
the_brokers_connection_cut_at_any_byte_from_it_loses_nothing(void **state)
{
    /* An ack has 21 bytes: what it answers for may be as much as the queues of the two connectors hold. */
    uint64_t step = world_long() ? 2 : 8;
    cut_everywhere(*state, PROXY_DOWN, 0, step, 1000 / step, 128);
}

#define FAULT(f) cmocka_unit_test_setup_teardown(f, stage_begin, stage_end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT(a_bundle_without_a_route_is_refused_and_the_others_go_on),
        FAULT(a_missing_exchange_is_named_and_the_others_go_on),
        FAULT(a_missing_queue_is_named_with_the_way_out_and_the_others_go_on),
        FAULT(a_transient_queue_is_refused_and_gets_nothing),
        FAULT(a_queue_deleted_under_load_refuses_and_works_again_once_it_is_back),
        FAULT(a_full_queue_that_rejects_is_waited_for_and_order_is_kept_where_asked),
        FAULT(a_broker_that_is_away_at_the_start_gives_no_credit_and_says_so),
        FAULT(a_memory_alarm_holds_and_lets_go_and_nothing_goes_twice),
        FAULT(the_brokers_connection_cut_at_any_byte_to_it_loses_nothing),
        FAULT(the_brokers_connection_cut_at_any_byte_from_it_loses_nothing),
        FAULT(a_broker_frozen_for_ten_seconds_under_load_loses_nothing),
        FAULT(a_broker_killed_and_restarted_under_load_loses_nothing),
    };
    return cmocka_run_group_tests(tests, stage_open, stage_close);
}
