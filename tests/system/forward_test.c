/* forward_test.c - the straight way: real data through real connectors, the real gateway and a real RabbitMQ. */
#include "must.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "consumer.h"
#include "late.h"
#include "ledger.h"
#include "load.h"
#include "peer.h"
#include "sluiced.h"
#include "world.h"

enum { KEV_BUNDLES = 1404, RUN_MS = 120 * 1000, OUT = 16 * 1024, IDLE_MS = 200 };

struct stage {
    struct world *world;
    struct consumer *consumer;
    struct sluiced *gateway; /* of the running test */
};

static int
group_setup(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));
    struct err err = {.code = ERR_NONE};
    *state = s;
    s->world = world_open(&err);
    if (s->world == NULL || world_broker_start(s->world, NULL, &err) != 0 ||
        (s->consumer = consumer_open(world_broker_port(s->world), &err)) == NULL) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    return 0;
}

static int
group_teardown(void **state)
{
    struct stage *s = *state;
    consumer_close(s->consumer);
    world_close(s->world);
    free(s);
    return 0;
}

static int
test_teardown(void **state)
{
    struct stage *s = *state;
    sluiced_free(s->gateway);
    s->gateway = NULL;
    return 0;
}

/* A running gateway with these settings. */
static void
gateway(struct stage *s, const struct sluiced_config *config)
{
    MUST_HAVE(s->gateway, sluiced_new(s->world, config, &err));
    MUST(sluiced_start(s->gateway, true, &err));
}

static const struct sluiced_config ANYBODY = {.rest = SLUICED_ANYBODY("forward")};

/* What is in the queue agrees with the ledger; repeats up to most. */
static void
agrees(struct stage *s, struct ledger *l, uint64_t most)
{
    struct ledger_report r;
    char text[900];
    MUST(consumer_drain(s->consumer, "forward", UINT64_MAX, IDLE_MS, ledger_take, l, &err));
    ledger_check(l, &r);
    ledger_free(l);
    bool good = ledger_good(&r, most, text, sizeof(text));
    print_message("%s\n", text);
    if (!good && s->gateway != NULL)
        sluiced_log_show(s->gateway);
    assert_true(good);
}

/* --- real data --- */
struct kev {
    char name[KEV_BUNDLES + 10][24]; /* "CVE-2021-44228" */
    size_t n, whole;
};

