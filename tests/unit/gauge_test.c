/* gauge_test.c - what a queue holds at most, and what is said where nobody knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/gauge.h"
#include "core/ledger.h"
#include "err.h"

#define S(seconds) ((int64_t)((seconds)*1000000))

enum { LAG = 10,
       STALE = 20,
       LATE = 1,
       KB = 1000 };

static struct gauge *
open_with(bool counts, bool alone, uint32_t entries)
{
    const struct gauge_config cfg = {S(LAG), S(STALE), S(LATE), counts, alone, entries};
    struct err err = {0};
    struct gauge *g = gauge_new(&cfg, 0, &err);

    assert_non_null(g);
    return g;
}

static struct gauge *
open_gauge(void)
{
    return open_with(true, true, 0);
}

static uint64_t
reserve(struct gauge *g, uint64_t bytes, double at)
{
    struct err err = {0};
    uint64_t id = 0;

    assert_int_equal(gauge_reserve(g, bytes, 1, bytes, S(at), &id, &err), 0);
    return id;
}

static uint64_t
publish(struct gauge *g, uint64_t bytes, double at)
{
    const uint64_t id = reserve(g, bytes, at);

    gauge_commit(g, id, S(at));
    return id;
}

static void
put(struct gauge *g, uint64_t bytes, double at)
{
    gauge_taken(g, publish(g, bytes, at), bytes, 1, S(at));
}

static unsigned
sample(struct gauge *g, uint64_t bytes, uint64_t messages, double at)
{
    const struct gauge_sample s = {S(at), bytes, messages, GAUGE_UNKNOWN, GAUGE_UNKNOWN};

    return gauge_take_sample(g, &s, S(at));
}

static unsigned
count(struct gauge *g, uint64_t ready, double at)
{
    const struct gauge_count c = {S(at), ready, 1};

    return gauge_take_count(g, &c, S(at));
}

static void
bounded(struct gauge *g, uint64_t unacked_max, uint64_t consumers, double at)
{
    const struct gauge_consumers c = {unacked_max, consumers};

    gauge_take_consumers(g, &c, S(at));
}

static uint64_t
upper(struct gauge *g, double at)
{
    return gauge_upper(g, S(at));
}

static struct gauge_view
view(struct gauge *g, double at)
{
    struct gauge_view v;

    gauge_view(g, S(at), &v);
    return v;
}

static void
done(struct gauge *g)
{
    assert_null(gauge_check(g));
    gauge_free(g);
}

/* A gauge whose bound holds: one consumer that takes one at a time, an empty queue, one message. */
static struct gauge *
bounded_gauge(uint64_t unacked_max)
{
    struct gauge *g = open_gauge();

    bounded(g, unacked_max, 1, 0);
    for (uint64_t i = 0; i <= unacked_max; i++)
        put(g, KB, 0.5);
    sample(g, 0, 0, 12);
    count(g, 0, 12.1);
    assert_int_equal(view(g, 12.1).unacked_max, unacked_max);
    return g;
}

/* --- unknown --- */

static void
without_a_sample_nothing_is_known(void **state)
{
    struct gauge *g = open_gauge();

    (void)state;
    assert_true(upper(g, 30) == GAUGE_UNKNOWN);
    assert_int_equal(view(g, 30).why, GAUGE_NO_SAMPLE);
    assert_true(view(g, 30).estimate == GAUGE_UNKNOWN);
    done(g);
}

static void
after_our_start_a_sample_counts_only_if_it_was_asked_for_lag_later(void **state)
{
    struct gauge *g = open_gauge();

    (void)state;
    sample(g, 5, 1, LAG + LATE - 1);
    assert_true(upper(g, LAG + LATE - 1) == GAUGE_UNKNOWN);
    assert_int_equal(view(g, LAG + LATE - 1).why, GAUGE_STARTING);
    sample(g, 6, 1, LAG + LATE);
    assert_int_equal(upper(g, LAG + LATE), 6);
    done(g);
}

static void
after_a_start_of_the_broker_all_begins_again_and_an_early_zero_proves_nothing(void **state)
{
    struct gauge *g = open_gauge();

    (void)state;
    put(g, 7 * KB, 5);
    sample(g, 7 * KB, 1, 20);
    gauge_restarted(g, S(21));
    sample(g, 0, 0, 22);
    assert_int_equal(view(g, 22).why, GAUGE_STARTING);
    put(g, KB, 30);
    sample(g, 7 * KB, 1, 32);
    assert_int_equal(upper(g, 32), 8 * KB);
    done(g);
}

