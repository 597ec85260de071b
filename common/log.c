/* log.c - one line per event, written at once.
 *
 * A line is made on the stack and written by one write(2) of at most 4096 bytes, which is what a pipe takes
 * whole (PIPE_BUF), so lines of several threads do not mix.  Nobody waits for a reader of the log: a line that a full
 * pipe or socket would not take at once is left out, and counted.  That it has room is asked just before the write, by
 * one thread at a time; only another process that writes to the same pipe can fill it in between, and a stopped
 * terminal may have room for a part of a line.  The lock of the rates is never held during a write. */
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"
#include "text.h"

enum {
    LINE_MAX_LEN = 4096,
    TAIL_ROOM = 64,       /* kept free for what ends a line: how many fields were left out */
    VALUE_MAX = 512,      /* bytes of a value, before escaping */
    NAME_MAX_LEN = 48,    /* bytes of an event's name that tell it from others */
    RATES = 64,           /* events whose rate is known; the one idle for longest makes room */
    BURST = 10,           /* lines of one event in a window */
    WINDOW_US = 1000000
};

/* How often one event was written. */
struct rate {
    char           name[NAME_MAX_LEN]; /* "": free */
    enum log_level level;              /* of the last line left out */
    int64_t        since_us;           /* monotonic: when its window began */
    uint32_t       written;            /* in this window */
    uint64_t       left_out;           /* in this window */
};

struct log {
    int             fd; /* borrowed */
    atomic_int      format;
    atomic_int      most;
    pthread_mutex_t writing; /* from asking whether there is room until it is used */
    atomic_ullong   untaken; /* lines that the stream did not take, and nobody was told of */
    pthread_mutex_t lock;
    struct rate     rates[RATES]; /* under lock */
};

/* --- a line -------------------------------------------------------------------------------------------------- */

struct line {
    char   at[LINE_MAX_LEN];
    size_t len;
    bool   json;
    bool   full; /* the last piece did not fit: the field it belongs to is taken back */
};

static void
put(struct line *l, const char *at, size_t n)
{
    if (l->full || n > LINE_MAX_LEN - TAIL_ROOM - l->len) {
        l->full = true;
        return;
    }
    memcpy(l->at + l->len, at, n);
    l->len += n;
}

static void
put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* One character of a value.  Returns the bytes that were read. */
static size_t
put_char(struct line *l, const char *at, size_t len)
{
    char escaped[TEXT_ESCAPE_MAX];
    size_t used;

    const size_t n = l->json ? text_json(at, len, &used, escaped) : text_escape(at, len, &used, escaped);
    put(l, escaped, n);
    return used;
}

/* Can a value stand without quotes?  Not where a reader could not tell its end, or it needs escaping. */
static bool
is_bare(const char *at, size_t len)
{
    char escaped[TEXT_ESCAPE_MAX];
    size_t used;

    for (size_t i = 0; i < len; i += used) {
        if (at[i] == ' ' || at[i] == '=')
            return false;
        if (text_escape(at + i, len - i, &used, escaped) != used)
            return false;
    }
    return len > 0;
}

/* Bytes of a value that are shown: VALUE_MAX at most, and no half character at the end. */
static size_t
cut_value(const char *at, size_t len)
{
    size_t keep = VALUE_MAX;

    if (len <= VALUE_MAX)
        return len;
    while (keep > VALUE_MAX - 3 && ((unsigned char)at[keep] & 0xC0) == 0x80)
        keep--;
    return keep;
}

static void
put_value(struct line *l, const char *at, size_t len)
{
    const size_t keep = cut_value(at, len);
    const bool quoted = l->json || !is_bare(at, keep);

    if (quoted)
        put_str(l, "\"");
    for (size_t i = 0; i < keep && !l->full;)
        i += put_char(l, at + i, keep - i);
    if (keep < len)
        put_str(l, "...");
    if (quoted)
        put_str(l, "\"");
}

