/* broker_model.c - the queue itself: who holds which message, and what statistics show of it. */
#include "broker_model.h"

#include <stdlib.h>
#include <string.h>

void
model_open(struct model *m, uint64_t seed)
{
    memset(m, 0, sizeof(*m));
    m->chance = chance_stream(seed, 77);
    m->fifo = true;
}

void
model_close(struct model *m)
{
    free(m->messages);
}

void
model_arrive(struct model *m, uint64_t bytes, bool ours)
{
    if (m->n == m->cap) {
        m->cap = m->cap == 0 ? 256 : m->cap * 2;
        m->messages = realloc(m->messages, m->cap * sizeof(*m->messages));
        if (m->messages == NULL)
            abort();
    }
    m->messages[m->n++] = (struct message){.bytes = bytes, .ours = ours, .state = MESSAGE_READY};
    m->bytes += bytes;
    m->ours += ours ? bytes : 0;
    m->work++;
    m->ready++;
}

static void
settle_head(struct model *m)
{
    while (m->head < m->n && m->messages[m->head].state == MESSAGE_GONE)
        m->head++;
    if (m->frontier < m->head)
        m->frontier = m->head;
}

static void
drop(struct model *m, uint32_t at)
{
    struct message *x = &m->messages[at];

    *(x->state == MESSAGE_READY ? &m->ready : &m->unacked) -= 1;
    if (x->state == MESSAGE_UNACKED)
        m->consumers[x->owner].held--;
    x->state = MESSAGE_GONE;
    m->work++;
    m->bytes -= x->bytes;
    m->ours -= x->ours ? x->bytes : 0;
    settle_head(m);
}

/* The next to be delivered; m->n: none. */
static uint32_t
next_ready(struct model *m)
{
    if (m->ready == 0)
        return m->n;
    if (!m->fifo && m->n > m->head) {
        const uint32_t at = m->head + (uint32_t)chance_below(&m->chance, m->n - m->head);

        if (m->messages[at].state == MESSAGE_READY)
            return at;
    }
    for (uint32_t at = m->head; at < m->n; at++)
        if (m->messages[at].state == MESSAGE_READY)
            return at;
    return m->n;
}

static void
deliver(struct model *m, uint32_t c)
{
    while (m->consumers[c].held < m->consumers[c].prefetch) {
        const uint32_t at = next_ready(m);

        if (at == m->n)
            return;
        m->messages[at].state = MESSAGE_UNACKED;
        m->messages[at].owner = (uint8_t)c;
        m->consumers[c].held++;
        m->work++;
        m->ready--;
        m->unacked++;
        if (at >= m->frontier)
            m->frontier = at + 1;
    }
}

/* Ack the oldest that it holds, as far as its pace allows. */
static void
ack(struct model *m, uint32_t c, double seconds)
{
    struct consumer *x = &m->consumers[c];

    x->owed += x->rate * seconds;
    for (uint32_t at = m->head; at < m->frontier && x->held > 0; at++) {
        const struct message *y = &m->messages[at];

        if (y->state != MESSAGE_UNACKED || y->owner != c)
            continue;
        if (x->owed < (double)y->bytes)
            return;
        x->owed -= (double)y->bytes;
        drop(m, at);
        deliver(m, c);
    }
    if (x->held == 0)
        x->owed = 0;
}

static void
statistics(struct model *m, int64_t now_us)
{
    if (m->dead)
        return;
    if (now_us >= m->next_us[1]) {
        m->shown = m->told;
        m->next_us[1] += m->beat_us[1];
    }
    if (now_us >= m->next_us[0]) {
        m->told = (struct numbers){true, m->bytes, m->ready + m->unacked, m->unacked, m->work, m->n};
        m->next_us[0] += m->beat_us[0];
    }
}

void
model_step(struct model *m, int64_t now_us, int64_t step_us)
{
    const double seconds = (double)step_us / 1e6;

    for (uint32_t c = 0; c < MODEL_CONSUMERS; c++) {
        struct consumer *x = &m->consumers[c];
        const bool works = x->off_us == 0 || now_us % (x->on_us + x->off_us) < x->on_us;

        if (!x->here)
            continue;
        deliver(m, c);
        if (x->holds || !works)
            continue;
        *(x->held > 0 ? &m->busy_s : &m->idle_s) += seconds;
        ack(m, c, seconds);
    }
    if (!m->fifo && m->ready > 0 && chance_is(&m->chance, 0.01))
        drop(m, next_ready(m));
    statistics(m, now_us);
}

void
model_purge(struct model *m)
{
    for (uint32_t at = m->head; at < m->n; at++)
        if (m->messages[at].state == MESSAGE_READY)
            drop(m, at);
}

void
model_leave(struct model *m, uint32_t c)
{
    for (uint32_t at = m->head; at < m->frontier; at++) {
        struct message *x = &m->messages[at];

        if (x->state != MESSAGE_UNACKED || x->owner != c)
            continue;
        x->state = MESSAGE_READY;
        m->ready++;
        m->unacked--;
    }
    m->work++;
    m->consumers[c].held = 0;
    m->consumers[c].here = false;
}

void
model_restart(struct model *m)
{
    for (uint32_t c = 0; c < MODEL_CONSUMERS; c++) {
        const bool here = m->consumers[c].here;

        model_leave(m, c);
        m->consumers[c].here = here;
    }
    m->told = m->shown = (struct numbers){chance_is(&m->chance, 0.5), 0, 0, 0, 0, 0};
}

uint64_t
model_unacked_max(const struct model *m)
{
    uint64_t sum = 0;

    for (uint32_t c = 0; c < MODEL_CONSUMERS; c++)
        sum += m->consumers[c].here ? m->consumers[c].prefetch : 0;
    return sum;
}

uint64_t
model_consumers(const struct model *m)
{
    uint64_t sum = 0;

    for (uint32_t c = 0; c < MODEL_CONSUMERS; c++)
        sum += m->consumers[c].here;
    return sum;
}

uint64_t
model_others(const struct model *m, uint32_t seen)
{
    uint64_t sum = 0;

    for (uint32_t at = m->head; at < m->n && at < seen; at++)
        sum += m->messages[at].state != MESSAGE_GONE && !m->messages[at].ours ? m->messages[at].bytes : 0;
    return sum;
}
