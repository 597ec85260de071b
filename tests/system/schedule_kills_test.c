/* schedule_kills_test.c - gateway and connectors are killed at random, KILLS times (200) from SEED (the time), and no
 * schedule goes wrong by it.  The rules are in history_rules.c; what is new here is chance and the clock. */
#include "must.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "consumer.h"
#include "history.h"
#include "ledger.h"
#include "sim/chance.h"
#include "sluice/sluice.h"
#include "sluiced.h"
#include "stage.h"
#include "world.h"

enum {
    KILLS = 200,
    PING_MS = 300,        /* who is silent for three of them, if only by a busy machine, loses its run */
    MISSED_MS = 3 * PING_MS,
    RECONNECT_MS = 3000,  /* after a kill: ZeroMQ's tries, and a hello that was lost is said again after a second */
    LOAD_MS = 30000,      /* what a busy machine may add */
    LEAVE_MS = 120000,    /* for a program to end, with everything answered */
    REPLACED_STATUS = 3,
    PATH_CAP = 700
};

static const struct history_plan PLANS[] = {
    {"drain-1", "period", 1000, 50, 300, "drain", "plain"},
    {"drain-2", "loop", 2000, 50, 800, "drain", "plain"},
    {"schedule-1", "period", 1500, 50, 400, "schedule", "plain"},
    {"schedule-2", "loop", 3000, 100, 800, "schedule", "plain"},
    {"count-1", "loop", 1000, 50, 300, "drain", "count"},
    {"count-2", "period", 1200, 100, 600, "drain", "count"},
    {"endless", "continuous", 0, 0, 0, "drain", "plain"},
    {"once-1", "terminate", 0, 50, 500, "drain", "plain"},
    {"once-2", "terminate", 0, 50, 300, "drain", "plain"},
};

enum { IDS = sizeof(PLANS) / sizeof(PLANS[0]) };

static const struct sluiced_config CONFIG = {.rest = SLUICED_ANYBODY("faults"), .ping = "300ms"};

/* A program of an id: the present one, or one beside it of which one should end. */
struct alive {
    pid_t    pid; /* 0: none */
    uint32_t who;
};

struct kills {
    struct stage   *stage;
    struct history *h;
    struct chance   c;
    char            spare[PATH_CAP], state[PATH_CAP], program[PATH_CAP];
    struct alive    at[IDS], leaving[IDS];
    int64_t         start_at[IDS]; /* monotonic: its program is started again then */
    int64_t         gateway_at;    /* likewise; 0: it runs */
    uint64_t        both, gateways, programs, rivals;
    bool            settling;      /* nothing is started again */
};

static uint64_t
number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 10);
}

static const char *
book_of(const struct kills *k, size_t id, char buf[PATH_CAP])
{
    snprintf(buf, PATH_CAP, "%s/book-%s", world_dir(k->stage->world), PLANS[id].id);
    return buf;
}

/* --- starting --- */

static void
start_program(struct kills *k, size_t id)
{
    char book[PATH_CAP], log[PATH_CAP], who[16], period[24], least[24], most[24];
    const struct history_plan *p = &PLANS[id];
    struct history *h = k->h;
    assert_true(h->n_programs < HISTORY_PROGRAMS_MAX);
    snprintf(log, sizeof(log), "%s/%s.log", world_dir(k->stage->world), p->id);
    snprintf(who, sizeof(who), "%u", h->n_programs);
    snprintf(period, sizeof(period), "%ld", p->period_ms);
    snprintf(least, sizeof(least), "%ld", p->least_ms);
    snprintf(most, sizeof(most), "%ld", p->most_ms);
    const char *argv[] = {k->program, sluiced_endpoint(k->stage->gateway), book_of(k, id, book), who, p->id, p->kind,
                          period, least, most, p->resume, p->state, NULL};
    h->programs[h->n_programs] = (struct history_program){.id = id, .started_us = clock_wall_us()};
    k->at[id].who = h->n_programs++;
    MUST(k->at[id].pid = world_spawn(argv, log, &err));
    k->start_at[id] = 0;
}

