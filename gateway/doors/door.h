/* door.h - the ZeroMQ way in: a ROUTER socket, and nothing of what messages mean.
 *
 * A connection is known by a number that is never used twice (low 32 bits: a small index, reused; high: which
 * use of it); routing ids stay inside.  Sends never
 * wait: what a peer's full pipe does not take is dropped and counted, since the protocol repeats its truth.
 * Thread: the loop only. */
#ifndef DOOR_H
#define DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunk;
struct door;
struct err;

struct door_config {
    const char *endpoint; /* tcp://address:port (port 0 or *: any free one) or ipc://path */
    int         backlog, rcvhwm;
    size_t      max_frame; /* a larger frame ends the connection before it is read */
};

/* One message that came in.  Lent until the next door_receive; door_take moves the second frame out. */
struct door_message {
    uint64_t    conn;
    const void *header;
    size_t      header_len;
    const void *body;     /* NULL where there is no second frame */
    size_t      body_len;
    unsigned    frames;   /* after the routing id: 1 or 2 are well-formed; header is NULL with 0 */
};

struct door_counts {
    uint64_t received, sent, dropped /* full pipe */, gone /* sent to who has left */, cut, malformed;
};

/* Bind.  ERR_CONFIG: endpoint (in use, not an address of this machine); ERR_IO. */
struct door *door_open(const struct door_config *config, struct err *err);

/* Where it listens, port resolved. */
const char *door_endpoint(const struct door *d);

/* The next message, without waiting.  1: *ret is filled; 0: none; -1: *err. */
int door_receive(struct door *d, struct door_message *ret, struct err *err);

/* Move the second frame of the message just received into *to, which then owns it. */
void door_take(struct door *d, struct chunk *to);

/* Send one message of one or two frames (body NULL: one).  false: dropped (its pipe is full). *gone is set
 * when the connection is no more. */
bool door_send(struct door *d, uint64_t conn, const void *header, size_t len, const void *body, size_t body_len,
               bool *gone);

/* End the connection that the message just received came from, at the socket, in DOOR_CUT_US: so long, what was
 * just sent to it has time to leave.  A message that is all routing id is not handed out at all. */
enum { DOOR_CUT_US = 100000 };
void door_cut(struct door *d, int64_t now_us);

/* Do the cuts that are due.  Returns when the next one is, INT64_MAX for none. */
int64_t door_reap(struct door *d, int64_t now_us);

/* Forget a connection: its number is of no more use. */
void door_forget(struct door *d, uint64_t conn);

/* For poll: edge-triggered, so receive until 0 before waiting on it. */
int door_fd(const struct door *d);

/* Is there something to receive?  Must be asked before waiting on the descriptor. */
bool door_ready(struct door *d);

void door_counts(const struct door *d, struct door_counts *ret);

/* Close with a linger of at most 1 s.  NULL does nothing. */
void door_close(struct door *d);

#endif
