/* router.c - the ROUTER socket: the one file of the daemon that knows ZeroMQ.
 *
 * What libzmq does to the unwary, and the answer to each:
 *  - the ids it gives out can be guessed, and a peer that claims the next one makes it abort: rand() is seeded from
 *    the system before the socket exists, and ids are never shown; one that a peer chose is not served, unless it looks
 *    like ours.  What is left is chance (about the square of the connections in 2^32): then we are started again, and
 *    nothing that was answered for is lost;
 *  - what does not fit a pipe is dropped in silence: ROUTER_MANDATORY with DONTWAIT tells, and it is counted;
 *  - only the last frame of a message carries its metadata: the descriptor is read from there;
 *  - an unfinished multipart message would be continued by the next one: all frames are sent once the first went;
 *  - there is no call that ends a peer's connection: its descriptor is duplicated, so that it cannot come to mean
 *    another connection meanwhile, and shut down. */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "body.h"
#include "door.h"
#include "err.h"

enum {
    ID_LEN = 5,          /* of the routing ids that ROUTER gives out: a zero byte and a number */
    SNDHWM = 128,        /* answers are small and repeated; a state is 16 chunks at most */
    HANDSHAKE_MS = 3000,
    LINGER_MS = 1000,
    CUTS_MAX = 64,       /* waiting at once; then they are done at once */
    NOTHING = -1
};

struct peer {
    uint64_t inode;      /* of its socket, when it was first seen; 0: not known */
    uint32_t id;         /* the number in its routing id: they are counted up, so its low bits tell peers apart */
    uint32_t generation; /* how often this place was used */
    int32_t  next;       /* in its bucket, or of the free places */
    bool     used;
};

struct door {
    void        *ctx, *socket;
    char         endpoint[256];
    struct peer *peers;
    uint32_t     n_peers;
    int32_t     *buckets; /* by id; as many as places */
    int32_t      free;
    zmq_msg_t    header, body;
    bool         has_header, has_body;
    uint64_t     conn;    /* that the message came from */
    struct {
        int     fd;
        int64_t due_us;
    } cuts[CUTS_MAX];
    uint32_t     n_cuts;
    struct door_counts counts;
};

static int
set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof(value));
}

static int
set_options(struct door *d, const struct door_config *c)
{
    const int64_t max_frame = (int64_t)c->max_frame;

    return set_int(d->socket, ZMQ_ROUTER_MANDATORY, 1) != 0 || set_int(d->socket, ZMQ_LINGER, LINGER_MS) != 0 ||
           set_int(d->socket, ZMQ_RCVHWM, c->rcvhwm) != 0 || set_int(d->socket, ZMQ_SNDHWM, SNDHWM) != 0 ||
           set_int(d->socket, ZMQ_BACKLOG, c->backlog) != 0 ||
           set_int(d->socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) != 0 ||
           set_int(d->socket, ZMQ_TCP_KEEPALIVE, 1) != 0 || set_int(d->socket, ZMQ_TCP_KEEPALIVE_IDLE, 60) != 0 ||
           set_int(d->socket, ZMQ_TCP_KEEPALIVE_INTVL, 20) != 0 || set_int(d->socket, ZMQ_TCP_KEEPALIVE_CNT, 3) != 0 ||
           set_int(d->socket, ZMQ_IPV6, strstr(c->endpoint, "://[") != NULL) != 0 ||
           zmq_setsockopt(d->socket, ZMQ_MAXMSGSIZE, &max_frame, sizeof(max_frame)) != 0;
}

static int
bind_it(struct door *d, const struct door_config *c, struct err *err)
{
    size_t len = sizeof(d->endpoint);

    if (zmq_bind(d->socket, c->endpoint) != 0)
        return err_set(err, ERR_CONFIG, 0, "door.endpoint %s: %s%s", c->endpoint, zmq_strerror(errno),
                       errno == ENOENT ? ": create the folder of the socket first" : "");
    if (zmq_getsockopt(d->socket, ZMQ_LAST_ENDPOINT, d->endpoint, &len) != 0)
        return err_set(err, ERR_IO, 0, "door.endpoint %s: %s", c->endpoint, zmq_strerror(errno));
    return 0;
}

