/* operators.h - the socket of operators: requests and answers of one line of JSON each (docs/operators.md).
 *
 * A unix stream socket that only its owner can open, and whoever opens it must be root or us: connectors cannot.  It
 * never waits: connections are looked at when they are readable, and long answers are made piece by piece.
 * Bounds: OPERATORS_MAX connections, lines of at most OPERATORS_LINE_MAX bytes, OPERATORS_IDLE_US without a whole
 * request or without progress of an answer.  Thread: the loop only. */
#ifndef OPERATORS_H
#define OPERATORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/core.h"

struct dead;
struct err;
struct log;
struct operators;

enum { OPERATORS_MAX = 16, OPERATORS_LINE_MAX = 4096, OPERATORS_IDLE_US = 5000000, OPERATORS_WARNINGS = 2 };

enum operators_what { OPERATORS_ACT, OPERATORS_REPLAY, OPERATORS_DROP };

/* Something to be done, and for whom. */
struct operators_act {
    enum operators_what what;
    enum core_action action;    /* of OPERATORS_ACT */
    uint64_t         pos;       /* of the dead letter that is to be replayed or dropped; it is there */
    const char      *name;      /* of the action, as in requests */
    const char      *connector; /* known to the core; NULL with CORE_DRAIN_ON and _OFF */
    uid_t            uid;
    pid_t            pid;
    uint64_t         ticket;    /* with CORE_RESET_STATE and OPERATORS_REPLAY: operators_done follows, unless it is
                                   refused */
};

struct operators_hands {
    /* Do it.  NULL: done, or under way (see ticket); else why not, in words that last until the next call. */
    const char *(*act)(void *ctx, const struct operators_act *a);
    /* What people should know of the gateway as a whole: fills ret, returns how many.  Texts last for this turn. */
    size_t (*warnings)(void *ctx, const char *ret[OPERATORS_WARNINGS]);
    const struct dead *dead; /* dead letters, borrowed */
    void        *ctx;
};

/* Open the socket at path; a file that a gateway of ours left there is removed, if nobody listens on it.  Borrows core
 * and log.  ERR_CONFIG: something else is there, somebody listens, or the folder is not ours; ERR_IO. */
struct operators *operators_open(const char *path, struct core *core, const struct operators_hands *hands,
                                 struct log *log, struct err *err);

/* Readable when operators_turn has something to do; for poll. */
int operators_fd(const struct operators *o);

/* When operators_turn must come at the latest; INT64_MAX: no timer runs. */
int64_t operators_due(const struct operators *o);

/* Take requests and go on with answers: at most one piece for each connection. */
void operators_turn(struct operators *o, int64_t now_us);

/* What this ticket is of is on the disk: a state, empty, with this version, or a dead letter among the living (version
 * 0); or the disk failed, and text says how. */
void operators_done(struct operators *o, uint64_t ticket, bool ok, uint64_t version, const char *text);

/* End connections, remove the socket, free.  NULL does nothing. */
void operators_close(struct operators *o);

#endif
