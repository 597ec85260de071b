/* replay.c - a line of the journal, decided again. */
#include "replay.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/decide.h"
#include "err.h"
#include "wire.h"

/* What decide can say; other reasons of a hold (an operator, the broker away) are not made from figures. */
enum { FROM_FIGURES = WIRE_HOLD_QUEUE | WIRE_HOLD_BUDGET | WIRE_HOLD_TELEMETRY_STALE };

static int
take_number(const json_t *value, uint64_t null, uint64_t *ret)
{
    if (json_is_null(value)) {
        *ret = null;
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return -1;
    *ret = (uint64_t)json_integer_value(value);
    return 0;
}

static int
take_level(const json_t *inputs, const char *name, struct decide_level *ret)
{
    const json_t *pair = json_object_get(inputs, name);

    if (json_array_size(pair) != 2)
        return -1;
    return take_number(json_array_get(pair, 0), DECIDE_UNKNOWN, &ret->upper) != 0 ||
                   take_number(json_array_get(pair, 1), DECIDE_NONE, &ret->limit) != 0
               ? -1
               : 0;
}

static int
take_inputs(const json_t *inputs, struct decide_inputs *ret)
{
    uint64_t ppm, before;

    memset(ret, 0, sizeof(*ret));
    if (take_level(inputs, "queue", &ret->queue) != 0 || take_level(inputs, "group", &ret->group) != 0 ||
        take_level(inputs, "all", &ret->all) != 0 || take_level(inputs, "memory", &ret->memory) != 0 ||
        take_level(inputs, "disk", &ret->disk) != 0 ||
        take_number(json_object_get(inputs, "resume_ppm"), UINT64_MAX, &ppm) != 0 || ppm > 1000000 ||
        take_number(json_object_get(inputs, "before"), UINT64_MAX, &before) != 0 || before > WIRE_HOLD_ALL)
        return -1;
    ret->resume_ppm = (uint32_t)ppm;
    ret->before = (uint32_t)before;
    ret->run_on_stale = json_is_true(json_object_get(inputs, "run_on_stale"));
    ret->first_free = json_is_true(json_object_get(inputs, "first_free"));
    return 0;
}

static uint32_t
take_reasons(const json_t *list)
{
    uint32_t reasons = 0;

    for (size_t i = 0; i < json_array_size(list); i++)
        for (uint32_t bit = 1; bit <= WIRE_HOLD_ALL; bit <<= 1)
            if (json_is_string(json_array_get(list, i)) &&
                strcmp(json_string_value(json_array_get(list, i)), wire_hold_name((enum wire_hold)bit)) == 0)
                reasons |= bit;
    return reasons;
}

static const char *
names(uint32_t reasons, char *buf, size_t cap)
{
    size_t used = 0;

    buf[0] = '\0';
    for (uint32_t bit = 1; bit <= WIRE_HOLD_ALL && used < cap; bit <<= 1)
        if ((reasons & bit) != 0)
            used += (size_t)snprintf(buf + used, cap - used, "%s%s", used > 0 ? " " : "",
                                     wire_hold_name((enum wire_hold)bit));
    return reasons == 0 ? "none" : buf;
}

static enum replay
decide_again(const json_t *line, const json_t *figures, struct err *err)
{
    struct decide_inputs in;
    char was[128], is[128];
    uint32_t then, now;

    if (take_inputs(figures, &in) != 0) {
        err_set(err, ERR_PROTO, 0, "its inputs are not those of a decision");
        return REPLAY_NO_LINE;
    }
    then = take_reasons(json_object_get(line, "reasons")) & FROM_FIGURES;
    now = decide(&in);
    if (then == now)
        return REPLAY_SAME;
    err_set(err, ERR_STALE, 0, "it was decided with the reasons %s, and is now with %s", names(then, was, sizeof(was)),
            names(now, is, sizeof(is)));
    return REPLAY_OTHER;
}

enum replay
replay_line(const char *text, size_t len, struct err *err)
{
    json_error_t why;
    json_t *line = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    const json_t *figures = json_object_get(line, "inputs");
    enum replay r = REPLAY_NO_FIGURES;

    if (!json_is_object(line)) {
        err_set(err, ERR_PROTO, 0, "it is not a line of the journal: %s", line == NULL ? why.text : "no object");
        r = REPLAY_NO_LINE;
    } else if (figures != NULL) {
        r = decide_again(line, figures, err);
    }
    json_decref(line);
    return r;
}
