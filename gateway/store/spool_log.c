/* spool_log.c - the engine's calls: append, bury, revive, release, fetch; and when files are dropped. */
#include "spool_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "log.h"
#include "spool_parts.h"

enum { ROOM_EVERY = 16 * 1024 * 1024 }; /* bytes of bodies after which the free disk is looked at again */

/* --- room --- */

static bool
is_short(struct spool_log *l, uint64_t slack)
{
    if (l->disk->room(l->disk->ctx, l->dir, &l->room) != 0)
        l->room = UINT64_MAX;
    l->asked = l->appended_bytes;
    return l->room < l->floor || l->room - l->floor < slack;
}

static void
set_full(struct spool_log *l, bool full)
{
    if (l->full == full)
        return;
    l->full = full;
    log_event(l->log, full ? LOG_WARN : LOG_INFO, full ? "spool_full" : "spool_has_room",
              LOG_INT("bytes", l->total), LOG_INT("limit", l->limit), LOG_INT("free", l->room));
    l->told(l->ctx, SPOOL_SPACE, 0, !full, 0, NULL);
}

static int
check_room(struct spool_log *l, uint64_t size, struct err *err)
{
    const uint64_t total = l->total + l->batch.bytes;

    if (l->broken)
        return err_set(err, ERR_IO, 0, "the spool is broken: the gateway has to be restarted");
    if (!l->full && total + size > l->limit && total > l->limit - l->limit / 16)
        set_full(l, true);
    if (!l->full && l->appended_bytes - l->asked > ROOM_EVERY && is_short(l, 0))
        set_full(l, true);
    if (l->full || total + size > l->limit)
        return err_set(err, ERR_FULL, 0,
                       "the spool is full: %" PRIu64 " of %" PRIu64 " bytes, %" PRIu64 " free on its disk",
                       total, l->limit, l->room);
    return 0;
}

/* --- where the next record goes --- */

/* A new segment begins with the states of all streams, so that no older one is needed for them. */
static int
roll(struct spool_log *l, bool ingest, struct err *err)
{
    struct segment *s, *old;
    struct err why = {0};

    if (batch_commit(l, err) != 0)
        return -1;
    const uint64_t states = states_bytes(l, true) + SEGMENT_HEADER;
    const uint64_t size = states > l->segment / 4 ? 4 * states : l->segment;
    s = segment_new(l, SEGMENT_HOT, size, ingest, err);
    if (s == NULL)
        return -1;
    old = l->hot;
    if (old != NULL && !old->sealed && segment_seal(l, old, &why) != 0) {
        log_event(l->log, LOG_ERROR, "spool_seal_failed", LOG_STR("error", why.text));
        if (l->broken) {
            if (err != NULL)
                *err = why;
            return -1;
        }
    }
    l->sparse = true;
    for (size_t i = 0; i < l->n_streams; i++)
        l->streams[i]->hot = NULL;
    l->hot = s;
    batch_begin(l, s);
    if (states_write(l, true, &why) == 0)
        return 0;
    batch_fail(l, &why);
    if (err != NULL)
        *err = why;
    return -1;
}

/* They are written where nothing waits before them. */
static int
write_states(struct spool_log *l, struct err *err)
{
    if (!spool_log_dirty(l))
        return 0;
    if (batch_commit(l, err) != 0)
        return -1;
    if (l->hot == NULL || !batch_fits(l, l->hot, states_bytes(l, false), NULL))
        return roll(l, false, err);
    batch_begin(l, l->hot);
    struct err why = {0};
    if (states_write(l, false, &why) == 0)
        return 0;
    batch_fail(l, &why);
    if (err != NULL)
        *err = why;
    return -1;
}

/* Make the batch one of the hot segment with room for a record of len bytes. */
static int
make_way(struct spool_log *l, uint64_t len, const struct stream *st, bool ingest, struct err *err)
{
    if (l->batch.segment == NULL && l->state_due && write_states(l, err) != 0)
        return -1;
    if (l->hot == NULL || !batch_fits(l, l->hot, len, st))
        return roll(l, ingest, err);
    if (l->batch.segment == NULL)
        batch_begin(l, l->hot);
    return 0;
}

static uint64_t
big_from(const struct spool_log *l)
{
    return l->segment / 8 < BIG_BODY ? l->segment / 8 : BIG_BODY;
}

/* A file of its own: flushed before anything that comes after it is written. */
static int
make_big(struct spool_log *l, uint64_t len, struct err *err)
{
    struct segment *s;

    if (batch_commit(l, err) != 0)
        return -1;
    s = segment_new(l, SEGMENT_BIG, SEGMENT_HEADER + len + segment_index_bytes(1, 1), true, err);
    if (s == NULL)
        return -1;
    batch_begin(l, s);
    return 0;
}

