/* wire.c - the tables of the protocol, and the questions that they answer by themselves. */
#include "wire_table.h"

#include <assert.h>
#include <string.h>

#include "text.h"

/* Words are stored through unsigned, whichever enum the field has. */
static_assert(sizeof(enum wire_op) == sizeof(unsigned) && sizeof(enum wire_reason) == sizeof(unsigned),
              "enums are as wide as unsigned");
static_assert(WIRE_FIELDS <= 64, "a field is a bit of wire_msg.has");

static const char *const format_words[] = {"raw", "opencti"};
static const char *const outcome_words[] = {"ok", "failed", "stop"};
static const char *const op_words[] = {"get", "set", "is", "saved"};
static const char *const schedule_words[] = {"period", "terminate", "continuous"};
static const char *const first_words[] = {"free", "check"};
static const char *const resume_words[] = {"drain", "schedule"};
static const char *const status_words[] = {"ok", "degraded", "failed"};
static const char *const level_words[] = {"error", "warn", "info", "debug"};
static const char *const verdict_words[] = {"ack", "dead", "nack"};
static const char *const hold_words[] = {"queue",           "budget",     "share",  "broker_alarm", "broker_down",
                                         "telemetry_stale", "spool_full", "memory", "paused",       "draining"};
static_assert(sizeof(hold_words) / sizeof(hold_words[0]) <= WIRE_LIST_MAX &&
                  (1 << sizeof(hold_words) / sizeof(hold_words[0])) - 1 == WIRE_HOLD_ALL,
              "each hold has its word");

static const char *const reason_words[WIRE_REASONS] = {
    [WIRE_R_NONE] = "?",
    [WIRE_R_UNROUTABLE] = "unroutable",
    [WIRE_R_REFUSED] = "refused",
    [WIRE_R_TOO_LARGE] = "too_large",
    [WIRE_R_TARGET] = "target",
    [WIRE_R_EMPTY] = "empty",
    [WIRE_R_FORMAT] = "format",
    [WIRE_R_REPLACED] = "replaced",
    [WIRE_R_SHUTDOWN] = "shutdown",
    [WIRE_R_SUPERSEDED] = "superseded",
    [WIRE_R_MALFORMED] = "malformed",
    [WIRE_R_VERSION] = "version",
    [WIRE_R_TYPE] = "type",
    [WIRE_R_FIELD] = "field",
    [WIRE_R_UNKNOWN_ID] = "unknown_id",
    [WIRE_R_HELLO_FIRST] = "hello_first",
    [WIRE_R_EPOCH] = "epoch",
    [WIRE_R_GAP] = "gap",
    [WIRE_R_CREDIT] = "credit",
    [WIRE_R_STATE_STALE] = "state_stale",
    [WIRE_R_STATE_SIZE] = "state_size",
    [WIRE_R_BUSY] = "busy",
    [WIRE_R_NO_RUN] = "no_run",
    [WIRE_R_UNDELIVERED] = "undelivered",
    [WIRE_R_SCHEDULE] = "schedule",
};