static void
begin_life(struct kills *k)
{
    assert_true(k->h->n_lives < HISTORY_LIVES_MAX);
    k->h->lives[k->h->n_lives].began_us = clock_wall_us();
    k->h->lives[k->h->n_lives++].killed_us = 0;
    k->gateway_at = 0;
}

/* --- ending --- */

static void
died(struct kills *k, struct alive *a, int64_t at_us, bool killed, int status)
{
    struct history_program *p = &k->h->programs[a->who];
    p->died_us = at_us;
    p->killed = killed;
    p->status = status;
    a->pid = 0;
}

static void
kill_program(struct kills *k, size_t id)
{
    struct alive *a = &k->at[id];
    const int64_t now = clock_wall_us();
    if (a->pid == 0)
        return;
    kill(a->pid, SIGKILL);
    died(k, a, now, true, world_wait(a->pid, LEAVE_MS));
    k->start_at[id] = clock_mono_us() + chance_log(&k->c, 1000, 600000);
    k->programs++;
}

static void
kill_gateway(struct kills *k, int64_t back_us)
{
    struct history *h = k->h;
    char journal[PATH_CAP + 16];
    struct stat st;
    if (k->gateway_at != 0)
        return;
    h->lives[h->n_lives - 1].killed_us = clock_wall_us();
    sluiced_kill(k->stage->gateway);
    snprintf(journal, sizeof(journal), "%s/journal.log", k->state);
    assert_int_equal(stat(journal, &st), 0);
    h->lives[h->n_lives - 1].journal_end = st.st_size;
    history_keep_rows(h, k->state, k->spare);
    k->gateway_at = clock_mono_us() + back_us;
    k->gateways++;
}

/* Stopped, and perhaps killed before it goes on: then it is just dead. */
static void
stop_and_go(struct kills *k, bool gateway, size_t id)
{
    const pid_t pid = gateway ? (k->gateway_at == 0 ? sluiced_pid(k->stage->gateway) : 0) : k->at[id].pid;
    struct history_stop *s = &k->h->stops[k->h->n_stops];
    if (pid == 0)
        return;
    assert_true(k->h->n_stops++ < HISTORY_STOPS_MAX - 1);
    *s = (struct history_stop){.from_us = clock_wall_us(), .gateway = gateway, .who = k->at[id].who};
    kill(pid, SIGSTOP);
    world_sleep_ms(50 + chance_below(&k->c, 551));
    kill(pid, SIGCONT);
    s->to_us = clock_wall_us();
}

/* Another program takes the id; the one before has to go by itself.  Or the other way round, where that one was never
 * welcomed: it is the newer one for the gateway. */
static void
rival(struct kills *k, size_t id)
{
    if (k->at[id].pid == 0 || k->leaving[id].pid != 0)
        return;
    k->leaving[id] = k->at[id];
    start_program(k, id);
    k->h->programs[k->leaving[id].who].rivalled = k->h->programs[k->at[id].who].rivalled = true;
    k->rivals++;
}

/* --- the time passes --- */

/* A program that ended by itself: was that right? */
static void
ended(struct kills *k, size_t id, struct alive *a, int status)
{
    const bool rivalled = k->h->programs[a->who].rivalled; /* by one that may be dead by now */
    const bool once = strcmp(PLANS[id].kind, "terminate") == 0;
    if (!(rivalled && status == REPLACED_STATUS) && !(once && (status == 0 || status == SLUICE_EXIT_HELD)))
        fail_msg("%s: program %u ended with status %d", PLANS[id].id, a->who, status);
    died(k, a, clock_wall_us(), false, status);
}

static void
look_after(struct kills *k, size_t id)
{
    struct alive *a = &k->at[id], *b = &k->leaving[id];
    int status = b->pid == 0 ? -1 : world_wait(b->pid, 0);
    if (status >= 0)
        ended(k, id, b, status);
    status = a->pid == 0 ? -1 : world_wait(a->pid, 0);
    if (status >= 0) {
        ended(k, id, a, status);
        k->start_at[id] = clock_mono_us() + chance_log(&k->c, 10000, 600000);
    }
    if (a->pid == 0 && b->pid != 0) {
        *a = *b;
        b->pid = 0;
    }
    if (a->pid == 0 && !k->settling && clock_mono_us() >= k->start_at[id])
        start_program(k, id);
}

