/* settings_check.c - what holds between keys, and what a value must be beyond its kind. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "err.h"
#include "settings_parts.h"

enum { PORT = 5672,
       PORT_TLS = 5671,
       FILE_LOOKED_AT = 1024 * 1024 };

static int
copy_text(char **to, const char *from, struct err *err)
{
    char *copy = strdup(from);

    if (copy == NULL)
        return err_set(err, ERR_NOMEM, errno, "settings");
    free(*to);
    *to = copy;
    return 0;
}

/* The default exchange delivers to the queue that the routing key names: each of the two implies the other. */
static int
default_exchange(struct settings_target *t, struct err *err)
{
    if (t->routing_key[0] == '\0' && t->queue[0] == '\0')
        return err_set(err, ERR_CONFIG, 0, "nothing says where messages go: write queue = \"...\";");
    if (t->routing_key[0] == '\0')
        return copy_text(&t->routing_key, t->queue, err);
    if (t->queue[0] == '\0')
        return copy_text(&t->queue, t->routing_key, err);
    if (strcmp(t->routing_key, t->queue) != 0)
        return err_set(err, ERR_CONFIG, 0,
                       "the default exchange delivers to the queue named by routing_key, which is not queue: write "
                       "one of them only, or an exchange");
    return 0;
}

/* One of OpenCTI's names, into a key that is empty or says just that (as --print-config wrote it).  1: not so. */
static int
opencti_name(char **key, const struct settings_target *t, const char *name, const char *id, struct err *err)
{
    char *made;

    if (asprintf(&made, "%s%s%s", t->queue_prefix, name, id) < 0)
        return err_set(err, ERR_NOMEM, errno, "settings");
    if (strcmp(*key, made) != 0 && (*key)[0] != '\0') {
        free(made);
        return 1;
    }
    free(*key);
    *key = made;
    return 0;
}

/* As OpenCTI's platform names the exchange of its workers, and a connector's key and queue (registerConnectorQueues in
 * its src/database/rabbitmq.js). */
static int
opencti_names(struct settings_target *t, const char *id, struct err *err)
{
    const bool named = t->exchange[0] != '\0' || t->routing_key[0] != '\0' || t->queue[0] != '\0';
    int rc;

    if (id == NULL)
        return named ? 0
                     : err_set(err, ERR_CONFIG, 0,
                               "OpenCTI's names are made of a connector's id, and this target is for any: write "
                               "exchange, routing_key and queue, or list the connectors");
    if (strlen(t->queue_prefix) + strlen("push_routing_") + strlen(id) > SETTINGS_SHORT_MAX)
        return err_set(err, ERR_CONFIG, 0, "queue_prefix is too long: names have at most %d bytes", SETTINGS_SHORT_MAX);
    if (named && (t->exchange[0] == '\0' || t->routing_key[0] == '\0' || t->queue[0] == '\0'))
        return 0;
    rc = opencti_name(&t->exchange, t, "amqp.worker.exchange", "", err);
    if (rc == 0)
        rc = opencti_name(&t->routing_key, t, "push_routing_", id, err);
    if (rc == 0)
        rc = opencti_name(&t->queue, t, "push_", id, err);
    t->opencti_names = rc == 0;
    return rc < 0 ? -1 : 0;
}

int
settings_target_check(struct settings_target *t, const char *id, struct err *err)
{
    if (strcmp(t->format, "opencti") == 0 && opencti_names(t, id, err) != 0)
        return -1;
    if (t->queue_prefix[0] != '\0' && !t->opencti_names)
        return err_set(err, ERR_CONFIG, 0,
                       "queue_prefix is for OpenCTI's names: write format = \"opencti\"; and no exchange, routing_key "
                       "or queue, or remove it");
    if (t->exchange[0] == '\0' && default_exchange(t, err) != 0)
        return -1;
    if (t->declare && t->queue[0] == '\0')
        return err_set(err, ERR_CONFIG, 0, "declare needs a queue to declare: write queue = \"...\";");
    if (t->declare && strncmp(t->queue, "amq.", 4) == 0)
        return err_set(err, ERR_CONFIG, 0,
                       "RabbitMQ keeps queue names that begin with \"amq.\" to itself: choose another, "
                       "or declare = false");
    return 0;
}

