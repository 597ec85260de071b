/* overshoot.c - how far do queues rise above their threshold, and what does it cost to keep them below?
 *
 * Eight connectors push as fast as they can towards a private RabbitMQ; what is in the queues is asked of the queues
 * themselves every 50 ms (tests/system/truth.h).  Beside it the policy "sample before each run": each connector reads
 * the management API, and if that shows less than the threshold publishes a whole run, unchecked, as OpenCTI's
 * scheduler has its connectors do.  Then: how long does a steady consumer stand idle although connectors have plenty,
 * by threshold; and who gets how much.
 *
 * usage: overshoot [--quick] [--case NAME]     (--quick: statistics of 1 s only, thresholds of 2, 5, 20 MB) */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"
#include "rabbit.h"
#include "report.h"
#include "sluice/sluice.h"
#include "system/flood.h"
#include "system/load.h"
#include "system/sluiced.h"
#include "system/world.h"

enum { EIGHT = 8,
       BUNDLE = 20000,
       FILL_WITHIN_MS = 300000,
       MB = 1000000 };

struct setting {
    struct report *report;
    struct world *world;
    const char *only; /* NULL: all cases */
    int stats_ms;
    bool quick;
    char telemetry[160];
};

static bool
wanted(const struct setting *s, const char *name)
{
    if (s->only != NULL && strncmp(name, s->only, strlen(s->only)) != 0)
        return false;
    printf("-- %s\n", name);
    (void)fflush(stdout);
    return true;
}

static void
add(const struct setting *s, const char *name, const char *metric, double value, const char *unit)
{
    report_add(s->report, name, metric, &value, 1, unit);
}

static void
judge(const char *name, const char *metric, double value, bool met, const char *target)
{
    printf("%s: %s %.3f, target %s: %s\n", name, metric, value, target, met ? "met" : "MISSED");
}

/* --- Overshoot ---------------------------------------------------------------------------------------------------- */

struct flooding {
    const char *name;
    bool one_queue;
    double threshold_mb[EIGHT]; /* by the quick scale; the full one is of 5, 50, 500 */
    struct taker_plan taker;
    int run_ms;
};

static const struct flooding FLOODS[] = {
    {"one-equal-nobody", true, {2}, {0}, 5000},
    {"one-unequal-nobody", true, {2, 2, 2, 5, 5, 5, 20, 20}, {0}, 5000},
    {"eight-unequal-nobody", false, {2, 2, 2, 5, 5, 5, 20, 20}, {0}, 5000},
    {"one-equal-slow", true, {5}, {.prefetch = 20, .rate = MB}, 15000},
    {"one-equal-slow-unbounded", true, {20}, {.rate = MB}, 20000},
    {"eight-unequal-slow", false, {2, 2, 2, 5, 5, 5, 20, 20}, {.prefetch = 20, .rate = MB / 2}, 15000},
    {"one-equal-bursts", true, {5}, {.prefetch = 50, .rate = 8 * MB, .on_ms = 500, .off_ms = 1500}, 15000},
    {"eight-equal-bursts", false, {5}, {.prefetch = 50, .rate = 8 * MB, .on_ms = 500, .off_ms = 1500}, 15000},
    {"one-equal-hoards", true, {5}, {.prefetch = 10000, .hoards = true}, 5000},
    {"eight-unequal-hoards", false, {2, 2, 2, 5, 5, 5, 20, 20}, {.prefetch = 10000, .hoards = true}, 5000},
};

static double
scaled(const struct setting *s, double mb)
{
    if (s->quick)
        return mb;
    return mb <= 2 ? 5 : mb <= 5 ? 50
                                 : 500;
}

static struct flood_plan
plan_of(const struct setting *s, const struct flooding *f)
{
    struct flood_plan p = {.connectors = EIGHT, .one_queue = f->one_queue, .bundle = BUNDLE, .telemetry = s->telemetry};

    for (uint32_t i = 0; i < EIGHT; i++) {
        p.threshold_mb[i] = f->threshold_mb[i] > 0 ? scaled(s, f->threshold_mb[i]) : 0;
        p.taker[i] = f->taker;
    }
    return p;
}

static void
overshoot(const struct setting *s, const struct flooding *c, const char *name)
{
    const struct flood_plan plan = plan_of(s, c);
    struct flood *f = flood_new(s->world, &plan);
    struct flood_figures figures;
    double most = 0, above = -1e9;

    flood_begin(f);
    const int64_t fill_ms = flood_reaches(f, 0.9, FILL_WITHIN_MS);
    world_sleep_ms(c->run_ms);
    flood_figures(f, &figures);
    flood_replays(f);
    for (uint32_t i = 0; i < f->n_queues; i++) {
        most = figures.most[i] > most ? figures.most[i] : most;
        above = figures.above[i] > above ? figures.above[i] : above;
    }
    add(s, name, "peak", most, "of threshold");
    add(s, name, "above", above, "bundles");
    add(s, name, "refused", figures.refused, "messages");
    add(s, name, "fill_ms", (double)fill_ms, "ms");
    judge(name, "above", above, above < 1 && figures.refused == 0, "less than 1 bundle, no refusal");
    flood_free(f);
}

