#include "bare.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "err.h"
#include "rabbit.h"
#include "system/world.h"

enum { PEERS_MAX = 256, ID_MAX = 16, RING = 256, RECEIVE_HWM = 128 };

struct bare {
    atomic_int ready; /* 1: listens, -1: failed */
    pid_t pid;
    char error[240];
};

struct peer {
    unsigned char id[ID_MAX];
    size_t len;
    uint64_t confirmed, told;
};

struct loop {
    void *sock;
    struct rabbit *rabbit;
    const char *queue;
    struct peer peers[PEERS_MAX];
    uint32_t n;
    uint32_t whose[RING]; /* which peer delivery tag i is of */
    uint64_t sent, settled;
};

static uint32_t
peer_of(struct loop *l, const void *id, size_t len)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (l->peers[i].len == len && memcmp(l->peers[i].id, id, len) == 0)
            return i;
    if (l->n == PEERS_MAX || len > ID_MAX)
        abort();
    memcpy(l->peers[l->n].id, id, len);
    l->peers[l->n].len = len;
    return l->n++;
}

/* What is confirmed is told, once a turn. */
static void
answer(struct loop *l)
{
    for (; l->settled < rabbit_settled(l->rabbit); l->settled++)
        l->peers[l->whose[(l->settled + 1) % RING]].confirmed++;
    for (uint32_t i = 0; i < l->n; i++) {
        struct peer *p = &l->peers[i];
        if (p->told == p->confirmed)
            continue;
        (void)zmq_send(l->sock, p->id, p->len, ZMQ_SNDMORE);
        (void)zmq_send(l->sock, &p->confirmed, sizeof(p->confirmed), 0);
        p->told = p->confirmed;
    }
}

/* Take and publish while there is something and the window has room.  1: took something; 0; -1. */
static int
forward(struct loop *l, struct err *err)
{
    int took = 0;
    while (rabbit_room(l->rabbit, 0)) {
        unsigned char id[ID_MAX];
        zmq_msg_t body;
        int len = zmq_recv(l->sock, id, sizeof(id), ZMQ_DONTWAIT);
        if (len < 0)
            break;
        (void)zmq_msg_init(&body);
        (void)zmq_msg_recv(&body, l->sock, 0);
        l->sent++;
        l->whose[l->sent % RING] = peer_of(l, id, (size_t)len);
        int rc = rabbit_publish(l->rabbit, l->queue, "bare", l->sent, zmq_msg_data(&body), zmq_msg_size(&body), err);
        (void)zmq_msg_close(&body);
        if (rc != 0)
            return -1;
        took = 1;
    }
    return took;
}

static int
work(struct loop *l, struct err *err)
{
    for (;;) {
        int took = forward(l, err);
        if (took < 0 || rabbit_confirms(l->rabbit, 0, err) != 0)
            return -1;
        answer(l);
        bool room = rabbit_room(l->rabbit, 0);
        zmq_pollitem_t items[2] = {{.socket = NULL, .fd = rabbit_fd(l->rabbit), .events = ZMQ_POLLIN},
                                   {.socket = l->sock, .events = ZMQ_POLLIN}};
        if (took == 0)
            (void)zmq_poll(items, room ? 2 : 1, 1000);
    }
}

static void
child_main(struct bare *b, const char *endpoint, int port, const char *queue)
{
    struct err err = {.code = ERR_NONE};
    int hwm = RECEIVE_HWM;
    struct loop *l = calloc(1, sizeof(*l));
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (l == NULL)
        abort();
    l->queue = queue;
    l->sock = zmq_socket(zmq_ctx_new(), ZMQ_ROUTER);
    (void)zmq_setsockopt(l->sock, ZMQ_RCVHWM, &hwm, sizeof(hwm));
    l->rabbit = rabbit_open(port, &err);
    if (zmq_bind(l->sock, endpoint) != 0)
        (void)err_set(&err, ERR_IO, zmq_errno(), "bind %s", endpoint);
    else if (l->rabbit != NULL) {
        atomic_store(&b->ready, 1);
        (void)work(l, &err);
    }
    (void)snprintf(b->error, sizeof(b->error), "%s", err.text);
    atomic_store(&b->ready, -1);
    _exit(1);
}

struct bare *
bare_start(const char *endpoint, int amqp_port, const char *queue, struct err *err)
{
    struct bare *b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (b == MAP_FAILED) {
        (void)err_set(err, ERR_NOMEM, errno, "the bare loop");
        return NULL;
    }
    pid_t pid = fork();
    if (pid == 0)
        child_main(b, endpoint, amqp_port, queue);
    b->pid = pid; /* by the parent only: the memory is shared */
    for (int i = 0; i < 10000 && atomic_load(&b->ready) == 0; i++)
        world_sleep_ms(1);
    if (atomic_load(&b->ready) == 1)
        return b;
    (void)err_set(err, ERR_IO, 0, "the bare loop did not come up: %.180s", b->error);
    (void)bare_stop(b, NULL);
    return NULL;
}

int64_t
bare_cpu_us(const struct bare *b)
{
    return world_cpu_us(b->pid);
}

int
bare_stop(struct bare *b, struct err *err)
{
    int rc = 0;
    if (b->pid > 0) {
        (void)kill(b->pid, SIGKILL);
        (void)waitpid(b->pid, NULL, 0);
    }
    if (b->error[0] != '\0')
        rc = err_set(err, ERR_IO, 0, "the bare loop: %.200s", b->error);
    (void)munmap(b, sizeof(*b));
    return rc;
}
