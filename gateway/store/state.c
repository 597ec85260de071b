/* state.c - the state's thread: takes what waits, makes it one transaction, and answers once that is on the disk.
 *
 * What arrives during one flush is the next batch, so the number of flushes follows the disk and not the requests. */
#include "state.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "err.h"
#include "log.h"
#include "mailbox.h"
#include "state_db.h"
#include "state_file.h"
#include "thread.h"
#include "wire.h"

enum {
    BATCH_MAX = 64,      /* requests in one transaction: bounds the wait for an answer, and the copies of states */
    POST_PAUSE_MS = 10   /* an answer that finds no memory is tried again after this long */
};

enum request_kind { REQUEST_GET, REQUEST_SET, REQUEST_MARK, REQUEST_ROW, REQUEST_CLEAR, REQUEST_DEAD, REQUEST_UNDEAD };

struct request {
    enum request_kind  kind;
    char               connector[65];
    uint64_t           ticket;
    void              *bytes;   /* owned */
    size_t             len;
    uint64_t           version;
    struct state_mark *marks;   /* owned */
    size_t             n_marks;
    bool               has_row; /* of REQUEST_SET: row goes with it */
    struct state_row   row;
    struct dead_letter *dead;    /* of REQUEST_DEAD, owned */
    uint64_t           pos;     /* of REQUEST_UNDEAD */
};

/* What follows a request: the answer where it was done, and where it was not.  Marks and dead letters have none. */
static const struct {
    enum state_answer_kind done, failed;
    const char            *event; /* of the log, where it failed */
} after[] = {
    [REQUEST_GET] = {STATE_GOT, STATE_FAILED, "state_failed"},
    [REQUEST_SET] = {STATE_SAVED, STATE_FAILED, "state_failed"},
    [REQUEST_MARK] = {STATE_FAILED, STATE_FAILED, "state_mark_failed"},
    [REQUEST_ROW] = {STATE_ROW_STORED, STATE_ROW_FAILED, "state_row_failed"},
    [REQUEST_CLEAR] = {STATE_CLEARED, STATE_CLEAR_FAILED, "state_clear_failed"},
    [REQUEST_DEAD] = {STATE_FAILED, STATE_FAILED, "state_dead_letter_failed"},
    [REQUEST_UNDEAD] = {STATE_FAILED, STATE_FAILED, "state_dead_letter_failed"},
};

static bool
is_answered(enum request_kind kind)
{
    return kind != REQUEST_MARK && kind != REQUEST_DEAD && kind != REQUEST_UNDEAD;
}

struct state {
    struct state_db *db;       /* the thread's, once a request was posted */
    int              lock_fd;
    int              stop_fd;  /* an eventfd: writing to it cannot fail, unlike a post */
    struct mailbox  *requests;
    struct mailbox  *answers;  /* borrowed */
    struct log      *log;      /* borrowed */
    pthread_t        thread;
    bool             running;
    bool             asked;    /* the poster's: a request was posted */
};

static void
request_free(struct request *r)
{
    free(r->bytes);
    free(r->marks);
    free(r->dead);
    r->bytes = NULL;
    r->marks = NULL;
    r->dead = NULL;
}

static void
answer_free(struct state_answer *a)
{
    free(a->bytes);
    free(a->text);
    a->bytes = NULL;
    a->text = NULL;
}

static int
do_marks(struct state_db *db, const struct request *r, struct err *err)
{
    for (size_t i = 0; i < r->n_marks; i++) {
        if (state_db_mark(db, &r->marks[i], err) != 0)
            return -1;
    }
    return 0;
}

/* A stale one is an answer too: neither the state nor the row is changed. */
static int
do_set(struct state_db *db, const struct request *r, struct state_answer *a, struct err *err)
{
    struct err why = {0};

    if (state_db_set(db, r->connector, r->bytes, r->len, r->version, &a->version, &why) == 0)
        return r->has_row ? state_db_row(db, &r->row, err) : 0;
    a->kind = STATE_STALE;
    if (why.code == ERR_STALE)
        return 0;
    if (err != NULL)
        *err = why;
    return -1;
}

