/* settings_table.c - the table of all keys: what there is, what it means, and within which bounds.
 *
 * docs/configuration.md says the same to people; a test compares the two. */
#include <ctype.h>
#include <string.h>

#include "settings_parts.h"
#include "wire.h"

#define MS INT64_C(1000)
#define S (1000 * MS)
#define M (60 * S)
#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define AT(field) offsetof(struct settings, field)
#define TEXT(name, field, def, min, max, meaning) \
    {name, SETTINGS_TEXT, AT(field), def, min, max, NULL, false, meaning}
#define NUMBER(name, field, def, min, max, meaning) \
    {name, SETTINGS_NUMBER, AT(field), def, min, max, NULL, false, meaning}
#define FLAG(name, field, meaning) {name, SETTINGS_FLAG, AT(field), "false", 0, 1, NULL, false, meaning}
#define SIZE(name, field, def, min, max, meaning) \
    {name, SETTINGS_SIZE, AT(field), def, min, max, NULL, false, meaning}
#define DURATION(name, field, def, min, max, meaning) \
    {name, SETTINGS_DURATION, AT(field), def, min, max, NULL, false, meaning}
#define DECIMAL(name, field, def, min, max, meaning) \
    {name, SETTINGS_DECIMAL, AT(field), def, min, max, NULL, false, meaning}
#define WORD(name, field, def, words, meaning) {name, SETTINGS_WORD, AT(field), def, 0, 0, words, false, meaning}

/* In the order of their enums. */
static const char *const log_formats[] = {[LOG_KEYVALUE] = "keyvalue", [LOG_JSON] = "json", NULL};
static const char *const sources[] = {[SETTINGS_MANAGEMENT] = "management",
                                      [SETTINGS_PROMETHEUS] = "prometheus",
                                      [SETTINGS_OFF] = "off",
                                      NULL};
