/* options.c - what a bundle's sender asked for. */
#include "options.h"

#include <stddef.h>
#include <string.h>

#include "err.h"
#include "format.h"
#include "json.h"
#include "jsontext.h"

enum kind { TEXT, TRUTH, TEXTS, VERSION, FLAG, OURS };

/* The known keys; OURS are what the message says by itself. */
static const struct known {
    const char *key;
    enum kind   kind;
    size_t      where; /* in struct options */
} known[] = {
    {"work_id", TEXT, offsetof(struct options, work_id)},
    {"update", TRUTH, offsetof(struct options, update)},
    {"entities_types", TEXTS, offsetof(struct options, entities_types)},
    {"draft_id", TEXT, offsetof(struct options, draft_id)},
    {"applicant_id", TEXT, offsetof(struct options, applicant_id)},
    {"event_version", VERSION, offsetof(struct options, event_version)},
    {"no_split", FLAG, offsetof(struct options, no_split)},
    {"cleanup_inconsistent_bundle", FLAG, offsetof(struct options, cleanup)},
    {"bundle_type", OURS, 0},
    {"action_sequence", OURS, 0},
    {"content", OURS, 0},
};

static const struct known *
find(const struct json *j, struct json_text key)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (jsontext_is(j->text, key, known[i].key))
            return &known[i];
    return NULL;
}

/* A list of nothing but texts, at its bracket. */
static bool
are_texts(const struct json *j, uint32_t at)
{
    at = jsontext_blanks(j->text, at + 1);
    while (j->text[at] == '"') {
        at = jsontext_blanks(j->text, jsontext_skip(j->text, at));
        if (j->text[at] == ',')
            at = jsontext_blanks(j->text, at + 1);
    }
    return j->text[at] == ']';
}

/* What a value should have been; NULL: it is. */
static const char *
fault(const struct json *j, enum kind kind, uint32_t at)
{
    const unsigned char c = j->text[at];

    switch (kind) {
    case TEXT: return c == '"' ? NULL : "must be a text";
    case TRUTH:
    case FLAG: return c == 't' || c == 'f' ? NULL : "must be true or false";
    case TEXTS: return c == '[' && are_texts(j, at) ? NULL : "must be a list of texts";
    case VERSION: return c != '{' && c != '[' && c != 't' && c != 'f' ? NULL : "must be a text or a number";
    default: return "is what the message says by itself; it cannot be given";
    }
}

static bool
read_known(struct json *j, const struct known *k, struct options *o, struct err *err)
{
    uint32_t at;

    if (!json_value(j, &at))
        return false;
    if (j->text[at] == 'n' && k->kind != OURS)
        return true;
    const char *what = fault(j, k->kind, at);

    if (what != NULL) {
        (void)err_set(err, ERR_PROTO, 0, "options: %s %s", k->key, what);
        return false;
    }
    if (k->kind == FLAG)
        *(bool *)((char *)o + k->where) = j->text[at] == 't';
    else
        *(struct option *)((char *)o + k->where) = (struct option){at, j->at - at};
    return true;
}

/* Any other: ,"key":value as they came. */
static bool
read_other(struct json *j, struct json_text key, struct options *o)
{
    uint32_t at;

    if (!json_value(j, &at))
        return false;
    char *to = o->others + o->others_len;

    *to++ = ',';
    memcpy(to, j->text + key.at - 1, key.len + 2);
    to += key.len + 2;
    *to++ = ':';
    memcpy(to, j->text + at, j->at - at);
    o->others_len += key.len + 4 + (j->at - at);
    return true;
}

static bool
read_all(struct json *j, struct options *o, struct err *err)
{
    struct json_keys keys;
    struct json_text key;

    if (json_space(j) != '{')
        return json_refuse(j, j->at, "they are no JSON object");
    for (bool more = json_first(j, &keys, &key); more; more = json_next(j, &keys, &key)) {
        const struct known *k = find(j, key);
        if (k != NULL ? !read_known(j, k, o, err) : !read_other(j, key, o))
            return false;
    }
    if (!j->failed && (json_space(j) != 0 || j->at < j->len))
        return json_refuse(j, j->at, "bytes behind their end");
    return !j->failed;
}

/* With zero bytes behind it, as the scanner needs. */
static bool
copy(const char *text, uint32_t len, struct options *o)
{
    o->text = budget_resize(o->budget, NULL, 0, len + JSON_PAD);
    o->others = budget_resize(o->budget, NULL, 0, len + JSON_PAD);
    if (o->text == NULL || o->others == NULL)
        return false;
    o->len = len;
    memcpy(o->text, text, len);
    memset(o->text + len, 0, JSON_PAD);
    return true;
}

int
options_read(const char *text, size_t len, struct budget *budget, struct options *o, struct err *err)
{
    struct json j;
    struct err wrong = {.code = ERR_NONE};

    *o = (struct options){.budget = budget};
    if (len == 0)
        return 0;
    if (len > FORMAT_OPTIONS_MAX)
        return err_set(err, ERR_PROTO, 0, "options: %zu bytes, at most %d are taken", len, FORMAT_OPTIONS_MAX);
    if (!copy(text, (uint32_t)len, o))
        return -2;
    json_open(&j, o->text, o->len, budget);
    const bool right = read_all(&j, o, &wrong);

    json_close(&j);
    if (right)
        return 0;
    if (wrong.code != ERR_NONE)
        return err_set(err, wrong.code, 0, "%s", wrong.text);
    return j.fault == NULL ? -2 : err_set(err, ERR_PROTO, 0, "options: byte %u: %s", j.fault_at, j.fault);
}

void
options_trim(struct options *o)
{
    budget_free(o->budget, o->others, o->len + JSON_PAD);
    o->others = NULL;
    o->others_len = 0;
    if (o->event_version.len > 0)
        return;
    budget_free(o->budget, o->text, o->len + JSON_PAD);
    o->text = NULL;
}

void
options_close(struct options *o)
{
    budget_free(o->budget, o->text, o->len + JSON_PAD);
    budget_free(o->budget, o->others, o->len + JSON_PAD);
    o->text = NULL;
    o->others = NULL;
}
