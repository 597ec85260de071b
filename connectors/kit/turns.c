#include "turns.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "clock.h"
#include "setup.h"
#include "err.h"
#include "outlet.h"
#include "stop.h"

enum {
    SLICE_MS = 200,
    LOOK_US = 20000,     /* between two looks whether the end of a run is recorded */
    SAID_US = 2000000    /* a wait shorter than this is not worth a word */
};

/* What was said last about waiting, so that it is said once. */
struct waiting {
    int64_t since_us;
    bool    said_time;
    char    hold[96];
};

static void
say_why(struct outlet *o, struct waiting *w)
{
    struct sluice_info info;

    sluice_info(outlet_sluice(o), &info);
    if (!info.connected || clock_mono_us() - w->since_us < SAID_US)
        return;
    if (strcmp(info.run_hold, w->hold) != 0) {
        snprintf(w->hold, sizeof(w->hold), "%s", info.run_hold);
        if (w->hold[0] != '\0')
            outlet_say(o, "waiting to run: held by %s", w->hold);
    }
    if (info.run_hold[0] == '\0' && info.next_run_ms >= 0 && !w->said_time) {
        outlet_say(o, "waiting to run: the next run is due in %" PRId64 " s", info.next_run_ms / 1000);
        w->said_time = true;
    }
}

/* 0: a run; 1: a signal came; -1. */
static int
await_permit(struct outlet *o, struct sluice_run *run, struct sluice_error *why)
{
    struct waiting w = {.since_us = clock_mono_us()};

    while (stop_asked() == 0) {
        if (sluice_permit_next(outlet_sluice(o), run, SLICE_MS, why) == SLUICE_OK)
            return 0;
        if (why->code != SLUICE_EAGAIN)
            return -1;
        outlet_rest(o, 0);
        say_why(o, &w);
    }
    return 1;
}

/* Until the gateway has it on disk; a signal leaves it a grace, a second one does not. */
static void
await_record(struct outlet *o)
{
    int64_t end = INT64_MAX;
    struct sluice_info info;

    for (;;) {
        sluice_info(outlet_sluice(o), &info);
        if (!info.ending)
            return;
        if (stop_asked() > 0 && end == INT64_MAX)
            end = clock_mono_us() + (int64_t)OUTLET_GRACE_MS * 1000;
        if (stop_asked() > 1 || clock_mono_us() >= end) {
            outlet_say(o, "the gateway has not recorded the end of the run; it will count it as lost");
            return;
        }
        if (sluice_wait(outlet_sluice(o), 0, NULL) == SLUICE_EREPLACED)
            return; /* nobody will answer any more */
        outlet_rest(o, LOOK_US);
    }
}

static enum exits
turn(struct outlet *o, turn_fn fn, void *ctx)
{
    enum exits status = fn(ctx);
    enum sluice_outcome outcome = status == EXITS_OK ? SLUICE_RUN_OK : SLUICE_RUN_FAILED;

    if (status != EXITS_OK && stop_asked() > 0)
        outcome = SLUICE_RUN_STOP;
    /* ENORUN: it ended itself with the state, or the gateway has put another in its place. */
    sluice_done(outlet_sluice(o), outcome, NULL, NULL);
    await_record(o);
    return status;
}

enum exits
turns_run(struct outlet *o, const struct setup *setup, turn_fn fn, void *ctx, struct err *err)
{
    const char *period = setup->period == NULL ? "0" : setup->period;
    struct sluice_error why;
    struct sluice_run run;
    enum exits status = EXITS_OK;
    int rc;

    if (sluice_ready(outlet_sluice(o), period, &setup->schedule, &why) != SLUICE_OK) {
        outlet_fail(&why, "schedule", err);
        return exits_of(err);
    }
    while ((rc = await_permit(o, &run, &why)) == 0) {
        status = turn(o, fn, ctx);
        if (setup->schedule.run_and_terminate || stop_asked() > 0)
            return status;
    }
    if (rc > 0)
        return EXITS_OK;
    outlet_fail(&why, "schedule", err);
    return exits_of(err);
}
