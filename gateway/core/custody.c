/* custody.c - bundles, from the first chunk to the last.
 *
 * Without a spool an answer is RabbitMQ's: a bundle is acked when it is confirmed, and waits in memory, within
 * what its credit reserved, while its publisher is away.  With one: spooling.c. */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

enum {
    RING_MIN = 16,
    RING_KEEP = 256 /* records: a larger ring is freed when it is empty */
};

struct bundle *
custody_at(struct connector *c, uint64_t seq)
{
    return &c->ring[seq & (c->ring_cap - 1)];
}

void
custody_free(struct connector *c)
{
    for (uint64_t s = c->first; s < c->expect; s++)
        free(custody_at(c, s)->text);
    free(c->ring);
    c->ring = NULL;
    c->ring_cap = 0;
}

void
custody_trim(struct connector *c)
{
    if (c->first == c->expect && c->ring_cap > RING_KEEP)
        custody_free(c);
}

static bool
ring_grow(struct connector *c)
{
    const uint32_t cap = c->ring_cap == 0 ? RING_MIN : c->ring_cap * 2;
    struct bundle *fresh;

    if (c->expect - c->first < c->ring_cap)
        return true;
    fresh = malloc(cap * sizeof(*fresh));
    if (fresh == NULL)
        return false;
    for (uint64_t s = c->first; s < c->expect; s++)
        fresh[s & (cap - 1)] = *custody_at(c, s);
    free(c->ring);
    c->ring = fresh;
    c->ring_cap = cap;
    return true;
}

static void
keep(struct core *k, const struct bundle *b, bool first)
{
    struct core_effect e = {.kind = CORE_KEEP, .u.keep = {b->slot, b->size, first}};

    core_emit(k, &e);
}

static void
gap(struct core *k, struct connector *c)
{
    session_error(k, c->conn, WIRE_R_GAP, "seq", "not the expected sequence or offset: say hello again", c);
    c->gap = true;
}

static void
beyond_credit(struct core *k, struct connector *c)
{
    struct core_effect e = {.kind = CORE_CUT, .u.conn = c->conn};

    session_error(k, c->conn, WIRE_R_CREDIT, "size", "these bytes are beyond the credit: the connection is ended", c);
    core_emit(k, &e);
    session_gone(k, c->conn, "cut");
}

static void
complete(struct core *k, struct connector *c, struct bundle *b)
{
    c->receiving = false;
    k->fig.received++;
    forming_begin(k, c, b);
}

/* Why a bundle can never be taken: its verdict comes at once.  NULL: nothing is wrong with it. */
static const char *
impossible(const struct core *k, const struct connector *c, const struct wire_msg *m, enum wire_reason *ret)
{
    const enum wire_format format = WIRE_HAS(m, WIRE_F_FORMAT) ? m->format : c->cfg.format;

    *ret = m->size == 0 ? WIRE_R_EMPTY : m->size > k->cfg.max_bundle ? WIRE_R_TOO_LARGE : WIRE_R_FORMAT;
    if (m->size == 0)
        return "a bundle has at least one byte";
    if (m->size > k->cfg.max_bundle)
        return "larger than max_bundle of the gateway";
    if (format == WIRE_FMT_RAW && WIRE_HAS(m, WIRE_F_OPTIONS))
        return "options are for a format, and this bundle is forwarded as it is (raw)";
    return NULL;
}

/* What it takes of the credit and of the memory: its options are kept beside it, and can be more than it is. */
static uint64_t
cost_of(const struct wire_msg *m)
{
    return wire_cost(m->size + m->options.len);
}

