/* wanted.h - the queues that telemetry asks for, found by vhost and name.
 *
 * Immutable once made.  Pure; any thread. */
#ifndef WANTED_H
#define WANTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct telemetry_target;

struct wanted_queue {
    uint32_t    queue; /* the caller's number */
    const char *vhost, *name;
    const char *labels; /* as RabbitMQ's Prometheus text has them; NULL: it cannot say this name without doubt */
};

struct wanted {
    size_t               n;
    struct wanted_queue *queues; /* those of a vhost stand together */
    size_t               slots;  /* a power of two, at most half of them used; 0 where n is */
    uint32_t            *by_name, *by_labels; /* index + 1; 0: free */
    char                *text;   /* what the names point into */
};

/* Copies all.  ERR_CONFIG: there are too many, one has no name or one of more than 255 bytes, or comes twice. */
struct wanted *wanted_new(const struct telemetry_target *targets, size_t n, struct err *err);

/* Its index, or -1. */
long wanted_find(const struct wanted *w, const char *vhost, const char *name);
long wanted_find_labels(const struct wanted *w, const char *labels, size_t len);

/* The end of the run of queues of one vhost that begins at `from`. */
size_t wanted_vhost_end(const struct wanted *w, size_t from);

/* NULL does nothing. */
void wanted_free(struct wanted *w);

#endif
