/* telemetry_test.c - the figures of a private RabbitMQ, from both sources, against what is true. */
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

#include "broker/telemetry.h"
#include "clock.h"
#include "err.h"
#include "log.h"
#include "mailbox.h"
#include "system/late.h"
#include "system/must.h"
#include "system/operator.h"
#include "system/world.h"

enum { LIMIT_MS = 90000, BODY = 1000, QUEUES_MAX = 128 };

/* --- A watcher: telemetry, and the last that it posted ------------------------------------------------------------ */

struct watcher {
    struct telemetry_config config;
    char                    url[64];
    const char             *urls[1];
    struct mailbox         *events;
    struct log             *log;
    int                     log_fd;
    struct telemetry       *t;
    unsigned                up, down, rounds, restarts;
    char                    text[300];
    struct telemetry_broker broker;
    struct telemetry_event  queues[QUEUES_MAX]; /* by number */
};

static struct watcher *
watcher_new(const char *scheme, const char *host, int port, enum telemetry_source source)
{
    struct watcher *w = calloc(1, sizeof(*w));

    snprintf(w->url, sizeof(w->url), "%s://%s:%d", scheme, host, port);
    w->urls[0] = w->url;
    w->config = (struct telemetry_config){.source = source,
                                          .urls = w->urls,
                                          .n_urls = 1,
                                          .user = source == TELEMETRY_MANAGEMENT ? "guest" : NULL,
                                          .password = "guest",
                                          .poll_us = 300000,
                                          .connect_us = 5000000,
                                          .total_us = 20000000,
                                          .retry_max_us = 1000000,
                                          .body_max = 64 << 20,
                                          .seed = 1};
    w->events = mailbox_new(sizeof(struct telemetry_event), NULL);
    w->log_fd = memfd_create("log", MFD_CLOEXEC);
    w->log = log_new(w->log_fd, LOG_KEYVALUE, LOG_DEBUG, NULL);
    return w;
}

static void
watch(struct watcher *w, const struct telemetry_target *targets, size_t n)
{
    if (w->t == NULL)
        MUST_HAVE(w->t, telemetry_start(&w->config, w->events, w->log, &err));
    MUST(telemetry_set_queues(w->t, targets, n, &err));
}

static void
take(struct watcher *w)
{
    void *taken;
    const size_t n = mailbox_take(w->events, &taken);
    const struct telemetry_event *e = taken;

    for (size_t i = 0; i < n; i++) {
        if (e[i].kind == TELEMETRY_UP || e[i].kind == TELEMETRY_DOWN) {
            *(e[i].kind == TELEMETRY_UP ? &w->up : &w->down) += 1;
            snprintf(w->text, sizeof(w->text), "%s", e[i].text);
            free(e[i].text);
        } else if (e[i].kind == TELEMETRY_BROKER) {
            w->rounds++;
            w->broker = e[i].broker;
            w->restarts += e[i].broker.restarted;
        } else if (e[i].queue.queue < QUEUES_MAX)
            w->queues[e[i].queue.queue] = e[i];
    }
}

static void
watcher_free(struct watcher *w)
{
    telemetry_free(w->t);
    take(w);
    mailbox_free(w->events);
    log_free(w->log);
    close(w->log_fd);
    free(w);
}

