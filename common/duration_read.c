/* duration_read.c - the grammar of durations, in integers only and without any locale.
 *
 * The grammar is that of pydantic 2 (its parser is speedate), whose oddities are part of what a connector's
 * configuration may hold: days and seconds are each added up in 32 unsigned bits, the clock form has at
 * least five characters, and what comes after "d" may follow it directly ("1d02:00"). */
#include "duration_read.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "duration.h"

enum {
    FRACTION_MAX = 18,      /* digits of a fraction that count: 10^18 fits 64 bits */
    MICROS_MAX = 6,         /* digits that the clock form may have after its point */
    CLOCK_MAX = 12,         /* characters after the hours that are looked at: "00:00.000000" */
    HOURS_MAX = 10,         /* digits in the hours of the clock form */
    DAYS_MAX = 999999999    /* what Python's timedelta holds */
};

#define DAY_S  INT64_C(86400)
#define DAY_US (DAY_S * 1000000)

__extension__ typedef unsigned __int128 wide;

/* What has been read of a duration; always positive. */
struct sum {
    uint32_t days, seconds;
    uint64_t us;
};

/* A number as written: whole, and fraction / scale. */
struct number {
    uint32_t whole;
    bool     has_fraction;
    uint64_t fraction;
    uint64_t scale; /* a power of ten */
};

struct unit {
    char     name;
    uint32_t many; /* days or seconds */
};

static const struct unit date_units[] = {{'Y', 365}, {'M', 30}, {'W', 7}, {'D', 1}, {0, 0}};
static const struct unit time_units[] = {{'H', 3600}, {'M', 60}, {'S', 1}, {0, 0}};

static const char too_large[] = "it is too large (at most 999999999 days, and 4294967295 seconds in its time part)";

/* Every reader returns NULL, or what is wrong; *at is moved over what was read. */

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *
read_number(const char **at, uint32_t *ret)
{
    uint32_t value = 0;

    if (!is_digit(**at))
        return "a digit is missing";
    for (; is_digit(**at); (*at)++) {
        if (__builtin_mul_overflow(value, 10U, &value)
            || __builtin_add_overflow(value, (uint32_t)(**at - '0'), &value))
            return too_large;
    }
    *ret = value;
    return NULL;
}

static const char *
read_fraction(const char **at, struct number *ret)
{
    *ret = (struct number){.scale = 1};
    const char *wrong = read_number(at, &ret->whole);

    if (wrong != NULL || (**at != '.' && **at != ','))
        return wrong;
    ret->has_fraction = true;
    (*at)++;
    for (int digits = 0; is_digit(**at); (*at)++, digits++) {
        if (digits < FRACTION_MAX) { /* later ones are far below a microsecond of a year */
            ret->fraction = ret->fraction * 10 + (uint64_t)(**at - '0');
            ret->scale *= 10;
        }
    }
    return NULL;
}

/* The fraction of a unit in microseconds, rounded to the nearest, halves up. */
static uint64_t
fraction_us(const struct number *n, uint64_t unit_us)
{
    return (uint64_t)(((wide)n->fraction * unit_us + n->scale / 2) / n->scale);
}

static const struct unit *
find_unit(const struct unit *units, char name)
{
    for (; units->name != 0; units++) {
        if (units->name == name)
            return units;
    }
    return NULL;
}

static const char *
add_part(struct sum *sum, const struct number *n, const struct unit *unit, bool is_time)
{
    uint32_t *to = is_time ? &sum->seconds : &sum->days;
    uint32_t many;

    if (__builtin_mul_overflow(n->whole, unit->many, &many) || __builtin_add_overflow(*to, many, to))
        return too_large;
    sum->us += fraction_us(n, unit->many * (is_time ? UINT64_C(1000000) : (uint64_t)DAY_US));
    return NULL;
}

