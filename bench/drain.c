#include "drain.h"

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"
#include "system/world.h"

enum { LOST_AFTER_MS = 30 * 1000, FRAME_MAX = 131072 };

struct drain {
    atomic_int ready; /* 1: consumes, -1: failed */
    atomic_uint leg, connectors;
    atomic_uint_fast64_t each, size;
    atomic_uint_fast64_t came, twice, stray;
    pid_t pid;
    unsigned char seen[DRAIN_BUNDLES_MAX / 8];
};

static int
consume(amqp_connection_state_t c, int port, const char *queue)
{
    amqp_socket_t *s = amqp_tcp_socket_new(c);
    if (s == NULL || amqp_socket_open(s, "127.0.0.1", port) != AMQP_STATUS_OK)
        return -1;
    if (amqp_login(c, "/", 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type !=
        AMQP_RESPONSE_NORMAL)
        return -1;
    (void)amqp_channel_open(c, 1);
    (void)amqp_queue_declare(c, 1, amqp_cstring_bytes(queue), 0, 1, 0, 0, amqp_empty_table);
    if (amqp_get_rpc_reply(c).reply_type != AMQP_RESPONSE_NORMAL)
        return -1;
    (void)amqp_basic_consume(c, 1, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
    return amqp_get_rpc_reply(c).reply_type == AMQP_RESPONSE_NORMAL ? 0 : -1;
}

static void
count(struct drain *d, amqp_bytes_t body)
{
    struct drain_stamp s;
    uint64_t each = atomic_load(&d->each);
    if (body.len < sizeof(s) || body.len != atomic_load(&d->size)) {
        atomic_fetch_add(&d->stray, 1);
        return;
    }
    memcpy(&s, body.bytes, sizeof(s));
    if (s.leg != atomic_load(&d->leg) || s.connector >= atomic_load(&d->connectors) || s.number >= each) {
        atomic_fetch_add(&d->stray, 1);
        return;
    }
    uint64_t bit = s.connector * each + s.number;
    unsigned char mask = (unsigned char)(1U << (bit % 8));
    if ((d->seen[bit / 8] & mask) != 0) {
        atomic_fetch_add(&d->twice, 1);
        return;
    }
    d->seen[bit / 8] |= mask;
    atomic_fetch_add(&d->came, 1);
}

static void
child_main(struct drain *d, int port, const char *queue)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    amqp_connection_state_t c = amqp_new_connection();
    if (c == NULL || consume(c, port, queue) != 0) {
        atomic_store(&d->ready, -1);
        _exit(1);
    }
    atomic_store(&d->ready, 1);
    for (;;) {
        amqp_envelope_t e;
        amqp_maybe_release_buffers(c);
        if (amqp_consume_message(c, &e, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL)
            _exit(2);
        count(d, e.message.body);
        amqp_destroy_envelope(&e);
    }
}

struct drain *
drain_start(int port, const char *queue, struct err *err)
{
    struct drain *d = mmap(NULL, sizeof(*d), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (d == MAP_FAILED) {
        (void)err_set(err, ERR_NOMEM, errno, "drain");
        return NULL;
    }
    pid_t pid = fork();
    if (pid == 0)
        child_main(d, port, queue);
    d->pid = pid; /* by the parent only: the memory is shared */
    for (int i = 0; i < 1000 && atomic_load(&d->ready) == 0; i++)
        world_sleep_ms(10);
    if (atomic_load(&d->ready) == 1)
        return d;
    (void)err_set(err, ERR_IO, 0, "the consumer of %s did not come up", queue);
    drain_stop(d);
    return NULL;
}

void
drain_expect(struct drain *d, uint32_t leg, uint32_t connectors, uint64_t each, size_t size)
{
    memset(d->seen, 0, (size_t)(connectors * each / 8 + 1));
    atomic_store(&d->came, 0);
    atomic_store(&d->connectors, connectors);
    atomic_store(&d->each, each);
    atomic_store(&d->size, size);
    atomic_store(&d->leg, leg);
}

int
drain_check(struct drain *d, struct err *err)
{
    uint64_t all = atomic_load(&d->connectors) * atomic_load(&d->each);
    int64_t end = clock_mono_us() + LOST_AFTER_MS * 1000LL;
    while (atomic_load(&d->came) < all && clock_mono_us() < end)
        world_sleep_ms(1);
    uint64_t came = atomic_load(&d->came), twice = atomic_load(&d->twice), stray = atomic_load(&d->stray);
    if (came == all && twice == 0 && stray == 0)
        return 0;
    return err_set(err, ERR_IO, 0, "%llu of %llu bundles came, %llu twice, %llu that nobody sent in this leg",
                   (unsigned long long)came, (unsigned long long)all, (unsigned long long)twice,
                   (unsigned long long)stray);
}

void
drain_stop(struct drain *d)
{
    if (d == NULL)
        return;
    if (d->pid > 0) {
        (void)kill(d->pid, SIGKILL);
        (void)waitpid(d->pid, NULL, 0);
    }
    (void)munmap(d, sizeof(*d));
}
