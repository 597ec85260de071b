/* targets.c - every target that was ever configured, by a number that stays. */
#include "targets.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "settings.h"

enum { BUCKETS = 4096 };

struct entry {
    struct pub_target target;
    struct target_format format;
    struct entry     *next; /* in its bucket */
    uint32_t          number;
};

struct targets {
    struct entry **by_number;
    uint32_t       n, cap;
    struct entry  *buckets[BUCKETS];
};

struct targets *
targets_new(struct err *err)
{
    struct targets *t = calloc(1, sizeof(*t));

    if (t == NULL)
        err_set(err, ERR_NOMEM, 0, "targets");
    return t;
}

/* FNV-1a over the three names, each with its end. */
static uint32_t
bucket(const struct settings_target *s)
{
    const char *names[3] = {s->exchange, s->routing_key, s->queue};
    uint32_t h = 2166136261U;

    for (int i = 0; i < 3; i++)
        for (const char *p = names[i];; p++) {
            h = (h ^ (unsigned char)*p) * 16777619U;
            if (*p == '\0')
                break;
        }
    return h % BUCKETS;
}

static bool
skips(const struct settings_target *s)
{
    return strcmp(s->too_large, "skip") == 0;
}

/* OpenCTI's names hold the id, so it need not be compared. */
static bool
same(const struct entry *e, const struct settings_target *b)
{
    const struct pub_target *a = &e->target;

    return strcmp(a->exchange, b->exchange) == 0 && strcmp(a->routing_key, b->routing_key) == 0 &&
           strcmp(a->queue, b->queue) == 0 && a->declare == b->declare &&
           (a->opencti_id != NULL) == b->opencti_names && e->format.skip_large == skips(b) &&
           strcmp(e->format.applicant_id, b->applicant_id) == 0;
}

static void
entry_free(struct entry *e)
{
    free((char *)e->target.exchange);
    free((char *)e->target.routing_key);
    free((char *)e->target.queue);
    free((char *)e->target.opencti_id);
    free((char *)e->format.applicant_id);
    free(e);
}

static struct entry *
entry_new(const struct settings_target *s, const char *id)
{
    struct entry *e = calloc(1, sizeof(*e));

    if (e == NULL)
        return NULL;
    e->target.exchange = strdup(s->exchange);
    e->target.routing_key = strdup(s->routing_key);
    e->target.queue = strdup(s->queue);
    e->target.declare = s->declare;
    e->target.opencti_id = s->opencti_names ? strdup(id) : NULL;
    e->format.applicant_id = strdup(s->applicant_id);
    e->format.skip_large = skips(s);
    if (e->target.exchange == NULL || e->target.routing_key == NULL || e->target.queue == NULL ||
        e->format.applicant_id == NULL || (s->opencti_names && e->target.opencti_id == NULL)) {
        entry_free(e);
        return NULL;
    }
    return e;
}

static bool
grow(struct targets *t)
{
    const uint32_t cap = t->cap == 0 ? 64 : t->cap * 2;
    struct entry **fresh;

    if (t->n < t->cap)
        return true;
    fresh = realloc(t->by_number, cap * sizeof(struct entry *));
    if (fresh == NULL)
        return false;
    t->by_number = fresh;
    t->cap = cap;
    return true;
}

int64_t
targets_intern(struct targets *t, const struct settings_target *s, const char *id, struct err *err)
{
    struct entry **at = &t->buckets[bucket(s)];
    struct entry *e;

    for (e = *at; e != NULL; e = e->next)
        if (same(e, s))
            return e->number;
    if (t->n == TARGETS_MAX)
        return err_set(err, ERR_FULL, 0, "more than %d different targets since the start: restart the gateway",
                       TARGETS_MAX);
    e = grow(t) ? entry_new(s, id) : NULL;
    if (e == NULL)
        return err_set(err, ERR_NOMEM, 0, "target %s", s->routing_key);
    e->number = t->n;
    e->next = *at;
    *at = e;
    t->by_number[t->n++] = e;
    return e->number;
}

uint32_t
targets_count(const struct targets *t)
{
    return t->n;
}

const struct pub_target *
targets_at(const struct targets *t, uint32_t number)
{
    return &t->by_number[number]->target;
}

const struct target_format *
targets_format(const struct targets *t, uint32_t number)
{
    return &t->by_number[number]->format;
}

void
targets_free(struct targets *t)
{
    if (t == NULL)
        return;
    for (uint32_t i = 0; i < t->n; i++)
        entry_free(t->by_number[i]);
    free(t->by_number);
    free(t);
}
