/* history_rules.c - what must be so, whoever was killed and when.
 *
 * The journal, life by life of the gateway, each of which begins with what is on its disk:
 *  - a run is permitted only where none is under way, and no run twice; of a period not before a period has passed
 *    since the end of the last, or since that was given up, and after a start not before the time in the row;
 *  - a run is adopted only where none is under way, if it was permitted once and its end is not on the disk;
 *  - a run ends only if it is under way or was given up, and was not followed; what is lost was under way.
 * The rows:
 *  - an end that a connector was told to be on the disk is there, for ever;
 *  - they are what the journal says, at the kill or a moment before;
 *  - last_run is of a run that happened; the state and the run that ended with it move together.
 * The books:
 *  - every run of a connector is in the journal, but where a kill cut off its lines;
 *  - one run at a time of an id, but where another program took it; and a whole period between two, whatever was
 *    killed meanwhile.  The exception: both sides were killed within a moment of the permit, before it was on disk. */
#include "history.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "must.h"

enum {
    CLOCK_US = 4000,     /* the journal has milliseconds, and the wall clock is followed to one */
    /* What a connector sees is so much earlier or later than what the gateway writes down: its clock is read once a
     * turn, and on a busy machine a turn may stand still.  By the gateway's own time, in the journal, a period is kept
     * to CLOCK_US. */
    TURN_US = 400000,
    SETTLE_US = 2000000, /* what was decided is written down within, by a gateway that runs */
    STATES_MAX = 64,     /* of one life that are looked back at */
    SHOWN_MAX = 20
};

/* What the gateway held true, and from when on. */
struct held {
    char    run[SCHEDULED_RUN + 1], ended[SCHEDULED_RUN + 1]; /* "" for none */
    int64_t due_us, since_us;
};

struct look {
    const struct history *h;
    struct history_figures *fig;
    uint64_t faults;
    size_t id;
    /* What the gateway must hold true. */
    bool running, lost, known;
    char run[SCHEDULED_RUN + 1], ended[SCHEDULED_RUN + 1];
    int64_t due_us;
    struct held states[STATES_MAX]; /* in this life, the last ones in a ring */
    size_t n_states;
};

static void __attribute__((format(printf, 3, 4)))
fault(struct look *k, int64_t at_us, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (k->faults++ < SHOWN_MAX)
        print_message("FAULT %s at %lld.%03lld: %s\n", k->h->plans[k->id].id, (long long)(at_us / 1000000),
                      (long long)(at_us / 1000 % 1000), text);
}

static bool
same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static const struct history_id *
of(const struct look *k)
{
    return &k->h->ids[k->id];
}

static bool
periodic(const struct look *k)
{
    const char *kind = k->h->plans[k->id].kind;
    return same(kind, "period") || same(kind, "loop");
}

static bool
counts(const struct look *k)
{
    return same(k->h->plans[k->id].state, "count");
}

static int64_t
period_us(const struct look *k)
{
    return k->h->plans[k->id].period_ms * 1000;
}

/* For how long between the two the gateway was stopped (or, with who, that program). */
static int64_t
stopped_us(const struct history *h, bool gateway, uint32_t who, int64_t from, int64_t to)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < h->n_stops; i++) {
        const struct history_stop *s = &h->stops[i];
        const int64_t a = s->from_us > from ? s->from_us : from, b = s->to_us < to ? s->to_us : to;
        if (s->gateway == gateway && (gateway || s->who == who) && b > a)
            sum += b - a;
    }
    return sum;
}

/* The longest stop of the gateway that touches this moment: a turn of its loop may have been as long. */
static int64_t
turn_us(const struct history *h, int64_t at)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < h->n_stops; i++) {
        const struct history_stop *s = &h->stops[i];
        if (s->gateway && s->from_us <= at + TURN_US && s->to_us >= at - TURN_US && s->to_us - s->from_us > most)
            most = s->to_us - s->from_us;
    }
    return TURN_US + most;
}

