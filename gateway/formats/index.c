/* index.c - reading a bundle. */
#include "index.h"

#include <stdlib.h>
#include <string.h>

#include "embedded.h"
#include "jsontext.h"

#define OPENCTI_EXTENSION "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba"

struct index {
    struct bundle *b;
    struct names  *names;
    struct json   *j;
    struct index_place *place;
    bool     has_type;
    uint32_t name, type; /* of the object that is being read */
};

void
bundle_close(struct bundle *b)
{
    budget_free(b->budget, b->objects, b->cap_objects * sizeof(*b->objects));
    budget_free(b->budget, b->members, b->cap_members * sizeof(*b->members));
    budget_free(b->budget, b->elements, b->cap_elements * sizeof(*b->elements));
    b->objects = NULL;
    b->members = NULL;
    b->elements = NULL;
}

static bool
nomem(const struct index *ix)
{
    ix->j->failed = true;
    return false;
}

/* --- Members ------------------------------------------------------------------------------------------------------ */

static bool
add_member(const struct index *ix, enum member_kind kind)
{
    struct bundle *b = ix->b;

    if (!budget_more(b->budget, (void **)&b->members, b->n_members, &b->cap_members, sizeof(*b->members)))
        return nomem(ix);
    b->members[b->n_members++] = (struct member){.at = ix->j->at, .first = b->n_elements, .kind = kind};
    return true;
}

static bool
add_name(const struct index *ix, struct json_text text)
{
    uint32_t name;

    if (!names_add(ix->names, text, &name))
        return nomem(ix);
    return bundle_add_element(ix->b, ix->j, name | ELEMENT_KEPT);
}

static bool
reference(const struct index *ix)
{
    struct json_text text = {.at = 0};

    if (json_space(ix->j) != '"')
        return json_refuse(ix->j, ix->j->at, "a reference that is no text");
    return json_string(ix->j, &text) && add_name(ix, text);
}

static bool
references(const struct index *ix)
{
    for (bool more = json_first_element(ix->j); more; more = json_next_element(ix->j))
        if (!reference(ix))
            return false;
    return !ix->j->failed;
}

/* What has no elements: null, and "" and {}, which are as good as an empty list. */
static bool
nothing(const struct index *ix, const char *what)
{
    uint32_t at;

    if (!json_value(ix->j, &at))
        return false;
    const unsigned char *v = ix->b->text + at;

    if (*v == 'n' || (*v == '"' && v[1] == '"') ||
        (*v == '{' && ix->b->text[jsontext_blanks(ix->b->text, at + 1)] == '}'))
        return true;
    return json_refuse(ix->j, at, what);
}

static bool
read_elements(const struct index *ix, enum member_kind kind, bool phases)
{
    const unsigned char c = ix->b->text[ix->j->at];

    switch (kind) {
    case MEMBER_REFS:
    case MEMBER_WHERE:
        return c == '[' ? references(ix) : nothing(ix, "references that are no list");
    case MEMBER_EMBEDDED:
        return c == '[' ? embedded_list(ix->b, ix->j, phases)
                        : nothing(ix, "external references or kill chain phases that are no list");
    default:
        if (c != 'n')
            return reference(ix);
        return nothing(ix, "");
    }
}

/* A member that a rule is about, its value next. */
static bool
ruled(const struct index *ix, enum member_kind kind, bool phases)
{
    struct bundle *b = ix->b;

    (void)json_space(ix->j);
    if (!add_member(ix, kind))
        return false;
    struct member *m = &b->members[b->n_members - 1];
    const uint32_t number = b->n_members - 1;

    if (kind == MEMBER_DEPS ? !json_value(ix->j, &m->at) : !read_elements(ix, kind, phases))
        return false;
    m = &b->members[number];
    m->len = ix->j->at - m->at;
    return true;
}

/* Another id: only a text that is not empty names anything. */
static bool
alias(const struct index *ix)
{
    struct json_text text = {.at = 0};
    uint32_t at;

    if (json_space(ix->j) != '"')
        return json_value(ix->j, &at);
    if (!json_string(ix->j, &text))
        return false;
    return text.len == 0 || (add_member(ix, MEMBER_ALIAS) && add_name(ix, text));
}

