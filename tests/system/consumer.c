#include "consumer.h"

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "clock.h"
#include "err.h"

enum { PREFETCH = 500, FRAME_MAX = 131072, ACK_EVERY = 100 };

struct consumer {
    amqp_connection_state_t conn;
    amqp_channel_t channel; /* 0: none is open.  A passive declare of what is missing closes it. */
    amqp_channel_t last;    /* a number is used once: the library keeps late deliveries of a channel that is closed */
};

static int
reply_error(amqp_rpc_reply_t r, const char *what, struct err *err)
{
    if (r.reply_type == AMQP_RESPONSE_NORMAL)
        return 0;
    if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && r.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *c = r.reply.decoded;
        return err_set(err, ERR_DENIED, 0, "%s: %.*s", what, (int)c->reply_text.len, (const char *)c->reply_text.bytes);
    }
    return err_set(err, ERR_IO, 0, "%s: %s", what, amqp_error_string2(r.library_error));
}

/* A channel that works: the last call may have had it closed. */
static int
ready_channel(struct consumer *c, struct err *err)
{
    if (c->channel != 0)
        return 0;
    (void)amqp_channel_open(c->conn, ++c->last);
    if (reply_error(amqp_get_rpc_reply(c->conn), "open a channel", err) != 0)
        return -1;
    c->channel = c->last;
    return 0;
}

/* The result of the last call on the channel; where the broker closed it, it is closed here too. */
static int
settle(struct consumer *c, const char *what, struct err *err)
{
    amqp_rpc_reply_t r = amqp_get_rpc_reply(c->conn);
    if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && r.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        amqp_channel_close_ok_t ok = {.dummy = '\0'};
        (void)amqp_send_method(c->conn, c->channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
        c->channel = 0;
    }
    return reply_error(r, what, err);
}

