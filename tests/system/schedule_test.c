/* schedule_test.c - connectors that run by a schedule, against a whole gateway and a RabbitMQ: what is as in OpenCTI,
 * and what is another on purpose.  docs/opencti.md is the table; schedule_words_test.c has what can be written, and
 * tests/unit/core_opencti_test.c the same cases, and those of a full queue and a wrong clock, against the core.
 *
 * Times are only ever bounded from below by what is promised, and from above by patience. */
#include "must.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencti_doc.h"
#include "orders.h"
#include "peer.h"
#include "scene.h"
#include "sluiced.h"
#include "world.h"

enum {
    PATIENCE_MS = 60 * 1000,
    HOUR_MS = 3600 * 1000,
    NEARLY_MS = HOUR_MS - 600 * 1000, /* of an hour of which less than ten minutes are over */
    STAMP_MS = 20,                   /* two processes read the wall clock, and what is shown is cut to milliseconds */
    TURN_MS = 400                    /* the gateway reads its clock once a turn, which stands still on a busy machine */
};

#define PERIOD_HOUR .period = "PT1H"

static const char held_words[] = "run and terminate: held by draining, so nothing was run; start it again later";

/* --- words --- */

static void
it_begins(struct program *p, int n)
{
    if (!program_begins(p, n, PATIENCE_MS))
        fail_msg("run %d has not begun after %d s", n, PATIENCE_MS / 1000);
}

static void
it_ends(struct program *p, int n)
{
    if (!program_ends(p, n, PATIENCE_MS))
        fail_msg("run %d has not ended after %d s", n, PATIENCE_MS / 1000);
}

static void
it_returns(struct program *p, int code, const char *words)
{
    struct sluice_error why;
    int rc = program_returned(p, PATIENCE_MS, &why);
    if (rc != code || (words != NULL && strstr(why.text, words) == NULL))
        fail_msg("it returned %d: %s", rc, why.text);
}

/* The gateway has told it that the next run is most of an hour away. */
static void
it_waits_for_most_of_an_hour(struct program *p)
{
    struct sluice_info info = {.next_run_ms = -1};
    for (int i = 0; i < PATIENCE_MS / 5 && (info.next_run_ms < NEARLY_MS || !info.connected); i++) {
        sluice_info(program_sluice(p), &info);
        world_sleep_ms(5);
    }
    assert_true(info.next_run_ms >= NEARLY_MS && info.next_run_ms <= HOUR_MS);
}

static bool
between(int64_t low, int64_t value, int64_t high)
{
    return low <= value && value <= high;
}

/* --- the rhythm --- */

static void
the_first_run_is_at_once_and_each_next_a_period_after_the_end_of_the_last(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    struct program *p =
        scene_program(c, &(struct program_plan){.id = "two", .period = "PT2S", .run_ms = 1500, .stop_at = 3});
    it_begins(p, 1);
    struct standing s = orders_await(g, "two", "running", NULL);
    assert_true(s.period_ms == 2000 && s.last_run_ms == 0 && s.next_run_ms == 0);
    it_ends(p, 1);
    s = orders_await(g, "two", "waiting", "");
    int64_t last_ms = s.last_run_ms;
    /* Its end, not its beginning; and the gateway hears of the end after the program. */
    assert_true(between(program_run(p, 0).ended_ms - TURN_MS, last_ms, program_run(p, 0).ended_ms + PATIENCE_MS));
    assert_int_equal(s.next_run_ms - last_ms, 2000);
    it_begins(p, 2);
    s = orders_await(g, "two", "running", NULL);
    assert_true(s.last_run_ms == last_ms && s.next_run_ms == 0); /* OpenCTI shows a next run that is past */
    it_returns(p, SLUICE_OK, NULL);
    assert_int_equal(program_runs(p), 3);
    for (int i = 1; i < 3; i++) {
        struct program_run before = program_run(p, i - 1), r = program_run(p, i);
        assert_true(r.begun_us - before.ended_us >= 2000000 - TURN_MS * 1000);
        assert_true(r.ended_us - r.begun_us >= 1500000);
    }
}

