/* paths.h - which files are meant by the names on a command line.
 *
 * A file is taken whatever its name; of a folder, every regular file below it whose name ends in .json, in the order
 * of their names.  Links are followed where they are named, and nowhere below: a loop cannot be walked.
 * Bound: PATHS_MAX files, about 100 bytes of memory each. */
#ifndef PATHS_H
#define PATHS_H

#include <stddef.h>
#include <stdint.h>

struct err;

enum { PATHS_MAX = 1000000 };

struct paths {
    char   **at;      /* n of them; owned */
    size_t   n, room;
    uint64_t largest; /* bytes in the largest, as it was seen */
};

/* Add what name means.  ERR_IO: not there or not readable, or no such file in the folder; ERR_FULL; ERR_NOMEM. */
int paths_add(struct paths *p, const char *name, struct err *err);

/* Free what p owns; zeros are fine. */
void paths_free(struct paths *p);

#endif
