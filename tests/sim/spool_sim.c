/* spool_sim.c - many spools on bad disks, each from its seed, and a model beside each: SEEDS=n how many, SEED=n the
 * first (with TRACE=1 that one, told).
 *
 * After each start: what was answered for is there, in its order, to the byte; nothing is there that nobody gave; what
 * was released and written down does not come back; the disk holds at most twice what is of use and three segments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "disk.h"
#include "err.h"
#include "log.h"
#include "store/spool_log.h"

enum { SEEDS = 1500, STREAMS = 4, TICKETS = 4096, BODY_CAP = 256 * 1024, SEGMENT = 64 * 1024, EPOCH = 7 };

enum fate { UNKNOWN, ANSWERED, FAILED, BURIED_MAYBE };

struct bundle {
    int       stream;
    enum fate fate;
    uint64_t  pos, size, old; /* old: the ticket that it revives */
    bool      released, released_sure;
    bool      dead, dead_maybe; /* by the last answer; or asked for, and not answered */
    bool      there, lost;
    bool      alone;          /* no other of its stream was without an answer */
    uint64_t  before;         /* the ticket before it in its stream; 0: none */
};

struct world {
    struct sim_disk   disk;
    struct chance     chance;
    struct spool_log *log;
    struct bundle     bundles[TICKETS];
    uint64_t          n;        /* the next ticket; 0 is none */
    uint64_t          last[STREAMS], out[STREAMS]; /* ticket, appends without an answer; of each stream */
    unsigned char    *body;
    double            alike;    /* how many are of one size */
    bool              broken, trace, faults;
    int               how;      /* it was damaged */
    bool              hurt;     /* what is lost may be, if it is told of */
    uint64_t          limit;    /* 0: the usual */
    uint64_t          seed, starts, cuts, given, answered, failed, damaged;
    struct log       *words_log; /* of a trace */
    const char       *wrong;
    char              words[300];
};

static const char *const names[STREAMS] = {"a", "feed-b", "misp.c", "a-long-name-of-a-connector-as-there-are-some"};

static uint64_t
number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 10);
}

#define WRONG(w, ...) \
    do { \
        if ((w)->wrong == NULL) { \
            snprintf((w)->words, sizeof((w)->words), __VA_ARGS__); \
            (w)->wrong = (w)->words; \
        } \
    } while (0)
#define TRACE(w, ...) \
    do { \
        if ((w)->trace) \
            print_message(__VA_ARGS__); \
    } while (0)
#define U(x) ((unsigned long long)(x))

/* The bytes of a bundle follow from its ticket. */
static void
body_make(unsigned char *at, uint64_t ticket, uint64_t size)
{
    struct chance c = chance_stream(ticket, 99);

    for (uint64_t i = 0; i < size; i += 8) {
        const uint64_t v = chance_next(&c);

        memcpy(at + i, &v, size - i < 8 ? size - i : 8);
    }
}

static void
told(void *ctx, enum spool_kind kind, uint64_t ticket, bool ok, uint64_t pos, const char *why)
{
    struct world *w = ctx;
    struct bundle *b = &w->bundles[ticket & 0xffffffff];

    TRACE(w, "  told %d ticket %llu ok %d pos %llu %s\n", (int)kind, U(ticket), ok, U(pos), why == NULL ? "" : why);
    if (kind == SPOOL_BROKEN)
        w->broken = true;
    if (kind == SPOOL_BROKEN || kind == SPOOL_SPACE)
        return;
    if (ok && w->disk.dead)
        WRONG(w, "ticket %llu was answered by a dead disk", U(ticket));
    if (kind == SPOOL_BURIED) {
        if (pos != b->pos)
            WRONG(w, "ticket %llu was to be buried at %llu, and is told of at %llu", U(ticket), U(b->pos), U(pos));
        b->dead = b->dead || ok;
        b->dead_maybe = b->dead_maybe && !ok;
        return;
    }
    if (ok && b->fate == ANSWERED)
        WRONG(w, "ticket %llu was answered twice", U(ticket));
    if (b->old == 0)
        w->out[b->stream]--;
    b->fate = ok ? ANSWERED : w->disk.dead || w->broken ? UNKNOWN : FAILED;
    b->pos = pos;
    w->answered += ok;
    w->failed += !ok;
    if (ok && b->old != 0) {
        w->bundles[b->old].released = true;
        w->bundles[b->old].released_sure = true;
    }
}

