/* heap.h - what happens when: the simulator's queue of events, by time, and by age where times are equal. */
#ifndef HEAP_H
#define HEAP_H

#include <stdbool.h>
#include <stdint.h>

struct heap;

struct heap_item {
    int64_t  at;
    uint64_t order; /* set by heap_push */
    int      kind;
    uint64_t a, b;
    void    *p;
};

struct heap *heap_new(void);
void heap_push(struct heap *h, struct heap_item item); /* aborts on no memory: a simulator may */
int64_t heap_next_at(const struct heap *h);            /* INT64_MAX: nothing is in it */
bool heap_pop(struct heap *h, struct heap_item *ret);
void heap_free(struct heap *h);

#endif
