/* counts.h - how many messages are ready in a queue, asked over an AMQP connection of its own.
 *
 * A passive queue.declare is answered at once and with what is true then, but with ready messages alone.  It is asked
 * on request; the asker sees to it that no queue is asked for more often than it should be, and this thread that they
 * are not too many a second in all.  It publishes nothing, so the broker does not block it under an alarm.
 *
 * Each question gets exactly one result, in order: also where there is no connection, and then at once.
 * Bound: COUNTS_MAX questions without a result. */
#ifndef COUNTS_H
#define COUNTS_H

#include <stddef.h>
#include <stdint.h>

struct counts;
struct err;
struct log;
struct mailbox;
struct pub_config;

enum {
    COUNTS_MAX = 16384,
    COUNTS_PER_S = 500 /* at most; one takes RabbitMQ 3.10 about 0.1 ms of a core, and some ms to answer */
};

enum count_kind {
    COUNT_UP,    /* connected */
    COUNT_DOWN,  /* not (any more) (text: why); said once */
    COUNT_READY, /* the result: ready, consumers */
    COUNT_GONE,  /* the result: there is no such queue */
    COUNT_FAILED /* the result: nothing is known (text: why) */
};

/* What is posted.  text is allocated with malloc, and owned by who takes the event; NULL for none. */
struct count_event {
    enum count_kind kind;
    uint32_t queue;                /* as asked */
    uint32_t ready, consumers;
    int64_t  asked_us, answered_us; /* mono; the count is of a moment between them */
    char    *text;
};

/* A question. */
struct count_ask {
    uint32_t    queue; /* the asker's own number */
    const char *name;  /* copied; 1 to 255 bytes */
};

/* Start the thread (all signals blocked in it).  Of config: hosts, vhost, user, password, TLS, name, heartbeat_us,
 * hung_us, retry_*_us, seed; borrowed until counts_free, as is all else.  Events (of struct count_event) go to
 * `events`.  per_s: questions a second at most (0: COUNTS_PER_S).  Returns new counts, or NULL with *err filled. */
struct counts *counts_start(const struct pub_config *config, uint32_t per_s, struct mailbox *events, struct log *log,
                            struct err *err);

/* Ask for n queues.  -1 (ERR_FULL: too many are open; ERR_NOMEM; ERR_CONFIG: a name): none is asked for. */
int counts_ask(struct counts *c, const struct count_ask *asks, size_t n, struct err *err);

/* Close the connection in at most timeout_us, end the thread, free.  What was not answered stays so.  NULL does
 * nothing.
 * Only a TLS handshake that is under way cannot be interrupted: it may take hung_us or 5 s, whichever is less. */
void counts_free(struct counts *c, int64_t timeout_us);

#endif
