/* program.h - a connector under test that leaves its main loop to libsluice: when it ran, and what the call came to.
 *
 * It has a thread of its own; all calls here are the main thread's. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/sluice.h"

struct err;
struct program;

enum { PROGRAM_RUNS_MAX = 64 };

struct program_plan {
    const char *id;
    const char *period;    /* sluice_schedule_iso; NULL: sluice_schedule_unit with the next two */
    double n;
    enum sluice_unit unit;
    struct sluice_schedule_options opt;
    int run_ms;            /* how long a run takes */
    int stop_at;           /* it wants no other after so many runs; 0: for ever */
    sluice_run_fn within;  /* what a run does; NULL: nothing.  Its outcome counts, but for stop_at */
    void *ctx;
};

/* Strings are borrowed until program_free. */
struct program *program_start(const char *endpoint, const struct program_plan *plan, struct err *err);

/* Has its n-th run begun, or ended, within timeout_ms? */
bool program_begins(struct program *p, int n, int timeout_ms);
bool program_ends(struct program *p, int n, int timeout_ms);
int program_runs(struct program *p); /* that began */

/* Its i-th run, from 0. */
struct program_run {
    int64_t begun_us, ended_us;   /* monotonic */
    int64_t begun_ms, ended_ms;   /* since 1970 */
};
struct program_run program_run(struct program *p, int i);

/* What the call returned, with its words; 1: it has not returned within timeout_ms. */
int program_returned(struct program *p, int timeout_ms, struct sluice_error *ret);

struct sluice *program_sluice(const struct program *p);

/* End it, whatever it does, and free.  NULL does nothing. */
void program_free(struct program *p);

#endif
