/* schedule.c - when a connector may run: its time, the reasons that hold it, its place in the line.
 *
 * One function looks, and everything that could change its answer calls it.  A connector that is due and held waits
 * in line (resume "drain") or skips a period (resume "schedule", as OpenCTI does); Run & Terminate does neither. */
#include <string.h>

#include "machine.h"

enum {
    TOLD_TIME = 1 << 30,      /* beside the reasons: only its time has not come */
    PERIOD_MIN_MS = 1000      /* less is Run & Terminate in OpenCTI, by rounding: here it has to be said */
};

static bool
periodic(const struct schedule *s)
{
    return s->kind == WIRE_S_PERIOD + 1;
}

static int64_t
due_of(const struct schedule *s)
{
    return s->base_us + s->period_us;
}

bool
schedule_too_early(const struct core *k, const struct schedule *s)
{
    return periodic(s) && !s->run_now && k->now_us < due_of(s);
}

bool
schedule_first_free(const struct schedule *s)
{
    return !s->ran && s->first == WIRE_FIRST_FREE && periodic(s);
}

/* What the spool has of it must go before more is asked for. */
static uint32_t
behind(const struct core *k, const struct connector *c)
{
    struct decide_inputs in;

    if (queues_of(k, c) == NULL || c->drain.bytes == 0)
        return 0;
    gate_inputs_of_run(k, c, &in);
    return decide(&in) & WIRE_HOLD_QUEUE;
}

uint32_t
schedule_reasons(const struct core *k, const struct connector *c)
{
    const struct schedule *s = &c->sch;
    uint32_t r = k->reasons | s->reasons | credit_hold(k, c) | behind(k, c);

    if (schedule_first_free(s))
        r &= ~(uint32_t)WIRE_HOLD_QUEUE;
    return r;
}

/* It is due, and there are reasons: what now? */
static void
held(struct core *k, struct connector *c, uint32_t reasons)
{
    struct schedule *s = &c->sch;

    if (s->held_by != reasons)
        run_journal_look(k, c, "hold", reasons, schedule_first_free(&c->sch));
    s->held_by = reasons;
    if (s->kind == WIRE_S_TERMINATE + 1)
        return; /* looked at once: it is told, and asks again when it is started again */
    if (periodic(s) && s->resume == WIRE_RESUME_SCHEDULE && !s->run_now) {
        /* The period that follows: the reasons may stay the same. */
        run_journal_look(k, c, "skipped", reasons, schedule_first_free(&c->sch));
        s->base_us = k->now_us;
        s->skipped = !s->ran;
        due_set(k, c, due_of(s));
        run_store(k, c);
    } else {
        list_push(k, &k->line, c->number);
    }
}

/* Where room is shared, who comes later is looked at behind those who wait, at the end of the turn.  Who does not
 * wait in line (Run & Terminate, resume "schedule") is looked at as it comes. */
static bool
waits_its_turn(const struct core *k, const struct connector *c)
{
    const struct schedule *s = &c->sch;

    return !k->waking && queues_of(k, c) != NULL && s->kind != WIRE_S_TERMINATE + 1 &&
           !(periodic(s) && s->resume == WIRE_RESUME_SCHEDULE && !s->run_now);
}

void
schedule_look(struct core *k, struct connector *c)
{
    struct schedule *s = &c->sch;
    uint32_t reasons;

    if (!s->asking || c->conn == 0)
        return;
    list_push(k, &k->dirty, c->number);
    if (schedule_too_early(k, s)) {
        s->held_by = 0; /* a reason of an earlier look, before its period changed or its connection was lost */
        due_set(k, c, due_of(s));
        return;
    }
    if (waits_its_turn(k, c)) {
        list_push(k, &k->line, c->number);
        k->woken = true;
        return;
    }
    gate_look(k, c);
    reasons = schedule_reasons(k, c);
    if (reasons == 0)
        reasons = gate_share(k, c);
    if (reasons == 0)
        run_permit(k, c);
    else
        held(k, c, reasons);
}

/* The line is gone through once: who is still held comes to its end again, in the same order. */
void
schedule_wake(struct core *k)
{
    struct list before = k->line;

    k->line = (struct list){NONE, NONE};
    k->waking = true;
    while (before.head != NONE) {
        struct connector *c = k->connectors[before.head];

        before.head = c->sch.line_next;
        c->sch.in_line = false;
        schedule_look(k, c);
    }
    k->waking = false;
}

void
schedule_timers(struct core *k)
{
    struct connector *c;

    while ((c = due_first(k)) != NULL && c->sch.due_us <= k->now_us) {
        due_drop(k, c);
        if (c->sch.running && c->sch.expected)
            run_lost(k, c); /* it was under way when we were started, and nobody came to declare it */
        else
            schedule_look(k, c);
    }
}

/* --- what is asked for --- */

