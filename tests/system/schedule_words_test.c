/* schedule_words_test.c - what can be written as a schedule, what is refused with which words, and what connectors and
 * operators can say that is wrong: against a whole gateway.  The cases are the tables of docs/opencti.md itself. */
#include "must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencti_doc.h"
#include "orders.h"
#include "peer.h"
#include "scene.h"
#include "sluiced.h"
#include "world.h"

enum { PATIENCE_MS = 60 * 1000, HOUR_MS = 3600 * 1000 };

#define BIT(f) (1ULL << (f))

/* --- tables --- */

static size_t
table(const char *heading, struct opencti_row *rows, size_t least)
{
    size_t n = opencti_table(heading, rows);
    if (n < least)
        fail_msg("\"%s\" has %zu rows, and there were %zu", heading, n, least);
    return n;
}

/* The call refuses it with the document's words, and the gateway has heard nothing. */
static void
is_refused(struct scene *c, struct program *p, const char *id, const struct opencti_row *row)
{
    struct sluice_error why;
    int rc = program_returned(p, PATIENCE_MS, &why);
    if (rc != SLUICE_EINVAL || strcmp(why.text, row->words) != 0)
        fail_msg("\"%s\": %d, %s", row->given, rc, rc < 0 ? why.text : "accepted");
    struct standing s = orders_status(c->stage->gateway, id);
    assert_true(!s.known || strcmp(s.kind, "none") == 0);
    assert_int_equal(program_runs(p), 0);
}

/* The gateway, which drains, holds it as one run, or as runs with this period. */
static void
is_taken(struct scene *c, struct program *p, const char *id, const struct opencti_row *row)
{
    struct sluice_error why;
    double seconds = strtod(row->here, NULL);
    bool once = strcmp(row->here, "one run") == 0;
    if (once && program_returned(p, PATIENCE_MS, &why) != SLUICE_EHELD)
        fail_msg("\"%s\": %s", row->given, why.text);
    if (!once && program_returned(p, 0, &why) != 1)
        fail_msg("\"%s\": %s", row->given, why.text);
    struct standing s = orders_status(c->stage->gateway, id);
    for (int i = 0; i < PATIENCE_MS / 5 && (!s.known || strcmp(s.kind, "none") == 0); i++) {
        world_sleep_ms(5);
        s = orders_status(c->stage->gateway, id);
    }
    assert_string_equal(s.kind, once ? "terminate" : "period");
    if (!once && strcmp(row->here, "taken") != 0 && s.period_ms != (int64_t)(seconds * 1000))
        fail_msg("\"%s\" is %lld ms", row->given, (long long)s.period_ms);
}

static void
has_its_row(struct scene *c, size_t i, const struct opencti_row *row, struct program_plan *plan)
{
    char id[32];
    (void)snprintf(id, sizeof(id), "row-%zu", i);
    plan->id = id;
    struct program *p = scene_program(c, plan);
    if (row->words[0] != '\0')
        is_refused(c, p, id, row);
    else
        is_taken(c, p, id, row);
    scene_leaves(c, p);
}

static void
each_period_is_taken_or_refused_as_the_table_says(void **state)
{
    struct scene *c = *state;
    struct opencti_row *rows = calloc(OPENCTI_ROWS_MAX, sizeof(*rows));
    size_t n = table("## Periods, one by one", rows, 85);
    (void)orders_give(scene_gateway(c, "2s", true), "drain", NULL);
    for (size_t i = 0; i < n; i++)
        has_its_row(c, i, &rows[i], &(struct program_plan){.period = rows[i].given});
    free(rows);
}

