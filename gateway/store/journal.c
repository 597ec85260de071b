/* journal.c - lines are made by who decides, and written by a thread. */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "core/decide.h"
#include "err.h"
#include "log.h"
#include "mailbox.h"
#include "text.h"
#include "thread.h"
#include "wire.h"

enum {
    PATH_CAP = 4096,
    LINE_CAP = WIRE_TEXT_MAX * 6 + 1024, /* a byte of text takes at most six, the rest well below 1024 */
    BLOCK_CAP = 256 * 1024               /* bytes in one write */
};

struct line {
    char  *at; /* owned */
    size_t len;
};

struct journal {
    char            path[PATH_CAP], old_path[PATH_CAP + 2];
    struct log     *log;      /* borrowed */
    struct mailbox *lines;    /* of struct line; at most JOURNAL_WAITING_MAX bytes */
    atomic_size_t   waiting;  /* bytes in it */
    atomic_uint_fast64_t left_out; /* lines that nobody has told of yet */
    int             stop_fd;  /* an eventfd: writing to it cannot fail */
    pthread_t       thread;
    bool            running;
    /* The thread's: */
    int             fd;       /* -1: to be opened */
    uint64_t        half, size; /* of one file: what it may have, what it has */
    bool            torn;     /* it does not end with a whole line */
    bool            failing;  /* the log was told */
    char            block[BLOCK_CAP];
    size_t          block_max; /* bytes: never more than a file may have */
    size_t          block_len, block_lines;
};

/* --- a line --- */

struct writer {
    char   at[LINE_CAP];
    size_t len;
};

static void
put(struct writer *w, const char *s)
{
    const size_t n = strlen(s);

    memcpy(w->at + w->len, s, n);
    w->len += n;
}

static void
put_json(struct writer *w, const char *key, const char *at, size_t len)
{
    size_t used;

    put(w, key);
    put(w, "\"");
    for (size_t i = 0; i < len; i += used) {
        char one[TEXT_ESCAPE_MAX];
        const size_t n = text_json(at + i, len - i, &used, one);

        memcpy(w->at + w->len, one, n);
        w->len += n;
    }
    put(w, "\"");
}

static void
put_reasons(struct writer *w, uint32_t reasons)
{
    const char *before = ",\"reasons\":[\"";

    for (uint32_t bit = 1; bit <= WIRE_HOLD_ALL; bit <<= 1) {
        if ((reasons & bit) == 0)
            continue;
        put(w, before);
        put(w, wire_hold_name((enum wire_hold)bit));
        before = "\",\"";
    }
    if ((reasons & WIRE_HOLD_ALL) != 0)
        put(w, "\"]");
}

static void
put_run(struct writer *w, const uint8_t *run)
{
    char hex[2 * WIRE_RUN_LEN + 1];

    for (size_t i = 0; i < WIRE_RUN_LEN; i++)
        snprintf(hex + 2 * i, 3, "%02x", run[i]);
    put_json(w, ",\"run\":", hex, 2 * (size_t)WIRE_RUN_LEN);
}

/* [upper, limit]; null: nobody knows it, or there is none. */
static void
put_level(struct writer *w, const char *key, const struct decide_level *level)
{
    char number[24];

    put(w, key);
    snprintf(number, sizeof(number), "%" PRIu64, level->upper);
    put(w, level->upper == DECIDE_UNKNOWN ? "[null," : "[");
    if (level->upper != DECIDE_UNKNOWN) {
        put(w, number);
        put(w, ",");
    }
    snprintf(number, sizeof(number), "%" PRIu64, level->limit);
    put(w, level->limit == DECIDE_NONE ? "null" : number);
    put(w, "]");
}

static void
put_inputs(struct writer *w, const struct decide_inputs *in)
{
    char ppm[32];

    put_level(w, ",\"inputs\":{\"queue\":", &in->queue);
    put_level(w, ",\"group\":", &in->group);
    put_level(w, ",\"all\":", &in->all);
    put_level(w, ",\"memory\":", &in->memory);
    put_level(w, ",\"disk\":", &in->disk);
    snprintf(ppm, sizeof(ppm), ",\"resume_ppm\":%" PRIu32, in->resume_ppm);
    put(w, ppm);
    snprintf(ppm, sizeof(ppm), ",\"before\":%" PRIu32, in->before);
    put(w, ppm);
    put(w, in->run_on_stale ? ",\"run_on_stale\":true" : "");
    put(w, in->first_free ? ",\"first_free\":true" : "");
    put(w, "}");
}

