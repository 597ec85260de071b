/* fleet_acts.c - what befalls a fleet, act by act, and the calm at the end. */
#include "fleet_parts.h"

static struct program *
newest(struct id *i)
{
    struct program *a = &i->programs[0], *b = &i->programs[1];

    if (a->alive != b->alive)
        return a->alive ? a : b;
    return a->birth > b->birth ? a : b;
}

void
fleet_start(struct fleet *w, struct id *i)
{
    struct program *p = &i->programs[i->programs[0].birth == i->births ? 0 : 1];

    if (!p->alive)
        program_start(w, i, p);
}

static void
befall_program(struct fleet *w, const struct act *a)
{
    struct id *i = &w->ids[a->who];
    struct program *p = newest(i);
    const uint64_t conn = fleet_conn(w, p, i);

    if (!p->alive)
        return;
    switch (a->kind) {
    case ACT_CUT:
        w->fig->cuts++;
        program_reconnect(w, i, p, false);
        if (a->arg & 1)
            fleet_at(w, w->now + chance_below(&i->c, SECOND), EV_GONE, conn, w->generation);
        if (a->arg & 2)
            p->lost_use = p->use;
        break;
    case ACT_HOLE:
        w->fig->cuts++;
        p->hole = true;
        break;
    case ACT_CRASH:
    case ACT_LEAVE:
        w->fig->crashes++;
        if (a->kind == ACT_LEAVE)
            program_bye(w, i, p);
        else
            program_end(w, i, p);
        fleet_at(w, w->now + a->arg, EV_START, a->who, 0);
        break;
    case ACT_RIVAL:
        p = p == &i->programs[0] ? &i->programs[1] : &i->programs[0];
        program_start(w, i, p);
        break;
    default:
        if (i->kind == WIRE_S_PERIOD + 1)
            i->period_ms = a->arg;
        program_ready(w, i, p);
        break;
    }
}

void
fleet_tell(struct fleet *w, struct core_event e)
{
    if (w->core != NULL)
        gateway_step(w, &e);
}

static void
tell_hold(struct fleet *w, struct id *i, uint32_t reasons)
{
    if (i == NULL)
        w->reasons = reasons;
    else
        i->reasons = reasons;
    fleet_tell(w, (struct core_event){.kind = CORE_HOLD, .u.hold = {i == NULL ? NULL : i->name, reasons}});
}

static void
publisher(struct fleet *w, uint32_t n, enum act_kind kind)
{
    static const enum core_event_kind says[ACT_KINDS] = {
        [ACT_DOWN] = CORE_DOWN, [ACT_UP] = CORE_UP, [ACT_BLOCKED] = CORE_BLOCKED, [ACT_UNBLOCKED] = CORE_UNBLOCKED};

    if (w->pubs[n].up == (kind == ACT_UP))
        return;
    if (kind == ACT_UP || kind == ACT_DOWN)
        w->pubs[n].up = kind == ACT_UP;
    w->pubs[n].session += kind == ACT_UP;
    w->pubs[n].blocked = kind == ACT_BLOCKED;
    fleet_tell(w, (struct core_event){.kind = says[kind], .u.broker = {n, w->pubs[n].session}});
}

static void
act_operator(struct fleet *w, struct id *i, enum core_action action)
{
    fleet_tell(w, (struct core_event){.kind = CORE_OPERATOR, .u.operator = {i == NULL ? NULL : i->name, action}});
}

static void
befall_gateway(struct fleet *w, const struct act *a)
{
    if (w->core == NULL)
        return;
    gateway_crash(w, a->kind == ACT_STOP);
    fleet_at(w, w->now + a->arg, EV_GATEWAY_UP, 0, 0);
}

static void
cut_power(struct fleet *w, const struct act *a)
{
    w->fig->power_cuts++;
    befall_gateway(w, a);
    for (uint32_t n = 0; n < w->size.connectors; n++) {
        struct id *i = &w->ids[n];

        for (int k = 0; k < 2; k++)
            if (i->programs[k].alive)
                program_end(w, i, &i->programs[k]);
        fleet_at(w, w->now + a->arg + chance_below(&i->c, START_US), EV_START, n, 0);
    }
}

void
fleet_befall(struct fleet *w, const struct act *a)
{
    struct id *i = &w->ids[a->who % w->size.connectors];

    switch (a->kind) {
    case ACT_GATEWAY:
    case ACT_STOP:
        befall_gateway(w, a);
        break;
    case ACT_POWER:
        cut_power(w, a);
        break;
    case ACT_HOLD_ALL:
    case ACT_HOLD_ONE:
        tell_hold(w, a->kind == ACT_HOLD_ALL ? NULL : i, (uint32_t)a->arg);
        break;
    case ACT_DOWN:
    case ACT_UP:
    case ACT_BLOCKED:
    case ACT_UNBLOCKED:
        publisher(w, a->who, a->kind);
        break;
    case ACT_PAUSE:
    case ACT_RESUME:
        act_operator(w, i, a->kind == ACT_PAUSE ? CORE_PAUSE : CORE_RESUME);
        break;
    case ACT_RUN_NOW:
    case ACT_RESET:
        act_operator(w, i, a->kind == ACT_RESET ? CORE_RESET_STATE : CORE_RUN_NOW);
        break;
    case ACT_DRAIN:
    case ACT_UNDRAIN:
        act_operator(w, NULL, a->kind == ACT_DRAIN ? CORE_DRAIN_ON : CORE_DRAIN_OFF);
        break;
    case ACT_WALL:
        w->wall_us = a->arg - w->now;
        fleet_tell(w, (struct core_event){.kind = CORE_WALL, .u.wall_us = a->arg});
        break;
    case ACT_DISK_SLOW:
        w->disk_slow_us = a->arg;
        break;
    case ACT_DISK_FAILS:
        w->disk_fails = a->arg;
        break;
    default:
        befall_program(w, a);
        break;
    }
}

void
fleet_calm(struct fleet *w)
{
    w->calm = true;
    w->disk_slow_us = w->disk_fails = 0;
    w->drop_rate = 0;
    if (w->core == NULL)
        gateway_start(w);
    tell_hold(w, NULL, 0);
    act_operator(w, NULL, CORE_DRAIN_OFF);
    for (uint32_t n = 0; n < w->size.publishers; n++) {
        publisher(w, n, ACT_UP);
        publisher(w, n, ACT_UNBLOCKED);
    }
    for (uint32_t n = 0; n < w->size.connectors; n++) {
        if (w->ids[n].reasons != 0)
            tell_hold(w, &w->ids[n], 0);
        if (w->ids[n].t.paused)
            act_operator(w, &w->ids[n], CORE_RESUME);
        fleet_start(w, &w->ids[n]);
    }
}