/* --- what is done to it --- */

static void
append(struct world *w, int stream, uint64_t size)
{
    const uint64_t ticket = w->n;
    const uint64_t cut = size > 1 ? (uint64_t)chance_below(&w->chance, (int64_t)size) : 0;
    struct spool_bundle bundle = {.id = names[stream], .epoch = EPOCH, .seq = ticket, .format = 3, .head = &ticket,
                                  .head_len = sizeof(ticket), .size = size, .dead = chance_is(&w->chance, 0.05),
                                  .alone = w->out[stream] == 0};

    if (ticket == TICKETS)
        return;
    w->n++;
    w->bundles[ticket] = (struct bundle){.stream = stream, .size = size, .dead = bundle.dead, .alone = bundle.alone,
                                         .before = w->last[stream]};
    w->last[stream] = ticket;
    w->out[stream]++;
    TRACE(w, "append %llu to %d, %llu bytes\n", U(ticket), stream, U(size));
    w->given++;
    /* Lent until it is told of; it is told of by the commit that follows at the latest. */
    unsigned char *body = malloc(size);
    body_make(body, ticket, size);
    struct spool_chunk chunks[2] = {{body, cut}, {body + cut, size - cut}};
    spool_log_append(w->log, ticket, &bundle, chunks, 2);
    if (spool_log_waiting(w->log) == 0 || size > 4096)
        spool_log_commit(w->log, chance_is(&w->chance, 0.1));
    free(body); /* a small one is copied */
}

static uint64_t
pick(struct world *w, bool dead)
{
    for (int i = 0; i < 20 && w->n > 1; i++) {
        const uint64_t back = (uint64_t)chance_log(&w->chance, 1, (int64_t)w->n - 1);
        const uint64_t t = chance_is(&w->chance, 0.7) ? (uint64_t)chance_below(&w->chance, (int64_t)w->n) : w->n - back;
        const struct bundle *b = &w->bundles[t];

        if (t > 0 && b->fate == ANSWERED && !b->released && !b->dead_maybe && b->dead == dead)
            return t;
    }
    return 0;
}

static void
release(struct world *w, uint64_t t)
{
    TRACE(w, "release %llu\n", U(t));
    spool_log_release(w->log, names[w->bundles[t].stream], w->bundles[t].pos);
    w->bundles[t].released = true;
}

static void
commit(struct world *w, bool states)
{
    TRACE(w, "commit %d\n", states);
    spool_log_commit(w->log, states);
    if (!states || w->disk.dead || w->broken || spool_log_dirty(w->log))
        return;
    for (uint64_t t = 1; t < w->n; t++)
        w->bundles[t].released_sure = w->bundles[t].released;
}

/* --- what is there --- */

/* A revived one has a ticket of its own in the model, and the bytes of the first. */
static struct bundle *
revived(struct world *w, uint64_t t, uint64_t pos)
{
    for (uint64_t r = w->n - 1; r > t && (w->bundles[t].fate != ANSWERED || w->bundles[t].pos != pos); r--)
        if (w->bundles[r].old == t && (w->bundles[r].pos == pos || w->bundles[r].fate == UNKNOWN))
            return &w->bundles[r];
    return &w->bundles[t];
}

