/* http.c - one GET after the other, over a kept connection, with every guard. */
#include "http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "err.h"
#include "telemetry.h"

enum {
    HEADERS_MAX = 65536,
    LOW_SPEED = 100,    /* bytes/s: less than this for too long is a server that plays dead */
    TURN_MS = 1000,
    LEAST_SLOW_S = 5    /* RabbitMQ says nothing while it computes */
};

struct http {
    const struct telemetry_config *config; /* borrowed, as is stop */
    const atomic_bool *stop;
    CURLM             *multi;
    CURL              *easy;

    /* The transfer that is under way. */
    http_fn            *body;
    void               *ctx;
    struct http_answer *answer;
    size_t              headers, len, words;
    bool                too_large, refused;
    char                why[CURL_ERROR_SIZE];
};

int
http_check(const char *url, struct err *err)
{
    const char *rest = strncasecmp(url, "http://", 7) == 0    ? url + 7
                       : strncasecmp(url, "https://", 8) == 0 ? url + 8
                                                              : NULL;

    if (rest == NULL || rest[0] == '\0' || rest[0] == '/')
        return err_set(err, ERR_CONFIG, 0, "'%.100s' is no URL of http or https, such as \"http://localhost:15672\"",
                       url);
    if (strchr(rest, '@') != NULL)
        return err_set(err, ERR_CONFIG, 0, "the URL of a telemetry source holds a user: URLs are shown; set user and "
                                           "password by themselves");
    if (strpbrk(rest, "?#") != NULL)
        return err_set(err, ERR_CONFIG, 0, "'%.100s' must end before '?' and '#'", url);
    for (const char *c = rest; *c != '\0'; c++)
        if (*c <= ' ' || *c >= 127)
            return err_set(err, ERR_CONFIG, 0, "'%.100s' holds a character that a URL cannot hold as it is", url);
    return 0;
}

/* --- What arrives ------------------------------------------------------------------------------------------------- */

static size_t
on_header(char *data, size_t size, size_t n, void *ctx)
{
    struct http *h = ctx;

    (void)data;
    h->headers += size * n;
    h->too_large = h->headers > HEADERS_MAX;
    return h->too_large ? 0 : size * n;
}

/* libcurl's own limit looks at the announced length only: this one counts. */
static size_t
on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct http *h = ctx;
    const size_t more = size * n;
    long status = 0;

    h->too_large = more > h->config->body_max - h->len;
    if (h->too_large)
        return 0;
    h->len += more;
    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200) {
        h->refused = h->body(h->ctx, data, more) != 0;
        return h->refused ? 0 : more;
    }
    for (size_t i = 0; i < more && h->words < HTTP_WORDS - 1; i++)
        h->answer->words[h->words++] = data[i];
    h->answer->words[h->words] = '\0';
    return more;
}

/* --- Setting up --------------------------------------------------------------------------------------------------- */

#define SET(option, value) (curl_easy_setopt(h->easy, CURLOPT_##option, (value)) == CURLE_OK)

static bool
set_guards(struct http *h)
{
    const struct telemetry_config *c = h->config;
    const long total_ms = (long)(c->total_us / 1000);
    const long slow_s = total_ms / 2000 > LEAST_SLOW_S ? total_ms / 2000 : LEAST_SLOW_S;

    /* QUICK_EXIT: the thread of a resolver that hangs is let go of, and not waited for.
     * No Accept-Encoding: what arrives is what is counted. */
    return SET(NOSIGNAL, 1L) && SET(PROTOCOLS_STR, "http,https") && SET(FOLLOWLOCATION, 0L) &&
           SET(NETRC, (long)CURL_NETRC_IGNORED) && SET(PROXY, c->proxy != NULL ? c->proxy : "") &&
           SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) && SET(PATH_AS_IS, 1L) && SET(QUICK_EXIT, 1L) &&
           SET(CONNECTTIMEOUT_MS, (long)(c->connect_us / 1000)) && SET(TIMEOUT_MS, total_ms) &&
           SET(LOW_SPEED_LIMIT, (long)LOW_SPEED) && SET(LOW_SPEED_TIME, slow_s) &&
           SET(MAXFILESIZE_LARGE, (curl_off_t)c->body_max) && SET(TCP_KEEPALIVE, 1L) && SET(NOPROGRESS, 1L);
}

static bool
set_identity(struct http *h)
{
    const struct telemetry_config *c = h->config;

    return SET(SSL_VERIFYPEER, 1L) && SET(SSL_VERIFYHOST, 2L) && SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
           (c->ca_file == NULL || SET(CAINFO, c->ca_file)) && (c->cert_file == NULL || SET(SSLCERT, c->cert_file)) &&
           (c->cert_file == NULL || SET(SSLKEY, c->key_file != NULL ? c->key_file : c->cert_file)) &&
           (c->user == NULL || (SET(HTTPAUTH, (long)CURLAUTH_BASIC) && SET(USERNAME, c->user) &&
                                SET(PASSWORD, c->password != NULL ? c->password : "")));
}

