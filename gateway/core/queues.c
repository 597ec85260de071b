/* queues.c - the queues that are measured, how full each is believed to be, and the sums of them.
 *
 * What a gauge says changes with each input and, once no sample comes, with time: so every queue is asked again after
 * what concerns it, and all of them ten times a second.  Bound: CORE_QUEUES_MAX; none goes, since its number stays. */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

enum {
    LOOK_US = 100000,   /* all queues are looked at so often: the longest that a sum, or its age, goes unnoticed */
    LATE_US = 5000000,  /* what a lost connection carried reaches its queue within this, or not at all */
    MESSAGE_COST = 1024 /* bytes of the broker's memory and disk for a message, beside its body */
};

struct queue *
queues_of(const struct core *k, const struct connector *c)
{
    return k->measured && c->cfg.queue < k->n_queues ? &k->queues[c->cfg.queue] : NULL;
}

/* There was no memory for its queue: what cannot be measured, though it should be, is not let in. */
bool
queues_blind(const struct core *k, const struct connector *c)
{
    return k->measured && c->cfg.queue != CORE_NO_QUEUE && c->cfg.queue >= k->n_queues;
}

/* --- sums --- */

static void
count_in(struct core *k, const struct queue *q, int sign)
{
    const uint32_t in[2] = {0, q->cfg.group};

    for (int i = 0; i < (q->cfg.group == 0 ? 1 : 2); i++) {
        if (q->upper == DECIDE_UNKNOWN)
            k->groups[in[i]].unknown += (uint32_t)sign;
        else
            k->groups[in[i]].upper += sign > 0 ? q->upper : -q->upper;
    }
}

void
queues_refresh(struct core *k, struct queue *q)
{
    const uint64_t upper = gauge_upper(q->gauge, k->now_us);

    if (upper == q->upper)
        return;
    if (q->peers != NONE)
        count_in(k, q, -1);
    q->upper = upper;
    if (q->peers != NONE)
        count_in(k, q, 1);
}

/* --- configuration --- */

static struct gauge_config
gauge_config_of(const struct core *k, const struct core_queue *cfg)
{
    return (struct gauge_config){.stats_lag_us = k->limits.stats_lag_us,
                                 .stale_after_us = k->limits.stale_after_us,
                                 .late_us = LATE_US,
                                 .counts = cfg->counts,
                                 .alone = cfg->alone};
}

static int
queue_new(struct core *k, const struct core_queue *cfg)
{
    const struct gauge_config g = gauge_config_of(k, cfg);
    struct queue *q = &k->queues[k->n_queues];

    *q = (struct queue){.cfg = *cfg, .upper = DECIDE_UNKNOWN, .peers = NONE, .line_head = NONE, .line_tail = NONE,
                         .promised_us = INT64_MAX, .short_us = INT64_MIN};
    q->gauge = gauge_new(&g, k->now_us, NULL);
    if (q->gauge == NULL)
        return -1;
    k->n_queues++;
    return 0;
}

static void
queue_again(struct core *k, struct queue *q, const struct core_queue *cfg)
{
    const bool other = q->cfg.counts != cfg->counts || q->cfg.alone != cfg->alone;
    const struct gauge_config g = gauge_config_of(k, cfg);

    q->cfg = *cfg;
    if (other)
        gauge_configure(q->gauge, &g, k->now_us, NULL);
}

/* Connectors may have moved: who is before which queue is found anew, and who waited is put in line again by a pump. */
static void
link_peers(struct core *k)
{
    memset(k->groups, 0, sizeof(k->groups));
    for (uint32_t i = 0; i < k->n_queues; i++) {
        struct queue *q = &k->queues[i];

        q->peers = q->line_head = q->line_tail = NONE;
        q->closed = q->weight_most = 0;
        q->promised = 0;
        q->upper = gauge_upper(q->gauge, k->now_us); /* while it had no connectors nobody asked */
    }
    for (uint32_t i = 0; i < k->n_connectors; i++) {
        struct connector *c = k->connectors[i];
        struct queue *q = queues_of(k, c);

        c->gate.lined = false;
        if (c->gate.at != c->cfg.queue)
            c->gate.served = 0; /* each queue has a time of its own */
        c->gate.at = c->cfg.queue;
        if (q == NULL) { /* what it was held for, or promised, was of another queue */
            c->gate.reasons = 0;
            c->gate.promise = 0;
            continue;
        }
        c->gate.peer_next = q->peers;
        q->peers = i;
        q->promised += c->gate.promise;
        q->closed += c->gate.reasons != 0;
        if (c->cfg.weight > q->weight_most)
            q->weight_most = c->cfg.weight;
    }
    for (uint32_t i = 0; i < k->n_queues; i++)
        if (k->queues[i].peers != NONE)
            count_in(k, &k->queues[i], 1);
    for (uint32_t i = 0; i < k->n_connectors; i++)
        gate_look(k, k->connectors[i]); /* a gate that nobody looked at would be open, whatever is before it */
}

void
queues_configure(struct core *k, const struct core_event *e)
{
    const uint32_t n = e->u.configure.n_queues;
    struct queue *fresh;

    k->measured = e->u.configure.limits != NULL;
    if (!k->measured) {
        link_peers(k);
        return;
    }
    k->limits = *e->u.configure.limits;
    if (n > k->n_queues) {
        fresh = realloc(k->queues, n * sizeof(*fresh));
        k->queues = fresh == NULL ? k->queues : fresh;
        for (uint32_t i = k->n_queues; fresh != NULL && i < n; i++)
            if (queue_new(k, &e->u.configure.queues[i]) != 0)
                break;
    }
    for (uint32_t i = 0; i < n && i < k->n_queues; i++)
        queue_again(k, &k->queues[i], &e->u.configure.queues[i]);
    for (uint32_t i = 0; i < k->n_connectors; i++)
        gate_threshold(k, k->connectors[i], NULL);
    link_peers(k);
}

