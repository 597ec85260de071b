/* log_test.c - a line per event that no outside text can break, and no flood. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "err.h"
#include "log.h"

enum { OUT_MAX = 1024 * 1024 };

/* The clocks that log.c sees in place of clock.c, and the calloc that fails on demand (linked with --wrap).
 * The linker leaves no other way in than file scope. */
static _Atomic int64_t mono_us, wall_us;
static bool fail_calloc;

int64_t
clock_mono_us(void)
{
    return mono_us;
}

int64_t
clock_wall_us(void)
{
    return wall_us;
}

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker chose these names */
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *
__wrap_calloc(size_t n, size_t size)
{
    return fail_calloc ? NULL : __real_calloc(n, size);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

struct world {
    struct log *log;
    int         fd;
    char       *out; /* what was written, after written() */
};

/* A file in memory.  Appending, since the position of such a file is not shared safely between threads, as that
 * of a file on disk or a pipe is. */
static int
open_memory(void)
{
    const int fd = memfd_create("log", MFD_CLOEXEC);

    return fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) == 0 ? fd : -1;
}

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return -1;
    mono_us = INT64_C(5000000000);
    wall_us = INT64_C(1795219200123456); /* 2026-11-21T00:00:00.123456Z */
    w->fd = open_memory();
    w->out = calloc(1, OUT_MAX);
    w->log = log_new(w->fd, LOG_KEYVALUE, LOG_INFO, NULL);
    *state = w;
    return w->fd < 0 || w->out == NULL || w->log == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    log_free(w->log);
    close(w->fd);
    free(w->out);
    free(w);
    return 0;
}

/* All that was written so far. */
static const char *
written(struct world *w)
{
    const ssize_t n = pread(w->fd, w->out, OUT_MAX - 1, 0);

    assert_true(n >= 0 && n < OUT_MAX - 1);
    w->out[n] = '\0';
    return w->out;
}

/* The same, and forget it. */
static const char *
take_written(struct world *w)
{
    written(w);
    assert_int_equal(ftruncate(w->fd, 0), 0);
    return w->out;
}