static void
a_missing_field_is_unknown_and_not_zero(void **state)
{
    struct gauge *g = open_gauge();

    (void)state;
    sample(g, 9 * KB, 1, 12);
    sample(g, GAUGE_UNKNOWN, GAUGE_UNKNOWN, 14);
    assert_int_equal(upper(g, 14), 9 * KB);
    assert_int_equal(view(g, 14).sample_age_us, S(2));
    assert_true(upper(g, 12 + STALE + 1) == GAUGE_UNKNOWN);
    assert_int_equal(view(g, 12 + STALE + 1).why, GAUGE_STALE);
    done(g);
}

static void
a_queue_that_is_gone_is_unknown_until_a_sample_shows_another(void **state)
{
    struct gauge *g = open_gauge();

    (void)state;
    sample(g, 9 * KB, 1, 12);
    gauge_gone(g, S(13));
    assert_true(upper(g, 13) == GAUGE_UNKNOWN);
    assert_int_equal(view(g, 60).why, GAUGE_GONE);
    sample(g, KB, 1, 61);
    assert_int_equal(upper(g, 61), KB);
    done(g);
}

static void
a_refused_configuration_changes_nothing(void **state)
{
    const struct gauge_config bad = {0, S(1), 0, true, true, 0}, few = {S(1), S(1), 0, true, true, 3};
    struct gauge *g = open_gauge();
    struct err err = {0};

    (void)state;
    assert_int_equal(gauge_configure(g, &bad, S(1), &err), -1);
    assert_int_equal(err.code, ERR_CONFIG);
    assert_int_equal(gauge_configure(g, &few, S(1), &err), -1);
    assert_int_equal(view(g, 1).lag_us, S(LAG));
    done(g);
}

/* --- the bound of samples --- */

static void
what_was_confirmed_within_lag_before_the_sample_comes_on_top(void **state)
{
    struct gauge *g = open_gauge();

    (void)state;
    put(g, 1 * KB, 15);
    put(g, 2 * KB, 25);
    sample(g, 500, 1, 30);
    assert_int_equal(upper(g, 30), 500 + 2 * KB);
    put(g, 4 * KB, 31);
    assert_int_equal(upper(g, 31), 500 + 6 * KB);
    done(g);
}

static void
a_message_that_was_published_long_ago_and_confirmed_lately_comes_on_top(void **state)
{
    struct gauge *g = open_gauge();
    const uint64_t id = publish(g, 3 * KB, 12);

    (void)state;
    gauge_taken(g, id, 3 * KB, 1, S(29));
    sample(g, 0, 0, 30);
    assert_int_equal(upper(g, 30), 3 * KB);
    sample(g, 500, 1, 39.5);
    assert_int_equal(upper(g, 39.5), 500);
    done(g);
}

static void
reserved_bytes_count_at_once_and_until_they_are_cancelled(void **state)
{
    struct gauge *g = open_gauge();
    uint64_t id;

    (void)state;
    sample(g, 0, 0, 12);
    id = reserve(g, 5 * KB, 13);
    assert_int_equal(upper(g, 13), 5 * KB);
    assert_int_equal(view(g, 13).reserved, 5 * KB);
    gauge_cancel(g, id);
    assert_int_equal(upper(g, 13), 0);
    id = reserve(g, 5 * KB, 14);
    gauge_commit(g, id, S(14));
    gauge_cancel(g, id); /* too late */
    assert_int_equal(view(g, 14).flying, 5 * KB);
    assert_int_equal(upper(g, 14), 5 * KB);
    done(g);
}

static void
a_bundle_is_answered_for_in_parts(void **state)
{
    struct gauge *g = open_gauge();
    struct err err;
    uint64_t id;

    (void)state;
    sample(g, 0, 0, 12);
    assert_int_equal(gauge_reserve(g, 6 * KB, 3, 3 * KB, S(13), &id, &err), 0);
    gauge_commit(g, id, S(13));
    gauge_taken(g, id, 1 * KB, 1, S(13));
    gauge_refused(g, id, 2 * KB, 1);
    assert_int_equal(upper(g, 14), 4 * KB);
    gauge_taken(g, id, 3 * KB, 1, S(14));
    gauge_taken(g, id, 3 * KB, 1, S(14)); /* it ended */
    assert_int_equal(upper(g, 14), 4 * KB);
    assert_int_equal(view(g, 14).flying, 0);
    done(g);
}

