/* pace.h - when the next bundle is due, at so many bundles or bytes a second.
 *
 * Open loop: the times follow from the rate alone, not from when earlier bundles got through.  A delay is made up
 * for as fast as it goes, and is not hidden from whoever measures.  Pure. */
#ifndef PACE_H
#define PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct pace {
    double  per_s;     /* 0: as fast as it goes */
    bool    bytes;     /* of bytes, not bundles */
    double  done;      /* bundles or bytes that were due so far */
    int64_t start_us;
    int64_t late_us;   /* the longest that a bundle went after it was due */
};

/* Read "100/s" or "10MB/s".  ERR_CONFIG: what to write. */
int pace_parse(const char *text, struct pace *ret, struct err *err);

/* When the next bundle is due; start_us where there is no rate. */
int64_t pace_due(const struct pace *p);

/* A bundle of len bytes, due at pace_due, went at now. */
void pace_gone(struct pace *p, size_t len, int64_t now_us);

#endif
