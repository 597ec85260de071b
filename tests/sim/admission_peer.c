/* admission_peer.c - connectors: what they push, when they ask to run, and how they come back. */
#include "admission_parts.h"

#include <stdlib.h>
#include <string.h>

enum { TO_GATEWAY,
       TO_PEER };

#define HAS(field) (1ULL << WIRE_F_##field)

void
peer_open(struct adm *w, uint32_t n)
{
    struct program *p = &w->peers[n];

    *p = (struct program){.fate = &w->fate->peers[n], .number = n, .first = 1, .next = 1, .send = 1};
    snprintf(p->id, sizeof(p->id), "c%u", n);
    p->c = chance_stream(chance_next(&w->c), n);
    p->threshold = p->fate->threshold;
    p->back_us = chance_below(&p->c, SECOND);
}

/* --- what it says --- */

static void
post(struct adm *w, struct program *p, const struct wire_msg *m, uint64_t body, int to)
{
    int64_t *last = to == TO_GATEWAY ? &p->out_us : &p->in_us;
    const int64_t way = p->fate->way_us, at_us = w->now_us + way / 2 + chance_below(&p->c, way + 1);
    struct wire_msg *copy = malloc(sizeof(*copy));

    if (copy == NULL)
        abort();
    *copy = *m;
    *last = at_us > *last ? at_us : *last;
    heap_push(w->heap, (struct heap_item){.at = *last, .kind = to, .a = p->conn, .b = body, .p = copy});
}

static uint64_t
wanted(const struct program *p, uint64_t from)
{
    return from == p->next ? 0 : p->made - p->before[from % RING];
}

static void
set_want(struct program *p, struct wire_msg *m, uint64_t from)
{
    m->want = p->told_want = wanted(p, from);
    m->head = m->want == 0 ? 0 : p->size[from % RING];
    m->has |= HAS(WANT) | HAS(HEAD);
}

static void
say_hello(struct adm *w, struct program *p)
{
    struct wire_msg m = {.type = WIRE_HELLO, .v = WIRE_VERSION};

    p->conn = (uint64_t)++p->uses << 32 | (p->number + 1);
    p->welcomed = p->asked = false;
    p->out_us = p->in_us = 0;
    m.id = (struct wire_text){p->id, (uint32_t)strlen(p->id)};
    m.epoch = p->epoch;
    m.attempt = ++p->attempt;
    m.fresh = p->attempt == 1;
    m.seen = p->first - 1;
    m.has = HAS(V) | HAS(ID) | HAS(EPOCH) | HAS(ATTEMPT) | HAS(FRESH) | HAS(SEEN);
    set_want(p, &m, p->first);
    if (p->running) {
        memcpy(m.run, p->run, sizeof(m.run));
        m.has |= HAS(RUN);
    }
    post(w, p, &m, 0, TO_GATEWAY);
}

static void
ping(struct adm *w, struct program *p)
{
    struct wire_msg m = {.type = WIRE_PING, .seen = p->first - 1, .has = HAS(SEEN)};

    set_want(p, &m, p->send);
    if (p->running) {
        memcpy(m.run, p->run, sizeof(m.run));
        m.has |= HAS(RUN);
    }
    p->ping_us = w->now_us + w->fate->core.ping_us;
    post(w, p, &m, 0, TO_GATEWAY);
}

static void
ask(struct adm *w, struct program *p)
{
    struct wire_msg m = {.type = WIRE_READY, .schedule = (enum wire_schedule)(p->fate->kind - 1), .has = HAS(SCHEDULE)};

    set_want(p, &m, p->send);
    if (m.schedule == WIRE_S_PERIOD) {
        m.period_ms = (uint64_t)p->fate->period_us / 1000;
        m.first_run = p->fate->check_first ? WIRE_FIRST_CHECK : WIRE_FIRST_FREE;
        m.resume = p->fate->resume_schedule ? WIRE_RESUME_SCHEDULE : WIRE_RESUME_DRAIN;
        m.has |= HAS(PERIOD_MS) | HAS(FIRST_RUN) | HAS(RESUME);
    }
    if (p->fate->word != DECIDE_NONE) {
        m.threshold = p->fate->word;
        m.has |= HAS(THRESHOLD);
    }
    p->asked = true;
    post(w, p, &m, 0, TO_GATEWAY);
}

