/* check_schedule.c - what core_check asks of schedules: nobody waits where nobody would look. */
#include "machine.h"

static const char *
check_one(const struct core *k, const struct connector *c)
{
    const struct schedule *s = &c->sch;
    const bool timed = s->heap_at != NONE;

    if (timed && (s->heap_at >= k->due.n || k->due.at[s->heap_at] != c->number))
        return "a connector is not where it should be among who is due";
    if (s->asking && (s->running || c->conn == 0))
        return "a connector asks for a run that has one, or that is not there";
    if (s->expected && !(s->running && timed))
        return "a run that nobody has declared would be waited for without end";
    if (timed && !s->expected && !s->asking)
        return "a connector is due that waits for nothing";
    if (s->asking && !timed && !s->in_line && !c->dirty)
        return "a connector asks, and nobody would look at it";
    if (s->asking && !timed && !s->in_line && s->kind != WIRE_S_TERMINATE + 1)
        return "a connector asks, and is neither due nor in line";
    return NULL;
}

const char *
check_schedule(const struct core *k)
{
    uint32_t timed = 0, in_line = 0;

    for (uint32_t i = 0; i < k->n_connectors; i++) {
        const char *wrong = check_one(k, k->connectors[i]);

        if (wrong != NULL)
            return wrong;
        timed += k->connectors[i]->sch.heap_at != NONE;
        in_line += k->connectors[i]->sch.in_line;
    }
    for (uint32_t at = 1; at < k->due.n; at++)
        if (k->connectors[k->due.at[at]]->sch.due_us < k->connectors[k->due.at[(at - 1) / 2]]->sch.due_us)
            return "who is due later stands before who is due sooner";
    for (uint32_t i = k->line.head; i != NONE; i = k->connectors[i]->sch.line_next)
        in_line--;
    if (timed != k->due.n || in_line != 0)
        return "the counts of who is due or in line do not agree with what is there";
    return NULL;
}