/* --- The other policy --------------------------------------------------------------------------------------------- */

/* message_bytes, 0 where it is not said, as a missing key is read there; -1: no answer. */
static int64_t
sample(int port, const char *queue)
{
    static const char *const key = "\"message_bytes\":";
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    char text[16384];
    size_t have = 0;
    ssize_t n = -1;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int len = snprintf(text, sizeof(text),
                             "GET /api/queues/%%2F/%s HTTP/1.0\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n",
                             queue);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && send(fd, text, (size_t)len, 0) == len)
        while (have + 1 < sizeof(text) && (n = recv(fd, text + have, sizeof(text) - have - 1, 0)) > 0)
            have += (size_t)n;
    if (fd >= 0)
        (void)close(fd);
    text[have] = '\0';
    const char *found = strstr(text, key);
    return n < 0 ? -1 : found == NULL ? 0
                                      : strtoll(found + strlen(key), NULL, 10);
}

struct runner {
    const struct setting *setting;
    const char *queue;
    uint64_t threshold, run_bytes;
    int64_t period_ms, until_us;
    pthread_t thread;
};

static void *
run_unchecked(void *arg)
{
    const struct runner *r = arg;
    struct err err = {.code = ERR_NONE};
    struct rabbit *link = rabbit_open(world_broker_port(r->setting->world), &err);
    char *body = calloc(1, BUNDLE);
    uint64_t seq = 0;

    while (link != NULL && clock_mono_us() < r->until_us) {
        const int64_t shown = sample(world_management_port(r->setting->world), r->queue);

        for (uint64_t sent = 0; shown >= 0 && (uint64_t)shown < r->threshold && sent < r->run_bytes; sent += BUNDLE) {
            while (!rabbit_room(link, BUNDLE) && rabbit_confirms(link, 100, &err) == 0)
                ;
            if (rabbit_publish(link, r->queue, "run", ++seq, body, BUNDLE, &err) != 0)
                break;
        }
        while (rabbit_settled(link) < seq && rabbit_confirms(link, 100, &err) == 0)
            ;
        world_sleep_ms(r->period_ms);
    }
    rabbit_close(link);
    free(body);
    return NULL;
}

/* Each of eight has a quarter of the threshold to bring in each run, and runs half a statistics interval after the
 * last. */
static void
sample_before_each_run(const struct setting *s, double mb, const char *name)
{
    struct runner runners[EIGHT];
    char queue[TRUTH_NAME_CAP];
    const char *const names[] = {queue};
    struct truth t = {0};

    (void)snprintf(queue, sizeof(queue), "unchecked-%llx", (unsigned long long)clock_mono_us());
    truth_tripwire(s->world, queue, INT64_MAX / 2);
    truth_start(s->world, names, 1);
    for (uint32_t i = 0; i < EIGHT; i++) {
        runners[i] = (struct runner){.setting = s,
                                     .queue = queue,
                                     .threshold = (uint64_t)(mb * MB),
                                     .run_bytes = (uint64_t)(mb * MB) / 4,
                                     .period_ms = s->stats_ms / 2,
                                     .until_us = clock_mono_us() + 4 * (int64_t)s->stats_ms * 1000};
        if (pthread_create(&runners[i].thread, NULL, run_unchecked, &runners[i]) != 0)
            abort();
    }
    for (uint32_t i = 0; i < EIGHT; i++)
        pthread_join(runners[i].thread, NULL);
    world_sleep_ms(500);
    (void)truth_of(s->world, queue, &t);
    add(s, name, "peak", (double)t.most / (mb * MB), "of threshold");
    printf("%s: peak %.2f times the threshold\n", name, (double)t.most / (mb * MB));
    /* What it left would be in the way of the broker's memory. */
    char expression[200];
    (void)snprintf(expression, sizeof(expression),
                   "{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"%s\">>)), "
                   "rabbit_amqqueue:purge(Q).",
                   queue);
    truth_eval(s->world, expression);
}

/* --- Utilisation -------------------------------------------------------------------------------------------------- */

