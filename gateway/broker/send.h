/* send.h - one message after the other onto a link, as frames, from the chunks they came in.
 *
 * Without TLS, frames are made here with the library's encoders and many messages are written at once: the library's
 * amqp_basic_publish makes three system calls of each message.  Measured on loopback, 1 KiB, window 200: 4.5 us of
 * processor time a message with it, 3.2 us with it and TCP_CORK, 1.4 us this way.  With TLS only the library can
 * write; there, TCP_CORK joins the small records.
 *
 * A message may rest half-sent, but only between frames: then the library may be called, which writes heartbeats.
 * Bound: SEND_FULL bytes and one frame are gathered.  Thread: the publisher's only. */
#ifndef SEND_H
#define SEND_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct link;
struct pub_message;
struct sender;

enum { SEND_FULL = 128 * 1024 };

struct sender *sender_new(struct err *err);

/* Begin a message (its body is borrowed until it is sent whole, or sender_drop): its method and header.
 * -1: the link is of no more use. */
int sender_begin(struct sender *s, struct link *l, const struct pub_message *message, struct err *err);

/* One more frame of the message that is begun. */
int sender_more(struct sender *s, struct link *l, struct err *err);

/* Is a message begun and not ended? */
bool sender_open(const struct sender *s);

/* Has enough been gathered to write it? */
bool sender_full(const struct sender *s);

/* Write what was gathered; may wait for room in the kernel, watched by the watchdog. */
int sender_flush(struct sender *s, struct link *l, struct err *err);

/* The channel or the link is gone: forget the message that is begun, and what was gathered. */
void sender_drop(struct sender *s);

/* NULL does nothing. */
void sender_free(struct sender *s);

#endif
