/* scan.c - one pass over a msgpack frame, trusting none of its numbers. */
#include "scan.h"

#include <stdint.h>

enum shape { REFUSED, SCALAR, BYTES, ARRAY, MAP };

/* What follows the first byte of an object. */
struct form {
    uint8_t shape;
    uint8_t fixed; /* bytes of a scalar */
    uint8_t wide;  /* bytes of the big-endian length or count that stands before bytes or children */
};

/* First bytes 0xc0 to 0xdf; all others say everything in the byte itself (the msgpack specification, "Formats").
 * What has no row is refused: 0xc1, which is never used, and extension types, which this protocol has none of. */
static const struct form forms[32] = {
    [0x00] = {SCALAR, 0, 0}, /* nil */
    [0x02] = {SCALAR, 0, 0}, /* false */
    [0x03] = {SCALAR, 0, 0}, /* true */
    [0x04] = {BYTES, 0, 1},  /* bin 8, 16, 32 */
    [0x05] = {BYTES, 0, 2},
    [0x06] = {BYTES, 0, 4},
    [0x0a] = {SCALAR, 4, 0}, /* float 32, 64 */
    [0x0b] = {SCALAR, 8, 0},
    [0x0c] = {SCALAR, 1, 0}, /* uint 8, 16, 32, 64 */
    [0x0d] = {SCALAR, 2, 0},
    [0x0e] = {SCALAR, 4, 0},
    [0x0f] = {SCALAR, 8, 0},
    [0x10] = {SCALAR, 1, 0}, /* int 8, 16, 32, 64 */
    [0x11] = {SCALAR, 2, 0},
    [0x12] = {SCALAR, 4, 0},
    [0x13] = {SCALAR, 8, 0},
    [0x19] = {BYTES, 0, 1}, /* str 8, 16, 32 */
    [0x1a] = {BYTES, 0, 2},
    [0x1b] = {BYTES, 0, 4},
    [0x1c] = {ARRAY, 0, 2}, /* array 16, 32 */
    [0x1d] = {ARRAY, 0, 4},
    [0x1e] = {MAP, 0, 2}, /* map 16, 32 */
    [0x1f] = {MAP, 0, 4},
};

struct object {
    enum shape shape;
    uint64_t   bytes;    /* of content, to be skipped */
    uint64_t   children; /* of a container; a map has two for each pair */
};

static const char cut_short[] = "it ends inside an object";

/* Objects whose first byte says everything: small numbers, short containers and texts. */
static struct object
small_object(uint8_t first)
{
    if (first < 0x80 || first >= 0xe0)
        return (struct object){SCALAR, 0, 0};
    if (first < 0x90)
        return (struct object){MAP, 0, (first & 0x0fU) * 2};
    if (first < 0xa0)
        return (struct object){ARRAY, 0, first & 0x0fU};
    return (struct object){BYTES, first & 0x1fU, 0};
}

/* Read the head of the object at *at and step behind it. */
static const char *
read_head(const uint8_t **at, const uint8_t *end, struct object *ret)
{
    if (*at == end)
        return cut_short;
    const uint8_t first = *(*at)++;
    if (first < 0xc0 || first >= 0xe0) {
        *ret = small_object(first);
        return NULL;
    }
    const struct form *form = &forms[first & 0x1f];
    uint64_t stated = 0;

    if (form->shape == REFUSED)
        return first == 0xc1 ? "it holds the byte 0xc1, which msgpack never uses" : "it holds an extension type";
    if ((size_t)(end - *at) < form->wide)
        return cut_short;
    for (unsigned i = 0; i < form->wide; i++)
        stated = stated << 8 | *(*at)++;
    *ret = (struct object){form->shape, form->fixed, 0};
    if (form->shape == BYTES)
        ret->bytes = stated;
    else if (form->shape == ARRAY)
        ret->children = stated;
    else if (form->shape == MAP)
        ret->children = stated * 2;
    return NULL;
}

const char *
scan_frame(const void *frame, size_t len)
{
    const uint8_t *at = frame;
    const uint8_t *end = at + len;
    uint64_t left[SCAN_DEPTH_MAX]; /* objects still to come in each open container */
    unsigned depth = 0;
    unsigned elements = 0;
    struct object o;

    if (len == 0)
        return "it is empty";
    do {
        const char *why = read_head(&at, end, &o);
        if (why != NULL)
            return why;
        /* Each child needs a byte at least: a count beyond the rest of the frame is a lie. */
        if (o.bytes > (size_t)(end - at) || o.children > (size_t)(end - at))
            return cut_short;
        at += o.bytes;
        if (++elements > SCAN_ELEMENTS_MAX)
            return "it has more than 256 elements";
        if ((o.shape == ARRAY || o.shape == MAP) && depth == SCAN_DEPTH_MAX)
            return "it is nested more than 4 deep";
        if (o.children > 0)
            left[depth++] = o.children;
        else
            while (depth > 0 && --left[depth - 1] == 0)
                depth--;
    } while (depth > 0);
    return at == end ? NULL : "bytes follow the map";
}
