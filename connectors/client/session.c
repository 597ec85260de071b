/* session.c - hello and welcome, pings, faults: whether the gateway hears us, and when to speak. */
#include "session_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(f) (UINT64_C(1) << (f))

static const int64_t hello_first_us = 1 * SESSION_S;
static const int64_t hello_most_us = 10 * SESSION_S;
static const int64_t hello_least_us = 200 * SESSION_MS; /* between two, however often the transport breaks */
static const unsigned silent_pings = 3;
static const unsigned hellos_per_connection = 4; /* 15 s without an answer: the connection may be dead */

struct session *
session_new(const struct session_config *config, struct err *err)
{
    struct session *s;

    if (config->id == NULL || !text_is_id(config->id, strlen(config->id)) || config->epoch == 0 ||
        config->epoch > WIRE_NUMBER_MAX || (config->agent != NULL && strlen(config->agent) > TEXT_ID_MAX)) {
        err_set(err, ERR_CONFIG, 0, "session: id, agent or epoch is not one of the protocol");
        return NULL;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        err_set(err, ERR_NOMEM, 0, "session of connector %s", config->id);
        return NULL;
    }
    snprintf(s->id, sizeof(s->id), "%s", config->id);
    snprintf(s->agent, sizeof(s->agent), "%s", config->agent == NULL ? "" : config->agent);
    s->epoch = config->epoch;
    s->fresh = true;
    s->hello_now = true;
    s->hello_at = SESSION_NEVER;
    s->hello_last = -hello_most_us;
    s->welcomed_at = -hello_most_us;
    s->ping_at = SESSION_NEVER;
    s->state.retry_at = SESSION_NEVER;
    s->run.run.next_us = -1;
    return s;
}

void
session_free(struct session *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->lines_n; i++)
        free(s->lines[(s->lines_first + i) % SESSION_LOG_MAX].text);
    free(s->status_text);
    free(s->lent);
    session_state_free(&s->state);
    session_run_free(&s->run);
    free(s);
}

void
session_say(struct session *s, enum wire_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(s->note, sizeof(s->note), fmt, args);
    va_end(args);
    s->note_level = level;
    s->noted = true;
}

const char *
session_note(struct session *s, enum wire_level *ret_level)
{
    if (!s->noted)
        return NULL;
    s->noted = false;
    *ret_level = s->note_level;
    return s->note;
}

int64_t
session_backoff(struct session *s, int64_t now_us)
{
    int64_t us = hello_least_us / 2;

    if (s->welcomed_at + hello_most_us < now_us)
        s->stalls = 0; /* it held for a while, even if there was nothing to send */
    if (s->stalls++ == 0)
        return 0;
    for (unsigned i = 1; i < s->stalls && us < hello_most_us; i++)
        us *= 2;
    return us < hello_most_us ? us : hello_most_us;
}

void
session_drop(struct session *s)
{
    if (s->phase == SESSION_WELCOMED) {
        s->phase = SESSION_CONNECTING;
        s->tries = 0;
    }
    s->awaiting = false;
    s->credit = s->spent = 0;
    s->hold = 0;
    s->ping_now = s->pinged = false;
    s->ping_at = SESSION_NEVER;
    s->hello_now = false;
    s->hello_at = SESSION_NEVER;
    session_rewind(s, s->seen + 1);
}

void
session_hello_in(struct session *s, int64_t delay_us, int64_t now_us)
{
    int64_t at = now_us + delay_us;

    if (at < s->not_before)
        at = s->not_before;
    s->hello_now = at <= now_us;
    s->hello_at = s->hello_now ? SESSION_NEVER : at;
}

void
session_fault(struct session *s, int64_t now_us, const char *what)
{
    int64_t pause;

    s->faults++;
    session_say(s, WIRE_LV_ERROR, "the gateway broke the protocol: it %s; connecting anew", what);
    snprintf(s->words, sizeof(s->words), "%s", s->note);
    session_drop(s);
    pause = session_backoff(s, now_us);
    s->not_before = now_us + (pause < hello_first_us ? hello_first_us : pause);
    session_hello_in(s, 0, now_us);
    s->want_reset = true;
}

