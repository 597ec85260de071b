/* turn.c - does a turn of the loop cost more, the more connectors wait?  And what does each of them weigh?
 *
 * The core alone: connectors that were permitted once, ended, and wait for a time that does not come.  A turn with
 * nothing to do, and a turn after one ping, are what the loop does all day.  The numbers of connectors take turns of a
 * few hundred microseconds; two fleets of 100 beside each other are the noise of the machine, and where their median
 * differs by more than 5 % there is no verdict on the ratio.
 *
 * usage: turn [--quick] */
#include <malloc.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/core.h"
#include "err.h"
#include "report.h"
#include "system/world.h"
#include "wire.h"

enum {
    ROUNDS = 7,
    TURNS = 1000000,
    SLICES = 100,
    STRIDE = 7919 /* a prime: who pings next is nowhere near in memory */
};

#define HAS(field) (UINT64_C(1) << WIRE_F_##field)

static const uint32_t WAITING[] = {100, 100, 1000, 10000, CORE_CONNECTORS_MAX};
static const double NOISE = 0.05, RATIO_MOST = 1.1, BYTES_MOST = 2048;
enum { CASES = sizeof(WAITING) / sizeof(WAITING[0]) };

struct fleet {
    struct core *core;
    struct core_sink sink;
    struct core_connector *list;
    uint32_t n;
    int64_t now_us;
    uint8_t run[WIRE_RUN_LEN]; /* of the last permit */
    uint32_t permits, waits;   /* how many permits and next times were said */
    size_t bytes;              /* of the core's memory */
};

static void
heard(void *ctx, const struct core_effect *e)
{
    struct fleet *f = ctx;
    if (e->kind != CORE_SEND)
        return;
    const struct wire_msg *m = e->u.send.msg;
    if (m->type == WIRE_PERMIT) {
        memcpy(f->run, m->run, sizeof(f->run));
        f->permits++;
    }
    f->waits += m->type == WIRE_HOLD && !WIRE_HAS(m, WIRE_F_RUN) && WIRE_HAS(m, WIRE_F_NEXT_MS);
}

static void
step(struct fleet *f, const struct core_event *e)
{
    core_step(f->core, e, f->now_us, &f->sink);
}

static void
turn(struct fleet *f)
{
    step(f, &(struct core_event){.kind = CORE_TURN});
}

static void
say(struct fleet *f, uint32_t i, const struct wire_msg *m)
{
    struct core_event e = {.kind = CORE_MESSAGE};
    e.u.message.conn = UINT64_C(1) << 32 | i;
    e.u.message.msg = m;
    step(f, &e);
}

static void
ping(struct fleet *f, uint32_t i)
{
    static const struct wire_msg m = {.type = WIRE_PING, .has = HAS(SEEN) | HAS(WANT) | HAS(HEAD)};
    say(f, i, &m);
}

/* Its first run is over, and the next is a year away. */
static void
let_wait(struct fleet *f, uint32_t i)
{
    static const struct wire_msg ready = {.type = WIRE_READY,
                                          .has = HAS(WANT) | HAS(HEAD) | HAS(SCHEDULE) | HAS(PERIOD_MS),
                                          .schedule = WIRE_S_PERIOD,
                                          .period_ms = UINT64_C(365) * 24 * 3600 * 1000};
    struct wire_msg hello = {.type = WIRE_HELLO,
                             .has = HAS(V) | HAS(ID) | HAS(EPOCH) | HAS(ATTEMPT) | HAS(FRESH) | HAS(SEEN) |
                                    HAS(WANT) | HAS(HEAD),
                             .v = 1,
                             .epoch = 1,
                             .attempt = 1,
                             .fresh = true};
    struct wire_msg done = {.type = WIRE_DONE, .has = HAS(RUN) | HAS(OUTCOME), .outcome = WIRE_OUT_OK};
    hello.id = (struct wire_text){f->list[i].id, (uint32_t)strlen(f->list[i].id)};
    say(f, i, &hello);
    say(f, i, &ready);
    turn(f);
    memcpy(done.run, f->run, sizeof(done.run));
    say(f, i, &done);
    say(f, i, &ready);
    turn(f);
}

