#include "worker.h"

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "must.h"

enum { FRAME_MAX = 131072, CHANNEL = 1 };

static void
well(amqp_connection_state_t c, const char *what)
{
    const amqp_rpc_reply_t r = amqp_get_rpc_reply(c);

    if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && r.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *why = r.reply.decoded;
        fail_msg("%s: %d %.*s", what, why->reply_code, (int)why->reply_text.len, (const char *)why->reply_text.bytes);
    }
    if (r.reply_type != AMQP_RESPONSE_NORMAL)
        fail_msg("%s: no answer from the broker", what);
}

static amqp_connection_state_t
open_worker(int port)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(c);

    assert_int_equal(amqp_socket_open(socket, "127.0.0.1", port), AMQP_STATUS_OK);
    assert_int_equal(amqp_login(c, "/", 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type,
                     AMQP_RESPONSE_NORMAL);
    amqp_channel_open(c, CHANNEL);
    well(c, "channel");
    return c;
}

static void
close_worker(amqp_connection_state_t c)
{
    (void)amqp_channel_close(c, CHANNEL, AMQP_REPLY_SUCCESS);
    (void)amqp_connection_close(c, AMQP_REPLY_SUCCESS);
    assert_int_equal(amqp_destroy_connection(c), AMQP_STATUS_OK);
}

/* --- A message ---------------------------------------------------------------------------------------------------- */

static void
copy(char *to, size_t cap, amqp_bytes_t from)
{
    assert_true(from.len < cap);
    memcpy(to, from.bytes, from.len);
    to[from.len] = '\0';
}

static bool
text_is(amqp_bytes_t got, const char *want)
{
    return got.len == strlen(want) && memcmp(got.bytes, want, got.len) == 0;
}

static int64_t
number(const amqp_table_entry_t *h, const char *key)
{
    assert_true(text_is(h->key, key));
    assert_int_equal(h->value.kind, AMQP_FIELD_KIND_I64);
    return h->value.value.i64;
}

/* Those of pycti's messages, delivery mode and content encoding, beside those that every message of ours has. */
static void
take_properties(struct work *w, const amqp_basic_properties_t *p)
{
    const amqp_table_entry_t *h = p->headers.entries;
    char id[192];

    assert_int_equal(p->_flags, AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG |
                                    AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_HEADERS_FLAG);
    assert_int_equal(p->delivery_mode, AMQP_DELIVERY_PERSISTENT);
    assert_true(text_is(p->content_encoding, "utf-8"));
    copy(w->message_id, sizeof(w->message_id), p->message_id);
    assert_true(p->headers.num_entries == 3 || p->headers.num_entries == 5);
    assert_true(text_is(h[0].key, "x-sluice-connector"));
    copy(w->connector, sizeof(w->connector), h[0].value.value.bytes);
    w->epoch = number(&h[1], "x-sluice-epoch");
    w->seq = number(&h[2], "x-sluice-seq");
    snprintf(id, sizeof(id), "%s/%lld/%lld", w->connector, (long long)w->epoch, (long long)w->seq);
    if (p->headers.num_entries == 5) {
        w->part = number(&h[3], "x-sluice-part");
        w->parts = number(&h[4], "x-sluice-parts");
        assert_in_range(w->part, 1, w->parts);
        snprintf(id, sizeof(id), "%s/%lld/%lld/%lld", w->connector, (long long)w->epoch, (long long)w->seq,
                 (long long)w->part);
    }
    assert_string_equal(w->message_id, id);
}

/* RFC 4648, strictly.  Returns new bytes. */
static char *
decode(const char *text, size_t len, size_t *ret_len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char value[256];
    char *out = malloc(len / 4 * 3 + 1);
    size_t n = 0;

    assert_non_null(out);
    assert_int_equal(len % 4, 0);
    memset(value, -1, sizeof(value));
    for (int i = 0; i < 64; i++)
        value[(unsigned char)digits[i]] = (char)i;
    while (len > 0 && text[len - 1] == '=')
        len--;
    for (size_t i = 0, bits = 0; i < len; i++) {
        assert_true(value[(unsigned char)text[i]] >= 0);
        bits = bits << 6 | (size_t)value[(unsigned char)text[i]];
        if (i % 4 != 0)
            out[n++] = (char)(bits >> (6 - 2 * (i % 4)));
    }
    *ret_len = n;
    return out;
}

