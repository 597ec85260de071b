/* settings_scan.c - what libconfig would misread in silence, found before it reads.
 *
 * libconfig 1.5 reads 3000000000 as -1294967296 and 0xFFFFFFFF as -1, ends a text at \x00, takes includes
 * from anywhere and ends the process when one of them is a folder.  None of this can be seen afterwards, so this
 * walks over the text with just enough of libconfig's grammar to know a number from a name, a text or a comment.
 * What is wrong in other ways is left to libconfig. */
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "settings_parts.h"

enum {
    NESTING_MAX = 16,   /* braces, brackets and parentheses within each other; connectors need 2 */
    INCLUDE_DEPTH = 8,  /* libconfig's own limit is 10 */
    INCLUDE_FILES = 64
};

/* All files of one configuration. */
struct scan {
    const char *folder;     /* of the first file; includes are relative to it, as for libconfig */
    size_t      folder_len; /* with its slash */
    size_t      left;       /* bytes that may still be read */
    int         files;
    struct err *err;
};

/* One file. */
struct cursor {
    struct scan *scan;
    const char  *path;
    const char  *at, *end;
    unsigned     line;
    int          nesting, depth;
};

static int scan_text(struct scan *scan, const char *path, const char *text, size_t len, int depth);

static int
refuse(const struct cursor *c, const char *what)
{
    size_t      len = strlen(c->path);
    const char *path = len > SETTINGS_SHOWN_MAX ? c->path + len - SETTINGS_SHOWN_MAX : c->path;

    return err_set(c->scan->err, ERR_CONFIG, 0, "%s:%u: %s", path, c->line, what);
}

static char
peek(const struct cursor *c, size_t ahead)
{
    return (size_t)(c->end - c->at) > ahead ? c->at[ahead] : '\0';
}

/* Step over one character of the text. */
static void
step(struct cursor *c)
{
    if (*c->at == '\n')
        c->line++;
    c->at++;
}

static bool
skip_comment(struct cursor *c)
{
    bool block = peek(c, 0) == '/' && peek(c, 1) == '*';

    if (!block && peek(c, 0) != '#' && !(peek(c, 0) == '/' && peek(c, 1) == '/'))
        return false;
    if (block)
        c->at += 2;
    while (c->at < c->end && !(block ? peek(c, 0) == '*' && peek(c, 1) == '/' : *c->at == '\n'))
        step(c);
    if (block && c->at < c->end)
        c->at += 2;
    return true;
}

static int
scan_string(struct cursor *c)
{
    for (c->at++; c->at < c->end && *c->at != '"'; step(c)) {
        if (*c->at != '\\')
            continue;
        if (peek(c, 1) == 'x' && peek(c, 2) == '0' && peek(c, 3) == '0')
            return refuse(c, "\\x00 would end the text here: remove it");
        if (peek(c, 1) == '"' || peek(c, 1) == '\\')
            c->at++;
    }
    if (c->at < c->end)
        c->at++;
    return 0;
}

/* Digits of a base from `at` on, as a number; saturates. */
static unsigned long long
digits(const char *at, size_t len, int base)
{
    char buf[24];

    if (len >= sizeof(buf))
        return ULLONG_MAX;
    memcpy(buf, at, len);
    buf[len] = '\0';
    return strtoull(buf, NULL, base);
}

static size_t
count_digits(const struct cursor *c, bool hex)
{
    size_t n = 0;

    while (hex ? isxdigit((unsigned char)peek(c, n)) : isdigit((unsigned char)peek(c, n)))
        n++;
    return n;
}

/* Do these digits go on as a float? */
static bool
is_float(const struct cursor *c)
{
    char exponent = peek(c, 1);

    if (peek(c, 0) == '.')
        return true;
    return (peek(c, 0) == 'e' || peek(c, 0) == 'E') &&
           (isdigit((unsigned char)exponent) || exponent == '-' || exponent == '+');
}

static int
scan_number(struct cursor *c)
{
    bool hex;

    if (*c->at == '+' || *c->at == '-')
        c->at++;
    hex = peek(c, 0) == '0' && (peek(c, 1) == 'x' || peek(c, 1) == 'X');
    if (hex)
        c->at += 2;
    size_t n = count_digits(c, hex);
    unsigned long long value = digits(c->at, n, hex ? 16 : 10);
    c->at += n;
    /* A float or a long number is read right, or refused later by its type and range. */
    unsigned long long most = peek(c, 0) == 'L' ? (unsigned long long)INT64_MAX : INT_MAX;
    if (value > most && (hex || !is_float(c)))
        return refuse(c,
                      "the number is larger than 2147483647: write sizes and durations as texts with a unit, such as "
                      "\"3GB\" or \"30s\"");
    if (n == 0 && peek(c, 0) == '.')
        c->at++;
    return 0;
}

