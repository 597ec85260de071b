#include "asker.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "clock.h"
#include "err.h"
#include "system/world.h"
#include "wire.h"

enum { ANSWER_MS = 10 * 1000,
       LEG_MS = 120 * 1000 };

#define HAS(field) (UINT64_C(1) << WIRE_F_##field)

enum place { SLUICED,
             ECHO,
             PLACES };

/* What the process and its parent share: times in the order in which they were taken. */
struct shared {
    double us[PLACES][ASKER_TIMES_MAX];
    char error[240];
};

struct asker {
    const struct asking *a;
    struct shared *shared;
    void *ctx;
    void *peers[PLACES][ASKER_PEERS_MAX];
    char in[WIRE_HEADER_MAX];
    int got;
};

static int64_t
now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void
fail(struct asker *k, const char *what, const char *why)
{
    (void)snprintf(k->shared->error, sizeof(k->shared->error), "%s: %.180s", what, why);
    _exit(1);
}

/* One message, and the next that comes. */
static void
exchange(struct asker *k, void *peer, const void *out, size_t len)
{
    if (zmq_send(peer, out, len, 0) < 0)
        fail(k, "send", zmq_strerror(zmq_errno()));
    k->got = zmq_recv(peer, k->in, sizeof(k->in), 0);
    if (k->got < 0)
        fail(k, "no answer", zmq_strerror(zmq_errno()));
}

/* What came is this message of sluiced, or at an echo what was sent. */
static struct wire_msg
expect(struct asker *k, enum place at, enum wire_type type, const void *out, size_t len)
{
    struct wire_msg m = {.type = type};
    struct wire_fault fault = {.text = ""};
    if (at == ECHO) {
        if ((size_t)k->got != len || memcmp(k->in, out, len) != 0)
            fail(k, "the echo", "it says something else");
    } else if (wire_decode(k->in, (size_t)k->got, WIRE_FROM_GATEWAY, &m, &fault) != 0 || m.type != type) {
        fail(k, wire_type_name(type), fault.text[0] != '\0' ? fault.text : wire_type_name(m.type));
    }
    return m;
}

static void
open_peer(struct asker *k, enum place at, uint32_t i)
{
    int linger = 0, limit = ANSWER_MS;
    void *s = k->peers[at][i] = zmq_socket(k->ctx, ZMQ_DEALER);
    (void)zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof(linger));
    (void)zmq_setsockopt(s, ZMQ_RCVTIMEO, &limit, sizeof(limit));
    if (zmq_connect(s, at == ECHO ? k->a->echo : k->a->sluiced) != 0)
        fail(k, "connect", zmq_strerror(zmq_errno()));
    struct wire_msg m = {.type = WIRE_HELLO,
                         .has = HAS(V) | HAS(ID) | HAS(EPOCH) | HAS(ATTEMPT) | HAS(FRESH) | HAS(SEEN) | HAS(WANT) |
                                HAS(HEAD),
                         .v = 1,
                         .epoch = (uint64_t)clock_wall_us() * 1024,
                         .attempt = 1,
                         .fresh = true};
    char id[32], frame[WIRE_HEADER_MAX];
    m.id.at = id;
    m.id.len = (uint32_t)snprintf(id, sizeof(id), "asks-%u", i);
    size_t len = wire_encode(&m, frame, sizeof(frame));
    exchange(k, s, frame, len);
    (void)expect(k, at, WIRE_WELCOME, frame, len);
}