/* Do what r asks and fill *a.  -1: the disk failed, and so did the transaction that this is part of. */
static int
do_request(struct state_db *db, const struct request *r, struct state_answer *a, struct err *err)
{
    *a = (struct state_answer){.kind = after[r->kind].done, .ticket = r->ticket};
    switch (r->kind) {
    case REQUEST_GET:
        return state_db_get(db, r->connector, &a->bytes, &a->len, &a->version, err);
    case REQUEST_MARK:
        return do_marks(db, r, err);
    case REQUEST_ROW:
        return state_db_row(db, &r->row, err);
    case REQUEST_CLEAR:
        return state_db_clear(db, r->connector, &a->version, err);
    case REQUEST_DEAD:
        return state_db_dead(db, r->dead, err);
    case REQUEST_UNDEAD:
        return state_db_undead(db, r->connector, r->pos, err);
    case REQUEST_SET:
        break;
    }
    return do_set(db, r, a, err);
}

/* Post answers; no memory passes, and who waits for an answer would wait for ever.  Once we are to stop nobody does. */
static void
post(struct state *st, struct state_answer *answers, size_t n)
{
    struct pollfd stop = {.fd = st->stop_fd, .events = POLLIN};
    struct err err = {0};

    do {
        if (n == 0 || mailbox_post(st->answers, answers, n, &err) == 0)
            return;
    } while (poll(&stop, 1, POST_PAUSE_MS) <= 0);
    log_event(st->log, LOG_ERROR, "state_answers_lost", LOG_INT("answers", n), LOG_STR("error", err.text));
    for (size_t i = 0; i < n; i++)
        answer_free(&answers[i]);
}

/* Do n requests in one transaction.  answers has room for n; *ret_n of them are filled, since some have none.
 * -1: nothing was changed, and no answer is left. */
static int
do_batch(struct state_db *db, const struct request *requests, size_t n, struct state_answer *answers, size_t *ret_n,
         struct err *err)
{
    bool   changes = false;
    int    rc = 0;

    *ret_n = 0;
    for (size_t i = 0; i < n; i++)
        changes = changes || requests[i].kind != REQUEST_GET;
    if (changes && state_db_begin(db, err) != 0)
        return -1;
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = do_request(db, &requests[i], &answers[*ret_n], err);
        if (rc == 0 && is_answered(requests[i].kind))
            ++*ret_n;
    }
    if (rc == 0 && changes)
        rc = state_db_commit(db, err);
    else if (changes)
        state_db_rollback(db);
    for (; rc != 0 && *ret_n > 0; --*ret_n)
        answer_free(&answers[*ret_n - 1]);
    return rc;
}

/* A request that failed by itself: say so. */
static void
refuse(struct state *st, const struct request *r, const struct err *why)
{
    struct state_answer a = {.kind = after[r->kind].failed, .ticket = r->ticket, .text = strdup(why->text)};

    log_event(st->log, LOG_ERROR, after[r->kind].event, LOG_STR("connector", r->connector),
              LOG_STR("error", why->text));
    if (!is_answered(r->kind))
        free(a.text);
    else
        post(st, &a, 1);
}

/* All in one; where that fails each for itself, so that one cannot spoil the others, and so that reading goes on
 * when the disk is full. */
static void
serve(struct state *st, struct request *requests, size_t n)
{
    struct state_answer answers[BATCH_MAX];
    size_t     done = 0;
    struct err err = {0};

    if (do_batch(st->db, requests, n, answers, &done, &err) == 0)
        post(st, answers, done);
    else if (n == 1)
        refuse(st, requests, &err);
    else
        for (size_t i = 0; i < n; i++)
            serve(st, &requests[i], 1);
}

static bool
wait_for_work(struct state *st)
{
    struct pollfd fds[] = {{.fd = mailbox_fd(st->requests), .events = POLLIN}, {.fd = st->stop_fd, .events = POLLIN}};

    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        continue;
    return fds[1].revents == 0;
}