static void
what_was_lost_with_a_connection_counts_until_it_cannot_come_any_more(void **state)
{
    struct gauge *g = open_gauge();
    const uint64_t id = publish(g, 3 * KB, 12);

    (void)state;
    gauge_lost(g, id);
    sample(g, 0, 0, 100);
    assert_int_equal(upper(g, 100), 3 * KB); /* the broker may take it when it wakes up */
    gauge_back(g, S(101));
    sample(g, 1, 1, 110);
    assert_int_equal(upper(g, 110), 3 * KB + 1);
    sample(g, 0, 0, 101 + LATE + LAG + 1);
    assert_int_equal(upper(g, 101 + LATE + LAG + 1), 0);
    done(g);
}

static void
an_older_answer_that_comes_later_is_ignored(void **state)
{
    const struct gauge_sample late = {S(13), 0, 0, 0, GAUGE_UNKNOWN};
    struct gauge *g = open_gauge();

    (void)state;
    sample(g, 8 * KB, 1, 14);
    gauge_take_sample(g, &late, S(15));
    assert_int_equal(upper(g, 15), 8 * KB);
    done(g);
}

/* --- the bound of counts --- */

static void
a_count_lowers_upper_to_the_newest_messages_and_the_largest_that_may_be_unacked(void **state)
{
    struct gauge *g = bounded_gauge(1);

    (void)state;
    put(g, 50 * KB, 13);
    put(g, 20 * KB, 13.1);
    put(g, 3 * KB, 13.2);
    put(g, 2 * KB, 13.3);
    assert_true(upper(g, 14) >= 75 * KB);
    count(g, 2, 14);
    assert_int_equal(upper(g, 14), 5 * KB + 50 * KB); /* 50 may be held since long */
    assert_int_equal(view(g, 14).upper_from, GAUGE_FROM_COUNT);
    publish(g, 7 * KB, 14.5);
    assert_int_equal(upper(g, 14.5), 62 * KB);
    done(g);
}

static void
what_was_not_confirmed_when_the_count_was_asked_for_is_not_lowered(void **state)
{
    struct gauge *g = bounded_gauge(1);
    uint64_t id;

    (void)state;
    put(g, 50 * KB, 13);
    put(g, 60 * KB, 13);
    id = publish(g, 9 * KB, 13);
    gauge_taken(g, id, 9 * KB, 1, S(14.1));
    gauge_take_count(g, &(struct gauge_count){S(14), 0, 1}, S(14.2));
    assert_int_equal(upper(g, 14.2), 60 * KB + 9 * KB);
    done(g);
}

static void
a_count_lowers_nothing_where_consumers_hold_without_bound(void **state)
{
    struct gauge *g = bounded_gauge(1);

    (void)state;
    put(g, 50 * KB, 13);
    bounded(g, GAUGE_UNKNOWN, 1, 13.5);
    count(g, 0, 14);
    assert_true(upper(g, 14) >= 50 * KB);
    assert_true(view(g, 14).unacked_max == GAUGE_UNKNOWN);
    done(g);
}

static void
a_count_lowers_nothing_where_others_publish_or_order_is_not_kept(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct gauge *g = open_with(i == 0, i != 0, 0);

        bounded(g, 1, 1, 0);
        sample(g, 0, 0, 12);
        put(g, 50 * KB, 13);
        count(g, 0, 14);
        assert_int_equal(upper(g, 14), 50 * KB);
        assert_false(gauge_count_worth(g, 50 * KB, S(14)));
        done(g);
    }
}

static void
a_count_with_another_number_of_consumers_lowers_nothing(void **state)
{
    struct gauge *g = bounded_gauge(1);

    (void)state;
    put(g, 50 * KB, 13);
    put(g, 60 * KB, 13);
    gauge_take_count(g, &(struct gauge_count){S(14), 0, 2}, S(14));
    assert_true(upper(g, 14) >= 110 * KB);
    count(g, 0, 14.5);
    assert_int_equal(upper(g, 14.5), 60 * KB);
    done(g);
}

static void
nothing_ready_and_nobody_there_is_no_answer(void **state)
{
    struct gauge *g = bounded_gauge(1);

    (void)state;
    bounded(g, 0, 0, 12.5);
    put(g, 50 * KB, 13);
    gauge_take_count(g, &(struct gauge_count){S(14), 0, 0}, S(14));
    assert_true(upper(g, 14) >= 50 * KB);
    done(g);
}

