/* effects.c - what follows from a step of the core: bytes moved, things said, messages and marks gathered. */
#include <stdlib.h>
#include <string.h>

#include "bodies.h"
#include "crash.h"
#include "doors/door.h"
#include "formats/former.h"
#include "log.h"
#include "loop_parts.h"
#include "settings.h"
#include "states.h"
#include "targets.h"
#include "text.h"

void
effects_later(struct loop *l, const struct core_event *e)
{
    if (l->n_after < AFTER_MAX) {
        l->after[l->n_after++] = *e;
    } else if (e->kind != CORE_GONE) { /* a connection that is gone is found again by its silence */
        /* So many bundles without memory in one step: start again.  What was answered for is RabbitMQ's, and the
         * rest is sent again by its connectors. */
        log_event(l->log, LOG_ERROR, "out_of_memory", LOG_STR("text", "more bundles without memory than can be told"));
        abort();
    }
}

static void
send(struct loop *l, uint64_t conn, const struct wire_msg *m, const void *body, size_t len)
{
    unsigned char header[WIRE_HEADER_MAX];
    const size_t n = wire_encode(m, header, sizeof(header));
    struct core_event e = {.kind = CORE_GONE, .u.conn = conn};
    bool gone = false;

    if (n == 0) {
        log_event(l->log, LOG_ERROR, "cannot_encode", LOG_STR("type", wire_type_name(m->type)));
        return;
    }
    if (!door_send(l->door, conn, header, n, body, len, &gone) && gone)
        effects_later(l, &e);
}

static void
log_sent(struct loop *l, uint64_t conn, const struct wire_msg *m)
{
    const char *id = core_connector_of(l->core, conn);
    char asked[TEXT_ID_MAX + 1] = "";

    /* Who is refused at the door is named as it named itself. */
    if (id == NULL && l->header != NULL && l->header->type == WIRE_HELLO && l->header->id.len < sizeof(asked)) {
        memcpy(asked, l->header->id.at, l->header->id.len);
        id = asked;
    }
    if (m->type == WIRE_WELCOME)
        log_event(l->log, LOG_INFO, "connector_welcomed", LOG_STR("connector", id), LOG_INT("epoch", m->epoch),
                  LOG_INT("attempt", m->attempt), LOG_INT("expect", m->expect));
    if (m->type == WIRE_ERROR)
        /* The first word after a reconnect is no fault of anybody's. */
        log_event(l->log, m->code == WIRE_R_HELLO_FIRST ? LOG_INFO : LOG_WARN, "connector_error",
                  LOG_STR("connector", id), LOG_STR("code", wire_reason_name(m->code)),
                  LOG_TEXT("field", m->field.at, m->field.len), LOG_TEXT("text", m->text.at, m->text.len));
    if (m->type == WIRE_STOP)
        log_event(l->log, LOG_INFO, "connector_stopped", LOG_STR("connector", id),
                  LOG_STR("reason", wire_reason_name(m->reason)));
    if (m->type == WIRE_VERDICT && m->verdict != WIRE_ACK)
        log_event(l->log, LOG_WARN, "bundle_refused", LOG_STR("connector", id), LOG_INT("seq", m->seq),
                  LOG_STR("reason", wire_reason_name(m->reason)), LOG_TEXT("text", m->text.at, m->text.len));
}

void
effects_send(void *ctx, uint64_t conn, const struct wire_msg *m, const void *body, size_t len)
{
    log_sent(ctx, conn, m);
    send(ctx, conn, m, body, len);
}

static void
keep(struct loop *l, uint32_t slot, uint64_t size, bool first)
{
    const struct door_message *in = l->message;
    struct body *body;
    struct chunk *to;

    if (l->fetched != NULL) {
        spooled_keep(l, slot);
        return;
    }
    if (first && in->body_len == size && size <= BODIES_COPY_MAX) {
        bodies_open_whole(l->bodies, slot, l->header, in->body);
        return;
    }
    body = first ? bodies_open(l->bodies, slot, l->header) : bodies_at(l->bodies, slot);
    if (body != NULL && in->body_len <= BODIES_COPY_MAX) {
        bodies_copy(body, in->body, in->body_len); /* no memory: as below */
        return;
    }
    to = body == NULL ? NULL : bodies_next(body);
    if (to == NULL)
        return; /* no memory: `publish` sees that the body is not whole */
    door_take(l->door, to);
    bodies_added(body);
}

static void
no_memory(struct loop *l, uint32_t slot)
{
    struct core_event failed = {.kind = CORE_REFUSED};

    failed.u.result.slot = slot;
    failed.u.result.reason = WIRE_R_REFUSED;
    failed.u.result.text = "the gateway had no memory for this bundle: push it again";
    effects_later(l, &failed);
}

static void
form(struct loop *l, const struct core_effect *e)
{
    const struct target_format *target = targets_format(l->targets, e->u.form.target);
    const struct body *body = bodies_at(l->bodies, e->u.form.slot);
    struct former_job job = {.ticket = e->u.form.slot, .connector = e->u.form.connector, .seq = e->u.form.seq};

    job.ask.body = body;
    job.ask.applicant_id = target->applicant_id;
    job.ask.skip_large = target->skip_large;
    job.ask.max_message = l->first->broker.max_message;
    if (body != NULL && body->have == body->size) {
        job.ask.options = body->options;
        job.ask.options_len = body->options_len;
        if (former_post(l->former, &job, NULL) == 0)
            return;
    }
    no_memory(l, e->u.form.slot);
}

