/* wire_fault.h - saying why a frame was refused, to a developer who sees nothing but this.
 *
 * Private to the codec.  Pure; any thread. */
#ifndef WIRE_FAULT_H
#define WIRE_FAULT_H

#include "wire_table.h"

/* Fill *fault and return -1.  field is "" where none is to blame. */
int wire_refuse(struct wire_fault *fault, enum wire_reason code, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* FIELD: the value of this field is not what the message takes; the text says what that is. */
int wire_refuse_value(struct wire_fault *fault, const struct wire_message_row *row, unsigned field);

/* FIELD: the message of that type has no such key.  The key may hold anything: it is named only where it could be
 * one of ours. */
int wire_refuse_key(struct wire_fault *fault, const char *type, const char *key, size_t len);

#endif
