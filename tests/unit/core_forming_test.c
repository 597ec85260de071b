/* core_forming_test.c - bundles that become messages first: their place, verdicts, what is not freed meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core_world.h"

/* A connector whose bundles are formed, beside the usual ones. */
static int
setup(void **state)
{
    const struct core_connector list[] = {{.id = "stix", .target = 4, .format = WIRE_FMT_OPENCTI},
                                          {.id = "feed", .target = 1}};

    world_setup(state);
    world_configure(*state, list, 2, NULL);
    return 0;
}

static uint32_t
forming(const struct world *w, uint32_t i)
{
    assert_true(i < w->n_forming);
    return w->forming[i];
}

static bool
was_freed(const struct world *w, uint32_t slot)
{
    for (uint32_t i = 0; i < w->n_freed; i++)
        if (w->freed[i] == slot)
            return true;
    return false;
}

static void
a_bundle_is_published_only_once_it_is_formed(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "stix");

    peer_pushes(&p, 3 * WORLD_CHUNK);
    world_turn(w);
    assert_int_equal(w->n_forming, 1);
    assert_false(broker_has(&p, 1));
    format_forms(w, forming(w, 0), 7, 500000, NULL);
    assert_true(broker_has(&p, 1));
    broker_confirms(&p, 1);
    world_turn(w);
    assert_int_equal(said_ack(w, p.conn), 1);
    assert_int_equal(figures(w).messages, 7);
    assert_int_equal(figures(w).message_bytes, 500000);
}

static void
half_a_bundle_is_not_formed(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "stix");

    peer_asks(&p, 3 * WORLD_CHUNK, 3 * WORLD_CHUNK);
    peer_chunk(&p, 1, 3 * WORLD_CHUNK, 0, WORLD_CHUNK);
    assert_int_equal(w->n_forming, 0);
}

static void
a_bundle_keeps_its_place_while_it_is_formed(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "stix");

    peer_pushes(&p, 100);
    peer_pushes(&p, 100);
    p.format = WIRE_FMT_RAW + 1;
    peer_pushes(&p, 100);
    format_forms(w, forming(w, 1), 1, 200, NULL);
    assert_int_equal(w->n_posted, 0);
    format_forms(w, forming(w, 0), 1, 200, NULL);
    assert_int_equal(w->n_posted, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(w->posted[i].seq, i + 1);
}

static void
a_bundle_may_name_a_format_that_is_not_its_targets(void **state)
{
    struct world *w = *state;
    struct peer raw = peer_welcomed(w, "feed"), p = peer_welcomed(w, "stix");

    raw.format = WIRE_FMT_OPENCTI + 1;
    raw.options = "{}";
    peer_pushes(&raw, 100);
    assert_int_equal(w->n_forming, 1);
    p.format = WIRE_FMT_RAW + 1;
    peer_pushes(&p, 100);
    assert_int_equal(w->n_forming, 1);
    assert_true(broker_has(&p, 1));
}

static void
a_reload_may_change_the_format_of_what_comes_later(void **state)
{
    const struct core_connector list[] = {{.id = "stix", .target = 4},
                                          {.id = "feed", .target = 1, .format = WIRE_FMT_OPENCTI}};
    struct world *w = *state;
    struct peer stix = peer_welcomed(w, "stix"), feed = peer_welcomed(w, "feed");

    world_configure(w, list, 2, NULL);
    peer_pushes(&stix, 100);
    assert_int_equal(w->n_forming, 0);
    peer_pushes(&feed, 100);
    assert_int_equal(w->n_forming, 1);
}

static void
options_without_a_format_are_refused_at_the_first_chunk(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    p.options = "{\"update\":true}";
    peer_asks(&p, 3 * WORLD_CHUNK, 3 * WORLD_CHUNK);
    peer_sends(&p, 2 * WORLD_CHUNK);
    world_turn(w);
    assert_int_equal(w->n_kept, 0);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->verdict, WIRE_NACK);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->reason, WIRE_R_FORMAT);
    p.options = NULL;
    peer_sees(&p, 1);
    peer_pushes(&p, 100);
    assert_true(broker_has(&p, 2));
}

static void
a_bundle_that_cannot_be_formed_is_refused_and_the_next_one_goes_on(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "stix");

    peer_pushes(&p, 100);
    peer_pushes(&p, 100);
    format_forms(w, forming(w, 1), 1, 200, NULL);
    format_refuses(w, forming(w, 0), WIRE_R_FORMAT, "byte 7: not JSON");
    world_turn(w);
    assert_true(was_freed(w, forming(w, 0)));
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->reason, WIRE_R_FORMAT);
    assert_string_equal(w->said[w->n_said - 1].text, "byte 7: not JSON");
    assert_true(broker_has(&p, 2));
    broker_confirms(&p, 2);
    peer_sees(&p, 1);
    assert_int_equal(said_ack(w, p.conn), 2);
}

static void
a_bundle_with_a_part_left_out_ends_as_a_nack_once_the_rest_is_confirmed(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "stix");

    peer_pushes(&p, 100);
    format_forms(w, forming(w, 0), 41, 9000, "report--1 is too large, 41 others went");
    world_turn(w);
    assert_int_equal(said_count(w, p.conn, WIRE_VERDICT), 0);
    broker_confirms(&p, 1);
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->verdict, WIRE_NACK);
    assert_int_equal(said_last(w, p.conn, WIRE_VERDICT)->reason, WIRE_R_TOO_LARGE);
    assert_string_equal(w->said[w->n_said - 1].text, "report--1 is too large, 41 others went");
    assert_true(was_freed(w, forming(w, 0)));
}

