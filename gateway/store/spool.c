/* spool.c - the spool's thread: takes what waits, flushes it once, and answers.
 *
 * What arrives during one flush is the next batch, up to BATCH_BYTES: so the number of flushes follows the disk and not
 * the requests, and nobody waits for a timer.  Releases are written within STATES_MS, by a batch that is on its way, or
 * by themselves.  The cleaner has a piece of each turn, and the turns that nobody else wants. */
#include "spool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"
#include "log.h"
#include "mailbox.h"
#include "spool_log.h"
#include "thread.h"

enum {
    BATCH_BYTES = 4 * 1024 * 1024, /* of bodies in one flush */
    STATES_MS = 1000,              /* a release is written after this at the latest */
    STATES_FULL_MS = 50,           /* where somebody waits for the room */
    CLEAN_BYTES = 1024 * 1024,     /* copied in one turn */
    SEGMENT_LEAST = 1024 * 1024,
    POST_PAUSE_MS = 10             /* an answer that finds no memory is tried again after this long */
};

enum request_kind { REQUEST_BEGIN, REQUEST_APPEND, REQUEST_FETCH, REQUEST_RELEASE, REQUEST_BURY, REQUEST_REVIVE };

struct request {
    enum request_kind   kind;
    char                id[SPOOL_ID_MAX + 2];
    uint64_t            ticket, pos, room;
    uint32_t            most;
    struct spool_bundle bundle;
    struct spool_chunk *chunks; /* owned; the head is in the same block behind them */
    size_t              n;
};

struct spool {
    struct spool_log *engine;   /* the thread's, once a request was posted */
    struct mailbox   *requests; /* bound: what the caller asks before it is answered */
    struct mailbox   *answers;  /* borrowed */
    struct log       *log;      /* borrowed */
    int               stop_fd;  /* an eventfd: writing to it cannot fail */
    pthread_t         thread;
    bool              running;
    pthread_mutex_t   lock;     /* of figures; no other is taken inside it */
    struct spool_figures figures;
    /* The thread's: */
    struct spool_answer *told;  /* owned: of one commit, posted at once, so that what follows them is one batch */
    size_t            n_told, cap_told;
    bool              asked;    /* nothing is done before the first request: streams and dead letters are being read */
    bool              cleaning;
    int64_t           states_us; /* when releases were written */
};

/* --- answers --- */

static void
post(struct spool *s, const struct spool_answer *answers, size_t n)
{
    struct pollfd stop = {.fd = s->stop_fd, .events = POLLIN};

    while (n > 0 && mailbox_post(s->answers, answers, n, NULL) != 0) {
        if (poll(&stop, 1, POST_PAUSE_MS) <= 0)
            continue;
        log_event(s->log, LOG_ERROR, "spool_answers_lost", LOG_INT("answers", n), LOG_STR("error", "no memory"));
        for (size_t i = 0; i < n; i++) {
            free(answers[i].body);
            free(answers[i].text);
        }
        return;
    }
}

static void
post_told(struct spool *s)
{
    post(s, s->told, s->n_told);
    s->n_told = 0;
}

static void
told(void *ctx, enum spool_kind kind, uint64_t ticket, bool ok, uint64_t pos, const char *why)
{
    struct spool *s = ctx;
    struct spool_answer a = {.kind = kind, .ticket = ticket, .pos = pos, .ok = ok,
                             .text = why == NULL || *why == '\0' ? NULL : strdup(why)};

    a.full = kind == SPOOL_SPACE && !ok;
    if (s->n_told == s->cap_told) {
        const size_t cap = s->cap_told == 0 ? 64 : s->cap_told * 2;
        struct spool_answer *at = reallocarray(s->told, cap, sizeof(*at));

        if (at == NULL) {
            post_told(s);
            post(s, &a, 1);
            return;
        }
        s->told = at;
        s->cap_told = cap;
    }
    s->told[s->n_told++] = a;
}

static void
publish_figures(struct spool *s)
{
    struct spool_figures now;

    spool_log_figures(s->engine, &now);
    pthread_mutex_lock(&s->lock);
    s->figures = now;
    pthread_mutex_unlock(&s->lock);
}

/* Write and flush what waits, and answer. */
static void
commit(struct spool *s, bool states)
{
    spool_log_commit(s->engine, states);
    publish_figures(s); /* first: who is answered may ask for them */
    post_told(s);
}

/* --- requests --- */

