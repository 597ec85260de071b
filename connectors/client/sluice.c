/* sluice.c - opening and closing a handle, and how things stand with it. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"
#include "handle.h"
#include "link.h"
#include "session.h"
#include "text.h"
#include "worker.h"

static const uint64_t queue_default = UINT64_C(64) << 20;

int
fail(struct sluice_error *err, enum sluice_code code, const char *fmt, ...)
{
    va_list args;

    if (err == NULL)
        return code;
    err->code = code;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    return code;
}

static int
fail_as(struct sluice_error *ret, const struct err *err)
{
    enum sluice_code code = err->code == ERR_NOMEM    ? SLUICE_ENOMEM
                            : err->code == ERR_CONFIG ? SLUICE_EINVAL
                                                      : SLUICE_EIO;

    return fail(ret, code, "%s", err->text);
}

/* --- how things stand --- */

int
check_phase_locked(const struct sluice *s, struct sluice_error *err)
{
    if (s->desk.phase == SESSION_REPLACED)
        return fail(err, SLUICE_EREPLACED,
                    "another program connected as \"%s\" (%.100s); stop one of the two, or give it another id", s->id,
                    s->desk.words);
    if (s->desk.phase == SESSION_REFUSED)
        return fail(err, SLUICE_EREFUSED, "the gateway at %.80s refuses connector \"%s\": %.100s", s->endpoint, s->id,
                    s->desk.words);
    return 0;
}

void
print_hold(uint32_t hold, char *buf, size_t cap)
{
    size_t len = 0;

    buf[0] = '\0';
    for (uint32_t bit = 1; bit < WIRE_HOLD_ALL && len < cap; bit <<= 1)
        if (hold & bit)
            len += (size_t)snprintf(buf + len, cap - len, "%s%s", len == 0 ? "" : ",",
                                    wire_hold_name((enum wire_hold)bit));
}

int
fail_again_locked(const struct sluice *s, struct sluice_error *err, const char *what)
{
    const struct desk *d = &s->desk;
    char hold[96];

    if (d->phase == SESSION_WELCOMED) {
        print_hold(d->hold, hold, sizeof(hold));
        return fail(err, SLUICE_EAGAIN, "%s: the time is over; %llu bundles are unanswered%s%s", what,
                    (unsigned long long)(d->accepted - d->acked - d->nacked), hold[0] == '\0' ? "" : ", on hold: ",
                    hold);
    }
    if (d->words[0] != '\0')
        return fail(err, SLUICE_EAGAIN, "%s: not welcomed at %.80s yet (%.100s); it is tried again", what, s->endpoint,
                    d->words);
    if (d->answers)
        return fail(err, SLUICE_EAGAIN, "%s: something listens at %.80s, but does not answer as a gateway", what,
                    s->endpoint);
    return fail(err, SLUICE_EAGAIN, "%s: no gateway answers at %.80s yet; does sluiced run there? It is tried again",
                what, s->endpoint);
}

static int64_t
ms_until(int64_t at_us)
{
    int64_t left = at_us < 0 ? -1 : at_us - clock_mono_us();

    return at_us >= 0 && left < 0 ? 0 : left < 0 ? -1 : left / 1000;
}

static void
info_locked(const struct desk *d, struct sluice_info *ret)
{
    *ret = (struct sluice_info){
        .connected = d->phase == SESSION_WELCOMED,
        .accepted = d->accepted, .accepted_bytes = d->accepted_bytes,
        .acked = d->acked, .nacked = d->nacked,
        .unanswered = d->accepted - d->acked - d->nacked, .unanswered_bytes = d->unanswered_bytes,
        .resent = d->resent, .reconnects = d->welcomes == 0 ? 0 : d->welcomes - 1,
        .max_bundle = d->max_bundle,
        .running = d->runs.in_run, .ending = run_ending_locked(d),
        .next_run_ms = d->runs.asked ? ms_until(d->runs.seen.next_us) : -1,
    };
    print_hold(d->runs.asked ? d->runs.seen.reasons : 0, ret->run_hold, sizeof(ret->run_hold));
    print_hold(d->hold, ret->hold, sizeof(ret->hold));
}

void
sluice_info(const struct sluice *s, struct sluice_info *ret)
{
    struct desk *d = s->shared;

    pthread_mutex_lock(&d->lock);
    info_locked(d, ret);
    pthread_mutex_unlock(&d->lock);
}

int
sluice_fd(const struct sluice *s)
{
    return s->desk.event_fd;
}

int
sluice_wait(struct sluice *s, int timeout_ms, struct sluice_error *err)
{
    int64_t deadline = desk_deadline(timeout_ms);
    int rc;

    pthread_mutex_lock(&s->desk.lock);
    while ((rc = check_phase_locked(s, err)) == 0 && s->desk.phase != SESSION_WELCOMED)
        if (!desk_wait_locked(&s->desk, deadline)) {
            rc = fail_again_locked(s, err, "wait");
            break;
        }
    pthread_mutex_unlock(&s->desk.lock);
    return rc;
}

