/* settings_value.c - one value: from text into its field, and back into the syntax of the file. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "duration.h"
#include "err.h"
#include "settings_parts.h"
#include "size.h"
#include "text.h"

struct unit {
    const char *name;
    uint64_t amount;
};

/* Largest first, so that the first one that divides says it best. */
static const struct unit size_units[] = {
    {"GiB", UINT64_C(1) << 30}, {"MiB", UINT64_C(1) << 20}, {"KiB", UINT64_C(1) << 10}, {"B", 1}};
static const struct unit time_units[] = {
    {"d", UINT64_C(86400000000)}, {"h", UINT64_C(3600000000)}, {"m", UINT64_C(60000000)}, {"s", UINT64_C(1000000)},
    {"ms", UINT64_C(1000)}, {"us", 1}};

/* Fields are reached by their offset; the table and the struct are kept in step by offsetof. */
static void *
field_of(void *base, const struct settings_key *key)
{
    return (char *)base + key->offset;
}

static const void *
value_of(const void *base, const struct settings_key *key)
{
    return (const char *)base + key->offset;
}

void
settings_amount(enum settings_kind kind, uint64_t amount, char *buf, size_t cap)
{
    const struct unit *unit = kind == SETTINGS_SIZE ? size_units : time_units;

    if (kind == SETTINGS_NUMBER) {
        snprintf(buf, cap, "%" PRIu64, amount);
        return;
    }
    if (kind == SETTINGS_DECIMAL) {
        int len = snprintf(buf, cap, "%" PRIu64 ".%06" PRIu64, amount / 1000000, amount % 1000000);
        while (len > 0 && buf[len - 1] == '0')
            buf[--len] = '\0';
        if (len > 0 && buf[len - 1] == '.')
            buf[--len] = '\0';
        return;
    }
    if (amount == 0)
        unit = kind == SETTINGS_SIZE ? &size_units[3] : &time_units[3];
    while (amount % unit->amount != 0)
        unit++;
    snprintf(buf, cap, "%" PRIu64 "%s", amount / unit->amount, unit->name);
}

static int
in_range(const struct settings_key *key, const char *text, uint64_t amount, struct err *err)
{
    char least[32], most[32], shown[SETTINGS_SHOWN_MAX];

    if (amount >= (uint64_t)key->min && amount <= (uint64_t)key->max)
        return 0;
    settings_amount(key->kind, (uint64_t)key->min, least, sizeof(least));
    settings_amount(key->kind, (uint64_t)key->max, most, sizeof(most));
    return err_set(err, ERR_CONFIG, 0, "%s is out of range: write at least %s and at most %s",
                   settings_show(text, shown), least, most);
}

/* "raw, opencti" */
static void
list_words(const char *const *words, char *buf, size_t cap)
{
    size_t used = 0;

    buf[0] = '\0';
    for (; *words != NULL && used < cap; words++)
        used += (size_t)snprintf(buf + used, cap - used, "%s\"%s\"", used == 0 ? "" : ", ", *words);
}

/* The index of text in words, or -1 with *err saying what there is. */
static int
word_find(const char *const *words, const char *text, struct err *err)
{
    char known[96], shown[SETTINGS_SHOWN_MAX];

    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0)
            return i;
    }
    list_words(words, known, sizeof(known));
    return err_set(err, ERR_CONFIG, 0, "\"%s\" is not known here; there is %s", settings_show(text, shown), known);
}

static int
set_word(int *field, const struct settings_key *key, const char *text, struct err *err)
{
    int index = word_find(key->words, text, err);

    if (index < 0)
        return -1;
    *field = index;
    return 0;
}

static int
set_text(char **field, const struct settings_key *key, const char *text, struct err *err)
{
    size_t len = strlen(text);
    char *copy = NULL;

    if (len < (size_t)key->min)
        return err_set(err, ERR_CONFIG, 0, "it is empty: write a value, or remove the key for the default");
    if (len > (size_t)key->max)
        return err_set(err, ERR_CONFIG, 0, "%zu bytes are too long: at most %" PRId64, len, key->max);
    if (!text_is_utf8(text, len))
        return err_set(err, ERR_CONFIG, 0, "it is not UTF-8: save the file in that encoding");
    if (key->words != NULL && word_find(key->words, text, err) < 0)
        return -1;
    if (len > 0 || key->def != NULL) {
        copy = strdup(text);
        if (copy == NULL)
            return err_set(err, ERR_NOMEM, errno, "settings");
    }
    if (key->secret)
        settings_password_free(*field);
    else
        free(*field);
    *field = copy;
    return 0;
}

static int
set_number(int *field, const struct settings_key *key, const char *text, struct err *err)
{
    char shown[SETTINGS_SHOWN_MAX];

    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text))
        return err_set(err, ERR_CONFIG, 0, "\"%s\" is not a whole number: write digits only, such as %s",
                       settings_show(text, shown), key->def);
    errno = 0;
    unsigned long long n = strtoull(text, NULL, 10);
    if (errno != 0)
        n = UINT64_MAX;
    if (in_range(key, text, n, err) != 0)
        return -1;
    *field = (int)n; /* the table's bounds are within int's */
    return 0;
}

