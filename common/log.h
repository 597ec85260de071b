/* log.h - one line per event on a stream: key=value or JSON, never payloads or secrets.
 *
 *     log_event(log, LOG_WARN, "broker_down", LOG_STR("host", host), LOG_INT("retry_ms", 400));
 *
 * Lines carry the time (RFC 3339 UTC), the level and the event's name first.  Text from outside is
 * escaped, so that it can neither break a line nor colour a terminal, and cut at 512 bytes a value.
 * Repeats are rate-limited by event name: 10 lines a second each.  How many were left out is told by a line
 * log_left_out before the next line of any event, once that second is over, and at the latest by log_free.
 * A line that whoever reads the stream leaves no room for is not waited for: it is left out, and how many is told by
 * a line log_left_out of=all once there is room.
 * A line has at most 4096 bytes; fields that do not fit are left out whole and counted in fields_left_out.
 * Any thread; a line is one write. */
#ifndef LOG_H
#define LOG_H

#include <stdint.h>

struct err;
struct log;

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_KEYVALUE, LOG_JSON };

struct log_field {
    const char *key; /* NULL ends the list */
    enum { LOG_FIELD_STR, LOG_FIELD_TEXT, LOG_FIELD_INT } kind;
    const char *str; /* NULL is written as an empty value */
    int64_t     num; /* the number, or the length of a TEXT */
};

#define LOG_STR(k, v) ((struct log_field){(k), LOG_FIELD_STR, (v), 0})
#define LOG_TEXT(k, v, n) ((struct log_field){(k), LOG_FIELD_TEXT, (v), (int64_t)(n)}) /* not NUL-terminated */
#define LOG_INT(k, v) ((struct log_field){(k), LOG_FIELD_INT, NULL, (int64_t)(v)})
#define LOG_END ((struct log_field){NULL, LOG_FIELD_INT, NULL, 0})
#define log_event(log, level, ...) log_fields((log), (level), LOG_ARGS_(__VA_ARGS__, LOG_END))
#define LOG_ARGS_(name, ...) (name), (const struct log_field[]){__VA_ARGS__}

/* A log that writes to fd (borrowed), levels up to `most`.  NULL with *err filled on no memory. */
struct log *log_new(int fd, enum log_format format, enum log_level most, struct err *err);

/* Change what is written from now on (a reload). */
void log_set(struct log *log, enum log_format format, enum log_level most);

/* Write one event.  log may be NULL: nothing is written (tests, libraries).  Use the macro log_event. */
void log_fields(struct log *log, enum log_level level, const char *event, const struct log_field *fields);

void log_free(struct log *log);

#endif
