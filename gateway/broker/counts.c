/* counts.c - how many messages are ready in a queue, asked over an AMQP connection of its own.
 *
 *     connect -> questions, one at a time, and what keeps the connection alive -> COUNT_DOWN -> wait -> connect ...
 */
#include "counts.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backoff.h"
#include "clock.h"
#include "dial.h"
#include "err.h"
#include "link.h"
#include "log.h"
#include "mailbox.h"
#include "publisher.h"
#include "thread.h"
#include "watchdog.h"

enum {
    STABLE_US = 60000000, /* up for so long: the next failure is a first one again */
    CLOSE_US = 2000000,   /* a polite close waits no longer for the broker */
    TURN_MS = 1000,       /* a quiet connection is looked at so often at least */
    NAME_MAX_BYTES = 255
};

/* A question on its way. */
struct ask {
    uint32_t queue;
    char    *name; /* owned by who holds the question */
};

struct counts {
    const struct pub_config *config; /* borrowed, as what follows */
    struct log              *log;
    struct mailbox          *events;
    struct mailbox          *asks;    /* of struct ask */
    atomic_size_t            open;    /* questions without a result */
    int                      stop_fd; /* readable once it is to stop */
    atomic_bool              stop;
    _Atomic int64_t          stop_at_us;
    struct watchdog         *dog;
    pthread_t                thread;
    bool                     started;

    /* The thread's own. */
    struct dialer  *dialer;
    struct link     link;
    struct backoff  backoff;
    size_t          host;            /* the one to try next */
    bool            told_down;
    int64_t         gap_us, next_us; /* between questions; mono: not before */
    struct ask     *batch;           /* lent by the mailbox */
    size_t          batch_at, batch_n;
};

static bool
stopping(const struct counts *c)
{
    return atomic_load(&c->stop);
}

/* --- Results ------------------------------------------------------------------------------------------------------ */

/* Where there is no memory it waits: a result that is lost would be waited for without end. */
static void
post(struct counts *c, const struct count_event *e)
{
    struct pollfd stop = {.fd = c->stop_fd, .events = POLLIN};
    struct err err;

    while (mailbox_post(c->events, e, 1, &err) != 0) {
        log_event(c->log, LOG_ERROR, "counts_out_of_memory", LOG_STR("why", err.text));
        if (poll(&stop, 1, 100) > 0) {
            free(e->text);
            return;
        }
    }
}

static void
post_state(struct counts *c, enum count_kind kind, const char *why)
{
    const int64_t now = clock_mono_us();
    const struct count_event e = {
        .kind = kind, .asked_us = now, .answered_us = now, .text = why != NULL ? strdup(why) : NULL};

    post(c, &e);
}

/* The next question has its result. */
static void
settle(struct counts *c, struct count_event e, const char *why)
{
    struct ask *a = &c->batch[c->batch_at++];

    e.queue = a->queue;
    e.answered_us = clock_mono_us();
    e.text = why != NULL ? strdup(why) : NULL;
    free(a->name);
    atomic_fetch_sub(&c->open, 1); /* first, so that whoever has the result may ask again */
    post(c, &e);
}

/* --- Questions ---------------------------------------------------------------------------------------------------- */

/* Is there one?  Nothing is taken while what was lent is not used up. */
static bool
more(struct counts *c)
{
    void *taken;

    if (c->batch_at == c->batch_n) {
        c->batch_n = mailbox_take(c->asks, &taken);
        c->batch = taken;
        c->batch_at = 0;
    }
    return c->batch_at < c->batch_n;
}

static void
fail_all(struct counts *c, const char *why)
{
    while (more(c))
        settle(c, (struct count_event){.kind = COUNT_FAILED, .asked_us = clock_mono_us()}, why);
}

static int
ask(struct counts *c, struct err *err)
{
    const char *name = c->batch[c->batch_at].name;
    struct count_event e = {.kind = COUNT_READY};
    char words[LINK_WORDS];
    int code;

    if (!c->link.open[LINK_VERIFY] && link_channel(&c->link, LINK_VERIFY, err) != 0)
        return -1;
    e.asked_us = clock_mono_us();
    watchdog_enter(c->link.dog);
    const amqp_queue_declare_ok_t *ok =
        amqp_queue_declare(c->link.conn, LINK_VERIFY, amqp_cstring_bytes(name), 1, 0, 0, 0, amqp_empty_table);
    if (ok != NULL) {
        e.ready = ok->message_count;
        e.consumers = ok->consumer_count;
    }
    if (link_answer(&c->link, LINK_VERIFY, "asking for a queue's messages", &code, words, err) != 0)
        return -1;
    if (code != 0)
        e.kind = code == AMQP_NOT_FOUND ? COUNT_GONE : COUNT_FAILED;
    settle(c, e, e.kind == COUNT_FAILED ? words : NULL);
    return 0;
}

