/* dead.h - dead letters: bundles that can never be forwarded, by connector and position in the spool.
 *
 * Their bytes lie in the spool and the reasons in the state; this is the list of both that operators are shown.
 * Bound: DEAD_MAX; the spool and the state keep what is beyond.  Thread: the loop only. */
#ifndef DEAD_H
#define DEAD_H

#include <stddef.h>
#include <stdint.h>

struct dead;
struct err;

enum { DEAD_MAX = 10000 }; /* about half a KiB of memory each, their bytes aside */

struct dead_letter {
    char     connector[65];
    uint64_t pos, epoch, seq;
    uint64_t size;     /* bytes of the bundle */
    char     reason[24];
    char     text[256];
    int64_t  at_us;    /* wall clock: since when; 0: not known */
};

/* Returns a new, empty list, or NULL with *err. */
struct dead *dead_new(struct err *err);

/* Put a letter (copied) in, or in the place of the one at its position.  ERR_FULL, ERR_NOMEM. */
int dead_put(struct dead *d, const struct dead_letter *letter, struct err *err);

/* The letter at a position, or NULL.  Lent until the next change. */
struct dead_letter *dead_find(const struct dead *d, const char *connector, uint64_t pos);

/* One after the other, by connector and position, from 0; NULL: there are no more.  Lent until the next change. */
const struct dead_letter *dead_at(const struct dead *d, size_t i);

size_t dead_count(const struct dead *d);

/* It is none any more. */
void dead_drop(struct dead *d, const char *connector, uint64_t pos);

void dead_free(struct dead *d);

#endif
