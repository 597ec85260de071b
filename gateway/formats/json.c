/* json.c - a strict scanner of JSON. */
#include "json.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "budget.h"
#include "jsontext.h"
#include "sort.h"

enum { PAIRWISE = 32 }; /* keys of one object up to which each new one is compared with those before it */

void
json_open(struct json *j, const void *text, uint32_t len, struct budget *budget)
{
    *j = (struct json){.text = text, .len = len, .budget = budget};
}

void
json_close(struct json *j)
{
    budget_free(j->budget, j->keys, j->cap_keys * sizeof(*j->keys));
    j->keys = NULL;
    j->cap_keys = 0;
}

bool
json_refuse(struct json *j, uint32_t at, const char *what)
{
    j->failed = true;
    j->fault = what;
    j->fault_at = at;
    return false;
}

static bool
is_blank(unsigned char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

#ifdef __SSE2__
/* Sixteen bytes at once: texts that were laid out for people are blanks for a good part. */
static const unsigned char *
past_blanks(const unsigned char *p)
{
    for (;; p += 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)p);
        const __m128i space = _mm_cmpeq_epi8(v, _mm_set1_epi8(' ')), newline = _mm_cmpeq_epi8(v, _mm_set1_epi8('\n'));
        const __m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t')), other = _mm_cmpeq_epi8(v, _mm_set1_epi8('\r'));
        const unsigned blank =
            (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(space, newline), _mm_or_si128(tab, other)));
        if (blank != 0xffff)
            return p + __builtin_ctz(~blank);
    }
}
#else
static const unsigned char *
past_blanks(const unsigned char *p)
{
    while (is_blank(*p))
        p++;
    return p;
}
#endif

unsigned char
json_space(struct json *j)
{
    const unsigned char *p = j->text + j->at;

    if (!is_blank(*p))
        return *p;
    p++;
    if (is_blank(*p))
        p = past_blanks(p);
    j->at = (uint32_t)(p - j->text);
    return *p;
}

/* What stands here instead of what should: the end of the text has words of its own. */
static bool
unexpected(struct json *j, const char *what)
{
    return json_refuse(j, j->at, j->at >= j->len ? "it ends too early" : what);
}

bool
json_take(struct json *j, unsigned char c, const char *what)
{
    if (json_space(j) != c)
        return unexpected(j, what);
    j->at++;
    return true;
}

/* --- Strings ------------------------------------------------------------------------------------------------------ */

