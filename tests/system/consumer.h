/* consumer.h - takes messages out of a queue, as a customer of RabbitMQ would.
 *
 * Thread: each consumer belongs to one. */
#ifndef CONSUMER_H
#define CONSUMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct consumer;
struct err;

/* A message that came out; lent for the call. */
struct consumed {
    const void *body;
    size_t len;
    char message_id[192], connector[80], content_type[160];
    int64_t epoch, seq;
    bool persistent, redelivered;
};

typedef void consumer_take(void *ctx, const struct consumed *message);

/* Connect as guest.  ERR_IO. */
struct consumer *consumer_open(int port, struct err *err);

/* Take and acknowledge until n came, or the queue is empty: it is asked when nothing came for idle_ms.  take may be
 * NULL.  Returns how many, -1: *err. */
int64_t consumer_drain(struct consumer *c, const char *queue, uint64_t n, int idle_ms, consumer_take *take, void *ctx,
                       struct err *err);

/* Declare a queue with RabbitMQ's own words: durable or not; limit above 0: x-max-length with reject-publish. */
int consumer_declare(struct consumer *c, const char *queue, bool durable, int limit, struct err *err);

/* Ready messages in it, -1 if it is not there (which closes nothing that matters). */
int64_t consumer_ready(struct consumer *c, const char *queue, struct err *err);

int consumer_purge(struct consumer *c, const char *queue, struct err *err);
int consumer_delete(struct consumer *c, const char *queue, struct err *err);

void consumer_close(struct consumer *c);

#endif
