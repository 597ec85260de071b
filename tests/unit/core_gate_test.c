/* core_gate_test.c - before a queue: bundles and runs are let in while there is room, by turns, and by figures that are
 * never less than the truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core_world.h"

enum { KB = 1000,
       LAG = 10 * SECOND,
       STALE = 20 * SECOND,
       THRESHOLD = 1000 * KB };

static const struct core_connector connectors[] = {
    {.id = "a", .target = 1, .queue = 0, .threshold = THRESHOLD, .threshold_fixed = true, .weight = 1},
    {.id = "b", .target = 1, .queue = 0, .threshold = THRESHOLD, .threshold_fixed = true, .weight = 1},
    {.id = "heavy", .target = 1, .queue = 0, .threshold = THRESHOLD, .threshold_fixed = true, .weight = 3},
    {.id = "other", .target = 2, .queue = 1, .threshold = THRESHOLD, .weight = 1},
    {.id = "free", .target = 3, .queue = CORE_NO_QUEUE},
};

static struct core_limits
limits(void)
{
    struct core_limits l = {.stats_lag_us = LAG, .stale_after_us = STALE, .count_every_us = SECOND / 5,
                            .resume_ppm = 800000};

    for (int i = 0; i < CORE_GROUPS_MAX; i++)
        l.budget[i] = DECIDE_NONE;
    return l;
}

static void
configure_list(struct world *w, const struct core_limits *l, const struct core_connector *list)
{
    const struct core_queue queues[] = {
        {.group = 1, .counts = true, .alone = true, .unacked_max = GAUGE_UNKNOWN},
        {.group = 1, .counts = true, .alone = true, .unacked_max = GAUGE_UNKNOWN},
    };
    struct core_event e = {.kind = CORE_CONFIGURE};

    e.u.configure.list = list;
    e.u.configure.n = sizeof(connectors) / sizeof(connectors[0]);
    e.u.configure.queues = queues;
    e.u.configure.n_queues = 2;
    e.u.configure.limits = l;
    world_step(w, &e);
}

static void
configure(struct world *w, const struct core_limits *l)
{
    configure_list(w, l, connectors);
}

/* The same, but for the queue of one. */
static void
move(struct world *w, uint32_t number, uint32_t queue)
{
    const struct core_limits l = limits();
    struct core_connector list[sizeof(connectors) / sizeof(connectors[0])];

    memcpy(list, connectors, sizeof(list));
    list[number].queue = queue;
    configure_list(w, &l, list);
}

static void
sample(struct world *w, uint32_t queue, uint64_t bytes)
{
    struct core_event e = {.kind = CORE_SAMPLE};

    e.u.measured.queue = queue;
    e.u.measured.is.sample = (struct gauge_sample){w->now, bytes, bytes / KB, 0, GAUGE_UNKNOWN};
    world_step(w, &e);
    world_turn(w);
}

static void
samples(struct world *w, uint64_t bytes)
{
    sample(w, 0, bytes);
    sample(w, 1, bytes);
}

/* Queues that are known to hold so much: long after the start, and what was published is long in the sample. */
static void
known(struct world *w, uint64_t bytes)
{
    for (int i = 0; i < 10; i++) {
        w->now += 5 * SECOND;
        world_turn(w);
        samples(w, bytes);
    }
}

static int
setup_unknown(void **state)
{
    const struct core_limits l = limits();

    world_setup(state);
    configure(*state, &l);
    return 0;
}

static int
setup(void **state)
{
    setup_unknown(state);
    known(*state, 0);
    return 0;
}

/* Pushes as much as it is let, in bundles of size; how many were posted before the gate closed? */
static uint32_t
fill(struct peer *p, uint64_t size, uint32_t most)
{
    struct world *w = p->w;
    const uint32_t before = w->n_posted;

    for (uint32_t i = 0; i < most; i++) {
        if (p->credit - p->spent < size)
            peer_asks(p, size, size);
        if (p->credit - p->spent < size)
            break;
        p->want = p->head = 0;
        peer_sends(p, size);
    }
    world_turn(w);
    return w->n_posted - before;
}

static uint32_t
reasons_of(struct world *w, const char *id)
{
    struct core_status s;
    uint32_t n;

    assert_true(core_number(w->core, id, &n));
    assert_true(core_status(w->core, n, &s));
    return s.reasons;
}

