/* journal.h - decisions, written down: one line of JSON each, in journal.log beside the state.
 *
 * A thread of its own writes, so that who decides never waits for a disk.  Nothing is flushed but at the end: the
 * journal is for people, and what must survive a power cut is in the state.  A line is whole or not there: what a
 * crash cut off is ended by the next one.
 * Bounds: the files stay within their limit together, by one rotation to journal.log.1; lines that wait to be written
 * have at most JOURNAL_WAITING_MAX bytes.  A file that is removed or moved away is made anew.  What finds no place
 * there, or on the disk, is left out and counted. */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <stddef.h>
#include <stdint.h>

struct decide_inputs;
struct err;
struct journal;
struct log;

enum { JOURNAL_WAITING_MAX = 4 * 1024 * 1024, JOURNAL_LIMIT_MIN = 64 * 1024 };

struct journal_entry {
    int64_t        wall_us;   /* when */
    const char    *connector; /* NULL: of the whole gateway */
    const char    *what;
    uint32_t       reasons;   /* bits of wire_hold */
    int64_t        due_us;    /* since when, by the wall clock, its time has come; 0: none decides */
    const uint8_t *run;       /* WIRE_RUN_LEN bytes; NULL: none */
    const char    *text;      /* UTF-8, text_len bytes (at most WIRE_TEXT_MAX are written); NULL: none */
    size_t         text_len;
    const struct decide_inputs *inputs; /* what the reasons follow from, so that it can be done again; NULL: none */
};

/* Open (or create) journal.log in dir and start the thread.  limit: bytes of both files, at least JOURNAL_LIMIT_MIN.
 * ERR_CONFIG: there is something else of this name, or it may not be written; ERR_IO. */
struct journal *journal_open(const char *dir, uint64_t limit, struct log *log, struct err *err);

/* Write an entry down with the next journal_wake, or journal_close, or where many wait.  Any thread; never waits for a
 * disk. */
void journal_write(struct journal *j, const struct journal_entry *e);

/* Have written what waits.  Apart from journal_write, since a thread that wakes takes the processor from who decides
 * and answers.  Any thread. */
void journal_wake(struct journal *j);

/* Write what waits, flush, end the thread, free.  NULL does nothing. */
void journal_close(struct journal *j);

#endif