static const struct history_event *
event_of(const struct look *k, enum scheduled_what what, const char *run)
{
    for (size_t n = 0; n < of(k)->n_events; n++)
        if (of(k)->events[n].what == what && same(of(k)->events[n].run, run))
            return &of(k)->events[n];
    return NULL;
}

/* The first decision about a run, from a life on; with what below 0 any. */
static const struct history_decision *
decision_of(const struct look *k, int what, const char *run, uint32_t life)
{
    for (size_t n = 0; n < of(k)->n_decisions; n++) {
        const struct history_decision *d = &of(k)->decisions[n];
        if (d->life >= life && (what < 0 || d->what == (enum history_what)what) && same(d->run, run))
            return d;
    }
    return NULL;
}

/* When the program said that the run ends; 0: it did not. */
static int64_t
said_us(const struct look *k, const char *run)
{
    const struct history_event *e = event_of(k, counts(k) ? S_TRY : S_END, run);
    return e == NULL ? 0 : e->at_us;
}

/* --- the journal --- */

static void
begins(struct look *k, const struct history_decision *d)
{
    k->known = k->known && !k->lost; /* what was lost has not ended, whatever comes after it */
    k->running = true;
    k->lost = false;
    memcpy(k->run, d->run, sizeof(k->run));
}

static void
permit(struct look *k, const struct history_decision *d)
{
    const struct history_decision *first = decision_of(k, H_PERMIT, d->run, 0);
    k->fig->permits++;
    if (k->running)
        fault(k, d->at_us, "%s is permitted while %s is under way", d->run, k->run);
    if (first != d)
        fault(k, d->at_us, "%s is permitted a second time", d->run);
    if (periodic(k) && d->at_us < k->due_us - CLOCK_US)
        fault(k, d->at_us, "%s is permitted %lld us before its time", d->run, (long long)(k->due_us - d->at_us));
    begins(k, d);
}

static void
adopted(struct look *k, const struct history_decision *d)
{
    const struct history_decision *first = decision_of(k, H_PERMIT, d->run, 0);
    k->fig->adopted++;
    if (k->running)
        fault(k, d->at_us, "%s is adopted while %s is under way", d->run, k->run);
    if (k->known && !k->lost && same(k->ended, d->run))
        fault(k, d->at_us, "%s is adopted, and its end is known", d->run);
    if ((first == NULL || first > d) && event_of(k, S_BEGIN, d->run) == NULL)
        fault(k, d->at_us, "%s is adopted, and was never permitted", d->run);
    begins(k, d);
}

static void
over(struct look *k, const struct history_decision *d, bool lost)
{
    const int64_t said = said_us(k, d->run);
    k->running = false;
    k->lost = lost;
    k->known = true;
    memcpy(k->ended, d->run, sizeof(k->ended));
    k->due_us = (!lost && counts(k) ? said : d->at_us) + period_us(k); /* with a state: from when that was let go */
}

static void
ended(struct look *k, const struct history_decision *d)
{
    const int64_t said = said_us(k, d->run);
    k->fig->ended++;
    if (!(k->running && same(k->run, d->run)) && !(!k->running && k->lost && same(k->ended, d->run)))
        fault(k, d->at_us, "%s ends, and is not under way", d->run);
    if (said == 0 || d->at_us < said - turn_us(k->h, d->at_us))
        fault(k, d->at_us, "%s ends, and its program did not say so yet", d->run);
    over(k, d, false);
}

static void
given_up(struct look *k, const struct history_decision *d)
{
    k->fig->lost++;
    if (!k->running || !same(k->run, d->run))
        fault(k, d->at_us, "%s is lost, and was not under way", d->run);
    over(k, d, true);
}

static void
keep_state(struct look *k, int64_t since_us)
{
    struct held *s = &k->states[k->n_states++ % STATES_MAX];
    *s = (struct held){.due_us = k->due_us, .since_us = since_us};
    if (k->running)
        memcpy(s->run, k->run, sizeof(s->run));
    if (k->known && !k->lost)
        memcpy(s->ended, k->ended, sizeof(s->ended));
}

