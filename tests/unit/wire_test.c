/* wire_test.c - the codec by itself: what it makes it takes, and it makes nothing that it would not take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire.h"
#include "wire_same.h"

#define HAS(field) (UINT64_C(1) << WIRE_F_##field)
#define TEXT(literal) {(literal), sizeof(literal) - 1}
#define RUN {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

struct sample {
    enum wire_side  from;
    struct wire_msg msg;      /* with all its fields */
    uint64_t        optional; /* those that may be left out */
};

/* clang-format off */
static const struct sample samples[] = {
    {WIRE_FROM_CONNECTOR,
     {.type = WIRE_HELLO, .has = HAS(V) | HAS(ID) | HAS(AGENT) | HAS(EPOCH) | HAS(ATTEMPT) | HAS(FRESH) | HAS(SEEN) |
      HAS(WANT) | HAS(HEAD) | HAS(RUN), .v = 1, .id = TEXT("feed-1"), .agent = TEXT("example 1.0"), .epoch = 1,
      .attempt = 2, .fresh = true, .seen = 3, .want = 4, .head = 5, .run = RUN}, HAS(AGENT) | HAS(RUN)},
    {WIRE_FROM_CONNECTOR,
     {.type = WIRE_READY, .has = HAS(WANT) | HAS(HEAD) | HAS(SCHEDULE) | HAS(PERIOD_MS) | HAS(THRESHOLD) |
      HAS(FIRST_RUN) | HAS(RESUME), .want = 1, .head = 2, .schedule = WIRE_S_PERIOD, .period_ms = WIRE_PERIOD_MS_MAX,
      .threshold = 4, .first_run = WIRE_FIRST_CHECK, .resume = WIRE_RESUME_SCHEDULE},
     HAS(THRESHOLD) | HAS(FIRST_RUN) | HAS(RESUME)},
    {WIRE_FROM_CONNECTOR,
     {.type = WIRE_BUNDLE, .has = HAS(SEQ) | HAS(SIZE) | HAS(OFF) | HAS(WANT) | HAS(HEAD) | HAS(CTYPE) |
      HAS(FORMAT) | HAS(OPTIONS), .seq = 1, .size = WIRE_NUMBER_MAX, .off = 65536, .want = 4, .head = 5,
      .ctype = TEXT("text/plain; charset=utf-8"), .format = WIRE_FMT_OPENCTI, .options = TEXT("{\"update\":true}")},
     HAS(CTYPE) | HAS(FORMAT) | HAS(OPTIONS)},
    {WIRE_FROM_CONNECTOR,
     {.type = WIRE_DONE, .has = HAS(RUN) | HAS(OUTCOME) | HAS(TEXT), .run = RUN, .outcome = WIRE_OUT_STOP,
      .text = TEXT("why")}, HAS(TEXT)},
    {WIRE_FROM_CONNECTOR,
     {.type = WIRE_PING, .has = HAS(SEEN) | HAS(WANT) | HAS(HEAD) | HAS(RUN), .seen = 127, .want = 128, .head = 65536,
      .run = RUN}, HAS(RUN)},
    {WIRE_FROM_CONNECTOR, {.type = WIRE_STATE, .has = HAS(OP), .op = WIRE_OP_GET}, 0},
    {WIRE_FROM_CONNECTOR,
     {.type = WIRE_STATE, .has = HAS(OP) | HAS(VERSION) | HAS(SIZE) | HAS(OFF) | HAS(AFTER), .op = WIRE_OP_SET,
      .version = 1, .size = 2, .off = 3, .after = 4}, HAS(AFTER)},
    {WIRE_FROM_CONNECTOR,
     {.type = WIRE_STATE, .has = HAS(OP) | HAS(VERSION) | HAS(SIZE) | HAS(OFF) | HAS(AFTER) | HAS(RUN) | HAS(OUTCOME),
      .op = WIRE_OP_SET, .version = 1, .size = 2, .off = 3, .after = 4, .run = RUN, .outcome = WIRE_OUT_FAILED},
     HAS(AFTER)}, /* run and outcome: none without the other */
    {WIRE_FROM_GATEWAY,
     {.type = WIRE_STATE, .has = HAS(OP) | HAS(VERSION) | HAS(SIZE) | HAS(OFF), .op = WIRE_OP_IS, .version = 1,
      .size = 2, .off = 3}, 0},
    {WIRE_FROM_GATEWAY, {.type = WIRE_STATE, .has = HAS(OP) | HAS(VERSION), .op = WIRE_OP_SAVED, .version = 9}, 0},
    {WIRE_FROM_CONNECTOR,
     {.type = WIRE_HEALTH, .has = HAS(STATUS) | HAS(TEXT), .status = WIRE_ST_FAILED, .text = TEXT("")}, HAS(TEXT)},
    {WIRE_FROM_CONNECTOR,
     {.type = WIRE_LOG, .has = HAS(LEVEL) | HAS(TEXT), .level = WIRE_LV_DEBUG, .text = TEXT("gr\xc3\xbc\xc3\x9f")}, 0},
    {WIRE_FROM_CONNECTOR, {.type = WIRE_BYE, .has = HAS(TEXT), .text = TEXT("done")}, HAS(TEXT)},
    {WIRE_FROM_GATEWAY,
     {.type = WIRE_WELCOME, .has = HAS(V) | HAS(EPOCH) | HAS(ATTEMPT) | HAS(EXPECT) | HAS(CREDIT) | HAS(PING_MS) |
      HAS(CHUNK) | HAS(MAX_BUNDLE), .v = 1, .epoch = 2, .attempt = 3, .expect = 4, .credit = 5, .ping_ms = 6,
      .chunk = WIRE_CHUNK_MAX, .max_bundle = 8}, 0},
    {WIRE_FROM_GATEWAY, {.type = WIRE_PERMIT, .has = HAS(RUN) | HAS(LEASE_MS), .run = RUN, .lease_ms = 120000}, 0},
    {WIRE_FROM_GATEWAY,
     {.type = WIRE_HOLD, .has = HAS(REASONS) | HAS(NEXT_MS) | HAS(RUN) | HAS(TEXT), .reasons = WIRE_HOLD_ALL,
      .next_ms = WIRE_PERIOD_MS_MAX, .run = RUN, .text = TEXT("all of it")}, HAS(NEXT_MS) | HAS(RUN) | HAS(TEXT)},
    {WIRE_FROM_GATEWAY, {.type = WIRE_CREDIT, .has = HAS(CREDIT), .credit = WIRE_NUMBER_MAX}, 0},
    {WIRE_FROM_GATEWAY,
     {.type = WIRE_VERDICT, .has = HAS(SEQ) | HAS(VERDICT) | HAS(REASON) | HAS(TEXT), .seq = 1,
      .verdict = WIRE_ACK_DEAD, .reason = WIRE_R_TARGET, .text = TEXT("why")}, HAS(REASON) | HAS(TEXT)},
    {WIRE_FROM_GATEWAY, {.type = WIRE_PONG, .has = HAS(CREDIT) | HAS(EXPECT), .credit = 0, .expect = 1}, 0},
    {WIRE_FROM_GATEWAY,
     {.type = WIRE_STOP, .has = HAS(REASON) | HAS(TEXT), .reason = WIRE_R_SHUTDOWN, .text = TEXT("why")}, HAS(TEXT)},
    {WIRE_FROM_GATEWAY,
     {.type = WIRE_ERROR, .has = HAS(CODE) | HAS(TEXT) | HAS(FATAL) | HAS(FIELD) | HAS(EXPECT) | HAS(EPOCH) |
      HAS(VERSION) | HAS(VERSIONS) | HAS(SEQ), .code = WIRE_R_NO_RUN, .text = TEXT("why"), .fatal = true,
      .field = TEXT("run"), .expect = 1, .epoch = 2, .version = 3, .versions = {1, 2, 3}, .seq = 4},
     HAS(FIELD) | HAS(EXPECT) | HAS(EPOCH) | HAS(VERSION) | HAS(VERSIONS) | HAS(SEQ)},
};
/* clang-format on */
enum { SAMPLES = sizeof(samples) / sizeof(samples[0]) };

