/* vectors_test.c - the codec against frames that it did not make, and the document against the frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text.h"
#include "vectors.h"
#include "wire.h"
#include "wire_same.h"
#include "wire_table.h"

static int
setup(void **state)
{
    *state = vectors_read();
    return 0;
}

static int
teardown(void **state)
{
    vectors_free(*state);
    return 0;
}

/* --- helpers: a frame copied to a block of its own size, and what becomes of it ----------------------------------- */

static int
decode_copy(const unsigned char *frame, size_t len, enum wire_side from, struct wire_fault *fault)
{
    unsigned char *copy = malloc(len == 0 ? 1 : len);
    char again[WIRE_HEADER_MAX];
    struct wire_msg msg;
    struct wire_msg msg_again;

    assert_non_null(copy);
    memcpy(copy, frame, len);
    const int rc = wire_decode(copy, len, from, &msg, fault);
    if (rc == 0) {
        const size_t n = wire_encode(&msg, again, sizeof(again));
        struct wire_fault none;
        assert_true(n > 0);
        assert_int_equal(wire_decode(again, n, from, &msg_again, &none), 0);
        assert_true(wire_same(&msg, &msg_again));
    } else {
        assert_int_not_equal(fault->code, WIRE_R_NONE);
        assert_true(fault->text[0] != '\0' && text_is_utf8(fault->text, strlen(fault->text)));
    }
    free(copy);
    return rc;
}

/* --- the vectors -------------------------------------------------------------------------------------------------- */

static void
each_valid_vector_decodes_to_its_type_and_goes_round(void **state)
{
    const struct vectors *vs = *state;
    struct wire_msg msg;
    struct wire_fault fault = {.text = ""};
    unsigned seen[WIRE_TYPES] = {0};

    for (size_t i = 0; i < vs->n; i++) {
        const struct vector *v = &vs->list[i];
        if (vector_is_in(v, "refused"))
            continue;
        if (decode_copy(v->frame, v->len, v->side, &fault) != 0)
            fail_msg("%s is refused: %s", v->path, fault.text);
        assert_int_equal(wire_decode(v->frame, v->len, v->side, &msg, &fault), 0);
        assert_string_equal(wire_type_name(msg.type), v->expected);
        seen[msg.type]++;
    }
    for (unsigned t = WIRE_HELLO; t < WIRE_TYPES; t++)
        assert_true(seen[t] > 0); /* no type is without a vector */
}

static void
each_refused_vector_is_refused_with_its_code_and_field(void **state)
{
    const struct vectors *vs = *state;
    struct wire_fault fault;
    size_t n = 0;

    for (size_t i = 0; i < vs->n; i++) {
        const struct vector *v = &vs->list[i];
        if (!vector_is_in(v, "refused"))
            continue;
        if (decode_copy(v->frame, v->len, v->side, &fault) == 0)
            fail_msg("%s is taken", v->path);
        if (strcmp(wire_reason_name(fault.code), v->expected) != 0 || strcmp(fault.field, v->field) != 0)
            fail_msg("%s is refused with %s \"%s\" (%s)", v->path, wire_reason_name(fault.code), fault.field,
                     fault.text);
        n++;
    }
    assert_true(n > 200);
}

static void
each_valid_vector_cut_at_any_byte_is_malformed(void **state)
{
    const struct vectors *vs = *state;
    struct wire_fault fault;

    for (size_t i = 0; i < vs->n; i++) {
        const struct vector *v = &vs->list[i];
        if (vector_is_in(v, "refused"))
            continue;
        for (size_t len = 0; len < v->len; len++) {
            if (decode_copy(v->frame, len, v->side, &fault) == 0 || fault.code != WIRE_R_MALFORMED)
                fail_msg("%s cut to %zu bytes is not malformed", v->path, len);
        }
    }
}

