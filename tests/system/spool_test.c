/* spool_test.c - bundles rest on the disk while their way is shut, whatever is killed meanwhile: a real gateway
 * and a real RabbitMQ, and at the end of each test the ledger. */
#include "must.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "clock.h"
#include "consumer.h"
#include "ledger.h"
#include "load.h"
#include "orders.h"
#include "proxy.h"
#include "sluiced.h"
#include "stage.h"
#include "world.h"

enum { WINDOW = 200, WAIT_MS = 20 * 1000, DRAIN_MS = 60 * 1000, ANSWER = 64 * 1024 };

#define SPOOL "floor = \"0B\"; segment = \"1MiB\"; limit = \"256MiB\";"

static const struct sluiced_config ANYBODY = {.rest = SLUICED_ANYBODY("faults"), .spool = SPOOL};

/* Four connectors that push 100 to 3000 bytes each two milliseconds. */
static const struct load_plan FOUR = {
    .connectors = 4, .size_min = 100, .size_max = 3000, .pause_us = 2000, .queue_bytes = 1 << 18};

static struct consumer *
rabbit(struct stage *s)
{
    struct consumer *c;
    MUST_HAVE(c, consumer_open(world_broker_port(s->world), &err));
    return c;
}

/* Of all its connectors that the load has. */
static uint64_t
spooled(const struct stage *s, uint32_t connectors)
{
    uint64_t sum = 0;
    char id[32];
    for (uint32_t i = 0; i < connectors; i++) {
        (void)snprintf(id, sizeof(id), "load-%u", i);
        const struct standing st = orders_status(s->gateway, id);
        sum += st.known ? st.spooled : 0;
    }
    return sum;
}

static void
await_empty(const struct stage *s, uint32_t connectors)
{
    const int64_t end = clock_mono_us() + DRAIN_MS * INT64_C(1000);
    uint64_t left;
    while ((left = spooled(s, connectors)) > 0 && clock_mono_us() < end)
        world_sleep_ms(20);
    if (left > 0) {
        sluiced_log_show(s->gateway);
        fail_msg("%llu bundles are in the spool still", (unsigned long long)left);
    }
}

static void
restart(struct stage *s, bool broker_is_there)
{
    MUST(sluiced_start(s->gateway, broker_is_there, &err));
}

/* --- the broker is away ------------------------------------------------------------------------------------------- */

static void
while_the_broker_is_away_connectors_go_on_and_nothing_is_lost(void **state)
{
    struct stage *s = *state;
    stage_gateway(s, &ANYBODY);
    struct load *load = stage_load(s, &FOUR, false);
    stage_await_acks(load, 300);
    stage_broker(s, "kill", NULL);
    world_sleep_ms(200);
    stage_await_acks(load, 2000);
    assert_true(spooled(s, 4) >= 1000);
    stage_broker(s, "restart", NULL);
    stage_await_acks(load, 2000);
    stage_finish(s, load, DRAIN_MS, NULL);
    await_empty(s, 4);
    (void)stage_agrees(s, "faults", WINDOW, false);
}

static void
a_gateway_that_is_killed_with_a_full_spool_has_all_of_it_after_its_start(void **state)
{
    struct stage *s = *state;
    stage_gateway(s, &ANYBODY);
    struct load *load = stage_load(s, &FOUR, false);
    stage_await_acks(load, 300);
    stage_broker(s, "kill", NULL);
    world_sleep_ms(200);
    stage_await_acks(load, 2000);
    sluiced_kill(s->gateway);
    restart(s, false);
    stage_await_acks(load, 1000);
    sluiced_kill(s->gateway);
    restart(s, false);
    stage_broker(s, "restart", NULL);
    stage_await_acks(load, 1000);
    stage_finish(s, load, DRAIN_MS, NULL);
    await_empty(s, 4);
    (void)stage_agrees(s, "faults", 4 * WINDOW, false);
}

static void
a_gateway_killed_again_and_again_while_it_drains_loses_nothing(void **state)
{
    struct stage *s = *state;
    const int kills = world_long() ? 60 : 6;
    stage_gateway(s, &ANYBODY);
    struct load *load = stage_load(s, &FOUR, false);
    stage_await_acks(load, 300);
    stage_broker(s, "kill", NULL);
    world_sleep_ms(200);
    stage_await_acks(load, 2000);
    stage_broker(s, "restart", NULL);
    for (int i = 0; i < kills; i++) {
        world_sleep_ms(50 + 37 * (i % 8));
        sluiced_kill(s->gateway);
        restart(s, false);
    }
    stage_await_acks(load, 300);
    stage_finish(s, load, DRAIN_MS, NULL);
    await_empty(s, 4);
    /* What was confirmed within the last second before a kill may go again. */
    print_message("%llu repeated\n", (unsigned long long)stage_agrees(s, "faults", UINT64_MAX, false));
}