static void
decide(struct look *k, const struct history_decision *d)
{
    void (*const rules[])(struct look *, const struct history_decision *) = {
        [H_PERMIT] = permit, [H_ADOPTED] = adopted, [H_ENDED] = ended, [H_LOST] = given_up};
    rules[d->what](k, d);
    keep_state(k, d->at_us);
}

/* --- rows --- */

static bool
row_says(const struct look *k, const struct history_row *r, const struct held *s, int64_t killed)
{
    const bool drain = same(k->h->plans[k->id].resume, "drain");
    if (!same(r->run, s->run) || !same(r->ended, s->ended))
        return false;
    if (!periodic(k) || !same(r->run, ""))
        return true;
    if (r->unknown) /* its run was adopted, and has just ended: it says its schedule now */
        return killed - s->since_us - stopped_us(k->h, true, 0, s->since_us, killed) < SETTLE_US;
    /* Held, who resumes by the schedule waits for longer; and a state tells nobody when exactly it was let go. */
    return r->next_us >= s->due_us - CLOCK_US && (!drain || counts(k) || r->next_us <= s->due_us + CLOCK_US);
}

/* When the program of this run fell silent in this life: it died, was stopped, or another took its id.  0: never. */
static int64_t
silent_us(const struct look *k, const char *run, int64_t killed, uint32_t life)
{
    const struct history_event *b = event_of(k, S_BEGIN, run);
    const int64_t began = k->h->lives[life].began_us;
    int64_t at = 0;
    if (b == NULL)
        return killed; /* its permit did not reach it */
    const struct history_program *p = &k->h->programs[b->who];
    if (p->rivalled)
        return killed;
    for (uint32_t i = 0; i < k->h->n_stops; i++)
        if (!k->h->stops[i].gateway && k->h->stops[i].who == b->who && k->h->stops[i].from_us < killed)
            at = k->h->stops[i].to_us < killed ? k->h->stops[i].to_us : killed;
    if (p->died_us != 0 && p->died_us <= killed)
        at = p->died_us;
    return at == 0 || at > began ? at : began;
}

/* A run that was given up, without a line of it: neither end nor run is in the row.  It was silent a moment ago. */
static bool
row_gave_up(const struct look *k, const struct history_row *r, int64_t killed, uint32_t life)
{
    const int64_t at = k->running && same(r->run, "") && same(r->ended, "") ? silent_us(k, k->run, killed, life) : 0;
    return at != 0 && killed - at - stopped_us(k->h, true, 0, at, killed) < SETTLE_US;
}

/* The row may be ahead of the journal: what came last has no line, because of the kill. */
static bool
row_is_ahead(const struct look *k, const struct history_row *r, int64_t killed, uint32_t life)
{
    const bool ends = !same(r->ended, "") && same(r->run, "");
    if (!same(r->run, ""))
        return decision_of(k, H_PERMIT, r->run, 0) == NULL;
    for (size_t n = 0; n < of(k)->n_decisions; n++)
        if (ends && of(k)->decisions[n].life <= life && of(k)->decisions[n].what == H_ENDED &&
            same(of(k)->decisions[n].run, r->ended))
            return false;
    return ends && killed - r->last_us - stopped_us(k->h, true, 0, r->last_us, killed) < SETTLE_US;
}

/* The row is what the gateway held true at the kill, or a moment before. */
static void
row_agrees(struct look *k, const struct history_row *r, int64_t killed, uint32_t life)
{
    int64_t until = killed;
    for (size_t n = k->n_states; n > 0 && n + STATES_MAX > k->n_states; n--) {
        const struct held *s = &k->states[(n - 1) % STATES_MAX];
        if (killed - until - stopped_us(k->h, true, 0, until, killed) > SETTLE_US)
            break;
        k->fig->rows_agreed++;
        if (row_says(k, r, s, killed))
            return;
        k->fig->rows_agreed--;
        until = s->since_us;
    }
    if (!row_is_ahead(k, r, killed, life) && !row_gave_up(k, r, killed, life))
        fault(k, killed, "its row (run \"%s\", ended \"%s\", next %lld) was not so a moment ago; %s, next %lld",
              r->run, r->ended, (long long)r->next_us, k->running ? k->run : "no run", (long long)k->due_us);
}