static void
format(struct writer *w, const struct journal_entry *e)
{
    char time[TEXT_TIME];

    w->len = 0;
    text_time(e->wall_us, time);
    put_json(w, "{\"time\":", time, strlen(time));
    if (e->connector != NULL)
        put_json(w, ",\"connector\":", e->connector, strnlen(e->connector, TEXT_ID_MAX));
    put_json(w, ",\"what\":", e->what, strnlen(e->what, TEXT_ID_MAX));
    put_reasons(w, e->reasons);
    if (e->due_us != 0)
        put_json(w, ",\"due\":", text_time(e->due_us, time), strlen(time));
    if (e->run != NULL)
        put_run(w, e->run);
    if (e->text != NULL)
        put_json(w, ",\"text\":", e->text, e->text_len < WIRE_TEXT_MAX ? e->text_len : WIRE_TEXT_MAX);
    if (e->inputs != NULL)
        put_inputs(w, e->inputs);
    put(w, "}\n");
}

void
journal_write(struct journal *j, const struct journal_entry *e)
{
    struct writer w;
    struct line line;
    size_t waiting;
    int rc;

    format(&w, e);
    line = (struct line){.len = w.len};
    waiting = atomic_fetch_add(&j->waiting, w.len) + w.len;
    if (waiting <= JOURNAL_WAITING_MAX && (line.at = malloc(w.len)) != NULL) {
        memcpy(line.at, w.at, w.len);
        rc = waiting > JOURNAL_WAITING_MAX / 2 ? mailbox_post(j->lines, &line, 1, NULL)
                                               : mailbox_post_quietly(j->lines, &line, 1, NULL);
        if (rc == 0)
            return;
        free(line.at);
    }
    atomic_fetch_sub(&j->waiting, w.len);
    atomic_fetch_add(&j->left_out, 1);
}

void
journal_wake(struct journal *j)
{
    mailbox_wake(j->lines);
}

/* --- the files --- */

static int
refuse(const struct journal *j, int sys, struct err *err)
{
    if (sys == EACCES || sys == EPERM || sys == EROFS)
        return err_set(err, ERR_CONFIG, sys, "%.100s cannot be written by user %u: chown it", j->path,
                       (unsigned)geteuid());
    return err_set(err, sys == ELOOP || sys == EISDIR ? ERR_CONFIG : ERR_IO, sys,
                   "%.100s cannot be opened: move away what is there, or make room", j->path);
}

