#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "clock.h"
#include "err.h"

enum { FRAMES_MAX = 8 };

enum { WELCOME_MS = 30000, CREDIT_MS = 30000 };

struct peer {
    void *ctx, *sock, *monitor;
    uint64_t credit, used, attempt, seen;
    zmq_msg_t header, body;
    struct wire_msg msg;
};

static int
option(struct peer *p, int name, int value)
{
    return zmq_setsockopt(p->sock, name, &value, sizeof(value));
}

struct peer *
peer_open(const char *endpoint, struct err *err)
{
    char watch[64];
    struct peer *p = calloc(1, sizeof(*p));
    if (p == NULL || (p->ctx = zmq_ctx_new()) == NULL)
        goto fail;
    (void)zmq_msg_init(&p->header);
    (void)zmq_msg_init(&p->body);
    (void)zmq_ctx_set(p->ctx, ZMQ_BLOCKY, 0);
    p->sock = zmq_socket(p->ctx, ZMQ_DEALER);
    p->monitor = zmq_socket(p->ctx, ZMQ_PAIR);
    (void)snprintf(watch, sizeof(watch), "inproc://watch-%p", (void *)p);
    if (p->sock == NULL || p->monitor == NULL || option(p, ZMQ_LINGER, 0) != 0 || option(p, ZMQ_SNDTIMEO, 5000) != 0 ||
        option(p, ZMQ_RECONNECT_IVL, 20) != 0 || zmq_socket_monitor(p->sock, watch, ZMQ_EVENT_DISCONNECTED) != 0 ||
        zmq_connect(p->monitor, watch) != 0 || zmq_connect(p->sock, endpoint) != 0)
        goto fail;
    return p;

fail:
    (void)err_set(err, ERR_IO, zmq_errno(), "peer of %s", endpoint);
    peer_close(p);
    return NULL;
}

void
peer_send_frames(struct peer *p, const void *const *frames, const size_t *lens, size_t n)
{
    for (size_t i = 0; i < n && n <= FRAMES_MAX; i++)
        (void)zmq_send(p->sock, frames[i], lens[i], i + 1 < n ? ZMQ_SNDMORE : 0);
    if (n == 0)
        (void)zmq_send(p->sock, "", 0, 0);
}

void
peer_send(struct peer *p, const struct wire_msg *msg, const void *body, size_t len)
{
    char header[WIRE_HEADER_MAX];
    size_t n = wire_encode(msg, header, sizeof(header));
    const void *frames[2] = {header, body};
    const size_t lens[2] = {n, len};
    if (n == 0)
        abort(); /* a mistake of the test */
    peer_send_frames(p, frames, lens, body != NULL ? 2 : 1);
}

static int
wait_for(void *sock, int64_t end_us)
{
    zmq_pollitem_t item = {.socket = sock, .events = ZMQ_POLLIN};
    int64_t left = end_us - clock_mono_us();
    return zmq_poll(&item, 1, left > 0 ? (long)(left / 1000 + 1) : 0);
}

const struct wire_msg *
peer_receive(struct peer *p, int timeout_ms)
{
    struct wire_fault fault;
    if (wait_for(p->sock, clock_mono_us() + (int64_t)timeout_ms * 1000) <= 0)
        return NULL;
    if (zmq_msg_recv(&p->header, p->sock, ZMQ_DONTWAIT) < 0)
        return NULL;
    if (zmq_msg_more(&p->header))
        (void)zmq_msg_recv(&p->body, p->sock, ZMQ_DONTWAIT);
    if (wire_decode(zmq_msg_data(&p->header), zmq_msg_size(&p->header), WIRE_FROM_GATEWAY, &p->msg, &fault) != 0) {
        fprintf(stderr, "peer: the gateway sent what its own protocol refuses: %s\n", fault.text);
        abort();
    }
    if (WIRE_HAS(&p->msg, WIRE_F_CREDIT))
        p->credit = p->msg.credit;
    return &p->msg;
}