/* --- A life of the connection ------------------------------------------------------------------------------------- */

/* The broker asks nothing of a connection that only declares; what it says is that it closes. */
static int
take_frame(struct counts *c, const amqp_frame_t *f, struct err *err)
{
    if (f->frame_type != AMQP_FRAME_METHOD)
        return 0;
    if (f->payload.method.id == AMQP_CHANNEL_CLOSE_METHOD && f->channel == LINK_VERIFY)
        return link_channel_closed(&c->link, LINK_VERIFY, err);
    if (f->payload.method.id == AMQP_CHANNEL_CLOSE_METHOD)
        return err_set(err, ERR_IO, 0, "the broker closed a channel");
    if (f->payload.method.id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *close = f->payload.method.decoded;
        return err_set(err, ERR_IO, 0, "the broker closed the connection: %d %.*s", close->reply_code,
                       close->reply_text.len > 150 ? 150 : (int)close->reply_text.len,
                       (const char *)close->reply_text.bytes);
    }
    return 0;
}

/* Read what is there; this also sends a heartbeat that is due. */
static int
read_all(struct counts *c, struct err *err)
{
    amqp_frame_t frame;
    int rc;

    while ((rc = link_read(&c->link, &frame, err)) > 0)
        if (take_frame(c, &frame, err) != 0)
            return -1;
    link_rest(&c->link);
    return rc;
}

static void
wait_turn(struct counts *c)
{
    struct pollfd fds[] = {{.fd = c->link.fd, .events = POLLIN},
                           {.fd = c->stop_fd, .events = POLLIN},
                           {.fd = mailbox_fd(c->asks), .events = POLLIN}};
    int64_t ms = TURN_MS;

    if (link_pending(&c->link))
        return;
    if (c->link.heartbeat_s > 0 && c->link.heartbeat_s * 500 < ms)
        ms = c->link.heartbeat_s * 500;
    if (c->batch_at < c->batch_n) { /* and the pace holds it back */
        const int64_t left = (c->next_us - clock_mono_us()) / 1000 + 1;
        ms = left < ms ? left : ms;
    }
    poll(fds, c->batch_at < c->batch_n ? 2 : 3, ms > 0 ? (int)ms : 0);
}

static int
live(struct counts *c, struct err *err)
{
    while (!stopping(c)) {
        if (read_all(c, err) != 0)
            return -1;
        while (!stopping(c) && more(c) && clock_mono_us() >= c->next_us) {
            c->next_us = clock_mono_us() + c->gap_us;
            if (ask(c, err) != 0)
                return -1;
        }
        wait_turn(c);
    }
    return 0;
}

static void
down(struct counts *c, const char *why)
{
    if (!c->told_down) {
        log_event(c->log, LOG_WARN, "counts_down", LOG_STR("host", c->config->hosts[c->host].host),
                  LOG_INT("port", c->config->hosts[c->host].port), LOG_STR("why", why));
        post_state(c, COUNT_DOWN, why);
    }
    c->told_down = true;
    fail_all(c, why);
}

static void
life(struct counts *c)
{
    const struct pub_host *host = &c->config->hosts[c->host];
    const int64_t since = clock_mono_us();
    struct err err = {.text = ""};

    log_event(c->log, LOG_INFO, "counts_up", LOG_STR("host", host->host), LOG_INT("port", host->port));
    c->told_down = false;
    post_state(c, COUNT_UP, NULL);
    const int rc = live(c, &err);
    const int64_t left = atomic_load(&c->stop_at_us) - clock_mono_us();
    const bool cut = link_close(&c->link, rc == 0, left < CLOSE_US ? left : CLOSE_US);
    if (clock_mono_us() - since >= STABLE_US)
        backoff_reset(&c->backoff);
    if (!stopping(c))
        down(c, cut ? "a call hung for longer than broker.hung_after, and was cut" : err.text);
}

/* --- The thread --------------------------------------------------------------------------------------------------- */

/* Try each host once, beginning with the one that served last. */
static bool
connect_round(struct counts *c, struct err *err)
{
    for (size_t i = 0; i < c->config->n_hosts && !stopping(c); i++) {
        if (link_open(&c->link, c->config, c->host, c->dialer, c->dog, err) == 0)
            return true;
        if (!stopping(c))
            down(c, err->text);
        c->host = (c->host + 1) % c->config->n_hosts;
    }
    return false;
}

static void
sit_out(struct counts *c, int64_t us, const char *why)
{
    struct pollfd fds[] = {{.fd = c->stop_fd, .events = POLLIN}, {.fd = mailbox_fd(c->asks), .events = POLLIN}};
    const int64_t until = clock_mono_us() + us;

    for (int64_t left = us; left > 0 && !stopping(c); left = until - clock_mono_us()) {
        poll(fds, 2, (int)(left / 1000 + 1));
        if (!stopping(c))
            fail_all(c, why);
    }
}

