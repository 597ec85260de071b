/* wire_same.h - do two decoded messages say the same?  For tests and the fuzz target. */
#ifndef WIRE_SAME_H
#define WIRE_SAME_H

#include <string.h>

#include "wire.h"

static inline bool
wire_same_text(const struct wire_text *a, const struct wire_text *b)
{
    if (a->at == NULL || b->at == NULL)
        return a->at == b->at && a->len == b->len;
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

static inline bool
wire_same(const struct wire_msg *a, const struct wire_msg *b)
{
    return a->type == b->type && a->has == b->has && a->v == b->v && wire_same_text(&a->id, &b->id) &&
           wire_same_text(&a->agent, &b->agent) && a->epoch == b->epoch && a->attempt == b->attempt &&
           a->fresh == b->fresh && a->seen == b->seen && a->want == b->want && a->head == b->head &&
           memcmp(a->run, b->run, sizeof(a->run)) == 0 && a->seq == b->seq && a->size == b->size && a->off == b->off &&
           wire_same_text(&a->ctype, &b->ctype) && a->format == b->format &&
           wire_same_text(&a->options, &b->options) && a->outcome == b->outcome && wire_same_text(&a->text, &b->text) &&
           a->op == b->op && a->version == b->version && a->after == b->after && a->schedule == b->schedule &&
           a->period_ms == b->period_ms && a->threshold == b->threshold && a->first_run == b->first_run &&
           a->resume == b->resume && a->status == b->status && a->level == b->level &&
           a->expect == b->expect && a->credit == b->credit && a->ping_ms == b->ping_ms && a->chunk == b->chunk &&
           a->max_bundle == b->max_bundle && a->lease_ms == b->lease_ms && a->reasons == b->reasons &&
           a->next_ms == b->next_ms && a->verdict == b->verdict && a->reason == b->reason && a->code == b->code &&
           wire_same_text(&a->field, &b->field) && memcmp(a->versions, b->versions, sizeof(a->versions)) == 0 &&
           a->fatal == b->fatal;
}

#endif