static void
a_restart_of_program_or_gateway_is_no_free_run_where_opencti_runs_at_once(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    const struct program_plan plan = {.id = "hourly", PERIOD_HOUR};
    struct program *p = scene_program(c, &plan);
    it_ends(p, 1); /* at once, and not in an hour */
    struct standing s = orders_await(g, "hourly", "waiting", "");
    scene_leaves(c, p);
    p = scene_program(c, &plan);
    it_waits_for_most_of_an_hour(p);
    sluiced_kill(g);
    MUST(sluiced_start(g, true, &err));
    struct standing after = orders_await(g, "hourly", "waiting", "");
    assert_int_equal(after.last_run_ms, s.last_run_ms);
    assert_true(between(s.next_run_ms - 1000, after.next_run_ms, s.next_run_ms + 1000));
    it_waits_for_most_of_an_hour(p);
    assert_int_equal(program_runs(p), 0);
}

static void
a_schedule_that_changes_in_a_run_counts_from_its_end(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    const struct sluice_options opt = {.id = "changes", .endpoint = sluiced_endpoint(g)};
    struct sluice *s = sluice_open(&opt, NULL);
    struct sluice_run run;
    assert_non_null(s);
    int rc = sluice_ready(s, "PT1H", NULL, NULL);
    rc = rc == 0 ? sluice_permit_next(s, &run, PATIENCE_MS, NULL) : rc;
    rc = rc == 0 ? sluice_ready(s, "PT1S", NULL, NULL) : rc;
    rc = rc == 0 ? sluice_done(s, SLUICE_RUN_OK, NULL, NULL) : rc;
    rc = rc == 0 ? sluice_permit_next(s, &run, PATIENCE_MS, NULL) : rc;
    struct standing now = orders_status(g, "changes");
    (void)sluice_close(&s, 0, NULL);
    assert_int_equal(rc, 0);
    assert_int_equal(now.period_ms, 1000);
}

/* --- holds --- */

static void
after_a_hold_drain_runs_at_once_and_schedule_a_whole_period_later_as_opencti_does(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    (void)orders_give(g, "drain", NULL);
    /* The first run ever is free of the queue only: a drain holds it, whether it is to be checked or not. */
    struct program *drain = scene_program(c, &(struct program_plan){.id = "drain", PERIOD_HOUR}),
                   *check = scene_program(c, &(struct program_plan){.id = "check", PERIOD_HOUR, .opt.check_first = 1}),
                   *schedule = scene_program(
                       c, &(struct program_plan){.id = "schedule", PERIOD_HOUR, .opt.resume_schedule = 1});
    (void)orders_await(g, "drain", "held", "draining");
    (void)orders_await(g, "check", "held", "draining");
    it_waits_for_most_of_an_hour(schedule);
    assert_int_equal(program_runs(drain) + program_runs(check), 0);
    (void)orders_give(g, "undrain", NULL);
    it_ends(drain, 1);
    it_ends(check, 1);
    struct standing s = orders_await(g, "schedule", "waiting", "");
    assert_int_equal(s.last_run_ms, 0);
    assert_int_equal(program_runs(schedule), 0);
    it_waits_for_most_of_an_hour(schedule);
}

static void
a_skipped_run_moves_next_run_by_a_period_and_not_last_run(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    struct program *p = scene_program(
        c, &(struct program_plan){.id = "skips", .period = "PT1S", .run_ms = 500, .opt.resume_schedule = 1});
    it_begins(p, 1);
    (void)orders_give(g, "pause", "skips"); /* what is under way goes on */
    it_ends(p, 1);
    struct standing first = orders_await(g, "skips", "paused", "paused"), s = first;
    for (int i = 0; i < PATIENCE_MS / 5 && s.next_run_ms < first.next_run_ms + 2000; i++) {
        world_sleep_ms(5);
        s = orders_status(g, "skips");
    }
    assert_true(s.next_run_ms >= first.next_run_ms + 2000);
    assert_true(first.last_run_ms > 0 && s.last_run_ms == first.last_run_ms);
    assert_int_equal(program_runs(p), 1);
    s = orders_status(g, "skips");
    (void)orders_give(g, "resume", "skips");
    it_begins(p, 2); /* and not before the time that was shown */
    assert_true(program_run(p, 1).begun_ms >= s.next_run_ms - STAMP_MS);
}

