/* core_session_test.c - who is connected, and for whom it speaks: rules 1, 2 and 7 of the protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core_world.h"
#include "err.h"

/* --- hello --- */

static void
a_hello_is_answered_by_a_welcome_that_says_how_things_are_done_here(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w, "feed");
    const struct wire_msg *m;

    assert_true(peer_hello(&p));
    m = said_last(w, p.conn, WIRE_WELCOME);
    assert_int_equal(m->v, WIRE_VERSION);
    assert_int_equal(m->epoch, p.epoch);
    assert_int_equal(m->attempt, 1);
    assert_int_equal(m->expect, 1);
    assert_int_equal(m->credit, 0);
    assert_int_equal(m->ping_ms, 40000);
    assert_int_equal(m->chunk, WORLD_CHUNK);
    assert_int_equal(m->max_bundle, MIB);
    assert_string_equal(core_connector_of(w->core, p.conn), "feed");
    assert_int_equal(figures(w).connected, 1);
}

static void
whatever_is_said_before_hello_is_answered_by_hello_first_and_does_nothing(void **state)
{
    static const enum wire_type types[] = {WIRE_READY, WIRE_BUNDLE, WIRE_DONE, WIRE_PING,
                                           WIRE_STATE, WIRE_HEALTH, WIRE_LOG, WIRE_BYE};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct peer p = peer_new(w, "feed");

        if (types[i] == WIRE_BUNDLE)
            peer_chunk(&p, 1, 10, 0, 10);
        else
            peer_says(&p, types[i]);
        assert_int_equal(said_count(w, p.conn, WIRE_ERROR), 1);
        assert_true(said_error(w, p.conn, WIRE_R_HELLO_FIRST));
        assert_false(said_last(w, p.conn, WIRE_ERROR)->fatal);
        assert_null(core_connector_of(w->core, p.conn));
    }
    assert_int_equal(w->n_kept, 0);
    assert_int_equal(w->n_posted, 0);
}

static void
a_hello_repeated_with_the_next_attempt_is_welcomed_again(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    assert_true(peer_hello(&p));
    assert_int_equal(said_last(w, p.conn, WIRE_WELCOME)->attempt, 2);
    assert_int_equal(figures(w).connected, 1);
    assert_int_equal(w->n_forgotten, 0);
}

static void
a_hello_that_was_overtaken_by_a_newer_one_is_not_answered(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_hello(&p);
    world_forget(w);
    p.attempt = 0;
    assert_false(peer_hello(&p)); /* attempt 1 again */
    assert_false(peer_hello(&p)); /* attempt 2 again */
    assert_true(said_nothing(w, p.conn));
    assert_true(peer_hello(&p));
}

static void
an_epoch_that_would_leave_no_room_for_a_later_one_is_refused(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w, "feed"), other = peer_new(w, "feed");

    p.epoch = CORE_EPOCH_MAX + 1;
    assert_false(peer_hello(&p));
    assert_true(said_error(w, p.conn, WIRE_R_FIELD));
    assert_true(peer_hello(&other));
}

static void
a_connector_that_nobody_configured_is_told_so_and_that_it_is_final(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w, "stranger");

    assert_false(peer_hello(&p));
    assert_true(said_error(w, p.conn, WIRE_R_UNKNOWN_ID));
    assert_true(said_last(w, p.conn, WIRE_ERROR)->fatal);
    assert_null(core_connector_of(w->core, p.conn));
}

static void
where_unknown_connectors_are_accepted_they_get_the_default_target(void **state)
{
    struct world *w = *state;
    const struct core_connector unknown = {.id = "", .target = 9, .publisher = 1};
    struct peer p;

    world_configure(w, NULL, 0, &unknown);
    p = peer_welcomed(w, "stranger");
    assert_string_equal(core_connector_of(w->core, p.conn), "stranger");
    peer_pushes(&p, 100);
    assert_int_equal(broker_newest(w)->target, 9);
    assert_int_equal(broker_newest(w)->publisher, 1);
    assert_string_equal(broker_newest(w)->connector, "stranger");
}

