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

enum { FEW = 64, BITS = 64 }; /* elements that are in the caches, whatever their size; bits of a number */

static bool
has_bit(const struct heap *h, uint32_t i, unsigned bit)
{
    uint64_t number;

    memcpy(&number, h->base + i * h->size, sizeof(number));
    return (number >> bit & 1) != 0;
}

/* Those without the bit before those with it.  Returns how many are without. */
static uint32_t
part(const struct heap *h, uint32_t n, unsigned bit)
{
    uint32_t low = 0, high = n;

    while (low < high)
        if (!has_bit(h, low, bit))
            low++;
        else if (has_bit(h, --high, bit))
            continue;
        else
            swap(h, low++, high);
    return low;
}

void
sort_numbered(void *base, uint32_t n, size_t size, sort_order *order, const void *context)
{
    struct {
        unsigned char *base;
        uint32_t n;
        unsigned bits; /* that may differ, the lowest ones */
    } left[BITS + 1]; /* each has fewer bits than the one below it */
    unsigned depth = 0;

    left[depth].base = base;
    left[depth].n = n;
    left[depth++].bits = BITS;
    while (depth > 0) {
        const struct heap h = {left[depth - 1].base, size, order, context};
        const uint32_t here = left[--depth].n;
        const unsigned bits = left[depth].bits;
        if (here <= FEW || bits == 0) {
            sort_heap(h.base, here, size, order, context);
            continue;
        }
        const uint32_t low = part(&h, here, bits - 1);
        left[depth].n = low; /* its base is there */
        left[depth++].bits = bits - 1;
        left[depth].base = h.base + low * size;
        left[depth].n = here - low;
        left[depth++].bits = bits - 1;
    }
}