static void
take_kev(void *ctx, const struct consumed *m)
{
    struct kev *k = ctx;
    const char *at = memmem(m->body, m->len, "\"CVE-", 5);
    if (at == NULL || k->n >= KEV_BUNDLES + 10)
        fail_msg("message %s names no CVE, or there are too many", m->message_id);
    const char *end = memchr(at + 1, '"', m->len - (size_t)(at + 1 - (const char *)m->body));
    assert_non_null(end);
    (void)snprintf(k->name[k->n++], sizeof(k->name[0]), "%.*s", (int)(end - at - 1), at + 1);
    k->whole += memmem(m->body, m->len, "\"bundle\"", 8) != NULL &&
                memmem(m->body, m->len, "\"vulnerability\"", 15) != NULL && m->persistent &&
                strcmp(m->connector, "cisa-kev") == 0;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Read a whole file; the caller frees it. */
static char *
slurp(const char *path, size_t *ret_len)
{
    struct stat st;
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    char *text = calloc(1, (size_t)st.st_size + 1);
    assert_int_equal(fread(text, 1, (size_t)st.st_size, f), st.st_size);
    (void)fclose(f);
    *ret_len = (size_t)st.st_size;
    return text;
}

static void
run_kev(struct stage *s, const char *feed, const char *must_say)
{
    char path[600], out[OUT];
    const char *argv[] = {world_built("connectors/cisa-kev", path, sizeof(path)),
                          "--endpoint",
                          sluiced_endpoint(s->gateway),
                          "--feed",
                          feed,
                          NULL};
    struct err err = {.code = ERR_NONE};
    int status = world_run(argv, RUN_MS, out, sizeof(out), &err);
    if (status != 0 || strstr(out, must_say) == NULL)
        fail_msg("cisa-kev: status %d, no '%s' in: %s %s", status, must_say, out, err.text);
}

static void
every_vulnerability_of_the_kev_feed_arrives_once_and_a_second_run_sends_nothing(void **state)
{
    struct stage *s = *state;
    char path[600];
    const char *feed = world_data("known_exploited_vulnerabilities.json", path, sizeof(path));
    if (feed == NULL) {
        print_message("skipped: %s is not there\n", path);
        skip();
    }
    struct kev *k = calloc(1, sizeof(*k));
    gateway(s, &ANYBODY);
    run_kev(s, feed, "pushed=1404 acked=1404");
    MUST(consumer_drain(s->consumer, "forward", UINT64_MAX, IDLE_MS, take_kev, k, &err));
    assert_int_equal(k->n, KEV_BUNDLES);
    assert_int_equal(k->whole, KEV_BUNDLES);
    qsort(k->name, k->n, sizeof(k->name[0]), by_name);
    size_t len;
    char *text = slurp(feed, &len);
    for (size_t i = 0; i < k->n; i++) {
        if (i > 0 && strcmp(k->name[i - 1], k->name[i]) == 0)
            fail_msg("%s came twice", k->name[i]);
        if (memmem(text, len, k->name[i], strlen(k->name[i])) == NULL)
            fail_msg("%s is not in the feed", k->name[i]);
    }
    free(text);
    free(k);
    /* Also over a restart of the gateway: the cursor is on its disk. */
    assert_int_equal(sluiced_stop(s->gateway), 0);
    MUST(sluiced_start(s->gateway, true, &err));
    run_kev(s, feed, "pushed=0 ");
    MUST(consumer_ready(s->consumer, "forward", &err));
    assert_int_equal(consumer_ready(s->consumer, "forward", NULL), 0);
}

struct whole {
    char *text;
    size_t len;
    int times;
};

static void
take_whole(void *ctx, const struct consumed *m)
{
    struct whole *w = ctx;
    assert_int_equal(m->len, w->len);
    assert_memory_equal(m->body, w->text, w->len);
    assert_string_equal(m->content_type, "application/stix+json;version=2.1");
    w->times++;
}

static void
a_stix_file_of_3_mb_arrives_byte_for_byte(void **state)
{
    struct stage *s = *state;
    char file[600], program[600], out[OUT];
    if (world_data("ics-attack.json", file, sizeof(file)) == NULL) {
        print_message("skipped: %s is not there\n", file);
        skip();
    }
    gateway(s, &ANYBODY);
    const char *argv[] = {world_built("connectors/stix-file", program, sizeof(program)),
                          "--endpoint",
                          sluiced_endpoint(s->gateway),
                          "--id",
                          "stix",
                          file,
                          NULL};
    int status;
    MUST(status = world_run(argv, RUN_MS, out, sizeof(out), &err));
    if (status != 0)
        fail_msg("stix-file: status %d: %s", status, out);
    struct whole w = {.times = 0};
    w.text = slurp(file, &w.len);
    MUST(consumer_drain(s->consumer, "forward", UINT64_MAX, IDLE_MS, take_whole, &w, &err));
    assert_int_equal(w.times, 1);
    free(w.text);
}

/* --- many, large, bounded --- */
static void
a_hundred_connectors_with_large_bundles_stay_within_the_memory_limit(void **state)
{
    struct stage *s = *state;
    struct load *load;
    struct load_result r;
    const size_t size = world_long() ? 16U << 20 : 4U << 20;
    struct sluiced_config config = ANYBODY;
    config.memory =
        world_long() ? "limit = \"64MiB\"; max_bundle = \"16MiB\";" : "limit = \"16MiB\"; max_bundle = \"4MiB\";";
    gateway(s, &config);
    struct ledger *l = ledger_new();
    struct load_plan plan = {.endpoint = sluiced_endpoint(s->gateway),
                             .ledger = l,
                             .connectors = 100,
                             .size_min = size,
                             .size_max = size,
                             .bundles = 1};
    MUST_HAVE(load, load_start(&plan, &err));
    MUST(load_finish(load, 120000, &r, &err));
    load_free(load);
    assert_int_equal(r.acked, 100);
    int64_t peak = sluiced_peak_kib(s->gateway) / 1024, limit = (world_long() ? 64 : 16) + 64;
    print_message("peak %lld MiB, at most %lld\n", (long long)peak, (long long)limit);
    assert_in_range(peak, 1, limit);
    agrees(s, l, 0);
}

static void
sizes_around_every_edge_arrive_whole_and_in_order(void **state)
{
    struct stage *s = *state;
    gateway(s, &ANYBODY);
    /* Around a chunk, two chunks, and a frame of the broker. */
    static const size_t EDGES[] = {32, 1023, 1025, 65535 - 8, 65536, 131072 - 8, 131072, 262144 - 16};
    struct ledger *l = ledger_new();
    for (size_t i = 0; i < sizeof(EDGES) / sizeof(EDGES[0]); i++) {
        struct load *load;
        struct load_plan plan = {.endpoint = sluiced_endpoint(s->gateway),
                                 .ledger = l,
                                 .first = (uint32_t)i,
                                 .connectors = 1,
                                 .size_min = EDGES[i],
                                 .size_max = EDGES[i] + 16,
                                 .bundles = 100};
        MUST_HAVE(load, load_start(&plan, &err));
        MUST(load_finish(load, 60000, NULL, &err));
        load_free(load);
    }
    agrees(s, l, 0);
}

/* --- the command line and signals --- */
static int
run_sluiced(const char *config, const char *option, char *out)
{
    char path[600];
    const char *argv[] = {world_built("sluiced", path, sizeof(path)), "--config", config, option, NULL};
    struct err err = {.code = ERR_NONE};
    int status = world_run(argv, RUN_MS, out, OUT, &err);
    if (status < 0)
        fail_msg("%s", err.text);
    return status;
}

static void
write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void
what_print_config_prints_is_a_config_that_prints_the_same(void **state)
{
    struct stage *s = *state;
    char first[OUT], second[OUT], out[OUT], path[640];
    MUST_HAVE(s->gateway, sluiced_new(s->world, &ANYBODY, &err));
    assert_int_equal(run_sluiced(sluiced_config_path(s->gateway), "--check-config", out), 0);
    assert_int_equal(run_sluiced(sluiced_config_path(s->gateway), "--print-config", first), 0);
    assert_non_null(strstr(first, "default_target"));
    (void)snprintf(path, sizeof(path), "%s/printed.cfg", world_dir(s->world));
    write_file(path, first);
    assert_int_equal(run_sluiced(path, "--print-config", second), 0);
    assert_string_equal(first, second);
}

static void
a_wrong_config_ends_with_78_and_names_the_line_and_the_key(void **state)
{
    static const struct {
        const char *text, *must_name;
    } WRONG[] = {
        {"door = { endpiont = \"tcp://127.0.0.1:1\"; };", "endpoint"},
        {"door = { ping = 40; };", "ping"},
        {"memory = { limit = \"256\"; };", "limit"},
        {"door = { endpoint = \"tcp://0.0.0.0:7117\"; };", "loopback"},
        {"connectors = ( { id = \"a\"; queue = \"q\"; format = \"xml\"; } );", "raw"},
        {"connectors = ( { id = \"a\"; queue = \"q\"; }, { id = \"a\"; queue = \"q\"; } );", "a"},
        {"door = {", "1"},
    };
    struct stage *s = *state;
    char path[640], out[OUT];
    (void)snprintf(path, sizeof(path), "%s/wrong.cfg", world_dir(s->world));
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        write_file(path, WRONG[i].text);
        int status = run_sluiced(path, "--check-config", out);
        if (status != 78 || strstr(out, WRONG[i].must_name) == NULL || strstr(out, "wrong.cfg") == NULL)
            fail_msg("'%s': status %d, and it says: %s", WRONG[i].text, status, out);
        assert_int_equal(run_sluiced(path, "--print-config", out), 78);
    }
}

