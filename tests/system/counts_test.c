/* counts_test.c - ready messages, asked of a private RabbitMQ: what is true at once, and what becomes of questions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <amqp.h>
#include <amqp_framing.h>

#include "broker/counts.h"
#include "broker/publisher.h"
#include "clock.h"
#include "err.h"
#include "log.h"
#include "mailbox.h"
#include "system/late.h"
#include "system/operator.h"
#include "system/world.h"

enum { LIMIT_MS = 60000, KINDS = COUNT_FAILED + 1, HUNG_MS = 2000 };

struct asker {
    struct pub_host    host;
    struct pub_config  config;
    struct mailbox    *events;
    struct log        *log;
    int                log_fd;
    struct counts     *c;
    unsigned           count[KINDS];
    struct count_event last; /* result; its text is in `text` */
    char               text[300];
};

static struct asker *
asker_new(const struct rabbit *r, uint32_t per_s, const char *password)
{
    struct asker *a = calloc(1, sizeof(*a));

    a->host = (struct pub_host){"127.0.0.1", r->port};
    a->config = (struct pub_config){.hosts = &a->host,
                                    .n_hosts = 1,
                                    .vhost = "/",
                                    .user = "guest",
                                    .password = password,
                                    .name = "counts",
                                    .heartbeat_us = 1000000,
                                    .hung_us = HUNG_MS * 1000,
                                    .retry_min_us = 20000,
                                    .retry_max_us = 200000,
                                    .seed = 1};
    a->events = mailbox_new(sizeof(struct count_event), NULL);
    a->log_fd = memfd_create("log", MFD_CLOEXEC);
    a->log = log_new(a->log_fd, LOG_KEYVALUE, LOG_DEBUG, NULL);
    a->c = counts_start(&a->config, per_s, a->events, a->log, NULL);
    assert_non_null(a->c);
    return a;
}

static void
take(struct asker *a)
{
    void *taken;
    const size_t n = mailbox_take(a->events, &taken);
    const struct count_event *e = taken;

    for (size_t i = 0; i < n; i++) {
        a->count[e[i].kind]++;
        if (e[i].kind >= COUNT_READY)
            a->last = e[i];
        if (e[i].text != NULL)
            snprintf(a->text, sizeof(a->text), "%s", e[i].text);
        free(e[i].text);
    }
}

static void
asker_free(struct asker *a)
{
    const int64_t before = clock_mono_us();

    counts_free(a->c, 1000000);
    assert_true(clock_mono_us() - before < 30000000);
    take(a);
    mailbox_free(a->events);
    log_free(a->log);
    close(a->log_fd);
    free(a);
}

static bool
sees(struct asker *a, enum count_kind kind, unsigned n)
{
    const int64_t until = clock_mono_us() + (int64_t)LIMIT_MS * 1000;

    for (take(a); a->count[kind] < n && clock_mono_us() < until; take(a))
        world_sleep_ms(1);
    return a->count[kind] >= n;
}

static unsigned
results(const struct asker *a)
{
    return a->count[COUNT_READY] + a->count[COUNT_GONE] + a->count[COUNT_FAILED];
}

/* One question, and its result. */
static const struct count_event *
ask(struct asker *a, const char *queue)
{
    const struct count_ask q = {.queue = 7, .name = queue};
    const unsigned n = results(a);
    const int64_t until = clock_mono_us() + (int64_t)LIMIT_MS * 1000;

    assert_int_equal(counts_ask(a->c, &q, 1, NULL), 0);
    for (take(a); results(a) == n && clock_mono_us() < until; take(a))
        world_sleep_ms(1);
    assert_int_equal(results(a), n + 1);
    assert_int_equal(a->last.queue, 7);
    return &a->last;
}

static void
publish(amqp_connection_state_t c, const char *queue, int n)
{
    for (int i = 0; i < n; i++)
        amqp_basic_publish(c, 1, amqp_cstring_bytes(""), amqp_cstring_bytes(queue), 0, 0, NULL,
                           amqp_cstring_bytes("hello"));
}

static void
what_is_ready_is_known_at_once(void **state)
{
    const struct rabbit *r = *state;
    amqp_connection_state_t o = operator_open(r);
    struct asker *a = asker_new(r, 0, "guest");

    declare_on(o, (struct queue){.name = "now"});
    assert_true(sees(a, COUNT_UP, 1));
    for (int i = 1; i <= 20; i++) {
        publish(o, "now", 3);
        declare_on(o, (struct queue){.name = "now"}); /* once this is answered they have arrived */
        const int64_t before = clock_mono_us();
        const struct count_event *e = ask(a, "now");
        assert_int_equal(e->kind, COUNT_READY);
        assert_true(e->asked_us >= before && e->answered_us >= e->asked_us);
        assert_int_equal(e->consumers, 0);
        assert_int_equal(e->ready, 3 * i);
    }
    asker_free(a);
    operator_close(o);
}

