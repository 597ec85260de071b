/* mailbox.c - two arrays, one lock, one eventfd.
 *
 * Posters fill one array while the taker reads the other; a take exchanges them.  The eventfd is written when
 * the filling array first holds what the taker is to be woken for and read when it is taken, both under the lock, so
 * it is readable exactly while there is such a thing to take.  Outside the lock, a late write could leave it readable
 * for an empty box, and a late read could swallow the wake-up of the next message. */
#include "mailbox.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "err.h"

enum {
    FIRST = 16,       /* messages in an array's first allocation */
    KEEP = 256 * 1024 /* bytes that a mostly empty array may keep: what a burst took is given back */
};

struct list {
    char  *at;
    size_t count; /* messages in it */
    size_t cap;   /* messages that fit */
};

struct mailbox {
    pthread_mutex_t lock;
    struct list     in;   /* under lock: what was posted since the last take */
    struct list     out;  /* the taker's alone: what the last take lent */
    size_t          size; /* bytes in a message */
    bool            told; /* under lock: the eventfd was written since the last take */
    int             fd;
};

struct mailbox *
mailbox_new(size_t size, struct err *err)
{
    assert(size > 0);
    struct mailbox *box = calloc(1, sizeof(*box));

    if (box == NULL) {
        err_set(err, ERR_NOMEM, errno, "a mailbox between threads");
        return NULL;
    }
    box->size = size;
    box->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (box->fd < 0) {
        err_set(err, ERR_IO, errno, "an eventfd for a mailbox between threads (see the limit of open files)");
        free(box);
        return NULL;
    }
    pthread_mutex_init(&box->lock, NULL); /* cannot fail with default attributes */
    return box;
}

/* Make room for n more messages.  Doubling, so that a message is moved about once however many there are. */
static int
list_grow(struct list *list, size_t n, size_t size)
{
    size_t need, cap = list->cap < FIRST ? FIRST : list->cap;

    if (__builtin_add_overflow(list->count, n, &need) || need > PTRDIFF_MAX / size)
        return -1;
    if (need <= list->cap)
        return 0;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *grown = reallocarray(list->at, cap, size);
    if (grown == NULL)
        return -1;
    list->at = grown;
    list->cap = cap;
    return 0;
}

/* Under the lock. */
static void
tell(struct mailbox *box)
{
    if (!box->told && box->in.count > 0)
        eventfd_write(box->fd, 1); /* cannot fail: the counter is 0 here */
    box->told = box->in.count > 0;
}

static int
post(struct mailbox *box, const void *messages, size_t n, bool quietly, struct err *err)
{
    if (n == 0)
        return 0;
    pthread_mutex_lock(&box->lock);
    if (list_grow(&box->in, n, box->size) != 0) {
        pthread_mutex_unlock(&box->lock);
        return err_set(err, ERR_NOMEM, ENOMEM, "%zu messages of %zu bytes for another thread", n, box->size);
    }
    memcpy(box->in.at + box->in.count * box->size, messages, n * box->size);
    box->in.count += n;
    if (!quietly)
        tell(box);
    pthread_mutex_unlock(&box->lock);
    return 0;
}

int
mailbox_post(struct mailbox *box, const void *messages, size_t n, struct err *err)
{
    return post(box, messages, n, false, err);
}

int
mailbox_post_quietly(struct mailbox *box, const void *messages, size_t n, struct err *err)
{
    return post(box, messages, n, true, err);
}

void
mailbox_wake(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    tell(box);
    pthread_mutex_unlock(&box->lock);
}

/* The last loan is over: empty its array, and give a burst's memory back. */
static void
list_reset(struct list *list, size_t size)
{
    if (list->cap * size > KEEP && list->count < list->cap / 4) {
        free(list->at);
        *list = (struct list){0};
    }
    list->count = 0;
}

size_t
mailbox_take(struct mailbox *box, void **ret)
{
    eventfd_t woken;

    list_reset(&box->out, box->size);
    pthread_mutex_lock(&box->lock);
    if (box->in.count > 0) {
        const struct list full = box->in;
        box->in = box->out;
        box->out = full;
        if (box->told)
            eventfd_read(box->fd, &woken);
        box->told = false;
    }
    pthread_mutex_unlock(&box->lock);
    *ret = box->out.count > 0 ? box->out.at : NULL;
    return box->out.count;
}

int
mailbox_fd(const struct mailbox *box)
{
    return box->fd;
}

void
mailbox_free(struct mailbox *box)
{
    if (box == NULL)
        return;
    pthread_mutex_destroy(&box->lock);
    close(box->fd);
    free(box->in.at);
    free(box->out.at);
    free(box);
}
