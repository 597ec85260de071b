#include "orders.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "must.h"
#include "sluiced.h"
#include "world.h"

enum { PATIENCE_S = 60,
       ANSWER_CAP = 8 * 1024 };

/* --- lines --- */

static int
connect_to(const struct sluiced *d)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/operators.sock", sluiced_state_dir(d));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && n > 0 && (size_t)n < sizeof(a.sun_path));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        int why = errno;
        (void)close(fd);
        fail_msg("%s: %s", a.sun_path, strerror(why));
    }
    return fd;
}

void
orders_send(const struct sluiced *d, const void *bytes, size_t len, char *answer, size_t cap)
{
    int fd = connect_to(d);
    size_t have = 0;
    ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    while (n >= 0 && have + 1 < cap && (n = recv(fd, answer + have, cap - have - 1, 0)) > 0)
        have += (size_t)n;
    answer[have] = '\0';
    (void)close(fd);
    if (n != 0 && errno != ECONNRESET && errno != EPIPE)
        fail_msg("the gateway did not answer an operator in %d s", PATIENCE_S);
}

static json_t *
answered(const struct sluiced *d, const char *line)
{
    char text[ANSWER_CAP], request[300];
    int n = snprintf(request, sizeof(request), "%s\n", line);
    assert_true(n > 0 && (size_t)n < sizeof(request));
    orders_send(d, request, (size_t)n, text, sizeof(text));
    json_t *root = json_loads(text, 0, NULL);
    if (root == NULL)
        fail_msg("%s was answered with: %s", line, text);
    return root;
}

static const char *
text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

void
orders_refused(const struct sluiced *d, const char *line, char *words, size_t cap)
{
    json_t *root = answered(d, line);
    bool refused = json_is_false(json_object_get(root, "ok"));
    (void)snprintf(words, cap, "%s", text_of(root, "error"));
    json_decref(root);
    if (!refused)
        fail_msg("%s was not refused", line);
}

int64_t
orders_give(const struct sluiced *d, const char *what, const char *id)
{
    char line[200], words[300];
    json_t *root;
    if (id != NULL)
        (void)snprintf(line, sizeof(line), "{\"do\":\"%s\",\"connector\":\"%s\"}", what, id);
    else
        (void)snprintf(line, sizeof(line), "{\"do\":\"%s\"}", what);
    root = answered(d, line);
    bool done = json_is_true(json_object_get(root, "ok"));
    int64_t version = json_integer_value(json_object_get(root, "version"));
    (void)snprintf(words, sizeof(words), "%s", text_of(root, "error"));
    json_decref(root);
    if (!done)
        fail_msg("%s: %s", line, words);
    return version;
}

/* --- status --- */

static int64_t
read_time(const char *text)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    char *end = NULL;
    if (text[0] == '\0')
        return 0;
    long ms = rest != NULL && *rest == '.' ? strtol(rest + 1, &end, 10) : 0;
    if (end != rest + 4 || strcmp(end, "Z") != 0)
        fail_msg("\"%s\" is not a time", text);
    return (int64_t)timegm(&tm) * 1000 + ms;
}

static uint64_t
bytes_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : UINT64_MAX;
}

static void
read_standing(const json_t *c, struct standing *ret)
{
    const json_t *reasons = json_object_get(c, "reasons");
    size_t len = 0;
    ret->known = true;
    ret->connected = json_is_true(json_object_get(c, "connected"));
    ret->paused = json_is_true(json_object_get(c, "paused"));
    ret->running = json_object_get(c, "run") != NULL;
    (void)snprintf(ret->kind, sizeof(ret->kind), "%s", text_of(c, "kind"));
    (void)snprintf(ret->state, sizeof(ret->state), "%s", text_of(c, "state"));
    ret->period_ms = json_integer_value(json_object_get(c, "period_ms"));
    ret->last_run_ms = read_time(text_of(c, "last_run"));
    ret->next_run_ms = read_time(text_of(c, "next_run"));
    ret->spooled = bytes_of(c, "spooled");
    ret->spooled_bytes = bytes_of(c, "spooled_bytes");
    ret->measured = json_is_true(json_object_get(c, "measured"));
    ret->threshold = bytes_of(c, "threshold");
    ret->estimate = bytes_of(c, "estimate");
    ret->upper = bytes_of(c, "upper");
    (void)snprintf(ret->figures, sizeof(ret->figures), "%s", text_of(c, "figures"));
    (void)snprintf(ret->source, sizeof(ret->source), "%s", text_of(c, "source"));
    ret->room_in_ms = -1;
    if (json_object_get(c, "room_in_ms") != NULL)
        ret->room_in_ms = json_integer_value(json_object_get(c, "room_in_ms"));
    for (size_t i = 0; i < json_array_size(reasons) && len < sizeof(ret->reasons); i++)
        len += (size_t)snprintf(ret->reasons + len, sizeof(ret->reasons) - len, "%s%s", i > 0 ? "," : "",
                                json_string_value(json_array_get(reasons, i)));
}

struct standing
orders_status(const struct sluiced *d, const char *id)
{
    struct standing s = {.known = false};
    char line[160];
    (void)snprintf(line, sizeof(line), "{\"do\":\"status\",\"connector\":\"%s\"}", id);
    json_t *root = answered(d, line);
    if (json_is_true(json_object_get(root, "ok")))
        read_standing(json_array_get(json_object_get(root, "connectors"), 0), &s);
    json_decref(root);
    return s;
}

struct standing
orders_await(const struct sluiced *d, const char *id, const char *state, const char *reasons)
{
    const int64_t end = clock_mono_us() + PATIENCE_S * INT64_C(1000000);
    struct standing s;
    do {
        s = orders_status(d, id);
        if (s.known && strcmp(s.state, state) == 0 && (reasons == NULL || strcmp(s.reasons, reasons) == 0))
            return s;
        world_sleep_ms(5);
    } while (clock_mono_us() < end);
    sluiced_log_show(d);
    fail_msg("%s is not %s (%s) after %d s, but %s (%s)", id, state, reasons != NULL ? reasons : "any", PATIENCE_S,
             s.known ? s.state : "unknown", s.reasons);
    return s;
}

void
orders_await_warning(const struct sluiced *d, size_t i, const char *words)
{
    const int64_t end = clock_mono_us() + PATIENCE_S * INT64_C(1000000);
    char got[300];
    do {
        json_t *root = answered(d, "{\"do\":\"status\"}");
        const json_t *text = json_array_get(json_object_get(root, "warnings"), i);
        (void)snprintf(got, sizeof(got), "%s", text != NULL ? json_string_value(text) : "none");
        json_decref(root);
        if (strstr(got, words) != NULL)
            return;
        world_sleep_ms(5);
    } while (clock_mono_us() < end);
    fail_msg("warning %zu is \"%s\", without \"%s\"", i, got, words);
}

static int
count_journal(const struct sluiced *d, const char *wanted)
{
    char path[600], line[4096];
    int n = 0;
    (void)snprintf(path, sizeof(path), "%s/journal.log", sluiced_state_dir(d));
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        n += strstr(line, wanted) != NULL;
    if (f != NULL)
        (void)fclose(f);
    return n;
}

int
orders_journal(const struct sluiced *d, const char *id, const char *what, int n)
{
    const int64_t end = clock_mono_us() + PATIENCE_S * INT64_C(1000000);
    char wanted[160];
    int have;
    (void)snprintf(wanted, sizeof(wanted), "\"connector\":\"%s\",\"what\":\"%s\"", id, what);
    while ((have = count_journal(d, wanted)) < n && clock_mono_us() < end)
        world_sleep_ms(5);
    return have;
}
