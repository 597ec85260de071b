#include "scene.h"

#include <stdio.h>
#include <stdlib.h>

#include "must.h"
#include "orders.h"
#include "peer.h"
#include "sluiced.h"
#include "world.h"

enum { ARGS_MOST = 24, KEV_MS = 60 * 1000 };

int
scene_open(void **state)
{
    struct scene *c = calloc(1, sizeof(*c));
    void *stage = NULL;
    int rc = c == NULL ? -1 : stage_open(&stage);
    *state = c;
    if (c != NULL)
        c->stage = stage;
    return rc;
}

int
scene_close(void **state)
{
    struct scene *c = *state;
    void *stage = c->stage;
    free(c);
    return stage_close(&stage);
}

int
scene_begin(void **state)
{
    void *stage = ((struct scene *)*state)->stage;
    return stage_begin(&stage);
}

int
scene_end(void **state)
{
    struct scene *c = *state;
    void *stage = c->stage;
    for (int i = 0; i < SCENE_MOST; i++) {
        program_free(c->programs[i]);
        peer_close(c->peers[i]);
        c->programs[i] = NULL;
        c->peers[i] = NULL;
    }
    return stage_end(&stage);
}

struct peer *
scene_peer(struct scene *c)
{
    for (int i = 0; i < SCENE_MOST; i++)
        if (c->peers[i] == NULL) {
            MUST_HAVE(c->peers[i], peer_open(sluiced_endpoint(c->stage->gateway), &err));
            return c->peers[i];
        }
    fail_msg("more than %d peers", SCENE_MOST);
    return NULL;
}

/* Its log says that the broker is there before its loop knows: who runs once could be held in between. */
static void
nothing_holds(struct scene *c)
{
    struct peer *p = scene_peer(c);
    assert_non_null(peer_hello(p, "probe", 1, true, 0));
    (void)orders_await(c->stage->gateway, "probe", "waiting", "");
}

struct sluiced *
scene_gateway(struct scene *c, const char *ping, bool broker)
{
    /* The broker is well here, if slow: cutting it off would hold who runs once. */
    struct sluiced_config config = {.rest = SLUICED_ANYBODY("faults"), .ping = ping, .hung_after = "20s"};
    if (!broker)
        config.broker_port = world_free_port();
    MUST_HAVE(c->stage->gateway, sluiced_new(c->stage->world, &config, &err));
    MUST(sluiced_start(c->stage->gateway, broker, &err));
    if (broker)
        nothing_holds(c);
    return c->stage->gateway;
}

struct program *
scene_program(struct scene *c, const struct program_plan *plan)
{
    for (int i = 0; i < SCENE_MOST; i++)
        if (c->programs[i] == NULL) {
            MUST_HAVE(c->programs[i], program_start(sluiced_endpoint(c->stage->gateway), plan, &err));
            return c->programs[i];
        }
    fail_msg("more than %d programs", SCENE_MOST);
    return NULL;
}

void
scene_leaves(struct scene *c, struct program *p)
{
    for (int i = 0; i < SCENE_MOST; i++)
        if (c->programs[i] == p)
            c->programs[i] = NULL;
    program_free(p);
}

int
scene_kev(struct scene *c, const char *variable, const char *const *args, char *out, size_t cap)
{
    char program[600], feed[600];
    const char *argv[ARGS_MOST] = {"/usr/bin/env", variable != NULL ? variable : "CONNECTOR_LOG_LEVEL=warn"};
    int n = 2, status = 0;
    argv[n++] = world_built("connectors/cisa-kev", program, sizeof(program));
    argv[n++] = "--endpoint";
    argv[n++] = sluiced_endpoint(c->stage->gateway);
    argv[n++] = "--feed";
    argv[n++] = world_source("connectors/cisa-kev/sample.json", feed, sizeof(feed));
    argv[n++] = "--id";
    argv[n++] = "kev";
    for (int i = 0; args[i] != NULL; i++) {
        assert_true(n + 1 < ARGS_MOST);
        argv[n++] = args[i];
    }
    MUST(status = world_run(argv, KEV_MS, out, cap, &err));
    return status;
}
