/* machine.h - what the core's own files share: its tables, and the words they are changed with.
 *
 * A connector's bundles are records in a ring, by sequence, from `first` (the oldest that is not settled) to
 * `expect` (the next to come).  A record leaves the ring when it and all before it are answered, and a refused
 * one only when the connector has seen that: so "settled" is the cumulative ack. */
#ifndef MACHINE_H
#define MACHINE_H

#include "core.h"
#include "decide.h"

#define NONE UINT32_MAX /* no connector, no slot */

enum bundle_state {
    B_RECEIVING, /* the newest record only: chunks are still to come */
    B_FORMING,   /* whole; a format makes messages of it */
    B_WAITING,   /* whole, not at a publisher */
    B_POSTED,    /* at a publisher */
    B_ACKED,     /* confirmed by RabbitMQ, but something before it is not settled */
    B_NACKED,    /* refused, or a dead letter, and the connector has not seen that yet */
    B_SPOOLING,  /* on its way to the spool */
    B_HELD,      /* in the spool, and answered for when it is forwarded */
    B_DEAD       /* it goes to the spool as a dead letter, when all before it are settled or go there too */
};

struct bundle {
    uint64_t size;
    uint64_t cost;  /* what it holds of memory_limit now */
    char    *text;  /* of B_NACKED, or of what is left out: owned; may be NULL */
    uint32_t slot;  /* NONE once the body is gone */
    uint8_t  state; /* enum bundle_state */
    uint8_t  reason;
    bool     dead;    /* of B_NACKED: the spool has it as a dead letter */
    uint64_t pos;     /* of B_HELD */
    bool     partial; /* some of it is too large and left out: it ends as a nack, whatever becomes of the rest */
};

/* A connector's schedule, and its run. */
struct schedule {
    uint8_t  kind;       /* 0: none; else enum wire_schedule + 1 */
    uint8_t  first;      /* enum wire_first */
    uint8_t  resume;     /* enum wire_resume */
    bool     ran;        /* a run was ever permitted */
    bool     skipped;    /* none was, and the first one waits for a period (resume "schedule") */
    bool     asking;     /* it said ready, and is neither permitted nor turned away */
    bool     answer;     /* a ready that was not answered yet */
    bool     running;    /* run is under way */
    bool     expected;   /* ... by what the state says; nobody has declared it since we started */
    bool     ended_known;
    bool     lost;       /* ended was lost, and may come back */
    bool     paused, run_now;
    bool     ack;        /* the end of `ended` is to be answered, when row ack_row is stored */
    bool     end_stored; /* it is on disk that `ended` is over */
    bool     row_out;    /* row is at the store */
    bool     row_due;    /* ... and there is a newer one, for when that is answered */
    bool     unstored;   /* in the list of those whose row failed */
    bool     in_line;
    uint8_t  run[WIRE_RUN_LEN], ended[WIRE_RUN_LEN];
    uint64_t run_epoch;  /* of the program that run was given to; 0: not known */
    uint32_t reasons;    /* found by others, of this connector alone */
    uint32_t held_by;    /* why the last look did not permit it; 0: only its time has not come */
    uint32_t told;       /* what it was told last: held_by, and a bit for the time */
    uint32_t row, ack_row; /* rows are numbered, so that an old answer is known */
    uint32_t end_row;    /* the first that says that `ended` is over */
    uint32_t heap_at;    /* its place among who is due; NONE: not there */
    uint32_t line_next, unstored_next;
    int64_t  period_us;
    int64_t  base_us;    /* the next run is due at base + period */
    int64_t  due_us;     /* when it is looked at next, if heap_at is set */
    int64_t  last_run_us; /* wall clock */
};

/* A state that is to be set, as it was asked for. */
struct wish {
    uint64_t conn, after, ticket;
    bool     has_run;
    uint8_t  outcome; /* enum wire_outcome */
    uint8_t  run[WIRE_RUN_LEN];
};

enum { REFUSED_MAX = 8 };

/* States on their way, and what was refused, for those to come. */
struct commit {
    bool     waiting, going; /* one waits for its bundles; one, perhaps another, for the disk */
    struct wish wish, gone;  /* the one that waits, the one that is going */
    uint32_t number;         /* of the one that is going, so that an old answer is known */
    uint32_t row;            /* the newest row when it went */
    int64_t  at_us;          /* when it went: then its run ended */
    uint64_t refused[REFUSED_MAX]; /* sequences that were refused, and seen: the lowest */
    uint64_t refused_last;   /* the highest, also where there was no place for it */
    uint64_t told_after, told_conn; /* of the last that failed for them; told_after 0: none did */
    uint8_t  n_refused;
};

