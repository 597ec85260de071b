/* script.c - see script.h. */
#include "script.h"

#include <stdlib.h>
#include <string.h>

#include "chance.h"
#include "wire.h"

enum { SECOND = 1000000 };
#define YEAR_US INT64_C(31557600000000)

/* Reasons that the core is told by others; those of the broker, a pause and a drain it finds itself. */
enum {
    TOLD = WIRE_HOLD_QUEUE | WIRE_HOLD_BUDGET | WIRE_HOLD_SHARE | WIRE_HOLD_TELEMETRY_STALE | WIRE_HOLD_SPOOL_FULL |
           WIRE_HOLD_MEMORY
};

/* --- drawing --- */

struct draft {
    struct chance c;
    const struct fleet_size *size;
    struct script s;
    uint32_t cap;
};

static void
add(struct draft *d, int64_t at, enum act_kind kind, uint32_t who, int64_t arg)
{
    if (d->s.n == d->cap) {
        d->cap = d->cap == 0 ? 64 : d->cap * 2;
        d->s.acts = realloc(d->s.acts, d->cap * sizeof(*d->s.acts));
        if (d->s.acts == NULL)
            abort();
    }
    if (at < d->size->faults_us)
        d->s.acts[d->s.n++] = (struct act){at, kind, who, arg};
}

static int64_t
reasons(struct draft *d)
{
    return chance_is(&d->c, 0.5) ? WIRE_HOLD_QUEUE : (int64_t)(chance_next(&d->c) & TOLD);
}

/* Something that begins, and mostly ends again. */
static void
pair(struct draft *d, int64_t at, const enum act_kind kinds[2], uint32_t who, int64_t arg)
{
    add(d, at, kinds[0], who, arg);
    if (chance_is(&d->c, 0.8))
        add(d, at + chance_log(&d->c, 1, 6 * d->size->ping_us), kinds[1], who, 0);
}

static void
draw_connector(struct draft *d, int64_t at, uint32_t who)
{
    const int64_t away = chance_log(&d->c, 1000, 4 * d->size->ping_us);

    switch (chance_below(&d->c, 12)) {
    case 0:
    case 1:
    case 2:
        add(d, at, ACT_CUT, who, chance_below(&d->c, 4));
        break;
    case 3:
    case 4:
        add(d, at, ACT_HOLE, who, 0);
        break;
    case 5:
    case 6:
    case 7:
        add(d, at, ACT_CRASH, who, away);
        break;
    case 8:
        add(d, at, ACT_LEAVE, who, away);
        break;
    case 9:
        add(d, at, ACT_RIVAL, who, 0);
        break;
    default:
        add(d, at, ACT_RESCHEDULE, who, chance_log(&d->c, 1000, d->size->ping_us / 100));
        break;
    }
}

static void
draw_reason(struct draft *d, int64_t at, uint32_t who)
{
    const uint32_t publisher = (uint32_t)chance_below(&d->c, d->size->publishers);

    switch (chance_below(&d->c, 8)) {
    case 0:
    case 1:
        pair(d, at, (const enum act_kind[]){ACT_HOLD_ALL, ACT_HOLD_ALL}, 0, reasons(d));
        break;
    case 2:
    case 3:
    case 4:
        pair(d, at, (const enum act_kind[]){ACT_HOLD_ONE, ACT_HOLD_ONE}, who, reasons(d));
        break;
    case 5:
    case 6:
        pair(d, at, (const enum act_kind[]){ACT_DOWN, ACT_UP}, publisher, 0);
        break;
    default:
        pair(d, at, (const enum act_kind[]){ACT_BLOCKED, ACT_UNBLOCKED}, publisher, 0);
        break;
    }
}