/* Start again who is due. */
static void
look(struct kills *k)
{
    for (size_t id = 0; id < IDS; id++)
        look_after(k, id);
    if (k->gateway_at != 0 && clock_mono_us() >= k->gateway_at) {
        begin_life(k);
        MUST(sluiced_start(k->stage->gateway, true, &err));
    }
}

static void
pause_us(int64_t us)
{
    const struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    (void)nanosleep(&t, NULL);
}

static void
pass(struct kills *k, int64_t ms)
{
    const int64_t end = clock_mono_us() + ms * 1000;
    do {
        look(k);
        pause_us(2000);
    } while (clock_mono_us() < end);
}

/* --- kills --- */

/* One kill, and sometimes something else before it. */
static void
strike(struct kills *k, size_t id)
{
    const int64_t what = chance_below(&k->c, 100), back_us = chance_log(&k->c, 1000, 800000);
    if (what < 35) {
        kill_gateway(k, back_us);
    } else if (what < 70) {
        kill_program(k, id);
    } else {
        k->both += k->gateway_at == 0 && k->at[id].pid != 0;
        kill_gateway(k, back_us);
        kill_program(k, id);
    }
}

static uint64_t
killed(const struct kills *k)
{
    return k->gateways + k->programs - k->both; /* both at once are one kill */
}

/* Is there something new in a book about a run's beginning or end? */
static bool
turned(FILE *book)
{
    char line[256];
    bool found = false;
    clearerr(book);
    while (fgets(line, sizeof(line), book) != NULL)
        found |= strstr(line, " begin ") != NULL || strstr(line, " end ") != NULL || strstr(line, " try ") != NULL;
    return found;
}

/* A moment after a run of this id began or ended, which is when what is known of it is on its way; if there is one
 * soon. */
static void
await_turn(struct kills *k, size_t id)
{
    const int64_t end = clock_mono_us() + 400000;
    char path[PATH_CAP];
    FILE *book = fopen(book_of(k, id, path), "re");
    if (book == NULL)
        return;
    (void)turned(book);
    while (!turned(book) && clock_mono_us() < end) {
        look(k);
        pause_us(100);
    }
    fclose(book);
    pause_us(chance_log(&k->c, 1, 10000));
}

static void
await_moment(struct kills *k, size_t id)
{
    if (chance_is(&k->c, 0.5))
        await_turn(k, id);
    else
        pass(k, chance_below(&k->c, chance_is(&k->c, 0.1) ? 1200 : 250));
}

static void
befall(struct kills *k)
{
    const size_t id = (size_t)chance_below(&k->c, IDS);
    if (chance_is(&k->c, 0.15))
        stop_and_go(k, chance_is(&k->c, 0.5), id);
    if (chance_is(&k->c, 0.08))
        rival(k, id);
    await_moment(k, id);
    strike(k, id);
}

/* --- afterwards --- */

static void
read_books(struct kills *k)
{
    char path[PATH_CAP];
    for (size_t id = 0; id < IDS; id++)
        history_read_book(k->h, id, book_of(k, id, path));
}

static bool
ran_since(const struct kills *k, size_t id, int64_t since_us, int64_t *ret_us)
{
    for (size_t n = 0; n < k->h->ids[id].n_events; n++) {
        const struct history_event *e = &k->h->ids[id].events[n];
        if (e->what == S_BEGIN && e->at_us >= since_us) {
            *ret_us = e->at_us - since_us;
            return true;
        }
    }
    return false;
}

/* In ms: a run that is under way, a period, its part by which who was due together is spread, three pings for who is
 * given up, and until it is connected again. */
static int64_t
longest_wait(size_t id)
{
    return PLANS[id].most_ms + PLANS[id].period_ms + PLANS[id].period_ms / 10 + MISSED_MS + RECONNECT_MS;
}

