#include "stage.h"

#include <stdio.h>
#include <stdlib.h>

#include "consumer.h"
#include "ledger.h"
#include "load.h"
#include "must.h"
#include "proxy.h"
#include "sluiced.h"
#include "world.h"

enum { IDLE_MS = 200, ACKS_MS = 60 * 1000 };

int
stage_open(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));
    struct err err = {.code = ERR_NONE};
    *state = s;
    s->world = world_open(&err);
    if (s->world != NULL && world_broker_start(s->world, NULL, &err) == 0)
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return -1;
}

int
stage_close(void **state)
{
    struct stage *s = *state;
    world_close(s->world);
    free(s);
    return 0;
}

int
stage_begin(void **state)
{
    struct stage *s = *state;
    s->ledger = ledger_new();
    return 0;
}

/* What a failed test left in its queue is not the next one's. */
static void
purge(const struct stage *s)
{
    struct consumer *c = consumer_open(world_broker_port(s->world), NULL);
    if (c != NULL)
        (void)consumer_purge(c, "faults", NULL);
    consumer_close(c);
}

int
stage_end(void **state)
{
    struct stage *s = *state;
    for (size_t i = 0; i < STAGE_LOADS_MAX; i++) {
        load_free(s->loads[i]);
        s->loads[i] = NULL;
    }
    sluiced_free(s->gateway);
    purge(s);
    proxy_stop(s->proxy);
    ledger_free(s->ledger);
    s->gateway = NULL;
    s->proxy = NULL;
    s->ledger = NULL;
    return 0;
}

void
stage_gateway(struct stage *s, const struct sluiced_config *config)
{
    MUST_HAVE(s->gateway, sluiced_new(s->world, config, &err));
    MUST(sluiced_start(s->gateway, true, &err));
}

void
stage_broker(struct stage *s, const char *verb, const char *const *args)
{
    MUST(world_broker(s->world, verb, args, &err));
}

struct load *
stage_load(struct stage *s, const struct load_plan *plan, bool through)
{
    char endpoint[64];
    struct load *load;
    struct load_plan p = *plan;
    (void)snprintf(endpoint, sizeof(endpoint), "tcp://127.0.0.1:%d",
                   through ? proxy_port(s->proxy) : sluiced_port(s->gateway));
    p.endpoint = endpoint;
    p.ledger = s->ledger;
    MUST_HAVE(load, load_start(&p, &err));
    for (size_t i = 0; i < STAGE_LOADS_MAX; i++)
        if (s->loads[i] == NULL) {
            s->loads[i] = load;
            return load;
        }
    fail_msg("more than %d loads at a time", STAGE_LOADS_MAX);
    return NULL;
}

void
stage_finish(struct stage *s, struct load *load, int timeout_ms, struct load_result *ret)
{
    MUST(load_finish(load, timeout_ms, ret, &err));
    for (size_t i = 0; i < STAGE_LOADS_MAX; i++)
        if (s->loads[i] == load)
            s->loads[i] = NULL;
    load_free(load);
}

uint64_t
stage_agrees(struct stage *s, const char *queue, uint64_t most_repeated, bool disorder)
{
    struct ledger_report r;
    struct consumer *c;
    char text[900];
    MUST_HAVE(c, consumer_open(world_broker_port(s->world), &err));
    MUST(consumer_drain(c, queue, UINT64_MAX, IDLE_MS, ledger_take, s->ledger, &err));
    consumer_close(c);
    ledger_check(s->ledger, &r);
    if (disorder)
        r.disordered = 0;
    bool good = ledger_good(&r, most_repeated, text, sizeof(text));
    print_message("%s\n", text);
    if (!good && s->gateway != NULL)
        sluiced_log_show(s->gateway);
    assert_true(good);
    return r.repeated;
}

void
stage_await_acks(struct load *load, uint64_t more)
{
    struct load_result before, now;
    load_progress(load, &before);
    for (int i = 0; i < ACKS_MS / 10; i++) {
        load_progress(load, &now);
        if (now.acked >= before.acked + more)
            return;
        world_sleep_ms(10);
    }
    fail_msg("after %llu acks only %llu more came in %d s", (unsigned long long)before.acked,
             (unsigned long long)(now.acked - before.acked), ACKS_MS / 1000);
}