struct door *
door_open(const struct door_config *config, struct err *err)
{
    struct door *d = calloc(1, sizeof(*d));
    unsigned seed;

    if (d == NULL) {
        err_set(err, ERR_NOMEM, 0, "door");
        return NULL;
    }
    d->free = NOTHING;
    /* libzmq draws the first routing id from rand() and never seeds it. */
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        err_set(err, ERR_IO, errno, "door: no randomness from the system");
        goto fail;
    }
    srand(seed);
    d->ctx = zmq_ctx_new();
    if (d->ctx == NULL || zmq_ctx_set(d->ctx, ZMQ_BLOCKY, 0) != 0 ||
        zmq_ctx_set(d->ctx, ZMQ_MAX_SOCKETS, 65535) != 0)
        goto system;
    d->socket = zmq_socket(d->ctx, ZMQ_ROUTER);
    if (d->socket == NULL || set_options(d, config) != 0)
        goto system;
    if (bind_it(d, config, err) != 0)
        goto fail;
    return d;

system:
    err_set(err, ERR_IO, 0, "door: %s", zmq_strerror(errno));
fail:
    door_close(d);
    return NULL;
}

const char *
door_endpoint(const struct door *d)
{
    return d->endpoint;
}

/* --- peers --- */

static bool
peers_grow(struct door *d)
{
    const uint32_t n = d->n_peers == 0 ? 256 : d->n_peers * 2;
    struct peer *peers = realloc(d->peers, n * sizeof(*peers));
    int32_t *buckets;

    if (peers == NULL)
        return false;
    d->peers = peers;
    buckets = realloc(d->buckets, n * sizeof(*buckets));
    if (buckets == NULL)
        return false;
    d->buckets = buckets;
    for (uint32_t i = d->n_peers; i < n; i++) {
        peers[i] = (struct peer){.next = d->free};
        d->free = (int32_t)i;
    }
    d->n_peers = n;
    for (uint32_t i = 0; i < n; i++)
        buckets[i] = NOTHING;
    for (uint32_t i = 0; i < n; i++) {
        if (!peers[i].used)
            continue;
        peers[i].next = buckets[peers[i].id & (n - 1)];
        buckets[peers[i].id & (n - 1)] = (int32_t)i;
    }
    return true;
}

static uint64_t
number_of(const struct door *d, int32_t at)
{
    return (uint64_t)d->peers[at].generation << 32 | (uint32_t)at;
}

