/* operators_test.c - the socket of operators: who may open it, what is answered, and that nobody is waited for. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "admin/operators.h"
#include "dead.h"
#include "err.h"

enum { PATH = 96, NOBODY = 65534, MANY = 5000, SECOND = 1000000, MIB = 1024 * 1024, ANSWER_MAX = 4 * MIB };

struct world {
    char              dir[64], path[PATH];
    struct core      *core;
    struct core_sink  sink;
    struct operators *operators;
    struct dead      *dead;
    int64_t           now;
    struct operators_act act;  /* the last one */
    char              whom[65];
    int               acts;
    const char       *refusal; /* what `act` answers */
    const char       *warnings[OPERATORS_WARNINGS + 1]; /* up to the first NULL */
    struct err        err;
};

/* --- a world --- */

static void
emit(void *ctx, const struct core_effect *e)
{
    (void)ctx;
    (void)e;
}

static void
step(struct world *w, const struct core_event *e)
{
    core_step(w->core, e, w->now, &w->sink);
}

static const char *
act(void *ctx, const struct operators_act *a)
{
    struct world *w = ctx;
    const struct core_event e = {.kind = CORE_OPERATOR, .u.operator = {a->connector, a->action}};

    w->act = *a;
    snprintf(w->whom, sizeof(w->whom), "%s", a->connector == NULL ? "" : a->connector);
    w->acts++;
    if (w->refusal == NULL && a->what == OPERATORS_ACT)
        step(w, &e);
    return w->refusal;
}

static size_t
warns(void *ctx, const char *ret[OPERATORS_WARNINGS])
{
    const struct world *w = ctx;
    size_t n = 0;

    for (; w->warnings[n] != NULL; n++)
        ret[n] = w->warnings[n];
    return n;
}

static struct operators *
try_open(struct world *w)
{
    const struct operators_hands hands = {act, warns, w->dead, w};

    memset(&w->err, 0, sizeof(w->err));
    return operators_open(w->path, w->core, &hands, NULL, &w->err);
}

static void
configure(struct world *w, const struct core_connector *list, uint32_t n)
{
    struct core_event e = {.kind = CORE_CONFIGURE};

    e.u.configure.list = list;
    e.u.configure.n = n;
    step(w, &e);
}

static int
world_up(void **state)
{
    const struct core_config config = {.memory_limit = 8 * MIB, .max_bundle = MIB, .chunk = 65536,
                                       .ping_us = 40 * (int64_t)SECOND, .missed = 3, .publishers = 1, .seed = 1};
    const struct core_connector list[] = {{.id = "kev"}, {.id = "stix-file"}};
    struct world *w = calloc(1, sizeof(*w));

    *state = w;
    if (w == NULL)
        return -1;
    strcpy(w->dir, "/tmp/sluice-operators-XXXXXX");
    if (mkdtemp(w->dir) == NULL)
        return -1;
    snprintf(w->path, sizeof(w->path), "%s/sock", w->dir);
    w->now = SECOND;
    w->sink = (struct core_sink){emit, w};
    w->core = core_new(&config, &w->err);
    if (w->core == NULL)
        return -1;
    configure(w, list, 2);
    w->dead = dead_new(&w->err);
    w->operators = try_open(w);
    return w->operators == NULL ? -1 : 0;
}

static int
world_down(void **state)
{
    struct world *w = *state;

    operators_close(w->operators);
    core_free(w->core);
    dead_free(w->dead);
    unlink(w->path);
    rmdir(w->dir);
    free(w);
    return 0;
}

/* Let it do what it has to do now. */
static void
turns(struct world *w)
{
    struct pollfd fd = {.fd = operators_fd(w->operators), .events = POLLIN};

    for (int i = 0; i < 10000 && poll(&fd, 1, 0) > 0; i++)
        operators_turn(w->operators, w->now);
    operators_turn(w->operators, w->now);
}

static void
pass(struct world *w, int64_t us)
{
    w->now += us;
    turns(w);
}

/* --- an operator --- */

static int
try_join(const struct world *w)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(a.sun_path, w->path, strlen(w->path));
    if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int
join(struct world *w)
{
    const int fd = try_join(w);

    assert_true(fd >= 0);
    turns(w);
    return fd;
}

static void
say_bytes(struct world *w, int fd, const char *at, size_t n)
{
    assert_int_equal(send(fd, at, n, MSG_NOSIGNAL), n);
    turns(w);
}

