/* tiny_http.h - an HTTP server on loopback, for tests of clients: one connection at a time, answered as told. */
#ifndef TINY_HTTP_H
#define TINY_HTTP_H

#include <pthread.h>
#include <stddef.h>

enum { TINY_REQUEST_MAX = 4096 };

struct tiny_http {
    int       fd;   /* listens */
    int       port;
    pthread_t thread;
    /* Answer the request (its line and headers) on the socket; called in the server's thread. */
    void    (*answer)(void *ctx, const char *request, int socket);
    void     *ctx;
};

/* Listen on a free port of 127.0.0.1 and serve until tiny_http_stop. */
void tiny_http_start(struct tiny_http *h, void (*answer)(void *ctx, const char *request, int socket), void *ctx);

void tiny_http_stop(struct tiny_http *h);

/* Write all, or as much as the client takes.  -1: it is gone. */
int tiny_http_write(int socket, const void *bytes, size_t len);

/* Write a text that printf makes, at most 1024 bytes. */
int tiny_http_say(int socket, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
