/* send.c - one message after the other onto a link, as frames, from the chunks they came in, or made for it. */
#include "send.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "body.h"
#include "err.h"
#include "link.h"
#include "parts.h"
#include "publisher.h"
#include "watchdog.h"
#include "window.h"

enum {
    HEADS_MAX = 1536,   /* method and header: four texts of 255 bytes each, message id, five headers */
    COPY_MOST = 8192,   /* a payload up to this is cheaper to copy than to name to the kernel */
    FRAME_HEAD = 7,
    FRAME_END = 0xCE,
    PIECES = 128,       /* of one sendmsg */
    HELD = SEND_FULL + COPY_MOST + HEADS_MAX
};

/* A message that was made of a bundle, whole. */
struct made {
    struct made *before; /* made before it */
    size_t       all;    /* bytes, with those before it */
    uint8_t      bytes[];
};

struct sender {
    const struct chunk *chunk; /* of the message that is begun, where it is; NULL: none is */
    uint32_t           left;   /* chunks, with this one */
    size_t             offset; /* in the chunk */
    struct made       *made;   /* owned: the newest; not written yet, or not whole */
    struct chunk       whole;  /* the newest as a chunk */
    size_t             bytes;  /* gathered, or given to the library since the last flush */
    size_t             used;   /* of held */
    size_t             n;      /* pieces */
    bool               corked;
    struct iovec       pieces[PIECES];
    uint8_t            held[HELD];
};

struct sender *
sender_new(struct err *err)
{
    struct sender *s = calloc(1, sizeof(*s));

    if (s == NULL)
        err_set(err, ERR_NOMEM, errno, "the buffer of a broker connection");
    return s;
}

/* --- Gathering ------------------------------------------------------------------------------------------------ */

/* Name len bytes to be written next; what follows the last piece in memory becomes part of it. */
static void
gather(struct sender *s, const void *at, size_t len)
{
    struct iovec *last = s->n > 0 ? &s->pieces[s->n - 1] : NULL;

    s->bytes += len;
    if (last != NULL && (const char *)last->iov_base + last->iov_len == (const char *)at)
        last->iov_len += len;
    else
        s->pieces[s->n++] = (struct iovec){.iov_base = (void *)(uintptr_t)at, .iov_len = len};
}

static uint8_t *
put(uint8_t *to, uint64_t number, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, number >>= 8)
        to[i] = (uint8_t)number;
    return to + bytes;
}

static uint8_t *
put_frame(uint8_t *to, int type, size_t payload)
{
    to = put(to, (uint64_t)type, 1);
    to = put(to, LINK_PUBLISH, 2);
    return put(to, payload, 4);
}

/* Method and header frame by the library's encoders. */
static int
gather_heads(struct sender *s, amqp_basic_publish_t *method, amqp_basic_properties_t *properties, uint64_t size,
             struct err *err)
{
    uint8_t *const begin = s->held + s->used, *const end = begin + HEADS_MAX;
    uint8_t *payload = begin + FRAME_HEAD;
    uint8_t *at = put(payload, AMQP_BASIC_PUBLISH_METHOD, 4);
    int len = amqp_encode_method(AMQP_BASIC_PUBLISH_METHOD, method,
                                 (amqp_bytes_t){.bytes = at, .len = (size_t)(end - at)});

    if (len < 0)
        return err_set(err, ERR_IO, 0, "encoding basic.publish: %s", amqp_error_string2(len));
    put_frame(begin, AMQP_FRAME_METHOD, (size_t)len + 4);
    at = put(at + len, FRAME_END, 1);

    uint8_t *const header = at;
    payload = header + FRAME_HEAD;
    at = put(put(put(payload, AMQP_BASIC_CLASS, 2), 0, 2), size, 8);
    len = amqp_encode_properties(AMQP_BASIC_CLASS, properties,
                                 (amqp_bytes_t){.bytes = at, .len = (size_t)(end - at) - 1});
    if (len < 0)
        return err_set(err, ERR_IO, 0, "encoding the properties of a message: %s", amqp_error_string2(len));
    put_frame(header, AMQP_FRAME_HEADER, (size_t)len + 12);
    at = put(at + len, FRAME_END, 1);
    s->used += (size_t)(at - begin);
    gather(s, begin, (size_t)(at - begin));
    return 0;
}

static void
gather_body(struct sender *s, const void *payload, size_t len)
{
    uint8_t *const begin = s->held + s->used;
    uint8_t *at = put_frame(begin, AMQP_FRAME_BODY, len);

    if (len <= COPY_MOST) {
        memcpy(at, payload, len);
        at = put(at + len, FRAME_END, 1);
        gather(s, begin, (size_t)(at - begin));
    } else {
        gather(s, begin, FRAME_HEAD);
        gather(s, payload, len);
        at = put(at, FRAME_END, 1);
        gather(s, at - 1, 1);
    }
    s->used += (size_t)(at - begin);
}

