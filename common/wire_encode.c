/* wire_encode.c - a message into the caller's buffer.
 *
 * msgpack-c packs through a function that appends to the buffer: nothing is allocated. */
#include <msgpack/pack.h>
#include <string.h>

#include "text.h"
#include "wire_table.h"

struct out {
    char  *at;
    size_t len, cap;
};

static int
append(void *data, const char *bytes, size_t n)
{
    struct out *out = data;

    if (n > out->cap - out->len)
        return -1;
    memcpy(out->at + out->len, bytes, n);
    out->len += n;
    return 0;
}

static bool
pack_text(msgpack_packer *pk, const char *at, size_t len)
{
    return msgpack_pack_str(pk, len) == 0 && msgpack_pack_str_body(pk, at, len) == 0;
}

static bool
pack_holds(msgpack_packer *pk, const struct wire_field_row *f, uint32_t holds)
{
    if (msgpack_pack_array(pk, (size_t)__builtin_popcount(holds)) != 0)
        return false;
    for (unsigned i = 0; holds >> i != 0; i++) {
        if ((holds >> i & 1U) != 0 && !pack_text(pk, f->words[i], strlen(f->words[i])))
            return false;
    }
    return true;
}

static bool
pack_versions(msgpack_packer *pk, const uint64_t versions[WIRE_LIST_MAX])
{
    size_t n = 0;

    while (versions[n] != 0)
        n++;
    if (msgpack_pack_array(pk, n) != 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (msgpack_pack_uint64(pk, versions[i]) != 0)
            return false;
    }
    return true;
}

static bool
pack_field(msgpack_packer *pk, const struct wire_field_row *f, const struct wire_msg *msg)
{
    const void *at = (const char *)msg + f->offset;
    const struct wire_text *text = at;
    unsigned word;

    if (!pack_text(pk, f->name, f->name_len))
        return false;
    switch ((enum wire_kind)f->kind) {
    case KIND_NUMBER:
        return msgpack_pack_uint64(pk, *(const uint64_t *)at) == 0;
    case KIND_BOOL:
        return (*(const bool *)at ? msgpack_pack_true(pk) : msgpack_pack_false(pk)) == 0;
    case KIND_TEXT:
    case KIND_ID:
    case KIND_ASCII:
        return pack_text(pk, text->at, text->len);
    case KIND_RUN:
        return msgpack_pack_bin(pk, WIRE_RUN_LEN) == 0 && msgpack_pack_bin_body(pk, at, WIRE_RUN_LEN) == 0;
    case KIND_WORD:
        memcpy(&word, at, sizeof(word));
        return pack_text(pk, f->words[word], strlen(f->words[word]));
    case KIND_HOLDS:
        return pack_holds(pk, f, msg->reasons);
    case KIND_VERSIONS:
        return pack_versions(pk, msg->versions);
    }
    return false;
}

/* The field `text` is for people, and may hold what a broker or a system said.  A verdict must not stay away over its
 * wording, so as much is sent of it as is fit to be: up to the limit, to the first NUL or to what is not UTF-8. */
static bool
pack_words(msgpack_packer *pk, const struct wire_text *text)
{
    const struct wire_field_row *f = &wire_field_table[WIRE_F_TEXT];
    size_t len = 0;
    uint32_t code = 0;

    if (text->at == NULL)
        return false;
    for (size_t more; (more = text_char(text->at + len, text->len - len, &code)) != 0 && code != 0; len += more) {
        if (len + more > f->max)
            break;
    }
    return pack_text(pk, f->name, f->name_len) && pack_text(pk, text->at, len);
}

size_t
wire_encode(const struct wire_msg *msg, void *buf, size_t cap)
{
    const struct wire_message_row *row = wire_message_find(msg);
    struct out out = {buf, 0, cap};
    msgpack_packer pk;

    if (row == NULL || (msg->has & ~row->allowed) != 0 || wire_missing(row, msg) != 0)
        return 0;
    msgpack_packer_init(&pk, &out, append);
    if (msgpack_pack_map(&pk, 1 + (size_t)__builtin_popcountll(msg->has)) != 0 || !pack_text(&pk, "type", 4) ||
        !pack_text(&pk, row->name, strlen(row->name)))
        return 0;
    for (uint64_t rest = msg->has; rest != 0; rest &= rest - 1) {
        const unsigned field = (unsigned)__builtin_ctzll(rest);
        const bool packed = field == WIRE_F_TEXT
                                ? pack_words(&pk, &msg->text)
                                : wire_field_fits(row, field, msg) && pack_field(&pk, &wire_field_table[field], msg);
        if (!packed)
            return 0;
    }
    return out.len;
}
