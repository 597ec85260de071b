/* history.h - what became of connectors with schedules while they and their gateway were killed: by their own books,
 * by the gateway's journal, and by the rows that were on its disk at each kill; and whether that is right.
 *
 * Times are the wall clock's, in microseconds.  Functions fail the running test by themselves where something cannot
 * be read.  Thread: the main thread only.  Bounds: those below; more ends the test. */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scheduled.h"

struct ledger;

enum { HISTORY_IDS_MAX = 16, HISTORY_LIVES_MAX = 2000, HISTORY_PROGRAMS_MAX = 4000, HISTORY_STOPS_MAX = 2000 };

/* A connector, and how its program is called: see scheduled.c. */
struct history_plan {
    const char *id, *kind;
    long        period_ms, least_ms, most_ms;
    const char *resume, *state;
};

/* A line of a connector's book. */
struct history_event {
    int64_t  at_us;
    uint32_t who;
    enum scheduled_what what;
    char     run[SCHEDULED_RUN + 1]; /* "" for none */
    uint64_t number;
};

enum history_what { H_PERMIT, H_ADOPTED, H_ENDED, H_LOST };

/* A line of the journal, about a run. */
struct history_decision {
    int64_t  at_us;
    uint32_t life; /* of the gateway */
    enum history_what what;
    char     run[SCHEDULED_RUN + 1];
};

/* What the gateway finds on its disk when it starts. */
struct history_row {
    bool     is, ran;
    bool     unknown; /* by which schedule: it has declared a run, and not asked for one */
    char     run[SCHEDULED_RUN + 1], ended[SCHEDULED_RUN + 1]; /* "" for none */
    int64_t  last_us, next_us;                                 /* 0 for none */
    uint64_t version, count;                                   /* of the state, and in it */
    char     counted[SCHEDULED_RUN + 1];                       /* the run that the state is of */
};

struct history_id {
    struct history_event    *events;
    size_t                   n_events;
    struct history_decision *decisions;
    size_t                   n_decisions;
    struct history_row      *rows; /* by life; of the first there is none */
    int64_t                  status_last_us; /* last_run, as operators were told it last; 0 for none */
};

struct history_program {
    size_t  id;
    int64_t started_us, died_us; /* died 0: it lives */
    bool    killed, rivalled;    /* by us; another was started beside it */
    int     status;
};

/* Nobody runs in a stopped process. */
struct history_stop {
    int64_t  from_us, to_us;
    bool     gateway;
    uint32_t who;
};

struct history {
    const struct history_plan *plans;
    size_t                     n_ids;
    struct history_id          ids[HISTORY_IDS_MAX];
    struct {
        int64_t began_us, killed_us; /* killed 0: it lives */
        int64_t journal_end;         /* bytes of the journal, when it was dead */
    } lives[HISTORY_LIVES_MAX];
    uint32_t               n_lives;
    struct history_program programs[HISTORY_PROGRAMS_MAX]; /* by who */
    uint32_t               n_programs;
    struct history_stop    stops[HISTORY_STOPS_MAX];
    uint32_t               n_stops;
};

/* The gateway was killed, and leaves its state in dir: keep what is in it for the next life.  spare: a folder for a
 * copy, so that the gateway itself finds its files as it left them. */
void history_keep_rows(struct history *h, const char *dir, const char *spare);

/* Read the journal in dir, when the last life is over. */
void history_read_journal(struct history *h, const char *dir);

/* Read the book of an id, again from its beginning. */
void history_read_book(struct history *h, size_t id, const char *path);

/* A time of the journal, or of operators. */
int64_t history_time(const char *text);

/* What was pushed and answered, for a ledger. */
void history_tell(const struct history *h, struct ledger *l);

void history_free(struct history *h);

struct history_figures {
    uint64_t runs, permits, adopted, ended, lost, commits, in_doubt;
    uint64_t forgotten;   /* runs that neither side remembered after both were killed at once */
    uint64_t without_line; /* runs whose lines the journal lost in a kill */
    uint64_t rows_agreed;  /* rows that were what the journal says */
    uint64_t recorded;    /* ends that were told to be on disk, and were */
};

/* Look at it all; each fault is printed.  Returns how many there are. */
uint64_t history_faults(const struct history *h, struct history_figures *ret);

#endif