static bool
set_ways(struct http *h)
{
    return SET(USERAGENT, "sluice") && SET(HEADERFUNCTION, on_header) && SET(HEADERDATA, h) &&
           SET(WRITEFUNCTION, on_body) && SET(WRITEDATA, h) && SET(ERRORBUFFER, h->why);
}

struct http *
http_new(const struct telemetry_config *config, const atomic_bool *stop, struct err *err)
{
    struct http *h = calloc(1, sizeof(*h));

    if (h == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        free(h);
        err_set(err, ERR_NOMEM, 0, "telemetry: libcurl could not be set up");
        return NULL;
    }
    h->config = config;
    h->stop = stop;
    h->multi = curl_multi_init();
    h->easy = h->multi != NULL ? curl_easy_init() : NULL;
    if (h->easy != NULL && set_guards(h) && set_identity(h) && set_ways(h))
        return h;
    err_set(err, ERR_NOMEM, 0, "telemetry: libcurl could not be set up");
    http_free(h);
    return NULL;
}

void
http_free(struct http *h)
{
    if (h == NULL)
        return;
    if (h->easy != NULL)
        curl_easy_cleanup(h->easy);
    if (h->multi != NULL)
        curl_multi_cleanup(h->multi);
    curl_global_cleanup();
    free(h);
}

/* --- Asking ------------------------------------------------------------------------------------------------------- */

static int
failed(struct http *h, CURLcode rc, struct err *err)
{
    if (h->too_large || rc == CURLE_FILESIZE_EXCEEDED)
        return err_set(err, ERR_FULL, 0, "the answer is larger than %zu bytes", h->config->body_max);
    if (h->refused)
        return err_set(err, ERR_PROTO, 0, "the answer is not what was asked for; is this the right URL?");
    if (rc == CURLE_OUT_OF_MEMORY)
        return err_set(err, ERR_NOMEM, 0, "no memory for a request");
    return err_set(err, rc == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_IO, 0, "%.150s",
                   h->why[0] != '\0' ? h->why : curl_easy_strerror(rc));
}

/* Run the transfer to its end. */
static CURLcode
transfer(struct http *h)
{
    for (;;) {
        int running, left;
        if (curl_multi_perform(h->multi, &running) != CURLM_OK)
            return CURLE_OUT_OF_MEMORY;
        for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left)) != NULL;)
            if (m->msg == CURLMSG_DONE)
                return m->data.result;
        if (atomic_load(h->stop))
            return CURLE_ABORTED_BY_CALLBACK;
        if (curl_multi_poll(h->multi, NULL, 0, TURN_MS, NULL) != CURLM_OK)
            return CURLE_OUT_OF_MEMORY;
    }
}

int
http_get(struct http *h, const char *url, http_fn *body, void *ctx, struct http_answer *ret, struct err *err)
{
    long status = 0;

    *ret = (struct http_answer){.status = 0};
    h->body = body;
    h->ctx = ctx;
    h->answer = ret;
    h->headers = h->len = h->words = 0;
    h->too_large = h->refused = false;
    h->why[0] = '\0';
    if (!SET(URL, url))
        return err_set(err, ERR_NOMEM, 0, "no memory for a request");
    ret->asked_us = clock_mono_us();
    if (curl_multi_add_handle(h->multi, h->easy) != CURLM_OK)
        return err_set(err, ERR_NOMEM, 0, "no memory for a request");
    const CURLcode rc = transfer(h);
    ret->answered_us = clock_mono_us();
    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(h->multi, h->easy);
    ret->status = (int)status;
    return rc == CURLE_OK ? 0 : failed(h, rc, err);
}

void
http_wait(struct http *h, int64_t us)
{
    curl_multi_poll(h->multi, NULL, 0, us > 0 ? (int)(us / 1000 + 1) : 0, NULL);
}

void
http_wake(struct http *h)
{
    curl_multi_wakeup(h->multi);
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

static bool
unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '~';
}

int
http_quote(char *url, size_t cap, const char *more)
{
    size_t at = strlen(url);
    const bool dots = strspn(more, ".") == strlen(more);

    for (; *more != '\0'; more++) {
        const unsigned char c = (unsigned char)*more;
        if (cap - at < 4)
            return -1;
        if (unreserved(c) || (c == '.' && !dots))
            url[at++] = (char)c;
        else
            at += (size_t)snprintf(url + at, 4, "%%%02X", c);
        url[at] = '\0';
    }
    return 0;
}
