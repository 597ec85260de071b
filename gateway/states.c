/* states.c - the shell's side of `state` messages. */
#include "states.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "store/state.h"

/* A state whose chunks are coming in.  The first one says all that the others must say too. */
struct upload {
    uint64_t        conn; /* 0: free */
    uint64_t        have;
    uint64_t        moved; /* when its last chunk came, in chunks */
    struct wire_msg first;
    char           *bytes;
};

/* A state that waits for the core, or has its leave and waits for room at the store.  Its ticket is the place. */
struct waiter {
    bool             used, may_go, has_row;
    uint64_t         conn;
    uint64_t         version;
    size_t           len;
    void            *bytes;
    uint64_t         stored; /* with may_go: what the core is to be told by */
    struct state_row row;
    char             connector[65];
};

/* A request that the store has.  Its ticket is the place. */
struct asked {
    bool     used;
    bool     commit; /* the core is to be told what became of it, by `stored` */
    uint64_t conn;   /* who waits; 0: nobody any more */
    uint64_t stored;
};

struct states {
    struct state       *store;
    struct states_hands hands;
    struct upload       uploads[STATES_UPLOADS_MAX];
    uint64_t            chunks; /* that came, of all uploads */
    struct asked        asked[STATES_ASKED_MAX];
    struct waiter       waiting[STATES_WAITING_MAX];
    size_t              waiting_bytes;
    uint32_t            late; /* those with may_go */
};

struct states *
states_new(struct state *store, const struct states_hands *hands, struct err *err)
{
    struct states *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        err_set(err, ERR_NOMEM, 0, "states");
        return NULL;
    }
    s->store = store;
    s->hands = *hands;
    return s;
}

/* --- what is said --- */

static void
send_error(struct states *s, uint64_t conn, enum wire_reason code, const char *text, uint64_t number)
{
    struct wire_msg m = {.type = WIRE_ERROR, .code = code, .text = {text, (uint32_t)strlen(text)}};

    if (conn == 0)
        return;
    m.has = 1ULL << WIRE_F_CODE | 1ULL << WIRE_F_TEXT | 1ULL << WIRE_F_FATAL;
    if (code == WIRE_R_STATE_STALE) {
        m.has |= 1ULL << WIRE_F_VERSION;
        m.version = number;
    }
    if (code == WIRE_R_UNDELIVERED) {
        m.has |= 1ULL << WIRE_F_SEQ;
        m.seq = number;
    }
    s->hands.send(s->hands.ctx, conn, &m, NULL, 0);
}

static void
busy(struct states *s, uint64_t conn)
{
    send_error(s, conn, WIRE_R_BUSY, "too many states are under way: try again", 0);
}

static void
send_is(struct states *s, uint64_t conn, const struct state_answer *a)
{
    struct wire_msg m = {.type = WIRE_STATE, .op = WIRE_OP_IS, .version = a->version, .size = a->len};

    m.has = 1ULL << WIRE_F_OP | 1ULL << WIRE_F_VERSION | 1ULL << WIRE_F_SIZE | 1ULL << WIRE_F_OFF;
    if (a->len == 0)
        s->hands.send(s->hands.ctx, conn, &m, NULL, 0);
    while (m.off < a->len) {
        const uint64_t left = a->len - m.off, n = left < WIRE_CHUNK_MAX ? left : WIRE_CHUNK_MAX;

        s->hands.send(s->hands.ctx, conn, &m, (const char *)a->bytes + m.off, n);
        m.off += n;
    }
}

static void
send_saved(struct states *s, uint64_t conn, uint64_t version)
{
    struct wire_msg m = {.type = WIRE_STATE, .op = WIRE_OP_SAVED, .version = version};

    m.has = 1ULL << WIRE_F_OP | 1ULL << WIRE_F_VERSION;
    s->hands.send(s->hands.ctx, conn, &m, NULL, 0);
}

/* --- asking the store --- */

/* A place to wait in for the store's answer, or NULL. */
static struct asked *
ask(struct states *s, uint64_t conn)
{
    struct asked *free_one = NULL;

    for (int i = 0; i < STATES_ASKED_MAX; i++) {
        if (s->asked[i].used && s->asked[i].conn == conn)
            return NULL; /* one at a time: answers that nobody reads must not pile up */
        if (!s->asked[i].used && free_one == NULL)
            free_one = &s->asked[i];
    }
    if (free_one != NULL)
        *free_one = (struct asked){.used = true, .conn = conn};
    return free_one;
}

static uint64_t
ticket_of(const struct states *s, const struct asked *a)
{
    return (uint64_t)(a - s->asked);
}

static void
get(struct states *s, uint64_t conn, const char *connector)
{
    struct asked *a = ask(s, conn);

    if (a != NULL && state_get(s->store, connector, ticket_of(s, a), NULL) == 0)
        return;
    if (a != NULL)
        a->used = false;
    busy(s, conn);
}

