/* session.c - who is connected: hello, pings, reloads, and who was not heard of for too long. */
#include <string.h>

#include "machine.h"

/* What a connector is told about its own mistakes. */
void
session_error(struct core *k, uint64_t conn, enum wire_reason code, const char *field, const char *text,
              const struct connector *c)
{
    struct wire_msg m = {.type = WIRE_ERROR, .code = code, .text = {text, (uint32_t)strlen(text)}};

    m.has = 1ULL << WIRE_F_CODE | 1ULL << WIRE_F_TEXT | 1ULL << WIRE_F_FATAL;
    m.fatal = code == WIRE_R_UNKNOWN_ID;
    if (field != NULL) {
        m.field = (struct wire_text){field, (uint32_t)strlen(field)};
        m.has |= 1ULL << WIRE_F_FIELD;
    }
    if (c != NULL && code == WIRE_R_GAP) {
        m.expect = c->receiving ? c->expect - 1 : c->expect;
        m.has |= 1ULL << WIRE_F_EXPECT;
    }
    if (c != NULL && code == WIRE_R_EPOCH) {
        m.epoch = c->epoch;
        m.has |= 1ULL << WIRE_F_EPOCH;
    }
    core_send(k, conn, &m);
}

/* The list of the connected, longest silent first, so that only its head needs to be looked at. */
static void
unlink_heard(struct core *k, struct connector *c)
{
    if (c->heard_prev != NONE)
        k->connectors[c->heard_prev]->heard_next = c->heard_next;
    else if (k->heard.head == c->number)
        k->heard.head = c->heard_next;
    if (c->heard_next != NONE)
        k->connectors[c->heard_next]->heard_prev = c->heard_prev;
    else if (k->heard.tail == c->number)
        k->heard.tail = c->heard_prev;
    c->heard_prev = c->heard_next = NONE;
}

static void
heard(struct core *k, struct connector *c)
{
    c->heard_us = k->now_us;
    if (k->heard.tail == c->number)
        return;
    unlink_heard(k, c);
    c->heard_prev = k->heard.tail;
    if (k->heard.tail == NONE)
        k->heard.head = c->number;
    else
        k->connectors[k->heard.tail]->heard_next = c->number;
    k->heard.tail = c->number;
}

/* Its connection is no more: credit and half a bundle are freed, whole bundles go on. */
static void
detach(struct core *k, struct connector *c)
{
    table_unbind(k, c->conn);
    unlink_heard(k, c);
    c->conn = 0;
    k->fig.connected--;
    schedule_left(k, c);
    commit_drop(k, c);
    custody_drop_half(k, c);
    credit_reset(k, c);
    credit_want(k, c, 0, 0);
}

static void
disconnect(struct core *k, struct connector *c, const char *why)
{
    struct core_effect e = {.kind = CORE_FORGET, .u.forget = {c->conn, why}};

    core_emit(k, &e);
    detach(k, c);
}

void
session_gone(struct core *k, uint64_t conn, const char *why)
{
    const uint32_t i = table_of(k, conn);

    if (i != NONE)
        disconnect(k, k->connectors[i], why);
}

void
session_timers(struct core *k)
{
    const int64_t limit = k->cfg.ping_us * k->cfg.missed;

    while (k->heard.head != NONE && k->connectors[k->heard.head]->heard_us + limit <= k->now_us) {
        struct connector *c = k->connectors[k->heard.head];

        disconnect(k, c, "silent");
        run_lost(k, c);
    }
}

static void
send_stop(struct core *k, uint64_t conn, enum wire_reason reason)
{
    struct wire_msg m = {.type = WIRE_STOP, .has = 1ULL << WIRE_F_REASON, .reason = reason};

    core_send(k, conn, &m);
}

void
session_stop(struct core *k)
{
    for (uint32_t i = 0; i < k->n_connectors; i++)
        send_stop(k, k->connectors[i]->conn, WIRE_R_SHUTDOWN);
}

static void
send_welcome(struct core *k, const struct connector *c)
{
    struct wire_msg m = {.type = WIRE_WELCOME, .v = WIRE_VERSION, .epoch = c->epoch, .attempt = c->attempt};

    m.has = 1ULL << WIRE_F_V | 1ULL << WIRE_F_EPOCH | 1ULL << WIRE_F_ATTEMPT | 1ULL << WIRE_F_EXPECT |
            1ULL << WIRE_F_CREDIT | 1ULL << WIRE_F_PING_MS | 1ULL << WIRE_F_CHUNK | 1ULL << WIRE_F_MAX_BUNDLE;
    m.expect = c->expect;
    m.credit = c->limit;
    m.ping_ms = (uint64_t)(k->cfg.ping_us / 1000);
    m.chunk = k->cfg.chunk;
    m.max_bundle = k->cfg.max_bundle;
    core_send(k, c->conn, &m);
}

