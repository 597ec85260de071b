/* client_push_test.c - bundles and verdicts through the public calls, against a scripted gateway. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client_gateway.h"
#include "sluice/sluice.h"

enum { MUCH = 1 << 30, PATIENT_MS = 60000 };

struct world {
    struct gateway g;
    struct sluice *s;
    struct sluice_error err;
};

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    gateway_start(&w->g);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    sluice_close(&w->s, 0, NULL);
    gateway_stop(&w->g);
    free(w);
    return 0;
}

static void
opens(struct world *w, struct sluice_options opt)
{
    opt.id = "c1";
    opt.endpoint = w->g.endpoint;
    w->s = sluice_open(&opt, &w->err);
    if (w->s == NULL)
        fail_msg("%s", w->err.text);
}

static void
is_in(struct world *w, uint64_t credit)
{
    opens(w, (struct sluice_options){.id = NULL});
    gateway_lets_in(&w->g, 1, credit);
    assert_int_equal(sluice_wait(w->s, PATIENT_MS, &w->err), 0);
}

static void
pushes(struct world *w, const char *text)
{
    if (sluice_push(w->s, text, strlen(text), NULL, PATIENT_MS, &w->err) != 0)
        fail_msg("%s", w->err.text);
}

static void
hears(struct world *w, uint64_t seq, const char *text)
{
    size_t len;
    uint8_t *body = gateway_hears_bundle(&w->g, seq, &len);

    assert_int_equal(len, strlen(text));
    assert_memory_equal(body, text, len);
    free(body);
}

static bool
readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, ms) == 1;
}

/* --- the plain case --- */

static void
what_is_pushed_arrives_and_flush_tells_of_the_ack(void **state)
{
    struct world *w = *state;
    struct sluice_info info;

    is_in(w, MUCH);
    pushes(w, "one");
    pushes(w, "two");
    hears(w, 1, "one");
    hears(w, 2, "two");
    assert_int_equal(sluice_flush(w->s, 20, &w->err), SLUICE_EAGAIN);
    assert_non_null(strstr(w->err.text, "2 bundles are unanswered"));
    gateway_answers(&w->g, 2, WIRE_ACK);
    assert_int_equal(sluice_flush(w->s, PATIENT_MS, &w->err), 0);
    sluice_info(w->s, &info);
    assert_int_equal(info.connected, 1);
    assert_int_equal(info.accepted, 2);
    assert_int_equal(info.accepted_bytes, 6);
    assert_int_equal(info.acked, 2);
    assert_int_equal(info.unanswered, 0);
    assert_int_equal(info.unanswered_bytes, 0);
    assert_int_equal(info.resent, 0);
    assert_int_equal(info.reconnects, 0);
    assert_int_equal(info.max_bundle, UINT64_C(512) << 20);
}

static void
a_content_type_travels_with_its_bundle(void **state)
{
    struct world *w = *state;
    struct sluice_push_options opt = {.content_type = "application/stix+json;version=2.1"};

    is_in(w, MUCH);
    assert_int_equal(sluice_push(w->s, "x", 1, &opt, 0, NULL), 0);
    gateway_hears(&w->g, WIRE_BUNDLE);
    assert_int_equal(w->g.msg.ctype.len, strlen(opt.content_type));
    assert_memory_equal(w->g.msg.ctype.at, opt.content_type, w->g.msg.ctype.len);
}

static void
format_and_options_travel_with_their_bundle(void **state)
{
    struct world *w = *state;
    struct sluice_push_options opt = {.format = "opencti", .options = "{\"update\":true}", .content_type = "a/b"};

    is_in(w, MUCH);
    assert_int_equal(sluice_push(w->s, "xyz", 3, &opt, 0, NULL), 0);
    gateway_hears(&w->g, WIRE_BUNDLE);
    assert_true(WIRE_HAS(&w->g.msg, WIRE_F_FORMAT));
    assert_int_equal(w->g.msg.format, WIRE_FMT_OPENCTI);
    assert_int_equal(w->g.msg.options.len, strlen(opt.options));
    assert_memory_equal(w->g.msg.options.at, opt.options, w->g.msg.options.len);
    assert_int_equal(w->g.msg.ctype.len, 3);
    pushes(w, "plain");
    gateway_hears(&w->g, WIRE_BUNDLE);
    assert_false(WIRE_HAS(&w->g.msg, WIRE_F_FORMAT) || WIRE_HAS(&w->g.msg, WIRE_F_OPTIONS));
}

