/* telemetry.c - a thread that asks RabbitMQ for its figures: when, whom, and what becomes of the answers.
 *
 *     round -> post -> wait for the next; where none answers: TELEMETRY_DOWN, wait longer, try all URLs again
 *
 * What is asked is in manage.c and scrape.c, how in http.c; what an answer says is judged in figures.c and prom.c. */
#include "telemetry.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "clock.h"
#include "err.h"
#include "http.h"
#include "log.h"
#include "mailbox.h"
#include "round.h"
#include "thread.h"
#include "wanted.h"

enum {
    GAP_US = 200000,  /* rounds begin no closer together, whoever asks */
    FULL_US = 50000,  /* what was posted last is not taken: look again */
    TEXT_MAX = 512
};

struct telemetry {
    const struct telemetry_config *config; /* borrowed, as is the next */
    struct log      *log;
    struct mailbox  *events;
    struct http     *http;
    atomic_bool      stop, now; /* now: a round is asked for */
    pthread_t        thread;
    bool             started;
    pthread_mutex_t  lock;    /* of `next`; nothing else is locked inside it */
    struct wanted   *next;    /* owned; to be taken over; NULL: none */

    /* The thread's own. */
    struct wanted   *wanted;
    struct round    *round;
    struct memory    memory;
    struct backoff   backoff;
    size_t           url;      /* the one to try next */
    bool             set;      /* the queues were, for the first time */
    bool             up, told; /* it answers; it was said of this state */
};

/* --- What was set ------------------------------------------------------------------------------------------------- */

static void
take_wanted(struct telemetry *t)
{
    pthread_mutex_lock(&t->lock);
    struct wanted *next = t->next;
    t->next = NULL;
    pthread_mutex_unlock(&t->lock);
    if (next == NULL)
        return;
    struct telemetry_event *events = calloc(next->n + 1, sizeof(*events));
    if (events == NULL) {
        log_event(t->log, LOG_ERROR, "telemetry_out_of_memory", LOG_INT("queues", (int64_t)next->n),
                  LOG_STR("why", "the queues that were set before are asked for"));
        wanted_free(next);
        return;
    }
    wanted_free(t->wanted);
    free(t->round->events);
    t->wanted = next;
    t->round->wanted = next;
    t->round->events = events;
    t->set = true;
}

/* --- What is posted ----------------------------------------------------------------------------------------------- */

/* -1: there is no memory, and the log was told.  Figures come again. */
static int
post(struct telemetry *t, const struct telemetry_event *events, size_t n)
{
    struct err err;

    if (mailbox_post(t->events, events, n, &err) == 0)
        return 0;
    log_event(t->log, LOG_ERROR, "telemetry_out_of_memory", LOG_STR("why", err.text));
    return -1;
}

static void
post_state(struct telemetry *t, enum telemetry_kind kind, const char *text)
{
    const int64_t now = clock_mono_us();
    const struct telemetry_event e = {
        .kind = kind, .source = t->config->source, .asked_us = now, .answered_us = now, .text = strdup(text)};

    if (post(t, &e, 1) != 0)
        free(e.text);
}

/* Is what was posted last still there?  Then more would only pile up. */
static bool
box_full(const struct telemetry *t)
{
    struct pollfd fd = {.fd = mailbox_fd(t->events), .events = POLLIN};

    return poll(&fd, 1, 0) > 0;
}

/* --- A round ------------------------------------------------------------------------------------------------------ */

static void
say_up(struct telemetry *t)
{
    struct round *r = t->round;
    char text[TEXT_MAX];

    snprintf(text, sizeof(text), "%s", r->base);
    if (t->config->source == TELEMETRY_MANAGEMENT)
        (void)manage_hello(r, text, sizeof(text), NULL); /* the figures are there already */
    else
        log_event(t->log, LOG_INFO, "telemetry_up", LOG_STR("url", r->base));
    t->up = t->told = true;
    post_state(t, TELEMETRY_UP, text);
}

static void
say_down(struct telemetry *t, const struct err *why)
{
    if (t->told && !t->up)
        return;
    log_event(t->log, LOG_WARN, "telemetry_down", LOG_STR("url", t->round->base), LOG_STR("why", why->text));
    t->up = false;
    t->told = true;
    post_state(t, TELEMETRY_DOWN, why->text);
}

static int
ask_round(struct telemetry *t, const char *url, struct err *err)
{
    round_begin(t->round, url);
    return t->config->source == TELEMETRY_MANAGEMENT ? manage_round(t->round, err) : scrape_round(t->round, err);
}

/* Ask each server once, beginning with the one that answered last. */
static int
ask_all(struct telemetry *t, struct err *err)
{
    for (size_t i = 0; i < t->config->n_urls && !atomic_load(&t->stop); i++) {
        if (ask_round(t, t->config->urls[t->url], err) == 0)
            return 0;
        t->url = (t->url + 1) % t->config->n_urls;
    }
    return -1;
}

