/* core.h - the machine that decides: fed events and times, it answers with effects.
 *
 * It sees integers and ids, never a body; it has no sockets, no clock, no threads and no randomness but its
 * seed, so a simulator can run days of it in seconds and the same events give the same effects.  The
 * shell around it moves the bytes: a bundle is known here by a slot, and the shell keeps the body of that slot.
 * Time is monotonic microseconds and never steps back.  Thread: the loop only. */
#ifndef CORE_H
#define CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "gauge.h"
#include "wire.h"

struct core;
struct decide_inputs;
struct err;

enum {
    CORE_CONNECTORS_MAX = 20000, /* known to one gateway, configured and admitted ones together */
    CORE_UNKNOWN_MAX = 10000,    /* who is not configured is admitted, or remembered, only below this many */
    CORE_PUBLISHERS_MAX = 16,
    CORE_QUEUES_MAX = 40000,     /* that were ever configured in one life */
    CORE_GROUPS_MAX = 256,       /* of queues; group 0 has no budget */
    CORE_RING_MAX = 65536,       /* records of one connector; then it gets no more credit until some are settled */
    CORE_NACKS_MAX = 64,         /* unseen nacks of one connector; then it gets no more credit until it has seen them */
};

/* A larger epoch is refused, or one hello could take all those after it; but a step from the one that is known is
 * always possible, so nobody is locked out. */
#define CORE_EPOCH_MAX (1ULL << 62)
#define CORE_EPOCH_STEP 2048ULL

struct core_config {
    uint64_t memory_limit; /* bytes admitted, and credit that is out, together */
    uint64_t max_bundle;   /* at most a quarter of that */
    uint64_t chunk;        /* most bytes in a chunk */
    int64_t  ping_us;      /* connectors ping this often */
    int      missed;       /* so many missed pings, and a connection is forgotten */
    uint32_t publishers;   /* 1 to CORE_PUBLISHERS_MAX */
    uint64_t seed;         /* of run ids and jitter: from the system's randomness, or a simulator's */
};

/* A connector as configured.  target and publisher are the shell's numbers: they come back in effects. */
struct core_connector {
    char     id[65];
    uint32_t target;
    uint32_t publisher;
    bool     ordered; /* one bundle at a time at the broker, so that order holds after a nack too */
    enum wire_format format; /* how its bundles become messages, where they do not say it themselves */
    uint32_t queue;          /* behind its target: CORE_NO_QUEUE, or a number of core_queue */
    uint64_t threshold;      /* bytes that this queue may hold */
    bool     threshold_fixed; /* its own word may lower it only; else that is taken as it is */
    uint32_t weight;         /* of its share where room is short, from 1 */
    uint64_t spool_limit;    /* bytes of its bundles that the spool may hold; 0: it has no spool */
    bool     confirm;        /* what is spooled is answered for when RabbitMQ has it, and not before */
    uint64_t unanswered_max; /* then so many bytes may be without an answer */
};

#define CORE_NO_QUEUE UINT32_MAX /* it cannot be measured: such a connector is governed by credit alone */

/* A queue that is measured, by its number. */
struct core_queue {
    uint32_t group;       /* 0: none */
    bool     counts;      /* a count may lower what is believed: no priorities, TTL, drop-head */
    bool     alone;       /* nobody but this gateway publishes to it */
    uint64_t unacked_max; /* at most so many unacknowledged messages; GAUGE_UNKNOWN: telemetry says */
};

/* What all of admission goes by. */
struct core_limits {
    int64_t  stats_lag_us, stale_after_us;
    int64_t  count_every_us;  /* a queue is counted so often at most */
    uint32_t resume_ppm;      /* what was closed opens below so many millionths of its limit */
    bool     run_on_stale;    /* what is unknown does not hold */
    uint64_t budget[CORE_GROUPS_MAX]; /* bytes of a group; [0]: of all queues.  DECIDE_NONE: no such limit */
};

