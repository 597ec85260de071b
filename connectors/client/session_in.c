/* session_in.c - what the gateway says, and what that changes. */
#include "session_impl.h"

#include <stdio.h>
#include <string.h>

static const int64_t shutdown_us = 1 * SESSION_S;
static const int64_t ping_least_us = 10 * SESSION_MS; /* whatever welcome says: no storm, no silence for ever */
static const int64_t ping_most_us = 3600 * SESSION_S;

static void
keep_words(struct session *s, const struct wire_msg *msg, enum wire_reason code)
{
    if (WIRE_HAS(msg, WIRE_F_TEXT) && msg->text.at != NULL)
        snprintf(s->words, sizeof(s->words), "%s: %.*s", wire_reason_name(code), (int)msg->text.len, msg->text.at);
    else
        snprintf(s->words, sizeof(s->words), "%s", wire_reason_name(code));
}

/* Where the two disagree about which bundles exist, nothing may be sent or dropped on its word. */
static bool
welcome_fits(const struct session *s, const struct wire_msg *msg)
{
    return msg->expect > s->seen && msg->expect <= s->started + 1 && msg->chunk > 0 && msg->ping_ms > 0;
}

static int64_t
ping_from(uint64_t ms)
{
    if (ms > (uint64_t)(ping_most_us / SESSION_MS))
        return ping_most_us;
    return (int64_t)ms * SESSION_MS < ping_least_us ? ping_least_us : (int64_t)ms * SESSION_MS;
}

static void
receive_welcome(struct session *s, const struct wire_msg *msg, int64_t now_us)
{
    if (!s->awaiting || msg->epoch != s->epoch || msg->attempt != s->attempt)
        return; /* an older hello's, or a repeat */
    if (!welcome_fits(s, msg)) {
        session_fault(s, now_us, "welcomed us with figures that do not fit this exchange");
        return;
    }
    if (msg->expect > s->last_expect)
        s->stalls = 0;
    s->last_expect = msg->expect;
    s->awaiting = s->fresh = s->hello_now = false;
    s->hello_at = SESSION_NEVER;
    s->phase = SESSION_WELCOMED;
    s->tries = 0;
    s->words[0] = '\0';
    s->chunk = msg->chunk < WIRE_CHUNK_MAX ? msg->chunk : WIRE_CHUNK_MAX;
    s->max_bundle = msg->max_bundle;
    s->ping_us = ping_from(msg->ping_ms);
    s->ping_at = now_us + s->ping_us;
    s->credit = msg->credit;
    s->welcomes++;
    s->welcomed_at = now_us;
    s->status_due = s->status_set;
    session_rewind(s, msg->expect);
    session_state_welcomed(s);
    session_run_welcomed(s);
    session_say(s, WIRE_LV_INFO, "welcomed by the gateway; it expects bundle %llu",
                (unsigned long long)msg->expect);
}

static void
receive_credit(struct session *s, uint64_t credit)
{
    if (s->phase != SESSION_WELCOMED || credit <= s->credit)
        return;
    s->credit = credit;
    s->hold = 0;
}

static void
receive_epoch_error(struct session *s, const struct wire_msg *msg, int64_t now_us)
{
    /* Only of use before anything was sent in this epoch; an answer to an older hello is known already. */
    if (!s->fresh || !s->awaiting || !WIRE_HAS(msg, WIRE_F_EPOCH) || msg->epoch < s->epoch ||
        msg->epoch >= WIRE_NUMBER_MAX - SESSION_EPOCH_BITS)
        return;
    /* Its own random bits on top: two programs that are told the same must not come to the same. */
    s->epoch = msg->epoch + 1 + (s->epoch & (SESSION_EPOCH_BITS - 1));
    session_drop(s);
    session_hello_in(s, session_backoff(s, now_us), now_us);
}

