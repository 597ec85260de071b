/* client_handle_test.c - a handle's life, its state, log and health, against a scripted gateway. */
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_gateway.h"
#include "sluice/sluice.h"

#define BIT(f) (UINT64_C(1) << (f))

enum { MUCH = 1 << 30, PATIENT_MS = 60000, LINES = 64 };

struct world {
    struct gateway g;
    struct sluice *s;
    struct sluice_error err;
    int flushed; /* what a flush in another thread returned */
    pthread_mutex_t lock;
    char logged[2000]; /* under lock */
};

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    gateway_start(&w->g);
    pthread_mutex_init(&w->lock, NULL);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    sluice_close(&w->s, 0, NULL);
    gateway_stop(&w->g);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return 0;
}

static void
keep_line(void *ctx, int level, const char *text)
{
    struct world *w = ctx;
    size_t len;

    (void)level;
    pthread_mutex_lock(&w->lock);
    len = strlen(w->logged);
    snprintf(w->logged + len, sizeof(w->logged) - len, "%s\n", text);
    pthread_mutex_unlock(&w->lock);
}

static bool
logged(struct world *w, const char *text)
{
    bool found;

    pthread_mutex_lock(&w->lock);
    found = strstr(w->logged, text) != NULL;
    pthread_mutex_unlock(&w->lock);
    return found;
}

static struct sluice *
open_as(struct world *w, const char *id, const char *endpoint)
{
    struct sluice_options opt = {.id = id, .endpoint = endpoint, .agent = "test 1.0", .on_log = keep_line,
                                 .log_ctx = w};

    return sluice_open(&opt, &w->err);
}

static void
opens(struct world *w)
{
    w->s = open_as(w, "c1", w->g.endpoint);
    assert_non_null(w->s);
}

static void
is_in(struct world *w)
{
    opens(w);
    gateway_lets_in(&w->g, 1, MUCH);
    assert_int_equal(sluice_wait(w->s, PATIENT_MS, &w->err), 0);
}

/* --- open --- */

static void
options_that_cannot_be_are_refused_with_what_to_write(void **state)
{
    static const char *const ids[] = {NULL, "", "Upper", "-dash", "a b", "caf\xc3\xa9",
                                      "a1234567890123456789012345678901234567890123456789012345678901234"};
    static const char *const endpoints[] = {"", "localhost:7117", "tcp://", "tcp://localhost", "tcp://:7117",
                                            "tcp://h:", "tcp://h:0", "tcp://h:65536", "tcp://h:7117x", "udp://h:1",
                                            "inproc://x", "ipc://", "tcp://h:999999999999999999999"};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        assert_null(open_as(w, ids[i], NULL));
        assert_int_equal(w->err.code, SLUICE_EINVAL);
        assert_non_null(strstr(w->err.text, "a-z 0-9"));
    }
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
        if (open_as(w, "c1", endpoints[i]) != NULL)
            fail_msg("accepted \"%s\"", endpoints[i]);
        assert_int_equal(w->err.code, SLUICE_EINVAL);
        assert_non_null(strstr(w->err.text, "tcp://host:port"));
    }
}

static void
the_environment_names_the_gateway_where_the_program_does_not(void **state)
{
    struct world *w = *state;

    setenv(SLUICE_ENV_ENDPOINT, w->g.endpoint, 1);
    w->s = open_as(w, "c1", NULL);
    unsetenv(SLUICE_ENV_ENDPOINT);
    assert_non_null(w->s);
    gateway_hears(&w->g, WIRE_HELLO);
    assert_memory_equal(w->g.msg.id.at, "c1", 2);
    assert_memory_equal(w->g.msg.agent.at, "test 1.0", 8);
}

static void
a_unix_socket_serves_as_well(void **state)
{
    struct world *w = *state;
    char dir[] = "/tmp/sluice-test-XXXXXX", path[64];

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "ipc://%s/s", dir);
    gateway_die(&w->g);
    snprintf(w->g.endpoint, sizeof(w->g.endpoint), "%s", path);
    gateway_revive(&w->g);
    is_in(w);
    sluice_close(&w->s, 0, NULL);
    gateway_hears(&w->g, WIRE_BYE);
    unlink(path + strlen("ipc://"));
    rmdir(dir);
}

