/* figures.c - what a row of the management API says, strictly. */
#include "figures.h"

#include <jansson.h>
#include <string.h>

#include "err.h"

/* --- Pieces ------------------------------------------------------------------------------------------------------- */

static json_t *
load(const char *at, size_t len, struct err *err)
{
    json_error_t why;
    json_t *row = json_loadb(at, len, JSON_REJECT_DUPLICATES, &why);

    if (row == NULL)
        err_set(err, ERR_PROTO, 0, "not JSON at byte %d: %.100s", why.position, why.text);
    return row;
}

/* A whole number of at least 0. */
static bool
number(const json_t *row, const char *key, uint64_t *ret)
{
    const json_t *v = json_object_get(row, key);

    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *ret = (uint64_t)json_integer_value(v);
    return true;
}

static void
figure(const json_t *row, const char *key, uint64_t *ret, unsigned bit, unsigned *known)
{
    if (number(row, key, ret))
        *known |= bit;
}

/* A text of 1 to cap - 1 bytes. */
static bool
text(const json_t *row, const char *key, char *buf, size_t cap)
{
    const json_t *v = json_object_get(row, key);
    const size_t len = json_string_length(v); /* 0 where it is none */

    buf[0] = '\0';
    if (len == 0 || len >= cap)
        return false;
    memcpy(buf, json_string_value(v), len + 1);
    return true;
}

static int
done(json_t *row, bool good, const char *what, struct err *err)
{
    json_decref(row);
    return good ? 0 : err_set(err, ERR_PROTO, 0, "the answer is not %s", what);
}

/* --- Queues ------------------------------------------------------------------------------------------------------- */

/* Figures of a queue that is down, without its majority, or in a state that nobody here has heard of are what they were
 * once, if anything.  ("live" is all that a broker without statistics says.) */
static bool
in_service(const json_t *row)
{
    static const char *const states[] = {"running", "flow", "idle", "live"};
    const json_t *v = json_object_get(row, "state");

    if (v == NULL)
        return true; /* not asked for, or no statistics yet; then there are no figures either */
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (json_is_string(v) && strcmp(json_string_value(v), states[i]) == 0)
            return true;
    return false;
}

static bool
rejects(const json_t *overflow)
{
    return json_is_string(overflow) && strncmp(json_string_value(overflow), "reject-publish", 14) == 0;
}

static bool
has(const json_t *object, const char *key)
{
    return json_object_get(object, key) != NULL;
}

/* No policy at all is {} here, and [] in some versions. */
static bool
definition(const json_t *v)
{
    return json_is_object(v) || (json_is_array(v) && json_array_size(v) == 0);
}

/* A limit drops from the head unless all that is said of overflow is to reject. */
static bool
drops(const json_t *arguments, const json_t *policy)
{
    const json_t *own = json_object_get(arguments, "x-overflow"), *given = json_object_get(policy, "overflow");
    const bool limit = has(arguments, "x-max-length") || has(arguments, "x-max-length-bytes") ||
                       has(policy, "max-length") || has(policy, "max-length-bytes");

    if (!limit)
        return false;
    return !((own != NULL || given != NULL) && (own == NULL || rejects(own)) && (given == NULL || rejects(given)));
}

static void
shape(const json_t *row, struct telemetry_queue *q)
{
    const json_t *arguments = json_object_get(row, "arguments");
    const json_t *policy = json_object_get(row, "effective_policy_definition");

    if (!definition(arguments) || !definition(policy))
        return;
    q->known |= TELEMETRY_SHAPE;
    q->priority = has(arguments, "x-max-priority");
    q->ttl = has(arguments, "x-message-ttl") || has(policy, "message-ttl");
    q->drop_head = drops(arguments, policy);
}

/* How many messages a consumer may hold unacknowledged: none, if receiving is acknowledging.  False: it is not said. */
static bool
limit_of(const json_t *consumer, bool *ret_finite, uint64_t *ret)
{
    const json_t *acks = json_object_get(consumer, "ack_required");

    if (!json_is_boolean(acks) || !number(consumer, "prefetch_count", ret))
        return false;
    if (json_is_false(acks))
        *ret = 0;
    *ret_finite = json_is_false(acks) || *ret > 0; /* RabbitMQ's 0 is no limit */
    return true;
}

static void
prefetch(const json_t *row, struct telemetry_queue *q)
{
    const json_t *consumers = json_object_get(row, "consumer_details"), *c;
    uint64_t sum = 0, one = 0;
    bool all = true, finite;
    size_t i;

    if (!json_is_array(consumers))
        return;
    json_array_foreach(consumers, i, c)
    {
        if (!limit_of(c, &finite, &one))
            return;
        all = all && finite;
        sum += finite ? one : 0; /* at most 2^16 - 1 each, by AMQP; what says more wraps in 2^47 consumers */
    }
    q->known |= TELEMETRY_PREFETCH;
    q->prefetch = sum;
    q->prefetch_finite = all;
}

