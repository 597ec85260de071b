/* suggest.c - "did you mean": how far one name is from another. */
#include "suggest.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

enum { LONGEST = 64 };

static unsigned
least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static bool
same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Optimal string alignment, three rows at a time: as Levenshtein's distance, with a swap of neighbours as one
 * step, since that is how fingers slip. */
unsigned
suggest_distance(const char *a, const char *b)
{
    unsigned rows[3][LONGEST + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    size_t   la = strlen(a), lb = strlen(b);

    if (la > LONGEST || lb > LONGEST)
        return UINT_MAX;
    for (size_t j = 0; j <= lb; j++)
        before[j] = last[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            now[j] = least(last[j] + 1, now[j - 1] + 1, last[j - 1] + !same(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) && before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        unsigned *old = before;
        before = last;
        last = now;
        now = old;
    }
    return last[lb];
}

bool
suggest_resembles(const char *a, const char *b)
{
    size_t longer = strlen(a) > strlen(b) ? strlen(a) : strlen(b);

    return suggest_distance(a, b) <= 1 + longer / 5;
}