static void
check_found(struct world *w, int stream, const struct spool_answer *a)
{
    const uint64_t t = a->bundle.seq;
    struct bundle *b = t > 0 && t < w->n ? &w->bundles[t] : NULL;

    if (b == NULL || b->stream != stream || a->bundle.size != b->size || a->bundle.epoch != EPOCH ||
        a->bundle.format != 3 || a->bundle.head_len != 8 || memcmp(a->bundle.head, &t, 8) != 0 ||
        strcmp(a->bundle.id, names[stream]) != 0) {
        WRONG(w, "%s %llu: nobody gave this", names[stream], U(a->pos));
        return;
    }
    b = revived(w, t, a->pos);
    body_make(w->body, t, b->size);
    if (memcmp(w->body, a->body, b->size) != 0)
        WRONG(w, "%s %llu: ticket %llu was altered", names[stream], U(a->pos), U(t));
    if (b->fate == FAILED && !w->hurt)
        WRONG(w, "%s %llu: ticket %llu was not taken, and is there", names[stream], U(a->pos), U(t));
    if (b->fate == ANSWERED && b->pos != a->pos)
        WRONG(w, "%s: ticket %llu is at %llu, not at %llu", names[stream], U(t), U(a->pos), U(b->pos));
    if (b->fate == ANSWERED && b->released_sure && !w->hurt)
        WRONG(w, "%s %llu: ticket %llu was released, and is back", names[stream], U(a->pos), U(t));
    if (b->dead && !b->dead_maybe && b->fate == ANSWERED && !w->hurt)
        WRONG(w, "%s %llu: ticket %llu is a dead letter, and was fetched", names[stream], U(a->pos), U(t));
    b->there = true;
    b->pos = a->pos;
}

static void
read_stream(struct world *w, int stream)
{
    uint64_t pos = 1;

    for (;; pos++) {
        struct spool_answer a;
        struct err err = {0};
        const enum spool_found found = spool_log_fetch(w->log, names[stream], &pos, UINT64_MAX, &a, &err);

        if (found == SPOOL_NONE)
            return;
        if (found == SPOOL_UNREADABLE) {
            w->damaged++;
            spool_log_release(w->log, names[stream], w->hurt ? pos : 0);
            if (w->hurt)
                continue;
            WRONG(w, "%s %llu: %s", names[stream], U(pos), err.text);
            return;
        }
        check_found(w, stream, &a);
        free(a.body);
    }
}

static void
see_dead(void *ctx, const struct spool_dead *dead)
{
    struct world *w = ctx;

    for (uint64_t t = 1; t < w->n; t++) {
        struct bundle *b = &w->bundles[t];
        const bool named = dead->bundle.seq == t && strcmp(dead->bundle.id, names[b->stream]) == 0;

        if (!named || b->old != 0)
            continue;
        b = revived(w, t, dead->pos);
        if (b->fate == ANSWERED && b->released_sure && !w->hurt)
            WRONG(w, "ticket %llu was released, and is a dead letter again", U(t));
        if (dead->bundle.size != b->size && !w->hurt)
            WRONG(w, "the dead letter of ticket %llu has %llu bytes", U(t), U(dead->bundle.size));
        b->there = true;
        b->dead = true;
        b->pos = dead->pos;
        return;
    }
    if (w->hurt) /* its place is known, and no more */
        return;
    WRONG(w, "a dead letter that nobody gave: %s %llu, ticket %llu",
          dead->bundle.id, U(dead->pos), U(dead->bundle.seq));
}

static void
see_stream(void *ctx, const struct spool_stream *stream)
{
    struct world *w = ctx;
    uint64_t count = 0, bytes = 0, last = 0;

    for (uint64_t t = 1; t < w->n; t++) {
        const struct bundle *b = &w->bundles[t];

        if (strcmp(stream->id, names[b->stream]) != 0)
            continue;
        count += b->there && !b->dead;
        bytes += b->there && !b->dead ? b->size : 0;
        if (b->old == 0 && b->fate == ANSWERED && t > last)
            last = t;
        if (b->fate == ANSWERED && b->pos >= stream->next && (!w->hurt || b->there))
            WRONG(w, "%s: position %llu is to be given again", stream->id, U(b->pos));
    }
    if (!w->hurt && (count != stream->count || bytes != stream->bytes))
        WRONG(w, "%s: %llu bundles of %llu bytes, told as %llu of %llu", stream->id, U(count), U(bytes),
              U(stream->count), U(stream->bytes));
    /* It passes nothing that is not there, back to one that was alone. */
    for (uint64_t t = stream->seq; !w->hurt && t != 0 && !w->bundles[t].alone; t = w->bundles[t].before) {
        const struct bundle *b = &w->bundles[w->bundles[t].before];

        if (!b->there && !b->released && b->fate != ANSWERED)
            WRONG(w, "%s: the mark is at %llu, and %llu before it is not there", stream->id, U(stream->seq),
                  U(w->bundles[t].before));
    }
    if (!w->hurt && stream->seq < last)
        WRONG(w, "%s: the mark is at %llu, and %llu was answered", stream->id, U(stream->seq), U(last));
}