static void
unknown_connectors_leave_room_for_configured_ones_and_are_told_that_it_is_busy(void **state)
{
    struct world *w = *state;
    const struct core_connector unknown = {.id = "", .target = 9};
    struct peer last;

    w->unchecked = true;
    world_configure(w, NULL, 0, &unknown);
    for (int i = 3; i < CORE_UNKNOWN_MAX; i++) { /* three are known already */
        char id[32];
        struct peer p;

        snprintf(id, sizeof(id), "many-%d", i);
        p = peer_new(w, id);
        assert_true(peer_hello(&p));
        if (i % 1000 == 0)
            world_forget(w);
    }
    assert_null(core_check(w->core));
    last = peer_new(w, "one-too-many");
    assert_false(peer_hello(&last));
    assert_true(said_error(w, last.conn, WIRE_R_BUSY));
    assert_false(said_last(w, last.conn, WIRE_ERROR)->fatal);
    last = peer_new(w, "many-3"); /* who is known still finds its place */
    assert_true(peer_hello(&last));
    world_configure(w, (struct core_connector[]){{.id = "one-too-many"}}, 1, &unknown);
    last = peer_new(w, "one-too-many"); /* and who is configured */
    assert_true(peer_hello(&last));
}

static void
a_hello_that_claims_to_have_seen_more_than_can_be_is_refused(void **state)
{
    struct world *w = *state;
    struct peer p = peer_new(w, "feed");

    p.seen = WIRE_NUMBER_MAX;
    assert_false(peer_hello(&p));
    assert_true(said_error(w, p.conn, WIRE_R_FIELD));
    p.seen = 0;
    assert_true(peer_hello(&p));
}

/* --- epochs --- */

static void
a_fresh_hello_below_the_known_epoch_is_told_the_known_one(void **state)
{
    struct world *w = *state;
    struct peer old = peer_new(w, "feed"), new = peer_welcomed(w, "feed");

    assert_false(peer_hello(&old));
    assert_true(said_error(w, old.conn, WIRE_R_EPOCH));
    assert_int_equal(said_last(w, old.conn, WIRE_ERROR)->epoch, new.epoch);
    assert_false(said_last(w, old.conn, WIRE_ERROR)->fatal);
    old.epoch = new.epoch + 1; /* as the protocol says */
    assert_true(peer_hello(&old));
}

static void
a_fresh_hello_with_the_known_epoch_is_another_program_once_bundles_of_it_are_known(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed"), twin = p;

    twin.fresh = true;
    peer_reconnects(&twin);
    assert_true(peer_hello(&twin)); /* nothing was sent yet: it may be the same, whose welcome was lost */
    peer_pushes(&twin, 100);
    twin.fresh = true;
    peer_reconnects(&twin);
    assert_false(peer_hello(&twin));
    assert_true(said_error(w, twin.conn, WIRE_R_EPOCH));
}

static void
a_hello_below_the_known_epoch_that_is_not_fresh_is_told_to_stay_away(void **state)
{
    struct world *w = *state;
    struct peer old = peer_welcomed(w, "feed"), new = peer_welcomed(w, "feed");

    world_forget(w);
    assert_false(peer_hello(&old));
    assert_int_equal(said_last(w, old.conn, WIRE_STOP)->reason, WIRE_R_REPLACED);
    assert_string_equal(core_connector_of(w->core, new.conn), "feed");
}

static void
a_higher_epoch_replaces_the_program_that_held_the_id(void **state)
{
    struct world *w = *state;
    struct peer old = peer_welcomed(w, "feed"), new = peer_welcomed(w, "feed");

    assert_int_equal(said_last(w, old.conn, WIRE_STOP)->reason, WIRE_R_REPLACED);
    assert_true(was_forgotten(w, old.conn));
    assert_null(core_connector_of(w->core, old.conn));
    assert_string_equal(core_connector_of(w->core, new.conn), "feed");
    assert_int_equal(figures(w).connected, 1);
    peer_ping(&old);
    assert_true(said_error(w, old.conn, WIRE_R_HELLO_FIRST));
}

