/* client_schedule_test.c - schedules as a program meets them: periods, callbacks, permits; a scripted gateway. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_gateway.h"
#include "sluice/sluice.h"

#define BIT(f) (UINT64_C(1) << (f))

enum { MUCH = 1 << 30, PATIENT_MS = 60000 };

static const uint8_t A[WIRE_RUN_LEN] = "run A", B[WIRE_RUN_LEN] = "run B";

struct world {
    struct gateway g;
    struct sluice *s;
    struct sluice_error err;

    /* of the thread that runs the schedule */
    pthread_t thread;
    bool      threaded;
    const char *period;
    struct sluice_schedule_options opt;
    enum sluice_outcome outcome;
    int       stop_at; /* this call of the callback, from 1, says stop; 0: none */
    int       rc;
    struct sluice_error why;
    int     (*within)(struct world *w, struct sluice_run *run); /* what the first call does; NULL: nothing */
    atomic_int within_rc;
    atomic_int calls;
    atomic_bool back; /* the schedule returned */
};

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    gateway_start(&w->g);
    w->period = "PT1H";
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    if (w->threaded) { /* the test failed half-way */
        sluice_interrupt(w->s);
        pthread_join(w->thread, NULL);
    }
    sluice_close(&w->s, 0, NULL);
    gateway_stop(&w->g);
    free(w);
    return 0;
}

static void
opens(struct world *w)
{
    struct sluice_options opt = {.id = "c1", .endpoint = w->g.endpoint};

    w->s = sluice_open(&opt, &w->err);
    assert_non_null(w->s);
}

static void
is_in(struct world *w)
{
    opens(w);
    gateway_lets_in(&w->g, 1, MUCH);
    assert_int_equal(sluice_wait(w->s, PATIENT_MS, &w->err), 0);
}

static void
permits(struct world *w, const uint8_t *run)
{
    struct wire_msg m = {.type = WIRE_PERMIT, .has = BIT(WIRE_F_RUN) | BIT(WIRE_F_LEASE_MS), .lease_ms = 120000};

    memcpy(m.run, run, sizeof(m.run));
    gateway_says(&w->g, &m, NULL, 0);
}

static void
holds(struct world *w, uint32_t reasons, const uint8_t *run)
{
    struct wire_msg m = {.type = WIRE_HOLD, .has = BIT(WIRE_F_REASONS) | BIT(WIRE_F_NEXT_MS), .reasons = reasons,
                         .next_ms = 90000};

    if (run != NULL) {
        m.has |= BIT(WIRE_F_RUN);
        memcpy(m.run, run, sizeof(m.run));
    }
    gateway_says(&w->g, &m, NULL, 0);
}

static void
supersedes(struct world *w)
{
    gateway_says(&w->g, &(struct wire_msg){.type = WIRE_STOP, .has = BIT(WIRE_F_REASON), .reason = WIRE_R_SUPERSEDED},
                 NULL, 0);
}

static void
saves(struct world *w, uint64_t version)
{
    gateway_says(&w->g, &(struct wire_msg){.type = WIRE_STATE, .has = BIT(WIRE_F_OP) | BIT(WIRE_F_VERSION),
                                           .op = WIRE_OP_SAVED, .version = version}, NULL, 0);
}

static const struct wire_msg *
hears_done(struct world *w, const uint8_t *run, enum wire_outcome outcome)
{
    const struct wire_msg *m = gateway_hears(&w->g, WIRE_DONE);

    assert_memory_equal(m->run, run, WIRE_RUN_LEN);
    assert_int_equal(m->outcome, outcome);
    return m;
}

static enum sluice_outcome
callback(struct sluice *s, struct sluice_run *run, void *ctx)
{
    struct world *w = ctx;
    int calls;

    assert_ptr_equal(s, w->s);
    calls = atomic_fetch_add(&w->calls, 1) + 1;
    if (w->within != NULL && calls == 1)
        atomic_store(&w->within_rc, w->within(w, run));
    return calls == w->stop_at ? SLUICE_RUN_STOP : w->outcome;
}

static void *
runs(void *arg)
{
    struct world *w = arg;

    w->rc = sluice_schedule_iso(w->s, w->period, callback, w, &w->opt, &w->why);
    atomic_store(&w->back, true);
    return NULL;
}

static void
schedules(struct world *w)
{
    is_in(w);
    assert_int_equal(pthread_create(&w->thread, NULL, runs, w), 0);
    w->threaded = true;
    gateway_hears(&w->g, WIRE_READY);
}

static void
returned(struct world *w, int rc, int calls)
{
    pthread_join(w->thread, NULL);
    w->threaded = false;
    if (w->rc != rc)
        fail_msg("it returned %d: %s", w->rc, w->why.text);
    assert_int_equal(atomic_load(&w->calls), calls);
}

/* --- periods: each row of the table of what OpenCTI's clients accept --- */

struct row {
    const char *text;
    int64_t     s;   /* 0: one run and no more */
    const char *why; /* not NULL: refused, with these words */
};

