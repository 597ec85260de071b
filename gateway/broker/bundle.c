/* bundle.c - bundles of several messages that are under way. */
#include "bundle.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "err.h"
#include "parts.h"

struct bundles {
    size_t         n;
    struct bundle *free;
    struct bundle  all[];
};

struct bundles *
bundles_new(size_t n, struct err *err)
{
    struct bundles *all = calloc(1, sizeof(*all) + n * sizeof(all->all[0]));

    if (all == NULL) {
        err_set(err, ERR_NOMEM, errno, "the bundles of a broker connection");
        return NULL;
    }
    all->n = n;
    bundles_forget(all);
    return all;
}

/* The first message from `from` on that did not go: whole words of those that went are skipped, since a bundle that
 * comes again may have millions of them. */
static uint32_t
missing(const struct parts *p, uint32_t from)
{
    uint64_t i = from;

    while (i < p->n) {
        const uint64_t left = ~p->went_bits[i / 64] >> (i % 64);
        if (left != 0) {
            i += (uint64_t)__builtin_ctzll(left);
            break;
        }
        i = (i / 64 + 1) * 64;
    }
    return i < p->n ? (uint32_t)i : p->n;
}

struct bundle *
bundles_take(struct bundles *all, const struct pub_message *message)
{
    struct bundle *b = all->free;

    assert(b != NULL);
    all->free = b->free;
    *b = (struct bundle){.message = *message, .next = missing(message->parts, 0), .result = PUB_CONFIRMED};
    return b;
}

void
bundles_give(struct bundles *all, struct bundle *b)
{
    free(b->text);
    *b = (struct bundle){.free = all->free};
    all->free = b;
}

void
bundles_forget(struct bundles *all)
{
    all->free = NULL;
    for (size_t i = all->n; i > 0; i--)
        bundles_give(all, &all->all[i - 1]);
}

void
bundles_free(struct bundles *all)
{
    if (all == NULL)
        return;
    bundles_forget(all);
    free(all);
}

/* --- One ------------------------------------------------------------------------------------------------------ */

static int
badness(enum pub_event_kind kind)
{
    switch (kind) {
    case PUB_NACKED: return 1;
    case PUB_BAD_TARGET: return 2;
    case PUB_RETURNED: return 3;
    case PUB_REFUSED:
    case PUB_TOO_LARGE: return 4;
    default: return 0;
    }
}

bool
bundle_failed(const struct bundle *b)
{
    return b->result != PUB_CONFIRMED;
}

bool
bundle_more(const struct bundle *b)
{
    return !bundle_failed(b) && b->next < b->message.parts->n;
}

bool
bundle_over(const struct bundle *b)
{
    return b->open == 0 && !bundle_more(b);
}

uint32_t
bundle_begin(struct bundle *b)
{
    const uint32_t part = b->next;

    assert(bundle_more(b));
    b->next = missing(b->message.parts, part + 1);
    b->open++;
    return part;
}

void
bundle_fail(struct bundle *b, enum pub_event_kind kind, char *text)
{
    if (badness(kind) <= badness(b->result)) {
        free(text);
        return;
    }
    free(b->text);
    b->result = kind;
    b->text = text;
}

/* Which message it is about.  Takes text. */
static char *
named(const struct bundle *b, uint32_t part, char *text)
{
    const uint32_t n = b->message.parts->n;
    char *whole;

    if (text == NULL || n == 1)
        return text;
    if (asprintf(&whole, "message %lu of %lu: %s", (unsigned long)part + 1, (unsigned long)n, text) < 0)
        return text; /* no memory: it says why, if not which */
    free(text);
    return whole;
}

void
bundle_settle(struct bundle *b, uint32_t part, enum pub_event_kind kind, char *text)
{
    assert(b->open > 0);
    b->open--;
    if (kind == PUB_CONFIRMED) {
        parts_confirm(b->message.parts, part);
        free(text);
    } else {
        bundle_fail(b, kind, named(b, part, text));
    }
}
