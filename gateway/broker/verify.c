/* verify.c - will what is confirmed there still be there after a restart of the broker?
 *
 * AMQP has no question for a queue's properties.  What there is: declaring an existing queue anew as durable and with
 * no arguments.  RabbitMQ compares, in this order, the owner (405), then durable, auto_delete, and the arguments
 * (406, naming the first that differs).  So a 406 that names an argument says that the rest is as it should be.
 * A user without the permission to configure gets 403: then durability stays unknown, and a line says so. */
#include "verify.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "link.h"
#include "log.h"
#include "publisher.h"
#include "target.h"
#include "watchdog.h"

/* RabbitMQ 3.10 writes a new queue's record to the disk a while after it has said that the queue is declared.  Killed
 * in between, it comes back without the queue, and without the messages that it had confirmed: in 4 of 17 runs where
 * it was killed within 0.4 s of the declaration, in 0 of 15 where after 0.6 s or more.  So nothing is published before
 * this. */
enum { SETTLE_US = 2000000 };

/* One look at one target. */
struct look {
    struct link   *l;
    struct target *target;
    const char    *vhost;
    struct log    *log;
    int64_t        now;        /* mono us */
    int            code;       /* of the broker's last refusal; 0: it said yes */
    char           words[LINK_WORDS]; /* its text, such as "NOT_FOUND - no queue 'x' in vhost '/'" */
};

static bool
starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The target is bad; returns 0, since the link is not. */
static int __attribute__((format(printf, 2, 3)))
bad(struct look *k, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(k->target->text, sizeof(k->target->text), fmt, args);
    va_end(args);
    k->target->state = TARGET_BAD;
    return 0;
}

static bool
is_bad(const struct look *k)
{
    return k->target->state == TARGET_BAD;
}

/* --- Asking --------------------------------------------------------------------------------------------------- */

/* Note the answer to the call that was just made.  A refusal closes the channel, which the next question reopens. */
static int
answer(struct look *k, const char *what, struct err *err)
{
    return link_answer(k->l, LINK_VERIFY, what, &k->code, k->words, err);
}

static int
begin(struct look *k, struct err *err)
{
    if (!k->l->open[LINK_VERIFY] && link_channel(k->l, LINK_VERIFY, err) != 0)
        return -1;
    watchdog_enter(k->l->dog);
    return 0;
}

static int
ask_queue(struct look *k, bool passive, struct err *err)
{
    if (begin(k, err) != 0)
        return -1;
    amqp_queue_declare(k->l->conn, LINK_VERIFY, amqp_cstring_bytes(k->target->def->queue), passive, 1, 0, 0,
                       amqp_empty_table);
    return answer(k, "declaring a queue", err);
}

static amqp_table_entry_t
argument(const char *key, const char *value)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)}};
}

/* As OpenCTI's platform declares a connector's queue, which it does again with every ping of that connector: only an
 * x-argument that differs would be refused (406), and name and config are for people. */
static int
create_opencti_queue(struct look *k, struct err *err)
{
    const char *id = k->target->def->opencti_id;
    amqp_field_value_t scope = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("not-applicable")};
    const amqp_field_value_t scopes = {.kind = AMQP_FIELD_KIND_ARRAY, .value.array = {1, &scope}};
    amqp_table_entry_t config[] = {argument("id", id), argument("type", "EXTERNAL_IMPORT"), argument("scope", "")};
    const amqp_field_value_t table = {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {3, config}};
    amqp_table_entry_t all[] = {argument("name", id), argument("config", ""), argument("x-queue-type", "classic")};

    config[2].value = scopes;
    all[1].value = table;
    if (begin(k, err) != 0)
        return -1;
    amqp_queue_declare(k->l->conn, LINK_VERIFY, amqp_cstring_bytes(k->target->def->queue), 0, 1, 0, 0,
                       (amqp_table_t){3, all});
    return answer(k, "declaring a queue of OpenCTI's", err);
}

