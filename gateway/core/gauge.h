/* gauge.h - what the gateway believes one queue of RabbitMQ holds.
 *
 * The truth is the body bytes of all messages in it, ready and unacked.  Nobody tells it in time: `message_bytes` is as
 * old as a statistics interval and a retention step together, and a passive declare knows messages only, and the ready
 * ones only.  So there is `upper`, which gates use, and `estimate`, for people.
 *
 * Why upper is never too low.  Let a sample be asked for at f, and be no older than lag: it shows the queue at some
 * s >= f - lag.  A message of ours that is in the queue now came before s, and then it is in the sample; or after s,
 * and then its confirm came after f - lag, or is still to come.  So
 *     upper = sample + what was confirmed after f - lag + what is reserved, or published and not confirmed.
 * (Not what was *published* since: a message that was on its way when the sample was made would be missed.)
 *
 * A count d lowers that where unacked messages are bounded by U.  Brokers deliver from the head, and what comes back is
 * delivered again before anything new, so at d all that was never delivered is a tail of what was published, and at
 * most as long as the ready messages; and what was delivered before and is still there was unacked all at once
 * when the last new message was delivered: at most U.  So
 *     upper = the last n of the ledger + the U largest of the rest + what was not confirmed when it was asked for.
 * U is the largest that was in force since: after it fell, or became known, it counts once as many messages of ours
 * have come as are in the queue, for then a new one was delivered since.  Messages from before our start have unknown
 * sizes: they weigh what samples leave for them.  Those whose connection was lost may lie anywhere: they come on top.
 * All this takes only ours to be in the queue: `alone` says so, and a foreign publisher that shows up ends it.
 *
 * Why lag is believed: only as long as nothing speaks against it.  A later sample, or a count, that shows more than the
 * sample before + all that can have come since is a contradiction.  If our own publishes between lag and 8 x lag
 * before it would explain the rest, the sample was older than assumed: lag is raised, and the gauge is unknown until a
 * sample asked for that much later.  If not, somebody else publishes.  (Both can look alike, and then lag is doubted,
 * which is safe; it stays raised until gauge_configure.)  A sample that repeats its numbers, where some of ours came
 * after the first of them can have been made and should be in it by now, is not taken for a new one, until a count
 * agrees with it or we were silent for 8 x lag: dead statistics repeat themselves too.  `work` tells the two apart,
 * where telemetry has it: it moves with each of ours, and with each count.  Where it has not, an empty queue that stays
 * empty is believed as soon as a count finds nothing ready, although consumers without a prefetch may hold it all.
 *
 * What is assumed, and cannot be seen from here: samples of one queue come from one place and do not go back in time;
 * nobody takes messages with basic.get, or cancels a consumer and keeps what it holds, where counts are used (samples
 * with more unacked than U end that); a consumer that is replaced between two looks has the same prefetch.
 *
 * Times are monotonic microseconds; a smaller one than before counts as the one before.  Pure.  Thread: its owner's. */
#ifndef GAUGE_H
#define GAUGE_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct gauge;

#define GAUGE_UNKNOWN UINT64_MAX /* a number that nobody knows; it is never 0 */

enum {
    GAUGE_LAG_TIMES = 8,          /* lag is doubted, and raised, up to so many times the configured one */
    GAUGE_OPEN_MAX = 65536,       /* reservations and publishes without an answer, of one queue */
    GAUGE_CALM_US = 600000000     /* so long after a foreign publisher, or a broken bound, counts are used again */
};

struct gauge_config {
    int64_t  stats_lag_us;   /* a sample is not older than this when it is asked for; at least 1 */
    int64_t  stale_after_us; /* a sample that was asked for longer ago is no answer */
    int64_t  late_us;        /* what was sent on a connection that is gone reaches the queue within this, once
                                the broker takes connections again */
    bool     counts;         /* false: samples only (priorities, TTL, drop-head) */
    bool     alone;          /* nobody else publishes to it; false: counts only cross-check */
    uint32_t entries;        /* of the ledger, 4 to LEDGER_MOST; 0: LEDGER_MOST */
};

/* What an answer of telemetry says of this queue.  GAUGE_UNKNOWN where a field is missing, is no number, or the
 * queue's state is not "running". */
struct gauge_sample {
    int64_t  asked_us; /* when the request went out */
    uint64_t bytes, messages, unacked;
    uint64_t work;     /* any number that is another one whenever the queue did something, and so not while statistics
                          stand still: RabbitMQ's `reductions` of the queue's process */
};

/* A passive declare. */
struct gauge_count {
    int64_t  asked_us; /* when it was sent */
    uint64_t ready, consumers;
};

/* Who consumes, as far as it is known. */
struct gauge_consumers {
    uint64_t unacked_max; /* sum of all prefetches, or the key; GAUGE_UNKNOWN: one has none, or nobody knows */
    uint64_t consumers;   /* how many it is the sum of; GAUGE_UNKNOWN: unacked_max holds whoever comes */
};

