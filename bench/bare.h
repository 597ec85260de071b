/* bare.h - a process of one thread: ROUTER to confirmed publish, and a reply.  Nothing else: the yardstick. */
#ifndef BARE_H
#define BARE_H

#include <stdint.h>

struct bare;
struct err;

struct bare *bare_start(const char *endpoint, int amqp_port, const char *queue, struct err *err);

/* User and system time of its process so far. */
int64_t bare_cpu_us(const struct bare *b);

/* End it.  -1: it had failed, and *err says of what. */
int bare_stop(struct bare *b, struct err *err);

#endif
