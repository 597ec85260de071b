/* jsontext.h - what strings of a JSON text say, once json.h has found them well formed.  Pure; any thread. */
#ifndef JSONTEXT_H
#define JSONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"

/* Write what the string says into to, which has room for s.len bytes: the bytes written, never more. */
uint32_t jsontext_decode(const unsigned char *text, struct json_text s, unsigned char *to);

/* As memcmp and a comparison of lengths would of what two strings say: an order, 0 for the same. */
int jsontext_compare(const unsigned char *text, struct json_text a, struct json_text b);

/* Does it say this? */
bool jsontext_is(const unsigned char *text, struct json_text s, const char *what);
bool jsontext_ends(const unsigned char *text, struct json_text s, const char *what);

/* A number that is equal for strings that say the same, and mostly differs for others; not keyed. */
uint64_t jsontext_print(const unsigned char *text, struct json_text s);

/* Past the value that begins at `at`, in a text that was found well formed; and past blanks. */
uint32_t jsontext_skip(const unsigned char *text, uint32_t at);
uint32_t jsontext_blanks(const unsigned char *text, uint32_t at);

#endif
