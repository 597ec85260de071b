/* fleet_program.c - a connector's program as docs/protocol.md wants it, and as small as can be: it pushes nothing. */
#include <string.h>

#include "fleet_parts.h"

enum { HELLO_WAIT_US = 1000000, HELLO_WAIT_MOST_US = 10000000, REFUSALS_MAX = 4 };

static bool
same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, WIRE_RUN_LEN) == 0;
}

static void
put_run(struct wire_msg *m, const uint8_t *run)
{
    memcpy(m->run, run, WIRE_RUN_LEN);
    m->has |= 1ULL << WIRE_F_RUN;
}

static void
say(struct fleet *w, struct id *i, struct program *p, const struct wire_msg *m)
{
    fleet_send(w, i, p, fleet_conn(w, p, i), m, true);
}

static struct wire_msg
with_want(const struct id *i, enum wire_type type)
{
    return (struct wire_msg){.type = type, .has = 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD, .want = i->want,
                             .head = i->want};
}

static void
plan(struct fleet *w, struct id *i, struct program *p)
{
    int64_t next = p->run_at;

    if (!p->alive)
        return;
    if (p->hello_at < next)
        next = p->hello_at;
    if (p->ping_at < next)
        next = p->ping_at;
    if (p->ask_at < next)
        next = p->ask_at;
    if (next >= p->tick_at)
        return;
    p->tick_at = next > w->now ? next : w->now + 1;
    fleet_at(w, p->tick_at, EV_TICK, fleet_conn(w, p, i) & UINT32_MAX, p->birth);
}

static int64_t
run_time(struct id *i)
{
    return chance_log(&i->c, i->run_us / 8, i->run_us);
}

/* --- saying --- */

static void
hello(struct fleet *w, struct id *i, struct program *p)
{
    struct wire_msg m = with_want(i, WIRE_HELLO);

    m.has |= 1ULL << WIRE_F_V | 1ULL << WIRE_F_ID | 1ULL << WIRE_F_EPOCH | 1ULL << WIRE_F_ATTEMPT |
             1ULL << WIRE_F_FRESH | 1ULL << WIRE_F_SEEN;
    m.v = WIRE_VERSION;
    m.id = (struct wire_text){i->name, (uint32_t)strlen(i->name)};
    m.epoch = p->epoch;
    m.attempt = ++p->attempt;
    m.fresh = p->fresh;
    if (p->running)
        put_run(&m, p->run);
    p->hello_at = w->now + p->hello_wait;
    p->hello_wait = p->hello_wait * 2 < HELLO_WAIT_MOST_US ? p->hello_wait * 2 : HELLO_WAIT_MOST_US;
    say(w, i, p, &m);
}

static void
hello_again(struct fleet *w, struct id *i, struct program *p, int64_t in_us)
{
    p->up = p->asked = false;
    p->changed_at = w->now;
    p->hello_wait = HELLO_WAIT_US;
    p->ping_at = p->ask_at = NEVER;
    p->unanswered = p->strays = 0;
    p->hello_at = w->now + in_us;
    if (in_us == 0)
        hello(w, i, p);
}

void
program_ready(struct fleet *w, struct id *i, struct program *p)
{
    struct wire_msg m = with_want(i, WIRE_READY);

    if (i->kind == 0 || !p->up || p->running)
        return;
    m.schedule = (enum wire_schedule)(i->kind - 1);
    m.has |= 1ULL << WIRE_F_SCHEDULE;
    if (m.schedule == WIRE_S_PERIOD) {
        m.period_ms = (uint64_t)i->period_ms;
        m.first_run = (enum wire_first)i->first;
        m.resume = (enum wire_resume)i->resume;
        m.has |= 1ULL << WIRE_F_PERIOD_MS;
        /* What is as if absent may be absent. */
        m.has |= i->first != 0 || chance_is(&i->c, 0.5) ? 1ULL << WIRE_F_FIRST_RUN : 0;
        m.has |= i->resume != 0 || chance_is(&i->c, 0.5) ? 1ULL << WIRE_F_RESUME : 0;
    }
    p->asked = true;
    p->changed_at = w->now;
    say(w, i, p, &m);
}

/* The end of its run: by itself, or with a state in one. */
static void
done(struct fleet *w, struct id *i, struct program *p)
{
    struct wire_msg m = {.type = WIRE_DONE, .has = 1ULL << WIRE_F_OUTCOME, .outcome = p->outcome};

    if (i->cursor && !p->plain) {
        m.type = WIRE_STATE;
        m.op = WIRE_OP_SET;
        m.has |= 1ULL << WIRE_F_OP | 1ULL << WIRE_F_VERSION | 1ULL << WIRE_F_SIZE | 1ULL << WIRE_F_OFF;
    }
    put_run(&m, p->run);
    if (p->up)
        say(w, i, p, &m);
}

