/* crc32c.h - CRC-32C (Castagnoli; RFC 3720, B.4), by the processor where it can.
 *
 * Pure; any thread, once it is set up. */
#ifndef CRC32C_H
#define CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crc32c {
    bool     hardware;
    uint32_t slices[8][256]; /* of eight bytes at a time */
    uint32_t skip[4][256];   /* what a lane of zeroes do to a sum */
};

void crc32c_init(struct crc32c *c);

/* Go on with sum (0 at the start) over len bytes. */
uint32_t crc32c_add(const struct crc32c *c, uint32_t sum, const void *at, size_t len);

#endif
