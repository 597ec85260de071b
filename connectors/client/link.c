/* link.c - a DEALER socket that never blocks its thread.
 *
 * IMMEDIATE: nothing is queued for a connection that is not there, so what is sent goes to the connection
 * that was welcomed or to none.  ZeroMQ reconnects by itself and silently; a monitor socket tells of it,
 * which saves the up to one ping interval that the protocol's own repair (hello_first) would take. */
#include "link.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "bundle.h"
#include "err.h"
#include "session.h"

enum {
    RECONNECT_MS = 100,
    RECONNECT_MOST_MS = 10 * 1000,
    KEEPALIVE_IDLE_S = 60,
    HEADER_MAX = 4096 /* of what a connector sends: a text of WIRE_TEXT_MAX is the most of it */
};

struct link {
    char       *endpoint;
    int         wake_fd; /* borrowed */
    void       *ctx;
    void       *socket;
    void       *monitor;
    unsigned    monitors; /* made so far: each has a name of its own */
    bool        lost, up;
    bool        blocked;  /* the socket took no more, or was not asked yet */
    bool        kept;     /* header and body wait for the socket */
    uint8_t     header[HEADER_MAX];
    size_t      header_len;
    bool        has_body;
    zmq_msg_t   body;
    zmq_msg_t   in_header, in_body; /* what link_receive lent */
    uint64_t    garbage;
    char        why[240];
};

static int
bad_endpoint(struct err *err, const char *endpoint, const char *why)
{
    return err_set(err, ERR_CONFIG, 0, "endpoint \"%.64s\": %s; write \"tcp://host:port\" or \"ipc://path\"",
                   endpoint, why);
}

static int
check_tcp(const char *endpoint, struct err *err)
{
    const char *host = endpoint + strlen("tcp://");
    const char *colon = strrchr(host, ':');
    char *end;
    long port;

    if (colon == NULL || colon == host)
        return bad_endpoint(err, endpoint, colon == NULL ? "the port is missing" : "the host is missing");
    if (strspn(colon + 1, "0123456789") != strlen(colon + 1) || colon[1] == '\0' || strlen(colon + 1) > 5)
        return bad_endpoint(err, endpoint, "the port is not a number");
    port = strtol(colon + 1, &end, 10);
    if (port < 1 || port > 65535)
        return bad_endpoint(err, endpoint, "the port is not from 1 to 65535");
    return 0;
}

int
link_check(const char *endpoint, struct err *err)
{
    if (strncmp(endpoint, "tcp://", strlen("tcp://")) == 0)
        return check_tcp(endpoint, err);
    if (strncmp(endpoint, "ipc://", strlen("ipc://")) != 0)
        return bad_endpoint(err, endpoint, "it is of no known kind");
    if (endpoint[strlen("ipc://")] == '\0' || strlen(endpoint) - strlen("ipc://") > 107)
        return bad_endpoint(err, endpoint, "the path must have 1 to 107 bytes");
    return 0;
}

/* --- open and close --- */

static int
set_options(void *socket)
{
    static const struct {
        int option, value;
    } ints[] = {
        {ZMQ_LINGER, 0}, {ZMQ_IMMEDIATE, 1}, {ZMQ_SNDHWM, LINK_SEND_MAX}, {ZMQ_RCVHWM, LINK_RECEIVE_MAX},
        {ZMQ_RECONNECT_IVL, RECONNECT_MS}, {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MOST_MS}, {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S}, {ZMQ_IPV6, 1},
    };
    int64_t most = WIRE_CHUNK_MAX;

    for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++)
        if (zmq_setsockopt(socket, ints[i].option, &ints[i].value, sizeof(ints[i].value)) != 0)
            return -1;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof(most));
}

static int
open_monitor(struct link *l)
{
    char name[48];
    int none = 0;

    snprintf(name, sizeof(name), "inproc://monitor-%u", l->monitors++);
    if (zmq_socket_monitor(l->socket, name, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) != 0)
        return -1;
    l->monitor = zmq_socket(l->ctx, ZMQ_PAIR);
    if (l->monitor == NULL)
        return -1;
    zmq_setsockopt(l->monitor, ZMQ_LINGER, &none, sizeof(none));
    return zmq_connect(l->monitor, name);
}

static void
drop_kept(struct link *l)
{
    if (l->kept && l->has_body)
        zmq_msg_close(&l->body);
    l->kept = false;
}

