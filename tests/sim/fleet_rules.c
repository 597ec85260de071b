/* fleet_rules.c - what the gateway may do and must do: its decisions, as its journal and its messages say them. */
#include <string.h>

#include "fleet_parts.h"

enum { NET_US = 3000000 }; /* a message and its answer are on the way for less */

static bool
same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, WIRE_RUN_LEN) == 0;
}

static bool
periodic(const struct id *i)
{
    return i->t.kind == WIRE_S_PERIOD + 1;
}

static int64_t
later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* When its time had come at the latest. */
static int64_t
due_at(const struct id *i)
{
    const int64_t due = periodic(i) ? i->t.base_hi + i->t.period_us : 0;

    return i->t.run_now && i->run_now_at < due ? i->run_now_at : due;
}

/* From when on it had to be permitted; NEVER: not yet. */
static int64_t
permit_at(const struct fleet *w, const struct id *i)
{
    const int k = truth_first_is_free(i) ? 1 : 0;
    int64_t at = later(later(i->asked_at, i->learnt_at), due_at(i));

    if (!i->t.asking)
        return NEVER;
    at = later(at, i->clear_at[k]);
    at = later(at, w->clear_at[k]);
    return later(at, w->pubs[i->publisher].clear_at);
}

/* --- decisions --- */

static void
count_wait(struct fleet *w, const struct id *i)
{
    const int64_t wait = w->now - later(i->asked_at, due_at(i));
    uint32_t low = 0, high = FLEET_WAITS - 1;

    while (low < high) {
        const uint32_t part = (low + high) / 2;

        if (fleet_wait_us(part) < wait)
            low = part + 1;
        else
            high = part;
    }
    w->fig->waits[low]++;
}

/* A permit before the end was on disk is forgotten by a gateway that crashes; so its connector tells it.  Only where
 * that was started again meanwhile too, nobody knows any more. */
static void
check_memory(struct fleet *w, const struct id *i)
{
    struct id *same_id;
    const struct program *p = fleet_program(w, i->conn, &same_id);
    const bool first_again = !i->t.ran && i->ran;
    const bool end_forgotten = periodic(i) && !i->t.run_now && i->t.ends < i->ends &&
                               w->now < i->end_at + i->t.period_us;

    if (p != NULL && first_again && i->ran_birth == p->birth)
        fleet_breaks(w, i, "a run that was not the first was treated as if it were");
    if (p != NULL && end_forgotten && i->end_birth == p->birth)
        fleet_breaks(w, i, "a restart gave a free run");
    w->fig->forgotten += first_again || end_forgotten;
}

static void
on_permit(struct fleet *w, struct id *i, const uint8_t *run)
{
    struct truth *t = &i->t;

    w->fig->permits++;
    if (t->running)
        fleet_breaks(w, i, "a second run was permitted while one was under way");
    if (!t->asking)
        fleet_breaks(w, i, "a run was permitted to who did not ask");
    if (truth_reasons(w, i) != 0)
        fleet_breaks(w, i, "a run was permitted while a reason held it");
    if (periodic(i) && !t->run_now && w->now < t->base_lo + t->period_us)
        fleet_breaks(w, i, "a run was permitted earlier than a period after the last");
    if (w->now - SLACK_US > permit_at(w, i))
        fleet_breaks(w, i, "a run was permitted later than it could have been");
    check_memory(w, i);
    count_wait(w, i);
    runs_add(w, (uint32_t)(i - w->ids), run);
}

static void
on_adopted(struct fleet *w, struct id *i, const uint8_t *run)
{
    const struct wire_msg *m = w->incoming == NULL ? NULL : &w->incoming->msg;

    w->fig->adopted++;
    if (m == NULL || !WIRE_HAS(m, WIRE_F_RUN) || !same(m->run, run))
        fleet_breaks(w, i, "a run was adopted that nobody declared");
    if (i->t.running)
        fleet_breaks(w, i, "a run was adopted while one was under way");
    if (i->t.ended_known && !i->t.lost && same(i->t.ended, run))
        fleet_breaks(w, i, "a run was adopted whose end is known");
    if (!runs_has(w, (uint32_t)(i - w->ids), run))
        fleet_breaks(w, i, "a run was adopted that was never permitted");
}

