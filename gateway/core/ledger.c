/* ledger.c - entries in the order of publishing.  The newest are where almost all that happens, happens. */
#include "ledger.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 16 };

static uint64_t
min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t
max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* At most this much do n messages of at most `largest` weigh, of an entry of so many bytes. */
static uint64_t
weigh(uint64_t bytes, uint64_t largest, uint64_t n)
{
    return largest == 0 || n > bytes / largest ? bytes : n * largest;
}

bool
ledger_room(struct ledger *l)
{
    const uint32_t cap = l->cap == 0 ? FIRST_CAP : l->cap * 2;
    struct entry *more;

    if (l->n < l->cap || l->cap >= l->most)
        return true;
    more = realloc(l->entries, (cap < l->most ? cap : l->most) * sizeof(*more));
    if (more == NULL)
        return l->cap > 0; /* then entries are joined instead */
    l->entries = more;
    l->cap = cap < l->most ? cap : l->most;
    return true;
}

/* b is the next after a. */
static void
join(struct entry *a, const struct entry *b)
{
    a->last = max64(a->last, b->last);
    a->first = min64(a->first, b->first);
    a->settled_us = a->settled_us > b->settled_us ? a->settled_us : b->settled_us;
    a->bytes += b->bytes;
    a->messages += b->messages;
    a->ghosts += b->ghosts;
    a->largest = max64(a->largest, b->largest);
}

static void
close_up(struct ledger *l, uint32_t from, uint32_t to)
{
    memmove(l->entries + from, l->entries + to, (l->n - to) * sizeof(*l->entries));
    l->n -= to - from;
}

/* Join neighbours as long as they stay below so much.  The first entry may be what was folded, and as large as all
 * that ever was: it takes no part, or nothing would be too large to be joined. */
static void
squeeze(struct ledger *l, uint64_t bytes, uint64_t messages)
{
    uint32_t to = 1;

    for (uint32_t i = 2; i < l->n; i++) {
        struct entry *a = &l->entries[to];
        const struct entry *b = &l->entries[i];

        if (a->bytes + b->bytes <= bytes && a->messages + b->messages <= messages)
            join(a, b);
        else
            l->entries[++to] = *b;
    }
    l->n = to + 1;
}

/* Of any two neighbours that are left, one sum is above an eighth of cap's share, so at most half the entries stay. */
static void
compress(struct ledger *l)
{
    uint64_t bytes = 0, messages = 0;

    for (uint32_t i = 1; i < l->n; i++) {
        bytes += l->entries[i].bytes;
        messages += l->entries[i].messages;
    }
    for (uint64_t part = 8; l->n >= l->cap; part *= 2)
        squeeze(l, bytes / l->cap * part + part, messages / l->cap * part + part);
}

void
ledger_put(struct ledger *l, const struct entry *e)
{
    uint32_t at;

    if (l->n == l->cap)
        compress(l);
    for (at = l->n; at > 0 && l->entries[at - 1].last > e->first; at--)
        ;
    l->messages += e->messages;
    /* It may lie among those of an entry that spans its place, or of its own bundle: so it is one of them. */
    if (at < l->n && l->entries[at].first <= e->first) {
        join(&l->entries[at], e);
        return;
    }
    if (at > 0 && l->entries[at - 1].last == e->first) {
        join(&l->entries[at - 1], e);
        return;
    }
    memmove(l->entries + at + 1, l->entries + at, (l->n - at) * sizeof(*l->entries));
    l->entries[at] = *e;
    l->n++;
}

struct ledger_sum
ledger_since(const struct ledger *l, int64_t cut_us)
{
    struct ledger_sum sum = {0, 0};

    for (uint32_t i = 0; i < l->n; i++) {
        if (l->entries[i].settled_us <= cut_us)
            continue;
        sum.bytes += l->entries[i].bytes;
        sum.messages += l->entries[i].messages;
    }
    return sum;
}

bool
ledger_any(const struct ledger *l, int64_t from_us, int64_t to_us)
{
    for (uint32_t i = l->n; i-- > 0;)
        if (l->entries[i].settled_us > from_us && l->entries[i].settled_us <= to_us)
            return true;
    return false;
}

struct part {
    uint64_t largest, bytes;
};

static int
larger_first(const void *x, const void *y)
{
    const struct part *a = x, *b = y;

    return a->largest < b->largest ? 1 : a->largest > b->largest ? -1 : 0;
}

