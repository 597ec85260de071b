/* gauge_pace.c - how fast consumers take: a straight line through what samples show.
 *
 * A point is how much was taken in all: what was settled by the time the sample was made, less what it shows.  Nobody
 * says when that was, so it is taken for a quarter of lag before its numbers were seen first; being wrong about
 * it shifts all points alike, and the slope stays.  Of bursts the line sees the mean. */
#include "gauge_parts.h"

#include <stdlib.h>
#include <string.h>

enum { ENOUGH = 3, STILL_TIMES = 2 };

int64_t
pace_made_us(const struct gauge *g)
{
    return (g->asked_us - g->first_us > g->lag_us ? g->asked_us : g->first_us) - g->lag_us / 4;
}

void
pace_forget(struct gauge *g)
{
    free(g->pace);
    g->pace = NULL;
}

void
pace_point(struct gauge *g)
{
    const int64_t made_us = pace_made_us(g);
    const double put = (double)(g->settled_bytes - ledger_since(&g->ledger, made_us).bytes) + (double)g->foreign_bytes;
    struct pace *p = g->pace;

    if (p == NULL && g->sample.bytes == 0)
        return;
    if (p == NULL)
        p = g->pace = calloc(1, sizeof(*p));
    if (p == NULL)
        return; /* no forecast then */
    if (p->n > 0 && made_us <= p->points[p->n - 1].at_us)
        return; /* the same numbers again */
    if (p->n == PACE_POINTS)
        memmove(p->points, p->points + 1, --p->n * sizeof(*p->points));
    /* While the queue was empty nobody could take anything: the line starts again. */
    if (g->sample.bytes == 0)
        p->n = 0;
    p->points[p->n].at_us = made_us;
    p->points[p->n++].taken = put - (double)g->sample.bytes;
}

bool
pace_rate(const struct gauge *g, double *ret_rate)
{
    const struct pace *p = g->pace;
    double t = 0, y = 0, tt = 0, ty = 0;

    if (p == NULL || p->n < ENOUGH)
        return false;
    for (uint32_t i = 0; i < p->n; i++) {
        t += (double)(p->points[i].at_us - p->points[0].at_us) / 1e6 / p->n;
        y += (p->points[i].taken - p->points[0].taken) / p->n;
    }
    for (uint32_t i = 0; i < p->n; i++) {
        const double dt = (double)(p->points[i].at_us - p->points[0].at_us) / 1e6 - t;

        tt += dt * dt;
        ty += dt * (p->points[i].taken - p->points[0].taken - y);
    }
    *ret_rate = ty > 0 ? ty / tt : 0;
    return true;
}

bool
pace_moves(const struct gauge *g)
{
    const struct pace *p = g->pace;
    uint32_t i;

    if (p == NULL || p->n < 2)
        return false;
    for (i = p->n - 1; i > 0 && p->points[p->n - 1].at_us - p->points[i].at_us < STILL_TIMES * g->lag_us; i--)
        ;
    return p->points[p->n - 1].taken > p->points[i].taken;
}
