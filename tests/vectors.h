/* vectors.h - the vectors of the protocol, as tests/vectors/make.py lists them.
 *
 * Programs that use it run from the top of the checkout, as `make check` does. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stddef.h>

#include "wire.h"

enum {
    VECTORS_MAX = 1000,
    VECTOR_PATH_MAX = 160
};

struct vector {
    char           path[VECTOR_PATH_MAX]; /* of frame 1, from the top */
    char           body[VECTOR_PATH_MAX]; /* of frame 2; "" if there is none */
    enum wire_side side;
    char           expected[32]; /* a type, or the code of an error */
    char           field[64];    /* of the error; "" if none */
    unsigned char *frame;
    size_t         len;
};

struct vectors {
    struct vector list[VECTORS_MAX];
    size_t        n;
};

/* Read them all, or fail the running test.  The caller frees with vectors_free. */
struct vectors *vectors_read(void);
void vectors_free(struct vectors *vs);

/* Is the path below tests/vectors/<folder>? */
bool vector_is_in(const struct vector *v, const char *folder);

/* A whole file, with a NUL behind it; or fail the running test.  The caller frees it. */
unsigned char *vectors_file(const char *path, size_t *ret_len);

#endif