static void
what_a_consumer_holds_is_not_ready(void **state)
{
    const struct rabbit *r = *state;
    amqp_connection_state_t o = operator_open(r);
    struct asker *a = asker_new(r, 0, "guest");

    declare_on(o, (struct queue){.name = "held"});
    publish(o, "held", 5);
    amqp_basic_qos(o, 1, 0, 2, 0);
    amqp_basic_consume(o, 1, amqp_cstring_bytes("held"), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    const int64_t until = clock_mono_us() + (int64_t)LIMIT_MS * 1000;
    assert_true(sees(a, COUNT_UP, 1));
    while (ask(a, "held")->ready != 3 && clock_mono_us() < until)
        ;
    assert_int_equal(a->last.ready, 3);
    assert_int_equal(a->last.consumers, 1);
    asker_free(a);
    operator_close(o);
}

static void
a_missing_queue_is_gone_and_others_are_counted_on(void **state)
{
    const struct rabbit *r = *state;
    struct asker *a = asker_new(r, 0, "guest");

    declare(r, "there");
    assert_true(sees(a, COUNT_UP, 1));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ask(a, "nowhere")->kind, COUNT_GONE);
        assert_int_equal(ask(a, "there")->kind, COUNT_READY);
    }
    assert_int_equal(a->count[COUNT_DOWN], 0);
    asker_free(a);
}

static void
a_queue_of_somebody_elses_connection_is_not_known(void **state)
{
    const struct rabbit *r = *state;
    amqp_connection_state_t o = operator_open(r);
    struct asker *a = asker_new(r, 0, "guest");

    declare_on(o, (struct queue){.name = "mine", .exclusive = true});
    assert_true(sees(a, COUNT_UP, 1));
    assert_int_equal(ask(a, "mine")->kind, COUNT_FAILED);
    assert_non_null(strstr(a->text, "RESOURCE_LOCKED"));
    asker_free(a);
    operator_close(o);
}

static void
questions_are_paced(void **state)
{
    const struct rabbit *r = *state;
    struct asker *a = asker_new(r, 50, "guest");
    struct count_ask asks[26];

    declare(r, "paced");
    for (size_t i = 0; i < 26; i++)
        asks[i] = (struct count_ask){.queue = (uint32_t)i, .name = "paced"};
    assert_true(sees(a, COUNT_UP, 1));
    const int64_t before = clock_mono_us();
    assert_int_equal(counts_ask(a->c, asks, 26, NULL), 0);
    assert_true(sees(a, COUNT_READY, 26));
    assert_true(clock_mono_us() - before >= 450000); /* 25 gaps of 20 ms, less what the clock rounds */
    assert_int_equal(a->last.queue, 25);
    asker_free(a);
}

static void
too_many_questions_are_refused_whole(void **state)
{
    const struct rabbit *r = *state;
    struct asker *a = asker_new(r, 1, "guest");
    struct count_ask *asks = calloc(COUNTS_MAX + 1, sizeof(*asks));
    const struct count_ask unnamed = {.queue = 1, .name = ""};
    struct err err;

    for (size_t i = 0; i <= COUNTS_MAX; i++)
        asks[i] = (struct count_ask){.queue = (uint32_t)i, .name = "x"};
    assert_true(sees(a, COUNT_UP, 1));
    assert_int_equal(counts_ask(a->c, asks, COUNTS_MAX + 1, &err), -1);
    assert_int_equal(err.code, ERR_FULL);
    assert_int_equal(counts_ask(a->c, &unnamed, 1, &err), -1);
    assert_int_equal(err.code, ERR_CONFIG);
    assert_int_equal(counts_ask(a->c, asks, COUNTS_MAX, &err), 0);
    assert_int_equal(counts_ask(a->c, asks, COUNTS_MAX / 2, &err), -1);
    assert_int_equal(err.code, ERR_FULL);
    asker_free(a);
    free(asks);
}

