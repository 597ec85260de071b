/* loop.c - one turn after the other: signals, what comes back, what comes in, and then what follows from it. */
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "admin/operators.h"
#include "bodies.h"
#include "clock.h"
#include "crash.h"
#include "doors/door.h"
#include "err.h"
#include "gauged.h"
#include "log.h"
#include "loop_parts.h"
#include "mailbox.h"
#include "parts.h"
#include "plan.h"
#include "settings.h"
#include "states.h"
#include "targets.h"

enum {
    TURN_MAX = 512,     /* messages from the door in one turn */
    LATE_US = 10000,    /* what found no memory, or no room at the store, is tried again after this */
    STOP_READ_MS = 150  /* for connectors to read that we stop */
};

/* --- what comes in --- */

static void
refuse_message(struct loop *l, uint64_t conn, const struct wire_fault *fault)
{
    struct wire_msg m = {.type = WIRE_ERROR, .code = fault->code, .versions = {WIRE_VERSION}};

    m.has = 1ULL << WIRE_F_CODE | 1ULL << WIRE_F_TEXT | 1ULL << WIRE_F_FATAL;
    m.text = (struct wire_text){fault->text, (uint32_t)strlen(fault->text)};
    if (fault->field[0] != '\0') {
        m.field = (struct wire_text){fault->field, (uint32_t)strlen(fault->field)};
        m.has |= 1ULL << WIRE_F_FIELD;
    }
    if (fault->code == WIRE_R_VERSION) {
        m.fatal = true;
        m.has |= 1ULL << WIRE_F_VERSIONS;
    }
    effects_send(l, conn, &m, NULL, 0);
}

static bool
decode(struct loop *l, const struct door_message *in, struct wire_msg *m)
{
    struct wire_fault fault = {.code = WIRE_R_MALFORMED, .field = ""};

    if (in->header == NULL || in->frames > 2) {
        memcpy(fault.text, "a message has one or two frames", sizeof("a message has one or two frames"));
    } else if (wire_decode(in->header, in->header_len, WIRE_FROM_CONNECTOR, m, &fault) == 0) {
        if (wire_has_body(m) == (in->frames == 2))
            return true;
        fault = (struct wire_fault){
            .code = WIRE_R_MALFORMED, .field = "", .text = "a second frame is missing or too much"};
    }
    refuse_message(l, in->conn, &fault);
    return false;
}

static enum log_level
level_of(enum wire_level level)
{
    static const enum log_level of[] = {LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG};

    return of[level];
}

/* What a connector says that decides nothing: it is written down, or handed to the store. */
static void
beside(struct loop *l, const char *id, const struct door_message *in, const struct wire_msg *m)
{
    static const char *const statuses[] = {"ok", "degraded", "failed"};

    if (m->type == WIRE_LOG)
        log_event(l->log, level_of(m->level), "connector_log", LOG_STR("connector", id),
                  LOG_TEXT("text", m->text.at, m->text.len));
    if (m->type == WIRE_HEALTH)
        log_event(l->log, m->status == WIRE_ST_OK ? LOG_INFO : LOG_WARN, "connector_health", LOG_STR("connector", id),
                  LOG_STR("status", statuses[m->status]), LOG_TEXT("text", m->text.at, m->text.len));
    if (m->type == WIRE_STATE)
        states_message(l->states, in->conn, id, m, in->body, in->body_len);
}

static void
take_message(struct loop *l, const struct door_message *in)
{
    struct wire_msg m;
    struct core_event e = {.kind = CORE_MESSAGE};
    const char *id;

    if (decode(l, in, &m)) {
        if (m.type == WIRE_BUNDLE)
            crash_point(CRASH_RECEIVED);
        e.u.message.conn = in->conn;
        e.u.message.msg = &m;
        e.u.message.body_len = in->body_len;
        l->message = in;
        l->header = &m;
        effects_step(l, &e);
        l->message = NULL;
        l->header = NULL;
        if (m.type == WIRE_HELLO)
            states_gone(l->states, in->conn); /* what was under way before it is forgotten */
        id = core_connector_of(l->core, in->conn);
        if (id != NULL && (m.type == WIRE_LOG || m.type == WIRE_HEALTH || m.type == WIRE_STATE))
            beside(l, id, in, &m);
    }
    if (core_connector_of(l->core, in->conn) == NULL)
        door_forget(l->door, in->conn); /* only who is welcomed is remembered */
}

static int
take_door(struct loop *l, struct err *err)
{
    struct door_message in;

    for (int i = 0; i < TURN_MAX; i++) {
        const int rc = door_receive(l->door, &in, err);

        if (rc <= 0)
            return rc;
        take_message(l, &in);
    }
    return 0;
}

