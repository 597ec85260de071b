/* stix.h - made-up bundles of any size, and a tally of the messages that came of one.
 *
 * Object 0 is an identity, which all others, malware, say they are from.  What fails ends the test. */
#ifndef STIX_H
#define STIX_H

#include <stddef.h>
#include <stdint.h>

struct work;

/* A bundle of n objects, each of the others with a description of `pad` bytes.  The caller frees it. */
char *stix_bundle(uint32_t n, size_t pad, size_t *ret_len);

struct stix_tally {
    uint32_t  n;        /* objects of the bundle */
    size_t    pad;
    uint32_t *seen;     /* how often each came */
    uint32_t  distinct; /* that came at all */
    uint64_t  messages;
    char      first_id[192]; /* message_id of the first message: without its last number it is the bundle's */
};

struct stix_tally *stix_tally_new(uint32_t n, size_t pad);

/* As a worker_take: it is an object of the bundle, whole, and not before the identity. */
void stix_tally_take(void *ctx, const struct work *w);

void stix_tally_free(struct stix_tally *t);

#endif