/* A schedule as the state keeps it, so that it survives us: what to pick up again. */
struct core_row {
    const char *id;                /* lent for the call */
    uint8_t     kind;              /* 0: none; else enum wire_schedule + 1 */
    bool        ran;               /* a run was ever permitted: the first one is over */
    bool        paused;            /* by an operator */
    bool        has_run;           /* run is under way */
    uint8_t     run[WIRE_RUN_LEN];
    uint64_t    epoch;             /* of the program that this is about: whose run it is; 0: not known */
    bool        has_ended;         /* ended is the run that ended last, and was not lost */
    uint8_t     ended[WIRE_RUN_LEN];
    int64_t     period_us;
    int64_t     last_run_us;       /* wall clock: the end of the last run that happened; 0: none did */
    int64_t     next_run_us;       /* wall clock: when the next one is due; 0: nobody can say */
};

/* What an operator can do; connectors cannot. */
enum core_action {
    CORE_PAUSE,       /* no permit and no credit, until */
    CORE_RESUME,
    CORE_RUN_NOW,     /* the time of the next run is now; every other reason stays */
    CORE_RESET_STATE, /* the connector's state becomes empty; queue and bundles are not touched */
    CORE_DRAIN_ON,    /* of the whole gateway: no permit and no credit, until */
    CORE_DRAIN_OFF
};

enum core_event_kind {
    CORE_CONFIGURE, /* list: all connectors, at start and at each reload; unknown: how others are treated.  All or
                       nothing: see core_configured */
    CORE_MARK,      /* mark: what the state knows of a connector; before its first hello */
    CORE_MESSAGE,   /* conn, msg, body_len, from a connector: hello ready bundle done ping bye */
    CORE_GONE,      /* conn: the door has lost it */
    CORE_FORMED,    /* formed: a bundle is messages now; or CORE_REFUSED, where it can be none */
    CORE_UP,        /* publisher, session */
    CORE_DOWN,      /* publisher */
    CORE_BLOCKED,   /* publisher */
    CORE_UNBLOCKED, /* publisher */
    CORE_CONFIRMED, /* slot: RabbitMQ has it */
    CORE_RETRY,     /* slot: RabbitMQ did not take it (nack) */
    CORE_REFUSED,   /* slot, reason, text: it can never be forwarded as things stand, or be formed */
    CORE_ROW,       /* row: a schedule that the state kept; at start, after the first CORE_CONFIGURE and CORE_WALL */
    CORE_WALL,      /* wall_us: what the wall clock says now; only stamps and the first due times follow from it */
    CORE_HOLD,      /* hold: reasons that others found (bits of wire_hold), for one connector or for all */
    CORE_OPERATOR,  /* operator */
    CORE_STORED,    /* stored: what became of a CORE_STORE_ROW */
    CORE_COMMIT,    /* commit: a connector wants its state replaced; answered with CORE_COMMIT_GO or _FAIL */
    CORE_COMMITTED, /* stored: what became of a CORE_COMMIT_GO */
    CORE_SAMPLE,    /* measured.sample: what the statistics say of a queue */
    CORE_COUNTED,   /* measured.count: answer to a CORE_COUNT; none need come */
    CORE_CONSUMERS, /* measured.consumers: who takes from a queue */
    CORE_QUEUE_GONE, /* measured: there is no such queue */
    CORE_BROKER,    /* node: memory, disk and alarms of the broker */
    CORE_RESTARTED, /* the broker started again: its statistics are worth nothing for a while */
    CORE_SPOOL_FOUND, /* found: a stream that the spool has; at start, after the first CORE_CONFIGURE and the marks.
                         Also of connectors that are not configured */
    CORE_SPOOLED,   /* spooled: what became of a CORE_SPOOL.  Not ok: nothing of it is there, and it is tried again */
    CORE_FETCHED,   /* fetched: a bundle that was spooled; CORE_KEEP in the same step if it is wanted */
    CORE_FETCH_END, /* fetch_end: all that a CORE_FETCH gives was given */
    CORE_DAMAGED,   /* damaged: this one cannot be read any more */
    CORE_BURIED,    /* buried: what became of a CORE_BURY */
    CORE_REVIVED,   /* revived: a dead letter is the newest of its stream again */
    CORE_SPOOL_SPACE, /* space: can the spool take more? */
    CORE_SAVE,      /* time to write marks: answered with CORE_STORE_MARK for each that moved; rows that failed, too */
    CORE_DRAIN,     /* stop: no more credit, no more permits */
    CORE_STOP,      /* the gateway ends now: say so to all who are connected */
    CORE_TURN       /* the end of a turn of the loop: what is gathered is said now; timers are looked at */
};

