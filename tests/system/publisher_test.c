/* publisher_test.c - the publisher in health, and what the broker does not take from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <amqp.h>
#include <amqp_framing.h>

#include "clock.h"
#include "err.h"
#include "system/desk.h"
#include "system/late.h"
#include "system/operator.h"
#include "system/world.h"

/* --- Health ----------------------------------------------------------------------------------------------------- */

static void
ten_thousand_messages_are_confirmed_once_each(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("many");
    struct body *body = body_new(1024, 65536);
    declare(r, "many");
    struct desk *d = desk_up(r);

    post(d, &target, body, 0, 10000);
    desk_results(d, 10000);
    assert_int_equal(d->count[PUB_CONFIRMED], 10000);
    assert_int_equal(depth(r, "many"), 10000);
    desk_free(d);
    body_free(body);
}

static void
a_body_in_chunks_arrives_byte_for_byte(void **state)
{
    const struct rabbit *r = *state;
    struct desk *d = desk_up(r);

    bodies_arrive_byte_for_byte(d, r, "chunks");
    desk_free(d);
}

static void
a_message_says_whose_it_is(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("signed");
    struct body *body = body_new(10, 10);
    declare(r, "signed");
    struct desk *d = desk_up(r);

    post(d, &target, body, 42, 1);
    desk_results(d, 1);
    amqp_connection_state_t c = operator_open(r);
    amqp_message_t m = get(c, "signed");
    assert_int_equal(m.properties.delivery_mode, 2);
    assert_memory_equal(m.properties.message_id.bytes, "feed/7/42", 9);
    assert_int_equal(m.properties.message_id.len, 9);
    assert_memory_equal(m.properties.content_type.bytes, "application/stix+json", 21);
    assert_int_equal(m.properties.headers.num_entries, 3);
    const amqp_table_entry_t *h = m.properties.headers.entries;
    assert_memory_equal(h[0].key.bytes, "x-sluice-connector", 18);
    assert_memory_equal(h[0].value.value.bytes.bytes, "feed", 4);
    assert_memory_equal(h[1].key.bytes, "x-sluice-epoch", 14);
    assert_int_equal(h[1].value.value.i64, 7);
    assert_memory_equal(h[2].key.bytes, "x-sluice-seq", 12);
    assert_int_equal(h[2].value.value.i64, 42);
    amqp_destroy_message(&m);
    operator_close(c);
    desk_free(d);
    body_free(body);
}

static void
a_message_for_an_older_session_is_dropped(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("sessions");
    struct body *body = body_new(10, 10);
    declare(r, "sessions");
    struct desk *d = desk_up(r);

    d->session--;
    post(d, &target, body, 1, 1);
    d->session++;
    post(d, &target, body, 2, 1);
    desk_results(d, 1);
    assert_int_equal(d->result[2], PUB_CONFIRMED);
    assert_int_equal(depth(r, "sessions"), 1);
    desk_free(d);
    body_free(body);
}

/* --- What the broker does not take ------------------------------------------------------------------------------ */

static void
a_message_that_no_queue_is_bound_for_comes_back_alone(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target good = to_queue("routed");
    const struct pub_target nowhere = {.exchange = "amq.direct", .routing_key = "nobody", .queue = ""};
    struct body *body = body_new(200000, 65536);
    declare(r, "routed");
    struct desk *d = desk_up(r);

    for (uint64_t i = 0; i < 30; i++)
        post(d, i % 3 == 1 ? &nowhere : &good, body, i, 1);
    desk_results(d, 30);
    for (uint64_t i = 0; i < 30; i++)
        assert_int_equal(d->result[i], i % 3 == 1 ? PUB_RETURNED : PUB_CONFIRMED);
    assert_non_null(strstr(d->text, "NO_ROUTE"));
    assert_non_null(strstr(d->text, "'nobody'"));
    assert_int_equal(depth(r, "routed"), 20);
    desk_free(d);
    body_free(body);
}

