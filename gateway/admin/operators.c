/* operators.c - connections of operators: lines in, answers out, and nobody is waited for. */
#include "operators.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"
#include "dead.h"
#include "err.h"
#include "log.h"
#include "request.h"
#include "socket.h"
#include "suggest.h"

enum {
    LISTENER = OPERATORS_MAX,   /* what an event is about: the number of a connection, or this */
    REST_US = 1000000,          /* no descriptor is left: nobody is let in for so long */
    SUGGEST_STEPS = 4000000     /* so much may be compared to find out what was meant */
};

struct connection {
    int      fd;       /* -1: free */
    uid_t    uid;
    pid_t    pid;
    bool     eof;      /* no more requests will come */
    bool     closing;  /* once what is to be said is said */
    bool     clearing; /* the answer comes with operators_done */
    uint64_t ticket;   /* which one: they are not used twice */
    const char *asked; /* what that is of: static */
    bool     listing;  /* an answer to status is being made: */
    bool     letters;  /* or one to dead-letters; some: it has one already */
    bool     some;
    uint32_t next, end;
    int64_t  deadline_us;
    uint32_t events;   /* what epoll waits for */
    char     in[OPERATORS_LINE_MAX];
    size_t   in_len;
    char     whom[65]; /* the connector of the last request */
    struct answer out;
    size_t   sent;
};

struct operators {
    struct socket_file     socket;
    struct core           *core;  /* borrowed */
    struct operators_hands hands;
    struct log            *log;   /* borrowed */
    int                    epoll;
    int64_t                now_us, rest_us; /* rest_us: nobody is let in before; 0: no rest */
    uint64_t               tickets;
    struct connection      at[OPERATORS_MAX];
};

/* --- answers --- */

static void
extend(struct operators *o, struct connection *c)
{
    c->deadline_us = o->now_us + OPERATORS_IDLE_US;
}

static void
refuse(struct connection *c, const char *text)
{
    answer_error(&c->out, text);
}

static const char *
state_word(const struct operators *o, const char *id)
{
    struct core_status s;
    uint32_t number;

    return core_number(o->core, id, &number) && core_status(o->core, number, &s) ? answer_state(&s) : NULL;
}

/* The id that is nearest to what was written, among those that can be looked at in bounded time; NULL: none is near. */
static const char *
nearest(const struct operators *o, const char *id)
{
    struct core_status s;
    const char *best = NULL;
    size_t steps = 0;

    for (uint32_t i = 0; steps < SUGGEST_STEPS && core_status(o->core, i, &s); i++) {
        steps += strlen(id) * strlen(s.id);
        if (suggest_resembles(id, s.id) && (best == NULL || suggest_distance(id, s.id) < suggest_distance(id, best)))
            best = s.id;
    }
    return best;
}

static void
refuse_unknown(const struct operators *o, struct connection *c, const char *id)
{
    const char *near = nearest(o, id);
    struct err err;

    if (near != NULL)
        err_set(&err, ERR_PROTO, 0, "there is no connector \"%s\"; did you mean \"%s\"?", id, near);
    else
        err_set(&err, ERR_PROTO, 0, "there is no connector \"%s\": status without a connector lists all", id);
    refuse(c, err.text);
}

/* What cannot be has an answer that says so. */
static bool
makes_sense(struct connection *c, const struct request *r, const struct core_status *s)
{
    struct err err;

    if (r->kind != REQUEST_ACT || r->action != CORE_RUN_NOW || (s->kind != 0 && !s->running))
        return true;
    if (s->running)
        err_set(&err, ERR_PROTO, 0, "%s runs already", s->id);
    else
        err_set(&err, ERR_PROTO, 0, "%s has no schedule: it pushes when it has something", s->id);
    refuse(c, err.text);
    return false;
}