/* The k largest messages of these parts weigh at most this.  What is left of a part after its full-sized messages costs
 * no further message: too much, never too little. */
static uint64_t
largest_of(struct part *parts, uint32_t n, uint64_t k)
{
    uint64_t sum = 0;

    if (k == 0)
        return 0;
    qsort(parts, n, sizeof(*parts), larger_first);
    for (uint32_t i = 0; i < n && k > 0; i++) {
        const uint64_t whole = parts[i].largest == 0 ? 0 : parts[i].bytes / parts[i].largest;

        sum += weigh(parts[i].bytes, parts[i].largest, k);
        k -= min64(k, whole);
    }
    return sum;
}

bool
ledger_tail(const struct ledger *l, int64_t until_us, uint64_t n, uint64_t holes, uint64_t *ret_bytes)
{
    struct part rest[LEDGER_MOST];
    uint32_t n_rest = 0;
    uint64_t sum = 0;

    for (uint32_t i = l->n; i-- > 0;) {
        const struct entry *e = &l->entries[i];
        /* Ghosts may lie further back, and others then here in their place: they come on top of n. */
        const uint64_t placed = e->messages - e->ghosts;
        uint64_t bytes;

        if (e->settled_us > until_us)
            continue;
        bytes = n == 0 ? 0 : n >= placed ? e->bytes : weigh(e->bytes, e->largest, n + e->ghosts);
        sum += bytes;
        n -= min64(n, placed);
        if (bytes < e->bytes)
            rest[n_rest++] = (struct part){e->largest, e->bytes - bytes};
    }
    if (n > 0)
        return false;
    *ret_bytes = sum + largest_of(rest, n_rest, holes);
    return true;
}

uint64_t
ledger_tail_least(const struct ledger *l, int64_t until_us, uint64_t n)
{
    uint64_t sum = 0;

    for (uint32_t i = l->n; i-- > 0;) {
        const struct entry *e = &l->entries[i];

        if (e->settled_us > until_us)
            continue;
        if (e->messages > n || e->ghosts > 0)
            break;
        sum += e->bytes;
        n -= e->messages;
    }
    return sum;
}

bool
ledger_explains(const struct ledger *l, int64_t cut_us, int64_t floor_us, struct ledger_sum much, int64_t *ret_us)
{
    struct ledger_sum found = {0, 0};
    int64_t oldest = cut_us;

    for (uint32_t i = l->n; i-- > 0;) {
        const struct entry *e = &l->entries[i];

        if (e->settled_us > cut_us || e->settled_us <= floor_us)
            continue;
        found.bytes += e->bytes;
        found.messages += e->messages;
        oldest = e->settled_us < oldest ? e->settled_us : oldest;
        if (found.bytes >= much.bytes && found.messages >= much.messages) {
            *ret_us = oldest;
            return true;
        }
    }
    return false;
}

void
ledger_fold(struct ledger *l, int64_t until_us, uint64_t deep)
{
    uint64_t after = l->messages;
    uint32_t n = 0;

    while (n < l->n && l->entries[n].settled_us <= until_us && after - l->entries[n].messages > deep)
        after -= l->entries[n++].messages;
    if (n < 2)
        return;
    for (uint32_t i = 1; i < n; i++)
        join(&l->entries[0], &l->entries[i]);
    close_up(l, 1, n);
}

void
ledger_forget(struct ledger *l, int64_t until_us)
{
    uint32_t to = 0;

    for (uint32_t i = 0; i < l->n; i++) {
        if (l->entries[i].settled_us <= until_us)
            l->messages -= l->entries[i].messages;
        else
            l->entries[to++] = l->entries[i];
    }
    l->n = to;
}

const char *
ledger_check(const struct ledger *l)
{
    uint64_t messages = 0;

    if (l->n > l->cap || l->cap > l->most)
        return "a ledger is larger than its bound";
    for (uint32_t i = 0; i < l->n; i++) {
        const struct entry *e = &l->entries[i];

        messages += e->messages;
        if (e->first > e->last || (i > 0 && e->first <= l->entries[i - 1].last))
            return "a ledger is out of order";
        if (e->ghosts > e->messages || e->largest > e->bytes || e->messages == 0 ||
            e->bytes / e->messages > e->largest)
            return "an entry of a ledger does not add up";
    }
    return messages == l->messages ? NULL : "the messages of a ledger do not add up";
}

void
ledger_free(struct ledger *l)
{
    free(l->entries);
    l->entries = NULL;
    l->n = l->cap = 0;
    l->messages = 0;
}
