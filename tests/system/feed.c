#include "feed.h"

#include <stdio.h>
#include <string.h>

#include "must.h"

enum { WAIT_MS = 60000 };

struct feed
feed_open(const char *endpoint, const char *id, size_t queue_bytes)
{
    const struct sluice_options opt = {
        .id = id, .endpoint = endpoint, .queue_bytes = queue_bytes, .report_acks = 1};
    struct sluice_error err;
    struct feed f = {.s = sluice_open(&opt, &err)};

    if (f.s == NULL || sluice_wait(f.s, WAIT_MS, &err) != 0)
        fail_msg("connector %s: %s", id, err.text);
    return f;
}

void
feed_push(struct feed *f, const void *bundle, size_t len, const char *format, const char *options)
{
    const struct sluice_push_options opt = {.format = format, .options = options};
    struct sluice_error err;

    if (sluice_push(f->s, bundle, len, &opt, WAIT_MS, &err) != 0)
        fail_msg("push: %s", err.text);
}

struct answer
feed_answer(struct feed *f, int timeout_ms)
{
    struct sluice_verdict v;
    struct sluice_error err;
    struct answer a;

    if (sluice_verdict_next(f->s, &v, timeout_ms, &err) != 0)
        fail_msg("verdict: %s", err.text);
    a.kind = v.kind;
    memcpy(a.reason, v.reason, sizeof(a.reason));
    memcpy(a.text, v.text, sizeof(a.text));
    return a;
}

bool
feed_waits(struct feed *f)
{
    struct sluice_verdict v;

    return sluice_verdict_next(f->s, &v, 0, NULL) == SLUICE_EAGAIN;
}

struct answer
feed_says(struct feed *f, const char *bundle, const char *format, const char *options)
{
    feed_push(f, bundle, strlen(bundle), format, options);
    return feed_answer(f, WAIT_MS);
}

void
feed_close(struct feed *f)
{
    (void)sluice_close(&f->s, 0, NULL);
}
