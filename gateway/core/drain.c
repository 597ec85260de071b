/* drain.c - and back from the spool: read ahead of the publishers, posted in order, released when RabbitMQ has it.
 *
 * What is read ahead is known by its slots, oldest first; it goes through the same gate, and the same line, as what
 * is pushed.  Memory for it is set aside (credit_memory): an eighth of memory_limit for all, or one bundle, however
 * large; so whatever fills the rest, a stream moves.  Who cannot go on gives what he has read ahead back as soon as
 * another has no room: it is on the disk. */
#include <stddef.h>

#include "machine.h"

enum {
    MOST = 64,                 /* bundles of one connector */
    WINDOW = 4 * 1024 * 1024,  /* and bytes */
    PART = 8,                  /* of memory_limit, for all */
    AGAIN_US = 1000000         /* after a disk that gave nothing, or did not bury */
};

/* --- the list of what is here --- */

static void
append(struct core *k, struct connector *c, uint32_t s)
{
    struct drain *d = &c->drain;

    k->slots[s].older = d->tail;
    k->slots[s].newer = NONE;
    if (d->n == 0)
        k->slots[s].older = NONE, d->head = s;
    else
        k->slots[d->tail].newer = s;
    d->tail = s;
    d->n++;
    d->bytes_here += k->slots[s].cost;
}

static void
take_out(struct core *k, struct connector *c, uint32_t s)
{
    const uint32_t older = k->slots[s].older, newer = k->slots[s].newer;
    struct drain *d = &c->drain;

    if (older == NONE)
        d->head = newer;
    else
        k->slots[older].newer = newer;
    if (newer == NONE)
        d->tail = older;
    else
        k->slots[newer].older = older;
    d->n--;
    d->bytes_here -= k->slots[s].cost;
    slots_give(k, s);
}

static uint32_t
first_of(const struct drain *d)
{
    return d->n == 0 ? NONE : d->head;
}

static void
shrink(struct connector *c, uint64_t bytes)
{
    struct drain *d = &c->drain;

    d->count -= d->count > 0;
    d->bytes = d->count == 0 || d->bytes < bytes ? 0 : d->bytes - bytes;
}

/* Its stream is shorter: who waits for that? */
static void
moved_on(struct core *k, struct connector *c)
{
    k->woken = k->woken || c->sch.asking;
    posting_pump(k, c);
    credit_freed(k, c);
    drain_look(k, c);
}

/* --- reading ahead --- */

static bool
wants(const struct core *k, const struct connector *c)
{
    const struct drain *d = &c->drain;

    return c->configured && !k->draining && spooling_open(k, c) && !d->fetching && d->count > d->n &&
           d->n <= MOST / 2 && d->bytes_here < WINDOW && d->wait_us <= k->now_us;
}

void
drain_look(struct core *k, struct connector *c)
{
    if (wants(k, c))
        list_push(k, &k->thirsty, c->number);
}

/* Of what went in part only the rest is to go, as long as there is somebody who could say what went. */
static bool
can_be_read_again(const struct core *k, const struct connector *c, uint32_t s)
{
    return k->slots[s].state == B_WAITING && (k->slots[s].went == 0 || !k->pubs[c->cfg.publisher].up);
}

/* What waits in it unread is read again later. */
static void
give_back(struct core *k, struct connector *c)
{
    struct drain *d = &c->drain;

    while (!d->fetching && d->n > 0 && can_be_read_again(k, c, d->tail)) {
        d->fetch_pos = k->slots[d->tail].pos;
        take_out(k, c, d->tail);
    }
    if (c->gate.lined && !drain_has(k, c, B_WAITING) && spooling_first(c))
        gate_leave(k, c);
}

static void
fetch(struct core *k, struct connector *c, uint64_t bytes)
{
    struct core_effect e = {.kind = CORE_FETCH};
    struct drain *d = &c->drain;

    d->fetching = true;
    d->refused = d->given = false;
    d->asked = bytes;
    d->need = 0;
    k->asked += bytes;
    e.u.fetch.number = c->number;
    e.u.fetch.connector = c->cfg.id;
    e.u.fetch.pos = d->fetch_pos;
    e.u.fetch.bytes = bytes;
    e.u.fetch.most = MOST - d->n;
    core_emit(k, &e);
}

static uint64_t
room(const struct core *k)
{
    const uint64_t most = k->cfg.memory_limit / PART, used = k->fetched + k->asked;

    return used < most ? most - used : 0;
}

/* Its way is shut, or its queue refuses: others can use the room. */
static bool
stands_still(const struct core *k, const struct connector *c)
{
    return !c->configured || c->retrying || !spooling_open(k, c);
}

