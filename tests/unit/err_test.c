/* err_test.c - a failure reads in one step and never overflows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "err.h"
#include "text.h"

static void
a_failure_has_a_code_a_number_and_a_text(void **state)
{
    struct err err;
    (void)state;

    assert_int_equal(err_set(&err, ERR_IO, ENOENT, "open %s", "spool"), -1);
    assert_int_equal(err.code, ERR_IO);
    assert_int_equal(err.sys, ENOENT);
    assert_string_equal(err.text, "open spool: No such file or directory");
}

static void
without_a_system_error_the_text_stands_alone(void **state)
{
    struct err err;
    (void)state;

    err_set(&err, ERR_FULL, 0, "%d of %d", 4, 4);
    assert_string_equal(err.text, "4 of 4");
    assert_int_equal(err.sys, 0);
}

static void
a_caller_who_does_not_care_may_pass_null(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_IO, EIO, "x"), -1);
}

static void
a_long_text_is_cut_and_keeps_the_systems_reason(void **state)
{
    struct err err;
    char long_name[1000];
    const char *reason = ": No space left on device";
    (void)state;

    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    err_set(&err, ERR_IO, ENOSPC, "write %s", long_name);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_string_equal(err.text + strlen(err.text) - strlen(reason), reason);
    assert_memory_equal(err.text + strlen(err.text) - strlen(reason) - 3, "...", 3);
}

static void
a_text_that_just_fits_is_not_cut(void **state)
{
    struct err err;
    char name[sizeof(err.text) + 1];
    (void)state;

    memset(name, 'x', sizeof(name));
    name[sizeof(err.text) - 1] = '\0';
    err_set(&err, ERR_IO, 0, "%s", name);
    assert_string_equal(err.text, name);
    name[sizeof(err.text) - 1] = 'x';
    name[sizeof(err.text)] = '\0';
    err_set(&err, ERR_IO, 0, "%s", name);
    assert_string_equal(err.text + sizeof(err.text) - 4, "...");
}

static void
a_cut_does_not_leave_half_a_character(void **state)
{
    struct err err;
    char name[1002];
    (void)state;

    for (size_t shift = 0; shift < 2; shift++) {
        memset(name, 'x', sizeof(name));
        for (size_t i = shift; i + 2 < sizeof(name); i += 2)
            memcpy(name + i, "\xC3\xA9", 2);
        name[1000] = '\0';
        err_set(&err, ERR_IO, 0, "%s", name);
        assert_true(text_is_utf8(err.text, strlen(err.text)));
        assert_true(strlen(err.text) >= sizeof(err.text) - 3);
    }
}

static void
a_failure_may_be_retold_with_more_around_it(void **state)
{
    struct err err;
    (void)state;

    err_set(&err, ERR_IO, EACCES, "open state.db");
    err_set(&err, err.code, 0, "the state: %s", err.text);
    assert_string_equal(err.text, "the state: open state.db: Permission denied");
    assert_int_equal(err.code, ERR_IO);
}

static void
errno_is_left_as_it_was(void **state)
{
    struct err err;
    (void)state;

    errno = EAGAIN;
    err_set(&err, ERR_IO, 99999, "an unknown number");
    assert_int_equal(errno, EAGAIN);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_has_a_code_a_number_and_a_text),
        cmocka_unit_test(without_a_system_error_the_text_stands_alone),
        cmocka_unit_test(a_caller_who_does_not_care_may_pass_null),
        cmocka_unit_test(a_long_text_is_cut_and_keeps_the_systems_reason),
        cmocka_unit_test(a_text_that_just_fits_is_not_cut),
        cmocka_unit_test(a_cut_does_not_leave_half_a_character),
        cmocka_unit_test(a_failure_may_be_retold_with_more_around_it),
        cmocka_unit_test(errno_is_left_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