static enum wire_reason
reason_of(enum pub_event_kind kind)
{
    switch (kind) {
    case PUB_RETURNED:
        return WIRE_R_UNROUTABLE;
    case PUB_TOO_LARGE:
        return WIRE_R_TOO_LARGE;
    case PUB_BAD_TARGET:
        return WIRE_R_TARGET;
    default:
        return WIRE_R_REFUSED;
    }
}

/* Of a bundle that did not go whole: how much of it went all the same?  Not less than did. */
static void
went(const struct loop *l, struct core_event *e)
{
    const struct body *body = bodies_at(l->bodies, e->u.result.slot);
    const struct parts *parts = body == NULL ? NULL : body->parts;

    if (parts == NULL)
        return;
    e->u.result.went = parts->went;
    e->u.result.went_bytes = parts->went * parts->largest < parts->bytes ? parts->went * parts->largest : parts->bytes;
}

static void
take_pub_event(struct loop *l, const struct pub_event *p)
{
    struct core_event e = {.kind = CORE_CONFIRMED};

    switch (p->kind) {
    case PUB_UP:
    case PUB_DOWN:
    case PUB_BLOCKED:
    case PUB_UNBLOCKED:
        e.kind = p->kind == PUB_UP        ? CORE_UP
                 : p->kind == PUB_DOWN    ? CORE_DOWN
                 : p->kind == PUB_BLOCKED ? CORE_BLOCKED
                                          : CORE_UNBLOCKED;
        e.u.broker.publisher = p->publisher;
        e.u.broker.session = p->session;
        if (p->kind == PUB_DOWN)
            l->batches[p->publisher].n = 0; /* of the session that ended: the core has them back */
        break;
    case PUB_CONFIRMED:
        crash_point(CRASH_CONFIRMED);
        e.u.result.slot = (uint32_t)p->ticket;
        break;
    case PUB_NACKED:
        /* From here on the order of its connector may differ, unless it is `ordered`. */
        log_event(l->log, LOG_WARN, "broker_nacked", LOG_INT("publisher", p->publisher), LOG_STR("text", p->text));
        e.kind = CORE_RETRY;
        e.u.result.slot = (uint32_t)p->ticket;
        went(l, &e);
        break;
    case PUB_RETURNED:
    case PUB_REFUSED:
    case PUB_TOO_LARGE:
    case PUB_BAD_TARGET:
        e.kind = CORE_REFUSED;
        e.u.result.slot = (uint32_t)p->ticket;
        e.u.result.reason = reason_of(p->kind);
        e.u.result.text = p->text;
        went(l, &e);
        break;
    }
    effects_step(l, &e);
}

static void
take_pub_events(struct loop *l)
{
    void *taken;
    const size_t n = mailbox_take(l->pub_events, &taken);
    const struct pub_event *p = taken;

    for (size_t i = 0; i < n; i++) {
        take_pub_event(l, &p[i]);
        free(p[i].text);
    }
}

/* --- configuration --- */

static int
check_configured(const struct loop *l, const struct core_connector *list, uint32_t n, struct err *err)
{
    for (uint32_t i = 0; i < n; i++)
        if (!core_configured(l->core, list[i].id))
            return err_set(err, ERR_FULL, 0,
                           "connectors: there is no room for %s and all that were known before, at most %d: restart "
                           "sluiced",
                           list[i].id, CORE_CONNECTORS_MAX);
    return 0;
}

int
loop_configure(struct loop *l, const struct settings *s, struct err *err)
{
    const uint32_t before = targets_count(l->targets);
    struct core_connector unknown;
    struct core_connector *list;
    struct core_limits limits;
    struct core_event e = {.kind = CORE_CONFIGURE};
    int rc = plan_connectors(s, l->targets, l->gauged, &list, &unknown, err);

    if (rc != 0)
        return rc;
    for (uint32_t i = before; rc == 0 && i < targets_count(l->targets); i++)
        rc = publisher_add_target(l->publishers[i % (uint32_t)s->broker.connections], targets_at(l->targets, i), err);
    if (rc == 0)
        rc = measures_configure(l, err);
    if (rc == 0) {
        e.u.configure.queues = gauged_list(l->gauged);
        e.u.configure.n_queues = gauged_count(l->gauged);
        e.u.configure.limits = plan_limits(s, &limits) ? &limits : NULL;
        e.u.configure.list = list;
        e.u.configure.n = (uint32_t)s->n_connectors;
        e.u.configure.unknown = s->accept_unknown ? &unknown : NULL;
        effects_step(l, &e);
        rc = check_configured(l, list, e.u.configure.n, err);
    }
    free(list);
    return rc;
}

/* All or nothing: what cannot be changed while we run refuses the whole of it. */
static void
reload(struct loop *l)
{
    struct err err = {0};
    struct settings *fresh = l->source.load(l->source.ctx, &err);

    if (fresh == NULL || plan_reloadable(l->settings, fresh, &err) != 0 || loop_configure(l, fresh, &err) != 0) {
        log_event(l->log, LOG_ERROR, "reload_refused", LOG_STR("text", err.text));
        settings_free(fresh);
        return;
    }
    log_set(l->log, fresh->log.format, fresh->log.level);
    if (l->settings != l->first)
        settings_free(l->settings);
    l->settings = fresh;
    log_event(l->log, LOG_INFO, "reloaded", LOG_INT("connectors", fresh->n_connectors));
}

