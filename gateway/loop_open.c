/* loop_open.c - opening and closing: the order in which the parts come to be, and go. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "admin/operators.h"
#include "bodies.h"
#include "clock.h"
#include "dead.h"
#include "doors/door.h"
#include "formats/former.h"
#include "err.h"
#include "loop_parts.h"
#include "mailbox.h"
#include "plan.h"
#include "settings.h"
#include "states.h"
#include "store/journal.h"
#include "targets.h"

static void
load_mark(void *ctx, const struct state_mark *m)
{
    struct loop *l = ctx;
    struct core_event e = {.kind = CORE_MARK};

    e.u.mark.id = m->connector;
    e.u.mark.epoch = m->epoch;
    e.u.mark.answered = m->answered;
    effects_step(l, &e);
}

static void
step(void *ctx, const struct core_event *e)
{
    effects_step(ctx, e);
}

static int
open_core(struct loop *l, struct err *err)
{
    const struct settings *s = l->settings;
    struct core_config c = {
        .memory_limit = s->memory.limit,
        .max_bundle = s->memory.max_bundle,
        .chunk = s->door.chunk,
        .ping_us = s->door.ping_us,
        .missed = s->door.missed,
        .publishers = (uint32_t)s->broker.connections,
    };

    if (getrandom(&c.seed, sizeof(c.seed), 0) != (ssize_t)sizeof(c.seed))
        return err_set(err, ERR_IO, errno, "no randomness from the system");
    l->core = core_new(&c, err);
    l->sink = (struct core_sink){effects_take, l};
    return l->core == NULL ? -1 : 0;
}

static int
open_publishers(struct loop *l, struct err *err)
{
    l->hosts = plan_broker(l->settings, &l->pub_config, err);
    if (l->hosts == NULL)
        return -1;
    for (int i = 0; i < l->settings->broker.connections; i++) {
        l->publishers[i] = publisher_start(&l->pub_config, (uint32_t)i, l->pub_events, l->log, err);
        if (l->publishers[i] == NULL)
            return -1;
    }
    return 0;
}

static int
open_door(struct loop *l, struct err *err)
{
    const struct settings *s = l->settings;
    const struct door_config c = {
        .endpoint = s->door.endpoint,
        .backlog = s->door.backlog,
        .rcvhwm = s->door.rcvhwm,
        .max_frame = WIRE_CHUNK_MAX, /* whatever door.chunk says of bundles: chunks of a state are that long */
    };

    l->door = door_open(&c, err);
    return l->door == NULL ? -1 : 0;
}

static int
open_signals(struct loop *l, struct err *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    l->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return l->signals < 0 ? err_set(err, ERR_IO, errno, "signalfd") : 0;
}

static int
open_stores(struct loop *l, struct err *err)
{
    const struct states_hands hands = {effects_send, step, l};

    l->pub_events = mailbox_new(sizeof(struct pub_event), err);
    l->answers = mailbox_new(sizeof(struct state_answer), err);
    l->formed = mailbox_new(sizeof(struct former_result), err);
    l->bodies = bodies_new(err);
    l->targets = targets_new(err);
    if (l->pub_events == NULL || l->answers == NULL || l->formed == NULL || l->bodies == NULL || l->targets == NULL)
        return -1;
    l->state = state_open(l->settings->state.dir, l->answers, l->log, err);
    if (l->state == NULL)
        return -1;
    l->dead = dead_new(err);
    if (l->dead == NULL || spooled_open(l, err) != 0)
        return -1;
    l->states = states_new(l->state, &hands, err);
    if (l->states == NULL)
        return -1;
    l->journal = journal_open(l->settings->state.dir, l->settings->journal.limit, l->log, err);
    l->former = l->journal == NULL ? NULL : former_start(l->formed, err);
    return l->former == NULL ? -1 : 0;
}

struct loop *
loop_new(struct settings *settings, const struct loop_source *source, struct log *log, struct err *err)
{
    struct loop *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        settings_free(settings);
        err_set(err, ERR_NOMEM, 0, "loop");
        return NULL;
    }
    l->settings = l->first = settings;
    l->source = *source;
    l->log = log;
    l->signals = -1;
    l->now_us = clock_mono_us();
    /* The door comes last: what it lets in must have somewhere to go. */
    if (open_signals(l, err) != 0 || open_stores(l, err) != 0 || letters_load(l, err) != 0 || open_core(l, err) != 0 ||
        open_publishers(l, err) != 0 || measures_open(l, err) != 0 || loop_configure(l, settings, err) != 0 ||
        state_marks(l->state, load_mark, l, err) != 0 || spooled_load(l, err) != 0 || schedules_load(l, err) != 0 ||
        schedules_open_operators(l, err) != 0 || open_door(l, err) != 0) {
        loop_free(l);
        return NULL;
    }
    letters_tidy(l);
    return l;
}

void
loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    door_close(l->door);
    operators_close(l->operators);
    for (int i = 0; i < CORE_PUBLISHERS_MAX; i++) {
        publisher_free(l->publishers[i], 1000000);
        free(l->batches[i].at);
    }
    measures_close(l);
    spooled_close(l);
    letters_forget(l);
    former_free(l->former);
    formed_forget(l);
    state_close(l->state);
    states_free(l->states);
    journal_close(l->journal);
    core_free(l->core);
    bodies_free(l->bodies);
    targets_free(l->targets);
    mailbox_free(l->pub_events);
    mailbox_free(l->answers);
    mailbox_free(l->formed);
    free(l->hosts);
    if (l->signals >= 0)
        close(l->signals);
    if (l->settings != l->first)
        settings_free(l->settings);
    settings_free(l->first);
    free(l);
}