static const struct wire_msg *
sample_of(enum wire_type type)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        if (samples[i].msg.type == type)
            return &samples[i].msg;
    }
    fail_msg("no sample of %s", wire_type_name(type));
    return &samples[0].msg; /* not reached, which the compiler cannot see */
}

/* Is this message one that the encoder makes? */
static bool
encodes(const struct wire_msg *msg)
{
    char frame[WIRE_HEADER_MAX];

    return wire_encode(msg, frame, sizeof(frame)) > 0;
}

/* Fields that msg->has does not name are zero in what is decoded. */
static struct wire_msg
only(const struct wire_msg *msg, uint64_t has, enum wire_side from)
{
    char frame[WIRE_HEADER_MAX];
    struct wire_msg less = *msg;
    struct wire_msg ret;
    struct wire_fault fault;

    less.has = has;
    const size_t len = wire_encode(&less, frame, sizeof(frame));
    assert_true(len > 0);
    assert_int_equal(wire_decode(frame, len, from, &ret, &fault), 0);
    return ret;
}

static void
every_type_goes_round_with_all_its_fields(void **state)
{
    char frame[WIRE_HEADER_MAX];
    struct wire_msg msg;
    struct wire_fault fault;

    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        const size_t len = wire_encode(&samples[i].msg, frame, sizeof(frame));
        assert_true(len > 0);
        assert_int_equal(wire_decode(frame, len, samples[i].from, &msg, &fault), 0);
        assert_true(wire_same(&samples[i].msg, &msg));
    }
}

