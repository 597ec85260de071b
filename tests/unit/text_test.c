/* text_test.c - which outside text is fit to be used, and how it is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "text.h"

struct bytes {
    const char *at;
    size_t      len;
};
#define RAW(s) s, sizeof(s) - 1

static void
ids_are_short_lower_case_words(void **state)
{
    static const char *const good[] = {"a", "0", "cisa-kev", "a.b_c-d", "9-"};
    static const char *const bad[] = {"", "-a", ".a", "_a", "A", "a b", "a/b", "\xC3\xA9", "aB", "a\n"};
    char longest[TEXT_ID_MAX + 1];
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(text_is_id(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(text_is_id(bad[i], strlen(bad[i])));
    memset(longest, 'a', sizeof(longest));
    assert_true(text_is_id(longest, TEXT_ID_MAX));
    assert_false(text_is_id(longest, TEXT_ID_MAX + 1));
    assert_false(text_is_id("a\0b", 3));
}

static void
utf8_is_judged_strictly(void **state)
{
    static const struct bytes good[] = {
        {RAW("")}, {RAW("plain")}, {RAW("\xC2\x80")}, {RAW("\xDF\xBF")}, {RAW("\xE0\xA0\x80")}, {RAW("\xED\x9F\xBF")},
        {RAW("\xEE\x80\x80")}, {RAW("\xEF\xBF\xBF")}, {RAW("\xF0\x90\x80\x80")}, {RAW("\xF4\x8F\xBF\xBF")},
    };
    static const struct bytes bad[] = {
        {RAW("\0")}, {RAW("a\0b")},                              /* NUL */
        {RAW("\x80")}, {RAW("\xBF")},                            /* a continuation alone */
        {RAW("\xC3")}, {RAW("\xE2\x82")}, {RAW("\xF0\x9F\x98")}, /* cut short */
        {RAW("\xC3(")}, {RAW("\xE2(\x82")}, {RAW("\xF0\x9F(\x98")},
        {RAW("\xC0\xAF")}, {RAW("\xC1\xBF")}, {RAW("\xE0\x80\xAF")}, {RAW("\xE0\x9F\xBF")}, /* overlong */
        {RAW("\xF0\x80\x80\xAF")}, {RAW("\xF0\x8F\xBF\xBF")},
        {RAW("\xED\xA0\x80")}, {RAW("\xED\xBF\xBF")},                            /* surrogates */
        {RAW("\xF4\x90\x80\x80")}, {RAW("\xF5\x80\x80\x80")}, {RAW("\xFF")}, {RAW("\xFE")}, /* beyond */
        {RAW("\xF8\x88\x80\x80\x80")},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(text_is_utf8(good[i].at, good[i].len));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(text_is_utf8(bad[i].at, bad[i].len));
}

static void
text_is_shown_on_one_line_whatever_it_holds(void **state)
{
    static const struct {
        struct bytes text;
        const char  *shown;
    } cases[] = {
        {{RAW("")}, ""},
        {{RAW("plain text")}, "plain text"},
        {{RAW("caf\xC3\xA9 \xF0\x9F\x98\x80")}, "caf\xC3\xA9 \xF0\x9F\x98\x80"},
        {{RAW("a\nb\tc")}, "a\\nb\\tc"},
        {{RAW("say \"x\\y\"")}, "say \\\"x\\\\y\\\""},
        {{RAW("\x1B[31m\r\x7F")}, "\\x1b[31m\\x0d\\x7f"},
        {{RAW("a\0b")}, "a\\x00b"},
        {{RAW("\xC2\x9B[J")}, "\\xc2\\x9b[J"},               /* C1: the CSI of eight-bit terminals */
        {{RAW("\xE2\x80\xAE\xE2\x80\xAC")}, "\\xe2\\x80\\xae\\xe2\\x80\\xac"}, /* right-to-left override, and its end */
        {{RAW("\xE2\x81\xA6\xE2\x81\xA9")}, "\\xe2\\x81\\xa6\\xe2\\x81\\xa9"}, /* isolate, and its end */
        {{RAW("\xD8\x9C")}, "\\xd8\\x9c"},               /* Arabic letter mark */
        {{RAW("\xE2\x80\xA8")}, "\\xe2\\x80\\xa8"},      /* line separator */
        {{RAW("\xFFok\xC3")}, "\\xffok\\xc3"},
    };
    char buf[100];
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(text_show(cases[i].text.at, cases[i].text.len, buf, sizeof(buf)), cases[i].shown);
}

static void
shown_text_is_cut_between_characters_at_every_size(void **state)
{
    static const char text[] = "ab\xC3\xA9\n\x01\xF0\x9F\x98\x80yz";
    char whole[64], buf[64];
    (void)state;

    text_show(text, sizeof(text) - 1, whole, sizeof(whole));
    for (size_t cap = 4; cap <= strlen(whole) + 1; cap++) {
        memset(buf, '#', sizeof(buf));
        text_show(text, sizeof(text) - 1, buf, cap);
        const size_t len = strlen(buf);
        assert_true(len < cap);
        assert_int_equal(buf[cap], '#'); /* nothing is written beyond cap */
        assert_true(text_is_utf8(buf, len));
        if (cap == strlen(whole) + 1) {
            assert_string_equal(buf, whole);
        } else {
            assert_string_equal(buf + len - 3, "...");
            assert_memory_equal(buf, whole, len - 3);
        }
    }
}

static void
text_is_one_json_string_whatever_it_holds(void **state)
{
    static const char text[] = "a\"\\\n\x01\xC3\xA9\xE2\x80\xA8\xFFz";
    char one[TEXT_ESCAPE_MAX], whole[64];
    size_t n = 0, used;
    (void)state;

    for (size_t i = 0; i < sizeof(text) - 1; i += used) {
        const size_t more = text_json(text + i, sizeof(text) - 1 - i, &used, one);
        memcpy(whole + n, one, more);
        n += more;
    }
    whole[n] = '\0';
    assert_string_equal(whole, "a\\\"\\\\\\n\\u0001\xC3\xA9\\u2028\xEF\xBF\xBDz");
}

static void
times_are_shown_in_utc_within_what_the_format_can_say(void **state)
{
    char buf[TEXT_TIME];
    (void)state;

    assert_string_equal(text_time(0, buf), "1970-01-01T00:00:00.000Z");
    assert_string_equal(text_time(1795223999999999, buf), "2026-11-21T01:19:59.999Z");
    assert_string_equal(text_time(-1, buf), "1970-01-01T00:00:00.000Z");
    assert_string_equal(text_time(INT64_MAX, buf), "9999-12-31T23:59:59.999Z");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_short_lower_case_words),
        cmocka_unit_test(utf8_is_judged_strictly),
        cmocka_unit_test(text_is_shown_on_one_line_whatever_it_holds),
        cmocka_unit_test(shown_text_is_cut_between_characters_at_every_size),
        cmocka_unit_test(text_is_one_json_string_whatever_it_holds),
        cmocka_unit_test(times_are_shown_in_utc_within_what_the_format_can_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
