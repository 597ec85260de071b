/* state_db.c - the rows of the state in SQLite.
 *
 * WAL with synchronous=FULL: one fdatasync a commit, and what is committed is on the disk.  One connection that
 * locks the file for itself, because SQLite before 3.51.3 can damage a WAL that two of them write and checkpoint, and
 * because nobody else has to write here.  Memory is bounded: 2 MiB of pages and the one row at hand. */
#include "state_db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "state_file.h"

enum {
    BUSY_MS = 2000,                /* how long another program may keep the file at start */
    ROW_MAX = 2 * 1024 * 1024,     /* bytes in a row: a state is at most 1 MiB */
    CHECKED_MAX = 64 * 1024 * 1024 /* a larger file is not read whole at start: it would take seconds */
};

enum statement { GET, VERSION, SET, MARK, MARKS, STATEMENTS };

static const char *const texts[STATEMENTS] = {
    [GET] = "SELECT version, bytes FROM state WHERE connector = ?1",
    [VERSION] = "SELECT version FROM state WHERE connector = ?1",
    [SET] = "INSERT INTO state (connector, version, bytes, changed) "
            "VALUES (?1, ?2, ?3, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) ON CONFLICT (connector) DO UPDATE "
            "SET version = excluded.version, bytes = excluded.bytes, changed = excluded.changed",
    [MARK] = "INSERT INTO mark (connector, epoch, answered) VALUES (?1, ?2, ?3) ON CONFLICT (connector) DO UPDATE "
             "SET epoch = excluded.epoch, answered = excluded.answered "
             "WHERE (excluded.epoch, excluded.answered) > (mark.epoch, mark.answered)",
    [MARKS] = "SELECT connector, epoch, answered FROM mark ORDER BY connector",
};

/* The tables of version 1.  `changed` is for an operator who looks. */
#define SCHEMA                                                                                         \
    "CREATE TABLE state (connector TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL CHECK (version >= 1)," \
    " bytes BLOB NOT NULL, changed TEXT NOT NULL) STRICT;"                                             \
    "CREATE TABLE mark (connector TEXT PRIMARY KEY NOT NULL, epoch INTEGER NOT NULL CHECK (epoch >= 1)," \
    " answered INTEGER NOT NULL CHECK (answered >= 0)) STRICT, WITHOUT ROWID;"

/* locking_mode comes first: with it, the index of the WAL is kept in memory instead of a shared file. */
#define PRAGMAS                                                                                              \
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"             \
    "PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA foreign_keys = ON;" \
    "PRAGMA synchronous = FULL;"

struct state_db {
    sqlite3      *sql;
    sqlite3_stmt *statements[STATEMENTS];
    char          path[STATE_PATH_MAX];
};

/* What SQLite said, in words that say what to do. */
static int
fail(const struct state_db *db, int rc, struct err *err)
{
    int sys = db->sql == NULL ? 0 : sqlite3_system_errno(db->sql);

    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return err_set(err, ERR_NOMEM, ENOMEM, "%.100s", db->path);
    case SQLITE_FULL:
        return err_set(err, ERR_FULL, 0, "%.100s: the disk is full: free space there; nothing was changed", db->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(err, ERR_CONFIG, 0,
                       "%.100s is damaged: restore it from a backup, or move it away (with its -wal) to begin with "
                       "empty states",
                       db->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, ERR_CONFIG, 0,
                       "%.100s is in use by another program, perhaps an open sqlite3: close that",
                       db->path);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return err_set(err, ERR_CONFIG, sys, "%.100s cannot be opened for writing by user %u: chown it, and its folder",
                       db->path, (unsigned)geteuid());
    default:
        return err_set(err, ERR_IO, sys, "%.100s: %s", db->path,
                       db->sql == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(db->sql));
    }
}

