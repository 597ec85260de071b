/* wire_table.h - what a message of the protocol consists of: one table of fields, one of messages.
 *
 * Decoder and encoder go through these tables only, so that they cannot disagree.  Private to the codec.
 * Read-only data; any thread. */
#ifndef WIRE_TABLE_H
#define WIRE_TABLE_H

#include "wire.h"

enum wire_kind {
    KIND_NUMBER,  /* uint64_t, from min to max */
    KIND_BOOL,    /* bool */
    KIND_TEXT,    /* wire_text: UTF-8 without NUL, min to max bytes */
    KIND_ID,      /* wire_text: text_is_id */
    KIND_ASCII,   /* wire_text: printable ASCII, min to max bytes */
    KIND_RUN,     /* uint8_t[WIRE_RUN_LEN], bin on the wire */
    KIND_WORD,    /* an enum, see wire_words; on the wire words[value] */
    KIND_HOLDS,   /* uint32_t of bits min to max; on the wire a list of words[bit], each once; it may be empty */
    KIND_VERSIONS /* uint64_t[WIRE_LIST_MAX] that ends with 0; on the wire a list of min to max numbers */
};

struct wire_field_row {
    const char        *name;
    const char *const *words;
    uint64_t           min, max;
    uint16_t           offset; /* in struct wire_msg */
    uint8_t            name_len;
    uint8_t            kind;
};

/* One row for a type of message; four for state, one for each op. */
struct wire_message_row {
    const char      *name;
    uint8_t          type;      /* a wire_type */
    uint8_t          from;      /* a wire_side */
    int8_t           op;        /* a wire_op, or -1 */
    uint8_t          reason[2]; /* first and last wire_reason that `reason` may say */
    uint64_t         required;  /* bits of wire_field */
    uint64_t         allowed;   /* the same, the required ones included */
    uint64_t         together;  /* the same: there is all of them, or none */
};

extern const struct wire_field_row wire_field_table[WIRE_FIELDS];

/* The rows in the order of wire_type; ends with a row without a name. */
extern const struct wire_message_row wire_message_table[];

/* The field of that name, or -1.  The search begins at hint and wraps: who sends fields in our order is
 * found at once. */
int wire_field_find(const char *name, size_t len, unsigned hint);

/* The row of msg->type and, for state, msg->op; NULL if there is none. */
const struct wire_message_row *wire_message_find(const struct wire_msg *msg);

/* Fields that msg must have and has not, as bits of wire_field: the required ones, and those that others bring with
 * them.  Only fields of msg->has are looked at. */
uint64_t wire_missing(const struct wire_message_row *row, const struct wire_msg *msg);

/* First and last index into words that the field may have in this message. */
struct wire_words {
    unsigned first, last;
};
struct wire_words wire_words(const struct wire_message_row *row, unsigned field);

/* Is the value of this field in *msg within the limits of its row, and of the message's? */
bool wire_field_fits(const struct wire_message_row *row, unsigned field, const struct wire_msg *msg);

#endif
