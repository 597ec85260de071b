/* scrape.c - a round of the Prometheus endpoint: queues and the node in one answer, alarms in another.
 *
 * Measured with RabbitMQ 3.10.8 and 5,000 queues, on loopback: 8.5 MB in 0.18 s; the aggregated figures, which alone
 * hold the alarms, 85 kB in 0.06 s.  Only the vhosts that are asked for are answered. */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "round.h"

enum { URL_ROOM = 3 * 256 + 16 }; /* for one more vhost */

static const struct {
    const char *name;
    unsigned    bit;
    size_t      at; /* in struct telemetry_queue */
} queue_metrics[] = {
    {"rabbitmq_detailed_queue_messages_bytes", TELEMETRY_BYTES, offsetof(struct telemetry_queue, bytes)},
    {"rabbitmq_detailed_queue_messages_ready", TELEMETRY_READY, offsetof(struct telemetry_queue, ready)},
    {"rabbitmq_detailed_queue_messages_unacked", TELEMETRY_UNACKED, offsetof(struct telemetry_queue, unacked)},
    {"rabbitmq_detailed_queue_process_reductions_total", TELEMETRY_WORK, offsetof(struct telemetry_queue, work)},
    {"rabbitmq_detailed_queue_consumers", TELEMETRY_CONSUMERS, offsetof(struct telemetry_queue, consumers)},
};

/* What the answers hold, while they arrive. */
struct scrape {
    struct round *r;
    bool          twice; /* a figure of a queue came twice: which one is true? */
    unsigned      node;  /* bits of what follows */
    uint64_t      memory_used, memory_limit, disk_free, disk_limit, memory_alarm, disk_alarm;
    int64_t       uptime_us;
};

static const struct {
    const char *name;
    unsigned    bit;
    size_t      at; /* in struct scrape */
} node_metrics[] = {
    {"rabbitmq_detailed_process_resident_memory_bytes", 1, offsetof(struct scrape, memory_used)},
    {"rabbitmq_detailed_resident_memory_limit_bytes", 2, offsetof(struct scrape, memory_limit)},
    {"rabbitmq_detailed_disk_space_available_bytes", 4, offsetof(struct scrape, disk_free)},
    {"rabbitmq_detailed_disk_space_available_limit_bytes", 8, offsetof(struct scrape, disk_limit)},
    {"rabbitmq_alarms_memory_used_watermark", 16, offsetof(struct scrape, memory_alarm)},
    {"rabbitmq_alarms_free_disk_space_watermark", 32, offsetof(struct scrape, disk_alarm)},
};
enum { NODE_MEMORY = 1 | 2, NODE_DISK = 4 | 8, NODE_ALARMS = 16 | 32, NODE_UPTIME = 64 };

/* --- Lines -------------------------------------------------------------------------------------------------------- */

static void
take_queue(struct scrape *s, const struct prom_sample *sample)
{
    for (size_t k = 0; k < sizeof(queue_metrics) / sizeof(queue_metrics[0]); k++) {
        if (!prom_is(sample, queue_metrics[k].name))
            continue;
        const long i = wanted_find_labels(s->r->wanted, sample->labels, sample->labels_len);
        if (i < 0)
            return;
        struct telemetry_event *e = round_event(s->r, (size_t)i);
        uint64_t value;
        e->asked_us = s->r->answer.asked_us;
        s->twice = s->twice || (e->queue.known & queue_metrics[k].bit) != 0;
        if (!prom_number(sample, &value))
            return;
        memcpy((char *)&e->queue + queue_metrics[k].at, &value, sizeof(value));
        e->queue.known |= queue_metrics[k].bit;
        return;
    }
}

static void
take_node(struct scrape *s, const struct prom_sample *sample)
{
    uint64_t value;

    for (size_t k = 0; k < sizeof(node_metrics) / sizeof(node_metrics[0]); k++)
        if (prom_is(sample, node_metrics[k].name) && prom_number(sample, &value)) {
            memcpy((char *)s + node_metrics[k].at, &value, sizeof(value));
            s->node |= node_metrics[k].bit;
        }
    if (prom_is(sample, "rabbitmq_detailed_erlang_uptime_seconds") && prom_micro(sample, &s->uptime_us))
        s->node |= NODE_UPTIME;
}

static void
on_sample(void *ctx, const struct prom_sample *sample)
{
    if (sample->labels_len == 0)
        take_node(ctx, sample);
    else
        take_queue(ctx, sample);
}

/* --- Questions ---------------------------------------------------------------------------------------------------- */

