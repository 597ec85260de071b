/* rows.h - JSON as it arrives, cut into rows: the objects of a list, one after the other.
 *
 * A list of all queues may be large, and a tree of it ten times as large; so only one row is held at a time.  What is
 * in a row is for a JSON parser to judge; here only strings, brackets and commas are looked at, strictly.
 * A row that is too large or too deep is left out alone: whoever may declare a queue chooses its arguments.
 * Bound: ROWS_MAX bytes of a row and ROWS_REST around the rows.  Pure; one thread. */
#ifndef ROWS_H
#define ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum { ROWS_MAX = 65536, ROWS_REST = 4096, ROWS_DEPTH = 16 };

enum rows_shape {
    ROWS_ONE,  /* {...}: one row, the whole */
    ROWS_LIST, /* [{...}, ...] */
    ROWS_PAGE  /* {..., "items": [{...}, ...], ...}: rows are the items, and the rest comes last, with items: [] */
};

/* A row, lent for the call; at NULL: one was left out.  -1: no more of it. */
typedef int rows_fn(void *ctx, const char *at, size_t len);

struct rows {
    rows_fn        *row, *rest; /* rest: for ROWS_PAGE */
    void           *ctx;
    enum rows_shape shape;
    int             state;      /* enum state, in rows.c */
    unsigned        depth;      /* open brackets, in the row or around the rows */
    uint32_t        square;     /* bit i: the i-th of them is '[', for those that are looked at */
    bool            string, escape, left_out;
    size_t          len, rest_len;
    char            rest_at[ROWS_REST];
    char            at[ROWS_MAX];
};

/* Begin.  rest may be NULL where the shape is not ROWS_PAGE. */
void rows_begin(struct rows *r, enum rows_shape shape, rows_fn *row, rows_fn *rest, void *ctx);

/* More of it.  -1 (ERR_PROTO): it is not of this shape, or a callback said so. */
int rows_feed(struct rows *r, const char *data, size_t n, struct err *err);

/* That was all: -1 where something is missing. */
int rows_end(const struct rows *r, struct err *err);

#endif