/* A steady consumer, and connectors with plenty: threshold = times x what it takes in the blind time. */
static void
utilisation(const struct setting *s, double times, bool bounded)
{
    const double rate = 2.0 * MB;
    /* The count interval where unacked is bounded; else stats_lag plus the poll. */
    const double blind_s = bounded ? 0.2 : (flood_lag_ms(s->stats_ms) + 0.5 * s->stats_ms) / 1000;
    const double held = bounded ? 20.0 * BUNDLE : 0; /* what the prefetch holds is in the queue, too */
    struct flood_plan p = {.connectors = EIGHT, .one_queue = true, .bundle = BUNDLE, .telemetry = s->telemetry};
    struct taker_result r;
    char name[40];

    (void)snprintf(name, sizeof(name), "idle-%s-%gx-%ds", bounded ? "counts" : "samples", times, s->stats_ms / 1000);
    if (!wanted(s, name))
        return;
    p.threshold_mb[0] = (times * rate * blind_s + held) / MB;
    p.taker[0] = (struct taker_plan){.prefetch = bounded ? 20 : 0, .rate = (uint64_t)rate};
    struct flood *f = flood_new(s->world, &p);
    flood_begin(f);
    (void)flood_reaches(f, 0.5, FILL_WITHIN_MS);
    world_sleep_ms(4 * s->stats_ms);
    taker_so_far(f->takers[0], true, &r);
    const int64_t from_us = clock_mono_us();
    world_sleep_ms(s->quick ? 15000 : 20 * s->stats_ms);
    taker_so_far(f->takers[0], false, &r);
    const double took = (double)r.bytes / ((double)(clock_mono_us() - from_us) / 1e6) / rate;
    const double idle = r.active_us > 0 ? (double)r.idle_us / (double)r.active_us : 1;
    add(s, name, "idle", idle, "of the time");
    add(s, name, "rate", took, "of ungated");
    if (times >= 3)
        judge(name, "idle", idle, idle <= 0.02 && took >= 0.95, "at most 0.02, rate at least 0.95");
    else
        printf("%s: idle %.3f, rate %.3f\n", name, idle, took);
    flood_figures(f, &(struct flood_figures){0});
    flood_free(f);
}

/* --- Fairness ----------------------------------------------------------------------------------------------------- */

/* Bytes of each while a steady consumer makes room, for run_ms; the first connectors `n` push. */
static void
shares(struct flood *f, int run_ms, double got[EIGHT])
{
    uint64_t before[EIGHT];

    flood_begin(f);
    (void)flood_reaches(f, 0.9, FILL_WITHIN_MS);
    world_sleep_ms(3000);
    for (uint32_t i = 0; i < f->plan.connectors; i++)
        before[i] = flood_acked(f, i);
    world_sleep_ms(run_ms);
    for (uint32_t i = 0; i < f->plan.connectors; i++)
        got[i] = (double)(flood_acked(f, i) - before[i]);
}

static void
fairness(const struct setting *s)
{
    const struct taker_plan steady = {.prefetch = 20, .rate = 4 * MB};
    struct flood_plan p = {.connectors = EIGHT,
                           .one_queue = true,
                           .threshold_mb = {5},
                           .bundle = BUNDLE,
                           .telemetry = s->telemetry,
                           .taker = {steady}};
    double got[EIGHT] = {0}, sum = 0, squares = 0, worst = 0;
    struct flood *f;

    if (wanted(s, "fair-equal")) {
        f = flood_new(s->world, &p);
        shares(f, 20000, got);
        for (uint32_t i = 0; i < EIGHT; i++) {
            sum += got[i];
            squares += got[i] * got[i];
        }
        add(s, "fair-equal", "jain", sum * sum / (EIGHT * squares), "");
        judge("fair-equal", "jain", sum * sum / (EIGHT * squares), sum * sum / (EIGHT * squares) >= 0.95,
              "at least 0.95");
        flood_free(f);
    }
    if (wanted(s, "fair-weights")) {
        p.connectors = 3;
        for (uint32_t i = 0; i < 3; i++)
            p.weight[i] = 1U << i;
        f = flood_new(s->world, &p);
        shares(f, 20000, got);
        sum = got[0] + got[1] + got[2];
        for (uint32_t i = 0; i < 3; i++) {
            const double off = got[i] / sum / ((double)(1U << i) / 7) - 1;
            printf("  weight %u: %.4f of all, %+.1f %%\n", 1U << i, got[i] / sum, 100 * off);
            worst = off < 0 ? (-off > worst ? -off : worst) : off > worst ? off
                                                                          : worst;
        }
        add(s, "fair-weights", "worst", worst, "of its share");
        judge("fair-weights", "worst", worst, worst <= 0.05, "at most 0.05");
        flood_free(f);
    }
}