static void
draw_operator(struct draft *d, int64_t at, uint32_t who)
{
    switch (chance_below(&d->c, 8)) {
    case 0:
    case 1:
    case 2:
        pair(d, at, (const enum act_kind[]){ACT_PAUSE, ACT_RESUME}, who, 0);
        break;
    case 3:
        pair(d, at, (const enum act_kind[]){ACT_DRAIN, ACT_UNDRAIN}, 0, 0);
        break;
    case 4:
        add(d, at, ACT_RESET, who, 0);
        break;
    default:
        add(d, at, ACT_RUN_NOW, who, 0);
        break;
    }
}

static void
draw_gateway(struct draft *d, int64_t at)
{
    switch (chance_below(&d->c, 8)) {
    case 0:
    case 1:
        add(d, at, ACT_GATEWAY, 0, chance_log(&d->c, 1000, 3 * d->size->ping_us));
        break;
    case 2:
        add(d, at, ACT_POWER, 0, chance_log(&d->c, 1000, 10 * d->size->ping_us));
        break;
    case 3:
        add(d, at, ACT_STOP, 0, chance_log(&d->c, 1000, 3 * d->size->ping_us));
        break;
    case 4:
    case 5:
        add(d, at, ACT_WALL, 0, YEAR_US + chance_below(&d->c, 150 * YEAR_US)); /* 1971 to 2121 */
        break;
    case 6:
        pair(d, at, (const enum act_kind[]){ACT_DISK_SLOW, ACT_DISK_SLOW}, 0,
             chance_log(&d->c, SECOND / 10, 20 * SECOND));
        break;
    default:
        pair(d, at, (const enum act_kind[]){ACT_DISK_FAILS, ACT_DISK_FAILS}, 0, 1 + chance_below(&d->c, 100));
        break;
    }
}

static int
by_time(const void *a, const void *b)
{
    const struct act *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at;
}

struct script
script_draw(uint64_t seed, const struct fleet_size *size)
{
    struct draft d = {chance_stream(seed, UINT64_MAX), size, {NULL, 0}, 0};
    /* One world in twenty is without faults; in a large one there is something for every second connector. */
    const int64_t n = chance_is(&d.c, 0.05) ? 0 : chance_log(&d.c, 4, 40) + size->connectors / 2;
    const double of_gateway = 0.25 / (1 + size->connectors / 50.0);
    int64_t at = 0;
    uint32_t who = 0;

    for (int64_t i = 0; i < n; i++) {
        /* What befalls one connector twice, and shortly after something else, finds more than what comes alone. */
        const bool close = chance_is(&d.c, 0.4);

        at = close ? at + chance_log(&d.c, 1, 2 * SECOND) : chance_below(&d.c, size->faults_us);
        if (!close || chance_is(&d.c, 0.3))
            who = (uint32_t)chance_below(&d.c, size->connectors);
        if (chance_is(&d.c, of_gateway))
            draw_gateway(&d, at);
        else if (chance_is(&d.c, 0.5))
            draw_connector(&d, at, who);
        else if (chance_is(&d.c, 0.6))
            draw_reason(&d, at, who);
        else
            draw_operator(&d, at, who);
    }
    if (d.s.n > 1)
        qsort(d.s.acts, d.s.n, sizeof(*d.s.acts), by_time);
    return d.s;
}

void
script_free(struct script *s)
{
    free(s->acts);
    *s = (struct script){NULL, 0};
}

/* --- printing --- */

static void
print_reasons(FILE *to, int64_t bits)
{
    if (bits == 0)
        fputs(" nothing", to);
    for (int b = 0; b < 10; b++)
        if (bits >> b & 1)
            fprintf(to, " %s", wire_hold_name((enum wire_hold)(1 << b)));
}

