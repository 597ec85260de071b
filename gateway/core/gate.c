/* gate.c - before a queue: may this connector start a bundle, or a run?
 *
 * A gate is closed while its queue holds the connector's threshold, or something larger than that queue is full; what
 * was closed opens a little below, so that it does not flap.  Who has a bundle and may not start it waits in the
 * queue's line, and when there is room the one goes that has had least through its weight (start-time fair queueing:
 * Goyal, Vin, Cheng 1996), so that room which is short is shared by weight, whoever asks most.  While somebody
 * waits nobody passes by.
 *
 * For that they have to wait here, and not at the publisher: where a gate was closed lately, no more is in flight to
 * its queue than keeps the publisher busy.  Who is far away, or was given credit last, comes late to room that opens:
 * so one that wanted all the time is served before the others until it has caught up, within CATCH_UP.
 *
 * Longest wait: one who waits in a line of n gets a bundle through after at most the others' shares of what comes free,
 * weight of all / own weight x the largest bundle, and what others may catch up, at the rate that consumers take.
 *
 * All that is started is reserved in the queue's gauge before: so what is believed is never less than the truth. */
#include "machine.h"

enum {
    SHARE_US = 30000000, /* the room for a run is kept free for so long after its permit */
    SCALE = 1024,        /* of virtual time, so that weights divide small bundles */
    SHORT_US = 60000000, /* room is short for so long after a gate was closed */
    FLIGHT_PART = 32,    /* of the threshold: then so much is in flight, within */
    FLIGHT_MIN = 512 * 1024,
    FLIGHT_MAX = 8 * 1024 * 1024, /* as much as a publisher has in its window */
    CATCH_UP = 1024 * 1024,       /* bytes that one who wanted all the time may be behind */
    AWAY_US = 2000000             /* who wanted nothing for so long was away: it has nothing to catch up */
};

/* --- why not --- */

static struct decide_level
sum_of(const struct core *k, uint32_t group)
{
    return (struct decide_level){k->groups[group].unknown > 0 ? DECIDE_UNKNOWN : k->groups[group].upper,
                                 k->limits.budget[group]};
}

static bool
node_is_old(const struct core *k)
{
    return k->now_us - k->node.asked_us > k->limits.stale_after_us;
}

/* A tenth of the limit is left, so that what others bring does not raise the alarm at once. */
static struct decide_level
memory_of(const struct core *k)
{
    const struct node *n = &k->node;

    if (!n->told || n->memory_limit == GAUGE_UNKNOWN)
        return (struct decide_level){0, DECIDE_NONE};
    if (node_is_old(k) || n->memory_used == GAUGE_UNKNOWN)
        return (struct decide_level){DECIDE_UNKNOWN, n->memory_limit};
    return (struct decide_level){n->memory_used + n->coming + n->coming_before,
                                 n->memory_limit - n->memory_limit / 10};
}

static struct decide_level
disk_of(const struct core *k)
{
    const struct node *n = &k->node;

    if (!n->told || n->disk_limit == GAUGE_UNKNOWN)
        return (struct decide_level){0, DECIDE_NONE};
    if (node_is_old(k) || n->disk_free == GAUGE_UNKNOWN)
        return (struct decide_level){DECIDE_UNKNOWN, n->disk_limit};
    return (struct decide_level){n->disk_limit + n->disk_limit / 10 + n->coming + n->coming_before, n->disk_free};
}

void
gate_inputs(const struct core *k, const struct connector *c, struct decide_inputs *ret)
{
    const struct queue *q = queues_of(k, c);

    *ret = (struct decide_inputs){.queue = {q->upper, c->gate.threshold},
                                  .group = sum_of(k, q->cfg.group),
                                  .all = sum_of(k, 0),
                                  .memory = memory_of(k),
                                  .disk = disk_of(k),
                                  .resume_ppm = k->limits.resume_ppm,
                                  .before = c->gate.reasons,
                                  .run_on_stale = k->limits.run_on_stale};
    if (q->cfg.group == 0)
        ret->group = (struct decide_level){0, DECIDE_NONE};
}