static void
a_body_is_not_freed_while_it_is_formed_whatever_becomes_of_its_program(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "stix"), q;

    peer_pushes(&p, 100);
    q = peer_welcomed(w, "stix"); /* another program takes its place */
    broker_down(w, 0);            /* and the slot is of no publisher */
    assert_false(was_freed(w, forming(w, 0)));
    format_forms(w, forming(w, 0), 1, 200, NULL);
    assert_true(was_freed(w, forming(w, 0)));
    assert_false(broker_has(&q, 1));
    assert_int_equal(figures(w).held, 0);
    assert_int_equal(figures(w).orphaned, 0);
}

static void
a_refusal_for_a_program_that_is_gone_frees_its_body(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "stix"), q;

    peer_pushes(&p, 100);
    q = peer_welcomed(w, "stix");
    format_refuses(w, forming(w, 0), WIRE_R_FORMAT, "no");
    assert_true(was_freed(w, forming(w, 0)));
    world_turn(w);
    assert_int_equal(said_nacks(w, q.conn), 0);
}

static void
what_is_formed_while_the_broker_is_away_goes_when_it_is_back(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "stix");

    peer_pushes(&p, 100);
    broker_down(w, 0);
    format_forms(w, forming(w, 0), 2, 200, NULL);
    assert_false(broker_has(&p, 1));
    broker_up(w, 0);
    assert_true(broker_has(&p, 1));
    broker_down(w, 0);
    broker_up(w, 0);
    assert_true(broker_has(&p, 1)); /* it is not formed again */
    assert_int_equal(w->n_forming, 1);
}

static void
an_answer_that_nobody_asked_for_changes_nothing(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "feed");

    peer_pushes(&p, 100);
    format_forms(w, w->posted[0].slot, 9, 9, NULL);
    format_forms(w, 12345, 9, 9, NULL);
    broker_confirms(&p, 1);
    assert_int_equal(figures(w).messages, 1);
}

static void
options_cost_what_they_weigh(void **state)
{
    static char options[WIRE_OPTIONS_MAX + 1];
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "stix");

    memset(options, 'x', WIRE_OPTIONS_MAX);
    peer_asks(&p, 10 + WIRE_OPTIONS_MAX, 10 + WIRE_OPTIONS_MAX);
    assert_in_range(p.credit, 10 + WIRE_OPTIONS_MAX, WIRE_OPTIONS_MAX + 2 * WIRE_COST_MIN);
    p.want = p.head = 0;
    p.options = options;
    peer_sends(&p, 10);
    assert_false(was_cut(w, p.conn));
    assert_int_equal(figures(w).held_bytes, 10 + WIRE_OPTIONS_MAX);
}

/* However much others hold: what it is given covers its next bundle with its options, or it waits. */
static void
the_largest_bundle_is_given_room_for_its_options_too(void **state)
{
    const struct core_connector list[] = {{.id = "stix", .target = 4, .format = WIRE_FMT_OPENCTI},
                                          {.id = "feed", .target = 1}, {.id = "news", .target = 2},
                                          {.id = "kev", .target = 3}};
    uint32_t waited = 0;

    (void)state;
    for (uint64_t size = MIB / 2; size <= MIB; size += WIRE_OPTIONS_MAX / 2) {
        struct world *w = world_with(4 * MIB, MIB);

        broker_up(w, 0);
        broker_up(w, 1);
        world_configure(w, list, 4, NULL);
        struct peer feed = peer_welcomed(w, "feed"), news = peer_welcomed(w, "news"), kev = peer_welcomed(w, "kev");
        struct peer stix = peer_welcomed(w, "stix");

        peer_pushes(&feed, MIB);
        peer_pushes(&news, MIB);
        peer_pushes(&kev, size);
        peer_asks(&stix, MIB + WIRE_OPTIONS_MAX, MIB + WIRE_OPTIONS_MAX);
        waited += stix.credit == 0;
        assert_true(stix.credit == 0 || stix.credit >= MIB + WIRE_OPTIONS_MAX);
        world_free(w);
    }
    assert_true(waited > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bundle_is_published_only_once_it_is_formed, setup, world_teardown),
        cmocka_unit_test_setup_teardown(half_a_bundle_is_not_formed, setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_bundle_keeps_its_place_while_it_is_formed, setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_bundle_may_name_a_format_that_is_not_its_targets, setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_reload_may_change_the_format_of_what_comes_later, setup, world_teardown),
        cmocka_unit_test_setup_teardown(options_without_a_format_are_refused_at_the_first_chunk, setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_bundle_that_cannot_be_formed_is_refused_and_the_next_one_goes_on, setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_bundle_with_a_part_left_out_ends_as_a_nack_once_the_rest_is_confirmed, setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_body_is_not_freed_while_it_is_formed_whatever_becomes_of_its_program, setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_refusal_for_a_program_that_is_gone_frees_its_body, setup, world_teardown),
        cmocka_unit_test_setup_teardown(what_is_formed_while_the_broker_is_away_goes_when_it_is_back, setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(options_cost_what_they_weigh, setup, world_teardown),
        cmocka_unit_test(the_largest_bundle_is_given_room_for_its_options_too),
        cmocka_unit_test_setup_teardown(an_answer_that_nobody_asked_for_changes_nothing, setup, world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