/* The member `name` of the object that comes is for then; everything else is passed. */
static bool
inside(const struct index *ix, const char *name, bool (*then)(const struct index *))
{
    struct json_keys keys;
    struct json_text key = {.at = 0};
    uint32_t at;

    if (json_space(ix->j) != '{')
        return json_value(ix->j, &at);
    for (bool more = json_first(ix->j, &keys, &key); more; more = json_next(ix->j, &keys, &key))
        if (jsontext_is(ix->b->text, key, name) ? !then(ix) : !json_value(ix->j, &at))
            return false;
    return !ix->j->failed;
}

static bool
extension(const struct index *ix)
{
    return inside(ix, "id", alias);
}

static bool
text_of(const struct index *ix, struct json_text *ret, const char *what)
{
    if (json_space(ix->j) != '"')
        return json_refuse(ix->j, ix->j->at, what);
    return json_string(ix->j, ret);
}

static bool
read_id(struct index *ix)
{
    if (!text_of(ix, &ix->place->id, "its id is no text"))
        return false;
    ix->place->has_id = true;
    return names_add(ix->names, ix->place->id, &ix->name) || nomem(ix);
}

static bool
read_type(struct index *ix)
{
    struct json_text text = {.at = 0};

    if (!text_of(ix, &text, "its type is no text"))
        return false;
    ix->has_type = true;
    if (jsontext_is(ix->b->text, text, "relationship"))
        ix->type = OBJECT_RELATIONSHIP;
    else if (jsontext_is(ix->b->text, text, "sighting"))
        ix->type = OBJECT_SIGHTING;
    return true;
}

/* May this be one of the few keys that a rule is about?  Most are told by their length and their last bytes. */
static bool
may_matter(const struct bundle *b, struct json_text key)
{
    if (key.escaped || key.len < 2)
        return key.escaped;
    const unsigned char *end = b->text + key.at + key.len;

    switch (end[-1]) {
    case 'd': return key.len == strlen("id") || key.len == strlen("x_opencti_id");
    case 'e': return key.len == strlen("type");
    case 'f': return key.len >= strlen("_ref") && end[-4] == '_';
    case 's':
        return (key.len >= strlen("_refs") && end[-5] == '_') || key.len == strlen("external_references") ||
               key.len == strlen("kill_chain_phases") || key.len == strlen("nb_deps") ||
               key.len == strlen("extensions");
    default: return false;
    }
}

static bool
read_ref(const struct index *ix, struct json_text key)
{
    const unsigned char *text = ix->b->text;

    if (jsontext_is(text, key, "source_ref"))
        return ruled(ix, MEMBER_SOURCE, false);
    if (jsontext_is(text, key, "target_ref"))
        return ruled(ix, MEMBER_TARGET, false);
    return ruled(ix, jsontext_is(text, key, "sighting_of_ref") ? MEMBER_SIGHTED : MEMBER_REF, false);
}

static bool
read_member(struct index *ix, struct json_text key)
{
    const unsigned char *text = ix->b->text;
    uint32_t at;

    if (!may_matter(ix->b, key))
        return json_value(ix->j, &at);
    if (jsontext_ends(text, key, "_ref"))
        return read_ref(ix, key);
    if (jsontext_ends(text, key, "_refs"))
        return ruled(ix, jsontext_is(text, key, "where_sighted_refs") ? MEMBER_WHERE : MEMBER_REFS, false);
    if (jsontext_is(text, key, "id"))
        return read_id(ix);
    if (jsontext_is(text, key, "type"))
        return read_type(ix);
    if (jsontext_is(text, key, "external_references"))
        return ruled(ix, MEMBER_EMBEDDED, false);
    if (jsontext_is(text, key, "kill_chain_phases"))
        return ruled(ix, MEMBER_EMBEDDED, true);
    if (jsontext_is(text, key, "nb_deps"))
        return ruled(ix, MEMBER_DEPS, false);
    if (jsontext_is(text, key, "x_opencti_id"))
        return alias(ix);
    if (jsontext_is(text, key, "extensions"))
        return inside(ix, OPENCTI_EXTENSION, extension);
    return json_value(ix->j, &at);
}

/* --- Objects ------------------------------------------------------------------------------------------------------ */

