/* router_test.c - a real ROUTER and DEALERs that talk to it, well and badly. */
#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#include "body.h"
#include "clock.h"
#include "doors/door.h"
#include "err.h"

enum { PATIENCE_MS = 60000, MAX_FRAME = 4096, MANY = 1000, CUTS = 70 /* more than are waited with at once */ };

struct world {
    struct door *door;
    void        *ctx;  /* of the peers */
    struct door_message in;
    char         dir[32];
    int          monitors;
    void        *open[2 * MANY]; /* sockets of peers: a test that failed leaves them, and the context waits for them */
    int          n_open;
};

struct peer {
    struct world *w;
    void *socket, *monitor;
};

static int
open_door(struct world *w, const char *endpoint)
{
    const struct door_config c = {.endpoint = endpoint, .backlog = 4096, .rcvhwm = 128, .max_frame = MAX_FRAME};
    struct err err;

    w->door = door_open(&c, &err);
    w->ctx = zmq_ctx_new();
    return w->door == NULL || w->ctx == NULL || zmq_ctx_set(w->ctx, ZMQ_MAX_SOCKETS, 65535) != 0 ? -1 : 0;
}

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    *state = w;
    return w == NULL ? -1 : open_door(w, "tcp://127.0.0.1:*");
}

static int
teardown(void **state)
{
    struct world *w = *state;

    door_close(w->door);
    for (int i = 0; i < w->n_open; i++) {
        const int none = 0;

        zmq_setsockopt(w->open[i], ZMQ_LINGER, &none, sizeof(none));
        zmq_close(w->open[i]);
    }
    zmq_ctx_term(w->ctx);
    if (w->dir[0] != '\0')
        rmdir(w->dir);
    free(w);
    return 0;
}

/* --- peers --- */

static void
set_int(void *socket, int option, int value)
{
    assert_int_equal(zmq_setsockopt(socket, option, &value, sizeof(value)), 0);
}

static void *
open_socket(struct world *w, int type)
{
    void *s = zmq_socket(w->ctx, type);

    assert_non_null(s);
    assert_true(w->n_open < 2 * MANY);
    w->open[w->n_open++] = s;
    return s;
}

static void
close_socket(struct world *w, void *s)
{
    for (int i = 0; i < w->n_open; i++)
        if (w->open[i] == s)
            w->open[i] = w->open[--w->n_open];
    set_int(s, ZMQ_LINGER, 0);
    zmq_close(s);
}

/* A peer with a routing id of its own choice (NULL: none), which does not come back when it is cut. */
static struct peer
peer_with_id(struct world *w, const char *id)
{
    const struct peer p = {.w = w, .socket = open_socket(w, ZMQ_DEALER)};

    set_int(p.socket, ZMQ_RECONNECT_IVL, -1);
    if (id != NULL)
        assert_int_equal(zmq_setsockopt(p.socket, ZMQ_ROUTING_ID, id, strlen(id)), 0);
    return p;
}

static void
peer_connects(const struct world *w, const struct peer *p)
{
    assert_int_equal(zmq_connect(p->socket, door_endpoint(w->door)), 0);
}

/* A peer that notices when its connection ends. */
static struct peer
peer_watched(struct world *w, const char *id)
{
    struct peer p = peer_with_id(w, id);
    char name[32];

    snprintf(name, sizeof(name), "inproc://monitor-%d", w->monitors++);
    assert_int_equal(zmq_socket_monitor(p.socket, name, ZMQ_EVENT_DISCONNECTED), 0);
    p.monitor = open_socket(w, ZMQ_PAIR);
    assert_int_equal(zmq_connect(p.monitor, name), 0);
    peer_connects(w, &p);
    return p;
}

static struct peer
peer_new(struct world *w)
{
    struct peer p = peer_with_id(w, NULL);

    peer_connects(w, &p);
    return p;
}

