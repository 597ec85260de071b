/* spool_recover.c - what a crash left: indexes are read, and the records of the segment that was written last.
 *
 * Where the streams stand is in the newest segment that begins with all their states, and in what follows it.  The end
 * of the last segment is believed as far as it is whole.  Each record says how far its segment was flushed before it:
 * a hole before that is damage, and what comes after it counts; a hole behind that was torn, and nothing after it was
 * ever answered for. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "log.h"
#include "spool_parts.h"
#include "spool_scan.h"

enum { AGAIN_BYTES = 1024 * 1024 };

/* --- one file --- */

/* Names and bytes that are not a segment's, though its name is: kept, and out of the way. */
static int
set_aside(struct spool_log *l, struct segment *s, const char *why)
{
    segment_damaged(l, s, 0, why);
    segment_drop(l, s);
    return 0;
}

static int
index_read(struct spool_log *l, struct segment *s, const struct trailer *t, const unsigned char *trailer,
           struct err *err)
{
    unsigned char *all;
    size_t at = 0, len = t->summaries_len;
    int rc = 0;

    if (t->used > s->size || t->summaries_at > s->size - TRAILER_BYTES ||
        len > s->size - TRAILER_BYTES - t->summaries_at)
        return 0;
    all = malloc(len + 1);
    if (all == NULL)
        return err_set(err, ERR_NOMEM, errno, "the index of a segment");
    if (disk_read_at(l->disk, s->fd, all, len, t->summaries_at) != 0 || !trailer_fits(&l->crc, trailer, all)) {
        free(all);
        return 0;
    }
    s->sealed = true;
    s->used = t->used;
    for (uint32_t i = 0; i < t->summaries && rc == 0; i++) {
        struct summary sum;
        const char *id;
        const size_t n = summary_get(all + at, len - at, &sum, &id);
        struct stream *st = n == 0 || sum.count == 0 ? NULL : stream_get(l, id, sum.id, true);
        struct slice *sl = st == NULL ? NULL : slice_for(l, s, st);

        if (n == 0)
            break;
        at += n;
        if (sl == NULL) {
            rc = err_set(err, ERR_NOMEM, errno, "the index of a segment");
            break;
        }
        free(sl->entries);
        sl->entries = NULL;
        sl->cap = 0;
        sl->first = sum.first;
        sl->last = sum.last;
        sl->count = sum.count;
        sl->bytes = sum.bytes;
        sl->mark_pos = sum.mark_pos;
        sl->epoch = sum.epoch;
        sl->seq = sum.seq;
        sl->index_at = sum.index_at;
        sl->index_sum = sum.index_sum;
        s->entries += sum.count;
        stream_list(st, sl);
    }
    free(all);
    return rc;
}

static int
refuse_file(const struct spool_log *l, const char *path, int sys, struct err *err)
{
    if (sys == EISDIR || sys == ELOOP || sys == ENXIO)
        return err_set(err, ERR_CONFIG, 0, "%.120s is not a file of a spool, and in its way: move it away", path);
    if (sys == EACCES || sys == EPERM)
        return err_set(err, ERR_CONFIG, sys, "%.120s cannot be opened: chown it to the user that sluiced runs as",
                       path);
    return err_set(err, ERR_IO, sys, "spool.dir %.60s: a segment cannot be opened", l->dir);
}

