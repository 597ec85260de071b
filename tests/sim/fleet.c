/* fleet.c - see fleet.h: how a world begins, the passing of its time, and its end. */
#include "fleet.h"

#include <stdlib.h>
#include <string.h>

#include "fleet_parts.h"

enum {
    ALL_EVERY = 1000,      /* events between two passes over all, */
    SMALL_EVERY = 100,     /* and in a small world */
    RUN_PINGS = 3,         /* a run takes at most so many pings, */
    CALM_PINGS = 9 + RUN_PINGS, /* and so many after the last fault everybody who is due has run: see rules_end */
    EVENTS_MAX = 50000000  /* a world that takes more goes round in circles */
};

struct fleet_size
fleet_size(uint64_t seed)
{
    struct chance c = chance_stream(seed, UINT64_MAX - 1);
    const bool large = chance_is(&c, 0.01);
    struct fleet_size s = {.publishers = 1 + (uint32_t)chance_below(&c, PUBLISHERS_MAX)};

    s.connectors = (uint32_t)(large ? chance_log(&c, 500, 3000) : chance_log(&c, 1, 20));
    s.ping_us = chance_log(&c, 5, large ? 40 : 200) * SECOND;
    s.faults_us = s.ping_us * (large ? 6 : 5 + chance_below(&c, 20));
    return s;
}

int64_t
fleet_wait_us(uint32_t part)
{
    const uint32_t whole = part / 8, rest = part % 8;

    return whole > 58 ? INT64_MAX : (int64_t)((8ULL + rest + 1) << whole) - 8; /* eight parts to each doubling */
}

/* --- the time passes --- */

void
fleet_at(struct fleet *w, int64_t when, enum fleet_event kind, uint64_t a, uint64_t b)
{
    heap_push(w->heap, (struct heap_item){.at = when, .kind = (int)kind, .a = a, .b = b});
}

static void
happen(struct fleet *w, const struct heap_item *h, const struct script *script)
{
    struct id *i;
    struct program *p;

    switch ((enum fleet_event)h->kind) {
    case EV_TO_GATEWAY:
        fleet_to_gateway(w, (uint32_t)h->a);
        break;
    case EV_TO_PROGRAM:
        fleet_to_program(w, (uint32_t)h->a);
        break;
    case EV_TURN:
        if (w->core != NULL && h->at == w->turn_at)
            gateway_turn(w);
        break;
    case EV_TICK:
        i = &w->ids[h->a / 4];
        p = &i->programs[h->a / 2 % 2];
        if (p->alive && p->birth == h->b && p->tick_at == h->at)
            program_tick(w, i, p);
        break;
    case EV_ACT:
        fleet_befall(w, &script->acts[h->a]);
        break;
    case EV_START:
        fleet_start(w, &w->ids[h->a]);
        break;
    case EV_GONE:
        if (h->b == w->generation)
            fleet_tell(w, (struct core_event){.kind = CORE_GONE, .u.conn = h->a});
        break;
    case EV_GATEWAY_UP:
        if (w->core == NULL)
            gateway_start(w);
        break;
    case EV_STORED:
        if (h->a == w->generation && w->core != NULL)
            gateway_stored(w);
        break;
    case EV_SAVE:
        if (h->a == w->generation && w->core != NULL) {
            truth_save(w);
            fleet_tell(w, (struct core_event){.kind = CORE_SAVE});
            fleet_at(w, w->now + SECOND + chance_below(&w->c, 5 * SECOND), EV_SAVE, w->generation, 0);
        }
        break;
    case EV_CALM:
        fleet_calm(w);
        break;
    }
}

static void
live(struct fleet *w, const struct script *script)
{
    const uint64_t first = w->fig->events, every = w->size.connectors <= 20 ? SMALL_EVERY : ALL_EVERY;
    struct heap_item h;

    while (w->broken == NULL && heap_pop(w->heap, &h) && h.at <= w->end_at) {
        w->now = h.at;
        w->fig->events++;
        happen(w, &h, script);
        if ((w->fig->events - first) % every == 0)
            rules_all(w);
        if (w->fig->events - first > EVENTS_MAX)
            fleet_breaks(w, NULL, "the world goes round in circles");
    }
    rules_all(w);
    rules_end(w);
    w->fig->simulated_us += (uint64_t)w->now;
    w->fig->connector_us += (uint64_t)w->now * w->size.connectors;
}

/* --- beginning and ending --- */