static int
create_queue(struct look *k, struct err *err)
{
    return k->target->def->opencti_id != NULL ? create_opencti_queue(k, err) : ask_queue(k, false, err);
}

static int
ask_exchange(struct look *k, bool passive, struct err *err)
{
    if (begin(k, err) != 0)
        return -1;
    amqp_exchange_declare(k->l->conn, LINK_VERIFY, amqp_cstring_bytes(k->target->def->exchange),
                          amqp_cstring_bytes("direct"), passive, 1, 0, 0, amqp_empty_table);
    return answer(k, "declaring an exchange", err);
}

static int
ask_binding(struct look *k, struct err *err)
{
    const struct pub_target *def = k->target->def;

    if (begin(k, err) != 0)
        return -1;
    amqp_queue_bind(k->l->conn, LINK_VERIFY, amqp_cstring_bytes(def->queue), amqp_cstring_bytes(def->exchange),
                    amqp_cstring_bytes(def->routing_key), amqp_empty_table);
    return answer(k, "binding a queue", err);
}

/* --- Judging -------------------------------------------------------------------------------------------------- */

static int
note(struct look *k, const char *event, const char *why)
{
    if (!k->target->noted)
        log_event(k->log, LOG_WARN, event, LOG_STR("exchange", k->target->def->exchange),
                  LOG_STR("routing_key", k->target->def->routing_key), LOG_STR("queue", k->target->def->queue),
                  LOG_STR("why", why));
    k->target->noted = true;
    return 0;
}

static int
judge_exchange(struct look *k, struct err *err)
{
    const char *name = k->target->def->exchange;

    if (name[0] == '\0')
        return 0; /* the default exchange is always there */
    if (ask_exchange(k, true, err) != 0)
        return -1;
    if (k->code == AMQP_NOT_FOUND && k->target->def->declare && ask_exchange(k, false, err) != 0)
        return -1;
    if (k->code == AMQP_NOT_FOUND)
        return bad(k, "exchange '%s' does not exist in vhost '%s': declare it, or set declare = true", name, k->vhost);
    if (k->code != 0)
        return bad(k, "exchange '%s' in vhost '%s': %d %s", name, k->vhost, k->code, k->words);
    return 0;
}

static int
declare_queue(struct look *k, struct err *err)
{
    if (create_queue(k, err) != 0)
        return -1;
    if (k->code == 0) {
        k->target->settled_us = k->now + SETTLE_US;
        log_event(k->log, LOG_INFO, "queue_declared", LOG_STR("queue", k->target->def->queue),
                  LOG_INT("settles_ms", SETTLE_US / 1000));
    }
    return 0;
}

static int
exclusive(struct look *k)
{
    return bad(k,
               "queue '%s' in vhost '%s' is exclusive: it ends with the connection that declared it, and what it "
               "confirmed with it; declare it durable and not exclusive",
               k->target->def->queue, k->vhost);
}

static int
judge_presence(struct look *k, struct err *err)
{
    const char *name = k->target->def->queue;

    if (ask_queue(k, true, err) != 0)
        return -1;
    if (k->code == AMQP_NOT_FOUND && starts(k->words, "NOT_FOUND - no queue")) {
        if (!k->target->def->declare && k->target->was_good)
            return bad(k,
                       "queue '%s' is gone from vhost '%s', where it was before: declare it again, or set declare = "
                       "true; its messages are taken again once it is there",
                       name, k->vhost);
        if (!k->target->def->declare)
            return bad(k, "queue '%s' does not exist in vhost '%s': declare it, or set declare = true", name, k->vhost);
        if (declare_queue(k, err) != 0)
            return -1;
    }
    if (k->code == AMQP_RESOURCE_LOCKED)
        return exclusive(k);
    if (k->code != 0)
        return bad(k, "queue '%s' in vhost '%s': %d %s", name, k->vhost, k->code, k->words);
    return 0;
}