static void
peer_leaves(struct peer *p)
{
    if (p->monitor != NULL) {
        zmq_socket_monitor(p->socket, NULL, 0);
        close_socket(p->w, p->monitor);
    }
    close_socket(p->w, p->socket);
}

static void
peer_says(const struct peer *p, const char *text)
{
    assert_int_equal(zmq_send(p->socket, text, strlen(text), 0), strlen(text));
}

static void
peer_says_frames(const struct peer *p, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(zmq_send(p->socket, "frame", 5, i + 1 < n ? ZMQ_SNDMORE : 0), 5);
}

static bool
readable(void *socket, int ms)
{
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};

    return zmq_poll(&item, 1, ms) == 1;
}

/* Its connection ended within so long. */
static bool
is_cut(const struct peer *p, int ms)
{
    return readable(p->monitor, ms);
}

static void
assert_hears(const struct peer *p, const char *text)
{
    char buf[MAX_FRAME];
    int n;

    assert_true(readable(p->socket, PATIENCE_MS));
    n = zmq_recv(p->socket, buf, sizeof(buf), 0);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(buf, text, strlen(text));
}

/* --- the door --- */

/* Wait for the next message; false: none came in time. */
static bool
receive_within(struct world *w, int ms)
{
    const int64_t end_us = clock_mono_us() + ms * 1000LL;
    struct err err;

    for (;;) {
        const int rc = door_receive(w->door, &w->in, &err);
        struct pollfd fd = {.fd = door_fd(w->door), .events = POLLIN};
        const int64_t left_us = end_us - clock_mono_us();

        if (rc != 0)
            return rc == 1;
        if (left_us <= 0)
            return false;
        if (!door_ready(w->door))
            poll(&fd, 1, (int)(left_us / 1000 + 1));
    }
}

static uint64_t
receive(struct world *w)
{
    if (!receive_within(w, PATIENCE_MS))
        fail_msg("no message came");
    return w->in.conn;
}

static bool
answer(struct world *w, uint64_t conn, const char *text)
{
    bool gone = false;

    return door_send(w->door, conn, text, strlen(text), NULL, 0, &gone) && !gone;
}

static struct door_counts
counts(const struct world *w)
{
    struct door_counts c;

    door_counts(w->door, &c);
    return c;
}

/* --- talking --- */

static void
a_message_comes_with_the_number_of_its_connection_and_its_frames(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w);
    uint64_t conn;

    peer_says(&p, "header");
    conn = receive(w);
    assert_int_not_equal(conn, 0);
    assert_int_equal(w->in.frames, 1);
    assert_int_equal(w->in.header_len, 6);
    assert_memory_equal(w->in.header, "header", 6);
    assert_null(w->in.body);
    assert_int_equal(zmq_send(p.socket, "again", 5, ZMQ_SNDMORE), 5);
    assert_int_equal(zmq_send(p.socket, "bytes", 5, 0), 5);
    assert_int_equal(receive(w), conn);
    assert_int_equal(w->in.frames, 2);
    assert_memory_equal(w->in.header, "again", 5);
    assert_int_equal(w->in.body_len, 5);
    assert_memory_equal(w->in.body, "bytes", 5);
    assert_int_equal(counts(w).received, 2);
    peer_leaves(&p);
}

static void
an_answer_reaches_who_it_is_for_and_nobody_else(void **state)
{
    struct world *w = *state;
    struct peer a = peer_new(w), b = peer_new(w);
    uint64_t to_a;
    bool gone;
    char buf[16];

    peer_says(&a, "I am a");
    to_a = receive(w);
    peer_says(&b, "I am b");
    assert_int_not_equal(receive(w), to_a);
    assert_true(door_send(w->door, to_a, "head", 4, "body", 4, &gone));
    assert_hears(&a, "head");
    assert_int_equal(zmq_recv(a.socket, buf, sizeof(buf), ZMQ_DONTWAIT), 4);
    assert_memory_equal(buf, "body", 4);
    assert_false(readable(b.socket, 50));
    assert_int_equal(counts(w).sent, 1);
    peer_leaves(&a);
    peer_leaves(&b);
}

