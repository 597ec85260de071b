/* budget.c - what one bundle may cost in memory. */
#include "budget.h"

#include <stdlib.h>

void *
budget_resize(struct budget *b, void *at, size_t old, size_t size)
{
    if (size > old && size - old > b->limit - b->used) {
        b->over = true;
        return NULL;
    }
    void *fresh = realloc(at, size);

    if (fresh != NULL)
        b->used = b->used - old + size;
    return fresh;
}

void
budget_free(struct budget *b, void *at, size_t size)
{
    if (at == NULL)
        return;
    free(at);
    b->used -= size;
}

bool
budget_more(struct budget *b, void **array, uint32_t n, uint32_t *cap, size_t size)
{
    /* Asked for each element, so that it ends soon; larger pieces are asked for too seldom. */
    if (b->stop != NULL && atomic_load_explicit(b->stop, memory_order_relaxed))
        return false;
    if (n < *cap)
        return true;
    /* By half: what is beyond the last element is not touched, and large pieces move without being copied. */
    const size_t more = (size_t)*cap + *cap / 2 + 16;
    void *fresh = more > UINT32_MAX ? NULL : budget_resize(b, *array, *cap * size, more * size);

    if (fresh == NULL)
        return false;
    *array = fresh;
    *cap = (uint32_t)more;
    return true;
}