/* Take what comes until the condition holds; the condition is what is shown if it never does. */
#define AWAIT(w, condition)                                                      \
    do {                                                                         \
        const int64_t until_ = clock_mono_us() + (int64_t)LIMIT_MS * 1000;       \
        for (take(w); !(condition) && clock_mono_us() < until_; take(w))         \
            world_sleep_ms(5);                                                   \
        if (!(condition))                                                        \
            fail_msg("never: %s (up %u, down %u, last said: %s)", #condition, (w)->up, (w)->down, (w)->text);        \
    } while (0)

/* --- A broker whose statistics are a second old ------------------------------------------------------------------- */

/* The management plugin collects them as often as the smallest step of these policies: without them each 5 s. */
static const char EACH_SECOND[] = "collect_statistics_interval = 1000\n"
                                  "management.sample_retention_policies.global.minute = 1\n"
                                  "management.sample_retention_policies.basic.minute = 1\n"
                                  "management.sample_retention_policies.detailed.10 = 1\n";

static int
start_with(void **state, const char *more)
{
    struct rabbit *r = rabbit_new(NULL);
    char tls[600], conf[4096];

    *state = r;
    if (r == NULL)
        return -1;
    r->management_port = 0;
    const int https = world_free_port();
    snprintf(tls, sizeof(tls), "%s/tls", world_dir(r->world));
    snprintf(conf, sizeof(conf),
             "%s%smanagement.ssl.ip = 127.0.0.1\nmanagement.ssl.port = %d\nmanagement.ssl.cacertfile = %s/ca.pem\n"
             "management.ssl.certfile = %s/server.pem\nmanagement.ssl.keyfile = %s/server-key.pem\n",
             EACH_SECOND, more, https, tls, tls, tls);
    if (rabbit_start_with(r, (const char *[]){"--management", "--prometheus", "--tls", tls, NULL}, conf) != 0)
        return -1;
    r->tls_port = https; /* here, that of the management API */
    return 0;
}

static int
start_broker(void **state)
{
    return start_with(state, "");
}

static int
start_blind(void **state)
{
    return start_with(state, "management_agent.disable_metrics_collector = true\n");
}

static struct watcher *
by_management(const struct rabbit *r)
{
    return watcher_new("http", "127.0.0.1", r->management_port, TELEMETRY_MANAGEMENT);
}

static struct watcher *
by_prometheus(const struct rabbit *r)
{
    return watcher_new("http", "127.0.0.1", r->prometheus_port, TELEMETRY_PROMETHEUS);
}

static void
publish(amqp_connection_state_t c, const char *queue, int n)
{
    static char body[BODY];
    const amqp_basic_properties_t persistent = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};

    for (int i = 0; i < n; i++)
        amqp_basic_publish(c, 1, amqp_cstring_bytes(""), amqp_cstring_bytes(queue), 0, 0, &persistent,
                           (amqp_bytes_t){BODY, body});
}

/* Take messages without acknowledging them. */
static void
hold(amqp_connection_state_t c, const char *queue, int n)
{
    for (int i = 0; i < n; i++) {
        amqp_message_t m;
        amqp_maybe_release_buffers(c);
        assert_int_equal(amqp_basic_get(c, 1, amqp_cstring_bytes(queue), 0).reply_type, AMQP_RESPONSE_NORMAL);
        assert_int_equal(amqp_read_message(c, 1, &m, 0).reply_type, AMQP_RESPONSE_NORMAL);
        amqp_destroy_message(&m);
    }
}

static bool
is(const struct watcher *w, size_t i, uint64_t bytes, uint64_t ready, uint64_t unacked)
{
    const struct telemetry_queue *q = &w->queues[i].queue;
    const unsigned need = TELEMETRY_BYTES | TELEMETRY_READY | TELEMETRY_UNACKED | TELEMETRY_WORK;

    return (q->known & need) == need && q->bytes == bytes && q->ready == ready && q->unacked == unacked;
}

/* What the queue's own process says, now. */
static void
the_truth_is(const struct rabbit *r, const char *queue, const char *expected)
{
    char script[600], dir[600], out[8192], filter[400];
    struct err err = {.text = ""};

    snprintf(dir, sizeof(dir), "%s/broker", world_dir(r->world));
    snprintf(filter, sizeof(filter),
             "{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"%s\">>)), "
             "[{_, B}, {_, R}, {_, U}] = rabbit_amqqueue:info(Q, "
             "[message_bytes, messages_ready, messages_unacknowledged]), {B, R, U}.",
             queue);
    const char *const argv[] = {world_source("tests/broker", script, sizeof(script)), "ctl", dir, "eval", filter, NULL};
    if (world_run(argv, LIMIT_MS, out, sizeof(out), &err) != 0)
        fail_msg("%s: %s", err.text, out);
    if (strstr(out, expected) == NULL)
        fail_msg("the queue says %s and not %s", out, expected);
}

/* --- Queues ------------------------------------------------------------------------------------------------------- */

