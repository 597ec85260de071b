/* opencti_fuzz.c - any bytes as options and bundle: they are refused with a reason, or they become messages whose
 * sizes are true, whose contents decode, and whose content is again a bundle: of one object, which becomes the same
 * once more.
 *
 * The bytes up to the first newline are the options; without one, all are the bundle. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "body.h"
#include "err.h"
#include "formats/format.h"
#include "parts.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
insist(bool truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "opencti_fuzz: %s\n", what);
    abort();
}

static struct parts *
split(const char *options, size_t options_len, const void *text, size_t len, uint64_t most)
{
    /* Two chunks, which end anywhere. */
    struct chunk chunks[2] = {{.at = text, .len = len / 2}, {.at = (const char *)text + len / 2, .len = len - len / 2}};
    const struct body body = {.size = len, .have = len, .n = 2, .cap = 2, .chunks = chunks, .ctype = ""};
    const struct format_ask ask = {.body = &body,
                                   .options = options,
                                   .options_len = options_len,
                                   .applicant_id = "a\"\xff",
                                   .max_message = most,
                                   .skip_large = most % 2 == 0};
    struct format_notes notes;
    enum format_fault fault;
    struct err err = {.code = ERR_NONE};
    struct parts *p = NULL;

    if (opencti_parts(&ask, &p, &notes, &fault, &err) == 0) {
        insist(p->n > 0, "there is a message");
        insist(strlen(notes.text) == 0 || notes.incompatible + notes.too_large > 0, "notes are counted");
        insist(most % 2 == 0 || notes.too_large == 0, "nothing is left out unasked");
        return p;
    }
    insist(err.code != ERR_NONE && err.text[0] != '\0', "a refusal says why");
    insist(text_is_utf8(err.text, strlen(err.text)), "in UTF-8");
    return NULL;
}

static unsigned
digit(char c)
{
    static const char table[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == '\0' ? NULL : strchr(table, c);

    insist(at != NULL, "base64 has its characters only");
    return at == NULL ? 0 : (unsigned)(at - table);
}

/* In place; the length. */
static size_t
decode(char *text, size_t len)
{
    size_t n = 0;

    insist(len % 4 == 0, "base64 comes in fours");
    for (size_t i = 0; i < len; i += 4) {
        const size_t bytes = text[i + 2] == '=' ? 1 : text[i + 3] == '=' ? 2 : 3;
        insist(bytes == 3 || i + 4 == len, "padding is at the end");
        unsigned word = digit(text[i]) << 18 | digit(text[i + 1]) << 12;
        word |= bytes > 1 ? digit(text[i + 2]) << 6 : 0;
        word |= bytes > 2 ? digit(text[i + 3]) : 0;
        for (size_t k = 0; k < bytes; k++)
            text[n++] = (char)(word >> (16 - 8 * k));
    }
    return n;
}

/* The content of a message, decoded, in its own memory. */
static char *
content(const struct parts *p, uint32_t i, uint32_t number, size_t *ret_len)
{
    const uint64_t size = p->kind->size(p, i);
    char *message = malloc(size + 1);
    json_t *json;
    size_t length;

    insist(message != NULL && size > 0, "a message has bytes");
    message[size] = '#';
    p->kind->write(p, i, message);
    insist(message[size] == '#', "it is no longer than its size");
    json = json_loadb(message, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    /* Numbers beyond a double are text to us, and nothing to jansson. */
    if (json != NULL) {
        insist(json_real_value(json_object_get(json, "action_sequence")) == (double)number, "messages are numbered");
        json_decref(json);
    }
    message[size] = '\0';
    char *at = strstr(message, "\"content\":\"");

    insist(at != NULL, "it has a content");
    at += 11;
    length = strcspn(at, "\"");
    memmove(message, at, length);
    *ret_len = decode(message, length);
    return message;
}

/* A part of a bundle is a bundle, and what is said of it once is true. */
static void
again(const char *text, size_t len)
{
    struct parts *p = split("", 0, text, len, UINT64_MAX);
    size_t n;

    if (p == NULL)
        return;
    char *second = content(p, 0, 1, &n);

    /* Another id may be unknown to the platform: then there is nothing to compare. */
    insist(p->n <= 4, "one object is one message, or one for each of its names");
    insist(n > 0 && second[0] == '{', "its content is an object");
    free(second);
    parts_free(p);
}

static void
sums_are_true(const struct parts *p)
{
    uint64_t bytes = 0, largest = 0;

    for (uint32_t i = 0; i < p->n; i++) {
        const uint64_t size = p->kind->size(p, i);
        bytes += size;
        largest = size > largest ? size : largest;
        insist(!parts_went(p, i), "nothing went yet");
    }
    insist(bytes == p->bytes && largest == p->largest && p->went == 0, "the sums are those of the messages");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *newline = len == 0 ? NULL : memchr(data, '\n', len);
    const size_t options_len = newline == NULL ? 0 : (size_t)(newline - data),
                 skip = newline == NULL ? 0 : options_len + 1;
    const uint64_t most = len % 3 == 0 ? 300 + len : UINT64_MAX - len % 2;
    struct parts *p = split((const char *)data, options_len, data + skip, len - skip, most);

    if (p == NULL)
        return 0;
    sums_are_true(p);
    insist(p->largest <= most, "no message is above what is taken");
    for (uint32_t i = 0; i < p->n; i++) {
        size_t n;
        char *text = content(p, i, i + 1, &n);
        again(text, n);
        free(text);
    }
    parts_free(p);
    return 0;
}
