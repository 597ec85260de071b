/* wire_fault.c - the texts of refusals: the thing, the place, and what to send instead. */
#include "wire_fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

int
wire_refuse(struct wire_fault *fault, enum wire_reason code, const char *field, const char *fmt, ...)
{
    va_list args;

    fault->code = code;
    snprintf(fault->field, sizeof(fault->field), "%s", field);
    va_start(args, fmt);
    vsnprintf(fault->text, sizeof(fault->text), fmt, args);
    va_end(args);
    return -1;
}

/* The words that the field may have here, each after a space; more than fits is left out. */
static void
list_words(const struct wire_message_row *row, unsigned field, char *buf, size_t cap)
{
    const struct wire_words range = wire_words(row, field);
    size_t n = 0;

    buf[0] = '\0';
    for (unsigned i = range.first; i <= range.last; i++) {
        const char *word = wire_field_table[field].words[i];
        if (n + 1 + strlen(word) >= cap)
            return;
        n += (size_t)snprintf(buf + n, cap - n, " %s", word);
    }
}

/* What the field takes: said whole whichever way the value missed it. */
static void
describe(const struct wire_message_row *row, unsigned field, char *buf, size_t cap)
{
    const struct wire_field_row *f = &wire_field_table[field];
    const unsigned long long min = f->min;
    const unsigned long long max = f->max;
    char words[128];

    switch ((enum wire_kind)f->kind) {
    case KIND_NUMBER:
        snprintf(buf, cap, "a whole number (a msgpack integer) from %llu to %llu", min, max);
        return;
    case KIND_BOOL:
        snprintf(buf, cap, "true or false");
        return;
    case KIND_TEXT:
        snprintf(buf, cap, "text of at most %llu bytes, UTF-8 without NUL", max);
        return;
    case KIND_ID:
        snprintf(buf, cap, "text of %llu to %llu of a-z 0-9 . _ -, the first a letter or digit", min, max);
        return;
    case KIND_ASCII:
        snprintf(buf, cap, "text of %llu to %llu printable ASCII characters", min, max);
        return;
    case KIND_RUN:
        snprintf(buf, cap, "%llu bytes of the msgpack type bin", max);
        return;
    case KIND_WORD:
        list_words(row, field, words, sizeof(words));
        snprintf(buf, cap, "one of:%s", words);
        return;
    case KIND_HOLDS:
        list_words(row, field, words, sizeof(words));
        snprintf(buf, cap, "a list, each at most once, of:%s", words);
        return;
    case KIND_VERSIONS:
        snprintf(buf, cap, "a list of %llu to %llu whole numbers from 1 on", min, max);
        return;
    }
}

int
wire_refuse_value(struct wire_fault *fault, const struct wire_message_row *row, unsigned field)
{
    const char *name = wire_field_table[field].name;
    char takes[sizeof(fault->text) - 32] = "";

    describe(row, field, takes, sizeof(takes));
    return wire_refuse(fault, WIRE_R_FIELD, name, "%s: %s must be %s", row->name, name, takes);
}

static bool
is_like_ours(const char *key, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((key[i] < 'a' || key[i] > 'z') && (key[i] < '0' || key[i] > '9') && key[i] != '_')
            return false;
    }
    return len > 0 && len <= WIRE_FIELD_MAX;
}

int
wire_refuse_key(struct wire_fault *fault, const char *type, const char *key, size_t len)
{
    char shown[WIRE_FIELD_MAX + 8];

    wire_refuse(fault, WIRE_R_FIELD, "", "%s: it has no field \"%s\"; docs/protocol.md lists its fields", type,
                text_show(key, len, shown, sizeof(shown)));
    if (is_like_ours(key, len)) {
        memcpy(fault->field, key, len);
        fault->field[len] = '\0';
    }
    return -1;
}
