#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../kit/setup.h"
#include "../kit/outlet.h"
#include "../kit/stop.h"
#include "../kit/turns.h"
#include "clock.h"
#include "cursor.h"
#include "err.h"
#include "feed.h"
#include "fetch.h"
#include "sample.h"
#include "sluice/sluice.h"
#include "stix.h"

enum { STATE_MS = 30000, SLICE_MS = 200 };

struct run;

/* The program. */
struct kev {
    const struct kev_options *opt; /* borrowed */
    struct outlet *outlet;
    struct run    *now;            /* the run that is under way, or NULL */
    bool           permitted;      /* runs are by permit: the state ends them */
    bool           reset;          /* forget what was sent */
    FILE          *out;
};

/* A run; everything in it is owned unless it says otherwise. */
struct run {
    const struct kev_options *opt; /* borrowed */
    struct outlet    *outlet;      /* borrowed */
    bool              permitted, reset;
    struct tally      before;      /* what the runs before have pushed */
    struct sluice_state state;     /* as the gateway has it */
    struct kev_cursor stored;      /* the same, read; empty with --reset-state */
    struct kev_cursor next;        /* what it will be */
    char              source[KEV_SOURCE_MAX]; /* of the feed that is read now */
    bool              real_before; /* the gateway's state is of a real feed */
    struct kev_feed  *feed;
    const struct kev_entry **fresh; /* the entries that are new, oldest first; lent from feed */
    size_t            n_fresh;
    bool              unmodified;
};

void
kev_options_default(struct kev_options *opt)
{
    *opt = (struct kev_options){.program = "cisa-kev", .id = "cisa-kev", .feed = KEV_DEFAULT_FEED, .may_sample = true,
                                .per_bundle = 1, .wait_ms = 60000, .level = SLUICE_WARN, .connect_ms = 10000,
                                .total_ms = 120000, .idle_s = 20};
}

/* The failure ends the run with this status. */
static enum exits
end_with(struct run *r, enum exits status, const struct err *err)
{
    outlet_say(r->outlet, "%s", err->text);
    return status;
}

static void
name_bundle(void *ctx, uint64_t tag, char *buf, size_t cap)
{
    const struct run *r = ((const struct kev *)ctx)->now;
    size_t first = (size_t)tag, more;

    if (r == NULL || first >= r->n_fresh) {
        snprintf(buf, cap, "a bundle of an earlier run");
        return;
    }
    more = r->n_fresh - first;
    if (more > r->opt->per_bundle)
        more = r->opt->per_bundle;
    if (more == 1)
        snprintf(buf, cap, "%s", r->fresh[first]->cve);
    else
        snprintf(buf, cap, "%s to %s", r->fresh[first]->cve, r->fresh[first + more - 1]->cve);
}

/* --- The state ---------------------------------------------------------------------------------------------------- */

/* Call the state functions in slices, so that a signal ends the wait. */
static int
state_get(struct run *r, struct err *err)
{
    int64_t end = clock_mono_us() + STATE_MS * 1000;
    struct sluice_error why;

    while (sluice_state_get(outlet_sluice(r->outlet), &r->state, SLICE_MS, &why) != SLUICE_OK)
        if (why.code != SLUICE_EAGAIN || stop_asked() > 0 || clock_mono_us() >= end)
            return outlet_fail(&why, "reading the state", err);
    return 0;
}

static int
state_read(struct run *r, struct err *err)
{
    struct err unread;

    if (state_get(r, err) != 0 || kev_cursor_start(&r->stored, err) != 0)
        return -1;
    if (r->state.version > 0 && r->state.len > 0) {
        struct kev_cursor c;

        if (kev_cursor_parse(r->state.bytes, r->state.len, &c, &unread) == 0) {
            kev_cursor_free(&r->stored);
            r->stored = c;
        } else if (!r->reset) {
            return err_set(err, unread.code, 0, "%s", unread.text);
        }
        r->real_before = strcmp(r->stored.source, KEV_SAMPLE_SOURCE) != 0;
    }
    if (!r->reset)
        return 0;
    kev_cursor_free(&r->stored);
    return kev_cursor_start(&r->stored, err);
}

/* What is remembered belongs to one feed: in another one, everything is new. */
static int
state_fit(struct run *r, struct err *err)
{
    if (r->stored.source[0] == '\0' || strcmp(r->stored.source, r->source) == 0)
        return 0;
    outlet_say(r->outlet, "the state is of the feed %s, this is %s: everything in it counts as new", r->stored.source,
               r->source);
    kev_cursor_free(&r->stored);
    return kev_cursor_start(&r->stored, err);
}

static int
state_set(struct run *r, const char *text, struct sluice_error *why)
{
    struct sluice *s = outlet_sluice(r->outlet);

    if (r->permitted)
        return sluice_done_with_state(s, SLUICE_RUN_OK, text, strlen(text), r->state.version, NULL, STATE_MS, why);
    return sluice_state_commit(s, text, strlen(text), r->state.version, NULL, STATE_MS, why);
}