static void
act(struct operators *o, struct connection *c, const struct request *r)
{
    struct operators_act a = {.what = r->kind == REQUEST_REPLAY ? OPERATORS_REPLAY
                                      : r->kind == REQUEST_DROP ? OPERATORS_DROP
                                                                : OPERATORS_ACT,
                              .action = r->action, .pos = r->pos, .name = r->name, .uid = c->uid, .pid = c->pid};
    const char *why;

    a.connector = r->connector[0] == '\0' ? NULL : r->connector;
    a.ticket = ++o->tickets;
    c->ticket = a.ticket;
    c->asked = r->name;
    c->clearing = r->kind == REQUEST_REPLAY || (r->kind == REQUEST_ACT && r->action == CORE_RESET_STATE);
    memcpy(c->whom, r->connector, sizeof(c->whom));
    why = o->hands.act(o->hands.ctx, &a);
    if (why != NULL) {
        c->clearing = false;
        refuse(c, why);
    } else if (!c->clearing) {
        answer_done(&c->out, r->name, a.connector, a.connector == NULL ? NULL : state_word(o, a.connector), 0);
    }
}

static bool
is_there(const struct operators *o, struct connection *c, const struct request *r)
{
    struct err err;

    if (r->pos == 0 || dead_find(o->hands.dead, r->connector, r->pos) != NULL)
        return true;
    err_set(&err, ERR_PROTO, 0, "%s has no dead letter at %llu: dead-letters lists all", r->connector,
            (unsigned long long)r->pos);
    refuse(c, err.text);
    return false;
}

static void
begin_letters(struct connection *c, const struct request *r)
{
    c->letters = true;
    c->some = false;
    c->next = 0;
    memcpy(c->whom, r->connector, sizeof(c->whom));
    answer_letters_begin(&c->out);
}

static void
begin_status(struct operators *o, struct connection *c, const struct request *r, uint32_t number)
{
    const char *warnings[OPERATORS_WARNINGS];
    const size_t n = o->hands.warnings(o->hands.ctx, warnings);

    c->listing = true;
    c->next = number;
    c->end = r->connector[0] == '\0' ? UINT32_MAX : number + 1;
    answer_status_begin(&c->out, core_draining(o->core), warnings, n);
}

static void
handle(struct operators *o, struct connection *c, const char *line, size_t len)
{
    struct core_status s;
    struct request r;
    struct err err = {0};
    uint32_t number = 0;

    extend(o, c);
    if (request_read(line, len, &r, &err) != 0) {
        refuse(c, err.text);
    } else if (r.connector[0] != '\0' &&
               !(core_number(o->core, r.connector, &number) && core_status(o->core, number, &s))) {
        refuse_unknown(o, c, r.connector);
    } else if (r.kind == REQUEST_STATUS) {
        begin_status(o, c, &r, number);
    } else if (r.kind == REQUEST_LETTERS) {
        begin_letters(c, &r);
    } else if (r.connector[0] == '\0' || (makes_sense(c, &r, &s) && is_there(o, c, &r))) {
        act(o, c, &r);
    }
}

/* One piece of the answer to status: connectors are only ever added, so a number is a place to go on from. */
static void
list_some(struct operators *o, struct connection *c)
{
    struct core_status s;
    const uint32_t first = c->end == UINT32_MAX ? 0 : c->end - 1;

    while (answer_room(&c->out)) {
        if (c->next == c->end || !core_status(o->core, c->next, &s)) {
            answer_list_end(&c->out);
            c->listing = false;
            return;
        }
        answer_status_one(&c->out, &s, c->next == first);
        c->next++;
    }
}

/* Likewise, of dead letters: where one is dropped meanwhile, the one behind it may be left out. */
static void
list_letters(struct operators *o, struct connection *c)
{
    while (answer_room(&c->out)) {
        const struct dead_letter *d = dead_at(o->hands.dead, c->next++);

        if (d == NULL) {
            answer_list_end(&c->out);
            c->letters = false;
            return;
        }
        if (c->whom[0] != '\0' && strcmp(c->whom, d->connector) != 0)
            continue;
        answer_letter(&c->out, d, !c->some);
        c->some = true;
    }
}

/* --- connections --- */

static void
drop(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd); /* epoll forgets it with that */
    c->fd = -1;
}

/* Say what is to be said.  false: the connection is gone. */
static bool
flush(struct operators *o, struct connection *c)
{
    while (c->sent < c->out.len) {
        const ssize_t n = send(c->fd, c->out.at + c->sent, c->out.len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0) {
            drop(c);
            return false;
        }
        c->sent += (size_t)n;
        extend(o, c);
    }
    c->sent = c->out.len = 0;
    return true;
}