static void
rehello(struct session *s, const struct wire_msg *msg, int64_t now_us)
{
    if (s->phase != SESSION_WELCOMED)
        return; /* a hello is on its way; this is about what was sent before it */
    session_say(s, WIRE_LV_WARN, "the gateway wants a new hello (%s)", wire_reason_name(msg->code));
    session_drop(s);
    s->not_before = now_us + session_backoff(s, now_us);
    session_hello_in(s, 0, now_us);
}

static void
refused(struct session *s, int64_t now_us)
{
    session_drop(s);
    s->phase = SESSION_REFUSED;
    s->not_before = now_us + SESSION_REFUSED_US;
    session_hello_in(s, 0, now_us);
    session_say(s, WIRE_LV_INFO, "refused by the gateway: %s", s->words); /* not louder: every call says it now */
}

static void
receive_error(struct session *s, const struct wire_msg *msg, int64_t now_us)
{
    /* What was sent before a refusal is answered after it, as hello_first: that says nothing of why we are out. */
    const bool late = s->phase == SESSION_REFUSED && (!msg->fatal || msg->code == WIRE_R_HELLO_FIRST);

    if (!late)
        keep_words(s, msg, msg->code);
    if (session_run_error(s, msg))
        return;
    switch (msg->code) {
    case WIRE_R_HELLO_FIRST:
    case WIRE_R_GAP:
        rehello(s, msg, now_us);
        return;
    case WIRE_R_EPOCH:
        receive_epoch_error(s, msg, now_us);
        return;
    case WIRE_R_CREDIT:
        session_fault(s, now_us, "refused bytes that its credit allows");
        return;
    case WIRE_R_STATE_STALE:
    case WIRE_R_STATE_SIZE:
    case WIRE_R_BUSY:
    case WIRE_R_UNDELIVERED:
    case WIRE_R_NO_RUN:
        session_state_error(s, msg, now_us);
        return;
    default:
        break;
    }
    if (msg->fatal)
        refused(s, now_us);
    else if (!late)
        session_say(s, WIRE_LV_WARN, "the gateway refused a message: %s", s->words);
}

static void
receive_stop(struct session *s, const struct wire_msg *msg, int64_t now_us)
{
    keep_words(s, msg, msg->reason);
    if (msg->reason == WIRE_R_SUPERSEDED) {
        session_run_superseded(s); /* the connection stays */
        return;
    }
    session_drop(s);
    if (msg->reason == WIRE_R_REPLACED) {
        s->phase = SESSION_REPLACED;
        session_say(s, WIRE_LV_INFO, "another program took the id %s: %s", s->id, s->words); /* likewise */
        return;
    }
    s->leave = true;
    s->not_before = now_us + shutdown_us;
    session_hello_in(s, 0, now_us);
    session_say(s, WIRE_LV_WARN, "the gateway stops: %s", s->words);
}

void
session_receive(struct session *s, const struct wire_msg *msg, const void *body, size_t body_len, int64_t now_us)
{
    if (s->phase == SESSION_REPLACED)
        return;
    s->heard_at = now_us;
    switch (msg->type) {
    case WIRE_WELCOME:
        receive_welcome(s, msg, now_us);
        break;
    case WIRE_PONG:
        s->pinged = false;
        receive_credit(s, msg->credit);
        break;
    case WIRE_CREDIT:
        receive_credit(s, msg->credit);
        break;
    case WIRE_VERDICT:
        session_verdict(s, msg, now_us);
        break;
    case WIRE_HOLD:
        s->hold = s->phase == SESSION_WELCOMED ? msg->reasons : 0;
        session_run_hold(s, msg, now_us);
        break;
    case WIRE_PERMIT:
        session_run_permit(s, msg);
        break;
    case WIRE_STATE:
        session_state_receive(s, msg, body, body_len);
        break;
    case WIRE_ERROR:
        receive_error(s, msg, now_us);
        break;
    case WIRE_STOP:
        receive_stop(s, msg, now_us);
        break;
    default: /* of the other side: link_receive lets none of these in */
        break;
    }
}