static size_t
in_use(void)
{
    const struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* -1: not all of them wait. */
static int
gather(struct fleet *f, uint32_t n, struct err *err)
{
    const struct core_config cfg = {.memory_limit = 1 << 30,
                                    .max_bundle = 1 << 20,
                                    .chunk = WIRE_CHUNK_MAX,
                                    .ping_us = 40000000,
                                    .missed = 3,
                                    .publishers = 1,
                                    .seed = 1};
    *f = (struct fleet){.n = n, .now_us = 1};
    f->sink = (struct core_sink){heard, f};
    f->list = calloc(n, sizeof(*f->list));
    if (f->list == NULL)
        return err_set(err, ERR_NOMEM, 0, "%u connectors", n);
    for (uint32_t i = 0; i < n; i++)
        (void)snprintf(f->list[i].id, sizeof(f->list[i].id), "waits-%u", i);
    const size_t before = in_use();
    f->core = core_new(&cfg, err);
    if (f->core == NULL)
        return -1;
    struct core_event all = {.kind = CORE_CONFIGURE};
    all.u.configure.list = f->list;
    all.u.configure.n = n;
    step(f, &all);
    step(f, &(struct core_event){.kind = CORE_UP, .u.broker.session = 1});
    for (uint32_t i = 0; i < n; i++)
        let_wait(f, i);
    f->bytes = in_use() - before;
    if (f->permits == n && f->waits == n)
        return 0;
    return err_set(err, ERR_PROTO, 0, "of %u connectors %u were permitted and %u wait", n, f->permits, f->waits);
}

static void
leave(struct fleet *f)
{
    core_free(f->core);
    free(f->list);
}

/* Returns nanoseconds of so many turns, each after a ping or with nothing before it.  Time goes on by one microsecond a
 * turn. */
static double
turns(struct fleet *f, uint32_t times, bool pings)
{
    struct timespec from, to;
    uint32_t who = 0;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (uint32_t i = 0; i < times; i++) {
        f->now_us++;
        if (pings) {
            who = (who + STRIDE) % f->n;
            ping(f, who);
        }
        turn(f);
    }
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
}

static void
judge(const char *metric, double value, double most)
{
    printf("%s %.2f, target at most %.2f: %s\n", metric, value, most, value <= most ? "met" : "MISSED");
}

struct times {
    double idle[CASES][ROUNDS], busy[CASES][ROUNDS]; /* ns a turn */
    double noise[ROUNDS], most_by_least[ROUNDS];
};

static void
one_round(struct fleet *fleets, struct times *t, size_t i, uint32_t times)
{
    for (size_t s = 0; s < SLICES; s++)
        for (size_t c = 0; c < CASES; c++)
            t->idle[c][i] += turns(&fleets[c], times / SLICES, false) / times;
    const uint32_t pings = times / 5;
    for (size_t s = 0; s < SLICES; s++)
        for (size_t c = 0; c < CASES; c++)
            t->busy[c][i] += turns(&fleets[c], pings / SLICES, true) / pings;
    t->noise[i] = t->idle[1][i] / t->idle[0][i];
    t->most_by_least[i] = t->idle[CASES - 1][i] / t->idle[0][i];
}

static void
tell(struct report *r, const struct fleet *fleets, const struct times *t)
{
    for (size_t c = 1; c < CASES; c++) {
        const double bytes = (double)fleets[c].bytes / WAITING[c];
        char name[40];
        (void)snprintf(name, sizeof(name), "%u connectors", WAITING[c]);
        report_add(r, name, "turn_ns", t->idle[c], ROUNDS, "ns");
        report_add(r, name, "turn_ping_ns", t->busy[c], ROUNDS, "ns");
        if (fleets[c].bytes > 0) /* an allocator that is not glibc's does not say */
            report_add(r, name, "bytes", &bytes, 1, "bytes");
        if (c == CASES - 1 && fleets[c].bytes > 0)
            judge("bytes", bytes, BYTES_MOST);
    }
    const double noise = fabs(report_median(t->noise, ROUNDS) - 1);
    report_add(r, "20000 by 100", "turn_100_by_100", t->noise, ROUNDS, "ratio");
    if (noise > NOISE) {
        printf("no verdict on turn_ratio: 100 by 100 differs by %.1f %% (at most %.0f %%)\n", noise * 100, NOISE * 100);
        return;
    }
    report_add(r, "20000 by 100", "turn_ratio", t->most_by_least, ROUNDS, "ratio");
    judge("turn_ratio", report_median(t->most_by_least, ROUNDS), RATIO_MOST);
}

static int
measure(struct report *r, uint32_t times, struct err *err)
{
    struct fleet fleets[CASES] = {0};
    struct times t = {.noise = {0}};
    int rc = 0;
    for (size_t c = 0; c < CASES && rc == 0; c++)
        rc = gather(&fleets[c], WAITING[c], err);
    for (size_t i = 0; i < ROUNDS && rc == 0; i++)
        one_round(fleets, &t, i, times);
    if (rc == 0)
        tell(r, fleets, &t);
    for (size_t c = 0; c < CASES; c++)
        leave(&fleets[c]);
    return rc;
}

int
main(int argc, char **argv)
{
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    struct report *r = report_new("turn");
    struct err err = {.code = ERR_NONE};
    char dir[600], path[640];
    int rc = measure(r, quick ? TURNS / 10 : TURNS, &err);
    if (rc == 0) {
        report_print(r);
        (void)world_built("bench", dir, sizeof(dir));
        (void)mkdir(dir, 0777);
        (void)snprintf(path, sizeof(path), "%s/turn.jsonl", dir);
        rc = report_write(r, path, &err);
    }
    if (rc == 0)
        printf("figures: %s\n", path);
    else
        fprintf(stderr, "turn: no figures: %s\n", err.text);
    report_free(r);
    return rc == 0 ? 0 : 1;
}