static void
close_sockets(struct link *l, int linger_ms)
{
    drop_kept(l);
    if (l->socket != NULL) {
        zmq_setsockopt(l->socket, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
        zmq_socket_monitor(l->socket, NULL, 0);
        zmq_close(l->socket);
    }
    if (l->monitor != NULL)
        zmq_close(l->monitor);
    l->socket = l->monitor = NULL;
    l->up = false;
}

static int
open_sockets(struct link *l, struct err *err)
{
    l->blocked = true;
    l->socket = zmq_socket(l->ctx, ZMQ_DEALER);
    if (l->socket == NULL || set_options(l->socket) != 0 || open_monitor(l) != 0) {
        err_set(err, ERR_IO, 0, "a socket for %.100s: %s", l->endpoint, zmq_strerror(errno));
        return -1;
    }
    if (zmq_connect(l->socket, l->endpoint) != 0)
        return bad_endpoint(err, l->endpoint, zmq_strerror(errno));
    return 0;
}

struct link *
link_open(const char *endpoint, int wake_fd, struct err *err)
{
    struct link *l = calloc(1, sizeof(*l));

    if (l == NULL)
        goto nomem;
    l->wake_fd = wake_fd;
    zmq_msg_init(&l->in_header);
    zmq_msg_init(&l->in_body);
    l->endpoint = strdup(endpoint);
    l->ctx = zmq_ctx_new();
    if (l->endpoint == NULL || l->ctx == NULL)
        goto nomem;
    zmq_ctx_set(l->ctx, ZMQ_BLOCKY, 0);
    if (open_sockets(l, err) != 0)
        goto fail;
    return l;

nomem:
    err_set(err, ERR_NOMEM, 0, "a connection to %.100s", endpoint);
fail:
    link_close(l, 0);
    return NULL;
}

int
link_reopen(struct link *l, struct err *err)
{
    close_sockets(l, 0);
    if (open_sockets(l, err) == 0)
        return 0;
    close_sockets(l, 0);
    return -1;
}

void
link_close(struct link *l, int linger_ms)
{
    if (l == NULL)
        return;
    zmq_msg_close(&l->in_header);
    zmq_msg_close(&l->in_body);
    close_sockets(l, linger_ms);
    if (l->ctx != NULL)
        while (zmq_ctx_term(l->ctx) != 0 && errno == EINTR)
            continue;
    free(l->endpoint);
    free(l);
}

/* --- the connection --- */

static void
take_event(struct link *l, uint16_t event)
{
    if (event == ZMQ_EVENT_DISCONNECTED) {
        l->lost = true;
        l->up = false;
        l->blocked = true;
        drop_kept(l); /* it was for the connection that is gone */
    } else {
        l->up = true;
    }
}

static void
read_monitor(struct link *l)
{
    uint8_t frame[512];
    uint16_t event;
    int n;

    while (l->monitor != NULL && (n = zmq_recv(l->monitor, frame, sizeof(frame), ZMQ_DONTWAIT)) >= 0) {
        if (n < (int)sizeof(event) + (int)sizeof(uint32_t))
            continue;
        memcpy(&event, frame, sizeof(event));
        zmq_recv(l->monitor, frame, sizeof(frame), ZMQ_DONTWAIT); /* the address: we know it */
        take_event(l, event);
    }
}

bool
link_lost(struct link *l)
{
    bool lost = l->lost;

    l->lost = false;
    return lost;
}

bool
link_up(const struct link *l)
{
    return l->up;
}

/* --- sending --- */

static void
release_chunk(void *data, void *hint)
{
    (void)data;
    bundle_unref(hint);
}

static void
prepare_body(struct link *l, const struct session_output *out)
{
    struct bundle *b = (struct bundle *)out->bundle;
    int rc;

    l->has_body = out->len > 0;
    if (!l->has_body)
        return;
    if (b == NULL || out->len <= LINK_COPY_MAX) {
        rc = zmq_msg_init_size(&l->body, out->len);
        if (rc == 0)
            memcpy(zmq_msg_data(&l->body), b == NULL ? out->state : b->body + out->off, out->len);
    } else {
        bundle_ref(b);
        rc = zmq_msg_init_data(&l->body, b->body + out->off, out->len, release_chunk, b);
        if (rc != 0)
            bundle_unref(b);
    }
    if (rc != 0) { /* no memory: as if the connection had lost it; the gateway calls for it again */
        l->kept = l->has_body = false;
        l->lost = true;
    }
}

/* ZeroMQ takes a message whole: once the first frame is in, the second is refused only if the connection
 * ended between the two, and then the first is gone with it. */
static void
try_kept(struct link *l)
{
    int more = l->has_body ? ZMQ_SNDMORE : 0;

    if (zmq_send(l->socket, l->header, l->header_len, ZMQ_DONTWAIT | more) < 0) {
        l->blocked = true;
        return;
    }
    l->kept = false;
    if (l->has_body && zmq_msg_send(&l->body, l->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&l->body);
        l->lost = true;
    }
}

static bool
writable(struct link *l)
{
    int events = 0;
    size_t size = sizeof(events);

    return zmq_getsockopt(l->socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLOUT) != 0;
}

bool
link_can_send(struct link *l)
{
    if (l->socket == NULL)
        return false;
    if (l->blocked) {
        if (!writable(l))
            return false;
        l->blocked = false;
    }
    if (l->kept)
        try_kept(l);
    return !l->kept && !l->blocked;
}

void
link_send(struct link *l, const struct session_output *out)
{
    l->header_len = wire_encode(&out->msg, l->header, sizeof(l->header));
    assert(l->header_len > 0); /* a field that does not belong to its message: a mistake of ours */
    l->kept = true;
    prepare_body(l, out);
    if (l->kept)
        try_kept(l);
}

/* --- receiving --- */

static bool
refuse(struct link *l, const char *why)
{
    l->garbage++;
    snprintf(l->why, sizeof(l->why), "%s", why);
    return false;
}

/* Take one message off the socket.  false: there is none.  *ret_frames tells how many frames it had. */
static bool
receive_frames(struct link *l, int *ret_frames)
{
    zmq_msg_t rest;

    if (zmq_msg_recv(&l->in_header, l->socket, ZMQ_DONTWAIT) < 0)
        return false;
    *ret_frames = 1;
    if (!zmq_msg_more(&l->in_header))
        return true;
    zmq_msg_recv(&l->in_body, l->socket, ZMQ_DONTWAIT);
    *ret_frames = 2;
    if (!zmq_msg_more(&l->in_body))
        return true;
    zmq_msg_init(&rest);
    do {
        zmq_msg_recv(&rest, l->socket, ZMQ_DONTWAIT);
        (*ret_frames)++;
    } while (zmq_msg_more(&rest) && *ret_frames < INT_MAX);
    zmq_msg_close(&rest);
    return true;
}

static bool
understand(struct link *l, int frames, struct wire_msg *ret)
{
    struct wire_fault fault;

    if (frames > 2)
        return refuse(l, "more than two frames");
    if (wire_decode(zmq_msg_data(&l->in_header), zmq_msg_size(&l->in_header), WIRE_FROM_GATEWAY, ret, &fault) != 0)
        return refuse(l, fault.text);
    if (wire_has_body(ret) != (frames == 2))
        return refuse(l, frames == 2 ? "a second frame that does not belong" : "the second frame is missing");
    return true;
}

bool
link_receive(struct link *l, struct wire_msg *ret, const void **ret_body, size_t *ret_len)
{
    int frames = 0;

    read_monitor(l);
    /* a flood of garbage ends the turn like any other flood */
    for (int n = 0; n < LINK_RECEIVE_MAX && l->socket != NULL && receive_frames(l, &frames); n++) {
        if (!understand(l, frames, ret))
            continue;
        *ret_body = frames == 2 ? zmq_msg_data(&l->in_body) : NULL;
        *ret_len = frames == 2 ? zmq_msg_size(&l->in_body) : 0;
        return true;
    }
    return false;
}

uint64_t
link_garbage(const struct link *l, const char **ret_why)
{
    *ret_why = l->why;
    return l->garbage;
}

/* --- waiting --- */

static long
poll_ms(int64_t us)
{
    if (us == INT64_MAX)
        return -1;
    return us <= 0 ? 0 : (long)((us < INT64_C(3600000000) ? us : INT64_C(3600000000)) + 999) / 1000;
}

void
link_wait(struct link *l, int64_t timeout_us)
{
    zmq_pollitem_t items[] = {
        {.fd = l->wake_fd, .events = ZMQ_POLLIN},
        {.socket = l->socket, .events = (short)(ZMQ_POLLIN | (l->blocked ? ZMQ_POLLOUT : 0))},
        {.socket = l->monitor, .events = ZMQ_POLLIN},
    };
    eventfd_t ignored;

    if (zmq_poll(items, l->socket == NULL ? 1 : 3, poll_ms(timeout_us)) <= 0)
        return;
    if (items[0].revents != 0)
        while (eventfd_read(l->wake_fd, &ignored) != 0 && errno == EINTR)
            continue;
}
