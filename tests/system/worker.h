/* worker.h - somebody who reads a queue as OpenCTI's workers do: one message at a time, base64 and JSON undone, and
 * acknowledged once it was looked at.
 *
 * What a message is made of is checked here, the same for each: exactly the properties that such messages have, and
 * content that is one bundle.  What fails ends the test.  Thread: the main thread only. */
#ifndef WORKER_H
#define WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* One message; lent for the call. */
struct work {
    json_t *envelope;
    const char *content; /* decoded, content_len bytes */
    size_t content_len;
    json_t *bundle;      /* the same, parsed */
    json_t *object;      /* the first object in it */
    char exchange[256], routing_key[256], message_id[192], connector[80];
    int64_t epoch, seq;
    int64_t part, parts; /* both 0: the bundle makes one message */
};

typedef void worker_take(void *ctx, const struct work *w);

/* Take messages until n came, or none for idle_ms; take may be NULL.  Returns how many. */
uint64_t worker_drain(int port, const char *queue, uint64_t n, int idle_ms, worker_take *take, void *ctx);

/* Declare a queue as the platform does, for a connector of this name: durable, with the arguments name, config and
 * x-queue-type.  With an exchange, bind it there. */
void worker_platform_declares(int port, const char *queue, const char *name, const char *exchange, const char *key);

#endif
