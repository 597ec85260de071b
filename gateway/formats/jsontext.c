/* jsontext.c - what strings of a JSON text say. */
#include "jsontext.h"

#include <string.h>

static uint32_t
hex4(const unsigned char *at)
{
    uint32_t code = 0;

    for (int i = 0; i < 4; i++) {
        const uint32_t c = at[i];
        code = code << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return code;
}

static uint32_t
put_utf8(uint32_t code, unsigned char to[4])
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    const uint32_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

    for (uint32_t i = n; i-- > 1; code >>= 6)
        to[i] = (unsigned char)(0x80 | (code & 0x3f));
    to[0] = (unsigned char)(lead[n] | code);
    return n;
}

/* The character that the escape at `at` says; *ret_used: how long the escape is. */
static uint32_t
escape(const unsigned char *at, uint32_t *ret_used, unsigned char to[4])
{
    static const char names[] = "bfnrt", says[] = "\b\f\n\r\t";
    const char *known = strchr(names, at[1]);

    *ret_used = 2;
    if (at[1] != 'u') {
        to[0] = known != NULL ? (unsigned char)says[known - names] : at[1];
        return 1;
    }
    uint32_t code = hex4(at + 2);

    *ret_used = 6;
    if (code >= 0xd800 && code < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (hex4(at + 8) - 0xdc00);
        *ret_used = 12;
    }
    return put_utf8(code, to);
}

uint32_t
jsontext_decode(const unsigned char *text, struct json_text s, unsigned char *to)
{
    const unsigned char *at = text + s.at, *end = at + s.len;
    uint32_t n = 0, used;

    while (at < end) {
        if (*at != '\\') {
            to[n++] = *at++;
            continue;
        }
        unsigned char one[4];
        const uint32_t bytes = escape(at, &used, one);
        memcpy(to + n, one, bytes);
        n += bytes;
        at += used;
    }
    return n;
}

/* Reads what a string says byte by byte. */
struct reader {
    const unsigned char *at, *end;
    unsigned char ready[4]; /* the rest of an escape */
    uint32_t from, n;
};

/* -1 at the end. */
static int
next(struct reader *r)
{
    uint32_t used;

    if (r->from < r->n)
        return r->ready[r->from++];
    if (r->at == r->end)
        return -1;
    if (*r->at != '\\')
        return *r->at++;
    r->n = escape(r->at, &used, r->ready);
    r->from = 1;
    r->at += used;
    return r->ready[0];
}

static struct reader
reader(const unsigned char *text, struct json_text s)
{
    return (struct reader){.at = text + s.at, .end = text + s.at + s.len};
}

static int
compare_read(struct reader a, struct reader b)
{
    for (;;) {
        const int x = next(&a), y = next(&b);

        if (x != y)
            return x < y ? -1 : 1;
        if (x < 0)
            return 0;
    }
}

int
jsontext_compare(const unsigned char *text, struct json_text a, struct json_text b)
{
    if (a.escaped || b.escaped)
        return compare_read(reader(text, a), reader(text, b));
    const int order = memcmp(text + a.at, text + b.at, a.len < b.len ? a.len : b.len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

bool
jsontext_is(const unsigned char *text, struct json_text s, const char *what)
{
    const size_t len = strlen(what);

    if (!s.escaped)
        return s.len == len && memcmp(text + s.at, what, len) == 0;
    const struct reader w = {.at = (const unsigned char *)what, .end = (const unsigned char *)what + len};

    return compare_read(reader(text, s), w) == 0;
}

bool
jsontext_ends(const unsigned char *text, struct json_text s, const char *what)
{
    const size_t len = strlen(what);
    size_t says = 0;

    if (!s.escaped)
        return s.len >= len && memcmp(text + s.at + s.len - len, what, len) == 0;
    for (struct reader r = reader(text, s); next(&r) >= 0;)
        says++;
    if (says < len)
        return false;
    struct reader r = reader(text, s);

    for (; says > len; says--)
        (void)next(&r);
    return compare_read(
               r, (struct reader){.at = (const unsigned char *)what, .end = (const unsigned char *)what + len}) == 0;
}

/* The first and the last eight bytes and the length: keys of STIX differ in these or not at all, nearly always. */
static uint64_t
mix(const unsigned char *first, const unsigned char *last, uint32_t len)
{
    uint64_t a = 0, b = 0;

    if (len >= 8) {
        memcpy(&a, first, 8);
        memcpy(&b, last, 8);
    } else {
        memcpy(&a, first, len);
    }
    a = (a ^ len) * 0x9e3779b97f4a7c15U; /* 2^64 by the golden ratio: odd, its bits look random */
    a = (a ^ (a >> 32) ^ b) * 0x9e3779b97f4a7c15U;
    return a ^ (a >> 29);
}

static uint64_t
print_escaped(const unsigned char *text, struct json_text s)
{
    unsigned char first[8] = {0}, last[8] = {0};
    uint32_t len = 0;
    struct reader r = reader(text, s);

    for (int c; (c = next(&r)) >= 0; len++) {
        if (len < 8)
            first[len] = (unsigned char)c;
        memmove(last, last + 1, 7);
        last[7] = (unsigned char)c;
    }
    return mix(first, last, len);
}

uint64_t
jsontext_print(const unsigned char *text, struct json_text s)
{
    if (s.escaped)
        return print_escaped(text, s);
    return mix(text + s.at, text + s.at + s.len - (s.len < 8 ? s.len : 8), s.len);
}

static const unsigned char *
past_string(const unsigned char *p)
{
    for (p++; *p != '"'; p++)
        p += *p == '\\';
    return p + 1;
}

static const unsigned char *
past_container(const unsigned char *p)
{
    uint32_t depth = 0;

    do {
        if (*p == '"') {
            p = past_string(p);
            continue;
        }
        depth += *p == '{' || *p == '[';
        depth -= *p == '}' || *p == ']';
        p++;
    } while (depth > 0);
    return p;
}

uint32_t
jsontext_skip(const unsigned char *text, uint32_t at)
{
    const unsigned char *p = text + at;

    if (*p == '"') {
        p = past_string(p);
    } else if (*p == '{' || *p == '[') {
        p = past_container(p);
    } else {
        while (strchr(",]} \n\r\t", *p) == NULL)
            p++;
    }
    return (uint32_t)(p - text);
}

uint32_t
jsontext_blanks(const unsigned char *text, uint32_t at)
{
    while (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t')
        at++;
    return at;
}