static int
execute(struct state_db *db, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(db->sql, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : fail(db, rc, err);
}

/* The first column of the first row; buf is "" where there is none. */
static int
ask(struct state_db *db, const char *sql, char *buf, size_t cap, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db->sql, sql, -1, &statement, NULL);

    buf[0] = '\0';
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW && sqlite3_column_text(statement, 0) != NULL)
        snprintf(buf, cap, "%s", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : fail(db, rc, err);
}

static int
connect(struct state_db *db, const char *path, struct err *err)
{
    int rc = sqlite3_open_v2(path, &db->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);

    if (rc != SQLITE_OK)
        return fail(db, rc, err);
    sqlite3_extended_result_codes(db->sql, 1);
    sqlite3_busy_timeout(db->sql, BUSY_MS);
    sqlite3_limit(db->sql, SQLITE_LIMIT_LENGTH, ROW_MAX);
    sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return execute(db, PRAGMAS, err);
}

/* An empty file of our own: SQLite would make it readable by all. */
static int
touch(const char *path, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_set(err, errno == ENOSPC ? ERR_FULL : ERR_IO, errno, "%.100s cannot be created", path);
    close(fd);
    return 0;
}

/* Fill a file beside it, complete and flushed, before it gets its name: a crash leaves all of it or nothing. */
static int
fill(struct state_db *db, const char *path, struct err *err)
{
    char sql[sizeof(SCHEMA) + 128];

    snprintf(sql, sizeof(sql), "BEGIN; PRAGMA application_id = %d; PRAGMA user_version = %d; %s COMMIT;",
             STATE_APPLICATION_ID, STATE_USER_VERSION, SCHEMA);
    int rc = connect(db, path, err);
    if (rc == 0)
        rc = execute(db, sql, err);
    sqlite3_close(db->sql);
    db->sql = NULL;
    return rc;
}

static int
create(struct state_db *db, const char *dir, struct err *err)
{
    char        path[STATE_PATH_MAX], side[STATE_PATH_MAX];
    struct stat st;

    if (state_path(dir, "state.db-wal", side, err) != 0)
        return -1;
    if (stat(side, &st) == 0 && st.st_size > 0)
        return err_set(err, ERR_CONFIG, 0,
                       "%.100s is there, but the state.db that it belongs to is not: put that back, or remove this "
                       "one too to begin with empty states",
                       side);
    if (state_path(dir, "state.db.new", path, err) != 0 || state_path(dir, "state.db.new-journal", side, err) != 0)
        return -1;
    unlink(path); /* what a crash left of an earlier attempt */
    unlink(side);
    if (touch(path, err) != 0)
        return -1;
    if (fill(db, path, err) != 0) {
        unlink(path);
        unlink(side);
        return -1;
    }
    if (rename(path, db->path) != 0)
        return err_set(err, ERR_IO, errno, "%.100s cannot be given its name", path);
    return state_folder_sync(dir, err);
}

/* The WAL may hold a later version than the header that state_file_check saw. */
static int
check_version(struct state_db *db, struct err *err)
{
    char id[24], version[24];

    if (ask(db, "PRAGMA application_id", id, sizeof(id), err) != 0 ||
        ask(db, "PRAGMA user_version", version, sizeof(version), err) != 0)
        return -1;
    return state_version_check(db->path, strtoll(id, NULL, 10), strtoll(version, NULL, 10), err);
}

static int
check_pages(struct state_db *db, struct err *err)
{
    struct stat st;
    char        said[64];

    if (stat(db->path, &st) != 0)
        return err_set(err, ERR_IO, errno, "%.100s", db->path);
    if (st.st_size > CHECKED_MAX)
        return 0;
    if (ask(db, "PRAGMA quick_check(1)", said, sizeof(said), err) != 0)
        return -1;
    return strcmp(said, "ok") == 0 ? 0 : fail(db, SQLITE_CORRUPT, err);
}