static void
without_figures_nothing_is_let_in(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "a");

    assert_int_equal(fill(&p, 10 * KB, 5), 0);
    peer_ready(&p);
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons, WIRE_HOLD_TELEMETRY_STALE);
    assert_int_equal(said_count(w, p.conn, WIRE_PERMIT), 0);
    known(w, 0);
    assert_int_equal(said_count(w, p.conn, WIRE_PERMIT), 1);
}

static void
a_gate_that_nobody_has_looked_at_is_not_open(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "a");

    assert_int_equal(reasons_of(w, "a"), WIRE_HOLD_TELEMETRY_STALE);
    peer_asks(&p, 10 * KB, 10 * KB);
    assert_int_equal(said_count(w, p.conn, WIRE_CREDIT), 0);
}

static void
what_closed_a_gate_is_forgotten_where_nothing_is_measured_any_more(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "a");

    fill(&p, 250 * KB, 10);
    assert_int_equal(reasons_of(w, "a"), WIRE_HOLD_QUEUE);
    configure(w, NULL);
    assert_int_equal(reasons_of(w, "a"), 0);
}

static void
a_new_program_does_not_wait_in_line_for_the_bundles_of_the_last(void **state)
{
    struct world *w = *state;
    struct peer a = peer_welcomed(w, "a");

    peer_asks(&a, 800 * KB, 100 * KB);
    known(w, THRESHOLD);
    assert_int_equal(fill(&a, 100 * KB, 3), 0);
    a = peer_welcomed(w, "a"); /* every step is checked: a line holds only those who have something */
    known(w, 0);
    assert_int_equal(fill(&a, 100 * KB, 3), 3);
}

static void
who_cannot_be_measured_is_governed_by_credit_alone(void **state)
{
    struct peer p = peer_welcomed(*state, "free");

    assert_int_equal(fill(&p, 10 * KB, 5), 5);
}

static void
figures_that_grow_old_hold_within_the_time_that_is_stated(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "a");

    assert_int_equal(fill(&p, 10 * KB, 5), 5);
    w->now += STALE - SECOND;
    world_turn(w);
    assert_int_equal(reasons_of(w, "a"), 0);
    world_pass(w, SECOND + SECOND / 10);
    assert_int_equal(reasons_of(w, "a"), WIRE_HOLD_TELEMETRY_STALE);
    peer_asks(&p, 10 * KB, 10 * KB);
    assert_int_equal(fill(&p, 10 * KB, 50) > 26, 0); /* what credit is left is a right to hand over, */
    assert_int_equal(w->n_posted, 5);                /* not to publish */
}

static void
no_bundle_starts_at_the_threshold_and_at_most_one_goes_beyond(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "a");

    assert_int_equal(fill(&p, 300 * KB, 20), 4); /* 300, 600, 900, and the one that starts below 1000 */
    assert_int_equal(reasons_of(w, "a"), WIRE_HOLD_QUEUE);
    for (uint64_t seq = 1; seq <= 4; seq++)
        broker_confirms(&p, seq);
    world_turn(w);
    assert_int_equal(w->n_posted, 4);
}

static void
bundles_of_two_connectors_count_together_in_one_queue(void **state)
{
    struct world *w = *state;
    struct peer a = peer_welcomed(w, "a"), b = peer_welcomed(w, "b");

    assert_int_equal(fill(&a, 250 * KB, 3), 3);
    assert_int_equal(fill(&b, 250 * KB, 3), 1);
}

static void
a_gate_that_closed_opens_when_the_queue_is_below_four_fifths(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "a");

    fill(&p, 250 * KB, 10);
    for (uint64_t seq = 1; seq <= 4; seq++)
        broker_confirms(&p, seq);
    known(w, 900 * KB);
    assert_int_equal(w->n_posted, 4);
    known(w, 700 * KB);
    assert_true(w->n_posted > 4);
}