static void
a_format_or_options_that_cannot_be_are_refused_at_the_push(void **state)
{
    struct world *w = *state;
    char *large = calloc(1, 8194);
    const struct sluice_push_options bad[] = {
        {.format = "stix"}, {.format = ""}, {.options = ""}, {.options = "{"}, {.options = "{\xff}"},
        {.options = large},
    };

    is_in(w, MUCH);
    assert_non_null(large);
    memset(large, ' ', 8193);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sluice_push(w->s, "x", 1, &bad[i], 0, &w->err), SLUICE_EINVAL);
    assert_non_null(strstr(w->err.text, "a JSON object of 2 to 8192 bytes"));
    free(large);
}

static void
a_large_bundle_arrives_byte_for_byte(void **state)
{
    struct world *w = *state;
    size_t size = 20 * 1024 * 1024 + 13, len;
    uint32_t *body = malloc(size + 4);
    void *given = body;
    uint8_t *got;

    for (size_t i = 0; i * 4 < size; i++)
        body[i] = (uint32_t)i * 2654435761U;
    is_in(w, MUCH);
    assert_int_equal(sluice_push(w->s, body, size, NULL, 0, NULL), 0);
    got = gateway_hears_bundle(&w->g, 1, &len);
    assert_int_equal(len, size);
    assert_memory_equal(got, body, size);
    assert_int_equal(sluice_push_take(w->s, &given, size, NULL, 0, NULL), 0);
    assert_null(given);
    free(got);
    got = gateway_hears_bundle(&w->g, 2, &len);
    assert_memory_equal(got, body, size); /* still ours to read: it is unanswered */
    gateway_answers(&w->g, 2, WIRE_ACK);
    assert_int_equal(sluice_flush(w->s, PATIENT_MS, NULL), 0);
    free(got);
}

static void
bundles_pushed_before_the_gateway_is_there_arrive_when_it_comes(void **state)
{
    struct world *w = *state;
    struct sluice_info info;

    gateway_die(&w->g);
    opens(w, (struct sluice_options){.id = NULL});
    pushes(w, "early");
    assert_int_equal(sluice_wait(w->s, 20, &w->err), SLUICE_EAGAIN);
    assert_non_null(strstr(w->err.text, w->g.endpoint));
    assert_int_equal(sluice_flush(w->s, 0, &w->err), SLUICE_EAGAIN);
    sluice_info(w->s, &info);
    assert_int_equal(info.connected, 0);
    gateway_revive(&w->g);
    gateway_lets_in(&w->g, 1, MUCH);
    hears(w, 1, "early");
}

/* --- connections that break --- */

static void
after_the_gateway_died_it_resends_what_is_unanswered(void **state)
{
    struct world *w = *state;
    struct sluice_info info;

    is_in(w, MUCH);
    pushes(w, "one");
    pushes(w, "two");
    pushes(w, "three");
    hears(w, 1, "one");
    hears(w, 2, "two");
    hears(w, 3, "three");
    gateway_die(&w->g);
    gateway_revive(&w->g);
    gateway_hears(&w->g, WIRE_HELLO);
    assert_false(w->g.msg.fresh);
    assert_int_equal(w->g.msg.seen, 0);
    gateway_welcomes(&w->g, 2, MUCH); /* one was stored before it died */
    hears(w, 2, "two");
    hears(w, 3, "three");
    gateway_answers(&w->g, 3, WIRE_ACK);
    assert_int_equal(sluice_flush(w->s, PATIENT_MS, NULL), 0);
    sluice_info(w->s, &info);
    assert_int_equal(info.resent, 2);
    assert_int_equal(info.reconnects, 1);
}

static void
a_large_bundle_that_was_cut_off_is_resent_whole(void **state)
{
    struct world *w = *state;
    size_t size = 16 * 1024 * 1024, len;
    char *body = malloc(size);
    uint8_t *got;

    memset(body, 'x', size);
    is_in(w, MUCH);
    assert_int_equal(sluice_push(w->s, body, size, NULL, 0, NULL), 0);
    gateway_hears(&w->g, WIRE_BUNDLE);
    gateway_hears(&w->g, WIRE_BUNDLE);
    gateway_die(&w->g);
    gateway_revive(&w->g);
    gateway_lets_in(&w->g, 1, MUCH);
    got = gateway_hears_bundle(&w->g, 1, &len);
    assert_memory_equal(got, body, size);
    free(got);
    free(body);
}

static void
a_gateway_that_forgot_us_is_told_hello(void **state)
{
    struct world *w = *state;

    is_in(w, MUCH);
    pushes(w, "one");
    hears(w, 1, "one");
    gateway_errs(&w->g, WIRE_R_HELLO_FIRST, false);
    gateway_lets_in(&w->g, 1, MUCH);
    hears(w, 1, "one");
}

