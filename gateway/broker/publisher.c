/* publisher.c - the thread that owns one AMQP connection: connecting, turns, reconnecting, the end.
 *
 *     connect -> turns (session.c) until the link fails -> PUB_DOWN -> wait -> connect ...
 *
 * Two mailboxes come in (messages, targets) and one goes out (events).  What a turn is made of is in session.c, what
 * is written in send.c, what the broker is asked about targets in verify.c. */
#include "publisher.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backoff.h"
#include "clock.h"
#include "dial.h"
#include "err.h"
#include "log.h"
#include "mailbox.h"
#include "outbox.h"
#include "send.h"
#include "session.h"
#include "target.h"
#include "thread.h"
#include "watchdog.h"

enum {
    STABLE_US = 60000000, /* up for so long: the next failure is a first one again */
    CLOSE_US = 2000000,   /* a polite close waits no longer for the broker */
    TURN_MS = 1000,       /* a quiet connection is looked at so often at least */
    GATE_MS = 1           /* until the kernel may have sent some of what it holds */
};

struct publisher {
    const struct pub_config *config; /* borrowed */
    struct log              *log;    /* borrowed */
    struct mailbox          *messages, *targets_in;
    int                      stop_fd; /* readable once it is to stop */
    atomic_bool              stop;
    _Atomic int64_t          stop_at_us;
    struct watchdog         *dog;
    pthread_t                thread;
    bool                     started;

    /* The thread's own. */
    struct dialer      *dialer;
    struct target_list *targets;
    struct session      session;
    struct outbox       outbox;
    size_t              host; /* the one to try next */
    struct backoff      backoff;
};

static bool
stopping(struct publisher *p)
{
    return atomic_load(&p->stop);
}

/* --- What was posted ------------------------------------------------------------------------------------------ */

static void
take_targets(struct publisher *p)
{
    void *taken;
    const size_t n = mailbox_take(p->targets_in, &taken);
    const struct pub_target *const *targets = taken;
    struct err err;

    for (size_t i = 0; i < n; i++)
        if (target_list_get(p->targets, targets[i], &err) == NULL)
            log_event(p->log, LOG_ERROR, "target_not_verified", LOG_STR("routing_key", targets[i]->routing_key),
                      LOG_STR("why", err.text)); /* the first message for it has another try */
}

/* Messages that came too late for their session are answered for by its PUB_DOWN. */
static void
drop_messages(struct publisher *p)
{
    void *taken;

    mailbox_take(p->messages, &taken);
}

static void
feed(struct publisher *p)
{
    void *taken;

    if (!session_hungry(&p->session))
        return;
    const size_t n = mailbox_take(p->messages, &taken);
    session_feed(&p->session, taken, n);
}

/* --- Connecting ----------------------------------------------------------------------------------------------- */

static void
sit_out(struct publisher *p, int64_t us)
{
    struct pollfd fds[] = {{.fd = p->stop_fd, .events = POLLIN},
                           {.fd = mailbox_fd(p->messages), .events = POLLIN},
                           {.fd = mailbox_fd(p->targets_in), .events = POLLIN}};
    const int64_t until = clock_mono_us() + us;

    for (int64_t left = us; left > 0 && !stopping(p); left = until - clock_mono_us()) {
        poll(fds, 3, (int)(left / 1000 + 1));
        drop_messages(p);
        take_targets(p);
    }
}

/* Try each host once, beginning with the one that served last.  Returns whether one was reached. */
static bool
connect_round(struct publisher *p)
{
    const struct pub_config *c = p->config;
    struct err err;

    for (size_t i = 0; i < c->n_hosts && !stopping(p); i++) {
        if (link_open(&p->session.link, c, p->host, p->dialer, p->dog, &err) == 0)
            return true;
        if (!stopping(p))
            log_event(p->log, LOG_WARN, "broker_unreachable", LOG_INT("publisher", p->outbox.publisher),
                      LOG_STR("host", c->hosts[p->host].host), LOG_INT("port", c->hosts[p->host].port),
                      LOG_STR("why", err.text));
        p->host = (p->host + 1) % c->n_hosts;
        drop_messages(p);
    }
    return false;
}

/* --- A life of the connection --------------------------------------------------------------------------------- */

static int
wait_ms(const struct publisher *p)
{
    const struct session *s = &p->session;
    int64_t ms = TURN_MS;

    if (s->more || link_pending(&s->link))
        return 0;
    if (s->gated)
        return GATE_MS;
    if (s->link.heartbeat_s > 0 && s->link.heartbeat_s * 500 < ms)
        ms = s->link.heartbeat_s * 500;
    if (s->settle_us > 0 && (s->settle_us - s->now_us) / 1000 + 1 < ms)
        ms = (s->settle_us - s->now_us) / 1000 + 1;
    if (p->config->hung_us / 4000 < ms)
        ms = p->config->hung_us / 4000;
    return ms > 0 ? (int)ms : 1;
}

static void
wait_turn(struct publisher *p)
{
    struct session *s = &p->session;
    struct pollfd fds[] = {{.fd = s->link.fd, .events = POLLIN},
                           {.fd = p->stop_fd, .events = POLLIN},
                           {.fd = mailbox_fd(p->targets_in), .events = POLLIN},
                           {.fd = mailbox_fd(p->messages), .events = POLLIN}};

    /* What was lent must be used up before more is taken, and until then the mailbox stays readable. */
    if (poll(fds, session_hungry(s) ? 4 : 3, wait_ms(p)) > 0 && fds[0].revents != 0)
        s->heard_us = clock_mono_us(); /* heartbeats too, which the library keeps to itself */
}