static int
use_wal(struct state_db *db, struct err *err)
{
    char mode[16], ignored[24];

    if (ask(db, "PRAGMA journal_mode = WAL", mode, sizeof(mode), err) != 0 ||
        ask(db, "PRAGMA journal_size_limit = 16777216", ignored, sizeof(ignored), err) != 0)
        return -1;
    if (strcmp(mode, "wal") != 0)
        return err_set(err, ERR_IO, 0,
                       "%.100s: SQLite's write-ahead log cannot be used on this file system (\"%s\"): name another "
                       "state.dir, on a local disk",
                       db->path, mode);
    /* Only a write takes the lock that keeps others out. */
    return execute(db, "BEGIN IMMEDIATE; COMMIT", err);
}

static int
prepare(struct state_db *db, struct err *err)
{
    for (int i = 0; i < STATEMENTS; i++) {
        int rc = sqlite3_prepare_v3(db->sql, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &db->statements[i], NULL);
        if (rc == SQLITE_ERROR) /* a table or column is not there */
            rc = SQLITE_CORRUPT;
        if (rc != SQLITE_OK)
            return fail(db, rc, err);
    }
    return 0;
}

struct state_db *
state_db_open(const char *dir, struct err *err)
{
    bool there = false;
    struct state_db *db = calloc(1, sizeof(*db));

    if (db == NULL) {
        err_set(err, ERR_NOMEM, errno, "state");
        return NULL;
    }
    if (state_path(dir, "state.db", db->path, err) != 0 || state_file_check(db->path, &there, err) != 0 ||
        (!there && create(db, dir, err) != 0) || connect(db, db->path, err) != 0 || check_version(db, err) != 0 ||
        use_wal(db, err) != 0 || check_pages(db, err) != 0 || prepare(db, err) != 0) {
        state_db_close(db);
        return NULL;
    }
    return db;
}

int
state_db_begin(struct state_db *db, struct err *err)
{
    return execute(db, "BEGIN IMMEDIATE", err);
}

int
state_db_commit(struct state_db *db, struct err *err)
{
    int rc = execute(db, "COMMIT", err);

    if (rc != 0)
        state_db_rollback(db);
    return rc;
}

void
state_db_rollback(struct state_db *db)
{
    if (!sqlite3_get_autocommit(db->sql)) /* SQLite has rolled back by itself after most failures */
        sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
}

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
        return fail(db, SQLITE_NOMEM, err);
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
        result = fail(db, rc, err);
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
        fail(db, rc, err);
    give(row);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

/* Step a statement that changes something, and give it back. */
static int
change(struct state_db *db, sqlite3_stmt *statement, struct err *err)
{
    int rc = sqlite3_step(statement);

    if (rc != SQLITE_DONE)
        fail(db, rc, err);
    give(statement);
    return rc == SQLITE_DONE ? 0 : -1;
}

int
state_db_set(struct state_db *db, const char *connector, const void *bytes, size_t len, uint64_t version,
             uint64_t *ret_version, struct err *err)
{
    uint64_t current, next;

    if (current_version(db, connector, &current, err) != 0)
        return -1;
    *ret_version = current;
    if (current != version)
        return err_set(err, ERR_STALE, 0, "version %llu is current", (unsigned long long)current);
    next = current + 1;
    sqlite3_stmt *set = take(db, SET, connector);
    sqlite3_bind_int64(set, 2, (sqlite3_int64)next);
    /* An empty blob is not NULL to us, but a NULL pointer is NULL to SQLite. */
    sqlite3_bind_blob64(set, 3, len == 0 ? "" : bytes, len, SQLITE_STATIC);
    if (change(db, set, err) != 0)
        return -1;
    *ret_version = next;
    return 0;
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
        fail(db, rc, err);
    give(row);
    return rc == SQLITE_DONE ? 0 : -1;
}

void
state_db_close(struct state_db *db)
{
    if (db == NULL)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_close(db->sql);
    free(db);
}
