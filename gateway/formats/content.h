/* content.h - the bundle of one object, as text: slices of what came, and between them what the rules change.
 *
 * Thread: any; the bundle is only read. */
#ifndef CONTENT_H
#define CONTENT_H

#include <stddef.h>
#include <stdint.h>

#include "bundle.h"

/* Where the text goes, piece by piece. */
struct content_to {
    void (*put)(struct content_to *to, const void *at, size_t len);
};

/* What all bundles of one have in common; lent. */
struct content_common {
    const char *id;     /* the bundle's id as JSON, quotes included */
    uint32_t    id_len;
    const char *event;  /* the value of x_opencti_event_version as JSON; event_len 0: none */
    uint32_t    event_len;
};

/* {"type":"bundle","id":...,"spec_version":"2.1","x_opencti_seq":...,"objects":[object]} */
void content_write(const struct bundle *b, uint32_t object, const struct content_common *common, struct content_to *to);

/* Its bytes. */
uint64_t content_size(const struct bundle *b, uint32_t object, const struct content_common *common);

#endif
