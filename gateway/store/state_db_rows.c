/* state_db_rows.c - the rows of the state in SQLite: reading and changing them. */
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "state_db.h"
#include "state_db_parts.h"

/* Take a statement with its first parameter, a connector (lent until it is given back). */
static sqlite3_stmt *
take(struct state_db *db, enum statement which, const char *connector)
{
    sqlite3_bind_text(db->statements[which], 1, connector, -1, SQLITE_STATIC);
    return db->statements[which];
}

static void
give(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

/* Copy a blob out of a row. */
static int
copy_blob(const struct state_db *db, sqlite3_stmt *row, int column, void **ret, size_t *ret_len, struct err *err)
{
    const void *blob = sqlite3_column_blob(row, column);
    size_t      len = (size_t)sqlite3_column_bytes(row, column);

    *ret = NULL;
    *ret_len = 0;
    if (len == 0)
        return 0;
    *ret = blob == NULL ? NULL : malloc(len);
    if (*ret == NULL)
        return state_db_fail(db, SQLITE_NOMEM, err);
    memcpy(*ret, blob, len);
    *ret_len = len;
    return 0;
}

int
state_db_get(struct state_db *db, const char *connector, void **ret_bytes, size_t *ret_len, uint64_t *ret_version,
             struct err *err)
{
    sqlite3_stmt *row = take(db, GET, connector);
    int rc = sqlite3_step(row), result = 0;

    *ret_bytes = NULL;
    *ret_len = 0;
    *ret_version = 0;
    if (rc == SQLITE_ROW) {
        result = copy_blob(db, row, 1, ret_bytes, ret_len, err);
        *ret_version = (uint64_t)sqlite3_column_int64(row, 0);
    } else if (rc != SQLITE_DONE)
        result = state_db_fail(db, rc, err);
    give(row);
    return result;
}

static int
current_version(struct state_db *db, const char *connector, uint64_t *ret, struct err *err)
{
    sqlite3_stmt *row = take(db, VERSION, connector);
    int rc = sqlite3_step(row);

    *ret = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(row, 0) : 0;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        state_db_fail(db, rc, err);
    give(row);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

/* Step a statement that changes something, and give it back. */
static int
change(struct state_db *db, sqlite3_stmt *statement, struct err *err)
{
    int rc = sqlite3_step(statement);

    if (rc != SQLITE_DONE)
        state_db_fail(db, rc, err);
    give(statement);
    return rc == SQLITE_DONE ? 0 : -1;
}

static int
replace(struct state_db *db, const char *connector, const void *bytes, size_t len, uint64_t next, struct err *err)
{
    sqlite3_stmt *set = take(db, SET, connector);

    sqlite3_bind_int64(set, 2, (sqlite3_int64)next);
    /* An empty blob is not NULL to us, but a NULL pointer is NULL to SQLite. */
    sqlite3_bind_blob64(set, 3, len == 0 ? "" : bytes, len, SQLITE_STATIC);
    return change(db, set, err);
}

int
state_db_set(struct state_db *db, const char *connector, const void *bytes, size_t len, uint64_t version,
             uint64_t *ret_version, struct err *err)
{
    uint64_t current;

    if (current_version(db, connector, &current, err) != 0)
        return -1;
    *ret_version = current;
    if (current != version)
        return err_set(err, ERR_STALE, 0, "version %llu is current", (unsigned long long)current);
    if (replace(db, connector, bytes, len, current + 1, err) != 0)
        return -1;
    *ret_version = current + 1;
    return 0;
}

int
state_db_clear(struct state_db *db, const char *connector, uint64_t *ret_version, struct err *err)
{
    uint64_t current;

    if (current_version(db, connector, &current, err) != 0 ||
        replace(db, connector, NULL, 0, current + 1, err) != 0)
        return -1;
    *ret_version = current + 1;
    return 0;
}

static void
bind_run(sqlite3_stmt *set, int at, bool has, const uint8_t run[WIRE_RUN_LEN])
{
    if (has)
        sqlite3_bind_blob(set, at, run, WIRE_RUN_LEN, SQLITE_STATIC); /* else it is NULL by itself */
}

int
state_db_row(struct state_db *db, const struct state_row *row, struct err *err)
{
    sqlite3_stmt *set = take(db, ROW, row->connector);

    sqlite3_bind_int(set, 2, row->kind);
    sqlite3_bind_int(set, 3, row->ran);
    sqlite3_bind_int(set, 4, row->paused);
    bind_run(set, 5, row->has_run, row->run);
    bind_run(set, 6, row->has_ended, row->ended);
    sqlite3_bind_int64(set, 7, row->period_us);
    sqlite3_bind_int64(set, 8, row->last_run_us);
    sqlite3_bind_int64(set, 9, row->next_run_us);
    sqlite3_bind_int64(set, 10, (sqlite3_int64)row->epoch);
    return change(db, set, err);
}

static bool
read_run(sqlite3_stmt *row, int column, uint8_t run[WIRE_RUN_LEN])
{
    const void *blob = sqlite3_column_blob(row, column);

    if (blob == NULL || sqlite3_column_bytes(row, column) != WIRE_RUN_LEN)
        return false;
    memcpy(run, blob, WIRE_RUN_LEN);
    return true;
}

static void
read_row(sqlite3_stmt *from, struct state_row *row)
{
    const unsigned char *id = sqlite3_column_text(from, 0);

    memset(row, 0, sizeof(*row));
    snprintf(row->connector, sizeof(row->connector), "%s", id == NULL ? "" : (const char *)id);
    row->kind = (uint8_t)sqlite3_column_int(from, 1);
    row->ran = sqlite3_column_int(from, 2) != 0;
    row->paused = sqlite3_column_int(from, 3) != 0;
    row->has_run = read_run(from, 4, row->run);
    row->has_ended = read_run(from, 5, row->ended);
    row->period_us = sqlite3_column_int64(from, 6);
    row->last_run_us = sqlite3_column_int64(from, 7);
    row->next_run_us = sqlite3_column_int64(from, 8);
    row->epoch = (uint64_t)sqlite3_column_int64(from, 9);
}

int
state_db_rows(struct state_db *db, void (*each)(void *ctx, const struct state_row *row), void *ctx, struct err *err)
{
    sqlite3_stmt *from = db->statements[ROWS];
    struct state_row row;
    int rc;

    while ((rc = sqlite3_step(from)) == SQLITE_ROW) {
        read_row(from, &row);
        each(ctx, &row);
    }
    if (rc != SQLITE_DONE)
        state_db_fail(db, rc, err);
    give(from);
    return rc == SQLITE_DONE ? 0 : -1;
}

int
state_db_mark(struct state_db *db, const struct state_mark *mark, struct err *err)
{
    sqlite3_stmt *set = take(db, MARK, mark->connector);

    sqlite3_bind_int64(set, 2, (sqlite3_int64)mark->epoch);
    sqlite3_bind_int64(set, 3, (sqlite3_int64)mark->answered);
    return change(db, set, err);
}

int
state_db_marks(struct state_db *db, void (*each)(void *ctx, const struct state_mark *mark), void *ctx,
               struct err *err)
{
    sqlite3_stmt *row = db->statements[MARKS];
    int rc;

    while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
        struct state_mark mark = {.epoch = (uint64_t)sqlite3_column_int64(row, 1),
                                  .answered = (uint64_t)sqlite3_column_int64(row, 2)};
        const unsigned char *id = sqlite3_column_text(row, 0);
        snprintf(mark.connector, sizeof(mark.connector), "%s", id == NULL ? "" : (const char *)id);
        each(ctx, &mark);
    }
    if (rc != SQLITE_DONE)
        state_db_fail(db, rc, err);
    give(row);
    return rc == SQLITE_DONE ? 0 : -1;
}

int
state_db_dead(struct state_db *db, const struct dead_letter *dead, struct err *err)
{
    sqlite3_stmt *set = take(db, DEAD, dead->connector);

    sqlite3_bind_int64(set, 2, (sqlite3_int64)dead->pos);
    sqlite3_bind_int64(set, 3, (sqlite3_int64)dead->epoch);
    sqlite3_bind_int64(set, 4, (sqlite3_int64)dead->seq);
    sqlite3_bind_int64(set, 5, (sqlite3_int64)dead->size);
    sqlite3_bind_text(set, 6, dead->reason, -1, SQLITE_STATIC);
    sqlite3_bind_text(set, 7, dead->text, -1, SQLITE_STATIC);
    sqlite3_bind_int64(set, 8, dead->at_us);
    return change(db, set, err);
}

int
state_db_undead(struct state_db *db, const char *connector, uint64_t pos, struct err *err)
{
    sqlite3_stmt *gone = take(db, UNDEAD, connector);

    sqlite3_bind_int64(gone, 2, (sqlite3_int64)pos);
    return change(db, gone, err);
}

static void
copy_text(sqlite3_stmt *from, int column, char *to, size_t cap)
{
    const unsigned char *text = sqlite3_column_text(from, column);

    snprintf(to, cap, "%s", text == NULL ? "" : (const char *)text);
}

int
state_db_each_dead(struct state_db *db, void (*each)(void *ctx, const struct dead_letter *dead), void *ctx,
                   struct err *err)
{
    sqlite3_stmt *from = db->statements[DEADS];
    struct dead_letter dead;
    int rc;

    while ((rc = sqlite3_step(from)) == SQLITE_ROW) {
        memset(&dead, 0, sizeof(dead));
        copy_text(from, 0, dead.connector, sizeof(dead.connector));
        dead.pos = (uint64_t)sqlite3_column_int64(from, 1);
        dead.epoch = (uint64_t)sqlite3_column_int64(from, 2);
        dead.seq = (uint64_t)sqlite3_column_int64(from, 3);
        dead.size = (uint64_t)sqlite3_column_int64(from, 4);
        copy_text(from, 5, dead.reason, sizeof(dead.reason));
        copy_text(from, 6, dead.text, sizeof(dead.text));
        dead.at_us = sqlite3_column_int64(from, 7);
        each(ctx, &dead);
    }
    if (rc != SQLITE_DONE)
        state_db_fail(db, rc, err);
    give(from);
    return rc == SQLITE_DONE ? 0 : -1;
}
