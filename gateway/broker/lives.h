/* lives.h - has a node of the broker begun anew since it was last heard of?
 *
 * Its process id says so, where it is told and has changed (in a container it may be the same each time); its uptime
 * says so where it went back, or does not reach back as far as it did.  An uptime is some seconds old when it is read,
 * never too great.  Bound: LIVES_MAX nodes, others are forgotten.  Pure; one thread. */
#ifndef LIVES_H
#define LIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LIVES_MAX = 64,
    LIVES_SLACK_US = 20000000 /* an uptime is never older than this: four times the broker's default interval */
};

struct life {
    uint64_t name;     /* its hash; 0: free */
    uint64_t pid;      /* likewise; 0: not told */
    int64_t  uptime_us;
    int64_t  began_us; /* mono: the earliest that an uptime spoke of */
};

struct lives {
    size_t      n;
    struct life all[LIVES_MAX];
};

/* A node named name was asked at mono asked_us.  pid "" is unknown.  Returns whether it began anew. */
bool lives_seen(struct lives *l, const char *name, const char *pid, int64_t uptime_us, int64_t asked_us);

#endif
