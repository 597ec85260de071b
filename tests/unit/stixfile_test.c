/* What stix-file pushes, at which pace, and what it says of what it cannot push. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"
#include "kit/setup.h"
#include "kit/stop.h"
#include "sluice_double.h"
#include "stix-file/body.h"
#include "stix-file/pace.h"
#include "stix-file/paths.h"
#include "stix-file/run.h"

struct world {
    struct sluice_double gw;
    struct file_options  opt;
    char  dir[64];
    char *names[4];
    char *out, *said; /* of the last run */
};

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    snprintf(w->dir, sizeof(w->dir), "/tmp/stixfile-test-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->gw.max_bundle = 4096;
    sluice_double_use(&w->gw);
    file_options_default(&w->opt);
    w->names[0] = w->dir;
    w->opt.names = w->names;
    w->opt.n_names = 1;
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    static const char *const made[] = {"a.json", "b.json", "b", "c.txt", "big.json", "empty.json", "x/y/z.json",
                                       "x/loop", "x/y", "x"};
    struct world *w = *state;
    char path[160];

    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", w->dir, made[i]);
        remove(path);
    }
    assert_int_equal(rmdir(w->dir), 0);
    stop_set(0);
    sluice_double_free(&w->gw);
    free(w->out);
    free(w->said);
    free(w);
    return 0;
}

static void
file_of(const struct world *w, const char *name, const void *bytes, size_t len)
{
    char path[160];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

static void
folder(const struct world *w, const char *name)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static enum exits
run(struct world *w)
{
    size_t n_out, n_said;
    FILE *out, *said;
    enum exits status;

    free(w->out);
    free(w->said);
    out = open_memstream(&w->out, &n_out);
    said = open_memstream(&w->said, &n_said);
    assert_non_null(out);
    assert_non_null(said);
    status = file_run(&w->opt, out, said);
    fclose(out);
    fclose(said);
    return status;
}

static void
assert_body(const struct world *w, size_t i, const void *bytes, size_t len)
{
    assert_int_equal(w->gw.bundle[i].len, len);
    assert_memory_equal(w->gw.bundle[i].body, bytes, len);
}

static void
files_arrive_byte_for_byte_in_the_order_of_their_names(void **state)
{
    struct world *w = *state;
    char loop[160];

    file_of(w, "b.json", "\r\n {\"b\" : 1}\n\0x", 15);
    file_of(w, "a.json", "[1]", 3);
    file_of(w, "c.txt", "not one of them", 15);
    folder(w, "x");
    folder(w, "x/y");
    file_of(w, "x/y/z.json", "{}", 2);
    snprintf(loop, sizeof(loop), "%s/x/loop", w->dir);
    assert_int_equal(symlink("..", loop), 0);
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 3);
    assert_body(w, 0, "[1]", 3);
    assert_body(w, 1, "\r\n {\"b\" : 1}\n\0x", 15);
    assert_body(w, 2, "{}", 2);
    assert_string_equal(w->gw.bundle[0].ctype, BODY_BYTES);
    assert_string_equal(w->gw.bundle[1].ctype, BODY_STIX);
    assert_non_null(strstr(w->out, "pushed=3 acked=3 nacked=0 dead=0 bytes=20 unanswered=0 skipped=0 seconds="));
}

static void
every_bundle_says_the_format_and_the_options_that_were_asked_for(void **state)
{
    struct world *w = *state;

    file_of(w, "a.json", "{}", 2);
    assert_int_equal(run(w), EXITS_OK);
    assert_string_equal(w->gw.bundle[0].format, "");
    w->opt.format = "opencti";
    w->opt.format_options = "{\"update\":true}";
    assert_int_equal(run(w), EXITS_OK);
    assert_string_equal(w->gw.bundle[1].format, "opencti");
    assert_string_equal(w->gw.bundle[1].options, "{\"update\":true}");
}

static void
a_file_that_is_named_is_taken_whatever_its_name(void **state)
{
    struct world *w = *state;
    char path[160];

    file_of(w, "c.txt", "hello", 5);
    snprintf(path, sizeof(path), "%s/c.txt", w->dir);
    w->names[0] = path;
    assert_int_equal(run(w), EXITS_OK);
    assert_body(w, 0, "hello", 5);
}

static void
a_name_that_is_not_there_ends_it_before_the_gateway_is_asked(void **state)
{
    struct world *w = *state;
    char path[160];

    file_of(w, "a.json", "{}", 2);
    snprintf(path, sizeof(path), "%s/nowhere", w->dir);
    w->names[1] = path;
    w->opt.n_names = 2;
    assert_int_equal(run(w), EXITS_NOINPUT);
    assert_non_null(strstr(w->said, "/nowhere: No such file"));
    assert_int_equal(w->gw.opens, 0);
    w->opt.n_names = 1;
    snprintf(path, sizeof(path), "%s/a.json", w->dir);
    unlink(path);
    assert_int_equal(run(w), EXITS_NOINPUT);
    assert_non_null(strstr(w->said, "there is no file *.json below it"));
}

