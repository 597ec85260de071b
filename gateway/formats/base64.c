/* base64.c - base64 of bytes that come in pieces. */
#include "base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void
group(char *to, const unsigned char *at)
{
    const uint32_t w = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];

    to[0] = alphabet[w >> 18];
    to[1] = alphabet[w >> 12 & 63];
    to[2] = alphabet[w >> 6 & 63];
    to[3] = alphabet[w & 63];
}

void
base64_put(struct base64 *e, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;

    while (e->n_left > 0 && e->n_left < 3 && len > 0) {
        e->left[e->n_left++] = *at++;
        len--;
    }
    if (e->n_left == 3) {
        group(e->to, e->left);
        e->to += 4;
        e->n_left = 0;
    }
    for (; len >= 3; len -= 3, at += 3, e->to += 4)
        group(e->to, at);
    for (; len > 0; len--)
        e->left[e->n_left++] = *at++;
}

void
base64_end(struct base64 *e)
{
    if (e->n_left == 0)
        return;
    const unsigned n = e->n_left;

    memset(e->left + n, 0, 3 - n);
    group(e->to, e->left);
    memset(e->to + n + 1, '=', 3 - n);
    e->to += 4;
    e->n_left = 0;
}
