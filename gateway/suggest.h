/* suggest.h - "did you mean": how far one name is from another.  Pure; any thread. */
#ifndef SUGGEST_H
#define SUGGEST_H

#include <stdbool.h>

/* Steps from one name to the other (a character more, less, another, or two swapped), case aside; more than 64
 * characters are infinitely far. */
unsigned suggest_distance(const char *a, const char *b);

/* Is b near enough to a to be what was meant? */
bool suggest_resembles(const char *a, const char *b);

#endif
