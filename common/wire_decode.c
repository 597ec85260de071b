/* wire_decode.c - one frame from a peer that is not trusted, into a message or a reason.
 *
 * The order of the checks is part of the protocol: the frame, the type, the version, then the fields as they come, then
 * what is missing. */
#include <msgpack/unpack.h>
#include <string.h>

#include "scan.h"
#include "text.h"
#include "wire_fault.h"
#include "wire_table.h"

/* What the steps of one decoding share. */
struct in {
    msgpack_object_map             map;
    const struct wire_message_row *row;
    struct wire_msg               *msg;
    struct wire_fault             *fault;
};

static bool
is_text(const msgpack_object *o, const char *text, size_t len)
{
    return o->type == MSGPACK_OBJECT_STR && o->via.str.size == len && memcmp(o->via.str.ptr, text, len) == 0;
}

/* The value of the first key of that name, or NULL. */
static const msgpack_object *
find_value(const msgpack_object_map *map, const char *name, size_t len)
{
    for (uint32_t i = 0; i < map->size; i++) {
        if (is_text(&map->ptr[i].key, name, len))
            return &map->ptr[i].val;
    }
    return NULL;
}

/* --- One value: from msgpack's type into the struct; its limits are wire_field_fits' ------------------------------ */

static bool
load_word(const struct wire_field_row *f, const struct wire_words range, const msgpack_object *o, void *to)
{
    for (unsigned word = range.first; word <= range.last; word++) {
        if (is_text(o, f->words[word], strlen(f->words[word]))) {
            memcpy(to, &word, sizeof(word));
            return true;
        }
    }
    return false;
}

static bool
load_holds(const struct wire_field_row *f, const struct wire_words range, const msgpack_object *o, uint32_t *to)
{
    unsigned bit;

    if (o->type != MSGPACK_OBJECT_ARRAY)
        return false;
    *to = 0;
    for (uint32_t i = 0; i < o->via.array.size; i++) {
        if (!load_word(f, range, &o->via.array.ptr[i], &bit) || (*to >> bit & 1U) != 0)
            return false;
        *to |= 1U << bit;
    }
    return true;
}

static bool
load_versions(const struct wire_field_row *f, const msgpack_object *o, uint64_t to[WIRE_LIST_MAX])
{
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > f->max)
        return false;
    for (uint32_t i = 0; i < o->via.array.size; i++) {
        const msgpack_object *item = &o->via.array.ptr[i];
        if (item->type != MSGPACK_OBJECT_POSITIVE_INTEGER || item->via.u64 == 0)
            return false;
        to[i] = item->via.u64;
    }
    return true;
}

static bool
load(const struct wire_message_row *row, unsigned field, const msgpack_object *o, struct wire_msg *msg)
{
    const struct wire_field_row *f = &wire_field_table[field];
    void *to = (char *)msg + f->offset;

    switch ((enum wire_kind)f->kind) {
    case KIND_NUMBER:
        *(uint64_t *)to = o->via.u64;
        return o->type == MSGPACK_OBJECT_POSITIVE_INTEGER;
    case KIND_BOOL:
        *(bool *)to = o->type == MSGPACK_OBJECT_BOOLEAN && o->via.boolean;
        return o->type == MSGPACK_OBJECT_BOOLEAN;
    case KIND_TEXT:
    case KIND_ID:
    case KIND_ASCII:
        *(struct wire_text *)to = (struct wire_text){o->via.str.ptr, o->via.str.size};
        return o->type == MSGPACK_OBJECT_STR;
    case KIND_RUN:
        if (o->type != MSGPACK_OBJECT_BIN || o->via.bin.size != WIRE_RUN_LEN)
            return false;
        memcpy(to, o->via.bin.ptr, WIRE_RUN_LEN);
        return true;
    case KIND_WORD:
        return load_word(f, wire_words(row, field), o, to);
    case KIND_HOLDS:
        return load_holds(f, wire_words(row, field), o, to);
    case KIND_VERSIONS:
        return load_versions(f, o, to);
    }
    return false;
}

/* --- Which message it is ------------------------------------------------------------------------------------------ */

/* State has a row for each op.  An op of the other side is refused as a value; `any` tells what was possible. */
static const struct wire_message_row *
find_row(const msgpack_object *type, const msgpack_object *op, enum wire_side from, const struct wire_message_row **any)
{
    *any = NULL;
    for (const struct wire_message_row *row = wire_message_table; row->name != NULL; row++) {
        if (row->from != from || !is_text(type, row->name, strlen(row->name)))
            continue;
        *any = row;
        if (row->op < 0)
            return row;
        const char *word = wire_field_table[WIRE_F_OP].words[row->op];
        if (op != NULL && is_text(op, word, strlen(word)))
            return row;
    }
    return NULL;
}