static void
messages_of_one_peer_keep_their_order(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w);

    for (int i = 0; i < 500; i++)
        assert_int_equal(zmq_send(p.socket, &i, sizeof(i), 0), sizeof(i));
    for (int i = 0; i < 500; i++) {
        int got;

        receive(w);
        memcpy(&got, w->in.header, sizeof(got));
        assert_int_equal(got, i);
    }
    assert_false(door_ready(w->door));
    peer_leaves(&p);
}

static void
more_than_two_frames_are_counted_and_the_next_message_is_whole(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w);

    for (int n = 3; n < 20; n++) {
        peer_says_frames(&p, n);
        peer_says(&p, "next");
        receive(w);
        assert_int_equal(w->in.frames, n);
        receive(w);
        assert_int_equal(w->in.frames, 1);
        assert_memory_equal(w->in.header, "next", 4);
    }
    peer_leaves(&p);
}

static void
empty_frames_are_frames(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w);

    zmq_send(p.socket, "", 0, ZMQ_SNDMORE);
    zmq_send(p.socket, "", 0, 0);
    receive(w);
    assert_int_equal(w->in.frames, 2);
    assert_non_null(w->in.header);
    assert_non_null(w->in.body);
    assert_int_equal(w->in.header_len, 0);
    assert_int_equal(w->in.body_len, 0);
    peer_leaves(&p);
}

static void
a_frame_that_was_taken_stays_until_it_is_given_back(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w);
    char bytes[MAX_FRAME];
    struct chunk chunk;

    memset(bytes, 'q', sizeof(bytes));
    zmq_send(p.socket, "header", 6, ZMQ_SNDMORE);
    zmq_send(p.socket, bytes, sizeof(bytes), 0);
    peer_says(&p, "next");
    receive(w);
    door_take(w->door, &chunk);
    receive(w);
    assert_memory_equal(w->in.header, "next", 4);
    assert_int_equal(chunk.len, sizeof(bytes));
    assert_memory_equal(chunk.at, bytes, sizeof(bytes));
    chunk.release(&chunk);
    peer_leaves(&p);
}

/* --- numbers --- */

static void
a_number_is_not_used_for_another_connection(void **state)
{
    struct world *w = *state;
    struct peer a = peer_new(w), b;
    uint64_t was, is;

    peer_says(&a, "hello");
    was = receive(w);
    door_forget(w->door, was);
    peer_leaves(&a);
    b = peer_new(w);
    peer_says(&b, "hello");
    is = receive(w);
    assert_int_equal((uint32_t)is, (uint32_t)was); /* the place is used again, */
    assert_int_not_equal(is, was);                 /* the number is not */
    assert_false(answer(w, was, "for a"));
    assert_true(answer(w, is, "for b"));
    assert_hears(&b, "for b");
    peer_leaves(&b);
}

static void
who_was_forgotten_and_speaks_again_has_another_number(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w);
    uint64_t was;
    bool gone = false;

    peer_says(&p, "hello");
    was = receive(w);
    peer_says(&p, "again");
    assert_int_equal(receive(w), was);
    door_forget(w->door, was);
    door_forget(w->door, was);
    assert_false(door_send(w->door, was, "x", 1, NULL, 0, &gone));
    assert_true(gone);
    peer_says(&p, "still here");
    assert_int_not_equal(receive(w), was);
    assert_true(answer(w, w->in.conn, "so I see"));
    assert_hears(&p, "so I see");
    peer_leaves(&p);
}

static void
numbers_that_were_never_given_are_nobody(void **state)
{
    struct world *w = *state;
    bool gone = false;

    assert_false(door_send(w->door, 0, "x", 1, NULL, 0, &gone));
    assert_true(gone);
    assert_false(door_send(w->door, UINT64_MAX, "x", 1, NULL, 0, &gone));
    assert_false(door_send(w->door, 1ULL << 32 | 5, "x", 1, NULL, 0, &gone));
    door_forget(w->door, 1ULL << 32 | 5);
    door_forget(w->door, 0);
    assert_int_equal(counts(w).sent, 0);
}

