/* opencti.c - the forward format of OpenCTI: a message for each object of a bundle, as pycti's connectors send them.
 *
 * The body is copied into one piece, since its objects do not care for the ends of chunks; everything else is small
 * beside it: indexes into the text while it is split, and then what is needed to write the messages, each when it is
 * asked for.  docs/formats.md has the rules. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "body.h"
#include "bundle.h"
#include "content.h"
#include "envelope.h"
#include "err.h"
#include "format.h"
#include "index.h"
#include "names.h"
#include "options.h"
#include "parts.h"
#include "siphash.h"
#include "split.h"
#include "text.h"

enum {
    MEMORY_RATIO = 6,        /* what splitting may cost, by the bytes of the bundle */
    MEMORY_LEAST = 1 << 20,   /* and for the smallest */
    MADE_ID_SIZE = 48,       /* "bundle--" and a UUID in quotes */
    SHOWN_ID_SIZE = 80
};

struct opencti {
    struct parts    parts;
    struct budget   budget;
    unsigned char  *text;
    size_t          text_size; /* with JSON_PAD */
    struct bundle   bundle;
    struct options  options;
    struct envelope envelope;
    struct content_common common;
    struct split    split;     /* which objects the messages are */
    uint32_t       *sizes;     /* of their contents, before base64 */
    char            made_id[MADE_ID_SIZE];
};

/* --- The messages ------------------------------------------------------------------------------------------------- */

static uint64_t
size_of(const struct parts *p, uint32_t i)
{
    const struct opencti *x = (const struct opencti *)p;

    return envelope_size(&x->envelope, i + 1, x->sizes[i]);
}

struct encoder {
    struct content_to to;
    struct base64 base64;
};

static void
encode(struct content_to *to, const void *at, size_t len)
{
    base64_put(&((struct encoder *)to)->base64, at, len);
}

static void
write_message(const struct parts *p, uint32_t i, void *to)
{
    const struct opencti *x = (const struct opencti *)p;
    struct encoder e = {{encode}, {.to = envelope_begin(&x->envelope, i + 1, to)}};

    if (x->options.no_split)
        base64_put(&e.base64, x->text, x->bundle.size);
    else
        content_write(&x->bundle, x->split.order[i], &x->common, &e.to);
    base64_end(&e.base64);
    envelope_end(&x->envelope, e.base64.to);
}

static void
free_parts(struct parts *p)
{
    struct opencti *x = (struct opencti *)p;

    budget_free(&x->budget, x->sizes, x->split.cap * sizeof(*x->sizes));
    split_close(&x->split, &x->budget);
    if (x->bundle.budget != NULL)
        bundle_close(&x->bundle);
    if (x->envelope.budget != NULL)
        envelope_close(&x->envelope);
    if (x->options.budget != NULL)
        options_close(&x->options);
    budget_free(&x->budget, x->text, x->text_size);
    free(x->parts.went_bits);
    free(x);
}

static const struct parts_kind KIND = {size_of, write_message, free_parts};

/* --- Why not ------------------------------------------------------------------------------------------------------ */

/* While parts are made. */
struct making {
    const struct format_ask *ask;
    struct opencti      *x;
    struct names         names;
    struct format_notes *notes;
    enum format_fault   *fault;
    struct err          *err;
};

static int
refuse(const struct making *m, enum format_fault fault, enum err_code code, const char *text)
{
    *m->fault = fault;
    return err_set(m->err, code, 0, "%s", text);
}

/* Something was not to be had: memory, or leave to use it. */
static int
no_room(const struct making *m)
{
    char text[200];

    if (!m->x->budget.over)
        return refuse(m, FORMAT_NOMEM, ERR_NOMEM, "no memory to split a bundle");
    (void)snprintf(text, sizeof(text),
                   "the bundle has so many small parts that splitting it takes more than %d times its %" PRIu32
                   " bytes: send it in pieces",
                   MEMORY_RATIO, m->x->bundle.size);
    return refuse(m, FORMAT_MALFORMED, ERR_PROTO, text);
}

static int
refuse_json(const struct making *m, const struct json *j, const struct index_place *place)
{
    char text[240], id[SHOWN_ID_SIZE] = "", object[SHOWN_ID_SIZE + 40] = "";
    const char *bytes = (const char *)m->x->text;

    if (j->fault == NULL)
        return no_room(m);
    if (place->in_object && place->has_id)
        (void)snprintf(object, sizeof(object), ", objects[%" PRIu32 "] (%s)", place->object,
                       text_show(bytes + place->id.at, place->id.len, id, sizeof(id)));
    else if (place->in_object)
        (void)snprintf(object, sizeof(object), ", objects[%" PRIu32 "]", place->object);
    (void)snprintf(text, sizeof(text), "byte %" PRIu32 "%s: %s", j->fault_at, object, j->fault);
    return refuse(m, FORMAT_MALFORMED, ERR_PROTO, text);
}

