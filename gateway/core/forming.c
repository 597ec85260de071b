/* forming.c - bundles that become messages before they can be published: where a format has to look into them.
 *
 * The core sees no body, so it asks, and waits.  What is formed keeps its place: later bundles of the same connector go
 * behind it.  Until the shell has answered, the slot is its own, also when the program was replaced meanwhile. */
#include <string.h>

#include "machine.h"

void
forming_ask(struct core *k, struct connector *c, uint32_t s)
{
    struct slot *slot = &k->slots[s];
    struct core_effect e = {.kind = CORE_FORM};

    slot->forming = true;
    e.u.form.slot = s;
    e.u.form.target = c->cfg.target;
    e.u.form.format = (enum wire_format)slot->format;
    e.u.form.connector = c->cfg.id;
    e.u.form.seq = slot->seq;
    core_emit(k, &e);
}

void
forming_begin(struct core *k, struct connector *c, struct bundle *b)
{
    struct slot *slot = &k->slots[b->slot];

    if (slot->format == WIRE_FMT_RAW) {
        slot->messages = 1;
        slot->bytes = slot->largest = b->size;
        b->state = B_WAITING;
        posting_pump(k, c);
        return;
    }
    b->state = B_FORMING;
    forming_ask(k, c, b->slot);
}

/* The record of a slot that was being formed, or NULL where nobody waits for it any more. */
static struct bundle *
come_back(struct core *k, uint32_t s, struct connector **ret)
{
    k->slots[s].forming = false;
    if (k->slots[s].connector == NONE) {
        slots_give(k, s);
        return NULL;
    }
    *ret = k->connectors[k->slots[s].connector];
    return custody_at(*ret, k->slots[s].seq);
}

static bool
is_forming(const struct core *k, uint32_t s)
{
    return s < k->n_slots && k->slots[s].used && k->slots[s].forming;
}

void
forming_done(struct core *k, const struct core_event *e)
{
    const uint32_t s = e->u.formed.slot;
    struct connector *c = NULL;
    struct bundle *b;

    if (is_forming(k, s) && k->slots[s].drained) {
        k->slots[s].forming = false;
        drain_formed(k, e);
        return;
    }
    b = is_forming(k, s) ? come_back(k, s, &c) : NULL;
    if (b == NULL)
        return;
    k->slots[s].messages = e->u.formed.messages;
    k->slots[s].bytes = e->u.formed.bytes;
    k->slots[s].largest = e->u.formed.largest;
    b->state = B_WAITING;
    b->partial = e->u.formed.left_out != NULL;
    if (b->partial)
        b->text = strndup(e->u.formed.left_out, WIRE_TEXT_MAX); /* without memory the reason has to do */
    posting_pump(k, c);
}

bool
forming_refused(struct core *k, const struct core_event *e)
{
    struct connector *c = NULL;
    struct bundle *b;

    if (!is_forming(k, e->u.result.slot))
        return false;
    if (k->slots[e->u.result.slot].drained) {
        k->slots[e->u.result.slot].forming = false;
        drain_refused(k, e->u.result.slot, e->u.result.reason, e->u.result.text);
        return true;
    }
    b = come_back(k, e->u.result.slot, &c);
    if (b == NULL)
        return true;
    /* What is malformed is its connector's to repair; what is too large for RabbitMQ is nobody's. */
    if (e->u.result.reason != WIRE_R_TOO_LARGE || !spooling_doomed(k, c, b, e->u.result.reason, e->u.result.text))
        verdict_refuse(k, c, b, e->u.result.reason, e->u.result.text);
    verdict_settle(k, c);
    posting_pump(k, c);
    credit_freed(k, c);
    return true;
}
