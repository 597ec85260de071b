/* gauged.c - the queues that are measured, by a number that stays. */
#include "gauged.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "err.h"

enum { BUCKETS = 4096 };

struct entry {
    char *name;
    const char *who; /* the connector that said it; NULL: nobody in this reading */
    uint32_t next;   /* in its bucket; CORE_NO_QUEUE ends it */
    bool odd;
};

struct gauged {
    struct entry *entries;
    struct core_queue *list;
    uint32_t n, cap;
    uint32_t buckets[BUCKETS];
};

struct gauged *
gauged_new(struct err *err)
{
    struct gauged *g = calloc(1, sizeof(*g));

    if (g == NULL)
        err_set(err, ERR_NOMEM, 0, "queues");
    else
        memset(g->buckets, 0xff, sizeof(g->buckets));
    return g;
}

void
gauged_begin(struct gauged *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        g->entries[i].who = NULL;
}

/* FNV-1a */
static uint32_t
bucket(const char *name)
{
    uint32_t h = 2166136261U;

    for (; *name != '\0'; name++)
        h = (h ^ (unsigned char)*name) * 16777619U;
    return h % BUCKETS;
}

static bool
grow(struct gauged *g)
{
    const uint32_t cap = g->cap == 0 ? 64 : g->cap * 2;
    struct entry *entries;
    struct core_queue *list;

    if (g->n < g->cap)
        return true;
    entries = realloc(g->entries, cap * sizeof(*entries));
    if (entries != NULL)
        g->entries = entries;
    list = realloc(g->list, cap * sizeof(*list));
    if (list != NULL)
        g->list = list;
    if (entries == NULL || list == NULL)
        return false;
    g->cap = cap;
    return true;
}

static int64_t
add(struct gauged *g, const char *name, struct err *err)
{
    const uint32_t at = bucket(name);
    char *copy;

    if (g->n == CORE_QUEUES_MAX)
        return err_set(err, ERR_FULL, 0, "more than %d different queues since the start: restart the gateway",
                       CORE_QUEUES_MAX);
    copy = grow(g) ? strdup(name) : NULL;
    if (copy == NULL)
        return err_set(err, ERR_NOMEM, 0, "queue %s", name);
    g->entries[g->n] = (struct entry){copy, NULL, g->buckets[at], false};
    g->buckets[at] = g->n;
    return g->n++;
}

static bool
agree(const struct core_queue *a, const struct core_queue *b)
{
    return a->group == b->group && a->counts == b->counts && a->alone == b->alone && a->unacked_max == b->unacked_max;
}

int64_t
gauged_intern(struct gauged *g, const char *name, const struct core_queue *said, const char *who, struct err *err)
{
    int64_t number = -1;

    if (name[0] == '\0')
        return CORE_NO_QUEUE;
    for (uint32_t i = g->buckets[bucket(name)]; i != CORE_NO_QUEUE && number < 0; i = g->entries[i].next)
        if (strcmp(g->entries[i].name, name) == 0)
            number = i;
    if (number < 0)
        number = add(g, name, err);
    if (number < 0)
        return -1;
    if (g->entries[number].who != NULL && !agree(&g->list[number], said))
        return err_set(err, ERR_CONFIG, 0,
                       "connectors: \"%.64s\" and \"%.64s\" have the queue \"%.40s\" together, and differ in group, "
                       "shared or unacked_max: write the same for both",
                       g->entries[number].who, who, name);
    g->list[number] = *said;
    g->entries[number].who = who;
    return number;
}

uint32_t
gauged_count(const struct gauged *g)
{
    return g->n;
}

const char *
gauged_name(const struct gauged *g, uint32_t number)
{
    return g->entries[number].name;
}

const struct core_queue *
gauged_list(const struct gauged *g)
{
    return g->list;
}

bool
gauged_odd(struct gauged *g, uint32_t number, bool odd)
{
    const bool news = number < g->n && g->entries[number].odd != odd;

    if (news)
        g->entries[number].odd = odd;
    return news;
}

void
gauged_free(struct gauged *g)
{
    if (g == NULL)
        return;
    for (uint32_t i = 0; i < g->n; i++)
        free(g->entries[i].name);
    free(g->entries);
    free(g->list);
    free(g);
}
