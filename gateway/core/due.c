/* due.c - who is due next: a heap of connectors by time, so that a turn costs nothing for those who wait. */
#include <stdlib.h>

#include "machine.h"

static bool
sooner(const struct core *k, uint32_t a, uint32_t b)
{
    const struct schedule *x = &k->connectors[a]->sch, *y = &k->connectors[b]->sch;

    return x->due_us < y->due_us || (x->due_us == y->due_us && a < b);
}

static void
place(struct core *k, uint32_t at, uint32_t i)
{
    k->due.at[at] = i;
    k->connectors[i]->sch.heap_at = at;
}

static void
rise(struct core *k, uint32_t at)
{
    const uint32_t i = k->due.at[at];

    while (at > 0 && sooner(k, i, k->due.at[(at - 1) / 2])) {
        place(k, at, k->due.at[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(k, at, i);
}

static void
sink(struct core *k, uint32_t at)
{
    const uint32_t i = k->due.at[at];

    for (;;) {
        uint32_t least = 2 * at + 1;

        if (least >= k->due.n)
            break;
        if (least + 1 < k->due.n && sooner(k, k->due.at[least + 1], k->due.at[least]))
            least++;
        if (!sooner(k, k->due.at[least], i))
            break;
        place(k, at, k->due.at[least]);
        at = least;
    }
    place(k, at, i);
}

bool
due_reserve(struct core *k)
{
    const uint32_t cap = k->due.cap == 0 ? 64 : k->due.cap * 2;
    uint32_t *fresh;

    if (k->n_connectors < k->due.cap)
        return true;
    fresh = realloc(k->due.at, cap * sizeof(*fresh));
    if (fresh == NULL)
        return false;
    k->due.at = fresh;
    k->due.cap = cap;
    return true;
}

void
due_set(struct core *k, struct connector *c, int64_t due_us)
{
    const bool in = c->sch.heap_at != NONE;
    const bool later = in && due_us > c->sch.due_us;

    c->sch.due_us = due_us;
    if (!in)
        place(k, k->due.n++, c->number);
    if (later)
        sink(k, c->sch.heap_at);
    else
        rise(k, c->sch.heap_at);
}

void
due_drop(struct core *k, struct connector *c)
{
    const uint32_t at = c->sch.heap_at;
    uint32_t last;

    if (at == NONE)
        return;
    c->sch.heap_at = NONE;
    last = k->due.at[--k->due.n];
    if (last == c->number)
        return;
    place(k, at, last);
    rise(k, at);
    sink(k, k->connectors[last]->sch.heap_at);
}

struct connector *
due_first(const struct core *k)
{
    return k->due.n == 0 ? NULL : k->connectors[k->due.at[0]];
}