/* The id of an object, fit to be shown. */
static const char *
shown(const struct making *m, uint32_t object, char buf[SHOWN_ID_SIZE])
{
    const struct name *n = &m->names.v[m->x->bundle.objects[object].name];

    return text_show(names_text(&m->names, n), n->len, buf, SHOWN_ID_SIZE);
}

/* "no place for: malware--x and 3 more", behind what is there. */
static void
note(const struct making *m, const char *what, uint32_t first, uint32_t count)
{
    struct format_notes *notes = m->notes;
    const size_t len = strlen(notes->text);
    char id[SHOWN_ID_SIZE], more[32] = "";

    if (count == 0)
        return;
    if (count > 1)
        (void)snprintf(more, sizeof(more), " and %" PRIu32 " more", count - 1);
    (void)snprintf(notes->text + len, sizeof(notes->text) - len, "%s%s: %s%s", len > 0 ? "; " : "", what,
                   shown(m, first, id), more);
}

/* --- Making them -------------------------------------------------------------------------------------------------- */

/* The body in one piece. */
static int
take_text(const struct making *m)
{
    struct opencti *x = m->x;
    const struct body *body = m->ask->body;
    char text[120];

    if (body->size > JSON_LEN_MAX) {
        (void)snprintf(text, sizeof(text), "a bundle of %" PRIu64 " bytes: the format opencti takes at most %d",
                       body->size, JSON_LEN_MAX);
        return refuse(m, FORMAT_TOO_LARGE, ERR_PROTO, text);
    }
    x->text_size = (size_t)body->size + JSON_PAD;
    x->budget.limit = MEMORY_RATIO * body->size + MEMORY_LEAST;
    x->budget.stop = m->ask->stop;
    x->text = budget_resize(&x->budget, NULL, 0, x->text_size);
    if (x->text == NULL)
        return no_room(m);
    unsigned char *to = x->text;

    for (uint32_t i = 0; i < body->n; i++) {
        memcpy(to, body->chunks[i].at, body->chunks[i].len);
        to += body->chunks[i].len;
    }
    memset(to, 0, JSON_PAD);
    x->bundle = (struct bundle){.text = x->text, .size = (uint32_t)body->size, .budget = &x->budget};
    x->parts.raw = x->text;
    x->parts.raw_len = (size_t)body->size;
    return 0;
}

static int
read_options(const struct making *m)
{
    struct opencti *x = m->x;
    const int rc = options_read(m->ask->options, m->ask->options_len, &x->budget, &x->options, m->err);

    if (rc == -1) {
        *m->fault = FORMAT_MALFORMED;
        return -1;
    }
    if (rc != 0 || !envelope_make(&x->options, m->ask->applicant_id, &x->budget, &x->envelope))
        return no_room(m);
    options_trim(&x->options);
    return 0;
}

/* The id of a bundle without one: made of its bytes, so that the same bundle has the same.  pycti takes a random one.
 * The keys of the hash are nobody's secret here. */
static void
make_id(struct opencti *x)
{
    static const struct siphash_key KEYS[] = {{{0, 0}}, {{1, 0}}};
    const uint64_t a = siphash(&KEYS[0], x->text, x->bundle.size), b = siphash(&KEYS[1], x->text, x->bundle.size);

    /* Version 8, "custom", and the variant of RFC 9562. */
    (void)snprintf(x->made_id, sizeof(x->made_id),
                   "\"bundle--%08" PRIx64 "-%04" PRIx64 "-8%03" PRIx64 "-%04" PRIx64 "-%012" PRIx64 "\"", a >> 32,
                   a >> 16 & 0xffff, a & 0xfff, (b >> 48 & 0x3fff) | 0x8000, b & 0xffffffffffff);
    x->common.id = x->made_id;
    x->common.id_len = (uint32_t)strlen(x->made_id);
}

static void
set_common(struct opencti *x)
{
    const struct bundle *b = &x->bundle;

    if (b->has_id) {
        x->common.id = (const char *)b->text + b->id.at - 1;
        x->common.id_len = b->id.len + 2;
    } else {
        make_id(x);
    }
    if (x->options.event_version.len > 0)
        x->common.event = x->options.text + x->options.event_version.at;
    x->common.event_len = x->options.event_version.len;
}

static int
read_bundle(struct making *m)
{
    struct opencti *x = m->x;
    struct index_place place;
    struct json j;

    json_open(&j, x->text, x->bundle.size, &x->budget);
    names_open(&m->names, x->text, x->bundle.size, &x->budget);
    const bool right = index_bundle(&x->bundle, &m->names, &j, &place);

    json_close(&j);
    if (!right)
        return refuse_json(m, &j, &place);
    if (x->bundle.n_objects == 0)
        return refuse(m, FORMAT_EMPTY, ERR_PROTO, "nothing to import: the bundle has no objects");
    return 0;
}

