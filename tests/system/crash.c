/* crash.c - in the place of the gateway's own: SLUICE_CRASH_AT=3:7 kills the process when it is at step S3 for the
 * seventh time, as SIGKILL from outside would. */
#include "crash.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    long step; /* -1: none */
    atomic_long left;
} at = {.step = -1};

/* Before the settings are read, to which the variable would be an unknown key. */
__attribute__((constructor)) static void
read_point(void)
{
    const char *text = getenv("SLUICE_CRASH_AT");
    char *end;

    if (text == NULL)
        return;
    at.step = strtol(text, &end, 10);
    atomic_store(&at.left, *end == ':' ? strtol(end + 1, NULL, 10) : 1);
    unsetenv("SLUICE_CRASH_AT");
}

void
crash_point(enum crash_step step)
{
    if ((long)step == at.step && atomic_fetch_sub(&at.left, 1) == 1)
        kill(getpid(), SIGKILL);
}