static void
room_that_is_short_is_shared_by_weight(void **state)
{
    struct world *w = *state;
    struct peer a = peer_welcomed(w, "a"), b = peer_welcomed(w, "b"), heavy = peer_welcomed(w, "heavy");
    struct peer *const all[] = {&a, &b, &heavy};
    uint32_t got[3] = {0, 0, 0}, from;

    for (int i = 0; i < 3; i++)
        peer_asks(all[i], 400 * KB, 10 * KB); /* a right to hand over, from before the gate closes */
    from = w->n_posted;
    known(w, THRESHOLD);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fill(all[i], 10 * KB, 40), 0);
    known(w, 500 * KB); /* room for 50 bundles, and 60 wait */
    for (uint32_t i = from; i < w->n_posted; i++)
        for (int j = 0; j < 3; j++)
            got[j] += strcmp(w->posted[i].connector, all[j]->id) == 0;
    assert_in_range(got[0] + got[1] + got[2], 45, 60);
    assert_int_equal(got[0] > 5 && got[1] > 5, 1);
    assert_in_range(got[2], 3 * got[0] - 4, 3 * got[0] + 4);
    assert_in_range(got[1], got[0] - 1, got[0] + 1);
}

static void
a_full_queue_does_not_hold_another(void **state)
{
    struct world *w = *state;
    struct peer a = peer_welcomed(w, "a"), other = peer_welcomed(w, "other");

    fill(&a, 250 * KB, 10);
    assert_int_equal(fill(&other, 100 * KB, 5), 5);
}

static void
a_budget_holds_all_queues_of_its_group_together(void **state)
{
    struct world *w = *state;
    struct core_limits l = limits();
    struct peer a = peer_welcomed(w, "a"), other = peer_welcomed(w, "other");

    l.budget[1] = 600 * KB;
    configure(w, &l);
    assert_int_equal(fill(&a, 100 * KB, 4), 4);
    assert_int_equal(fill(&other, 100 * KB, 4), 2);
    assert_int_equal(fill(&a, 100 * KB, 1), 0);
    assert_int_equal(reasons_of(w, "a"), WIRE_HOLD_BUDGET);
    assert_int_equal(reasons_of(w, "other"), WIRE_HOLD_BUDGET);
}

static void
a_connectors_own_word_may_lower_its_threshold_but_not_raise_what_is_configured(void **state)
{
    struct world *w = *state;
    struct wire_msg m = {.type = WIRE_READY, .schedule = WIRE_S_CONTINUOUS, .threshold = 5000 * KB};
    struct core_status s;
    struct peer p = peer_welcomed(w, "a");
    struct core_event e = {.kind = CORE_MESSAGE};
    uint32_t n;

    m.has = 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD | 1ULL << WIRE_F_SCHEDULE | 1ULL << WIRE_F_THRESHOLD;
    e.u.message.conn = p.conn;
    e.u.message.msg = &m;
    world_step(w, &e);
    core_number(w->core, "a", &n);
    core_status(w->core, n, &s);
    assert_int_equal(s.threshold, THRESHOLD);
    m.threshold = 100 * KB;
    world_step(w, &e);
    core_status(w->core, n, &s);
    assert_int_equal(s.threshold, 100 * KB);
}

static void
a_lost_connection_leaves_what_was_on_it_in_the_figures(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "a");

    assert_int_equal(fill(&p, 300 * KB, 3), 3);
    broker_down(w, 0);
    broker_up(w, 0); /* 900 KB may be there, and go again: one bundle may start below the threshold */
    assert_int_equal(w->n_posted, 4);
}

static void
what_the_broker_refused_is_not_in_the_figures(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "a");

    assert_int_equal(fill(&p, 300 * KB, 3), 3);
    for (uint64_t seq = 1; seq <= 3; seq++)
        broker_refuses(&p, seq, WIRE_R_UNROUTABLE, NULL);
    world_turn(w);
    peer_sees(&p, 3);
    assert_int_equal(fill(&p, 300 * KB, 3), 3);
}

static void
the_journal_says_what_a_gate_was_closed_and_opened_for(void **state)
{
    struct world *w = *state;
    struct peer p = peer_welcomed(w, "a");
    const struct line *closed = NULL;

    fill(&p, 250 * KB, 10);
    for (uint32_t i = 0; i < w->n_lines; i++)
        if (strcmp(w->lines[i].what, "gate_closed") == 0 && strcmp(w->lines[i].id, "a") == 0)
            closed = &w->lines[i];
    assert_non_null(closed);
    assert_true(closed->has_inputs);
    assert_int_equal(closed->inputs.queue.upper, 1000 * KB);
    assert_int_equal(closed->inputs.queue.limit, THRESHOLD);
    assert_int_equal(decide(&closed->inputs), closed->reasons);
}

