/* publisher_faults_test.c - the publisher, and a broker that comes, goes, hangs, blocks, or is somebody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "err.h"
#include "system/desk.h"
#include "system/late.h"
#include "system/operator.h"
#include "system/world.h"

/* --- The broker comes and goes ---------------------------------------------------------------------------------- */

static void
a_broker_that_is_away_at_the_start_is_found_later(void **state)
{
    const struct rabbit *r = *state;
    rabbit_do(r, "stop", NULL);
    struct desk *d = desk_new("127.0.0.1", r->port);
    desk_start(d);
    assert_true(desk_logged(d, "broker_unreachable", WAIT_MS));
    assert_false(desk_sees(d, PUB_UP, 1, 300));
    struct desk *other = desk_new("127.0.0.1", r->port);
    desk_start(other);
    desk_free(other); /* stops at once, too */

    rabbit_do(r, "restart", NULL);
    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    desk_free(d);
}

static void
the_next_host_is_tried(void **state)
{
    const struct rabbit *r = *state;
    struct desk *d = desk_new("127.0.0.1", r->port);
    const struct pub_host hosts[] = {{"127.0.0.1", world_free_port()}, {"no-such-host.invalid", 5672}, d->host};

    d->config.hosts = hosts;
    d->config.n_hosts = 3;
    desk_start(d);
    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    assert_true(desk_logged(d, "no-such-host.invalid", WAIT_MS));
    desk_free(d);
}

static void
a_wrong_password_is_told_from_a_missing_vhost(void **state)
{
    const struct rabbit *r = *state;
    struct desk *d = desk_new("127.0.0.1", r->port), *e = desk_new("127.0.0.1", r->port);

    d->config.password = "wrong";
    e->config.vhost = "no such";
    desk_start(d);
    desk_start(e);
    assert_true(desk_logged(d, "check broker.user and its password", WAIT_MS));
    assert_true(desk_logged(e, "vhost no such not found", WAIT_MS));
    desk_free(d);
    desk_free(e);
}

static void
after_sigkill_of_the_broker_all_that_was_confirmed_is_there(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("survivor");
    struct body *body = body_new(1024, 65536);
    declare(r, "survivor");
    world_sleep_ms(2000); /* RabbitMQ forgets a queue that is younger: gateway/broker/verify.c */
    struct desk *d = desk_up(r);

    post(d, &target, body, 0, 20000);
    assert_true(desk_sees(d, PUB_CONFIRMED, 2000, WAIT_MS));
    rabbit_kill_now(r);
    assert_true(desk_sees(d, PUB_DOWN, 1, WAIT_MS));
    const size_t confirmed = d->count[PUB_CONFIRMED];
    assert_true(confirmed < 20000);
    assert_int_equal(d->results, confirmed);

    rabbit_do(r, "restart", NULL);
    assert_true(desk_sees(d, PUB_UP, 2, WAIT_MS));
    assert_true(depth(r, "survivor") >= confirmed);
    post(d, &target, body, 20000, 1);
    assert_true(desk_sees(d, PUB_CONFIRMED, confirmed + 1, WAIT_MS));
    desk_free(d);
    body_free(body);
}

static void
a_queue_that_it_declared_survives_sigkill_after_the_first_confirm(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = {.exchange = "", .routing_key = "newborn", .queue = "newborn", .declare = true};
    struct body *body = body_new(1024, 65536);
    struct desk *d = desk_up(r);

    post(d, &target, body, 0, 10);
    desk_results(d, 10);
    assert_int_equal(d->count[PUB_CONFIRMED], 10);
    rabbit_do(r, "kill", NULL);
    rabbit_do(r, "restart", NULL);
    assert_int_equal(depth(r, "newborn"), 10);
    desk_free(d);
    body_free(body);
}

static void
delete_queue_on(amqp_connection_state_t c, const char *name)
{
    amqp_queue_delete(c, 1, amqp_cstring_bytes(name), 0, 0);
    operator_ok(c);
    operator_close(c);
}

static void
delete_queue(const struct rabbit *r, const char *name)
{
    delete_queue_on(operator_open(r), name);
}