/* A connector before its queue. */
struct gate {
    uint32_t reasons;    /* why it is closed; 0: open */
    uint32_t turns;      /* it may pass so often although others wait */
    bool     lined;      /* it waits in its queue's line, with a bundle */
    uint32_t line_next;
    uint32_t peer_next;  /* all connectors of this queue */
    uint64_t word;       /* its own threshold; DECIDE_NONE: it said none */
    uint64_t threshold;  /* in force: of the configuration, or its own word */
    uint32_t at;         /* the queue that served is of */
    uint64_t served;     /* virtual time: bytes through its weight, behind those who waited longer */
    int64_t wanted_us;   /* it had something to push, or nothing yet was known of it, until then */
    uint64_t promise;    /* bytes that its run is expected to bring yet */
    int64_t promised_us; /* until then it counts */
    uint64_t run_bytes;  /* that this run, or the last one, brought */
};

/* A connector's way to the spool. */
struct spooling {
    uint64_t next;       /* all before it in the ring are acked, in the spool or on their way there */
    uint32_t out, live;  /* appends without an answer; those that are no dead letters */
    bool     failed;     /* one of them, and so all of them, or nothing is asked before wait_us */
    int64_t  wait_us;
    uint64_t unanswered; /* bytes of B_HELD */
};

/* Its way back: its stream, and what is read ahead of it, oldest first, by slots. */
struct drain {
    uint64_t count, bytes;  /* of the stream: not forwarded, not dead */
    uint64_t first, next;   /* nothing is before first; the position after the last */
    uint64_t fetch_pos;     /* what is read next */
    uint64_t asked;         /* bytes of the fetch that is under way */
    uint64_t need;          /* cost of the next one, if it is known: there was no memory for it */
    uint64_t refused_pos;   /* the first of this fetch that was not kept */
    uint64_t bytes_here;    /* cost of what is read ahead */
    uint32_t head, tail, n; /* slots */
    uint32_t posted, doomed; /* of these, at a publisher; refused, to be dead letters */
    bool     fetching, refused;
    bool     given;         /* this fetch gave something */
    int64_t  wait_us;       /* nothing is asked before */
};

struct connector {
    struct core_connector cfg;
    uint32_t number;     /* its place in core.connectors */
    bool     configured; /* false: removed by a reload; what it left is still forwarded */
    uint64_t conn;       /* 0: not connected */
    uint64_t epoch;      /* 0: never seen */
    uint64_t attempt;
    uint64_t seen;
    int64_t  heard_us;
    uint32_t heard_prev, heard_next; /* the connected, longest silent first */

    /* custody */
    struct bundle *ring; /* a power of two; NULL: empty */
    uint32_t ring_cap;
    uint32_t nacks;      /* records in B_NACKED */
    uint32_t posted;     /* records in B_POSTED */
    bool     receiving;  /* the newest record is B_RECEIVING */
    bool     gap;        /* told that it must say hello again: bundles are dropped until it does */
    uint64_t first, expect;
    uint64_t next_post;  /* nothing in B_WAITING is before it */
    uint64_t recv_off;
    uint64_t ack_told, nack_told;
    uint64_t mark_told;  /* in the state */
    uint32_t tries;      /* nacks by the broker in a row */
    int64_t  retry_us;   /* nothing is posted before; INT64_MAX: no such wait */

    /* credit */
    uint64_t limit, used; /* since hello, absolute */
    uint64_t want, head;
    uint64_t idle;       /* credit out that it may never use: its part of core.idle */
    uint64_t held;       /* what its bundles cost that are here: slots, and nacks it has not seen */
    uint64_t usable;     /* credit out that it can use now: its part of core.credit_out */
    bool     frozen;     /* none of it, though there is some: others may have been given it */
    int64_t  hungry_us;  /* since when it waits for credit */
    int64_t  moved_us;   /* when credit was last given to it, or a bundle of it came */
    uint32_t hold_told;  /* bits of wire_hold */

    struct schedule sch;
    struct commit   commit;
    struct gate     gate;
    struct spooling spool;
    struct drain    drain;
    uint64_t posts;      /* bundles handed to publishers, ever */