void
session_connection_reset(struct session *s, int64_t now_us)
{
    int64_t wait = s->hello_last + hello_least_us - now_us;

    if (s->phase == SESSION_REPLACED)
        return;
    s->leave = false;
    session_drop(s);
    session_hello_in(s, wait > 0 ? wait : 0, now_us);
}

bool
session_wants_reset(struct session *s)
{
    bool wants = s->want_reset;

    s->want_reset = false;
    return wants;
}

/* --- time --- */

static void
hello_due(struct session *s)
{
    s->hello_at = SESSION_NEVER;
    s->hello_now = true;
    if (s->leave || (s->tries > 0 && s->tries % hellos_per_connection == 0))
        s->want_reset = true;
}

static int64_t
silence_at(const struct session *s)
{
    return s->phase == SESSION_WELCOMED ? s->heard_at + silent_pings * s->ping_us : SESSION_NEVER;
}

void
session_tick(struct session *s, int64_t now_us)
{
    if (s->hello_at <= now_us)
        hello_due(s);
    if (silence_at(s) <= now_us) {
        session_say(s, WIRE_LV_WARN, "no sign of the gateway for %lld ms: connecting anew",
                    (long long)((now_us - s->heard_at) / SESSION_MS));
        session_drop(s);
        session_hello_in(s, 0, now_us);
        s->want_reset = true;
    }
    if (s->ping_at <= now_us) {
        s->ping_at = now_us + s->ping_us;
        s->ping_now = true;
        session_run_pinged(s);
    }
    session_state_tick(s, now_us);
}

int64_t
session_due(const struct session *s)
{
    int64_t due = s->hello_at;

    if (s->ping_at < due)
        due = s->ping_at;
    if (silence_at(s) < due)
        due = silence_at(s);
    if (s->phase == SESSION_WELCOMED && s->state.retry_at < due)
        due = s->state.retry_at;
    return due;
}

/* --- what is sent --- */

static void
plain(struct session_output *out, enum wire_type type, uint64_t has)
{
    out->msg.type = type;
    out->msg.has = has;
    out->bundle = NULL;
    out->state = NULL;
    out->off = 0;
    out->len = 0;
}

static struct wire_text
text_of(const char *at, size_t len)
{
    return (struct wire_text){.at = at, .len = (uint32_t)len};
}

static void
hello_output(struct session *s, int64_t now_us, struct session_output *out)
{
    int64_t again = s->phase == SESSION_REFUSED ? SESSION_REFUSED_US : hello_first_us;

    plain(out, WIRE_HELLO,
          BIT(WIRE_F_V) | BIT(WIRE_F_ID) | BIT(WIRE_F_EPOCH) | BIT(WIRE_F_ATTEMPT) | BIT(WIRE_F_FRESH) |
              BIT(WIRE_F_SEEN));
    out->msg.v = WIRE_VERSION;
    out->msg.id = text_of(s->id, strlen(s->id));
    out->msg.epoch = s->epoch;
    out->msg.attempt = ++s->attempt;
    out->msg.fresh = s->fresh;
    out->msg.seen = s->seen;
    if (s->agent[0] != '\0') {
        out->msg.has |= BIT(WIRE_F_AGENT);
        out->msg.agent = text_of(s->agent, strlen(s->agent));
    }
    session_tell(s, &out->msg);
    session_run_name(s, &out->msg);
    for (unsigned i = 0; i < s->tries && again < hello_most_us; i++)
        again *= 2;
    if (s->phase != SESSION_REFUSED && again > hello_most_us)
        again = hello_most_us;
    s->tries++;
    s->hello_now = false;
    s->hello_at = now_us + again;
    s->hello_last = now_us;
    s->awaiting = true;
}

