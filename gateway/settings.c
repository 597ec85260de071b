/* settings.c - loading: defaults, then the file, then the environment, then what holds between keys. */
#include "settings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "settings_parts.h"
#include "text.h"

static int blame(const char *where, const char *name, struct err *err, const char *fmt, va_list args)
    __attribute__((format(printf, 4, 0)));

static int
blame(const char *where, const char *name, struct err *err, const char *fmt, va_list args)
{
    char text[240];

    vsnprintf(text, sizeof(text), fmt, args);
    return err_set(err, ERR_CONFIG, 0, "%s%s%s: %s", where, where[0] == '\0' ? "" : ": ", name, text);
}

int
settings_blame(const char *where, const char *name, struct err *err, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    blame(where, name, err, fmt, args);
    va_end(args);
    return -1;
}

int
settings_blame_key(const struct settings_draft *d, const char *name, struct err *err, const char *fmt, ...)
{
    const char *where = d->where[settings_key_index(name)];
    bool        variable = where[0] != '\0' && strchr(where, ':') == NULL; /* "file:line" has one */
    va_list     args;

    va_start(args, fmt);
    blame(variable ? "" : where, variable ? where : name, err, fmt, args);
    va_end(args);
    return -1;
}

bool
settings_given(const struct settings_draft *d, const char *name)
{
    return d->where[settings_key_index(name)][0] != '\0';
}

char *
settings_show(const char *text, char buf[SETTINGS_SHOWN_MAX])
{
    return text_show(text, strlen(text), buf, SETTINGS_SHOWN_MAX);
}

static int
set_defaults(struct settings *s, struct err *err)
{
    size_t n;
    const struct settings_key *keys = settings_keys(&n);

    for (size_t i = 0; i < n; i++) {
        if (keys[i].def != NULL && settings_value_set(s, &keys[i], keys[i].def, err) != 0)
            return -1;
    }
    return 0;
}

struct settings *
settings_load(const char *path, char *const *env, struct err *err)
{
    size_t n;
    struct settings_draft d = {.s = calloc(1, sizeof(*d.s))};

    settings_keys(&n);
    d.where = calloc(n, sizeof(*d.where));
    if (d.s == NULL || d.where == NULL) {
        err_set(err, ERR_NOMEM, errno, "settings");
        goto fail;
    }
    if (set_defaults(d.s, err) != 0 || (path != NULL && settings_read(&d, path, err) != 0) ||
        settings_env(&d, env, err) != 0 || settings_check(&d, err) != 0)
        goto fail;
    free(d.where);
    return d.s;

fail:
    free(d.where);
    settings_free(d.s);
    return NULL;
}

void
settings_free(struct settings *s)
{
    size_t n;
    const struct settings_key *keys;

    if (s == NULL)
        return;
    keys = settings_group_keys(&n);
    for (size_t i = 0; i < s->n_groups; i++)
        settings_values_free(&s->groups[i], keys, n);
    free(s->groups);
    keys = settings_connector_keys(&n);
    for (size_t i = 0; i < s->n_connectors; i++)
        settings_values_free(&s->connectors[i], keys, n);
    free(s->connectors);
    settings_hosts_free(s->broker.hosts, s->broker.n_hosts);
    keys = settings_keys(&n);
    settings_values_free(s, keys, n);
    free(s);
}