static void
each_is_read_so(struct world *w, const struct row *rows)
{
    is_in(w);
    for (; rows->text != NULL; rows++) {
        int rc = sluice_ready(w->s, rows->text, NULL, &w->err);
        const struct wire_msg *m;

        if (rows->why != NULL) {
            if (rc != SLUICE_EINVAL || strstr(w->err.text, rows->why) == NULL || strstr(w->err.text, "write") == NULL)
                fail_msg("\"%s\": %d %s", rows->text, rc, w->err.text);
            continue;
        }
        if (rc != 0)
            fail_msg("\"%s\": %s", rows->text, w->err.text);
        m = gateway_hears(&w->g, WIRE_READY);
        assert_int_equal(m->schedule, rows->s == 0 ? WIRE_S_TERMINATE : WIRE_S_PERIOD);
        if (rows->s > 0 && m->period_ms != (uint64_t)rows->s * 1000)
            fail_msg("\"%s\" is %" PRIu64 " ms", rows->text, m->period_ms);
    }
}

static void
zero_in_every_spelling_is_run_and_terminate(void **state)
{
    each_is_read_so(*state, (const struct row[]){
        {"0", 0, NULL}, {"P0D", 0, NULL}, {"PT0S", 0, NULL}, {"PT0H", 0, NULL}, {"P0Y", 0, NULL}, {"P0W", 0, NULL},
        {"-P0D", 0, NULL}, {"+PT0S", 0, NULL}, {"P0Y0M0DT0H0M0S", 0, NULL}, {"PT0H0M0.000S", 0, NULL},
        {"00:00:00", 0, NULL}, {"0 days", 0, NULL},
        {"00", 0, "write PT00S"}, {"0.0", 0, "write PT0.0S"}, {"+0", 0, "write PT0S"}, {"-0", 0, "write -PT0S"}, {0}});
}

static void
below_a_second_is_refused_where_opencti_runs_and_terminates_by_accident(void **state)
{
    each_is_read_so(*state, (const struct row[]){
        {"PT0.4S", 0, "below a second; write PT1S"}, {"PT0.9S", 0, "below a second"}, {"-PT0.5S", 0, "negative"},
        {"00:00:00.5", 0, "below a second"}, {0}});
}

static void
the_rest_of_a_second_does_not_count(void **state)
{
    each_is_read_so(*state, (const struct row[]){{"PT1.9S", 1, NULL}, {"PT59.999S", 59, NULL}, {0}});
}

static void
a_negative_period_is_refused_where_opencti_runs_without_a_pause_by_accident(void **state)
{
    each_is_read_so(*state, (const struct row[]){
        {"-PT5M", 0, "negative; write it without the sign"}, {"-1:00:00", 0, "negative"}, {"-1 day", 0, "negative"},
        {"P-1D", 0, "sign"}, {"PT+5M", 0, "sign"}, {"P1DT-1H", 0, "sign"}, {"+P1D", 86400, NULL}, {0}});
}

static void
a_number_without_a_unit_is_refused_with_its_spelling_in_seconds(void **state)
{
    each_is_read_so(*state, (const struct row[]){
        {"60", 0, "write PT60S"}, {"3600", 0, "write PT3600S"}, {"-5", 0, "write -PT5S"}, {"1e3", 0, "write PT5M"},
        {"3600.7", 0, "write PT3600.7S"}, {0}});
}

static void
years_months_and_weeks_have_fixed_lengths_in_any_order(void **state)
{
    each_is_read_so(*state, (const struct row[]){
        {"P1Y", 31536000, NULL}, {"P1M", 2592000, NULL}, {"P12M", 31104000, NULL}, {"P1Y1M1W1D", 34819200, NULL},
        {"P18Y9W4DT11H9M8S", 573476948, NULL}, {"P1D2W", 1296000, NULL}, {"PT1M1H", 3660, NULL},
        {"P1Y1Y", 63072000, NULL}, {"PT1H1H", 7200, NULL}, {"P1WT1H", 608400, NULL}, {0}});
}

static void
fractions_and_large_units_are_read_as_opencti_does(void **state)
{
    each_is_read_so(*state, (const struct row[]){
        {"P1.5D", 129600, NULL}, {"P1,5D", 129600, NULL}, {"P0.1Y", 3153600, NULL}, {"PT1.5H", 5400, NULL},
        {"PT5.S", 5, NULL}, {"P1.5DT1.5H", 0, "only the last number"}, {"PT.5S", 0, "digit is missing"},
        {"PT90M", 5400, NULL}, {"PT24H", 86400, NULL}, {"P1DT24H", 172800, NULL}, {"PT100000H", 360000000, NULL}, {0}});
}

static void
case_spaces_and_halves_are_refused(void **state)
{
    each_is_read_so(*state, (const struct row[]){
        {"p1d", 0, "write P1D"}, {"P1d", 0, "write P1D"}, {"pt5m", 0, "write PT5M"}, {" PT5M", 0, "write PT5M"},
        {"PT5M ", 0, "write PT5M"}, {"P", 0, "missing"}, {"PT", 0, "missing"}, {"", 0, "empty"},
        {"P1DT", 86400, NULL}, {"PT5", 0, "units after T"}, {"P1", 0, "units before T"}, {"P1H", 0, "units before T"},
        {"PT1D", 0, "units after T"}, {0}});
}

