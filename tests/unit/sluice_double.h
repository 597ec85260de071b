/* sluice_double.h - sluice.h without a gateway: it records what is pushed and answers as it is told.
 *
 * Linked instead of the library, for tests of connectors.  The state is kept by id for as long as the double, so
 * that two runs of a connector meet in it.  One thread; one double at a time, since sluice.h has no place for a
 * pointer to it. */
#ifndef SLUICE_DOUBLE_H
#define SLUICE_DOUBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DOUBLE_HANDLES_MAX = 16 };

struct double_bundle {
    void    *body;
    size_t   len;
    char     ctype[64], id[80], format[16], options[64];
    uint64_t tag;
};

struct sluice_double {
    /* told by the test */
    bool     no_gateway;      /* never welcomed */
    bool     no_answers;      /* bundles stay unanswered */
    uint64_t refuse_from, refuse_to; /* these pushes (from 1, over all handles) get a nack */
    uint64_t max_bundle;
    bool     state_stale;     /* the next set is refused */
    int      busy;            /* so many pushes find no room first */
    int      permits;         /* so many permits, one after the other */
    bool     held;            /* then: Run & Terminate is held */
    bool     superseded;      /* the state of a run comes too late */
    void   (*on_idle)(const struct sluice_double *d); /* no permit is left; NULL: nothing */
    void   (*on_push)(const struct sluice_double *d); /* after each; NULL: nothing */
    /* recorded */
    struct double_bundle *bundle;
    size_t   n_bundles;
    char    *state;           /* of the one id that uses it; NUL-terminated */
    size_t   state_len;
    uint64_t state_version;
    int      state_sets, opens;
    bool     flushed_before_set; /* at every set, all was answered and flush had said so */
    char     period[32];         /* as sluice_ready was told; "": it was not called */
    bool     terminate;
    int      runs, ends;         /* permits taken, ends told */
    int      outcome;            /* of the last end */
    int      ends_with_state;
};

/* The double that every call meets, or NULL; the test owns it. */
void sluice_double_use(struct sluice_double *d);

/* Forget the bundles; the state stays. */
void sluice_double_forget(struct sluice_double *d);

/* Free everything recorded. */
void sluice_double_free(struct sluice_double *d);

#endif
