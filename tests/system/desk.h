/* desk.h - somebody who gives messages to a publisher, and sees to it that each gets exactly one result.
 *
 * What fails ends the test.  Thread: the main thread only. */
#ifndef DESK_H
#define DESK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "body.h"
#include "broker/publisher.h"

struct log;
struct mailbox;
struct rabbit;

enum {
    WAIT_MS = 60000,    /* for what must happen */
    STOP_US = 1000000,  /* what a publisher is given to stop */
    TICKETS = 20001,
    PARTS_SEQ = 42,
    HUNG_US = 2000000
};

struct desk {
    struct pub_host     host;
    struct pub_config   config;
    struct mailbox     *events;
    struct log         *log;
    int                 log_fd;
    struct publisher   *p;
    uint32_t            session;
    char                ca[700];
    enum pub_event_kind result[TICKETS];           /* by ticket; PUB_UP: none yet */
    size_t              results;
    size_t              count[PUB_BAD_TARGET + 1]; /* events by kind */
    char                text[600];                 /* of the last event that had one */
};

/* A desk with a configuration that may be changed before desk_start. */
struct desk *desk_new(const char *host, int port);
void desk_start(struct desk *d);

/* Both, and wait for PUB_UP. */
struct desk *desk_up(const struct rabbit *r);

/* Stop the publisher, in bounded time whatever the state it is in, and free. */
void desk_free(struct desk *d);

/* Take what came. */
void desk_take(struct desk *d);

/* Does the count of a kind reach n in time? */
bool desk_sees(struct desk *d, enum pub_event_kind kind, size_t n, int ms);

/* Wait for n results in all. */
void desk_results(struct desk *d, size_t n);

/* Does a line of the log hold this within the time? */
bool desk_logged(struct desk *d, const char *text, int ms);

/* Of n tickets, how many had this result? */
size_t results_of(const struct desk *d, uint64_t first, size_t n, enum pub_event_kind kind);

/* A body in chunks, filled so that a byte out of place is seen. */
struct body *body_new(size_t size, size_t chunk);
void body_free(struct body *b);

/* The default exchange, to a queue. */
struct pub_target to_queue(const char *name);

/* n messages; ticket and sequence of the first are `first`. */
void post(struct desk *d, const struct pub_target *target, const struct body *body, uint64_t first, size_t n);

/* A bundle of several messages; its sequence is PARTS_SEQ. */
void post_parts(struct desk *d, const struct pub_target *target, struct parts *parts, uint64_t ticket);

/* Messages of many shapes, each read back from the queue and compared. */
void bodies_arrive_byte_for_byte(struct desk *d, const struct rabbit *r, const char *queue);

#endif
