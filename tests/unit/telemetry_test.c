/* telemetry_test.c - RabbitMQ's figures from a server with faults: what is taken, what stays unknown, what is said. */
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/figures.h"
#include "broker/http.h"
#include "broker/lives.h"
#include "broker/prom.h"
#include "broker/rows.h"
#include "broker/telemetry.h"
#include "clock.h"
#include "err.h"
#include "log.h"
#include "mailbox.h"
#include "unit/tiny_http.h"

enum { WAIT_US = 60000000, SEEN_MAX = 64 };

/* --- A server that answers as told ------------------------------------------------------------------------------- */

/* What the broker would say.  Bodies are whole JSON or text. */
struct script {
    int         status;          /* of queue questions */
    const char *queue;           /* the body of a question for a queue */
    const char *nodes, *alarms, *consumers, *overview, *detailed, *metrics;
    int         alarms_status;
    const char *raw;             /* instead of all that: sent as it is */
    enum { PLAY_WELL, PLAY_DEAD, PLAY_DRIP, PLAY_HEADERS, PLAY_FLOOD, PLAY_CUT } play;
    int         queues;          /* in a list; each question with page= is answered from these */
    bool        hide_last;       /* the last one is in no page */
};

struct server {
    struct tiny_http http;
    atomic_int       requests, unauthorised;
    pthread_mutex_t  lock;            /* of what follows */
    struct script    script;
    char             seen[SEEN_MAX][512]; /* request lines */
};

enum { ALL_KNOWN = 2 * TELEMETRY_WORK - 1 /* each bit of enum telemetry_known */ };

static const char *const good_queue =
    "{\"name\":\"q\",\"vhost\":\"/\",\"state\":\"running\",\"message_bytes\":1234,\"messages_ready\":5,"
    "\"messages_unacknowledged\":2,\"reductions\":7001,\"consumers\":1,\"arguments\":{},"
    "\"effective_policy_definition\":{},\"consumer_details\":[{\"prefetch_count\":7,\"ack_required\":true}]}";
static const char *const good_nodes =
    "[{\"name\":\"rabbit@a\",\"running\":true,\"mem_used\":10,\"mem_limit\":100,\"mem_alarm\":false,\"disk_free\":900,"
    "\"disk_free_limit\":50,\"disk_free_alarm\":false,\"uptime\":60000,\"os_pid\":\"17\"}]";

static void
send_body(int socket, int status, const char *body)
{
    tiny_http_say(socket, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", status, strlen(body));
    tiny_http_write(socket, body, strlen(body));
}

static int
number_after(const char *request, const char *key)
{
    const char *at = strstr(request, key);

    return at != NULL ? (int)strtol(at + strlen(key), NULL, 10) : 0;
}

static void
send_page(const struct script *s, int socket, int page)
{
    const int first = (page - 1) * 500, last = s->queues < page * 500 ? s->queues : page * 500;
    char *body = malloc(600000), *at = body;

    at += sprintf(at, "{\"filtered_count\":%d,\"items\":[", s->queues);
    for (int i = first; i < last && !(s->hide_last && i == s->queues - 1); i++)
        at += sprintf(at, "%s{\"name\":\"push_%05d\",\"vhost\":\"/\",\"state\":\"running\",\"message_bytes\":%d,"
                          "\"messages_ready\":1,\"messages_unacknowledged\":0,\"reductions\":1,\"consumers\":1,"
                          "\"arguments\":{},\"effective_policy_definition\":{}}",
                      i > first ? "," : "", i, i * 10);
    sprintf(at, "],\"page\":%d,\"page_count\":%d}", page, (s->queues + 499) / 500);
    send_body(socket, 200, body);
    free(body);
}

static void
send_well(const struct script *s, const char *request, int socket)
{
    if (strncmp(request, "GET /api/nodes", 14) == 0)
        send_body(socket, 200, s->nodes);
    else if (strncmp(request, "GET /api/health", 15) == 0)
        send_body(socket, s->alarms_status, s->alarms);
    else if (strncmp(request, "GET /api/overview", 17) == 0)
        send_body(socket, 200, s->overview);
    else if (strncmp(request, "GET /api/consumers", 18) == 0)
        send_body(socket, 200, s->consumers);
    else if (strncmp(request, "GET /metrics/detailed", 21) == 0)
        send_body(socket, s->status, s->detailed);
    else if (strncmp(request, "GET /metrics", 12) == 0)
        send_body(socket, 200, s->metrics);
    else if (strstr(request, "?page=") != NULL)
        send_page(s, socket, number_after(request, "?page="));
    else
        send_body(socket, s->status, s->queue);
}

/* Until the client is gone. */
static void
hang(int socket, const char *drip)
{
    char byte;

    for (;;) {
        if (drip != NULL && tiny_http_write(socket, drip, strlen(drip)) != 0)
            return;
        struct timeval tick = {.tv_sec = 0, .tv_usec = 20000};
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick));
        if (recv(socket, &byte, 1, 0) == 0)
            return;
    }
}

static void
flood(int socket)
{
    static char megabyte[1 << 20];

    memset(megabyte, ' ', sizeof(megabyte));
    tiny_http_say(socket, "HTTP/1.1 200 OK\r\n\r\n");
    for (int i = 0; i < 500 && tiny_http_write(socket, megabyte, sizeof(megabyte)) == 0; i++)
        ;
}

