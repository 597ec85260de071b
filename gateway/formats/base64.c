/* base64.c - base64 of bytes that come in pieces. */
#include "base64.h"

#include <string.h>

/* The two characters of each twelve bits: two look-ups for three bytes. */
#define PAIRS(a)                                                                                                       \
    {a, 'A'}, {a, 'B'}, {a, 'C'}, {a, 'D'}, {a, 'E'}, {a, 'F'}, {a, 'G'}, {a, 'H'}, {a, 'I'}, {a, 'J'}, {a, 'K'},      \
        {a, 'L'}, {a, 'M'}, {a, 'N'}, {a, 'O'}, {a, 'P'}, {a, 'Q'}, {a, 'R'}, {a, 'S'}, {a, 'T'}, {a, 'U'}, {a, 'V'},  \
        {a, 'W'}, {a, 'X'}, {a, 'Y'}, {a, 'Z'}, {a, 'a'}, {a, 'b'}, {a, 'c'}, {a, 'd'}, {a, 'e'}, {a, 'f'}, {a, 'g'},  \
        {a, 'h'}, {a, 'i'}, {a, 'j'}, {a, 'k'}, {a, 'l'}, {a, 'm'}, {a, 'n'}, {a, 'o'}, {a, 'p'}, {a, 'q'}, {a, 'r'},  \
        {a, 's'}, {a, 't'}, {a, 'u'}, {a, 'v'}, {a, 'w'}, {a, 'x'}, {a, 'y'}, {a, 'z'}, {a, '0'}, {a, '1'}, {a, '2'},  \
        {a, '3'}, {a, '4'}, {a, '5'}, {a, '6'}, {a, '7'}, {a, '8'}, {a, '9'}, {a, '+'}, {a, '/'}
#define EIGHT(a, b, c, d, e, f, g, h) PAIRS(a), PAIRS(b), PAIRS(c), PAIRS(d), PAIRS(e), PAIRS(f), PAIRS(g), PAIRS(h)
static const char pairs[4096][2] = {
    EIGHT('A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'), EIGHT('I', 'J', 'K', 'L', 'M', 'N', 'O', 'P'),
    EIGHT('Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X'), EIGHT('Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f'),
    EIGHT('g', 'h', 'i', 'j', 'k', 'l', 'm', 'n'), EIGHT('o', 'p', 'q', 'r', 's', 't', 'u', 'v'),
    EIGHT('w', 'x', 'y', 'z', '0', '1', '2', '3'), EIGHT('4', '5', '6', '7', '8', '9', '+', '/')};

static inline void
group(char *to, const unsigned char *at)
{
    const uint32_t w = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];

    memcpy(to, pairs[w >> 12], 2);
    memcpy(to + 2, pairs[w & 0xfff], 2);
}

/* Six bytes: the first of eight that are there, as a number whose highest byte is the first. */
static inline void
two_groups(char *to, const unsigned char *at)
{
    uint64_t w;

    memcpy(&w, at, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    memcpy(to, pairs[w >> 52], 2);
    memcpy(to + 2, pairs[w >> 40 & 0xfff], 2);
    memcpy(to + 4, pairs[w >> 28 & 0xfff], 2);
    memcpy(to + 6, pairs[w >> 16 & 0xfff], 2);
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
    char *to = e->to;

    for (; len >= 8; len -= 6, at += 6, to += 8)
        two_groups(to, at);
    for (; len >= 3; len -= 3, at += 3, to += 4)
        group(to, at);
    e->to = to;
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
