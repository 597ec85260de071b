/* index.h - reading a bundle: is it one, and where in it are its objects and references?  Thread: who has the bundle.
 * */
#ifndef INDEX_H
#define INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "bundle.h"
#include "json.h"
#include "names.h"

/* Where a bundle was found wrong. */
struct index_place {
    bool     in_object;
    uint32_t object;       /* its number, from 0 */
    bool     has_id;       /* the id was read before */
    struct json_text id;
};

/* Read b->text into *b and names (both opened by the caller, who closes them).  false: j says what is wrong (j->fault;
 * NULL: no memory, or above the budget) and *ret_place in which object. */
bool index_bundle(struct bundle *b, struct names *names, struct json *j, struct index_place *ret_place);

#endif