struct core_event {
    enum core_event_kind kind;
    union {
        struct {
            const struct core_connector *list; /* lent for the step */
            uint32_t n;
            const struct core_connector *unknown; /* its id is ignored; NULL: unknown connectors are refused */
            const struct core_queue *queues;      /* by number: those of before keep theirs */
            uint32_t n_queues;
            const struct core_limits *limits;     /* NULL: nothing is measured */
        } configure;
        struct {
            uint32_t queue;
            union {
                struct gauge_sample    sample;
                struct gauge_count     count;
                struct gauge_consumers consumers;
            } is;
        } measured;
        struct {
            int64_t  asked_us;
            uint64_t memory_used, memory_limit, disk_free, disk_limit; /* GAUGE_UNKNOWN: not said */
            bool     alarm; /* it refuses to take more, for want of memory or disk */
        } node;
        struct {
            const char *id;
            uint64_t    epoch, answered;
        } mark;
        struct {
            uint64_t               conn; /* low 32 bits: a small number, reused; high: which use of it */
            const struct wire_msg *msg;  /* lent for the step */
            uint64_t               body_len;
        } message;
        uint64_t conn;
        struct core_row row;
        int64_t wall_us;
        struct {
            const char *id; /* NULL: all */
            uint32_t    reasons;
        } hold;
        struct {
            const char      *id; /* of the connector; NULL with CORE_DRAIN_ON and _OFF */
            enum core_action action;
        } operator;
        struct {
            uint64_t ticket;
            bool     ok;
        } stored;
        struct {
            uint64_t conn, after; /* after: 0, or every bundle up to it must be answered for before */
            uint64_t ticket;      /* the shell's */
            bool     has_run;     /* the state ends this run, with this outcome */
            uint8_t  run[WIRE_RUN_LEN];
            enum wire_outcome outcome;
        } commit;
        struct {
            uint32_t publisher, session;
        } broker;
        struct {
            const char *id;          /* lent for the step */
            uint64_t    first, next; /* positions: what is there lies from first to before next */
            uint64_t    count, bytes;
            uint64_t    epoch, seq;  /* of the last that was spooled: all up to it were answered for */
        } found;
        struct {
            uint32_t slot, number; /* the connector's */
            bool     ok;
            uint64_t pos;
        } spooled;
        struct {
            uint32_t number;
            uint64_t pos, epoch, seq, size;
            uint32_t options_len;
            enum wire_format format;
        } fetched;
        struct {
            uint32_t number;
            uint64_t pos; /* the first that was not given */
        } fetch_end;
        struct {
            uint32_t number;
            uint64_t pos;
        } damaged;
        struct {
            uint32_t number;
            uint64_t pos;
            bool     ok;
        } buried;
        struct {
            uint32_t number;
            uint64_t pos, size;
        } revived;
        struct {
            bool full;
        } space;
        struct {
            uint32_t    slot;
            uint32_t    messages; /* at least 1 */
            uint64_t    bytes;    /* of all of them, as they will count in the queue */
            uint64_t    largest;  /* of one */
            const char *left_out; /* what of it is too large to go, for people; NULL: nothing.  Lent for the step */
        } formed;
        struct {
            uint32_t         slot;
            enum wire_reason reason;
            const char      *text; /* lent for the step; may be NULL */
            uint32_t         went; /* RETRY, REFUSED: of its messages, these are confirmed all the same, */
            uint64_t         went_bytes; /* with so many bytes */
        } result;
    } u;
};

