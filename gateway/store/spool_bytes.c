/* spool_bytes.c - the spool's bytes on the disk: headers, records, indexes. */
#include "spool_bytes.h"

#include <string.h>

static const char header_magic[8] = "SLUICESG", trailer_magic[8] = "SLUICEIX";

static void
put_u32(unsigned char *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(v >> 8 * i);
}

void
put_u64(unsigned char *at, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        at[i] = (unsigned char)(v >> 8 * i);
}

static uint32_t
get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint64_t
get_u64(const unsigned char *at)
{
    return (uint64_t)get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

static void
put_numbers(unsigned char *at, const uint64_t *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_u64(at + 8 * i, numbers[i]);
}

uint32_t
sum_begin(const struct crc32c *c, uint64_t nonce)
{
    unsigned char at[8];

    put_u64(at, nonce);
    return crc32c_add(c, 0, at, sizeof(at));
}

/* --- records --- */

enum { RECORD_SUMMED = 8 }; /* what is before this are the sums */

static void
record_lay(const struct record *r, unsigned char *at)
{
    put_u32(at + 8, r->body);
    at[12] = (unsigned char)r->head;
    at[13] = (unsigned char)(r->head >> 8);
    at[14] = r->id;
    at[RECORD_TYPE_AT] = r->type;
    put_u64(at + 16, r->pos | (uint64_t)r->flags << 48 | (uint64_t)r->format << 56);
    put_u64(at + 24, r->epoch);
    put_u64(at + 32, r->seq);
    put_u32(at + 40, r->flushed);
    put_u32(at + 44, 0);
}

uint32_t
record_sum(const struct crc32c *c, uint64_t nonce, const struct record *r)
{
    unsigned char at[RECORD_HEADER];

    record_lay(r, at);
    return crc32c_add(c, sum_begin(c, nonce), at + RECORD_SUMMED, RECORD_HEADER - RECORD_SUMMED);
}

void
record_put(const struct crc32c *c, uint64_t nonce, const struct record *r, unsigned char at[RECORD_HEADER])
{
    record_lay(r, at);
    put_u32(at, r->sum);
    put_u32(at + 4, crc32c_add(c, sum_begin(c, nonce), at + RECORD_SUMMED, RECORD_HEADER - RECORD_SUMMED));
}

bool
record_get(const struct crc32c *c, uint64_t nonce, const unsigned char at[RECORD_HEADER], struct record *ret)
{
    const uint64_t packed = get_u64(at + 16);

    if (at[RECORD_TYPE_AT] < RECORD_BUNDLE || at[RECORD_TYPE_AT] > RECORD_BASE || get_u32(at + 44) != 0 ||
        get_u32(at + 4) != crc32c_add(c, sum_begin(c, nonce), at + RECORD_SUMMED, RECORD_HEADER - RECORD_SUMMED))
        return false;
    *ret = (struct record){
        .sum = get_u32(at), .body = get_u32(at + 8), .head = (uint16_t)(at[12] | at[13] << 8), .id = at[14],
        .type = at[RECORD_TYPE_AT], .flags = (uint8_t)(packed >> 48), .format = (uint8_t)(packed >> 56),
        .pos = packed & POS_MAX,
        .epoch = get_u64(at + 24), .seq = get_u64(at + 32), .flushed = get_u32(at + 40),
    };
    return true;
}

/* --- segments --- */

void
segment_header_put(const struct crc32c *c, const struct segment_header *h, unsigned char at[SEGMENT_HEADER])
{
    memset(at, 0, SEGMENT_HEADER);
    memcpy(at, header_magic, sizeof(header_magic));
    put_u32(at + 8, h->format);
    put_u32(at + 12, h->kind);
    put_u64(at + 16, h->nonce);
    put_u64(at + 24, h->seq);
    put_u64(at + 32, h->size);
    put_u32(at + 60, crc32c_add(c, 0, at, 60));
}

bool
segment_header_get(const struct crc32c *c, const unsigned char at[SEGMENT_HEADER], struct segment_header *ret)
{
    const uint32_t kind = get_u32(at + 12);

    if (memcmp(at, header_magic, sizeof(header_magic)) != 0 || get_u32(at + 60) != crc32c_add(c, 0, at, 60) ||
        kind < SEGMENT_HOT || kind > SEGMENT_BIG)
        return false;
    *ret = (struct segment_header){.format = get_u32(at + 8), .kind = (enum segment_kind)kind,
                                   .nonce = get_u64(at + 16), .seq = get_u64(at + 24), .size = get_u64(at + 32)};
    return true;
}

void
entry_put(const struct entry *e, unsigned char at[ENTRY_BYTES])
{
    put_u64(at, e->pos << 16 | e->over);
    put_u32(at + 8, e->at);
    put_u32(at + 12, e->body);
}

void
entry_get(const unsigned char at[ENTRY_BYTES], struct entry *ret)
{
    const uint64_t packed = get_u64(at);

    *ret = (struct entry){.pos = packed >> 16, .over = packed & 0xffff, .at = get_u32(at + 8),
                          .body = get_u32(at + 12)};
}

size_t
summary_put(const struct summary *s, const char *id, unsigned char *at)
{
    const uint64_t numbers[] = {s->first, s->last, s->count, s->bytes, s->mark_pos, s->epoch, s->seq, s->index_at};
    const size_t len = (SUMMARY_BYTES + (size_t)s->id + 7) / 8 * 8;

    memset(at, 0, len);
    put_numbers(at, numbers, 8);
    put_u32(at + 64, s->index_sum);
    at[68] = s->id;
    memcpy(at + SUMMARY_BYTES, id, s->id);
    return len;
}

size_t
summary_get(const unsigned char *at, size_t len, struct summary *ret, const char **ret_id)
{
    size_t all;

    if (len < SUMMARY_BYTES || (all = (SUMMARY_BYTES + (size_t)at[68] + 7) / 8 * 8) > len)
        return 0;
    *ret = (struct summary){
        .first = get_u64(at), .last = get_u64(at + 8), .count = get_u64(at + 16), .bytes = get_u64(at + 24),
        .mark_pos = get_u64(at + 32), .epoch = get_u64(at + 40), .seq = get_u64(at + 48),
        .index_at = get_u64(at + 56), .index_sum = get_u32(at + 64), .id = at[68],
    };
    *ret_id = (const char *)at + SUMMARY_BYTES;
    return all;
}

static uint32_t
trailer_sum(const struct crc32c *c, const unsigned char *at, const void *summaries, size_t len)
{
    return crc32c_add(c, crc32c_add(c, 0, at, TRAILER_BYTES - 4), summaries, len);
}

void
trailer_put(const struct crc32c *c, const struct trailer *t, const void *summaries, unsigned char at[TRAILER_BYTES])
{
    const uint64_t numbers[] = {t->nonce, t->seq, t->used, t->summaries_at};

    memcpy(at, trailer_magic, sizeof(trailer_magic));
    put_numbers(at + 8, numbers, 4);
    put_u32(at + 40, t->summaries_len);
    put_u32(at + 44, t->summaries);
    put_u32(at + 48, t->entries);
    put_u32(at + 52, t->kind);
    put_u32(at + 56, 0);
    put_u32(at + 60, trailer_sum(c, at, summaries, t->summaries_len));
}

bool
trailer_get(const unsigned char at[TRAILER_BYTES], struct trailer *ret)
{
    if (memcmp(at, trailer_magic, sizeof(trailer_magic)) != 0)
        return false;
    *ret = (struct trailer){
        .nonce = get_u64(at + 8), .seq = get_u64(at + 16), .used = get_u64(at + 24), .summaries_at = get_u64(at + 32),
        .summaries_len = get_u32(at + 40), .summaries = get_u32(at + 44), .entries = get_u32(at + 48),
        .kind = (enum segment_kind)get_u32(at + 52), .sum = get_u32(at + 60),
    };
    return ret->kind >= SEGMENT_HOT && ret->kind <= SEGMENT_BIG;
}

bool
trailer_fits(const struct crc32c *c, const unsigned char at[TRAILER_BYTES], const void *summaries)
{
    return get_u32(at + 60) == trailer_sum(c, at, summaries, get_u32(at + 40));
}

/* --- states of streams --- */

void
stream_state_put(const struct stream_state *s, unsigned char at[STATE_BYTES])
{
    const uint64_t numbers[] = {s->next, s->mark_pos, s->epoch, s->seq, s->count, s->bytes, s->dead_count,
                                s->dead_bytes};

    put_numbers(at, numbers, 8);
    put_u32(at + 64, s->gone);
    put_u32(at + 68, s->dead);
}

void
stream_state_get(const unsigned char at[STATE_BYTES], struct stream_state *ret)
{
    *ret = (struct stream_state){
        .next = get_u64(at), .mark_pos = get_u64(at + 8), .epoch = get_u64(at + 16), .seq = get_u64(at + 24),
        .count = get_u64(at + 32), .bytes = get_u64(at + 40), .dead_count = get_u64(at + 48),
        .dead_bytes = get_u64(at + 56), .gone = get_u32(at + 64), .dead = get_u32(at + 68),
    };
}