/* Bytes of a string that need no look: on to a quote, a backslash, a control or a longer character. */
#ifdef __SSE2__
static inline const unsigned char *
plain(const unsigned char *p)
{
    for (;; p += 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)p);
        const __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"')), slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
        /* Compared with sign, what is above U+007F is less than a blank too. */
        const __m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));
        const unsigned stop = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), low));
        if (stop != 0)
            return p + __builtin_ctz(stop);
    }
}
#else
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
static const unsigned char *
plain(const unsigned char *p)
{
    for (;; p += 8) {
        uint64_t w;

        memcpy(&w, p, 8);
        const uint64_t quote = w ^ EACH('"'), slash = w ^ EACH('\\');
        if ((((quote - EACH(1)) | (slash - EACH(1)) | (w - EACH(0x20)) | w) & EACH(0x80)) != 0)
            break;
    }
    while (*p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}
#endif

/* The bytes of a character above U+007F; 0: it is none (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
 * */
static uint32_t
character(const unsigned char *p)
{
#define GOES_ON(c) (((c) & 0xc0) == 0x80)
    if (p[0] < 0xc2 || p[0] > 0xf4 || !GOES_ON(p[1]))
        return 0;
    if (p[0] < 0xe0)
        return 2;
    if (!GOES_ON(p[2]))
        return 0;
    if (p[0] < 0xf0)
        return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ? 0 : 3;
    if (!GOES_ON(p[3]) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
        return 0;
    return 4;
#undef GOES_ON
}

/* Four hexadecimal digits, or -1. */
static int32_t
unit(const unsigned char *p)
{
    int32_t code = 0;

    for (int i = 0; i < 4; i++) {
        const int32_t c = p[i], letter = c | 0x20;
        if (c >= '0' && c <= '9')
            code = code << 4 | (c - '0');
        else if (letter >= 'a' && letter <= 'f')
            code = code << 4 | (letter - 'a' + 10);
        else
            return -1;
    }
    return code;
}

/* The bytes of the escape at p; 0: it is none, and *ret_what says so. */
static uint32_t
escaped(const unsigned char *p, const char **ret_what)
{
    *ret_what = "an escape that JSON does not have";
    if (p[1] != 'u')
        return p[1] != 0 && strchr("\"\\/bfnrt", p[1]) != NULL ? 2 : 0;
    const int32_t first = unit(p + 2);

    if (first < 0xd800 || first > 0xdfff)
        return first < 0 ? 0 : 6;
    *ret_what = "half of a surrogate pair";
    if (first > 0xdbff || p[6] != '\\' || p[7] != 'u')
        return 0;
    const int32_t second = unit(p + 8);

    return second >= 0xdc00 && second <= 0xdfff ? 12 : 0;
}

/* Past what is special at p; NULL after a fault. */
static const unsigned char *
special(struct json *j, const unsigned char *p)
{
    const char *what = "a control character in a string";
    uint32_t n = 0;

    if (*p >= 0x80) {
        while (*p >= 0x80 && (n = character(p)) > 0)
            p += n;
        what = "a byte that is not UTF-8";
    } else if (*p == '\\') {
        n = escaped(p, &what);
        p += n;
    }
    if (n > 0)
        return p;
    j->at = (uint32_t)(p - j->text);
    (void)unexpected(j, what);
    return NULL;
}

bool
json_string(struct json *j, struct json_text *ret)
{
    const unsigned char *start = j->text + j->at + 1, *p = plain(start);
    bool any = false;

    while (*p != '"') {
        any = any || *p == '\\';
        p = special(j, p);
        if (p == NULL)
            return false;
        p = plain(p);
    }
    *ret = (struct json_text){(uint32_t)(start - j->text), (uint32_t)(p - start), any};
    j->at += ret->len + 2;
    return true;
}

/* --- Keys of one object ------------------------------------------------------------------------------------------- */

static bool
twice(struct json *j, struct json_text key)
{
    return json_refuse(j, key.at - 1, "a key that its object has already");
}

static int
order(const void *json, const void *a, const void *b)
{
    const struct json_key *x = a, *y = b;

    if (x->print != y->print)
        return x->print < y->print ? -1 : 1;
    return jsontext_compare(((const struct json *)json)->text, x->text, y->text);
}

/* Sorted, the same stand side by side. */
static bool
all_differ(struct json *j, struct json_key *keys, uint32_t n)
{
    sort_numbered(keys, n, sizeof(*keys), order, j);
    for (uint32_t i = 1; i < n; i++) {
        const struct json_key *a = &keys[i - 1], *b = &keys[i];
        if (order(j, a, b) == 0)
            return twice(j, a->text.at > b->text.at ? a->text : b->text);
    }
    return true;
}

static bool
add_key(struct json *j, struct json_keys *keys, struct json_text text)
{
    const uint64_t print = jsontext_print(j->text, text), bit = UINT64_C(1) << (print >> 58);

    if ((keys->seen & bit) != 0 && j->n_keys - keys->first < PAIRWISE) {
        for (uint32_t i = keys->first; i < j->n_keys; i++)
            if (j->keys[i].print == print && jsontext_compare(j->text, j->keys[i].text, text) == 0)
                return twice(j, text);
    }
    keys->seen |= bit;
    j->failed = !budget_more(j->budget, (void **)&j->keys, j->n_keys, &j->cap_keys, sizeof(*j->keys));
    if (j->failed)
        return false;
    j->keys[j->n_keys++] = (struct json_key){print, text};
    return true;
}

static bool
key(struct json *j, struct json_keys *keys, struct json_text *ret_key)
{
    if (j->text[j->at] != '"')
        return unexpected(j, "a key in quotes is missing");
    return json_string(j, ret_key) && add_key(j, keys, *ret_key) && json_take(j, ':', "a colon is missing");
}

/* Always false: no further key.  With more than PAIRWISE keys, they have not all been compared yet. */
static bool
close_keys(struct json *j, const struct json_keys *keys)
{
    const uint32_t n = j->n_keys - keys->first;

    j->at++;
    if (n > PAIRWISE)
        (void)all_differ(j, j->keys + keys->first, n);
    j->n_keys = keys->first;
    return false;
}

bool
json_first(struct json *j, struct json_keys *keys, struct json_text *ret_key)
{
    *keys = (struct json_keys){.first = j->n_keys};
    j->at++;
    return json_space(j) == '}' ? close_keys(j, keys) : key(j, keys, ret_key);
}

bool
json_next(struct json *j, struct json_keys *keys, struct json_text *ret_key)
{
    const unsigned char c = json_space(j);

    if (c == '}')
        return close_keys(j, keys);
    if (c != ',')
        return unexpected(j, "a comma or the end of the object is missing");
    j->at++;
    (void)json_space(j);
    return key(j, keys, ret_key);
}

/* --- Lists and values --------------------------------------------------------------------------------------------- */

bool
json_first_element(struct json *j)
{
    j->at++;
    if (json_space(j) != ']')
        return true;
    j->at++;
    return false;
}

bool
json_next_element(struct json *j)
{
    const unsigned char c = json_space(j);

    if (c != ',' && c != ']')
        return unexpected(j, "a comma or the end of the list is missing");
    j->at++;
    (void)json_space(j);
    return c == ',';
}

static bool
digits(const unsigned char **p)
{
    const unsigned char *first = *p;

    while (**p >= '0' && **p <= '9')
        (*p)++;
    return *p > first;
}

static bool
number(struct json *j)
{
    const unsigned char *p = j->text + j->at;
    bool right;

    p += *p == '-';
    if (*p == '0')
        right = p++ != NULL;
    else
        right = digits(&p);
    if (right && *p == '.' && p++ != NULL)
        right = digits(&p);
    if (right && (*p | 0x20) == 'e') {
        p++;
        p += *p == '-' || *p == '+';
        right = digits(&p);
    }
    j->at = (uint32_t)(p - j->text);
    return right || unexpected(j, "a number that is none");
}

static bool
word(struct json *j, const char *what, uint32_t len)
{
    if (memcmp(j->text + j->at, what, len) != 0)
        return unexpected(j, "a value is missing");
    j->at += len;
    return true;
}

/* What is no container. */
static bool
scalar(struct json *j, unsigned char c)
{
    struct json_text text;

    switch (c) {
    case '"': return json_string(j, &text);
    case 't': return word(j, "true", 4);
    case 'f': return word(j, "false", 5);
    case 'n': return word(j, "null", 4);
    default: return c == '-' || (c >= '0' && c <= '9') ? number(j) : unexpected(j, "a value is missing");
    }
}

/* The containers that are open around j->at. */
struct depth {
    uint32_t n;
    bool     object[JSON_DEPTH_MAX]; /* else a list */
    struct json_keys keys[JSON_DEPTH_MAX];
};

/* Into a container.  true: there is a value in it, which comes next. */
static bool
enter(struct json *j, struct depth *d, bool object)
{
    struct json_text text;
    const uint32_t i = d->n;

    if (i == JSON_DEPTH_MAX)
        return json_refuse(j, j->at, "it is nested too deeply");
    d->n++;
    d->object[i] = object;
    return object ? json_first(j, &d->keys[i], &text) : json_first_element(j);
}

/* true: there is one more in the innermost container. */
static bool
another(struct json *j, struct depth *d)
{
    struct json_text text;

    return d->object[d->n - 1] ? json_next(j, &d->keys[d->n - 1], &text) : json_next_element(j);
}

/* A value of a container, or into one: true, and there is one more to read. */
static bool
step(struct json *j, struct depth *d)
{
    const unsigned char c = json_space(j);

    if (c == '{' || c == '[')
        return enter(j, d, c == '{');
    return scalar(j, c) && another(j, d);
}

static bool
container(struct json *j, bool object)
{
    struct depth d;

    d.n = 0;
    bool more = enter(j, &d, object);

    while (!j->failed) {
        if (more)
            more = step(j, &d);
        else if (--d.n == 0)
            return true;
        else
            more = another(j, &d);
    }
    return false;
}

bool
json_value(struct json *j, uint32_t *ret_at)
{
    const unsigned char c = json_space(j);

    *ret_at = j->at;
    return c == '{' || c == '[' ? container(j, c == '{') : scalar(j, c);
}
