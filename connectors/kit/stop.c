#include "stop.h"

#include <errno.h>
#include <signal.h>

#include "err.h"

static volatile sig_atomic_t asked; /* the one thing that a signal handler may touch */

static void
on_signal(int number)
{
    (void)number;
    if (asked < 2)
        asked = asked + 1;
}

int
stop_watch(struct err *err)
{
    /* Without SA_RESTART a sleep ends when the signal comes: the stop is seen at once. */
    struct sigaction ask = {.sa_handler = on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    if (sigaction(SIGINT, &ask, NULL) != 0 || sigaction(SIGTERM, &ask, NULL) != 0 ||
        sigaction(SIGPIPE, &ignore, NULL) != 0)
        return err_set(err, ERR_IO, errno, "cannot watch for SIGINT and SIGTERM");
    return 0;
}

int
stop_asked(void)
{
    return (int)asked;
}

void
stop_set(int n)
{
    asked = n;
}