static void
each_process_begins_an_epoch_above_the_one_before(void **state)
{
    struct world *w = *state;
    uint64_t epoch;

    is_in(w);
    epoch = w->g.msg.epoch;
    sluice_close(&w->s, 0, NULL);
    usleep(1000); /* an epoch is a time in microseconds, and 10 random bits */
    opens(w);
    while (gateway_hears_within(&w->g, PATIENT_MS) && w->g.msg.type != WIRE_HELLO)
        continue;
    assert_true(w->g.msg.epoch > epoch);
    assert_true(w->g.msg.fresh);
}

static void
two_handles_in_one_process_do_not_know_each_other(void **state)
{
    struct world *w = *state;
    struct gateway *other = malloc(sizeof(*other));
    struct sluice *second;
    struct sluice_info info;

    gateway_start(other);
    is_in(w);
    second = open_as(w, "c2", other->endpoint);
    gateway_lets_in(other, 1, MUCH);
    assert_int_equal(sluice_push(w->s, "a", 1, NULL, 0, NULL), 0);
    assert_int_equal(sluice_push(second, "b", 1, NULL, 0, NULL), 0);
    gateway_hears(other, WIRE_BUNDLE);
    assert_int_equal(other->body[0], 'b');
    gateway_answers(other, 1, WIRE_ACK);
    assert_int_equal(sluice_flush(second, PATIENT_MS, NULL), 0);
    assert_int_equal(sluice_close(&second, 0, NULL), 0);
    gateway_hears(&w->g, WIRE_BUNDLE);
    assert_int_equal(w->g.body[0], 'a');
    sluice_info(w->s, &info);
    assert_int_equal(info.unanswered, 1);
    gateway_stop(other);
    free(other);
}

/* --- refused and replaced --- */

static void *
waits_for_ever(void *arg)
{
    struct world *w = arg;

    w->flushed = sluice_flush(w->s, -1, NULL);
    return NULL;
}

static void
a_replaced_program_is_told_everywhere_at_once(void **state)
{
    struct world *w = *state;
    struct wire_msg stop = {.type = WIRE_STOP, .has = BIT(WIRE_F_REASON), .reason = WIRE_R_REPLACED};
    struct sluice_state st;
    pthread_t thread;

    is_in(w);
    assert_int_equal(sluice_push(w->s, "x", 1, NULL, 0, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, waits_for_ever, w), 0);
    gateway_hears(&w->g, WIRE_BUNDLE);
    gateway_says(&w->g, &stop, NULL, 0);
    pthread_join(thread, NULL);
    assert_int_equal(w->flushed, SLUICE_EREPLACED);
    assert_int_equal(sluice_push(w->s, "x", 1, NULL, -1, &w->err), SLUICE_EREPLACED);
    assert_non_null(strstr(w->err.text, "another id"));
    assert_int_equal(sluice_wait(w->s, -1, NULL), SLUICE_EREPLACED);
    assert_int_equal(sluice_state_get(w->s, &st, -1, NULL), SLUICE_EREPLACED);
    assert_int_equal(sluice_close(&w->s, -1, NULL), SLUICE_EAGAIN); /* at once, with one unanswered */
}

static void
a_refused_connector_hears_why_at_once(void **state)
{
    struct world *w = *state;

    opens(w);
    gateway_hears(&w->g, WIRE_HELLO);
    gateway_errs(&w->g, WIRE_R_UNKNOWN_ID, true);
    assert_int_equal(sluice_wait(w->s, PATIENT_MS, &w->err), SLUICE_EREFUSED);
    assert_int_equal(w->err.code, SLUICE_EREFUSED);
    assert_non_null(strstr(w->err.text, "unknown_id: add it to the configuration"));
    assert_non_null(strstr(w->err.text, "\"c1\""));
    assert_int_equal(sluice_push(w->s, "x", 1, NULL, -1, &w->err), SLUICE_EREFUSED);
    assert_true(logged(w, "add it to the configuration"));
}

/* --- garbage --- */

