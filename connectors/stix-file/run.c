#include "run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../kit/setup.h"
#include "../kit/outlet.h"
#include "../kit/stop.h"
#include "../kit/turns.h"
#include "body.h"
#include "clock.h"
#include "err.h"
#include "paths.h"

/* What the library keeps unanswered, at most: for all handles together, for one, and where one body is larger. */
#define QUEUE_ALL (UINT64_C(256) << 20)
#define QUEUE_ONE (UINT64_C(64) << 20)
#define QUEUE_BODY (UINT64_C(1) << 30)

struct run {
    const struct file_options *opt;
    struct outlet *outlet;
    struct paths   paths;
    struct pace    pace;
    uint64_t       total;    /* bundles to push */
    uint64_t       max;      /* bytes in a bundle */
    uint64_t       skipped;  /* files that could not be pushed */
    uint32_t       series;   /* of this run's synthetic bodies */
    int64_t        start_us, end_us;
    struct tally   before;   /* what the runs before have pushed */
    FILE          *out;
};

void
file_options_default(struct file_options *opt)
{
    *opt = (struct file_options){.program = "stix-file", .id = "stix-file", .repeat = 1, .handles = 1,
                                 .wait_ms = 60000, .level = SLUICE_WARN};
}

static void
name_bundle(void *ctx, uint64_t tag, char *buf, size_t cap)
{
    const struct run *r = ctx;

    if (r->opt->size > 0)
        snprintf(buf, cap, "synthetic bundle %" PRIu64, tag + 1);
    else
        snprintf(buf, cap, "%s", r->paths.at[tag % r->paths.n]);
}

static int
take_body(struct run *r, uint64_t i, void **body, size_t *len, struct err *err)
{
    if (r->opt->size == 0)
        return body_read(r->paths.at[i % r->paths.n], r->max, body, len, err);
    *len = (size_t)r->opt->size;
    return body_make(*len, r->series, (uint32_t)i, body, err);
}

/* One bad file does not keep the others back: it is named and counted. */
static int
skip(struct run *r, const char *text)
{
    outlet_say(r->outlet, "%s", text);
    r->skipped++;
    return 0;
}

static int
push_one(struct run *r, uint64_t i, struct err *err)
{
    void *body = NULL;
    size_t len;
    char text[512];
    int rc;

    if (take_body(r, i, &body, &len, err) != 0)
        return r->opt->size > 0 || err->code == ERR_NOMEM ? -1 : skip(r, err->text);
    rc = outlet_push(r->outlet, &body, len, r->opt->size > 0 ? BODY_BYTES : body_type(body, len), i, err);
    free(body);
    if (rc == 0) {
        pace_gone(&r->pace, len, clock_mono_us());
        return 0;
    }
    /* What was read is within the gateway's limit, unless that was lowered meanwhile. */
    if (err->code != ERR_FULL || r->opt->size > 0)
        return -1;
    snprintf(text, sizeof(text), "%.200s: %zu bytes: %.200s", r->paths.at[i % r->paths.n], len, err->text);
    return skip(r, text);
}

static int
push_all(struct run *r, struct err *err)
{
    for (uint64_t i = 0; i < r->total; i++) {
        outlet_pass(r->outlet, pace_due(&r->pace));
        if (push_one(r, i, err) != 0)
            return -1;
    }
    return 0;
}

static enum exits
send_all(struct run *r, struct err *err)
{
    struct err late;
    struct tally t;
    int pushed, flushed;

    r->start_us = r->pace.start_us = clock_mono_us();
    pushed = push_all(r, err);
    flushed = outlet_flush(r->outlet, pushed == 0 ? err : &late);
    r->end_us = clock_mono_us();
    outlet_tally(r->outlet, &t);
    tally_since(&t, &r->before);
    if (pushed != 0 && flushed != 0)
        outlet_say(r->outlet, "%s", late.text);
    if (pushed != 0 && stop_asked() > 0)
        err_set(err, ERR_TIMEOUT, 0, "stopped by a signal: %llu of %llu bundles were pushed, %llu of these unanswered",
                (unsigned long long)t.pushed, (unsigned long long)r->total, (unsigned long long)t.left);
    if (pushed != 0 || flushed != 0)
        return exits_of(err);
    if (r->skipped == 0 && t.nacked == 0)
        return EXITS_OK;
    err_set(err, ERR_FULL, 0, "files not pushed: %llu, bundles refused: %llu; each is named above",
            (unsigned long long)r->skipped, (unsigned long long)t.nacked);
    return EXITS_REFUSED;
}

