/* fetch.h - get the feed: over HTTP with every guard, or from a file.
 *
 * The only file that knows libcurl.  Proxies are taken from the environment, as clients do; credentials
 * (user:password@, a query) are used but never written anywhere.  One thread. */
#ifndef KEV_FETCH_H
#define KEV_FETCH_H

#include <stdbool.h>
#include <stddef.h>

#include "cursor.h"

struct err;

enum { KEV_REDIRECTS_MAX = 3 };

struct kev_fetch {
    const char *feed;         /* "http://...", "https://..." or the path of a file; borrowed */
    const char *etag;         /* of what we have; "" where we have nothing */
    const char *last_modified;
    size_t      cap;          /* most bytes of the feed */
    long        connect_ms, total_ms, idle_s; /* idle: below 1 kB/s for so long */
};

struct kev_page {
    char  *body;          /* new, from malloc; NULL where unmodified */
    size_t len;
    bool   unmodified;    /* the server says that we have it already */
    char   etag[KEV_STAMP_MAX], last_modified[KEV_STAMP_MAX];
};

/* Is this a URL rather than a path?  ERR_CONFIG: a URL of a scheme that is not spoken here. */
int kev_is_url(const char *feed, bool *ret, struct err *err);

/* The feed's name for people and for the state: without user, password, query and fragment. */
void kev_source_name(const char *feed, char *buf, size_t cap);

/* Get it.  ERR_TIMEOUT: no network: the host could not be found or reached, so nothing was asked;
 * ERR_IO: unavailable for any other reason; ERR_NOMEM.  Every text names the feed. */
int kev_fetch(const struct kev_fetch *f, struct kev_page *ret, struct err *err);

void kev_page_free(struct kev_page *page);

#endif