/* NULL: refused. */
static const struct wire_message_row *
which_message(const struct in *in, enum wire_side from)
{
    const msgpack_object *type = find_value(&in->map, "type", 4);
    const struct wire_message_row *row;
    const struct wire_message_row *any;
    char shown[64];

    if (type == NULL) {
        wire_refuse(in->fault, WIRE_R_FIELD, "type", "type is missing: each message says what it is");
        return NULL;
    }
    if (type->type != MSGPACK_OBJECT_STR) {
        wire_refuse(in->fault, WIRE_R_FIELD, "type", "type must be text, such as \"ping\"");
        return NULL;
    }
    row = find_row(type, find_value(&in->map, "op", 2), from, &any);
    if (row == NULL && any != NULL)
        wire_refuse(in->fault, WIRE_R_FIELD, "op", "%s: op must be %s", any->name,
                    from == WIRE_FROM_CONNECTOR ? "\"get\" or \"set\"" : "\"is\" or \"saved\"");
    else if (row == NULL)
        wire_refuse(in->fault, WIRE_R_TYPE, "type", "\"%s\" is not a message that a %s sends",
                    text_show(type->via.str.ptr, type->via.str.size, shown, sizeof(shown)),
                    from == WIRE_FROM_CONNECTOR ? "connector" : "gateway");
    return row;
}

/* Before any other field: what another version says besides is not ours to judge. */
static int
check_version(const struct in *in)
{
    const msgpack_object *v = find_value(&in->map, "v", 1);

    if ((in->row->required >> WIRE_F_V & 1U) == 0 || v == NULL || v->type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
        v->via.u64 == WIRE_VERSION)
        return 0;
    return wire_refuse(in->fault, WIRE_R_VERSION, "v", "%s: version %llu is not spoken here, only %d", in->row->name,
                       (unsigned long long)v->via.u64, WIRE_VERSION);
}

/* --- The whole ---------------------------------------------------------------------------------------------------- */

static int
take_fields(const struct in *in)
{
    const struct wire_message_row *row = in->row;
    bool typed = false;
    unsigned hint = 0;

    for (uint32_t i = 0; i < in->map.size; i++) {
        const msgpack_object *key = &in->map.ptr[i].key;
        if (key->type != MSGPACK_OBJECT_STR)
            return wire_refuse(in->fault, WIRE_R_MALFORMED, "", "%s: a key of the map is not text", row->name);
        if (is_text(key, "type", 4)) {
            if (typed)
                return wire_refuse(in->fault, WIRE_R_FIELD, "type", "%s: type is there twice", row->name);
            typed = true;
            continue;
        }
        const int found = wire_field_find(key->via.str.ptr, key->via.str.size, hint);
        if (found < 0 || (row->allowed >> found & 1U) == 0)
            return wire_refuse_key(in->fault, row->name, key->via.str.ptr, key->via.str.size);
        hint = (unsigned)found;
        if (WIRE_HAS(in->msg, hint)) {
            const char *name = wire_field_table[hint].name;
            return wire_refuse(in->fault, WIRE_R_FIELD, name, "%s: %s is there twice", row->name, name);
        }
        if (!load(row, hint, &in->map.ptr[i].val, in->msg) || !wire_field_fits(row, hint, in->msg))
            return wire_refuse_value(in->fault, row, hint);
        in->msg->has |= UINT64_C(1) << hint;
    }
    return 0;
}

static int
check_complete(const struct in *in)
{
    const uint64_t missing = wire_missing(in->row, in->msg);
    const char *why = "";

    if (missing == 0)
        return 0;
    const unsigned field = (unsigned)__builtin_ctzll(missing);
    const char *name = wire_field_table[field].name;
    if ((in->row->required >> field & 1U) == 0)
        why = field == WIRE_F_PERIOD_MS ? ": the schedule \"period\" has one" : ": run and outcome go together";
    return wire_refuse(in->fault, WIRE_R_FIELD, name, "%s: %s is missing%s", in->row->name, name, why);
}

static int
decode_map(struct in *in, const msgpack_object *root, enum wire_side from)
{
    if (root->type != MSGPACK_OBJECT_MAP)
        return wire_refuse(in->fault, WIRE_R_MALFORMED, "", "frame 1 must be a msgpack map");
    in->map = root->via.map;
    in->row = which_message(in, from);
    if (in->row == NULL || check_version(in) != 0)
        return -1;
    memset(in->msg, 0, sizeof(*in->msg));
    in->msg->type = (enum wire_type)in->row->type;
    return take_fields(in) != 0 ? -1 : check_complete(in);
}

int
wire_decode(const void *frame, size_t len, enum wire_side from, struct wire_msg *ret, struct wire_fault *fault)
{
    struct in in = {.msg = ret, .fault = fault};
    msgpack_unpacked root;
    size_t end = 0;
    int rc;

    if (len > WIRE_HEADER_MAX)
        return wire_refuse(fault, WIRE_R_MALFORMED, "", "frame 1 has %zu bytes, more than %d", len, WIRE_HEADER_MAX);
    const char *why = scan_frame(frame, len);
    if (why != NULL)
        return wire_refuse(fault, WIRE_R_MALFORMED, "", "frame 1 is not a msgpack map of this protocol: %s", why);
    msgpack_unpacked_init(&root);
    if (msgpack_unpack_next(&root, frame, len, &end) == MSGPACK_UNPACK_SUCCESS && end == len)
        rc = decode_map(&in, &root.data, from);
    else /* what the scan passed can fail for want of memory only */
        rc = wire_refuse(fault, WIRE_R_BUSY, "", "no memory to read this message: send it again later");
    msgpack_unpacked_destroy(&root);
    return rc;
}
