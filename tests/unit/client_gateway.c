/* client_gateway.c - the scripted gateway. */
#include "client_gateway.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <cmocka.h>

enum { PATIENCE_MS = 60000 };

static void
open_socket(struct gateway *g, const char *endpoint)
{
    int none = 0;
    size_t size = sizeof(g->endpoint);

    g->socket = zmq_socket(g->ctx, ZMQ_ROUTER);
    assert_non_null(g->socket);
    zmq_setsockopt(g->socket, ZMQ_LINGER, &none, sizeof(none));
    for (int i = 0; zmq_bind(g->socket, endpoint) != 0; i++) {
        assert_true(i < PATIENCE_MS / 10); /* the port of who died may take a moment to be free */
        zmq_poll(NULL, 0, 10);
    }
    assert_int_equal(zmq_getsockopt(g->socket, ZMQ_LAST_ENDPOINT, g->endpoint, &size), 0);
}

void
gateway_start(struct gateway *g)
{
    sigset_t all, before;

    *g = (struct gateway){.ping_ms = GATEWAY_PING_MS, .max_bundle = UINT64_C(512) << 20};
    g->ctx = zmq_ctx_new();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a test asks who takes a signal: not these threads */
    open_socket(g, "tcp://127.0.0.1:*");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
gateway_die(struct gateway *g)
{
    zmq_close(g->socket);
    g->socket = NULL;
}

void
gateway_revive(struct gateway *g)
{
    char endpoint[sizeof(g->endpoint)];

    memcpy(endpoint, g->endpoint, sizeof(endpoint));
    open_socket(g, endpoint);
}

void
gateway_stop(struct gateway *g)
{
    if (g->socket != NULL)
        zmq_close(g->socket);
    zmq_ctx_term(g->ctx);
}

static size_t
receive_frame(struct gateway *g, void *buf, size_t cap)
{
    int n = zmq_recv(g->socket, buf, cap, 0);

    assert_in_range(n, 0, cap);
    return (size_t)n;
}

static bool
more(struct gateway *g)
{
    int yes = 0;
    size_t size = sizeof(yes);

    assert_int_equal(zmq_getsockopt(g->socket, ZMQ_RCVMORE, &yes, &size), 0);
    return yes != 0;
}

bool
gateway_hears_within(struct gateway *g, int ms)
{
    zmq_pollitem_t item = {.socket = g->socket, .events = ZMQ_POLLIN};
    struct wire_fault fault;
    size_t len;

    if (zmq_poll(&item, 1, ms) <= 0)
        return false;
    g->peer_len = receive_frame(g, g->peer, sizeof(g->peer));
    assert_true(more(g));
    len = receive_frame(g, g->header, sizeof(g->header));
    if (wire_decode(g->header, len, WIRE_FROM_CONNECTOR, &g->msg, &fault) != 0)
        fail_msg("the connector sent what is not of the protocol: %s", fault.text);
    assert_int_equal(more(g), wire_has_body(&g->msg));
    g->body_len = more(g) ? receive_frame(g, g->body, sizeof(g->body)) : 0;
    assert_false(more(g));
    return true;
}

const struct wire_msg *
gateway_hears(struct gateway *g, enum wire_type type)
{
    do {
        if (!gateway_hears_within(g, PATIENCE_MS))
            fail_msg("the gateway waits for %s in vain", wire_type_name(type));
    } while (g->msg.type == WIRE_PING && type != WIRE_PING);
    if (g->msg.type != type)
        fail_msg("the gateway expects %s and hears %s", wire_type_name(type), wire_type_name(g->msg.type));
    return &g->msg;
}

uint8_t *
gateway_hears_bundle(struct gateway *g, uint64_t seq, size_t *ret_len)
{
    uint8_t *all = NULL;
    size_t have = 0;

    do {
        gateway_hears(g, WIRE_BUNDLE);
        if (g->msg.seq != seq)
            fail_msg("bundle %llu came, not %llu", (unsigned long long)g->msg.seq, (unsigned long long)seq);
        assert_int_equal(g->msg.off, have);
        assert_true(have + g->body_len <= g->msg.size);
        if (all == NULL)
            all = malloc((size_t)g->msg.size);
        assert_non_null(all);
        memcpy(all + have, g->body, g->body_len);
        have += g->body_len;
    } while (have < g->msg.size);
    *ret_len = have;
    return all;
}

void
gateway_says_raw(struct gateway *g, const void *header, size_t len, const void *body, size_t body_len)
{
    assert_true(zmq_send(g->socket, g->peer, g->peer_len, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(g->socket, header, len, body == NULL ? 0 : ZMQ_SNDMORE) >= 0);
    if (body != NULL)
        assert_true(zmq_send(g->socket, body, body_len, 0) >= 0);
}

void
gateway_says(struct gateway *g, const struct wire_msg *msg, const void *body, size_t len)
{
    uint8_t header[WIRE_HEADER_MAX];
    size_t n = wire_encode(msg, header, sizeof(header));

    assert_int_not_equal(n, 0);
    gateway_says_raw(g, header, n, len > 0 ? body : NULL, len);
}

#define BIT(f) (UINT64_C(1) << (f))

void
gateway_welcomes(struct gateway *g, uint64_t expect, uint64_t credit)
{
    struct wire_msg m = {
        .type = WIRE_WELCOME,
        .has = BIT(WIRE_F_V) | BIT(WIRE_F_EPOCH) | BIT(WIRE_F_ATTEMPT) | BIT(WIRE_F_EXPECT) | BIT(WIRE_F_CREDIT) |
               BIT(WIRE_F_PING_MS) | BIT(WIRE_F_CHUNK) | BIT(WIRE_F_MAX_BUNDLE),
        .v = WIRE_VERSION, .epoch = g->msg.epoch, .attempt = g->msg.attempt, .expect = expect, .credit = credit,
        .ping_ms = g->ping_ms, .chunk = WIRE_CHUNK_MAX, .max_bundle = g->max_bundle,
    };

    gateway_says(g, &m, NULL, 0);
}

void
gateway_lets_in(struct gateway *g, uint64_t expect, uint64_t credit)
{
    gateway_hears(g, WIRE_HELLO);
    gateway_welcomes(g, expect, credit);
}

void
gateway_credits(struct gateway *g, uint64_t credit)
{
    gateway_says(g, &(struct wire_msg){.type = WIRE_CREDIT, .has = BIT(WIRE_F_CREDIT), .credit = credit}, NULL, 0);
}

void
gateway_answers(struct gateway *g, uint64_t seq, enum wire_verdict verdict)
{
    struct wire_msg m = {.type = WIRE_VERDICT, .has = BIT(WIRE_F_SEQ) | BIT(WIRE_F_VERDICT), .seq = seq,
                         .verdict = verdict};

    if (verdict != WIRE_ACK) {
        m.has |= BIT(WIRE_F_REASON) | BIT(WIRE_F_TEXT);
        m.reason = WIRE_R_UNROUTABLE;
        m.text = (struct wire_text){.at = "no queue is bound", .len = 17};
    }
    gateway_says(g, &m, NULL, 0);
}

void
gateway_errs(struct gateway *g, enum wire_reason code, bool fatal)
{
    struct wire_msg m = {.type = WIRE_ERROR, .has = BIT(WIRE_F_CODE) | BIT(WIRE_F_TEXT) | BIT(WIRE_F_FATAL),
                         .code = code, .fatal = fatal, .text = {.at = "add it to the configuration", .len = 27}};

    gateway_says(g, &m, NULL, 0);
}
