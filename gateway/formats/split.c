/* split.c - in which order the objects of a bundle go, and which of their references stay.
 *
 * Depth first from each object in turn, along its references in the order of their keys.  A walk inside an object
 * is a frame.  An object can be walked more than once at a time: the first of a walk is not taken to be on the path
 * (as in pycti), and an object may have several names.  What the inner walk finds in a list then is what the outer one
 * has kept of it so far, and what the inner one makes of it the outer one overwrites: so a frame decides on a list of
 * its own, and keeps the object's up to date. */
#include "split.h"

#include <string.h>

#include "edges.h"

/* Beyond this nb_deps no longer grows: it doubles with each rung of a ladder of references, and the order of objects at
 * the bound is still that of their dependencies. */
#define DEPS_MAX ((uint64_t)INT64_MAX)

struct frame {
    uint32_t name, object;
    uint32_t member, end; /* the one that is being walked, and behind the last */
    uint32_t element;     /* the next of its elements */
    uint32_t bits;        /* where its list begins among the bits; SPLIT_NONE: not yet */
    bool     by_reference;
    bool     written;     /* the object's list is this frame's */
    uint64_t deps;
};

struct walk {
    struct bundle *b;
    struct names  *names;
    struct split  *out;
    bool           cleanup;
    struct edges   edges;
    struct frame  *frames;
    uint32_t       n_frames, cap_frames;
    uint64_t      *bits; /* of the lists that are being walked, in the order of their frames */
    uint32_t       n_bits, cap_bits;
};

/* --- Lists that are being walked ---------------------------------------------------------------------------------- */

/* Two words for each 64 elements: what is in the list (later: what was accepted of it), and what is in it for the first
 * time.  Of a name that is there twice, both are counted and the first is kept. */
static uint64_t *
words(const struct walk *w, const struct frame *f, uint32_t i)
{
    return &w->bits[f->bits + i / 64 * 2];
}

static bool
is_in(const struct walk *w, const struct frame *f, uint32_t i)
{
    return (words(w, f, i)[0] >> (i % 64) & 1) != 0;
}

static bool
stays(const struct walk *w, const struct frame *f, uint32_t i)
{
    return (words(w, f, i)[0] >> (i % 64) & words(w, f, i)[1] >> (i % 64) & 1) != 0;
}

static uint32_t
first_of(const struct walk *w, const struct frame *f)
{
    return w->b->members[f->member].first;
}

static uint32_t
count_of(const struct walk *w, const struct frame *f)
{
    return bundle_elements_end(w->b, f->member) - first_of(w, f);
}

static bool
add_words(struct walk *w, uint32_t n)
{
    for (uint32_t i = (n + 63) / 64 * 2; i > 0; i--) {
        if (!budget_more(w->b->budget, (void **)&w->bits, w->n_bits, &w->cap_bits, sizeof(*w->bits)))
            return false;
        w->bits[w->n_bits++] = 0;
    }
    return true;
}

/* The list as it is now. */
static bool
begin_list(struct walk *w, struct frame *f)
{
    const uint32_t n = count_of(w, f), *elements = w->b->elements + first_of(w, f);
    struct name *names = w->names->v;

    f->bits = w->n_bits;
    f->element = 0;
    f->written = false;
    if (!add_words(w, n))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        struct name *name = &names[ELEMENT_NAME(elements[i])];
        if ((elements[i] & ELEMENT_KEPT) == 0)
            continue;
        words(w, f, i)[0] |= UINT64_C(1) << (i % 64);
        words(w, f, i)[1] |= (uint64_t)!name->marked << (i % 64);
        name->marked = true;
    }
    for (uint32_t i = 0; i < n; i++)
        names[ELEMENT_NAME(elements[i])].marked = false;
    return true;
}

/* Element i was accepted or not: the object's list is what was accepted so far.  The first time it is cleared, whatever
 * an inner walk left in it.  Later ones find only what was accepted, and keep it: they reject nothing that this one did
 * not, since it has been walked. */
static void
settle(struct walk *w, struct frame *f, uint32_t i, bool accepted)
{
    uint32_t *elements = w->b->elements + first_of(w, f);

    if (!accepted)
        words(w, f, i)[0] &= ~(UINT64_C(1) << (i % 64));
    for (uint32_t k = 0; !f->written && k < count_of(w, f); k++)
        elements[k] = ELEMENT_NAME(elements[k]);
    f->written = true;
    elements[i] = ELEMENT_NAME(elements[i]) | (stays(w, f, i) ? ELEMENT_KEPT : 0);
}

/* --- One reference ------------------------------------------------------------------------------------------------ */