/* --- requests --- */

static int
append(struct spool_log *l, uint64_t ticket, const struct spool_bundle *bundle, uint64_t old,
       const struct spool_chunk *chunks, size_t n, struct err *err)
{
    const size_t id_len = strlen(bundle->id);
    struct record r = {.type = RECORD_BUNDLE, .body = (uint32_t)bundle->size, .head = (uint16_t)bundle->head_len,
                       .id = (uint8_t)id_len, .format = bundle->format, .epoch = bundle->epoch, .seq = bundle->seq,
                       .flags = (uint8_t)((bundle->dead ? RECORD_DEAD : 0) | (old != 0 ? RECORD_REVIVED : 0))};
    struct waiting *w;
    struct stream *st;
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += chunks[i].len;
    if (id_len == 0 || id_len > SPOOL_ID_MAX || bundle->size == 0 || bundle->size >= BODY_MAX || sum != bundle->size ||
        bundle->head_len > SPOOL_HEAD_MAX)
        return err_set(err, ERR_PROTO, 0, "a bundle of %.64s is not one that the spool can take", bundle->id);
    if (check_room(l, bundle->size, err) != 0)
        return -1;
    st = stream_get(l, bundle->id, id_len, true);
    if (st == NULL || batch_wait(l) == NULL)
        return err_set(err, ERR_NOMEM, errno, "a bundle for the spool");
    const uint64_t len = (record_over(&r) + bundle->size + 7) & ~(uint64_t)7;
    const bool big = len > big_from(l);
    if ((big ? make_big(l, len, err) : make_way(l, len, st, true, err)) != 0)
        return -1;
    w = batch_wait(l);
    struct segment *s = l->batch.segment;
    struct slice *sl = slice_for(l, s, st);
    if (sl == NULL) {
        if (big)
            batch_fail(l, &(struct err){.code = ERR_NOMEM, .text = "no memory"});
        return err_set(err, ERR_NOMEM, ENOMEM, "a bundle for the spool");
    }
    r.pos = st->next + st->waiting;
    *w = (struct waiting){.kind = WAITS_APPEND, .ticket = ticket, .stream = st, .slice = sl, .epoch = bundle->epoch,
                          .seq = bundle->seq, .old = old, .dead = bundle->dead};
    struct err why = {0};
    if (batch_record(l, &r, old, bundle->head, bundle->id, chunks, n, &w->entry, &why) != 0) {
        batch_fail(l, &why);
        if (err != NULL)
            *err = why;
        return -1;
    }
    sl->waiting++;
    st->waiting++;
    l->batch.n++;
    l->batch.bytes += bundle->size;
    if (!big || batch_commit(l, NULL) != 0)
        return 0;
    if (segment_seal(l, s, &why) != 0)
        log_event(l->log, LOG_ERROR, "spool_seal_failed", LOG_STR("error", why.text));
    return 0;
}

static bool
is_no_room(const struct err *err)
{
    return err->code == ERR_FULL && err->sys != 0;
}

/* One that is not alone has another of its stream before it: where that was not taken, it would leave a gap. */
static bool
behind_failed(struct spool_log *l, const struct spool_bundle *bundle)
{
    struct stream *st = stream_get(l, bundle->id, strlen(bundle->id), false);

    if (st != NULL && bundle->alone)
        st->failed = false;
    return !bundle->alone && (st == NULL || st->failed);
}

void
spool_log_append(struct spool_log *l, uint64_t ticket, const struct spool_bundle *bundle,
                 const struct spool_chunk *chunks, size_t n)
{
    struct err err = {0};
    struct stream *st;

    if (behind_failed(l, bundle))
        err_set(&err, ERR_FULL, 0, "one before it was not taken");
    else if (append(l, ticket, bundle, 0, chunks, n, &err) == 0)
        return;
    if (is_no_room(&err) && !l->broken)
        set_full(l, true);
    st = stream_get(l, bundle->id, strlen(bundle->id), false);
    if (st != NULL)
        st->failed = true;
    l->told(l->ctx, SPOOL_APPENDED, ticket, false, 0, err.text);
}