/* Frames with a key spoiled, a count off by one, a type turned into another: refused or sound, never a crash. */
static void
each_valid_vector_with_any_byte_changed_is_refused_or_goes_round(void **state)
{
    static const unsigned char masks[] = {0xff, 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01};
    const struct vectors *vs = *state;
    struct wire_fault fault;

    for (size_t i = 0; i < vs->n; i++) {
        const struct vector *v = &vs->list[i];
        if (!vector_is_in(v, "valid"))
            continue;
        for (size_t at = 0; at < v->len; at++) {
            for (size_t m = 0; m < sizeof(masks); m++) {
                v->frame[at] ^= masks[m];
                decode_copy(v->frame, v->len, WIRE_FROM_CONNECTOR, &fault);
                decode_copy(v->frame, v->len, WIRE_FROM_GATEWAY, &fault);
                v->frame[at] ^= masks[m];
            }
        }
    }
}

static void
no_vector_is_taken_from_the_other_side(void **state)
{
    const struct vectors *vs = *state;
    struct wire_fault fault;

    for (size_t i = 0; i < vs->n; i++) {
        const struct vector *v = &vs->list[i];
        const enum wire_side other = v->side == WIRE_FROM_GATEWAY ? WIRE_FROM_CONNECTOR : WIRE_FROM_GATEWAY;
        if (vector_is_in(v, "valid"))
            assert_int_equal(decode_copy(v->frame, v->len, other, &fault), -1);
    }
}

static void
the_exchange_is_encoded_to_the_very_same_bytes(void **state)
{
    const struct vectors *vs = *state;
    char frame[WIRE_HEADER_MAX];
    struct wire_msg msg;
    struct wire_fault fault;

    for (size_t i = 0; i < vs->n; i++) {
        const struct vector *v = &vs->list[i];
        if (!vector_is_in(v, "exchange"))
            continue;
        assert_int_equal(wire_decode(v->frame, v->len, v->side, &msg, &fault), 0);
        assert_int_equal(wire_encode(&msg, frame, sizeof(frame)), v->len);
        assert_memory_equal(frame, v->frame, v->len);
        assert_int_equal(wire_has_body(&msg), v->body[0] != '\0');
    }
}

/* --- the document ------------------------------------------------------------------------------------------------- */

/* Read the block of hex (lines of four blanks and two digits a byte) that begins at or after *at. */
static size_t
read_hex(const char **at, unsigned char *to, size_t cap)
{
    size_t n = 0;
    char *end;

    while (strncmp(*at, "    ", 4) == 0) {
        const char *line = *at + 4;
        for (; *line != '\n'; line = *end == ' ' ? end + 1 : end) {
            const unsigned long byte = strtoul(line, &end, 16);
            assert_true(end == line + 2 && n < cap);
            to[n++] = (unsigned char)byte;
        }
        *at = line + 1;
    }
    return n;
}

/* What stands behind the next `what`; it must be there. */
static const char *
behind(const char *at, const char *what)
{
    const char *found = strstr(at, what);

    if (found == NULL)
        fail_msg("docs/protocol.md: not found: %s", what);
    return found == NULL ? at : found + strlen(what);
}

/* Behind the path: a sentence, the message as JSON, the hex of frame 1, and of frame 2 where there is one. */
static void
check_hex(const char *document, const struct vector *v)
{
    unsigned char bytes[WIRE_HEADER_MAX];
    char mark[VECTOR_PATH_MAX + 8];
    size_t len;

    snprintf(mark, sizeof(mark), "(`%s`)", v->path + strlen("tests/vectors/"));
    const char *at = behind(behind(behind(document, mark), "\n    {"), "\n\n");
    assert_int_equal(read_hex(&at, bytes, sizeof(bytes)), v->len);
    assert_memory_equal(bytes, v->frame, v->len);
    if (v->body[0] == '\0')
        return;
    unsigned char *body = vectors_file(v->body, &len);
    at = behind(at, "Frame 2:\n\n");
    assert_int_equal(read_hex(&at, bytes, sizeof(bytes)), len);
    assert_memory_equal(bytes, body, len);
    free(body);
}

