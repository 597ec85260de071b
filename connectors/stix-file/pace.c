#include "pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "size.h"

static int
wrong(const char *text, struct err *err)
{
    return err_set(err, ERR_CONFIG, 0, "--rate %.40s: write bundles or bytes a second, such as 100/s or 10MB/s", text);
}

int
pace_parse(const char *text, struct pace *ret, struct err *err)
{
    size_t len = strlen(text), digits = strspn(text, "0123456789.");
    char amount[40];
    uint64_t bytes;
    char *end;

    if (len < 3 || len >= sizeof(amount) || strcmp(text + len - 2, "/s") != 0)
        return wrong(text, err);
    snprintf(amount, sizeof(amount), "%.*s", (int)(len - 2), text);
    *ret = (struct pace){.bytes = digits != len - 2};
    if (ret->bytes) {
        if (size_parse(amount, &bytes, NULL) != 0)
            return wrong(text, err);
        ret->per_s = (double)bytes;
    } else {
        ret->per_s = strtod(amount, &end);
        if (*end != '\0')
            return wrong(text, err);
    }
    /* Slower than one in a day is a mistake; the upper end keeps the arithmetic exact. */
    if (ret->per_s < 1.0 / 86400 || ret->per_s > 1e12)
        return wrong(text, err);
    return 0;
}

int64_t
pace_due(const struct pace *p)
{
    return p->per_s > 0 ? p->start_us + (int64_t)(p->done / p->per_s * 1e6) : p->start_us;
}

void
pace_gone(struct pace *p, size_t len, int64_t now_us)
{
    int64_t late = now_us - pace_due(p);

    if (p->per_s > 0 && late > p->late_us)
        p->late_us = late;
    p->done += p->bytes ? (double)len : 1;
}
