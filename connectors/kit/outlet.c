#include "outlet.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "err.h"
#include "sluice/sluice.h"
#include "stop.h"

enum {
    SLICE_MS = 200,          /* a wait is cut into these, so that a signal and the progress are seen to */
    HOLD_SAID_US = 2000000,  /* a hold shorter than this is not worth a word */
    BYE_MS = 1000            /* for the library to say bye, once nothing is left */
};

struct outlet {
    struct outlet_options opt;   /* strings borrowed */
    struct sluice **handle;      /* opt.handles of them; NULL while not open */
    struct pollfd  *fds;         /* one for each handle */
    size_t          turn;        /* the handle that is asked first */
    uint64_t        dead;        /* verdicts of that kind, seen so far */
    int64_t         seen_us;     /* see_to did its work then */
    int64_t         held_us;     /* waiting for room since then; 0: not */
    char            held[96];    /* the hold that was last said */
    struct progress progress;
};

static void
on_log(void *ctx, int level, const char *text)
{
    const struct outlet *o = ctx;

    if (level <= (int)o->opt.level)
        fprintf(o->opt.say, "%s: %s\n", o->opt.program, text);
}

int
outlet_fail(const struct sluice_error *from, const char *what, struct err *err)
{
    enum err_code code = ERR_IO;

    switch (from->code) {
    case SLUICE_EINVAL:
        code = ERR_CONFIG;
        break;
    case SLUICE_ENOMEM:
        code = ERR_NOMEM;
        break;
    case SLUICE_EAGAIN:
        code = ERR_TIMEOUT;
        break;
    case SLUICE_ETOOLARGE:
        code = ERR_FULL;
        break;
    case SLUICE_ESTALE:
    case SLUICE_EREPLACED:
        code = ERR_STALE;
        break;
    case SLUICE_EREFUSED:
        code = ERR_DENIED;
        break;
    case SLUICE_EHELD:
    case SLUICE_EINTR:
        code = ERR_TIMEOUT;
        break;
    case SLUICE_ENORUN:
        code = ERR_STALE;
        break;
    default:
        break;
    }
    return err_set(err, code, 0, "%s: %s", what, from->text);
}

static int
open_handle(struct outlet *o, size_t i, struct err *err)
{
    char id[128];
    struct sluice_error why;
    /* Acks are counted by the library: reported one by one they would only fill its list. */
    struct sluice_options opt = {.endpoint = o->opt.endpoint, .agent = o->opt.agent,
                                 .queue_bytes = o->opt.queue_bytes, .on_log = on_log, .log_ctx = o};

    if (o->opt.handles == 1)
        snprintf(id, sizeof(id), "%s", o->opt.id);
    else
        snprintf(id, sizeof(id), "%.64s-%zu", o->opt.id, i + 1);
    opt.id = id;
    o->handle[i] = sluice_open(&opt, &why);
    if (o->handle[i] == NULL)
        return outlet_fail(&why, id, err);
    o->fds[i].fd = sluice_fd(o->handle[i]);
    o->fds[i].events = POLLIN;
    return 0;
}

struct outlet *
outlet_open(const struct outlet_options *opt, struct err *err)
{
    struct outlet *o = calloc(1, sizeof(*o));

    if (o == NULL)
        goto nomem;
    o->opt = *opt;
    if (o->opt.say == NULL)
        o->opt.say = stderr;
    o->handle = calloc(opt->handles, sizeof(struct sluice *));
    o->fds = calloc(opt->handles, sizeof(*o->fds));
    if (o->handle == NULL || o->fds == NULL)
        goto nomem;
    for (size_t i = 0; i < opt->handles; i++)
        if (open_handle(o, i, err) != 0)
            goto fail;
    progress_start(&o->progress, o->opt.say, opt->progress, clock_mono_us());
    return o;

nomem:
    err_set(err, ERR_NOMEM, errno, "%zu handles to the gateway", opt->handles);
fail:
    outlet_close(o);
    return NULL;
}