struct consumer *
consumer_open(int port, struct err *err)
{
    struct timeval patience = {.tv_sec = 60};
    struct consumer *c = calloc(1, sizeof(*c));
    if (c == NULL || (c->conn = amqp_new_connection()) == NULL) {
        (void)err_set(err, ERR_NOMEM, 0, "consumer");
        free(c);
        return NULL;
    }
    amqp_socket_t *s = amqp_tcp_socket_new(c->conn);
    if (s == NULL || amqp_socket_open(s, "127.0.0.1", port) != AMQP_STATUS_OK) {
        (void)err_set(err, ERR_IO, 0, "connect to the broker at port %d", port);
        consumer_close(c);
        return NULL;
    }
    (void)amqp_set_rpc_timeout(c->conn, &patience);
    if (reply_error(amqp_login(c->conn, "/", 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"), "log in",
                    err) != 0 ||
        ready_channel(c, err) != 0) {
        consumer_close(c);
        return NULL;
    }
    return c;
}

static void
copy(char *to, size_t cap, amqp_bytes_t from)
{
    (void)snprintf(to, cap, "%.*s", (int)from.len, from.bytes != NULL ? (const char *)from.bytes : "");
}

/* The header table says connector, epoch and sequence. */
static void
read_headers(struct consumed *m, const amqp_table_t *t)
{
    for (int i = 0; i < t->num_entries; i++) {
        const amqp_table_entry_t *e = &t->entries[i];
        char key[40];
        copy(key, sizeof(key), e->key);
        if (strcmp(key, "x-sluice-connector") == 0 && e->value.kind == AMQP_FIELD_KIND_UTF8)
            copy(m->connector, sizeof(m->connector), e->value.value.bytes);
        else if (strcmp(key, "x-sluice-epoch") == 0 && e->value.kind == AMQP_FIELD_KIND_I64)
            m->epoch = e->value.value.i64;
        else if (strcmp(key, "x-sluice-seq") == 0 && e->value.kind == AMQP_FIELD_KIND_I64)
            m->seq = e->value.value.i64;
    }
}

static void
hand_over(const amqp_envelope_t *e, consumer_take *take, void *ctx)
{
    const amqp_basic_properties_t *p = &e->message.properties;
    struct consumed m = {.body = e->message.body.bytes, .len = e->message.body.len, .redelivered = e->redelivered != 0};
    if ((p->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0)
        copy(m.message_id, sizeof(m.message_id), p->message_id);
    if ((p->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG) != 0)
        copy(m.content_type, sizeof(m.content_type), p->content_type);
    if ((p->_flags & AMQP_BASIC_HEADERS_FLAG) != 0)
        read_headers(&m, &p->headers);
    m.persistent = (p->_flags & AMQP_BASIC_DELIVERY_MODE_FLAG) != 0 && p->delivery_mode == AMQP_DELIVERY_PERSISTENT;
    take(ctx, &m);
}

/* Take messages until n or silence.  Acknowledges in lots, and the rest at the end. */
static int64_t
take_all(struct consumer *c, uint64_t n, int idle_ms, consumer_take *take, void *ctx, struct err *err)
{
    uint64_t got = 0, tag = 0, acked = 0;
    while (got < n) {
        struct timeval wait = {.tv_sec = idle_ms / 1000, .tv_usec = idle_ms % 1000 * 1000};
        amqp_envelope_t e;
        amqp_maybe_release_buffers(c->conn);
        amqp_rpc_reply_t r = amqp_consume_message(c->conn, &e, &wait, 0);
        if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && r.library_error == AMQP_STATUS_TIMEOUT)
            break;
        if (reply_error(r, "consume", err) != 0)
            return -1;
        if (e.channel != c->channel) { /* of a drain before: the broker has it back, and it comes again */
            amqp_destroy_envelope(&e);
            continue;
        }
        if (take != NULL)
            hand_over(&e, take, ctx);
        tag = e.delivery_tag;
        amqp_destroy_envelope(&e);
        if (++got % ACK_EVERY == 0 || got == n) {
            (void)amqp_basic_ack(c->conn, c->channel, tag, 1);
            acked = got;
        }
    }
    if (got > acked)
        (void)amqp_basic_ack(c->conn, c->channel, tag, 1);
    return (int64_t)got;
}

static int64_t
drain_once(struct consumer *c, const char *queue, uint64_t n, int idle_ms, consumer_take *take, void *ctx,
           struct err *err)
{
    if (ready_channel(c, err) != 0)
        return -1;
    (void)amqp_basic_qos(c->conn, c->channel, 0, PREFETCH, 0);
    if (settle(c, "qos", err) != 0)
        return -1;
    (void)amqp_basic_consume(c->conn, c->channel, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
                             amqp_empty_table);
    if (settle(c, queue, err) != 0)
        return -1;
    int64_t got = take_all(c, n, idle_ms, take, ctx, err);
    /* Closing the channel ends the consumer and gives back what was fetched and not taken. */
    (void)reply_error(amqp_channel_close(c->conn, c->channel, AMQP_REPLY_SUCCESS), "close", NULL);
    c->channel = 0;
    return got;
}

int64_t
consumer_drain(struct consumer *c, const char *queue, uint64_t n, int idle_ms, consumer_take *take, void *ctx,
               struct err *err)
{
    uint64_t all = 0;
    /* Silence may be a busy machine's.  The queue knows: what was on the way is its own again once the channel is
     * closed.  What it cannot be asked, since it is not there, is answered with what there was. */
    do {
        int64_t got = drain_once(c, queue, n - all, idle_ms, take, ctx, err);
        if (got < 0)
            return -1;
        all += (uint64_t)got;
    } while (all < n && consumer_ready(c, queue, NULL) > 0);
    return (int64_t)all;
}

int
consumer_declare(struct consumer *c, const char *queue, bool durable, int limit, struct err *err)
{
    amqp_table_entry_t args[2] = {
        {.key = amqp_cstring_bytes("x-max-length"), .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = limit}},
        {.key = amqp_cstring_bytes("x-overflow"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("reject-publish")}},
    };
    amqp_table_t table = {.num_entries = limit > 0 ? 2 : 0, .entries = args};
    if (ready_channel(c, err) != 0)
        return -1;
    (void)amqp_queue_declare(c->conn, c->channel, amqp_cstring_bytes(queue), 0, durable, 0, 0, table);
    return settle(c, queue, err);
}

int64_t
consumer_ready(struct consumer *c, const char *queue, struct err *err)
{
    if (ready_channel(c, err) != 0)
        return -1;
    const amqp_queue_declare_ok_t *ok =
        amqp_queue_declare(c->conn, c->channel, amqp_cstring_bytes(queue), 1, 0, 0, 0, amqp_empty_table);
    int64_t n = ok != NULL ? (int64_t)ok->message_count : -1;
    return settle(c, queue, err) == 0 ? n : -1;
}

int
consumer_purge(struct consumer *c, const char *queue, struct err *err)
{
    if (ready_channel(c, err) != 0)
        return -1;
    (void)amqp_queue_purge(c->conn, c->channel, amqp_cstring_bytes(queue));
    return settle(c, queue, err);
}

int
consumer_delete(struct consumer *c, const char *queue, struct err *err)
{
    if (ready_channel(c, err) != 0)
        return -1;
    (void)amqp_queue_delete(c->conn, c->channel, amqp_cstring_bytes(queue), 0, 0);
    return settle(c, queue, err);
}

void
consumer_close(struct consumer *c)
{
    if (c == NULL)
        return;
    (void)amqp_destroy_connection(c->conn);
    free(c);
}