static void
a_run_that_is_held_when_its_time_comes_waits_in_line_and_runs_when_it_may(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    struct program *p =
        scene_program(c, &(struct program_plan){.id = "waits", .period = "PT1S", .run_ms = 500, .stop_at = 2});
    it_begins(p, 1);
    (void)orders_give(g, "drain", NULL);
    it_ends(p, 1);
    struct standing s = orders_await(g, "waits", "held", "draining");
    assert_int_equal(s.next_run_ms - s.last_run_ms, 1000); /* its time is past, and stays */
    assert_int_equal(program_runs(p), 1);
    (void)orders_give(g, "undrain", NULL);
    it_returns(p, SLUICE_OK, NULL);
    assert_int_equal(program_runs(p), 2);
}

static void
an_operator_may_have_a_run_now_unless_something_holds_it(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    struct program *p = scene_program(c, &(struct program_plan){.id = "now", PERIOD_HOUR});
    it_ends(p, 1);
    (void)orders_await(g, "now", "waiting", "");
    (void)orders_give(g, "run", "now");
    it_ends(p, 2);
    (void)orders_await(g, "now", "waiting", "");
    (void)orders_give(g, "pause", "now");
    (void)orders_give(g, "run", "now");
    (void)orders_await(g, "now", "paused", "paused");
    assert_int_equal(program_runs(p), 2);
    (void)orders_give(g, "resume", "now");
    it_ends(p, 3);
}

static void
a_broker_that_is_away_holds_where_opencti_reads_zero_bytes_and_runs(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", false);
    struct program *p = scene_program(c, &(struct program_plan){.id = "hourly", PERIOD_HOUR}),
                   *once = scene_program(c, &(struct program_plan){.id = "once", .period = "0"});
    (void)orders_await(g, "hourly", "held", "broker_down");
    it_returns(once, SLUICE_EHELD, "run and terminate: held by broker_down, so nothing was run; start it again later");
    assert_int_equal(program_runs(p) + program_runs(once), 0);
}

/* --- Run & Terminate --- */

static void
a_held_run_and_terminate_exits_75_and_does_not_set_last_run_as_opencti_does_by_accident(void **state)
{
    static const char *const once[] = {"--run-and-terminate", NULL}, *const zero[] = {"--duration-period", "P0D", NULL};
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    char said[4096];
    (void)orders_give(g, "drain", NULL);
    assert_int_equal(scene_kev(c, NULL, once, said, sizeof(said)), SLUICE_EXIT_HELD);
    if (strstr(said, held_words) == NULL || !opencti_quotes(held_words))
        fail_msg("it said: %s", said);
    struct standing s = orders_status(g, "kev");
    assert_string_equal(s.kind, "terminate");
    assert_true(s.last_run_ms == 0 && s.next_run_ms == 0);
    (void)orders_give(g, "undrain", NULL);
    if (scene_kev(c, NULL, once, said, sizeof(said)) != 0)
        fail_msg("it said: %s", said);
    s = orders_status(g, "kev");
    assert_true(s.last_run_ms > 0 && s.next_run_ms == 0);
    (void)orders_give(g, "pause", "kev");
    assert_int_equal(scene_kev(c, NULL, zero, said, sizeof(said)), SLUICE_EXIT_HELD);
    assert_non_null(strstr(said, "held by paused"));
    assert_int_equal(orders_status(g, "kev").last_run_ms, s.last_run_ms);
    (void)orders_give(g, "resume", "kev");
    assert_int_equal(scene_kev(c, NULL, zero, said, sizeof(said)), 0); /* no period: as often as it is started */
    assert_true(orders_status(g, "kev").last_run_ms > s.last_run_ms);
}

static void
a_run_and_terminate_that_failed_says_so_where_opencti_ends_with_0_or_143(void **state)
{
    static const char *const gone[] = {"--run-and-terminate", "--feed", "/nowhere.json", NULL};
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    char said[4096];
    int status = scene_kev(c, NULL, gone, said, sizeof(said));
    assert_true(status == 66 || status == 69);
    assert_int_equal(orders_journal(g, "kev", "failed", 1), 1);
    assert_true(orders_status(g, "kev").last_run_ms > 0);
}