static enum sluice_unit
unit_of(const char *name)
{
    static const char *const names[] = {"SECONDS", "MINUTES", "HOURS", "DAYS", "WEEKS", "YEARS"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return (enum sluice_unit)((int)SLUICE_SECONDS + (int)i);
    fail_msg("%s is not a unit", name);
    return SLUICE_SECONDS;
}

static void
each_period_in_units_is_taken_or_refused_as_the_table_says(void **state)
{
    struct scene *c = *state;
    struct opencti_row *rows = calloc(OPENCTI_ROWS_MAX, sizeof(*rows));
    size_t n = table("## Periods in units", rows, 13);
    (void)orders_give(scene_gateway(c, "2s", true), "drain", NULL);
    for (size_t i = 0; i < n; i++) {
        char *unit;
        double number = strtod(rows[i].given, &unit);
        has_its_row(c, i, &rows[i], &(struct program_plan){.n = number, .unit = unit_of(unit + 1)});
    }
    free(rows);
}

static void
each_threshold_is_taken_or_refused_as_the_table_says(void **state)
{
    struct scene *c = *state;
    struct opencti_row *rows = calloc(OPENCTI_ROWS_MAX, sizeof(*rows));
    size_t n = table("## Thresholds", rows, 8);
    (void)orders_give(scene_gateway(c, "2s", true), "drain", NULL);
    for (size_t i = 0; i < n; i++) {
        struct program_plan plan = {.period = "PT1H", .opt.has_threshold = 1};
        plan.opt.threshold_mb = strtod(rows[i].given, NULL);
        has_its_row(c, i, &rows[i], &plan);
    }
    free(rows);
}

/* --- a connector that says what is wrong --- */

static struct wire_msg
each_ms(uint64_t ms)
{
    return (struct wire_msg){.type = WIRE_READY,
                             .has = BIT(WIRE_F_WANT) | BIT(WIRE_F_HEAD) | BIT(WIRE_F_SCHEDULE) | BIT(WIRE_F_PERIOD_MS),
                             .schedule = WIRE_S_PERIOD,
                             .period_ms = ms};
}

static struct wire_msg
names_run(enum wire_type type, const uint8_t *run)
{
    struct wire_msg m = {.type = type, .has = BIT(WIRE_F_RUN), .outcome = WIRE_OUT_OK};
    m.has |= type == WIRE_DONE ? BIT(WIRE_F_OUTCOME) : BIT(WIRE_F_SEEN) | BIT(WIRE_F_WANT) | BIT(WIRE_F_HEAD);
    memcpy(m.run, run, sizeof(m.run));
    return m;
}

static void
says(struct peer *p, struct wire_msg m)
{
    peer_send(p, &m, NULL, 0);
}

/* The error of this code, with words that the document quotes. */
static void
hears_error(struct peer *p, enum wire_reason code)
{
    char words[300];
    const struct wire_msg *m = peer_await_error(p, code, PATIENCE_MS);
    assert_non_null(m);
    assert_false(m->fatal);
    (void)snprintf(words, sizeof(words), "%.*s", (int)m->text.len, m->text.at);
    if (!opencti_quotes(words))
        fail_msg("the document does not quote: %s", words);
}

/* The answer to the end of this run. */
static void
hears_end(struct peer *p, const uint8_t *run)
{
    const struct wire_msg *m;
    do {
        m = peer_await(p, WIRE_HOLD, PATIENCE_MS);
        assert_non_null(m);
    } while (!WIRE_HAS(m, WIRE_F_RUN));
    assert_memory_equal(m->run, run, WIRE_RUN_LEN);
}

static void
hears_permit(struct peer *p, uint8_t *run)
{
    const struct wire_msg *m = peer_await(p, WIRE_PERMIT, PATIENCE_MS);
    assert_non_null(m);
    memcpy(run, m->run, WIRE_RUN_LEN);
}

static void
an_end_without_a_permit_or_of_another_run_ends_nothing(void **state)
{
    static const uint8_t another[WIRE_RUN_LEN] = {1};
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "5s", true);
    uint8_t run[WIRE_RUN_LEN];
    struct peer *p = scene_peer(c);
    assert_non_null(peer_hello(p, "wrong", 1, true, 0));
    says(p, names_run(WIRE_DONE, another));
    hears_error(p, WIRE_R_NO_RUN);
    assert_int_equal(orders_status(g, "wrong").last_run_ms, 0);
    says(p, each_ms(HOUR_MS));
    hears_permit(p, run);
    says(p, names_run(WIRE_DONE, another));
    hears_error(p, WIRE_R_NO_RUN);
    assert_true(orders_status(g, "wrong").running);
    says(p, names_run(WIRE_DONE, run));
    hears_end(p, run);
    struct standing s = orders_status(g, "wrong");
    assert_true(!s.running && s.last_run_ms > 0);
    says(p, names_run(WIRE_DONE, run)); /* told twice, it is answered twice */
    hears_end(p, run);
    says(p, names_run(WIRE_PING, run)); /* and a ping brings it not back */
    hears_end(p, run);
    struct standing after = orders_status(g, "wrong");
    assert_false(after.running);
    assert_int_equal(after.last_run_ms, s.last_run_ms);
    assert_int_equal(after.next_run_ms, s.next_run_ms);
}

