/* link.c - one AMQP connection: connecting, logging in, TLS, channels, frames in, and its end. */
#include "link.h"

#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>

#include "dial.h"
#include "err.h"
#include "publisher.h"
#include "watchdog.h"

enum {
    CONNECT_US = 5000000, /* for name and TCP (and TLS), and once more for the login */
    RPC_US = 5000000,     /* for each declaration, opening of a channel and so on */
    FRAME_MAX = 131072,   /* bytes; what RabbitMQ offers by default */
    FRAME_EXTRA = 8       /* bytes around a frame's payload */
};

static struct timeval
seconds(int64_t us)
{
    return (struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000};
}

static int64_t
least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* --- What to say ---------------------------------------------------------------------------------------------- */

static int
words(const char *what, int code, amqp_bytes_t text, struct err *err)
{
    return err_set(err, code == AMQP_ACCESS_REFUSED || code == AMQP_NOT_ALLOWED ? ERR_DENIED : ERR_IO, 0, "%s: %d %.*s",
                   what, code, text.len > 255 ? 255 : (int)text.len, (const char *)text.bytes);
}

int
link_refused(const char *what, const amqp_rpc_reply_t *reply, struct err *err)
{
    if (reply->reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        return err_set(err, ERR_IO, 0, "%s: %s", what, amqp_error_string2(reply->library_error));
    if (reply->reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply->reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *close = reply->reply.decoded;
        return words(what, close->reply_code, close->reply_text, err);
    }
    if (reply->reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply->reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *close = reply->reply.decoded;
        return words(what, close->reply_code, close->reply_text, err);
    }
    return err_set(err, ERR_IO, 0, "%s: the broker closed the connection", what);
}

/* What an operator can do about a login that failed. */
static int
login_refused(const struct pub_config *config, const char *where, const amqp_rpc_reply_t *reply, struct err *err)
{
    struct err why;

    link_refused("login refused", reply, &why);
    if (reply->reply_type != AMQP_RESPONSE_SERVER_EXCEPTION)
        return err_set(err, ERR_IO, 0, "broker %s: %s (is it AMQP, and TLS as configured?)", where, why.text);
    if (strstr(why.text, "ACCESS_REFUSED - Login") != NULL)
        return err_set(err, ERR_DENIED, 0, "broker %s: user '%s': check broker.user and its password (%s)", where,
                       config->user, why.text);
    return err_set(err, why.code, 0, "broker %s: user '%s', vhost '%s': %s", where, config->user, config->vhost,
                   why.text);
}

static int
tls_refused(const struct pub_config *config, const char *host, const char *where, int status, struct err *err)
{
    if (status == AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED)
        return err_set(err, ERR_DENIED, 0,
                       "broker %s: its certificate is not for '%s': name it in broker.hosts as its certificate does",
                       where, host);
    if (status == AMQP_STATUS_SSL_PEER_VERIFY_FAILED)
        return err_set(err, ERR_DENIED, 0,
                       "broker %s: its certificate is not signed by a CA in %s: check broker.ca_file", where,
                       config->ca_file);
    return err_set(err, ERR_IO, 0,
                   "broker %s: no TLS connection: %s (it must speak TLS 1.2 or later with a certificate of a CA in %s)",
                   where, amqp_error_string2(status), config->ca_file);
}

/* --- Connecting ----------------------------------------------------------------------------------------------- */

static int
tls_setup(amqp_socket_t *socket, const struct pub_config *config, struct err *err)
{
    const char *key = config->key_file != NULL ? config->key_file : config->cert_file; /* both may be in one file */

    if (config->ca_file == NULL)
        return err_set(err, ERR_CONFIG, 0, "TLS needs the CA of the broker's certificate: set broker.ca_file");
    if (amqp_ssl_socket_set_cacert(socket, config->ca_file) != AMQP_STATUS_OK)
        return err_set(err, ERR_CONFIG, 0, "broker.ca_file %s: cannot be read as certificates in PEM", config->ca_file);
    if (config->cert_file != NULL && amqp_ssl_socket_set_key(socket, config->cert_file, key) != AMQP_STATUS_OK)
        return err_set(err, ERR_CONFIG, 0,
                       "broker.cert_file %s with broker.key_file %s: not a certificate and its key in PEM",
                       config->cert_file, key);
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, 1);
    if (amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) != AMQP_STATUS_OK)
        return err_set(err, ERR_IO, 0, "TLS 1.2 is not available in this build of librabbitmq");
    return 0;
}

