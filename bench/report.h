/* report.h - figures of a bench: medians with their spread, as a table for people and JSON lines for machines.
 *
 * Bound: REPORT_MAX figures; nothing is written to the file before report_write. */
#ifndef REPORT_H
#define REPORT_H

#include <stddef.h>

struct err;
struct report;

enum { REPORT_MAX = 128,
       REPORT_ROUNDS_MAX = 64 };

struct report *report_new(const char *bench);

/* The median of n values (at most REPORT_ROUNDS_MAX), with the least and the greatest. */
void report_add(struct report *r, const char *which, const char *metric, const double *values, size_t n,
                const char *unit);

double report_median(const double *values, size_t n);

/* How far they lie from their median: the median of the distances. */
double report_scatter(const double *values, size_t n);

/* The table, on stdout. */
void report_print(const struct report *r);

/* Replace the file by one line of JSON for each figure: bench, case, metric, value, min, max, unit, rounds. */
int report_write(const struct report *r, const char *path, struct err *err);

void report_free(struct report *r);

#endif