static int
set_flag(bool *field, const char *text, struct err *err)
{
    char shown[SETTINGS_SHOWN_MAX];
    bool yes = strcmp(text, "true") == 0;

    if (!yes && strcmp(text, "false") != 0)
        return err_set(err, ERR_CONFIG, 0, "\"%s\" is neither true nor false: write one of them",
                       settings_show(text, shown));
    *field = yes;
    return 0;
}

static int
set_size(uint64_t *field, const struct settings_key *key, const char *text, struct err *err)
{
    uint64_t bytes;

    if (size_parse(text, &bytes, err) != 0 || in_range(key, text, bytes, err) != 0)
        return -1;
    *field = bytes;
    return 0;
}

static int
set_duration(int64_t *field, const struct settings_key *key, const char *text, struct err *err)
{
    int64_t us;

    if (duration_parse_short(text, &us, err) != 0 || in_range(key, text, (uint64_t)us, err) != 0)
        return -1;
    *field = us;
    return 0;
}

/* Digits, and behind a point at most six more: exact, as no float is. */
static int
set_decimal(struct settings_decimal *field, const struct settings_key *key, const char *text, struct err *err)
{
    const size_t whole = strspn(text, "0123456789");
    const size_t rest = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    const bool ends = text[whole] == '\0' || (text[whole] == '.' && rest >= 1 && text[whole + 1 + rest] == '\0');
    char shown[SETTINGS_SHOWN_MAX];
    uint64_t micro = 0;

    if (whole < 1 || !ends || rest > 6)
        return err_set(err, ERR_CONFIG, 0,
                       "\"%s\" is not a number of this kind: write digits, and at most six behind a point, such as 500 "
                       "or 0.8",
                       settings_show(text, shown));
    for (size_t i = 0; i < whole + 6 && micro <= (uint64_t)key->max; i++) {
        const size_t at = i < whole ? i : i + 1;
        micro = micro * 10 + (at < whole + (rest > 0 ? 1 + rest : 0) ? (uint64_t)(text[at] - '0') : 0);
    }
    if (in_range(key, text, micro, err) != 0)
        return -1;
    *field = (struct settings_decimal){.micro = micro, .given = true};
    return 0;
}

int
settings_value_set(void *base, const struct settings_key *key, const char *text, struct err *err)
{
    void *field = field_of(base, key);

    switch (key->kind) {
    case SETTINGS_TEXT:
        return set_text(field, key, text, err);
    case SETTINGS_NUMBER:
        return set_number(field, key, text, err);
    case SETTINGS_FLAG:
        return set_flag(field, text, err);
    case SETTINGS_SIZE:
        return set_size(field, key, text, err);
    case SETTINGS_DURATION:
        return set_duration(field, key, text, err);
    case SETTINGS_DECIMAL:
        return set_decimal(field, key, text, err);
    case SETTINGS_WORD:
        return set_word(field, key, text, err);
    case SETTINGS_HOSTS:
        return settings_hosts_set(base, text, err);
    }
    return err_set(err, ERR_CONFIG, 0, "it is of no kind");
}

bool
settings_value_has(const void *base, const struct settings_key *key)
{
    char *const *text = value_of(base, key);

    if (key->kind == SETTINGS_DECIMAL)
        return ((const struct settings_decimal *)value_of(base, key))->given;
    return key->kind != SETTINGS_TEXT || *text != NULL;
}

/* As libconfig reads it back: quotes, backslashes and controls escaped, the rest of UTF-8 as it is. */
static void
print_text(const char *text, FILE *to)
{
    fputc('"', to);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(to, "\\x%02x", c);
        else
            fputc(c, to);
    }
    fputc('"', to);
}

void
settings_value_print(const void *base, const struct settings_key *key, FILE *to)
{
    const void *field = value_of(base, key);
    char buf[32];

    switch (key->kind) {
    case SETTINGS_TEXT:
        print_text(*(char *const *)field, to);
        break;
    case SETTINGS_NUMBER:
        fprintf(to, "%d", *(const int *)field);
        break;
    case SETTINGS_FLAG:
        fputs(*(const bool *)field ? "true" : "false", to);
        break;
    case SETTINGS_SIZE:
    case SETTINGS_DURATION: /* never negative: its bounds say so */
        settings_amount(key->kind, *(const uint64_t *)field, buf, sizeof(buf));
        fprintf(to, "\"%s\"", buf);
        break;
    case SETTINGS_DECIMAL:
        settings_amount(key->kind, ((const struct settings_decimal *)field)->micro, buf, sizeof(buf));
        fputs(buf, to);
        break;
    case SETTINGS_WORD:
        print_text(key->words[*(const int *)field], to);
        break;
    case SETTINGS_HOSTS:
        settings_hosts_print(base, to);
        break;
    }
}

void
settings_values_free(void *base, const struct settings_key *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (keys[i].kind != SETTINGS_TEXT)
            continue;
        char **text = field_of(base, &keys[i]);
        if (keys[i].secret)
            settings_password_free(*text);
        else
            free(*text);
        *text = NULL;
    }
}
