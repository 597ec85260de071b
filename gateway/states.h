/* states.h - the shell's side of `state` messages: chunks are put together and handed to the store, its answers
 * are cut into chunks and sent.
 *
 * Bounds: UPLOADS_MAX states are put together at once (16 MiB), ASKED_MAX requests wait for the store; beyond
 * that the connector is told to try again.  Thread: the loop only. */
#ifndef STATES_H
#define STATES_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct err;
struct mailbox;
struct state;
struct states;

enum { STATES_UPLOADS_MAX = 16, STATES_ASKED_MAX = 1024 };

/* How it answers: msg, and len bytes of body as the second frame (NULL: none). */
struct states_reply {
    void (*send)(void *ctx, uint64_t conn, const struct wire_msg *msg, const void *body, size_t len);
    void  *ctx;
};

/* Borrows the store until states_free. */
struct states *states_new(struct state *store, const struct states_reply *reply, struct err *err);

/* A `state` message of a welcomed connector, with its second frame. */
void states_message(struct states *s, uint64_t conn, const char *connector, const struct wire_msg *m,
                    const void *body, size_t len);

/* Hand on what the store answered (a mailbox of struct state_answer). */
void states_answers(struct states *s, struct mailbox *answers);

/* The connection is no more: what it was sending or waiting for is dropped. */
void states_gone(struct states *s, uint64_t conn);

void states_free(struct states *s);

#endif
