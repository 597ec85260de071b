#include "setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "duration.h"
#include "err.h"
#include "text.h"

enum { PLACE_MAX = 200, SHOWN_MAX = 44 };

static const struct {
    const char *option, *variable, *name;
} keys[SETUP_KEYS] = {
    [SETUP_ID] = {"--id", "CONNECTOR_ID", "id"},
    [SETUP_ENDPOINT] = {"--endpoint", SLUICE_ENV_ENDPOINT, "endpoint"},
    [SETUP_PERIOD] = {"--duration-period", "CONNECTOR_DURATION_PERIOD", "duration_period"},
    [SETUP_THRESHOLD] = {"--queue-threshold", "CONNECTOR_QUEUE_THRESHOLD", "queue_threshold"},
    [SETUP_TERMINATE] = {"--run-and-terminate", "CONNECTOR_RUN_AND_TERMINATE", "run_and_terminate"},
    [SETUP_LOG_LEVEL] = {"--log-level", "CONNECTOR_LOG_LEVEL", "log_level"},
};

const char *
setup_name(enum setup_key key)
{
    return keys[key].name;
}

/* --- one value --- */

static bool
one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcasecmp(text, *words) == 0)
            return true;
    return false;
}

/* OpenCTI takes any other word for true, FALSE and 0 among them. */
static int
take_bool(const char *text, int *ret)
{
    static const char *const yes[] = {"true", "yes", "on", "1", NULL}, *const no[] = {"false", "no", "off", "0", NULL};

    if (!one_of(text, yes) && !one_of(text, no))
        return -1;
    *ret = one_of(text, yes);
    return 0;
}

/* Digits, a dot, an exponent: not what else strtod knows (nan, inf, 0x10, spaces in front).  How large it may be, the
 * library says. */
static int
take_number(const char *text, double *ret)
{
    char *end;
    double n;

    if (text[strspn(text, "0123456789.eE+-")] != '\0' || text[0] == '\0')
        return -1;
    n = strtod(text, &end);
    if (*end != '\0' || end == text || n < 0)
        return -1;
    *ret = n;
    return 0;
}

static int
take_level(const char *text, enum sluice_level *ret)
{
    static const struct {
        const char       *word;
        enum sluice_level level;
    } levels[] = {
        {"error", SLUICE_ERROR}, {"warn", SLUICE_WARN},
        {"warning", SLUICE_WARN},
        {"info", SLUICE_INFO}, {"debug", SLUICE_DEBUG}};

    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (strcasecmp(text, levels[i].word) == 0) {
            *ret = levels[i].level;
            return 0;
        }
    return -1;
}

static int
refuse(const char *place, const char *text, const char *write, struct err *err)
{
    char shown[SHOWN_MAX];

    text_show(text, strlen(text), shown, sizeof(shown));
    return err_set(err, ERR_CONFIG, 0, "%s: \"%s\": write %s", place, shown, write);
}

/* What the library would refuse too, but here with its place; and zero, which is Run & Terminate. */
static int
check_period(struct setup *c, const char *place, struct err *err)
{
    struct duration d;
    struct err why;

    if (duration_parse(c->period, &d, &why) != 0)
        return err_set(err, ERR_CONFIG, 0, "%s: %.150s", place, why.text);
    if (d.s < 0 || d.us < 0)
        return refuse(place, c->period, "a period without a sign, or 0 for one run and no more", err);
    if (d.s == 0 && d.us > 0)
        return refuse(place, c->period, "PT1S or more, or 0 for one run and no more", err);
    c->schedule.run_and_terminate |= d.s == 0;
    return 0;
}

static int
take(struct setup *c, enum setup_key key, const char *text, const char *place, struct err *err)
{
    int yes;

    switch (key) {
    case SETUP_ID:
        c->id = text;
        return 0;
    case SETUP_ENDPOINT:
        c->endpoint = text;
        return 0;
    case SETUP_PERIOD:
        c->period = text;
        return check_period(c, place, err);
    case SETUP_THRESHOLD:
        c->schedule.has_threshold = 1;
        if (take_number(text, &c->schedule.threshold_mb) != 0)
            return refuse(place, text, "a number of MB (10^6 bytes), 0 or more, such as 500 or 0.5", err);
        return 0;
    case SETUP_TERMINATE:
        if (take_bool(text, &yes) != 0)
            return refuse(place, text, "true, yes, on or 1, or else false, no, off or 0", err);
        c->schedule.run_and_terminate |= yes; /* a period of zero says it too */
        return 0;
    default:
        if (take_level(text, &c->log_level) != 0)
            return refuse(place, text, "error, warn, info or debug", err);
        return 0;
    }
}

/* --- from where --- */

static bool
given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static int
look_for(struct setup *c, const struct setup_args *args, enum setup_key key, struct err *err)
{
    const char *variable = getenv(keys[key].variable);
    char place[PLACE_MAX];

    if (given(args->value[key]))
        return take(c, key, args->value[key], keys[key].option, err);
    if (given(variable))
        return take(c, key, variable, keys[key].variable, err);
    if (!given(c->file[key]))
        return 0;
    snprintf(place, sizeof(place), "%.120s: %s", args->file, keys[key].name);
    return take(c, key, c->file[key], place, err);
}

int
setup_load(struct setup *c, const struct setup_args *args, struct err *err)
{
    *c = (struct setup){.log_level = SLUICE_WARN};
    if (given(args->file) && setup_read_file(c, args->file, err) != 0)
        return -1;
    for (enum setup_key key = SETUP_ID; key < SETUP_KEYS; key++)
        if (look_for(c, args, key, err) != 0)
            return -1;
    return 0;
}

bool
setup_scheduled(const struct setup *c)
{
    return c->period != NULL || c->schedule.run_and_terminate;
}
