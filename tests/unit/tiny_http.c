#include "tiny_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
tiny_http_write(int socket, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t n = send(socket, at, len, MSG_NOSIGNAL);

        if (n <= 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int
tiny_http_say(int socket, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return tiny_http_write(socket, text, strlen(text));
}

static void
serve_one(struct tiny_http *h, int socket)
{
    char request[TINY_REQUEST_MAX + 1];
    size_t have = 0;

    request[0] = '\0';
    while (have < TINY_REQUEST_MAX && strstr(request, "\r\n\r\n") == NULL) {
        ssize_t n = recv(socket, request + have, TINY_REQUEST_MAX - have, 0);

        if (n <= 0)
            return;
        have += (size_t)n;
        request[have] = '\0';
    }
    h->answer(h->ctx, request, socket);
}

static void *
serve(void *ctx)
{
    struct tiny_http *h = ctx;

    for (;;) {
        int socket = accept(h->fd, NULL, NULL);

        if (socket < 0)
            return NULL; /* tiny_http_stop */
        serve_one(h, socket);
        close(socket);
    }
}

void
tiny_http_start(struct tiny_http *h, void (*answer)(void *ctx, const char *request, int socket), void *ctx)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);

    h->answer = answer;
    h->ctx = ctx;
    h->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (h->fd < 0 || bind(h->fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(h->fd, 8) != 0 ||
        getsockname(h->fd, (struct sockaddr *)&at, &len) != 0 || pthread_create(&h->thread, NULL, serve, h) != 0) {
        perror("tiny_http");
        abort();
    }
    h->port = ntohs(at.sin_port);
}

void
tiny_http_stop(struct tiny_http *h)
{
    shutdown(h->fd, SHUT_RDWR);
    pthread_join(h->thread, NULL);
    close(h->fd);
}
