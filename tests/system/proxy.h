/* proxy.h - a TCP proxy that misbehaves on request, between a connector and the gateway or the gateway and the broker.
 *
 * A thread of its own passes bytes both ways.  Faults are set by any thread, and count at once: for the
 * connections there are, and for those to come.
 * Bound: 128 connections at a time, 64 KiB under way in each direction; more connections wait in the backlog. */
#ifndef PROXY_H
#define PROXY_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct proxy;

enum proxy_way { PROXY_UP,
                 PROXY_DOWN }; /* from who connects to who listens; and back */

/* What befalls one direction; zero is no fault. */
struct proxy_fault {
    bool cut; /* end the connection when `after` bytes went this way */
    uint64_t after;
    uint64_t step;    /* each next connection is cut this many bytes later ... */
    uint64_t cuts;    /* ... and only so many are; 0: all */
    bool reset;       /* by RST, else by FIN */
    bool stall;       /* take no more bytes this way: a black hole */
    int64_t delay_us; /* each byte this much later */
    uint64_t rate;    /* bytes a second at most; 0: no limit */
    bool garbage;     /* replace what comes by noise */
};

/* Listen on a free loopback port; connections go on to 127.0.0.1:port. */
struct proxy *proxy_start(int port, struct err *err);

int proxy_port(const struct proxy *p);

/* Set the fault of one direction (NULL: none).  Cuts count connections from here on: how many were cut is reset. */
void proxy_set(struct proxy *p, enum proxy_way way, const struct proxy_fault *fault);

/* End all connections that there are now. */
void proxy_cut_all(struct proxy *p, bool reset);

/* How many connections came in; how many were cut by the present faults; bytes that went this way in all. */
uint64_t proxy_accepted(struct proxy *p);
uint64_t proxy_cuts(struct proxy *p);
uint64_t proxy_bytes(struct proxy *p, enum proxy_way way);

void proxy_stop(struct proxy *p);

#endif