static void
answer(void *ctx, const char *request, int socket)
{
    struct server *server = ctx;
    const int n = atomic_fetch_add(&server->requests, 1);

    if (strstr(request, "Authorization: Basic Z3Vlc3Q6c2VjcmV0LXdvcmQ=\r\n") == NULL)
        atomic_fetch_add(&server->unauthorised, 1);
    pthread_mutex_lock(&server->lock);
    const struct script s = server->script;
    if (n < SEEN_MAX)
        snprintf(server->seen[n], sizeof(server->seen[n]), "%.*s", (int)strcspn(request, "\r"), request);
    pthread_mutex_unlock(&server->lock);
    switch (s.play) {
    case PLAY_WELL:
        if (s.raw != NULL)
            tiny_http_write(socket, s.raw, strlen(s.raw));
        else
            send_well(&s, request, socket);
        break;
    case PLAY_DEAD: hang(socket, NULL); break;
    case PLAY_DRIP:
        tiny_http_say(socket, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        hang(socket, " ");
        break;
    case PLAY_HEADERS:
        tiny_http_say(socket, "HTTP/1.1 200 OK\r\n");
        hang(socket, "X-More: and more\r\n");
        break;
    case PLAY_FLOOD: flood(socket); break;
    case PLAY_CUT:
        tiny_http_say(socket, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[{\"name\":");
        break;
    }
}

/* --- A world: the server, telemetry, and what it posted ----------------------------------------------------------- */

struct world {
    struct script            script; /* for play */
    struct server            server;
    struct telemetry_config  config;
    const char              *urls[2];
    char                     url[64];
    struct mailbox          *events;
    struct log              *log;
    int                      log_fd;
    struct telemetry        *t;
    struct telemetry_event   queue, broker; /* the last ones */
    unsigned                 up, down, queues, brokers, restarts; /* how many */
    uint64_t                 sum;           /* of bytes in the last round */
    unsigned                 gone, unknown;
    char                     text[256];     /* of the last UP or DOWN */
};

static int
open_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    w->script.status = w->script.alarms_status = 200;
    w->script.queue = good_queue;
    w->script.nodes = good_nodes;
    w->script.alarms = "{\"status\":\"ok\"}";
    w->script.consumers = "[]";
    w->script.overview = "{\"rabbitmq_version\":\"3.10.8\",\"rates_mode\":\"basic\",\"disable_stats\":false}";
    w->script.detailed = w->script.metrics = "";
    pthread_mutex_init(&w->server.lock, NULL);
    tiny_http_start(&w->server.http, answer, &w->server);
    snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d", w->server.http.port);
    w->urls[0] = w->url;
    w->config = (struct telemetry_config){.source = TELEMETRY_MANAGEMENT,
                                          .urls = w->urls,
                                          .n_urls = 1,
                                          .user = "guest",
                                          .password = "secret-word",
                                          .poll_us = 20000000,
                                          .connect_us = 2000000,
                                          .total_us = 10000000,
                                          .retry_max_us = 30000000,
                                          .body_max = 16 << 20,
                                          .seed = 1};
    w->events = mailbox_new(sizeof(struct telemetry_event), NULL);
    w->log_fd = memfd_create("log", MFD_CLOEXEC);
    w->log = log_new(w->log_fd, LOG_KEYVALUE, LOG_DEBUG, NULL);
    *state = w;
    return 0;
}

static void
take(struct world *w)
{
    void *taken;
    const size_t n = mailbox_take(w->events, &taken);
    const struct telemetry_event *e = taken;

    for (size_t i = 0; i < n; i++) {
        if (e[i].kind == TELEMETRY_UP || e[i].kind == TELEMETRY_DOWN) {
            *(e[i].kind == TELEMETRY_UP ? &w->up : &w->down) += 1;
            snprintf(w->text, sizeof(w->text), "%s", e[i].text);
            free(e[i].text);
        }
        if (e[i].kind == TELEMETRY_BROKER) {
            w->brokers++;
            w->broker = e[i];
            w->restarts += e[i].broker.restarted;
            w->sum = w->gone = w->unknown = 0;
        }
        if (e[i].kind == TELEMETRY_QUEUE) {
            w->queues++;
            w->queue = e[i];
            w->sum += e[i].queue.bytes;
            w->gone += e[i].queue.gone;
            w->unknown += (e[i].queue.known & TELEMETRY_BYTES) == 0;
        }
    }
}

static int
close_world(void **state)
{
    struct world *w = *state;

    telemetry_free(w->t);
    take(w);
    tiny_http_stop(&w->server.http);
    pthread_mutex_destroy(&w->server.lock);
    mailbox_free(w->events);
    log_free(w->log);
    close(w->log_fd);
    free(w);
    return 0;
}

static void
pause_ms(long ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

/* Take what comes until the counter reaches n. */
static void
await(struct world *w, const unsigned *counter, unsigned n)
{
    const int64_t until = clock_mono_us() + WAIT_US;

    for (take(w); *counter < n && clock_mono_us() < until; take(w))
        pause_ms(1);
    assert_true(*counter >= n);
}

static unsigned
lines(const struct world *w, const char *text)
{
    char buf[8192];
    const ssize_t n = pread(w->log_fd, buf, sizeof(buf) - 1, 0);
    unsigned found = 0;

    buf[n > 0 ? n : 0] = '\0';
    for (const char *at = buf; (at = strstr(at, text)) != NULL; at++)
        found++;
    return found;
}

/* From now on the server follows the script as it is. */
static void
play(struct world *w)
{
    pthread_mutex_lock(&w->server.lock);
    w->server.script = w->script;
    pthread_mutex_unlock(&w->server.lock);
}

static void
poll_now(struct world *w)
{
    play(w);
    telemetry_poll_now(w->t);
}

/* Was there a request whose line holds this? */
static bool
asked_for(struct world *w, const char *text)
{
    bool found = false;

    pthread_mutex_lock(&w->server.lock);
    for (int i = 0; i < SEEN_MAX; i++)
        found = found || strstr(w->server.seen[i], text) != NULL;
    pthread_mutex_unlock(&w->server.lock);
    return found;
}

static void
start(struct world *w)
{
    const struct telemetry_target q = {.queue = 42, .vhost = "/", .name = "q"};
    struct err err = {.text = ""};

    play(w);
    w->t = telemetry_start(&w->config, w->events, w->log, &err);
    if (w->t == NULL)
        fail_msg("%s", err.text);
    assert_int_equal(telemetry_set_queues(w->t, &q, 1, &err), 0);
}

/* One round with this answer for the queue; its figures are in w->queue. */
static const struct telemetry_queue *
ask(struct world *w, const char *body)
{
    w->script.queue = body;
    if (w->t == NULL)
        start(w);
    else
        poll_now(w);
    await(w, &w->queues, w->queues + 1);
    return &w->queue.queue;
}

/* --- What is taken ------------------------------------------------------------------------------------------------ */

static void
a_queue_has_all_its_figures(void **state)
{
    struct world *w = *state;
    const int64_t before = clock_mono_us();
    const struct telemetry_queue *q = ask(w, good_queue);

    assert_int_equal(q->known, ALL_KNOWN);
    assert_int_equal(q->queue, 42);
    assert_int_equal(q->bytes, 1234);
    assert_int_equal(q->ready, 5);
    assert_int_equal(q->unacked, 2);
    assert_int_equal(q->work, 7001);
    assert_int_equal(q->consumers, 1);
    assert_int_equal(q->prefetch, 7);
    assert_true(q->prefetch_finite);
    assert_false(q->gone || q->priority || q->ttl || q->drop_head);
    assert_true(before <= w->queue.asked_us && w->queue.asked_us < w->queue.answered_us);
    assert_int_equal(w->up, 1);
    assert_string_equal(strchr(w->text, ' '), w->text + 8);
    assert_memory_equal(w->text, "RabbitMQ 3.10.8 at http://", 26);
    assert_int_equal(atomic_load(&w->server.unauthorised), 0);
}

static void
the_time_is_that_of_the_question(void **state)
{
    struct world *w = *state;
    struct telemetry_event first;

    ask(w, good_queue);
    first = w->queue;
    const int64_t asked_after = clock_mono_us();
    ask(w, good_queue);
    assert_true(w->queue.asked_us >= asked_after);
    assert_true(first.answered_us < w->queue.asked_us);
}

static void
the_broker_has_all_its_figures(void **state)
{
    struct world *w = *state;

    ask(w, good_queue);
    const struct telemetry_broker *b = &w->broker.broker;
    assert_int_equal(b->known, 31);
    assert_int_equal(b->memory_used, 10);
    assert_int_equal(b->memory_limit, 100);
    assert_int_equal(b->disk_free, 900);
    assert_int_equal(b->disk_limit, 50);
    assert_int_equal(b->uptime_us, 60000000);
    assert_int_equal(b->nodes, 1);
    assert_int_equal(b->running, 1);
    assert_false(b->memory_alarm || b->disk_alarm || b->restarted);
}

static void
of_several_nodes_the_worst_counts(void **state)
{
    struct world *w = *state;

    w->script.nodes = "[{\"name\":\"a\",\"running\":true,\"mem_used\":90,\"mem_limit\":100,\"disk_free\":900,"
                      "\"disk_free_limit\":50,\"uptime\":60000},"
                      "{\"name\":\"b\",\"running\":false},"
                      "{\"name\":\"c\",\"running\":true,\"mem_used\":10,\"mem_limit\":100,\"disk_free\":60,"
                      "\"disk_free_limit\":50,\"uptime\":1000}]";
    ask(w, good_queue);
    const struct telemetry_broker *b = &w->broker.broker;
    assert_int_equal(b->memory_used, 90);
    assert_int_equal(b->disk_free, 60);
    assert_int_equal(b->uptime_us, 1000000);
    assert_int_equal(b->nodes, 3);
    assert_int_equal(b->running, 2);
}

static void
the_health_check_goes_before_the_flags_of_nodes(void **state)
{
    struct world *w = *state;

    w->script.nodes = "[{\"name\":\"a\",\"running\":true,\"mem_alarm\":true,\"disk_free_alarm\":false}]";
    ask(w, good_queue);
    assert_true((w->broker.broker.known & TELEMETRY_ALARMS) != 0);
    assert_false(w->broker.broker.memory_alarm);

    w->script.alarms_status = 503;
    w->script.alarms = "{\"status\":\"failed\",\"reason\":\"x\",\"alarms\":[{\"node\":\"a\",\"resource\":\"disk\"}]}";
    ask(w, good_queue);
    assert_false(w->broker.broker.memory_alarm);
    assert_true(w->broker.broker.disk_alarm);

    w->script.alarms_status = 500;
    ask(w, good_queue);
    assert_true(w->broker.broker.memory_alarm);

    w->script.nodes = "[{\"name\":\"a\",\"running\":true}]";
    ask(w, good_queue);
    assert_int_equal(w->broker.broker.known & TELEMETRY_ALARMS, 0);
}

static void
a_node_that_began_anew_is_told_once(void **state)
{
    struct world *w = *state;

    ask(w, good_queue);
    w->script.nodes = "[{\"name\":\"rabbit@a\",\"running\":true,\"uptime\":3000,\"os_pid\":\"17\"}]";
    ask(w, good_queue);
    assert_int_equal(w->restarts, 1);
    ask(w, good_queue);
    assert_int_equal(w->restarts, 1);
    w->script.nodes = "[{\"name\":\"rabbit@a\",\"running\":true,\"uptime\":4000,\"os_pid\":\"18\"}]";
    ask(w, good_queue);
    assert_int_equal(w->restarts, 2);
}

static void
a_restart_is_told_by_the_next_round_that_is_whole(void **state)
{
    struct world *w = *state;

    ask(w, good_queue);
    w->script.nodes = "[{\"name\":\"rabbit@a\",\"running\":true,\"uptime\":3000,\"os_pid\":\"18\"}]";
    w->script.status = 500;
    poll_now(w);
    await(w, &w->down, 1);
    w->script.status = 200;
    ask(w, good_queue);
    assert_int_equal(w->restarts, 1);
}

static void
an_uptime_that_reaches_less_far_back_is_a_restart(void **state)
{
    struct lives l = {.n = 0};

    (void)state;
    assert_false(lives_seen(&l, "a", "", 3000000, 100000000));
    assert_false(lives_seen(&l, "a", "", 8000000, 110000000)); /* 5 s old when it was read */
    assert_false(lives_seen(&l, "a", "", 23000000, 120000000));
    assert_true(lives_seen(&l, "a", "", 50000000, 180000000)); /* longer than it was, and shorter than it should be */
    assert_false(lives_seen(&l, "b", "", 1000000, 180000000));
    assert_true(lives_seen(&l, "b", "", 999999, 180000001));
}

static void
what_leaves_out_of_order_is_known_by_arguments_and_policy(void **state)
{
    static const struct {
        const char *arguments, *policy;
        bool        priority, ttl, drop_head;
    } rows[] = {
        {"{\"x-max-priority\":3}", "{}", true, false, false},
        {"{\"x-message-ttl\":1}", "{}", false, true, false},
        {"{}", "{\"message-ttl\":1}", false, true, false},
        {"{\"x-max-length\":1}", "{}", false, false, true},
        {"{}", "{\"max-length-bytes\":1,\"overflow\":\"drop-head\"}", false, false, true},
        {"{}", "{\"max-length-bytes\":1,\"overflow\":\"reject-publish\"}", false, false, false},
        {"{\"x-max-length\":1,\"x-overflow\":\"reject-publish\"}", "{\"overflow\":\"drop-head\"}", false, false, true},
        {"{\"x-max-length\":1,\"x-overflow\":\"reject-publish-dlx\"}", "[]", false, false, false},
        {"{\"x-queue-type\":\"quorum\"}", "{\"ha-mode\":\"all\"}", false, false, false},
    };
    struct figures_queue f;
    char body[512];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(body, sizeof(body),
                 "{\"name\":\"q\",\"vhost\":\"/\",\"arguments\":%s,\"effective_policy_definition\":%s}",
                 rows[i].arguments, rows[i].policy);
        assert_int_equal(figures_queue(body, strlen(body), &f, NULL), 0);
        assert_int_equal(f.q.known, TELEMETRY_SHAPE);
        assert_int_equal(f.q.priority, rows[i].priority);
        assert_int_equal(f.q.ttl, rows[i].ttl);
        assert_int_equal(f.q.drop_head, rows[i].drop_head);
    }
}

static void
prefetch_is_summed_and_one_without_a_limit_makes_it_unbounded(void **state)
{
    static const struct {
        const char *consumers;
        unsigned    known;
        uint64_t    sum;
        bool        finite;
    } rows[] = {
        {"[]", TELEMETRY_PREFETCH, 0, true},
        {"[{\"prefetch_count\":3,\"ack_required\":true},{\"prefetch_count\":4,\"ack_required\":true}]",
         TELEMETRY_PREFETCH, 7, true},
        {"[{\"prefetch_count\":0,\"ack_required\":true},{\"prefetch_count\":4,\"ack_required\":true}]",
         TELEMETRY_PREFETCH, 4, false},
        {"[{\"prefetch_count\":0,\"ack_required\":false}]", TELEMETRY_PREFETCH, 0, true},
        {"[{\"ack_required\":true}]", 0, 0, false},
        {"[{\"prefetch_count\":-1,\"ack_required\":true}]", 0, 0, false},
        {"[{\"prefetch_count\":\"9\",\"ack_required\":true}]", 0, 0, false},
        {"[{\"prefetch_count\":9}]", 0, 0, false},
        {"{}", 0, 0, false},
    };
    struct figures_queue f;
    char body[512];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(body, sizeof(body), "{\"name\":\"q\",\"vhost\":\"/\",\"consumer_details\":%s}", rows[i].consumers);
        assert_int_equal(figures_queue(body, strlen(body), &f, NULL), 0);
        assert_int_equal(f.q.known, rows[i].known);
        assert_int_equal(f.q.prefetch, rows[i].sum);
        assert_int_equal(f.q.prefetch_finite, rows[i].finite);
    }
}

/* --- What stays unknown ------------------------------------------------------------------------------------------- */

static void
a_figure_that_is_no_number_is_unknown_and_not_zero(void **state)
{
    static const char *const values[] = {"-1",   "\"12\"", "null",  "true", "1.5", "1e308",
                                         "1e3",  "[]",     "{}",    "\"\"", "-0.0"};
    struct figures_queue f;
    char body[256];

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        snprintf(body, sizeof(body), "{\"name\":\"q\",\"vhost\":\"/\",\"message_bytes\":%s,\"messages_ready\":3}",
                 values[i]);
        assert_int_equal(figures_queue(body, strlen(body), &f, NULL), 0);
        assert_int_equal(f.q.known, TELEMETRY_READY);
    }
}