static void
a_file_that_is_too_large_or_empty_is_named_and_the_others_go(void **state)
{
    struct world *w = *state;
    char big[4097];

    memset(big, ' ', sizeof(big));
    file_of(w, "a.json", "{}", 2);
    file_of(w, "big.json", big, sizeof(big));
    file_of(w, "empty.json", "", 0);
    folder(w, "x");
    folder(w, "x/y");
    file_of(w, "x/y/z.json", big, sizeof(big) - 1);
    assert_int_equal(run(w), EXITS_REFUSED);
    assert_int_equal(w->gw.n_bundles, 2);
    assert_non_null(strstr(w->said, "/big.json: 4097 bytes, and the gateway takes at most 4096"));
    assert_non_null(strstr(w->said, "/empty.json: is empty"));
    assert_non_null(strstr(w->out, "pushed=2 acked=2"));
    assert_non_null(strstr(w->out, "skipped=2"));
}

static void
a_refused_file_is_named(void **state)
{
    struct world *w = *state;

    file_of(w, "a.json", "{}", 2);
    file_of(w, "b.json", "{}", 2);
    w->opt.repeat = 2;
    w->gw.refuse_from = w->gw.refuse_to = 4;
    assert_int_equal(run(w), EXITS_REFUSED);
    assert_non_null(strstr(w->said, "/b.json: refused (unroutable): no queue is bound"));
    assert_non_null(strstr(w->out, "pushed=4 acked=3 nacked=1"));
}

static void
repeat_and_count_say_how_many(void **state)
{
    struct world *w = *state;

    file_of(w, "a.json", "{}", 2);
    file_of(w, "b.json", "[]", 2);
    w->opt.repeat = 3;
    w->opt.count = 5;
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 5);
    assert_body(w, 4, "{}", 2);
}

static void
synthetic_bodies_differ_in_their_first_16_bytes(void **state)
{
    struct world *w = *state;

    w->opt.n_names = 0;
    w->opt.size = 100;
    w->opt.count = 50;
    w->gw.busy = 3; /* no room at first: it is waited for */
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 50);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(w->gw.bundle[i].len, 100);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(w->gw.bundle[i].body, w->gw.bundle[k].body, BODY_PREFIX);
    }
    w->opt.size = 5000;
    assert_int_equal(run(w), EXITS_REFUSED);
    assert_non_null(strstr(w->said, "at most 4096"));
}

static void
connectors_take_turns(void **state)
{
    struct world *w = *state;

    w->opt.n_names = 0;
    w->opt.size = 16;
    w->opt.count = 6;
    w->opt.handles = 3;
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.opens, 3);
    assert_string_equal(w->gw.bundle[0].id, "stix-file-1");
    assert_string_equal(w->gw.bundle[1].id, "stix-file-2");
    assert_string_equal(w->gw.bundle[2].id, "stix-file-3");
    assert_string_equal(w->gw.bundle[3].id, "stix-file-1");
    assert_non_null(strstr(w->out, "pushed=6 acked=6"));
}

static void
a_rate_is_bundles_or_bytes_a_second(void **state)
{
    static const struct {
        const char *text;
        bool        ok, bytes;
        double      per_s;
    } rows[] = {
        {"100/s", true, false, 100},
        {"0.5/s", true, false, 0.5},
        {"10MB/s", true, true, 1e7},
        {"1.5KiB/s", true, true, 1536},
        {"100", false, false, 0},
        {"/s", false, false, 0},
        {"0/s", false, false, 0},
        {"-1/s", false, false, 0},
        {"1.2.3/s", false, false, 0},
        {"10XB/s", false, false, 0},
        {"10/m", false, false, 0},
    };
    struct pace p;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int rc = pace_parse(rows[i].text, &p, &err);

        if ((rc == 0) != rows[i].ok)
            fail_msg("%s: %d", rows[i].text, rc);
        if (rc != 0) {
            assert_non_null(strstr(err.text, "such as 100/s or 10MB/s"));
            continue;
        }
        assert_int_equal(p.bytes, rows[i].bytes);
        assert_true(p.per_s == rows[i].per_s);
    }
}

static void
what_is_due_does_not_wait_for_what_was_late(void **state)
{
    struct pace p = {.per_s = 1000, .bytes = true, .start_us = 5000000};

    (void)state;
    assert_int_equal(pace_due(&p), 5000000);
    pace_gone(&p, 100, 5700000); /* 0.7 s late */
    assert_int_equal(pace_due(&p), 5100000);
    pace_gone(&p, 900, 5700000);
    assert_int_equal(pace_due(&p), 6000000);
    assert_int_equal(p.late_us, 700000);
}

