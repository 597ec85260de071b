/* former_test.c - the thread of the formats: each job has its result, in order; and it ends whatever it is at.
 *
 * The format is one of the test's own: a job's options lead to what it is to come to. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "err.h"
#include "formats/former.h"
#include "mailbox.h"
#include "parts.h"

enum { WAIT_MS = 60000,
       MANY = 300 };

/* Linked with --wrap for these; the linker leaves no other way in than file scope.  Calls of calloc and eventfd: the
 * one numbered so fails, counting down; 0: none.  Growing a mailbox fails so often. */
static int fail_calloc, fail_eventfd;
static atomic_int fail_grow, grow_failed;
static sem_t told; /* whenever an eventfd was written, as by who ends the thread */

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker chose these names */
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_reallocarray(void *at, size_t n, size_t size);
void *__wrap_reallocarray(void *at, size_t n, size_t size);
int __real_eventfd(unsigned int count, int flags);
int __wrap_eventfd(unsigned int count, int flags);
int __real_eventfd_write(int fd, eventfd_t value);
int __wrap_eventfd_write(int fd, eventfd_t value);

static bool
fails(int *countdown)
{
    return *countdown > 0 && --*countdown == 0;
}

void *
__wrap_calloc(size_t n, size_t size)
{
    return fails(&fail_calloc) ? NULL : __real_calloc(n, size);
}

void *
__wrap_reallocarray(void *at, size_t n, size_t size)
{
    if (atomic_load(&fail_grow) == 0)
        return __real_reallocarray(at, n, size);
    atomic_fetch_sub(&fail_grow, 1);
    atomic_fetch_add(&grow_failed, 1);
    errno = ENOMEM;
    return NULL;
}

int
__wrap_eventfd(unsigned int count, int flags)
{
    if (!fails(&fail_eventfd))
        return __real_eventfd(count, flags);
    errno = EMFILE;
    return -1;
}

int
__wrap_eventfd_write(int fd, eventfd_t value)
{
    const int rc = __real_eventfd_write(fd, value);

    sem_post(&told);
    return rc;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* --- The format --------------------------------------------------------------------------------------------------- */

/* What a job's options point to: what it is to come to, and what became of it. */
struct task {
    bool refused, gated;
    sem_t begun, open; /* of one that is gated */
    atomic_bool deaf;  /* no signal would be delivered to its thread */
    atomic_int done, freed;
};

struct fake {
    struct parts parts;
    struct task *task;
};

static void
free_fake(struct parts *p)
{
    atomic_fetch_add(&((struct fake *)p)->task->freed, 1);
    free(p);
}

static const struct parts_kind KIND = {.free = free_fake};

static bool
is_deaf(void)
{
    static const int some[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD};
    sigset_t set;
    bool all = true;

    pthread_sigmask(SIG_SETMASK, NULL, &set);
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        all = all && sigismember(&set, some[i]) == 1;
    return all;
}

/* In the place of the real one. */
int
opencti_parts(const struct format_ask *ask, struct parts **ret_parts, struct format_notes *ret_notes,
              enum format_fault *ret_fault, struct err *err)
{
    struct task *task = (struct task *)(uintptr_t)ask->options;
    struct fake *fake;

    atomic_store(&task->deaf, is_deaf());
    if (task->gated) {
        sem_post(&task->begun);
        sem_wait(&task->open);
    }
    atomic_fetch_add(&task->done, 1);
    if (task->refused) {
        *ret_fault = FORMAT_TOO_LARGE;
        return err_set(err, ERR_PROTO, 0, "object %d is too large", 17);
    }
    fake = __real_calloc(1, sizeof(*fake));
    fake->parts = (struct parts){.kind = &KIND, .n = 1};
    fake->task = task;
    *ret_parts = &fake->parts;
    *ret_notes = (struct format_notes){.incompatible = 3, .text = "some"};
    return 0;
}

/* --- The world ---------------------------------------------------------------------------------------------------- */

struct world {
    struct mailbox *results;
    struct former *f;
    struct task tasks[3];
};

static int
setup(void **state)
{
    struct world *w = __real_calloc(1, sizeof(*w));
    struct err err;

    fail_calloc = fail_eventfd = 0;
    atomic_store(&fail_grow, 0);
    atomic_store(&grow_failed, 0);
    sem_init(&told, 0, 0);
    for (size_t i = 0; i < 3; i++) {
        sem_init(&w->tasks[i].begun, 0, 0);
        sem_init(&w->tasks[i].open, 0, 0);
    }
    w->results = mailbox_new(sizeof(struct former_result), &err);
    w->f = former_start(w->results, &err);
    *state = w;
    return w->f == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < 3; i++)
        sem_post(&w->tasks[i].open);
    former_free(w->f);
    mailbox_free(w->results);
    free(w);
    return 0;
}