static void
nobody_waits_for_ever(struct kills *k)
{
    const int64_t since = clock_wall_us();
    double worst = 0;
    for (size_t id = 0; id < IDS; id++) {
        const int64_t most = longest_wait(id);
        int64_t took = 0;
        if (strcmp(PLANS[id].kind, "continuous") == 0)
            continue;
        while (!ran_since(k, id, since, &took) && clock_wall_us() < since + (most + LOAD_MS) * 1000) {
            pass(k, 20);
            read_books(k);
        }
        if (!ran_since(k, id, since, &took)) {
            sluiced_log_show(k->stage->gateway);
            fail_msg("%s did not run within %lld ms after the last kill", PLANS[id].id, (long long)(most + LOAD_MS));
        }
        worst = (double)took / 1000 / (double)most > worst ? (double)took / 1000 / (double)most : worst;
    }
    print_message("all ran again after the last kill, the latest after %.0f %% of its bound\n", worst * 100);
}

/* --- what operators see --- */

static json_t *
ask_status(struct kills *k)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    static char answer[65536];
    const char ask[] = "{\"do\":\"status\"}\n";
    size_t have = 0;
    ssize_t n = 1;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true((size_t)snprintf(to.sun_path, sizeof(to.sun_path), "%.80s/operators.sock", k->state) <
                sizeof(to.sun_path));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(write(fd, ask, sizeof(ask) - 1), sizeof(ask) - 1);
    while (n > 0 && (have == 0 || answer[have - 1] != '\n')) {
        n = read(fd, answer + have, sizeof(answer) - 1 - have);
        have += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    json_t *j = json_loadb(answer, have, 0, NULL);
    assert_non_null(j);
    return j;
}

static size_t
planned(const char *id)
{
    for (size_t i = 0; i < IDS; i++)
        if (strcmp(PLANS[i].id, id) == 0)
            return i;
    fail_msg("nobody planned %s", id);
    return 0;
}

static void
is_as_planned(struct kills *k, const json_t *c)
{
    const char *id = json_string_value(json_object_get(c, "connector"));
    const char *kind = json_string_value(json_object_get(c, "kind"));
    assert_non_null(id);
    assert_non_null(kind);
    const size_t i = planned(id);
    const bool period = PLANS[i].period_ms > 0;
    assert_string_equal(kind, period ? "period" : PLANS[i].kind);
    assert_false(json_is_true(json_object_get(c, "paused")));
    if (period) {
        assert_true(json_is_true(json_object_get(c, "connected")));
        assert_int_equal(json_integer_value(json_object_get(c, "period_ms")), PLANS[i].period_ms);
        assert_non_null(json_object_get(c, "last_run"));
        assert_true(json_object_get(c, "run") != NULL || json_object_get(c, "next_run") != NULL);
    }
    if (strcmp(kind, "continuous") == 0)
        assert_non_null(json_object_get(c, "run"));
    if (json_object_get(c, "last_run") != NULL)
        k->h->ids[i].status_last_us = history_time(json_string_value(json_object_get(c, "last_run")));
}

static void
operators_see_it(struct kills *k)
{
    json_t *j = ask_status(k), *list = json_object_get(j, "connectors");
    assert_true(json_is_true(json_object_get(j, "ok")));
    assert_int_equal(json_array_size(list), IDS);
    for (size_t i = 0; i < IDS; i++)
        is_as_planned(k, json_array_get(list, i));
    json_decref(j);
}

/* --- the end --- */

static void
end_programs(struct kills *k)
{
    k->settling = true;
    for (size_t id = 0; id < IDS; id++) {
        if (k->leaving[id].pid != 0)
            fail_msg("%s: program %u was replaced, and is there still", PLANS[id].id, k->leaving[id].who);
        if (k->at[id].pid != 0)
            kill(k->at[id].pid, SIGTERM);
    }
    for (size_t id = 0; id < IDS; id++) {
        struct alive *a = &k->at[id];
        const int status = a->pid == 0 ? 0 : world_wait(a->pid, LEAVE_MS);
        if (status != 0 && status != SLUICE_EXIT_HELD)
            fail_msg("%s: program %u was told to stop, and ended with status %d", PLANS[id].id, a->who, status);
        if (a->pid != 0)
            died(k, a, clock_wall_us(), false, status);
    }
}

