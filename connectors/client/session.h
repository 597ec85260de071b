/* session.h - the connector's side of the protocol (docs/protocol.md) as a machine.
 *
 * It is handed bundles, decoded messages and times, and gives messages to send and answers for bundles.
 * No sockets, no threads, no clock, no randomness: the same calls give the same outputs, so that a
 * simulator can run it against the gateway's core.  One thread at a time.
 *
 *     session_push(s, &mine->bundle);
 *     session_receive(s, &msg, body, body_len, now);     as messages come in
 *     session_tick(s, now);                              at session_due(s), or more often
 *     if (session_wants_reset(s)) { replace the connection; session_connection_reset(s, now); }
 *     while (can_send && session_next_output(s, now, &out))
 *         send out.msg, and out.len bytes of its body
 *     while ((b = session_next_answer(s)) != NULL)
 *         b is the caller's again, with its verdict
 *
 * Times are microseconds of any clock that never steps back, and at least 0.
 * Bound: the queue of bundles is intrusive, so a push allocates nothing and cannot fail; the caller
 * bounds it.  Besides it a session holds at most SESSION_LOG_MAX lines, two connector states, and the words of one
 * end of a run. */
#ifndef SESSION_H
#define SESSION_H

#include "wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum {
    SESSION_LOG_MAX = 64,   /* lines kept while the gateway is away; then the oldest is dropped */
    SESSION_TEXT_MAX = 256  /* bytes of the gateway's words that are kept, the NUL included */
};

struct session;

struct session_config {
    const char *id;    /* of the connector: text_is_id.  Copied */
    const char *agent; /* name and version of the program, at most 64 bytes.  Copied; NULL: none */
    uint64_t    epoch; /* larger than all before, at least 1: wall clock in us * 1024 + 10 random bits serves */
};

enum session_verdict { SESSION_UNANSWERED, SESSION_ACKED, SESSION_DEAD, SESSION_NACKED };

/* A bundle on its way; the caller embeds it in a struct of its own.  From session_push until
 * session_next_answer or session_take_oldest gives it back it is the session's, and stays in place. */
struct session_bundle {
    uint64_t         size;  /* bytes in the body, at least 1; set by the caller */
    struct wire_text ctype; /* content type, as long-lived as the bundle; at NULL: none; set by the caller */
    struct wire_text options; /* of its format, likewise */
    int      format;        /* enum wire_format + 1; 0: as the gateway is configured; set by the caller */

    uint64_t              seq; /* set by session_push: 1, 2, 3, ... */
    enum session_verdict  verdict;
    enum wire_reason      reason; /* of a verdict other than ACKED; WIRE_R_NONE if none was given */
    char                 *text;   /* the same for a person, NULL if none; malloc, the caller's with the bundle */
    struct session_bundle *next;  /* the session's */
};

/* One message to send.  Texts in msg and `state` are lent until the next call on the session. */
struct session_output {
    struct wire_msg        msg;
    struct session_bundle *bundle; /* a chunk of this bundle's body is the second frame; NULL: not of a bundle */
    const void            *state;  /* a chunk of a state is the second frame: its first byte; NULL: not a state */
    uint64_t               off;    /* where in the bundle's body the chunk begins */
    size_t                 len;    /* bytes in the second frame; 0: there is none */
};

enum session_phase {
    SESSION_CONNECTING, /* not welcomed, or not any more: hello is repeated */
    SESSION_WELCOMED,
    SESSION_REFUSED,    /* the gateway refuses this connector: hello is repeated slowly; see session_info.words */
    SESSION_REPLACED    /* another program took the id: nothing is sent any more, for ever */
};

enum session_run_step {
    SESSION_RUN_NONE,      /* idle */
    SESSION_RUN_UNDER_WAY, /* permitted; hello and ping name it */
    SESSION_RUN_ENDING,    /* its end was told to the session; named until the gateway has recorded it */
    SESSION_RUN_OVER       /* for the gateway: it permitted another.  Until session_done says that the program knows */
};

/* How the schedule stands.  The counts tell a caller which of its calls an answer belongs to. */
struct session_run {
    enum session_run_step step;
    uint8_t  id[WIRE_RUN_LEN];
    uint64_t permits;  /* runs that began */
    uint64_t ask;      /* of the last session_ready */
    uint64_t changes;  /* grows with every change of this struct that the gateway made */
    bool     answered; /* the last session_ready: the gateway has said permit or hold, or refused the schedule */
    bool     refused;  /* the schedule; it is not asked with any more */
    uint32_t reasons;  /* of the last hold */
    int64_t  next_us;  /* when the gateway looks at it again, by the clock of the session; -1: it did not say */
    const char *words; /* of the gateway, about the schedule that it refused; "" otherwise.  Lent */
};

struct session_info {
    enum session_phase phase;
    uint64_t epoch, attempt;
    uint64_t seen;          /* every verdict up to this sequence is known */
    uint64_t pushed;        /* sequence of the newest bundle */
    uint64_t started;       /* highest sequence of which a chunk was ever given out */
    uint64_t completed;     /* highest sequence of which all chunks were ever given out */
    uint64_t credit, spent; /* since the last welcome */
    uint64_t want, head;    /* bytes not yet started since the last welcome, and the first bundle of these */
    uint64_t max_bundle;    /* 0 until the first welcome */
    uint64_t ping_us;
    uint64_t resent;        /* bundles started more than once */
    uint64_t welcomes;      /* welcomes that were obeyed */
    uint64_t faults;        /* times the gateway broke the protocol */
    uint64_t log_dropped;
    uint32_t hold;          /* bits of wire_hold: why no credit is given; 0 if it is, or if it was not said */
    const char *words;      /* what the gateway said last about an error or stop; "" if nothing.  Lent */
    struct session_run run;
};

