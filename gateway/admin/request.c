/* request.c - one line of an operator, read strictly: what is not known is refused, so that a mistake shows at once. */
#include "request.h"

#include <jansson.h>
#include <string.h>

#include "err.h"
#include "suggest.h"
#include "text.h"

enum { SHOWN_MAX = 48 };

static const struct row {
    const char      *name;
    enum request_kind kind;
    enum core_action action;
    bool             needs, takes; /* a connector */
    bool             pos;          /* it needs that, too */
} rows[] = {
    {"status", REQUEST_STATUS, CORE_PAUSE, false, true, false},
    {"pause", REQUEST_ACT, CORE_PAUSE, true, true, false},
    {"resume", REQUEST_ACT, CORE_RESUME, true, true, false},
    {"run", REQUEST_ACT, CORE_RUN_NOW, true, true, false},
    {"reset-state", REQUEST_ACT, CORE_RESET_STATE, true, true, false},
    {"drain", REQUEST_ACT, CORE_DRAIN_ON, false, false, false},
    {"undrain", REQUEST_ACT, CORE_DRAIN_OFF, false, false, false},
    {"dead-letters", REQUEST_LETTERS, CORE_PAUSE, false, true, false},
    {"replay", REQUEST_REPLAY, CORE_PAUSE, true, true, true},
    {"drop", REQUEST_DROP, CORE_PAUSE, true, true, true},
};
#define ALL "status, pause, resume, run, reset-state, drain, undrain, dead-letters, replay, drop"

static const struct row *
find(const char *name, struct err *err)
{
    char shown[SHOWN_MAX];
    const struct row *near = NULL;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
        if (suggest_resembles(name, rows[i].name) &&
            (near == NULL || suggest_distance(name, rows[i].name) < suggest_distance(name, near->name)))
            near = &rows[i];
    }
    text_show(name, strlen(name), shown, sizeof(shown));
    if (near != NULL)
        err_set(err, ERR_PROTO, 0, "do: there is no \"%s\"; did you mean \"%s\"?", shown, near->name);
    else
        err_set(err, ERR_PROTO, 0, "do: there is no \"%s\": write one of " ALL, shown);
    return NULL;
}

/* Only the keys that there are, the two texts without a NUL. */
static int
check_keys(json_t *root, struct err *err)
{
    char shown[SHOWN_MAX];
    const char *key;

    for (void *i = json_object_iter(root); i != NULL; i = json_object_iter_next(root, i)) {
        const json_t *value = json_object_iter_value(i);

        key = json_object_iter_key(i);
        text_show(key, strlen(key), shown, sizeof(shown));
        if (strcmp(key, "pos") == 0 && json_is_integer(value) && json_integer_value(value) > 0)
            continue;
        if (strcmp(key, "pos") == 0)
            return err_set(err, ERR_PROTO, 0, "pos: it must be a number from 1, as dead-letters lists it");
        if (strcmp(key, "do") != 0 && strcmp(key, "connector") != 0)
            return err_set(err, ERR_PROTO, 0,
                           "there is no key \"%s\": write do and connector, and pos with replay and drop", shown);
        if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
            return err_set(err, ERR_PROTO, 0, "%s: it must be a text", shown);
    }
    return 0;
}

static int
take_connector(const struct row *row, const char *id, struct request *ret, struct err *err)
{
    char shown[SHOWN_MAX];

    if (id == NULL && row->needs)
        return err_set(err, ERR_PROTO, 0, "%s needs a connector: write {\"do\":\"%s\",\"connector\":\"...\"}",
                       row->name, row->name);
    if (id != NULL && !row->takes)
        return err_set(err, ERR_PROTO, 0, "%s is for the whole gateway: leave connector out, or pause one", row->name);
    if (id == NULL)
        return 0;
    if (!text_is_id(id, strlen(id)))
        return err_set(err, ERR_PROTO, 0, "connector: \"%s\" is not an id: those have 1 to 64 of a-z 0-9 . _ -",
                       text_show(id, strlen(id), shown, sizeof(shown)));
    strncpy(ret->connector, id, sizeof(ret->connector) - 1);
    return 0;
}

static int
take_pos(const struct row *row, const json_t *pos, struct request *ret, struct err *err)
{
    if (pos == NULL && row->pos)
        return err_set(err, ERR_PROTO, 0, "%s needs a dead letter: write its pos, as dead-letters lists it", row->name);
    if (pos != NULL && !row->pos)
        return err_set(err, ERR_PROTO, 0, "%s has no pos: leave it out", row->name);
    ret->pos = pos == NULL ? 0 : (uint64_t)json_integer_value(pos);
    return 0;
}

static int
read_object(json_t *root, struct request *ret, struct err *err)
{
    const char *name;
    const struct row *row;

    if (!json_is_object(root))
        return err_set(err, ERR_PROTO, 0, "a request is an object: write {\"do\":\"status\"}");
    if (check_keys(root, err) != 0)
        return -1;
    name = json_string_value(json_object_get(root, "do"));
    if (name == NULL)
        return err_set(err, ERR_PROTO, 0, "do is missing: write {\"do\":\"...\"} with one of " ALL);
    row = find(name, err);
    if (row == NULL)
        return -1;
    ret->kind = row->kind;
    ret->action = row->action;
    ret->name = row->name;
    if (take_connector(row, json_string_value(json_object_get(root, "connector")), ret, err) != 0)
        return -1;
    return take_pos(row, json_object_get(root, "pos"), ret, err);
}

int
request_read(const char *line, size_t len, struct request *ret, struct err *err)
{
    json_error_t why;
    json_t *root = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    int rc;

    memset(ret, 0, sizeof(*ret));
    if (root == NULL)
        return err_set(err, ERR_PROTO, 0, "not a line of JSON (%.100s): write {\"do\":\"status\"}", why.text);
    rc = read_object(root, ret, err);
    json_decref(root);
    return rc;
}
