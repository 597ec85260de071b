/* session.c - one life of a connection: what is published on it, and what the broker answers. */
#include "session.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"
#include "bundle.h"
#include "err.h"
#include "log.h"
#include "outbox.h"
#include "parts.h"
#include "send.h"
#include "target.h"
#include "verify.h"
#include "watchdog.h"
#include "window.h"

enum {
    /* Bytes in the kernel above which nothing new is written.  They look published, and are not: under an alarm, up to
     * 4 MB would rest there.  So at most this, SEND_FULL and one frame.  Measured on loopback with bodies of 4 MB, in
     * MB/s, three runs each: 256 KiB 199 179 216, 1 MiB 266 271 210, 4 MiB 210 258 116.  A longer link is kept busy
     * while its bandwidth times its round trip is below it (1 GB/s and 1 ms). */
    UNSENT_MAX = 1024 * 1024,
    VERIFY_MAX = 4,          /* targets looked at in one turn, about 1 ms each */
    RECHECK_US = 5000000,    /* a bad target is looked at again so often at most */
    DOUBT_US = 1000000,      /* and so is a good queue whose exchange returns messages */
    READ_MAX = 1024          /* frames in one turn */
};

int
session_init(struct session *s, struct err *err)
{
    const uint32_t most = s->config->window > 0 ? s->config->window : 1;

    s->link = (struct link){.fd = -1};
    s->window = window_new(most, s->config->window_bytes, err);
    s->sender = s->window != NULL ? sender_new(err) : NULL;
    /* Each has something open, except for the current one, perhaps. */
    s->bundles = s->sender != NULL ? bundles_new((size_t)most + 1, err) : NULL;
    s->again = s->bundles != NULL ? calloc(most, sizeof(*s->again)) : NULL;
    if (s->bundles != NULL && s->again == NULL)
        err_set(err, ERR_NOMEM, errno, "a broker connection");
    return s->again != NULL ? 0 : -1;
}

void
session_begin(struct session *s, int64_t now)
{
    s->number++;
    s->now_us = s->heard_us = now;
    s->blocked = false;
    target_list_forget(s->targets);
    outbox_add(s->outbox, PUB_UP, s->number, 0, NULL);
}

bool
session_hungry(const struct session *s)
{
    return s->batch_at == s->batch_n;
}

void
session_feed(struct session *s, const struct pub_message *batch, size_t n)
{
    s->batch = batch;
    s->batch_n = n;
    s->batch_at = 0;
}

/* --- What the broker answers ---------------------------------------------------------------------------------- */

static bool
isolating(const struct session *s)
{
    return s->again_at < s->again_n;
}

/* All of a bundle may have been said: then it has its result.  One that has failed is gone through no further. */
static void
conclude(struct session *s, struct bundle *b)
{
    if (s->current == b && !bundle_more(b))
        s->current = NULL;
    if (!bundle_over(b))
        return;
    outbox_add(s->outbox, b->result, s->number, b->message.ticket, b->text);
    b->text = NULL;
    bundles_give(s->bundles, b);
}

/* What became of an open message.  Takes text. */
static void
settled(struct session *s, const struct window_item *item, enum pub_event_kind kind, char *text)
{
    if (item->bundle == NULL) {
        outbox_add(s->outbox, kind, s->number, item->message.ticket, text);
        return;
    }
    bundle_settle(item->bundle, item->part, kind, text);
    conclude(s, item->bundle);
}

/* It may be there or not, and its bundle has failed already: it goes when the bundle is posted again. */
static bool
given_up(struct session *s, const struct window_item *item)
{
    if (item->bundle == NULL || !bundle_failed(item->bundle))
        return false;
    settled(s, item, PUB_NACKED, NULL);
    return true;
}

/* The one on trial has been answered for; after the last, the window is as wide as before. */
static void
next_trial(struct session *s)
{
    if (!isolating(s))
        return;
    do
        s->again_at++;
    while (isolating(s) && given_up(s, &s->again[s->again_at]));
    if (!isolating(s))
        s->again_at = s->again_n = 0;
}

/* A message came back, so what was known of its queue is old: the next one there has it looked at again, and
 * declared if that is wanted.  Only a good one: the others are looked at again anyhow, and many may come back at once.
 * A queue that was found good without its binding to an exchange of the user's is not asked about for each message. */
static void
doubt(struct session *s, const struct pub_message *message)
{
    struct target *target = target_list_get(s->targets, message->target, NULL);

    if (target == NULL || target->state != TARGET_GOOD || message->target->queue[0] == '\0')
        return;
    if (message->target->exchange[0] == '\0' || s->now_us - target->checked_us >= DOUBT_US)
        target->state = TARGET_UNKNOWN;
}

