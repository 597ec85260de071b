/* turns.h - run a connector by its schedule: wait for a permit, run, tell the end, and again.
 *
 * In slices, as everything in an outlet, so that a signal and the progress are seen to.  One thread. */
#ifndef KIT_TURNS_H
#define KIT_TURNS_H

#include "exits.h"

struct setup;
struct err;
struct outlet;

/* One run.  It may end itself with the state (sluice_done_with_state); what went wrong it has said already. */
typedef enum exits (*turn_fn)(void *ctx);

/* Run whenever the gateway permits it, by the schedule in setup, on a welcomed outlet.  Returns the status of the one
 * run of Run & Terminate, or EXITS_LATER where that was held; else EXITS_OK after a signal between two runs, or the
 * status of the run that it stopped.  A run that fails ends only itself: the next is due as after any other.  With
 * *err filled where it was no run that failed. */
enum exits turns_run(struct outlet *o, const struct setup *setup, turn_fn fn, void *ctx, struct err *err);

#endif
