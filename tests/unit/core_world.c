/* core_world.c - see core_world.h. */
#include "core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "err.h"

/* --- the sink --- */

static char *
copy(struct wire_text *t)
{
    char *c = t->at == NULL ? NULL : strndup(t->at, t->len);

    t->at = c;
    return c;
}

static void
note_said(struct world *w, uint64_t conn, const struct wire_msg *m)
{
    unsigned char frame[WIRE_HEADER_MAX];
    struct said *s = &w->said[w->n_said];

    assert_true(w->n_said < WORLD_SAID_MAX);
    assert_true(conn != 0);
    if (wire_encode(m, frame, sizeof(frame)) == 0)
        fail_msg("the core made a message that cannot be encoded: %s", wire_type_name(m->type));
    w->n_said++;
    *s = (struct said){.conn = conn, .m = *m};
    s->text = copy(&s->m.text);
    s->field = copy(&s->m.field);
}

static void
note_posted(struct world *w, const struct core_effect *e)
{
    struct posted *p = &w->posted[w->n_posted++];

    assert_true(w->n_posted < WORLD_POSTED_MAX);
    *p = (struct posted){.slot = e->u.publish.slot,
                         .publisher = e->u.publish.publisher,
                         .session = e->u.publish.session,
                         .target = e->u.publish.target,
                         .epoch = e->u.publish.epoch,
                         .seq = e->u.publish.seq,
                         .open = true};
    snprintf(p->connector, sizeof(p->connector), "%s", e->u.publish.connector);
}

/* The newest 256 are enough to look at. */
#define NOTE(list, n, ...) ((list)[(n)++ % (sizeof(list) / sizeof((list)[0]))] = (__VA_ARGS__))

static void
note_row(struct world *w, const struct core_effect *e)
{
    struct row r = {.ticket = e->u.store.ticket, .later = e->u.store.later, .row = e->u.store.row};

    snprintf(r.id, sizeof(r.id), "%s", e->u.store.row.id);
    r.row.id = NULL;
    assert_true(w->n_rows - w->n_stored < sizeof(w->rows) / sizeof(w->rows[0]));
    NOTE(w->rows, w->n_rows, r);
}

static void
note_go(struct world *w, const struct core_effect *e)
{
    struct leave l = {.go = true, .ticket = e->u.go.ticket, .stored = e->u.go.stored, .has_row = e->u.go.row != NULL};

    if (l.has_row)
        l.row = *e->u.go.row;
    NOTE(w->leaves, w->n_leaves, l);
}

static void
note_fail(struct world *w, const struct core_effect *e)
{
    const struct leave l = {.ticket = e->u.fail.ticket, .reason = e->u.fail.reason, .seq = e->u.fail.seq};

    NOTE(w->leaves, w->n_leaves, l);
}

static void
note_journal(struct world *w, const struct core_effect *e)
{
    struct line l = {.reasons = e->u.journal.reasons, .has_inputs = e->u.journal.inputs != NULL};

    snprintf(l.what, sizeof(l.what), "%s", e->u.journal.what);
    snprintf(l.id, sizeof(l.id), "%s", e->u.journal.id == NULL ? "" : e->u.journal.id);
    if (l.has_inputs)
        l.inputs = *e->u.journal.inputs;
    NOTE(w->lines, w->n_lines, l);
}

static void
note_errand(struct world *w, const struct core_effect *e)
{
    struct errand n = {.kind = e->kind};

    if (e->kind == CORE_SPOOL)
        n = (struct errand){e->kind, e->u.spool.slot, e->u.spool.number, 0, e->u.spool.epoch, e->u.spool.seq, 0,
                            e->u.spool.alone, e->u.spool.dead, e->u.spool.reason};
    else if (e->kind == CORE_FETCH)
        n = (struct errand){.kind = e->kind, .number = e->u.fetch.number, .pos = e->u.fetch.pos,
                            .bytes = e->u.fetch.bytes};
    else if (e->kind == CORE_RELEASE)
        n = (struct errand){.kind = e->kind, .number = e->u.release.number, .pos = e->u.release.pos};
    else
        n = (struct errand){.kind = e->kind, .number = e->u.bury.number, .pos = e->u.bury.pos,
                            .reason = e->u.bury.reason};
    NOTE(w->errands, w->n_errands, n);
}