static void
post(const struct world *w, uint32_t ticket, const struct task *task)
{
    const struct former_job job = {
        .ticket = ticket, .connector = "feed", .seq = 100 + ticket, .ask = {.options = (const char *)task}};

    assert_int_equal(former_post(w->f, &job, NULL), 0);
}

/* The next results, at least one.  Lent until the next call. */
static size_t
take(const struct world *w, const struct former_result **ret)
{
    struct pollfd fd = {.fd = mailbox_fd(w->results), .events = POLLIN};
    void *taken;

    assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
    const size_t n = mailbox_take(w->results, &taken);
    *ret = taken;
    return n;
}

static void
each_job_has_its_result_in_order(void **state)
{
    struct world *w = *state;
    const struct former_result *r;
    uint32_t next = 0;

    for (uint32_t i = 0; i < MANY; i++)
        post(w, i, &w->tasks[0]);
    while (next < MANY) {
        const size_t n = take(w, &r);
        for (size_t i = 0; i < n; i++, next++) {
            assert_int_equal(r[i].ticket, next);
            assert_int_equal(r[i].seq, 100 + next);
            assert_string_equal(r[i].connector, "feed");
            assert_non_null(r[i].parts);
            assert_int_equal(r[i].notes.incompatible, 3);
            assert_string_equal(r[i].notes.text, "some");
            parts_free(r[i].parts);
        }
    }
    assert_int_equal(next, MANY);
    assert_int_equal(atomic_load(&w->tasks[0].done), MANY);
    assert_true(atomic_load(&w->tasks[0].deaf));
}

static void
a_refusal_is_a_result_with_its_words_and_the_next_job_is_done(void **state)
{
    struct world *w = *state;
    const struct former_result *r;
    uint32_t got = 0;

    w->tasks[0].refused = true;
    post(w, 7, &w->tasks[0]);
    post(w, 8, &w->tasks[1]);
    while (got < 2) {
        const size_t n = take(w, &r);
        for (size_t i = 0; i < n; i++, got++) {
            assert_int_equal(r[i].ticket, 7 + got);
            if (got > 0) {
                parts_free(r[i].parts);
                continue;
            }
            assert_null(r[i].parts);
            assert_int_equal(r[i].fault, FORMAT_TOO_LARGE);
            assert_string_equal(r[i].text, "object 17 is too large");
        }
    }
}

static void
a_result_for_which_there_is_no_memory_is_offered_until_there_is(void **state)
{
    struct world *w = *state;
    const struct former_result *r;

    w->tasks[0].gated = true;
    post(w, 1, &w->tasks[0]);
    sem_wait(&w->tasks[0].begun);
    atomic_store(&fail_grow, 5);
    sem_post(&w->tasks[0].open);
    assert_int_equal(take(w, &r), 1);
    assert_int_equal(atomic_load(&grow_failed), 5);
    assert_int_equal(r[0].ticket, 1);
    assert_int_equal(atomic_load(&w->tasks[0].freed), 0);
    parts_free(r[0].parts);
}

