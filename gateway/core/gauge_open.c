/* gauge_open.c - bundles from their reservation to their last answer, when the ledger takes them. */
#include "gauge_parts.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"

enum { FIRST_OPEN = 4 };

static struct open *
find(struct gauge *g, uint64_t id)
{
    uint32_t low = 0, high = g->n_open;

    while (low < high) {
        const uint32_t at = low + (high - low) / 2;

        if (g->open[at].id < id)
            low = at + 1;
        else
            high = at;
    }
    return low < g->n_open && g->open[low].id == id ? &g->open[low] : NULL;
}

void
gauge_give_back(struct gauge *g)
{
    if (g->n_open > 0 || g->ledger.n > 0)
        return;
    ledger_free(&g->ledger);
    g->ledger.most = g->cfg.entries == 0 ? LEDGER_MOST : g->cfg.entries;
    free(g->open);
    g->open = NULL;
    g->cap_open = 0;
}

/* o has so much less left; it is gone with its last message. */
static void
shrink(struct gauge *g, struct open *o, uint64_t bytes, uint64_t messages)
{
    uint64_t *sum = o->state == OPEN_RESERVED ? &g->reserved : &g->flying;
    const uint32_t at = (uint32_t)(o - g->open);

    *sum -= bytes;
    if (o->state != OPEN_RESERVED)
        g->flying_messages -= messages;
    o->bytes -= bytes;
    o->messages -= messages;
    o->largest = gauge_min(o->largest, o->bytes);
    if (o->messages > 0)
        return;
    memmove(o, o + 1, (g->n_open - at - 1) * sizeof(*o));
    g->n_open--;
}

static int
grow(struct gauge *g, struct err *err)
{
    const uint32_t cap = g->cap_open == 0 ? FIRST_OPEN : g->cap_open * 2;
    struct open *more;

    if (g->n_open >= GAUGE_OPEN_MAX)
        return err_set(err, ERR_FULL, 0, "gauge: %u bundles of one queue are without an answer", g->n_open);
    if (!ledger_room(&g->ledger))
        return err_set(err, ERR_NOMEM, 0, "gauge: no memory for the ledger");
    if (g->n_open < g->cap_open)
        return 0;
    more = realloc(g->open, cap * sizeof(*more));
    if (more == NULL)
        return err_set(err, ERR_NOMEM, 0, "gauge: no memory for a bundle");
    g->open = more;
    g->cap_open = cap;
    return 0;
}

int
gauge_reserve(struct gauge *g, uint64_t bytes, uint64_t messages, uint64_t largest, int64_t now_us,
              uint64_t *ret_id, struct err *err)
{
    const uint64_t n = messages == 0 ? 1 : messages;

    gauge_turn(g, now_us);
    if (grow(g, err) != 0)
        return -1;
    largest = gauge_min(largest, bytes);
    if (largest < bytes / n + (bytes % n != 0))
        largest = bytes; /* it cannot be: the worst is assumed */
    g->open[g->n_open++] = (struct open){.id = g->next_id, .bytes = bytes, .messages = n, .largest = largest,
                                         .settles_us = INT64_MAX, .state = OPEN_RESERVED};
    g->reserved += bytes;
    *ret_id = g->next_id++;
    return 0;
}

static void
fly(struct gauge *g, struct open *o)
{
    if (o->state != OPEN_RESERVED)
        return;
    o->state = OPEN_FLYING;
    o->place = g->next_place++;
    g->reserved -= o->bytes;
    g->flying += o->bytes;
    g->flying_messages += o->messages;
}

void
gauge_commit(struct gauge *g, uint64_t id, int64_t now_us)
{
    struct open *o;

    gauge_turn(g, now_us);
    o = find(g, id);
    if (o != NULL)
        fly(g, o);
}

void
gauge_cancel(struct gauge *g, uint64_t id)
{
    struct open *o = find(g, id);

    if (o != NULL && o->state == OPEN_RESERVED)
        shrink(g, o, o->bytes, o->messages);
    gauge_give_back(g);
}

static void
add_since(struct known *k, const struct entry *e)
{
    if (e->settled_us <= k->cut_us)
        return;
    k->since.bytes += e->bytes;
    k->since.messages += e->messages;
}

/* So much of o is in the queue, since then. */
static void
settle(struct gauge *g, struct open *o, uint64_t bytes, uint64_t messages, int64_t settled_us)
{
    const bool ghost = o->state == OPEN_LOST;
    const uint64_t mean = bytes / messages + (bytes % messages != 0), largest = gauge_min(o->largest, bytes);
    const uint64_t place = ghost ? g->next_place++ : o->place;
    const struct entry e = {.first = place, .last = place, .settled_us = settled_us, .bytes = bytes,
                            .messages = messages, .ghosts = ghost ? messages : 0,
                            .largest = largest < mean ? mean : largest};

    ledger_put(&g->ledger, &e);
    g->settled_bytes += bytes;
    if (!ghost && place >= g->mark_place)
        g->mark_messages += messages;
    add_since(&g->sample, &e);
    add_since(&g->count, &e);
    g->count_since.bytes += bytes;
    shrink(g, o, bytes, messages);
}

/* A part of o, never more than is left of it. */
static void
part(const struct open *o, uint64_t *bytes, uint64_t *messages)
{
    *messages = gauge_min(*messages, o->messages);
    *bytes = *messages == o->messages ? o->bytes : gauge_min(*bytes, o->bytes);
}

void
gauge_taken(struct gauge *g, uint64_t id, uint64_t bytes, uint64_t messages, int64_t now_us)
{
    struct open *o;

    gauge_turn(g, now_us);
    o = find(g, id);
    if (o == NULL || messages == 0)
        return;
    fly(g, o);
    part(o, &bytes, &messages);
    settle(g, o, bytes, messages, g->now_us);
}

void
gauge_refused(struct gauge *g, uint64_t id, uint64_t bytes, uint64_t messages)
{
    struct open *o = find(g, id);

    if (o == NULL || messages == 0)
        return;
    part(o, &bytes, &messages);
    shrink(g, o, bytes, messages);
    gauge_give_back(g);
}

void
gauge_lost(struct gauge *g, uint64_t id)
{
    struct open *o = find(g, id);

    if (o == NULL)
        return;
    fly(g, o);
    o->state = OPEN_LOST;
}

void
gauge_back(struct gauge *g, int64_t now_us)
{
    gauge_turn(g, now_us);
    for (uint32_t i = 0; i < g->n_open; i++)
        if (g->open[i].state == OPEN_LOST && g->open[i].settles_us == INT64_MAX)
            g->open[i].settles_us = g->now_us + g->cfg.late_us;
}

void
gauge_turn(struct gauge *g, int64_t now_us)
{
    if (now_us > g->now_us)
        g->now_us = now_us;
    for (uint32_t i = g->n_open; i-- > 0;) {
        struct open *o = &g->open[i];

        if (o->state == OPEN_LOST && o->settles_us <= g->now_us)
            settle(g, o, o->bytes, o->messages, o->settles_us);
    }
}
