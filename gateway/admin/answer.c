/* answer.c - what operators are answered, as JSON. */
#include "answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dead.h"
#include "text.h"

static void
put(struct answer *a, const char *s)
{
    const size_t n = strlen(s);

    memcpy(a->at + a->len, s, n);
    a->len += n;
}

/* A text of ours or from outside; err.text is the longest, and six bytes a byte are the worst. */
static void
put_text(struct answer *a, const char *text)
{
    const size_t len = strnlen(text, 255);
    size_t used;

    put(a, "\"");
    for (size_t i = 0; i < len; i += used) {
        char one[TEXT_ESCAPE_MAX];
        const size_t n = text_json(text + i, len - i, &used, one);

        memcpy(a->at + a->len, one, n);
        a->len += n;
    }
    put(a, "\"");
}

static void
put_key_text(struct answer *a, const char *key, const char *text)
{
    put(a, key);
    put_text(a, text);
}

static void
put_key_number(struct answer *a, const char *key, int64_t number)
{
    char digits[24];

    snprintf(digits, sizeof(digits), "%" PRId64, number);
    put(a, key);
    put(a, digits);
}

static void
put_key_time(struct answer *a, const char *key, int64_t wall_us)
{
    char time[TEXT_TIME];

    if (wall_us != 0)
        put_key_text(a, key, text_time(wall_us, time));
}

static void
put_key_flag(struct answer *a, const char *key, bool flag)
{
    put(a, key);
    put(a, flag ? "true" : "false");
}

bool
answer_room(const struct answer *a)
{
    return a->len + ANSWER_MOST <= ANSWER_CAP;
}

void
answer_error(struct answer *a, const char *text)
{
    put_key_text(a, "{\"ok\":false,\"error\":", text);
    put(a, "}\n");
}

void
answer_done(struct answer *a, const char *action, const char *connector, const char *state, uint64_t version)
{
    put_key_text(a, "{\"ok\":true,\"do\":", action);
    if (connector != NULL)
        put_key_text(a, ",\"connector\":", connector);
    if (state != NULL)
        put_key_text(a, ",\"state\":", state);
    if (version != 0)
        put_key_number(a, ",\"version\":", (int64_t)version);
    put(a, "}\n");
}

const char *
answer_state(const struct core_status *s)
{
    if (s->running)
        return "running";
    if (!s->connected)
        return "not connected";
    if (s->paused)
        return "paused";
    return s->due && s->reasons != 0 ? "held" : "waiting";
}

static void
put_reasons(struct answer *a, uint32_t reasons)
{
    const char *before = "";

    put(a, ",\"reasons\":[");
    for (uint32_t bit = 1; bit <= WIRE_HOLD_ALL; bit <<= 1) {
        if ((reasons & bit) == 0)
            continue;
        put(a, before);
        put_text(a, wire_hold_name((enum wire_hold)bit));
        before = ",";
    }
    put(a, "]");
}

static void
put_run(struct answer *a, const uint8_t run[WIRE_RUN_LEN])
{
    char hex[2 * WIRE_RUN_LEN + 1];

    for (size_t i = 0; i < WIRE_RUN_LEN; i++)
        snprintf(hex + 2 * i, 3, "%02x", run[i]);
    put_key_text(a, ",\"run\":", hex);
}

static void
put_bytes(struct answer *a, const char *key, uint64_t bytes)
{
    put(a, key);
    if (bytes == GAUGE_UNKNOWN)
        put(a, "null"); /* unknown is not zero */
    else
        put_key_number(a, "", (int64_t)bytes);
}

/* How full its queue is believed to be. */
static void
put_gauge(struct answer *a, const struct core_status *s)
{
    static const char *const sources[] = {"nothing", "sample", "count"};
    static const char *const why[] = {"fresh", "starting", "no such queue", "statistics lag", "no figure", "stale"};

    put_bytes(a, ",\"threshold\":", s->threshold);
    put_bytes(a, ",\"estimate\":", s->gauge.estimate);
    put_bytes(a, ",\"upper\":", s->gauge.upper);
    put_key_text(a, ",\"figures\":", why[s->gauge.why]);
    put_key_text(a, ",\"source\":", sources[s->gauge.upper_from]);
    if (s->gauge.sample_age_us >= 0)
        put_key_number(a, ",\"sample_age_ms\":", s->gauge.sample_age_us / 1000);
    if (s->gauge.count_age_us >= 0)
        put_key_number(a, ",\"count_age_ms\":", s->gauge.count_age_us / 1000);
    if (s->drain.known) {
        put_key_flag(a, ",\"draining\":", s->drain.draining);
        put_key_number(a, ",\"drain_rate\":", (int64_t)s->drain.rate);
    }
    if (s->drain.known && s->drain.within_us >= 0)
        put_key_number(a, ",\"room_in_ms\":", s->drain.within_us / 1000);
}

void
answer_status_begin(struct answer *a, bool draining, const char *const *warnings, size_t n)
{
    put_key_flag(a, "{\"ok\":true,\"draining\":", draining);
    put(a, ",\"warnings\":[");
    for (size_t i = 0; i < n; i++)
        put_key_text(a, i == 0 ? "" : ",", warnings[i]);
    put(a, "],\"connectors\":[");
}

void
answer_status_one(struct answer *a, const struct core_status *s, bool first)
{
    static const char *const kinds[] = {"none", "period", "terminate", "continuous"};

    put_key_text(a, first ? "{\"connector\":" : ",{\"connector\":", s->id);
    put_key_text(a, ",\"kind\":", s->kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[s->kind] : "none");
    put_key_text(a, ",\"state\":", answer_state(s));
    put_reasons(a, s->reasons);
    put_key_flag(a, ",\"configured\":", s->configured);
    put_key_flag(a, ",\"connected\":", s->connected);
    put_key_flag(a, ",\"paused\":", s->paused);
    if (s->kind == WIRE_S_PERIOD + 1)
        put_key_number(a, ",\"period_ms\":", s->period_us / 1000);
    if (s->running)
        put_run(a, s->run);
    put_key_time(a, ",\"last_run\":", s->last_run_us);
    put_key_time(a, ",\"next_run\":", s->next_run_us);
    put_bytes(a, ",\"waiting_bytes\":", s->waiting);
    put_bytes(a, ",\"spooled\":", s->spooled);
    put_bytes(a, ",\"spooled_bytes\":", s->spooled_bytes);
    put_key_flag(a, ",\"measured\":", s->measured);
    if (s->measured)
        put_gauge(a, s);
    put(a, "}");
}

void
answer_letters_begin(struct answer *a)
{
    put(a, "{\"ok\":true,\"dead_letters\":[");
}

void
answer_letter(struct answer *a, const struct dead_letter *d, bool first)
{
    put_key_text(a, first ? "{\"connector\":" : ",{\"connector\":", d->connector);
    put_key_number(a, ",\"pos\":", (int64_t)d->pos);
    put_key_number(a, ",\"epoch\":", (int64_t)d->epoch);
    put_key_number(a, ",\"seq\":", (int64_t)d->seq);
    put_key_number(a, ",\"bytes\":", (int64_t)d->size);
    put_key_text(a, ",\"reason\":", d->reason);
    put_key_text(a, ",\"text\":", d->text);
    put_key_time(a, ",\"since\":", d->at_us);
    put(a, "}");
}

void
answer_list_end(struct answer *a)
{
    put(a, "]}\n");
}
