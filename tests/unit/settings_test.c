/* settings_test.c - what a configuration may say, and what is said of one that is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "err.h"
#include "settings.h"
#include "settings_parts.h"

enum { PATH = 512, PRINT_MAX = 64 * 1024 };

struct world {
    char             dir[64];
    char             config[PATH]; /* dir/sluice.cfg */
    struct settings *s;
    struct err       err;
};

/* Files that a test may have written. */
static const char *const names[] = {
    "sluice.cfg", "more.cfg", "sub/more.cfg", "password", "ca.pem", "key.pem", "again.cfg"};

static int
world_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return -1;
    strcpy(w->dir, "/tmp/sluice-settings-XXXXXX");
    *state = w;
    if (mkdtemp(w->dir) == NULL)
        return -1;
    snprintf(w->config, sizeof(w->config), "%s/sluice.cfg", w->dir);
    return 0;
}

static int
world_down(void **state)
{
    struct world *w = *state;
    char path[PATH];

    settings_free(w->s);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/sub", w->dir);
    rmdir(path);
    rmdir(w->dir);
    free(w);
    return 0;
}

static char *
write_bytes(const struct world *w, const char *name, const void *bytes, size_t len, mode_t mode, char *path)
{
    snprintf(path, PATH, "%s/%s", w->dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static char *
write_file(const struct world *w, const char *name, const char *text, mode_t mode, char *path)
{
    return write_bytes(w, name, text, strlen(text), mode, path);
}

static struct settings *
try_load(struct world *w, const char *path, char *const *env)
{
    settings_free(w->s);
    memset(&w->err, 0, sizeof(w->err));
    return w->s = settings_load(path, env, &w->err);
}

static const struct settings *
load_env(struct world *w, const char *text, char *const *env)
{
    char path[PATH];

    write_file(w, "sluice.cfg", text, 0600, path);
    if (try_load(w, path, env) == NULL)
        fail_msg("refused: %s\n%s", w->err.text, text);
    return w->s;
}

static const struct settings *
load(struct world *w, const char *text)
{
    return load_env(w, text, NULL);
}

/* Was it refused, with these words in the error? */
static void
assert_words(const struct world *w, const char *words, const char *text)
{
    if (w->s != NULL)
        fail_msg("taken, and should say \"%s\": %s", words, text);
    assert_int_equal(w->err.code, ERR_CONFIG);
    if (strstr(w->err.text, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, w->err.text);
}

static void
refused(struct world *w, const char *text, const char *words)
{
    char path[PATH];

    try_load(w, write_file(w, "sluice.cfg", text, 0600, path), NULL);
    assert_words(w, words, text);
}

static void
refused_env(struct world *w, const char *variable, const char *words)
{
    char  copy[256];
    char *env[] = {copy, NULL};

    snprintf(copy, sizeof(copy), "%s", variable);
    try_load(w, NULL, env);
    assert_words(w, words, variable);
}

struct refusal {
    const char *text, *words;
};

static void
all_refused(struct world *w, const struct refusal *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        refused(w, rows[i].text, rows[i].words);
}
#define ALL_REFUSED(w, rows) all_refused(w, rows, sizeof(rows) / sizeof((rows)[0]))

/* --- what is taken ------------------------------------------------------------------------------------------------ */

static void
without_a_file_the_defaults_of_the_design_hold(void **state)
{
    struct world *w = *state;
    const struct settings *s = try_load(w, NULL, NULL);

    assert_non_null(s);
    assert_string_equal(s->door.endpoint, "tcp://127.0.0.1:7117");
    assert_int_equal(s->door.ping_us, 40 * 1000000);
    assert_int_equal(s->door.missed, 3);
    assert_int_equal(s->door.backlog, 4096);
    assert_int_equal(s->door.rcvhwm, 128);
    assert_int_equal(s->door.chunk, 64 * 1024);
    assert_int_equal(s->broker.n_hosts, 1);
    assert_string_equal(s->broker.hosts[0].host, "127.0.0.1");
    assert_int_equal(s->broker.hosts[0].port, 5672);
    assert_string_equal(s->broker.password, "guest");
    assert_null(s->broker.ca_file);
    assert_int_equal(s->broker.window, 200);
    assert_int_equal(s->broker.window_bytes, 8 * 1024 * 1024);
    assert_int_equal(s->broker.heartbeat_us, 15 * 1000000);
    assert_int_equal(s->broker.hung_us, 45 * 1000000);
    assert_int_equal(s->broker.retry_min_us, 100 * 1000);
    assert_int_equal(s->broker.retry_max_us, 30 * 1000000);
    assert_int_equal(s->memory.limit, 256 * 1024 * 1024);
    assert_int_equal(s->memory.max_bundle, 64 * 1024 * 1024);
    assert_int_equal(s->state.mark_us, 1000000);
    assert_int_equal(s->log.format, LOG_KEYVALUE);
    assert_int_equal(s->log.level, LOG_INFO);
    assert_int_equal(s->stop_us, 30 * 1000000);
    assert_false(s->accept_unknown || s->has_default_target);
    assert_int_equal(s->n_connectors, 0);
}

static void
every_kind_of_value_is_read_from_the_file(void **state)
{
    struct world *w = *state;
    static const char text[] =
        "door = { endpoint = \"ipc:///run/x\"; ping = \"200ms\"; missed = 5; };\n"
        "broker = { hosts = ( \"a:1\", \"b\", \"[::1]:3\" ); vhost = \"/b\xc3\xa4r\"; window_bytes = \"1MiB\"; };\n"
        "log: { format = \"json\", level = \"debug\" }  # other spellings of libconfig\n"
        "accept_unknown = TRUE;\n"
        "default_target = { queue = \"rest\"; };\n";
    const struct settings *s = load(w, text);

    assert_string_equal(s->door.endpoint, "ipc:///run/x");
    assert_int_equal(s->door.ping_us, 200000);
    assert_int_equal(s->door.missed, 5);
    assert_int_equal(s->broker.n_hosts, 3);
    assert_int_equal(s->broker.hosts[1].port, 5672);
    assert_string_equal(s->broker.hosts[2].host, "::1");
    assert_int_equal(s->broker.hosts[2].port, 3);
    assert_string_equal(s->broker.vhost, "/b\xc3\xa4r");
    assert_int_equal(s->broker.window_bytes, 1024 * 1024);
    assert_int_equal(s->log.format, LOG_JSON);
    assert_int_equal(s->log.level, LOG_DEBUG);
    assert_true(s->accept_unknown && s->has_default_target);
    assert_string_equal(s->default_target.queue, "rest");
    assert_string_equal(s->default_target.routing_key, "rest");
    assert_string_equal(s->default_target.format, "raw");
}

static void
connectors_keep_their_order_and_their_targets(void **state)
{
    struct world *w = *state;
    static const char text[] =
        "connectors = (\n"
        "  { id = \"kev\"; queue = \"q\"; declare = true; ordered = true; },\n"
        "  { id = \"b\"; exchange = \"x\"; routing_key = \"k\"; format = \"raw\"; },\n"
        "  { id = \"a\"; routing_key = \"only\"; }\n);\n";
    const struct settings *s = load(w, text);

    assert_int_equal(s->n_connectors, 3);
    assert_string_equal(s->connectors[0].id, "kev");
    assert_string_equal(s->connectors[0].target.exchange, "");
    assert_string_equal(s->connectors[0].target.routing_key, "q");
    assert_true(s->connectors[0].target.declare && s->connectors[0].ordered);
    assert_string_equal(s->connectors[1].target.queue, "");
    assert_false(s->connectors[1].ordered);
    assert_string_equal(s->connectors[2].target.queue, "only");
}

static void
opencti_targets_are_named_as_the_platform_names_them(void **state)
{
    struct world *w = *state;
    static const char text[] = "connectors = (\n"
                               "  { id = \"kev\"; format = \"opencti\"; },\n"
                               "  { id = \"b\"; format = \"opencti\"; queue_prefix = \"prod_\"; declare = true; },\n"
                               "  { id = \"own\"; format = \"opencti\"; queue = \"q\"; },\n"
                               "  { id = \"again\"; format = \"opencti\"; exchange = \"amqp.worker.exchange\";\n"
                               "    routing_key = \"push_routing_again\"; queue = \"push_again\"; }\n);\n";
    const struct settings *s = load(w, text);

    assert_string_equal(s->connectors[0].target.exchange, "amqp.worker.exchange");
    assert_string_equal(s->connectors[0].target.routing_key, "push_routing_kev");
    assert_string_equal(s->connectors[0].target.queue, "push_kev");
    assert_string_equal(s->connectors[1].target.exchange, "prod_amqp.worker.exchange");
    assert_string_equal(s->connectors[1].target.routing_key, "prod_push_routing_b");
    assert_string_equal(s->connectors[1].target.queue, "prod_push_b");
    assert_true(s->connectors[0].target.opencti_names && s->connectors[1].target.opencti_names);
    assert_string_equal(s->connectors[2].target.exchange, "");
    assert_string_equal(s->connectors[2].target.queue, "q");
    assert_false(s->connectors[2].target.opencti_names);
    assert_true(s->connectors[3].target.opencti_names); /* as --print-config writes them */
}

static void
the_environment_goes_before_the_file(void **state)
{
    struct world *w = *state;
    char *env[] = {"PATH=/bin", "SLUICE_DOOR_ENDPOINT=tcp://127.0.0.9:*", "SLUICE_BROKER_HOSTS=x:1, y",
                   "SLUICE_ACCEPT_UNKNOWN=true", "SLUICE_DEFAULT_TARGET_QUEUE=rest", "SLUICE_DOOR_MISSED=7",
                   "SLUICE_ENDPOINT=tcp://elsewhere:1", "SLUICE_SHARED=/x", "SLUICE_BROKER_PASSWORD=s3cret",
                   "SLUICE_STOP_WITHIN=5s", NULL};
    const struct settings *s = load_env(w, "door = { missed = 5; }; broker = { user = \"u\"; };", env);

    assert_string_equal(s->door.endpoint, "tcp://127.0.0.9:*");
    assert_int_equal(s->door.missed, 7);
    assert_int_equal(s->broker.n_hosts, 2);
    assert_string_equal(s->broker.hosts[1].host, "y");
    assert_string_equal(s->broker.password, "s3cret");
    assert_int_equal(s->stop_us, 5000000);
    assert_string_equal(s->default_target.queue, "rest");
}

static void
localhost_becomes_an_address_that_can_be_bound(void **state)
{
    const struct settings *s = load(*state, "door = { endpoint = \"tcp://localhost:7\"; };");

    assert_string_equal(s->door.endpoint, "tcp://127.0.0.1:7");
}

static void
the_default_of_max_bundle_follows_the_limit(void **state)
{
    struct world *w = *state;

    assert_int_equal(load(w, "memory = { limit = \"1MiB\"; };")->memory.max_bundle, 256 * 1024);
    assert_int_equal(load(w, "memory = { limit = \"8GiB\"; };")->memory.max_bundle, 512 * 1024 * 1024);
}

static void
the_spool_lies_beside_the_state_and_a_connector_gets_a_quarter_of_it(void **state)
{
    struct world *w = *state;

    assert_string_equal(load(w, "state = { dir = \"/srv/sluice\"; };")->spool.dir, "/srv/sluice/spool");
    assert_string_equal(load(w, "spool = { dir = \"/srv/bundles\"; };")->spool.dir, "/srv/bundles");
    assert_int_equal(load(w, "spool = { limit = \"4GiB\"; };")->spool.each, 1024 * 1024 * 1024);
    assert_int_equal(load(w, "spool = { limit = \"0B\"; };")->spool.each, 0);
    refused(w, "spool = { limit = \"1GiB\"; each = \"2GiB\"; };", "spool.each: one connector can have no more than");
    refused(w, "spool = { limit = \"1MiB\"; };", "spool.limit: a bundle of memory.max_bundle");
}

static void
the_socket_of_operators_lies_beside_the_state_unless_it_is_named(void **state)
{
    struct world *w = *state;
    char text[256], folder[120];

    assert_string_equal(load(w, "state = { dir = \"/srv/sluice\"; };")->operators.socket, "/srv/sluice/operators.sock");
    assert_string_equal(load(w, "operators = { socket = \"/run/ops\"; };")->operators.socket, "/run/ops");
    memset(folder, 'x', sizeof(folder));
    folder[0] = '/';
    folder[sizeof(folder) - 1] = '\0';
    snprintf(text, sizeof(text), "state = { dir = \"%s\"; };", folder);
    refused(w, text, "at most 107: write operators = { socket = ");
    snprintf(text, sizeof(text), "operators = { socket = \"%s\"; };", folder);
    refused(w, text, "operators.socket: the path of operators.sock has 119 bytes");
}

static void
files_are_included_from_the_folder_of_the_file_wherever_the_process_is(void **state)
{
    struct world *w = *state;
    char path[PATH];

    snprintf(path, sizeof(path), "%s/sub", w->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(w, "more.cfg", "missed = 4;\n", 0600, path);
    write_file(w, "sub/more.cfg", "log = { level = \"warn\"; };\n", 0600, path);
    const struct settings *s = load(w, "door = {\n@include \"more.cfg\"\n};\n  @include \"sub/more.cfg\"\n");
    assert_int_equal(s->door.missed, 4);
    assert_int_equal(s->log.level, LOG_WARN);
}

static void
a_byte_order_mark_is_named(void **state)
{
    struct world *w = *state;
    char path[PATH];

    refused(w, "\xEF\xBB\xBFstop = { linger = \"1s\"; };", "sluice.cfg:1: the file begins with a byte order mark");
    refused(w, "\xEF\xBB\xBF", "without BOM");
    write_file(w, "more.cfg", "\xEF\xBB\xBFmissed = 4;\n", 0600, path);
    refused(w, "door = {\n@include \"more.cfg\"\n};\n", "more.cfg:1: the file begins with a byte order mark");
}

static void
ten_thousand_connectors_are_taken_and_one_more_is_not(void **state)
{
    struct world *w = *state;
    char  *text = malloc(1024 * 1024), path[PATH];
    size_t used = (size_t)sprintf(text, "connectors = ( { id = \"c\"; queue = \"q\"; }");

    for (int i = 1; i < 10000; i++)
        used += (size_t)sprintf(text + used, ",\n{ id = \"c%d\"; queue = \"q\"; }", i);
    snprintf(text + used, 64, ");");
    assert_int_equal(load(w, text)->n_connectors, 10000);
    snprintf(text + used, 64, ", { id = \"more\"; queue = \"q\"; });");
    try_load(w, write_file(w, "sluice.cfg", text, 0600, path), NULL);
    assert_words(w, "at most 10000", "10001 connectors");
    free(text);
}

/* --- secrets ------------------------------------------------------------------------------------------------------ */

static const struct settings *
load_with_password_file(struct world *w, const char *content, mode_t mode)
{
    char path[PATH], text[2 * PATH];

    write_file(w, "password", content, mode, path);
    snprintf(text, sizeof(text), "broker = { user = \"u\"; password_file = \"%s\"; };", path);
    write_file(w, "sluice.cfg", text, 0600, path);
    return try_load(w, path, NULL);
}

static void
a_password_file_is_read_without_its_newline(void **state)
{
    struct world *w = *state;

    assert_non_null(load_with_password_file(w, "s3cret\n", 0640));
    assert_string_equal(w->s->broker.password, "s3cret");
    assert_non_null(load_with_password_file(w, " s3 cret \r\n", 0400));
    assert_string_equal(w->s->broker.password, " s3 cret ");
    assert_non_null(load_with_password_file(w, "s3cret", 0600));
    assert_string_equal(w->s->broker.password, "s3cret");
}

static void
a_password_file_that_all_may_read_or_that_is_empty_is_refused(void **state)
{
    struct world *w = *state;

    load_with_password_file(w, "s3cret\n", 0644);
    assert_words(w, "mode 0644", "a password for all");
    assert_null(strstr(w->err.text, "s3cret"));
    load_with_password_file(w, "\n", 0600);
    assert_words(w, "it is empty", "an empty password");
    refused(w, "broker = { password_file = \"/nowhere/x\"; };",
            "broker.password_file: /nowhere/x: it cannot be opened");
    refused(w, "broker = { password_file = \"/tmp\"; };", "not a regular file");
}

static void
a_password_never_stands_in_the_file_and_comes_from_one_place(void **state)
{
    struct world *w = *state;
    char path[PATH], variable[2 * PATH];
    char *env[] = {"SLUICE_BROKER_PASSWORD=a", variable, NULL};

    refused(w, "broker = { password = \"x\"; };", "write password_file");
    refused(w, "broker = { user = \"u\"; };", "there is no password for it");
    snprintf(variable, sizeof(variable), "SLUICE_BROKER_PASSWORD_FILE=%s", write_file(w, "password", "b", 0600, path));
    try_load(w, NULL, env);
    assert_words(w, "unset one of them", "two passwords");
    assert_non_null(try_load(w, NULL, env + 1));
    assert_string_equal(w->s->broker.password, "b");
}

/* --- what is printed ---------------------------------------------------------------------------------------------- */

static char *
print(const struct settings *s)
{
    char  *text = calloc(1, PRINT_MAX);
    FILE  *to = fmemopen(text, PRINT_MAX, "w");

    assert_non_null(to);
    settings_print(s, to);
    fclose(to);
    return text;
}

static void
assert_round_trip(struct world *w)
{
    char  path[PATH];
    char *first = print(w->s);

    write_file(w, "again.cfg", first, 0600, path);
    if (try_load(w, path, NULL) == NULL)
        fail_msg("%s\n%s", w->err.text, first);
    char *second = print(w->s);
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static void
what_is_printed_can_be_loaded_and_prints_the_same(void **state)
{
    struct world *w = *state;

    assert_non_null(try_load(w, NULL, NULL));
    assert_round_trip(w);
    load(w, "door = { ping = \"1500ms\"; chunk = \"1025B\"; };\n"
            "broker = { hosts = ( \"[::1]\", \"a\" ); vhost = \"q\\\"b\\\\s\\n\\x01\xc3\xa4\"; retry_max = \"1m\"; };\n"
            "accept_unknown = false; default_target = { exchange = \"e\"; };\n"
            "connectors = ( { id = \"a\"; queue = \"tab\\there\"; }, { id = \"b\"; exchange = \"x\"; } );");
    assert_round_trip(w);
    assert_int_equal(w->s->broker.n_hosts, 2);
    assert_string_equal(w->s->broker.vhost, "q\"b\\s\n\x01\xc3\xa4");
    assert_string_equal(w->s->connectors[0].target.queue, "tab\there");
}

static void
a_password_is_never_printed(void **state)
{
    struct world *w = *state;

    assert_non_null(load_with_password_file(w, "s3cret\n", 0600));
    char *text = print(w->s);
    assert_null(strstr(text, "s3cret"));
    assert_non_null(strstr(text, "password_file = \""));
    free(text);
    assert_round_trip(w);
    assert_string_equal(w->s->broker.password, "s3cret");
}

/* --- what is refused ---------------------------------------------------------------------------------------------- */

static void
an_unknown_key_is_refused_with_the_one_that_was_meant(void **state)
{
    static const struct refusal rows[] = {
        {"door = { endpiont = \"x\"; };", "door.endpiont: there is no such key; did you mean \"endpoint\"?"},
        {"door = { Ping = \"4s\"; };", "did you mean \"ping\"?"},
        {"broker = {\n\n  windowbytes = \"1MiB\"; };",
         "sluice.cfg:3: broker.windowbytes: there is no such key; did you mean \"window_bytes\"?"},
        {"door = { heartbeat = \"1s\"; };", "did you mean broker.heartbeat?"},
        {"state = { colour = 1; };", "there is no such key; there is dir, mark_every"},
        {"brokr = { };", "did you mean \"broker\"?"},
        {"conectors = ( );", "did you mean \"connectors\"?"},
        {"accept_unknwon = true;", "did you mean \"accept_unknown\"?"},
        {"heartbeat = \"1s\";", "did you mean broker.heartbeat?"},
        {"zzz = 1;", "there are door, broker"},
        {"connectors = ( { id = \"a\"; que = \"x\"; } );",
         "connectors.que: there is no such key; did you mean \"queue\"?"},
    };

    ALL_REFUSED(*state, rows);
}

static void
a_mistyped_value_is_refused_with_what_to_write(void **state)
{
    static const struct refusal rows[] = {
        {"\ndoor = { ping = 40; };",
         "sluice.cfg:2: door.ping: found the number 40, expected a duration with its unit, in quotes: "
         "write ping = \"40s\";"},
        {"door = { missed = \"3\"; };",
         "found the text \"3\", expected a whole number without quotes: write missed = 3;"},
        {"door = { missed = 3.0; };", "found the number 3, expected a whole number"},
        {"memory = { limit = 268435456; };", "expected a size with its unit, in quotes: write limit = \"256MiB\";"},
        {"broker = { tls = 1; };", "found the number 1, expected true or false"},
        {"broker = { tls = \"true\"; };", "expected true or false without quotes: write tls = false;"},
        {"broker = { hosts = 5; };", "expected a list of texts in quotes: write hosts = ( \"127.0.0.1\" );"},
        {"broker = { hosts = ( 1, 2 ); };", "found a list, expected a list of texts in quotes"},
        {"broker = { vhost = { }; };", "found a group { }, expected a text in quotes"},
        {"log = { level = true; };", "found true, expected a text in quotes: write level = \"info\";"},
        {"door = 5;", "found the number 5, expected a group: write door = { ... };"},
        {"connectors = { };", "found a group { }, expected a list"},
        {"connectors = [ \"a\" ];", "found an array [ ], expected a list"},
        {"connectors = ( \"a\" );", "found a text, expected a group"},
        {"accept_unknown = 1;", "accept_unknown: found the number 1, expected true or false"},
        {"memory = { max_bundle = 5; };", "write max_bundle = \"64MiB\";"},
    };

    ALL_REFUSED(*state, rows);
}

static void
a_value_out_of_bounds_is_refused_with_the_bounds(void **state)
{
    static const struct refusal rows[] = {
        {"door = { missed = 0; };", "0 is out of range: write at least 1 and at most 100"},
        {"door = { missed = -1; };", "\"-1\" is not a whole number"},
        {"door = { missed = 5000000000L; };", "5000000000 is out of range"},
        {"door = { chunk = \"65537B\"; };", "65537B is out of range: write at least 1KiB and at most 64KiB"},
        {"door = { ping = \"1ms\"; };", "1ms is out of range: write at least 10ms and at most 1h"},
        {"door = { ping = \"forty\"; };", "sluice.cfg:1: door.ping: "},
        {"memory = { limit = \"256\"; };", "sluice.cfg:1: memory.limit: "},
        {"memory = { limit = \"1023KiB\"; };", "at least 1MiB"},
        {"broker = { connections = 17; };", "at most 16"},
        {"broker = { vhost = \"\"; };", "it is empty"},
        {"log = { level = \"verbose\"; };",
         "\"verbose\" is not known here; there is \"error\", \"warn\", \"info\", \"debug\""},
        {"connectors = ( { id = \"a\"; queue = \"q\"; format = \"stix\"; } );",
         "\"stix\" is not known here; there is \"raw\", \"opencti\""},
        {"broker = { vhost = \"\xff\"; };", "not UTF-8"},
    };

    ALL_REFUSED(*state, rows);
}

static void
what_libconfig_would_misread_is_refused(void **state)
{
    struct world *w = *state;
    static const char nul[] = "door = { };\0door = { };";
    char path[PATH], deep[64] = "x = ";
    static const struct refusal rows[] = {
        {"door = { missed = 3000000000; };", "sluice.cfg:1: the number is larger than 2147483647"},
        {"door = { missed = 4294967299; };", "larger than 2147483647"},
        {"door = { missed = 0xFFFFFFFF; };", "larger than 2147483647"},
        {"door = { missed = 99999999999999999999L; };", "larger than 2147483647"},
        {"a=1b=3000000000;", "larger than 2147483647"},
        {"broker = { vhost = \"a\\x00b\"; };", "\\x00 would end the text"},
        {"door = { missed = 3; }; door = { };", "duplicate"},
        {"door = { missed = 3 \n backlog == 2; };", "sluice.cfg:2: syntax error"},
    };

    ALL_REFUSED(w, rows);
    /* What only looks like it is not. */
    load(w, "# 3000000000 \"\n/* 3000000000\n @include \"/x\" */ // @include \"x\n"
            "broker = { vhost = \"3000000000 \\\" \\\\\"; };");
    assert_string_equal(w->s->broker.vhost, "3000000000 \" \\");
    try_load(w, write_bytes(w, "sluice.cfg", nul, sizeof(nul), 0600, path), NULL);
    assert_words(w, "NUL byte", "a NUL");
    memset(deep + 4, '(', 40);
    refused(w, deep, "nested too deeply");
}

static void
includes_lead_nowhere_else(void **state)
{
    struct world *w = *state;
    char path[PATH];
    static const struct refusal rows[] = {
        {"@include \"/etc/passwd\"\n", "sluice.cfg:1: @include: only files in the folder"},
        {"\n@include \"../x\"\n", "sluice.cfg:2: @include: only files in the folder"},
        {"@include \"a/../../x\"\n", "only files in the folder"},
        {"@include \"missing.cfg\"\n", "it cannot be opened"},
        {"@include \".\"\n", "not a regular file"},
        {"@include \"sluice.cfg\"\n", "includes itself"},
        {"@include x\n", "in quotes"},
    };

    ALL_REFUSED(w, rows);
    write_file(w, "more.cfg", "\n\nping = 5;\n", 0600, path);
    refused(w, "door = {\n@include \"more.cfg\"\n};", "more.cfg:3: door.ping");
    write_file(w, "more.cfg", "missed = 3000000000;\n", 0600, path);
    refused(w, "door = {\n@include \"more.cfg\"\n};", "more.cfg:1: the number is larger");
}

static void
a_file_that_cannot_be_read_is_named(void **state)
{
    struct world *w = *state;
    char path[PATH];

    try_load(w, "/nowhere/sluice.cfg", NULL);
    assert_words(w, "configuration /nowhere/sluice.cfg: it cannot be opened: No such file", "missing");
    try_load(w, w->dir, NULL);
    assert_words(w, "not a regular file", "a folder");
    write_file(w, "sluice.cfg", "#", 0600, path);
    assert_int_equal(truncate(path, 4 * 1024 * 1024 + 1), 0);
    try_load(w, path, NULL);
    assert_words(w, "larger than 4194304 bytes", "5 MiB");
}

static void
the_door_opens_on_loopback_only(void **state)
{
    struct world *w = *state;
    char path[PATH], text[PATH];
    static const struct refusal rows[] = {
        {"door = { endpoint = \"tcp://0.0.0.0:7117\"; };",
         "\"0.0.0.0\" is not loopback, and connectors are not authenticated"},
        {"door = { endpoint = \"tcp://*:7117\"; };", "SSH tunnel"},
        {"door = { endpoint = \"tcp://192.168.1.1:7117\"; };", "not loopback"},
        {"door = { endpoint = \"tcp://127.0.0.1.example.org:7117\"; };", "not loopback"},
        {"door = { endpoint = \"tcp://[::]:7117\"; };", "not loopback"},
        {"door = { endpoint = \"tcp://eth0:7117\"; };", "not loopback"},
        {"door = { endpoint = \"tcp://192.168.1.1;127.0.0.1:7117\"; };", "not loopback"},
        {"door = { endpoint = \"tcp://127.0.0.1\"; };", "has no port"},
        {"door = { endpoint = \"tcp://127.0.0.1:\"; };", "has no port"},
        {"door = { endpoint = \"tcp://[::1]\"; };", "has no port"},
        {"door = { endpoint = \"tcp://127.0.0.1:70000\"; };", "is not a number from 0 to 65535"},
        {"door = { endpoint = \"tcp://127.0.0.1:99999\"; };", "is not a number from 0 to 65535"},
        {"door = { endpoint = \"tcp://127.0.0.1:amqp\"; };", "is not a number from 0 to 65535"},
        {"door = { endpoint = \"udp://127.0.0.1:1\"; };", "neither tcp:// nor ipc://"},
        {"door = { endpoint = \"ipc://relative\"; };", "not absolute"},
        {"door = { endpoint = \"ipc://@abstract\"; };", "not absolute"},
    };

    ALL_REFUSED(w, rows);
    assert_string_equal(load(w, "door = { endpoint = \"tcp://[::1]:0\"; };")->door.endpoint, "tcp://[::1]:0");
    snprintf(text, sizeof(text), "door = { endpoint = \"ipc:///%0107d\"; };", 0);
    try_load(w, write_file(w, "sluice.cfg", text, 0600, path), NULL);
    assert_words(w, "108 bytes, and a socket's has at most 107", "a long path");
}

static void
hosts_that_are_none_are_refused(void **state)
{
    struct world *w = *state;

    refused_env(w, "SLUICE_BROKER_HOSTS=", "no name of a host");
    refused_env(w, "SLUICE_BROKER_HOSTS=a,,b", "no name of a host");
    refused_env(w, "SLUICE_BROKER_HOSTS=a:0", "port is not a number from 1 to 65535");
    refused_env(w, "SLUICE_BROKER_HOSTS=a:65536", "port is not");
    refused_env(w, "SLUICE_BROKER_HOSTS=a:5672x", "port is not");
    refused_env(w, "SLUICE_BROKER_HOSTS=::1", "stands in brackets");
    refused_env(w, "SLUICE_BROKER_HOSTS=[::1", "not closed");
    refused_env(w, "SLUICE_BROKER_HOSTS=[fe80::x]", "no IPv6 address");
    refused_env(w, "SLUICE_BROKER_HOSTS=amqp://a", "not a URL; user, vhost and tls are keys of their own");
    refused_env(w, "SLUICE_BROKER_HOSTS=a b", "no name of a host");
    refused_env(w, "SLUICE_BROKER_HOSTS=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "more than 16");
}

static void
connectors_that_contradict_themselves_are_refused(void **state)
{
    struct world *w = *state;
    char path[PATH], text[PATH];
    static const struct refusal rows[] = {
        {"connectors = ( { queue = \"q\"; } );", "one has no id"},
        {"connectors = ( { id = \"UPPER\"; queue = \"q\"; } );", "\"UPPER\" is no id: write 1 to 64"},
        {"connectors = ( { id = \"\"; queue = \"q\"; } );", "one has no id"},
        {"connectors = ( { id = \"a\"; } );", "a: nothing says where messages go: write queue"},
        {"connectors = ( { id = \"a\"; queue = \"q\"; routing_key = \"r\"; } );", "write one of them only"},
        {"connectors = ( { id = \"a\"; exchange = \"x\"; declare = true; } );", "declare needs a queue"},
        {"connectors = ( { id = \"a\"; queue = \"amq.x\"; declare = true; } );",
         "keeps queue names that begin with \"amq.\""},
        {"connectors = (\n{ id = \"a\"; queue = \"q\"; },\n{ id = \"b\"; queue = \"q\"; },\n"
         "{ id = \"a\"; queue = \"q\"; } );",
         "the id \"a\" is taken by the one at "},
    };

    ALL_REFUSED(w, rows);
    snprintf(text, sizeof(text), "connectors = ( { id = \"a\"; queue = \"%0256d\"; } );", 0);
    try_load(w, write_file(w, "sluice.cfg", text, 0600, path), NULL);
    assert_words(w, "256 bytes are too long: at most 255", "a long queue");
}

static void
keys_that_contradict_each_other_are_refused(void **state)
{
    static const struct refusal rows[] = {
        {"accept_unknown = true;", "sluice.cfg:1: accept_unknown: nothing says where their messages go"},
        {"default_target = { queue = \"q\"; };", "default_target.queue: it serves connectors that are not listed"},
        {"accept_unknown = true; default_target = { declare = true; };", "nothing says where messages go"},
        {"accept_unknown = true; default_target = { format = \"opencti\"; };",
         "default_target.format: OpenCTI's names are made of a connector's id, and this target is for any"},
        {"connectors = ( { id = \"a\"; queue = \"q\"; queue_prefix = \"p\"; } );",
         "queue_prefix is for OpenCTI's names"},
        {"connectors = ( { id = \"a\"; queue = \"q\"; format = \"opencti\"; queue_prefix = \"p\"; } );",
         "queue_prefix is for OpenCTI's names"},
        {"memory = { limit = \"4MiB\"; max_bundle = \"2MiB\"; };",
         "above a quarter of memory.limit (4MiB): write at most \"1MiB\""},
        {"broker = { retry_min = \"40s\"; };", "retry_min (40s) is above retry_max (30s)"},
        {"telemetry = { url = \"localhost:15672\"; };", "telemetry.url: \"localhost:15672\" is no URL of a RabbitMQ"},
        {"telemetry = { url = \"ftp://a\"; };", "\"ftp://a\" is no URL"},
        {"telemetry = { url = \"http:///a\"; };", "\"http:///a\" is no URL"},
        {"telemetry = { url = \"https://\"; };", "\"https://\" is no URL"},
        {"telemetry = { url = \"http://me:secret@a\"; };", "names and passwords do not stand in it"},
        {"telemetry = { url = \"http://a:1, http\"; };", "\"http\" is no URL"},
        {"telemetry = { url = \"http://a:1,\"; };", "\"\" is no URL"},
        {"telemetry = { url = \"http://a:1 http://b:1\"; };", "\"http://a:1\" is no URL"},
        {"broker = { heartbeat = \"1500ms\"; };", "whole seconds: write \"1s\""},
        {"broker = { tls = true; };", "without ca_file nobody vouches"},
        {"broker = { ca_file = \"/x\"; };", "it is set, but tls is off"},
        {"broker = { tls = true; ca_file = \"/nowhere\"; };", "broker.ca_file: /nowhere: it cannot be opened"},
        {"broker = { tls = true; ca_file = \"/x\"; key_file = \"/y\"; };", "go together"},
    };

    ALL_REFUSED(*state, rows);
}

static void
tls_takes_its_files_and_its_port(void **state)
{
    struct world *w = *state;
    char ca[PATH], key[PATH], path[PATH], text[4 * PATH];

    write_file(w, "ca.pem", "x", 0644, ca);
    write_file(w, "key.pem", "x", 0600, key);
    snprintf(text, sizeof(text), "broker = { tls = true; ca_file = \"%s\"; cert_file = \"%s\"; key_file = \"%s\"; };",
             ca, ca, key);
    assert_int_equal(load(w, text)->broker.hosts[0].port, 5671);
    write_file(w, "key.pem", "x", 0644, key);
    try_load(w, write_file(w, "sluice.cfg", text, 0600, path), NULL);
    assert_words(w, "broker.key_file: ", "a key for all");
    assert_words(w, "holds a secret", "a key for all");
}

static void
variables_that_were_meant_as_ours_are_refused(void **state)
{
    struct world *w = *state;
    char *strangers[] = {"SLUICE_HOME=/x", "SLUICE_PORT_7117_TCP=x", "SLUICE_ENDPOINT=x", "SLUICE_=x",
                         "SLUICE_DOOR_PING", "sluice_door_ping=x", NULL};

    refused_env(w, "SLUICE_DOOR_ENDPIONT=x",
                "SLUICE_DOOR_ENDPIONT: there is no such setting; did you mean SLUICE_DOOR_ENDPOINT?");
    refused_env(w, "SLUICE_BORKER_HOSTS=x", "did you mean SLUICE_BROKER_HOSTS?");
    refused_env(w, "SLUICE_ACCEPT_UNKNWON=true", "did you mean SLUICE_ACCEPT_UNKNOWN?");
    refused_env(w, "SLUICE_MEMORY_SOMETHING=1", "there is no such setting: unset it");
    refused_env(w, "SLUICE_CONNECTORS=a", "in the configuration file only");
    refused_env(w, "SLUICE_DOOR_PING=", "SLUICE_DOOR_PING: ");
    refused_env(w, "SLUICE_DOOR_MISSED=3x", "SLUICE_DOOR_MISSED: \"3x\" is not a whole number");
    refused_env(w, "SLUICE_BROKER_TLS=yes", "neither true nor false");
    refused_env(w, "SLUICE_MEMORY_MAX_BUNDLE=65MiB", "SLUICE_MEMORY_MAX_BUNDLE: it is above a quarter");
    assert_non_null(try_load(w, NULL, strangers));
}

/* --- what is written beside it ------------------------------------------------------------------------------------ */

static void
the_shipped_example_is_a_configuration(void **state)
{
    struct world *w = *state;

    if (try_load(w, "packaging/sluice.cfg", NULL) == NULL)
        fail_msg("%s", w->err.text);
    assert_int_equal(w->s->n_connectors, 2);
}

/* The line of the document's tables that is about this key; NULL: there is none. */
static char *
document_line(FILE *document, const char *name, char *line, int cap)
{
    char cell[64];

    snprintf(cell, sizeof(cell), "| `%s` |", name);
    rewind(document);
    while (fgets(line, cap, document) != NULL) {
        if (strncmp(line, cell, strlen(cell)) == 0)
            return line;
    }
    return NULL;
}

static void
assert_in_line(const char *line, const char *name, const char *what)
{
    if (strstr(line, what) == NULL)
        fail_msg("docs/configuration.md, %s: %s is not in: %s", name, what, line);
}

static void
assert_documented(FILE *document, const struct settings_key *key, const char *name, bool variable)
{
    char line[1024], text[96], amount[32], env[SETTINGS_ENV_MAX];

    if (document_line(document, name, line, sizeof(line)) == NULL)
        fail_msg("docs/configuration.md has no line that begins with | `%s` |", name);
    if (variable) {
        snprintf(text, sizeof(text), "| `%s` |", settings_env_name(key, env));
        assert_in_line(line, name, text);
    }
    if (key->def != NULL && key->def[0] != '\0') {
        snprintf(text, sizeof(text), "| `%s` |", key->def);
        assert_in_line(line, name, text);
    }
    if (key->kind != SETTINGS_NUMBER && key->kind != SETTINGS_SIZE && key->kind != SETTINGS_DURATION)
        return;
    settings_amount(key->kind, (uint64_t)key->min, amount, sizeof(amount));
    snprintf(text, sizeof(text), "| `%s` to ", amount);
    assert_in_line(line, name, text);
    settings_amount(key->kind, (uint64_t)key->max, amount, sizeof(amount));
    snprintf(text, sizeof(text), " to `%s` |", amount);
    assert_in_line(line, name, text);
}

static void
the_document_has_every_key_with_its_variable_default_and_bounds(void **state)
{
    size_t n;
    const struct settings_key *keys = settings_keys(&n);
    FILE *document = fopen("docs/configuration.md", "r");

    (void)state;
    assert_non_null(document);
    for (size_t i = 0; i < n; i++)
        assert_documented(document, &keys[i], keys[i].name, true);
    keys = settings_connector_keys(&n);
    for (size_t i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof(name), "connectors.%s", keys[i].name);
        assert_documented(document, &keys[i], name, false);
    }
    fclose(document);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_file_the_defaults_of_the_design_hold),
        TEST(every_kind_of_value_is_read_from_the_file),
        TEST(connectors_keep_their_order_and_their_targets),
        TEST(opencti_targets_are_named_as_the_platform_names_them),
        TEST(the_environment_goes_before_the_file),
        TEST(localhost_becomes_an_address_that_can_be_bound),
        TEST(the_default_of_max_bundle_follows_the_limit),
        TEST(the_spool_lies_beside_the_state_and_a_connector_gets_a_quarter_of_it),
        TEST(the_socket_of_operators_lies_beside_the_state_unless_it_is_named),
        TEST(files_are_included_from_the_folder_of_the_file_wherever_the_process_is),
        TEST(a_byte_order_mark_is_named),
        TEST(ten_thousand_connectors_are_taken_and_one_more_is_not),
        TEST(a_password_file_is_read_without_its_newline),
        TEST(a_password_file_that_all_may_read_or_that_is_empty_is_refused),
        TEST(a_password_never_stands_in_the_file_and_comes_from_one_place),
        TEST(what_is_printed_can_be_loaded_and_prints_the_same),
        TEST(a_password_is_never_printed),
        TEST(an_unknown_key_is_refused_with_the_one_that_was_meant),
        TEST(a_mistyped_value_is_refused_with_what_to_write),
        TEST(a_value_out_of_bounds_is_refused_with_the_bounds),
        TEST(what_libconfig_would_misread_is_refused),
        TEST(includes_lead_nowhere_else),
        TEST(a_file_that_cannot_be_read_is_named),
        TEST(the_door_opens_on_loopback_only),
        TEST(hosts_that_are_none_are_refused),
        TEST(connectors_that_contradict_themselves_are_refused),
        TEST(keys_that_contradict_each_other_are_refused),
        TEST(tls_takes_its_files_and_its_port),
        TEST(variables_that_were_meant_as_ours_are_refused),
        TEST(the_shipped_example_is_a_configuration),
        TEST(the_document_has_every_key_with_its_variable_default_and_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
