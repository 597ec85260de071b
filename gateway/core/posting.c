/* posting.c - bundles at the publishers: there in order, and there again after a nack or a lost connection. */
#include "machine.h"

enum {
    RETRY_MIN_US = 100000, /* after a broker's nack: doubling, up to */
    RETRY_MAX_US = 30000000,
    RETRY_DOUBLINGS = 9
};

void
posting_post(struct core *k, struct connector *c, uint32_t slot, uint64_t epoch, uint64_t seq)
{
    const struct pub *p = &k->pubs[c->cfg.publisher];
    struct core_effect e = {.kind = CORE_PUBLISH};

    c->posts++;
    k->slots[slot].publisher = (uint8_t)c->cfg.publisher;
    e.u.publish.slot = slot;
    e.u.publish.publisher = c->cfg.publisher;
    e.u.publish.session = p->session;
    e.u.publish.target = c->cfg.target;
    e.u.publish.connector = c->cfg.id;
    e.u.publish.epoch = epoch;
    e.u.publish.seq = seq;
    core_emit(k, &e);
}

void
posting_pump(struct core *k, struct connector *c)
{
    const struct pub *p = &k->pubs[c->cfg.publisher];

    spooling_look(k, c);
    if (!p->up || p->blocked || c->retrying || !drain_pump(k, c))
        return;
    for (; c->next_post < c->expect; c->next_post++) {
        struct bundle *b = custody_at(c, c->next_post);

        if (b->state <= B_FORMING || (b->state == B_WAITING && c->cfg.ordered && c->posted + c->drain.posted > 0))
            return;
        if (b->state == B_WAITING && !gate_pass(k, c, b->slot))
            return;
        if (b->state == B_WAITING) {
            b->state = B_POSTED;
            c->posted++;
            posting_post(k, c, b->slot, c->epoch, c->next_post);
        }
    }
}

/* The record of a slot that came back from a publisher, or NULL where its program was replaced meanwhile. */
static struct bundle *
come_back(struct core *k, uint32_t s, struct connector **ret)
{
    if (s >= k->n_slots || !k->slots[s].used)
        return NULL;
    if (k->slots[s].drained) {
        *ret = k->connectors[k->slots[s].connector];
        (*ret)->drain.posted--;
        return NULL;
    }
    if (k->slots[s].connector == NONE) {
        slots_give(k, s);
        return NULL;
    }
    *ret = k->connectors[k->slots[s].connector];
    (*ret)->posted--;
    return custody_at(*ret, k->slots[s].seq);
}

void
posting_confirmed(struct core *k, uint32_t s)
{
    struct connector *c = NULL;
    const uint32_t queue = gate_confirmed(k, s);
    struct bundle *b = come_back(k, s, &c);

    k->fig.confirmed++;
    if (c != NULL && b == NULL) {
        k->fig.messages += k->slots[s].messages;
        k->fig.message_bytes += k->slots[s].bytes;
        c->tries = 0;
        drain_confirmed(k, s);
    }
    if (b == NULL) {
        gate_served(k, queue);
        return;
    }
    k->fig.messages += k->slots[s].messages;
    k->fig.message_bytes += k->slots[s].bytes;
    c->tries = 0;
    if (b->partial) {
        /* A spool keeps all of it, and an operator sees what did not go. */
        if (!spooling_doomed(k, c, b, WIRE_R_TOO_LARGE, b->text))
            verdict_refuse(k, c, b, WIRE_R_TOO_LARGE, b->text);
    } else {
        b->state = B_ACKED;
        b->slot = NONE;
        slots_give(k, s);
    }
    verdict_settle(k, c);
    posting_pump(k, c);
    gate_served(k, queue);
    credit_freed(k, c);
}

/* Not at once again. */
static void
wait_a_while(struct core *k, struct connector *c)
{
    uint64_t wait;

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
posting_retry(struct core *k, uint32_t s)
{
    struct connector *c = NULL;
    struct bundle *b = come_back(k, s, &c);

    if (c == NULL)
        return;
    k->fig.retried++;
    if (b == NULL) {
        k->slots[s].state = B_WAITING;
    } else {
        b->state = B_WAITING;
        if (k->slots[s].seq < c->next_post)
            c->next_post = k->slots[s].seq;
    }
    wait_a_while(k, c);
}

void
posting_refused(struct core *k, uint32_t s, enum wire_reason reason, const char *text)
{
    struct connector *c = NULL;
    struct bundle *b = come_back(k, s, &c);

    if (c != NULL && b == NULL)
        drain_refused(k, s, reason, text);
    if (b == NULL)
        return;
    if (!spooling_doomed(k, c, b, reason, text))
        verdict_refuse(k, c, b, reason, text);
    verdict_settle(k, c);
    posting_pump(k, c);
    credit_freed(k, c);
}

void
posting_timers(struct core *k)
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
            posting_pump(k, c);
        }
    }
}

/* All that was at this publisher is unknown: publish it again when it is back, with the same ids. */
void
posting_down(struct core *k, uint32_t publisher)
{
    for (uint32_t s = 0; s < k->n_slots; s++) {
        struct connector *c;
        struct bundle *b;

        if (!k->slots[s].used || k->slots[s].forming || k->slots[s].spooling || k->slots[s].publisher != publisher)
            continue;
        gate_lost(k, s);
        if (k->slots[s].connector == NONE) {
            slots_give(k, s);
            continue;
        }
        c = k->connectors[k->slots[s].connector];
        if (k->slots[s].drained) {
            const bool posted = k->slots[s].state == B_POSTED;

            k->slots[s].state = posted ? B_WAITING : k->slots[s].state;
            c->drain.posted -= posted;
            k->fig.retried += posted;
            continue;
        }
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
