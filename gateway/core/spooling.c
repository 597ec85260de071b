/* spooling.c - to the spool: bundles whose way to RabbitMQ is shut, and those that can never go it.
 *
 * A bundle goes there only if all before it are settled or go there too.  So the last one in a stream is a cumulative
 * mark: whatever crashes, no ack passes a bundle that nobody has.  For the same reason nothing is asked again after one
 * failed before all that was asked behind it has failed too (`alone` in core.h).
 *
 * Bound: what is on its way is memory that was admitted, until the disk answers; a disk that hangs takes no more. */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

enum {
    AGAIN_US = 1000000, /* after a disk that did not take it */
    NEAR = 16           /* bundles of a stream that is nearly empty: those behind it wait for a turn of their own */
};

bool
spooling_open(const struct core *k, const struct connector *c)
{
    const struct pub *p = &k->pubs[c->cfg.publisher];

    return p->up && !p->blocked && c->gate.reasons == 0 && !queues_blind(k, c);
}

/* Of its stream, what no publisher has yet, and nobody refused. */
static uint64_t
backlog(const struct connector *c)
{
    const uint64_t done = (uint64_t)c->drain.posted + c->drain.doomed;

    return (c->drain.count > done ? c->drain.count - done : 0) + c->spool.live;
}

bool
spooling_first(const struct connector *c)
{
    return backlog(c) > 0;
}

/* Who pushes all the time would else never come to the end of his stream. */
static bool
is_shut(const struct core *k, const struct connector *c)
{
    return !spooling_open(k, c) || (backlog(c) > 0 && (backlog(c) > NEAR || !c->configured));
}

uint64_t
spooling_room(const struct core *k, const struct connector *c)
{
    const uint64_t spooled = c->drain.bytes + c->held, unanswered = c->spool.unanswered + c->held;
    uint64_t room = UINT64_MAX;

    if (c->cfg.spool_limit == 0)
        return room;
    if (!spooling_open(k, c) || backlog(c) > 0)
        room = c->cfg.spool_limit > spooled ? c->cfg.spool_limit - spooled : 0;
    if (c->cfg.confirm && unanswered > 0) {
        const uint64_t left = c->cfg.unanswered_max > unanswered ? c->cfg.unanswered_max - unanswered : 0;

        room = left < room ? left : room;
    }
    return room;
}

/* --- out --- */

static void
put(struct core *k, struct connector *c, struct bundle *b, bool dead)
{
    struct slot *slot = &k->slots[b->slot];
    struct core_effect e = {.kind = CORE_SPOOL};

    e.u.spool.slot = b->slot;
    e.u.spool.number = c->number;
    e.u.spool.connector = c->cfg.id;
    e.u.spool.epoch = c->epoch;
    e.u.spool.seq = slot->seq;
    e.u.spool.format = (enum wire_format)slot->format;
    e.u.spool.alone = c->spool.out == 0;
    e.u.spool.dead = dead;
    e.u.spool.reason = dead ? (enum wire_reason)b->reason : WIRE_R_NONE;
    e.u.spool.text = dead ? b->text : NULL;
    b->state = B_SPOOLING;
    slot->spooling = true;
    slot->dead = dead;
    slot->size = b->size;
    slot->spool_of = c->number;
    c->spool.out++;
    c->spool.live += !dead;
    core_emit(k, &e);
}

/* What became of one may have let the next ones go, so this starts where it stopped. */
static void
pump(struct core *k, struct connector *c)
{
    const bool shut = is_shut(k, c);

    if (c->cfg.spool_limit == 0 || c->spool.failed || k->spool_full)
        return;
    if (c->spool.next < c->first)
        c->spool.next = c->first;
    for (; c->spool.next < c->expect; c->spool.next++) {
        struct bundle *b = custody_at(c, c->spool.next);

        if (b->state == B_ACKED || b->state == B_SPOOLING || b->state == B_HELD)
            continue;
        if (b->state == B_DEAD)
            put(k, c, b, true);
        /* Of what went in part the rest is sent, as long as there is somebody who could say what went. */
        else if (b->state == B_WAITING && shut && (k->slots[b->slot].went == 0 || !k->pubs[c->cfg.publisher].up))
            put(k, c, b, false);
        else
            break;
    }
}

