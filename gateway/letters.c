/* letters.c - dead letters: their rows, their bundles in the spool, and what operators do with them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/operators.h"
#include "clock.h"
#include "dead.h"
#include "err.h"
#include "log.h"
#include "loop_parts.h"
#include "settings.h"
#include "store/spool.h"

/* Tickets of the spool: a slot of the core, or with this bit an operator's. */
#define OPERATORS (1ULL << 63)

/* What is on its way to the spool: a letter that will be one when it is there, or one that will be none. */
struct letter_way {
    struct letter_way *next;
    uint64_t           ticket;
    struct dead_letter letter;
};

/* --- on their way ------------------------------------------------------------------------------------------------- */

static bool
set_out(struct loop *l, uint64_t ticket, const struct dead_letter *letter)
{
    struct letter_way *w = malloc(sizeof(*w));

    if (w == NULL)
        return false;
    *w = (struct letter_way){l->letters_away, ticket, *letter};
    l->letters_away = w;
    return true;
}

/* false: there is none of this ticket. */
static bool
arrive(struct loop *l, uint64_t ticket, struct dead_letter *ret)
{
    for (struct letter_way **at = &l->letters_away; *at != NULL; at = &(*at)->next) {
        struct letter_way *w = *at;

        if (w->ticket != ticket)
            continue;
        *ret = w->letter;
        *at = w->next;
        free(w);
        return true;
    }
    return false;
}

/* --- letters ------------------------------------------------------------------------------------------------------ */

static void
write_letter(struct dead_letter *to, const char *connector, enum wire_reason reason, const char *text)
{
    memset(to, 0, sizeof(*to));
    (void)snprintf(to->connector, sizeof(to->connector), "%s", connector);
    (void)snprintf(to->reason, sizeof(to->reason), "%s", wire_reason_name(reason));
    (void)snprintf(to->text, sizeof(to->text), "%s", text == NULL ? "" : text);
    to->at_us = clock_wall_us();
}

/* It is one from now on: in the list, and in the state. */
static void
enter(struct loop *l, const struct dead_letter *letter)
{
    struct err err = {0};
    int rc;

    log_event(l->log, LOG_WARN, "dead_letter", LOG_STR("connector", letter->connector), LOG_INT("pos", letter->pos),
              LOG_INT("seq", letter->seq), LOG_INT("bytes", letter->size), LOG_STR("reason", letter->reason),
              LOG_STR("text", letter->text));
    /* The spool has it all the same, and a start lists what there is room for. */
    rc = dead_put(l->dead, letter, &err);
    if (state_dead(l->state, letter, &err) != 0 || rc != 0)
        log_event(l->log, LOG_ERROR, "dead_letter_not_listed", LOG_STR("text", err.text));
}

static void
leave(struct loop *l, const char *connector, uint64_t pos)
{
    dead_drop(l->dead, connector, pos);
    if (state_undead(l->state, connector, pos, NULL) != 0)
        log_event(l->log, LOG_WARN, "dead_letter_row_left", LOG_STR("connector", connector), LOG_INT("pos", pos));
}

bool
letters_put(struct loop *l, const struct core_effect *e, uint64_t size)
{
    struct dead_letter letter;

    write_letter(&letter, e->u.spool.connector, e->u.spool.reason, e->u.spool.text);
    letter.epoch = e->u.spool.epoch;
    letter.seq = e->u.spool.seq;
    letter.size = size;
    return set_out(l, e->u.spool.slot, &letter);
}

void
letters_put_failed(struct loop *l, uint32_t slot)
{
    struct dead_letter letter;

    (void)arrive(l, slot, &letter);
}

bool
letters_bury(struct loop *l, const struct core_effect *e)
{
    struct dead_letter letter;

    write_letter(&letter, e->u.bury.connector, e->u.bury.reason, e->u.bury.text);
    letter.pos = e->u.bury.pos;
    letter.epoch = e->u.bury.epoch;
    letter.seq = e->u.bury.seq;
    letter.size = e->u.bury.size;
    if (!spool_bury(l->spool, e->u.bury.number, e->u.bury.connector, e->u.bury.pos))
        return false;
    enter(l, &letter);
    return true;
}

void
letters_not_buried(struct loop *l, const char *connector, uint64_t pos)
{
    leave(l, connector, pos);
}

/* --- operators ---------------------------------------------------------------------------------------------------- */

