#include "sluiced.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"
#include "world.h"

enum { PATH_CAP = 600,
       START_MS = 60 * 1000,
       STOP_MS = 60 * 1000 };

struct sluiced {
    struct world *world; /* borrowed */
    char config[PATH_CAP], log[PATH_CAP], state[PATH_CAP], endpoint[64];
    int port;
    pid_t pid; /* 0: does not run */
    char crash_at[32]; /* "": nowhere */
};

/* A text or nothing. */
static const char *
or_empty(const char *text)
{
    return text != NULL ? text : "";
}

int
sluiced_configure(struct sluiced *d, const struct sluiced_config *c, struct err *err)
{
    FILE *f = fopen(d->config, "we");
    if (f == NULL)
        return err_set(err, ERR_IO, errno, "open %s", d->config);
    fprintf(f, "door = { endpoint = \"%s\"; ping = \"%s\"; %s };\n", d->endpoint, c->ping != NULL ? c->ping : "200ms",
            or_empty(c->door));
    fprintf(f, "broker = { hosts = (\"127.0.0.1:%d\"); hung_after = \"%s\"; ",
            c->broker_port > 0 ? c->broker_port : world_broker_port(d->world),
            c->hung_after != NULL ? c->hung_after : "20s");
    if (c->broker == NULL || strstr(c->broker, "retry_min") == NULL)
        fprintf(f, "retry_min = \"10ms\"; retry_max = \"100ms\"; ");
    fprintf(f, "%s };\nmemory = { %s };\nstate = { dir = \"%s\"; mark_every = \"100ms\"; };\n", or_empty(c->broker),
            or_empty(c->memory), d->state);
    fprintf(f, "spool = { %s };\n", c->spool != NULL ? c->spool : "limit = \"0B\";");
    fprintf(f, "telemetry = { %s };\n", c->telemetry != NULL ? c->telemetry : "source = \"off\";");
    fprintf(f, "stop = { within = \"5s\"; };\n%s\n", or_empty(c->rest));
    return fclose(f) == 0 ? 0 : err_set(err, ERR_IO, errno, "write %s", d->config);
}

/* A free port, and what is named by it.  One that an earlier gateway of this world had is not taken again: its
 * state is there. */
