/* setup_test.c - what a connector is told: which place wins, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "err.h"
#include "kit/setup.h"

static const char *const variables[] = {"CONNECTOR_ID", "SLUICE_ENDPOINT", "CONNECTOR_DURATION_PERIOD",
                                        "CONNECTOR_QUEUE_THRESHOLD", "CONNECTOR_RUN_AND_TERMINATE",
                                        "CONNECTOR_LOG_LEVEL"};

struct world {
    struct setup      got;
    struct setup_args args;
    struct err        err;
    char              path[64];
};

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    snprintf(w->path, sizeof(w->path), "/tmp/sluice-setup-%d", (int)getpid());
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        unsetenv(variables[i]);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    unlink(w->path);
    free(w);
    return 0;
}

static void
file_is(struct world *w, const char *text)
{
    FILE *f = fopen(w->path, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
    w->args.file = w->path;
}

static void
loads(struct world *w)
{
    if (setup_load(&w->got, &w->args, &w->err) != 0)
        fail_msg("%s", w->err.text);
}

static void
is_refused(struct world *w, const char *words)
{
    assert_int_equal(setup_load(&w->got, &w->args, &w->err), -1);
    assert_int_equal(w->err.code, ERR_CONFIG);
    if (strstr(w->err.text, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, w->err.text);
}

/* --- places --- */

static void
nothing_said_is_no_schedule(void **state)
{
    struct world *w = *state;

    loads(w);
    assert_null(w->got.id);
    assert_null(w->got.endpoint);
    assert_false(setup_scheduled(&w->got));
    assert_false(w->got.schedule.has_threshold);
    assert_int_equal(w->got.log_level, SLUICE_WARN);
}

static void
arguments_outrank_the_environment_and_that_the_file(void **state)
{
    struct world *w = *state;

    file_is(w, "connector = { id = \"f\"; duration_period = \"P3D\"; queue_threshold = 3; endpoint = \"ipc:///f\"; };");
    loads(w);
    assert_string_equal(w->got.id, "f");
    assert_string_equal(w->got.endpoint, "ipc:///f");
    assert_string_equal(w->got.period, "P3D");
    setenv("CONNECTOR_ID", "e", 1);
    setenv("CONNECTOR_DURATION_PERIOD", "P2D", 1);
    loads(w);
    assert_string_equal(w->got.id, "e");
    assert_string_equal(w->got.period, "P2D");
    w->args.value[SETUP_ID] = "a";
    loads(w);
    assert_string_equal(w->got.id, "a");
    assert_string_equal(w->got.period, "P2D");
    assert_true(w->got.schedule.threshold_mb >= 3 && w->got.schedule.threshold_mb <= 3);
}

static void
an_empty_variable_counts_as_not_set_where_opencti_would_ignore_the_file(void **state)
{
    struct world *w = *state;

    file_is(w, "connector = { duration_period = \"P3D\"; };");
    setenv("CONNECTOR_DURATION_PERIOD", "", 1);
    w->args.value[SETUP_PERIOD] = "";
    loads(w);
    assert_string_equal(w->got.period, "P3D");
}

static void
an_empty_text_in_the_file_counts_as_not_set_as_null_would_in_yaml(void **state)
{
    struct world *w = *state;

    file_is(w, "connector = { id = \"\"; endpoint = \"\"; duration_period = \"\"; queue_threshold = \"\";\n"
               "  run_and_terminate = \"\"; log_level = \"\"; };");
    loads(w);
    assert_null(w->got.id);
    assert_null(w->got.endpoint);
    assert_false(setup_scheduled(&w->got));
    assert_false(w->got.schedule.has_threshold);
    assert_int_equal(w->got.log_level, SLUICE_WARN);
    file_is(w, "connector = { id = null; };");
    is_refused(w, ":1:");
}

static void
an_error_names_its_place(void **state)
{
    struct world *w = *state;

    file_is(w, "connector = { log_level = \"loud\"; };");
    is_refused(w, w->path);
    is_refused(w, "log_level: \"loud\": write error, warn");
    setenv("CONNECTOR_LOG_LEVEL", "loader", 1);
    is_refused(w, "CONNECTOR_LOG_LEVEL: \"loader\"");
    w->args.value[SETUP_LOG_LEVEL] = "loudest";
    is_refused(w, "--log-level: \"loudest\"");
}

/* --- values --- */

static void
booleans_are_read_in_any_case_where_opencti_takes_all_but_false_for_true(void **state)
{
    static const char *const yes[] = {"true", "TRUE", "True", "yes", "YES", "on", "On", "1"};
    static const char *const no[] = {"false", "FALSE", "False", "no", "No", "off", "OFF", "0"};
    static const char *const neither[] = {"2", "t", "y", "enabled", "tru", " true", "null"};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        setenv("CONNECTOR_RUN_AND_TERMINATE", yes[i], 1);
        loads(w);
        assert_true(w->got.schedule.run_and_terminate);
        assert_true(setup_scheduled(&w->got));
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        setenv("CONNECTOR_RUN_AND_TERMINATE", no[i], 1);
        loads(w);
        assert_false(w->got.schedule.run_and_terminate);
    }
    for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++) {
        setenv("CONNECTOR_RUN_AND_TERMINATE", neither[i], 1);
        is_refused(w, "write true, yes, on or 1");
    }
}

static void
a_period_of_zero_is_run_and_terminate_whatever_else_is_said(void **state)
{
    struct world *w = *state;

    w->args.value[SETUP_PERIOD] = "PT0S";
    loads(w);
    assert_true(w->got.schedule.run_and_terminate);
    setenv("CONNECTOR_RUN_AND_TERMINATE", "false", 1);
    loads(w);
    assert_true(w->got.schedule.run_and_terminate);
}

