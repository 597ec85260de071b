#include "leg.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "bare.h"
#include "clock.h"
#include "drain.h"
#include "err.h"
#include "rabbit.h"
#include "sluice/sluice.h"
#include "system/world.h"

enum { READY_MS = 20 * 1000, LEG_MS = 300 * 1000, CONNECTORS_MAX = 256, BARE_WINDOW = 400 };

/* What a leg's process and its parent share. */
struct shared {
    atomic_uint ready; /* connectors that wait for go */
    atomic_bool go;
    _Atomic int64_t end_us; /* the latest end of a connector */
    atomic_bool failed;
    char error[240];
};

struct pusher {
    const struct leg *leg;
    struct shared *shared;
    uint32_t connector;
    unsigned char *body;
    char id[32];
};

typedef int push_all(struct pusher *p, struct err *err);

/* The body of bundle i.  Only the stamp differs. */
static const void *
stamp(struct pusher *p, uint64_t i)
{
    struct drain_stamp s = {.leg = p->leg->number, .connector = p->connector, .number = i};
    memcpy(p->body, &s, sizeof(s));
    return p->body;
}

/* All connectors are connected: begin together. */
static void
await_go(struct pusher *p)
{
    atomic_fetch_add(&p->shared->ready, 1);
    while (!atomic_load(&p->shared->go))
        world_sleep_ms(1);
}

static int
push_direct(struct pusher *p, struct err *err)
{
    const struct leg *leg = p->leg;
    struct rabbit *r = rabbit_open(leg->amqp_port, err);
    int rc = r != NULL ? 0 : -1;
    await_go(p);
    for (uint64_t i = 0; rc == 0 && rabbit_settled(r) < leg->each;) {
        while (rc == 0 && i < leg->each && rabbit_room(r, leg->size)) {
            rc = rabbit_publish(r, leg->queue, p->id, i + 1, stamp(p, i), leg->size, err);
            i++;
        }
        if (rc == 0)
            rc = rabbit_confirms(r, 10000, err);
    }
    rabbit_close(r);
    return rc;
}

static int
push_sluice(struct pusher *p, struct err *err)
{
    const struct leg *leg = p->leg;
    struct sluice_error e = {.code = 0};
    struct sluice_options opt = {.id = p->id, .endpoint = leg->endpoint};
    struct sluice *s = sluice_open(&opt, &e);
    int rc = s != NULL ? sluice_wait(s, 10000, &e) : -1;
    await_go(p);
    for (uint64_t i = 0; rc == 0 && i < leg->each; i++)
        rc = sluice_push(s, stamp(p, i), leg->size, NULL, LEG_MS, &e);
    if (rc == 0)
        rc = sluice_flush(s, LEG_MS, &e);
    (void)sluice_close(&s, 0, NULL);
    return rc == 0 ? 0 : err_set(err, ERR_IO, 0, "%s: %.200s", p->id, e.text);
}

/* One message of a body, and a reply that says how many are confirmed. */
static int
push_bare(struct pusher *p, struct err *err)
{
    const struct leg *leg = p->leg;
    void *ctx = zmq_ctx_new(), *sock = zmq_socket(ctx, ZMQ_DEALER);
    uint64_t sent = 0, acked = 0;
    int linger = 0, limit = 20000, rc = zmq_connect(sock, leg->endpoint);
    (void)zmq_setsockopt(sock, ZMQ_LINGER, &linger, sizeof(linger));
    (void)zmq_setsockopt(sock, ZMQ_RCVTIMEO, &limit, sizeof(limit));
    await_go(p);
    uint64_t most = RABBIT_WINDOW_BYTES / leg->size < BARE_WINDOW ? RABBIT_WINDOW_BYTES / leg->size : BARE_WINDOW;
    while (rc == 0 && acked < leg->each) {
        while (sent < leg->each && sent - acked < most) {
            rc |= zmq_send(sock, stamp(p, sent), leg->size, 0) < 0;
            sent++;
        }
        rc |= zmq_recv(sock, &acked, sizeof(acked), 0) != (int)sizeof(acked);
    }
    (void)zmq_close(sock);
    (void)zmq_ctx_term(ctx);
    return rc == 0 ? 0 : err_set(err, ERR_IO, zmq_errno(), "%s: the bare loop", p->id);
}

struct job {
    struct pusher pusher;
    push_all *push;
    pthread_t thread;
};

static void *
job_main(void *arg)
{
    struct job *j = arg;
    struct err err = {.code = ERR_NONE};
    if (j->push(&j->pusher, &err) != 0 && !atomic_exchange(&j->pusher.shared->failed, true))
        (void)snprintf(j->pusher.shared->error, sizeof(j->pusher.shared->error), "%s", err.text);
    atomic_store(&j->pusher.shared->end_us, clock_mono_us()); /* the last one to store is the latest */
    return NULL;
}

/* The process of all connectors of a leg. */
static void
pushers_main(const struct leg *leg, struct shared *shared, push_all *push)
{
    struct job *jobs = calloc(leg->connectors, sizeof(*jobs));
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (jobs == NULL)
        _exit(1);
    for (uint32_t i = 0; i < leg->connectors; i++) {
        struct job *j = &jobs[i];
        j->push = push;
        j->pusher = (struct pusher){.leg = leg, .shared = shared, .connector = i, .body = calloc(1, leg->size)};
        (void)snprintf(j->pusher.id, sizeof(j->pusher.id), "bench-%u", i);
        if (j->pusher.body == NULL || pthread_create(&j->thread, NULL, job_main, j) != 0)
            _exit(1);
    }
    for (uint32_t i = 0; i < leg->connectors; i++)
        (void)pthread_join(jobs[i].thread, NULL);
    _exit(0);
}

static int
run(const struct leg *leg, push_all *push, struct leg_result *ret, struct err *err)
{
    struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED)
        return err_set(err, ERR_NOMEM, errno, "leg");
    pid_t pid = fork();
    if (pid == 0)
        pushers_main(leg, s, push);
    for (int i = 0; i < READY_MS && atomic_load(&s->ready) < leg->connectors; i++)
        world_sleep_ms(1);
    int64_t began = clock_mono_us();
    atomic_store(&s->go, true);
    int rc = world_wait(pid, LEG_MS);
    if (rc < 0) {
        (void)kill(pid, SIGKILL);
        (void)world_wait(pid, 5000);
        rc = err_set(err, ERR_TIMEOUT, 0, "a leg of %u connectors took more than %d s", leg->connectors, LEG_MS / 1000);
    } else if (rc > 0 || atomic_load(&s->failed)) {
        rc = err_set(err, ERR_IO, 0, "the connectors ended with status %d: %.180s", rc, s->error);
    } else {
        ret->seconds = (double)(atomic_load(&s->end_us) - began) / 1e6;
    }
    (void)munmap(s, sizeof(*s));
    return rc;
}

int
leg_direct(const struct leg *leg, struct leg_result *ret, struct err *err)
{
    return run(leg, push_direct, ret, err);
}

int
leg_sluice(const struct leg *leg, struct leg_result *ret, struct err *err)
{
    return run(leg, push_sluice, ret, err);
}

int
leg_bare(const struct leg *leg, struct leg_result *ret, struct err *err)
{
    struct bare *b = bare_start(leg->endpoint, leg->amqp_port, leg->queue, err);
    if (b == NULL)
        return -1;
    int64_t before = bare_cpu_us(b);
    int rc = run(leg, push_bare, ret, err);
    ret->cpu_us = bare_cpu_us(b) - before;
    return bare_stop(b, err) != 0 ? -1 : rc;
}
