/* window.c - the confirm window: a ring of open messages by delivery tag. */
#include "window.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "parts.h"

struct place {
    struct window_item item;
    char              *returned; /* owned; NULL: the broker did not give it back */
    bool               open;
};

struct window {
    struct place *ring;
    uint64_t      mask;       /* places - 1; a power of two of them */
    uint64_t      first;      /* the oldest tag that may be open */
    uint64_t      next;       /* the tag of the next message */
    size_t        count;      /* open messages */
    uint64_t      bytes;      /* their body bytes */
    uint32_t      most;
    uint64_t      most_bytes;
};

static struct place *
at(const struct window *w, uint64_t tag)
{
    return &w->ring[tag & w->mask];
}

struct window *
window_new(uint32_t most, uint64_t most_bytes, struct err *err)
{
    uint64_t places = 16;
    struct window *w = calloc(1, sizeof(*w));

    if (most == 0)
        most = 1;
    while (places < (uint64_t)most * 2)
        places *= 2;
    if (w != NULL)
        w->ring = calloc(places, sizeof(*w->ring));
    if (w == NULL || w->ring == NULL) {
        free(w);
        err_set(err, ERR_NOMEM, errno, "a confirm window of %u messages", most);
        return NULL;
    }
    w->mask = places - 1;
    w->first = w->next = 1;
    w->most = most;
    w->most_bytes = most_bytes;
    return w;
}

bool
window_room(const struct window *w, uint64_t size)
{
    if (w->count == 0)
        return true;
    if (w->count >= w->most || w->next - w->first > w->mask)
        return false;
    return w->bytes < w->most_bytes && size <= w->most_bytes - w->bytes;
}

uint64_t
window_add(struct window *w, const struct window_item *item)
{
    assert(w->next - w->first <= w->mask);
    *at(w, w->next) = (struct place){.item = *item, .open = true};
    w->count++;
    w->bytes += item->size;
    return w->next++;
}

static void
settle(struct window *w, struct place *place, window_fn *each, void *ctx)
{
    if (!place->open)
        return;
    place->open = false;
    w->count--;
    w->bytes -= place->item.size;
    if (each != NULL)
        each(ctx, &place->item, &place->returned);
    free(place->returned);
    place->returned = NULL;
}

int
window_settle(struct window *w, uint64_t tag, bool multiple, window_fn *each, void *ctx)
{
    if (tag == 0 && multiple)
        tag = w->next - 1;
    if (tag >= w->next || (tag == 0 && !multiple))
        return -1;
    if (!multiple && tag >= w->first)
        settle(w, at(w, tag), each, ctx);
    while (multiple && w->first <= tag)
        settle(w, at(w, w->first++), each, ctx);
    while (w->first < w->next && !at(w, w->first)->open)
        w->first++;
    return 0;
}

bool
window_return(struct window *w, const char *id, size_t len, char **text)
{
    char own[WINDOW_ID_MAX];

    for (uint64_t tag = w->first; tag < w->next; tag++) {
        struct place *place = at(w, tag);
        if (!place->open || place->returned != NULL)
            continue;
        if (window_id(&place->item, own) != len || memcmp(own, id, len) != 0)
            continue;
        place->returned = *text;
        *text = NULL;
        return true;
    }
    return false;
}

void
window_clear(struct window *w, window_fn *each, void *ctx)
{
    for (; w->first < w->next; w->first++)
        settle(w, at(w, w->first), each, ctx);
    w->first = w->next = 1;
}

size_t
window_count(const struct window *w)
{
    return w->count;
}

uint64_t
window_bytes(const struct window *w)
{
    return w->bytes;
}

/* By hand: this is done for every message, and snprintf would be a tenth of what publishing one costs. */
static char *
put_number(char *to, uint64_t n)
{
    char digits[20];
    size_t len = 0;

    do
        digits[len++] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    while (len > 0)
        *to++ = digits[--len];
    return to;
}

size_t
window_id(const struct window_item *item, char buf[WINDOW_ID_MAX])
{
    const struct pub_message *message = &item->message;
    const size_t len = strnlen(message->connector, 64);
    char *to = buf + len;

    memcpy(buf, message->connector, len);
    *to++ = '/';
    to = put_number(to, message->epoch);
    *to++ = '/';
    to = put_number(to, message->seq);
    if (message->parts != NULL && message->parts->n > 1) {
        *to++ = '/';
        to = put_number(to, (uint64_t)item->part + 1);
    }
    *to = '\0';
    return (size_t)(to - buf);
}

void
window_free(struct window *w)
{
    if (w == NULL)
        return;
    window_clear(w, NULL, NULL);
    free(w->ring);
    free(w);
}