static int
open_file(struct journal *j, struct err *err)
{
    struct stat st = {.st_size = 0};
    char last = '\n';

    j->fd = open(j->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (j->fd < 0)
        return refuse(j, errno, err);
    if (fstat(j->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(j->fd);
        j->fd = -1;
        return err_set(err, ERR_CONFIG, 0, "%.100s is not a regular file: move it away", j->path);
    }
    j->size = (uint64_t)st.st_size;
    j->torn = j->size > 0 && (pread(j->fd, &last, 1, st.st_size - 1) != 1 || last != '\n');
    return 0;
}

/* Somebody removed it, or moved it away: what we would write has no name, and a full one could not be renamed. */
static bool
is_gone(const struct journal *j)
{
    struct stat here, there;

    if (fstat(j->fd, &here) != 0 || lstat(j->path, &there) != 0)
        return true;
    return here.st_dev != there.st_dev || here.st_ino != there.st_ino;
}

/* The one before is given up for the one that is full. */
static int
rotate(struct journal *j, struct err *err)
{
    if (rename(j->path, j->old_path) != 0)
        return err_set(err, ERR_IO, errno, "%.100s cannot be renamed to journal.log.1", j->path);
    close(j->fd);
    j->fd = -1;
    return open_file(j, err);
}

/* Write it all, or as if nothing: what was begun is cut off again, or ended as a line of its own by the next. */
static int
append(struct journal *j, const char *at, size_t n, struct err *err)
{
    size_t done = 0;

    while (done < n) {
        const ssize_t rc = write(j->fd, at + done, n - done);

        if (rc < 0 && errno == EINTR)
            continue;
        if (rc <= 0)
            break;
        done += (size_t)rc;
    }
    if (done == n) {
        j->size += n;
        return 0;
    }
    err_set(err, ERR_IO, errno, "%.100s cannot be written", j->path);
    if (done > 0 && ftruncate(j->fd, (off_t)j->size) != 0) {
        j->size += done;
        j->torn = true;
    }
    return -1;
}

/* A block of whole lines, into the file that has room for it. */
static int
write_block(struct journal *j, struct err *err)
{
    if (j->fd >= 0 && is_gone(j)) {
        close(j->fd);
        j->fd = -1;
    }
    if (j->fd < 0 && open_file(j, err) != 0)
        return -1;
    if (j->size > 0 && j->size + j->torn + j->block_len > j->half && rotate(j, err) != 0)
        return -1;
    if (j->torn && append(j, "\n", 1, err) != 0)
        return -1;
    j->torn = false;
    return append(j, j->block, j->block_len, err);
}

/* --- the thread --- */

/* What was left out is told in the place where it is missing. */
static void
tell_left_out(struct journal *j)
{
    const uint64_t n = atomic_exchange(&j->left_out, 0);
    char time[TEXT_TIME];

    if (n == 0)
        return;
    j->block_len += (size_t)snprintf(j->block + j->block_len, BLOCK_CAP - j->block_len,
                                     "{\"time\":\"%s\",\"what\":\"left_out\",\"lines\":%llu}\n",
                                     text_time(clock_wall_us(), time), (unsigned long long)n);
    j->block_lines += n; /* if this is not written either, they are owed still */
}

static void
flush_block(struct journal *j)
{
    struct err err = {0};

    if (j->block_len > 0 && write_block(j, &err) != 0) {
        atomic_fetch_add(&j->left_out, j->block_lines);
        if (!j->failing)
            log_event(j->log, LOG_ERROR, "journal_failed", LOG_STR("text", err.text));
        j->failing = true;
    } else if (j->block_len > 0 && j->failing) {
        log_event(j->log, LOG_INFO, "journal_recovered");
        j->failing = false;
    }
    j->block_len = j->block_lines = 0;
}

/* Take what waits and write it, many lines at once. */
static void
drain(struct journal *j)
{
    void *taken;
    size_t n, bytes;

    while ((n = mailbox_take(j->lines, &taken)) > 0) {
        const struct line *lines = taken;

        bytes = 0;
        for (size_t i = 0; i < n; i++) {
            if (j->block_len + lines[i].len > j->block_max)
                flush_block(j);
            if (j->block_len == 0)
                tell_left_out(j);
            memcpy(j->block + j->block_len, lines[i].at, lines[i].len);
            j->block_len += lines[i].len;
            j->block_lines++;
            bytes += lines[i].len;
            free(lines[i].at);
        }
        flush_block(j);
        atomic_fetch_sub(&j->waiting, bytes);
    }
}

static void *
run(void *ctx)
{
    struct journal *j = ctx;
    struct pollfd fds[] = {{.fd = mailbox_fd(j->lines), .events = POLLIN}, {.fd = j->stop_fd, .events = POLLIN}};

    while (fds[1].revents == 0) {
        while (poll(fds, 2, -1) < 0 && errno == EINTR)
            continue;
        drain(j); /* what was posted before the stop is there by now */
    }
    tell_left_out(j);
    flush_block(j);
    if (j->fd >= 0 && fdatasync(j->fd) != 0)
        log_event(j->log, LOG_ERROR, "journal_failed", LOG_STR("text", "its end could not be flushed to the disk"));
    return NULL;
}

static int
start(struct journal *j, struct err *err)
{
    j->running = thread_start(&j->thread, run, j, "the journal's thread", err) == 0;
    return j->running ? 0 : -1;
}

struct journal *
journal_open(const char *dir, uint64_t limit, struct log *log, struct err *err)
{
    struct journal *j = calloc(1, sizeof(*j));

    if (j == NULL) {
        err_set(err, ERR_NOMEM, errno, "journal");
        return NULL;
    }
    j->log = log;
    j->fd = -1;
    j->half = (limit < JOURNAL_LIMIT_MIN ? JOURNAL_LIMIT_MIN : limit) / 2;
    j->block_max = j->half < BLOCK_CAP ? (size_t)j->half : BLOCK_CAP;
    j->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const int n = snprintf(j->path, sizeof(j->path), "%s/journal.log", dir);
    if (j->stop_fd < 0)
        err_set(err, ERR_IO, errno, "journal: eventfd");
    else if (n < 0 || (size_t)n >= sizeof(j->path))
        err_set(err, ERR_CONFIG, 0, "state.dir: the path is too long: choose a shorter one");
    else
        j->lines = mailbox_new(sizeof(struct line), err);
    snprintf(j->old_path, sizeof(j->old_path), "%s.1", j->path);
    if (j->lines == NULL || open_file(j, err) != 0 || start(j, err) != 0) {
        journal_close(j);
        return NULL;
    }
    return j;
}

void
journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    if (j->running) {
        eventfd_write(j->stop_fd, 1);
        pthread_join(j->thread, NULL);
    }
    mailbox_free(j->lines);
    if (j->fd >= 0)
        close(j->fd);
    if (j->stop_fd >= 0)
        close(j->stop_fd);
    free(j);
}
