/* spool_model.c - see spool_model.h. */
#include "spool_model.h"

#include <stdlib.h>
#include <string.h>

void
spool_model_put(struct spool_model *m, const struct spool_record *r)
{
    if (m->n_pending == SPOOL_PENDING)
        abort();
    m->pending[(m->head + m->n_pending++) % SPOOL_PENDING] = *r;
}

bool
spool_model_flush(struct spool_model *m, struct spool_record *ret)
{
    struct spool_record r = m->pending[m->head];

    m->head = (m->head + 1) % SPOOL_PENDING;
    m->n_pending--;
    *ret = r;
    if ((m->streams[r.stream].failed && !r.alone) || m->full || chance_is(&m->c, m->fail_rate)) {
        m->streams[r.stream].failed = true;
        return false;
    }
    if (m->n == m->cap) {
        m->cap = m->cap == 0 ? 256 : m->cap * 2;
        m->records = realloc(m->records, m->cap * sizeof(*m->records));
        if (m->records == NULL)
            abort();
    }
    r.pos = m->streams[r.stream].next++;
    r.damaged = chance_is(&m->c, m->damage_rate);
    m->streams[r.stream].failed = false;
    m->streams[r.stream].epoch = r.epoch;
    m->streams[r.stream].seq = r.seq;
    m->records[m->n++] = r;
    *ret = r;
    return true;
}

static bool
is_there(const struct spool_record *r, uint32_t stream)
{
    return r->stream == stream && !r->dead && !r->released;
}

struct spool_record *
spool_model_next(struct spool_model *m, uint32_t stream)
{
    struct spool_read *read = &m->streams[stream].read;

    for (uint32_t i = 0; i < m->n && read->most > 0; i++) {
        struct spool_record *r = &m->records[i];

        if (!is_there(r, stream) || r->pos < read->pos)
            continue;
        if (read->gave && r->size > read->bytes)
            return NULL;
        read->pos = r->pos + 1;
        read->gave = true;
        read->bytes -= r->size < read->bytes ? r->size : read->bytes;
        read->most--;
        return r;
    }
    if (read->most > 0 && read->pos < m->streams[stream].next)
        read->pos = m->streams[stream].next;
    return NULL;
}

struct spool_record *
spool_model_at(struct spool_model *m, uint32_t stream, uint64_t pos)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (m->records[i].stream == stream && m->records[i].pos == pos)
            return &m->records[i];
    return NULL;
}

void
spool_model_crash(struct spool_model *m, int64_t now_us)
{
    struct spool_record r;

    for (int64_t n = chance_below(&m->c, m->n_pending + 1); n > 0; n--)
        spool_model_flush(m, &r);
    m->head = m->n_pending = 0;
    for (uint32_t i = 0; i < m->n; i++)
        if (m->records[i].released && now_us - m->records[i].released_us < 1000000 && chance_is(&m->c, 0.5))
            m->records[i].released = false;
    for (uint32_t s = 0; s < SPOOL_STREAMS; s++) {
        m->streams[s].read.under_way = false;
        m->streams[s].failed = false;
    }
}

void
spool_model_stream(const struct spool_model *m, uint32_t stream, uint64_t *first, uint64_t *count, uint64_t *bytes)
{
    *first = m->streams[stream].next;
    *count = *bytes = 0;
    for (uint32_t i = m->n; i-- > 0;) {
        if (!is_there(&m->records[i], stream))
            continue;
        *first = m->records[i].pos;
        *count += 1;
        *bytes += m->records[i].size;
    }
}

void
spool_model_tidy(struct spool_model *m, int64_t now_us)
{
    uint32_t to = 0;

    for (uint32_t i = 0; i < m->n; i++)
        if (!m->records[i].released || now_us - m->records[i].released_us < 1000000)
            m->records[to++] = m->records[i];
    m->n = to;
}

void
spool_model_free(struct spool_model *m)
{
    free(m->records);
}
