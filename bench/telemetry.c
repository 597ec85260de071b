/* telemetry.c - what does it cost to watch 5,000 queues?  At a poll of 5 s it should take at most 5 % of a core here,
 * and it is good to know what it takes there.
 *
 *     telemetry [--quick] [--queues N] [--url URL management|prometheus]
 *
 * Without a URL, a private RabbitMQ with N queues is started, and both sources are asked.  CPU here is that of the
 * telemetry thread alone, from the first byte of a round to its figures in the mailbox; CPU there is the broker's
 * process over the same rounds, with its own statistics (an idle share is measured before, and taken off). */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/telemetry.h"
#include "clock.h"
#include "err.h"
#include "mailbox.h"
#include "system/world.h"

enum { QUEUES = 5000, ROUNDS = 20, QUICK_ROUNDS = 5, IDLE_MS = 10000, ROUND_MS = 60000, POLL_US = 5000000 };

struct bench {
    struct world *world;
    size_t        queues, rounds;
    const char   *url;
    enum telemetry_source source;
    pid_t         broker;
    double        idle; /* of the broker: CPU us a us */
};

static int64_t
cpu_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* All threads but this one: that of telemetry. */
static int64_t
others_us(void)
{
    return cpu_us(CLOCK_PROCESS_CPUTIME_ID) - cpu_us(CLOCK_THREAD_CPUTIME_ID);
}

/* --- The broker --------------------------------------------------------------------------------------------------- */

static int
from_env(const struct bench *b, const char *name)
{
    char path[600], line[600];
    int n = 0;

    snprintf(path, sizeof(path), "%s/broker/env", world_dir(b->world));
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == '=')
            n = (int)strtol(line + strlen(name) + 2, NULL, 10); /* NAME='n' */
    if (f != NULL)
        fclose(f);
    return n;
}