static void
variables_outrank_the_file_and_false_is_not_true_where_opencti_takes_it_for_that(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    static const struct {
        const char *id, *variable;
        int64_t period_ms;
    } rows[] = {{"env", "CONNECTOR_DURATION_PERIOD=PT1H", HOUR_MS},
                {"empty", "CONNECTOR_DURATION_PERIOD=", 3 * 24 * (int64_t)HOUR_MS},
                {"false", "CONNECTOR_RUN_AND_TERMINATE=FALSE", 3 * 24 * (int64_t)HOUR_MS}};
    char config[600], program[600], feed[600], log[600];
    (void)snprintf(config, sizeof(config), "%s/kev.cfg", world_dir(c->stage->world));
    (void)snprintf(log, sizeof(log), "%s/kev.log", world_dir(c->stage->world));
    FILE *f = fopen(config, "we");
    assert_non_null(f);
    (void)fputs("connector = { duration_period = \"P3D\"; };\n", f);
    assert_int_equal(fclose(f), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *argv[] = {"/usr/bin/env", rows[i].variable,
                              world_built("connectors/cisa-kev", program, sizeof(program)), "--endpoint",
                              sluiced_endpoint(g), "--id", rows[i].id, "--config", config, "--feed",
                              world_source("connectors/cisa-kev/sample.json", feed, sizeof(feed)), NULL};
        pid_t pid = 0;
        MUST(pid = world_spawn(argv, log, &err));
        struct standing s = orders_status(g, rows[i].id);
        for (int n = 0; n < PATIENCE_MS / 5 && s.last_run_ms == 0; n++) {
            world_sleep_ms(5);
            s = orders_status(g, rows[i].id);
        }
        assert_true(s.last_run_ms > 0);
        assert_string_equal(s.kind, "period");
        assert_int_equal(s.period_ms, rows[i].period_ms);
        assert_int_equal(kill(pid, SIGTERM), 0);
        assert_int_equal(world_wait(pid, PATIENCE_MS), 0); /* between two runs: it has done what it should */
    }
}

/* --- pings --- */

static void
a_run_longer_than_three_pings_lives_by_them_and_one_without_is_given_up(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    struct peer *mute = scene_peer(c);
    struct program *p = scene_program(
                       c, &(struct program_plan){.id = "long", PERIOD_HOUR, .run_ms = 6500, .stop_at = 1}),
                   *once = scene_program(c, &(struct program_plan){.id = "once", .period = "0", .run_ms = 6500});
    struct wire_msg ready = {.type = WIRE_READY,
                             .has = 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD | 1ULL << WIRE_F_SCHEDULE |
                                    1ULL << WIRE_F_PERIOD_MS,
                             .schedule = WIRE_S_PERIOD,
                             .period_ms = HOUR_MS};
    assert_non_null(peer_hello(mute, "mute", 1, true, 0));
    peer_send(mute, &ready, NULL, 0);
    assert_int_equal(peer_await(mute, WIRE_PERMIT, PATIENCE_MS)->lease_ms, 3000);
    /* OpenCTI pings nothing in Run & Terminate; here a lease has to be kept. */
    it_returns(p, SLUICE_OK, NULL);
    it_returns(once, SLUICE_OK, NULL);
    assert_true(orders_status(g, "long").last_run_ms > 0 && orders_status(g, "once").last_run_ms > 0);
    struct standing s = orders_await(g, "mute", "not connected", "");
    assert_true(s.last_run_ms == 0 && s.next_run_ms > 0);
    assert_int_equal(orders_journal(g, "mute", "lost", 1), 1);
    assert_int_equal(orders_journal(g, "long", "lost", 0) + orders_journal(g, "once", "lost", 0), 0);
}

