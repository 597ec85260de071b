/* sluice.h - the connector library of Sluice: push bundles to a gateway, and know what became of them.
 *
 *     struct sluice_error err;
 *     struct sluice_options opt = { .id = "my-connector" };
 *     struct sluice *s = sluice_open(&opt, &err);
 *     if (s == NULL || sluice_push(s, body, len, NULL, -1, &err) != 0 || sluice_flush(s, -1, &err) != 0)
 *         fprintf(stderr, "%s\n", err.text);
 *     sluice_close(&s, 5000, NULL);
 *
 * A connector that runs by a schedule leaves its main loop to the library, which asks the gateway and calls back:
 *
 *     static enum sluice_outcome
 *     import(struct sluice *s, struct sluice_run *run, void *ctx) { ... sluice_push ...; return SLUICE_RUN_OK; }
 *     ...
 *     if (sluice_schedule_iso(s, "P1D", import, NULL, NULL, &err) != 0)
 *         fprintf(stderr, "%s\n", err.text);
 *
 * Custody: a bundle that sluice_push accepted is the library's until the gateway answers for it.  The
 * library reconnects, resends, and never loses it unless the process dies; what is still unanswered at
 * close is reported.  A connector that must survive its own death keeps its cursor in the state
 * and moves it only after everything before it was acked: sluice_state_commit does just that.
 *
 * Threads: every call but sluice_open and sluice_close may be made from any thread at any time, on one
 * handle.  The library runs one thread of its own, and no signal is delivered to it.  A handle does not survive fork.
 * Times are milliseconds; a timeout of -1 waits for ever, 0 does not wait.  Sizes are bytes.
 * Calls return 0 or a negative sluice_code; err may be NULL, and is written on failure only. */
#ifndef SLUICE_H
#define SLUICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library hides everything but what this header declares. */
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define SLUICE_VERSION_MAJOR 0
#define SLUICE_VERSION_MINOR 1

/* Where the gateway listens by default, and what the environment may say instead. */
#define SLUICE_DEFAULT_ENDPOINT "tcp://127.0.0.1:7117"
#define SLUICE_ENV_ENDPOINT "SLUICE_ENDPOINT"

enum sluice_code {
    SLUICE_OK = 0,
    SLUICE_EINVAL = -1,    /* an argument is wrong; err.text says which and what to write */
    SLUICE_ENOMEM = -2,    /* no memory; nothing was accepted */
    SLUICE_EAGAIN = -3,    /* the timeout is over (or was 0): call again, sluice_fd tells when */
    SLUICE_ENACK = -4,     /* flush: bundles were refused; take them with sluice_verdict_next */
    SLUICE_EVERDICTS = -5, /* too many verdicts wait to be taken: call sluice_verdict_next */
    SLUICE_ETOOLARGE = -6, /* larger than the gateway takes (sluice_info tells) or than queue_bytes */
    SLUICE_ESTALE = -7,    /* state: another version is current; get it again first */
    SLUICE_EREPLACED = -8, /* another program took this id; this handle is of no more use */
    SLUICE_EREFUSED = -9,  /* the gateway refuses this connector; err.text says why and what to do */
    SLUICE_EIO = -10,      /* the system failed (sockets, threads) */
    SLUICE_EHELD = -11,    /* Run & Terminate was held: nothing was run; exit with SLUICE_EXIT_HELD */
    SLUICE_ENORUN = -12,   /* no run is under way, or the gateway has put another in its place */
    SLUICE_EINTR = -13     /* sluice_interrupt ended the waiting */
};

/* The exit status of a program whose Run & Terminate was held: "try again later" (EX_TEMPFAIL). */
#define SLUICE_EXIT_HELD 75

struct sluice_error {
    int  code;      /* a sluice_code */
    char text[256]; /* for a person; never empty after a failure */
};

/* Options; zero is the default of each.  Strings are copied by sluice_open. */
struct sluice_options {
    const char *id;          /* required: ^[a-z0-9][a-z0-9._-]{0,63}$ */
    const char *endpoint;    /* "tcp://host:port" or "ipc://path"; NULL: $SLUICE_ENDPOINT, then the default */
    const char *agent;       /* name and version of the program, at most 64 bytes; NULL: the library's own */
    size_t      queue_bytes; /* most bytes accepted and unanswered, or refused and not taken; 0: 64 MiB.  A bundle
                                counts as at least 1 KiB */
    int         report_acks; /* not 0: sluice_verdict_next reports acks too, not only what was refused */
    void      (*on_log)(void *ctx, int level, const char *text); /* the library's own words; called in its
                                thread, must not call back; level 0 error to 3 debug; NULL: silent */
    void       *log_ctx;
};

struct sluice;

