/* table.c - connectors by id and by connection. */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

/* FNV-1a, 32 bits (offset basis and prime from the FNV specification); ids come from the configuration or are
 * bounded in number, so a chosen collision costs its author little gain. */
static uint32_t
hash(const char *id, uint32_t len)
{
    uint32_t h = 2166136261U;

    for (uint32_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)id[i]) * 16777619U;
    return h;
}

static bool
same(const struct connector *c, const char *id, uint32_t len)
{
    return strlen(c->cfg.id) == len && memcmp(c->cfg.id, id, len) == 0;
}

/* Where id is, or the free place where it would be. */
static uint32_t
place(const struct core *k, const char *id, uint32_t len)
{
    uint32_t at = hash(id, len) & (k->by_id_cap - 1);

    while (k->by_id[at] != NONE && !same(k->connectors[k->by_id[at]], id, len))
        at = (at + 1) & (k->by_id_cap - 1);
    return at;
}

uint32_t
table_find(const struct core *k, const char *id, uint32_t len)
{
    return k->by_id_cap == 0 ? NONE : k->by_id[place(k, id, len)];
}

static bool
grow_index(struct core *k)
{
    const uint32_t cap = k->by_id_cap == 0 ? 64 : k->by_id_cap * 2;
    uint32_t *fresh = malloc(cap * sizeof(*fresh));

    if (fresh == NULL)
        return false;
    for (uint32_t i = 0; i < cap; i++)
        fresh[i] = NONE;
    free(k->by_id);
    k->by_id = fresh;
    k->by_id_cap = cap;
    for (uint32_t i = 0; i < k->n_connectors; i++) {
        const char *id = k->connectors[i]->cfg.id;

        k->by_id[place(k, id, (uint32_t)strlen(id))] = i;
    }
    return true;
}

static bool
grow_list(struct core *k)
{
    const uint32_t cap = k->cap_connectors == 0 ? 64 : k->cap_connectors * 2;
    struct connector **fresh = realloc(k->connectors, cap * sizeof(struct connector *));

    if (fresh == NULL)
        return false;
    k->connectors = fresh;
    k->cap_connectors = cap;
    return true;
}

uint32_t
table_add(struct core *k, const struct core_connector *cfg)
{
    struct connector *c;

    if (k->n_connectors == CORE_CONNECTORS_MAX)
        return NONE;
    if (k->n_connectors * 2 >= k->by_id_cap && !grow_index(k))
        return NONE;
    if (k->n_connectors == k->cap_connectors && !grow_list(k))
        return NONE;
    if (!due_reserve(k))
        return NONE;
    c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NONE;
    c->cfg = *cfg;
    c->number = k->n_connectors;
    c->first = c->expect = c->next_post = 1;
    c->retry_us = INT64_MAX;
    c->sch.heap_at = NONE;
    c->heard_prev = c->heard_next = NONE;
    k->connectors[k->n_connectors] = c;
    k->by_id[place(k, cfg->id, (uint32_t)strlen(cfg->id))] = k->n_connectors;
    k->n_connectors++;
    queues_join(k, c);
    return c->number;
}

uint32_t
table_of(const struct core *k, uint64_t conn)
{
    const uint32_t low = (uint32_t)conn;

    return low < k->cap_conns && k->conns[low].conn == conn && conn != 0 ? k->conns[low].connector : NONE;
}

bool
table_bind(struct core *k, uint64_t conn, uint32_t i)
{
    const uint32_t low = (uint32_t)conn;

    if (low >= k->cap_conns) {
        uint32_t cap = k->cap_conns == 0 ? 64 : k->cap_conns;
        struct conn_slot *fresh;

        while (cap <= low)
            cap *= 2;
        fresh = realloc(k->conns, cap * sizeof(*fresh));
        if (fresh == NULL)
            return false;
        memset(fresh + k->cap_conns, 0, (cap - k->cap_conns) * sizeof(*fresh));
        k->conns = fresh;
        k->cap_conns = cap;
    }
    k->conns[low] = (struct conn_slot){conn, i};
    return true;
}

void
table_unbind(struct core *k, uint64_t conn)
{
    if (table_of(k, conn) != NONE)
        k->conns[(uint32_t)conn].conn = 0;
}

void
table_free(struct core *k)
{
    for (uint32_t i = 0; i < k->n_connectors; i++)
        free(k->connectors[i]);
    free(k->connectors);
    free(k->by_id);
    free(k->conns);
    free(k->due.at);
}
