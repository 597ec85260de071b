/* asker.h - a process that asks "may I run?", now at sluiced, now at an echo, and takes the time of each answer.
 *
 * It changes sides every ASKER_BLOCK questions, since a machine with other work is never the same for a second: what
 * disturbs one disturbs both.  Not after each, since what sluiced does after an answer would disturb the echo's next.
 * One question at a time and at a steady pace, on a few DEALERs in turn at either side. */
#ifndef ASKER_H
#define ASKER_H

#include <stddef.h>
#include <stdint.h>

struct err;

struct asking {
    const char *sluiced, *echo; /* endpoints */
    uint32_t peers;             /* at each: 1 to ASKER_PEERS_MAX */
    size_t times;               /* questions at each: at most ASKER_TIMES_MAX, a multiple of two blocks */
    int64_t pace_us;            /* from one question to the next, or as soon as the answer allows */
};

enum { ASKER_PEERS_MAX = 16,
       ASKER_TIMES_MAX = 10000,
       ASKER_BLOCK = 20 };

struct asked {
    double p50_us, p99_us;
};

struct asker_result {
    struct asked sluiced, echo;
    struct asked odd, even; /* the echo, of every second block: how alike are two measurements of the same? */
};

/* At sluiced: `ready` (Run & Terminate) to `permit`, a new run each time; its `done` and the answer, which comes when
 * the end is on the disk, are between the questions.  At the echo: the same bytes of `ready` and `done`, there and
 * back.  The process is a new one each time, as in leg.h. */
int asker_run(const struct asking *a, struct asker_result *ret, struct err *err);

#endif