static void
note(void *ctx, const struct core_effect *e)
{
    struct world *w = ctx;
    struct mark m = {.epoch = 0};

    w->in_core = false;
    switch (e->kind) {
    case CORE_SEND:
        note_said(w, e->u.send.conn, e->u.send.msg);
        break;
    case CORE_CUT:
        NOTE(w->cut, w->n_cut, e->u.conn);
        break;
    case CORE_FORGET:
        NOTE(w->forgotten, w->n_forgotten, e->u.forget.conn);
        break;
    case CORE_KEEP:
        NOTE(w->kept, w->n_kept, (struct kept){e->u.keep.slot, e->u.keep.size, e->u.keep.first});
        break;
    case CORE_FORM:
        NOTE(w->forming, w->n_forming, e->u.form.slot);
        break;
    case CORE_FREE:
        NOTE(w->freed, w->n_freed, e->u.slot);
        break;
    case CORE_PUBLISH:
        note_posted(w, e);
        break;
    case CORE_STORE_MARK:
        m.epoch = e->u.mark.epoch;
        m.answered = e->u.mark.answered;
        snprintf(m.id, sizeof(m.id), "%s", e->u.mark.id);
        NOTE(w->marks, w->n_marks, m);
        break;
    case CORE_STORE_ROW:
        note_row(w, e);
        break;
    case CORE_COMMIT_GO:
        note_go(w, e);
        break;
    case CORE_COMMIT_FAIL:
        note_fail(w, e);
        break;
    case CORE_COUNT:
        NOTE(w->counts, w->n_counts, e->u.queue);
        break;
    case CORE_JOURNAL:
        note_journal(w, e);
        break;
    case CORE_SPOOL:
    case CORE_FETCH:
    case CORE_RELEASE:
    case CORE_BURY:
        note_errand(w, e);
        break;
    case CORE_CLEAR_STATE:
    case CORE_NEWS:
        break; /* the store's and the log's alone */
    }
    w->in_core = true;
}

/* --- the world --- */

static void
step(struct world *w, const struct core_event *e)
{
    const char *wrong;

    w->in_core = true;
    core_step(w->core, e, w->now, &w->sink);
    w->in_core = false;
    wrong = w->unchecked ? NULL : core_check(w->core);
    if (wrong != NULL)
        fail_msg("after an event of kind %d: %s", (int)e->kind, wrong);
}

void
disk_answers(struct world *w, bool ok)
{
    while (w->n_stored < w->n_rows) {
        const struct row *r = &w->rows[w->n_stored++ % (sizeof(w->rows) / sizeof(w->rows[0]))];
        const struct core_event e = {.kind = CORE_STORED, .u.stored = {r->ticket, ok}};

        step(w, &e);
    }
}

void
world_step(struct world *w, const struct core_event *e)
{
    step(w, e);
    if (!w->slow_disk)
        disk_answers(w, true);
}

struct core_row *
row_last(struct world *w, const char *id)
{
    const uint32_t cap = sizeof(w->rows) / sizeof(w->rows[0]);

    for (uint32_t i = 1; i <= w->n_rows && i <= cap; i++)
        if (strcmp(w->rows[(w->n_rows - i) % cap].id, id) == 0)
            return &w->rows[(w->n_rows - i) % cap].row;
    fail_msg("no row of %s was to be stored", id);
    return NULL;
}

void
world_kind(struct world *w, enum core_event_kind kind)
{
    const struct core_event e = {.kind = kind};

    world_step(w, &e);
}

void
world_turn(struct world *w)
{
    world_kind(w, CORE_TURN);
}

void
world_pass(struct world *w, int64_t us)
{
    w->now += us;
    world_turn(w);
}

void
world_configure(struct world *w, const struct core_connector *list, uint32_t n, const struct core_connector *unknown)
{
    struct core_event e = {.kind = CORE_CONFIGURE};

    e.u.configure.list = list;
    e.u.configure.n = n;
    e.u.configure.unknown = unknown;
    world_step(w, &e);
}

static void
configure_usual(struct world *w)
{
    const struct core_connector list[] = {
        {.id = "feed", .target = 1},
        {.id = "slow", .target = 2},
        {.id = "ordered", .target = 3, .publisher = 1, .ordered = true},
    };

    world_configure(w, list, 3, NULL);
}

struct world *
world_with(uint64_t memory, uint64_t max_bundle)
{
    struct world *w = calloc(1, sizeof(*w));
    struct err err;

    assert_non_null(w);
    w->cfg = (struct core_config){.memory_limit = memory,
                                  .max_bundle = max_bundle,
                                  .chunk = WORLD_CHUNK,
                                  .ping_us = WORLD_PING,
                                  .missed = 3,
                                  .publishers = 2,
                                  .seed = 1};
    w->core = core_new(&w->cfg, &err);
    assert_non_null(w->core);
    w->sink = (struct core_sink){note, w};
    w->now = 5 * SECOND;
    w->next_epoch = 1000;
    configure_usual(w);
    return w;
}

