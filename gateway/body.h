/* body.h - the bytes of one bundle in memory: chunks as they came, never copied together; or, where a format made
 * messages of it, those in their place.
 *
 * The loop owns bodies; a publisher borrows one from the moment it is posted until it has reported what
 * became of it, or reported that its connection is down.  Only the owner frees. */
#ifndef BODY_H
#define BODY_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

/* One chunk and what keeps its bytes alive: a frame of the door's library, stored here so that nothing
 * is allocated for it.  64 bytes hold a zmq_msg_t; the door asserts it. */
struct chunk {
    const void *at;
    size_t      len;
    void      (*release)(struct chunk *); /* gives the frame back; NULL: nothing to do */
    alignas(8) unsigned char frame[64];
};

struct parts;

struct body {
    uint64_t      size; /* of the whole bundle */
    uint64_t      have; /* bytes in chunks so far */
    uint32_t      n, cap;
    struct chunk *chunks;
    struct chunk  one;  /* where chunks points while there is only one: most bundles are one chunk */
    struct parts *parts;  /* what a format made of it, owned; then there are no chunks.  NULL: nothing yet */
    const char   *ctype;  /* content type; never NULL */
    const char   *options; /* of its format, options_len bytes: an object in JSON; "" for none */
    size_t        options_len;
    char          tail[]; /* what the two point to, and the bytes of a small body */
};

#endif
