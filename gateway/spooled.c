/* spooled.c - between the core and the spool: bodies to the disk and back, and what the disk said of them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bodies.h"
#include "crash.h"
#include "err.h"
#include "log.h"
#include "loop_parts.h"
#include "mailbox.h"
#include "parts.h"
#include "settings.h"
#include "store/spool.h"

/* What the spool keeps beside a body: content type and its NUL, then the options. */
static size_t
write_head(const struct body *body, char head[SPOOL_HEAD_MAX])
{
    const size_t ctype = strlen(body->ctype) + 1;

    memcpy(head, body->ctype, ctype);
    memcpy(head + ctype, body->options, body->options_len);
    return ctype + body->options_len;
}

/* The header of a bundle, as it would have come in.  false: nobody of ours wrote this head. */
static bool
read_head(const struct spool_bundle *b, struct wire_msg *ret)
{
    const char *head = b->head;
    const char *nul = b->head_len == 0 ? NULL : memchr(head, '\0', b->head_len);

    if (nul == NULL)
        return false;
    *ret = (struct wire_msg){.size = b->size};
    ret->ctype = (struct wire_text){head, (uint32_t)(nul - head)};
    ret->options = (struct wire_text){nul + 1, b->head_len - (uint32_t)(nul + 1 - head)};
    return true;
}

/* --- effects ------------------------------------------------------------------------------------------------------ */

static void
not_spooled(struct loop *l, const struct core_effect *effect)
{
    struct core_event e = {.kind = CORE_SPOOLED};

    e.u.spooled.slot = effect->u.spool.slot;
    e.u.spooled.number = effect->u.spool.number;
    e.u.spooled.ok = false;
    effects_later(l, &e);
}

/* One of this connector failed in this very step, and the core does not know yet: none behind it may pass it. */
static bool
is_behind_failed(const struct loop *l, uint32_t number)
{
    for (size_t i = 0; i < l->n_after; i++)
        if (l->after[i].kind == CORE_SPOOLED && l->after[i].u.spooled.number == number)
            return true;
    return false;
}

/* Its bytes, as the spool takes them: of the chunks, or of what a format kept of them. */
static struct spool_chunk *
pieces_of(const struct body *body, size_t *ret_n)
{
    const size_t n = body->parts != NULL ? 1 : body->n;
    struct spool_chunk *list = malloc(n * sizeof(*list));

    *ret_n = n;
    if (list != NULL && body->parts != NULL)
        list[0] = (struct spool_chunk){body->parts->raw, body->parts->raw_len};
    for (size_t i = 0; list != NULL && body->parts == NULL && i < n; i++)
        list[i] = (struct spool_chunk){body->chunks[i].at, body->chunks[i].len};
    return list;
}

void
spooled_put(struct loop *l, const struct core_effect *e)
{
    const struct body *body = bodies_at(l->bodies, e->u.spool.slot);
    char head[SPOOL_HEAD_MAX];
    size_t n = 0;
    struct spool_chunk *pieces = NULL;
    bool went = false;

    crash_point(CRASH_ADMITTED);
    if (body != NULL && !is_behind_failed(l, e->u.spool.number) && (body->parts != NULL || body->have == body->size))
        pieces = pieces_of(body, &n);
    if (pieces != NULL) {
        const struct spool_bundle b = {
            .id = e->u.spool.connector,
            .epoch = e->u.spool.epoch,
            .seq = e->u.spool.seq,
            .format = (uint8_t)e->u.spool.format,
            .dead = e->u.spool.dead,
            .alone = e->u.spool.alone,
            .head = head,
            .head_len = (uint32_t)write_head(body, head),
            .size = body->size,
        };
        went = (!b.dead || letters_put(l, e, b.size)) && spool_append(l->spool, e->u.spool.slot, &b, pieces, n);
    }
    free(pieces);
    if (!went && e->u.spool.dead)
        letters_put_failed(l, e->u.spool.slot);
    if (!went)
        not_spooled(l, e);
}

