/* desk.h - where the program's threads and the library's thread meet: one lock, and what lies under it.
 *
 * Callers put bundles, lines and requests on it and wait for news; the library's thread collects them,
 * works without the lock, and reports.  Functions named desk_* without "_locked" take the lock
 * themselves; those with it are called with the lock held.  No other lock is taken inside it.
 *
 * Bounds: bundles that are unanswered or whose verdict waits take at most queue_bytes (a bundle counts at
 * least 1 KiB; a single one is always taken), besides the one that is lent; SESSION_LOG_MAX lines; one
 * health; one request for the state; one schedule; one end of a run. */
#ifndef DESK_H
#define DESK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bundle.h"
#include "session.h"

struct err;

enum { DESK_VERDICTS_MAX = 4096 }; /* verdicts that may wait before a push is refused */

struct desk_line {
    struct desk_line *next;
    enum wire_level   level;
    size_t            len;
    char              text[];
};

struct desk_health {
    bool             told;
    enum wire_status status;
    char            *text; /* owned; NULL: none */
};

enum desk_state_step { DESK_STATE_NONE, DESK_STATE_ASKED, DESK_STATE_TAKEN, DESK_STATE_DONE };

enum desk_ready { DESK_READY_SAME, DESK_READY_ASK, DESK_READY_WITHDRAW };

/* The end of a run. */
struct desk_end {
    bool              told;
    uint8_t           run[WIRE_RUN_LEN];
    enum wire_outcome outcome;
    char             *text; /* owned; NULL: none */
};

/* What the program knows of its runs. */
struct desk_runs {
    struct session_run seen; /* as the library's thread has told; its words are in `words` */
    char     words[SESSION_TEXT_MAX];
    bool     asked;          /* the program wants permits */
    enum wire_schedule kind;
    uint64_t asks;           /* schedules that were put on the desk; seen.ask follows */
    uint64_t taken;          /* permits that the program took; seen.permits leads */
    bool     in_run;         /* from taking one until its end is told */
    uint8_t  id[WIRE_RUN_LEN];
};

struct desk_request {
    bool     is_set;
    void    *bytes; /* owned: what to set */
    size_t   len;
    uint64_t version;
    struct session_commit commit;
};

struct desk {
    pthread_mutex_t lock;
    pthread_cond_t  changed; /* monotonic clock */
    unsigned        waiters;
    int             wake_fd;  /* eventfd: the library's thread has something to collect */
    int             event_fd; /* eventfd: the program has news (sluice_fd) */
    bool            asleep;   /* the library's thread waits on wake_fd */
    bool            armed;    /* the program was told EAGAIN and has had no news since */

    uint64_t queue_bytes;
    bool     report_acks;

    /* for the library's thread */
    struct bundle_list  inbox;
    struct desk_line   *lines, **lines_end;
    unsigned            lines_n;
    struct desk_health  health;
    struct desk_request request;
    enum desk_state_step state_step;
    bool                 state_busy; /* a caller has an operation under way */
    bool                 state_cancel;
    enum desk_ready        ready;
    struct session_schedule schedule;
    struct desk_end        end;
    bool                 closing;
    atomic_bool          interrupted;    /* sluice_interrupt was called, and no call has returned EINTR since */
    atomic_bool          interrupt_news; /* the library's thread is to wake who waits: a signal handler cannot */

    /* for the program */
    struct desk_runs     runs;
    struct bundle_list   verdicts;
    unsigned             verdicts_n;
    struct bundle       *lent; /* the body that sluice_verdict_next lent */
    struct session_state state;
    enum session_phase   phase;
    bool                 answers;  /* something answers at the endpoint */
    char                 words[SESSION_TEXT_MAX];
    uint32_t             hold;
    uint64_t             max_bundle;

    /* counts of this handle's lifetime */
    uint64_t accepted, accepted_bytes, acked, nacked, unanswered_bytes, resent, welcomes;
    uint64_t used;      /* cost of what is reserved, unanswered, or waits as a verdict */
    uint64_t waiting;   /* of this: cost of what waits as a verdict */
    uint64_t last_nack; /* sequence; 0: none yet */
    uint64_t flushed;   /* up to this sequence a flush has told what became of the bundles */
};

/* Returns 0, or -1 with *err filled (ERR_IO). */
int desk_init(struct desk *d, uint64_t queue_bytes, bool report_acks, struct err *err);

/* Free what lies on it; nobody may use it any more. */
void desk_clear(struct desk *d);

/* --- callers --- */

/* Wake the library's thread, if it sleeps, and unlock. */
void desk_unlock_waking(struct desk *d);

/* Wait for news until deadline_us (clock_mono_us; INT64_MAX: for ever).  false: the time is over; then the next
 * news make event_fd readable. */
bool desk_wait_locked(struct desk *d, int64_t deadline_us);

/* When the time of a caller is over: timeout_ms -1 is never. */
int64_t desk_deadline(int timeout_ms);

/* --- the library's thread --- */

struct desk_work {
    struct bundle_list  bundles;
    struct desk_line   *lines;
    struct desk_health  health;
    bool                state_cancel;
    bool                requested; /* request is valid; its bytes are the taker's */
    struct desk_request request;
    enum desk_ready     ready;
    struct session_schedule schedule;
    struct desk_end     end; /* its text is the taker's */
    bool                closing;
};

/* Take everything that lies there.  What lists hold is the taker's. */
void desk_collect(struct desk *d, struct desk_work *ret);

/* About to wait on wake_fd: false if there is something to collect first. */
bool desk_sleep(struct desk *d);

struct desk_news {
    struct bundle_list    answered; /* handed over */
    bool                  state_done;
    struct session_state  state; /* its bytes are handed over */
    bool                  answers;
    const struct session_info *info;
};

/* Report what happened; wakes callers if anything changed for them. */
void desk_report(struct desk *d, struct desk_news *news);

#endif
