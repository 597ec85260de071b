/* link.h - the connection to the gateway: one DEALER socket, and nothing of what messages mean.
 *
 * Only this file knows ZeroMQ.  Nothing here waits but link_wait.  One thread at a time, and the one that
 * opens it may hand it on.  Bound: the socket holds at most LINK_SEND_MAX messages of one chunk each on
 * their way out, and LINK_RECEIVE_MAX on their way in. */
#ifndef LINK_H
#define LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct err;
struct link;
struct session_output;

enum {
    LINK_SEND_MAX = 64,
    LINK_RECEIVE_MAX = 256,
    LINK_COPY_MAX = 2048 /* a body up to this size is cheaper to copy than to share (bench/client.c) */
};

/* Is this "tcp://host:port" or "ipc://path"?  -1 with ERR_CONFIG: what is wrong and what to write. */
int link_check(const char *endpoint, struct err *err);

/* Connect, which succeeds at once whether or not the gateway is there; wake_fd (borrowed) ends link_wait.  Returns
 * a new link, or NULL with *err filled (ERR_CONFIG: the endpoint; ERR_IO, ERR_NOMEM). */
struct link *link_open(const char *endpoint, int wake_fd, struct err *err);

/* Drop the connection and make a new one.  -1: that failed, *err says why; the link is down, call again later. */
int link_reopen(struct link *l, struct err *err);

/* Was the connection lost since this was asked last?  What was on its way is gone. */
bool link_lost(struct link *l);

/* Does something answer at the endpoint: is the transport connected? */
bool link_up(const struct link *l);

/* Can a message be sent now?  false: link_wait returns when that changes. */
bool link_can_send(struct link *l);

/* Send one message, after link_can_send.  A chunk of a bundle's body is shared or copied; nothing is lent
 * after the call.  It never fails: what the socket does not take yet is kept, and goes first. */
void link_send(struct link *l, const struct session_output *out);

/* The next message that is one of the protocol: lent until the next call.  false: there is none. */
bool link_receive(struct link *l, struct wire_msg *ret, const void **ret_body, size_t *ret_len);

/* Messages that were not of the protocol, and why the last one was not. */
uint64_t link_garbage(const struct link *l, const char **ret_why);

/* Wait until something comes in, a message can be sent (where one could not), wake_fd is written to, the
 * connection changes, or timeout_us is over (INT64_MAX: for ever). */
void link_wait(struct link *l, int64_t timeout_us);

/* Close, after at most linger_ms for what is on its way out.  NULL does nothing. */
void link_close(struct link *l, int linger_ms);

#endif