/* Its header, and its index where it has one. */
static int
load(struct spool_log *l, uint64_t number, struct err *err)
{
    unsigned char at[SEGMENT_HEADER], end[TRAILER_BYTES];
    struct segment *s = segment_add(l);
    struct segment_header h;
    struct trailer t;
    char path[SPOOL_PATH_MAX];

    if (s == NULL)
        return err_set(err, ERR_NOMEM, errno, "spool");
    s->seq = number;
    spool_path(l, "seg", number, path);
    if (segment_fd(l, s, err) < 0)
        return refuse_file(l, path, errno, err);
    if (l->disk->size(l->disk->ctx, s->fd, &s->size) != 0)
        return err_set(err, ERR_IO, errno, "%.100s: its size cannot be told", path);
    if (s->size < SEGMENT_HEADER + TRAILER_BYTES || s->size > UINT32_MAX)
        return set_aside(l, s, "it has no size of a segment");
    const bool read = disk_read_at(l->disk, s->fd, end, sizeof(end), s->size - TRAILER_BYTES) == 0;
    const bool first = disk_read_at(l->disk, s->fd, at, sizeof(at), 0) == 0 && segment_header_get(&l->crc, at, &h);
    const bool headed = first || (read && segment_header_get(&l->crc, end, &h)); /* it is there twice */
    bool ended = read && trailer_get(end, &t);
    if (headed && h.format > SPOOL_FORMAT)
        return err_set(err, ERR_CONFIG, 0, "%.100s is of format %" PRIu32 ": install the newer sluiced that wrote it",
                       path, h.format);
    ended = ended && (headed ? t.nonce == h.nonce : t.seq == number);
    if (!headed && !ended)
        return set_aside(l, s, "it does not begin as a segment");
    s->nonce = headed ? h.nonce : t.nonce;
    s->order = headed ? h.seq : t.seq;
    s->kind = headed ? h.kind : t.kind;
    s->used = SEGMENT_HEADER;
    if (!first || s->order != number)
        segment_damaged(l, s, 0, first ? "its name is another segment's" : "its header is not whole");
    l->next_seq = l->next_seq > s->order ? l->next_seq : s->order + 1;
    return ended ? index_read(l, s, &t, end, err) : 0;
}

/* --- records --- */

static int
add_entry(struct spool_log *l, struct segment *s, struct stream *st, const struct scanned *one, struct err *err)
{
    const struct record *r = &one->record;
    struct slice *sl = slice_for(l, s, st);
    const struct entry e = {.pos = r->pos, .at = (uint32_t)one->at, .over = (uint32_t)record_over(r), .body = r->body};

    if (sl == NULL)
        return err_set(err, ERR_NOMEM, errno, "the records of a segment");
    slice_add(sl, &e);
    if (s->kind != SEGMENT_COLD && (r->flags & RECORD_REVIVED) == 0)
        slice_mark(sl, r->pos, r->epoch, r->seq);
    return 0;
}

static int
read_part(struct spool_log *l, struct segment *s, uint64_t at, void *to, size_t len, struct err *err)
{
    const int fd = segment_fd(l, s, err);

    if (fd < 0)
        return -1;
    if (disk_read_at(l->disk, fd, to, len, at) != 0)
        return err_set(err, ERR_IO, errno, "segment %016" PRIx64 " cannot be read", s->seq);
    return 0;
}

static struct stream *
stream_of(struct spool_log *l, struct segment *s, const struct scanned *one, struct err *err)
{
    char id[SPOOL_ID_MAX];
    struct stream *st;
    const struct record *r = &one->record;

    if (r->id == 0 || r->id > SPOOL_ID_MAX) {
        err_set(err, ERR_IO, 0, "a record without a stream");
        return NULL;
    }
    if (read_part(l, s, one->at + record_over(r) - r->id, id, r->id, err) != 0)
        return NULL;
    st = stream_get(l, id, r->id, true);
    if (st == NULL)
        err_set(err, ERR_NOMEM, errno, "spool");
    return st;
}

static int
replay_ranges(struct stream *st, const unsigned char *at, uint32_t n, struct posset *into, bool full)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t from = get_u64(at + 16 * (size_t)i), to = get_u64(at + 16 * (size_t)i + 8);

        if (posset_add(into, from, to) != 0)
            return -1;
        for (uint64_t pos = from; !full && st->dead.n > 0 && pos < to; pos++)
            if (posset_remove(&st->dead, pos) != 0)
                return -1;
    }
    return 0;
}

