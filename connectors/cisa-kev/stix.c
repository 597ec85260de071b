#include "stix.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "err.h"
#include "feed.h"
#include "id.h"

#define NVD "https://nvd.nist.gov/vuln/detail/"
#define CATALOGUE "https://www.cisa.gov/known-exploited-vulnerabilities-catalog"

/* The day the catalogue began: an identity needs a time, and one that is the same in every run. */
#define CISA_SINCE "2021-11-03T00:00:00.000Z"

static bool
is_blank(char c)
{
    return c == '\0' || c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t
scheme_len(const char *at)
{
    if (strncasecmp(at, "https://", 8) == 0)
        return 8;
    return strncasecmp(at, "http://", 7) == 0 ? 7 : 0;
}

/* Is the last byte a bracket that was opened before the link? */
static bool
closes_nothing(const char *at, size_t len)
{
    int open = 0;

    for (size_t i = 0; i < len; i++)
        open += at[i] == '(' ? 1 : at[i] == ')' ? -1 : 0;
    return at[len - 1] == ')' && open < 0;
}

/* Where the link at `at` ends: ';' and ',' belong to some links (git's web pages), so they end one only before a
 * blank, the end, or the next link. */
static size_t
url_len(const char *at)
{
    size_t len = scheme_len(at);

    while (!is_blank(at[len]) && at[len] != '"' && at[len] != '<' && at[len] != '>' &&
           !((at[len] == ';' || at[len] == ',') && scheme_len(at + len + 1) > 0))
        len++;
    while (len > 0 && (strchr(".,;:!?", at[len - 1]) != NULL || closes_nothing(at, len)))
        len--;
    return len;
}

static bool
urls_have(const struct kev_urls *urls, const char *at, size_t len)
{
    for (size_t i = 0; i < urls->n; i++)
        if (urls->url[i].len == len && memcmp(urls->url[i].at, at, len) == 0)
            return true;
    return false;
}

void
kev_urls_find(const char *notes, struct kev_urls *ret)
{
    ret->n = 0;
    for (const char *at = notes; *at != '\0' && ret->n < KEV_URLS_MAX; at++) {
        size_t scheme = scheme_len(at), len = scheme > 0 ? url_len(at) : 0;

        if (len == 0)
            continue;
        if (len > scheme && len <= KEV_URL_LEN_MAX && !urls_have(ret, at, len)) {
            ret->url[ret->n].at = at;
            ret->url[ret->n].len = len;
            ret->n++;
        }
        at += len - 1;
    }
}

static int
add_cwes(json_t *refs, const struct kev_entry *e)
{
    for (size_t i = 0; i < e->n_cwes; i++)
        if (json_array_append_new(refs, json_pack("{s:s,s:s}", "source_name", "cwe", "external_id", e->cwes[i])) != 0)
            return -1;
    return 0;
}

/* New list: the CVE, its page at NVD, the catalogue, what CISA's notes link to, the weaknesses.  NULL: no memory. */
static json_t *
references(const struct kev_entry *e)
{
    char nvd[sizeof(NVD) + 32];
    struct kev_urls urls;
    json_t *refs;

    snprintf(nvd, sizeof(nvd), NVD "%.24s", e->cve);
    refs = json_pack("[{s:s,s:s},{s:s,s:s},{s:s,s:s}]", "source_name", "cve", "external_id", e->cve, "source_name",
                     "nvd", "url", nvd, "source_name", "cisa-kev", "url", CATALOGUE);
    kev_urls_find(e->notes, &urls);
    for (size_t i = 0; i < urls.n && refs != NULL; i++) {
        if (urls.url[i].len == strlen(nvd) && strncasecmp(urls.url[i].at, nvd, urls.url[i].len) == 0)
            continue; /* is there already */
        if (json_array_append_new(refs, json_pack("{s:s,s:s%}", "source_name", "cisa-kev-notes", "url", urls.url[i].at,
                                                  urls.url[i].len)) != 0)
            goto nomem;
    }
    if (refs == NULL || add_cwes(refs, e) != 0)
        goto nomem;
    return refs;

nomem:
    json_decref(refs);
    return NULL;
}

static json_t *
cisa(const char *id)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "type", "identity", "spec_version", "2.1", "id", id, "created",
                     CISA_SINCE, "modified", CISA_SINCE, "name", "CISA", "identity_class", "organization");
}

/* Where the feed leaves a text out, so do we: STIX has no empty properties. */
static int
set_text(json_t *object, const char *key, const char *text)
{
    return text[0] == '\0' ? 0 : json_object_set_new(object, key, json_string(text));
}

static json_t *
vulnerability(const struct kev_entry *e, const char *cisa_id)
{
    char id[KEV_ID_LEN], added[32];
    json_t *v;

    if (kev_id_vulnerability(e->cve, id) != 0)
        return NULL;
    snprintf(added, sizeof(added), "%.10sT00:00:00.000Z", e->added);
    v = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o*}", "type", "vulnerability", "spec_version", "2.1", "id", id,
                  "created_by_ref", cisa_id, "created", added, "modified", added, "name", e->cve, "description",
                  e->description, "external_references", references(e));
    if (v == NULL)
        return NULL;
    if (json_object_get(v, "external_references") == NULL ||
        json_object_set_new(v, "labels", e->ransomware ? json_pack("[s,s]", "known-exploited", "ransomware")
                                                       : json_pack("[s]", "known-exploited")) != 0 ||
        set_text(v, "x_kev_name", e->name) != 0 || set_text(v, "x_kev_vendor", e->vendor) != 0 ||
        set_text(v, "x_kev_product", e->product) != 0 || set_text(v, "x_kev_date_added", e->added) != 0 ||
        set_text(v, "x_kev_due_date", e->due) != 0 || set_text(v, "x_kev_required_action", e->action) != 0 ||
        json_object_set_new(v, "x_kev_known_ransomware_use", json_boolean(e->ransomware)) != 0) {
        json_decref(v);
        return NULL;
    }
    return v;
}

/* New bundle with everything but its id. */
static json_t *
objects(const struct kev_entry *const *entries, size_t n)
{
    char id[KEV_ID_LEN];
    json_t *list = json_array();

    if (list == NULL || kev_id_cisa(id) != 0 || json_array_append_new(list, cisa(id)) != 0)
        goto nomem;
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(list, vulnerability(entries[i], id)) != 0)
            goto nomem;
    return list;

nomem:
    json_decref(list);
    return NULL;
}

int
kev_stix_bundle(const struct kev_entry *const *entries, size_t n, void **ret, size_t *ret_len, struct err *err)
{
    char id[KEV_ID_LEN];
    json_t *list = objects(entries, n), *bundle = NULL;
    char *text = list == NULL ? NULL : json_dumps(list, JSON_COMPACT);
    bool named = text != NULL && kev_id_bundle(text, strlen(text), id) == 0;

    /* The id comes from the objects themselves: another content is another bundle. */
    free(text);
    text = NULL;
    if (named)
        bundle = json_pack("{s:s,s:s,s:O}", "type", "bundle", "id", id, "objects", list);
    if (bundle != NULL)
        text = json_dumps(bundle, JSON_COMPACT);
    json_decref(bundle);
    json_decref(list);
    if (text == NULL)
        return err_set(err, ERR_NOMEM, 0, "making a bundle of %s", entries[0]->cve);
    *ret_len = strlen(text);
    *ret = text;
    return 0;
}