static void
clock_and_day_forms_are_read_as_opencti_does(void **state)
{
    each_is_read_so(*state, (const struct row[]){
        {"05:00:00", 18000, NULL}, {"5:00:00", 18000, NULL}, {"05:00", 18000, NULL}, {"25:00:00", 90000, NULL},
        {"100:00", 360000, NULL}, {"01:30:15.5", 5415, NULL}, {"01:60:00", 0, "59"},
        {"1 day", 86400, NULL}, {"2 days", 172800, NULL}, {"1d", 86400, NULL}, {"1D", 86400, NULL},
        {"1 DAY", 86400, NULL}, {"1 d", 86400, NULL}, {"1 day, 02:00:00", 93600, NULL}, {"1d,02:00:00", 93600, NULL},
        {"1 days 02:00:00", 93600, NULL}, {"1W", 0, "P1W"}, {"1 week", 0, "P1W"}, {"1 H", 0, "PT1H"}, {0}});
}

static void
a_period_has_limits(void **state)
{
    each_is_read_so(*state, (const struct row[]){
        {"PT4294967295S", 4294967295, NULL}, {"PT9999999999S", 0, "large"}, {"P999999999D", 0, "longer than 11574074"},
        {"nan", 0, ""}, {"inf", 0, ""}, {0}});
}

struct unit_call {
    struct sluice   *s;
    double           n;
    enum sluice_unit unit;
    int              rc;
};

static void *
runs_by_unit(void *arg)
{
    struct unit_call *c = arg;

    c->rc = sluice_schedule_unit(c->s, c->n, c->unit, callback, NULL, NULL, NULL);
    return NULL;
}

static void
units_are_as_long_as_opencti_has_them(void **state)
{
    static const struct {
        double           n;
        enum sluice_unit unit;
        uint64_t         ms;
    } rows[] = {
        {1, SLUICE_SECONDS, 1000}, {1, SLUICE_MINUTES, 60000},
        {1, SLUICE_HOURS, 3600000}, {1, SLUICE_DAYS, 86400000},
        {1, SLUICE_WEEKS, 604800000}, {1, SLUICE_YEARS, 31536000000},
        {1.5, SLUICE_HOURS, 5400000}, {0, SLUICE_DAYS, 0}};
    struct world *w = *state;

    is_in(w);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct unit_call call = {w->s, rows[i].n, rows[i].unit, 0};
        const struct wire_msg *m;
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, runs_by_unit, &call), 0);
        m = gateway_hears(&w->g, WIRE_READY);
        assert_int_equal(m->schedule, rows[i].ms > 0 ? WIRE_S_PERIOD : WIRE_S_TERMINATE);
        assert_int_equal(WIRE_HAS(m, WIRE_F_PERIOD_MS) ? m->period_ms : 0, rows[i].ms);
        sluice_interrupt(w->s);
        pthread_join(thread, NULL);
        assert_int_equal(call.rc, SLUICE_EINTR);
    }
}

static void
units_that_cannot_be_are_refused(void **state)
{
    static const double ns[] = {-1, 0.4, NAN, INFINITY, -INFINITY, 1e300};
    struct world *w = *state;

    is_in(w);
    for (size_t i = 0; i < sizeof(ns) / sizeof(ns[0]); i++) {
        assert_int_equal(sluice_schedule_unit(w->s, ns[i], SLUICE_SECONDS, callback, w, NULL, &w->err), SLUICE_EINVAL);
        assert_non_null(strstr(w->err.text, "at least one second"));
    }
    assert_int_equal(sluice_schedule_unit(w->s, 1, (enum sluice_unit)9, callback, w, NULL, &w->err), SLUICE_EINVAL);
    assert_int_equal(sluice_schedule_iso(w->s, NULL, callback, w, NULL, &w->err), SLUICE_EINVAL);
    assert_int_equal(sluice_schedule_iso(w->s, "PT1H", NULL, w, NULL, &w->err), SLUICE_EINVAL);
    assert_int_equal(sluice_schedule_iso(w->s, "-PT1H", callback, w, NULL, &w->err), SLUICE_EINVAL);
    assert_int_equal(atomic_load(&w->calls), 0);
}

