/* run.c - one run, from permit to end: done, or lost.
 *
 * A run is the connector's word against ours: a permit may be lost on the way, an end too, and either side may be
 * started again in between.  So hello and ping name the run, done is repeated until its end is on disk, and whoever
 * was started again learns from the other. */
#include <string.h>

#include "machine.h"

enum { JITTER_MOST_S = 60, JITTER_PART = 10 };

static struct core_effect
journal_line(const struct connector *c, const char *what, uint32_t reasons)
{
    struct core_effect e = {.kind = CORE_JOURNAL};

    e.u.journal.id = c == NULL ? NULL : c->cfg.id;
    e.u.journal.what = what;
    e.u.journal.reasons = reasons;
    e.u.journal.run = c != NULL && c->sch.running ? c->sch.run : NULL;
    return e;
}

void
run_journal(struct core *k, const struct connector *c, const char *what, uint32_t reasons, const struct wire_msg *m)
{
    struct core_effect e = journal_line(c, what, reasons);

    if (m != NULL && WIRE_HAS(m, WIRE_F_TEXT)) {
        e.u.journal.text = m->text.at;
        e.u.journal.text_len = m->text.len;
    }
    core_emit(k, &e);
}

void
run_decision(struct core *k, const struct connector *c, const char *what, uint32_t reasons,
             const struct decide_inputs *inputs)
{
    struct core_effect e = journal_line(c, what, reasons);

    e.u.journal.inputs = inputs;
    core_emit(k, &e);
}

void
run_journal_look(struct core *k, const struct connector *c, const char *what, uint32_t reasons, bool first_free)
{
    struct core_effect e = journal_line(c, what, reasons);
    struct decide_inputs inputs;

    if (c->sch.kind == WIRE_S_PERIOD + 1)
        e.u.journal.due_us = c->sch.base_us + c->sch.period_us + k->wall_us;
    if (queues_of(k, c) != NULL) {
        gate_inputs_of_run(k, c, &inputs);
        inputs.first_free = first_free;
        e.u.journal.inputs = &inputs;
    }
    core_emit(k, &e);
}

/* --- keeping --- */

void
run_row(const struct core *k, const struct connector *c, struct core_row *row)
{
    const struct schedule *s = &c->sch;

    memset(row, 0, sizeof(*row));
    row->id = c->cfg.id;
    row->kind = s->kind;
    row->ran = s->ran;
    row->paused = s->paused;
    row->has_run = s->running;
    memcpy(row->run, s->run, sizeof(row->run));
    row->epoch = c->epoch;
    row->has_ended = s->ended_known && !s->lost;
    memcpy(row->ended, s->ended, sizeof(row->ended));
    row->period_us = s->period_us;
    row->last_run_us = s->last_run_us;
    if (s->kind == WIRE_S_PERIOD + 1 && !s->running)
        row->next_run_us = s->base_us + s->period_us + k->wall_us;
}

/* One at a time: a row says all, so what changes while one is at the store is told by the next, and a connector that
 * is quicker than the disk does not fill the memory with rows. */
static uint32_t
store(struct core *k, struct connector *c, bool later)
{
    struct core_effect e = {.kind = CORE_STORE_ROW};
    struct schedule *s = &c->sch;

    s->row_due = s->row_out;
    if (s->row_due)
        return s->row + 1;
    s->row_out = true;
    run_row(k, c, &e.u.store.row);
    e.u.store.later = later;
    e.u.store.ticket = (uint64_t)c->number << 32 | ++s->row;
    core_emit(k, &e);
    return s->row;
}

uint32_t
run_store(struct core *k, struct connector *c)
{
    return store(k, c, false);
}

void
run_store_end(struct core *k, struct connector *c)
{
    c->sch.end_row = run_store(k, c);
    c->sch.end_stored = false;
}

void
run_save(struct core *k)
{
    uint32_t i;

    while ((i = list_pop(k, &k->unstored)) != NONE)
        run_store(k, k->connectors[i]);
}

void
run_answer_done(struct core *k, struct connector *c)
{
    const struct schedule *s = &c->sch;
    struct wire_msg m = {.type = WIRE_HOLD, .has = 1ULL << WIRE_F_REASONS | 1ULL << WIRE_F_RUN};
    const int64_t left = s->base_us + s->period_us - k->now_us;

    memcpy(m.run, s->ended, sizeof(m.run));
    if (s->kind == WIRE_S_PERIOD + 1) {
        m.has |= 1ULL << WIRE_F_NEXT_MS;
        m.next_ms = left > 0 ? (uint64_t)(left + 999) / 1000 : 0;
    }
    core_send(k, c->conn, &m);
}

