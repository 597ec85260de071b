/* state.h - small cold rows in SQLite: connectors' states and marks of what was answered for.
 *
 * One thread owns the one connection (WAL, synchronous=FULL, user_version from day one); requests go in
 * through a mailbox and answers come back through another.  What is answered is on the disk, flushed.
 * Several requests that wait together are one transaction.
 * Bound: requests are bounded by the poster (one state per connector, one mark per connector and second). */
#ifndef STATE_H
#define STATE_H

#include <stddef.h>
#include <stdint.h>

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

enum state_answer_kind {
    STATE_GOT,    /* bytes, len, version (0, with no bytes: none was ever set) */
    STATE_SAVED,  /* version is the new one */
    STATE_STALE,  /* set on a version that is not current; version is the current one */
    STATE_FAILED  /* the disk failed; text says how; nothing was changed */
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

/* Ask for the state of a connector. */
int state_get(struct state *st, const char *connector, uint64_t ticket, struct err *err);

/* Replace it if version is current.  Takes bytes (malloc) on 0 and sets *bytes to NULL. */
int state_set(struct state *st, const char *connector, void **bytes, size_t len, uint64_t version, uint64_t ticket,
              struct err *err);

/* Write n marks (copied).  Not answered: a lost mark costs duplicates only; a failure is logged. */
int state_mark(struct state *st, const struct state_mark *marks, size_t n, struct err *err);

/* Finish what was asked, close the file, end the thread, free.  NULL does nothing. */
void state_close(struct state *st);

#endif
