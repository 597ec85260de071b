#include "crowd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"
#include "system/world.h"
#include "wire.h"

enum {
    GREETING = 64,    /* bytes, ZMTP 3.0 */
    BUFFER = 1024,    /* of one peer: no message to one who waits is longer */
    ON_THE_WAY = 128, /* peers that are connected and do not wait yet */
    EVENTS = 256,
    SETTLE_MS = 120 * 1000,
    PERIOD_MS = 24 * 3600 * 1000
};

enum { F_MORE = 1,
       F_LONG = 2,
       F_COMMAND = 4 }; /* flags of a ZMTP frame */

#define HAS(field) (UINT64_C(1) << WIRE_F_##field)

/* What the process and its parent share. */
struct crowd {
    atomic_uint waiting; /* peers */
    atomic_bool failed;
    pid_t pid;
    char error[240];
};

struct peer {
    int fd;
    bool greeted, shook, waits;
    size_t have;
    unsigned char in[BUFFER];
};

struct host {
    struct crowd *shared;
    enum crowd_at at;
    struct sockaddr_in to;
    int poll;
    struct peer *peers;
    uint32_t n, open;
    uint32_t pinged; /* the next to ping */
    int64_t ping_us; /* when */
};

void
crowd_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

static void
fail(struct host *h, const struct peer *p, const char *what)
{
    (void)snprintf(h->shared->error, sizeof(h->shared->error), "peer %td: %.180s", p - h->peers, what);
    atomic_store(&h->shared->failed, true);
    _exit(1);
}

/* --- ZMTP --- */

static void
put(struct host *h, const struct peer *p, const void *at, size_t len)
{
    if (send(p->fd, at, len, MSG_NOSIGNAL) != (ssize_t)len)
        fail(h, p, "its socket takes no more");
}

static void
put_frame(struct host *h, const struct peer *p, unsigned flags, const void *at, size_t len)
{
    unsigned char frame[257];
    if (len > 255)
        fail(h, p, "has more to say than fits a short frame");
    frame[0] = (unsigned char)flags;
    frame[1] = (unsigned char)len;
    memcpy(frame + 2, at, len);
    put(h, p, frame, len + 2);
}

static void
greet(struct host *h, const struct peer *p)
{
    static const char ready[] = "\5READY\13Socket-Type\0\0\0\6DEALER";
    unsigned char hello[GREETING] = {0xff, [9] = 0x7f, [10] = 3, [12] = 'N', 'U', 'L', 'L'};
    put(h, p, hello, sizeof(hello));
    put_frame(h, p, F_COMMAND, ready, sizeof(ready) - 1);
}

/* --- what they say --- */

static void
say(struct host *h, const struct peer *p, const struct wire_msg *m)
{
    char frame[WIRE_HEADER_MAX];
    const size_t len = wire_encode(m, frame, sizeof(frame));
    put_frame(h, p, 0, frame, len);
}

static void
say_hello(struct host *h, const struct peer *p)
{
    struct wire_msg m = {.type = WIRE_HELLO,
                         .has = HAS(V) | HAS(ID) | HAS(EPOCH) | HAS(ATTEMPT) | HAS(FRESH) | HAS(SEEN) | HAS(WANT) |
                                HAS(HEAD),
                         .v = 1,
                         .epoch = (uint64_t)clock_wall_us() * 1024,
                         .attempt = 1,
                         .fresh = true};
    char id[32];
    m.id.at = id;
    m.id.len = (uint32_t)snprintf(id, sizeof(id), "waits-%td", p - h->peers);
    say(h, p, &m);
}

static void
say_ready(struct host *h, const struct peer *p)
{
    say(h, p,
        &(struct wire_msg){.type = WIRE_READY,
                           .has = HAS(WANT) | HAS(HEAD) | HAS(SCHEDULE) | HAS(PERIOD_MS),
                           .schedule = WIRE_S_PERIOD,
                           .period_ms = PERIOD_MS});
}

static void
say_done(struct host *h, const struct peer *p, const uint8_t *run)
{
    struct wire_msg m = {.type = WIRE_DONE, .has = HAS(RUN) | HAS(OUTCOME), .outcome = WIRE_OUT_OK};
    memcpy(m.run, run, sizeof(m.run));
    say(h, p, &m);
}

static void
say_ping(struct host *h, const struct peer *p)
{
    say(h, p, &(struct wire_msg){.type = WIRE_PING, .has = HAS(SEEN) | HAS(WANT) | HAS(HEAD)});
}

/* --- what they hear --- */

static void
settle(struct host *h, struct peer *p)
{
    if (!p->waits)
        atomic_fetch_add(&h->shared->waiting, 1);
    p->waits = true;
}

static void
hear_sluiced(struct host *h, struct peer *p, const unsigned char *at, size_t len)
{
    struct wire_fault fault;
    struct wire_msg m;
    if (wire_decode(at, len, WIRE_FROM_GATEWAY, &m, &fault) != 0)
        fail(h, p, fault.text);
    if (m.type == WIRE_WELCOME || (m.type == WIRE_HOLD && WIRE_HAS(&m, WIRE_F_RUN)))
        say_ready(h, p);
    else if (m.type == WIRE_PERMIT)
        say_done(h, p, m.run);
    else if (m.type == WIRE_HOLD && WIRE_HAS(&m, WIRE_F_NEXT_MS))
        settle(h, p);
    else if (m.type == WIRE_ERROR || m.type == WIRE_STOP)
        fail(h, p, m.type == WIRE_STOP ? "was stopped" : wire_reason_name(m.code));
}

