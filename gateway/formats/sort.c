/* sort.c - sorting in place. */
#include "sort.h"

#include <stdbool.h>
#include <string.h>

struct heap {
    unsigned char *base;
    size_t      size;
    sort_order *order;
    const void *context;
};

static bool
below(const struct heap *h, uint32_t a, uint32_t b)
{
    return h->order(h->context, h->base + a * h->size, h->base + b * h->size) < 0;
}

static void
swap(const struct heap *h, uint32_t a, uint32_t b)
{
    unsigned char kept[SORT_SIZE_MAX];

    memcpy(kept, h->base + a * h->size, h->size);
    memcpy(h->base + a * h->size, h->base + b * h->size, h->size);
    memcpy(h->base + b * h->size, kept, h->size);
}

static void
sift(const struct heap *h, uint32_t at, uint32_t n)
{
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && below(h, child, child + 1))
            child++;
        if (!below(h, at, child))
            return;
        swap(h, at, child);
    }
}

void
sort_heap(void *base, uint32_t n, size_t size, sort_order *order, const void *context)
{
    const struct heap h = {base, size, order, context};

    for (uint32_t i = n / 2; i-- > 0;)
        sift(&h, i, n);
    for (uint32_t i = n; i-- > 1;) {
        swap(&h, 0, i);
        sift(&h, 0, i);
    }
}
