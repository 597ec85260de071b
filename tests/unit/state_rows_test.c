/* state_rows_test.c - the state's promises for schedules: rows come back as they were stored last, a state and the row
 * that goes with it are stored together or not at all, and what was cleared stays cleared. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "err.h"
#include "mailbox.h"
#include "store/state.h"

enum { PATH = 512, ROWS_MAX = 300 };

struct world {
    char             dir[64];
    struct mailbox  *answers;
    struct state    *state;
    struct state_row rows[ROWS_MAX]; /* as read at the last opening */
    size_t           n_rows;
    struct state_answer *taken;      /* lent by the mailbox */
    size_t           n_taken, at;
    struct err       err;
};

/* SQLite's flushes, which this program stands in front of: how many shall fail. */
static atomic_int flushes_to_fail;

int
fdatasync(int fd) // NOLINT(readability-inconsistent-declaration-parameter-name)
{
    if (atomic_load(&flushes_to_fail) > 0) {
        atomic_fetch_sub(&flushes_to_fail, 1);
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

static void
keep(void *ctx, const struct state_row *row)
{
    struct world *w = ctx;

    assert_true(w->n_rows < ROWS_MAX);
    w->rows[w->n_rows++] = *row;
}

static void
open_state(struct world *w)
{
    w->state = state_open(w->dir, w->answers, NULL, &w->err);
    if (w->state == NULL)
        fail_msg("%s", w->err.text);
    w->n_rows = 0;
    if (state_rows(w->state, keep, w, &w->err) != 0)
        fail_msg("%s", w->err.text);
}

static void
open_again(struct world *w)
{
    state_close(w->state);
    open_state(w);
}

static int
world_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    *state = w;
    if (w == NULL)
        return -1;
    atomic_store(&flushes_to_fail, 0);
    strcpy(w->dir, "/tmp/sluice-rows-XXXXXX");
    if (mkdtemp(w->dir) == NULL || (w->answers = mailbox_new(sizeof(struct state_answer), NULL)) == NULL)
        return -1;
    open_state(w);
    return 0;
}

static int
world_down(void **state)
{
    static const char *const names[] = {"state.db", "state.db-wal", "state.db-journal", "sluice.lock"};
    struct world *w = *state;
    char path[PATH];

    state_close(w->state);
    mailbox_free(w->answers);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
        unlink(path);
    }
    rmdir(w->dir);
    free(w);
    return 0;
}

static struct state_answer
next_answer(struct world *w)
{
    while (w->at == w->n_taken) {
        struct pollfd fd = {.fd = mailbox_fd(w->answers), .events = POLLIN};
        void *taken = NULL;
        if (poll(&fd, 1, 10000) <= 0)
            fail_msg("no answer came");
        w->n_taken = mailbox_take(w->answers, &taken);
        w->taken = taken;
        w->at = 0;
    }
    return w->taken[w->at++];
}

/* The next answer is of this kind and has this ticket; returns its version. */
static uint64_t
assert_answer(struct world *w, enum state_answer_kind kind, uint64_t ticket)
{
    const struct state_answer a = next_answer(w);

    if (a.kind != kind)
        fail_msg("an answer of kind %d, not %d: %s", (int)a.kind, (int)kind, a.text == NULL ? "" : a.text);
    assert_int_equal(a.ticket, ticket);
    free(a.bytes);
    free(a.text);
    return a.version;
}

static void
assert_state(struct world *w, const char *connector, const char *text, uint64_t version)
{
    struct state_answer a;

    assert_int_equal(state_get(w->state, connector, 7, &w->err), 0);
    a = next_answer(w);
    assert_int_equal(a.kind, STATE_GOT);
    assert_int_equal(a.version, version);
    assert_int_equal(a.len, strlen(text));
    if (a.len > 0)
        assert_memory_equal(a.bytes, text, a.len);
    free(a.bytes);
}

static struct state_row
row_of(const char *connector)
{
    struct state_row row = {.kind = WIRE_S_PERIOD + 1, .ran = true, .period_us = 3600000000};

    snprintf(row.connector, sizeof(row.connector), "%s", connector);
    return row;
}

static void
store(struct world *w, const struct state_row *row)
{
    assert_int_equal(state_row(w->state, row, 1, &w->err), 0);
    assert_answer(w, STATE_ROW_STORED, 1);
}

static void
set_with(struct world *w, const char *text, uint64_t version, const struct state_row *row)
{
    void *bytes = strdup(text);

    assert_int_equal(state_set_with_row(w->state, row->connector, &bytes, strlen(text), version, row, 3, &w->err), 0);
    assert_null(bytes);
}