static bool
accepts(const struct walk *w, const struct frame *f, uint32_t to)
{
    const struct name *n = &w->names->v[to];

    return n->supported && !n->on_path && to != f->name && !(w->cleanup && n->object == NAMES_NONE) &&
           !edges_has(&w->edges, to, f->name);
}

static void
count(struct frame *f, uint64_t deps)
{
    f->deps = deps > DEPS_MAX - f->deps ? DEPS_MAX : f->deps + deps;
}

static bool
push(struct walk *w, uint32_t name, bool by_reference)
{
    struct bundle *b = w->b;
    const uint32_t object = w->names->v[name].object;

    if (!budget_more(b->budget, (void **)&w->frames, w->n_frames, &w->cap_frames, sizeof(*w->frames)))
        return false;
    struct frame *f = &w->frames[w->n_frames++];

    *f = (struct frame){.name = name, .object = object, .bits = SPLIT_NONE, .by_reference = by_reference, .deps = 1};
    f->member = b->objects[object].member;
    f->end = bundle_members_end(b, object);
    w->names->v[name].on_path = by_reference;
    return true;
}

/* Along an accepted reference: what is there and was not split yet is walked next (a frame more). */
static bool
follow(struct walk *w, uint32_t to)
{
    struct frame *f = &w->frames[w->n_frames - 1];
    const struct name *n = &w->names->v[to];

    if (n->object == NAMES_NONE)
        return true;
    /* What refers to nothing is never asked for. */
    if (w->b->objects[n->object].member < bundle_members_end(w->b, n->object) && !edges_add(&w->edges, f->name, to))
        return false;
    if (n->done == NAMES_NONE)
        return push(w, to, true);
    count(f, w->b->objects[n->done].deps);
    return true;
}

/* --- One object --------------------------------------------------------------------------------------------------- */

static uint32_t
kept_of(const struct bundle *b, uint32_t object, enum member_kind kind)
{
    uint32_t kept = 0;

    for (uint32_t m = b->objects[object].member; m < bundle_members_end(b, object); m++)
        for (uint32_t e = b->members[m].first; b->members[m].kind == kind && e < bundle_elements_end(b, m); e++)
            kept += bundle_kept(b, e);
    return kept;
}

static bool
is_compatible(const struct walk *w, const struct frame *f)
{
    const struct bundle *b = w->b;

    switch (b->objects[f->object].type) {
    case OBJECT_RELATIONSHIP:
        return kept_of(b, f->object, MEMBER_SOURCE) > 0 && kept_of(b, f->object, MEMBER_TARGET) > 0;
    case OBJECT_SIGHTING:
        return kept_of(b, f->object, MEMBER_SIGHTED) > 0 && kept_of(b, f->object, MEMBER_WHERE) > 0;
    default:
        return w->names->v[f->name].supported;
    }
}

static bool
enlist(const struct walk *w, const struct frame *f)
{
    struct split *out = w->out;

    if (!is_compatible(w, f)) {
        out->incompatible++;
        if (out->first_incompatible == SPLIT_NONE)
            out->first_incompatible = f->object;
        return true;
    }
    if (!budget_more(w->b->budget, (void **)&out->order, out->n, &out->cap, sizeof(*out->order)))
        return false;
    out->order[out->n++] = f->object;
    return true;
}

static void
note_done(const struct walk *w, const struct frame *f)
{
    const struct bundle *b = w->b;

    w->names->v[f->name].done = f->object;
    for (uint32_t m = b->objects[f->object].member; m < f->end; m++)
        if (b->members[m].kind == MEMBER_ALIAS)
            w->names->v[ELEMENT_NAME(b->elements[b->members[m].first])].done = f->object;
}

/* All of its members are through: the frame goes, and what it counted belongs to the one below. */
static bool
leave(struct walk *w)
{
    const struct frame f = w->frames[w->n_frames - 1];
    struct name *n = &w->names->v[f.name];

    w->b->objects[f.object].deps = f.deps;
    if (n->done == NAMES_NONE) {
        if (!enlist(w, &f))
            return false;
        note_done(w, &f);
    }
    n->on_path = n->on_path && !f.by_reference;
    w->n_frames--;
    if (w->n_frames > 0)
        count(&w->frames[w->n_frames - 1], f.deps);
    return true;
}

/* --- The walk ----------------------------------------------------------------------------------------------------- */