static void *
run(void *ctx)
{
    struct state   *st = ctx;
    struct request *requests;
    void           *taken;
    bool            more = true;
    size_t          n;

    while (more) {
        more = wait_for_work(st);
        /* What was posted before the stop is there by now. */
        while ((n = mailbox_take(st->requests, &taken)) > 0) {
            requests = taken;
            for (size_t i = 0; i < n; i += BATCH_MAX)
                serve(st, &requests[i], n - i < BATCH_MAX ? n - i : BATCH_MAX);
            for (size_t i = 0; i < n; i++)
                request_free(&requests[i]);
        }
    }
    return NULL;
}

static int
start(struct state *st, struct err *err)
{
    st->running = thread_start(&st->thread, run, st, "the state's thread", err) == 0;
    return st->running ? 0 : -1;
}

struct state *
state_open(const char *dir, struct mailbox *answers, struct log *log, struct err *err)
{
    struct state *st = calloc(1, sizeof(*st));

    if (st == NULL) {
        err_set(err, ERR_NOMEM, errno, "state");
        return NULL;
    }
    st->answers = answers;
    st->log = log;
    st->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    st->lock_fd = st->stop_fd < 0 ? err_set(err, ERR_IO, errno, "state: eventfd") : state_folder_lock(dir, err);
    if (st->lock_fd >= 0)
        st->requests = mailbox_new(sizeof(struct request), err);
    if (st->requests != NULL)
        st->db = state_db_open(dir, err);
    if (st->db == NULL || start(st, err) != 0) {
        state_close(st);
        return NULL;
    }
    log_event(log, LOG_INFO, "state_open", LOG_STR("dir", dir));
    return st;
}

int
state_marks(struct state *st, void (*each)(void *ctx, const struct state_mark *mark), void *ctx, struct err *err)
{
    if (st->asked)
        return err_set(err, ERR_IO, EBUSY, "marks are read before the first request");
    return state_db_marks(st->db, each, ctx, err);
}

int
state_rows(struct state *st, void (*each)(void *ctx, const struct state_row *row), void *ctx, struct err *err)
{
    if (st->asked)
        return err_set(err, ERR_IO, EBUSY, "rows are read before the first request");
    return state_db_rows(st->db, each, ctx, err);
}

int
state_each_dead(struct state *st, void (*each)(void *ctx, const struct dead_letter *dead), void *ctx, struct err *err)
{
    if (st->asked)
        return err_set(err, ERR_IO, EBUSY, "dead letters are read before the first request");
    return state_db_each_dead(st->db, each, ctx, err);
}

/* Post r, which keeps what it owns where this fails. */
static int
ask(struct state *st, const struct request *r, struct err *err)
{
    if (mailbox_post(st->requests, r, 1, err) != 0)
        return -1;
    st->asked = true;
    return 0;
}

static int
set_connector(struct request *r, const char *connector, struct err *err)
{
    size_t len = strlen(connector);

    if (len == 0 || len >= sizeof(r->connector))
        return err_set(err, ERR_PROTO, 0, "the id of a connector has 1 to 64 bytes, not %zu", len);
    memcpy(r->connector, connector, len + 1);
    return 0;
}

int
state_get(struct state *st, const char *connector, uint64_t ticket, struct err *err)
{
    struct request r = {.kind = REQUEST_GET, .ticket = ticket};

    return set_connector(&r, connector, err) != 0 ? -1 : ask(st, &r, err);
}

int
state_clear(struct state *st, const char *connector, uint64_t ticket, struct err *err)
{
    struct request r = {.kind = REQUEST_CLEAR, .ticket = ticket};

    return set_connector(&r, connector, err) != 0 ? -1 : ask(st, &r, err);
}

static int
set_row(struct request *r, const struct state_row *row, struct err *err)
{
    size_t len = strnlen(row->connector, sizeof(row->connector));

    if (len == 0 || len == sizeof(row->connector) || row->kind > WIRE_S_CONTINUOUS + 1)
        return err_set(err, ERR_PROTO, 0, "the row of %.64s is not one of a schedule", row->connector);
    r->row = *row;
    return 0;
}

static int
row_request(struct request *r, const struct state_row *row, uint64_t ticket, struct err *err)
{
    *r = (struct request){.kind = REQUEST_ROW, .ticket = ticket};
    return set_row(r, row, err) != 0 ? -1 : set_connector(r, row->connector, err);
}

