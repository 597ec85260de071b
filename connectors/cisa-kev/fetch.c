#include "fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kit/stop.h"
#include "err.h"

enum { FIRST_CAP = 1 << 20 };

/* A body that grows up to its cap. */
struct gather {
    char  *at;
    size_t len, room, cap;
    bool   over;
};

static int
gather_room(struct gather *g, size_t more)
{
    size_t room = g->room == 0 ? FIRST_CAP : g->room;
    char *bigger;

    while (room - g->len < more)
        room *= 2;
    if (room == g->room)
        return 0;
    bigger = realloc(g->at, room);
    if (bigger == NULL)
        return -1;
    g->at = bigger;
    g->room = room;
    return 0;
}

/* libcurl's own limit looks at the announced length only: this one counts. */
static size_t
on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct gather *g = ctx;
    size_t more = size * n;

    g->over = more > g->cap - g->len;
    if (g->over || gather_room(g, more) != 0)
        return 0;
    memcpy(g->at + g->len, data, more);
    g->len += more;
    return more;
}

static int
on_time(void *ctx, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    (void)ctx, (void)total, (void)now, (void)up_total, (void)up_now;
    return stop_asked();
}

int
kev_is_url(const char *feed, bool *ret, struct err *err)
{
    const char *colon = strstr(feed, "://");

    *ret = strncasecmp(feed, "http://", 7) == 0 || strncasecmp(feed, "https://", 8) == 0;
    if (!*ret && colon != NULL)
        return err_set(err, ERR_CONFIG, 0, "--feed: %.*s:// is not spoken; give an http(s) URL, or the path of a file",
                       (int)(colon - feed), feed);
    return 0;
}

void
kev_source_name(const char *feed, char *buf, size_t cap)
{
    const char *host = strstr(feed, "://");
    const char *user_end;
    size_t host_len;

    if (host == NULL) {
        snprintf(buf, cap, "%s", feed);
        return;
    }
    host += 3;
    host_len = strcspn(host, "/?#");
    user_end = memrchr(host, '@', host_len);
    snprintf(buf, cap, "%.*s%.*s", (int)(host - feed), feed, (int)strcspn(user_end != NULL ? user_end + 1 : host, "?#"),
             user_end != NULL ? user_end + 1 : host);
}

static int
read_fd(int fd, struct gather *g, const char *path, struct err *err)
{
    char chunk[16384];

    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n == 0)
            return 0;
        if (n < 0 && errno == EINTR && stop_asked() == 0)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, errno, "feed %s", path);
        if (on_body(chunk, 1, (size_t)n, g) != (size_t)n)
            return g->over ? err_set(err, ERR_IO, 0, "feed %s: more than %zu bytes", path, g->cap)
                           : err_set(err, ERR_NOMEM, errno, "feed %s", path);
    }
}

/* Not anything else: a FIFO would be waited for, and a device may never end. */
static int
open_file(const char *path, struct err *err)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO without a writer opens at once, too */

    if (fd < 0)
        return err_set(err, ERR_IO, errno, "feed %s", path);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    err_set(err, ERR_CONFIG, 0, "--feed: %s is %s, and no regular file: save the feed in a file, and give its path",
            path, S_ISDIR(st.st_mode) ? "a folder" : S_ISFIFO(st.st_mode) ? "a pipe" : "a device or a socket");
    close(fd);
    return -1;
}

static int
from_file(const struct kev_fetch *f, struct kev_page *ret, struct err *err)
{
    struct gather g = {.cap = f->cap};
    int fd = open_file(f->feed, err);
    int rc;

    if (fd < 0)
        return -1;
    rc = read_fd(fd, &g, f->feed, err);
    close(fd);
    if (rc != 0) {
        free(g.at);
        return -1;
    }
    ret->body = g.at;
    ret->len = g.len;
    return 0;
}

/* A header for "do we have it already", if there is something to say. */
static int
add_header(struct curl_slist **list, const char *name, const char *value)
{
    char line[KEV_STAMP_MAX + 32];
    struct curl_slist *longer;

    if (value[0] == '\0')
        return 0;
    snprintf(line, sizeof(line), "%s: %s", name, value);
    longer = curl_slist_append(*list, line);
    if (longer == NULL)
        return -1;
    *list = longer;
    return 0;
}

static bool
set_options(CURL *curl, const struct kev_fetch *f, struct gather *g, struct curl_slist *headers, char *why)
{
    /* Redirects are followed by hand (see from_http).  No Accept-Encoding: what arrives is what is counted. */
    return curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, f->connect_ms) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, f->total_ms) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1000L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, f->idle_s) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)f->cap) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, g) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_time) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_USERAGENT, "sluice-cisa-kev") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why) == CURLE_OK;
}

/* Only what means "no network here": a server that answers wrongly, or whose certificate fails, is not that. */
static bool
is_unreachable(CURL *curl, CURLcode rc)
{
    curl_off_t connected_us = 0;

    if (rc == CURLE_OPERATION_TIMEDOUT)
        return curl_easy_getinfo(curl, CURLINFO_CONNECT_TIME_T, &connected_us) == CURLE_OK && connected_us == 0;
    return rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_RESOLVE_PROXY || rc == CURLE_COULDNT_CONNECT;
}

