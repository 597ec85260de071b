/* outbox.c - results on their way to the loop. */
#include "outbox.h"

#include <poll.h>
#include <stdlib.h>

#include "err.h"
#include "log.h"
#include "mailbox.h"

enum { PAUSE_MS = 20 };

void
outbox_add(struct outbox *o, enum pub_event_kind kind, uint32_t session, uint64_t ticket, char *text)
{
    if (o->n == OUTBOX_MAX)
        outbox_flush(o);
    o->events[o->n++] = (struct pub_event){
        .kind = kind, .publisher = o->publisher, .session = session, .ticket = ticket, .text = text};
}

void
outbox_flush(struct outbox *o)
{
    struct pollfd stop = {.fd = o->stop_fd, .events = POLLIN};
    struct err err;

    while (mailbox_post(o->to, o->events, o->n, &err) != 0) {
        log_event(o->log, LOG_ERROR, "results_wait", LOG_INT("publisher", o->publisher), LOG_INT("results", o->n),
                  LOG_STR("why", err.text));
        if (poll(&stop, 1, PAUSE_MS) > 0)
            break;
    }
    for (; stop.revents != 0 && o->n > 0; o->n--)
        free(o->events[o->n - 1].text);
    o->n = 0;
}
