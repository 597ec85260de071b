/* world.h - where a system test lives: a folder of its own, and a private RabbitMQ in it.
 *
 * Whatever becomes of the test program (an assertion, a signal, SIGKILL), nothing of it is left: a guard process
 * waits for the program's end, stops the broker and removes the folder.  Children of the program die with it.
 * Thread: the main thread only. */
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct world;

/* A new folder and its guard.  No broker yet.  Returns a new world, or NULL with *err filled. */
struct world *world_open(struct err *err);

/* Lent until world_close. */
const char *world_dir(const struct world *w);

/* Start the private broker; conf (may be NULL) is added to its rabbitmq.conf. */
int world_broker_start(struct world *w, const char *conf, struct err *err);

/* The same with options of tests/broker start ("--management"; a NULL-terminated list). */
int world_broker_start_with(struct world *w, const char *const *options, const char *conf, struct err *err);

/* Have tests/broker do something else: "stop", "kill", "freeze", "thaw", "restart", or "ctl" with args for
 * rabbitmqctl (a NULL-terminated list; NULL for none). */
int world_broker(struct world *w, const char *verb, const char *const *args, struct err *err);

/* The AMQP port of the broker, 0 before it was started; it stays the same when the broker is restarted. */
int world_broker_port(const struct world *w);

/* The port of its management API, 0: not asked for. */
int world_management_port(const struct world *w);

/* Wait for the end of the guard: broker, folder and guard are gone.  NULL does nothing. */
void world_close(struct world *w);

/* A file of the build folder ("sluiced") or of the source tree ("tests/broker"), written into buf.
 * The build folder is the nearest one above this program that holds sluiced, or $SLUICE_BUILD. */
const char *world_built(const char *name, char *buf, size_t cap);
const char *world_source(const char *name, char *buf, size_t cap);

/* A file of the shared test data (../shared/data, or $SLUICE_SHARED/data); NULL where it is absent. */
const char *world_data(const char *name, char *buf, size_t cap);

/* A loopback port that nobody listens on now. */
int world_free_port(void);

/* Run a program to its end, at most timeout_ms, then it is killed.  argv[0] is its path.  Its stdout and stderr
 * are both in out (NUL-terminated, cut at cap).  Returns its exit status, 128 + signal, or -1 with *err. */
int world_run(const char *const *argv, int timeout_ms, char *out, size_t cap, struct err *err);

/* Start a program whose stdout and stderr are appended to the file log; no SLUICE_ variable is inherited.  It
 * is killed when this program ends.  Returns its pid, or -1 with *err. */
pid_t world_spawn(const char *const *argv, const char *log, struct err *err);

/* Wait at most timeout_ms for the end of a child.  Exit status or 128 + signal, or -1: still running. */
int world_wait(pid_t pid, int timeout_ms);

/* User and system time of a process so far, in microseconds; 0 if there is none. */
int64_t world_cpu_us(pid_t pid);

void world_sleep_ms(int64_t ms);

/* Are this run's tests to be exhaustive?  ($TEST_LONG) */
bool world_long(void);

#endif
