/* replay_test.c - what the journal says of a decision is enough to make it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/decide.h"
#include "ctl/replay.h"
#include "err.h"
#include "store/journal.h"
#include "wire.h"

static enum replay
again(const char *line, struct err *err)
{
    return replay_line(line, strlen(line), err);
}

static void
a_line_is_decided_again_as_it_was(void **state)
{
    (void)state;
    assert_int_equal(again("{\"what\":\"permit\",\"inputs\":{\"queue\":[9,10],\"group\":[0,null],\"all\":[0,null],"
                           "\"memory\":[0,null],\"disk\":[0,null],\"resume_ppm\":800000,\"before\":0}}",
                           NULL),
                     REPLAY_SAME);
    assert_int_equal(again("{\"what\":\"hold\",\"reasons\":[\"queue\",\"paused\"],\"inputs\":{\"queue\":[10,10],"
                           "\"group\":[0,null],\"all\":[0,null],\"memory\":[0,null],\"disk\":[0,null],"
                           "\"resume_ppm\":800000,\"before\":0}}",
                           NULL),
                     REPLAY_SAME);
    assert_int_equal(again("{\"what\":\"done\"}", NULL), REPLAY_NO_FIGURES);
}

static void
a_line_whose_figures_say_otherwise_is_told(void **state)
{
    struct err err = {.text = ""};

    (void)state;
    assert_int_equal(again("{\"what\":\"permit\",\"inputs\":{\"queue\":[null,10],\"group\":[0,null],\"all\":[0,null],"
                           "\"memory\":[0,null],\"disk\":[0,null],\"resume_ppm\":800000,\"before\":0}}",
                           &err),
                     REPLAY_OTHER);
    assert_non_null(strstr(err.text, "the reasons none, and is now with telemetry_stale"));
}

static void
what_is_no_line_of_a_journal_is_told(void **state)
{
    static const char no_decision[] = "{\"inputs\":{\"queue\":[-1,10],\"group\":[0,null],\"all\":[0,null],"
                                      "\"memory\":[0,null],\"disk\":[0,null],\"resume_ppm\":800000,\"before\":0}}";
    static const char *const bad[] = {"", "x", "[]", "{\"inputs\":{}}", "{\"inputs\":{\"queue\":[1]}}",
                                      "{\"a\":1,\"a\":2}", no_decision};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(again(bad[i], NULL), REPLAY_NO_LINE);
}

/* --- with the journal that writes them --- */

static uint64_t
random_next(uint64_t *x)
{
    *x = *x * 6364136223846793005ULL + 1442695040888963407ULL;
    return *x >> 33;
}

static struct decide_level
some_level(uint64_t *x)
{
    const uint64_t limit = random_next(x) % 3 == 0 ? DECIDE_NONE : random_next(x) * 4099;

    return (struct decide_level){random_next(x) % 5 == 0 ? DECIDE_UNKNOWN : random_next(x) * 4099, limit};
}

static void
every_decision_survives_the_journal_bit_for_bit(void **state)
{
    char dir[] = "/tmp/replay-test-XXXXXX", path[64], line[2048];
    struct err err;
    struct journal *j;
    FILE *written;
    uint64_t x = 42;
    int lines = 0;

    (void)state;
    assert_non_null(mkdtemp(dir));
    j = journal_open(dir, 64 << 20, NULL, &err);
    assert_non_null(j);
    for (int i = 0; i < 2000; i++) {
        struct decide_inputs in = {.queue = some_level(&x), .group = some_level(&x), .all = some_level(&x),
                                   .memory = some_level(&x), .disk = some_level(&x),
                                   .resume_ppm = (uint32_t)(random_next(&x) % 1000001),
                                   .before = (uint32_t)(random_next(&x) & WIRE_HOLD_ALL),
                                   .run_on_stale = random_next(&x) % 4 == 0, .first_free = random_next(&x) % 4 == 0};
        struct journal_entry e = {.wall_us = i, .connector = "a", .what = "hold", .inputs = &in};

        e.reasons = decide(&in) | (i % 3 == 0 ? (uint32_t)WIRE_HOLD_PAUSED : 0);
        journal_write(j, &e);
    }
    journal_close(j);
    snprintf(path, sizeof(path), "%s/journal.log", dir);
    written = fopen(path, "r");
    assert_non_null(written);
    for (; fgets(line, sizeof(line), written) != NULL; lines++)
        if (replay_line(line, strlen(line), &err) != REPLAY_SAME)
            fail_msg("%s: %s", err.text, line);
    assert_int_equal(lines, 2000);
    fclose(written);
    unlink(path);
    rmdir(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_decided_again_as_it_was),
        cmocka_unit_test(a_line_whose_figures_say_otherwise_is_told),
        cmocka_unit_test(what_is_no_line_of_a_journal_is_told),
        cmocka_unit_test(every_decision_survives_the_journal_bit_for_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