static void
every_optional_field_may_be_left_out_in_any_combination(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct sample *s = &samples[i];
        uint64_t out = 0;
        do {
            const struct wire_msg msg = only(&s->msg, s->msg.has & ~out, s->from);
            assert_int_equal(msg.has, s->msg.has & ~out);
            out = (out - s->optional) & s->optional; /* the next subset */
        } while (out != 0);
    }
}

static void
no_required_field_may_be_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        for (unsigned f = 0; f < WIRE_FIELDS; f++) {
            struct wire_msg msg = samples[i].msg;
            if ((msg.has & ~samples[i].optional) >> f & 1U) {
                msg.has &= ~(UINT64_C(1) << f);
                assert_false(encodes(&msg));
            }
        }
    }
}

static void
no_field_of_another_message_is_encoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        for (unsigned f = 0; f < WIRE_FIELDS; f++) {
            struct wire_msg msg = samples[i].msg;
            if (!WIRE_HAS(&msg, f)) {
                msg.has |= UINT64_C(1) << f;
                assert_false(encodes(&msg));
            }
        }
    }
}

static void
what_the_other_end_would_refuse_is_not_encoded(void **state)
{
    static const char long_text[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
    struct wire_msg m;

    (void)state;
#define BUT(type, change)                                                                                              \
    m = *sample_of(type);                                                                                              \
    m.change;                                                                                                          \
    assert_false(encodes(&m))
    BUT(WIRE_HELLO, v = 2);
    BUT(WIRE_HELLO, epoch = 0);
    BUT(WIRE_HELLO, attempt = 0);
    BUT(WIRE_HELLO, seen = (uint64_t)WIRE_NUMBER_MAX + 1);
    BUT(WIRE_HELLO, id = ((struct wire_text)TEXT("Feed")));
    BUT(WIRE_HELLO, id.at = NULL);
    BUT(WIRE_HELLO, agent = ((struct wire_text){long_text, WIRE_AGENT_MAX + 1}));
    BUT(WIRE_READY, schedule = (enum wire_schedule)3);
    BUT(WIRE_READY, period_ms = 0);
    BUT(WIRE_READY, period_ms = (uint64_t)WIRE_PERIOD_MS_MAX + 1);
    BUT(WIRE_READY, threshold = (uint64_t)WIRE_NUMBER_MAX + 1);
    BUT(WIRE_READY, first_run = (enum wire_first)2);
    BUT(WIRE_READY, resume = (enum wire_resume)2);
    BUT(WIRE_BUNDLE, seq = 0);
    BUT(WIRE_BUNDLE, ctype = ((struct wire_text)TEXT("a/b\r\n")));
    BUT(WIRE_BUNDLE, ctype.len = 0);
    BUT(WIRE_BUNDLE, format = (enum wire_format)2);
    BUT(WIRE_BUNDLE, options.len = 1);
    BUT(WIRE_LOG, text.at = NULL);
    BUT(WIRE_LOG, level = (enum wire_level)4);
    BUT(WIRE_STATE, op = WIRE_OP_SAVED); /* with the fields of get */
    BUT(WIRE_STATE, op = (enum wire_op)4);
    BUT(WIRE_WELCOME, chunk = WIRE_CHUNK_MAX + 1);
    BUT(WIRE_WELCOME, ping_ms = 0);
    BUT(WIRE_WELCOME, ping_ms = (uint64_t)WIRE_MS_MAX + 1);
    BUT(WIRE_PERMIT, lease_ms = (uint64_t)WIRE_MS_MAX + 1);
    BUT(WIRE_HOLD, reasons = WIRE_HOLD_ALL + 1);
    BUT(WIRE_HOLD, next_ms = (uint64_t)WIRE_PERIOD_MS_MAX + 1);
    BUT(WIRE_VERDICT, reason = WIRE_R_REPLACED);
    BUT(WIRE_VERDICT, reason = WIRE_R_NONE);
    BUT(WIRE_STOP, reason = WIRE_R_EMPTY);
    BUT(WIRE_ERROR, code = WIRE_R_EMPTY);
    BUT(WIRE_ERROR, code = WIRE_REASONS);
    BUT(WIRE_ERROR, versions[0] = 0);
    BUT(WIRE_ERROR, versions[4] = 5); /* behind the end */
    BUT(WIRE_ERROR, versions[2] = (uint64_t)WIRE_NUMBER_MAX + 1);
    BUT(WIRE_BYE, type = WIRE_TYPES);
    BUT(WIRE_BYE, type = (enum wire_type)0);
#undef BUT
}

static void
expect_text(const char *given, size_t given_len, const char *sent, size_t sent_len)
{
    char frame[WIRE_HEADER_MAX];
    struct wire_msg m = *sample_of(WIRE_VERDICT);
    struct wire_msg again;
    struct wire_fault fault;

    m.text = (struct wire_text){given, (uint32_t)given_len};
    const size_t len = wire_encode(&m, frame, sizeof(frame));
    assert_true(len > 0);
    assert_int_equal(wire_decode(frame, len, WIRE_FROM_GATEWAY, &again, &fault), 0);
    assert_int_equal(again.text.len, sent_len);
    assert_memory_equal(again.text.at, sent, sent_len);
}

static void
no_verdict_stays_away_over_its_wording(void **state)
{
    char text[WIRE_TEXT_MAX + 8];

    (void)state;
    expect_text("no such \xc3\xbc", 10, "no such \xc3\xbc", 10);
    expect_text("no such \xc3", 9, "no such ", 8); /* a broker cuts its texts between bytes */
    expect_text("no such\0queue", 13, "no such", 7);
    expect_text("\xff", 1, "", 0);
    expect_text("", 0, "", 0);
    memset(text, 'x', sizeof(text));
    expect_text(text, sizeof(text), text, WIRE_TEXT_MAX);
    text[WIRE_TEXT_MAX - 1] = '\xc3'; /* a character across the limit goes whole */
    text[WIRE_TEXT_MAX] = '\xbc';
    expect_text(text, sizeof(text), text, WIRE_TEXT_MAX - 1);
}

static void
a_full_list_of_versions_goes_round_and_one_without_an_end_does_not(void **state)
{
    struct wire_msg m = *sample_of(WIRE_ERROR);

    (void)state;
    for (unsigned i = 0; i < WIRE_LIST_MAX - 1; i++)
        m.versions[i] = i + 1;
    const struct wire_msg again = only(&m, m.has, WIRE_FROM_GATEWAY);
    assert_memory_equal(m.versions, again.versions, sizeof(m.versions));
    m.versions[WIRE_LIST_MAX - 1] = WIRE_LIST_MAX;
    assert_false(encodes(&m));
}

static void
each_hold_and_each_reason_goes_round_by_its_name(void **state)
{
    struct wire_msg m = *sample_of(WIRE_HOLD);
    unsigned where;

    (void)state;
    for (uint32_t bit = 1; bit < WIRE_HOLD_ALL; bit <<= 1) {
        m.reasons = bit;
        assert_int_equal(only(&m, m.has, WIRE_FROM_GATEWAY).reasons, bit);
        assert_string_not_equal(wire_hold_name((enum wire_hold)bit), "?");
    }
    for (enum wire_reason r = WIRE_R_UNROUTABLE; r < WIRE_REASONS; r++) {
        struct wire_msg v = *sample_of(WIRE_VERDICT);
        struct wire_msg s = *sample_of(WIRE_STOP);
        struct wire_msg e = *sample_of(WIRE_ERROR);
        v.reason = s.reason = e.code = r;
        where = (unsigned)encodes(&v) + (unsigned)encodes(&s) + (unsigned)encodes(&e);
        assert_int_equal(where, 1); /* each is of one kind */
        assert_string_not_equal(wire_reason_name(r), "?");
    }
    assert_string_equal(wire_hold_name(WIRE_HOLD_ALL), "?");
    assert_string_equal(wire_reason_name(WIRE_R_NONE), "?");
    assert_string_equal(wire_reason_name(WIRE_REASONS), "?");
    assert_string_equal(wire_type_name(WIRE_TYPES), "?");
}

static void
only_the_schedule_period_needs_a_period(void **state)
{
    static const enum wire_schedule others[] = {WIRE_S_TERMINATE, WIRE_S_CONTINUOUS};
    struct wire_msg m = *sample_of(WIRE_READY);

    (void)state;
    m.has = HAS(WANT) | HAS(HEAD) | HAS(SCHEDULE);
    m.schedule = WIRE_S_PERIOD;
    assert_false(encodes(&m));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        m.schedule = others[i];
        assert_int_equal(only(&m, m.has, WIRE_FROM_CONNECTOR).schedule, others[i]);
    }
}