/* The default exchange is bound to every queue by its name, so a return says that the queue is gone. */
static bool
queue_gone(const struct pub_target *def)
{
    return def->exchange[0] == '\0' && def->queue[0] != '\0' && strcmp(def->queue, def->routing_key) == 0;
}

static void
came_back(struct session *s, const struct window_item *item, char **returned)
{
    doubt(s, &item->message);
    if (queue_gone(item->message.target)) { /* given again, it finds the queue declared anew, or is told it is bad */
        settled(s, item, PUB_NACKED, NULL);
        return;
    }
    settled(s, item, PUB_RETURNED, *returned);
    *returned = NULL;
}

static void
confirmed(void *ctx, const struct window_item *item, char **returned)
{
    struct session *s = ctx;

    if (*returned != NULL)
        came_back(s, item, returned);
    else
        settled(s, item, PUB_CONFIRMED, NULL);
    next_trial(s);
}

static void
nacked(void *ctx, const struct window_item *item, char **returned)
{
    struct session *s = ctx;

    (void)returned; /* the broker does not have it either way */
    settled(s, item, PUB_NACKED, NULL);
    next_trial(s);
}

static int
on_confirm(struct session *s, uint64_t tag, bool multiple, window_fn *each, struct err *err)
{
    if (window_settle(s->window, tag, multiple, each, s) == 0)
        return 0;
    return err_set(err, ERR_PROTO, 0, "the broker answered for message %llu, which was not published",
                   (unsigned long long)tag);
}

static char *__attribute__((format(printf, 1, 2)))
text_new(const char *fmt, ...)
{
    va_list args;
    char *text;

    va_start(args, fmt);
    const int n = vasprintf(&text, fmt, args);
    va_end(args);
    return n < 0 ? NULL : text;
}

static void
back_end(struct session *s)
{
    free(s->back.text);
    s->back.text = NULL;
    s->back.open = false;
}

static void
on_return(struct session *s, const amqp_basic_return_t *r)
{
    back_end(s);
    s->back.open = true;
    s->back.left = 0;
    s->back.id_len = 0;
    s->back.text = text_new("%d %.*s: no queue is bound to exchange '%.*s' for routing key '%.*s': bind one",
                            r->reply_code, (int)r->reply_text.len, (const char *)r->reply_text.bytes,
                            (int)r->exchange.len, (const char *)r->exchange.bytes, (int)r->routing_key.len,
                            (const char *)r->routing_key.bytes);
}

/* A return carries no tag: it is the message_id that says which one came back.  Its ack follows. */
static int
back_whole(struct session *s, struct err *err)
{
    if (s->back.text == NULL)
        s->back.text = strdup("unroutable");
    if (s->back.text == NULL)
        return err_set(err, ERR_NOMEM, ENOMEM, "noting a message that the broker returned");
    if (!window_return(s->window, s->back.id, s->back.id_len, &s->back.text))
        return err_set(err, ERR_PROTO, 0, "the broker returned message '%.*s', which is not open", (int)s->back.id_len,
                       s->back.id);
    back_end(s);
    return 0;
}

