/* state_db.c - the state's file in SQLite: opening, checking, bringing it to this version, and transactions.
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
#include "state_db_parts.h"
#include "state_file.h"

enum {
    BUSY_MS = 2000,                /* how long another program may keep the file at start */
    ROW_MAX = 2 * 1024 * 1024,     /* bytes in a row: a state is at most 1 MiB */
    CHECKED_MAX = 64 * 1024 * 1024 /* a larger file is not read whole at start: it would take seconds */
};

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
    [ROW] = "INSERT OR REPLACE INTO schedule (connector, kind, ran, paused, run, ended, period_us, last_run_us, "
            "next_run_us, epoch) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [ROWS] = "SELECT connector, kind, ran, paused, run, ended, period_us, last_run_us, next_run_us, epoch "
             "FROM schedule ORDER BY connector",
    [DEAD] = "INSERT OR REPLACE INTO dead_letter (connector, pos, epoch, seq, size, reason, text, at_us) "
             "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [UNDEAD] = "DELETE FROM dead_letter WHERE connector = ?1 AND pos = ?2",
    [DEADS] = "SELECT connector, pos, epoch, seq, size, reason, text, at_us FROM dead_letter ORDER BY connector, pos",
};

/* The tables of version 1.  `changed` is for an operator who looks. */
#define SCHEMA_1                                                                                       \
    "CREATE TABLE state (connector TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL CHECK (version >= 1)," \
    " bytes BLOB NOT NULL, changed TEXT NOT NULL) STRICT;"                                             \
    "CREATE TABLE mark (connector TEXT PRIMARY KEY NOT NULL, epoch INTEGER NOT NULL CHECK (epoch >= 1)," \
    " answered INTEGER NOT NULL CHECK (answered >= 0)) STRICT, WITHOUT ROWID;"

/* What version 2 adds: schedules.  Times are microseconds since 1970, 0 for none; run and ended are NULL for none. */
#define SCHEMA_2                                                                                       \
    "CREATE TABLE schedule (connector TEXT PRIMARY KEY NOT NULL, kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3)," \
    " ran INTEGER NOT NULL, paused INTEGER NOT NULL, run BLOB CHECK (length(run) = 16),"               \
    " ended BLOB CHECK (length(ended) = 16), period_us INTEGER NOT NULL CHECK (period_us >= 0),"       \
    " last_run_us INTEGER NOT NULL, next_run_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;"

/* What version 3 adds: whose run it is.  0 where that was not written down yet. */
#define SCHEMA_3 "ALTER TABLE schedule ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0);"

/* What version 4 adds: why a bundle in the spool is a dead letter. */
#define SCHEMA_4                                                                                       \
    "CREATE TABLE dead_letter (connector TEXT NOT NULL, pos INTEGER NOT NULL, epoch INTEGER NOT NULL," \
    " seq INTEGER NOT NULL, size INTEGER NOT NULL, reason TEXT NOT NULL, text TEXT NOT NULL,"          \
    " at_us INTEGER NOT NULL, PRIMARY KEY (connector, pos)) STRICT, WITHOUT ROWID;"

/* locking_mode comes first: with it, the index of the WAL is kept in memory instead of a shared file. */
#define PRAGMAS                                                                                              \
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"             \
    "PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA foreign_keys = ON;" \
    "PRAGMA synchronous = FULL;"

int
state_db_fail(const struct state_db *db, int rc, struct err *err)
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

    return rc == SQLITE_OK ? 0 : state_db_fail(db, rc, err);
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
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : state_db_fail(db, rc, err);
}

static int
connect(struct state_db *db, const char *path, struct err *err)
{
    int rc = sqlite3_open_v2(path, &db->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);

    if (rc != SQLITE_OK)
        return state_db_fail(db, rc, err);
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
    char sql[2048];

    snprintf(sql, sizeof(sql), "BEGIN; PRAGMA application_id = %d; PRAGMA user_version = %d; %s COMMIT;",
             STATE_APPLICATION_ID, STATE_USER_VERSION, SCHEMA_1 SCHEMA_2 SCHEMA_3 SCHEMA_4);
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

    if (stat(db->wal_path, &st) == 0 && st.st_size > 0)
        return err_set(err, ERR_CONFIG, 0,
                       "%.100s is there, but the state.db that it belongs to is not: put that back, or remove this "
                       "one too to begin with empty states",
                       db->wal_path);
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
    return strcmp(said, "ok") == 0 ? 0 : state_db_fail(db, SQLITE_CORRUPT, err);
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

/* From an older version to ours, all or nothing: a crash leaves the older one, which is then tried again. */
static int
migrate(struct state_db *db, struct err *err)
{
    char version[24], sql[2048];
    long long from;
    int  rc;

    if (ask(db, "PRAGMA user_version", version, sizeof(version), err) != 0)
        return -1;
    from = strtoll(version, NULL, 10);
    if (from >= STATE_USER_VERSION)
        return 0;
    snprintf(sql, sizeof(sql), "BEGIN IMMEDIATE; %s %s %s PRAGMA user_version = %d; COMMIT", from < 2 ? SCHEMA_2 : "",
             from < 3 ? SCHEMA_3 : "", SCHEMA_4, STATE_USER_VERSION);
    rc = execute(db, sql, err);
    if (rc != 0)
        state_db_rollback(db);
    return rc;
}

static int
prepare(struct state_db *db, struct err *err)
{
    for (int i = 0; i < STATEMENTS; i++) {
        int rc = sqlite3_prepare_v3(db->sql, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &db->statements[i], NULL);
        if (rc == SQLITE_ERROR) /* a table or column is not there */
            rc = SQLITE_CORRUPT;
        if (rc != SQLITE_OK)
            return state_db_fail(db, rc, err);
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
    if (state_path(dir, "state.db", db->path, err) != 0 || state_path(dir, "state.db-wal", db->wal_path, err) != 0 ||
        state_file_check(db->path, &there, err) != 0 ||
        (!there && create(db, dir, err) != 0) || connect(db, db->path, err) != 0 || check_version(db, err) != 0 ||
        use_wal(db, err) != 0 || check_pages(db, err) != 0 || migrate(db, err) != 0 || prepare(db, err) != 0) {
        state_db_close(db);
        return NULL;
    }
    return db;
}

/* What is written to a file that was removed, or that another has taken the place of, is gone with us: better to
 * answer that nothing was changed than to call it saved.  SQLite looks after its file, but not after the log. */
static int
check_there(struct state_db *db, struct err *err)
{
    int moved = 0;

    sqlite3_file_control(db->sql, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (!moved && access(db->wal_path, F_OK) == 0)
        return 0;
    return err_set(err, ERR_IO, 0,
                   "%.100s or its -wal was removed or replaced while in use: put it back, or restart sluiced with what "
                   "is there; nothing was changed",
                   db->path);
}

int
state_db_begin(struct state_db *db, struct err *err)
{
    if (check_there(db, err) != 0)
        return -1;
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