/* A whole frame. */
static void
hear(struct host *h, struct peer *p, unsigned flags, const unsigned char *at, size_t len)
{
    if ((flags & F_COMMAND) != 0) {
        if (!p->shook && h->at == CROWD_AT_SLUICED)
            say_hello(h, p);
        else if (!p->shook)
            say_ready(h, p);
        p->shook = true;
    } else if (h->at == CROWD_AT_SLUICED) {
        hear_sluiced(h, p, at, len);
    } else {
        settle(h, p);
    }
}

/* Returns how many bytes of what is there it used: 0, there is no whole frame. */
static size_t
one_frame(struct host *h, struct peer *p, const unsigned char *at, size_t n)
{
    if (!p->greeted) {
        p->greeted = n >= GREETING;
        return p->greeted ? GREETING : 0;
    }
    if (n > 0 && (at[0] & (F_LONG | F_MORE)) != 0)
        fail(h, p, "was sent a long frame, or more than one");
    if (n < 2 || n - 2 < at[1])
        return 0;
    hear(h, p, at[0], at + 2, at[1]);
    return 2 + (size_t)at[1];
}

static void
readable(struct host *h, struct peer *p)
{
    ssize_t n = recv(p->fd, p->in + p->have, sizeof(p->in) - p->have, MSG_DONTWAIT);
    size_t used = 0, one;
    if (n <= 0 && (n == 0 || errno != EAGAIN))
        fail(h, p, "its connection was ended");
    p->have += n > 0 ? (size_t)n : 0;
    while ((one = one_frame(h, p, p->in + used, p->have - used)) > 0)
        used += one;
    memmove(p->in, p->in + used, p->have - used);
    p->have -= used;
}

/* --- the process --- */

static void
open_one(struct host *h)
{
    struct peer *p = &h->peers[h->open++];
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)(p - h->peers)};
    int one = 1;
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&h->to, sizeof(h->to)) != 0 ||
        epoll_ctl(h->poll, EPOLL_CTL_ADD, p->fd, &e) != 0)
        fail(h, p, strerror(errno));
    (void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    greet(h, p);
}

/* Returns how long there is nothing to do, in ms. */
static int
pings(struct host *h)
{
    const int64_t now = clock_mono_us(), every = CROWD_PING_MS * 1000LL / h->n;
    if (h->ping_us == 0)
        h->ping_us = now;
    while (h->ping_us <= now) {
        say_ping(h, &h->peers[h->pinged]);
        h->pinged = (h->pinged + 1) % h->n;
        h->ping_us += every;
    }
    return (int)((h->ping_us - now + 999) / 1000);
}

static void
child_main(struct host *h)
{
    struct epoll_event events[EVENTS];
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    crowd_files();
    h->poll = epoll_create1(EPOLL_CLOEXEC);
    h->peers = mmap(NULL, h->n * sizeof(*h->peers), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (h->poll < 0 || h->peers == MAP_FAILED)
        abort();
    for (;;) {
        int wait_ms = -1;
        uint32_t waiting = atomic_load(&h->shared->waiting);
        while (h->open < h->n && h->open - waiting < ON_THE_WAY)
            open_one(h);
        if (waiting == h->n)
            wait_ms = pings(h);
        int n = epoll_wait(h->poll, events, EVENTS, wait_ms);
        for (int i = 0; i < n; i++)
            readable(h, &h->peers[events[i].data.u32]);
    }
}

struct crowd *
crowd_start(enum crowd_at at, int port, uint32_t n, struct err *err)
{
    struct crowd *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct host h = {.shared = c, .at = at, .n = n};
    if (c == MAP_FAILED) {
        (void)err_set(err, ERR_NOMEM, errno, "a crowd");
        return NULL;
    }
    h.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    h.to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    pid_t pid = n > 0 ? fork() : 0;
    if (n > 0 && pid == 0)
        child_main(&h);
    c->pid = pid; /* by the parent only: the memory is shared */
    for (int i = 0; i < SETTLE_MS && atomic_load(&c->waiting) < n && crowd_check(c, NULL) == 0; i++)
        world_sleep_ms(1);
    if (atomic_load(&c->waiting) == n)
        return c;
    if (crowd_check(c, err) == 0)
        (void)err_set(err, ERR_TIMEOUT, 0, "%u of %u peers wait after %d s", atomic_load(&c->waiting), n,
                      SETTLE_MS / 1000);
    crowd_stop(c);
    return NULL;
}

int
crowd_check(const struct crowd *c, struct err *err)
{
    return atomic_load(&c->failed) ? err_set(err, ERR_IO, 0, "the crowd: %.200s", c->error) : 0;
}

void
crowd_stop(struct crowd *c)
{
    if (c == NULL)
        return;
    if (c->pid > 0) {
        (void)kill(c->pid, SIGKILL);
        (void)waitpid(c->pid, NULL, 0);
    }
    (void)munmap(c, sizeof(*c));
}