/* The vhosts, where they fit; else all are answered. */
static void
add_vhosts(struct round *r)
{
    const size_t before = strlen(r->url);

    for (size_t from = 0; from < r->wanted->n; from = wanted_vhost_end(r->wanted, from)) {
        if (sizeof(r->url) - strlen(r->url) < URL_ROOM) {
            r->url[before] = '\0';
            return;
        }
        round_add(r, "&vhost=");
        round_quote(r, r->wanted->queues[from].vhost);
    }
}

static void
forget_queues(struct round *r)
{
    for (size_t i = 0; i < r->wanted->n; i++)
        round_event(r, i)->queue = (struct telemetry_queue){.queue = r->wanted->queues[i].queue};
}

static int
ask_detailed(struct round *r, struct scrape *s, struct err *err)
{
    round_url(r, "/metrics/detailed?family=node_coarse_metrics&family=node_metrics");
    if (r->wanted->n > 0) {
        round_add(r, "&family=queue_coarse_metrics&family=queue_metrics");
        add_vhosts(r);
    }
    int rc = round_prom(r, on_sample, s, err);
    if (rc > 0 && s->twice) {
        err_set(err, ERR_PROTO, 0, "a figure of a queue is there twice");
        rc = 0;
    }
    if (rc == 0) {
        forget_queues(r); /* half an answer may have filled some */
        round_bad(r, ASK_QUEUES, err);
        return -1;
    }
    return rc < 0 ? -1 : 0;
}

static int
ask_aggregated(struct round *r, struct scrape *s, struct err *err)
{
    round_url(r, "/metrics");
    const int rc = round_prom(r, on_sample, s, err);
    if (rc == 0) {
        s->node &= ~(unsigned)NODE_ALARMS;
        round_bad(r, ASK_ALARMS, err);
    }
    return rc < 0 ? -1 : 0;
}

/* --- What they said ----------------------------------------------------------------------------------------------- */

static bool
all_of(unsigned have, unsigned need)
{
    return (have & need) == need;
}

static void
fill_broker(struct round *r, const struct scrape *s, int64_t asked_us)
{
    struct telemetry_broker *b = round_broker(r);

    if (all_of(s->node, NODE_MEMORY)) {
        b->known |= TELEMETRY_MEMORY;
        b->memory_used = s->memory_used;
        b->memory_limit = s->memory_limit;
    }
    if (all_of(s->node, NODE_DISK)) {
        b->known |= TELEMETRY_DISK;
        b->disk_free = s->disk_free;
        b->disk_limit = s->disk_limit;
    }
    if (all_of(s->node, NODE_ALARMS)) {
        b->known |= TELEMETRY_ALARMS;
        b->memory_alarm = s->memory_alarm != 0;
        b->disk_alarm = s->disk_alarm != 0;
    }
    if (all_of(s->node, NODE_UPTIME)) {
        b->known |= TELEMETRY_UPTIME;
        b->uptime_us = s->uptime_us;
        if (lives_seen(&r->memory->lives, r->base, "", s->uptime_us, asked_us))
            r->memory->restarted = true;
        b->restarted = r->memory->restarted;
    }
    r->events[0].asked_us = asked_us;
    r->events[0].answered_us = r->answer.answered_us;
}

static void
fill_queues(struct round *r, int64_t asked_us, int64_t answered_us)
{
    for (size_t i = 0; i < r->wanted->n; i++) {
        struct telemetry_event *e = round_event(r, i);
        r->answered += e->queue.known != 0;
        e->asked_us = asked_us;
        e->answered_us = answered_us;
    }
    if (r->answered < r->wanted->n) {
        struct err err;
        err_set(&err, ERR_IO, 0, "%zu of %zu queues are not in the answer, or their names cannot be told there",
                r->wanted->n - r->answered, r->wanted->n);
        round_bad(r, ASK_QUEUES, &err);
    }
}

int
scrape_round(struct round *r, struct err *err)
{
    struct scrape s = {.r = r};

    if (ask_detailed(r, &s, err) != 0)
        return -1;
    const int64_t asked = r->answer.asked_us, answered = r->answer.answered_us;
    if (ask_aggregated(r, &s, err) != 0)
        return -1;
    fill_broker(r, &s, asked);
    fill_queues(r, asked, answered);
    if (r->answered > 0 || s.node != 0)
        return 0;
    return err_set(err, ERR_PROTO, 0, "the answer holds no figures of RabbitMQ; is this the right URL?");
}
