/* bundle.h - a bundle in the library's custody: its body, and who still needs it.
 *
 * Struct and body are one allocation, unless the caller gave the body away.  The custody is one
 * reference, and each chunk that the transport reads in place is another: a resend needs the body until
 * the verdict came, and the transport until it has written.  References: any thread; all else: the owner. */
#ifndef BUNDLE_H
#define BUNDLE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "session.h"

struct bundle {
    struct session_bundle part; /* first: a session_bundle of ours is a bundle */
    atomic_uint    refs;
    struct bundle *next; /* in the list of whoever owns it */
    uint64_t       tag;
    uint64_t       cost; /* what it takes from queue_bytes: wire_cost of it and its options */
    uint8_t       *body;
    void          *taken; /* the body, where the caller gave it away; malloc */
    char           data[]; /* content type, options, then the body */
};

/* A list in order; both NULL: empty. */
struct bundle_list {
    struct bundle *first, *last;
};

struct sluice_push_options;

/* Copy body (or take it, where take is set) with what opt says of it (NULL: nothing).  Returns a new bundle with one
 * reference, or NULL without memory; then nothing was taken. */
struct bundle *bundle_new(const void *body, size_t len, const struct sluice_push_options *opt, void *take);

void bundle_ref(struct bundle *b);

/* Give one reference back; the last one frees.  NULL does nothing. */
void bundle_unref(struct bundle *b);

void bundle_append(struct bundle_list *list, struct bundle *b);

/* The first one, taken out; NULL: the list is empty. */
struct bundle *bundle_shift(struct bundle_list *list);

#endif
