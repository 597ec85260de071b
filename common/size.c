/* size.c - amounts of bytes, in integers only: "1.1GB" is exact or refused. */
#include "size.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "text.h"

enum {
    FRACTION_MAX = 18, /* digits, without the zeros at the end: 10^18 fits 64 bits */
    SHOWN_MAX = 48     /* bytes of the refused text that an error repeats */
};

__extension__ typedef unsigned __int128 wide;

struct unit {
    const char *name;
    uint64_t    bytes;
};

static const struct unit units[] = {
    {"B", 1},
    {"kB", UINT64_C(1000)},
    {"MB", UINT64_C(1000) * 1000},
    {"GB", UINT64_C(1000) * 1000 * 1000},
    {"TB", UINT64_C(1000) * 1000 * 1000 * 1000},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
};
enum { UNITS = sizeof(units) / sizeof(units[0]), UNITS_DECIMAL = 5 };

/* What was read: whole + fraction / scale. */
struct amount {
    uint64_t whole;
    uint64_t fraction;
    uint64_t scale; /* a power of ten */
};

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const struct unit *
find_unit(const char *name)
{
    for (size_t i = 0; i < UNITS; i++) {
        if (strcmp(units[i].name, name) == 0)
            return &units[i];
    }
    return NULL;
}

/* Each reader moves *at over what it read and returns NULL, or what is wrong with it. */
static const char *
read_whole(const char **at, struct amount *ret)
{
    if (**at == '-')
        return "a size is never negative";
    if (!is_digit(**at))
        return "a size begins with a digit";
    for (; is_digit(**at); (*at)++) {
        const uint64_t digit = (uint64_t)(**at - '0');
        if (ret->whole > ((uint64_t)INT64_MAX - digit) / 10)
            return "the number is too large";
        ret->whole = ret->whole * 10 + digit;
    }
    return NULL;
}

static const char *
read_fraction(const char **at, struct amount *ret)
{
    if (**at == ',')
        return "the fraction is written with a point";
    if (**at != '.')
        return NULL;
    const char *from = ++*at;
    while (is_digit(**at))
        (*at)++;
    const char *end = *at;
    if (from == end)
        return "a digit must follow the point";
    while (end > from && end[-1] == '0')
        end--;
    if (end - from > FRACTION_MAX)
        return "the fraction has too many digits";
    for (; from < end; from++) {
        ret->fraction = ret->fraction * 10 + (uint64_t)(*from - '0');
        ret->scale *= 10;
    }
    return NULL;
}

static const char *
read_unit(const char *at, const struct unit **ret)
{
    *ret = find_unit(at);
    if (*ret != NULL)
        return NULL;
    if (*at == '\0')
        return "the unit is missing";
    if (*at == ' ')
        return "no space may stand in it";
    return "the unit is unknown (one of B kB MB GB TB KiB MiB GiB TiB, in this spelling)";
}

static const char *
multiply(const struct amount *a, uint64_t unit, uint64_t *ret)
{
    const wide part = (wide)a->fraction * unit;
    const wide total = (wide)a->whole * unit + part / a->scale;

    if (part % a->scale != 0)
        return "it is not a whole number of bytes";
    if (total > (wide)INT64_MAX)
        return "it is too large (at most 2^63 - 1 bytes)";
    *ret = (uint64_t)total;
    return NULL;
}

int
size_parse(const char *text, uint64_t *ret, struct err *err)
{
    char shown[SHOWN_MAX];
    struct amount a = {.scale = 1};
    const struct unit *unit = NULL;
    uint64_t bytes = 0;
    const char *at = text;

    const char *wrong = read_whole(&at, &a);
    if (wrong == NULL)
        wrong = read_fraction(&at, &a);
    if (wrong == NULL)
        wrong = read_unit(at, &unit);
    if (wrong == NULL)
        wrong = multiply(&a, unit->bytes, &bytes);
    if (wrong != NULL)
        return err_set(err, ERR_CONFIG, 0, "size \"%s\": %s; write 500MB, 64MiB or 4096B, for example",
                       text_show(text, strlen(text), shown, sizeof(shown)), wrong);
    *ret = bytes;
    return 0;
}

char *
size_print(uint64_t bytes, char *buf, size_t cap)
{
    if (bytes < 1000) {
        snprintf(buf, cap, "%" PRIu64 " B", bytes);
        return buf;
    }
    for (size_t i = 1; i < UNITS_DECIMAL; i++) {
        const uint64_t unit = units[i].bytes;
        uint64_t whole = bytes / unit;
        uint64_t hundredths = (bytes % unit * 100 + unit / 2) / unit;
        if (hundredths == 100) { /* rounded up: 999,995 bytes are 1.00 MB, not 1000.00 kB */
            whole++;
            hundredths = 0;
        }
        if (whole < 1000 || i + 1 == UNITS_DECIMAL) {
            snprintf(buf, cap, "%" PRIu64 ".%02" PRIu64 " %s", whole, hundredths, units[i].name);
            break;
        }
    }
    return buf;
}