static void
the_same_epoch_on_another_connection_is_the_same_program(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    const uint64_t before = p.conn;

    peer_pushes(&p, 100);
    peer_reconnects(&p);
    assert_true(peer_hello(&p));
    assert_int_equal(said_count(w, before, WIRE_STOP), 0);
    assert_true(was_forgotten(w, before));
    assert_int_equal(p.next, 2);
    broker_confirms(&p, 1);
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 1);
}

static void
of_several_hellos_on_one_connection_the_last_counts(void **state)
{
    struct world *w = *state;
    struct peer feed = peer_welcomed(w, "feed"), slow = peer_new(w, "slow");

    slow.conn = feed.conn;
    assert_true(peer_hello(&slow));
    assert_string_equal(core_connector_of(w->core, slow.conn), "slow");
    assert_int_equal(figures(w).connected, 1);
    peer_reconnects(&feed);
    assert_true(peer_hello(&feed));
    assert_string_equal(core_connector_of(w->core, slow.conn), "slow");
    assert_int_equal(figures(w).connected, 2);
}

static void
a_number_of_a_connection_that_is_used_again_is_another_connection(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed"), other = peer_new(w, "slow");
    const uint64_t old = p.conn;

    peer_says(&p, WIRE_BYE);
    other.conn = p.conn + (1ULL << 32);
    assert_true(peer_hello(&other));
    assert_null(core_connector_of(w->core, old));
    world_forget(w);
    world_step(w, &(struct core_event){.kind = CORE_GONE, .u.conn = old}); /* of the one before */
    assert_int_equal(w->n_forgotten, 0);
    assert_string_equal(core_connector_of(w->core, other.conn), "slow");
}

/* --- liveness --- */

static void
who_is_silent_for_three_pings_is_forgotten_and_not_before(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    assert_int_equal(core_due(w->core), w->now + 3LL * WORLD_PING);
    world_pass(w, 3LL * WORLD_PING - 1);
    assert_false(was_forgotten(w, p.conn));
    world_pass(w, 1);
    assert_true(was_forgotten(w, p.conn));
    assert_null(core_connector_of(w->core, p.conn));
    assert_int_equal(figures(w).connected, 0);
    assert_int_equal(core_due(w->core), INT64_MAX);
}

static void
whatever_it_says_proves_that_it_lives(void **state)
{
    static const enum wire_type types[] = {WIRE_LOG, WIRE_HEALTH, WIRE_STATE};
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed"), quiet = peer_welcomed(w, "slow");

    for (size_t i = 0; i < 3; i++) {
        world_pass(w, 2LL * WORLD_PING);
        peer_says(&p, types[i]);
    }
    assert_true(was_forgotten(w, quiet.conn));
    assert_string_equal(core_connector_of(w->core, p.conn), "feed");
    assert_int_equal(core_due(w->core), w->now + 3LL * WORLD_PING);
}

static void
time_does_not_step_back(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    world_pass(w, 2LL * WORLD_PING);
    w->now -= WORLD_PING;
    peer_ping(&p);
    w->now += WORLD_PING;
    assert_int_equal(core_due(w->core), w->now + 3LL * WORLD_PING);
}

static void
bye_ends_a_connection_and_what_is_whole_goes_on(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_pushes(&p, 100);
    peer_says(&p, WIRE_BYE);
    assert_true(was_forgotten(w, p.conn));
    assert_null(core_connector_of(w->core, p.conn));
    assert_true(broker_has(&p, 1));
    broker_confirms(&p, 1);
    peer_reconnects(&p);
    assert_true(peer_hello(&p));
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 1);
}

