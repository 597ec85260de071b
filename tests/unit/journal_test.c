/* journal_test.c - the journal's promises: whole lines of JSON, in order, within the limit, and what is missing is
 * counted. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "err.h"
#include "log.h"
#include "store/journal.h"
#include "wire.h"

enum { PATH = 96, MIB = 1024 * 1024 };

struct world {
    char            dir[64], path[PATH], old_path[PATH + 2];
    struct log     *log;
    int             log_fd[2]; /* a pipe: what it says is waited for */
    struct journal *journal;
    struct err      err;
};

static int
world_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    *state = w;
    if (w == NULL)
        return -1;
    strcpy(w->dir, "/tmp/sluice-journal-XXXXXX");
    if (mkdtemp(w->dir) == NULL)
        return -1;
    if (pipe(w->log_fd) != 0 || (w->log = log_new(w->log_fd[1], LOG_KEYVALUE, LOG_INFO, NULL)) == NULL)
        return -1;
    snprintf(w->path, sizeof(w->path), "%s/journal.log", w->dir);
    snprintf(w->old_path, sizeof(w->old_path), "%s.1", w->path);
    return 0;
}

static int
world_down(void **state)
{
    struct world *w = *state;

    journal_close(w->journal);
    log_free(w->log);
    close(w->log_fd[0]);
    close(w->log_fd[1]);
    unlink(w->path);
    unlink(w->old_path);
    rmdir(w->dir);
    free(w);
    return 0;
}

static void
open_journal(struct world *w, uint64_t limit)
{
    w->journal = journal_open(w->dir, limit, w->log, &w->err);
    if (w->journal == NULL)
        fail_msg("%s", w->err.text);
}

static void
close_journal(struct world *w)
{
    journal_close(w->journal);
    w->journal = NULL;
}

static void
write_what(struct world *w, const char *what, const char *text)
{
    const struct journal_entry e = {
        .what = what, .connector = "kev", .text = text, .text_len = text == NULL ? 0 : strlen(text)};

    journal_write(w->journal, &e);
}

/* The next line of the log says this. */
static void
assert_logged(struct world *w, const char *what)
{
    struct pollfd fd = {.fd = w->log_fd[0], .events = POLLIN};
    char line[1024];
    ssize_t n;

    assert_int_equal(poll(&fd, 1, 60000), 1);
    n = read(fd.fd, line, sizeof(line) - 1);
    assert_true(n > 0);
    line[n] = '\0';
    assert_non_null(strstr(line, what));
}

static off_t
size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_size : 0;
}

/* Every line of the file as JSON, one array; a line that is none fails the test. */
static json_t *
read_lines(const char *path)
{
    json_t *lines = json_array();
    json_error_t why;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    while ((n = getline(&line, &cap, f)) > 0) {
        json_t *one = json_loads(line, JSON_REJECT_DUPLICATES, &why);
        if (one == NULL || line[n - 1] != '\n')
            fail_msg("%s: %s", why.text, line);
        json_array_append_new(lines, one);
    }
    free(line);
    fclose(f);
    return lines;
}

static const char *
word(const json_t *lines, size_t i, const char *key)
{
    return json_string_value(json_object_get(json_array_get(lines, i), key));
}

static void
a_decision_is_a_line_with_all_that_is_known_of_it(void **state)
{
    static const char text[] = "no \"feed\"\n\x1b[31m \xC3\xA9";
    const uint8_t run[WIRE_RUN_LEN] = {0x00, 0x01, 0xAB, [15] = 0xFF};
    struct world *w = *state;
    const struct journal_entry e = {.wall_us = 1795223999123456, .connector = "kev", .what = "hold",
                                    .reasons = WIRE_HOLD_QUEUE | WIRE_HOLD_DRAINING, .run = run,
                                    .due_us = 1795223940000000,
                                    .text = text, .text_len = sizeof(text) - 1};
    json_t *lines, *reasons;

    open_journal(w, MIB);
    journal_write(w->journal, &e);
    close_journal(w);
    lines = read_lines(w->path);
    assert_int_equal(json_array_size(lines), 1);
    assert_int_equal(json_object_size(json_array_get(lines, 0)), 7);
    assert_string_equal(word(lines, 0, "time"), "2026-11-21T01:19:59.123Z");
    assert_string_equal(word(lines, 0, "connector"), "kev");
    assert_string_equal(word(lines, 0, "what"), "hold");
    assert_string_equal(word(lines, 0, "due"), "2026-11-21T01:19:00.000Z");
    assert_string_equal(word(lines, 0, "run"), "0001ab000000000000000000000000ff");
    assert_string_equal(word(lines, 0, "text"), text);
    reasons = json_object_get(json_array_get(lines, 0), "reasons");
    assert_int_equal(json_array_size(reasons), 2);
    assert_string_equal(json_string_value(json_array_get(reasons, 0)), "queue");
    assert_string_equal(json_string_value(json_array_get(reasons, 1)), "draining");
    json_decref(lines);
}