/* The first place where it can be read. */
static int
read_place(struct spool_log *l, struct stream *st, uint64_t pos, struct record *r, char **ret_block, struct err *err)
{
    struct slice *sl;
    struct entry e;

    err_set(err, ERR_IO, 0, "it is in no segment that can be read");
    for (size_t i = 0; stream_place(l, st, pos, i, &sl, &e); i++) {
        if (record_read(l, sl, &e, r, ret_block, err) == 0)
            return 0;
        if (err->code == ERR_NOMEM)
            return -1;
        segment_damaged(l, sl->segment, e.at, err->text);
    }
    return -1;
}

static int
bury(struct spool_log *l, uint64_t ticket, const char *id, uint64_t pos, struct err *err)
{
    struct stream *st = stream_get(l, id, strlen(id), false);
    struct slice *sl;
    struct waiting *w;
    struct entry e = {0}, unused;

    if (l->broken)
        return err_set(err, ERR_IO, 0, "the spool is broken: the gateway has to be restarted");
    if (st == NULL || pos == 0 || pos >= st->next)
        return err_set(err, ERR_STALE, 0, "bundle %" PRIu64 " of %.64s is not in the spool", pos, id);
    if (posset_has(&st->gone, pos)) {
        l->told(l->ctx, SPOOL_BURIED, ticket, true, pos, NULL); /* dropped meanwhile: nobody waits for it */
        return 0;
    }
    (void)stream_place(l, st, pos, 0, &sl, &e);
    if (make_way(l, RECORD_HEADER + SPOOL_ID_MAX, NULL, false, err) != 0)
        return -1;
    w = batch_wait(l);
    if (w == NULL)
        return err_set(err, ERR_NOMEM, errno, "a dead letter");
    struct record r = {.type = RECORD_BURY, .pos = pos, .epoch = e.body, .id = st->id_len};
    struct err why = {0};
    if (batch_record(l, &r, 0, NULL, st->id, NULL, 0, &unused, &why) != 0) {
        batch_fail(l, &why);
        *err = why;
        return -1;
    }
    *w = (struct waiting){.kind = WAITS_BURY, .ticket = ticket, .stream = st, .entry = {.pos = pos, .body = e.body}};
    l->batch.n++;
    return 0;
}

void
spool_log_bury(struct spool_log *l, uint64_t ticket, const char *id, uint64_t pos)
{
    struct err err = {0};

    if (bury(l, ticket, id, pos, &err) != 0)
        l->told(l->ctx, SPOOL_BURIED, ticket, false, pos, err.text);
}

/* The body is lent to the batch, so this flushes. */
static int
revive(struct spool_log *l, uint64_t ticket, const char *id, uint64_t pos, struct err *err)
{
    struct stream *st = stream_get(l, id, strlen(id), false);
    struct spool_bundle bundle;
    struct record r;
    char *block;

    if (st == NULL || !posset_has(&st->dead, pos) || posset_has(&st->gone, pos))
        return err_set(err, ERR_STALE, 0, "%" PRIu64 " of %.64s is not a dead letter", pos, id);
    if (read_place(l, st, pos, &r, &block, err) != 0)
        return -1;
    record_bundle(&r, block, &bundle);
    bundle.dead = false;
    int rc = append(l, ticket, &bundle, pos, &(struct spool_chunk){block, r.body}, 1, err);
    if (rc == 0)
        (void)batch_commit(l, NULL); /* it tells of a failure itself */
    free(block);
    return rc;
}

void
spool_log_revive(struct spool_log *l, uint64_t ticket, const char *id, uint64_t pos)
{
    struct err err = {0};

    (void)batch_commit(l, NULL); /* a burial may wait */
    if (revive(l, ticket, id, pos, &err) != 0)
        l->told(l->ctx, SPOOL_APPENDED, ticket, false, 0, err.text);
}

void
spool_log_release(struct spool_log *l, const char *id, uint64_t pos)
{
    struct stream *st = stream_get(l, id, strlen(id), false);

    if (st != NULL)
        stream_gone(l, st, pos);
}

uint64_t
spool_log_waiting(const struct spool_log *l)
{
    return l->batch.bytes + l->batch.n;
}

bool
spool_log_dirty(const struct spool_log *l)
{
    for (size_t i = 0; i < l->n_streams; i++)
        if (l->streams[i]->dirty)
            return true;
    return false;
}

/* --- files that are empty --- */

/* Nothing in them is of use: each release is written, and the states of the streams stand in a newer segment. */
static void
sweep(struct spool_log *l)
{
    struct err err;

    for (size_t i = l->n_segments; i > 0; i--) {
        struct segment *s = l->segments[i - 1];

        if (s->live == 0 && s != l->hot && s != l->cold && s->empty_at <= l->written_releases &&
            (s->kind != SEGMENT_HOT || (l->hot != NULL && l->hot->based)))
            segment_drop(l, s);
        else if (!s->sealed && s != l->hot && s != l->cold && !l->broken && segment_seal(l, s, &err) == 0)
            l->sparse = true; /* it could not be sealed when it was to be */
    }
    spares_trim(l);
}

