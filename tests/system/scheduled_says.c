#include "scheduled.h"

#include "ledger.h"

const char *const scheduled_says[S_WHATS] = {
    [S_STARTED] = "started",
    [S_BEGIN] = "begin",
    [S_PUSH] = "push",
    [S_ACKED] = "acked",
    [S_REFUSED] = "refused",
    [S_TRY] = "try",
    [S_COMMITTED] = "committed",
    [S_END] = "end",
    [S_RECORDED] = "recorded",
    [S_DOUBT] = "doubt",
    [S_GONE] = "gone",
    [S_HELD] = "held",
    [S_REPLACED] = "replaced",
    [S_STOPPED] = "stopped",
    [S_FAILED] = "failed",
};

size_t
scheduled_size(uint64_t number)
{
    return LEDGER_BODY_MIN + (size_t)(number * 7919 % (SCHEDULED_SIZE_MOST - LEDGER_BODY_MIN + 1));
}
