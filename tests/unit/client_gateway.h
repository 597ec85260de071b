/* client_gateway.h - a gateway as small as a test can have it: a ROUTER socket whose every word the test says.
 *
 * It answers to the peer that it heard last.  Times out (and fails the test) after 10 s.  One thread. */
#ifndef CLIENT_GATEWAY_H
#define CLIENT_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

enum { GATEWAY_PING_MS = 40000 };

struct gateway {
    void    *ctx, *socket;
    char     endpoint[64];
    uint8_t  peer[64]; /* whom it heard last */
    size_t   peer_len;
    uint8_t  header[WIRE_HEADER_MAX];
    struct wire_msg msg; /* what it heard last; texts lent from header */
    uint8_t  body[WIRE_CHUNK_MAX];
    size_t   body_len;
    uint64_t ping_ms, max_bundle;
};

/* Listen on a free port of the loopback. */
void gateway_start(struct gateway *g);
void gateway_stop(struct gateway *g);

/* Die without a word, and come back on the same port. */
void gateway_die(struct gateway *g);
void gateway_revive(struct gateway *g);

/* Wait for the next message; false: none within ms. */
bool gateway_hears_within(struct gateway *g, int ms);

/* The next message must be of this type; pings are passed over unless one is expected. */
const struct wire_msg *gateway_hears(struct gateway *g, enum wire_type type);

/* A whole bundle, of one or more chunks; its body in a buffer of *ret_len bytes that the caller frees. */
uint8_t *gateway_hears_bundle(struct gateway *g, uint64_t seq, size_t *ret_len);

void gateway_says(struct gateway *g, const struct wire_msg *msg, const void *body, size_t len);
void gateway_says_raw(struct gateway *g, const void *header, size_t len, const void *body, size_t body_len);

/* Answer the hello that was heard last. */
void gateway_welcomes(struct gateway *g, uint64_t expect, uint64_t credit);

/* hears(hello), welcomes */
void gateway_lets_in(struct gateway *g, uint64_t expect, uint64_t credit);

void gateway_credits(struct gateway *g, uint64_t credit);
void gateway_answers(struct gateway *g, uint64_t seq, enum wire_verdict verdict);
void gateway_errs(struct gateway *g, enum wire_reason code, bool fatal);

#endif