static void
a_gateway_that_is_told_to_stop_without_a_broker_keeps_its_bundles_for_the_next(void **state)
{
    struct stage *s = *state;
    stage_gateway(s, &ANYBODY);
    struct load *load = stage_load(s, &FOUR, false);
    stage_await_acks(load, 300);
    stage_broker(s, "kill", NULL);
    world_sleep_ms(200);
    stage_await_acks(load, 2000);
    assert_int_equal(sluiced_stop(s->gateway), 0);
    restart(s, false);
    stage_broker(s, "restart", NULL);
    stage_await_acks(load, 300);
    stage_finish(s, load, DRAIN_MS, NULL);
    await_empty(s, 4);
    (void)stage_agrees(s, "faults", 2 * WINDOW, false);
}

/* The connection to the broker is cut at one byte count after the other, so that bundles go there, to the spool and
 * back all the time. */
static void
a_brokers_connection_that_is_cut_again_and_again_loses_nothing(void **state)
{
    struct stage *s = *state;
    struct sluiced_config config = ANYBODY;
    const uint64_t step = world_long() ? 4 : 32, cuts = 6000 / step;
    MUST_HAVE(s->proxy, proxy_start(world_broker_port(s->world), &err));
    config.broker_port = proxy_port(s->proxy);
    config.broker = "retry_min = \"10ms\"; retry_max = \"20ms\";";
    stage_gateway(s, &config);
    struct load *load = stage_load(s, &FOUR, false);
    proxy_set(s->proxy, PROXY_UP, &(struct proxy_fault){.cut = true, .step = step, .cuts = cuts});
    proxy_cut_all(s->proxy, false);
    for (int i = 0; i < 12000 && proxy_cuts(s->proxy) < cuts; i++)
        world_sleep_ms(10);
    assert_true(proxy_cuts(s->proxy) >= cuts);
    proxy_set(s->proxy, PROXY_UP, NULL);
    stage_await_acks(load, 300);
    stage_finish(s, load, DRAIN_MS, NULL);
    await_empty(s, 4);
    /* Login takes about 500 bytes: of the rest a few bundles, which may have arrived, and go again. */
    print_message("%llu cuts, %llu repeated\n", (unsigned long long)cuts,
                  (unsigned long long)stage_agrees(s, "faults", cuts * 8, false));
}

/* --- each step of a bundle's life --- */

/* It dies there for the n-th time, while what was spooled without a broker drains; and again after a start. */
static void
dies_at(struct stage *s, int step, int n)
{
    sluiced_kill(s->gateway);
    sluiced_crash_at(s->gateway, step, n);
    restart(s, false);
    for (int i = 0; i < WAIT_MS / 10 && sluiced_alive(s->gateway); i++)
        world_sleep_ms(10);
}