static void
a_period_that_cannot_be_is_refused_by_the_gateway_too_and_changes_nothing(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "5s", true);
    uint8_t run[WIRE_RUN_LEN];
    struct peer *p = scene_peer(c);
    assert_non_null(peer_hello(p, "short", 1, true, 0));
    says(p, each_ms(999));
    hears_error(p, WIRE_R_SCHEDULE);
    assert_string_equal(orders_status(g, "short").kind, "none");
    says(p, each_ms(HOUR_MS));
    hears_permit(p, run);
    says(p, each_ms(1));
    hears_error(p, WIRE_R_SCHEDULE);
    assert_int_equal(orders_status(g, "short").period_ms, HOUR_MS);
    assert_true(orders_status(g, "short").running);
}

static void
a_second_hello_finds_the_run_that_is_under_way(void **state)
{
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "5s", true);
    uint8_t run[WIRE_RUN_LEN], again[WIRE_RUN_LEN];
    struct peer *p = scene_peer(c);
    assert_non_null(peer_hello(p, "twice", 1, true, 0));
    says(p, each_ms(HOUR_MS));
    hears_permit(p, run);
    assert_non_null(peer_hello(p, "twice", 1, false, 0));
    assert_true(orders_status(g, "twice").running);
    says(p, each_ms(HOUR_MS));
    hears_permit(p, again);
    assert_memory_equal(run, again, sizeof(run));
    assert_int_equal(orders_journal(g, "twice", "permit", 1), 1);
}

/* --- an operator who does --- */

static void
that_telemetry_is_off_is_said_with_every_status(void **state)
{
    struct scene *c = *state;
    orders_await_warning(scene_gateway(c, "5s", true), 0, "telemetry.source is off: no queue holds anybody");
}

static void
what_an_operator_writes_wrong_is_answered_and_does_nothing(void **state)
{
    static const struct {
        const char *line, *words;
    } rows[] = {
        {"{\"do\":\"pause\",\"connector\":\"feeed\"}", "there is no connector \"feeed\"; did you mean \"feed\"?"},
        {"{\"do\":\"run\",\"connector\":\"other\"}", "there is no connector \"other\": status without a connector"},
        {"{\"do\":\"paus\",\"connector\":\"feed\"}", "did you mean \"pause\"?"},
        {"{\"do\":\"pause\"}", "pause needs a connector"},
        {"{\"do\":\"drain\",\"connector\":\"feed\"}", "drain is for the whole gateway"},
        {"{\"do\":\"run\",\"connector\":\"feed\"}", "feed runs already"},
        {"{\"do\":\"status\",\"connector\":\"../etc\"}", "is not an id"},
        {"{\"do\":1}", "do: it must be a text"},
        {"[]", "a request is an object"},
        {"\x01\xff\xfe", "not a line of JSON"},
        {"GET / HTTP/1.1", "not a line of JSON"},
    };
    struct scene *c = *state;
    struct sluiced *g = scene_gateway(c, "5s", true);
    char words[300], *flood = malloc(100000);
    uint8_t run[WIRE_RUN_LEN];
    struct peer *p = scene_peer(c);
    assert_non_null(flood);
    assert_non_null(peer_hello(p, "feed", 1, true, 0));
    says(p, each_ms(HOUR_MS));
    hears_permit(p, run);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        orders_refused(g, rows[i].line, words, sizeof(words));
        if (strstr(words, rows[i].words) == NULL)
            fail_msg("%s: %s", rows[i].line, words);
    }
    memset(flood, '{', 100000);
    orders_send(g, flood, 100000, words, sizeof(words)); /* what it says of that may be lost with the connection */
    free(flood);
    struct standing s = orders_status(g, "feed");
    assert_true(s.running && !s.paused);
    assert_string_equal(s.reasons, "");
}

#define SCENE(f) cmocka_unit_test_setup_teardown(f, scene_begin, scene_end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(each_period_is_taken_or_refused_as_the_table_says),
        SCENE(each_period_in_units_is_taken_or_refused_as_the_table_says),
        SCENE(each_threshold_is_taken_or_refused_as_the_table_says),
        SCENE(an_end_without_a_permit_or_of_another_run_ends_nothing),
        SCENE(a_period_that_cannot_be_is_refused_by_the_gateway_too_and_changes_nothing),
        SCENE(a_second_hello_finds_the_run_that_is_under_way),
        SCENE(that_telemetry_is_off_is_said_with_every_status),
        SCENE(what_an_operator_writes_wrong_is_answered_and_does_nothing),
    };
    char top[600];
    (void)setenv("SLUICE_SOURCE", world_source(".", top, sizeof(top)), 0);
    return cmocka_run_group_tests_name("schedules, as they are written", tests, scene_open, scene_close);
}
