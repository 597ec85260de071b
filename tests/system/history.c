/* history.c - books, journal and rows, read. */
#include "history.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ledger.h"
#include "must.h"

enum { PATH_CAP = 700, LINE_CAP = 8192 };

static void *
grown(void *at, size_t n, size_t each)
{
    if ((n & (n - 1)) != 0 && n != 0)
        return at; /* the room is a power of two */
    void *fresh = realloc(at, (n == 0 ? 1 : n * 2) * each);
    if (fresh == NULL)
        abort();
    return fresh;
}

static size_t
id_named(const struct history *h, const char *name)
{
    for (size_t i = 0; i < h->n_ids; i++)
        if (name != NULL && strcmp(h->plans[i].id, name) == 0)
            return i;
    return SIZE_MAX;
}

/* --- words of a line, with a blank between them --- */

static int64_t
number(const char **at)
{
    char *end;
    errno = 0;
    const long long n = strtoll(*at, &end, 10);
    if (end == *at || errno != 0 || (*end != ' ' && *end != '\n' && *end != 'Z'))
        fail_msg("\"%.60s\" does not begin with a number", *at);
    *at = *end == ' ' ? end + 1 : end;
    return n;
}

static void
word(const char **at, char *to, size_t cap)
{
    const size_t len = strcspn(*at, " \n");
    if (len == 0 || len >= cap)
        fail_msg("\"%.60s\" does not begin with a word", *at);
    memcpy(to, *at, len);
    to[len] = '\0';
    *at += len + ((*at)[len] == ' ');
}

/* --- rows --- */

static void
copy_file(const char *dir, const char *spare, const char *name)
{
    char from[PATH_CAP], to[PATH_CAP], block[16384];
    ssize_t n = 0;
    snprintf(from, sizeof(from), "%s/%s", dir, name);
    snprintf(to, sizeof(to), "%s/%s", spare, name);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    (void)unlink(to);
    if (in < 0)
        return; /* no journal of SQLite's: nothing to copy */
    int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(out >= 0);
    while ((n = read(in, block, sizeof(block))) > 0)
        assert_int_equal(write(out, block, (size_t)n), n);
    assert_int_equal(n, 0);
    close(in);
    close(out);
}

static void
take_run(sqlite3_stmt *row, int column, char run[SCHEDULED_RUN + 1])
{
    const unsigned char *at = sqlite3_column_blob(row, column);
    run[0] = '\0';
    for (size_t i = 0; at != NULL && i < SCHEDULED_RUN / 2; i++)
        snprintf(run + 2 * i, 3, "%02x", at[i]);
}

static void
take_schedule(sqlite3_stmt *row, struct history_row *to)
{
    to->is = true;
    to->ran = sqlite3_column_int(row, 1) != 0;
    take_run(row, 2, to->run);
    take_run(row, 3, to->ended);
    to->last_us = sqlite3_column_int64(row, 4);
    to->next_us = sqlite3_column_int64(row, 5);
    to->unknown = sqlite3_column_int(row, 6) == 0;
}

/* "COUNT RUN" */
static void
take_state(sqlite3_stmt *row, struct history_row *to)
{
    const char *at = sqlite3_column_blob(row, 2);
    to->version = (uint64_t)sqlite3_column_int64(row, 1);
    assert_non_null(at);
    to->count = (uint64_t)number(&at);
    word(&at, to->counted, sizeof(to->counted));
}

static void
query(struct history *h, sqlite3 *db, const char *sql, void (*take)(sqlite3_stmt *row, struct history_row *to))
{
    sqlite3_stmt *row;
    int rc;
    if (sqlite3_prepare_v2(db, sql, -1, &row, NULL) != SQLITE_OK)
        fail_msg("state.db: %s: %s", sql, sqlite3_errmsg(db));
    while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
        size_t i = id_named(h, (const char *)sqlite3_column_text(row, 0));
        assert_true(i < h->n_ids);
        take(row, &h->ids[i].rows[h->n_lives]);
    }
    if (rc != SQLITE_DONE)
        fail_msg("state.db: %s", sqlite3_errmsg(db));
    sqlite3_finalize(row);
}

void
history_keep_rows(struct history *h, const char *dir, const char *spare)
{
    char path[PATH_CAP];
    sqlite3 *db;
    assert_true(h->n_lives < HISTORY_LIVES_MAX);
    for (size_t i = 0; i < h->n_ids; i++) {
        if (h->ids[i].rows == NULL)
            h->ids[i].rows = calloc(HISTORY_LIVES_MAX + 1, sizeof(*h->ids[i].rows));
        assert_non_null(h->ids[i].rows);
    }
    copy_file(dir, spare, "state.db");
    copy_file(dir, spare, "state.db-wal");
    snprintf(path, sizeof(path), "%s/state.db", spare);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    query(h, db, "SELECT connector, ran, run, ended, last_run_us, next_run_us, kind FROM schedule", take_schedule);
    query(h, db, "SELECT connector, version, bytes FROM state", take_state);
    sqlite3_close(db);
}