static void
put_key(struct line *l, const char *key)
{
    if (l->len > 0)
        put_str(l, l->json ? "," : " ");
    else if (l->json)
        put_str(l, "{");
    if (l->json)
        put_value(l, key, strlen(key));
    else
        put_str(l, key); /* a literal of ours */
    put_str(l, l->json ? ":" : "=");
}

static void
put_str_field(struct line *l, const char *key, const char *value)
{
    put_key(l, key);
    /* Longer than VALUE_MAX is all that needs to be known: the text may be very long. */
    put_value(l, value != NULL ? value : "", value != NULL ? strnlen(value, VALUE_MAX + 1) : 0);
}

static void
put_int_field(struct line *l, const char *key, int64_t value)
{
    char digits[24];

    snprintf(digits, sizeof(digits), "%" PRId64, value);
    put_key(l, key);
    put_str(l, digits);
}

/* One field whole, or not at all. */
static bool
put_field(struct line *l, const struct log_field *f)
{
    const size_t before = l->len;

    switch (f->kind) {
    case LOG_FIELD_STR:
        put_str_field(l, f->key, f->str);
        break;
    case LOG_FIELD_TEXT:
        put_key(l, f->key);
        put_value(l, f->str != NULL ? f->str : "", f->str != NULL && f->num > 0 ? (size_t)f->num : 0);
        break;
    case LOG_FIELD_INT:
        put_int_field(l, f->key, f->num);
        break;
    }
    if (!l->full)
        return true;
    l->len = before;
    l->full = false;
    return false;
}

/* Would a write of a line return at once?  What is wrong with the stream, write says better. */
static bool
has_room(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int rc;

    do
        rc = poll(&p, 1, 0);
    while (rc < 0 && errno == EINTR);
    return rc > 0;
}

static bool
write_all(int fd, const char *at, size_t n)
{
    while (n > 0) {
        const ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

static bool
write_if_room(struct log *log, const char *at, size_t n)
{
    pthread_mutex_lock(&log->writing);
    const bool done = has_room(log->fd) && write_all(log->fd, at, n);
    pthread_mutex_unlock(&log->writing);
    return done;
}

/* Returns whether the stream took it. */
static bool
write_line(struct log *log, enum log_level level, const char *event, const struct log_field *fields)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    struct line l;
    char time[TEXT_TIME];
    int64_t left_out = 0;

    l.len = 0;
    l.full = false;
    l.json = atomic_load(&log->format) == LOG_JSON;
    put_str_field(&l, "time", text_time(clock_wall_us(), time));
    put_str_field(&l, "level", names[level]);
    put_str_field(&l, "event", event);
    for (; fields->key != NULL; fields++) {
        if (!put_field(&l, fields))
            left_out++;
    }
    if (left_out > 0) { /* in the room that put leaves */
        const int n = snprintf(l.at + l.len, TAIL_ROOM, "%s%" PRId64,
                               l.json ? ",\"fields_left_out\":" : " fields_left_out=", left_out);
        l.len += (size_t)n;
    }
    if (l.json)
        l.at[l.len++] = '}';
    l.at[l.len++] = '\n';
    return write_if_room(log, l.at, l.len);
}

/* --- what the stream did not take ------------------------------------------------------------------------------- */

/* Say how many lines were not taken, as soon as one is. */
static void
tell_untaken(struct log *log)
{
    const unsigned long long lines = atomic_exchange(&log->untaken, 0);

    if (lines > 0 &&
        !write_line(log, LOG_ERROR, "log_left_out",
                    (const struct log_field[]){LOG_STR("of", "all"), LOG_INT("lines", lines),
                                               LOG_STR("why", "whoever reads this log did not keep up"), LOG_END}))
        atomic_fetch_add(&log->untaken, lines);
}

static void
write_or_count(struct log *log, enum log_level level, const char *event, const struct log_field *fields, uint64_t lines)
{
    tell_untaken(log);
    if (!write_line(log, level, event, fields))
        atomic_fetch_add(&log->untaken, lines);
}

/* --- rates --------------------------------------------------------------------------------------------------- */

/* Say what was left out.  Not limited itself: there is at most one such line for BURST others. */
static void
write_left_out(struct log *log, const struct rate *owed)
{
    write_or_count(log, owed->level, "log_left_out",
                   (const struct log_field[]){LOG_STR("of", owed->name), LOG_INT("lines", owed->left_out), LOG_END},
                   owed->left_out);
}

/* The rate of this event: a known one, else a free one, else that whose window began first. */
static struct rate *
rate_find(struct log *log, const char *event)
{
    struct rate *best = &log->rates[0];

    for (size_t i = 0; i < RATES; i++) {
        struct rate *r = &log->rates[i];
        if (strncmp(r->name, event, NAME_MAX_LEN - 1) == 0)
            return r;
        if (best->name[0] != '\0' && (r->name[0] == '\0' || r->since_us < best->since_us))
            best = r;
    }
    return best;
}

/* May this event be written now?  *owed, where its left_out is not 0, is a count to be told first. */
static bool
rate_allows(struct log *log, enum log_level level, const char *event, int64_t now_us, struct rate *owed)
{
    pthread_mutex_lock(&log->lock);
    struct rate *r = rate_find(log, event);
    if (strncmp(r->name, event, NAME_MAX_LEN - 1) != 0 || now_us - r->since_us >= WINDOW_US) {
        *owed = *r;
        *r = (struct rate){.level = level, .since_us = now_us};
        memcpy(r->name, event, strnlen(event, NAME_MAX_LEN - 1));
    }
    const bool allowed = r->written < BURST;
    if (allowed) {
        r->written++;
    } else {
        r->left_out++;
        r->level = level;
    }
    pthread_mutex_unlock(&log->lock);
    return allowed;
}

/* Another event whose window is over and that owes a count: the next line of any event tells it. */
static bool
rate_settle(struct log *log, int64_t now_us, struct rate *owed)
{
    bool found = false;

    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < RATES && !found; i++) {
        struct rate *r = &log->rates[i];
        if (r->left_out > 0 && now_us - r->since_us >= WINDOW_US) {
            *owed = *r;
            *r = (struct rate){.name = ""};
            found = true;
        }
    }
    pthread_mutex_unlock(&log->lock);
    return found;
}