static void
periods_that_cannot_be_are_refused_with_their_place(void **state)
{
    struct world *w = *state;

    setenv("CONNECTOR_DURATION_PERIOD", "60", 1);
    is_refused(w, "CONNECTOR_DURATION_PERIOD: duration \"60\"");
    is_refused(w, "write PT60S");
    setenv("CONNECTOR_DURATION_PERIOD", "-PT5M", 1);
    is_refused(w, "write a period without a sign");
    setenv("CONNECTOR_DURATION_PERIOD", "PT0.5S", 1);
    is_refused(w, "write PT1S or more");
}

static void
thresholds_are_plain_numbers(void **state)
{
    static const struct {
        const char *text;
        double      mb;
    } good[] = {{"500", 500}, {"0", 0}, {"0.5", 0.5}, {"1e3", 1000}, {"500.0", 500}};
    static const char *const bad[] = {"nan", "inf", "-1", "-0.5", "yes", "true", "5 MB", " 5", "5 ", "1_000", "0x10",
                                      "500MB", ".", "e5", "--5", "1e"};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        w->args.value[SETUP_THRESHOLD] = good[i].text;
        loads(w);
        assert_true(w->got.schedule.has_threshold);
        assert_memory_equal(&w->got.schedule.threshold_mb, &good[i].mb, sizeof(double));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        w->args.value[SETUP_THRESHOLD] = bad[i];
        is_refused(w, "write a number of MB");
    }
}

/* --- the file --- */

static void
the_file_has_values_of_their_own_types(void **state)
{
    struct world *w = *state;

    file_is(w, "# a comment with 12345678901\nother = { x = 1; };\n"
               "connector: { duration_period = 300; run_and_terminate = no_; };");
    is_refused(w, ":3:");
    file_is(w, "connector: { duration_period = 300; queue_threshold = 0.25; run_and_terminate = FALSE;\n"
               "  log_level = \"Debug\"; };");
    loads(w);
    assert_string_equal(w->got.period, "PT300S");
    assert_true(w->got.schedule.threshold_mb > 0.24 && w->got.schedule.threshold_mb < 0.26);
    assert_int_equal(w->got.log_level, SLUICE_DEBUG);
    file_is(w, "connector = { run_and_terminate = \"Off\"; queue_threshold = \"7\"; };");
    loads(w);
    assert_false(w->got.schedule.run_and_terminate);
    file_is(w, "connector = { run_and_terminate = 1; };");
    loads(w);
    assert_true(w->got.schedule.run_and_terminate);
}

static void
the_file_is_refused_where_it_would_be_misread(void **state)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"connectors = { };", "no group \"connector\""},
        {"connector = 5;", "no group \"connector\""},
        {"connector = { perriod = \"P1D\"; };", "connector has no \"perriod\"; write id, endpoint"},
        {"connector = {\n id = 7; };", ":2: id: write a text in quotes"},
        {"connector = { duration_period = 1.5; };", "whole seconds"},
        {"connector = { duration_period = true; };", "whole seconds"},
        {"connector = { duration_period = -5; };", "whole seconds"},
        {"connector = { queue_threshold = true; };", "a number of MB"},
        {"connector = { queue_threshold = 3000000000; };", "too large"},
        {"connector = {\n\n queue_threshold = 0x10; };", ":3: numbers are decimal"},
        {"@include \"/etc\"\n", "cannot include"},
        {"connector = { id = \"x\" ", ":1:"},
        {"", "no group"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        file_is(w, bad[i].text);
        is_refused(w, bad[i].words);
    }
}

static void
texts_and_comments_may_hold_anything(void **state)
{
    struct world *w = *state;

    file_is(w, "/* 99999999999 @include */ // 0x99\nconnector = { id = \"a12345678901-0x1\"; };");
    loads(w);
    assert_string_equal(w->got.id, "a12345678901-0x1");
}

static void
a_file_that_cannot_be_read_is_refused(void **state)
{
    struct world *w = *state;

    w->args.file = "/nowhere/at/all";
    is_refused(w, "--config /nowhere/at/all");
    w->args.file = "/";
    is_refused(w, "it cannot be read");
}

static void
a_text_that_is_too_long_is_refused(void **state)
{
    char text[600] = "connector = { id = \"", *at = text + strlen(text);
    struct world *w = *state;

    memset(at, 'a', SETUP_TEXT_MAX);
    memcpy(at + SETUP_TEXT_MAX, "\"; };", 6);
    file_is(w, text);
    is_refused(w, "id: write a text in quotes");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(nothing_said_is_no_schedule),
        T(arguments_outrank_the_environment_and_that_the_file),
        T(an_empty_variable_counts_as_not_set_where_opencti_would_ignore_the_file),
        T(an_empty_text_in_the_file_counts_as_not_set_as_null_would_in_yaml),
        T(an_error_names_its_place),
        T(booleans_are_read_in_any_case_where_opencti_takes_all_but_false_for_true),
        T(a_period_of_zero_is_run_and_terminate_whatever_else_is_said),
        T(periods_that_cannot_be_are_refused_with_their_place),
        T(thresholds_are_plain_numbers),
        T(the_file_has_values_of_their_own_types),
        T(the_file_is_refused_where_it_would_be_misread),
        T(texts_and_comments_may_hold_anything),
        T(a_file_that_cannot_be_read_is_refused),
        T(a_text_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests_name("setup", tests, NULL, NULL);
}