static void
begins(struct fleet *w, struct id *i, const uint8_t *run)
{
    struct id *same_id;
    const struct program *p = fleet_program(w, i->conn, &same_id);

    i->t.ended_known = i->t.ended_known && !i->t.lost; /* what was lost has not ended, whatever comes after it */
    i->t.running = i->t.ran = true;
    i->t.asking = i->t.run_now = i->t.lost = false;
    i->t.birth = p == NULL || i->remembers ? 0 : p->birth;
    i->t.run_epoch = i->t.epoch;
    i->run_now_at = i->answer_by = NEVER;
    i->named_at = i->row_by = w->now;
    i->lose_by = NEVER;
    memcpy(i->t.run, run, WIRE_RUN_LEN);
}

static void
ends(struct id *i, bool lost, int64_t at)
{
    struct truth *t = &i->t;

    memcpy(t->ended, t->run, WIRE_RUN_LEN);
    t->running = false;
    t->ended_known = true;
    t->lost = lost;
    t->base_lo = t->base_hi = at;
}

static void
on_done(struct fleet *w, struct id *i, const uint8_t *run)
{
    const struct wire_msg *m = w->incoming == NULL ? NULL : &w->incoming->msg;
    const struct pending *c = w->committed;
    const bool told = m != NULL && m->type == WIRE_DONE && same(m->run, run);
    const bool committed = c != NULL && c->ok && same(c->t.ended, run) && &w->ids[c->id] == i;
    const bool back = i->t.lost && i->t.ended_known && same(i->t.ended, run);
    const int64_t at = committed ? c->at : w->now; /* with a state: when that was on its way to the disk */
    struct id *same_id;
    const struct program *p = fleet_program(w, i->conn, &same_id);

    if (!told && !committed)
        fleet_breaks(w, i, "a run ended that nobody said the end of");
    if (!back && !(i->t.running && same(i->t.run, run)))
        fleet_breaks(w, i, "a run ended that was not under way");
    w->fig->runs++;
    memcpy(i->t.run, run, WIRE_RUN_LEN);
    ends(i, false, at);
    i->row_by = committed ? i->row_by : w->now;
    i->t.last_run_us = at + w->wall_us;
    i->learnt_at = w->now;
    i->ends += committed ? 0 : 1; /* with a state it was counted when that was written */
    i->t.ends = i->ends;
    i->end_at = at;
    i->end_birth = p == NULL ? 0 : p->birth;
}

/* Three pings without a word, or another program, or a bye: nothing else loses a run. */
static void
on_lost(struct fleet *w, struct id *i, const uint8_t *run)
{
    const struct wire_msg *m = w->incoming == NULL ? NULL : &w->incoming->msg;
    const bool silent = w->now - i->heard_at >= MISSED * w->size.ping_us;
    const bool other = m != NULL && m->type == WIRE_HELLO &&
                       (m->epoch > i->t.epoch || (i->lose_by != NEVER && m->epoch != i->t.run_epoch));
    const bool left = m != NULL && m->type == WIRE_BYE;

    w->fig->lost++;
    if (!i->t.running || !same(i->t.run, run))
        fleet_breaks(w, i, "a run was lost that was not under way");
    if (!silent && !other && !left)
        fleet_breaks(w, i, "a run was given up without a cause");
    if (w->now - SLACK_US > i->lose_by)
        fleet_breaks(w, i, "a run was given up too late");
    ends(i, true, w->now);
    i->row_by = w->now;
}

static void
on_hold(struct fleet *w, struct id *i, uint32_t reasons)
{
    w->fig->holds++;
    if (!i->t.asking || reasons == 0 || reasons != truth_reasons(w, i))
        fleet_breaks(w, i, "a hold for reasons that are not so");
    if (periodic(i) && !i->t.run_now && w->now < i->t.base_lo + i->t.period_us)
        fleet_breaks(w, i, "a hold before its time had come");
}

static void
tell_journal(struct fleet *w, const struct id *i, const struct core_effect *e)
{
    const uint8_t *run = e->u.journal.run;
    const int64_t s = w->now / 1000000, us = w->now % 1000000;

    if (w->trace == NULL)
        return;
    fprintf(w->trace, "%6lld.%06lld  %s: = %s", (long long)s, (long long)us, i == NULL ? "all" : i->name,
            e->u.journal.what);
    if (run != NULL)
        fprintf(w->trace, " run %02x%02x%02x", run[0], run[1], run[2]);
    if (e->u.journal.reasons != 0)
        fprintf(w->trace, " reasons %x", e->u.journal.reasons);
    fputc('\n', w->trace);
}

/* The journal tells from what it was decided. */
static void
check_due(struct fleet *w, struct id *i, int64_t due_us)
{
    const int64_t base_us = due_us - w->wall_us - i->t.period_us;

    if (!periodic(i) ? due_us != 0 : base_us < i->t.base_lo || base_us > i->t.base_hi)
        fleet_breaks(w, i, "the journal says another time than the one it was due at");
}