static void
what_a_ready_leaves_out_reads_as_its_default(void **state)
{
    const struct wire_msg *all = sample_of(WIRE_READY);
    const struct wire_msg m = only(all, HAS(WANT) | HAS(HEAD) | HAS(SCHEDULE) | HAS(PERIOD_MS), WIRE_FROM_CONNECTOR);

    (void)state;
    assert_int_not_equal(all->first_run, WIRE_FIRST_FREE);
    assert_int_not_equal(all->resume, WIRE_RESUME_DRAIN);
    assert_int_equal(m.first_run, WIRE_FIRST_FREE);
    assert_int_equal(m.resume, WIRE_RESUME_DRAIN);
}

static void
a_hold_without_a_reason_goes_round(void **state)
{
    struct wire_msg m = *sample_of(WIRE_HOLD);

    (void)state;
    m.reasons = 0;
    const struct wire_msg again = only(&m, HAS(REASONS) | HAS(NEXT_MS), WIRE_FROM_GATEWAY);
    assert_int_equal(again.reasons, 0);
    assert_true(again.next_ms == WIRE_PERIOD_MS_MAX);
    m.has &= ~HAS(REASONS); /* the list may be empty, but it is there */
    assert_false(encodes(&m));
}

static void
a_buffer_that_is_too_small_is_never_overrun(void **state)
{
    char frame[WIRE_HEADER_MAX];

    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        const size_t len = wire_encode(&samples[i].msg, frame, sizeof(frame));
        for (size_t cap = 0; cap < len; cap++) {
            char *small = malloc(cap == 0 ? 1 : cap);
            assert_non_null(small);
            assert_int_equal(wire_encode(&samples[i].msg, small, cap), 0);
            free(small);
        }
        assert_int_equal(wire_encode(&samples[i].msg, frame, len), len);
    }
}

