/* forward.c - what does the gateway cost?
 *
 * Against one private broker with a consumer that drains, each round measures in turn: direct (connectors publish
 * by themselves), through sluiced, direct again, and a bare one-thread loop.  The ratio of a round is sluiced by the
 * mean of the two directs around it; the two directs by each other are the noise of the machine.  If their
 * median differs by more than 5 %, or they scatter by more than 10 %, there is no verdict on throughput.
 * Bundles lost or repeated: no figures at all.
 *
 * usage: forward [--quick] [--rounds N] [--case NAME] */
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "drain.h"
#include "err.h"
#include "leg.h"
#include "report.h"
#include "system/sluiced.h"
#include "system/world.h"

enum { ROUNDS = 7, QUEUE_SETTLE_MS = 50 };
static const double NOISE = 0.05, SCATTER = 0.1;

struct point {
    const char *name;
    size_t size;
    uint32_t connectors;
};

static const struct point POINTS[] = {
    {"1KiB x 1", 1024, 1},
    {"1KiB x 8", 1024, 8},
    {"64KiB x 1", 64 * 1024, 1},
    {"1MiB x 1", 1024 * 1024, 1},
};

struct bench {
    struct world *world;
    struct drain *drain;
    struct sluiced *gateway;
    struct report *report;
    char bare_endpoint[64];
    uint32_t leg; /* legs so far: their numbers go into the stamps */
    size_t rounds;
    double leg_seconds;
};

/* Rounds of one point. */
struct rounds {
    double ratio[REPORT_ROUNDS_MAX], noise[REPORT_ROUNDS_MAX], direct[REPORT_ROUNDS_MAX], sluice[REPORT_ROUNDS_MAX];
    double bare[REPORT_ROUNDS_MAX], cpu[REPORT_ROUNDS_MAX], cpu_bare[REPORT_ROUNDS_MAX], cpu_ratio[REPORT_ROUNDS_MAX];
};

typedef int leg_run(const struct leg *leg, struct leg_result *ret, struct err *err);

/* One leg, and the proof that every bundle came out once.  Returns bundles a second. */
static int
measure(struct bench *b, const struct point *p, uint64_t each, leg_run *run, struct leg_result *ret, struct err *err)
{
    struct leg leg = {.amqp_port = world_broker_port(b->world),
                      .endpoint = run == leg_bare ? b->bare_endpoint : sluiced_endpoint(b->gateway),
                      .queue = "bench",
                      .number = ++b->leg,
                      .connectors = p->connectors,
                      .each = each,
                      .size = p->size};
    drain_expect(b->drain, leg.number, p->connectors, each, p->size);
    if (run(&leg, ret, err) != 0 || drain_check(b->drain, err) != 0)
        return -1;
    world_sleep_ms(QUEUE_SETTLE_MS);
    return 0;
}

/* How many bundles take about leg_seconds, by a direct leg of a fifth of that. */
static int
calibrate(struct bench *b, const struct point *p, uint64_t *ret_each, struct err *err)
{
    struct leg_result r = {.seconds = 0};
    uint64_t each = 1 + 8 * 1024 * 1024 / (p->size + 8192) / p->connectors;
    for (int i = 0; i < 12; i++) {
        if (measure(b, p, each, leg_direct, &r, err) != 0)
            return -1;
        if (r.seconds >= b->leg_seconds / 5)
            break;
        each *= 2;
    }
    uint64_t most = DRAIN_BUNDLES_MAX / p->connectors;
    each = (uint64_t)((double)each * b->leg_seconds / r.seconds) + 1;
    *ret_each = each < most ? each : most;
    return 0;
}

