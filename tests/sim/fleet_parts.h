/* fleet_parts.h - what the files of the fleet share: the world, its connectors, and their programs. */
#ifndef FLEET_PARTS_H
#define FLEET_PARTS_H

#include "chance.h"
#include "core/core.h"
#include "fleet.h"
#include "heap.h"

enum {
    SECOND = 1000000,   /* in us, as every time here */
    PUBLISHERS_MAX = 3,
    MISSED = 3,         /* pings, until a connection is forgotten and a run lost */
    SLACK_US = 2000,    /* the gateway's turn comes within this */
    START_US = 2000000  /* programs start within this */
};
#define NEVER INT64_MAX

enum fleet_event {
    EV_TO_GATEWAY, EV_TO_PROGRAM, EV_TURN, EV_TICK, EV_ACT, EV_START, EV_GONE, EV_GATEWAY_UP, EV_STORED, EV_SAVE,
    EV_CALM
};

/* A program of a connector.  Two of an id may be alive at once. */
struct program {
    bool     alive, hole, fresh, up, asked;
    bool     running, ended; /* it has a run; that has ended, and the gateway is to say that it knows */
    bool     plain;          /* it says done, though it has a cursor: its state was not taken */
    uint8_t  run[WIRE_RUN_LEN];
    uint8_t  last[WIRE_RUN_LEN]; /* the one whose end the gateway has on disk, by its own word */
    enum wire_outcome outcome;
    uint32_t use;            /* which connection of this program: part of its number at the gateway */
    uint32_t lost_use;       /* what connections before this one still held is lost */
    uint32_t birth;          /* which program of its id */
    uint32_t refusals;       /* stops that it ignored */
    uint32_t unanswered;     /* pings */
    uint32_t strays;         /* words of an old end, not answered yet */
    uint64_t epoch, attempt;
    int64_t  out_at, in_at;  /* nothing arrives before what was sent before */
    int64_t  hello_at, hello_wait, ping_at, ask_at, run_at, heard_at, tick_at;
    int64_t  changed_at;     /* what it asks, runs or waits for began then */
};

/* What the gateway has to know of a connector, by the decisions and by what it was told. */
struct truth {
    uint8_t  kind, first, resume; /* kind: 0 none, else enum wire_schedule + 1 */
    bool     ran, skipped, running, paused, run_now, asking, lost, ended_known;
    uint8_t  run[WIRE_RUN_LEN], ended[WIRE_RUN_LEN];
    uint32_t birth;               /* the program that has the run; 0: another that remembers it may have it too */
    uint32_t ends;                /* of runs that were done, which it has heard of */
    uint64_t epoch, run_epoch;    /* of the newest program; of the one that has the run */
    int64_t  period_us;
    int64_t  base_lo, base_hi;    /* the next run is due a period after; alike, but for the jitter after a start */
    int64_t  last_run_us;
};

/* A connector: what it is like, what the gateway knows of it, and what is true. */
struct id {
    char     name[12];
    struct chance c;
    uint8_t  kind, first, resume; /* as in struct truth */
    bool     stubborn;            /* ignores stops */
    bool     remembers;           /* its run, over a restart */
    bool     slow;                /* takes its time between welcome and ready */
    bool     cursor;              /* ends its runs with a state, in one */
    bool     early;               /* takes a permit between hello and welcome */
    int64_t  period_ms, run_us, gap_us;
    uint64_t want;
    uint32_t publisher, births;
    struct program programs[2];

    struct truth t;
    struct {
        bool     is;
        struct truth t;           /* when the row was made */
        struct core_row row;
    } disk;
    uint64_t mark_epoch, mark_answered;

    uint64_t conn;                /* by welcome and forget; 0: none */
    uint32_t reasons;             /* told of this one alone */
    int64_t  clear_at[2];         /* since when no reason of its own holds it, with and without `queue` */
    int64_t  asked_at, answer_by, run_now_at, heard_at, named_at;
    int64_t  lose_by;             /* the run is given up then, if nobody names it before */
    int64_t  row_by;              /* what has changed is in a row by then, if none is on its way */
    bool     row_out, row_failed; /* one is on its way to the disk; the last did not get there */
    uint32_t answered;            /* so many ends are on disk, by the gateway's word */
    int64_t  learnt_at;           /* when the gateway heard of the last end; with a state that is after it */

    uint32_t ends, end_birth;     /* of runs that were done, whoever remembers; the program that was there then */
    int64_t  end_at;              /* when the last of them was */
    bool     ran;                 /* a permit arrived, at the program ran_birth */
    uint32_t ran_birth;
};

/* A row on its way to the disk, or a mark. */
struct pending {
    uint32_t id;
    bool     ok;
    bool     commit;  /* with a state, that ends a run */
    bool     mark;    /* a mark, and no row */
    uint64_t mark_epoch, mark_answered;
    uint64_t ticket;
    uint64_t conn;    /* of a commit */
    int64_t  at;      /* when it was made */
    struct truth t;
    struct core_row row;
};

struct known_run {
    uint32_t id; /* UINT32_MAX: a free place */
    uint8_t  run[WIRE_RUN_LEN];
};

