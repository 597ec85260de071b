/* content.c - the bundle of one object, as text. */
#include "content.h"

#include <stdbool.h>
#include <string.h>

#include "jsontext.h"

static void
put(struct content_to *to, const void *at, size_t len)
{
    to->put(to, at, len);
}

static void
put_text(struct content_to *to, const char *text)
{
    to->put(to, text, strlen(text));
}

static void
put_number(struct content_to *to, uint64_t n)
{
    char digits[20], *first = digits + sizeof(digits);

    do
        *--first = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    to->put(to, first, (size_t)(digits + sizeof(digits) - first));
}

/* The elements of a list that are kept, each as it came. */
static void
put_list(const struct bundle *b, uint32_t member, struct content_to *to)
{
    const uint32_t end = bundle_elements_end(b, member);
    uint32_t at = b->members[member].at + 1;
    const char *comma = "";

    put(to, "[", 1);
    for (uint32_t e = b->members[member].first; e < end; e++) {
        at = jsontext_blanks(b->text, at);
        const uint32_t behind = jsontext_skip(b->text, at);
        if (bundle_kept(b, e)) {
            put_text(to, comma);
            put(to, b->text + at, behind - at);
            comma = ",";
        }
        at = jsontext_blanks(b->text, behind) + 1;
    }
    put(to, "]", 1);
}

static bool
is_whole(const struct bundle *b, uint32_t member)
{
    for (uint32_t e = b->members[member].first; e < bundle_elements_end(b, member); e++)
        if (!bundle_kept(b, e))
            return false;
    /* An empty something else is a list to pycti, and written as one. */
    return b->members[member].kind != MEMBER_EMBEDDED || b->text[b->members[member].at] == '[' ||
           b->text[b->members[member].at] == 'n';
}

static bool
is_changed(const struct bundle *b, uint32_t member)
{
    const uint32_t kind = b->members[member].kind;

    return kind == MEMBER_DEPS || (kind != MEMBER_ALIAS && !is_whole(b, member));
}

static void
put_changed(const struct bundle *b, uint32_t member, uint64_t deps, struct content_to *to)
{
    switch (b->members[member].kind) {
    case MEMBER_DEPS: put_number(to, deps); break;
    case MEMBER_REFS:
    case MEMBER_WHERE:
    case MEMBER_EMBEDDED: put_list(b, member, to); break;
    default: put_text(to, "null");
    }
}

static void
put_object(const struct bundle *b, uint32_t object, struct content_to *to)
{
    const struct object *o = &b->objects[object];
    uint32_t at = o->at;
    bool has_deps = false;

    for (uint32_t m = o->member; m < bundle_members_end(b, object); m++) {
        if (!is_changed(b, m))
            continue;
        put(to, b->text + at, b->members[m].at - at);
        put_changed(b, m, o->deps, to);
        at = b->members[m].at + b->members[m].len;
        has_deps = has_deps || b->members[m].kind == MEMBER_DEPS;
    }
    put(to, b->text + at, o->at + o->len - 1 - at);
    if (!has_deps) {
        put_text(to, ",\"nb_deps\":");
        put_number(to, o->deps);
    }
    put(to, "}", 1);
}

void
content_write(const struct bundle *b, uint32_t object, const struct content_common *common, struct content_to *to)
{
    put_text(to, "{\"type\":\"bundle\",\"id\":");
    put(to, common->id, common->id_len);
    put_text(to, ",\"spec_version\":\"2.1\",\"x_opencti_seq\":");
    put_number(to, b->objects[object].deps);
    put_text(to, ",\"objects\":[");
    put_object(b, object, to);
    put(to, "]", 1);
    if (common->event_len > 0) {
        put_text(to, ",\"x_opencti_event_version\":");
        put(to, common->event, common->event_len);
    }
    put(to, "}", 1);
}

struct counter {
    struct content_to to;
    uint64_t n;
};

static void
add(struct content_to *to, const void *at, size_t len)
{
    (void)at;
    ((struct counter *)to)->n += len;
}

uint64_t
content_size(const struct bundle *b, uint32_t object, const struct content_common *common)
{
    struct counter c = {{add}, 0};

    content_write(b, object, common, &c.to);
    return c.n;
}
