/* body.h - the bytes of one bundle: a file as it is, or made up.  No state; any thread. */
#ifndef BODY_H
#define BODY_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define BODY_STIX "application/stix+json;version=2.1"
#define BODY_BYTES "application/octet-stream"

enum { BODY_PREFIX = 16 }; /* bytes that tell synthetic bodies apart */

/* Read a file of at most max bytes: *ret is new, from malloc.  Nothing is changed on the way.
 * ERR_FULL: larger; ERR_IO: empty, not readable, or changed while it was read; ERR_NOMEM. */
int body_read(const char *path, uint64_t max, void **ret, size_t *ret_len, struct err *err);

/* Make size bytes (at least BODY_PREFIX) that begin with series and number in hex.  ERR_NOMEM. */
int body_make(size_t size, uint32_t series, uint32_t number, void **ret, struct err *err);

/* The content type that a body looks like: STIX where it begins as a JSON object does. */
const char *body_type(const void *body, size_t len);

#endif