/* last_run is the time of an end: of the row's own, of one in the journal, or what the row before said of an end whose
 * line an earlier kill took. */
static void
last_is_known(struct look *k, const struct history_row *r, const struct history_row *before, int64_t killed)
{
    const int64_t said = same(r->ended, "") ? 0 : said_us(k, r->ended);
    bool known = r->last_us == 0 || r->last_us == before->last_us;
    known |= said != 0 && r->last_us >= said - turn_us(k->h, r->last_us);
    if (!same(r->ended, "") && said == 0)
        fault(k, killed, "the row has %s as ended, whose end nobody told", r->ended);
    for (size_t n = 0; n < of(k)->n_decisions && !known; n++) {
        const struct history_decision *d = &of(k)->decisions[n];
        const int64_t after = d->at_us - r->last_us;
        known = d->what == H_ENDED && after >= -CLOCK_US && (after <= CLOCK_US || (counts(k) && after < SETTLE_US));
    }
    if (!known)
        fault(k, killed, "last_run is %lld.%06lld, and no run ended then", (long long)(r->last_us / 1000000),
              (long long)(r->last_us % 1000000));
}

/* The state moves if and only if the end of its run is recorded. */
static void
count_agrees(struct look *k, const struct history_row *r, int64_t killed)
{
    const struct history_event *e = r->count == 0 ? NULL : event_of(k, S_TRY, r->counted);
    if (r->version != r->count)
        fault(k, killed, "the state counts %lu, its version is %lu", r->count, r->version);
    if (r->count > 0 && (e == NULL || event_of(k, S_GONE, r->counted) != NULL))
        fault(k, killed, "the state is of %s, which did not set it", r->counted);
    if (!same(r->ended, "") && !same(r->ended, r->counted))
        fault(k, killed, "%s ended last, and the state is of \"%s\"", r->ended, r->counted);
    if (!same(r->run, "") && same(r->run, r->counted))
        fault(k, killed, "%s is under way, and the state has its end", r->run);
}

static void
status_is_right(struct look *k)
{
    const struct history_row r = {.last_us = of(k)->status_last_us}, none = {.is = false};
    if (of(k)->rows != NULL && r.last_us > of(k)->rows[k->h->n_lives].last_us + CLOCK_US)
        fault(k, r.last_us, "the status has a later last_run than the disk");
    last_is_known(k, &r, of(k)->rows == NULL ? &none : &of(k)->rows[k->h->n_lives - 1], r.last_us);
}

static void
row_is_right(struct look *k, const struct history_row *r, const struct history_row *before, uint32_t life)
{
    const int64_t killed = k->h->lives[life].killed_us;
    row_agrees(k, r, killed, life);
    last_is_known(k, r, before, killed);
    if (r->last_us < before->last_us || r->count < before->count || r->ran < before->ran)
        fault(k, killed, "the row is older than the one before");
    if (counts(k))
        count_agrees(k, r, killed);
}

static void
starts(struct look *k, const struct history_row *r)
{
    k->running = !same(r->run, "");
    k->known = !same(r->ended, "");
    k->lost = false;
    memcpy(k->run, r->run, sizeof(k->run));
    memcpy(k->ended, r->ended, sizeof(k->ended));
    k->due_us = r->ran ? r->next_us : 0; /* the first run ever is due at once, whenever it is asked for */
}

