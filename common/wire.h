/* wire.h - the codec of the protocol between connectors and the gateway (docs/protocol.md, version 1).
 *
 * A message is one or two frames.  Frame 1 is a msgpack map of at most WIRE_HEADER_MAX bytes; it is
 * scanned before msgpack-c sees it and then decoded strictly against one table of fields.  Frame 2,
 * where there is one, is bytes: a chunk of a bundle's body or of a connector's state.
 * Pure: no sockets, no clock, no allocation that outlives a call.  Any thread. */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_VERSION = 1,
    WIRE_HEADER_MAX = 16 * 1024,
    WIRE_CHUNK_MAX = 64 * 1024,     /* bytes in frame 2 */
    WIRE_STATE_MAX = 1024 * 1024,   /* bytes in a connector's state */
    WIRE_COST_MIN = 1024,           /* a bundle uses at least this much credit: see wire_cost */
    WIRE_RUN_LEN = 16,              /* the id of a run: 128 random bits */
    WIRE_TEXT_MAX = 1024,           /* bytes in a text for people */
    WIRE_CTYPE_MAX = 128,           /* bytes in a content type */
    WIRE_OPTIONS_MAX = 8192,        /* bytes in the options of a forward format */
    WIRE_AGENT_MAX = 64,            /* bytes in the name of a client */
    WIRE_FIELD_MAX = 32,            /* bytes in the name of a field */
    WIRE_LIST_MAX = 16              /* items in a list; one less in versions, whose end is marked */
};

/* Numbers on the wire are at most 2^63 - 1, so that every language can hold them; milliseconds at most ten
 * years, so that nobody's sum of times overflows.  The period of a schedule may be longer (OpenCTI takes P18Y), and
 * with it the time that a hold tells: 10^15 ms, which still fits as microseconds, but not as nanoseconds. */
#define WIRE_NUMBER_MAX INT64_MAX
#define WIRE_MS_MAX INT64_C(315360000000)
#define WIRE_PERIOD_MS_MAX INT64_C(1000000000000000)

enum wire_type {
    /* connector -> gateway */
    WIRE_HELLO = 1, WIRE_READY, WIRE_BUNDLE, WIRE_DONE, WIRE_PING, WIRE_STATE, WIRE_HEALTH, WIRE_LOG, WIRE_BYE,
    /* gateway -> connector (state travels both ways) */
    WIRE_WELCOME, WIRE_PERMIT, WIRE_HOLD, WIRE_CREDIT, WIRE_VERDICT, WIRE_PONG, WIRE_STOP, WIRE_ERROR,
    WIRE_TYPES
};

enum wire_side { WIRE_FROM_CONNECTOR, WIRE_FROM_GATEWAY };

/* Text or bytes inside a frame: lent for as long as the frame; not NUL-terminated. */
struct wire_text {
    const char *at; /* NULL: absent */
    uint32_t    len;
};

/* The fields of a message, as bits of wire_msg.has. */
enum wire_field {
    WIRE_F_V, WIRE_F_ID, WIRE_F_AGENT, WIRE_F_EPOCH, WIRE_F_ATTEMPT, WIRE_F_FRESH, WIRE_F_SEEN, WIRE_F_WANT,
    WIRE_F_HEAD, WIRE_F_RUN, WIRE_F_SEQ, WIRE_F_SIZE, WIRE_F_OFF, WIRE_F_CTYPE, WIRE_F_FORMAT, WIRE_F_OPTIONS,
    WIRE_F_OUTCOME, WIRE_F_TEXT,
    WIRE_F_OP, WIRE_F_VERSION, WIRE_F_AFTER, WIRE_F_SCHEDULE, WIRE_F_PERIOD_MS, WIRE_F_THRESHOLD, WIRE_F_FIRST_RUN,
    WIRE_F_RESUME, WIRE_F_STATUS, WIRE_F_LEVEL, WIRE_F_EXPECT, WIRE_F_CREDIT, WIRE_F_PING_MS, WIRE_F_CHUNK,
    WIRE_F_MAX_BUNDLE, WIRE_F_LEASE_MS, WIRE_F_REASONS, WIRE_F_NEXT_MS, WIRE_F_VERDICT, WIRE_F_REASON, WIRE_F_CODE,
    WIRE_F_FIELD, WIRE_F_VERSIONS, WIRE_F_FATAL,
    WIRE_FIELDS
};
#define WIRE_HAS(m, f) (((m)->has >> (f)) & 1U)

