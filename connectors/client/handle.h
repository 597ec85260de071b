/* handle.h - what a struct sluice is, and how its calls fail; shared by the files of the public API only. */
#ifndef HANDLE_H
#define HANDLE_H

#include <stdint.h>
#include <sys/types.h>

#include "desk.h"
#include "sluice/sluice.h"

struct worker;

struct sluice {
    struct desk    desk;
    struct desk   *shared; /* the same, for calls that promise to change nothing: all they change is the lock */
    struct worker *worker;
    char          *endpoint; /* owned */
    char          *id;       /* owned */
    pid_t          pid;      /* the process that opened it: no other has its thread */
};

/* Fill *err (NULL: the caller does not care) and return code. */
int fail(struct sluice_error *err, enum sluice_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Is the handle of use?  0, or EREPLACED or EREFUSED with *err filled.  Under the desk's lock. */
int check_phase_locked(const struct sluice *s, struct sluice_error *err);

/* EAGAIN, with what was waited for and what is in its way.  Under the desk's lock. */
int fail_again_locked(const struct sluice *s, struct sluice_error *err, const char *what);

#endif
