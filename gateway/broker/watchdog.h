/* watchdog.h - cuts a connection whose owner is stuck in a library call.
 *
 * librabbitmq 0.11 can wait for ever while it sends: a broker under an alarm stops reading, and a frozen one answers
 * nothing.  The one way out is shutdown() of the socket from another thread: the call then fails at once.  The
 * watchdog's thread does only that, on a descriptor of its own, so that it can never hit a socket that got the
 * same number after the owner closed his.
 * Threads: enter, leave, guard and release from the owner's; stop_by from any. */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct watchdog;

/* Start the thread.  A call that lasts hung_us is cut.  Returns a new watchdog, or NULL with *err filled. */
struct watchdog *watchdog_start(int64_t hung_us, struct err *err);

/* Around every library call on the guarded connection. */
void watchdog_enter(struct watchdog *dog);
void watchdog_leave(struct watchdog *dog);

/* Guard fd (duplicated) from now on. */
int watchdog_guard(struct watchdog *dog, int fd, struct err *err);

/* The owner gives the connection up.  Returns whether it had been cut. */
bool watchdog_release(struct watchdog *dog);

/* From mono time at_us on, no call is waited for: the owner must end. */
void watchdog_stop_by(struct watchdog *dog, int64_t at_us);

/* End the thread and free.  NULL does nothing. */
void watchdog_free(struct watchdog *dog);

#endif
