/* heap.c - a binary heap. */
#include "heap.h"

#include <stdlib.h>

struct heap {
    struct heap_item *at;
    uint64_t n, cap, order;
};

struct heap *
heap_new(void)
{
    return calloc(1, sizeof(struct heap));
}

static bool
before(const struct heap_item *a, const struct heap_item *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void
swap(struct heap_item *a, struct heap_item *b)
{
    const struct heap_item t = *a;

    *a = *b;
    *b = t;
}

void
heap_push(struct heap *h, struct heap_item item)
{
    uint64_t i = h->n++;

    if (h->n > h->cap) {
        h->cap = h->cap == 0 ? 1024 : h->cap * 2;
        h->at = realloc(h->at, h->cap * sizeof(*h->at));
        if (h->at == NULL)
            abort();
    }
    item.order = h->order++;
    h->at[i] = item;
    for (; i > 0 && before(&h->at[i], &h->at[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&h->at[i], &h->at[(i - 1) / 2]);
}

int64_t
heap_next_at(const struct heap *h)
{
    return h->n == 0 ? INT64_MAX : h->at[0].at;
}

bool
heap_pop(struct heap *h, struct heap_item *ret)
{
    uint64_t i = 0;

    if (h->n == 0)
        return false;
    *ret = h->at[0];
    h->at[0] = h->at[--h->n];
    for (;;) {
        const uint64_t l = 2 * i + 1, r = l + 1;
        uint64_t least = i;

        if (l < h->n && before(&h->at[l], &h->at[least]))
            least = l;
        if (r < h->n && before(&h->at[r], &h->at[least]))
            least = r;
        if (least == i)
            return true;
        swap(&h->at[i], &h->at[least]);
        i = least;
    }
}

void
heap_free(struct heap *h)
{
    free(h->at);
    free(h);
}