static void
the_largest_message_fits_the_header(void **state)
{
    static char text[WIRE_TEXT_MAX];
    struct wire_msg m = *sample_of(WIRE_ERROR);

    (void)state;
    memset(text, 'x', sizeof(text));
    m.text = (struct wire_text){text, WIRE_TEXT_MAX};
    m.field = (struct wire_text){text, WIRE_FIELD_MAX};
    m.expect = m.epoch = m.version = m.seq = WIRE_NUMBER_MAX;
    for (unsigned i = 0; i < WIRE_LIST_MAX - 1; i++)
        m.versions[i] = WIRE_NUMBER_MAX;
    assert_true(encodes(&m));
}

static void
texts_are_lent_from_the_frame(void **state)
{
    char frame[WIRE_HEADER_MAX];
    struct wire_msg msg;
    struct wire_fault fault;
    const size_t len = wire_encode(sample_of(WIRE_HELLO), frame, sizeof(frame));

    (void)state;
    assert_int_equal(wire_decode(frame, len, WIRE_FROM_CONNECTOR, &msg, &fault), 0);
    assert_true(msg.id.at > frame && msg.id.at + msg.id.len <= frame + len);
    assert_true(msg.agent.at > frame && msg.agent.at + msg.agent.len <= frame + len);
}

