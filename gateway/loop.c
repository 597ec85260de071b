/* loop.c - one turn after the other: signals, what comes back, what comes in, and then what follows from it. */
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bodies.h"
#include "broker/publisher.h"
#include "clock.h"
#include "core/core.h"
#include "doors/door.h"
#include "err.h"
#include "log.h"
#include "mailbox.h"
#include "plan.h"
#include "settings.h"
#include "states.h"
#include "store/state.h"
#include "targets.h"

enum {
    TURN_MAX = 512,       /* messages from the door in one turn */
    AFTER_MAX = 1024,     /* things found during a step that are told to the core after it */
    LOST_MAX = 64
};

/* Published in this turn, handed over at its end: one wake-up for all. */
struct batch {
    struct pub_message *at;
    size_t              n, cap;
};

/* What a step of the core brought about that the core must hear of, but not within that step. */
struct after {
    struct core_event event;
};

struct loop {
    struct settings   *settings; /* owned */
    struct loop_source source;
    struct log        *log;
    struct core       *core;
    struct core_sink   sink;
    struct door       *door;
    struct bodies     *bodies;
    struct targets    *targets;
    struct state      *state;
    struct states     *states;
    struct mailbox    *pub_events, *answers;
    struct publisher  *publishers[CORE_PUBLISHERS_MAX];
    struct batch       batches[CORE_PUBLISHERS_MAX];
    struct pub_host   *hosts;
    struct pub_config  pub_config;
    struct state_mark  marks[64];
    size_t             n_marks;
    struct after       after[AFTER_MAX];
    size_t             n_after;
    const struct door_message *message; /* during the step that it is handed to */
    const struct wire_msg     *header;
    int64_t            now_us, save_us, stop_us; /* stop_us: when a drain is given up; 0: not stopping */
    int                signals;
    bool               stop;
};

/* --- effects --- */

static void
later(struct loop *l, const struct core_event *e)
{
    if (l->n_after < AFTER_MAX)
        l->after[l->n_after++].event = *e;
    /* Beyond that: a connection that is gone is found again by its silence. */
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
        later(l, &e);
}

static void
log_sent(struct loop *l, uint64_t conn, const struct wire_msg *m)
{
    const char *id = core_connector_of(l->core, conn);

    if (m->type == WIRE_WELCOME)
        log_event(l->log, LOG_INFO, "connector_welcomed", LOG_STR("connector", id), LOG_INT("epoch", m->epoch),
                  LOG_INT("attempt", m->attempt), LOG_INT("expect", m->expect));
    if (m->type == WIRE_ERROR)
        log_event(l->log, LOG_WARN, "connector_error", LOG_STR("connector", id),
                  LOG_STR("code", wire_reason_name(m->code)), LOG_TEXT("field", m->field.at, m->field.len),
                  LOG_TEXT("text", m->text.at, m->text.len));
    if (m->type == WIRE_STOP)
        log_event(l->log, LOG_INFO, "connector_stopped", LOG_STR("connector", id),
                  LOG_STR("reason", wire_reason_name(m->reason)));
    if (m->type == WIRE_VERDICT && m->verdict != WIRE_ACK)
        log_event(l->log, LOG_WARN, "bundle_refused", LOG_STR("connector", id), LOG_INT("seq", m->seq),
                  LOG_STR("reason", wire_reason_name(m->reason)), LOG_TEXT("text", m->text.at, m->text.len));
}

static void
reply(void *ctx, uint64_t conn, const struct wire_msg *m, const void *body, size_t len)
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

    if (first && in->body_len == size && size <= BODIES_COPY_MAX) {
        bodies_open_whole(l->bodies, slot, in->body, size, l->header->ctype);
        return;
    }
    body = first ? bodies_open(l->bodies, slot, size, l->header->ctype) : bodies_at(l->bodies, slot);
    to = body == NULL ? NULL : bodies_next(body);
    if (to == NULL)
        return; /* no memory: `publish` sees that the body is not whole */
    door_take(l->door, to);
    bodies_added(body);
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
        .connector = e->u.publish.connector,
        .epoch = e->u.publish.epoch,
        .seq = e->u.publish.seq,
    };
    struct core_event failed = {.kind = CORE_REFUSED};

    if (body != NULL && body->have == body->size && batch_add(&l->batches[e->u.publish.publisher], &m))
        return;
    failed.u.result.slot = e->u.publish.slot;
    failed.u.result.reason = WIRE_R_BUSY;
    failed.u.result.text = "the gateway had no memory for this bundle: push it again";
    later(l, &failed);
}

static void
flush_marks(struct loop *l)
{
    if (l->n_marks > 0 && state_mark(l->state, l->marks, l->n_marks, NULL) != 0)
        log_event(l->log, LOG_WARN, "marks_not_stored", LOG_INT("marks", l->n_marks));
    l->n_marks = 0;
}

