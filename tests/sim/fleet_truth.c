/* fleet_truth.c - what the gateway has to know, from what it was told; and whether that is what it stores and says.
 *
 * It follows the decisions on its own, from the events that the core is fed.  Where the core decides something, it says
 * so in its journal: fleet_rules.c judges that. */
#include <stdlib.h>
#include <string.h>

#include "fleet_parts.h"

enum { JITTER_PART = 10, JITTER_MOST_US = 60000000 };

static bool
periodic(const struct id *i)
{
    return i->t.kind == WIRE_S_PERIOD + 1;
}

struct id *
truth_id(struct fleet *w, const char *name)
{
    const uint32_t n = (uint32_t)strtoul(name + 1, NULL, 10);

    if (n < w->size.connectors && strcmp(w->ids[n].name, name) == 0)
        return &w->ids[n];
    fleet_breaks(w, NULL, "a connector that nobody knows");
    return NULL;
}

uint32_t
truth_reasons(const struct fleet *w, const struct id *i)
{
    uint32_t r = w->reasons | i->reasons;

    r |= w->draining ? (uint32_t)WIRE_HOLD_DRAINING : 0;
    r |= i->t.paused ? (uint32_t)WIRE_HOLD_PAUSED : 0;
    if (!w->pubs[i->publisher].up)
        r |= WIRE_HOLD_BROKER_DOWN;
    else if (w->pubs[i->publisher].blocked)
        r |= WIRE_HOLD_BROKER_ALARM;
    return truth_first_is_free(i) ? r & ~(uint32_t)WIRE_HOLD_QUEUE : r;
}

bool
truth_first_is_free(const struct id *i)
{
    return periodic(i) && !i->t.ran && i->t.first == WIRE_FIRST_FREE;
}

/* --- since when nothing holds it --- */

static void
note(int64_t *at, bool clear, int64_t now)
{
    if (!clear)
        *at = NEVER;
    else if (*at == NEVER)
        *at = now;
}

static void
note_reasons(struct fleet *w, int64_t at[2], uint32_t reasons)
{
    note(&at[0], reasons == 0, w->now);
    note(&at[1], (reasons & ~(uint32_t)WIRE_HOLD_QUEUE) == 0, w->now);
}

static void
note_all(struct fleet *w)
{
    note_reasons(w, w->clear_at, w->reasons | (w->draining ? (uint32_t)WIRE_HOLD_DRAINING : 0));
    for (uint32_t n = 0; n < w->size.publishers; n++)
        note(&w->pubs[n].clear_at, w->pubs[n].up && !w->pubs[n].blocked, w->now);
}

static void
note_one(struct fleet *w, struct id *i)
{
    note_reasons(w, i->clear_at, i->reasons | (i->t.paused ? (uint32_t)WIRE_HOLD_PAUSED : 0));
}

/* --- what the gateway is told --- */

static void
ready(struct fleet *w, struct id *i, const struct wire_msg *m)
{
    struct truth *t = &i->t;

    if (t->ran && t->kind == 0)
        i->row_by = w->now; /* of a run that was adopted: by now its row can say when the next one is due */
    t->kind = (uint8_t)(m->schedule + 1);
    t->first = (uint8_t)(WIRE_HAS(m, WIRE_F_FIRST_RUN) ? m->first_run : WIRE_FIRST_FREE);
    t->resume = (uint8_t)(WIRE_HAS(m, WIRE_F_RESUME) ? m->resume : WIRE_RESUME_DRAIN);
    if (periodic(i)) {
        t->period_us = (int64_t)m->period_ms * 1000;
        if (!t->ran && !t->skipped)
            t->base_lo = t->base_hi = w->now - t->period_us;
    }
    i->answer_by = w->now + SLACK_US;
    if (!t->running) {
        t->asking = true;
        i->asked_at = w->now;
    }
}