#define FAULT_OF(bytes, side) fault_of((bytes), sizeof(bytes) - 1, (side))
static struct wire_fault
fault_of(const char *frame, size_t len, enum wire_side from)
{
    struct wire_msg msg;
    struct wire_fault fault = {.code = WIRE_R_NONE};

    assert_int_equal(wire_decode(frame, len, from, &msg, &fault), -1);
    return fault;
}

static void
a_fault_names_the_message_the_field_and_what_it_takes(void **state)
{
    struct wire_fault f;

    (void)state;
    f = FAULT_OF("\x82\xa4type\xa6\x63redit\xa6\x63redit\xff", WIRE_FROM_GATEWAY);
    assert_string_equal(f.field, "credit");
    assert_string_equal(f.text, "credit: credit must be a whole number (a msgpack integer) from 0 to "
                                "9223372036854775807");
    f = FAULT_OF("\x82\xa4type\xa4stop\xa6reason\xa5\x65mpty", WIRE_FROM_GATEWAY);
    assert_string_equal(f.text, "stop: reason must be one of: replaced shutdown superseded");
    f = FAULT_OF("\x82\xa4type\xa4hold\xa7reasons\xa1x", WIRE_FROM_GATEWAY);
    assert_non_null(strstr(f.text, "telemetry_stale"));
    assert_non_null(strstr(f.text, "draining")); /* the last one: nothing was cut */
    f = FAULT_OF("\x84\xa4type\xa5ready\xa4want\x00\xa4head\x00\xa8schedule\xa6period", WIRE_FROM_CONNECTOR);
    assert_string_equal(f.field, "period_ms");
    assert_string_equal(f.text, "ready: period_ms is missing: the schedule \"period\" has one");
    f = FAULT_OF("\x86\xa4type\xa5state\xa2op\xa3set\xa7version\x00\xa4size\x00\xa3off\x00\xa7outcome\xa2ok",
                 WIRE_FROM_CONNECTOR);
    assert_string_equal(f.field, "run");
    assert_string_equal(f.text, "state: run is missing: run and outcome go together");
    f = FAULT_OF("\x81\xa4type\xa4ping", WIRE_FROM_CONNECTOR);
    assert_string_equal(f.text, "ping: seen is missing");
    f = FAULT_OF("\x82\xa4type\xa3\x62ye\xa4\x1b[1m\x01", WIRE_FROM_CONNECTOR);
    assert_string_equal(f.field, "");
    assert_null(strchr(f.text, '\x1b')); /* it may be logged */
    f = FAULT_OF("\x81\xa4type\xa5state", WIRE_FROM_CONNECTOR);
    assert_string_equal(f.text, "state: op must be \"get\" or \"set\"");
    f = FAULT_OF("\x81\xa4type\xa4help", WIRE_FROM_CONNECTOR);
    assert_string_equal(f.text, "\"help\" is not a message that a connector sends");
}

