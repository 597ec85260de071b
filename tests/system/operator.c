/* operator.c - a private RabbitMQ with a TLS port, and an operator's hand on it. */
#include "system/operator.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>

#include "err.h"
#include "system/world.h"

enum { BROKER_MS = 200000 };

static int
port_of(const struct world *world, const char *name)
{
    char path[600], line[600];
    int port = 0;

    snprintf(path, sizeof(path), "%s/broker/env", world_dir(world));
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            port = (int)strtol(line + strcspn(line, "'") + 1, NULL, 10); /* NAME='n' */
    fclose(f);
    return port;
}

struct rabbit *
rabbit_new(struct err *err)
{
    struct rabbit *r = calloc(1, sizeof(*r));

    if (r == NULL || (r->world = world_open(err)) == NULL) {
        free(r);
        return NULL;
    }
    return r;
}

static int
write_conf(const char *path, const char *more)
{
    FILE *f = fopen(path, "we");

    if (f == NULL)
        return -1;
    fprintf(f, "max_message_size = %d\n%s", MESSAGE_MAX, more);
    return fclose(f);
}

int
rabbit_start_with(struct rabbit *r, const char *const *options, const char *conf_lines)
{
    char script[600], broker[600], conf[600], out[4096] = "";
    struct err err = {.text = ""};

    snprintf(broker, sizeof(broker), "%s/broker", world_dir(r->world));
    snprintf(conf, sizeof(conf), "%s/more.conf", world_dir(r->world));
    const char *argv[16] = {world_source("tests/broker", script, sizeof(script)), "start", broker, conf};
    for (size_t i = 0; i < 10 && options[i] != NULL; i++)
        argv[4 + i] = options[i];
    if (write_conf(conf, conf_lines) != 0 || world_run(argv, BROKER_MS, out, sizeof(out), &err) != 0) {
        fprintf(stderr, "%s%s\n", err.text, out);
        return -1;
    }
    r->port = port_of(r->world, "AMQP_PORT");
    r->tls_port = port_of(r->world, "TLS_PORT");
    r->management_port = port_of(r->world, "MGMT_PORT");
    r->prometheus_port = port_of(r->world, "PROM_PORT");
    return r->port > 0 ? 0 : -1;
}

int
rabbit_start(void **state)
{
    struct rabbit *r = rabbit_new(NULL);
    char tls[600];

    *state = r;
    if (r == NULL)
        return -1;
    snprintf(tls, sizeof(tls), "%s/tls", world_dir(r->world));
    return rabbit_start_with(r, (const char *[]){"--tls", tls, NULL}, "");
}

int
rabbit_stop(void **state)
{
    struct rabbit *r = *state;

    world_close(r->world);
    free(r);
    return 0;
}

void
rabbit_do(const struct rabbit *r, const char *verb, const char *const *args)
{
    struct err err = {.text = ""};

    if (world_broker(r->world, verb, args, &err) != 0)
        fail_msg("%s: %s", verb, err.text);
}

void
rabbit_kill_now(const struct rabbit *r)
{
    assert_int_equal(kill(port_of(r->world, "PID="), SIGSTOP), 0);
    rabbit_do(r, "kill", NULL);
}

void
rabbit_watermark(const struct rabbit *r, const char *fraction)
{
    const char *args[] = {"set_vm_memory_high_watermark", fraction, NULL};

    rabbit_do(r, "ctl", args);
}

void
rabbit_connections(const struct rabbit *r, const char *column, char *out, size_t cap)
{
    char script[600], dir[600];
    struct err err = {.text = ""};

    snprintf(dir, sizeof(dir), "%s/broker", world_dir(r->world));
    const char *const tool = world_source("tests/broker", script, sizeof(script));
    const char *const argv[] = {tool, "ctl", dir, "list_connections", column, NULL};
    if (world_run(argv, BROKER_MS, out, cap, &err) != 0)
        fail_msg("%s: %s", err.text, out);
}

amqp_connection_state_t
operator_open(const struct rabbit *r)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(c);

    assert_int_equal(amqp_socket_open(socket, "127.0.0.1", r->port), AMQP_STATUS_OK);
    assert_int_equal(amqp_login(c, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type,
                     AMQP_RESPONSE_NORMAL);
    amqp_channel_open(c, 1);
    return c;
}

void
operator_close(amqp_connection_state_t c)
{
    amqp_connection_close(c, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(c);
}

void
operator_ok(amqp_connection_state_t c)
{
    assert_int_equal(amqp_get_rpc_reply(c).reply_type, AMQP_RESPONSE_NORMAL);
}

amqp_table_entry_t
argument_text(const char *key, const char *value)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)}};
}

void
declare_on(amqp_connection_state_t c, struct queue q)
{
    amqp_queue_declare(c, 1, amqp_cstring_bytes(q.name), 0, !q.transient, q.exclusive, q.auto_delete, q.arguments);
    operator_ok(c);
}

void
declare(const struct rabbit *r, const char *name)
{
    amqp_connection_state_t c = operator_open(r);

    declare_on(c, (struct queue){.name = name});
    operator_close(c);
}

uint32_t
depth(const struct rabbit *r, const char *name)
{
    amqp_connection_state_t c = operator_open(r);
    const amqp_queue_declare_ok_t *got =
        amqp_queue_declare(c, 1, amqp_cstring_bytes(name), 1, 0, 0, 0, amqp_empty_table);

    if (got == NULL) {
        const amqp_rpc_reply_t reply = amqp_get_rpc_reply(c);
        const amqp_channel_close_t *close = reply.reply.decoded;
        fail_msg("queue '%s': %.*s", name, close != NULL ? (int)close->reply_text.len : 0,
                 close != NULL ? (const char *)close->reply_text.bytes : "");
        return 0;
    }
    const uint32_t n = got->message_count;
    operator_close(c);
    return n;
}

amqp_message_t
get(amqp_connection_state_t c, const char *queue)
{
    amqp_message_t m;

    amqp_maybe_release_buffers(c);
    assert_int_equal(amqp_basic_get(c, 1, amqp_cstring_bytes(queue), 1).reply_type, AMQP_RESPONSE_NORMAL);
    assert_int_equal(amqp_read_message(c, 1, &m, 0).reply_type, AMQP_RESPONSE_NORMAL);
    return m;
}
