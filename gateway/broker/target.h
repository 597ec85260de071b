/* target.h - what is known of the places that messages go to: good, or bad and why.
 *
 * Bound: one entry for each pub_target that was added, never removed before the end.
 * No sockets, no clock.  Thread: the publisher's only. */
#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct pub_target;

enum target_state {
    TARGET_UNKNOWN,
    TARGET_GOOD,
    TARGET_SETTLING, /* it will be good, and is looked at again, at settled_us */
    TARGET_BAD
};

struct target {
    const struct pub_target *def;  /* borrowed */
    enum target_state state;
    enum target_state told;        /* what the log was last told */
    bool              was_good;    /* once, so what is missing now was deleted */
    bool              noted;       /* the log was told what cannot be verified about it */
    int64_t           checked_us;  /* mono: when it was last looked at */
    int64_t           settled_us;  /* mono: a queue that was declared just before is safe from then on; 0: long since */
    char              text[512];   /* of a bad one: why, and what to do */
};

struct target_list;

/* Returns new targets, or NULL with *err filled. */
struct target_list *target_list_new(struct err *err);

/* The entry of def, made if missing.  NULL: no memory.  Lent until target_list_free. */
struct target *target_list_get(struct target_list *t, const struct pub_target *def, struct err *err);

/* Nothing is known of any (a new connection: the broker may be another, or have been changed). */
void target_list_forget(struct target_list *t);

/* The next one that is unknown, or NULL. */
struct target *target_list_unknown(struct target_list *t);

/* NULL does nothing. */
void target_list_free(struct target_list *t);

#endif
