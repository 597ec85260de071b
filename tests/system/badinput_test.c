/* badinput_test.c - bytes that are no message, or not a right one, sent to the real gateway. */
#include "must.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bad.h"
#include "clock.h"
#include "sluiced.h"
#include "vectors.h"

/* --- frames that are no message --- */
static void
a_hello_cut_short_at_any_byte_is_refused(void **state)
{
    struct bad *s = *state;
    char frame[512];
    struct wire_msg m = bad_hello("raw", bad_epoch());
    size_t len = wire_encode(&m, frame, sizeof(frame));
    struct peer *p = bad_peer(s);
    for (size_t n = 0; n < len; n++) {
        bad_say(p, frame, n);
        (void)bad_told(s, p, WIRE_R_MALFORMED);
    }
    bad_say(p, frame, len);
    assert_non_null(peer_await(p, WIRE_WELCOME, BAD_WAIT_MS));
    peer_close(p);
}

static void
lengths_that_lie_are_refused_without_taking_memory(void **state)
{
    static const struct {
        unsigned char bytes[8];
        size_t len;
    } LIES[] = {
        {"\xdd\xff\xff\xff\xff", 5},
        {"\xdf\xff\xff\xff\xff", 5},
        {"\xdb\xff\xff\xff\xff", 5},
        {"\xc6\xff\xff\xff\xff", 5},
        {"\xc9\xff\xff\xff\xff\x01", 6},
        {"\xdd\x00\x98\x96\x80", 5},
        {"\xdf\x80\x00\x00\x00", 5},
        {"\xdc\xff\xff", 3},
        {"\x81\xdb\x7f\xff\xff\xff", 6},
        {"\x81\xa1\x61\xdd\x7f\xff\xff\xff", 8},
        {"\xc1", 1},
    };
    struct bad *s = *state;
    struct peer *p = bad_peer(s);
    int64_t peak = sluiced_peak_kib(s->gateway);
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < sizeof(LIES) / sizeof(LIES[0]); i++) {
            bad_say(p, LIES[i].bytes, LIES[i].len);
            (void)bad_told(s, p, WIRE_R_MALFORMED);
        }
    assert_in_range(sluiced_peak_kib(s->gateway), 1, peak + 8 * 1024);
    peer_close(p);
}

static void
deep_nests_and_a_million_tiny_elements_are_refused_fast(void **state)
{
    struct bad *s = *state;
    struct peer *p = bad_peer(s);
    unsigned char deep[WIRE_HEADER_MAX], wide[WIRE_HEADER_MAX] = {0xdc, 0x3f, 0xfd};
    memset(deep, 0x91, sizeof(deep));
    deep[sizeof(deep) - 1] = 0xc0;
    memset(wide + 3, 0xc0, sizeof(wide) - 3);
    int64_t began = sluiced_cpu_us(s->gateway); /* its own work, whatever else the machine has to do */
    for (int i = 0; i < 100; i++) {
        bad_say(p, deep, i % 2 == 0 ? sizeof(deep) : 33);
        bad_say(p, wide, sizeof(wide));
        bad_say(p, s->bytes, BAD_CHUNK); /* more than a header may have */
    }
    for (int i = 0; i < 300; i++)
        assert_non_null(peer_await_error(p, WIRE_R_MALFORMED, BAD_WAIT_MS));
    assert_true(sluiced_cpu_us(s->gateway) - began < 3000000);
    peer_close(p);
}

static void
a_message_of_no_frame_or_too_many_is_refused(void **state)
{
    struct bad *s = *state;
    uint64_t epoch = bad_epoch();
    struct peer *p = bad_welcomed(s, epoch);
    char frame[512], body[10] = {0};
    struct wire_msg ping = {.type = WIRE_PING, .has = 1ULL << WIRE_F_SEEN | 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD};
    size_t len = wire_encode(&ping, frame, sizeof(frame));
    peer_send_frames(p, NULL, NULL, 0);
    (void)bad_told(s, p, WIRE_R_MALFORMED);
    for (size_t n = 2; n <= 8; n++) {
        const void *frames[8] = {frame, body, body, body, body, body, body, body};
        size_t lens[8] = {len, 10, 10, 10, 10, 10, 10, 10};
        peer_send_frames(p, frames, lens, n);
        (void)bad_told(s, p, WIRE_R_MALFORMED);
    }
    struct wire_msg bundle = {.type = WIRE_BUNDLE,
                              .seq = 1,
                              .size = 10,
                              .has = 1ULL << WIRE_F_SEQ | 1ULL << WIRE_F_SIZE | 1ULL << WIRE_F_OFF |
                                     1ULL << WIRE_F_WANT |
                                     1ULL << WIRE_F_HEAD};
    peer_send(p, &bundle, NULL, 0); /* its chunk is missing */
    (void)bad_told(s, p, WIRE_R_MALFORMED);
    bad_lives(p, epoch);
    bad_push_well(p, 1);
    peer_close(p);
}