static void
who_has_left_is_gone_at_the_next_answer(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w);
    const int64_t end_us = clock_mono_us() + PATIENCE_MS * 1000LL;
    bool gone = false;
    uint64_t conn;

    peer_says(&p, "hello");
    conn = receive(w);
    peer_leaves(&p);
    /* Receiving is part of it: libzmq keeps the pipe of who has left until all that it said is read. */
    while (!gone && clock_mono_us() < end_us) {
        assert_false(receive_within(w, 10));
        door_send(w->door, conn, "x", 1, NULL, 0, &gone);
    }
    assert_true(gone);
    assert_int_equal(counts(w).gone, 1);
}

static void
a_peer_that_does_not_read_loses_answers_and_holds_nobody_up(void **state)
{
    static const char bulk[MAX_FRAME];
    struct world *w = *state;
    struct peer p = peer_with_id(w, NULL), other;
    bool gone = false;
    uint64_t conn;

    set_int(p.socket, ZMQ_RCVHWM, 1);
    set_int(p.socket, ZMQ_RCVBUF, 4096);
    peer_connects(w, &p);
    peer_says(&p, "hello");
    conn = receive(w);
    for (int i = 0; i < 100000 && door_send(w->door, conn, "h", 1, bulk, sizeof(bulk), &gone); i++)
        ;
    assert_false(gone);
    assert_int_equal(counts(w).dropped, 1);
    other = peer_new(w);
    peer_says(&other, "hello");
    assert_true(answer(w, receive(w), "hello you"));
    assert_hears(&other, "hello you");
    peer_leaves(&p);
    peer_leaves(&other);
}

static void
a_thousand_peers_have_a_thousand_numbers_and_each_hears_its_own(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct rlimit files;
    struct peer *peers = calloc(MANY, sizeof(*peers));
    uint64_t *conns = calloc(MANY, sizeof(*conns));
    char endpoint[64], text[32];

    (void)state;
    assert_non_null(w);
    assert_non_null(peers);
    assert_non_null(conns);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    strcpy(w->dir, "/tmp/sluice-door-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(endpoint, sizeof(endpoint), "ipc://%s/door", w->dir);
    assert_int_equal(open_door(w, endpoint), 0);
    for (int i = 0; i < MANY; i++) {
        peers[i] = peer_new(w);
        snprintf(text, sizeof(text), "%d", i);
        peer_says(&peers[i], text);
    }
    for (int i = 0; i < MANY; i++) {
        const uint64_t conn = receive(w);

        assert_true((uint32_t)conn < 2 * MANY); /* the places are kept close */
        snprintf(text, sizeof(text), "%.*s", (int)w->in.header_len, (const char *)w->in.header);
        conns[strtoul(text, NULL, 10)] = conn;
        snprintf(text, sizeof(text), "you are %.*s", (int)w->in.header_len, (const char *)w->in.header);
        assert_true(answer(w, conn, text));
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "you are %d", i);
        assert_hears(&peers[i], text);
        peer_says(&peers[i], "again");
        assert_int_equal(receive(w), conns[i]); /* as before all the others came */
    }
    for (int i = 0; i < MANY; i++)
        peer_leaves(&peers[i]);
    free(peers);
    free(conns);
    teardown((void *[]){w});
}

/* --- peers that misbehave --- */

