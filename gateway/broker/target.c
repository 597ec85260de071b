/* target.c - what is known of the places that messages go to. */
#include "target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "publisher.h"

struct target_list {
    struct target **hash;  /* by the address of def; open addressing; NULL: free */
    size_t          slots; /* a power of two, at most half of them used */
    struct target **list;  /* in order of arrival; they do not move */
    size_t          n;
    size_t          known; /* all before this one are known */
    struct target  *last;  /* the one last asked for: most messages go where the one before went */
};

struct target_list *
target_list_new(struct err *err)
{
    struct target_list *t = calloc(1, sizeof(*t));

    if (t == NULL)
        err_set(err, ERR_NOMEM, errno, "the targets of a broker connection");
    return t;
}

static struct target **
slot(struct target **hash, size_t slots, const struct pub_target *def)
{
    size_t i = (size_t)(((uint64_t)(uintptr_t)def * 0x9E3779B97F4A7C15U) >> 32) & (slots - 1);

    while (hash[i] != NULL && hash[i]->def != def)
        i = (i + 1) & (slots - 1);
    return &hash[i];
}

static int
grow(struct target_list *t)
{
    const size_t slots = t->slots > 0 ? t->slots * 2 : 16;
    struct target **hash = calloc(slots, sizeof(*hash)), **list;

    if (hash == NULL)
        return -1;
    list = reallocarray(t->list, slots / 2, sizeof(*list));
    if (list == NULL) {
        free(hash);
        return -1;
    }
    for (size_t i = 0; i < t->n; i++)
        *slot(hash, slots, list[i]->def) = list[i];
    free(t->hash);
    t->hash = hash;
    t->slots = slots;
    t->list = list;
    return 0;
}

static struct target *
add(struct target_list *t, const struct pub_target *def, struct err *err)
{
    struct target *new = NULL;

    if (t->n < t->slots / 2 || grow(t) == 0)
        new = calloc(1, sizeof(*new));
    if (new == NULL) {
        err_set(err, ERR_NOMEM, ENOMEM, "target '%s' of a broker connection", def->routing_key);
        return NULL;
    }
    new->def = def;
    *slot(t->hash, t->slots, def) = new;
    t->list[t->n++] = new;
    return new;
}

struct target *
target_list_get(struct target_list *t, const struct pub_target *def, struct err *err)
{
    if (t->last != NULL && t->last->def == def)
        return t->last;
    struct target *found = t->slots > 0 ? *slot(t->hash, t->slots, def) : NULL;
    if (found == NULL)
        found = add(t, def, err);
    if (found != NULL)
        t->last = found;
    return found;
}

void
target_list_forget(struct target_list *t)
{
    for (size_t i = 0; i < t->n; i++)
        t->list[i]->state = TARGET_UNKNOWN;
    t->known = 0;
}

struct target *
target_list_unknown(struct target_list *t)
{
    while (t->known < t->n && t->list[t->known]->state != TARGET_UNKNOWN)
        t->known++;
    return t->known < t->n ? t->list[t->known] : NULL;
}

void
target_list_free(struct target_list *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n; i++)
        free(t->list[i]);
    free(t->list);
    free(t->hash);
    free(t);
}