static void
a_gateway_that_dies_at_any_step_of_a_bundles_life_loses_nothing(void **state)
{
    struct stage *s = *state;
    const int rounds = world_long() ? 12 : 2;
    struct load_plan plan = FOUR;
    int deaths = 0;
    plan.pause_us = 2000;
    stage_gateway(s, &ANYBODY);
    struct load *load = stage_load(s, &plan, false);
    stage_await_acks(load, 300);
    for (int round = 0; round < rounds; round++) {
        const bool away = round % 2 == 0; /* S1 to S4 are reached without a broker, S5 to S8 with one */
        if (away)
            stage_broker(s, "kill", NULL);
        for (int step = 0; step <= 8; step++) {
            if (away != (step <= 4) && step != 0)
                continue;
            dies_at(s, step, 1 + (round * 7 + step * 3) % 40);
            if (!sluiced_alive(s->gateway))
                deaths++;
            else
                print_message("step S%d was not reached\n", step);
            sluiced_kill(s->gateway);
            restart(s, false);
            stage_await_acks(load, 50);
        }
        if (away)
            stage_broker(s, "restart", NULL);
        stage_await_acks(load, 200);
    }
    stage_finish(s, load, DRAIN_MS, NULL);
    await_empty(s, 4);
    print_message("%d deaths; %llu repeated\n", deaths,
                  (unsigned long long)stage_agrees(s, "faults", UINT64_MAX, false));
    assert_true(deaths >= rounds * 4);
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static void
a_connector_whose_part_of_the_spool_is_full_waits_and_the_others_go_on(void **state)
{
    struct stage *s = *state;
    struct sluiced_config config = ANYBODY;
    struct load_result before, after;
    config.spool = SPOOL " each = \"1MiB\";";
    stage_gateway(s, &config);
    struct load_plan big = {.first = 1, .connectors = 1, .size_min = 30000, .size_max = 60000, .queue_bytes = 1 << 18};
    struct load_plan small = {
        .connectors = 1, .size_min = 100, .size_max = 100, .pause_us = 2000, .queue_bytes = 1 << 16};
    struct load *a = stage_load(s, &big, false), *b = stage_load(s, &small, false);
    stage_await_acks(a, 20);
    stage_await_acks(b, 20);
    stage_broker(s, "kill", NULL);
    (void)orders_await(s->gateway, "load-1", "held", "broker_down,spool_full");
    load_progress(a, &before);
    stage_await_acks(b, 300);
    load_progress(a, &after);
    const struct standing st = orders_status(s->gateway, "load-1");
    assert_int_equal(after.acked, before.acked);
    assert_in_range(st.spooled_bytes, 512 * 1024, 1024 * 1024 + 60000);
    stage_broker(s, "restart", NULL);
    stage_await_acks(a, 20);
    stage_finish(s, a, DRAIN_MS, NULL);
    stage_finish(s, b, DRAIN_MS, NULL);
    await_empty(s, 2);
    (void)stage_agrees(s, "faults", WINDOW, false);
}

static void
a_full_spool_takes_nothing_more_and_goes_on_when_it_has_drained(void **state)
{
    struct stage *s = *state;
    struct sluiced_config config = ANYBODY;
    struct load_result before, after;
    config.memory = "limit = \"4MiB\";";
    config.spool = "floor = \"0B\"; segment = \"1MiB\"; limit = \"2MiB\"; each = \"2MiB\";";
    stage_gateway(s, &config);
    const int64_t mark = sluiced_log_mark(s->gateway);
    struct load_plan plan = FOUR;
    plan.size_min = plan.size_max = 20000;
    struct load *load = stage_load(s, &plan, false);
    stage_await_acks(load, 50);
    stage_broker(s, "kill", NULL);
    assert_true(sluiced_log_wait(s->gateway, mark, "event=spool_full", NULL, WAIT_MS));
    world_sleep_ms(500);
    load_progress(load, &before);
    world_sleep_ms(1000);
    load_progress(load, &after);
    assert_int_equal(after.acked, before.acked);
    assert_int_equal(after.nacked, 0);
    assert_true(spooled(s, 4) > 50);
    stage_broker(s, "restart", NULL);
    stage_await_acks(load, 300);
    assert_true(sluiced_log_wait(s->gateway, mark, "event=spool_has_room", NULL, WAIT_MS));
    stage_finish(s, load, DRAIN_MS, NULL);
    await_empty(s, 4);
    (void)stage_agrees(s, "faults", WINDOW, false);
}

/* A disk for the spool alone, which this process has for itself (main), so that it goes with it; and a gateway's
 * settings for it. */
struct disk {
    char at[600], spool[800];
};

static struct disk
own_disk(struct stage *s, const char *size, const char *segment)
{
    struct disk d;
    char options[64];
    (void)snprintf(d.at, sizeof(d.at), "%s/disk-%s", world_dir(s->world), size);
    (void)snprintf(d.spool, sizeof(d.spool),
                   "dir = \"%s/spool\"; floor = \"0B\"; segment = \"%s\"; limit = \"1GiB\"; each = \"1GiB\";", d.at,
                   segment);
    (void)snprintf(options, sizeof(options), "size=%s,mode=0700", size);
    if (mkdir(d.at, 0700) != 0 || mount("tmpfs", d.at, "tmpfs", 0, options) != 0) {
        print_message("no leave to mount a disk of its own\n");
        skip();
    }
    return d;
}

static void
leave_disk(struct stage *s, const struct disk *d)
{
    sluiced_kill(s->gateway);
    assert_int_equal(umount(d->at), 0);
}

/* What others put on it: so many bytes, or until there is no room for one more. */
static void
others_write(const struct disk *d, size_t most)
{
    static const char zeroes[65536];
    char file[700];
    size_t n = 0;
    (void)snprintf(file, sizeof(file), "%s/theirs", d->at);
    const int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (n < most && write(fd, zeroes, sizeof(zeroes)) > 0)
        n += sizeof(zeroes);
    (void)close(fd);
}

static void
others_remove(const struct disk *d)
{
    char file[700];
    (void)snprintf(file, sizeof(file), "%s/theirs", d->at);
    assert_int_equal(unlink(file), 0);
}

/* A gateway on this disk and a load, until there is no broker and the disk is full. */
static struct load *
fill(struct stage *s, const struct disk *d)
{
    const struct sluiced_config config = {.rest = SLUICED_ANYBODY("faults"), .spool = d->spool};
    struct load_plan plan = FOUR;
    plan.size_min = plan.size_max = 20000;
    stage_gateway(s, &config);
    const int64_t mark = sluiced_log_mark(s->gateway);
    struct load *load = stage_load(s, &plan, false);
    stage_await_acks(load, 50);
    stage_broker(s, "kill", NULL);
    assert_true(sluiced_log_wait(s->gateway, mark, "event=spool_full", NULL, WAIT_MS));
    return load;
}

static void
a_disk_that_is_filled_to_the_brim_takes_nothing_more_and_recovers_by_itself(void **state)
{
    struct stage *s = *state;
    struct load_result before, after;
    const struct disk d = own_disk(s, "24m", "1MiB");
    struct load *load = fill(s, &d);
    world_sleep_ms(500);
    load_progress(load, &before);
    world_sleep_ms(1500);
    load_progress(load, &after);
    assert_int_equal(after.acked, before.acked);
    assert_int_equal(after.nacked, 0);
    assert_true(spooled(s, 4) > 500);
    /* And once more, with a gateway that finds it so. */
    sluiced_kill(s->gateway);
    restart(s, false);
    stage_broker(s, "restart", NULL);
    stage_await_acks(load, 300);
    stage_finish(s, load, DRAIN_MS, NULL);
    await_empty(s, 4);
    (void)stage_agrees(s, "faults", 2 * WINDOW, false);
    leave_disk(s, &d);
}

/* Its segments are nearly as large as the disk, and others have the rest: it drains all the same, does not waver, and
 * goes on with what it has. */
static void
a_disk_that_others_filled_meanwhile_is_drained_and_used_again(void **state)
{
    struct stage *s = *state;
    const struct disk d = own_disk(s, "32m", "8MiB");
    struct load *load = fill(s, &d);
    sluiced_kill(s->gateway);
    others_write(&d, SIZE_MAX);
    const int64_t mark = sluiced_log_mark(s->gateway);
    restart(s, false);
    stage_broker(s, "restart", NULL);
    stage_await_acks(load, 500);
    stage_finish(s, load, DRAIN_MS, NULL);
    await_empty(s, 4);
    assert_true(sluiced_log_wait(s->gateway, mark, "event=spool_has_room", NULL, WAIT_MS));
    assert_in_range(sluiced_log_count(s->gateway, mark, "event=spool_"), 1, 20);
    (void)stage_agrees(s, "faults", 2 * WINDOW, false);
    leave_disk(s, &d);
}

static void
a_disk_that_others_filled_before_keeps_nobody_from_rabbitmq_and_is_used_once_it_has_room(void **state)
{
    struct stage *s = *state;
    const struct disk d = own_disk(s, "64m", "8MiB");
    const struct sluiced_config config = {.rest = SLUICED_ANYBODY("faults"), .spool = d.spool};
    others_write(&d, 60 * 1024 * 1024);
    stage_gateway(s, &config);
    const int64_t mark = sluiced_log_mark(s->gateway);
    assert_int_equal(sluiced_log_count(s->gateway, 0, "event=spool_full"), 1);
    struct load *load = stage_load(s, &FOUR, false);
    stage_await_acks(load, 300); /* they need no disk while RabbitMQ is there */
    stage_broker(s, "kill", NULL);
    world_sleep_ms(3000);
    assert_int_equal(sluiced_log_count(s->gateway, mark, "event=spool_has_room"), 0);
    others_remove(&d);
    assert_true(sluiced_log_wait(s->gateway, mark, "event=spool_has_room", NULL, WAIT_MS));
    stage_await_acks(load, 500);
    assert_true(spooled(s, 4) > 100);
    stage_broker(s, "restart", NULL);
    stage_finish(s, load, DRAIN_MS, NULL);
    await_empty(s, 4);
    (void)stage_agrees(s, "faults", 2 * WINDOW, false);
    leave_disk(s, &d);
}

/* --- dead letters ------------------------------------------------------------------------------------------------- */

/* The dead letters there are. */
static json_t *
letters(const struct stage *s)
{
    static const char ask[] = "{\"do\":\"dead-letters\"}\n";
    char *answer = malloc(ANSWER);
    json_t *root, *list;
    assert_non_null(answer);
    orders_send(s->gateway, ask, sizeof(ask) - 1, answer, ANSWER);
    root = json_loads(answer, 0, NULL);
    free(answer);
    assert_non_null(root);
    list = json_incref(json_object_get(root, "dead_letters"));
    json_decref(root);
    assert_non_null(list);
    return list;
}

static size_t
count_letters(const struct stage *s)
{
    json_t *list = letters(s);
    const size_t n = json_array_size(list);
    json_decref(list);
    return n;
}

static void
do_to_letter(const struct stage *s, const char *what, const json_t *letter)
{
    char line[200], answer[400];
    (void)snprintf(line, sizeof(line), "{\"do\":\"%s\",\"connector\":\"%s\",\"pos\":%lld}\n", what,
                   json_string_value(json_object_get(letter, "connector")),
                   (long long)json_integer_value(json_object_get(letter, "pos")));
    orders_send(s->gateway, line, strlen(line), answer, sizeof(answer));
    if (strstr(answer, "\"ok\":true") == NULL)
        fail_msg("%s: %s", line, answer);
}

#define ODD_TARGET                                                                                                     \
    "connectors = ( { id = \"odd\"; exchange = \"amq.direct\"; routing_key = \"nowhere\"; queue = \"\"; },"            \
    "{ id = \"load-0\"; queue = \"faults\"; routing_key = \"faults\"; declare = true; } );"

static void
a_bundle_without_a_route_becomes_a_dead_letter_that_can_be_replayed_or_dropped(void **state)
{
    struct stage *s = *state;
    struct sluiced_config config = {.rest = ODD_TARGET, .spool = SPOOL};
    struct load_result r;
    stage_gateway(s, &config);
    struct load_plan odd = {.first = 9, .connectors = 1, .id = "odd", .size_min = 100, .size_max = 3000, .bundles = 10};
    struct load_plan good = {.connectors = 1, .size_min = 100, .size_max = 3000, .bundles = 400};
    struct load *a = stage_load(s, &odd, false), *b = stage_load(s, &good, false);
    stage_finish(s, a, WAIT_MS, &r);
    assert_int_equal(r.nacked, 0);
    assert_int_equal(r.dead, 10);
    stage_finish(s, b, WAIT_MS, &r);
    assert_int_equal(r.acked, 400);
    (void)stage_agrees(s, "faults", 0, false);

    json_t *list = letters(s);
    assert_int_equal(json_array_size(list), 10);
    const json_t *first = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(first, "connector")), "odd");
    assert_string_equal(json_string_value(json_object_get(first, "reason")), "unroutable");
    assert_non_null(strstr(json_string_value(json_object_get(first, "text")), "nowhere"));
    assert_true(json_string_length(json_object_get(first, "since")) > 0);

    /* They are there after a kill, with their reasons. */
    sluiced_kill(s->gateway);
    restart(s, true);
    json_t *again = letters(s);
    assert_true(json_equal(list, again));
    json_decref(again);

    do_to_letter(s, "drop", json_array_get(list, 9));
    assert_int_equal(count_letters(s), 9);
    /* Without a route it comes back; with one it goes. */
    do_to_letter(s, "replay", json_array_get(list, 0));
    for (int i = 0; i < WAIT_MS / 20 && count_letters(s) != 9; i++)
        world_sleep_ms(20);
    assert_int_equal(count_letters(s), 9);
    json_decref(list);
    config.rest = "connectors = ( { id = \"odd\"; queue = \"found\"; routing_key = \"found\"; declare = true; } );";
    MUST(sluiced_configure(s->gateway, &config, &err));
    const int64_t mark = sluiced_log_mark(s->gateway);
    assert_int_equal(sluiced_signal(s->gateway, SIGHUP), 0);
    assert_true(sluiced_log_wait(s->gateway, mark, "event=reloaded", NULL, WAIT_MS));
    list = letters(s);
    for (size_t i = 0; i < json_array_size(list); i++)
        do_to_letter(s, "replay", json_array_get(list, i));
    json_decref(list);
    struct consumer *c = rabbit(s);
    for (int i = 0; i < WAIT_MS / 20 && consumer_ready(c, "found", NULL) < 9; i++)
        world_sleep_ms(20);
    assert_int_equal(consumer_ready(c, "found", NULL), 9);
    assert_int_equal(count_letters(s), 0);
    MUST(consumer_delete(c, "found", &err));
    consumer_close(c);
}