static enum exits
work(struct run *r, struct err *err)
{
    if (outlet_wait(r->outlet, r->opt->wait_ms, err) != 0)
        return exits_of(err);
    r->max = outlet_max_bundle(r->outlet);
    if (r->opt->size > r->max) {
        err_set(err, ERR_FULL, 0, "--size %" PRIu64 "B: the gateway takes at most %" PRIu64 " bytes (its max_bundle)",
                r->opt->size, r->max);
        return EXITS_REFUSED;
    }
    return send_all(r, err);
}

static void
summary(const struct run *r, FILE *out)
{
    double seconds = (double)(r->end_us - r->start_us) / 1e6;
    struct tally t;

    outlet_tally(r->outlet, &t);
    tally_since(&t, &r->before);
    progress_sum(&t, out);
    fprintf(out, " skipped=%" PRIu64 " seconds=%.3f bundles_per_s=%.1f bytes_per_s=%.0f late_max_ms=%.1f\n",
            r->skipped, seconds, seconds > 0 ? (double)t.acked / seconds : 0,
            seconds > 0 ? (double)(t.bytes - t.left_bytes) / seconds : 0, (double)r->pace.late_us / 1e3);
    fflush(out);
}

/* What is to be pushed, known before the gateway is asked for anything. */
static int
plan(struct run *r, struct err *err)
{
    for (size_t i = 0; i < r->opt->n_names; i++)
        if (paths_add(&r->paths, r->opt->names[i], err) != 0)
            return -1;
    r->total = r->opt->size > 0 ? 1 : r->paths.n * r->opt->repeat;
    if (r->opt->count > 0 && (r->opt->size > 0 || r->opt->count < r->total))
        r->total = r->opt->count;
    return 0;
}

static size_t
queue_bytes(const struct run *r)
{
    uint64_t largest = r->opt->size > r->paths.largest ? r->opt->size : r->paths.largest;
    uint64_t share = QUEUE_ALL / r->opt->handles;

    if (share > QUEUE_ONE)
        share = QUEUE_ONE;
    if (largest > QUEUE_BODY)
        largest = QUEUE_BODY; /* such a file is refused by itself */
    return (size_t)(largest > share ? largest : share);
}

static enum exits
run_once(struct run *r, struct err *err)
{
    enum exits status;

    r->skipped = 0;
    r->series = (uint32_t)clock_wall_us();
    r->pace = r->opt->pace;
    r->start_us = r->end_us = clock_mono_us();
    outlet_tally(r->outlet, &r->before);
    status = work(r, err);
    summary(r, r->out);
    return status;
}

/* What goes wrong in one run is said, and does not end those that follow. */
static enum exits
run_permitted(void *ctx)
{
    struct run *r = ctx;
    struct err err = {0};
    enum exits status = run_once(r, &err);

    if (status != EXITS_OK)
        outlet_say(r->outlet, "%s", err.text);
    return status;
}

static enum exits
run_by_schedule(struct run *r, struct err *err)
{
    if (outlet_wait(r->outlet, r->opt->wait_ms, err) != 0)
        return exits_of(err);
    return turns_run(r->outlet, r->opt->setup, run_permitted, r, err);
}

static enum exits
with_outlet(struct run *r, FILE *out, FILE *say, struct err *err)
{
    struct outlet_options to = {.program = r->opt->program, .agent = "stix-file/0.1", .id = r->opt->id,
                                .endpoint = r->opt->endpoint, .handles = r->opt->handles,
                                .queue_bytes = queue_bytes(r), .level = r->opt->level,
                                .format = r->opt->format, .format_options = r->opt->format_options,
                                .progress = r->opt->progress, .say = say, .name = name_bundle, .ctx = r};
    enum exits status;

    r->outlet = outlet_open(&to, err);
    if (r->outlet == NULL)
        return exits_of(err);
    r->out = out;
    status = r->opt->setup != NULL ? run_by_schedule(r, err) : run_once(r, err);
    outlet_close(r->outlet);
    return status;
}

enum exits
file_run(const struct file_options *opt, FILE *out, FILE *say)
{
    struct run r = {.opt = opt};
    struct err err = {0};
    enum exits status = EXITS_OK;

    if (plan(&r, &err) != 0)
        status = err.code == ERR_IO ? EXITS_NOINPUT : exits_of(&err);
    else
        status = with_outlet(&r, out, say, &err);
    if (status != EXITS_OK && err.code != ERR_NONE) /* else it was said in its run */
        fprintf(say, "%s: %s\n", opt->program, err.text);
    paths_free(&r.paths);
    return status;
}