enum core_effect_kind {
    CORE_SEND,       /* conn, msg: to a connector */
    CORE_CUT,        /* conn: end this connection at the socket (it broke the rules) */
    CORE_FORGET,     /* forget: its number is of no more use, and why */
    CORE_KEEP,       /* slot, size: put the chunk of the message of this step behind what the slot holds;
                        the first chunk of a bundle opens the slot */
    CORE_FORM,       /* slot, format: make messages of the body, which is whole; answered with CORE_FORMED or
                        CORE_REFUSED, and not freed before */
    CORE_FREE,       /* slot: its body is of no more use */
    CORE_PUBLISH,    /* slot, publish: hand the body to a publisher */
    CORE_SPOOL,      /* spool: put the body of this slot to the spool; lent until CORE_SPOOLED */
    CORE_FETCH,      /* fetch: read on in a stream; CORE_FETCHED for each, then CORE_FETCH_END.  One at a time for a
                        connector */
    CORE_RELEASE,    /* release: it is forwarded, the spool need not have it any more */
    CORE_BURY,       /* bury: it is a dead letter from now on; answered with CORE_BURIED */
    CORE_STORE_MARK, /* mark */
    CORE_STORE_ROW,  /* row, ticket: keep this schedule; answered with CORE_STORED, before which its connector has
                        no other */
    CORE_CLEAR_STATE, /* id: make this connector's state empty, with the next version */
    CORE_COMMIT_GO,  /* go: store the state of this ticket now, with the row in one; answered with CORE_COMMITTED */
    CORE_COMMIT_FAIL, /* fail: the state of this ticket will not be stored */
    CORE_COUNT,      /* queue: how many messages are ready in it?  Answered with CORE_COUNTED, or not */
    CORE_NEWS,       /* news: a figure of a queue contradicts what was assumed */
    CORE_JOURNAL     /* journal: a decision, to be written down */
};

struct core_effect {
    enum core_effect_kind kind;
    union {
        struct {
            uint64_t               conn;
            const struct wire_msg *msg; /* lent for the call, texts too */
        } send;
        uint64_t conn;
        struct {
            uint64_t    conn;
            const char *why; /* "bye" "silent" "gone" "replaced" "reconnected" "cut" "removed" "idle with credit" */
        } forget;
        struct {
            uint32_t slot;
            uint64_t size; /* of the whole bundle */
            bool     first;
        } keep;
        uint32_t slot;
        uint32_t queue;
        struct {
            uint32_t queue;
            unsigned news;  /* bits of gauge_news */
            int64_t  bytes; /* of a drift: below 0, less is there than expected */
            int64_t  lag_us; /* the lag that is used from now on */
        } news;
        struct {
            uint32_t         slot, target;
            enum wire_format format;
            const char      *connector; /* lent until the core is freed */
            uint64_t         seq;
        } form;
        struct {
            uint32_t    slot, publisher, session, target;
            const char *connector; /* lent until the core is freed */
            uint64_t    epoch, seq;
        } publish;
        struct {
            uint32_t    slot, number;
            const char *connector;  /* lent until the core is freed */
            uint64_t    epoch, seq;
            enum wire_format format;
            bool        alone;      /* no other of its connector is on its way.  After one that failed those behind it
                                       must fail too, up to one that is alone: else the mark would pass what is not
                                       there */
            bool        dead;       /* as a dead letter, for this reason */
            enum wire_reason reason;
            const char *text;       /* lent for the call; NULL: none */
        } spool;
        struct {
            uint32_t    number;
            const char *connector;
            uint64_t    pos, bytes; /* up to so many bytes of bodies, but at least one bundle */
            uint32_t    most;       /* bundles */
        } fetch;
        struct {
            uint32_t    number;
            const char *connector;
            uint64_t    pos;
        } release;
        struct {
            uint32_t    number;
            const char *connector;
            uint64_t    pos, epoch, seq, size;
            enum wire_reason reason;
            const char *text;       /* lent for the call; NULL: none */
        } bury;
        struct {
            const char *id;
            uint64_t    epoch, answered;
        } mark;
        struct {
            struct core_row row;
            uint64_t        ticket;
            bool            later; /* nobody waits for it: after what else is to be done now */
        } store;
        const char *id;
        struct {
            uint64_t               ticket; /* the shell's */
            uint64_t               stored; /* the core's: CORE_COMMITTED gives it back */
            const struct core_row *row;    /* lent for the call; NULL: no run ends with it */
        } go;
        struct {
            uint64_t         ticket;
            enum wire_reason reason; /* UNDELIVERED, NO_RUN or BUSY; NONE: forgotten, nobody waits for an answer */
            uint64_t         seq;    /* with UNDELIVERED: the first that was refused */
        } fail;
        struct {
            const char    *id;      /* lent until the core is freed; NULL: of the whole gateway */
            const char    *what;    /* a constant: "permit" "hold" "skipped" "done" "failed" "lost" "adopted" ... */
            uint32_t       reasons; /* of a hold, or why a period is skipped */
            int64_t        due_us;  /* wall clock: since when its time has come, by its schedule; 0: none decides */
            const uint8_t *run;     /* WIRE_RUN_LEN bytes; NULL: none */
            const char    *text;    /* of a connector, UTF-8, text_len bytes; NULL: none */
            uint32_t       text_len;
            const struct decide_inputs *inputs; /* what the reasons follow from; NULL: nothing was measured.  Lent */
        } journal;
    } u;
};

