/* session.h - one life of a connection: what is published on it, and what the broker answers.
 *
 * A message that makes the broker close the channel takes all that are open with it: their fate is unknown.  They are
 * published again one at a time, until the culprit's turn closes the channel again; then it alone is refused.
 * A bundle of several messages is gone through by a cursor: only what is open has a place.  Those that are posted
 * behind it wait until all of it is begun.  When it has failed, what was put aside of it is not published again.
 * Bound: as many messages as the window holds, and as many again to be published anew.
 * Thread: the publisher's only. */
#ifndef SESSION_H
#define SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link.h"
#include "publisher.h"

struct bundle;
struct bundles;
struct err;
struct log;
struct outbox;
struct sender;
struct target_list;
struct window;
struct window_item;

enum { SESSION_RETURN_ID = 256 };

struct session {
    const struct pub_config *config; /* borrowed, as what follows */
    struct log              *log;
    struct outbox           *outbox;
    struct target_list      *targets;

    struct link    link;
    struct window *window; /* owned */
    struct sender *sender; /* owned */
    struct bundles *bundles; /* owned: those of several messages that are under way */
    struct bundle *current; /* of these, the one whose next message goes next; NULL: the batch is next */
    uint32_t       number; /* of this life; messages for another one are dropped */
    int64_t        now_us;
    int64_t        heard_us; /* when the broker last sent anything */
    bool           blocked;
    bool           more;     /* there is work that waits for nobody */
    bool           gated;    /* there is, once the kernel has less to send */
    int64_t        settle_us; /* there is, at this mono time: a queue settles; 0: none */

    const struct pub_message *batch; /* lent by the mailbox: from batch_at on it is to be published */
    size_t                    batch_n, batch_at;
    struct window_item       *again; /* owned: from again_at on it is published again, one at a time */
    size_t                    again_n, again_at;

    struct {             /* a message that comes back: method, header and body are read frame by frame */
        bool     open;
        uint64_t left;   /* bytes of body to come */
        char    *text;
        char     id[SESSION_RETURN_ID];
        size_t   id_len;
    } back;
};

/* Fill in what lives longer than a connection.  config, log, outbox and targets are set before. */
int session_init(struct session *s, struct err *err);

/* The link is open: a new life.  now: mono us. */
void session_begin(struct session *s, int64_t now);

/* May it be given more?  Not while it has something that was lent before. */
bool session_hungry(const struct session *s);
void session_feed(struct session *s, const struct pub_message *batch, size_t n);

/* One turn: read all that is there, look at targets, publish what may be.  -1: the link is of no more use. */
int session_turn(struct session *s, int64_t now, struct err *err);

/* The link is closed: everything that was open is forgotten, since PUB_DOWN answers for it. */
void session_end(struct session *s);

void session_free(struct session *s);

#endif