static void
sigterm_under_load_stops_in_order_and_nothing_is_lost_or_sent_twice(void **state)
{
    struct stage *s = *state;
    struct load *load;
    struct ledger *l = ledger_new();
    gateway(s, &ANYBODY);
    struct load_plan plan = {.endpoint = sluiced_endpoint(s->gateway),
                             .ledger = l,
                             .connectors = 4,
                             .size_min = 500,
                             .size_max = 5000,
                             .queue_bytes = 1 << 20,
                             .pause_us = 1000};
    MUST_HAVE(load, load_start(&plan, &err));
    for (int i = 0; i < 3; i++) {
        world_sleep_ms(500);
        struct late *late = late_start();
        int64_t began = clock_mono_us();
        assert_int_equal(sluiced_stop(s->gateway), 0);
        int64_t took = clock_mono_us() - began;
        assert_true(took < 6000000 + late_stop(late));
        MUST(sluiced_start(s->gateway, true, &err));
    }
    world_sleep_ms(500);
    MUST(load_finish(load, 60000, NULL, &err));
    load_free(load);
    agrees(s, l, 0); /* an orderly stop writes its marks: nothing goes twice */
}

static void
sigterm_with_a_frozen_broker_ends_in_bounded_time_and_a_second_one_at_once(void **state)
{
    struct stage *s = *state;
    struct load *load;
    struct ledger *l = ledger_new();
    struct sluiced_config config = ANYBODY;
    config.hung_after = "60s"; /* so that it is the stop that bounds, and not the watchdog */
    gateway(s, &config);
    struct load_plan plan = {.endpoint = sluiced_endpoint(s->gateway),
                             .ledger = l,
                             .connectors = 2,
                             .size_min = 500,
                             .size_max = 5000,
                             .queue_bytes = 1 << 20};
    MUST_HAVE(load, load_start(&plan, &err));
    world_sleep_ms(300);
    MUST(world_broker(s->world, "freeze", NULL, &err));
    world_sleep_ms(300);
    struct late *late = late_start();
    int64_t began = clock_mono_us();
    (void)sluiced_signal(s->gateway, SIGTERM);
    int status = sluiced_wait(s->gateway, 50000);
    int64_t took = clock_mono_us() - began, late_us = late_stop(late);
    MUST(world_broker(s->world, "thaw", NULL, &err));
    assert_int_equal(status, 0);
    assert_true(took < 8000000 + late_us); /* stop.within is 5 s, closing has 1 s for each connection */

    MUST(sluiced_start(s->gateway, true, &err));
    world_sleep_ms(300);
    MUST(world_broker(s->world, "freeze", NULL, &err));
    world_sleep_ms(300);
    (void)sluiced_signal(s->gateway, SIGTERM);
    world_sleep_ms(200);
    assert_true(sluiced_alive(s->gateway));
    late = late_start();
    began = clock_mono_us();
    (void)sluiced_signal(s->gateway, SIGTERM);
    status = sluiced_wait(s->gateway, 50000);
    took = clock_mono_us() - began;
    late_us = late_stop(late);
    MUST(world_broker(s->world, "thaw", NULL, &err));
    assert_true(status >= 0);
    assert_true(took < 3000000 + late_us);

    MUST(sluiced_start(s->gateway, true, &err));
    MUST(load_finish(load, 60000, NULL, &err));
    load_free(load);
    /* What RabbitMQ had taken and could not say goes again: two stops, each with a window of 200 messages, and what it
     * confirmed in the moment of the stop, when nobody reads that any more (410 in all were seen once). */
    agrees(s, l, 2 * 300);
}

