/* scheduled.c - a connector with a schedule, as a process of its own, that keeps a book of what happened to it.
 *
 *     scheduled ENDPOINT BOOK WHO ID KIND PERIOD_MS LEAST_MS MOST_MS drain|schedule plain|count
 *
 * KIND: period (the library calls back), loop (permits are taken), continuous, terminate.  A run takes LEAST_MS to
 * MOST_MS and pushes bundles of the ledger's kind, by WHO.  `count`: each run adds one to a number in the state, and
 * that ends it.  SIGTERM ends the program after its run.  The exit status is 0, 3 where another took its place, 75
 * where it was held, else 1. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "ledger.h"
#include "scheduled.h"
#include "sluice/sluice.h"

enum {
    ARGUMENTS = 11,
    EVERY_MS = 20,     /* between two bundles */
    QUEUE_BYTES = 256 * 1024,
    CLOSE_MS = 60000,
    REPLACED_STATUS = 3
};

struct program {
    struct sluice *s;
    int            book;
    uint32_t       who;
    bool           loop, continuous, counts, told; /* told: an end that was not recorded yet */
    long           period_ms, least_ms, most_ms;
    struct sluice_schedule_options options;
    uint64_t       number;  /* of the last bundle */
    bool           waits;   /* it was not accepted yet */
    uint64_t       runs;
    char           last[SCHEDULED_RUN + 1]; /* the run that ended last */
    uint64_t       count, version;          /* of the state */
};

static struct sluice *volatile interruptible;
static volatile sig_atomic_t stopping;

/* --- the book --- */

static void
note(const struct program *p, enum scheduled_what what, const char *run, uint64_t number)
{
    char line[160];
    const int n = snprintf(line, sizeof(line), "%lld %u %s %s %llu\n", (long long)clock_wall_us(), p->who,
                           scheduled_says[what], run, (unsigned long long)number);

    if (write(p->book, line, (size_t)n) != n)
        _exit(1);
}

static const char *
hex(const unsigned char id[16], char buf[SCHEDULED_RUN + 1])
{
    for (size_t i = 0; i < 16; i++)
        snprintf(buf + 2 * i, 3, "%02x", id[i]);
    return buf;
}

/* The library's own words, in its thread. */
static void
listen(void *ctx, int level, const char *text)
{
    const struct program *p = ctx;

    if (level <= SLUICE_WARN && (strstr(text, "the run is over for the gateway") != NULL ||
                                 strstr(text, "the end of a run was not recorded") != NULL))
        note(p, S_DOUBT, "-", 0);
}

static int
failed(const struct program *p, const struct sluice_error *e)
{
    const bool replaced = e->code == SLUICE_EREPLACED;

    note(p, replaced ? S_REPLACED : S_FAILED, "-", (uint64_t)-e->code);
    fprintf(stderr, "%u: %s\n", p->who, e->text);
    return replaced ? REPLACED_STATUS : 1;
}

/* --- bundles --- */

static void
take_verdicts(struct program *p, int timeout_ms)
{
    struct sluice_verdict v;

    while (sluice_verdict_next(p->s, &v, timeout_ms, NULL) == 0) {
        note(p, v.kind == SLUICE_ACKED ? S_ACKED : S_REFUSED, "-", v.tag);
        timeout_ms = 0;
    }
}

/* The next bundle, or the one that found no room before.  Written down first: what is in the queue was pushed. */
static void
push(struct program *p, const char *run)
{
    static unsigned char body[SCHEDULED_SIZE_MOST];

    if (!p->waits)
        note(p, S_PUSH, run, ++p->number);
    const size_t size = scheduled_size(p->number);
    const struct sluice_push_options opt = {.tag = p->number};

    ledger_body(body, size, p->who, p->number);
    p->waits = sluice_push(p->s, body, size, &opt, 0, NULL) != 0;
}

/* --- a run --- */

static void
look_up_count(struct program *p)
{
    struct sluice_state st;

    if (sluice_state_get(p->s, &st, -1, NULL) != 0)
        return;
    p->version = st.version;
    p->count = 0;
    if (st.len > 0 && ((const char *)st.bytes)[st.len - 1] == '\0')
        p->count = strtoull(st.bytes, NULL, 10);
    free(st.bytes);
}

/* The state says which run it is of: "COUNT RUN". */
static void
end_with_count(struct program *p, const char *run)
{
    char bytes[80];
    struct sluice_error e = {.code = 0};
    int rc;

    do {
        const uint64_t next = p->count + 1;
        const int n = snprintf(bytes, sizeof(bytes), "%llu %s", (unsigned long long)next, run);

        note(p, S_TRY, run, next);
        rc = sluice_done_with_state(p->s, SLUICE_RUN_OK, bytes, (size_t)n + 1, p->version, &p->version, -1, &e);
        if (rc == 0) {
            p->count = next;
            note(p, S_COMMITTED, run, next);
        } else if (rc == SLUICE_ESTALE) {
            look_up_count(p); /* a program before this one was quicker than its death */
        }
    } while (rc == SLUICE_ESTALE);
    if (rc == SLUICE_ENORUN)
        note(p, S_GONE, run, 0);
    else if (rc != 0)
        _exit(failed(p, &e));
}