static void
a_full_queue_that_somebody_waits_for_is_counted_but_not_often(void **state)
{
    struct world *w = *state;
    struct core_event e = {.kind = CORE_CONSUMERS};
    struct peer p;

    e.u.measured.is.consumers = (struct gauge_consumers){1, 1};
    world_step(w, &e);
    p = peer_welcomed(w, "a");
    fill(&p, 100 * KB, 20);
    for (uint64_t seq = 1; seq <= 10; seq++)
        broker_confirms(&p, seq);
    for (int i = 0; i < 10; i++)
        world_pass(w, SECOND / 10);
    assert_in_range(w->n_counts, 3, 6);
}

static void
a_count_opens_a_gate_that_a_sample_would_keep_shut(void **state)
{
    struct world *w = *state;
    struct core_event e = {.kind = CORE_CONSUMERS};
    struct peer p;

    e.u.measured.is.consumers = (struct gauge_consumers){1, 1};
    world_step(w, &e);
    p = peer_welcomed(w, "a");
    fill(&p, 100 * KB, 20);
    for (uint64_t seq = 1; seq <= 10; seq++)
        broker_confirms(&p, seq);
    world_pass(w, SECOND);
    assert_int_equal(w->n_posted, 10);
    e.kind = CORE_COUNTED;
    e.u.measured.is.count = (struct gauge_count){w->now, 1, 1};
    world_step(w, &e);
    world_turn(w);
    assert_int_equal(reasons_of(w, "a"), 0);
    assert_true(fill(&p, 100 * KB, 20) >= 5); /* what is in flight is little while room is short */
}

static void
the_room_for_a_run_is_kept_free_for_it_and_not_for_ever(void **state)
{
    struct world *w = *state;
    struct peer a = peer_welcomed(w, "a"), b = peer_welcomed(w, "b");

    /* A run that will bring most of the room, by what it says that waits. */
    a.want = 900 * KB;
    a.head = 10 * KB;
    struct wire_msg m = {.type = WIRE_READY, .schedule = WIRE_S_PERIOD, .period_ms = 3600000};
    struct core_event e = {.kind = CORE_MESSAGE};

    m.has = 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD | 1ULL << WIRE_F_SCHEDULE | 1ULL << WIRE_F_PERIOD_MS;
    m.want = 900 * KB;
    m.head = 10 * KB;
    e.u.message.msg = &m;
    e.u.message.conn = a.conn;
    world_step(w, &e);
    world_turn(w);
    assert_int_equal(said_count(w, a.conn, WIRE_PERMIT), 1);
    fill(&a, 150 * KB, 1);
    e.u.message.conn = b.conn;
    m.want = 200 * KB;
    world_step(w, &e);
    world_turn(w);
    fill(&b, 100 * KB, 1);
    assert_true(said_count(w, b.conn, WIRE_PERMIT) > 0); /* 250 and 750 promised: just below */
    struct peer heavy = peer_welcomed(w, "heavy");

    e.u.message.conn = heavy.conn;
    world_step(w, &e);
    world_turn(w);
    assert_int_equal(said_last(w, heavy.conn, WIRE_HOLD)->reasons, WIRE_HOLD_SHARE);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(said_count(w, heavy.conn, WIRE_PERMIT), 0);
        w->now += 5 * SECOND + SECOND / 10;
        samples(w, 300 * KB);
        peer_ping(&heavy);
        peer_ping(&a);
        peer_ping(&b);
        world_turn(w);
    }
    assert_true(said_count(w, heavy.conn, WIRE_PERMIT) > 0);
}

static struct wire_msg
plan(uint64_t threshold)
{
    return (struct wire_msg){.type = WIRE_READY, .schedule = WIRE_S_PERIOD, .period_ms = 3600000,
                             .threshold = threshold,
                                 .has = 1ULL << WIRE_F_SCHEDULE | 1ULL << WIRE_F_PERIOD_MS | 1ULL << WIRE_F_THRESHOLD};
}

static void
who_waits_for_a_lower_threshold_keeps_nobody_from_passing(void **state)
{
    struct world *w = *state;
    struct peer a = peer_welcomed(w, "a"), b = peer_welcomed(w, "b");

    peer_asks(&a, 100 * KB, 50 * KB);
    peer_asks(&b, 100 * KB, 50 * KB);
    known(w, 500 * KB);
    peer_plans(&a, plan(100 * KB));
    peer_sends(&a, 50 * KB);
    assert_int_equal(w->n_posted, 0);
    peer_sends(&b, 50 * KB);
    assert_int_equal(w->n_posted, 1); /* at once, and not when the queue is looked at next */
}