static void
store_mark(struct loop *l, const struct core_effect *e)
{
    struct state_mark *m;

    if (l->n_marks == sizeof(l->marks) / sizeof(l->marks[0]))
        flush_marks(l);
    m = &l->marks[l->n_marks++];
    memset(m, 0, sizeof(*m));
    memcpy(m->connector, e->u.mark.id, strlen(e->u.mark.id));
    m->epoch = e->u.mark.epoch;
    m->answered = e->u.mark.answered;
}

static void
on_effect(void *ctx, const struct core_effect *e)
{
    struct loop *l = ctx;

    switch (e->kind) {
    case CORE_SEND:
        reply(l, e->u.send.conn, e->u.send.msg, NULL, 0);
        break;
    case CORE_CUT:
        door_cut(l->door, l->now_us);
        break;
    case CORE_FORGET:
        states_gone(l->states, e->u.conn);
        door_forget(l->door, e->u.conn);
        break;
    case CORE_KEEP:
        keep(l, e->u.keep.slot, e->u.keep.size, e->u.keep.first);
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
    }
}

/* One step, and what it left to be told. */
static void
step(struct loop *l, const struct core_event *e)
{
    core_step(l->core, e, l->now_us, &l->sink);
    while (l->n_after > 0) {
        const struct core_event next = l->after[--l->n_after].event;

        core_step(l->core, &next, l->now_us, &l->sink);
    }
}

static void
step_kind(struct loop *l, enum core_event_kind kind)
{
    const struct core_event e = {.kind = kind};

    step(l, &e);
}

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
    reply(l, conn, &m, NULL, 0);
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
        fault = (struct wire_fault){.code = WIRE_R_MALFORMED, .field = "", .text = "a second frame is missing or too much"};
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
        e.u.message.conn = in->conn;
        e.u.message.msg = &m;
        e.u.message.body_len = in->body_len;
        l->message = in;
        l->header = &m;
        step(l, &e);
        l->message = NULL;
        l->header = NULL;
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
    case PUB_BAD_TARGET:
        return WIRE_R_TARGET;
    default:
        return WIRE_R_REFUSED;
    }
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
        e.u.result.slot = (uint32_t)p->ticket;
        break;
    case PUB_NACKED:
        e.kind = CORE_RETRY;
        e.u.result.slot = (uint32_t)p->ticket;
        break;
    case PUB_RETURNED:
    case PUB_REFUSED:
    case PUB_BAD_TARGET:
        e.kind = CORE_REFUSED;
        e.u.result.slot = (uint32_t)p->ticket;
        e.u.result.reason = reason_of(p->kind);
        e.u.result.text = p->text;
        break;
    }
    step(l, &e);
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
configure(struct loop *l, const struct settings *s, struct err *err)
{
    const uint32_t before = targets_count(l->targets);
    struct core_connector unknown;
    struct core_connector *list;
    struct core_event e = {.kind = CORE_CONFIGURE};
    int rc = plan_connectors(s, l->targets, &list, &unknown, err);

    if (rc != 0)
        return rc;
    for (uint32_t i = before; rc == 0 && i < targets_count(l->targets); i++)
        rc = publisher_add_target(l->publishers[i % (uint32_t)s->broker.connections], targets_at(l->targets, i), err);
    if (rc == 0) {
        e.u.configure.list = list;
        e.u.configure.n = (uint32_t)s->n_connectors;
        e.u.configure.unknown = s->accept_unknown ? &unknown : NULL;
        step(l, &e);
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

    if (fresh == NULL || plan_reloadable(l->settings, fresh, &err) != 0 || configure(l, fresh, &err) != 0) {
        log_event(l->log, LOG_ERROR, "reload_refused", LOG_STR("text", err.text));
        settings_free(fresh);
        return;
    }
    log_set(l->log, fresh->log.format, fresh->log.level);
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
        step_kind(l, CORE_DRAIN);
    }
}

/* A drain is over when nothing is held, or nothing of it can go anywhere, or its time is up. */
static bool
drained(const struct loop *l)
{
    struct core_figures f;

    core_figures(l->core, &f);
    return f.held == 0 || !f.can_publish || l->now_us >= l->stop_us;
}

/* --- turns --- */

static void
flush_batches(struct loop *l)
{
    for (int i = 0; i < l->settings->broker.connections; i++) {
        struct batch *b = &l->batches[i];

        if (b->n > 0 && publisher_post(l->publishers[i], b->at, b->n, NULL) == 0)
            b->n = 0; /* on no memory they stay, and go with the next turn */
    }
}

