/* measures.c - how full the broker's queues are: what telemetry and counts say, told to the core; what it asks,
 * asked. */
#include <stdlib.h>

#include "broker/counts.h"
#include "broker/telemetry.h"
#include "err.h"
#include "gauged.h"
#include "log.h"
#include "loop_parts.h"
#include "mailbox.h"
#include "plan.h"
#include "settings.h"

int
measures_open(struct loop *l, struct err *err)
{
    l->gauged = gauged_new(err);
    l->figures = mailbox_new(sizeof(struct telemetry_event), err);
    l->counted = mailbox_new(sizeof(struct count_event), err);
    if (l->gauged == NULL || l->figures == NULL || l->counted == NULL)
        return -1;
    if (l->settings->telemetry.source == SETTINGS_OFF) {
        log_event(l->log, LOG_WARN, "nothing_is_measured",
                  LOG_STR("text", "telemetry.source is off: no queue holds anybody, however full it is"));
        return 0;
    }
    if (plan_telemetry(l->settings, &l->telemetry_config, err) != 0)
        return -1;
    l->telemetry = telemetry_start(&l->telemetry_config, l->figures, l->log, err);
    l->counts = l->telemetry == NULL ? NULL : counts_start(&l->pub_config, 0, l->counted, l->log, err);
    return l->counts == NULL ? -1 : 0;
}

int
measures_configure(struct loop *l, struct err *err)
{
    const uint32_t n = gauged_count(l->gauged);
    struct telemetry_target *list;
    int rc;

    if (l->telemetry == NULL)
        return 0;
    list = calloc(n + 1, sizeof(*list));
    if (list == NULL)
        return err_set(err, ERR_NOMEM, 0, "telemetry");
    for (uint32_t i = 0; i < n; i++)
        list[i] = (struct telemetry_target){i, l->first->broker.vhost, gauged_name(l->gauged, i)};
    rc = telemetry_set_queues(l->telemetry, list, n, err);
    free(list);
    return rc;
}

/* --- what comes --- */

static uint64_t
known(unsigned bits, unsigned bit, uint64_t figure)
{
    return (bits & bit) != 0 ? figure : GAUGE_UNKNOWN;
}

/* What leaves a queue need not be what came first.  Unknown is taken for that. */
static bool
is_odd(struct loop *l, const struct telemetry_queue *q)
{
    const bool odd = q->priority || q->ttl || q->drop_head;

    if ((q->known & TELEMETRY_SHAPE) == 0)
        return true;
    if (gauged_odd(l->gauged, q->queue, odd))
        log_event(l->log, LOG_INFO, odd ? "samples_only" : "counts_too",
                  LOG_STR("queue", gauged_name(l->gauged, q->queue)),
                  LOG_STR("text", odd ? "it has priorities, a TTL or drop-head: counts say nothing of it, and its gate "
                                        "opens when a sample shows room"
                                      : "it has no priorities, TTL or drop-head any more"));
    return odd;
}

static void
take_queue(struct loop *l, const struct telemetry_event *t)
{
    const struct telemetry_queue *q = &t->queue;
    struct core_event e = {.kind = CORE_SAMPLE};

    e.u.measured.queue = q->queue;
    if (q->gone) {
        e.kind = CORE_QUEUE_GONE;
        effects_step(l, &e);
        return;
    }
    /* Who takes from it comes first: a count that the sample asks for goes by it. */
    if ((q->known & TELEMETRY_PREFETCH) != 0) {
        const bool odd = is_odd(l, q);

        e.kind = CORE_CONSUMERS;
        e.u.measured.is.consumers.unacked_max = q->prefetch_finite && !odd ? q->prefetch : GAUGE_UNKNOWN;
        e.u.measured.is.consumers.consumers = known(q->known, TELEMETRY_CONSUMERS, q->consumers);
        effects_step(l, &e);
    }
    e.kind = CORE_SAMPLE;
    e.u.measured.is.sample.asked_us = t->asked_us;
    e.u.measured.is.sample.bytes = known(q->known, TELEMETRY_BYTES, q->bytes);
    e.u.measured.is.sample.unacked = known(q->known, TELEMETRY_UNACKED, q->unacked);
    e.u.measured.is.sample.messages = (q->known & TELEMETRY_READY) == 0
                                          ? GAUGE_UNKNOWN
                                          : known(q->known, TELEMETRY_UNACKED, q->ready + q->unacked);
    e.u.measured.is.sample.work = known(q->known, TELEMETRY_WORK, q->work);
    effects_step(l, &e);
}

static void
take_broker(struct loop *l, const struct telemetry_event *t)
{
    const struct telemetry_broker *b = &t->broker;
    struct core_event e = {.kind = CORE_RESTARTED};

    if ((b->known & TELEMETRY_UPTIME) != 0 && b->restarted) {
        log_event(l->log, LOG_WARN, "broker_restarted", LOG_INT("uptime_s", b->uptime_us / 1000000));
        effects_step(l, &e);
    }
    e.kind = CORE_BROKER;
    e.u.node.asked_us = t->asked_us;
    e.u.node.memory_used = known(b->known, TELEMETRY_MEMORY, b->memory_used);
    e.u.node.memory_limit = known(b->known, TELEMETRY_MEMORY, b->memory_limit);
    e.u.node.disk_free = known(b->known, TELEMETRY_DISK, b->disk_free);
    e.u.node.disk_limit = known(b->known, TELEMETRY_DISK, b->disk_limit);
    e.u.node.alarm = (b->known & TELEMETRY_ALARMS) != 0 && (b->memory_alarm || b->disk_alarm);
    effects_step(l, &e);
}

