/* crc32c.c - CRC-32C: eight bytes at a time by tables, or three lanes at a time by the processor's instruction.
 *
 * The instruction takes three cycles, and one can begin in each: three lanes side by side are nearly three times as
 * fast as one (after M. Adler's crc32c.c).  Their sums are joined by shifting one over the lane behind it. */
#include "crc32c.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_INSTRUCTION 1
#include <nmmintrin.h>
#endif

enum { LANE = 1024 }; /* bytes: three of them are what small bodies have */
#define POLYNOMIAL 0x82f63b78U /* bits from the lowest on */

static uint32_t
one_byte(uint32_t sum)
{
    for (int i = 0; i < 8; i++)
        sum = (sum & 1) != 0 ? (sum >> 1) ^ POLYNOMIAL : sum >> 1;
    return sum;
}

void
crc32c_init(struct crc32c *c)
{
    for (uint32_t n = 0; n < 256; n++)
        c->slices[0][n] = one_byte(n);
    for (uint32_t n = 0; n < 256; n++)
        for (int k = 1; k < 8; k++)
            c->slices[k][n] = (c->slices[k - 1][n] >> 8) ^ c->slices[0][c->slices[k - 1][n] & 0xff];
    /* It is linear: what happens to a byte's bits happens to the byte. */
    for (int k = 0; k < 4; k++) {
        uint32_t bits[8];

        for (int b = 0; b < 8; b++) {
            bits[b] = (uint32_t)1 << (8 * k + b);
            for (int i = 0; i < LANE; i++)
                bits[b] = (bits[b] >> 8) ^ c->slices[0][bits[b] & 0xff];
        }
        for (uint32_t n = 0; n < 256; n++) {
            c->skip[k][n] = 0;
            for (int b = 0; b < 8; b++)
                c->skip[k][n] ^= (n >> b & 1) != 0 ? bits[b] : 0;
        }
    }
    c->hardware = false;
#ifdef HAS_INSTRUCTION
    c->hardware = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

static uint32_t
by_tables(const struct crc32c *c, uint32_t sum, const unsigned char *at, size_t len)
{
    for (; len >= 8; at += 8, len -= 8) {
        const uint32_t low = sum ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                                    (uint32_t)at[3] << 24);

        sum = c->slices[7][low & 0xff] ^ c->slices[6][low >> 8 & 0xff] ^ c->slices[5][low >> 16 & 0xff] ^
              c->slices[4][low >> 24] ^ c->slices[3][at[4]] ^ c->slices[2][at[5]] ^ c->slices[1][at[6]] ^
              c->slices[0][at[7]];
    }
    for (; len > 0; at++, len--)
        sum = (sum >> 8) ^ c->slices[0][(sum ^ *at) & 0xff];
    return sum;
}

#ifdef HAS_INSTRUCTION
static uint32_t
skip_lane(const struct crc32c *c, uint32_t sum)
{
    return c->skip[0][sum & 0xff] ^ c->skip[1][sum >> 8 & 0xff] ^ c->skip[2][sum >> 16 & 0xff] ^ c->skip[3][sum >> 24];
}

static uint64_t
word(const unsigned char *at)
{
    uint64_t w;

    memcpy(&w, at, sizeof(w));
    return w;
}

__attribute__((target("sse4.2"))) static uint32_t
by_instruction(const struct crc32c *c, uint32_t sum, const unsigned char *at, size_t len)
{
    uint64_t a = sum;

    for (; len >= 3 * (size_t)LANE; at += 3 * (size_t)LANE, len -= 3 * (size_t)LANE) {
        uint64_t b = 0, d = 0;

        for (size_t i = 0; i < LANE; i += 8) {
            a = _mm_crc32_u64(a, word(at + i));
            b = _mm_crc32_u64(b, word(at + LANE + i));
            d = _mm_crc32_u64(d, word(at + 2 * (size_t)LANE + i));
        }
        a = skip_lane(c, (uint32_t)a) ^ b;
        a = skip_lane(c, (uint32_t)a) ^ d;
    }
    for (; len >= 8; at += 8, len -= 8)
        a = _mm_crc32_u64(a, word(at));
    sum = (uint32_t)a;
    for (; len > 0; at++, len--)
        sum = _mm_crc32_u8(sum, *at);
    return sum;
}
#endif

uint32_t
crc32c_add(const struct crc32c *c, uint32_t sum, const void *at, size_t len)
{
#ifdef HAS_INSTRUCTION
    if (c->hardware)
        return ~by_instruction(c, ~sum, at, len);
#endif
    return ~by_tables(c, ~sum, at, len);
}