static void
a_promise_ends_by_itself_though_other_runs_begin(void **state)
{
    struct world *w = *state;
    struct peer a = peer_welcomed(w, "a"), b = peer_welcomed(w, "b"), heavy = peer_welcomed(w, "heavy");

    a.want = 900 * KB;
    a.head = 10 * KB;
    peer_plans(&a, plan(THRESHOLD));
    assert_int_equal(said_count(w, a.conn, WIRE_PERMIT), 1);
    for (int i = 0; i < 2; i++) {
        w->now += 16 * SECOND;
        samples(w, i == 0 ? 50 * KB : 200 * KB);
        if (i == 0) {
            b.want = b.head = 20 * KB;
            peer_plans(&b, plan(THRESHOLD));
            assert_int_equal(said_count(w, b.conn, WIRE_PERMIT), 1);
        }
        peer_ping(&a);
        peer_ping(&b);
        peer_ping(&heavy);
    }
    /* 920 were promised, but 900 of them longer ago than it counts. */
    peer_plans(&heavy, plan(THRESHOLD));
    assert_int_equal(said_count(w, heavy.conn, WIRE_PERMIT), 1);
}

static void
who_is_moved_to_another_queue_is_not_behind_for_what_it_had_before_the_first(void **state)
{
    struct world *w = *state;
    struct peer a = peer_welcomed(w, "a"), other = peer_welcomed(w, "other");
    uint32_t from;

    for (int i = 0; i < 5; i++) {
        fill(&a, 100 * KB, 5);
        for (uint64_t seq = 1; seq < a.next; seq++)
            if (broker_has(&a, seq))
                broker_confirms(&a, seq);
        known(w, 0);
        peer_ping(&a);
        peer_ping(&other);
    }
    peer_asks(&a, 300 * KB, 100 * KB);
    peer_asks(&other, 300 * KB, 100 * KB);
    move(w, 0, 1);
    known(w, THRESHOLD);
    for (int i = 0; i < 2; i++) {
        peer_sends(&other, 100 * KB);
        peer_sends(&a, 100 * KB);
    }
    from = w->n_posted;
    known(w, 500 * KB);
    assert_int_equal(w->n_posted, from + 4);
    assert_string_equal(w->posted[from].connector, "other");
    assert_string_equal(w->posted[from + 1].connector, "a");
}

static void
a_queue_that_had_no_connectors_is_asked_when_it_gets_one(void **state)
{
    struct world *w = *state;
    struct peer a = peer_welcomed(w, "a");

    move(w, 3, 0); /* nobody is before queue 1 any more, */
    w->now += 15 * SECOND;
    sample(w, 0, 0);
    w->now += 6 * SECOND; /* and nobody samples it */
    sample(w, 0, 0);
    peer_ping(&a);
    assert_int_equal(reasons_of(w, "a"), 0);
    move(w, 0, 1);
    assert_int_equal(reasons_of(w, "a"), WIRE_HOLD_TELEMETRY_STALE);
}

static void
a_queue_that_is_unknown_holds_all_that_share_its_budget(void **state)
{
    struct world *w = *state;
    struct core_limits l = limits();
    struct peer other = peer_welcomed(w, "other");

    l.budget[1] = 5000 * KB;
    configure(w, &l);
    for (int i = 0; i < 5; i++) {
        w->now += 5 * SECOND;
        sample(w, 1, 0);
        peer_ping(&other);
    }
    assert_int_equal(reasons_of(w, "other"), WIRE_HOLD_TELEMETRY_STALE);
}

static void
an_alarm_of_the_brokers_node_holds_and_its_end_lets_go(void **state)
{
    struct world *w = *state;
    struct core_event e = {.kind = CORE_BROKER};
    struct peer p = peer_welcomed(w, "a");

    e.u.node.asked_us = w->now;
    e.u.node.memory_used = e.u.node.disk_free = e.u.node.memory_limit = e.u.node.disk_limit = GAUGE_UNKNOWN;
    e.u.node.alarm = true;
    world_step(w, &e);
    peer_ready(&p);
    world_turn(w);
    assert_int_equal(said_last(w, p.conn, WIRE_HOLD)->reasons, WIRE_HOLD_BROKER_ALARM);
    e.u.node.alarm = false;
    world_step(w, &e);
    world_turn(w);
    assert_int_equal(said_count(w, p.conn, WIRE_PERMIT), 1);
}

