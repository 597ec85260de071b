/* fleet_runs.c - every run that was ever permitted in a world, so that one that nobody permitted is known. */
#include <stdlib.h>
#include <string.h>

#include "fleet_parts.h"

static uint32_t
place(const struct fleet *w, const uint8_t *run)
{
    uint32_t at;

    memcpy(&at, run, sizeof(at)); /* random as it is */
    for (at &= w->cap_runs - 1; w->runs[at].id != UINT32_MAX; at = (at + 1) & (w->cap_runs - 1))
        if (memcmp(w->runs[at].run, run, WIRE_RUN_LEN) == 0)
            break;
    return at;
}

static void
put(struct fleet *w, uint32_t id, const uint8_t *run)
{
    const uint32_t at = place(w, run);

    if (w->runs[at].id != UINT32_MAX)
        fleet_breaks(w, &w->ids[id], "two runs have the same id");
    w->runs[at].id = id;
    memcpy(w->runs[at].run, run, WIRE_RUN_LEN);
}

void
runs_add(struct fleet *w, uint32_t id, const uint8_t *run)
{
    const uint32_t before = w->cap_runs;

    if (2 * w->n_runs >= before) {
        struct known_run *old = w->runs;

        w->cap_runs = before == 0 ? 256 : before * 2;
        w->runs = malloc(w->cap_runs * sizeof(*w->runs));
        if (w->runs == NULL)
            abort();
        memset(w->runs, 0xff, w->cap_runs * sizeof(*w->runs));
        for (uint32_t i = 0; i < before; i++)
            if (old[i].id != UINT32_MAX)
                put(w, old[i].id, old[i].run);
        free(old);
    }
    put(w, id, run);
    w->n_runs++;
}

bool
runs_has(const struct fleet *w, uint32_t id, const uint8_t *run)
{
    return w->cap_runs > 0 && w->runs[place(w, run)].id == id;
}