static void
bytes_are_ready_and_unacknowledged_together(void **state)
{
    const struct rabbit *r = *state;
    const struct telemetry_target targets[] = {{0, "/", "classic"}, {1, "/", "quorum"}};
    amqp_connection_state_t o = operator_open(r);
    amqp_table_entry_t type = argument_text("x-queue-type", "quorum");
    struct watcher *m = by_management(r), *p = by_prometheus(r);

    declare_on(o, (struct queue){.name = "classic"});
    declare_on(o, (struct queue){.name = "quorum", .arguments = {.num_entries = 1, .entries = &type}});
    publish(o, "classic", 10);
    publish(o, "quorum", 7);
    declare_on(o, (struct queue){.name = "classic"}); /* they have arrived */
    const int64_t until = clock_mono_us() + (int64_t)LIMIT_MS * 1000;
    while (depth(r, "quorum") < 7 && clock_mono_us() < until)
        world_sleep_ms(10);
    hold(o, "classic", 4);
    hold(o, "quorum", 2);
    watch(m, targets, 2);
    watch(p, targets, 2);
    AWAIT(m, is(m, 0, 10000, 6, 4) && is(m, 1, 7000, 5, 2));
    AWAIT(p, is(p, 0, 10000, 6, 4) && is(p, 1, 7000, 5, 2));
    the_truth_is(r, "classic", "{10000,6,4}");
    the_truth_is(r, "quorum", ",5,2}"); /* a quorum queue does not say its bytes this way */
    assert_int_equal(m->queues[0].queue.known, TELEMETRY_BYTES | TELEMETRY_READY | TELEMETRY_UNACKED |
                                                   TELEMETRY_CONSUMERS | TELEMETRY_PREFETCH | TELEMETRY_SHAPE |
                                                   TELEMETRY_WORK);
    assert_int_equal(m->broker.known, TELEMETRY_ALARMS | TELEMETRY_MEMORY | TELEMETRY_DISK | TELEMETRY_UPTIME |
                                          TELEMETRY_NODES);
    assert_int_equal(p->broker.known, TELEMETRY_ALARMS | TELEMETRY_MEMORY | TELEMETRY_DISK | TELEMETRY_UPTIME);
    assert_true(m->broker.memory_used > 1000000 && m->broker.memory_limit > m->broker.memory_used);
    assert_true(p->broker.memory_used > 1000000 && p->broker.memory_limit > p->broker.memory_used);
    assert_true(m->broker.disk_free > m->broker.disk_limit && p->broker.disk_free > p->broker.disk_limit);
    assert_memory_equal(m->text, "RabbitMQ 3.", 11);
    assert_int_equal(m->down + p->down, 0);
    watcher_free(m);
    watcher_free(p);
    operator_close(o);
}

static void
a_deleted_queue_is_gone_and_a_new_one_unknown_until_it_has_figures(void **state)
{
    const struct rabbit *r = *state;
    const struct telemetry_target target = {0, "/", "short"};
    amqp_connection_state_t o = operator_open(r);
    struct watcher *m = by_management(r);

    watch(m, &target, 1);
    AWAIT(m, m->queues[0].kind == TELEMETRY_QUEUE);
    assert_true(m->queues[0].queue.gone);
    declare_on(o, (struct queue){.name = "short"});
    AWAIT(m, !m->queues[0].queue.gone);
    AWAIT(m, is(m, 0, 0, 0, 0));
    amqp_queue_delete(o, 1, amqp_cstring_bytes("short"), 0, 0);
    AWAIT(m, m->queues[0].queue.gone);
    assert_int_equal(m->queues[0].queue.known, 0);
    assert_int_equal(m->down, 0);
    watcher_free(m);
    operator_close(o);
}

