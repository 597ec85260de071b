/* bundle.h - bundles of several messages that are under way: what is still to go, what is open, and what became of it.
 *
 * A bundle has one result, when nothing of it is open any more: PUB_CONFIRMED where all of its messages are.  From the
 * first one that is not, no further message of it is begun, and those that are open are awaited.  Where they fare
 * differently, the result is what is worst for the bundle: PUB_REFUSED or PUB_TOO_LARGE before PUB_RETURNED before
 * PUB_BAD_TARGET before PUB_NACKED, since trying again later does not help against the former; the text is of the first
 * that had it.
 * What was confirmed is noted in the bundle's parts, whatever its result.
 * Bound: as many as bundles_new was told.  No sockets, no clock.  Thread: the publisher's only. */
#ifndef BUNDLE_H
#define BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "publisher.h"

struct err;
struct bundles;

struct bundle {
    struct pub_message  message; /* as it was posted; what it points to is borrowed */
    uint32_t            next;    /* the message of it that goes next; message.parts->n: none */
    uint32_t            open;    /* those that were begun and not settled */
    enum pub_event_kind result;  /* PUB_CONFIRMED: none has failed so far */
    char               *text;    /* of the result; owned; may be NULL */
    struct bundle      *free;    /* the next one that is not in use */
};

/* Room for n of them.  Returns new bundles, or NULL with *err filled. */
struct bundles *bundles_new(size_t n, struct err *err);

/* One that is posted, with parts.  Lent until bundles_give or bundles_forget.  There is one: the caller counts. */
struct bundle *bundles_take(struct bundles *all, const struct pub_message *message);
void bundles_give(struct bundles *all, struct bundle *b);

/* The link is closed: none is under way any more. */
void bundles_forget(struct bundles *all);

/* NULL does nothing. */
void bundles_free(struct bundles *all);

/* Is there a message of it that is to go? */
bool bundle_more(const struct bundle *b);

/* Its next message is begun: it is open.  Returns which one it is. */
uint32_t bundle_begin(struct bundle *b);

/* Message `part` was open, and this became of it: PUB_CONFIRMED, or what has failed.  Takes text (malloc, or NULL). */
void bundle_settle(struct bundle *b, uint32_t part, enum pub_event_kind kind, char *text);

/* It cannot go on, and not because of one of its messages.  Takes text. */
void bundle_fail(struct bundle *b, enum pub_event_kind kind, char *text);

bool bundle_failed(const struct bundle *b);

/* Nothing of it is open, and nothing will be: its result stands. */
bool bundle_over(const struct bundle *b);

#endif
