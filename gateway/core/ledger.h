/* ledger.h - what RabbitMQ has taken of a queue's messages, oldest first, in bounded memory.
 *
 * A gauge asks it for upper bounds, and entries that are joined to save room may raise an answer but never
 * lower it: an entry of several messages knows their sum and the largest of them, and counts as settled when
 * the last of them was.  Times are monotonic microseconds.  Belongs to one gauge. */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdbool.h>
#include <stdint.h>

enum { LEDGER_MOST = 512 }; /* entries; 56 bytes each */

struct entry {
    uint64_t first, last; /* places in the order of publishing that it covers */
    int64_t  settled_us;  /* all of it is in the queue, or was, since then */
    uint64_t bytes, messages;
    uint64_t ghosts;      /* of these messages: those that may lie earlier in the queue than here */
    uint64_t largest;     /* no message of it is larger */
};

struct ledger {
    struct entry *entries; /* owned; NULL while there is nothing */
    uint32_t n, cap;
    uint32_t most;         /* 4 to LEDGER_MOST */
    uint64_t messages;     /* in all entries */
};

struct ledger_sum {
    uint64_t bytes, messages;
};

/* Make room, so that ledger_put cannot fail.  false: no memory at all. */
bool ledger_room(struct ledger *l);

/* Write e down at its place; ledger_room was true before.  Copies. */
void ledger_put(struct ledger *l, const struct entry *e);

/* What was settled after cut_us. */
struct ledger_sum ledger_since(const struct ledger *l, int64_t cut_us);

/* Was anything settled after from_us, and not after to_us? */
bool ledger_any(const struct ledger *l, int64_t from_us, int64_t to_us);

/* How much the newest n messages can weigh, and the largest `holes` of those before, among what was settled
 * by until_us.  false: it holds fewer than n there. */
bool ledger_tail(const struct ledger *l, int64_t until_us, uint64_t n, uint64_t holes, uint64_t *ret_bytes);

/* How much the newest n messages at least weigh, in whole entries, among what was settled by until_us. */
uint64_t ledger_tail_least(const struct ledger *l, int64_t until_us, uint64_t n);

/* Can that much have been settled between floor_us and cut_us?  *ret_us: not before which time it then was. */
bool ledger_explains(const struct ledger *l, int64_t cut_us, int64_t floor_us, struct ledger_sum much,
                     int64_t *ret_us);

/* Join what was settled by until_us and has more than `deep` messages after it. */
void ledger_fold(struct ledger *l, int64_t until_us, uint64_t deep);

/* Forget what was settled by until_us: it is proved to be gone. */
void ledger_forget(struct ledger *l, int64_t until_us);

/* NULL, or what is wrong with it. */
const char *ledger_check(const struct ledger *l);

void ledger_free(struct ledger *l);

#endif
