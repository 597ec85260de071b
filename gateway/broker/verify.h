/* verify.h - will what is confirmed there still be there after a restart of the broker?
 *
 * Asks the broker about a target's exchange and queue, on a channel of its own.  Thread: the publisher's only. */
#ifndef VERIFY_H
#define VERIFY_H

#include <stdint.h>

struct err;
struct link;
struct log;
struct target;

/* Find out the state of a target (and declare what is missing, where it asks for that).  The log is told when it
 * changes.  -1: the link is of no more use, and nothing new is known. */
int verify_target(struct link *l, struct target *target, const char *vhost, struct log *log, int64_t now,
                  struct err *err);

#endif
