/* err.c - filling in a failure. */
#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { SYS_MAX = 96 }; /* bytes of ": " and what the system says */

/* End text at a whole UTF-8 character within cap, marked as cut. */
static void
cut(char *text, size_t cap)
{
    size_t keep = cap - sizeof("...");

    while (keep > 0 && ((unsigned char)text[keep] & 0xC0) == 0x80)
        keep--;
    memcpy(text + keep, "...", sizeof("..."));
}

int
err_set(struct err *err, enum err_code code, int sys, const char *fmt, ...)
{
    const int entered = errno; /* a caller may still want it */
    struct err made = {.code = code, .sys = sys};
    char why[SYS_MAX] = "", reason[SYS_MAX];
    va_list args;

    if (err == NULL)
        return -1;
    if (sys != 0)
        snprintf(why, sizeof(why), ": %s", strerror_r(sys, reason, sizeof(reason)));

    /* The system's reason is kept whole: it is the text before it that is cut.  All is made aside, since
     * err->text may be among the arguments, to say more about a failure. */
    const size_t room = sizeof(made.text) - strlen(why);
    va_start(args, fmt);
    const int n = vsnprintf(made.text, room, fmt, args);
    va_end(args);
    if (n < 0)
        made.text[0] = '\0';
    else if ((size_t)n >= room)
        cut(made.text, room);
    memcpy(made.text + strlen(made.text), why, strlen(why) + 1);

    *err = made;
    errno = entered;
    return -1;
}
