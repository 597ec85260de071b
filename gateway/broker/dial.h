/* dial.h - finding a broker's address and connecting to it, never longer than was said.
 *
 * getaddrinfo knows no deadline, so names are looked up in a thread that is not waited for; connecting ends at once
 * when stop_fd becomes readable.  Thread: the publisher's only. */
#ifndef DIAL_H
#define DIAL_H

#include <stddef.h>
#include <stdint.h>

struct dialer;
struct err;

/* Remembers at most one unfinished look-up for each of n hosts.  Returns a new dialer, or NULL with *err filled. */
struct dialer *dialer_new(size_t n, int stop_fd, struct err *err);

/* Is host (the i-th) known to the resolver within timeout_us?  For libraries that must be given the name itself. */
int dialer_resolve(struct dialer *d, size_t i, const char *host, int port, int64_t timeout_us, struct err *err);

/* A TCP connection to host (the i-th): its addresses are tried in turn, all within timeout_us.  Returns a socket
 * (non-blocking, close-on-exec, no delay), or -1 with *err filled. */
int dialer_connect(struct dialer *d, size_t i, const char *host, int port, int64_t timeout_us, struct err *err);

/* NULL does nothing.  A look-up that is still under way ends by itself. */
void dialer_free(struct dialer *d);

#endif