/* The library resolves and connects by itself here, since the certificate is checked against the name it is given.
 * The name is looked up before, so that a dead resolver is met where there is a deadline. */
static int
connect_tls(struct link *l, const struct pub_config *config, size_t i, const char *where, struct dialer *dialer,
            struct err *err)
{
    const struct pub_host *host = &config->hosts[i];
    const struct timeval limit = seconds(least(CONNECT_US, config->hung_us));
    amqp_socket_t *socket;

    if (dialer_resolve(dialer, i, host->host, host->port, CONNECT_US, err) != 0)
        return -1;
    socket = amqp_ssl_socket_new(l->conn);
    if (socket == NULL)
        return err_set(err, ERR_NOMEM, 0, "a TLS connection to broker %s", where);
    if (tls_setup(socket, config, err) != 0)
        return -1;
    const int status = amqp_socket_open_noblock(socket, host->host, host->port, &limit);
    if (status != AMQP_STATUS_OK)
        return tls_refused(config, host->host, where, status, err);
    return 0;
}

static int
connect_tcp(struct link *l, const struct pub_config *config, size_t i, const char *where, struct dialer *dialer,
            struct err *err)
{
    const int fd = dialer_connect(dialer, i, config->hosts[i].host, config->hosts[i].port,
                                  least(CONNECT_US, config->hung_us), err);

    if (fd < 0)
        return -1;
    amqp_socket_t *socket = amqp_tcp_socket_new(l->conn);
    if (socket == NULL) {
        close(fd);
        return err_set(err, ERR_NOMEM, 0, "a connection to broker %s", where);
    }
    amqp_tcp_socket_set_sockfd(socket, fd);
    return 0;
}

static amqp_table_entry_t
entry_text(const char *key, const char *text)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(text)}};
}

static amqp_table_entry_t
entry_yes(const char *key)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}};
}

/* RabbitMQ announces an alarm only to those who say that they understand it. */
static amqp_rpc_reply_t
login(struct link *l, const struct pub_config *config)
{
    amqp_table_entry_t can[] = {entry_yes("connection.blocked"), entry_yes("basic.nack"),
                                entry_yes("publisher_confirms"), entry_yes("consumer_cancel_notify")};
    amqp_table_entry_t capabilities = {
        .key = amqp_cstring_bytes("capabilities"),
        .value = {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {.num_entries = 4, .entries = can}}};
    amqp_table_entry_t all[] = {entry_text("product", "Sluice"),
                                entry_text("connection_name", config->name != NULL ? config->name : "sluice"),
                                capabilities};
    const amqp_table_t properties = {.num_entries = 3, .entries = all};
    const struct timeval handshake = seconds(least(CONNECT_US, config->hung_us)), rpc = seconds(RPC_US);

    amqp_set_handshake_timeout(l->conn, &handshake);
    amqp_set_rpc_timeout(l->conn, &rpc);
    return amqp_login_with_properties(l->conn, config->vhost, 0, FRAME_MAX, (int)(config->heartbeat_us / 1000000),
                                      &properties, AMQP_SASL_METHOD_PLAIN, config->user, config->password);
}

static int
open_inner(struct link *l, const struct pub_config *config, size_t i, struct dialer *dialer, struct err *err)
{
    char where[300];

    snprintf(where, sizeof(where), "%s:%d", config->hosts[i].host, config->hosts[i].port);
    l->conn = amqp_new_connection();
    if (l->conn == NULL)
        return err_set(err, ERR_NOMEM, 0, "a connection to broker %s", where);
    if ((l->tls ? connect_tls(l, config, i, where, dialer, err) : connect_tcp(l, config, i, where, dialer, err)) != 0)
        return -1;

    l->fd = amqp_get_sockfd(l->conn);
    if (watchdog_guard(l->dog, l->fd, err) != 0)
        return -1;
    watchdog_enter(l->dog);
    const amqp_rpc_reply_t reply = login(l, config);
    watchdog_leave(l->dog);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        return login_refused(config, where, &reply, err);

    l->frame_max = (size_t)amqp_get_frame_max(l->conn) - FRAME_EXTRA;
    l->heartbeat_s = amqp_get_heartbeat(l->conn);
    return link_channel(l, LINK_PUBLISH, err);
}

