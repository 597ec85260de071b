/* handle.h - what a struct sluice is, and how its calls fail; shared by the files of the public API only. */
#ifndef HANDLE_H
#define HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "desk.h"
#include "sluice/sluice.h"

struct worker;

struct sluice {
    struct desk    desk;
    struct desk   *shared; /* the same, for calls that promise to change nothing: all they change is the lock */
    struct worker *worker;
    char          *endpoint; /* owned */
    char          *id;       /* owned */
    pid_t          pid;      /* the process that opened it: no other has its thread */
};

/* Fill *err (NULL: the caller does not care) and return code. */
int fail(struct sluice_error *err, enum sluice_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Is the handle of use?  0, or EREPLACED or EREFUSED with *err filled.  Under the desk's lock. */
int check_phase_locked(const struct sluice *s, struct sluice_error *err);

/* EAGAIN, with what was waited for and what is in its way.  Under the desk's lock. */
int fail_again_locked(const struct sluice *s, struct sluice_error *err, const char *what);

/* What holds, as names with commas between; "" for none. */
void print_hold(uint32_t hold, char *buf, size_t cap);

/* How many bytes of text fit into a message, whole characters only. */
size_t cut_text(const char *text);

/* One set of the state from end to end (words.c); commit may be NULL. */
int set_state(struct sluice *s, const char *what, const void *bytes, size_t len, uint64_t version,
              const struct session_commit *commit, uint64_t *ret_version, int timeout_ms, struct sluice_error *err);

/* --- runs.c, for schedule.c --- */

/* Put a schedule on the desk. */
void ask_for_runs(struct sluice *s, const struct session_schedule *schedule);

/* Take it back. */
void ask_no_more(struct sluice *s);

/* Was the end of a run told, and is it not recorded yet?  Under the desk's lock. */
bool run_ending_locked(const struct desk *d);

/* Wait for that; sluice_interrupt leaves it 5 s.  EINTR, EREPLACED, EREFUSED. */
int await_end(struct sluice *s, struct sluice_error *err);

/* --- schedule.c, for runs.c --- */

/* Read a period (NULL: continuous) and options (may be NULL).  EINVAL. */
int read_schedule(const char *period, const struct sluice_schedule_options *opt, struct session_schedule *ret,
                  struct sluice_error *err);

#endif
