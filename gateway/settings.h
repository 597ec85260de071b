/* settings.h - the configuration: one table of keys, read from a libconfig file and the environment.
 *
 * Every key is overridable by SLUICE_SECTION_KEY; secrets also by ..._FILE.  Unknown keys are errors with
 * a suggestion.  Settings are immutable once loaded: a reload makes new ones, all or nothing. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "log.h"

struct err;

struct settings_host {
    char *host;
    int   port;
};

/* A number with up to six decimals: in millionths.  So many MB (10^6 bytes) are as many bytes. */
struct settings_decimal {
    uint64_t micro;
    bool     given; /* in the file or the environment, or by a default */
};

enum settings_source { SETTINGS_MANAGEMENT, SETTINGS_PROMETHEUS, SETTINGS_OFF };

/* Queues that share a budget. */
struct settings_group {
    char    *name;
    uint64_t budget; /* bytes */
    char     where[80]; /* in the file, for errors that are found later */
};

struct settings_target {
    char *exchange, *routing_key, *queue; /* "" for none */
    char *format;       /* "raw" or "opencti": how a bundle becomes messages, where it does not say it itself */
    char *queue_prefix; /* of OpenCTI's names; "" for none */
    char *applicant_id; /* that OpenCTI's messages name, where their bundle names none; "" for none */
    char *too_large;    /* "refuse" or "skip": what becomes of a bundle with a message that is too large */
    bool  declare;
    bool  opencti_names; /* exchange, routing_key and queue are OpenCTI's, made of prefix and id: not a key */
};

/* When a bundle is answered for: on RabbitMQ's confirm or once it is in the spool, or on the confirm alone. */
enum settings_ack { SETTINGS_ACK_SPOOL, SETTINGS_ACK_CONFIRM };

struct settings_connector {
    char                  *id;
    struct settings_target target;
    enum settings_ack      ack;
    bool                   ordered; /* window 1: order holds after a nack too */
    struct settings_decimal threshold; /* MB; not given: admission.queue_threshold, or what the connector says */
    int                    weight;  /* 1 */
    char                  *group;   /* a name in groups; NULL: none */
    bool                   shared;  /* others publish to its queue, too */
    int                    unacked_max; /* messages; 0: telemetry tells */
    char                   where[80];
};

struct settings {
    struct {
        char    *endpoint;     /* door.endpoint: tcp://127.0.0.1:7117, or ipc:// */
        int64_t  ping_us;      /* door.ping: 40s */
        int      missed;       /* door.missed: 3 pings until a connector is lost */
        int      backlog;      /* door.backlog: 4096 */
        int      rcvhwm;       /* door.rcvhwm: 128 */
        uint64_t chunk;        /* door.chunk: 64KiB, at most that */
    } door;
    struct {
        struct settings_host *hosts; /* broker.hosts: ("127.0.0.1:5672"); SLUICE_BROKER_HOSTS is comma-separated */
        size_t   n_hosts;
        char    *vhost, *user;
        char    *password;     /* secret: broker.password_file, SLUICE_BROKER_PASSWORD, ..._FILE; default "guest" */
        char    *password_file; /* where it was read from; NULL: not from a file */
        bool     tls;
        char    *ca_file, *cert_file, *key_file; /* NULL for none */
        int      connections;  /* broker.connections: 1 to 16; connectors are spread by target queue */
        uint64_t max_message;  /* broker.max_message: 128MiB, as RabbitMQ's own max_message_size */
        int      window;       /* broker.window: 200 messages */
        uint64_t window_bytes; /* broker.window_bytes: 8MiB */
        int64_t  heartbeat_us; /* broker.heartbeat: 15s */
        int64_t  hung_us;      /* broker.hung_after: 45s */
        int64_t  retry_min_us, retry_max_us; /* broker.retry_min: 100ms, broker.retry_max: 30s */
    } broker;
    struct {
        enum settings_source source; /* telemetry.source: "management", "prometheus" or "off" */
        char    *url;          /* telemetry.url: one or more, comma-separated; NULL: each of broker.hosts, its usual
                                * port */
        char    *user;         /* telemetry.user: NULL is broker.user, with its password */
        char    *password, *password_file; /* as the broker's */
        char    *ca_file;      /* telemetry.ca_file: of https; NULL is the system's */
        int64_t  poll_us;      /* telemetry.poll: 5s */
        int64_t  timeout_us;   /* telemetry.timeout: 5s, of one request */
        int64_t  stats_lag_us; /* telemetry.stats_lag: 10s */
        int64_t  stale_us;     /* telemetry.stale_after: 20s */
        int      on_stale;     /* telemetry.on_stale: 0 "hold", 1 "run" */
    } telemetry;
    struct {
        struct settings_decimal queue_threshold; /* admission.queue_threshold: 500 MB */
        struct settings_decimal resume_below;    /* admission.resume_below: 0.8 of the threshold */
        int64_t  count_every_us; /* admission.count_every: 200ms */
        uint64_t budget;       /* admission.budget: bytes of all queues together; 0: none */
    } admission;
    struct {
        uint64_t limit;        /* memory.limit: 256MiB, at least 1MiB */
        uint64_t max_bundle;   /* memory.max_bundle: a quarter of limit at most, which is the default (64MiB) */
    } memory;
    struct {
        char *dir;             /* state.dir: /var/lib/sluice */
        int64_t mark_us;       /* state.mark_every: 1s */
    } state;
    struct {
        char    *dir;          /* spool.dir: spool in state.dir */
        uint64_t limit;        /* spool.limit: 10GiB; 0: there is none */
        uint64_t each;         /* spool.each: of one connector; a quarter of limit */
        uint64_t floor;        /* spool.floor: 1GiB that stay free on its file system */
        uint64_t segment;      /* spool.segment: 128MiB */
        uint64_t unanswered_max; /* spool.unanswered_max: 64MiB of a connector with ack = "confirm" */
    } spool;
    struct {
        uint64_t limit;        /* journal.limit: 64MiB, of journal.log and journal.log.1 together */
    } journal;
    struct {
        char *socket;          /* operators.socket: operators.sock in state.dir */
    } operators;
    struct {
        enum log_format format; /* log.format: "keyvalue" or "json" */
        enum log_level  level;  /* log.level: "error" "warn" "info" "debug" */
    } log;
    int64_t stop_us;            /* stop.within: 30s */
    bool    accept_unknown;     /* needs default_target */
    bool    has_default_target;
    struct settings_target default_target;
    struct settings_group *groups;
    size_t  n_groups;
    struct settings_connector *connectors;
    size_t  n_connectors;
};

/* Read path (NULL: defaults only), then the environment env ("NAME=value" strings, NULL-terminated), check it all.
 * Returns new settings, or NULL with *err (ERR_CONFIG) naming file, line, key, what is wrong, what to write. */
struct settings *settings_load(const char *path, char *const *env, struct err *err);

/* Write them in the syntax of the file, each with its meaning; secrets are masked. */
void settings_print(const struct settings *s, FILE *to);

void settings_free(struct settings *s);

#endif
