/* verdict.c - the answers: what is settled, what the connector is told, what the state keeps of it. */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

void
verdict_settle(struct core *k, struct connector *c)
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
            if (!b->dead)
                commit_refused(c, c->first);
        }
        c->first++;
    }
    if (c->commit.waiting)
        list_push(k, &k->dirty, c->number); /* a verdict behind a nack may be the last that it waits for */
    if (c->first == before)
        return;
    if (c->next_post < c->first)
        c->next_post = c->first;
    spooling_look(k, c);
    list_push(k, &k->dirty, c->number);
    list_push(k, &k->unsaved, c->number);
    custody_trim(c);
}

void
verdict_refuse(struct core *k, struct connector *c, struct bundle *b, enum wire_reason reason, const char *text)
{
    char *kept = text == NULL ? NULL : strndup(text, WIRE_TEXT_MAX); /* it may be b's own */

    if (b->slot != NONE)
        slots_give(k, b->slot);
    b->slot = NONE;
    b->state = B_NACKED;
    b->reason = (uint8_t)reason;
    free(b->text);
    b->text = kept;
    b->cost = WIRE_COST_MIN;
    k->held += b->cost;
    c->held += b->cost;
    c->nacks++;
    k->fig.nacked += !b->dead;
    list_push(k, &k->dirty, c->number);
}

void
verdict_seen(struct core *k, struct connector *c, uint64_t seen)
{
    if (seen <= c->seen)
        return;
    if (seen >= c->expect)
        seen = c->expect - 1; /* it cannot have seen what was not said: only what we know counts */
    c->seen = seen;
    verdict_settle(k, c);
    credit_want(k, c, c->want, c->head); /* nacks that were unseen may have held its credit back */
}

void
verdict_repeat(struct core *k, struct connector *c)
{
    c->ack_told = c->seen;
    c->nack_told = 0;
    list_push(k, &k->dirty, c->number);
}

void
verdict_tell(struct core *k, struct connector *c)
{
    struct wire_msg m = {.type = WIRE_VERDICT, .verdict = WIRE_ACK, .seq = c->first - 1};

    if (c->conn == 0)
        return;
    m.has = 1ULL << WIRE_F_SEQ | 1ULL << WIRE_F_VERDICT;
    if (m.seq > c->ack_told) {
        c->ack_told = m.seq;
        core_send(k, c->conn, &m);
    }
    for (m.seq = c->first; m.seq < c->expect && custody_at(c, m.seq)->state == B_NACKED; m.seq++) {
        const struct bundle *b = custody_at(c, m.seq);

        if (m.seq <= c->nack_told)
            continue;
        c->nack_told = m.seq;
        m.verdict = b->dead ? WIRE_ACK_DEAD : WIRE_NACK;
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

/* Marks never pass an unseen nack, so after a crash of ours a refused bundle is refused again. */
void
verdict_save(struct core *k)
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
