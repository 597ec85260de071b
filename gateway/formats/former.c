/* former.c - one job after the other. */
#include "former.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "err.h"
#include "mailbox.h"
#include "parts.h"
#include "thread.h"

enum { NO_MEMORY_MS = 10 }; /* until a result that found none is offered again */

struct former {
    struct mailbox *jobs, *results; /* results: borrowed */
    int             stop_fd;        /* readable once it is to stop: writing to an eventfd cannot fail */
    atomic_bool     stop;           /* the same, for a job that is under way: cheaper to look at */
    pthread_t       thread;
    bool            running;
};

static bool
stopping(const struct former *f)
{
    struct pollfd fd = {.fd = f->stop_fd, .events = POLLIN};

    return poll(&fd, 1, 0) > 0;
}

/* A result that is lost would be waited for without end. */
static void
deliver(struct former *f, struct former_result *r)
{
    struct pollfd fd = {.fd = f->stop_fd, .events = POLLIN};

    while (mailbox_post(f->results, r, 1, NULL) != 0)
        if (poll(&fd, 1, NO_MEMORY_MS) > 0) {
            parts_free(r->parts);
            return;
        }
}

static void
form(struct former *f, const struct former_job *job)
{
    struct former_result r = {.ticket = job->ticket, .connector = job->connector, .seq = job->seq};
    struct format_ask ask = job->ask;
    struct err err = {.text = ""};

    ask.stop = &f->stop;
    if (opencti_parts(&ask, &r.parts, &r.notes, &r.fault, &err) != 0) {
        r.parts = NULL;
        memcpy(r.text, err.text, sizeof(r.text));
    }
    deliver(f, &r);
}

static void *
run(void *arg)
{
    struct former *f = arg;

    while (!stopping(f)) {
        struct pollfd fds[] = {{.fd = mailbox_fd(f->jobs), .events = POLLIN}, {.fd = f->stop_fd, .events = POLLIN}};
        void *taken;
        size_t n;

        poll(fds, 2, -1);
        n = mailbox_take(f->jobs, &taken);
        for (size_t i = 0; i < n && !stopping(f); i++)
            form(f, (const struct former_job *)taken + i);
    }
    return NULL;
}

static int
start_thread(struct former *f, struct err *err)
{
    f->running = thread_start(&f->thread, run, f, "the thread of the formats", err) == 0;
    return f->running ? 0 : -1;
}

struct former *
former_start(struct mailbox *results, struct err *err)
{
    struct former *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        err_set(err, ERR_NOMEM, 0, "formats");
        return NULL;
    }
    f->results = results;
    f->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (f->stop_fd < 0)
        err_set(err, ERR_IO, errno, "an eventfd for the formats (see the limit of open files)");
    f->jobs = f->stop_fd < 0 ? NULL : mailbox_new(sizeof(struct former_job), err);
    if (f->jobs != NULL && start_thread(f, err) == 0)
        return f;
    former_free(f);
    return NULL;
}

int
former_post(struct former *f, const struct former_job *job, struct err *err)
{
    return mailbox_post(f->jobs, job, 1, err);
}

void
former_free(struct former *f)
{
    if (f == NULL)
        return;
    if (f->running) {
        atomic_store(&f->stop, true);
        eventfd_write(f->stop_fd, 1);
        pthread_join(f->thread, NULL);
    }
    mailbox_free(f->jobs);
    if (f->stop_fd >= 0)
        close(f->stop_fd);
    free(f);
}
