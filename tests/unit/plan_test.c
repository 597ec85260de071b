/* plan_test.c - what the parts are given, and what may change while the gateway runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/publisher.h"
#include "broker/telemetry.h"
#include "core/core.h"
#include "err.h"
#include "gauged.h"
#include "plan.h"
#include "settings.h"
#include "settings_parts.h"
#include "targets.h"

enum { CONNECTORS = 3 };

struct world {
    struct settings *s; /* the defaults, and three connectors */
    struct targets  *targets;
    struct gauged   *queues;
    struct err       err;
};

static char *
text(const char *t)
{
    char *copy = strdup(t);

    assert_non_null(copy);
    return copy;
}

static struct settings_target
to_queue(const char *queue)
{
    return (struct settings_target){.exchange = text(""),
                                    .routing_key = text(queue),
                                    .queue = text(queue),
                                    .format = text("raw"),
                                    .queue_prefix = text(""),
                                    .applicant_id = text(""),
                                    .too_large = text("refuse")};
}

static struct settings *
defaults(void)
{
    char *no_env[] = {NULL};
    struct err err = {.text = ""};
    struct settings *s = settings_load(NULL, no_env, &err);

    if (s == NULL)
        fail_msg("%s", err.text);
    return s;
}

static int
setup(void **state)
{
    static const char *const ids[CONNECTORS] = {"a", "b", "c"}, *const queues[CONNECTORS] = {"one", "two", "one"};
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->s = defaults();
    assert_int_equal(w->s->n_connectors, 0);
    free(w->s->connectors);
    w->s->connectors = calloc(CONNECTORS, sizeof(*w->s->connectors));
    assert_non_null(w->s->connectors);
    for (size_t i = 0; i < CONNECTORS; i++)
        w->s->connectors[w->s->n_connectors++] =
            (struct settings_connector){.id = text(ids[i]), .target = to_queue(queues[i]), .ordered = i == 1};
    w->targets = targets_new(&w->err);
    w->queues = gauged_new(&w->err);
    assert_non_null(w->targets);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    targets_free(w->targets);
    gauged_free(w->queues);
    settings_free(w->s);
    free(w);
    return 0;
}

/* --- connectors --- */

static void
connectors_keep_id_and_order_and_those_of_one_target_share_a_publisher(void **state)
{
    struct world *w = *state;
    struct core_connector *list = NULL, unknown;

    w->s->broker.connections = 2;
    assert_int_equal(plan_connectors(w->s, w->targets, w->queues, &list, &unknown, &w->err), 0);
    assert_string_equal(list[0].id, "a");
    assert_string_equal(list[2].id, "c");
    assert_false(list[0].ordered);
    assert_true(list[1].ordered);
    assert_int_equal(list[0].target, list[2].target);
    assert_int_equal(list[0].publisher, list[2].publisher);
    assert_int_not_equal(list[0].target, list[1].target);
    assert_int_not_equal(list[0].publisher, list[1].publisher);
    assert_string_equal(targets_at(w->targets, list[1].target)->queue, "two");
    free(list);
}

static void
what_leads_to_one_queue_goes_by_one_publisher(void **state)
{
    struct world *w = *state;
    struct core_connector *list = NULL, unknown;
    char *const exchange = w->s->connectors[1].target.exchange, *const queue = w->s->connectors[1].target.queue;

    w->s->broker.connections = 2;
    w->s->connectors[1].target.exchange = "another";
    w->s->connectors[1].target.queue = w->s->connectors[0].target.queue;
    assert_int_equal(plan_connectors(w->s, w->targets, w->queues, &list, &unknown, &w->err), 0);
    assert_int_not_equal(list[0].target, list[1].target);
    assert_int_equal(list[0].queue, list[1].queue);
    assert_int_equal(list[0].publisher, list[1].publisher);
    w->s->connectors[1].target.exchange = exchange;
    w->s->connectors[1].target.queue = queue;
    free(list);
}

static void
no_connector_gets_a_publisher_that_is_not_there(void **state)
{
    struct world *w = *state;
    struct core_connector *list = NULL, unknown;

    w->s->broker.connections = 1;
    assert_int_equal(plan_connectors(w->s, w->targets, w->queues, &list, &unknown, &w->err), 0);
    for (size_t i = 0; i < CONNECTORS; i++)
        assert_int_equal(list[i].publisher, 0);
    free(list);
}

static void
the_longest_id_fits(void **state)
{
    struct world *w = *state;
    struct core_connector *list = NULL, unknown;
    char id[65];

    memset(id, 'x', 64);
    id[64] = '\0';
    free(w->s->connectors[0].id);
    w->s->connectors[0].id = text(id);
    assert_int_equal(plan_connectors(w->s, w->targets, w->queues, &list, &unknown, &w->err), 0);
    assert_string_equal(list[0].id, id);
    free(list);
}

