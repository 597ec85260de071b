/* ledger.h - what was pushed, what was answered for, what came out of the queue; and whether that agrees.
 *
 * A body says who it is: connector and number are in its first bytes, the rest follows from them, so a body that
 * comes out of a queue proves itself byte for byte without a copy being kept.
 * Threads: any, but ledger_check, which is called when all others are done.
 * Bound: one small entry for each bundle of the test. */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct consumed;
struct ledger;

enum { LEDGER_BODY_MIN = 32 };

enum ledger_answer { LEDGER_OPEN,
                     LEDGER_ACKED,
                     LEDGER_DEAD,
                     LEDGER_NACKED };

struct ledger *ledger_new(void);

/* Write the body of bundle `number` (from 1) of connector `who` into buf. */
void ledger_body(void *buf, size_t size, uint32_t who, uint64_t number);

/* The connector starts handing it over; numbers are pushed in order. */
void ledger_pushed(struct ledger *l, uint32_t who, uint64_t number, size_t size);

/* Its verdict came. */
void ledger_answered(struct ledger *l, uint32_t who, uint64_t number, enum ledger_answer answer);

/* A message came out of the queue. */
void ledger_consumed(struct ledger *l, const struct consumed *message);

/* As a callback of consumer_drain; ctx is the ledger. */
void ledger_take(void *ctx, const struct consumed *message);

struct ledger_report {
    uint64_t pushed, acked, dead, nacked, open;
    uint64_t consumed;   /* messages */
    uint64_t unique;     /* bundles */
    uint64_t lost;       /* acked, and not in the queue */
    uint64_t invented;   /* not what was pushed: unknown or altered bytes, or another connector's name on it */
    uint64_t refused;    /* nacked or dead, and in the queue all the same */
    uint64_t repeated;   /* messages beyond the first of a bundle */
    uint64_t redelivered; /* of those: the broker says that it gave it to a consumer before */
    uint64_t renamed;    /* repeated, but with another message_id, so that nobody could tell */
    uint64_t disordered; /* first occurrences that came after a later bundle of the same connector */
    char first[200];     /* the first fault found, in words */
};

void ledger_check(struct ledger *l, struct ledger_report *ret);

/* The promise: nothing lost, invented, refused, renamed, disordered, open; at most this many repeated.
 * false: *text says what is wrong, with all figures. */
bool ledger_good(const struct ledger_report *r, uint64_t most_repeated, char *text, size_t cap);

void ledger_free(struct ledger *l);

#endif