/* On through a list; false: see follow.  *ret_through: it is done, and no frame was added. */
static bool
walk_list(struct walk *w, bool *ret_through)
{
    const uint32_t depth = w->n_frames;
    struct frame *f = &w->frames[depth - 1];

    *ret_through = count_of(w, f) == 0;
    if (*ret_through)
        return true;
    if (f->bits != SPLIT_NONE)
        settle(w, f, f->element - 1, true);
    else if (!begin_list(w, f))
        return false;
    for (const uint32_t n = count_of(w, f); f->element < n;) {
        const uint32_t i = f->element++, to = ELEMENT_NAME(w->b->elements[first_of(w, f) + i]);
        if (!is_in(w, f, i))
            continue;
        const bool accepted = accepts(w, f, to);
        if (accepted && !follow(w, to))
            return false;
        if (w->n_frames > depth)
            return true;
        settle(w, f, i, accepted);
    }
    w->n_bits = f->bits;
    f->bits = SPLIT_NONE;
    *ret_through = true;
    return true;
}

/* A single reference.  Unlike a list it is not written back: what another walk drops meanwhile stays dropped. */
static bool
walk_one(struct walk *w, uint32_t member)
{
    struct bundle *b = w->b;
    const uint32_t e = b->members[member].first;

    if (e == bundle_elements_end(b, member) || !bundle_kept(b, e))
        return true;
    const uint32_t to = ELEMENT_NAME(b->elements[e]);

    if (accepts(w, &w->frames[w->n_frames - 1], to))
        return follow(w, to);
    b->elements[e] = to;
    return true;
}

/* The innermost frame's next member, or its end. */
static bool
step(struct walk *w)
{
    struct frame *f = &w->frames[w->n_frames - 1];
    bool through = true;

    if (f->member == f->end)
        return leave(w);
    switch (w->b->members[f->member].kind) {
    case MEMBER_REFS:
    case MEMBER_WHERE:
        if (!walk_list(w, &through))
            return false;
        if (through)
            w->frames[w->n_frames - 1].member++;
        return true;
    case MEMBER_REF:
    case MEMBER_SOURCE:
    case MEMBER_TARGET:
    case MEMBER_SIGHTED: return walk_one(w, f->member++);
    default: f->member++; return true;
    }
}

static bool
walk_all(struct walk *w)
{
    for (uint32_t i = 0; i < w->b->n_objects; i++) {
        const struct name *n = &w->names->v[w->b->objects[i].name];
        if (n->done == NAMES_NONE && !push(w, w->b->objects[i].name, false))
            return false;
        while (w->n_frames > 0)
            if (!step(w))
                return false;
    }
    return true;
}

/* --- The order ---------------------------------------------------------------------------------------------------- */

/* Stable, by eight bits of nb_deps: from one list to the other. */
static void
sort_by(const struct bundle *b, const uint32_t *from, uint32_t *to, uint32_t n, unsigned shift)
{
    uint32_t at[257] = {0};

    for (uint32_t i = 0; i < n; i++)
        at[(b->objects[from[i]].deps >> shift & 0xff) + 1]++;
    for (unsigned i = 0; i < 256; i++)
        at[i + 1] += at[i];
    for (uint32_t i = 0; i < n; i++)
        to[at[b->objects[from[i]].deps >> shift & 0xff]++] = from[i];
}

static bool
sort_order(const struct bundle *b, struct split *s)
{
    uint64_t most = 0;

    if (s->n == 0)
        return true;
    for (uint32_t i = 0; i < s->n; i++)
        most |= b->objects[s->order[i]].deps;
    uint32_t *other = budget_resize(b->budget, NULL, 0, s->cap * sizeof(*other));

    if (other == NULL)
        return false;
    for (unsigned shift = 0; shift < 64 && most >> shift != 0; shift += 8) {
        uint32_t *from = s->order;
        sort_by(b, from, other, s->n, shift);
        s->order = other;
        other = from;
    }
    budget_free(b->budget, other, s->cap * sizeof(*other));
    return true;
}

bool
split_bundle(struct bundle *b, struct names *names, bool cleanup, struct split *ret)
{
    struct walk w = {.b = b, .names = names, .out = ret, .cleanup = cleanup};

    *ret = (struct split){.first_incompatible = SPLIT_NONE};
    edges_open(&w.edges, names->key.k[0] ^ names->key.k[1], b->budget);
    const bool done = walk_all(&w);

    edges_close(&w.edges);
    budget_free(b->budget, w.frames, w.cap_frames * sizeof(*w.frames));
    budget_free(b->budget, w.bits, w.cap_bits * sizeof(*w.bits));
    return done && sort_order(b, ret);
}

void
split_close(struct split *s, struct budget *budget)
{
    budget_free(budget, s->order, s->cap * sizeof(*s->order));
    s->order = NULL;
}