static bool
is_loopback(const char *host)
{
    struct in_addr v4;

    return strcmp(host, "[::1]") == 0 || (inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127);
}

static bool
is_port(const char *port)
{
    size_t len = strlen(port);

    return strcmp(port, "*") == 0 ||
           (len >= 1 && len <= 5 && strspn(port, "0123456789") == len && strtol(port, NULL, 10) <= 65535);
}

/* There is no authentication yet: whoever reaches the door may push as any connector. */
static int
check_tcp(struct settings_draft *d, const char *rest, struct err *err)
{
    const char *endpoint = d->s->door.endpoint, *colon = strrchr(rest, ':');
    char host[64], shown[SETTINGS_SHOWN_MAX], fixed[64];

    if (colon != NULL && colon[1] != '\0' && strchr(colon, ']') == NULL && !is_port(colon + 1))
        return settings_blame_key(d, "door.endpoint", err,
                                  "the port of \"%s\" is not a number from 0 to 65535: write tcp://127.0.0.1:7117",
                                  settings_show(endpoint, shown));
    if (colon == NULL || !is_port(colon + 1))
        return settings_blame_key(d, "door.endpoint", err, "\"%s\" has no port: write tcp://127.0.0.1:7117",
                                  settings_show(endpoint, shown));
    snprintf(host, sizeof(host), "%.*s", (int)(colon - rest), rest);
    if (strcmp(host, "localhost") == 0) {
        /* A name cannot be bound to, only an address can. */
        snprintf(fixed, sizeof(fixed), "tcp://127.0.0.1%s", colon);
        return copy_text(&d->s->door.endpoint, fixed, err);
    }
    if (!is_loopback(host) || (size_t)(colon - rest) >= sizeof(host))
        return settings_blame_key(d, "door.endpoint", err,
                                  "\"%s\" is not loopback, and connectors are not authenticated yet: write "
                                  "tcp://127.0.0.1:7117 and reach it by SSH tunnel or VPN",
                                  settings_show(host, shown));
    return 0;
}

static int
check_endpoint(struct settings_draft *d, struct err *err)
{
    const char *endpoint = d->s->door.endpoint;
    char shown[SETTINGS_SHOWN_MAX];
    size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

    if (strncmp(endpoint, "tcp://", 6) == 0)
        return check_tcp(d, endpoint + 6, err);
    if (strncmp(endpoint, "ipc://", 6) != 0)
        return settings_blame_key(d, "door.endpoint", err,
                                  "\"%s\" is neither tcp:// nor ipc://: write tcp://127.0.0.1:7117",
                                  settings_show(endpoint, shown));
    if (endpoint[6] != '/')
        return settings_blame_key(d, "door.endpoint", err, "the path is not absolute: write ipc:///run/sluice/door");
    if (strlen(endpoint + 6) > most)
        return settings_blame_key(d, "door.endpoint", err,
                                  "the path has %zu bytes, and a socket's has at most %zu: choose a shorter one",
                                  strlen(endpoint + 6), most);
    return 0;
}

/* A file that is named must be there now: better told at start than at the first connection. */
static int
check_file(struct settings_draft *d, const char *key, const char *path, bool private, struct err *err)
{
    struct err why = {0};
    size_t len;
    char shown[SETTINGS_SHOWN_MAX];

    if (path == NULL)
        return 0;
    char *text = settings_file_text(path, FILE_LOOKED_AT, private, &len, &why);
    if (text == NULL)
        return settings_blame_key(d, key, err, "%s: %s", settings_show(path, shown), why.text);
    explicit_bzero(text, len);
    free(text);
    return 0;
}

