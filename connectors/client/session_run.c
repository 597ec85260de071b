/* session_run.c - a schedule, and the run that it permits: asked for, under way, ended.
 *
 * A run is the program's word against the gateway's, and messages get lost: so hello and ping name it until its end is
 * recorded, its end is told until it is answered, and where the two disagree the gateway says what holds. */
#include "session_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(f) (UINT64_C(1) << (f))

void
session_run_free(struct run_part *r)
{
    free(r->text);
    r->text = NULL;
}

static void
now_is(struct run_part *r, enum session_run_step step)
{
    r->run.step = step;
    r->run.changes++;
    r->done_due = false;
    r->ready_due = step == SESSION_RUN_NONE && r->asked;
    if (step == SESSION_RUN_NONE)
        session_run_free(r);
}

/* Named until its end is recorded: a gateway that was started again must not take it for lost meanwhile. */
static bool
named(const struct run_part *r)
{
    return r->run.step == SESSION_RUN_UNDER_WAY || r->run.step == SESSION_RUN_ENDING;
}

static bool
same(const struct run_part *r, const uint8_t run[WIRE_RUN_LEN])
{
    return memcmp(r->run.id, run, WIRE_RUN_LEN) == 0;
}

/* --- from the program --- */

void
session_ready(struct session *s, const struct session_schedule *schedule)
{
    struct run_part *r = &s->run;

    r->schedule = *schedule;
    r->asked = true;
    r->ready_due = r->run.step == SESSION_RUN_NONE;
    r->ready_said = false;
    r->run.ask = schedule->ask;
    r->run.answered = r->run.refused = false;
    r->run.reasons = 0;
    r->run.next_us = -1;
}

void
session_unready(struct session *s)
{
    s->run.asked = s->run.ready_due = false;
}

void
session_done(struct session *s, const uint8_t run[WIRE_RUN_LEN], enum wire_outcome outcome, const char *text)
{
    struct run_part *r = &s->run;

    if (r->run.step == SESSION_RUN_NONE || !same(r, run))
        return;
    if (r->run.step == SESSION_RUN_OVER) {
        now_is(r, SESSION_RUN_NONE);
    } else if (r->run.step == SESSION_RUN_UNDER_WAY) {
        now_is(r, SESSION_RUN_ENDING);
        r->done_due = true;
        r->done_after = s->pushed;
        r->outcome = outcome;
        session_run_free(r);
        r->text = text == NULL || text[0] == '\0' ? NULL : strdup(text); /* without memory the outcome has to do */
    }
}

bool
session_run_is(const struct session *s, const uint8_t run[WIRE_RUN_LEN])
{
    return s->run.run.step == SESSION_RUN_UNDER_WAY && same(&s->run, run);
}

/* A set of the state that was to end the run has its answer; looked: by reading the state, as after a lost answer. */
void
session_run_settled(struct session *s, const struct session_state *result, bool looked)
{
    struct run_part *r = &s->run;

    if (!same(r, s->state.commit.run))
        return; /* that one is over, and this is another */
    r->with_state = false;
    if (result->code == ERR_NONE && r->run.step == SESSION_RUN_UNDER_WAY) {
        now_is(r, SESSION_RUN_ENDING);
        r->done_due = looked; /* else the hold is on its way */
        r->done_after = 0;
        r->outcome = s->state.commit.outcome;
        session_run_free(r);
    } else if (result->why == WIRE_R_NO_RUN && named(r)) {
        /* A program that gave up waiting may already have said done. */
        now_is(r, r->run.step == SESSION_RUN_ENDING ? SESSION_RUN_NONE : SESSION_RUN_OVER);
    }
}

/* --- what is sent --- */

void
session_run_welcomed(struct session *s)
{
    struct run_part *r = &s->run;

    r->ready_said = false;
    r->ready_due = r->asked && r->run.step == SESSION_RUN_NONE;
    r->done_due = r->run.step == SESSION_RUN_ENDING;
}

void
session_run_name(const struct session *s, struct wire_msg *msg)
{
    if (!named(&s->run))
        return;
    msg->has |= BIT(WIRE_F_RUN);
    memcpy(msg->run, s->run.run.id, sizeof(msg->run));
}

/* What has no answer since the last ping is said again: the gateway drops answers to a slow reader. */
void
session_run_pinged(struct session *s)
{
    struct run_part *r = &s->run;

    if (r->run.step == SESSION_RUN_ENDING)
        r->done_due = true;
    if (r->ready_said && !r->run.answered)
        r->ready_due = r->asked && r->run.step == SESSION_RUN_NONE;
}

