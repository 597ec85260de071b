/* siphash.c - a keyed hash. */
#include "siphash.h"

#include <string.h>
#include <sys/random.h>

struct siphash_key
siphash_new_key(void)
{
    struct siphash_key key;

    /* A system without randomness: where the stack lies is what is left that not everybody knows. */
    if (getentropy(&key, sizeof(key)) != 0)
        key = (struct siphash_key){{(uint64_t)(uintptr_t)&key, (uint64_t)(uintptr_t)siphash_new_key}};
    return key;
}

struct state {
    uint64_t a, b, c, d;
};

static inline uint64_t
turn(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void
mix(struct state *s)
{
    s->a += s->b;
    s->b = turn(s->b, 13) ^ s->a;
    s->a = turn(s->a, 32);
    s->c += s->d;
    s->d = turn(s->d, 16) ^ s->c;
    s->a += s->d;
    s->d = turn(s->d, 21) ^ s->a;
    s->c += s->b;
    s->b = turn(s->b, 17) ^ s->c;
    s->c = turn(s->c, 32);
}

static inline void
absorb(struct state *s, uint64_t word)
{
    s->d ^= word;
    mix(s);
    s->a ^= word;
}

uint64_t
siphash(const struct siphash_key *key, const void *at, size_t len)
{
    /* "somepseudorandomlygeneratedbytes", as the paper has it. */
    struct state s = {key->k[0] ^ 0x736f6d6570736575U, key->k[1] ^ 0x646f72616e646f6dU,
                      key->k[0] ^ 0x6c7967656e657261U, key->k[1] ^ 0x7465646279746573U};
    const unsigned char *p = at;
    uint64_t word;

    for (size_t left = len; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        absorb(&s, word);
    }
    word = 0;
    memcpy(&word, p, len % 8);
    absorb(&s, word | (uint64_t)len << 56);
    s.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        mix(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}
