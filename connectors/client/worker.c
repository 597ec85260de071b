/* worker.c - collect, receive, let time pass, send, report, wait. */
#include "worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bundle.h"
#include "clock.h"
#include "desk.h"
#include "err.h"
#include "link.h"
#include "session.h"

enum {
    TURN_RECEIVE = 256, /* messages a turn, so that neither direction starves the other */
    TURN_SEND = 64,
    LINGER_MS = 1000    /* for the bye, and what is before it */
};

static const int64_t reopen_us = 1000000; /* between tries to make a socket, when the system has none to give */
static const int64_t back_us = 3000000;   /* how long ZeroMQ may take to reconnect; several tries, at 100 ms and more */

struct worker {
    pthread_t       thread;
    struct desk    *desk;    /* borrowed */
    struct session *session; /* owned */
    struct link    *link;    /* owned */
    int64_t         reopen_at; /* when the link gets a new socket; INT64_MAX: it has a good one */
    uint64_t        garbage; /* of this, how much was told */
    struct desk_request request; /* waits for the session to be ready for it */
    bool            requested;
    bool            closing;
    void          (*on_log)(void *ctx, int level, const char *text);
    void           *log_ctx;
};

static void
say(struct worker *w, enum wire_level level, const char *text)
{
    if (w->on_log != NULL)
        w->on_log(w->log_ctx, (int)level, text);
}

static void
tell_notes(struct worker *w)
{
    enum wire_level level = WIRE_LV_INFO;
    const char *text;

    while ((text = session_note(w->session, &level)) != NULL)
        say(w, level, text);
}

/* The first, and then each time their number has doubled: a broken peer must not fill a log. */
static void
tell_garbage(struct worker *w)
{
    const char *why;
    uint64_t n = link_garbage(w->link, &why);
    char text[256];

    if (n == w->garbage || n < 2 * w->garbage)
        return;
    w->garbage = n;
    snprintf(text, sizeof(text), "dropped what is not of the protocol (%llu so far): %s", (unsigned long long)n, why);
    say(w, WIRE_LV_WARN, text);
}

/* --- from the desk --- */

static void
collect_state(struct worker *w, struct desk_work *work)
{
    if (work->state_cancel) {
        if (w->requested)
            free(w->request.bytes);
        else
            session_state_cancel(w->session);
        w->requested = false;
    }
    if (work->requested) {
        w->requested = true;
        w->request = work->request;
    }
}

/* The session may still be busy with an operation that nobody waits for any more. */
static void
begin_request(struct worker *w)
{
    struct desk_request *r = &w->request;

    if (!w->requested)
        return;
    if (r->is_set ? session_state_commit(w->session, &r->bytes, r->len, r->version, &r->commit)
                  : session_state_get(w->session))
        w->requested = false;
}

static void
collect_run(struct worker *w, struct desk_work *work)
{
    if (work->end.told)
        session_done(w->session, work->end.run, work->end.outcome, work->end.text);
    free(work->end.text);
    if (work->ready == DESK_READY_ASK)
        session_ready(w->session, &work->schedule);
    else if (work->ready == DESK_READY_WITHDRAW)
        session_unready(w->session);
}

static void
collect(struct worker *w)
{
    struct desk_work work;
    struct bundle *b;

    desk_collect(w->desk, &work);
    while ((b = bundle_shift(&work.bundles)) != NULL)
        session_push(w->session, &b->part);
    while (work.lines != NULL) {
        struct desk_line *line = work.lines;

        work.lines = line->next;
        session_log(w->session, line->level, line->text, line->len);
        free(line);
    }
    if (work.health.told)
        session_health(w->session, work.health.status, work.health.text, SIZE_MAX);
    free(work.health.text);
    collect_state(w, &work);
    collect_run(w, &work);
    w->closing = work.closing;
}

/* --- the connection --- */

static void
reopen(struct worker *w, int64_t now)
{
    struct err err;

    w->reopen_at = INT64_MAX;
    if (link_reopen(w->link, &err) != 0) {
        w->reopen_at = now + reopen_us;
        say(w, WIRE_LV_ERROR, err.text);
    }
    session_connection_reset(w->session, now);
}