/* --- its folder --------------------------------------------------------------------------------------------------- */

/* A gateway with this spool does not start, and says so. */
static void
does_not_start(struct stage *s, const char *spool, const char *words)
{
    struct sluiced_config config = ANYBODY;
    config.spool = spool;
    if (s->gateway == NULL)
        MUST_HAVE(s->gateway, sluiced_new(s->world, &config, &err));
    MUST(sluiced_configure(s->gateway, &config, &err));
    char path[600], out[4096];
    const char *argv[] = {world_built("sluiced", path, sizeof(path)), "--config", sluiced_config_path(s->gateway),
                          NULL};
    struct err err = {.text = ""};
    assert_int_equal(world_run(argv, WAIT_MS, out, sizeof(out), &err), 78);
    if (strstr(out, words) == NULL)
        fail_msg("it does not say \"%s\", but: %s", words, out);
}

static void
a_folder_that_cannot_be_the_spool_is_refused_in_words(void **state)
{
    struct stage *s = *state;
    char path[600], spool[700];
    (void)snprintf(spool, sizeof(spool), "dir = \"%s/nowhere/spool\";", world_dir(s->world));
    does_not_start(s, spool, "nowhere");
    (void)snprintf(path, sizeof(path), "%s/not-a-folder", world_dir(s->world));
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fclose(f);
    (void)snprintf(spool, sizeof(spool), "dir = \"%s\";", path);
    does_not_start(s, spool, "not-a-folder");
}

