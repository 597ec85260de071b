/* request.h - one line of an operator, read strictly.  Pure; any thread. */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

struct err;

enum request_kind { REQUEST_STATUS, REQUEST_LETTERS, REQUEST_ACT, REQUEST_REPLAY, REQUEST_DROP };

struct request {
    enum request_kind kind;
    enum core_action action;        /* of REQUEST_ACT */
    uint64_t         pos;           /* of a dead letter: from 1; 0: none was named */
    const char      *name;          /* of what is to be done, static */
    char             connector[65]; /* ""; none was named */
};

/* -1: *err says what is wrong with it and what there is (ERR_PROTO). */
int request_read(const char *line, size_t len, struct request *ret, struct err *err);

#endif
