/* thread.h - starting a thread of the gateway.  Any thread. */
#ifndef THREAD_H
#define THREAD_H

#include <pthread.h>

struct err;

/* run(arg) in a thread that no signal is delivered to: signals are for the loop, and a broken pipe is an ordinary
 * error.  What it starts inherits that.  `what` names it where it cannot be started.  Join it.  Returns 0, or -1 with
 * *err (ERR_IO), and there is none. */
int thread_start(pthread_t *ret, void *(*run)(void *), void *arg, const char *what, struct err *err);

#endif