/* Which socket is behind a descriptor, 0 if none is: descriptors are used again at once, inodes are not. */
static uint64_t
inode_of(int fd)
{
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* The number of the connection with this id, a new one if it has none; 0 on no memory. */
static uint64_t
peer_number(struct door *d, uint32_t id)
{
    int32_t at = d->n_peers == 0 ? NOTHING : d->buckets[id & (d->n_peers - 1)];

    while (at != NOTHING && d->peers[at].id != id)
        at = d->peers[at].next;
    if (at != NOTHING)
        return number_of(d, at);
    if (d->free == NOTHING && !peers_grow(d))
        return 0;
    at = d->free;
    d->free = d->peers[at].next;
    d->peers[at] = (struct peer){
        .inode = inode_of(zmq_msg_get(d->has_body ? &d->body : &d->header, ZMQ_SRCFD)),
        .id = id,
        .generation = d->peers[at].generation + 1,
        .next = d->buckets[id & (d->n_peers - 1)],
        .used = true,
    };
    d->buckets[id & (d->n_peers - 1)] = at;
    return number_of(d, at);
}

static const struct peer *
peer_at(const struct door *d, uint64_t conn)
{
    const uint32_t at = (uint32_t)conn;

    if (at >= d->n_peers || !d->peers[at].used || number_of(d, (int32_t)at) != conn)
        return NULL;
    return &d->peers[at];
}

void
door_forget(struct door *d, uint64_t conn)
{
    const int32_t at = (int32_t)(uint32_t)conn;
    int32_t *link;

    if (peer_at(d, conn) == NULL)
        return;
    link = &d->buckets[d->peers[at].id & (d->n_peers - 1)];
    while (*link != at)
        link = &d->peers[*link].next;
    *link = d->peers[at].next;
    d->peers[at].used = false;
    d->peers[at].next = d->free;
    d->free = at;
}

/* --- receiving --- */

static void
drop_frames(struct door *d)
{
    if (d->has_header)
        zmq_msg_close(&d->header);
    if (d->has_body)
        zmq_msg_close(&d->body);
    d->has_header = d->has_body = false;
}

/* Read the frames behind the routing id, keep two of them, count all. */
static void
read_frames(struct door *d, struct door_message *ret)
{
    zmq_msg_t rest;
    bool more = true;

    while (more) {
        zmq_msg_t *to = !d->has_header ? &d->header : !d->has_body ? &d->body : &rest;

        zmq_msg_init(to);
        if (zmq_msg_recv(to, d->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(to);
            return;
        }
        ret->frames++;
        more = zmq_msg_more(to) != 0;
        if (to == &d->header)
            d->has_header = true;
        else if (to == &d->body)
            d->has_body = true;
        else
            zmq_msg_close(&rest);
    }
}

/* Read a routing id into *ret.  1: one of ours; 0: there is nothing; 2: one that the peer chose; -1: error. */
static int
read_id(struct door *d, uint32_t *ret, bool *more, struct err *err)
{
    unsigned char id[ID_LEN];
    uint32_t number;
    zmq_msg_t m;
    int rc;

    zmq_msg_init(&m);
    do
        rc = zmq_msg_recv(&m, d->socket, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        zmq_msg_close(&m);
        return errno == EAGAIN ? 0 : err_set(err, ERR_IO, 0, "door: %s", zmq_strerror(errno));
    }
    *more = zmq_msg_more(&m) != 0;
    if (rc != ID_LEN || *(unsigned char *)zmq_msg_data(&m) != 0) {
        zmq_msg_close(&m);
        return 2;
    }
    memcpy(id, zmq_msg_data(&m), ID_LEN);
    zmq_msg_close(&m);
    memcpy(&number, id + 1, sizeof(number));
    *ret = be32toh(number);
    return 1;
}

int
door_receive(struct door *d, struct door_message *ret, struct err *err)
{
    uint32_t id = 0;
    bool more = false;
    int rc;

    for (;;) {
        drop_frames(d);
        memset(ret, 0, sizeof(*ret));
        rc = read_id(d, &id, &more, err);
        if (rc <= 0)
            return rc;
        if (more)
            read_frames(d, ret);
        d->counts.received++;
        ret->conn = rc == 1 && d->has_header ? peer_number(d, id) : 0;
        if (ret->conn != 0)
            break;
        d->counts.malformed++; /* a chosen id, or no memory for it: as if it had not been sent */
    }
    d->conn = ret->conn;
    if (d->has_header) {
        ret->header = zmq_msg_data(&d->header);
        ret->header_len = zmq_msg_size(&d->header);
    }
    if (d->has_body) {
        ret->body = zmq_msg_data(&d->body);
        ret->body_len = zmq_msg_size(&d->body);
    }
    return 1;
}

static void
release_frame(struct chunk *c)
{
    zmq_msg_close((zmq_msg_t *)(void *)c->frame);
}

void
door_take(struct door *d, struct chunk *to)
{
    zmq_msg_t *m = (zmq_msg_t *)(void *)to->frame;

    static_assert(sizeof(zmq_msg_t) <= sizeof(to->frame), "a chunk holds a frame of the library");
    assert(d->has_body);
    zmq_msg_init(m);
    zmq_msg_move(m, &d->body);
    zmq_msg_close(&d->body);
    d->has_body = false;
    to->at = zmq_msg_data(m);
    to->len = zmq_msg_size(m);
    to->release = release_frame;
}

/* --- sending --- */

static bool
send_frame(struct door *d, const void *data, size_t len, int flags)
{
    int rc;

    do
        rc = zmq_send(d->socket, data, len, flags | ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    return rc >= 0;
}

bool
door_send(struct door *d, uint64_t conn, const void *header, size_t len, const void *body, size_t body_len, bool *gone)
{
    const struct peer *p = peer_at(d, conn);
    unsigned char id[ID_LEN] = {0};
    uint32_t number;

    *gone = p == NULL;
    if (p == NULL)
        return false;
    number = htobe32(p->id);
    memcpy(id + 1, &number, sizeof(number));
    if (!send_frame(d, id, sizeof(id), ZMQ_SNDMORE)) {
        *gone = errno == EHOSTUNREACH;
        if (*gone)
            d->counts.gone++;
        else
            d->counts.dropped++;
        return false;
    }
    /* From here on nothing is refused: libzmq queues the rest of the message, or discards all of it. */
    send_frame(d, header, len, body == NULL ? 0 : ZMQ_SNDMORE);
    if (body != NULL)
        send_frame(d, body, body_len, 0);
    d->counts.sent++;
    return true;
}

/* --- ending connections --- */

static void
shut(int fd)
{
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

void
door_cut(struct door *d, int64_t now_us)
{
    const struct peer *p = peer_at(d, d->conn);
    zmq_msg_t *last = d->has_body ? &d->body : &d->header;
    int fd;

    if (!d->has_header)
        return;
    fd = dup(zmq_msg_get(last, ZMQ_SRCFD));
    if (fd < 0)
        return; /* it is gone already, or we have no descriptor left: its bytes are refused in any case */
    /* The message may have waited here while its connection ended and its descriptor became another's. */
    if (p == NULL || inode_of(fd) != p->inode) {
        close(fd);
        return;
    }
    d->counts.cut++;
    if (d->n_cuts == CUTS_MAX) {
        shut(fd);
        return;
    }
    d->cuts[d->n_cuts].fd = fd;
    d->cuts[d->n_cuts++].due_us = now_us + DOOR_CUT_US;
}

int64_t
door_reap(struct door *d, int64_t now_us)
{
    uint32_t kept = 0;
    int64_t next = INT64_MAX;

    for (uint32_t i = 0; i < d->n_cuts; i++) {
        if (d->cuts[i].due_us <= now_us) {
            shut(d->cuts[i].fd);
            continue;
        }
        d->cuts[kept++] = d->cuts[i];
        if (d->cuts[i].due_us < next)
            next = d->cuts[i].due_us;
    }
    d->n_cuts = kept;
    return next;
}

int
door_fd(const struct door *d)
{
    int fd = -1;
    size_t len = sizeof(fd);

    zmq_getsockopt(d->socket, ZMQ_FD, &fd, &len);
    return fd;
}

bool
door_ready(struct door *d)
{
    int events = 0;
    size_t len = sizeof(events);

    return zmq_getsockopt(d->socket, ZMQ_EVENTS, &events, &len) == 0 && (events & ZMQ_POLLIN) != 0;
}

void
door_counts(const struct door *d, struct door_counts *ret)
{
    *ret = d->counts;
}

void
door_close(struct door *d)
{
    if (d == NULL)
        return;
    drop_frames(d);
    for (uint32_t i = 0; i < d->n_cuts; i++)
        shut(d->cuts[i].fd);
    if (d->socket != NULL)
        zmq_close(d->socket);
    if (d->ctx != NULL)
        zmq_ctx_term(d->ctx);
    if (strncmp(d->endpoint, "ipc:///", 7) == 0)
        unlink(d->endpoint + 6); /* libzmq leaves it */
    free(d->peers);
    free(d->buckets);
    free(d);
}
