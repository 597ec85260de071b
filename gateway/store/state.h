/* state.h - small cold rows in SQLite: connectors' states, marks of what was answered for, schedules, dead letters.
 *
 * One thread owns the one connection (WAL, synchronous=FULL, user_version from day one); requests go in
 * through a mailbox and answers come back through another.  What is answered is on the disk, flushed.
 * Several requests that wait together are one transaction.  They are done in the order in which they were posted.
 * Bound: requests are bounded by the poster (one state per connector, one mark per connector and second, a row for
 * each change of a schedule). */
#ifndef STATE_H
#define STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dead.h"
#include "wire.h"

struct err;
struct log;
struct mailbox;
struct state;

/* Marks: what of a connector was answered for, so that a resend after our crash is known. */
struct state_mark {
    char     connector[65];
    uint64_t epoch;
    uint64_t answered; /* every sequence up to it has its verdict, and no nack is unseen below it */
};

/* A connector's schedule: what to pick up again after a restart.  Times are wall clock, microseconds, 0: none. */
struct state_row {
    char    connector[65];
    uint8_t kind;                 /* 0: none; else enum wire_schedule + 1 */
    bool    ran, paused;          /* a run was ever permitted; by an operator */
    bool    has_run, has_ended;   /* run is under way; ended is the one that ended last */
    uint8_t run[WIRE_RUN_LEN], ended[WIRE_RUN_LEN];
    uint64_t epoch;               /* of the program that this is about; 0: not known */
    int64_t period_us, last_run_us, next_run_us;
};

enum state_answer_kind {
    STATE_GOT,    /* bytes, len, version (0, with no bytes: none was ever set) */
    STATE_SAVED,  /* version is the new one */
    STATE_STALE,  /* set on a version that is not current; version is the current one */
    STATE_FAILED, /* the disk failed; text says how; nothing was changed */
    STATE_ROW_STORED,
    STATE_ROW_FAILED, /* as STATE_FAILED */
    STATE_CLEARED,    /* version is the new one */
    STATE_CLEAR_FAILED
};

struct state_answer {
    enum state_answer_kind kind;
    uint64_t ticket; /* the poster's own */
    void    *bytes;  /* malloc; owned by who takes the answer */
    size_t   len;
    uint64_t version;
    char    *text;   /* malloc, likewise; NULL for none */
};

/* Open (or create) state.db in dir, which must exist, and start the thread.  ERR_CONFIG: not ours, of a newer
 * version, or used by another gateway (locked); ERR_IO.  Answers go to `answers` (of struct state_answer). */
struct state *state_open(const char *dir, struct mailbox *answers, struct log *log, struct err *err);

/* Call each for every mark, in the caller's thread; before the first request only. */
int state_marks(struct state *st, void (*each)(void *ctx, const struct state_mark *mark), void *ctx, struct err *err);

/* The same for every row. */
int state_rows(struct state *st, void (*each)(void *ctx, const struct state_row *row), void *ctx, struct err *err);

/* The same for every dead letter. */
int state_each_dead(struct state *st, void (*each)(void *ctx, const struct dead_letter *dead), void *ctx,
                    struct err *err);

/* Ask for the state of a connector. */
int state_get(struct state *st, const char *connector, uint64_t ticket, struct err *err);

/* Replace it if version is current.  Takes bytes (malloc) on 0 and sets *bytes to NULL. */
int state_set(struct state *st, const char *connector, void **bytes, size_t len, uint64_t version, uint64_t ticket,
              struct err *err);

/* The same, and with it the row (copied; NULL: none): both, or neither.  The answers are those of state_set. */
int state_set_with_row(struct state *st, const char *connector, void **bytes, size_t len, uint64_t version,
                       const struct state_row *row, uint64_t ticket, struct err *err);

/* Keep this row (copied): STATE_ROW_STORED, or STATE_ROW_FAILED. */
int state_row(struct state *st, const struct state_row *row, uint64_t ticket, struct err *err);

/* The same, not at once: nobody waits for it, and a flush beside an answer makes the answer late.  It is done with the
 * next request, after state_wake, or at state_close; the order stays that of the calls. */
int state_row_later(struct state *st, const struct state_row *row, uint64_t ticket, struct err *err);

/* Do now what was asked for later. */
void state_wake(struct state *st);

/* Make the state of a connector empty, whatever its version, which becomes the next one: so that who still holds the
 * old one cannot bring it back.  STATE_CLEARED, or STATE_CLEAR_FAILED. */
int state_clear(struct state *st, const char *connector, uint64_t ticket, struct err *err);

/* Write n marks (copied).  Not answered: a lost mark costs duplicates only; a failure is logged. */
int state_mark(struct state *st, const struct state_mark *marks, size_t n, struct err *err);

/* Write down a dead letter (copied), or that it is one no more.  Not answered: where its row is missing the spool has
 * it all the same, and only the reason is not known; a failure is logged. */
int state_dead(struct state *st, const struct dead_letter *dead, struct err *err);
int state_undead(struct state *st, const char *connector, uint64_t pos, struct err *err);

/* Finish what was asked, close the file, end the thread, free.  NULL does nothing. */
void state_close(struct state *st);

#endif
