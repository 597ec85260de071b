/* size_test.c - amounts of bytes are read exactly or refused with advice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "err.h"
#include "size.h"

static void
sizes_with_a_unit_are_read_exactly(void **state)
{
    static const struct {
        const char *text;
        uint64_t    bytes;
    } cases[] = {
        {"0B", 0},
        {"4096B", 4096},
        {"1kB", 1000},
        {"500MB", 500000000},
        {"10GB", 10000000000},
        {"2TB", 2000000000000},
        {"64KiB", 65536},
        {"64MiB", 67108864},
        {"10GiB", 10737418240},
        {"1TiB", 1099511627776},
        {"1.5GiB", 1610612736},
        {"0.1GB", 100000000},
        {"1.1GB", 1100000000},
        {"1.0B", 1},
        {"1.50000000000000000000000kB", 1500},
        {"0.000000000001TB", 1},
        {"0.25KiB", 256},
        {"0007B", 7},
        {"9223372036854775807B", INT64_MAX},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {.text = ""};
        uint64_t bytes = 1;
        if (size_parse(cases[i].text, &bytes, &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void
what_has_to_be_guessed_is_refused_and_says_why(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "begins with a digit"},
        {"500", "unit is missing"},
        {"500M", "unit is unknown"},
        {"500mb", "unit is unknown"},
        {"500KB", "unit is unknown"},
        {"500 MB", "no space"},
        {" 500MB", "begins with a digit"},
        {"-1B", "never negative"},
        {"+1B", "begins with a digit"},
        {"MB", "begins with a digit"},
        {".5MB", "begins with a digit"},
        {"1.MB", "digit must follow"},
        {"1,5MB", "with a point"},
        {"1.5B", "whole number of bytes"},
        {"0.3KiB", "whole number of bytes"},
        {"0.0000000000000000001TB", "too many digits"},
        {"9223372036854775808B", "too large"},
        {"9223372036854776kB", "too large"},
        {"8388608TiB", "too large"},
        {"99999999999999999999B", "too large"},
        {"1.5.5MB", "unit is unknown"},
        {"1MB ", "unit is unknown"},
        {"1e3B", "unit is unknown"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {.text = ""};
        uint64_t bytes = 77;
        if (size_parse(cases[i].text, &bytes, &err) != -1)
            fail_msg("\"%s\" was accepted", cases[i].text);
        assert_int_equal(err.code, ERR_CONFIG);
        assert_int_equal(bytes, 77);
        if (strstr(err.text, cases[i].why) == NULL || strstr(err.text, "write 500MB") == NULL)
            fail_msg("%s", err.text);
    }
}

static void
a_refusal_shows_hostile_text_escaped_and_cut(void **state)
{
    struct err err;
    uint64_t bytes;
    char text[2000];
    (void)state;

    memset(text, '\x1B', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(size_parse(text, &bytes, &err), -1);
    assert_null(strchr(err.text, '\x1B'));
    assert_non_null(strstr(err.text, "\\x1b\\x1b"));
    assert_non_null(strstr(err.text, "4096B"));
}

static void
sizes_are_printed_for_people(void **state)
{
    static const struct {
        uint64_t    bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {999, "999 B"},
        {1000, "1.00 kB"},
        {9900000, "9.90 MB"},
        {999994, "999.99 kB"},
        {999995, "1.00 MB"},
        {999999999999, "1.00 TB"},
        {500000000, "500.00 MB"},
        {1234567890123, "1.23 TB"},
        {UINT64_MAX, "18446744.07 TB"},
    };
    char buf[32];
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(size_print(cases[i].bytes, buf, sizeof(buf)), cases[i].text);
    assert_string_equal(size_print(9900000, buf, 5), "9.90");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_with_a_unit_are_read_exactly),
        cmocka_unit_test(what_has_to_be_guessed_is_refused_and_says_why),
        cmocka_unit_test(a_refusal_shows_hostile_text_escaped_and_cut),
        cmocka_unit_test(sizes_are_printed_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
