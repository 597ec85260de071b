/* spool_stream.c - streams: their positions, what is released, where their records are. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "log.h"
#include "spool_parts.h"

static size_t
place(const struct spool_log *l, const char *id, size_t len, bool *ret_there)
{
    size_t low = 0, high = l->n_streams;

    *ret_there = false;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const struct stream *st = l->streams[mid];
        const size_t both = len < st->id_len ? len : st->id_len;
        int order = memcmp(id, st->id, both);

        if (order == 0)
            order = len < st->id_len ? -1 : len > st->id_len;
        if (order == 0) {
            *ret_there = true;
            return mid;
        }
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

struct stream *
stream_get(struct spool_log *l, const char *id, size_t len, bool make)
{
    bool there;
    const size_t i = place(l, id, len, &there);
    struct stream *st;

    if (there)
        return l->streams[i];
    if (!make || len == 0 || len > SPOOL_ID_MAX)
        return NULL;
    if (l->n_streams == l->cap_streams) {
        const size_t cap = l->cap_streams == 0 ? 16 : l->cap_streams * 2;
        struct stream **at = reallocarray(l->streams, cap, sizeof(struct stream *));

        if (at == NULL)
            return NULL;
        l->streams = at;
        l->cap_streams = cap;
    }
    st = calloc(1, sizeof(*st));
    if (st == NULL)
        return NULL;
    memcpy(st->id, id, len);
    st->id_len = (uint8_t)len;
    st->next = 1;
    memmove(l->streams + i + 1, l->streams + i, (l->n_streams - i) * sizeof(struct stream *));
    l->streams[i] = st;
    l->n_streams++;
    return st;
}

/* --- where records are --- */

void
stream_reach(struct stream *st)
{
    for (size_t i = 0; i < st->n_slices; i++) {
        const uint64_t before = i == 0 ? 0 : st->reach[i - 1];

        st->reach[i] = st->slices[i]->last > before ? st->slices[i]->last : before;
    }
}

void
stream_list(struct stream *st, struct slice *sl)
{
    size_t i = st->n_slices;

    for (; i > 0 && st->slices[i - 1]->first > sl->first; i--)
        st->slices[i] = st->slices[i - 1];
    st->slices[i] = sl;
    st->n_slices++;
    sl->listed = true;
    if (i + 1 == st->n_slices)
        st->reach[i] = i > 0 && st->reach[i - 1] > sl->last ? st->reach[i - 1] : sl->last;
    else
        stream_reach(st);
}

void
stream_unlist(struct stream *st, struct slice *sl)
{
    size_t i = 0;

    if (st->hot == sl)
        st->hot = NULL;
    if (!sl->listed)
        return;
    while (st->slices[i] != sl)
        i++;
    st->n_slices--;
    memmove(st->slices + i, st->slices + i + 1, (st->n_slices - i) * sizeof(struct slice *));
    stream_reach(st);
    sl->listed = false;
}

/* The slices that begin up to pos, from the last of them on back; no further than any of them reaches. */
bool
stream_place(struct spool_log *l, struct stream *st, uint64_t pos, size_t i, struct slice **ret, struct entry *e)
{
    size_t low = 0, high = st->n_slices;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;

        if (st->slices[mid]->first <= pos)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low > 0 && st->reach[low - 1] >= pos; low--) {
        struct slice *sl = st->slices[low - 1];
        struct err why = {0};

        if (sl->last < pos)
            continue;
        const int rc = slice_find(l, sl, pos, e, &why);
        if (rc == 1 && i-- == 0) {
            *ret = sl;
            return true;
        }
    }
    return false;
}

/* --- what is released --- */

void
stream_mark(struct stream *st, uint64_t pos, uint64_t epoch, uint64_t seq)
{
    if (pos < st->mark_pos)
        return;
    st->mark_pos = pos;
    st->epoch = epoch;
    st->seq = seq;
}

static void
less(uint64_t *sum, uint64_t by)
{
    *sum = *sum > by ? *sum - by : 0;
}

void
stream_gone(struct spool_log *l, struct stream *st, uint64_t pos)
{
    uint64_t body = 0;
    struct slice *sl;
    struct entry e;

    if (pos == 0 || pos >= st->next || posset_has(&st->gone, pos))
        return;
    if (posset_add(&st->gone, pos, pos + 1) != 0) {
        log_event(l->log, LOG_ERROR, "spool_release_forgotten", LOG_STR("stream", st->id), LOG_INT("pos", pos));
        return; /* no memory: it is kept, and comes again after a restart */
    }
    l->releases++;
    if (posset_add(&st->fresh, pos, pos + 1) != 0)
        st->whole = true;
    st->dirty = true;
    for (size_t i = 0; stream_place(l, st, pos, i, &sl, &e); i++) {
        struct segment *s = sl->segment;

        body = e.body;
        less(&s->live, entry_len(&e));
        if (s->live == 0)
            s->empty_at = l->releases;
        else if (s->sealed && s->live < s->size / 2)
            l->sparse = true;
    }
    if (posset_has(&st->dead, pos)) {
        (void)posset_remove(&st->dead, pos); /* no memory: it is gone first, and that counts */
        less(&st->dead_count, 1);
        less(&st->dead_bytes, body);
    } else {
        less(&st->count, 1);
        less(&st->bytes, body);
    }
    less(&l->total, body);
    /* What could not be read had no size. */
    less(&l->total, st->count == 0 ? st->bytes : 0);
    less(&l->total, st->dead_count == 0 ? st->dead_bytes : 0);
    st->bytes = st->count == 0 ? 0 : st->bytes;
    st->dead_bytes = st->dead_count == 0 ? 0 : st->dead_bytes;
}

void
stream_bury(struct stream *st, uint64_t pos, uint64_t body)
{
    if (posset_has(&st->gone, pos) || posset_has(&st->dead, pos))
        return;
    if (posset_add(&st->dead, pos, pos + 1) != 0)
        return; /* no memory: it lives until the next start, where the log has it */
    less(&st->count, 1);
    less(&st->bytes, body);
    st->dead_count++;
    st->dead_bytes += body;
}

void
stream_free(struct stream *st)
{
    if (st == NULL)
        return;
    posset_clear(&st->gone);
    posset_clear(&st->dead);
    posset_clear(&st->fresh);
    free(st->slices);
    free(st->reach);
    free(st);
}
