/* fleet_trace.c - what is told of a world: everything to who reads a trace, and what is broken. */
#include "fleet_parts.h"

static void
stamp(const struct fleet *w, const struct id *i)
{
    fprintf(w->trace, "%6lld.%06lld  %s: ", (long long)(w->now / SECOND), (long long)(w->now % SECOND),
            i == NULL ? "all" : i->name);
}

void
fleet_breaks(struct fleet *w, const struct id *i, const char *what)
{
    if (w->broken != NULL)
        return;
    w->broken = what;
    if (w->trace != NULL) {
        stamp(w, i);
        fprintf(w->trace, "BROKEN: %s\n", what);
    }
}

void
fleet_told(struct fleet *w, const struct id *i, const char *who, const struct wire_msg *m)
{
    if (w->trace == NULL)
        return;
    stamp(w, i);
    fprintf(w->trace, "%s %s", who, wire_type_name(m->type));
    if (WIRE_HAS(m, WIRE_F_EPOCH))
        fprintf(w->trace, " epoch %llu", (unsigned long long)m->epoch);
    if (WIRE_HAS(m, WIRE_F_RUN))
        fprintf(w->trace, " run %02x%02x%02x", m->run[0], m->run[1], m->run[2]);
    if (WIRE_HAS(m, WIRE_F_SCHEDULE))
        fprintf(w->trace, " schedule %d period_ms %llu", m->schedule, (unsigned long long)m->period_ms);
    if (WIRE_HAS(m, WIRE_F_REASONS))
        fprintf(w->trace, " reasons %x", m->reasons);
    if (WIRE_HAS(m, WIRE_F_NEXT_MS))
        fprintf(w->trace, " next_ms %llu", (unsigned long long)m->next_ms);
    if (WIRE_HAS(m, WIRE_F_REASON))
        fprintf(w->trace, " %s", wire_reason_name(m->reason));
    if (WIRE_HAS(m, WIRE_F_CODE))
        fprintf(w->trace, " %s", wire_reason_name(m->code));
    fputc('\n', w->trace);
}