/* For more than a bundle or two: in the hot segment, in a spare one, or for a new one. */
static bool
has_room(struct spool_log *l)
{
    return !is_short(l, 0) &&
           ((l->hot != NULL && l->hot->used + l->segment / 16 <= l->hot->size) || l->n_spares > spares_needed(l) ||
            !is_short(l, l->segment));
}

/* The hot segment is written to its end, and nothing in it is needed: with a reserve in its place it is a spare one. */
static void
free_hot(struct spool_log *l)
{
    struct err err = {0};

    if (!l->broken && l->hot != NULL && l->hot->live == 0 && roll(l, false, &err) == 0 && batch_commit(l, &err) == 0)
        sweep(l);
}

/* Once full, it takes again only when there is some room: else each release would let one in, or each try. */
void
spool_log_room(struct spool_log *l)
{
    if (l->full && !has_room(l))
        free_hot(l);

    const bool spares = spares_fill(l);

    if (!l->full && (is_short(l, 0) || l->total >= l->limit || !spares))
        set_full(l, true);
    else if (l->full && spares && l->total <= l->limit - l->limit / 16 && has_room(l))
        set_full(l, false);
}

void
spool_log_commit(struct spool_log *l, bool states)
{
    struct err err = {0};

    if (l->broken) {
        if (l->batch.segment != NULL)
            batch_fail(l, &err);
        return;
    }
    const bool rolled = l->batch.based; /* then all states are in it */
    if (batch_commit(l, &err) == 0 && rolled)
        sweep(l);
    else if (is_no_room(&err))
        set_full(l, true);
    if (!states || l->broken)
        return;
    if (write_states(l, &err) != 0 || batch_commit(l, &err) != 0)
        return; /* tried again with the next */
    if (l->written_releases < l->releases && !spool_log_dirty(l))
        l->written_releases = l->releases;
    sweep(l);
    if (!l->broken)
        spool_log_room(l);
}

/* --- what is in it --- */

enum spool_found
spool_log_fetch(struct spool_log *l, const char *id, uint64_t *pos, uint64_t room, struct spool_answer *ret,
                struct err *err)
{
    struct stream *st = stream_get(l, id, strlen(id), false);
    uint64_t at = *pos == 0 ? 1 : *pos, before;
    struct record r;
    struct slice *sl;
    struct entry e;
    char *block;

    if (st == NULL)
        return SPOOL_NONE;
    do {
        before = at;
        at = posset_gap(&st->dead, posset_gap(&st->gone, at));
    } while (at != before);
    *pos = at;
    if (at >= st->next)
        return SPOOL_NONE;
    *ret = (struct spool_answer){.kind = SPOOL_FETCHED, .pos = at, .ok = true};
    if (stream_place(l, st, at, 0, &sl, &e) && e.body > room)
        return SPOOL_FOUND;
    if (read_place(l, st, at, &r, &block, err) != 0)
        return SPOOL_UNREADABLE;
    record_bundle(&r, block, &ret->bundle);
    ret->body = block;
    return SPOOL_FOUND;
}

void
spool_log_streams(struct spool_log *l, void (*each)(void *ctx, const struct spool_stream *stream), void *ctx)
{
    for (size_t i = 0; i < l->n_streams; i++) {
        const struct stream *st = l->streams[i];
        uint64_t first = 1, before;

        do {
            before = first;
            first = posset_gap(&st->dead, posset_gap(&st->gone, first));
        } while (first != before);
        each(ctx, &(struct spool_stream){st->id, first < st->next ? first : st->next, st->next, st->count, st->bytes,
                                         st->epoch, st->seq});
    }
}

/* Their heads are read, not their bodies: these are counted as nothing here, and so is their sum. */
static int
read_dead(struct spool_log *l, struct slice *sl, const struct entry *e, struct record *r, char **ret, struct err *err)
{
    unsigned char header[RECORD_HEADER];
    const int fd = segment_fd(l, sl->segment, err);
    const size_t tail = e->over - (size_t)RECORD_HEADER;

    if (fd < 0 || (*ret = malloc(tail + 1)) == NULL)
        return -1;
    struct iovec v[] = {{header, sizeof(header)}, {*ret, tail}};
    (*ret)[tail] = '\0';
    if (disk_read(l->disk, fd, v, 2, e->at) == 0 && record_get(&l->crc, sl->segment->nonce, header, r) &&
        record_over(r) == e->over && r->body == e->body)
        return 0;
    free(*ret);
    return -1;
}