static void
a_bound_that_fell_holds_once_something_new_was_delivered(void **state)
{
    struct gauge *g = bounded_gauge(3);

    (void)state;
    for (int i = 0; i < 3; i++)
        put(g, 50 * KB, 13);
    bounded(g, 1, 1, 14); /* the other went, and what it held was given back */
    count(g, 3, 14.1);
    assert_int_equal(view(g, 14.1).unacked_max, 3);
    for (int i = 0; i < 4; i++)
        put(g, 1, 15);
    count(g, 3, 16); /* seven came, and at most four are left: one of the new ones was delivered */
    assert_int_equal(view(g, 16).unacked_max, 1);
    done(g);
}

static void
messages_from_before_our_start_weigh_what_samples_leave_for_them(void **state)
{
    struct gauge *g = open_gauge();

    (void)state;
    bounded(g, 1, 1, 0);
    sample(g, 30 * KB, 3, 12);
    for (int i = 0; i < 4; i++)
        put(g, KB, 13);
    count(g, 2, 14); /* more came than are left, but the one that is held may be an old one */
    assert_int_equal(upper(g, 14), 2 * KB + KB + 30 * KB);
    sample(g, 2 * KB, 2, 30);
    count(g, 2, 30.1);
    assert_int_equal(upper(g, 30.1), 2 * KB);
    done(g);
}

static void
a_lost_message_may_lie_anywhere_and_takes_no_other_message_s_place(void **state)
{
    struct gauge *g = bounded_gauge(0);
    const uint64_t id = publish(g, 9 * KB, 13);

    (void)state;
    put(g, 2 * KB, 13.1);
    put(g, 3 * KB, 13.2);
    gauge_lost(g, id);
    gauge_back(g, S(13.5));
    count(g, 2, 15); /* the two, or one of them and the lost one */
    assert_int_equal(upper(g, 15), 14 * KB);
    done(g);
}

static void
a_count_is_worth_it_only_where_it_can_open_the_gate(void **state)
{
    struct gauge *g = bounded_gauge(1);

    (void)state;
    put(g, 10 * KB, 13);
    for (int i = 0; i < 9; i++)
        put(g, 10 * KB, 13);
    assert_false(gauge_count_worth(g, 200 * KB, S(14))); /* open as it is */
    assert_true(gauge_count_worth(g, 100 * KB, S(14)));
    assert_true(gauge_count_worth(g, 110 * KB, S(14))); /* nearly shut */
    assert_false(gauge_count_worth(g, 10 * KB, S(14))); /* the one that may be held is enough */
    publish(g, 100 * KB, 14);
    assert_false(gauge_count_worth(g, 100 * KB, S(14)));
    done(g);
}

static void
more_unacked_than_the_bound_ends_the_use_of_counts(void **state)
{
    const struct gauge_sample s = {S(30), 50 * KB, 9, 5, GAUGE_UNKNOWN};
    struct gauge *g = bounded_gauge(1);

    (void)state;
    for (int i = 0; i < 9; i++)
        put(g, 10 * KB, 13);
    count(g, 1, 14);
    assert_int_equal(gauge_take_sample(g, &s, S(30)) & GAUGE_N_UNBOUNDED, GAUGE_N_UNBOUNDED);
    bounded(g, 1, 1, 30.1);
    count(g, 1, 30.2);
    assert_int_equal(view(g, 30.2).upper_from, GAUGE_FROM_SAMPLE);
    done(g);
}

/* --- doubts --- */

static void
a_rise_that_older_publishes_explain_means_that_the_sample_was_too_old(void **state)
{
    struct gauge *g = open_gauge();
    struct gauge_view v;

    (void)state;
    put(g, 40 * KB, 15);
    assert_int_equal(sample(g, 0, 0, 30), 0);
    assert_int_equal(upper(g, 30), 0);
    assert_int_equal(sample(g, 40 * KB, 1, 35), GAUGE_N_LAG);
    v = view(g, 35);
    assert_int_equal(v.why, GAUGE_LAGGING);
    assert_true(v.upper == GAUGE_UNKNOWN);
    assert_in_range(v.lag_us, S(15), S(20));
    assert_int_equal(v.lag_broken, 1);
    sample(g, 40 * KB, 1, 50);
    assert_true(upper(g, 50) == GAUGE_UNKNOWN);
    put(g, KB, 52);
    sample(g, 39 * KB, 1, 60);
    assert_int_equal(upper(g, 60), 40 * KB);
    done(g);
}

