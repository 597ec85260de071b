/* outlet.h - one or more handles to the gateway, as a command line program needs them: pushes that wait and can be
 * stopped by a signal, refusals named on stderr, progress shown.
 *
 * It is shared because every connector here would otherwise write the same loop around sluice.h.  One thread.
 * Failures: ERR_TIMEOUT (not in time, or stopped), ERR_DENIED, ERR_STALE (replaced by another program), ERR_FULL
 * (this bundle is too large; others go on), ERR_CONFIG, ERR_NOMEM, ERR_IO. */
#ifndef OUTLET_H
#define OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "progress.h"
#include "sluice/sluice.h"

struct err;
struct outlet;

enum {
    OUTLET_HANDLES_MAX = 1000, /* each has a thread and sockets of its own */
    OUTLET_GRACE_MS = 5000     /* what is unanswered gets this long after a signal */
};

struct outlet_options {
    const char *program;     /* named in front of every line on stderr; borrowed */
    const char *agent;       /* name and version */
    const char *id;          /* with one handle; with n of them: id-1 to id-n */
    const char *endpoint;    /* NULL: the library's default */
    size_t      handles;     /* 1 to OUTLET_HANDLES_MAX */
    const char *format;      /* of every bundle: "raw", "opencti"; NULL: as the gateway is configured */
    const char *format_options; /* what that format is to know, a JSON object; NULL: nothing */
    size_t      queue_bytes; /* most bytes unanswered, for each handle; 0: the library's default */
    enum sluice_level level; /* the library's own words up to this one are said */
    bool        progress;    /* also where stderr is no terminal */
    FILE       *say;         /* refusals, holds and progress; NULL: stderr */
    /* What the bundle with this tag is called, for refusals; writes at most cap bytes, with its NUL. */
    void      (*name)(void *ctx, uint64_t tag, char *buf, size_t cap);
    void       *ctx;
};

/* Returns a new outlet, or NULL with *err filled. */
struct outlet *outlet_open(const struct outlet_options *opt, struct err *err);

/* Wait until every handle is welcomed, at most timeout_ms. */
int outlet_wait(struct outlet *o, int64_t timeout_ms, struct err *err);

/* Hand *body (from malloc) over through whichever handle has room, in turn; waits for room.  On 0 it is taken
 * and *body is NULL; on -1 nothing has moved. */
int outlet_push(struct outlet *o, void **body, size_t len, const char *ctype, uint64_t tag, struct err *err);

/* Let time pass until due_us (clock_mono_us), with refusals and progress seen to; ends early on a signal. */
void outlet_pass(struct outlet *o, int64_t due_us);

/* Rest for so long, a signal or not, with refusals and progress seen to. */
void outlet_rest(struct outlet *o, int64_t us);

/* Wait until everything is answered; after a signal at most OUTLET_GRACE_MS more, after a second one no longer.
 * 0: all is answered, but look at outlet_tally for refusals. */
int outlet_flush(struct outlet *o, struct err *err);

/* The most bytes that a bundle may have; known once outlet_wait returned 0. */
uint64_t outlet_max_bundle(const struct outlet *o);

/* The first handle, lent: for what an outlet does not do (the state). */
struct sluice *outlet_sluice(struct outlet *o);

/* A failure of the library as ours: code and text. */
int outlet_fail(const struct sluice_error *from, const char *what, struct err *err);

void outlet_tally(const struct outlet *o, struct tally *ret);

/* Write a line for people, with the program's name, past the progress line. */
void outlet_say(struct outlet *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What is still unanswered is given up.  outlet_close(NULL) does nothing. */
void outlet_close(struct outlet *o);

#endif