static void
a_job_for_which_there_is_no_memory_is_not_taken(void **state)
{
    struct world *w = *state;
    const struct former_job job = {.ask = {.options = (const char *)&w->tasks[0]}};
    struct err err;

    atomic_store(&fail_grow, 1);
    assert_int_equal(former_post(w->f, &job, &err), -1);
    assert_int_equal(err.code, ERR_NOMEM);
    former_free(w->f);
    w->f = NULL;
    assert_int_equal(atomic_load(&w->tasks[0].done), 0);
}

static void *
end(void *f)
{
    former_free(f);
    return NULL;
}

/* Begin to end it, and return once it was told. */
static pthread_t
begin_to_end(struct world *w)
{
    pthread_t thread;

    while (sem_trywait(&told) == 0)
        ; /* of jobs and results before */
    assert_int_equal(pthread_create(&thread, NULL, end, w->f), 0);
    sem_wait(&told);
    w->f = NULL;
    return thread;
}

static void
ending_lets_the_present_job_finish_and_drops_those_behind_it(void **state)
{
    struct world *w = *state;
    const struct former_result *r;

    w->tasks[0].gated = true;
    post(w, 1, &w->tasks[0]);
    post(w, 2, &w->tasks[1]);
    sem_wait(&w->tasks[0].begun);
    post(w, 3, &w->tasks[2]);
    const pthread_t thread = begin_to_end(w);
    sem_post(&w->tasks[0].open);
    pthread_join(thread, NULL);

    assert_int_equal(take(w, &r), 1);
    assert_int_equal(r[0].ticket, 1);
    parts_free(r[0].parts);
    assert_int_equal(atomic_load(&w->tasks[1].done), 0);
    assert_int_equal(atomic_load(&w->tasks[2].done), 0);
}

static void
ending_while_a_result_finds_no_memory_frees_it(void **state)
{
    struct world *w = *state;
    void *taken;

    w->tasks[0].gated = true;
    post(w, 1, &w->tasks[0]);
    sem_wait(&w->tasks[0].begun);
    atomic_store(&fail_grow, 1 << 30);
    sem_post(&w->tasks[0].open);
    while (atomic_load(&grow_failed) < 3)
        poll(NULL, 0, 1);
    pthread_join(begin_to_end(w), NULL);
    assert_int_equal(atomic_load(&w->tasks[0].freed), 1);
    assert_int_equal(mailbox_take(w->results, &taken), 0);
}

static void
one_that_has_nothing_to_do_ends_at_once(void **state)
{
    struct world *w = *state;

    former_free(w->f);
    w->f = NULL;
    former_free(NULL);
}

static int
descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += lseek(fd, 0, SEEK_CUR) >= 0 || errno != EBADF;
    return n;
}

static void
one_that_cannot_be_started_says_why_and_leaves_nothing(void **state)
{
    struct world *w = *state;
    const int open = descriptors();

    for (int i = 1; i <= 2; i++) {
        struct err err = {.code = ERR_NONE};

        fail_calloc = i; /* the former, its mailbox */
        assert_null(former_start(w->results, &err));
        assert_int_equal(err.code, ERR_NOMEM);
        fail_calloc = 0;
        fail_eventfd = i; /* its own, its mailbox's */
        assert_null(former_start(w->results, &err));
        assert_int_equal(err.code, ERR_IO);
        assert_non_null(strstr(err.text, "limit of open files"));
        fail_eventfd = 0;
        assert_int_equal(descriptors(), open);
    }
}

#define FORMER(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FORMER(each_job_has_its_result_in_order),
        FORMER(a_refusal_is_a_result_with_its_words_and_the_next_job_is_done),
        FORMER(a_result_for_which_there_is_no_memory_is_offered_until_there_is),
        FORMER(a_job_for_which_there_is_no_memory_is_not_taken),
        FORMER(ending_lets_the_present_job_finish_and_drops_those_behind_it),
        FORMER(ending_while_a_result_finds_no_memory_frees_it),
        FORMER(one_that_has_nothing_to_do_ends_at_once),
        FORMER(one_that_cannot_be_started_says_why_and_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