enum wire_outcome { WIRE_OUT_OK, WIRE_OUT_FAILED, WIRE_OUT_STOP };      /* "ok" "failed" "stop" */
enum wire_op { WIRE_OP_GET, WIRE_OP_SET, WIRE_OP_IS, WIRE_OP_SAVED };   /* "get" "set" | "is" "saved" */
/* What kind of schedule, what the first run ever skips, and what follows a hold. */
enum wire_schedule { WIRE_S_PERIOD, WIRE_S_TERMINATE, WIRE_S_CONTINUOUS }; /* "period" "terminate" "continuous" */
enum wire_first { WIRE_FIRST_FREE, WIRE_FIRST_CHECK };                  /* "free" "check" */
enum wire_resume { WIRE_RESUME_DRAIN, WIRE_RESUME_SCHEDULE };           /* "drain" "schedule" */
enum wire_status { WIRE_ST_OK, WIRE_ST_DEGRADED, WIRE_ST_FAILED };      /* "ok" "degraded" "failed" */
enum wire_level { WIRE_LV_ERROR, WIRE_LV_WARN, WIRE_LV_INFO, WIRE_LV_DEBUG }; /* "error" "warn" "info" "debug" */
enum wire_format { WIRE_FMT_RAW, WIRE_FMT_OPENCTI };                    /* "raw" "opencti" */
enum wire_verdict { WIRE_ACK, WIRE_ACK_DEAD, WIRE_NACK };               /* "ack" "dead" "nack" */

/* Hold reasons, as bits; on the wire a list of their names (wire_hold_name).  None: only the time has not come. */
enum wire_hold {
    WIRE_HOLD_QUEUE = 1 << 0, WIRE_HOLD_BUDGET = 1 << 1, WIRE_HOLD_SHARE = 1 << 2, WIRE_HOLD_BROKER_ALARM = 1 << 3,
    WIRE_HOLD_BROKER_DOWN = 1 << 4, WIRE_HOLD_TELEMETRY_STALE = 1 << 5, WIRE_HOLD_SPOOL_FULL = 1 << 6,
    WIRE_HOLD_MEMORY = 1 << 7, WIRE_HOLD_PAUSED = 1 << 8, WIRE_HOLD_DRAINING = 1 << 9,
    WIRE_HOLD_ALL = (1 << 10) - 1
};

/* Why a bundle was refused (verdict nack or dead), a connection stopped, or a message was in error; names
 * on the wire: wire_reason_name. */
enum wire_reason {
    WIRE_R_NONE,
    /* of a verdict */
    WIRE_R_UNROUTABLE,      /* no queue is bound to the target */
    WIRE_R_REFUSED,         /* the broker closed the channel over this message */
    WIRE_R_TOO_LARGE,       /* larger than max_bundle or the broker's max_message_size */
    WIRE_R_TARGET,          /* the target is missing or not durable: an operator must act */
    WIRE_R_EMPTY,           /* a bundle without bytes, or without anything that its format could forward */
    WIRE_R_FORMAT,          /* its bytes or options are not what its format takes; the text says where */
    /* of a stop */
    WIRE_R_REPLACED,        /* another program took this id: stay away */
    WIRE_R_SHUTDOWN,        /* the gateway stops: come back later */
    WIRE_R_SUPERSEDED,      /* another run of this id was permitted: end this one; the connection stays */
    /* of an error */
    WIRE_R_MALFORMED,       /* not a map of this protocol */
    WIRE_R_VERSION,         /* v is not spoken here; versions says which are */
    WIRE_R_TYPE,            /* no such type of message */
    WIRE_R_FIELD,           /* a field is missing, unknown, repeated, of a wrong type or out of range */
    WIRE_R_UNKNOWN_ID,      /* no such connector is configured */
    WIRE_R_HELLO_FIRST,     /* this connection has not been welcomed (also after a silent reconnect) */
    WIRE_R_EPOCH,           /* epoch is not above the last one known, which `epoch` tells */
    WIRE_R_GAP,             /* not the expected sequence or offset; say hello again */
    WIRE_R_CREDIT,          /* bytes beyond the credit: the connection is cut */
    WIRE_R_STATE_STALE,     /* set on a version that is not the current one, which `version` tells */
    WIRE_R_STATE_SIZE,      /* the state is larger than 1 MiB or its chunks do not add up */
    WIRE_R_BUSY,            /* try this again later */
    WIRE_R_NO_RUN,          /* this run is not the current one */
    WIRE_R_UNDELIVERED,     /* a state was to be set after bundles, and one of them was refused */
    WIRE_R_SCHEDULE,        /* a schedule that cannot be; field says what of it */
    WIRE_REASONS
};

