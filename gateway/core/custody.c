/* custody.c - bundles, from the first chunk to the verdict that the connector has seen.
 *
 * Without a spool an answer is RabbitMQ's: a bundle is acked when it is confirmed, and waits in memory, within
 * what its credit reserved, while its publisher is away. */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

enum {
    RING_MIN = 16,
    RING_KEEP = 256,           /* records: a larger ring is freed when it is empty */
    RETRY_MIN_US = 100000,     /* after a broker's nack: doubling, up to */
    RETRY_MAX_US = 30000000,
    RETRY_DOUBLINGS = 9
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

/* --- slots: what the shell knows a body by --- */

static uint32_t
slot_take(struct core *k)
{
    uint32_t s = k->free_slot;

    if (s != NONE) {
        k->free_slot = k->slots[s].next_free;
    } else {
        if (k->n_slots == k->cap_slots) {
            const uint32_t cap = k->cap_slots == 0 ? 256 : k->cap_slots * 2;
            struct slot *fresh = realloc(k->slots, cap * sizeof(*fresh));

            if (fresh == NULL)
                return NONE;
            k->slots = fresh;
            k->cap_slots = cap;
        }
        s = k->n_slots++;
    }
    k->slots[s] = (struct slot){.used = true, .next_free = NONE};
    k->fig.held++;
    return s;
}

/* The body of s is of no more use: give the slot back, and what it held of the memory. */
static void
slot_give(struct core *k, uint32_t s)
{
    struct core_effect e = {.kind = CORE_FREE, .u.slot = s};

    k->held -= k->slots[s].cost;
    if (k->slots[s].connector != NONE)
        k->connectors[k->slots[s].connector]->held -= k->slots[s].cost;
    k->slots[s].used = false;
    k->slots[s].next_free = k->free_slot;
    k->free_slot = s;
    k->fig.held--;
    core_emit(k, &e);
}

static void
keep(struct core *k, const struct bundle *b, bool first)
{
    struct core_effect e = {.kind = CORE_KEEP, .u.keep = {b->slot, b->size, first}};

    core_emit(k, &e);
}

/* --- settling --- */

/* Take from the front what is answered for, as far as it goes without passing an unseen nack. */
static void
settle(struct core *k, struct connector *c)
{
    const uint64_t before = c->first;

    while (c->first < c->expect) {
        struct bundle *b = custody_at(c, c->first);

        if (b->state != B_ACKED && !(b->state == B_NACKED && c->seen >= c->first))
            break;
        if (b->state == B_NACKED) {
            k->held -= b->cost;
            c->held -= b->cost;
            free(b->text);
            c->nacks--;
        }
        c->first++;
    }
    if (c->first == before)
        return;
    if (c->next_post < c->first)
        c->next_post = c->first;
    list_push(k, &k->dirty, c->number);
    list_push(k, &k->unsaved, c->number);
    if (c->first == c->expect && c->ring_cap > RING_KEEP) {
        free(c->ring);
        c->ring = NULL;
        c->ring_cap = 0;
    }
}

/* The body is gone, the record stays until the connector has seen why. */
static void
refuse(struct core *k, struct connector *c, struct bundle *b, enum wire_reason reason, const char *text)
{
    if (b->slot != NONE)
        slot_give(k, b->slot);
    b->slot = NONE;
    b->state = B_NACKED;
    b->reason = (uint8_t)reason;
    b->text = text == NULL ? NULL : strndup(text, WIRE_TEXT_MAX);
    b->cost = WIRE_COST_MIN;
    k->held += b->cost;
    c->held += b->cost;
    c->nacks++;
    k->fig.nacked++;
    list_push(k, &k->dirty, c->number);
}

/* --- coming in --- */

static void
gap(struct core *k, struct connector *c)
{
    if (!c->gap)
        session_error(k, c->conn, WIRE_R_GAP, "seq", "not the expected sequence or offset: say hello again", c);
    c->gap = true;
}

static void
beyond_credit(struct core *k, struct connector *c)
{
    struct core_effect e = {.kind = CORE_CUT, .u.conn = c->conn};

    session_error(k, c->conn, WIRE_R_CREDIT, "size", "these bytes are beyond the credit: the connection is ended", c);
    core_emit(k, &e);
    session_gone(k, c->conn);
}

static void
complete(struct core *k, struct connector *c, struct bundle *b)
{
    c->receiving = false;
    b->state = B_WAITING;
    k->fig.received++;
    custody_pump(k, c);
}

/* The first chunk: the whole bundle is admitted here, or not at all. */
static void
begin(struct core *k, struct connector *c, const struct wire_msg *m, uint64_t len)
{
    struct bundle b = {.size = m->size, .slot = NONE, .state = B_RECEIVING};
    const uint64_t cost = wire_cost(m->size);
    struct bundle *at;

    if (!ring_grow(c))
        return; /* no memory: its next message shows a gap, and it sends this one again */
    at = custody_at(c, c->expect);
    if ((m->size == 0 || m->size > k->cfg.max_bundle) && c->nacks >= CORE_NACKS_MAX) {
        beyond_credit(k, c); /* who does not look at the answers to its mistakes is not kept */
        return;
    }
    if (m->size == 0 || m->size > k->cfg.max_bundle) {
        *at = b;
        c->expect++;
        refuse(k, c, at, m->size == 0 ? WIRE_R_EMPTY : WIRE_R_TOO_LARGE,
               m->size == 0 ? "a bundle has at least one byte" : "larger than max_bundle of the gateway");
        settle(k, c);
        return;
    }
    b.slot = slot_take(k);
    if (b.slot == NONE)
        return;
    b.cost = cost;
    k->slots[b.slot].connector = c->number;
    k->slots[b.slot].seq = c->expect;
    k->slots[b.slot].cost = cost;
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
    c->recv_off += len;
    keep(k, b, false);
    if (c->recv_off == b->size)
        complete(k, c, b);
}

/* What can never be taken is answered, not punished: it uses up what credit there is. */
static bool
charge(struct core *k, struct connector *c, uint64_t size)
{
    const uint64_t out = c->limit - c->used, cost = wire_cost(size);

    return credit_use(k, c, size > k->cfg.max_bundle && cost > out ? out : cost);
}

void
custody_bundle(struct core *k, struct connector *c, const struct wire_msg *m, uint64_t len)
{
    const uint64_t known = c->receiving ? c->expect - 1 : c->expect; /* all before are whole */

    if (c->gap)
        return;
    if (len > k->cfg.chunk || (len == 0 && m->size != 0) || (m->off == 0 && len > m->size)) {
        session_error(k, c->conn, WIRE_R_FIELD, "size", "a chunk has 1 byte to `chunk` bytes, and not more than size", c);
        gap(k, c);
        return;
    }
    if (m->seq < known) {
        /* A resend of what is known: it takes no memory, so it uses no credit. */
        if (m->off == 0) {
            k->fig.repeated++;
            custody_repeat(k, c);
        }
    } else if (c->receiving && m->seq == known && m->off > 0) {
        go_on(k, c, custody_at(c, known), m, len);
    } else if (!c->receiving && m->seq == c->expect && m->off == 0) {
        if (!charge(k, c, m->size)) {
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
    slot_give(k, custody_at(c, c->expect)->slot);
    if (c->next_post > c->expect)
        c->next_post = c->expect;
}

/* --- going out --- */

static void
post(struct core *k, struct connector *c, struct bundle *b, uint64_t seq)
{
    const struct pub *p = &k->pubs[c->cfg.publisher];
    struct core_effect e = {.kind = CORE_PUBLISH};

    b->state = B_POSTED;
    c->posted++;
    k->slots[b->slot].publisher = (uint8_t)c->cfg.publisher;
    e.u.publish.slot = b->slot;
    e.u.publish.publisher = c->cfg.publisher;
    e.u.publish.session = p->session;
    e.u.publish.target = c->cfg.target;
    e.u.publish.connector = c->cfg.id;
    e.u.publish.epoch = c->epoch;
    e.u.publish.seq = seq;
    core_emit(k, &e);
}

void
custody_pump(struct core *k, struct connector *c)
{
    const struct pub *p = &k->pubs[c->cfg.publisher];

    if (!p->up || p->blocked || c->retrying)
        return;
    for (; c->next_post < c->expect; c->next_post++) {
        struct bundle *b = custody_at(c, c->next_post);

        if (b->state == B_RECEIVING || (b->state == B_WAITING && c->cfg.ordered && c->posted > 0))
            return;
        if (b->state == B_WAITING)
            post(k, c, b, c->next_post);
    }
}

/* The record of a slot that came back from a publisher, or NULL where its program was replaced meanwhile. */
static struct bundle *
come_back(struct core *k, uint32_t s, struct connector **ret)
{
    if (s >= k->n_slots || !k->slots[s].used)
        return NULL;
    if (k->slots[s].connector == NONE) {
        slot_give(k, s);
        return NULL;
    }
    *ret = k->connectors[k->slots[s].connector];
    (*ret)->posted--;
    return custody_at(*ret, k->slots[s].seq);
}

void
custody_confirmed(struct core *k, uint32_t s)
{
    struct connector *c = NULL;
    struct bundle *b = come_back(k, s, &c);

    k->fig.confirmed++;
    if (b == NULL)
        return;
    b->state = B_ACKED;
    b->slot = NONE;
    slot_give(k, s);
    c->tries = 0;
    settle(k, c);
    custody_pump(k, c);
    credit_freed(k, c);
}

void
custody_retry(struct core *k, uint32_t s)
{
    struct connector *c = NULL;
    struct bundle *b = come_back(k, s, &c);
    uint64_t wait;

    if (b == NULL)
        return;
    b->state = B_WAITING;
    k->fig.retried++;
    if (k->slots[s].seq < c->next_post)
        c->next_post = k->slots[s].seq;
    if (c->retrying)
        return; /* several of one batch were refused: one wait serves them all */
    wait = (uint64_t)RETRY_MIN_US << (c->tries < RETRY_DOUBLINGS ? c->tries : RETRY_DOUBLINGS);
    if (wait > RETRY_MAX_US)
        wait = RETRY_MAX_US;
    c->tries++;
    c->retry_us = k->now_us + (int64_t)(wait / 2 + core_random(k) % (wait / 2 + 1));
    list_push(k, &k->retry, c->number);
}

void
custody_refused(struct core *k, uint32_t s, enum wire_reason reason, const char *text)
{
    struct connector *c = NULL;
    struct bundle *b = come_back(k, s, &c);

    if (b == NULL)
        return;
    refuse(k, c, b, reason, text);
    settle(k, c);
    custody_pump(k, c);
    credit_freed(k, c);
}

void
custody_timers(struct core *k)
{
    struct list waiting = k->retry;

    k->retry = (struct list){NONE, NONE};
    while (waiting.head != NONE) {
        struct connector *c = k->connectors[waiting.head];

        waiting.head = c->retry_next;
        c->retrying = false;
        if (c->retry_us > k->now_us) {
            list_push(k, &k->retry, c->number);
        } else {
            c->retry_us = INT64_MAX;
            custody_pump(k, c);
        }
    }
}

/* All that was at this publisher is unknown: publish it again when it is back, with the same ids. */
void
custody_down(struct core *k, uint32_t publisher)
{
    for (uint32_t s = 0; s < k->n_slots; s++) {
        struct connector *c;
        struct bundle *b;

        if (!k->slots[s].used || k->slots[s].publisher != publisher)
            continue;
        if (k->slots[s].connector == NONE) {
            slot_give(k, s);
            continue;
        }
        c = k->connectors[k->slots[s].connector];
        b = custody_at(c, k->slots[s].seq);
        if (b->state != B_POSTED)
            continue;
        b->state = B_WAITING;
        c->posted--;
        k->fig.retried++;
        if (k->slots[s].seq < c->next_post)
            c->next_post = k->slots[s].seq;
    }
}

/* --- verdicts --- */

void
custody_seen(struct core *k, struct connector *c, uint64_t seen)
{
    if (seen <= c->seen)
        return;
    if (seen >= c->expect)
        seen = c->expect - 1; /* it cannot have seen what was not said: only what we know counts */
    c->seen = seen;
    settle(k, c);
    credit_want(k, c, c->want, c->head); /* nacks that were unseen may have held its credit back */
}

void
custody_repeat(struct core *k, struct connector *c)
{
    c->ack_told = c->seen;
    c->nack_told = 0;
    list_push(k, &k->dirty, c->number);
}

void
custody_tell(struct core *k, struct connector *c)
{
    struct wire_msg m = {.type = WIRE_VERDICT, .verdict = WIRE_ACK, .seq = c->first - 1};

    if (c->conn == 0)
        return;
    m.has = 1ULL << WIRE_F_SEQ | 1ULL << WIRE_F_VERDICT;
    if (m.seq > c->ack_told) {
        c->ack_told = m.seq;
        core_send(k, c->conn, &m);
    }
    m.verdict = WIRE_NACK;
    for (m.seq = c->first; m.seq < c->expect && custody_at(c, m.seq)->state == B_NACKED; m.seq++) {
        const struct bundle *b = custody_at(c, m.seq);

        if (m.seq <= c->nack_told)
            continue;
        c->nack_told = m.seq;
        m.has |= 1ULL << WIRE_F_REASON;
        m.reason = (enum wire_reason)b->reason;
        if (b->text != NULL) {
            m.has |= 1ULL << WIRE_F_TEXT;
            m.text = (struct wire_text){b->text, (uint32_t)strlen(b->text)};
        }
        core_send(k, c->conn, &m);
        m.has &= ~(1ULL << WIRE_F_TEXT);
    }
}

void
custody_reset(struct core *k, struct connector *c, uint64_t next)
{
    custody_drop_half(k, c);
    for (uint64_t s = c->first; s < c->expect; s++) {
        struct bundle *b = custody_at(c, s);

        free(b->text);
        if (b->state == B_NACKED)
            k->held -= b->cost;
        if (b->state == B_WAITING)
            slot_give(k, b->slot); /* its program is gone, and was not answered: nobody waits for it */
        if (b->state == B_POSTED) {
            k->slots[b->slot].connector = NONE;
            k->fig.orphaned++;
        }
    }
    c->first = c->expect = c->next_post = next;
    c->seen = next - 1;
    c->nacks = c->posted = c->tries = 0;
    c->held = 0;
    c->mark_told = 0;
    list_push(k, &k->unsaved, c->number);
}

/* Marks never pass an unseen nack, so after a crash of ours a refused bundle is refused again. */
void
custody_save(struct core *k)
{
    uint32_t i;

    while ((i = list_pop(k, &k->unsaved)) != NONE) {
        struct connector *c = k->connectors[i];
        struct core_effect e = {.kind = CORE_STORE_MARK, .u.mark = {c->cfg.id, c->epoch, c->first - 1}};

        if (c->epoch == 0)
            continue;
        c->mark_told = c->first - 1;
        core_emit(k, &e);
    }
}