static void
a_second_program_of_an_id_ends_the_first_and_its_run_is_no_last_run(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    struct program *first = scene_program(c, &(struct program_plan){.id = "twin", .period = "PT1S", .run_ms = 60000});
    it_begins(first, 1);
    struct program *second =
        scene_program(c, &(struct program_plan){.id = "twin", .period = "PT1S", .run_ms = 2000, .stop_at = 1});
    it_returns(first, SLUICE_EREPLACED, NULL);
    it_begins(second, 1);
    assert_int_equal(orders_status(g, "twin").last_run_ms, 0);
    it_returns(second, SLUICE_OK, NULL);
    assert_true(orders_status(g, "twin").last_run_ms > 0);
    assert_int_equal(orders_journal(g, "twin", "lost", 1), 1);
    assert_int_equal(program_runs(first), 1);
}

/* --- state --- */

static void
a_reset_stands_and_a_stale_echo_changes_nothing_where_opencti_wipes_or_revives_the_state(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "1s", true);
    struct program *p =
        scene_program(c, &(struct program_plan){.id = "cursor", PERIOD_HOUR, .run_ms = 60000, .stop_at = 1});
    struct sluice *s = program_sluice(p);
    struct sluice_state now = {.len = 0};
    uint64_t version = 0;
    it_begins(p, 1);
    assert_int_equal(sluice_state_set(s, "a", 1, 0, &version, PATIENCE_MS, NULL), 0);
    assert_int_equal(orders_give(g, "reset-state", "cursor"), version + 1);
    /* What it read before says nothing any more, with the end of the run neither. */
    assert_int_equal(sluice_state_set(s, "a", 1, version, NULL, PATIENCE_MS, NULL), SLUICE_ESTALE);
    assert_int_equal(sluice_done_with_state(s, SLUICE_RUN_OK, "b", 1, version, NULL, PATIENCE_MS, NULL), SLUICE_ESTALE);
    assert_int_equal(sluice_state_get(s, &now, PATIENCE_MS, NULL), 0);
    assert_true(now.len == 0 && now.version == version + 1);
    assert_true(orders_status(g, "cursor").running);
    assert_int_equal(sluice_done_with_state(s, SLUICE_RUN_STOP, "c", 1, now.version, NULL, PATIENCE_MS, NULL), 0);
    it_returns(p, SLUICE_OK, NULL);
    assert_int_equal(sluice_state_get(s, &now, PATIENCE_MS, NULL), 0);
    assert_true(now.len == 1 && now.version == version + 2 && *(char *)now.bytes == 'c');
    free(now.bytes);
    assert_true(orders_status(g, "cursor").last_run_ms > 0);
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, scene_begin, scene_end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(the_first_run_is_at_once_and_each_next_a_period_after_the_end_of_the_last),
        SCENE(a_restart_of_program_or_gateway_is_no_free_run_where_opencti_runs_at_once),
        SCENE(a_schedule_that_changes_in_a_run_counts_from_its_end),
        SCENE(after_a_hold_drain_runs_at_once_and_schedule_a_whole_period_later_as_opencti_does),
        SCENE(a_skipped_run_moves_next_run_by_a_period_and_not_last_run),
        SCENE(a_run_that_is_held_when_its_time_comes_waits_in_line_and_runs_when_it_may),
        SCENE(an_operator_may_have_a_run_now_unless_something_holds_it),
        SCENE(a_broker_that_is_away_holds_where_opencti_reads_zero_bytes_and_runs),
        SCENE(a_held_run_and_terminate_exits_75_and_does_not_set_last_run_as_opencti_does_by_accident),
        SCENE(a_run_and_terminate_that_failed_says_so_where_opencti_ends_with_0_or_143),
        SCENE(variables_outrank_the_file_and_false_is_not_true_where_opencti_takes_it_for_that),
        SCENE(a_run_longer_than_three_pings_lives_by_them_and_one_without_is_given_up),
        SCENE(a_second_program_of_an_id_ends_the_first_and_its_run_is_no_last_run),
        SCENE(a_reset_stands_and_a_stale_echo_changes_nothing_where_opencti_wipes_or_revives_the_state),
    };
    char top[600];
    (void)setenv("SLUICE_SOURCE", world_source(".", top, sizeof(top)), 0);
    return cmocka_run_group_tests_name("schedules", tests, scene_open, scene_close);
}
