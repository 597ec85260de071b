/* err.h - one failure, for two readers: a code that a caller decides on, a text for a person.
 *
 * Functions return 0 or -1 (or a pointer or NULL); *err comes last, is written on failure only,
 * and may be NULL where the caller does not care.  No state; any thread. */
#ifndef ERR_H
#define ERR_H

enum err_code {
    ERR_NONE,
    ERR_NOMEM,   /* no memory: drop this piece of work, keep the rest */
    ERR_IO,      /* the system or a peer failed: retry later */
    ERR_FULL,    /* a bound is reached: retry when something was taken out */
    ERR_PROTO,   /* the peer broke the protocol */
    ERR_TIMEOUT, /* the time that the caller gave is over */
    ERR_CONFIG,  /* a person must change the configuration or the arguments */
    ERR_STALE,   /* compare-and-set lost: read again first */
    ERR_DENIED   /* the peer refused; asking again does not help */
};

struct err {
    enum err_code code;
    int           sys;       /* errno where it happened, 0 if none */
    char          text[240]; /* what was tried, on what, what is wrong, what to do */
};

/* Fill *err (NULL: the caller does not care) and return -1, so that a failure reads in one step.
 * Where sys is not 0, ": " and its strerror text are appended. */
int err_set(struct err *err, enum err_code code, int sys, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
