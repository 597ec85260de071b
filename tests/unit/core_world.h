/* core_world.h - a core, a sink that writes down what it says, and connectors that speak as a test wants them to.
 *
 * After every step the core is recounted from the ground (core_check), and every message that it sends must be one
 * that the codec takes.  Time passes only when a test says so. */
#ifndef CORE_WORLD_H
#define CORE_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"
#include "core/decide.h"
#include "wire.h"

enum {
    MIB = 1024 * 1024,
    SECOND = 1000000,      /* microseconds */
    WORLD_PING = 40 * SECOND,
    WORLD_CHUNK = 64 * 1024,
    WORLD_SAID_MAX = 32768,
    WORLD_POSTED_MAX = 16384
};

/* A message that the core sent; texts are copies. */
struct said {
    uint64_t        conn;
    struct wire_msg m;
    char           *text, *field;
};

/* A bundle that was handed to a publisher. */
struct posted {
    uint32_t slot, publisher, session, target;
    char     connector[65];
    uint64_t epoch, seq;
    bool     open; /* the publisher has not reported on it */
};

struct kept {
    uint32_t slot;
    uint64_t size;
    bool     first;
};

/* What was asked of the spool, and not answered. */
struct errand {
    enum core_effect_kind kind; /* CORE_SPOOL, CORE_FETCH, CORE_RELEASE, CORE_BURY */
    uint32_t slot, number;
    uint64_t pos, epoch, seq, bytes;
    bool     alone, dead;
    enum wire_reason reason;
};

struct mark {
    char     id[65];
    uint64_t epoch, answered;
};

/* A schedule that is to be stored. */
struct row {
    uint64_t        ticket;
    char            id[65];
    bool            later;
    struct core_row row; /* its id is not lent any more */
};

/* What the core said of a state that waits. */
struct leave {
    bool            go, has_row;
    uint64_t        ticket, stored;
    struct core_row row;
    enum wire_reason reason;
    uint64_t        seq;
};

/* A line of the journal. */
struct line {
    char     what[24], id[65];
    uint32_t reasons;
    bool     has_inputs;
    struct decide_inputs inputs;
};

struct world {
    struct core_config cfg;
    struct core       *core;
    struct core_sink   sink;
    int64_t            now;
    uint64_t           next_conn;
    uint64_t           next_epoch;
    uint32_t           sessions;
    bool               in_core;   /* a step is under way, and not in the sink */
    bool               unchecked; /* core_check costs a pass over all: off where there are thousands */
    struct said        said[WORLD_SAID_MAX];
    uint32_t           n_said;
    struct posted      posted[WORLD_POSTED_MAX];
    uint32_t           n_posted;
    struct kept        kept[256];
    uint32_t           n_kept;
    struct errand      errands[1024]; /* all, in order */
    uint32_t           n_errands;
    uint32_t           forming[256];
    uint32_t           n_forming;
    uint32_t           freed[256];
    uint32_t           n_freed;
    uint64_t           cut[256], forgotten[256];
    uint32_t           n_cut, n_forgotten;
    struct mark        marks[256];
    uint32_t           n_marks;
    struct row         rows[256];
    uint32_t           n_rows;    /* all that were to be stored, */
    uint32_t           n_stored;  /* and those that were answered for */
    bool               slow_disk; /* rows are answered for when the test says so (disk_answers), and not at once */
    uint32_t           counts[256]; /* queues that were to be counted */
    uint32_t           n_counts;
    struct line        lines[1024];
    uint32_t           n_lines;
    struct leave       leaves[256];
    uint32_t           n_leaves;
};

/* A connector as the test plays it.  Change what it believes and let it speak. */
struct peer {
    struct world *w;
    char     id[65];
    uint64_t conn, epoch, attempt, seen, want, head;
    uint64_t next;   /* the sequence of its next bundle */
    uint64_t credit, spent;
    bool     fresh;
    int      format;  /* enum wire_format + 1 that its bundles name; 0: none */
    const char *options; /* of its bundles; NULL: none */
    bool     has_run;
    uint8_t  run[WIRE_RUN_LEN];
};

/* Two publishers, 8 MiB of memory, bundles up to 1 MiB, chunks of 64 KiB, and three connectors: "feed" and "slow" at
 * publisher 0 (targets 1 and 2), "ordered" at publisher 1 (target 3), one at a time.  Publishers are down. */
struct world *world_new(void);
struct world *world_with(uint64_t memory, uint64_t max_bundle);
void world_free(struct world *w);

/* For cmocka: a new world in *state, both publishers up. */
int world_setup(void **state);
int world_teardown(void **state);