static bool
batch_add(struct batch *b, const struct pub_message *m)
{
    if (b->n == b->cap) {
        const size_t cap = b->cap == 0 ? 256 : b->cap * 2;
        struct pub_message *fresh = realloc(b->at, cap * sizeof(*fresh));

        if (fresh == NULL)
            return false;
        b->at = fresh;
        b->cap = cap;
    }
    b->at[b->n++] = *m;
    return true;
}

static void
publish(struct loop *l, const struct core_effect *e)
{
    const struct body *body = bodies_at(l->bodies, e->u.publish.slot);
    const struct pub_message m = {
        .ticket = e->u.publish.slot,
        .session = e->u.publish.session,
        .target = targets_at(l->targets, e->u.publish.target),
        .body = body,
        .parts = body == NULL ? NULL : body->parts,
        .connector = e->u.publish.connector,
        .epoch = e->u.publish.epoch,
        .seq = e->u.publish.seq,
    };
    struct core_event again = {.kind = CORE_RETRY};

    if (body == NULL || body->have != body->size) {
        no_memory(l, e->u.publish.slot);
    } else if (!batch_add(&l->batches[e->u.publish.publisher], &m)) {
        again.u.result.slot = e->u.publish.slot; /* it is whole: only the list of this turn could not grow */
        effects_later(l, &again);
    }
}

void
effects_marks(struct loop *l)
{
    if (l->n_marks > 0 && state_mark(l->state, l->marks, l->n_marks, NULL) != 0)
        log_event(l->log, LOG_WARN, "marks_not_stored", LOG_INT("marks", l->n_marks));
    l->n_marks = 0;
}

static void
store_mark(struct loop *l, const struct core_effect *e)
{
    struct state_mark *m;

    if (l->n_marks == MARKS_MAX)
        effects_marks(l);
    m = &l->marks[l->n_marks++];
    memset(m, 0, sizeof(*m));
    memcpy(m->connector, e->u.mark.id, strlen(e->u.mark.id));
    m->epoch = e->u.mark.epoch;
    m->answered = e->u.mark.answered;
}

void
effects_take(void *ctx, const struct core_effect *e)
{
    struct loop *l = ctx;

    switch (e->kind) {
    case CORE_SEND:
        effects_send(l, e->u.send.conn, e->u.send.msg, NULL, 0);
        if (e->u.send.msg->type == WIRE_VERDICT)
            crash_point(CRASH_ANSWERED);
        break;
    case CORE_CUT:
        door_cut(l->door, l->now_us);
        break;
    case CORE_FORGET:
        log_event(l->log, LOG_INFO, "connector_gone",
                  LOG_STR("connector", core_connector_of(l->core, e->u.forget.conn)), LOG_STR("why", e->u.forget.why));
        states_gone(l->states, e->u.forget.conn);
        door_forget(l->door, e->u.forget.conn);
        break;
    case CORE_KEEP:
        keep(l, e->u.keep.slot, e->u.keep.size, e->u.keep.first);
        break;
    case CORE_FORM:
        form(l, e);
        break;
    case CORE_FREE:
        bodies_close(l->bodies, e->u.slot);
        break;
    case CORE_PUBLISH:
        publish(l, e);
        break;
    case CORE_STORE_MARK:
        store_mark(l, e);
        break;
    case CORE_STORE_ROW:
        schedules_row(l, e);
        break;
    case CORE_CLEAR_STATE:
        schedules_clear(l, e->u.id);
        break;
    case CORE_COMMIT_GO:
        schedules_go(l, e);
        break;
    case CORE_COMMIT_FAIL:
        states_fail(l->states, e->u.fail.ticket, e->u.fail.reason, e->u.fail.seq);
        break;
    case CORE_SPOOL:
        spooled_put(l, e);
        break;
    case CORE_FETCH:
        spooled_fetch(l, e);
        break;
    case CORE_RELEASE:
        spooled_release(l, e);
        break;
    case CORE_BURY:
        spooled_bury(l, e);
        break;
    case CORE_COUNT:
        measures_count(l, e->u.queue);
        break;
    case CORE_NEWS:
        measures_news(l, e);
        break;
    case CORE_JOURNAL:
        schedules_journal(l, e);
        break;
    }
}

void
effects_step(struct loop *l, const struct core_event *e)
{
    core_step(l->core, e, l->now_us, &l->sink);
    while (l->n_after > 0) {
        const struct core_event next = l->after[--l->n_after];

        core_step(l->core, &next, l->now_us, &l->sink);
    }
    schedules_notes(l);
}

void
effects_step_kind(struct loop *l, enum core_event_kind kind)
{
    const struct core_event e = {.kind = kind};

    effects_step(l, &e);
}

void
effects_post(struct loop *l)
{
    for (int i = 0; i < l->settings->broker.connections; i++) {
        struct batch *b = &l->batches[i];

        if (b->n == 0 || publisher_post(l->publishers[i], b->at, b->n, NULL) != 0)
            continue; /* on no memory they stay, and go with the next turn */
        b->n = 0;
        crash_point(CRASH_PUBLISHED);
    }
}