static void
a_connection_that_the_door_lost_is_forgotten_once(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");
    const struct core_event e = {.kind = CORE_GONE, .u.conn = p.conn};

    world_step(w, &e);
    world_step(w, &e);
    assert_int_equal(w->n_forgotten, 1);
    assert_int_equal(figures(w).connected, 0);
}

static void
a_pong_says_credit_and_what_comes_next_without_the_half_that_is_here(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_pushes(&p, 100);
    peer_asks(&p, 200000, 200000);
    peer_chunk(&p, 2, 200000, 0, WORLD_CHUNK);
    peer_ping(&p);
    assert_int_equal(said_last(w, p.conn, WIRE_PONG)->expect, 2);
    assert_int_equal(said_last(w, p.conn, WIRE_PONG)->credit, p.credit);
    assert_true(p.credit > 200000);
}

static void
when_the_gateway_ends_all_who_are_connected_are_told(void **state)
{
    struct world *w = *state;
    struct peer feed = peer_welcomed(w, "feed"), slow = peer_welcomed(w, "slow");

    peer_says(&slow, WIRE_BYE);
    world_kind(w, CORE_STOP);
    assert_int_equal(said_last(w, feed.conn, WIRE_STOP)->reason, WIRE_R_SHUTDOWN);
    assert_int_equal(said_count(w, slow.conn, WIRE_STOP), 0);
}

static void
what_cannot_be_is_refused_when_the_core_is_made(void **state)
{
    struct world *w = *state;
    struct core_config c = w->cfg;
    struct err err = {.code = ERR_NONE};

    c.publishers = 0;
    assert_null(core_new(&c, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    c.publishers = CORE_PUBLISHERS_MAX + 1;
    assert_null(core_new(&c, &err));
    c.publishers = 1;
    c.max_bundle = c.memory_limit / 4 + 1;
    err.code = ERR_NONE;
    assert_null(core_new(&c, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    c.max_bundle = 0;
    assert_null(core_new(&c, &err));
    core_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hello_is_answered_by_a_welcome_that_says_how_things_are_done_here),
        TEST(whatever_is_said_before_hello_is_answered_by_hello_first_and_does_nothing),
        TEST(a_hello_repeated_with_the_next_attempt_is_welcomed_again),
        TEST(a_hello_that_was_overtaken_by_a_newer_one_is_not_answered),
        TEST(an_epoch_that_would_leave_no_room_for_a_later_one_is_refused),
        TEST(a_connector_that_nobody_configured_is_told_so_and_that_it_is_final),
        TEST(where_unknown_connectors_are_accepted_they_get_the_default_target),
        TEST(unknown_connectors_leave_room_for_configured_ones_and_are_told_that_it_is_busy),
        TEST(a_hello_that_claims_to_have_seen_more_than_can_be_is_refused),
        TEST(a_fresh_hello_below_the_known_epoch_is_told_the_known_one),
        TEST(a_fresh_hello_with_the_known_epoch_is_another_program_once_bundles_of_it_are_known),
        TEST(a_hello_below_the_known_epoch_that_is_not_fresh_is_told_to_stay_away),
        TEST(a_higher_epoch_replaces_the_program_that_held_the_id),
        TEST(the_same_epoch_on_another_connection_is_the_same_program),
        TEST(of_several_hellos_on_one_connection_the_last_counts),
        TEST(a_number_of_a_connection_that_is_used_again_is_another_connection),
        TEST(who_is_silent_for_three_pings_is_forgotten_and_not_before),
        TEST(whatever_it_says_proves_that_it_lives),
        TEST(time_does_not_step_back),
        TEST(bye_ends_a_connection_and_what_is_whole_goes_on),
        TEST(a_connection_that_the_door_lost_is_forgotten_once),
        TEST(a_pong_says_credit_and_what_comes_next_without_the_half_that_is_here),
        TEST(when_the_gateway_ends_all_who_are_connected_are_told),
        TEST(what_cannot_be_is_refused_when_the_core_is_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
