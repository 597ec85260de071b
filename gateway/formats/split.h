/* split.h - in which order the objects of a bundle go, and which of their references stay: the rules of OpenCTI's
 * splitter.
 *
 * The result is that of pycti 6.8.10 (pycti/utils/opencti_stix2_splitter.py), its corners included:
 * docs/formats.md says them one by one.  No recursion: what it is inside of is a list on the heap.
 * Thread: who has the bundle. */
#ifndef SPLIT_H
#define SPLIT_H

#include <stdbool.h>
#include <stdint.h>

#include "bundle.h"
#include "names.h"

enum { SPLIT_NONE = UINT32_MAX };

struct split {
    uint32_t *order;        /* objects, in the order in which they go; owned: budget_free */
    uint32_t  n, cap;
    uint32_t  incompatible; /* objects that the platform has no place for */
    uint32_t  first_incompatible; /* one of them; SPLIT_NONE: there is none */
};

/* Changes the bundle's objects (deps) and elements (kept), and the names.  cleanup: references to what is not in the
 * bundle go.  false: no memory, or above the budget; *ret is to be closed all the same. */
bool split_bundle(struct bundle *b, struct names *names, bool cleanup, struct split *ret);

void split_close(struct split *s, struct budget *budget);

#endif
