/* settings_read.c - the file: libconfig's tree against the table.  Nothing else knows libconfig.
 *
 * libconfig reports neither unknown keys nor mistyped ones, so the tree is walked, and each setting must be
 * a row.  It dereferences NULL when memory runs out, which is why it is used at start and reload only. */
#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "settings_parts.h"
#include "suggest.h"
#include "text.h"

/* The file while it is walked. */
struct reading {
    struct settings_draft *draft;
    const char *path;
    struct err *err;
};

/* One group of keys, and where their values go. */
struct group {
    const char *name;                /* "door", "connectors" */
    const struct settings_key *keys; /* rows of this group are next to each other */
    size_t n, skip;                  /* skip: bytes of "door." in front of each row's name */
    void *base;
    bool noted; /* where each key was given is kept in the draft */
};

static const char *
where(const struct reading *r, const config_setting_t *at, char buf[SETTINGS_WHERE_MAX])
{
    enum { FILE_MAX = SETTINGS_WHERE_MAX - 16 };
    const char *file = config_setting_source_file(at) == NULL ? r->path : config_setting_source_file(at);
    size_t len = strlen(file);
    bool cut = len > FILE_MAX;

    snprintf(buf, SETTINGS_WHERE_MAX, "%s%s:%u", cut ? "..." : "", cut ? file + len - FILE_MAX : file,
             (unsigned)config_setting_source_line(at));
    return buf;
}

static const char *
type_wanted(enum settings_kind kind)
{
    switch (kind) {
    case SETTINGS_NUMBER:
        return "a whole number without quotes";
    case SETTINGS_FLAG:
        return "true or false without quotes";
    case SETTINGS_SIZE:
        return "a size with its unit, in quotes";
    case SETTINGS_DURATION:
        return "a duration with its unit, in quotes";
    case SETTINGS_DECIMAL:
        return "a number without quotes, with at most six digits behind its point";
    case SETTINGS_HOSTS:
        return "a list of texts in quotes";
    case SETTINGS_TEXT:
    case SETTINGS_WORD:
        break;
    }
    return "a text in quotes";
}

static const char *
describe(const config_setting_t *at, char *buf, size_t cap)
{
    char shown[SETTINGS_SHOWN_MAX];

    switch (config_setting_type(at)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        snprintf(buf, cap, "the number %lld", config_setting_get_int64(at));
        break;
    case CONFIG_TYPE_FLOAT:
        snprintf(buf, cap, "the number %g", config_setting_get_float(at));
        break;
    case CONFIG_TYPE_BOOL:
        snprintf(buf, cap, "%s", config_setting_get_bool(at) ? "true" : "false");
        break;
    case CONFIG_TYPE_STRING:
        snprintf(buf, cap, "the text \"%s\"", settings_show(config_setting_get_string(at), shown));
        break;
    case CONFIG_TYPE_GROUP:
        snprintf(buf, cap, "a group { }");
        break;
    default:
        snprintf(buf, cap, "a list");
        break;
    }
    return buf;
}

/* What a person may write for this key: its default, in the syntax of the file. */
static const char *
example(const struct settings_key *key, const char *bare, char *buf, size_t cap)
{
    const char *def = key->def == NULL || key->def[0] == '\0' ? NULL : key->def;

    if (key->kind == SETTINGS_NUMBER || key->kind == SETTINGS_FLAG || key->kind == SETTINGS_DECIMAL)
        snprintf(buf, cap, "%s = %s;", bare, def == NULL ? "500" : def);
    else if (key->kind == SETTINGS_HOSTS)
        snprintf(buf, cap, "%s = ( \"%s\" );", bare, def);
    else
        snprintf(buf, cap, "%s = \"%s\";", bare, def != NULL ? def : key->kind == SETTINGS_SIZE ? "64MiB"
                                                                                                : "...");
    return buf;
}

static int
mistyped(const struct reading *r, const config_setting_t *at, const struct settings_key *key, const char *name)
{
    char place[SETTINGS_WHERE_MAX], found[80], write[80];

    return settings_blame(where(r, at, place), name, r->err, "found %s, expected %s: write %s",
                          describe(at, found, sizeof(found)), type_wanted(key->kind),
                          example(key, config_setting_name(at), write, sizeof(write)));
}

