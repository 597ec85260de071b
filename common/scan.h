/* scan.h - is this frame safe to hand to msgpack-c?
 *
 * msgpack-c allocates what a container declares before it has seen one element, so that five bytes can
 * ask for gigabytes.  The scan walks the frame once, without allocation or recursion, and passes only
 * what is whole, small and flat: after it, msgpack-c allocates at most 48 bytes for an element.
 * Pure; any thread. */
#ifndef SCAN_H
#define SCAN_H

#include <stddef.h>

enum {
    SCAN_DEPTH_MAX = 4,     /* containers inside each other, the outermost included */
    SCAN_ELEMENTS_MAX = 256 /* objects of any kind, keys and containers included */
};

/* NULL: the frame is exactly one msgpack object within these limits.  Else what is wrong, a literal. */
const char *scan_frame(const void *frame, size_t len);

#endif