static void
say(struct world *w, int fd, const char *text)
{
    say_bytes(w, fd, text, strlen(text));
}

static bool
is_over(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

/* The next answer, whole; NULL: there is none now. */
static json_t *
hear(struct world *w, int fd)
{
    char *line = malloc(ANSWER_MAX);
    size_t n = 0;
    json_error_t why;
    json_t *answer;

    assert_non_null(line);

    for (;;) {
        char byte;
        const ssize_t rc = recv(fd, &byte, 1, MSG_DONTWAIT);

        if (rc == 1 && byte == '\n')
            break;
        if (rc == 1) {
            assert_true(n < ANSWER_MAX);
            line[n++] = byte;
            continue;
        }
        turns(w);
        if (rc == 0 || recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) <= 0) {
            assert_int_equal(n, 0); /* no half answers */
            free(line);
            return NULL;
        }
    }
    answer = json_loadb(line, n, JSON_REJECT_DUPLICATES, &why);
    if (answer == NULL)
        fail_msg("%s in %.*s", why.text, (int)n, line);
    free(line);
    return answer;
}

static void
assert_refused_on(struct world *w, int fd, const char *words)
{
    json_t *a = hear(w, fd);
    const char *error;

    assert_non_null(a);
    assert_true(json_is_false(json_object_get(a, "ok")));
    error = json_string_value(json_object_get(a, "error"));
    assert_non_null(error);
    if (strstr(error, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, error);
    json_decref(a);
}

static void
assert_refused(struct world *w, const char *request, const char *words)
{
    const int fd = join(w), acts = w->acts;

    say(w, fd, request);
    say(w, fd, "\n");
    assert_refused_on(w, fd, words);
    assert_int_equal(w->acts, acts);
    close(fd);
    turns(w);
}

static void
assert_ok(struct world *w, int fd)
{
    json_t *a = hear(w, fd);

    assert_non_null(a);
    if (!json_is_true(json_object_get(a, "ok")))
        fail_msg("%s", json_string_value(json_object_get(a, "error")));
    json_decref(a);
}

/* One connector as status shows it. */
static json_t *
status_of(struct world *w, const char *id)
{
    const int fd = join(w);
    char request[128];
    json_t *a, *one;

    snprintf(request, sizeof(request), "{\"do\":\"status\",\"connector\":\"%s\"}\n", id);
    say(w, fd, request);
    a = hear(w, fd);
    assert_non_null(a);
    assert_true(json_is_true(json_object_get(a, "ok")));
    assert_int_equal(json_array_size(json_object_get(a, "connectors")), 1);
    one = json_incref(json_array_get(json_object_get(a, "connectors"), 0));
    json_decref(a);
    close(fd);
    turns(w);
    return one;
}

static void
assert_state_word(struct world *w, const char *id, const char *state)
{
    json_t *one = status_of(w, id);

    assert_string_equal(json_string_value(json_object_get(one, "state")), state);
    json_decref(one);
}

/* --- what is done --- */

static void
every_action_is_done_for_whom_it_names_and_says_who_asked(void **state)
{
    static const struct {
        const char      *request, *whom;
        enum core_action action;
    } rows[] = {
        {"{\"do\":\"pause\",\"connector\":\"kev\"}\n", "kev", CORE_PAUSE},
        {" { \"connector\" : \"stix-file\", \"do\" : \"resume\" } \n", "stix-file", CORE_RESUME},
        {"{\"do\":\"drain\"}\n", "", CORE_DRAIN_ON},
        {"{\"do\":\"undrain\"}\n", "", CORE_DRAIN_OFF},
    };
    struct world *w = *state;
    const int fd = join(w);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        say(w, fd, rows[i].request);
        assert_ok(w, fd);
        assert_int_equal(w->acts, (int)i + 1);
        assert_int_equal(w->act.action, rows[i].action);
        assert_string_equal(w->whom, rows[i].whom);
        assert_int_equal(w->act.uid, getuid());
        assert_int_equal(w->act.pid, getpid());
    }
    close(fd);
}