static void
message(struct fleet *w, uint64_t conn, const struct wire_msg *m)
{
    struct id *i = &w->ids[(uint32_t)conn / 4];

    if (WIRE_HAS(m, WIRE_F_RUN) && i->t.running && memcmp(m->run, i->t.run, WIRE_RUN_LEN) == 0)
        i->named_at = w->now;
    if (i->conn != conn)
        return;
    i->heard_at = w->now;
    if (i->named_at == w->now)
        i->lose_by = NEVER;
    if (m->type == WIRE_READY)
        ready(w, i, m);
}

static void
operator(struct fleet *w, const struct core_event *e)
{
    struct id *i = e->u.operator.id == NULL ? NULL : truth_id(w, e->u.operator.id);

    if (e->u.operator.action == CORE_DRAIN_ON || e->u.operator.action == CORE_DRAIN_OFF) {
        w->draining = e->u.operator.action == CORE_DRAIN_ON;
        note_all(w);
    }
    if (i == NULL)
        return;
    if (e->u.operator.action == CORE_PAUSE || e->u.operator.action == CORE_RESUME) {
        if (i->t.paused != (e->u.operator.action == CORE_PAUSE))
            i->row_by = w->now;
        i->t.paused = e->u.operator.action == CORE_PAUSE;
        note_one(w, i);
    } else if (e->u.operator.action == CORE_RUN_NOW) {
        i->run_now_at = i->t.run_now ? i->run_now_at : w->now;
        i->t.run_now = true;
    }
}

void
truth_before(struct fleet *w, const struct core_event *e)
{
    switch (e->kind) {
    case CORE_MESSAGE:
        message(w, e->u.message.conn, e->u.message.msg);
        break;
    case CORE_OPERATOR:
        operator(w, e);
        break;
    case CORE_HOLD:
        if (e->u.hold.id != NULL)
            note_one(w, truth_id(w, e->u.hold.id));
        else
            note_all(w);
        break;
    case CORE_UP:
    case CORE_DOWN:
    case CORE_BLOCKED:
    case CORE_UNBLOCKED:
        note_all(w);
        break;
    default:
        break;
    }
}

/* --- what it finds when it starts --- */

/* The next run is due when the row says, but within a period from now, and with a jitter if that time is over. */
static void
find_due(struct fleet *w, struct id *i)
{
    struct truth *t = &i->t;
    const int64_t most = t->period_us / JITTER_PART < JITTER_MOST_US ? t->period_us / JITTER_PART : JITTER_MOST_US;
    int64_t left = i->disk.row.next_run_us - (w->now + w->wall_us);

    t->skipped = !t->ran && left > 0;
    if (left > t->period_us)
        left = t->period_us;
    t->base_lo = t->base_hi = w->now + (left > 0 ? left : 0) - t->period_us;
    if (left <= 0)
        t->base_hi += most;
}

static void
find(struct fleet *w, struct id *i)
{
    const struct truth *d = &i->disk.t;

    i->t = (struct truth){.epoch = i->mark_epoch};
    if (i->disk.is && i->disk.row.epoch > i->t.epoch)
        i->t.epoch = i->disk.row.epoch;
    if (i->disk.is) {
        i->t.kind = d->kind;
        i->t.ran = d->ran;
        i->t.paused = d->paused;
        i->t.running = d->running;
        i->t.birth = d->birth;
        i->t.run_epoch = i->disk.row.epoch;
        i->t.period_us = d->period_us;
        i->t.last_run_us = d->last_run_us;
        i->t.ends = d->ends;
        i->t.ended_known = d->ended_known && !d->lost;
        memcpy(i->t.run, d->run, WIRE_RUN_LEN);
        memcpy(i->t.ended, d->ended, WIRE_RUN_LEN);
        find_due(w, i);
    }
    i->conn = 0;
    i->heard_at = i->named_at = w->now;
    i->run_now_at = i->answer_by = i->row_by = NEVER;
    i->row_out = i->row_failed = false;
    i->lose_by = w->now + MISSED * w->size.ping_us;
    i->clear_at[0] = i->clear_at[1] = NEVER;
    note_one(w, i);
}

