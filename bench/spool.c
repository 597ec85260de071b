/* spool.c - what does it cost that an answer comes after the flush?  Beside a bare loop of append and fdatasync with
 * the same sizes and batches in recycled files.
 *
 *     bench/spool [--quick] [--dir DIR] [--mib N] [--recovery-mib N]
 *
 * Alternating, medians of ROUNDS.  --mib: written in each round of the large sizes; --recovery-mib: what lies in the
 * spool that is opened again.  --dir: on the disk in question; it must not be there yet. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"
#include "mailbox.h"
#include "report.h"
#include "store/spool.h"

enum { ROUNDS = 7, FLIGHT_MAX = 64, MIB = 1024 * 1024, SEGMENT = 256 * MIB, PATH = 512 };

struct subject {
    const char *name;
    size_t      size;
    unsigned    flight; /* given and not answered */
    double      target; /* of the bare rate */
};

static const struct subject subjects[] = {
    {"1 KiB, 64 in flight", 1024, 64, 0.8},
    {"64 KiB, 8 in flight", 64 * 1024, 8, 0.9},
    {"1 MiB, 4 in flight", MIB, 4, 0.9},
    {"1 KiB, 1 in flight", 1024, 1, 1 / 1.3},
};

struct bench {
    char            dir[PATH];
    struct mailbox *answers;
    struct spool   *spool;
    char           *body;
    uint64_t        mib, recovery_mib;
};