static void
an_answer_that_is_no_strict_json_is_of_no_use(void **state)
{
    static const char *const bodies[] = {
        "{\"name\":\"q\",\"vhost\":\"/\",\"message_bytes\":NaN}",
        "{\"name\":\"q\",\"vhost\":\"/\",\"message_bytes\":Infinity}",
        "{\"name\":\"q\",\"vhost\":\"/\",\"message_bytes\":99999999999999999999999}",
        "{\"name\":\"q\",\"vhost\":\"/\",\"message_bytes\":1,\"message_bytes\":2}",
        "{\"name\":\"q\",\"vhost\":\"/\",\"message_bytes\":01}",
        "{\"name\":\"q\",\"vhost\":\"/\",'message_bytes':1}",
        "{\"name\":\"q\",\"vhost\":\"/\",\"message_bytes\":1,}",
        "{\"name\":\"\xff\xfe\",\"vhost\":\"/\"}",
        "{\"name\":\"q\\u0000\",\"vhost\":\"/\"}",
        "{\"name\":7,\"vhost\":\"/\"}",
        "{\"vhost\":\"/\"}",
        "{}",
        ""};
    struct figures_queue f;

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        assert_int_equal(figures_queue(bodies[i], strlen(bodies[i]), &f, NULL), -1);
}