/* After a start: what was not answered is there or not; from here on that is known. */
static void
check_all(struct world *w, bool settled)
{
    for (uint64_t t = 1; t < w->n; t++)
        w->bundles[t].there = false;
    /* What was to be buried may be, or not. */
    for (uint64_t t = 1; t < w->n; t++)
        if (w->bundles[t].dead_maybe && settled)
            w->bundles[t].dead = false;
    spool_log_dead(w->log, see_dead, w);
    for (int i = 0; i < STREAMS; i++)
        read_stream(w, i);
    spool_log_streams(w->log, see_stream, w);
    if (spool_log_aside(w->log) > 0 && !w->hurt)
        WRONG(w, "%llu bytes are aside, and nothing was damaged", U(spool_log_aside(w->log)));
    for (uint64_t t = 1; t < w->n; t++)
        if (w->bundles[t].old != 0 && w->bundles[t].there)
            w->bundles[w->bundles[t].old].released = true;
    for (uint64_t t = 1; t < w->n; t++) {
        struct bundle *b = &w->bundles[t];

        if (b->fate == ANSWERED && !b->released && !b->there)
            b->lost = w->hurt;
        if (b->fate == ANSWERED && !b->released && !b->there && !w->hurt)
            WRONG(w, "ticket %llu was answered for at %s %llu, and is lost", U(t), names[b->stream], U(b->pos));
        if (!settled)
            continue;
        b->dead_maybe = false;
        if (b->there) {
            b->fate = ANSWERED;
            b->released = false; /* it came back */
        } else if (b->fate == UNKNOWN) {
            b->fate = FAILED;
        } else {
            b->released = b->released_sure = true;
        }
    }
}

static bool
start(struct world *w)
{
    struct spool_config config = {
        .dir = "/spool", .limit = w->limit > 0 ? w->limit : 3 << 20, .segment = SEGMENT, .disk = &w->disk.table};
    struct err err = {0};

    w->broken = false;
    memset(w->out, 0, sizeof(w->out));
    struct log *const words = w->trace ? w->words_log : NULL;
    w->log = spool_log_open(&config, told, w, words, &err);
    TRACE(w, "start %llu: %s\n", U(w->starts), w->log == NULL ? err.text : "open");
    w->starts++;
    if (w->log == NULL && !w->disk.dead && !w->faults)
        WRONG(w, "it does not start: %s", err.text);
    return w->log != NULL;
}

/* Its end, by a kill or a power cut, as often as it takes to start again. */
static void
restart(struct world *w)
{
    bool cut = chance_is(&w->chance, 0.6);

    w->disk.dead = true;
    spool_log_close(w->log);
    w->log = NULL;
    for (int i = 0; w->log == NULL && w->wrong == NULL; i++) {
        TRACE(w, "%s\n", cut ? "power cut" : "kill");
        w->cuts += cut;
        if (cut)
            sim_disk_cut(&w->disk);
        else
            sim_disk_restart(&w->disk);
        if (i < 4 && chance_is(&w->chance, 0.4))
            w->disk.dies_at = w->disk.ops + (uint64_t)chance_below(&w->chance, 30);
        if (!start(w)) {
            cut = chance_is(&w->chance, 0.6);
            continue;
        }
        if (w->disk.dead || w->broken) {
            w->disk.dead = true;
            spool_log_close(w->log);
            w->log = NULL;
            cut = true;
        }
    }
    w->disk.dies_at = 0;
    if (w->log != NULL)
        check_all(w, true);
}

