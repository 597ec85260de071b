#include "progress.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "size.h"

enum { PERIOD_US = 1000000 };

void
progress_start(struct progress *p, FILE *out, bool wanted, int64_t now_us)
{
    bool terminal = isatty(fileno(out)) == 1;

    memset(p, 0, sizeof(*p));
    p->out = wanted || terminal ? out : NULL;
    p->renew = terminal;
    p->start_us = p->last_us = now_us;
}

void
progress_tick(struct progress *p, const struct tally *t, int64_t now_us)
{
    char bytes[32], rate[32];
    uint64_t answered = t->bytes - t->left_bytes;
    double seconds;

    if (p->out == NULL || now_us - p->last_us < PERIOD_US)
        return;
    seconds = (double)(now_us - p->last_us) / 1e6;
    fprintf(p->out, "%spushed %" PRIu64 ", acked %" PRIu64 ", nacked %" PRIu64 ", %s; %.0f/s, %s/s%s%s%s%s",
            p->renew ? "\r\033[K" : "", t->pushed, t->acked, t->nacked, size_print(t->bytes, bytes, sizeof(bytes)),
            (double)(t->acked - p->last_acked) / seconds,
            size_print((uint64_t)((double)(answered - p->last_bytes) / seconds), rate, sizeof(rate)),
            t->away > 0 ? "; no connection" : "", t->hold[0] != '\0' ? "; held: " : "", t->hold, p->renew ? "" : "\n");
    fflush(p->out);
    p->open = p->renew;
    p->last_us = now_us;
    p->last_acked = t->acked;
    p->last_bytes = answered;
}

void
progress_clear(struct progress *p)
{
    if (p->open)
        fputs("\r\033[K", p->out);
    p->open = false;
}

void
progress_sum(const struct tally *t, FILE *out)
{
    fprintf(out,
            "pushed=%" PRIu64 " acked=%" PRIu64 " nacked=%" PRIu64 " dead=%" PRIu64 " bytes=%" PRIu64
            " unanswered=%" PRIu64,
            t->pushed, t->acked, t->nacked, t->dead, t->bytes, t->left);
}

void
tally_since(struct tally *t, const struct tally *before)
{
    t->pushed -= before->pushed;
    t->bytes -= before->bytes;
    t->acked -= before->acked;
    t->nacked -= before->nacked;
    t->dead -= before->dead;
}