static void
a_wrong_password_is_said_once_and_questions_fail(void **state)
{
    const struct rabbit *r = *state;
    struct asker *a = asker_new(r, 0, "not-the-password");
    char text[8192];

    assert_true(sees(a, COUNT_DOWN, 1));
    assert_non_null(strstr(a->text, "check broker.user"));
    assert_int_equal(ask(a, "x")->kind, COUNT_FAILED);
    assert_int_equal(ask(a, "x")->kind, COUNT_FAILED);
    assert_int_equal(a->count[COUNT_DOWN], 1);
    const ssize_t n = pread(a->log_fd, text, sizeof(text) - 1, 0);
    text[n] = '\0';
    assert_null(strstr(text, "not-the-password"));
    asker_free(a);
}

static void
an_alarm_does_not_stop_the_counting(void **state)
{
    const struct rabbit *r = *state;
    struct asker *a = asker_new(r, 0, "guest");

    declare(r, "alarmed");
    assert_true(sees(a, COUNT_UP, 1));
    rabbit_watermark(r, "0.00001");
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(a, "alarmed")->kind, COUNT_READY);
    rabbit_watermark(r, "0.4");
    asker_free(a);
}

static void
a_quiet_connection_is_kept_alive(void **state)
{
    const struct rabbit *r = *state;
    bool kept = false;

    declare(r, "quiet");
    for (int tries = 0; tries < 3 && !kept; tries++) { /* a machine that stood still for two seconds misses them, too */
        struct asker *a = asker_new(r, 0, "guest");
        assert_true(sees(a, COUNT_UP, 1));
        world_sleep_ms(4500); /* three heartbeats would be missed: this is what is tested */
        kept = ask(a, "quiet")->kind == COUNT_READY && a->count[COUNT_DOWN] == 0;
        asker_free(a);
    }
    assert_true(kept);
}

static void
a_frozen_broker_is_cut_and_found_again(void **state)
{
    const struct rabbit *r = *state;
    struct asker *a = asker_new(r, 0, "guest");

    declare(r, "frozen");
    assert_true(sees(a, COUNT_UP, 1));
    rabbit_do(r, "freeze", NULL);
    assert_int_equal(ask(a, "frozen")->kind, COUNT_FAILED);
    assert_int_equal(a->count[COUNT_DOWN], 1);
    rabbit_do(r, "thaw", NULL);
    assert_true(sees(a, COUNT_UP, 2));
    assert_int_equal(ask(a, "frozen")->kind, COUNT_READY);
    asker_free(a);
}

static void
it_ends_in_time_while_the_broker_is_frozen(void **state)
{
    const struct rabbit *r = *state;
    struct asker *a = asker_new(r, 0, "guest");
    const struct count_ask q = {.queue = 1, .name = "frozen"};

    assert_true(sees(a, COUNT_UP, 1));
    rabbit_do(r, "freeze", NULL);
    assert_int_equal(counts_ask(a->c, &q, 1, NULL), 0);
    struct late *late = late_start();
    const int64_t before = clock_mono_us();
    asker_free(a);
    const int64_t took = clock_mono_us() - before;
    assert_true(took < 4000000 + late_stop(late)); /* what it was given is 1 s */
    rabbit_do(r, "thaw", NULL);
}

static void
a_restart_of_the_broker_is_survived(void **state)
{
    const struct rabbit *r = *state;
    struct asker *a = asker_new(r, 0, "guest");

    declare(r, "again");
    assert_true(sees(a, COUNT_UP, 1));
    world_sleep_ms(2000); /* the broker forgets a younger queue in a kill */
    rabbit_do(r, "kill", NULL);
    assert_true(sees(a, COUNT_DOWN, 1));
    assert_int_equal(ask(a, "again")->kind, COUNT_FAILED);
    rabbit_do(r, "restart", NULL);
    assert_true(sees(a, COUNT_UP, 2));
    assert_int_equal(ask(a, "again")->kind, COUNT_READY);
    asker_free(a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_ready_is_known_at_once),
        cmocka_unit_test(what_a_consumer_holds_is_not_ready),
        cmocka_unit_test(a_missing_queue_is_gone_and_others_are_counted_on),
        cmocka_unit_test(a_queue_of_somebody_elses_connection_is_not_known),
        cmocka_unit_test(questions_are_paced),
        cmocka_unit_test(too_many_questions_are_refused_whole),
        cmocka_unit_test(a_wrong_password_is_said_once_and_questions_fail),
        cmocka_unit_test(an_alarm_does_not_stop_the_counting),
        cmocka_unit_test(a_quiet_connection_is_kept_alive),
        cmocka_unit_test(a_frozen_broker_is_cut_and_found_again),
        cmocka_unit_test(it_ends_in_time_while_the_broker_is_frozen),
        cmocka_unit_test(a_restart_of_the_broker_is_survived),
    };

    return cmocka_run_group_tests_name("counts", tests, rabbit_start, rabbit_stop);
}
