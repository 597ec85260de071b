/* envelope.c - what is around the content of each message. */
#include "envelope.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "options.h"
#include "text.h"

/* Text that grows. */
struct paper {
    struct budget *budget;
    char    *at;
    uint32_t len, cap;
    bool     failed;
};

static void
put(struct paper *p, const char *at, size_t len)
{
    if (p->failed)
        return;
    if (len > p->cap - p->len) {
        const size_t more = p->cap + len + 256;
        char *fresh = budget_resize(p->budget, p->at, p->cap, more);
        p->failed = fresh == NULL;
        if (p->failed)
            return;
        p->at = fresh;
        p->cap = (uint32_t)more;
    }
    memcpy(p->at + p->len, at, len);
    p->len += (uint32_t)len;
}

static void
put_text(struct paper *p, const char *text)
{
    put(p, text, strlen(text));
}

static void
put_option(struct paper *p, const char *key, const struct options *o, struct option value, const char *otherwise)
{
    put_text(p, key);
    if (value.len > 0)
        put(p, o->text + value.at, value.len);
    else
        put_text(p, otherwise);
}

/* A text of the configuration, as JSON. */
static void
put_quoted(struct paper *p, const char *text)
{
    char one[TEXT_ESCAPE_MAX];
    size_t used;

    put(p, "\"", 1);
    for (size_t left = strlen(text); left > 0; left -= used, text += used)
        put(p, one, text_json(text, left, &used, one));
    put(p, "\"", 1);
}

static void
put_applicant(struct paper *p, const struct options *o, const char *applicant_id)
{
    put_text(p, "{\"bundle_type\":\"QUEUE_BUNDLE\",\"applicant_id\":");
    if (o->applicant_id.len > 2) /* more than its quotes */
        put(p, o->text + o->applicant_id.at, o->applicant_id.len);
    else if (applicant_id[0] != '\0')
        put_quoted(p, applicant_id);
    else
        put_text(p, "null");
    put_text(p, ",\"action_sequence\":");
}

static void
put_behind(struct paper *p, const struct options *o)
{
    put_option(p, "\",\"update\":", o, o->update, "false");
    put_option(p, ",\"draft_id\":", o, o->draft_id, "null");
    if (o->work_id.len > 0)
        put_option(p, ",\"work_id\":", o, o->work_id, "");
    if (o->no_split)
        put_text(p, ",\"no_split\":true");
    if (o->others_len > 0)
        put(p, o->others, o->others_len);
    put(p, "}", 1);
}

bool
envelope_make(const struct options *o, const char *applicant_id, struct budget *budget, struct envelope *ret)
{
    struct paper p = {.budget = budget};

    *ret = (struct envelope){.budget = budget};
    put_applicant(&p, o, applicant_id);
    ret->before = p.len;
    put_option(&p, ",\"entities_types\":", o, o->entities_types, "[]");
    put_text(&p, ",\"content\":\"");
    ret->between = p.len - ret->before;
    put_behind(&p, o);
    ret->behind = p.len - ret->before - ret->between;
    if (!p.failed) {
        /* To size, so that what is freed is what is counted. */
        ret->text = budget_resize(budget, p.at, p.cap, p.len);
        if (ret->text != NULL)
            return true;
    }
    budget_free(budget, p.at, p.cap);
    return false;
}

void
envelope_close(struct envelope *e)
{
    budget_free(e->budget, e->text, e->before + e->between + e->behind);
    e->text = NULL;
}

static unsigned
digits(uint32_t number)
{
    unsigned n = 1;

    for (; number >= 10; number /= 10)
        n++;
    return n;
}

uint64_t
envelope_size(const struct envelope *e, uint32_t number, uint64_t content)
{
    return (uint64_t)e->before + digits(number) + e->between + base64_size(content) + e->behind;
}

char *
envelope_begin(const struct envelope *e, uint32_t number, char *to)
{
    const unsigned n = digits(number);

    memcpy(to, e->text, e->before);
    to += e->before;
    for (unsigned i = n; i-- > 0; number /= 10)
        to[i] = (char)('0' + number % 10);
    memcpy(to + n, e->text + e->before, e->between);
    return to + n + e->between;
}

void
envelope_end(const struct envelope *e, char *to)
{
    memcpy(to, e->text + e->before + e->between, e->behind);
}
