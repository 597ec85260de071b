/* state_db_parts.h - what the two state_db*.c share, and nobody else includes.
 *
 *     state_db.c       the file: opening, checking, transactions
 *     state_db_rows.c  the rows in it */
#ifndef STATE_DB_PARTS_H
#define STATE_DB_PARTS_H

#include <sqlite3.h>

#include "state_file.h"

struct err;

/* Prepared once; the texts are in state_db.c, beside the tables. */
enum statement { GET, VERSION, SET, MARK, MARKS, ROW, ROWS, DEAD, UNDEAD, DEADS, STATEMENTS };

struct state_db {
    sqlite3      *sql;
    sqlite3_stmt *statements[STATEMENTS];
    char          path[STATE_PATH_MAX], wal_path[STATE_PATH_MAX];
};

/* What SQLite said, in words that say what to do; returns -1. */
int state_db_fail(const struct state_db *db, int rc, struct err *err);

#endif