static void
ping(struct fleet *w, struct id *i, struct program *p)
{
    struct wire_msg m = with_want(i, WIRE_PING);

    m.has |= 1ULL << WIRE_F_SEEN;
    if (p->running)
        put_run(&m, p->run);
    p->unanswered++;
    p->ping_at = w->now + w->size.ping_us;
    say(w, i, p, &m);
    /* A word of an end that is recorded already, come late: it is not the end of this run. */
    if (p->running && !p->ended && w->drop_rate == 0 && chance_is(&i->c, 0.02)) {
        p->strays++;
        m = (struct wire_msg){.type = WIRE_DONE, .has = 1ULL << WIRE_F_OUTCOME};
        put_run(&m, p->last);
        say(w, i, p, &m);
    }
}

void
program_bye(struct fleet *w, struct id *i, struct program *p)
{
    const struct wire_msg m = {.type = WIRE_BYE};

    if (p->up)
        say(w, i, p, &m);
    program_end(w, i, p);
}

/* --- beginning and ending --- */

void
program_start(struct fleet *w, struct id *i, struct program *p)
{
    struct program before = *p;

    *p = (struct program){.alive = true, .fresh = true, .use = before.use + 1, .birth = ++i->births, .run_at = NEVER,
                          .ping_at = NEVER, .ask_at = NEVER, .tick_at = NEVER, .heard_at = w->now};
    p->out_at = before.out_at;
    p->in_at = before.in_at;
    p->lost_use = before.lost_use;
    memcpy(p->last, before.last, sizeof(p->last));
    /* Now and then the clock of a new program is behind. */
    p->epoch = ++w->next_epoch * 1024 / (chance_is(&i->c, 0.03) ? 2 : 1) + (uint64_t)chance_below(&i->c, 1024) + 1;
    if (i->remembers && before.running) {
        p->running = true;
        p->ended = before.ended;
        p->outcome = before.outcome;
        memcpy(p->run, before.run, sizeof(p->run));
        p->run_at = p->ended ? NEVER : w->now + run_time(i);
    }
    hello_again(w, i, p, 0);
    plan(w, i, p);
}

void
program_end(struct fleet *w, struct id *i, struct program *p)
{
    (void)w;
    (void)i;
    p->alive = p->up = false;
    p->use++;
}

/* A new connection.  The library reconnects by itself: whether the program knows is another matter. */
void
program_reconnect(struct fleet *w, struct id *i, struct program *p, bool knows)
{
    p->use++;
    p->hole = false;
    p->heard_at = w->now;
    if (knows)
        hello_again(w, i, p, 0);
    plan(w, i, p);
}

static void
exit_for_now(struct fleet *w, struct id *i, struct program *p)
{
    program_end(w, i, p);
    w->fig->exits++;
    fleet_at(w, w->now + 1000 + chance_below(&i->c, i->gap_us), EV_START, (uint64_t)(i - w->ids), 0);
}

/* --- being told --- */

static void
welcomed(struct fleet *w, struct id *i, struct program *p, const struct wire_msg *m)
{
    if (m->epoch != p->epoch || m->attempt != p->attempt || p->up)
        return;
    p->up = true;
    p->changed_at = w->now;
    p->fresh = false;
    p->hello_at = NEVER;
    p->ping_at = w->now + w->size.ping_us;
    p->unanswered = 0;
    if (p->running && p->ended) {
        p->plain = chance_is(&i->c, 0.5); /* whether its state arrived is another exchange, which is left out here */
        done(w, i, p);
    } else if (i->slow) {
        p->ask_at = p->changed_at = w->now + chance_below(&i->c, w->size.ping_us);
    } else {
        program_ready(w, i, p);
    }
}

static void
permitted(struct fleet *w, struct id *i, struct program *p, const struct wire_msg *m)
{
    if (!p->up && !i->early)
        return;
    if (p->running && !same(p->run, m->run))
        fleet_breaks(w, i, "a program that has a run was given another");
    if (!p->running && same(p->last, m->run))
        fleet_breaks(w, i, "a run was permitted again whose end was said to be recorded");
    if (p->running)
        return;
    p->running = true;
    p->ended = p->plain = false;
    p->changed_at = w->now;
    memcpy(p->run, m->run, sizeof(p->run));
    p->run_at = w->now + run_time(i);
    i->ran = true;
    i->ran_birth = p->birth;
}