/* --- the log --------------------------------------------------------------------------------------------------- */

struct log *
log_new(int fd, enum log_format format, enum log_level most, struct err *err)
{
    struct log *log = calloc(1, sizeof(*log));

    if (log == NULL) {
        err_set(err, ERR_NOMEM, ENOMEM, "the log");
        return NULL;
    }
    log->fd = fd;
    pthread_mutex_init(&log->writing, NULL);
    pthread_mutex_init(&log->lock, NULL); /* cannot fail with default attributes */
    log_set(log, format, most);
    return log;
}

void
log_set(struct log *log, enum log_format format, enum log_level most)
{
    atomic_store(&log->format, (int)format);
    atomic_store(&log->most, (int)most);
}

void
log_fields(struct log *log, enum log_level level, const char *event, const struct log_field *fields)
{
    const int entered = errno; /* logging a failure must not change it */
    struct rate owed = {.left_out = 0};

    if (log == NULL || (int)level > atomic_load(&log->most))
        return;
    const int64_t now_us = clock_mono_us();
    while (rate_settle(log, now_us, &owed))
        write_left_out(log, &owed);
    owed.left_out = 0;
    const bool allowed = rate_allows(log, level, event, now_us, &owed);
    if (owed.left_out > 0)
        write_left_out(log, &owed);
    if (allowed)
        write_or_count(log, level, event, fields, 1);
    errno = entered;
}

void
log_free(struct log *log)
{
    if (log == NULL)
        return;
    for (size_t i = 0; i < RATES; i++) {
        if (log->rates[i].left_out > 0)
            write_left_out(log, &log->rates[i]);
    }
    tell_untaken(log);
    pthread_mutex_destroy(&log->writing);
    pthread_mutex_destroy(&log->lock);
    free(log);
}
