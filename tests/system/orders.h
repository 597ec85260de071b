/* orders.h - what an operator asks of a gateway under test, and what it is shown (docs/operators.md).
 *
 * Functions fail the running test by themselves.  Thread: the main thread only. */
#ifndef ORDERS_H
#define ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sluiced;

/* Send len bytes and close this side; what comes back until the gateway closes its own is in answer, NUL-terminated,
 * cut at cap. */
void orders_send(const struct sluiced *d, const void *bytes, size_t len, char *answer, size_t cap);

/* A line that is refused: the gateway's words are in words. */
void orders_refused(const struct sluiced *d, const char *line, char *words, size_t cap);

/* {"do":what,"connector":id}, without a connector where id is NULL.  Returns the version in the answer, 0 if none. */
int64_t orders_give(const struct sluiced *d, const char *what, const char *id);

/* How a connector stands.  known is false, and nothing else counts, where the gateway does not know it. */
struct standing {
    bool known, connected, paused, running;
    char kind[16], state[24];
    char reasons[160];                   /* words, joined by commas */
    int64_t period_ms;                   /* 0: absent */
    int64_t last_run_ms, next_run_ms;    /* since 1970; 0: absent */
    bool measured;                       /* else nothing below counts */
    uint64_t threshold, estimate, upper; /* bytes; UINT64_MAX: not known */
    char figures[24], source[16];
    int64_t room_in_ms; /* -1: nobody can say */
    uint64_t spooled, spooled_bytes;     /* of its bundles, in the spool */
};
struct standing orders_status(const struct sluiced *d, const char *id);

/* Wait until the i-th warning of the gateway as a whole has these words, 20 s at most. */
void orders_await_warning(const struct sluiced *d, size_t i, const char *words);

/* Wait until it stands so, with these reasons (NULL: any), 20 s at most. */
struct standing orders_await(const struct sluiced *d, const char *id, const char *state, const char *reasons);

/* Wait until the journal has n lines of this connector that say so ("lost"), 20 s at most.  Returns how many it has. */
int orders_journal(const struct sluiced *d, const char *id, const char *what, int n);

#endif