void
spooled_fetch(struct loop *l, const struct core_effect *e)
{
    struct core_event none = {.kind = CORE_FETCH_END};

    if (spool_fetch(l->spool, e->u.fetch.number, e->u.fetch.connector, e->u.fetch.pos, e->u.fetch.bytes,
                    e->u.fetch.most))
        return;
    none.u.fetch_end.number = e->u.fetch.number;
    none.u.fetch_end.pos = e->u.fetch.pos;
    effects_later(l, &none);
}

void
spooled_release(struct loop *l, const struct core_effect *e)
{
    if (!spool_release(l->spool, e->u.release.connector, e->u.release.pos))
        log_event(l->log, LOG_WARN, "not_released", LOG_STR("connector", e->u.release.connector),
                  LOG_STR("text", "no memory: it goes once more after the next start"));
}

void
spooled_bury(struct loop *l, const struct core_effect *e)
{
    struct core_event no = {.kind = CORE_BURIED};

    if (letters_bury(l, e))
        return;
    no.u.buried.number = e->u.bury.number;
    no.u.buried.pos = e->u.bury.pos;
    effects_later(l, &no);
}

void
spooled_keep(struct loop *l, uint32_t slot)
{
    struct spool_answer *a = l->fetched;

    if (bodies_open_owned(l->bodies, slot, l->header, a->body) != NULL)
        a->body = NULL; /* else, without memory, who forms or publishes it sees that it is not whole */
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void
take_fetched(struct loop *l, struct spool_answer *a)
{
    struct core_event e = {.kind = CORE_FETCHED};
    struct wire_msg header;

    e.u.fetched.number = (uint32_t)a->ticket;
    e.u.fetched.pos = a->pos;
    if (!read_head(&a->bundle, &header)) {
        log_event(l->log, LOG_ERROR, "bundle_damaged", LOG_STR("connector", a->bundle.id), LOG_INT("pos", a->pos),
                  LOG_STR("text", "its head is not one of ours"));
        e.kind = CORE_DAMAGED;
        e.u.damaged.number = (uint32_t)a->ticket;
        e.u.damaged.pos = a->pos;
    } else {
        e.u.fetched.epoch = a->bundle.epoch;
        e.u.fetched.seq = a->bundle.seq;
        e.u.fetched.size = a->bundle.size;
        e.u.fetched.options_len = header.options.len;
        e.u.fetched.format = (enum wire_format)a->bundle.format;
    }
    l->fetched = a;
    l->header = &header;
    effects_step(l, &e);
    l->fetched = NULL;
    l->header = NULL;
}

static void
take_space(struct loop *l, const struct spool_answer *a)
{
    struct core_event e = {.kind = CORE_SPOOL_SPACE};

    e.u.space.full = a->full;
    effects_step(l, &e);
}

static const char *
id_of(struct loop *l, uint64_t number)
{
    struct core_status s;

    return core_status(l->core, (uint32_t)number, &s) ? s.id : NULL;
}

static void
take(struct loop *l, struct spool_answer *a)
{
    struct core_event e = {.kind = CORE_SPOOLED};

    switch (a->kind) {
    case SPOOL_APPENDED:
        if (a->ok)
            crash_point(CRASH_FLUSHED);
        else
            log_event(l->log, LOG_WARN, "not_spooled", LOG_STR("text", a->text));
        if (letters_appended(l, a))
            break;
        e.u.spooled.slot = (uint32_t)a->ticket;
        e.u.spooled.ok = a->ok;
        e.u.spooled.pos = a->pos;
        effects_step(l, &e);
        break;
    case SPOOL_FETCHED:
        take_fetched(l, a);
        break;
    case SPOOL_FETCH_END:
        if (a->text != NULL)
            log_event(l->log, LOG_WARN, "spool_not_read", LOG_STR("text", a->text));
        e.kind = CORE_FETCH_END;
        e.u.fetch_end.number = (uint32_t)a->ticket;
        e.u.fetch_end.pos = a->pos;
        effects_step(l, &e);
        break;
    case SPOOL_DAMAGED:
        log_event(l->log, LOG_ERROR, "bundle_damaged", LOG_STR("connector", id_of(l, a->ticket)),
                  LOG_INT("pos", a->pos), LOG_STR("text", a->text));
        e.kind = CORE_DAMAGED;
        e.u.damaged.number = (uint32_t)a->ticket;
        e.u.damaged.pos = a->pos;
        effects_step(l, &e);
        break;
    case SPOOL_BURIED:
        if (!a->ok)
            letters_not_buried(l, id_of(l, a->ticket), a->pos);
        e.kind = CORE_BURIED;
        e.u.buried.number = (uint32_t)a->ticket;
        e.u.buried.pos = a->pos;
        e.u.buried.ok = a->ok;
        effects_step(l, &e);
        break;
    case SPOOL_SPACE:
        take_space(l, a);
        break;
    case SPOOL_BROKEN:
        /* What was not flushed was not answered for.  Only a new start reads what the disk really has. */
        l->broken = l->stop = true;
        break;
    }
}

void
spooled_take(struct loop *l)
{
    void *taken;
    const size_t n = l->spooled == NULL ? 0 : mailbox_take(l->spooled, &taken);

    for (size_t i = 0; i < n; i++) {
        struct spool_answer *a = &((struct spool_answer *)taken)[i];

        take(l, a);
        free(a->body);
        free(a->text);
    }
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */

int
spooled_open(struct loop *l, struct err *err)
{
    const struct settings *s = l->settings;
    const struct spool_config c = {
        .dir = s->spool.dir, .limit = s->spool.limit, .floor = s->spool.floor, .segment = s->spool.segment};

    if (s->spool.limit == 0) {
        if (access(s->spool.dir, F_OK) == 0)
            log_event(l->log, LOG_WARN, "spool_ignored", LOG_STR("dir", s->spool.dir),
                      LOG_STR("text", "spool.limit is 0B: what rests in this folder stays there"));
        return 0;
    }
    l->spooled = mailbox_new(sizeof(struct spool_answer), err);
    l->spool = l->spooled == NULL ? NULL : spool_open(&c, l->spooled, l->log, err);
    return l->spool == NULL ? -1 : 0;
}

struct finding {
    struct loop *loop;
    bool         unknown; /* the core did not take one */
};

static void
found(void *ctx, const struct spool_stream *s)
{
    struct finding *f = ctx;
    struct core_event e = {.kind = CORE_SPOOL_FOUND};
    uint32_t number;

    e.u.found.id = s->id;
    e.u.found.first = s->first;
    e.u.found.next = s->next;
    e.u.found.count = s->count;
    e.u.found.bytes = s->bytes;
    e.u.found.epoch = s->epoch;
    e.u.found.seq = s->seq;
    effects_step(f->loop, &e);
    f->unknown = f->unknown || (s->count > 0 && !core_number(f->loop->core, s->id, &number));
}

int
spooled_load(struct loop *l, struct err *err)
{
    struct finding finding = {l, false};
    struct spool_figures f;

    if (l->spool == NULL)
        return 0;
    spool_streams(l->spool, found, &finding);
    if (finding.unknown)
        return err_set(err, ERR_NOMEM, 0, "no memory for the connectors that have bundles in the spool");
    spool_figures(l->spool, &f);
    if (f.count + f.dead_count > 0)
        log_event(l->log, LOG_INFO, "spool_found", LOG_INT("bundles", f.count), LOG_INT("bytes", f.live),
                  LOG_INT("dead_letters", f.dead_count));
    return spool_begin(l->spool) ? 0 : err_set(err, ERR_NOMEM, 0, "the spool");
}

void
spooled_close(struct loop *l)
{
    void *taken;

    spool_close(l->spool);
    for (size_t i = 0, n = l->spooled == NULL ? 0 : mailbox_take(l->spooled, &taken); i < n; i++) {
        free(((struct spool_answer *)taken)[i].body);
        free(((struct spool_answer *)taken)[i].text);
    }
    mailbox_free(l->spooled);
}
