/* session_state.c - one operation at a time on the connector's state, which the gateway keeps.
 *
 * A get may be repeated freely.  A set may not: where its answer is lost, the state is read, and the
 * version tells whether the set arrived (its bytes, one version on), was lost (the version it was to
 * replace), or came too late (any other). */
#include "session_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(f) (UINT64_C(1) << (f))

static const int64_t answer_us = 10 * SESSION_S; /* the gateway may drop answers to a slow reader */
static const int64_t busy_us = 1 * SESSION_S;

void
session_state_free(struct state_op *op)
{
    free(op->put);
    free(op->got);
    free(op->result.bytes);
    *op = (struct state_op){.step = STATE_IDLE, .retry_at = SESSION_NEVER};
}

bool
session_state_get(struct session *s)
{
    if (s->state.step != STATE_IDLE)
        return false;
    s->state.step = STATE_ASK;
    return true;
}

bool
session_state_set(struct session *s, void **bytes, size_t len, uint64_t version)
{
    struct state_op *op = &s->state;

    if (op->step != STATE_IDLE)
        return false;
    op->step = STATE_PUT;
    op->is_set = true;
    op->put = *bytes;
    op->put_len = len;
    op->base = version;
    *bytes = NULL;
    return true;
}

bool
session_state_done(struct session *s, struct session_state *ret)
{
    struct state_op *op = &s->state;

    if (op->step != STATE_DONE)
        return false;
    *ret = op->result;
    op->result.bytes = NULL;
    session_state_free(op);
    return true;
}

void
session_state_cancel(struct session *s)
{
    struct state_op *op = &s->state;
    bool unsent = op->step == STATE_ASK || (op->step == STATE_PUT && op->off == 0 && op->sets == 0);

    /* An answer that is still to come could be taken for that of the next operation. */
    if (unsent || op->step == STATE_DONE)
        session_state_free(op);
    else if (op->step != STATE_IDLE)
        op->cancelled = true;
}

static void
ask(struct state_op *op)
{
    op->step = STATE_ASK;
    op->getting = false;
    op->retry_at = SESSION_NEVER;
    if (op->cancelled)
        session_state_free(op);
}

static void
done(struct state_op *op, enum err_code code, uint64_t version, const char *text)
{
    op->step = STATE_DONE;
    op->retry_at = SESSION_NEVER;
    op->result.code = code;
    op->result.version = version;
    snprintf(op->result.text, sizeof(op->result.text), "%s", text);
    if (op->cancelled)
        session_state_free(op);
}

void
session_state_welcomed(struct session *s)
{
    struct state_op *op = &s->state;

    if (op->cancelled)
        session_state_free(op);
    else if (op->step == STATE_ASKED || op->step == STATE_SAID)
        ask(op);
    else if (op->step == STATE_PUT)
        op->off = 0;
}

void
session_state_tick(struct session *s, int64_t now_us)
{
    if (s->phase == SESSION_WELCOMED && s->state.retry_at <= now_us)
        ask(&s->state);
}

/* --- what is sent --- */

static void
get_output(struct state_op *op, int64_t now_us, struct session_output *out)
{
    out->msg.has = BIT(WIRE_F_OP);
    out->msg.op = WIRE_OP_GET;
    op->step = STATE_ASKED;
    op->getting = false;
    op->retry_at = now_us + answer_us;
}

static void
set_output(struct state_op *op, int64_t now_us, struct session_output *out)
{
    size_t left = op->put_len - op->off;

    out->msg.has = BIT(WIRE_F_OP) | BIT(WIRE_F_VERSION) | BIT(WIRE_F_SIZE) | BIT(WIRE_F_OFF);
    out->msg.op = WIRE_OP_SET;
    out->msg.version = op->base;
    out->msg.size = op->put_len;
    out->msg.off = op->off;
    out->len = left < WIRE_CHUNK_MAX ? left : WIRE_CHUNK_MAX;
    if (out->len > 0)
        out->state = op->put + op->off;
    op->off += out->len;
    if (op->off == op->put_len) {
        op->step = STATE_SAID;
        op->sets++;
        op->retry_at = now_us + answer_us;
    }
}