static void
fetch(struct spool *s, const struct request *r)
{
    struct spool_answer end = {.kind = SPOOL_FETCH_END, .ticket = r->ticket, .ok = true};
    uint64_t pos = r->pos, room = r->room;

    for (uint32_t n = 0; n < r->most; n++, pos++) {
        struct spool_answer a;
        struct err err = {0};
        const enum spool_found found = spool_log_fetch(s->engine, r->id, &pos, n == 0 ? UINT64_MAX : room, &a, &err);

        if (found == SPOOL_NONE || (found == SPOOL_FOUND && a.body == NULL))
            break;
        if (found == SPOOL_UNREADABLE) {
            a = (struct spool_answer){.kind = SPOOL_DAMAGED, .pos = pos, .text = strdup(err.text)};
            if (err.code == ERR_NOMEM) {
                end.text = a.text;
                end.ok = false;
                break;
            }
        }
        a.ticket = r->ticket;
        room -= a.bundle.size < room ? a.bundle.size : room;
        post(s, &a, 1);
    }
    end.pos = pos;
    post(s, &end, 1);
}

static void
serve(struct spool *s, const struct request *r)
{
    switch (r->kind) {
    case REQUEST_BEGIN: break;
    case REQUEST_APPEND: spool_log_append(s->engine, r->ticket, &r->bundle, r->chunks, r->n); break;
    case REQUEST_RELEASE: spool_log_release(s->engine, r->id, r->pos); break;
    case REQUEST_BURY: spool_log_bury(s->engine, r->ticket, r->id, r->pos); break;
    case REQUEST_REVIVE: spool_log_revive(s->engine, r->ticket, r->id, r->pos); break;
    case REQUEST_FETCH: fetch(s, r); break;
    }
}

static int64_t
states_after_ms(const struct spool *s)
{
    return s->figures.full ? STATES_FULL_MS : STATES_MS;
}

/* What is read waits for what is written: it is asked for by who goes on in any case. */
static void
serve_all(struct spool *s, struct request *requests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct request *r = &requests[i];

        r->bundle.id = r->id; /* it moved with the mailbox */
        if (r->kind == REQUEST_FETCH)
            continue;
        serve(s, r);
        if (spool_log_waiting(s->engine) >= BATCH_BYTES)
            commit(s, false);
    }
    commit(s, false);
    for (size_t i = 0; i < n; i++) {
        if (requests[i].kind == REQUEST_FETCH)
            serve(s, &requests[i]);
        free(requests[i].chunks);
    }
}

static void
keep_house(struct spool *s)
{
    const int64_t now = clock_mono_us();

    if (!spool_log_dirty(s->engine)) {
        s->states_us = now;
    } else if (now - s->states_us >= states_after_ms(s) * 1000) {
        commit(s, true);
        s->states_us = now;
    }
    s->cleaning = spool_log_clean(s->engine, CLEAN_BYTES);
    if (s->figures.full)
        spool_log_room(s->engine); /* others may have made some */
    post_told(s);
    publish_figures(s);
}

static bool
wait_for_work(struct spool *s)
{
    struct pollfd fds[] = {{.fd = mailbox_fd(s->requests), .events = POLLIN}, {.fd = s->stop_fd, .events = POLLIN}};
    int64_t ms = -1;

    if (s->asked && s->cleaning)
        ms = 0;
    else if (s->asked && spool_log_dirty(s->engine)) {
        ms = states_after_ms(s) - (clock_mono_us() - s->states_us) / 1000;
        ms = ms < 1 ? 1 : ms;
    } else if (s->figures.full) {
        ms = STATES_MS;
    }
    while (poll(fds, 2, (int)ms) < 0 && errno == EINTR)
        continue;
    return fds[1].revents == 0;
}

static void *
run(void *ctx)
{
    struct spool *s = ctx;
    bool more = true;
    void *taken;
    size_t n;

    while (more) {
        more = wait_for_work(s);
        /* What was posted before the stop is there by now. */
        while ((n = mailbox_take(s->requests, &taken)) > 0) {
            s->asked = true;
            serve_all(s, taken, n);
            if (more)
                keep_house(s);
        }
        if (more && s->asked)
            keep_house(s);
    }
    return NULL;
}

/* --- the caller's side --- */