static void
what_is_not_known_is_not_there(void **state)
{
    struct world *w = *state;
    const struct journal_entry e = {.what = "draining"};
    json_t *lines;

    open_journal(w, MIB);
    journal_write(w->journal, &e);
    close_journal(w);
    lines = read_lines(w->path);
    assert_int_equal(json_object_size(json_array_get(lines, 0)), 2);
    assert_string_equal(word(lines, 0, "what"), "draining");
    json_decref(lines);
}

static void
a_text_that_nothing_but_escapes_is_made_of_fits(void **state)
{
    struct world *w = *state;
    char text[WIRE_TEXT_MAX + 100];
    json_t *lines;

    memset(text, 1, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    open_journal(w, MIB);
    write_what(w, "failed", text);
    close_journal(w);
    lines = read_lines(w->path);
    assert_int_equal(strlen(word(lines, 0, "text")), WIRE_TEXT_MAX);
    json_decref(lines);
}

static void
lines_are_added_to_those_that_are_there_and_only_the_owner_reads_them(void **state)
{
    struct world *w = *state;
    struct stat st;
    json_t *lines;

    for (int i = 0; i < 3; i++) {
        open_journal(w, MIB);
        write_what(w, "permit", NULL);
        close_journal(w);
    }
    lines = read_lines(w->path);
    assert_int_equal(json_array_size(lines), 3);
    json_decref(lines);
    assert_int_equal(stat(w->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void
a_line_that_a_crash_cut_off_does_not_spoil_the_next(void **state)
{
    struct world *w = *state;
    char line[256] = "";
    FILE *f = fopen(w->path, "w");

    assert_non_null(f);
    fputs("{\"time\":\"2026-11", f);
    fclose(f);
    open_journal(w, MIB);
    write_what(w, "permit", NULL);
    close_journal(w);
    f = fopen(w->path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    assert_string_equal(line, "{\"time\":\"2026-11\n");
    assert_non_null(fgets(line, sizeof(line), f));
    assert_non_null(strstr(line, "\"what\":\"permit\"}\n"));
    fclose(f);
}

static void
both_files_stay_within_the_limit_and_the_newest_lines_are_there(void **state)
{
    struct world *w = *state;
    char text[16];
    json_t *lines;

    for (int i = 0; i < 4000; i++) {
        if (i % 500 == 0) {
            close_journal(w);
            open_journal(w, JOURNAL_LIMIT_MIN);
        }
        snprintf(text, sizeof(text), "%d", i);
        write_what(w, "permit", text);
    }
    close_journal(w);
    assert_true(size_of(w->path) + size_of(w->old_path) <= JOURNAL_LIMIT_MIN);
    assert_true(size_of(w->old_path) > 0);
    json_decref(read_lines(w->old_path));
    lines = read_lines(w->path);
    assert_string_equal(word(lines, json_array_size(lines) - 1, "text"), "3999");
    json_decref(lines);
}

static void
a_flood_never_waits_and_what_is_left_out_is_counted(void **state)
{
    enum { LINES = 8000 };
    struct world *w = *state;
    char text[1001];
    json_int_t seen = 0;
    json_t *lines, *left;

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    open_journal(w, 100 * (uint64_t)MIB);
    for (int i = 0; i < LINES; i++)
        write_what(w, "permit", text);
    close_journal(w);
    lines = read_lines(w->path);
    for (size_t i = 0; i < json_array_size(lines); i++) {
        left = json_object_get(json_array_get(lines, i), "lines");
        seen += left == NULL ? 1 : json_integer_value(left);
    }
    assert_int_equal(seen, LINES);
    json_decref(lines);
}

static void
a_disk_that_takes_no_more_costs_lines_and_nothing_else(void **state)
{
    struct world *w = *state;
    struct rlimit before, little;
    json_t *lines;
    json_int_t left = 0;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    open_journal(w, MIB);
    write_what(w, "first", NULL);
    close_journal(w);
    little = before;
    little.rlim_cur = (rlim_t)size_of(w->path) + 10; /* a piece of a line still fits */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    open_journal(w, MIB);
    write_what(w, "lost", NULL);
    close_journal(w);
    assert_logged(w, "event=journal_failed");
    lines = read_lines(w->path); /* the piece is gone again */
    assert_int_equal(json_array_size(lines), 1);
    json_decref(lines);

    open_journal(w, MIB);
    write_what(w, "lost", NULL);
    journal_wake(w->journal);
    assert_logged(w, "event=journal_failed");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    write_what(w, "last", NULL);
    close_journal(w);
    assert_logged(w, "event=journal_recovered");
    lines = read_lines(w->path);
    for (size_t i = 0; i < json_array_size(lines); i++)
        left += json_integer_value(json_object_get(json_array_get(lines, i), "lines"));
    assert_string_equal(word(lines, json_array_size(lines) - 1, "what"), "last");
    assert_int_equal(left + (json_int_t)json_array_size(lines), 4); /* first, left_out for one, last */
    json_decref(lines);
}

/* The thread writes when it comes to it. */
static void
await_line(struct world *w, const char *path)
{
    journal_wake(w->journal);
    for (int i = 0; i < 1000 && size_of(path) == 0; i++)
        poll(NULL, 0, 10);
    assert_true(size_of(path) > 0);
}

static void
a_file_that_is_removed_or_moved_away_is_made_anew(void **state)
{
    struct world *w = *state;
    json_t *lines;

    open_journal(w, MIB);
    write_what(w, "removed", NULL);
    await_line(w, w->path);
    assert_int_equal(unlink(w->path), 0);
    write_what(w, "moved", NULL);
    await_line(w, w->path);
    assert_int_equal(rename(w->path, w->old_path), 0);
    write_what(w, "there", NULL);
    close_journal(w);
    lines = read_lines(w->old_path);
    assert_int_equal(json_array_size(lines), 1);
    assert_string_equal(word(lines, 0, "what"), "moved");
    json_decref(lines);
    lines = read_lines(w->path);
    assert_int_equal(json_array_size(lines), 1);
    assert_string_equal(word(lines, 0, "what"), "there");
    json_decref(lines);
}

static void
what_is_not_a_file_of_ours_is_refused_by_name(void **state)
{
    struct world *w = *state;

    assert_int_equal(mkdir(w->path, 0700), 0);
    assert_null(journal_open(w->dir, MIB, NULL, &w->err));
    assert_int_equal(w->err.code, ERR_CONFIG);
    assert_non_null(strstr(w->err.text, w->path));
    rmdir(w->path);
    assert_int_equal(symlink("/dev/null", w->path), 0);
    assert_null(journal_open(w->dir, MIB, NULL, &w->err));
    assert_int_equal(w->err.code, ERR_CONFIG);
    unlink(w->path);
    assert_int_equal(mkfifo(w->path, 0600), 0);
    assert_null(journal_open(w->dir, MIB, NULL, &w->err));
    assert_int_equal(w->err.code, ERR_CONFIG);
    assert_non_null(strstr(w->err.text, "move it away"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_decision_is_a_line_with_all_that_is_known_of_it),
        TEST(what_is_not_known_is_not_there),
        TEST(a_text_that_nothing_but_escapes_is_made_of_fits),
        TEST(lines_are_added_to_those_that_are_there_and_only_the_owner_reads_them),
        TEST(a_line_that_a_crash_cut_off_does_not_spoil_the_next),
        TEST(both_files_stay_within_the_limit_and_the_newest_lines_are_there),
        TEST(a_flood_never_waits_and_what_is_left_out_is_counted),
        TEST(a_disk_that_takes_no_more_costs_lines_and_nothing_else),
        TEST(a_file_that_is_removed_or_moved_away_is_made_anew),
        TEST(what_is_not_a_file_of_ours_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
