/* spool.h - bundles on the gateway's disk: what is answered for from here survives kill -9, power loss and a full disk.
 *
 * One append-only log of segments for all connectors.  Each connector's bundles are a stream, named by its id; each
 * has a position in it, given here, that only grows.  An append is answered when it is flushed, and not before; what
 * arrives during one flush is the next batch.  Positions that were released are free at once for the disk's purposes,
 * and are forgotten lazily: after a crash those of the last second may be there again.
 *
 * Thread: requests may come from one thread (the loop); a thread of its own does the work, and answers go to a mailbox
 * of the caller's, as struct spool_answer.  Bounds: spool_config. */
#ifndef SPOOL_H
#define SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct disk;
struct log;
struct mailbox;
struct spool;

enum { SPOOL_ID_MAX = 64, SPOOL_HEAD_MAX = 24 * 1024 };

struct spool_config {
    const char  *dir;     /* of nobody else; made if its parent is there.  Copied */
    uint64_t     limit;   /* bytes of bundles in it that are not released, dead ones included */
    uint64_t     floor;   /* bytes that stay free on its file system */
    uint64_t     segment; /* bytes of one segment file: from 1 MiB to 1 GiB */
    const struct disk *disk; /* borrowed; NULL: the real one */
};

struct spool_chunk {
    const void *at;
    size_t      len;
};

/* A bundle.  head is the caller's (content type, options): up to SPOOL_HEAD_MAX bytes that come back with it. */
struct spool_bundle {
    const char *id;       /* of the stream: 1 to SPOOL_ID_MAX bytes */
    uint64_t    epoch, seq;
    uint8_t     format;
    bool        dead;     /* it is a dead letter from the start */
    bool        alone;    /* no other append of its stream is without an answer.  Of a stream of which one failed, those
                             behind it fail too, up to one that is alone: so (epoch, seq) of the last one that is there
                             never passes one that is not */
    const void *head;
    uint32_t    head_len;
    uint64_t    size;     /* of the body, from 1 */
};

/* A stream as it was found at the start. */
struct spool_stream {
    const char *id;          /* lent for the call */
    uint64_t    first, next; /* positions: what is there is from first to before next, dead ones aside */
    uint64_t    count, bytes; /* of those that are there and not dead */
    uint64_t    epoch, seq;  /* of the last that was appended, released or not: whose resend is known */
};

struct spool_dead {
    struct spool_bundle bundle; /* lent for the call */
    uint64_t            pos;
};

enum spool_kind {
    SPOOL_APPENDED,  /* ticket: ok, and then pos; else text says why, and nothing of it is there */
    SPOOL_FETCHED,   /* bundle, pos, body (owned by who takes it: free) and, in the same block behind it, head and id */
    SPOOL_FETCH_END, /* ticket, pos: the first that was not given; text: why, if something stopped it.  Positions that
                        were passed over are damaged: each has had its SPOOL_DAMAGED */
    SPOOL_DAMAGED,   /* ticket, pos: this bundle cannot be read (text); what there is of it is kept aside.  It counts,
                        and is told again, until it is released */
    SPOOL_BURIED,    /* ticket: ok: it is a dead letter now, flushed */
    SPOOL_SPACE,     /* full: nothing more is taken, or again; figures changed a good deal */
    SPOOL_BROKEN     /* text: a flush failed.  Nothing more is answered ok; the process has to be restarted.  Appends
                        that are refused after this may be there then, all the same */
};

struct spool_figures {
    uint64_t live, dead;     /* bytes of bundles: not released; dead letters */
    uint64_t count, dead_count;
    uint64_t disk;           /* bytes of all its files */
    uint64_t free;           /* of its file system; UINT64_MAX: cannot be told */
    uint64_t flushes, appended, appended_bytes, written; /* since the start; written: all bytes that went to the disk */
    bool     full, broken;
};

struct spool_answer {
    enum spool_kind      kind;
    uint64_t             ticket, pos;
    bool                 ok, full;
    struct spool_bundle  bundle;
    void                *body; /* SPOOL_FETCHED */
    char                *text; /* owned by who takes it: free; NULL: no words, or no memory for them */
};

/* Open, or make, the spool and read what a crash left: index only, not the bodies.  Answers go to `answers` from then
 * on.  Returns a new spool, or NULL with *err: ERR_CONFIG (the folder: missing, not ours, not writable, foreign files,
 * a newer format, another gateway has it; the words say what to do), ERR_IO, ERR_NOMEM. */
struct spool *spool_open(const struct spool_config *config, struct mailbox *answers, struct log *log, struct err *err);

/* What was found, before the first request: each stream, each dead letter. */
void spool_streams(struct spool *s, void (*each)(void *ctx, const struct spool_stream *stream), void *ctx);
void spool_dead(struct spool *s, void (*each)(void *ctx, const struct spool_dead *dead), void *ctx);

/* Requests.  false: no memory, and nothing was asked. */

/* All that was found has been read.  From here on the thread also does what nobody asks for: it cleans, and while the
 * spool is full it looks whether there is room again. */
bool spool_begin(struct spool *s);

/* The chunks are the body, lent until SPOOL_APPENDED; bundle and its texts are copied. */
bool spool_append(struct spool *s, uint64_t ticket, const struct spool_bundle *bundle, const struct spool_chunk *chunks,
                  size_t n);

/* Bundles of a stream from pos on, in order, dead ones left out: up to `most` of them, and up to `room` bytes of
 * bodies, but at least one. */
bool spool_fetch(struct spool *s, uint64_t ticket, const char *id, uint64_t pos, uint64_t room, uint32_t most);

/* It is forwarded, or dropped: of no more use. */
bool spool_release(struct spool *s, const char *id, uint64_t pos);

/* It is a dead letter from now on: kept until it is released, and not fetched by spool_fetch with others. */
bool spool_bury(struct spool *s, uint64_t ticket, const char *id, uint64_t pos);

/* A dead letter lives again, at the end of its stream: answered with SPOOL_APPENDED.  Refused while it is full. */
bool spool_revive(struct spool *s, uint64_t ticket, const char *id, uint64_t pos);

/* As things stand; any thread. */
void spool_figures(struct spool *s, struct spool_figures *ret);

/* End: what was appended is flushed, releases are written down.  spool_close(NULL) does nothing. */
void spool_close(struct spool *s);

#endif