/* Start a connector.  Returns at once; the gateway need not be there yet: the library keeps trying.
 * Returns a new handle, or NULL with *err filled (EINVAL, ENOMEM, EIO). */
struct sluice *sluice_open(const struct sluice_options *opt, struct sluice_error *err);

/* Wait until the gateway has welcomed this connector.  EAGAIN: not within timeout_ms (err.text says
 * what is being tried); EREFUSED, EREPLACED. */
int sluice_wait(struct sluice *s, int timeout_ms, struct sluice_error *err);

/* What a push may say about its bundle; zero is the default of each. */
struct sluice_push_options {
    const char *content_type; /* at most 128 bytes of printable ASCII; NULL: "application/octet-stream" */
    uint64_t    tag;          /* the caller's own; comes back in the verdict */
    const char *format;       /* how the bundle becomes messages: "raw", "opencti"; NULL: the gateway's */
    const char *options;      /* what that format is to know of it: a JSON object of at most 8192 bytes, see
                                 docs/formats.md; NULL: nothing */
};

/* Copy body (1 to max_bundle bytes) and accept it for delivery; opt may be NULL.  Waits for room.
 * 0: accepted, see Custody above.  Else nothing was accepted: EINVAL, ENOMEM, EAGAIN, EVERDICTS,
 * ETOOLARGE, EREPLACED, EREFUSED.  */
int sluice_push(struct sluice *s, const void *body, size_t len, const struct sluice_push_options *opt,
                int timeout_ms, struct sluice_error *err);

/* The same, taking a body that was allocated with malloc: on 0 the library owns it and *body is NULL;
 * otherwise nothing has moved.  Saves the copy. */
int sluice_push_take(struct sluice *s, void **body, size_t len, const struct sluice_push_options *opt,
                     int timeout_ms, struct sluice_error *err);

/* Wait until everything accepted so far is answered for.  0: all of it was acked.  ENACK: all is answered,
 * and some was refused (take the verdicts).  EAGAIN, EREPLACED, EREFUSED. */
int sluice_flush(struct sluice *s, int timeout_ms, struct sluice_error *err);

enum sluice_verdict_kind {
    SLUICE_ACKED,      /* the gateway answers for it from here on */
    SLUICE_ACKED_DEAD, /* the gateway keeps it, as a dead letter: it could not be forwarded */
    SLUICE_NACKED      /* refused: it is yours again */
};

struct sluice_verdict {
    enum sluice_verdict_kind kind;
    uint64_t    tag;
    uint64_t    seq;        /* its number in this handle's lifetime, from 1 */
    const void *body;       /* of a NACKED bundle: lent until the next sluice_verdict_next; else NULL */
    size_t      len;
    char        reason[32]; /* a word of docs/protocol.md: "unroutable", "too_large", ...; "" for acks */
    char        text[256];  /* the same for a person */
};

/* Take the oldest verdict that waits (refused bundles; acks too with report_acks).  0: *ret is filled.
 * EAGAIN: none within timeout_ms.  At most 4096 wait; then sluice_push returns EVERDICTS.
 * One thread at a time. */
int sluice_verdict_next(struct sluice *s, struct sluice_verdict *ret, int timeout_ms, struct sluice_error *err);

/* A descriptor for poll (POLLIN): readable when something changed since the last call that returned
 * EAGAIN (room to push, a verdict to take, all answered, welcomed, stopped, a permit, a run that is over,
 * sluice_interrupt).  Call again, do not read from it.
 * Lent until sluice_close. */
int sluice_fd(const struct sluice *s);

/* The connector's state: bytes of its own (at most 1 MiB) that the gateway keeps, with a version that
 * grows by one with each change; version 0 means that none was ever set. */
struct sluice_state {
    void    *bytes;   /* allocated with malloc, the caller frees it; NULL where len is 0 */
    size_t   len;
    uint64_t version;
};

/* Read the state.  EAGAIN, ENOMEM, EREFUSED, EREPLACED. */
int sluice_state_get(struct sluice *s, struct sluice_state *ret, int timeout_ms, struct sluice_error *err);

/* Replace the state, if version is still the current one (from sluice_state_get or the last set).
 * 0: it is on the gateway's disk, flushed; *ret_version (may be NULL) is the new version.
 * ESTALE: somebody else set it; EAGAIN: not known, get it again to see; EINVAL (too long), EREFUSED, EREPLACED. */
int sluice_state_set(struct sluice *s, const void *bytes, size_t len, uint64_t version,
                     uint64_t *ret_version, int timeout_ms, struct sluice_error *err);