static void
odd_names_reach_their_queues(void **state)
{
    static const char *const vhost = "a/b c%2F?#\xc3\xa9";
    static const char *const names[] = {"q/1", "q%2F1", "\xc3\xa9\"\\'<>", "a b+c&d=e", "...", "?#;", "q\t"};
    enum { N = sizeof(names) / sizeof(names[0]) };
    const struct rabbit *r = *state;
    struct telemetry_target targets[N];
    struct watcher *m = by_management(r), *p = by_prometheus(r);
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(c);

    rabbit_do(r, "ctl", (const char *[]){"add_vhost", vhost, NULL});
    rabbit_do(r, "ctl", (const char *[]){"set_permissions", "-p", vhost, "guest", ".*", ".*", ".*", NULL});
    assert_int_equal(amqp_socket_open(socket, "127.0.0.1", r->port), AMQP_STATUS_OK);
    assert_int_equal(amqp_login(c, vhost, 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type,
                     AMQP_RESPONSE_NORMAL);
    amqp_channel_open(c, 1);
    for (size_t i = 0; i < N; i++) {
        declare_on(c, (struct queue){.name = names[i]});
        publish(c, names[i], (int)i + 1);
        targets[i] = (struct telemetry_target){(uint32_t)i, vhost, names[i]};
    }
    watch(m, targets, N);
    watch(p, targets, N);
    for (size_t i = 0; i < N; i++)
        if (strcmp(names[i], "...") != 0)
            AWAIT(m, is(m, i, (i + 1) * BODY, i + 1, 0));
    AWAIT(m, is(m, 4, 5 * BODY, 5, 0)); /* dots alone, but no place */
    for (size_t i = 0; i < N; i++)
        if (strpbrk(names[i], "\"\\") == NULL)
            AWAIT(p, is(p, i, (i + 1) * BODY, i + 1, 0));
    assert_int_equal(p->queues[2].queue.known, 0); /* the text of 3.10 cannot say this name */
    assert_false(p->queues[2].queue.gone);
    watcher_free(m);
    watcher_free(p);
    operator_close(c);
}

static void
consume(amqp_connection_state_t c, const char *queue, uint16_t prefetch, bool no_ack)
{
    amqp_basic_qos(c, 1, 0, prefetch, 0);
    amqp_basic_consume(c, 1, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, no_ack, 0, amqp_empty_table);
    operator_ok(c);
}

/* By name, and in pages with the consumers of the vhost: more queues than are asked for one by one. */
static void
prefetch_is_the_sum_of_all_consumers(void **state)
{
    const struct rabbit *r = *state;
    static char names[QUEUES_MAX][24];
    static struct telemetry_target targets[QUEUES_MAX];
    const size_t n[] = {3, TELEMETRY_BY_NAME + 20};
    amqp_connection_state_t o = operator_open(r);

    for (size_t i = 0; i < QUEUES_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "prefetch_%zu", i);
        targets[i] = (struct telemetry_target){(uint32_t)i, "/", names[i]};
        declare_on(o, (struct queue){.name = names[i]});
        publish(o, names[i], (int)i % 3);
    }
    consume(o, names[0], 3, false);
    consume(o, names[0], 5, false);
    consume(o, names[0], 0, true);
    consume(o, names[1], 9, false);
    consume(o, names[1], 0, false);
    for (size_t k = 0; k < 2; k++) {
        struct watcher *m = by_management(r);
        watch(m, targets, n[k]);
        AWAIT(m, (m->queues[0].queue.known & TELEMETRY_CONSUMERS) != 0 && m->queues[0].queue.consumers == 3);
        AWAIT(m, (m->queues[1].queue.known & TELEMETRY_PREFETCH) != 0);
        assert_int_equal(m->queues[0].queue.prefetch, 8);
        assert_true(m->queues[0].queue.prefetch_finite);
        assert_int_equal(m->queues[1].queue.prefetch, 9);
        assert_false(m->queues[1].queue.prefetch_finite);
        assert_int_equal(m->queues[2].queue.prefetch, 0);
        assert_true(m->queues[2].queue.prefetch_finite);
        for (size_t i = 0; i < n[k]; i++)
            AWAIT(m, (m->queues[i].queue.known & TELEMETRY_BYTES) != 0 && m->queues[i].queue.bytes == i % 3 * BODY);
        assert_int_equal(m->down, 0);
        watcher_free(m);
    }
    operator_close(o);
}

