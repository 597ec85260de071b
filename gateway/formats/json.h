/* json.h - a strict scanner of JSON (RFC 8259): it says where values begin and end, and changes nothing.
 *
 * Nothing is copied or built: what was scanned is used as slices of the text.  Refused beyond the grammar: bytes that
 * are not UTF-8, halves of surrogate pairs, a key that is in one object twice (compared as text, whatever its
 * escapes), and what is nested deeper than JSON_DEPTH_MAX.  No recursion.  Thread: who has the scanner. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget;

enum {
    JSON_DEPTH_MAX = 1024, /* containers inside each other, below where the caller has come by itself */
    JSON_PAD = 16,         /* zero bytes behind the text, which are read, never used */
    JSON_LEN_MAX = 1 << 29 /* bytes of a text */
};

/* What is between the quotes of a string, as it is in the text. */
struct json_text {
    uint32_t at, len;
    bool     escaped; /* it has backslashes: its bytes are not what it says */
};

/* A key of an object that is not closed yet. */
struct json_key {
    uint64_t print; /* equal for equal keys */
    struct json_text text;
};

struct json {
    const unsigned char *text; /* lent, with JSON_PAD zero bytes behind it */
    uint32_t        len, at;
    bool            failed;
    const char     *fault;     /* why, a literal; NULL: no memory, or above the budget */
    uint32_t        fault_at;  /* and where */
    struct budget  *budget;    /* lent: what keys are remembered with */
    struct json_key *keys;     /* of all open objects, the innermost last */
    uint32_t        n_keys, cap_keys;
};

/* The keys of one open object. */
struct json_keys {
    uint32_t first;
    uint64_t seen; /* a bit for the prints that are there: most new keys need no comparison */
};

void json_open(struct json *j, const void *text, uint32_t len, struct budget *budget);
void json_close(struct json *j);

/* Note a fault and return false, so that a failure reads in one step. */
bool json_refuse(struct json *j, uint32_t at, const char *what);

/* Past blanks; the byte that is there, 0 at the end of the text (and for a NUL, which is nowhere allowed). */
unsigned char json_space(struct json *j);

/* The byte `c` after blanks, or a fault. */
bool json_take(struct json *j, unsigned char c, const char *what);

/* A string, at its quote. */
bool json_string(struct json *j, struct json_text *ret);

/* Any value, after blanks: j->at is then behind it.  *ret_at: where it begins. */
bool json_value(struct json *j, uint32_t *ret_at);

/* The keys of an object, one by one, from its brace on: json_first, then for each key its value, then json_next.
 * *ret_key is the next key, its colon passed.  false: the object is closed, or j->failed. */
bool json_first(struct json *j, struct json_keys *keys, struct json_text *ret_key);
bool json_next(struct json *j, struct json_keys *keys, struct json_text *ret_key);

/* The elements of a list, from its bracket on, in the same manner: true, and the next element is to be read, at j->at.
 * */
bool json_first_element(struct json *j);
bool json_next_element(struct json *j);

#endif
