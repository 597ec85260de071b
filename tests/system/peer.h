/* peer.h - one raw connection to a gateway: a DEALER socket that says what it is told, right or wrong.
 *
 * Thread: each peer belongs to one. */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct err;
struct peer;

/* Connect; nothing is sent.  NULL with *err. */
struct peer *peer_open(const char *endpoint, struct err *err);

/* Send frames as they are (lens[i] bytes each); n may be 0 to 8 (0: not possible on a socket, an empty frame goes). */
void peer_send_frames(struct peer *p, const void *const *frames, const size_t *lens, size_t n);

/* Encode and send; body NULL: one frame. */
void peer_send(struct peer *p, const struct wire_msg *msg, const void *body, size_t len);

/* The next message, decoded; it and its texts are lent until the next call.  NULL: none within timeout_ms. */
const struct wire_msg *peer_receive(struct peer *p, int timeout_ms);

/* Skip messages until one of this type.  NULL: none within timeout_ms. */
const struct wire_msg *peer_await(struct peer *p, enum wire_type type, int timeout_ms);

/* Wait for an error of this code. */
const struct wire_msg *peer_await_error(struct peer *p, enum wire_reason code, int timeout_ms);

/* Say hello with these figures, and wait for the welcome.  NULL: none came. */
const struct wire_msg *peer_hello(struct peer *p, const char *id, uint64_t epoch, bool fresh, uint64_t seen);

/* Ask for credit for a bundle of size bytes beyond those sent since hello, and wait until it is there (5 s).
 * Returns the credit, 0 where it did not come. */
uint64_t peer_credit(struct peer *p, uint64_t size);

/* Send a chunk of a bundle, without minding credit. */
void peer_bundle(struct peer *p, uint64_t seq, uint64_t size, uint64_t off, const void *bytes, size_t len);

/* The credit told last. */
uint64_t peer_credit_now(const struct peer *p);

/* Was this connection ended by the other side (seen within timeout_ms)?  The socket makes a new one by itself. */
bool peer_was_cut(struct peer *p, int timeout_ms);

void peer_close(struct peer *p);

#endif