struct spool *
spool_open(const struct spool_config *config, struct mailbox *answers, struct log *log, struct err *err)
{
    struct spool *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        err_set(err, ERR_NOMEM, errno, "spool");
        return NULL;
    }
    s->answers = answers;
    s->log = log;
    s->cleaning = true;
    s->states_us = clock_mono_us();
    pthread_mutex_init(&s->lock, NULL);
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->stop_fd < 0)
        err_set(err, ERR_IO, errno, "spool: eventfd");
    else if (config->segment < SEGMENT_LEAST)
        err_set(err, ERR_CONFIG, 0, "spool.segment is from 1 MiB to 1 GiB");
    else if ((s->requests = mailbox_new(sizeof(struct request), err)) != NULL)
        s->engine = spool_log_open(config, told, s, log, err);
    if (s->engine != NULL) {
        post_told(s);
        publish_figures(s);
        s->running = thread_start(&s->thread, run, s, "the spool's thread", err) == 0;
    }
    if (!s->running) {
        spool_close(s);
        return NULL;
    }
    log_event(log, LOG_INFO, "spool_open", LOG_STR("dir", config->dir), LOG_INT("bundles", s->figures.count),
              LOG_INT("bytes", s->figures.live), LOG_INT("dead", s->figures.dead_count));
    return s;
}

void
spool_streams(struct spool *s, void (*each)(void *ctx, const struct spool_stream *stream), void *ctx)
{
    spool_log_streams(s->engine, each, ctx);
}

void
spool_dead(struct spool *s, void (*each)(void *ctx, const struct spool_dead *dead), void *ctx)
{
    spool_log_dead(s->engine, each, ctx);
}

/* Post r, whose block is freed where this fails. */
static bool
ask(struct spool *s, struct request *r, const char *id)
{
    memcpy(r->id, id, strnlen(id, SPOOL_ID_MAX + 1)); /* one that is too long stays so, and is refused */
    if (mailbox_post(s->requests, r, 1, NULL) == 0)
        return true;
    free(r->chunks);
    return false;
}

bool
spool_begin(struct spool *s)
{
    struct request r = {.kind = REQUEST_BEGIN};

    return ask(s, &r, "");
}

bool
spool_append(struct spool *s, uint64_t ticket, const struct spool_bundle *bundle, const struct spool_chunk *chunks,
             size_t n)
{
    struct request r = {.kind = REQUEST_APPEND, .ticket = ticket, .bundle = *bundle, .n = n};
    const size_t len = n * sizeof(*chunks);
    char *block;

    if (bundle->head_len > SPOOL_HEAD_MAX || (block = malloc(len + bundle->head_len + 1)) == NULL)
        return false;
    r.chunks = (struct spool_chunk *)(void *)block;
    memcpy(block, chunks, len);
    if (bundle->head_len > 0)
        memcpy(block + len, bundle->head, bundle->head_len);
    r.bundle.head = block + len;
    return ask(s, &r, bundle->id);
}

bool
spool_fetch(struct spool *s, uint64_t ticket, const char *id, uint64_t pos, uint64_t room, uint32_t most)
{
    struct request r = {.kind = REQUEST_FETCH, .ticket = ticket, .pos = pos, .room = room, .most = most};

    return ask(s, &r, id);
}

bool
spool_release(struct spool *s, const char *id, uint64_t pos)
{
    struct request r = {.kind = REQUEST_RELEASE, .pos = pos};

    return ask(s, &r, id);
}

bool
spool_bury(struct spool *s, uint64_t ticket, const char *id, uint64_t pos)
{
    struct request r = {.kind = REQUEST_BURY, .ticket = ticket, .pos = pos};

    return ask(s, &r, id);
}

bool
spool_revive(struct spool *s, uint64_t ticket, const char *id, uint64_t pos)
{
    struct request r = {.kind = REQUEST_REVIVE, .ticket = ticket, .pos = pos};

    return ask(s, &r, id);
}

void
spool_figures(struct spool *s, struct spool_figures *ret)
{
    pthread_mutex_lock(&s->lock);
    *ret = s->figures;
    pthread_mutex_unlock(&s->lock);
}

void
spool_close(struct spool *s)
{
    if (s == NULL)
        return;
    if (s->running) {
        eventfd_write(s->stop_fd, 1);
        pthread_join(s->thread, NULL);
    }
    spool_log_close(s->engine);
    post_told(s);
    free(s->told);
    mailbox_free(s->requests);
    pthread_mutex_destroy(&s->lock);
    if (s->stop_fd >= 0)
        close(s->stop_fd);
    free(s);
}
