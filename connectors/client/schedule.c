/* schedule.c - periods as people write them, and the loop that runs a connector by one. */
#include <stdio.h>
#include <string.h>

#include "duration.h"
#include "err.h"
#include "handle.h"
#include "text.h"

enum { SHOWN_MAX = 44 }; /* bytes of a refused period that an error repeats */

static const double mb = 1e6;

/* --- what is asked for --- */

static int
take_seconds(const char *shown, int64_t seconds, struct session_schedule *ret, struct sluice_error *err)
{
    if (seconds > WIRE_PERIOD_MS_MAX / 1000)
        return fail(err, SLUICE_EINVAL, "period \"%s\": it is longer than %lld days; write a shorter one, such as P1Y",
                    shown, (long long)(WIRE_PERIOD_MS_MAX / 1000 / 86400));
    ret->kind = seconds == 0 ? WIRE_S_TERMINATE : WIRE_S_PERIOD;
    ret->period_ms = (uint64_t)seconds * 1000;
    return 0;
}

/* OpenCTI's client counts whole seconds towards zero, and so takes PT0.4S for Run & Terminate and runs -PT5M
 * without a pause: what nobody means is refused here. */
static int
take_period(const char *period, struct session_schedule *ret, struct sluice_error *err)
{
    char shown[SHOWN_MAX];
    struct duration d;
    struct err why;

    if (duration_parse(period, &d, &why) != 0)
        return fail(err, SLUICE_EINVAL, "period: %s", why.text);
    text_show(period, strlen(period), shown, sizeof(shown));
    if (d.s < 0 || d.us < 0)
        return fail(err, SLUICE_EINVAL,
                    "period \"%s\": it is negative; write it without the sign, or 0 for one run and no more", shown);
    if (d.s == 0 && d.us > 0)
        return fail(err, SLUICE_EINVAL,
                    "period \"%s\": it is below a second; write PT1S or more, or 0 for one run and no more", shown);
    return take_seconds(shown, d.s, ret, err);
}

/* The fewest bytes that are not below the threshold, as OpenCTI compares: bytes / 10^6 < threshold runs. */
static int
take_threshold(double threshold_mb, struct session_schedule *ret, struct sluice_error *err)
{
    if (!(threshold_mb >= 0) || threshold_mb > (double)(WIRE_NUMBER_MAX / 2) / mb)
        return fail(err, SLUICE_EINVAL,
                    "threshold %g MB: write a number of MB (10^6 bytes) from 0, which holds always, to 4e12",
                    threshold_mb);
    ret->has_threshold = true;
    ret->threshold = (uint64_t)(threshold_mb * mb);
    /* Rounding can only have made it too small; beyond 2^52 a byte more is the same number. */
    while (ret->threshold < UINT64_C(1) << 52 && (double)ret->threshold / mb < threshold_mb)
        ret->threshold++;
    return 0;
}

static int
take_options(const struct sluice_schedule_options *opt, struct session_schedule *ret, struct sluice_error *err)
{
    if (opt == NULL)
        return 0;
    if (opt->run_and_terminate)
        ret->kind = WIRE_S_TERMINATE;
    ret->first = opt->check_first ? WIRE_FIRST_CHECK : WIRE_FIRST_FREE;
    ret->resume = opt->resume_schedule ? WIRE_RESUME_SCHEDULE : WIRE_RESUME_DRAIN;
    return opt->has_threshold ? take_threshold(opt->threshold_mb, ret, err) : 0;
}

int
read_schedule(const char *period, const struct sluice_schedule_options *opt, struct session_schedule *ret,
              struct sluice_error *err)
{
    int rc = 0;

    *ret = (struct session_schedule){.kind = WIRE_S_CONTINUOUS};
    if (period != NULL)
        rc = take_period(period, ret, err);
    return rc == 0 ? take_options(opt, ret, err) : rc;
}

