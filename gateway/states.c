/* states.c - the shell's side of `state` messages. */
#include "states.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mailbox.h"
#include "store/state.h"

struct upload {
    uint64_t conn; /* 0: free */
    uint64_t version, size, have;
    char    *bytes;
};

struct states {
    struct state       *store;
    struct states_reply reply;
    struct upload       uploads[STATES_UPLOADS_MAX];
    uint64_t            asked[STATES_ASKED_MAX]; /* conn that waits for an answer; 0: free.  The ticket is the place */
};

struct states *
states_new(struct state *store, const struct states_reply *reply, struct err *err)
{
    struct states *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        err_set(err, ERR_NOMEM, 0, "states");
        return NULL;
    }
    s->store = store;
    s->reply = *reply;
    return s;
}

static void
send_error(struct states *s, uint64_t conn, enum wire_reason code, const char *text, uint64_t version)
{
    struct wire_msg m = {.type = WIRE_ERROR, .code = code, .text = {text, (uint32_t)strlen(text)}, .version = version};

    m.has = 1ULL << WIRE_F_CODE | 1ULL << WIRE_F_TEXT | 1ULL << WIRE_F_FATAL;
    if (code == WIRE_R_STATE_STALE)
        m.has |= 1ULL << WIRE_F_VERSION;
    s->reply.send(s->reply.ctx, conn, &m, NULL, 0);
}

static void
upload_end(struct upload *u)
{
    free(u->bytes);
    u->bytes = NULL;
    u->conn = u->version = u->size = u->have = 0;
}

/* A place to wait in for the store's answer, or -1. */
static int
ask(struct states *s, uint64_t conn)
{
    for (int i = 0; i < STATES_ASKED_MAX; i++)
        if (s->asked[i] == 0) {
            s->asked[i] = conn;
            return i;
        }
    return -1;
}

static void
busy(struct states *s, uint64_t conn)
{
    send_error(s, conn, WIRE_R_BUSY, "too many states are under way: try again", 0);
}

static void
get(struct states *s, uint64_t conn, const char *connector)
{
    const int at = ask(s, conn);

    if (at >= 0 && state_get(s->store, connector, (uint64_t)at, NULL) == 0)
        return;
    if (at >= 0)
        s->asked[at] = 0;
    busy(s, conn);
}

static struct upload *
upload_of(struct states *s, uint64_t conn)
{
    for (int i = 0; i < STATES_UPLOADS_MAX; i++)
        if (s->uploads[i].conn == conn)
            return &s->uploads[i];
    return NULL;
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
        return NULL;
    if (m->size > 0 && (u->bytes = malloc(m->size)) == NULL)
        return NULL;
    u->conn = conn;
    u->version = m->version;
    u->size = m->size;
    return u;
}

static void
store(struct states *s, struct upload *u, const char *connector)
{
    const uint64_t conn = u->conn;
    const int at = ask(s, conn);
    void *bytes = u->bytes;

    if (at >= 0 && state_set(s->store, connector, &bytes, u->size, u->version, (uint64_t)at, NULL) == 0) {
        u->bytes = NULL; /* the store's now */
    } else {
        if (at >= 0)
            s->asked[at] = 0;
        busy(s, conn);
    }
    upload_end(u);
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
    if (u == NULL)
        return; /* a later chunk of one that was refused */
    if (m->off != u->have || m->size != u->size || len > u->size - u->have || (len == 0 && u->size > 0)) {
        upload_end(u);
        send_error(s, conn, WIRE_R_STATE_SIZE, "the chunks of this state do not add up: send it again", 0);
        return;
    }
    if (len > 0)
        memcpy(u->bytes + u->have, body, len);
    u->have += len;
    if (u->have == u->size)
        store(s, u, connector);
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

static void
send_is(struct states *s, uint64_t conn, const struct state_answer *a)
{
    struct wire_msg m = {.type = WIRE_STATE, .op = WIRE_OP_IS, .version = a->version, .size = a->len};

    m.has = 1ULL << WIRE_F_OP | 1ULL << WIRE_F_VERSION | 1ULL << WIRE_F_SIZE | 1ULL << WIRE_F_OFF;
    if (a->len == 0)
        s->reply.send(s->reply.ctx, conn, &m, NULL, 0);
    while (m.off < a->len) {
        const uint64_t left = a->len - m.off, n = left < WIRE_CHUNK_MAX ? left : WIRE_CHUNK_MAX;

        s->reply.send(s->reply.ctx, conn, &m, (const char *)a->bytes + m.off, n);
        m.off += n;
    }
}

static void
answer(struct states *s, const struct state_answer *a)
{
    const uint64_t conn = a->ticket < STATES_ASKED_MAX ? s->asked[a->ticket] : 0;
    struct wire_msg saved = {.type = WIRE_STATE, .op = WIRE_OP_SAVED, .version = a->version};

    if (conn == 0)
        return;
    s->asked[a->ticket] = 0;
    switch (a->kind) {
    case STATE_GOT:
        send_is(s, conn, a);
        break;
    case STATE_SAVED:
        saved.has = 1ULL << WIRE_F_OP | 1ULL << WIRE_F_VERSION;
        s->reply.send(s->reply.ctx, conn, &saved, NULL, 0);
        break;
    case STATE_STALE:
        send_error(s, conn, WIRE_R_STATE_STALE, "another version of this state is current: read it again", a->version);
        break;
    case STATE_FAILED:
        send_error(s, conn, WIRE_R_BUSY, "the gateway's disk failed: nothing was changed, try again", 0);
        break;
    }
}

void
states_answers(struct states *s, struct mailbox *answers)
{
    void *taken;
    const size_t n = mailbox_take(answers, &taken);
    const struct state_answer *a = taken;

    for (size_t i = 0; i < n; i++) {
        answer(s, &a[i]);
        free(a[i].bytes);
        free(a[i].text);
    }
}

void
states_gone(struct states *s, uint64_t conn)
{
    struct upload *u = upload_of(s, conn);

    if (u != NULL)
        upload_end(u);
    /* What waits for the store keeps its place until the answer comes; numbers of connections are not used
     * twice, so the answer then goes nowhere. */
}

void
states_free(struct states *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < STATES_UPLOADS_MAX; i++)
        upload_end(&s->uploads[i]);
    free(s);
}
