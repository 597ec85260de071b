/* taker.h - a consumer with manners of its own, in a thread: slow, in bursts, or one that takes and never acknowledges.
 *
 * It measures how long it stood idle: wanted a message, and none was there. */
#ifndef TAKER_H
#define TAKER_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct taker;

struct taker_plan {
    int port;
    const char *queue; /* borrowed until taker_stop */
    uint16_t prefetch;
    uint64_t rate;         /* bytes a second; 0: as fast as it can */
    int64_t on_ms, off_ms; /* takes for so long, then nothing for so long; on_ms 0: always */
    bool hoards;           /* acknowledges nothing */
};

/* Connect, and begin. */
struct taker *taker_start(const struct taker_plan *plan, struct err *err);

struct taker_result {
    uint64_t bytes, messages;
    int64_t idle_us, active_us; /* since the first message: without one, and in all, both without the time that it is
                                 * off */
};

/* So far; the counts begin again if `again`. */
void taker_so_far(struct taker *t, bool again, struct taker_result *ret);

/* End it; what it has not acknowledged is ready again.  NULL does nothing. */
void taker_stop(struct taker *t);

#endif
