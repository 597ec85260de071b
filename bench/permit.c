/* permit.c - how long is "may I run?", and what do those cost who wait?
 *
 * Against one private broker.  With 1, 1000 and 10000 peers connected and waiting, a few of them ask, in each round
 * twenty questions here, twenty there: sluiced, from `ready` to `permit`, and an echo (a bare ROUTER with as many
 * peers).  The ratio of a round is sluiced by the echo; every second twenty of the echo by the others are the noise of
 * the machine.  If their median differs by more than 5 %, or they scatter by more than they may, there is no verdict.
 * With the most peers it then leaves both alone, and takes what processor time each uses for pings.
 *
 * usage: permit [--quick] [--rounds N] [--case NAME] */
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "asker.h"
#include "clock.h"
#include "crowd.h"
#include "echo.h"
#include "err.h"
#include "report.h"
#include "system/sluiced.h"
#include "system/world.h"

enum {
    ROUNDS = 7,
    TIMES = 24 * ASKER_BLOCK,
    PACE_US = 4000, /* what sluiced does after an answer is over by then */
    IDLE_MS = 3000,
    IDLE_SETTLE_MS = 2000,
    IDLE_PEERS = 10000
};
static const double NOISE = 0.05;

/* A percentile of a round, as it is judged: the far one scatters more by its nature. */
static const struct judged {
    const char *us, *us_bare, *ratio, *noise;
    double scatter, target;
} P50 = {"p50_us", "p50_us_bare", "p50_ratio", "p50_echo_by_echo", 0.1, 1.3},
  P99 = {"p99_us", "p99_us_bare", "p99_ratio", "p99_echo_by_echo", 0.25, 2.0};

struct point {
    const char *name;
    uint32_t peers;
    bool target; /* its ratios have one */
};

static const struct point POINTS[] = {
    {"1 peer", 1, false},
    {"1000 peers", 1000, true},
    {"10000 peers", IDLE_PEERS, false},
};

struct bench {
    struct world *world;
    struct sluiced *gateway;
    struct echo *echo;
    struct crowd *waiting[2]; /* by enum crowd_at */
    struct report *report;
    int echo_port;
    char echo_endpoint[64];
    size_t rounds, times;
};

/* A percentile over the rounds of one point. */
struct rounds {
    double us[REPORT_ROUNDS_MAX], bare[REPORT_ROUNDS_MAX], ratio[REPORT_ROUNDS_MAX], noise[REPORT_ROUNDS_MAX];
};

/* --- answers --- */

static void
note(struct rounds *r, size_t i, double sluiced, double echo, double odd, double even)
{
    r->us[i] = sluiced;
    r->bare[i] = echo;
    r->ratio[i] = sluiced / echo;
    r->noise[i] = odd / even;
}

static int
one_round(struct bench *b, const struct point *p, struct rounds *p50, struct rounds *p99, size_t i, struct err *err)
{
    const struct asking a = {.sluiced = sluiced_endpoint(b->gateway),
                             .echo = b->echo_endpoint,
                             .peers = p->peers < ASKER_PEERS_MAX ? p->peers : ASKER_PEERS_MAX,
                             .times = b->times,
                             .pace_us = PACE_US};
    struct asker_result r = {.echo = {0}};
    if (asker_run(&a, &r, err) != 0)
        return -1;
    note(p50, i, r.sluiced.p50_us, r.echo.p50_us, r.odd.p50_us, r.even.p50_us);
    note(p99, i, r.sluiced.p99_us, r.echo.p99_us, r.odd.p99_us, r.even.p99_us);
    printf("  %zu: p50 sluiced %.0f us, echo %.0f us, ratio %.2f (echo by echo %.2f); p99 sluiced %.0f us, echo %.0f "
           "us, ratio %.2f (echo by echo %.2f)\n",
           i + 1, p50->us[i], p50->bare[i], p50->ratio[i], p50->noise[i], p99->us[i], p99->bare[i], p99->ratio[i],
           p99->noise[i]);
    (void)fflush(stdout);
    return 0;
}

static void
judge(struct bench *b, const struct point *p, const struct judged *j, const struct rounds *r)
{
    const double noise = fabs(report_median(r->noise, b->rounds) - 1), scatter = report_scatter(r->noise, b->rounds);
    const double ratio = report_median(r->ratio, b->rounds);
    report_add(b->report, p->name, j->noise, r->noise, b->rounds, "ratio");
    if (noise > NOISE || scatter > j->scatter) {
        printf("%s: no verdict on %s: echo by echo differs by %.1f %% (at most %.0f %%) and scatters by %.1f %% (at "
               "most %.0f %%)\n",
               p->name, j->ratio, noise * 100, NOISE * 100, scatter * 100, j->scatter * 100);
        return;
    }
    report_add(b->report, p->name, j->us, r->us, b->rounds, "us");
    report_add(b->report, p->name, j->us_bare, r->bare, b->rounds, "us");
    report_add(b->report, p->name, j->ratio, r->ratio, b->rounds, "ratio");
    if (p->target)
        printf("%s: %s %.2f, target at most %.1f: %s\n", p->name, j->ratio, ratio, j->target,
               ratio <= j->target ? "met" : "MISSED");
}

/* --- those who wait --- */