static void
the_document_shows_the_exchange_as_it_is_in_the_vectors(void **state)
{
    const struct vectors *vs = *state;
    size_t len;
    char *document = (char *)vectors_file("docs/protocol.md", &len);
    size_t n = 0;

    for (size_t i = 0; i < vs->n; i++) {
        if (vector_is_in(&vs->list[i], "exchange")) {
            check_hex(document, &vs->list[i]);
            n++;
        }
    }
    assert_true(n > 10);
    free(document);
}

/* The section of one message: from behind its heading to the next heading.  The caller frees it. */
static char *
section_of(const char *document, const struct wire_message_row *row)
{
    char heading[64];
    const char *op = row->op < 0 ? "" : wire_field_table[WIRE_F_OP].words[row->op];

    snprintf(heading, sizeof(heading), "\n### %s%s%s\n", row->name, row->op < 0 ? "" : " ", op);
    const char *at = behind(document, heading);
    const char *end = strstr(at, "\n## ");
    const char *next = strstr(at, "\n### ");
    if (next != NULL && (end == NULL || next < end))
        end = next;
    assert_non_null(end);
    return strndup(at, (size_t)(end - at));
}

static void
check_fields(const char *section, const struct wire_message_row *row)
{
    char cell[64];

    for (unsigned f = 0; f < WIRE_FIELDS; f++) {
        snprintf(cell, sizeof(cell), "\n| `%s` | ", wire_field_table[f].name);
        const char *at = strstr(section, cell);
        if ((at != NULL) != (row->allowed >> f & 1U))
            fail_msg("docs/protocol.md, %s: field %s", row->name, wire_field_table[f].name);
        if (at == NULL)
            continue;
        const char *required = strstr(at + strlen(cell), " | ");
        assert_non_null(required);
        if (strncmp(required, row->required >> f & 1U ? " | yes | " : " | no | ", 8) != 0)
            fail_msg("docs/protocol.md, %s: is %s required?", row->name, wire_field_table[f].name);
    }
}

static void
the_document_lists_the_fields_of_each_message_as_the_codec_knows_them(void **state)
{
    size_t len;
    char *document = (char *)vectors_file("docs/protocol.md", &len);

    (void)state;
    for (const struct wire_message_row *row = wire_message_table; row->name != NULL; row++) {
        char *section = section_of(document, row);
        assert_non_null(section);
        check_fields(section, row);
        free(section);
    }
    free(document);
}

static void
the_document_explains_each_reason_each_hold_and_each_code(void **state)
{
    size_t len;
    char *document = (char *)vectors_file("docs/protocol.md", &len);
    const char *section = behind(document, "\n## 5. ");
    char row[64];

    (void)state;
    for (enum wire_reason r = WIRE_R_UNROUTABLE; r < WIRE_REASONS; r++) {
        snprintf(row, sizeof(row), "\n| `%s` | ", wire_reason_name(r));
        behind(section, row);
    }
    for (unsigned hold = 1; hold < WIRE_HOLD_ALL; hold <<= 1) {
        snprintf(row, sizeof(row), "\n| `%s` | ", wire_hold_name((enum wire_hold)hold));
        behind(section, row);
    }
    free(document);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_valid_vector_decodes_to_its_type_and_goes_round),
        cmocka_unit_test(each_refused_vector_is_refused_with_its_code_and_field),
        cmocka_unit_test(each_valid_vector_cut_at_any_byte_is_malformed),
        cmocka_unit_test(each_valid_vector_with_any_byte_changed_is_refused_or_goes_round),
        cmocka_unit_test(no_vector_is_taken_from_the_other_side),
        cmocka_unit_test(the_exchange_is_encoded_to_the_very_same_bytes),
        cmocka_unit_test(the_document_shows_the_exchange_as_it_is_in_the_vectors),
        cmocka_unit_test(the_document_lists_the_fields_of_each_message_as_the_codec_knows_them),
        cmocka_unit_test(the_document_explains_each_reason_each_hold_and_each_code),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
