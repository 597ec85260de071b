/* spool_batch.c - what waits for a flush, and its way to the disk: one gathered write, one flush, then all is told. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"
#include "err.h"
#include "log.h"
#include "spool_parts.h"

void
batch_begin(struct spool_log *l, struct segment *s)
{
    struct batch *b = &l->batch;

    b->segment = s;
    b->tail = b->sent = s->used;
}

bool
batch_fits(const struct spool_log *l, const struct segment *s, uint64_t len, const struct stream *st)
{
    const struct batch *b = &l->batch;
    const uint64_t tail = b->segment == s ? b->tail : s->used;

    return s->entries + b->n < SPOOL_ENTRIES_MAX &&
           tail + len + segment_index_bytes(s->entries + b->n + 1, s->n_slices + (st != NULL)) <= s->size;
}

struct waiting *
batch_wait(struct spool_log *l)
{
    struct batch *b = &l->batch;

    if (b->n == b->cap) {
        const size_t cap = b->cap == 0 ? 64 : b->cap * 2;
        struct waiting *at = reallocarray(b->waiting, cap, sizeof(*at));

        if (at == NULL)
            return NULL;
        b->waiting = at;
        b->cap = cap;
    }
    b->waiting[b->n] = (struct waiting){0};
    return &b->waiting[b->n];
}

/* --- the write --- */

int
batch_send(struct spool_log *l, struct err *err)
{
    struct batch *b = &l->batch;
    const uint64_t len = b->out;

    if (len == 0)
        return 0;
    const int fd = segment_fd(l, b->segment, err);
    const uint64_t at = b->sent;
    const int n = b->n_iov;
    b->n_iov = 0;
    b->out = 0;
    b->arena_used = 0;
    b->sent += len; /* if it fails, any part of it may be there */
    if (fd < 0)
        return -1;
    if (disk_write(l->disk, fd, b->iov, n, at) != 0)
        return err_set(err, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, errno,
                       "the spool cannot be written");
    l->written += len;
    if (len >= OUT_BEGIN)
        l->disk->begin(l->disk->ctx, fd, at, len);
    return 0;
}

static int
gather(struct spool_log *l, const void *at, size_t len, struct err *err)
{
    struct batch *b = &l->batch;

    if (len == 0)
        return 0;
    if ((b->n_iov == OUT_IOV || (len <= OUT_SMALL && b->arena_used + len > OUT_ARENA)) && batch_send(l, err) != 0)
        return -1;
    b->out += len;
    if (len > OUT_SMALL) {
        b->iov[b->n_iov++] = (struct iovec){(void *)(uintptr_t)at, len};
        return 0;
    }
    unsigned char *to = b->arena + b->arena_used;
    memcpy(to, at, len);
    b->arena_used += len;
    if (b->n_iov > 0 && (unsigned char *)b->iov[b->n_iov - 1].iov_base + b->iov[b->n_iov - 1].iov_len == to)
        b->iov[b->n_iov - 1].iov_len += len;
    else
        b->iov[b->n_iov++] = (struct iovec){to, len};
    return 0;
}