void
run_stored(struct core *k, uint64_t ticket, bool ok)
{
    const uint32_t i = (uint32_t)(ticket >> 32);
    struct connector *c = i < k->n_connectors ? k->connectors[i] : NULL;

    if (c == NULL)
        return;
    c->sch.row_out = false;
    if (!ok) {
        c->sch.row_due = false;
        list_push(k, &k->unstored, i);
        return;
    }
    /* Rows are stored in order, so a later one holds what an earlier one said. */
    if ((uint32_t)ticket - c->sch.end_row < UINT32_MAX / 2)
        c->sch.end_stored = true;
    if (c->sch.ack && (uint32_t)ticket - c->sch.ack_row < UINT32_MAX / 2) {
        c->sch.ack = false;
        run_answer_done(k, c);
    }
    if (c->sch.row_due)
        run_store(k, c);
}

/* FNV-1a of the id: who was due at the same time while nobody was there is let in one after the other. */
static int64_t
jitter_us(const struct connector *c)
{
    const int64_t most = c->sch.period_us / JITTER_PART < JITTER_MOST_S * 1000000LL ? c->sch.period_us / JITTER_PART
                                                                                   : JITTER_MOST_S * 1000000LL;
    uint32_t h = 2166136261U;

    for (const char *p = c->cfg.id; *p != '\0'; p++)
        h = (h ^ (unsigned char)*p) * 16777619U;
    return most <= 0 ? 0 : (int64_t)(h % (uint32_t)(most / 1000 + 1)) * 1000;
}

void
run_load(struct core *k, const struct core_row *row)
{
    const uint32_t i = session_known(k, row->id);
    struct connector *c = i == NONE ? NULL : k->connectors[i];
    struct schedule *s = c == NULL ? NULL : &c->sch;
    int64_t left;

    if (c == NULL || s->kind != 0)
        return; /* no memory, or it has spoken already and knows better */
    s->kind = row->kind;
    s->ran = row->ran;
    s->paused = row->paused;
    s->period_us = row->period_us;
    s->last_run_us = row->last_run_us;
    s->ended_known = s->end_stored = row->has_ended;
    memcpy(s->ended, row->ended, sizeof(s->ended));
    /* The wall clock may have jumped while we were away: never longer than a period, and never before now. */
    left = row->next_run_us - (k->now_us + k->wall_us);
    s->skipped = !s->ran && left > 0; /* else its first run would be due already */
    if (left > s->period_us)
        left = s->period_us;
    if (left <= 0)
        left = jitter_us(c);
    s->base_us = k->now_us + left - s->period_us;
    session_row(k, c, row->epoch);
    if (row->has_run) {
        s->running = s->expected = true;
        s->run_epoch = row->epoch;
        memcpy(s->run, row->run, sizeof(s->run));
        due_set(k, c, k->now_us + k->cfg.ping_us * k->cfg.missed);
    }
}

/* --- begin and end --- */

void
run_send_permit(struct core *k, const struct connector *c)
{
    struct wire_msg m = {.type = WIRE_PERMIT, .has = 1ULL << WIRE_F_RUN | 1ULL << WIRE_F_LEASE_MS};

    memcpy(m.run, c->sch.run, sizeof(m.run));
    m.lease_ms = (uint64_t)(k->cfg.ping_us / 1000 * k->cfg.missed);
    core_send(k, c->conn, &m);
}

static void
begin(struct core *k, struct connector *c)
{
    struct schedule *s = &c->sch;

    if (s->lost)
        s->ended_known = false; /* that one has no end in the books: not as the one before this, either */
    s->running = s->ran = true;
    s->run_epoch = c->epoch;
    s->asking = s->answer = s->run_now = s->expected = s->lost = false;
    s->held_by = s->told = 0;
    due_drop(k, c);
    gate_promise(k, c);
}

/* The row follows the permit, and may: a run whose row a crash takes is declared to us by its connector. */
void
run_permit(struct core *k, struct connector *c)
{
    const uint64_t r[2] = {core_random(k), core_random(k)};
    const bool first_free = schedule_first_free(&c->sch);

    memcpy(c->sch.run, r, sizeof(c->sch.run));
    begin(k, c);
    run_journal_look(k, c, "permit", 0, first_free);
    run_send_permit(k, c);
    store(k, c, true);
}

