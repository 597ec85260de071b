/* link.h - one AMQP connection: connecting, logging in, TLS, channels, frames in, and its end.
 *
 * Never used again after a failure: only closed, and a new one is opened.  Every call of the library is watched
 * by the watchdog.  Thread: the publisher's only. */
#ifndef LINK_H
#define LINK_H

#include <amqp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dialer;
struct err;
struct pub_config;
struct watchdog;

enum {
    LINK_PUBLISH = 1, /* the channel for publishing, with confirms */
    LINK_VERIFY = 2   /* the channel for looking at targets: what is refused there disturbs nobody */
};

struct link {
    amqp_connection_state_t conn; /* NULL: not connected */
    struct watchdog *dog;         /* borrowed */
    int              fd;          /* the library's; for poll, and for writing where there is no TLS */
    size_t           frame_max;   /* bytes of body in a frame, as agreed */
    int              heartbeat_s; /* as agreed; 0: none */
    bool             tls;
    bool             open[3];     /* which channels are */
};

/* Connect to the i-th host of config and log in, in a bounded time (LINK_CONNECT_US, twice). */
int link_open(struct link *l, const struct pub_config *config, size_t i, struct dialer *dialer, struct watchdog *dog,
              struct err *err);

/* Open a channel; LINK_PUBLISH with confirms, counting from 1. */
int link_channel(struct link *l, amqp_channel_t channel, struct err *err);

/* The broker closed a channel: answer, so that it can be opened again. */
int link_channel_closed(struct link *l, amqp_channel_t channel, struct err *err);

/* The next frame, if one is there: 1, 0, or -1: the connection is of no more use.  *frame is lent until link_rest. */
int link_read(struct link *l, amqp_frame_t *frame, struct err *err);

/* Is there something to read that poll does not see?  Then link_read, before sleeping: a question that was answered
 * meanwhile leaves other frames in the library. */
bool link_pending(const struct link *l);

/* All frames that were read are dealt with: give their memory back. */
void link_rest(struct link *l);

/* Body bytes and frames that the kernel has not handed over to the broker's host yet. */
size_t link_unsent(const struct link *l);

enum { LINK_WORDS = 256 };

/* The answer to the question that was just asked on a channel (under the watchdog): *ret_code is 0 where the broker
 * said yes, else its code, with its words, such as "NOT_FOUND - no queue 'x' in vhost '/'".  A refusal closes the
 * channel.  -1: the link is of no more use. */
int link_answer(struct link *l, amqp_channel_t channel, const char *what, int *ret_code, char words[LINK_WORDS],
                struct err *err);

/* Explain the reply of a call that failed: a text with the broker's words, or the library's. */
int link_refused(const char *what, const struct amqp_rpc_reply_t_ *reply, struct err *err);

/* Close it, politely if asked (in at most limit_us), and free it.  Returns whether the watchdog had cut it. */
bool link_close(struct link *l, bool polite, int64_t limit_us);

#endif