void
drain_serve(struct core *k)
{
    bool given_back = false;

    while (k->thirsty.head != NONE) {
        struct connector *c = k->connectors[k->thirsty.head];
        struct drain *d = &c->drain;
        const uint64_t window = d->bytes_here < WINDOW ? WINDOW - d->bytes_here : 0;
        uint64_t most = room(k);

        if (!wants(k, c)) {
            list_pop(k, &k->thirsty);
            continue;
        }
        if (k->fetched + k->asked > 0 && (most == 0 || most < d->need)) {
            if (given_back)
                return;
            given_back = true;
            for (uint32_t i = 0; i < k->n_connectors; i++)
                if (k->connectors[i]->drain.n > 0 && i != c->number && stands_still(k, k->connectors[i]))
                    give_back(k, k->connectors[i]);
            continue;
        }
        list_pop(k, &k->thirsty);
        fetch(k, c, most < window ? (most > 0 ? most : 1) : window);
    }
}

static void
form(struct core *k, struct connector *c, uint32_t s)
{
    struct slot *slot = &k->slots[s];

    if (slot->format != WIRE_FMT_RAW) {
        slot->state = B_FORMING;
        forming_ask(k, c, s);
        return;
    }
    slot->messages = 1;
    slot->bytes = slot->largest = slot->size;
    slot->state = B_WAITING;
}

static void
fetched(struct core *k, struct connector *c, const struct core_event *e)
{
    const uint64_t cost = wire_cost(e->u.fetched.size + e->u.fetched.options_len);
    struct core_effect keep = {.kind = CORE_KEEP};
    struct drain *d = &c->drain;
    uint32_t s;

    if (!d->fetching || d->refused || e->u.fetched.pos < d->fetch_pos)
        return;
    s = k->fetched == 0 || k->fetched + cost <= k->cfg.memory_limit / PART ? slots_take(k) : NONE;
    if (s == NONE) {
        d->refused = true;
        d->refused_pos = e->u.fetched.pos;
        d->need = cost;
        return;
    }
    d->given = true;
    d->fetch_pos = e->u.fetched.pos + 1;
    k->slots[s].drained = true;
    k->slots[s].connector = c->number;
    k->slots[s].pos = e->u.fetched.pos;
    k->slots[s].epoch = e->u.fetched.epoch;
    k->slots[s].seq = e->u.fetched.seq;
    k->slots[s].size = e->u.fetched.size;
    k->slots[s].format = (uint8_t)e->u.fetched.format;
    k->slots[s].cost = cost;
    k->fetched += cost;
    k->fig.fetched++;
    append(k, c, s);
    keep.u.keep.slot = s;
    keep.u.keep.size = e->u.fetched.size;
    keep.u.keep.first = true;
    core_emit(k, &keep);
    form(k, c, s);
    posting_pump(k, c);
}

static void
fetch_end(struct core *k, struct connector *c, uint64_t pos)
{
    struct drain *d = &c->drain;

    if (!d->fetching)
        return;
    d->fetching = false;
    k->asked -= d->asked;
    d->asked = 0;
    if (!d->given && !d->refused && pos <= d->fetch_pos) {
        d->wait_us = k->now_us + AGAIN_US;
        list_push(k, &k->shut, c->number);
    }
    if (d->refused)
        d->fetch_pos = d->refused_pos;
    else if (pos > d->fetch_pos)
        d->fetch_pos = pos;
    if (!d->refused && d->fetch_pos >= d->next && d->count > d->n) {
        d->count = d->n; /* there is no more, whatever was said before */
        d->bytes = 0;
        for (uint32_t s = first_of(d); s != NONE; s = k->slots[s].newer)
            d->bytes += k->slots[s].size;
    }
    moved_on(k, c);
}

void
drain_grown(struct core *k, struct connector *c, uint64_t pos, uint64_t size)
{
    struct drain *d = &c->drain;

    k->spool = true;
    if (d->count == 0)
        d->first = pos;
    if (d->count == 0 && !d->fetching)
        d->fetch_pos = pos;
    d->count++;
    d->bytes += size;
    d->next = pos + 1;
}

/* --- posting --- */

bool
drain_has(const struct core *k, const struct connector *c, enum bundle_state state)
{
    for (uint32_t s = first_of(&c->drain); s != NONE; s = k->slots[s].newer)
        if (k->slots[s].state == state)
            return true;
    return false;
}

static void
bury(struct core *k, struct connector *c, uint32_t s, enum wire_reason reason, const char *text)
{
    struct core_effect e = {.kind = CORE_BURY};

    k->slots[s].state = B_SPOOLING;
    k->slots[s].reason = (uint8_t)reason;
    e.u.bury.number = c->number;
    e.u.bury.connector = c->cfg.id;
    e.u.bury.pos = k->slots[s].pos;
    e.u.bury.epoch = k->slots[s].epoch;
    e.u.bury.seq = k->slots[s].seq;
    e.u.bury.size = k->slots[s].size;
    e.u.bury.reason = reason;
    e.u.bury.text = text;
    core_emit(k, &e);
}