struct world *
world_new(void)
{
    return world_with(8 * MIB, MIB);
}

int
world_setup(void **state)
{
    struct world *w = world_new();

    broker_up(w, 0);
    broker_up(w, 1);
    *state = w;
    return 0;
}

void
world_forget(struct world *w)
{
    for (uint32_t i = 0; i < w->n_said; i++) {
        free(w->said[i].text);
        free(w->said[i].field);
    }
    w->n_said = w->n_kept = w->n_freed = w->n_cut = w->n_forgotten = 0;
}

void
world_restart(struct world *w)
{
    struct err err;

    core_free(w->core);
    w->core = core_new(&w->cfg, &err);
    assert_non_null(w->core);
    w->n_posted = 0;
    world_forget(w);
    configure_usual(w);
    for (uint32_t i = 0; i < w->n_marks; i++) {
        struct core_event e = {.kind = CORE_MARK};
        bool newer = false;

        for (uint32_t j = i + 1; j < w->n_marks; j++)
            newer = newer || strcmp(w->marks[i].id, w->marks[j].id) == 0;
        if (newer)
            continue;
        e.u.mark.id = w->marks[i].id;
        e.u.mark.epoch = w->marks[i].epoch;
        e.u.mark.answered = w->marks[i].answered;
        world_step(w, &e);
    }
}

void
world_free(struct world *w)
{
    if (w == NULL)
        return;
    world_forget(w);
    core_free(w->core);
    free(w);
}

int
world_teardown(void **state)
{
    world_free(*state);
    return 0;
}

/* --- the broker --- */

static void
broker_event(struct world *w, enum core_event_kind kind, uint32_t publisher, uint32_t session)
{
    struct core_event e = {.kind = kind};

    e.u.broker.publisher = publisher;
    e.u.broker.session = session;
    world_step(w, &e);
}

void
broker_up(struct world *w, uint32_t publisher)
{
    broker_event(w, CORE_UP, publisher, ++w->sessions);
}

void
broker_down(struct world *w, uint32_t publisher)
{
    for (uint32_t i = 0; i < w->n_posted; i++)
        if (w->posted[i].publisher == publisher)
            w->posted[i].open = false;
    broker_event(w, CORE_DOWN, publisher, 0);
}

void
broker_blocked(struct world *w, uint32_t publisher, bool blocked)
{
    broker_event(w, blocked ? CORE_BLOCKED : CORE_UNBLOCKED, publisher, 0);
}

static struct posted *
find_open(const struct peer *p, uint64_t seq)
{
    for (uint32_t i = p->w->n_posted; i > 0; i--) {
        struct posted *at = &p->w->posted[i - 1];

        if (at->open && at->seq == seq && at->epoch == p->epoch && strcmp(at->connector, p->id) == 0)
            return at;
    }
    return NULL;
}

static void
report(struct peer *p, uint64_t seq, enum core_event_kind kind, enum wire_reason reason, const char *text)
{
    struct posted *at = find_open(p, seq);
    struct core_event e = {.kind = kind};

    if (at == NULL)
        fail_msg("bundle %lu of %s is at no publisher", (unsigned long)seq, p->id);
    else
        at->open = false;
    e.u.result.slot = at == NULL ? UINT32_MAX : at->slot;
    e.u.result.reason = reason;
    e.u.result.text = text;
    world_step(p->w, &e);
}

void
broker_confirms(struct peer *p, uint64_t seq)
{
    report(p, seq, CORE_CONFIRMED, WIRE_R_NONE, NULL);
}

void
broker_nacks(struct peer *p, uint64_t seq)
{
    report(p, seq, CORE_RETRY, WIRE_R_NONE, NULL);
}

void
broker_refuses(struct peer *p, uint64_t seq, enum wire_reason reason, const char *text)
{
    report(p, seq, CORE_REFUSED, reason, text);
}

void
format_forms(struct world *w, uint32_t slot, uint32_t messages, uint64_t bytes, const char *left_out)
{
    const struct core_event e = {.kind = CORE_FORMED, .u.formed = {slot, messages, bytes, bytes, left_out}};

    world_step(w, &e);
}