static bool
has_line(const struct connection *c)
{
    return memchr(c->in, '\n', c->in_len) != NULL;
}

static void
take_line(struct operators *o, struct connection *c)
{
    const char *end = memchr(c->in, '\n', c->in_len);
    const size_t len = (size_t)(end - c->in);

    handle(o, c, c->in, len);
    c->in_len -= len + 1;
    memmove(c->in, c->in + len + 1, c->in_len);
}

/* Nothing is to be said, and nothing is waited for. */
static bool
is_idle(const struct connection *c)
{
    return c->out.len == 0 && !c->clearing && !c->listing && !c->letters && !c->closing;
}

/* What can never become a request ends the connection, with the reason. */
static void
check_line(struct connection *c)
{
    struct err err;

    if (has_line(c))
        return;
    if (c->in_len == sizeof(c->in)) {
        err_set(&err, ERR_PROTO, 0, "the line is too long: a request has at most %d bytes", OPERATORS_LINE_MAX - 1);
        refuse(c, err.text);
        c->closing = true;
    } else if (c->eof) {
        if (c->in_len > 0)
            refuse(c, "the line has no end: a request ends with a newline");
        c->closing = true;
    }
}

static void
take_bytes(struct connection *c)
{
    while (!c->eof && c->in_len < sizeof(c->in)) {
        const ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            c->eof = true;
        else
            c->in_len += (size_t)n;
    }
}

static void
await(struct operators *o, struct connection *c)
{
    const bool busy = c->out.len > 0 || c->listing || c->letters || (has_line(c) && !c->clearing);
    const uint32_t events =
        (!c->eof && !c->closing && c->in_len < sizeof(c->in) ? EPOLLIN : 0U) | (busy ? EPOLLOUT : 0U);
    struct epoll_event e = {.events = events, .data.u32 = (uint32_t)(c - o->at)};

    if (events != c->events && epoll_ctl(o->epoll, EPOLL_CTL_MOD, c->fd, &e) == 0)
        c->events = events;
}

/* One step of one connection: a request, or a piece of an answer. */
static void
advance(struct operators *o, struct connection *c)
{
    if (!flush(o, c))
        return;
    if (is_idle(c) && has_line(c))
        take_line(o, c);
    if (c->listing)
        list_some(o, c);
    if (c->letters)
        list_letters(o, c);
    if (!flush(o, c))
        return;
    if (is_idle(c))
        check_line(c);
    if (!flush(o, c))
        return;
    if (c->out.len == 0 && c->closing)
        drop(c);
    else
        await(o, c);
}

/* --- coming and going --- */

/* Say one thing to somebody who gets no connection. */
static void
turn_away(int fd, const char *text)
{
    struct answer a = {.len = 0};

    answer_error(&a, text);
    (void)!send(fd, a.at, a.len, MSG_NOSIGNAL | MSG_DONTWAIT); /* who does not read it is gone all the same */
    close(fd);
}