static void
run_sql(const struct world *w, const char *sql)
{
    sqlite3 *db;
    char path[PATH], *said = NULL;

    snprintf(path, sizeof(path), "%s/state.db", w->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &said) != SQLITE_OK)
        fail_msg("%s", said);
    sqlite3_close(db);
}

/* --- rows --- */

static void
a_row_comes_back_after_a_restart_with_every_field(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of("kev");

    row.paused = row.has_run = row.has_ended = true;
    memset(row.run, 0xA5, sizeof(row.run));
    memset(row.ended, 0, sizeof(row.ended));
    row.period_us = INT64_C(1000000000000000000);
    row.last_run_us = 1809639014400517;
    row.next_run_us = INT64_MAX;
    store(w, &row);
    open_again(w);
    assert_int_equal(w->n_rows, 1);
    assert_memory_equal(&w->rows[0], &row, sizeof(row));
}

static void
a_row_without_runs_and_times_comes_back_without(void **state)
{
    struct world *w = *state;
    struct state_row row = {.connector = "kev"};

    store(w, &row);
    open_again(w);
    assert_int_equal(w->n_rows, 1);
    assert_memory_equal(&w->rows[0], &row, sizeof(row));
}

static void
of_many_rows_of_a_connector_the_last_one_stays(void **state)
{
    struct world *w = *state;
    struct state_row kev = row_of("kev"), file = row_of("file");

    for (int i = 1; i <= 200; i++) {
        kev.last_run_us = i;
        file.last_run_us = 1000 - i;
        assert_int_equal(state_row(w->state, &kev, (uint64_t)i, &w->err), 0);
        assert_int_equal(state_row(w->state, &file, 1000 + (uint64_t)i, &w->err), 0);
    }
    for (int i = 1; i <= 200; i++) {
        assert_answer(w, STATE_ROW_STORED, (uint64_t)i);
        assert_answer(w, STATE_ROW_STORED, 1000 + (uint64_t)i);
    }
    open_again(w);
    assert_int_equal(w->n_rows, 2);
    assert_string_equal(w->rows[0].connector, "file");
    assert_int_equal(w->rows[0].last_run_us, 800);
    assert_int_equal(w->rows[1].last_run_us, 200);
}

static void
a_row_for_later_is_stored_before_what_is_asked_for_next(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of("kev");

    assert_int_equal(state_row_later(w->state, &row, 1, &w->err), 0);
    row.paused = true;
    assert_int_equal(state_row(w->state, &row, 2, &w->err), 0);
    assert_answer(w, STATE_ROW_STORED, 1);
    assert_answer(w, STATE_ROW_STORED, 2);
    open_again(w);
    assert_int_equal(w->n_rows, 1);
    assert_true(w->rows[0].paused);
}

static void
a_row_for_later_is_stored_when_the_state_is_woken_or_closed(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of("kev");

    assert_int_equal(state_row_later(w->state, &row, 1, &w->err), 0);
    state_wake(w->state);
    assert_answer(w, STATE_ROW_STORED, 1);
    row.paused = true;
    assert_int_equal(state_row_later(w->state, &row, 2, &w->err), 0);
    open_again(w);
    assert_int_equal(w->n_rows, 1);
    assert_true(w->rows[0].paused);
}

static void
a_row_that_the_disk_does_not_take_says_so_and_changes_nothing(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of("kev");

    store(w, &row);
    row.last_run_us = 5;
    atomic_store(&flushes_to_fail, 1);
    assert_int_equal(state_row(w->state, &row, 9, &w->err), 0);
    assert_answer(w, STATE_ROW_FAILED, 9);
    open_again(w);
    assert_int_equal(w->rows[0].last_run_us, 0);
}

static void
what_is_not_the_row_of_a_schedule_is_refused(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of(""), endless = row_of("kev"), strange = row_of("kev");

    memset(endless.connector, 'a', sizeof(endless.connector));
    strange.kind = WIRE_S_CONTINUOUS + 2;
    assert_int_equal(state_row(w->state, &row, 1, &w->err), -1);
    assert_int_equal(state_row(w->state, &endless, 1, &w->err), -1);
    assert_int_equal(state_row(w->state, &strange, 1, &w->err), -1);
}

static void
rows_are_read_before_the_first_request_only(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of("kev");

    store(w, &row);
    assert_int_equal(state_rows(w->state, keep, w, &w->err), -1);
}

