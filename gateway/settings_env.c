/* settings_env.c - the environment: every key but those of connectors, as SLUICE_SECTION_KEY. */
#include <string.h>

#include "err.h"
#include "settings_parts.h"
#include "suggest.h"

/* Variables of ours that are not the gateway's: the library of connectors, the build, the tests. */
static const char *const others[] = {"SLUICE_ENDPOINT", "SLUICE_SHARED", "SLUICE_BUILD", "SLUICE_CONFIG", NULL};

static bool
is_others(const char *name)
{
    for (size_t i = 0; others[i] != NULL; i++) {
        if (strcmp(others[i], name) == 0)
            return true;
    }
    return false;
}

/* Does the variable begin as those of a section ("SLUICE_DOOR_...")? */
static bool
in_section(const char *name, const struct settings_key *key)
{
    char   env[SETTINGS_ENV_MAX];
    size_t section = settings_section_len(key->name);

    return section > 0 && strncmp(settings_env_name(key, env), name, strlen("SLUICE_") + section + 1) == 0;
}

/* A variable that is no key: refused if it was meant as one, since it would be ignored in silence. */
static int
unknown(const char *name, struct err *err)
{
    size_t n;
    const struct settings_key *keys = settings_keys(&n);
    char   shown[SETTINGS_SHOWN_MAX], env[SETTINGS_ENV_MAX], best[SETTINGS_ENV_MAX] = "";
    bool   meant = false;

    settings_show(name, shown);
    if (strcmp(name, "SLUICE_CONNECTORS") == 0)
        return settings_blame("", shown, err, "connectors are listed in the configuration file only");
    for (size_t i = 0; i < n; i++) {
        settings_env_name(&keys[i], env);
        if (suggest_distance(name, env) < suggest_distance(name, best))
            memcpy(best, env, sizeof(best));
        meant = meant || in_section(name, &keys[i]);
    }
    if (suggest_distance(name, best) <= 2)
        return settings_blame("", shown, err, "there is no such setting; did you mean %s?", best);
    if (meant)
        return settings_blame("", shown, err,
                              "there is no such setting: unset it (docs/configuration.md has them all)");
    return 0;
}

/* Take one "NAME=value" that begins with SLUICE_. */
static int
take(struct settings_draft *d, const char *name, const char *value, struct err *err)
{
    size_t     n;
    char       env[SETTINGS_ENV_MAX];
    struct err why = {0};
    const struct settings_key *keys = settings_keys(&n);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(settings_env_name(&keys[i], env), name) != 0)
            continue;
        if (settings_value_set(d->s, &keys[i], value, &why) != 0)
            return why.code == ERR_NOMEM ? err_set(err, ERR_NOMEM, 0, "settings")
                                         : settings_blame("", name, err, "%s", why.text);
        memcpy(d->where[i], env, SETTINGS_ENV_MAX);
        return 0;
    }
    return is_others(name) ? 0 : unknown(name, err);
}

int
settings_env(struct settings_draft *d, char *const *env, struct err *err)
{
    for (; env != NULL && *env != NULL; env++) {
        char        name[2 * SETTINGS_ENV_MAX];
        const char *equals = strchr(*env, '=');
        size_t      len = equals == NULL ? 0 : (size_t)(equals - *env);

        if (strncmp(*env, "SLUICE_", strlen("SLUICE_")) != 0 || len == 0 || len >= sizeof(name))
            continue;
        memcpy(name, *env, len);
        name[len] = '\0';
        if (take(d, name, equals + 1, err) != 0)
            return -1;
    }
    return 0;
}
