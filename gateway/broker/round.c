/* round.c - one round of questions, whatever the source. */
#include "round.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

void
round_begin(struct round *r, const char *base)
{
    r->base = base;
    r->answered = 0;
    r->useful = false;
    r->why = (struct err){.code = ERR_NONE};
    for (int k = 0; k < ASK_KINDS; k++)
        r->bad[k].code = ERR_NONE;
    r->memory->turn++;
    for (size_t i = 0; i <= r->wanted->n; i++)
        r->events[i] = (struct telemetry_event){.kind = i == 0 ? TELEMETRY_BROKER : TELEMETRY_QUEUE,
                                                .source = r->config->source};
    for (size_t i = 0; i < r->wanted->n; i++)
        round_event(r, i)->queue.queue = r->wanted->queues[i].queue;
}

struct telemetry_event *
round_event(struct round *r, size_t i)
{
    return &r->events[i + 1];
}

struct telemetry_broker *
round_broker(struct round *r)
{
    return &r->events[0].broker;
}

/* --- URLs --------------------------------------------------------------------------------------------------------- */

void
round_url(struct round *r, const char *path)
{
    size_t len = strlen(r->base);

    while (len > 0 && r->base[len - 1] == '/')
        len--;
    r->url[0] = '\0';
    if (len < sizeof(r->url)) {
        memcpy(r->url, r->base, len);
        r->url[len] = '\0';
    }
    round_add(r, path);
}

void
round_add(struct round *r, const char *plain)
{
    const size_t at = strlen(r->url), len = strlen(plain);

    assert(len < sizeof(r->url) - at);
    if (len < sizeof(r->url) - at)
        memcpy(r->url + at, plain, len + 1);
}

void
round_quote(struct round *r, const char *name)
{
    const int rc = http_quote(r->url, sizeof(r->url), name);

    assert(rc == 0);
    (void)rc;
}

/* --- Questions ---------------------------------------------------------------------------------------------------- */

/* What a status means, for who has to do something about it. */
static int
status_bad(const struct round *r, struct err *err)
{
    const int s = r->answer.status;

    if (s == 401 || s == 403)
        return err_set(err, ERR_DENIED, 0,
                       "status %d: check the user, its password, its tag (monitoring) and its permissions", s);
    if (s >= 300 && s <= 399)
        return err_set(err, ERR_PROTO, 0, "status %d: it redirects, which is not followed; is this the right URL?", s);
    if (s == 404)
        return err_set(err, ERR_PROTO, 0, "status 404: is this the right URL, and the plugin enabled?");
    return err_set(err, ERR_IO, 0, "status %d instead of 200", s);
}

/* What came of a GET, once it is clear that the server is there. */
static int
verdict(struct round *r, int rc, const struct err *got, int whole, struct err *err)
{
    if (rc != 0 && got->code != ERR_PROTO && got->code != ERR_FULL) {
        if (err != NULL)
            *err = *got;
        return -1;
    }
    if (rc != 0) {
        *err = *got;
        return 0;
    }
    if (r->answer.status != 200) {
        status_bad(r, err);
        return 0;
    }
    return whole == 0 ? 1 : 0;
}

static int
feed_rows(void *ctx, const char *at, size_t len)
{
    return rows_feed(ctx, at, len, NULL);
}

int
round_rows(struct round *r, enum rows_shape shape, rows_fn *row, rows_fn *rest, void *ctx, struct err *err)
{
    struct err got = {.code = ERR_NONE};

    rows_begin(&r->rows, shape, row, rest, ctx);
    const int rc = http_get(r->http, r->url, feed_rows, &r->rows, &r->answer, &got);
    return verdict(r, rc, &got, rc == 0 && r->answer.status == 200 ? rows_end(&r->rows, err) : 0, err);
}

static int
feed_prom(void *ctx, const char *at, size_t len)
{
    return prom_feed(ctx, at, len, NULL);
}

int
round_prom(struct round *r, prom_fn *sample, void *ctx, struct err *err)
{
    struct err got = {.code = ERR_NONE};

    prom_begin(&r->prom, sample, ctx);
    const int rc = http_get(r->http, r->url, feed_prom, &r->prom, &r->answer, &got);
    return verdict(r, rc, &got, rc == 0 && r->answer.status == 200 ? prom_end(&r->prom, err) : 0, err);
}

/* --- What the log is told ----------------------------------------------------------------------------------------- */

static const char *const names[ASK_KINDS] = {
    [ASK_QUEUES] = "queues", [ASK_CONSUMERS] = "consumers", [ASK_NODES] = "nodes", [ASK_ALARMS] = "alarms"};

void
round_bad(struct round *r, enum ask_kind kind, const struct err *why)
{
    if (r->why.code == ERR_NONE || (kind == ASK_QUEUES && r->bad[ASK_QUEUES].code == ERR_NONE))
        r->why = *why;
    if (r->bad[kind].code == ERR_NONE)
        r->bad[kind] = *why;
}

void
round_tell(struct round *r)
{
    for (int k = 0; k < ASK_KINDS; k++) {
        const bool bad = r->bad[k].code != ERR_NONE;
        if (bad && !r->memory->bad[k])
            log_event(r->log, LOG_WARN, "telemetry_incomplete", LOG_STR("what", names[k]), LOG_STR("url", r->base),
                      LOG_STR("why", r->bad[k].text));
        if (!bad && r->memory->bad[k])
            log_event(r->log, LOG_INFO, "telemetry_complete", LOG_STR("what", names[k]), LOG_STR("url", r->base));
        r->memory->bad[k] = bad;
    }
}