/* OpenCTI: bytes / 10^6 < threshold runs.  What the wire says is the first number of bytes that holds. */
static void
a_threshold_in_mb_holds_at_the_very_byte_where_opencti_holds(void **state)
{
    static const double mbs[] = {500, 0, 0.5, 1.1, 0.3, 1e-7, 1e3, 33.333333, 2.675, 1e9};
    struct world *w = *state;

    is_in(w);
    for (size_t i = 0; i < sizeof(mbs) / sizeof(mbs[0]); i++) {
        struct sluice_schedule_options opt = {.has_threshold = 1, .threshold_mb = mbs[i]};
        uint64_t at;

        assert_int_equal(sluice_ready(w->s, "PT1H", &opt, &w->err), 0);
        at = gateway_hears(&w->g, WIRE_READY)->threshold;
        assert_true(WIRE_HAS(&w->g.msg, WIRE_F_THRESHOLD));
        assert_true((double)at / 1e6 >= mbs[i]);
        assert_true(at == 0 || (double)(at - 1) / 1e6 < mbs[i]);
    }
    assert_int_equal(sluice_ready(w->s, "PT1H", NULL, &w->err), 0);
    assert_false(WIRE_HAS(gateway_hears(&w->g, WIRE_READY), WIRE_F_THRESHOLD));
}

static void
a_threshold_that_is_no_number_or_negative_is_refused(void **state)
{
    static const double mbs[] = {-1, -0.001, NAN, INFINITY, -INFINITY};
    struct world *w = *state;

    opens(w);
    for (size_t i = 0; i < sizeof(mbs) / sizeof(mbs[0]); i++) {
        struct sluice_schedule_options opt = {.has_threshold = 1, .threshold_mb = mbs[i]};

        assert_int_equal(sluice_ready(w->s, "PT1H", &opt, &w->err), SLUICE_EINVAL);
        assert_non_null(strstr(w->err.text, "write a number of MB"));
    }
}

static void
options_go_out_with_the_schedule(void **state)
{
    struct sluice_schedule_options opt = {.check_first = 1, .resume_schedule = 1};
    struct world *w = *state;
    const struct wire_msg *m;

    is_in(w);
    assert_int_equal(sluice_ready(w->s, "PT1H", &opt, NULL), 0);
    m = gateway_hears(&w->g, WIRE_READY);
    assert_int_equal(m->first_run, WIRE_FIRST_CHECK);
    assert_int_equal(m->resume, WIRE_RESUME_SCHEDULE);
    opt = (struct sluice_schedule_options){.run_and_terminate = 1};
    assert_int_equal(sluice_ready(w->s, "PT1H", &opt, NULL), 0);
    assert_int_equal(gateway_hears(&w->g, WIRE_READY)->schedule, WIRE_S_TERMINATE);
    assert_int_equal(sluice_ready(w->s, NULL, NULL, NULL), 0);
    assert_int_equal(gateway_hears(&w->g, WIRE_READY)->schedule, WIRE_S_CONTINUOUS);
}

/* --- the callback --- */

static void
the_callback_runs_at_each_permit_until_it_says_stop(void **state)
{
    struct world *w = *state;

    w->stop_at = 2;
    schedules(w);
    holds(w, WIRE_HOLD_QUEUE, NULL);
    assert_int_equal(atomic_load(&w->calls), 0);
    permits(w, A);
    hears_done(w, A, WIRE_OUT_OK);
    holds(w, 0, A);
    gateway_hears(&w->g, WIRE_READY);
    permits(w, B);
    hears_done(w, B, WIRE_OUT_STOP);
    holds(w, 0, B);
    returned(w, 0, 2);
    assert_int_equal(sluice_close(&w->s, PATIENT_MS, NULL), 0);
    gateway_hears(&w->g, WIRE_BYE); /* and no ready before it */
}

static int
fails_with_words(struct world *w, struct sluice_run *run)
{
    assert_memory_equal(run->id, A, sizeof(run->id));
    assert_true(sluice_run_alive(w->s));
    snprintf(run->text, sizeof(run->text), "the feed is away");
    return 0;
}

static void
the_words_of_the_callback_go_with_the_end(void **state)
{
    struct world *w = *state;
    const struct wire_msg *m;

    w->within = fails_with_words;
    w->outcome = SLUICE_RUN_FAILED;
    w->period = "0";
    schedules(w);
    permits(w, A);
    m = hears_done(w, A, WIRE_OUT_FAILED);
    assert_int_equal(m->text.len, 16);
    assert_memory_equal(m->text.at, "the feed is away", 16);
    holds(w, 0, A);
    returned(w, 0, 1);
}

static int
pushes_one(struct world *w, struct sluice_run *run)
{
    (void)run;
    return sluice_push(w->s, "x", 1, NULL, -1, NULL);
}

static void
a_run_ends_only_when_what_it_pushed_is_answered(void **state)
{
    struct world *w = *state;

    w->within = pushes_one;
    w->period = "0";
    schedules(w);
    permits(w, A);
    gateway_hears(&w->g, WIRE_BUNDLE);
    assert_false(gateway_hears_within(&w->g, 50));
    gateway_answers(&w->g, 1, WIRE_ACK);
    hears_done(w, A, WIRE_OUT_OK);
    holds(w, 0, A);
    returned(w, 0, 1);
}

static int
sleeps(struct world *w, struct sluice_run *run)
{
    (void)w, (void)run;
    usleep(600000);
    return 0;
}