    /* membership in lists; NONE ends each */
    uint32_t hungry_next, dirty_next, unsaved_next, retry_next, shut_next, thirsty_next;
    bool     hungry, dirty, unsaved, retrying, shut, thirsty, credit_dirty;
};

struct slot {
    uint32_t connector; /* NONE: an orphan, whose program was replaced while its bundle was at a publisher */
    uint32_t next_free; /* of a free slot; NONE ends the list */
    bool     used;
    bool     forming;   /* the shell makes messages of it: not to be freed before it has answered */
    uint8_t  publisher;
    uint8_t  format;    /* enum wire_format */
    uint32_t messages;  /* that it is published as */
    uint64_t bytes;     /* of these */
    uint64_t largest;   /* of one */
    uint32_t queue;     /* where `reserved` is */
    uint32_t went;      /* of them, confirmed although the bundle is not; and their bytes */
    uint64_t went_bytes;
    uint64_t flying;   /* bytes of it that count as on their way to that queue */
    uint64_t reserved;  /* the gauge's number for what is at a publisher now; 0: none */
    uint64_t seq;
    uint64_t cost;
    bool     spooling;  /* the spool has not answered yet: not to be freed before */
    bool     dead;      /* ... as a dead letter */
    uint32_t spool_of;  /* the connector whose stream it will be in, also if its program was replaced */
    bool     drained;   /* it came from the spool: no record in the ring knows it, but these do */
    bool     partial;
    uint8_t  state;     /* enum bundle_state; B_DEAD: to be buried, B_SPOOLING: that is under way, */
    uint8_t  reason;    /* for this reason */
    uint64_t epoch, pos, size;
    uint32_t older, newer; /* slots of the same connector; NONE ends */
};

/* A queue that is measured. */
struct queue {
    struct core_queue cfg;
    struct gauge *gauge;
    uint64_t upper;      /* as it was asked for last: DECIDE_UNKNOWN, or bytes */
    bool unknown;                  /* so it was when all were looked at last */
    uint64_t served;     /* virtual time: of who passed last */
    uint64_t promised;   /* sum of the promises of its connectors */
    int64_t promised_us;           /* when they are to be looked at next */
    uint64_t flying;               /* bytes at publishers, on their way to it */
    int64_t short_us;              /* until then its room is short */
    bool serving;                  /* its line is being served */
    int64_t  counted_us; /* when a count was asked for last */
    uint32_t peers;      /* its connectors; NONE: none */
    uint32_t line_head, line_tail; /* those that wait with a bundle */
    uint32_t closed;     /* connectors whose gate is closed */
    uint32_t weight_most; /* of its connectors */
};

/* How full the broker itself is. */
struct node {
    uint64_t memory_used, memory_limit, disk_free, disk_limit; /* GAUGE_UNKNOWN: never told */
    uint64_t coming, coming_before; /* bytes and what they cost beside, handed over since it was asked, and before */
    int64_t  asked_us;
    bool     told;
};

struct pub {
    bool     up, blocked;
    uint32_t session;
};

struct list {
    uint32_t head, tail;
};

struct core {
    struct core_config cfg;
    struct pub         pubs[CORE_PUBLISHERS_MAX];
    bool               draining;
    bool               accept_unknown;
    struct core_connector unknown;

    struct connector **connectors;
    uint32_t  n_connectors, cap_connectors;
    uint32_t *by_id;            /* open addressing, a power of two; NONE: free */
    uint32_t  by_id_cap;
    struct conn_slot {
        uint64_t conn;
        uint32_t connector;
    } *conns;                   /* by the low 32 bits of conn */
    uint32_t  cap_conns;

    struct slot *slots;
    uint32_t  n_slots, cap_slots, free_slot;

