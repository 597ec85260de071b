/* spool_bytes.h - the spool's bytes on the disk: headers, records, indexes.  docs/spool-format.md draws them.
 *
 * All numbers are little-endian.  Every sum covers the segment's nonce, too: what an earlier use of the file left in
 * it never counts.  Pure. */
#ifndef SPOOL_BYTES_H
#define SPOOL_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crc32c.h"

enum {
    SPOOL_FORMAT = 1,
    SEGMENT_HEADER = 64, /* bytes; the first record begins here */
    RECORD_HEADER = 48,
    RECORD_TYPE_AT = 15, /* where its type is */
    ENTRY_BYTES = 16,    /* of the index */
    SUMMARY_BYTES = 72,  /* and the id, to a multiple of 8 */
    TRAILER_BYTES = 64,
    STATE_BYTES = 72     /* of the body of a RECORD_STATE, before its ranges */
};

#define POS_MAX ((UINT64_C(1) << 48) - 1)
#define BODY_MAX (UINT64_C(1) << 31) /* of one record */

enum record_type {
    RECORD_BUNDLE = 1,
    RECORD_STATE = 2, /* of a stream: what was released since the last, or (RECORD_FULL) all */
    RECORD_BURY = 3,  /* pos is a dead letter from here on; epoch: the bytes of its body */
    RECORD_BASE = 4   /* each stream's full state stands before this */
};
enum { RECORD_DEAD = 1, RECORD_REVIVED = 2, RECORD_FULL = 4 };

/* In the file: header, (RECORD_REVIVED: eight bytes, the position it had), head, id, body; to a multiple of 8. */
struct record {
    uint32_t sum;
    uint32_t body;    /* bytes */
    uint16_t head;
    uint8_t  id, type, flags, format;
    uint64_t pos, epoch, seq;
    uint32_t flushed; /* up to here the segment was on the disk when this was written */
};

enum segment_kind {
    SEGMENT_HOT = 1, /* what is appended, in its order, with the states of the streams */
    SEGMENT_COLD,    /* what was copied from sparse ones */
    SEGMENT_BIG      /* one bundle */
};

struct segment_header {
    uint32_t          format;
    enum segment_kind kind;
    uint64_t          nonce, seq, size;
};

/* Where a record is, as the index has it. */
struct entry {
    uint64_t pos;
    uint32_t at, over, body; /* over: bytes before its body */
};

struct summary {
    uint64_t first, last, count, bytes; /* positions; records; bytes of them whole */
    uint64_t mark_pos, epoch, seq;      /* of the last that was appended here, and not revived */
    uint64_t index_at;
    uint32_t index_sum;
    uint8_t  id;
};

struct trailer {
    uint64_t          nonce, seq, used, summaries_at;
    uint32_t          summaries_len, summaries, entries, sum;
    enum segment_kind kind;
};

struct stream_state {
    uint64_t next, mark_pos, epoch, seq, count, bytes, dead_count, dead_bytes;
    uint32_t gone, dead; /* ranges that follow, of 16 bytes */
};

static inline size_t
record_over(const struct record *r)
{
    return (size_t)RECORD_HEADER + ((r->flags & RECORD_REVIVED) != 0 ? 8 : 0) + r->head + r->id;
}

static inline uint64_t
record_len(const struct record *r)
{
    return ((uint64_t)record_over(r) + r->body + 7) & ~(uint64_t)7;
}

static inline uint64_t
entry_len(const struct entry *e)
{
    return ((uint64_t)e->over + e->body + 7) & ~(uint64_t)7;
}

uint32_t sum_begin(const struct crc32c *c, uint64_t nonce);

void put_u64(unsigned char *at, uint64_t v);
uint64_t get_u64(const unsigned char *at);

/* The sum over what follows the header is begun by record_sum, and goes in by record_put. */
uint32_t record_sum(const struct crc32c *c, uint64_t nonce, const struct record *r);
void record_put(const struct crc32c *c, uint64_t nonce, const struct record *r, unsigned char at[RECORD_HEADER]);

/* false: this is no header of a record of this segment. */
bool record_get(const struct crc32c *c, uint64_t nonce, const unsigned char at[RECORD_HEADER], struct record *ret);

void segment_header_put(const struct crc32c *c, const struct segment_header *h, unsigned char at[SEGMENT_HEADER]);
bool segment_header_get(const struct crc32c *c, const unsigned char at[SEGMENT_HEADER], struct segment_header *ret);

void entry_put(const struct entry *e, unsigned char at[ENTRY_BYTES]);
void entry_get(const unsigned char at[ENTRY_BYTES], struct entry *ret);

/* Returns how many bytes it takes, its id included; 0: not one that len bytes can begin with. */
size_t summary_put(const struct summary *s, const char *id, unsigned char *at);
size_t summary_get(const unsigned char *at, size_t len, struct summary *ret, const char **ret_id);

void trailer_put(const struct crc32c *c, const struct trailer *t, const void *summaries,
                 unsigned char at[TRAILER_BYTES]);
bool trailer_get(const unsigned char at[TRAILER_BYTES], struct trailer *ret);
bool trailer_fits(const struct crc32c *c, const unsigned char at[TRAILER_BYTES], const void *summaries);

void stream_state_put(const struct stream_state *s, unsigned char at[STATE_BYTES]);
void stream_state_get(const unsigned char at[STATE_BYTES], struct stream_state *ret);

#endif