/* The same, but only once everything that was pushed before is answered for: so a cursor never passes a bundle that
 * nobody holds.  0: everything was acked (dead letters included), and the state is set.  ENACK: something was
 * refused since the last commit or set; nothing was changed, and this is told once: take the verdicts, push again
 * what matters, and commit again.  EAGAIN: not within timeout_ms; whether it is set is not known.  Else as
 * sluice_state_set. */
int sluice_state_commit(struct sluice *s, const void *bytes, size_t len, uint64_t version,
                        uint64_t *ret_version, int timeout_ms, struct sluice_error *err);

/* --- Runs: the gateway says when ---
 *
 * A connector with a schedule runs when the gateway permits it, and only then.  The gateway keeps the time of the
 * last run, so that a restart is no free run; the next is due one period after the end of the last.  A connector
 * that is due may be held (its queue is full, RabbitMQ is away, an operator paused it) and is permitted by itself
 * when the reasons are gone.  While a run is under way the library keeps it alive with pings, however long the
 * callback takes.  A connector without a schedule needs none of this: it pushes by credit alone. */

/* A year is 365 days. */
enum sluice_unit { SLUICE_SECONDS, SLUICE_MINUTES, SLUICE_HOURS, SLUICE_DAYS, SLUICE_WEEKS, SLUICE_YEARS };

enum sluice_outcome {
    SLUICE_RUN_OK,
    SLUICE_RUN_FAILED, /* it ran and did not do all it should; the next is due as after any other */
    SLUICE_RUN_STOP    /* it ends early, and the program wants no other */
};

/* A run, lent to the callback, or filled by sluice_permit_next. */
struct sluice_run {
    unsigned char id[16];    /* random, as in the gateway's log */
    char          text[512]; /* for the callback to fill: words for people about the end ("" if none); UTF-8 */
};

/* What a schedule may say besides its period; zero is the default of each. */
struct sluice_schedule_options {
    int    run_and_terminate; /* not 0: one run, whatever the period says, and only if nothing holds it now */
    int    has_threshold;     /* not 0: threshold_mb counts; else the gateway's setting does */
    double threshold_mb;      /* MB (10^6 bytes) in the connector's queue at which no run begins; 0: none ever */
    int    check_first;       /* not 0: the queue is looked at before the first run ever, too */
    int    resume_schedule;   /* not 0: after a hold wait for a whole period, instead of until the reasons are gone */
};

/* One run: push, and return how it went.  Called on the thread that called sluice_schedule_*; may call everything
 * but sluice_schedule_*, sluice_ready, sluice_permit_next and sluice_close.  In a long run look at sluice_run_alive now
 * and then. */
typedef enum sluice_outcome (*sluice_run_fn)(struct sluice *s, struct sluice_run *run, void *ctx);

/* Call `run` whenever the gateway permits it, on this thread, until it returns SLUICE_RUN_STOP.
 *
 * period: ISO 8601 ("PT5M", "P1D") or another spelling of docs/durations.md, in whole seconds; the rest of a second
 * does not count, and a period below a second is refused, as is a negative one.  Zero in any spelling ("0", "P0D") is
 * Run & Terminate: one run and no more.  opt may be NULL.
 *
 * Returns 0 after SLUICE_RUN_STOP, or after the one run of Run & Terminate, once its end is on the gateway's disk.
 * EHELD: Run & Terminate was held, err.text says by what; nothing was run.  EINTR: sluice_interrupt.  EINVAL: the
 * period or an option cannot be (also: the gateway says so); err.text says what to write.  EREPLACED; EREFUSED.  A run
 * ends, for the gateway, when everything that it pushed is answered for; the words in run->text go with it. */
int sluice_schedule_iso(struct sluice *s, const char *period, sluice_run_fn run, void *ctx,
                        const struct sluice_schedule_options *opt, struct sluice_error *err);

/* The same with a period of n units: to the millisecond, at least one second, or 0 for Run & Terminate. */
int sluice_schedule_unit(struct sluice *s, double n, enum sluice_unit unit, sluice_run_fn run, void *ctx,
                         const struct sluice_schedule_options *opt, struct sluice_error *err);

/* End the waiting of sluice_schedule_* or sluice_permit_next, now or at their next call: they return EINTR, once.  A
 * callback that is under way is not disturbed: it runs to its end, which is told (5 s at most for that), and then
 * sluice_schedule_* returns.  From any thread, and from a signal handler (async-signal-safe); not after sluice_close
 * began. */
void sluice_interrupt(struct sluice *s);

/* The same without a callback, for programs with a loop of their own: sluice_ready once; then poll sluice_fd, take
 * a permit with sluice_permit_next, run, sluice_done, and so on.  One thread at a time for these three.
 *
 * Ask for permits from here on, also after each run and after a reconnect.  period NULL: continuous, a permit as soon
 * as nothing holds it, for a run without an end of its own; else as sluice_schedule_iso.  Called again it changes
 * the schedule, for the runs that follow.  Never waits.  EINVAL. */
