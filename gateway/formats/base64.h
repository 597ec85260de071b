/* base64.h - base64 (RFC 4648, section 4) of bytes that come in pieces.  Pure; any thread. */
#ifndef BASE64_H
#define BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the base64 of len bytes. */
static inline uint64_t
base64_size(uint64_t len)
{
    return (len + 2) / 3 * 4;
}

struct base64 {
    char         *to;      /* where the next characters go */
    unsigned char left[3]; /* bytes that are no group yet */
    unsigned      n_left;
};

void base64_put(struct base64 *e, const void *at, size_t len);

/* What is left, padded. */
void base64_end(struct base64 *e);

#endif
