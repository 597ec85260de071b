/* backoff.h - how long to wait after a failure: a bound that doubles, and chance below it.
 *
 * Chance, so that gateways which lost the same broker do not come back together.  Pure; one thread. */
#ifndef BACKOFF_H
#define BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t  min_us, max_us; /* the first bound, and the last */
    uint64_t random;         /* state; begins as the seed */
    unsigned failed;         /* in a row */
};

/* One more failure: anything from nothing to the bound. */
int64_t backoff_full(struct backoff *b);

/* The same, from half of the bound to the bound: where asking again at once would be of no use. */
int64_t backoff_half(struct backoff *b);

/* All is well: the next failure is a first one again. */
void backoff_reset(struct backoff *b);

#endif
