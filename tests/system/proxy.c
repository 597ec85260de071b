#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"

enum { PAIRS_MAX = 128, BUFFER = 64 * 1024, TICK_MS = 20 };

/* One direction of one connection. */
struct flow {
    int from, to;
    bool eof;         /* from has no more */
    uint64_t went;    /* bytes handed on */
    uint64_t cut_at;  /* UINT64_MAX: not to be cut */
    int64_t ready_us; /* what is in the buffer may go then (delay, rate) */
    size_t begin, end;
    unsigned char bytes[BUFFER];
};

struct pair {
    struct flow way[2];
    bool connected; /* the upstream connect has been answered */
};

struct proxy {
    int listener, port, upstream;
    pthread_t thread;
    atomic_bool stop;
    atomic_int cut_all;   /* 1: FIN, 2: RST */
    pthread_mutex_t lock; /* of what follows; nothing is locked inside it */
    struct proxy_fault fault[2];
    uint64_t born[2]; /* connections that were given a cut by the present fault */
    uint64_t accepted, cuts, bytes[2];
    struct pair *pairs[PAIRS_MAX]; /* the thread's own */
};

static void
set_nonblocking(int fd)
{
    int one = 1;
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void
end_pair(struct proxy *p, size_t i, bool reset)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0}; /* close sends RST */
    struct pair *pair = p->pairs[i];
    for (int w = 0; w < 2; w++) {
        if (reset)
            (void)setsockopt(pair->way[w].from, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        (void)close(pair->way[w].from);
    }
    free(pair);
    p->pairs[i] = NULL;
}

/* Where this connection will be cut, by the faults of now.  Lock held. */
static uint64_t
next_cut(struct proxy *p, int way)
{
    const struct proxy_fault *f = &p->fault[way];
    if (!f->cut || (f->cuts > 0 && p->born[way] >= f->cuts))
        return UINT64_MAX;
    return f->after + f->step * p->born[way]++;
}

static void
accept_one(struct proxy *p, size_t slot)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)p->upstream), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int in = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
    if (in < 0)
        return;
    int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pair *pair = calloc(1, sizeof(*pair));
    /* On loopback connect answers at once. */
    if (out < 0 || pair == NULL || connect(out, (struct sockaddr *)&at, sizeof(at)) != 0) {
        if (out >= 0)
            (void)close(out);
        (void)close(in);
        free(pair);
        return;
    }
    set_nonblocking(in);
    set_nonblocking(out);
    pair->way[PROXY_UP].from = pair->way[PROXY_DOWN].to = in;
    pair->way[PROXY_UP].to = pair->way[PROXY_DOWN].from = out;
    pthread_mutex_lock(&p->lock);
    p->accepted++;
    for (int w = 0; w < 2; w++)
        pair->way[w].cut_at = next_cut(p, w);
    pthread_mutex_unlock(&p->lock);
    p->pairs[slot] = pair;
}

/* Take in what came, if there is room.  false: the connection is broken. */
static bool
fill(struct flow *f, const struct proxy_fault *fault)
{
    if (f->eof || f->begin != f->end)
        return true;
    ssize_t n = read(f->from, f->bytes, fault->rate > 0 && fault->rate / 50 < BUFFER ? fault->rate / 50 + 1 : BUFFER);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    f->eof = n == 0;
    f->begin = 0;
    f->end = (size_t)n;
    for (size_t i = 0; fault->garbage && i < f->end; i++)
        f->bytes[i] = (unsigned char)(f->bytes[i] * 167U + i * 13U + 91U);
    int64_t now = clock_mono_us();
    int64_t pace = fault->rate > 0 ? (int64_t)((uint64_t)n * 1000000U / fault->rate) : 0;
    f->ready_us = now + fault->delay_us + pace;
    return true;
}

