/* states.h - the shell's side of `state` messages: chunks are put together and handed to the store, its answers
 * are cut into chunks and sent.  A state that is set after bundles, or ends a run, waits here until the core says that
 * it may go.
 *
 * Bounds: UPLOADS_MAX states are put together at once (16 MiB), WAITING_MAX wait for their bundles, with WAITING_BYTES
 * in all, and ASKED_MAX requests wait for the store; beyond that the connector is told to try again.  Thread: the
 * loop only. */
#ifndef STATES_H
#define STATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"
#include "wire.h"

struct err;
struct state;
struct state_answer;
struct state_row;
struct states;

enum {
    STATES_UPLOADS_MAX = 16,
    STATES_ASKED_MAX = 256,
    STATES_WAITING_MAX = 1024,
    STATES_WAITING_BYTES = 16 * 1024 * 1024
};

struct states_hands {
    /* Say msg to conn, with len bytes of body as the second frame (NULL: none). */
    void (*send)(void *ctx, uint64_t conn, const struct wire_msg *msg, const void *body, size_t len);
    /* One step of the core. */
    void (*step)(void *ctx, const struct core_event *e);
    void  *ctx;
};

/* Borrows the store until states_free. */
struct states *states_new(struct state *store, const struct states_hands *hands, struct err *err);

/* A `state` message of a welcomed connector, with its second frame.  Not within a step of the core. */
void states_message(struct states *s, uint64_t conn, const char *connector, const struct wire_msg *m,
                    const void *body, size_t len);

/* What the core said of a state that waits: the effects CORE_COMMIT_GO (row: what goes with it; NULL: none) and
 * CORE_COMMIT_FAIL. */
void states_go(struct states *s, uint64_t ticket, uint64_t stored, const struct state_row *row);
void states_fail(struct states *s, uint64_t ticket, enum wire_reason reason, uint64_t seq);

/* Hand on what the store answered: STATE_GOT, STATE_SAVED, STATE_STALE or STATE_FAILED.  Not within a step. */
void states_answer(struct states *s, const struct state_answer *a);

/* Once a turn, not within a step: what found no room at the store tries again.  true: some of it still finds none. */
bool states_turn(struct states *s);

/* The connection is no more, or says hello: what it was sending is dropped, and what it waits for goes nowhere. */
void states_gone(struct states *s, uint64_t conn);

void states_free(struct states *s);

#endif
