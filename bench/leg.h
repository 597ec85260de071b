/* leg.h - one measurement: so many bundles go one way, and it took so long.
 *
 * Each leg runs in processes of its own, so that none warms up or fouls another, and the parent has no threads. */
#ifndef LEG_H
#define LEG_H

#include <stddef.h>
#include <stdint.h>

struct err;

struct leg {
    int amqp_port;
    const char *endpoint; /* of the gateway, or where the bare loop is to listen */
    const char *queue;
    uint32_t number; /* into the stamps */
    uint32_t connectors;
    uint64_t each; /* bundles of each connector */
    size_t size;
};

struct leg_result {
    double seconds; /* from go to the last answer */
    int64_t cpu_us; /* of the loop between (leg_bare only) */
};

/* Each connector publishes by itself: librabbitmq, confirms, the window of rabbit.h. */
int leg_direct(const struct leg *leg, struct leg_result *ret, struct err *err);

/* Each connector pushes with libsluice; the gateway at endpoint does the rest. */
int leg_sluice(const struct leg *leg, struct leg_result *ret, struct err *err);

/* Each connector pushes on a DEALER; one thread takes from a ROUTER, publishes with confirms, and replies.  What
 * a gateway without promises would be: no protocol, no credit, no state, no logs. */
int leg_bare(const struct leg *leg, struct leg_result *ret, struct err *err);

#endif