static void
what_leaves_out_of_order_is_seen(void **state)
{
    const struct rabbit *r = *state;
    const struct telemetry_target targets[] = {
        {0, "/", "shape-plain"}, {1, "/", "shape-priority"}, {2, "/", "shape-policy"}};
    const char *const policy = "{\"message-ttl\":60000,\"max-length\":9}";
    amqp_connection_state_t o = operator_open(r);
    amqp_table_entry_t priority = {.key = amqp_cstring_bytes("x-max-priority"),
                                   .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 3}};
    struct watcher *m = by_management(r);

    declare_on(o, (struct queue){.name = "shape-plain"});
    declare_on(o, (struct queue){.name = "shape-priority", .arguments = {.num_entries = 1, .entries = &priority}});
    declare_on(o, (struct queue){.name = "shape-policy"});
    watch(m, targets, 3);
    AWAIT(m, (m->queues[2].queue.known & TELEMETRY_SHAPE) != 0);
    assert_false(m->queues[2].queue.ttl || m->queues[2].queue.drop_head);
    rabbit_do(r, "ctl", (const char *[]){"set_policy", "odd", "^shape-policy$", policy, NULL});
    AWAIT(m, m->queues[2].queue.ttl && m->queues[2].queue.drop_head);
    AWAIT(m, (m->queues[1].queue.known & TELEMETRY_SHAPE) != 0);
    assert_true(m->queues[1].queue.priority);
    AWAIT(m, (m->queues[0].queue.known & TELEMETRY_SHAPE) != 0);
    assert_false(m->queues[0].queue.priority || m->queues[0].queue.ttl || m->queues[0].queue.drop_head);
    watcher_free(m);
    operator_close(o);
}

/* --- The broker --------------------------------------------------------------------------------------------------- */

static void
alarms_are_seen_and_that_they_end(void **state)
{
    const struct rabbit *r = *state;
    struct watcher *m = by_management(r), *p = by_prometheus(r);

    watch(m, NULL, 0);
    watch(p, NULL, 0);
    AWAIT(m, (m->broker.known & TELEMETRY_ALARMS) != 0 && !m->broker.memory_alarm);
    AWAIT(p, (p->broker.known & TELEMETRY_ALARMS) != 0 && !p->broker.memory_alarm);
    rabbit_watermark(r, "0.00001");
    AWAIT(m, m->broker.memory_alarm && !m->broker.disk_alarm);
    AWAIT(p, p->broker.memory_alarm && !p->broker.disk_alarm);
    rabbit_watermark(r, "0.4");
    AWAIT(m, (m->broker.known & TELEMETRY_ALARMS) != 0 && !m->broker.memory_alarm);
    AWAIT(p, (p->broker.known & TELEMETRY_ALARMS) != 0 && !p->broker.memory_alarm);
    watcher_free(m);
    watcher_free(p);
}

static void
a_restart_is_seen_and_the_figures_come_back(void **state)
{
    const struct rabbit *r = *state;
    const struct telemetry_target target = {0, "/", "kept"};
    amqp_connection_state_t o = operator_open(r);
    struct watcher *m = by_management(r), *p = by_prometheus(r);

    declare_on(o, (struct queue){.name = "kept"});
    publish(o, "kept", 3);
    operator_close(o);
    watch(m, &target, 1);
    watch(p, &target, 1);
    AWAIT(m, is(m, 0, 3 * BODY, 3, 0) && (m->broker.known & TELEMETRY_UPTIME) != 0);
    AWAIT(p, is(p, 0, 3 * BODY, 3, 0) && (p->broker.known & TELEMETRY_UPTIME) != 0);
    rabbit_do(r, "stop", NULL);
    AWAIT(m, m->down == 1);
    AWAIT(p, p->down == 1);
    rabbit_do(r, "restart", NULL);
    AWAIT(m, m->restarts == 1);
    AWAIT(p, p->restarts == 1);
    AWAIT(m, m->up == m->down + 1 && is(m, 0, 3 * BODY, 3, 0));
    AWAIT(p, p->up == p->down + 1 && is(p, 0, 3 * BODY, 3, 0));
    assert_int_equal(m->restarts, 1);
    assert_int_equal(p->restarts, 1);
    watcher_free(m);
    watcher_free(p);
}

static void
a_frozen_broker_is_said_to_be_down(void **state)
{
    const struct rabbit *r = *state;
    struct watcher *m = by_management(r);

    m->config.total_us = 1500000;
    watch(m, NULL, 0);
    AWAIT(m, m->up > m->down);
    const unsigned before_it = m->down;
    rabbit_do(r, "freeze", NULL);
    AWAIT(m, m->down > before_it);
    struct late *late = late_start();
    const int64_t before = clock_mono_us();
    telemetry_free(m->t); /* while it hangs */
    m->t = NULL;
    const int64_t took = clock_mono_us() - before, late_us = late_stop(late);
    rabbit_do(r, "thaw", NULL);
    assert_true(took < 1000000 + late_us);
    watcher_free(m);
}