static void
push(struct adm *w, struct program *p)
{
    while (p->welcomed && p->send < p->next) {
        struct wire_msg m = {.type = WIRE_BUNDLE, .seq = p->send, .size = p->size[p->send % RING],
                             .format = WIRE_FMT_OPENCTI, .has = HAS(SEQ) | HAS(SIZE) | HAS(OFF)};
        const uint64_t cost = wire_cost(m.size);

        if (p->spent + cost > p->credit)
            return;
        if (chance_is(&p->c, p->fate->formed))
            m.has |= HAS(FORMAT);
        p->spent += cost;
        p->send++;
        set_want(p, &m, p->send);
        post(w, p, &m, m.size, TO_GATEWAY);
    }
}

/* --- what befalls it --- */

void
peer_lost(struct adm *w, struct program *p)
{
    p->conn = 0;
    p->welcomed = p->asked = false;
    p->back_us = w->now_us + chance_log(&p->c, 1000, 2000000);
}

void
peer_crash(struct adm *w, struct program *p)
{
    w->fig->crashes++;
    p->alive = p->running = false;
    p->run_left = 0;
    peer_lost(w, p);
    TELL(w, "%s crashes", p->id);
}

static void
start(struct adm *w, struct program *p)
{
    p->alive = true;
    p->epoch = ++w->next_epoch;
    p->attempt = 0;
    p->first = p->next = p->send = 1;
    p->made = 0;
}

/* --- what it hears --- */

void
peer_answered(struct program *p, uint64_t seq)
{
    while (p->first <= seq && p->first < p->next)
        p->first++;
    if (p->send < p->first)
        p->send = p->first;
}

static void
welcomed(struct adm *w, struct program *p, const struct wire_msg *m)
{
    if (m->expect < p->first || m->expect > p->next) {
        adm_breaks(w, "a connector was welcomed with a sequence that it cannot send");
        return;
    }
    p->welcomed = true;
    p->credit = m->credit;
    p->spent = 0;
    p->send = m->expect;
    p->ping_us = w->now_us + w->fate->core.ping_us;
    if (p->fate->kind != 0 && !p->running)
        p->ask_us = w->now_us;
}

static void
permitted(struct adm *w, struct program *p, const struct wire_msg *m)
{
    const bool again = p->running && memcmp(p->run, m->run, sizeof(p->run)) == 0;

    p->asked = false;
    p->permits++;
    if (again)
        return;
    p->running = true;
    memcpy(p->run, m->run, sizeof(p->run));
    p->run_left = w->calm ? 0 : p->fate->run_bytes;
}

static void
hears(struct adm *w, struct program *p, const struct wire_msg *m)
{
    switch (m->type) {
    case WIRE_WELCOME:
        welcomed(w, p, m);
        break;
    case WIRE_CREDIT:
        p->credit = m->credit;
        break;
    case WIRE_VERDICT:
        if (m->verdict == WIRE_NACK && m->seq >= p->first) {
            peer_answered(p, m->seq);
            ping(w, p);
        } else {
            peer_answered(p, m->seq);
        }
        break;
    case WIRE_PERMIT:
        permitted(w, p, m);
        break;
    case WIRE_HOLD:
        if (WIRE_HAS(m, WIRE_F_RUN)) /* its run has ended */
            p->ask_us = w->now_us, p->asked = false;
        else if (p->fate->kind == WIRE_S_TERMINATE + 1 && p->asked) /* the program ends, and is started again */
            p->ask_us = w->now_us + 2 * SECOND, p->asked = false;
        break;
    case WIRE_STOP:
        peer_crash(w, p);
        break;
    case WIRE_ERROR:
        peer_lost(w, p);
        break;
    default:
        break;
    }
}

