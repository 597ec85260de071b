/* schedules.c - the shell's side of schedules: their rows, the journal, the wall clock, and what operators do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "err.h"
#include "log.h"
#include "loop_parts.h"
#include "mailbox.h"
#include "settings.h"
#include "states.h"
#include "store/journal.h"

enum {
    LINGER_US = 2000,    /* by then an answer of the same turn is on its way */
    WALL_STEP_US = 1000, /* the clocks moved against each other by more than this: the core is told */
    WHAT_MAX = 48
};

/* --- the wall clock --- */

void
schedules_wall(struct loop *l)
{
    const int64_t before = clock_mono_us(), wall = clock_wall_us(), mono = clock_mono_us();
    struct core_event e = {.kind = CORE_WALL};

    if (mono - before > WALL_STEP_US || llabs(wall - mono - l->wall_us) <= WALL_STEP_US)
        return; /* where we were held up in between, the next turn looks again */
    l->wall_us = wall - mono;
    e.u.wall_us = l->now_us + l->wall_us;
    effects_step(l, &e);
}

/* --- what nobody waits for --- */

static void
linger(struct loop *l)
{
    if (l->wake_us == 0)
        l->wake_us = l->now_us + LINGER_US;
}

void
schedules_wake(struct loop *l)
{
    if (l->wake_us == 0 || l->now_us < l->wake_us)
        return;
    l->wake_us = 0;
    state_wake(l->state);
    journal_wake(l->journal);
}

/* --- rows --- */

static void
load_row(void *ctx, const struct state_row *r)
{
    struct core_event e = {.kind = CORE_ROW};
    struct core_row *row = &e.u.row;

    row->id = r->connector;
    row->kind = r->kind;
    row->ran = r->ran;
    row->paused = r->paused;
    row->has_run = r->has_run;
    row->has_ended = r->has_ended;
    memcpy(row->run, r->run, sizeof(row->run));
    row->epoch = r->epoch;
    memcpy(row->ended, r->ended, sizeof(row->ended));
    row->period_us = r->period_us;
    row->last_run_us = r->last_run_us;
    row->next_run_us = r->next_run_us;
    effects_step(ctx, &e);
}

int
schedules_load(struct loop *l, struct err *err)
{
    struct core_event e = {.kind = CORE_WALL};

    l->wall_us = clock_wall_us() - clock_mono_us();
    e.u.wall_us = l->now_us + l->wall_us;
    effects_step(l, &e);
    return state_rows(l->state, load_row, l, err);
}

static void
keep_row(const struct core_row *from, struct state_row *to)
{
    memset(to, 0, sizeof(*to));
    strncpy(to->connector, from->id, sizeof(to->connector) - 1);
    to->kind = from->kind;
    to->ran = from->ran;
    to->paused = from->paused;
    to->has_run = from->has_run;
    to->has_ended = from->has_ended;
    memcpy(to->run, from->run, sizeof(to->run));
    to->epoch = from->epoch;
    memcpy(to->ended, from->ended, sizeof(to->ended));
    to->period_us = from->period_us;
    to->last_run_us = from->last_run_us;
    to->next_run_us = from->next_run_us;
}

void
schedules_row(struct loop *l, const struct core_effect *e)
{
    struct core_event failed = {.kind = CORE_STORED, .u.stored = {e->u.store.ticket, false}};
    struct state_row row;
    struct err err = {0};
    int rc;

    keep_row(&e->u.store.row, &row);
    if (e->u.store.later) {
        linger(l);
        rc = state_row_later(l->state, &row, e->u.store.ticket, &err);
    } else {
        rc = state_row(l->state, &row, e->u.store.ticket, &err);
    }
    if (rc == 0)
        return;
    log_event(l->log, LOG_ERROR, "schedule_not_stored", LOG_STR("connector", row.connector),
              LOG_STR("error", err.text));
    effects_later(l, &failed);
}

void
schedules_go(struct loop *l, const struct core_effect *e)
{
    struct state_row row;

    if (e->u.go.row != NULL)
        keep_row(e->u.go.row, &row);
    states_go(l->states, e->u.go.ticket, e->u.go.stored, e->u.go.row == NULL ? NULL : &row);
}

void
schedules_clear(struct loop *l, const char *id)
{
    l->clear_lost = state_clear(l->state, id, l->clear_ticket, NULL) != 0;
}

static void
stored(struct loop *l, const struct state_answer *a)
{
    const struct core_event e = {.kind = CORE_STORED, .u.stored = {a->ticket, a->kind == STATE_ROW_STORED}};

    effects_step(l, &e);
}

void
schedules_answers(struct loop *l)
{
    void *taken;
    const size_t n = mailbox_take(l->answers, &taken);
    const struct state_answer *a = taken;

    for (size_t i = 0; i < n; i++) {
        if (a[i].kind == STATE_ROW_STORED || a[i].kind == STATE_ROW_FAILED)
            stored(l, &a[i]);
        else if (a[i].kind == STATE_CLEARED || a[i].kind == STATE_CLEAR_FAILED)
            operators_done(l->operators, a[i].ticket, a[i].kind == STATE_CLEARED, a[i].version,
                           a[i].text == NULL ? "the disk failed" : a[i].text);
        else
            states_answer(l->states, &a[i]);
        free(a[i].bytes);
        free(a[i].text);
    }
    l->states_late = states_turn(l->states);
}

