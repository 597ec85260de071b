/* text.h - text from outside: is it fit to be used, and how is it shown?  Pure; any thread. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TEXT_ID_MAX = 64,    /* bytes in the id of a connector */
    TEXT_ESCAPE_MAX = 16, /* bytes that one escaped character needs: four of \xNN */
    TEXT_TIME = 32       /* bytes of a time, its NUL included */
};

/* The id of a connector: ^[a-z0-9][a-z0-9._-]{0,63}$ */
bool text_is_id(const char *at, size_t len);

/* Valid UTF-8 (no overlong forms, no surrogates, at most U+10FFFF) without NUL. */
bool text_is_utf8(const char *at, size_t len);

/* The bytes of the character that len bytes begin with, and its code point; 0 where they are not UTF-8. */
size_t text_char(const char *at, size_t len, uint32_t *ret_code);

/* Can this character be shown as it is?  Not the controls (C0, DEL, C1), which break lines and drive
 * terminals, nor the line separators and the marks that turn the direction of text (UTS #55). */
bool text_is_plain(uint32_t code);

/* Write the first character of len bytes (at least 1) into out, escaped where it is not plain, a quote or a
 * backslash: \n \t \" \\, else \xNN for each of its bytes.  *ret_used: how many bytes of `at` it was.
 * Returns how many bytes were written; no NUL. */
size_t text_escape(const char *at, size_t len, size_t *ret_used, char out[TEXT_ESCAPE_MAX]);

/* The same as JSON has it: \u00e9 and the like for what is not plain; what is not UTF-8 becomes U+FFFD. */
size_t text_json(const char *at, size_t len, size_t *ret_used, char out[TEXT_ESCAPE_MAX]);

/* Write a time of the wall clock, microseconds since 1970, as RFC 3339 in UTC to the millisecond, within what that can
 * say (1970 to 9999).  Returns buf. */
char *text_time(int64_t wall_us, char buf[TEXT_TIME]);

/* Write text into buf, escaped as by text_escape, ending in "..." if it had to be cut to fit cap (at least 4) bytes
 * with its NUL.  Returns buf. */
char *text_show(const char *at, size_t len, char *buf, size_t cap);

#endif