int
figures_queue(const char *at, size_t len, struct figures_queue *ret, struct err *err)
{
    json_t *row = load(at, len, err);

    if (row == NULL)
        return -1;
    *ret = (struct figures_queue){.q.queue = 0};
    const bool named = text(row, "name", ret->name, sizeof(ret->name)) &&
                       text(row, "vhost", ret->vhost, sizeof(ret->vhost));
    if (in_service(row)) {
        figure(row, "message_bytes", &ret->q.bytes, TELEMETRY_BYTES, &ret->q.known);
        figure(row, "messages_ready", &ret->q.ready, TELEMETRY_READY, &ret->q.known);
        figure(row, "messages_unacknowledged", &ret->q.unacked, TELEMETRY_UNACKED, &ret->q.known);
        figure(row, "reductions", &ret->q.work, TELEMETRY_WORK, &ret->q.known);
        figure(row, "consumers", &ret->q.consumers, TELEMETRY_CONSUMERS, &ret->q.known);
    }
    shape(row, &ret->q);
    prefetch(row, &ret->q);
    return done(row, named, "about a queue", err);
}

int
figures_consumer(const char *at, size_t len, struct figures_consumer *ret, struct err *err)
{
    json_t *row = load(at, len, err);

    if (row == NULL)
        return -1;
    *ret = (struct figures_consumer){.finite = false};
    const json_t *queue = json_object_get(row, "queue");
    const bool good = text(queue, "name", ret->name, sizeof(ret->name)) &&
                      text(queue, "vhost", ret->vhost, sizeof(ret->vhost)) &&
                      limit_of(row, &ret->finite, &ret->prefetch);
    return done(row, good, "about a consumer", err);
}

/* --- The broker --------------------------------------------------------------------------------------------------- */

static bool
flag(const json_t *row, const char *key, bool *ret)
{
    const json_t *v = json_object_get(row, key);

    *ret = json_is_true(v);
    return json_is_boolean(v);
}

int
figures_node(const char *at, size_t len, struct figures_node *ret, struct err *err)
{
    json_t *row = load(at, len, err);
    uint64_t uptime_ms = 0;

    if (row == NULL)
        return -1;
    *ret = (struct figures_node){.known = 0};
    const bool named = text(row, "name", ret->name, sizeof(ret->name));
    text(row, "os_pid", ret->pid, sizeof(ret->pid));
    if (flag(row, "running", &ret->running))
        ret->known |= TELEMETRY_NODES;
    const bool memory = flag(row, "mem_alarm", &ret->memory_alarm);
    const bool disk = flag(row, "disk_free_alarm", &ret->disk_alarm);
    if (memory && disk)
        ret->known |= TELEMETRY_ALARMS;
    if (number(row, "mem_used", &ret->memory_used) && number(row, "mem_limit", &ret->memory_limit))
        ret->known |= TELEMETRY_MEMORY;
    if (number(row, "disk_free", &ret->disk_free) && number(row, "disk_free_limit", &ret->disk_limit))
        ret->known |= TELEMETRY_DISK;
    if (number(row, "uptime", &uptime_ms) && uptime_ms < INT64_MAX / 1000) {
        ret->uptime_us = (int64_t)uptime_ms * 1000;
        ret->known |= TELEMETRY_UPTIME;
    }
    return done(row, named, "about a node", err);
}

int
figures_page(const char *at, size_t len, struct figures_page *ret, struct err *err)
{
    json_t *row = load(at, len, err);

    if (row == NULL)
        return -1;
    const bool good = number(row, "page", &ret->page) && number(row, "page_count", &ret->pages);
    return done(row, good, "a page of a list", err);
}

int
figures_overview(const char *at, size_t len, struct figures_overview *ret, struct err *err)
{
    json_t *row = load(at, len, err);

    if (row == NULL)
        return -1;
    text(row, "rates_mode", ret->rates_mode, sizeof(ret->rates_mode));
    flag(row, "disable_stats", &ret->no_stats);
    return done(row, text(row, "rabbitmq_version", ret->version, sizeof(ret->version)), "RabbitMQ's overview", err);
}

int
figures_alarms(const char *at, size_t len, bool *ret_memory, bool *ret_disk, struct err *err)
{
    json_t *row = load(at, len, err);
    const json_t *alarms, *alarm;
    char resource[FIGURES_WORD];
    bool memory = false, disk = false;
    size_t i;

    if (row == NULL)
        return -1;
    alarms = json_object_get(row, "alarms");
    json_array_foreach(alarms, i, alarm)
    {
        text(alarm, "resource", resource, sizeof(resource));
        memory = memory || strcmp(resource, "memory") == 0;
        disk = disk || strcmp(resource, "disk") == 0;
    }
    *ret_memory = memory;
    *ret_disk = disk;
    return done(row, memory || disk, "about alarms of memory or disk", err);
}

int
figures_healthy(const char *at, size_t len, struct err *err)
{
    json_t *row = load(at, len, err);
    char status[FIGURES_WORD];

    if (row == NULL)
        return -1;
    return done(row, text(row, "status", status, sizeof(status)) && strcmp(status, "ok") == 0, "a health check", err);
}

bool
figures_not_found(const char *at, size_t len)
{
    json_t *row = load(at, len, NULL);
    char error[FIGURES_WORD];
    const bool found =
        row != NULL && text(row, "error", error, sizeof(error)) && strcmp(error, "Object Not Found") == 0;

    json_decref(row);
    return found;
}