void
gate_inputs_of_run(const struct core *k, const struct connector *c, struct decide_inputs *ret)
{
    gate_inputs(k, c, ret);
    if (ret->queue.upper != DECIDE_UNKNOWN)
        ret->queue.upper += c->drain.bytes;
}

static void
changed(struct core *k, struct connector *c, struct queue *q, uint32_t reasons, const struct decide_inputs *in)
{
    q->closed += reasons != 0 && c->gate.reasons == 0;
    q->closed -= reasons == 0 && c->gate.reasons != 0;
    c->gate.reasons = reasons;
    if (reasons == 0 || c->drain.n > 0)
        drain_look(k, c);
    spooling_look(k, c);
    if (c->conn == 0 && c->drain.count == 0)
        return; /* nobody waits for this gate */
    if ((reasons & (WIRE_HOLD_QUEUE | WIRE_HOLD_BUDGET)) != 0)
        q->short_us = k->now_us + SHORT_US;
    run_decision(k, c, reasons == 0 ? "gate_opened" : "gate_closed", reasons, in);
    list_push(k, &k->dirty, c->number);
    if (reasons != 0)
        return;
    k->woken = true;
    credit_want(k, c, c->want, c->head);
}

uint32_t
gate_look(struct core *k, struct connector *c)
{
    struct queue *q = queues_of(k, c);
    struct decide_inputs in;
    uint32_t reasons;

    if (q == NULL)
        return 0;
    gate_inputs(k, c, &in);
    reasons = decide(&in);
    if (reasons != c->gate.reasons)
        changed(k, c, q, reasons, &in);
    return reasons;
}

void
gate_threshold(struct core *k, struct connector *c, const struct wire_msg *m)
{
    struct gate *g = &c->gate;

    if (m != NULL)
        g->word = WIRE_HAS(m, WIRE_F_THRESHOLD) ? m->threshold : DECIDE_NONE;
    g->threshold = c->cfg.threshold;
    if (g->word != DECIDE_NONE && (!c->cfg.threshold_fixed || g->word < g->threshold))
        g->threshold = g->word;
    if (m != NULL)
        gate_look(k, c);
}

/* --- the line --- */

void
gate_wanted(struct core *k, struct connector *c)
{
    c->gate.wanted_us = k->now_us;
}

/* Nobody saves up turns by being away. */
static void
catch_up(const struct core *k, const struct queue *q, struct connector *c)
{
    const bool away = k->now_us - c->gate.wanted_us > AWAY_US;
    const uint64_t behind = away ? 0 : (uint64_t)CATCH_UP * SCALE / (c->cfg.weight == 0 ? 1 : c->cfg.weight);
    const uint64_t least = q->served > behind ? q->served - behind : 0;

    if (c->gate.served < least)
        c->gate.served = least;
}

/* Is so much in flight to a queue whose room is short that its publisher is busy? */
static bool
busy(const struct core *k, const struct queue *q, const struct connector *c)
{
    const uint64_t part = c->gate.threshold / FLIGHT_PART;
    const uint64_t most = part < FLIGHT_MIN ? FLIGHT_MIN : part > FLIGHT_MAX ? FLIGHT_MAX
                                                                             : part;

    return k->now_us < q->short_us && q->flying >= most;
}

static void
line_up(struct core *k, struct queue *q, struct connector *c)
{
    if (c->gate.lined)
        return;
    c->gate.lined = true;
    c->gate.line_next = NONE;
    catch_up(k, q, c);
    if (q->line_tail == NONE)
        q->line_head = c->number;
    else
        k->connectors[q->line_tail]->gate.line_next = c->number;
    q->line_tail = c->number;
}

static void
line_leave(struct core *k, struct queue *q, struct connector *c, uint32_t before)
{
    if (before == NONE)
        q->line_head = c->gate.line_next;
    else
        k->connectors[before]->gate.line_next = c->gate.line_next;
    if (q->line_tail == c->number)
        q->line_tail = before;
    c->gate.lined = false;
}

void
gate_leave(struct core *k, struct connector *c)
{
    struct queue *q = queues_of(k, c);
    uint32_t before = NONE;

    if (!c->gate.lined)
        return;
    for (uint32_t i = q->line_head; i != c->number; i = k->connectors[i]->gate.line_next)
        before = i;
    line_leave(k, q, c, before);
}

