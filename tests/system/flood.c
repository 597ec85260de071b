#include "flood.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "load.h"
#include "must.h"
#include "sluiced.h"
#include "world.h"

enum { QUEUE_BYTES = 4 << 20,
       CONF_CAP = 8192 };

/* What collects figures from queues does so each smallest step of these policies. */
static const char EACH_SECOND[] = "management.sample_retention_policies.global.minute = 1\n"
                                  "management.sample_retention_policies.basic.minute = 1\n"
                                  "management.sample_retention_policies.detailed.10 = 1\n";

int
flood_lag_ms(int stats_ms)
{
    return stats_ms + (stats_ms < 5000 ? 1000 : 5000);
}

struct world *
flood_world(int stats_ms)
{
    char conf[400];
    struct err err = {.text = ""};
    struct world *w = world_open(&err);

    (void)snprintf(conf, sizeof(conf), "collect_statistics_interval = %d\n%s", stats_ms,
                   stats_ms < 5000 ? EACH_SECOND : "");
    if (w != NULL && world_broker_start_with(w, (const char *[]){"--management", NULL}, conf, &err) == 0)
        return w;
    fprintf(stderr, "%s\n", err.text);
    world_close(w);
    return NULL;
}

static double
threshold(const struct flood_plan *p, uint32_t i)
{
    return p->threshold_mb[i] > 0 ? p->threshold_mb[i] : p->threshold_mb[0];
}

/* Names are new in each flood, so that nothing is left of the one before; the broker is the same. */
static void
name_queues(struct flood *f)
{
    static const char *const base = "flood";

    f->n_queues = f->plan.one_queue ? 1 : f->plan.connectors;
    for (uint32_t i = 0; i < f->plan.connectors; i++) {
        const uint32_t q = f->plan.one_queue ? 0 : i;
        const uint64_t bytes = (uint64_t)(threshold(&f->plan, i) * 1e6);

        (void)snprintf(f->queues[q], sizeof(f->queues[q]), "%s-%" PRIx64 "-%u", base,
                       (uint64_t)clock_mono_us() & 0xffffffff, q);
        f->limit[q] = f->limit[q] > bytes ? f->limit[q] : bytes;
    }
}

static void
declare_queues(struct flood *f)
{
    const char *names[FLOOD_MOST];

    for (uint32_t i = 0; i < f->n_queues; i++) {
        names[i] = f->queues[i];
        truth_tripwire(f->world, names[i], f->plan.no_wire ? INT64_MAX / 2 : f->limit[i] + f->plan.bundle);
    }
    truth_start(f->world, names, f->n_queues);
}

static void
start_gateway(struct flood *f)
{
    const struct flood_plan *p = &f->plan;
    char rest[CONF_CAP], telemetry[1024];
    size_t n = 0;
    const int port = p->telemetry_port > 0 ? p->telemetry_port : world_management_port(f->world);

    n += (size_t)snprintf(rest + n, sizeof(rest) - n, "admission = { %s };\nconnectors = (\n",
                          p->admission != NULL ? p->admission : "");
    for (uint32_t i = 0; i < p->connectors; i++)
        n += (size_t)snprintf(rest + n, sizeof(rest) - n,
                              "{ id = \"load-%u\"; queue = \"%s\"; queue_threshold = %g; weight = %u; %s }%s\n", i,
                              f->queues[p->one_queue ? 0 : i], threshold(p, i), p->weight[i] > 0 ? p->weight[i] : 1,
                              p->queue_more != NULL ? p->queue_more : "", i + 1 < p->connectors ? "," : ");");
    assert_true(n < sizeof(rest));
    (void)snprintf(telemetry, sizeof(telemetry), "source = \"management\"; url = \"http://127.0.0.1:%d\"; %s", port,
                   p->telemetry);
    MUST_HAVE(f->gateway,
              sluiced_new(f->world, &(struct sluiced_config){.telemetry = telemetry, .rest = rest}, &err));
    MUST(sluiced_start(f->gateway, true, &err));
}

struct flood *
flood_new(struct world *w, const struct flood_plan *plan)
{
    struct flood *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->world = w;
    f->plan = *plan;
    name_queues(f);
    declare_queues(f);
    start_gateway(f);
    return f;
}

void
flood_push(struct flood *f, uint32_t connector)
{
    const struct load_plan plan = {.endpoint = sluiced_endpoint(f->gateway),
                                   .first = connector,
                                   .connectors = 1,
                                   .size_min = f->plan.bundle,
                                   .size_max = f->plan.bundle,
                                   .queue_bytes = QUEUE_BYTES};

    MUST_HAVE(f->loads[connector], load_start(&plan, &err));
}