/* Its names are its own from here; what had one of them before is not found by it any more. */
static void
call_it(const struct index *ix, uint32_t object)
{
    const struct bundle *b = ix->b;

    ix->names->v[ix->name].object = object;
    for (uint32_t m = b->objects[object].member; m < b->n_members; m++)
        if (b->members[m].kind == MEMBER_ALIAS)
            ix->names->v[ELEMENT_NAME(b->elements[b->members[m].first])].object = object;
}

static bool
add_object(const struct index *ix, uint32_t at, uint32_t first_member)
{
    struct bundle *b = ix->b;

    if (!budget_more(b->budget, (void **)&b->objects, b->n_objects, &b->cap_objects, sizeof(*b->objects)))
        return nomem(ix);
    struct object *o = &b->objects[b->n_objects++];

    *o = (struct object){.at = at, .len = ix->j->at - at, .member = first_member};
    o->name = ix->name & NAMES_NONE;
    o->type = ix->type & 3;
    call_it(ix, b->n_objects - 1);
    return true;
}

static bool
read_object(struct index *ix)
{
    struct json *j = ix->j;
    struct json_keys keys;
    struct json_text key = {.at = 0};
    const uint32_t first = ix->b->n_members, at = j->at;

    *ix->place = (struct index_place){.in_object = true, .object = ix->b->n_objects};
    ix->has_type = false;
    ix->type = OBJECT_OTHER;
    if (json_space(j) != '{')
        return json_refuse(j, at, "it is no object");
    for (bool more = json_first(j, &keys, &key); more; more = json_next(j, &keys, &key))
        if (!read_member(ix, key))
            return false;
    if (j->failed)
        return false;
    if (!ix->place->has_id || !ix->has_type)
        return json_refuse(j, at, ix->place->has_id ? "it has no type" : "it has no id");
    return add_object(ix, at, first);
}

/* --- The bundle --------------------------------------------------------------------------------------------------- */

static bool
read_objects(struct index *ix)
{
    if (json_space(ix->j) != '[')
        return json_refuse(ix->j, ix->j->at, "\"objects\" is no list");
    for (bool more = json_first_element(ix->j); more; more = json_next_element(ix->j))
        if (!read_object(ix))
            return false;
    ix->place->in_object = ix->j->failed && ix->place->in_object;
    return !ix->j->failed;
}

static bool
is_bundle(const struct index *ix)
{
    struct json_text text = {.at = 0};

    if (!text_of(ix, &text, "no bundle: its type is no text"))
        return false;
    return jsontext_is(ix->b->text, text, "bundle") ||
           json_refuse(ix->j, text.at - 1, "no bundle: its type is another");
}

static bool
read_top(struct index *ix, struct json_text key, bool *objects)
{
    const unsigned char *text = ix->b->text;
    uint32_t at;

    if (jsontext_is(text, key, "objects")) {
        *objects = true;
        return read_objects(ix);
    }
    if (jsontext_is(text, key, "type"))
        return is_bundle(ix);
    if (!jsontext_is(text, key, "id"))
        return json_value(ix->j, &at);
    ix->b->has_id = true;
    return text_of(ix, &ix->b->id, "the bundle's id is no text");
}

bool
index_bundle(struct bundle *b, struct names *names, struct json *j, struct index_place *ret_place)
{
    struct index ix = {.b = b, .names = names, .j = j, .place = ret_place};
    struct json_keys keys;
    struct json_text key = {.at = 0};
    bool objects = false;

    *ret_place = (struct index_place){.in_object = false};
    if (b->size >= 3 && memcmp(b->text, "\xef\xbb\xbf", 3) == 0)
        return json_refuse(j, 0, "a byte order mark");
    if (json_space(j) != '{')
        return json_refuse(j, j->at, j->at >= j->len ? "it is empty" : "no bundle: it is no JSON object");
    for (bool more = json_first(j, &keys, &key); more; more = json_next(j, &keys, &key))
        if (!read_top(&ix, key, &objects))
            return false;
    if (j->failed)
        return false;
    if (!objects)
        return json_refuse(j, 0, "no bundle: it has no \"objects\"");
    if (json_space(j) != 0 || j->at < j->len)
        return json_refuse(j, j->at, "bytes behind the end of the bundle");
    return true;
}