/* Of those who may pass, the one who has had least; taken out of the line.  NULL: nobody. */
static struct connector *
next_in_turn(struct core *k, struct queue *q)
{
    struct connector *best = NULL;
    uint32_t before = NONE, best_before = NONE;

    for (uint32_t i = q->line_head; i != NONE; before = i, i = k->connectors[i]->gate.line_next) {
        struct connector *c = k->connectors[i];

        if ((best != NULL && c->gate.served >= best->gate.served) || gate_look(k, c) != 0 ||
            busy(k, q, c))
            continue;
        best = c;
        best_before = before;
    }
    if (best != NULL)
        line_leave(k, q, best, best_before);
    return best;
}

static void
serve_line(struct core *k, struct queue *q)
{
    struct connector *c;

    if (q->serving)
        return;
    q->serving = true;
    while ((c = next_in_turn(k, q)) != NULL) {
        const uint64_t before = c->posts;

        c->gate.turns = 1;
        posting_pump(k, c);
        c->gate.turns = 0;
        if (c->gate.lined && c->posts == before)
            break; /* its bytes could not be reserved: no memory, later */
    }
    q->serving = false;
}

/* --- a bundle --- */

static bool
reserve(struct core *k, struct connector *c, struct queue *q, uint32_t s)
{
    struct slot *slot = &k->slots[s];
    const uint64_t bytes = slot->bytes - slot->went_bytes, messages = slot->messages - slot->went;
    struct gate *g = &c->gate;

    if (messages > 0 && gauge_reserve(q->gauge, bytes, messages, slot->largest, k->now_us, &slot->reserved, NULL) != 0)
        return false;
    if (messages > 0)
        gauge_commit(q->gauge, slot->reserved, k->now_us);
    slot->queue = c->cfg.queue;
    slot->flying = bytes;
    q->flying += bytes;
    g->wanted_us = k->now_us;
    queues_spend(k, bytes, messages);
    queues_refresh(k, q);
    q->served = g->served > q->served ? g->served : q->served;
    g->served += bytes * SCALE / (c->cfg.weight == 0 ? 1 : c->cfg.weight);
    q->promised -= bytes < g->promise ? bytes : g->promise;
    g->promise -= bytes < g->promise ? bytes : g->promise;
    g->run_bytes += bytes;
    return true;
}

bool
gate_pass(struct core *k, struct connector *c, uint32_t slot)
{
    struct queue *q = queues_of(k, c);
    const bool others = q != NULL && q->line_head != NONE;

    if (q == NULL)
        return !queues_blind(k, c);
    if (!others)
        catch_up(k, q, c);
    if (c->gate.lined || (others && c->gate.turns == 0) || gate_look(k, c) != 0 || busy(k, q, c) ||
        !reserve(k, c, q, slot)) {
        line_up(k, q, c);
        /* Those before it may wait for what does not hold this one: a lower threshold. */
        if (others && c->gate.reasons == 0 && !busy(k, q, c))
            serve_line(k, q);
        return false;
    }
    if (c->gate.turns > 0)
        c->gate.turns--;
    return true;
}

/* --- what became of it --- */

/* It is at no publisher any more.  The gauge that holds what this slot reserved, or NULL: nothing is reserved. */
static struct gauge *
reserved_at(struct core *k, uint32_t s)
{
    struct queue *q;

    if (s >= k->n_slots || !k->slots[s].used || k->slots[s].reserved == 0)
        return NULL;
    q = &k->queues[k->slots[s].queue];
    q->flying -= k->slots[s].flying;
    k->slots[s].flying = 0;
    return q->gauge;
}

void
gate_served(struct core *k, uint32_t number)
{
    if (number < k->n_queues && k->queues[number].line_head != NONE)
        serve_line(k, &k->queues[number]);
}

uint32_t
gate_confirmed(struct core *k, uint32_t s)
{
    struct gauge *g = reserved_at(k, s);
    struct slot *slot = g == NULL ? NULL : &k->slots[s];

    if (g == NULL)
        return NONE;
    gauge_taken(g, slot->reserved, slot->bytes - slot->went_bytes, slot->messages - slot->went, k->now_us);
    slot->reserved = 0;
    return slot->queue;
}

