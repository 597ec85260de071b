/* spool_segment.c - the files of the spool: made and used again, sealed with an index, dropped. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"
#include "err.h"
#include "log.h"
#include "spool_parts.h"

/* --- descriptors --- */

static void
segment_close(struct spool_log *l, struct segment *s)
{
    if (s->fd >= 0)
        l->disk->close(l->disk->ctx, s->fd);
    s->fd = -1;
}

/* What is written stays open: an error of its flush is told to those that had it open. */
static void
close_oldest(struct spool_log *l)
{
    struct segment *oldest = NULL;
    size_t open = 0;

    for (size_t i = 0; i < l->n_segments; i++) {
        struct segment *s = l->segments[i];

        open += s->fd >= 0;
        if (s->fd >= 0 && s->sealed && (oldest == NULL || s->touched < oldest->touched))
            oldest = s;
    }
    if (open >= OPEN_MAX && oldest != NULL)
        segment_close(l, oldest);
}

int
segment_fd(struct spool_log *l, struct segment *s, struct err *err)
{
    char path[SPOOL_PATH_MAX];

    s->touched = ++l->ticks;
    if (s->fd >= 0)
        return s->fd;
    close_oldest(l);
    spool_path(l, "seg", s->seq, path);
    s->fd = l->disk->open(l->disk->ctx, path, O_RDWR);
    if (s->fd < 0)
        /* No descriptor or memory now is no damage. */
        return err_set(err, errno == EMFILE || errno == ENFILE || errno == ENOMEM ? ERR_NOMEM : ERR_IO, errno,
                       "%.100s cannot be opened", path);
    return s->fd;
}

/* --- the list --- */

