#include "stix.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "must.h"
#include "worker.h"

#define IDENTITY "identity--00000000-0000-4000-8000-000000000000"

enum { ROOM = 400 /* of an object without its description */ };

char *
stix_bundle(uint32_t n, size_t pad, size_t *ret_len)
{
    char *text = malloc(ROOM + n * (ROOM + pad)), *to = text;

    assert_non_null(text);
    to += sprintf(to, "{\"type\":\"bundle\",\"id\":\"bundle--00000000-0000-4000-8000-00000000000b\",\"objects\":["
                      "{\"type\":\"identity\",\"id\":\"" IDENTITY "\",\"name\":\"somebody\"}");
    for (uint32_t i = 1; i < n; i++) {
        to += sprintf(to,
                      ",\n{\"type\":\"malware\",\"id\":\"malware--00000000-0000-4000-8000-%012" PRIu32
                      "\",\"created_by_ref\":\"" IDENTITY "\",\"name\":\"m%" PRIu32 "\",\"description\":\"",
                      i, i);
        memset(to, 'a' + (int)(i % 26), pad);
        to += pad;
        to += sprintf(to, "\"}");
    }
    to += sprintf(to, "]}");
    *ret_len = (size_t)(to - text);
    return text;
}

struct stix_tally *
stix_tally_new(uint32_t n, size_t pad)
{
    struct stix_tally *t = calloc(1, sizeof(*t));

    assert_non_null(t);
    t->n = n;
    t->pad = pad;
    t->seen = calloc(n, sizeof(*t->seen));
    assert_non_null(t->seen);
    return t;
}

/* A copy is known by its message_id: all of the bundle have the same but for the last number, which is the part. */
static void
assert_same_bundle(struct stix_tally *t, const struct work *w)
{
    const char *last = strrchr(w->message_id, '/');

    if (t->first_id[0] == '\0')
        memcpy(t->first_id, w->message_id, sizeof(t->first_id));
    assert_int_equal(strncmp(t->first_id, w->message_id, (size_t)(last - w->message_id) + 1), 0);
    assert_int_equal(w->parts, t->n);
    assert_int_equal(json_integer_value(json_object_get(w->envelope, "action_sequence")), w->part);
}

static void
assert_whole(const struct stix_tally *t, const struct work *w, uint32_t i)
{
    const char *d = json_string_value(json_object_get(w->object, "description"));

    if (i == 0)
        return;
    assert_true(t->seen[0] > 0);
    assert_string_equal(json_string_value(json_object_get(w->object, "created_by_ref")), IDENTITY);
    assert_non_null(d);
    assert_int_equal(strlen(d), t->pad);
    for (size_t at = 0; at < t->pad; at++)
        if (d[at] != 'a' + (int)(i % 26))
            fail_msg("byte %zu of object %" PRIu32 " is another", at, i);
}

void
stix_tally_take(void *ctx, const struct work *w)
{
    struct stix_tally *t = ctx;
    const char *id = json_string_value(json_object_get(w->object, "id"));
    const uint32_t i = (uint32_t)strtoul(strrchr(id, '-') + 1, NULL, 10);

    assert_in_range(i, 0, t->n - 1);
    assert_int_equal(i == 0, strcmp(id, IDENTITY) == 0);
    assert_whole(t, w, i);
    assert_same_bundle(t, w);
    t->distinct += t->seen[i]++ == 0;
    t->messages++;
}

void
stix_tally_free(struct stix_tally *t)
{
    free(t->seen);
    free(t);
}
