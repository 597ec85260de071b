/* parts.h - what a bundle is published as, where that is not its body as it came: messages, rendered one at a time.
 *
 * A forward format makes it of a body; the loop owns it, beside the body; a publisher borrows it from the moment the
 * bundle is posted until it has reported what became of it, or that its connection is down.  While it is borrowed only
 * the publisher changes it: what went is noted here, so that after a nack or a lost connection only the rest goes.
 * Knows neither formats nor the broker. */
#ifndef PARTS_H
#define PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct parts;

struct parts_kind {
    /* Bytes of message i, the same at each call. */
    uint64_t (*size)(const struct parts *p, uint32_t i);
    /* Write message i: exactly that many bytes.  Any thread, one at a time. */
    void (*write)(const struct parts *p, uint32_t i, void *to);
    void (*free)(struct parts *p);
};

struct parts {
    const struct parts_kind *kind;
    const char *ctype, *encoding; /* AMQP content type and encoding; "" for none.  Lent until parts_free */
    uint32_t    n;                /* messages, at least 1 */
    uint32_t    went;             /* of them, confirmed by RabbitMQ */
    uint64_t    bytes;            /* of all messages */
    uint64_t    largest;          /* of one */
    uint64_t   *went_bits;        /* a bit for each message; allocated by who makes the parts */
    const void *raw;              /* the bundle as it came, raw_len bytes, lent until parts_free: for the spool */
    size_t      raw_len;
};

static inline bool
parts_went(const struct parts *p, uint32_t i)
{
    return (p->went_bits[i / 64] >> (i % 64) & 1) != 0;
}

/* Message i was confirmed.  Twice is once. */
static inline void
parts_confirm(struct parts *p, uint32_t i)
{
    if (parts_went(p, i))
        return;
    p->went_bits[i / 64] |= 1ULL << (i % 64);
    p->went++;
}

/* NULL does nothing. */
static inline void
parts_free(struct parts *p)
{
    if (p != NULL)
        p->kind->free(p);
}

#endif