/* The elements of a list of texts, joined by commas as in the environment.  -1: one of them is no text. */
static int
join(const config_setting_t *list, char *buf, size_t cap)
{
    size_t used = 0;

    buf[0] = '\0';
    for (unsigned i = 0; i < (unsigned)config_setting_length(list); i++) {
        const char *text = config_setting_get_string_elem(list, (int)i);
        if (text == NULL)
            return -1;
        if (used < cap)
            used += (size_t)snprintf(buf + used, cap - used, "%s%s", i == 0 ? "" : ",", text);
    }
    return used < cap ? 0 : -1;
}

/* The setting's value as text, as it would stand in the environment; NULL: it is of another type. */
static const char *
as_text(const config_setting_t *at, enum settings_kind kind, char *buf, size_t cap)
{
    int type = config_setting_type(at);

    if (kind == SETTINGS_FLAG)
        return type != CONFIG_TYPE_BOOL ? NULL : config_setting_get_bool(at) ? "true"
                                                                             : "false";
    if (kind == SETTINGS_NUMBER) {
        if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
            return NULL;
        snprintf(buf, cap, "%lld", config_setting_get_int64(at));
        return buf;
    }
    if (kind == SETTINGS_DECIMAL) {
        if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64)
            snprintf(buf, cap, "%lld", config_setting_get_int64(at));
        else if (type == CONFIG_TYPE_FLOAT)
            snprintf(buf, cap, "%.6f", config_setting_get_float(at));
        else
            return NULL;
        return buf;
    }
    if (kind == SETTINGS_HOSTS && (type == CONFIG_TYPE_LIST || type == CONFIG_TYPE_ARRAY))
        return join(at, buf, cap) == 0 ? buf : NULL;
    return config_setting_get_string(at);
}

static int
read_value(const struct reading *r, const struct group *g, const config_setting_t *at, const struct settings_key *key)
{
    char hosts[SETTINGS_HOSTS_MAX * (SETTINGS_NAME_MAX + 16)], place[SETTINGS_WHERE_MAX], name[64];
    struct err why = {0};
    const char *text = as_text(at, key->kind, hosts, sizeof(hosts));

    snprintf(name, sizeof(name), "%s.%s", g->name, key->name + g->skip);
    const char *shown = g->name[0] == '\0' ? key->name : name;
    where(r, at, place);
    if (key->secret)
        return settings_blame(place, shown, r->err,
                              "secrets do not stand in this file, which many may read: write password_file = \"...\";");
    if (text == NULL)
        return mistyped(r, at, key, shown);
    if (settings_value_set(g->base, key, text, &why) != 0)
        return why.code == ERR_NOMEM ? err_set(r->err, ERR_NOMEM, 0, "settings")
                                     : settings_blame(place, shown, r->err, "%s", why.text);
    if (g->noted)
        memcpy(r->draft->where[settings_key_index(key->name)], place, SETTINGS_WHERE_MAX);
    return 0;
}

/* The key of a group that a wrong name is nearest to; NULL: none is near. */
static const char *
nearest(const struct group *g, const char *name)
{
    const char *best = NULL;

    for (size_t i = 0; i < g->n; i++) {
        const char *bare = g->keys[i].name + g->skip;
        if (!g->keys[i].secret && suggest_resembles(name, bare) &&
            (best == NULL || suggest_distance(name, bare) < suggest_distance(name, best)))
            best = bare;
    }
    return best;
}

/* A key of another section that has this very name; NULL: none. */
static const char *
elsewhere(const char *name)
{
    size_t n;
    const struct settings_key *keys = settings_keys(&n);

    for (size_t i = 0; i < n; i++) {
        size_t section = settings_section_len(keys[i].name);
        if (section > 0 && strcmp(keys[i].name + section + 1, name) == 0)
            return keys[i].name;
    }
    return NULL;
}