static void
missing_figures_are_unknown(void **state)
{
    struct world *w = *state;

    assert_int_equal(ask(w, "{\"name\":\"q\",\"vhost\":\"/\"}")->known, 0);
    assert_false(w->queue.queue.gone);
    assert_int_equal(w->down, 0); /* it was answered, as RabbitMQ does after a restart */
}

static void
a_queue_that_is_down_has_no_figures(void **state)
{
    struct world *w = *state;
    const char *const states[] = {"down", "crashed", "stopped", "minority", "\\u0000", ""};
    char body[256];

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        snprintf(body, sizeof(body),
                 "{\"name\":\"q\",\"vhost\":\"/\",\"state\":\"%s\",\"message_bytes\":0,\"consumers\":0}", states[i]);
        struct figures_queue f;
        if (figures_queue(body, strlen(body), &f, NULL) == 0)
            assert_int_equal(f.q.known, 0);
    }
    assert_int_equal(ask(w, "{\"name\":\"q\",\"vhost\":\"/\",\"state\":\"down\",\"message_bytes\":0}")->known, 0);
}

static void
an_answer_about_another_queue_is_not_taken(void **state)
{
    struct world *w = *state;

    ask(w, good_queue);
    w->script.queue = "{\"name\":\"other\",\"vhost\":\"/\",\"state\":\"running\",\"message_bytes\":1}";
    poll_now(w);
    await(w, &w->down, 1);
    assert_non_null(strstr(w->text, "about another"));
}

static void
gone_is_said_only_by_the_broker(void **state)
{
    struct world *w = *state;

    w->script.status = 404;
    ask(w, "{\"error\":\"Object Not Found\",\"reason\":\"Not Found\"}");
    assert_true(w->queue.queue.gone);
    assert_int_equal(w->queue.queue.known, 0);
    assert_int_equal(w->up, 1);

    w->script.queue = "<html>not found</html>";
    poll_now(w);
    await(w, &w->down, 1);
    assert_non_null(strstr(w->text, "404"));
}

/* --- Faults: one line for each change, and figures again afterwards ----------------------------------------------- */