static int
check_tls(struct settings_draft *d, struct err *err)
{
    const struct settings *s = d->s;
    const char *lonely = s->broker.ca_file != NULL     ? "broker.ca_file"
                         : s->broker.cert_file != NULL ? "broker.cert_file"
                         : s->broker.key_file != NULL  ? "broker.key_file"
                                                       : NULL;

    if (!s->broker.tls && lonely != NULL)
        return settings_blame_key(d, lonely, err, "it is set, but tls is off: write tls = true; or remove it");
    if (s->broker.tls && s->broker.ca_file == NULL)
        return settings_blame_key(d, "broker.tls", err,
                                  "without ca_file nobody vouches for the broker: write ca_file = "
                                  "\"/etc/ssl/certs/ca-certificates.crt\"; or your own authority's file");
    if ((s->broker.cert_file == NULL) != (s->broker.key_file == NULL))
        return settings_blame_key(d, s->broker.key_file == NULL ? "broker.cert_file" : "broker.key_file", err,
                                  "cert_file and key_file go together: write both or neither");
    if (check_file(d, "broker.ca_file", s->broker.ca_file, false, err) != 0 ||
        check_file(d, "broker.cert_file", s->broker.cert_file, false, err) != 0)
        return -1;
    return check_file(d, "broker.key_file", s->broker.key_file, true, err);
}

/* The password comes from one place: the variable, or the file that the environment or the configuration names. */
static int
check_password(struct settings_draft *d, struct err *err)
{
    struct settings *s = d->s;
    bool variable = settings_given(d, "broker.password");

    if (variable && strcmp(d->where[settings_key_index("broker.password_file")], "SLUICE_BROKER_PASSWORD_FILE") == 0 &&
        s->broker.password_file != NULL)
        return settings_blame_key(d, "broker.password", err,
                                  "SLUICE_BROKER_PASSWORD_FILE is set too: unset one of them");
    if (variable) {
        free(s->broker.password_file); /* the environment goes before the file */
        s->broker.password_file = NULL;
    }
    if (s->broker.password_file != NULL)
        return settings_password_read(d, "broker.password_file", s->broker.password_file, &s->broker.password, err);
    if (!variable && strcmp(s->broker.user, "guest") != 0)
        return settings_blame_key(d, "broker.user", err,
                                  "there is no password for it: write password_file = \"...\"; or set "
                                  "SLUICE_BROKER_PASSWORD_FILE");
    return 0;
}

static int
check_broker(struct settings_draft *d, struct err *err)
{
    struct settings *s = d->s;
    char min[32], max[32];

    for (size_t i = 0; i < s->broker.n_hosts; i++) {
        if (s->broker.hosts[i].port == 0)
            s->broker.hosts[i].port = s->broker.tls ? PORT_TLS : PORT;
    }
    if (s->broker.heartbeat_us % 1000000 != 0)
        return settings_blame_key(d, "broker.heartbeat", err, "AMQP counts it in whole seconds: write \"%llds\"",
                                  (long long)(s->broker.heartbeat_us / 1000000));
    if (s->broker.retry_min_us > s->broker.retry_max_us) {
        const char *blamed = settings_given(d, "broker.retry_min") ? "broker.retry_min" : "broker.retry_max";
        settings_amount(SETTINGS_DURATION, (uint64_t)s->broker.retry_min_us, min, sizeof(min));
        settings_amount(SETTINGS_DURATION, (uint64_t)s->broker.retry_max_us, max, sizeof(max));
        return settings_blame_key(d, blamed, err,
                                  "retry_min (%s) is above retry_max (%s): change one of them",
                                  min, max);
    }
    return check_tls(d, err) != 0 ? -1 : check_password(d, err);
}

/* One of the list: its scheme and a host. */
static bool
is_url(const char *at, size_t len)
{
    const size_t scheme = len > 8 && strncmp(at, "https://", 8) == 0 ? 8 : 7;

    return len > scheme && strncmp(at, "http", 4) == 0 && strncmp(at + scheme - 3, "://", 3) == 0 &&
           at[scheme] != '/' && strcspn(at, " ?#,") == len;
}

