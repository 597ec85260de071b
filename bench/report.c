#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

struct figure {
    char which[40], metric[40], unit[16];
    double value, least, most;
    size_t rounds;
};

struct report {
    char bench[40];
    size_t n;
    struct figure figures[REPORT_MAX];
};

struct report *
report_new(const char *bench)
{
    struct report *r = calloc(1, sizeof(*r));
    if (r == NULL)
        abort();
    (void)snprintf(r->bench, sizeof(r->bench), "%s", bench);
    return r;
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sort the first n values into to. */
static size_t
sorted(double to[REPORT_ROUNDS_MAX], const double *values, size_t n)
{
    n = n < REPORT_ROUNDS_MAX ? n : REPORT_ROUNDS_MAX;
    memcpy(to, values, n * sizeof(*to));
    qsort(to, n, sizeof(*to), by_value);
    return n;
}

double
report_median(const double *values, size_t n)
{
    double s[REPORT_ROUNDS_MAX];
    n = sorted(s, values, n);
    return n == 0 ? 0 : (s[(n - 1) / 2] + s[n / 2]) / 2;
}

double
report_scatter(const double *values, size_t n)
{
    double away[REPORT_ROUNDS_MAX];
    const double middle = report_median(values, n);
    n = n < REPORT_ROUNDS_MAX ? n : REPORT_ROUNDS_MAX;
    for (size_t i = 0; i < n; i++)
        away[i] = fabs(values[i] - middle);
    return report_median(away, n);
}

void
report_add(struct report *r, const char *which, const char *metric, const double *values, size_t n, const char *unit)
{
    double s[REPORT_ROUNDS_MAX];
    n = sorted(s, values, n);
    if (n == 0 || r->n == REPORT_MAX)
        return;
    struct figure *f = &r->figures[r->n++];
    (void)snprintf(f->which, sizeof(f->which), "%s", which);
    (void)snprintf(f->metric, sizeof(f->metric), "%s", metric);
    (void)snprintf(f->unit, sizeof(f->unit), "%s", unit);
    f->value = report_median(values, n);
    f->least = s[0];
    f->most = s[n - 1];
    f->rounds = n;
}

void
report_print(const struct report *r)
{
    printf("%-18s %-22s %12s %12s %12s  %-10s %s\n", "case", "metric", "median", "min", "max", "unit", "rounds");
    for (size_t i = 0; i < r->n; i++) {
        const struct figure *f = &r->figures[i];
        printf("%-18s %-22s %12.3f %12.3f %12.3f  %-10s %zu\n", f->which, f->metric, f->value, f->least, f->most,
               f->unit, f->rounds);
    }
}

int
report_write(const struct report *r, const char *path, struct err *err)
{
    FILE *f = fopen(path, "we");
    if (f == NULL)
        return err_set(err, ERR_IO, errno, "open %s", path);
    for (size_t i = 0; i < r->n; i++) {
        const struct figure *g = &r->figures[i];
        fprintf(f,
                "{\"bench\":\"%s\",\"case\":\"%s\",\"metric\":\"%s\",\"value\":%.6g,\"min\":%.6g,\"max\":%.6g,"
                "\"unit\":\"%s\",\"rounds\":%zu}\n",
                r->bench, g->which, g->metric, g->value, g->least, g->most, g->unit, g->rounds);
    }
    return fclose(f) == 0 ? 0 : err_set(err, ERR_IO, errno, "write %s", path);
}

void
report_free(struct report *r)
{
    free(r);
}
