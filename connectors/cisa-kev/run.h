/* run.h - the connector at work, once or by a schedule.  A run: state, feed, what is new, push, flush, state.
 *
 * The state moves only after the gateway has answered for every bundle with an ack.  So a run that ends before
 * (a signal, a refusal, a crash) is repeated whole by the next one; ids are the same, so that repeats are harmless.  A
 * run by a schedule ends together with the state: both are on the gateway's disk, or neither. */
#ifndef KEV_RUN_H
#define KEV_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../kit/exits.h"
#include "sluice/sluice.h"

struct setup;

#define KEV_DEFAULT_FEED "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"

enum { KEV_PER_BUNDLE_MAX = 10000 };

struct kev_options {
    const char *program;      /* named in front of every line for people */
    const char *id;
    const char *endpoint;     /* NULL: the library's default */
    const char *feed;         /* URL or path */
    bool        may_sample;   /* nobody named the feed: without a network, send the sample */
    size_t      per_bundle;   /* vulnerabilities in a bundle, 1 to KEV_PER_BUNDLE_MAX */
    bool        reset_state;  /* as if nothing had ever been sent; until a run has gone well */
    const struct setup *setup; /* when to run; borrowed.  NULL: now, and once */
    enum sluice_level level;  /* the library's words up to this one are said */
    const char *format, *format_options; /* of every bundle; NULL: as the gateway is configured */
    bool        progress;
    int64_t     wait_ms;      /* for the gateway's welcome */
    long        connect_ms, total_ms, idle_s; /* of the feed: see fetch.h */
};

/* The defaults of all of it. */
void kev_options_default(struct kev_options *opt);

/* Run once, or by the schedule.  A summary for each run goes to out, everything else to say (one line
 * each).  Returns the exit status. */
enum exits kev_run(const struct kev_options *opt, FILE *out, FILE *say);

#endif