uint32_t
gate_refused(struct core *k, uint32_t s, uint32_t went, uint64_t went_bytes)
{
    struct gauge *g = reserved_at(k, s);
    struct slot *slot = g == NULL ? NULL : &k->slots[s];

    if (g == NULL)
        return NONE;
    if (went > slot->went) {
        gauge_taken(g, slot->reserved, went_bytes - slot->went_bytes, went - slot->went, k->now_us);
        slot->went = went;
        slot->went_bytes = went_bytes;
    }
    gauge_refused(g, slot->reserved, slot->bytes - slot->went_bytes, slot->messages - slot->went);
    slot->reserved = 0;
    return slot->queue;
}

void
gate_lost(struct core *k, uint32_t s)
{
    struct gauge *g = reserved_at(k, s);

    if (g == NULL)
        return;
    gauge_lost(g, k->slots[s].reserved);
    k->slots[s].reserved = 0;
}

/* --- a run --- */

uint32_t
gate_share(struct core *k, struct connector *c)
{
    const struct queue *q = queues_of(k, c);

    if (q == NULL || q->promised == 0 || q->upper == DECIDE_UNKNOWN)
        return 0;
    return q->upper + q->promised >= c->gate.threshold ? (uint32_t)WIRE_HOLD_SHARE : 0;
}

void
gate_promise(struct core *k, struct connector *c)
{
    struct queue *q = queues_of(k, c);
    struct gate *g = &c->gate;
    const uint64_t expected = c->want > g->run_bytes ? c->want : g->run_bytes;

    g->run_bytes = 0;
    if (q == NULL || c->sch.kind == WIRE_S_CONTINUOUS + 1)
        return;
    q->promised += expected - g->promise;
    g->promise = expected;
    g->promised_us = k->now_us + SHARE_US;
    if (q->promised_us > g->promised_us)
        q->promised_us = g->promised_us;
}

void
gate_released(struct core *k, struct connector *c)
{
    struct queue *q = queues_of(k, c);

    if (q == NULL || c->gate.promise == 0)
        return;
    q->promised -= c->gate.promise;
    c->gate.promise = 0;
    k->woken = true;
}

/* --- figures have changed --- */

/* Each by itself: runs that begin one after the other would else keep the room of one that brings nothing. */
static void
forget_promises(struct core *k, struct queue *q)
{
    q->promised_us = INT64_MAX;
    for (uint32_t i = q->peers; i != NONE; i = k->connectors[i]->gate.peer_next) {
        struct gate *g = &k->connectors[i]->gate;

        if (g->promised_us <= k->now_us) {
            q->promised -= g->promise;
            g->promise = 0;
        } else if (g->promise > 0 && g->promised_us < q->promised_us) {
            q->promised_us = g->promised_us;
        }
    }
    k->woken = true;
}

/* Somebody is held by this queue who could go on: would a count say so? */
static void
ask_count(struct core *k, struct queue *q, uint64_t mark)
{
    struct core_effect e = {.kind = CORE_COUNT};

    if (mark == 0 || k->now_us - q->counted_us < k->limits.count_every_us ||
        !gauge_count_worth(q->gauge, mark, k->now_us))
        return;
    q->counted_us = k->now_us;
    e.u.queue = (uint32_t)(q - k->queues);
    core_emit(k, &e);
}

void
gate_wake(struct core *k, struct queue *q)
{
    uint64_t mark = 0;

    if (q->promised > 0 && q->promised_us <= k->now_us)
        forget_promises(k, q);
    for (uint32_t i = q->peers; i != NONE; i = k->connectors[i]->gate.peer_next)
        gate_look(k, k->connectors[i]);
    serve_line(k, q);
    for (uint32_t i = q->peers; i != NONE; i = k->connectors[i]->gate.peer_next) {
        const struct connector *c = k->connectors[i];
        const bool waits = c->gate.lined || c->sch.asking || c->want > 0 || c->drain.count > 0;
        const uint64_t own = decide_mark(c->gate.threshold, k->limits.resume_ppm, true);

        if (waits && (c->gate.reasons & WIRE_HOLD_QUEUE) != 0 && own > mark)
            mark = own;
    }
    ask_count(k, q, mark);
}