void
outlet_say(struct outlet *o, const char *fmt, ...)
{
    va_list args;

    progress_clear(&o->progress);
    fprintf(o->opt.say, "%s: ", o->opt.program);
    va_start(args, fmt);
    vfprintf(o->opt.say, fmt, args);
    va_end(args);
    fputc('\n', o->opt.say);
}

static void
say_verdict(struct outlet *o, const struct sluice_verdict *v)
{
    char name[512];

    o->opt.name(o->opt.ctx, v->tag, name, sizeof(name));
    if (v->kind == SLUICE_NACKED)
        outlet_say(o, "%s: refused (%s): %s", name, v->reason, v->text);
    else
        outlet_say(o, "%s: kept by the gateway as a dead letter (%s): %s", name, v->reason, v->text);
}

/* Take what verdicts wait on one handle. */
static void
take_verdicts(struct outlet *o, struct sluice *s)
{
    struct sluice_verdict v;

    while (sluice_verdict_next(s, &v, 0, NULL) == SLUICE_OK) {
        if (v.kind == SLUICE_ACKED)
            continue;
        if (v.kind == SLUICE_ACKED_DEAD)
            o->dead++;
        say_verdict(o, &v);
    }
}

/* A connector that stands still without a word looks broken: say why, once for each reason. */
static void
say_hold(struct outlet *o, const struct tally *t, int64_t now)
{
    const char *why = t->away > 0 ? "no connection to the gateway, which is tried again" : t->hold;

    if (o->held_us == 0 || now - o->held_us < HOLD_SAID_US || strcmp(o->held, why) == 0)
        return;
    snprintf(o->held, sizeof(o->held), "%s", why);
    if (why[0] != '\0')
        outlet_say(o, "waiting: %s%s", t->away > 0 ? "" : "the gateway holds this connector: ", why);
}

/* What has to be done now and then: cheap to call often. */
static void
see_to(struct outlet *o)
{
    int64_t now = clock_mono_us();
    struct tally t;

    if (now - o->seen_us < SLICE_MS * 1000)
        return;
    o->seen_us = now;
    for (size_t i = 0; i < o->opt.handles; i++)
        take_verdicts(o, o->handle[i]);
    outlet_tally(o, &t);
    say_hold(o, &t, now);
    progress_tick(&o->progress, &t, now);
}

void
outlet_pass(struct outlet *o, int64_t due_us)
{
    int64_t now;

    while (stop_asked() == 0 && (now = clock_mono_us()) < due_us) {
        int64_t left = due_us - now, slice = left < SLICE_MS * 1000 ? left : SLICE_MS * 1000;
        struct timespec nap = {.tv_nsec = (long)slice * 1000};

        nanosleep(&nap, NULL);
        see_to(o);
    }
}

void
outlet_rest(struct outlet *o, int64_t us)
{
    struct timespec nap = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    nanosleep(&nap, NULL);
    see_to(o);
}

int
outlet_wait(struct outlet *o, int64_t timeout_ms, struct err *err)
{
    int64_t end = clock_mono_us() + timeout_ms * 1000;
    struct sluice_error why;

    for (size_t i = 0; i < o->opt.handles; i++)
        while (sluice_wait(o->handle[i], SLICE_MS, &why) != SLUICE_OK) {
            if (stop_asked() > 0)
                return err_set(err, ERR_TIMEOUT, 0, "stopped by a signal before the gateway answered");
            if (why.code != SLUICE_EAGAIN || clock_mono_us() >= end)
                return outlet_fail(&why, "connecting", err);
        }
    return 0;
}

/* Offer the body to each handle once, the one whose turn it is first. */
static int
push_once(struct outlet *o, void **body, size_t len, const struct sluice_push_options *opt, struct sluice_error *why)
{
    int rc = SLUICE_EAGAIN;

    for (size_t i = 0; i < o->opt.handles && rc == SLUICE_EAGAIN; i++) {
        size_t at = (o->turn + i) % o->opt.handles;

        rc = sluice_push_take(o->handle[at], body, len, opt, 0, why);
        if (rc == SLUICE_EVERDICTS) {
            take_verdicts(o, o->handle[at]);
            rc = sluice_push_take(o->handle[at], body, len, opt, 0, why);
        }
        if (rc == SLUICE_OK)
            o->turn = (at + 1) % o->opt.handles;
        else if (rc == SLUICE_EVERDICTS)
            rc = SLUICE_EAGAIN; /* more came at the same moment: they are taken before the next try */
    }
    return rc;
}