static int
on_content(struct session *s, const amqp_frame_t *f, struct err *err)
{
    if (!s->back.open)
        return err_set(err, ERR_PROTO, 0, "the broker sent content that nobody asked for");
    if (f->frame_type == AMQP_FRAME_HEADER) {
        const amqp_basic_properties_t *p = f->payload.properties.decoded;
        s->back.left = f->payload.properties.body_size;
        if ((p->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0 && p->message_id.len <= sizeof(s->back.id)) {
            s->back.id_len = p->message_id.len;
            memcpy(s->back.id, p->message_id.bytes, s->back.id_len);
        }
    } else if (f->payload.body_fragment.len <= s->back.left) {
        s->back.left -= f->payload.body_fragment.len;
    } else {
        return err_set(err, ERR_PROTO, 0, "the broker sent more content than it announced");
    }
    return s->back.left == 0 ? back_whole(s, err) : 0;
}

/* --- A channel that the broker closed ------------------------------------------------------------------------- */

struct verdict {
    struct session *s;
    const amqp_channel_close_t *close;
};

static void
put_aside(void *ctx, const struct window_item *item, char **returned)
{
    struct session *s = ctx;

    (void)returned;
    if (!given_up(s, item))
        s->again[s->again_n++] = *item;
}

/* RabbitMQ says "message size 20000 is larger than configured max size 10000", with some more or less of it from
 * version to version, and has no code of its own for it. */
static enum pub_event_kind
refusal(const amqp_channel_close_t *close)
{
    static const char size[] = "message size ", most[] = "max size ";
    const amqp_bytes_t *text = &close->reply_text;
    const bool large = close->reply_code == AMQP_PRECONDITION_FAILED &&
                       memmem(text->bytes, text->len, size, strlen(size)) != NULL &&
                       memmem(text->bytes, text->len, most, strlen(most)) != NULL;

    return large ? PUB_TOO_LARGE : PUB_REFUSED;
}

static void
refuse(void *ctx, const struct window_item *item, char **returned)
{
    const struct verdict *v = ctx;
    struct session *s = v->s;
    const struct pub_target *const def = item->message.target;
    char id[WINDOW_ID_MAX];

    (void)returned;
    window_id(item, id);
    log_event(s->log, LOG_ERROR, "message_refused", LOG_STR("message_id", id), LOG_INT("code", v->close->reply_code),
              LOG_TEXT("why", v->close->reply_text.bytes, v->close->reply_text.len));
    settled(s, item, refusal(v->close),
            text_new("%d %.*s", v->close->reply_code, (int)v->close->reply_text.len,
                     (const char *)v->close->reply_text.bytes));

    /* The exchange may be gone, or the permission: those that follow learn it before they are published. */
    struct target *target = target_list_get(s->targets, def, NULL);
    if (target != NULL)
        target->state = TARGET_UNKNOWN;
}

static int
on_channel_close(struct session *s, const amqp_channel_close_t *close, struct err *err)
{
    struct verdict v = {.s = s, .close = close};

    if (window_count(s->window) == 0)
        return err_set(err, ERR_PROTO, 0, "the broker closed the channel with nothing open on it: %d %.*s",
                       close->reply_code, (int)close->reply_text.len, (const char *)close->reply_text.bytes);
    back_end(s);
    sender_drop(s->sender);
    if (isolating(s)) {
        window_clear(s->window, refuse, &v);
        next_trial(s);
    } else {
        log_event(s->log, LOG_WARN, "channel_closed", LOG_INT("code", close->reply_code),
                  LOG_TEXT("why", close->reply_text.bytes, close->reply_text.len),
                  LOG_INT("publish_again", window_count(s->window)));
        window_clear(s->window, put_aside, s);
    }
    return link_channel_closed(&s->link, LINK_PUBLISH, err);
}

/* --- Frames --------------------------------------------------------------------------------------------------- */

static int
on_connection_close(const amqp_connection_close_t *close, struct err *err)
{
    return err_set(err, ERR_IO, 0, "the broker closed the connection: %d %.*s", close->reply_code,
                   (int)close->reply_text.len, (const char *)close->reply_text.bytes);
}

static void
on_blocked(struct session *s, bool blocked, amqp_bytes_t why)
{
    if (s->blocked == blocked)
        return;
    s->blocked = blocked;
    log_event(s->log, LOG_WARN, blocked ? "broker_blocked" : "broker_unblocked", LOG_TEXT("why", why.bytes, why.len));
    outbox_add(s->outbox, blocked ? PUB_BLOCKED : PUB_UNBLOCKED, s->number, 0,
               blocked ? text_new("%.*s", (int)why.len, (const char *)why.bytes) : NULL);
}

static int
on_method(struct session *s, const amqp_frame_t *f, struct err *err)
{
    const amqp_method_t *m = &f->payload.method;

    switch (m->id) {
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *ack = m->decoded;
        return on_confirm(s, ack->delivery_tag, ack->multiple, confirmed, err);
    }
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *nack = m->decoded;
        return on_confirm(s, nack->delivery_tag, nack->multiple, nacked, err);
    }
    case AMQP_BASIC_RETURN_METHOD:
        on_return(s, m->decoded);
        return 0;
    case AMQP_CHANNEL_CLOSE_METHOD:
        if (f->channel == LINK_PUBLISH)
            return on_channel_close(s, m->decoded, err);
        return link_channel_closed(&s->link, f->channel, err);
    case AMQP_CONNECTION_BLOCKED_METHOD:
        on_blocked(s, true, ((const amqp_connection_blocked_t *)m->decoded)->reason);
        return 0;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        on_blocked(s, false, amqp_empty_bytes);
        return 0;
    case AMQP_CONNECTION_CLOSE_METHOD:
        return on_connection_close(m->decoded, err);
    default:
        return 0; /* nothing else is asked for, and what is unasked changes nothing */
    }
}

