/* push.c - bundles in, verdicts out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "handle.h"
#include "text.h"
#include "wire.h"

/* --- push --- */

static int
check_format(const struct sluice_push_options *opt, struct sluice_error *err)
{
    const size_t len = opt->options == NULL ? 2 : strlen(opt->options);

    if (opt->format != NULL && strcmp(opt->format, "raw") != 0 && strcmp(opt->format, "opencti") != 0)
        return fail(err, SLUICE_EINVAL, "push: format \"%.60s\" is not known: write \"raw\" or \"opencti\"",
                    opt->format);
    if (len < 2 || len > WIRE_OPTIONS_MAX || (opt->options != NULL && !text_is_utf8(opt->options, len)))
        return fail(err, SLUICE_EINVAL, "push: options must be a JSON object of 2 to %d bytes, in UTF-8",
                    WIRE_OPTIONS_MAX);
    return 0;
}

static int
check_push(const void *body, size_t len, const struct sluice_push_options *opt, struct sluice_error *err)
{
    const char *ctype = opt == NULL ? NULL : opt->content_type;

    if (body == NULL || len == 0)
        return fail(err, SLUICE_EINVAL, "push: the body is empty; a bundle has at least 1 byte");
    if (opt != NULL && check_format(opt, err) != 0)
        return SLUICE_EINVAL;
    if (ctype == NULL)
        return 0;
    if (ctype[0] == '\0' || strlen(ctype) > WIRE_CTYPE_MAX)
        return fail(err, SLUICE_EINVAL, "push: content_type must have 1 to %d bytes", WIRE_CTYPE_MAX);
    for (const char *c = ctype; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            return fail(err, SLUICE_EINVAL, "push: content_type \"%.60s\" is not printable ASCII", ctype);
    return 0;
}

static int
check_size(const struct desk *d, size_t len, struct sluice_error *err)
{
    if (d->max_bundle > 0 && len > d->max_bundle)
        return fail(err, SLUICE_ETOOLARGE, "push: %zu bytes; the gateway takes bundles of at most %llu (max_bundle)",
                    len, (unsigned long long)d->max_bundle);
    if (len > d->queue_bytes)
        return fail(err, SLUICE_ETOOLARGE, "push: %zu bytes are more than queue_bytes (%llu); open with a larger one",
                    len, (unsigned long long)d->queue_bytes);
    return 0;
}

static bool
verdicts_in_the_way(const struct desk *d, uint64_t cost)
{
    if (d->verdicts_n >= DESK_VERDICTS_MAX)
        return true;
    /* Without what waits to be taken there would be room: only the caller can make it. */
    return d->verdicts_n > 0 && d->used + cost > d->queue_bytes && d->used - d->waiting + cost <= d->queue_bytes;
}

/* Wait for room and take it.  A bundle that is larger than its counted share is taken alone. */
static int
reserve(struct sluice *s, size_t len, uint64_t cost, int timeout_ms, struct sluice_error *err)
{
    struct desk *d = &s->desk;
    int64_t deadline = 0;
    int rc;

    pthread_mutex_lock(&d->lock);
    for (;;) {
        rc = check_phase_locked(s, err);
        if (rc == 0)
            rc = check_size(d, len, err);
        if (rc != 0)
            break;
        if (verdicts_in_the_way(d, cost)) {
            rc = fail(err, SLUICE_EVERDICTS, "push: %u verdicts wait; take them with sluice_verdict_next",
                      d->verdicts_n);
            break;
        }
        if (d->used == 0 || d->used + cost <= d->queue_bytes)
            break;
        if (deadline == 0)
            deadline = desk_deadline(timeout_ms);
        if (!desk_wait_locked(d, deadline)) {
            rc = fail_again_locked(s, err, "push");
            break;
        }
    }
    if (rc == 0)
        d->used += cost;
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static int
push(struct sluice *s, const void *body, size_t len, const struct sluice_push_options *opt, int timeout_ms, void *take,
     struct sluice_error *err)
{
    struct desk *d = &s->desk;
    struct bundle *b;
    uint64_t cost;
    int rc = check_push(body, len, opt, err);

    if (rc != 0)
        return rc;
    cost = wire_cost(len + (opt == NULL || opt->options == NULL ? 0 : strlen(opt->options)));
    rc = reserve(s, len, cost, timeout_ms, err);
    if (rc != 0)
        return rc;
    b = bundle_new(body, len, opt, take);
    pthread_mutex_lock(&d->lock);
    if (b == NULL) {
        d->used -= cost;
        pthread_cond_broadcast(&d->changed);
        pthread_mutex_unlock(&d->lock);
        return fail(err, SLUICE_ENOMEM, "push: no memory for %zu bytes", len);
    }
    bundle_append(&d->inbox, b);
    d->accepted++;
    d->accepted_bytes += len;
    d->unanswered_bytes += len;
    desk_unlock_waking(d);
    return 0;
}

int
sluice_push(struct sluice *s, const void *body, size_t len, const struct sluice_push_options *opt, int timeout_ms,
            struct sluice_error *err)
{
    return push(s, body, len, opt, timeout_ms, NULL, err);
}

int
sluice_push_take(struct sluice *s, void **body, size_t len, const struct sluice_push_options *opt, int timeout_ms,
                 struct sluice_error *err)
{
    int rc = push(s, *body, len, opt, timeout_ms, *body, err);

    if (rc == 0)
        *body = NULL;
    return rc;
}

/* --- flush --- */

int
sluice_flush(struct sluice *s, int timeout_ms, struct sluice_error *err)
{
    struct desk *d = &s->desk;
    int64_t deadline = desk_deadline(timeout_ms);
    uint64_t target, before;
    int rc = 0;

    pthread_mutex_lock(&d->lock);
    target = d->accepted;
    before = d->flushed;
    while (d->acked + d->nacked < target && (rc = check_phase_locked(s, err)) == 0)
        if (!desk_wait_locked(d, deadline)) {
            rc = fail_again_locked(s, err, "flush");
            break;
        }
    if (rc == 0) {
        if (d->flushed < target)
            d->flushed = target;
        if (d->last_nack > before)
            rc = fail(err, SLUICE_ENACK, "flush: %llu bundles were refused since opening; see sluice_verdict_next",
                      (unsigned long long)d->nacked);
    }
    pthread_mutex_unlock(&d->lock);
    return rc;
}

/* --- verdicts --- */

static void
describe(struct bundle *b, struct sluice_verdict *ret)
{
    const struct session_bundle *part = &b->part;
    bool refused = part->verdict != SESSION_ACKED;

    *ret = (struct sluice_verdict){.kind = part->verdict == SESSION_NACKED ? SLUICE_NACKED
                                           : part->verdict == SESSION_DEAD ? SLUICE_ACKED_DEAD
                                                                           : SLUICE_ACKED,
                                   .tag = b->tag, .seq = part->seq};
    if (part->verdict == SESSION_NACKED) {
        ret->body = b->body;
        ret->len = (size_t)part->size;
    }
    if (refused && part->reason != WIRE_R_NONE)
        snprintf(ret->reason, sizeof(ret->reason), "%s", wire_reason_name(part->reason));
    if (refused)
        snprintf(ret->text, sizeof(ret->text), "%s", part->text != NULL ? part->text : ret->reason);
}

int
sluice_verdict_next(struct sluice *s, struct sluice_verdict *ret, int timeout_ms, struct sluice_error *err)
{
    struct desk *d = &s->desk;
    int64_t deadline = desk_deadline(timeout_ms);
    int rc = 0;

    pthread_mutex_lock(&d->lock);
    bundle_unref(d->lent);
    d->lent = NULL;
    while (d->verdicts.first == NULL)
        if (!desk_wait_locked(d, deadline)) {
            rc = fail(err, SLUICE_EAGAIN, "verdict: none waits");
            break;
        }
    if (rc == 0) {
        /* What is lent does not count: else the caller could not push it again. */
        d->lent = bundle_shift(&d->verdicts);
        d->verdicts_n--;
        d->used -= d->lent->cost;
        d->waiting -= d->lent->cost;
        pthread_cond_broadcast(&d->changed);
        describe(d->lent, ret);
    }
    pthread_mutex_unlock(&d->lock);
    return rc;
}
