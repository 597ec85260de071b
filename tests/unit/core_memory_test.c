/* core_memory_test.c - one allocation of the core fails, each in its turn: nothing is lost, and all of it goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_world.h"
#include "err.h"
#include "heap_double.h"

enum { OTHERS = 70, BUNDLES = 40, REFUSED = 7, LARGE = 20, ROUNDS = 8 };

/* What a connector learns from the verdicts that came. */
static void
take_verdicts(struct peer *p)
{
    for (uint32_t i = 0; i < p->w->n_said; i++) {
        const struct wire_msg *m = &p->w->said[i].m;

        if (p->w->said[i].conn != p->conn || m->type != WIRE_VERDICT)
            continue;
        if ((m->verdict == WIRE_ACK && m->seq > p->seen) || (m->verdict == WIRE_NACK && m->seq == p->seen + 1)) {
            assert_true((m->verdict == WIRE_NACK) == (m->seq == REFUSED));
            p->seen = m->seq;
        }
    }
    world_forget(p->w);
}

static void
broker_takes_all(struct peer *p)
{
    for (uint64_t seq = 1; seq <= BUNDLES; seq++)
        if (broker_has(p, seq)) {
            if (seq == REFUSED)
                broker_refuses(p, seq, WIRE_R_UNROUTABLE, "no queue is bound");
            else
                broker_confirms(p, seq);
        }
}

/* An honest connector pushes its bundles, and says hello again where it is not answered. */
static void
pushes_until_all_is_answered(struct peer *p)
{
    for (int round = 0; round < ROUNDS && p->seen < BUNDLES; round++) {
        peer_reconnects(p);
        p->want = p->head = 200000;
        if (!peer_hello(p))
            continue;
        while (p->next <= BUNDLES)
            peer_pushes(p, p->next == LARGE ? 150000 : 100);
        world_turn(p->w);
        broker_takes_all(p);
        world_kind(p->w, CORE_SAVE);
        broker_down(p->w, 0);
        broker_up(p->w, 0);
        world_turn(p->w);
        take_verdicts(p);
    }
    assert_int_equal(p->seen, BUNDLES);
    for (uint64_t seq = 1; seq <= BUNDLES; seq++)
        assert_int_equal(times_posted(p, seq), 1);
}

static void
arrives(struct world *w, uint64_t n)
{
    char id[32];
    struct peer p;

    snprintf(id, sizeof(id), "other-%lu", (unsigned long)n);
    p = peer_new(w, id);
    if (!peer_hello(&p))
        assert_true(peer_hello(&p)); /* one fails, not two */
    assert_string_equal(core_connector_of(w->core, p.conn), id);
}

/* Everything that makes the core allocate: connectors, connections, bundles, words of refusals. */
static void
an_exchange(struct world *w)
{
    struct peer feed = peer_new(w, "feed");

    for (uint64_t n = 0; n < OTHERS; n++)
        arrives(w, n);
    pushes_until_all_is_answered(&feed);
    assert_int_equal(figures(w).held, 0);
    assert_int_equal(figures(w).held_bytes, 0);
}

static void
whichever_allocation_fails_the_exchange_completes_after_another_hello(void **state)
{
    const struct core_connector unknown = {.id = "", .target = 9};
    const struct core_connector feed = {.id = "feed", .target = 1};
    uint64_t n = 0;
    bool all_is_well;

    do {
        struct world *w = world_new();

        broker_up(w, 0);
        world_configure(w, &feed, 1, &unknown);
        heap_double.only = &w->in_core;
        heap_double.left = ++n;
        an_exchange(w);
        all_is_well = heap_double.left > 0; /* there are fewer allocations than that */
        heap_double.left = 0;
        heap_double.only = NULL;
        world_free(w);
    } while (!all_is_well);
    print_message("%lu allocations failed, one at a time\n", (unsigned long)n - 1);
    assert_true(n > OTHERS + 5);
    (void)state;
}

static void
a_bundle_for_which_there_is_no_memory_is_asked_for_again_at_once(void **state)
{
    for (uint64_t n = 1; n <= 2; n++) { /* its record, its slot */
        struct world *w = world_new();
        struct peer p;

        broker_up(w, 0);
        p = peer_welcomed(w, "feed");
        peer_asks(&p, 100, 100);
        heap_double.only = &w->in_core;
        heap_double.left = n;
        peer_sends(&p, 100); /* nothing follows it that could show the gap */
        assert_int_equal(heap_double.left, 0);
        heap_double.only = NULL;
        assert_true(said_error(w, p.conn, WIRE_R_GAP));
        assert_int_equal(w->n_kept, 0);
        assert_true(peer_hello(&p));
        assert_int_equal(peer_pushes(&p, 100), 1);
        assert_true(broker_has(&p, 1));
        world_free(w);
    }
    (void)state;
}

static void
a_core_for_which_there_is_no_memory_is_not_made(void **state)
{
    struct world *w = world_new();
    struct err err = {.code = ERR_NONE};

    heap_double.left = 1;
    assert_null(core_new(&w->cfg, &err));
    heap_double.left = 0;
    assert_int_equal(err.code, ERR_NOMEM);
    world_free(w);
    (void)state;
}

static void
a_mark_that_cannot_be_remembered_costs_that_mark_only(void **state)
{
    struct world *w = world_new();
    struct core_event e = {.kind = CORE_MARK};
    struct peer p;

    broker_up(w, 0);
    e.u.mark.id = "gone-from-the-configuration";
    e.u.mark.epoch = 5;
    e.u.mark.answered = 5;
    heap_double.only = &w->in_core;
    heap_double.left = 1;
    world_step(w, &e);
    assert_int_equal(heap_double.left, 0);
    heap_double.only = NULL;
    p = peer_welcomed(w, "feed");
    peer_pushes(&p, 100);
    assert_true(broker_has(&p, 1));
    world_free(w);
    (void)state;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whichever_allocation_fails_the_exchange_completes_after_another_hello),
        cmocka_unit_test(a_bundle_for_which_there_is_no_memory_is_asked_for_again_at_once),
        cmocka_unit_test(a_core_for_which_there_is_no_memory_is_not_made),
        cmocka_unit_test(a_mark_that_cannot_be_remembered_costs_that_mark_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