/* With nothing to do, and all cleaned up, the disk is within its bound. */
static void
check_disk(struct world *w)
{
    const double eio = w->disk.eio, nospace = w->disk.nospace, flush = w->disk.flush;
    struct spool_figures f;

    w->disk.eio = w->disk.nospace = w->disk.flush = 0;
    commit(w, true);
    while (spool_log_clean(w->log, 1 << 20))
        continue;
    commit(w, true);
    w->disk.eio = eio;
    w->disk.nospace = nospace;
    w->disk.flush = flush;
    spool_log_figures(w->log, &f);
    if (w->broken || w->disk.dead || spool_log_dirty(w->log))
        return;
    if (f.disk > 2 * spool_log_held(w->log) + 3 * SEGMENT + spool_log_aside(w->log))
        WRONG(w, "%llu bytes of disk for %llu", U(f.disk), U(spool_log_held(w->log)));
}

static uint64_t
draw_size(struct world *w)
{
    if (chance_is(&w->chance, 0.02))
        return (uint64_t)chance_log(&w->chance, 1, 100000);
    if (chance_is(&w->chance, w->alike))
        return 1200; /* so that what was torn fits behind what is written anew */
    return (uint64_t)chance_log(&w->chance, 1, chance_is(&w->chance, 0.3) ? 8000 : 2000);
}

static void
act(struct world *w)
{
    const int64_t what = chance_below(&w->chance, 100);
    uint64_t t;

    if (what < 45) {
        append(w, (int)chance_below(&w->chance, STREAMS), draw_size(w));
    } else if (what < 70) {
        for (int64_t n = chance_log(&w->chance, 1, 20); n > 0 && (t = pick(w, chance_is(&w->chance, 0.1))) != 0; n--)
            release(w, t);
    } else if (what < 74) {
        if ((t = pick(w, false)) != 0) {
            TRACE(w, "bury %llu\n", U(t));
            w->bundles[t].dead_maybe = true;
            spool_log_bury(w->log, t, names[w->bundles[t].stream], w->bundles[t].pos);
            commit(w, false);
        }
    } else if (what < 77) {
        if ((t = pick(w, true)) != 0 && w->n < TICKETS && w->bundles[t].old == 0) {
            TRACE(w, "revive %llu as %llu\n", U(t), U(w->n));
            w->bundles[w->n] = (struct bundle){.stream = w->bundles[t].stream, .size = w->bundles[t].size, .old = t};
            w->n++;
            spool_log_revive(w->log, w->n - 1, names[w->bundles[t].stream], w->bundles[t].pos);
        }
    } else if (what < 88) {
        commit(w, chance_is(&w->chance, 0.5));
    } else if (what < 98) {
        commit(w, false);
        spool_log_clean(w->log, (uint64_t)chance_log(&w->chance, 100, 100000));
    } else {
        commit(w, false);
        if (!w->disk.dead && !w->broken)
            check_all(w, false);
        check_disk(w);
    }
}

static void
close_world(struct world *w)
{
    w->disk.dead = true;
    spool_log_close(w->log);
    sim_disk_free(&w->disk);
    log_free(w->words_log);
    free(w->body);
}

/* In the end all is released, but one of many: then a disk that was full takes again, by itself. */
static void
drain(struct world *w)
{
    uint64_t last;

    w->disk.eio = w->disk.nospace = w->disk.flush = 0;
    w->disk.dies_at = 0;
    commit(w, false);
    for (uint64_t t = 1; t < w->n; t++)
        if (w->bundles[t].fate == ANSWERED && !w->bundles[t].released && t % 16 != 0)
            release(w, t);
    check_disk(w);
    check_disk(w); /* what the first made room for */
    if (w->n == TICKETS || w->broken || w->disk.dead)
        return;
    last = w->n;
    append(w, 0, 100);
    commit(w, true);
    if (w->bundles[last].fate != ANSWERED)
        WRONG(w, "it is full, and has %llu bytes", U(spool_log_held(w->log)));
    check_all(w, false);
}