static void
a_file_of_version_1_gets_its_rows_and_keeps_what_it_has(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of("kev");

    set_with(w, "cursor", 0, &row);
    assert_int_equal(assert_answer(w, STATE_SAVED, 3), 1);
    state_close(w->state);
    run_sql(w, "PRAGMA journal_mode = DELETE; DROP TABLE schedule; DROP TABLE dead_letter; PRAGMA user_version = 1;");
    open_state(w);
    assert_int_equal(w->n_rows, 0);
    assert_state(w, "kev", "cursor", 1);
    store(w, &row);
    open_again(w);
    assert_int_equal(w->n_rows, 1);
}

static void
a_file_that_lacks_its_rows_is_damaged_and_refused(void **state)
{
    struct world *w = *state;

    state_close(w->state);
    run_sql(w, "PRAGMA journal_mode = DELETE; DROP TABLE schedule;");
    w->state = state_open(w->dir, w->answers, NULL, &w->err);
    assert_null(w->state);
    assert_int_equal(w->err.code, ERR_CONFIG);
    assert_non_null(strstr(w->err.text, "damaged"));
}

/* --- dead letters --- */

struct letters {
    struct dead_letter at[4];
    size_t            n;
};

static void
keep_dead(void *ctx, const struct dead_letter *dead)
{
    struct letters *l = ctx;

    assert_true(l->n < 4);
    l->at[l->n++] = *dead;
}

static struct letters
letters_after_restart(struct world *w)
{
    struct letters l = {.n = 0};

    open_again(w);
    assert_int_equal(state_each_dead(w->state, keep_dead, &l, &w->err), 0);
    return l;
}

static struct dead_letter
letter_of(const char *connector, uint64_t pos)
{
    struct dead_letter d = {.pos = pos, .epoch = 7, .seq = 8, .size = 9, .at_us = 1795223999000000};

    snprintf(d.connector, sizeof(d.connector), "%s", connector);
    snprintf(d.reason, sizeof(d.reason), "unroutable");
    snprintf(d.text, sizeof(d.text), "no queue is bound for 'a\"b'");
    return d;
}

static void
a_dead_letter_is_there_after_a_restart_until_it_is_none_any_more(void **state)
{
    struct world *w = *state;
    const struct dead_letter one = letter_of("kev", 1), two = letter_of("kev", 2), other = letter_of("ics", 1);
    struct letters l;

    assert_int_equal(state_dead(w->state, &one, &w->err), 0);
    assert_int_equal(state_dead(w->state, &two, &w->err), 0);
    assert_int_equal(state_dead(w->state, &other, &w->err), 0);
    l = letters_after_restart(w);
    assert_int_equal(l.n, 3);
    assert_memory_equal(&l.at[0], &other, sizeof(other));
    assert_memory_equal(&l.at[1], &one, sizeof(one));
    assert_memory_equal(&l.at[2], &two, sizeof(two));

    assert_int_equal(state_undead(w->state, "kev", 1, &w->err), 0);
    assert_int_equal(state_undead(w->state, "kev", 5, &w->err), 0);
    l = letters_after_restart(w);
    assert_int_equal(l.n, 2);
    assert_memory_equal(&l.at[1], &two, sizeof(two));
}

static void
a_dead_letter_at_the_same_place_takes_the_place_of_the_last(void **state)
{
    struct world *w = *state;
    struct dead_letter one = letter_of("kev", 1);
    struct letters l;

    assert_int_equal(state_dead(w->state, &one, &w->err), 0);
    one.seq = 99;
    assert_int_equal(state_dead(w->state, &one, &w->err), 0);
    l = letters_after_restart(w);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.at[0].seq, 99);
}

static void
dead_letters_get_no_answer_and_are_read_before_the_first_request_only(void **state)
{
    struct world *w = *state;
    const struct dead_letter one = letter_of("kev", 1);
    struct state_row row = row_of("kev");
    struct letters l = {.n = 0};

    assert_int_equal(state_dead(w->state, &one, &w->err), 0);
    store(w, &row); /* the answer to the row is the first there is */
    assert_int_equal(state_each_dead(w->state, keep_dead, &l, &w->err), -1);
}

static void
a_file_of_version_3_has_no_dead_letters_and_can_take_some(void **state)
{
    struct world *w = *state;
    const struct dead_letter one = letter_of("kev", 1);
    struct state_row row = row_of("kev");

    store(w, &row);
    state_close(w->state);
    run_sql(w, "PRAGMA journal_mode = DELETE; DROP TABLE dead_letter; PRAGMA user_version = 3;");
    open_state(w);
    assert_int_equal(w->n_rows, 1);
    assert_int_equal(state_dead(w->state, &one, &w->err), 0);
    assert_int_equal(letters_after_restart(w).n, 1);
}