/* A set that needs nobody's leave.  *bytes are the store's afterwards, or still the caller's. */
static void
set_now(struct states *s, uint64_t conn, const char *connector, char **bytes, const struct wire_msg *m)
{
    struct asked *a = ask(s, conn);
    void *given = *bytes;

    if (a == NULL || state_set(s->store, connector, &given, m->size, m->version, ticket_of(s, a), NULL) != 0) {
        if (a != NULL)
            a->used = false;
        busy(s, conn);
        return;
    }
    *bytes = NULL;
}

/* --- states that wait --- */

static struct waiter *
waiter_new(struct states *s, size_t len)
{
    if (s->waiting_bytes + len > STATES_WAITING_BYTES)
        return NULL;
    for (int i = 0; i < STATES_WAITING_MAX; i++)
        if (!s->waiting[i].used) {
            s->waiting_bytes += len;
            s->waiting[i] = (struct waiter){.used = true, .len = len};
            return &s->waiting[i];
        }
    return NULL;
}

static void
waiter_end(struct states *s, struct waiter *w)
{
    s->waiting_bytes -= w->len;
    s->late -= w->may_go;
    free(w->bytes);
    *w = (struct waiter){.used = false};
}

static struct waiter *
waiter_of(struct states *s, uint64_t ticket)
{
    return ticket < STATES_WAITING_MAX && s->waiting[ticket].used ? &s->waiting[ticket] : NULL;
}

/* Ask the core for leave: it knows the bundles and the run. */
static void
set_later(struct states *s, uint64_t conn, const char *connector, char **bytes, const struct wire_msg *m)
{
    struct waiter *w = waiter_new(s, m->size);
    struct core_event e = {.kind = CORE_COMMIT};

    if (w == NULL) {
        busy(s, conn);
        return;
    }
    w->conn = conn;
    w->version = m->version;
    w->bytes = *bytes;
    *bytes = NULL;
    strncpy(w->connector, connector, sizeof(w->connector) - 1);
    e.u.commit.conn = conn;
    e.u.commit.ticket = (uint64_t)(w - s->waiting);
    e.u.commit.after = WIRE_HAS(m, WIRE_F_AFTER) ? m->after : 0;
    e.u.commit.has_run = WIRE_HAS(m, WIRE_F_RUN);
    memcpy(e.u.commit.run, m->run, sizeof(e.u.commit.run));
    e.u.commit.outcome = m->outcome;
    s->hands.step(s->hands.ctx, &e);
}

/* To the store, with what the core gave; no room there is no answer: it tries again each turn. */
static bool
waiter_go(struct states *s, struct waiter *w)
{
    struct asked *a = ask(s, w->conn);

    if (a == NULL)
        return false;
    a->commit = true;
    a->stored = w->stored;
    if (state_set_with_row(s->store, w->connector, &w->bytes, w->len, w->version, w->has_row ? &w->row : NULL,
                           ticket_of(s, a), NULL) != 0) {
        a->used = false;
        return false;
    }
    waiter_end(s, w);
    return true;
}

void
states_go(struct states *s, uint64_t ticket, uint64_t stored, const struct state_row *row)
{
    struct waiter *w = waiter_of(s, ticket);

    if (w == NULL)
        return;
    w->may_go = true;
    s->late++;
    w->stored = stored;
    w->has_row = row != NULL;
    if (row != NULL)
        w->row = *row;
    waiter_go(s, w);
}

void
states_fail(struct states *s, uint64_t ticket, enum wire_reason reason, uint64_t seq)
{
    struct waiter *w = waiter_of(s, ticket);

    if (w == NULL)
        return;
    if (reason == WIRE_R_UNDELIVERED)
        send_error(s, w->conn, reason, "a bundle before this state was refused: push it again, then set it after that",
                   seq);
    else if (reason == WIRE_R_NO_RUN)
        send_error(s, w->conn, reason, "this run is not the current one: nothing was ended, and no state set", 0);
    else if (reason != WIRE_R_NONE)
        send_error(s, w->conn, reason, "another state of this connector waits: one at a time", 0);
    waiter_end(s, w);
}

bool
states_turn(struct states *s)
{
    for (int i = 0; i < STATES_WAITING_MAX && s->late > 0; i++)
        if (s->waiting[i].may_go && !waiter_go(s, &s->waiting[i]))
            break;
    return s->late > 0;
}

/* --- what comes in --- */

static void
upload_end(struct upload *u)
{
    free(u->bytes);
    u->bytes = NULL;
    u->conn = u->have = 0;
}

static struct upload *
upload_of(struct states *s, uint64_t conn)
{
    for (int i = 0; i < STATES_UPLOADS_MAX; i++)
        if (s->uploads[i].conn == conn)
            return &s->uploads[i];
    return NULL;
}