static const char *
run(struct world *w, uint64_t seed, bool trace)
{
    memset(w, 0, sizeof(*w));
    w->seed = seed;
    w->n = 1;
    w->trace = trace;
    w->words_log = trace ? log_new(2, LOG_KEYVALUE, LOG_DEBUG, NULL) : NULL;
    w->body = malloc(BODY_CAP);
    w->chance = chance_stream(seed, 0);
    sim_disk_init(&w->disk, seed, chance_is(&w->chance, 0.3) ? 1 << 20 : 64 << 20);
    if (!start(w))
        return w->wrong;
    w->alike = chance_is(&w->chance, 0.4) ? 0.95 : 0;
    w->faults = chance_is(&w->chance, 0.4);
    if (w->faults) {
        w->disk.eio = chance_is(&w->chance, 0.5) ? 0.01 : 0;
        w->disk.nospace = chance_is(&w->chance, 0.5) ? 0.01 : 0;
        w->disk.flush = chance_is(&w->chance, 0.5) ? 0.01 : 0;
    }
    w->disk.brief = chance_is(&w->chance, 0.3) ? 0.05 : 0;
    for (int64_t steps = chance_log(&w->chance, 50, 400); steps > 0 && w->wrong == NULL; steps--) {
        if (chance_is(&w->chance, 0.02))
            w->disk.dies_at = w->disk.ops + (uint64_t)chance_below(&w->chance, 20);
        act(w);
        if (w->log != NULL && (w->disk.dead || w->broken || chance_is(&w->chance, 0.01)))
            restart(w);
    }
    if (w->wrong == NULL)
        drain(w);
    return w->wrong;
}

static void
whatever_befalls_the_disk_what_was_answered_for_is_there(void **state)
{
    const uint64_t first = number("SEED", 1), trace = number("TRACE", 0);
    const uint64_t n = trace ? 1 : number("SEEDS", SEEDS);
    struct world *w = malloc(sizeof(*w));
    uint64_t starts = 0, cuts = 0, answered = 0, failed = 0;

    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        const char *wrong = run(w, seed, trace != 0);
        char words[300];

        snprintf(words, sizeof(words), "%s", wrong == NULL ? "" : wrong);
        starts += w->starts;
        cuts += w->cuts;
        answered += w->answered;
        failed += w->failed;
        close_world(w);
        if (wrong != NULL) {
            free(w);
            fail_msg("seed %llu: %s (again with SEED=%llu TRACE=1)", U(seed), words, U(seed));
        }
    }
    free(w);
    print_message("%llu spools, %llu starts, %llu power cuts; %llu answered, %llu refused\n", U(n), U(starts), U(cuts),
                  U(answered), U(failed));
}

/* A part of a segment's file is not what it was: a bit, a page, its end; or two have each other's names. */
static void
damage(struct world *w)
{
    struct sim_disk *d = &w->disk;
    const int64_t how = chance_below(&w->chance, 4);
    w->how = (int)how;
    int segments[SIM_FILES], n = 0;

    for (int i = 0; i < d->now.n; i++)
        if (strncmp(d->now.list[i].name, "seg-", 4) == 0)
            segments[n++] = i;
    if (n == 0)
        return;
    struct sim_name *name = &d->now.list[segments[chance_below(&w->chance, n)]];
    struct sim_file *f = &d->files[name->file];
    const uint64_t at = chance_is(&w->chance, 0.5) ? (uint64_t)chance_log(&w->chance, 1, (int64_t)f->size) - 1
                                                   : (uint64_t)chance_below(&w->chance, (int64_t)f->size);
    TRACE(w, "damage %d at %llu of %s\n", (int)how, U(at), name->name);
    if (how == 0) {
        f->now[at] ^= (unsigned char)(1 << chance_below(&w->chance, 8));
    } else if (how == 1) {
        memset(f->now + at, 0, f->size - at < 4096 ? f->size - at : 4096);
    } else if (how == 2) {
        memset(f->now + at, 0, f->size - at);
        f->size = at;
    } else {
        struct sim_name *other = &d->now.list[segments[chance_below(&w->chance, n)]];
        const int file = name->file;

        name->file = other->file;
        other->file = file;
    }
}