static size_t
count_lines(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

#define HEAD "time=2026-11-21T00:00:00.123Z level=warn "

static void
a_line_tells_time_level_event_and_fields(void **state)
{
    struct world *w = *state;

    log_event(w->log, LOG_WARN, "broker_down", LOG_STR("host", "rabbit"), LOG_INT("retry_ms", 400),
              LOG_TEXT("id", "cisa-kev-and-more", 8));
    assert_string_equal(written(w), HEAD "event=broker_down host=rabbit retry_ms=400 id=cisa-kev\n");
}

static void
an_event_may_have_no_fields(void **state)
{
    struct world *w = *state;

    log_event(w->log, LOG_WARN, "started");
    assert_string_equal(take_written(w), HEAD "event=started\n");
    log_set(w->log, LOG_JSON, LOG_INFO);
    log_event(w->log, LOG_ERROR, "started");
    const char *line = "{\"time\":\"2026-11-21T00:00:00.123Z\",\"level\":\"error\",\"event\":\"started\"}\n";
    assert_string_equal(written(w), line);
}

static void
levels_above_the_chosen_one_are_not_written(void **state)
{
    struct world *w = *state;

    log_event(w->log, LOG_DEBUG, "detail");
    assert_string_equal(written(w), "");
    log_set(w->log, LOG_KEYVALUE, LOG_DEBUG);
    log_event(w->log, LOG_DEBUG, "detail");
    assert_int_equal(count_lines(take_written(w)), 1);
    log_set(w->log, LOG_KEYVALUE, LOG_ERROR);
    log_event(w->log, LOG_WARN, "detail");
    assert_string_equal(written(w), "");
}

static void
a_null_log_takes_everything_and_writes_nothing(void **state)
{
    (void)state;
    log_event((struct log *)NULL, LOG_ERROR, "x", LOG_STR("k", "v"));
    log_free(NULL);
}

struct value {
    const char *raw;
    size_t      len;
    const char *plain, *json;
};
#define RAW(s) s, sizeof(s) - 1

static const struct value values[] = {
    {RAW("word"), "word", "\"word\""},
    {RAW("a/b:c-d,e"), "a/b:c-d,e", "\"a/b:c-d,e\""},
    {RAW(""), "\"\"", "\"\""},
    {RAW("two words"), "\"two words\"", "\"two words\""},
    {RAW("k=v"), "\"k=v\"", "\"k=v\""},
    {RAW("say \"x\""), "\"say \\\"x\\\"\"", "\"say \\\"x\\\"\""},
    {RAW("a\\b"), "\"a\\\\b\"", "\"a\\\\b\""},
    {RAW("a\nlevel=error"), "\"a\\nlevel=error\"", "\"a\\nlevel=error\""},
    {RAW("a\tb"), "\"a\\tb\"", "\"a\\tb\""},
    {RAW("\x1B[2J"), "\"\\x1b[2J\"", "\"\\u001b[2J\""},
    {RAW("a\0b"), "\"a\\x00b\"", "\"a\\u0000b\""},
    {RAW("\x7F"), "\"\\x7f\"", "\"\\u007f\""},
    {RAW("\xC2\x9B"), "\"\\xc2\\x9b\"", "\"\\u009b\""},
    {RAW("\xE2\x80\xAE\xE2\x80\xAC"), "\"\\xe2\\x80\\xae\\xe2\\x80\\xac\"", "\"\\u202e\\u202c\""},
    {RAW("\xE2\x81\xA9"), "\"\\xe2\\x81\\xa9\"", "\"\\u2069\""},
    {RAW("caf\xC3\xA9"), "caf\xC3\xA9", "\"caf\xC3\xA9\""},
    {RAW("\xF0\x9F\x98\x80"), "\xF0\x9F\x98\x80", "\"\xF0\x9F\x98\x80\""},
    {RAW("a\xFFz"), "\"a\\xffz\"", "\"a\xEF\xBF\xBDz\""},
    {RAW("\xED\xA0\x80"), "\"\\xed\\xa0\\x80\"", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    {RAW("cut\xC3"), "\"cut\\xc3\"", "\"cut\xEF\xBF\xBD\""},
};
enum { VALUES = sizeof(values) / sizeof(values[0]) };

static void
values_are_quoted_and_escaped_where_needed(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < VALUES; i++) {
        char line[200];
        mono_us += 1000000;
        log_event(w->log, LOG_WARN, "e", LOG_TEXT("v", values[i].raw, values[i].len));
        snprintf(line, sizeof(line), HEAD "event=e v=%s\n", values[i].plain);
        assert_string_equal(take_written(w), line);
    }
}

static void
values_are_strict_json(void **state)
{
    struct world *w = *state;

    log_set(w->log, LOG_JSON, LOG_INFO);
    for (size_t i = 0; i < VALUES; i++) {
        json_error_t error;
        mono_us += 1000000;
        log_event(w->log, LOG_WARN, "e", LOG_TEXT("v", values[i].raw, values[i].len), LOG_INT("n", INT64_MIN));
        const char *line = take_written(w);
        const char *at = strstr(line, "\"v\":");
        assert_non_null(at);
        assert_memory_equal(at + 4, values[i].json, strlen(values[i].json));
        json_t *root = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
        if (root == NULL)
            fail_msg("%s: %s", error.text, line);
        assert_true(json_integer_value(json_object_get(root, "n")) == INT64_MIN);
        json_decref(root);
    }
}

static void
a_missing_text_is_an_empty_value(void **state)
{
    struct world *w = *state;

    log_event(w->log, LOG_WARN, "e", LOG_STR("a", NULL), LOG_TEXT("b", NULL, 5), LOG_TEXT("c", "x", -1));
    assert_string_equal(written(w), HEAD "event=e a=\"\" b=\"\" c=\"\"\n");
}

static void
a_long_value_is_cut_between_characters(void **state)
{
    struct world *w = *state;
    char text[2000];
    const char *e_acute = "\xC3\xA9";

    memset(text, 'x', sizeof(text));
    text[512] = '\0';
    log_event(w->log, LOG_WARN, "e", LOG_STR("v", text));
    assert_null(strstr(take_written(w), "..."));

    text[512] = 'x';
    text[sizeof(text) - 1] = '\0';
    log_event(w->log, LOG_WARN, "e", LOG_STR("v", text));
    assert_int_equal(strlen(take_written(w)), strlen(HEAD "event=e v=") + 512 + strlen("...\n"));

    for (size_t i = 511; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, e_acute, 2);
    log_event(w->log, LOG_WARN, "e", LOG_STR("v", text));
    assert_int_equal(strlen(take_written(w)), strlen(HEAD "event=e v=") + 511 + strlen("...\n"));
}

static void
what_does_not_fit_a_line_is_left_out_whole_and_counted(void **state)
{
    struct world *w = *state;
    char bad[512];

    memset(bad, '\x01', sizeof(bad));
    for (int json = 0; json < 2; json++) {
        log_set(w->log, json ? LOG_JSON : LOG_KEYVALUE, LOG_INFO);
        log_event(w->log, LOG_WARN, "e", LOG_TEXT("a", bad, sizeof(bad)), LOG_TEXT("b", bad, sizeof(bad)),
                  LOG_TEXT("c", bad, sizeof(bad)), LOG_STR("d", "fits"));
        const char *line = take_written(w);
        assert_int_equal(count_lines(line), 1);
        assert_true(strlen(line) <= 4096);
        if (json) {
            json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
            assert_non_null(root);
            assert_string_equal(json_string_value(json_object_get(root, "d")), "fits");
            assert_int_equal(json_integer_value(json_object_get(root, "fields_left_out")), 2);
            json_decref(root);
        } else {
            assert_non_null(strstr(line, " d=fits fields_left_out=2\n"));
        }
    }
}

static void
repeats_are_limited_and_counted(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 100; i++)
        log_event(w->log, LOG_WARN, "flood", LOG_INT("i", i));
    assert_int_equal(count_lines(take_written(w)), 10);

    mono_us += 1000000;
    log_event(w->log, LOG_WARN, "flood", LOG_INT("i", 100));
    const char *lines = take_written(w);
    assert_int_equal(count_lines(lines), 2);
    assert_non_null(strstr(lines, HEAD "event=log_left_out of=flood lines=90\n"));
    assert_non_null(strstr(lines, "event=flood i=100\n"));
}

