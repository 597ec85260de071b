/* commit.c - a state that is set after bundles, and perhaps ends a run: when it may go to the disk.
 *
 * A cursor must not pass a bundle that nobody holds.  So a state waits until every bundle up to its `after` has its
 * verdict, and fails if one of them was refused.  A refusal counts until an error has told of it: one that was told on
 * this connection counts no more for the next state, nor anywhere for a state with a higher `after`, because that one
 * was made since.  The same state again, after a lost connection, gets the same answer.
 *
 * The end of a run that comes with a state happens when both are on the disk, and not before. */
#include <string.h>

#include "machine.h"

static bool
is_run(const uint8_t a[WIRE_RUN_LEN], const uint8_t b[WIRE_RUN_LEN])
{
    return memcmp(a, b, WIRE_RUN_LEN) == 0;
}

static void
fail(struct core *k, uint64_t ticket, enum wire_reason reason, uint64_t seq)
{
    struct core_effect e = {.kind = CORE_COMMIT_FAIL};

    e.u.fail.ticket = ticket;
    e.u.fail.reason = reason;
    e.u.fail.seq = seq;
    core_emit(k, &e);
}

/* --- what was refused --- */

void
commit_refused(struct connector *c, uint64_t seq)
{
    struct commit *m = &c->commit;

    if (m->n_refused < REFUSED_MAX)
        m->refused[m->n_refused++] = seq; /* they come in order */
    m->refused_last = seq;
}

/* What an error has told of is over, once somebody who knows that sets a state. */
static void
excuse(struct commit *m, const struct wish *w)
{
    uint8_t n = 0;

    if (m->told_after == 0 || (w->conn != m->told_conn && w->after <= m->told_after))
        return;
    for (uint8_t i = 0; i < m->n_refused; i++)
        if (m->refused[i] > m->told_after)
            m->refused[n++] = m->refused[i];
    /* More than there is place for: which they were is not known, so the next one counts as the first. */
    if (n == 0 && m->refused_last > m->told_after)
        m->refused[n++] = m->told_after + 1;
    m->n_refused = n;
    m->told_after = 0;
}

/* The first bundle up to `after` that was refused, or 0.  What is refused and not seen is still in the ring. */
static uint64_t
first_refused(struct connector *c, uint64_t after)
{
    if (c->commit.n_refused > 0 && c->commit.refused[0] <= after)
        return c->commit.refused[0];
    for (uint64_t seq = c->first; c->nacks > 0 && seq < c->expect && seq <= after; seq++)
        if (custody_at(c, seq)->state == B_NACKED && !custody_at(c, seq)->dead)
            return seq;
    return 0;
}

/* Has every bundle up to `after` its verdict?  The oldest in the ring has none, unless it was refused and nobody has
 * seen that. */
static bool
decided(struct connector *c, uint64_t after)
{
    if (after < c->first)
        return true;
    if (after >= c->expect || c->nacks == 0)
        return false;
    for (uint64_t seq = c->first; seq <= after; seq++) {
        const uint8_t state = custody_at(c, seq)->state;

        if (state != B_ACKED && state != B_NACKED)
            return false;
    }
    return true;
}

/* --- one state --- */

void
commit_ask(struct core *k, const struct core_event *e)
{
    const uint32_t i = table_of(k, e->u.commit.conn);
    struct connector *c = i == NONE ? NULL : k->connectors[i];
    struct commit *m = c == NULL ? NULL : &c->commit;

    if (m == NULL || m->waiting) {
        fail(k, e->u.commit.ticket, m == NULL ? WIRE_R_NONE : WIRE_R_BUSY, 0);
        return;
    }
    m->waiting = true;
    m->wish.conn = e->u.commit.conn;
    m->wish.after = e->u.commit.after;
    m->wish.ticket = e->u.commit.ticket;
    m->wish.has_run = e->u.commit.has_run;
    m->wish.outcome = (uint8_t)e->u.commit.outcome;
    memcpy(m->wish.run, e->u.commit.run, sizeof(m->wish.run));
    excuse(m, &m->wish);
    list_push(k, &k->dirty, i);
}