static void
a_lost_welcome_brings_another_hello(void **state)
{
    struct world *w = *state;

    opens(w, (struct sluice_options){.id = NULL});
    assert_int_equal(gateway_hears(&w->g, WIRE_HELLO)->attempt, 1);
    assert_int_equal(gateway_hears(&w->g, WIRE_HELLO)->attempt, 2);
    gateway_welcomes(&w->g, 1, MUCH);
    assert_int_equal(sluice_wait(w->s, PATIENT_MS, &w->err), 0);
}

static void
a_gateway_that_fell_silent_is_left_for_a_new_connection(void **state)
{
    struct world *w = *state;
    uint8_t first[sizeof(w->g.peer)];

    w->g.ping_ms = 50;
    is_in(w, MUCH);
    memcpy(first, w->g.peer, sizeof(first));
    while (gateway_hears_within(&w->g, PATIENT_MS) && w->g.msg.type == WIRE_PING)
        continue;
    assert_int_equal(w->g.msg.type, WIRE_HELLO);
    assert_memory_not_equal(w->g.peer, first, w->g.peer_len);
}

/* --- verdicts --- */

static void
a_refused_bundle_comes_back_with_the_reason(void **state)
{
    struct world *w = *state;
    struct sluice_push_options opt = {.tag = 42};
    struct sluice_verdict v;

    is_in(w, MUCH);
    pushes(w, "good");
    assert_int_equal(sluice_push(w->s, "bad", 3, &opt, 0, NULL), 0);
    hears(w, 1, "good");
    hears(w, 2, "bad");
    gateway_answers(&w->g, 1, WIRE_ACK);
    gateway_answers(&w->g, 2, WIRE_NACK);
    assert_int_equal(gateway_hears(&w->g, WIRE_PING)->seen, 2);
    assert_int_equal(sluice_flush(w->s, PATIENT_MS, &w->err), SLUICE_ENACK);
    assert_int_equal(sluice_verdict_next(w->s, &v, PATIENT_MS, NULL), 0);
    assert_int_equal(v.kind, SLUICE_NACKED);
    assert_int_equal(v.tag, 42);
    assert_int_equal(v.seq, 2);
    assert_int_equal(v.len, 3);
    assert_memory_equal(v.body, "bad", 3);
    assert_string_equal(v.reason, "unroutable");
    assert_string_equal(v.text, "no queue is bound");
    assert_int_equal(sluice_push(w->s, v.body, v.len, &opt, 0, NULL), 0);
    assert_int_equal(sluice_verdict_next(w->s, &v, 0, &w->err), SLUICE_EAGAIN);
    hears(w, 3, "bad");
    gateway_answers(&w->g, 3, WIRE_ACK_DEAD);
    assert_int_equal(sluice_flush(w->s, PATIENT_MS, &w->err), 0);
    assert_int_equal(sluice_verdict_next(w->s, &v, PATIENT_MS, NULL), 0);
    assert_int_equal(v.kind, SLUICE_ACKED_DEAD);
    assert_null(v.body);
}

static void
acks_are_reported_where_the_program_asked_for_it(void **state)
{
    struct world *w = *state;
    struct sluice_verdict v;

    opens(w, (struct sluice_options){.report_acks = 1});
    gateway_lets_in(&w->g, 1, MUCH);
    pushes(w, "one");
    pushes(w, "two");
    hears(w, 1, "one");
    hears(w, 2, "two");
    gateway_answers(&w->g, 2, WIRE_ACK);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        assert_int_equal(sluice_verdict_next(w->s, &v, PATIENT_MS, NULL), 0);
        assert_int_equal(v.kind, SLUICE_ACKED);
        assert_int_equal(v.seq, seq);
        assert_string_equal(v.reason, "");
        assert_null(v.body);
    }
}

static void
verdicts_that_nobody_takes_stop_the_pushes(void **state)
{
    struct world *w = *state;
    struct sluice_verdict v;
    size_t len;

    opens(w, (struct sluice_options){.report_acks = 1});
    gateway_lets_in(&w->g, 1, MUCH);
    for (uint64_t seq = 1; seq <= 4096; seq++)
        pushes(w, "x");
    for (uint64_t seq = 1; seq <= 4096; seq++)
        free(gateway_hears_bundle(&w->g, seq, &len));
    gateway_answers(&w->g, 4096, WIRE_ACK);
    assert_int_equal(sluice_flush(w->s, PATIENT_MS, NULL), 0);
    assert_int_equal(sluice_push(w->s, "x", 1, NULL, PATIENT_MS, &w->err), SLUICE_EVERDICTS);
    assert_non_null(strstr(w->err.text, "sluice_verdict_next"));
    assert_int_equal(sluice_verdict_next(w->s, &v, 0, NULL), 0);
    assert_int_equal(sluice_push(w->s, "x", 1, NULL, 0, &w->err), 0);
}

