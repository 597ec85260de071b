/* session_state.c - one operation at a time on the connector's state, which the gateway keeps.
 *
 * A get may be repeated freely.  A set may not: where its answer is lost, the state is read, and the
 * version tells whether the set arrived (its bytes, one version on), was lost (the version it was to
 * replace), or came too late (any other).  A set may bring the end of a run along: what became of it is told to
 * session_run.c. */
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

/* Forget the operation: a run that was to end with it may be ended otherwise. */
static void
drop(struct session *s)
{
    if (s->state.commit.ends)
        s->run.with_state = false;
    session_state_free(&s->state);
}

static void
ask(struct session *s)
{
    struct state_op *op = &s->state;

    op->step = STATE_ASK;
    op->getting = false;
    op->retry_at = SESSION_NEVER;
    if (op->cancelled)
        drop(s);
}

static void
done(struct session *s, enum err_code code, uint64_t version, const char *text)
{
    struct state_op *op = &s->state;

    op->step = STATE_DONE;
    op->retry_at = SESSION_NEVER;
    op->result.code = code;
    op->result.version = version;
    snprintf(op->result.text, sizeof(op->result.text), "%s", text);
    if (op->is_set && code == ERR_NONE) { /* a state that was set without asking for them counts them in */
        s->nack_told = s->seen;
        s->nack_first = 0;
    }
    if (op->commit.ends)
        session_run_settled(s, &op->result, op->looked);
    if (op->cancelled)
        drop(s);
}

static void
deny(struct session *s, enum wire_reason why, const char *text)
{
    s->state.result.why = why;
    done(s, ERR_DENIED, 0, text);
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
    return session_state_commit(s, bytes, len, version, &(struct session_commit){.after = false});
}

/* It waits here for the answers, and not at the gateway, so that its own answer is never long in coming. */
bool
session_state_commit(struct session *s, void **bytes, size_t len, uint64_t version, const struct session_commit *commit)
{
    struct state_op *op = &s->state;

    if (op->step != STATE_IDLE)
        return false;
    op->step = STATE_HELD;
    op->is_set = true;
    op->put = *bytes;
    op->put_len = len;
    op->base = version;
    op->commit = *commit;
    op->after = commit->after ? s->pushed : 0;
    *bytes = NULL;
    if (commit->ends && session_run_is(s, commit->run))
        s->run.with_state = true;
    else if (commit->ends)
        deny(s, WIRE_R_NO_RUN, "the run is not the present one any more");
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
    drop(s);
    return true;
}

void
session_state_cancel(struct session *s)
{
    struct state_op *op = &s->state;
    bool unsent = op->step == STATE_HELD || op->step == STATE_ASK ||
                  (op->step == STATE_PUT && op->off == 0 && op->sets == 0);

    /* An answer that is still to come could be taken for that of the next operation. */
    if (unsent || op->step == STATE_DONE)
        drop(s);
    else if (op->step != STATE_IDLE)
        op->cancelled = true;
}

void
session_state_welcomed(struct session *s)
{
    struct state_op *op = &s->state;

    if (op->cancelled)
        drop(s);
    else if (op->step == STATE_ASKED || op->step == STATE_SAID)
        ask(s);
    else if (op->step == STATE_PUT)
        op->off = 0;
}