static void
journal(struct fleet *w, const struct core_effect *e)
{
    const char *what = e->u.journal.what;
    struct id *i = e->u.journal.id == NULL ? NULL : truth_id(w, e->u.journal.id);
    const uint8_t *run = e->u.journal.run;
    const bool failed = strcmp(what, "failed") == 0, permit = strcmp(what, "permit") == 0;
    const bool adopted = strcmp(what, "adopted") == 0, lost = strcmp(what, "lost") == 0;
    const bool done = failed || strcmp(what, "done") == 0 || strcmp(what, "stopped") == 0;

    tell_journal(w, i, e);
    w->fig->failed += failed;
    if (i == NULL)
        return;
    if ((permit || adopted || done || lost) && run == NULL) {
        fleet_breaks(w, i, "the journal does not say which run");
        return;
    }
    if (permit || strcmp(what, "hold") == 0 || strcmp(what, "skipped") == 0)
        check_due(w, i, e->u.journal.due_us);
    if (permit)
        on_permit(w, i, run);
    if (adopted)
        on_adopted(w, i, run);
    if (permit || adopted)
        begins(w, i, run);
    if (done)
        on_done(w, i, run);
    if (lost)
        on_lost(w, i, run);
    if (strcmp(what, "hold") == 0)
        on_hold(w, i, e->u.journal.reasons);
    if (strcmp(what, "skipped") == 0)
        truth_skipped(w, i);
}

/* Who is silent, or says bye, has lost its run at once; else it has three pings to come back with it. */
static void
forgotten(struct fleet *w, struct id *i, const char *why)
{
    const bool lost = strcmp(why, "silent") == 0 || strcmp(why, "bye") == 0;

    i->lose_by = w->now + (lost ? 0 : MISSED * w->size.ping_us);
}

void
rules_effect(struct fleet *w, const struct core_effect *e)
{
    struct id *i;

    if (e->kind == CORE_JOURNAL)
        journal(w, e);
    if (e->kind != CORE_FORGET)
        return;
    i = &w->ids[(uint32_t)e->u.forget.conn / 4];
    if (i->conn == e->u.forget.conn) {
        forgotten(w, i, e->u.forget.why);
        i->conn = 0;
        i->t.asking = false;
        i->answer_by = NEVER;
    }
}

/* --- messages --- */

static void
sent_hold(struct fleet *w, struct id *i, const struct wire_msg *m)
{
    const struct truth *t = &i->t;
    const int64_t next = w->now + (WIRE_HAS(m, WIRE_F_NEXT_MS) ? (int64_t)m->next_ms * 1000 : 0);
    /* Within the jitter after a start either may be so; and Run & Terminate is told what its one look found. */
    const bool early = periodic(i) && !t->run_now && w->now < t->base_lo + t->period_us;
    const bool due = !periodic(i) || t->run_now || w->now >= t->base_hi + t->period_us;

    if (WIRE_HAS(m, WIRE_F_RUN)) {
        if (!i->disk.is || !i->disk.t.ended_known || !same(i->disk.t.ended, m->run))
            fleet_breaks(w, i, "an end was said to be recorded that is not on disk");
        i->answered = i->disk.t.ends;
        return;
    }
    if (!t->asking)
        return; /* a hold on credit */
    i->answer_by = NEVER;
    if (t->kind == WIRE_S_TERMINATE + 1 ? m->reasons == 0 : due && m->reasons != truth_reasons(w, i))
        fleet_breaks(w, i, "a connector is told other reasons than hold it");
    if (early && t->resume == WIRE_RESUME_DRAIN && m->reasons != 0)
        fleet_breaks(w, i, "a connector whose time has not come is told of reasons");
    if (early && !WIRE_HAS(m, WIRE_F_NEXT_MS))
        fleet_breaks(w, i, "a connector is not told its next time");
    if (WIRE_HAS(m, WIRE_F_NEXT_MS) &&
        (next < t->base_lo + t->period_us || next >= t->base_hi + t->period_us + 1000))
        fleet_breaks(w, i, "a connector is told another time than its next");
    if (t->kind == WIRE_S_TERMINATE + 1)
        i->t.asking = false;
}

static void
sent_welcome(struct fleet *w, struct id *i, uint64_t conn, const struct wire_msg *m)
{
    const struct wire_msg *hello = w->incoming == NULL ? m : &w->incoming->msg;

    if (m->epoch > i->t.epoch && (i->t.epoch != 0 || hello->fresh) && i->t.running)
        fleet_breaks(w, i, "another program came, and the run of the one before goes on");
    i->lose_by = i->named_at == w->now ? NEVER : w->now + MISSED * w->size.ping_us;
    i->conn = conn;
    i->t.epoch = m->epoch;
    i->heard_at = w->now;
}