static void
refused_bodies_count_as_queued_until_they_are_taken(void **state)
{
    struct world *w = *state;
    struct sluice_verdict v;

    opens(w, (struct sluice_options){.queue_bytes = 2048});
    gateway_lets_in(&w->g, 1, MUCH);
    pushes(w, "one");
    hears(w, 1, "one");
    gateway_answers(&w->g, 1, WIRE_NACK);
    assert_int_equal(sluice_flush(w->s, PATIENT_MS, NULL), SLUICE_ENACK);
    pushes(w, "two");
    assert_int_equal(sluice_push(w->s, "x", 1, NULL, PATIENT_MS, NULL), SLUICE_EVERDICTS);
    assert_int_equal(sluice_verdict_next(w->s, &v, 0, NULL), 0);
    assert_int_equal(sluice_push(w->s, v.body, v.len, NULL, 0, NULL), 0);
}

/* --- room --- */

static void
a_full_queue_makes_pushes_wait_and_the_descriptor_tells(void **state)
{
    struct world *w = *state;
    int fd;

    opens(w, (struct sluice_options){.queue_bytes = 4096});
    gateway_lets_in(&w->g, 1, MUCH);
    assert_int_equal(sluice_wait(w->s, PATIENT_MS, NULL), 0);
    fd = sluice_fd(w->s);
    for (int i = 0; i < 4; i++)
        pushes(w, "x");
    assert_int_equal(sluice_push(w->s, "y", 1, NULL, 0, &w->err), SLUICE_EAGAIN);
    assert_false(readable(fd, 0));
    assert_int_equal(sluice_push(w->s, "y", 1, NULL, 20, &w->err), SLUICE_EAGAIN);
    hears(w, 1, "x");
    gateway_answers(&w->g, 1, WIRE_ACK);
    assert_true(readable(fd, PATIENT_MS));
    assert_int_equal(sluice_push(w->s, "y", 1, NULL, 0, &w->err), 0);
    assert_int_equal(sluice_push(w->s, "y", 1, NULL, 0, &w->err), SLUICE_EAGAIN);
    assert_false(readable(fd, 0));
}

static void *
answers_soon(void *arg)
{
    struct world *w = arg;

    hears(w, 1, "x");
    gateway_answers(&w->g, 1, WIRE_ACK);
    return NULL;
}

static void
a_waiting_push_goes_on_as_soon_as_there_is_room(void **state)
{
    struct world *w = *state;
    pthread_t thread;

    opens(w, (struct sluice_options){.queue_bytes = 1024});
    gateway_lets_in(&w->g, 1, MUCH);
    pushes(w, "x");
    assert_int_equal(pthread_create(&thread, NULL, answers_soon, w), 0);
    assert_int_equal(sluice_push(w->s, "y", 1, NULL, -1, &w->err), 0);
    pthread_join(thread, NULL);
}

static void
what_can_never_be_taken_is_refused_at_once(void **state)
{
    struct world *w = *state;
    struct sluice_push_options opt = {.content_type = "caf\xc3\xa9"};
    char body[3000] = "";

    w->g.max_bundle = 2000;
    opens(w, (struct sluice_options){.queue_bytes = 2500});
    assert_int_equal(sluice_push(w->s, body, 2501, NULL, -1, &w->err), SLUICE_ETOOLARGE);
    assert_non_null(strstr(w->err.text, "queue_bytes"));
    gateway_lets_in(&w->g, 1, MUCH);
    assert_int_equal(sluice_wait(w->s, PATIENT_MS, NULL), 0);
    assert_int_equal(sluice_push(w->s, body, 2001, NULL, -1, &w->err), SLUICE_ETOOLARGE);
    assert_non_null(strstr(w->err.text, "max_bundle"));
    assert_int_equal(sluice_push(w->s, body, 0, NULL, -1, &w->err), SLUICE_EINVAL);
    assert_int_equal(sluice_push(w->s, NULL, 1, NULL, -1, &w->err), SLUICE_EINVAL);
    assert_int_equal(sluice_push(w->s, body, 1, &opt, -1, &w->err), SLUICE_EINVAL);
    assert_non_null(strstr(w->err.text, "ASCII"));
}

