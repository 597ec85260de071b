/* What cisa-kev makes of a feed, and what it remembers.  HTTP is in kev_http_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cisa-kev/cursor.h"
#include "cisa-kev/feed.h"
#include "cisa-kev/id.h"
#include "cisa-kev/run.h"
#include "cisa-kev/sample.h"
#include "cisa-kev/stix.h"
#include "err.h"
#include "kit/setup.h"
#include "kit/stop.h"
#include "sluice_double.h"

struct world {
    struct sluice_double gw;
    struct kev_options   opt;
    char  dir[64], feed[96];
    char *out, *said; /* of the last run */
};

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    snprintf(w->dir, sizeof(w->dir), "/tmp/kev-test-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->feed, sizeof(w->feed), "%s/feed.json", w->dir);
    w->gw.max_bundle = 1 << 20;
    sluice_double_use(&w->gw);
    kev_options_default(&w->opt);
    w->opt.feed = w->feed;
    w->opt.may_sample = false;
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    unlink(w->feed);
    rmdir(w->dir);
    stop_set(0);
    sluice_double_free(&w->gw);
    free(w->out);
    free(w->said);
    free(w);
    return 0;
}

static void
feed_is(struct world *w, const char *text, size_t len)
{
    int fd = open(w->feed, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

static void
feed_is_sample(struct world *w)
{
    size_t len;
    const char *text = kev_sample(&len);

    feed_is(w, text, len);
}

static enum exits
run(struct world *w)
{
    size_t n_out, n_said;
    FILE *out, *said;
    enum exits status;

    free(w->out);
    free(w->said);
    out = open_memstream(&w->out, &n_out);
    said = open_memstream(&w->said, &n_said);
    assert_non_null(out);
    assert_non_null(said);
    status = kev_run(&w->opt, out, said);
    fclose(out);
    fclose(said);
    return status;
}

static json_t *
bundle_at(const struct world *w, size_t i)
{
    json_t *root = json_loadb(w->gw.bundle[i].body, w->gw.bundle[i].len, JSON_REJECT_DUPLICATES, NULL);

    assert_non_null(root);
    return root;
}

static const char *
text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    assert_non_null(text);
    return text;
}

/* Every bundle: its identity is there, its references lead to it, its ids are new to `ids`. */
static void
check_bundles(const struct world *w, json_t *ids)
{
    for (size_t i = 0; i < w->gw.n_bundles; i++) {
        json_t *root = bundle_at(w, i), *objects = json_object_get(root, "objects");
        const char *cisa = text_in(json_array_get(objects, 0), "id");

        assert_string_equal(text_in(root, "type"), "bundle");
        assert_null(json_object_get(ids, text_in(root, "id")));
        json_object_set_new(ids, text_in(root, "id"), json_true());
        for (size_t k = 1; k < json_array_size(objects); k++) {
            const json_t *v = json_array_get(objects, k);

            assert_string_equal(text_in(v, "created_by_ref"), cisa);
            assert_string_equal(text_in(v, "type"), "vulnerability");
            assert_null(json_object_get(ids, text_in(v, "id")));
            json_object_set_new(ids, text_in(v, "id"), json_true());
        }
        json_decref(root);
    }
}

/* Expected values from Python: uuid.uuid5(uuid.UUID("00abedb4-..."), '{"name":"cve-2021-44228"}'). */
static void
ids_are_those_that_opencti_gives(void **state)
{
    char id[KEV_ID_LEN], again[KEV_ID_LEN];

    (void)state;
    assert_int_equal(kev_id_vulnerability("CVE-2021-44228", id), 0);
    assert_string_equal(id, "vulnerability--693c68fd-9a33-5d6d-b44e-407b6a48b05b");
    assert_int_equal(kev_id_vulnerability("cve-2021-44228", again), 0);
    assert_string_equal(id, again);
    assert_int_equal(kev_id_cisa(id), 0);
    assert_string_equal(id, "identity--0f1b6dfc-fae2-5617-b9d1-07508f3af52f");
}

static void
the_sample_becomes_a_bundle_for_each_entry(void **state)
{
    struct world *w = *state;
    json_t *ids = json_object();

    feed_is_sample(w);
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 12);
    check_bundles(w, ids);
    assert_int_equal(json_object_size(ids), 24);
    assert_non_null(strstr(w->out, "pushed=12 acked=12 nacked=0"));
    assert_non_null(strstr(w->out, "new=12 known=0"));
    assert_string_equal(w->gw.bundle[0].ctype, KEV_CONTENT_TYPE);
    assert_true(w->gw.flushed_before_set);
    json_decref(ids);
}