/* Hand on what is due.  0: go on; 1: the end of a cut or of both streams; -1: broken. */
static int
drain(struct proxy *p, struct flow *f, int way)
{
    if (f->went >= f->cut_at)
        return 1;
    if (f->begin == f->end)
        return 0;
    if (clock_mono_us() < f->ready_us)
        return 0;
    size_t most = f->end - f->begin;
    if (f->cut_at - f->went < most)
        most = (size_t)(f->cut_at - f->went);
    ssize_t n = send(f->to, f->bytes + f->begin, most, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    f->begin += (size_t)n;
    f->went += (uint64_t)n;
    pthread_mutex_lock(&p->lock);
    p->bytes[way] += (uint64_t)n;
    pthread_mutex_unlock(&p->lock);
    return f->went >= f->cut_at ? 1 : 0;
}

/* One turn of one connection. */
static void
turn(struct proxy *p, size_t i, const struct proxy_fault fault[2])
{
    struct pair *pair = p->pairs[i];
    for (int w = 0; w < 2; w++) {
        struct flow *f = &pair->way[w];
        if (fault[w].stall)
            continue;
        int done = fill(f, &fault[w]) ? drain(p, f, w) : -1;
        if (done > 0) {
            pthread_mutex_lock(&p->lock);
            p->cuts++;
            pthread_mutex_unlock(&p->lock);
        }
        if (done != 0) {
            end_pair(p, i, done > 0 && fault[w].reset);
            return;
        }
    }
    /* One side has closed and all its bytes went: close the other.  (No half-closed streams here.) */
    if ((pair->way[0].eof && pair->way[0].begin == pair->way[0].end) ||
        (pair->way[1].eof && pair->way[1].begin == pair->way[1].end))
        end_pair(p, i, false);
}

/* What to wait for.  Returns the milliseconds to wait at most. */
static int
gather(struct proxy *p, struct pollfd *fds, nfds_t *n, const struct proxy_fault fault[2])
{
    int wait = TICK_MS;
    bool room = false;
    *n = 1;
    for (size_t i = 0; i < PAIRS_MAX; i++) {
        room = room || p->pairs[i] == NULL;
        for (int w = 0; p->pairs[i] != NULL && w < 2; w++) {
            const struct flow *f = &p->pairs[i]->way[w];
            if (fault[w].stall)
                continue;
            if (f->begin != f->end && f->ready_us > clock_mono_us())
                wait = 1;
            else
                fds[(*n)++] = f->begin == f->end ? (struct pollfd){.fd = f->from, .events = POLLIN}
                                                 : (struct pollfd){.fd = f->to, .events = POLLOUT};
        }
    }
    fds[0] = (struct pollfd){.fd = room ? p->listener : -1, .events = POLLIN};
    return wait;
}

static void *
thread_main(void *arg)
{
    struct proxy *p = arg;
    while (!atomic_load(&p->stop)) {
        struct pollfd fds[1 + 2 * PAIRS_MAX];
        struct proxy_fault fault[2];
        nfds_t n;
        pthread_mutex_lock(&p->lock);
        memcpy(fault, p->fault, sizeof(fault));
        pthread_mutex_unlock(&p->lock);
        int wait = gather(p, fds, &n, fault);
        (void)poll(fds, n, wait);
        int all = atomic_exchange(&p->cut_all, 0);
        for (size_t i = 0; i < PAIRS_MAX; i++) {
            if (p->pairs[i] != NULL && all != 0)
                end_pair(p, i, all == 2);
            else if (p->pairs[i] != NULL)
                turn(p, i, fault);
            else if (fds[0].revents != 0 && fds[0].fd >= 0) {
                accept_one(p, i);
                fds[0].revents = 0;
            }
        }
    }
    for (size_t i = 0; i < PAIRS_MAX; i++)
        if (p->pairs[i] != NULL)
            end_pair(p, i, false);
    return NULL;
}

struct proxy *
proxy_start(int port, struct err *err)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    struct proxy *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        (void)err_set(err, ERR_NOMEM, errno, "proxy");
        return NULL;
    }
    p->upstream = port;
    (void)pthread_mutex_init(&p->lock, NULL);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(p->listener, 512) != 0 || getsockname(p->listener, (struct sockaddr *)&at, &len) != 0)
        goto fail;
    p->port = ntohs(at.sin_port);
    if (pthread_create(&p->thread, NULL, thread_main, p) != 0)
        goto fail;
    return p;

fail:
    (void)err_set(err, ERR_IO, errno, "proxy");
    if (p->listener >= 0)
        (void)close(p->listener);
    free(p);
    return NULL;
}

int
proxy_port(const struct proxy *p)
{
    return p->port;
}

void
proxy_set(struct proxy *p, enum proxy_way way, const struct proxy_fault *fault)
{
    static const struct proxy_fault NONE = {.cut = false};
    pthread_mutex_lock(&p->lock);
    p->fault[way] = fault != NULL ? *fault : NONE;
    p->born[way] = 0;
    p->cuts = 0;
    pthread_mutex_unlock(&p->lock);
}

void
proxy_cut_all(struct proxy *p, bool reset)
{
    atomic_store(&p->cut_all, reset ? 2 : 1);
    for (int i = 0; i < 60000 && atomic_load(&p->cut_all) != 0; i++)
        (void)usleep(1000);
}

static uint64_t
figure(struct proxy *p, const uint64_t *at)
{
    pthread_mutex_lock(&p->lock);
    uint64_t n = *at;
    pthread_mutex_unlock(&p->lock);
    return n;
}

uint64_t
proxy_accepted(struct proxy *p)
{
    return figure(p, &p->accepted);
}

uint64_t
proxy_cuts(struct proxy *p)
{
    return figure(p, &p->cuts);
}

uint64_t
proxy_bytes(struct proxy *p, enum proxy_way way)
{
    return figure(p, &p->bytes[way]);
}

void
proxy_stop(struct proxy *p)
{
    if (p == NULL)
        return;
    atomic_store(&p->stop, true);
    (void)pthread_join(p->thread, NULL);
    (void)close(p->listener);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
