/* dead.c - dead letters, sorted by connector and position. */
#include "dead.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"

struct dead {
    struct dead_letter **at; /* each from malloc */
    size_t               n, cap;
};

struct dead *
dead_new(struct err *err)
{
    struct dead *d = calloc(1, sizeof(*d));

    if (d == NULL)
        err_set(err, ERR_NOMEM, 0, "dead letters");
    return d;
}

static int
compare(const struct dead_letter *a, const char *connector, uint64_t pos)
{
    const int rc = strcmp(a->connector, connector);

    return rc != 0 ? rc : a->pos < pos ? -1 : a->pos > pos;
}

/* Where it is, or would be. */
static size_t
place(const struct dead *d, const char *connector, uint64_t pos)
{
    size_t low = 0, high = d->n;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;

        if (compare(d->at[mid], connector, pos) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct dead_letter *
dead_find(const struct dead *d, const char *connector, uint64_t pos)
{
    const size_t i = place(d, connector, pos);

    return i < d->n && compare(d->at[i], connector, pos) == 0 ? d->at[i] : NULL;
}

const struct dead_letter *
dead_at(const struct dead *d, size_t i)
{
    return i < d->n ? d->at[i] : NULL;
}

size_t
dead_count(const struct dead *d)
{
    return d->n;
}

static int
grow(struct dead *d, struct err *err)
{
    const size_t cap = d->cap == 0 ? 16 : d->cap * 2;
    struct dead_letter **fresh;

    if (d->n < d->cap)
        return 0;
    fresh = realloc(d->at, cap * sizeof(struct dead_letter *));
    if (fresh == NULL)
        return err_set(err, ERR_NOMEM, 0, "dead letters");
    d->at = fresh;
    d->cap = cap;
    return 0;
}

int
dead_put(struct dead *d, const struct dead_letter *letter, struct err *err)
{
    const size_t i = place(d, letter->connector, letter->pos);
    struct dead_letter *copy;

    if (i < d->n && compare(d->at[i], letter->connector, letter->pos) == 0) {
        *d->at[i] = *letter;
        return 0;
    }
    if (d->n == DEAD_MAX)
        return err_set(err, ERR_FULL, 0, "%d dead letters are kept already: replay or drop some", DEAD_MAX);
    copy = malloc(sizeof(*copy));
    if (copy == NULL || grow(d, err) != 0) {
        free(copy);
        return err_set(err, ERR_NOMEM, 0, "dead letters");
    }
    *copy = *letter;
    memmove(d->at + i + 1, d->at + i, (d->n - i) * sizeof(struct dead_letter *));
    d->at[i] = copy;
    d->n++;
    return 0;
}

void
dead_drop(struct dead *d, const char *connector, uint64_t pos)
{
    const size_t i = place(d, connector, pos);

    if (i == d->n || compare(d->at[i], connector, pos) != 0)
        return;
    free(d->at[i]);
    d->n--;
    memmove(d->at + i, d->at + i + 1, (d->n - i) * sizeof(struct dead_letter *));
}

void
dead_free(struct dead *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->n; i++)
        free(d->at[i]);
    free(d->at);
    free(d);
}