static void
a_vulnerability_says_what_the_feed_says(void **state)
{
    struct world *w = *state;
    json_t *root, *v, *refs;

    feed_is_sample(w);
    assert_int_equal(run(w), EXITS_OK);
    root = bundle_at(w, 1); /* oldest first */
    v = json_array_get(json_object_get(root, "objects"), 1);
    refs = json_object_get(v, "external_references");
    assert_string_equal(text_in(v, "name"), "CVE-1999-99902");
    assert_string_equal(text_in(v, "created"), "2030-10-31T00:00:00.000Z");
    assert_string_equal(text_in(v, "modified"), "2030-10-31T00:00:00.000Z");
    assert_string_equal(text_in(v, "x_kev_vendor"), "F\xc3\xb8rde Software");
    assert_string_equal(text_in(v, "x_kev_due_date"), "2030-11-28");
    assert_true(json_is_true(json_object_get(v, "x_kev_known_ransomware_use")));
    assert_string_equal(json_string_value(json_array_get(json_object_get(v, "labels"), 1)), "ransomware");
    assert_int_equal(json_array_size(refs), 5); /* cve, nvd (once), catalogue, one of the notes, cwe */
    assert_string_equal(text_in(json_array_get(refs, 0), "external_id"), "CVE-1999-99902");
    assert_string_equal(text_in(json_array_get(refs, 1), "url"), "https://nvd.nist.gov/vuln/detail/CVE-1999-99902");
    assert_string_equal(text_in(json_array_get(refs, 3), "url"), "https://vendor.example/advisories/99902");
    assert_string_equal(text_in(json_array_get(refs, 4), "external_id"), "CWE-284");
    json_decref(root);
}

static void
links_are_found_between_the_words_of_the_notes(void **state)
{
    static const char notes[] = "See (https://a.example/x_(y)), https://b.example/?p=q;a=blob;h=1, text;"
                                "HTTPS://c.example;https://d.example/. https:// http://a.example https://d.example/";
    static const char *const want[] = {"https://a.example/x_(y)", "https://b.example/?p=q;a=blob;h=1",
                                       "HTTPS://c.example", "https://d.example/", "http://a.example"};
    struct kev_urls urls;

    (void)state;
    kev_urls_find(notes, &urls);
    assert_int_equal(urls.n, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(urls.url[i].len, strlen(want[i]));
        assert_memory_equal(urls.url[i].at, want[i], urls.url[i].len);
    }
}

static void
the_same_feed_gives_the_same_bytes(void **state)
{
    struct world *w = *state;
    void *first;
    size_t len;

    feed_is_sample(w);
    w->opt.per_bundle = 5;
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 3);
    len = w->gw.bundle[2].len;
    first = malloc(len);
    assert_non_null(first);
    memcpy(first, w->gw.bundle[2].body, len);
    sluice_double_forget(&w->gw);
    w->opt.reset_state = true;
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.bundle[2].len, len);
    assert_memory_equal(w->gw.bundle[2].body, first, len);
    free(first);
}

static void
a_second_run_sends_nothing_and_leaves_the_state(void **state)
{
    struct world *w = *state;

    feed_is_sample(w);
    assert_int_equal(run(w), EXITS_OK);
    sluice_double_forget(&w->gw);
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 0);
    assert_int_equal(w->gw.state_sets, 1);
    assert_non_null(strstr(w->out, "pushed=0"));
    assert_non_null(strstr(w->out, "new=0 known=12"));
}

/* The sample with one entry more in front, of this day. */
static void
feed_is_sample_and(struct world *w, const char *cve, const char *added)
{
    size_t len;
    const char *text = kev_sample(&len);
    json_t *root = json_loadb(text, len, 0, NULL), *list = json_object_get(root, "vulnerabilities");
    json_t *more = json_deep_copy(json_array_get(list, 0));
    char *all;

    json_object_set_new(more, "cveID", json_string(cve));
    json_object_set_new(more, "dateAdded", json_string(added));
    json_array_insert_new(list, 0, more);
    json_object_set_new(root, "count", json_integer((json_int_t)json_array_size(list)));
    all = json_dumps(root, 0);
    feed_is(w, all, strlen(all));
    free(all);
    json_decref(root);
}

