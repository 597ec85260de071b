/* feed.h - the catalogue as CISA publishes it, read strictly.
 *
 * What is not as the schema says is refused with its place ("vulnerabilities[17].dateAdded: ..."): half a catalogue
 * sent in good faith would move the cursor past what was left out.  Fields that are not known are left alone, so
 * that CISA may add some.  Pure; any thread. */
#ifndef KEV_FEED_H
#define KEV_FEED_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct kev_feed;

enum {
    KEV_FEED_MAX = 64 * 1024 * 1024, /* bytes */
    KEV_VALUES_MAX = 2000000,        /* JSON values: bounds what parsing them takes (about 100 bytes each) */
    KEV_DEPTH_MAX = 16,
    KEV_CWES_MAX = 64                /* weaknesses in one entry */
};

/* One vulnerability; texts are lent from the feed, UTF-8, never NULL. */
struct kev_entry {
    const char *cve;         /* CVE-YYYY-NNNN */
    const char *added;       /* YYYY-MM-DD, a real day */
    const char *due;         /* the same, or "" */
    const char *vendor, *product, *name, *description, *action;
    const char *notes;       /* "" where there are none */
    bool        ransomware;  /* known to be used in ransomware campaigns */
    const char *cwes[KEV_CWES_MAX];
    size_t      n_cwes;
};

/* Parse len bytes.  ERR_PROTO: malformed, with the place; ERR_NOMEM. */
struct kev_feed *kev_feed_parse(const char *text, size_t len, struct err *err);

size_t kev_feed_count(const struct kev_feed *feed);

/* Entry i, below the count, in the feed's order; lent until kev_feed_free. */
const struct kev_entry *kev_feed_entry(const struct kev_feed *feed, size_t i);

/* Is text a day as the feed writes it, YYYY-MM-DD? */
bool kev_is_day(const char *text);

/* kev_feed_free(NULL) does nothing. */
void kev_feed_free(struct kev_feed *feed);

#endif