/* --- what was decided --- */

/* "queue,memory" */
static const char *
reason_names(uint32_t reasons, char *buf, size_t cap)
{
    size_t n = 0;

    buf[0] = '\0';
    for (uint32_t bit = 1; bit <= WIRE_HOLD_ALL; bit <<= 1)
        if ((reasons & bit) != 0 && n < cap)
            n += (size_t)snprintf(buf + n, cap - n, "%s%s", n == 0 ? "" : ",", wire_hold_name((enum wire_hold)bit));
    return buf;
}

static const char *
run_name(const uint8_t *run, char buf[2 * WIRE_RUN_LEN + 1])
{
    buf[0] = '\0';
    for (size_t i = 0; run != NULL && i < WIRE_RUN_LEN; i++)
        snprintf(buf + 2 * i, 3, "%02x", run[i]);
    return buf;
}

static struct journal_entry
entry(const struct loop *l, const char *connector, const char *what)
{
    return (struct journal_entry){.wall_us = l->now_us + l->wall_us, .connector = connector, .what = what};
}

static void
write_down(struct loop *l, const struct journal_entry *line)
{
    char what[WHAT_MAX], reasons[160], run[2 * WIRE_RUN_LEN + 1];

    linger(l);
    journal_write(l->journal, line);
    snprintf(what, sizeof(what), "schedule_%s", line->what);
    /* A gate before a queue that is drained opens and closes each second: the journal has it. */
    log_event(l->log, strncmp(line->what, "gate_", 5) == 0 ? LOG_DEBUG : LOG_INFO, what,
              LOG_STR("connector", line->connector), LOG_STR("run", run_name(line->run, run)),
              LOG_STR("reasons", reason_names(line->reasons, reasons, sizeof(reasons))),
              LOG_TEXT("text", line->text, line->text_len));
}

void
schedules_notes(struct loop *l)
{
    for (size_t i = 0; i < l->n_notes; i++) {
        const struct note *n = &l->notes[i];
        struct journal_entry line = entry(l, n->connector, n->what);

        line.reasons = n->reasons;
        line.due_us = n->due_us;
        line.inputs = n->has_inputs ? &n->inputs : NULL;
        line.run = n->has_run ? n->run : NULL;
        write_down(l, &line);
    }
    l->n_notes = 0;
}

/* A text is lent for this call only, so it cannot wait, and neither can what came before it. */
void
schedules_journal(struct loop *l, const struct core_effect *e)
{
    struct journal_entry line = entry(l, e->u.journal.id, e->u.journal.what);
    struct note *n;

    if (l->n_notes == NOTES_MAX || e->u.journal.text != NULL)
        schedules_notes(l);
    if (e->u.journal.text != NULL) {
        line.reasons = e->u.journal.reasons;
        line.due_us = e->u.journal.due_us;
        line.run = e->u.journal.run;
        line.text = e->u.journal.text;
        line.text_len = e->u.journal.text_len;
        write_down(l, &line);
        return;
    }
    n = &l->notes[l->n_notes++];
    *n = (struct note){.connector = e->u.journal.id,
                       .what = e->u.journal.what,
                       .reasons = e->u.journal.reasons,
                       .due_us = e->u.journal.due_us,
                       .has_run = e->u.journal.run != NULL,
                       .has_inputs = e->u.journal.inputs != NULL};
    if (n->has_inputs)
        n->inputs = *e->u.journal.inputs;
    if (e->u.journal.run != NULL)
        memcpy(n->run, e->u.journal.run, sizeof(n->run));
}

/* --- operators --- */

/* Who did it is written down before what follows from it. */
static void
note_action(struct loop *l, const struct operators_act *a)
{
    struct journal_entry line = entry(l, a->connector, "operator");
    char text[96];

    snprintf(text, sizeof(text), "%s, by user %u, process %d", a->name, (unsigned)a->uid, (int)a->pid);
    line.text = text;
    line.text_len = strlen(text);
    linger(l);
    journal_write(l->journal, &line);
    log_event(l->log, LOG_INFO, "operator", LOG_STR("do", a->name), LOG_STR("connector", a->connector),
              LOG_INT("uid", a->uid), LOG_INT("pid", a->pid));
}

static const char *
act(void *ctx, const struct operators_act *a)
{
    struct loop *l = ctx;
    const struct core_event e = {.kind = CORE_OPERATOR, .u.operator = {a->connector, a->action}};

    if (l->stop_us != 0 && a->action == CORE_DRAIN_OFF)
        return "the gateway is stopping: start it again";
    note_action(l, a);
    if (a->what != OPERATORS_ACT)
        return letters_act(l, a);
    l->clear_ticket = a->ticket;
    l->clear_lost = false;
    effects_step(l, &e);
    return l->clear_lost ? "the gateway has no memory for this now: try again" : NULL;
}

static size_t
warnings(void *ctx, const char *ret[OPERATORS_WARNINGS])
{
    return measures_warnings(ctx, ret);
}

int
schedules_open_operators(struct loop *l, struct err *err)
{
    const struct operators_hands hands = {act, warnings, l->dead, l};

    l->operators = operators_open(l->settings->operators.socket, l->core, &hands, l->log, err);
    return l->operators == NULL ? -1 : 0;
}