static void
two_gateways_cannot_have_one_spool(void **state)
{
    struct stage *s = *state;
    char spool[700];
    struct sluiced_config config = ANYBODY;
    (void)snprintf(spool, sizeof(spool), SPOOL " dir = \"%s/shared-spool\";", world_dir(s->world));
    config.spool = spool;
    stage_gateway(s, &config);
    struct sluiced *first = s->gateway;
    s->gateway = NULL;
    does_not_start(s, spool, "another");
    sluiced_free(first);
}

#define FAULT(f) cmocka_unit_test_setup_teardown(f, stage_begin, stage_end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT(while_the_broker_is_away_connectors_go_on_and_nothing_is_lost),
        FAULT(a_gateway_that_is_killed_with_a_full_spool_has_all_of_it_after_its_start),
        FAULT(a_gateway_killed_again_and_again_while_it_drains_loses_nothing),
        FAULT(a_gateway_that_is_told_to_stop_without_a_broker_keeps_its_bundles_for_the_next),
        FAULT(a_brokers_connection_that_is_cut_again_and_again_loses_nothing),
        FAULT(a_gateway_that_dies_at_any_step_of_a_bundles_life_loses_nothing),
        FAULT(a_connector_whose_part_of_the_spool_is_full_waits_and_the_others_go_on),
        FAULT(a_full_spool_takes_nothing_more_and_goes_on_when_it_has_drained),
        FAULT(a_disk_that_is_filled_to_the_brim_takes_nothing_more_and_recovers_by_itself),
        FAULT(a_disk_that_others_filled_meanwhile_is_drained_and_used_again),
        FAULT(a_disk_that_others_filled_before_keeps_nobody_from_rabbitmq_and_is_used_once_it_has_room),
        FAULT(a_bundle_without_a_route_becomes_a_dead_letter_that_can_be_replayed_or_dropped),
        FAULT(a_folder_that_cannot_be_the_spool_is_refused_in_words),
        FAULT(two_gateways_cannot_have_one_spool),
    };
    if (unshare(CLONE_NEWNS) == 0)
        (void)mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    cmocka_set_test_filter(getenv("TEST_ONLY")); /* NULL: all */
    return cmocka_run_group_tests_name("spool", tests, stage_open, stage_close);
}