/* A connector that came by itself, or was known to the state only. */
void
queues_join(struct core *k, struct connector *c)
{
    struct queue *q = queues_of(k, c);

    c->gate.word = DECIDE_NONE;
    c->gate.at = c->cfg.queue;
    gate_threshold(k, c, NULL);
    if (q == NULL)
        return;
    if (q->peers == NONE) {
        queues_refresh(k, q); /* while it had no connectors nobody asked */
        count_in(k, q, 1);
    }
    c->gate.peer_next = q->peers;
    q->peers = c->number;
    if (c->cfg.weight > q->weight_most)
        q->weight_most = c->cfg.weight;
    gate_look(k, c);
}

/* --- what is measured --- */

static void
node_event(struct core *k, const struct core_event *e)
{
    struct node *n = &k->node;
    const bool alarm = k->alarm;

    n->memory_used = e->u.node.memory_used;
    n->memory_limit = e->u.node.memory_limit;
    n->disk_free = e->u.node.disk_free;
    n->disk_limit = e->u.node.disk_limit;
    n->asked_us = e->u.node.asked_us;
    n->coming_before = n->coming;
    n->coming = 0;
    n->told = true;
    k->alarm = e->u.node.alarm;
    if (alarm != k->alarm) {
        for (uint32_t p = 0; p < k->cfg.publishers; p++)
            credit_wake(k, p);
        k->woken = true;
    }
}

static void
tell_news(struct core *k, uint32_t number, unsigned news)
{
    struct core_effect e = {.kind = CORE_NEWS};
    struct gauge_view view;

    if (news == 0)
        return;
    gauge_view(k->queues[number].gauge, k->now_us, &view);
    e.u.news.queue = number;
    e.u.news.news = news;
    e.u.news.bytes = view.drift_bytes;
    e.u.news.lag_us = view.lag_us;
    core_emit(k, &e);
}

static void
wake_all(struct core *k)
{
    for (uint32_t i = 0; i < k->n_queues; i++)
        if (k->queues[i].peers != NONE)
            gate_wake(k, &k->queues[i]);
}

void
queues_event(struct core *k, const struct core_event *e)
{
    const uint32_t number = e->u.measured.queue;
    struct queue *q = number < k->n_queues ? &k->queues[number] : NULL;
    struct gauge_consumers consumers = e->u.measured.is.consumers;
    unsigned news = 0;

    if (e->kind == CORE_BROKER) {
        node_event(k, e);
        return;
    }
    if (e->kind == CORE_RESTARTED) {
        for (uint32_t i = 0; i < k->n_queues; i++) {
            gauge_restarted(k->queues[i].gauge, k->now_us);
            queues_refresh(k, &k->queues[i]);
        }
        wake_all(k);
        return;
    }
    if (q == NULL)
        return;
    if (e->kind == CORE_SAMPLE)
        news = gauge_take_sample(q->gauge, &e->u.measured.is.sample, k->now_us);
    else if (e->kind == CORE_COUNTED)
        news = gauge_take_count(q->gauge, &e->u.measured.is.count, k->now_us);
    else if (e->kind == CORE_QUEUE_GONE)
        gauge_gone(q->gauge, k->now_us);
    else if (q->cfg.unacked_max != GAUGE_UNKNOWN)
        consumers = (struct gauge_consumers){q->cfg.unacked_max, GAUGE_UNKNOWN};
    if (e->kind == CORE_CONSUMERS)
        gauge_take_consumers(q->gauge, &consumers, k->now_us);
    tell_news(k, number, news);
    queues_refresh(k, q);
    gate_wake(k, q);
}

void
queues_back(struct core *k)
{
    for (uint32_t i = 0; i < k->n_queues; i++)
        gauge_back(k->queues[i].gauge, k->now_us);
}

void
queues_spend(struct core *k, uint64_t bytes, uint64_t messages)
{
    k->node.coming += bytes + messages * MESSAGE_COST;
}

/* --- time --- */

void
queues_timers(struct core *k)
{
    bool aged = false;

    if (!k->measured || k->now_us - k->looked_us < LOOK_US)
        return;
    k->looked_us = k->now_us;
    for (uint32_t i = 0; i < k->n_queues; i++) {
        struct queue *q = &k->queues[i];

        if (q->peers == NONE)
            continue;
        queues_refresh(k, q);
        aged = aged || q->unknown != (q->upper == DECIDE_UNKNOWN);
        q->unknown = q->upper == DECIDE_UNKNOWN;
    }
    if (aged) { /* who shares a budget with that queue is held, too */
        wake_all(k);
        return;
    }
    for (uint32_t i = 0; i < k->n_queues; i++) {
        struct queue *q = &k->queues[i];

        if (q->closed > 0 || q->line_head != NONE || (q->promised > 0 && q->promised_us <= k->now_us))
            gate_wake(k, q);
    }
}

int64_t
queues_due(const struct core *k)
{
    return k->measured && k->n_queues > 0 ? k->looked_us + LOOK_US : INT64_MAX;
}

void
queues_free(struct core *k)
{
    for (uint32_t i = 0; i < k->n_queues; i++)
        gauge_free(k->queues[i].gauge);
    free(k->queues);
}
