/* settings_parts.h - what the settings_*.c files share, and nobody else includes.
 *
 * A key is one row of a table.  Whatever way its value comes (default, file, environment), it comes as
 * text and goes through settings_value_set, so that there is one set of rules and one set of words.
 *
 *     settings_table.c    the rows: names, kinds, defaults, bounds, meanings
 *     settings_value.c    text to field, and field to the syntax of the file
 *     settings_hosts.c    the same for the list of brokers
 *     settings_scan.c     refuses what libconfig would misread in silence
 *     settings_read.c     the file (the only one that knows libconfig)
 *     settings_env.c      the environment
 *     settings_check.c    what holds between keys
 *     settings_secret.c   files that hold secrets
 *     settings_print.c    the way back */
#ifndef SETTINGS_PARTS_H
#define SETTINGS_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "settings.h"

struct err;

enum {
    SETTINGS_FILE_MAX = 4 * 1024 * 1024, /* bytes in the file and all that it includes */
    SETTINGS_CONNECTORS_MAX = 10000,
    SETTINGS_GROUPS_MAX = 255,
    SETTINGS_HOSTS_MAX = 16,
    SETTINGS_NAME_MAX = 253,             /* bytes in the name of a host (RFC 1035) */
    SETTINGS_SHORT_MAX = 255,            /* bytes in a name of AMQP's (a short string) */
    SETTINGS_PATH_MAX = 4095,
    SETTINGS_WHERE_MAX = 80,             /* bytes in "file:line", long paths cut at the front */
    SETTINGS_ENV_MAX = 64,               /* bytes in the name of an environment variable */
    SETTINGS_SHOWN_MAX = 48              /* bytes of a text from outside that an error repeats */
};

enum settings_kind {
    SETTINGS_TEXT,     /* char *; bounds are bytes; no default: NULL stands for none */
    SETTINGS_NUMBER,   /* int */
    SETTINGS_FLAG,     /* bool */
    SETTINGS_SIZE,     /* uint64_t, bytes */
    SETTINGS_DURATION, /* int64_t, microseconds */
    SETTINGS_DECIMAL,  /* struct settings_decimal; bounds are millionths; no default: it is not given */
    SETTINGS_WORD,     /* an enum, its value the index in words */
    SETTINGS_HOSTS     /* hosts and n_hosts of struct settings */
};

struct settings_key {
    const char *name;         /* "door.ping", "accept_unknown"; of a connector: "id" */
    enum settings_kind kind;
    size_t      offset;       /* of its field in struct settings (of a connector: struct settings_connector) */
    const char *def;          /* the default, spelled as in the environment; NULL: none */
    int64_t     min, max;     /* inclusive, in the unit of the kind */
    const char *const *words; /* what a WORD or TEXT may be, NULL-terminated; NULL: anything */
    bool        secret;       /* from the environment only, and never printed */
    const char *meaning;      /* one line for people */
};

/* The table of all keys but those of connectors, and the one of a connector's. */
const struct settings_key *settings_keys(size_t *ret_n);
const struct settings_key *settings_connector_keys(size_t *ret_n);
const struct settings_key *settings_group_keys(size_t *ret_n);

/* The row of a key that is known to exist. */
size_t settings_key_index(const char *name);

/* Length of the section in a key's name; 0: it stands alone. */
size_t settings_section_len(const char *name);

/* Its environment variable ("SLUICE_DOOR_PING"), written into buf (SETTINGS_ENV_MAX bytes), which is returned. */
char *settings_env_name(const struct settings_key *key, char *buf);

/* Settings on their way: where each key was given, for errors that are found late. */
struct settings_draft {
    struct settings *s;
    char (*where)[SETTINGS_WHERE_MAX]; /* per row of settings_keys: "file:line", a variable, or "" for the default */
};

/* Fill *err with "where: name: text" (ERR_CONFIG; where may be "") and return -1. */
int settings_blame(const char *where, const char *name, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for a key of the table, at the place where it was given. */
int settings_blame_key(const struct settings_draft *d, const char *name, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Was it given, in the file or the environment? */
bool settings_given(const struct settings_draft *d, const char *name);

/* What an error repeats of a text from outside: escaped, and cut to SETTINGS_SHOWN_MAX.  Returns buf. */
char *settings_show(const char *text, char buf[SETTINGS_SHOWN_MAX]);

/* Set the key's field in base from text, or leave it as it is and say why (ERR_CONFIG without place or name). */
int settings_value_set(void *base, const struct settings_key *key, const char *text, struct err *err);

/* Write the key's value in the syntax of the file. */
void settings_value_print(const void *base, const struct settings_key *key, FILE *to);

/* Is there a value?  (not so for a text that is NULL) */
bool settings_value_has(const void *base, const struct settings_key *key);

/* Write bytes or microseconds in the largest unit that says it exactly ("64KiB", "40s"). */
void settings_amount(enum settings_kind kind, uint64_t amount, char *buf, size_t cap);

/* Free what the fields of n keys own. */
void settings_values_free(void *base, const struct settings_key *keys, size_t n);

/* Hosts from "a:5672,[::1]:5672"; a port that is not given is 0. */
int settings_hosts_set(struct settings *s, const char *text, struct err *err);
void settings_hosts_print(const struct settings *s, FILE *to);
void settings_hosts_free(struct settings_host *hosts, size_t n);

/* A file's bytes, NUL-terminated, at most cap of them; regular files only.  The caller frees.  private: it must
 * not be readable by all.  ERR_CONFIG without place. */
char *settings_file_text(const char *path, size_t cap, bool private, size_t *ret_len, struct err *err);

/* Look through text, which was read from path, and all that it includes. */
int settings_scan(const char *path, const char *text, size_t len, struct err *err);

int settings_read(struct settings_draft *d, const char *path, struct err *err);
int settings_env(struct settings_draft *d, char *const *env, struct err *err);
int settings_check(struct settings_draft *d, struct err *err);

/* Complete a target (what the default exchange implies, OpenCTI's names) and check it; id: of its connector, NULL: of
 * any.  ERR_CONFIG without place. */
int settings_target_check(struct settings_target *t, const char *id, struct err *err);

/* Replace a password by the content of the file that is named by `key` (broker.password_file, ...). */
int settings_password_read(struct settings_draft *d, const char *key, const char *path, char **password,
                           struct err *err);
void settings_password_free(char *password);

#endif
