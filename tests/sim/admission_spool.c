/* admission_spool.c - the spool of the world of queues: what the gate keeps back goes there, and passes it later. */
#include "admission_parts.h"

#include <string.h>

void
spool_open(struct adm *w, uint64_t seed)
{
    w->spool.c = chance_stream(seed, 12);
}

void
spool_found(struct adm *w)
{
    for (uint32_t n = 0; n < w->fate->n_peers; n++) {
        struct core_event e = {.kind = CORE_SPOOL_FOUND};

        e.u.found.id = w->peers[n].id;
        spool_model_stream(&w->spool, n, &e.u.found.first, &e.u.found.count, &e.u.found.bytes);
        e.u.found.next = w->spool.streams[n].next;
        e.u.found.epoch = w->spool.streams[n].epoch;
        e.u.found.seq = w->spool.streams[n].seq;
        if (e.u.found.epoch != 0)
            adm_step(w, &e);
    }
}

void
spool_effect(struct adm *w, const struct core_effect *e)
{
    const struct body *b = &w->bodies[e->u.spool.slot];
    struct spool_record *r;

    switch (e->kind) {
    case CORE_SPOOL:
        spool_model_put(&w->spool, &(struct spool_record){.stream = e->u.spool.number, .epoch = e->u.spool.epoch,
                                                          .seq = e->u.spool.seq, .size = b->size,
                                                          .format = e->u.spool.format, .slot = e->u.spool.slot,
                                                          .alone = e->u.spool.alone, .dead = e->u.spool.dead});
        break;
    case CORE_FETCH:
        w->spool.streams[e->u.fetch.number].read =
            (struct spool_read){true, e->u.fetch.pos, e->u.fetch.bytes, e->u.fetch.most, false};
        break;
    default:
        r = spool_model_at(&w->spool, e->u.release.number, e->u.release.pos);
        if (r == NULL || r->released)
            adm_breaks(w, "a position was released that is not in the spool");
        else
            r->released = true, r->released_us = w->now_us;
        if (e->kind == CORE_BURY && r != NULL)
            w->buried[w->n_buried++] = *r;
        break;
    }
}

static void
read_on(struct adm *w, uint32_t n)
{
    struct spool_record *r;

    while (w->spool.streams[n].read.under_way && (r = spool_model_next(&w->spool, n)) != NULL) {
        struct core_event e = {.kind = CORE_FETCHED};

        e.u.fetched.number = n;
        e.u.fetched.pos = r->pos;
        e.u.fetched.epoch = r->epoch;
        e.u.fetched.seq = r->seq;
        e.u.fetched.size = r->size;
        e.u.fetched.format = (enum wire_format)r->format;
        w->fetched = r;
        adm_step(w, &e);
        w->fetched = NULL;
    }
    if (w->spool.streams[n].read.under_way) {
        struct core_event e = {.kind = CORE_FETCH_END};

        e.u.fetch_end.number = n;
        e.u.fetch_end.pos = w->spool.streams[n].read.pos;
        w->spool.streams[n].read.under_way = false;
        adm_step(w, &e);
    }
}

void
spool_step(struct adm *w)
{
    if (w->fig->steps % 100 == 0)
        spool_model_tidy(&w->spool, w->now_us);
    for (uint32_t i = w->spool.n_pending; i > 0; i--) {
        struct core_event e = {.kind = CORE_SPOOLED};
        struct spool_record r;

        e.u.spooled.ok = spool_model_flush(&w->spool, &r);
        e.u.spooled.slot = r.slot;
        e.u.spooled.pos = r.pos;
        w->fig->spooled++;
        adm_step(w, &e);
    }
    for (uint32_t n = 0; n < w->fate->n_peers; n++)
        if (chance_is(&w->spool.c, 0.5))
            read_on(w, n);
    while (w->n_buried > 0) {
        const struct spool_record *r = &w->buried[--w->n_buried];
        struct core_event e = {.kind = CORE_BURIED};

        e.u.buried.number = r->stream;
        e.u.buried.pos = r->pos;
        e.u.buried.ok = true;
        adm_step(w, &e);
    }
}

uint64_t
spool_count(const struct adm *w)
{
    uint64_t first, count, bytes, all = w->spool.n_pending;

    for (uint32_t n = 0; n < w->fate->n_peers; n++) {
        spool_model_stream(&w->spool, n, &first, &count, &bytes);
        all += count;
    }
    return all;
}
