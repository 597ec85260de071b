/* opencti_doc_test.c - docs/opencti.md says what is so: its words are those of the code, its tests exist. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "err.h"
#include "kit/setup.h"
#include "opencti_doc.h"
#include "sluice/sluice.h"

/* --- the library's words --- */

static enum sluice_outcome
never(struct sluice *s, struct sluice_run *run, void *ctx)
{
    (void)s;
    (void)run;
    (void)ctx;
    fail_msg("there is no gateway, and it runs");
    return SLUICE_RUN_STOP;
}

static int
by_text(struct sluice *s, const char *given, struct sluice_error *err)
{
    return sluice_schedule_iso(s, given, never, NULL, NULL, err);
}

static int
by_unit(struct sluice *s, const char *given, struct sluice_error *err)
{
    static const char *const units[] = {"SECONDS", "MINUTES", "HOURS", "DAYS", "WEEKS", "YEARS"};
    char *unit;
    const double n = strtod(given, &unit);

    for (int i = 0; i < 6; i++)
        if (strcmp(unit + 1, units[i]) == 0)
            return sluice_schedule_unit(s, n, (enum sluice_unit)i, never, NULL, NULL, err);
    fail_msg("%s is in no unit", given);
    return 0;
}

static int
by_threshold(struct sluice *s, const char *given, struct sluice_error *err)
{
    const struct sluice_schedule_options opt = {.has_threshold = 1, .threshold_mb = strtod(given, NULL)};

    return sluice_schedule_iso(s, "PT1H", never, NULL, &opt, err);
}

/* What is taken waits for a gateway, and there is none: the interrupt ends that. */
static void
words_are_those(const char *heading, size_t least, int (*call)(struct sluice *, const char *, struct sluice_error *))
{
    const struct sluice_options opt = {.id = "doc", .endpoint = "tcp://127.0.0.1:1"};
    struct opencti_row *rows = calloc(OPENCTI_ROWS_MAX, sizeof(*rows));
    const size_t n = opencti_table(heading, rows);
    struct sluice *s = sluice_open(&opt, NULL);

    assert_non_null(s);
    assert_true(n >= least);
    for (size_t i = 0; i < n; i++) {
        struct sluice_error err = {.text = ""};
        const bool no = rows[i].words[0] != '\0';

        if (!no)
            sluice_interrupt(s);
        if (call(s, rows[i].given, &err) != (no ? SLUICE_EINVAL : SLUICE_EINTR) ||
            (no && strcmp(err.text, rows[i].words) != 0))
            fail_msg("\"%s\" is %s in the document, and the library says: %s", rows[i].given,
                     no ? rows[i].words : "taken", err.text);
    }
    sluice_close(&s, 0, NULL);
    free(rows);
}

static void
the_words_of_each_refusal_are_those_of_the_library(void **state)
{
    (void)state;
    words_are_those("## Periods, one by one", 85, by_text);
    words_are_those("## Periods in units", 13, by_unit);
    words_are_those("## Thresholds", 8, by_threshold);
}

/* --- the connectors' settings --- */

static const char *
read_here(const struct setup *c)
{
    return c->schedule.run_and_terminate              ? "one run"
           : c->schedule.has_threshold || c->period ? "taken"
                                                      : "not set";
}

static void
each_setting_is_taken_or_refused_as_the_table_says(void **state)
{
    struct opencti_row *rows = calloc(OPENCTI_ROWS_MAX, sizeof(*rows));
    const size_t n = opencti_table("## Settings", rows);
    (void)state;

    assert_true(n >= 34);
    for (size_t i = 0; i < n; i++) {
        const size_t len = strcspn(rows[i].given, "=");
        const struct setup_args args = {.file = NULL};
        struct setup c;
        struct err err = {.text = ""};
        char name[64];

        snprintf(name, sizeof(name), "%.*s", (int)len, rows[i].given);
        assert_int_equal(setenv(name, rows[i].given + len + 1, 1), 0);
        const char *here = setup_load(&c, &args, &err) != 0 ? "refused" : read_here(&c);
        unsetenv(name);
        if (strcmp(here, rows[i].here) != 0 || strcmp(err.text, rows[i].words) != 0)
            fail_msg("%s is %s: %s", rows[i].given, here, err.text);
    }
    free(rows);
}

/* --- the tests --- */

static bool
file_has(const char *path, const char *text)
{
    char *whole = NULL;
    size_t cap = 0;
    FILE *f = fopen(path, "re");
    bool has;

    assert_non_null(f);
    has = getdelim(&whole, &cap, '\0', f) >= 0 && strstr(whole, text) != NULL;
    fclose(f);
    free(whole);
    return has;
}

static void
each_test_that_is_named_exists(void **state)
{
    static char names[OPENCTI_NAMES_MAX][160];
    const size_t n = opencti_names(names);
    glob_t files;
    (void)state;

    assert_true(n >= 60 && n < OPENCTI_NAMES_MAX);
    assert_int_equal(glob("tests/unit/*_test.c", 0, NULL, &files), 0);
    assert_int_equal(glob("tests/system/*_test.c", GLOB_APPEND, NULL, &files), 0);
    for (size_t i = 0; i < n; i++) {
        char text[200];
        bool there = false;

        snprintf(text, sizeof(text), "\n%s(void **state)", names[i]);
        for (size_t f = 0; f < files.gl_pathc && !there; f++)
            there = file_has(files.gl_pathv[f], text);
        if (!there)
            fail_msg("there is no test %s", names[i]);
    }
    globfree(&files);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_of_each_refusal_are_those_of_the_library),
        cmocka_unit_test(each_setting_is_taken_or_refused_as_the_table_says),
        cmocka_unit_test(each_test_that_is_named_exists),
    };

    return cmocka_run_group_tests_name("opencti.md", tests, NULL, NULL);
}