static void
a_callback_that_sleeps_longer_than_three_pings_is_kept_alive_by_them(void **state)
{
    struct world *w = *state;
    int pings = 0;

    w->g.ping_ms = 100;
    w->within = sleeps;
    w->period = "0"; /* also in Run & Terminate, where OpenCTI does not ping */
    schedules(w);
    permits(w, A);
    while (gateway_hears_within(&w->g, PATIENT_MS) && w->g.msg.type == WIRE_PING) {
        struct wire_msg pong = {.type = WIRE_PONG, .has = BIT(WIRE_F_CREDIT) | BIT(WIRE_F_EXPECT), .credit = MUCH,
                                .expect = 1};

        if (WIRE_HAS(&w->g.msg, WIRE_F_RUN)) {
            assert_memory_equal(w->g.msg.run, A, WIRE_RUN_LEN);
            pings++;
        }
        gateway_says(&w->g, &pong, NULL, 0);
    }
    assert_int_equal(w->g.msg.type, WIRE_DONE);
    assert_true(pings >= 4);
    holds(w, 0, A);
    returned(w, 0, 1);
}

/* --- Run & Terminate --- */

static void
run_and_terminate_runs_once_and_returns_when_the_end_is_recorded(void **state)
{
    struct world *w = *state;

    w->opt.run_and_terminate = 1;
    schedules(w);
    permits(w, A);
    hears_done(w, A, WIRE_OUT_OK);
    assert_false(gateway_hears_within(&w->g, 50));
    assert_false(atomic_load(&w->back));
    holds(w, 0, A);
    returned(w, 0, 1);
    assert_int_equal(sluice_close(&w->s, PATIENT_MS, NULL), 0);
    gateway_hears(&w->g, WIRE_BYE); /* it asks for no other */
}

static void
run_and_terminate_that_is_held_does_not_run_and_says_by_what(void **state)
{
    struct world *w = *state;

    w->period = "P0D";
    schedules(w);
    holds(w, WIRE_HOLD_QUEUE | WIRE_HOLD_BROKER_ALARM, NULL);
    returned(w, SLUICE_EHELD, 0);
    assert_non_null(strstr(w->why.text, "queue,broker_alarm"));
    assert_int_equal(SLUICE_EXIT_HELD, 75);
    assert_int_equal(sluice_close(&w->s, PATIENT_MS, NULL), 0);
    gateway_hears(&w->g, WIRE_BYE);
}

/* --- losing and being told --- */

static void
done_is_repeated_after_a_lost_connection_until_its_hold_came(void **state)
{
    struct world *w = *state;

    w->period = "0";
    schedules(w);
    permits(w, A);
    hears_done(w, A, WIRE_OUT_OK);
    gateway_die(&w->g);
    gateway_revive(&w->g);
    gateway_lets_in(&w->g, 1, MUCH);
    assert_memory_equal(w->g.msg.run, A, WIRE_RUN_LEN); /* of the hello */
    hears_done(w, A, WIRE_OUT_OK);
    holds(w, 0, A);
    returned(w, 0, 1);
}

static int
waits_until_dead(struct world *w, struct sluice_run *run)
{
    (void)run;
    for (int i = 0; i < 1000 && sluice_run_alive(w->s); i++)
        usleep(10000);
    return sluice_run_alive(w->s);
}

static void
a_superseded_callback_is_told_ends_without_done_and_the_other_run_follows(void **state)
{
    struct world *w = *state;

    w->within = waits_until_dead;
    w->stop_at = 2;
    schedules(w);
    permits(w, A);
    while (atomic_load(&w->calls) == 0)
        usleep(1000); /* else it is superseded before it begins, and passed over */
    supersedes(w);
    gateway_hears(&w->g, WIRE_READY);
    assert_int_equal(w->within_rc, 0);
    permits(w, B);
    hears_done(w, B, WIRE_OUT_STOP);
    holds(w, 0, B);
    returned(w, 0, 2);
}

static void
a_schedule_that_the_gateway_refuses_comes_back_with_its_words(void **state)
{
    struct world *w = *state;

    schedules(w);
    gateway_errs(&w->g, WIRE_R_SCHEDULE, false);
    returned(w, SLUICE_EINVAL, 0);
    assert_non_null(strstr(w->why.text, "add it to the configuration"));
}

static void
a_replaced_program_ends_its_schedule(void **state)
{
    struct wire_msg stop = {.type = WIRE_STOP, .has = BIT(WIRE_F_REASON), .reason = WIRE_R_REPLACED};
    struct world *w = *state;

    schedules(w);
    gateway_says(&w->g, &stop, NULL, 0);
    returned(w, SLUICE_EREPLACED, 0);
}

