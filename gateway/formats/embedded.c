/* embedded.c - external references and kill chain phases: of each list, each thing once. */
#include "embedded.h"

#include <stdlib.h>
#include <string.h>

#include "jsontext.h"
#include "sort.h"

enum { FEW = 16 }; /* things of one list up to which each new one is compared with those before it */

/* A value that tells one thing from another.  Numbers are read once: sorting compares each of them dozens of times. */
struct part {
    char     kind; /* its first byte, '0' for numbers; 0: absent or null */
    union {
        struct json_text text;  /* of a string */
        double           value; /* of a number: what it is to whoever makes ids of them (RFC 8785) */
    } u;
};

struct thing {
    uint64_t print;
    struct part a, b;
    uint32_t element; /* its number among the bundle's */
};

struct list {
    struct json  *j;
    struct thing *v;
    uint32_t      n, cap;
    bool          phases;
    struct thing  few[FEW];
};

bool
bundle_add_element(struct bundle *b, struct json *j, uint32_t element)
{
    if (!budget_more(b->budget, (void **)&b->elements, b->n_elements, &b->cap_elements, sizeof(*b->elements))) {
        j->failed = true;
        return false;
    }
    b->elements[b->n_elements++] = element;
    return true;
}

/* --- The same thing? ---------------------------------------------------------------------------------------------- */

static int
order_part(const struct json *j, const struct part *x, const struct part *y)
{
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->kind == '"')
        return jsontext_compare(j->text, x->u.text, y->u.text);
    if (x->kind != '0')
        return 0;
    return (x->u.value > y->u.value) - (x->u.value < y->u.value);
}

static int
order(const void *json, const void *a, const void *b)
{
    const struct thing *x = a, *y = b;

    if (x->print != y->print)
        return x->print < y->print ? -1 : 1;
    const int o = order_part(json, &x->a, &y->a);

    return o != 0 ? o : order_part(json, &x->b, &y->b);
}

static uint64_t
print(const struct json *j, const struct part *p)
{
    uint64_t bits;

    if (p->kind == '"')
        return jsontext_print(j->text, p->u.text);
    if (p->kind != '0' || p->u.value == 0) /* of which there are two */
        return (uint64_t)(unsigned char)p->kind;
    memcpy(&bits, &p->u.value, sizeof(bits));
    return bits * 0x9e3779b97f4a7c15U; /* 2^64 by the golden ratio: odd, so that others stay others */
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

static bool
read_part(struct json *j, struct part *p)
{
    const unsigned char c = json_space(j);
    uint32_t at;

    if (c == '{' || c == '[')
        return json_refuse(j, j->at, "what a reference or phase is told by is no text");
    *p = (struct part){.kind = (char)c};
    if (c == '"')
        return json_string(j, &p->u.text);
    if (!json_value(j, &at))
        return false;
    if (c == 'n') {
        p->kind = 0;
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        p->kind = '0';
        p->u.value = strtod((const char *)j->text + at, NULL);
    }
    return true;
}

/* The keys that tell a thing: first alone, or else second and third; of a phase there is no first. */
struct telling {
    const char *first, *second, *third;
};
static const struct telling REFERENCE = {"url", "source_name", "external_id"};
static const struct telling PHASE = {"", "phase_name", "kill_chain_name"};

static bool
read_thing(struct json *j, const struct telling *telling, struct part parts[3])
{
    struct json_keys keys;
    struct json_text key;
    uint32_t at;

    for (bool more = json_first(j, &keys, &key); more; more = json_next(j, &keys, &key)) {
        struct part *p = NULL;
        if (jsontext_is(j->text, key, telling->second))
            p = &parts[1];
        else if (jsontext_is(j->text, key, telling->third))
            p = &parts[2];
        else if (telling == &REFERENCE && jsontext_is(j->text, key, telling->first))
            p = &parts[0];
        if (p != NULL ? !read_part(j, p) : !json_value(j, &at))
            return false;
    }
    return !j->failed;
}

/* Fill in what tells it.  false: nothing does. */
static bool
tell(const struct list *l, const struct part parts[3], struct thing *t)
{
    if (parts[0].kind != 0) {
        t->a = parts[0];
    } else {
        if (!l->phases && (parts[1].kind == 0 || parts[2].kind == 0))
            return false;
        t->a = parts[1];
        t->b = parts[2];
    }
    t->print = print(l->j, &t->a) + print(l->j, &t->b) * 31 + (parts[0].kind != 0);
    return true;
}

static bool
room(struct list *l, struct budget *budget)
{
    if (l->n < FEW)
        return true;
    if (l->cap == 0) {
        l->v = NULL;
        uint32_t cap = 0;
        while (cap <= FEW && budget_more(budget, (void **)&l->v, cap, &cap, sizeof(*l->v)))
            ;
        l->cap = cap;
        if (cap <= FEW)
            return false;
        memcpy(l->v, l->few, sizeof(l->few));
    }
    return budget_more(budget, (void **)&l->v, l->n, &l->cap, sizeof(*l->v));
}

/* Of few, the new one is looked for; many are sorted when all are there. */
static bool
is_new(const struct list *l, const struct thing *t)
{
    for (uint32_t i = 0; l->n < FEW && i < l->n; i++)
        if (order(l->j, &l->v[i], t) == 0)
            return false;
    return true;
}

static bool
read_element(struct bundle *b, struct list *l)
{
    struct json *j = l->j;
    struct part parts[3] = {{.kind = 0}};
    struct thing t = {.element = b->n_elements};

    if (json_space(j) != '{')
        return json_refuse(j, j->at, "an external reference or kill chain phase that is no object");
    if (!read_thing(j, l->phases ? &PHASE : &REFERENCE, parts))
        return false;
    const bool kept = tell(l, parts, &t) && is_new(l, &t);

    if (kept && !room(l, b->budget)) {
        j->failed = true;
        return false;
    }
    if (kept)
        l->v[l->n++] = t;
    return bundle_add_element(b, j, kept ? ELEMENT_KEPT : 0);
}

/* Of those that are the same, the first of the list is kept. */
static void
drop_repeated(struct bundle *b, struct list *l)
{
    sort_numbered(l->v, l->n, sizeof(*l->v), order, l->j);
    for (uint32_t i = 1; i < l->n; i++) {
        struct thing *x = &l->v[i - 1], *y = &l->v[i];
        if (order(l->j, x, y) != 0)
            continue;
        const uint32_t first = x->element < y->element ? x->element : y->element;
        b->elements[x->element ^ y->element ^ first] &= ~ELEMENT_KEPT;
        y->element = first;
    }
}

bool
embedded_list(struct bundle *b, struct json *j, bool phases)
{
    struct list l = {.j = j, .phases = phases};

    l.v = l.few;
    for (bool more = json_first_element(j); more; more = json_next_element(j))
        if (!read_element(b, &l))
            break;
    if (!j->failed && l.n > FEW)
        drop_repeated(b, &l);
    if (l.cap > 0)
        budget_free(b->budget, l.v, l.cap * sizeof(*l.v));
    return !j->failed;
}