static void
look_at_lives(struct look *k)
{
    const struct history_row none = {.is = false}, *before = &none;
    size_t n = 0;
    for (uint32_t life = 0; life < k->h->n_lives; life++) {
        const int64_t killed = k->h->lives[life].killed_us;
        if (life > 0)
            starts(k, before);
        k->n_states = 0;
        keep_state(k, k->h->lives[life].began_us);
        for (; n < of(k)->n_decisions && of(k)->decisions[n].life == life; n++)
            decide(k, &of(k)->decisions[n]);
        if (killed != 0 && of(k)->rows != NULL) {
            row_is_right(k, &of(k)->rows[life + 1], before, life);
            before = &of(k)->rows[life + 1];
        }
    }
}

/* --- what a connector was told --- */

/* The library doubted the next end it told of. */
static bool
doubted(const struct look *k, const struct history_event *e)
{
    for (size_t n = 0; n < of(k)->n_events; n++) {
        const struct history_event *d = &of(k)->events[n];
        if (d->what == S_DOUBT && d->who == e->who && llabs(d->at_us - e->at_us) < 2 * SETTLE_US)
            return true;
    }
    return false;
}

/* It was told that this end is on the disk: is it there, at every kill since? */
static void
stays(struct look *k, const struct history_event *e)
{
    const struct history_event *b = event_of(k, S_BEGIN, e->run);
    if (b == NULL || of(k)->rows == NULL || (e->what == S_RECORDED && doubted(k, e)))
        return;
    k->fig->recorded++;
    for (uint32_t life = 0; life < k->h->n_lives; life++) {
        const struct history_row *r = &of(k)->rows[life + 1];
        const int64_t killed = k->h->lives[life].killed_us;
        if (killed < e->at_us)
            continue;
        if (r->last_us < b->at_us - turn_us(k->h, b->at_us) || same(r->run, e->run))
            fault(k, killed, "the end of %s was said to be on disk at %lld, and is not", e->run, (long long)e->at_us);
        if (e->what == S_COMMITTED && (r->count < e->number || (r->count == e->number && !same(r->counted, e->run))))
            fault(k, killed, "count %lu of %s was said to be on disk, and %lu of %s is", e->number, e->run, r->count,
                  r->counted);
    }
}

static void
look_at_words(struct look *k)
{
    for (size_t n = 0; n < of(k)->n_events; n++) {
        const struct history_event *e = &of(k)->events[n];
        if (e->what == S_RECORDED || e->what == S_COMMITTED)
            stays(k, e);
        if (e->what == S_FAILED)
            fault(k, e->at_us, "a call of program %u failed with -%lu", e->who, e->number);
        if (e->what == S_REFUSED)
            fault(k, e->at_us, "bundle %lu of program %u was refused", e->number, e->who);
        k->fig->commits += e->what == S_COMMITTED;
    }
}

/* --- runs, as their programs saw them --- */

/* The first kill of the gateway that came within a moment of this, or -1: which of its lives that ended. */
static int64_t
cut_off(const struct look *k, int64_t at)
{
    for (uint32_t life = 0; life < k->h->n_lives; life++) {
        const int64_t killed = k->h->lives[life].killed_us;
        if (killed != 0 && killed >= at - TURN_US)
            return killed - at - stopped_us(k->h, true, 0, at, killed) < SETTLE_US ? (int64_t)life : -1;
    }
    return -1;
}

/* Neither side knew of it any more: its permit was not on disk yet, and its program died before it could say so. */
static bool
forgotten(const struct look *k, const struct history_event *x, const struct history_event *y)
{
    const struct history_program *p = &k->h->programs[x->who];
    const int64_t life = cut_off(k, x->at_us);
    if (life < 0 || !p->killed || p->died_us > y->at_us || decision_of(k, -1, x->run, (uint32_t)life + 1) != NULL)
        return false;
    const struct history_row *r = &of(k)->rows[life + 1];
    return !same(r->run, x->run) && !same(r->ended, x->run);
}

static int64_t
over_us(const struct look *k, const struct history_event *x)
{
    const int64_t said = said_us(k, x->run), died = k->h->programs[x->who].died_us;
    return said != 0 ? said : died != 0 ? died : INT64_MAX;
}

