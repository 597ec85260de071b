#include "sluice_double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice/sluice.h"

struct sluice {
    char     id[80];
    uint64_t accepted, bytes, acked, nacked, left, left_bytes;
    size_t   told;     /* bundles of the double that this handle looked at for verdicts */
    bool     flushed, in_run;
};

static struct sluice_double *d; /* sluice.h has no argument for it: see the header */

void
sluice_double_use(struct sluice_double *use)
{
    d = use;
}

void
sluice_double_forget(struct sluice_double *x)
{
    for (size_t i = 0; i < x->n_bundles; i++)
        free(x->bundle[i].body);
    free(x->bundle);
    x->bundle = NULL;
    x->n_bundles = 0;
}

void
sluice_double_free(struct sluice_double *x)
{
    sluice_double_forget(x);
    free(x->state);
    x->state = NULL;
}

static int
fail(struct sluice_error *err, int code, const char *text)
{
    if (err != NULL) {
        err->code = code;
        snprintf(err->text, sizeof(err->text), "%s", text);
    }
    return code;
}

struct sluice *
sluice_open(const struct sluice_options *opt, struct sluice_error *err)
{
    struct sluice *s;

    if (strchr(opt->id, ' ') != NULL) {
        fail(err, SLUICE_EINVAL, "id: write letters, digits");
        return NULL;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        abort();
    snprintf(s->id, sizeof(s->id), "%s", opt->id);
    d->opens++;
    return s;
}

int
sluice_wait(struct sluice *s, int timeout_ms, struct sluice_error *err)
{
    (void)s, (void)timeout_ms;
    return d->no_gateway ? fail(err, SLUICE_EAGAIN, "trying tcp://127.0.0.1:7117") : SLUICE_OK;
}

int
sluice_push_take(struct sluice *s, void **body, size_t len, const struct sluice_push_options *opt, int timeout_ms,
                 struct sluice_error *err)
{
    struct double_bundle *b;

    (void)timeout_ms;
    if (len > d->max_bundle)
        return fail(err, SLUICE_ETOOLARGE, "too large");
    if (d->busy > 0) {
        d->busy--;
        return fail(err, SLUICE_EAGAIN, "no room");
    }
    d->bundle = realloc(d->bundle, (d->n_bundles + 1) * sizeof(*d->bundle));
    if (d->bundle == NULL)
        abort();
    b = &d->bundle[d->n_bundles++];
    memset(b, 0, sizeof(*b));
    b->body = *body;
    b->len = len;
    b->tag = opt->tag;
    snprintf(b->ctype, sizeof(b->ctype), "%s", opt->content_type);
    snprintf(b->format, sizeof(b->format), "%s", opt->format == NULL ? "" : opt->format);
    snprintf(b->options, sizeof(b->options), "%s", opt->options == NULL ? "" : opt->options);
    snprintf(b->id, sizeof(b->id), "%s", s->id);
    *body = NULL;
    s->accepted++;
    s->bytes += len;
    s->flushed = false;
    if (d->no_answers) {
        s->left++;
        s->left_bytes += len;
    } else if (d->n_bundles >= d->refuse_from && d->n_bundles <= d->refuse_to) {
        s->nacked++;
    } else {
        s->acked++;
    }
    if (d->on_push != NULL)
        d->on_push(d);
    return SLUICE_OK;
}

int
sluice_flush(struct sluice *s, int timeout_ms, struct sluice_error *err)
{
    (void)timeout_ms;
    if (s->left > 0) {
        usleep(1000);
        return fail(err, SLUICE_EAGAIN, "unanswered");
    }
    if (s->nacked > 0)
        return fail(err, SLUICE_ENACK, "refused");
    s->flushed = true;
    return SLUICE_OK;
}

int
sluice_verdict_next(struct sluice *s, struct sluice_verdict *ret, int timeout_ms, struct sluice_error *err)
{
    (void)timeout_ms;
    while (s->told < d->n_bundles) {
        const struct double_bundle *b = &d->bundle[s->told++];

        if (s->told < d->refuse_from || s->told > d->refuse_to || strcmp(b->id, s->id) != 0)
            continue;
        memset(ret, 0, sizeof(*ret));
        ret->kind = SLUICE_NACKED;
        ret->tag = b->tag;
        snprintf(ret->reason, sizeof(ret->reason), "unroutable");
        snprintf(ret->text, sizeof(ret->text), "no queue is bound");
        return SLUICE_OK;
    }
    return fail(err, SLUICE_EAGAIN, "none");
}

int
sluice_fd(const struct sluice *s)
{
    (void)s;
    return -1;
}

int
sluice_state_get(struct sluice *s, struct sluice_state *ret, int timeout_ms, struct sluice_error *err)
{
    (void)s, (void)timeout_ms, (void)err;
    ret->version = d->state_version;
    ret->len = d->state_len;
    ret->bytes = d->state_len > 0 ? malloc(d->state_len) : NULL;
    if (ret->bytes != NULL)
        memcpy(ret->bytes, d->state, d->state_len);
    return SLUICE_OK;
}

int
sluice_state_set(struct sluice *s, const void *bytes, size_t len, uint64_t version, uint64_t *ret_version,
                 int timeout_ms, struct sluice_error *err)
{
    (void)timeout_ms, (void)ret_version;
    d->flushed_before_set = s->flushed && s->left == 0;
    if (d->state_stale || version != d->state_version)
        return fail(err, SLUICE_ESTALE, "another version is current");
    free(d->state);
    d->state = malloc(len + 1);
    if (d->state == NULL)
        abort();
    memcpy(d->state, bytes, len);
    d->state[len] = '\0';
    d->state_len = len;
    d->state_version++;
    d->state_sets++;
    return SLUICE_OK;
}

int
sluice_state_commit(struct sluice *s, const void *bytes, size_t len, uint64_t version, uint64_t *ret_version,
                    int timeout_ms, struct sluice_error *err)
{
    return sluice_state_set(s, bytes, len, version, ret_version, timeout_ms, err);
}

int
sluice_ready(struct sluice *s, const char *period, const struct sluice_schedule_options *opt, struct sluice_error *err)
{
    (void)s, (void)err;
    snprintf(d->period, sizeof(d->period), "%s", period == NULL ? "" : period);
    d->terminate = opt != NULL && opt->run_and_terminate != 0;
    return SLUICE_OK;
}

int
sluice_permit_next(struct sluice *s, struct sluice_run *ret, int timeout_ms, struct sluice_error *err)
{
    (void)timeout_ms;
    if (d->permits > 0) {
        d->permits--;
        d->runs++;
        s->in_run = true;
        memset(ret, 0, sizeof(*ret));
        return SLUICE_OK;
    }
    if (d->held)
        return fail(err, SLUICE_EHELD, "held by queue");
    if (d->on_idle != NULL)
        d->on_idle(d);
    return fail(err, SLUICE_EAGAIN, "not due");
}

int
sluice_done(struct sluice *s, enum sluice_outcome outcome, const char *text, struct sluice_error *err)
{
    (void)text;
    if (!s->in_run)
        return fail(err, SLUICE_ENORUN, "no run is under way");
    s->in_run = false;
    d->ends++;
    d->outcome = (int)outcome;
    return SLUICE_OK;
}

int
sluice_done_with_state(struct sluice *s, enum sluice_outcome outcome, const void *bytes, size_t len, uint64_t version,
                       uint64_t *ret_version, int timeout_ms, struct sluice_error *err)
{
    int rc;

    if (d->superseded) {
        s->in_run = false;
        return fail(err, SLUICE_ENORUN, "another run is current");
    }
    rc = sluice_state_set(s, bytes, len, version, ret_version, timeout_ms, err);
    if (rc == SLUICE_OK) {
        d->ends_with_state++;
        rc = sluice_done(s, outcome, NULL, err);
    }
    return rc;
}

void
sluice_info(const struct sluice *s, struct sluice_info *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->connected = !d->no_gateway;
    ret->accepted = s->accepted;
    ret->accepted_bytes = s->bytes;
    ret->acked = s->acked;
    ret->nacked = s->nacked;
    ret->unanswered = s->left;
    ret->unanswered_bytes = s->left_bytes;
    ret->max_bundle = d->max_bundle;
}

int
sluice_close(struct sluice **s, int timeout_ms, struct sluice_info *info)
{
    (void)timeout_ms, (void)info;
    free(*s);
    *s = NULL;
    return SLUICE_OK;
}