/* --- close --- */

static void
close_says_bye_when_all_is_answered(void **state)
{
    struct world *w = *state;
    struct sluice_info info;

    is_in(w, MUCH);
    pushes(w, "one");
    hears(w, 1, "one");
    gateway_answers(&w->g, 1, WIRE_ACK);
    assert_int_equal(sluice_close(&w->s, PATIENT_MS, &info), 0);
    assert_null(w->s);
    assert_int_equal(info.unanswered, 0);
    assert_int_equal(info.acked, 1);
    gateway_hears(&w->g, WIRE_BYE);
}

static void
close_reports_what_is_left_unanswered(void **state)
{
    struct world *w = *state;
    struct sluice_info info;

    is_in(w, 2000);
    pushes(w, "one");
    pushes(w, "two");
    pushes(w, "three");
    hears(w, 1, "one");
    gateway_answers(&w->g, 1, WIRE_ACK);
    assert_int_equal(sluice_close(&w->s, 50, &info), SLUICE_EAGAIN);
    assert_int_equal(info.unanswered, 2);
    assert_int_equal(info.unanswered_bytes, 8);
}

static void
close_of_a_handle_that_never_connected_returns_in_time(void **state)
{
    struct world *w = *state;

    gateway_die(&w->g);
    opens(w, (struct sluice_options){.id = NULL});
    assert_int_equal(sluice_close(&w->s, -1, NULL), 0);
    opens(w, (struct sluice_options){.id = NULL});
    pushes(w, "one");
    assert_int_equal(sluice_close(&w->s, 10, NULL), SLUICE_EAGAIN);
    assert_int_equal(sluice_close(&w->s, 10, NULL), 0);
}

/* --- pressure --- */

enum { PUSHERS = 4, EACH = 5000 };

static void *
pushes_many(void *arg)
{
    struct sluice *s = arg;
    char body[1000] = "";

    for (int i = 0; i < EACH; i++)
        if (sluice_push(s, body, 1 + (size_t)i % sizeof(body), NULL, -1, NULL) != 0)
            return s;
    return NULL;
}

static void
many_threads_push_through_a_gateway_that_gives_little_credit(void **state)
{
    struct world *w = *state;
    pthread_t threads[PUSHERS];
    uint64_t credit = 100 * 1024;
    void *failed;
    size_t len;

    opens(w, (struct sluice_options){.queue_bytes = 256 * 1024});
    gateway_lets_in(&w->g, 1, credit);
    for (int i = 0; i < PUSHERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pushes_many, w->s), 0);
    for (uint64_t seq = 1; seq <= PUSHERS * EACH; seq++) {
        free(gateway_hears_bundle(&w->g, seq, &len));
        if (seq % 50 == 0) {
            gateway_answers(&w->g, seq, WIRE_ACK);
            gateway_credits(&w->g, credit += 50 * 1024);
        }
    }
    for (int i = 0; i < PUSHERS; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(sluice_flush(w->s, PATIENT_MS, &w->err), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_pushed_arrives_and_flush_tells_of_the_ack),
        T(a_content_type_travels_with_its_bundle),
        T(format_and_options_travel_with_their_bundle),
        T(a_format_or_options_that_cannot_be_are_refused_at_the_push),
        T(a_large_bundle_arrives_byte_for_byte),
        T(bundles_pushed_before_the_gateway_is_there_arrive_when_it_comes),
        T(after_the_gateway_died_it_resends_what_is_unanswered),
        T(a_large_bundle_that_was_cut_off_is_resent_whole),
        T(a_gateway_that_forgot_us_is_told_hello),
        T(a_lost_welcome_brings_another_hello),
        T(a_gateway_that_fell_silent_is_left_for_a_new_connection),
        T(a_refused_bundle_comes_back_with_the_reason),
        T(acks_are_reported_where_the_program_asked_for_it),
        T(verdicts_that_nobody_takes_stop_the_pushes),
        T(refused_bodies_count_as_queued_until_they_are_taken),
        T(a_full_queue_makes_pushes_wait_and_the_descriptor_tells),
        T(a_waiting_push_goes_on_as_soon_as_there_is_room),
        T(what_can_never_be_taken_is_refused_at_once),
        T(close_says_bye_when_all_is_answered),
        T(close_reports_what_is_left_unanswered),
        T(close_of_a_handle_that_never_connected_returns_in_time),
        T(many_threads_push_through_a_gateway_that_gives_little_credit),
    };
    return cmocka_run_group_tests_name("push", tests, NULL, NULL);
}