void
format_refuses(struct world *w, uint32_t slot, enum wire_reason reason, const char *text)
{
    const struct core_event e = {
        .kind = CORE_REFUSED, .u.result = {.slot = slot, .reason = reason, .text = text}};

    world_step(w, &e);
}

bool
broker_has(const struct peer *p, uint64_t seq)
{
    return find_open(p, seq) != NULL;
}

struct posted *
broker_newest(struct world *w)
{
    return w->n_posted == 0 ? NULL : &w->posted[w->n_posted - 1];
}

uint32_t
times_posted(const struct peer *p, uint64_t seq)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->w->n_posted; i++)
        n += p->w->posted[i].seq == seq && p->w->posted[i].epoch == p->epoch &&
             strcmp(p->w->posted[i].connector, p->id) == 0;
    return n;
}

/* --- connectors --- */

struct peer
peer_new(struct world *w, const char *id)
{
    struct peer p = {.w = w, .epoch = w->next_epoch++, .fresh = true, .next = 1};

    snprintf(p.id, sizeof(p.id), "%s", id);
    peer_reconnects(&p);
    return p;
}

void
peer_reconnects(struct peer *p)
{
    p->conn = 1ULL << 32 | ++p->w->next_conn;
}

/* What the core said to it, taken in by its rules. */
static void
listen(struct peer *p, uint32_t from)
{
    for (uint32_t i = from; i < p->w->n_said; i++) {
        const struct wire_msg *m = &p->w->said[i].m;

        if (p->w->said[i].conn != p->conn)
            continue;
        if (m->type == WIRE_WELCOME && m->epoch == p->epoch && m->attempt == p->attempt) {
            p->fresh = false;
            p->credit = p->spent = 0;
            p->next = m->expect;
        }
        if ((m->type == WIRE_WELCOME || m->type == WIRE_CREDIT || m->type == WIRE_PONG) && m->credit > p->credit)
            p->credit = m->credit;
        if (m->type == WIRE_PERMIT) {
            memcpy(p->run, m->run, sizeof(p->run));
            p->has_run = true;
        }
    }
}

static void
say(struct peer *p, struct wire_msg *m, uint64_t body_len)
{
    const uint32_t before = p->w->n_said;
    struct core_event e = {.kind = CORE_MESSAGE};

    e.u.message.conn = p->conn;
    e.u.message.msg = m;
    e.u.message.body_len = body_len;
    world_step(p->w, &e);
    listen(p, before);
}

bool
peer_hello(struct peer *p)
{
    const uint32_t before = said_count(p->w, p->conn, WIRE_WELCOME);
    struct wire_msg m = {.type = WIRE_HELLO, .v = WIRE_VERSION, .epoch = p->epoch, .attempt = ++p->attempt};

    m.has = 1ULL << WIRE_F_V | 1ULL << WIRE_F_ID | 1ULL << WIRE_F_EPOCH | 1ULL << WIRE_F_ATTEMPT |
            1ULL << WIRE_F_FRESH | 1ULL << WIRE_F_SEEN | 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD;
    m.id = (struct wire_text){p->id, (uint32_t)strlen(p->id)};
    m.fresh = p->fresh;
    m.seen = p->seen;
    m.want = p->want;
    m.head = p->head;
    if (p->has_run) {
        m.has |= 1ULL << WIRE_F_RUN;
        memcpy(m.run, p->run, sizeof(m.run));
    }
    say(p, &m, 0);
    return said_count(p->w, p->conn, WIRE_WELCOME) > before;
}

struct peer
peer_welcomed(struct world *w, const char *id)
{
    struct peer p = peer_new(w, id);

    assert_true(peer_hello(&p));
    return p;
}

void
peer_ping(struct peer *p)
{
    struct wire_msg m = {.type = WIRE_PING, .seen = p->seen, .want = p->want, .head = p->head};

    m.has = 1ULL << WIRE_F_SEEN | 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD;
    if (p->has_run) {
        m.has |= 1ULL << WIRE_F_RUN;
        memcpy(m.run, p->run, sizeof(m.run));
    }
    say(p, &m, 0);
}

void
peer_asks(struct peer *p, uint64_t want, uint64_t head)
{
    const uint32_t before = p->w->n_said;

    p->want = want;
    p->head = head;
    peer_ping(p);
    world_turn(p->w);
    listen(p, before);
}

void
peer_ready(struct peer *p)
{
    struct wire_msg m = {.type = WIRE_READY, .want = p->want, .head = p->head};

    m.has = 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD | 1ULL << WIRE_F_SCHEDULE;
    m.schedule = WIRE_S_CONTINUOUS;
    say(p, &m, 0);
}

