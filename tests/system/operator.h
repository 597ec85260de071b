/* operator.h - a private RabbitMQ with the ports that a test needs, and an operator's hand on it.
 *
 * What fails ends the test.  Thread: the main thread only. */
#ifndef OPERATOR_H
#define OPERATOR_H

#include <amqp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct world;

enum { MESSAGE_MAX = 20000000 }; /* the broker's max_message_size */

struct rabbit {
    struct world *world;
    int           port, tls_port, management_port, prometheus_port; /* 0: not asked for */
};

/* Setup and teardown of a group: *state is a struct rabbit, with a TLS port. */
int rabbit_start(void **state);

/* The same, with these options of tests/broker start (a NULL-terminated list; "--tls" is followed by its folder, which
 * is tls in that of the world) and, beyond what rabbit_start sets, these lines of its configuration. */
struct rabbit *rabbit_new(struct err *err);
int rabbit_start_with(struct rabbit *r, const char *const *options, const char *conf);
int rabbit_stop(void **state);

/* tests/broker VERB ARGS... on it; args as of world_broker. */
void rabbit_do(const struct rabbit *r, const char *verb, const char *const *args);

/* The part of memory that may be used before the alarm. */
void rabbit_watermark(const struct rabbit *r, const char *fraction);

/* SIGKILL as "kill", and from this very moment on it does nothing any more. */
void rabbit_kill_now(const struct rabbit *r);

/* A column of rabbitmqctl list_connections. */
void rabbit_connections(const struct rabbit *r, const char *column, char *out, size_t cap);

/* The operator's own connection, with channel 1 open. */
amqp_connection_state_t operator_open(const struct rabbit *r);
void operator_close(amqp_connection_state_t c);

/* The last call on it was successful. */
void operator_ok(amqp_connection_state_t c);

struct queue {
    const char  *name;
    bool         transient, exclusive, auto_delete;
    amqp_table_t arguments;
};

amqp_table_entry_t argument_text(const char *key, const char *value);
void declare_on(amqp_connection_state_t c, struct queue q);

/* A durable queue. */
void declare(const struct rabbit *r, const char *name);

/* Messages ready in a queue. */
uint32_t depth(const struct rabbit *r, const char *name);

/* Take one message, whole; to be given back by amqp_destroy_message. */
amqp_message_t get(amqp_connection_state_t c, const char *queue);

#endif