/* It has nothing any more that would wait before its gate. */
static void
leave(struct core *k, struct connector *c)
{
    if (!c->gate.lined || drain_has(k, c, B_WAITING))
        return;
    for (uint64_t s = c->next_post; s < c->expect; s++)
        if (custody_at(c, s)->state == B_WAITING)
            return;
    gate_leave(k, c);
}

void
spooling_look(struct core *k, struct connector *c)
{
    if (c->cfg.spool_limit > 0 && c->first < c->expect)
        list_push(k, &k->shut, c->number);
}

static bool
waits(const struct core *k, const struct connector *c)
{
    return (c->spool.failed && c->spool.out == 0 && c->spool.wait_us > k->now_us) || c->drain.wait_us > k->now_us;
}

void
spooling_turn(struct core *k)
{
    struct list before = k->shut;

    k->shut = (struct list){NONE, NONE};
    while (before.head != NONE) {
        struct connector *c = k->connectors[before.head];

        before.head = c->shut_next;
        c->shut = false;
        if (c->spool.failed && c->spool.out == 0 && c->spool.wait_us <= k->now_us)
            c->spool.failed = false;
        pump(k, c);
        leave(k, c);
        drain_look(k, c);
        if (c->drain.doomed > 0 && c->drain.wait_us <= k->now_us && drain_has(k, c, B_DEAD))
            posting_pump(k, c);
        if (waits(k, c))
            list_push(k, &k->shut, c->number);
    }
    drain_serve(k);
}

int64_t
spooling_due(const struct core *k)
{
    int64_t due = INT64_MAX;

    for (uint32_t i = k->shut.head; i != NONE; i = k->connectors[i]->shut_next) {
        const struct connector *c = k->connectors[i];

        if (c->spool.failed && c->spool.out == 0 && c->spool.wait_us < due)
            due = c->spool.wait_us;
        if (c->drain.wait_us > k->now_us && c->drain.wait_us < due)
            due = c->drain.wait_us;
        if (due < k->now_us || !waits(k, c))
            due = k->now_us;
    }
    return due;
}

/* --- dead letters --- */

bool
spooling_doomed(struct core *k, struct connector *c, struct bundle *b, enum wire_reason reason, const char *text)
{
    char *kept;

    if (c->cfg.spool_limit == 0 || k->spool_full || c->spool.failed || b->slot == NONE ||
        c->nacks >= CORE_NACKS_MAX)
        return false;
    kept = text == NULL ? NULL : strndup(text, WIRE_TEXT_MAX); /* it may be b's own */
    free(b->text);
    b->text = kept;
    b->reason = (uint8_t)reason;
    b->state = B_DEAD;
    spooling_look(k, c);
    return true;
}

/* Without a place to keep it, it is the connector's again, as it would be without a spool. */
static void
give_up_doomed(struct core *k, struct connector *c)
{
    for (uint64_t s = c->first; s < c->expect; s++) {
        struct bundle *b = custody_at(c, s);

        if (b->state == B_DEAD)
            verdict_refuse(k, c, b, (enum wire_reason)b->reason, b->text);
    }
    verdict_settle(k, c);
}

/* --- answers --- */

static void
failed(struct core *k, struct connector *c, struct bundle *b, uint32_t s)
{
    const uint64_t seq = k->slots[s].seq;

    c->spool.failed = true;
    c->spool.wait_us = k->now_us + AGAIN_US;
    list_push(k, &k->shut, c->number);
    if (b == NULL) {
        slots_give(k, s);
        return;
    }
    b->state = k->slots[s].dead ? B_DEAD : B_WAITING;
    if (seq < c->spool.next)
        c->spool.next = seq;
    if (seq < c->next_post)
        c->next_post = seq;
    if (b->state == B_DEAD)
        give_up_doomed(k, c);
}

static void
taken(struct core *k, struct connector *c, struct bundle *b, uint32_t s, uint64_t pos)
{
    k->fig.put++;
    k->fig.dead += k->slots[s].dead;
    if (!k->slots[s].dead)
        drain_grown(k, c, pos, k->slots[s].size);
    if (b == NULL) {
        slots_give(k, s);
        return;
    }
    if (k->slots[s].dead) {
        b->dead = true;
        verdict_refuse(k, c, b, (enum wire_reason)b->reason, b->text);
    } else {
        b->state = c->cfg.confirm ? B_HELD : B_ACKED;
        b->slot = NONE;
        b->pos = pos;
        free(b->text); /* what a format left out: it says so again when it is read back */
        b->text = NULL;
        b->partial = false;
        c->spool.unanswered += c->cfg.confirm ? b->size : 0;
        slots_give(k, s);
    }
    verdict_settle(k, c);
}

