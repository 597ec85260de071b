/* session_queue.c - the bundles of a session: sent in order within the credit, answered in order. */
#include "session_impl.h"

#include <stdlib.h>
#include <string.h>

uint64_t
session_weight(const struct session_bundle *b)
{
    return b->size + b->options.len;
}

void
session_push(struct session *s, struct session_bundle *b)
{
    b->seq = ++s->pushed;
    b->verdict = SESSION_UNANSWERED;
    b->reason = WIRE_R_NONE;
    b->text = NULL;
    b->next = NULL;
    if (s->tail != NULL)
        s->tail->next = b;
    else
        s->head = b;
    s->tail = b;
    if (s->unanswered == NULL)
        s->unanswered = b;
    if (s->cursor == NULL) {
        s->cursor = b;
        s->cursor_off = 0;
    }
    s->want += session_weight(b);
}

void
session_rewind(struct session *s, uint64_t expect)
{
    struct session_bundle *b = s->unanswered;

    while (b != NULL && b->seq < expect)
        b = b->next;
    s->cursor = b;
    s->cursor_off = 0;
    s->want = 0;
    for (; b != NULL; b = b->next)
        s->want += session_weight(b);
}

/* The first bundle that was not started: it is what the gateway should give credit for. */
static struct session_bundle *
first_waiting(const struct session *s)
{
    if (s->cursor != NULL && s->cursor_off > 0)
        return s->cursor->next;
    return s->cursor;
}

void
session_tell(struct session *s, struct wire_msg *msg)
{
    const struct session_bundle *b = first_waiting(s);

    msg->has |= UINT64_C(1) << WIRE_F_WANT | UINT64_C(1) << WIRE_F_HEAD;
    msg->want = s->want;
    msg->head = b == NULL ? 0 : session_weight(b);
    s->told_want = s->want;
    s->told_head_seq = b == NULL ? 0 : b->seq;
}

static bool
within_credit(const struct session *s, const struct session_bundle *b)
{
    return s->spent + wire_cost(session_weight(b)) <= s->credit;
}

bool
session_untold(const struct session *s)
{
    if (s->cursor == NULL)
        return s->told_want != 0; /* hello tells of all that is unanswered; the gateway may have it all already */
    return s->cursor_off == 0 && !within_credit(s, s->cursor) && s->told_head_seq != s->cursor->seq;
}

static void
start(struct session *s, struct session_bundle *b)
{
    s->spent += wire_cost(session_weight(b));
    s->want -= session_weight(b);
    if (b->seq <= s->started)
        s->resent++;
    else
        s->started = b->seq;
}

/* What only its first chunk says. */
static void
describe(const struct session_bundle *b, struct wire_msg *m)
{
    m->ctype = b->ctype;
    m->options = b->options;
    m->has |= b->ctype.at != NULL ? UINT64_C(1) << WIRE_F_CTYPE : 0;
    m->has |= b->options.at != NULL ? UINT64_C(1) << WIRE_F_OPTIONS : 0;
    if (b->format > 0) {
        m->has |= UINT64_C(1) << WIRE_F_FORMAT;
        m->format = (enum wire_format)(b->format - 1);
    }
}

/* A bundle that got its verdict half-way is sent to its end all the same: the gateway drops the rest in
 * silence, and takes the next bundle only after the last chunk. */
bool
session_queue_output(struct session *s, struct session_output *ret)
{
    struct session_bundle *b = s->cursor;
    uint64_t left;

    if (b == NULL || (s->cursor_off == 0 && !within_credit(s, b)))
        return false;
    ret->msg.type = WIRE_BUNDLE;
    ret->msg.has = UINT64_C(1) << WIRE_F_SEQ | UINT64_C(1) << WIRE_F_SIZE | UINT64_C(1) << WIRE_F_OFF;
    ret->msg.seq = b->seq;
    ret->msg.size = b->size;
    ret->msg.off = s->cursor_off;
    if (s->cursor_off == 0) {
        start(s, b);
        describe(b, &ret->msg);
    }
    left = b->size - s->cursor_off;
    ret->bundle = b;
    ret->state = NULL;
    ret->off = s->cursor_off;
    ret->len = (size_t)(left < s->chunk ? left : s->chunk);
    s->cursor_off += ret->len;
    session_tell(s, &ret->msg);
    if (s->cursor_off == b->size) {
        if (s->completed < b->seq)
            s->completed = b->seq;
        s->cursor = b->next;
        s->cursor_off = 0;
    }
    return true;
}

static void
settle(struct session *s, enum session_verdict verdict)
{
    s->unanswered->verdict = verdict;
    s->seen = s->unanswered->seq;
    s->unanswered = s->unanswered->next;
}

/* A repeat of an older answer can overtake the resend of its bundle: there is nothing to resend then. */
static void
skip_answered(struct session *s)
{
    while (s->cursor != NULL && s->cursor_off == 0 && s->cursor->seq <= s->seen) {
        s->want -= session_weight(s->cursor);
        s->cursor = s->cursor->next;
    }
}

static void
refusal(struct session *s, const struct wire_msg *msg)
{
    struct session_bundle *b = s->unanswered;

    b->reason = WIRE_HAS(msg, WIRE_F_REASON) ? msg->reason : WIRE_R_NONE;
    if (msg->verdict == WIRE_NACK) {
        s->nack_last = b->seq;
        if (s->nack_first == 0)
            s->nack_first = b->seq;
    }
    if (WIRE_HAS(msg, WIRE_F_TEXT) && msg->text.at != NULL)
        b->text = strndup(msg->text.at, msg->text.len); /* without memory the reason has to do */
    settle(s, msg->verdict == WIRE_NACK ? SESSION_NACKED : SESSION_DEAD);
    s->ping_now = true; /* the gateway answers nothing beyond a refusal until `seen` says that it arrived */
}

void
session_verdict(struct session *s, const struct wire_msg *msg, int64_t now_us)
{
    if (s->fresh || msg->seq <= s->seen)
        return; /* not of this epoch; a repeat */
    /* To believe an answer for what was never sent whole would be to lose it. */
    if (msg->seq > (msg->verdict == WIRE_ACK ? s->completed : s->started)) {
        session_fault(s, now_us, "answered for a bundle that was not sent");
        return;
    }
    if (msg->verdict == WIRE_ACK) {
        while (s->unanswered != NULL && s->unanswered->seq <= msg->seq)
            settle(s, SESSION_ACKED);
    } else if (msg->seq == s->seen + 1) {
        refusal(s, msg);
    } else if (!s->pinged) {
        s->ping_now = true; /* an answer before this one was lost: the ping brings them again, in order */
    }
    skip_answered(s);
}

static struct session_bundle *
take_head(struct session *s)
{
    struct session_bundle *b = s->head;

    s->head = b->next;
    if (s->head == NULL)
        s->tail = NULL;
    b->next = NULL;
    return b;
}

struct session_bundle *
session_next_answer(struct session *s)
{
    struct session_bundle *b = s->head;

    if (b == NULL || b->seq > s->seen || b == s->cursor)
        return NULL;
    return take_head(s);
}

struct session_bundle *
session_take_oldest(struct session *s)
{
    struct session_bundle *b = s->head;

    if (b == NULL)
        return NULL;
    if (b == s->cursor) {
        s->want -= s->cursor_off == 0 ? session_weight(b) : 0;
        s->cursor = b->next;
        s->cursor_off = 0;
    }
    if (b == s->unanswered)
        s->unanswered = b->next;
    return take_head(s);
}