int sluice_ready(struct sluice *s, const char *period, const struct sluice_schedule_options *opt,
                 struct sluice_error *err);

/* Take the next permit.  0: *ret is a run, under way from here until sluice_done or sluice_done_with_state.  EAGAIN:
 * none within timeout_ms; err.text says what holds it and until when.  EHELD: Run & Terminate was held; nothing is
 * asked any more, nor after its one run.  EINVAL: sluice_ready was not called, a run is under way, or the gateway
 * refused the schedule.  EINTR, EREPLACED, EREFUSED. */
int sluice_permit_next(struct sluice *s, struct sluice_run *ret, int timeout_ms, struct sluice_error *err);

/* End the run.  Never waits: the gateway is told once everything that was pushed before is answered for, and again
 * until its disk has it (sluice_info tells, sluice_close waits).  text (may be NULL, at most 1024 bytes, more is cut)
 * is for people.  After SLUICE_RUN_STOP no more permits are asked for.  ENORUN: none is under way, or it was
 * superseded, in which case it is over now all the same; EINVAL. */
int sluice_done(struct sluice *s, enum sluice_outcome outcome, const char *text, struct sluice_error *err);

/* End the run and set the state (as sluice_state_commit) as one: after a crash both have happened, or neither.
 * 0: both are on the gateway's disk.  ENORUN: the run was superseded; the state is not set, and the run is over.
 * EAGAIN: not known; sluice_done ends the run all the same.  On any other failure the run goes on.  A callback that did
 * this returns the same outcome. */
int sluice_done_with_state(struct sluice *s, enum sluice_outcome outcome, const void *bytes, size_t len,
                           uint64_t version, uint64_t *ret_version, int timeout_ms, struct sluice_error *err);

/* Is the run that was taken still the gateway's?  0: it was ended, or superseded: the gateway gave it up (the
 * program was cut off for longer than three pings) and permitted another; what it pushes is taken all the same.  Or
 * another program took the id, or the gateway refuses this connector: then nothing is taken any more. */
int sluice_run_alive(const struct sluice *s);

enum sluice_level { SLUICE_ERROR, SLUICE_WARN, SLUICE_INFO, SLUICE_DEBUG };

/* Put a line into the gateway's log (UTF-8, at most 1024 bytes; more is cut).  Never waits: at most 64 lines
 * are kept while the gateway is away, then the oldest is dropped.  EINVAL. */
int sluice_log(struct sluice *s, enum sluice_level level, const char *text, struct sluice_error *err);

enum sluice_status { SLUICE_HEALTHY, SLUICE_DEGRADED, SLUICE_FAILED };

/* Tell the gateway how this connector is; text (at most 1024 bytes, more is cut) may be NULL.  Never waits; the
 * last one told is repeated after a reconnect.  EINVAL. */
int sluice_health(struct sluice *s, enum sluice_status status, const char *text, struct sluice_error *err);

/* How things stand; all figures are of this handle's lifetime. */
struct sluice_info {
    int      connected;        /* welcomed now */
    uint64_t accepted;         /* bundles accepted by push */
    uint64_t accepted_bytes;
    uint64_t acked;            /* of those: answered with ack (dead letters included) */
    uint64_t nacked;           /* refused */
    uint64_t unanswered;       /* still the library's */
    uint64_t unanswered_bytes;
    uint64_t resent;           /* bundles sent more than once */
    uint64_t reconnects;
    uint64_t max_bundle;       /* most bytes in a bundle; 0 until the first welcome */
    char     hold[96];         /* why the gateway gives no credit ("broker_down,memory"); "" if it does */
    int      running;          /* a run was taken, and its end was not told to the library */
    int      ending;           /* the end of a run was told, and the gateway has not recorded it yet */
    char     run_hold[96];     /* why there is no permit, likewise; "" if only the time has not come, or not asked */
    int64_t  next_run_ms;      /* until the gateway looks at the schedule again; -1: nobody can say */
};
void sluice_info(const struct sluice *s, struct sluice_info *ret);

/* Wait up to timeout_ms for what is unanswered, and for the end of a run to be recorded, say bye, free everything.
 * *s is NULL afterwards.  info (may be NULL) tells what was left: info->unanswered is 0 if nothing was.  Returns 0, or
 * EAGAIN where bundles were left unanswered, or the end of a run unrecorded.  A run that was not ended, and a permit
 * that was not taken, are lost: the next is due a period later.  sluice_close of NULL does nothing. */
int sluice_close(struct sluice **s, int timeout_ms, struct sluice_info *info);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif
#endif