/* Post n from ticket `first` on, and delete the queue while they are on their way.  Those that it costs are nacked. */
static void
post_and_delete_queue(struct desk *d, const struct rabbit *r, const struct pub_target *target, uint64_t first, size_t n)
{
    struct body *body = body_new(1024, 65536);
    const size_t before = d->results, nacked = d->count[PUB_NACKED];
    amqp_connection_state_t c = operator_open(r); /* now: later it would take as long as the messages */

    post(d, target, body, first, n);
    assert_true(desk_sees(d, PUB_CONFIRMED, d->count[PUB_CONFIRMED] + n / 20, WAIT_MS));
    delete_queue_on(c, target->queue);
    desk_results(d, before + n);
    assert_true(d->count[PUB_NACKED] > nacked);
    assert_int_equal(d->count[PUB_RETURNED], 0);
    body_free(body);
}

static void
a_queue_deleted_under_load_is_declared_again_and_used(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = {.exchange = "", .routing_key = "shot", .queue = "shot", .declare = true};
    struct body *body = body_new(1024, 65536);
    struct desk *d = desk_up(r);

    for (size_t round = 0; round < 2; round++)
        post_and_delete_queue(d, r, &target, round * 8000, 8000);
    const size_t confirmed = d->count[PUB_CONFIRMED];
    post(d, &target, body, 16000, 100);
    assert_true(desk_sees(d, PUB_CONFIRMED, confirmed + 100, WAIT_MS));
    assert_int_equal(results_of(d, 16000, 100, PUB_CONFIRMED), 100);
    assert_int_equal(d->count[PUB_DOWN] + d->count[PUB_BAD_TARGET], 0);
    assert_true(depth(r, "shot") >= 100);
    desk_free(d);
    body_free(body);
}

static void
a_queue_deleted_under_load_that_is_not_ours_to_declare_is_named_as_gone(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("shot for good");
    struct body *body = body_new(1024, 65536);
    declare(r, "shot for good");
    struct desk *d = desk_up(r);

    post_and_delete_queue(d, r, &target, 0, 8000);
    post(d, &target, body, 8000, 100);
    desk_results(d, 8100);
    assert_int_equal(results_of(d, 8000, 100, PUB_BAD_TARGET), 100);
    assert_non_null(strstr(d->text, "queue 'shot for good' is gone from vhost '/'"));
    assert_non_null(strstr(d->text, "declare it again, or set declare = true"));
    desk_free(d);
    body_free(body);
}

static void
a_queue_behind_an_exchange_is_bound_again_when_it_was_deleted(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = {.exchange = "shots", .routing_key = "k", .queue = "shot behind", .declare = true};
    struct body *body = body_new(1024, 65536);
    struct desk *d = desk_up(r);

    post(d, &target, body, 0, 10);
    desk_results(d, 10);
    world_sleep_ms(1100); /* it is asked about once a second at most */
    delete_queue(r, "shot behind");
    post(d, &target, body, 10, 1);
    desk_results(d, 11);
    assert_int_equal(d->result[10], PUB_RETURNED);
    post(d, &target, body, 11, 100);
    desk_results(d, 111);
    assert_int_equal(results_of(d, 11, 100, PUB_CONFIRMED), 100);
    desk_free(d);
    body_free(body);
}

static void
a_frozen_broker_is_cut_in_time(struct desk *d, const struct rabbit *r, const char *queue, struct body *body, size_t n)
{
    const struct pub_target target = to_queue(queue);

    post(d, &target, body, 0, 1);
    desk_results(d, 1);
    rabbit_do(r, "freeze", NULL);
    struct late *late = late_start();
    const int64_t began = clock_mono_us();
    post(d, &target, body, 1, n);
    assert_true(desk_sees(d, PUB_DOWN, 1, WAIT_MS));
    const int64_t took = clock_mono_us() - began, late_us = late_stop(late);
    print_message("# cut after %.2f s\n", (double)took / 1e6);
    assert_in_range(took, HUNG_US - 100000, HUNG_US + 1000000 + late_us);
    assert_int_equal(d->count[PUB_UP], 1);

    /* While it is frozen, logging in does not succeed, and does not hang either. */
    struct desk *other = desk_new("127.0.0.1", r->port);
    desk_start(other);
    world_sleep_ms(300);
    desk_free(other);

    rabbit_do(r, "thaw", NULL);
    assert_true(desk_sees(d, PUB_UP, 2, WAIT_MS));
    post(d, &target, body, n + 1, 1);
    assert_true(desk_sees(d, PUB_CONFIRMED, 2, WAIT_MS));
}