static void
a_frame_above_the_limit_ends_the_connection_before_it_is_read(void **state)
{
    struct bad *s = *state;
    size_t len = 64 * 1024 * 1024;
    char *frame = calloc(1, len);
    int64_t peak = sluiced_peak_kib(s->gateway);
    struct peer *p = bad_peer(s);
    (void)peer_hello(p, "raw", bad_epoch(), true, 0);
    for (int i = 0; i < 5; i++) {
        bad_say(p, frame, len);
        assert_true(peer_was_cut(p, BAD_WAIT_MS));
    }
    assert_in_range(sluiced_peak_kib(s->gateway), 1, peak + 16 * 1024);
    peer_close(p);
    free(frame);
}

/* Every frame that the protocol's own list of vectors calls wrong. */
static void
every_refused_vector_is_answered_with_its_error(void **state)
{
    struct bad *s = *state;
    struct peer *p = bad_peer(s);
    struct vectors *all = vectors_read();
    size_t n = 0;
    for (size_t i = 0; i < all->n; i++) {
        const struct vector *v = &all->list[i];
        if (v->side != WIRE_FROM_CONNECTOR || !vector_is_in(v, "refused"))
            continue;
        bad_say(p, v->frame, v->len);
        const struct wire_msg *m = peer_await(p, WIRE_ERROR, BAD_WAIT_MS);
        if (m == NULL || strcmp(wire_reason_name(m->code), v->expected) != 0)
            fail_msg("%s: %s, and not %s", v->path, m != NULL ? wire_reason_name(m->code) : "no answer", v->expected);
        if (m->field.len != strlen(v->field) || memcmp(m->field.at, v->field, m->field.len) != 0)
            fail_msg("%s: field '%.*s', and not '%s'", v->path, (int)m->field.len, m->field.at, v->field);
        n++;
    }
    vectors_free(all);
    assert_true(n > 50);
    peer_close(p);
}

/* --- fields --- */
static void
a_field_of_a_wrong_type_is_named(void **state)
{
    /* {"type": "ping", "seen": X, "want": 0, "head": 0} with X no whole number that fits. */
    static const struct {
        unsigned char bytes[10];
        size_t len;
    } WRONG[] = {
        {"\xc0", 1},
        {"\xc3", 1},
        {"\xa1"
         "1",
         2},
        {"\xff", 1},
        {"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", 9},
        {"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", 9},
        {"\xca\x3f\x80\x00\x00", 5},
        {"\x90", 1},
        {"\x80", 1},
        {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9},
        {"\xcf\x80\x00\x00\x00\x00\x00\x00\x00", 9},
        {"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9},
        {"\xc4\x01x", 3},
    };
    static const char HEAD[] = "\x84\xa4type\xa4ping\xa4seen", TAIL[] = "\xa4want\x00\xa4head\x00";
    struct bad *s = *state;
    uint64_t epoch = bad_epoch();
    struct peer *p = bad_welcomed(s, epoch);
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        char frame[64];
        size_t at = sizeof(HEAD) - 1;
        memcpy(frame, HEAD, at);
        memcpy(frame + at, WRONG[i].bytes, WRONG[i].len);
        at += WRONG[i].len;
        memcpy(frame + at, TAIL, sizeof(TAIL) - 1);
        bad_say(p, frame, at + sizeof(TAIL) - 1);
        struct wire_msg m = bad_told(s, p, WIRE_R_FIELD);
        assert_int_equal(m.field.len, 4);
        assert_memory_equal(m.field.at, "seen", 4);
    }
    bad_lives(p, epoch);
    peer_close(p);
}

