/* status.c - how things stand with one connector, for who is shown it: nothing is changed here. */
#include <string.h>

#include "machine.h"

bool
core_number(const struct core *k, const char *id, uint32_t *ret)
{
    const uint32_t i = table_find(k, id, (uint32_t)strlen(id));

    if (i == NONE)
        return false;
    *ret = i;
    return true;
}

bool
core_draining(const struct core *k)
{
    return k->draining;
}

/* While a run is under way nobody can say when it ends, and what is asked for at once is due at once. */
static int64_t
next_run_us(const struct core *k, const struct schedule *s)
{
    if (s->kind != WIRE_S_PERIOD + 1 || s->running)
        return 0;
    return (s->run_now ? k->now_us : s->base_us + s->period_us) + k->wall_us;
}

static void
measure(struct core *k, struct connector *c, struct core_status *ret)
{
    struct queue *q = queues_of(k, c);

    for (uint64_t seq = c->next_post; seq < c->expect; seq++)
        ret->waiting += custody_at(c, seq)->state == B_WAITING ? k->slots[custody_at(c, seq)->slot].bytes : 0;
    if (q == NULL)
        return;
    ret->measured = true;
    ret->queue = c->cfg.queue;
    ret->threshold = c->gate.threshold;
    gauge_view(q->gauge, k->now_us, &ret->gauge);
    gauge_drain(q->gauge, decide_mark(c->gate.threshold, k->limits.resume_ppm, c->gate.reasons != 0), k->now_us,
                &ret->drain);
}

bool
core_status(struct core *k, uint32_t number, struct core_status *ret)
{
    struct connector *c = number < k->n_connectors ? k->connectors[number] : NULL;
    const struct schedule *s = c == NULL ? NULL : &c->sch;

    if (c == NULL)
        return false;
    memset(ret, 0, sizeof(*ret));
    ret->id = c->cfg.id;
    ret->kind = s->kind;
    ret->configured = c->configured;
    ret->connected = c->conn != 0;
    ret->paused = s->paused;
    ret->running = s->running;
    ret->due = !s->running && (s->kind == 0 || (s->asking && !schedule_too_early(k, s)));
    memcpy(ret->run, s->run, sizeof(ret->run));
    ret->reasons = schedule_reasons(k, c);
    ret->spooled = c->drain.count;
    ret->spooled_bytes = c->drain.bytes;
    ret->oldest = c->drain.first;
    ret->period_us = s->period_us;
    ret->last_run_us = s->last_run_us;
    ret->next_run_us = next_run_us(k, s);
    measure(k, c, ret);
    return true;
}
