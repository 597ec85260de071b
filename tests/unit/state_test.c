/* state_test.c - the state's promises: what is answered is on the disk, and what is not ours is left alone. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "err.h"
#include "mailbox.h"
#include "store/state.h"

enum { MIB = 1024 * 1024, PATH = 512, KILLS = 30, KILL_CONNECTORS = 8, SKIPPED = 77 };

struct world {
    char            dir[64];
    struct mailbox *answers;
    struct state   *state;
    struct state_answer *taken; /* lent by the mailbox */
    size_t          n_taken, at;
    struct err      err;
};

/* SQLite's flushes, which this program stands in front of: how many there were, and how many shall fail. */
static atomic_int flushes, flushes_to_fail;

int
fdatasync(int fd) // NOLINT(readability-inconsistent-declaration-parameter-name)
{
    atomic_fetch_add(&flushes, 1);
    if (atomic_load(&flushes_to_fail) > 0) {
        atomic_fetch_sub(&flushes_to_fail, 1);
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* The answers' mailbox grows by this, and is refused so often. */
static atomic_int growths_to_fail;
static pthread_t poster;

void *
reallocarray(void *at, size_t n, size_t size) // NOLINT(readability-inconsistent-declaration-parameter-name)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes))
        return NULL;
    if (!pthread_equal(pthread_self(), poster) && atomic_load(&growths_to_fail) > 0) {
        atomic_fetch_sub(&growths_to_fail, 1);
        return NULL;
    }
    return realloc(at, bytes);
}

static void
remove_folder(const char *dir)
{
    static const char *const names[] = {"state.db", "state.db-wal", "state.db-shm", "state.db-journal",
                                        "state.db.new", "state.db.new-journal", "sluice.lock", "ballast"};
    char path[PATH];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

static int
world_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return -1;
    *state = w;
    strcpy(w->dir, "/tmp/sluice-state-XXXXXX");
    if (mkdtemp(w->dir) == NULL || (w->answers = mailbox_new(sizeof(struct state_answer), NULL)) == NULL)
        return -1;
    return 0;
}

static int
world_down(void **state)
{
    struct world *w = *state;

    state_close(w->state);
    mailbox_free(w->answers);
    remove_folder(w->dir);
    free(w);
    return 0;
}

static struct state *
try_open(struct world *w)
{
    memset(&w->err, 0, sizeof(w->err));
    return w->state = state_open(w->dir, w->answers, NULL, &w->err);
}

static void
open_state(struct world *w)
{
    if (try_open(w) == NULL)
        fail_msg("%s", w->err.text);
}

static void
close_state(struct world *w)
{
    state_close(w->state);
    w->state = NULL;
}

static char *
path_in(const struct world *w, const char *name, char *buf)
{
    snprintf(buf, PATH, "%s/%s", w->dir, name);
    return buf;
}

/* The next answer, or kind -1 after ten seconds without one. */
static struct state_answer
next_answer(struct world *w)
{
    struct state_answer none = {.kind = (enum state_answer_kind)-1};

    while (w->at == w->n_taken) {
        struct pollfd fd = {.fd = mailbox_fd(w->answers), .events = POLLIN};
        void *taken = NULL;
        if (poll(&fd, 1, 60000) <= 0)
            return none;
        w->n_taken = mailbox_take(w->answers, &taken);
        w->taken = taken;
        w->at = 0;
    }
    return w->taken[w->at++];
}

static void
answer_drop(struct state_answer *a)
{
    free(a->bytes);
    free(a->text);
}

static int
ask_set(struct world *w, const char *connector, const void *from, size_t len, uint64_t version, uint64_t ticket)
{
    void *bytes = malloc(len == 0 ? 1 : len);

    if (bytes == NULL)
        return -1;
    memcpy(bytes, from, len);
    if (state_set(w->state, connector, &bytes, len, version, ticket, &w->err) == 0)
        return 0;
    free(bytes);
    return -1;
}

static struct state_answer
set(struct world *w, const char *connector, const void *from, size_t len, uint64_t version)
{
    assert_int_equal(ask_set(w, connector, from, len, version, 1), 0);
    return next_answer(w);
}

static struct state_answer
get(struct world *w, const char *connector)
{
    assert_int_equal(state_get(w->state, connector, 2, &w->err), 0);
    return next_answer(w);
}

static void
assert_state(struct world *w, const char *connector, const void *bytes, size_t len, uint64_t version)
{
    struct state_answer a = get(w, connector);

    assert_int_equal(a.kind, STATE_GOT);
    assert_int_equal(a.version, version);
    assert_int_equal(a.len, len);
    if (len > 0)
        assert_memory_equal(a.bytes, bytes, len);
    answer_drop(&a);
}

static void
assert_saved(struct state_answer a, uint64_t version)
{
    assert_int_equal(a.kind, STATE_SAVED);
    assert_int_equal(a.version, version);
    answer_drop(&a);
}

static void
assert_refused(struct world *w, enum err_code code, const char *words)
{
    assert_null(try_open(w));
    assert_int_equal(w->err.code, code);
    if (strstr(w->err.text, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, w->err.text);
}

/* --- states ---------------------------------------------------------------------------------------------------- */

static void
a_state_that_was_never_set_is_empty_at_version_0(void **state)
{
    struct world *w = *state;

    open_state(w);
    assert_state(w, "kev", NULL, 0, 0);
}

static void
what_was_set_is_there_after_a_restart(void **state)
{
    struct world *w = *state;

    open_state(w);
    assert_saved(set(w, "kev", "one", 3, 0), 1);
    assert_saved(set(w, "kev", "a\0b", 3, 1), 2);
    assert_saved(set(w, "other", "x", 1, 0), 1);
    close_state(w);
    open_state(w);
    assert_state(w, "kev", "a\0b", 3, 2);
    assert_state(w, "other", "x", 1, 1);
}

static void
a_set_on_a_version_that_is_not_current_changes_nothing(void **state)
{
    struct world *w = *state;
    static const uint64_t wrong[] = {0, 1, 3, INT64_MAX, UINT64_MAX};

    open_state(w);
    assert_saved(set(w, "kev", "one", 3, 0), 1);
    assert_saved(set(w, "kev", "two", 3, 1), 2);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct state_answer a = set(w, "kev", "bad", 3, wrong[i]);
        assert_int_equal(a.kind, STATE_STALE);
        assert_int_equal(a.version, 2);
        answer_drop(&a);
    }
    assert_state(w, "kev", "two", 3, 2);
}

static void
of_two_sets_on_one_version_that_wait_together_one_wins(void **state)
{
    struct world *w = *state;

    open_state(w);
    assert_int_equal(ask_set(w, "kev", "one", 3, 0, 10), 0);
    assert_int_equal(ask_set(w, "kev", "two", 3, 0, 11), 0);
    struct state_answer first = next_answer(w), second = next_answer(w);
    assert_int_equal(first.ticket, 10);
    assert_int_equal(first.kind, STATE_SAVED);
    assert_int_equal(second.ticket, 11);
    assert_int_equal(second.kind, STATE_STALE);
    assert_int_equal(second.version, 1);
    assert_state(w, "kev", "one", 3, 1);
}

static void
an_empty_state_is_a_state(void **state)
{
    struct world *w = *state;
    void *nothing = NULL;

    open_state(w);
    assert_saved(set(w, "kev", "one", 3, 0), 1);
    assert_int_equal(state_set(w->state, "kev", &nothing, 0, 1, 1, &w->err), 0);
    assert_saved(next_answer(w), 2);
    assert_state(w, "kev", NULL, 0, 2);
}

static void
a_state_of_1_MiB_is_kept_and_a_byte_more_is_refused(void **state)
{
    struct world *w = *state;
    char *big = malloc(MIB + 1);
    void *kept = big;

    assert_non_null(big);
    for (size_t i = 0; i <= MIB; i++)
        big[i] = (char)(i * 31 + i / 251);
    open_state(w);
    assert_int_equal(state_set(w->state, "kev", &kept, MIB + 1, 0, 1, &w->err), -1);
    assert_int_equal(w->err.code, ERR_PROTO);
    assert_ptr_equal(kept, big);
    assert_saved(set(w, "kev", big, MIB, 0), 1);
    close_state(w);
    open_state(w);
    assert_state(w, "kev", big, MIB, 1);
    free(big);
}

static void
many_requests_that_wait_together_are_answered_in_order(void **state)
{
    enum { N = 500 };
    struct world *w = *state;
    char id[32];

    open_state(w);
    for (unsigned i = 0; i < N; i++) {
        snprintf(id, sizeof(id), "c%u", i % 50);
        assert_int_equal(ask_set(w, id, &i, sizeof(i), i / 50, i), 0);
    }
    for (unsigned i = 0; i < N; i++) {
        struct state_answer a = next_answer(w);
        assert_int_equal(a.ticket, i);
        assert_saved(a, i / 50 + 1);
    }
}

static void
closing_finishes_what_was_asked(void **state)
{
    enum { N = 200 };
    struct world *w = *state;
    char id[32];

    open_state(w);
    for (unsigned i = 0; i < N; i++) {
        snprintf(id, sizeof(id), "c%u", i);
        assert_int_equal(ask_set(w, id, id, strlen(id), 0, i), 0);
    }
    close_state(w);
    for (unsigned i = 0; i < N; i++)
        assert_saved(next_answer(w), 1);
}

static void
an_id_that_is_too_long_is_refused(void **state)
{
    struct world *w = *state;
    char id[66];
    void *bytes = NULL;

    memset(id, 'a', 65);
    id[65] = '\0';
    open_state(w);
    assert_int_equal(state_get(w->state, id, 1, &w->err), -1);
    assert_int_equal(state_set(w->state, id, &bytes, 0, 0, 1, &w->err), -1);
    assert_int_equal(state_get(w->state, "", 1, &w->err), -1);
    id[64] = '\0';
    assert_state(w, id, NULL, 0, 0);
}

static void
nothing_is_answered_before_it_is_flushed(void **state)
{
    struct world *w = *state;

    open_state(w);
    for (uint64_t i = 0; i < 20; i++) {
        int before = atomic_load(&flushes);
        assert_saved(set(w, "kev", "x", 1, i), i + 1);
        assert_true(atomic_load(&flushes) > before);
    }
}

static void
a_flush_that_fails_is_told_and_changes_nothing(void **state)
{
    struct world *w = *state;

    open_state(w);
    assert_saved(set(w, "kev", "one", 3, 0), 1);
    atomic_store(&flushes_to_fail, 1);
    struct state_answer a = set(w, "kev", "two", 3, 1);
    assert_int_equal(a.kind, STATE_FAILED);
    assert_non_null(strstr(a.text, "state.db"));
    answer_drop(&a);
    assert_int_equal(atomic_load(&flushes_to_fail), 0);
    assert_state(w, "kev", "one", 3, 1);
    assert_saved(set(w, "kev", "three", 5, 1), 2);
    close_state(w);
    open_state(w);
    assert_state(w, "kev", "three", 5, 2);
}

static void
assert_not_saved_without(struct world *w, const char *name)
{
    char path[PATH], aside[PATH];

    assert_int_equal(rename(path_in(w, name, path), path_in(w, "ballast", aside)), 0);
    struct state_answer a = set(w, "kev", "two", 3, 1);
    assert_int_equal(a.kind, STATE_FAILED);
    assert_non_null(strstr(a.text, "removed or replaced"));
    answer_drop(&a);
    assert_int_equal(rename(aside, path), 0);
}

static void
nothing_is_called_saved_while_the_file_is_removed(void **state)
{
    struct world *w = *state;

    open_state(w);
    assert_saved(set(w, "kev", "one", 3, 0), 1);
    assert_not_saved_without(w, "state.db");
    assert_not_saved_without(w, "state.db-wal");
    assert_state(w, "kev", "one", 3, 1);
    assert_saved(set(w, "kev", "two", 3, 1), 2); /* it is back */
}

static void
an_answer_that_finds_no_memory_for_seconds_comes_all_the_same(void **state)
{
    struct world *w = *state;

    poster = pthread_self();
    open_state(w);
    atomic_store(&growths_to_fail, 150);
    assert_saved(set(w, "kev", "one", 3, 0), 1);
    assert_int_equal(atomic_load(&growths_to_fail), 0);
    atomic_store(&growths_to_fail, INT_MAX); /* and closing does not wait for it */
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(state_get(w->state, "kev", i, &w->err), 0);
    close_state(w);
    atomic_store(&growths_to_fail, 0);
}

/* --- marks ----------------------------------------------------------------------------------------------------- */

struct marks {
    struct state_mark at[8];
    size_t n;
};

static void
note(void *ctx, const struct state_mark *mark)
{
    struct marks *m = ctx;

    if (m->n < 8)
        m->at[m->n++] = *mark;
}

static void
write_mark(struct world *w, const char *connector, uint64_t epoch, uint64_t answered)
{
    struct state_mark mark = {.epoch = epoch, .answered = answered};

    snprintf(mark.connector, sizeof(mark.connector), "%s", connector);
    assert_int_equal(state_mark(w->state, &mark, 1, &w->err), 0);
}

static void
marks_are_there_after_a_restart_and_never_step_back(void **state)
{
    struct world *w = *state;
    struct marks m = {.n = 0};

    open_state(w);
    assert_int_equal(state_marks(w->state, note, &m, &w->err), 0);
    assert_int_equal(m.n, 0);
    write_mark(w, "a", 5, 10);
    write_mark(w, "a", 5, 9); /* late: ignored */
    write_mark(w, "b", 7, 3);
    write_mark(w, "b", 8, 0); /* a new epoch begins at 0 */
    write_mark(w, "c", INT64_MAX, INT64_MAX);
    close_state(w);

    open_state(w);
    assert_int_equal(state_marks(w->state, note, &m, &w->err), 0);
    assert_int_equal(m.n, 3);
    assert_string_equal(m.at[0].connector, "a");
    assert_int_equal(m.at[0].epoch, 5);
    assert_int_equal(m.at[0].answered, 10);
    assert_int_equal(m.at[1].epoch, 8);
    assert_int_equal(m.at[1].answered, 0);
    assert_true(m.at[2].epoch == INT64_MAX && m.at[2].answered == INT64_MAX);
}

static void
marks_outside_of_the_protocols_numbers_are_refused(void **state)
{
    struct world *w = *state;
    struct state_mark bad[] = {{"a", 0, 1}, {"a", 1, UINT64_MAX}, {"a", UINT64_MAX, 1}, {"", 1, 1}};

    open_state(w);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(state_mark(w->state, &bad[i], 1, &w->err), -1);
    assert_int_equal(state_mark(w->state, NULL, 0, &w->err), 0);
}

static void
marks_are_not_read_once_something_was_asked(void **state)
{
    struct world *w = *state;
    struct marks m = {.n = 0};

    open_state(w);
    assert_state(w, "kev", NULL, 0, 0);
    assert_int_equal(state_marks(w->state, note, &m, &w->err), -1);
}

/* --- what is refused at start ------------------------------------------------------------------------------------ */

static void
a_second_gateway_is_refused_and_told_who_has_the_folder(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    char pid[32];

    open_state(w);
    snprintf(pid, sizeof(pid), "process %ld)", (long)getpid());
    assert_null(state_open(w->dir, w->answers, NULL, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "another gateway"));
    assert_non_null(strstr(err.text, pid));
    assert_saved(set(w, "kev", "one", 3, 0), 1); /* the first did not notice */
    close_state(w);
    open_state(w);
}

static void
a_folder_that_is_missing_or_none_is_named_with_what_to_do(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    char path[PATH];

    assert_null(state_open(path_in(w, "missing", path), w->answers, NULL, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "mkdir"));
    assert_null(state_open("/dev/null", w->answers, NULL, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "not a folder"));
}

/* Run check in a child of another user; its exit status. */
static int
as_nobody(struct world *w, int (*check)(struct world *w))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(SKIPPED);
        _exit(check(w));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static int
opening_says_not_writable(struct world *w)
{
    if (try_open(w) != NULL || w->err.code != ERR_CONFIG)
        return 1;
    return strstr(w->err.text, "not writable for user") != NULL ? 0 : 2;
}

static void
a_folder_that_is_not_writable_is_named_with_what_to_do(void **state)
{
    struct world *w = *state;

    assert_int_equal(chmod(w->dir, 0555), 0);
    int rc = as_nobody(w, opening_says_not_writable);
    assert_int_equal(chmod(w->dir, 0700), 0);
    if (rc == SKIPPED)
        skip();
    assert_int_equal(rc, 0);
}

static void
run_sql(const struct world *w, const char *sql)
{
    sqlite3 *db = NULL;
    char path[PATH];

    assert_int_equal(sqlite3_open(path_in(w, "state.db", path), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static size_t
read_file(const struct world *w, char *buf, size_t cap)
{
    char path[PATH];
    FILE *f = fopen(path_in(w, "state.db", path), "rb");

    assert_non_null(f);
    size_t n = fread(buf, 1, cap, f);
    fclose(f);
    return n;
}

/* Refused with these words, and not a byte changed, nor a file added beside it. */
static void
assert_refused_untouched(struct world *w, const char *words)
{
    static char before[256 * 1024], after[256 * 1024];
    char path[PATH];
    size_t n = read_file(w, before, sizeof(before));

    assert_refused(w, ERR_CONFIG, words);
    assert_int_equal(read_file(w, after, sizeof(after)), n);
    assert_memory_equal(before, after, n);
    assert_int_equal(access(path_in(w, "state.db-wal", path), F_OK), -1);
    assert_int_equal(access(path_in(w, "state.db-shm", path), F_OK), -1);
}

static void
another_programs_sqlite_file_is_refused_and_left_as_it_is(void **state)
{
    struct world *w = *state;

    run_sql(w, "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1); PRAGMA user_version = 1;");
    assert_refused_untouched(w, "another program's");
    run_sql(w, "PRAGMA application_id = 252006673;");
    assert_refused_untouched(w, "another program's");
}

static void
a_file_of_a_newer_version_is_refused_and_left_as_it_is(void **state)
{
    struct world *w = *state;

    open_state(w);
    assert_saved(set(w, "kev", "one", 3, 0), 1);
    close_state(w);
    run_sql(w, "PRAGMA journal_mode = DELETE; PRAGMA user_version = 5;");
    assert_refused_untouched(w, "newer sluiced");
    run_sql(w, "PRAGMA user_version = 4;");
    open_state(w);
    assert_state(w, "kev", "one", 3, 1);
}

static void
write_file(const struct world *w, const char *name, const char *text, size_t len)
{
    char path[PATH];
    FILE *f = fopen(path_in(w, name, path), "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
}

static void
a_file_that_is_no_database_is_refused_and_left_as_it_is(void **state)
{
    struct world *w = *state;

    write_file(w, "state.db", "these are my notes\n", 19);
    assert_refused_untouched(w, "not a SQLite file");
    write_file(w, "state.db", "", 0);
    assert_refused_untouched(w, "is empty");
}

static void
a_damaged_page_is_found_at_start(void **state)
{
    struct world *w = *state;
    char path[PATH], junk[4096];

    open_state(w);
    for (uint64_t i = 0; i < 20; i++)
        assert_saved(set(w, "kev", junk, 3000, i), i + 1);
    close_state(w);
    memset(junk, 0x5a, sizeof(junk));
    int fd = open(path_in(w, "state.db", path), O_WRONLY);
    assert_int_equal(pwrite(fd, junk, sizeof(junk), 4096), sizeof(junk));
    close(fd);
    assert_refused(w, ERR_CONFIG, "damaged");
}

static void
a_log_without_its_database_is_not_thrown_away(void **state)
{
    struct world *w = *state;
    char path[PATH];

    write_file(w, "state.db-wal", "precious", 8);
    assert_refused(w, ERR_CONFIG, "put that back");
    assert_int_equal(access(path_in(w, "state.db-wal", path), F_OK), 0);
}

static void
what_a_crash_left_of_a_creation_is_cleared(void **state)
{
    struct world *w = *state;
    char path[PATH];

    write_file(w, "state.db.new", "half", 4);
    write_file(w, "state.db.new-journal", "half", 4);
    open_state(w);
    assert_state(w, "kev", NULL, 0, 0);
    assert_int_equal(access(path_in(w, "state.db.new", path), F_OK), -1);
    assert_int_equal(access(path_in(w, "state.db.new-journal", path), F_OK), -1);
}

static void
a_file_that_another_program_has_open_for_writing_is_refused(void **state)
{
    struct world *w = *state;
    sqlite3 *db = NULL;
    char path[PATH];

    open_state(w);
    close_state(w);
    assert_int_equal(sqlite3_open(path_in(w, "state.db", path), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_refused(w, ERR_CONFIG, "another program");
    sqlite3_close(db);
    open_state(w);
}

static void
the_file_is_nobody_elses_to_read(void **state)
{
    struct world *w = *state;
    struct stat st;
    char path[PATH];

    open_state(w);
    assert_saved(set(w, "kev", "one", 3, 0), 1);
    assert_int_equal(stat(path_in(w, "state.db", path), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(path_in(w, "state.db-wal", path), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* --- crashes ----------------------------------------------------------------------------------------------------- */

/* What version of a connector's state looks like: its length and bytes follow from the two. */
static size_t
content(unsigned connector, uint64_t version, char *buf)
{
    size_t len = (size_t)(version * 977 + connector * 131) % 20000;

    memset(buf, (int)(version * 7 + connector), len);
    return len;
}

struct report {
    uint32_t connector;
    uint32_t version;
};

/* In a child, until it is killed: set states as fast as they are answered, and report each answer. */
static void
set_for_ever(struct world *w, int to, uint64_t *versions)
{
    char id[16], buf[20000];

    if (try_open(w) == NULL)
        _exit(1);
    for (unsigned i = 0; i < KILL_CONNECTORS; i++) {
        snprintf(id, sizeof(id), "c%u", i);
        if (ask_set(w, id, buf, content(i, versions[i] + 1, buf), versions[i], i) != 0)
            _exit(2);
    }
    for (;;) {
        struct state_answer a = next_answer(w);
        struct report r = {(uint32_t)a.ticket, (uint32_t)a.version};
        if (a.kind != STATE_SAVED || write(to, &r, sizeof(r)) != sizeof(r))
            _exit(3);
        snprintf(id, sizeof(id), "c%u", r.connector);
        if (ask_set(w, id, buf, content(r.connector, a.version + 1, buf), a.version, r.connector) != 0)
            _exit(4);
    }
}

/* Start a child, kill it a while after its first answer; versions are then what it has reported. */
static unsigned
kill_one(struct world *w, useconds_t after_us, uint64_t *versions)
{
    int fds[2], status;
    unsigned reports = 0;
    struct report r;

    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        set_for_ever(w, fds[1], versions);
    }
    close(fds[1]);
    assert_true(pid > 0);
    ssize_t n = read(fds[0], &r, sizeof(r));
    usleep(after_us);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    for (; n == sizeof(r); n = read(fds[0], &r, sizeof(r)), reports++)
        versions[r.connector] = r.version;
    close(fds[0]);
    return reports;
}

/* What was answered is there; what was not may be, whole. */
static void
check_versions(struct world *w, uint64_t *versions)
{
    char id[16], expected[20000];

    open_state(w);
    for (unsigned i = 0; i < KILL_CONNECTORS; i++) {
        snprintf(id, sizeof(id), "c%u", i);
        struct state_answer a = get(w, id);
        assert_int_equal(a.kind, STATE_GOT);
        assert_true(a.version == versions[i] || a.version == versions[i] + 1);
        if (a.version > 0) {
            assert_int_equal(a.len, content(i, a.version, expected));
            if (a.len > 0)
                assert_memory_equal(a.bytes, expected, a.len);
        }
        versions[i] = a.version;
        answer_drop(&a);
    }
    close_state(w);
}

static void
everything_that_was_answered_survives_a_sigkill(void **state)
{
    struct world *w = *state;
    uint64_t versions[KILL_CONNECTORS] = {0};
    unsigned reports = 0;

    for (unsigned i = 0; i < KILLS; i++) {
        reports += kill_one(w, (i * 1103u) % 15000u, versions);
        check_versions(w, versions);
    }
    assert_true(reports >= KILLS);
}

/* --- a full disk, in a child with a small file system of its own ------------------------------------------------- */

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            return 1;                                                           \
        }                                                                       \
    } while (0)

static int
fill_disk(const char *path)
{
    static const char zeros[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    while (write(fd, zeros, sizeof(zeros)) > 0)
        continue;
    close(fd);
    return fd >= 0 ? 0 : -1;
}

static struct state_answer
ask_and_wait(struct world *w, const char *connector, const void *bytes, size_t len, uint64_t version)
{
    if (ask_set(w, connector, bytes, len, version, 1) != 0)
        abort();
    return next_answer(w);
}

static int
behave_on_a_full_disk(struct world *w)
{
    static char big[300 * 1024];
    char path[PATH];
    struct state_answer a;

    CHECK(try_open(w) != NULL);
    a = ask_and_wait(w, "kev", "one", 3, 0);
    CHECK(a.kind == STATE_SAVED);
    CHECK(fill_disk(path_in(w, "ballast", path)) == 0);

    a = ask_and_wait(w, "kev", big, sizeof(big), 1);
    CHECK(a.kind == STATE_FAILED && a.text != NULL && strstr(a.text, "disk is full") != NULL);
    answer_drop(&a);
    /* Two that wait together fail together, and the read between them does not. */
    CHECK(ask_set(w, "kev", big, sizeof(big), 1, 1) == 0 && state_get(w->state, "kev", 2, &w->err) == 0 &&
          ask_set(w, "other", big, sizeof(big), 0, 3) == 0);
    a = next_answer(w);
    CHECK(a.kind == STATE_FAILED && a.ticket == 1);
    answer_drop(&a);
    a = next_answer(w);
    CHECK(a.kind == STATE_GOT && a.version == 1 && a.len == 3 && memcmp(a.bytes, "one", 3) == 0);
    answer_drop(&a);
    a = next_answer(w);
    CHECK(a.kind == STATE_FAILED && a.ticket == 3);
    answer_drop(&a);

    CHECK(unlink(path) == 0);
    a = ask_and_wait(w, "kev", big, sizeof(big), 1);
    CHECK(a.kind == STATE_SAVED && a.version == 2);
    close_state(w);
    return 0;
}

static int
refuse_to_be_created_on_a_full_disk(struct world *w)
{
    char path[PATH];

    CHECK(fill_disk(path_in(w, "ballast", path)) == 0);
    CHECK(try_open(w) == NULL);
    CHECK(w->err.code == ERR_FULL || w->err.code == ERR_IO);
    CHECK(strstr(w->err.text, "full") != NULL || strstr(w->err.text, strerror(ENOSPC)) != NULL);
    CHECK(unlink(path) == 0);
    CHECK(try_open(w) != NULL);
    close_state(w);
    return 0;
}

/* Run check in a child whose folder is 2 MiB large; the mount is the child's own and goes with it. */
static void
on_a_small_disk(struct world *w, int (*check)(struct world *w))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("none", w->dir, "tmpfs", 0, "size=2m") != 0)
            _exit(SKIPPED);
        _exit(check(w));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED) {
        print_message("skipped: a small file system cannot be mounted here (not root?)\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void
on_a_full_disk_sets_fail_in_words_reads_go_on_and_it_recovers(void **state)
{
    on_a_small_disk(*state, behave_on_a_full_disk);
}

static void
on_a_full_disk_nothing_half_is_created(void **state)
{
    on_a_small_disk(*state, refuse_to_be_created_on_a_full_disk);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_state_that_was_never_set_is_empty_at_version_0),
        TEST(what_was_set_is_there_after_a_restart),
        TEST(a_set_on_a_version_that_is_not_current_changes_nothing),
        TEST(of_two_sets_on_one_version_that_wait_together_one_wins),
        TEST(an_empty_state_is_a_state),
        TEST(a_state_of_1_MiB_is_kept_and_a_byte_more_is_refused),
        TEST(many_requests_that_wait_together_are_answered_in_order),
        TEST(closing_finishes_what_was_asked),
        TEST(an_id_that_is_too_long_is_refused),
        TEST(nothing_is_answered_before_it_is_flushed),
        TEST(a_flush_that_fails_is_told_and_changes_nothing),
        TEST(nothing_is_called_saved_while_the_file_is_removed),
        TEST(an_answer_that_finds_no_memory_for_seconds_comes_all_the_same),
        TEST(marks_are_there_after_a_restart_and_never_step_back),
        TEST(marks_outside_of_the_protocols_numbers_are_refused),
        TEST(marks_are_not_read_once_something_was_asked),
        TEST(a_second_gateway_is_refused_and_told_who_has_the_folder),
        TEST(a_folder_that_is_missing_or_none_is_named_with_what_to_do),
        TEST(a_folder_that_is_not_writable_is_named_with_what_to_do),
        TEST(another_programs_sqlite_file_is_refused_and_left_as_it_is),
        TEST(a_file_of_a_newer_version_is_refused_and_left_as_it_is),
        TEST(a_file_that_is_no_database_is_refused_and_left_as_it_is),
        TEST(a_damaged_page_is_found_at_start),
        TEST(a_log_without_its_database_is_not_thrown_away),
        TEST(what_a_crash_left_of_a_creation_is_cleared),
        TEST(a_file_that_another_program_has_open_for_writing_is_refused),
        TEST(the_file_is_nobody_elses_to_read),
        TEST(everything_that_was_answered_survives_a_sigkill),
        TEST(on_a_full_disk_sets_fail_in_words_reads_go_on_and_it_recovers),
        TEST(on_a_full_disk_nothing_half_is_created),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