struct segment *
segment_add(struct spool_log *l)
{
    struct segment *s;

    if (l->n_segments == l->cap_segments) {
        const size_t cap = l->cap_segments == 0 ? 16 : l->cap_segments * 2;
        struct segment **at = reallocarray(l->segments, cap, sizeof(struct segment *));

        if (at == NULL)
            return NULL;
        l->segments = at;
        l->cap_segments = cap;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->fd = -1;
    l->segments[l->n_segments++] = s;
    return s;
}

void
segment_forget(struct spool_log *l, struct segment *s)
{
    for (size_t i = 0; i < l->n_segments; i++) {
        if (l->segments[i] == s) {
            l->segments[i] = l->segments[--l->n_segments];
            break;
        }
    }
    segment_close(l, s);
    for (size_t i = 0; i < s->n_slices; i++)
        slice_free(s->slices[i]);
    free(s->slices);
    if (l->hot == s)
        l->hot = NULL;
    if (l->cold == s)
        l->cold = NULL;
    if (l->victim == s)
        l->victim = NULL;
    free(s);
}

uint64_t
disk_used(const struct spool_log *l)
{
    uint64_t sum = l->n_spares * l->segment;

    for (size_t i = 0; i < l->n_segments; i++)
        sum += l->segments[i]->size;
    return sum;
}

void
segment_damaged(struct spool_log *l, struct segment *s, uint64_t at, const char *why)
{
    char path[SPOOL_PATH_MAX];

    spool_path(l, "seg", s->seq, path);
    if (!s->damaged)
        log_event(l->log, LOG_ERROR, "spool_damaged", LOG_STR("file", path), LOG_INT("at", at), LOG_STR("error", why));
    s->damaged = true;
}

/* --- spare files --- */

uint64_t
spares_needed(const struct spool_log *l)
{
    return l->cold != NULL ? RESERVE - 1 : RESERVE;
}

/* Make a file of its whole size under a spare's name.  Half of one, after a crash, is known by its size. */
static int
spare_make(struct spool_log *l, uint64_t size, bool mind_floor, uint64_t *ret, struct err *err)
{
    char path[SPOOL_PATH_MAX];
    const uint64_t seq = l->next_seq++;
    int rc, fd, sys;

    *ret = seq;
    if (l->disk->room(l->disk->ctx, l->dir, &l->room) != 0)
        l->room = UINT64_MAX;
    if (mind_floor && (l->room < size || l->room - size < l->floor))
        return err_set(err, ERR_FULL, ENOSPC, "the spool's disk has no room for a segment above its floor");
    spool_path(l, "spare", seq, path);
    fd = l->disk->open(l->disk->ctx, path, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0)
        return err_set(err, ERR_IO, errno, "%.100s cannot be made", path);
    rc = l->disk->allocate(l->disk->ctx, fd, size);
    if (rc == 0)
        rc = l->disk->fsync(l->disk->ctx, fd);
    sys = errno;
    l->disk->close(l->disk->ctx, fd);
    if (rc != 0) {
        l->disk->unlink(l->disk->ctx, path);
        return err_set(err, sys == ENOSPC || sys == EDQUOT ? ERR_FULL : ERR_IO, sys, "%.100s cannot be made", path);
    }
    return 0;
}

/* The lowest is the one that was never written, and goes first; the uppermost is used first: what was written before
 * is flushed faster. */
static void
spare_keep(struct spool_log *l, uint64_t seq, bool written)
{
    const size_t at = written ? l->n_spares : 0;

    memmove(l->spares + at + 1, l->spares + at, (l->n_spares - at) * sizeof(*l->spares));
    l->spares[at] = seq;
    l->n_spares++;
}

static void
spare_drop_lowest(struct spool_log *l)
{
    char path[SPOOL_PATH_MAX];

    spool_path(l, "spare", l->spares[0], path);
    l->disk->unlink(l->disk->ctx, path);
    l->n_spares--;
    memmove(l->spares, l->spares + 1, l->n_spares * sizeof(*l->spares));
}

bool
spares_fill(struct spool_log *l)
{
    uint64_t seq = 0;

    while (l->n_spares < spares_needed(l)) {
        if (spare_make(l, l->segment, true, &seq, NULL) != 0)
            return false;
        spare_keep(l, seq, false);
    }
    return true;
}

void
spares_trim(struct spool_log *l)
{
    while (l->n_spares > spares_needed(l) && disk_used(l) > 2 * spool_log_held(l) + 3 * l->segment)
        spare_drop_lowest(l);
}

static int
spare_take(struct spool_log *l, uint64_t size, bool ingest, uint64_t *ret, struct err *err)
{
    if (size != l->segment)
        return spare_make(l, size, ingest, ret, err);
    if (ingest && !spares_fill(l))
        return err_set(err, ERR_FULL, ENOSPC, "the spool's disk has no room for its reserve");
    if (l->n_spares == 0 || (ingest && l->n_spares == spares_needed(l))) {
        if (spare_make(l, size, ingest, ret, err) != 0)
            return -1;
        spare_keep(l, *ret, false);
    }
    *ret = l->spares[--l->n_spares];
    return 0;
}

/* --- making one --- */

/* Twice, since without it no record can be believed: the one at the end stands where the trailer will. */
static int
header_write(struct spool_log *l, struct segment *s, struct err *err)
{
    unsigned char at[SEGMENT_HEADER];

    segment_header_put(&l->crc, &(struct segment_header){SPOOL_FORMAT, s->kind, s->nonce, s->seq, s->size}, at);
    if (disk_write_at(l->disk, s->fd, at, sizeof(at), 0) != 0 ||
        disk_write_at(l->disk, s->fd, at, sizeof(at), s->size - sizeof(at)) != 0 ||
        l->disk->fsync(l->disk->ctx, s->fd) != 0)
        return err_set(err, ERR_IO, errno, "a segment cannot be begun");
    l->written += 2 * sizeof(at);
    l->flushes++;
    return 0;
}

/* A header goes into a file only once its old name cannot come back: else it would be a segment that is not what its
 * name says. */
struct segment *
segment_new(struct spool_log *l, enum segment_kind kind, uint64_t size, bool ingest, struct err *err)
{
    char spare[SPOOL_PATH_MAX], path[SPOOL_PATH_MAX];
    struct segment *s;
    uint64_t number = 0;

    size = size == 0 ? l->segment : size;
    if (spare_take(l, size, ingest, &number, err) != 0)
        return NULL;
    spool_path(l, "spare", number, spare);
    s = segment_add(l);
    if (s == NULL) {
        err_set(err, ERR_NOMEM, errno, "spool");
        l->disk->unlink(l->disk->ctx, spare);
        return NULL;
    }
    s->kind = kind;
    s->size = size;
    s->used = SEGMENT_HEADER;
    s->seq = s->order = l->next_seq++;
    spool_path(l, "seg", s->seq, path);
    if (l->names_waiting && folder_flush(l, err) != 0)
        goto fail;
    if (l->disk->random(l->disk->ctx, &s->nonce, sizeof(s->nonce)) != 0) {
        err_set(err, ERR_IO, errno, "no random number for a segment");
        goto fail;
    }
    s->fd = l->disk->open(l->disk->ctx, spare, O_RDWR);
    if (s->fd < 0) {
        err_set(err, ERR_IO, errno, "%.100s cannot be opened", spare);
        goto fail;
    }
    if (header_write(l, s, err) != 0)
        goto fail;
    if (l->disk->rename(l->disk->ctx, spare, path) != 0) {
        err_set(err, ERR_IO, errno, "%.100s cannot be renamed", spare);
        goto fail;
    }
    if (folder_flush(l, err) != 0) {
        spool_break(l, err); /* which names there are is not known any more */
        segment_forget(l, s);
        return NULL;
    }
    return s;

fail:
    l->disk->unlink(l->disk->ctx, spare);
    segment_forget(l, s);
    return NULL;
}

/* --- sealing --- */

uint64_t
segment_index_bytes(size_t entries, size_t slices)
{
    return 16 + entries * (uint64_t)ENTRY_BYTES + slices * (uint64_t)(SUMMARY_BYTES + SPOOL_ID_MAX) + TRAILER_BYTES;
}

static size_t
index_put(struct spool_log *l, struct segment *s, uint64_t begin, unsigned char *at, struct trailer *t)
{
    size_t len = 0;

    for (size_t i = 0; i < s->n_slices; i++) {
        struct slice *sl = s->slices[i];

        sl->index_at = begin + len;
        for (size_t k = 0; k < sl->count; k++)
            entry_put(&sl->entries[k], at + len + k * ENTRY_BYTES);
        sl->index_sum = crc32c_add(&l->crc, sum_begin(&l->crc, s->nonce), at + len, sl->count * ENTRY_BYTES);
        len += sl->count * ENTRY_BYTES;
    }
    *t = (struct trailer){.nonce = s->nonce, .seq = s->seq, .used = s->used, .summaries_at = begin + len,
                          .entries = (uint32_t)s->entries, .kind = s->kind};
    for (size_t i = 0; i < s->n_slices; i++) {
        const struct slice *sl = s->slices[i];

        if (sl->count == 0)
            continue;
        t->summaries++;
        len += summary_put(&(struct summary){.first = sl->first, .last = sl->last, .count = sl->count,
                                             .bytes = sl->bytes, .mark_pos = sl->mark_pos, .epoch = sl->epoch,
                                             .seq = sl->seq, .index_at = sl->index_at, .index_sum = sl->index_sum,
                                             .id = sl->stream->id_len},
                           sl->stream->id, at + len);
    }
    t->summaries_len = (uint32_t)(begin + len - t->summaries_at);
    return len;
}

static void
sealed(struct segment *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_slices; i++) {
        struct slice *sl = s->slices[i];

        if (sl->count == 0) {
            slice_free(sl);
            continue;
        }
        free(sl->entries);
        sl->entries = NULL;
        sl->cap = 0;
        sl->checked = true;
        s->slices[n++] = sl;
    }
    s->n_slices = n;
    s->sealed = true;
}