int
batch_record(struct spool_log *l, struct record *r, uint64_t old, const void *head, const char *id,
             const struct spool_chunk *chunks, size_t n, struct entry *ret, struct err *err)
{
    static const unsigned char zeroes[8];
    struct batch *b = &l->batch;
    const struct segment *s = b->segment;
    unsigned char header[RECORD_HEADER], was[8];
    const size_t was_len = (r->flags & RECORD_REVIVED) != 0 ? sizeof(was) : 0;

    *ret = (struct entry){.pos = r->pos, .at = (uint32_t)b->tail, .over = (uint32_t)record_over(r), .body = r->body};
    r->flushed = (uint32_t)s->used;
    put_u64(was, old);
    r->sum = crc32c_add(&l->crc, record_sum(&l->crc, s->nonce, r), was, was_len);
    r->sum = crc32c_add(&l->crc, crc32c_add(&l->crc, r->sum, head, r->head), id, r->id);
    for (size_t i = 0; i < n; i++)
        r->sum = crc32c_add(&l->crc, r->sum, chunks[i].at, chunks[i].len);
    record_put(&l->crc, s->nonce, r, header);
    b->tail += entry_len(ret);
    if (gather(l, header, sizeof(header), err) != 0 || gather(l, was, was_len, err) != 0)
        return -1;
    /* A head is the caller's, and may be gone before the write. */
    for (size_t at = 0; at < r->head; at += OUT_SMALL)
        if (gather(l, (const char *)head + at, r->head - at < OUT_SMALL ? r->head - at : OUT_SMALL, err) != 0)
            return -1;
    if (gather(l, id, r->id, err) != 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (gather(l, chunks[i].at, chunks[i].len, err) != 0)
            return -1;
    if (gather(l, zeroes, (size_t)(entry_len(ret) - ret->over - ret->body), err) != 0)
        return -1;
    return b->out >= OUT_BEGIN ? batch_send(l, err) : 0;
}

/* --- states of the streams --- */

static size_t
state_body(const struct stream *st, bool full)
{
    return STATE_BYTES + 16 * (full ? st->gone.n + st->dead.n : st->fresh.n);
}

uint64_t
states_bytes(const struct spool_log *l, bool all)
{
    uint64_t sum = all ? RECORD_HEADER : 0;

    for (size_t i = 0; i < l->n_streams; i++)
        if (all || l->streams[i]->dirty)
            sum += RECORD_HEADER + SPOOL_ID_MAX + 8 + state_body(l->streams[i], all || l->streams[i]->whole);
    return sum;
}

static size_t
ranges_put(const struct posset *set, unsigned char *at)
{
    for (size_t i = 0; i < set->n; i++) {
        put_u64(at + 16 * i, set->ranges[i].from);
        put_u64(at + 16 * i + 8, set->ranges[i].to);
    }
    return 16 * set->n;
}

static int
state_write(struct spool_log *l, struct stream *st, bool full, struct err *err)
{
    const struct posset *gone = full ? &st->gone : &st->fresh;
    const size_t len = state_body(st, full);
    struct record r = {.type = RECORD_STATE, .flags = full ? RECORD_FULL : 0, .body = (uint32_t)len, .id = st->id_len};
    unsigned char *body = malloc(len);
    struct entry e;
    size_t at;
    int rc;

    if (body == NULL)
        return err_set(err, ERR_NOMEM, errno, "the state of a stream");
    const struct stream_state now = {st->next, st->mark_pos, st->epoch, st->seq, st->count, st->bytes, st->dead_count,
                                     st->dead_bytes, (uint32_t)gone->n, full ? (uint32_t)st->dead.n : 0};
    stream_state_put(&now, body);
    at = STATE_BYTES + ranges_put(gone, body + STATE_BYTES);
    if (full)
        ranges_put(&st->dead, body + at);
    rc = batch_record(l, &r, 0, NULL, st->id, &(struct spool_chunk){body, len}, 1, &e, err);
    if (rc == 0 && len > OUT_SMALL)
        rc = batch_send(l, err); /* before the body goes */
    free(body);
    st->told = true;
    st->dirty = st->whole = false;
    posset_clear(&st->fresh);
    return rc;
}

/* Nothing else waits: what the states say is what the log says up to here. */
int
states_write(struct spool_log *l, bool all, struct err *err)
{
    struct batch *b = &l->batch;
    struct record base = {.type = RECORD_BASE};
    struct entry e;

    for (size_t i = 0; i < l->n_streams; i++) {
        struct stream *st = l->streams[i];

        if ((all || st->dirty) && state_write(l, st, all || st->whole, err) != 0)
            return -1;
    }
    l->state_due = false;
    b->states = true;
    b->releases = l->releases;
    b->based = b->based || all;
    return all ? batch_record(l, &base, 0, NULL, NULL, NULL, 0, &e, err) : 0;
}

/* --- the flush, and what follows --- */

void
spool_break(struct spool_log *l, const struct err *why)
{
    if (l->broken)
        return;
    l->broken = true;
    log_event(l->log, LOG_ERROR, "spool_broken", LOG_STR("error", why->text));
    l->told(l->ctx, SPOOL_BROKEN, 0, false, 0, why->text);
}

static void
apply_append(struct spool_log *l, struct waiting *w)
{
    struct stream *st = w->stream;
    struct segment *s = w->slice->segment;

    w->slice->waiting = 0;
    slice_add(w->slice, &w->entry);
    s->live += entry_len(&w->entry);
    st->next = w->entry.pos + 1;
    l->total += w->entry.body;
    l->appended++;
    l->appended_bytes += w->entry.body;
    st->count++;
    st->bytes += w->entry.body;
    if (w->dead)
        stream_bury(st, w->entry.pos, w->entry.body);
    if (w->old != 0) {
        stream_gone(l, st, w->old);
    } else {
        stream_mark(st, w->entry.pos, w->epoch, w->seq);
        slice_mark(w->slice, w->entry.pos, w->epoch, w->seq);
    }
    /* What is in a file of its own is known by the log only through its stream's state. */
    if (s->kind == SEGMENT_BIG)
        st->dirty = st->whole = l->state_due = true;
    l->told(l->ctx, SPOOL_APPENDED, w->ticket, true, w->entry.pos, NULL);
}

static void
apply_copy(struct waiting *w)
{
    w->slice->waiting = 0;
    slice_add(w->slice, &w->entry);
    w->slice->segment->live += entry_len(&w->entry);
}

static void
apply(struct spool_log *l, struct waiting *w)
{
    w->stream->waiting = 0;
    switch (w->kind) {
    case WAITS_APPEND: apply_append(l, w); break;
    case WAITS_COPY: apply_copy(w); break;
    case WAITS_BURY:
        stream_bury(w->stream, w->entry.pos, w->entry.body);
        l->told(l->ctx, SPOOL_BURIED, w->ticket, true, w->entry.pos, NULL);
        break;
    }
}

static void
clear(struct spool_log *l)
{
    struct batch *b = &l->batch;

    for (size_t i = 0; b->states && i < l->n_streams; i++)
        l->streams[i]->told = false;
    b->segment = NULL;
    b->n = 0;
    b->n_iov = 0;
    b->out = 0;
    b->arena_used = 0;
    b->bytes = 0;
    b->states = b->based = false;
}

/* Where the segment stands now: what was written of the batch is taken back, or the segment with it. */
static void
take_back(struct spool_log *l, struct segment *s, const struct err *why)
{
    struct err err = {0};
    const uint64_t size = s->size;

    if (s->used == SEGMENT_HEADER) { /* nothing is in it yet */
        s->size = 0; /* not a spare one */
        segment_drop(l, s);
        if (folder_flush(l, &err) != 0) /* nor may its name come back: its positions are given again */
            spool_break(l, &err);
        return;
    }
    if (l->batch.sent == s->used || segment_cut(l, s, &err) != 0)
        return;
    if (why->sys != EIO && l->disk->allocate(l->disk->ctx, s->fd, size) == 0) {
        s->size = size;
        return;
    }
    /* No more is written here. */
    if (segment_seal(l, s, &err) != 0)
        log_event(l->log, LOG_ERROR, "spool_seal_failed", LOG_STR("error", err.text));
    l->hot = l->hot == s ? NULL : l->hot;
    l->cold = l->cold == s ? NULL : l->cold;
}

void
batch_fail(struct spool_log *l, const struct err *why)
{
    struct batch *b = &l->batch;
    struct segment *s = b->segment;
    const size_t n = b->n;

    for (size_t i = 0; i < l->n_streams; i++) {
        struct stream *st = l->streams[i];

        st->waiting = 0;
        if (st->told)
            st->dirty = st->whole = l->state_due = true;
        st->told = false;
    }
    for (size_t i = 0; i < n; i++)
        if (b->waiting[i].slice != NULL)
            b->waiting[i].slice->waiting = 0;
    /* First: where it cannot be taken back, that is told before its failure, which then is not sure. */
    if (s != NULL && !l->broken)
        take_back(l, s, why);
    for (size_t i = 0; i < n; i++) {
        const struct waiting *w = &b->waiting[i];

        if (w->kind == WAITS_APPEND && w->old == 0)
            w->stream->failed = true;
        if (w->kind != WAITS_COPY)
            l->told(l->ctx, w->kind == WAITS_BURY ? SPOOL_BURIED : SPOOL_APPENDED, w->ticket, false,
                    w->kind == WAITS_BURY ? w->entry.pos : 0, why->text);
    }
    clear(l);
}

int
batch_commit(struct spool_log *l, struct err *err)
{
    struct batch *b = &l->batch;
    struct err why = {0};

    if (b->segment == NULL)
        return 0;
    if (batch_send(l, &why) != 0)
        goto fail;
    if (b->tail > b->segment->used) {
        crash_point(CRASH_WRITTEN);
        if (l->disk->fdatasync(l->disk->ctx, b->segment->fd) != 0) {
            /* The kernel may drop what it could not write and report success next time: a retry proves nothing. */
            err_set(&why, ERR_IO, errno, "the spool cannot be flushed");
            spool_break(l, &why);
            goto fail;
        }
        l->flushes++;
    }
    b->segment->used = b->tail;
    if (b->states) {
        l->written_releases = b->releases;
        crash_point(CRASH_RELEASED);
    }
    if (b->based)
        b->segment->based = true;
    for (size_t i = 0; i < b->n; i++)
        apply(l, &b->waiting[i]);
    clear(l);
    return 0;

fail:
    batch_fail(l, &why);
    if (err != NULL)
        *err = why;
    return -1;
}
