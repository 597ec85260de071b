/* duration_test.c - durations mean here what they mean to OpenCTI's connectors: see docs/durations.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "duration.h"
#include "err.h"

struct accepted {
    const char *text;
    int64_t     s;
    int32_t     us;
};

static void
accept_all(const struct accepted *cases)
{
    for (; cases->text != NULL; cases++) {
        struct duration d = {-1, -1};
        struct err err = {.text = ""};
        if (duration_parse(cases->text, &d, &err) != 0)
            fail_msg("%s", err.text);
        if (d.s != cases->s || d.us != cases->us)
            fail_msg("%s is %jd s %d us", cases->text, (intmax_t)d.s, (int)d.us);
    }
}

/* Each is refused, the text says `why` where that is not NULL, and *ret is left alone. */
struct refused {
    const char *text, *why;
};

static void
refuse_all(const struct refused *cases)
{
    for (; cases->text != NULL; cases++) {
        struct duration d = {77, 7};
        struct err err = {.text = ""};
        if (duration_parse(cases->text, &d, &err) != -1)
            fail_msg("\"%s\" was accepted", cases->text);
        assert_int_equal(err.code, ERR_CONFIG);
        assert_int_equal(d.s, 77);
        if (strstr(err.text, "; write ") == NULL || (cases->why != NULL && strstr(err.text, cases->why) == NULL))
            fail_msg("%s", err.text);
    }
}

static void
zero_has_many_spellings(void **state)
{
    (void)state;
    accept_all((const struct accepted[]){
        {"0", 0, 0}, {"P0D", 0, 0}, {"PT0S", 0, 0}, {"PT0H", 0, 0}, {"P0Y", 0, 0}, {"P0W", 0, 0}, {"-P0D", 0, 0},
        {"+PT0S", 0, 0}, {"P0Y0M0DT0H0M0S", 0, 0}, {"PT0H0M0.000S", 0, 0}, {"00:00:00", 0, 0}, {"0 days", 0, 0},
        {"-00:00", 0, 0}, {0}});
    refuse_all((const struct refused[]){
        {"00", "write PT00S"}, {"0.0", "write PT0.0S"}, {"+0", "write PT0S"}, {"-0", "write -PT0S"}, {0}});
}

static void
parts_of_a_second_are_kept(void **state)
{
    (void)state;
    accept_all((const struct accepted[]){
        {"PT0.4S", 0, 400000}, {"PT0.9S", 0, 900000}, {"-PT0.5S", 0, -500000}, {"PT1.9S", 1, 900000},
        {"PT59.999S", 59, 999000}, {"-PT1.5S", -1, -500000}, {"PT0.000001S", 0, 1}, {"PT0.0000004S", 0, 0},
        {"PT0.0000005S", 0, 1}, {"PT0.9999995S", 1, 0}, {"PT0.99999949999999999999999999999S", 0, 999999}, {0}});
}

static void
a_number_without_a_unit_is_refused_with_its_spelling_in_seconds(void **state)
{
    (void)state;
    refuse_all((const struct refused[]){
        {"60", "write PT60S"}, {"3600", "write PT3600S"}, {"-5", "write -PT5S"}, {"1e3", "write PT5M for five minutes"},
        {"3600.7", "write PT3600.7S"}, {0}});
}

static void
years_months_and_weeks_have_fixed_lengths(void **state)
{
    (void)state;
    accept_all((const struct accepted[]){
        {"P1Y", 31536000, 0}, {"P1M", 2592000, 0}, {"P12M", 31104000, 0}, {"P1W", 604800, 0}, {"P1D", 86400, 0},
        {"P1Y1M1W1D", 34819200, 0}, {"P18Y9W4DT11H9M8S", 573476948, 0}, {0}});
}

static void
order_is_free_and_repeats_add_up(void **state)
{
    (void)state;
    accept_all((const struct accepted[]){
        {"P1D2W", 1296000, 0}, {"PT1M1H", 3660, 0}, {"P1Y1Y", 63072000, 0}, {"PT1H1H", 7200, 0}, {"P1WT1H", 608400, 0},
        {0}});
}

static void
only_the_last_number_may_have_a_fraction(void **state)
{
    (void)state;
    accept_all((const struct accepted[]){
        {"P1.5D", 129600, 0}, {"P1,5D", 129600, 0}, {"P0.1Y", 3153600, 0}, {"PT1.5H", 5400, 0}, {"PT5.S", 5, 0},
        {"P0.7D", 60480, 0}, {"P0.5DT", 43200, 0}, {"PT0.1M", 6, 0}, {"P0.3Y", 9460800, 0}, {0}});
    refuse_all((const struct refused[]){
        {"P1.5DT1.5H", "only the last number"}, {"P1.5DT1H", "only the last number"}, {"PT.5S", "digit is missing"},
        {0}});
}

