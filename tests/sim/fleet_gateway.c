/* fleet_gateway.c - the shell around the core: it starts it with what is on disk, carries out its effects, writes its
 * rows with a delay, and crashes. */
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "fleet_parts.h"

enum { SAVE_US = 1000000, TURN_US = 500, ROW_US = 15000 };

static void
plan_turn(struct fleet *w, int64_t when)
{
    if (w->turn_at >= w->now && w->turn_at <= when)
        return;
    w->turn_at = when > w->now ? when : w->now + 1;
    fleet_at(w, w->turn_at, EV_TURN, 0, 0);
}

/* --- rows --- */

static struct pending *
pending_at(struct fleet *w, uint32_t n)
{
    return &w->pending[(w->pending_head + n) & (w->cap_pending - 1)];
}

static void
grow_pending(struct fleet *w)
{
    const uint32_t cap = w->cap_pending == 0 ? 64 : w->cap_pending * 2;
    struct pending *fresh = malloc(cap * sizeof(*fresh));

    if (fresh == NULL)
        abort();
    for (uint32_t n = 0; n < w->n_pending; n++)
        fresh[n] = *pending_at(w, n);
    free(w->pending);
    w->pending = fresh;
    w->pending_head = 0;
    w->cap_pending = cap;
}

/* In order; what waits for a slow disk is written together. */
static void
keep(struct fleet *w, struct pending p)
{
    const int64_t slow = w->disk_slow_us > 0 ? chance_below(&w->c, w->disk_slow_us) : 0;
    const int64_t at = w->now + slow + chance_below(&w->c, ROW_US);

    if (w->n_pending == w->cap_pending)
        grow_pending(w);
    p.at = w->now;
    p.ok = p.mark || chance_below(&w->c, 100) >= w->disk_fails;
    *pending_at(w, w->n_pending++) = p;
    w->disk_at = at > w->disk_at ? at : w->disk_at + 1;
    fleet_at(w, w->disk_at, EV_STORED, w->generation, 0);
}

static void
keep_row(struct fleet *w, const struct core_effect *e)
{
    struct id *i = truth_id(w, e->u.store.row.id);

    if (i == NULL)
        return;
    if (i->row_out)
        fleet_breaks(w, i, "a second row is on its way to the disk");
    i->row_out = true;
    truth_row(w, i, &i->t, &e->u.store.row);
    keep(w, (struct pending){.id = (uint32_t)(i - w->ids), .ticket = e->u.store.ticket, .t = i->t,
                             .row = e->u.store.row});
}

/* Its ticket is the connection. */
static void
keep_commit(struct fleet *w, const struct core_effect *e)
{
    struct id *i = &w->ids[(uint32_t)e->u.go.ticket / 4];
    struct truth t;

    if (e->u.go.row == NULL || strcmp(e->u.go.row->id, i->name) != 0) {
        fleet_breaks(w, i, "a state that ends a run is to be stored without its row");
        return;
    }
    t = truth_at_end(w, i, i->t.run);
    truth_row(w, i, &t, e->u.go.row);
    keep(w, (struct pending){.id = (uint32_t)(i - w->ids), .commit = true, .ticket = e->u.go.stored,
                             .conn = e->u.go.ticket, .t = t, .row = *e->u.go.row});
}

/* The oldest of what is on its way reaches the disk, or cannot be written. */
static struct pending
write_row(struct fleet *w)
{
    const struct pending p = *pending_at(w, 0);
    struct id *i = &w->ids[p.id];

    w->pending_head++;
    w->n_pending--;
    if (p.mark) {
        i->mark_epoch = p.mark_epoch;
        i->mark_answered = p.mark_answered;
        return p;
    }
    w->fig->rows++;
    w->fig->rows_failed += !p.ok;
    if (p.ok) {
        i->disk.is = true;
        i->disk.t = p.t;
        i->disk.row = p.row;
        i->disk.row.id = i->name;
        if (p.t.ends < i->answered)
            fleet_breaks(w, i, "an end that was said to be recorded is no more on disk");
        if (p.t.ends > i->ends)
            i->ends = p.t.ends; /* an end that is on disk is one, whoever hears of it */
    }
    return p;
}

/* The shell's own words to a connector. */
static void
say(struct fleet *w, uint64_t conn, const struct wire_msg *m)
{
    struct id *i;
    struct program *p = fleet_program(w, conn, &i);

    if (p != NULL)
        fleet_send(w, i, p, conn, m, false);
}

