/* rabbit.h - the bare minimum of librabbitmq that an honest publisher needs: one connection, confirms, a window.
 *
 * Messages carry what the gateway's carry (persistent, mandatory, message_id, the same headers), so that the broker
 * has the same work.  Thread: each link belongs to one. */
#ifndef RABBIT_H
#define RABBIT_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct rabbit;

enum { RABBIT_WINDOW = 200,
       RABBIT_WINDOW_BYTES = 8 * 1024 * 1024 };

struct rabbit *rabbit_open(int port, struct err *err);

/* Is there room in the window?  (one message is always allowed) */
int rabbit_room(const struct rabbit *r, size_t len);

/* Publish to the queue; there must be room. */
int rabbit_publish(struct rabbit *r, const char *queue, const char *connector, uint64_t seq, const void *body,
                   size_t len, struct err *err);

/* Take the confirms that are there, waiting for the first up to wait_ms. */
int rabbit_confirms(struct rabbit *r, int wait_ms, struct err *err);

/* So many, from the first on, are confirmed without a gap. */
uint64_t rabbit_settled(const struct rabbit *r);

/* For poll. */
int rabbit_fd(const struct rabbit *r);

void rabbit_close(struct rabbit *r);

#endif
