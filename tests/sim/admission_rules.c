/* admission_rules.c - what the core may let in, by the bytes that only this world knows. */
#include "admission_parts.h"

#include <string.h>

enum { CHANGES_MOST = 40,
       DECIDED = WIRE_HOLD_QUEUE | WIRE_HOLD_BUDGET | WIRE_HOLD_TELEMETRY_STALE };

/* What is in a queue of ours, or may come yet, and what a sample showed of others. */
static uint64_t
truth(const struct adm *w, uint32_t queue)
{
    const struct queue_world *q = &w->queues[queue];

    return q->model.ours + q->pending + (w->faults[ADM_FOREIGN].at == 0 ? 0 : model_others(&q->model, q->seen));
}

uint64_t
rules_threshold(const struct adm *w, const struct program *p)
{
    const struct core_connector *c = &w->connectors[p->number];

    if (!p->word_said || p->fate->word == DECIDE_NONE || (c->threshold_fixed && p->fate->word > c->threshold))
        return c->threshold;
    return p->fate->word;
}

/* The sum of what is before connectors, in a group or in all. */
static uint64_t
sum(const struct adm *w, uint32_t group)
{
    uint64_t all = 0;

    for (uint32_t q = 0; q < w->fate->n_queues; q++) {
        bool used = false;

        for (uint32_t p = 0; p < w->fate->n_peers; p++)
            used = used || w->connectors[p].queue == q;
        if (used && (group == 0 || w->queues[q].cfg.group == group))
            all += truth(w, q);
    }
    return all;
}

static bool
stale(const struct adm *w, uint32_t queue)
{
    return w->queues[queue].asked_us < 0 ||
           w->now_us - w->queues[queue].asked_us > w->limits.stale_after_us + LOOK_US + STEP_US;
}

static bool
over_budget(const struct adm *w, uint32_t queue)
{
    const uint32_t group = w->queues[queue].cfg.group;

    return sum(w, 0) >= w->limits.budget[0] || (group != 0 && sum(w, group) >= w->limits.budget[group]);
}

static void
overshoot(struct adm *w, uint64_t before, uint64_t bytes, uint64_t threshold)
{
    uint64_t part;

    if (before + bytes <= threshold || bytes == 0)
        return;
    part = (before + bytes - threshold) * 10 / bytes;
    w->fig->overshoot[part < ADM_OVERSHOOTS ? part : ADM_OVERSHOOTS - 1]++;
}

void
rules_publish(struct adm *w, const struct core_effect *e)
{
    struct program *p = &w->peers[w->bodies[e->u.publish.slot].peer];
    const struct body *b = &w->bodies[e->u.publish.slot];
    const uint32_t q = w->connectors[p->number].queue;
    const uint64_t there = truth(w, q), threshold = rules_threshold(w, p);

    if (w->now_us >= w->fate->warm_us) {
        const int64_t waited_us = w->now_us - p->made_us[b->seq % RING];

        w->fig->passed[p->number] += b->bytes - b->went_bytes;
        if (e->u.publish.epoch == p->epoch && waited_us > w->fig->waited_us[p->number])
            w->fig->waited_us[p->number] = waited_us;
    }
    if (e->u.publish.target != q)
        adm_breaks(w, "a bundle is published to a queue that is not its connector's");
    if (w->limits.run_on_stale)
        return;
    if (stale(w, q))
        adm_breaks(w, "a bundle starts on figures that are too old");
    if (there >= threshold) {
        TELL(w, "%s: %llu there, threshold %llu", p->id, (unsigned long long)there, (unsigned long long)threshold);
        adm_breaks(w, "a bundle starts though its queue holds the threshold");
    }
    if (over_budget(w, q))
        adm_breaks(w, "a bundle starts though a budget is spent");
    overshoot(w, there, b->bytes - b->went_bytes, threshold);
}

static struct program *
named(struct adm *w, const char *id)
{
    for (uint32_t i = 0; id != NULL && i < w->fate->n_peers; i++)
        if (strcmp(w->peers[i].id, id) == 0)
            return &w->peers[i];
    return NULL;
}

