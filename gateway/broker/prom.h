/* prom.h - the text of RabbitMQ's Prometheus endpoint, line by line as it arrives.
 *
 *     rabbitmq_detailed_queue_messages_bytes{vhost="/",queue="push"} 1234
 *
 * RabbitMQ 3.10 writes names as they are, without escapes.  So a line is taken apart from its end, and its labels are
 * compared as one text: a queue whose name imitates another's line cannot be taken for it.
 * Bound: PROM_LINE bytes of a line; a longer one is left out.  Pure; one thread. */
#ifndef PROM_H
#define PROM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum { PROM_LINE = 2048 };

/* One sample, lent for the call: labels without their braces, "" where there are none; value as it stands there.
 * Neither ends in NUL. */
struct prom_sample {
    const char *name, *labels, *value;
    size_t      name_len, labels_len, value_len;
};

typedef void prom_fn(void *ctx, const struct prom_sample *sample);

struct prom {
    prom_fn *sample;
    void    *ctx;
    bool     skip; /* the rest of a line that was too long */
    size_t   len;
    char     line[PROM_LINE];
};

void prom_begin(struct prom *p, prom_fn *sample, void *ctx);

/* More of it.  -1 (ERR_PROTO): a line is none of this format. */
int prom_feed(struct prom *p, const char *data, size_t n, struct err *err);

/* That was all: -1 where the last line is not whole. */
int prom_end(const struct prom *p, struct err *err);

/* Is the sample's name this? */
bool prom_is(const struct prom_sample *s, const char *name);

/* Its value, where it is a whole number of at least 0 and below 2^63. */
bool prom_number(const struct prom_sample *s, uint64_t *ret);

/* Its value times 10^6, rounded down, where it is a decimal number of at least 0 and that fits ("229.307", "1.2e7"). */
bool prom_micro(const struct prom_sample *s, int64_t *ret);

#endif