static void
large_units_are_not_normalised(void **state)
{
    (void)state;
    accept_all((const struct accepted[]){
        {"PT90M", 5400, 0}, {"PT24H", 86400, 0}, {"P1DT24H", 172800, 0}, {"PT100000H", 360000000, 0}, {0}});
}

static void
a_sign_stands_in_front_only(void **state)
{
    (void)state;
    accept_all((const struct accepted[]){{"-PT5M", -300, 0}, {"+P1D", 86400, 0}, {"-1 day", -86400, 0}, {0}});
    refuse_all((const struct refused[]){
        {"P-1D", "sign"}, {"PT+5M", "sign"}, {"P1DT-1H", "sign"}, {"--P1D", NULL}, {"-+P1D", NULL}, {"-", NULL},
        {"+", NULL}, {"1 day, -01:00", NULL}, {0}});
}

static void
case_and_spaces_count(void **state)
{
    (void)state;
    refuse_all((const struct refused[]){
        {"p1d", "write P1D"}, {"P1d", "write P1D"}, {"pt5m", "upper case; write PT5M"}, {"PT5m", "write PT5M"},
        {" PT5M", "space may stand before or after it; write PT5M"}, {"PT5M ", "after it; write PT5M"},
        {"PT 5M", NULL}, {"PT5M\n", "write PT5M"}, {0}});
}

static void
a_date_without_a_time_may_end_in_t_but_nothing_is_not_a_duration(void **state)
{
    (void)state;
    accept_all((const struct accepted[]){{"P1DT", 86400, 0}, {0}});
    refuse_all((const struct refused[]){
        {"", "empty"}, {"P", "missing"}, {"PT", "missing"}, {"-PT", "missing"}, {"PT5", "units after T"},
        {"P1", "units before T"}, {"P1H", "units before T"}, {"PT1D", "units after T"}, {"PT1HT1M", "only once"}, {0}});
}

static void
the_clock_form_has_hours_without_limit_and_minutes_below_sixty(void **state)
{
    (void)state;
    accept_all((const struct accepted[]){
        {"05:00:00", 18000, 0}, {"5:00:00", 18000, 0}, {"05:00", 18000, 0}, {"25:00:00", 90000, 0},
        {"100:00", 360000, 0},
        {"-1:00:00", -3600, 0}, {"01:30:15.5", 5415, 500000}, {"01:30:15,5", 5415, 500000}, {"00:00:59", 59, 0},
        {"2400000000:00", INT64_C(8640000000000), 0}, {0}});
    refuse_all((const struct refused[]){
        {"01:60", "at most 59"}, {"01:00:60", "at most 59"}, {"5:00", "five characters"}, {"01:5:00", "two digits"},
        {"01:00:", "two digits"}, {"01:00:00.", "digit must follow"}, {"01:00Z", "something follows"},
        {"2400000001:00", "too many hours"}, {"99999999999999:00", "too many hours"}, {"01-00-00", "neither"}, {0}});
}

static void
what_follows_the_microseconds_of_a_clock_is_not_looked_at(void **state)
{
    (void)state;
    accept_all((const struct accepted[]){{"00:00:01.1234569", 1, 123456}, {"00:00:01.123456Z", 1, 123456}, {0}});
    refuse_all((const struct refused[]){{"00:00:01.12345Z", "something follows"}, {0}});
}

static void
the_day_form_takes_d_day_or_days_and_a_time(void **state)
{
    (void)state;
    accept_all((const struct accepted[]){
        {"1 day", 86400, 0}, {"2 days", 172800, 0}, {"1d", 86400, 0}, {"1D", 86400, 0}, {"1 DAY", 86400, 0},
        {"1 d", 86400, 0}, {"1 Days", 86400, 0}, {"1 dAY", 86400, 0}, {"1 day, 02:00:00", 93600, 0},
        {"1d,02:00:00", 93600, 0},
        {"1 days 02:00:00", 93600, 0}, {"1d02:00", 93600, 0}, {"-1 day, 02:00:00", -93600, 0}, {"1 day, ", 86400, 0},
        {0}});
    refuse_all((const struct refused[]){
        {"1W", "write P1W"}, {"1 week", "write P1W"}, {"1 H", "write PT1H"}, {"1 daY", "write 1 DAY"},
        {"1 da", "day or days"},
        {"1  day", NULL}, {"1 day 24:00", "less than 24 hours"}, {"1 day, 1:00", "five characters"}, {0}});
}

static void
other_habits_are_refused_with_what_was_meant(void **state)
{
    (void)state;
    refuse_all((const struct refused[]){
        {"5m", "write PT5M"}, {"30s", "write PT30S"}, {"2h", "write PT2H"}, {"90 minutes", "write PT90M"},
        {"1.5 hours", "write PT1.5H"}, {"hourly", "write PT5M for five minutes"},
        {"1 week, 2 days", "write PT5M for"}, {0}});
}