const struct wire_msg *
peer_await(struct peer *p, enum wire_type type, int timeout_ms)
{
    const int64_t end = clock_mono_us() + (int64_t)timeout_ms * 1000;
    for (;;) {
        int64_t left = end - clock_mono_us();
        const struct wire_msg *m = peer_receive(p, left > 0 ? (int)(left / 1000 + 1) : 0);
        if (m == NULL || m->type == type)
            return m;
    }
}

const struct wire_msg *
peer_await_error(struct peer *p, enum wire_reason code, int timeout_ms)
{
    const int64_t end = clock_mono_us() + (int64_t)timeout_ms * 1000;
    for (;;) {
        int64_t left = end - clock_mono_us();
        const struct wire_msg *m = peer_await(p, WIRE_ERROR, left > 0 ? (int)(left / 1000 + 1) : 0);
        if (m == NULL || m->code == code)
            return m;
    }
}

const struct wire_msg *
peer_hello(struct peer *p, const char *id, uint64_t epoch, bool fresh, uint64_t seen)
{
    struct wire_msg m = {.type = WIRE_HELLO,
                         .has = 1ULL << WIRE_F_V | 1ULL << WIRE_F_ID | 1ULL << WIRE_F_EPOCH | 1ULL << WIRE_F_ATTEMPT |
                                1ULL << WIRE_F_FRESH | 1ULL << WIRE_F_SEEN | 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD,
                         .v = WIRE_VERSION,
                         .id = {.at = id, .len = (uint32_t)strlen(id)},
                         .epoch = epoch,
                         .attempt = ++p->attempt,
                         .fresh = fresh,
                         .seen = seen};
    p->credit = p->used = 0;
    p->seen = seen;
    peer_send(p, &m, NULL, 0);
    for (;;) {
        const struct wire_msg *w = peer_receive(p, WELCOME_MS);
        if (w == NULL || (w->type == WIRE_ERROR && w->fatal))
            return NULL;
        if (w->type == WIRE_WELCOME && w->attempt == p->attempt)
            return w;
    }
}

uint64_t
peer_credit(struct peer *p, uint64_t size)
{
    struct wire_msg m = {.type = WIRE_PING,
                         .has = 1ULL << WIRE_F_SEEN | 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD,
                         .seen = p->seen,
                         .want = size,
                         .head = size};
    const int64_t end = clock_mono_us() + CREDIT_MS * INT64_C(1000);
    peer_send(p, &m, NULL, 0);
    while (p->credit < p->used + wire_cost(size) && clock_mono_us() < end)
        (void)peer_receive(p, 50);
    return p->credit >= p->used + wire_cost(size) ? p->credit : 0;
}

void
peer_bundle(struct peer *p, uint64_t seq, uint64_t size, uint64_t off, const void *bytes, size_t len)
{
    struct wire_msg m = {.type = WIRE_BUNDLE,
                         .has = 1ULL << WIRE_F_SEQ | 1ULL << WIRE_F_SIZE | 1ULL << WIRE_F_OFF | 1ULL << WIRE_F_WANT |
                                1ULL << WIRE_F_HEAD,
                         .seq = seq,
                         .size = size,
                         .off = off};
    if (off == 0)
        p->used += wire_cost(size);
    peer_send(p, &m, bytes, len);
}

uint64_t
peer_credit_now(const struct peer *p)
{
    return p->credit;
}

bool
peer_was_cut(struct peer *p, int timeout_ms)
{
    char buf[256];
    if (wait_for(p->monitor, clock_mono_us() + (int64_t)timeout_ms * 1000) <= 0)
        return false;
    while (zmq_recv(p->monitor, buf, sizeof(buf), ZMQ_DONTWAIT) >= 0)
        ;
    return true;
}

void
peer_close(struct peer *p)
{
    if (p == NULL)
        return;
    if (p->sock != NULL) {
        (void)zmq_msg_close(&p->header);
        (void)zmq_msg_close(&p->body);
        (void)zmq_socket_monitor(p->sock, NULL, 0);
        (void)zmq_close(p->sock);
    }
    if (p->monitor != NULL)
        (void)zmq_close(p->monitor);
    if (p->ctx != NULL)
        (void)zmq_ctx_term(p->ctx);
    free(p);
}