static void
events_do_not_limit_each_other(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 50; i++)
        log_event(w->log, LOG_WARN, "flood");
    take_written(w);
    log_event(w->log, LOG_WARN, "other");
    assert_string_equal(take_written(w), HEAD "event=other\n");

    /* The next line of any event tells what the flood left out, also when the flood itself is over. */
    mono_us += 1000000;
    log_event(w->log, LOG_WARN, "other");
    assert_string_equal(take_written(w), HEAD "event=log_left_out of=flood lines=40\n" HEAD "event=other\n");
    mono_us += 1000000;
    log_event(w->log, LOG_WARN, "other");
    assert_string_equal(take_written(w), HEAD "event=other\n");
}

static void
no_count_is_lost_when_the_table_is_full(void **state)
{
    struct world *w = *state;
    char name[32];

    for (int i = 0; i < 11; i++)
        log_event(w->log, LOG_WARN, "first");
    mono_us += 1;
    for (int i = 0; i < 64; i++) { /* one more than there is room for: "first" makes room */
        snprintf(name, sizeof(name), "event_%d", i);
        log_event(w->log, LOG_WARN, name);
    }
    const char *lines = take_written(w);
    assert_int_equal(count_lines(lines), 10 + 64 + 1);
    assert_non_null(strstr(lines, "event=log_left_out of=first lines=1\n"));
}

static void
the_last_count_is_told_when_the_log_ends(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 12; i++)
        log_event(w->log, LOG_WARN, "flood");
    take_written(w);
    log_free(w->log);
    w->log = NULL;
    assert_string_equal(written(w), HEAD "event=log_left_out of=flood lines=2\n");
}

static void
time_is_cut_to_the_millisecond_and_survives_odd_clocks(void **state)
{
    struct world *w = *state;

    wall_us = INT64_C(951782399999999); /* the last microsecond of 2000-02-28 */
    log_event(w->log, LOG_WARN, "e");
    assert_non_null(strstr(take_written(w), "time=2000-02-28T23:59:59.999Z "));
    wall_us = -1;
    log_event(w->log, LOG_WARN, "e");
    assert_non_null(strstr(written(w), "time=1970-01-01T00:00:00.000Z "));
}

static void
errno_is_left_as_it_was(void **state)
{
    struct world *w = *state;

    close(w->fd);
    errno = EAGAIN;
    log_event(w->log, LOG_WARN, "nowhere");
    assert_int_equal(errno, EAGAIN);
    w->fd = open_memory(); /* for the teardown to close */
    assert_true(w->fd >= 0);
}

static void
without_memory_there_is_no_log(void **state)
{
    struct err err;
    (void)state;

    fail_calloc = true;
    struct log *log = log_new(2, LOG_JSON, LOG_INFO, &err);
    fail_calloc = false;
    assert_null(log);
    assert_int_equal(err.code, ERR_NOMEM);
}

/* A log to a pipe that nobody reads, and its other end. */
static struct log *
log_to_pipe(int ends[2], struct world *w)
{
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 16384) > 0);
    log_free(w->log);
    w->log = log_new(ends[1], LOG_KEYVALUE, LOG_INFO, NULL);
    assert_non_null(w->log);
    return w->log;
}

/* All that is in the pipe.  Returns its lines, and adds up what lines log_left_out tell. */
static size_t
drain(int fd, struct world *w, size_t *ret_told)
{
    size_t n = 0, lines = 0;
    ssize_t got;

    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (n < OUT_MAX - 1 && (got = read(fd, w->out + n, OUT_MAX - 1 - n)) > 0)
        n += (size_t)got;
    w->out[n] = '\0';
    *ret_told = 0;
    for (const char *line = w->out; *line != '\0'; line = strchr(line, '\n') + 1) {
        const char *told = strstr(line, "event=log_left_out of=all lines=");
        if (told != NULL && told < strchr(line, '\n'))
            *ret_told += strtoul(told + strlen("event=log_left_out of=all lines="), NULL, 10);
        else
            lines++;
    }
    return lines;
}