bool
drain_pump(struct core *k, struct connector *c)
{
    for (uint32_t s = first_of(&c->drain), next; s != NONE && c->configured; s = next) {
        next = k->slots[s].newer;
        if (k->slots[s].state == B_FORMING)
            return false;
        if (k->slots[s].state == B_DEAD && c->drain.wait_us <= k->now_us)
            bury(k, c, s, (enum wire_reason)k->slots[s].reason, NULL);
        if (k->slots[s].state != B_WAITING)
            continue;
        if ((c->cfg.ordered && c->posted + c->drain.posted > 0) || !gate_pass(k, c, s))
            return false;
        k->slots[s].state = B_POSTED;
        c->drain.posted++;
        posting_post(k, c, s, k->slots[s].epoch, k->slots[s].seq);
    }
    drain_look(k, c);
    return !spooling_first(c);
}

void
drain_confirmed(struct core *k, uint32_t s)
{
    struct connector *c = k->connectors[k->slots[s].connector];
    struct core_effect e = {.kind = CORE_RELEASE};

    if (k->slots[s].partial) {
        c->drain.doomed++;
        bury(k, c, s, WIRE_R_TOO_LARGE, "a part of it is too large, and was left out");
        return;
    }
    e.u.release.number = c->number;
    e.u.release.connector = c->cfg.id;
    e.u.release.pos = k->slots[s].pos;
    core_emit(k, &e);
    k->fig.released++;
    shrink(c, k->slots[s].size);
    spooling_forwarded(k, c, k->slots[s].epoch, k->slots[s].seq);
    take_out(k, c, s);
    c->drain.first = c->drain.n > 0 ? k->slots[c->drain.head].pos : c->drain.fetch_pos;
    moved_on(k, c);
}

void
drain_formed(struct core *k, const struct core_event *e)
{
    struct slot *slot = &k->slots[e->u.formed.slot];
    struct connector *c = k->connectors[slot->connector];

    slot->messages = e->u.formed.messages;
    slot->bytes = e->u.formed.bytes;
    slot->largest = e->u.formed.largest;
    slot->partial = e->u.formed.left_out != NULL;
    slot->state = B_WAITING;
    posting_pump(k, c);
}

void
drain_refused(struct core *k, uint32_t s, enum wire_reason reason, const char *text)
{
    struct connector *c = k->connectors[k->slots[s].connector];

    c->drain.doomed++;
    bury(k, c, s, reason, text);
    posting_pump(k, c);
}

static void
buried(struct core *k, struct connector *c, const struct core_event *e)
{
    uint32_t s = first_of(&c->drain);

    while (s != NONE && (k->slots[s].pos != e->u.buried.pos || k->slots[s].state != B_SPOOLING))
        s = k->slots[s].newer;
    if (s == NONE)
        return;
    if (!e->u.buried.ok) {
        k->slots[s].state = B_DEAD;
        c->drain.wait_us = k->now_us + AGAIN_US;
        list_push(k, &k->shut, c->number);
        return;
    }
    k->fig.dead++;
    c->drain.doomed--;
    shrink(c, k->slots[s].size);
    spooling_buried(k, c, k->slots[s].epoch, k->slots[s].seq, (enum wire_reason)k->slots[s].reason);
    take_out(k, c, s);
    moved_on(k, c);
}

#define NUMBER_AT(kind) offsetof(struct core_event, u.kind.number)
_Static_assert(NUMBER_AT(fetched) == NUMBER_AT(fetch_end) && NUMBER_AT(fetched) == NUMBER_AT(damaged) &&
                   NUMBER_AT(fetched) == NUMBER_AT(buried) && NUMBER_AT(fetched) == NUMBER_AT(revived),
               "they all begin with the number");

void
drain_event(struct core *k, const struct core_event *e)
{
    const uint32_t i = e->u.fetched.number;
    struct connector *c = i < k->n_connectors ? k->connectors[i] : NULL;

    if (c == NULL)
        return;
    switch (e->kind) {
    case CORE_FETCHED:
        fetched(k, c, e);
        break;
    case CORE_FETCH_END:
        fetch_end(k, c, e->u.fetch_end.pos);
        break;
    case CORE_DAMAGED:
        k->fig.damaged++;
        if (c->drain.fetching && c->drain.refused)
            break; /* it is met again */
        c->drain.given = true;
        if (e->u.damaged.pos >= c->drain.fetch_pos)
            c->drain.fetch_pos = e->u.damaged.pos + 1;
        shrink(c, 0);
        spooling_damaged(k, c, e->u.damaged.pos);
        break;
    case CORE_BURIED:
        buried(k, c, e);
        break;
    default:
        drain_grown(k, c, e->u.revived.pos, e->u.revived.size);
        drain_look(k, c);
        break;
    }
}
