/* prom.c - the text of RabbitMQ's Prometheus endpoint, line by line as it arrives. */
#include "prom.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"

void
prom_begin(struct prom *p, prom_fn *sample, void *ctx)
{
    p->sample = sample;
    p->ctx = ctx;
    p->skip = false;
    p->len = 0;
}

static bool
name_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' || (!first && c >= '0' && c <= '9');
}

/* name{labels} value, or name value.  -1: neither. */
static int
take_apart(const char *at, size_t len, struct prom_sample *s)
{
    size_t n = 0;

    while (n < len && name_char(at[n], n == 0))
        n++;
    const char *space = memrchr(at, ' ', len); /* 3.10 gives no time stamps */
    if (n == 0 || space == NULL || space == at + len - 1)
        return -1;
    *s = (struct prom_sample){.name = at, .name_len = n, .labels = "", .value = space + 1};
    s->value_len = (size_t)(at + len - s->value);
    if (space == at + n)
        return 0;
    if (at[n] != '{' || space[-1] != '}' || space < at + n + 2)
        return -1;
    s->labels = at + n + 1;
    s->labels_len = (size_t)(space - 1 - s->labels);
    return 0;
}

static int
take_line(struct prom *p)
{
    struct prom_sample s;
    const size_t len = p->len;

    p->len = 0;
    if (p->skip || len == 0 || p->line[0] == '#') {
        p->skip = false;
        return 0;
    }
    if (take_apart(p->line, len, &s) != 0)
        return -1;
    p->sample(p->ctx, &s);
    return 0;
}

static void
gather(struct prom *p, const char *data, size_t n)
{
    p->skip = p->skip || n > PROM_LINE - p->len;
    if (p->skip)
        return;
    memcpy(p->line + p->len, data, n);
    p->len += n;
}

int
prom_feed(struct prom *p, const char *data, size_t n, struct err *err)
{
    while (n > 0) {
        const char *end = memchr(data, '\n', n);
        const size_t piece = end != NULL ? (size_t)(end - data) : n;
        gather(p, data, piece);
        if (end == NULL)
            return 0;
        if (take_line(p) != 0)
            return err_set(err, ERR_PROTO, 0, "the answer is not the text of a Prometheus endpoint");
        data += piece + 1;
        n -= piece + 1;
    }
    return 0;
}

int
prom_end(const struct prom *p, struct err *err)
{
    return p->len == 0 && !p->skip ? 0 : err_set(err, ERR_PROTO, 0, "the answer ends within a line");
}

bool
prom_is(const struct prom_sample *s, const char *name)
{
    return s->name_len == strlen(name) && memcmp(s->name, name, s->name_len) == 0;
}

bool
prom_number(const struct prom_sample *s, uint64_t *ret)
{
    uint64_t n = 0;

    if (s->value_len == 0 || s->value_len > 18) /* 10^18 fits, and there is no broker for more */
        return false;
    for (size_t i = 0; i < s->value_len; i++) {
        if (s->value[i] < '0' || s->value[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(s->value[i] - '0');
    }
    *ret = n;
    return true;
}

bool
prom_micro(const struct prom_sample *s, int64_t *ret)
{
    char buf[40], *end;

    if (s->value_len == 0 || s->value_len >= sizeof(buf) || s->value[0] < '0' || s->value[0] > '9')
        return false;
    memcpy(buf, s->value, s->value_len);
    buf[s->value_len] = '\0';
    if (strspn(buf, "0123456789.eE+-") != s->value_len)
        return false;
    const double d = strtod(buf, &end);
    if (*end != '\0' || !(d >= 0 && d < 9e12))
        return false;
    *ret = (int64_t)(d * 1e6);
    return true;
}