static void
admit(struct operators *o, int fd)
{
    struct epoll_event e = {.events = EPOLLIN};
    struct connection *c = NULL;
    struct err err;
    uid_t uid = 0;
    pid_t pid = 0;

    if (socket_peer(fd, &uid, &pid) != 0 || (uid != 0 && uid != geteuid())) {
        log_event(o->log, LOG_WARN, "operator_refused", LOG_INT("uid", uid), LOG_INT("pid", pid));
        err_set(&err, ERR_DENIED, 0, "user %u may not: be root, or user %u as which sluiced runs", (unsigned)uid,
                (unsigned)geteuid());
        turn_away(fd, err.text);
        return;
    }
    for (uint32_t i = 0; i < OPERATORS_MAX && c == NULL; i++)
        if (o->at[i].fd < 0)
            c = &o->at[i];
    if (c != NULL)
        e.data.u32 = (uint32_t)(c - o->at);
    if (c == NULL || epoll_ctl(o->epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
        turn_away(fd, "too many operators are connected: try again");
        return;
    }
    memset(c, 0, sizeof(*c));
    c->fd = fd;
    c->uid = uid;
    c->pid = pid;
    c->events = e.events;
    extend(o, c);
}

static void
listen_again(struct operators *o, bool on)
{
    struct epoll_event e = {.events = on ? EPOLLIN : 0U, .data.u32 = LISTENER};

    epoll_ctl(o->epoll, EPOLL_CTL_MOD, o->socket.fd, &e);
    o->rest_us = on ? 0 : o->now_us + REST_US;
}

static void
let_in(struct operators *o)
{
    for (int i = 0; i < OPERATORS_MAX; i++) {
        const int fd = accept4(o->socket.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            admit(o, fd);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno != EAGAIN) {
            log_event(o->log, LOG_ERROR, "operators_not_let_in", LOG_INT("errno", errno));
            listen_again(o, false); /* else we would be woken at once, and for nothing */
        }
        return;
    }
}

static void
timers(struct operators *o)
{
    if (o->rest_us != 0 && o->rest_us <= o->now_us)
        listen_again(o, true);
    for (uint32_t i = 0; i < OPERATORS_MAX; i++) {
        struct connection *c = &o->at[i];

        if (c->fd < 0 || c->deadline_us > o->now_us)
            continue;
        if (c->out.len == 0 && !c->clearing) {
            refuse(c, "no request came in time");
            if (!flush(o, c))
                continue;
        }
        drop(c);
    }
}

void
operators_turn(struct operators *o, int64_t now_us)
{
    struct epoll_event events[OPERATORS_MAX + 1];
    const int n = epoll_wait(o->epoll, events, OPERATORS_MAX + 1, 0);

    o->now_us = now_us;
    for (int i = 0; i < n; i++) {
        struct connection *c;

        if (events[i].data.u32 == LISTENER) {
            let_in(o);
            continue;
        }
        c = &o->at[events[i].data.u32];
        if (c->fd < 0)
            continue;
        take_bytes(c);
        advance(o, c);
        if (c->fd >= 0 && c->clearing && (events[i].events & (EPOLLHUP | EPOLLERR)) != 0)
            drop(c); /* nobody is there to hear the answer */
    }
    timers(o);
}

void
operators_done(struct operators *o, uint64_t ticket, bool ok, uint64_t version, const char *text)
{
    for (uint32_t i = 0; i < OPERATORS_MAX; i++) {
        struct connection *c = &o->at[i];
        struct err err;

        if (c->fd < 0 || !c->clearing || c->ticket != ticket)
            continue;
        c->clearing = false;
        if (ok)
            answer_done(&c->out, c->asked, c->whom, state_word(o, c->whom), version);
        else {
            err_set(&err, ERR_IO, 0, "%.64s: nothing was changed: %.150s", c->whom, text);
            refuse(c, err.text);
        }
        advance(o, c);
        return;
    }
}

int
operators_fd(const struct operators *o)
{
    return o->epoll;
}

int64_t
operators_due(const struct operators *o)
{
    int64_t due = o->rest_us != 0 ? o->rest_us : INT64_MAX;

    for (uint32_t i = 0; i < OPERATORS_MAX; i++)
        if (o->at[i].fd >= 0 && o->at[i].deadline_us < due)
            due = o->at[i].deadline_us;
    return due;
}

struct operators *
operators_open(const char *path, struct core *core, const struct operators_hands *hands, struct log *log,
               struct err *err)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = LISTENER};
    struct operators *o = calloc(1, sizeof(*o));

    if (o == NULL) {
        err_set(err, ERR_NOMEM, errno, "operators");
        return NULL;
    }
    o->core = core;
    o->hands = *hands;
    o->log = log;
    o->socket.fd = o->epoll = -1;
    for (uint32_t i = 0; i < OPERATORS_MAX; i++)
        o->at[i].fd = -1;
    if (socket_listen(&o->socket, path, err) != 0)
        goto fail;
    o->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (o->epoll < 0 || epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->socket.fd, &e) != 0) {
        err_set(err, ERR_IO, errno, "operators.socket %s: epoll", path);
        goto fail;
    }
    return o;

fail:
    operators_close(o);
    return NULL;
}

void
operators_close(struct operators *o)
{
    if (o == NULL)
        return;
    for (uint32_t i = 0; i < OPERATORS_MAX; i++)
        drop(&o->at[i]);
    socket_close(&o->socket);
    if (o->epoll >= 0)
        close(o->epoll);
    free(o);
}
