/* wire_fuzz.c - whatever bytes come, from either side: they are refused with a reason, or they are a message that is
 * encoded and decoded to the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "wire.h"
#include "wire_same.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
insist(bool truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "wire_fuzz: %s\n", what);
    abort();
}

static void
refused_well(const struct wire_fault *fault)
{
    insist(fault->code == WIRE_R_MALFORMED || fault->code == WIRE_R_VERSION || fault->code == WIRE_R_TYPE ||
               fault->code == WIRE_R_FIELD,
           "a fault has a code of the protocol");
    insist(fault->text[0] != '\0' && text_is_utf8(fault->text, strlen(fault->text)), "a fault says why, in UTF-8");
    insist(strlen(fault->field) <= WIRE_FIELD_MAX, "a fault's field fits an error message");
}

/* The answer that a gateway gives must itself be a message. */
static void
can_be_answered(const struct wire_fault *fault)
{
    char frame[WIRE_HEADER_MAX];
    struct wire_msg error = {.type = WIRE_ERROR, .code = fault->code};

    error.has = 1ULL << WIRE_F_CODE | 1ULL << WIRE_F_TEXT | 1ULL << WIRE_F_FATAL | 1ULL << WIRE_F_FIELD;
    error.text = (struct wire_text){fault->text, (uint32_t)strlen(fault->text)};
    error.field = (struct wire_text){fault->field, (uint32_t)strlen(fault->field)};
    insist(wire_encode(&error, frame, sizeof(frame)) > 0, "each fault can be told to the peer");
}

static void
goes_round(const struct wire_msg *msg, enum wire_side from)
{
    char frame[WIRE_HEADER_MAX];
    struct wire_msg again;
    struct wire_fault fault;
    const size_t len = wire_encode(msg, frame, sizeof(frame));

    insist(len > 0, "what was decoded can be encoded");
    insist(wire_decode(frame, len, from, &again, &fault) == 0, "what was encoded can be decoded");
    insist(wire_same(msg, &again), "it says the same");
    for (size_t cap = 0; cap < len; cap++)
        insist(wire_encode(msg, frame, cap) == 0, "a buffer that is too small is never overrun");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const enum wire_side sides[] = {WIRE_FROM_CONNECTOR, WIRE_FROM_GATEWAY};
    struct wire_msg msg;
    struct wire_fault fault;

    for (size_t i = 0; i < 2; i++) {
        if (wire_decode(data, len, sides[i], &msg, &fault) == 0) {
            goes_round(&msg, sides[i]);
        } else {
            refused_well(&fault);
            can_be_answered(&fault);
        }
    }
    return 0;
}
