#include "bad.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "consumer.h"
#include "ledger.h"
#include "load.h"
#include "must.h"
#include "sluiced.h"
#include "world.h"

static const struct sluiced_config CONFIG = {
    .ping = "2s",
    .memory = "limit = \"32MiB\"; max_bundle = \"1MiB\";",
    .rest = "connectors = (\n"
            "  { id = \"load-1\"; queue = \"honest\"; routing_key = \"honest\"; declare = true; },\n"
            "  { id = \"raw\"; queue = \"raw\"; routing_key = \"raw\"; declare = true; } );\n",
};

int
bad_open(void **state)
{
    struct bad *s = calloc(1, sizeof(*s));
    struct err err = {.code = ERR_NONE};
    *state = s;
    s->ledger = ledger_new();
    s->world = world_open(&err);
    if (s->world == NULL || world_broker_start(s->world, NULL, &err) != 0 ||
        (s->gateway = sluiced_new(s->world, &CONFIG, &err)) == NULL || sluiced_start(s->gateway, true, &err) != 0 ||
        (s->consumer = consumer_open(world_broker_port(s->world), &err)) == NULL) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    struct load_plan plan = {.endpoint = sluiced_endpoint(s->gateway),
                             .ledger = s->ledger,
                             .first = 1,
                             .connectors = 1,
                             .size_min = 100,
                             .size_max = 3000,
                             .pause_us = 3000};
    s->honest = load_start(&plan, &err);
    return s->honest != NULL ? 0 : -1;
}

int
bad_close(void **state)
{
    struct bad *s = *state;
    load_free(s->honest);
    consumer_close(s->consumer);
    sluiced_free(s->gateway);
    world_close(s->world);
    ledger_free(s->ledger);
    free(s);
    return 0;
}

int
bad_begin(void **state)
{
    struct bad *s = *state;
    /* The log lets 10 lines a second of one event through: after a few the next test waits for its turn. */
    if (sluiced_log_count(s->gateway, s->quiet, "connector_error") > 3) {
        world_sleep_ms(1100);
        s->quiet = sluiced_log_mark(s->gateway);
    }
    s->mark = sluiced_log_mark(s->gateway);
    return 0;
}

int
bad_honest_goes_on(void **state)
{
    struct bad *s = *state;
    struct load_result before, now;
    load_progress(s->honest, &before);
    for (int i = 0; i < BAD_WAIT_MS / 10; i++) {
        load_progress(s->honest, &now);
        if (now.acked >= before.acked + 5)
            return sluiced_alive(s->gateway) ? 0 : -1;
        world_sleep_ms(10);
    }
    fprintf(stderr, "the honest connector got no ack for %d ms\n", BAD_WAIT_MS);
    sluiced_log_show(s->gateway);
    return -1;
}

/* --- words --- */
uint64_t
bad_epoch(void)
{
    return (uint64_t)clock_wall_us() * 1024;
}

struct peer *
bad_peer(struct bad *s)
{
    struct peer *p;
    MUST_HAVE(p, peer_open(sluiced_endpoint(s->gateway), &err));
    return p;
}

/* A welcomed peer. */
struct peer *
bad_welcomed(struct bad *s, uint64_t epoch)
{
    struct peer *p = bad_peer(s);
    assert_non_null(peer_hello(p, "raw", epoch, true, 0));
    return p;
}

void
bad_say(struct peer *p, const void *bytes, size_t len)
{
    peer_send_frames(p, &bytes, &len, 1);
}

/* The gateway tells the peer, and its log tells the operator. */
struct wire_msg
bad_told(struct bad *s, struct peer *p, enum wire_reason code)
{
    char word[64];
    const struct wire_msg *m = peer_await_error(p, code, BAD_WAIT_MS);
    (void)snprintf(word, sizeof(word), "code=%s", wire_reason_name(code));
    if (m == NULL)
        fail_msg("no error %s came", wire_reason_name(code));
    if (!sluiced_log_wait(s->gateway, s->mark, "connector_error", word, BAD_WAIT_MS)) {
        sluiced_log_show(s->gateway);
        fail_msg("the log does not name %s", word);
    }
    return *m;
}

/* Is the connection still of use? */
void
bad_lives(struct peer *p, uint64_t epoch)
{
    assert_non_null(peer_hello(p, "raw", epoch, false, 0));
}

/* Push one small bundle in order and wait for its ack. */
void
bad_push_well(struct peer *p, uint64_t seq)
{
    char body[100] = {'w'};
    assert_true(peer_credit(p, sizeof(body)) > 0);
    peer_bundle(p, seq, sizeof(body), 0, body, sizeof(body));
    const struct wire_msg *v;
    do { /* verdicts of before are repeated until they are seen */
        v = peer_await(p, WIRE_VERDICT, BAD_WAIT_MS);
        assert_non_null(v);
        assert_int_equal(v->verdict, WIRE_ACK);
    } while (v->seq < seq);
    assert_int_equal(v->seq, seq);
}

struct wire_msg
bad_hello(const char *id, uint64_t epoch)
{
    struct wire_msg m = {.type = WIRE_HELLO,
                         .has = 1ULL << WIRE_F_V | 1ULL << WIRE_F_ID | 1ULL << WIRE_F_EPOCH | 1ULL << WIRE_F_ATTEMPT |
                                1ULL << WIRE_F_FRESH | 1ULL << WIRE_F_SEEN | 1ULL << WIRE_F_WANT | 1ULL << WIRE_F_HEAD,
                         .v = WIRE_VERSION,
                         .id = {.at = id, .len = (uint32_t)strlen(id)},
                         .epoch = epoch,
                         .attempt = 1,
                         .fresh = true};
    return m;
}

void
bad_the_honest_connector_lost_nothing_meanwhile(void **state)
{
    struct bad *s = *state;
    struct ledger_report r;
    char text[900];
    load_stop(s->honest);
    MUST(load_finish(s->honest, 20000, NULL, &err));
    MUST(consumer_drain(s->consumer, "honest", UINT64_MAX, 200, ledger_take, s->ledger, &err));
    ledger_check(s->ledger, &r);
    if (!ledger_good(&r, 0, text, sizeof(text)))
        fail_msg("%s", text);
    print_message("%s\n", text);
    assert_int_equal(sluiced_stop(s->gateway), 0);
}