static void
permit(struct adm *w, struct program *p)
{
    const struct adm_peer *f = p->fate;
    const uint32_t q = w->connectors[p->number].queue, publisher = w->connectors[p->number].publisher;
    const bool first_free = !p->first_over && f->kind == WIRE_S_PERIOD + 1 && !f->check_first;

    w->fig->permits++;
    w->fig->firsts += first_free && truth(w, q) >= rules_threshold(w, p);
    p->first_over = true;
    if (p->paused)
        adm_breaks(w, "a run is permitted of who is paused");
    if (!w->pubs[publisher].up || w->pubs[publisher].blocked || w->alarm)
        adm_breaks(w, "a run is permitted though the broker takes nothing");
    if (w->limits.run_on_stale)
        return;
    if (stale(w, q))
        adm_breaks(w, "a run is permitted on figures that are too old");
    if (!first_free && truth(w, q) >= rules_threshold(w, p))
        adm_breaks(w, "a run is permitted though its queue holds the threshold");
    if (over_budget(w, q))
        adm_breaks(w, "a run is permitted though a budget is spent");
}

static void
gate_changed(struct adm *w, struct program *p)
{
    if (w->now_us - p->change_us >= SECOND) {
        p->change_us = w->now_us;
        p->changes = 0;
    }
    p->changes++;
    w->fig->gate_changes++;
    if (p->changes > w->fig->gate_changes_most)
        w->fig->gate_changes_most = p->changes;
    if (p->changes > CHANGES_MOST)
        adm_breaks(w, "a gate flaps");
}

void
rules_journal(struct adm *w, const struct core_effect *e)
{
    const struct decide_inputs *in = e->u.journal.inputs;
    struct program *p = named(w, e->u.journal.id);

    if (in != NULL) {
        w->fig->replayed++;
        if ((decide(in) & DECIDED) != (e->u.journal.reasons & DECIDED)) {
            TELL(w, "%s: %s for %x, and by its figures %x", e->u.journal.id, e->u.journal.what, e->u.journal.reasons,
                 decide(in));
            adm_breaks(w, "a decision does not follow from its figures");
        }
    }
    if (p == NULL)
        return;
    TELL(w, "%s: %s %x", p->id, e->u.journal.what, e->u.journal.reasons);
    if (strcmp(e->u.journal.what, "permit") == 0)
        permit(w, p);
    else if (strncmp(e->u.journal.what, "gate_", 5) == 0)
        gate_changed(w, p);
    else if (strcmp(e->u.journal.what, "adopted") == 0)
        p->first_over = true;
    else if (strcmp(e->u.journal.what, "hold") == 0)
        w->fig->holds++;
    w->fig->shares += (e->u.journal.reasons & WIRE_HOLD_SHARE) != 0;
}

/* Figures that are too old hold everybody who is before that queue. */
static void
look_at_age(struct adm *w, struct program *p)
{
    struct core_status s;
    uint32_t number;

    if (!stale(w, w->connectors[p->number].queue) || !core_number(w->core, p->id, &number) ||
        !core_status(w->core, number, &s) || !s.connected || w->limits.run_on_stale)
        return;
    w->fig->stale_looks++;
    if ((s.reasons & WIRE_HOLD_TELEMETRY_STALE) != 0)
        return;
    TELL(w, "%s: held by %x; queue %u, asked at %.2f, threshold %lld, upper %lld (%u)", p->id, s.reasons, s.queue,
         (double)w->queues[s.queue].asked_us / 1e6, (long long)s.threshold, (long long)s.gauge.upper,
         (unsigned)s.gauge.why);
    adm_breaks(w, "figures are too old, and do not hold");
}

void
rules_look(struct adm *w)
{
    const char *wrong = core_check(w->core);
    uint64_t highest[ADM_QUEUES] = {0};

    if (wrong != NULL)
        adm_breaks(w, wrong);
    for (uint32_t i = 0; i < w->fate->n_peers; i++) {
        struct program *p = &w->peers[i];
        const uint64_t t = rules_threshold(w, p);

        p->threshold = t > p->threshold ? t : p->threshold;
        if (w->peers[i].threshold > highest[w->connectors[i].queue])
            highest[w->connectors[i].queue] = w->peers[i].threshold;
        if ((w->now_us / STEP_US) % 10 == 0)
            look_at_age(w, p);
    }
    for (uint32_t q = 0; q < w->fate->n_queues; q++)
        if (!w->limits.run_on_stale && highest[q] > 0 && w->faults[ADM_RELOAD].at == 0 &&
            w->queues[q].model.ours > highest[q] + w->fate->bundle_max)
            adm_breaks(w, "a queue is above its highest threshold by more than a bundle");
}
