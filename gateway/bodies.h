/* bodies.h - the bodies in memory, by the core's slots.
 *
 * Bound: what is open is what the core admitted.  Thread: the loop only; publishers borrow single bodies. */
#ifndef BODIES_H
#define BODIES_H

#include <stdint.h>

#include "body.h"
#include "wire.h"

struct bodies;
struct err;

/* Returns a new, empty table, or NULL with *err filled. */
struct bodies *bodies_new(struct err *err);

/* Open a slot for a body of size bytes with a content type (copied).  NULL: no memory. */
struct body *bodies_open(struct bodies *b, uint32_t slot, uint64_t size, struct wire_text ctype);

/* Where the next chunk goes: to be filled, then counted by bodies_added.  NULL: no memory. */
struct chunk *bodies_next(struct body *body);
void bodies_added(struct body *body);

/* The body of a slot: stays in place until bodies_close.  NULL: not open. */
struct body *bodies_at(const struct bodies *b, uint32_t slot);

void bodies_close(struct bodies *b, uint32_t slot);
void bodies_free(struct bodies *b);

#endif
