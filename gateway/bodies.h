/* bodies.h - the bodies in memory, by the core's slots.
 *
 * Bound: what is open is what the core admitted.  Thread: the loop only; publishers borrow single bodies. */
#ifndef BODIES_H
#define BODIES_H

#include <stdbool.h>
#include <stdint.h>

#include "body.h"
#include "wire.h"

struct bodies;
struct err;

/* Returns a new, empty table, or NULL with *err filled. */
struct bodies *bodies_new(struct err *err);

/* Chunks up to this many bytes are copied.  Their frames share buffers of libzmq, each of which would be kept, at more
 * than twice its payload, for as long as the last of them; and the bytes of the smallest (33) lie in the frame itself,
 * which moves when the list of chunks grows. */
enum { BODIES_COPY_MAX = 8192 };

/* Open a slot for the body of a bundle, whose header says size, content type and options (copied).  NULL: no memory. */
struct body *bodies_open(struct bodies *b, uint32_t slot, const struct wire_msg *header);

/* The same for a small body (at most BODIES_COPY_MAX), all of whose bytes are there: they are copied. */
struct body *bodies_open_whole(struct bodies *b, uint32_t slot, const struct wire_msg *header, const void *bytes);

/* The same for a body from malloc that comes back from the spool: taken, unless there is no memory (NULL). */
struct body *bodies_open_owned(struct bodies *b, uint32_t slot, const struct wire_msg *header, void *bytes);

/* Copy a chunk of at most BODIES_COPY_MAX bytes behind what is there: many small ones fill one piece of memory, so that
 * their number costs nothing.  false: no memory. */
bool bodies_copy(struct body *body, const void *bytes, size_t len);

/* Where the next, larger chunk goes: to be filled, then counted by bodies_added.  NULL: no memory.  Its bytes must not
 * lie in its frame. */
struct chunk *bodies_next(struct body *body);
void bodies_added(struct body *body);

/* Its bytes are messages now: take these (new, owned from here on), and give the chunks back. */
void bodies_formed(struct body *body, struct parts *parts);

/* The body of a slot: stays in place until bodies_close.  NULL: not open. */
struct body *bodies_at(const struct bodies *b, uint32_t slot);

void bodies_close(struct bodies *b, uint32_t slot);
void bodies_free(struct bodies *b);

#endif