static void
pass_time(struct program *p, const char *run)
{
    const long span = p->most_ms - p->least_ms + 1;
    const long length = p->least_ms + (long)(p->runs * 7919 + p->who * 104729UL) % span;
    const int64_t end = clock_mono_us() + length * 1000;

    while (clock_mono_us() < end || (p->continuous && !stopping)) {
        push(p, run);
        take_verdicts(p, EVERY_MS);
        if (p->continuous && !sluice_run_alive(p->s))
            break;
        if (sluice_wait(p->s, 0, NULL) == SLUICE_EREPLACED)
            break;
    }
}

/* One run ends before the next begins: by the library's word the end of the last is on disk now. */
static void
recorded(struct program *p)
{
    if (p->told)
        note(p, S_RECORDED, p->last, 0);
    p->told = false;
}

static void
run_once(struct program *p, const struct sluice_run *r)
{
    char run[SCHEDULED_RUN + 1];

    recorded(p);
    note(p, S_BEGIN, hex(r->id, run), ++p->runs);
    if (p->counts)
        look_up_count(p);
    pass_time(p, run);
    if (p->counts) {
        end_with_count(p, run);
    } else {
        note(p, S_END, run, 0);
        memcpy(p->last, run, sizeof(run));
        p->told = true;
    }
}

static enum sluice_outcome
called(struct sluice *s, struct sluice_run *run, void *ctx)
{
    struct program *p = ctx;

    (void)s;
    run_once(p, run);
    return p->who % 5 == 0 ? SLUICE_RUN_FAILED : SLUICE_RUN_OK;
}

static int
take_permits(struct program *p, const char *period, struct sluice_error *e)
{
    struct sluice_run run;
    struct sluice_info info;
    int rc = sluice_ready(p->s, period, &p->options, e);

    while (rc == 0 && !stopping) {
        rc = sluice_permit_next(p->s, &run, EVERY_MS, e);
        take_verdicts(p, 0);
        if (rc == 0) {
            run_once(p, &run);
            sluice_done(p->s, SLUICE_RUN_OK, NULL, NULL);
        } else if (rc == SLUICE_EAGAIN) {
            rc = 0;
        }
        sluice_info(p->s, &info);
        if (!info.ending)
            recorded(p);
    }
    return stopping ? SLUICE_EINTR : rc;
}

/* --- the program --- */

static void
on_term(int signal)
{
    (void)signal;
    stopping = 1;
    if (interruptible != NULL)
        sluice_interrupt(interruptible);
}

static int
read_arguments(struct program *p, char **argv)
{
    const char *kind = argv[5];

    p->book = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    p->who = (uint32_t)strtoul(argv[3], NULL, 10);
    p->continuous = strcmp(kind, "continuous") == 0;
    p->loop = p->continuous || strcmp(kind, "loop") == 0;
    p->options.run_and_terminate = strcmp(kind, "terminate") == 0;
    p->period_ms = strtol(argv[6], NULL, 10);
    p->least_ms = strtol(argv[7], NULL, 10);
    p->most_ms = strtol(argv[8], NULL, 10);
    p->options.resume_schedule = strcmp(argv[9], "schedule") == 0;
    p->counts = strcmp(argv[10], "count") == 0;
    return p->book < 0 ? -1 : 0;
}

static int
live(struct program *p)
{
    struct sluice_error e = {.code = 0};
    char period[32];
    int rc;

    snprintf(period, sizeof(period), "PT%ldS", p->period_ms / 1000);
    if (p->loop)
        rc = take_permits(p, p->continuous ? NULL : period, &e);
    else
        rc = sluice_schedule_unit(p->s, (double)p->period_ms / 1000, SLUICE_SECONDS, called, p, &p->options, &e);
    if (rc == 0)
        recorded(p);
    if (rc == SLUICE_EHELD)
        note(p, S_HELD, "-", 0);
    return rc == 0 || rc == SLUICE_EINTR ? 0 : rc == SLUICE_EHELD ? SLUICE_EXIT_HELD : failed(p, &e);
}

static int
leave(struct program *p)
{
    const int64_t end = clock_mono_us() + CLOSE_MS * 1000LL;
    struct sluice_info info;

    do {
        take_verdicts(p, EVERY_MS);
        sluice_info(p->s, &info);
    } while ((info.unanswered > 0 || info.ending) && clock_mono_us() < end);
    if (!info.ending && info.connected)
        recorded(p);
    take_verdicts(p, 0);
    interruptible = NULL;
    sluice_close(&p->s, CLOSE_MS, &info);
    note(p, S_STOPPED, "-", info.unanswered);
    return info.unanswered == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
    const struct sigaction term = {.sa_handler = on_term};
    struct program p = {.book = -1};
    struct sluice_error e = {.code = 0};
    int status;

    if (argc != ARGUMENTS || read_arguments(&p, argv) != 0) {
        fputs("usage: scheduled ENDPOINT BOOK WHO ID KIND PERIOD_MS LEAST_MS MOST_MS RESUME STATE\n", stderr);
        return 2;
    }
    const struct sluice_options opt = {.id = argv[4], .endpoint = argv[1], .report_acks = 1,
                                       .queue_bytes = QUEUE_BYTES, .on_log = listen, .log_ctx = &p};

    note(&p, S_STARTED, "-", 0);
    p.s = sluice_open(&opt, &e);
    if (p.s == NULL)
        return failed(&p, &e);
    interruptible = p.s;
    sigaction(SIGTERM, &term, NULL);
    status = live(&p);
    return status == 0 ? leave(&p) : status;
}