static void
say_error(struct fleet *w, uint64_t conn, enum wire_reason code)
{
    const struct wire_msg m = {.type = WIRE_ERROR, .code = code, .text = {"a state", 7},
                               .has = 1ULL << WIRE_F_CODE | 1ULL << WIRE_F_TEXT | 1ULL << WIRE_F_FATAL};

    say(w, conn, &m);
}

void
gateway_stored(struct fleet *w)
{
    struct core_event e = {.kind = CORE_STORED};
    const struct wire_msg saved = {.type = WIRE_STATE, .op = WIRE_OP_SAVED, .version = 1,
                                   .has = 1ULL << WIRE_F_OP | 1ULL << WIRE_F_VERSION};
    struct pending p;

    if (w->n_pending == 0)
        return;
    p = write_row(w);
    if (p.mark)
        return; /* nobody waits for it */
    if (!p.commit)
        truth_row_back(w, &w->ids[p.id], p.ok);
    e.u.stored.ticket = p.ticket;
    e.u.stored.ok = p.ok;
    if (p.commit) {
        e.kind = CORE_COMMITTED;
        w->committed = &p;
        w->fig->commits += p.ok;
    }
    if (p.commit && p.ok)
        say(w, p.conn, &saved);
    else if (p.commit)
        say_error(w, p.conn, WIRE_R_BUSY);
    gateway_step(w, &e);
    w->committed = NULL;
}

void
gateway_commit(struct fleet *w, const struct packet *p)
{
    struct core_event e = {.kind = CORE_COMMIT, .u.commit = {.conn = p->conn, .ticket = p->conn, .has_run = true}};

    e.u.commit.outcome = p->msg.outcome;
    memcpy(e.u.commit.run, p->msg.run, WIRE_RUN_LEN);
    gateway_step(w, &e);
}

/* --- effects --- */

static void
keep_mark(struct fleet *w, const struct core_effect *e)
{
    struct id *i = truth_id(w, e->u.mark.id);

    if (i != NULL)
        keep(w, (struct pending){.id = (uint32_t)(i - w->ids), .mark = true, .mark_epoch = e->u.mark.epoch,
                                 .mark_answered = e->u.mark.answered});
}

static void
send(struct fleet *w, const struct core_effect *e)
{
    const uint64_t conn = e->u.send.conn;
    struct id *i;
    struct program *p = fleet_program(w, conn, &i);

    rules_sent(w, &w->ids[(uint32_t)conn / 4], conn, e->u.send.msg);
    if (chance_is(&w->c, w->drop_rate))
        return; /* its pipe is full */
    if (p == NULL || p->hole) {
        /* The door finds out, or not. */
        if (chance_is(&w->c, 0.5))
            fleet_at(w, w->now + chance_below(&w->c, 1000000), EV_GONE, conn, w->generation);
        return;
    }
    fleet_send(w, i, p, conn, e->u.send.msg, false);
}

static void
on_effect(void *ctx, const struct core_effect *e)
{
    struct fleet *w = ctx;

    rules_effect(w, e);
    switch (e->kind) {
    case CORE_SEND:
        send(w, e);
        break;
    case CORE_STORE_ROW:
        keep_row(w, e);
        break;
    case CORE_COMMIT_GO:
        keep_commit(w, e);
        break;
    case CORE_COMMIT_FAIL:
        if (e->u.fail.reason != WIRE_R_NONE)
            say_error(w, e->u.fail.ticket, e->u.fail.reason);
        break;
    case CORE_STORE_MARK:
        keep_mark(w, e);
        break;
    case CORE_CUT:
    case CORE_KEEP:
    case CORE_FORM:
    case CORE_FREE:
    case CORE_PUBLISH:
        fleet_breaks(w, NULL, "an effect on bundles, or a cut, where there are no bundles");
        break;
    case CORE_FORGET:
    case CORE_CLEAR_STATE:
    case CORE_JOURNAL:
    case CORE_COUNT:
    case CORE_NEWS:
    case CORE_SPOOL:
    case CORE_FETCH:
    case CORE_RELEASE:
    case CORE_BURY:
        break; /* looked at by rules_effect */
    }
}

void
gateway_step(struct fleet *w, const struct core_event *e)
{
    truth_before(w, e);
    core_step(w->core, e, w->now, &w->sink);
    if (e->kind != CORE_TURN)
        plan_turn(w, w->now + 1 + chance_below(&w->c, TURN_US));
}

