/* flood.h - connectors that push as fast as they can towards queues with thresholds, and what then is in the queues.
 *
 * A broker with its management API serves many floods, one after the other, each with new queues and a new gateway.
 * Every queue has a tripwire: it refuses what would bring it more than one bundle above its highest threshold.
 * What fails ends the test.  Thread: the main thread only. */
#ifndef FLOOD_H
#define FLOOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "taker.h"
#include "truth.h"

struct load;
struct sluiced;
struct world;

enum { FLOOD_MOST = 8 /* connectors, and queues */ };

struct flood_plan {
    uint32_t connectors;
    bool one_queue;                      /* else each has its own */
    double threshold_mb[FLOOD_MOST];     /* of each connector; 0: as the first */
    uint32_t weight[FLOOD_MOST];         /* 0: 1 */
    size_t bundle;                       /* bytes of each */
    int stats_ms;                        /* the broker's collect_statistics_interval */
    const char *telemetry;               /* keys of telemetry, beside source and url */
    const char *admission;               /* NULL: none */
    struct taker_plan taker[FLOOD_MOST]; /* of each queue; neither rate nor prefetch: nobody */
    const char *queue_more;              /* more keys of each connector; NULL: none */
    int telemetry_port;                  /* 0: the broker's own */
    bool no_wire;                        /* nothing to trip over: it is known to be overrun */
};

struct flood {
    struct world *world; /* borrowed */
    struct sluiced *gateway;
    struct load *loads[FLOOD_MOST];
    struct taker *takers[FLOOD_MOST];
    struct flood_plan plan;
    uint32_t n_queues;
    char queues[FLOOD_MOST][TRUTH_NAME_CAP];
    uint64_t limit[FLOOD_MOST]; /* of each queue: its highest threshold, bytes */
};

/* A broker for all floods, with this collect_statistics_interval.  Below 5 s the management plugin collects each
 * second, and not each 5 s as it does unless told otherwise: so a figure is flood_lag_ms old at most. */
struct world *flood_world(int stats_ms);
int flood_lag_ms(int stats_ms);

/* Declare queues, start the gateway and the watch over the queues.  Nobody pushes yet. */
struct flood *flood_new(struct world *w, const struct flood_plan *plan);

/* All connectors push from here on; takers take. */
void flood_begin(struct flood *f);
void flood_push(struct flood *f, uint32_t connector);
void flood_take(struct flood *f);
void flood_take_no_more(struct flood *f);

/* Bytes in a queue, and the most that ever were. */
struct truth flood_truth(const struct flood *f, uint32_t queue);

/* Wait until every queue held this part of its threshold.  Returns the milliseconds since the first bundle was in
 * one, or -1 after limit_ms. */
int64_t flood_reaches(const struct flood *f, double part, int64_t limit_ms);

/* Bundles of a connector that were acknowledged. */
uint64_t flood_acked(const struct flood *f, uint32_t connector);

/* What came of it, so far. */
struct flood_figures {
    double most[FLOOD_MOST];  /* of each queue: the most it held, as part of its threshold */
    double above[FLOOD_MOST]; /* ... and how many bundles that was above its threshold */
    int refused;              /* by the broker */
};
void flood_figures(const struct flood *f, struct flood_figures *ret);

/* No queue ever held more than its threshold and one bundle, the broker refused nothing, and each decision in the
 * journal comes out the same again.  Says the figures. */
void flood_kept_its_promise(const struct flood *f);

/* Every decision in the journal comes out the same again. */
void flood_replays(const struct flood *f);

void flood_free(struct flood *f);

#endif
