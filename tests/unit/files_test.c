/* files_test.c - as many descriptors as there may be, and a word where they are too few. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "files.h"
#include "log.h"

enum { LIMIT = 400 }; /* of this process, from setup on */

static void
soft_limit_is(rlim_t n)
{
    const struct rlimit files = {.rlim_cur = n, .rlim_max = LIMIT};

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
}

/* What is logged for this many connectors; the log is read into said. */
static void
raise_for(size_t connectors, char *said, size_t cap)
{
    const int fd = memfd_create("log", MFD_CLOEXEC);
    struct log *log = log_new(fd, LOG_KEYVALUE, LOG_INFO, NULL);

    assert_true(fd >= 0);
    assert_non_null(log);
    files_raise(connectors, log);
    log_free(log);
    const ssize_t n = pread(fd, said, cap - 1, 0);
    assert_true(n >= 0);
    said[n] = '\0';
    close(fd);
}

static void
the_soft_limit_is_raised_to_the_hard_one(void **state)
{
    struct rlimit files;
    char said[1000];

    (void)state;
    soft_limit_is(64);
    raise_for(LIMIT - FILES_OWN, said, sizeof(said));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_equal(files.rlim_cur, LIMIT);
    assert_int_equal(files.rlim_max, LIMIT);
    assert_string_equal(said, "");
}

static void
too_few_for_the_connectors_are_told_with_both_numbers_and_the_way_out(void **state)
{
    char said[1000];

    (void)state;
    soft_limit_is(LIMIT);
    raise_for(LIMIT - FILES_OWN + 1, said, sizeof(said));
    assert_non_null(strstr(said, "level=warn event=few_descriptors limit=400 needed=401 connectors=145 "));
    assert_non_null(strstr(said, "LimitNOFILE"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_soft_limit_is_raised_to_the_hard_one),
        cmocka_unit_test(too_few_for_the_connectors_are_told_with_both_numbers_and_the_way_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
