/* posset.c - a set of positions, as ranges. */
#include "posset.h"

#include <stdlib.h>
#include <string.h>

/* The first range that ends behind pos. */
static size_t
find(const struct posset *s, uint64_t pos)
{
    size_t low = 0, high = s->n;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;

        if (s->ranges[mid].to <= pos)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Put `now` ranges in the place of `were` at i. */
static int
splice(struct posset *s, size_t i, size_t were, const struct pos_range *ranges, size_t now)
{
    const size_t n = s->n - were + now;

    if (n > s->cap) {
        const size_t cap = n < 8 ? 8 : n * 2;
        struct pos_range *at = reallocarray(s->ranges, cap, sizeof(*at));

        if (at == NULL)
            return -1;
        s->ranges = at;
        s->cap = cap;
    }
    if (s->n > i + were)
        memmove(s->ranges + i + now, s->ranges + i + were, (s->n - i - were) * sizeof(*ranges));
    if (now > 0)
        memcpy(s->ranges + i, ranges, now * sizeof(*ranges));
    s->n = n;
    return 0;
}

int
posset_add(struct posset *s, uint64_t from, uint64_t to)
{
    struct pos_range one = {from, to};
    size_t i, end;

    if (from >= to)
        return 0;
    i = find(s, from > 0 ? from - 1 : 0); /* one that ends where this begins is joined */
    for (end = i; end < s->n && s->ranges[end].from <= to; end++) {
        one.from = s->ranges[end].from < one.from ? s->ranges[end].from : one.from;
        one.to = s->ranges[end].to > one.to ? s->ranges[end].to : one.to;
    }
    return splice(s, i, end - i, &one, 1);
}

int
posset_remove(struct posset *s, uint64_t pos)
{
    struct pos_range rest[2];
    const size_t i = find(s, pos);
    size_t n = 0;

    if (i == s->n || s->ranges[i].from > pos)
        return 0;
    if (s->ranges[i].from < pos)
        rest[n++] = (struct pos_range){s->ranges[i].from, pos};
    if (s->ranges[i].to > pos + 1)
        rest[n++] = (struct pos_range){pos + 1, s->ranges[i].to};
    return splice(s, i, 1, rest, n);
}

bool
posset_has(const struct posset *s, uint64_t pos)
{
    const size_t i = find(s, pos);

    return i < s->n && s->ranges[i].from <= pos;
}

uint64_t
posset_gap(const struct posset *s, uint64_t pos)
{
    const size_t i = find(s, pos);

    return i < s->n && s->ranges[i].from <= pos ? s->ranges[i].to : pos;
}

uint64_t
posset_count(const struct posset *s, uint64_t from, uint64_t to)
{
    uint64_t sum = 0;

    for (size_t i = find(s, from); i < s->n && s->ranges[i].from < to; i++) {
        const uint64_t begin = s->ranges[i].from > from ? s->ranges[i].from : from;

        sum += (s->ranges[i].to < to ? s->ranges[i].to : to) - begin;
    }
    return sum;
}

void
posset_clear(struct posset *s)
{
    free(s->ranges);
    *s = (struct posset){0};
}