static void
ping_output(struct session *s, int64_t now_us, struct session_output *out)
{
    plain(out, WIRE_PING, BIT(WIRE_F_SEEN));
    out->msg.seen = s->seen;
    session_tell(s, &out->msg);
    session_run_name(s, &out->msg);
    s->ping_now = false;
    s->pinged = true;
    s->ping_at = now_us + s->ping_us;
}

static bool
health_output(struct session *s, struct session_output *out)
{
    if (!s->status_due)
        return false;
    s->status_due = false;
    plain(out, WIRE_HEALTH, BIT(WIRE_F_STATUS));
    out->msg.status = s->status;
    if (s->status_text != NULL) {
        out->msg.has |= BIT(WIRE_F_TEXT);
        out->msg.text = text_of(s->status_text, s->status_len);
    }
    return true;
}

static bool
log_output(struct session *s, struct session_output *out)
{
    struct session_line *line = &s->lines[s->lines_first];

    if (s->lines_n == 0)
        return false;
    s->lines_first = (s->lines_first + 1) % SESSION_LOG_MAX;
    s->lines_n--;
    free(s->lent);
    s->lent = line->text;
    plain(out, WIRE_LOG, BIT(WIRE_F_LEVEL) | BIT(WIRE_F_TEXT));
    out->msg.level = line->level;
    out->msg.text = text_of(line->text, line->len);
    return true;
}

bool
session_next_output(struct session *s, int64_t now_us, struct session_output *ret)
{
    if (s->phase == SESSION_REPLACED || s->said_bye)
        return false;
    if (s->phase != SESSION_WELCOMED) {
        if (!s->hello_now || s->bye)
            return false;
        hello_output(s, now_us, ret);
        return true;
    }
    if (s->bye) {
        s->said_bye = true;
        plain(ret, WIRE_BYE, 0);
        return true;
    }
    if (s->ping_now || session_untold(s)) {
        ping_output(s, now_us, ret);
        return true;
    }
    return session_run_output(s, ret) || session_state_output(s, now_us, ret) || health_output(s, ret) ||
           log_output(s, ret) || session_queue_output(s, ret);
}

void
session_bye(struct session *s)
{
    s->bye = true;
}

/* --- the connector's own words --- */

void
session_log(struct session *s, enum wire_level level, const char *text, size_t len)
{
    struct session_line *line;
    char *copy = strndup(text, len);

    if (copy == NULL) {
        s->log_dropped++;
        return;
    }
    if (s->lines_n == SESSION_LOG_MAX) {
        free(s->lines[s->lines_first].text);
        s->lines_first = (s->lines_first + 1) % SESSION_LOG_MAX;
        s->lines_n--;
        s->log_dropped++;
    }
    line = &s->lines[(s->lines_first + s->lines_n++) % SESSION_LOG_MAX];
    line->level = level;
    line->text = copy;
    line->len = strlen(copy);
}

void
session_health(struct session *s, enum wire_status status, const char *text, size_t len)
{
    free(s->status_text);
    s->status_text = text == NULL ? NULL : strndup(text, len);
    s->status_len = s->status_text == NULL ? 0 : strlen(s->status_text);
    s->status = status;
    s->status_set = s->status_due = true;
}

void
session_info(const struct session *s, struct session_info *ret)
{
    const struct session_bundle *b = s->cursor;

    if (b != NULL && s->cursor_off > 0)
        b = b->next;
    *ret = (struct session_info){
        .phase = s->phase, .epoch = s->epoch, .attempt = s->attempt,
        .seen = s->seen, .pushed = s->pushed, .started = s->started, .completed = s->completed,
        .credit = s->credit, .spent = s->spent, .want = s->want, .head = b == NULL ? 0 : session_weight(b),
        .max_bundle = s->max_bundle, .ping_us = (uint64_t)s->ping_us, .resent = s->resent,
        .welcomes = s->welcomes, .faults = s->faults, .log_dropped = s->log_dropped, .hold = s->hold,
        .words = s->words, .run = s->run.run,
    };
    ret->run.words = s->run.run.refused ? s->run.words : "";
}