/* The order is in docs/protocol.md: frame, type, version, fields as they come, what is missing. */
static void
the_first_thing_wrong_is_the_one_that_is_told(void **state)
{
    (void)state;
    assert_int_equal(FAULT_OF("\x82\xa4type\xa4help\x01\x01", WIRE_FROM_CONNECTOR).code, WIRE_R_TYPE);
    assert_int_equal(FAULT_OF("\x83\x01\x01\xa1v\x02\xa4type\xa5hello", WIRE_FROM_CONNECTOR).code, WIRE_R_VERSION);
    assert_string_equal(FAULT_OF("\x83\xa4type\xa4ping\xa4want\xff\xa4what\x01", WIRE_FROM_CONNECTOR).field, "want");
    assert_string_equal(FAULT_OF("\x83\xa4type\xa4ping\xa4what\x01\xa4want\xff", WIRE_FROM_CONNECTOR).field, "what");
    assert_string_equal(FAULT_OF("\x82\xa4type\xa4ping\xa4what\x01", WIRE_FROM_CONNECTOR).field, "what");
}

static void
a_bundle_and_a_state_with_bytes_have_a_second_frame(void **state)
{
    struct wire_msg m = {.type = WIRE_BUNDLE};

    (void)state;
    assert_true(wire_has_body(&m)); /* also of size 0: how it is answered is not the codec's */
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct wire_msg *s = &samples[i].msg;
        const bool bytes = s->type == WIRE_STATE && (s->op == WIRE_OP_SET || s->op == WIRE_OP_IS);
        assert_int_equal(wire_has_body(s), s->type == WIRE_BUNDLE || bytes);
        m = *s;
        m.size = 0;
        assert_int_equal(wire_has_body(&m), s->type == WIRE_BUNDLE);
    }
}

static void
a_bundle_costs_its_size_and_a_tiny_one_a_kibibyte(void **state)
{
    (void)state;
    assert_int_equal(wire_cost(0), 1024);
    assert_int_equal(wire_cost(1), 1024);
    assert_int_equal(wire_cost(1024), 1024);
    assert_int_equal(wire_cost(1025), 1025);
    assert_true(wire_cost(WIRE_NUMBER_MAX) == WIRE_NUMBER_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_goes_round_with_all_its_fields),
        cmocka_unit_test(every_optional_field_may_be_left_out_in_any_combination),
        cmocka_unit_test(no_required_field_may_be_left_out),
        cmocka_unit_test(no_field_of_another_message_is_encoded),
        cmocka_unit_test(what_the_other_end_would_refuse_is_not_encoded),
        cmocka_unit_test(no_verdict_stays_away_over_its_wording),
        cmocka_unit_test(a_full_list_of_versions_goes_round_and_one_without_an_end_does_not),
        cmocka_unit_test(each_hold_and_each_reason_goes_round_by_its_name),
        cmocka_unit_test(only_the_schedule_period_needs_a_period),
        cmocka_unit_test(what_a_ready_leaves_out_reads_as_its_default),
        cmocka_unit_test(a_hold_without_a_reason_goes_round),
        cmocka_unit_test(a_buffer_that_is_too_small_is_never_overrun),
        cmocka_unit_test(the_largest_message_fits_the_header),
        cmocka_unit_test(texts_are_lent_from_the_frame),
        cmocka_unit_test(a_fault_names_the_message_the_field_and_what_it_takes),
        cmocka_unit_test(the_first_thing_wrong_is_the_one_that_is_told),
        cmocka_unit_test(a_bundle_and_a_state_with_bytes_have_a_second_frame),
        cmocka_unit_test(a_bundle_costs_its_size_and_a_tiny_one_a_kibibyte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
