/* duration.h - periods of time as people write them.
 *
 * duration_parse accepts and refuses exactly what OpenCTI's connectors accept and refuse (pydantic's
 * timedelta; table in docs/durations.md).  What a schedule then allows is decided elsewhere.
 * Pure; any thread. */
#ifndef DURATION_H
#define DURATION_H

#include <stdint.h>

struct err;

struct duration {
    int64_t s;  /* whole seconds, towards zero */
    int32_t us; /* the rest in microseconds, same sign as the whole */
};

/* Read an ISO 8601 duration ("P1DT2H", "-PT5M"), clock form ("05:00:00") or day form ("1 day, 02:00").
 * The bare "0" is a duration too: zero.
 * ERR_CONFIG: the text says what was given, what is wrong with it and what to write instead. */
int duration_parse(const char *text, struct duration *ret, struct err *err);

/* Read the short form of keys that are not schedules: digits and a unit (us, ms, s, m, h, d), such as
 * "30s" or "250ms", or an ISO 8601 duration.  Never negative, at most 10 years.
 * ERR_CONFIG as above. */
int duration_parse_short(const char *text, int64_t *ret_us, struct err *err);

#endif
