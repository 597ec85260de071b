/* feed.h - a connector whose bundles are pushed one by one, each waited for until it is answered.
 *
 * What fails ends the test.  Thread: one for each feed. */
#ifndef FEED_H
#define FEED_H

#include <stdbool.h>
#include <stddef.h>

#include "sluice/sluice.h"

struct feed {
    struct sluice *s;
};

/* How a bundle ended. */
struct answer {
    enum sluice_verdict_kind kind;
    char reason[32], text[256];
};

/* Connect, and wait for the welcome.  Up to queue_bytes may be unanswered. */
struct feed feed_open(const char *endpoint, const char *id, size_t queue_bytes);

/* Hand a bundle over; format and options NULL: it says none. */
void feed_push(struct feed *f, const void *bundle, size_t len, const char *format, const char *options);

/* The next verdict, within timeout_ms. */
struct answer feed_answer(struct feed *f, int timeout_ms);

/* Is there none yet? */
bool feed_waits(struct feed *f);

/* A bundle in text and its verdict, in one. */
struct answer feed_says(struct feed *f, const char *bundle, const char *format, const char *options);

/* Let go of it, whatever is unanswered.  Twice is once. */
void feed_close(struct feed *f);

#endif