void
peer_plans(struct peer *p, struct wire_msg plan)
{
    const uint32_t before = p->w->n_said;

    plan.type = WIRE_READY;
    plan.has |= 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD | 1ULL << WIRE_F_SCHEDULE;
    plan.want = p->want;
    plan.head = p->head;
    say(p, &plan, 0);
    world_turn(p->w);
    listen(p, before);
}

void
peer_waits(struct peer *p, int64_t us)
{
    while (us > 0) {
        const int64_t step_us = us < WORLD_PING ? us : WORLD_PING;
        const uint32_t before = p->w->n_said;

        world_pass(p->w, step_us);
        listen(p, before);
        peer_ping(p);
        us -= step_us;
    }
    world_turn(p->w);
}

void
peer_commits(struct peer *p, uint64_t after, const uint8_t *run, uint64_t ticket)
{
    struct core_event e = {.kind = CORE_COMMIT};

    e.u.commit.conn = p->conn;
    e.u.commit.after = after;
    e.u.commit.ticket = ticket;
    e.u.commit.has_run = run != NULL;
    if (run != NULL)
        memcpy(e.u.commit.run, run, sizeof(e.u.commit.run));
    world_step(p->w, &e);
    world_turn(p->w);
}

void
peer_sees(struct peer *p, uint64_t seen)
{
    p->seen = seen;
    peer_ping(p);
    world_turn(p->w);
}

void
peer_done(struct peer *p, const uint8_t run[WIRE_RUN_LEN])
{
    struct wire_msg m = {.type = WIRE_DONE, .has = 1ULL << WIRE_F_RUN | 1ULL << WIRE_F_OUTCOME};

    memcpy(m.run, run, sizeof(m.run));
    p->has_run = false;
    say(p, &m, 0);
}

void
peer_says(struct peer *p, enum wire_type type)
{
    struct wire_msg m = {.type = type};

    say(p, &m, 0);
}

/* Bytes of a bundle and of its options. */
static uint64_t
weight(const struct peer *p, uint64_t size)
{
    return size + (p->options != NULL ? strlen(p->options) : 0);
}

void
peer_chunk(struct peer *p, uint64_t seq, uint64_t size, uint64_t off, uint64_t len)
{
    struct wire_msg m = {.type = WIRE_BUNDLE, .seq = seq, .size = size, .off = off, .want = p->want, .head = p->head};

    m.has = 1ULL << WIRE_F_SEQ | 1ULL << WIRE_F_SIZE | 1ULL << WIRE_F_OFF | 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD;
    if (off == 0)
        p->spent += wire_cost(weight(p, size));
    if (off == 0 && p->format > 0) {
        m.has |= 1ULL << WIRE_F_FORMAT;
        m.format = (enum wire_format)(p->format - 1);
    }
    if (off == 0 && p->options != NULL) {
        m.has |= 1ULL << WIRE_F_OPTIONS;
        m.options = (struct wire_text){p->options, (uint32_t)strlen(p->options)};
    }
    say(p, &m, len);
}

uint64_t
peer_sends(struct peer *p, uint64_t size)
{
    const uint64_t seq = p->next++;
    uint64_t off = 0;

    do {
        const uint64_t left = size - off, n = left < WORLD_CHUNK ? left : WORLD_CHUNK;

        peer_chunk(p, seq, size, off, n);
        off += n;
    } while (off < size);
    return seq;
}

uint64_t
peer_pushes(struct peer *p, uint64_t size)
{
    if (p->credit - p->spent < wire_cost(weight(p, size)))
        peer_asks(p, weight(p, size), weight(p, size));
    p->want = p->head = 0;
    if (p->credit - p->spent < wire_cost(weight(p, size)))
        fail_msg("%s got no credit for %lu bytes", p->id, (unsigned long)size);
    return peer_sends(p, size);
}

/* --- what the core said --- */

uint32_t
said_count(const struct world *w, uint64_t conn, enum wire_type type)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->n_said; i++)
        n += w->said[i].conn == conn && w->said[i].m.type == type;
    return n;
}

const struct wire_msg *
said_last(const struct world *w, uint64_t conn, enum wire_type type)
{
    for (uint32_t i = w->n_said; i > 0; i--)
        if (w->said[i - 1].conn == conn && w->said[i - 1].m.type == type)
            return &w->said[i - 1].m;
    fail_msg("no %s was sent", wire_type_name(type));
    return NULL;
}