    uint64_t  fetched, asked;   /* bytes: what is read ahead, and what fetches may bring.  Not part of held */
    bool      spool;            /* some connector has one: memory is set aside to read ahead */
    bool      spool_full;
    struct list shut;           /* who may have something for the spool, or from it */
    struct list thirsty;        /* who wants to read ahead, first come first served */
    uint64_t  held, credit_out, idle; /* bytes: bundles; credit that can be used now; credit that may never be */
    uint32_t  wanting;          /* connectors with want > 0 */
    int64_t   evicted_us;       /* when idle holders of credit were last looked for */
    struct list hungry, dirty, unsaved, retry, heard;
    struct list line;           /* who is due and held, first come first */
    struct list unstored;       /* whose row the disk did not take */
    struct {
        uint32_t *at;           /* connectors, a heap by due_us */
        uint32_t  n, cap;
    } due;
    uint32_t  reasons;          /* found by others, of all connectors */
    struct queue *queues;
    uint32_t  n_queues;
    bool      measured;         /* limits are in force */
    struct core_limits limits;
    struct {
        uint64_t upper;         /* of those that are known */
        uint32_t unknown;       /* queues with connectors that are not */
    } groups[CORE_GROUPS_MAX];  /* [0]: all queues */
    struct node node;
    bool      alarm;
    bool      waking;           /* the line is being looked at */
    bool      woken;            /* a gate opened: who waits in line is looked at, at the end of the turn */
    int64_t   looked_us;        /* when all queues were looked at last */
    int64_t   wall_us;          /* wall clock less monotonic clock */
    uint64_t  random[2];
    int64_t   now_us;
    struct core_figures fig;
    const struct core_sink *sink; /* during a step */
};

/* core.c */
void     core_emit(struct core *k, const struct core_effect *e);
void     core_send(struct core *k, uint64_t conn, const struct wire_msg *m);
uint64_t core_random(struct core *k);
void     list_push(struct core *k, struct list *l, uint32_t i); /* any but heard */
uint32_t list_pop(struct core *k, struct list *l);

/* table.c: connectors by id and by connection */
uint32_t table_find(const struct core *k, const char *id, uint32_t len);
uint32_t table_add(struct core *k, const struct core_connector *cfg); /* NONE: no memory, or too many */
uint32_t table_of(const struct core *k, uint64_t conn);
bool     table_bind(struct core *k, uint64_t conn, uint32_t i);
void     table_unbind(struct core *k, uint64_t conn);
void     table_free(struct core *k);

/* session.c: hello, liveness, who is configured */
void session_configure(struct core *k, const struct core_event *e);
uint32_t session_known(struct core *k, const char *id); /* its number, also if it is not configured; NONE: no memory */
void session_mark(struct core *k, const char *id, uint64_t epoch, uint64_t answered);
void session_row(struct core *k, struct connector *c, uint64_t epoch); /* its schedule is of this program */
void session_message(struct core *k, uint64_t conn, const struct wire_msg *m, uint64_t body_len);
void session_gone(struct core *k, uint64_t conn, const char *why);
void session_timers(struct core *k);
void session_stop(struct core *k);
void session_error(struct core *k, uint64_t conn, enum wire_reason code, const char *field, const char *text,
                   const struct connector *c);

/* slots.c: what the shell knows a body by */
uint32_t slots_take(struct core *k);                /* NONE: no memory */
void     slots_give(struct core *k, uint32_t slot); /* its body is of no more use; what it held of the memory is free */

/* custody.c: bundles from the first chunk to the last */
struct bundle *custody_at(struct connector *c, uint64_t seq);
void custody_bundle(struct core *k, struct connector *c, const struct wire_msg *m, uint64_t len);
void custody_drop_half(struct core *k, struct connector *c);
void custody_reset(struct core *k, struct connector *c, uint64_t next); /* a new epoch: forget, orphan what is posted */
void custody_trim(struct connector *c);                                 /* a large ring that is empty is given back */
void custody_free(struct connector *c);

/* forming.c: bundles that become messages first */
void forming_begin(struct core *k, struct connector *c, struct bundle *b); /* it is whole */
void forming_ask(struct core *k, struct connector *c, uint32_t slot);
void forming_done(struct core *k, const struct core_event *e);
bool forming_refused(struct core *k, const struct core_event *e); /* false: it is not being formed */

/* queues.c: what is measured, and the sums of it */
void queues_configure(struct core *k, const struct core_event *e);
void queues_event(struct core *k, const struct core_event *e);     /* SAMPLE to RESTARTED */
void queues_refresh(struct core *k, struct queue *q);              /* ask its gauge again */
void queues_back(struct core *k);                                  /* the broker takes connections again */
void queues_timers(struct core *k);
int64_t queues_due(const struct core *k);
struct queue *queues_of(const struct core *k, const struct connector *c); /* NULL: it is not measured */
void queues_join(struct core *k, struct connector *c);            /* a connector that is new */
void queues_spend(struct core *k, uint64_t bytes, uint64_t messages); /* so much goes to the broker now */
bool queues_blind(const struct core *k, const struct connector *c);
void queues_free(struct core *k);

