/* credit.c - who may push how much: memory is given out before it is used, so it cannot be overdrawn.
 *
 * What bundles hold and what credit is out stay within memory_limit together.  Credit is given for what a
 * connector says it wants, its next bundle always whole, first come first served: one whose bundle does not fit
 * yet keeps its place at the head until it does, so the large are not starved by the small.
 *
 * One who pushed and has nothing more to say keeps a little (STANDING), or each bundle of a slow, steady
 * connector would cost a round trip before it; what lies idle so is an eighth of memory_limit in all at most. */
#include "machine.h"

enum {
    STANDING = 256 * 1024,
    WINDOW_MIN = 256 * 1024,
    WINDOW_MAX = 4 * 1024 * 1024, /* beyond what a broker's confirm window holds: more only fills memory */
    MEMORY_TOLD_US = 1000000      /* who waits so long for memory is told */
};

static uint64_t
min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t
outstanding(const struct connector *c)
{
    return c->limit - c->used;
}

/* What it wants in terms of cost: tiny bundles cost more than they weigh, and the first stands for all. */
static uint64_t
wanted(const struct connector *c)
{
    if (c->want == 0)
        return 0;
    if (c->head >= WIRE_COST_MIN)
        return c->want > c->head ? c->want : c->head;
    return (min64(c->want, WINDOW_MAX) / (c->head == 0 ? 1 : c->head) + 1) * WIRE_COST_MIN;
}

/* Keep the sum of credit that lies idle right after any change of c. */
static void
account(struct core *k, struct connector *c)
{
    const uint64_t out = outstanding(c), want = wanted(c), idle = out > want ? out - want : 0;

    k->idle = k->idle - c->idle + idle;
    c->idle = idle;
}

static uint64_t
window(const struct core *k)
{
    const uint64_t share = k->cfg.memory_limit / 2 / (k->wanting == 0 ? 1 : k->wanting);

    return share < WINDOW_MIN ? WINDOW_MIN : min64(share, WINDOW_MAX);
}

/* How much credit it should have out now. */
static uint64_t
target(const struct core *k, const struct connector *c)
{
    const uint64_t head = c->want == 0 ? 0 : wire_cost(min64(c->head, k->cfg.max_bundle));
    uint64_t t = min64(wanted(c), window(k));

    if (t < head)
        t = head;
    if (t < STANDING && c->used > 0 && k->idle - c->idle + STANDING <= k->cfg.memory_limit / 8)
        t = STANDING;
    return t;
}

uint32_t
credit_hold(const struct core *k, const struct connector *c)
{
    const struct pub *p = &k->pubs[c->cfg.publisher];

    return (k->draining ? (uint32_t)WIRE_HOLD_DRAINING : 0) | (!p->up ? (uint32_t)WIRE_HOLD_BROKER_DOWN : 0) |
           (p->up && p->blocked ? (uint32_t)WIRE_HOLD_BROKER_ALARM : 0);
}

/* Put it in the line if it has less than half of what it should have, or cannot send its next bundle. */
static void
consider(struct core *k, struct connector *c)
{
    uint64_t t;

    if (c->conn == 0 || c->hungry)
        return;
    t = target(k, c);
    if (outstanding(c) >= t || (outstanding(c) > t / 2 && outstanding(c) >= wire_cost(c->head)))
        return;
    if (credit_hold(k, c) != 0) {
        list_push(k, &k->dirty, c->number); /* to be told of the hold */
        return;
    }
    c->hungry_us = k->now_us;
    list_push(k, &k->hungry, c->number);
}

void
credit_reset(struct core *k, struct connector *c)
{
    k->credit_out -= outstanding(c);
    c->limit = c->used = 0;
    c->hold_told = 0;
    account(k, c);
}

void
credit_want(struct core *k, struct connector *c, uint64_t want, uint64_t head)
{
    if (want > 0 && c->want == 0)
        k->wanting++;
    if (want == 0 && c->want > 0)
        k->wanting--;
    c->want = want;
    c->head = want == 0 ? 0 : head;
    account(k, c);
    consider(k, c);
}

bool
credit_use(struct core *k, struct connector *c, uint64_t cost)
{
    if (cost > outstanding(c))
        return false;
    c->used += cost;
    k->credit_out -= cost;
    account(k, c);
    return true;
}

/* Give c what it should have, as far as there is room.  false: not even its next bundle fits yet. */
static bool
give(struct core *k, struct connector *c)
{
    const uint64_t spent = k->held + k->credit_out;
    const uint64_t room = spent < k->cfg.memory_limit ? k->cfg.memory_limit - spent : 0;
    const uint64_t t = target(k, c), out = outstanding(c);
    const uint64_t head = c->want == 0 ? 0 : wire_cost(min64(c->head, k->cfg.max_bundle));
    uint64_t grant;

    if (t <= out)
        return true;
    grant = min64(t - out, room);
    if (out + grant < head)
        return false;
    c->limit += grant;
    k->credit_out += grant;
    account(k, c);
    if (grant > 0) {
        c->credit_dirty = true;
        list_push(k, &k->dirty, c->number);
    }
    return true;
}

void
credit_serve(struct core *k)
{
    while (k->hungry.head != NONE) {
        struct connector *c = k->connectors[k->hungry.head];

        if (c->conn != 0 && c->nacks < CORE_NACKS_MAX && credit_hold(k, c) == 0 && !give(k, c))
            break;
        list_pop(k, &k->hungry);
    }
    for (uint32_t i = k->hungry.head; i != NONE; i = k->connectors[i]->hungry_next) {
        struct connector *c = k->connectors[i];

        if (k->now_us - c->hungry_us < MEMORY_TOLD_US)
            break; /* those behind came later */
        if (c->hold_told == 0)
            list_push(k, &k->dirty, i);
    }
}

void
credit_wake(struct core *k, uint32_t publisher)
{
    for (uint32_t i = 0; i < k->n_connectors; i++)
        if (k->connectors[i]->cfg.publisher == publisher && k->connectors[i]->conn != 0)
            consider(k, k->connectors[i]);
}

static void
tell_hold(struct core *k, struct connector *c)
{
    struct wire_msg m = {.type = WIRE_HOLD, .has = 1ULL << WIRE_F_REASONS};
    uint32_t why = 0;

    if (outstanding(c) < wire_cost(c->head) && c->want > 0) {
        why = credit_hold(k, c);
        if (why == 0 && c->hungry && k->now_us - c->hungry_us >= MEMORY_TOLD_US)
            why = WIRE_HOLD_MEMORY;
    }
    if (k->draining)
        why |= WIRE_HOLD_DRAINING;
    if (why == c->hold_told)
        return;
    c->hold_told = why;
    m.reasons = why;
    if (why != 0)
        core_send(k, c->conn, &m);
}

void
credit_tell(struct core *k, struct connector *c)
{
    struct wire_msg m = {.type = WIRE_CREDIT, .has = 1ULL << WIRE_F_CREDIT, .credit = c->limit};

    if (c->conn == 0) {
        c->credit_dirty = false;
        return;
    }
    if (c->credit_dirty)
        core_send(k, c->conn, &m);
    c->credit_dirty = false;
    tell_hold(k, c);
}
