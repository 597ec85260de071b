/* telemetry.h - a thread that asks RabbitMQ for its figures, and posts them.
 *
 * It decides nothing: what is posted is what the broker said, with when it was asked and which figures were there.
 * **Unknown is not zero**: a figure that is missing, negative, NaN, text, or said of a queue that is not running has no
 * bit in `known`.  Gone is said only where the broker itself says that there is no such queue.
 *
 * Times.  asked_us is taken before the request is begun.  Let the broker's figure be at most stats_lag old when it
 * is read out; it is read out after asked_us.  So it shows all that was in the queue before asked_us - stats_lag,
 * and `upper` = the figure + what was published since then misses nothing.  The time of the answer would be too
 * late by the time that the answer took, and what was published meanwhile would be counted nowhere.
 * Lists are answered from a cache by RabbitMQ, for 5 times as long as it took to compute them (its
 * management_db_cache_multiplier): for these asked_us is set back by 5 times the slowest of the recent answers.
 *
 * Sources:
 * - management: bytes are as old as the broker's statistics interval and its smallest retention step together (5 s each
 *   by default).  Queues of a vhost are asked for by name where there are TELEMETRY_BY_NAME or fewer, else in pages of
 *   500 with all of that vhost.
 * - prometheus: one interval, and much cheaper for the broker.  It says nothing of prefetch, arguments and policies; a
 *   node speaks for itself alone, of the queues that it leads and of its own alarms: with a cluster, use management.
 *   Its text does not escape names: one with a quote, backslash or line break stays unknown.
 *
 * Bounds: TELEMETRY_QUEUES queues; one request at a time, each within total_us and body_max; a round begins only once
 * what the last one posted was taken, so the mailbox must be this thread's alone. */
#ifndef TELEMETRY_H
#define TELEMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct log;
struct mailbox;
struct telemetry;

enum {
    TELEMETRY_QUEUES = 100000, /* most that may be asked for */
    TELEMETRY_BY_NAME = 100,   /* of one vhost; a list costs RabbitMQ as much as some 250 single questions */
    TELEMETRY_URLS = 16
};

enum telemetry_source { TELEMETRY_MANAGEMENT, TELEMETRY_PROMETHEUS };

/* Strings are borrowed until telemetry_free. */
struct telemetry_config {
    enum telemetry_source source;
    const char *const *urls; /* "http://host:15672" or https, a path may follow; tried in turn.  No user in it */
    size_t      n_urls;
    const char *user, *password; /* NULL: none */
    const char *ca_file;     /* of a https server's certificate; NULL: the system's authorities */
    const char *cert_file, *key_file; /* of the client; NULL: none */
    const char *proxy;       /* NULL: none, whatever the environment says */
    int64_t     poll_us;     /* from the start of a round to the start of the next */
    int64_t     connect_us, total_us; /* of one request */
    int64_t     retry_max_us; /* while nothing answers: poll_us doubling to this */
    size_t      body_max;    /* bytes of one answer */
    uint64_t    seed;        /* of the jitter */
};

/* A queue to ask for. */
struct telemetry_target {
    uint32_t    queue; /* the caller's own number; comes back with the figures */
    const char *vhost, *name;
};

enum telemetry_known {
    TELEMETRY_BYTES = 1,      /* bytes */
    TELEMETRY_READY = 2,      /* ready */
    TELEMETRY_UNACKED = 4,    /* unacked */
    TELEMETRY_CONSUMERS = 8,  /* consumers */
    TELEMETRY_PREFETCH = 16,  /* prefetch, prefetch_finite */
    TELEMETRY_SHAPE = 32,     /* priority, ttl, drop_head */
    TELEMETRY_WORK = 64       /* work */
};

struct telemetry_queue {
    uint32_t queue;
    unsigned known;           /* enum telemetry_known */
    bool     gone;            /* the broker says that there is no such queue (and nothing is known) */
    bool     prefetch_finite; /* each consumer has a limit, or acknowledges by receiving */
    bool     priority, ttl, drop_head; /* by arguments or policy: what leaves need not be what came first */
    uint64_t bytes;           /* of bodies, ready and unacknowledged */
    uint64_t ready, unacked;  /* messages; as old as bytes */
    uint64_t work;            /* reductions of the queue's process: another number whenever it did something */
    uint64_t consumers;
    uint64_t prefetch;        /* the sum of the finite limits; not old */
};

enum telemetry_broker_known {
    TELEMETRY_ALARMS = 1, /* memory_alarm, disk_alarm */
    TELEMETRY_MEMORY = 2, /* memory_used, memory_limit */
    TELEMETRY_DISK = 4,   /* disk_free, disk_limit */
    TELEMETRY_UPTIME = 8, /* uptime_us, restarted */
    TELEMETRY_NODES = 16  /* nodes, running */
};

struct telemetry_broker {
    unsigned known;           /* enum telemetry_broker_known */
    bool     memory_alarm, disk_alarm; /* on any node: publishers are blocked on all */
    bool     restarted;       /* a node began anew since it was last heard of */
    uint32_t nodes, running;
    uint64_t memory_used, memory_limit; /* of the running node that has the least left */
    uint64_t disk_free, disk_limit;     /* likewise */
    int64_t  uptime_us;       /* of the running node that began last; up to a statistics interval too small */
};

enum telemetry_kind {
    TELEMETRY_UP,     /* the source answers, for the first time or again (text: who) */
    TELEMETRY_DOWN,   /* it does not (text: why); nothing new comes until TELEMETRY_UP */
    TELEMETRY_BROKER, /* broker; first of a round */
    TELEMETRY_QUEUE   /* queue; one for each that was set, in each round */
};

/* What is posted. */
struct telemetry_event {
    enum telemetry_kind   kind;
    enum telemetry_source source;
    int64_t               asked_us, answered_us; /* mono */
    union {
        struct telemetry_broker broker;
        struct telemetry_queue  queue;
    };
    char                 *text; /* of UP and DOWN: from malloc, owned by who takes the event; else, and maybe, NULL */
};

/* Start the thread (all signals blocked in it).  Events go to `events` (of struct telemetry_event).  Borrows all of it
 * until telemetry_free; log may be NULL.  ERR_CONFIG: a URL or a file is not what it should be. */
struct telemetry *telemetry_start(const struct telemetry_config *config, struct mailbox *events, struct log *log,
                                  struct err *err);

/* Ask for these n queues from now on (copied; each once; there may be none), beginning at once.  Before the first call
 * nothing is asked.  On -1 nothing has changed. */
int telemetry_set_queues(struct telemetry *t, const struct telemetry_target *targets, size_t n, struct err *err);

/* Do not wait for the next round's time, nor for that of the next try.  Rounds begin 0.2 s apart at least. */
void telemetry_poll_now(struct telemetry *t);

/* End the thread and free.  Nothing in it waits for a peer without listening for this, so it takes milliseconds,
 * also where a server or a resolver hangs.  NULL does nothing. */
void telemetry_free(struct telemetry *t);

#endif