static void
a_frozen_broker_is_cut_in_time_and_used_again(void **state)
{
    const struct rabbit *r = *state;
    struct body *small = body_new(1024, 65536);
    declare(r, "frozen");
    struct desk *d = desk_up(r);

    a_frozen_broker_is_cut_in_time(d, r, "frozen", small, 5000);
    desk_free(d);
    body_free(small);
}

static void
a_frozen_broker_is_cut_in_time_amid_a_large_message(void **state)
{
    const struct rabbit *r = *state;
    struct body *large = body_new(16 << 20, 65536);
    declare(r, "frozen large");
    struct desk *d = desk_up(r);

    a_frozen_broker_is_cut_in_time(d, r, "frozen large", large, 3);
    desk_free(d);
    body_free(large);
}

static void
a_publisher_stops_in_time_while_its_broker_is_frozen(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("frozen large");
    struct body *large = body_new(16 << 20, 65536);
    declare(r, "frozen large");
    struct desk *d = desk_up(r);

    rabbit_do(r, "freeze", NULL);
    post(d, &target, large, 0, 3);
    world_sleep_ms(300);
    desk_free(d); /* asserts how long it takes */
    rabbit_do(r, "thaw", NULL);
    body_free(large);
}

static void
a_memory_alarm_blocks_and_unblocks(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("alarm");
    struct body *small = body_new(1024, 65536), *large = body_new(16 << 20, 65536);
    declare(r, "alarm");
    struct desk *d = desk_up(r), *stopped = desk_up(r);

    rabbit_watermark(r, "0.0000001");
    /* RabbitMQ announces it to those who publish.  Large ones are stuck half-sent, and stay so, without a cut. */
    post(d, &target, small, 0, 1);
    post(stopped, &target, large, 0, 3);
    assert_true(desk_sees(d, PUB_BLOCKED, 1, WAIT_MS));
    assert_true(desk_sees(stopped, PUB_BLOCKED, 1, WAIT_MS));
    post(d, &target, small, 1, 1000);
    post(d, &target, large, 1001, 3);
    world_sleep_ms(HUNG_US / 1000 + 1500);
    desk_take(d);
    assert_int_equal(d->count[PUB_DOWN], 0);
    assert_int_equal(d->count[PUB_CONFIRMED], 0);
    desk_take(stopped);
    assert_int_equal(stopped->count[PUB_DOWN], 0);
    desk_free(stopped); /* in time here, too */

    rabbit_watermark(r, "0.4");
    assert_true(desk_sees(d, PUB_UNBLOCKED, 1, WAIT_MS));
    desk_results(d, 1004);
    assert_int_equal(d->count[PUB_CONFIRMED], 1004);
    desk_free(d);
    body_free(large);
    body_free(small);
}

static void
an_operator_who_closes_the_connection_is_survived(void **state)
{
    const struct rabbit *r = *state;
    const char *args[] = {"close_all_connections", "--vhost", "/", "test", NULL};
    struct desk *d = desk_up(r);

    rabbit_do(r, "ctl", args);
    assert_true(desk_sees(d, PUB_DOWN, 1, WAIT_MS));
    assert_non_null(strstr(d->text, "320"));
    assert_true(desk_sees(d, PUB_UP, 2, WAIT_MS));
    desk_free(d);
}

/* --- TLS -------------------------------------------------------------------------------------------------------- */

static struct desk *
desk_tls(const struct rabbit *r, const char *host, const char *ca)
{
    struct desk *d = desk_new(host, r->tls_port);

    snprintf(d->ca, sizeof(d->ca), "%s/tls/%s", world_dir(r->world), ca);
    d->config.tls = true;
    d->config.ca_file = d->ca;
    desk_start(d);
    return d;
}

static void
with_tls_bodies_arrive_byte_for_byte(void **state)
{
    const struct rabbit *r = *state;
    struct desk *d = desk_tls(r, "localhost", "ca.pem");

    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    bodies_arrive_byte_for_byte(d, r, "tls");
    desk_free(d);
}

static void
with_tls_ten_thousand_messages_are_confirmed(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("tls many");
    struct body *body = body_new(1024, 65536);
    declare(r, "tls many");
    struct desk *d = desk_tls(r, "localhost", "ca.pem");

    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    post(d, &target, body, 0, 10000);
    desk_results(d, 10000);
    assert_int_equal(d->count[PUB_CONFIRMED], 10000);
    desk_free(d);
    body_free(body);
}

