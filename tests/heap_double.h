/* heap_double.h - a heap of which one allocation fails.  Link with LIB_no_heap: malloc, calloc, realloc and strndup of
 * all that is linked come by here.  Thread: one. */
#ifndef HEAP_DOUBLE_H
#define HEAP_DOUBLE_H

#include <stdbool.h>
#include <stdint.h>

struct heap_double {
    uint64_t    left; /* the allocation that fails, counted from now; 0: none, or it has failed */
    const bool *only; /* those count that are made while this is true; NULL: all */
};

extern struct heap_double heap_double;

#endif
