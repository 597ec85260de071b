/* window.h - the confirm window: which messages RabbitMQ has not answered for yet.
 *
 * A ring by delivery tag: tags count from 1 on each channel, and confirms come out of order, alone or for all up to
 * a tag.  Each step costs O(1) a message, save finding a returned one, which has no tag and is looked for from the
 * oldest.
 * Bound: `most` messages, in twice as many places: where the oldest stays open that long, nothing is added.
 * No sockets, no clock.  Thread: the publisher's only. */
#ifndef WINDOW_H
#define WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "publisher.h"

struct bundle;
struct err;
struct window;

enum { WINDOW_ID_MAX = 64 + 1 + 20 + 1 + 20 + 1 + 10 + 1 }; /* "<connector>/<epoch>/<seq>/<part>" with its NUL */

/* One message that is published: what was posted, or one part of it. */
struct window_item {
    struct pub_message message; /* what it points to is borrowed */
    struct bundle     *bundle;  /* where the parts of message are counted; NULL: it has none.  Not looked at here */
    uint64_t           size;    /* bytes of its body */
    uint32_t           part;    /* of message.parts, from 0; 0 where there are none */
};

/* What became of one; lent for the call.  returned is text that the callee may take (set it to NULL), or NULL: it was
 * not returned. */
typedef void window_fn(void *ctx, const struct window_item *item, char **returned);

/* Returns a new window, or NULL with *err filled. */
struct window *window_new(uint32_t most, uint64_t most_bytes, struct err *err);

/* May a message of size bytes be published now?  Where nothing is open: always. */
bool window_room(const struct window *w, uint64_t size);

/* Note one that is about to be published (copied; what it points to is borrowed).  Returns its delivery tag. */
uint64_t window_add(struct window *w, const struct window_item *item);

/* The broker has answered for tag, or for all up to it (tag 0: all).  Calls each for those that were still open,
 * oldest first: a range may hold tags that were settled before.  -1: such a tag was never given out. */
int window_settle(struct window *w, uint64_t tag, bool multiple, window_fn *each, void *ctx);

/* The broker gave the message with this id back, so its ack will not mean that it is in a queue.
 * Takes *text on true; false: no open message has that id. */
bool window_return(struct window *w, const char *id, size_t len, char **text);

/* The channel is gone: call each (NULL: nobody cares) for all that were open, oldest first; tags restart at 1. */
void window_clear(struct window *w, window_fn *each, void *ctx);

size_t window_count(const struct window *w); /* open messages */
uint64_t window_bytes(const struct window *w); /* their body bytes */

/* Write the message_id into buf; returns its length.  The part is in it where there are several. */
size_t window_id(const struct window_item *item, char buf[WINDOW_ID_MAX]);

/* window_free(NULL) does nothing. */
void window_free(struct window *w);

#endif
