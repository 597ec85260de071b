/* parts_double.h - a bundle of made-up messages, of which none is in memory: a byte out of place is seen.
 *
 * What fails ends the test.  Thread: as of parts.h. */
#ifndef PARTS_DOUBLE_H
#define PARTS_DOUBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parts.h"

/* n messages of size bytes each, of type "text/plain".  Returns new parts; parts_free frees them. */
struct parts *parts_double_new(uint32_t n, uint64_t size);

/* Message i has another size. */
void parts_double_odd(struct parts *p, uint32_t i, uint64_t size);

/* Whoever makes message i waits before it, until parts_double_open.  Does it wait? */
void parts_double_gate(struct parts *p, uint32_t i);
bool parts_double_waits(const struct parts *p);
void parts_double_open(struct parts *p);

/* How often a message was made. */
uint64_t parts_double_written(const struct parts *p);

/* Is this message i? */
bool parts_double_is(const struct parts *p, uint32_t i, const void *bytes, size_t len);

#endif