bool
said_nothing(const struct world *w, uint64_t conn)
{
    for (uint32_t i = 0; i < w->n_said; i++)
        if (w->said[i].conn == conn)
            return false;
    return true;
}

uint64_t
said_ack(const struct world *w, uint64_t conn)
{
    uint64_t most = 0;

    for (uint32_t i = 0; i < w->n_said; i++) {
        const struct wire_msg *m = &w->said[i].m;

        if (w->said[i].conn == conn && m->type == WIRE_VERDICT && m->verdict == WIRE_ACK && m->seq > most)
            most = m->seq;
    }
    return most;
}

uint32_t
said_nacks(const struct world *w, uint64_t conn)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->n_said; i++)
        n += w->said[i].conn == conn && w->said[i].m.type == WIRE_VERDICT && w->said[i].m.verdict == WIRE_NACK;
    return n;
}

bool
said_error(const struct world *w, uint64_t conn, enum wire_reason code)
{
    for (uint32_t i = 0; i < w->n_said; i++)
        if (w->said[i].conn == conn && w->said[i].m.type == WIRE_ERROR && w->said[i].m.code == code)
            return true;
    return false;
}

const struct leave *
leave_last(const struct world *w, uint64_t ticket)
{
    const uint32_t cap = sizeof(w->leaves) / sizeof(w->leaves[0]);

    for (uint32_t i = 1; i <= w->n_leaves && i <= cap; i++)
        if (w->leaves[(w->n_leaves - i) % cap].ticket == ticket)
            return &w->leaves[(w->n_leaves - i) % cap];
    return NULL;
}

static bool
listed(const uint64_t *list, uint32_t n, uint64_t conn)
{
    for (uint32_t i = 0; i < n && i < 256; i++)
        if (list[i] == conn)
            return true;
    return false;
}

bool
was_cut(const struct world *w, uint64_t conn)
{
    return listed(w->cut, w->n_cut, conn);
}

bool
was_forgotten(const struct world *w, uint64_t conn)
{
    return listed(w->forgotten, w->n_forgotten, conn);
}

struct core_figures
figures(const struct world *w)
{
    struct core_figures f;

    core_figures(w->core, &f);
    return f;
}

/* --- the spool --- */

uint32_t
errands(const struct world *w, enum core_effect_kind kind)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->n_errands; i++)
        n += w->errands[i].kind == kind;
    return n;
}

const struct errand *
errand_last(const struct world *w, enum core_effect_kind kind)
{
    for (uint32_t i = w->n_errands; i-- > 0;)
        if (w->errands[i].kind == kind)
            return &w->errands[i];
    fail_msg("nothing of kind %d was asked of the spool", (int)kind);
    return NULL;
}

void
spool_answers(struct world *w, const struct errand *e, bool ok, uint64_t pos)
{
    struct core_event v = {.kind = CORE_SPOOLED, .u.spooled = {e->slot, e->number, ok, pos}};

    if (e->kind == CORE_BURY)
        v = (struct core_event){.kind = CORE_BURIED, .u.buried = {e->number, e->pos, ok}};
    world_step(w, &v);
    world_turn(w);
}

void
spool_gives(struct world *w, uint64_t pos, uint64_t epoch, uint64_t seq, uint32_t n)
{
    const uint32_t number = errand_last(w, CORE_FETCH)->number;
    struct core_event v = {.kind = CORE_FETCHED};

    for (uint32_t i = 0; i < n; i++) {
        v.u.fetched.number = number;
        v.u.fetched.pos = pos + i;
        v.u.fetched.epoch = epoch;
        v.u.fetched.seq = seq + i;
        v.u.fetched.size = 100;
        v.u.fetched.options_len = 0;
        v.u.fetched.format = WIRE_FMT_RAW;
        world_step(w, &v);
    }
    v = (struct core_event){.kind = CORE_FETCH_END, .u.fetch_end = {number, pos + n}};
    world_step(w, &v);
    world_turn(w);
}

void
spool_found(struct world *w, const char *id, uint64_t first, uint64_t n, uint64_t epoch, uint64_t seq)
{
    const struct core_event v = {.kind = CORE_SPOOL_FOUND,
                                 .u.found = {id, first, first + n, n, n * 100, epoch, seq}};

    world_step(w, &v);
    world_turn(w);
}

void
spool_full(struct world *w, bool full)
{
    const struct core_event v = {.kind = CORE_SPOOL_SPACE, .u.space.full = full};

    world_step(w, &v);
    world_turn(w);
}
