/* figures.h - what a row of the management API says, strictly.
 *
 * JSON with a duplicate key, NaN or anything else that JSON has not is of no use whole (-1).  A figure that is missing,
 * negative, no whole number or beyond 2^63 is unknown alone.  No I/O; any thread. */
#ifndef FIGURES_H
#define FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "telemetry.h"

struct err;

enum { FIGURES_NAME = 256, FIGURES_WORD = 64 }; /* AMQP's names have at most 255 bytes */

/* Which queue a row is about, and what it says. */
struct figures_queue {
    char vhost[FIGURES_NAME], name[FIGURES_NAME];
    struct telemetry_queue q; /* prefetch only where the row lists its consumers */
};

struct figures_consumer {
    char     vhost[FIGURES_NAME], name[FIGURES_NAME];
    bool     finite;
    uint64_t prefetch; /* of a finite one */
};

struct figures_node {
    char     name[FIGURES_NAME], pid[FIGURES_WORD];
    unsigned known;    /* enum telemetry_broker_known */
    bool     running, memory_alarm, disk_alarm;
    uint64_t memory_used, memory_limit, disk_free, disk_limit;
    int64_t  uptime_us;
};

struct figures_page {
    uint64_t page, pages;
};

struct figures_overview {
    char version[FIGURES_WORD], rates_mode[FIGURES_WORD]; /* "" unknown */
    bool no_stats; /* the broker says that it collects none */
};

/* 0: it is about a queue (some of whose figures may be unknown). */
int figures_queue(const char *at, size_t len, struct figures_queue *ret, struct err *err);
int figures_consumer(const char *at, size_t len, struct figures_consumer *ret, struct err *err);
int figures_node(const char *at, size_t len, struct figures_node *ret, struct err *err);
int figures_page(const char *at, size_t len, struct figures_page *ret, struct err *err);
int figures_overview(const char *at, size_t len, struct figures_overview *ret, struct err *err);

/* The body of a health check of alarms that failed: which ones.  -1: it names none. */
int figures_alarms(const char *at, size_t len, bool *ret_memory, bool *ret_disk, struct err *err);

/* The body of one that did not fail. */
int figures_healthy(const char *at, size_t len, struct err *err);

/* Does the broker itself say that there is no such thing?  (And not some other server that was found at the URL.) */
bool figures_not_found(const char *at, size_t len);

#endif