/* Returns a new session that will say hello at once, or NULL with *err filled (ERR_NOMEM; ERR_CONFIG). */
struct session *session_new(const struct session_config *config, struct err *err);

/* Free it.  Take the bundles out first (session_take_oldest); what is left is not touched.  NULL does nothing. */
void session_free(struct session *s);

/* Take a bundle over, whose size and ctype are set: it is sent when its turn and the credit come. */
void session_push(struct session *s, struct session_bundle *b);

/* A message from the gateway; body is its second frame, or NULL.  What does not fit the protocol is counted
 * and has no effect, or brings a new connection. */
void session_receive(struct session *s, const struct wire_msg *msg, const void *body, size_t body_len,
                     int64_t now_us);

/* Let time pass: hello again, ping, give a silent connection up. */
void session_tick(struct session *s, int64_t now_us);

/* When session_tick is needed next; INT64_MAX: not until something else happens. */
int64_t session_due(const struct session *s);

/* The transport was lost or replaced: what was on the way is gone.  Says hello as soon as that is decent. */
void session_connection_reset(struct session *s, int64_t now_us);

/* Should the caller replace the connection?  Tells once; to be answered with session_connection_reset. */
bool session_wants_reset(struct session *s);

/* The next message to send, in order; false if there is none now.  What is given out counts as sent: a
 * message that cannot be sent any more needs session_connection_reset (or the gateway will call for it). */
bool session_next_output(struct session *s, int64_t now_us, struct session_output *ret);

/* The oldest bundle that was answered for, in order of sequence; it is the caller's again.  NULL: none. */
struct session_bundle *session_next_answer(struct session *s);

/* For the end: the oldest bundle, answered or not; it is the caller's again.  NULL: none. */
struct session_bundle *session_take_oldest(struct session *s);

/* Say bye if welcomed, and nothing after it. */
void session_bye(struct session *s);

void session_info(const struct session *s, struct session_info *ret);

/* Something worth a line in a log happened: its text (lent until the next call), or NULL.  Tells once. */
const char *session_note(struct session *s, enum wire_level *ret_level);

/* --- the connector's own words; sent when welcomed --- */

/* Copy a line (UTF-8, at most WIRE_TEXT_MAX bytes) for the gateway's log.  Without memory it is dropped, counted. */
void session_log(struct session *s, enum wire_level level, const char *text, size_t len);

/* Tell how the connector is; text is copied, NULL: none.  The last one is told again after each welcome. */
void session_health(struct session *s, enum wire_status status, const char *text, size_t len);

/* --- runs: a schedule, and what the gateway permits by it --- */

struct session_schedule {
    enum wire_schedule kind;
    uint64_t           period_ms; /* with WIRE_S_PERIOD */
    bool               has_threshold;
    uint64_t           threshold; /* bytes */
    enum wire_first    first;
    enum wire_resume   resume;
    uint64_t           ask; /* the caller's own: session_run.ask tells by it which session_ready an answer is for */
};

/* Ask for permits by this schedule from here on: whenever there is no run, and again after each welcome.  While a run
 * is under way it is for what follows. */
void session_ready(struct session *s, const struct session_schedule *schedule);

/* Ask no more.  A run that is under way goes on; a permit that comes all the same is not taken. */
void session_unready(struct session *s);

/* The program's run is over, with an outcome and words (text may be NULL) for people.  It is told once everything that
 * was pushed before is answered for, and again after each welcome until it is recorded.  A run that is not the
 * present one any more is forgotten. */
void session_done(struct session *s, const uint8_t run[WIRE_RUN_LEN], enum wire_outcome outcome, const char *text);

/* --- the connector's state: one operation at a time --- */

struct session_state {
    enum err_code code;     /* ERR_NONE; ERR_STALE; ERR_CONFIG (refused: see text); ERR_NOMEM; ERR_DENIED: see why */
    enum wire_reason why;   /* of ERR_DENIED: WIRE_R_UNDELIVERED or WIRE_R_NO_RUN */
    char          text[SESSION_TEXT_MAX];
    void         *bytes;    /* of a get: malloc, the caller's; NULL where len is 0 */
    size_t        len;
    uint64_t      version;  /* of a get: the current; of a set: the new one; of ERR_STALE: the current, if told */
};

/* Begin to read the state.  false: another operation is still under way. */
bool session_state_get(struct session *s);

/* Begin to replace it; takes *bytes (malloc; NULL where len is 0, at most WIRE_STATE_MAX) unless it returns false.
 * Where the answer is lost, the state is read to see what became of it, and the set repeated if it was lost too. */
bool session_state_set(struct session *s, void **bytes, size_t len, uint64_t version);

/* What a set may bring along. */
struct session_commit {
    bool              after; /* not before everything pushed up to now is answered; ERR_DENIED if it was refused */
    bool              ends;  /* with it ends the run `run`, as one; ERR_DENIED if that is not the present one */
    uint8_t           run[WIRE_RUN_LEN];
    enum wire_outcome outcome;
};

/* The same with what commit says. */
bool session_state_commit(struct session *s, void **bytes, size_t len, uint64_t version,
                          const struct session_commit *commit);

/* Did the operation end?  Tells once; the session is ready for the next then. */
bool session_state_done(struct session *s, struct session_state *ret);

/* Nobody waits for it any more.  The next operation can begin once the answer came, or was given up. */
void session_state_cancel(struct session *s);

#endif