static void
ready_output(struct session *s, struct wire_msg *m)
{
    struct run_part *r = &s->run;
    const struct session_schedule *sch = &r->schedule;

    m->type = WIRE_READY;
    m->has = BIT(WIRE_F_SCHEDULE);
    m->schedule = sch->kind;
    if (sch->has_threshold) {
        m->has |= BIT(WIRE_F_THRESHOLD);
        m->threshold = sch->threshold;
    }
    if (sch->kind == WIRE_S_PERIOD) {
        m->has |= BIT(WIRE_F_PERIOD_MS) | BIT(WIRE_F_FIRST_RUN) | BIT(WIRE_F_RESUME);
        m->period_ms = sch->period_ms;
        m->first_run = sch->first;
        m->resume = sch->resume;
    }
    session_tell(s, m);
    r->ready_due = false;
    r->ready_said = true;
}

static void
done_output(struct session *s, struct wire_msg *m)
{
    struct run_part *r = &s->run;

    m->type = WIRE_DONE;
    m->has = BIT(WIRE_F_RUN) | BIT(WIRE_F_OUTCOME);
    memcpy(m->run, r->run.id, sizeof(m->run));
    m->outcome = r->outcome;
    if (r->text != NULL) {
        m->has |= BIT(WIRE_F_TEXT);
        m->text = (struct wire_text){.at = r->text, .len = (uint32_t)strlen(r->text)};
    }
    r->done_due = false;
}

bool
session_run_output(struct session *s, struct session_output *ret)
{
    struct run_part *r = &s->run;

    if (r->done_due && !r->with_state && s->seen >= r->done_after)
        done_output(s, &ret->msg);
    else if (r->ready_due)
        ready_output(s, &ret->msg);
    else
        return false;
    ret->bundle = NULL;
    ret->state = NULL;
    ret->off = 0;
    ret->len = 0;
    return true;
}

/* --- from the gateway --- */

void
session_run_permit(struct session *s, const struct wire_msg *msg)
{
    struct run_part *r = &s->run;

    if (s->phase != SESSION_WELCOMED)
        return; /* of a connection before: its ready is not standing any more */
    if (named(r)) {
        s->ping_now |= !same(r, msg->run); /* it has another in mind: it answers to what the ping names */
        return;
    }
    if (!r->asked || r->run.step == SESSION_RUN_OVER)
        return; /* nobody waits for it now; the next ready brings it again */
    memcpy(r->run.id, msg->run, sizeof(r->run.id));
    r->run.permits++;
    r->run.answered = true;
    r->run.reasons = 0;
    r->run.next_us = -1;
    r->with_state = false;
    now_is(r, SESSION_RUN_UNDER_WAY);
    session_say(s, WIRE_LV_INFO, "the gateway permits a run");
}

static void
recorded(struct session *s)
{
    now_is(&s->run, SESSION_RUN_NONE);
    s->run.ready_said = false;
}

void
session_run_hold(struct session *s, const struct wire_msg *msg, int64_t now_us)
{
    struct run_part *r = &s->run;

    if (s->phase != SESSION_WELCOMED)
        return;
    if (WIRE_HAS(msg, WIRE_F_RUN) && r->run.step == SESSION_RUN_ENDING && same(r, msg->run))
        recorded(s);
    if (!r->asked || r->run.step != SESSION_RUN_NONE)
        return; /* it is about credit alone */
    r->run.reasons = msg->reasons;
    r->run.next_us = WIRE_HAS(msg, WIRE_F_NEXT_MS) ? now_us + (int64_t)msg->next_ms * SESSION_MS : -1;
    r->run.answered |= r->ready_said;
    r->run.changes++;
}

void
session_run_superseded(struct session *s)
{
    struct run_part *r = &s->run;

    if (r->run.step == SESSION_RUN_ENDING)
        recorded(s); /* nothing more will be said of it, and the program is done with it */
    else if (r->run.step == SESSION_RUN_UNDER_WAY)
        now_is(r, SESSION_RUN_OVER);
    session_say(s, WIRE_LV_WARN, "the run is over for the gateway: %s", s->words);
}

static void
refuse_schedule(struct session *s)
{
    struct run_part *r = &s->run;

    r->asked = r->ready_due = false;
    r->run.answered = r->run.refused = true;
    r->run.changes++;
    memcpy(r->words, s->words, sizeof(r->words));
    session_say(s, WIRE_LV_ERROR, "the gateway refuses the schedule: %s", s->words);
}

bool
session_run_error(struct session *s, const struct wire_msg *msg)
{
    struct run_part *r = &s->run;

    if (msg->code == WIRE_R_SCHEDULE) {
        refuse_schedule(s);
        return true;
    }
    /* Of a set of the state that ends a run, perhaps one before this, it is the state's to say. */
    if (msg->code != WIRE_R_NO_RUN || session_state_ends_run(s))
        return false;
    if (r->run.step == SESSION_RUN_ENDING)
        recorded(s);
    session_say(s, WIRE_LV_WARN, "the end of a run was not recorded: %s", s->words);
    return true;
}
