/* truth.h - what is in queues, by their own word: a process inside the broker asks them every 50 ms.
 *
 * The management API is seconds behind, and rabbitmqctl takes a second by itself; so it is used once, to start the
 * process, which leaves its newest figures in a file.  A broker that was restarted needs a new one.  Classic
 * queues only.  What fails ends the test.  Thread: the main thread only. */
#ifndef TRUTH_H
#define TRUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;

enum { TRUTH_QUEUES_MAX = 16,
       TRUTH_NAME_CAP = 64 };

/* Of a queue since the start: bytes and messages, ready and unacked together. */
struct truth {
    uint64_t bytes, most; /* now, and at most */
    uint64_t messages, unacked;
    uint64_t samples; /* how often it was asked; none while it is busy or gone */
    uint64_t gap_ms;  /* the longest time between two */
};

/* Begin anew, with these queues of the vhost "/"; one that was started before ends. */
void truth_start(const struct world *w, const char *const *queues, size_t n);

/* false: no figure of it yet. */
bool truth_of(const struct world *w, const char *queue, struct truth *ret);

/* Declare a durable queue of the vhost "/" that refuses what would bring it above `most` ready bytes: a wire to trip
 * over. */
void truth_tripwire(const struct world *w, const char *queue, uint64_t most);

/* Have the broker evaluate an expression. */
void truth_eval(const struct world *w, const char *expression);

#endif