static void
one_more_entry_is_sent_alone(void **state)
{
    static const char *const days[] = {"2031-02-14", "2031-02-15"}; /* the newest day of the sample, and the next */
    struct world *w = *state;

    for (size_t i = 0; i < 2; i++) {
        feed_is_sample(w);
        w->opt.reset_state = true;
        assert_int_equal(run(w), EXITS_OK);
        w->opt.reset_state = false;
        sluice_double_forget(&w->gw);
        feed_is_sample_and(w, "CVE-1999-99999", days[i]);
        assert_int_equal(run(w), EXITS_OK);
        assert_int_equal(w->gw.n_bundles, 1);
        assert_non_null(strstr(w->out, "new=1 known=12"));
        sluice_double_forget(&w->gw);
        assert_int_equal(run(w), EXITS_OK);
        assert_int_equal(w->gw.n_bundles, 0);
    }
}

static void
a_refused_bundle_is_named_and_the_state_stays(void **state)
{
    struct world *w = *state;

    feed_is_sample(w);
    w->gw.refuse_from = w->gw.refuse_to = 3;
    assert_int_equal(run(w), EXITS_REFUSED);
    assert_non_null(strstr(w->said, "CVE-1999-99903: refused (unroutable): no queue is bound"));
    assert_non_null(strstr(w->out, "pushed=12 acked=11 nacked=1"));
    assert_int_equal(w->gw.state_sets, 0);
}

static void
a_state_of_somebody_else_is_not_overwritten(void **state)
{
    struct world *w = *state;

    feed_is_sample(w);
    w->gw.state_stale = true;
    assert_int_equal(run(w), EXITS_REPLACED);
    w->gw.state_stale = false;
    w->gw.state = strdup("{\"last_run\": 17}");
    w->gw.state_len = strlen(w->gw.state);
    w->gw.state_version = 4;
    assert_int_equal(run(w), EXITS_DATA);
    assert_non_null(strstr(w->said, "--reset-state"));
    assert_int_equal(w->gw.state_sets, 0);
}

static void
another_feed_starts_anew(void **state)
{
    struct world *w = *state;
    char *was;

    feed_is_sample(w);
    assert_int_equal(run(w), EXITS_OK);
    was = strstr(w->gw.state, "feed.json");
    assert_non_null(was);
    memcpy(was, "fool.json", 9);
    sluice_double_forget(&w->gw);
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 12);
    assert_non_null(strstr(w->said, "counts as new"));
}

static void
a_stop_leaves_the_state_and_asks_to_run_again(void **state)
{
    struct world *w = *state;

    feed_is_sample(w);
    stop_set(1);
    assert_int_equal(run(w), EXITS_LATER);
    assert_int_equal(w->gw.n_bundles, 0);
    assert_int_equal(w->gw.state_sets, 0);
}

static void
a_gateway_that_is_not_there_is_given_up_in_time(void **state)
{
    struct world *w = *state;

    w->gw.no_gateway = true;
    w->opt.wait_ms = 10;
    assert_int_equal(run(w), EXITS_LATER);
    assert_non_null(strstr(w->said, "trying tcp://127.0.0.1:7117"));
}

/* A feed of one entry: its id and day as JSON, and what stands behind them. */
#define ENTRY(cve, added, rest) \
    "{\"count\":1,\"vulnerabilities\":[{\"cveID\":" cve ",\"dateAdded\":" added ",\"vendorProject\":\"v\"," \
    "\"product\":\"p\",\"vulnerabilityName\":\"n\",\"shortDescription\":\"d\"" rest "}]}"

/* --- by a schedule --- */

static void
stop_when_idle(const struct sluice_double *gw)
{
    (void)gw;
    stop_set(1);
}

static const struct setup *
every_two_days(void)
{
    static const struct setup setup = {.period = "P2D"};

    return &setup;
}

static const struct setup *
once_if_not_held(void)
{
    static const struct setup setup = {.period = "P0D", .schedule = {.run_and_terminate = 1}};

    return &setup;
}

static void
with_a_period_it_runs_at_each_permit_and_a_signal_between_two_is_a_good_end(void **state)
{
    struct world *w = *state;

    feed_is_sample(w);
    w->opt.setup = every_two_days();
    w->opt.reset_state = true;
    w->gw.permits = 3;
    w->gw.on_idle = stop_when_idle;
    assert_int_equal(run(w), EXITS_OK);
    assert_string_equal(w->gw.period, "P2D");
    assert_int_equal(w->gw.opens, 1);
    assert_int_equal(w->gw.runs, 3);
    assert_int_equal(w->gw.ends, 3);
    assert_int_equal(w->gw.ends_with_state, 1); /* then there is nothing new to remember, and the reset is done */
    assert_int_equal(w->gw.n_bundles, 12);
    assert_non_null(strstr(w->out, "pushed=12"));
    assert_non_null(strstr(w->out, "pushed=0 acked=0")); /* each summary is of its own run */
}