static void
several_requests_at_once_are_answered_one_after_the_other(void **state)
{
    struct world *w = *state;
    const int fd = join(w);
    json_t *a;

    say(w, fd, "{\"do\":\"pause\",\"connector\":\"kev\"}\n{\"do\":\"status\"}\nnonsense\n{\"do\":\"dr");
    assert_ok(w, fd);
    a = hear(w, fd);
    assert_int_equal(json_array_size(json_object_get(a, "connectors")), 2);
    json_decref(a);
    assert_refused_on(w, fd, "not a line of JSON");
    assert_null(hear(w, fd));
    say(w, fd, "ain\"}\n");
    assert_ok(w, fd);
    close(fd);
}

static void
what_cannot_be_done_is_said(void **state)
{
    struct world *w = *state;
    const int fd = join(w);

    w->refusal = "the gateway is stopping: start it again";
    say(w, fd, "{\"do\":\"undrain\"}\n");
    assert_refused_on(w, fd, "the gateway is stopping");
    close(fd);
}

static void
who_closes_its_side_is_answered_and_then_let_go(void **state)
{
    struct world *w = *state;
    const int fd = join(w);

    say(w, fd, "{\"do\":\"drain\"}\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    turns(w);
    assert_ok(w, fd);
    assert_true(is_over(fd));
    close(fd);
}

static void
who_has_left_before_the_answer_is_obeyed_all_the_same(void **state)
{
    struct world *w = *state;
    const int fd = try_join(w);

    assert_int_equal(send(fd, "{\"do\":\"drain\"}\n", 15, MSG_NOSIGNAL), 15);
    close(fd);
    turns(w);
    assert_int_equal(w->acts, 1);
}

/* --- reset-state --- */

static void
a_reset_is_answered_when_it_is_on_the_disk(void **state)
{
    struct world *w = *state;
    const int fd = join(w);
    json_t *a;

    say(w, fd, "{\"do\":\"reset-state\",\"connector\":\"kev\"}\n{\"do\":\"drain\"}\n");
    assert_null(hear(w, fd));
    assert_int_equal(w->acts, 1); /* what comes behind it waits */
    operators_done(w->operators, w->act.ticket + 1, true, 9, NULL); /* another's */
    assert_null(hear(w, fd));
    operators_done(w->operators, w->act.ticket, true, 3, NULL);
    a = hear(w, fd);
    assert_non_null(a);
    assert_int_equal(json_integer_value(json_object_get(a, "version")), 3);
    assert_string_equal(json_string_value(json_object_get(a, "connector")), "kev");
    json_decref(a);
    assert_ok(w, fd);
    assert_int_equal(w->act.action, CORE_DRAIN_ON);
    close(fd);
}

static void
a_reset_that_the_disk_does_not_take_says_so(void **state)
{
    struct world *w = *state;
    const int fd = join(w);

    say(w, fd, "{\"do\":\"reset-state\",\"connector\":\"kev\"}\n");
    operators_done(w->operators, w->act.ticket, false, 0, "the disk is full");
    assert_refused_on(w, fd, "kev: nothing was changed: the disk is full");
    close(fd);
}

static void
a_reset_whose_operator_left_is_answered_to_nobody(void **state)
{
    struct world *w = *state;
    const int fd = join(w);
    int other;

    say(w, fd, "{\"do\":\"reset-state\",\"connector\":\"kev\"}\n");
    close(fd);
    turns(w);
    other = join(w);
    operators_done(w->operators, w->act.ticket, true, 3, NULL);
    assert_null(hear(w, other));
    close(other);
}

/* --- status --- */

static void
status_shows_each_connector_with_its_state(void **state)
{
    struct world *w = *state;
    json_t *one = status_of(w, "kev"), *reasons;
    struct wire_msg hello = {.type = WIRE_HELLO, .v = 1, .id = {"kev", 3}, .epoch = 5, .attempt = 1, .fresh = true};
    struct wire_msg ready = {.type = WIRE_READY, .schedule = WIRE_S_PERIOD, .period_ms = 60000};
    struct core_event e = {.kind = CORE_MESSAGE, .u.message = {.conn = 1ULL << 32 | 1, .msg = &hello}};
    struct core_event up = {.kind = CORE_UP};
    const struct core_event wall = {.kind = CORE_WALL, .u.wall_us = 1795223999000000};

    assert_string_equal(json_string_value(json_object_get(one, "kind")), "none");
    assert_string_equal(json_string_value(json_object_get(one, "state")), "not connected");
    reasons = json_object_get(one, "reasons");
    assert_int_equal(json_array_size(reasons), 1);
    assert_string_equal(json_string_value(json_array_get(reasons, 0)), "broker_down");
    assert_null(json_object_get(one, "last_run"));
    json_decref(one);

    hello.has = 1ULL << WIRE_F_V | 1ULL << WIRE_F_ID | 1ULL << WIRE_F_EPOCH;
    ready.has = 1ULL << WIRE_F_SCHEDULE | 1ULL << WIRE_F_PERIOD_MS;
    step(w, &wall);
    step(w, &e);
    e.u.message.msg = &ready;
    step(w, &e);
    assert_state_word(w, "kev", "held");
    step(w, &up);
    one = status_of(w, "kev");
    assert_string_equal(json_string_value(json_object_get(one, "state")), "running");
    assert_string_equal(json_string_value(json_object_get(one, "kind")), "period");
    assert_int_equal(json_integer_value(json_object_get(one, "period_ms")), 60000);
    assert_int_equal(strlen(json_string_value(json_object_get(one, "run"))), 32);
    assert_null(json_object_get(one, "next_run"));
    json_decref(one);
    assert_refused(w, "{\"do\":\"run\",\"connector\":\"kev\"}", "kev runs already");
}

/* The warnings of a status, as one text with a line for each. */
static void
assert_warnings(struct world *w, const char *want)
{
    const int fd = join(w);
    char got[2048] = "";
    json_t *a, *list, *one;
    size_t i;

    say(w, fd, "{\"do\":\"status\"}\n");
    a = hear(w, fd);
    assert_non_null(a);
    list = json_object_get(a, "warnings");
    assert_true(json_is_array(list));
    for (i = 0; (one = json_array_get(list, i)) != NULL; i++) {
        const size_t len = strlen(got);

        snprintf(got + len, sizeof(got) - len, "%s\n", json_string_value(one));
    }
    assert_string_equal(got, want);
    json_decref(a);
    close(fd);
    turns(w);
}

static void
status_warns_of_what_the_gateway_as_a_whole_cannot_see(void **state)
{
    struct world *w = *state;
    char longest[300], cut[300];

    assert_warnings(w, "");
    w->warnings[0] = "telemetry tells nothing: \"401\"";
    assert_warnings(w, "telemetry tells nothing: \"401\"\n");
    memset(longest, 1, sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    w->warnings[0] = w->warnings[1] = longest;
    memset(cut, 1, sizeof(cut));
    cut[255] = '\n', cut[256] = '\0';
    char both[2 * sizeof(cut)];
    snprintf(both, sizeof(both), "%s%s", cut, cut);
    assert_warnings(w, both);
}

static void
status_shows_when_the_last_run_ended_and_the_next_is_due(void **state)
{
    struct world *w = *state;
    const struct core_event wall = {.kind = CORE_WALL, .u.wall_us = 1795223999000000};
    struct core_event row = {.kind = CORE_ROW};
    json_t *one;

    row.u.row = (struct core_row){.id = "kev", .kind = WIRE_S_PERIOD + 1, .ran = true, .paused = true,
                                  .period_us = 3600 * (int64_t)SECOND, .last_run_us = 1795223000000000,
                                  .next_run_us = 1795224000000000};
    step(w, &wall);
    step(w, &row);
    one = status_of(w, "kev");
    assert_string_equal(json_string_value(json_object_get(one, "last_run")), "2026-11-21T01:03:20.000Z");
    assert_string_equal(json_string_value(json_object_get(one, "next_run")), "2026-11-21T01:20:00.000Z");
    assert_true(json_is_true(json_object_get(one, "paused")));
    assert_string_equal(json_string_value(json_object_get(one, "state")), "not connected");
    json_decref(one);
}

static void
status_of_thousands_comes_in_pieces_to_who_reads_slowly(void **state)
{
    struct world *w = *state;
    struct core_connector *list = calloc(MANY, sizeof(*list));
    const int fd = join(w);
    json_t *a, *all;

    assert_non_null(list);
    for (int i = 0; i < MANY; i++)
        snprintf(list[i].id, sizeof(list[i].id), "feed-%d", i);
    configure(w, list, MANY);
    free(list);
    say(w, fd, "{\"do\":\"status\"}\n");
    pass(w, OPERATORS_IDLE_US / 2);
    a = hear(w, fd);
    assert_non_null(a);
    all = json_object_get(a, "connectors");
    assert_int_equal(json_array_size(all), MANY + 2);
    for (size_t i = 2; i < MANY + 2; i++) {
        char id[16];
        snprintf(id, sizeof(id), "feed-%d", (int)i - 2);
        assert_string_equal(json_string_value(json_object_get(json_array_get(all, i), "connector")), id);
    }
    assert_true(json_is_false(json_object_get(json_array_get(all, 0), "configured")));
    json_decref(a);
    close(fd);
}

/* --- dead letters --- */

static void
bury(struct world *w, const char *connector, uint64_t pos, const char *text)
{
    struct dead_letter d = {.pos = pos, .epoch = 7, .seq = 70 + pos, .size = 1000, .reason = "unroutable",
                            .at_us = 1795223999000000};

    snprintf(d.connector, sizeof(d.connector), "%s", connector);
    snprintf(d.text, sizeof(d.text), "%s", text);
    assert_int_equal(dead_put(w->dead, &d, NULL), 0);
}

/* The list that answers this request. */
static json_t *
letters(struct world *w, const char *request)
{
    const int fd = join(w);
    json_t *a, *list;

    say(w, fd, request);
    pass(w, OPERATORS_IDLE_US / 2);
    a = hear(w, fd);
    assert_non_null(a);
    assert_true(json_is_true(json_object_get(a, "ok")));
    list = json_incref(json_object_get(a, "dead_letters"));
    json_decref(a);
    close(fd);
    turns(w);
    return list;
}

static void
dead_letters_are_listed_with_what_is_known_of_them(void **state)
{
    struct world *w = *state;
    json_t *list = letters(w, "{\"do\":\"dead-letters\"}\n"), *one;

    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
    bury(w, "stix-file", 1, "");
    bury(w, "kev", 3, "no queue is bound for \"<b>\"");
    list = letters(w, "{\"do\":\"dead-letters\"}\n");
    assert_int_equal(json_array_size(list), 2);
    one = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(one, "connector")), "kev");
    assert_int_equal(json_integer_value(json_object_get(one, "pos")), 3);
    assert_int_equal(json_integer_value(json_object_get(one, "epoch")), 7);
    assert_int_equal(json_integer_value(json_object_get(one, "seq")), 73);
    assert_int_equal(json_integer_value(json_object_get(one, "bytes")), 1000);
    assert_string_equal(json_string_value(json_object_get(one, "reason")), "unroutable");
    assert_string_equal(json_string_value(json_object_get(one, "text")), "no queue is bound for \"<b>\"");
    assert_string_equal(json_string_value(json_object_get(one, "since")), "2026-11-21T01:19:59.000Z");
    json_decref(list);
    list = letters(w, "{\"do\":\"dead-letters\",\"connector\":\"stix-file\"}\n");
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "connector")), "stix-file");
    json_decref(list);
}

