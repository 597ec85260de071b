/* credit.c - who may push how much: memory is given out before it is used, so it cannot be overdrawn.
 *
 * What bundles hold and what credit is out stay within memory_limit together.  Credit is given for what a
 * connector says it wants, its next bundle always whole, first come first served: one whose bundle does not fit
 * yet keeps its place at the head until it does, so the large are not starved by the small.
 *
 * Credit that is out but less than the next bundle needs cannot be used before more is given: it counts as
 * nothing until then.  (Else the rests of many connectors could fill the memory, and nobody could go on.)  Who said
 * that its next bundle is larger, and then sends a smaller one, would use what others were given meanwhile: such credit
 * is frozen until there is room for it, and a bundle on frozen credit is not admitted.
 *
 * Credit is never taken back, so what may never be used is bounded: one who pushed and has nothing more to say
 * keeps a little (STANDING), or each bundle of a slow, steady connector would cost a round trip before it; and for
 * tiny bundles more is given than they weigh, since each costs WIRE_COST_MIN at least.  Both together
 * lie within an eighth of memory_limit (IDLE_PART).  And who asked for more and then does not send, while others wait
 * for memory, is disconnected: it may say hello again. */
#include "machine.h"

enum {
    STANDING = 256 * 1024,
    WINDOW_MIN = 256 * 1024,
    WINDOW_MAX = 4 * 1024 * 1024, /* what one connector has here, credit and bundles: more only fills memory */
    IDLE_PART = 8,
    MEMORY_TOLD_US = 1000000      /* who waits so long for memory is told */
};

static uint64_t
min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t
credit_memory(const struct core *k)
{
    return k->cfg.memory_limit - (k->spool ? k->cfg.memory_limit / 4 : 0);
}

static uint64_t
outstanding(const struct connector *c)
{
    return c->limit - c->used;
}

static uint64_t
head_cost(const struct core *k, const struct connector *c)
{
    return c->want == 0 ? 0 : wire_cost(min64(c->head, k->cfg.max_bundle + WIRE_OPTIONS_MAX));
}

/* What it will use for sure: the bytes that wait, and at least the first bundle. */
static uint64_t
sure(const struct core *k, const struct connector *c)
{
    const uint64_t head = head_cost(k, c);

    return c->want > head ? c->want : head;
}

/* What it may use beyond that. */
static uint64_t
likely(const struct core *k, const struct connector *c)
{
    const uint64_t tiny = c->want == 0 || c->head >= WIRE_COST_MIN || c->head == 0
                              ? 0
                              : min64(c->want, WINDOW_MAX) / c->head * WIRE_COST_MIN;
    const uint64_t standing = c->used > 0 ? STANDING : 0;
    const uint64_t most = tiny > standing ? tiny : standing;

    return most > sure(k, c) ? most : sure(k, c);
}

/* Credit that counts as nothing: it may have been given to others. */
static bool
frozen(const struct connector *c)
{
    return c->usable == 0 && outstanding(c) > 0;
}

/* Keep the sums right after any change of c; granted: what is out is within the room that there is. */
static void
account(struct core *k, struct connector *c, bool granted)
{
    const uint64_t out = outstanding(c), want = sure(k, c), idle = out > want ? out - want : 0;
    const bool room = granted || !c->frozen || k->held + k->credit_out + out <= credit_memory(k);
    const uint64_t usable = out < head_cost(k, c) || !room ? 0 : out;

    k->idle = k->idle - c->idle + idle;
    k->credit_out = k->credit_out - c->usable + usable;
    c->idle = idle;
    c->usable = usable;
    c->frozen = frozen(c);
}

bool
credit_frozen(struct core *k, struct connector *c)
{
    account(k, c, false); /* there may be room by now */
    return c->frozen;
}

/* Who pushes all the time gets its window through for each round trip: so windows are by weight, too. */
static uint64_t
window(const struct core *k, const struct connector *c)
{
    const uint64_t share = k->cfg.memory_limit / 2 / (k->wanting == 0 ? 1 : k->wanting);
    const uint64_t whole = share < WINDOW_MIN ? WINDOW_MIN : min64(share, WINDOW_MAX);
    const struct queue *q = queues_of(k, c);

    return q == NULL || q->weight_most == 0 ? whole : whole * c->cfg.weight / q->weight_most;
}

/* How much credit it should have out now: with what it has here already it fills its window, and no more, or a slow
 * queue would fill the memory with the bundles of one.  A large bundle may come in while one like it goes out. */
static uint64_t
windowed(const struct core *k, const struct connector *c)
{
    const uint64_t head = head_cost(k, c), w = window(k, c);
    const uint64_t left = c->held < w ? w - c->held : 0;
    const uint64_t safe = min64(sure(k, c), left), more = min64(likely(k, c), left);

    if (left == 0 && c->held > head)
        return 0;
    if (more > head && more > safe && k->idle - c->idle + (more - safe) <= k->cfg.memory_limit / IDLE_PART)
        return more;
    return safe > head ? safe : head;
}

static uint64_t
target(const struct core *k, const struct connector *c)
{
    const uint64_t t = windowed(k, c), room = spooling_room(k, c);

    return t <= room ? t : room < head_cost(k, c) ? 0 : room;
}

/* Of the spool, or of its own part of it, is there less than its next bundle takes?  Whose bundles go straight to
 * RabbitMQ does not need it. */
static bool
spool_is_full(const struct core *k, const struct connector *c)
{
    const uint64_t room = spooling_room(k, c);
    const bool direct = spooling_open(k, c) && !spooling_first(c);

    return c->cfg.spool_limit > 0 && ((k->spool_full && !direct) || room == 0 || room < head_cost(k, c));
}

