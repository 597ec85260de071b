#include "world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"

enum { PATH_CAP = 512, BROKER_MS = 200 * 1000, GUARD_MS = 120 * 1000, PORT_LOW = 25000, PORTS = 5000 };

struct world {
    char dir[PATH_CAP];
    pid_t guard;
    int guard_fd; /* closing it is what the guard waits for; the system does it for a program that dies */
    int port, management_port;
};

void
world_sleep_ms(int64_t ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

bool
world_long(void)
{
    const char *v = getenv("TEST_LONG");
    return v != NULL && v[0] != '\0' && strcmp(v, "0") != 0;
}

/* Find name in the nearest folder above this program that holds it. */
static const char *
find_above(const char *name, char *buf, size_t cap)
{
    char here[PATH_CAP];
    ssize_t n = readlink("/proc/self/exe", here, sizeof(here) - 1);
    if (n <= 0)
        return NULL;
    here[n] = '\0';
    for (char *slash = strrchr(here, '/'); slash != NULL; slash = strrchr(here, '/')) {
        *slash = '\0';
        int len = snprintf(buf, cap, "%s/%s", here, name);
        if (len > 0 && (size_t)len < cap && access(buf, F_OK) == 0)
            return buf;
    }
    return NULL;
}

const char *
world_built(const char *name, char *buf, size_t cap)
{
    const char *build = getenv("SLUICE_BUILD");
    char mark[PATH_CAP];
    if (build == NULL) {
        if (find_above("sluiced", mark, sizeof(mark)) == NULL)
            (void)snprintf(mark, sizeof(mark), "build/sluiced");
        *strrchr(mark, '/') = '\0';
        build = mark;
    }
    (void)snprintf(buf, cap, "%s/%s", build, name);
    return buf;
}

const char *
world_source(const char *name, char *buf, size_t cap)
{
    if (access(name, F_OK) == 0 || find_above(name, buf, cap) == NULL)
        (void)snprintf(buf, cap, "%s", name);
    return buf;
}

const char *
world_data(const char *name, char *buf, size_t cap)
{
    const char *shared = getenv("SLUICE_SHARED");
    (void)snprintf(buf, cap, "%s/data/%s", shared != NULL ? shared : "../shared", name);
    return access(buf, R_OK) == 0 ? buf : NULL;
}

/* Without SO_REUSEADDR: one that waits for its last segments is taken, too. */
static bool
port_is_free(int port)
{
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is = fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

/* Below the range of which the kernel gives ports to outgoing connections and to who asks for any: else one of these
 * would have it before the gateway, or while the gateway is dead; even a connector that tries to reach it.  And above
 * those of tests/broker. */
int
world_free_port(void)
{
    for (int tries = 0; tries < 1000; tries++) {
        uint16_t any;
        if (getrandom(&any, sizeof(any), 0) != sizeof(any))
            break;
        int port = PORT_LOW + any % PORTS;
        if (port_is_free(port))
            return port;
    }
    return 0;
}

/* In a child: what the gateway or a connector would take for its configuration is not inherited. */
static void
forget_settings(void)
{
    for (size_t i = 0; environ[i] != NULL;) {
        char name[PATH_CAP];
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(environ[i], "="), environ[i]);
        if (strncmp(name, "SLUICE_", 7) == 0 && strcmp(name, "SLUICE_CRASH_AT") != 0)
            (void)unsetenv(name); /* moves the rest down */
        else
            i++;
    }
}

/* fork and exec with stdout and stderr on fd (-1: as they are).  The child dies with us unless it is to outlive. */
static pid_t
start(const char *const *argv, int fd, bool outlive)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (!outlive)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fd >= 0 && (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0))
        _exit(126);
    (void)close_range(3, ~0U, 0);
    forget_settings();
    union {
        const char *const *in;
        char *const *out; /* execv takes what it does not change without const */
    } args = {.in = argv};
    (void)execv(argv[0], args.out);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

pid_t
world_spawn(const char *const *argv, const char *log, struct err *err)
{
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, ERR_IO, errno, "open %s", log);
    pid_t pid = start(argv, fd, false);
    if (pid < 0)
        (void)err_set(err, ERR_IO, errno, "start %s", argv[0]);
    close(fd);
    return pid;
}

