/* state_db.h - the rows of the state in SQLite: opening, checking, reading and changing them.
 *
 * Nothing else knows sqlite3.h.  One connection, used by one thread at a time.  A change is durable once
 * state_db_commit has returned 0, or at once outside of a transaction. */
#ifndef STATE_DB_H
#define STATE_DB_H

#include <stddef.h>
#include <stdint.h>

#include "state.h"

struct err;
struct state_db;

/* Open state.db in dir, creating it if it is not there.  What is not ours is refused before SQLite sees it, and left
 * as it is.  The caller holds the lock of dir.  ERR_CONFIG, ERR_IO, ERR_NOMEM. */
struct state_db *state_db_open(const char *dir, struct err *err);

/* A transaction around several changes.  After a failed commit nothing of it is left.  ERR_IO: also where the file was
 * removed or replaced meanwhile; then begin fails until it is back, or for good. */
int  state_db_begin(struct state_db *db, struct err *err);
int  state_db_commit(struct state_db *db, struct err *err);
void state_db_rollback(struct state_db *db);

/* The state of a connector, in *ret_bytes (malloc; NULL where it is empty); version 0: none was ever set. */
int state_db_get(struct state_db *db, const char *connector, void **ret_bytes, size_t *ret_len, uint64_t *ret_version,
                 struct err *err);

/* Replace it if version is current.  ERR_STALE: it is not, *ret_version is; else *ret_version is the new one. */
int state_db_set(struct state_db *db, const char *connector, const void *bytes, size_t len, uint64_t version,
                 uint64_t *ret_version, struct err *err);

/* Make it empty, with the next version. */
int state_db_clear(struct state_db *db, const char *connector, uint64_t *ret_version, struct err *err);

/* Keep a row in the place of the last one. */
int state_db_row(struct state_db *db, const struct state_row *row, struct err *err);

int state_db_rows(struct state_db *db, void (*each)(void *ctx, const struct state_row *row), void *ctx,
                  struct err *err);

/* Note a mark, unless a later one is there. */
int state_db_mark(struct state_db *db, const struct state_mark *mark, struct err *err);

int state_db_marks(struct state_db *db, void (*each)(void *ctx, const struct state_mark *mark), void *ctx,
                   struct err *err);

/* A dead letter is written down, in the place of one at the same position; or it is none any more. */
int state_db_dead(struct state_db *db, const struct dead_letter *dead, struct err *err);
int state_db_undead(struct state_db *db, const char *connector, uint64_t pos, struct err *err);

int state_db_each_dead(struct state_db *db, void (*each)(void *ctx, const struct dead_letter *dead), void *ctx,
                       struct err *err);

/* NULL does nothing. */
void state_db_close(struct state_db *db);

#endif