/* gate.c: may it start a bundle, or a run? */
/* A run brings more behind what the spool has already, so that counts as if it were in the queue. */
void gate_inputs_of_run(const struct core *k, const struct connector *c, struct decide_inputs *ret);
void gate_inputs(const struct core *k, const struct connector *c, struct decide_inputs *ret); /* it is measured */
uint32_t gate_look(struct core *k, struct connector *c);  /* why not; 0: it may */
bool gate_pass(struct core *k, struct connector *c, uint32_t slot); /* true: its bytes are reserved */
void gate_leave(struct core *k, struct connector *c);     /* it has nothing any more that would wait in line */
void gate_wake(struct core *k, struct queue *q);          /* figures of this queue have changed */
void gate_threshold(struct core *k, struct connector *c, const struct wire_msg *m);
uint32_t gate_share(struct core *k, struct connector *c); /* WIRE_HOLD_SHARE: the room is promised to others' runs */
void gate_promise(struct core *k, struct connector *c);   /* its run begins */
void gate_released(struct core *k, struct connector *c);  /* its run is over */
void gate_wanted(struct core *k, struct connector *c);    /* until now it had something to push */
void gate_served(struct core *k, uint32_t queue);         /* a bundle came back from its publisher; NONE: nothing did */
/* What became of what was reserved; returned is the queue, for gate_served. */
uint32_t gate_confirmed(struct core *k, uint32_t slot);
uint32_t gate_refused(struct core *k, uint32_t slot, uint32_t went, uint64_t went_bytes);
void gate_lost(struct core *k, uint32_t slot);

/* posting.c: bundles at the publishers */
void posting_post(struct core *k, struct connector *c, uint32_t slot, uint64_t epoch, uint64_t seq);
void posting_pump(struct core *k, struct connector *c); /* hand over what may be handed over */
void posting_confirmed(struct core *k, uint32_t slot);
void posting_retry(struct core *k, uint32_t slot);
void posting_refused(struct core *k, uint32_t slot, enum wire_reason reason, const char *text);
void posting_down(struct core *k, uint32_t publisher);
void posting_timers(struct core *k);

/* spooling.c: to the spool */
void spooling_look(struct core *k, struct connector *c); /* at the end of the turn: has it something to put there? */
void spooling_turn(struct core *k);
int64_t spooling_due(const struct core *k);
bool spooling_open(const struct core *k, const struct connector *c); /* its way to RabbitMQ */
bool spooling_first(const struct connector *c); /* others of it are before what it has in memory: in the spool */
uint64_t spooling_room(const struct core *k, const struct connector *c); /* bytes that credit may be out for */
bool spooling_doomed(struct core *k, struct connector *c, struct bundle *b, enum wire_reason reason,
                     const char *text); /* true: it will be a dead letter */
void spooling_event(struct core *k, const struct core_event *e); /* FOUND, SPOOLED, SPACE */
void spooling_reset(struct connector *c); /* a new epoch */
void spooling_forwarded(struct core *k, struct connector *c, uint64_t epoch, uint64_t seq);
void spooling_buried(struct core *k, struct connector *c, uint64_t epoch, uint64_t seq, enum wire_reason reason);
void spooling_damaged(struct core *k, struct connector *c, uint64_t pos);

/* drain.c: and back from it */
void drain_event(struct core *k, const struct core_event *e);   /* FETCHED to REVIVED */
void drain_look(struct core *k, struct connector *c);           /* does it want to read ahead? */
void drain_serve(struct core *k);
void drain_grown(struct core *k, struct connector *c, uint64_t pos, uint64_t size); /* one more in its stream */
bool drain_pump(struct core *k, struct connector *c); /* true: what is not in its stream may follow */
void drain_formed(struct core *k, const struct core_event *e);
void drain_refused(struct core *k, uint32_t slot, enum wire_reason reason, const char *text);
void drain_confirmed(struct core *k, uint32_t slot);
bool drain_has(const struct core *k, const struct connector *c, enum bundle_state state); /* of what is read ahead */

/* check_spool.c: the part of core_check that is about the spool */
const char *check_spool(const struct core *k);

/* verdict.c: the answers */
void verdict_settle(struct core *k, struct connector *c); /* what is answered for, not past an unseen nack */
void verdict_refuse(struct core *k, struct connector *c, struct bundle *b, enum wire_reason reason,
                    const char *text); /* the body goes, the record stays until the connector has seen why */