/* The thread has logged it; what is old by then holds by its age. */
static void
take_turn(struct loop *l, const struct telemetry_event *t)
{
    char *text = NULL;

    if (t->kind == TELEMETRY_DOWN &&
        asprintf(&text, "telemetry tells nothing: %s", t->text == NULL ? "no memory to say why" : t->text) < 0)
        text = NULL;
    free(l->unmeasured);
    l->unmeasured = text;
    free(t->text);
}

static void
take_figures(struct loop *l)
{
    void *taken;
    const size_t n = mailbox_take(l->figures, &taken);
    const struct telemetry_event *t = taken;

    for (size_t i = 0; i < n; i++) {
        if (t[i].kind == TELEMETRY_QUEUE)
            take_queue(l, &t[i]);
        else if (t[i].kind == TELEMETRY_BROKER)
            take_broker(l, &t[i]);
        else
            take_turn(l, &t[i]);
    }
}

size_t
measures_warnings(const struct loop *l, const char *ret[OPERATORS_WARNINGS])
{
    size_t n = 0;

    if (l->settings->telemetry.source == SETTINGS_OFF) {
        ret[n++] = "telemetry.source is off: no queue holds anybody, however full it is";
        return n;
    }
    if (l->settings->telemetry.on_stale != 0)
        ret[n++] = "telemetry.on_stale is run: where figures are missing queues are filled unseen";
    if (l->unmeasured != NULL)
        ret[n++] = l->unmeasured;
    return n;
}

static void
take_counts(struct loop *l)
{
    void *taken;
    const size_t n = mailbox_take(l->counted, &taken);
    const struct count_event *c = taken;

    for (size_t i = 0; i < n; i++) {
        struct core_event e = {.kind = c[i].kind == COUNT_GONE ? CORE_QUEUE_GONE : CORE_COUNTED};

        e.u.measured.queue = c[i].queue;
        e.u.measured.is.count = (struct gauge_count){c[i].asked_us, c[i].ready, c[i].consumers};
        if (e.kind == CORE_QUEUE_GONE)
            e.u.measured.is.count = (struct gauge_count){0, 0, 0};
        if (c[i].kind == COUNT_READY || c[i].kind == COUNT_GONE)
            effects_step(l, &e);
        free(c[i].text);
    }
}

void
measures_take(struct loop *l)
{
    take_figures(l);
    take_counts(l);
}

/* --- what the core wants --- */

void
measures_count(struct loop *l, uint32_t queue)
{
    const struct count_ask ask = {queue, gauged_name(l->gauged, queue)};

    if (counts_ask(l->counts, &ask, 1, NULL) != 0)
        return; /* it is asked again when the next one is due */
}

void
measures_news(struct loop *l, const struct core_effect *e)
{
    static const struct {
        unsigned bit;
        const char *event, *text;
    } all[] = {
        {GAUGE_N_LAG, "stats_lag_violated",
         "a figure of the broker was older than telemetry.stats_lag: raise it to the broker's "
         "collect_statistics_interval plus 5 s, at least"},
        {GAUGE_N_FOREIGN, "drift",
         "more is in the queue than was published from here: does somebody else publish to it?"},
        {GAUGE_N_FELL, "drift", "much less is in the queue than its consumers took: was it purged?"},
        {GAUGE_N_DEAD, "drift",
         "the broker's figure does not change although messages are published: its statistics stand still"},
        {GAUGE_N_UNBOUNDED, "drift", "consumers hold more messages than their prefetch says: only samples count now"},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if ((e->u.news.news & all[i].bit) != 0)
            log_event(l->log, LOG_WARN, all[i].event, LOG_STR("queue", gauged_name(l->gauged, e->u.news.queue)),
                      LOG_INT("bytes", e->u.news.bytes), LOG_INT("lag_ms", e->u.news.lag_us / 1000),
                      LOG_STR("text", all[i].text));
}

void
measures_close(struct loop *l)
{
    telemetry_free(l->telemetry);
    counts_free(l->counts, 1000000);
    if (l->figures != NULL && l->counted != NULL) {
        void *taken;
        size_t n = mailbox_take(l->figures, &taken);

        for (size_t i = 0; i < n; i++)
            if (((struct telemetry_event *)taken)[i].kind == TELEMETRY_UP ||
                ((struct telemetry_event *)taken)[i].kind == TELEMETRY_DOWN)
                free(((struct telemetry_event *)taken)[i].text);
        n = mailbox_take(l->counted, &taken);
        for (size_t i = 0; i < n; i++)
            free(((struct count_event *)taken)[i].text);
    }
    mailbox_free(l->figures);
    mailbox_free(l->counted);
    free(l->unmeasured);
    plan_urls_free(&l->telemetry_config);
    gauged_free(l->gauged);
}
