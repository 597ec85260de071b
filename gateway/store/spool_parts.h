/* spool_parts.h - what the files of the spool's engine share.  Nobody else includes this. */
#ifndef SPOOL_PARTS_H
#define SPOOL_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "disk.h"
#include "posset.h"
#include "spool_bytes.h"
#include "spool_log.h"

struct err;

enum {
    SPOOL_PATH_MAX = 4096,
    RESERVE = 2,                     /* spare segments that nothing is appended to: the cleaner's, and for releases */
    SPARES_MAX = 3,
    OPEN_MAX = 64,                   /* descriptors of segments */
    PAGES = 16,                      /* of indexes, in memory */
    PAGE_BYTES = 4096,
    OUT_IOV = 512,
    OUT_ARENA = 1024 * 1024,         /* small pieces of one write, side by side */
    OUT_BEGIN = 128 * 1024,          /* so much is written at once: the disk has it while the next is summed */
    OUT_SMALL = 4096,                /* a piece up to this is copied there */
    BIG_BODY = 8 * 1024 * 1024       /* above this, or an eighth of a segment, a bundle has a file of its own */
};

/* The records of one stream in one segment. */
struct slice {
    struct segment *segment;
    struct stream  *stream;
    uint64_t        first, last, count, bytes; /* as in its summary */
    uint64_t        mark_pos, epoch, seq;
    struct entry   *entries; /* by position; NULL: they are in the file */
    size_t          cap, waiting; /* entries that there is room for; of them, not flushed */
    uint64_t        index_at;
    uint32_t        index_sum;
    bool            checked; /* index_sum is right */
    bool            listed;  /* by its stream */
};

struct segment {
    enum segment_kind kind;
    uint64_t       seq, nonce;
    uint64_t       order;    /* in the log; seq, unless somebody renamed its file */
    uint64_t       size;     /* of its file */
    uint64_t       used;     /* up to here it is written and flushed */
    uint64_t       live;     /* bytes of its records that are not released */
    uint64_t       empty_at; /* live is 0: the number of the release that did it */
    bool           sealed;   /* its index is in the file */
    bool           based;    /* SEGMENT_HOT: each stream's state stands in it, flushed */
    bool           damaged;  /* something in it cannot be read: kept aside in the end */
    int            fd;       /* -1: closed */
    uint64_t       touched;
    struct slice **slices;
    size_t         n_slices, cap_slices, entries;
};

struct stream {
    char           id[SPOOL_ID_MAX + 1];
    uint8_t        id_len;
    uint64_t       next, waiting; /* position; appends that wait for a commit */
    uint64_t       mark_pos, epoch, seq;
    uint64_t       count, bytes, dead_count, dead_bytes;
    struct posset  gone, dead;
    struct posset  fresh;     /* of gone, what the log does not say yet */
    bool           failed;    /* an append was not taken: nor are those behind it, up to one that is alone */
    bool           dirty;     /* its state is to be written */
    bool           whole;     /* and all of it */
    bool           told;      /* it is in the batch */
    struct slice **slices;    /* by first */
    uint64_t      *reach;     /* for each of them, the greatest `last` of it and those before it */
    size_t         n_slices, cap_slices;
    struct slice  *hot;       /* of l->hot; NULL: none, or not known */
};

enum waiting_kind { WAITS_APPEND, WAITS_BURY, WAITS_COPY };

struct waiting {
    enum waiting_kind kind;
    uint64_t          ticket;
    struct stream    *stream;
    struct slice     *slice;   /* where it goes */
    struct entry      entry;   /* of WAITS_BURY: pos, and the body's size */
    uint64_t          epoch, seq, old; /* old: of a revived one; else 0 */
    bool              dead;
};

/* One batch: records that go to the end of one segment. */
struct batch {
    struct segment *segment;   /* NULL: nothing waits */
    uint64_t        tail, sent; /* in the file: where the next record goes; what is written, not flushed */
    struct iovec    iov[OUT_IOV];
    int             n_iov;
    uint64_t        out;       /* bytes in them */
    unsigned char  *arena;
    size_t          arena_used;
    struct waiting *waiting;
    size_t          n, cap;
    uint64_t        bytes;     /* of bodies */
    bool            states;    /* releases up to this number are in it */
    uint64_t        releases;
    bool            based;     /* it begins the segment with the state of each stream */
};

struct page {
    uint64_t      seq, at; /* seq 0: empty */
    size_t        len;
    unsigned char bytes[PAGE_BYTES];
};

struct spool_log {
    const struct disk *disk;   /* borrowed */
    char              *dir;    /* owned */
    uint64_t           limit, floor, segment; /* as configured */
    spool_told        *told;
    void              *ctx;
    struct log        *log;    /* borrowed */
    struct crc32c      crc;
    int                lock_fd, dir_fd;
    struct segment   **segments;
    size_t             n_segments, cap_segments;
    struct stream    **streams; /* by id */
    size_t             n_streams, cap_streams;
    struct segment    *hot, *cold; /* those that are written; NULL: none yet */
    uint64_t           next_seq;
    uint64_t           spares[SPARES_MAX + 1];
    size_t             n_spares;
    bool               names_waiting; /* a name of a spare is not flushed: its old one may come back */
    uint64_t           releases, written_releases;
    struct batch       batch;
    struct page        pages[PAGES];
    uint64_t           ticks;
    struct segment    *victim; /* being cleaned: its slice and entry */
    size_t             victim_slice;
    uint64_t           victim_entry;
    bool               state_due; /* before any other record: something is in a file of its own */
    bool               sparse; /* there may be one to clean */
    uint64_t           aside;
    uint64_t           total;  /* bytes of bodies in it, dead ones included */
    uint64_t           asked;  /* appended_bytes when room was asked for */
    uint64_t           room;   /* free on the file system, when it was last asked */
    uint64_t           flushes, appended, appended_bytes, written;
    bool               full, broken;
};

