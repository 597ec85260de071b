/* fleet_net.c - the network between the programs and the gateway: in order on a connection, late, and lost with it. */
#include <stdlib.h>

#include "fleet_parts.h"

uint64_t
fleet_conn(const struct fleet *w, const struct program *p, const struct id *i)
{
    const uint32_t slot = 2 * (uint32_t)(i - w->ids) + (uint32_t)(p - i->programs);

    return (uint64_t)p->use << 32 | (2 * slot + (p->use & 1));
}

struct program *
fleet_program(struct fleet *w, uint64_t conn, struct id **ret)
{
    const uint32_t slot = (uint32_t)conn / 2;
    struct program *p = &w->ids[slot / 2].programs[slot % 2];

    *ret = &w->ids[slot / 2];
    return p->alive && p->use == conn >> 32 ? p : NULL;
}

static uint32_t
take_packet(struct fleet *w)
{
    if (w->n_free > 0)
        return w->free_packets[--w->n_free];
    if (w->n_packets == w->cap_packets) {
        w->cap_packets = w->cap_packets == 0 ? 64 : w->cap_packets * 2;
        w->packets = realloc(w->packets, w->cap_packets * sizeof(*w->packets));
        w->free_packets = realloc(w->free_packets, w->cap_packets * sizeof(*w->free_packets));
        if (w->packets == NULL || w->free_packets == NULL)
            abort();
    }
    return w->n_packets++;
}

/* The codec takes what both sides say: one message in 64 is asked. */
static void
try_codec(struct fleet *w, const struct id *i, const struct wire_msg *m, bool to_gateway)
{
    unsigned char buf[WIRE_HEADER_MAX];
    struct wire_msg back;
    struct wire_fault fault;
    const size_t n = wire_encode(m, buf, sizeof(buf));

    if (n == 0 || wire_decode(buf, n, to_gateway ? WIRE_FROM_CONNECTOR : WIRE_FROM_GATEWAY, &back, &fault) != 0)
        fleet_breaks(w, i, "a message that the codec does not take");
}

void
fleet_send(struct fleet *w, struct id *i, struct program *p, uint64_t conn, const struct wire_msg *m, bool to_gateway)
{
    int64_t *last = to_gateway ? &p->out_at : &p->in_at;
    const int64_t t = w->now + 50 + chance_below(&i->c, chance_is(&i->c, 0.01) ? 100 * w->delay_us : w->delay_us);
    uint32_t n;

    if (p->hole)
        return;
    if ((w->fig->events & 63) == 0)
        try_codec(w, i, m, to_gateway);
    n = take_packet(w);
    w->packets[n].conn = conn;
    w->packets[n].msg = *m;
    *last = t > *last ? t : *last + 1;
    fleet_at(w, *last, to_gateway ? EV_TO_GATEWAY : EV_TO_PROGRAM, n, 0);
}

void
fleet_to_gateway(struct fleet *w, uint32_t n)
{
    const struct packet packet = w->packets[n];
    struct core_event e = {.kind = CORE_MESSAGE};
    struct id *i;

    w->free_packets[w->n_free++] = n;
    fleet_program(w, packet.conn, &i);
    if (w->core == NULL || packet.conn >> 32 < i->programs[(uint32_t)packet.conn / 2 % 2].lost_use)
        return;
    fleet_told(w, i, "->", &packet.msg);
    e.u.message.conn = packet.conn;
    e.u.message.msg = &packet.msg;
    w->incoming = &packet;
    gateway_step(w, &e);
    if (packet.msg.type == WIRE_STATE)
        gateway_commit(w, &packet);
    w->incoming = NULL;
}

void
fleet_to_program(struct fleet *w, uint32_t n)
{
    const struct packet packet = w->packets[n];
    struct id *i;
    struct program *p = fleet_program(w, packet.conn, &i);

    w->free_packets[w->n_free++] = n;
    if (p == NULL || p->hole)
        return;
    fleet_told(w, i, "<-", &packet.msg);
    program_receive(w, i, p, &packet.msg);
}
