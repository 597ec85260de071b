/* sort.h - sorting in place, in the same time for every input and without memory: for what strangers send. */
#ifndef SORT_H
#define SORT_H

#include <stddef.h>
#include <stdint.h>

enum { SORT_SIZE_MAX = 64 }; /* bytes of an element */

typedef int sort_order(const void *context, const void *a, const void *b);

/* Heap sort (not stable) of n elements. */
void sort_heap(void *base, uint32_t n, size_t size, sort_order *order, const void *context);

#endif