static int
replay_state(struct spool_log *l, struct segment *s, const struct scanned *one, struct stream *st, struct err *err)
{
    const struct record *r = &one->record;
    const bool full = (r->flags & RECORD_FULL) != 0;
    unsigned char *body = malloc(r->body);
    struct stream_state state;
    int rc;

    if (body == NULL)
        return err_set(err, ERR_NOMEM, errno, "the state of a stream");
    rc = read_part(l, s, one->at + record_over(r), body, r->body, err);
    if (rc != 0 || r->body < STATE_BYTES)
        goto out;
    stream_state_get(body, &state);
    if (r->body != STATE_BYTES + 16 * ((uint64_t)state.gone + state.dead))
        goto out;
    if (full) {
        posset_clear(&st->gone);
        posset_clear(&st->dead);
    }
    st->next = state.next;
    st->mark_pos = state.mark_pos;
    st->epoch = state.epoch;
    st->seq = state.seq;
    st->count = state.count;
    st->bytes = state.bytes;
    st->dead_count = state.dead_count;
    st->dead_bytes = state.dead_bytes;
    if (replay_ranges(st, body + STATE_BYTES, state.gone, &st->gone, full) != 0 ||
        replay_ranges(st, body + STATE_BYTES + 16 * (size_t)state.gone, state.dead, &st->dead, true) != 0)
        rc = err_set(err, ERR_NOMEM, errno, "the state of a stream");
out:
    free(body);
    return rc;
}

/* What is known of a bundle that came after the states. */
static int
replay_bundle(struct spool_log *l, struct segment *s, const struct scanned *one, struct stream *st, struct err *err)
{
    const struct record *r = &one->record;
    unsigned char was[8];

    if (r->pos < st->next)
        return 0;
    st->next = r->pos + 1;
    st->count++;
    st->bytes += r->body;
    if ((r->flags & RECORD_DEAD) != 0)
        stream_bury(st, r->pos, r->body);
    if ((r->flags & RECORD_REVIVED) == 0) {
        stream_mark(st, r->pos, r->epoch, r->seq);
        return 0;
    }
    if (read_part(l, s, one->at + RECORD_HEADER, was, sizeof(was), err) != 0)
        return -1;
    const uint64_t old = get_u64(was);
    if (posset_has(&st->dead, old)) {
        st->dead_count -= st->dead_count > 0;
        st->dead_bytes -= st->dead_bytes > r->body ? r->body : st->dead_bytes;
    }
    if (posset_remove(&st->dead, old) != 0 || posset_add(&st->gone, old, old + 1) != 0)
        return err_set(err, ERR_NOMEM, errno, "spool");
    return 0;
}

static int
take_record(struct spool_log *l, struct segment *s, const struct scanned *one, bool entries, bool replay,
            struct err *err)
{
    const struct record *r = &one->record;
    struct stream *st;

    if (r->type == RECORD_BASE) {
        s->based = true;
        return 0;
    }
    st = stream_of(l, s, one, err);
    if (st == NULL)
        return -1;
    if (r->type == RECORD_BUNDLE && entries && add_entry(l, s, st, one, err) != 0)
        return -1;
    if (!replay)
        return 0;
    switch (r->type) {
    case RECORD_BUNDLE: return replay_bundle(l, s, one, st, err);
    case RECORD_STATE: return replay_state(l, s, one, st, err);
    default: stream_bury(st, r->pos, r->epoch); return 0;
    }
}

/* How many of the records count, and where they end.  last: what is not known to be flushed may be torn. */
static size_t
believe(struct spool_log *l, struct segment *s, const struct scan *scan, bool last, uint64_t *ret_end)
{
    uint64_t at = SEGMENT_HEADER;
    size_t n = 0;

    for (; n < scan->n; n++) {
        const struct scanned *one = &scan->records[n];
        const bool hole = one->at != at || !one->whole;

        if (hole && last && at >= scan->flushed)
            break; /* torn */
        if (hole && last && one->at != at && one->at > scan->flushed)
            break;
        if (hole)
            segment_damaged(l, s, at, "a record is not what was written");
        at = one->at + record_len(&one->record);
    }
    if (last && at < scan->flushed) {
        segment_damaged(l, s, at, "a record is not what was written");
        at = scan->flushed < s->size ? scan->flushed : s->size;
    }
    *ret_end = at;
    return n;
}

static int
write_again(struct spool_log *l, struct segment *s, uint64_t from, uint64_t to, struct err *err)
{
    unsigned char *block = from < to ? malloc(AGAIN_BYTES) : NULL;
    int rc = 0;

    if (from < to && block == NULL)
        return err_set(err, ERR_NOMEM, errno, "spool");
    for (uint64_t n; rc == 0 && from < to; from += n) {
        n = to - from < AGAIN_BYTES ? to - from : AGAIN_BYTES;
        rc = read_part(l, s, from, block, (size_t)n, err);
        if (rc == 0 && disk_write_at(l->disk, s->fd, block, (size_t)n, from) != 0)
            rc = err_set(err, ERR_IO, errno, "a segment cannot be written");
    }
    free(block);
    return rc;
}