/* ZeroMQ reconnects by itself, except where the peer spoke no ZMTP or sent too large a frame: there it gives the
 * connection up for good, without a word.  So what was lost and is not back soon gets a new socket, once; that
 * one goes on trying where there is simply nobody. */
static void
watch_link(struct worker *w, int64_t now)
{
    if (link_lost(w->link)) {
        session_connection_reset(w->session, now);
        if (w->reopen_at == INT64_MAX)
            w->reopen_at = now + back_us;
    }
    if (link_up(w->link))
        w->reopen_at = INT64_MAX;
}

/* false: there may be more. */
static bool
receive(struct worker *w, int64_t now)
{
    struct wire_msg msg;
    const void *body;
    size_t len;
    int n = 0;

    while (n < TURN_RECEIVE && link_receive(w->link, &msg, &body, &len)) {
        session_receive(w->session, &msg, body, len, now);
        tell_notes(w);
        n++;
    }
    tell_garbage(w);
    return n < TURN_RECEIVE;
}

static bool
send_out(struct worker *w, int64_t now)
{
    struct session_output out;
    int n = 0;

    while (n < TURN_SEND && link_can_send(w->link) && session_next_output(w->session, now, &out)) {
        link_send(w->link, &out);
        n++;
    }
    return n < TURN_SEND;
}

static void
report(struct worker *w)
{
    struct session_info info;
    struct desk_news news = {.info = &info, .answers = link_up(w->link)};
    struct session_bundle *b;

    while ((b = session_next_answer(w->session)) != NULL)
        bundle_append(&news.answered, (struct bundle *)b);
    news.state_done = session_state_done(w->session, &news.state);
    session_info(w->session, &info);
    desk_report(w->desk, &news);
}

static void
wait_for_work(struct worker *w, int64_t now)
{
    int64_t due = session_due(w->session);

    if (w->reopen_at < due)
        due = w->reopen_at;
    if (desk_sleep(w->desk))
        link_wait(w->link, due == INT64_MAX ? INT64_MAX : due - now);
}

static void
turn(struct worker *w)
{
    int64_t now = clock_mono_us();
    bool idle;

    idle = receive(w, now);
    watch_link(w, now);
    session_tick(w->session, now);
    if (session_wants_reset(w->session) || w->reopen_at <= now)
        reopen(w, now);
    begin_request(w);
    idle &= send_out(w, now);
    tell_notes(w);
    report(w);
    if (idle)
        wait_for_work(w, now);
}

static void *
run(void *arg)
{
    struct worker *w = arg;

    collect(w);
    while (!w->closing) {
        turn(w);
        collect(w);
    }
    session_bye(w->session);
    send_out(w, clock_mono_us());
    return NULL;
}

/* --- start and stop --- */

struct worker *
worker_start(struct desk *desk, struct session **session, struct link **link,
             void (*on_log)(void *ctx, int level, const char *text), void *log_ctx, struct err *err)
{
    struct worker *w = calloc(1, sizeof(*w));
    int rc;

    if (w == NULL) {
        err_set(err, ERR_NOMEM, 0, "the library's thread");
        return NULL;
    }
    w->desk = desk;
    w->session = *session;
    w->link = *link;
    w->reopen_at = INT64_MAX;
    w->on_log = on_log;
    w->log_ctx = log_ctx;
    rc = pthread_create(&w->thread, NULL, run, w);
    if (rc != 0) {
        err_set(err, ERR_IO, rc, "the library's thread could not be started");
        free(w);
        return NULL;
    }
    pthread_setname_np(w->thread, "sluice"); /* as people see it in top */
    *session = NULL;
    *link = NULL;
    return w;
}

void
worker_stop(struct worker *w)
{
    struct session_bundle *b;
    struct session_info info;

    pthread_join(w->thread, NULL);
    session_info(w->session, &info);
    link_close(w->link, info.phase == SESSION_WELCOMED ? LINGER_MS : 0);
    while ((b = session_take_oldest(w->session)) != NULL)
        bundle_unref((struct bundle *)b);
    session_free(w->session);
    if (w->requested)
        free(w->request.bytes);
    free(w);
}