/* The gateway dies and starts again, with the marks that were stored: publishers are down. */
void world_restart(struct world *w);

void world_step(struct world *w, const struct core_event *e);
void world_kind(struct world *w, enum core_event_kind kind);
void world_turn(struct world *w);
void world_pass(struct world *w, int64_t us); /* time passes, then a turn */
void world_configure(struct world *w, const struct core_connector *list, uint32_t n,
                     const struct core_connector *unknown);
void disk_answers(struct world *w, bool ok); /* for all rows that were not answered for */
struct core_row *row_last(struct world *w, const char *id); /* fails if there is none */
void world_forget(struct world *w); /* what was said and done so far; what is posted stays posted */

/* --- the broker --- */
void broker_up(struct world *w, uint32_t publisher);
void broker_down(struct world *w, uint32_t publisher);
void broker_blocked(struct world *w, uint32_t publisher, bool blocked);
void broker_confirms(struct peer *p, uint64_t seq); /* of its epoch; fails the test if it is not at a publisher */
void broker_nacks(struct peer *p, uint64_t seq);
void broker_refuses(struct peer *p, uint64_t seq, enum wire_reason reason, const char *text);
void format_forms(struct world *w, uint32_t slot, uint32_t messages, uint64_t bytes, const char *left_out);
void format_refuses(struct world *w, uint32_t slot, enum wire_reason reason, const char *text);
/* --- the spool --- */
uint32_t errands(const struct world *w, enum core_effect_kind kind); /* how many were asked for */
const struct errand *errand_last(const struct world *w, enum core_effect_kind kind); /* fails if none */
void spool_answers(struct world *w, const struct errand *e, bool ok, uint64_t pos);
/* In answer to the last fetch: n bundles of 100 bytes from this position on, from this sequence on; and the end. */
void spool_gives(struct world *w, uint64_t pos, uint64_t epoch, uint64_t seq, uint32_t n);
void spool_found(struct world *w, const char *id, uint64_t first, uint64_t n, uint64_t epoch, uint64_t seq);
void spool_full(struct world *w, bool full);
bool broker_has(const struct peer *p, uint64_t seq); /* posted, and not reported on */
struct posted *broker_newest(struct world *w);       /* the last that was posted; NULL: none */

/* --- connectors --- */
struct peer peer_new(struct world *w, const char *id); /* a new program: its own epoch, its own connection */
struct peer peer_welcomed(struct world *w, const char *id);
void peer_reconnects(struct peer *p);                  /* another connection: nothing is said yet */
bool peer_hello(struct peer *p);                       /* the next attempt; was it welcomed? */
void peer_ping(struct peer *p);
void peer_asks(struct peer *p, uint64_t want, uint64_t head); /* a ping, and a turn */
void peer_ready(struct peer *p);                       /* of a continuous schedule: it has no times */
void peer_plans(struct peer *p, struct wire_msg plan); /* ready with this schedule, and a turn */
void peer_waits(struct peer *p, int64_t us);           /* time passes; it hears what is said, and pings in time */
void peer_commits(struct peer *p, uint64_t after, const uint8_t *run, uint64_t ticket); /* run: NULL, or the one that
                                                                                           ends well; and a turn */
void peer_sees(struct peer *p, uint64_t seen);
void peer_done(struct peer *p, const uint8_t run[WIRE_RUN_LEN]);
void peer_says(struct peer *p, enum wire_type type);   /* bye, log, health, state */
void peer_chunk(struct peer *p, uint64_t seq, uint64_t size, uint64_t off, uint64_t len);
uint64_t peer_pushes(struct peer *p, uint64_t size);   /* asks for credit if it must, sends all; its sequence */
uint64_t peer_sends(struct peer *p, uint64_t size);    /* the same without asking: credit or not */

/* --- what the core said --- */
uint32_t said_count(const struct world *w, uint64_t conn, enum wire_type type);
const struct wire_msg *said_last(const struct world *w, uint64_t conn, enum wire_type type); /* fails if none */
bool said_nothing(const struct world *w, uint64_t conn);
uint64_t said_ack(const struct world *w, uint64_t conn); /* the highest that was acked; 0: none */
uint32_t said_nacks(const struct world *w, uint64_t conn);
bool said_error(const struct world *w, uint64_t conn, enum wire_reason code);

/* What was said last of the state with this ticket; NULL: nothing yet. */
const struct leave *leave_last(const struct world *w, uint64_t ticket);

bool was_cut(const struct world *w, uint64_t conn);
bool was_forgotten(const struct world *w, uint64_t conn);
uint32_t times_posted(const struct peer *p, uint64_t seq);
struct core_figures figures(const struct world *w);

#endif