/* Read the records of s.  A sealed one is read for what it says of the streams alone. */
static int
read_records(struct spool_log *l, struct segment *s, bool last, bool replay, struct err *err)
{
    struct scan scan;
    bool unread;
    uint64_t end;
    size_t n;
    int rc;

    if (scan_segment(l, s, s->sealed ? s->used : s->size, &scan, &unread, err) != 0)
        return -1;
    n = believe(l, s, &scan, last && !s->sealed, &end);
    if (unread && !s->sealed)
        segment_damaged(l, s, end, "a part of it cannot be read");
    rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        if (scan.records[i].whole)
            rc = take_record(l, s, &scan.records[i], !s->sealed, replay, err);
    if (rc == 0 && !s->sealed) {
        s->used = end;
        if (n < scan.n) {
            /* Torn ones must not be met again behind what is written from here on. */
            const uint64_t size = s->size;

            if (l->disk->truncate(l->disk->ctx, s->fd, end) != 0)
                rc = err_set(err, ERR_IO, errno, "a torn segment cannot be cut");
            s->size = end;
            if (rc == 0 && l->disk->allocate(l->disk->ctx, s->fd, size) == 0)
                s->size = size;
        }
        /* What is in memory only would be told as safe; and after a flush that failed, only writing it again helps. */
        if (rc == 0 && last)
            rc = write_again(l, s, scan.flushed, end, err);
        if (rc == 0 && l->disk->fdatasync(l->disk->ctx, s->fd) != 0)
            rc = err_set(err, ERR_IO, errno, "a segment cannot be flushed");
    }
    scan_free(&scan);
    return rc;
}

int
segment_rescan(struct spool_log *l, struct segment *s, struct err *err)
{
    struct scan scan;
    bool unread;
    int rc = 0;

    if (scan_segment(l, s, s->used, &scan, &unread, err) != 0)
        return -1;
    for (size_t i = 0; i < s->n_slices && rc == 0; i++) {
        struct slice *sl = s->slices[i];
        uint64_t n = 0;

        sl->entries = calloc(sl->count, sizeof(*sl->entries));
        if (sl->entries == NULL) {
            rc = err_set(err, ERR_NOMEM, errno, "the records of a segment");
            break;
        }
        sl->cap = (size_t)sl->count;
        for (size_t k = 0; k < scan.n && n < sl->cap; k++) {
            const struct record *r = &scan.records[k].record;
            size_t at = (size_t)n;

            if (r->type != RECORD_BUNDLE || r->pos < sl->first || r->pos > sl->last ||
                stream_of(l, s, &scan.records[k], err) != sl->stream)
                continue;
            for (; at > 0 && sl->entries[at - 1].pos > r->pos; at--)
                sl->entries[at] = sl->entries[at - 1];
            sl->entries[at] = (struct entry){r->pos, (uint32_t)scan.records[k].at, (uint32_t)record_over(r), r->body};
            n++;
        }
        sl->count = n;
    }
    scan_free(&scan);
    return rc;
}

/* --- all of them --- */

static bool
is_whole(struct spool_log *l, struct segment *s, uint64_t at, const struct record *r)
{
    uint32_t sum = record_sum(&l->crc, s->nonce, r);
    const uint64_t end = at + record_over(r) + r->body;
    unsigned char bytes[PAGE_BYTES];
    struct err err;

    if (end > s->size)
        return false;
    for (at += RECORD_HEADER; at < end;) {
        const size_t n = end - at < sizeof(bytes) ? (size_t)(end - at) : sizeof(bytes);

        if (read_part(l, s, at, bytes, n, &err) != 0)
            return false;
        sum = crc32c_add(&l->crc, sum, bytes, n);
        at += n;
    }
    return sum == r->sum;
}