bool
session_state_output(struct session *s, int64_t now_us, struct session_output *ret)
{
    struct state_op *op = &s->state;

    if (op->step != STATE_ASK && op->step != STATE_PUT)
        return false;
    ret->msg.type = WIRE_STATE;
    ret->bundle = NULL;
    ret->state = NULL;
    ret->off = 0;
    ret->len = 0;
    if (op->step == STATE_ASK)
        get_output(op, now_us, ret);
    else
        set_output(op, now_us, ret);
    return true;
}

/* --- what comes in --- */

/* After a set whose answer was lost: what became of it? */
static void
judge_set(struct state_op *op)
{
    bool same = op->got_len == op->put_len && (op->put_len == 0 || memcmp(op->got, op->put, op->put_len) == 0);

    if (op->got_version == op->base + 1 && same) {
        done(op, ERR_NONE, op->got_version, "");
    } else if (op->got_version == op->base) {
        op->step = STATE_PUT;
        op->off = 0;
        op->retry_at = SESSION_NEVER;
    } else {
        done(op, ERR_STALE, op->got_version, "another version is current");
    }
}

static void
whole(struct state_op *op)
{
    op->getting = false;
    if (op->is_set) {
        judge_set(op);
        return;
    }
    op->result.bytes = op->got;
    op->result.len = op->got_len;
    op->got = NULL;
    done(op, ERR_NONE, op->got_version, "");
}

static bool
begin_answer(struct state_op *op, const struct wire_msg *msg)
{
    free(op->got);
    op->got = NULL;
    op->got_len = (size_t)msg->size;
    op->got_have = 0;
    op->got_version = msg->version;
    op->getting = true;
    if (op->got_len == 0)
        return true;
    op->got = malloc(op->got_len);
    if (op->got == NULL)
        done(op, ERR_NOMEM, 0, "no memory for the state");
    return op->got != NULL;
}

static void
receive_is(struct state_op *op, const struct wire_msg *msg, const void *body, size_t len)
{
    if (op->step != STATE_ASKED || msg->size > WIRE_STATE_MAX)
        return;
    if (msg->off == 0 && !begin_answer(op, msg))
        return;
    /* What does not continue what is here belongs to an answer whose beginning was lost: it is asked for again. */
    if (!op->getting || msg->off != op->got_have || msg->size != op->got_len || msg->version != op->got_version ||
        len > op->got_len - op->got_have || (len == 0 && op->got_len > 0))
        return;
    if (len > 0)
        memcpy(op->got + op->got_have, body, len);
    op->got_have += len;
    if (op->got_have == op->got_len)
        whole(op);
}

void
session_state_receive(struct session *s, const struct wire_msg *msg, const void *body, size_t len)
{
    struct state_op *op = &s->state;

    if (msg->op == WIRE_OP_IS)
        receive_is(op, msg, body, body == NULL ? 0 : len);
    else if (msg->op == WIRE_OP_SAVED && op->step == STATE_SAID && msg->version == op->base + 1)
        done(op, ERR_NONE, msg->version, "");
}

static void
stale(struct state_op *op, const struct wire_msg *msg)
{
    uint64_t current = WIRE_HAS(msg, WIRE_F_VERSION) ? msg->version : 0;

    if (WIRE_HAS(msg, WIRE_F_VERSION) && current == op->base)
        return; /* of an earlier operation: this one's base is the current version */
    if (op->sets > 1 && current == op->base + 1)
        ask(op); /* perhaps it was our own first try that came through */
    else
        done(op, ERR_STALE, current, "another version is current");
}

void
session_state_error(struct session *s, const struct wire_msg *msg, int64_t now_us)
{
    struct state_op *op = &s->state;
    bool setting = op->step == STATE_PUT || op->step == STATE_SAID;

    if (msg->code == WIRE_R_STATE_STALE && setting) {
        stale(op, msg);
    } else if (msg->code == WIRE_R_STATE_SIZE && setting) {
        done(op, ERR_CONFIG, 0, s->words);
    } else if (msg->code == WIRE_R_BUSY && (setting || op->step == STATE_ASKED)) {
        op->step = STATE_ASKED;
        op->getting = false;
        op->retry_at = now_us + busy_us;
    }
}