int
world_wait(pid_t pid, int timeout_ms)
{
    const int64_t end = clock_mono_us() + (int64_t)timeout_ms * 1000;
    for (;;) {
        int status;
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (got < 0 || clock_mono_us() >= end)
            return -1;
        world_sleep_ms(2);
    }
}

int64_t
world_cpu_us(pid_t pid)
{
    struct timespec t;
    clockid_t clock;
    if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return 0;
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Read what the child writes until it closes, the time is over, or it has ended (its own children may hold the
 * pipe open for ever: a broker does). */
static void
gather(int fd, pid_t pid, int64_t end_us, char *out, size_t cap, int *ret_status)
{
    size_t have = 0;
    *ret_status = -1;
    while (clock_mono_us() < end_us) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char chunk[4096];
        int ready = poll(&p, 1, *ret_status < 0 ? 20 : 0);
        ssize_t n = ready > 0 ? read(fd, chunk, sizeof(chunk)) : -1;
        if (n > 0 && cap > 0) {
            size_t take = (size_t)n < cap - 1 - have ? (size_t)n : cap - 1 - have;
            memcpy(out + have, chunk, take);
            have += take;
        } else if (n <= 0) {
            if (*ret_status >= 0)
                break;
            *ret_status = world_wait(pid, ready > 0 ? 100 : 0);
        }
    }
    if (cap > 0)
        out[have] = '\0';
}

int
world_run(const char *const *argv, int timeout_ms, char *out, size_t cap, struct err *err)
{
    int fds[2], status;
    bool outlive = strstr(argv[0], "tests/broker") != NULL; /* what it starts is the guard's to stop */
    if (pipe2(fds, O_CLOEXEC) != 0)
        return err_set(err, ERR_IO, errno, "pipe");
    pid_t pid = start(argv, fds[1], outlive);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return err_set(err, ERR_IO, errno, "start %s", argv[0]);
    }
    gather(fds[0], pid, clock_mono_us() + (int64_t)timeout_ms * 1000, out, cap, &status);
    close(fds[0]);
    if (status >= 0)
        return status;
    kill(pid, SIGKILL);
    (void)world_wait(pid, 1000);
    return err_set(err, ERR_TIMEOUT, 0, "%s did not end within %d ms", argv[0], timeout_ms);
}

static int
broker_script(const char *dir, const char *verb, const char *const *args, char *out, size_t cap, struct err *err)
{
    char script[PATH_CAP];
    const char *argv[32] = {world_source("tests/broker", script, sizeof(script)), verb, dir};
    for (size_t i = 0; args != NULL && args[i] != NULL && i < 28; i++)
        argv[3 + i] = args[i];
    int status = world_run(argv, BROKER_MS, out, cap, err);
    if (status <= 0)
        return status;
    return err_set(err, ERR_IO, 0, "%s %s: status %d: %.150s", script, verb, status, out);
}

/* The guard: sleeps until the program is gone, then cleans up.  It runs in a session of its own, so that ^C in
 * the terminal does not reach it. */
static void
guard_main(int fd, const char *dir, const char *broker)
{
    char out[4096], byte, env[PATH_CAP + 32];
    (void)setsid();
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (dup2(fd, 3) != 3)
        _exit(1);
    (void)close_range(4, ~0U, 0);
    while (read(3, &byte, 1) < 0 && errno == EINTR)
        ;
    struct err err = {.code = ERR_NONE};
    (void)snprintf(env, sizeof(env), "%s/env", broker);
    if (access(env, F_OK) == 0 && broker_script(broker, "stop", NULL, out, sizeof(out), &err) != 0)
        dprintf(STDERR_FILENO, "guard: %s\n", err.text);
    const char *keep = getenv("TEST_KEEP");
    const char *argv[] = {"/bin/rm", "-rf", dir, NULL};
    if (keep == NULL)
        (void)world_run(argv, GUARD_MS, out, sizeof(out), NULL);
    else
        dprintf(STDERR_FILENO, "guard: kept %s\n", dir);
    _exit(0);
}