static const char *
replay(struct loop *l, const struct operators_act *a)
{
    const uint64_t ticket = OPERATORS | a->ticket;
    struct dead_letter *letter = dead_find(l->dead, a->connector, a->pos);

    if (!set_out(l, ticket, letter))
        return "the gateway has no memory for this now: try again";
    if (spool_revive(l->spool, ticket, a->connector, a->pos))
        return NULL;
    (void)arrive(l, ticket, letter);
    return "the gateway has no memory for this now: try again";
}

const char *
letters_act(struct loop *l, const struct operators_act *a)
{
    if (a->what == OPERATORS_REPLAY)
        return replay(l, a);
    if (!spool_release(l->spool, a->connector, a->pos))
        return "the gateway has no memory for this now: try again";
    leave(l, a->connector, a->pos);
    return NULL;
}

/* A letter that lives again is at the end of its stream. */
static void
revived(struct loop *l, const struct spool_answer *a, const struct dead_letter *letter)
{
    struct core_event e = {.kind = CORE_REVIVED};
    const bool known = core_number(l->core, letter->connector, &e.u.revived.number);

    if (a->ok) {
        leave(l, letter->connector, letter->pos);
        e.u.revived.pos = a->pos;
        e.u.revived.size = letter->size;
        if (known)
            effects_step(l, &e);
    }
    operators_done(l->operators, a->ticket & ~OPERATORS, a->ok, 0, a->text == NULL ? "the disk failed" : a->text);
}

bool
letters_appended(struct loop *l, const struct spool_answer *a)
{
    struct dead_letter letter;

    if (!arrive(l, a->ticket, &letter))
        return false;
    if ((a->ticket & OPERATORS) != 0) {
        revived(l, a, &letter);
        return true;
    }
    letter.pos = a->pos;
    if (a->ok)
        enter(l, &letter);
    return false; /* the core is told of its slot all the same */
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */

struct matching {
    struct loop *loop;
    struct dead *rows; /* as the state has them */
    struct err  *err;
    int          rc;
    uint64_t     left_out; /* there is no room in the list */
};

static void
take_row(void *ctx, const struct dead_letter *row)
{
    struct matching *m = ctx;

    if (m->rc == 0 && dead_put(m->rows, row, m->err) != 0 && m->err->code != ERR_FULL)
        m->rc = -1;
}

static void
take_body(void *ctx, const struct spool_dead *found)
{
    struct matching *m = ctx;
    const struct dead_letter *row = dead_find(m->rows, found->bundle.id, found->pos);
    struct dead_letter letter = {.pos = found->pos,
                                 .epoch = found->bundle.epoch,
                                 .seq = found->bundle.seq,
                                 .size = found->bundle.size,
                                 .reason = "unknown",
                                 .text = "the gateway ended before it had written down why"};

    (void)snprintf(letter.connector, sizeof(letter.connector), "%s", found->bundle.id);
    if (m->rc != 0 || dead_put(m->loop->dead, row != NULL ? row : &letter, m->err) == 0)
        return;
    if (m->err->code == ERR_FULL)
        m->left_out++;
    else
        m->rc = -1;
}

/* A crash can leave letters without a row, and rows without a letter. */
int
letters_load(struct loop *l, struct err *err)
{
    struct matching m = {l, dead_new(err), err, 0, 0};

    l->letter_rows = m.rows;
    if (m.rows == NULL || state_each_dead(l->state, take_row, &m, err) != 0)
        return -1;
    if (l->spool != NULL)
        spool_dead(l->spool, take_body, &m);
    if (m.left_out > 0)
        log_event(l->log, LOG_WARN, "dead_letters_not_listed", LOG_INT("letters", m.left_out),
                  LOG_STR("text", "replay or drop some of those that are, and start again"));
    return m.rc;
}

void
letters_tidy(struct loop *l)
{
    const struct dead_letter *row;

    for (size_t i = 0; l->spool != NULL && (row = dead_at(l->letter_rows, i)) != NULL; i++)
        if (dead_count(l->dead) < DEAD_MAX && dead_find(l->dead, row->connector, row->pos) == NULL)
            (void)state_undead(l->state, row->connector, row->pos, NULL); /* else it is tried again at the next start */
    dead_free(l->letter_rows);
    l->letter_rows = NULL;
}

void
letters_forget(struct loop *l)
{
    struct dead_letter letter;

    while (l->letters_away != NULL)
        (void)arrive(l, l->letters_away->ticket, &letter);
    dead_free(l->letter_rows);
    dead_free(l->dead);
}
