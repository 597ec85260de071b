/* formed.c - what the formats made of bundles: messages in the place of bodies, and the core is told; or why not. */
#include <string.h>

#include "bodies.h"
#include "formats/former.h"
#include "log.h"
#include "loop_parts.h"
#include "mailbox.h"
#include "parts.h"

static enum wire_reason
reason_of(enum format_fault fault)
{
    switch (fault) {
    case FORMAT_NOMEM:
        return WIRE_R_REFUSED;
    case FORMAT_TOO_LARGE:
        return WIRE_R_TOO_LARGE;
    case FORMAT_EMPTY:
        return WIRE_R_EMPTY;
    case FORMAT_MALFORMED:
        break;
    }
    return WIRE_R_FORMAT;
}

static void
refused(struct loop *l, const struct former_result *r)
{
    struct core_event e = {.kind = CORE_REFUSED};

    e.u.result.slot = r->ticket;
    e.u.result.reason = reason_of(r->fault);
    e.u.result.text = r->text;
    effects_step(l, &e);
}

static void
formed(struct loop *l, const struct former_result *r)
{
    struct core_event e = {.kind = CORE_FORMED};

    e.u.formed.slot = r->ticket;
    e.u.formed.messages = r->parts->n;
    e.u.formed.bytes = r->parts->bytes;
    e.u.formed.largest = r->parts->largest;
    e.u.formed.left_out = r->notes.too_large > 0 ? r->notes.text : NULL;
    if (r->notes.incompatible > 0 || r->notes.too_large > 0)
        log_event(l->log, LOG_WARN, "objects_left_out", LOG_STR("connector", r->connector), LOG_INT("seq", r->seq),
                  LOG_INT("incompatible", r->notes.incompatible), LOG_INT("too_large", r->notes.too_large),
                  LOG_STR("text", r->notes.text));
    /* The core frees a body only after this answer, so it is there. */
    bodies_formed(bodies_at(l->bodies, r->ticket), r->parts);
    effects_step(l, &e);
}

void
formed_take(struct loop *l)
{
    void *taken;
    const size_t n = mailbox_take(l->formed, &taken);
    const struct former_result *r = taken;

    for (size_t i = 0; i < n; i++)
        if (r[i].parts != NULL)
            formed(l, &r[i]);
        else
            refused(l, &r[i]);
}

void
formed_forget(struct loop *l)
{
    void *taken;
    const size_t n = l->formed == NULL ? 0 : mailbox_take(l->formed, &taken);

    for (size_t i = 0; i < n; i++)
        parts_free(((const struct former_result *)taken)[i].parts);
}