static void
draw_id(struct fleet *w, uint32_t n, uint64_t seed)
{
    static const enum wire_schedule kinds[] = {WIRE_S_PERIOD, WIRE_S_PERIOD, WIRE_S_PERIOD, WIRE_S_TERMINATE,
                                               WIRE_S_CONTINUOUS};
    struct id *i = &w->ids[n];

    *i = (struct id){.c = chance_stream(seed, n)};
    snprintf(i->name, sizeof(i->name), "c%u", n);
    i->kind = chance_is(&i->c, 0.05) ? 0 : (uint8_t)(kinds[chance_below(&i->c, 5)] + 1);
    i->first = i->kind == WIRE_S_PERIOD + 1 && chance_is(&i->c, 0.3) ? WIRE_FIRST_CHECK : WIRE_FIRST_FREE;
    i->resume = i->kind == WIRE_S_PERIOD + 1 && chance_is(&i->c, 0.4) ? WIRE_RESUME_SCHEDULE : WIRE_RESUME_DRAIN;
    i->stubborn = chance_is(&i->c, 0.1);
    i->remembers = chance_is(&i->c, 0.1);
    i->slow = chance_is(&i->c, 0.1);
    i->cursor = chance_is(&i->c, 0.3);
    i->early = chance_is(&i->c, 0.5);
    i->publisher = (uint32_t)chance_below(&i->c, w->size.publishers);
    i->want = chance_is(&i->c, 0.1) ? 1 + (uint64_t)chance_below(&i->c, 1000000) : 0;
    i->gap_us = chance_log(&i->c, w->size.ping_us / 4, 3 * w->size.ping_us);
    i->run_us = chance_log(&i->c, i->kind == WIRE_S_CONTINUOUS + 1 ? w->size.ping_us / 2 : 10000,
                           RUN_PINGS * w->size.ping_us);
    /* Most periods are near the time of a ping; some are as short as can be, some longer than the world lives. */
    i->period_ms = chance_log(&i->c, chance_is(&i->c, 0.01) ? 1000 : w->size.ping_us / 2000, w->size.ping_us / 200);
    i->period_ms = i->period_ms < 1000 ? 1000 : i->period_ms;
    if (chance_is(&i->c, 0.05))
        i->period_ms = chance_log(&i->c, i->period_ms, WIRE_PERIOD_MS_MAX);
    i->clear_at[0] = i->clear_at[1] = i->asked_at = 0;
    i->answer_by = i->run_now_at = NEVER;
}

static void
set_up(struct fleet *w, uint64_t seed, const struct script *script)
{
    w->heap = heap_new();
    w->ids = calloc(w->size.connectors, sizeof(*w->ids));
    if (w->heap == NULL || w->ids == NULL)
        abort();
    w->c = chance_stream(seed, UINT64_MAX - 2);
    w->now = 1 + chance_below(&w->c, SECOND);
    w->wall_us = 1790000000LL * SECOND;
    w->delay_us = chance_log(&w->c, 500, 10000);
    w->drop_rate = chance_is(&w->c, 0.2) ? 0.005 : 0;
    w->next_epoch = 1000;
    w->calm_at = w->now + START_US + w->size.faults_us;
    w->end_at = w->calm_at + CALM_PINGS * w->size.ping_us + 40LL * SECOND;
    for (uint32_t n = 0; n < w->size.publishers; n++)
        w->pubs[n].up = chance_is(&w->c, 0.8);
    for (uint32_t n = 0; n < w->size.connectors; n++) {
        draw_id(w, n, seed);
        fleet_at(w, w->now + chance_below(&w->ids[n].c, START_US), EV_START, n, 0);
    }
    for (uint32_t n = 0; n < script->n; n++)
        fleet_at(w, w->now + START_US / 2 + script->acts[n].at, EV_ACT, n, 0);
    fleet_at(w, w->calm_at, EV_CALM, 0, 0);
    gateway_start(w);
}

const char *
fleet_run(uint64_t seed, const struct fleet_size *size, const struct script *script, struct fleet_figures *ret,
          FILE *trace)
{
    struct fleet w = {.size = *size, .fig = ret, .trace = trace};

    set_up(&w, seed, script);
    live(&w, script);
    core_free(w.core);
    heap_free(w.heap);
    free(w.ids);
    free(w.packets);
    free(w.free_packets);
    free(w.pending);
    free(w.runs);
    return w.broken;
}
