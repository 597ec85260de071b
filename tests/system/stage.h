/* stage.h - what the tests of faults have in common: a broker for all of them, a gateway for each.
 *
 * Functions fail the running test by themselves. */
#ifndef STAGE_H
#define STAGE_H

#include <stdbool.h>
#include <stdint.h>

struct ledger;
struct load;
struct load_plan;
struct load_result;
struct proxy;
struct sluiced;
struct sluiced_config;
struct world;

enum { STAGE_LOADS_MAX = 8 }; /* in one test */

struct stage {
    struct world *world;
    struct sluiced *gateway;
    struct ledger *ledger;
    struct proxy *proxy;
    struct load *loads[STAGE_LOADS_MAX]; /* that are not finished */
};

/* For cmocka: the group has the broker, each test a new ledger; what the test left is taken down after it. */
int stage_open(void **state);
int stage_close(void **state);
int stage_begin(void **state);
int stage_end(void **state);

/* Start a gateway; the broker is there. */
void stage_gateway(struct stage *s, const struct sluiced_config *config);

/* tests/broker does this; args for "ctl". */
void stage_broker(struct stage *s, const char *verb, const char *const *args);

/* Start connectors with the stage's ledger, at the gateway or (through) at the stage's proxy. */
struct load *stage_load(struct stage *s, const struct load_plan *plan, bool through);

/* Let it end, with every bundle answered. */
void stage_finish(struct stage *s, struct load *load, int timeout_ms, struct load_result *ret);

/* Empty the queue and compare: nothing lost, invented or renamed, at most so many repeated, in order (unless
 * disorder is allowed).  Prints the figures.  Returns how many were repeated. */
uint64_t stage_agrees(struct stage *s, const char *queue, uint64_t most_repeated, bool disorder);

/* Wait until so many more acks came, at most 20 s. */
void stage_await_acks(struct load *load, uint64_t more);

#endif