static void
a_count_above_all_that_can_be_there_means_it_too(void **state)
{
    struct gauge *g = open_with(false, false, 0);

    (void)state;
    for (int i = 0; i < 5; i++)
        put(g, KB, 15);
    assert_int_equal(sample(g, 0, 0, 30), 0);
    assert_int_equal(count(g, 0, 31), 0);
    assert_int_equal(count(g, 4, 32), GAUGE_N_LAG);
    done(g);
}

static void
a_rise_that_nothing_of_ours_explains_is_another_publisher(void **state)
{
    struct gauge *g = bounded_gauge(1);
    struct gauge_view v;

    (void)state;
    put(g, 2 * KB, 20);
    assert_int_equal(sample(g, 9 * KB, 3, 25), GAUGE_N_FOREIGN);
    v = view(g, 25);
    assert_int_equal(v.drift, GAUGE_N_FOREIGN);
    assert_int_equal(v.drift_bytes, 7 * KB);
    assert_int_equal(v.lag_broken, 0);
    assert_int_equal(v.upper, 11 * KB);
    count(g, 0, 26); /* not ours alone: worth nothing now */
    assert_int_equal(upper(g, 26), 11 * KB);
    done(g);
}

static void
where_nobody_consumes_a_fall_is_a_purge(void **state)
{
    struct gauge *g = open_gauge();

    (void)state;
    bounded(g, 0, 0, 1);
    sample(g, 90 * KB, 9, 12);
    assert_int_equal(sample(g, 10 * KB, 1, 17), GAUGE_N_FELL);
    assert_int_equal(view(g, 17).drift_bytes, -80 * KB);
    assert_int_equal(upper(g, 17), 10 * KB);
    done(g);
}

static void
a_sample_that_only_repeats_itself_lets_nothing_be_forgotten(void **state)
{
    struct gauge *g = open_gauge();
    unsigned news = 0;

    (void)state;
    sample(g, 4 * KB, 4, 12);
    for (int at = 13; at < 60; at++) {
        put(g, KB, at);
        news |= sample(g, 4 * KB, 4, at + 0.5);
    }
    assert_int_equal(news, GAUGE_N_DEAD);
    assert_int_equal(upper(g, 60), 4 * KB + 47 * KB);
    assert_int_equal(view(g, 60).drift, GAUGE_N_DEAD);
    assert_true(view(g, 60).drift_bytes < 0);
    done(g);
}

static void
a_count_that_agrees_makes_a_repeated_sample_new(void **state)
{
    struct gauge *g = open_with(false, false, 0);

    (void)state;
    sample(g, 0, 0, 12);
    for (int at = 13; at < 60; at++) {
        put(g, KB, at);
        sample(g, 0, 0, at + 0.5);
    }
    assert_int_equal(upper(g, 60), 47 * KB);
    assert_false(gauge_count_worth(g, 200 * KB, S(60)));
    assert_true(gauge_count_worth(g, 50 * KB, S(60)));
    count(g, 1, 60);
    assert_int_equal(upper(g, 60), 10 * KB);
    done(g);
}

/* Nothing is ready because one consumer holds it all: that proves nothing of statistics that stand still. */
static void
a_count_says_nothing_of_what_consumers_hold_without_bound(void **state)
{
    struct gauge *g = open_with(false, false, 0);

    (void)state;
    sample(g, 4 * KB, 4, 12);
    for (int at = 13; at < 60; at++) {
        put(g, KB, at);
        sample(g, 4 * KB, 4, at + 0.5);
        count(g, 0, at + 0.7);
    }
    assert_int_equal(upper(g, 60), 4 * KB + 47 * KB);
    done(g);
}

static void
worked(struct gauge *g, uint64_t bytes, uint64_t messages, uint64_t work, double at)
{
    const struct gauge_sample s = {S(at), bytes, messages, GAUGE_UNKNOWN, work};

    gauge_take_sample(g, &s, S(at));
}

/* The queue was empty when its statistics stopped, and one consumer takes all and acks nothing. */
static void
an_empty_queue_whose_statistics_stand_still_is_not_believed_to_be_empty(void **state)
{
    struct gauge *g = open_with(false, false, 0);

    (void)state;
    worked(g, 0, 0, 7, 12);
    for (int at = 13; at < 60; at++) {
        put(g, KB, at);
        worked(g, 0, 0, at % 3 == 0 ? GAUGE_UNKNOWN : 7, at + 0.5);
        count(g, 0, at + 0.7);
    }
    assert_int_equal(upper(g, 60), 47 * KB);
    assert_int_equal(view(g, 60).drift, GAUGE_N_DEAD);
    done(g);
}