void
run_finish(struct core *k, struct connector *c, const char *what, int64_t at_us, const struct wire_msg *m)
{
    struct schedule *s = &c->sch;

    run_journal(k, c, what, 0, m);
    due_drop(k, c);
    s->running = s->expected = false;
    memcpy(s->ended, s->run, sizeof(s->ended));
    s->ended_known = true;
    gate_released(k, c);
    s->base_us = at_us; /* the next one is due a period after the end */
    if (!s->lost)
        s->last_run_us = at_us + k->wall_us;
    list_push(k, &k->dirty, c->number); /* a state that waits to end it waits in vain */
}

static void
end(struct core *k, struct connector *c, const char *what, const struct wire_msg *m)
{
    run_finish(k, c, what, k->now_us, m);
    run_store_end(k, c);
    schedule_look(k, c); /* it may have asked already, if the run was thought lost */
}

const char *
run_outcome(enum wire_outcome outcome)
{
    return outcome == WIRE_OUT_OK ? "done" : outcome == WIRE_OUT_FAILED ? "failed" : "stopped";
}

void
run_lost(struct core *k, struct connector *c)
{
    if (!c->sch.running)
        return;
    c->sch.lost = true;
    end(k, c, "lost", NULL);
}

void
run_done(struct core *k, struct connector *c, const struct wire_msg *m)
{
    struct schedule *s = &c->sch;
    const bool current = s->running && memcmp(s->run, m->run, sizeof(s->run)) == 0;
    const bool again = s->ended_known && memcmp(s->ended, m->run, sizeof(s->ended)) == 0;

    if (!current && !(again && !s->running)) {
        session_error(k, c->conn, WIRE_R_NO_RUN, "run", "this run is not the current one: nothing was ended", c);
        return;
    }
    if (current || s->lost) {
        /* One that was thought lost and was not: it did happen, and ends now. */
        s->lost = false;
        s->running = true;
        end(k, c, run_outcome(m->outcome), m);
    } else if (s->end_stored) {
        run_answer_done(k, c); /* its end is on disk, but the answer was lost */
        return;
    }
    s->ack = true;
    s->ack_row = s->end_row;
}

/* --- what a connector declares --- */

static void
superseded(struct core *k, const struct connector *c)
{
    struct wire_msg m = {.type = WIRE_STOP, .has = 1ULL << WIRE_F_REASON, .reason = WIRE_R_SUPERSEDED};

    core_send(k, c->conn, &m);
}

/* A ping that names no run, and asks for none: was what we told last lost on the way, at a full pipe? */
static void
remind(struct core *k, struct connector *c)
{
    struct schedule *s = &c->sch;

    if (s->running) {
        run_send_permit(k, c);
    } else if (s->kind == WIRE_S_TERMINATE + 1 && !s->asking && s->told != 0) {
        s->asking = s->answer = true; /* it was held and did not end: it is told again, but not looked at */
        list_push(k, &k->dirty, c->number);
    }
}

void
run_declared(struct core *k, struct connector *c, const struct wire_msg *m)
{
    struct schedule *s = &c->sch;

    if (!WIRE_HAS(m, WIRE_F_RUN)) {
        if (m->type == WIRE_PING)
            remind(k, c);
        else if (s->expected) /* it is back: it asks, or names it, within three pings */
            due_set(k, c, k->now_us + k->cfg.ping_us * k->cfg.missed);
        return;
    }
    if (s->running && memcmp(s->run, m->run, sizeof(s->run)) == 0) {
        if (s->expected)
            due_drop(k, c);
        s->expected = false;
    } else if (s->running) {
        superseded(k, c);
    } else if (!s->ended_known || s->lost || memcmp(s->ended, m->run, sizeof(s->ended)) != 0) {
        /* We were started again, or thought it lost: as long as no newer run is permitted, it goes on. */
        memcpy(s->run, m->run, sizeof(s->run));
        begin(k, c);
        run_journal(k, c, "adopted", 0, NULL);
        store(k, c, true);
    } else if (m->type == WIRE_PING && s->end_stored) {
        run_answer_done(k, c); /* the answer was lost on the way, at a full pipe */
    }
}