/* --- a state and a row as one --- */

static void
a_state_and_its_row_are_stored_together(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of("kev");

    row.last_run_us = 5;
    set_with(w, "cursor", 0, &row);
    assert_int_equal(assert_answer(w, STATE_SAVED, 3), 1);
    open_again(w);
    assert_int_equal(w->rows[0].last_run_us, 5);
    assert_state(w, "kev", "cursor", 1);
}

static void
with_a_stale_state_the_row_stays_as_it_was(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of("kev");

    set_with(w, "cursor", 0, &row);
    assert_answer(w, STATE_SAVED, 3);
    row.last_run_us = 5;
    set_with(w, "echo", 0, &row);
    assert_int_equal(assert_answer(w, STATE_STALE, 3), 1);
    open_again(w);
    assert_int_equal(w->rows[0].last_run_us, 0);
    assert_state(w, "kev", "cursor", 1);
}

static void
where_the_disk_fails_neither_the_state_nor_the_row_is_stored(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of("kev");

    store(w, &row);
    row.last_run_us = 5;
    atomic_store(&flushes_to_fail, 1);
    set_with(w, "cursor", 0, &row);
    assert_answer(w, STATE_FAILED, 3);
    open_again(w);
    assert_int_equal(w->rows[0].last_run_us, 0);
    assert_state(w, "kev", "", 0);
}

/* --- clearing --- */

static void
what_is_cleared_is_empty_with_the_next_version(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of("kev");

    set_with(w, "cursor", 0, &row);
    assert_answer(w, STATE_SAVED, 3);
    assert_int_equal(state_clear(w->state, "kev", 4, &w->err), 0);
    assert_int_equal(assert_answer(w, STATE_CLEARED, 4), 2);
    assert_state(w, "kev", "", 2);
    open_again(w);
    assert_int_equal(w->n_rows, 1);
    assert_state(w, "kev", "", 2);
}

static void
an_echo_of_what_was_cleared_cannot_bring_it_back(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of("kev");

    assert_int_equal(state_clear(w->state, "kev", 4, &w->err), 0);
    set_with(w, "never seen a version", 0, &row);
    assert_int_equal(assert_answer(w, STATE_CLEARED, 4), 1);
    assert_int_equal(assert_answer(w, STATE_STALE, 3), 1);
    assert_state(w, "kev", "", 1);
}

static void
a_clear_that_the_disk_does_not_take_says_so(void **state)
{
    struct world *w = *state;
    struct state_row row = row_of("kev");

    set_with(w, "cursor", 0, &row);
    assert_answer(w, STATE_SAVED, 3);
    atomic_store(&flushes_to_fail, 1);
    assert_int_equal(state_clear(w->state, "kev", 4, &w->err), 0);
    assert_answer(w, STATE_CLEAR_FAILED, 4);
    assert_state(w, "kev", "cursor", 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_row_comes_back_after_a_restart_with_every_field),
        TEST(a_row_without_runs_and_times_comes_back_without),
        TEST(of_many_rows_of_a_connector_the_last_one_stays),
        TEST(a_row_for_later_is_stored_before_what_is_asked_for_next),
        TEST(a_row_for_later_is_stored_when_the_state_is_woken_or_closed),
        TEST(a_row_that_the_disk_does_not_take_says_so_and_changes_nothing),
        TEST(what_is_not_the_row_of_a_schedule_is_refused),
        TEST(rows_are_read_before_the_first_request_only),
        TEST(a_file_of_version_1_gets_its_rows_and_keeps_what_it_has),
        TEST(a_file_that_lacks_its_rows_is_damaged_and_refused),
        TEST(a_dead_letter_is_there_after_a_restart_until_it_is_none_any_more),
        TEST(a_dead_letter_at_the_same_place_takes_the_place_of_the_last),
        TEST(dead_letters_get_no_answer_and_are_read_before_the_first_request_only),
        TEST(a_file_of_version_3_has_no_dead_letters_and_can_take_some),
        TEST(a_state_and_its_row_are_stored_together),
        TEST(with_a_stale_state_the_row_stays_as_it_was),
        TEST(where_the_disk_fails_neither_the_state_nor_the_row_is_stored),
        TEST(what_is_cleared_is_empty_with_the_next_version),
        TEST(an_echo_of_what_was_cleared_cannot_bring_it_back),
        TEST(a_clear_that_the_disk_does_not_take_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