static void
take_signals(struct loop *l)
{
    struct signalfd_siginfo info;

    while (read(l->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            reload(l);
            continue;
        }
        if (l->stop_us != 0) {
            l->stop = true;
            log_event(l->log, LOG_WARN, "stopping_at_once", LOG_INT("signal", info.ssi_signo));
            continue;
        }
        l->stop_us = l->now_us + l->settings->stop_us;
        log_event(l->log, LOG_INFO, "stopping", LOG_INT("signal", info.ssi_signo),
                  LOG_INT("within_ms", l->settings->stop_us / 1000));
        effects_step_kind(l, CORE_DRAIN);
    }
}

/* A drain is over when nothing is held but what the spool has, or nothing of it can go anywhere, or its time is up. */
static bool
drained(const struct loop *l)
{
    struct core_figures f;

    core_figures(l->core, &f);
    return f.held == f.ahead || (!f.can_publish && f.going == 0) || l->now_us >= l->stop_us;
}

/* --- turns --- */

static int
wait_ms(const struct loop *l, int64_t reap_us)
{
    int64_t due = core_due(l->core);

    if (l->save_us < due)
        due = l->save_us;
    if (l->wake_us != 0 && l->wake_us < due)
        due = l->wake_us;
    if (operators_due(l->operators) < due)
        due = operators_due(l->operators);
    for (int i = 0; i < l->settings->broker.connections; i++)
        if (l->batches[i].n > 0 && l->now_us + LATE_US < due)
            due = l->now_us + LATE_US;
    if (l->states_late && l->now_us + LATE_US < due)
        due = l->now_us + LATE_US;
    if (reap_us < due)
        due = reap_us;
    if (l->stop_us != 0 && l->now_us + 20000 < due)
        due = l->now_us + 20000;
    if (due <= l->now_us)
        return 0;
    due = (due - l->now_us + 999) / 1000;
    return due > 60000 ? 60000 : (int)due;
}

static int
turn(struct loop *l, struct err *err)
{
    l->now_us = clock_mono_us();
    take_signals(l);
    take_pub_events(l);
    formed_take(l);
    spooled_take(l);
    measures_take(l);
    schedules_answers(l);
    schedules_wall(l);
    operators_turn(l->operators, l->now_us);
    if (take_door(l, err) != 0)
        return -1;
    if (l->now_us >= l->save_us) {
        effects_step_kind(l, CORE_SAVE);
        effects_marks(l);
        l->save_us = l->now_us + l->settings->state.mark_us;
    }
    effects_step_kind(l, CORE_TURN);
    effects_post(l);
    schedules_wake(l);
    if (l->stop_us != 0 && drained(l))
        l->stop = true;
    return 0;
}

int
loop_run(struct loop *l, struct err *err)
{
    struct pollfd fds[] = {
        {.fd = door_fd(l->door), .events = POLLIN},
        {.fd = mailbox_fd(l->pub_events), .events = POLLIN},
        {.fd = mailbox_fd(l->answers), .events = POLLIN},
        {.fd = mailbox_fd(l->formed), .events = POLLIN},
        {.fd = l->spooled == NULL ? -1 : mailbox_fd(l->spooled), .events = POLLIN},
        {.fd = mailbox_fd(l->figures), .events = POLLIN},
        {.fd = mailbox_fd(l->counted), .events = POLLIN},
        {.fd = l->signals, .events = POLLIN},
        {.fd = operators_fd(l->operators), .events = POLLIN},
    };

    log_event(l->log, LOG_INFO, "ready", LOG_STR("endpoint", door_endpoint(l->door)),
              LOG_INT("connectors", l->settings->n_connectors));
    while (!l->stop) {
        const int64_t reap_us = door_reap(l->door, l->now_us);

        if (!door_ready(l->door) && poll(fds, sizeof(fds) / sizeof(fds[0]), wait_ms(l, reap_us)) < 0 && errno != EINTR)
            return err_set(err, ERR_IO, errno, "poll");
        if (turn(l, err) != 0)
            return -1;
    }
    effects_step_kind(l, CORE_STOP);
    /* What arrives right before a connection ends may be thrown away by the other's libzmq: let it be read first. */
    poll(NULL, 0, STOP_READ_MS);
    spooled_take(l);
    take_pub_events(l); /* what was confirmed meanwhile need not go twice */
    effects_step_kind(l, CORE_SAVE);
    effects_marks(l);
    return l->broken ? err_set(err, ERR_IO, 0, "the spool failed to flush: it is read anew at the next start") : 0;
}
