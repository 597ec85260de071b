/* broker_model.h - a queue of RabbitMQ as a gauge may meet it: what only the model knows, and what the gauge is shown.
 *
 * Statistics go through two layers, each on its own beat: a queue tells its numbers every `beat_us[0]`, and what was
 * told is shown every `beat_us[1]`.  Consumers take from the head, up to their prefetch; what comes back is delivered
 * again before anything new. */
#ifndef BROKER_MODEL_H
#define BROKER_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "chance.h"

enum { MODEL_CONSUMERS = 4, MODEL_UNBOUNDED = 1 << 30 };

enum message_state { MESSAGE_READY, MESSAGE_UNACKED, MESSAGE_GONE };

struct message {
    uint64_t bytes;
    bool     ours;
    uint8_t  owner; /* of an unacked one */
    enum message_state state;
};

struct numbers {
    bool     there; /* false: the fields are missing */
    uint64_t bytes, messages, unacked, work;
    uint32_t seen;  /* messages that had come by then */
};

struct consumer {
    bool     here;
    uint32_t prefetch, held;
    double   rate, owed;     /* bytes a second; bytes that it may still take */
    int64_t  on_us, off_us;  /* works in bursts; off_us 0: always */
    bool     holds;          /* never acks */
};

struct model {
    struct chance chance;
    struct message *messages; /* in order of arrival */
    uint32_t n, cap, head, frontier;
    uint64_t bytes, ours, ready, unacked;
    uint64_t work;            /* another number after each thing that happened to the queue */
    bool     fifo;            /* false: any message may be next, and any may be dropped */
    struct consumer consumers[MODEL_CONSUMERS];
    int64_t  beat_us[2], next_us[2];
    struct numbers told, shown;
    bool     dead;            /* statistics do not move any more */
    double   idle_s, busy_s;  /* consumers that could work, and had nothing, or something, to take */
};

void model_open(struct model *m, uint64_t seed);
void model_close(struct model *m);
void model_arrive(struct model *m, uint64_t bytes, bool ours);
void model_step(struct model *m, int64_t now_us, int64_t step_us);
void model_purge(struct model *m);
void model_leave(struct model *m, uint32_t consumer);
void model_restart(struct model *m);
uint64_t model_unacked_max(const struct model *m); /* MODEL_UNBOUNDED or more: unbounded */
uint64_t model_consumers(const struct model *m);
/* Bytes of others among the first `seen` messages. */
uint64_t model_others(const struct model *m, uint32_t seen);

#endif