/* One bundle at a time, at its answer the next 100 ms later, beside one that pushes all the time. */
static void
beside_a_hog(const struct setting *s)
{
    enum { N = 100 };
    const double rate = 4.0 * MB;
    struct flood_plan p = {.connectors = 2,
                           .one_queue = true,
                           .threshold_mb = {5},
                           .bundle = BUNDLE,
                           .telemetry = s->telemetry,
                           .taker = {{.prefetch = 20, .rate = 4 * MB}}};
    /* Until the gate opens again, below 0.8, and its turn: all weights by its own, times a bundle. */
    const double stated_ms = (0.2 * 5 * MB + 2 * BUNDLE) / rate * 1e3 + 200 /* the count interval */;
    double waits[N], most = 0;
    struct sluice_error e;
    static char body[BUNDLE];

    if (!wanted(s, "hog"))
        return;
    struct flood *f = flood_new(s->world, &p);
    flood_take(f);
    flood_push(f, 0);
    (void)flood_reaches(f, 0.9, FILL_WITHIN_MS);
    struct sluice *small = sluice_open(
        &(struct sluice_options){.id = "load-1", .endpoint = sluiced_endpoint(f->gateway), .report_acks = 1}, &e);
    for (int i = 0; i < N && small != NULL; i++) {
        struct sluice_verdict v;
        const int64_t from_us = clock_mono_us();
        if (sluice_push(small, body, BUNDLE, NULL, 10000, &e) != 0 || sluice_verdict_next(small, &v, 60000, &e) != 0)
            fprintf(stderr, "hog: %s\n", e.text);
        waits[i] = (double)(clock_mono_us() - from_us) / 1e3;
        most = waits[i] > most ? waits[i] : most;
        world_sleep_ms(100);
    }
    if (small != NULL)
        (void)sluice_close(&small, 0, NULL);
    add(s, "hog", "wait_median", report_median(waits, N), "ms");
    add(s, "hog", "wait_most", most, "ms");
    add(s, "hog", "wait_stated", stated_ms, "ms");
    judge("hog", "wait_most", most, most <= stated_ms, "the stated wait");
    flood_free(f);
}

/* --- All ---------------------------------------------------------------------------------------------------------- */

static void
with_statistics_of(struct setting *s, int stats_ms)
{
    static const double quick_mb[] = {2, 5, 20}, full_mb[] = {5, 50, 500}, times[] = {0.5, 1, 2, 3, 4};
    char name[40];

    s->stats_ms = stats_ms;
    (void)snprintf(s->telemetry, sizeof(s->telemetry),
                   "poll = \"%dms\"; timeout = \"2s\"; stats_lag = \"%dms\"; stale_after = \"%dms\";",
                   stats_ms / 2, flood_lag_ms(stats_ms), 4 * stats_ms);
    s->world = flood_world(stats_ms);
    if (s->world == NULL)
        exit(1);
    for (size_t i = 0; i < sizeof(FLOODS) / sizeof(FLOODS[0]); i++) {
        (void)snprintf(name, sizeof(name), "%s-%ds", FLOODS[i].name, stats_ms / 1000);
        if (wanted(s, name))
            overshoot(s, &FLOODS[i], name);
    }
    for (size_t i = 0; i < 3; i++) {
        const double mb = s->quick ? quick_mb[i] : full_mb[i];
        (void)snprintf(name, sizeof(name), "unchecked-%gMB-%ds", mb, stats_ms / 1000);
        if (wanted(s, name))
            sample_before_each_run(s, mb, name);
    }
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        utilisation(s, times[i], true);
        if (stats_ms <= 5000)
            utilisation(s, times[i], false);
    }
    if (stats_ms == 1000) {
        fairness(s);
        beside_a_hog(s);
    }
    world_close(s->world);
}

int
main(int argc, char **argv)
{
    struct setting s = {.report = report_new("overshoot")};
    struct err err = {.code = ERR_NONE};
    char dir[600], path[640];

    for (int i = 1; i < argc; i++) {
        s.quick = s.quick || strcmp(argv[i], "--quick") == 0;
        if (strcmp(argv[i], "--case") == 0 && i + 1 < argc)
            s.only = argv[++i];
    }
    with_statistics_of(&s, 1000);
    if (!s.quick) {
        with_statistics_of(&s, 5000);
        with_statistics_of(&s, 30000);
    }
    report_print(s.report);
    (void)world_built("bench", dir, sizeof(dir));
    (void)mkdir(dir, 0777);
    (void)snprintf(path, sizeof(path), "%s/overshoot.jsonl", dir);
    if (report_write(s.report, path, &err) != 0) {
        fprintf(stderr, "overshoot: no figures: %s\n", err.text);
        return 1;
    }
    printf("figures: %s\n", path);
    report_free(s.report);
    return 0;
}
