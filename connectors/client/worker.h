/* worker.h - the library's own thread: it alone touches the session and the link.
 *
 * It collects what callers put on the desk, lets the session and the link work, and reports. */
#ifndef WORKER_H
#define WORKER_H

#include <stdint.h>

struct desk;
struct err;
struct link;
struct session;
struct worker;

/* Start the thread, with the caller's signal mask.  Borrows the desk, takes *session and *link (NULL afterwards)
 * unless it returns NULL with *err filled (ERR_NOMEM, ERR_IO). */
struct worker *worker_start(struct desk *desk, struct session **session, struct link **link,
                            void (*on_log)(void *ctx, int level, const char *text), void *log_ctx, struct err *err);

/* After desk.closing was set: wait for the thread to say bye, and free everything it had.  What was still
 * unanswered is freed too. */
void worker_stop(struct worker *w);

#endif
