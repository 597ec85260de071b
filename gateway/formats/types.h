/* types.h - which objects OpenCTI has a place for.  Pure; any thread. */
#ifndef TYPES_H
#define TYPES_H

#include <stdbool.h>
#include <stddef.h>

/* An id "<type>--<rest>" is supported if its type is one that the platform knows; an id without "--" always is (it
 * may be an internal one, and is not judged). */
bool types_support(const char *id, size_t len);

#endif