static void
a_poisonous_message_is_refused_alone(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target good = to_queue("healthy");
    const struct pub_target gone = {.exchange = "short lived", .routing_key = "k", .queue = "healthy", .declare = true};
    struct body *body = body_new(1024, 65536);
    struct err err;
    declare(r, "healthy");
    struct desk *d = desk_up(r);

    /* Verified while it was there, and then taken away. */
    assert_int_equal(publisher_add_target(d->p, &gone, &err), 0);
    post(d, &gone, body, 0, 1);
    desk_results(d, 1);
    assert_int_equal(d->result[0], PUB_CONFIRMED);
    amqp_connection_state_t c = operator_open(r);
    amqp_exchange_delete(c, 1, amqp_cstring_bytes("short lived"), 0);
    operator_ok(c);
    operator_close(c);

    struct pub_message m[300];
    for (uint64_t i = 0; i < 300; i++)
        m[i] = (struct pub_message){
            .ticket = 1 + i,
            .session = d->session,
            .target = i % 60 == 30 && i < 100 ? &gone : &good,
            .body = body,
            .connector = "feed",
            .epoch = 7,
            .seq = 1 + i};
    assert_int_equal(publisher_post(d->p, m, 300, &err), 0);
    desk_results(d, 301);
    assert_int_equal(results_of(d, 1, 300, PUB_CONFIRMED), 298);
    assert_int_equal(d->result[31], PUB_REFUSED);
    assert_int_equal(d->result[91], PUB_REFUSED);
    assert_non_null(strstr(d->text, "404 NOT_FOUND - no exchange 'short lived'"));
    assert_int_equal(d->count[PUB_DOWN], 0);
    assert_true(depth(r, "healthy") >= 299); /* some may be there twice, under the same id */

    /* What follows has it declared anew. */
    post(d, &gone, body, 400, 1);
    desk_results(d, 302);
    assert_int_equal(d->result[400], PUB_CONFIRMED);
    desk_free(d);
    body_free(body);
}

static void
a_message_that_is_too_large_for_the_broker_is_refused_alone(void **state)
{
    const struct rabbit *r = *state;
    const struct pub_target target = to_queue("sizes");
    struct body *small = body_new(1024, 65536), *large = body_new(MESSAGE_MAX + 1, 65536);
    declare(r, "sizes");
    struct desk *d = desk_up(r);

    post(d, &target, small, 0, 50);
    post(d, &target, large, 50, 1);
    post(d, &target, small, 51, 50);
    desk_results(d, 101);
    assert_int_equal(d->result[50], PUB_TOO_LARGE);
    assert_int_equal(d->count[PUB_CONFIRMED], 100);
    assert_non_null(strstr(d->text, "406 PRECONDITION_FAILED"));
    assert_int_equal(d->count[PUB_DOWN], 0);
    desk_free(d);
    body_free(large);
    body_free(small);
}

static void
a_full_queue_says_try_again_later(void **state)
{
    const struct rabbit *r = *state;
    amqp_table_entry_t limit[] = {
        {.key = amqp_cstring_bytes("x-max-length"), .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 10}},
        argument_text("x-overflow", "reject-publish")};
    const struct pub_target target = to_queue("full");
    struct body *body = body_new(100, 100);
    amqp_connection_state_t c = operator_open(r);
    declare_on(c, (struct queue){.name = "full", .arguments = {.num_entries = 2, .entries = limit}});
    operator_close(c);
    struct desk *d = desk_up(r);

    for (uint64_t i = 0; i < 20; i++) { /* one by one: then it is exact which are refused */
        post(d, &target, body, i, 1);
        desk_results(d, i + 1);
    }
    assert_int_equal(results_of(d, 0, 10, PUB_CONFIRMED), 10);
    assert_int_equal(results_of(d, 10, 10, PUB_NACKED), 10);
    desk_free(d);
    body_free(body);
}

/* --- Targets ---------------------------------------------------------------------------------------------------- */

/* One message to a target; *ret_text is what was said about it. */
static enum pub_event_kind
try(struct desk *d, const struct pub_target *target, uint64_t ticket)
{
    struct body *body = body_new(100, 100);
    const size_t before = d->results;

    d->text[0] = '\0';
    post(d, target, body, ticket, 1);
    desk_results(d, before + 1);
    body_free(body);
    return d->result[ticket];
}

static void
a_queue_that_would_lose_what_it_confirmed_is_no_target(void **state)
{
    const struct rabbit *r = *state;
    amqp_connection_state_t c = operator_open(r);
    declare_on(c, (struct queue){.name = "t transient", .transient = true});
    declare_on(c, (struct queue){.name = "t auto-delete", .auto_delete = true});
    declare_on(c, (struct queue){.name = "t exclusive", .exclusive = true});
    struct desk *d = desk_up(r);
    const struct pub_target target = to_queue("t transient"), other = to_queue("t auto-delete");
    const struct pub_target mine = to_queue("t exclusive");

    assert_int_equal(try(d, &target, 0), PUB_BAD_TARGET);
    assert_non_null(strstr(d->text, "queue 't transient' in vhost '/' is transient"));
    assert_int_equal(try(d, &other, 1), PUB_BAD_TARGET);
    assert_non_null(strstr(d->text, "auto-delete"));
    assert_int_equal(try(d, &mine, 2), PUB_BAD_TARGET);
    assert_non_null(strstr(d->text, "is exclusive"));
    assert_true(desk_logged(d, "target_bad", WAIT_MS));
    desk_free(d);
    operator_close(c);
}