static int
seal_write(struct spool_log *l, int fd, const void *from, size_t len, uint64_t at, struct err *err)
{
    if (disk_write_at(l->disk, fd, from, len, at) != 0)
        return err_set(err, ERR_IO, errno, "the index of a segment cannot be written");
    if (l->disk->fdatasync(l->disk->ctx, fd) != 0) {
        err_set(err, ERR_IO, errno, "a segment cannot be flushed");
        spool_break(l, err);
        return -1;
    }
    l->flushes++;
    l->written += len;
    return 0;
}

/* Its index goes behind its records, and the trailer to the end of the file.  Where much of it was not needed, the
 * file becomes as short as that. */
int
segment_seal(struct spool_log *l, struct segment *s, struct err *err)
{
    const uint64_t begin = (s->used + 15) / 16 * 16;
    const int fd = segment_fd(l, s, err);
    unsigned char *at;
    struct trailer t;
    uint64_t end;
    size_t len;
    int rc;

    if (s == l->hot)
        for (size_t i = 0; i < l->n_streams; i++)
            l->streams[i]->hot = NULL;
    at = fd < 0 ? NULL : malloc((size_t)segment_index_bytes(s->entries, s->n_slices));
    if (at == NULL)
        return fd < 0 ? -1 : err_set(err, ERR_NOMEM, errno, "the index of a segment");
    len = index_put(l, s, begin, at, &t);
    end = begin + len + TRAILER_BYTES;
    trailer_put(&l->crc, &t, at + (t.summaries_at - begin), at + len);
    if (end < s->size - s->size / 4 && l->disk->truncate(l->disk->ctx, fd, end) == 0)
        s->size = end;
    s->size = s->size < end ? end : s->size;
    rc = seal_write(l, fd, at, len, begin, err);
    if (rc == 0) /* once what it tells of is there */
        rc = seal_write(l, fd, at + len, TRAILER_BYTES, s->size - TRAILER_BYTES, err);
    free(at);
    if (rc == 0)
        sealed(s);
    return rc;
}

/* What was written behind what was flushed must not come back: its positions are given again. */
int
segment_cut(struct spool_log *l, struct segment *s, struct err *err)
{
    if (l->disk->truncate(l->disk->ctx, s->fd, s->used) == 0 && l->disk->fdatasync(l->disk->ctx, s->fd) == 0) {
        s->size = s->used;
        return 0;
    }
    err_set(err, ERR_IO, errno, "what was begun cannot be taken back");
    spool_break(l, err);
    return -1;
}

/* --- dropping --- */

void
segment_drop(struct spool_log *l, struct segment *s)
{
    char path[SPOOL_PATH_MAX], to[SPOOL_PATH_MAX];

    spool_path(l, "seg", s->seq, path);
    segment_close(l, s);
    if (s->damaged) {
        spool_path(l, "damaged", s->seq, to);
        if (l->disk->rename(l->disk->ctx, path, to) == 0)
            l->aside += s->size;
        log_event(l->log, LOG_WARN, "spool_kept_aside", LOG_STR("file", to));
    } else if (s->size == l->segment) {
        if (l->n_spares == SPARES_MAX)
            spare_drop_lowest(l);
        spool_path(l, "spare", s->seq, to);
        if (l->disk->rename(l->disk->ctx, path, to) == 0)
            spare_keep(l, s->seq, true);
        l->names_waiting = true;
    } else {
        l->disk->unlink(l->disk->ctx, path);
    }
    crash_point(CRASH_REMOVED);
    segment_forget(l, s);
}