static void
damage_takes_what_it_hit_and_the_spool_goes_on(void **state)
{
    const uint64_t first = number("SEED", 1), n = number("SEEDS", SEEDS);
    struct world *w = malloc(sizeof(*w));
    uint64_t lost[4] = {0}, there[4] = {0};

    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        memset(w, 0, sizeof(*w));
        w->n = 1;
        w->trace = number("TRACE", 0) != 0;
        w->body = malloc(BODY_CAP);
        w->chance = chance_stream(seed, 2);
        sim_disk_init(&w->disk, seed, 64 << 20);
        assert_true(start(w));
        for (int64_t steps = chance_log(&w->chance, 20, 300); steps > 0; steps--)
            act(w);
        if (chance_is(&w->chance, 0.5))
            commit(w, true);
        spool_log_close(w->log);
        damage(w);
        w->hurt = true;
        if (start(w)) {
            check_all(w, true);
            for (uint64_t t = 1; t < w->n; t++) {
                lost[w->how] += w->bundles[t].lost;
                there[w->how] += w->bundles[t].there;
            }
            drain(w);
        }
        const bool wrong = w->wrong != NULL;
        close_world(w);
        if (wrong) {
            print_message("seed %llu: %s\n", U(seed), w->words);
            free(w);
            fail();
        }
    }
    free(w);
    static const char *const hows[] = {"a bit", "a page", "an end", "two names"};
    for (int i = 0; i < 4; i++)
        print_message("%s: %llu bundles there, %llu lost\n", hows[i], U(there[i]), U(lost[i]));
}

static void
kill_and_start(struct world *w)
{
    w->disk.dead = true;
    spool_log_close(w->log);
    sim_disk_restart(&w->disk);
    assert_true(start(w));
    check_all(w, true);
    assert_null(w->wrong);
}

static void
what_was_torn_does_not_come_back_behind_what_is_written_in_its_place(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned char first[600], *at;
    uint64_t size;

    (void)state;
    w->n = 1;
    w->body = malloc(BODY_CAP);
    sim_disk_init(&w->disk, 1, 64 << 20);
    assert_true(start(w));
    append(w, 0, 600);
    commit(w, false);
    w->disk.dies_at = w->disk.ops + 1; /* the write passes, the flush does not */
    for (int i = 0; i < 3; i++)
        append(w, 0, 600);
    commit(w, false);
    assert_true(w->disk.dead);
    /* The first of the three did not reach the disk. */
    body_make(first, 2, sizeof(first));
    at = sim_disk_bytes(&w->disk, "seg-0000000000000004.log", &size);
    assert_non_null(at);
    at = memmem(at, size, first, sizeof(first));
    assert_non_null(at);
    memset(at, 0, sizeof(first));
    kill_and_start(w);
    assert_int_equal(w->bundles[2].fate, FAILED);
    assert_int_equal(w->bundles[4].fate, FAILED);
    append(w, 0, 600);
    commit(w, false);
    assert_int_equal(w->bundles[5].fate, ANSWERED);
    kill_and_start(w);
    close_world(w);
    free(w);
}

