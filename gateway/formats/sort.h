/* sort.h - sorting in place, in the same time for every input and without memory: for what strangers send. */
#ifndef SORT_H
#define SORT_H

#include <stddef.h>
#include <stdint.h>

enum { SORT_SIZE_MAX = 64 }; /* bytes of an element */

typedef int sort_order(const void *context, const void *a, const void *b);

/* Heap sort (not stable) of n elements. */
void sort_heap(void *base, uint32_t n, size_t size, sort_order *order, const void *context);

/* The same of elements that begin with a number (uint64_t) by which they are ordered first: parted by its bits, from
 * the highest on, until few are left or no bit is.  A heap alone jumps through all of the memory, which takes many
 * times as long where that is larger than the caches. */
void sort_numbered(void *base, uint32_t n, size_t size, sort_order *order, const void *context);

#endif