/* --- open --- */

static int
check_options(const struct sluice_options *opt, const char *endpoint, struct sluice_error *err)
{
    struct err bad;

    if (opt->id == NULL || !text_is_id(opt->id, strlen(opt->id)))
        return fail(err, SLUICE_EINVAL,
                    "id \"%.70s\": write 1 to 64 of a-z 0-9 . _ - beginning with a letter or digit",
                    opt->id == NULL ? "" : opt->id);
    if (opt->agent != NULL && (strlen(opt->agent) > 64 || !text_is_utf8(opt->agent, strlen(opt->agent))))
        return fail(err, SLUICE_EINVAL, "agent: write at most 64 bytes of UTF-8");
    if (link_check(endpoint, &bad) != 0)
        return fail_as(err, &bad);
    return 0;
}

/* Larger than any before on this id, unless the clock stepped back; then the gateway tells what to use. */
static uint64_t
new_epoch(void)
{
    uint16_t bits = 0;

    if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) != (ssize_t)sizeof(bits))
        bits = (uint16_t)clock_mono_us();
    return (uint64_t)clock_wall_us() * 1024 + bits % 1024;
}

/* All threads begin here, ours and those of the link: they inherit that no signal is for them. */
static int
start(struct sluice *s, const struct sluice_options *opt, struct err *err)
{
    struct session_config config = {.id = opt->id, .agent = opt->agent, .epoch = new_epoch()};
    struct session *session = session_new(&config, err);
    struct link *link = NULL;
    sigset_t all, before;

    if (session == NULL)
        return -1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    link = link_open(s->endpoint, s->desk.wake_fd, err);
    if (link != NULL)
        s->worker = worker_start(&s->desk, &session, &link, opt->on_log, opt->log_ctx, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    session_free(session);
    link_close(link, 0);
    return s->worker == NULL ? -1 : 0;
}

static const char *
choose_endpoint(const struct sluice_options *opt)
{
    const char *environment = getenv(SLUICE_ENV_ENDPOINT);

    if (opt->endpoint != NULL)
        return opt->endpoint;
    return environment != NULL && environment[0] != '\0' ? environment : SLUICE_DEFAULT_ENDPOINT;
}

struct sluice *
sluice_open(const struct sluice_options *opt, struct sluice_error *ret_err)
{
    struct sluice_options with = *opt;
    const char *endpoint = choose_endpoint(opt);
    struct sluice *s;
    struct err err;

    if (check_options(opt, endpoint, ret_err) != 0)
        return NULL;
    if (with.agent == NULL)
        with.agent = "libsluice 0.1";
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        goto nomem;
    s->shared = &s->desk;
    s->pid = getpid();
    s->endpoint = strdup(endpoint);
    s->id = strdup(opt->id);
    if (s->endpoint == NULL || s->id == NULL)
        goto nomem;
    if (desk_init(&s->desk, opt->queue_bytes == 0 ? queue_default : opt->queue_bytes, opt->report_acks != 0, &err) != 0)
        goto fail;
    if (start(s, &with, &err) == 0)
        return s;
    desk_clear(&s->desk);
    goto fail;

nomem:
    err_set(&err, ERR_NOMEM, 0, "connector %s", opt->id);
fail:
    fail_as(ret_err, &err);
    if (s != NULL) {
        free(s->endpoint);
        free(s->id);
    }
    free(s);
    return NULL;
}

/* --- close --- */

static void
wait_for_answers(struct sluice *s, int timeout_ms)
{
    int64_t deadline = desk_deadline(timeout_ms);
    struct desk *d = &s->desk;

    pthread_mutex_lock(&d->lock);
    while ((d->accepted > d->acked + d->nacked || run_ending_locked(d)) && check_phase_locked(s, NULL) == 0)
        if (!desk_wait_locked(d, deadline))
            break;
    d->closing = true;
    desk_unlock_waking(d);
}

int
sluice_close(struct sluice **s, int timeout_ms, struct sluice_info *info)
{
    struct sluice *mine = *s;
    struct sluice_info left = {.connected = 0};

    *s = NULL;
    if (mine != NULL && mine->pid == getpid()) {
        wait_for_answers(mine, timeout_ms);
        worker_stop(mine->worker);
        info_locked(&mine->desk, &left);
        desk_clear(&mine->desk);
        free(mine->endpoint);
        free(mine->id);
        free(mine);
    } /* else: in the child of a fork there is no thread to end, and its locks may be held for ever */
    if (info != NULL)
        *info = left;
    return left.unanswered == 0 && !left.ending ? SLUICE_OK : SLUICE_EAGAIN;
}