/* --- the journal --- */

int64_t
history_time(const char *text)
{
    struct tm tm = {.tm_isdst = 0};
    const char *rest = text == NULL ? NULL : strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL || *rest++ != '.')
        fail_msg("\"%s\" is not a time", text == NULL ? "" : text);
    return (int64_t)timegm(&tm) * 1000000 + number(&rest) * 1000;
}

static bool
what_of(const char *text, enum history_what *ret)
{
    static const struct {
        const char *says;
        enum history_what what;
    } known[] = {
        {"permit", H_PERMIT}, {"adopted", H_ADOPTED}, {"done", H_ENDED}, {"failed", H_ENDED},
        {"stopped", H_ENDED}, {"lost", H_LOST},
    };
    for (size_t i = 0; text != NULL && i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].says, text) == 0) {
            *ret = known[i].what;
            return true;
        }
    return false;
}

static void
take_line(struct history *h, json_t *line, uint32_t life)
{
    struct history_decision d = {.life = life};
    const size_t i = id_named(h, json_string_value(json_object_get(line, "connector")));
    const char *run = json_string_value(json_object_get(line, "run"));
    if (json_object_get(line, "lines") != NULL)
        fail_msg("the journal left lines out");
    if (i == SIZE_MAX || !what_of(json_string_value(json_object_get(line, "what")), &d.what))
        return;
    assert_non_null(run);
    assert_int_equal(strlen(run), SCHEDULED_RUN);
    memcpy(d.run, run, sizeof(d.run));
    d.at_us = history_time(json_string_value(json_object_get(line, "time")));
    h->ids[i].decisions = grown(h->ids[i].decisions, h->ids[i].n_decisions, sizeof(d));
    h->ids[i].decisions[h->ids[i].n_decisions++] = d;
}

void
history_read_journal(struct history *h, const char *dir)
{
    char path[PATH_CAP], line[LINE_CAP];
    uint32_t life = 0;
    int64_t at = 0;
    snprintf(path, sizeof(path), "%s/journal.log.1", dir);
    assert_int_not_equal(access(path, F_OK), 0); /* its limit is far */
    snprintf(path, sizeof(path), "%s/journal.log", dir);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        while (life < h->n_lives && h->lives[life].killed_us != 0 && at >= h->lives[life].journal_end)
            life++;
        at += (int64_t)strlen(line);
        json_t *j = line[0] == '\n' ? NULL : json_loads(line, 0, NULL);
        if (j != NULL)
            take_line(h, j, life);
        else if (line[0] != '\n' && at < h->lives[life].journal_end)
            fail_msg("the journal has a line that is none, and no kill cut it off: %s", line);
        json_decref(j);
    }
    fclose(f);
}

/* --- books --- */

static struct history_event
event(const char *line)
{
    struct history_event e = {.what = S_WHATS};
    const char *at = line;
    char what[32];
    e.at_us = number(&at);
    e.who = (uint32_t)number(&at);
    word(&at, what, sizeof(what));
    word(&at, e.run, sizeof(e.run));
    e.number = (uint64_t)number(&at);
    for (int w = 0; w < S_WHATS; w++)
        if (strcmp(what, scheduled_says[w]) == 0)
            e.what = (enum scheduled_what)w;
    assert_int_not_equal(e.what, S_WHATS);
    if (e.run[0] == '-')
        e.run[0] = '\0';
    return e;
}

void
history_read_book(struct history *h, size_t id, const char *path)
{
    struct history_id *to = &h->ids[id];
    char line[LINE_CAP];
    FILE *f = fopen(path, "re");
    to->n_events = 0;
    if (f == NULL)
        return; /* nobody of it was ever started */
    while (fgets(line, sizeof(line), f) != NULL && strchr(line, '\n') != NULL) {
        to->events = grown(to->events, to->n_events, sizeof(*to->events));
        to->events[to->n_events++] = event(line);
    }
    fclose(f);
}

void
history_tell(const struct history *h, struct ledger *l)
{
    for (size_t i = 0; i < h->n_ids; i++)
        for (size_t n = 0; n < h->ids[i].n_events; n++) {
            const struct history_event *e = &h->ids[i].events[n];
            if (e->what == S_PUSH)
                ledger_pushed(l, e->who, e->number, scheduled_size(e->number));
            else if (e->what == S_ACKED || e->what == S_REFUSED)
                ledger_answered(l, e->who, e->number, e->what == S_ACKED ? LEDGER_ACKED : LEDGER_NACKED);
        }
}

void
history_free(struct history *h)
{
    for (size_t i = 0; h != NULL && i < h->n_ids; i++) {
        free(h->ids[i].events);
        free(h->ids[i].decisions);
        free(h->ids[i].rows);
    }
    free(h);
}
