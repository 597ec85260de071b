/* plan.c - settings, turned into what the parts are given. */
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "broker/publisher.h"
#include "broker/telemetry.h"
#include "core/core.h"
#include "core/decide.h"
#include "err.h"
#include "gauged.h"
#include "settings.h"
#include "targets.h"

enum {
    RETRY_MAX_US = 30000000,    /* of telemetry, while nothing answers */
    BODY_MAX = 64 * 1024 * 1024 /* bytes of one answer: 500 queues take about 150 KB */
};

static uint32_t
group_of(const struct settings *s, const char *name)
{
    for (size_t i = 0; name != NULL && i < s->n_groups; i++)
        if (strcmp(s->groups[i].name, name) == 0)
            return (uint32_t)i + 1;
    return 0;
}

static int
plan_one(const struct settings *s, struct targets *targets, const struct settings_target *t, const char *id,
         struct core_connector *ret, struct err *err)
{
    const int64_t number = targets_intern(targets, t, id, err);

    if (number < 0)
        return -1;
    ret->target = (uint32_t)number;
    /* Connectors of one target stay on one connection, and targets are spread over all of them. */
    ret->publisher = ret->target % (uint32_t)s->broker.connections;
    ret->spool_limit = s->spool.limit == 0 ? 0 : s->spool.each;
    ret->unanswered_max = s->spool.unanswered_max;
    ret->format = strcmp(t->format, "opencti") == 0 ? WIRE_FMT_OPENCTI : WIRE_FMT_RAW;
    return 0;
}

/* c: NULL for connectors that are not listed. */
static int
plan_queue(const struct settings *s, struct gauged *queues, const struct settings_target *t,
           const struct settings_connector *c, struct core_connector *ret, struct err *err)
{
    const struct core_queue said = {.group = group_of(s, c == NULL ? NULL : c->group),
                                    .counts = true,
                                    .alone = c == NULL || !c->shared,
                                    .unacked_max = c == NULL || c->unacked_max == 0 ? GAUGE_UNKNOWN
                                                                                    : (uint64_t)c->unacked_max};
    const int64_t number = gauged_intern(queues, t->queue, &said, c == NULL ? "default_target" : c->id, err);

    if (number < 0)
        return -1;
    ret->queue = (uint32_t)number;
    /* And those of one queue, by whatever target: a count is taken to show the newest of what was published, so what is
     * published to a queue has to come there in that order. */
    if (ret->queue != CORE_NO_QUEUE)
        ret->publisher = ret->queue % (uint32_t)s->broker.connections;
    ret->threshold_fixed = c != NULL && c->threshold.given;
    ret->threshold = ret->threshold_fixed ? c->threshold.micro : s->admission.queue_threshold.micro;
    ret->weight = c == NULL ? 1 : (uint32_t)c->weight;
    return 0;
}

int
plan_connectors(const struct settings *s, struct targets *targets, struct gauged *queues,
                struct core_connector **ret_list, struct core_connector *ret_unknown, struct err *err)
{
    struct core_connector *list = calloc(s->n_connectors + 1, sizeof(*list));

    if (list == NULL)
        return err_set(err, ERR_NOMEM, 0, "connectors");
    memset(ret_unknown, 0, sizeof(*ret_unknown));
    gauged_begin(queues);
    for (size_t i = 0; i < s->n_connectors; i++) {
        const struct settings_connector *c = &s->connectors[i];

        if (plan_one(s, targets, &c->target, c->id, &list[i], err) != 0 ||
            plan_queue(s, queues, &c->target, c, &list[i], err) != 0)
            goto fail;
        snprintf(list[i].id, sizeof(list[i].id), "%s", c->id);
        list[i].ordered = c->ordered;
        list[i].confirm = c->ack == SETTINGS_ACK_CONFIRM;
    }
    if (s->accept_unknown && (plan_one(s, targets, &s->default_target, NULL, ret_unknown, err) != 0 ||
                              plan_queue(s, queues, &s->default_target, NULL, ret_unknown, err) != 0))
        goto fail;
    *ret_list = list;
    return 0;

fail:
    free(list);
    return -1;
}

