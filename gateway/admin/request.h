/* request.h - one line of an operator, read strictly.  Pure; any thread. */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "core/core.h"

struct err;

struct request {
    bool             status;        /* else it is an action */
    enum core_action action;
    const char      *name;          /* of what is to be done, static */
    char             connector[65]; /* ""; none was named */
};

/* -1: *err says what is wrong with it and what there is (ERR_PROTO). */
int request_read(const char *line, size_t len, struct request *ret, struct err *err);

#endif