static void
held(struct fleet *w, struct id *i, struct program *p, const struct wire_msg *m)
{
    if (WIRE_HAS(m, WIRE_F_RUN)) {
        if (p->strays > 0 && same(p->last, m->run))
            p->strays--;
        if (!p->running || !p->ended || !same(p->run, m->run))
            return;
        p->running = p->ended = false;
        memcpy(p->last, m->run, sizeof(p->last));
        if (i->kind == WIRE_S_TERMINATE + 1)
            exit_for_now(w, i, p);
        else
            program_ready(w, i, p);
    } else if (i->kind == WIRE_S_TERMINATE + 1 && p->asked && !p->running) {
        exit_for_now(w, i, p);
    }
}

static void
drop_run(struct fleet *w, struct id *i, struct program *p)
{
    p->running = p->ended = false;
    p->run_at = NEVER;
    program_ready(w, i, p);
}

static void
stopped(struct fleet *w, struct id *i, struct program *p, const struct wire_msg *m)
{
    if (m->reason == WIRE_R_SHUTDOWN) {
        p->use++;
        p->hole = false;
        hello_again(w, i, p, HELLO_WAIT_US);
    } else if (m->reason == WIRE_R_SUPERSEDED) {
        w->fig->superseded++;
        if (!i->stubborn && p->running)
            drop_run(w, i, p);
    } else {
        w->fig->replaced++;
        if (i->stubborn && ++p->refusals < REFUSALS_MAX)
            hello_again(w, i, p, HELLO_WAIT_MOST_US);
        else
            program_end(w, i, p);
    }
}

static void
erred(struct fleet *w, struct id *i, struct program *p, const struct wire_msg *m)
{
    switch (m->code) {
    case WIRE_R_HELLO_FIRST:
        if (p->up)
            hello_again(w, i, p, 0);
        break;
    case WIRE_R_EPOCH:
        if (!p->up && m->epoch >= p->epoch) {
            p->epoch = m->epoch + 1 + (uint64_t)chance_below(&i->c, 1024);
            hello_again(w, i, p, 0);
        }
        break;
    case WIRE_R_NO_RUN:
        if (p->strays > 0)
            p->strays--;
        else if (p->running && p->ended)
            drop_run(w, i, p);
        break;
    case WIRE_R_BUSY:
        p->plain = true; /* its state could not be stored: then without */
        if (p->running && p->ended)
            done(w, i, p);
        break;
    default:
        fleet_breaks(w, i, "a program that keeps to the rules was told of a mistake");
        break;
    }
}

void
program_receive(struct fleet *w, struct id *i, struct program *p, const struct wire_msg *m)
{
    p->heard_at = w->now;
    switch (m->type) {
    case WIRE_WELCOME:
        welcomed(w, i, p, m);
        break;
    case WIRE_PERMIT:
        permitted(w, i, p, m);
        break;
    case WIRE_HOLD:
        held(w, i, p, m);
        break;
    case WIRE_STOP:
        stopped(w, i, p, m);
        break;
    case WIRE_ERROR:
        erred(w, i, p, m);
        break;
    case WIRE_PONG:
        p->unanswered = 0;
        break;
    default:
        break; /* credit, which nobody here uses */
    }
    plan(w, i, p);
}

/* --- the time passes --- */

void
program_tick(struct fleet *w, struct id *i, struct program *p)
{
    p->tick_at = NEVER;
    if (p->run_at <= w->now) {
        p->run_at = NEVER;
        p->ended = true;
        p->changed_at = w->now;
        p->outcome = chance_is(&i->c, 0.8) ? WIRE_OUT_OK : chance_is(&i->c, 0.7) ? WIRE_OUT_FAILED : WIRE_OUT_STOP;
        done(w, i, p);
    }
    if (w->now - p->heard_at >= (MISSED + 1) * w->size.ping_us) {
        program_reconnect(w, i, p, true);
        return;
    }
    if (p->hello_at <= w->now)
        hello(w, i, p);
    if (p->ask_at <= w->now) {
        p->ask_at = NEVER;
        program_ready(w, i, p);
    }
    if (p->ping_at <= w->now) {
        if (p->unanswered >= MISSED) {
            program_reconnect(w, i, p, true);
            return;
        }
        ping(w, i, p);
    }
    plan(w, i, p);
}