/* The last figure was made at 29.9 and seen at 30.5, and between the two 50 bundles were confirmed. */
static void
what_was_confirmed_before_statistics_stopped_is_not_forgotten(void **state)
{
    struct gauge *g = open_with(false, false, 0);

    (void)state;
    worked(g, 0, 0, 6, 12);
    worked(g, 0, 0, 6, 13);
    for (int i = 0; i < 50; i++)
        put(g, 100 * KB, 30.0 + i * 0.001);
    worked(g, 0, 0, 7, 30.5);
    for (int i = 2; i < 14 * LAG; i++) {
        const double at = 30 + i / 2.0;

        worked(g, 0, 0, 7, at);
        count(g, 0, at + 0.1);
        assert_int_equal(upper(g, at + 0.2), 5000 * KB);
    }
    assert_int_equal(view(g, 30 + 7 * LAG).drift, GAUGE_N_DEAD);
    done(g);
}

/* A count is work for the queue, too. */
static void
where_statistics_go_on_the_next_figure_says_that_it_is_empty(void **state)
{
    struct gauge *g = open_with(false, false, 0);

    (void)state;
    worked(g, 0, 0, 6, 12);
    put(g, 5000 * KB, 30.0);
    worked(g, 0, 0, 7, 30.5);
    for (int i = 2; i < 24; i++)
        worked(g, 0, 0, 7, 30 + i / 2.0);
    assert_int_equal(upper(g, 42), 5000 * KB);
    assert_true(gauge_count_worth(g, 4000 * KB, S(42)));
    count(g, 0, 42);
    worked(g, 0, 0, 8, 46);
    assert_int_equal(upper(g, 46), 0);
    done(g);
}

static void
a_queue_that_worked_and_is_empty_is_empty_without_a_count(void **state)
{
    struct gauge *g = open_with(false, false, 0);

    (void)state;
    for (int at = 12; at < 60; at++) {
        worked(g, 0, 0, (uint64_t)at, at);
        put(g, KB, at + 0.5);
    }
    assert_in_range(upper(g, 60), KB, (LAG + 2) * KB);
    assert_int_equal(view(g, 60).drift, 0);
    done(g);
}

static void
what_a_repeated_sample_should_have_shown_means_that_it_was_too_old(void **state)
{
    struct gauge *g = open_gauge();
    unsigned news = 0;

    (void)state;
    sample(g, 0, 0, 12);
    put(g, 40 * KB, 15);
    for (int at = 16; at < 40; at++)
        news |= sample(g, 0, 0, at);
    assert_int_equal(news, 0);
    assert_int_equal(upper(g, 39), 40 * KB);
    assert_int_equal(sample(g, 40 * KB, 1, 40), GAUGE_N_LAG);
    assert_in_range(view(g, 40).lag_us, S(24), S(40));
    done(g);
}

static void
after_a_long_silence_a_repeated_sample_is_believed(void **state)
{
    struct gauge *g = open_gauge();
    int at;

    (void)state;
    sample(g, 0, 0, 12);
    put(g, KB, 13);
    for (at = 14; at < 13 + 8 * LAG; at++)
        sample(g, 0, 0, at);
    assert_int_equal(upper(g, at), KB);
    sample(g, 0, 0, 14 + 8 * LAG);
    assert_int_equal(upper(g, 14 + 8 * LAG), 0);
    done(g);
}

static void
a_new_configuration_forgets_the_raised_lag(void **state)
{
    const struct gauge_config cfg = {S(2 * LAG), S(STALE), S(LATE), true, true, 0};
    struct gauge *g = open_gauge();
    struct err err;

    (void)state;
    put(g, 40 * KB, 15);
    sample(g, 0, 0, 30);
    sample(g, 40 * KB, 1, 35);
    assert_int_equal(gauge_configure(g, &cfg, S(36), &err), 0);
    assert_int_equal(view(g, 36).lag_us, S(2 * LAG));
    assert_int_equal(upper(g, 36), 80 * KB);
    done(g);
}

/* --- people --- */

static void
a_steady_drain_is_foretold(void **state)
{
    struct gauge *g = open_gauge();
    struct gauge_drain d;

    (void)state;
    for (int i = 0; i < 10; i++)
        sample(g, (uint64_t)(1000 - 10 * i) * KB, 100, 12 + 5 * i);
    gauge_drain(g, 500 * KB, S(57), &d);
    assert_true(d.known && d.draining);
    assert_in_range(d.rate, 1900, 2100);
    assert_in_range(d.within_us, S(190), S(210)); /* 910 KB, less what was taken in a quarter of lag */
    gauge_drain(g, 950 * KB, S(57), &d);
    assert_int_equal(d.within_us, 0);
    done(g);
}

