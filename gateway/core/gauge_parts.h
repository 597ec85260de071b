/* gauge_parts.h - the inside of a gauge, for its own files: gauge_open.c (bundles), gauge.c (telemetry), gauge_doubt.c
 * (what speaks against it), gauge_pace.c (how fast it drains), gauge_view.c (what it says), gauge_check.c. */
#ifndef GAUGE_PARTS_H
#define GAUGE_PARTS_H

#include "gauge.h"
#include "ledger.h"

enum open_state { OPEN_RESERVED, OPEN_FLYING, OPEN_LOST };

/* A bundle without its last answer. */
struct open {
    uint64_t id;
    uint64_t place;      /* in the order of publishing, since commit */
    uint64_t bytes, messages, largest; /* what is left of it */
    int64_t  settles_us; /* LOST: when it is in the queue, or never will be; INT64_MAX: nobody can say yet */
    enum open_state state;
};

/* A sample and what it still bounds.  since is kept up: it is ledger_since(cut_us). */
struct known {
    bool     has;
    int64_t  cut_us;   /* all that was settled later comes on top */
    uint64_t bytes;
    struct ledger_sum since;
};

enum { PACE_POINTS = 24 };

struct pace {
    struct {
        int64_t at_us;
        double  taken; /* bytes that consumers took until then, since some time */
    } points[PACE_POINTS];
    uint32_t n; /* the newest is the last */
};

struct gauge {
    struct gauge_config cfg;
    int64_t now_us;
    int64_t lag_us;        /* that is used */
    int64_t valid_from_us; /* a sample that was asked for earlier is no answer */
    enum gauge_why why;    /* why there is that bound */

    uint64_t next_id, next_place;
    struct open *open;     /* owned, by id */
    uint32_t n_open, cap_open;
    uint64_t reserved, flying;    /* bytes of them */
    uint64_t flying_messages;
    struct ledger ledger;
    uint64_t settled_bytes;       /* in all, ever */
    uint64_t foreign_bytes;       /* that others published, as far as it was seen */

    struct known sample;
    uint64_t messages, unacked, work; /* of the sample */
    int64_t  first_us, asked_us;  /* when these numbers were seen first, and last */
    int64_t  anchor_us;           /* which of its repetitions counts: cut is so much less lag */
    int64_t  floor_us;            /* samples that were asked for earlier are not compared with */

    struct known count;
    int64_t  count_us;            /* when the newest was asked for; -1: none */
    uint64_t count_guess;         /* what the newest one lets guess, at its time */
    struct ledger_sum count_since; /* settled since */
    uint64_t count_consumers;

    uint64_t unacked_max;         /* that is declared */
    uint64_t consumers;
    uint64_t holes;               /* the bound in use; GAUGE_UNKNOWN: counts are of no use yet */
    int64_t  mark_us;             /* when it became smaller, or known */
    uint64_t mark_place;
    uint64_t mark_messages;       /* settled of those that were published since */
    uint64_t before;              /* bytes of messages in the queue that are older than us, at most */
    int64_t  distrust_us;         /* counts are not used before */

    uint64_t lag_broken;
    unsigned drift;
    int64_t  drift_bytes, drift_us, drift_seen_us;
    struct pace *pace;            /* owned; NULL: nothing was seen yet */
};

static inline uint64_t
gauge_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t
gauge_open_bytes(const struct gauge *g)
{
    return g->reserved + g->flying;
}

/* All that is lost and can no longer come is settled; g->now_us is set. */
void gauge_turn(struct gauge *g, int64_t now_us);

/* Give memory back if nothing is open and the ledger is empty. */
void gauge_give_back(struct gauge *g);

/* Messages of the sample as far as they are known: no bytes are no messages. */
uint64_t gauge_sample_messages(const struct gauge *g);

/* Does g know, and if not, why? */
enum gauge_why gauge_why(const struct gauge *g);

/* May counts lower upper, with this many consumers? */
bool gauge_counts(const struct gauge *g, uint64_t consumers);

/* The sample's cut follows anchor and lag. */
void gauge_recut(struct gauge *g);

/* gauge_doubt.c.  What do these numbers, seen now, say of the sample that is here?  Each may be unknown. */
unsigned doubt_against(struct gauge *g, uint64_t bytes, uint64_t messages);
/* The same numbers again, asked for at asked_us: do they count as new? */
unsigned doubt_repeated(struct gauge *g, int64_t asked_us);
/* A count did not disagree: a sample that repeats itself may count as new. */
void doubt_cleared(struct gauge *g, const struct gauge_count *c);
/* A sample of so many bytes: is it much less than was taken? */
unsigned doubt_fell(struct gauge *g, uint64_t bytes, int64_t asked_us);

/* gauge_pace.c. */
void pace_point(struct gauge *g);
void pace_forget(struct gauge *g);
/* Bytes a second that consumers take.  false: not enough was seen. */
bool pace_rate(const struct gauge *g, double *ret_rate);
/* Did they take anything lately? */
bool pace_moves(const struct gauge *g);
/* When the sample was made, as a guess. */
int64_t pace_made_us(const struct gauge *g);

#endif