static void
a_run_that_fails_ends_as_failed_and_the_next_one_is_awaited(void **state)
{
    struct world *w = *state;

    feed_is_sample(w);
    w->opt.setup = every_two_days();
    w->gw.permits = 2;
    w->gw.refuse_from = w->gw.refuse_to = 3;
    w->gw.on_idle = stop_when_idle;
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.runs, 2);
    assert_int_equal(w->gw.n_bundles, 24); /* what was refused is sent again, with all of its run */
    assert_int_equal(w->gw.ends_with_state, 1);
    assert_int_equal(w->gw.outcome, SLUICE_RUN_OK);
}

static void
run_and_terminate_runs_once_or_is_held_with_status_75(void **state)
{
    struct world *w = *state;

    feed_is_sample(w);
    w->opt.setup = once_if_not_held();
    w->gw.held = true;
    assert_int_equal(run(w), 75);
    assert_int_equal(w->gw.runs, 0);
    assert_non_null(strstr(w->said, "held by queue"));
    w->gw.permits = 2;
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.runs, 1);
    assert_int_equal(w->gw.ends_with_state, 1);
}

static void
a_run_that_was_put_away_leaves_the_state(void **state)
{
    struct world *w = *state;

    feed_is_sample(w);
    w->opt.setup = once_if_not_held();
    w->gw.permits = 1;
    w->gw.superseded = true;
    assert_int_equal(run(w), EXITS_REPLACED);
    assert_int_equal(w->gw.state_sets, 0);
    assert_non_null(strstr(w->said, "another run is current"));
}

static void
stop_in_a_run(const struct sluice_double *gw)
{
    if (gw->n_bundles == 5)
        stop_set(1);
}

static void
a_signal_in_a_run_ends_it_as_stopped(void **state)
{
    struct world *w = *state;

    feed_is_sample(w);
    w->opt.setup = every_two_days();
    w->gw.permits = 2;
    w->gw.on_push = stop_in_a_run;
    assert_int_equal(run(w), EXITS_LATER);
    assert_int_equal(w->gw.runs, 1);
    assert_int_equal(w->gw.ends, 1);
    assert_int_equal(w->gw.outcome, SLUICE_RUN_STOP);
    assert_int_equal(w->gw.state_sets, 0);
}

static void
a_malformed_feed_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *feed, *said;
    } rows[] = {
        {"", "is empty"},
        {"<html>", "line 1, column"},
        {"{\"vulnerabilities\":[{]}", "line 1, column"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"[]", "no list \"vulnerabilities\""},
        {"{\"vulnerabilities\":{}}", "no list \"vulnerabilities\""},
        {"{\"count\":2,\"vulnerabilities\":[]}", "\"count\" is not the 0 entries"},
        {"{\"vulnerabilities\":[7]}", "vulnerabilities[0] is not an object"},
        {"{\"vulnerabilities\":[{}]}", "vulnerabilities[0].cveID is missing"},
        {ENTRY("7", "\"2021-01-01\"", ""), "vulnerabilities[0].cveID is not a text"},
        {ENTRY("\"CVE-21-1\"", "\"2021-01-01\"", ""), "cveID is \"CVE-21-1\""},
        {ENTRY("\"CVE-2021-0001\"", "\"2021-02-29\"", ""), "dateAdded is \"2021-02-29\""},
        {ENTRY("\"CVE-2021-0001\"", "\"21-02-2019\"", ""), "dateAdded is"},
        {ENTRY("\"CVE-2021-0001\"", "\"2021-02-20\"", ",\"dueDate\":\"soon\""), "dueDate is \"soon\""},
        {ENTRY("\"CVE-2021-0001\"", "\"2021-02-20\"", ",\"cwes\":\"CWE-1\""), "cwes is not a list"},
        {ENTRY("\"CVE-2021-0001\"", "\"2021-02-20\"", ",\"cwes\":[1]"), "cwes[0] is not a text"},
        {ENTRY("\"CVE-2021-0001\"", "\"2021-02-20\"", ",\"notes\":\"\\ud800\""), "line 1, column"},
        {"[[[[[[[[[[[[[[[[[[[[[[", "nested deeper than 16"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        feed_is(w, rows[i].feed, strlen(rows[i].feed));
        assert_int_equal(run(w), EXITS_DATA);
        if (strstr(w->said, rows[i].said) == NULL)
            fail_msg("feed %zu: said \"%s\"", i, w->said);
        assert_int_equal(w->gw.n_bundles, 0);
    }
    feed_is_sample_and(w, "CVE-1999-99905", "2031-01-01");
    assert_int_equal(run(w), EXITS_DATA);
    assert_non_null(strstr(w->said, "vulnerabilities[8].cveID is CVE-1999-99905, as vulnerabilities[0] is"));
    assert_int_equal(w->gw.state_sets, 0);
}