/* Its row as it will be, if nothing else happens until it is stored. */
static void
row_at_end(const struct core *k, const struct connector *c, struct core_row *row)
{
    run_row(k, c, row);
    row->has_run = false;
    row->has_ended = true;
    memcpy(row->ended, c->sch.run, sizeof(row->ended));
    row->last_run_us = k->now_us + k->wall_us;
    if (c->sch.kind == WIRE_S_PERIOD + 1)
        row->next_run_us = row->last_run_us + c->sch.period_us;
}

static void
go(struct core *k, struct connector *c)
{
    struct commit *m = &c->commit;
    struct core_effect e = {.kind = CORE_COMMIT_GO};
    struct core_row row;

    m->waiting = false;
    m->going = true;
    m->gone = m->wish;
    m->row = c->sch.row;
    m->at_us = k->now_us;
    e.u.go.ticket = m->gone.ticket;
    e.u.go.stored = (uint64_t)c->number << 32 | ++m->number;
    if (m->gone.has_run) {
        row_at_end(k, c, &row);
        e.u.go.row = &row;
    }
    core_emit(k, &e);
}

void
commit_look(struct core *k, struct connector *c)
{
    struct commit *m = &c->commit;
    const struct wish *w = &m->wish;
    enum wire_reason reason = WIRE_R_NONE;
    uint64_t seq = 0;

    if (!m->waiting || m->going)
        return;
    if (w->has_run && !(c->sch.running && is_run(c->sch.run, w->run))) {
        reason = WIRE_R_NO_RUN;
    } else if (!decided(c, w->after)) {
        return;
    } else if ((seq = first_refused(c, w->after)) != 0) {
        reason = WIRE_R_UNDELIVERED;
        m->told_after = w->after;
        m->told_conn = w->conn;
    }
    if (reason == WIRE_R_NONE) {
        go(k, c);
    } else {
        m->waiting = false;
        fail(k, w->ticket, reason, seq);
    }
}

/* It is on the disk that the run has ended. */
static void
ended(struct core *k, struct connector *c)
{
    const struct commit *m = &c->commit;
    struct schedule *s = &c->sch;
    const bool current = s->running && is_run(s->run, m->gone.run);
    const bool lost = !s->running && s->lost && s->ended_known && is_run(s->ended, m->gone.run);

    if (!current && !lost)
        return; /* it was ended by a `done` meanwhile, which is answered by itself */
    s->lost = false;
    s->running = true;
    run_finish(k, c, run_outcome(m->gone.outcome), m->at_us, NULL);
    if (s->row != m->row) {
        /* A row that was made while the run was still under way is stored behind this one, and says so. */
        run_store_end(k, c);
        s->ack = c->conn == m->gone.conn;
        s->ack_row = s->end_row;
        return;
    }
    s->end_stored = true;
    if (c->conn == m->gone.conn)
        run_answer_done(k, c);
}

void
commit_stored(struct core *k, uint64_t stored, bool ok)
{
    const uint32_t i = (uint32_t)(stored >> 32);
    struct connector *c = i < k->n_connectors ? k->connectors[i] : NULL;

    if (c == NULL || !c->commit.going || c->commit.number != (uint32_t)stored)
        return;
    c->commit.going = false;
    if (ok && c->commit.gone.has_run)
        ended(k, c);
    schedule_look(k, c); /* another program may have asked since: its time follows from this end */
    list_push(k, &k->dirty, i); /* another may wait behind it */
}

/* --- what ends it --- */

void
commit_drop(struct core *k, struct connector *c)
{
    if (c->commit.waiting)
        fail(k, c->commit.wish.ticket, WIRE_R_NONE, 0);
    c->commit.waiting = false;
}

void
commit_new_epoch(struct core *k, struct connector *c)
{
    commit_drop(k, c);
    c->commit.n_refused = 0;
    c->commit.refused_last = c->commit.told_after = 0;
}