static void
sent_permit(struct fleet *w, struct id *i, uint64_t conn, const struct wire_msg *m)
{
    struct id *same_id;
    const struct program *p = fleet_program(w, conn, &same_id);

    if (!i->t.running || !same(i->t.run, m->run))
        fleet_breaks(w, i, "a permit for a run that is not the current one");
    if (p != NULL && i->t.birth != 0 && p->birth != i->t.birth)
        fleet_breaks(w, i, "a run is given to another program than the one that has it");
}

void
rules_sent(struct fleet *w, struct id *i, uint64_t conn, const struct wire_msg *m)
{
    switch (m->type) {
    case WIRE_WELCOME:
        sent_welcome(w, i, conn, m);
        break;
    case WIRE_PERMIT:
        sent_permit(w, i, conn, m);
        i->answer_by = i->lose_by = NEVER;
        i->named_at = w->now;
        break;
    case WIRE_HOLD:
        if (conn == i->conn)
            sent_hold(w, i, m);
        break;
    case WIRE_STOP:
        if (m->reason == WIRE_R_SUPERSEDED && !(i->t.running && w->incoming != NULL &&
                                                !same(w->incoming->msg.run, i->t.run)))
            fleet_breaks(w, i, "a run is said to be superseded that is not");
        break;
    default:
        break;
    }
}

/* --- a pass over all --- */

static void
look_at(struct fleet *w, struct id *i)
{
    if (i->answer_by < w->now)
        fleet_breaks(w, i, "a ready was not answered");
    if (i->t.asking && i->t.kind != WIRE_S_TERMINATE + 1 && w->now - SLACK_US > permit_at(w, i))
        fleet_breaks(w, i, "nothing holds it, its time has come, and it is not permitted");
    if (i->t.asking && i->t.resume == WIRE_RESUME_SCHEDULE && !i->t.run_now &&
        w->now - SLACK_US > later(later(i->asked_at, i->learnt_at), due_at(i)))
        fleet_breaks(w, i, "it resumes by its schedule, and was held for longer than its time came");
    if (i->row_by < w->now && !i->row_out)
        fleet_breaks(w, i, "what has changed was not stored");
    if (i->t.running && w->now - SLACK_US > i->lose_by)
        fleet_breaks(w, i, "a run was not given up in time");
    if (i->t.running && w->now - i->named_at > 3 * MISSED * w->size.ping_us + NET_US)
        fleet_breaks(w, i, "a run goes on that nobody has any more");
}

void
rules_all(struct fleet *w)
{
    const char *wrong = w->core == NULL || w->broken != NULL ? NULL : core_check(w->core);

    if (wrong != NULL)
        fleet_breaks(w, NULL, wrong);
    for (uint32_t n = 0; n < w->size.connectors && w->core != NULL && w->broken == NULL; n++)
        look_at(w, &w->ids[n]);
}

/* --- the end --- */

/* Faults stopped long ago: what is on its way now began a moment ago. */
static void
settled(struct fleet *w, struct id *i, const struct program *p)
{
    const bool moving = w->now - p->changed_at < NET_US || (i->t.running && w->now - i->named_at < NET_US);

    if (moving)
        return;
    if (!p->up)
        fleet_breaks(w, i, "at the end a program is not welcomed");
    else if (p->running && !p->ended && !(i->t.running && same(i->t.run, p->run)))
        fleet_breaks(w, i, "at the end a program runs what the gateway does not know of");
    else if (p->running && p->ended)
        fleet_breaks(w, i, "at the end a program waits for the answer to its end");
    else if (!p->running && i->kind != 0 && !i->t.asking)
        fleet_breaks(w, i, "at the end a program asks, and the gateway does not know");
}

void
rules_end(struct fleet *w)
{
    for (uint32_t n = 0; n < w->size.connectors && w->broken == NULL; n++) {
        struct id *i = &w->ids[n];

        if (i->programs[0].alive && i->programs[1].alive)
            fleet_breaks(w, i, "at the end there are two programs of one id");
        for (int k = 0; k < 2; k++)
            if (i->programs[k].alive)
                settled(w, i, &i->programs[k]);
        if (i->kind != 0 && i->kind != WIRE_S_TERMINATE + 1 && !i->programs[0].alive && !i->programs[1].alive)
            fleet_breaks(w, i, "at the end nobody is there: the world is wrong, not the gateway");
    }
}
