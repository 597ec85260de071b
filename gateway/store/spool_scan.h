/* spool_scan.h - all that can be believed in a segment, by its records alone.  Of the engine's files only. */
#ifndef SPOOL_SCAN_H
#define SPOOL_SCAN_H

#include "spool_parts.h"

struct scanned {
    uint64_t      at;
    struct record record;
    bool          whole; /* its sum is right; else only its header is */
};

struct scan {
    struct scanned *records; /* by place */
    size_t          n, cap;
    uint64_t        flushed; /* up to here it was on the disk, as its own records say */
};

/* Look through the file up to end.  After what is no record it goes on at the next that is; so it does after what
 * cannot be read, and *ret_unread is true. */
int scan_segment(struct spool_log *l, struct segment *s, uint64_t end, struct scan *ret, bool *ret_unread,
                 struct err *err);
void scan_free(struct scan *scan);

#endif
