/* mailbox.h - how threads talk: a list of messages of one size, handed over whole, with a wake-up.
 *
 * Any thread posts, one thread takes.  A take swaps the list out, so the lock is held for a pointer
 * exchange and messages are handled without it.  Messages are copied bitwise; what they point to
 * changes owner with them.  There is one lock, and no other is taken inside it.
 *
 * Bound: a mailbox grows with what is posted; its users bound that (each names its bound). */
#ifndef MAILBOX_H
#define MAILBOX_H

#include <stddef.h>

struct err;
struct mailbox;

/* Returns a new mailbox for messages of size bytes, or NULL with *err filled. */
struct mailbox *mailbox_new(size_t size, struct err *err);

/* Add n messages, in order, waking the taker if the box was empty.  -1 (ERR_NOMEM): none was added. */
int mailbox_post(struct mailbox *box, const void *messages, size_t n, struct err *err);

/* The same, but leave the taker asleep: mailbox_wake, or the next mailbox_post, wakes it for this too.  For what
 * nobody waits for, where a wake-up now would take the processor from something that somebody does wait for. */
int mailbox_post_quietly(struct mailbox *box, const void *messages, size_t n, struct err *err);

/* Wake the taker if something is there that it was not woken for. */
void mailbox_wake(struct mailbox *box);

/* Take all that is there: *ret lends the messages until the next take.  Returns their number, 0 if none. */
size_t mailbox_take(struct mailbox *box, void **ret);

/* Readable while there is something to take, but for what was only posted quietly; for poll.  Lent until
 * mailbox_free. */
int mailbox_fd(const struct mailbox *box);

/* mailbox_free(NULL) does nothing.  No thread may still post.  What is still in the box is forgotten: whose
 * messages own something takes them first. */
void mailbox_free(struct mailbox *box);

#endif
