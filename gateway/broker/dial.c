/* dial.c - finding a broker's address and connecting to it, never longer than was said. */
#include "dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"

enum { SLICE_US = 20000 }; /* how soon a stop is seen while a name is looked up */

struct lookup {
    struct gaicb    request;
    struct addrinfo hints;
    char            port[8];
    char            host[]; /* the resolver's own copy: a lookup may outlive the configuration */
};

struct dialer {
    int            stop_fd;
    size_t         n;
    struct lookup *open[]; /* NULL: none under way for this host */
};

struct dialer *
dialer_new(size_t n, int stop_fd, struct err *err)
{
    struct dialer *d = calloc(1, sizeof(*d) + n * sizeof(struct lookup *));

    if (d == NULL) {
        err_set(err, ERR_NOMEM, errno, "the addresses of %zu brokers", n);
        return NULL;
    }
    d->stop_fd = stop_fd;
    d->n = n;
    return d;
}

static struct lookup *
lookup_start(const char *host, int port, struct err *err)
{
    struct lookup *l = calloc(1, sizeof(*l) + strlen(host) + 1);

    if (l == NULL) {
        err_set(err, ERR_NOMEM, errno, "looking up broker %s", host);
        return NULL;
    }
    strcpy(l->host, host);
    snprintf(l->port, sizeof(l->port), "%d", port);
    l->hints.ai_socktype = SOCK_STREAM;
    l->request = (struct gaicb){.ar_name = l->host, .ar_service = l->port, .ar_request = &l->hints};

    struct gaicb *list[] = {&l->request};
    const int rc = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
    if (rc == 0)
        return l;
    err_set(err, ERR_IO, 0, "broker %s: its address cannot be looked up: %s", host, gai_strerror(rc));
    free(l);
    return NULL;
}

/* Free unless the resolver is still busy with it.  Returns whether it is gone. */
static bool
lookup_end(struct lookup *l)
{
    gai_cancel(&l->request);
    if (gai_error(&l->request) == EAI_INPROGRESS)
        return false;
    if (l->request.ar_result != NULL)
        freeaddrinfo(l->request.ar_result);
    free(l);
    return true;
}

static bool
stopped(const struct dialer *d)
{
    struct pollfd fd = {.fd = d->stop_fd, .events = POLLIN};

    return poll(&fd, 1, 0) > 0;
}

/* The addresses of the i-th host, to be ended with release(). */
static struct lookup *
resolve(struct dialer *d, size_t i, const char *host, int port, int64_t deadline, struct err *err)
{
    if (d->open[i] == NULL)
        d->open[i] = lookup_start(host, port, err);
    if (d->open[i] == NULL)
        return NULL;

    struct lookup *l = d->open[i];
    const struct gaicb *list[] = {&l->request};
    const struct timespec slice = {.tv_nsec = SLICE_US * 1000};
    while (gai_error(&l->request) == EAI_INPROGRESS) {
        if (stopped(d) || clock_mono_us() >= deadline) {
            err_set(err, ERR_TIMEOUT, 0, "broker %s: the resolver does not answer; check the name servers", host);
            return NULL; /* goes on: the next attempt finds it */
        }
        gai_suspend(list, 1, &slice);
    }

    d->open[i] = NULL;
    const int rc = gai_error(&l->request);
    if (rc == 0)
        return l;
    err_set(err, ERR_IO, 0, "broker %s: no such host (%s); check broker.hosts and the name servers", host,
            gai_strerror(rc));
    lookup_end(l);
    return NULL;
}

int
dialer_resolve(struct dialer *d, size_t i, const char *host, int port, int64_t timeout_us, struct err *err)
{
    struct lookup *l = resolve(d, i, host, port, clock_mono_us() + timeout_us, err);

    if (l == NULL)
        return -1;
    lookup_end(l);
    return 0;
}

/* Wait until fd is connected.  0, or an errno. */
static int
await(const struct dialer *d, int fd, int64_t deadline)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLOUT}, {.fd = d->stop_fd, .events = POLLIN}};
    int error = 0;
    socklen_t len = sizeof(error);

    for (;;) {
        const int64_t left = deadline - clock_mono_us();
        const int n = poll(fds, 2, left > 0 ? (int)(left / 1000 + 1) : 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return ETIMEDOUT;
        if (fds[1].revents != 0)
            return ECANCELED;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
    }
}

/* Returns a connected socket, or -1 with errno set. */
static int
connect_one(const struct dialer *d, const struct addrinfo *address, int64_t deadline)
{
    const int one = 1;
    int rc = 0;
    const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol);

    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0)
        rc = errno == EINPROGRESS ? await(d, fd, deadline) : errno;
    if (rc == 0)
        return fd;
    close(fd);
    errno = rc;
    return -1;
}

int
dialer_connect(struct dialer *d, size_t i, const char *host, int port, int64_t timeout_us, struct err *err)
{
    const int64_t deadline = clock_mono_us() + timeout_us;
    struct lookup *l = resolve(d, i, host, port, deadline, err);
    int fd = -1, why = 0;
    int64_t left = 0;

    if (l == NULL)
        return -1;
    for (const struct addrinfo *a = l->request.ar_result; a != NULL; a = a->ai_next)
        left++;
    for (const struct addrinfo *a = l->request.ar_result; a != NULL && fd < 0 && why != ECANCELED; a = a->ai_next) {
        const int64_t now = clock_mono_us();
        fd = connect_one(d, a, now + (deadline - now) / left--); /* one that is dead leaves time for the next */
        why = errno;
    }
    lookup_end(l);
    if (fd < 0)
        err_set(err, ERR_IO, why, "broker %s:%d: cannot connect (check broker.hosts, and that it runs)", host, port);
    return fd;
}

void
dialer_free(struct dialer *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->n; i++)
        if (d->open[i] != NULL)
            lookup_end(d->open[i]);
    free(d);
}
