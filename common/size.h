/* size.h - amounts of bytes as people write them: "500MB", "64MiB", "4096B".
 *
 * A unit is required, so that nobody has to guess.  Pure; any thread. */
#ifndef SIZE_H
#define SIZE_H

#include <stddef.h>
#include <stdint.h>

struct err;

/* Units: B, kB MB GB TB (powers of 1000), KiB MiB GiB TiB (powers of 1024); one fraction ("1.5GiB") is
 * allowed where the result is whole.  ERR_CONFIG: what was given, what is wrong, what to write. */
int size_parse(const char *text, uint64_t *ret, struct err *err);

/* Write bytes for people ("9.90 MB", powers of 1000) into buf and return buf. */
char *size_print(uint64_t bytes, char *buf, size_t cap);

#endif