static void
the_rate_holds_bundles_back(void **state)
{
    struct world *w = *state;
    int64_t start = clock_mono_us();

    w->opt.n_names = 0;
    w->opt.size = 16;
    w->opt.count = 11;
    assert_int_equal(pace_parse("100/s", &w->opt.pace, NULL), 0);
    assert_int_equal(run(w), EXITS_OK);
    assert_true(clock_mono_us() - start >= 100000); /* the last is due after 10 of 10 ms */
}

/* A first and a second signal during the fourth push: no grace is left for the flush. */
static void
stop_at_the_fourth(const struct sluice_double *d)
{
    if (d->n_bundles == 4)
        stop_set(2);
}

static void
a_signal_ends_the_pushing_and_what_is_left_is_told(void **state)
{
    struct world *w = *state;

    w->opt.n_names = 0;
    w->opt.size = 16;
    w->opt.count = 10;
    w->gw.no_answers = true;
    w->gw.on_push = stop_at_the_fourth;
    assert_int_equal(run(w), EXITS_LATER);
    assert_non_null(strstr(w->said, "stopped by a signal: 4 of 10 bundles were pushed, 4 of these unanswered"));
    assert_int_equal(w->gw.n_bundles, 4);
    assert_non_null(strstr(w->out, "pushed=4 acked=0 nacked=0 dead=0 bytes=64 unanswered=4"));
}

static void
a_signal_is_taken_and_counted(void **state)
{
    struct world *w = *state;

    assert_int_equal(stop_watch(NULL), 0);
    assert_int_equal(stop_asked(), 0);
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(stop_asked(), 1);
    assert_int_equal(raise(SIGINT), 0);
    assert_int_equal(stop_asked(), 2);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    (void)w;
}

static void
stop_when_idle(const struct sluice_double *gw)
{
    (void)gw;
    stop_set(1);
}

static void
with_a_period_each_run_pushes_the_files_again(void **state)
{
    static const struct setup hourly = {.period = "PT1H"};
    struct world *w = *state;

    file_of(w, "a.json", "{}", 2);
    file_of(w, "empty.json", "", 0);
    w->opt.setup = &hourly;
    w->gw.permits = 3;
    w->gw.on_idle = stop_when_idle;
    assert_int_equal(run(w), EXITS_OK);
    assert_string_equal(w->gw.period, "PT1H");
    assert_int_equal(w->gw.n_bundles, 3);
    assert_int_equal(w->gw.ends, 3);
    assert_int_equal(w->gw.outcome, SLUICE_RUN_FAILED); /* a file could not be pushed, each time */
    assert_non_null(strstr(w->out, "pushed=1 acked=1 nacked=0 dead=0 bytes=2 unanswered=0 skipped=1"));
    assert_null(strstr(w->out, "pushed=2"));
}

static void
run_and_terminate_that_is_held_ends_with_status_75(void **state)
{
    static const struct setup once = {.schedule = {.run_and_terminate = 1}};
    struct world *w = *state;

    file_of(w, "a.json", "{}", 2);
    w->opt.setup = &once;
    w->gw.held = true;
    assert_int_equal(run(w), 75);
    assert_int_equal(w->gw.n_bundles, 0);
    w->gw.permits = 1;
    assert_int_equal(run(w), EXITS_OK);
    assert_true(w->gw.terminate);
    assert_int_equal(w->gw.n_bundles, 1);
}

#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(with_a_period_each_run_pushes_the_files_again),
        WITH_WORLD(run_and_terminate_that_is_held_ends_with_status_75),
        cmocka_unit_test(a_rate_is_bundles_or_bytes_a_second),
        cmocka_unit_test(what_is_due_does_not_wait_for_what_was_late),
        WITH_WORLD(files_arrive_byte_for_byte_in_the_order_of_their_names),
        WITH_WORLD(every_bundle_says_the_format_and_the_options_that_were_asked_for),
        WITH_WORLD(a_file_that_is_named_is_taken_whatever_its_name),
        WITH_WORLD(a_name_that_is_not_there_ends_it_before_the_gateway_is_asked),
        WITH_WORLD(a_file_that_is_too_large_or_empty_is_named_and_the_others_go),
        WITH_WORLD(a_refused_file_is_named),
        WITH_WORLD(repeat_and_count_say_how_many),
        WITH_WORLD(synthetic_bodies_differ_in_their_first_16_bytes),
        WITH_WORLD(connectors_take_turns),
        WITH_WORLD(the_rate_holds_bundles_back),
        WITH_WORLD(a_signal_ends_the_pushing_and_what_is_left_is_told),
        WITH_WORLD(a_signal_is_taken_and_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
