/* outbox.h - results on their way to the loop: gathered, and posted together with one wake-up.
 *
 * Bound: OUTBOX_MAX, then they are posted.  Thread: the publisher's only. */
#ifndef OUTBOX_H
#define OUTBOX_H

#include <stddef.h>
#include <stdint.h>

#include "publisher.h"

struct log;
struct mailbox;

enum { OUTBOX_MAX = 256 };

struct outbox {
    struct mailbox  *to;        /* borrowed */
    struct log      *log;       /* borrowed; may be NULL */
    int              stop_fd;   /* readable: give up where there is no memory */
    uint32_t         publisher;
    size_t           n;
    struct pub_event events[OUTBOX_MAX];
};

/* Add one.  Takes text (malloc, or NULL). */
void outbox_add(struct outbox *o, enum pub_event_kind kind, uint32_t session, uint64_t ticket, char *text);

/* Hand over what was added.  Where memory is short it waits: a result that is lost would be waited for without end. */
void outbox_flush(struct outbox *o);

#endif