static void
a_reader_that_does_not_read_is_not_waited_for_and_told_what_it_missed(void **state)
{
    struct world *w = *state;
    int ends[2];
    size_t told;
    struct log *log = log_to_pipe(ends, w);

    alarm(60); /* a write that waits would wait for ever */
    for (int i = 0; i < 1000; i++) {
        mono_us += 1000000;
        log_event(log, LOG_WARN, "stuck", LOG_INT("i", i));
    }
    alarm(0);
    const size_t before = drain(ends[0], w, &told);
    assert_in_range(before, 1, 999);
    assert_int_equal(told, 0);

    log_event(log, LOG_WARN, "on");
    assert_int_equal(drain(ends[0], w, &told), 1);
    assert_int_equal(before + told, 1000);
    assert_non_null(strstr(w->out, "level=error event=log_left_out of=all lines="));
    log_event(log, LOG_WARN, "on");
    assert_int_equal(drain(ends[0], w, &told), 1);
    assert_int_equal(told, 0);
    close(ends[0]);
    close(ends[1]);
}

static void
what_was_left_out_as_a_repeat_is_told_even_if_its_count_found_no_room(void **state)
{
    struct world *w = *state;
    int ends[2];
    size_t told;
    struct log *log = log_to_pipe(ends, w);

    for (int i = 0; i < 30; i++)
        log_event(log, LOG_WARN, "flood");
    assert_int_equal(drain(ends[0], w, &told), 10);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], "\n", 1) == 1)
        ; /* full */
    mono_us += 1000000;
    log_event(log, LOG_WARN, "other");
    drain(ends[0], w, &told);
    log_free(log);
    w->log = NULL;
    drain(ends[0], w, &told);
    assert_int_equal(told, 20 + 1);
    close(ends[0]);
    close(ends[1]);
}

enum { WRITERS = 4, EACH = 500 };

static void *
write_many(void *arg)
{
    struct world *w = arg;

    for (int i = 0; i < EACH; i++) {
        atomic_fetch_add(&mono_us, 100000);
        log_event(w->log, LOG_WARN, "shared", LOG_INT("i", i), LOG_STR("v", "some words"));
        log_set(w->log, LOG_JSON, LOG_INFO);
    }
    return NULL;
}

static void
lines_of_several_threads_do_not_mix(void **state)
{
    struct world *w = *state;
    pthread_t threads[WRITERS];
    size_t told = 0;

    log_set(w->log, LOG_JSON, LOG_INFO);
    for (size_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, w), 0);
    for (size_t i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    log_free(w->log); /* tells what is still owed */
    w->log = NULL;

    written(w);
    for (char *line = strtok(w->out, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(root);
        const bool summary = strcmp(json_string_value(json_object_get(root, "event")), "log_left_out") == 0;
        told += summary ? (size_t)json_integer_value(json_object_get(root, "lines")) : 1;
        json_decref(root);
    }
    assert_int_equal(told, WRITERS * EACH);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_line_tells_time_level_event_and_fields),
        WITH_WORLD(an_event_may_have_no_fields),
        WITH_WORLD(levels_above_the_chosen_one_are_not_written),
        WITH_WORLD(values_are_quoted_and_escaped_where_needed),
        WITH_WORLD(values_are_strict_json),
        WITH_WORLD(a_missing_text_is_an_empty_value),
        WITH_WORLD(a_long_value_is_cut_between_characters),
        WITH_WORLD(what_does_not_fit_a_line_is_left_out_whole_and_counted),
        WITH_WORLD(repeats_are_limited_and_counted),
        WITH_WORLD(events_do_not_limit_each_other),
        WITH_WORLD(no_count_is_lost_when_the_table_is_full),
        WITH_WORLD(the_last_count_is_told_when_the_log_ends),
        WITH_WORLD(time_is_cut_to_the_millisecond_and_survives_odd_clocks),
        WITH_WORLD(errno_is_left_as_it_was),
        WITH_WORLD(a_reader_that_does_not_read_is_not_waited_for_and_told_what_it_missed),
        WITH_WORLD(what_was_left_out_as_a_repeat_is_told_even_if_its_count_found_no_room),
        WITH_WORLD(lines_of_several_threads_do_not_mix),
        cmocka_unit_test(a_null_log_takes_everything_and_writes_nothing),
        cmocka_unit_test(without_memory_there_is_no_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
