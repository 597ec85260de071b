/* world.c - see world.h.
 *
 * The promises that are checked:
 *  - an acked bundle is in the broker (nothing is lost);
 *  - what is in the broker is whole, and was pushed (nothing is invented);
 *  - a bundle is in the broker twice only where a broker connection or the gateway died between (seen before);
 *  - order per connector, always where `ordered`, else unless the broker nacked;
 *  - a nack is for a bundle that the broker would not route, or a format would not take or not whole, and for no other;
 *  - what a format looks into is not freed meanwhile, nor published before;
 *  - what is admitted stays within the memory limit, and no honest connector is ever beyond its credit;
 *  - in the end everything that a living connector accepted is answered.
 * In some worlds there is a spool, and then what is acked is in the broker or there; what is there comes back after a
 * crash, and in the end it is all in the broker, or a dead letter.
 * In some worlds a liar takes part, who keeps to no rule: the promises to the others hold all the same. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/session.h"
#include "core/core.h"
#include "err.h"
#include "heap.h"
#include "spool_model.h"

enum {
    IDS_MAX = 20,
    CLIENTS_MAX = 200,
    PUBS_MAX = 2,
    SLOTS_MAX = 4096,
    FIFO_MAX = 4096,
    LINKS_MAX = 20000,
    CHUNK = 4096,
    MARK_US = 1000000,
    FAULTS_US = 12000000,  /* faults happen for so long, */
    END_US = 900000000     /* and by then everything is answered */
};

enum kind {
    EV_TO_GATEWAY, EV_TO_CLIENT, EV_TURN, EV_TICK, EV_PUSH, EV_STORE, EV_RESULT, EV_PUB_UP, EV_UNBLOCK, EV_SAVE,
    EV_FAULT, EV_START_CLIENT, EV_GONE, EV_LIAR, EV_FORMED,
    EV_SPOOLED, EV_READ, EV_BURIED, EV_SPACE
};

/* A bundle as its author knows it. */
struct item {
    struct session_bundle b;
    struct item *next;     /* all of this world */
    uint32_t id;           /* of its connector */
    uint64_t epoch;
    bool     unroutable;
    bool     formless;     /* its format refuses it, if it is looked into */
    bool     partial;      /* its format leaves a part out, likewise */
    bool     spooled;      /* it was flushed */
    bool     dead;         /* ... or is a dead letter */
    bool     damaged;      /* ... and cannot be read */
    uint64_t spooled_in;   /* in which life of the gateway */
    uint32_t stored;       /* how often it is in the broker */
    uint64_t stored_under; /* the count of losses when it was stored last */
};

struct packet {
    uint64_t link;   /* which connection */
    uint64_t index;  /* which message on it, by direction */
    uint32_t client;
    struct item *item; /* whose chunk it carries; NULL: none */
    uint64_t off, body_len;
    size_t   len;
    unsigned char bytes[];
};

struct client {
    bool     alive;
    uint32_t id;
    struct session *s;
    uint64_t epoch;
    uint64_t link;      /* the connection it has now */
    bool     hole;      /* what it sends vanishes */
    int64_t  to_gateway_at, to_client_at; /* nothing arrives before what was sent before */
    int64_t  tick_at;
};

struct id {
    bool     ordered;
    bool     confirm;
    uint64_t spool_limit;
    bool     formed; /* by a format, before its bundles are published */
    uint64_t newest_epoch;
    uint64_t order_epoch, order_seq; /* of the newest stored for the first time */
    bool     nacked;                 /* the broker nacked: order may be broken, unless ordered */
};

struct posted {
    uint32_t slot;
    struct item *item;
};

struct pub {
    bool     up, blocked;
    uint32_t session;
    struct posted fifo[FIFO_MAX];
    uint32_t head, n;
    int64_t  store_at;
};

struct body {
    struct item *item;
    uint64_t have;
    bool     forming, spooling;
};

struct world {
    uint64_t rng, seed;
    bool     trace;
    int64_t  now;
    struct heap *heap;
    const char *broken;
    struct core *core;
    struct core_sink sink;
    const struct packet *incoming;
    struct body bodies[SLOTS_MAX];
    uint64_t body_bytes;
    int64_t  turn_at; /* the next turn of the gateway */
    uint64_t memory_limit;
    struct id ids[IDS_MAX + 1]; /* and the liar */
    uint32_t n_ids;
    struct {
        uint64_t epoch, answered;
    } marks[IDS_MAX];
    struct client clients[CLIENTS_MAX];
    uint32_t n_clients;
    struct pub pubs[PUBS_MAX];
    uint32_t n_pubs;
    uint64_t conns[LINKS_MAX]; /* by link: the gateway's number for it; 0: none */
    uint64_t next_link, next_conn, losses, results_stale;
    uint64_t lives; /* of the gateway: what was asked for in an earlier one is not answered */
    struct item *items;
    struct {
        bool     is;
        uint64_t link, attempt, seq, off;
        struct item *item;
    } liar;
    bool     has_spool;
    struct spool_model spool;
    struct item *fetched;   /* whose body a slot may be given */
    int64_t  spooled_at;    /* the flush before */
    double   nack_rate, drop_rate, repeat_rate;
    struct world_figures fig;
};