static void
limits_are_those_of_python(void **state)
{
    (void)state;
    accept_all((const struct accepted[]){
        {"PT4294967295S", INT64_C(4294967295), 0}, {"P999999999D", INT64_C(86399999913600), 0},
        {"-P999999999D", INT64_C(-86399999913600), 0}, {"P999999999DT86399.999999S", INT64_C(86399999999999), 999999},
        {"PT4294967294.9999999S", INT64_C(4294967295), 0}, {0}});
    refuse_all((const struct refused[]){
        {"PT4294967296S", "too large"}, {"PT9999999999S", "too large"}, {"P1000000000D", "too large"},
        {"P999999999DT24H", "too large"}, {"-P999999999DT1S", "too large"}, {"-P999999999DT0.000001S", "too large"},
        {"P11767034Y", "too large"}, {"PT1193047H", "too large"}, {"PT4294967295S1S", "too large"},
        {"PT4294967295S1", "units after T"}, {"PT4294967295S1M", "too large"}, {"PT4294967295.9999999S", "too large"},
        {"P99999999999999999999999999999999D", "too large"}, {"NaN", NULL}, {"inf", NULL}, {"Infinity", NULL}, {0}});
}

static void
a_refusal_shows_hostile_text_escaped_and_cut(void **state)
{
    struct duration d;
    struct err err;
    char text[5000];
    (void)state;

    memset(text, '\n', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(duration_parse(text, &d, &err), -1);
    assert_null(strchr(err.text, '\n'));
    assert_non_null(strstr(err.text, "...\": "));
    assert_non_null(strstr(err.text, "P1D for a day"));
    assert_int_equal(duration_parse("x", &d, NULL), -1);
}

static void
the_short_form_is_digits_and_a_unit_or_iso_8601(void **state)
{
    static const struct {
        const char *text;
        int64_t     us;
    } cases[] = {
        {"0s", 0}, {"250ms", 250000}, {"7us", 7}, {"30s", 30000000}, {"5m", 300000000}, {"2h", INT64_C(7200000000)},
        {"1d", INT64_C(86400000000)}, {"3650d", INT64_C(315360000000000)}, {"PT0.25S", 250000}, {"P0D", 0}, {"-P0D", 0},
        {"P10Y", INT64_C(315360000000000)}, {"+PT1M", 60000000},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {.text = ""};
        int64_t us = -1;
        if (duration_parse_short(cases[i].text, &us, &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(us, cases[i].us);
    }
}

static void
the_short_form_refuses_what_is_negative_too_long_or_a_guess(void **state)
{
    static const struct refused cases[] = {
        {"", "empty"}, {"30", "unit is missing"}, {"0", "unit is missing"}, {"30S", "none of us"},
        {"30 s", "none of us"},
        {"1.5s", "1500ms"}, {"-1s", "negative"}, {"-PT1S", "negative"}, {"-PT0.1S", "negative"}, {"+1s", "neither"},
        {"3651d", "ten years"}, {"315360001s", "ten years"}, {"9223372036854775807us", "ten years"},
        {"9223372036854775808us", "ten years"}, {"P10YT0.000001S", "ten years"}, {"05:00:00", "none of us"},
        {"PT5", "units after T"}, {"s", "neither"}, {"1 day", "none of us"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {.text = ""};
        int64_t us = 77;
        if (duration_parse_short(cases[i].text, &us, &err) != -1)
            fail_msg("\"%s\" was accepted", cases[i].text);
        assert_int_equal(err.code, ERR_CONFIG);
        assert_int_equal(us, 77);
        if (strstr(err.text, cases[i].why) == NULL || strstr(err.text, "write 250ms, 30s") == NULL)
            fail_msg("%s", err.text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_has_many_spellings),
        cmocka_unit_test(parts_of_a_second_are_kept),
        cmocka_unit_test(a_number_without_a_unit_is_refused_with_its_spelling_in_seconds),
        cmocka_unit_test(years_months_and_weeks_have_fixed_lengths),
        cmocka_unit_test(order_is_free_and_repeats_add_up),
        cmocka_unit_test(only_the_last_number_may_have_a_fraction),
        cmocka_unit_test(large_units_are_not_normalised),
        cmocka_unit_test(a_sign_stands_in_front_only),
        cmocka_unit_test(case_and_spaces_count),
        cmocka_unit_test(a_date_without_a_time_may_end_in_t_but_nothing_is_not_a_duration),
        cmocka_unit_test(the_clock_form_has_hours_without_limit_and_minutes_below_sixty),
        cmocka_unit_test(what_follows_the_microseconds_of_a_clock_is_not_looked_at),
        cmocka_unit_test(the_day_form_takes_d_day_or_days_and_a_time),
        cmocka_unit_test(other_habits_are_refused_with_what_was_meant),
        cmocka_unit_test(limits_are_those_of_python),
        cmocka_unit_test(a_refusal_shows_hostile_text_escaped_and_cut),
        cmocka_unit_test(the_short_form_is_digits_and_a_unit_or_iso_8601),
        cmocka_unit_test(the_short_form_refuses_what_is_negative_too_long_or_a_guess),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