static void
a_full_list_of_the_longest_dead_letters_comes_in_pieces(void **state)
{
    struct world *w = *state;
    char longest[256];
    json_t *list;

    memset(longest, 1, sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    for (uint64_t pos = 1; pos <= 1000; pos++)
        bury(w, "kev", pos, longest);
    list = letters(w, "{\"do\":\"dead-letters\"}\n");
    assert_int_equal(json_array_size(list), 1000);
    json_decref(list);
}

static void
a_dead_letter_is_dropped_at_once_and_replayed_when_the_disk_has_it(void **state)
{
    struct world *w = *state;
    int fd = join(w);

    bury(w, "kev", 3, "");
    say(w, fd, "{\"do\":\"drop\",\"connector\":\"kev\",\"pos\":3}\n");
    assert_ok(w, fd);
    assert_int_equal(w->act.what, OPERATORS_DROP);
    assert_int_equal(w->act.pos, 3);
    assert_string_equal(w->whom, "kev");
    say(w, fd, "{\"do\":\"replay\",\"connector\":\"kev\",\"pos\":3}\n");
    assert_int_equal(w->act.what, OPERATORS_REPLAY);
    assert_null(hear(w, fd));
    operators_done(w->operators, w->act.ticket, true, 0, NULL);
    assert_ok(w, fd);
    say(w, fd, "{\"do\":\"replay\",\"connector\":\"kev\",\"pos\":3}\n");
    operators_done(w->operators, w->act.ticket, false, 0, "the spool is full");
    assert_refused_on(w, fd, "kev: nothing was changed: the spool is full");
    close(fd);
}

static void
a_dead_letter_that_is_not_there_is_refused(void **state)
{
    struct world *w = *state;

    bury(w, "kev", 3, "");
    assert_refused(w, "{\"do\":\"drop\",\"connector\":\"kev\",\"pos\":4}", "kev has no dead letter at 4");
    assert_refused(w, "{\"do\":\"replay\",\"connector\":\"stix-file\",\"pos\":3}", "stix-file has no dead letter at 3");
    assert_refused(w, "{\"do\":\"drop\",\"connector\":\"kev\"}", "drop needs a dead letter");
    assert_refused(w, "{\"do\":\"drop\",\"pos\":3}", "drop needs a connector");
    assert_refused(w, "{\"do\":\"drop\",\"connector\":\"kev\",\"pos\":0}", "pos: it must be a number from 1");
    assert_refused(w, "{\"do\":\"drop\",\"connector\":\"kev\",\"pos\":\"3\"}", "pos: it must be a number from 1");
    assert_refused(w, "{\"do\":\"pause\",\"connector\":\"kev\",\"pos\":3}", "pause has no pos");
    assert_int_equal(w->acts, 0);
}

/* --- what is refused --- */

static void
garbage_is_answered_with_what_to_write(void **state)
{
    static const char *const rows[][2] = {
        {"", "not a line of JSON"},
        {"pause kev", "not a line of JSON"},
        {"{\"do\":\"status\"", "not a line of JSON"},
        {"{\"do\":\"status\"}x", "not a line of JSON"},
        {"{\"do\":\"status\",\"do\":\"drain\"}", "not a line of JSON"},
        {"\xFF\xFE", "not a line of JSON"},
        {"[\"status\"]", "a request is an object"},
        {"{}", "do is missing"},
        {"{\"do\":1}", "do: it must be a text"},
        {"{\"do\":null}", "do: it must be a text"},
        {"{\"do\":\"pause\",\"connector\":7}", "connector: it must be a text"},
        {"{\"do\":\"drain\\u0000\"}", "do: it must be a text"},
        {"{\"do\":\"drain\",\"now\":true}", "there is no key \"now\""},
        {"{\"do\":\"puase\"}", "did you mean \"pause\"?"},
        {"{\"do\":\"explode\"}", "write one of status, pause,"},
        {"{\"do\":\"pause\"}", "pause needs a connector"},
        {"{\"do\":\"drain\",\"connector\":\"kev\"}", "drain is for the whole gateway"},
        {"{\"do\":\"pause\",\"connector\":\"\"}", "is not an id"},
        {"{\"do\":\"pause\",\"connector\":\"Kev\\n\"}", "\"Kev\\n\" is not an id"},
        {"{\"do\":\"run\",\"connector\":\"kev\"}", "kev has no schedule"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_refused(*state, rows[i][0], rows[i][1]);
}

static void
deep_nesting_is_garbage_too(void **state)
{
    struct world *w = *state;
    char line[OPERATORS_LINE_MAX - 1];

    memset(line, '[', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    assert_refused(w, line, "not a line of JSON");
}

static void
an_unknown_connector_is_refused_with_the_one_that_was_meant(void **state)
{
    struct world *w = *state;

    assert_refused(w, "{\"do\":\"pause\",\"connector\":\"kve\"}",
                   "there is no connector \"kve\"; did you mean \"kev\"?");
    assert_refused(w, "{\"do\":\"status\",\"connector\":\"something-else\"}", "status without a connector lists all");
}

static void
a_line_that_is_too_long_ends_the_connection(void **state)
{
    struct world *w = *state;
    const int fd = join(w);
    char line[OPERATORS_LINE_MAX];

    memset(line, ' ', sizeof(line));
    say_bytes(w, fd, line, sizeof(line) - 1);
    assert_null(hear(w, fd));
    say_bytes(w, fd, line, 1);
    assert_refused_on(w, fd, "at most 4095 bytes");
    assert_true(is_over(fd));
    close(fd);
}

static void
a_line_without_an_end_is_refused(void **state)
{
    struct world *w = *state;
    const int fd = join(w);

    say(w, fd, "{\"do\":\"drain\"}");
    shutdown(fd, SHUT_WR);
    turns(w);
    assert_refused_on(w, fd, "ends with a newline");
    assert_int_equal(w->acts, 0);
    close(fd);
}

static void
any_bytes_get_answers_and_nothing_else_happens(void **state)
{
    static const char letters[] = "{}[]\":,do\n\\u0 pause\x80\xC3";
    struct world *w = *state;
    uint64_t x = 88172645463325252ULL;

    for (int round = 0; round < 300; round++) {
        const int fd = join(w);
        char bytes[512];
        json_t *a;

        for (size_t i = 0; i < sizeof(bytes); i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            bytes[i] = letters[x % (sizeof(letters) - 1)];
        }
        say_bytes(w, fd, bytes, sizeof(bytes));
        shutdown(fd, SHUT_WR);
        while ((a = hear(w, fd)) != NULL) {
            assert_true(json_is_false(json_object_get(a, "ok")));
            json_decref(a);
        }
        assert_true(is_over(fd));
        close(fd);
        turns(w);
    }
    assert_int_equal(w->acts, 0);
}

/* --- bounds --- */

static void
sixteen_are_served_and_the_next_is_told_to_try_again(void **state)
{
    struct world *w = *state;
    int fds[OPERATORS_MAX], more;

    for (int i = 0; i < OPERATORS_MAX; i++)
        fds[i] = join(w);
    more = join(w);
    assert_refused_on(w, more, "too many operators");
    assert_true(is_over(more));
    close(more);
    close(fds[3]);
    turns(w);
    more = join(w);
    say(w, more, "{\"do\":\"drain\"}\n");
    assert_ok(w, more);
    close(more);
    for (int i = 0; i < OPERATORS_MAX; i++)
        if (i != 3)
            close(fds[i]);
}

static void
who_asks_for_nothing_is_let_go(void **state)
{
    struct world *w = *state;
    const int idle = join(w), slow = join(w), busy = join(w);

    assert_int_equal(operators_due(w->operators), w->now + OPERATORS_IDLE_US);
    for (int i = 0; i < 5; i++) {
        pass(w, OPERATORS_IDLE_US / 5 - 1);
        say(w, slow, " "); /* a byte now and then is no request */
        say(w, busy, "{\"do\":\"drain\"}\n");
        assert_ok(w, busy);
    }
    assert_null(hear(w, idle));
    assert_false(is_over(idle));
    pass(w, 5);
    assert_refused_on(w, idle, "no request came in time");
    assert_true(is_over(idle));
    assert_refused_on(w, slow, "no request came in time");
    assert_false(is_over(busy));
    close(idle);
    close(slow);
    close(busy);
    turns(w);
    assert_int_equal(operators_due(w->operators), INT64_MAX);
}

static void
who_never_reads_is_let_go_and_others_are_served(void **state)
{
    struct world *w = *state;
    const int deaf = join(w);
    int other;

    for (int i = 0; i < 3000; i++)
        if (send(deaf, "{\"do\":\"status\"}\n", 16, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            break;
        else
            turns(w);
    other = join(w);
    say(w, other, "{\"do\":\"drain\"}\n");
    assert_ok(w, other);
    pass(w, OPERATORS_IDLE_US);
    assert_int_equal(operators_due(w->operators), INT64_MAX);
    close(deaf);
    close(other);
}

/* --- the file --- */

static void
the_socket_is_its_owners_alone_and_goes_with_the_gateway(void **state)
{
    struct world *w = *state;
    struct stat st;

    assert_int_equal(stat(w->path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0600);
    operators_close(w->operators);
    w->operators = NULL;
    assert_int_equal(stat(w->path, &st), -1);
}

static void
what_a_dead_gateway_left_is_replaced(void **state)
{
    struct world *w = *state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd;

    operators_close(w->operators);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(a.sun_path, w->path, strlen(w->path));
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
    close(fd);
    w->operators = try_open(w);
    assert_non_null(w->operators);
    fd = join(w);
    say(w, fd, "{\"do\":\"drain\"}\n");
    assert_ok(w, fd);
    close(fd);
}

static void
where_somebody_listens_nothing_is_taken_away(void **state)
{
    struct world *w = *state;
    int fd;

    assert_null(try_open(w));
    assert_int_equal(w->err.code, ERR_CONFIG);
    assert_non_null(strstr(w->err.text, "another program listens there"));
    turns(w);
    fd = join(w);
    say(w, fd, "{\"do\":\"drain\"}\n");
    assert_ok(w, fd);
    close(fd);
}

static void
a_file_that_is_no_socket_is_left_as_it_is(void **state)
{
    struct world *w = *state;
    struct stat st;
    int fd;

    operators_close(w->operators);
    w->operators = NULL;
    fd = open(w->path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    assert_null(try_open(w));
    assert_int_equal(w->err.code, ERR_CONFIG);
    assert_non_null(strstr(w->err.text, "no socket: move it away"));
    assert_int_equal(stat(w->path, &st), 0);
    assert_int_equal(st.st_size, 8);
}

static void
a_folder_that_is_not_there_is_named(void **state)
{
    struct world *w = *state;

    operators_close(w->operators);
    snprintf(w->path, sizeof(w->path), "%s/nowhere/sock", w->dir);
    w->operators = try_open(w);
    assert_null(w->operators);
    assert_int_equal(w->err.code, ERR_CONFIG);
    assert_non_null(strstr(w->err.text, w->path));
}

/* In a child that is another user: 0 it got in and was refused in words, 1 it could not connect, 2 anything else. */
static int
as_nobody(const struct world *w)
{
    char said[512];
    ssize_t n;
    int fd;

    if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
        return 2;
    fd = try_join(w);
    if (fd < 0)
        return 1;
    n = recv(fd, said, sizeof(said) - 1, 0);
    if (n <= 0)
        return 2;
    said[n] = '\0';
    return strstr(said, "\"ok\":false") != NULL && strstr(said, "user 65534 may not") != NULL ? 0 : 2;
}

static int
run_as_nobody(struct world *w)
{
    int status = 0;
    const pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(120);
        _exit(as_nobody(w));
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct pollfd fd = {.fd = operators_fd(w->operators), .events = POLLIN};
        poll(&fd, 1, 10);
        operators_turn(w->operators, w->now);
    }
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void
another_user_cannot_connect_and_would_be_refused(void **state)
{
    struct world *w = *state;

    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    assert_int_equal(chmod(w->dir, 0755), 0);
    assert_int_equal(run_as_nobody(w), 1);
    assert_int_equal(chmod(w->path, 0666), 0); /* even where somebody opened it to all */
    assert_int_equal(run_as_nobody(w), 0);
    assert_int_equal(w->acts, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_action_is_done_for_whom_it_names_and_says_who_asked),
        TEST(several_requests_at_once_are_answered_one_after_the_other),
        TEST(what_cannot_be_done_is_said),
        TEST(who_closes_its_side_is_answered_and_then_let_go),
        TEST(who_has_left_before_the_answer_is_obeyed_all_the_same),
        TEST(a_reset_is_answered_when_it_is_on_the_disk),
        TEST(a_reset_that_the_disk_does_not_take_says_so),
        TEST(a_reset_whose_operator_left_is_answered_to_nobody),
        TEST(status_shows_each_connector_with_its_state),
        TEST(status_warns_of_what_the_gateway_as_a_whole_cannot_see),
        TEST(status_shows_when_the_last_run_ended_and_the_next_is_due),
        TEST(dead_letters_are_listed_with_what_is_known_of_them),
        TEST(a_full_list_of_the_longest_dead_letters_comes_in_pieces),
        TEST(a_dead_letter_is_dropped_at_once_and_replayed_when_the_disk_has_it),
        TEST(a_dead_letter_that_is_not_there_is_refused),
        TEST(status_of_thousands_comes_in_pieces_to_who_reads_slowly),
        TEST(garbage_is_answered_with_what_to_write),
        TEST(deep_nesting_is_garbage_too),
        TEST(an_unknown_connector_is_refused_with_the_one_that_was_meant),
        TEST(a_line_that_is_too_long_ends_the_connection),
        TEST(a_line_without_an_end_is_refused),
        TEST(any_bytes_get_answers_and_nothing_else_happens),
        TEST(sixteen_are_served_and_the_next_is_told_to_try_again),
        TEST(who_asks_for_nothing_is_let_go),
        TEST(who_never_reads_is_let_go_and_others_are_served),
        TEST(the_socket_is_its_owners_alone_and_goes_with_the_gateway),
        TEST(what_a_dead_gateway_left_is_replaced),
        TEST(where_somebody_listens_nothing_is_taken_away),
        TEST(a_file_that_is_no_socket_is_left_as_it_is),
        TEST(a_folder_that_is_not_there_is_named),
        TEST(another_user_cannot_connect_and_would_be_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