static int
check_urls(struct settings_draft *d, struct err *err)
{
    const char *at = d->s->telemetry.url;

    while (at != NULL) {
        at += strspn(at, " ");
        const size_t len = strcspn(at, " ,");
        const char *end = at + len + strspn(at + len, " ");
        if (memchr(at, '@', len) != NULL)
            return settings_blame_key(d, "telemetry.url", err,
                                      "names and passwords do not stand in it, it is written to the log: write them as "
                                      "telemetry.user and telemetry.password_file");
        if (!is_url(at, len) || (*end != ',' && *end != '\0'))
            return settings_blame_key(d, "telemetry.url", err,
                                      "\"%.*s\" is no URL of a RabbitMQ: write \"http://host:15672\", several "
                                      "separated by commas",
                                      (int)(len < 80 ? len : 80), at);
        at = *end == ',' ? end + 1 : NULL;
    }
    return 0;
}

/* Its own user needs a password of its own; without one it asks as the broker's. */
static int
check_telemetry(struct settings_draft *d, struct err *err)
{
    struct settings *s = d->s;

    if (s->telemetry.stale_us < s->telemetry.poll_us * 2)
        return settings_blame_key(d, "telemetry.stale_after", err,
                                  "figures come once in telemetry.poll, so they would be too old in between: write at "
                                  "least twice that");
    if (check_urls(d, err) != 0)
        return -1;
    if (s->telemetry.password_file != NULL && s->telemetry.password != NULL)
        return settings_blame_key(d, "telemetry.password", err,
                                  "telemetry.password_file is set too: unset one of them");
    if (s->telemetry.password_file != NULL)
        return settings_password_read(d, "telemetry.password_file", s->telemetry.password_file, &s->telemetry.password,
                                      err);
    if (s->telemetry.user != NULL && s->telemetry.password == NULL)
        return settings_blame_key(d, "telemetry.user", err,
                                  "there is no password for it: write password_file = \"...\";");
    return check_file(d, "telemetry.ca_file", s->telemetry.ca_file, false, err);
}

static const struct settings_group *
group_of(const struct settings *s, const char *name)
{
    for (size_t i = 0; i < s->n_groups; i++)
        if (strcmp(s->groups[i].name, name) == 0)
            return &s->groups[i];
    return NULL;
}

/* A threshold that its budget can never let it reach is a mistake in one of the two. */
static int
check_budgets(struct settings_draft *d, struct err *err)
{
    struct settings *s = d->s;
    char threshold[32], budget[32];

    for (size_t i = 0; i < s->n_connectors; i++) {
        const struct settings_connector *c = &s->connectors[i];
        const struct settings_group *g = c->group == NULL ? NULL : group_of(s, c->group);

        if (c->group != NULL && g == NULL)
            return settings_blame(c->where, c->id, err,
                                  "there is no group \"%.40s\": write groups = ( { name = \"...\"; budget = "
                                  "\"2GB\"; } );",
                                  c->group);
        if (!c->threshold.given)
            continue;
        settings_amount(SETTINGS_DECIMAL, c->threshold.micro, threshold, sizeof(threshold));
        if (g != NULL && c->threshold.micro > g->budget) {
            settings_amount(SETTINGS_SIZE, g->budget, budget, sizeof(budget));
            return settings_blame(c->where, c->id, err,
                                  "queue_threshold (%s MB) is above the budget of its group (%s, at %s): lower the one "
                                  "or raise the other",
                                  threshold, budget, g->where);
        }
        if (s->admission.budget > 0 && c->threshold.micro > s->admission.budget) {
            settings_amount(SETTINGS_SIZE, s->admission.budget, budget, sizeof(budget));
            return settings_blame(c->where, c->id, err,
                                  "queue_threshold (%s MB) is above admission.budget (%s, at %s): lower the one or "
                                  "raise the other",
                                  threshold, budget, d->where[settings_key_index("admission.budget")]);
        }
    }
    return 0;
}