/* Does it begin with the states of all streams, whole?  After a power cut the last may not: then an older one does. */
static bool
is_base(struct spool_log *l, struct segment *s)
{
    unsigned char header[RECORD_HEADER];
    struct record r;
    struct err err;

    for (uint64_t at = SEGMENT_HEADER; at + RECORD_HEADER <= s->size;) {
        if (read_part(l, s, at, header, sizeof(header), &err) != 0 || !record_get(&l->crc, s->nonce, header, &r) ||
            !is_whole(l, s, at, &r))
            return false;
        if (r.type == RECORD_BASE)
            return true;
        if (r.type != RECORD_STATE)
            return false;
        at += record_len(&r);
    }
    return false;
}

static int
by_order(const void *a, const void *b)
{
    const struct segment *x = *(struct segment *const *)a, *y = *(struct segment *const *)b;

    return x->order < y->order ? -1 : x->order > y->order;
}

/* The states, and what is not sealed.  Segments are by order. */
static int
read_log(struct spool_log *l, struct err *err)
{
    struct segment *newest[4] = {NULL};
    uint64_t base = 0;

    for (size_t i = 0; i < l->n_segments; i++)
        newest[l->segments[i]->kind] = l->segments[i];
    for (size_t i = l->n_segments; i > 0 && base == 0; i--)
        if (l->segments[i - 1]->kind == SEGMENT_HOT && is_base(l, l->segments[i - 1]))
            base = l->segments[i - 1]->order;
    for (size_t i = 0; i < l->n_segments; i++) {
        struct segment *s = l->segments[i];
        const bool replay = s->kind == SEGMENT_HOT && s->order >= base;

        const bool last = s == newest[s->kind] || s->kind == SEGMENT_BIG;

        if ((!s->sealed || replay) && read_records(l, s, last, replay, err) != 0)
            return -1;
    }
    return 0;
}

/* What the states do not know yet: the last bundles that have a file of their own; where states are damaged, more. */
static int
adopt(struct spool_log *l, struct segment *s, struct err *err)
{
    for (size_t i = 0; i < s->n_slices; i++) {
        struct slice *sl = s->slices[i];
        struct stream *st = sl->stream;
        struct scanned one = {0};
        unsigned char header[RECORD_HEADER];
        struct entry e;

        if (sl->last < st->next || sl->count == 0)
            continue;
        st->dirty = st->whole = l->state_due = true;
        if (s->kind == SEGMENT_BIG && slice_entry(l, sl, 0, &e, err) == 0 &&
            read_part(l, s, e.at, header, sizeof(header), err) == 0 &&
            record_get(&l->crc, s->nonce, header, &one.record)) {
            one.at = e.at;
            if (replay_bundle(l, s, &one, st, err) != 0)
                return -1;
            continue;
        }
        st->next = sl->last + 1;
        st->count += sl->count;
        st->bytes += sl->bytes;
        if (s->kind != SEGMENT_COLD)
            stream_mark(st, sl->mark_pos, sl->epoch, sl->seq);
    }
    return 0;
}

/* Bytes of a slice that are not released; its entries are read only where some are and some are not. */
static int
count_live(struct spool_log *l, struct slice *sl, struct err *err)
{
    const struct posset *gone = &sl->stream->gone;
    const uint64_t n = posset_count(gone, sl->first, sl->last + 1);
    struct entry e;

    if (n == 0)
        sl->segment->live += sl->bytes;
    if (n == 0 || n == sl->last + 1 - sl->first)
        return 0;
    for (uint64_t i = 0; i < sl->count; i++) {
        if (slice_entry(l, sl, i, &e, err) != 0) {
            if (err->code == ERR_NOMEM)
                return -1;
            segment_damaged(l, sl->segment, 0, err->text);
            sl->segment->live += sl->bytes;
            return 0;
        }
        if (!posset_has(gone, e.pos))
            sl->segment->live += entry_len(&e);
    }
    return 0;
}

static bool
is_newest(const struct spool_log *l, const struct segment *s)
{
    for (size_t i = 0; i < l->n_segments; i++)
        if (l->segments[i]->kind == s->kind && l->segments[i]->order > s->order)
            return false;
    return true;
}