static void
skip_name(struct cursor *c)
{
    while (isalnum((unsigned char)peek(c, 0)) || peek(c, 0) == '-' || peek(c, 0) == '_' || peek(c, 0) == '*')
        c->at++;
}

/* Only below the configuration's own folder, so that who may write there is who may write all of it. */
static bool
include_name_ok(const char *name, size_t len)
{
    if (len == 0 || len > SETTINGS_SHORT_MAX || name[0] == '/' || memchr(name, '\\', len) != NULL ||
        memchr(name, '\0', len) != NULL)
        return false;
    for (size_t at = 0; at < len;) {
        const char *slash = memchr(name + at, '/', len - at);
        size_t part = slash == NULL ? len - at : (size_t)(slash - name) - at;
        if (part == 2 && memcmp(name + at, "..", 2) == 0)
            return false;
        at += part + 1;
    }
    return true;
}

static int
scan_file(const struct cursor *from, const char *name, size_t len)
{
    struct scan *scan = from->scan;
    char         path[SETTINGS_PATH_MAX + 1], what[200];
    struct err   why = {0};
    size_t       text_len = 0;

    if (scan->folder_len + len >= sizeof(path))
        return refuse(from, "the path of this include is too long");
    snprintf(path, sizeof(path), "%.*s%.*s", (int)scan->folder_len, scan->folder, (int)len, name);
    char *text = settings_file_text(path, scan->left, false, &text_len, &why);
    if (text == NULL) {
        char shown[SETTINGS_SHOWN_MAX];
        snprintf(what, sizeof(what), "@include: %s: %.120s", settings_show(path, shown), why.text);
        return refuse(from, what);
    }
    scan->left -= text_len;
    int rc = scan_text(scan, path, text, text_len, from->depth + 1);
    free(text);
    return rc;
}

static int
scan_include(struct cursor *c)
{
    static const char word[] = "@include";
    const char *name, *quote;

    if ((size_t)(c->end - c->at) < sizeof(word) - 1 || memcmp(c->at, word, sizeof(word) - 1) != 0) {
        c->at++;
        return 0;
    }
    for (c->at += sizeof(word) - 1; peek(c, 0) == ' ' || peek(c, 0) == '\t';)
        c->at++;
    if (peek(c, 0) != '"')
        return refuse(c, "@include: write the name of a file in quotes");
    name = c->at + 1;
    quote = memchr(name, '"', (size_t)(c->end - name));
    if (quote == NULL || !include_name_ok(name, (size_t)(quote - name)))
        return refuse(c,
                      "@include: only files in the folder of the configuration, or below it: write a relative name "
                      "without \"..\"");
    if (c->depth == INCLUDE_DEPTH || c->scan->files++ == INCLUDE_FILES)
        return refuse(c, "@include: too many, or a file that includes itself: at most 64 files, 8 deep");
    c->at = quote + 1;
    return scan_file(c, name, (size_t)(quote - name));
}

static int
scan_token(struct cursor *c)
{
    switch (*c->at) {
    case '\0':
        return refuse(c, "a NUL byte: this is not a text file");
    case '"':
        return scan_string(c);
    case '@':
        return scan_include(c);
    case '{':
    case '[':
    case '(':
        c->at++;
        return ++c->nesting > NESTING_MAX ? refuse(c, "nested too deeply: a bracket is not closed before here") : 0;
    case '}':
    case ']':
    case ')':
        c->at++;
        c->nesting--;
        return 0;
    default:
        break;
    }
    if (isalpha((unsigned char)*c->at) || *c->at == '*')
        skip_name(c);
    else if (isdigit((unsigned char)*c->at) || strchr("+-.", *c->at) != NULL)
        return scan_number(c);
    else
        step(c);
    return 0;
}

static int
scan_text(struct scan *scan, const char *path, const char *text, size_t len, int depth)
{
    struct cursor c = {.scan = scan, .path = path, .at = text, .end = text + len, .line = 1, .depth = depth};

    /* libconfig calls it a syntax error in a line where nothing wrong is to be seen. */
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        return refuse(&c, "the file begins with a byte order mark: save it as UTF-8 without BOM");
    while (c.at < c.end) {
        if (!skip_comment(&c) && scan_token(&c) != 0)
            return -1;
    }
    return 0;
}

int
settings_scan(const char *path, const char *text, size_t len, struct err *err)
{
    const char *slash = strrchr(path, '/');
    struct scan scan = {.folder = path, .folder_len = slash == NULL ? 0 : (size_t)(slash - path) + 1, .err = err};

    scan.left = len > SETTINGS_FILE_MAX ? 0 : SETTINGS_FILE_MAX - len;
    return scan_text(&scan, path, text, len, 0);
}