/* Returns how long the answer took, in microseconds. */
static double
ask(struct asker *k, enum place at, void *peer)
{
    static const struct wire_msg ready = {
        .type = WIRE_READY, .has = HAS(WANT) | HAS(HEAD) | HAS(SCHEDULE), .schedule = WIRE_S_TERMINATE};
    struct wire_msg done = {.type = WIRE_DONE, .has = HAS(RUN) | HAS(OUTCOME), .outcome = WIRE_OUT_OK};
    char frame[WIRE_HEADER_MAX];
    size_t len = wire_encode(&ready, frame, sizeof(frame));
    int64_t began = now_ns();
    exchange(k, peer, frame, len);
    double us = (double)(now_ns() - began) / 1000;
    struct wire_msg permit = expect(k, at, WIRE_PERMIT, frame, len);
    memcpy(done.run, permit.run, sizeof(done.run));
    len = wire_encode(&done, frame, sizeof(frame));
    exchange(k, peer, frame, len);
    (void)expect(k, at, WIRE_HOLD, frame, len);
    return us;
}

static void
sleep_until(int64_t ns)
{
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        continue;
}

/* From the n-th question on.  One goes before them and does not count: it follows a question at the other side. */
static void
ask_block(struct asker *k, enum place at, size_t n)
{
    int64_t next = now_ns();
    for (size_t i = 0; i <= ASKER_BLOCK; i++) {
        sleep_until(next + k->a->pace_us * 1000);
        next = now_ns();
        const double us = ask(k, at, k->peers[at][(n + i) % k->a->peers]);
        if (i > 0)
            k->shared->us[at][n + i - 1] = us;
    }
}

static void
child_main(const struct asking *a, struct shared *shared)
{
    struct asker *k = calloc(1, sizeof(*k));
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (k == NULL || (k->ctx = zmq_ctx_new()) == NULL)
        abort();
    k->a = a;
    k->shared = shared;
    for (uint32_t i = 0; i < a->peers; i++)
        for (int at = 0; at < PLACES; at++)
            open_peer(k, (enum place)at, i);
    for (size_t n = 0; n < a->times; n += ASKER_BLOCK)
        for (int at = 0; at < PLACES; at++)
            ask_block(k, (enum place)at, n);
    _exit(0);
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of n times: the blocks from `from` on, each step-th. */
static struct asked
percentiles(const double *us, size_t n, size_t from, size_t step)
{
    double *sorted = calloc(n, sizeof(*sorted));
    size_t m = 0;
    if (sorted == NULL)
        abort();
    for (size_t at = from * ASKER_BLOCK; at < n; at += step * ASKER_BLOCK, m += ASKER_BLOCK)
        memcpy(sorted + m, us + at, ASKER_BLOCK * sizeof(*us));
    qsort(sorted, m, sizeof(sorted[0]), by_value);
    const struct asked r = {sorted[(m - 1) / 2], sorted[(m - 1) * 99 / 100]};
    free(sorted);
    return r;
}

int
asker_run(const struct asking *a, struct asker_result *ret, struct err *err)
{
    if (a->peers < 1 || a->peers > ASKER_PEERS_MAX || a->times < 1 || a->times > ASKER_TIMES_MAX ||
        a->times % (2 * ASKER_BLOCK) != 0)
        return err_set(err, ERR_CONFIG, 0, "asker: %u peers, %zu questions", a->peers, a->times);
    struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED)
        return err_set(err, ERR_NOMEM, errno, "asker");
    pid_t pid = fork();
    if (pid == 0)
        child_main(a, s);
    int rc = world_wait(pid, LEG_MS);
    if (rc < 0) {
        (void)kill(pid, SIGKILL);
        (void)world_wait(pid, 5000);
        rc = err_set(err, ERR_TIMEOUT, 0, "%zu questions took more than %d s", a->times, LEG_MS / 1000);
    } else if (rc > 0) {
        rc = err_set(err, ERR_IO, 0, "who asks ended with status %d: %.200s", rc, s->error);
    } else {
        ret->sluiced = percentiles(s->us[SLUICED], a->times, 0, 1);
        ret->echo = percentiles(s->us[ECHO], a->times, 0, 1);
        ret->odd = percentiles(s->us[ECHO], a->times, 0, 2);
        ret->even = percentiles(s->us[ECHO], a->times, 1, 2);
    }
    (void)munmap(s, sizeof(*s));
    return rc;
}
