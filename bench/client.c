/* client.c - what does the library cost a connector for each bundle: the caller, its thread, ZeroMQ's thread?
 *
 * Against a gateway that only takes and acks (another process), so that the connector is what is measured.  CPU is
 * read for each thread; with --quick it runs a tenth. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "clock.h"
#include "sluice/sluice.h"
#include "wire.h"

enum { ROUNDS = 5, ACK_EVERY = 32 };

#define HAS(field) (UINT64_C(1) << WIRE_F_##field)

/* --- the gateway --- */

struct taker {
    void    *socket;
    uint8_t  peer[64];
    size_t   peer_len;
    uint64_t seq, acked;
};

static void
say(struct taker *t, const struct wire_msg *m)
{
    char frame[1024];
    size_t n = wire_encode(m, frame, sizeof(frame));

    zmq_send(t->socket, t->peer, t->peer_len, ZMQ_SNDMORE);
    zmq_send(t->socket, frame, n, 0);
}

static void
ack(struct taker *t)
{
    say(t, &(struct wire_msg){.type = WIRE_VERDICT, .has = HAS(SEQ) | HAS(VERDICT), .seq = t->seq});
    t->acked = t->seq;
}

static void
hear(struct taker *t, const struct wire_msg *m)
{
    if (m->type == WIRE_HELLO) {
        t->seq = t->acked = 0;
        say(t, &(struct wire_msg){.type = WIRE_WELCOME,
                                  .has = HAS(V) | HAS(EPOCH) | HAS(ATTEMPT) | HAS(EXPECT) | HAS(CREDIT) |
                                         HAS(PING_MS) | HAS(CHUNK) | HAS(MAX_BUNDLE),
                                  .v = 1, .epoch = m->epoch, .attempt = m->attempt, .expect = 1,
                                  .credit = UINT64_C(1) << 50, .ping_ms = 40000, .chunk = WIRE_CHUNK_MAX,
                                  .max_bundle = UINT64_C(1) << 29});
    } else if (m->type == WIRE_BUNDLE && m->off + WIRE_CHUNK_MAX >= m->size) {
        t->seq = m->seq;
        if (t->seq - t->acked >= ACK_EVERY)
            ack(t);
    }
}

static void
take_one(struct taker *t, zmq_msg_t *frame)
{
    struct wire_fault fault;
    struct wire_msg m;
    int n = zmq_recv(t->socket, t->peer, sizeof(t->peer), ZMQ_DONTWAIT);

    if (n < 0) { /* nothing waits: answer for what is here, then sleep */
        if (t->seq > t->acked)
            ack(t);
        zmq_poll(&(zmq_pollitem_t){.socket = t->socket, .events = ZMQ_POLLIN}, 1, -1);
        return;
    }
    t->peer_len = (size_t)n;
    zmq_msg_recv(frame, t->socket, 0);
    if (wire_decode(zmq_msg_data(frame), zmq_msg_size(frame), WIRE_FROM_CONNECTOR, &m, &fault) == 0)
        hear(t, &m);
    while (zmq_msg_more(frame))
        zmq_msg_recv(frame, t->socket, 0);
}

static void
gateway(int out)
{
    struct taker t = {.socket = zmq_socket(zmq_ctx_new(), ZMQ_ROUTER)};
    char endpoint[64] = "";
    size_t size = sizeof(endpoint);
    zmq_msg_t frame;

    zmq_bind(t.socket, "tcp://127.0.0.1:*");
    zmq_getsockopt(t.socket, ZMQ_LAST_ENDPOINT, endpoint, &size);
    if (write(out, endpoint, sizeof(endpoint)) != (ssize_t)sizeof(endpoint))
        _exit(1);
    zmq_msg_init(&frame);
    for (;;)
        take_one(&t, &frame);
}

/* --- the connector --- */

enum { CALLER, LIBRARY, TRANSPORT, THREADS };

static double
thread_us(const char *tid)
{
    char path[320];
    char text[64] = "";
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%.32s/schedstat", tid);
    f = fopen(path, "r");
    if (f != NULL) {
        if (fgets(text, sizeof(text), f) == NULL)
            text[0] = '\0';
        fclose(f);
    }
    return strtod(text, NULL) / 1000; /* its first number: nanoseconds on a processor */
}