uint32_t
credit_hold(const struct core *k, const struct connector *c)
{
    const struct pub *p = &k->pubs[c->cfg.publisher];

    return (spool_is_full(k, c) ? (uint32_t)WIRE_HOLD_SPOOL_FULL : 0) |
           (c->sch.paused ? (uint32_t)WIRE_HOLD_PAUSED : 0) | (k->draining ? (uint32_t)WIRE_HOLD_DRAINING : 0) |
           (!p->up ? (uint32_t)WIRE_HOLD_BROKER_DOWN : 0) |
           (p->up && (p->blocked || k->alarm) ? (uint32_t)WIRE_HOLD_BROKER_ALARM : 0) |
           (queues_blind(k, c) ? (uint32_t)WIRE_HOLD_TELEMETRY_STALE : 0) | c->gate.reasons;
}

/* What its spool can take does not depend on RabbitMQ; a run is begun only if it need not. */
static uint32_t
why_not(const struct core *k, const struct connector *c)
{
    const uint32_t why = credit_hold(k, c);
    const uint8_t kind = c->sch.kind;

    if (c->cfg.spool_limit == 0 || !(c->sch.running || kind == 0 || kind == WIRE_S_CONTINUOUS + 1))
        return why;
    return why & (WIRE_HOLD_PAUSED | WIRE_HOLD_DRAINING | WIRE_HOLD_SPOOL_FULL);
}

/* Put it in the line if it has less than half of what it should have, or cannot send its next bundle. */
static void
consider(struct core *k, struct connector *c)
{
    uint64_t t;

    if (c->conn == 0 || c->hungry)
        return;
    t = target(k, c);
    if (t == 0 && c->want > 0 && c->cfg.spool_limit > 0)
        list_push(k, &k->dirty, c->number); /* to be told of the hold */
    if (!c->frozen && (outstanding(c) >= t || (outstanding(c) > t / 2 && outstanding(c) >= head_cost(k, c))))
        return;
    if (why_not(k, c) != 0) {
        list_push(k, &k->dirty, c->number); /* to be told of the hold */
        return;
    }
    c->hungry_us = k->now_us;
    list_push(k, &k->hungry, c->number);
}

void
credit_freed(struct core *k, struct connector *c)
{
    consider(k, c);
}

void
credit_reset(struct core *k, struct connector *c)
{
    c->limit = c->used = 0;
    c->hold_told = 0;
    account(k, c, false);
}

void
credit_want(struct core *k, struct connector *c, uint64_t want, uint64_t head)
{
    if (want > 0 && c->want == 0)
        k->wanting++;
    if (want == 0 && c->want > 0)
        k->wanting--;
    if (c->want > 0)
        gate_wanted(k, c);
    c->want = want;
    c->head = want == 0 ? 0 : head;
    account(k, c, false);
    consider(k, c);
}

bool
credit_use(struct core *k, struct connector *c, uint64_t cost)
{
    if (cost > outstanding(c))
        return false;
    c->used += cost;
    c->head = 0; /* it was this one; which is next is told with it */
    c->moved_us = k->now_us;
    account(k, c, false);
    return true;
}

/* Give c what it should have, as far as there is room.  false: not even its next bundle fits yet. */
static bool
give(struct core *k, struct connector *c)
{
    const uint64_t spent = k->held + k->credit_out - c->usable;
    const uint64_t room = spent < credit_memory(k) ? credit_memory(k) - spent : 0;
    const uint64_t t = target(k, c), out = outstanding(c);
    uint64_t grant;

    if (room < head_cost(k, c) || (c->frozen && room < out))
        return t <= out && !c->frozen;
    account(k, c, true);
    if (t <= out)
        return true;
    grant = min64(t, room) > out ? min64(t, room) - out : 0;
    c->limit += grant;
    c->moved_us = k->now_us;
    account(k, c, true);
    if (grant > 0) {
        c->credit_dirty = true;
        list_push(k, &k->dirty, c->number);
    }
    return true;
}

/* Answers that it has not seen keep records, its own and those of all that came after. */
static bool
full(const struct connector *c)
{
    return c->nacks >= CORE_NACKS_MAX || c->expect - c->first >= CORE_RING_MAX;
}

/* Somebody has waited for memory for as long as three pings: who holds it all that time and sends nothing?  Pings
 * prove that a connector lives, not that it moves.  Looked at once in that time, so that all of them cost little. */
static void
evict(struct core *k)
{
    const int64_t patience_us = k->cfg.ping_us * k->cfg.missed;
    const struct connector *waiting = k->hungry.head == NONE ? NULL : k->connectors[k->hungry.head];

    if (waiting == NULL || k->now_us - waiting->hungry_us < patience_us || k->now_us - k->evicted_us < patience_us)
        return;
    k->evicted_us = k->now_us;
    for (uint32_t i = 0; i < k->n_connectors; i++) {
        struct connector *c = k->connectors[i];

        if (c->conn == 0 || c == waiting || k->now_us - c->moved_us < patience_us || (c->usable == 0 && !c->receiving))
            continue;
        session_error(k, c->conn, WIRE_R_CREDIT, "head",
                      "others wait for the memory that you hold and do not use: say hello on a new connection", c);
        session_gone(k, c->conn, "idle with credit");
    }
}

void
credit_serve(struct core *k)
{
    evict(k);
    while (k->hungry.head != NONE) {
        struct connector *c = k->connectors[k->hungry.head];

        if (why_not(k, c) != 0)
            list_push(k, &k->dirty, c->number); /* the broker went away while it waited: it is told */
        else if (c->conn != 0 && !full(c) && !give(k, c))
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

    if (outstanding(c) < head_cost(k, c)) {
        why = why_not(k, c);
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
    if (!schedule_tell(k, c))
        tell_hold(k, c);
}
