/* chance.h - numbers drawn from a seed.  Each part of a world has its own stream, so that taking something out of one
 * part leaves the others as they were. */
#ifndef CHANCE_H
#define CHANCE_H

#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t at;
};

/* splitmix64 */
static inline uint64_t
chance_next(struct chance *c)
{
    uint64_t z = (c->at += 0x9e3779b97f4a7c15ULL);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static inline struct chance
chance_stream(uint64_t seed, uint64_t part)
{
    struct chance c = {seed * 0xd1342543de82ef95ULL + part};

    chance_next(&c);
    return c;
}

/* 0 to n - 1; n is at least 1. */
static inline int64_t
chance_below(struct chance *c, int64_t n)
{
    return (int64_t)(chance_next(c) % (uint64_t)n);
}

static inline bool
chance_is(struct chance *c, double p)
{
    return (double)(chance_next(c) >> 11) / 9007199254740992.0 < p;
}

/* Of every size between alike: 1 to 10 as often as 10 to 100.  least is at least 1. */
static inline int64_t
chance_log(struct chance *c, int64_t least, int64_t most)
{
    int64_t low = least, high;

    while (low < most / 2 && chance_is(c, 0.75))
        low *= 2;
    high = low < most / 2 ? low * 2 : most;
    return low + (high > low ? chance_below(c, high - low + 1) : 0);
}

#endif