static int
on_frame(struct session *s, const amqp_frame_t *f, struct err *err)
{
    if (f->channel > LINK_VERIFY)
        return err_set(err, ERR_PROTO, 0, "the broker speaks on channel %u, which is not open", (unsigned)f->channel);
    if (f->frame_type == AMQP_FRAME_METHOD)
        return on_method(s, f, err);
    if (f->frame_type == AMQP_FRAME_HEADER || f->frame_type == AMQP_FRAME_BODY)
        return on_content(s, f, err);
    return 0; /* heartbeats: the library hands some of them on */
}

static int
read_all(struct session *s, struct err *err)
{
    amqp_frame_t frame;
    int rc = 1, n = 0;

    for (; rc > 0 && n < READ_MAX; n++) {
        rc = link_read(&s->link, &frame, err);
        if (rc > 0) {
            s->heard_us = s->now_us;
            rc = on_frame(s, &frame, err) == 0 ? 1 : -1;
        }
    }
    if (rc > 0)
        s->more = true; /* with TLS, the rest may be where even link_pending does not see it */
    link_rest(&s->link);
    return rc < 0 ? -1 : 0;
}

/* --- Publishing ----------------------------------------------------------------------------------------------- */

static int
verify(struct session *s, struct target *target, struct err *err)
{
    /* What was gathered goes first: the answer may take its time. */
    if (sender_flush(s->sender, &s->link, err) != 0)
        return -1;
    return verify_target(&s->link, target, s->config->vhost, s->log, s->now_us, err);
}

static int
verify_some(struct session *s, struct err *err)
{
    struct target *target;

    for (int i = 0; i < VERIFY_MAX && (target = target_list_unknown(s->targets)) != NULL; i++)
        if (verify(s, target, err) != 0)
            return -1;
    if (target_list_unknown(s->targets) != NULL)
        s->more = true;
    return 0;
}

enum fit { FIT_YES, FIT_LATER, FIT_NOT, FIT_LOST };

/* May something be published to this target?  NOT: that is its result, and who asked takes the text (malloc, or NULL);
 * LOST: the link is of no more use. */
static enum fit
fit(struct session *s, const struct pub_target *def, enum pub_event_kind *ret_kind, char **ret_text, struct err *err)
{
    struct target *target = target_list_get(s->targets, def, NULL);

    if (target == NULL) { /* no memory: later */
        *ret_kind = PUB_NACKED;
        *ret_text = NULL;
        return FIT_NOT;
    }
    const bool again = (target->state == TARGET_BAD && s->now_us - target->checked_us >= RECHECK_US) ||
                       (target->state == TARGET_SETTLING && s->now_us >= target->settled_us);
    if ((target->state == TARGET_UNKNOWN || again) && verify(s, target, err) != 0)
        return FIT_LOST;
    if (target->state == TARGET_GOOD)
        return FIT_YES;
    if (target->state == TARGET_SETTLING) { /* those behind it wait, too: once in the life of a queue, and in order */
        s->settle_us = target->settled_us;
        return FIT_LATER;
    }
    *ret_kind = PUB_BAD_TARGET;
    *ret_text = strdup(target->text);
    return FIT_NOT;
}

/* What a turn of looking for the next message came to. */
enum found { FOUND, FOUND_NOTHING, FOUND_ANOTHER, FOUND_LOST };

/* The next message of the current bundle.  ANOTHER: the bundle has ended, look again. */
static enum found
next_part(struct session *s, struct window_item *ret, struct err *err)
{
    struct bundle *b = s->current;
    const struct parts *parts = b->message.parts;
    enum pub_event_kind kind;
    char *text;
    const enum fit rc = fit(s, b->message.target, &kind, &text, err);

    if (rc == FIT_NOT) {
        bundle_fail(b, kind, text);
        conclude(s, b);
        return FOUND_ANOTHER;
    }
    if (rc != FIT_YES)
        return rc == FIT_LOST ? FOUND_LOST : FOUND_NOTHING;
    const uint64_t size = parts->kind->size(parts, b->next);
    if (!window_room(s->window, size))
        return FOUND_NOTHING;
    *ret = (struct window_item){.message = b->message, .bundle = b, .size = size, .part = bundle_begin(b)};
    if (!bundle_more(b))
        s->current = NULL;
    return FOUND;
}