/* What an input brought to light; bits. */
enum gauge_news {
    GAUGE_N_LAG = 1,      /* a sample was older than stats_lag: more lag is used from now on, and the gauge holds */
    GAUGE_N_FOREIGN = 2,  /* more is in the queue than we published */
    GAUGE_N_FELL = 4,     /* much less is in it than consumers took: a purge, a TTL */
    GAUGE_N_DEAD = 8,     /* the sample does not change although we publish */
    GAUGE_N_UNBOUNDED = 16 /* more is unacked than the consumers' bound */
};

enum gauge_why {
    GAUGE_FRESH,     /* it is known */
    GAUGE_STARTING,  /* we, or the broker, started: no sample is young enough yet */
    GAUGE_GONE,      /* there is no such queue */
    GAUGE_LAGGING,   /* stats_lag proved wrong: waiting for a sample that is good by the raised one */
    GAUGE_NO_SAMPLE, /* none came, or without this field */
    GAUGE_STALE      /* none came lately */
};

enum gauge_source { GAUGE_FROM_NOTHING, GAUGE_FROM_SAMPLE, GAUGE_FROM_COUNT };

struct gauge_view {
    enum gauge_why why;
    uint64_t upper, estimate;             /* GAUGE_UNKNOWN: unknown */
    enum gauge_source upper_from, estimate_from;
    int64_t  sample_age_us, count_age_us; /* since they were asked for; -1: none */
    uint64_t reserved, flying;            /* part of both */
    uint64_t unacked_max;                 /* the bound that counts use; GAUGE_UNKNOWN: they are not used */
    int64_t  lag_us;                      /* the lag that is used */
    uint64_t lag_broken;                  /* how often it was raised */
    unsigned drift;                       /* what disagrees, or did within GAUGE_CALM_US: bits of gauge_news */
    int64_t  drift_bytes;                 /* the last of it; below 0: less is there than expected */
    int64_t  drift_us;                    /* since when */
};

struct gauge_drain {
    bool     known;    /* enough was seen */
    bool     draining; /* false: consumers take nothing */
    uint64_t rate;     /* bytes a second that they take */
    int64_t  within_us; /* until the estimate is at the level, if nothing comes; 0: it is; -1: never, or unknown */
};

/* Returns a new gauge, or NULL with *err (ERR_NOMEM, ERR_CONFIG). */
struct gauge *gauge_new(const struct gauge_config *cfg, int64_t now_us, struct err *err);

/* Other assumptions from now on; a lag that was raised is forgotten.  Returns -1 with *err (ERR_CONFIG), and nothing
 * has changed. */
int gauge_configure(struct gauge *g, const struct gauge_config *cfg, int64_t now_us, struct err *err);

/* One bundle: so many messages of so many bytes in all, none larger than `largest`.  It is part of upper from here
 * on.  Returns 0 with its number, or -1 with *err (ERR_NOMEM, ERR_FULL): then it must not be published. */
int gauge_reserve(struct gauge *g, uint64_t bytes, uint64_t messages, uint64_t largest, int64_t now_us,
                  uint64_t *ret_id, struct err *err);
/* It is handed to the publisher now, behind all that was handed over before.  Before its first byte is written. */
void gauge_commit(struct gauge *g, uint64_t id, int64_t now_us);
/* It was never handed over. */
void gauge_cancel(struct gauge *g, uint64_t id);

/* What became of so much of it; a bundle may be answered for in parts, and its number ends with the last of them.
 * Numbers that ended are ignored. */
void gauge_taken(struct gauge *g, uint64_t id, uint64_t bytes, uint64_t messages, int64_t now_us); /* confirmed */
void gauge_refused(struct gauge *g, uint64_t id, uint64_t bytes, uint64_t messages); /* surely not in the queue */
/* The connection is gone, or the nack does not say: it may be in the queue, or come yet.  What is published again is a
 * new reservation beside it. */
void gauge_lost(struct gauge *g, uint64_t id);
/* The broker takes connections again: what was lost before comes within late_us, or not at all. */
void gauge_back(struct gauge *g, int64_t now_us);

/* These return bits of gauge_news. */
unsigned gauge_take_sample(struct gauge *g, const struct gauge_sample *s, int64_t now_us);
unsigned gauge_take_count(struct gauge *g, const struct gauge_count *c, int64_t now_us);
void gauge_take_consumers(struct gauge *g, const struct gauge_consumers *c, int64_t now_us);

/* The broker started again: what its statistics say is worth nothing until they are lag old. */
void gauge_restarted(struct gauge *g, int64_t now_us);
/* There is no such queue. */
void gauge_gone(struct gauge *g, int64_t now_us);

/* GAUGE_UNKNOWN: unknown, and larger than every threshold. */
uint64_t gauge_upper(struct gauge *g, int64_t now_us);

/* Could a count, asked for now, change what a gate with this threshold decides? */
bool gauge_count_worth(struct gauge *g, uint64_t threshold, int64_t now_us);

void gauge_view(struct gauge *g, int64_t now_us, struct gauge_view *ret);
void gauge_drain(struct gauge *g, uint64_t level, int64_t now_us, struct gauge_drain *ret);

/* Bytes of memory that it takes. */
uint64_t gauge_size(const struct gauge *g);

/* Recount everything from the ground: NULL, or what is wrong.  For simulators. */
const char *gauge_check(const struct gauge *g);

void gauge_free(struct gauge *g);

#endif