void verdict_seen(struct core *k, struct connector *c, uint64_t seen);
void verdict_tell(struct core *k, struct connector *c); /* those that are due */
void verdict_repeat(struct core *k, struct connector *c);
void verdict_save(struct core *k);

/* due.c: who is to be looked at next */
bool due_reserve(struct core *k); /* room for one connector more; false: no memory */
void due_set(struct core *k, struct connector *c, int64_t due_us);
void due_drop(struct core *k, struct connector *c);
struct connector *due_first(const struct core *k); /* NULL: nobody */

/* schedule.c: when a connector may run */
void schedule_ready(struct core *k, struct connector *c, const struct wire_msg *m);
void schedule_look(struct core *k, struct connector *c);
void schedule_wake(struct core *k); /* reasons went away: let in who waits in line */
void schedule_hold(struct core *k, const char *id, uint32_t reasons);
void schedule_operator(struct core *k, const char *id, enum core_action action);
void schedule_timers(struct core *k);
void schedule_left(struct core *k, struct connector *c); /* its connection is no more */
uint32_t schedule_reasons(const struct core *k, const struct connector *c); /* that would hold it now */
bool schedule_first_free(const struct schedule *s); /* the first run ever, which its queue does not hold */
bool schedule_too_early(const struct core *k, const struct schedule *s);
bool schedule_tell(struct core *k, struct connector *c); /* false: it does not ask to run, other holds may be told */

/* run.c: one run, from permit to end */
void run_permit(struct core *k, struct connector *c);
void run_done(struct core *k, struct connector *c, const struct wire_msg *m);
void run_declared(struct core *k, struct connector *c, const struct wire_msg *m); /* hello or ping that names one */
void run_lost(struct core *k, struct connector *c);
void run_send_permit(struct core *k, const struct connector *c);
uint32_t run_store(struct core *k, struct connector *c); /* the number of the row that will say how it stands now */
void run_store_end(struct core *k, struct connector *c); /* ... that its run is over */
void run_save(struct core *k);                           /* what the disk did not take, once more */
void run_stored(struct core *k, uint64_t ticket, bool ok);
void run_load(struct core *k, const struct core_row *row);
void run_journal(struct core *k, const struct connector *c, const char *what, uint32_t reasons,
                 const struct wire_msg *m);
/* The same with its time, and the figures that stand behind it, if it is measured. */
void run_journal_look(struct core *k, const struct connector *c, const char *what, uint32_t reasons, bool first_free);

void run_decision(struct core *k, const struct connector *c, const char *what, uint32_t reasons,
                  const struct decide_inputs *inputs);

/* What an end of its run changes, but for the row: that is the caller's to store. */
void run_finish(struct core *k, struct connector *c, const char *what, int64_t at_us, const struct wire_msg *m);
void run_row(const struct core *k, const struct connector *c, struct core_row *row); /* as things stand */
void run_answer_done(struct core *k, struct connector *c);
const char *run_outcome(enum wire_outcome outcome); /* what the journal says */

/* commit.c: a state that is set after bundles, and perhaps ends a run */
void commit_ask(struct core *k, const struct core_event *e);
void commit_look(struct core *k, struct connector *c);    /* may it go now? */
void commit_stored(struct core *k, uint64_t stored, bool ok);
void commit_refused(struct connector *c, uint64_t seq);   /* the connector has seen that this one was refused */
void commit_drop(struct core *k, struct connector *c);    /* what waits is forgotten: a hello, or no connection */
void commit_new_epoch(struct core *k, struct connector *c);

/* check_schedule.c: the part of core_check that is about schedules */
const char *check_schedule(const struct core *k);

/* check_gates.c: the part of core_check that is about queues and gates */
const char *check_gates(const struct core *k);

/* credit.c: who may push how much */
void credit_reset(struct core *k, struct connector *c);
void credit_want(struct core *k, struct connector *c, uint64_t want, uint64_t head);
bool credit_frozen(struct core *k, struct connector *c); /* it must say hello again before it sends */
bool credit_use(struct core *k, struct connector *c, uint64_t cost); /* false: beyond the credit */
void credit_freed(struct core *k, struct connector *c); /* less of its bundles is here than before */
void credit_serve(struct core *k);
void credit_tell(struct core *k, struct connector *c);
void credit_wake(struct core *k, uint32_t publisher); /* it can publish again, or no more */
uint64_t credit_memory(const struct core *k); /* what bundles and credit may take of memory_limit */
uint32_t credit_hold(const struct core *k, const struct connector *c);

#endif