static int
fail_transfer(CURL *curl, CURLcode rc, const struct gather *g, const char *source, const char *why, struct err *err)
{
    if (rc == CURLE_ABORTED_BY_CALLBACK)
        return err_set(err, ERR_IO, 0, "feed %s: stopped by a signal", source);
    if (g->over || rc == CURLE_FILESIZE_EXCEEDED)
        return err_set(err, ERR_IO, 0, "feed %s: more than %zu bytes; is this the right URL?", source, g->cap);
    if (rc == CURLE_OUT_OF_MEMORY || rc == CURLE_WRITE_ERROR)
        return err_set(err, ERR_NOMEM, 0, "feed %s", source);
    return err_set(err, is_unreachable(curl, rc) ? ERR_TIMEOUT : ERR_IO, 0, "feed %s: %.120s", source,
                   why[0] != '\0' ? why : curl_easy_strerror(rc));
}

/* Keep a header of the answer for the next run, if it is sane. */
static void
keep_header(CURL *curl, const char *name, char buf[KEV_STAMP_MAX])
{
    struct curl_header *h;

    buf[0] = '\0';
    if (curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK || strlen(h->value) >= KEV_STAMP_MAX)
        return;
    for (const char *c = h->value; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            return;
    snprintf(buf, KEV_STAMP_MAX, "%s", h->value);
}

/* One request.  *ret_status is the answer's; the body is in *g. */
static int
ask(CURL *curl, const char *url, const char *source, struct gather *g, char *why, long *ret_status, struct err *err)
{
    CURLcode rc;

    g->len = 0;
    g->over = false;
    why[0] = '\0';
    rc = curl_easy_setopt(curl, CURLOPT_URL, url);
    if (rc == CURLE_OK)
        rc = curl_easy_perform(curl);
    if (rc != CURLE_OK)
        return fail_transfer(curl, rc, g, source, why, err);
    *ret_status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
    return 0;
}

static bool
is_https(const char *url)
{
    return strncasecmp(url, "https://", 8) == 0;
}

/* Where a redirect leads, new.  libcurl can follow by itself, but then "never back from https" is not to be had
 * for a chain that begins with http. */
static char *
next_url(CURL *curl, const char *from, const char *source, struct err *err)
{
    char *to = NULL, *copy;

    curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &to);
    if (to == NULL || (strncasecmp(to, "http://", 7) != 0 && !is_https(to))) {
        err_set(err, ERR_IO, 0, "feed %s: redirected to nowhere that http or https can reach", source);
        return NULL;
    }
    if (is_https(from) && !is_https(to)) {
        err_set(err, ERR_IO, 0, "feed %s: redirected from https to http, which is not followed", source);
        return NULL;
    }
    copy = strdup(to);
    if (copy == NULL)
        err_set(err, ERR_NOMEM, errno, "feed %s", source);
    return copy;
}

static int
follow(CURL *curl, const struct kev_fetch *f, const char *source, struct gather *g, char *why, long *ret_status,
       struct err *err)
{
    char *url = strdup(f->feed);
    int rc = 0;

    if (url == NULL)
        return err_set(err, ERR_NOMEM, errno, "feed %s", source);
    for (int hops = 0; rc == 0; hops++) {
        char *next;

        rc = ask(curl, url, source, g, why, ret_status, err);
        if (rc != 0 || *ret_status < 300 || *ret_status > 399 || *ret_status == 304)
            break;
        if (hops == KEV_REDIRECTS_MAX) {
            rc = err_set(err, ERR_IO, 0, "feed %s: more than %d redirects", source, KEV_REDIRECTS_MAX);
            break;
        }
        next = next_url(curl, url, source, err);
        if (next == NULL)
            rc = -1;
        free(url);
        url = next;
    }
    free(url);
    return rc;
}

/* What the status means. */
static int
judge(long status, bool asked_if_new, const char *source, struct kev_page *ret, struct err *err)
{
    ret->unmodified = status == 304 && asked_if_new;
    if (status == 200 || ret->unmodified)
        return 0;
    if (status == 401 || status == 403)
        return err_set(err, ERR_IO, 0, "feed %s: refused with status %ld: it wants credentials, or refuses this client",
                       source, status);
    return err_set(err, ERR_IO, 0, "feed %s: answered with status %ld instead of 200", source, status);
}

static int
from_http(const struct kev_fetch *f, const char *source, struct kev_page *ret, struct err *err)
{
    char why[CURL_ERROR_SIZE] = "";
    struct gather g = {.cap = f->cap};
    struct curl_slist *headers = NULL;
    CURL *curl = curl_easy_init();
    long status = 0;
    int rc = -1;

    if (curl == NULL || add_header(&headers, "Accept", "application/json") != 0 ||
        add_header(&headers, "If-None-Match", f->etag) != 0 ||
        add_header(&headers, "If-Modified-Since", f->last_modified) != 0 || !set_options(curl, f, &g, headers, why))
        err_set(err, ERR_NOMEM, 0, "feed %s: libcurl could not be set up", source);
    else if (follow(curl, f, source, &g, why, &status, err) == 0)
        rc = judge(status, f->etag[0] != '\0' || f->last_modified[0] != '\0', source, ret, err);
    if (rc == 0 && !ret->unmodified) {
        keep_header(curl, "ETag", ret->etag);
        keep_header(curl, "Last-Modified", ret->last_modified);
        ret->body = g.at;
        ret->len = g.len;
        g.at = NULL;
    }
    free(g.at);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return rc;
}

int
kev_fetch(const struct kev_fetch *f, struct kev_page *ret, struct err *err)
{
    char source[KEV_SOURCE_MAX];
    bool url;

    memset(ret, 0, sizeof(*ret));
    if (kev_is_url(f->feed, &url, err) != 0)
        return -1;
    kev_source_name(f->feed, source, sizeof(source));
    return url ? from_http(f, source, ret, err) : from_file(f, ret, err);
}

void
kev_page_free(struct kev_page *page)
{
    free(page->body);
    page->body = NULL;
}