/* The waiting is long on purpose: a set that is answered too late is only known by the next get. */
static int
state_write(struct run *r, struct err *err)
{
    char *text = kev_cursor_print(&r->next);
    struct sluice_error why;
    int rc = 0;

    if (text == NULL)
        return err_set(err, ERR_NOMEM, errno, "state");
    if (r->state.len != strlen(text) || memcmp(r->state.bytes, text, r->state.len) != 0) {
        rc = state_set(r, text, &why);
        if (rc != SLUICE_OK)
            rc = outlet_fail(&why, "saving the state (all bundles were acked; they will be sent again)", err);
    }
    free(text);
    return rc;
}

/* --- The feed ----------------------------------------------------------------------------------------------------- */

static int
use_sample(struct run *r, struct kev_page *page, const char *why, struct err *err)
{
    const char *sample = kev_sample(&page->len);

    outlet_say(r->outlet, "%s", why);
    outlet_say(r->outlet, "NO NETWORK: sending the built-in SAMPLE instead; its entries are invented (--feed: never)");
    page->body = malloc(page->len);
    if (page->body == NULL)
        return err_set(err, ERR_NOMEM, errno, "sample");
    memcpy(page->body, sample, page->len);
    snprintf(r->source, sizeof(r->source), "%s", KEV_SAMPLE_SOURCE);
    return 0;
}

/* Get the feed, or the sample where that is allowed: never after the real feed was sent once, or invented entries
 * would get among real ones whenever the network is away. */
static int
get_page(struct run *r, struct kev_page *page, struct err *err)
{
    bool same = strcmp(r->stored.source, r->source) == 0;
    struct kev_fetch f = {.feed = r->opt->feed, .etag = same ? r->stored.etag : "",
                          .last_modified = same ? r->stored.last_modified : "", .cap = KEV_FEED_MAX,
                          .connect_ms = r->opt->connect_ms, .total_ms = r->opt->total_ms, .idle_s = r->opt->idle_s};
    struct err why;

    if (kev_fetch(&f, page, &why) == 0)
        return 0;
    if (why.code == ERR_TIMEOUT && r->opt->may_sample && !r->real_before && stop_asked() == 0)
        return use_sample(r, page, why.text, err);
    return err_set(err, why.code, 0, "%s", why.text);
}

static enum exits
feed_status(const struct err *err)
{
    if (stop_asked() > 0)
        return EXITS_LATER;
    return err->code == ERR_TIMEOUT || err->code == ERR_IO ? EXITS_UNAVAILABLE : exits_of(err);
}

/* --- What is new -------------------------------------------------------------------------------------------------- */

/* Oldest first; within a day the feed's order from its end, since it lists the newest first. */
static int
by_age(const void *a, const void *b)
{
    const struct kev_entry *x = *(const struct kev_entry *const *)a, *y = *(const struct kev_entry *const *)b;
    int order = strcmp(x->added, y->added);

    if (order != 0)
        return order;
    return x > y ? -1 : x < y;
}

static int
choose(struct run *r, struct err *err)
{
    size_t n = kev_feed_count(r->feed);

    r->fresh = calloc(n + 1, sizeof(*r->fresh));
    if (r->fresh == NULL)
        return err_set(err, ERR_NOMEM, errno, "feed: %zu entries", n);
    for (size_t i = 0; i < n; i++)
        if (kev_cursor_is_new(&r->stored, kev_feed_entry(r->feed, i)))
            r->fresh[r->n_fresh++] = kev_feed_entry(r->feed, i);
    qsort(r->fresh, r->n_fresh, sizeof(*r->fresh), by_age);
    return 0;
}

/* The state after this run: what was known, and all that is new. */
static int
look_ahead(struct run *r, const struct kev_page *page, struct err *err)
{
    r->next = r->stored; /* a new reference to the same ids: nothing asks for the old ones from here on */
    json_incref(r->next.ids);
    snprintf(r->next.source, sizeof(r->next.source), "%s", r->source);
    snprintf(r->next.etag, sizeof(r->next.etag), "%s", page->etag);
    snprintf(r->next.last_modified, sizeof(r->next.last_modified), "%s", page->last_modified);
    for (size_t i = 0; i < r->n_fresh; i++)
        if (kev_cursor_add(&r->next, r->fresh[i], err) != 0)
            return -1;
    return 0;
}

static enum exits
read_feed(struct run *r, struct err *err)
{
    struct kev_page page;
    enum exits status = EXITS_OK;

    kev_source_name(r->opt->feed, r->source, sizeof(r->source));
    if (get_page(r, &page, err) != 0)
        return feed_status(err);
    r->unmodified = page.unmodified;
    if (!page.unmodified) {
        r->feed = state_fit(r, err) == 0 ? kev_feed_parse(page.body, page.len, err) : NULL;
        if (r->feed == NULL || choose(r, err) != 0 || look_ahead(r, &page, err) != 0)
            status = exits_of(err);
    }
    kev_page_free(&page);
    return status;
}