/* --- By the library, with TLS --------------------------------------------------------------------------------- */

/* Until it is taken off, the kernel sends full segments only. */
static void
cork(struct sender *s, const struct link *l, int on)
{
    if (s->corked == (on != 0))
        return;
    setsockopt(l->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)); /* if not, it is only slower */
    s->corked = on != 0;
}

static int
library(struct link *l, int status, struct err *err)
{
    watchdog_leave(l->dog);
    if (status == AMQP_STATUS_OK)
        return 0;
    return err_set(err, ERR_IO, 0, "publishing: %s", amqp_error_string2(status));
}

static int
library_heads(struct sender *s, struct link *l, amqp_basic_publish_t *method, amqp_basic_properties_t *properties,
              uint64_t size, struct err *err)
{
    const amqp_frame_t header = {.frame_type = AMQP_FRAME_HEADER,
                                 .channel = LINK_PUBLISH,
                                 .payload.properties = {.class_id = AMQP_BASIC_CLASS,
                                                        .body_size = size,
                                                        .decoded = properties}};

    cork(s, l, 1);
    watchdog_enter(l->dog);
    int status = amqp_send_method(l->conn, LINK_PUBLISH, AMQP_BASIC_PUBLISH_METHOD, method);
    if (status == AMQP_STATUS_OK)
        status = amqp_send_frame(l->conn, &header);
    s->bytes += 256; /* about */
    return library(l, status, err);
}

static int
library_body(struct sender *s, struct link *l, const void *payload, size_t len, struct err *err)
{
    const amqp_frame_t frame = {.frame_type = AMQP_FRAME_BODY,
                                .channel = LINK_PUBLISH,
                                .payload.body_fragment = {.len = len, .bytes = (void *)(uintptr_t)payload}};

    cork(s, l, 1);
    watchdog_enter(l->dog);
    s->bytes += len;
    return library(l, amqp_send_frame(l->conn, &frame), err);
}

/* --- A message ------------------------------------------------------------------------------------------------ */

static amqp_table_entry_t
header_number(const char *key, uint64_t number)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = (int64_t)number}};
}

/* Does it go into one frame that is copied?  Then it is made right there. */
static bool
is_small(const struct link *l, uint64_t size)
{
    return size <= COPY_MOST && size <= l->frame_max;
}

static int
gather_part(struct sender *s, struct link *l, const struct window_item *item, struct err *err)
{
    const struct parts *parts = item->message.parts;
    uint8_t *const begin = s->held + s->used;
    uint8_t *const payload = put_frame(begin, AMQP_FRAME_BODY, (size_t)item->size);

    parts->kind->write(parts, item->part, payload);
    if (l->tls) /* nothing else is held */
        return library_body(s, l, payload, (size_t)item->size, err);
    uint8_t *const end = put(payload + item->size, FRAME_END, 1);
    gather(s, begin, (size_t)(end - begin));
    s->used += (size_t)(end - begin);
    return 0;
}

bool
sender_make(struct sender *s, const struct link *l, const struct window_item *item)
{
    const struct parts *parts = item->message.parts;
    struct made *made;

    if (parts == NULL || is_small(l, item->size))
        return true;
    if (item->size > PTRDIFF_MAX - sizeof(*made))
        return false;
    made = malloc(sizeof(*made) + (size_t)item->size);
    if (made == NULL)
        return false;
    made->before = s->made;
    made->all = (size_t)item->size + (s->made != NULL ? s->made->all : 0);
    s->made = made;
    parts->kind->write(parts, item->part, made->bytes);
    return true;
}

static void
free_made(struct made *made)
{
    while (made != NULL) {
        struct made *before = made->before;
        free(made);
        made = before;
    }
}

/* What is left of a message after its head. */
static int
begin_body(struct sender *s, struct link *l, const struct window_item *item, struct err *err)
{
    s->offset = 0;
    if (item->size == 0)
        return 0;
    if (item->message.parts == NULL) {
        s->chunk = item->message.body->chunks;
        s->left = item->message.body->n;
    } else if (is_small(l, item->size)) {
        return gather_part(s, l, item, err);
    } else {
        s->whole = (struct chunk){.at = s->made->bytes, .len = (size_t)item->size};
        s->chunk = &s->whole;
        s->left = 1;
    }
    return 0;
}