static void
the_callback_of_a_program_that_is_replaced_or_refused_is_told(void **state)
{
    struct wire_msg stop = {.type = WIRE_STOP, .has = BIT(WIRE_F_REASON), .reason = WIRE_R_REPLACED};
    struct world *w = *state;

    w->within = waits_until_dead;
    schedules(w);
    permits(w, A);
    while (atomic_load(&w->calls) == 0)
        usleep(1000);
    gateway_says(&w->g, &stop, NULL, 0);
    returned(w, SLUICE_EREPLACED, 1);
    assert_int_equal(w->within_rc, 0);
    sluice_close(&w->s, 0, NULL);
    atomic_store(&w->calls, 0);
    schedules(w);
    permits(w, B);
    while (atomic_load(&w->calls) == 0)
        usleep(1000);
    gateway_errs(&w->g, WIRE_R_UNKNOWN_ID, true);
    returned(w, SLUICE_EREFUSED, 1);
    assert_int_equal(w->within_rc, 0);
}

/* --- interrupt --- */

static struct sluice *handled; /* for the signal handler */

static void
on_signal(int number)
{
    (void)number;
    sluice_interrupt(handled);
}

static void
a_signal_handler_ends_the_waiting(void **state)
{
    struct sigaction act = {.sa_handler = on_signal}, before;
    struct world *w = *state;

    schedules(w);
    handled = w->s;
    sigaction(SIGUSR1, &act, &before);
    pthread_kill(w->thread, SIGUSR1);
    returned(w, SLUICE_EINTR, 0);
    sigaction(SIGUSR1, &before, NULL);
}

static void
another_thread_ends_the_waiting_and_the_handle_is_still_good(void **state)
{
    struct sluice_run run;
    struct world *w = *state;

    schedules(w);
    holds(w, WIRE_HOLD_QUEUE, NULL);
    sluice_interrupt(w->s);
    returned(w, SLUICE_EINTR, 0);
    assert_int_equal(sluice_ready(w->s, "PT5M", NULL, NULL), 0);
    gateway_hears(&w->g, WIRE_READY);
    permits(w, A);
    assert_int_equal(sluice_permit_next(w->s, &run, PATIENT_MS, &w->err), 0);
    assert_int_equal(sluice_done(w->s, SLUICE_RUN_OK, NULL, NULL), 0);
    hears_done(w, A, WIRE_OUT_OK);
}

static int
interrupts(struct world *w, struct sluice_run *run)
{
    (void)run;
    sluice_interrupt(w->s);
    return 0;
}

static void
an_interrupt_in_a_run_lets_it_end_and_waits_for_its_record(void **state)
{
    struct world *w = *state;

    w->within = interrupts;
    schedules(w);
    permits(w, A);
    hears_done(w, A, WIRE_OUT_OK);
    assert_false(gateway_hears_within(&w->g, 50));
    assert_false(atomic_load(&w->back));
    holds(w, 0, A);
    returned(w, SLUICE_EINTR, 1);
}

static void
an_interrupt_before_the_call_ends_it_at_once(void **state)
{
    struct world *w = *state;

    is_in(w);
    sluice_interrupt(w->s);
    assert_int_equal(sluice_schedule_iso(w->s, "PT1H", callback, w, NULL, &w->err), SLUICE_EINTR);
}

/* --- without a callback --- */

static void
a_program_with_a_loop_takes_permits_by_itself(void **state)
{
    struct sluice_info info;
    struct sluice_run run;
    struct world *w = *state;

    is_in(w);
    assert_int_equal(sluice_permit_next(w->s, &run, 0, &w->err), SLUICE_EINVAL);
    assert_non_null(strstr(w->err.text, "sluice_ready"));
    assert_int_equal(sluice_done(w->s, SLUICE_RUN_OK, NULL, &w->err), SLUICE_ENORUN);
    assert_int_equal(sluice_ready(w->s, "PT1H", NULL, NULL), 0);
    gateway_hears(&w->g, WIRE_READY);
    holds(w, WIRE_HOLD_QUEUE, NULL);
    do {
        assert_int_equal(sluice_permit_next(w->s, &run, 10, &w->err), SLUICE_EAGAIN);
    } while (strstr(w->err.text, "held by queue") == NULL);
    sluice_info(w->s, &info);
    assert_string_equal(info.run_hold, "queue");
    assert_in_range(info.next_run_ms, 60000, 90000);
    permits(w, A);
    assert_int_equal(sluice_permit_next(w->s, &run, PATIENT_MS, &w->err), 0);
    assert_memory_equal(run.id, A, sizeof(run.id));
    assert_true(sluice_run_alive(w->s));
    assert_int_equal(sluice_permit_next(w->s, &run, 0, &w->err), SLUICE_EINVAL);
    sluice_info(w->s, &info);
    assert_true(info.running && !info.ending);
    assert_int_equal(sluice_done(w->s, SLUICE_RUN_OK, "all of it", NULL), 0);
    assert_false(sluice_run_alive(w->s));
    sluice_info(w->s, &info);
    assert_true(!info.running && info.ending);
    hears_done(w, A, WIRE_OUT_OK);
    assert_int_equal(sluice_close(&w->s, 0, &info), SLUICE_EAGAIN);
    assert_true(info.ending);
}