static int
wait_ms(const struct loop *l, int64_t reap_us)
{
    int64_t due = core_due(l->core);

    if (l->save_us < due)
        due = l->save_us;
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
    states_answers(l->states, l->answers);
    if (take_door(l, err) != 0)
        return -1;
    if (l->now_us >= l->save_us) {
        step_kind(l, CORE_SAVE);
        flush_marks(l);
        l->save_us = l->now_us + l->settings->state.mark_us;
    }
    step_kind(l, CORE_TURN);
    flush_batches(l);
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
        {.fd = l->signals, .events = POLLIN},
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
    step_kind(l, CORE_STOP);
    step_kind(l, CORE_SAVE);
    flush_marks(l);
    return 0;
}

/* --- opening and closing --- */

static void
load_mark(void *ctx, const struct state_mark *m)
{
    struct loop *l = ctx;
    struct core_event e = {.kind = CORE_MARK};

    e.u.mark.id = m->connector;
    e.u.mark.epoch = m->epoch;
    e.u.mark.answered = m->answered;
    step(l, &e);
}

static int
open_core(struct loop *l, struct err *err)
{
    const struct settings *s = l->settings;
    struct core_config c = {
        .memory_limit = s->memory.limit,
        .max_bundle = s->memory.max_bundle,
        .chunk = s->door.chunk,
        .ping_us = s->door.ping_us,
        .missed = s->door.missed,
        .publishers = (uint32_t)s->broker.connections,
    };

    if (getrandom(&c.seed, sizeof(c.seed), 0) != (ssize_t)sizeof(c.seed))
        return err_set(err, ERR_IO, errno, "no randomness from the system");
    l->core = core_new(&c, err);
    l->sink = (struct core_sink){on_effect, l};
    return l->core == NULL ? -1 : 0;
}

static int
open_publishers(struct loop *l, struct err *err)
{
    l->hosts = plan_broker(l->settings, &l->pub_config, err);
    if (l->hosts == NULL)
        return -1;
    for (int i = 0; i < l->settings->broker.connections; i++) {
        l->publishers[i] = publisher_start(&l->pub_config, (uint32_t)i, l->pub_events, l->log, err);
        if (l->publishers[i] == NULL)
            return -1;
    }
    return 0;
}

static int
open_door(struct loop *l, struct err *err)
{
    const struct settings *s = l->settings;
    const struct door_config c = {
        .endpoint = s->door.endpoint,
        .backlog = s->door.backlog,
        .rcvhwm = s->door.rcvhwm,
        .max_frame = s->door.chunk > WIRE_HEADER_MAX ? s->door.chunk : WIRE_HEADER_MAX,
    };

    l->door = door_open(&c, err);
    return l->door == NULL ? -1 : 0;
}

static int
open_signals(struct loop *l, struct err *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    l->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return l->signals < 0 ? err_set(err, ERR_IO, errno, "signalfd") : 0;
}

static int
open_stores(struct loop *l, struct err *err)
{
    const struct states_reply r = {reply, l};

    l->pub_events = mailbox_new(sizeof(struct pub_event), err);
    l->answers = mailbox_new(sizeof(struct state_answer), err);
    l->bodies = bodies_new(err);
    l->targets = targets_new(err);
    if (l->pub_events == NULL || l->answers == NULL || l->bodies == NULL || l->targets == NULL)
        return -1;
    l->state = state_open(l->settings->state.dir, l->answers, l->log, err);
    if (l->state == NULL)
        return -1;
    l->states = states_new(l->state, &r, err);
    return l->states == NULL ? -1 : 0;
}

struct loop *
loop_new(struct settings *settings, const struct loop_source *source, struct log *log, struct err *err)
{
    struct loop *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        settings_free(settings);
        err_set(err, ERR_NOMEM, 0, "loop");
        return NULL;
    }
    l->settings = settings;
    l->source = *source;
    l->log = log;
    l->signals = -1;
    l->now_us = clock_mono_us();
    /* The door comes last: what it lets in must have somewhere to go. */
    if (open_signals(l, err) != 0 || open_stores(l, err) != 0 || open_core(l, err) != 0 ||
        open_publishers(l, err) != 0 || configure(l, settings, err) != 0 ||
        state_marks(l->state, load_mark, l, err) != 0 || open_door(l, err) != 0) {
        loop_free(l);
        return NULL;
    }
    return l;
}

void
loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    door_close(l->door);
    for (int i = 0; i < CORE_PUBLISHERS_MAX; i++) {
        publisher_free(l->publishers[i], 1000000);
        free(l->batches[i].at);
    }
    state_close(l->state);
    states_free(l->states);
    core_free(l->core);
    bodies_free(l->bodies);
    targets_free(l->targets);
    mailbox_free(l->pub_events);
    mailbox_free(l->answers);
    free(l->hosts);
    if (l->signals >= 0)
        close(l->signals);
    settings_free(l->settings);
    free(l);
}
