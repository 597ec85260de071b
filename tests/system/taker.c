#include "taker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/time.h>

#include <amqp.h>
#include <amqp_tcp_socket.h>

#include "clock.h"
#include "err.h"
#include "world.h"

enum { WAIT_MS = 20,
       ACK_US = 20000,
       DEBT_US = 200000 };

struct taker {
    struct taker_plan plan;
    amqp_connection_state_t conn;
    pthread_t thread;
    bool runs;
    atomic_bool stop;
    pthread_mutex_t lock; /* of result */
    struct taker_result result;
};

static int
well(struct taker *t, const char *what, struct err *err)
{
    const amqp_rpc_reply_t r = amqp_get_rpc_reply(t->conn);

    if (r.reply_type == AMQP_RESPONSE_NORMAL)
        return 0;
    return err_set(err, ERR_IO, 0, "%s of %s", what, t->plan.queue);
}

static int
begin(struct taker *t, struct err *err)
{
    amqp_socket_t *s = amqp_tcp_socket_new(t->conn);

    if (s == NULL || amqp_socket_open(s, "127.0.0.1", t->plan.port) != AMQP_STATUS_OK)
        return err_set(err, ERR_IO, 0, "connect to the broker at port %d", t->plan.port);
    if (amqp_login(t->conn, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type !=
        AMQP_RESPONSE_NORMAL)
        return err_set(err, ERR_IO, 0, "log in as guest");
    amqp_channel_open(t->conn, 1);
    if (well(t, "a channel", err) != 0)
        return -1;
    amqp_basic_qos(t->conn, 1, 0, t->plan.prefetch, 0);
    if (well(t, "the prefetch", err) != 0)
        return -1;
    amqp_basic_consume(t->conn, 1, amqp_cstring_bytes(t->plan.queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    return well(t, "a consumer", err);
}

/* Returns the size of the next message with its tag, 0: none came within the wait, -1: the connection is gone. */
static int64_t
next(struct taker *t, uint64_t *ret_tag)
{
    struct timeval wait = {.tv_usec = WAIT_MS * 1000};
    amqp_envelope_t e;
    amqp_rpc_reply_t r;
    int64_t len;

    amqp_maybe_release_buffers(t->conn);
    r = amqp_consume_message(t->conn, &e, &wait, 0);
    if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && r.library_error == AMQP_STATUS_TIMEOUT)
        return 0;
    if (r.reply_type != AMQP_RESPONSE_NORMAL)
        return -1;
    len = (int64_t)e.message.body.len;
    *ret_tag = e.delivery_tag;
    amqp_destroy_envelope(&e);
    return len;
}

static void
count(struct taker *t, int64_t len, int64_t waited_us, int64_t since_us)
{
    pthread_mutex_lock(&t->lock);
    if (len > 0) {
        t->result.bytes += (uint64_t)len;
        t->result.messages++;
    }
    if (t->result.messages > (len > 0)) { /* before the first nobody can be idle */
        t->result.idle_us += waited_us;
        t->result.active_us += since_us;
    }
    pthread_mutex_unlock(&t->lock);
}

/* Is it off now?  Then sleep a little. */
static bool
rests(const struct taker *t, int64_t began_us, int64_t now_us)
{
    const int64_t whole_us = (t->plan.on_ms + t->plan.off_ms) * 1000;

    if (t->plan.on_ms == 0 || (now_us - began_us) % whole_us < t->plan.on_ms * 1000)
        return false;
    world_sleep_ms(WAIT_MS);
    return true;
}

static void *
taker_main(void *arg)
{
    struct taker *t = arg;
    const int64_t began_us = clock_mono_us();
    int64_t due_us = began_us, acked_us = began_us, last_us = began_us;
    uint64_t tag = 0, acked = 0;

    while (!atomic_load(&t->stop)) {
        int64_t now_us = clock_mono_us(), len;

        if (rests(t, began_us, now_us)) {
            due_us = last_us = clock_mono_us();
            continue;
        }
        if (due_us > now_us) {
            world_sleep_ms((due_us - now_us) / 1000 + 1);
            now_us = clock_mono_us();
        }
        if (now_us - due_us > DEBT_US)
            due_us = now_us - DEBT_US; /* what it could not take it does not catch up on */
        len = next(t, &tag);
        if (len < 0)
            break;
        count(t, len, clock_mono_us() - now_us, clock_mono_us() - last_us);
        last_us = clock_mono_us();
        if (len > 0 && t->plan.rate > 0)
            due_us += len * 1000000 / (int64_t)t->plan.rate;
        if (tag > acked && !t->plan.hoards && (len == 0 || last_us - acked_us >= ACK_US || t->plan.prefetch < 4)) {
            amqp_basic_ack(t->conn, 1, tag, 1);
            acked = tag;
            acked_us = last_us;
        }
    }
    return NULL;
}

struct taker *
taker_start(const struct taker_plan *plan, struct err *err)
{
    struct taker *t = calloc(1, sizeof(*t));

    if (t == NULL || (t->conn = amqp_new_connection()) == NULL) {
        (void)err_set(err, ERR_NOMEM, 0, "taker");
        free(t);
        return NULL;
    }
    t->plan = *plan;
    pthread_mutex_init(&t->lock, NULL);
    t->runs = begin(t, err) == 0 && pthread_create(&t->thread, NULL, taker_main, t) == 0;
    if (t->runs)
        return t;
    taker_stop(t);
    return NULL;
}

void
taker_so_far(struct taker *t, bool again, struct taker_result *ret)
{
    pthread_mutex_lock(&t->lock);
    *ret = t->result;
    if (again)
        t->result = (struct taker_result){.messages = t->result.messages > 0}; /* it has begun */
    pthread_mutex_unlock(&t->lock);
}

void
taker_stop(struct taker *t)
{
    if (t == NULL)
        return;
    atomic_store(&t->stop, true);
    if (t->runs)
        pthread_join(t->thread, NULL);
    amqp_destroy_connection(t->conn);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