static void
garbage_from_the_gateway_changes_nothing(void **state)
{
    static const uint8_t frames[][8] = {"", "\xc1", "\x81", "\xdf\xff\xff\xff\xff", "\x93\x01\x02\x03", "GET / H",
                                        "\x81\xa4typ", "\x80"};
    struct world *w = *state;
    uint8_t big[WIRE_HEADER_MAX + 1] = {0};

    is_in(w);
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        gateway_says_raw(&w->g, frames[i], strlen((const char *)frames[i]), NULL, 0);
        gateway_says_raw(&w->g, frames[i], sizeof(frames[i]), frames[i], sizeof(frames[i]));
    }
    gateway_says_raw(&w->g, big, sizeof(big), NULL, 0);
    gateway_errs(&w->g, WIRE_R_FIELD, false); /* well-formed, and about nothing that is known */
    assert_int_equal(sluice_push(w->s, "x", 1, NULL, 0, NULL), 0);
    gateway_hears(&w->g, WIRE_BUNDLE);
    gateway_answers(&w->g, 1, WIRE_ACK);
    assert_int_equal(sluice_flush(w->s, PATIENT_MS, NULL), 0);
    assert_true(logged(w, "not of the protocol"));
}

static void
a_frame_beyond_the_limit_costs_the_gateway_its_connection(void **state)
{
    struct world *w = *state;
    uint8_t *big = calloc(1, WIRE_CHUNK_MAX + 1);

    is_in(w);
    gateway_says_raw(&w->g, big, WIRE_CHUNK_MAX + 1, NULL, 0);
    gateway_lets_in(&w->g, 1, MUCH);
    free(big);
}

