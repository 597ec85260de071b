/* spool_clean.c - the cleaner: what is left in a sparse segment is copied to a cold one, a piece at a time.
 *
 * Half-empty is sparse: then a copied byte frees one, and the disk holds at most twice what is of use.  Copies go to
 * segments of their own: what stays long is not copied again with what goes soon.  A record may be in two segments
 * after a crash between copy and drop; then it is found in one of them, counted in each, and not copied again. */
#include <errno.h>
#include <stdlib.h>

#include "err.h"
#include "log.h"
#include "spool_parts.h"

static bool
is_sparse(const struct spool_log *l, const struct segment *s)
{
    return s->sealed && s->kind != SEGMENT_BIG && s != l->hot && s != l->cold && s->live > 0 && s->live < s->size / 2;
}

static struct segment *
sparsest(const struct spool_log *l)
{
    struct segment *found = NULL;

    for (size_t i = 0; i < l->n_segments; i++) {
        struct segment *s = l->segments[i];

        if (is_sparse(l, s) && (found == NULL || s->live < found->live))
            found = s;
    }
    return found;
}

static int
cold_make(struct spool_log *l, struct err *err)
{
    struct segment *old = l->cold;

    if (batch_commit(l, err) != 0)
        return -1;
    if (old != NULL && segment_seal(l, old, err) != 0) {
        if (l->broken)
            return -1;
        log_event(l->log, LOG_ERROR, "spool_seal_failed", LOG_STR("error", err->text));
    }
    l->cold = NULL;
    l->cold = segment_new(l, SEGMENT_COLD, 0, false, err);
    if (l->cold == NULL)
        return -1;
    batch_begin(l, l->cold);
    return 0;
}

/* Is it whole in another segment, from a copy that a crash interrupted? */
static bool
is_elsewhere(struct spool_log *l, const struct slice *here, uint64_t pos)
{
    struct slice *sl;
    struct record r;
    struct entry e;
    char *block;

    for (size_t i = 0; stream_place(l, here->stream, pos, i, &sl, &e); i++) {
        if (sl == here || record_read(l, sl, &e, &r, &block, NULL) != 0)
            continue;
        free(block);
        return true;
    }
    return false;
}

/* The block stays with the batch until it is sent: so it is sent at once. */
static int
copy(struct spool_log *l, struct slice *sl, const struct entry *e, uint64_t *ret_len, struct err *err)
{
    const uint64_t len = entry_len(e);
    struct stream *st = sl->stream;
    struct waiting *w;
    struct slice *to;
    struct record r;
    char *block;
    int rc;

    *ret_len = len;
    if (is_elsewhere(l, sl, e->pos))
        return 0;
    if (record_read(l, sl, e, &r, &block, err) != 0) {
        if (err->code == ERR_NOMEM)
            return -1;
        segment_damaged(l, sl->segment, e->at, err->text); /* its file is kept aside */
        return 0;
    }
    if ((l->cold == NULL || !batch_fits(l, l->cold, len, st)) && cold_make(l, err) != 0)
        goto fail;
    if (l->batch.segment == NULL)
        batch_begin(l, l->cold);
    w = batch_wait(l);
    to = w == NULL ? NULL : slice_for(l, l->cold, st);
    if (to == NULL) {
        err_set(err, ERR_NOMEM, errno, "the cleaner of the spool");
        goto fail;
    }
    const size_t tail = e->over - (size_t)RECORD_HEADER;
    const size_t was = (r.flags & RECORD_REVIVED) != 0 ? 8 : 0;
    const unsigned char *extra = (unsigned char *)block + r.body;
    *w = (struct waiting){.kind = WAITS_COPY, .stream = st, .slice = to};
    rc = batch_record(l, &r, was > 0 ? get_u64(extra) : 0, extra + was, (const char *)extra + tail - r.id,
                      &(struct spool_chunk){block, r.body}, 1, &w->entry, err);
    if (rc == 0 && r.body > OUT_SMALL)
        rc = batch_send(l, err);
    free(block);
    if (rc != 0) {
        batch_fail(l, err);
        return -1;
    }
    to->waiting++;
    l->batch.n++;
    return 0;

fail:
    free(block);
    return -1;
}

/* One entry on.  1: there is none. */
static int
step(struct spool_log *l, uint64_t *ret_len, struct err *err)
{
    struct segment *v = l->victim;
    struct slice *sl;
    struct entry e;

    *ret_len = ENTRY_BYTES;
    if (l->victim_slice >= v->n_slices)
        return 1;
    sl = v->slices[l->victim_slice];
    if (l->victim_entry >= sl->count) {
        l->victim_slice++;
        l->victim_entry = 0;
        return 0;
    }
    if (slice_entry(l, sl, l->victim_entry, &e, err) != 0)
        return -1;
    if (!posset_has(&sl->stream->gone, e.pos) && copy(l, sl, &e, ret_len, err) != 0)
        return -1;
    l->victim_entry++;
    return 0;
}

bool
spool_log_clean(struct spool_log *l, uint64_t bytes)
{
    struct err err = {0};
    uint64_t done = 0, len = 0;
    int rc = 0;

    if (l->broken || l->batch.segment != NULL || (l->victim == NULL && !l->sparse))
        return false;
    if (l->victim == NULL) {
        l->victim = sparsest(l);
        l->victim_slice = 0;
        l->victim_entry = 0;
        l->sparse = l->victim != NULL;
    }
    if (l->victim == NULL)
        return false;
    for (; rc == 0 && done < bytes; done += len)
        rc = step(l, &len, &err);
    if (rc < 0 || batch_commit(l, &err) != 0) {
        if (l->batch.segment != NULL)
            batch_fail(l, &err);
        log_event(l->log, LOG_WARN, "spool_cleaning_failed", LOG_STR("error", err.text));
        l->victim = NULL; /* begun anew with the next call */
        return false;
    }
    if (rc == 1) {
        /* What is left of it is released, elsewhere, or damaged.  Not before: a release counts wherever a copy is. */
        l->victim->live = 0;
        l->victim->empty_at = l->releases;
        l->victim = NULL;
        spool_log_commit(l, true);
    }
    return true;
}
