/* load.h - connectors that push through libsluice and keep the ledger, a thread for each.
 *
 * Bound: the 256 connectors of a load, each with the queue_bytes of its handle. */
#ifndef LOAD_H
#define LOAD_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct ledger;
struct load;

enum { LOAD_MAX = 256 };

struct load_plan {
    const char *endpoint;
    struct ledger *ledger; /* borrowed until load_free; NULL: verdicts are counted only */
    uint32_t first;        /* connectors are first, first + 1, ...; their ids load-<number> */
    uint32_t connectors;
    const char *id;            /* of a single connector, instead of load-<number> */
    size_t size_min, size_max; /* of bodies, at least LEDGER_BODY_MIN; sizes step through the range */
    uint64_t bundles;          /* each connector pushes so many; 0: until load_stop */
    int64_t pause_us;          /* after each bundle */
    size_t queue_bytes;
    uint64_t start; /* the number before the first; for a connector that pushed in this ledger before */
};

struct load *load_start(const struct load_plan *plan, struct err *err);

/* Push no more. */
void load_stop(struct load *l);

struct load_result {
    uint64_t pushed, acked, dead, nacked, unanswered, resent, reconnects;
    char error[300];            /* the first failure of a call, "" for none */
    char reason[32], text[256]; /* of the last refusal */
};

/* How far it is; while it runs the counts of resent and reconnects are not known. */
void load_progress(struct load *l, struct load_result *ret);

/* Wait until all is pushed (or stopped) and answered, at most timeout_ms; then close.  0, or -1 with *err where
 * bundles were left or a call failed.  ret (may be NULL) is filled in both cases. */
int load_finish(struct load *l, int timeout_ms, struct load_result *ret, struct err *err);

void load_free(struct load *l);

#endif