/* Where effects go, one at a time and in order, during the step; it must not call the core. */
struct core_sink {
    void (*emit)(void *ctx, const struct core_effect *effect);
    void  *ctx;
};

/* Returns a new core, or NULL with *err (ERR_NOMEM, ERR_CONFIG). */
struct core *core_new(const struct core_config *config, struct err *err);

/* Do one step.  now_us is monotonic; a smaller one than before counts as the one before.  No memory is not
 * an error here: what cannot be remembered is refused, and its sender tries again. */
void core_step(struct core *core, const struct core_event *event, int64_t now_us, const struct core_sink *sink);

/* When CORE_TURN must come at the latest, for timers; INT64_MAX: no timer runs. */
int64_t core_due(const struct core *core);

/* Is it configured?  After a CORE_CONFIGURE all of its list are; or some are not, and then nothing was changed: there
 * was no memory, or more than CORE_CONNECTORS_MAX would be known, those that were taken out included. */
bool core_configured(const struct core *core, const char *id);

/* How a connector stands with its schedule: what an operator is shown. */
struct core_status {
    const char *id;             /* lent until the core is freed */
    uint8_t     kind;           /* 0: none; else enum wire_schedule + 1 */
    bool        configured, connected, paused;
    bool        running;        /* run is under way */
    bool        due;            /* nothing but reasons keeps it from a run */
    uint8_t     run[WIRE_RUN_LEN];
    uint32_t    reasons;        /* bits of wire_hold that would hold it now */
    int64_t     period_us;
    int64_t     last_run_us;    /* wall clock: the end of the last run that happened; 0: none did */
    int64_t     next_run_us;    /* wall clock: when the next one is due; 0: nobody can say */
    bool        measured;       /* queue, threshold, gauge and drain are known of */
    uint32_t    queue;
    uint64_t    threshold;
    struct gauge_view  gauge;
    struct gauge_drain drain;   /* until its gate opens, if it is closed */
    uint64_t    waiting;        /* bytes of its bundles that wait for room */
    uint64_t    spooled, spooled_bytes; /* that the spool has of it, dead letters aside */
    uint64_t    oldest;         /* the position before which nothing of that is */
};

/* Connectors are numbered from 0 without gaps, and none goes: false, there are not so many. */
bool core_status(struct core *core, uint32_t number, struct core_status *ret);

/* The number of a connector.  false: there is none of this id. */
bool core_number(const struct core *core, const char *id, uint32_t *ret);

/* Does an operator, or a stop, keep all connectors from running? */
bool core_draining(const struct core *core);

/* The id of the connector that is welcomed on conn, or NULL.  Lent until the core is freed. */
const char *core_connector_of(const struct core *core, uint64_t conn);

/* How things stand. */
struct core_figures {
    uint64_t connectors, connected, wanting;
    uint64_t received, confirmed, nacked;    /* bundles */
    uint64_t messages, message_bytes;        /* that the confirmed ones became */
    uint64_t repeated;                       /* resends of what was known, answered again */
    uint64_t retried;                        /* bundles published again after a nack or a lost connection */
    uint64_t orphaned;                       /* published for a program that was replaced meanwhile */
    uint64_t held, held_bytes;               /* bundles in memory, and what they cost */
    uint64_t credit_out;                     /* granted and not used */
    uint64_t memory_limit;
    uint64_t spooled, spooled_bytes;         /* bundles that are in the spool, dead letters aside */
    uint64_t ahead;                          /* of held, what was read back from there and is not at a publisher */
    uint64_t going;                          /* bundles on their way to the spool */
    uint64_t put, fetched, released;         /* bundles that went there, were read back, are forwarded since */
    uint64_t dead, damaged;                  /* dead letters made; bundles that could not be read back */
    bool     spool_full;
    bool     can_publish;                    /* a publisher is up and not blocked */
};
void core_figures(const struct core *core, struct core_figures *ret);

/* Recount everything from the ground and compare with the running figures: NULL, or what is wrong.
 * For simulators: it costs a pass over all. */
const char *core_check(const struct core *core);

void core_free(struct core *core);

#endif
