/* How cisa-kev gets its feed over HTTP, and what it does when that goes wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cisa-kev/fetch.h"
#include "cisa-kev/run.h"
#include "cisa-kev/sample.h"
#include "clock.h"
#include "err.h"
#include "kit/stop.h"
#include "sluice_double.h"
#include "tiny_http.h"

struct world {
    struct sluice_double gw;
    struct kev_options   opt;
    struct tiny_http     http;
    char  url[256];
    char  seen[TINY_REQUEST_MAX + 1]; /* the last request */
    char *out, *said;                 /* of the last run */
};

static void
answer_feed(const char *request, int socket)
{
    size_t len;
    const char *sample = kev_sample(&len);

    if (strstr(request, "If-None-Match: \"v1\"\r\n") != NULL) {
        tiny_http_say(socket, "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nConnection: close\r\n\r\n");
        return;
    }
    tiny_http_say(socket, "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nLast-Modified: Fri, 14 Feb 2031 12:00:00 GMT\r\n"
                          "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                  len);
    tiny_http_write(socket, sample, len);
}

/* No end, no length: until the client has enough. */
static void
answer_flood(int socket, const char *headers, useconds_t pause, size_t step)
{
    char junk[4096];

    memset(junk, ' ', sizeof(junk));
    tiny_http_say(socket, "HTTP/1.1 200 OK\r\n%sConnection: close\r\n\r\n", headers);
    while (tiny_http_write(socket, junk, step) == 0)
        usleep(pause);
}

static void
answer(void *ctx, const char *request, int socket)
{
    struct world *w = ctx;
    const char *path = strchr(request, ' ') + 1;

    snprintf(w->seen, sizeof(w->seen), "%s", request);
    if (strncmp(path, "/hop", 4) == 0 && path[4] > '1')
        tiny_http_say(socket, "HTTP/1.1 302 Found\r\nLocation: /hop%c\r\nConnection: close\r\n\r\n", path[4] - 1);
    else if (strncmp(path, "/hop1", 5) == 0)
        tiny_http_say(socket, "HTTP/1.1 301 Moved\r\nLocation: /feed\r\nConnection: close\r\n\r\n");
    else if (strncmp(path, "/away", 5) == 0)
        tiny_http_say(socket, "HTTP/1.1 302 Found\r\nLocation: file:///etc/hostname\r\nConnection: close\r\n\r\n");
    else if (strncmp(path, "/500", 4) == 0 || strncmp(path, "/403", 4) == 0 || strncmp(path, "/304", 4) == 0)
        tiny_http_say(socket, "HTTP/1.1 %.3s Trouble\r\nConnection: close\r\n\r\n", path + 1);
    else if (strncmp(path, "/slow", 5) == 0)
        answer_flood(socket, "", 20000, 1);
    else if (strncmp(path, "/flood", 6) == 0)
        answer_flood(socket, "", 0, 4096);
    else if (strncmp(path, "/announced", 10) == 0)
        answer_flood(socket, "Content-Length: 9999999999\r\n", 0, 4096);
    else if (strncmp(path, "/short", 6) == 0)
        tiny_http_say(socket, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{\"count\":");
    else if (strncmp(path, "/html", 5) == 0)
        tiny_http_say(socket, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>Please log in</html>");
    else if (strncmp(path, "/noise", 6) == 0)
        tiny_http_say(socket, "\x16\x03\x01 this is not HTTP\r\n\r\n");
    else
        answer_feed(request, socket);
}

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    setenv("no_proxy", "*", 1); /* loopback is meant, whatever the environment says */
    w->gw.max_bundle = 1 << 20;
    sluice_double_use(&w->gw);
    tiny_http_start(&w->http, answer, w);
    kev_options_default(&w->opt);
    w->opt.feed = w->url;
    w->opt.may_sample = false;
    w->opt.total_ms = 30000;
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    stop_set(0);
    tiny_http_stop(&w->http);
    sluice_double_free(&w->gw);
    free(w->out);
    free(w->said);
    free(w);
    return 0;
}

/* Run with the feed at this path of the server. */
static enum exits
run(struct world *w, const char *path)
{
    size_t n_out, n_said;
    FILE *out, *said;
    enum exits status;

    snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d%s", w->http.port, path);
    sluice_double_forget(&w->gw);
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

static void
what_is_unmodified_is_not_sent_again(void **state)
{
    struct world *w = *state;

    assert_int_equal(run(w, "/feed"), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 12);
    assert_null(strstr(w->seen, "If-"));
    assert_int_equal(run(w, "/feed"), EXITS_OK);
    assert_non_null(strstr(w->seen, "If-None-Match: \"v1\"\r\n"));
    assert_non_null(strstr(w->seen, "If-Modified-Since: Fri, 14 Feb 2031 12:00:00 GMT\r\n"));
    assert_int_equal(w->gw.n_bundles, 0);
    assert_non_null(strstr(w->out, "pushed=0"));
    assert_non_null(strstr(w->out, "source=unmodified"));
    w->opt.reset_state = true;
    assert_int_equal(run(w, "/feed"), EXITS_OK);
    assert_null(strstr(w->seen, "If-None-Match"));
    assert_int_equal(w->gw.n_bundles, 12);
}

static void
nothing_is_asked_for_compressed(void **state)
{
    struct world *w = *state;

    assert_int_equal(run(w, "/feed"), EXITS_OK);
    assert_null(strcasestr(w->seen, "accept-encoding"));
}

static void
three_redirects_are_followed_and_no_more(void **state)
{
    struct world *w = *state;

    assert_int_equal(run(w, "/hop3"), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 12);
    assert_int_equal(run(w, "/hop4"), EXITS_UNAVAILABLE);
    assert_non_null(strstr(w->said, "more than 3 redirects"));
    assert_int_equal(run(w, "/away"), EXITS_UNAVAILABLE);
    assert_non_null(strstr(w->said, "redirected to nowhere that http or https can reach"));
}

static void
an_answer_that_is_no_feed_is_named(void **state)
{
    static const struct {
        const char *path;
        enum exits  status;
        const char *said;
    } rows[] = {
        {"/500", EXITS_UNAVAILABLE, "answered with status 500"},
        {"/403", EXITS_UNAVAILABLE, "refused with status 403"},
        {"/304", EXITS_UNAVAILABLE, "answered with status 304"}, /* nobody asked whether it is new */
        {"/short", EXITS_UNAVAILABLE, "/short: "},
        {"/noise", EXITS_UNAVAILABLE, "/noise: "},
        {"/html", EXITS_DATA, "not JSON at line 1"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(run(w, rows[i].path), rows[i].status);
        if (strstr(w->said, rows[i].said) == NULL)
            fail_msg("%s: said \"%s\"", rows[i].path, w->said);
        assert_int_equal(w->gw.state_sets, 0);
    }
}

static void
a_slow_server_is_given_up_in_time(void **state)
{
    struct world *w = *state;
    int64_t start = clock_mono_us();

    w->opt.total_ms = 300;
    w->opt.idle_s = 60; /* not what ends it */
    assert_int_equal(run(w, "/slow"), EXITS_UNAVAILABLE);
    assert_true(clock_mono_us() - start < 20000000);
    w->opt.total_ms = 120000; /* at less than 1000 bytes a second */
    w->opt.idle_s = 1;
    start = clock_mono_us();
    assert_int_equal(run(w, "/slow"), EXITS_UNAVAILABLE);
    assert_true(clock_mono_us() - start < 60000000);
}

static void
a_body_beyond_the_cap_is_cut(void **state)
{
    static const char *const paths[] = {"/flood", "/announced"};
    struct world *w = *state;
    struct kev_fetch f = {.feed = w->url, .etag = "", .last_modified = "", .cap = 1 << 20, .connect_ms = 1000,
                          .total_ms = 20000, .idle_s = 5};
    struct kev_page page;
    struct err err;

    for (size_t i = 0; i < 2; i++) {
        snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d%s", w->http.port, paths[i]);
        assert_int_equal(kev_fetch(&f, &page, &err), -1);
        assert_int_equal(err.code, ERR_IO);
        assert_non_null(strstr(err.text, "more than 1048576 bytes"));
    }
}

static void
no_secret_of_the_url_is_written(void **state)
{
    struct world *w = *state;
    char name[KEV_SOURCE_MAX];

    kev_source_name("https://user:se@cret@host.example:8443/a/b?token=secret#x", name, sizeof(name));
    assert_string_equal(name, "https://host.example:8443/a/b");
    snprintf(name, sizeof(name), "/500?token=secret");
    assert_int_equal(run(w, name), EXITS_UNAVAILABLE);
    assert_null(strstr(w->said, "secret"));
    assert_int_equal(run(w, "/feed?token=secret"), EXITS_OK);
    assert_non_null(strstr(w->seen, "/feed?token=secret"));
    assert_null(strstr(w->gw.state, "secret"));
}

/* A port of ours where nobody listens any more. */
static void
nobody_is_there(struct world *w)
{
    struct tiny_http gone;

    tiny_http_start(&gone, answer, w);
    tiny_http_stop(&gone);
    snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d/feed", gone.port);
}

static enum exits
run_without_network(struct world *w)
{
    char url[sizeof(w->url)];
    enum exits status;

    nobody_is_there(w);
    snprintf(url, sizeof(url), "%s", w->url);
    w->opt.feed = url;
    status = run(w, "/unused");
    w->opt.feed = w->url;
    return status;
}

static void
without_a_network_the_sample_goes_and_says_so(void **state)
{
    struct world *w = *state;

    w->opt.may_sample = true;
    assert_int_equal(run_without_network(w), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 12);
    assert_non_null(strstr(w->said, "NO NETWORK: sending the built-in SAMPLE"));
    assert_non_null(strstr(w->out, "source=sample"));
    assert_int_equal(run_without_network(w), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 0);
}

static void
the_sample_never_goes_where_it_was_not_wanted(void **state)
{
    struct world *w = *state;

    assert_int_equal(run_without_network(w), EXITS_UNAVAILABLE); /* a feed was named */
    w->opt.may_sample = true;
    assert_int_equal(run(w, "/500"), EXITS_UNAVAILABLE); /* there is a network */
    assert_int_equal(w->gw.n_bundles, 0);
    assert_int_equal(run(w, "/feed"), EXITS_OK); /* from here on there was a real run */
    assert_int_equal(run_without_network(w), EXITS_UNAVAILABLE);
    assert_int_equal(w->gw.n_bundles, 0);
    w->opt.reset_state = true;
    assert_int_equal(run_without_network(w), EXITS_UNAVAILABLE);
    assert_int_equal(w->gw.n_bundles, 0);
}

static void
after_the_sample_all_of_the_real_feed_is_new(void **state)
{
    struct world *w = *state;

    w->opt.may_sample = true;
    assert_int_equal(run_without_network(w), EXITS_OK);
    assert_int_equal(run(w, "/feed"), EXITS_OK);
    assert_int_equal(w->gw.n_bundles, 12);
    assert_non_null(strstr(w->said, "counts as new"));
}

static void
other_schemes_are_refused_with_advice(void **state)
{
    struct err err;
    bool url;

    (void)state;
    assert_int_equal(kev_is_url("ftp://host/x", &url, &err), -1);
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "give an http(s) URL, or the path of a file"));
    assert_int_equal(kev_is_url("HTTPS://host/x", &url, &err), 0);
    assert_true(url);
    assert_int_equal(kev_is_url("dir/feed.json", &url, &err), 0);
    assert_false(url);
}

#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_schemes_are_refused_with_advice),
        WITH_WORLD(what_is_unmodified_is_not_sent_again),
        WITH_WORLD(nothing_is_asked_for_compressed),
        WITH_WORLD(three_redirects_are_followed_and_no_more),
        WITH_WORLD(an_answer_that_is_no_feed_is_named),
        WITH_WORLD(a_slow_server_is_given_up_in_time),
        WITH_WORLD(a_body_beyond_the_cap_is_cut),
        WITH_WORLD(no_secret_of_the_url_is_written),
        WITH_WORLD(without_a_network_the_sample_goes_and_says_so),
        WITH_WORLD(the_sample_never_goes_where_it_was_not_wanted),
        WITH_WORLD(after_the_sample_all_of_the_real_feed_is_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
