/* spool_record.c - one record, read and believed only if its sum, its stream and its position are right. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "spool_parts.h"

int
record_read(struct spool_log *l, struct slice *sl, const struct entry *e, struct record *ret, char **ret_block,
            struct err *err)
{
    const struct segment *s = sl->segment;
    unsigned char header[RECORD_HEADER];
    const int fd = segment_fd(l, sl->segment, err);
    size_t tail;
    char *block;

    if (fd < 0)
        return -1;
    if (e->over < RECORD_HEADER || e->at + entry_len(e) > s->size)
        return err_set(err, ERR_IO, 0, "segment %016" PRIx64 ": a record is not where it should be", s->seq);
    tail = e->over - RECORD_HEADER;
    block = malloc((size_t)e->body + tail + 1);
    if (block == NULL)
        return err_set(err, ERR_NOMEM, errno, "a bundle of %" PRIu32 " bytes", e->body);
    struct iovec v[] = {{header, sizeof(header)}, {block + e->body, tail}, {block, e->body}};
    if (disk_read(l->disk, fd, v, 3, e->at) != 0) {
        err_set(err, ERR_IO, errno, "segment %016" PRIx64 " cannot be read at %" PRIu32, s->seq, e->at);
        goto fail;
    }
    if (!record_get(&l->crc, s->nonce, header, ret) || ret->type != RECORD_BUNDLE || ret->body != e->body ||
        record_over(ret) != e->over || ret->pos != e->pos ||
        crc32c_add(&l->crc, crc32c_add(&l->crc, record_sum(&l->crc, s->nonce, ret), block + e->body, tail), block,
                   e->body) != ret->sum ||
        ret->id != sl->stream->id_len || memcmp(block + e->body + tail - ret->id, sl->stream->id, ret->id) != 0) {
        err_set(err, ERR_IO, 0, "segment %016" PRIx64 " is damaged at %" PRIu32, s->seq, e->at);
        goto fail;
    }
    block[e->body + tail] = '\0';
    *ret_block = block;
    return 0;

fail:
    free(block);
    return -1;
}

void
record_bundle(const struct record *r, char *block, struct spool_bundle *ret)
{
    const size_t old = (r->flags & RECORD_REVIVED) != 0 ? 8 : 0;

    *ret = (struct spool_bundle){.id = block + r->body + old + r->head, .epoch = r->epoch, .seq = r->seq,
                                 .format = r->format, .dead = (r->flags & RECORD_DEAD) != 0,
                                 .head = block + r->body + old, .head_len = r->head, .size = r->body};
}
