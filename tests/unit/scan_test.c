/* scan_test.c - what passes the scan is whole, flat and small; nothing it says can cost more than reading it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "scan.h"

#define PASSES(bytes) assert_null(scan_frame((bytes), sizeof(bytes) - 1))
#define REFUSES(bytes) assert_non_null(scan_frame((bytes), sizeof(bytes) - 1))

static void
one_object_of_each_form_passes(void **state)
{
    (void)state;
    PASSES("\x00");
    PASSES("\x7f");
    PASSES("\xe0");
    PASSES("\xff");
    PASSES("\xc0");
    PASSES("\xc2");
    PASSES("\xc3");
    PASSES("\xcawxyz");
    PASSES("\xcbstuvwxyz");
    PASSES("\xccx");
    PASSES("\xcdxy");
    PASSES("\xcewxyz");
    PASSES("\xcfstuvwxyz");
    PASSES("\xd0x");
    PASSES("\xd1xy");
    PASSES("\xd2wxyz");
    PASSES("\xd3stuvwxyz");
    PASSES("\xa0");
    PASSES("\xa3xyz");
    PASSES("\xd9\x01x");
    PASSES("\xda\x00\x01x");
    PASSES("\xdb\x00\x00\x00\x01x");
    PASSES("\xc4\x01x");
    PASSES("\xc5\x00\x01x");
    PASSES("\xc6\x00\x00\x00\x01x");
    PASSES("\x80");
    PASSES("\x81\x01\x02");
    PASSES("\xde\x00\x01\x01\x02");
    PASSES("\xdf\x00\x00\x00\x01\x01\x02");
    PASSES("\x90");
    PASSES("\x92\x01\x02");
    PASSES("\xdc\x00\x02\x01\x02");
    PASSES("\xdd\x00\x00\x00\x02\x01\x02");
}

static void
each_form_is_refused_when_its_last_byte_is_missing_and_when_one_follows(void **state)
{
    static const struct {
        const char *bytes;
        size_t      len;
    } whole[] = {
        {"\xcawxyz", 5},     {"\xcbstuvwxyz", 9},  {"\xccx", 2},          {"\xcdxy", 3},
        {"\xcewxyz", 5},     {"\xcfstuvwxyz", 9},  {"\xd0x", 2},          {"\xd1xy", 3},
        {"\xd2wxyz", 5},     {"\xd3stuvwxyz", 9},  {"\xa3xyz", 4},        {"\xd9\x01x", 3},
        {"\xda\x00\x01x", 4}, {"\xdb\0\0\0\x01x", 6}, {"\xc4\x01x", 3},   {"\xc5\x00\x01x", 4},
        {"\xc6\0\0\0\x01x", 6}, {"\x81\x01\x02", 3},  {"\xde\x00\x01\x01\x02", 5}, {"\xdf\0\0\0\x01\x01\x02", 7},
        {"\x92\x01\x02", 3},    {"\xdc\x00\x02\x01\x02", 5}, {"\xdd\0\0\0\x02\x01\x02", 7},
    };
    char more[16];

    (void)state;
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        for (size_t len = 0; len < whole[i].len; len++)
            assert_non_null(scan_frame(whole[i].bytes, len));
        memcpy(more, whole[i].bytes, whole[i].len);
        more[whole[i].len] = 0;
        assert_null(scan_frame(more, whole[i].len));
        assert_non_null(scan_frame(more, whole[i].len + 1));
    }
}

static void
extension_types_and_the_unused_byte_are_refused(void **state)
{
    (void)state;
    REFUSES("\xc1");
    REFUSES("\xc7\x01\x05x");
    REFUSES("\xc8\x00\x01\x05x");
    REFUSES("\xc9\x00\x00\x00\x01\x05x");
    REFUSES("\xd4\x05x");
    REFUSES("\xd5\x05xy");
    REFUSES("\xd6\x05wxyz");
    REFUSES("\xd7\x05stuvwxyz");
    REFUSES("\xd8\x05klmnopqrstuvwxyz");
    REFUSES("\x81\x01\xd4\x05x");
}

static void
four_containers_may_be_nested_and_five_may_not(void **state)
{
    (void)state;
    PASSES("\x91\x91\x91\x91\x01");
    PASSES("\x91\x91\x91\x90");
    PASSES("\x81\x01\x81\x01\x81\x01\x80");
    REFUSES("\x91\x91\x91\x91\x91\x01");
    REFUSES("\x91\x91\x91\x91\x90");
    REFUSES("\x81\x01\x81\x01\x81\x01\x81\x01\x80");
    PASSES("\x93\x91\x91\x91\x01\x91\x91\x91\x01\x01"); /* depth is given back when a container ends */
}