static int
declare_all(int port, size_t n, struct err *err)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(c);
    char name[32];
    int rc = 0;

    if (socket == NULL || amqp_socket_open(socket, "127.0.0.1", port) != AMQP_STATUS_OK ||
        amqp_login(c, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type != AMQP_RESPONSE_NORMAL)
        rc = err_set(err, ERR_IO, 0, "the private broker takes no connection");
    else
        amqp_channel_open(c, 1);
    for (size_t i = 0; i < n && rc == 0; i++) {
        snprintf(name, sizeof(name), "push_%zu", i);
        amqp_queue_declare(c, 1, amqp_cstring_bytes(name), 0, 1, 0, 0, amqp_empty_table);
        amqp_basic_publish(c, 1, amqp_cstring_bytes(""), amqp_cstring_bytes(name), 0, 0, NULL,
                           amqp_cstring_bytes("hello"));
        amqp_basic_consume(c, 1, amqp_cstring_bytes(name), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
        const amqp_rpc_reply_t reply = amqp_get_rpc_reply(c);
        if (reply.reply_type != AMQP_RESPONSE_NORMAL)
            rc = err_set(err, ERR_IO, 0, "queue %s cannot be declared: %s", name,
                         reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION ? amqp_error_string2(reply.library_error)
                                                                             : "refused");
        amqp_maybe_release_buffers(c);
    }
    amqp_connection_close(c, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(c);
    return rc;
}

static int
start_broker(struct bench *b, struct err *err)
{
    char script[600], dir[600], out[4096] = "";

    b->world = world_open(err);
    if (b->world == NULL)
        return -1;
    snprintf(dir, sizeof(dir), "%s/broker", world_dir(b->world));
    const char *const argv[] = {world_source("tests/broker", script, sizeof(script)), "start", dir, "--management",
                                "--prometheus", NULL};
    if (world_run(argv, ROUND_MS, out, sizeof(out), err) != 0)
        return err_set(err, ERR_IO, 0, "no private broker: %.150s", out);
    b->broker = (pid_t)from_env(b, "PID");
    if (declare_all(from_env(b, "AMQP_PORT"), b->queues, err) != 0)
        return -1;
    world_sleep_ms(IDLE_MS); /* statistics of all of them */
    const int64_t cpu = world_cpu_us(b->broker), now = clock_mono_us();
    world_sleep_ms(IDLE_MS);
    b->idle = (double)(world_cpu_us(b->broker) - cpu) / (double)(clock_mono_us() - now);
    return 0;
}

/* --- Rounds ------------------------------------------------------------------------------------------------------- */

/* Take one round; returns how many queues had their bytes, or -1: the source does not answer. */
static long
take_round(struct mailbox *box, size_t queues)
{
    size_t seen = 0;
    long known = 0;

    while (seen < queues) {
        struct pollfd fd = {.fd = mailbox_fd(box), .events = POLLIN};
        void *taken;
        if (poll(&fd, 1, ROUND_MS) <= 0)
            return -1;
        const size_t n = mailbox_take(box, &taken);
        const struct telemetry_event *e = taken;
        for (size_t i = 0; i < n; i++) {
            if (e[i].kind == TELEMETRY_DOWN)
                fprintf(stderr, "%s\n", e[i].text);
            if (e[i].kind == TELEMETRY_DOWN)
                return -1;
            if (e[i].kind == TELEMETRY_UP)
                free(e[i].text);
            seen += e[i].kind == TELEMETRY_QUEUE;
            known += e[i].kind == TELEMETRY_QUEUE && (e[i].queue.known & TELEMETRY_BYTES) != 0;
        }
    }
    return known;
}

static int
run(const struct bench *b, struct telemetry *t, struct mailbox *box, const char *name)
{
    if (take_round(box, b->queues) < 0)
        return -1;
    const int64_t here = others_us(), there = world_cpu_us(b->broker), since = clock_mono_us();
    int64_t asked = 0;
    long known = 0;
    for (size_t i = 0; i < b->rounds; i++) {
        const int64_t now = clock_mono_us();
        telemetry_poll_now(t);
        known = take_round(box, b->queues);
        asked += clock_mono_us() - now;
        if (known < 0)
            return -1;
    }
    const double n = (double)b->rounds, cpu = (double)(others_us() - here) / n;
    const double idle = b->idle * (double)(clock_mono_us() - since);
    printf("%-11s %5zu queues, bytes of %5ld known: round %7.1f ms, CPU here %6.2f ms = %5.2f %% of a core at 5 s, "
           "CPU there %7.1f ms\n",
           name, b->queues, known, (double)asked / n / 1000, cpu / 1000, cpu / POLL_US * 100,
           b->broker > 0 ? ((double)(world_cpu_us(b->broker) - there) - idle) / n / 1000 : 0.0);
    return 0;
}

static int
measure(const struct bench *b, const char *url, enum telemetry_source source)
{
    const struct telemetry_config config = {.source = source,
                                            .urls = &url,
                                            .n_urls = 1,
                                            .user = "guest",
                                            .password = "guest",
                                            .poll_us = INT64_C(3600000000),
                                            .connect_us = 5000000,
                                            .total_us = 30000000,
                                            .retry_max_us = 1000000,
                                            .body_max = 64 << 20};
    struct telemetry_target *targets = calloc(b->queues, sizeof(*targets));
    char(*names)[32] = calloc(b->queues, sizeof(*names));
    struct err err = {.text = "no memory"};
    struct mailbox *box = mailbox_new(sizeof(struct telemetry_event), &err);
    struct telemetry *t = box != NULL ? telemetry_start(&config, box, NULL, &err) : NULL;
    int rc = -1;

    for (size_t i = 0; i < b->queues && targets != NULL && names != NULL; i++) {
        snprintf(names[i], sizeof(names[i]), "push_%zu", i);
        targets[i] = (struct telemetry_target){(uint32_t)i, "/", names[i]};
    }
    if (t != NULL && targets != NULL && names != NULL && telemetry_set_queues(t, targets, b->queues, &err) == 0)
        rc = run(b, t, box, source == TELEMETRY_MANAGEMENT ? "management" : "prometheus");
    if (rc != 0)
        fprintf(stderr, "%s: %s\n", url, err.text);
    telemetry_free(t);
    mailbox_free(box);
    free(names);
    free(targets);
    return rc;
}

static int
arguments(struct bench *b, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            b->rounds = QUICK_ROUNDS;
        else if (strcmp(argv[i], "--queues") == 0 && i + 1 < argc && strtoul(argv[i + 1], NULL, 10) > 0)
            b->queues = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--url") == 0 && i + 2 < argc) {
            b->url = argv[i + 1];
            b->source = strcmp(argv[i + 2], "prometheus") == 0 ? TELEMETRY_PROMETHEUS : TELEMETRY_MANAGEMENT;
            i += 2;
        } else
            return -1;
    }
    return b->queues <= TELEMETRY_QUEUES ? 0 : -1;
}

int
main(int argc, char **argv)
{
    struct bench b = {.queues = QUEUES, .rounds = ROUNDS};
    struct err err;
    char url[64];
    int rc;

    if (arguments(&b, argc, argv) != 0) {
        fprintf(stderr, "usage: telemetry [--quick] [--queues N] [--url URL management|prometheus]\n");
        return 2;
    }
    if (b.url != NULL)
        return measure(&b, b.url, b.source) == 0 ? 0 : 1;
    rc = start_broker(&b, &err);
    if (rc != 0)
        fprintf(stderr, "%s\n", err.text);
    for (int s = TELEMETRY_MANAGEMENT; s <= TELEMETRY_PROMETHEUS && rc == 0; s++) {
        snprintf(url, sizeof(url), "http://127.0.0.1:%d",
                 from_env(&b, s == TELEMETRY_MANAGEMENT ? "MGMT_PORT" : "PROM_PORT"));
        rc = measure(&b, url, (enum telemetry_source)s);
    }
    world_close(b.world);
    return rc == 0 ? 0 : 1;
}