/* Nobody asks, all ping. */
static int
run_idle(struct bench *b, const struct point *p, struct err *err)
{
    double sluiced[REPORT_ROUNDS_MAX], bare[REPORT_ROUNDS_MAX], over[REPORT_ROUNDS_MAX];
    world_sleep_ms(IDLE_SETTLE_MS);
    for (size_t i = 0; i < b->rounds; i++) {
        const int64_t began = clock_mono_us(), gateway = sluiced_cpu_us(b->gateway), echo = echo_cpu_us(b->echo);
        world_sleep_ms(IDLE_MS);
        const double us = (double)(clock_mono_us() - began);
        sluiced[i] = (double)(sluiced_cpu_us(b->gateway) - gateway) / us;
        bare[i] = (double)(echo_cpu_us(b->echo) - echo) / us;
        over[i] = sluiced[i] - bare[i];
    }
    for (int at = 0; at < 2; at++)
        if (crowd_check(b->waiting[at], err) != 0)
            return -1;
    report_add(b->report, p->name, "idle_cpu", sluiced, b->rounds, "cores");
    report_add(b->report, p->name, "idle_cpu_bare", bare, b->rounds, "cores");
    report_add(b->report, p->name, "idle_cpu_over", over, b->rounds, "cores");
    printf("%s: idle_cpu_over %.4f of a core, target at most 0.02: %s\n", p->name, report_median(over, b->rounds),
           report_median(over, b->rounds) <= 0.02 ? "met" : "MISSED");
    return 0;
}

static void
leave(struct bench *b)
{
    for (int at = 0; at < 2; at++) {
        crowd_stop(b->waiting[at]);
        b->waiting[at] = NULL;
    }
}

/* Those who do not ask themselves. */
static int
gather(struct bench *b, const struct point *p, struct err *err)
{
    const uint32_t asking = p->peers < ASKER_PEERS_MAX ? p->peers : ASKER_PEERS_MAX;
    const int64_t began = clock_mono_us();
    for (int at = 0; at < 2; at++) {
        b->waiting[at] = crowd_start((enum crowd_at)at, at == CROWD_AT_ECHO ? b->echo_port : sluiced_port(b->gateway),
                                     p->peers - asking, err);
        if (b->waiting[at] == NULL)
            return -1;
    }
    printf("%s: %u wait and %u ask; they came in %.1f s\n", p->name, p->peers - asking, asking,
           (double)(clock_mono_us() - began) / 1e6);
    return 0;
}

static int
run_point(struct bench *b, const struct point *p, struct err *err)
{
    struct rounds p50 = {.us = {0}}, p99 = {.us = {0}};
    if (gather(b, p, err) != 0)
        return -1;
    for (size_t i = 0; i < b->rounds; i++)
        if (one_round(b, p, &p50, &p99, i, err) != 0)
            return -1;
    judge(b, p, &P50, &p50);
    judge(b, p, &P99, &p99);
    if (p->peers == IDLE_PEERS && run_idle(b, p, err) != 0)
        return -1;
    for (int at = 0; at < 2; at++)
        if (crowd_check(b->waiting[at], err) != 0)
            return -1;
    leave(b);
    return 0;
}

/* --- the program --- */

static int
set_up(struct bench *b, struct err *err)
{
    static const struct sluiced_config CONFIG = {.ping = "40s", .hung_after = "45s", .rest = SLUICED_ANYBODY("bench")};
    b->report = report_new("permit");
    b->world = world_open(err);
    if (b->world == NULL || world_broker_start(b->world, NULL, err) != 0)
        return -1;
    b->echo_port = world_free_port();
    (void)snprintf(b->echo_endpoint, sizeof(b->echo_endpoint), "tcp://127.0.0.1:%d", b->echo_port);
    b->echo = echo_start(b->echo_endpoint, err);
    if (b->echo == NULL)
        return -1;
    b->gateway = sluiced_new(b->world, &CONFIG, err);
    return b->gateway != NULL ? sluiced_start(b->gateway, true, err) : -1;
}

static int
run_all(struct bench *b, const char *only, struct err *err)
{
    char dir[600], path[640];
    for (size_t i = 0; i < sizeof(POINTS) / sizeof(POINTS[0]); i++)
        if ((only == NULL || strcmp(only, POINTS[i].name) == 0) && run_point(b, &POINTS[i], err) != 0)
            return -1;
    report_print(b->report);
    (void)world_built("bench", dir, sizeof(dir));
    (void)mkdir(dir, 0777);
    (void)snprintf(path, sizeof(path), "%s/permit.jsonl", dir);
    if (report_write(b->report, path, err) != 0)
        return -1;
    printf("figures: %s\n", path);
    return 0;
}

int
main(int argc, char **argv)
{
    static const struct option OPTIONS[] = {{"quick", no_argument, NULL, 'q'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"case", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    struct bench b = {.rounds = ROUNDS, .times = TIMES};
    struct err err = {.code = ERR_NONE};
    const char *only = NULL;
    for (int c; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
        if (c == 'q') {
            b.rounds = 3;
            b.times = TIMES / 3; /* still an even number of blocks */
        } else if (c == 'r') {
            b.rounds = (size_t)strtoul(optarg, NULL, 10);
        } else if (c == 'c') {
            only = optarg;
        } else {
            fprintf(stderr, "usage: permit [--quick] [--rounds N] [--case NAME]\n");
            return 2;
        }
    }
    if (b.rounds < 1 || b.rounds > REPORT_ROUNDS_MAX) {
        fprintf(stderr, "permit: --rounds is 1 to %d\n", REPORT_ROUNDS_MAX);
        return 2;
    }
    int rc = set_up(&b, &err);
    if (rc == 0)
        rc = run_all(&b, only, &err);
    if (rc != 0)
        fprintf(stderr, "permit: no figures: %s\n", err.text);
    leave(&b);
    sluiced_free(b.gateway);
    echo_stop(b.echo);
    world_close(b.world);
    report_free(b.report);
    return rc != 0 ? 1 : 0;
}
