/* format.h - a forward format: the bytes of a bundle become the messages that are published.
 *
 * A format knows no broker: it says how many messages of which sizes, and then gives them one by one (parts.h).
 * "raw" needs none of this: its one message is the body as it is.
 * No I/O, no clock, no state of its own; randomness only for keys of hashes, on which nothing that comes out depends.
 * Any thread; one that may take its time, since a large bundle takes seconds. */
#ifndef FORMAT_H
#define FORMAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct body;
struct err;
struct parts;

enum { FORMAT_OPTIONS_MAX = 8192 }; /* bytes of a bundle's options */

/* What a format is told of one bundle.  Lent for the call. */
struct format_ask {
    const struct body *body;
    const char *options;      /* JSON text of the bundle's header: an object; "" for none */
    size_t      options_len;
    const char *applicant_id; /* of the target, for bundles that name none; "" for none */
    uint64_t    max_message;  /* what the broker takes in one message, bytes */
    bool        skip_large;   /* leave out messages above that; else they refuse the bundle */
    const atomic_bool *stop;  /* true: give up, as without memory; may become so meanwhile.  NULL: it never does */
};

/* Why a bundle is refused. */
enum format_fault {
    FORMAT_NOMEM,     /* no memory now: the same again later */
    FORMAT_MALFORMED, /* it is no bundle; err.text says where and what of it */
    FORMAT_TOO_LARGE, /* one of its messages is above max_message; err.text says which object */
    FORMAT_EMPTY      /* nothing in it can be imported */
};

/* What a person should know of a bundle that goes. */
struct format_notes {
    uint32_t incompatible; /* objects that were left out because the platform has no place for them */
    uint32_t too_large;    /* objects that were left out because they are above max_message */
    char     text[240];    /* which: the first of each, and how many more; "" where nothing was left out */
};

/* OpenCTI: split by its rules, wrapped for its workers.  0 with a new *ret_parts, which needs the body no more, and
 * *ret_notes; or -1 with *ret_fault and *err. */
int opencti_parts(const struct format_ask *ask, struct parts **ret_parts, struct format_notes *ret_notes,
                  enum format_fault *ret_fault, struct err *err);

#endif