static void
spooled(struct core *k, const struct core_event *e)
{
    const uint32_t s = e->u.spooled.slot;
    struct connector *c;
    struct bundle *b = NULL;

    if (s >= k->n_slots || !k->slots[s].used || !k->slots[s].spooling)
        return;
    c = k->connectors[k->slots[s].spool_of];
    k->slots[s].spooling = false;
    c->spool.out--;
    c->spool.live -= !k->slots[s].dead;
    if (k->slots[s].connector != NONE)
        b = custody_at(c, k->slots[s].seq);
    if (e->u.spooled.ok)
        taken(k, c, b, s, e->u.spooled.pos);
    else
        failed(k, c, b, s);
    posting_pump(k, c);
    credit_freed(k, c);
    drain_look(k, c);
}

static void
space(struct core *k, bool full)
{
    k->spool_full = full;
    for (uint32_t i = 0; i < k->n_connectors; i++) {
        struct connector *c = k->connectors[i];

        if (c->cfg.spool_limit == 0)
            continue;
        if (full)
            give_up_doomed(k, c);
        else
            c->spool.wait_us = k->now_us;
        spooling_look(k, c);
        posting_pump(k, c);
        credit_freed(k, c);
    }
    schedule_wake(k);
}

static void
found(struct core *k, const struct core_event *e)
{
    const uint32_t i = session_known(k, e->u.found.id);
    struct connector *c = i == NONE ? NULL : k->connectors[i];

    if (c == NULL)
        return;
    k->spool = true;
    c->drain.count = e->u.found.count;
    c->drain.bytes = e->u.found.bytes;
    c->drain.first = c->drain.fetch_pos = e->u.found.first;
    c->drain.next = e->u.found.next;
    if (c->conn == 0 && c->first == c->expect &&
        (e->u.found.epoch > c->epoch || (e->u.found.epoch == c->epoch && e->u.found.seq >= c->expect))) {
        c->epoch = e->u.found.epoch;
        c->first = c->expect = c->next_post = e->u.found.seq + 1;
        list_push(k, &k->unsaved, i);
    }
    posting_pump(k, c);
}

void
spooling_event(struct core *k, const struct core_event *e)
{
    if (e->kind == CORE_SPOOL_FOUND)
        found(k, e);
    else if (e->kind == CORE_SPOOLED)
        spooled(k, e);
    else
        space(k, e->u.space.full);
}

void
spooling_reset(struct connector *c)
{
    c->spool.next = c->first;
    c->spool.unanswered = 0;
}

/* --- answered for when it is forwarded --- */

/* The record of a bundle that waits for its answer, or NULL. */
static struct bundle *
held(struct connector *c, uint64_t epoch, uint64_t seq)
{
    struct bundle *b = epoch == c->epoch && seq >= c->first && seq < c->expect ? custody_at(c, seq) : NULL;

    return b == NULL || b->state != B_HELD ? NULL : b;
}

void
spooling_forwarded(struct core *k, struct connector *c, uint64_t epoch, uint64_t seq)
{
    struct bundle *b = held(c, epoch, seq);

    if (b == NULL)
        return;
    c->spool.unanswered -= b->size;
    b->state = B_ACKED;
    verdict_settle(k, c);
    credit_freed(k, c);
}

void
spooling_buried(struct core *k, struct connector *c, uint64_t epoch, uint64_t seq, enum wire_reason reason)
{
    struct bundle *b = held(c, epoch, seq);

    if (b == NULL)
        return;
    c->spool.unanswered -= b->size;
    b->dead = true;
    verdict_refuse(k, c, b, reason, NULL);
    verdict_settle(k, c);
    credit_freed(k, c);
}

/* Its connector has it yet, so it may say so. */
void
spooling_damaged(struct core *k, struct connector *c, uint64_t pos)
{
    for (uint64_t s = c->first; c->spool.unanswered > 0 && s < c->expect; s++) {
        struct bundle *b = custody_at(c, s);

        if (b->state != B_HELD || b->pos != pos)
            continue;
        c->spool.unanswered -= b->size;
        verdict_refuse(k, c, b, WIRE_R_REFUSED, "the gateway's disk has lost it: push it again");
        verdict_settle(k, c);
        return;
    }
}