static void
unknown_connectors_get_the_default_target_where_they_are_accepted(void **state)
{
    struct world *w = *state;
    struct core_connector *list = NULL, unknown = {.target = 77};

    assert_int_equal(plan_connectors(w->s, w->targets, w->queues, &list, &unknown, &w->err), 0);
    assert_int_equal(targets_count(w->targets), 2);
    free(list);
    w->s->accept_unknown = true;
    free(w->s->default_target.queue);
    w->s->default_target.queue = text("rest");
    assert_int_equal(plan_connectors(w->s, w->targets, w->queues, &list, &unknown, &w->err), 0);
    assert_string_equal(targets_at(w->targets, unknown.target)->queue, "rest");
    assert_false(unknown.ordered);
    free(list);
}

static void
the_same_settings_give_the_same_numbers_again(void **state)
{
    struct world *w = *state;
    struct core_connector *first = NULL, *again = NULL, unknown;

    assert_int_equal(plan_connectors(w->s, w->targets, w->queues, &first, &unknown, &w->err), 0);
    assert_int_equal(plan_connectors(w->s, w->targets, w->queues, &again, &unknown, &w->err), 0);
    for (size_t i = 0; i < CONNECTORS; i++)
        assert_int_equal(first[i].target, again[i].target);
    assert_int_equal(targets_count(w->targets), 2);
    free(first);
    free(again);
}

static void
more_targets_than_there_may_be_refuse_the_whole_plan(void **state)
{
    struct world *w = *state;
    struct core_connector *list = NULL, unknown;

    for (int i = 0; i < TARGETS_MAX; i++) {
        char name[32], empty[] = "", refuse[] = "refuse";
        const struct settings_target t = {.exchange = empty, .routing_key = name, .queue = name,
                                          .applicant_id = empty, .too_large = refuse};

        snprintf(name, sizeof(name), "other-%d", i);
        assert_int_equal(targets_intern(w->targets, &t, NULL, NULL), i);
    }
    assert_int_equal(plan_connectors(w->s, w->targets, w->queues, &list, &unknown, &w->err), -1);
    assert_int_equal(w->err.code, ERR_FULL);
    assert_null(list);
}

/* --- the broker --- */

static void
publishers_are_told_what_the_settings_say(void **state)
{
    struct world *w = *state;
    struct pub_config c;
    struct pub_host *hosts;

    settings_hosts_free(w->s->broker.hosts, w->s->broker.n_hosts);
    w->s->broker.hosts = NULL;
    w->s->broker.n_hosts = 0;
    assert_int_equal(settings_hosts_set(w->s, "first:1111,second:2222", &w->err), 0);
    hosts = plan_broker(w->s, &c, &w->err);
    assert_non_null(hosts);
    assert_ptr_equal(c.hosts, hosts);
    assert_int_equal(c.n_hosts, 2);
    assert_string_equal(hosts[1].host, "second");
    assert_int_equal(hosts[0].port, 1111);
    assert_int_equal(hosts[1].port, 2222);
    assert_string_equal(c.vhost, "/");
    assert_string_equal(c.user, "guest");
    assert_string_equal(c.password, "guest");
    assert_string_equal(c.name, "sluiced");
    assert_false(c.tls);
    assert_int_equal(c.window, 200);
    assert_int_equal(c.window_bytes, 8 * 1024 * 1024);
    assert_int_equal(c.heartbeat_us, 15000000);
    assert_int_equal(c.hung_us, 45000000);
    assert_int_equal(c.retry_min_us, 100000);
    assert_int_equal(c.retry_max_us, 30000000);
    free(hosts);
}

static void
reconnects_of_two_gateways_do_not_keep_step(void **state)
{
    struct world *w = *state;
    struct pub_config a, b;
    struct pub_host *first = plan_broker(w->s, &a, &w->err), *second = plan_broker(w->s, &b, &w->err);

    assert_int_not_equal(a.seed, b.seed);
    free(first);
    free(second);
}

/* --- reloads --- */

/* Another value than the one that is there. */
static void
change(struct settings *s, const struct settings_key *key)
{
    char *field = (char *)s + key->offset;
    char **string = (char **)(void *)field;

    switch (key->kind) {
    case SETTINGS_TEXT:
        free(*string);
        *string = text("another");
        break;
    case SETTINGS_NUMBER:
    case SETTINGS_WORD:
        *(int *)(void *)field += 1;
        break;
    case SETTINGS_FLAG:
        *(bool *)(void *)field = !*(bool *)(void *)field;
        break;
    case SETTINGS_DECIMAL:
        ((struct settings_decimal *)(void *)field)->micro += 1;
        break;
    case SETTINGS_SIZE:
        *(uint64_t *)(void *)field += 1;
        break;
    case SETTINGS_DURATION:
        *(int64_t *)(void *)field += 1;
        break;
    case SETTINGS_HOSTS:
        s->broker.hosts[0].port++;
        break;
    }
}