static void
a_queue_that_does_not_drain_says_so(void **state)
{
    struct gauge *g = open_gauge();
    struct gauge_drain d;

    (void)state;
    gauge_drain(g, 0, S(1), &d);
    assert_false(d.known);
    assert_int_equal(d.within_us, -1);
    for (int i = 0; i < 10; i++)
        sample(g, 1000 * KB, 100, 12 + 5 * i);
    gauge_drain(g, 500 * KB, S(57), &d);
    assert_true(d.known);
    assert_false(d.draining);
    assert_int_equal(d.within_us, -1);
    done(g);
}

static void
the_estimate_lies_between_what_is_on_its_way_and_upper(void **state)
{
    struct gauge *g = open_gauge();
    struct gauge_view v;

    (void)state;
    for (int i = 0; i < 10; i++)
        sample(g, (uint64_t)(100 - 10 * i) * KB, 10 - (uint64_t)i, 12 + 5 * i);
    publish(g, 3 * KB, 57);
    v = view(g, 57);
    assert_int_equal(v.upper, 13 * KB);
    assert_in_range(v.estimate, 3 * KB, 12 * KB);
    done(g);
}

/* --- memory --- */

static void
an_idle_gauge_is_small_and_a_busy_one_bounded(void **state)
{
    struct gauge *g = open_gauge();
    const uint64_t idle = gauge_size(g);

    (void)state;
    assert_true(idle <= 640);
    sample(g, 0, 0, 12);
    for (int i = 0; i < 100000; i++)
        put(g, (uint64_t)(i * 37 % 5000), 13 + i / 10000.0);
    assert_true(gauge_size(g) <= 32 * KB + idle);
    assert_null(gauge_check(g));
    sample(g, 1, 1, 40);
    sample(g, 0, 0, 500);
    assert_int_equal(gauge_size(g), idle);
    done(g);
}

static void
joined_entries_never_lower_a_bound(void **state)
{
    (void)state;
    for (uint32_t entries = 4; entries <= 64; entries *= 2) {
        struct ledger exact = {.most = LEDGER_MOST}, joined = {.most = entries};

        for (uint64_t i = 1; i <= LEDGER_MOST; i++) {
            const struct entry e = {.first = i,
                                    .last = i,
                                    .settled_us = (int64_t)i,
                                    .bytes = i * 7919 % 1000,
                                    .messages = 1,
                                    .largest = i * 7919 % 1000};

            assert_true(ledger_room(&exact) && ledger_room(&joined));
            ledger_put(&exact, &e);
            ledger_put(&joined, &e);
            assert_null(ledger_check(&joined));
        }
        assert_true(exact.n == LEDGER_MOST && joined.n <= entries);
        for (uint64_t n = 0; n <= LEDGER_MOST; n += 31) {
            uint64_t low, high;

            assert_true(ledger_since(&joined, (int64_t)n).bytes >= ledger_since(&exact, (int64_t)n).bytes);
            assert_true(ledger_tail(&exact, INT64_MAX, n, n / 3, &low));
            assert_true(ledger_tail(&joined, INT64_MAX, n, n / 3, &high));
            assert_true(high >= low);
            assert_true(ledger_tail_least(&joined, INT64_MAX, n) <= ledger_tail_least(&exact, INT64_MAX, n));
        }
        assert_false(ledger_tail(&joined, INT64_MAX, LEDGER_MOST + 1, 0, &(uint64_t){0}));
        ledger_free(&exact);
        ledger_free(&joined);
    }
}

static void
a_late_confirm_finds_its_place_among_joined_entries(void **state)
{
    struct ledger l = {.most = 8};
    uint64_t bytes;

    (void)state;
    for (uint64_t i = 1; i <= 100; i++) {
        const struct entry e = {i, i, (int64_t)i, 10, 1, 0, 10};

        if (i == 50)
            continue;
        assert_true(ledger_room(&l));
        ledger_put(&l, &e);
    }
    assert_true(ledger_room(&l));
    ledger_put(&l, &(struct entry){50, 50, 200, 5000, 1, 0, 5000});
    assert_null(ledger_check(&l));
    assert_int_equal(l.messages, 100);
    assert_true(ledger_tail(&l, INT64_MAX, 60, 0, &bytes));
    assert_true(bytes >= 5000 + 59 * 10);
    ledger_free(&l);
}

