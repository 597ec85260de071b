#include "rabbit.h"

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "err.h"

enum { FRAME_MAX = 131072, RING = 256 /* above the window, a power of two */ };

struct rabbit {
    amqp_connection_state_t conn;
    uint64_t sent, first; /* delivery tags: the last one used, the first one that is open */
    uint64_t bytes;       /* unconfirmed */
    uint32_t sizes[RING];
    bool open[RING];
};

static int
reply(struct rabbit *r, const char *what, struct err *err)
{
    amqp_rpc_reply_t a = amqp_get_rpc_reply(r->conn);
    if (a.reply_type == AMQP_RESPONSE_NORMAL)
        return 0;
    return err_set(err, ERR_IO, 0, "%s: %s", what, amqp_error_string2(a.library_error));
}

struct rabbit *
rabbit_open(int port, struct err *err)
{
    struct timeval ten = {.tv_sec = 10};
    int one = 1;
    struct rabbit *r = calloc(1, sizeof(*r));
    if (r == NULL || (r->conn = amqp_new_connection()) == NULL)
        abort();
    r->first = 1;
    amqp_socket_t *s = amqp_tcp_socket_new(r->conn);
    if (s == NULL || amqp_socket_open(s, "127.0.0.1", port) != AMQP_STATUS_OK) {
        (void)err_set(err, ERR_IO, 0, "connect to the broker at port %d", port);
        rabbit_close(r);
        return NULL;
    }
    (void)setsockopt(amqp_get_sockfd(r->conn), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)amqp_set_rpc_timeout(r->conn, &ten);
    amqp_rpc_reply_t a = amqp_login(r->conn, "/", 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    bool in = a.reply_type == AMQP_RESPONSE_NORMAL;
    if (in)
        (void)amqp_channel_open(r->conn, 1);
    if (in && reply(r, "channel", err) == 0)
        (void)amqp_confirm_select(r->conn, 1);
    if (!in || reply(r, "log in", err) != 0) {
        rabbit_close(r);
        return NULL;
    }
    return r;
}

int
rabbit_room(const struct rabbit *r, size_t len)
{
    uint64_t n = r->sent + 1 - r->first;
    return n == 0 || (n < RABBIT_WINDOW && r->bytes + len <= RABBIT_WINDOW_BYTES);
}

int
rabbit_publish(struct rabbit *r, const char *queue, const char *connector, uint64_t seq, const void *body, size_t len,
               struct err *err)
{
    char id[128];
    amqp_table_entry_t h[3] = {
        {.key = amqp_cstring_bytes("x-sluice-connector"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(connector)}},
        {.key = amqp_cstring_bytes("x-sluice-epoch"), .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = INT64_MAX}},
        {.key = amqp_cstring_bytes("x-sluice-seq"), .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = (int64_t)seq}},
    };
    amqp_basic_properties_t p = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                  AMQP_BASIC_HEADERS_FLAG,
        .content_type = amqp_cstring_bytes("application/octet-stream"),
        .delivery_mode = AMQP_DELIVERY_PERSISTENT,
        .headers = {.num_entries = 3, .entries = h},
    };
    amqp_bytes_t bytes = {.len = len};
    union { /* the library reads it only */
        const void *in;
        void *out;
    } at = {.in = body};
    bytes.bytes = at.out;
    (void)snprintf(id, sizeof(id), "%s/%lld/%llu", connector, (long long)INT64_MAX, (unsigned long long)seq);
    p.message_id = amqp_cstring_bytes(id);
    int rc = amqp_basic_publish(r->conn, 1, amqp_empty_bytes, amqp_cstring_bytes(queue), 1, 0, &p, bytes);
    if (rc != AMQP_STATUS_OK)
        return err_set(err, ERR_IO, 0, "publish: %s", amqp_error_string2(rc));
    r->sent++;
    r->sizes[r->sent % RING] = (uint32_t)len;
    r->open[r->sent % RING] = true;
    r->bytes += len;
    return 0;
}

/* Settle one tag, if it is still open. */
static void
settle(struct rabbit *r, uint64_t tag)
{
    if (tag < r->first || tag > r->sent || !r->open[tag % RING])
        return;
    r->open[tag % RING] = false;
    r->bytes -= r->sizes[tag % RING];
}

static int
take(struct rabbit *r, const amqp_frame_t *f, struct err *err)
{
    if (f->frame_type != AMQP_FRAME_METHOD)
        return 0;
    if (f->payload.method.id != AMQP_BASIC_ACK_METHOD)
        return err_set(err, ERR_IO, 0, "the broker says method %#x, and not basic.ack", f->payload.method.id);
    const amqp_basic_ack_t *ack = f->payload.method.decoded;
    for (uint64_t tag = ack->multiple ? r->first : ack->delivery_tag; tag <= ack->delivery_tag; tag++)
        settle(r, tag);
    while (r->first <= r->sent && !r->open[r->first % RING])
        r->first++;
    return 0;
}

int
rabbit_confirms(struct rabbit *r, int wait_ms, struct err *err)
{
    struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
    for (;;) {
        amqp_frame_t f;
        int rc = amqp_simple_wait_frame_noblock(r->conn, &f, &wait);
        if (rc == AMQP_STATUS_TIMEOUT)
            break;
        if (rc != AMQP_STATUS_OK)
            return err_set(err, ERR_IO, 0, "confirms: %s", amqp_error_string2(rc));
        if (take(r, &f, err) != 0)
            return -1;
        wait = (struct timeval){0};
    }
    amqp_maybe_release_buffers(r->conn);
    return 0;
}

uint64_t
rabbit_settled(const struct rabbit *r)
{
    return r->first - 1;
}

int
rabbit_fd(const struct rabbit *r)
{
    return amqp_get_sockfd(r->conn);
}

void
rabbit_close(struct rabbit *r)
{
    if (r == NULL)
        return;
    (void)amqp_destroy_connection(r->conn);
    free(r);
}
