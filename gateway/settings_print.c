/* settings_print.c - settings in the syntax of the file, each key with its meaning: what is written can be read. */
#include <string.h>

#include "settings_parts.h"

/* "# meaning [SLUICE_DOOR_PING]", or without the variable for a connector's. */
static void
print_meaning(const struct settings_key *key, const char *indent, const char *env, FILE *to)
{
    fprintf(to, "%s# %s", indent, key->meaning);
    if (env != NULL)
        fprintf(to, " [%s]", env);
    fputc('\n', to);
}

static void
print_key(const void *base, const struct settings_key *key, const char *indent, FILE *to)
{
    char        env[SETTINGS_ENV_MAX];
    const char *bare = key->name + settings_section_len(key->name);

    if (*bare == '.')
        bare++;
    print_meaning(key, indent, settings_env_name(key, env), to);
    if (key->secret)
        fprintf(to, "%s# %s = \"********\" (not shown)\n", indent, bare);
    else if (!settings_value_has(base, key))
        fprintf(to, "%s# %s is not set\n", indent, bare);
    else {
        fprintf(to, "%s%s = ", indent, bare);
        settings_value_print(base, key, to);
        fputs(";\n", to);
    }
}

/* One line a connector, since there may be thousands. */
static void
print_connector(const struct settings_connector *c, bool last, FILE *to)
{
    size_t n;
    const struct settings_key *keys = settings_connector_keys(&n);

    fputs("    {", to);
    for (size_t i = 0; i < n; i++) {
        if (!settings_value_has(c, &keys[i]))
            continue;
        fprintf(to, " %s = ", keys[i].name);
        settings_value_print(c, &keys[i], to);
        fputc(';', to);
    }
    fprintf(to, " }%s\n", last ? "" : ",");
}

static void
print_groups(const struct settings *s, FILE *to)
{
    size_t n;
    const struct settings_key *keys = settings_group_keys(&n);

    fputs("\n# Queues that share a budget:\ngroups = (\n", to);
    for (size_t i = 0; i < s->n_groups; i++) {
        fputs("    {", to);
        for (size_t j = 0; j < n; j++) {
            fprintf(to, " %s = ", keys[j].name);
            settings_value_print(&s->groups[i], &keys[j], to);
            fputc(';', to);
        }
        fprintf(to, " }%s\n", i + 1 == s->n_groups ? "" : ",");
    }
    fputs(");\n", to);
}

static void
print_connectors(const struct settings *s, FILE *to)
{
    size_t n;
    const struct settings_key *keys = settings_connector_keys(&n);

    fputs("\n# Who may connect, and where their messages go:\n", to);
    for (size_t i = 0; i < n; i++)
        fprintf(to, "#   %-11s  %s\n", keys[i].name, keys[i].meaning);
    fputs("connectors = (\n", to);
    for (size_t i = 0; i < s->n_connectors; i++)
        print_connector(&s->connectors[i], i + 1 == s->n_connectors, to);
    fputs(");\n", to);
}

static bool
begins_section(const struct settings_key *keys, size_t i)
{
    size_t len = settings_section_len(keys[i].name);

    return len > 0 && (i == 0 || strncmp(keys[i].name, keys[i - 1].name, len + 1) != 0);
}

void
settings_print(const struct settings *s, FILE *to)
{
    size_t n;
    const struct settings_key *keys = settings_keys(&n);

    fputs("# The configuration of sluiced.  Each key can also be set by the variable in brackets.\n", to);
    for (size_t i = 0; i < n; i++) {
        size_t section = settings_section_len(keys[i].name);
        bool   last = i + 1 == n || begins_section(keys, i + 1) || settings_section_len(keys[i + 1].name) == 0;

        if (strncmp(keys[i].name, "default_target.", strlen("default_target.")) == 0 && !s->has_default_target)
            continue;
        if (begins_section(keys, i))
            fprintf(to, "\n%.*s = {\n", (int)section, keys[i].name);
        else if (section == 0)
            fputc('\n', to);
        print_key(s, &keys[i], section == 0 ? "" : "    ", to);
        if (section > 0 && last)
            fputs("};\n", to);
    }
    if (!s->has_default_target)
        fputs("\n# default_target is not set\n", to);
    print_groups(s, to);
    print_connectors(s, to);
}