bool
plan_limits(const struct settings *s, struct core_limits *ret)
{
    *ret = (struct core_limits){.stats_lag_us = s->telemetry.stats_lag_us,
                                .stale_after_us = s->telemetry.stale_us,
                                .count_every_us = s->admission.count_every_us,
                                .resume_ppm = (uint32_t)s->admission.resume_below.micro,
                                .run_on_stale = s->telemetry.on_stale != 0};
    for (uint32_t i = 0; i < CORE_GROUPS_MAX; i++)
        ret->budget[i] = i > 0 && i <= s->n_groups ? s->groups[i - 1].budget : DECIDE_NONE;
    if (s->admission.budget > 0)
        ret->budget[0] = s->admission.budget;
    return s->telemetry.source != SETTINGS_OFF;
}

/* --- telemetry --- */

/* The n-th URL, from malloc: of the comma-separated list, or of the n-th host. */
static char *
url_at(const struct settings *s, size_t n)
{
    const int port = s->telemetry.source == SETTINGS_PROMETHEUS ? 15692 : 15672;
    const char *at = s->telemetry.url;
    char *url;

    if (at == NULL) {
        const char *host = s->broker.hosts[n].host;
        const bool v6 = strchr(host, ':') != NULL;

        return asprintf(&url, "http://%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "", port) < 0 ? NULL : url;
    }
    for (; n > 0; n--)
        at += strcspn(at, ",") + 1;
    at += strspn(at, " ");
    return strndup(at, strcspn(at, ", "));
}

static size_t
count_urls(const struct settings *s)
{
    size_t n = 1;

    if (s->telemetry.url == NULL)
        return s->broker.n_hosts;
    for (const char *at = s->telemetry.url; (at = strchr(at, ',')) != NULL; at++)
        n++;
    return n > TELEMETRY_URLS ? TELEMETRY_URLS : n;
}

int
plan_telemetry(const struct settings *s, struct telemetry_config *ret, struct err *err)
{
    const size_t n = count_urls(s);
    char **urls = calloc(n, sizeof(char *));

    *ret = (struct telemetry_config){
        .source = s->telemetry.source == SETTINGS_PROMETHEUS ? TELEMETRY_PROMETHEUS : TELEMETRY_MANAGEMENT,
        .urls = (const char *const *)urls,
        .user = s->telemetry.user != NULL ? s->telemetry.user : s->broker.user,
        .password = s->telemetry.user != NULL ? s->telemetry.password : s->broker.password,
        .ca_file = s->telemetry.ca_file,
        .poll_us = s->telemetry.poll_us,
        .connect_us = s->telemetry.timeout_us,
        .total_us = s->telemetry.timeout_us,
        .retry_max_us = RETRY_MAX_US,
        .body_max = BODY_MAX,
    };
    if (getrandom(&ret->seed, sizeof(ret->seed), 0) != (ssize_t)sizeof(ret->seed))
        ret->seed = (uint64_t)getpid(); /* it only spreads retries */
    for (; urls != NULL && ret->n_urls < n; ret->n_urls++) {
        urls[ret->n_urls] = url_at(s, ret->n_urls);
        if (urls[ret->n_urls] == NULL)
            break;
    }
    if (urls != NULL && ret->n_urls == n)
        return 0;
    plan_urls_free(ret);
    return err_set(err, ERR_NOMEM, 0, "telemetry.url");
}

void
plan_urls_free(const struct telemetry_config *config)
{
    for (size_t i = 0; config->urls != NULL && i < config->n_urls; i++)
        free((char *)(uintptr_t)config->urls[i]);
    free((void *)(uintptr_t)config->urls);
}

/* --- the broker --- */

struct pub_host *
plan_broker(const struct settings *s, struct pub_config *ret, struct err *err)
{
    struct pub_host *hosts = calloc(s->broker.n_hosts, sizeof(*hosts));

    if (hosts == NULL) {
        err_set(err, ERR_NOMEM, 0, "broker.hosts");
        return NULL;
    }
    for (size_t i = 0; i < s->broker.n_hosts; i++)
        hosts[i] = (struct pub_host){s->broker.hosts[i].host, s->broker.hosts[i].port};
    *ret = (struct pub_config){
        .hosts = hosts,
        .n_hosts = s->broker.n_hosts,
        .vhost = s->broker.vhost,
        .user = s->broker.user,
        .password = s->broker.password,
        .tls = s->broker.tls,
        .ca_file = s->broker.ca_file,
        .cert_file = s->broker.cert_file,
        .key_file = s->broker.key_file,
        .name = "sluiced",
        .window = (uint32_t)s->broker.window,
        .window_bytes = s->broker.window_bytes,
        .heartbeat_us = s->broker.heartbeat_us,
        .hung_us = s->broker.hung_us,
        .retry_min_us = s->broker.retry_min_us,
        .retry_max_us = s->broker.retry_max_us,
    };
    if (getrandom(&ret->seed, sizeof(ret->seed), 0) != (ssize_t)sizeof(ret->seed))
        ret->seed = (uint64_t)getpid(); /* it only spreads reconnects */
    return hosts;
}

static bool
same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_hosts(const struct settings *a, const struct settings *b)
{
    if (a->broker.n_hosts != b->broker.n_hosts)
        return false;
    for (size_t i = 0; i < a->broker.n_hosts; i++)
        if (!same_text(a->broker.hosts[i].host, b->broker.hosts[i].host) ||
            a->broker.hosts[i].port != b->broker.hosts[i].port)
            return false;
    return true;
}

int
plan_reloadable(const struct settings *a, const struct settings *b, struct err *err)
{
    const struct {
        const char *key;
        bool        same;
    } fixed[] = {
        {"door.endpoint", same_text(a->door.endpoint, b->door.endpoint)},
        {"door.ping", a->door.ping_us == b->door.ping_us},
        {"door.missed", a->door.missed == b->door.missed},
        {"door.backlog", a->door.backlog == b->door.backlog},
        {"door.rcvhwm", a->door.rcvhwm == b->door.rcvhwm},
        {"door.chunk", a->door.chunk == b->door.chunk},
        {"broker.hosts", same_hosts(a, b)},
        {"broker.vhost", same_text(a->broker.vhost, b->broker.vhost)},
        {"broker.user", same_text(a->broker.user, b->broker.user)},
        {"broker.password", same_text(a->broker.password, b->broker.password)},
        {"broker.tls", a->broker.tls == b->broker.tls},
        {"broker.ca_file", same_text(a->broker.ca_file, b->broker.ca_file)},
        {"broker.cert_file", same_text(a->broker.cert_file, b->broker.cert_file)},
        {"broker.key_file", same_text(a->broker.key_file, b->broker.key_file)},
        {"broker.connections", a->broker.connections == b->broker.connections},
        {"broker.max_message", a->broker.max_message == b->broker.max_message},
        {"broker.window", a->broker.window == b->broker.window},
        {"broker.window_bytes", a->broker.window_bytes == b->broker.window_bytes},
        {"broker.heartbeat", a->broker.heartbeat_us == b->broker.heartbeat_us},
        {"broker.hung_after", a->broker.hung_us == b->broker.hung_us},
        {"broker.retry_min", a->broker.retry_min_us == b->broker.retry_min_us},
        {"broker.retry_max", a->broker.retry_max_us == b->broker.retry_max_us},
        {"telemetry.source", a->telemetry.source == b->telemetry.source},
        {"telemetry.url", same_text(a->telemetry.url, b->telemetry.url)},
        {"telemetry.user", same_text(a->telemetry.user, b->telemetry.user)},
        {"telemetry.password", same_text(a->telemetry.password, b->telemetry.password)},
        {"telemetry.ca_file", same_text(a->telemetry.ca_file, b->telemetry.ca_file)},
        {"telemetry.poll", a->telemetry.poll_us == b->telemetry.poll_us},
        {"telemetry.timeout", a->telemetry.timeout_us == b->telemetry.timeout_us},
        {"telemetry.stats_lag", a->telemetry.stats_lag_us == b->telemetry.stats_lag_us},
        {"telemetry.stale_after", a->telemetry.stale_us == b->telemetry.stale_us},
        {"memory.limit", a->memory.limit == b->memory.limit},
        {"memory.max_bundle", a->memory.max_bundle == b->memory.max_bundle},
        {"spool.dir", same_text(a->spool.dir, b->spool.dir)},
        {"spool.limit", a->spool.limit == b->spool.limit},
        {"spool.floor", a->spool.floor == b->spool.floor},
        {"spool.segment", a->spool.segment == b->spool.segment},
        {"state.dir", same_text(a->state.dir, b->state.dir)},
        {"journal.limit", a->journal.limit == b->journal.limit},
        {"operators.socket", same_text(a->operators.socket, b->operators.socket)},
    };

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        if (!fixed[i].same)
            return err_set(err, ERR_CONFIG, 0, "%s was changed, which needs a restart: nothing was reloaded",
                           fixed[i].key);
    return 0;
}
