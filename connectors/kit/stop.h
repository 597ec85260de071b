/* stop.h - SIGINT and SIGTERM: the first asks to end in good order, the second to end now. */
#ifndef STOP_H
#define STOP_H

struct err;

/* Take both signals from here on.  SIGPIPE is ignored, so that a closed pipe or socket is an ordinary error. */
int stop_watch(struct err *err);

/* How often we were asked to stop; 0: go on. */
int stop_asked(void);

/* As if a signal had come n times (tests; 0 takes it back). */
void stop_set(int n);

#endif
