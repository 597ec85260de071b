#include "truth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <amqp.h>
#include <amqp_tcp_socket.h>

#include "must.h"
#include "world.h"

enum { EVERY_MS = 50 };

void
truth_eval(const struct world *w, const char *expression)
{
    char script[600], dir[600], out[4096] = "";
    struct err err = {.text = ""};

    (void)snprintf(dir, sizeof(dir), "%s/broker", world_dir(w));
    const char *const argv[] = {world_source("tests/broker", script, sizeof(script)), "ctl", dir, "eval", expression,
                                NULL};
    if (world_run(argv, 60000, out, sizeof(out), &err) != 0)
        fail_msg("eval: %s%s", err.text, out);
}

static const char *
path_of(const struct world *w, char *buf, size_t cap)
{
    (void)snprintf(buf, cap, "%s/truth", world_dir(w));
    return buf;
}

/* What cannot be asked now is left as it was.  The file is replaced whole, so that nobody reads half of it. */
static const char LOOP[] =
    "Names = [%s], File = \"%s\","
    "Ask = fun(Name) -> try"
    "  {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, Name)),"
    "  [{_, B}, {_, M}, {_, U}] = rabbit_amqqueue:info(Q, [message_bytes, messages, messages_unacknowledged]),"
    "  {B, M, U} catch _:_ -> none end end,"
    "Take = fun(Name, Seen) -> Now = erlang:monotonic_time(millisecond), case Ask(Name) of none -> Seen;"
    "  {B, M, U} -> {_, Most, _, _, N, At, Gap} = maps:get(Name, Seen, {0, 0, 0, 0, 0, Now, 0}),"
    "  Seen#{Name => {B, max(B, Most), M, U, N + 1, Now, max(Gap, Now - At)}} end end,"
    "Loop = fun Loop(Seen) -> Next = lists:foldl(Take, Seen, Names),"
    "  file:write_file(File ++ \".new\", [io_lib:format(\"~s ~b ~b ~b ~b ~b ~b~n\", [Name, B, Most, M, U, N, Gap])"
    "    || {Name, {B, Most, M, U, N, _, Gap}} <- maps:to_list(Next)]),"
    "  file:rename(File ++ \".new\", File), timer:sleep(%d), Loop(Next) end,"
    "case whereis(sluice_truth) of undefined -> ok; Old -> exit(Old, kill), timer:sleep(100) end,"
    "file:delete(File),"
    "register(sluice_truth, spawn(fun() -> Loop(#{}) end)).";

static void
quote_names(char *to, size_t cap, const char *const *queues, size_t n)
{
    size_t used = 0;

    to[0] = '\0';
    for (size_t i = 0; i < n && used < cap; i++)
        used += (size_t)snprintf(to + used, cap - used, "%s<<\"%s\">>", i > 0 ? "," : "", queues[i]);
    assert_true(used < cap);
}

void
truth_start(const struct world *w, const char *const *queues, size_t n)
{
    char names[TRUTH_QUEUES_MAX * (TRUTH_NAME_CAP + 8)], path[600], expression[sizeof(names) + sizeof(LOOP) + 700];

    quote_names(names, sizeof(names), queues, n);
    (void)snprintf(expression, sizeof(expression), LOOP, names, path_of(w, path, sizeof(path)), EVERY_MS);
    truth_eval(w, expression);
}

/* A line: the name, and then as many figures as there are. */
static bool
read_line(char *line, const char *queue, struct truth *ret)
{
    uint64_t *const figures[] = {&ret->bytes, &ret->most, &ret->messages, &ret->unacked, &ret->samples, &ret->gap_ms};
    const size_t len = strlen(queue);
    char *at = line + len;

    if (strncmp(line, queue, len) != 0 || line[len] != ' ')
        return false;
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
        *figures[i] = strtoull(at, &at, 10);
    return *at == '\n';
}

bool
truth_of(const struct world *w, const char *queue, struct truth *ret)
{
    char path[600], line[400];
    struct truth t;
    bool found = false;
    FILE *f = fopen(path_of(w, path, sizeof(path)), "re");

    while (!found && f != NULL && fgets(line, sizeof(line), f) != NULL)
        found = read_line(line, queue, &t);
    if (f != NULL)
        (void)fclose(f);
    if (found)
        *ret = t;
    return found;
}

void
truth_tripwire(const struct world *w, const char *queue, uint64_t most)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(c);
    amqp_table_entry_t args[2] = {
        {.key = amqp_cstring_bytes("x-max-length-bytes"),
         .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = (int64_t)most}},
        {.key = amqp_cstring_bytes("x-overflow"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("reject-publish")}},
    };

    assert_int_equal(amqp_socket_open(socket, "127.0.0.1", world_broker_port(w)), AMQP_STATUS_OK);
    assert_int_equal(amqp_login(c, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type,
                     AMQP_RESPONSE_NORMAL);
    amqp_channel_open(c, 1);
    amqp_queue_declare(c, 1, amqp_cstring_bytes(queue), 0, 1, 0, 0, (amqp_table_t){.num_entries = 2, .entries = args});
    assert_int_equal(amqp_get_rpc_reply(c).reply_type, AMQP_RESPONSE_NORMAL);
    amqp_connection_close(c, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(c);
}
