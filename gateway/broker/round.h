/* round.h - one round of questions, whatever the source; what telemetry's files share.
 *
 * A round is all or nothing: what it found is posted only once all of it was answered, by one server.  A question that
 * was answered without use (a status, a body that is not what it should be) leaves its figures unknown and goes on; no
 * answer at all ends the round.  Thread: telemetry's only. */
#ifndef ROUND_H
#define ROUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "figures.h"
#include "http.h"
#include "lives.h"
#include "prom.h"
#include "rows.h"
#include "telemetry.h"
#include "wanted.h"

struct log;

/* Kinds of questions, for what the log was told of each. */
enum ask_kind { ASK_QUEUES, ASK_CONSUMERS, ASK_NODES, ASK_ALARMS, ASK_KINDS };

/* What outlives a round. */
struct memory {
    struct lives lives;
    bool         restarted;       /* a node began anew, and nobody was told yet: the round may have been in vain */
    int64_t      slowest_us;      /* of the recent answers to lists: what RabbitMQ's cache may add to their age */
    size_t       turn;            /* counts rounds, so that those that cannot all be asked for take turns */
    bool         bad[ASK_KINDS];  /* the log was told that it has no (whole) answer */
};

struct round {
    const struct telemetry_config *config; /* borrowed, as what follows */
    struct http                   *http;
    struct log                    *log;
    const struct wanted           *wanted;
    struct memory                 *memory;
    const char                    *base;   /* URL */
    struct telemetry_event        *events; /* the broker's, then one for each wanted queue */

    size_t             answered;  /* queues that were */
    bool               useful;    /* something was answered as it should be */
    struct err         why;       /* the first answer of no use; code ERR_NONE: there was none */
    struct err         bad[ASK_KINDS]; /* likewise, of each kind */
    struct http_answer answer;    /* to the last question */
    char               url[HTTP_URL];
    union {
        struct rows rows;
        struct prom prom;
    };
};

/* Begin: nothing is known of anything. */
void round_begin(struct round *r, const char *base);

/* Start r->url: base, then path, which needs no quoting. */
void round_url(struct round *r, const char *path);

/* Append to r->url; what does not fit is a mistake of the caller (checked). */
void round_add(struct round *r, const char *plain);
void round_quote(struct round *r, const char *name);

/* GET r->url as JSON rows.  1: as it should be; 0: answered without use (*err says how, r->answer.status is there);
 * -1: no answer, the round is over. */
int round_rows(struct round *r, enum rows_shape shape, rows_fn *row, rows_fn *rest, void *ctx, struct err *err);

/* The same, as text of a Prometheus endpoint. */
int round_prom(struct round *r, prom_fn *sample, void *ctx, struct err *err);

/* An answer of no use: note it.  The first is the round's reason, and one about queues goes before others. */
void round_bad(struct round *r, enum ask_kind kind, const struct err *why);

/* The end of a round that was not in vain: tell the log what changed. */
void round_tell(struct round *r);

/* The i-th wanted queue's event and figures. */
struct telemetry_event *round_event(struct round *r, size_t i);
struct telemetry_broker *round_broker(struct round *r);

/* A whole round.  0, or -1 with *err: it was not answered, or nothing in it was of use. */
int manage_round(struct round *r, struct err *err);
int scrape_round(struct round *r, struct err *err);

/* Who is it?  Writes what people are shown; what is not answered is left out.  -1: the server does not answer. */
int manage_hello(struct round *r, char *buf, size_t cap, struct err *err);

#endif