struct world *
world_open(struct err *err)
{
    const char *tmp = getenv("TMPDIR");
    char broker[PATH_CAP + 16];
    int fds[2] = {-1, -1};
    struct world *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        (void)err_set(err, ERR_NOMEM, errno, "world");
        return NULL;
    }
    (void)snprintf(w->dir, sizeof(w->dir), "%s/sluice-test.XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(w->dir) == NULL || pipe2(fds, O_CLOEXEC) != 0) {
        (void)err_set(err, ERR_IO, errno, "world in %s", w->dir);
        free(w);
        return NULL;
    }
    (void)snprintf(broker, sizeof(broker), "%s/broker", w->dir);
    w->guard_fd = fds[1];
    w->guard = fork();
    if (w->guard == 0)
        guard_main(fds[0], w->dir, broker);
    close(fds[0]);
    if (w->guard < 0) {
        (void)err_set(err, ERR_IO, errno, "fork");
        world_close(w);
        return NULL;
    }
    return w;
}

const char *
world_dir(const struct world *w)
{
    return w->dir;
}

int
world_broker_port(const struct world *w)
{
    return w->port;
}

int
world_management_port(const struct world *w)
{
    return w->management_port;
}

/* NAME='n', or NAME= where there is none. */
static void
read_number(const char *line, const char *name, int *ret)
{
    const size_t len = strlen(name);
    if (strncmp(line, name, len) == 0 && line[len] == '=')
        *ret = (int)strtol(line + len + 1 + (line[len + 1] == '\''), NULL, 10);
}

/* The ports are what tests/broker wrote down. */
static int
read_port(struct world *w, struct err *err)
{
    char path[PATH_CAP + 16], line[512];
    FILE *f;
    (void)snprintf(path, sizeof(path), "%s/broker/env", w->dir);
    f = fopen(path, "re");
    if (f == NULL)
        return err_set(err, ERR_IO, errno, "open %s", path);
    while (fgets(line, sizeof(line), f) != NULL) {
        read_number(line, "AMQP_PORT", &w->port);
        read_number(line, "MGMT_PORT", &w->management_port);
    }
    (void)fclose(f);
    return w->port > 0 ? 0 : err_set(err, ERR_IO, 0, "%s names no AMQP_PORT", path);
}

int
world_broker_start(struct world *w, const char *conf, struct err *err)
{
    return world_broker_start_with(w, NULL, conf, err);
}

int
world_broker_start_with(struct world *w, const char *const *options, const char *conf, struct err *err)
{
    char broker[PATH_CAP + 16], file[PATH_CAP + 16], out[4096];
    const char *args[12] = {NULL};
    size_t n = 0;
    for (; options != NULL && options[n] != NULL && n < 10; n++)
        args[n] = options[n];
    args[n] = conf != NULL ? file : NULL;
    (void)snprintf(broker, sizeof(broker), "%s/broker", w->dir);
    (void)snprintf(file, sizeof(file), "%s/extra.conf", w->dir);
    if (mkdir(broker, 0700) != 0 && errno != EEXIST)
        return err_set(err, ERR_IO, errno, "mkdir %s", broker);
    if (conf != NULL) {
        FILE *f = fopen(file, "we");
        if (f == NULL)
            return err_set(err, ERR_IO, errno, "open %s", file);
        (void)fputs(conf, f);
        if (fclose(f) != 0)
            return err_set(err, ERR_IO, errno, "write %s", file);
    }
    if (broker_script(broker, "start", args, out, sizeof(out), err) != 0)
        return -1;
    return read_port(w, err);
}

int
world_broker(struct world *w, const char *verb, const char *const *args, struct err *err)
{
    char broker[PATH_CAP + 16], out[8192];
    (void)snprintf(broker, sizeof(broker), "%s/broker", w->dir);
    return broker_script(broker, verb, args, out, sizeof(out), err);
}

void
world_close(struct world *w)
{
    if (w == NULL)
        return;
    close(w->guard_fd);
    if (w->guard > 0 && world_wait(w->guard, GUARD_MS) < 0)
        dprintf(STDERR_FILENO, "world: the guard %d of %s still runs\n", (int)w->guard, w->dir);
    free(w);
}