static int
one_round(struct bench *b, const struct point *p, uint64_t each, struct rounds *r, size_t i, struct err *err)
{
    struct leg_result before = {0}, through = {0}, after = {0}, bare = {0};
    double n = (double)each * p->connectors;
    if (measure(b, p, each, leg_direct, &before, err) != 0)
        return -1;
    int64_t cpu = sluiced_cpu_us(b->gateway);
    if (measure(b, p, each, leg_sluice, &through, err) != 0)
        return -1;
    cpu = sluiced_cpu_us(b->gateway) - cpu;
    if (measure(b, p, each, leg_direct, &after, err) != 0 || measure(b, p, each, leg_bare, &bare, err) != 0)
        return -1;
    r->direct[i] = n / ((before.seconds + after.seconds) / 2);
    r->sluice[i] = n / through.seconds;
    r->bare[i] = n / bare.seconds;
    r->ratio[i] = r->sluice[i] / r->direct[i];
    r->noise[i] = before.seconds / after.seconds;
    r->cpu[i] = (double)cpu / n;
    r->cpu_bare[i] = (double)bare.cpu_us / n;
    r->cpu_ratio[i] = r->cpu[i] / r->cpu_bare[i];
    printf("  %zu: direct %.0f/s %.0f/s, sluiced %.0f/s, bare %.0f/s; ratio %.3f; CPU %.1f us, bare %.1f us\n", i + 1,
           n / before.seconds, n / after.seconds, r->sluice[i], r->bare[i], r->ratio[i], r->cpu[i], r->cpu_bare[i]);
    (void)fflush(stdout);
    return 0;
}

/* 0; 1: no verdict, the machine is too noisy; -1. */
static int
run_point(struct bench *b, const struct point *p, struct err *err)
{
    struct rounds r = {.ratio = {0}};
    uint64_t each;
    if (calibrate(b, p, &each, err) != 0)
        return -1;
    printf("%s: %llu bundles a connector\n", p->name, (unsigned long long)each);
    for (size_t i = 0; i < b->rounds; i++)
        if (one_round(b, p, each, &r, i, err) != 0)
            return -1;
    double noise = fabs(report_median(r.noise, b->rounds) - 1), scatter = report_scatter(r.noise, b->rounds);
    report_add(b->report, p->name, "direct_by_direct", r.noise, b->rounds, "ratio");
    /* Processor time is the process's own, whoever else is busy: it needs no quiet machine. */
    report_add(b->report, p->name, "cpu_us_per_bundle", r.cpu, b->rounds, "us");
    report_add(b->report, p->name, "cpu_us_bare", r.cpu_bare, b->rounds, "us");
    report_add(b->report, p->name, "cpu_ratio", r.cpu_ratio, b->rounds, "ratio");
    if (noise > NOISE || scatter > SCATTER) {
        printf("%s: no verdict: direct by direct differs by %.1f %% (at most %.0f %%) and scatters by %.1f %% (at most "
               "%.0f %%)\n",
               p->name, noise * 100, NOISE * 100, scatter * 100, SCATTER * 100);
        return 1;
    }
    report_add(b->report, p->name, "throughput_ratio", r.ratio, b->rounds, "ratio");
    report_add(b->report, p->name, "throughput", r.sluice, b->rounds, "bundles/s");
    report_add(b->report, p->name, "throughput_direct", r.direct, b->rounds, "bundles/s");
    report_add(b->report, p->name, "throughput_bare", r.bare, b->rounds, "bundles/s");
    return 0;
}

static int64_t
memory_free_mib(void)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "MemAvailable:", 13) == 0)
            kib = strtol(line + 13, NULL, 10);
    if (f != NULL)
        (void)fclose(f);
    return kib / 1024;
}

