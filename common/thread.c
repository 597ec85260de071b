/* thread.c - starting a thread of the gateway. */
#include "thread.h"

#include <signal.h>

#include "err.h"

int
thread_start(pthread_t *ret, void *(*run)(void *), void *arg, const char *what, struct err *err)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int rc = pthread_create(ret, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? 0 : err_set(err, ERR_IO, rc, "%s cannot be started", what);
}
