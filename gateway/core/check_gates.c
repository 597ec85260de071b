/* check_gates.c - what core_check asks of queues and gates: lines, counts and sums are what a recount says. */
#include "machine.h"

/* What the connectors say of a queue. */
struct recount {
    uint64_t promised;
    uint32_t peers, lined, closed, weight_most;
};

static const char *
check_connector(const struct core *k, const struct connector *c)
{
    const struct gate *g = &c->gate;

    if (queues_of(k, c) == NULL && (g->lined || g->reasons != 0 || g->promise != 0))
        return "a connector without a queue waits before one";
    if (g->lined && c->first == c->expect && c->drain.n == 0)
        return "a connector waits in a queue's line, and has nothing";
    if (g->turns != 0)
        return "a connector may pass by others after its turn";
    return NULL;
}

static struct recount
recount(const struct core *k, uint32_t number)
{
    struct recount r = {0, 0, 0, 0, 0};

    for (uint32_t i = 0; i < k->n_connectors; i++) {
        const struct connector *c = k->connectors[i];

        if (c->cfg.queue != number)
            continue;
        r.peers++;
        r.lined += c->gate.lined;
        r.closed += c->gate.reasons != 0;
        r.promised += c->gate.promise;
        r.weight_most = c->cfg.weight > r.weight_most ? c->cfg.weight : r.weight_most;
    }
    return r;
}

static const char *
check_lists(const struct core *k, const struct queue *q, const struct recount *r)
{
    uint32_t peers = 0, lined = 0, last = NONE;

    for (uint32_t i = q->peers; i != NONE && peers <= r->peers; i = k->connectors[i]->gate.peer_next) {
        if (&k->queues[k->connectors[i]->cfg.queue] != q)
            return "a connector is before a queue that is not its own";
        peers++;
    }
    for (uint32_t i = q->line_head; i != NONE && lined <= r->lined; i = k->connectors[i]->gate.line_next) {
        if (!k->connectors[i]->gate.lined)
            return "a connector is in a line, and does not know it";
        lined++;
        last = i;
    }
    if (peers != r->peers || lined != r->lined || last != q->line_tail)
        return "a queue's lists do not agree with its connectors";
    return NULL;
}

static bool
flying_is_right(const struct core *k, uint32_t number)
{
    uint64_t flying = 0;

    for (uint32_t s = 0; s < k->n_slots; s++)
        flying += k->slots[s].used && k->slots[s].queue == number ? k->slots[s].flying : 0;
    return flying == k->queues[number].flying;
}

static const char *
check_queue(const struct core *k, uint32_t number)
{
    const struct queue *q = &k->queues[number];
    const struct recount r = recount(k, number);
    const char *wrong = check_lists(k, q, &r);

    if (wrong != NULL)
        return wrong;
    if (r.closed != q->closed)
        return "the count of closed gates of a queue is wrong";
    if (r.promised != q->promised)
        return "what a queue has promised to runs does not add up";
    if (r.weight_most != q->weight_most)
        return "the largest weight before a queue is wrong";
    if (!flying_is_right(k, number))
        return "what is on its way to a queue does not add up";
    if (q->serving)
        return "a line is served for ever";
    return gauge_check(q->gauge);
}

static const char *
check_group(const struct core *k, uint32_t group)
{
    uint64_t upper = 0;
    uint32_t unknown = 0;

    for (uint32_t i = 0; i < k->n_queues; i++) {
        const struct queue *q = &k->queues[i];

        if (q->peers == NONE || (group != 0 && q->cfg.group != group))
            continue;
        unknown += q->upper == DECIDE_UNKNOWN;
        upper += q->upper == DECIDE_UNKNOWN ? 0 : q->upper;
    }
    return upper == k->groups[group].upper && unknown == k->groups[group].unknown
               ? NULL
               : "the sums of a group do not agree with its queues";
}

const char *
check_gates(const struct core *k)
{
    const char *wrong = NULL;

    for (uint32_t i = 0; wrong == NULL && i < k->n_connectors; i++)
        wrong = check_connector(k, k->connectors[i]);
    if (!k->measured)
        return wrong;
    for (uint32_t i = 0; wrong == NULL && i < k->n_queues; i++)
        wrong = check_queue(k, i);
    for (uint32_t i = 0; wrong == NULL && i < k->n_queues; i++)
        wrong = check_group(k, k->queues[i].cfg.group);
    return wrong != NULL ? wrong : check_group(k, 0);
}
