/* dial.c - finding a broker's address and connecting to it, never longer than was said. */
#include "dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"

/* One name being looked up by a thread of its own.  Two hold it, the dialer and that thread; the last one frees. */
struct lookup {
    atomic_int       holders;
    int              done_fd; /* readable once rc and found are there */
    int              rc;      /* as of getaddrinfo */
    struct addrinfo *found;
    char             port[8];
    char             host[];  /* its own copy: a look-up may outlive the configuration */
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

/* --- Names ---------------------------------------------------------------------------------------------------- */

static void
lookup_drop(struct lookup *l)
{
    if (l == NULL || atomic_fetch_sub(&l->holders, 1) > 1)
        return;
    if (l->found != NULL)
        freeaddrinfo(l->found);
    if (l->done_fd >= 0)
        close(l->done_fd);
    free(l);
}

/* Not getaddrinfo_a: its threads are glibc's own, which sanitizers do not know, and it cannot let go of a name that
 * the resolver is busy with. */
static void *
lookup_run(void *arg)
{
    struct lookup *l = arg;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};

    l->rc = getaddrinfo(l->host, l->port, &hints, &l->found);
    eventfd_write(l->done_fd, 1);
    lookup_drop(l);
    return NULL;
}

/* Returns 0, or an errno. */
static int
lookup_thread(struct lookup *l)
{
    pthread_t thread;
    pthread_attr_t attr;

    l->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->done_fd < 0)
        return errno;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    atomic_store(&l->holders, 2);
    const int rc = pthread_create(&thread, &attr, lookup_run, l);
    pthread_attr_destroy(&attr);
    if (rc != 0)
        atomic_store(&l->holders, 1);
    return rc;
}

static struct lookup *
lookup_start(const char *host, int port, struct err *err)
{
    const size_t len = strlen(host);
    struct lookup *l = calloc(1, sizeof(*l) + len + 1);
    int rc = ENOMEM;

    if (l != NULL) {
        atomic_init(&l->holders, 1);
        memcpy(l->host, host, len + 1);
        snprintf(l->port, sizeof(l->port), "%d", port);
        rc = lookup_thread(l);
    }
    if (rc == 0)
        return l;
    err_set(err, ERR_IO, rc, "broker %s: its address cannot be looked up", host);
    lookup_drop(l);
    return NULL;
}

static int
ms_until(int64_t deadline)
{
    const int64_t left = deadline - clock_mono_us();

    return left > 0 ? (int)(left / 1000 + 1) : 0;
}

/* The addresses of the i-th host, to be given back by lookup_drop.  One that is not done in time goes on, and the next
 * attempt finds it. */
static struct lookup *
resolve(struct dialer *d, size_t i, const char *host, int port, int64_t deadline, struct err *err)
{
    if (d->open[i] == NULL)
        d->open[i] = lookup_start(host, port, err);
    struct lookup *l = d->open[i];
    if (l == NULL)
        return NULL;

    struct pollfd fds[] = {{.fd = l->done_fd, .events = POLLIN}, {.fd = d->stop_fd, .events = POLLIN}};
    eventfd_t done;
    while (poll(fds, 2, ms_until(deadline)) < 0 && errno == EINTR)
        ;
    if (eventfd_read(l->done_fd, &done) != 0) {
        err_set(err, ERR_TIMEOUT, 0, "broker %s: the resolver does not answer; check the name servers", host);
        return NULL;
    }
    d->open[i] = NULL;
    if (l->rc == 0)
        return l;
    err_set(err, ERR_IO, 0, "broker %s: no such host (%s); check broker.hosts and the name servers", host,
            gai_strerror(l->rc));
    lookup_drop(l);
    return NULL;
}

int
dialer_resolve(struct dialer *d, size_t i, const char *host, int port, int64_t timeout_us, struct err *err)
{
    struct lookup *l = resolve(d, i, host, port, clock_mono_us() + timeout_us, err);

    if (l == NULL)
        return -1;
    lookup_drop(l);
    return 0;
}

/* --- Connections ---------------------------------------------------------------------------------------------- */

/* Wait until fd is connected.  0, or an errno. */
static int
await(const struct dialer *d, int fd, int64_t deadline)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLOUT}, {.fd = d->stop_fd, .events = POLLIN}};
    int error = 0;
    socklen_t len = sizeof(error);

    for (;;) {
        const int n = poll(fds, 2, ms_until(deadline));
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
    for (const struct addrinfo *a = l->found; a != NULL; a = a->ai_next)
        left++;
    for (const struct addrinfo *a = l->found; a != NULL && fd < 0 && why != ECANCELED; a = a->ai_next) {
        const int64_t now = clock_mono_us();
        fd = connect_one(d, a, now + (deadline - now) / left--); /* one that is dead leaves time for the next */
        why = errno;
    }
    lookup_drop(l);
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
        lookup_drop(d->open[i]);
    free(d);
}
