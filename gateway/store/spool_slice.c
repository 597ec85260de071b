/* spool_slice.c - the records of one stream in one segment: an entry each, in memory while the segment is written, and
 * in its index afterwards. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "spool_parts.h"

/* Room in the lists of the segment and of the stream, before anything depends on it. */
static int
make_room(struct segment *s, struct stream *st)
{
    if (s->n_slices == s->cap_slices) {
        const size_t cap = s->cap_slices == 0 ? 4 : s->cap_slices * 2;
        struct slice **at = reallocarray(s->slices, cap, sizeof(struct slice *));

        if (at == NULL)
            return -1;
        s->slices = at;
        s->cap_slices = cap;
    }
    /* Slices that are not listed yet: at most one of each segment that is written. */
    if (st->n_slices + 4 > st->cap_slices) {
        const size_t cap = st->cap_slices * 2 + 8;
        struct slice **at = reallocarray(st->slices, cap, sizeof(struct slice *));
        uint64_t *reach;

        if (at == NULL)
            return -1;
        st->slices = at;
        reach = reallocarray(st->reach, cap, sizeof(*reach));
        if (reach == NULL)
            return -1;
        st->reach = reach;
        st->cap_slices = cap;
    }
    return 0;
}

struct slice *
slice_for(struct spool_log *l, struct segment *s, struct stream *st)
{
    struct slice *sl = s == l->hot ? st->hot : NULL;

    for (size_t i = 0; sl == NULL && i < s->n_slices; i++)
        if (s->slices[i]->stream == st)
            sl = s->slices[i];
    if (sl == NULL) {
        if (make_room(s, st) != 0 || (sl = calloc(1, sizeof(*sl))) == NULL)
            return NULL;
        sl->segment = s;
        sl->stream = st;
        s->slices[s->n_slices++] = sl;
    }
    if (s == l->hot)
        st->hot = sl;
    if (sl->count + sl->waiting >= sl->cap) {
        const size_t cap = sl->cap == 0 ? 16 : sl->cap * 2;
        struct entry *at = reallocarray(sl->entries, cap, sizeof(*at));

        if (at == NULL)
            return NULL;
        sl->entries = at;
        sl->cap = cap;
    }
    return sl;
}

int
slice_add(struct slice *sl, const struct entry *e)
{
    size_t i = (size_t)sl->count;
    const uint64_t last = sl->last, first = sl->first;

    if (sl->count >= sl->cap)
        return -1;
    for (; i > 0 && sl->entries[i - 1].pos > e->pos; i--)
        continue;
    if (i > 0 && sl->entries[i - 1].pos == e->pos)
        return 0; /* it is here */
    memmove(sl->entries + i + 1, sl->entries + i, (sl->count - i) * sizeof(*e));
    sl->entries[i] = *e;
    sl->count++;
    sl->bytes += entry_len(e);
    sl->segment->entries++;
    sl->first = sl->entries[0].pos;
    sl->last = sl->entries[sl->count - 1].pos;
    if (!sl->listed) {
        stream_list(sl->stream, sl);
    } else if (sl->first != first) {
        struct stream *st = sl->stream;
        struct slice *hot = st->hot;

        stream_unlist(st, sl);
        stream_list(st, sl);
        st->hot = hot;
    } else if (sl->last != last) {
        struct stream *st = sl->stream;

        uint64_t *reach = &st->reach[st->n_slices - 1];

        if (st->slices[st->n_slices - 1] == sl)
            *reach = sl->last > *reach ? sl->last : *reach;
        else
            stream_reach(st);
    }
    return 0;
}

void
slice_mark(struct slice *sl, uint64_t pos, uint64_t epoch, uint64_t seq)
{
    if (pos < sl->mark_pos)
        return;
    sl->mark_pos = pos;
    sl->epoch = epoch;
    sl->seq = seq;
}

/* --- the index in the file --- */

static const struct page *
page_get(struct spool_log *l, struct segment *s, uint64_t at, struct err *err)
{
    struct page *p = &l->pages[(s->seq * 7 + at / PAGE_BYTES) % PAGES];
    const uint64_t begin = at / PAGE_BYTES * PAGE_BYTES;

    if (p->seq == s->seq && p->at == begin)
        return p;
    const int fd = segment_fd(l, s, err);
    p->seq = 0;
    if (fd < 0)
        return NULL;
    p->len = s->size - begin < PAGE_BYTES ? (size_t)(s->size - begin) : PAGE_BYTES;
    if (disk_read_at(l->disk, fd, p->bytes, p->len, begin) != 0) {
        err_set(err, ERR_IO, errno, "the index of a segment cannot be read");
        return NULL;
    }
    p->seq = s->seq;
    p->at = begin;
    return p;
}

/* Once for each slice: is its index what was written? */
static int
check(struct spool_log *l, struct slice *sl, struct err *err)
{
    struct segment *s = sl->segment;
    const uint64_t len = sl->count * ENTRY_BYTES;
    unsigned char block[PAGE_BYTES];
    uint32_t sum = sum_begin(&l->crc, s->nonce);
    const int fd = segment_fd(l, s, err);

    for (uint64_t at = 0; fd >= 0 && at < len; at += sizeof(block)) {
        const size_t n = len - at < sizeof(block) ? (size_t)(len - at) : sizeof(block);

        if (disk_read_at(l->disk, fd, block, n, sl->index_at + at) != 0)
            return err_set(err, ERR_IO, errno, "the index of a segment cannot be read");
        sum = crc32c_add(&l->crc, sum, block, n);
    }
    if (fd < 0)
        return -1;
    sl->checked = true;
    if (sum == sl->index_sum)
        return 0;
    segment_damaged(l, s, sl->index_at, "the index is not what was written");
    return segment_rescan(l, s, err);
}

int
slice_entry(struct spool_log *l, struct slice *sl, uint64_t i, struct entry *ret, struct err *err)
{
    const struct page *p;

    if (sl->entries == NULL && !sl->checked && check(l, sl, err) != 0)
        return -1;
    if (i >= sl->count)
        return err_set(err, ERR_IO, 0, "it is not in the index of its segment");
    if (sl->entries != NULL) {
        *ret = sl->entries[i];
        return 0;
    }
    p = page_get(l, sl->segment, sl->index_at + i * ENTRY_BYTES, err);
    if (p == NULL)
        return -1;
    entry_get(p->bytes + (sl->index_at + i * ENTRY_BYTES) % PAGE_BYTES, ret);
    return 0;
}

int
slice_find(struct spool_log *l, struct slice *sl, uint64_t pos, struct entry *ret, struct err *err)
{
    uint64_t low = 0, high;

    if (sl->entries == NULL && !sl->checked && check(l, sl, err) != 0)
        return -1;
    high = sl->count;
    /* Mostly without a gap: then this is the place. */
    for (uint64_t guess = pos - sl->first; pos >= sl->first && low < high; guess = low + (high - low) / 2) {
        const uint64_t i = guess < high ? guess : high - 1;

        if (slice_entry(l, sl, i, ret, err) != 0)
            return -1;
        if (ret->pos == pos)
            return 1;
        if (ret->pos < pos)
            low = i + 1;
        else
            high = i;
    }
    return 0;
}

void
slice_free(struct slice *sl)
{
    if (sl == NULL)
        return;
    if (sl->stream != NULL)
        stream_unlist(sl->stream, sl);
    free(sl->entries);
    free(sl);
}
