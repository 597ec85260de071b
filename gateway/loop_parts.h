/* loop_parts.h - what the loop's own files share, and nobody else includes.
 *
 *     loop.c       turns: what comes in, what comes back, signals
 *     effects.c    what follows from a step of the core
 *     formed.c     bundles that became messages, or could not
 *     measures.c   how full queues are
 *     spooled.c    bundles to the spool and back
 *     letters.c    dead letters
 *     schedules.c  schedules: rows, journal, the wall clock, operators
 *     loop_open.c  opening and closing
 *
 * Thread: the loop only. */
#ifndef LOOP_PARTS_H
#define LOOP_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/operators.h"
#include "broker/publisher.h"
#include "broker/telemetry.h"
#include "core/core.h"
#include "core/decide.h"
#include "loop.h"
#include "store/state.h"
#include "wire.h"

struct bodies;
struct counts;
struct dead;
struct door;
struct door_message;
struct former;
struct gauged;
struct journal;
struct letter_way;
struct log;
struct mailbox;
struct settings;
struct spool;
struct spool_answer;
struct states;
struct targets;

enum {
    AFTER_MAX = 1024, /* things found during a step that are told to the core after it */
    MARKS_MAX = 64,   /* marks in one request to the state */
    NOTES_MAX = 64    /* decisions of one step that are written down behind it; then those before are, within it */
};

/* A decision that is to be written down. */
struct note {
    const char *connector, *what; /* lent until the core is freed */
    uint32_t    reasons;
    int64_t     due_us;
    bool        has_run, has_inputs;
    uint8_t     run[WIRE_RUN_LEN];
    struct decide_inputs inputs;
};

/* Published in this turn, handed over at its end: one wake-up for all. */
struct batch {
    struct pub_message *at;
    size_t              n, cap;
};

struct loop {
    struct settings   *settings; /* in force; owned */
    struct settings   *first;    /* those we began with, which publishers have borrowed from; owned */
    struct loop_source source;
    struct log        *log;
    struct core       *core;
    struct core_sink   sink;
    struct door       *door;
    struct bodies     *bodies;
    struct targets    *targets;
    struct state      *state;
    struct states     *states;
    struct journal    *journal;
    struct operators  *operators;
    struct mailbox    *pub_events, *answers, *formed;
    struct former     *former;
    struct spool      *spool;   /* NULL: there is none, by the settings; then no mailbox of its either */
    struct mailbox    *spooled;
    struct dead       *dead;
    struct dead       *letter_rows; /* at the start: as the state has them */
    struct letter_way *letters_away;
    struct spool_answer *fetched; /* during the step that it is handed to */
    struct gauged     *gauged;
    struct mailbox    *figures, *counted;
    struct telemetry  *telemetry;
    struct telemetry_config telemetry_config;
    char              *unmeasured; /* why telemetry tells nothing; owned; NULL: it does, or did not try yet */
    struct counts     *counts;
    struct publisher  *publishers[CORE_PUBLISHERS_MAX];
    struct batch       batches[CORE_PUBLISHERS_MAX];
    struct pub_host   *hosts;
    struct pub_config  pub_config;
    struct state_mark  marks[MARKS_MAX];
    size_t             n_marks;
    struct core_event  after[AFTER_MAX]; /* what a step brought about that the core must hear of, but not within it */
    size_t             n_after;
    struct note        notes[NOTES_MAX];
    size_t             n_notes;
    const struct door_message *message; /* during the step that it is handed to */
    const struct wire_msg     *header;
    int64_t            now_us, save_us, stop_us; /* stop_us: when a drain is given up; 0: not stopping */
    int64_t            wall_us;    /* wall clock less monotonic clock, as the core was told */
    int64_t            wake_us;    /* when state and journal are woken for what was given quietly; 0: nothing was */
    uint64_t           clear_ticket; /* of the operator whose action is done now */
    bool               clear_lost;   /* ... and its CORE_CLEAR_STATE found no room at the store */
    bool               states_late;  /* a state has leave to go and finds no room at the store */
    int                signals;
    bool               stop;
    bool               broken;       /* the spool is, and a new start has to read what the disk has */
};

/* effects.c */

/* One step of the core, what follows from it, and what it left to be told. */
void effects_step(struct loop *l, const struct core_event *e);
void effects_step_kind(struct loop *l, enum core_event_kind kind);