/* May this hello speak for the connector?  If not it has been answered. */
static bool
epoch_is_right(struct core *k, const struct connector *c, uint64_t conn, const struct wire_msg *m)
{
    if (m->epoch > c->epoch)
        return true;
    /* A fresh program has sent nothing: where bundles of its epoch are known, that was another program. */
    if (m->epoch == c->epoch && !(m->fresh && c->expect > 1)) {
        if (m->attempt > c->attempt)
            return true;
        /* On this connection it was overtaken by a newer one.  On another it is a second program, or begins again. */
        if (conn != c->conn)
            send_stop(k, conn, WIRE_R_REPLACED);
        return false;
    }
    if (m->fresh)
        session_error(k, conn, WIRE_R_EPOCH, "epoch",
                      "this epoch is not above the last one: take that plus one, and random bits", c);
    else
        send_stop(k, conn, WIRE_R_REPLACED);
    return false;
}

static uint32_t
find(struct core *k, uint64_t conn, const struct wire_msg *m)
{
    uint32_t i = table_find(k, m->id.at, m->id.len);

    if (i == NONE && k->accept_unknown && m->id.len < sizeof(k->unknown.id)) {
        struct core_connector cfg = k->unknown;

        memset(cfg.id, 0, sizeof(cfg.id));
        memcpy(cfg.id, m->id.at, m->id.len);
        i = k->n_connectors < CORE_UNKNOWN_MAX ? table_add(k, &cfg) : NONE;
        if (i == NONE) {
            session_error(k, conn, WIRE_R_BUSY, "id", "the gateway knows as many connectors as it can", NULL);
            return NONE;
        }
        k->connectors[i]->configured = true;
    }
    if (i == NONE || !k->connectors[i]->configured) {
        session_error(k, conn, WIRE_R_UNKNOWN_ID, "id",
                      "no connector of this id is configured: add it to connectors, or set accept_unknown", NULL);
        return NONE;
    }
    return i;
}

/* Is this another program than the one that has the run?  What we knew of epochs before we were started again may be
 * older than the run, or newer: each is stored in its own time. */
static bool
another(const struct connector *c, const struct wire_msg *m)
{
    if (m->epoch > c->epoch && (c->epoch != 0 || m->fresh))
        return true;
    return c->sch.expected && c->sch.run_epoch != 0 && c->sch.run_epoch != m->epoch;
}

static void
hello(struct core *k, uint64_t conn, const struct wire_msg *m)
{
    const uint32_t before = table_of(k, conn), i = find(k, conn, m);
    struct connector *c;

    if (i == NONE)
        return;
    if (m->seen > WIRE_NUMBER_MAX / 2) {
        session_error(k, conn, WIRE_R_FIELD, "seen", "no connector has seen so many verdicts", NULL);
        return;
    }
    c = k->connectors[i];
    if (m->epoch > CORE_EPOCH_MAX && m->epoch - c->epoch > CORE_EPOCH_STEP) {
        session_error(k, conn, WIRE_R_FIELD, "epoch",
                      "an epoch is at most 2^62: microseconds since 1970 times 1024 serve", NULL);
        return;
    }
    if (!epoch_is_right(k, c, conn, m))
        return;
    if (before != NONE && before != i)
        detach(k, k->connectors[before]); /* one connection, one connector: the last hello counts */
    if (c->conn != 0 && c->conn != conn) {
        if (m->epoch > c->epoch)
            send_stop(k, c->conn, WIRE_R_REPLACED);
        disconnect(k, c, m->epoch > c->epoch ? "replaced" : "reconnected");
    }
    if (!table_bind(k, conn, i))
        return; /* no memory: it will say hello again */
    if (c->conn == 0)
        k->fig.connected++;
    c->conn = conn;
    heard(k, c);
    commit_drop(k, c);
    custody_drop_half(k, c);
    if (another(c, m))
        run_lost(k, c); /* the run of the one before is over */
    if (m->epoch > c->epoch || m->seen >= c->expect)
        custody_reset(k, c, m->seen + 1);
    if (m->epoch > c->epoch) {
        commit_new_epoch(k, c);
        c->epoch = m->epoch;
        list_push(k, &k->unsaved, i);
    }
    c->attempt = m->attempt;
    c->gap = false;
    credit_reset(k, c);
    credit_want(k, c, m->want, m->head);
    verdict_seen(k, c, m->seen);
    verdict_repeat(k, c);
    send_welcome(k, c);
    run_declared(k, c, m);
}

static void
ping(struct core *k, struct connector *c, const struct wire_msg *m)
{
    struct wire_msg pong = {.type = WIRE_PONG, .has = 1ULL << WIRE_F_CREDIT | 1ULL << WIRE_F_EXPECT};

    verdict_seen(k, c, m->seen);
    verdict_repeat(k, c);
    credit_want(k, c, m->want, m->head);
    run_declared(k, c, m);
    if (c->gap)
        session_error(k, c->conn, WIRE_R_GAP, "seq", "bundles are missing before the last ones: say hello again", c);
    pong.credit = c->limit;
    pong.expect = c->receiving ? c->expect - 1 : c->expect;
    core_send(k, c->conn, &pong);
}