/* Is this id welcome? */
static bool
is_welcome(struct stage *s, const char *id)
{
    struct peer *p;
    MUST_HAVE(p, peer_open(sluiced_endpoint(s->gateway), &err));
    bool yes = peer_hello(p, id, (uint64_t)clock_wall_us() * 1024, true, 0) != NULL;
    peer_close(p);
    return yes;
}

static void
sighup_takes_the_new_settings_or_keeps_all_of_the_old(void **state)
{
    static const struct sluiced_config OLD = {
        .rest = "connectors = ( { id = \"one\"; queue = \"q1\"; declare = true; } );"};
    static const struct sluiced_config NEW = {.rest =
                                                  "connectors = ( { id = \"one\"; queue = \"q1\"; declare = true; },"
                                                  " { id = \"two\"; queue = \"q2\"; declare = true; } );"};
    static const struct sluiced_config BAD = {.rest =
                                                  "connectors = ( { id = \"three\"; queue = \"q3\"; declare = true; },"
                                                  " { id = \"THREE\"; queue = \"q3\"; } );"};
    struct stage *s = *state;
    gateway(s, &OLD);
    assert_true(is_welcome(s, "one"));
    assert_false(is_welcome(s, "two"));

    int64_t mark = sluiced_log_mark(s->gateway);
    MUST(sluiced_configure(s->gateway, &BAD, &err));
    (void)sluiced_signal(s->gateway, SIGHUP);
    assert_true(sluiced_log_wait(s->gateway, mark, "reload_refused", "THREE", 60000));
    assert_true(is_welcome(s, "one"));
    assert_false(is_welcome(s, "three"));

    MUST(sluiced_configure(s->gateway, &NEW, &err));
    (void)sluiced_signal(s->gateway, SIGHUP);
    assert_true(sluiced_log_wait(s->gateway, mark, "event=reloaded", NULL, 60000));
    assert_true(is_welcome(s, "two"));

    mark = sluiced_log_mark(s->gateway);
    MUST(sluiced_configure(s->gateway, &OLD, &err));
    (void)sluiced_signal(s->gateway, SIGHUP);
    assert_true(sluiced_log_wait(s->gateway, mark, "event=reloaded", NULL, 60000));
    assert_false(is_welcome(s, "two"));
    assert_true(is_welcome(s, "one"));
    assert_int_equal(sluiced_stop(s->gateway), 0);
}

#define FORWARD(f) cmocka_unit_test_teardown(f, test_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FORWARD(every_vulnerability_of_the_kev_feed_arrives_once_and_a_second_run_sends_nothing),
        FORWARD(a_stix_file_of_3_mb_arrives_byte_for_byte),
        FORWARD(a_hundred_connectors_with_large_bundles_stay_within_the_memory_limit),
        FORWARD(sizes_around_every_edge_arrive_whole_and_in_order),
        FORWARD(what_print_config_prints_is_a_config_that_prints_the_same),
        FORWARD(a_wrong_config_ends_with_78_and_names_the_line_and_the_key),
        FORWARD(sigterm_under_load_stops_in_order_and_nothing_is_lost_or_sent_twice),
        FORWARD(sigterm_with_a_frozen_broker_ends_in_bounded_time_and_a_second_one_at_once),
        FORWARD(sighup_takes_the_new_settings_or_keeps_all_of_the_old),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