void
flood_take(struct flood *f)
{
    for (uint32_t i = 0; i < f->n_queues; i++) {
        struct taker_plan p = f->plan.taker[i];

        if ((p.prefetch == 0 && p.rate == 0) || f->takers[i] != NULL)
            continue;
        p.port = world_broker_port(f->world);
        p.queue = f->queues[i];
        MUST_HAVE(f->takers[i], taker_start(&p, &err));
    }
}

void
flood_take_no_more(struct flood *f)
{
    for (uint32_t i = 0; i < FLOOD_MOST; i++) {
        taker_stop(f->takers[i]);
        f->takers[i] = NULL;
    }
}

void
flood_begin(struct flood *f)
{
    flood_take(f);
    for (uint32_t i = 0; i < f->plan.connectors; i++)
        flood_push(f, i);
}

struct truth
flood_truth(const struct flood *f, uint32_t queue)
{
    struct truth t = {0};

    (void)truth_of(f->world, f->queues[queue], &t);
    return t;
}

int64_t
flood_reaches(const struct flood *f, double part, int64_t limit_ms)
{
    const int64_t until = clock_mono_us() + limit_ms * 1000;
    int64_t first = 0;
    bool all = false;

    while (!all && clock_mono_us() < until) {
        all = true;
        for (uint32_t i = 0; i < f->n_queues; i++) {
            const struct truth t = flood_truth(f, i);

            first = first == 0 && t.most > 0 ? clock_mono_us() : first;
            all = all && (double)t.most >= part * (double)f->limit[i];
        }
        world_sleep_ms(10);
    }
    return all ? (clock_mono_us() - first) / 1000 : -1;
}

uint64_t
flood_acked(const struct flood *f, uint32_t connector)
{
    struct load_result r;

    load_progress(f->loads[connector], &r);
    return r.acked;
}

void
flood_replays(const struct flood *f)
{
    char tool[600], path[700], older[720], out[2048] = "";
    struct err err = {.text = ""};

    (void)snprintf(path, sizeof(path), "%s/journal.log", sluiced_state_dir(f->gateway));
    (void)snprintf(older, sizeof(older), "%s.1", path);
    const char *const argv[] = {world_built("sluice-replay", tool, sizeof(tool)), path,
                                access(older, R_OK) == 0 ? older : NULL, NULL};
    const int status = world_run(argv, 60000, out, sizeof(out), &err);
    print_message("  replay: %s", out);
    if (status != 0)
        fail_msg("%s%s", err.text, out);
}

void
flood_figures(const struct flood *f, struct flood_figures *ret)
{
    *ret = (struct flood_figures){.refused = sluiced_log_count(f->gateway, 0, "event=broker_nacked")};
    for (uint32_t i = 0; i < f->n_queues; i++) {
        const struct truth t = flood_truth(f, i);

        ret->most[i] = (double)t.most / (double)f->limit[i];
        ret->above[i] = ((double)t.most - (double)f->limit[i]) / (double)f->plan.bundle;
        print_message("  %s: at most %.3f of %.3f MB (%.4f), now %.3f; %" PRIu64 " looks, at most %" PRIu64
                      " ms apart\n",
                      f->queues[i], (double)t.most / 1e6, (double)f->limit[i] / 1e6, ret->most[i],
                      (double)t.bytes / 1e6, t.samples, t.gap_ms);
        assert_true(t.samples > 0);
    }
}

void
flood_kept_its_promise(const struct flood *f)
{
    struct flood_figures figures;

    flood_figures(f, &figures);
    for (uint32_t i = 0; i < f->n_queues; i++)
        if (figures.above[i] >= 1) {
            sluiced_log_show(f->gateway);
            fail_msg("%s held %.3f times its threshold: %.1f bundles above it", f->queues[i], figures.most[i],
                     figures.above[i]);
        }
    assert_int_equal(figures.refused, 0);
    flood_replays(f);
}

void
flood_free(struct flood *f)
{
    if (f == NULL)
        return;
    flood_take_no_more(f);
    for (uint32_t i = 0; i < FLOOD_MOST; i++)
        load_free(f->loads[i]);
    if (getenv("SHOWLOG"))
        sluiced_log_show(f->gateway);
    sluiced_free(f->gateway);
    free(f);
}
