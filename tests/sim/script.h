/* script.h - what befalls a fleet: faults and operators, drawn up front from the seed, so that a history that breaks
 * a promise can be told again with less and less of it. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum act_kind {
    ACT_CUT,          /* who; arg & 1: the gateway is told; & 2: what was on its way is lost */
    ACT_HOLE,         /* who: what it sends and is sent vanishes, until it makes a new connection */
    ACT_CRASH,        /* who; arg: back after so many us */
    ACT_LEAVE,        /* who says bye; arg: back after so many us */
    ACT_RIVAL,        /* who: another program takes its id */
    ACT_RESCHEDULE,   /* who; arg: its period, in ms */
    ACT_GATEWAY,      /* the gateway crashes; arg: back after so many us */
    ACT_STOP,         /* likewise, but it says so before */
    ACT_POWER,        /* everything crashes at once; arg: the gateway is back after so many us, programs soon after */
    ACT_HOLD_ALL,     /* arg: reasons, for all */
    ACT_HOLD_ONE,     /* who; arg: reasons */
    ACT_DOWN,         /* who: which publisher */
    ACT_UP,
    ACT_BLOCKED,
    ACT_UNBLOCKED,
    ACT_PAUSE,        /* who */
    ACT_RESUME,
    ACT_RUN_NOW,
    ACT_RESET,
    ACT_DRAIN,
    ACT_UNDRAIN,
    ACT_WALL,         /* arg: the wall clock says so many us since 1970 */
    ACT_DISK_SLOW,    /* arg: rows take up to so many us more */
    ACT_DISK_FAILS,   /* arg: so many of 100 rows cannot be written */
    ACT_KINDS
};

struct act {
    int64_t       at; /* us */
    enum act_kind kind;
    uint32_t      who;
    int64_t       arg;
};

struct script {
    struct act *acts; /* by time */
    uint32_t    n;
};

/* How large a world is, and for how long things befall it. */
struct fleet_size {
    uint32_t connectors, publishers;
    int64_t  ping_us;
    int64_t  faults_us;
};

/* Returns a new script; script_free ends it.  Aborts on no memory: a simulator may. */
struct script script_draw(uint64_t seed, const struct fleet_size *size);
void script_free(struct script *s);
void script_print(FILE *to, const struct script *s);

/* Take acts out, halves first and then one by one, as long as fails says that what is left still does: in the end
 * each that is left is needed.  Returns how often fails was asked. */
uint32_t script_reduce(struct script *s, bool (*fails)(void *ctx, const struct script *s), void *ctx);

#endif
