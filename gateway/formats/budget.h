/* budget.h - what one bundle may cost in memory: each piece is counted when it is taken, and refused above the limit.
 *
 * So that a bundle made to be dear (a million references of a few bytes) costs no more than it was said to.
 * Thread: who has the budget. */
#ifndef BUDGET_H
#define BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget {
    uint64_t limit, used; /* bytes */
    bool     over;        /* something was refused because of the limit, not for want of memory */
    const atomic_bool *stop; /* lent; true: nothing more is given, so that what goes on for long ends.  NULL: never */
};

/* As realloc, from `old` bytes to `size` (more than 0), counting the difference.  NULL: nothing has changed. */
void *budget_resize(struct budget *b, void *at, size_t old, size_t size);

/* Free what had this many bytes.  NULL does nothing. */
void budget_free(struct budget *b, void *at, size_t size);

/* Make room for one more in an array of *cap (0 at first) elements of size bytes, of which n are used. */
bool budget_more(struct budget *b, void **array, uint32_t n, uint32_t *cap, size_t size);

#endif
