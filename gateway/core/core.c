/* core.c - one step: an event is handed to the file that knows it; the figures and the lists are kept here. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "machine.h"

struct core *
core_new(const struct core_config *config, struct err *err)
{
    struct core *k;

    if (config->publishers < 1 || config->publishers > CORE_PUBLISHERS_MAX) {
        err_set(err, ERR_CONFIG, 0, "core: %u publishers, possible are 1 to %d", config->publishers,
                CORE_PUBLISHERS_MAX);
        return NULL;
    }
    if (config->max_bundle < 1 || config->max_bundle > config->memory_limit / 4) {
        err_set(err, ERR_CONFIG, 0, "core: max_bundle must be 1 byte to a quarter of the memory limit");
        return NULL;
    }
    k = calloc(1, sizeof(*k));
    if (k == NULL) {
        err_set(err, ERR_NOMEM, 0, "core");
        return NULL;
    }
    k->cfg = *config;
    k->free_slot = NONE;
    k->hungry = k->dirty = k->unsaved = k->retry = k->heard = k->line =
        k->unstored = k->shut = k->thirsty = (struct list){NONE, NONE};
    k->random[0] = config->seed ^ 0x9e3779b97f4a7c15ULL;
    k->random[1] = config->seed + 1;
    k->now_us = INT64_MIN;
    return k;
}

void
core_free(struct core *k)
{
    if (k == NULL)
        return;
    for (uint32_t i = 0; i < k->n_connectors; i++)
        custody_free(k->connectors[i]);
    table_free(k);
    queues_free(k);
    free(k->slots);
    free(k);
}

/* xorshift128+: run ids and jitter need to be hard to repeat, not hard to guess. */
uint64_t
core_random(struct core *k)
{
    uint64_t a = k->random[0];
    const uint64_t b = k->random[1];

    k->random[0] = b;
    a ^= a << 23;
    k->random[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return k->random[1] + b;
}

void
core_emit(struct core *k, const struct core_effect *e)
{
    k->sink->emit(k->sink->ctx, e);
}

void
core_send(struct core *k, uint64_t conn, const struct wire_msg *m)
{
    struct core_effect e = {.kind = CORE_SEND, .u.send = {conn, m}};

    if (conn != 0)
        core_emit(k, &e);
}

/* The link and the flag that a connector has for a list. */
static uint32_t *
link_in(const struct core *k, const struct list *l, struct connector *c, bool **flag)
{
    if (l == &k->hungry) {
        *flag = &c->hungry;
        return &c->hungry_next;
    }
    if (l == &k->dirty) {
        *flag = &c->dirty;
        return &c->dirty_next;
    }
    if (l == &k->unsaved) {
        *flag = &c->unsaved;
        return &c->unsaved_next;
    }
    if (l == &k->line) {
        *flag = &c->sch.in_line;
        return &c->sch.line_next;
    }
    if (l == &k->unstored) {
        *flag = &c->sch.unstored;
        return &c->sch.unstored_next;
    }
    if (l == &k->shut) {
        *flag = &c->shut;
        return &c->shut_next;
    }
    if (l == &k->thirsty) {
        *flag = &c->thirsty;
        return &c->thirsty_next;
    }
    *flag = &c->retrying;
    return &c->retry_next;
}

void
list_push(struct core *k, struct list *l, uint32_t i)
{
    bool *flag, *other;
    uint32_t *next = link_in(k, l, k->connectors[i], &flag);

    if (*flag)
        return;
    *flag = true;
    *next = NONE;
    if (l->tail == NONE)
        l->head = i;
    else
        *link_in(k, l, k->connectors[l->tail], &other) = i;
    l->tail = i;
}

uint32_t
list_pop(struct core *k, struct list *l)
{
    bool *flag;
    const uint32_t i = l->head;

    if (i == NONE)
        return NONE;
    l->head = *link_in(k, l, k->connectors[i], &flag);
    if (l->head == NONE)
        l->tail = NONE;
    *flag = false;
    return i;
}

static void
pub_changed(struct core *k, const struct core_event *e)
{
    const uint32_t p = e->u.broker.publisher;

    if (p >= k->cfg.publishers)
        return;
    switch (e->kind) {
    case CORE_UP:
        k->pubs[p] = (struct pub){.up = true, .session = e->u.broker.session};
        queues_back(k);
        break;
    case CORE_DOWN:
        if (k->pubs[p].up) {
            k->pubs[p].up = false;
            posting_down(k, p);
        }
        break;
    default:
        k->pubs[p].blocked = e->kind == CORE_BLOCKED;
        break;
    }
    /* What comes back when one goes down may be of a connector that a reload moved to another. */
    for (uint32_t i = 0; i < k->n_connectors; i++)
        if (k->connectors[i]->cfg.publisher == p || e->kind == CORE_DOWN)
            posting_pump(k, k->connectors[i]);
    credit_wake(k, p);
    schedule_wake(k);
}

static void
turn(struct core *k)
{
    uint32_t i;

    session_timers(k);
    queues_timers(k);
    schedule_timers(k);
    if (k->woken)
        schedule_wake(k);
    k->woken = false;
    posting_timers(k);
    spooling_turn(k);
    credit_serve(k);
    while ((i = list_pop(k, &k->dirty)) != NONE) {
        verdict_tell(k, k->connectors[i]);
        commit_look(k, k->connectors[i]); /* after the verdicts that let it go, or not */
        credit_tell(k, k->connectors[i]);
    }
}

void
core_step(struct core *k, const struct core_event *e, int64_t now_us, const struct core_sink *sink)
{
    uint32_t queue;

    if (now_us > k->now_us)
        k->now_us = now_us;
    k->sink = sink;
    switch (e->kind) {
    case CORE_CONFIGURE:
        session_configure(k, e);
        break;
    case CORE_MARK:
        session_mark(k, e->u.mark.id, e->u.mark.epoch, e->u.mark.answered);
        break;
    case CORE_MESSAGE:
        session_message(k, e->u.message.conn, e->u.message.msg, e->u.message.body_len);
        break;
    case CORE_GONE:
        session_gone(k, e->u.conn, "gone");
        break;
    case CORE_UP:
    case CORE_DOWN:
    case CORE_BLOCKED:
    case CORE_UNBLOCKED:
        pub_changed(k, e);
        break;
    case CORE_CONFIRMED:
        posting_confirmed(k, e->u.result.slot);
        break;
    case CORE_RETRY:
        queue = gate_refused(k, e->u.result.slot, e->u.result.went, e->u.result.went_bytes);
        posting_retry(k, e->u.result.slot);
        gate_served(k, queue);
        break;
    case CORE_FORMED:
        forming_done(k, e);
        break;
    case CORE_REFUSED:
        if (forming_refused(k, e))
            break;
        queue = gate_refused(k, e->u.result.slot, e->u.result.went, e->u.result.went_bytes);
        posting_refused(k, e->u.result.slot, e->u.result.reason, e->u.result.text);
        gate_served(k, queue);
        break;
    case CORE_ROW:
        run_load(k, &e->u.row);
        break;
    case CORE_WALL:
        k->wall_us = e->u.wall_us - k->now_us;
        break;
    case CORE_HOLD:
        schedule_hold(k, e->u.hold.id, e->u.hold.reasons);
        break;
    case CORE_OPERATOR:
        schedule_operator(k, e->u.operator.id, e->u.operator.action);
        break;
    case CORE_STORED:
        run_stored(k, e->u.stored.ticket, e->u.stored.ok);
        break;
    case CORE_COMMIT:
        commit_ask(k, e);
        break;
    case CORE_COMMITTED:
        commit_stored(k, e->u.stored.ticket, e->u.stored.ok);
        break;
    case CORE_SAMPLE:
    case CORE_COUNTED:
    case CORE_CONSUMERS:
    case CORE_QUEUE_GONE:
    case CORE_BROKER:
    case CORE_RESTARTED:
        queues_event(k, e);
        break;
    case CORE_SPOOL_FOUND:
    case CORE_SPOOLED:
    case CORE_SPOOL_SPACE:
        spooling_event(k, e);
        break;
    case CORE_FETCHED:
    case CORE_FETCH_END:
    case CORE_DAMAGED:
    case CORE_BURIED:
    case CORE_REVIVED:
        drain_event(k, e);
        break;
    case CORE_SAVE:
        verdict_save(k);
        run_save(k);
        break;
    case CORE_DRAIN:
        schedule_operator(k, NULL, CORE_DRAIN_ON);
        break;
    case CORE_STOP:
        session_stop(k);
        break;
    case CORE_TURN:
        turn(k);
        break;
    }
    k->sink = NULL;
}

int64_t
core_due(const struct core *k)
{
    int64_t due = INT64_MAX;

    if (k->heard.head != NONE)
        due = k->connectors[k->heard.head]->heard_us + k->cfg.ping_us * k->cfg.missed;
    /* Few connectors are ever in a retry wait at once: those whose queue just refused a message. */
    for (uint32_t i = k->retry.head; i != NONE; i = k->connectors[i]->retry_next)
        if (k->connectors[i]->retry_us < due)
            due = k->connectors[i]->retry_us;
    if (due_first(k) != NULL && due_first(k)->sch.due_us < due)
        due = due_first(k)->sch.due_us;
    if (queues_due(k) < due)
        due = queues_due(k);
    if (spooling_due(k) < due)
        due = spooling_due(k);
    if (k->hungry.head != NONE && k->now_us + 1000000 < due)
        due = k->now_us + 1000000; /* who waits for memory is told after a second */
    return due;
}

bool
core_configured(const struct core *k, const char *id)
{
    const uint32_t i = table_find(k, id, (uint32_t)strlen(id));

    return i != NONE && k->connectors[i]->configured;
}

const char *
core_connector_of(const struct core *k, uint64_t conn)
{
    const uint32_t i = table_of(k, conn);

    return i == NONE ? NULL : k->connectors[i]->cfg.id;
}

void
core_figures(const struct core *k, struct core_figures *ret)
{
    *ret = k->fig;
    ret->connectors = k->n_connectors;
    ret->wanting = k->wanting;
    ret->held_bytes = k->held + k->fetched;
    ret->spool_full = k->spool_full;
    for (uint32_t i = 0; i < k->n_connectors; i++) {
        ret->spooled += k->connectors[i]->drain.count;
        ret->spooled_bytes += k->connectors[i]->drain.bytes;
        ret->ahead += k->connectors[i]->drain.n - k->connectors[i]->drain.posted;
        ret->going += k->connectors[i]->spool.out;
    }
    ret->credit_out = k->credit_out;
    ret->memory_limit = k->cfg.memory_limit;
    for (uint32_t p = 0; p < k->cfg.publishers; p++)
        ret->can_publish |= k->pubs[p].up && !k->pubs[p].blocked;
}
