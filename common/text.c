/* text.c - judging and showing text from outside, without any locale. */
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static bool
is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool
text_is_id(const char *at, size_t len)
{
    if (len == 0 || len > TEXT_ID_MAX || !is_lower_or_digit(at[0]))
        return false;
    for (size_t i = 1; i < len; i++) {
        if (!is_lower_or_digit(at[i]) && at[i] != '.' && at[i] != '_' && at[i] != '-')
            return false;
    }
    return true;
}

size_t
text_char(const char *at, size_t len, uint32_t *ret_code)
{
    /* The least code point of each length: what is below has a shorter, and only valid, form. */
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n;
    uint32_t code;

    if (len == 0)
        return 0;
    const unsigned char first = (unsigned char)at[0];
    if (first < 0x80) {
        n = 1;
        code = first;
    } else if ((first & 0xE0) == 0xC0) {
        n = 2;
        code = first & 0x1F;
    } else if ((first & 0xF0) == 0xE0) {
        n = 3;
        code = first & 0x0F;
    } else if ((first & 0xF8) == 0xF0) {
        n = 4;
        code = first & 0x07;
    } else {
        return 0;
    }
    if (n > len)
        return 0;
    for (size_t i = 1; i < n; i++) {
        const unsigned char next = (unsigned char)at[i];
        if ((next & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (next & 0x3F);
    }
    if (code < least[n] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    *ret_code = code;
    return n;
}

bool
text_is_utf8(const char *at, size_t len)
{
    uint32_t code;

    for (size_t i = 0; i < len;) {
        const size_t n = text_char(at + i, len - i, &code);
        if (n == 0 || code == 0)
            return false;
        i += n;
    }
    return true;
}

bool
text_is_plain(uint32_t code)
{
    if (code < 0x20 || (code >= 0x7F && code <= 0x9F))
        return false;
    if (code == 0x061C || code == 0x200E || code == 0x200F) /* marks: Arabic letter, left-to-right, right-to-left */
        return false;
    if (code >= 0x2028 && code <= 0x202E) /* separators of lines and paragraphs; embeddings, overrides */
        return false;
    return !(code >= 0x2066 && code <= 0x206F); /* isolates; deprecated format characters */
}

size_t
text_escape(const char *at, size_t len, size_t *ret_used, char out[TEXT_ESCAPE_MAX])
{
    static const char hex[] = "0123456789abcdef";
    uint32_t code = 0;
    size_t used = text_char(at, len, &code);
    size_t n = 0;

    if (used > 0 && text_is_plain(code) && code != '"' && code != '\\') {
        memcpy(out, at, used);
        *ret_used = used;
        return used;
    }
    if (used == 0)
        used = 1; /* not UTF-8: this byte for itself */
    *ret_used = used;
    if (at[0] == '\n' || at[0] == '\t' || at[0] == '"' || at[0] == '\\') {
        out[0] = '\\';
        out[1] = at[0];
        if (at[0] == '\n')
            out[1] = 'n';
        else if (at[0] == '\t')
            out[1] = 't';
        return 2;
    }
    for (size_t i = 0; i < used; i++) {
        const unsigned char byte = (unsigned char)at[i];
        out[n++] = '\\';
        out[n++] = 'x';
        out[n++] = hex[byte >> 4];
        out[n++] = hex[byte & 0x0F];
    }
    return n;
}

/* All that is not plain lies below U+10000, so no pairs of surrogates are needed. */
size_t
text_json(const char *at, size_t len, size_t *ret_used, char out[TEXT_ESCAPE_MAX])
{
    uint32_t code = 0;
    const size_t used = text_char(at, len, &code);

    *ret_used = used == 0 ? 1 : used;
    if (used == 0) {
        memcpy(out, "\xEF\xBF\xBD", 3);
        return 3;
    }
    if (code == '"' || code == '\\' || code == '\n' || code == '\t') {
        out[0] = '\\';
        out[1] = code == '\n' ? 'n' : code == '\t' ? 't' : (char)code;
        return 2;
    }
    if (!text_is_plain(code))
        return (size_t)snprintf(out, TEXT_ESCAPE_MAX, "\\u%04" PRIx32, code & 0xFFFF);
    memcpy(out, at, used);
    return used;
}

char *
text_time(int64_t wall_us, char buf[TEXT_TIME])
{
    const int64_t last_us = INT64_C(253402300799999999); /* of the year 9999 */
    const int64_t us = wall_us < 0 ? 0 : wall_us > last_us ? last_us : wall_us;
    const time_t s = (time_t)(us / 1000000);
    struct tm tm = {0};

    gmtime_r(&s, &tm);
    const size_t n = strftime(buf, TEXT_TIME, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + n, TEXT_TIME - n, ".%03dZ", (int)(us % 1000000 / 1000));
    return buf;
}

char *
text_show(const char *at, size_t len, char *buf, size_t cap)
{
    char one[TEXT_ESCAPE_MAX];
    size_t n = 0;    /* bytes written */
    size_t keep = 0; /* of them, those that leave room for "..." */
    size_t used;

    for (size_t i = 0; i < len; i += used) {
        const size_t more = text_escape(at + i, len - i, &used, one);
        if (n + more >= cap) {
            memcpy(buf + keep, "...", sizeof("..."));
            return buf;
        }
        memcpy(buf + n, one, more);
        n += more;
        if (n + sizeof("...") <= cap)
            keep = n;
    }
    buf[n] = '\0';
    return buf;
}
