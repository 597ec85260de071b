#include "exits.h"

enum exits
exits_of(const struct err *err)
{
    switch (err->code) {
    case ERR_TIMEOUT:
        return EXITS_LATER;
    case ERR_STALE:
        return EXITS_REPLACED;
    case ERR_DENIED:
        return EXITS_DENIED;
    case ERR_CONFIG:
        return EXITS_USAGE;
    case ERR_FULL:
        return EXITS_REFUSED;
    case ERR_PROTO:
        return EXITS_DATA;
    case ERR_NONE:
    case ERR_NOMEM:
    case ERR_IO:
        break;
    }
    return EXITS_SYSTEM;
}