/* Where the core's effects go: ctx is the loop. */
void effects_take(void *ctx, const struct core_effect *e);

/* Say m to a connection, with len bytes of body (NULL: none): ctx is the loop. */
void effects_send(void *ctx, uint64_t conn, const struct wire_msg *m, const void *body, size_t len);

/* Hand over what was gathered: messages to the publishers, marks to the state. */
void effects_post(struct loop *l);
void effects_marks(struct loop *l);

/* Tell the core of this after the step that is being done. */
void effects_later(struct loop *l, const struct core_event *e);

/* schedules.c */

/* Tell the core of the wall clock, and of the rows that the state kept. */
int schedules_load(struct loop *l, struct err *err);

/* Once a turn: did the wall clock jump?  What did the store answer? */
void schedules_wall(struct loop *l);
void schedules_answers(struct loop *l);

/* At the end of a turn: rows and journal lines that nobody waits for go to their threads, LINGER_US after the first. */
void schedules_wake(struct loop *l);

/* Effects of the core. */
void schedules_row(struct loop *l, const struct core_effect *e);
void schedules_clear(struct loop *l, const char *id);
void schedules_go(struct loop *l, const struct core_effect *e);
void schedules_journal(struct loop *l, const struct core_effect *e);

/* Behind a step, so that nobody waits for it: what was decided in it is written down. */
void schedules_notes(struct loop *l);

/* Open the socket of operators. */
int schedules_open_operators(struct loop *l, struct err *err);

/* measures.c */

/* Begin to measure, if that is configured; what is to be measured; end. */
int measures_open(struct loop *l, struct err *err);
int measures_configure(struct loop *l, struct err *err);
void measures_close(struct loop *l);

/* Once a turn: what do the figures say? */
void measures_take(struct loop *l);

/* Effects of the core. */
void measures_count(struct loop *l, uint32_t queue);
void measures_news(struct loop *l, const struct core_effect *e);

/* What operators should know of the figures: fills ret, returns how many.  Texts last for this turn. */
size_t measures_warnings(const struct loop *l, const char *ret[OPERATORS_WARNINGS]);

/* formed.c */

/* Once a turn: what did the formats make of bundles? */
void formed_take(struct loop *l);

/* Nobody will ask any more: free what nobody took. */
void formed_forget(struct loop *l);

/* spooled.c */

/* Open the spool, if there is to be one; tell the core what was found in it; end. */
int spooled_open(struct loop *l, struct err *err);
int spooled_load(struct loop *l, struct err *err);
void spooled_close(struct loop *l);

/* Once a turn: what did the disk say? */
void spooled_take(struct loop *l);

/* Effects of the core.  _keep: the bundle that was read is the body of this slot. */
void spooled_put(struct loop *l, const struct core_effect *e);
void spooled_fetch(struct loop *l, const struct core_effect *e);
void spooled_release(struct loop *l, const struct core_effect *e);
void spooled_bury(struct loop *l, const struct core_effect *e);
void spooled_keep(struct loop *l, uint32_t slot);

/* letters.c */

/* Read which dead letters there are, before the first request to the state; then remove rows of those that are gone.
 * The end of them. */
int letters_load(struct loop *l, struct err *err);
void letters_tidy(struct loop *l);
void letters_forget(struct loop *l);

/* CORE_SPOOL of a dead letter goes to the spool: written down when it is there.  false: no memory.  _failed: it did not
 * go. */
bool letters_put(struct loop *l, const struct core_effect *e, uint64_t size);
void letters_put_failed(struct loop *l, uint32_t slot);

/* CORE_BURY.  false: no memory.  And if the spool then could not. */
bool letters_bury(struct loop *l, const struct core_effect *e);
void letters_not_buried(struct loop *l, const char *connector, uint64_t pos);

/* SPOOL_APPENDED: true, it was about an operator's letter alone. */
bool letters_appended(struct loop *l, const struct spool_answer *a);

/* Replay or drop one that is there.  NULL: done, or under way; else why not. */
const char *letters_act(struct loop *l, const struct operators_act *a);

/* loop.c */

/* Give the core and the publishers what s says.  -1: *err, and nothing of it holds. */
int loop_configure(struct loop *l, const struct settings *s, struct err *err);

#endif
