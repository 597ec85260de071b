/* echo.h - a process of one thread: a ROUTER that sends back what it takes.  The yardstick of an answer. */
#ifndef ECHO_H
#define ECHO_H

#include <stdint.h>

struct echo;
struct err;

struct echo *echo_start(const char *endpoint, struct err *err);

/* User and system time of its process so far. */
int64_t echo_cpu_us(const struct echo *e);

/* End it.  NULL does nothing. */
void echo_stop(struct echo *e);

#endif