static int
check_memory(struct settings_draft *d, struct err *err)
{
    struct settings *s = d->s;
    size_t n;
    uint64_t quarter = s->memory.limit / 4;
    uint64_t most = (uint64_t)settings_keys(&n)[settings_key_index("memory.max_bundle")].max;
    char limit[32], largest[32];

    if (s->memory.max_bundle == 0)
        s->memory.max_bundle = quarter < most ? quarter : most;
    if (s->memory.max_bundle <= quarter)
        return 0;
    settings_amount(SETTINGS_SIZE, s->memory.limit, limit, sizeof(limit));
    settings_amount(SETTINGS_SIZE, quarter, largest, sizeof(largest));
    return settings_blame_key(d, "memory.max_bundle", err,
                              "it is above a quarter of memory.limit (%s): write at most \"%s\", or raise the limit",
                              limit, largest);
}

/* The first key of default_target that was given; NULL: none was. */
static const char *
default_target_given(const struct settings_draft *d)
{
    size_t n;
    const struct settings_key *keys = settings_keys(&n);

    for (size_t i = 0; i < n; i++) {
        if (strncmp(keys[i].name, "default_target.", strlen("default_target.")) == 0 && d->where[i][0] != '\0')
            return keys[i].name;
    }
    return NULL;
}

static int
check_unknown(struct settings_draft *d, struct err *err)
{
    struct settings *s = d->s;
    struct err why = {0};
    const char *key = default_target_given(d);

    s->has_default_target = key != NULL;
    if (s->accept_unknown && key == NULL)
        return settings_blame_key(d, "accept_unknown", err,
                                  "nothing says where their messages go: write default_target = { queue = \"...\"; };");
    if (key == NULL)
        return 0;
    /* accept_unknown = false is a decision; saying nothing of it is more likely forgotten. */
    if (!s->accept_unknown && !settings_given(d, "accept_unknown"))
        return settings_blame_key(d, key, err,
                                  "it serves connectors that are not listed, and they are refused: write "
                                  "accept_unknown = true; (or false, to keep the two for later)");
    if (settings_target_check(&s->default_target, NULL, &why) != 0)
        return why.code == ERR_NOMEM ? err_set(err, ERR_NOMEM, 0, "settings")
                                     : settings_blame_key(d, key, err, "%s", why.text);
    return 0;
}

/* A socket's path has less room than others. */
static int
check_operators(struct settings_draft *d, struct err *err)
{
    struct settings *s = d->s;
    const bool given = s->operators.socket != NULL;
    const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

    if (!given && asprintf(&s->operators.socket, "%s/operators.sock", s->state.dir) < 0) {
        s->operators.socket = NULL;
        return err_set(err, ERR_NOMEM, errno, "settings");
    }
    if (strlen(s->operators.socket) <= most)
        return 0;
    return settings_blame_key(d, given ? "operators.socket" : "state.dir", err,
                              "the path of operators.sock has %zu bytes, and a socket's has at most %zu: write "
                              "operators = { socket = \"/run/sluice/operators.sock\"; };",
                              strlen(s->operators.socket), most);
}

static int
check_spool(struct settings_draft *d, struct err *err)
{
    struct settings *s = d->s;

    if (s->spool.dir == NULL && asprintf(&s->spool.dir, "%s/spool", s->state.dir) < 0) {
        s->spool.dir = NULL;
        return err_set(err, ERR_NOMEM, errno, "settings");
    }
    if (s->spool.each == 0)
        s->spool.each = s->spool.limit / 4;
    if (s->spool.each > s->spool.limit && s->spool.limit > 0)
        return settings_blame_key(d, "spool.each", err, "one connector can have no more than spool.limit, %" PRIu64 "B",
                                  s->spool.limit);
    if (s->spool.limit > 0 && s->spool.limit < s->memory.max_bundle)
        return settings_blame_key(d, "spool.limit", err,
                                  "a bundle of memory.max_bundle, %" PRIu64 "B, would have no room: write more, or 0B "
                                  "for no spool",
                                  s->memory.max_bundle);
    return 0;
}

int
settings_check(struct settings_draft *d, struct err *err)
{
    if (check_endpoint(d, err) != 0 || check_broker(d, err) != 0 || check_telemetry(d, err) != 0 ||
        check_budgets(d, err) != 0 || check_memory(d, err) != 0 ||
        check_operators(d, err) != 0 || check_spool(d, err) != 0)
        return -1;
    return check_unknown(d, err);
}