/* Others took what was free, too: all that there is are the two reserves. */
static void
a_disk_full_to_the_brim_with_one_live_record_in_each_segment_recovers_by_itself(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct spool_figures full, after;

    (void)state;
    w->n = 1;
    w->body = malloc(BODY_CAP);
    sim_disk_init(&w->disk, 1, 2 << 20);
    w->limit = UINT64_MAX;
    assert_true(start(w));
    while (w->n < TICKETS && w->failed == 0)
        append(w, 0, 4100);
    assert_true(w->failed > 0);
    spool_log_figures(w->log, &full);
    assert_true(full.full && full.disk >= (2 << 20) - SEGMENT);
    w->disk.capacity = full.disk + 64; /* FORMAT and the lock */
    for (uint64_t t = 1; t < w->n - 1; t++)
        if (t % 13 != 0)
            release(w, t);
    check_disk(w);
    check_all(w, false);
    spool_log_figures(w->log, &after);
    assert_null(w->wrong);
    assert_false(after.full);
    assert_true(after.disk < full.disk / 4);
    w->failed = 0;
    append(w, 0, 4100);
    assert_true(w->failed == 0);
    close_world(w);
    free(w);
}

/* A stream that is stuck beside one that flows for long: what is held is copied about once. */
static void
a_stuck_stream_beside_a_flowing_one_keeps_the_disk_within_its_bound(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct spool_figures f;
    uint64_t most = 0;

    (void)state;
    w->n = 1;
    w->body = malloc(BODY_CAP);
    sim_disk_init(&w->disk, 1, 64 << 20);
    w->limit = UINT64_MAX;
    assert_true(start(w));
    while (w->n < TICKETS) {
        const uint64_t t = w->n;

        append(w, t % 20 == 0 ? 1 : 0, 3000);
        commit(w, t % 8 == 0);
        if (t % 20 != 0)
            release(w, t);
        spool_log_clean(w->log, 16 * 1024);
        spool_log_figures(w->log, &f);
        if (f.disk > 2 * spool_log_held(w->log) + 5 * SEGMENT)
            WRONG(w, "%llu bytes of disk for %llu", U(f.disk), U(spool_log_held(w->log)));
        most = f.disk > most ? f.disk : most;
    }
    check_disk(w);
    check_all(w, false);
    if (w->wrong != NULL)
        fail_msg("%s", w->wrong);
    spool_log_figures(w->log, &f);
    print_message("%llu bytes held, at most %llu on the disk; %.2f written for each given\n", U(spool_log_held(w->log)),
                  U(most), (double)f.written / (double)f.appended_bytes);
    assert_true(f.written < f.appended_bytes * 5 / 4);
    close_world(w);
    free(w);
}

/* One history, cut at each of its writes. */
static void
a_power_cut_after_any_write_of_a_history_loses_nothing(void **state)
{
    const uint64_t most = number("CUTS", 600), only = number("CUT", 0);
    struct world *w = malloc(sizeof(*w));
    uint64_t at = only > 0 ? only : 1;
    bool over = false;

    (void)state;
    for (; !over && at <= most; at++) {
        memset(w, 0, sizeof(*w));
        w->n = 1;
        w->trace = only > 0;
        w->body = malloc(BODY_CAP);
        w->chance = chance_stream(4711, 0);
        sim_disk_init(&w->disk, at, 64 << 20);
        assert_true(start(w));
        w->disk.dies_at = w->disk.ops + at;
        for (int i = 0; i < 700 && !w->disk.dead && w->wrong == NULL; i++)
            act(w);
        over = !w->disk.dead;
        w->disk.dead = true;
        spool_log_close(w->log);
        w->log = NULL;
        sim_disk_cut(&w->disk);
        if (start(w))
            check_all(w, true);
        const bool wrong = w->wrong != NULL;
        close_world(w);
        if (wrong) {
            print_message("cut %llu: %s\n", U(at), w->words);
            free(w);
            fail();
        }
    }
    free(w);
    print_message("%llu cuts\n", U(at));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_befalls_the_disk_what_was_answered_for_is_there),
        cmocka_unit_test(damage_takes_what_it_hit_and_the_spool_goes_on),
        cmocka_unit_test(what_was_torn_does_not_come_back_behind_what_is_written_in_its_place),
        cmocka_unit_test(a_disk_full_to_the_brim_with_one_live_record_in_each_segment_recovers_by_itself),
        cmocka_unit_test(a_stuck_stream_beside_a_flowing_one_keeps_the_disk_within_its_bound),
        cmocka_unit_test(a_power_cut_after_any_write_of_a_history_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