/* A round that fails for this reason, then one that does not. */
static void
falls_and_recovers(struct world *w, const char *why)
{
    if (w->t == NULL)
        start(w);
    else
        poll_now(w);
    await(w, &w->down, 1);
    if (strstr(w->text, why) == NULL)
        fail_msg("'%s' does not say '%s'", w->text, why);
    const int requests = atomic_load(&w->server.requests);
    const int64_t until = clock_mono_us() + WAIT_US;
    while (w->server.http.port != 0 && atomic_load(&w->server.requests) == requests && clock_mono_us() < until) {
        poll_now(w); /* it fails again, and says nothing */
        pause_ms(20);
        take(w);
    }
    w->script.play = PLAY_WELL;
    w->script.raw = NULL;
    w->script.status = 200;
    w->script.queue = good_queue;
    const int64_t last = clock_mono_us() + WAIT_US;
    for (take(w); w->queues == 0 && clock_mono_us() < last; take(w)) {
        poll_now(w);
        pause_ms(20);
    }
    assert_int_equal(w->queue.queue.known, ALL_KNOWN);
    assert_int_equal(w->down, 1);
    assert_int_equal(w->up, 1);
    assert_int_equal(lines(w, "telemetry_down"), 1);
    assert_int_equal(lines(w, "telemetry_up"), 1);
    assert_int_equal(lines(w, "secret-word"), 0);
    assert_int_equal(lines(w, "Z3Vlc3Q6"), 0);
}

static void
statuses_are_told_apart(void **state)
{
    struct world *w = *state;

    w->script.status = 500;
    w->script.queue = "{\"error\":\"secret-word\"}"; /* what it echoes is not shown */
    falls_and_recovers(w, "status 500");
}

static void
a_wrong_password_is_said_once(void **state)
{
    struct world *w = *state;

    w->script.raw = "HTTP/1.1 401 X\r\nContent-Length: 11\r\n\r\nZ3Vlc3Q6abc";
    falls_and_recovers(w, "status 401: check the user");
}

static void
a_refusal_names_what_to_check(void **state)
{
    struct world *w = *state;

    w->script.raw = "HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n";
    falls_and_recovers(w, "status 403: check the user");
}

static void
a_redirect_is_not_followed(void **state)
{
    struct world *w = *state;
    char raw[200];

    snprintf(raw, sizeof(raw), "HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:%d/elsewhere\r\nContent-Length: 0\r\n\r\n",
             w->server.http.port);
    w->script.raw = raw;
    falls_and_recovers(w, "status 302: it redirects");
    assert_true(asked_for(w, "/api/nodes"));
    assert_false(asked_for(w, "elsewhere"));
}

static void
garbage_is_refused(void **state)
{
    struct world *w = *state;

    w->script.raw = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n<html>welcome</html>";
    falls_and_recovers(w, "not what was asked for");
}

static void
what_is_no_http_is_refused(void **state)
{
    struct world *w = *state;

    w->script.raw = "AMQP\x01\x01";
    falls_and_recovers(w, "HTTP/0.9");
}

static void
a_body_that_ends_early_is_refused(void **state)
{
    struct world *w = *state;

    w->script.play = PLAY_CUT;
    falls_and_recovers(w, "transfer closed");
}

static void
json_that_ends_early_is_refused(void **state)
{
    struct world *w = *state;

    w->script.raw = "HTTP/1.1 200 OK\r\n\r\n{\"name\":\"q\",\"vhost\":\"/\"";
    falls_and_recovers(w, "ends before its JSON does");
}

static void
a_server_that_says_nothing_is_given_up(void **state)
{
    struct world *w = *state;

    w->config.total_us = 200000;
    w->script.play = PLAY_DEAD;
    falls_and_recovers(w, "imed out");
}

static void
a_byte_now_and_then_does_not_keep_it_waiting(void **state)
{
    struct world *w = *state;

    w->config.total_us = 300000;
    w->script.play = PLAY_DRIP;
    falls_and_recovers(w, "imed out");
}

static void
headers_without_end_do_not_keep_it_waiting(void **state)
{
    struct world *w = *state;

    w->config.total_us = 300000;
    w->script.play = PLAY_HEADERS;
    falls_and_recovers(w, "imed out");
}

static void
a_body_of_500_mb_is_cut_at_its_cap(void **state)
{
    struct world *w = *state;
    struct rusage before, after;

    getrusage(RUSAGE_SELF, &before);
    w->script.play = PLAY_FLOOD;
    falls_and_recovers(w, "larger than 16777216 bytes");
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 16384); /* KiB */
}

static void
a_length_beyond_the_cap_is_refused_unread(void **state)
{
    struct world *w = *state;

    w->script.raw = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n[";
    falls_and_recovers(w, "larger than");
}

static void
nobody_there_is_said_and_so_is_the_recovery(void **state)
{
    struct world *w = *state;
    char nowhere[64];

    /* A port that was ours and is closed. */
    struct tiny_http other;
    tiny_http_start(&other, answer, &w->server);
    snprintf(nowhere, sizeof(nowhere), "http://127.0.0.1:%d", other.port);
    tiny_http_stop(&other);
    w->urls[0] = nowhere;
    w->config.poll_us = 1000; /* so that the next try is soon */
    start(w);
    await(w, &w->down, 1);
    assert_non_null(strstr(w->text, "onnect"));
    assert_int_equal(lines(w, "telemetry_down"), 1);
}

static void
the_next_server_is_asked_where_one_does_not_answer(void **state)
{
    struct world *w = *state;
    char nowhere[64];
    struct tiny_http other;

    tiny_http_start(&other, answer, &w->server);
    snprintf(nowhere, sizeof(nowhere), "http://127.0.0.1:%d", other.port);
    tiny_http_stop(&other);
    w->urls[0] = nowhere;
    w->urls[1] = w->url;
    w->config.n_urls = 2;
    assert_int_equal(ask(w, good_queue)->known, ALL_KNOWN);
    assert_int_equal(w->down, 0);
    assert_non_null(strstr(w->text, w->url));
}

static void
parts_that_fail_are_said_and_the_rest_is_taken(void **state)
{
    struct world *w = *state;

    w->script.nodes = "{\"error\":\"not_authorised\"}";
    assert_int_equal(ask(w, good_queue)->known, ALL_KNOWN);
    assert_int_equal(w->broker.broker.known, TELEMETRY_ALARMS);
    ask(w, good_queue);
    assert_int_equal(lines(w, "telemetry_incomplete what=nodes"), 1);
    w->script.nodes = good_nodes;
    ask(w, good_queue);
    ask(w, good_queue);
    assert_int_equal(lines(w, "telemetry_complete what=nodes"), 1);
    assert_int_equal(w->broker.broker.known, 31);
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

static void
names_are_quoted_byte_by_byte(void **state)
{
    static const struct {
        const char *name, *quoted;
    } rows[] = {{"/", "%2F"},
                {"push_1-a~b.c", "push_1-a~b.c"},
                {"a b+c&d=e?f#g%h", "a%20b%2Bc%26d%3De%3Ff%23g%25h"},
                {"\xc3\xa9\xff\x01", "%C3%A9%FF%01"},
                {"..", "%2E%2E"},
                {".", "%2E"},
                {"..a", "..a"},
                {"\"\r\n\\;:@[]", "%22%0D%0A%5C%3B%3A%40%5B%5D"}};
    char url[64];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        strcpy(url, "x/");
        assert_int_equal(http_quote(url, sizeof(url), rows[i].name), 0);
        assert_string_equal(url + 2, rows[i].quoted);
    }
    for (size_t cap = 3; cap < 12; cap++) {
        strcpy(url, "x/");
        assert_int_equal(http_quote(url, cap, "////"), -1);
        assert_true(strlen(url) < cap);
    }
}

static void
odd_names_are_asked_for_as_they_are(void **state)
{
    struct world *w = *state;
    const struct telemetry_target q = {.queue = 1, .vhost = "a/b c", .name = "..%2f?\r\nX: y"};

    w->script.queue = "{\"name\":\"..%2f?\\r\\nX: y\",\"vhost\":\"a/b c\",\"state\":\"running\",\"message_bytes\":9}";
    play(w);
    w->t = telemetry_start(&w->config, w->events, w->log, NULL);
    assert_non_null(w->t);
    assert_int_equal(telemetry_set_queues(w->t, &q, 1, NULL), 0);
    await(w, &w->queues, 1);
    assert_int_equal(w->queue.queue.bytes, 9);
    assert_true(asked_for(w, "GET /api/queues/a%2Fb%20c/..%252f%3F%0D%0AX%3A%20y?columns="));
}

static void
a_url_that_shows_a_password_or_is_none_is_refused(void **state)
{
    static const char *const bad[] = {"http://user:secret@host", "ftp://host", "host:15672", "http://", "http:///api",
                                      "http://host/?x=1", "http://host/#x", "http://ho st", "", "file:///etc/passwd",
                                      "http://h\xc3\xa9"};
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(http_check(bad[i], &err), -1);
        assert_int_equal(err.code, ERR_CONFIG);
        assert_null(strstr(err.text, "secret"));
    }
    assert_int_equal(http_check("https://host:15671/rabbit/", &err), 0);
}