static void
telemetry_is_asked_at_each_host_or_where_its_urls_say(void **state)
{
    char *hosts[] = {"SLUICE_BROKER_HOSTS=a,[::1]:5673", NULL};
    char *urls[] = {"SLUICE_BROKER_HOSTS=a", "SLUICE_TELEMETRY_URL=https://b/rabbit , http://[::2]:1", NULL};
    static const char *const expected[][2] = {{"http://a:15672", "http://[::1]:15672"},
                                              {"https://b/rabbit", "http://[::2]:1"}};

    for (size_t i = 0; i < 2; i++) {
        struct err err = {.text = ""};
        struct settings *s = settings_load(NULL, i == 0 ? hosts : urls, &err);
        struct telemetry_config c;

        assert_non_null(s);
        assert_int_equal(plan_telemetry(s, &c, &err), 0);
        assert_int_equal(c.n_urls, 2);
        for (size_t n = 0; n < 2; n++)
            assert_string_equal(c.urls[n], expected[i][n]);
        plan_urls_free(&c);
        settings_free(s);
    }
    (void)state;
}

static bool
changes_while_running(const char *name)
{
    static const char *const names[] = {"broker.password_file", "state.mark_every", "log.format", "log.level",
                                        "stop.within", "accept_unknown", "telemetry.on_stale",
                                        "telemetry.password_file", "spool.each", "spool.unanswered_max"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strncmp(name, "default_target.", strlen("default_target.")) == 0 ||
           strncmp(name, "admission.", strlen("admission.")) == 0;
}

static void
every_key_that_needs_a_restart_refuses_the_reload_by_its_name_and_no_other_does(void **state)
{
    const struct settings_key *keys;
    size_t n;

    keys = settings_keys(&n);
    for (size_t i = 0; i < n; i++) {
        struct settings *before = defaults(), *after = defaults();
        struct err err = {.text = ""};
        const char *name = keys[i].name;

        change(after, &keys[i]);
        if (changes_while_running(name) != (plan_reloadable(before, after, &err) == 0))
            fail_msg("%s: a reload that changes it is %s", name, err.text[0] == '\0' ? "taken" : err.text);
        if (!changes_while_running(name)) {
            assert_int_equal(err.code, ERR_CONFIG);
            assert_memory_equal(err.text, name, strlen(name));
            assert_non_null(strstr(err.text, "restart"));
        }
        settings_free(before);
        settings_free(after);
    }
    (void)state;
}

static void
connectors_may_change_and_nothing_at_all_may_change(void **state)
{
    struct world *w = *state;
    struct settings *plain = defaults();

    assert_int_equal(plan_reloadable(w->s, plain, &w->err), 0);
    assert_int_equal(plan_reloadable(plain, w->s, &w->err), 0);
    assert_int_equal(plan_reloadable(plain, plain, &w->err), 0);
    settings_free(plain);
}

static void
another_host_or_one_more_refuses_the_reload(void **state)
{
    struct world *w = *state;
    struct settings *other = defaults();

    settings_hosts_free(other->broker.hosts, other->broker.n_hosts);
    other->broker.hosts = NULL;
    other->broker.n_hosts = 0;
    assert_int_equal(settings_hosts_set(other, "127.0.0.1:5672,127.0.0.1:5673", &w->err), 0);
    assert_int_equal(plan_reloadable(w->s, other, &w->err), -1);
    assert_int_equal(plan_reloadable(other, w->s, &w->err), -1);
    free(other->broker.hosts[1].host);
    other->broker.n_hosts = 1;
    free(other->broker.hosts[0].host);
    other->broker.hosts[0].host = text("elsewhere");
    assert_int_equal(plan_reloadable(w->s, other, &w->err), -1);
    assert_non_null(strstr(w->err.text, "broker.hosts"));
    settings_free(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connectors_keep_id_and_order_and_those_of_one_target_share_a_publisher),
        TEST(what_leads_to_one_queue_goes_by_one_publisher),
        TEST(no_connector_gets_a_publisher_that_is_not_there),
        TEST(the_longest_id_fits),
        TEST(unknown_connectors_get_the_default_target_where_they_are_accepted),
        TEST(the_same_settings_give_the_same_numbers_again),
        TEST(more_targets_than_there_may_be_refuse_the_whole_plan),
        TEST(publishers_are_told_what_the_settings_say),
        TEST(reconnects_of_two_gateways_do_not_keep_step),
        TEST(telemetry_is_asked_at_each_host_or_where_its_urls_say),
        TEST(every_key_that_needs_a_restart_refuses_the_reload_by_its_name_and_no_other_does),
        TEST(connectors_may_change_and_nothing_at_all_may_change),
        TEST(another_host_or_one_more_refuses_the_reload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