void
peer_hears(struct adm *w, uint64_t conn, const struct wire_msg *m)
{
    struct program *p = &w->peers[(uint32_t)conn - 1];

    if (conn == p->conn)
        post(w, p, m, 0, TO_PEER);
}

void
peer_network(struct adm *w)
{
    struct heap_item i;

    while (heap_next_at(w->heap) <= w->now_us && heap_pop(w->heap, &i)) {
        struct program *p = &w->peers[(uint32_t)i.a - 1];
        struct core_event e = {.kind = CORE_MESSAGE};

        if (i.a == p->conn && i.kind == TO_PEER)
            hears(w, p, i.p);
        if (i.kind == TO_GATEWAY && i.a == p->conn) {
            e.u.message.conn = i.a;
            e.u.message.msg = i.p;
            e.u.message.body_len = i.b;
            w->message = i.p;
            w->from = p->number;
            adm_step(w, &e);
            w->message = NULL;
        }
        free(i.p);
    }
}

/* --- what it does --- */

static void
make(struct adm *w, struct program *p)
{
    const struct adm_peer *f = p->fate;
    const bool runs = f->kind == WIRE_S_PERIOD + 1 || f->kind == WIRE_S_TERMINATE + 1;

    p->owed += f->rate * STEP_US / 1e6;
    if (p->owed > 4.0 * (double)f->most)
        p->owed = 4.0 * (double)f->most;
    while (p->next - p->first < w->fate->ring) {
        const uint64_t size = (uint64_t)chance_log(&p->c, (int64_t)f->least, (int64_t)f->most);

        if (w->calm || (runs && p->run_left == 0) || (f->kind == WIRE_S_CONTINUOUS + 1 && !p->running) ||
            (f->rate > 0 && p->owed < (double)size))
            return;
        p->owed -= f->rate > 0 ? (double)size : 0;
        p->run_left -= size < p->run_left ? size : p->run_left;
        p->made_us[p->next % RING] = w->now_us;
        p->before[p->next % RING] = p->made;
        p->made += size;
        p->size[p->next++ % RING] = size;
    }
}

static void
end_run(struct adm *w, struct program *p)
{
    struct wire_msg m = {.type = WIRE_DONE, .outcome = WIRE_OUT_OK, .has = HAS(RUN) | HAS(OUTCOME)};

    memcpy(m.run, p->run, sizeof(m.run));
    p->running = false;
    p->asked = true; /* asks when the end is answered */
    post(w, p, &m, 0, TO_GATEWAY);
}

void
peer_step(struct adm *w, struct program *p)
{
    if (p->alive && adm_happens(w, ADM_CRASH, 1)) {
        struct core_event gone = {.kind = CORE_GONE, .u.conn = p->conn};

        if (p->conn != 0)
            adm_step(w, &gone);
        peer_crash(w, p);
    }
    if (p->conn != 0 && adm_happens(w, ADM_CUT, 1)) {
        struct core_event gone = {.kind = CORE_GONE, .u.conn = p->conn};

        adm_step(w, &gone);
        peer_lost(w, p);
    }
    if (p->conn == 0 && w->now_us >= p->back_us && w->core != NULL) {
        if (!p->alive)
            start(w, p);
        say_hello(w, p);
    }
    if (!p->alive)
        return;
    make(w, p);
    if (!p->welcomed)
        return;
    if (!p->asked && !p->running && p->fate->kind != 0 && w->now_us >= p->ask_us)
        ask(w, p);
    push(w, p);
    if (p->running && p->fate->kind != WIRE_S_CONTINUOUS + 1 && p->run_left == 0 && p->first == p->next)
        end_run(w, p);
    else if (w->now_us >= p->ping_us || (p->told_want == 0 && p->send < p->next))
        ping(w, p);
}

bool
peer_done(const struct adm *w, const struct program *p)
{
    (void)w;
    return p->alive && p->first == p->next && p->welcomed &&
           (p->fate->kind == 0 || p->permits > 0 || (p->running && p->fate->kind == WIRE_S_CONTINUOUS + 1));
}