static void
a_peer_that_chooses_its_routing_id_is_not_served(void **state)
{
    static const char *const ids[] = {"me", "four5", "a-much-longer-name-than-that"};
    struct world *w = *state;
    struct peer good = peer_watched(w, NULL);

    peer_says(&good, "hello");
    receive(w);
    for (int frames = 1; frames <= 3; frames++) {
        struct peer bad = peer_watched(w, ids[frames - 1]);

        peer_says_frames(&bad, frames);
        assert_false(receive_within(w, 200));
        assert_int_equal(counts(w).malformed, frames);
        peer_leaves(&bad);
    }
    assert_false(is_cut(&good, 50));
    peer_says(&good, "I am still here");
    receive(w);
    peer_leaves(&good);
}

static void
a_frame_above_the_limit_ends_the_connection_and_one_at_the_limit_does_not(void **state)
{
    static const char bytes[MAX_FRAME + 1];
    struct world *w = *state;
    struct peer p = peer_watched(w, NULL), good = peer_watched(w, NULL);

    zmq_send(p.socket, "header", 6, ZMQ_SNDMORE);
    zmq_send(p.socket, bytes, MAX_FRAME, 0);
    receive(w);
    assert_int_equal(w->in.body_len, MAX_FRAME);
    zmq_send(p.socket, "header", 6, ZMQ_SNDMORE);
    zmq_send(p.socket, bytes, MAX_FRAME + 1, 0);
    assert_true(is_cut(&p, PATIENCE_MS));
    assert_false(receive_within(w, 50));
    peer_says(&good, "hello");
    receive(w);
    assert_memory_equal(w->in.header, "hello", 5);
    peer_leaves(&p);
    peer_leaves(&good);
}

static void
who_does_not_speak_zeromq_disturbs_nobody(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    struct world *w = *state;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *port = strrchr(door_endpoint(w->door), ':');
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct peer p = peer_new(w);

    assert_non_null(port);
    to.sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10));
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(write(fd, request, sizeof(request)), sizeof(request));
    peer_says(&p, "hello");
    receive(w);
    assert_memory_equal(w->in.header, "hello", 5);
    assert_false(receive_within(w, 50));
    close(fd);
    peer_leaves(&p);
}

/* --- cuts --- */

static void
a_cut_ends_that_connection_in_its_time_and_no_other(void **state)
{
    struct world *w = *state;
    struct peer good = peer_watched(w, NULL), bad = peer_watched(w, NULL);
    const int64_t now = 1000000;

    peer_says(&good, "hello");
    receive(w);
    assert_int_equal(zmq_send(bad.socket, "header", 6, ZMQ_SNDMORE), 6);
    assert_int_equal(zmq_send(bad.socket, "too much", 8, 0), 8);
    receive(w);
    assert_int_equal(door_reap(w->door, now), INT64_MAX);
    answer(w, w->in.conn, "that was too much");
    door_cut(w->door, now);
    assert_int_equal(counts(w).cut, 1);
    assert_int_equal(door_reap(w->door, now + DOOR_CUT_US - 1), now + DOOR_CUT_US);
    assert_hears(&bad, "that was too much");
    assert_false(is_cut(&bad, 50));
    assert_int_equal(door_reap(w->door, now + DOOR_CUT_US), INT64_MAX);
    assert_true(is_cut(&bad, PATIENCE_MS));
    assert_false(is_cut(&good, 50));
    peer_says(&good, "still here");
    receive(w);
    assert_memory_equal(w->in.header, "still here", 10);
    peer_leaves(&good);
    peer_leaves(&bad);
}

static void
a_message_of_one_frame_can_be_cut_too(void **state)
{
    struct world *w = *state;
    struct peer bad = peer_watched(w, NULL);

    peer_says(&bad, "hello");
    receive(w);
    door_cut(w->door, 1);
    door_reap(w->door, 1 + DOOR_CUT_US);
    assert_true(is_cut(&bad, PATIENCE_MS));
    peer_leaves(&bad);
}

static void
a_message_of_many_frames_can_be_cut_too(void **state)
{
    struct world *w = *state;
    struct peer bad = peer_watched(w, NULL);

    peer_says_frames(&bad, 5);
    receive(w);
    door_cut(w->door, 1);
    assert_int_equal(counts(w).cut, 1);
    door_reap(w->door, 1 + DOOR_CUT_US);
    assert_true(is_cut(&bad, PATIENCE_MS));
    peer_leaves(&bad);
}

