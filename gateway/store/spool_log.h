/* spool_log.h - the spool's engine: segments, streams and what survives, without a thread and without a clock.
 *
 * What is appended gathers until spool_log_commit, which writes it, flushes once and then tells of each.  Releases
 * count at once, and are written by a commit that is asked for them; a file is used again only after that.
 *
 * Bounds of memory: 1 MiB of copies, 24 bytes for each record of the two open segments (SPOOL_ENTRIES_MAX each), about
 * 150 bytes for each stream in each segment, 16 for each run of released or dead positions.  Thread: one at a time. */
#ifndef SPOOL_LOG_H
#define SPOOL_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spool.h"

enum { SPOOL_ENTRIES_MAX = 256 * 1024 }; /* records in one segment */

struct spool_log;

/* What became of a request (SPOOL_APPENDED, SPOOL_BURIED), or SPOOL_SPACE with full, or SPOOL_BROKEN with why. */
typedef void spool_told(void *ctx, enum spool_kind kind, uint64_t ticket, bool ok, uint64_t pos, const char *why);

/* As spool_open, but for segments of 64 KiB and more. */
struct spool_log *spool_log_open(const struct spool_config *config, spool_told *told, void *ctx, struct log *log,
                                 struct err *err);

void spool_log_streams(struct spool_log *l, void (*each)(void *ctx, const struct spool_stream *stream), void *ctx);
void spool_log_dead(struct spool_log *l, void (*each)(void *ctx, const struct spool_dead *dead), void *ctx);

/* Each is told of, at once or by a commit, in the order of the calls.  The chunks are lent until then. */
void spool_log_append(struct spool_log *l, uint64_t ticket, const struct spool_bundle *bundle,
                      const struct spool_chunk *chunks, size_t n);
void spool_log_bury(struct spool_log *l, uint64_t ticket, const char *id, uint64_t pos);
void spool_log_revive(struct spool_log *l, uint64_t ticket, const char *id, uint64_t pos);

void spool_log_release(struct spool_log *l, const char *id, uint64_t pos);

/* Bytes that wait for a commit. */
uint64_t spool_log_waiting(const struct spool_log *l);

/* Are there releases that are not written yet? */
bool spool_log_dirty(const struct spool_log *l);

/* Write and flush what waits; with states, the releases before it, too, and files that these emptied are free. */
void spool_log_commit(struct spool_log *l, bool states);

enum spool_found { SPOOL_FOUND, SPOOL_NONE, SPOOL_UNREADABLE };

/* The first bundle of the stream from *pos on that is neither released nor dead: *pos is its.  SPOOL_FOUND: *ret is
 * a SPOOL_FETCHED of it, if its body has up to room bytes; else its body is NULL and nothing was read.
 * SPOOL_UNREADABLE: *err says why; ERR_NOMEM is no damage.  SPOOL_NONE: there is none. */
enum spool_found spool_log_fetch(struct spool_log *l, const char *id, uint64_t *pos, uint64_t room,
                                 struct spool_answer *ret, struct err *err);

/* Copy up to `bytes` from a sparse segment to a dense one.  Nothing may wait for a commit.  true: there is more. */
bool spool_log_clean(struct spool_log *l, uint64_t bytes);

void spool_log_figures(struct spool_log *l, struct spool_figures *ret);

/* Bytes that its records take on the disk: what is not released, dead ones included. */
uint64_t spool_log_held(const struct spool_log *l);

/* Bytes of files that are kept because something in them could not be read. */
uint64_t spool_log_aside(const struct spool_log *l);

/* Is it full, or again not?  While it is, to be asked now and then: others may have made room on its file system. */
void spool_log_room(struct spool_log *l);

/* Flush and free.  NULL does nothing. */
void spool_log_close(struct spool_log *l);

#endif