int
outlet_push(struct outlet *o, void **body, size_t len, const char *ctype, uint64_t tag, struct err *err)
{
    struct sluice_push_options opt = {.content_type = ctype, .tag = tag, .format = o->opt.format,
                                      .options = o->opt.format_options};
    struct sluice_error why;

    for (;;) {
        int rc;

        if (stop_asked() > 0)
            return err_set(err, ERR_TIMEOUT, 0, "stopped by a signal");
        rc = push_once(o, body, len, &opt, &why);
        if (rc == SLUICE_OK) {
            o->held_us = 0;
            see_to(o);
            return 0;
        }
        if (rc != SLUICE_EAGAIN)
            return outlet_fail(&why, "push", err);
        if (o->held_us == 0)
            o->held_us = clock_mono_us();
        poll(o->fds, o->opt.handles, SLICE_MS);
        see_to(o);
    }
}

static int
given_up(const struct outlet *o, struct err *err)
{
    struct tally t;

    outlet_tally(o, &t);
    return err_set(err, ERR_TIMEOUT, 0,
                   "stopped by a signal with %" PRIu64 " bundles (%" PRIu64
                   " bytes) unanswered: whether the gateway has them is not known, run again to send them again",
                   t.left, t.left_bytes);
}

int
outlet_flush(struct outlet *o, struct err *err)
{
    struct sluice_error why;
    int64_t end = INT64_MAX;

    for (size_t i = 0; i < o->opt.handles; i++)
        for (;;) {
            int rc = sluice_flush(o->handle[i], SLICE_MS, &why);

            take_verdicts(o, o->handle[i]);
            if (rc == SLUICE_OK || rc == SLUICE_ENACK)
                break;
            if (rc != SLUICE_EAGAIN)
                return outlet_fail(&why, "waiting for the answers", err);
            if (o->held_us == 0)
                o->held_us = clock_mono_us();
            see_to(o);
            if (stop_asked() > 0 && end == INT64_MAX)
                end = clock_mono_us() + OUTLET_GRACE_MS * 1000;
            if (stop_asked() > 1 || clock_mono_us() >= end)
                return given_up(o, err);
        }
    o->held_us = 0;
    return 0;
}

uint64_t
outlet_max_bundle(const struct outlet *o)
{
    struct sluice_info info;

    sluice_info(o->handle[0], &info);
    return info.max_bundle;
}

struct sluice *
outlet_sluice(struct outlet *o)
{
    return o->handle[0];
}

void
outlet_tally(const struct outlet *o, struct tally *ret)
{
    struct sluice_info info;

    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < o->opt.handles; i++) {
        sluice_info(o->handle[i], &info);
        ret->pushed += info.accepted;
        ret->bytes += info.accepted_bytes;
        ret->acked += info.acked;
        ret->nacked += info.nacked;
        ret->left += info.unanswered;
        ret->left_bytes += info.unanswered_bytes;
        ret->away += info.connected ? 0 : 1;
        if (ret->hold[0] == '\0')
            snprintf(ret->hold, sizeof(ret->hold), "%s", info.hold);
    }
    ret->dead = o->dead;
}

void
outlet_close(struct outlet *o)
{
    if (o == NULL)
        return;
    progress_clear(&o->progress);
    for (size_t i = 0; o->handle != NULL && i < o->opt.handles; i++) {
        struct sluice_info info = {0};

        if (o->handle[i] != NULL)
            sluice_info(o->handle[i], &info);
        sluice_close(&o->handle[i], info.unanswered == 0 ? BYE_MS : 0, NULL);
    }
    free(o->handle);
    free(o->fds);
    free(o);
}
