/* admission.h - a world of queues: the whole core of the gateway, connectors that push and run, brokers that lose
 * connections, statistics that lag, consumers that stop, others who publish, and reloads.  Only this world knows how
 * many bytes are in a queue.
 *
 * The promises that are checked:
 *  - no bundle starts while the true bytes of its queue, of its group or of all queues are at a limit: what is there of
 *    ours or may come yet, and what a sample has shown of others;
 *  - no run is permitted while a reason holds it, but `queue` at the first run ever of a period;
 *  - figures that are too old hold, within the time in which queues are looked at;
 *  - each decision that is journalled follows from its figures;
 *  - gates do not flap;
 *  - when faults stop and consumers take, all bundles are answered and all runs that are due permitted, in
 *    bounded time.
 * The same seed and fate give the same history. */
#ifndef ADMISSION_H
#define ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"

enum {
    ADM_QUEUES = 4,
    ADM_PEERS = 12,
    ADM_PUBLISHERS = 2,
    ADM_OVERSHOOTS = 11, /* tenths of a bundle; the last: more */
    ADM_STEP_US = 20000
};

/* What may befall a world, in times a second (of one queue, connector or publisher), or as a part of 1. */
enum adm_fault {
    ADM_FOREIGN,
    ADM_PURGE,
    ADM_DELETE,
    ADM_CONSUMERS,
    ADM_BROKER_DOWN,
    ADM_BROKER_RESTART,
    ADM_BLOCKED,
    ADM_NACK,
    ADM_REFUSE,
    ADM_GATEWAY,
    ADM_CRASH,
    ADM_CUT,
    ADM_PAUSE,
    ADM_RELOAD,
    ADM_AWAY,
    ADM_LOSE_SAMPLE,
    ADM_LOSE_FIELD,
    ADM_LOSE_COUNT,
    ADM_ALARM,
    ADM_FAULTS
};

struct adm_queue {
    bool counts, alone, fifo, bounded_key;
    uint32_t group;
    int64_t beat_us[2];
    struct {
        bool here, holds;
        uint32_t prefetch;
        double rate; /* bytes a second */
        int64_t on_us, off_us;
    } consumers[4];
};

struct adm_peer {
    uint32_t queue, publisher, weight;
    bool fixed, ordered, check_first, resume_schedule;
    uint8_t kind;             /* 0: none; else enum wire_schedule + 1 */
    uint64_t threshold, word; /* word: DECIDE_NONE: it says none */
    uint64_t least, most;     /* bytes of its bundles */
    double rate;              /* bytes a second that it has to push; 0: always more than it may */
    double formed;            /* part of its bundles that become several messages */
    uint64_t run_bytes;
    int64_t period_us, way_us; /* way: to the gateway, and as much back */
};

struct adm_fate {
    struct core_config core;
    struct core_limits limits;
    uint32_t n_queues, n_peers, ring;
    struct adm_queue queues[ADM_QUEUES];
    struct adm_peer peers[ADM_PEERS];
    double faults[ADM_FAULTS];
    int64_t poll_us, length_us;
    int64_t warm_us;     /* figures of who got how much, and of who was idle, begin here */
    uint64_t bundle_max; /* published bytes of the largest */
    uint64_t spool_limit; /* of each connector; 0: no spool */
    bool no_calm;        /* for figures: it ends without a calm */
};

struct adm_figures {
    uint64_t steps, events, published, confirmed, retried, samples, counts, restarts, broker_restarts, downs, crashes,
        reloads, foreign, purges, deletes, permits, shares, holds, replayed, gate_changes, refused, stale_looks, firsts,
        spooled;
    uint64_t gate_changes_most;                    /* of one connector in a second */
    uint64_t overshoot[ADM_OVERSHOOTS]; /* of bundles that crossed the threshold, by how much of it */
    int64_t wait_most_us;                          /* in the calm: until all was answered */
    uint64_t passed[ADM_PEERS];                    /* bytes since warm_us */
    int64_t waited_us[ADM_PEERS];                  /* longest wait of a bundle, from its making to its publishing */
    double idle_s[ADM_QUEUES], busy_s[ADM_QUEUES]; /* consumers that could work: without, with something to take */
};

void adm_draw(uint64_t seed, struct adm_fate *f);

/* NULL: all promises held; else what was broken (static).  *ret is added to. */
const char *adm_run(uint64_t seed, const struct adm_fate *f, bool trace, struct adm_figures *ret);

const char *adm_fault_name(enum adm_fault f);

#endif