static void
one_after_the_other(struct look *k, const struct history_event *x, const struct history_event *y)
{
    const int64_t over = over_us(k, x), slack = turn_us(k->h, over) + turn_us(k->h, y->at_us) - TURN_US;
    const struct history_decision *lost = decision_of(k, H_LOST, x->run, 0), *p = decision_of(k, H_PERMIT, y->run, 0);
    const bool followed = x->who != y->who && k->h->programs[x->who].rivalled;
    if (followed && y->at_us < over) {
        /* Another program took the id: its run is the only one for the gateway. */
        if ((lost == NULL || p == NULL || lost > p) && cut_off(k, y->at_us) < 0 && !forgotten(k, x, y))
            fault(k, y->at_us, "%s begins while %s of another program is under way and not given up", y->run, x->run);
        return;
    }
    if (over == INT64_MAX || y->at_us < over)
        fault(k, y->at_us, "%s begins while %s runs", y->run, x->run);
    else if (periodic(k) && !followed && y->at_us < over + period_us(k) - slack) {
        if (!forgotten(k, x, y))
            fault(k, y->at_us, "a free run: %s begins %lld ms after the end of %s", y->run,
                  (long long)(y->at_us - over) / 1000, x->run);
        k->fig->forgotten++;
    }
}

static void
look_at_runs(struct look *k)
{
    const struct history_event *before = NULL;
    for (size_t n = 0; n < of(k)->n_events; n++) {
        const struct history_event *e = &of(k)->events[n];
        if (e->what != S_BEGIN)
            continue;
        k->fig->runs++;
        if (event_of(k, S_BEGIN, e->run) != e)
            fault(k, e->at_us, "%s begins a second time", e->run);
        if (decision_of(k, -1, e->run, 0) == NULL) {
            k->fig->without_line++;
            if (cut_off(k, e->at_us) < 0)
                fault(k, e->at_us, "%s runs, and the journal knows nothing of it", e->run);
        }
        if (before != NULL)
            one_after_the_other(k, before, e);
        before = e;
    }
}

/* --- the count --- */

/* Each number was set by one run: as many as there are in the end were set, or were in doubt when a side died. */
static void
look_at_count(struct look *k)
{
    const struct history_row *last = &of(k)->rows[k->h->n_lives];
    for (uint64_t number = 1; number <= last->count; number++) {
        const struct history_event *committed = NULL, *tried = NULL;
        for (size_t n = 0; n < of(k)->n_events; n++) {
            const struct history_event *e = &of(k)->events[n];
            if (e->number != number || (e->what != S_TRY && e->what != S_COMMITTED))
                continue;
            if (e->what == S_COMMITTED && committed != NULL)
                fault(k, e->at_us, "count %lu was set by %s and by %s", number, committed->run, e->run);
            committed = e->what == S_COMMITTED ? e : committed;
            tried = e;
        }
        if (tried == NULL)
            fault(k, 0, "count %lu of %lu was set by nobody", number, last->count);
        k->fig->in_doubt += committed == NULL;
    }
    for (size_t n = 0; n < of(k)->n_decisions; n++) {
        const struct history_decision *d = &of(k)->decisions[n];
        const struct history_event *e = d->what == H_ENDED ? event_of(k, S_TRY, d->run) : NULL;
        if (e != NULL && last->count < e->number)
            fault(k, d->at_us, "%s ended with count %lu, and the last is %lu", d->run, e->number, last->count);
    }
}

uint64_t
history_faults(const struct history *h, struct history_figures *ret)
{
    struct look all = {.h = h, .fig = ret};
    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < h->n_ids; i++) {
        struct look k = {.h = h, .fig = ret, .id = i, .faults = all.faults};
        look_at_lives(&k);
        status_is_right(&k);
        look_at_words(&k);
        look_at_runs(&k);
        if (counts(&k) && h->ids[i].rows != NULL)
            look_at_count(&k);
        all.faults = k.faults;
    }
    return all.faults;
}