/* ISO 8601 without its P: numbers with units, in any order, and a T before those of time. */
static const char *
read_iso(const char *at, struct sum *sum)
{
    bool in_time = false, done = false;

    if (at[0] == '\0' || (at[0] == 'T' && at[1] == '\0'))
        return "a number with a unit is missing";
    for (; *at != '\0'; at++) {
        struct number n;
        const char *wrong;

        if (*at == 'T') {
            if (in_time)
                return "T stands only once";
            in_time = true;
            continue;
        }
        if (*at == '-' || *at == '+')
            return "the sign stands before the P only";
        wrong = read_fraction(&at, &n);
        if (wrong != NULL)
            return wrong;
        if (done)
            return "only the last number may have a fraction";
        done = n.has_fraction;
        const struct unit *unit = find_unit(in_time ? time_units : date_units, *at);
        if (unit == NULL)
            return in_time ? "the units after T are H, M and S" : "the units before T are Y, M, W and D";
        wrong = add_part(sum, &n, unit, in_time);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

/* Two digits, at most 59. */
static const char *
read_sixty(const char **at, uint32_t *ret)
{
    if (!is_digit((*at)[0]) || !is_digit((*at)[1]))
        return "minutes and seconds have two digits";
    *ret = (uint32_t)((*at)[0] - '0') * 10 + (uint32_t)((*at)[1] - '0');
    *at += 2;
    return *ret > 59 ? "minutes and seconds are at most 59" : NULL;
}

/* A point and one to six digits. */
static const char *
read_micros(const char **at, uint64_t *ret)
{
    int digits = 0;

    for ((*at)++; is_digit(**at); (*at)++, digits++)
        *ret = *ret * 10 + (uint64_t)(**at - '0');
    if (digits == 0)
        return "a digit must follow the point";
    for (; digits < MICROS_MAX; digits++)
        *ret *= 10;
    return NULL;
}

/* Hours and the colon after them. */
static const char *
read_hours(const char **at, uint64_t *ret)
{
    const char *from = *at;

    *ret = 0;
    for (; is_digit(**at) && *at - from <= HOURS_MAX; (*at)++)
        *ret = *ret * 10 + (uint64_t)(**at - '0');
    if (*at - from > HOURS_MAX || *ret > UINT64_C(2400000000))
        return "it has too many hours";
    if (**at != ':')
        return "it is neither ISO 8601, nor hours:minutes:seconds, nor days";
    (*at)++;
    return NULL;
}

static const char clock_short[] = "hours:minutes has at least five characters";

/* "05:00:00", "100:00", "01:30:15.5". */
static const char *
read_clock(const char *at, struct sum *sum)
{
    char rest[CLOCK_MAX + 1] = "";
    uint64_t hours;
    uint32_t minutes = 0, seconds = 0;
    const char *wrong;

    if (strlen(at) < 5)
        return clock_short;
    wrong = read_hours(&at, &hours);
    if (wrong != NULL)
        return wrong;
    /* What follows the microseconds is not looked at, be it a seventh digit or a "Z": so it is in pydantic. */
    memcpy(rest, at, strnlen(at, CLOCK_MAX));
    at = rest;
    wrong = read_sixty(&at, &minutes);
    if (wrong == NULL && *at == ':') {
        at++;
        wrong = read_sixty(&at, &seconds);
        if (wrong == NULL && (*at == '.' || *at == ','))
            wrong = read_micros(&at, &sum->us);
    }
    if (wrong != NULL)
        return wrong;
    if (*at != '\0')
        return "something follows the time";
    sum->days += (uint32_t)(hours / 24);
    sum->seconds = (uint32_t)(hours % 24) * 3600 + minutes * 60 + seconds;
    return NULL;
}

/* The rest of "day" or "days" after its d, if any: "ay" and "AY", but not "aY". */
static const char *
read_ays(const char **at)
{
    const char *a = *at;

    if (*a != 'a' && *a != 'A')
        return NULL;
    const bool lower = *a == 'a';
    if (a[1] != (lower ? 'y' : 'Y'))
        return "the word is d, day or days";
    *at += a[2] == (lower ? 's' : 'S') ? 3 : 2;
    return NULL;
}

/* "1 day", "2d", "1 day, 02:00:00". */
static const char *
read_days(const char *at, struct sum *sum)
{
    const char *wrong = read_number(&at, &sum->days);

    if (wrong != NULL)
        return wrong;
    if (at[0] == ' ' && (at[1] == 'd' || at[1] == 'D'))
        at++;
    if (*at == ':')
        return clock_short;
    if (*at != 'd' && *at != 'D')
        return *at == '\0' ? "a number needs a unit" : "its unit is not known";
    at++;
    wrong = read_ays(&at);
    if (wrong != NULL)
        return wrong;
    if (*at == ',')
        at++;
    if (*at == ' ')
        at++;
    if (*at == '\0')
        return NULL;

    struct sum time = {0};
    wrong = read_clock(at, &time);
    if (wrong != NULL)
        return wrong;
    if (time.days > 0)
        return "a time after days is less than 24 hours";
    sum->seconds = time.seconds;
    sum->us = time.us;
    return NULL;
}

/* Bring what was read into one signed duration. */
static const char *
normalize(const struct sum *sum, bool negative, struct duration *ret)
{
    const uint64_t seconds = sum->seconds + sum->us / 1000000;
    const int64_t total = (int64_t)sum->days * DAY_S + (int64_t)seconds;
    const int64_t us = (int64_t)(sum->us % 1000000);
    const int64_t most = DAYS_MAX * DAY_S;

    /* Python's lower bound is minus DAYS_MAX days sharp, its upper bound the end of that day. */
    if (seconds > UINT32_MAX || total >= most + DAY_S || (negative && (total > most || (total == most && us > 0))))
        return too_large;
    ret->s = negative ? -total : total;
    ret->us = (int32_t)(negative ? -us : us);
    return NULL;
}

const char *
duration_read(const char *text, struct duration *ret)
{
    const bool negative = *text == '-';
    const char *at = text + (negative || *text == '+');
    struct sum sum = {0};
    const char *wrong;

    if (*text == '\0')
        return "it is empty";
    if (*at == 'P')
        wrong = read_iso(at + 1, &sum);
    else if (strlen(at) < 5 || strpbrk(at, "dD") != NULL)
        wrong = read_days(at, &sum);
    else
        wrong = read_clock(at, &sum);
    return wrong != NULL ? wrong : normalize(&sum, negative, ret);
}
