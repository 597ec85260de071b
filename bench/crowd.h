/* crowd.h - a process of many peers that are connected, have asked for a run, and wait: what others ask among.
 *
 * They speak ZMTP on plain sockets: a DEALER of libzmq takes two descriptors and tens of KiB, so that ten thousand of
 * them would weigh more than what is measured.  To the other end they are DEALERs. */
#ifndef CROWD_H
#define CROWD_H

#include <stdint.h>

struct crowd;
struct err;

enum crowd_at { CROWD_AT_SLUICED,
                CROWD_AT_ECHO };

enum { CROWD_PING_MS = 40 * 1000 };

/* Connect n peers to the loopback port, and return when each of them waits: at sluiced for the time of its next run,
 * a day away, since its first is over; at an echo for nothing.  From then on each pings every CROWD_PING_MS, one after
 * the other and evenly.  n may be 0. */
struct crowd *crowd_start(enum crowd_at at, int port, uint32_t n, struct err *err);

/* Are all still there?  -1: *err says what happened. */
int crowd_check(const struct crowd *c, struct err *err);

/* End it.  NULL does nothing. */
void crowd_stop(struct crowd *c);

/* Raise the limit of open files of this process to what it may be. */
void crowd_files(void);

#endif