static void
a_user_who_may_not_is_told_so(void **state)
{
    const struct rabbit *r = *state;
    const struct telemetry_target target = {0, "/", "kept"};
    struct watcher *m = by_management(r);

    m->config.password = "not-the-password";
    watch(m, &target, 1);
    AWAIT(m, m->down == 1);
    assert_non_null(strstr(m->text, "401"));
    watcher_free(m);

    /* One with the tag `management` may see queues, and not the nodes. */
    rabbit_do(r, "ctl", (const char *[]){"add_user", "some", "body", NULL});
    rabbit_do(r, "ctl", (const char *[]){"set_user_tags", "some", "management", NULL});
    rabbit_do(r, "ctl", (const char *[]){"set_permissions", "some", ".*", ".*", ".*", NULL});
    m = by_management(r);
    m->config.user = "some";
    m->config.password = "body";
    watch(m, &target, 1);
    AWAIT(m, (m->queues[0].queue.known & TELEMETRY_BYTES) != 0);
    assert_int_equal(m->broker.known & (TELEMETRY_MEMORY | TELEMETRY_NODES), 0);
    assert_int_equal(m->down, 0);
    watcher_free(m);
}

static void
https_is_spoken_with_the_right_authority_and_name(void **state)
{
    const struct rabbit *r = *state;
    const struct {
        const char *host, *ca;
        bool        good;
    } rows[] = {{"localhost", "ca.pem", true}, {"localhost", "other-ca.pem", false}, {"127.0.0.1", "ca.pem", false}};
    char ca[700];

    for (size_t i = 0; i < 3; i++) {
        struct watcher *m = watcher_new("https", rows[i].host, r->tls_port, TELEMETRY_MANAGEMENT);
        snprintf(ca, sizeof(ca), "%s/tls/%s", world_dir(r->world), rows[i].ca);
        m->config.ca_file = ca;
        watch(m, NULL, 0);
        AWAIT(m, m->up + m->down > 0);
        assert_int_equal(m->up, rows[i].good);
        watcher_free(m);
    }
}

static void
without_statistics_sizes_are_unknown_save_to_prometheus(void **state)
{
    const struct rabbit *r = *state;
    const struct telemetry_target target = {0, "/", "blind"};
    amqp_connection_state_t o = operator_open(r);
    struct watcher *m = by_management(r), *p = by_prometheus(r);

    declare_on(o, (struct queue){.name = "blind"});
    publish(o, "blind", 3);
    watch(p, &target, 1);
    AWAIT(p, is(p, 0, 3 * BODY, 3, 0));
    watch(m, &target, 1);
    AWAIT(m, m->rounds >= 5);
    assert_int_equal(m->queues[0].queue.known & (TELEMETRY_BYTES | TELEMETRY_READY | TELEMETRY_UNACKED), 0);
    assert_false(m->queues[0].queue.gone);
    watcher_free(m);
    watcher_free(p);
    operator_close(o);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_ready_and_unacknowledged_together),
        cmocka_unit_test(a_deleted_queue_is_gone_and_a_new_one_unknown_until_it_has_figures),
        cmocka_unit_test(odd_names_reach_their_queues),
        cmocka_unit_test(prefetch_is_the_sum_of_all_consumers),
        cmocka_unit_test(what_leaves_out_of_order_is_seen),
        cmocka_unit_test(alarms_are_seen_and_that_they_end),
        cmocka_unit_test(a_restart_is_seen_and_the_figures_come_back),
        cmocka_unit_test(a_frozen_broker_is_said_to_be_down),
        cmocka_unit_test(a_user_who_may_not_is_told_so),
        cmocka_unit_test(https_is_spoken_with_the_right_authority_and_name),
    };
    const struct CMUnitTest blind[] = {cmocka_unit_test(without_statistics_sizes_are_unknown_save_to_prometheus)};
    const int failed = cmocka_run_group_tests_name("telemetry", tests, start_broker, rabbit_stop);

    return failed + cmocka_run_group_tests_name("telemetry without statistics", blind, start_blind, rabbit_stop);
}