static void
too_many_open_bundles_are_refused(void **state)
{
    struct gauge *g = open_gauge();
    struct err err = {0};
    uint64_t id;

    (void)state;
    for (uint32_t i = 0; i < GAUGE_OPEN_MAX; i++)
        reserve(g, 1, 1);
    assert_int_equal(gauge_reserve(g, 1, 1, 1, S(1), &id, &err), -1);
    assert_int_equal(err.code, ERR_FULL);
    done(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_sample_nothing_is_known),
        cmocka_unit_test(after_our_start_a_sample_counts_only_if_it_was_asked_for_lag_later),
        cmocka_unit_test(after_a_start_of_the_broker_all_begins_again_and_an_early_zero_proves_nothing),
        cmocka_unit_test(a_missing_field_is_unknown_and_not_zero),
        cmocka_unit_test(a_queue_that_is_gone_is_unknown_until_a_sample_shows_another),
        cmocka_unit_test(a_refused_configuration_changes_nothing),
        cmocka_unit_test(what_was_confirmed_within_lag_before_the_sample_comes_on_top),
        cmocka_unit_test(a_message_that_was_published_long_ago_and_confirmed_lately_comes_on_top),
        cmocka_unit_test(reserved_bytes_count_at_once_and_until_they_are_cancelled),
        cmocka_unit_test(a_bundle_is_answered_for_in_parts),
        cmocka_unit_test(what_was_lost_with_a_connection_counts_until_it_cannot_come_any_more),
        cmocka_unit_test(an_older_answer_that_comes_later_is_ignored),
        cmocka_unit_test(a_count_lowers_upper_to_the_newest_messages_and_the_largest_that_may_be_unacked),
        cmocka_unit_test(what_was_not_confirmed_when_the_count_was_asked_for_is_not_lowered),
        cmocka_unit_test(a_count_lowers_nothing_where_consumers_hold_without_bound),
        cmocka_unit_test(a_count_lowers_nothing_where_others_publish_or_order_is_not_kept),
        cmocka_unit_test(a_count_with_another_number_of_consumers_lowers_nothing),
        cmocka_unit_test(nothing_ready_and_nobody_there_is_no_answer),
        cmocka_unit_test(a_bound_that_fell_holds_once_something_new_was_delivered),
        cmocka_unit_test(messages_from_before_our_start_weigh_what_samples_leave_for_them),
        cmocka_unit_test(a_lost_message_may_lie_anywhere_and_takes_no_other_message_s_place),
        cmocka_unit_test(a_count_is_worth_it_only_where_it_can_open_the_gate),
        cmocka_unit_test(more_unacked_than_the_bound_ends_the_use_of_counts),
        cmocka_unit_test(a_rise_that_older_publishes_explain_means_that_the_sample_was_too_old),
        cmocka_unit_test(a_count_above_all_that_can_be_there_means_it_too),
        cmocka_unit_test(a_rise_that_nothing_of_ours_explains_is_another_publisher),
        cmocka_unit_test(where_nobody_consumes_a_fall_is_a_purge),
        cmocka_unit_test(a_sample_that_only_repeats_itself_lets_nothing_be_forgotten),
        cmocka_unit_test(a_count_that_agrees_makes_a_repeated_sample_new),
        cmocka_unit_test(a_count_says_nothing_of_what_consumers_hold_without_bound),
        cmocka_unit_test(an_empty_queue_whose_statistics_stand_still_is_not_believed_to_be_empty),
        cmocka_unit_test(what_was_confirmed_before_statistics_stopped_is_not_forgotten),
        cmocka_unit_test(where_statistics_go_on_the_next_figure_says_that_it_is_empty),
        cmocka_unit_test(a_queue_that_worked_and_is_empty_is_empty_without_a_count),
        cmocka_unit_test(what_a_repeated_sample_should_have_shown_means_that_it_was_too_old),
        cmocka_unit_test(after_a_long_silence_a_repeated_sample_is_believed),
        cmocka_unit_test(a_new_configuration_forgets_the_raised_lag),
        cmocka_unit_test(a_steady_drain_is_foretold),
        cmocka_unit_test(a_queue_that_does_not_drain_says_so),
        cmocka_unit_test(the_estimate_lies_between_what_is_on_its_way_and_upper),
        cmocka_unit_test(an_idle_gauge_is_small_and_a_busy_one_bounded),
        cmocka_unit_test(joined_entries_never_lower_a_bound),
        cmocka_unit_test(a_late_confirm_finds_its_place_among_joined_entries),
        cmocka_unit_test(too_many_open_bundles_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