#define ROW(member, kind, min, max, words)                                                                             \
    {#member, (words), (min), (max), offsetof(struct wire_msg, member), sizeof(#member) - 1, (kind)}
#define NUMBER(member, min, max) ROW(member, KIND_NUMBER, (min), (max), NULL)
#define ANY(member) NUMBER(member, 0, WIRE_NUMBER_MAX)
#define FROM_1(member) NUMBER(member, 1, WIRE_NUMBER_MAX)
#define WORD(member, words) ROW(member, KIND_WORD, 0, sizeof(words) / sizeof((words)[0]) - 1, (words))

/* In the order of enum wire_field, which is also the order on the wire. */
const struct wire_field_row wire_field_table[WIRE_FIELDS] = {
    [WIRE_F_V] = NUMBER(v, WIRE_VERSION, WIRE_VERSION),
    [WIRE_F_ID] = ROW(id, KIND_ID, 1, TEXT_ID_MAX, NULL),
    [WIRE_F_AGENT] = ROW(agent, KIND_TEXT, 0, WIRE_AGENT_MAX, NULL),
    [WIRE_F_EPOCH] = FROM_1(epoch),
    [WIRE_F_ATTEMPT] = FROM_1(attempt),
    [WIRE_F_FRESH] = ROW(fresh, KIND_BOOL, 0, 1, NULL),
    [WIRE_F_SEEN] = ANY(seen),
    [WIRE_F_WANT] = ANY(want),
    [WIRE_F_HEAD] = ANY(head),
    [WIRE_F_RUN] = ROW(run, KIND_RUN, WIRE_RUN_LEN, WIRE_RUN_LEN, NULL),
    [WIRE_F_SEQ] = FROM_1(seq),
    [WIRE_F_SIZE] = ANY(size),
    [WIRE_F_OFF] = ANY(off),
    [WIRE_F_CTYPE] = ROW(ctype, KIND_ASCII, 1, WIRE_CTYPE_MAX, NULL),
    [WIRE_F_FORMAT] = WORD(format, format_words),
    [WIRE_F_OPTIONS] = ROW(options, KIND_TEXT, 2, WIRE_OPTIONS_MAX, NULL),
    [WIRE_F_OUTCOME] = WORD(outcome, outcome_words),
    [WIRE_F_TEXT] = ROW(text, KIND_TEXT, 0, WIRE_TEXT_MAX, NULL),
    [WIRE_F_OP] = WORD(op, op_words),
    [WIRE_F_VERSION] = ANY(version),
    [WIRE_F_AFTER] = ANY(after),
    [WIRE_F_SCHEDULE] = WORD(schedule, schedule_words),
    [WIRE_F_PERIOD_MS] = NUMBER(period_ms, 1, WIRE_PERIOD_MS_MAX),
    [WIRE_F_THRESHOLD] = ANY(threshold),
    [WIRE_F_FIRST_RUN] = WORD(first_run, first_words),
    [WIRE_F_RESUME] = WORD(resume, resume_words),
    [WIRE_F_STATUS] = WORD(status, status_words),
    [WIRE_F_LEVEL] = WORD(level, level_words),
    [WIRE_F_EXPECT] = FROM_1(expect),
    [WIRE_F_CREDIT] = ANY(credit),
    [WIRE_F_PING_MS] = NUMBER(ping_ms, 1, WIRE_MS_MAX),
    [WIRE_F_CHUNK] = NUMBER(chunk, 1, WIRE_CHUNK_MAX),
    [WIRE_F_MAX_BUNDLE] = FROM_1(max_bundle),
    [WIRE_F_LEASE_MS] = NUMBER(lease_ms, 1, WIRE_MS_MAX),
    [WIRE_F_REASONS] = ROW(reasons, KIND_HOLDS, 0, sizeof(hold_words) / sizeof(hold_words[0]) - 1, hold_words),
    [WIRE_F_NEXT_MS] = NUMBER(next_ms, 0, WIRE_PERIOD_MS_MAX),
    [WIRE_F_VERDICT] = WORD(verdict, verdict_words),
    [WIRE_F_REASON] = ROW(reason, KIND_WORD, WIRE_R_UNROUTABLE, WIRE_R_SUPERSEDED, reason_words),
    [WIRE_F_CODE] = ROW(code, KIND_WORD, WIRE_R_MALFORMED, WIRE_R_SCHEDULE, reason_words),
    [WIRE_F_FIELD] = ROW(field, KIND_TEXT, 0, WIRE_FIELD_MAX, NULL),
    [WIRE_F_VERSIONS] = ROW(versions, KIND_VERSIONS, 1, WIRE_LIST_MAX - 1, NULL),
    [WIRE_F_FATAL] = ROW(fatal, KIND_BOOL, 0, 1, NULL),
};

#define B(field) (UINT64_C(1) << WIRE_F_##field)
#define WAITING (B(WANT) | B(HEAD))
#define MESSAGE(name, type, from, op, required, optional, together)                                                    \
    {(name), (type), (from), (op), {WIRE_R_UNROUTABLE, WIRE_R_FORMAT}, (required), (required) | (optional), (together)}
#define FROM_C(name, type, required, optional) MESSAGE(name, type, WIRE_FROM_CONNECTOR, -1, required, optional, 0)
#define FROM_G(name, type, required, optional) MESSAGE(name, type, WIRE_FROM_GATEWAY, -1, required, optional, 0)
#define STATE(op, from, required, optional, together)                                                                  \
    MESSAGE("state", WIRE_STATE, from, op, B(OP) | (required), optional, together)
#define RUN_END (B(RUN) | B(OUTCOME))
#define STATE_BYTES (B(VERSION) | B(SIZE) | B(OFF))

const struct wire_message_row wire_message_table[] = {
    FROM_C("hello", WIRE_HELLO,
           B(V) | B(ID) | B(EPOCH) | B(ATTEMPT) | B(FRESH) | B(SEEN) | WAITING, B(AGENT) | B(RUN)),
    FROM_C("ready", WIRE_READY, WAITING | B(SCHEDULE), B(PERIOD_MS) | B(THRESHOLD) | B(FIRST_RUN) | B(RESUME)),
    FROM_C("bundle", WIRE_BUNDLE, B(SEQ) | B(SIZE) | B(OFF) | WAITING, B(CTYPE) | B(FORMAT) | B(OPTIONS)),
    FROM_C("done", WIRE_DONE, RUN_END, B(TEXT)),
    FROM_C("ping", WIRE_PING, B(SEEN) | WAITING, B(RUN)),
    STATE(WIRE_OP_GET, WIRE_FROM_CONNECTOR, 0, 0, 0),
    STATE(WIRE_OP_SET, WIRE_FROM_CONNECTOR, STATE_BYTES, B(AFTER) | RUN_END, RUN_END),
    STATE(WIRE_OP_IS, WIRE_FROM_GATEWAY, STATE_BYTES, 0, 0),
    STATE(WIRE_OP_SAVED, WIRE_FROM_GATEWAY, B(VERSION), 0, 0),
    FROM_C("health", WIRE_HEALTH, B(STATUS), B(TEXT)),
    FROM_C("log", WIRE_LOG, B(LEVEL) | B(TEXT), 0),
    FROM_C("bye", WIRE_BYE, 0, B(TEXT)),
    FROM_G("welcome", WIRE_WELCOME,
           B(V) | B(EPOCH) | B(ATTEMPT) | B(EXPECT) | B(CREDIT) | B(PING_MS) | B(CHUNK) | B(MAX_BUNDLE), 0),
    FROM_G("permit", WIRE_PERMIT, B(RUN) | B(LEASE_MS), 0),
    FROM_G("hold", WIRE_HOLD, B(REASONS), B(NEXT_MS) | B(RUN) | B(TEXT)),
    FROM_G("credit", WIRE_CREDIT, B(CREDIT), 0),
    FROM_G("verdict", WIRE_VERDICT, B(SEQ) | B(VERDICT), B(REASON) | B(TEXT)),
    FROM_G("pong", WIRE_PONG, B(CREDIT) | B(EXPECT), 0),
    {"stop", WIRE_STOP, WIRE_FROM_GATEWAY, -1, {WIRE_R_REPLACED, WIRE_R_SUPERSEDED}, B(REASON), B(REASON) | B(TEXT), 0},
    FROM_G("error", WIRE_ERROR, B(CODE) | B(TEXT) | B(FATAL),
           B(FIELD) | B(EXPECT) | B(EPOCH) | B(VERSION) | B(VERSIONS) | B(SEQ)),
    {NULL, 0, 0, -1, {0, 0}, 0, 0, 0},
};

int
wire_field_find(const char *name, size_t len, unsigned hint)
{
    for (unsigned n = 0; n < WIRE_FIELDS; n++) {
        const unsigned i = hint + n < WIRE_FIELDS ? hint + n : hint + n - WIRE_FIELDS;
        if (wire_field_table[i].name_len == len && memcmp(wire_field_table[i].name, name, len) == 0)
            return (int)i;
    }
    return -1;
}

const struct wire_message_row *
wire_message_find(const struct wire_msg *msg)
{
    for (const struct wire_message_row *row = wire_message_table; row->name != NULL; row++) {
        if (row->type == msg->type && (row->op < 0 || row->op == (int)msg->op))
            return row;
    }
    return NULL;
}

uint64_t
wire_missing(const struct wire_message_row *row, const struct wire_msg *msg)
{
    uint64_t needed = row->required;

    if ((msg->has & row->together) != 0)
        needed |= row->together;
    if (WIRE_HAS(msg, WIRE_F_SCHEDULE) && msg->schedule == WIRE_S_PERIOD)
        needed |= B(PERIOD_MS);
    return needed & ~msg->has;
}

static bool
is_printable_ascii(const struct wire_text *text)
{
    for (uint32_t i = 0; i < text->len; i++) {
        if (text->at[i] < 0x20 || text->at[i] > 0x7e)
            return false;
    }
    return true;
}

static bool
text_fits(const struct wire_field_row *f, const struct wire_text *text)
{
    if (text->at == NULL || text->len < f->min || text->len > f->max)
        return false;
    if (f->kind == KIND_ID)
        return text_is_id(text->at, text->len);
    return f->kind == KIND_ASCII ? is_printable_ascii(text) : text_is_utf8(text->at, text->len);
}

struct wire_words
wire_words(const struct wire_message_row *row, unsigned field)
{
    const struct wire_field_row *f = &wire_field_table[field];

    if (field == WIRE_F_REASON)
        return (struct wire_words){row->reason[0], row->reason[1]};
    return (struct wire_words){(unsigned)f->min, (unsigned)f->max};
}

static bool
word_fits(const struct wire_message_row *row, unsigned field, const void *at)
{
    const struct wire_words range = wire_words(row, field);
    unsigned word;

    memcpy(&word, at, sizeof(word));
    return word >= range.first && word <= range.last;
}

/* From the first 0 on, nothing: what the encoder would leave out must not be there. */
static bool
versions_fit(const struct wire_field_row *f, const uint64_t versions[WIRE_LIST_MAX])
{
    size_t n = 0;

    while (n < WIRE_LIST_MAX && versions[n] != 0 && versions[n] <= WIRE_NUMBER_MAX)
        n++;
    const bool enough = n >= f->min && n <= f->max;
    while (n < WIRE_LIST_MAX && versions[n] == 0)
        n++;
    return enough && n == WIRE_LIST_MAX;
}

bool
wire_field_fits(const struct wire_message_row *row, unsigned field, const struct wire_msg *msg)
{
    const struct wire_field_row *f = &wire_field_table[field];
    const void *at = (const char *)msg + f->offset;

    switch ((enum wire_kind)f->kind) {
    case KIND_NUMBER:
        return *(const uint64_t *)at >= f->min && *(const uint64_t *)at <= f->max;
    case KIND_TEXT:
    case KIND_ID:
    case KIND_ASCII:
        return text_fits(f, at);
    case KIND_WORD:
        return word_fits(row, field, at);
    case KIND_HOLDS:
        return (msg->reasons & ~(uint32_t)WIRE_HOLD_ALL) == 0;
    case KIND_VERSIONS:
        return versions_fit(f, msg->versions);
    case KIND_BOOL:
    case KIND_RUN:
        return true;
    }
    return false;
}

bool
wire_has_body(const struct wire_msg *msg)
{
    if (msg->type == WIRE_STATE)
        return (msg->op == WIRE_OP_SET || msg->op == WIRE_OP_IS) && msg->size > 0;
    return msg->type == WIRE_BUNDLE;
}

uint64_t
wire_cost(uint64_t size)
{
    return size < WIRE_COST_MIN ? WIRE_COST_MIN : size;
}

const char *
wire_type_name(enum wire_type type)
{
    for (const struct wire_message_row *row = wire_message_table; row->name != NULL; row++) {
        if (row->type == type)
            return row->name;
    }
    return "?";
}

const char *
wire_reason_name(enum wire_reason reason)
{
    return (unsigned)reason < WIRE_REASONS ? reason_words[reason] : "?";
}

const char *
wire_hold_name(enum wire_hold one)
{
    for (size_t i = 0; i < sizeof(hold_words) / sizeof(hold_words[0]); i++) {
        if ((unsigned)one == 1U << i)
            return hold_words[i];
    }
    return "?";
}