static void
a_feed_that_is_no_regular_file_is_refused_in_words_and_not_waited_for(void **state)
{
    struct world *w = *state;

    assert_int_equal(mkfifo(w->feed, 0600), 0);
    alarm(10); /* to open it is to wait for who writes */
    assert_int_equal(run(w), EXITS_USAGE);
    alarm(0);
    assert_non_null(strstr(w->said, "feed.json is a pipe, and no regular file: save the feed in a file"));
    w->opt.feed = w->dir;
    assert_int_equal(run(w), EXITS_USAGE);
    assert_non_null(strstr(w->said, "is a folder, and no regular file"));
    w->opt.feed = "/dev/zero";
    assert_int_equal(run(w), EXITS_USAGE);
    assert_non_null(strstr(w->said, "/dev/zero is a device or a socket"));
}

static void
a_feed_of_too_many_values_is_refused_before_it_is_parsed(void **state)
{
    size_t len = 2 * (KEV_VALUES_MAX + 2);
    char *text = malloc(len);
    struct err err;

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < len; i += 2)
        memcpy(text + i, "0,", 2);
    text[0] = '[';
    assert_null(kev_feed_parse(text, len, &err));
    assert_int_equal(err.code, ERR_PROTO);
    assert_non_null(strstr(err.text, "more than 2000000 values"));
    free(text);
}

static void
a_file_that_is_not_there_is_an_unavailable_feed(void **state)
{
    struct world *w = *state;

    assert_int_equal(run(w), EXITS_UNAVAILABLE);
    assert_non_null(strstr(w->said, w->feed));
}

static void
the_real_catalogue_maps_whole(void **state)
{
    struct world *w = *state;
    const char *shared = getenv("SLUICE_SHARED");
    char path[512];
    json_t *ids;

    snprintf(path, sizeof(path), "%s/data/known_exploited_vulnerabilities.json", shared != NULL ? shared : "../shared");
    if (access(path, R_OK) != 0) {
        print_message("no %s: set SLUICE_SHARED to the folder that has it\n", path);
        skip();
    }
    w->opt.feed = path;
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 1404);
    ids = json_object();
    check_bundles(w, ids);
    assert_int_equal(json_object_size(ids), 2 * 1404);
    json_decref(ids);
    sluice_double_forget(&w->gw);
    assert_int_equal(run(w), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 0);
    assert_non_null(strstr(w->out, "new=0 known=1404"));
}

#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_that_opencti_gives),
        cmocka_unit_test(links_are_found_between_the_words_of_the_notes),
        cmocka_unit_test(a_feed_of_too_many_values_is_refused_before_it_is_parsed),
        WITH_WORLD(the_sample_becomes_a_bundle_for_each_entry),
        WITH_WORLD(a_vulnerability_says_what_the_feed_says),
        WITH_WORLD(the_same_feed_gives_the_same_bytes),
        WITH_WORLD(a_second_run_sends_nothing_and_leaves_the_state),
        WITH_WORLD(one_more_entry_is_sent_alone),
        WITH_WORLD(a_refused_bundle_is_named_and_the_state_stays),
        WITH_WORLD(a_state_of_somebody_else_is_not_overwritten),
        WITH_WORLD(another_feed_starts_anew),
        WITH_WORLD(a_feed_that_is_no_regular_file_is_refused_in_words_and_not_waited_for),
        WITH_WORLD(a_stop_leaves_the_state_and_asks_to_run_again),
        WITH_WORLD(a_gateway_that_is_not_there_is_given_up_in_time),
        WITH_WORLD(with_a_period_it_runs_at_each_permit_and_a_signal_between_two_is_a_good_end),
        WITH_WORLD(a_run_that_fails_ends_as_failed_and_the_next_one_is_awaited),
        WITH_WORLD(run_and_terminate_runs_once_or_is_held_with_status_75),
        WITH_WORLD(a_run_that_was_put_away_leaves_the_state),
        WITH_WORLD(a_signal_in_a_run_ends_it_as_stopped),
        WITH_WORLD(a_malformed_feed_is_refused_with_its_place),
        WITH_WORLD(a_file_that_is_not_there_is_an_unavailable_feed),
        WITH_WORLD(the_real_catalogue_maps_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
