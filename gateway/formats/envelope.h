/* envelope.h - what is around the content of each message of a bundle, as pycti's connectors send it:
 *
 *     {"bundle_type":"QUEUE_BUNDLE","applicant_id":...,"action_sequence":N,"entities_types":[...],"content":"...",
 *      "update":...,"draft_id":...,"work_id":...}
 *
 * and behind that, where it is asked for, "no_split":true and the options that are not known here.
 * Thread: who makes it; later any, read only. */
#ifndef ENVELOPE_H
#define ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "budget.h"

struct options;

/* The fixed pieces: before the number, between number and content, behind the content. */
struct envelope {
    char    *text; /* owned: all three */
    uint32_t before, between, behind; /* their bytes */
    struct budget *budget;
};

/* applicant_id: of who the options name none for; "" for none.  false: no memory. */
bool envelope_make(const struct options *o, const char *applicant_id, struct budget *budget, struct envelope *ret);
void envelope_close(struct envelope *e);

/* Bytes of message `number` (from 1) with content of so many bytes. */
uint64_t envelope_size(const struct envelope *e, uint32_t number, uint64_t content);

/* Write what is before the content, and behind it: behind what was written. */
char *envelope_begin(const struct envelope *e, uint32_t number, char *to);
void envelope_end(const struct envelope *e, char *to);

#endif
