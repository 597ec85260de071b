/* stix.h - entries of the catalogue as a STIX 2.1 bundle: the identity of CISA, and a vulnerability for each.
 *
 * The same entries give the same bytes.  What STIX has no place for is kept in x_kev_* properties.
 * Pure; any thread. */
#ifndef KEV_STIX_H
#define KEV_STIX_H

#include <stddef.h>

struct err;
struct kev_entry;

#define KEV_CONTENT_TYPE "application/stix+json;version=2.1"

enum {
    KEV_URLS_MAX = 64,     /* links taken from the notes of one entry */
    KEV_URL_LEN_MAX = 2000
};

/* The links in a text of CISA's notes: they stand between words, separated by blanks, ';' or ','. */
struct kev_urls {
    struct {
        const char *at; /* lent from the notes, not NUL-terminated */
        size_t      len;
    } url[KEV_URLS_MAX];
    size_t n;
};
void kev_urls_find(const char *notes, struct kev_urls *ret);

/* n entries (at least 1) as one bundle: *ret is new, from malloc, *ret_len bytes.  ERR_NOMEM. */
int kev_stix_bundle(const struct kev_entry *const *entries, size_t n, void **ret, size_t *ret_len, struct err *err);

#endif