/* --- Sending ------------------------------------------------------------------------------------------------------ */

static int
push_all(struct run *r, struct err *err)
{
    for (size_t i = 0; i < r->n_fresh; i += r->opt->per_bundle) {
        size_t n = r->n_fresh - i, len;
        void *body;
        int rc;

        if (n > r->opt->per_bundle)
            n = r->opt->per_bundle;
        if (kev_stix_bundle(&r->fresh[i], n, &body, &len, err) != 0)
            return -1;
        rc = outlet_push(r->outlet, &body, len, KEV_CONTENT_TYPE, i, err);
        free(body);
        if (rc != 0 && err->code == ERR_FULL) {
            struct err large = *err;

            return err_set(err, ERR_FULL, 0, "bundle of %s and %zu more, %zu bytes: %.120s; use a smaller --per-bundle",
                           r->fresh[i]->cve, n - 1, len, large.text);
        }
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* Push, wait for the answers, and only then let the state move. */
static enum exits
send_all(struct run *r, struct err *err)
{
    struct err late;
    struct tally t;
    int pushed = push_all(r, err), flushed;

    /* What was pushed before a failure is still answered for; the failure itself is the one to report. */
    flushed = outlet_flush(r->outlet, pushed == 0 ? err : &late);
    if (pushed != 0 && flushed != 0)
        outlet_say(r->outlet, "%s", late.text);
    if (pushed != 0 || flushed != 0)
        return exits_of(err);
    outlet_tally(r->outlet, &t);
    tally_since(&t, &r->before);
    if (t.nacked > 0) {
        err_set(err, ERR_DENIED, 0, "refused: %llu of %llu bundles; the state stays, so the next run sends all again",
                (unsigned long long)t.nacked, (unsigned long long)t.pushed);
        return EXITS_REFUSED;
    }
    return state_write(r, err) == 0 ? EXITS_OK : exits_of(err);
}

/* Connect, read, send: the first failure ends it. */
static enum exits
work(struct run *r, struct err *err)
{
    enum exits status;

    if (outlet_wait(r->outlet, r->opt->wait_ms, err) != 0 || state_read(r, err) != 0)
        return exits_of(err);
    status = read_feed(r, err);
    if (status != EXITS_OK || r->unmodified)
        return status;
    return send_all(r, err);
}

static const char *
source_word(const struct run *r)
{
    if (r->unmodified)
        return "unmodified";
    if (r->feed == NULL)
        return "none";
    return strcmp(r->source, KEV_SAMPLE_SOURCE) == 0 ? "sample" : "feed";
}

static void
summary(const struct run *r, FILE *out)
{
    struct tally t;

    outlet_tally(r->outlet, &t);
    tally_since(&t, &r->before);
    progress_sum(&t, out);
    fprintf(out, " new=%zu known=%zu source=%s\n", r->n_fresh,
            r->feed != NULL ? kev_feed_count(r->feed) - r->n_fresh : 0, source_word(r));
    fflush(out);
}

static enum exits
run_once(void *ctx)
{
    struct kev *k = ctx;
    struct run r = {.opt = k->opt, .outlet = k->outlet, .permitted = k->permitted, .reset = k->reset};
    struct err err = {0};
    enum exits status;

    k->now = &r;
    outlet_tally(r.outlet, &r.before);
    status = work(&r, &err);
    if (status != EXITS_OK)
        status = end_with(&r, status, &err);
    else
        k->reset = false;
    summary(&r, k->out);
    k->now = NULL;
    kev_cursor_free(&r.next);
    kev_cursor_free(&r.stored);
    free(r.state.bytes);
    free(r.fresh);
    kev_feed_free(r.feed);
    return status;
}

static enum exits
run_by_schedule(struct kev *k)
{
    struct err err = {0};
    enum exits status = EXITS_OK;

    k->permitted = true;
    if (outlet_wait(k->outlet, k->opt->wait_ms, &err) != 0)
        status = exits_of(&err);
    else
        status = turns_run(k->outlet, k->opt->setup, run_once, k, &err);
    if (err.code != ERR_NONE)
        outlet_say(k->outlet, "%s", err.text);
    return status;
}

enum exits
kev_run(const struct kev_options *opt, FILE *out, FILE *say)
{
    struct kev k = {.opt = opt, .reset = opt->reset_state, .out = out};
    struct outlet_options to = {.program = opt->program, .agent = "cisa-kev/0.1", .id = opt->id,
                                .endpoint = opt->endpoint, .handles = 1, .level = opt->level,
                                .format = opt->format, .format_options = opt->format_options,
                                .progress = opt->progress, .say = say, .name = name_bundle, .ctx = &k};
    struct err err = {0};
    enum exits status;

    k.outlet = outlet_open(&to, &err);
    if (k.outlet == NULL) {
        fprintf(say, "%s: %s\n", opt->program, err.text);
        return exits_of(&err);
    }
    status = opt->setup != NULL ? run_by_schedule(&k) : run_once(&k);
    outlet_close(k.outlet);
    return status;
}