struct packet {
    uint64_t conn; /* which connection: fleet_conn */
    struct wire_msg msg;
};

struct fleet {
    struct fleet_size size;
    struct chance c;       /* of the gateway and its disk */
    struct heap *heap;
    FILE    *trace;
    int64_t  now, calm_at, end_at;
    bool     calm;
    const char *broken;
    struct fleet_figures *fig;

    struct id *ids;        /* size.connectors of them */
    uint64_t next_epoch;

    struct packet *packets; /* those on their way, and free ones */
    uint32_t n_packets, cap_packets, *free_packets, n_free;
    int64_t  delay_us;

    struct core *core;     /* NULL: the gateway is down */
    struct core_sink sink;
    uint32_t generation;   /* of the gateway */
    const struct packet *incoming; /* of this step */
    const struct pending *committed; /* likewise */
    double   drop_rate;    /* messages to programs whose pipe is full */
    int64_t  turn_at, wall_us; /* wall clock less monotonic clock */
    struct pending *pending;
    uint32_t pending_head, n_pending, cap_pending; /* a ring */
    int64_t  disk_at, disk_slow_us, disk_fails;

    bool     draining;
    uint32_t reasons;
    int64_t  clear_at[2];
    struct {
        bool     up, blocked;
        uint32_t session;
        int64_t  clear_at;
    } pubs[PUBLISHERS_MAX];

    struct known_run *runs; /* every run that was ever permitted: open addressing, a power of two */
    uint32_t n_runs, cap_runs;
};

/* fleet.c: the passing of time */
void fleet_at(struct fleet *w, int64_t when, enum fleet_event kind, uint64_t a, uint64_t b);

/* fleet_trace.c: what is told of it */
void fleet_breaks(struct fleet *w, const struct id *i, const char *what); /* i: NULL: of all */
void fleet_told(struct fleet *w, const struct id *i, const char *who, const struct wire_msg *m);

/* fleet_net.c: the network */
struct program *fleet_program(struct fleet *w, uint64_t conn, struct id **ret); /* NULL: that connection is no more */
uint64_t fleet_conn(const struct fleet *w, const struct program *p, const struct id *i);
void fleet_send(struct fleet *w, struct id *i, struct program *p, uint64_t conn, const struct wire_msg *m,
                bool to_gateway);
void fleet_to_gateway(struct fleet *w, uint32_t packet);
void fleet_to_program(struct fleet *w, uint32_t packet);

/* fleet_acts.c: what befalls it */
void fleet_befall(struct fleet *w, const struct act *a);
void fleet_start(struct fleet *w, struct id *i);          /* its newest program is there again, if it is not */
void fleet_tell(struct fleet *w, struct core_event e);    /* the gateway, if it is up */
void fleet_calm(struct fleet *w);                         /* nothing fails and nothing is held any more */

/* fleet_gateway.c: the shell around the core */
void gateway_start(struct fleet *w);
void gateway_crash(struct fleet *w, bool says_so);
void gateway_step(struct fleet *w, const struct core_event *e);
void gateway_turn(struct fleet *w);
void gateway_stored(struct fleet *w);
void gateway_commit(struct fleet *w, const struct packet *p); /* a program sets its state */

/* fleet_program.c: a connector's program */
void program_start(struct fleet *w, struct id *i, struct program *p);
void program_end(struct fleet *w, struct id *i, struct program *p);
void program_reconnect(struct fleet *w, struct id *i, struct program *p, bool knows);
void program_receive(struct fleet *w, struct id *i, struct program *p, const struct wire_msg *m);
void program_tick(struct fleet *w, struct id *i, struct program *p);
void program_bye(struct fleet *w, struct id *i, struct program *p);
void program_ready(struct fleet *w, struct id *i, struct program *p);

/* fleet_truth.c: what the gateway has to know */
void truth_start(struct fleet *w);                               /* it starts, with what is on disk */
void truth_before(struct fleet *w, const struct core_event *e);  /* it is told this */
void truth_row(struct fleet *w, struct id *i, const struct truth *t, const struct core_row *row); /* it stores this */
void truth_row_back(struct fleet *w, struct id *i, bool ok); /* and the disk has answered */
void truth_skipped(struct fleet *w, struct id *i);           /* a whole period, by the journal */
void truth_save(struct fleet *w);                            /* it is told to save */
struct truth truth_at_end(const struct fleet *w, const struct id *i, const uint8_t *run); /* if its run ended now */
struct id *truth_id(struct fleet *w, const char *name);
uint32_t truth_reasons(const struct fleet *w, const struct id *i);
bool truth_first_is_free(const struct id *i);

/* fleet_rules.c: what it may do and must do */
void rules_effect(struct fleet *w, const struct core_effect *e);
void rules_sent(struct fleet *w, struct id *i, uint64_t conn, const struct wire_msg *m);
void rules_all(struct fleet *w);                /* a pass over all */
void rules_end(struct fleet *w);                /* faults have stopped: is everybody where they should be? */

/* fleet_runs.c: every run that was ever permitted */
void runs_add(struct fleet *w, uint32_t id, const uint8_t *run);
bool runs_has(const struct fleet *w, uint32_t id, const uint8_t *run);

#endif