int
link_open(struct link *l, const struct pub_config *config, size_t i, struct dialer *dialer, struct watchdog *dog,
          struct err *err)
{
    *l = (struct link){.dog = dog, .fd = -1, .tls = config->tls};
    if (open_inner(l, config, i, dialer, err) == 0)
        return 0;
    link_close(l, false, 0);
    return -1;
}

/* --- While it lives ------------------------------------------------------------------------------------------- */

int
link_channel(struct link *l, amqp_channel_t channel, struct err *err)
{
    watchdog_enter(l->dog);
    amqp_channel_open(l->conn, channel);
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(l->conn);
    if (reply.reply_type == AMQP_RESPONSE_NORMAL && channel == LINK_PUBLISH) {
        amqp_confirm_select(l->conn, channel);
        reply = amqp_get_rpc_reply(l->conn);
    }
    watchdog_leave(l->dog);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        return link_refused("opening a channel", &reply, err);
    l->open[channel] = true;
    return 0;
}

int
link_channel_closed(struct link *l, amqp_channel_t channel, struct err *err)
{
    amqp_channel_close_ok_t ok = {0};

    l->open[channel] = false;
    watchdog_enter(l->dog);
    const int status = amqp_send_method(l->conn, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
    watchdog_leave(l->dog);
    if (status != AMQP_STATUS_OK)
        return err_set(err, ERR_IO, 0, "answering the close of a channel: %s", amqp_error_string2(status));
    return 0;
}

int
link_answer(struct link *l, amqp_channel_t channel, const char *what, int *ret_code, char text[LINK_WORDS],
            struct err *err)
{
    const amqp_rpc_reply_t reply = amqp_get_rpc_reply(l->conn);

    watchdog_leave(l->dog);
    *ret_code = 0;
    text[0] = '\0';
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return 0;
    if (reply.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION || reply.reply.id != AMQP_CHANNEL_CLOSE_METHOD)
        return link_refused(what, &reply, err);

    const amqp_channel_close_t *close = reply.reply.decoded;
    *ret_code = close->reply_code;
    snprintf(text, LINK_WORDS, "%.*s", (int)close->reply_text.len, (const char *)close->reply_text.bytes);
    return link_channel_closed(l, channel, err);
}

int
link_read(struct link *l, amqp_frame_t *frame, struct err *err)
{
    const struct timeval at_once = {0, 0}; /* NULL would wait for ever */

    watchdog_enter(l->dog);
    const int status = amqp_simple_wait_frame_noblock(l->conn, frame, &at_once);
    watchdog_leave(l->dog);
    if (status == AMQP_STATUS_OK)
        return 1;
    if (status == AMQP_STATUS_TIMEOUT)
        return 0;
    return err_set(err, ERR_IO, 0, "%s", amqp_error_string2(status));
}

bool
link_pending(const struct link *l)
{
    return amqp_frames_enqueued(l->conn) || amqp_data_in_buffer(l->conn);
}

void
link_rest(struct link *l)
{
    if (!amqp_frames_enqueued(l->conn))
        amqp_maybe_release_buffers(l->conn);
}

size_t
link_unsent(const struct link *l)
{
    int bytes = 0;

    return ioctl(l->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

bool
link_close(struct link *l, bool polite, int64_t limit_us)
{
    if (l->conn == NULL)
        return false;
    if (polite && limit_us > 0) {
        const struct timeval limit = seconds(limit_us);
        amqp_set_rpc_timeout(l->conn, &limit);
        watchdog_enter(l->dog);
        amqp_connection_close(l->conn, AMQP_REPLY_SUCCESS);
        watchdog_leave(l->dog);
    }
    amqp_destroy_connection(l->conn);
    l->conn = NULL;
    l->fd = -1;
    return watchdog_release(l->dog);
}