static void
a_run_that_is_superseded_before_it_is_taken_is_passed_over(void **state)
{
    struct sluice_info info;
    struct sluice_run run;
    struct world *w = *state;

    is_in(w);
    assert_int_equal(sluice_ready(w->s, "PT1H", NULL, NULL), 0);
    gateway_hears(&w->g, WIRE_READY);
    permits(w, A);
    supersedes(w);
    gateway_credits(&w->g, 1);
    gateway_says(&w->g, &(struct wire_msg){.type = WIRE_HOLD, .has = BIT(WIRE_F_REASONS), .reasons = WIRE_HOLD_SHARE},
                 NULL, 0);
    do { /* by the hold we know that all before it was seen */
        usleep(1000);
        sluice_info(w->s, &info);
    } while (strcmp(info.hold, "share") != 0);
    assert_int_equal(sluice_permit_next(w->s, &run, 50, &w->err), SLUICE_EAGAIN);
    gateway_hears(&w->g, WIRE_READY);
    permits(w, B);
    assert_int_equal(sluice_permit_next(w->s, &run, PATIENT_MS, &w->err), 0);
    assert_memory_equal(run.id, B, sizeof(run.id));
}

static void
an_answer_to_another_schedule_is_none_to_this_one(void **state)
{
    struct sluice_run run;
    struct world *w = *state;

    is_in(w);
    assert_int_equal(sluice_ready(w->s, "PT1H", NULL, NULL), 0);
    gateway_hears(&w->g, WIRE_READY);
    holds(w, WIRE_HOLD_QUEUE, NULL);
    do {
        assert_int_equal(sluice_permit_next(w->s, &run, 10, &w->err), SLUICE_EAGAIN);
    } while (strstr(w->err.text, "held by queue") == NULL);
    assert_int_equal(sluice_ready(w->s, "0", NULL, NULL), 0);
    assert_int_equal(sluice_permit_next(w->s, &run, 50, &w->err), SLUICE_EAGAIN); /* and not EHELD */
    gateway_hears(&w->g, WIRE_READY);
    holds(w, WIRE_HOLD_QUEUE, NULL);
    assert_int_equal(sluice_permit_next(w->s, &run, PATIENT_MS, &w->err), SLUICE_EHELD);
}

static void
close_waits_for_the_end_to_be_recorded(void **state)
{
    struct sluice_run run;
    struct world *w = *state;

    is_in(w);
    assert_int_equal(sluice_ready(w->s, "PT1H", NULL, NULL), 0);
    gateway_hears(&w->g, WIRE_READY);
    permits(w, A);
    assert_int_equal(sluice_permit_next(w->s, &run, PATIENT_MS, &w->err), 0);
    assert_int_equal(sluice_done(w->s, SLUICE_RUN_STOP, NULL, NULL), 0);
    hears_done(w, A, WIRE_OUT_STOP);
    holds(w, 0, A);
    assert_int_equal(sluice_close(&w->s, PATIENT_MS, NULL), 0);
    gateway_hears(&w->g, WIRE_BYE);
}

static void
ends_that_cannot_be_are_refused_and_the_run_goes_on(void **state)
{
    struct sluice_run run;
    struct world *w = *state;

    is_in(w);
    assert_int_equal(sluice_ready(w->s, "PT1H", NULL, NULL), 0);
    gateway_hears(&w->g, WIRE_READY);
    permits(w, A);
    assert_int_equal(sluice_permit_next(w->s, &run, PATIENT_MS, &w->err), 0);
    assert_int_equal(sluice_done(w->s, (enum sluice_outcome)7, NULL, &w->err), SLUICE_EINVAL);
    assert_int_equal(sluice_done(w->s, SLUICE_RUN_OK, "\xff", &w->err), SLUICE_EINVAL);
    assert_int_equal(sluice_done_with_state(w->s, SLUICE_RUN_OK, NULL, 3, 0, NULL, 0, &w->err), SLUICE_EINVAL);
    assert_true(sluice_run_alive(w->s));
}

/* --- the state --- */

static int
ends_with_state(struct world *w, struct sluice_run *run)
{
    uint64_t version = 0;
    int rc = pushes_one(w, run);

    if (rc == 0)
        rc = sluice_done_with_state(w->s, SLUICE_RUN_OK, "cursor", 6, 3, &version, PATIENT_MS, &w->err);
    return rc != 0 ? rc : (int)version;
}

static void
state_and_end_are_one_and_no_done_follows(void **state)
{
    struct world *w = *state;
    const struct wire_msg *m;

    w->within = ends_with_state;
    schedules(w);
    permits(w, A);
    gateway_hears(&w->g, WIRE_BUNDLE);
    gateway_answers(&w->g, 1, WIRE_ACK);
    m = gateway_hears(&w->g, WIRE_STATE);
    assert_int_equal(m->after, 1);
    assert_memory_equal(m->run, A, WIRE_RUN_LEN);
    assert_memory_equal(w->g.body, "cursor", 6);
    saves(w, 4);
    holds(w, 0, A);
    gateway_hears(&w->g, WIRE_READY);
    sluice_interrupt(w->s);
    returned(w, SLUICE_EINTR, 1);
    assert_int_equal(w->within_rc, 4);
}