/* The next one that was posted, where that is one message.  ANOTHER: it is not, or was answered for. */
static enum found
next_posted(struct session *s, struct window_item *ret, struct err *err)
{
    const struct pub_message *m = &s->batch[s->batch_at];
    enum pub_event_kind kind;
    char *text;

    if (m->session != s->number) { /* for a life that PUB_DOWN has ended */
        s->batch_at++;
        return FOUND_ANOTHER;
    }
    if (m->parts != NULL) {
        s->batch_at++;
        s->current = bundles_take(s->bundles, m);
        conclude(s, s->current); /* all of it may have gone, and the word of it been lost with a connection */
        return FOUND_ANOTHER;
    }
    const enum fit rc = fit(s, m->target, &kind, &text, err);
    if (rc == FIT_NOT) {
        s->batch_at++;
        outbox_add(s->outbox, kind, s->number, m->ticket, text);
        return FOUND_ANOTHER;
    }
    if (rc != FIT_YES)
        return rc == FIT_LOST ? FOUND_LOST : FOUND_NOTHING;
    if (!window_room(s->window, m->body->size))
        return FOUND_NOTHING;
    s->batch_at++;
    *ret = (struct window_item){.message = *m, .size = m->body->size};
    return FOUND;
}

/* The next message that may be published now: 1; 0: none; -1: the link is of no more use. */
static int
next(struct session *s, struct window_item *ret, struct err *err)
{
    enum found rc = FOUND_ANOTHER;

    if (isolating(s)) {
        *ret = s->again[s->again_at];
        return window_count(s->window) == 0;
    }
    while (rc == FOUND_ANOTHER && (s->current != NULL || s->batch_at < s->batch_n))
        rc = s->current != NULL ? next_part(s, ret, err) : next_posted(s, ret, err);
    return rc == FOUND_LOST ? -1 : rc == FOUND;
}

/* Begin to publish one.  Without memory for it, it goes later. */
static int
begin(struct session *s, const struct window_item *item, struct err *err)
{
    if (!sender_make(s->sender, &s->link, item)) {
        settled(s, item, PUB_NACKED, NULL);
        next_trial(s);
        return 0;
    }
    if (window_count(s->window) == 0)
        s->heard_us = s->now_us; /* silence counts from when there is something to answer */
    window_add(s->window, item);
    return sender_begin(s->sender, &s->link, item, err);
}

static int
publish(struct session *s, struct err *err)
{
    struct window_item item;
    int rc = 1;

    if (!s->link.open[LINK_PUBLISH] && link_channel(&s->link, LINK_PUBLISH, err) != 0)
        return -1;
    while (rc > 0 && !sender_full(s->sender)) {
        if (sender_open(s->sender)) {
            rc = sender_more(s->sender, &s->link, err) == 0 ? 1 : -1;
            continue;
        }
        rc = next(s, &item, err);
        if (rc > 0)
            rc = begin(s, &item, err) == 0 ? 1 : -1;
    }
    if (rc > 0)
        s->more = true; /* it was only the buffer that was full */
    return rc < 0 ? -1 : sender_flush(s->sender, &s->link, err);
}

/* A connection that is open, says nothing and owes confirms is dead, with or without heartbeats.  Under an alarm
 * there are none to come, and the library watches the heartbeats. */
static int
check_silence(struct session *s, struct err *err)
{
    if (s->blocked || window_count(s->window) == 0 || s->now_us - s->heard_us < s->config->hung_us)
        return 0;
    return err_set(err, ERR_TIMEOUT, 0, "the broker has been silent for %lld ms with %zu messages unconfirmed",
                   (long long)(s->now_us - s->heard_us) / 1000, window_count(s->window));
}

int
session_turn(struct session *s, int64_t now, struct err *err)
{
    s->now_us = now;
    s->more = s->gated = false;
    s->settle_us = 0;
    if (read_all(s, err) != 0 || check_silence(s, err) != 0)
        return -1;
    if (s->blocked)
        return 0; /* nothing at all is sent, not even questions: the broker would not read them */
    if (verify_some(s, err) != 0)
        return -1;
    s->gated = link_unsent(&s->link) >= UNSENT_MAX;
    return s->gated ? 0 : publish(s, err);
}

/* --- The end -------------------------------------------------------------------------------------------------- */

void
session_end(struct session *s)
{
    window_clear(s->window, NULL, NULL);
    sender_drop(s->sender);
    back_end(s);
    bundles_forget(s->bundles);
    s->current = NULL;
    s->again_n = s->again_at = 0;
    s->batch_n = s->batch_at = 0;
    s->blocked = s->more = s->gated = false;
}

void
session_free(struct session *s)
{
    back_end(s);
    window_free(s->window);
    sender_free(s->sender);
    bundles_free(s->bundles);
    free(s->again);
}
