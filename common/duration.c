/* duration.c - periods of time as people write them, and what to tell them when they cannot be read. */
#include "duration.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "duration_read.h"
#include "err.h"
#include "text.h"

enum {
    SHOWN_MAX = 44, /* bytes of the refused text that an error repeats */
    REPAIR_MAX = 32 /* bytes of a refused text that is short enough to be repaired, and of its repair */
};

#define SECOND_US   INT64_C(1000000)
#define SHORT_MAX_S (INT64_C(3650) * 86400) /* ten years */

/* Words after a number, and the parts of ISO 8601 between which that number belongs. */
static const struct {
    const char *word, *before, *after;
} spoken[] = {
    {"", "PT", "S"},      {"S", "PT", "S"},      {"SEC", "PT", "S"},     {"SECOND", "PT", "S"},
    {"SECONDS", "PT", "S"}, {"M", "PT", "M"},    {"MIN", "PT", "M"},     {"MINUTE", "PT", "M"},
    {"MINUTES", "PT", "M"}, {"H", "PT", "H"},    {"HOUR", "PT", "H"},    {"HOURS", "PT", "H"},
    {"D", "P", "D"},      {"DAY", "P", "D"},     {"DAYS", "P", "D"},     {"W", "P", "W"},
    {"WEEK", "P", "W"},   {"WEEKS", "P", "W"},
};
enum { SPOKEN = sizeof(spoken) / sizeof(spoken[0]) };

static const char spaces[] = " \t\r\n";

/* The word in text: without spaces around it, without its sign, in upper case.  False: too long. */
static bool
tidy(const char *text, char word[REPAIR_MAX], bool *ret_negative)
{
    text += strspn(text, spaces);
    *ret_negative = *text == '-';
    text += *text == '-' || *text == '+';
    size_t len = strlen(text);
    while (len > 0 && strchr(spaces, text[len - 1]) != NULL)
        len--;
    if (len >= REPAIR_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        word[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 'a' + 'A' : text[i]);
    word[len] = '\0';
    return true;
}

static bool
is_duration(const char *text)
{
    struct duration unused;

    return duration_read(text, &unused) == NULL;
}

/* What was probably meant, as PT60S by "60".  False: nobody knows.  Only what duration_parse accepts is suggested. */
static bool
repair(const char *text, char *buf, size_t cap)
{
    char word[REPAIR_MAX];
    bool negative;

    if (!tidy(text, word, &negative))
        return false;
    const char *minus = negative ? "-" : "";
    snprintf(buf, cap, "%s%s", minus, word);
    if (is_duration(buf))
        return true;
    const size_t digits = strspn(word, "0123456789.");
    const char *unit = word + digits + (word[digits] == ' ');
    for (size_t i = 0; i < SPOKEN; i++) {
        if (strcmp(unit, spoken[i].word) == 0) {
            snprintf(buf, cap, "%s%s%.*s%s", minus, spoken[i].before, (int)digits, word, spoken[i].after);
            return is_duration(buf);
        }
    }
    return false;
}

/* The grammar's complaint, or a plainer one where the cause is a common slip. */
static const char *
plainer(const char *text, const char *wrong)
{
    const size_t len = strlen(text);

    if (len > 0 && (strchr(spaces, text[0]) != NULL || strchr(spaces, text[len - 1]) != NULL))
        return "no space may stand before or after it";
    if (text[strspn(text, "+-")] == 'p')
        return "P, T and the units are in upper case";
    return wrong;
}

int
duration_parse(const char *text, struct duration *ret, struct err *err)
{
    char shown[SHOWN_MAX], better[REPAIR_MAX + 8];

    /* OpenCTI's own client compares with "0" before pydantic sees the text. */
    if (strcmp(text, "0") == 0) {
        *ret = (struct duration){0, 0};
        return 0;
    }
    const char *wrong = duration_read(text, ret);
    if (wrong == NULL)
        return 0;
    wrong = plainer(text, wrong);
    text_show(text, strlen(text), shown, sizeof(shown));
    if (repair(text, better, sizeof(better)))
        return err_set(err, ERR_CONFIG, 0, "duration \"%s\": %s; write %s", shown, wrong, better);
    return err_set(err, ERR_CONFIG, 0, "duration \"%s\": %s; write PT5M for five minutes, P1D for a day", shown, wrong);
}

/* --- the short form ---------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int64_t     us;
} short_units[] = {
    {"us", 1},
    {"ms", 1000},
    {"s", SECOND_US},
    {"m", 60 * SECOND_US},
    {"h", 3600 * SECOND_US},
    {"d", 86400 * SECOND_US},
};
enum { SHORT_UNITS = sizeof(short_units) / sizeof(short_units[0]) };

static const char short_too_long[] = "it is longer than ten years";

/* Digits and a unit.  NULL, or what is wrong. */
static const char *
read_short(const char *text, int64_t *ret_us)
{
    int64_t value = 0;

    if (*text == '-')
        return "it is negative";
    if (*text < '0' || *text > '9')
        return "it begins neither with a digit nor with P";
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *text - '0', &value))
            return short_too_long;
    }
    for (size_t i = 0; i < SHORT_UNITS; i++) {
        if (strcmp(text, short_units[i].name) != 0)
            continue;
        if (value > SHORT_MAX_S * SECOND_US / short_units[i].us)
            return short_too_long;
        *ret_us = value * short_units[i].us;
        return NULL;
    }
    if (*text == '.' || *text == ',')
        return "a fraction is not allowed here (1500ms instead of 1.5s)";
    return *text == '\0' ? "its unit is missing" : "its unit is none of us, ms, s, m, h, d";
}

/* The same from ISO 8601. */
static const char *
read_short_iso(const char *text, int64_t *ret_us)
{
    struct duration d;
    const char *wrong = duration_read(text, &d);

    if (wrong != NULL)
        return wrong;
    if (d.s < 0 || d.us < 0)
        return "it is negative";
    if (d.s > SHORT_MAX_S || (d.s == SHORT_MAX_S && d.us > 0))
        return short_too_long;
    *ret_us = d.s * SECOND_US + d.us;
    return NULL;
}

int
duration_parse_short(const char *text, int64_t *ret_us, struct err *err)
{
    char shown[SHOWN_MAX];
    const char *unsigned_text = text + (*text == '-' || *text == '+');
    const char *wrong = *text == '\0' ? "it is empty"
                        : *unsigned_text == 'P' ? read_short_iso(text, ret_us) : read_short(text, ret_us);

    if (wrong == NULL)
        return 0;
    return err_set(err, ERR_CONFIG, 0, "duration \"%s\": %s; write 250ms, 30s, 5m, 2h, 1d, or PT5M",
                   text_show(text, strlen(text), shown, sizeof(shown)), wrong);
}