/* One message, decoded or to be encoded.  Which fields count is said by has. */
struct wire_msg {
    enum wire_type   type;
    uint64_t         has;
    uint64_t         v;          /* protocol version */
    struct wire_text id;         /* connector: text_is_id */
    struct wire_text agent;      /* the client's name and version, at most 64 bytes */
    uint64_t         epoch;      /* one lifetime of the connector's sequence; grows; at least 1 */
    uint64_t         attempt;    /* which hello of this epoch; grows; welcome repeats it */
    bool             fresh;      /* never welcomed in this epoch */
    uint64_t         seen;       /* every verdict up to this sequence is known to the connector */
    uint64_t         want;       /* bytes waiting at the connector, not yet sent */
    uint64_t         head;       /* size of the first of them; 0 where want is 0 */
    uint8_t          run[WIRE_RUN_LEN];
    uint64_t         seq;        /* of a bundle, from 1 */
    uint64_t         size;       /* of the whole body */
    uint64_t         off;        /* of this chunk in it */
    struct wire_text ctype;      /* content type of the body */
    enum wire_format format;     /* how it becomes messages; absent: as the connector's target says */
    struct wire_text options;    /* what that format is to know of it: an object in JSON */
    enum wire_outcome outcome;
    struct wire_text text;       /* for people, UTF-8, at most WIRE_TEXT_MAX */
    enum wire_op     op;
    uint64_t         version;    /* of a state; 0: none was ever set */
    uint64_t         after;      /* the state is set once every bundle up to this sequence is in safe hands */
    enum wire_schedule schedule;
    uint64_t         period_ms;  /* from the end of a run to the next; there if schedule is WIRE_S_PERIOD */
    uint64_t         threshold;  /* bytes that the connector's queue may hold */
    enum wire_first  first_run;  /* absent: WIRE_FIRST_FREE, which is 0 */
    enum wire_resume resume;     /* absent: WIRE_RESUME_DRAIN, which is 0 */
    enum wire_status status;
    enum wire_level  level;
    uint64_t         expect;     /* the sequence that the gateway takes next */
    uint64_t         credit;     /* absolute: see wire_cost */
    uint64_t         ping_ms;
    uint64_t         chunk;      /* most bytes in a chunk */
    uint64_t         max_bundle; /* most bytes in a bundle */
    uint64_t         lease_ms;   /* a permit lives this long without a ping */
    uint32_t         reasons;    /* of a hold: bits of wire_hold, or none */
    uint64_t         next_ms;    /* the hold is looked at again in this time; at most WIRE_PERIOD_MS_MAX */
    enum wire_verdict verdict;
    enum wire_reason reason;     /* of a verdict or stop */
    enum wire_reason code;       /* of an error */
    struct wire_text field;      /* the field that an error is about */
    uint64_t         versions[WIRE_LIST_MAX]; /* spoken, ends with 0 */
    bool             fatal;      /* the connection is of no more use: repair the cause first */
};

/* Why a frame was refused: code, and the field where one is to blame ("" if none, or if the key that the
 * peer sent is not fit to be repeated). */
struct wire_fault {
    enum wire_reason code;
    char             field[WIRE_FIELD_MAX + 1];
    char             text[240]; /* for the peer's developer: what is wrong and what to send; printable */
};

/* Decode frame 1 of a message that came from `from`.  Texts in *ret are lent from the frame.
 * -1: *fault says why (MALFORMED, VERSION, TYPE or FIELD; BUSY: no memory); *ret is undefined. */
int wire_decode(const void *frame, size_t len, enum wire_side from, struct wire_msg *ret, struct wire_fault *fault);

/* Does this message carry a second frame?  (bundle; state with op set or is and size above 0) */
bool wire_has_body(const struct wire_msg *msg);

/* Encode the fields in msg->has into buf.  Returns the length, or 0 where cap is too small (WIRE_HEADER_MAX
 * always suffices) or wire_decode at the other end would refuse it: a field that the type does not have, one
 * that it needs, or a value out of range (a mistake of ours).  Only `text`, which is for people and often not our
 * own, is cut instead: to WIRE_TEXT_MAX, and before the first NUL or byte that is not UTF-8. */
size_t wire_encode(const struct wire_msg *msg, void *buf, size_t cap);

/* What a bundle of size bytes, those of its options among them, takes from the credit: its size, at least
 * WIRE_COST_MIN, so that the memory for many tiny bundles is bounded by the same figure. */
uint64_t wire_cost(uint64_t size);

/* Names as on the wire; "?" for what has none. */
const char *wire_type_name(enum wire_type type);
const char *wire_reason_name(enum wire_reason reason);
const char *wire_hold_name(enum wire_hold one);

#endif