static int
take_port(struct sluiced *d, struct err *err)
{
    for (int tries = 0; tries < 20; tries++) {
        d->port = world_free_port();
        (void)snprintf(d->endpoint, sizeof(d->endpoint), "tcp://127.0.0.1:%d", d->port);
        (void)snprintf(d->config, sizeof(d->config), "%s/sluice-%d.cfg", world_dir(d->world), d->port);
        (void)snprintf(d->log, sizeof(d->log), "%s/sluiced-%d.log", world_dir(d->world), d->port);
        (void)snprintf(d->state, sizeof(d->state), "%s/state-%d", world_dir(d->world), d->port);
        if (mkdir(d->state, 0700) == 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return err_set(err, ERR_IO, errno, "mkdir %s", d->state);
}

struct sluiced *
sluiced_new(struct world *w, const struct sluiced_config *config, struct err *err)
{
    struct sluiced *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        (void)err_set(err, ERR_NOMEM, errno, "sluiced");
        return NULL;
    }
    d->world = w;
    if (take_port(d, err) != 0) {
        free(d);
        return NULL;
    }
    if (sluiced_configure(d, config, err) != 0) {
        free(d);
        return NULL;
    }
    return d;
}

void
sluiced_crash_at(struct sluiced *d, int step, int n)
{
    (void)snprintf(d->crash_at, sizeof(d->crash_at), "%d:%d", step, n);
}

int
sluiced_start(struct sluiced *d, bool broker_is_there, struct err *err)
{
    char path[PATH_CAP];
    const bool crashes = d->crash_at[0] != '\0';
    const char *argv[] = {world_built(crashes ? "tests/sluiced-crash" : "sluiced", path, sizeof(path)), "--config",
                          d->config, NULL};
    const int64_t mark = sluiced_log_mark(d);
    if (crashes)
        (void)setenv("SLUICE_CRASH_AT", d->crash_at, 1); // NOLINT(concurrency-mt-unsafe): no thread of a test reads it
    d->pid = world_spawn(argv, d->log, err);
    (void)unsetenv("SLUICE_CRASH_AT"); // NOLINT(concurrency-mt-unsafe)
    d->crash_at[0] = '\0';
    if (d->pid < 0) {
        d->pid = 0;
        return -1;
    }
    if (sluiced_log_wait(d, mark, "event=ready ", NULL, START_MS) &&
        (!broker_is_there || sluiced_log_wait(d, mark, "event=broker_up ", NULL, START_MS)))
        return 0;
    sluiced_log_show(d);
    return err_set(err, ERR_TIMEOUT, 0, "sluiced did not become ready (%s)", d->log);
}

int
sluiced_signal(struct sluiced *d, int signal)
{
    return d->pid > 0 ? kill(d->pid, signal) : -1;
}

int
sluiced_wait(struct sluiced *d, int timeout_ms)
{
    if (d->pid <= 0)
        return -1;
    int status = world_wait(d->pid, timeout_ms);
    if (status >= 0)
        d->pid = 0;
    return status;
}

bool
sluiced_alive(struct sluiced *d)
{
    return d->pid > 0 && sluiced_wait(d, 0) < 0;
}

void
sluiced_kill(struct sluiced *d)
{
    if (sluiced_signal(d, SIGKILL) == 0)
        (void)sluiced_wait(d, STOP_MS);
}

int
sluiced_stop(struct sluiced *d)
{
    if (sluiced_signal(d, SIGTERM) != 0)
        return -1;
    int status = sluiced_wait(d, STOP_MS);
    if (status < 0)
        sluiced_kill(d);
    return status;
}

const char *
sluiced_endpoint(const struct sluiced *d)
{
    return d->endpoint;
}

int
sluiced_port(const struct sluiced *d)
{
    return d->port;
}

const char *
sluiced_config_path(const struct sluiced *d)
{
    return d->config;
}

const char *
sluiced_state_dir(const struct sluiced *d)
{
    return d->state;
}

pid_t
sluiced_pid(const struct sluiced *d)
{
    return d->pid;
}

int64_t
sluiced_log_mark(const struct sluiced *d)
{
    struct stat st;
    return stat(d->log, &st) == 0 ? st.st_size : 0;
}

/* How many whole lines after mark hold both texts. */
static int
count_lines(const struct sluiced *d, int64_t mark, const char *a, const char *b)
{
    char line[8192];
    int n = 0;
    FILE *f = fopen(d->log, "re");
    if (f == NULL)
        return 0;
    if (fseek(f, (long)mark, SEEK_SET) == 0)
        while (fgets(line, sizeof(line), f) != NULL)
            n += strchr(line, '\n') != NULL && strstr(line, a) != NULL && (b == NULL || strstr(line, b) != NULL);
    (void)fclose(f);
    return n;
}

bool
sluiced_log_wait(struct sluiced *d, int64_t mark, const char *a, const char *b, int timeout_ms)
{
    const int64_t end = clock_mono_us() + (int64_t)timeout_ms * 1000;
    for (;;) {
        bool over = clock_mono_us() >= end || !sluiced_alive(d); /* asked first: its last words count */
        if (count_lines(d, mark, a, b) > 0)
            return true;
        if (over)
            return false;
        world_sleep_ms(5);
    }
}

int
sluiced_log_count(const struct sluiced *d, int64_t mark, const char *a)
{
    return count_lines(d, mark, a, NULL);
}

void
sluiced_log_show(const struct sluiced *d)
{
    char line[1024];
    FILE *f = fopen(d->log, "re");
    if (f == NULL)
        return;
    int64_t size = sluiced_log_mark(d);
    (void)fseek(f, size > 6000 ? (long)(size - 6000) : 0, SEEK_SET);
    fprintf(stderr, "---- %s ends with\n", d->log);
    while (fgets(line, sizeof(line), f) != NULL)
        (void)fputs(line, stderr);
    fprintf(stderr, "----\n");
    (void)fclose(f);
}

int64_t
sluiced_peak_kib(const struct sluiced *d)
{
    char path[64], line[256];
    long kib = 0;
    FILE *f;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)d->pid);
    f = d->pid > 0 ? fopen(path, "re") : NULL;
    if (f == NULL)
        return 0;
    while (fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    (void)fclose(f);
    return kib;
}

int64_t
sluiced_cpu_us(const struct sluiced *d)
{
    return world_cpu_us(d->pid);
}

void
sluiced_free(struct sluiced *d)
{
    if (d == NULL)
        return;
    sluiced_kill(d);
    free(d);
}