static int
unknown_key(const struct reading *r, const struct group *g, const config_setting_t *at)
{
    char place[SETTINGS_WHERE_MAX], name[64], bare[SETTINGS_SHOWN_MAX], known[160] = "";
    const char *near = nearest(g, config_setting_name(at));
    const char *other = elsewhere(config_setting_name(at));
    size_t used = 0;

    settings_show(config_setting_name(at), bare);
    snprintf(name, sizeof(name), "%.12s%s%s", g->name, g->name[0] == '\0' ? "" : ".", bare);
    where(r, at, place);
    if (near != NULL)
        return settings_blame(place, name, r->err, "there is no such key; did you mean \"%s\"?", near);
    if (other != NULL)
        return settings_blame(place, name, r->err, "there is no such key here; did you mean %s?", other);
    for (size_t i = 0; i < g->n && used < sizeof(known); i++) {
        if (!g->keys[i].secret)
            used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used == 0 ? "" : ", ",
                                     g->keys[i].name + g->skip);
    }
    return settings_blame(place, name, r->err, "there is no such key; there is %s", known);
}

static int
read_group(const struct reading *r, const struct group *g, config_setting_t *from)
{
    for (unsigned i = 0; i < (unsigned)config_setting_length(from); i++) {
        config_setting_t *at = config_setting_get_elem(from, i);
        const struct settings_key *key = NULL;
        for (size_t k = 0; k < g->n && key == NULL; k++) {
            if (strcmp(g->keys[k].name + g->skip, config_setting_name(at)) == 0)
                key = &g->keys[k];
        }
        if (key == NULL)
            return unknown_key(r, g, at);
        if (read_value(r, g, at, key) != 0)
            return -1;
    }
    return 0;
}

/* The rows of a section, or with "" one row that stands alone.  n is 0 where there is no such section. */
static struct group
find_group(const struct reading *r, const char *name)
{
    size_t n;
    const struct settings_key *keys = settings_keys(&n);
    struct group g = {.name = name, .base = r->draft->s, .skip = strlen(name) + 1, .noted = true};

    for (size_t i = 0; i < n; i++) {
        if (settings_section_len(keys[i].name) != strlen(name) || strncmp(keys[i].name, name, strlen(name)) != 0)
            continue;
        if (g.n++ == 0)
            g.keys = &keys[i];
    }
    return g;
}

/* A connector: all of its own keys, then what they mean together. */
static int
read_connector(const struct reading *r, config_setting_t *at, struct settings_connector *c)
{
    struct group g = {.name = "connectors", .base = c};
    struct err why = {0};
    char place[SETTINGS_WHERE_MAX], shown[SETTINGS_SHOWN_MAX];

    g.keys = settings_connector_keys(&g.n);
    where(r, at, place);
    memcpy(c->where, place, sizeof(place));
    if (!config_setting_is_group(at))
        return settings_blame(place, "connectors", r->err,
                              "found %s, expected a group: write { id = \"...\"; queue = \"...\"; }",
                              config_setting_get_string(at) != NULL ? "a text" : "something else");
    for (size_t i = 0; i < g.n; i++) {
        if (g.keys[i].def != NULL && settings_value_set(c, &g.keys[i], g.keys[i].def, r->err) != 0)
            return -1;
    }
    if (read_group(r, &g, at) != 0)
        return -1;
    if (c->id == NULL)
        return settings_blame(place, "connectors", r->err, "one has no id: write id = \"...\";");
    if (!text_is_id(c->id, strlen(c->id)))
        return settings_blame(place, "connectors.id", r->err,
                              "\"%s\" is no id: write 1 to 64 of a-z, 0-9, '.', '_', '-', the first a letter or digit",
                              settings_show(c->id, shown));
    if (settings_target_check(&c->target, c->id, &why) != 0)
        return why.code == ERR_NOMEM ? err_set(r->err, ERR_NOMEM, 0, "settings")
                                     : settings_blame(place, c->id, r->err, "%s", why.text);
    return 0;
}

struct named {
    const char *id;
    const config_setting_t *at;
    size_t index;
};