static int
kind_of(const char *tid)
{
    char path[320], name[32] = "";
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%.32s/comm", tid);
    f = fopen(path, "r");
    if (f != NULL) {
        if (fgets(name, sizeof(name), f) == NULL)
            name[0] = '\0';
        fclose(f);
    }
    return strncmp(name, "sluice", 6) == 0 ? LIBRARY : strncmp(name, "ZMQ", 3) == 0 ? TRANSPORT : CALLER;
}

static void
cpu(double us[THREADS])
{
    DIR *d = opendir("/proc/self/task");
    struct dirent *e;

    memset(us, 0, THREADS * sizeof(us[0]));
    while (d != NULL && (e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            us[kind_of(e->d_name)] += thread_us(e->d_name);
    if (d != NULL)
        closedir(d);
}

static int
push_all(const char *endpoint, size_t size, int n, double us[THREADS], double *wall)
{
    struct sluice_options opt = {.id = "bench", .endpoint = endpoint};
    struct sluice_error err = {.code = 0};
    struct sluice *s = sluice_open(&opt, &err);
    double before[THREADS];
    char *body = calloc(1, size);
    int rc = s == NULL || body == NULL ? -1 : sluice_wait(s, 5000, &err);
    int64_t since = clock_mono_us();

    cpu(before);
    for (int i = 0; i < n && rc == 0; i++)
        rc = sluice_push(s, body, size, NULL, -1, &err);
    cpu(us); /* the caller only pushed until now; then it sleeps, and the others finish */
    us[CALLER] -= before[CALLER];
    if (rc == 0)
        rc = sluice_flush(s, 60000, &err);
    *wall = (double)(clock_mono_us() - since);
    double after[THREADS];
    cpu(after);
    us[LIBRARY] = after[LIBRARY] - before[LIBRARY];
    us[TRANSPORT] = after[TRANSPORT] - before[TRANSPORT];
    if (rc != 0)
        fprintf(stderr, "%zu bytes: %s\n", size, err.text);
    if (s != NULL)
        sluice_close(&s, 1000, NULL);
    free(body);
    return rc;
}

static int
by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int
measure(const char *endpoint, size_t size, int n)
{
    double us[ROUNDS][THREADS], wall[ROUNDS], column[ROUNDS];

    printf("%9zu", size);
    for (int r = 0; r < ROUNDS; r++)
        if (push_all(endpoint, size, n, us[r], &wall[r]) != 0)
            return -1;
    for (int k = 0; k < THREADS; k++) {
        for (int r = 0; r < ROUNDS; r++)
            column[r] = us[r][k] / n;
        qsort(column, ROUNDS, sizeof(column[0]), by_value);
        printf("%10.2f", column[ROUNDS / 2]);
    }
    qsort(wall, ROUNDS, sizeof(wall[0]), by_value);
    printf("%12.0f%10.1f\n", n * 1e6 / wall[ROUNDS / 2], n * (double)size / wall[ROUNDS / 2]);
    fflush(stdout);
    return 0;
}

int
main(int argc, char **argv)
{
    static const struct {
        size_t size;
        int    n;
    } cases[] = {
        {100, 300000}, {1024, 300000}, {2048, 200000}, {4096, 100000}, {8192, 100000}, {16384, 50000},
        {65536, 20000}, {1048576, 1000},
    };
    const int share = argc > 1 && strcmp(argv[1], "--quick") == 0 ? 10 : 1;
    char endpoint[64] = "";
    int fds[2], rc = 0;
    pid_t pid;

    if (pipe(fds) != 0 || (pid = fork()) < 0)
        return 1;
    if (pid == 0)
        gateway(fds[1]);
    if (read(fds[0], endpoint, sizeof(endpoint)) != (ssize_t)sizeof(endpoint))
        return 1;
    printf("CPU in us a bundle, median of %d rounds\n%9s%10s%10s%10s%12s%10s\n", ROUNDS, "bytes", "caller", "library",
           "zeromq", "bundles/s", "MB/s");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]) && rc == 0; i++)
        rc = measure(endpoint, cases[i].size, cases[i].n / share);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    return rc == 0 ? 0 : 1;
}
