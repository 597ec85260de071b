/* names.c - the ids of a bundle, each once, by number. */
#include "names.h"

#include <string.h>

#include "jsontext.h"
#include "types.h"

void
names_open(struct names *names, const unsigned char *text, uint32_t len, struct budget *budget)
{
    *names = (struct names){.text = text, .text_len = len, .budget = budget, .key = siphash_new_key()};
}

void
names_close(struct names *names)
{
    budget_free(names->budget, names->unescaped, names->unescaped_cap);
    budget_free(names->budget, names->v, names->cap * sizeof(*names->v));
    budget_free(names->budget, names->slots, names->n_slots * sizeof(*names->slots));
    names->unescaped = NULL;
    names->v = NULL;
    names->slots = NULL;
}

static const unsigned char *
bytes(const struct names *names, uint32_t at)
{
    return at < names->text_len ? names->text + at : names->unescaped + (at - names->text_len);
}

const char *
names_text(const struct names *names, const struct name *n)
{
    return (const char *)bytes(names, n->at);
}

/* The names move to twice as many slots; three of four are used at most. */
static bool
room(struct names *names)
{
    const uint32_t old = names->n_slots, n_slots = old == 0 ? 64 : old * 2;

    if (names->n < old / 4 * 3)
        return true;
    if (names->n + 1 >= NAMES_NONE)
        return false;
    uint32_t *fresh = budget_resize(names->budget, NULL, 0, n_slots * sizeof(*fresh));

    if (fresh == NULL)
        return false;
    for (uint32_t i = 0; i < n_slots; i++)
        fresh[i] = NAMES_NONE;
    for (uint32_t i = 0; i < names->n; i++) {
        uint32_t slot = names->v[i].hash & (n_slots - 1);
        while (fresh[slot] != NAMES_NONE)
            slot = (slot + 1) & (n_slots - 1);
        fresh[slot] = i;
    }
    budget_free(names->budget, names->slots, old * sizeof(*fresh));
    names->slots = fresh;
    names->n_slots = n_slots;
    return true;
}

/* Where these bytes are, or the free slot where they would be. */
static uint32_t
find(const struct names *names, const struct name *like)
{
    const unsigned char *at = bytes(names, like->at);
    uint32_t slot = like->hash & (names->n_slots - 1);

    for (; names->slots[slot] != NAMES_NONE; slot = (slot + 1) & (names->n_slots - 1)) {
        const struct name *n = &names->v[names->slots[slot]];
        if (n->hash == like->hash && n->len == like->len && memcmp(bytes(names, n->at), at, n->len) == 0)
            break;
    }
    return slot;
}

/* What a string with escapes says, behind the others of that kind: kept only if it is a new name. */
static bool
unescape(struct names *names, struct json_text *s)
{
    const uint32_t need = names->unescaped_len + s->len, cap = names->unescaped_cap;

    if (need > cap) {
        const uint32_t more = need + need / 2;
        unsigned char *fresh = budget_resize(names->budget, names->unescaped, cap, more);
        if (fresh == NULL)
            return false;
        names->unescaped = fresh;
        names->unescaped_cap = more;
    }
    s->len = jsontext_decode(names->text, *s, names->unescaped + names->unescaped_len);
    s->at = names->text_len + names->unescaped_len;
    return true;
}

static bool
add(struct names *names, struct name n, uint32_t slot)
{
    if (!budget_more(names->budget, (void **)&names->v, names->n, &names->cap, sizeof(*names->v)))
        return false;
    n.supported = types_support((const char *)bytes(names, n.at), n.len);
    if (n.at >= names->text_len)
        names->unescaped_len += n.len;
    names->slots[slot] = names->n;
    names->v[names->n++] = n;
    return true;
}

bool
names_add(struct names *names, struct json_text s, uint32_t *ret)
{
    if (!room(names) || (s.escaped && !unescape(names, &s)))
        return false;
    struct name n = {.at = s.at, .len = s.len & (JSON_LEN_MAX - 1), .object = NAMES_NONE, .done = NAMES_NONE};

    n.hash = (uint32_t)(siphash(&names->key, bytes(names, s.at), s.len) >> 32);
    const uint32_t slot = find(names, &n);

    if (names->slots[slot] == NAMES_NONE && !add(names, n, slot))
        return false;
    *ret = names->slots[slot];
    return true;
}
