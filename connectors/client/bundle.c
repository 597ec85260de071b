/* bundle.c - bundles and their references. */
#include "bundle.h"

#include <stdlib.h>
#include <string.h>

#include "sluice/sluice.h"

/* Copy a text behind what is there; NULL: none. */
static struct wire_text
keep_text(struct bundle *b, size_t *used, const char *text)
{
    const size_t len = text == NULL ? 0 : strlen(text);
    const struct wire_text kept = {.at = text == NULL ? NULL : b->data + *used, .len = (uint32_t)len};

    if (len > 0)
        memcpy(b->data + *used, text, len);
    *used += len;
    return kept;
}

static int
format_number(const char *name)
{
    return name == NULL ? 0 : strcmp(name, "raw") == 0 ? WIRE_FMT_RAW + 1 : WIRE_FMT_OPENCTI + 1;
}

struct bundle *
bundle_new(const void *body, size_t len, const struct sluice_push_options *opt, void *take)
{
    static const struct sluice_push_options none;
    const struct sluice_push_options *o = opt == NULL ? &none : opt;
    const size_t texts = (o->content_type == NULL ? 0 : strlen(o->content_type)) +
                         (o->options == NULL ? 0 : strlen(o->options));
    const size_t copied = take == NULL ? len : 0;
    size_t used = 0;
    struct bundle *b;

    if (copied > SIZE_MAX - sizeof(*b) - texts)
        return NULL;
    b = malloc(sizeof(*b) + texts + copied);
    if (b == NULL)
        return NULL;
    b->part = (struct session_bundle){.size = len, .format = format_number(o->format)};
    b->part.ctype = keep_text(b, &used, o->content_type);
    b->part.options = keep_text(b, &used, o->options);
    if (take == NULL)
        memcpy(b->data + used, body, len);
    b->body = take == NULL ? (uint8_t *)b->data + used : take;
    b->taken = take;
    b->next = NULL;
    b->tag = o->tag;
    b->cost = wire_cost(len + b->part.options.len);
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
