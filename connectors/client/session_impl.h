/* session_impl.h - the inside of a session, shared by its own files only (session*.c). */
#ifndef SESSION_IMPL_H
#define SESSION_IMPL_H

#include "session.h"
#include "text.h"

#define SESSION_MS INT64_C(1000)
#define SESSION_S INT64_C(1000000)
#define SESSION_NEVER INT64_MAX
#define SESSION_REFUSED_US (30 * SESSION_S) /* between hellos then: an operator may add the connector meanwhile */

/* Where the one operation on the connector's state stands. */
enum state_step {
    STATE_IDLE,
    STATE_ASK,   /* a get is to be sent */
    STATE_ASKED, /* and was: `is` is awaited */
    STATE_HELD,  /* a set is to be sent, once all before it is answered for */
    STATE_PUT,   /* chunks of a set are to be sent, from off on */
    STATE_SAID,  /* and were: `saved` is awaited */
    STATE_DONE   /* the result waits for session_state_done */
};

struct state_op {
    enum state_step step;
    bool     is_set;    /* a set; else a get */
    bool     cancelled; /* nobody waits for the result */
    unsigned sets;      /* complete sets sent for this operation: above 1, an answer may belong to an earlier one */
    int64_t  retry_at;  /* an answer that is not here by then is taken as lost; SESSION_NEVER: none awaited */
    uint8_t *put;       /* owned: what to set */
    size_t   put_len, off;
    uint64_t base;      /* the version that it replaces */
    struct session_commit commit;
    uint64_t after;     /* with commit.after: the last bundle that was pushed before */
    uint8_t *got;       /* owned: what was read so far */
    size_t   got_len, got_have;
    uint64_t got_version;
    bool     looked;    /* the set was found done by reading: its answer was lost */
    bool     getting;   /* the first chunk of an answer was there */
    struct session_state result;
};

/* The schedule, and the run that is under way. */
struct run_part {
    struct session_run run;
    struct session_schedule schedule;
    bool     asked;      /* there is a schedule */
    bool     ready_due;  /* `ready` is to be sent */
    bool     ready_said; /* on this connection: its answer is awaited, or was here */
    bool     done_due;   /* `done` is to be sent, once all up to done_after is answered for */
    bool     with_state; /* a set of the state that is under way ends the run: no `done` before its answer */
    uint64_t done_after;
    enum wire_outcome outcome;
    char    *text;       /* owned; NULL: none */
    char     words[SESSION_TEXT_MAX];
};

struct session_line {
    enum wire_level level;
    char           *text; /* owned */
    size_t          len;
};

enum { SESSION_EPOCH_BITS = 1024 }; /* the low bits of an epoch are random, for programs that start at once */

struct session {
    char id[TEXT_ID_MAX + 1];
    char agent[TEXT_ID_MAX + 1];

    /* the exchange */
    enum session_phase phase;
    uint64_t epoch, attempt;
    bool     fresh;      /* never welcomed in this epoch */
    bool     awaiting;   /* a hello went out, and nothing since made its welcome worthless */
    bool     hello_now;  /* a hello is to be sent as soon as there is a connection */
    bool     want_reset;
    bool     leave;      /* the gateway stops: the next hello goes on a new connection */
    bool     bye, said_bye;
    unsigned tries;      /* hellos since the last welcome */
    unsigned stalls;     /* times the exchange broke without progress in between */
    int64_t  hello_at;   /* when hello_now becomes true */
    int64_t  hello_last; /* when the last one went out */
    int64_t  welcomed_at;
    int64_t  not_before; /* no hello before this time, whatever the transport does */
    uint64_t last_expect;
    char     words[SESSION_TEXT_MAX];
    char     note[SESSION_TEXT_MAX];
    enum wire_level note_level;
    bool     noted;

    /* the limits that welcome told */
    uint64_t chunk, max_bundle;
    int64_t  ping_us;