void
truth_start(struct fleet *w)
{
    w->draining = false;
    w->clear_at[0] = w->clear_at[1] = NEVER;
    for (uint32_t n = 0; n < w->size.publishers; n++)
        w->pubs[n].clear_at = NEVER;
    note_all(w);
    for (uint32_t n = 0; n < w->size.connectors; n++)
        find(w, &w->ids[n]);
}

/* --- what it stores --- */

/* Held when it is due, a connector that resumes by its schedule is looked at again a whole period later. */
static bool
may_skip(const struct fleet *w, const struct id *i)
{
    const struct truth *t = &i->t;

    return t->asking && t->resume == WIRE_RESUME_SCHEDULE && !t->run_now && w->now >= t->base_lo + t->period_us &&
           truth_reasons(w, i) != 0;
}

static void
next_run(struct fleet *w, struct id *i, int64_t base_us)
{
    if (base_us < i->t.base_lo || base_us > i->t.base_hi)
        fleet_breaks(w, i, "a row says a next run that is not a period after the end of the last");
    i->t.base_lo = i->t.base_hi = base_us; /* the jitter is known now */
}

void
truth_skipped(struct fleet *w, struct id *i)
{
    if (!may_skip(w, i))
        fleet_breaks(w, i, "a period is skipped without a cause");
    i->t.base_lo = i->t.base_hi = i->row_by = w->now;
    i->t.skipped = !i->t.ran;
    w->fig->skipped++;
}

struct truth
truth_at_end(const struct fleet *w, const struct id *i, const uint8_t *run)
{
    struct truth t = i->t;

    t.running = t.lost = false;
    t.ended_known = true;
    memcpy(t.ended, run, WIRE_RUN_LEN);
    t.base_lo = t.base_hi = w->now;
    t.last_run_us = w->now + w->wall_us;
    t.ends = i->ends + 1;
    return t;
}

/* What changed while it was on its way is stored now; what failed, with the next save. */
void
truth_row_back(struct fleet *w, struct id *i, bool ok)
{
    i->row_out = false;
    i->row_failed = !ok;
    if (!ok)
        i->row_by = NEVER;
    else if (i->row_by != NEVER)
        i->row_by = w->now;
}

void
truth_save(struct fleet *w)
{
    for (uint32_t n = 0; n < w->size.connectors; n++)
        if (w->ids[n].row_failed)
            w->ids[n].row_by = w->now;
}

void
truth_row(struct fleet *w, struct id *i, const struct truth *t, const struct core_row *row)
{
    if (t == &i->t) {
        i->row_by = NEVER;
        i->row_failed = false;
    }
    if (row->kind != t->kind || row->period_us != t->period_us || row->ran != t->ran)
        fleet_breaks(w, i, "a row says another schedule than the connector");
    if (row->paused != t->paused)
        fleet_breaks(w, i, "a row does not say what the operator said");
    if (row->has_run != t->running || (t->running && memcmp(row->run, t->run, WIRE_RUN_LEN) != 0))
        fleet_breaks(w, i, "a row does not say which run is under way");
    if (row->has_ended != (t->ended_known && !t->lost) ||
        (row->has_ended && memcmp(row->ended, t->ended, WIRE_RUN_LEN) != 0))
        fleet_breaks(w, i, "a row does not say which run ended last");
    if (row->last_run_us != t->last_run_us)
        fleet_breaks(w, i, "a row says a last run that did not end then");
    if (periodic(i) && !t->running && t != &i->t) {
        if (row->next_run_us != t->last_run_us + t->period_us)
            fleet_breaks(w, i, "a row that ends a run says a next one that is not a period later");
    } else if (periodic(i) && !t->running) {
        next_run(w, i, row->next_run_us - w->wall_us - t->period_us);
    } else if (row->next_run_us != 0) {
        fleet_breaks(w, i, "a row says a next run where nobody can say");
    }
}