/* To the millisecond: OpenCTI takes 0.4 SECONDS as it is, and so would any fraction be here, but for the least. */
static int
read_unit(double n, enum sluice_unit unit, struct session_schedule *ret, struct sluice_error *err)
{
    static const double seconds_in[] = {1, 60, 3600, 86400, 604800, 31536000};
    double ms;

    if (unit < SLUICE_SECONDS || unit > SLUICE_YEARS)
        return fail(err, SLUICE_EINVAL, "period: %d is not a unit; write one of SLUICE_SECONDS to SLUICE_YEARS",
                    (int)unit);
    ms = n * seconds_in[unit] * 1000;
    if (!(ms >= 0) || (ms > 0 && ms < 1000) || ms > (double)WIRE_PERIOD_MS_MAX)
        return fail(err, SLUICE_EINVAL,
                    "period of %g units, %g s: write at least one second and at most %lld days, or 0 for one run and "
                    "no more",
                    n, ms / 1000, (long long)(WIRE_PERIOD_MS_MAX / 1000 / 86400));
    *ret = (struct session_schedule){.kind = ms > 0 ? WIRE_S_PERIOD : WIRE_S_TERMINATE, .period_ms = (uint64_t)ms};
    return 0;
}

/* --- the loop --- */

static enum sluice_outcome
call(struct sluice *s, struct sluice_run *run, sluice_run_fn fn, void *ctx)
{
    enum sluice_outcome outcome = fn(s, run, ctx);
    const char *text = run->text;

    if (outcome < SLUICE_RUN_OK || outcome > SLUICE_RUN_STOP)
        outcome = SLUICE_RUN_FAILED;
    run->text[sizeof(run->text) - 1] = '\0';
    if (!text_is_utf8(text, strlen(text)))
        text = NULL;
    /* ENORUN: the callback has ended it, or the gateway; without memory for the words it ends without them. */
    if (sluice_done(s, outcome, text, NULL) == SLUICE_ENOMEM)
        sluice_done(s, outcome, NULL, NULL);
    return outcome;
}

static int
run_by(struct sluice *s, const struct session_schedule *schedule, sluice_run_fn fn, void *ctx, struct sluice_error *err)
{
    enum sluice_outcome outcome = SLUICE_RUN_OK;
    struct sluice_run run;
    int rc;

    ask_for_runs(s, schedule);
    do {
        rc = sluice_permit_next(s, &run, -1, err);
        if (rc != 0)
            break;
        outcome = call(s, &run, fn, ctx);
        rc = await_end(s, err);
    } while (rc == 0 && outcome != SLUICE_RUN_STOP && schedule->kind != WIRE_S_TERMINATE);
    ask_no_more(s);
    return rc;
}

static int
check_callback(sluice_run_fn run, struct sluice_error *err)
{
    return run != NULL ? 0 : fail(err, SLUICE_EINVAL, "schedule: there is no function to run");
}

int
sluice_schedule_iso(struct sluice *s, const char *period, sluice_run_fn run, void *ctx,
                    const struct sluice_schedule_options *opt, struct sluice_error *err)
{
    struct session_schedule schedule = {.kind = WIRE_S_PERIOD};
    int rc = check_callback(run, err);

    if (rc == 0 && period == NULL)
        rc = fail(err, SLUICE_EINVAL, "period: there is none; write PT5M for five minutes, P1D for a day");
    if (rc == 0)
        rc = read_schedule(period, opt, &schedule, err);
    return rc == 0 ? run_by(s, &schedule, run, ctx, err) : rc;
}

int
sluice_schedule_unit(struct sluice *s, double n, enum sluice_unit unit, sluice_run_fn run, void *ctx,
                     const struct sluice_schedule_options *opt, struct sluice_error *err)
{
    struct session_schedule schedule = {.kind = WIRE_S_PERIOD};
    int rc = check_callback(run, err);

    if (rc == 0)
        rc = read_unit(n, unit, &schedule, err);
    if (rc == 0)
        rc = take_options(opt, &schedule, err);
    return rc == 0 ? run_by(s, &schedule, run, ctx, err) : rc;
}
