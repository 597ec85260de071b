/* settings_hosts.c - the list of brokers: "a:5672, b, [::1]:5672". */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "settings_parts.h"

static int
refuse(const char *text, const char *why, struct err *err)
{
    char shown[SETTINGS_SHOWN_MAX];

    err_set(err, ERR_CONFIG, 0,
            "\"%s\": %s: write host or host:port, such as \"127.0.0.1:5672\" or \"[::1]:5672\"",
            settings_show(text, shown), why);
    return -1;
}

static bool
is_name(const char *host)
{
    for (const char *c = host; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && strchr("-._", *c) == NULL)
            return false;
    }
    return host[0] != '\0';
}

/* The port behind a colon; "" is none. */
static int
parse_port(const char *text, int *ret)
{
    *ret = 0;
    if (text[0] == '\0')
        return 0;
    if (text[0] != ':' || text[1] == '\0' || strlen(text) > 6 || strspn(text + 1, "0123456789") != strlen(text + 1))
        return -1;
    *ret = (int)strtol(text + 1, NULL, 10);
    return *ret >= 1 && *ret <= 65535 ? 0 : -1;
}

/* Cut text, one entry, into host and port, in place. */
static int
parse_host(char *text, const char **ret_host, int *ret_port, struct err *err)
{
    char            whole[SETTINGS_NAME_MAX + 16];
    struct in6_addr ignored;
    char           *rest;

    if (strlen(text) >= sizeof(whole))
        return refuse(text, "the name is too long", err);
    memcpy(whole, text, strlen(text) + 1); /* for errors: text is cut */
    if (text[0] == '[') {
        rest = strchr(text, ']');
        if (rest == NULL)
            return refuse(whole, "the bracket is not closed", err);
        *rest++ = '\0';
        if (inet_pton(AF_INET6, ++text, &ignored) != 1)
            return refuse(whole, "that is no IPv6 address", err);
        if (parse_port(rest, ret_port) != 0)
            return refuse(whole, "the port is not a number from 1 to 65535", err);
        *ret_host = text;
        return 0;
    }
    rest = strchr(text, ':');
    if (rest != NULL && strstr(rest, "://") == rest)
        return refuse(whole, "not a URL; user, vhost and tls are keys of their own", err);
    if (rest != NULL && strchr(rest + 1, ':') != NULL)
        return refuse(whole, "an IPv6 address stands in brackets", err);
    if (parse_port(rest == NULL ? "" : rest, ret_port) != 0)
        return refuse(whole, "the port is not a number from 1 to 65535", err);
    if (rest != NULL)
        *rest = '\0';
    if (!is_name(text) || strlen(text) > SETTINGS_NAME_MAX)
        return refuse(whole, "that is no name of a host", err);
    *ret_host = text;
    return 0;
}

static char *
trim(char *text)
{
    size_t len;

    text += strspn(text, " \t");
    len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        text[--len] = '\0';
    return text;
}

/* Cut list at its commas and fill hosts, which has room for SETTINGS_HOSTS_MAX. */
static int
parse_list(char *list, struct settings_host *hosts, size_t *n, struct err *err)
{
    for (char *next = list; next != NULL;) {
        char       *entry = next;
        const char *host = NULL;
        int         port = 0;

        next = strchr(entry, ',');
        if (next != NULL)
            *next++ = '\0';
        if (*n == SETTINGS_HOSTS_MAX)
            return err_set(err, ERR_CONFIG, 0, "more than %d hosts: write fewer", SETTINGS_HOSTS_MAX);
        if (parse_host(trim(entry), &host, &port, err) != 0)
            return -1;
        hosts[*n].host = strdup(host);
        if (hosts[*n].host == NULL)
            return err_set(err, ERR_NOMEM, errno, "settings");
        hosts[(*n)++].port = port;
    }
    return 0;
}

int
settings_hosts_set(struct settings *s, const char *text, struct err *err)
{
    struct settings_host *hosts = calloc(SETTINGS_HOSTS_MAX, sizeof(*hosts));
    char  *list = strdup(text);
    size_t n = 0;

    if (hosts == NULL || list == NULL) {
        err_set(err, ERR_NOMEM, errno, "settings");
        goto fail;
    }
    if (parse_list(list, hosts, &n, err) != 0)
        goto fail;
    free(list);
    settings_hosts_free(s->broker.hosts, s->broker.n_hosts);
    s->broker.hosts = hosts;
    s->broker.n_hosts = n;
    return 0;

fail:
    free(list);
    settings_hosts_free(hosts, n);
    return -1;
}

void
settings_hosts_print(const struct settings *s, FILE *to)
{
    for (size_t i = 0; i < s->broker.n_hosts; i++) {
        const struct settings_host *h = &s->broker.hosts[i];
        bool v6 = strchr(h->host, ':') != NULL;
        fprintf(to, "%s\"%s%s%s:%d\"", i == 0 ? "( " : ", ", v6 ? "[" : "", h->host, v6 ? "]" : "", h->port);
    }
    fputs(" )", to);
}

void
settings_hosts_free(struct settings_host *hosts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(hosts[i].host);
    free(hosts);
}
