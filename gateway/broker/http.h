/* http.h - one GET after the other, over a kept connection, with every guard.
 *
 * The only file of the gateway's client side that knows libcurl.  http and https only, no redirects, no proxy unless
 * given, no netrc, no compression; limits of time, of the headers and of the body; the password is never shown.
 * Thread: one, save http_wake. */
#ifndef HTTP_H
#define HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct http;
struct telemetry_config;

enum { HTTP_WORDS = 2048, HTTP_URL = 8192 };

/* A piece of the body of an answer with status 200.  -1: it is of no use, end the transfer. */
typedef int http_fn(void *ctx, const char *at, size_t len);

struct http_answer {
    int     status;
    int64_t asked_us, answered_us; /* mono: before the request was begun; when all was there */
    char    words[HTTP_WORDS];     /* how the body begins, where status is not 200 */
};

/* Is this a URL to build on?  ERR_CONFIG: what is wrong with it. */
int http_check(const char *url, struct err *err);

/* Transfers end at once when *stop is true and http_wake was called.  Returns a new one, or NULL with *err filled. */
struct http *http_new(const struct telemetry_config *config, const atomic_bool *stop, struct err *err);

/* GET url; -1: no whole answer came.  Text of *err names neither user nor password. */
int http_get(struct http *h, const char *url, http_fn *body, void *ctx, struct http_answer *ret, struct err *err);

/* Sleep for us at most, or until http_wake. */
void http_wait(struct http *h, int64_t us);

/* Any thread. */
void http_wake(struct http *h);

/* Append `more`, each byte that a path or a query cannot hold as it is as %XX (also a name of dots alone, which
 * would be taken for a place).  -1: there is no room in cap bytes. */
int http_quote(char *url, size_t cap, const char *more);

/* NULL does nothing. */
void http_free(struct http *h);

#endif