/* Which segment is written on; the others get their index.  An empty beginning is no segment. */
static int
settle(struct spool_log *l, struct segment *s, struct err *err)
{
    const bool fit = !s->damaged && s->size >= l->segment / 2;
    struct err why = {0};

    if (s->sealed)
        return 0;
    if ((s->kind == SEGMENT_HOT && !s->based && s->entries == 0) || (s->kind != SEGMENT_HOT && s->entries == 0)) {
        segment_drop(l, s);
        return 0;
    }
    if (s->kind == SEGMENT_HOT && s->based && fit && is_newest(l, s))
        l->hot = s;
    else if (s->kind == SEGMENT_COLD && fit && s->size == l->segment && is_newest(l, s))
        l->cold = s;
    else if (segment_seal(l, s, &why) != 0) {
        if (l->broken || why.code == ERR_NOMEM) {
            *err = why;
            return -1;
        }
        log_event(l->log, LOG_ERROR, "spool_seal_failed", LOG_STR("error", why.text)); /* it stays in memory */
    }
    return 0;
}

static int
take_spares(struct spool_log *l, struct err *err)
{
    uint64_t *numbers;
    size_t n;

    if (folder_numbers(l, "spare", &numbers, &n, err) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        char path[SPOOL_PATH_MAX];
        uint64_t size = 0;

        spool_path(l, "spare", numbers[i], path);
        l->next_seq = l->next_seq > numbers[i] ? l->next_seq : numbers[i] + 1;
        const int fd = l->disk->open(l->disk->ctx, path, O_RDWR);
        if (fd < 0) {
            refuse_file(l, path, errno, err);
            free(numbers);
            return -1;
        }
        const bool fits = l->disk->size(l->disk->ctx, fd, &size) == 0 && size == l->segment;
        l->disk->close(l->disk->ctx, fd);
        if (fits && l->n_spares < SPARES_MAX)
            l->spares[l->n_spares++] = numbers[i];
        else
            l->disk->unlink(l->disk->ctx, path);
    }
    free(numbers);
    l->names_waiting = true;
    return 0;
}

static int
count_aside(struct spool_log *l, struct err *err)
{
    uint64_t *numbers;
    size_t n;

    if (folder_numbers(l, "damaged", &numbers, &n, err) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        char path[SPOOL_PATH_MAX];
        uint64_t size = 0;

        spool_path(l, "damaged", numbers[i], path);
        l->next_seq = l->next_seq > numbers[i] ? l->next_seq : numbers[i] + 1;
        const int fd = l->disk->open(l->disk->ctx, path, O_RDONLY);
        if (fd >= 0 && l->disk->size(l->disk->ctx, fd, &size) == 0)
            l->aside += size;
        if (fd >= 0)
            l->disk->close(l->disk->ctx, fd);
    }
    free(numbers);
    return 0;
}

static int
load_all(struct spool_log *l, struct err *err)
{
    uint64_t *numbers;
    size_t n;
    int rc = 0;

    if (folder_numbers(l, "seg", &numbers, &n, err) != 0)
        return -1;
    for (size_t i = 0; i < n && rc == 0; i++) {
        l->next_seq = l->next_seq > numbers[i] ? l->next_seq : numbers[i] + 1;
        rc = load(l, numbers[i], err);
    }
    free(numbers);
    if (rc == 0 && l->n_segments > 1)
        qsort(l->segments, l->n_segments, sizeof(struct segment *), by_order);
    return rc;
}

int
spool_recover(struct spool_log *l, struct err *err)
{
    if (count_aside(l, err) != 0 || take_spares(l, err) != 0 || load_all(l, err) != 0 || read_log(l, err) != 0)
        return -1;
    for (size_t i = 0; i < l->n_segments; i++)
        if (adopt(l, l->segments[i], err) != 0)
            return -1;
    for (size_t i = l->n_segments; i > 0; i--)
        if (settle(l, l->segments[i - 1], err) != 0)
            return -1;
    for (size_t i = 0; i < l->n_segments; i++) {
        struct segment *s = l->segments[i];

        for (size_t k = 0; k < s->n_slices; k++)
            if (count_live(l, s->slices[k], err) != 0)
                return -1;
    }
    for (size_t i = 0; i < l->n_streams; i++)
        l->total += l->streams[i]->bytes + l->streams[i]->dead_bytes;
    if (folder_flush(l, err) != 0)
        return -1;
    spool_log_commit(l, true);
    if (l->broken)
        return err_set(err, ERR_IO, 0, "spool.dir %.80s cannot be flushed", l->dir);
    return 0;
}