/* Bundles that a dead program had no answer for are nobody's promise. */
static void
nothing_pushed_is_lost(struct kills *k)
{
    struct ledger_report r;
    struct consumer *c;
    char text[900];
    history_tell(k->h, k->stage->ledger);
    MUST_HAVE(c, consumer_open(world_broker_port(k->stage->world), &err));
    for (int tries = 0; tries < 20; tries++) { /* a broker on a busy machine may pause */
        MUST(consumer_drain(c, "faults", UINT64_MAX, 200, ledger_take, k->stage->ledger, &err));
        ledger_check(k->stage->ledger, &r);
        if (r.lost == 0)
            break;
    }
    consumer_close(c);
    r.open = 0;
    /* Each kill of the gateway repeats what was confirmed since the last marks, each 100 ms: of nine, 50 a second. */
    const bool good = ledger_good(&r, k->gateways * 30, text, sizeof(text));
    print_message("%s\n", text);
    assert_true(good);
    assert_true(r.acked > 0);
}

static void
all_was_right(struct kills *k)
{
    struct history_figures f;
    read_books(k);
    history_read_journal(k->h, k->state);
    const uint64_t faults = history_faults(k->h, &f);
    print_message("%lu runs, %lu permits, %lu adopted, %lu ended, %lu lost; %lu commits and %lu that moved unheard; "
                  "%lu ends on disk as told; %lu rows as the journal says; %lu runs without a line, %lu forgotten\n",
                  f.runs, f.permits, f.adopted, f.ended, f.lost, f.commits, f.in_doubt, f.recorded, f.rows_agreed,
                  f.without_line, f.forgotten);
    assert_int_equal(faults, 0);
    /* What did not happen would prove nothing. */
    assert_true(f.runs > killed(k) / 4 && f.ended > 0 && f.lost > 0 && f.commits > 0 && f.recorded > 0);
    assert_true(killed(k) < 50 || (f.adopted > 0 && f.rows_agreed > k->gateways));
    assert_true(f.forgotten <= k->both && f.without_line <= k->both);
}

static void
gateway_and_connectors_killed_at_random_leave_every_schedule_right(void **state)
{
    const uint64_t seed = number("SEED", (uint64_t)clock_wall_us() % 1000000), kills = number("KILLS", KILLS);
    struct kills *k = calloc(1, sizeof(*k));
    struct history *h = calloc(1, sizeof(*h));
    assert_non_null(k);
    assert_non_null(h);
    *k = (struct kills){.stage = *state, .h = h, .c = chance_stream(seed, 0)};
    h->plans = PLANS;
    h->n_ids = IDS;
    print_message("SEED=%lu KILLS=%lu\n", seed, kills);
    world_built("tests/system/scheduled", k->program, sizeof(k->program));
    snprintf(k->spare, sizeof(k->spare), "%s/spare", world_dir(k->stage->world));
    assert_int_equal(mkdir(k->spare, 0700), 0);
    begin_life(k);
    stage_gateway(k->stage, &CONFIG);
    snprintf(k->state, sizeof(k->state), "%s/state-%d", world_dir(k->stage->world), sluiced_port(k->stage->gateway));
    const int64_t began = clock_mono_us();
    while (killed(k) < kills) {
        befall(k);
    }
    while (k->gateway_at != 0)
        pass(k, 10);
    print_message("%lu kills in %.1f s: %lu of the gateway, %lu of programs, %lu of both; %u stops, %lu rivals\n",
                  killed(k), (double)(clock_mono_us() - began) / 1e6, k->gateways, k->programs, k->both, h->n_stops,
                  k->rivals);
    nobody_waits_for_ever(k);
    operators_see_it(k);
    end_programs(k);
    kill_gateway(k, 0);
    all_was_right(k);
    nothing_pushed_is_lost(k);
    history_free(h);
    free(k);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gateway_and_connectors_killed_at_random_leave_every_schedule_right,
                                        stage_begin, stage_end),
    };
    return cmocka_run_group_tests(tests, stage_open, stage_close);
}