static void
unknown_repeated_and_missing_fields_are_refused(void **state)
{
    static const char UNKNOWN[] = "\x85\xa4type\xa4ping\xa4seen\x00\xa4want\x00\xa4head\x00\xa5hello\x01";
    static const char REPEATED[] = "\x85\xa4type\xa4ping\xa4seen\x00\xa4want\x00\xa4head\x00\xa4seen\x05";
    static const char MISSING[] = "\x83\xa4type\xa4ping\xa4want\x00\xa4head\x00";
    static const char NO_TYPE[] = "\x82\xa4want\x00\xa4head\x00";
    static const char ODD_TYPE[] = "\x81\xa4type\xa7permit2";
    static const char NOT_YOURS[] = "\x82\xa4type\xa6"
                                    "credit\xa6"
                                    "credit\x01";
    struct bad *s = *state;
    uint64_t epoch = bad_epoch();
    struct peer *p = bad_welcomed(s, epoch);
    bad_say(p, UNKNOWN, sizeof(UNKNOWN) - 1);
    (void)bad_told(s, p, WIRE_R_FIELD);
    bad_say(p, REPEATED, sizeof(REPEATED) - 1);
    (void)bad_told(s, p, WIRE_R_FIELD);
    bad_say(p, MISSING, sizeof(MISSING) - 1);
    (void)bad_told(s, p, WIRE_R_FIELD);
    bad_say(p, NO_TYPE, sizeof(NO_TYPE) - 1);
    assert_non_null(peer_await(p, WIRE_ERROR, BAD_WAIT_MS));
    bad_say(p, ODD_TYPE, sizeof(ODD_TYPE) - 1);
    (void)bad_told(s, p, WIRE_R_TYPE);
    bad_say(p, NOT_YOURS, sizeof(NOT_YOURS) - 1);
    (void)bad_told(s, p, WIRE_R_TYPE);
    bad_lives(p, epoch);
    peer_close(p);
}

static void
a_version_that_is_not_spoken_is_answered_with_those_that_are(void **state)
{
    struct bad *s = *state;
    struct peer *p = bad_peer(s);
    char frame[512];
    struct wire_msg m = bad_hello("raw", bad_epoch());
    size_t len = wire_encode(&m, frame, sizeof(frame));
    char *version = memmem(frame, len, "\xa1v\x01", 3);
    assert_non_null(version);
    for (char v = 0; v < 4; v++) {
        if (v == WIRE_VERSION)
            continue;
        version[2] = v; /* the encoder does not write what is not spoken */
        bad_say(p, frame, len);
        struct wire_msg e = bad_told(s, p, WIRE_R_VERSION);
        assert_true(e.fatal);
        assert_int_equal(e.versions[0], WIRE_VERSION);
        assert_int_equal(e.versions[1], 0);
    }
    peer_close(p);
}

static void
names_that_are_paths_or_worse_are_refused(void **state)
{
    static const char *const NAMES[] = {"../raw",
                                        "/etc/passwd",
                                        "raw\n",
                                        "Raw",
                                        "",
                                        "-raw",
                                        "con:",
                                        "a b",
                                        "raw/..",
                                        "\xc3\x28",
                                        "\xed\xa0\x80",
                                        "\xc0\xaf",
                                        "\xef\xbb\xbfraw",
                                        "r\x1b[31maw",
                                        "0123456789012345678901234567890123456789012345678901234567890123x"};
    struct bad *s = *state;
    struct peer *p = bad_peer(s);
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        struct wire_msg m = bad_hello("raw", bad_epoch());
        char frame[512];
        size_t len = wire_encode(&m, frame, sizeof(frame));
        /* The encoder may refuse such an id; so it is put into its place in a good frame. */
        char *at = memmem(frame, len, "\xa3raw", 4);
        char odd[600];
        size_t n = strlen(NAMES[i]), before = (size_t)(at - frame), to = before;
        memcpy(odd, frame, before);
        if (n < 32) {
            odd[to++] = (char)(0xa0 | n);
        } else {
            odd[to++] = (char)0xd9;
            odd[to++] = (char)n;
        }
        memcpy(odd + to, NAMES[i], n);
        to += n;
        memcpy(odd + to, at + 4, len - before - 4);
        bad_say(p, odd, to + len - before - 4);
        struct wire_msg e = bad_told(s, p, WIRE_R_FIELD);
        assert_int_equal(e.field.len, 2);
        assert_memory_equal(e.field.at, "id", 2);
    }
    peer_close(p);
}

