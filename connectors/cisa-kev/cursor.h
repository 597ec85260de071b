/* cursor.h - what the connector remembers between runs: how far it is in which feed.
 *
 * Kept by the gateway as a small JSON text.  The cursor is the newest day of which entries were sent, and the ids sent
 * of that day: an entry is new if its day is later, or the same and its id is not among them.  So an entry that
 * CISA changes, or adds with an earlier day, is not seen; --reset-state sends everything again.
 * Pure; any thread. */
#ifndef KEV_CURSOR_H
#define KEV_CURSOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct err;
struct kev_entry;

enum {
    KEV_STAMP_MAX = 256,    /* bytes in an ETag or a Last-Modified; longer ones are not kept */
    KEV_SOURCE_MAX = 512,   /* bytes in the name of a feed */
    KEV_DAY_IDS_MAX = 20000 /* entries of one day: keeps the text well within the 1 MiB of a state */
};

struct kev_cursor {
    char    source[KEV_SOURCE_MAX];       /* which feed; "": nothing was ever sent */
    char    etag[KEV_STAMP_MAX];          /* as the server said with what was sent last; "": none */
    char    last_modified[KEV_STAMP_MAX];
    char    newest[11];                   /* YYYY-MM-DD; "": nothing was sent */
    json_t *ids;                          /* CVE ids of that day, as keys; owned */
};

/* An empty cursor.  ERR_NOMEM. */
int kev_cursor_start(struct kev_cursor *c, struct err *err);

/* Read what kev_cursor_print wrote.  ERR_PROTO: it is something else; ERR_NOMEM.  *c is filled on 0 only. */
int kev_cursor_parse(const void *text, size_t len, struct kev_cursor *c, struct err *err);

/* As text, new, from malloc.  NULL: no memory. */
char *kev_cursor_print(const struct kev_cursor *c);

bool kev_cursor_is_new(const struct kev_cursor *c, const struct kev_entry *e);

/* Remember that e was sent.  ERR_NOMEM; ERR_PROTO: more of one day than KEV_DAY_IDS_MAX. */
int kev_cursor_add(struct kev_cursor *c, const struct kev_entry *e, struct err *err);

/* Free what c owns; a cursor of zeros is fine. */
void kev_cursor_free(struct kev_cursor *c);

#endif