static int
by_id(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = strcmp(x->id, y->id);

    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

/* Sorted, since ten thousand connectors would be compared fifty million times otherwise. */
static int
check_ids(const struct reading *r, config_setting_t *list)
{
    const struct settings *s = r->draft->s;
    struct named *names = calloc(s->n_connectors + 1, sizeof(*names));
    int rc = 0;

    if (names == NULL)
        return err_set(r->err, ERR_NOMEM, 0, "settings");
    for (size_t i = 0; i < s->n_connectors; i++)
        names[i] = (struct named){s->connectors[i].id, config_setting_get_elem(list, (unsigned)i), i};
    qsort(names, s->n_connectors, sizeof(*names), by_id);
    for (size_t i = 1; i < s->n_connectors && rc == 0; i++) {
        char second[SETTINGS_WHERE_MAX], first[SETTINGS_WHERE_MAX];
        if (strcmp(names[i - 1].id, names[i].id) == 0)
            rc = settings_blame(where(r, names[i].at, second), "connectors", r->err,
                                "the id \"%s\" is taken by the one at %s: each needs its own", names[i].id,
                                where(r, names[i - 1].at, first));
    }
    free(names);
    return rc;
}

static int
read_connectors(const struct reading *r, config_setting_t *list)
{
    struct settings *s = r->draft->s;
    char place[SETTINGS_WHERE_MAX], found[80];
    size_t n = (size_t)config_setting_length(list);

    if (config_setting_type(list) != CONFIG_TYPE_LIST)
        return settings_blame(where(r, list, place), "connectors", r->err,
                              "found %s, expected a list: write connectors = ( { id = \"...\"; queue = \"...\"; } );",
                              config_setting_type(list) == CONFIG_TYPE_ARRAY ? "an array [ ]"
                                                                             : describe(list, found, sizeof(found)));
    if (n > SETTINGS_CONNECTORS_MAX)
        return settings_blame(where(r, list, place), "connectors", r->err, "%zu are too many: at most %d", n,
                              SETTINGS_CONNECTORS_MAX);
    s->connectors = calloc(n + 1, sizeof(*s->connectors));
    if (s->connectors == NULL)
        return err_set(r->err, ERR_NOMEM, 0, "settings");
    for (unsigned i = 0; i < n; i++) {
        s->n_connectors = i + 1; /* what is half read is freed too */
        if (read_connector(r, config_setting_get_elem(list, i), &s->connectors[i]) != 0)
            return -1;
    }
    return check_ids(r, list);
}

static int
read_budget(const struct reading *r, config_setting_t *at, struct settings_group *to)
{
    struct group g = {.name = "groups", .base = to};

    g.keys = settings_group_keys(&g.n);
    where(r, at, to->where);
    if (!config_setting_is_group(at))
        return settings_blame(to->where, "groups", r->err,
                              "expected a group: write { name = \"feeds\"; budget = \"2GB\"; }");
    if (read_group(r, &g, at) != 0)
        return -1;
    if (to->name == NULL || to->budget == 0)
        return settings_blame(to->where, "groups", r->err,
                              "one has no name or no budget: write { name = \"feeds\"; budget = \"2GB\"; }");
    return 0;
}

static int
read_groups(const struct reading *r, config_setting_t *list)
{
    struct settings *s = r->draft->s;
    char place[SETTINGS_WHERE_MAX];
    size_t n = (size_t)config_setting_length(list);

    if (config_setting_type(list) != CONFIG_TYPE_LIST || n > SETTINGS_GROUPS_MAX)
        return settings_blame(where(r, list, place), "groups", r->err,
                              "expected a list of at most %d: write groups = ( { name = \"feeds\"; budget = "
                              "\"2GB\"; } );",
                              SETTINGS_GROUPS_MAX);
    s->groups = calloc(n + 1, sizeof(*s->groups));
    if (s->groups == NULL)
        return err_set(r->err, ERR_NOMEM, 0, "settings");
    for (unsigned i = 0; i < n; i++) {
        s->n_groups = i + 1;
        if (read_budget(r, config_setting_get_elem(list, i), &s->groups[i]) != 0)
            return -1;
        for (unsigned j = 0; j < i; j++)
            if (strcmp(s->groups[j].name, s->groups[i].name) == 0)
                return settings_blame(s->groups[i].where, "groups", r->err, "the name is taken by the one at %s",
                                      s->groups[j].where);
    }
    return 0;
}

/* A name at the top that is neither a section nor a key. */
static int
unknown_top(const struct reading *r, const config_setting_t *at)
{
    size_t n;
    char place[SETTINGS_WHERE_MAX], shown[SETTINGS_SHOWN_MAX], best[32] = "connectors";
    const char *name = config_setting_name(at), *other = elsewhere(name);
    const struct settings_key *keys = settings_keys(&n);

    where(r, at, place);
    settings_show(name, shown);
    for (size_t i = 0; i < n; i++) {
        char top[32];
        size_t len = settings_section_len(keys[i].name);
        snprintf(top, sizeof(top), "%.*s", (int)(len == 0 ? sizeof(top) - 1 : len), keys[i].name);
        if (suggest_distance(name, top) < suggest_distance(name, best))
            memcpy(best, top, sizeof(best));
    }
    if (suggest_resembles(name, best))
        return settings_blame(place, shown, r->err, "there is no such section or key; did you mean \"%s\"?", best);
    if (other != NULL)
        return settings_blame(place, shown, r->err, "there is no such section; did you mean %s?", other);
    return settings_blame(place, shown, r->err,
                          "there is no such section; there are door, broker, telemetry, admission, memory, state, log, "
                          "stop, accept_unknown, default_target, groups, connectors");
}

static int
read_top(const struct reading *r, config_setting_t *at)
{
    const char *name = config_setting_name(at);
    struct group g = find_group(r, name);
    char place[SETTINGS_WHERE_MAX], found[80];
    size_t n;

    if (strcmp(name, "connectors") == 0)
        return read_connectors(r, at);
    if (strcmp(name, "groups") == 0)
        return read_groups(r, at);
    if (g.n > 0 && !config_setting_is_group(at))
        return settings_blame(where(r, at, place), name, r->err, "found %s, expected a group: write %s = { ... };",
                              describe(at, found, sizeof(found)), name);
    if (g.n > 0)
        return read_group(r, &g, at);
    const struct settings_key *keys = settings_keys(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return read_value(r, &(struct group){.name = "", .base = r->draft->s, .noted = true}, at, &keys[i]);
    }
    return unknown_top(r, at);
}

static int
walk(const struct reading *r, config_t *config)
{
    config_setting_t *root = config_root_setting(config);

    for (unsigned i = 0; i < (unsigned)config_setting_length(root); i++) {
        if (read_top(r, config_setting_get_elem(root, i)) != 0)
            return -1;
    }
    return 0;
}

static int
not_read(const struct reading *r, const config_t *config)
{
    const char *file = config_error_file(config) == NULL ? r->path : config_error_file(config);
    const char *what = config_error_text(config) == NULL ? "it cannot be read" : config_error_text(config);
    const char *advice = "look here and one line above for a missing ';', quote or bracket";
    size_t len = strlen(file);

    if (strstr(what, "duplicate") != NULL)
        advice = "this key or section stands above already: join the two";
    return err_set(r->err, ERR_CONFIG, 0, "%s:%d: %s: %s", len > 64 ? file + len - 64 : file,
                   config_error_line(config), what, advice);
}

/* Parse text and walk it.  Includes are taken from the folder of path, where settings_scan has seen them. */
static int
parse(const struct reading *r, const char *text)
{
    const char *slash = strrchr(r->path, '/');
    char *folder = slash == NULL ? NULL : strndup(r->path, slash == r->path ? 1 : (size_t)(slash - r->path));
    config_t config;
    int rc;

    if (slash != NULL && folder == NULL)
        return err_set(r->err, ERR_NOMEM, 0, "settings");
    config_init(&config);
    if (folder != NULL)
        config_set_include_dir(&config, folder);
    rc = config_read_string(&config, text) == CONFIG_TRUE ? walk(r, &config) : not_read(r, &config);
    config_destroy(&config);
    free(folder);
    return rc;
}

int
settings_read(struct settings_draft *d, const char *path, struct err *err)
{
    struct reading r = {.draft = d, .path = path, .err = err};
    struct err why = {0};
    size_t len = 0;
    char shown[SETTINGS_WHERE_MAX];
    char *text = settings_file_text(path, SETTINGS_FILE_MAX, false, &len, &why);

    if (text == NULL)
        return err_set(err, why.code, 0,
                       "configuration %s: %s",
                       text_show(path, strlen(path), shown, sizeof(shown)), why.text);
    int rc = settings_scan(path, text, len, err);
    if (rc == 0)
        rc = parse(&r, text);
    free(text);
    return rc;
}