static void
a_list_of_queues_that_cannot_be_is_refused_and_changes_nothing(void **state)
{
    struct world *w = *state;
    const struct telemetry_target twice[] = {{1, "/", "a"}, {2, "/", "a"}}, empty = {1, "/", ""};
    char name[300];
    struct telemetry_target longer = {1, "/", name};
    struct err err;

    memset(name, 'a', 256);
    name[256] = '\0';
    ask(w, good_queue);
    assert_int_equal(telemetry_set_queues(w->t, twice, 2, &err), -1);
    assert_int_equal(err.code, ERR_CONFIG);
    assert_int_equal(telemetry_set_queues(w->t, &empty, 1, &err), -1);
    assert_int_equal(telemetry_set_queues(w->t, &longer, 1, &err), -1);
    assert_int_equal(ask(w, good_queue)->queue, 42);
}

static void
a_file_that_is_not_there_is_told_at_the_start(void **state)
{
    struct world *w = *state;
    struct err err;

    w->config.ca_file = "/nowhere/ca.pem";
    assert_null(telemetry_start(&w->config, w->events, w->log, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "/nowhere/ca.pem"));
}

/* --- Many queues -------------------------------------------------------------------------------------------------- */

static void
set_many(struct world *w, int n)
{
    struct telemetry_target *targets = calloc((size_t)n, sizeof(*targets));
    char(*names)[24] = calloc((size_t)n, sizeof(*names));

    for (int i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "push_%05d", i);
        targets[i] = (struct telemetry_target){(uint32_t)i, "/", names[i]};
    }
    play(w);
    if (w->t == NULL)
        w->t = telemetry_start(&w->config, w->events, w->log, NULL);
    assert_non_null(w->t);
    assert_int_equal(telemetry_set_queues(w->t, targets, (size_t)n, NULL), 0);
    free(names);
    free(targets);
}

static void
many_queues_come_in_pages_with_their_consumers(void **state)
{
    struct world *w = *state;

    w->script.queues = 1201;
#define CONSUMER(n, q) "{\"prefetch_count\":" n ",\"ack_required\":true,\"queue\":{\"name\":\"" q "\",\"vhost\":\"/\"}}"
    w->script.consumers =
        "[" CONSUMER("5", "push_01200") "," CONSUMER("6", "push_01200") "," CONSUMER("0", "other") "]";
    set_many(w, 1201);
    await(w, &w->queues, 1201);
    assert_int_equal(w->sum, 7206000);
    assert_int_equal(w->unknown, 0);
    assert_int_equal(w->queue.queue.known, ALL_KNOWN);
    assert_int_equal(w->queue.queue.prefetch, 11);
    assert_true(w->queue.queue.prefetch_finite);
    /* Two of the broker, three pages, consumers, hello. */
    assert_int_equal(atomic_load(&w->server.requests), 2 + 3 + 1 + 1);
}

static void
a_consumer_that_cannot_be_read_makes_all_prefetch_unknown(void **state)
{
    struct world *w = *state;

    w->script.queues = 101;
    w->script.consumers = "[{\"prefetch_count\":5,\"ack_required\":true}]";
    set_many(w, 101);
    await(w, &w->queues, 101);
    assert_int_equal(w->queue.queue.known, ALL_KNOWN & ~TELEMETRY_PREFETCH);
    assert_false(w->queue.queue.prefetch_finite);
    assert_int_equal(lines(w, "telemetry_incomplete what=consumers"), 1);
}

static void
one_that_is_in_no_page_is_asked_for_by_name(void **state)
{
    struct world *w = *state;

    w->script.queues = 501;
    w->script.hide_last = true;
    w->script.status = 404;
    w->script.queue = "{\"error\":\"Object Not Found\",\"reason\":\"Not Found\"}";
    set_many(w, 501);
    await(w, &w->queues, 501);
    assert_int_equal(w->gone, 1);
    assert_true(w->queue.queue.gone);
    assert_int_equal(w->unknown, 1);
}

/* --- Rows --------------------------------------------------------------------------------------------------------- */

struct cut {
    char   rows[16][64];
    size_t n, left_out;
    char   rest[256];
};

static int
on_row(void *ctx, const char *at, size_t len)
{
    struct cut *c = ctx;

    if (at == NULL) {
        c->left_out++;
        return 0;
    }
    if (c->n < 16 && len < 64)
        snprintf(c->rows[c->n], 64, "%.*s", (int)len, at);
    c->n++;
    return 0;
}

static int
on_rest(void *ctx, const char *at, size_t len)
{
    struct cut *c = ctx;

    snprintf(c->rest, sizeof(c->rest), "%.*s", (int)len, at);
    return 0;
}

