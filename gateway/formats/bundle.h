/* bundle.h - a bundle as the splitter sees it: its objects, and of each the members that its rules are about.
 *
 * Nothing of the text is copied: a member is where its value stands, and which of its elements are kept.  16 bytes for
 * such a member, 4 for a reference, 24 for an object.  Thread: who has the bundle. */
#ifndef BUNDLE_H
#define BUNDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "budget.h"
#include "json.h"

/* What a member of an object is to the splitter. */
enum member_kind {
    MEMBER_REF,      /* "..._ref": one reference, or null */
    MEMBER_SOURCE,   /* "source_ref" */
    MEMBER_TARGET,   /* "target_ref" */
    MEMBER_SIGHTED,  /* "sighting_of_ref" */
    MEMBER_REFS,     /* "..._refs": a list of them */
    MEMBER_WHERE,    /* "where_sighted_refs" */
    MEMBER_EMBEDDED, /* "external_references" and "kill_chain_phases": a list, each thing once */
    MEMBER_ALIAS,    /* another id of the object; its one element is the name */
    MEMBER_DEPS      /* "nb_deps", which is written anew */
};

struct member {
    uint32_t at, len; /* its value in the text */
    uint32_t first;   /* of its elements; they go on to those of the next member */
    uint32_t kind;    /* enum member_kind */
};

enum object_type { OBJECT_OTHER, OBJECT_RELATIONSHIP, OBJECT_SIGHTING };

struct object {
    uint32_t at, len;   /* in the text, braces included */
    uint32_t name : 30; /* its id */
    uint32_t type : 2;  /* enum object_type */
    uint32_t member;    /* the first; they go on to that of the next object */
    uint64_t deps;      /* nb_deps, once split */
};

/* An element: a reference by its name, or something embedded. */
#define ELEMENT_KEPT (UINT32_C(1) << 31)
#define ELEMENT_NAME(element) ((element) & ~ELEMENT_KEPT)

struct bundle {
    const unsigned char *text; /* lent, with JSON_PAD zero bytes behind it */
    uint32_t       size;
    struct json_text id;       /* the bundle's own */
    bool           has_id;
    struct object *objects;
    uint32_t       n_objects, cap_objects;
    struct member *members;
    uint32_t       n_members, cap_members;
    uint32_t      *elements;
    uint32_t       n_elements, cap_elements;
    struct budget *budget;     /* lent */
};

static inline uint32_t
bundle_members_end(const struct bundle *b, uint32_t object)
{
    return object + 1 < b->n_objects ? b->objects[object + 1].member : b->n_members;
}

static inline uint32_t
bundle_elements_end(const struct bundle *b, uint32_t member)
{
    return member + 1 < b->n_members ? b->members[member + 1].first : b->n_elements;
}

static inline bool
bundle_kept(const struct bundle *b, uint32_t element)
{
    return (b->elements[element] & ELEMENT_KEPT) != 0;
}

/* Free what index.h made. */
void bundle_close(struct bundle *b);

#endif