static void
a_client_certificate_is_shown_where_there_is_one(void **state)
{
    const struct rabbit *r = *state;
    char cert[700], key[700], subjects[4096];
    struct desk *d = desk_new("localhost", r->tls_port);

    snprintf(d->ca, sizeof(d->ca), "%s/tls/ca.pem", world_dir(r->world));
    snprintf(cert, sizeof(cert), "%s/tls/client.pem", world_dir(r->world));
    snprintf(key, sizeof(key), "%s/tls/client-key.pem", world_dir(r->world));
    d->config.tls = true;
    d->config.ca_file = d->ca;
    d->config.cert_file = cert;
    d->config.key_file = key;
    desk_start(d);
    assert_true(desk_sees(d, PUB_UP, 1, WAIT_MS));
    rabbit_connections(r, "peer_cert_subject", subjects, sizeof(subjects));
    assert_non_null(strstr(subjects, "CN=sluice"));
    desk_free(d);
}

static void
a_certificate_of_another_ca_is_not_trusted(void **state)
{
    const struct rabbit *r = *state;
    struct desk *d = desk_tls(r, "localhost", "other-ca.pem");

    assert_true(desk_logged(d, "check broker.ca_file", WAIT_MS));
    assert_false(desk_sees(d, PUB_UP, 1, 300));
    desk_free(d);
}

static void
a_certificate_for_another_name_is_not_trusted(void **state)
{
    const struct rabbit *r = *state;
    struct desk *d = desk_tls(r, "127.0.0.1", "ca.pem");

    assert_true(desk_logged(d, "its certificate is not for '127.0.0.1'", WAIT_MS));
    assert_false(desk_sees(d, PUB_UP, 1, 300));
    desk_free(d);
}

static void
a_ca_file_that_cannot_be_read_is_named(void **state)
{
    const struct rabbit *r = *state;
    struct desk *d = desk_tls(r, "localhost", "no-such.pem");

    assert_true(desk_logged(d, "no-such.pem: cannot be read", WAIT_MS));
    desk_free(d);
}

static void
tls_to_a_port_without_it_fails_in_time(void **state)
{
    const struct rabbit *r = *state;
    struct desk *d = desk_tls(r, "localhost", "ca.pem");

    desk_free(d);
    d = desk_new("localhost", r->port);
    snprintf(d->ca, sizeof(d->ca), "%s/tls/ca.pem", world_dir(r->world));
    d->config.tls = true;
    d->config.ca_file = d->ca;
    desk_start(d);
    assert_true(desk_logged(d, "no TLS connection", WAIT_MS));
    desk_free(d);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broker_that_is_away_at_the_start_is_found_later),
        cmocka_unit_test(the_next_host_is_tried),
        cmocka_unit_test(a_wrong_password_is_told_from_a_missing_vhost),
        cmocka_unit_test(after_sigkill_of_the_broker_all_that_was_confirmed_is_there),
        cmocka_unit_test(a_queue_that_it_declared_survives_sigkill_after_the_first_confirm),
        cmocka_unit_test(a_queue_deleted_under_load_is_declared_again_and_used),
        cmocka_unit_test(a_queue_deleted_under_load_that_is_not_ours_to_declare_is_named_as_gone),
        cmocka_unit_test(a_queue_behind_an_exchange_is_bound_again_when_it_was_deleted),
        cmocka_unit_test(a_frozen_broker_is_cut_in_time_and_used_again),
        cmocka_unit_test(a_frozen_broker_is_cut_in_time_amid_a_large_message),
        cmocka_unit_test(a_publisher_stops_in_time_while_its_broker_is_frozen),
        cmocka_unit_test(a_memory_alarm_blocks_and_unblocks),
        cmocka_unit_test(an_operator_who_closes_the_connection_is_survived),
        cmocka_unit_test(with_tls_bodies_arrive_byte_for_byte),
        cmocka_unit_test(with_tls_ten_thousand_messages_are_confirmed),
        cmocka_unit_test(a_client_certificate_is_shown_where_there_is_one),
        cmocka_unit_test(a_certificate_of_another_ca_is_not_trusted),
        cmocka_unit_test(a_certificate_for_another_name_is_not_trusted),
        cmocka_unit_test(a_ca_file_that_cannot_be_read_is_named),
        cmocka_unit_test(tls_to_a_port_without_it_fails_in_time),
    };
    cmocka_set_test_filter(getenv("TEST_FILTER")); /* such as "*alarm*"; NULL: all */
    return cmocka_run_group_tests_name("publisher_faults", tests, rabbit_start, rabbit_stop);
}