static void
as_many_as_256_elements_pass_and_no_more(void **state)
{
    unsigned char frame[400];

    (void)state;
    memset(frame, 0xc0, sizeof(frame));
    frame[0] = 0xdc;
    frame[1] = 0;
    frame[2] = 255;
    assert_null(scan_frame(frame, 3 + 255));
    frame[1] = 1;
    frame[2] = 0;
    assert_non_null(scan_frame(frame, 3 + 256));
}

/* The largest counts there are, in front of every amount of bytes that is too few. */
static void
a_count_beyond_the_rest_of_the_frame_is_refused(void **state)
{
    static const unsigned char firsts[] = {0xdb, 0xc6, 0xdd, 0xdf};
    static const unsigned char counts[][4] = {{0x80, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 41}};
    unsigned char frame[45];

    (void)state;
    for (size_t f = 0; f < sizeof(firsts); f++) {
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            memset(frame, 0xc0, sizeof(frame));
            frame[0] = firsts[f];
            memcpy(frame + 1, counts[c], 4);
            for (size_t len = 0; len <= sizeof(frame); len++)
                assert_non_null(scan_frame(frame, len));
        }
    }
}

static void
a_map_needs_two_objects_for_each_pair(void **state)
{
    (void)state;
    REFUSES("\x82\x01\x02\x03");
    REFUSES("\xdf\x80\x00\x00\x01\x01\x02"); /* twice the count does not fit 32 bits, nor the frame */
    PASSES("\x82\x01\x02\x03\x04");
}

/* Of this process alone, whatever else the machine does. */
static int64_t
cpu_us(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Time enough for a slow machine, and a thousandth of what a scan without limits would take. */
static void
a_million_tiny_elements_are_refused_without_reading_them(void **state)
{
    enum { MILLION = 1000000 };
    static const unsigned char array_of_a_million[] = {0xdd, 0x00, 0x0f, 0x42, 0x40};
    unsigned char *frame = malloc(5 + MILLION);

    (void)state;
    assert_non_null(frame);
    memset(frame, 0x91, 5 + MILLION);
    assert_non_null(scan_frame(frame, 5 + MILLION)); /* a million arrays inside each other */
    memset(frame, 0xc0, 5 + MILLION);
    memcpy(frame, array_of_a_million, sizeof(array_of_a_million));
    const int64_t since = cpu_us();
    for (int i = 0; i < 1000; i++)
        assert_non_null(scan_frame(frame, 5 + MILLION));
    assert_true(cpu_us() - since < 1000000);
    free(frame);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_object_of_each_form_passes),
        cmocka_unit_test(each_form_is_refused_when_its_last_byte_is_missing_and_when_one_follows),
        cmocka_unit_test(extension_types_and_the_unused_byte_are_refused),
        cmocka_unit_test(four_containers_may_be_nested_and_five_may_not),
        cmocka_unit_test(as_many_as_256_elements_pass_and_no_more),
        cmocka_unit_test(a_count_beyond_the_rest_of_the_frame_is_refused),
        cmocka_unit_test(a_map_needs_two_objects_for_each_pair),
        cmocka_unit_test(a_million_tiny_elements_are_refused_without_reading_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