static int
live(struct publisher *p, struct err *err)
{
    while (!stopping(p)) {
        take_targets(p);
        feed(p);
        const int rc = session_turn(&p->session, clock_mono_us(), err);
        outbox_flush(&p->outbox);
        if (rc != 0)
            return -1;
        wait_turn(p);
    }
    return 0;
}

static void
life(struct publisher *p)
{
    const struct pub_host *host = &p->config->hosts[p->host];
    struct session *s = &p->session;
    struct err err = {.text = ""};
    const int64_t since = clock_mono_us();

    session_begin(s, since);
    log_event(p->log, LOG_INFO, "broker_up", LOG_INT("publisher", p->outbox.publisher), LOG_STR("host", host->host),
              LOG_INT("port", host->port), LOG_INT("session", s->number));
    const int rc = live(p, &err);

    /* A blocked broker does not read, and after half a message it would not understand. */
    const bool polite = rc == 0 && !s->blocked && !sender_open(s->sender);
    const int64_t left = atomic_load(&p->stop_at_us) - clock_mono_us();
    const bool cut = link_close(&s->link, polite, left < CLOSE_US ? left : CLOSE_US);
    session_end(s);
    drop_messages(p);
    if (rc != 0 && !stopping(p))
        log_event(p->log, LOG_WARN, "broker_down", LOG_INT("publisher", p->outbox.publisher),
                  LOG_STR("host", host->host), LOG_INT("port", host->port), LOG_INT("session", s->number),
                  LOG_STR("why", cut ? "a call hung for longer than broker.hung_after, and was cut" : err.text));
    outbox_add(&p->outbox, PUB_DOWN, s->number, 0, rc != 0 && !stopping(p) ? strdup(err.text) : NULL);
    outbox_flush(&p->outbox);
    if (clock_mono_us() - since >= STABLE_US)
        backoff_reset(&p->backoff);
}

static void *
run(void *arg)
{
    struct publisher *p = arg;

    while (!stopping(p)) {
        if (connect_round(p))
            life(p);
        if (!stopping(p))
            sit_out(p, backoff_full(&p->backoff));
    }
    return NULL;
}

/* --- From outside --------------------------------------------------------------------------------------------- */

static int
start_thread(struct publisher *p, struct err *err)
{
    p->dog = watchdog_start(p->config->hung_us, err);
    if (p->dog == NULL)
        return -1;
    p->started = thread_start(&p->thread, run, p, "the thread of a broker connection", err) == 0;
    return p->started ? 0 : -1;
}

static int
start(struct publisher *p, struct err *err)
{
    p->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (p->stop_fd < 0)
        return err_set(err, ERR_IO, errno, "an eventfd for a broker connection (see the limit of open files)");
    p->messages = mailbox_new(sizeof(struct pub_message), err);
    p->targets_in = p->messages != NULL ? mailbox_new(sizeof(struct pub_target *), err) : NULL;
    p->dialer = p->targets_in != NULL ? dialer_new(p->config->n_hosts, p->stop_fd, err) : NULL;
    p->targets = p->dialer != NULL ? target_list_new(err) : NULL;
    if (p->targets == NULL)
        return -1;
    p->session.config = p->config;
    p->session.log = p->log;
    p->session.outbox = &p->outbox;
    p->session.targets = p->targets;
    p->outbox.stop_fd = p->stop_fd;
    return session_init(&p->session, err) != 0 ? -1 : start_thread(p, err);
}

struct publisher *
publisher_start(const struct pub_config *config, uint32_t number, struct mailbox *events, struct log *log,
                struct err *err)
{
    assert(config->n_hosts > 0 && config->hung_us > 0);
    struct publisher *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        err_set(err, ERR_NOMEM, errno, "broker connection %u", number);
        return NULL;
    }
    p->config = config;
    p->log = log;
    p->backoff = (struct backoff){
        .min_us = config->retry_min_us, .max_us = config->retry_max_us, .random = config->seed + number};
    p->stop_at_us = INT64_MAX;
    p->outbox.to = events;
    p->outbox.log = log;
    p->outbox.publisher = number;
    p->stop_fd = -1;
    if (start(p, err) == 0)
        return p;
    publisher_free(p, 0);
    return NULL;
}

int
publisher_post(struct publisher *p, const struct pub_message *messages, size_t n, struct err *err)
{
    return mailbox_post(p->messages, messages, n, err);
}

int
publisher_add_target(struct publisher *p, const struct pub_target *target, struct err *err)
{
    return mailbox_post(p->targets_in, &target, 1, err);
}

void
publisher_free(struct publisher *p, int64_t timeout_us)
{
    if (p == NULL)
        return;
    if (p->started) {
        const int64_t at = clock_mono_us() + timeout_us;
        atomic_store(&p->stop_at_us, at);
        atomic_store(&p->stop, true);
        eventfd_write(p->stop_fd, 1);
        watchdog_stop_by(p->dog, at);
        pthread_join(p->thread, NULL);
    }
    watchdog_free(p->dog);
    session_free(&p->session);
    target_list_free(p->targets);
    dialer_free(p->dialer);
    mailbox_free(p->targets_in);
    mailbox_free(p->messages);
    if (p->stop_fd >= 0)
        close(p->stop_fd);
    free(p);
}
