/* targets.h - every target that was ever configured, by a number that stays.
 *
 * Publishers borrow targets for as long as they run, and a reload may take one out of the configuration while
 * bundles for it are on their way: so this list only grows, by what is really new.
 * Bound: TARGETS_MAX different ones in one life of the gateway; a reload beyond that is refused. */
#ifndef TARGETS_H
#define TARGETS_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/publisher.h"

struct err;
struct settings_target;
struct targets;

enum { TARGETS_MAX = 40000 };

struct targets *targets_new(struct err *err);

/* The number of this target of the connector id (NULL: of any), a new one if it is new (copied).  -1: ERR_NOMEM,
 * ERR_FULL. */
int64_t targets_intern(struct targets *t, const struct settings_target *s, const char *id, struct err *err);

uint32_t targets_count(const struct targets *t);

/* What a format needs to know of a target. */
struct target_format {
    const char *applicant_id; /* "" for none */
    bool        skip_large;
};

/* Lent until targets_free. */
const struct target_format *targets_format(const struct targets *t, uint32_t number);
const struct pub_target *targets_at(const struct targets *t, uint32_t number);

void targets_free(struct targets *t);

#endif
