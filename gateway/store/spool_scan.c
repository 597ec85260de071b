/* spool_scan.c - all that can be believed in a segment, by its records alone. */
#include "spool_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

enum { WINDOW = 1024 * 1024 };

struct window {
    struct spool_log *l;
    int               fd;
    uint64_t          at, end; /* of the file; what is in bytes */
    size_t            len;
    unsigned char    *bytes;
    bool              unread;
};

/* n bytes at `at`, which are in the file; what cannot be read is nothing but zeroes. */
static const unsigned char *
look(struct window *w, uint64_t at, size_t n)
{
    if (at < w->at || at + n > w->at + w->len) {
        w->at = at;
        w->len = w->end - at < WINDOW ? (size_t)(w->end - at) : WINDOW;
        if (disk_read_at(w->l->disk, w->fd, w->bytes, w->len, at) != 0) {
            w->len = w->len < PAGE_BYTES ? w->len : PAGE_BYTES;
            if (disk_read_at(w->l->disk, w->fd, w->bytes, w->len, at) != 0) {
                memset(w->bytes, 0, w->len);
                w->unread = true;
            }
        }
    }
    return w->bytes + (at - w->at);
}

/* The next place in the window where a record could begin: mostly there are zeroes, and many of them. */
static uint64_t
skip(const struct window *w, uint64_t at)
{
    while (at >= w->at && at + RECORD_HEADER <= w->at + w->len) {
        const unsigned char type = w->bytes[at - w->at + RECORD_TYPE_AT];

        if (type >= RECORD_BUNDLE && type <= RECORD_BASE)
            break;
        at += 8;
    }
    return at;
}

static bool
is_whole(struct window *w, uint64_t nonce, uint64_t at, const struct record *r)
{
    uint32_t sum = record_sum(&w->l->crc, nonce, r);
    const uint64_t end = at + record_over(r) + r->body;

    for (at += RECORD_HEADER; at < end;) {
        const size_t n = end - at < PAGE_BYTES ? (size_t)(end - at) : PAGE_BYTES;

        sum = crc32c_add(&w->l->crc, sum, look(w, at, n), n);
        at += n;
    }
    return sum == r->sum;
}

static int
push(struct scan *s, const struct scanned *one)
{
    if (s->n == s->cap) {
        const size_t cap = s->cap == 0 ? 256 : s->cap * 2;
        struct scanned *at = reallocarray(s->records, cap, sizeof(*at));

        if (at == NULL)
            return -1;
        s->records = at;
        s->cap = cap;
    }
    s->records[s->n++] = *one;
    return 0;
}

int
scan_segment(struct spool_log *l, struct segment *s, uint64_t end, struct scan *ret, bool *ret_unread, struct err *err)
{
    struct window w = {.l = l, .end = end, .bytes = malloc(WINDOW)};
    uint64_t at = SEGMENT_HEADER;
    int rc = 0;

    *ret = (struct scan){.flushed = SEGMENT_HEADER};
    if (w.bytes == NULL)
        return err_set(err, ERR_NOMEM, errno, "spool");
    w.fd = segment_fd(l, s, err);
    while (w.fd >= 0 && rc == 0 && at + RECORD_HEADER <= end) {
        struct scanned one = {.at = at};

        if (!record_get(&l->crc, s->nonce, look(&w, at, RECORD_HEADER), &one.record) ||
            at + record_len(&one.record) > end) {
            at = skip(&w, at + 8);
            continue;
        }
        one.whole = is_whole(&w, s->nonce, at, &one.record);
        if (one.whole && one.record.flushed > ret->flushed)
            ret->flushed = one.record.flushed;
        if (push(ret, &one) != 0)
            rc = err_set(err, ERR_NOMEM, errno, "the records of a segment");
        at += record_len(&one.record);
    }
    rc = w.fd < 0 ? -1 : rc;
    *ret_unread = w.unread;
    free(w.bytes);
    if (rc != 0)
        scan_free(ret);
    return rc;
}

void
scan_free(struct scan *scan)
{
    free(scan->records);
    *scan = (struct scan){0};
}