/* The one that was longest without a chunk gives way: who stops half-way must not hold up all others. */
static struct upload *
upload_oldest(struct states *s)
{
    struct upload *oldest = &s->uploads[0];

    for (int i = 1; i < STATES_UPLOADS_MAX; i++)
        if (s->uploads[i].moved < oldest->moved)
            oldest = &s->uploads[i];
    upload_end(oldest);
    return oldest;
}

/* The first chunk: room for all of it, or none. */
static struct upload *
upload_begin(struct states *s, uint64_t conn, const struct wire_msg *m)
{
    struct upload *u = upload_of(s, conn);

    if (u != NULL)
        upload_end(u);
    else
        u = upload_of(s, 0);
    if (u == NULL)
        u = upload_oldest(s);
    if (m->size > 0 && (u->bytes = malloc(m->size)) == NULL)
        return NULL;
    u->conn = conn;
    u->moved = ++s->chunks;
    u->first = *m;
    return u;
}

static bool
goes_on(const struct upload *u, const struct wire_msg *m, size_t len)
{
    const struct wire_msg *f = &u->first;

    return m->off == u->have && m->has == f->has && m->size == f->size && m->version == f->version &&
           m->after == f->after && m->outcome == f->outcome && memcmp(m->run, f->run, sizeof(m->run)) == 0 &&
           len <= m->size - u->have && (len > 0 || m->size == 0);
}

static void
set(struct states *s, uint64_t conn, const char *connector, const struct wire_msg *m, const void *body, size_t len)
{
    struct upload *u = upload_of(s, conn);

    if (m->size > WIRE_STATE_MAX) {
        send_error(s, conn, WIRE_R_STATE_SIZE, "a state has at most 1 MiB", 0);
        return;
    }
    if (m->off == 0) {
        u = upload_begin(s, conn, m);
        if (u == NULL) {
            busy(s, conn);
            return;
        }
    }
    if (u == NULL) {
        /* A later chunk of one that was refused, gave way, or never began: answered once, at its end. */
        if (m->off + len >= m->size)
            send_error(s, conn, WIRE_R_STATE_SIZE, "the chunks of this state do not add up: send it again", 0);
        return;
    }
    u->moved = ++s->chunks;
    if (!goes_on(u, m, len)) {
        upload_end(u);
        send_error(s, conn, WIRE_R_STATE_SIZE, "the chunks of this state do not add up: send it again", 0);
        return;
    }
    if (len > 0)
        memcpy(u->bytes + u->have, body, len);
    u->have += len;
    if (u->have < m->size)
        return;
    if (WIRE_HAS(m, WIRE_F_AFTER) || WIRE_HAS(m, WIRE_F_RUN))
        set_later(s, conn, connector, &u->bytes, m);
    else
        set_now(s, conn, connector, &u->bytes, m);
    upload_end(u);
}

void
states_message(struct states *s, uint64_t conn, const char *connector, const struct wire_msg *m, const void *body,
               size_t len)
{
    if (m->op == WIRE_OP_GET)
        get(s, conn, connector);
    else
        set(s, conn, connector, m, body, len);
}

/* --- what comes back --- */

static void
say(struct states *s, uint64_t conn, const struct state_answer *a)
{
    if (a->kind == STATE_GOT)
        send_is(s, conn, a);
    else if (a->kind == STATE_SAVED)
        send_saved(s, conn, a->version);
    else if (a->kind == STATE_STALE)
        send_error(s, conn, WIRE_R_STATE_STALE, "another version of this state is current: read it again", a->version);
    else
        send_error(s, conn, WIRE_R_BUSY, "the gateway's disk failed: nothing was changed, try again", 0);
}

void
states_answer(struct states *s, const struct state_answer *a)
{
    struct core_event e = {.kind = CORE_COMMITTED};
    struct asked was;

    if (a->ticket >= STATES_ASKED_MAX || !s->asked[a->ticket].used)
        return;
    was = s->asked[a->ticket];
    s->asked[a->ticket].used = false;
    if (was.conn != 0)
        say(s, was.conn, a);
    if (!was.commit)
        return;
    e.u.stored.ticket = was.stored;
    e.u.stored.ok = a->kind == STATE_SAVED;
    s->hands.step(s->hands.ctx, &e); /* the end of the run is said behind `saved` */
}

void
states_gone(struct states *s, uint64_t conn)
{
    struct upload *u = upload_of(s, conn);

    if (u != NULL)
        upload_end(u);
    /* What the store has is done all the same, but the answer goes nowhere. */
    for (int i = 0; i < STATES_ASKED_MAX; i++)
        if (s->asked[i].conn == conn)
            s->asked[i].conn = 0;
    for (int i = 0; i < STATES_WAITING_MAX; i++)
        if (s->waiting[i].conn == conn)
            s->waiting[i].conn = 0;
}

void
states_free(struct states *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < STATES_UPLOADS_MAX; i++)
        upload_end(&s->uploads[i]);
    for (int i = 0; i < STATES_WAITING_MAX; i++)
        free(s->waiting[i].bytes);
    free(s);
}