int
sender_begin(struct sender *s, struct link *l, const struct window_item *item, struct err *err)
{
    const struct pub_message *m = &item->message;
    const struct parts *parts = m->parts;
    const char *const ctype = parts != NULL ? parts->ctype : m->body->ctype;
    const uint32_t n = parts != NULL ? parts->n : 1;
    char id[WINDOW_ID_MAX];
    const size_t id_len = window_id(item, id);
    amqp_basic_publish_t method = {.exchange = amqp_cstring_bytes(m->target->exchange),
                                   .routing_key = amqp_cstring_bytes(m->target->routing_key),
                                   .mandatory = 1};
    amqp_table_entry_t headers[] = {
        {.key = amqp_cstring_bytes("x-sluice-connector"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(m->connector)}},
        header_number("x-sluice-epoch", m->epoch),
        header_number("x-sluice-seq", m->seq),
        header_number("x-sluice-part", (uint64_t)item->part + 1),
        header_number("x-sluice-parts", n)};
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_HEADERS_FLAG,
        .delivery_mode = AMQP_DELIVERY_PERSISTENT,
        .message_id = {.len = id_len, .bytes = id},
        .headers = {.num_entries = n > 1 ? 5 : 3, .entries = headers}};

    assert(s->chunk == NULL && (parts != NULL || m->body->have == m->body->size));
    if (ctype[0] != '\0') {
        properties._flags |= AMQP_BASIC_CONTENT_TYPE_FLAG;
        properties.content_type = amqp_cstring_bytes(ctype);
    }
    if (parts != NULL && parts->encoding[0] != '\0') {
        properties._flags |= AMQP_BASIC_CONTENT_ENCODING_FLAG;
        properties.content_encoding = amqp_cstring_bytes(parts->encoding);
    }
    if ((l->tls ? library_heads(s, l, &method, &properties, item->size, err)
                : gather_heads(s, &method, &properties, item->size, err)) != 0)
        return -1;
    return begin_body(s, l, item, err);
}

/* Move past what was sent, and past chunks without bytes: an empty body frame says nothing. */
static void
advance(struct sender *s, size_t len)
{
    s->offset += len;
    while (s->left > 0 && s->offset == s->chunk->len) {
        s->chunk++;
        s->left--;
        s->offset = 0;
    }
    if (s->left == 0)
        s->chunk = NULL;
}

int
sender_more(struct sender *s, struct link *l, struct err *err)
{
    const void *payload = (const char *)s->chunk->at + s->offset;
    size_t len = s->chunk->len - s->offset;

    if (len > l->frame_max)
        len = l->frame_max;
    if (len > 0 && l->tls && library_body(s, l, payload, len, err) != 0)
        return -1;
    if (len > 0 && !l->tls)
        gather_body(s, payload, len);
    advance(s, len);
    return 0;
}

bool
sender_open(const struct sender *s)
{
    return s->chunk != NULL;
}

bool
sender_full(const struct sender *s)
{
    /* A large message that was made is kept until its last byte is written: the next is not made before. */
    if (s->chunk == NULL && s->made != NULL && s->made->all >= SEND_FULL)
        return true;
    /* Three pieces a frame; its head and end, or the whole of a small one, in held. */
    return s->bytes >= SEND_FULL || s->n + 4 > PIECES || s->used + HEADS_MAX + COPY_MOST + FRAME_HEAD + 1 > HELD;
}

/* --- Writing -------------------------------------------------------------------------------------------------- */

/* n bytes of the pieces from `first` on are written.  Returns the first that is not done. */
static size_t
written(struct sender *s, size_t first, size_t n)
{
    while (n > 0) {
        struct iovec *piece = &s->pieces[first];
        if (n < piece->iov_len) {
            piece->iov_base = (char *)piece->iov_base + n;
            piece->iov_len -= n;
            break;
        }
        n -= piece->iov_len;
        first++;
    }
    return first;
}

/* Everything or nothing of use: a half-written frame forbids to call the library, which may write a heartbeat.
 * So this waits, until the watchdog shuts the socket down. */
static int
write_all(struct sender *s, int fd)
{
    size_t first = 0;

    while (first < s->n) {
        const struct msghdr message = {.msg_iov = &s->pieces[first], .msg_iovlen = s->n - first};
        const ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            first = written(s, first, (size_t)n);
            continue;
        }
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        if (errno == EAGAIN)
            poll(&room, 1, -1);
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

/* What was gathered is written.  What was made goes, except for the message that rests half-sent. */
static void
free_written(struct sender *s)
{
    struct made **rest = &s->made;

    if (s->chunk == &s->whole)
        rest = &s->made->before;
    free_made(*rest);
    *rest = NULL;
    if (s->made != NULL)
        s->made->all = s->whole.len;
}

int
sender_flush(struct sender *s, struct link *l, struct err *err)
{
    int rc = 0;

    if (s->n > 0) {
        watchdog_enter(l->dog);
        rc = write_all(s, l->fd);
        watchdog_leave(l->dog);
    }
    cork(s, l, 0);
    s->n = s->used = s->bytes = 0;
    free_written(s);
    return rc == 0 ? 0 : err_set(err, ERR_IO, rc, "publishing");
}

void
sender_drop(struct sender *s)
{
    s->chunk = NULL;
    s->n = s->used = s->bytes = 0;
    s->corked = false;
    free_made(s->made);
    s->made = NULL;
}

void
sender_free(struct sender *s)
{
    if (s == NULL)
        return;
    free_made(s->made);
    free(s);
}
