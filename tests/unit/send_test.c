/* send_test.c - messages as frames on a socket: parts of bundles, made when their turn comes. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <amqp.h>
#include <amqp_framing.h>

#include "body.h"
#include "broker/link.h"
#include "broker/send.h"
#include "broker/watchdog.h"
#include "broker/window.h"
#include "err.h"
#include "parts_double.h"

enum { FRAME = 20000, WIRE_MAX = 8 << 20 };

/* What may be allocated with malloc: requests above it fail.  Linked with --wrap: the linker leaves no other way in
 * than file scope. */
static size_t malloc_most = SIZE_MAX;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker chose these names */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *
__wrap_malloc(size_t size)
{
    return size > malloc_most ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
    return __real_calloc(n, size);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* A sender, and a peer that keeps all that comes. */
struct wire {
    struct sender   *sender;
    struct watchdog *dog;
    struct link      link;
    int              peer;
    pthread_t        reader;
    size_t           len, at;
    uint8_t         *bytes;
};

static void *
read_on(void *arg)
{
    struct wire *w = arg;
    ssize_t n;

    while ((n = read(w->peer, w->bytes + w->len, WIRE_MAX - w->len)) > 0)
        w->len += (size_t)n;
    return NULL;
}

static int
setup(void **state)
{
    struct wire *w = calloc(1, sizeof(*w));
    struct err err;
    int fds[2];

    *state = w;
    if (w == NULL || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return -1;
    w->peer = fds[1];
    w->bytes = malloc(WIRE_MAX);
    w->dog = watchdog_start(60000000, &err);
    w->sender = sender_new(&err);
    w->link = (struct link){.fd = fds[0], .dog = w->dog, .frame_max = FRAME};
    if (w->bytes == NULL || w->dog == NULL || w->sender == NULL)
        return -1;
    return pthread_create(&w->reader, NULL, read_on, w);
}

static int
teardown(void **state)
{
    struct wire *w = *state;

    sender_free(w->sender);
    watchdog_free(w->dog);
    close(w->peer);
    free(w->bytes);
    free(w);
    return 0;
}

/* Nothing more is sent: all of it is in bytes. */
static void
hang_up(struct wire *w)
{
    struct err err;

    assert_int_equal(sender_flush(w->sender, &w->link, &err), 0);
    close(w->link.fd);
    pthread_join(w->reader, NULL);
}

static const struct pub_target target = {.exchange = "", .routing_key = "q", .queue = "q"};

static struct window_item
a_part(struct parts *p, uint32_t i)
{
    return (struct window_item){
        .message = {.target = &target, .parts = p, .connector = "feed", .epoch = 7, .seq = 42},
        .size = p->kind->size(p, i),
        .part = i};
}

static bool
publish(struct wire *w, const struct window_item *item)
{
    struct err err;

    if (!sender_make(w->sender, &w->link, item))
        return false;
    assert_int_equal(sender_begin(w->sender, &w->link, item, &err), 0);
    while (sender_open(w->sender)) {
        if (sender_full(w->sender))
            assert_int_equal(sender_flush(w->sender, &w->link, &err), 0);
        assert_int_equal(sender_more(w->sender, &w->link, &err), 0);
    }
    if (sender_full(w->sender))
        assert_int_equal(sender_flush(w->sender, &w->link, &err), 0);
    return true;
}

static uint64_t
number(const uint8_t *at, int bytes)
{
    uint64_t n = 0;

    for (int i = 0; i < bytes; i++)
        n = n << 8 | at[i];
    return n;
}

/* The next frame has this type; its payload. */
static const uint8_t *
frame(struct wire *w, int type, size_t *ret_len)
{
    const uint8_t *at = w->bytes + w->at;

    assert_true(w->at + 8 <= w->len);
    assert_int_equal(at[0], type);
    assert_int_equal(number(at + 1, 2), LINK_PUBLISH);
    *ret_len = number(at + 3, 4);
    assert_true(w->at + 8 + *ret_len <= w->len);
    assert_int_equal(at[7 + *ret_len], 0xCE);
    w->at += 8 + *ret_len;
    return at + 7;
}

static bool
holds(const uint8_t *at, size_t len, const char *text)
{
    return memmem(at, len, text, strlen(text)) != NULL;
}

/* The next message on the wire is this part of the bundle, whole. */
static void
assert_sent(struct wire *w, const struct parts *p, uint32_t i, const char *id)
{
    const size_t size = p->kind->size(p, i);
    uint8_t *got = malloc(size + 1);
    size_t have = 0, len;

    assert_non_null(got);
    frame(w, AMQP_FRAME_METHOD, &len);
    const uint8_t *header = frame(w, AMQP_FRAME_HEADER, &len);
    assert_int_equal(number(header + 4, 8), size);
    assert_true(holds(header, len, id));
    assert_int_equal(holds(header, len, "x-sluice-parts"), p->n > 1);
    while (have < size) {
        const uint8_t *payload = frame(w, AMQP_FRAME_BODY, &len);
        assert_true(len > 0 && len <= w->link.frame_max && have + len <= size);
        memcpy(got + have, payload, len);
        have += len;
    }
    assert_true(parts_double_is(p, i, got, size));
    free(got);
}

static void
parts_of_every_size_are_sent_whole_and_in_order(void **state)
{
    struct wire *w = *state;
    static const uint64_t sizes[] = {1,     0,     8191,   8192,  8193,  FRAME - 1, FRAME,  FRAME + 1,
                                     40000, 100,   131072, 10000, 10000, 10000,     900000, 5,
                                     9000,  20001, 9000,   9000,  9000,  9000,      1};
    enum { N = sizeof(sizes) / sizeof(sizes[0]) };
    struct parts *p[N];

    for (size_t i = 0; i < N; i++) {
        p[i] = parts_double_new(3, sizes[i]);
        const struct window_item item = a_part(p[i], 1);
        assert_true(publish(w, &item));
        assert_int_equal(parts_double_written(p[i]), sizes[i] > 0);
    }
    hang_up(w);
    for (size_t i = 0; i < N; i++) {
        assert_sent(w, p[i], 1, "feed/7/42/2");
        parts_free(p[i]);
    }
    assert_int_equal(w->at, w->len);
}

static void
small_frames_hold_small_parts_too(void **state)
{
    struct wire *w = *state;
    struct parts *p = parts_double_new(1, 8000);
    const struct window_item item = a_part(p, 0);

    w->link.frame_max = 4088; /* the least that the protocol allows */
    for (int i = 0; i < 100; i++)
        assert_true(publish(w, &item));
    hang_up(w);
    for (int i = 0; i < 100; i++)
        assert_sent(w, p, 0, "feed/7/42");
    assert_int_equal(w->at, w->len);
    parts_free(p);
}

static void
the_type_and_the_encoding_are_the_parts_own(void **state)
{
    struct wire *w = *state;
    struct parts *p = parts_double_new(1, 10);
    const struct window_item item = a_part(p, 0);
    size_t len;

    p->ctype = "application/json";
    p->encoding = "utf-8";
    publish(w, &item);
    p->ctype = p->encoding = "";
    publish(w, &item);
    hang_up(w);
    frame(w, AMQP_FRAME_METHOD, &len);
    const uint8_t *header = frame(w, AMQP_FRAME_HEADER, &len);
    assert_true(holds(header, len, "\020application/json\005utf-8"));
    assert_true((header[12] & 0xC0) == 0xC0);
    frame(w, AMQP_FRAME_BODY, &len);
    frame(w, AMQP_FRAME_METHOD, &len);
    header = frame(w, AMQP_FRAME_HEADER, &len);
    assert_true((header[12] & 0xC0) == 0);
    parts_free(p);
}

static void
without_memory_nothing_has_moved_and_others_are_sent(void **state)
{
    struct wire *w = *state;
    struct parts *p = parts_double_new(3, 8192), *huge = parts_double_new(1, UINT64_MAX - 10);
    parts_double_odd(p, 1, 8193);
    const struct window_item small = a_part(p, 0), large = a_part(p, 1), never = a_part(huge, 0);

    assert_true(publish(w, &small));
    malloc_most = 4096;
    assert_false(publish(w, &large));
    assert_true(publish(w, &small)); /* it needs none */
    malloc_most = SIZE_MAX;
    assert_false(publish(w, &never));
    assert_true(publish(w, &large));
    hang_up(w);
    assert_sent(w, p, 0, "feed/7/42/1");
    assert_sent(w, p, 0, "feed/7/42/1");
    assert_sent(w, p, 1, "feed/7/42/2");
    assert_int_equal(w->at, w->len);
    parts_free(huge);
    parts_free(p);
}

static void
a_message_that_is_dropped_half_sent_is_forgotten(void **state)
{
    struct wire *w = *state;
    struct parts *p = parts_double_new(2, 500000);
    const struct window_item first = a_part(p, 0), second = a_part(p, 1);
    struct err err;

    assert_true(publish(w, &second));
    assert_true(sender_make(w->sender, &w->link, &first));
    assert_int_equal(sender_begin(w->sender, &w->link, &first, &err), 0);
    assert_int_equal(sender_flush(w->sender, &w->link, &err), 0);
    assert_int_equal(sender_more(w->sender, &w->link, &err), 0);
    sender_drop(w->sender);
    assert_false(sender_open(w->sender));
    assert_true(publish(w, &second));
    hang_up(w);

    size_t len;
    assert_sent(w, p, 1, "feed/7/42/2");
    frame(w, AMQP_FRAME_METHOD, &len);
    frame(w, AMQP_FRAME_HEADER, &len);
    assert_sent(w, p, 1, "feed/7/42/2");
    assert_int_equal(w->at, w->len);
    parts_free(p);
}

static void
bodies_and_parts_may_follow_each_other(void **state)
{
    struct wire *w = *state;
    struct parts *p = parts_double_new(2, 30000);
    struct chunk chunks[2] = {{.at = "abc", .len = 3}, {.at = "defg", .len = 4}};
    const struct body body = {.size = 7, .have = 7, .n = 2, .chunks = chunks, .ctype = "text/html"};
    const struct window_item plain = {
        .message = {.target = &target, .body = &body, .connector = "feed", .epoch = 7, .seq = 43}, .size = 7};
    size_t len;

    for (uint32_t i = 0; i < 2; i++) {
        const struct window_item item = a_part(p, i);
        assert_true(publish(w, &item));
        assert_true(publish(w, &plain));
    }
    hang_up(w);
    for (uint32_t i = 0; i < 2; i++) {
        assert_sent(w, p, i, i == 0 ? "feed/7/42/1" : "feed/7/42/2");
        frame(w, AMQP_FRAME_METHOD, &len);
        const uint8_t *header = frame(w, AMQP_FRAME_HEADER, &len);
        assert_true(holds(header, len, "feed/7/43"));
        assert_true(holds(header, len, "text/html"));
        assert_false(holds(header, len, "x-sluice-part"));
        assert_memory_equal(frame(w, AMQP_FRAME_BODY, &len), "abc", 3);
        assert_memory_equal(frame(w, AMQP_FRAME_BODY, &len), "defg", 4);
    }
    parts_free(p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_of_every_size_are_sent_whole_and_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(small_frames_hold_small_parts_too, setup, teardown),
        cmocka_unit_test_setup_teardown(the_type_and_the_encoding_are_the_parts_own, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_nothing_has_moved_and_others_are_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_that_is_dropped_half_sent_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(bodies_and_parts_may_follow_each_other, setup, teardown),
    };
    return cmocka_run_group_tests_name("send", tests, NULL, NULL);
}
