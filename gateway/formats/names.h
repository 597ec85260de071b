/* names.h - the ids of a bundle, each once, by number: what objects are called, and what is referred to.
 *
 * Found by a hash whose key nobody knows, so that no bundle can be made slow.  Thread: who has the names. */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "budget.h"
#include "json.h"
#include "siphash.h"

enum { NAMES_NONE = (1 << 30) - 1 }; /* no object; no name */

struct name {
    uint32_t at;           /* of its bytes: in the text, or behind it among those that had escapes */
    uint32_t len : 29;
    bool     supported : 1; /* the platform has a place for such an id */
    bool     on_path : 1;  /* the splitter is inside it, and came by a reference */
    bool     marked : 1;   /* it is in the list that is being looked at */
    uint32_t hash;         /* the upper half of it */
    uint32_t object;       /* the object with this id; NAMES_NONE: it is not in the bundle */
    uint32_t done;         /* the object that was split for this id; NAMES_NONE: not yet */
};

struct names {
    const unsigned char *text; /* lent */
    uint32_t       text_len;
    unsigned char *unescaped;  /* bytes of the names that had escapes */
    uint32_t       unescaped_len, unescaped_cap;
    struct name   *v;
    uint32_t       n, cap;
    uint32_t      *slots;      /* numbers of names; NAMES_NONE: free */
    uint32_t       n_slots;    /* a power of two, or 0 */
    struct siphash_key key;
    struct budget *budget;     /* lent */
};

void names_open(struct names *names, const unsigned char *text, uint32_t len, struct budget *budget);
void names_close(struct names *names);

/* The number of the name that a string says; false: no memory. */
bool names_add(struct names *names, struct json_text s, uint32_t *ret);

/* Its bytes, lent until the next names_add. */
const char *names_text(const struct names *names, const struct name *n);

#endif