static int
judge_durability(struct look *k, struct err *err)
{
    const char *name = k->target->def->queue, *differs = "PRECONDITION_FAILED - inequivalent arg ";

    if (ask_queue(k, false, err) != 0)
        return -1;
    if (k->code == AMQP_ACCESS_REFUSED)
        return note(k, "target_durability_unknown",
                    "the user may not configure this queue, which is how the broker is asked: see that it is durable");
    if (k->code == AMQP_RESOURCE_LOCKED)
        return exclusive(k);
    if (k->code == 0)
        return 0;
    if (k->code != AMQP_PRECONDITION_FAILED || !starts(k->words, differs))
        return bad(k, "queue '%s' in vhost '%s': %d %s", name, k->vhost, k->code, k->words);

    const char *arg = k->words + strlen(differs);
    if (starts(arg, "'durable'"))
        return bad(k,
                   "queue '%s' in vhost '%s' is transient: a restart of the broker would lose what it confirmed; "
                   "delete it and declare it durable",
                   name, k->vhost);
    if (starts(arg, "'auto_delete'") || starts(arg, "'exclusive'"))
        return bad(k,
                   "queue '%s' in vhost '%s' is auto-delete or exclusive: it would vanish with what it confirmed; "
                   "delete it and declare it durable, neither auto-delete nor exclusive",
                   name, k->vhost);
    return 0; /* it is durable, and has arguments (a quorum queue, a limit), which are the operator's business */
}

static int
judge_queue(struct look *k, struct err *err)
{
    const struct pub_target *def = k->target->def;

    if (def->queue[0] == '\0')
        return note(k, "target_unverified",
                    "it names no queue, so nothing is known of where its messages are kept: set queue");
    if (def->exchange[0] == '\0' && strcmp(def->queue, def->routing_key) != 0)
        note(k, "target_elsewhere",
             "the default exchange delivers to the queue that routing_key names, and not to this one: set queue to it");
    if (judge_presence(k, err) != 0)
        return -1;
    return is_bad(k) ? 0 : judge_durability(k, err);
}

static int
judge_binding(struct look *k, struct err *err)
{
    const struct pub_target *def = k->target->def;

    if (!def->declare || def->exchange[0] == '\0' || def->queue[0] == '\0')
        return 0;
    if (ask_binding(k, err) != 0)
        return -1;
    if (k->code != 0)
        return bad(k, "binding queue '%s' to exchange '%s' in vhost '%s': %d %s", def->queue, def->exchange, k->vhost,
                   k->code, k->words);
    return 0;
}

static void
tell(struct look *k)
{
    struct target *t = k->target;

    if (t->state == t->told || t->state == TARGET_SETTLING)
        return; /* for the latter, declare_queue has said it */
    t->told = t->state;
    t->was_good = t->was_good || t->state == TARGET_GOOD;
    if (t->state == TARGET_GOOD)
        log_event(k->log, LOG_INFO, "target_good", LOG_STR("exchange", t->def->exchange),
                  LOG_STR("routing_key", t->def->routing_key), LOG_STR("queue", t->def->queue));
    else
        log_event(k->log, LOG_ERROR, "target_bad", LOG_STR("exchange", t->def->exchange),
                  LOG_STR("routing_key", t->def->routing_key), LOG_STR("queue", t->def->queue),
                  LOG_STR("why", t->text));
}

int
verify_target(struct link *l, struct target *target, const char *vhost, struct log *log, int64_t now, struct err *err)
{
    struct look k = {.l = l, .target = target, .vhost = vhost, .log = log, .now = now};

    target->state = TARGET_UNKNOWN;
    target->checked_us = now;
    if (judge_exchange(&k, err) != 0)
        return -1;
    if (!is_bad(&k) && judge_queue(&k, err) != 0)
        return -1;
    if (!is_bad(&k) && judge_binding(&k, err) != 0)
        return -1;
    if (!is_bad(&k))
        target->state = now < target->settled_us ? TARGET_SETTLING : TARGET_GOOD;
    tell(&k);
    return 0;
}