static json_t *
parse(const char *bytes, size_t len)
{
    json_error_t why;
    json_t *j = json_loadb(bytes, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);

    if (j == NULL)
        fail_msg("no JSON: %s in %.*s", why.text, (int)(len < 400 ? len : 400), bytes);
    return j;
}

static void
look(const amqp_envelope_t *e, worker_take *take, void *ctx)
{
    struct work w = {.part = 0};
    const char *text;
    char *content;

    copy(w.exchange, sizeof(w.exchange), e->exchange);
    copy(w.routing_key, sizeof(w.routing_key), e->routing_key);
    take_properties(&w, &e->message.properties);
    w.envelope = parse(e->message.body.bytes, e->message.body.len);
    text = json_string_value(json_object_get(w.envelope, "content"));
    assert_non_null(text);
    content = decode(text, strlen(text), &w.content_len);
    w.content = content;
    w.bundle = parse(w.content, w.content_len);
    w.object = json_array_get(json_object_get(w.bundle, "objects"), 0);
    assert_non_null(w.object);
    if (take != NULL)
        take(ctx, &w);
    json_decref(w.bundle);
    json_decref(w.envelope);
    free(content);
}

/* --- A queue ------------------------------------------------------------------------------------------------------ */

static uint64_t
drain_once(int port, const char *queue, uint64_t n, int idle_ms, worker_take *take, void *ctx)
{
    amqp_connection_state_t c = open_worker(port);
    uint64_t got = 0;

    amqp_basic_qos(c, CHANNEL, 0, 1, 0);
    well(c, "qos");
    amqp_basic_consume(c, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    well(c, queue);
    while (got < n) {
        struct timeval wait = {.tv_sec = idle_ms / 1000, .tv_usec = idle_ms % 1000 * 1000};
        amqp_envelope_t e;

        amqp_maybe_release_buffers(c);
        const amqp_rpc_reply_t r = amqp_consume_message(c, &e, &wait, 0);
        if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && r.library_error == AMQP_STATUS_TIMEOUT)
            break;
        assert_int_equal(r.reply_type, AMQP_RESPONSE_NORMAL);
        look(&e, take, ctx);
        amqp_basic_ack(c, CHANNEL, e.delivery_tag, 0);
        amqp_destroy_envelope(&e);
        got++;
    }
    close_worker(c);
    return got;
}

static uint32_t
ready(int port, const char *queue)
{
    amqp_connection_state_t c = open_worker(port);
    const amqp_queue_declare_ok_t *ok =
        amqp_queue_declare(c, CHANNEL, amqp_cstring_bytes(queue), 1, 0, 0, 0, amqp_empty_table);

    well(c, queue);
    assert_non_null(ok);
    const uint32_t n = ok->message_count;
    close_worker(c);
    return n;
}

uint64_t
worker_drain(int port, const char *queue, uint64_t n, int idle_ms, worker_take *take, void *ctx)
{
    uint64_t got = 0;

    /* Silence may be a busy machine's; the queue knows, once what was on the way is its own again. */
    do
        got += drain_once(port, queue, n - got, idle_ms, take, ctx);
    while (got < n && ready(port, queue) > 0);
    return got;
}

static amqp_table_entry_t
argument(const char *key, const char *value)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)}};
}

void
worker_platform_declares(int port, const char *queue, const char *name, const char *exchange, const char *key)
{
    amqp_connection_state_t c = open_worker(port);
    amqp_table_entry_t config[] = {argument("id", name), argument("type", "EXTERNAL_IMPORT"),
                                   argument("scope", "vulnerability")};
    amqp_table_entry_t arguments[] = {
        argument("name", name),
        {.key = amqp_cstring_bytes("config"),
         .value = {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {.num_entries = 3, .entries = config}}},
        argument("x-queue-type", "classic")};

    amqp_queue_declare(c, CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0,
                       (amqp_table_t){.num_entries = 3, .entries = arguments});
    well(c, "the platform declares the queue");
    if (exchange != NULL) {
        amqp_exchange_declare(c, CHANNEL, amqp_cstring_bytes(exchange), amqp_cstring_bytes("direct"), 0, 1, 0, 0,
                              amqp_empty_table);
        well(c, "the platform declares the exchange");
        amqp_queue_bind(c, CHANNEL, amqp_cstring_bytes(queue), amqp_cstring_bytes(exchange), amqp_cstring_bytes(key),
                        amqp_empty_table);
        well(c, "the platform binds the queue");
    }
    close_worker(c);
}