/* --- spool_folder.c: names, the lock, the format --- */

void spool_path(const struct spool_log *l, const char *kind, uint64_t seq, char path[SPOOL_PATH_MAX]);
int folder_open(struct spool_log *l, struct err *err);
int folder_flush(struct spool_log *l, struct err *err);
/* The numbers of the files seg-* or spare-*; new array, free it. */
int folder_numbers(struct spool_log *l, const char *kind, uint64_t **ret, size_t *ret_n, struct err *err);

/* --- spool_segment.c: files, their indexes, the spare ones --- */

int segment_fd(struct spool_log *l, struct segment *s, struct err *err);
struct segment *segment_add(struct spool_log *l); /* to the list; NULL: no memory */
/* size 0: the usual.  ingest: may not take a reserve. */
struct segment *segment_new(struct spool_log *l, enum segment_kind kind, uint64_t size, bool ingest, struct err *err);
/* Nothing is written to it any more: cut to what is flushed.  -1: that failed, and the spool is broken. */
int segment_cut(struct spool_log *l, struct segment *s, struct err *err);
int segment_seal(struct spool_log *l, struct segment *s, struct err *err);
uint64_t segment_index_bytes(size_t entries, size_t slices);
void segment_forget(struct spool_log *l, struct segment *s); /* from the lists, and free; not the file */
void segment_drop(struct spool_log *l, struct segment *s);   /* a spare, or removed, or aside; and forgotten */
void segment_damaged(struct spool_log *l, struct segment *s, uint64_t at, const char *why);
bool spares_fill(struct spool_log *l);
void spares_trim(struct spool_log *l);
uint64_t spares_needed(const struct spool_log *l);
uint64_t disk_used(const struct spool_log *l);

/* --- spool_slice.c: entries of one stream in one segment --- */

struct slice *slice_for(struct spool_log *l, struct segment *s, struct stream *st); /* with room for one more entry */
int slice_add(struct slice *sl, const struct entry *e); /* cannot fail after slice_for */
int slice_entry(struct spool_log *l, struct slice *sl, uint64_t i, struct entry *ret, struct err *err);
/* 1: found, 0: not, -1: its index cannot be read */
int slice_find(struct spool_log *l, struct slice *sl, uint64_t pos, struct entry *ret, struct err *err);
void slice_mark(struct slice *sl, uint64_t pos, uint64_t epoch, uint64_t seq);
void slice_free(struct slice *sl);

/* --- spool_stream.c --- */

struct stream *stream_get(struct spool_log *l, const char *id, size_t len, bool make);
void stream_list(struct stream *st, struct slice *sl);   /* room was made by slice_for */
void stream_unlist(struct stream *st, struct slice *sl);
void stream_reach(struct stream *st); /* recount after a slice grew */
/* The i-th place where pos is, the newest first; false: no more. */
bool stream_place(struct spool_log *l, struct stream *st, uint64_t pos, size_t i, struct slice **ret, struct entry *e);
void stream_gone(struct spool_log *l, struct stream *st, uint64_t pos);
void stream_bury(struct stream *st, uint64_t pos, uint64_t body);
void stream_mark(struct stream *st, uint64_t pos, uint64_t epoch, uint64_t seq);
void stream_free(struct stream *st);

/* --- spool_batch.c: what waits, and its way to the disk --- */

struct spool_piece {
    const void *at;
    size_t      len;
};
/* Make the batch one of segment s, which has room. */
void batch_begin(struct spool_log *l, struct segment *s);
int batch_record(struct spool_log *l, struct record *r, uint64_t old, const void *head, const char *id,
                 const struct spool_chunk *chunks, size_t n, struct entry *ret, struct err *err);
bool batch_fits(const struct spool_log *l, const struct segment *s, uint64_t len, const struct stream *st);
struct waiting *batch_wait(struct spool_log *l); /* room for one; NULL: no memory */
int batch_send(struct spool_log *l, struct err *err);
int batch_commit(struct spool_log *l, struct err *err);
void batch_fail(struct spool_log *l, const struct err *why);
void spool_break(struct spool_log *l, const struct err *why);
int states_write(struct spool_log *l, bool all, struct err *err);
uint64_t states_bytes(const struct spool_log *l, bool all);

/* --- spool_record.c: reading one --- */

/* Read what e names into a new block: body, then (at *ret_tail) what was before it, then a NUL.  Checked against the
 * sum, the stream and the position.  ERR_IO: it cannot be read; ERR_NOMEM. */
int record_read(struct spool_log *l, struct slice *sl, const struct entry *e, struct record *ret, char **ret_block,
                struct err *err);
void record_bundle(const struct record *r, char *block, struct spool_bundle *ret);

/* --- spool_log.c --- */


/* --- spool_recover.c --- */

int spool_recover(struct spool_log *l, struct err *err);
/* Make a new list of what is in s from its records; its index is not believed. */
int segment_rescan(struct spool_log *l, struct segment *s, struct err *err);

#endif