void
session_state_tick(struct session *s, int64_t now_us)
{
    if (s->phase == SESSION_WELCOMED && s->state.retry_at <= now_us)
        ask(s);
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
    if (op->commit.after) {
        out->msg.has |= BIT(WIRE_F_AFTER);
        out->msg.after = op->after;
    }
    if (op->commit.ends) {
        out->msg.has |= BIT(WIRE_F_RUN) | BIT(WIRE_F_OUTCOME);
        memcpy(out->msg.run, op->commit.run, sizeof(out->msg.run));
        out->msg.outcome = op->commit.outcome;
    }
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

/* The gateway forgets what it refused when it is started again; we do not. */
static bool
refused_before(const struct session *s, uint64_t after)
{
    return s->nack_first != 0 && s->nack_first <= after;
}

static void
tell_refused(struct session *s, uint64_t after)
{
    s->nack_told = after;
    s->nack_first = s->nack_last > after ? s->nack_last : 0;
    deny(s, WIRE_R_UNDELIVERED, "bundles that were pushed before were refused; nothing was changed");
}

/* Everything before it must be answered for. */
static void
let_go(struct session *s)
{
    struct state_op *op = &s->state;

    if (s->seen < op->after)
        return;
    if (refused_before(s, op->after))
        tell_refused(s, op->after);
    else
        op->step = STATE_PUT;
}

bool
session_state_output(struct session *s, int64_t now_us, struct session_output *ret)
{
    struct state_op *op = &s->state;

    if (op->step == STATE_HELD)
        let_go(s);
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
judge_set(struct session *s)
{
    struct state_op *op = &s->state;
    bool same = op->got_len == op->put_len && (op->put_len == 0 || memcmp(op->got, op->put, op->put_len) == 0);

    if (op->got_version == op->base + 1 && same) {
        op->looked = true;
        done(s, ERR_NONE, op->got_version, "");
    } else if (op->got_version == op->base) {
        op->step = STATE_PUT;
        op->off = 0;
        op->retry_at = SESSION_NEVER;
    } else {
        done(s, ERR_STALE, op->got_version, "another version is current");
    }
}

static void
whole(struct session *s)
{
    struct state_op *op = &s->state;

    op->getting = false;
    if (op->is_set) {
        judge_set(s);
        return;
    }
    op->result.bytes = op->got;
    op->result.len = op->got_len;
    op->got = NULL;
    done(s, ERR_NONE, op->got_version, "");
}

static bool
begin_answer(struct session *s, const struct wire_msg *msg)
{
    struct state_op *op = &s->state;

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
        done(s, ERR_NOMEM, 0, "no memory for the state");
    return op->got != NULL;
}

static void
receive_is(struct session *s, const struct wire_msg *msg, const void *body, size_t len)
{
    struct state_op *op = &s->state;

    if (op->step != STATE_ASKED || msg->size > WIRE_STATE_MAX)
        return;
    if (msg->off == 0 && !begin_answer(s, msg))
        return;
    /* What does not continue what is here belongs to an answer whose beginning was lost: it is asked for again. */
    if (!op->getting || msg->off != op->got_have || msg->size != op->got_len || msg->version != op->got_version ||
        len > op->got_len - op->got_have || (len == 0 && op->got_len > 0))
        return;
    if (len > 0)
        memcpy(op->got + op->got_have, body, len);
    op->got_have += len;
    if (op->got_have == op->got_len)
        whole(s);
}

void
session_state_receive(struct session *s, const struct wire_msg *msg, const void *body, size_t len)
{
    struct state_op *op = &s->state;

    if (msg->op == WIRE_OP_IS)
        receive_is(s, msg, body, body == NULL ? 0 : len);
    else if (msg->op == WIRE_OP_SAVED && op->step == STATE_SAID && msg->version == op->base + 1)
        done(s, ERR_NONE, msg->version, "");
}

bool
session_state_ends_run(const struct session *s)
{
    return s->state.commit.ends && (s->state.step == STATE_PUT || s->state.step == STATE_SAID);
}

static void
stale(struct session *s, const struct wire_msg *msg)
{
    struct state_op *op = &s->state;
    uint64_t current = WIRE_HAS(msg, WIRE_F_VERSION) ? msg->version : 0;

    if (WIRE_HAS(msg, WIRE_F_VERSION) && current == op->base)
        return; /* of an earlier operation: this one's base is the current version */
    if (op->sets > 1 && current == op->base + 1)
        ask(s); /* perhaps it was our own first try that came through */
    else
        done(s, ERR_STALE, current, "another version is current");
}

/* What the program was told of already is no reason to refuse it again: the gateway has told it now, too. */
static void
undelivered(struct session *s, const struct wire_msg *msg)
{
    struct state_op *op = &s->state;

    if (WIRE_HAS(msg, WIRE_F_SEQ) && msg->seq <= s->nack_told && op->sets == 1) {
        op->step = STATE_PUT;
        op->off = 0;
        op->retry_at = SESSION_NEVER;
        return;
    }
    tell_refused(s, op->after);
}

void
session_state_error(struct session *s, const struct wire_msg *msg, int64_t now_us)
{
    struct state_op *op = &s->state;
    bool setting = op->step == STATE_PUT || op->step == STATE_SAID;

    if (msg->code == WIRE_R_STATE_STALE && setting) {
        stale(s, msg);
    } else if (msg->code == WIRE_R_STATE_SIZE && setting) {
        done(s, ERR_CONFIG, 0, s->words);
    } else if (msg->code == WIRE_R_UNDELIVERED && setting) {
        undelivered(s, msg);
    } else if (msg->code == WIRE_R_NO_RUN && setting) {
        deny(s, WIRE_R_NO_RUN, s->words);
    } else if (msg->code == WIRE_R_BUSY && (setting || op->step == STATE_ASKED)) {
        op->step = STATE_ASKED;
        op->getting = false;
        op->retry_at = now_us + busy_us;
    }
}
