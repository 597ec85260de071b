/* text.h - is this outside text fit to be used?  Pure; any thread. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum { TEXT_ID_MAX = 64 }; /* bytes in the id of a connector */

/* The id of a connector: ^[a-z0-9][a-z0-9._-]{0,63}$ */
bool text_is_id(const char *at, size_t len);

/* Valid UTF-8 (no overlong forms, no surrogates, at most U+10FFFF) without NUL. */
bool text_is_utf8(const char *at, size_t len);

#endif
