/* backoff.c - how long to wait after a failure. */
#include "backoff.h"

/* splitmix64 */
static uint64_t
next(struct backoff *b)
{
    uint64_t x = b->random += 0x9E3779B97F4A7C15U;

    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31);
}

static int64_t
bound(struct backoff *b)
{
    int64_t us = b->min_us > 0 ? b->min_us : 1;

    for (unsigned i = 0; i < b->failed && us < b->max_us; i++)
        us *= 2;
    if (us > b->max_us && b->max_us > 0)
        us = b->max_us;
    if (b->failed < 62)
        b->failed++;
    return us;
}

int64_t
backoff_full(struct backoff *b)
{
    return (int64_t)(next(b) % (uint64_t)bound(b));
}

int64_t
backoff_half(struct backoff *b)
{
    const int64_t us = bound(b);

    return us - (int64_t)(next(b) % (uint64_t)(us / 2 + 1));
}

void
backoff_reset(struct backoff *b)
{
    b->failed = 0;
}