/* In pieces of every size. */
static int
cut(enum rows_shape shape, const char *text, size_t len, size_t piece, struct cut *ret)
{
    static struct rows r;

    memset(ret, 0, sizeof(*ret));
    rows_begin(&r, shape, on_row, on_rest, ret);
    for (size_t at = 0; at < len; at += piece)
        if (rows_feed(&r, text + at, len - at < piece ? len - at : piece, NULL) != 0)
            return -1;
    return rows_end(&r, NULL);
}

static void
rows_are_cut_wherever_the_pieces_end(void **state)
{
    const char list[] = " [ {\"a\":\"]},{\\\"\"} , {\"b\":[{},[1]]},{} ] \n";
    const char page[] = "{\"x\":[1,{\"items\":[2]}],\"items\" : [{\"a\":1},{\"b\":2}],\"page\":3}";
    struct cut c;

    (void)state;
    for (size_t piece = 1; piece < sizeof(page); piece++) {
        assert_int_equal(cut(ROWS_LIST, list, sizeof(list) - 1, piece, &c), 0);
        assert_int_equal(c.n, 3);
        assert_string_equal(c.rows[0], "{\"a\":\"]},{\\\"\"}");
        assert_string_equal(c.rows[1], "{\"b\":[{},[1]]}");
        assert_string_equal(c.rows[2], "{}");
        assert_int_equal(cut(ROWS_PAGE, page, sizeof(page) - 1, piece, &c), 0);
        assert_int_equal(c.n, 2);
        assert_string_equal(c.rows[1], "{\"b\":2}");
        assert_string_equal(c.rest, "{\"x\":[1,{\"items\":[2]}],\"items\" : [],\"page\":3}");
        assert_int_equal(cut(ROWS_ONE, page, sizeof(page) - 1, piece, &c), 0);
        assert_int_equal(c.n, 1);
    }
}

static void
lists_that_are_not_whole_are_refused(void **state)
{
    static const char *const bad[] = {"", "{", "[", "[{}", "[{},", "[{},]", "[,]", "[{}{}]", "[1]", "[{}]]", "[{}] x",
                                      "{}", "[[{}]]", "null", "[{\"]}", "]", "[{]]", "[{\"a\":[}]}]", "[{\"a\":{]}]"};
    struct cut c;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(cut(ROWS_LIST, bad[i], strlen(bad[i]), 1, &c), -1);
    assert_int_equal(cut(ROWS_LIST, "[]", 2, 1, &c), 0);
}

static void
a_row_that_is_too_deep_or_too_large_is_left_out_alone(void **state)
{
    const size_t size = ROWS_MAX + 100000;
    char *text = malloc(3 * size), *at = text;
    struct cut c;

    (void)state;
    at += sprintf(at, "[{\"n\":1},{\"deep\":");
    memset(at, '[', 1000), at += 1000;
    memset(at, ']', 1000), at += 1000;
    at += sprintf(at, "},{\"n\":2},{\"long\":\"");
    memset(at, '[', size), at += size;
    at += sprintf(at, "\"},{\"n\":3}]");
    assert_int_equal(cut(ROWS_LIST, text, (size_t)(at - text), 1000, &c), 0);
    assert_int_equal(c.n, 3);
    assert_int_equal(c.left_out, 2);
    assert_string_equal(c.rows[2], "{\"n\":3}");
    free(text);
}

/* --- The source prometheus ---------------------------------------------------------------------------------------- */

#define Q(name, value) "rabbitmq_detailed_queue_" name "{vhost=\"/\",queue=\"q\"} " value "\n"

static void
prometheus(struct world *w, const char *detailed)
{
    w->config.source = TELEMETRY_PROMETHEUS;
    w->script.detailed = detailed;
    w->script.metrics = "# TYPE x gauge\nrabbitmq_alarms_free_disk_space_watermark 1\n"
                        "rabbitmq_alarms_memory_used_watermark 0\nother{a=\"b c\"} 1.5e3\n";
    if (w->t == NULL)
        start(w);
    else
        poll_now(w);
}

static void
the_text_of_prometheus_has_the_same_figures(void **state)
{
    struct world *w = *state;
    char text[1200];

    snprintf(text, sizeof(text), "%s%s%s%s%s%s%s%s%s%s", Q("messages_bytes", "15"), Q("messages_ready", "3"),
             Q("messages_unacked", "1"), Q("consumers", "2"), Q("process_reductions_total", "7001"),
             "rabbitmq_detailed_erlang_uptime_seconds 229.307\n",
             "rabbitmq_detailed_process_resident_memory_bytes 7\n", "rabbitmq_detailed_resident_memory_limit_bytes 8\n",
             "rabbitmq_detailed_disk_space_available_bytes 9\n",
             "# HELP x\nrabbitmq_detailed_disk_space_available_limit_bytes 10\n");
    prometheus(w, text);
    await(w, &w->queues, 1);
    const struct telemetry_queue *q = &w->queue.queue;
    assert_int_equal(q->known, TELEMETRY_BYTES | TELEMETRY_READY | TELEMETRY_UNACKED | TELEMETRY_CONSUMERS |
                                   TELEMETRY_WORK);
    assert_int_equal(q->bytes, 15);
    assert_int_equal(q->work, 7001);
    assert_int_equal(q->ready, 3);
    assert_int_equal(q->unacked, 1);
    assert_int_equal(q->consumers, 2);
    const struct telemetry_broker *b = &w->broker.broker;
    assert_int_equal(b->known, TELEMETRY_ALARMS | TELEMETRY_MEMORY | TELEMETRY_DISK | TELEMETRY_UPTIME);
    assert_true(b->disk_alarm && !b->memory_alarm);
    assert_int_equal(b->uptime_us, 229307000);
    assert_int_equal(b->memory_used, 7);
    assert_int_equal(b->disk_limit, 10);
    assert_true(asked_for(w, "&vhost=%2F"));
}

static void
in_prometheus_a_value_that_is_no_number_is_unknown(void **state)
{
    static const char *const values[] = {"NaN", "+Inf",  "-1",                    "1.5", "1e3",
                                         "x",   "1e308", "999999999999999999999", "0x1"};
    struct prom_sample s = {.name = "x"};
    uint64_t n;

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        s.value = values[i];
        s.value_len = strlen(values[i]);
        assert_false(prom_number(&s, &n));
    }
    s.value = "12345";
    s.value_len = 5;
    assert_true(prom_number(&s, &n));
    assert_int_equal(n, 12345);
}