int
state_row(struct state *st, const struct state_row *row, uint64_t ticket, struct err *err)
{
    struct request r;

    return row_request(&r, row, ticket, err) != 0 ? -1 : ask(st, &r, err);
}

int
state_row_later(struct state *st, const struct state_row *row, uint64_t ticket, struct err *err)
{
    struct request r;

    if (row_request(&r, row, ticket, err) != 0 || mailbox_post_quietly(st->requests, &r, 1, err) != 0)
        return -1;
    st->asked = true;
    return 0;
}

void
state_wake(struct state *st)
{
    mailbox_wake(st->requests);
}

int
state_set_with_row(struct state *st, const char *connector, void **bytes, size_t len, uint64_t version,
                   const struct state_row *row, uint64_t ticket, struct err *err)
{
    struct request r = {.kind = REQUEST_SET, .ticket = ticket, .bytes = *bytes, .len = len, .version = version};

    if (row != NULL && set_row(&r, row, err) != 0)
        return -1;
    r.has_row = row != NULL;
    if (set_connector(&r, connector, err) != 0)
        return -1;
    if (len > WIRE_STATE_MAX)
        return err_set(err, ERR_PROTO, 0, "the state of %s has %zu bytes: at most %d", connector, len, WIRE_STATE_MAX);
    if (ask(st, &r, err) != 0)
        return -1;
    *bytes = NULL;
    return 0;
}

int
state_set(struct state *st, const char *connector, void **bytes, size_t len, uint64_t version, uint64_t ticket,
          struct err *err)
{
    return state_set_with_row(st, connector, bytes, len, version, NULL, ticket, err);
}

static int
check_mark(const struct state_mark *mark, struct err *err)
{
    size_t len = strnlen(mark->connector, sizeof(mark->connector));

    if (len == 0 || len == sizeof(mark->connector) || mark->epoch == 0 || mark->epoch > WIRE_NUMBER_MAX ||
        mark->answered > WIRE_NUMBER_MAX)
        return err_set(err, ERR_PROTO, 0, "a mark of %.64s is outside of the protocol's numbers", mark->connector);
    return 0;
}

int
state_mark(struct state *st, const struct state_mark *marks, size_t n, struct err *err)
{
    struct request r = {.kind = REQUEST_MARK, .n_marks = n};

    if (n == 0)
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (check_mark(&marks[i], err) != 0)
            return -1;
    }
    r.marks = malloc(n * sizeof(*marks));
    if (r.marks == NULL)
        return err_set(err, ERR_NOMEM, errno, "marks of answers");
    memcpy(r.marks, marks, n * sizeof(*marks));
    memcpy(r.connector, marks[0].connector, sizeof(r.connector)); /* named if it fails */
    if (ask(st, &r, err) == 0)
        return 0;
    free(r.marks);
    return -1;
}

int
state_dead(struct state *st, const struct dead_letter *dead, struct err *err)
{
    struct request r = {.kind = REQUEST_DEAD};

    if (set_connector(&r, dead->connector, err) != 0)
        return -1;
    r.dead = malloc(sizeof(*dead));
    if (r.dead == NULL)
        return err_set(err, ERR_NOMEM, errno, "a dead letter");
    *r.dead = *dead;
    if (ask(st, &r, err) == 0)
        return 0;
    free(r.dead);
    return -1;
}

int
state_undead(struct state *st, const char *connector, uint64_t pos, struct err *err)
{
    struct request r = {.kind = REQUEST_UNDEAD, .pos = pos};

    return set_connector(&r, connector, err) != 0 ? -1 : ask(st, &r, err);
}

void
state_close(struct state *st)
{
    if (st == NULL)
        return;
    if (st->running) {
        eventfd_write(st->stop_fd, 1);
        pthread_join(st->thread, NULL);
    }
    state_db_close(st->db);
    mailbox_free(st->requests);
    if (st->lock_fd >= 0)
        close(st->lock_fd); /* last: another gateway may open the folder from here on */
    if (st->stop_fd >= 0)
        close(st->stop_fd);
    free(st);
}
