/* bad.h - the stage of tests with bad input: a gateway, an honest connector that pushes all the time, and raw peers.
 *
 * After each test the honest connector must still get its acks, and the gateway must live.  Functions fail the
 * running test by themselves. */
#ifndef BAD_H
#define BAD_H

#include <stddef.h>
#include <stdint.h>

#include "peer.h"
#include "wire.h"

enum {
    BAD_WAIT_MS = 30000,
    BAD_CHUNK = 64 * 1024,
    BAD_MAX_BUNDLE = 1024 * 1024
};

struct bad {
    struct world *world;
    struct sluiced *gateway;
    struct consumer *consumer;
    struct ledger *ledger;
    struct load *honest;                /* its messages are in the queue "honest" */
    int64_t mark;                       /* where the log ended when the test began */
    int64_t quiet;                      /* from where on the lines of the log count against its limit */
    unsigned char bytes[BAD_CHUNK + 1]; /* for a test to send */
};

/* For cmocka. */
int bad_open(void **state);
int bad_close(void **state);
int bad_begin(void **state);
int bad_honest_goes_on(void **state);
#define BAD(f) cmocka_unit_test_setup_teardown(f, bad_begin, bad_honest_goes_on)

/* The last test of a group: the honest connector's ledger agrees, nothing went twice, the gateway stops in order. */
void bad_the_honest_connector_lost_nothing_meanwhile(void **state);

/* Larger than all before. */
uint64_t bad_epoch(void);

/* A connection; one that is welcomed as connector "raw". */
struct peer *bad_peer(struct bad *s);
struct peer *bad_welcomed(struct bad *s, uint64_t epoch);

void bad_say(struct peer *p, const void *bytes, size_t len);

/* The gateway tells the peer of this error, and its log tells the operator. */
struct wire_msg bad_told(struct bad *s, struct peer *p, enum wire_reason code);

/* The connection is still of use. */
void bad_lives(struct peer *p, uint64_t epoch);

/* Push one small bundle in order and wait for its ack. */
void bad_push_well(struct peer *p, uint64_t seq);

struct wire_msg bad_hello(const char *id, uint64_t epoch);

#endif