static void
a_refused_bundle_keeps_state_and_end_back(void **state)
{
    struct world *w = *state;

    w->within = ends_with_state;
    w->outcome = SLUICE_RUN_FAILED;
    w->period = "0";
    schedules(w);
    permits(w, A);
    gateway_hears(&w->g, WIRE_BUNDLE);
    gateway_answers(&w->g, 1, WIRE_NACK);
    hears_done(w, A, WIRE_OUT_FAILED);
    holds(w, 0, A);
    returned(w, 0, 1);
    assert_int_equal(w->within_rc, SLUICE_ENACK);
}

static void
the_state_of_a_superseded_run_is_not_set(void **state)
{
    struct world *w = *state;

    w->within = ends_with_state;
    schedules(w);
    permits(w, A);
    gateway_hears(&w->g, WIRE_BUNDLE);
    gateway_answers(&w->g, 1, WIRE_ACK);
    gateway_hears(&w->g, WIRE_STATE);
    gateway_errs(&w->g, WIRE_R_NO_RUN, false);
    gateway_hears(&w->g, WIRE_READY); /* no done between */
    sluice_interrupt(w->s);
    returned(w, SLUICE_EINTR, 1);
    assert_int_equal(w->within_rc, SLUICE_ENORUN);
}

static void
a_commit_without_a_run_waits_for_what_was_pushed(void **state)
{
    struct world *w = *state;
    uint64_t version = 0;

    is_in(w);
    assert_int_equal(sluice_push(w->s, "x", 1, NULL, -1, NULL), 0);
    gateway_hears(&w->g, WIRE_BUNDLE);
    assert_int_equal(sluice_state_commit(w->s, "c", 1, 0, &version, 50, &w->err), SLUICE_EAGAIN);
    assert_false(gateway_hears_within(&w->g, 50)); /* it was given up, and never sent */
    gateway_answers(&w->g, 1, WIRE_NACK);
    assert_int_equal(sluice_state_commit(w->s, "c", 1, 0, &version, PATIENT_MS, &w->err), SLUICE_ENACK);
    assert_non_null(strstr(w->err.text, "commit again"));
    assert_int_equal(version, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(zero_in_every_spelling_is_run_and_terminate),
        T(below_a_second_is_refused_where_opencti_runs_and_terminates_by_accident),
        T(the_rest_of_a_second_does_not_count),
        T(a_negative_period_is_refused_where_opencti_runs_without_a_pause_by_accident),
        T(a_number_without_a_unit_is_refused_with_its_spelling_in_seconds),
        T(years_months_and_weeks_have_fixed_lengths_in_any_order),
        T(fractions_and_large_units_are_read_as_opencti_does),
        T(case_spaces_and_halves_are_refused),
        T(clock_and_day_forms_are_read_as_opencti_does),
        T(a_period_has_limits),
        T(units_are_as_long_as_opencti_has_them),
        T(units_that_cannot_be_are_refused),
        T(a_threshold_in_mb_holds_at_the_very_byte_where_opencti_holds),
        T(a_threshold_that_is_no_number_or_negative_is_refused),
        T(options_go_out_with_the_schedule),
        T(the_callback_runs_at_each_permit_until_it_says_stop),
        T(the_words_of_the_callback_go_with_the_end),
        T(a_run_ends_only_when_what_it_pushed_is_answered),
        T(a_callback_that_sleeps_longer_than_three_pings_is_kept_alive_by_them),
        T(run_and_terminate_runs_once_and_returns_when_the_end_is_recorded),
        T(run_and_terminate_that_is_held_does_not_run_and_says_by_what),
        T(done_is_repeated_after_a_lost_connection_until_its_hold_came),
        T(a_superseded_callback_is_told_ends_without_done_and_the_other_run_follows),
        T(a_schedule_that_the_gateway_refuses_comes_back_with_its_words),
        T(a_replaced_program_ends_its_schedule),
        T(the_callback_of_a_program_that_is_replaced_or_refused_is_told),
        T(a_signal_handler_ends_the_waiting),
        T(another_thread_ends_the_waiting_and_the_handle_is_still_good),
        T(an_interrupt_in_a_run_lets_it_end_and_waits_for_its_record),
        T(an_interrupt_before_the_call_ends_it_at_once),
        T(a_program_with_a_loop_takes_permits_by_itself),
        T(a_run_that_is_superseded_before_it_is_taken_is_passed_over),
        T(an_answer_to_another_schedule_is_none_to_this_one),
        T(close_waits_for_the_end_to_be_recorded),
        T(ends_that_cannot_be_are_refused_and_the_run_goes_on),
        T(state_and_end_are_one_and_no_done_follows),
        T(a_refused_bundle_keeps_state_and_end_back),
        T(the_state_of_a_superseded_run_is_not_set),
        T(a_commit_without_a_run_waits_for_what_was_pushed),
    };
    return cmocka_run_group_tests_name("schedules", tests, NULL, NULL);
}
