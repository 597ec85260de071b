/* publisher.h - one AMQP connection, and a thread that owns it: publishes with confirms.
 *
 * Messages go in through a mailbox, and exactly one result comes back for each, or one PUB_DOWN for all
 * that are open.  The publisher knows nothing of connectors' schedules or of custody: it keeps a confirm
 * window, finds the message that made the broker close the channel, and cuts a connection that hangs.
 * Bound: it holds what was posted, which the core keeps within memory_limit.
 *
 * Sessions: each PUB_UP begins one.  A message is posted for the session that the poster knows; one that
 * is for an older session is dropped unread, since PUB_DOWN has answered for it. */
#ifndef PUBLISHER_H
#define PUBLISHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct body;
struct err;
struct log;
struct mailbox;
struct parts;
struct publisher;

/* Where a connector's messages go.  Immutable; lent until publisher_free. */
struct pub_target {
    const char *exchange;    /* "" is the default exchange */
    const char *routing_key; /* at most 255 bytes */
    const char *queue;       /* verified to exist and be durable; "" cannot be verified, and a line says so */
    const char *opencti_id;  /* a queue of OpenCTI's, of this connector: declared with its arguments; NULL: not so */
    bool        declare;     /* create queue (durable, classic), exchange (durable, direct) and binding if missing; a
                              * new queue is published to 2 s later: RabbitMQ may forget a younger one in a kill */
};

struct pub_host {
    const char *host;
    int         port;
};

/* Borrowed until publisher_free. */
struct pub_config {
    const struct pub_host *hosts; /* tried in turn */
    size_t      n_hosts;
    const char *vhost, *user, *password;
    bool        tls;          /* amqps: TLS 1.2 or later, host name checked against the certificate */
    const char *ca_file;      /* required with tls */
    const char *cert_file, *key_file; /* of the client; NULL: none */
    const char *name;         /* connection_name shown by the broker's management */
    uint32_t    window;       /* most unconfirmed messages */
    uint64_t    window_bytes; /* most unconfirmed body bytes (one message is always allowed) */
    int64_t     heartbeat_us; /* whole seconds */
    int64_t     hung_us;      /* a library call longer than this is cut by the watchdog, and so is a broker that says
                               * nothing for as long while it owes confirms; above the heartbeat */
    int64_t     retry_min_us, retry_max_us; /* reconnect: doubling, full jitter, reset after 60 s up */
    uint64_t    seed;         /* of the jitter */
};

/* What is posted: a bundle, which is one message, its body as it came, or as many as its parts.  These go in order, and
 * the bundle has one result, when nothing of it is open any more (bundle.h says which).  Posted again after PUB_NACKED
 * or PUB_DOWN, only what was not confirmed is published again: that is noted in its parts. */
struct pub_message {
    uint64_t                 ticket;  /* the poster's own; comes back in the result */
    uint32_t                 session; /* from PUB_UP */
    const struct pub_target *target;
    const struct body       *body;    /* borrowed until the result; not looked at where there are parts */
    struct parts            *parts;   /* what is published instead; NULL: the body.  Borrowed likewise, and changed */
    const char              *connector; /* id; borrowed likewise */
    uint64_t                 epoch, seq; /* message_id is "<connector>/<epoch>/<seq>"; of several messages, each has
                                          * "<connector>/<epoch>/<seq>/<part>", from 1 */
};

enum pub_event_kind {
    PUB_UP,        /* connected and logged in; session is new */
    PUB_DOWN,      /* lost: nothing of this session will be reported any more; bodies and parts are no longer touched */
    PUB_BLOCKED,   /* the broker announced an alarm: nothing more is published */
    PUB_UNBLOCKED,
    PUB_CONFIRMED, /* the broker has it, all of it, in a queue */
    PUB_NACKED,    /* the broker did not take it, or its queue was deleted just before, or there was no memory to make
                    * its messages: try again later */
    PUB_RETURNED,  /* no queue is bound to that exchange for that key (basic.return) */
    PUB_REFUSED,   /* the broker closed the channel over this very message (text: its words) */
    PUB_TOO_LARGE, /* likewise, since it is larger than the broker takes */
    PUB_BAD_TARGET /* the target is missing or would lose what is confirmed; not published (text: why) */
};

/* What comes back.  text is allocated with malloc, and owned by who takes the event; NULL for none.  Where a bundle has
 * several messages, it names the one that it is about: "message 3 of 42: ...". */
struct pub_event {
    enum pub_event_kind kind;
    uint32_t publisher; /* as given to publisher_start */
    uint32_t session;
    uint64_t ticket;
    char    *text;
};

/* Start the thread (all signals blocked in it).  Events go to `events` (of struct pub_event), with `number` in them.
 * Borrows all of it until publisher_free.  Returns a new publisher, or NULL with *err filled. */
struct publisher *publisher_start(const struct pub_config *config, uint32_t number, struct mailbox *events,
                                  struct log *log, struct err *err);

/* Post n messages, in order.  -1 (ERR_NOMEM): none was posted. */
int publisher_post(struct publisher *p, const struct pub_message *messages, size_t n, struct err *err);

/* Verify (and declare, if asked) a target now and after each connect; its state is logged when it changes. */
int publisher_add_target(struct publisher *p, const struct pub_target *target, struct err *err);

/* Stop publishing, close the connection in at most timeout_us, end the thread, free.  NULL does nothing.
 * Only a TLS handshake that is under way cannot be interrupted: it may take hung_us or 5 s, whichever is less. */
void publisher_free(struct publisher *p, int64_t timeout_us);

#endif