static void
a_queue_cannot_imitate_another(void **state)
{
    struct world *w = *state;

    prometheus(w, "rabbitmq_detailed_queue_messages_bytes{vhost=\"/\",queue=\"q\"} 0\"} 15\n"
                  "rabbitmq_detailed_queue_messages_bytes{vhost=\"/\",queue=\"q\",queue=\"q\"} 16\n"
                  "rabbitmq_detailed_queue_messages_bytes{vhost=\"x/\",queue=\"q\"} 17\n"
                  "rabbitmq_detailed_erlang_uptime_seconds 1\n");
    await(w, &w->queues, 1);
    assert_int_equal(w->queue.queue.known, 0);
    assert_false(w->queue.queue.gone); /* another node may lead it */
    assert_int_equal(lines(w, "telemetry_incomplete what=queues"), 1);
}

static void
texts_that_are_not_whole_or_say_it_twice_are_refused(void **state)
{
    struct world *w = *state;

    prometheus(w, Q("messages_bytes", "15") Q("messages_bytes", "0"));
    await(w, &w->down, 1);
    assert_non_null(strstr(w->text, "twice"));
    prometheus(w, Q("messages_bytes", "15"));
    await(w, &w->queues, 1);
    prometheus(w, Q("messages_bytes", "15") "rabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"q\"} 1");
    await(w, &w->down, 2);
    assert_non_null(strstr(w->text, "within a line"));
}

static void
what_is_no_text_of_prometheus_is_refused(void **state)
{
    static const char *const bad[] = {"<html>\n", "a{b} 1 2\n", "a{b 1\n", "a}b 1\n", "{} 1\n", "a \n", "a\n", " 1\n",
                                      "a{} \n",
                                      "a{}1\n", "a{} 1"};
    static struct prom p;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        prom_begin(&p, (prom_fn *)(void *)abort, NULL);
        const int rc = prom_feed(&p, bad[i], strlen(bad[i]), NULL);
        assert_true(rc != 0 || prom_end(&p, NULL) != 0);
    }
}

/* --- The end, and what is not taken ------------------------------------------------------------------------------- */

static void
it_ends_at_once_while_a_server_hangs(void **state)
{
    struct world *w = *state;

    w->script.play = PLAY_DEAD;
    w->config.total_us = 60000000;
    start(w);
    const int64_t until = clock_mono_us() + WAIT_US;
    while (atomic_load(&w->server.requests) == 0 && clock_mono_us() < until)
        pause_ms(1);
    assert_int_equal(atomic_load(&w->server.requests), 1);
    const int64_t before = clock_mono_us();
    telemetry_free(w->t);
    w->t = NULL;
    assert_true(clock_mono_us() - before < 15000000); /* and not total_us */
    take(w);
    assert_int_equal(w->down, 0);
}

static void
nothing_more_is_asked_while_what_was_posted_is_not_taken(void **state)
{
    struct world *w = *state;

    w->config.poll_us = 1000;
    start(w);
    const int64_t until = clock_mono_us() + WAIT_US;
    while (atomic_load(&w->server.requests) < 3 && clock_mono_us() < until)
        pause_ms(1);
    pause_ms(700); /* three times the least distance of rounds */
    const int requests = atomic_load(&w->server.requests);
    assert_true(requests <= 4); /* one round, with a hello */
    await(w, &w->queues, 2);
    assert_true(atomic_load(&w->server.requests) > requests);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
    const struct CMUnitTest tests[] = {
        T(a_queue_has_all_its_figures),
        T(the_time_is_that_of_the_question),
        T(the_broker_has_all_its_figures),
        T(of_several_nodes_the_worst_counts),
        T(the_health_check_goes_before_the_flags_of_nodes),
        T(a_node_that_began_anew_is_told_once),
        T(a_restart_is_told_by_the_next_round_that_is_whole),
        cmocka_unit_test(an_uptime_that_reaches_less_far_back_is_a_restart),
        cmocka_unit_test(what_leaves_out_of_order_is_known_by_arguments_and_policy),
        cmocka_unit_test(prefetch_is_summed_and_one_without_a_limit_makes_it_unbounded),
        cmocka_unit_test(a_figure_that_is_no_number_is_unknown_and_not_zero),
        cmocka_unit_test(an_answer_that_is_no_strict_json_is_of_no_use),
        T(missing_figures_are_unknown),
        T(a_queue_that_is_down_has_no_figures),
        T(an_answer_about_another_queue_is_not_taken),
        T(gone_is_said_only_by_the_broker),
        T(statuses_are_told_apart),
        T(a_wrong_password_is_said_once),
        T(a_refusal_names_what_to_check),
        T(a_redirect_is_not_followed),
        T(garbage_is_refused),
        T(what_is_no_http_is_refused),
        T(a_body_that_ends_early_is_refused),
        T(json_that_ends_early_is_refused),
        T(a_server_that_says_nothing_is_given_up),
        T(a_byte_now_and_then_does_not_keep_it_waiting),
        T(headers_without_end_do_not_keep_it_waiting),
        T(a_body_of_500_mb_is_cut_at_its_cap),
        T(a_length_beyond_the_cap_is_refused_unread),
        T(nobody_there_is_said_and_so_is_the_recovery),
        T(the_next_server_is_asked_where_one_does_not_answer),
        T(parts_that_fail_are_said_and_the_rest_is_taken),
        cmocka_unit_test(names_are_quoted_byte_by_byte),
        T(odd_names_are_asked_for_as_they_are),
        cmocka_unit_test(a_url_that_shows_a_password_or_is_none_is_refused),
        T(a_list_of_queues_that_cannot_be_is_refused_and_changes_nothing),
        T(a_file_that_is_not_there_is_told_at_the_start),
        T(many_queues_come_in_pages_with_their_consumers),
        T(a_consumer_that_cannot_be_read_makes_all_prefetch_unknown),
        T(one_that_is_in_no_page_is_asked_for_by_name),
        cmocka_unit_test(rows_are_cut_wherever_the_pieces_end),
        cmocka_unit_test(lists_that_are_not_whole_are_refused),
        cmocka_unit_test(a_row_that_is_too_deep_or_too_large_is_left_out_alone),
        T(the_text_of_prometheus_has_the_same_figures),
        cmocka_unit_test(in_prometheus_a_value_that_is_no_number_is_unknown),
        T(a_queue_cannot_imitate_another),
        T(texts_that_are_not_whole_or_say_it_twice_are_refused),
        cmocka_unit_test(what_is_no_text_of_prometheus_is_refused),
        T(it_ends_at_once_while_a_server_hangs),
        T(nothing_more_is_asked_while_what_was_posted_is_not_taken),
    };

    return cmocka_run_group_tests_name("telemetry", tests, NULL, NULL);
}
