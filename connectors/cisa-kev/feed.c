#include "feed.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

enum { CVE_LEN_MAX = 24 };

struct kev_feed {
    json_t           *root;  /* owns the texts */
    struct kev_entry *entry; /* count of them */
    size_t            count;
};

/* Bound what the parser will take before it runs: a small text can hold very many values, or very deep ones. */
static int
measure(const char *text, size_t len, struct err *err)
{
    size_t values = 0, depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (quoted) {
            if (c == '\\')
                i++;
            quoted = c != '"';
            continue;
        }
        quoted = c == '"';
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && depth > 0)
            depth--;
        if (c == ',' || c == ':' || c == '{' || c == '[')
            values++;
        if (depth > KEV_DEPTH_MAX)
            return err_set(err, ERR_PROTO, 0, "feed: nested deeper than %d at byte %zu", KEV_DEPTH_MAX, i);
        if (values > KEV_VALUES_MAX)
            return err_set(err, ERR_PROTO, 0, "feed: more than %d values, at byte %zu", KEV_VALUES_MAX, i);
    }
    return 0;
}

static json_t *
load(const char *text, size_t len, struct err *err)
{
    json_error_t why;
    json_t *root;

    if (len == 0) {
        err_set(err, ERR_PROTO, 0, "feed: is empty");
        return NULL;
    }
    if (len > KEV_FEED_MAX) {
        err_set(err, ERR_PROTO, 0, "feed: %zu bytes, at most %d are read", len, KEV_FEED_MAX);
        return NULL;
    }
    if (measure(text, len, err) != 0)
        return NULL;
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        err_set(err, json_error_code(&why) == json_error_out_of_memory ? ERR_NOMEM : ERR_PROTO, 0,
                "feed: not JSON at line %d, column %d: %.120s", why.line, why.column, why.text);
    return root;
}

/* The text under key in entry i; absent (or null) gives "" unless it is required. */
static int
text_of(const json_t *object, size_t i, const char *key, bool required, const char **ret, struct err *err)
{
    const json_t *value = json_object_get(object, key);

    *ret = "";
    if (value == NULL || json_is_null(value)) {
        if (required)
            return err_set(err, ERR_PROTO, 0, "feed: vulnerabilities[%zu].%s is missing", i, key);
        return 0;
    }
    if (!json_is_string(value))
        return err_set(err, ERR_PROTO, 0, "feed: vulnerabilities[%zu].%s is not a text", i, key);
    *ret = json_string_value(value);
    if (required && (*ret)[0] == '\0')
        return err_set(err, ERR_PROTO, 0, "feed: vulnerabilities[%zu].%s is empty", i, key);
    return 0;
}

/* CVE-, four digits, a hyphen, four digits or more. */
static bool
is_cve(const char *text)
{
    size_t len = strlen(text);

    if (len < 13 || len > CVE_LEN_MAX || strncmp(text, "CVE-", 4) != 0 || text[8] != '-')
        return false;
    for (size_t i = 4; i < len; i++)
        if (i != 8 && !isdigit((unsigned char)text[i]))
            return false;
    return true;
}

/* The n digits at text. */
static int
number(const char *text, size_t n)
{
    int value = 0;

    for (size_t i = 0; i < n; i++)
        value = value * 10 + (text[i] - '0');
    return value;
}