/* A hundred connectors with a bundle of 16 MiB each, at once: peak memory of a fresh gateway. */
static int
run_memory(struct bench *b, bool quick, struct err *err)
{
    const struct point p = {quick ? "4MiB x 100" : "16MiB x 100", (quick ? 4U : 16U) * 1024 * 1024, 100};
    struct leg_result r = {.seconds = 0};
    if (memory_free_mib() < 4096) {
        printf("%s: left out: its connectors need 4 GiB of free memory\n", p.name);
        return 0;
    }
    if (sluiced_stop(b->gateway) != 0)
        return err_set(err, ERR_IO, 0, "sluiced did not stop in order");
    if (sluiced_start(b->gateway, true, err) != 0 || measure(b, &p, 1, leg_sluice, &r, err) != 0)
        return -1;
    double rss = (double)sluiced_peak_kib(b->gateway) / 1024;
    double rate = 100 * (double)p.size / r.seconds / 1e6;
    report_add(b->report, p.name, "rss_mib", &rss, 1, "MiB");
    report_add(b->report, p.name, "throughput", &rate, 1, "MB/s");
    printf("%s: sluiced's peak is %.0f MiB, at %.0f MB/s\n", p.name, rss, rate);
    return 0;
}

static int
set_up(struct bench *b, struct err *err)
{
    static const struct sluiced_config CONFIG = {.ping = "10s", .hung_after = "45s", .rest = SLUICED_ANYBODY("bench")};
    b->report = report_new("forward");
    b->world = world_open(err);
    if (b->world == NULL || world_broker_start(b->world, NULL, err) != 0)
        return -1;
    (void)snprintf(b->bare_endpoint, sizeof(b->bare_endpoint), "tcp://127.0.0.1:%d", world_free_port());
    b->drain = drain_start(world_broker_port(b->world), "bench", err);
    if (b->drain == NULL)
        return -1;
    b->gateway = sluiced_new(b->world, &CONFIG, err);
    return b->gateway != NULL ? sluiced_start(b->gateway, true, err) : -1;
}

static int
write_figures(const struct bench *b, struct err *err)
{
    char dir[600], path[640];
    (void)world_built("bench", dir, sizeof(dir));
    (void)mkdir(dir, 0777);
    (void)snprintf(path, sizeof(path), "%s/forward.jsonl", dir);
    if (report_write(b->report, path, err) != 0)
        return -1;
    printf("figures: %s\n", path);
    return 0;
}

static int
run_all(struct bench *b, const char *only, bool quick, struct err *err)
{
    int verdict = 0;
    for (size_t i = 0; i < sizeof(POINTS) / sizeof(POINTS[0]); i++) {
        if (only != NULL && strcmp(only, POINTS[i].name) != 0)
            continue;
        int rc = run_point(b, &POINTS[i], err);
        if (rc < 0)
            return -1;
        verdict |= rc;
    }
    if (only == NULL && run_memory(b, quick, err) != 0)
        return -1;
    report_print(b->report);
    if (write_figures(b, err) != 0)
        return -1;
    return verdict;
}

int
main(int argc, char **argv)
{
    static const struct option OPTIONS[] = {{"quick", no_argument, NULL, 'q'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"case", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    struct bench b = {.rounds = ROUNDS, .leg_seconds = 2};
    struct err err = {.code = ERR_NONE};
    const char *only = NULL;
    bool quick = false;
    for (int c; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
        if (c == 'q') {
            quick = true;
            b.rounds = 3;
            b.leg_seconds = 0.5;
        } else if (c == 'r') {
            b.rounds = (size_t)strtoul(optarg, NULL, 10);
        } else if (c == 'c') {
            only = optarg;
        } else {
            fprintf(stderr, "usage: forward [--quick] [--rounds N] [--case NAME]\n");
            return 2;
        }
    }
    if (b.rounds < 1 || b.rounds > REPORT_ROUNDS_MAX) {
        fprintf(stderr, "forward: --rounds is 1 to %d\n", REPORT_ROUNDS_MAX);
        return 2;
    }
    int rc = set_up(&b, &err);
    if (rc == 0)
        rc = run_all(&b, only, quick, &err);
    if (rc < 0)
        fprintf(stderr, "forward: no figures: %s\n", err.text);
    sluiced_free(b.gateway);
    drain_stop(b.drain);
    world_close(b.world);
    report_free(b.report);
    return rc < 0 ? 1 : 0;
}
