/* decide.c - one decision, from its figures alone. */
#include "decide.h"

#include "wire.h"

enum { WHOLE = 1000000 };

uint64_t
decide_mark(uint64_t limit, uint32_t resume_ppm, bool closed)
{
    uint64_t mark;

    if (!closed || limit == DECIDE_NONE)
        return limit;
    mark = limit / WHOLE * resume_ppm + limit % WHOLE * resume_ppm / WHOLE;
    return mark == 0 && limit > 0 ? 1 : mark; /* what is empty is below every limit but 0 */
}

static uint32_t
look(const struct decide_inputs *in, const struct decide_level *level, enum wire_hold reason)
{
    if (level->limit == DECIDE_NONE)
        return 0;
    if (level->upper == DECIDE_UNKNOWN)
        return in->run_on_stale ? 0 : WIRE_HOLD_TELEMETRY_STALE;
    return level->upper >= decide_mark(level->limit, in->resume_ppm, (in->before & reason) != 0) ? (uint32_t)reason : 0;
}

uint32_t
decide(const struct decide_inputs *in)
{
    const uint32_t queue = look(in, &in->queue, WIRE_HOLD_QUEUE);

    return (in->first_free ? queue & ~(uint32_t)WIRE_HOLD_QUEUE : queue) | look(in, &in->group, WIRE_HOLD_BUDGET) |
           look(in, &in->all, WIRE_HOLD_BUDGET) | look(in, &in->memory, WIRE_HOLD_BUDGET) |
           look(in, &in->disk, WIRE_HOLD_BUDGET);
}