static const char *const on_stale[] = {"hold", "run", NULL};
static const char *const log_levels[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug", NULL};

/* Forward formats that this version has. */
static const char *const formats[] = {"raw", "opencti", NULL};
static const char *const acks[] = {[SETTINGS_ACK_SPOOL] = "spool", [SETTINGS_ACK_CONFIRM] = "confirm", NULL};
static const char *const too_large[] = {"refuse", "skip", NULL};

/* Where messages go: the same keys in default_target and in each connector. */
#define OF(field, base) ((base) + offsetof(struct settings_target, field))
#define NAME(name, field, base, meaning) \
    {name, SETTINGS_TEXT, OF(field, base), "", 0, SETTINGS_SHORT_MAX, NULL, false, meaning}
#define TARGET(prefix, base)                                                                                   \
    NAME(prefix "exchange", exchange, base, "exchange to publish to; empty is the default exchange"),          \
    NAME(prefix "routing_key", routing_key, base, "routing key; with the default exchange the same as queue"), \
    NAME(prefix "queue", queue, base, "queue that must be there and durable; empty is not verified"),          \
    {prefix "format", SETTINGS_TEXT, OF(format, base), "raw", 1, SETTINGS_SHORT_MAX, formats, false,           \
     "how a bundle becomes messages: raw (one, as it came) or opencti (one for each STIX object)"},            \
        NAME(prefix "queue_prefix", queue_prefix, base,                                                        \
             "with opencti and no other name: what OpenCTI's queues begin with (its RABBIT_QUEUE_PREFIX)"),    \
        NAME(prefix "applicant_id", applicant_id, base,                                                        \
             "with opencti: the user that messages are from, where their bundle names none"),                  \
        {prefix "too_large", SETTINGS_TEXT, OF(too_large, base), "refuse", 1, SETTINGS_SHORT_MAX, too_large, false, \
         "with opencti: an object above broker.max_message refuses the bundle, or is skipped"},                \
    {prefix "declare", SETTINGS_FLAG, OF(declare, base), "false", 0, 1, NULL, false,                           \
     "create queue, exchange and binding where they are missing"}

static const struct settings_key keys[] = {
    TEXT("door.endpoint", door.endpoint, "tcp://127.0.0.1:7117", 1, SETTINGS_PATH_MAX,
         "where connectors connect: tcp:// on loopback, or ipc:// and an absolute path"),
    DURATION("door.ping", door.ping_us, "40s", 10 * MS, 60 * M, "how often a silent connector shows that it lives"),
    NUMBER("door.missed", door.missed, "3", 1, 100, "pings a connector may miss until it is lost"),
    NUMBER("door.backlog", door.backlog, "4096", 1, 65535, "connections that may wait to be accepted"),
    NUMBER("door.rcvhwm", door.rcvhwm, "128", 1, 65536, "messages that wait per connection before it is throttled"),
    SIZE("door.chunk", door.chunk, "64KiB", KIB, WIRE_CHUNK_MAX, "largest piece in which a bundle travels"),

    {"broker.hosts", SETTINGS_HOSTS, AT(broker.hosts), "127.0.0.1", 0, 0, NULL, false,
     "RabbitMQ's nodes, tried in turn, each host or host:port (5672, with tls 5671)"},
    TEXT("broker.vhost", broker.vhost, "/", 1, SETTINGS_SHORT_MAX, "virtual host"),
    TEXT("broker.user", broker.user, "guest", 1, SETTINGS_SHORT_MAX, "user to log in as"),
    {"broker.password", SETTINGS_TEXT, AT(broker.password), "guest", 1, SETTINGS_PATH_MAX, NULL, true,
     "its password: from the environment or from password_file only"},
    TEXT("broker.password_file", broker.password_file, NULL, 0, SETTINGS_PATH_MAX,
         "file that holds the password, not readable by all"),
    FLAG("broker.tls", broker.tls, "speak TLS 1.2 or later and check the broker's certificate"),
    TEXT("broker.ca_file", broker.ca_file, NULL, 0, SETTINGS_PATH_MAX,
         "certificates (PEM) that vouch for the broker; needed with tls"),
    TEXT("broker.cert_file", broker.cert_file, NULL, 0, SETTINGS_PATH_MAX, "our own certificate (PEM), if it asks"),
    TEXT("broker.key_file", broker.key_file, NULL, 0, SETTINGS_PATH_MAX,
         "the key of cert_file (PEM), not readable by all"),
    NUMBER("broker.connections", broker.connections, "1", 1, 16,
           "connections to the broker; connectors are spread over them by target queue"),
    SIZE("broker.max_message", broker.max_message, "128MiB", KIB, 512 * MIB,
         "largest message that the broker takes: its max_message_size"),
    NUMBER("broker.window", broker.window, "200", 1, 65535, "most unconfirmed messages per connection"),
    SIZE("broker.window_bytes", broker.window_bytes, "8MiB", KIB, GIB, "most unconfirmed bytes per connection"),
    DURATION("broker.heartbeat", broker.heartbeat_us, "15s", S, 600 * S, "AMQP heartbeat, in whole seconds"),
    DURATION("broker.hung_after", broker.hung_us, "45s", 100 * MS, 60 * M,
             "a connection that stands still this long is cut"),
    DURATION("broker.retry_min", broker.retry_min_us, "100ms", 10 * MS, M, "first wait before connecting again"),
    DURATION("broker.retry_max", broker.retry_max_us, "30s", 10 * MS, 60 * M,
             "longest such wait; it doubles up to this"),

    WORD("telemetry.source", telemetry.source, "management", sources,
         "what says how full queues are: management, prometheus, or off (then no queue holds anybody)"),
    TEXT("telemetry.url", telemetry.url, NULL, 0, SETTINGS_PATH_MAX,
         "where it is asked, http:// or https://, several separated by commas; the default is broker.hosts"),
    TEXT("telemetry.user", telemetry.user, NULL, 0, SETTINGS_SHORT_MAX,
         "user to ask as; the default is the broker's, with its password"),
    {"telemetry.password", SETTINGS_TEXT, AT(telemetry.password), NULL, 0, SETTINGS_PATH_MAX, NULL, true,
     "its password: from the environment or from password_file only"},
    TEXT("telemetry.password_file", telemetry.password_file, NULL, 0, SETTINGS_PATH_MAX,
         "file that holds the password, not readable by all"),
    TEXT("telemetry.ca_file", telemetry.ca_file, NULL, 0, SETTINGS_PATH_MAX,
         "certificates (PEM) that vouch for a https:// url; the default is the system's"),
    DURATION("telemetry.poll", telemetry.poll_us, "5s", 100 * MS, M, "how often it is asked"),
    DURATION("telemetry.timeout", telemetry.timeout_us, "5s", 100 * MS, M, "longest that one question may take"),
    DURATION("telemetry.stats_lag", telemetry.stats_lag_us, "10s", 100 * MS, 10 * M,
             "how old the broker's figures may be: at least its statistics interval plus 5 s"),
    DURATION("telemetry.stale_after", telemetry.stale_us, "20s", 200 * MS, 60 * M,
             "figures that were asked for longer ago are no figures"),
    WORD("telemetry.on_stale", telemetry.on_stale, "hold", on_stale,
         "without figures: hold, or run as if there were room"),

    DECIMAL("admission.queue_threshold", admission.queue_threshold, "500", 0, 1000000000 * INT64_C(1000000),
            "MB (10^6 bytes) that a connector's queue may hold; at or above it nothing new starts"),
    DECIMAL("admission.resume_below", admission.resume_below, "0.8", 100000, 1000000,
            "what was held goes on below this part of the threshold"),
    DURATION("admission.count_every", admission.count_every_us, "200ms", 10 * MS, M,
             "a queue that holds somebody is counted so often at most"),
    SIZE("admission.budget", admission.budget, "0B", 0, 1024 * 1024 * GIB,
         "bytes of all measured queues together; 0B: no such limit"),

    SIZE("memory.limit", memory.limit, "256MiB", MIB, 1024 * GIB, "bytes of bundles that may be in memory, unanswered"),
    SIZE("memory.max_bundle", memory.max_bundle, NULL, KIB, 512 * MIB,
         "largest bundle; at most a quarter of limit, which is the default (up to 512MiB)"),

    TEXT("state.dir", state.dir, "/var/lib/sluice", 1, SETTINGS_PATH_MAX, "folder of state.db; it must exist"),
    DURATION("state.mark_every", state.mark_us, "1s", 10 * MS, M,
             "how often answers are noted; resends of that time may go twice after a crash"),

    TEXT("spool.dir", spool.dir, NULL, 1, SETTINGS_PATH_MAX,
         "folder of the bundles that wait for room, of nothing else; the default is spool in state.dir"),
    SIZE("spool.limit", spool.limit, "10GiB", 0, 1024 * 1024 * GIB,
         "bytes of bundles in it, dead letters included; 0B: no spool, what waits stays in memory"),
    SIZE("spool.each", spool.each, NULL, 0, 1024 * 1024 * GIB,
         "bytes of one connector's bundles in it; the default is a quarter of limit"),
    SIZE("spool.floor", spool.floor, "1GiB", 0, 1024 * 1024 * GIB,
         "bytes that stay free on its file system: with less nothing more is taken"),
    SIZE("spool.segment", spool.segment, "128MiB", MIB, GIB, "bytes of one of its files"),
    SIZE("spool.unanswered_max", spool.unanswered_max, "64MiB", KIB, 1024 * GIB,
         "most bytes of a connector with ack = \"confirm\" that wait for their answer"),

    SIZE("journal.limit", journal.limit, "64MiB", 64 * KIB, 1024 * GIB,
         "bytes of journal.log and journal.log.1 in state.dir, together"),

    TEXT("operators.socket", operators.socket, NULL, 1, SETTINGS_PATH_MAX,
         "socket file where operators connect; the default is operators.sock in state.dir"),

    WORD("log.format", log.format, "keyvalue", log_formats, "keyvalue or json"),
    WORD("log.level", log.level, "info", log_levels, "error, warn, info or debug"),

    DURATION("stop.within", stop_us, "30s", 100 * MS, 60 * M, "longest drain after SIGTERM"),

    FLAG("accept_unknown", accept_unknown, "serve connectors that are not listed, into default_target"),
    TARGET("default_target.", AT(default_target)),
};

static const struct settings_key connector_keys[] = {
    {"id", SETTINGS_TEXT, offsetof(struct settings_connector, id), NULL, 0, SETTINGS_SHORT_MAX, NULL, false,
     "the connector's id: a-z, 0-9, '.', '_', '-', at most 64"},
    TARGET("", offsetof(struct settings_connector, target)),
    {"ack", SETTINGS_WORD, offsetof(struct settings_connector, ack), "spool", 0, 0, acks, false,
     "when a bundle is answered for: spool (RabbitMQ has it, or the spool), or confirm (RabbitMQ alone)"},
    {"ordered", SETTINGS_FLAG, offsetof(struct settings_connector, ordered), "false", 0, 1, NULL, false,
     "keep the order even after the broker refused a message; one at a time, so slower"},
    {"queue_threshold", SETTINGS_DECIMAL, offsetof(struct settings_connector, threshold), NULL, 0,
     1000000000 * INT64_C(1000000), NULL, false,
     "MB (10^6 bytes) that its queue may hold; not written: what the connector says, else admission.queue_threshold"},
    {"weight", SETTINGS_NUMBER, offsetof(struct settings_connector, weight), "1", 1, 1000, NULL, false,
     "of its share where room is short"},
    {"group", SETTINGS_TEXT, offsetof(struct settings_connector, group), NULL, 0, SETTINGS_SHORT_MAX, NULL, false,
     "a name in groups: its queue counts in that budget"},
    {"shared", SETTINGS_FLAG, offsetof(struct settings_connector, shared), "false", 0, 1, NULL, false,
     "others publish to its queue, too: then no counts, only samples"},
    {"unacked_max", SETTINGS_NUMBER, offsetof(struct settings_connector, unacked_max), "0", 0, 1000000000, NULL, false,
     "most messages that its queue's consumers hold unacknowledged; 0: as telemetry says"},
};

_Static_assert(sizeof(enum log_format) == sizeof(int) && sizeof(enum log_level) == sizeof(int) &&
                   sizeof(enum settings_ack) == sizeof(int),
               "a WORD is stored as an int");

static const struct settings_key group_keys[] = {
    {"name", SETTINGS_TEXT, offsetof(struct settings_group, name), NULL, 1, SETTINGS_SHORT_MAX, NULL, false,
     "what connectors call it"},
    {"budget", SETTINGS_SIZE, offsetof(struct settings_group, budget), "0B", 0, 1024 * 1024 * GIB, NULL, false,
     "bytes that its queues may hold together"},
};

const struct settings_key *
settings_group_keys(size_t *ret_n)
{
    *ret_n = sizeof(group_keys) / sizeof(group_keys[0]);
    return group_keys;
}

const struct settings_key *
settings_keys(size_t *ret_n)
{
    *ret_n = sizeof(keys) / sizeof(keys[0]);
    return keys;
}

const struct settings_key *
settings_connector_keys(size_t *ret_n)
{
    *ret_n = sizeof(connector_keys) / sizeof(connector_keys[0]);
    return connector_keys;
}

size_t
settings_key_index(const char *name)
{
    size_t i = 0;

    while (strcmp(keys[i].name, name) != 0)
        i++;
    return i;
}

size_t
settings_section_len(const char *name)
{
    const char *dot = strchr(name, '.');

    return dot == NULL ? 0 : (size_t)(dot - name);
}

char *
settings_env_name(const struct settings_key *key, char *buf)
{
    snprintf(buf, SETTINGS_ENV_MAX, "SLUICE_%s", key->name);
    for (char *c = buf; *c != '\0'; c++)
        *c = *c == '.' ? '_' : (char)toupper((unsigned char)*c);
    return buf;
}