/* The first chunk: the whole bundle is admitted here, or not at all. */
static void
begin(struct core *k, struct connector *c, const struct wire_msg *m, uint64_t len)
{
    struct bundle b = {.size = m->size, .slot = NONE, .state = B_RECEIVING};
    const uint64_t cost = cost_of(m);
    enum wire_reason reason;
    const char *why = impossible(k, c, m, &reason);
    struct bundle *at;

    if (!ring_grow(c)) {
        gap(k, c); /* no memory: it sends this one again, after a hello */
        return;
    }
    at = custody_at(c, c->expect);
    if (why != NULL && c->nacks >= CORE_NACKS_MAX) {
        beyond_credit(k, c); /* who does not look at the answers to its mistakes is not kept */
        return;
    }
    if (why != NULL) {
        *at = b;
        c->expect++;
        verdict_refuse(k, c, at, reason, why);
        verdict_settle(k, c);
        return;
    }
    b.slot = slots_take(k);
    if (b.slot == NONE) {
        gap(k, c);
        return;
    }
    b.cost = cost;
    k->slots[b.slot].connector = c->number;
    k->slots[b.slot].seq = c->expect;
    k->slots[b.slot].cost = cost;
    k->slots[b.slot].format = (uint8_t)(WIRE_HAS(m, WIRE_F_FORMAT) ? m->format : c->cfg.format);
    k->held += cost;
    c->held += cost;
    *at = b;
    c->expect++;
    c->receiving = true;
    c->recv_off = len;
    keep(k, at, true);
    if (len == m->size)
        complete(k, c, at);
}

static void
go_on(struct core *k, struct connector *c, struct bundle *b, const struct wire_msg *m, uint64_t len)
{
    if (m->off != c->recv_off || m->size != b->size || len > b->size - m->off) {
        gap(k, c);
        return;
    }
    c->moved_us = k->now_us;
    c->recv_off += len;
    keep(k, b, false);
    if (c->recv_off == b->size)
        complete(k, c, b);
}

/* What can never be taken is answered, not punished: it uses up what credit there is. */
static bool
charge(struct core *k, struct connector *c, const struct wire_msg *m)
{
    const uint64_t out = c->limit - c->used, cost = cost_of(m);

    return credit_use(k, c, m->size > k->cfg.max_bundle && cost > out ? out : cost);
}

void
custody_bundle(struct core *k, struct connector *c, const struct wire_msg *m, uint64_t len)
{
    const uint64_t known = c->receiving ? c->expect - 1 : c->expect; /* all before are whole */

    if (c->gap)
        return;
    if (len > k->cfg.chunk || (len == 0 && m->size != 0) || (m->off == 0 && len > m->size)) {
        session_error(k, c->conn, WIRE_R_FIELD, "size", "a chunk has 1 byte to `chunk` bytes, and not more than size",
                      c);
        gap(k, c);
        return;
    }
    if (m->seq < known) {
        /* A resend of what is known: it takes no memory, so it uses no credit. */
        if (m->off == 0) {
            k->fig.repeated++;
            verdict_repeat(k, c);
        }
    } else if (c->receiving && m->seq == known && m->off > 0) {
        go_on(k, c, custody_at(c, known), m, len);
    } else if (!c->receiving && m->seq == c->expect && m->off == 0 && !credit_frozen(k, c)) {
        if (!charge(k, c, m)) {
            beyond_credit(k, c);
            return;
        }
        begin(k, c, m, len);
    } else {
        gap(k, c);
    }
    if (c->conn != 0)
        credit_want(k, c, m->want, m->head);
}

void
custody_drop_half(struct core *k, struct connector *c)
{
    if (!c->receiving)
        return;
    c->receiving = false;
    c->expect--;
    slots_give(k, custody_at(c, c->expect)->slot);
}

void
custody_reset(struct core *k, struct connector *c, uint64_t next)
{
    custody_drop_half(k, c);
    if (!drain_has(k, c, B_WAITING))
        gate_leave(k, c); /* else what the spool has of it keeps its place */
    for (uint64_t s = c->first; s < c->expect; s++) {
        struct bundle *b = custody_at(c, s);

        free(b->text);
        if (b->state == B_NACKED)
            k->held -= b->cost;
        if (b->state == B_WAITING || b->state == B_DEAD)
            slots_give(k, b->slot); /* its program is gone, and was not answered: nobody waits for it */
        if (b->state == B_FORMING || b->state == B_POSTED || b->state == B_SPOOLING)
            k->slots[b->slot].connector = NONE;
        k->fig.orphaned += b->state == B_POSTED;
    }
    c->first = c->expect = c->next_post = next;
    c->seen = next - 1;
    c->nacks = c->posted = c->tries = 0;
    c->held = 0;
    spooling_reset(c);
    c->mark_told = 0;
    list_push(k, &k->unsaved, c->number);
}