static void
die(const char *what, const char *why)
{
    fprintf(stderr, "spool: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void
open_spool(struct bench *b, uint64_t segment)
{
    struct spool_config config = {.dir = b->dir, .limit = UINT64_MAX, .segment = segment};
    struct err err = {0};

    b->spool = spool_open(&config, b->answers, NULL, &err);
    if (b->spool == NULL)
        die("it does not open", err.text);
}

/* Take what is answered; returns how many. */
static unsigned
answers_take(struct bench *b, bool release)
{
    struct pollfd fd = {.fd = mailbox_fd(b->answers), .events = POLLIN};
    unsigned answered = 0;
    void *taken;
    size_t n;

    poll(&fd, 1, -1);
    n = mailbox_take(b->answers, &taken);
    for (size_t i = 0; i < n; i++) {
        struct spool_answer *a = (struct spool_answer *)taken + i;

        if (a->kind == SPOOL_APPENDED && !a->ok)
            die("an append failed", a->text);
        answered += a->kind == SPOOL_APPENDED;
        if (a->kind == SPOOL_APPENDED && release)
            spool_release(b->spool, "bench", a->pos);
        free(a->text);
    }
    return answered;
}

static void
give(struct bench *b, size_t size, uint64_t ticket)
{
    struct spool_bundle bundle = {.id = "bench", .epoch = 1, .seq = ticket, .alone = true, .size = size};

    if (!spool_append(b->spool, ticket, &bundle, &(struct spool_chunk){b->body, size}, 1))
        die("append", "no memory");
}

/* Bundles a second. */
static double
spooled(struct bench *b, const struct subject *s, uint64_t n, bool release)
{
    const int64_t since = clock_mono_us();
    uint64_t given = 0, answered = 0;

    while (answered < n) {
        for (; given < n && given - answered < s->flight; given++)
            give(b, s->size, given + 1);
        answered += answers_take(b, release);
    }
    return (double)n * 1e6 / (double)(clock_mono_us() - since);
}

/* The same by nothing but the system's calls, into a file that was written before. */
static double
bare(struct bench *b, const struct subject *s, uint64_t n, int fd, uint64_t *at)
{
    const int64_t since = clock_mono_us();
    struct iovec v[FLIGHT_MAX];

    for (uint64_t done = 0; done < n; done += s->flight) {
        for (unsigned i = 0; i < s->flight; i++)
            v[i] = (struct iovec){b->body, s->size};
        if (*at + s->flight * s->size > SEGMENT)
            *at = 0;
        if (pwritev(fd, v, (int)s->flight, (off_t)*at) != (ssize_t)(s->flight * s->size) || fdatasync(fd) != 0)
            die("the bare loop", strerror(errno));
        *at += s->flight * s->size;
    }
    return (double)n * 1e6 / (double)(clock_mono_us() - since);
}

static int
bare_open(const struct bench *b)
{
    char path[PATH + 8];
    int fd;

    snprintf(path, sizeof(path), "%s.bare", b->dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        die(path, strerror(errno));
    unlink(path);
    for (uint64_t at = 0; at < SEGMENT; at += MIB)
        if (pwrite(fd, b->body, MIB, (off_t)at) != MIB)
            die("the bare file", strerror(errno));
    fsync(fd);
    return fd;
}

static void
compare(struct bench *b, const struct subject *s, struct report *r, int fd)
{
    double ours[ROUNDS], theirs[ROUNDS], parts[ROUNDS];
    uint64_t n = s->size > 4096 ? b->mib * MIB / s->size : s->flight == 1 ? b->mib * 10 : b->mib * 200;
    char metric[64];
    uint64_t at = 0;

    n = n / s->flight * s->flight + s->flight;
    for (int i = 0; i < ROUNDS; i++) {
        theirs[i] = bare(b, s, n, fd, &at);
        ours[i] = spooled(b, s, n, true);
        parts[i] = ours[i] / theirs[i];
    }
    report_add(r, s->name, "spool", ours, ROUNDS, "1/s");
    report_add(r, s->name, "bare", theirs, ROUNDS, "1/s");
    snprintf(metric, sizeof(metric), "spool / bare (%.2f)", s->target);
    report_add(r, s->name, metric, parts, ROUNDS, "");
}

/* Fill it, with bundles that nobody takes; then open it again. */
static void
recover(struct bench *b, struct report *r)
{
    const struct subject fill = {"fill", 4096, 64, 0};
    const uint64_t n = b->recovery_mib * MIB / fill.size;
    struct spool_figures f, before;
    double seconds, amplification;

    spool_figures(b->spool, &before);
    spooled(b, &fill, n, false);
    spool_figures(b->spool, &f);
    amplification = (double)(f.written - before.written) / (double)(f.appended_bytes - before.appended_bytes);
    spool_close(b->spool);
    const int64_t since = clock_mono_us();
    open_spool(b, SEGMENT);
    seconds = (double)(clock_mono_us() - since) / 1e6;
    spool_figures(b->spool, &f);
    char name[64];
    snprintf(name, sizeof(name), "opened with %.1f GiB", (double)f.live / 1024 / MIB);
    report_add(r, name, "time (10 GiB: 5)", &seconds, 1, "s");
    report_add(r, name, "written / given (1.1), 4 KiB", &amplification, 1, "");
}

static void
amplify(struct bench *b, struct report *r)
{
    struct spool_figures before, after;
    double ratio;

    spool_figures(b->spool, &before);
    spooled(b, &subjects[0], b->mib * 200, true);
    spool_figures(b->spool, &after);
    ratio = (double)(after.written - before.written) / (double)(after.appended_bytes - before.appended_bytes);
    report_add(r, "1 KiB, 64 in flight", "written / given (1.1)", &ratio, 1, "");
    ratio = (double)(after.appended - before.appended) / (double)(after.flushes - before.flushes);
    report_add(r, "1 KiB, 64 in flight", "bundles a flush", &ratio, 1, "");
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

int
main(int argc, char **argv)
{
    struct bench b = {.dir = "/var/tmp/sluice-bench-spool", .mib = 256, .recovery_mib = 1024};
    struct report *r = report_new("spool");
    char command[PATH + 32];
    struct err err = {0};

    for (int i = 1; i < argc; i++) {
        const bool more = i + 1 < argc;

        if (strcmp(argv[i], "--quick") == 0)
            b.mib = b.recovery_mib = 16;
        else if (strcmp(argv[i], "--dir") == 0 && more)
            snprintf(b.dir, sizeof(b.dir), "%s", argv[++i]);
        else if (strcmp(argv[i], "--mib") == 0 && more)
            b.mib = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--recovery-mib") == 0 && more)
            b.recovery_mib = strtoull(argv[++i], NULL, 10);
        else
            die(argv[i], "usage: spool [--quick] [--dir DIR] [--mib N] [--recovery-mib N]");
    }
    b.answers = mailbox_new(sizeof(struct spool_answer), NULL);
    b.body = malloc(MIB);
    if (r == NULL || b.answers == NULL || b.body == NULL || mkdir(b.dir, 0700) != 0)
        die(b.dir, "it is there already, or cannot be made");
    for (size_t i = 0; i < MIB; i++)
        b.body[i] = (char)(i * 2654435761U >> 13);
    const int fd = bare_open(&b);
    open_spool(&b, SEGMENT);
    /* Its files are recycled ones, too. */
    spooled(&b, &subjects[1], (uint64_t)4 * SEGMENT / subjects[1].size, true);
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        compare(&b, &subjects[i], r, fd);
    amplify(&b, r);
    recover(&b, r);
    report_print(r);
    if (getenv("SLUICE_BUILD") != NULL) {
        snprintf(command, sizeof(command), "%s/bench/spool.jsonl", getenv("SLUICE_BUILD"));
        if (report_write(r, command, &err) != 0)
            fprintf(stderr, "spool: %s\n", err.text);
    }
    spool_close(b.spool);
    mailbox_free(b.answers);
    report_free(r);
    free(b.body);
    close(fd);
    return nftw(b.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