static void *
run(void *arg)
{
    struct counts *c = arg;
    struct err err = {.text = "the connection was lost"};

    while (!stopping(c)) {
        if (connect_round(c, &err))
            life(c);
        if (!stopping(c))
            sit_out(c, backoff_full(&c->backoff), err.text);
    }
    return NULL;
}

/* --- From outside ------------------------------------------------------------------------------------------------- */

static int
start_thread(struct counts *c, struct err *err)
{
    c->dog = watchdog_start(c->config->hung_us, err);
    if (c->dog == NULL)
        return -1;
    c->started = thread_start(&c->thread, run, c, "the thread that counts messages", err) == 0;
    return c->started ? 0 : -1;
}

static int
start(struct counts *c, struct err *err)
{
    c->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (c->stop_fd < 0)
        return err_set(err, ERR_IO, errno, "an eventfd for counting messages (see the limit of open files)");
    c->asks = mailbox_new(sizeof(struct ask), err);
    c->dialer = c->asks != NULL ? dialer_new(c->config->n_hosts, c->stop_fd, err) : NULL;
    return c->dialer != NULL ? start_thread(c, err) : -1;
}

struct counts *
counts_start(const struct pub_config *config, uint32_t per_s, struct mailbox *events, struct log *log, struct err *err)
{
    assert(config->n_hosts > 0 && config->hung_us > 0);
    struct counts *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        err_set(err, ERR_NOMEM, errno, "counting messages");
        return NULL;
    }
    c->config = config;
    c->events = events;
    c->log = log;
    c->gap_us = 1000000 / (per_s > 0 ? per_s : COUNTS_PER_S);
    c->backoff = (struct backoff){
        .min_us = config->retry_min_us, .max_us = config->retry_max_us, .random = config->seed + 0x10000};
    c->stop_at_us = INT64_MAX;
    c->stop_fd = -1;
    if (start(c, err) == 0)
        return c;
    counts_free(c, 0);
    return NULL;
}

static void
free_names(struct ask *asks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(asks[i].name);
}

/* Returns copies, or NULL with *err filled. */
static struct ask *
copy(const struct count_ask *asks, size_t n, struct err *err)
{
    struct ask *copies = calloc(n, sizeof(*copies));
    bool good = copies != NULL;

    for (size_t i = 0; i < n && good; i++) {
        const size_t len = strlen(asks[i].name);
        if (len == 0 || len > NAME_MAX_BYTES) {
            err_set(err, ERR_CONFIG, 0, "a queue to count needs a name of 1 to %d bytes", NAME_MAX_BYTES);
            free_names(copies, n);
            free(copies);
            return NULL;
        }
        copies[i] = (struct ask){.queue = asks[i].queue, .name = strdup(asks[i].name)};
        good = copies[i].name != NULL;
    }
    if (good)
        return copies;
    err_set(err, ERR_NOMEM, ENOMEM, "%zu queues to count", n);
    if (copies != NULL)
        free_names(copies, n);
    free(copies);
    return NULL;
}

int
counts_ask(struct counts *c, const struct count_ask *asks, size_t n, struct err *err)
{
    if (n == 0)
        return 0;
    if (n > COUNTS_MAX || atomic_fetch_add(&c->open, n) > COUNTS_MAX - n) {
        if (n <= COUNTS_MAX)
            atomic_fetch_sub(&c->open, n);
        return err_set(err, ERR_FULL, 0, "%zu queues to count: more than %d would wait", n, COUNTS_MAX);
    }
    struct ask *copies = copy(asks, n, err);
    if (copies != NULL && mailbox_post(c->asks, copies, n, err) == 0) {
        free(copies);
        return 0;
    }
    if (copies != NULL)
        free_names(copies, n);
    free(copies);
    atomic_fetch_sub(&c->open, n);
    return -1;
}

void
counts_free(struct counts *c, int64_t timeout_us)
{
    void *taken;

    if (c == NULL)
        return;
    if (c->started) {
        const int64_t at = clock_mono_us() + timeout_us;
        atomic_store(&c->stop_at_us, at);
        atomic_store(&c->stop, true);
        eventfd_write(c->stop_fd, 1);
        watchdog_stop_by(c->dog, at);
        pthread_join(c->thread, NULL);
    }
    for (; c->batch_at < c->batch_n; c->batch_at++)
        free(c->batch[c->batch_at].name);
    if (c->asks != NULL) {
        const size_t n = mailbox_take(c->asks, &taken);
        free_names(taken, n);
    }
    watchdog_free(c->dog);
    dialer_free(c->dialer);
    mailbox_free(c->asks);
    if (c->stop_fd >= 0)
        close(c->stop_fd);
    free(c);
}