bool
kev_is_day(const char *text)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;

    if (strlen(text) != 10 || text[4] != '-' || text[7] != '-')
        return false;
    for (size_t i = 0; i < 10; i++)
        if (i != 4 && i != 7 && !isdigit((unsigned char)text[i]))
            return false;
    year = number(text, 4);
    month = number(text + 5, 2);
    day = number(text + 8, 2);
    if (month < 1 || month > 12 || day < 1 || day > days[month - 1])
        return false;
    return month != 2 || day < 29 || (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

static int
read_cwes(const json_t *object, size_t i, struct kev_entry *e, struct err *err)
{
    const json_t *list = json_object_get(object, "cwes");
    size_t n = json_array_size(list);

    if (list == NULL || json_is_null(list))
        return 0;
    if (!json_is_array(list) || n > KEV_CWES_MAX)
        return err_set(err, ERR_PROTO, 0, "feed: vulnerabilities[%zu].cwes is not a list of at most %d texts", i,
                       KEV_CWES_MAX);
    for (size_t k = 0; k < n; k++) {
        const json_t *one = json_array_get(list, k);

        if (!json_is_string(one))
            return err_set(err, ERR_PROTO, 0, "feed: vulnerabilities[%zu].cwes[%zu] is not a text", i, k);
        e->cwes[e->n_cwes++] = json_string_value(one);
    }
    return 0;
}

static int
read_entry(const json_t *object, size_t i, struct kev_entry *e, struct err *err)
{
    const char *ransomware = "";

    if (!json_is_object(object))
        return err_set(err, ERR_PROTO, 0, "feed: vulnerabilities[%zu] is not an object", i);
    if (text_of(object, i, "cveID", true, &e->cve, err) != 0 ||
        text_of(object, i, "dateAdded", true, &e->added, err) != 0 ||
        text_of(object, i, "vendorProject", true, &e->vendor, err) != 0 ||
        text_of(object, i, "product", true, &e->product, err) != 0 ||
        text_of(object, i, "vulnerabilityName", true, &e->name, err) != 0 ||
        text_of(object, i, "shortDescription", true, &e->description, err) != 0 ||
        text_of(object, i, "requiredAction", false, &e->action, err) != 0 ||
        text_of(object, i, "dueDate", false, &e->due, err) != 0 ||
        text_of(object, i, "notes", false, &e->notes, err) != 0 ||
        text_of(object, i, "knownRansomwareCampaignUse", false, &ransomware, err) != 0)
        return -1;
    e->ransomware = strcmp(ransomware, "Known") == 0;
    if (!is_cve(e->cve))
        return err_set(err, ERR_PROTO, 0, "feed: vulnerabilities[%zu].cveID is \"%.40s\", not CVE-YYYY-NNNN", i,
                       e->cve);
    if (!kev_is_day(e->added))
        return err_set(err, ERR_PROTO, 0, "feed: vulnerabilities[%zu].dateAdded is \"%.40s\", not a day YYYY-MM-DD", i,
                       e->added);
    if (e->due[0] != '\0' && !kev_is_day(e->due))
        return err_set(err, ERR_PROTO, 0, "feed: vulnerabilities[%zu].dueDate is \"%.40s\", not a day YYYY-MM-DD", i,
                       e->due);
    return read_cwes(object, i, e, err);
}

static int
read_entries(struct kev_feed *feed, const json_t *list, struct err *err)
{
    json_t *seen = json_object(); /* CVE id to its place */
    int rc = 0;

    if (seen == NULL)
        return err_set(err, ERR_NOMEM, 0, "feed: %zu entries", feed->count);
    for (size_t i = 0; i < feed->count && rc == 0; i++) {
        struct kev_entry *e = &feed->entry[i];
        const json_t *before;

        rc = read_entry(json_array_get(list, i), i, e, err);
        if (rc != 0)
            break;
        before = json_object_get(seen, e->cve);
        if (before != NULL)
            rc = err_set(err, ERR_PROTO, 0, "feed: vulnerabilities[%zu].cveID is %s, as vulnerabilities[%lld] is", i,
                         e->cve, (long long)json_integer_value(before));
        else if (json_object_set_new(seen, e->cve, json_integer((json_int_t)i)) != 0)
            rc = err_set(err, ERR_NOMEM, 0, "feed: %zu entries", feed->count);
    }
    json_decref(seen);
    return rc;
}

struct kev_feed *
kev_feed_parse(const char *text, size_t len, struct err *err)
{
    struct kev_feed *feed = calloc(1, sizeof(*feed));
    const json_t *list, *count;

    if (feed == NULL) {
        err_set(err, ERR_NOMEM, errno, "feed");
        return NULL;
    }
    feed->root = load(text, len, err);
    if (feed->root == NULL)
        goto fail;
    list = json_object_get(feed->root, "vulnerabilities");
    if (!json_is_array(list)) {
        err_set(err, ERR_PROTO, 0, "feed: no list \"vulnerabilities\": is this CISA's KEV catalogue in JSON?");
        goto fail;
    }
    feed->count = json_array_size(list);
    count = json_object_get(feed->root, "count");
    if (count != NULL && (!json_is_integer(count) || json_integer_value(count) != (json_int_t)feed->count)) {
        err_set(err, ERR_PROTO, 0, "feed: \"count\" is not the %zu entries that are there", feed->count);
        goto fail;
    }
    feed->entry = calloc(feed->count + 1, sizeof(*feed->entry));
    if (feed->entry == NULL) {
        err_set(err, ERR_NOMEM, errno, "feed: %zu entries", feed->count);
        goto fail;
    }
    if (read_entries(feed, list, err) != 0)
        goto fail;
    return feed;

fail:
    kev_feed_free(feed);
    return NULL;
}

size_t
kev_feed_count(const struct kev_feed *feed)
{
    return feed->count;
}

const struct kev_entry *
kev_feed_entry(const struct kev_feed *feed, size_t i)
{
    return &feed->entry[i];
}

void
kev_feed_free(struct kev_feed *feed)
{
    if (feed == NULL)
        return;
    json_decref(feed->root);
    free(feed->entry);
    free(feed);
}