static bool
acceptable(struct core *k, const struct connector *c, const struct wire_msg *m)
{
    if (m->schedule == WIRE_S_PERIOD && (!WIRE_HAS(m, WIRE_F_PERIOD_MS) || m->period_ms < PERIOD_MIN_MS)) {
        session_error(k, c->conn, WIRE_R_SCHEDULE, "period_ms",
                      "a period is at least 1000 ms; for one run and no more say schedule \"terminate\"", c);
        return false;
    }
    return true;
}

void
schedule_ready(struct core *k, struct connector *c, const struct wire_msg *m)
{
    struct schedule *s = &c->sch;
    const bool unknown = s->ran && s->kind == 0; /* it declared a run, and only now says by what schedule */

    credit_want(k, c, m->want, m->head);
    if (!acceptable(k, c, m))
        return;
    gate_threshold(k, c, m);
    s->kind = (uint8_t)(m->schedule + 1);
    s->first = (uint8_t)(WIRE_HAS(m, WIRE_F_FIRST_RUN) ? m->first_run : WIRE_FIRST_FREE);
    s->resume = (uint8_t)(WIRE_HAS(m, WIRE_F_RESUME) ? m->resume : WIRE_RESUME_DRAIN);
    if (periodic(s)) {
        s->period_us = (int64_t)m->period_ms * 1000;
        if (!s->ran && !s->skipped)
            s->base_us = k->now_us - s->period_us; /* the first run ever is due at once */
    }
    if (unknown)
        run_store(k, c); /* its row does not say yet when the next one is due */
    if (s->running) {
        if (s->expected)
            due_drop(k, c);
        s->expected = false;
        run_send_permit(k, c); /* its permit was lost on the way, or the end of the run was */
        return;
    }
    s->asking = s->answer = true;
    schedule_look(k, c);
}

/* A run goes on without a connection, for as long as pings may be missed. */
void
schedule_left(struct core *k, struct connector *c)
{
    struct schedule *s = &c->sch;

    s->asking = s->answer = s->ack = false;
    if (!s->running) {
        due_drop(k, c);
        return;
    }
    s->expected = true;
    due_set(k, c, k->now_us + k->cfg.ping_us * k->cfg.missed);
}

/* --- what is decided elsewhere --- */

static struct connector *
named(struct core *k, const char *id)
{
    const uint32_t i = id == NULL ? NONE : table_find(k, id, (uint32_t)strlen(id));

    return i == NONE ? NULL : k->connectors[i];
}

void
schedule_hold(struct core *k, const char *id, uint32_t reasons)
{
    struct connector *c = named(k, id);

    if (id == NULL)
        k->reasons = reasons;
    else if (c != NULL)
        c->sch.reasons = reasons;
    schedule_wake(k);
}

static void
set_paused(struct core *k, struct connector *c, bool paused)
{
    if (c->sch.paused == paused)
        return;
    c->sch.paused = paused;
    run_journal(k, c, paused ? "paused" : "resumed", 0, NULL);
    run_store(k, c);
    list_push(k, &k->dirty, c->number);
    if (!paused)
        credit_want(k, c, c->want, c->head);
}

static void
set_draining(struct core *k, bool on)
{
    k->draining = on;
    run_journal(k, NULL, on ? "draining" : "drain_ended", 0, NULL);
    for (uint32_t i = 0; i < k->n_connectors; i++) {
        list_push(k, &k->dirty, i);
        if (!on)
            credit_want(k, k->connectors[i], k->connectors[i]->want, k->connectors[i]->head);
    }
}

void
schedule_operator(struct core *k, const char *id, enum core_action action)
{
    struct core_effect clear = {.kind = CORE_CLEAR_STATE};
    struct connector *c = named(k, id);

    if (action == CORE_DRAIN_ON || action == CORE_DRAIN_OFF) {
        set_draining(k, action == CORE_DRAIN_ON);
    } else if (c != NULL && action == CORE_RESET_STATE) {
        clear.u.id = c->cfg.id;
        run_journal(k, c, "state_reset", 0, NULL);
        core_emit(k, &clear);
    } else if (c != NULL && action == CORE_RUN_NOW) {
        c->sch.run_now = true;
        run_journal(k, c, "run_now", 0, NULL);
        schedule_look(k, c);
    } else if (c != NULL) {
        set_paused(k, c, action == CORE_PAUSE);
    }
    schedule_wake(k);
}

/* --- telling --- */

bool
schedule_tell(struct core *k, struct connector *c)
{
    struct schedule *s = &c->sch;
    struct wire_msg m = {.type = WIRE_HOLD, .has = 1ULL << WIRE_F_REASONS, .reasons = s->held_by};
    const bool early = schedule_too_early(k, s);
    const uint32_t told = s->held_by | (early ? (uint32_t)TOLD_TIME : 0);

    if (!s->asking)
        return false;
    if (!s->answer && told == s->told)
        return true;
    if (early) {
        m.has |= 1ULL << WIRE_F_NEXT_MS;
        m.next_ms = (uint64_t)(due_of(s) - k->now_us + 999) / 1000;
    }
    core_send(k, c->conn, &m);
    s->answer = false;
    s->told = told;
    if (s->kind == WIRE_S_TERMINATE + 1)
        s->asking = false;
    return true;
}