void
session_message(struct core *k, uint64_t conn, const struct wire_msg *m, uint64_t body_len)
{
    const uint32_t i = table_of(k, conn);
    struct connector *c;

    if (m->type == WIRE_HELLO) {
        hello(k, conn, m);
        return;
    }
    if (i == NONE) {
        session_error(k, conn, WIRE_R_HELLO_FIRST, NULL, "this connection was not welcomed: say hello", NULL);
        return;
    }
    c = k->connectors[i];
    heard(k, c);
    switch (m->type) {
    case WIRE_BUNDLE:
        custody_bundle(k, c, m, body_len);
        break;
    case WIRE_PING:
        ping(k, c, m);
        break;
    case WIRE_READY:
        schedule_ready(k, c, m);
        break;
    case WIRE_DONE:
        run_done(k, c, m);
        break;
    case WIRE_BYE:
        disconnect(k, c, "bye");
        run_lost(k, c);
        break;
    default:
        break; /* state, health and log are the shell's: here they only prove life */
    }
}

uint32_t
session_known(struct core *k, const char *id)
{
    uint32_t i = table_find(k, id, (uint32_t)strlen(id));

    if (i == NONE) {
        struct core_connector cfg = k->unknown;

        memset(cfg.id, 0, sizeof(cfg.id));
        strncpy(cfg.id, id, sizeof(cfg.id) - 1);
        i = k->n_connectors < CORE_UNKNOWN_MAX ? table_add(k, &cfg) : NONE;
        if (i != NONE)
            k->connectors[i]->configured = k->accept_unknown;
    }
    return i;
}

void
session_mark(struct core *k, const char *id, uint64_t epoch, uint64_t answered)
{
    const uint32_t i = session_known(k, id);
    struct connector *c;

    if (i == NONE)
        return;
    c = k->connectors[i];
    if (c->epoch != 0)
        return; /* it has spoken already, and knows better */
    c->epoch = epoch;
    c->first = c->expect = c->next_post = answered + 1;
    c->mark_told = answered;
}

void
session_row(struct core *k, struct connector *c, uint64_t epoch)
{
    if (epoch <= c->epoch)
        return;
    c->epoch = epoch; /* its mark was not written any more: what it has seen answered, it will say */
    c->first = c->expect = c->next_post = 1;
    c->mark_told = 0;
    list_push(k, &k->unsaved, c->number);
}

/* All but the id, which a publisher's thread may be reading. */
static void
reconfigure(struct connector *c, const struct core_connector *cfg)
{
    c->cfg.target = cfg->target;
    c->cfg.publisher = cfg->publisher;
    c->cfg.ordered = cfg->ordered;
    c->cfg.format = cfg->format;
    c->cfg.queue = cfg->queue;
    c->cfg.threshold = cfg->threshold;
    c->cfg.threshold_fixed = cfg->threshold_fixed;
    c->cfg.weight = cfg->weight;
    c->cfg.spool_limit = cfg->spool_limit;
    c->cfg.confirm = cfg->confirm;
    c->cfg.unanswered_max = cfg->unanswered_max;
    c->configured = true;
}

/* All of them, or no memory, or no number: who is known keeps his for as long as we run. */
static bool
make_known(struct core *k, const struct core_event *e)
{
    for (uint32_t n = 0; n < e->u.configure.n; n++) {
        const struct core_connector *cfg = &e->u.configure.list[n];

        if (table_find(k, cfg->id, (uint32_t)strlen(cfg->id)) == NONE && table_add(k, cfg) == NONE)
            return false;
    }
    return true;
}

void
session_configure(struct core *k, const struct core_event *e)
{
    if (!make_known(k, e))
        return; /* nothing is changed: the shell sees that some are not configured */
    k->accept_unknown = e->u.configure.unknown != NULL;
    if (k->accept_unknown)
        k->unknown = *e->u.configure.unknown;
    for (uint32_t i = 0; i < k->n_connectors; i++)
        k->connectors[i]->configured = false;
    for (uint32_t n = 0; n < e->u.configure.n; n++) {
        const struct core_connector *cfg = &e->u.configure.list[n];

        reconfigure(k->connectors[table_find(k, cfg->id, (uint32_t)strlen(cfg->id))], cfg);
    }
    for (uint32_t i = 0; i < k->n_connectors; i++)
        if (!k->connectors[i]->configured && k->accept_unknown)
            reconfigure(k->connectors[i], &k->unknown);
    k->spool = false;
    for (uint32_t i = 0; i < k->n_connectors; i++)
        k->spool = k->spool || k->connectors[i]->cfg.spool_limit > 0 || k->connectors[i]->drain.count > 0 ||
                   k->connectors[i]->spool.out > 0;
    queues_configure(k, e); /* without memory its connectors are held, see queues_blind */
    for (uint32_t i = 0; i < k->n_connectors; i++) {
        struct connector *c = k->connectors[i];

        if (!c->configured && c->conn != 0) {
            session_error(k, c->conn, WIRE_R_UNKNOWN_ID, "id", "this connector was taken out of the configuration", c);
            disconnect(k, c, "removed");
        }
        posting_pump(k, c);
    }
}
