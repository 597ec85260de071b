/* bundle.c - bundles and their references. */
#include "bundle.h"

#include <stdlib.h>
#include <string.h>

struct bundle *
bundle_new(const void *body, size_t len, const char *ctype, uint64_t tag, void *take)
{
    size_t ctype_len = ctype == NULL ? 0 : strlen(ctype);
    size_t copied = take == NULL ? len : 0;
    struct bundle *b;

    if (copied > SIZE_MAX - sizeof(*b) - ctype_len)
        return NULL;
    b = malloc(sizeof(*b) + ctype_len + copied);
    if (b == NULL)
        return NULL;
    b->part = (struct session_bundle){.size = len};
    if (ctype != NULL) {
        memcpy(b->data, ctype, ctype_len);
        b->part.ctype = (struct wire_text){.at = b->data, .len = (uint32_t)ctype_len};
    }
    if (take == NULL)
        memcpy(b->data + ctype_len, body, len);
    b->body = take == NULL ? (uint8_t *)b->data + ctype_len : take;
    b->taken = take;
    b->next = NULL;
    b->tag = tag;
    b->cost = wire_cost(len);
    atomic_init(&b->refs, 1);
    return b;
}

void
bundle_ref(struct bundle *b)
{
    /* Release, where relaxed would do: the transport's queue orders the threads, but a race detector cannot look
     * into it.  It costs nothing where every atomic addition is a barrier anyway. */
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_release);
}

void
bundle_unref(struct bundle *b)
{
    if (b == NULL || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(b->part.text);
    free(b->taken);
    free(b);
}

void
bundle_append(struct bundle_list *list, struct bundle *b)
{
    b->next = NULL;
    if (list->last != NULL)
        list->last->next = b;
    else
        list->first = b;
    list->last = b;
}

struct bundle *
bundle_shift(struct bundle_list *list)
{
    struct bundle *b = list->first;

    if (b == NULL)
        return NULL;
    list->first = b->next;
    if (list->first == NULL)
        list->last = NULL;
    b->next = NULL;
    return b;
}