static void
a_durable_queue_with_arguments_is_a_good_target(void **state)
{
    const struct rabbit *r = *state;
    amqp_table_entry_t quorum = argument_text("x-queue-type", "quorum");
    amqp_connection_state_t c = operator_open(r);
    declare_on(c, (struct queue){.name = "t quorum", .arguments = {.num_entries = 1, .entries = &quorum}});
    operator_close(c);
    struct desk *d = desk_up(r);
    const struct pub_target target = to_queue("t quorum");

    assert_int_equal(try(d, &target, 0), PUB_CONFIRMED);
    desk_free(d);
}

static void
a_missing_queue_is_named_and_found_once_it_is_there(void **state)
{
    const struct rabbit *r = *state;
    struct desk *d = desk_up(r);
    const struct pub_target target = to_queue("late");
    uint64_t ticket = 0;

    assert_int_equal(try(d, &target, ticket++), PUB_BAD_TARGET);
    assert_string_equal(d->text, "queue 'late' does not exist in vhost '/': declare it, or set declare = true");
    struct late *late = late_start();
    const int64_t began = clock_mono_us();
    declare(r, "late");
    while (try(d, &target, ticket) == PUB_BAD_TARGET && ticket++ < 1000)
        world_sleep_ms(50);
    assert_int_equal(d->result[ticket], PUB_CONFIRMED);
    const int64_t took = clock_mono_us() - began;
    assert_in_range(took, 1000000, 7000000 + late_stop(late));
    desk_free(d);
}

static void
a_missing_exchange_is_named(void **state)
{
    const struct rabbit *r = *state;
    struct desk *d = desk_up(r);
    const struct pub_target target = {.exchange = "no such", .routing_key = "k", .queue = ""};

    assert_int_equal(try(d, &target, 0), PUB_BAD_TARGET);
    assert_string_equal(d->text, "exchange 'no such' does not exist in vhost '/': declare it, or set declare = true");
    desk_free(d);
}

static void
what_is_missing_is_declared_where_that_is_wanted_whatever_its_name(void **state)
{
    const struct rabbit *r = *state;
    struct desk *d = desk_up(r);
    struct err err;
    const char *const exchange = "a/b % \xc3\xa4", *const queue = "q \xe2\x82\xac/ #*";
    const struct pub_target target = {.exchange = exchange, .routing_key = "k e/y", .queue = queue, .declare = true};

    assert_int_equal(publisher_add_target(d->p, &target, &err), 0);
    assert_true(desk_logged(d, "queue_declared", WAIT_MS)); /* without a message */
    assert_int_equal(try(d, &target, 0), PUB_CONFIRMED);
    assert_int_equal(depth(r, target.queue), 1);
    desk_free(d);
}

static void
an_exchange_of_another_type_is_used_as_it_is(void **state)
{
    const struct rabbit *r = *state;
    amqp_connection_state_t c = operator_open(r);
    const amqp_bytes_t name = amqp_cstring_bytes("topics"), type = amqp_cstring_bytes("topic");
    amqp_exchange_declare(c, 1, name, type, 0, 1, 0, 0, amqp_empty_table);
    operator_ok(c);
    operator_close(c);
    struct desk *d = desk_up(r);
    const struct pub_target target = {.exchange = "topics", .routing_key = "a.b", .queue = "topical", .declare = true};

    assert_int_equal(try(d, &target, 0), PUB_CONFIRMED);
    desk_free(d);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_messages_are_confirmed_once_each),
        cmocka_unit_test(a_body_in_chunks_arrives_byte_for_byte),
        cmocka_unit_test(a_message_says_whose_it_is),
        cmocka_unit_test(a_message_for_an_older_session_is_dropped),
        cmocka_unit_test(a_message_that_no_queue_is_bound_for_comes_back_alone),
        cmocka_unit_test(a_poisonous_message_is_refused_alone),
        cmocka_unit_test(a_message_that_is_too_large_for_the_broker_is_refused_alone),
        cmocka_unit_test(a_full_queue_says_try_again_later),
        cmocka_unit_test(a_queue_that_would_lose_what_it_confirmed_is_no_target),
        cmocka_unit_test(a_durable_queue_with_arguments_is_a_good_target),
        cmocka_unit_test(a_missing_queue_is_named_and_found_once_it_is_there),
        cmocka_unit_test(a_missing_exchange_is_named),
        cmocka_unit_test(what_is_missing_is_declared_where_that_is_wanted_whatever_its_name),
        cmocka_unit_test(an_exchange_of_another_type_is_used_as_it_is),
    };
    cmocka_set_test_filter(getenv("TEST_FILTER")); /* such as "*alarm*"; NULL: all */
    return cmocka_run_group_tests_name("publisher", tests, rabbit_start, rabbit_stop);
}