static uint64_t
rnd(struct world *w)
{
    uint64_t z = (w->rng += 0x9e3779b97f4a7c15ULL); /* splitmix64 */

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static uint64_t
below(struct world *w, uint64_t n)
{
    return rnd(w) % n;
}

static bool
chance(struct world *w, double p)
{
    return (double)(rnd(w) >> 11) / 9007199254740992.0 < p;
}

static void
breaks(struct world *w, const char *what)
{
    if (w->broken == NULL)
        w->broken = what;
}

static void
at(struct world *w, int64_t when, enum kind kind, uint64_t a, uint64_t b, void *p)
{
    heap_push(w->heap, (struct heap_item){when, 0, (int)kind, a, b, p});
}

static void
plan_turn(struct world *w, int64_t when)
{
    if (w->turn_at > w->now && w->turn_at <= when)
        return;
    w->turn_at = when > w->now ? when : w->now + 1;
    at(w, w->turn_at, EV_TURN, 0, 0, NULL);
}

/* --- the network --- */

static uint64_t
new_link(struct world *w)
{
    if (w->next_link + 1 == LINKS_MAX)
        breaks(w, "the simulated network is too small");
    else
        w->next_link++;
    return w->next_link;
}

static struct packet *
pack(struct world *w, const struct wire_msg *m)
{
    unsigned char buf[WIRE_HEADER_MAX];
    const size_t n = wire_encode(m, buf, sizeof(buf));
    struct packet *p = calloc(1, sizeof(*p) + n);

    if (p == NULL)
        abort();
    if (n == 0)
        breaks(w, "a message could not be encoded");
    memcpy(p->bytes, buf, n);
    p->len = n;
    return p;
}

static struct packet *
copy(const struct packet *p)
{
    struct packet *c = malloc(sizeof(*p) + p->len);

    if (c == NULL)
        abort();
    memcpy(c, p, sizeof(*p) + p->len);
    return c;
}

static int64_t
arrives(struct world *w, int64_t *last)
{
    const int64_t t = w->now + 50 + (int64_t)below(w, chance(w, 0.01) ? 200000 : 2000);

    *last = t > *last ? t : *last + 1;
    return *last;
}

static void
to_gateway(struct world *w, uint32_t n, struct packet *p)
{
    struct client *c = &w->clients[n];

    p->client = n;
    p->link = c->link;
    if (c->hole) {
        free(p);
        return;
    }
    at(w, arrives(w, &c->to_gateway_at), EV_TO_GATEWAY, 0, 0, p);
    if (chance(w, w->repeat_rate))
        at(w, arrives(w, &c->to_gateway_at), EV_TO_GATEWAY, 0, 0, copy(p));
}

/* Let a client say what it has to say. */
static void
pump(struct world *w, uint32_t n)
{
    struct client *c = &w->clients[n];
    struct session_output out;
    struct session_bundle *b;

    if (session_wants_reset(c->s)) {
        c->link = new_link(w);
        c->hole = false;
        session_connection_reset(c->s, w->now);
    }
    while (session_next_output(c->s, w->now, &out)) {
        struct packet *p = pack(w, &out.msg);

        p->item = (struct item *)(void *)out.bundle;
        p->off = out.off;
        p->body_len = out.len;
        to_gateway(w, n, p);
    }
    while ((b = session_next_answer(c->s)) != NULL) {
        struct item *i = (struct item *)(void *)b;

        if (b->verdict == SESSION_ACKED) {
            w->fig.acked++;
            if (i->stored == 0 && !i->spooled && !i->dead)
                breaks(w, "a bundle was acked that is neither in the broker nor in the spool");
            if (w->ids[i->id].confirm && i->stored == 0 && !i->dead && i->spooled_in == w->lives)
                breaks(w, "a bundle was acked that the broker has not confirmed");
            if (w->ids[i->id].formed && (i->formless || i->partial) && !i->spooled && !i->dead)
                breaks(w, "a bundle was acked that is not in the broker whole");
        } else {
            w->fig.nacked++;
            if (b->verdict == SESSION_DEAD && !i->dead)
                breaks(w, "a bundle was called a dead letter that is none");
            if (!i->damaged && !i->unroutable && !(w->ids[i->id].formed && (i->formless || i->partial)))
                breaks(w, "a bundle was refused that the broker would have taken");
            if (!i->unroutable && !i->formless && i->partial && i->stored == 0 && w->ids[i->id].formed)
                breaks(w, "a bundle was refused for a part, and the rest is not in the broker");
        }
        free(b->text);
        b->text = NULL;
    }
    if (session_due(c->s) < c->tick_at) {
        c->tick_at = session_due(c->s) > w->now ? session_due(c->s) : w->now + 1;
        at(w, c->tick_at, EV_TICK, n, c->epoch, NULL);
    }
}

/* --- the gateway's shell --- */

static struct client *
client_of(struct world *w, uint64_t conn)
{
    for (uint32_t i = 0; i < w->n_clients; i++)
        if (w->clients[i].alive && w->conns[w->clients[i].link] == conn)
            return &w->clients[i];
    return NULL;
}

static void
send_to_client(struct world *w, uint64_t conn, const struct wire_msg *m)
{
    struct client *c = client_of(w, conn);
    struct packet *p;

    if (w->liar.is && conn == w->conns[w->liar.link])
        return;
    if (m->type == WIRE_ERROR && m->code == WIRE_R_CREDIT && m->field.at != NULL && m->field.at[0] == 's')
        breaks(w, "an honest connector was told that it is beyond its credit");
    if (c == NULL || c->hole) {
        if (chance(w, 0.5))
            at(w, w->now, EV_GONE, conn, 0, NULL);
        return;
    }
    if (chance(w, w->drop_rate))
        return; /* its pipe was full */
    p = pack(w, m);
    p->client = (uint32_t)(c - w->clients);
    p->link = c->link;
    at(w, arrives(w, &c->to_client_at), EV_TO_CLIENT, 0, 0, p);
    if (chance(w, w->repeat_rate))
        at(w, arrives(w, &c->to_client_at), EV_TO_CLIENT, 0, 0, copy(p));
}

static void
keep(struct world *w, const struct core_effect *e)
{
    struct body *b;

    if (w->fetched != NULL && e->u.keep.slot < SLOTS_MAX) {
        b = &w->bodies[e->u.keep.slot];
        if (b->item != NULL || e->u.keep.size != w->fetched->b.size)
            breaks(w, "what was read back was put to a wrong slot");
        *b = (struct body){.item = w->fetched, .have = w->fetched->b.size};
        w->fetched = NULL;
        w->body_bytes += b->have;
        if (w->body_bytes > w->memory_limit)
            breaks(w, "bodies are beyond the memory limit");
        return;
    }
    if (e->u.keep.slot >= SLOTS_MAX || w->incoming == NULL || w->incoming->item == NULL) {
        breaks(w, "a chunk was kept that did not come");
        return;
    }
    b = &w->bodies[e->u.keep.slot];
    if (e->u.keep.first) {
        if (b->item != NULL)
            breaks(w, "a slot was opened that is in use");
        *b = (struct body){.item = w->incoming->item};
    }
    if (b->item != w->incoming->item || b->have != w->incoming->off || b->item->b.size != e->u.keep.size)
        breaks(w, "chunks of different bundles were put together, or in a wrong order");
    b->have += w->incoming->body_len;
    w->body_bytes += w->incoming->body_len;
    if (w->body_bytes > w->memory_limit)
        breaks(w, "bodies are beyond the memory limit");
}

/* A format takes its time, and now and then finds that it cannot. */
static void
form(struct world *w, const struct core_effect *e)
{
    struct body *b = &w->bodies[e->u.form.slot];

    if (b->item == NULL || b->have != b->item->b.size || b->forming)
        breaks(w, "half a bundle was to be formed, or one twice");
    b->forming = true;
    at(w, w->now + 10 + (int64_t)below(w, chance(w, 0.05) ? 3000000 : 2000), EV_FORMED, e->u.form.slot, w->lives, NULL);
}

static void
release(struct world *w, uint32_t slot)
{
    if (w->bodies[slot].forming)
        breaks(w, "a body was freed while a format looks into it");
    if (w->bodies[slot].spooling)
        breaks(w, "a body was freed while the spool has it");
    w->body_bytes -= w->bodies[slot].have;
    w->bodies[slot] = (struct body){.item = NULL};
}

static void
publish(struct world *w, const struct core_effect *e)
{
    struct pub *p = &w->pubs[e->u.publish.publisher];
    const struct body *b = &w->bodies[e->u.publish.slot];

    if (b->item == NULL || b->have != b->item->b.size || b->forming)
        breaks(w, "half a bundle was published, or one that is not formed yet");
    else if (b->item->id == w->n_ids)
        ; /* the liar's: it calls its bundles what it likes */
    else if (b->item->epoch != e->u.publish.epoch || b->item->b.seq != e->u.publish.seq)
        breaks(w, "a bundle was published under another's name");
    if (e->u.publish.session != p->session || !p->up || w->broken != NULL)
        return; /* for a session that ended: the publisher drops it unread */
    if (p->n == FIFO_MAX) {
        breaks(w, "the simulated publisher is too small");
        return;
    }
    p->fifo[(p->head + p->n++) % FIFO_MAX] = (struct posted){e->u.publish.slot, b->item};
    p->store_at = (p->store_at > w->now ? p->store_at : w->now) + 20 + (int64_t)below(w, 1500);
    at(w, p->store_at, EV_STORE, e->u.publish.publisher, p->session, NULL);
}

static void
spool(struct world *w, const struct core_effect *e)
{
    struct body *b = &w->bodies[e->u.spool.slot];
    const struct spool_record r = {.stream = e->u.spool.number,
                                   .epoch = e->u.spool.epoch,
                                   .seq = e->u.spool.seq,
                                   .size = b->item->b.size,
                                   .format = e->u.spool.format,
                                   .slot = e->u.spool.slot,
                                   .item = b->item,
                                   .alone = e->u.spool.alone,
                                   .dead = e->u.spool.dead};

    if (b->have != b->item->b.size || b->forming || b->spooling)
        breaks(w, "half a bundle was spooled, or one that somebody else has");
    b->spooling = true;
    spool_model_put(&w->spool, &r);
    w->spooled_at = w->spooled_at > w->now ? w->spooled_at : w->now;
    w->spooled_at += (int64_t)below(w, chance(w, 0.01) ? 500000 : 900);
    at(w, w->spooled_at, EV_SPOOLED, 0, w->lives, NULL);
}

static void
fetch(struct world *w, const struct core_effect *e)
{
    struct spool_read *read = &w->spool.streams[e->u.fetch.number].read;

    if (read->under_way)
        breaks(w, "a stream is read twice at once");
    *read = (struct spool_read){true, e->u.fetch.pos, e->u.fetch.bytes, e->u.fetch.most, false};
    at(w, w->now + 10 + (int64_t)below(w, chance(w, 0.02) ? 1000000 : 2000), EV_READ, e->u.fetch.number, w->lives,
       NULL);
}

static void
release_spooled(struct world *w, const struct core_effect *e)
{
    struct spool_record *r = spool_model_at(&w->spool, e->u.release.number, e->u.release.pos);

    if (r == NULL || r->released || r->dead) {
        breaks(w, "a position was released that is not in the spool");
        return;
    }
    if (((const struct item *)r->item)->stored == 0)
        breaks(w, "a position was released that is not in the broker");
    r->released = true;
    r->released_us = w->now;
}

static void
on_effect(void *ctx, const struct core_effect *e)
{
    struct world *w = ctx;

    switch (e->kind) {
    case CORE_SEND:
        send_to_client(w, e->u.send.conn, e->u.send.msg);
        break;
    case CORE_CUT:
        if (!w->liar.is || e->u.conn != w->conns[w->liar.link])
            breaks(w, "an honest connector was cut");
        break;
    case CORE_FORGET:
        for (uint64_t i = 1; i <= w->next_link; i++)
            if (w->conns[i] == e->u.forget.conn)
                w->conns[i] = 0;
        break;
    case CORE_KEEP:
        keep(w, e);
        break;
    case CORE_FORM:
        form(w, e);
        break;
    case CORE_FREE:
        release(w, e->u.slot);
        break;
    case CORE_PUBLISH:
        publish(w, e);
        break;
    case CORE_STORE_MARK:
        for (uint32_t i = 0; i < w->n_ids; i++) {
            char id[16];

            snprintf(id, sizeof(id), "c%u", i);
            if (strcmp(id, e->u.mark.id) == 0) {
                w->marks[i].epoch = e->u.mark.epoch;
                w->marks[i].answered = e->u.mark.answered;
            }
        }
        break;
    case CORE_SPOOL:
        spool(w, e);
        break;
    case CORE_FETCH:
        fetch(w, e);
        break;
    case CORE_RELEASE:
        release_spooled(w, e);
        break;
    case CORE_BURY:
        at(w, w->now + 10 + (int64_t)below(w, 5000), EV_BURIED, (uint64_t)e->u.bury.number << 32 | w->lives,
           e->u.bury.pos, NULL);
        break;
    case CORE_STORE_ROW:
    case CORE_CLEAR_STATE:
    case CORE_COMMIT_GO:
    case CORE_COMMIT_FAIL:
    case CORE_JOURNAL:
    case CORE_COUNT:
    case CORE_NEWS:
        break; /* of schedules and states, which these connectors do not have */
    }
}

static void
step(struct world *w, const struct core_event *e)
{
    core_step(w->core, e, w->now, &w->sink);
    plan_turn(w, w->now + (int64_t)below(w, 300));
}

static void
start_gateway(struct world *w)
{
    const struct core_config cfg = {
        .memory_limit = w->memory_limit,
        .max_bundle = w->memory_limit / 4,
        .chunk = CHUNK,
        .ping_us = 2000000,
        .missed = 3,
        .publishers = w->n_pubs,
        .seed = rnd(w),
    };
    struct core_connector list[IDS_MAX + 1];
    struct core_event e = {.kind = CORE_CONFIGURE};

    w->core = core_new(&cfg, NULL);
    if (w->core == NULL)
        abort();
    memset(list, 0, sizeof(list));
    for (uint32_t i = 0; i < w->n_ids; i++) {
        snprintf(list[i].id, sizeof(list[i].id), "c%u", i);
        list[i].publisher = i % w->n_pubs;
        list[i].ordered = w->ids[i].ordered;
        list[i].format = w->ids[i].formed ? WIRE_FMT_OPENCTI : WIRE_FMT_RAW;
        list[i].spool_limit = w->ids[i].spool_limit;
        list[i].confirm = w->ids[i].confirm;
        list[i].unanswered_max = w->memory_limit;
    }
    list[w->n_ids].spool_limit = w->has_spool ? w->memory_limit : 0;
    snprintf(list[w->n_ids].id, sizeof(list[w->n_ids].id), "liar");
    e.u.configure.list = list;
    e.u.configure.n = w->n_ids + 1;
    step(w, &e);
    for (uint32_t i = 0; i < w->n_ids; i++) {
        e = (struct core_event){.kind = CORE_MARK};
        e.u.mark.id = list[i].id;
        e.u.mark.epoch = w->marks[i].epoch;
        e.u.mark.answered = w->marks[i].answered;
        if (e.u.mark.epoch != 0)
            step(w, &e);
    }
    for (uint32_t i = 0; i <= w->n_ids; i++) {
        e = (struct core_event){.kind = CORE_SPOOL_FOUND};
        e.u.found.id = list[i].id;
        spool_model_stream(&w->spool, i, &e.u.found.first, &e.u.found.count, &e.u.found.bytes);
        e.u.found.next = w->spool.streams[i].next;
        e.u.found.epoch = w->spool.streams[i].epoch;
        e.u.found.seq = w->spool.streams[i].seq;
        if (e.u.found.epoch != 0)
            step(w, &e);
    }
    if (w->spool.full) {
        e = (struct core_event){.kind = CORE_SPOOL_SPACE, .u.space.full = true};
        step(w, &e);
    }
    for (uint32_t i = 0; i < w->n_pubs; i++)
        at(w, w->now + 1 + (int64_t)below(w, 3000000), EV_PUB_UP, i, 0, NULL);
}

/* --- the spool --- */

static void
flushed(struct world *w, const struct spool_record *r)
{
    struct item *i = r->item;

    i->spooled = true;
    i->spooled_in = w->lives;
    i->dead = i->dead || r->dead;
    if (r->damaged && !r->dead)
        i->damaged = true;
    w->fig.spooled++;
}

static void
spooled(struct world *w, uint64_t life)
{
    struct core_event e = {.kind = CORE_SPOOLED};
    struct spool_record r;

    if (life != w->lives)
        return;
    e.u.spooled.ok = spool_model_flush(&w->spool, &r);
    e.u.spooled.slot = r.slot;
    e.u.spooled.pos = r.pos;
    w->bodies[r.slot].spooling = false;
    if (e.u.spooled.ok)
        flushed(w, &r);
    step(w, &e);
}

static void
read_on(struct world *w, uint32_t stream, uint64_t life)
{
    struct spool_record *r;
    struct core_event e = {.kind = CORE_FETCHED};

    if (life != w->lives)
        return;
    r = spool_model_next(&w->spool, stream);
    if (r == NULL) {
        e.kind = CORE_FETCH_END;
        e.u.fetch_end.number = stream;
        e.u.fetch_end.pos = w->spool.streams[stream].read.pos;
        w->spool.streams[stream].read.under_way = false;
        step(w, &e);
        return;
    }
    if (r->damaged) {
        r->released = true;
        e.kind = CORE_DAMAGED;
        e.u.damaged.number = stream;
        e.u.damaged.pos = r->pos;
        step(w, &e);
    } else {
        e.u.fetched.number = stream;
        e.u.fetched.pos = r->pos;
        e.u.fetched.epoch = r->epoch;
        e.u.fetched.seq = r->seq;
        e.u.fetched.size = r->size;
        e.u.fetched.format = (enum wire_format)r->format;
        w->fetched = r->item;
        step(w, &e);
        w->fetched = NULL;
    }
    at(w, w->now + 1 + (int64_t)below(w, 300), EV_READ, stream, w->lives, NULL);
}

static void
buried(struct world *w, uint64_t who, uint64_t pos)
{
    const uint32_t stream = (uint32_t)(who >> 32);
    struct spool_record *r = spool_model_at(&w->spool, stream, pos);
    struct core_event e = {.kind = CORE_BURIED};

    if ((uint32_t)who != (uint32_t)w->lives)
        return;
    e.u.buried.number = stream;
    e.u.buried.pos = pos;
    e.u.buried.ok = !chance(w, w->spool.fail_rate);
    if (e.u.buried.ok)
        r->dead = ((struct item *)r->item)->dead = true;
    step(w, &e);
}

static void
space(struct world *w, bool full)
{
    struct core_event e = {.kind = CORE_SPOOL_SPACE, .u.space.full = full};

    w->spool.full = full;
    step(w, &e);
    if (full)
        at(w, w->now + (int64_t)below(w, 5000000), EV_SPACE, 0, 0, NULL);
}

/* --- the broker --- */

static void
formed(struct world *w, uint32_t slot, uint64_t life)
{
    struct body *b = &w->bodies[slot];
    struct core_event e = {.kind = CORE_FORMED};

    if (life != w->lives)
        return;
    b->forming = false;
    if (b->item->formless) {
        e.kind = CORE_REFUSED;
        e.u.result.slot = slot;
        e.u.result.reason = WIRE_R_FORMAT;
        e.u.result.text = "not what this format takes";
    } else {
        e.u.formed.slot = slot;
        e.u.formed.messages = 3;
        e.u.formed.bytes = 2 * b->item->b.size;
        e.u.formed.largest = b->item->b.size;
        e.u.formed.left_out = b->item->partial ? "one of 4 objects is too large" : NULL;
    }
    step(w, &e);
}

static void
store(struct world *w, struct item *i)
{
    struct id *id = &w->ids[i->id];

    w->fig.stored++;
    if (i->stored > 0) {
        w->fig.duplicates++;
        if (i->stored_under == w->losses)
            breaks(w, "a bundle was published twice, and no connection was lost between");
    } else if (i->epoch == id->order_epoch && i->b.seq < id->order_seq && (id->ordered || !id->nacked)) {
        breaks(w, "bundles of one connector changed their order");
    } else if (i->epoch >= id->order_epoch) {
        id->order_epoch = i->epoch;
        id->order_seq = i->b.seq;
    }
    i->stored++;
    i->stored_under = w->losses;
}

static struct posted
take_posted(struct pub *p)
{
    const struct posted m = p->fifo[p->head];

    p->head = (p->head + 1) % FIFO_MAX;
    p->n--;
    return m;
}

/* One message reaches the queue, or does not. */
static void
broker_store(struct world *w, uint32_t n, uint32_t session)
{
    struct pub *p = &w->pubs[n];
    struct posted m;
    enum core_event_kind result = CORE_CONFIRMED;

    if (!p->up || p->session != session || p->n == 0)
        return;
    if (p->blocked) {
        at(w, w->now + 10000, EV_STORE, n, session, NULL);
        return;
    }
    m = take_posted(p);
    if (m.item->unroutable) {
        result = CORE_REFUSED;
    } else if (chance(w, w->nack_rate)) {
        result = CORE_RETRY;
        w->ids[m.item->id].nacked = true;
    } else {
        store(w, m.item);
    }
    at(w, w->now + 10 + (int64_t)below(w, 3000), EV_RESULT, (uint64_t)n << 32 | session,
       (uint64_t)result << 32 | m.slot, NULL);
}

static void
broker_result(struct world *w, uint64_t who, uint64_t what)
{
    const struct pub *p = &w->pubs[who >> 32];
    struct core_event e = {.kind = (enum core_event_kind)(what >> 32)};

    if (!p->up || p->session != (uint32_t)who)
        return;
    e.u.result.slot = (uint32_t)what;
    e.u.result.reason = WIRE_R_UNROUTABLE;
    e.u.result.text = "no queue is bound there";
    step(w, &e);
}

/* The connection to the broker ends: of what was on the way a first part arrived, and nobody will say which. */
static void
lose_broker(struct world *w, uint32_t n, bool tell)
{
    struct pub *p = &w->pubs[n];
    uint32_t arrived;
    bool long_away;
    struct core_event e = {.kind = CORE_DOWN};

    if (!p->up)
        return;
    arrived = p->n == 0 ? 0 : (uint32_t)below(w, p->n + 1);
    while (arrived-- > 0) {
        const struct posted m = take_posted(p);

        if (!m.item->unroutable)
            store(w, m.item);
    }
    w->losses++;
    w->fig.broker_losses++;
    p->up = p->blocked = false;
    p->n = 0;
    e.u.broker.publisher = n;
    if (!tell)
        return;
    step(w, &e);
    long_away = chance(w, w->has_spool ? 0.5 : 0.1);
    at(w, w->now + 1000 + (int64_t)below(w, long_away ? 20000000 : 500000), EV_PUB_UP, n, 0, NULL);
}

static void
pub_up(struct world *w, uint32_t n)
{
    struct core_event e = {.kind = CORE_UP};

    if (w->pubs[n].up)
        return;
    w->pubs[n].up = true;
    w->pubs[n].session++;
    e.u.broker.publisher = n;
    e.u.broker.session = w->pubs[n].session;
    step(w, &e);
}

static void
block(struct world *w, uint32_t n, bool on)
{
    struct core_event e = {.kind = on ? CORE_BLOCKED : CORE_UNBLOCKED};

    if (!w->pubs[n].up || w->pubs[n].blocked == on)
        return;
    w->pubs[n].blocked = on;
    e.u.broker.publisher = n;
    step(w, &e);
    if (on)
        at(w, w->now + (int64_t)below(w, 5000000), EV_UNBLOCK, n, 0, NULL);
}

/* --- connectors --- */

static void
start_client(struct world *w, uint32_t id)
{
    struct client *c;
    struct session_config cfg = {.id = NULL};
    char name[16];

    if (w->n_clients == CLIENTS_MAX)
        return;
    c = &w->clients[w->n_clients];
    *c = (struct client){.alive = true, .id = id, .link = new_link(w), .tick_at = INT64_MAX};
    snprintf(name, sizeof(name), "c%u", id);
    cfg.id = name;
    /* Now and then the clock of a new program is behind. */
    c->epoch = chance(w, 0.1) ? below(w, w->ids[id].newest_epoch / 1024 + 1)
                              : w->ids[id].newest_epoch / 1024 + 1 + below(w, 1000);
    c->epoch = c->epoch * 1024 + w->n_clients + 1; /* as with random bits: no two programs take the same */
    cfg.epoch = c->epoch;
    c->s = session_new(&cfg, NULL);
    if (c->s == NULL)
        abort();
    w->n_clients++;
    pump(w, w->n_clients - 1);
    at(w, w->now + (int64_t)below(w, 1000000), EV_PUSH, w->n_clients - 1, 0, NULL);
}

static void
end_client(struct world *w, struct client *c)
{
    struct session_bundle *b;

    while ((b = session_take_oldest(c->s)) != NULL) {
        free(b->text);
        b->text = NULL;
        w->fig.abandoned++;
    }
    session_free(c->s);
    c->s = NULL;
    c->alive = false;
}

static uint64_t
some_size(struct world *w)
{
    const uint64_t kind = below(w, 10);

    if (kind < 6)
        return 1 + below(w, 3000);
    if (kind < 9 && 5 * CHUNK < w->memory_limit / 4)
        return 1 + below(w, 5 * CHUNK);
    return 1 + below(w, w->memory_limit / 4);
}

static void
push(struct world *w, uint32_t n)
{
    struct client *c = &w->clients[n];
    struct session_info info;

    if (!c->alive)
        return;
    session_info(c->s, &info);
    if (info.phase == SESSION_REPLACED) {
        end_client(w, c);
        return;
    }
    c->epoch = info.epoch;
    if (c->epoch > w->ids[c->id].newest_epoch)
        w->ids[c->id].newest_epoch = c->epoch;
    /* A new program's bundles count only once its epoch is settled: before, it may still be told to take another. */
    for (uint64_t k = info.welcomes > 0 ? below(w, 20) : 0; k > 0 && w->now < FAULTS_US; k--) {
        struct item *i = calloc(1, sizeof(*i));

        if (i == NULL)
            abort();
        i->b.size = some_size(w);
        i->id = c->id;
        i->epoch = c->epoch;
        i->unroutable = chance(w, 0.02);
        i->formless = chance(w, 0.02);
        i->partial = chance(w, 0.02);
        i->next = w->items;
        w->items = i;
        w->fig.pushed++;
        session_push(c->s, &i->b);
    }
    pump(w, n);
    if (w->now < FAULTS_US || info.phase != SESSION_WELCOMED)
        at(w, w->now + 1000 + (int64_t)below(w, 800000), EV_PUSH, n, 0, NULL);
}

static void
deliver_to_client(struct world *w, struct packet *p)
{
    struct client *c = &w->clients[p->client];
    struct wire_msg m;
    struct wire_fault fault;

    if (c->alive && c->link == p->link && !c->hole) {
        if (wire_decode(p->bytes, p->len, WIRE_FROM_GATEWAY, &m, &fault) != 0)
            breaks(w, "the gateway sent what the codec refuses");
        else
            session_receive(c->s, &m, NULL, 0, w->now);
        pump(w, p->client);
    }
    free(p);
}

static void
deliver_to_gateway(struct world *w, struct packet *p)
{
    struct wire_msg m;
    struct wire_fault fault;
    struct core_event e = {.kind = CORE_MESSAGE};
    /* What an old connection still held comes under its old number. */
    uint64_t *conn = &w->conns[p->link];

    if (*conn == 0)
        *conn = ++w->next_conn << 32 | p->client;
    if (wire_decode(p->bytes, p->len, WIRE_FROM_CONNECTOR, &m, &fault) != 0) {
        breaks(w, "a session sent what the codec refuses");
    } else {
        e.u.message.conn = *conn;
        e.u.message.msg = &m;
        e.u.message.body_len = p->body_len;
        w->incoming = p;
        step(w, &e);
        w->incoming = NULL;
        if (core_connector_of(w->core, *conn) == NULL)
            *conn = 0;
    }
    free(p);
}

/* --- a liar --- */

/* Bundles of any size, whatever the credit; chunks of its own order; wants that are not so. */
static void
lie(struct world *w)
{
    struct wire_msg m = {.type = WIRE_BUNDLE, .want = below(w, 1 << 20), .head = below(w, 1 << 16)};
    struct packet *p;
    const uint64_t kind = below(w, 20);

    m.has = 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD;
    if (kind == 0 || w->liar.attempt == 0) {
        m.type = WIRE_HELLO;
        m.v = WIRE_VERSION;
        m.id = (struct wire_text){"liar", 4};
        m.epoch = 1 + below(w, 3);
        m.attempt = ++w->liar.attempt;
        m.seen = chance(w, 0.1) ? below(w, 100) : 0;
        m.fresh = chance(w, 0.5);
        m.has |= 1ULL << WIRE_F_V | 1ULL << WIRE_F_ID | 1ULL << WIRE_F_EPOCH | 1ULL << WIRE_F_ATTEMPT |
                 1ULL << WIRE_F_SEEN | 1ULL << WIRE_F_FRESH;
        w->liar.seq = chance(w, 0.8) ? 1 : 1 + below(w, 1000);
        w->liar.off = 0;
    } else if (kind == 1) {
        m.type = WIRE_PING;
        m.seen = below(w, w->liar.seq + 5);
        m.has |= 1ULL << WIRE_F_SEEN;
    } else {
        m.has |= 1ULL << WIRE_F_SEQ | 1ULL << WIRE_F_SIZE | 1ULL << WIRE_F_OFF;
        if (w->liar.off == 0) {
            w->liar.item = calloc(1, sizeof(*w->liar.item));
            if (w->liar.item == NULL)
                abort();
            w->liar.item->b.size = below(w, chance(w, 0.2) ? w->memory_limit : 2 * CHUNK);
            w->liar.item->unroutable = true;
            w->liar.item->id = w->n_ids;
            w->liar.item->next = w->items;
            w->items = w->liar.item;
        }
        m.seq = w->liar.seq + (chance(w, 0.05) ? 1 : 0);
        m.size = w->liar.item->b.size;
        m.off = w->liar.off;
        m.format = chance(w, 0.5) ? WIRE_FMT_OPENCTI : WIRE_FMT_RAW;
        m.options = (struct wire_text){"{}", 2};
        m.has |= chance(w, 0.3) ? 1ULL << WIRE_F_FORMAT : 0;
        m.has |= chance(w, 0.3) ? 1ULL << WIRE_F_OPTIONS : 0;
    }
    p = pack(w, &m);
    p->client = CLIENTS_MAX;
    p->link = w->liar.link;
    if (m.type == WIRE_BUNDLE) {
        const uint64_t left = m.size - m.off;

        p->item = w->liar.item;
        p->off = m.off;
        p->body_len = left < CHUNK ? left : CHUNK;
        w->liar.off += p->body_len;
        if (w->liar.off >= m.size) {
            w->liar.off = 0;
            w->liar.seq++;
        }
    }
    at(w, w->now + 100, EV_TO_GATEWAY, 0, 0, p);
    if (w->now < FAULTS_US)
        at(w, w->now + (int64_t)below(w, 20000), EV_LIAR, 0, 0, NULL);
}

/* --- faults --- */

static void
cut(struct world *w, struct client *c, bool silent)
{
    w->fig.cuts++;
    if (!silent) {
        c->hole = true; /* until its pings go unanswered */
        return;
    }
    /* The library reconnects by itself: the program does not know, and what was on the way is gone, or comes late. */
    c->link = new_link(w);
}

static void
crash_gateway(struct world *w)
{
    w->fig.gateway_crashes++;
    for (uint32_t i = 0; i < w->n_pubs; i++)
        lose_broker(w, i, false);
    w->losses++;
    core_free(w->core);
    memset(w->bodies, 0, sizeof(w->bodies));
    memset(w->conns, 0, sizeof(w->conns));
    w->body_bytes = 0;
    if (w->has_spool) {
        const uint32_t n = w->spool.n;

        spool_model_crash(&w->spool, w->now);
        for (uint32_t i = n; i < w->spool.n; i++)
            flushed(w, &w->spool.records[i]);
    }
    w->lives++;
    for (uint32_t i = 0; i < w->n_clients; i++)
        if (w->clients[i].alive)
            cut(w, &w->clients[i], true);
    start_gateway(w);
}

static void
fault(struct world *w)
{
    const uint32_t n = (uint32_t)below(w, w->n_clients);
    struct client *c = &w->clients[n];

    switch (below(w, w->has_spool ? 10 : 9)) {
    case 0:
    case 1:
    case 2:
        if (c->alive)
            cut(w, c, true);
        break;
    case 3:
        if (c->alive)
            cut(w, c, false);
        break;
    case 4:
        lose_broker(w, (uint32_t)below(w, w->n_pubs), true);
        break;
    case 5:
        block(w, (uint32_t)below(w, w->n_pubs), true);
        break;
    case 6:
        if (chance(w, 0.5))
            crash_gateway(w);
        break;
    case 7:
        if (c->alive) {
            w->fig.connector_crashes++;
            end_client(w, c);
            at(w, w->now + (int64_t)below(w, 3000000), EV_START_CLIENT, c->id, 0, NULL);
        }
        break;
    case 9:
        space(w, true);
        break;
    default:
        if (c->alive && chance(w, 0.2)) {
            w->fig.takeovers++;
            start_client(w, c->id);
        }
        break;
    }
    if (w->now < FAULTS_US)
        at(w, w->now + (int64_t)below(w, 4000000), EV_FAULT, 0, 0, NULL);
}

/* --- running --- */

static void
happen(struct world *w, const struct heap_item *h)
{
    struct core_event e = {.kind = CORE_TURN};

    switch ((enum kind)h->kind) {
    case EV_TO_GATEWAY:
        deliver_to_gateway(w, h->p);
        break;
    case EV_TO_CLIENT:
        deliver_to_client(w, h->p);
        break;
    case EV_TURN:
        if (h->at != w->turn_at)
            break; /* one that came earlier took its place */
        core_step(w->core, &e, w->now, &w->sink);
        if (core_due(w->core) != INT64_MAX)
            plan_turn(w, core_due(w->core));
        break;
    case EV_TICK:
        if (w->clients[h->a].alive && w->clients[h->a].tick_at <= w->now) {
            w->clients[h->a].tick_at = INT64_MAX;
            session_tick(w->clients[h->a].s, w->now);
            pump(w, (uint32_t)h->a);
        }
        break;
    case EV_PUSH:
        push(w, (uint32_t)h->a);
        break;
    case EV_STORE:
        broker_store(w, (uint32_t)h->a, (uint32_t)h->b);
        break;
    case EV_RESULT:
        broker_result(w, h->a, h->b);
        break;
    case EV_PUB_UP:
        pub_up(w, (uint32_t)h->a);
        break;
    case EV_UNBLOCK:
        block(w, (uint32_t)h->a, false);
        break;
    case EV_SAVE:
        e.kind = CORE_SAVE;
        step(w, &e);
        at(w, w->now + MARK_US, EV_SAVE, 0, 0, NULL);
        break;
    case EV_FAULT:
        fault(w);
        break;
    case EV_START_CLIENT:
        start_client(w, (uint32_t)h->a);
        break;
    case EV_LIAR:
        lie(w);
        break;
    case EV_FORMED:
        formed(w, (uint32_t)h->a, h->b);
        break;
    case EV_SPOOLED:
        spooled(w, h->b);
        break;
    case EV_READ:
        read_on(w, (uint32_t)h->a, h->b);
        break;
    case EV_BURIED:
        buried(w, h->a, h->b);
        break;
    case EV_SPACE:
        space(w, false);
        break;
    case EV_GONE:
        e.kind = CORE_GONE;
        e.u.conn = h->a;
        step(w, &e);
        break;
    }
}

static bool
all_answered(const struct world *w)
{
    for (uint32_t i = 0; i < w->n_clients; i++) {
        struct session_info info;

        if (!w->clients[i].alive)
            continue;
        session_info(w->clients[i].s, &info);
        if (info.phase != SESSION_REPLACED && info.seen < info.pushed)
            return false;
    }
    return true;
}

/* Everything that the spool ever had is in the broker, or a dead letter, and the core knows it. */
static bool
all_drained(const struct world *w)
{
    struct core_figures f;

    core_figures(w->core, &f);
    for (uint32_t i = 0; i < w->spool.n; i++)
        if (!w->spool.records[i].released && !w->spool.records[i].dead)
            return false;
    return w->spool.n_pending == 0 && f.spooled == 0 && f.spooled_bytes == 0;
}

static bool
all_done(const struct world *w)
{
    return all_answered(w) && all_drained(w);
}

static void
run(struct world *w)
{
    struct heap_item h;

    while (w->broken == NULL && heap_pop(w->heap, &h)) {
        const bool quiet = w->now > FAULTS_US && (w->fig.events & 63) == 0;

        w->now = h.at;
        w->fig.events++;
        if (w->trace)
            fprintf(stderr, "%10lld.%06lld %d %llx %llx\n", (long long)(h.at / 1000000), (long long)(h.at % 1000000),
                    h.kind, (unsigned long long)h.a, (unsigned long long)h.b);
        happen(w, &h);
        if ((w->fig.events & 15) == 0 && w->broken == NULL)
            w->broken = core_check(w->core);
        if (w->now > FAULTS_US)
            w->spool.fail_rate = w->spool.damage_rate = 0;
        if (quiet && all_done(w))
            return;
        if (w->now > END_US) {
            if (!all_answered(w))
                breaks(w, "a bundle was never answered");
            if (!all_drained(w))
                breaks(w, "what is in the spool was never forwarded");
            return;
        }
    }
}

/* Where everybody stands, for who reads a trace. */
static void
print_end(const struct world *w)
{
    struct core_figures f;

    core_figures(w->core, &f);
    fprintf(stderr, "core: limit %llu held %llu (%llu bundles) credit out %llu connected %llu wanting %llu\n",
            (unsigned long long)f.memory_limit, (unsigned long long)f.held_bytes, (unsigned long long)f.held,
            (unsigned long long)f.credit_out, (unsigned long long)f.connected, (unsigned long long)f.wanting);
    for (uint32_t i = 0; i < w->n_pubs; i++)
        fprintf(stderr, "publisher %u: up %d blocked %d holds %u\n", i, w->pubs[i].up, w->pubs[i].blocked,
                w->pubs[i].n);
    for (uint32_t i = 0; i < w->n_clients; i++) {
        struct session_info n;

        if (!w->clients[i].alive)
            continue;
        session_info(w->clients[i].s, &n);
        fprintf(stderr,
                "client %u of c%u: phase %d epoch %llu attempt %llu seen %llu pushed %llu completed %llu credit %llu "
                "spent %llu want %llu head %llu hold %x words '%s'\n",
                i, w->clients[i].id, n.phase,
                (unsigned long long)n.epoch, (unsigned long long)n.attempt, (unsigned long long)n.seen,
                (unsigned long long)n.pushed, (unsigned long long)n.completed, (unsigned long long)n.credit,
                (unsigned long long)n.spent, (unsigned long long)n.want, (unsigned long long)n.head, n.hold, n.words);
    }
}

static void
setup(struct world *w, uint64_t seed)
{
    w->rng = w->seed = seed;
    w->heap = heap_new();
    if (w->heap == NULL)
        abort();
    w->sink = (struct core_sink){on_effect, w};
    w->n_ids = 1 + (uint32_t)below(w, chance(w, 0.8) ? 4 : IDS_MAX);
    w->n_pubs = 1 + (uint32_t)below(w, PUBS_MAX);
    w->memory_limit = 32768ULL << below(w, 6);
    w->nack_rate = chance(w, 0.3) ? 0.05 : 0;
    w->drop_rate = chance(w, 0.3) ? 0.02 : 0;
    w->repeat_rate = chance(w, 0.3) ? 0.02 : 0;
    for (uint32_t i = 0; i < w->n_ids; i++) {
        w->ids[i].ordered = chance(w, 0.3);
        w->ids[i].formed = chance(w, 0.3);
    }
    w->has_spool = chance(w, 0.6);
    w->spool.c = chance_stream(seed, 3);
    w->spool.fail_rate = w->has_spool && chance(w, 0.3) ? 0.05 : 0;
    w->spool.damage_rate = w->has_spool && chance(w, 0.2) ? 0.01 : 0;
    for (uint32_t i = 0; w->has_spool && i < w->n_ids; i++) {
        w->ids[i].spool_limit = chance(w, 0.9) ? w->memory_limit << below(w, 8) : 0;
        w->ids[i].confirm = w->ids[i].spool_limit > 0 && chance(w, 0.3);
    }
    w->liar.is = chance(w, 0.3);
    w->liar.link = new_link(w);
    w->liar.seq = 1;
    start_gateway(w);
    for (uint32_t i = 0; i < w->n_ids; i++)
        at(w, (int64_t)below(w, 2000000), EV_START_CLIENT, i, 0, NULL);
    at(w, MARK_US, EV_SAVE, 0, 0, NULL);
    if (w->liar.is)
        at(w, 0, EV_LIAR, 0, 0, NULL);
    if (!chance(w, 0.1))
        at(w, 3000000, EV_FAULT, 0, 0, NULL);
}

static void
teardown(struct world *w)
{
    struct heap_item h;

    while (heap_pop(w->heap, &h))
        free(h.p);
    heap_free(w->heap);
    for (uint32_t i = 0; i < w->n_clients; i++)
        if (w->clients[i].alive)
            end_client(w, &w->clients[i]);
    core_free(w->core);
    spool_model_free(&w->spool);
    while (w->items != NULL) {
        struct item *next = w->items->next;

        free(w->items);
        w->items = next;
    }
}

const char *
world_run(uint64_t seed, bool trace, struct world_figures *ret)
{
    struct world *w = calloc(1, sizeof(*w));
    const char *broken;

    if (w == NULL)
        abort();
    w->trace = trace;
    setup(w, seed);
    run(w);
    broken = w->broken;
    if (trace)
        print_end(w);
    if (ret != NULL)
        *ret = w->fig;
    teardown(w);
    free(w);
    return broken;
}
