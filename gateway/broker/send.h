/* send.h - one message after the other onto a link, as frames, from the chunks they came in, or made for it.
 *
 * Without TLS, frames are made here with the library's encoders and many messages are written at once: the library's
 * amqp_basic_publish makes three system calls of each message.  Measured on loopback, 1 KiB, window 200: 4.5 us of
 * processor time a message with it, 3.2 us with it and TCP_CORK, 1.4 us this way.  With TLS only the library can
 * write; there, TCP_CORK joins the small records.
 *
 * A message may rest half-sent, but only between frames: then the library may be called, which writes heartbeats.
 * What is a part of a bundle is made only when its turn comes: a small one where it is gathered, a larger one in memory
 * of its own, which is freed when it is written.
 * Bound: SEND_FULL bytes and one frame are gathered; of what was made, SEND_FULL bytes and one message are kept.
 * Thread: the publisher's only. */
#ifndef SEND_H
#define SEND_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct link;
struct sender;
struct window_item;

enum { SEND_FULL = 128 * 1024 };

struct sender *sender_new(struct err *err);

/* Before sender_begin of the same: make it, if it is a part that does not go into a frame that is copied.
 * false: no memory; nothing has moved. */
bool sender_make(struct sender *s, const struct link *l, const struct window_item *item);

/* Begin a message (its body is borrowed until it is sent whole, or sender_drop; parts only for the call): its method
 * and header, and of a small part its body.  -1: the link is of no more use. */
int sender_begin(struct sender *s, struct link *l, const struct window_item *item, struct err *err);

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
