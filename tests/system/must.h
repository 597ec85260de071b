/* must.h - for cmocka tests: a step of the test itself has to succeed, and says why it did not. */
#ifndef MUST_H
#define MUST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above */
#include <cmocka.h>

#include "err.h"

/* MUST(call(..., &err)): 0 or positive is well. */
#define MUST(call)                               \
    do {                                         \
        struct err err = {.code = ERR_NONE};     \
        if ((call) < 0)                          \
            fail_msg("%s: %s", #call, err.text); \
    } while (0)

/* pointer = MUST_HAVE(make(..., &err)) */
#define MUST_HAVE(to, call)                      \
    do {                                         \
        struct err err = {.code = ERR_NONE};     \
        (to) = (call);                           \
        if ((to) == NULL)                        \
            fail_msg("%s: %s", #call, err.text); \
    } while (0)

#endif