static void
our_own_publishing_stops_short_of_the_brokers_memory_alarm(void **state)
{
    struct world *w = *state;
    struct core_event e = {.kind = CORE_BROKER};
    struct peer p = peer_welcomed(w, "a");

    e.u.node.asked_us = w->now;
    e.u.node.memory_used = 600 * KB;
    e.u.node.memory_limit = 1000 * KB;
    e.u.node.disk_free = e.u.node.disk_limit = GAUGE_UNKNOWN;
    world_step(w, &e);
    assert_int_equal(fill(&p, 100 * KB, 20), 3);
    assert_int_equal(reasons_of(w, "a"), WIRE_HOLD_BUDGET);
}

/* --- with a spool --- */

/* What is read ahead waits before the gate whoever its connector is now. */
static void
a_new_program_does_not_take_what_was_spooled_out_of_the_line(void **state)
{
    struct world *w = *state;
    const struct core_limits l = limits();
    struct core_connector list[sizeof(connectors) / sizeof(connectors[0])];
    struct peer next;

    memcpy(list, connectors, sizeof(list));
    list[0].spool_limit = MIB;
    configure_list(w, &l, list);
    spool_found(w, "a", 1, 2, 9, 2);
    world_turn(w);
    assert_int_equal(errands(w, CORE_FETCH), 1);
    w->now += SECOND;
    sample(w, 0, THRESHOLD);
    spool_gives(w, 1, 9, 1, 2);
    world_turn(w);
    assert_int_equal(w->n_posted, 0);
    next = peer_new(w, "a");
    assert_true(peer_hello(&next));
    known(w, 0);
    assert_int_equal(w->n_posted, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_figures_nothing_is_let_in, setup_unknown, world_teardown),
        cmocka_unit_test_setup_teardown(a_gate_that_nobody_has_looked_at_is_not_open, setup_unknown, world_teardown),
        TEST(what_closed_a_gate_is_forgotten_where_nothing_is_measured_any_more),
        TEST(a_new_program_does_not_wait_in_line_for_the_bundles_of_the_last),
        cmocka_unit_test_setup_teardown(who_cannot_be_measured_is_governed_by_credit_alone, setup_unknown,
                                        world_teardown),
        TEST(figures_that_grow_old_hold_within_the_time_that_is_stated),
        TEST(no_bundle_starts_at_the_threshold_and_at_most_one_goes_beyond),
        TEST(bundles_of_two_connectors_count_together_in_one_queue),
        TEST(a_gate_that_closed_opens_when_the_queue_is_below_four_fifths),
        TEST(room_that_is_short_is_shared_by_weight),
        TEST(a_full_queue_does_not_hold_another),
        TEST(a_budget_holds_all_queues_of_its_group_together),
        TEST(a_connectors_own_word_may_lower_its_threshold_but_not_raise_what_is_configured),
        TEST(a_lost_connection_leaves_what_was_on_it_in_the_figures),
        TEST(what_the_broker_refused_is_not_in_the_figures),
        TEST(the_journal_says_what_a_gate_was_closed_and_opened_for),
        TEST(a_full_queue_that_somebody_waits_for_is_counted_but_not_often),
        TEST(a_count_opens_a_gate_that_a_sample_would_keep_shut),
        TEST(the_room_for_a_run_is_kept_free_for_it_and_not_for_ever),
        TEST(who_waits_for_a_lower_threshold_keeps_nobody_from_passing),
        TEST(a_promise_ends_by_itself_though_other_runs_begin),
        TEST(who_is_moved_to_another_queue_is_not_behind_for_what_it_had_before_the_first),
        TEST(a_queue_that_had_no_connectors_is_asked_when_it_gets_one),
        TEST(a_queue_that_is_unknown_holds_all_that_share_its_budget),
        TEST(an_alarm_of_the_brokers_node_holds_and_its_end_lets_go),
        TEST(our_own_publishing_stops_short_of_the_brokers_memory_alarm),
        TEST(a_new_program_does_not_take_what_was_spooled_out_of_the_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