static void
print_act(FILE *to, const struct act *a)
{
    static const char *const says[ACT_KINDS] = {
        [ACT_CUT] = "c%u: its connection breaks",
        [ACT_HOLE] = "c%u: its connection goes dead, unnoticed",
        [ACT_CRASH] = "c%u: crashes",
        [ACT_LEAVE] = "c%u: says bye and ends",
        [ACT_RIVAL] = "c%u: another program takes its id",
        [ACT_RESCHEDULE] = "c%u: has a new period",
        [ACT_GATEWAY] = "the gateway crashes",
        [ACT_STOP] = "the gateway stops",
        [ACT_POWER] = "the power is cut",
        [ACT_HOLD_ALL] = "all are held by",
        [ACT_HOLD_ONE] = "c%u: is held by",
        [ACT_DOWN] = "publisher %u is down",
        [ACT_UP] = "publisher %u is up",
        [ACT_BLOCKED] = "publisher %u is blocked",
        [ACT_UNBLOCKED] = "publisher %u is not blocked",
        [ACT_PAUSE] = "c%u: is paused",
        [ACT_RESUME] = "c%u: is resumed",
        [ACT_RUN_NOW] = "c%u: is to run now",
        [ACT_RESET] = "c%u: its state is reset",
        [ACT_DRAIN] = "drain",
        [ACT_UNDRAIN] = "the drain ends",
        [ACT_WALL] = "the wall clock jumps",
        [ACT_DISK_SLOW] = "the disk is slower",
        [ACT_DISK_FAILS] = "the disk fails",
    };
    const char *text = says[a->kind], *number = strstr(text, "%u");

    fprintf(to, "%6lld.%06lld  ", (long long)(a->at / SECOND), (long long)(a->at % SECOND));
    if (number == NULL)
        fputs(text, to);
    else
        fprintf(to, "%.*s%u%s", (int)(number - text), text, a->who, number + 2);
    if (a->kind == ACT_HOLD_ALL || a->kind == ACT_HOLD_ONE)
        print_reasons(to, a->arg);
    else if (a->kind == ACT_CUT)
        fprintf(to, "%s%s", a->arg & 1 ? "; the gateway is told" : "",
                a->arg & 2 ? "; what was on its way is lost" : "");
    else if (a->kind == ACT_RESCHEDULE)
        fprintf(to, ": %lld ms", (long long)a->arg);
    else if (a->kind == ACT_DISK_FAILS)
        fprintf(to, ": %lld of 100 rows", (long long)a->arg);
    else if (a->kind == ACT_WALL)
        fprintf(to, " to %lld.%06lld s since 1970", (long long)(a->arg / SECOND), (long long)(a->arg % SECOND));
    else if (a->kind == ACT_DISK_SLOW)
        fprintf(to, " by up to %lld us", (long long)a->arg);
    else if (a->arg != 0)
        fprintf(to, "; back after %lld us", (long long)a->arg);
    fputc('\n', to);
}

void
script_print(FILE *to, const struct script *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        print_act(to, &s->acts[i]);
}

/* --- reducing --- */

/* Does it still fail without n acts from at?  Then *s is without them. */
static bool
without(struct script *s, uint32_t at, uint32_t n, bool (*fails)(void *ctx, const struct script *s), void *ctx)
{
    struct script less = {malloc((s->n + 1) * sizeof(*s->acts)), s->n - n};

    if (less.acts == NULL)
        abort();
    memcpy(less.acts, s->acts, at * sizeof(*s->acts));
    memcpy(less.acts + at, s->acts + at + n, (s->n - at - n) * sizeof(*s->acts));
    if (!fails(ctx, &less)) {
        script_free(&less);
        return false;
    }
    script_free(s);
    *s = less;
    return true;
}

uint32_t
script_reduce(struct script *s, bool (*fails)(void *ctx, const struct script *s), void *ctx)
{
    uint32_t asked = 0, part = s->n / 2 > 0 ? s->n / 2 : 1;
    bool less = true;

    while (s->n > 0 && (part > 1 || less)) {
        if (!less && part > 1)
            part = part / 2;
        less = false;
        for (uint32_t at = 0; at < s->n;) {
            const uint32_t n = part < s->n - at ? part : s->n - at;

            asked++;
            if (without(s, at, n, fails, ctx))
                less = true;
            else
                at += n;
        }
    }
    return asked;
}