static void
tell_dead(struct spool_log *l, struct stream *st, uint64_t pos, void (*each)(void *, const struct spool_dead *),
          void *ctx)
{
    struct spool_dead dead = {.bundle = {.id = st->id, .dead = true}, .pos = pos};
    struct err err = {0};
    struct slice *sl;
    struct entry e;
    struct record r;
    char *block = NULL;

    for (size_t i = 0; block == NULL && stream_place(l, st, pos, i, &sl, &e); i++) {
        dead.bundle.size = e.body;
        if (read_dead(l, sl, &e, &r, &block, &err) != 0)
            block = NULL;
    }
    if (block != NULL) {
        r.body = 0;
        record_bundle(&r, block, &dead.bundle);
        dead.bundle.size = e.body;
        dead.bundle.dead = true;
    }
    each(ctx, &dead);
    free(block);
}

void
spool_log_dead(struct spool_log *l, void (*each)(void *ctx, const struct spool_dead *dead), void *ctx)
{
    for (size_t i = 0; i < l->n_streams; i++) {
        struct stream *st = l->streams[i];

        for (size_t k = 0; k < st->dead.n; k++)
            for (uint64_t pos = st->dead.ranges[k].from; pos < st->dead.ranges[k].to; pos++)
                tell_dead(l, st, pos, each, ctx);
    }
}

uint64_t
spool_log_held(const struct spool_log *l)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < l->n_segments; i++)
        sum += l->segments[i]->live;
    return sum;
}

uint64_t
spool_log_aside(const struct spool_log *l)
{
    uint64_t sum = l->aside;

    for (size_t i = 0; i < l->n_segments; i++)
        sum += l->segments[i]->damaged ? l->segments[i]->size : 0;
    return sum;
}

void
spool_log_figures(struct spool_log *l, struct spool_figures *ret)
{
    *ret = (struct spool_figures){.disk = disk_used(l) + l->aside, .free = l->room, .flushes = l->flushes,
                                  .appended = l->appended, .appended_bytes = l->appended_bytes, .written = l->written,
                                  .full = l->full, .broken = l->broken};
    for (size_t i = 0; i < l->n_streams; i++) {
        const struct stream *st = l->streams[i];

        ret->live += st->bytes;
        ret->count += st->count;
        ret->dead += st->dead_bytes;
        ret->dead_count += st->dead_count;
    }
}

/* --- beginning and end --- */

struct spool_log *
spool_log_open(const struct spool_config *config, spool_told *told, void *ctx, struct log *log, struct err *err)
{
    struct spool_log *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        err_set(err, ERR_NOMEM, errno, "spool");
        return NULL;
    }
    l->disk = config->disk != NULL ? config->disk : &disk_real;
    l->limit = config->limit;
    l->floor = config->floor;
    l->segment = config->segment;
    l->told = told;
    l->ctx = ctx;
    l->log = log;
    l->lock_fd = l->dir_fd = -1;
    l->next_seq = 1;
    l->sparse = true;
    crc32c_init(&l->crc);
    l->dir = strdup(config->dir);
    l->batch.arena = malloc(OUT_ARENA);
    if (l->dir == NULL || l->batch.arena == NULL) {
        err_set(err, ERR_NOMEM, errno, "spool");
        goto fail;
    }
    if (l->segment < 64 * 1024 || l->segment > UINT64_C(1) << 30) {
        err_set(err, ERR_CONFIG, 0, "spool.segment is from 1 MiB to 1 GiB");
        goto fail;
    }
    if (folder_open(l, err) != 0 || spool_recover(l, err) != 0)
        goto fail;
    return l;

fail:
    l->broken = true; /* nothing is to be written */
    spool_log_close(l);
    return NULL;
}

void
spool_log_close(struct spool_log *l)
{
    if (l == NULL)
        return;
    if (!l->broken)
        spool_log_commit(l, true);
    while (l->n_segments > 0)
        segment_forget(l, l->segments[l->n_segments - 1]);
    for (size_t i = 0; i < l->n_streams; i++)
        stream_free(l->streams[i]);
    free(l->streams);
    free(l->segments);
    free(l->batch.arena);
    free(l->batch.waiting);
    if (l->dir_fd >= 0)
        l->disk->close(l->disk->ctx, l->dir_fd);
    if (l->lock_fd >= 0)
        l->disk->close(l->disk->ctx, l->lock_fd); /* last: another gateway may open the folder from here on */
    free(l->dir);
    free(l);
}