static void
a_connector_that_is_not_configured_is_told_what_to_do(void **state)
{
    struct bad *s = *state;
    struct peer *p = bad_peer(s);
    struct wire_msg m = bad_hello("nobody", bad_epoch());
    peer_send(p, &m, NULL, 0);
    struct wire_msg e = bad_told(s, p, WIRE_R_UNKNOWN_ID);
    assert_true(e.fatal);
    assert_non_null(memmem(e.text.at, e.text.len, "connectors", 10));
    peer_close(p);
}

/* --- words for the log, and bytes of other protocols --- */
static void
words_of_a_connector_can_neither_break_the_log_nor_flood_it(void **state)
{
    static const char RLO[] = {'\xe2', '\x80', '\xae', '\0'}; /* turns the direction of text */
    char text[100];
    struct bad *s = *state;
    struct peer *p = bad_welcomed(s, bad_epoch());
    struct wire_msg m = {.type = WIRE_LOG, .has = 1ULL << WIRE_F_LEVEL | 1ULL << WIRE_F_TEXT, .level = WIRE_LV_WARN};
    m.text.len = (uint32_t)snprintf(text, sizeof(text), "a\nlevel=error event=forged \x1b[31m red %s", RLO);
    m.text.at = text;
    struct wire_msg ping = {.type = WIRE_PING, .has = 1ULL << WIRE_F_SEEN | 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD};
    for (int i = 0; i < 20000; i++)
        peer_send(p, &m, NULL, 0);
    peer_send(p, &ping, NULL, 0);
    assert_non_null(peer_await(p, WIRE_PONG, BAD_WAIT_MS));
    assert_true(sluiced_log_wait(s->gateway, s->mark, "connector_log", "\\n", BAD_WAIT_MS));
    assert_int_equal(sluiced_log_count(s->gateway, s->mark, "\x1b"), 0);
    assert_int_equal(sluiced_log_count(s->gateway, s->mark, RLO), 0);
    assert_in_range(sluiced_log_count(s->gateway, s->mark, "connector_log"), 1, 200);
    peer_close(p);
}

/* A TCP connection that speaks something else.  Returns whether it was ended within 5 s. */
static bool
speak(struct bad *s, const void *bytes, size_t len)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)sluiced_port(s->gateway)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 5};
    char buf[256];
    ssize_t n;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    (void)send(fd, bytes, len, MSG_NOSIGNAL);
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
        ;
    bool ended = n == 0 || errno == ECONNRESET;
    (void)close(fd);
    return ended;
}

static void
other_protocols_and_half_greetings_are_cut_off(void **state)
{
    static const char HTTP[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char TLS[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    static const char HALF[] = "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03";
    struct bad *s = *state;
    unsigned char noise[4096];
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (unsigned char)(i * 197 + 31);
    assert_true(speak(s, HTTP, sizeof(HTTP) - 1));
    assert_true(speak(s, TLS, sizeof(TLS) - 1));
    assert_true(speak(s, noise, sizeof(noise)));
    assert_true(speak(s, HALF, sizeof(HALF) - 1)); /* it says no more: the handshake has a limit of 3 s */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BAD(a_hello_cut_short_at_any_byte_is_refused),
        BAD(lengths_that_lie_are_refused_without_taking_memory),
        BAD(deep_nests_and_a_million_tiny_elements_are_refused_fast),
        BAD(a_message_of_no_frame_or_too_many_is_refused),
        BAD(a_frame_above_the_limit_ends_the_connection_before_it_is_read),
        BAD(every_refused_vector_is_answered_with_its_error),
        BAD(a_field_of_a_wrong_type_is_named),
        BAD(unknown_repeated_and_missing_fields_are_refused),
        BAD(a_version_that_is_not_spoken_is_answered_with_those_that_are),
        BAD(names_that_are_paths_or_worse_are_refused),
        BAD(a_connector_that_is_not_configured_is_told_what_to_do),
        BAD(words_of_a_connector_can_neither_break_the_log_nor_flood_it),
        BAD(other_protocols_and_half_greetings_are_cut_off),
        cmocka_unit_test(bad_the_honest_connector_lost_nothing_meanwhile),
    };
    return cmocka_run_group_tests(tests, bad_open, bad_close);
}