/* Returns how long to wait from `started` on. */
static int64_t
turn(struct telemetry *t, int64_t started)
{
    struct err err = {.text = ""};

    if (ask_all(t, &err) != 0) {
        if (!atomic_load(&t->stop))
            say_down(t, &err);
        return clock_mono_us() - started + backoff_half(&t->backoff);
    }
    backoff_reset(&t->backoff);
    if (!t->up)
        say_up(t);
    round_tell(t->round);
    const int posted = post(t, t->round->events, t->wanted->n + 1);
    if (posted == 0 && (t->round->events[0].broker.known & TELEMETRY_UPTIME) != 0)
        t->memory.restarted = false; /* told */
    return t->config->poll_us;
}

/* --- The thread --------------------------------------------------------------------------------------------------- */

static bool
stopping(const struct telemetry *t)
{
    return atomic_load(&t->stop);
}

/* Until `until`, or until somebody asks for a round; but not before `least`. */
static void
sleep_until(struct telemetry *t, int64_t until, int64_t least)
{
    for (;;) {
        const int64_t now = clock_mono_us(), at = atomic_load(&t->now) ? least : until;
        if (now >= at || stopping(t))
            return;
        http_wait(t->http, at - now);
    }
}

static void *
run(void *arg)
{
    struct telemetry *t = arg;

    while (!stopping(t)) {
        if (box_full(t)) {
            const int64_t at = clock_mono_us() + FULL_US;
            sleep_until(t, at, at);
            continue;
        }
        atomic_store(&t->now, false);
        take_wanted(t);
        if (!t->set) {
            const int64_t at = clock_mono_us();
            sleep_until(t, at + t->config->poll_us, at);
            continue;
        }
        const int64_t started = clock_mono_us();
        const int64_t wait = turn(t, started);
        sleep_until(t, started + wait, started + GAP_US);
    }
    return NULL;
}

/* --- From outside ------------------------------------------------------------------------------------------------- */

static int
check(const struct telemetry_config *c, struct err *err)
{
    const struct {
        const char *path, *what;
    } files[] = {{c->ca_file, "CA"}, {c->cert_file, "certificate"}, {c->key_file, "key"}};

    assert(c->n_urls > 0 && c->n_urls <= TELEMETRY_URLS && c->poll_us > 0 && c->body_max > 0);
    for (size_t i = 0; i < c->n_urls; i++)
        if (http_check(c->urls[i], err) != 0)
            return -1;
    for (size_t i = 0; i < 3; i++) {
        FILE *f = files[i].path != NULL ? fopen(files[i].path, "re") : NULL;
        if (files[i].path != NULL && f == NULL)
            return err_set(err, ERR_CONFIG, errno, "the %s file of telemetry, %s", files[i].what, files[i].path);
        if (f != NULL)
            fclose(f);
    }
    return 0;
}

static int
start_thread(struct telemetry *t, struct err *err)
{
    t->started = thread_start(&t->thread, run, t, "the thread of telemetry", err) == 0;
    return t->started ? 0 : -1;
}

static int
start(struct telemetry *t, struct err *err)
{
    const struct telemetry_config *c = t->config;

    if (check(c, err) != 0)
        return -1;
    t->wanted = wanted_new(NULL, 0, err);
    t->round = t->wanted != NULL ? calloc(1, sizeof(*t->round)) : NULL;
    if (t->round != NULL)
        t->round->events = calloc(1, sizeof(*t->round->events));
    if (t->wanted == NULL || t->round == NULL || t->round->events == NULL)
        return err_set(err, ERR_NOMEM, ENOMEM, "telemetry");
    t->http = http_new(c, &t->stop, err);
    if (t->http == NULL)
        return -1;
    t->round->config = c;
    t->round->http = t->http;
    t->round->log = t->log;
    t->round->wanted = t->wanted;
    t->round->memory = &t->memory;
    t->backoff = (struct backoff){.min_us = c->poll_us, .max_us = c->retry_max_us, .random = c->seed};
    return start_thread(t, err);
}

struct telemetry *
telemetry_start(const struct telemetry_config *config, struct mailbox *events, struct log *log, struct err *err)
{
    struct telemetry *t = calloc(1, sizeof(*t));

    if (t == NULL) {
        err_set(err, ERR_NOMEM, errno, "telemetry");
        return NULL;
    }
    t->config = config;
    t->events = events;
    t->log = log;
    pthread_mutex_init(&t->lock, NULL);
    if (start(t, err) == 0)
        return t;
    telemetry_free(t);
    return NULL;
}

int
telemetry_set_queues(struct telemetry *t, const struct telemetry_target *targets, size_t n, struct err *err)
{
    struct wanted *next = wanted_new(targets, n, err);

    if (next == NULL)
        return -1;
    pthread_mutex_lock(&t->lock);
    struct wanted *before = t->next;
    t->next = next;
    pthread_mutex_unlock(&t->lock);
    wanted_free(before);
    telemetry_poll_now(t);
    return 0;
}

void
telemetry_poll_now(struct telemetry *t)
{
    atomic_store(&t->now, true);
    http_wake(t->http);
}

void
telemetry_free(struct telemetry *t)
{
    if (t == NULL)
        return;
    if (t->started) {
        atomic_store(&t->stop, true);
        http_wake(t->http);
        pthread_join(t->thread, NULL);
    }
    http_free(t->http);
    if (t->round != NULL)
        free(t->round->events);
    free(t->round);
    wanted_free(t->wanted);
    wanted_free(t->next);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