static void
more_cuts_than_can_wait_are_done_at_once(void **state)
{
    struct world *w = *state;
    struct peer peers[CUTS];

    for (int i = 0; i < CUTS; i++) {
        peers[i] = peer_watched(w, NULL);
        peer_says(&peers[i], "hello");
        receive(w);
        door_cut(w->door, 1);
    }
    assert_int_equal(counts(w).cut, CUTS);
    assert_true(is_cut(&peers[CUTS - 1], PATIENCE_MS));
    assert_false(is_cut(&peers[0], 50));
    assert_int_equal(door_reap(w->door, 1 + DOOR_CUT_US), INT64_MAX);
    for (int i = 0; i < CUTS; i++) {
        assert_true(is_cut(&peers[i], PATIENCE_MS));
        peer_leaves(&peers[i]);
    }
}

static void
a_door_that_closes_gives_back_what_still_waited_to_be_cut(void **state)
{
    struct world *w = *state;
    struct peer bad = peer_watched(w, NULL);

    peer_says(&bad, "hello");
    receive(w);
    door_cut(w->door, 1);
    door_close(w->door);
    w->door = NULL;
    assert_true(is_cut(&bad, PATIENCE_MS));
    peer_leaves(&bad);
}

/* --- opening --- */

static void
an_endpoint_that_is_in_use_or_is_none_is_named(void **state)
{
    struct world *w = *state;
    const char *wrong[] = {door_endpoint(w->door), "tcp://192.0.2.1:7117", "nonsense"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const struct door_config c = {.endpoint = wrong[i], .backlog = 10, .rcvhwm = 10, .max_frame = MAX_FRAME};
        struct err err = {.code = ERR_NONE};

        assert_null(door_open(&c, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, wrong[i]));
        assert_non_null(strstr(err.text, "door.endpoint"));
    }
}

static void
a_port_that_was_left_open_is_resolved(void **state)
{
    struct world *w = *state;

    assert_null(strchr(door_endpoint(w->door), '*'));
    assert_int_equal(strncmp(door_endpoint(w->door), "tcp://127.0.0.1:", 16), 0);
    door_close(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_comes_with_the_number_of_its_connection_and_its_frames),
        TEST(an_answer_reaches_who_it_is_for_and_nobody_else),
        TEST(messages_of_one_peer_keep_their_order),
        TEST(more_than_two_frames_are_counted_and_the_next_message_is_whole),
        TEST(empty_frames_are_frames),
        TEST(a_frame_that_was_taken_stays_until_it_is_given_back),
        TEST(a_number_is_not_used_for_another_connection),
        TEST(who_was_forgotten_and_speaks_again_has_another_number),
        TEST(numbers_that_were_never_given_are_nobody),
        TEST(who_has_left_is_gone_at_the_next_answer),
        TEST(a_peer_that_does_not_read_loses_answers_and_holds_nobody_up),
        cmocka_unit_test(a_thousand_peers_have_a_thousand_numbers_and_each_hears_its_own),
        TEST(a_peer_that_chooses_its_routing_id_is_not_served),
        TEST(a_frame_above_the_limit_ends_the_connection_and_one_at_the_limit_does_not),
        TEST(who_does_not_speak_zeromq_disturbs_nobody),
        TEST(a_cut_ends_that_connection_in_its_time_and_no_other),
        TEST(a_message_of_one_frame_can_be_cut_too),
        TEST(a_message_of_many_frames_can_be_cut_too),
        TEST(more_cuts_than_can_wait_are_done_at_once),
        TEST(a_door_that_closes_gives_back_what_still_waited_to_be_cut),
        TEST(an_endpoint_that_is_in_use_or_is_none_is_named),
        TEST(a_port_that_was_left_open_is_resolved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