void
gateway_turn(struct fleet *w)
{
    const struct core_event e = {.kind = CORE_TURN};

    w->turn_at = NEVER;
    gateway_step(w, &e);
    if (core_due(w->core) != INT64_MAX)
        plan_turn(w, core_due(w->core));
}

/* --- beginning and ending --- */

static void
configure(struct fleet *w)
{
    const struct core_connector unknown = {.target = 0};
    struct core_connector *list = calloc(w->size.connectors, sizeof(*list));
    struct core_event e = {.kind = CORE_CONFIGURE};

    if (list == NULL)
        abort();
    for (uint32_t n = 0; n < w->size.connectors; n++) {
        memcpy(list[n].id, w->ids[n].name, sizeof(w->ids[n].name));
        list[n].target = list[n].publisher = w->ids[n].publisher;
    }
    e.u.configure.list = list;
    e.u.configure.n = w->size.connectors;
    e.u.configure.unknown = w->size.publishers == 1 ? &unknown : NULL;
    core_step(w->core, &e, w->now, &w->sink);
    free(list);
}

static void
load(struct fleet *w)
{
    struct core_event e = {.kind = CORE_WALL};

    e.u.wall_us = w->now + w->wall_us;
    core_step(w->core, &e, w->now, &w->sink);
    for (uint32_t n = 0; n < w->size.connectors; n++) {
        const struct id *i = &w->ids[n];

        e = (struct core_event){.kind = CORE_MARK, .u.mark = {i->name, i->mark_epoch, i->mark_answered}};
        if (i->mark_epoch != 0)
            core_step(w->core, &e, w->now, &w->sink);
        e = (struct core_event){.kind = CORE_ROW, .u.row = i->disk.row};
        if (i->disk.is)
            core_step(w->core, &e, w->now, &w->sink);
    }
}

/* What others know, and tell. */
static void
tell_reasons(struct fleet *w)
{
    struct core_event e = {.kind = CORE_HOLD, .u.hold = {NULL, w->reasons}};

    gateway_step(w, &e);
    for (uint32_t n = 0; n < w->size.connectors; n++) {
        e.u.hold.id = w->ids[n].name;
        e.u.hold.reasons = w->ids[n].reasons;
        if (e.u.hold.reasons != 0)
            gateway_step(w, &e);
    }
    for (uint32_t n = 0; n < w->size.publishers; n++) {
        e = (struct core_event){.kind = CORE_UP, .u.broker = {n, ++w->pubs[n].session}};
        if (w->pubs[n].up)
            gateway_step(w, &e);
        e.kind = CORE_BLOCKED;
        if (w->pubs[n].up && w->pubs[n].blocked)
            gateway_step(w, &e);
    }
}

void
gateway_start(struct fleet *w)
{
    const struct core_config cfg = {
        .memory_limit = 1ULL << 30, .max_bundle = 1 << 20, .chunk = 65536, .ping_us = w->size.ping_us, .missed = MISSED,
        .publishers = w->size.publishers, .seed = chance_next(&w->c)};
    struct err err = {0};

    w->core = core_new(&cfg, &err);
    if (w->core == NULL)
        abort();
    w->sink = (struct core_sink){on_effect, w};
    w->turn_at = NEVER;
    configure(w);
    truth_start(w);
    load(w);
    tell_reasons(w);
    plan_turn(w, w->now + 1);
    fleet_at(w, w->now + SAVE_US + chance_below(&w->c, 5 * SAVE_US), EV_SAVE, w->generation, 0);
}

void
gateway_crash(struct fleet *w, bool says_so)
{
    const struct core_event e = {.kind = CORE_STOP};
    uint32_t written = w->n_pending == 0 ? 0 : (uint32_t)chance_below(&w->c, w->n_pending + 1);

    if (says_so)
        gateway_step(w, &e);
    core_free(w->core);
    w->core = NULL;
    w->generation++;
    w->turn_at = NEVER;
    w->fig->gateway_crashes++;
    /* Some of the rows that were on their way get to the disk, though nobody is there to hear of it. */
    while (written-- > 0)
        write_row(w);
    w->n_pending = 0;
    w->disk_at = w->now;
    for (uint32_t n = 0; n < w->size.connectors; n++)
        for (int k = 0; k < 2; k++) {
            struct program *p = &w->ids[n].programs[k];

            if (p->alive)
                program_reconnect(w, &w->ids[n], p, false);
            p->lost_use = p->use;
        }
}
