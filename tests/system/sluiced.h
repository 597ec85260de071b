/* sluiced.h - one gateway under test: its config, its process, its log.
 *
 * The port stays the same over restarts, so that connectors find it again.  Thread: the main thread only
 * (a child dies with the thread that started it). */
#ifndef SLUICED_H
#define SLUICED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct sluiced;
struct world;

/* Pieces of the config file in libconfig's syntax, each may be NULL.  Test settings have short times:
 * ping 200 ms, reconnect 10 to 100 ms, hung 2 s, marks each 100 ms. */
struct sluiced_config {
    int broker_port;        /* 0: the world's broker */
    const char *door;       /* in door = {...}, beside endpoint and ping */
    const char *telemetry;  /* in telemetry = {...}; NULL: off, so that no queue holds anybody */
    const char *broker;     /* in broker = {...}, beside hosts; may name retry_min, hung_after again */
    const char *memory;     /* in memory = {...} */
    const char *spool;      /* in spool = {...}; NULL: there is none, what waits stays in memory */
    const char *ping;       /* "200ms" */
    const char *hung_after; /* "20s": a broker on a busy machine is slow, and not to be taken for hung */
    const char *rest;       /* top level: connectors, default_target, ... */
};

/* Every connector is let in, and its bundles go to this queue, which the gateway declares. */
#define SLUICED_ANYBODY(queue) \
    "accept_unknown = true;\n" \
    "default_target = { exchange = \"\"; routing_key = \"" queue "\"; queue = \"" queue "\"; declare = true; };\n"

/* Write the config and choose a port.  Nothing runs yet. */
struct sluiced *sluiced_new(struct world *w, const struct sluiced_config *config, struct err *err);

/* Write another config file; it counts from the next start or SIGHUP. */
int sluiced_configure(struct sluiced *d, const struct sluiced_config *config, struct err *err);

/* The next start is of a gateway that kills itself when it is at a step of a bundle's life (gateway/crash.h) for the
 * n-th time. */
void sluiced_crash_at(struct sluiced *d, int step, int n);

/* Start it and wait until it says that it listens; where the broker is there, also until it is connected. */
int sluiced_start(struct sluiced *d, bool broker_is_there, struct err *err);

int sluiced_signal(struct sluiced *d, int signal);
bool sluiced_alive(struct sluiced *d);

/* Wait for its end: exit status or 128 + signal, -1: still running. */
int sluiced_wait(struct sluiced *d, int timeout_ms);

/* SIGKILL, and wait. */
void sluiced_kill(struct sluiced *d);

/* SIGTERM, and SIGKILL if that takes more than 10 s.  Returns the exit status. */
int sluiced_stop(struct sluiced *d);

const char *sluiced_endpoint(const struct sluiced *d);
int sluiced_port(const struct sluiced *d);
const char *sluiced_config_path(const struct sluiced *d);
const char *sluiced_state_dir(const struct sluiced *d);
pid_t sluiced_pid(const struct sluiced *d);

/* Where the log ends now; later searches can begin there. */
int64_t sluiced_log_mark(const struct sluiced *d);

/* Wait until a line after mark holds both texts (b may be NULL). */
bool sluiced_log_wait(struct sluiced *d, int64_t mark, const char *a, const char *b, int timeout_ms);

/* How many lines after mark hold this text. */
int sluiced_log_count(const struct sluiced *d, int64_t mark, const char *a);

/* The last lines of the log, on stderr: for a test that failed. */
void sluiced_log_show(const struct sluiced *d);

/* Peak resident memory in KiB; CPU time in microseconds, user and system.  Of the running process, else 0. */
int64_t sluiced_peak_kib(const struct sluiced *d);
int64_t sluiced_cpu_us(const struct sluiced *d);

/* Kill what runs and free.  NULL does nothing. */
void sluiced_free(struct sluiced *d);

#endif
