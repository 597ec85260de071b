#include "cursor.h"

#include <stdio.h>
#include <string.h>

#include "err.h"
#include "feed.h"

enum { FORMAT = 1 };

int
kev_cursor_start(struct kev_cursor *c, struct err *err)
{
    memset(c, 0, sizeof(*c));
    c->ids = json_object();
    return c->ids != NULL ? 0 : err_set(err, ERR_NOMEM, 0, "state");
}

static int
take_text(const json_t *root, const char *key, char *buf, size_t cap)
{
    const json_t *value = json_object_get(root, key);
    const char *text = json_string_value(value);

    if (value == NULL)
        return 0;
    if (text == NULL || strlen(text) >= cap)
        return -1;
    memcpy(buf, text, strlen(text) + 1);
    return 0;
}

static int
take_ids(const json_t *root, struct kev_cursor *c)
{
    const json_t *list = json_object_get(root, "ids");

    if (!json_is_array(list) || json_array_size(list) > KEV_DAY_IDS_MAX)
        return -1;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *id = json_string_value(json_array_get(list, i));

        if (id == NULL || json_object_set_new(c->ids, id, json_true()) != 0)
            return -1;
    }
    return 0;
}

int
kev_cursor_parse(const void *text, size_t len, struct kev_cursor *c, struct err *err)
{
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    struct kev_cursor got;

    if (kev_cursor_start(&got, err) != 0) {
        json_decref(root);
        return -1;
    }
    if (!json_is_object(root) || json_integer_value(json_object_get(root, "format")) != FORMAT ||
        take_text(root, "source", got.source, sizeof(got.source)) != 0 ||
        take_text(root, "etag", got.etag, sizeof(got.etag)) != 0 ||
        take_text(root, "last_modified", got.last_modified, sizeof(got.last_modified)) != 0 ||
        take_text(root, "newest", got.newest, sizeof(got.newest)) != 0 || take_ids(root, &got) != 0 ||
        (got.newest[0] != '\0' && !kev_is_day(got.newest))) {
        json_decref(root);
        kev_cursor_free(&got);
        return err_set(err, ERR_PROTO, 0,
                       "state: the gateway keeps %zu bytes for this id that are no state of this version of cisa-kev; "
                       "use the id it belongs to, or --reset-state to send everything again",
                       len);
    }
    json_decref(root);
    *c = got;
    return 0;
}

char *
kev_cursor_print(const struct kev_cursor *c)
{
    json_t *ids = json_array(), *root;
    char *text = NULL;

    if (ids == NULL)
        return NULL;
    for (void *at = json_object_iter(c->ids); at != NULL; at = json_object_iter_next(c->ids, at))
        if (json_array_append_new(ids, json_string(json_object_iter_key(at))) != 0) {
            json_decref(ids);
            return NULL;
        }
    root = json_pack("{s:i,s:s,s:s,s:s,s:s,s:o}", "format", FORMAT, "source", c->source, "etag", c->etag,
                     "last_modified", c->last_modified, "newest", c->newest, "ids", ids);
    if (root != NULL)
        text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

bool
kev_cursor_is_new(const struct kev_cursor *c, const struct kev_entry *e)
{
    int order = strcmp(e->added, c->newest); /* such days sort as text */

    return order > 0 || (order == 0 && json_object_get(c->ids, e->cve) == NULL);
}

int
kev_cursor_add(struct kev_cursor *c, const struct kev_entry *e, struct err *err)
{
    int order = strcmp(e->added, c->newest);

    if (order < 0)
        return 0;
    if (order > 0) {
        json_object_clear(c->ids);
        snprintf(c->newest, sizeof(c->newest), "%.10s", e->added);
    }
    if (json_object_size(c->ids) >= KEV_DAY_IDS_MAX)
        return err_set(err, ERR_PROTO, 0, "feed: more than %d entries of %s", KEV_DAY_IDS_MAX, e->added);
    if (json_object_set_new(c->ids, e->cve, json_true()) != 0)
        return err_set(err, ERR_NOMEM, 0, "state");
    return 0;
}

void
kev_cursor_free(struct kev_cursor *c)
{
    json_decref(c->ids);
    c->ids = NULL;
}