static int
split_it(struct making *m)
{
    struct opencti *x = m->x;

    set_common(x);
    if (!split_bundle(&x->bundle, &m->names, x->options.cleanup, &x->split))
        return no_room(m);
    m->notes->incompatible = x->split.incompatible;
    note(m, "no place in OpenCTI for", x->split.first_incompatible, x->split.incompatible);
    x->sizes = budget_resize(&x->budget, NULL, 0, (x->split.cap > 0 ? x->split.cap : 1) * sizeof(*x->sizes));
    return x->sizes == NULL ? no_room(m) : 0;
}

static int
too_large(const struct making *m, const char *what, uint64_t size)
{
    char text[240];

    (void)snprintf(text, sizeof(text), "%s: its message has %" PRIu64 " bytes, the broker takes at most %" PRIu64, what,
                   size, m->ask->max_message);
    return refuse(m, FORMAT_TOO_LARGE, ERR_PROTO, text);
}

static void
take(struct opencti *x, uint64_t size)
{
    x->parts.n++;
    x->parts.bytes += size;
    x->parts.largest = size > x->parts.largest ? size : x->parts.largest;
}

/* Those that the broker takes, numbered without gaps. */
static int
measure(const struct making *m)
{
    struct opencti *x = m->x;
    uint32_t first_large = 0;

    for (uint32_t i = 0; i < x->split.n; i++) {
        const uint32_t object = x->split.order[i], n = x->parts.n;
        const uint64_t content = content_size(&x->bundle, object, &x->common);
        const uint64_t size = envelope_size(&x->envelope, n + 1, content);
        char id[SHOWN_ID_SIZE], what[SHOWN_ID_SIZE + 40];

        if (size <= m->ask->max_message) {
            x->split.order[n] = object;
            x->sizes[n] = (uint32_t)content;
            take(x, size);
            continue;
        }
        (void)snprintf(what, sizeof(what), "objects[%" PRIu32 "] (%s)", object, shown(m, object, id));
        if (!m->ask->skip_large)
            return too_large(m, what, size);
        first_large = m->notes->too_large++ == 0 ? object : first_large;
    }
    note(m, "too large for the broker", first_large, m->notes->too_large);
    return 0;
}

/* The bundle as it came, in one message, which the workers are told not to split either. */
static int
measure_whole(const struct making *m)
{
    struct opencti *x = m->x;
    const uint64_t size = envelope_size(&x->envelope, 1, x->bundle.size);

    if (size > m->ask->max_message)
        return too_large(m, "the bundle, which is not to be split", size);
    x->split.cap = 1;
    x->sizes = budget_resize(&x->budget, NULL, 0, sizeof(*x->sizes));
    if (x->sizes == NULL)
        return no_room(m);
    x->sizes[0] = x->bundle.size;
    take(x, size);
    return 0;
}

static int
make(struct making *m)
{
    struct opencti *x = m->x;
    char text[240];

    if (take_text(m) != 0 || read_options(m) != 0 || read_bundle(m) != 0)
        return -1;
    if (x->options.no_split ? measure_whole(m) != 0 : split_it(m) != 0 || measure(m) != 0)
        return -1;
    if (x->parts.n == 0) {
        (void)snprintf(text, sizeof(text), "nothing to import: %.200s", m->notes->text);
        return refuse(m, FORMAT_EMPTY, ERR_PROTO, text);
    }
    x->parts.went_bits = calloc(x->parts.n / 64 + 1, sizeof(*x->parts.went_bits));
    return x->parts.went_bits == NULL ? no_room(m) : 0;
}

int
opencti_parts(const struct format_ask *ask, struct parts **ret_parts, struct format_notes *ret_notes,
              enum format_fault *ret_fault, struct err *err)
{
    struct format_notes notes = {.incompatible = 0};
    struct opencti *x = calloc(1, sizeof(*x));
    struct making m = {.ask = ask, .x = x, .notes = &notes, .fault = ret_fault, .err = err};

    if (x == NULL) {
        *ret_fault = FORMAT_NOMEM;
        return err_set(err, ERR_NOMEM, 0, "no memory to split a bundle");
    }
    x->parts = (struct parts){.kind = &KIND, .ctype = "", .encoding = "utf-8"};
    const int rc = make(&m);

    if (m.names.budget != NULL)
        names_close(&m.names);
    if (rc != 0) {
        free_parts(&x->parts);
        return -1;
    }
    *ret_parts = &x->parts;
    *ret_notes = notes;
    return 0;
}