    /* the queue, in order of sequence: answered | sent | to be sent */
    struct session_bundle *head, *tail; /* oldest and newest */
    struct session_bundle *unanswered;  /* first without a verdict */
    struct session_bundle *cursor;      /* being sent or next to be; NULL: nothing waits */
    uint64_t cursor_off;                /* bytes of it given out; 0: not started */
    uint64_t want;                      /* bytes of bundles from the cursor on that were not started */
    uint64_t pushed, seen, started, completed;
    uint64_t credit, spent;
    uint32_t hold;

    /* pings */
    bool     ping_now;
    bool     pinged;        /* one is unanswered */
    int64_t  ping_at;       /* when ping_now becomes true */
    int64_t  heard_at;      /* the gateway's last sign of life */
    uint64_t told_want;     /* what the gateway was told last */
    uint64_t told_head_seq; /* 0: that nothing waits */

    /* the connector's own words */
    struct session_line lines[SESSION_LOG_MAX]; /* a ring */
    unsigned lines_first, lines_n;
    enum wire_status status;
    char    *status_text; /* owned */
    size_t   status_len;
    bool     status_set, status_due;
    char    *lent;        /* owned: text of the last output */

    struct state_op state;
    struct run_part run;
    uint64_t nack_first; /* the first refusal that no set of the state has told yet; 0: none */
    uint64_t nack_last;
    uint64_t nack_told;  /* what was refused up to this sequence was told */

    uint64_t resent, welcomes, faults, log_dropped;
};

/* session.c */
void session_drop(struct session *s); /* not welcomed any more: nothing is spent, all is to be resent */
void session_hello_in(struct session *s, int64_t delay_us, int64_t now_us); /* and not before */
void session_fault(struct session *s, int64_t now_us, const char *what);   /* the gateway broke the protocol */
void session_say(struct session *s, enum wire_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int64_t session_backoff(struct session *s, int64_t now_us); /* 0 at first; without progress doubling to 10 s */

/* session_queue.c */
uint64_t session_weight(const struct session_bundle *b); /* its bytes, in want, head and credit: options count */
void session_rewind(struct session *s, uint64_t expect); /* the next to send is the first from expect on */
bool session_queue_output(struct session *s, struct session_output *ret);
bool session_untold(const struct session *s); /* does the gateway not know of the bundles that wait? */
void session_tell(struct session *s, struct wire_msg *msg); /* put want and head into msg */
void session_verdict(struct session *s, const struct wire_msg *msg, int64_t now_us);

/* session_state.c */
void session_state_welcomed(struct session *s);
void session_state_tick(struct session *s, int64_t now_us);
bool session_state_output(struct session *s, int64_t now_us, struct session_output *ret);
void session_state_receive(struct session *s, const struct wire_msg *msg, const void *body, size_t len);
void session_state_error(struct session *s, const struct wire_msg *msg, int64_t now_us);
void session_state_free(struct state_op *op);
bool session_state_ends_run(const struct session *s); /* is the answer of a set awaited that was to end a run? */

/* session_run.c */
void session_run_welcomed(struct session *s);
void session_run_name(const struct session *s, struct wire_msg *msg); /* put the run into a hello or ping */
void session_run_pinged(struct session *s);                                 /* a ping is due */
bool session_run_output(struct session *s, struct session_output *ret);
void session_run_permit(struct session *s, const struct wire_msg *msg);
void session_run_hold(struct session *s, const struct wire_msg *msg, int64_t now_us);
void session_run_superseded(struct session *s);
bool session_run_error(struct session *s, const struct wire_msg *msg); /* false: it is about something else */
bool session_run_is(const struct session *s, const uint8_t run[WIRE_RUN_LEN]); /* the present one, not ended yet? */
void session_run_settled(struct session *s, const struct session_state *result, bool looked); /* by a set */
void session_run_free(struct run_part *r);

#endif