static int
listen_on(const char *endpoint)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

    at.sin_port = htons((uint16_t)strtoul(strrchr(endpoint, ':') + 1, NULL, 10));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    for (int i = 0; bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0; i++) {
        assert_true(i < 1000);
        usleep(10000);
    }
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void
a_stranger_on_the_port_does_not_end_the_library_for_the_gateway(void **state)
{
    static const char words[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    struct world *w = *state;
    int listener, peer;

    gateway_die(&w->g);
    listener = listen_on(w->g.endpoint);
    opens(w);
    peer = accept(listener, NULL, NULL);
    assert_true(write(peer, words, sizeof(words)) > 0);
    assert_int_equal(sluice_wait(w->s, 200, &w->err), SLUICE_EAGAIN);
    close(peer);
    close(listener);
    gateway_revive(&w->g);
    gateway_lets_in(&w->g, 1, MUCH);
    assert_int_equal(sluice_wait(w->s, PATIENT_MS, NULL), 0);
}

static void
a_gateway_that_claims_what_was_never_sent_is_not_believed(void **state)
{
    struct world *w = *state;
    struct sluice_info info;

    is_in(w);
    gateway_answers(&w->g, 7, WIRE_ACK);
    gateway_lets_in(&w->g, 1, MUCH);
    assert_int_equal(sluice_wait(w->s, PATIENT_MS, NULL), 0);
    sluice_info(w->s, &info);
    assert_int_equal(info.acked, 0);
    assert_true(logged(w, "broke the protocol"));
}

/* --- hold --- */

static void
why_the_gateway_gives_no_credit_can_be_seen(void **state)
{
    struct world *w = *state;
    struct wire_msg hold = {.type = WIRE_HOLD, .has = BIT(WIRE_F_REASONS),
                            .reasons = WIRE_HOLD_BROKER_DOWN | WIRE_HOLD_MEMORY};
    struct sluice_info info;

    opens(w);
    assert_int_equal(sluice_push(w->s, "x", 1, NULL, 0, NULL), 0);
    gateway_lets_in(&w->g, 1, 0);
    gateway_says(&w->g, &hold, NULL, 0);
    do {
        assert_int_equal(sluice_flush(w->s, 10, &w->err), SLUICE_EAGAIN);
        sluice_info(w->s, &info);
    } while (info.hold[0] == '\0');
    assert_string_equal(info.hold, "broker_down,memory");
    assert_int_equal(sluice_flush(w->s, 0, &w->err), SLUICE_EAGAIN);
    assert_non_null(strstr(w->err.text, "on hold: broker_down,memory"));
    gateway_credits(&w->g, MUCH);
    gateway_hears(&w->g, WIRE_BUNDLE);
    gateway_answers(&w->g, 1, WIRE_ACK);
    assert_int_equal(sluice_flush(w->s, PATIENT_MS, NULL), 0);
    sluice_info(w->s, &info);
    assert_string_equal(info.hold, "");
}

/* --- state: the calls wait, so they run in a thread of their own --- */

struct call {
    struct world *w;
    bool          set;
    const char   *bytes;
    size_t        len;
    uint64_t      version;
    int           timeout_ms;
    int           rc;
    struct sluice_state state;
    pthread_t     thread;
};

static void *
run_call(void *arg)
{
    struct call *c = arg;

    if (c->set)
        c->rc = sluice_state_set(c->w->s, c->bytes, c->len, c->version, &c->version, c->timeout_ms, NULL);
    else
        c->rc = sluice_state_get(c->w->s, &c->state, c->timeout_ms, NULL);
    return NULL;
}

static void
begins(struct call *c)
{
    assert_int_equal(pthread_create(&c->thread, NULL, run_call, c), 0);
}

static int
ends(struct call *c)
{
    pthread_join(c->thread, NULL);
    return c->rc;
}

static void
gateway_has(struct world *w, const char *bytes, size_t len, uint64_t version)
{
    struct wire_msg m = {.type = WIRE_STATE,
                         .has = BIT(WIRE_F_OP) | BIT(WIRE_F_VERSION) | BIT(WIRE_F_SIZE) | BIT(WIRE_F_OFF),
                         .op = WIRE_OP_IS, .version = version, .size = len};

    do {
        size_t n = len - m.off < WIRE_CHUNK_MAX ? (size_t)(len - m.off) : WIRE_CHUNK_MAX;

        gateway_says(&w->g, &m, bytes + m.off, n);
        m.off += n;
    } while (m.off < len);
}

static void
gateway_saved(struct world *w, uint64_t version)
{
    struct wire_msg m = {.type = WIRE_STATE, .has = BIT(WIRE_F_OP) | BIT(WIRE_F_VERSION), .op = WIRE_OP_SAVED,
                         .version = version};

    gateway_says(&w->g, &m, NULL, 0);
}

static void
a_megabyte_of_state_goes_there_and_back(void **state)
{
    struct world *w = *state;
    char *bytes = malloc(WIRE_STATE_MAX);
    struct call set = {.w = w, .set = true, .bytes = bytes, .len = WIRE_STATE_MAX, .version = 3, .timeout_ms = -1};
    struct call get = {.w = w, .timeout_ms = -1};

    for (size_t i = 0; i < WIRE_STATE_MAX; i++)
        bytes[i] = (char)(i * 7 + i / 1000);
    is_in(w);
    begins(&set);
    for (size_t off = 0; off < WIRE_STATE_MAX; off += w->g.body_len) {
        gateway_hears(&w->g, WIRE_STATE);
        assert_int_equal(w->g.msg.op, WIRE_OP_SET);
        assert_int_equal(w->g.msg.version, 3);
        assert_int_equal(w->g.msg.off, off);
        assert_memory_equal(w->g.body, bytes + off, w->g.body_len);
    }
    gateway_saved(w, 4);
    assert_int_equal(ends(&set), 0);
    assert_int_equal(set.version, 4);
    begins(&get);
    gateway_hears(&w->g, WIRE_STATE);
    gateway_has(w, bytes, WIRE_STATE_MAX, 4);
    assert_int_equal(ends(&get), 0);
    assert_int_equal(get.state.version, 4);
    assert_int_equal(get.state.len, WIRE_STATE_MAX);
    assert_memory_equal(get.state.bytes, bytes, WIRE_STATE_MAX);
    assert_int_equal(sluice_state_set(w->s, bytes, WIRE_STATE_MAX + 1, 4, NULL, -1, &w->err), SLUICE_EINVAL);
    free(get.state.bytes);
    free(bytes);
}

static void
a_stale_set_is_refused(void **state)
{
    struct world *w = *state;
    struct wire_msg stale = {.type = WIRE_ERROR,
                             .has = BIT(WIRE_F_CODE) | BIT(WIRE_F_TEXT) | BIT(WIRE_F_FATAL) | BIT(WIRE_F_VERSION),
                             .code = WIRE_R_STATE_STALE, .text = {.at = "stale", .len = 5}, .version = 9};
    struct call set = {.w = w, .set = true, .bytes = "x", .len = 1, .version = 3, .timeout_ms = -1};

    is_in(w);
    begins(&set);
    gateway_hears(&w->g, WIRE_STATE);
    gateway_says(&w->g, &stale, NULL, 0);
    assert_int_equal(ends(&set), SLUICE_ESTALE);
}

static void
a_set_whose_answer_died_with_the_gateway_is_looked_up(void **state)
{
    struct world *w = *state;
    struct call set = {.w = w, .set = true, .bytes = "cursor", .len = 6, .version = 3, .timeout_ms = -1};

    is_in(w);
    begins(&set);
    gateway_hears(&w->g, WIRE_STATE);
    gateway_die(&w->g);
    gateway_revive(&w->g);
    gateway_lets_in(&w->g, 1, MUCH);
    assert_int_equal(gateway_hears(&w->g, WIRE_STATE)->op, WIRE_OP_GET);
    gateway_has(w, "cursor", 6, 4);
    assert_int_equal(ends(&set), 0);
    assert_int_equal(set.version, 4);
}

static void
state_calls_of_several_threads_take_turns_and_keep_their_timeouts(void **state)
{
    struct world *w = *state;
    struct call first = {.w = w, .timeout_ms = -1};
    struct call second = {.w = w, .timeout_ms = -1};
    struct call third = {.w = w, .timeout_ms = 30};

    is_in(w);
    begins(&first);
    gateway_hears(&w->g, WIRE_STATE);
    begins(&third);
    assert_int_equal(ends(&third), SLUICE_EAGAIN);
    begins(&second);
    assert_false(gateway_hears_within(&w->g, 30));
    gateway_has(w, "a", 1, 1);
    assert_int_equal(ends(&first), 0);
    gateway_hears(&w->g, WIRE_STATE);
    gateway_has(w, "b", 1, 2);
    assert_int_equal(ends(&second), 0);
    assert_memory_equal(first.state.bytes, "a", 1);
    assert_memory_equal(second.state.bytes, "b", 1);
    free(first.state.bytes);
    free(second.state.bytes);
}

static void
an_answer_that_came_too_late_is_not_taken_for_the_next(void **state)
{
    struct world *w = *state;
    struct call late = {.w = w, .set = true, .bytes = "a", .len = 1, .version = 3, .timeout_ms = 1000};
    struct call next = {.w = w, .set = true, .bytes = "b", .len = 1, .version = 3, .timeout_ms = -1};

    is_in(w);
    begins(&late);
    gateway_hears(&w->g, WIRE_STATE);
    assert_int_equal(ends(&late), SLUICE_EAGAIN);
    begins(&next);
    assert_false(gateway_hears_within(&w->g, 30));
    gateway_saved(w, 4);
    assert_int_equal(gateway_hears(&w->g, WIRE_STATE)->op, WIRE_OP_SET);
    assert_memory_equal(w->g.body, "b", 1);
    gateway_saved(w, 4);
    assert_int_equal(ends(&next), 0);
}

/* --- log and health --- */

static void
lines_and_health_reach_the_gateway_cut_to_size(void **state)
{
    struct world *w = *state;
    char text[1100];

    opens(w);
    memset(text, 'x', sizeof(text));
    memcpy(text + 1023, "\xc3\xa9", 2); /* a letter of two bytes on the edge */
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(sluice_health(w->s, SLUICE_DEGRADED, "slow feed", NULL), 0);
    assert_int_equal(sluice_log(w->s, SLUICE_WARN, text, NULL), 0);
    assert_int_equal(sluice_log(w->s, SLUICE_WARN, "\xff", &w->err), SLUICE_EINVAL);
    assert_int_equal(sluice_log(w->s, SLUICE_WARN, NULL, &w->err), SLUICE_EINVAL);
    gateway_lets_in(&w->g, 1, 0);
    assert_int_equal(gateway_hears(&w->g, WIRE_HEALTH)->status, WIRE_ST_DEGRADED);
    assert_memory_equal(w->g.msg.text.at, "slow feed", 9);
    assert_int_equal(gateway_hears(&w->g, WIRE_LOG)->level, WIRE_LV_WARN);
    assert_int_equal(w->g.msg.text.len, 1023);
}

static void
while_the_gateway_is_away_the_last_64_lines_are_kept(void **state)
{
    struct world *w = *state;
    char text[32];

    opens(w);
    for (int i = 1; i <= 200; i++) {
        snprintf(text, sizeof(text), "line %d.", i);
        assert_int_equal(sluice_log(w->s, SLUICE_INFO, text, NULL), 0);
    }
    gateway_lets_in(&w->g, 1, 0);
    for (int i = 200 - LINES + 1; i <= 200; i++) {
        snprintf(text, sizeof(text), "line %d.", i);
        gateway_hears(&w->g, WIRE_LOG);
        assert_memory_equal(w->g.msg.text.at, text, strlen(text));
    }
    assert_false(gateway_hears_within(&w->g, 30));
}

/* --- the process around it --- */

static void
on_signal(int signo)
{
    (void)signo;
}

static void
signals_of_the_process_never_go_to_the_librarys_threads(void **state)
{
    struct world *w = *state;
    struct sigaction act = {.sa_handler = on_signal}, before;
    sigset_t one, old;

    is_in(w);
    sigaction(SIGUSR1, &act, &before);
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    /* While the test blocks it, any thread that does not would take it. */
    pthread_sigmask(SIG_BLOCK, &one, &old);
    kill(getpid(), SIGUSR1);
    assert_false(gateway_hears_within(&w->g, 20));
    assert_int_equal(sigtimedwait(&one, NULL, &(struct timespec){.tv_sec = 0}), SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    sigaction(SIGUSR1, &before, NULL);
}

static int
child(struct world *w)
{
    struct sluice *own;

    if (sluice_close(&w->s, -1, NULL) != 0)
        return 1; /* must not wait for a thread that this process does not have */
    own = open_as(w, "c2", w->g.endpoint);
    if (own == NULL || sluice_wait(own, PATIENT_MS, NULL) != 0)
        return 2;
    return sluice_close(&own, 0, NULL) == 0 ? 0 : 3;
}

static void
a_forked_child_can_leave_the_handle_and_open_its_own(void **state)
{
    struct world *w = *state;
    int status = 0;
    pid_t pid;

#ifdef __SANITIZE_THREAD__
    print_message("the thread sanitizer starts no threads after a fork\n");
    skip();
#endif
    is_in(w);
    pid = fork();
    if (pid == 0)
        _exit(child(w));
    gateway_lets_in(&w->g, 1, 0);
    assert_memory_equal(w->g.msg.id.at, "c2", 2);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    gateway_hears(&w->g, WIRE_BYE);
    assert_int_equal(sluice_push(w->s, "x", 1, NULL, 0, NULL), 0);
    gateway_hears(&w->g, WIRE_BUNDLE); /* the parent's goes on */
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(options_that_cannot_be_are_refused_with_what_to_write),
        T(the_environment_names_the_gateway_where_the_program_does_not),
        T(a_unix_socket_serves_as_well),
        T(each_process_begins_an_epoch_above_the_one_before),
        T(two_handles_in_one_process_do_not_know_each_other),
        T(a_replaced_program_is_told_everywhere_at_once),
        T(a_refused_connector_hears_why_at_once),
        T(garbage_from_the_gateway_changes_nothing),
        T(a_frame_beyond_the_limit_costs_the_gateway_its_connection),
        T(a_stranger_on_the_port_does_not_end_the_library_for_the_gateway),
        T(a_gateway_that_claims_what_was_never_sent_is_not_believed),
        T(why_the_gateway_gives_no_credit_can_be_seen),
        T(a_megabyte_of_state_goes_there_and_back),
        T(a_stale_set_is_refused),
        T(a_set_whose_answer_died_with_the_gateway_is_looked_up),
        T(state_calls_of_several_threads_take_turns_and_keep_their_timeouts),
        T(an_answer_that_came_too_late_is_not_taken_for_the_next),
        T(lines_and_health_reach_the_gateway_cut_to_size),
        T(while_the_gateway_is_away_the_last_64_lines_are_kept),
        T(signals_of_the_process_never_go_to_the_librarys_threads),
        T(a_forked_child_can_leave_the_handle_and_open_its_own),
    };
    return cmocka_run_group_tests_name("handle", tests, NULL, NULL);
}
