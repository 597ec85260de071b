/* siphash.h - a keyed hash: who does not know the key cannot find texts that collide.
 *
 * SipHash-1-3 (Aumasson and Bernstein, 2012): one round for each eight bytes, three at the end.  Pure; any thread. */
#ifndef SIPHASH_H
#define SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
    uint64_t k[2];
};

/* A key that nobody knows, from the system's randomness. */
struct siphash_key siphash_new_key(void);

uint64_t siphash(const struct siphash_key *key, const void *at, size_t len);

#endif
