/* spool_test.c - the spool's promises, on this machine's disk and through its thread. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "err.h"
#include "heap_double.h"
#include "mailbox.h"
#include "store/crc32c.h"
#include "store/disk.h"
#include "store/posset.h"
#include "store/spool.h"
#include "store/spool_log.h"

enum { PATH = 512, MIB = 1024 * 1024, WAIT_MS = 20000 };

struct world {
    char                 top[PATH], dir[PATH + 8];
    struct mailbox      *answers;
    struct spool        *spool;
    struct spool_config  config;
    struct spool_answer *taken; /* lent by the mailbox */
    size_t               n_taken, at;
    struct err           err;
    bool                 full, broken;
};

static void
remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    char file[2 * PATH];

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && unlink(file) != 0)
            remove_folder(file);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(path);
}

static int
world_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    const char *tmp = getenv("TMPDIR");

    if (w == NULL)
        return -1;
    *state = w;
    snprintf(w->top, sizeof(w->top), "%s/sluice-spool-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    if (mkdtemp(w->top) == NULL || (w->answers = mailbox_new(sizeof(struct spool_answer), NULL)) == NULL)
        return -1;
    snprintf(w->dir, sizeof(w->dir), "%s/spool", w->top);
    w->config = (struct spool_config){.dir = w->dir, .limit = 64 * MIB, .segment = MIB};
    return 0;
}

static struct spool_answer *
next_answer(struct world *w)
{
    struct pollfd fd = {.fd = mailbox_fd(w->answers), .events = POLLIN};
    void *taken;

    while (w->at == w->n_taken) {
        if (poll(&fd, 1, WAIT_MS) != 1)
            fail_msg("no answer");
        w->n_taken = mailbox_take(w->answers, &taken);
        w->taken = taken;
        w->at = 0;
    }
    return &w->taken[w->at++];
}

/* The next that is not only news of the disk. */
static struct spool_answer *
answer(struct world *w)
{
    for (;;) {
        struct spool_answer *a = next_answer(w);

        if (a->kind == SPOOL_SPACE)
            w->full = a->full;
        else if (a->kind == SPOOL_BROKEN)
            w->broken = true;
        else
            return a;
        free(a->text);
    }
}

static void
close_spool(struct world *w)
{
    void *taken;

    spool_close(w->spool);
    w->spool = NULL;
    while (w->at < w->n_taken) {
        free(w->taken[w->at].body);
        free(w->taken[w->at++].text);
    }
    w->n_taken = mailbox_take(w->answers, &taken);
    w->taken = taken;
    for (w->at = 0; w->at < w->n_taken; w->at++) {
        free(w->taken[w->at].body);
        free(w->taken[w->at].text);
    }
}

static int
world_down(void **state)
{
    struct world *w = *state;

    close_spool(w);
    mailbox_free(w->answers);
    remove_folder(w->top);
    free(w);
    return 0;
}

static struct spool *
try_open(struct world *w)
{
    memset(&w->err, 0, sizeof(w->err));
    return w->spool = spool_open(&w->config, w->answers, NULL, &w->err);
}

static void
open_spool(struct world *w)
{
    if (try_open(w) == NULL)
        fail_msg("%s", w->err.text);
}

static void
refused(struct world *w, const char *words)
{
    assert_null(try_open(w));
    assert_int_equal(w->err.code, ERR_CONFIG);
    if (strstr(w->err.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", w->err.text, words);
}

static void
write_file(const struct world *w, const char *name, const char *text)
{
    char path[2 * PATH];
    FILE *f;

    mkdir(w->dir, 0700);
    snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void
give(struct world *w, const char *id, uint64_t seq, const void *body, size_t size, bool dead)
{
    const struct spool_bundle bundle = {.id = id, .epoch = 9, .seq = seq, .format = 2, .dead = dead, .alone = true,
                                        .head = "head",
                                        .head_len = 4, .size = size};

    assert_true(spool_append(w->spool, seq, &bundle, &(struct spool_chunk){body, size}, 1));
}

static uint64_t
append(struct world *w, const char *id, uint64_t seq, const void *body, size_t size)
{
    const struct spool_answer *a;

    give(w, id, seq, body, size, false);
    a = answer(w);
    assert_int_equal(a->kind, SPOOL_APPENDED);
    assert_int_equal(a->ticket, seq);
    if (!a->ok)
        fail_msg("%s", a->text);
    return a->pos;
}

/* Is this what is at pos, and nothing else in so many? */
static void
fetched(struct world *w, const char *id, uint64_t pos, uint64_t seq, const void *body, size_t size)
{
    struct spool_answer *a;

    assert_true(spool_fetch(w->spool, 77, id, pos, UINT64_MAX, 1));
    a = answer(w);
    assert_int_equal(a->kind, SPOOL_FETCHED);
    assert_int_equal(a->pos, pos);
    assert_int_equal(a->bundle.seq, seq);
    assert_int_equal(a->bundle.epoch, 9);
    assert_int_equal(a->bundle.format, 2);
    assert_string_equal(a->bundle.id, id);
    assert_int_equal(a->bundle.head_len, 4);
    assert_memory_equal(a->bundle.head, "head", 4);
    assert_int_equal(a->bundle.size, size);
    assert_memory_equal(a->body, body, size);
    free(a->body);
    a = answer(w);
    assert_int_equal(a->kind, SPOOL_FETCH_END);
    assert_int_equal(a->pos, pos + 1);
}

/* --- the folder --- */

static void
a_folder_that_is_not_there_is_made_and_its_parent_is_not(void **state)
{
    struct world *w = *state;
    char path[PATH + 32];

    open_spool(w);
    close_spool(w);
    snprintf(path, sizeof(path), "%s/a/b", w->top);
    w->config.dir = path;
    refused(w, "mkdir -p");
}

static void
a_file_in_the_folders_place_is_refused(void **state)
{
    struct world *w = *state;
    char path[2 * PATH];

    write_file(w, "file", "");
    snprintf(path, sizeof(path), "%s/file", w->dir);
    w->config.dir = path;
    refused(w, "is not a folder");
}

static void
a_folder_with_files_of_others_is_refused_and_they_stay(void **state)
{
    struct world *w = *state;
    char path[2 * PATH];

    write_file(w, "notes.txt", "mine");
    refused(w, "notes.txt");
    snprintf(path, sizeof(path), "%s/notes.txt", w->dir);
    assert_int_equal(access(path, F_OK), 0);
}

static void
a_newer_format_is_refused(void **state)
{
    struct world *w = *state;

    write_file(w, "FORMAT", "sluice spool 2\n");
    refused(w, "newer sluiced");
    write_file(w, "FORMAT", "something else\n");
    refused(w, "is not a spool's");
}

static void
segments_without_a_format_are_refused(void **state)
{
    struct world *w = *state;

    write_file(w, "seg-0000000000000001.log", "");
    refused(w, "no file FORMAT");
}

static void
what_is_in_the_place_of_a_segment_is_refused(void **state)
{
    struct world *w = *state;
    char path[2 * PATH];

    open_spool(w);
    close_spool(w);
    snprintf(path, sizeof(path), "%s/seg-00000000000000ff.log", w->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    refused(w, "in its way");
}

static void
a_second_gateway_is_refused(void **state)
{
    struct world *w = *state;
    struct err err = {0};

    open_spool(w);
    assert_null(spool_open(&w->config, w->answers, NULL, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "in use by another gateway"));
}

static void
a_folder_that_is_not_writable_is_refused(void **state)
{
    struct world *w = *state;

    if (geteuid() == 0)
        skip(); /* root may */
    mkdir(w->dir, 0500);
    refused(w, "chown");
}

static void
a_segment_size_out_of_its_range_is_refused(void **state)
{
    struct world *w = *state;

    w->config.segment = 1000;
    refused(w, "1 MiB to 1 GiB");
}

/* --- bundles --- */

struct seen {
    struct spool_stream stream;
    char                id[SPOOL_ID_MAX + 1];
    int                 n, dead;
    uint64_t            dead_pos, dead_size;
};

static void
see(void *ctx, const struct spool_stream *stream)
{
    struct seen *s = ctx;

    s->stream = *stream;
    snprintf(s->id, sizeof(s->id), "%s", stream->id);
    s->n++;
}

static void
see_dead(void *ctx, const struct spool_dead *dead)
{
    struct seen *s = ctx;

    assert_int_equal(dead->bundle.head_len, 4);
    assert_memory_equal(dead->bundle.head, "head", 4);
    assert_true(dead->bundle.dead);
    s->dead_pos = dead->pos;
    s->dead_size = dead->bundle.size;
    s->dead++;
}

static void
what_was_answered_is_there_after_a_start_with_its_marks(void **state)
{
    struct world *w = *state;
    struct seen s = {0};

    open_spool(w);
    assert_int_equal(append(w, "feed", 41, "one", 3), 1);
    assert_int_equal(append(w, "feed", 42, "two", 3), 2);
    close_spool(w);
    open_spool(w);
    spool_streams(w->spool, see, &s);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.id, "feed");
    assert_int_equal(s.stream.first, 1);
    assert_int_equal(s.stream.next, 3);
    assert_int_equal(s.stream.count, 2);
    assert_int_equal(s.stream.bytes, 6);
    assert_int_equal(s.stream.epoch, 9);
    assert_int_equal(s.stream.seq, 42);
    fetched(w, "feed", 1, 41, "one", 3);
    fetched(w, "feed", 2, 42, "two", 3);
}

static void
marks_outlive_the_segments_of_what_was_released(void **state)
{
    struct world *w = *state;
    struct seen s = {0};
    char *body = calloc(1, 100000);

    open_spool(w);
    for (uint64_t i = 1; i <= 50; i++)
        spool_release(w->spool, "feed", append(w, "feed", i, body, 100000));
    close_spool(w);
    open_spool(w);
    spool_streams(w->spool, see, &s);
    assert_int_equal(s.stream.seq, 50);
    assert_int_equal(s.stream.next, 51);
    assert_int_equal(s.stream.first, 51);
    assert_int_equal(s.stream.count, 0);
    struct spool_figures f;
    spool_figures(w->spool, &f);
    assert_true(f.disk <= 3 * MIB);
    free(body);
}

static void
a_bundle_that_is_larger_than_a_segment_passes(void **state)
{
    struct world *w = *state;
    const size_t size = 5 * MIB + 17;
    char *body = malloc(size);

    for (size_t i = 0; i < size; i++)
        body[i] = (char)(i * 7 + i / 251);
    open_spool(w);
    append(w, "feed", 1, "before", 6);
    append(w, "feed", 2, body, size);
    append(w, "feed", 3, "after", 5);
    close_spool(w);
    open_spool(w);
    fetched(w, "feed", 1, 1, "before", 6);
    fetched(w, "feed", 2, 2, body, size);
    fetched(w, "feed", 3, 3, "after", 5);
    free(body);
}

static void
a_fetch_gives_them_in_order_up_to_its_bounds_and_leaves_out_what_is_gone(void **state)
{
    struct world *w = *state;
    const uint64_t expected[] = {1, 3, 5};
    struct spool_answer *a;

    open_spool(w);
    for (uint64_t i = 1; i <= 6; i++)
        append(w, "feed", i, "0123456789", 10);
    spool_release(w->spool, "feed", 2);
    assert_true(spool_bury(w->spool, 8, "feed", 4));
    a = answer(w);
    assert_int_equal(a->kind, SPOOL_BURIED);
    assert_true(a->ok);
    assert_true(spool_fetch(w->spool, 5, "feed", 0, 30, 10));
    for (int i = 0; i < 3; i++) {
        a = answer(w);
        assert_int_equal(a->kind, SPOOL_FETCHED);
        assert_int_equal(a->pos, expected[i]);
        assert_int_equal(a->ticket, 5);
        free(a->body);
    }
    a = answer(w);
    assert_int_equal(a->kind, SPOOL_FETCH_END);
    assert_int_equal(a->pos, 6);
    assert_true(spool_fetch(w->spool, 6, "nobody", 1, 30, 10));
    a = answer(w);
    assert_int_equal(a->kind, SPOOL_FETCH_END);
    assert_null(a->text);
}

static void
a_dead_letter_stays_until_it_is_revived_behind_the_others(void **state)
{
    struct world *w = *state;
    struct seen s = {0};
    struct spool_answer *a;

    open_spool(w);
    give(w, "feed", 1, "dead", 4, true);
    assert_true(answer(w)->ok);
    append(w, "feed", 2, "two", 3);
    close_spool(w);
    open_spool(w);
    spool_dead(w->spool, see_dead, &s);
    assert_int_equal(s.dead, 1);
    assert_int_equal(s.dead_pos, 1);
    assert_int_equal(s.dead_size, 4);
    assert_true(spool_revive(w->spool, 3, "feed", 1));
    a = answer(w);
    assert_int_equal(a->kind, SPOOL_APPENDED);
    assert_true(a->ok);
    assert_int_equal(a->pos, 3);
    close_spool(w);
    open_spool(w);
    s = (struct seen){0};
    spool_dead(w->spool, see_dead, &s);
    spool_streams(w->spool, see, &s);
    assert_int_equal(s.dead, 0);
    assert_int_equal(s.stream.count, 2);
    assert_int_equal(s.stream.seq, 2);
    fetched(w, "feed", 3, 1, "dead", 4);
}

static void
what_cannot_be_kept_is_refused_with_words(void **state)
{
    struct world *w = *state;
    struct spool_answer *a;
    char id[80];

    open_spool(w);
    memset(id, 'a', sizeof(id));
    id[65] = '\0';
    give(w, id, 1, "x", 1, false);
    a = answer(w);
    assert_false(a->ok);
    assert_non_null(a->text);
    free(a->text);
    assert_true(spool_bury(w->spool, 2, "nobody", 1));
    a = answer(w);
    assert_false(a->ok);
    free(a->text);
    assert_true(spool_revive(w->spool, 3, "nobody", 1));
    a = answer(w);
    assert_false(a->ok);
    free(a->text);
}

static void
many_appends_share_a_flush(void **state)
{
    struct world *w = *state;
    struct spool_figures f;

    open_spool(w);
    for (uint64_t i = 1; i <= 2000; i++)
        give(w, "feed", i, "0123456789", 10, false);
    for (uint64_t i = 1; i <= 2000; i++) {
        const struct spool_answer *a = answer(w);

        assert_true(a->ok);
        assert_int_equal(a->pos, i);
    }
    spool_figures(w->spool, &f);
    assert_int_equal(f.appended, 2000);
    assert_true(f.flushes < 1000);
}

static void
at_its_limit_it_takes_no_more_until_there_is_room(void **state)
{
    struct world *w = *state;
    char *body = calloc(1, 100000);
    struct spool_answer *a;
    uint64_t n = 0;

    w->config.limit = MIB;
    open_spool(w);
    for (;; n++) {
        give(w, "feed", n + 1, body, 100000, false);
        a = answer(w);
        if (!a->ok)
            break;
    }
    assert_non_null(strstr(a->text, "full"));
    free(a->text);
    assert_int_equal(n, 10);
    assert_true(w->full);
    fetched(w, "feed", 1, 1, body, 100000);
    for (uint64_t i = 1; i <= 5; i++)
        spool_release(w->spool, "feed", i);
    while (w->full) {
        a = next_answer(w);
        assert_int_equal(a->kind, SPOOL_SPACE);
        w->full = a->full;
    }
    append(w, "feed", 99, body, 100000);
    free(body);
}

static void
ask(struct world *w, uint64_t seq, size_t size, bool alone)
{
    static const char zeroes[4096];
    const struct spool_bundle bundle = {.id = "feed", .epoch = 9, .seq = seq, .alone = alone, .size = size};
    struct spool_chunk *chunks = calloc(size / sizeof(zeroes) + 1, sizeof(*chunks));
    size_t n = 0;

    for (size_t left = size; left > 0; left -= chunks[n++].len)
        chunks[n] = (struct spool_chunk){zeroes, left < sizeof(zeroes) ? left : sizeof(zeroes)};
    assert_true(spool_append(w->spool, seq, &bundle, chunks, n));
    free(chunks);
}

static void
behind_one_that_was_not_taken_none_is_until_one_comes_alone(void **state)
{
    static const bool taken[] = {true, false, false, false, true, true};
    struct world *w = *state;

    w->config.limit = MIB;
    open_spool(w);
    ask(w, 1, 1000, true);
    ask(w, 2, 2 * MIB, false); /* there is no room for it */
    ask(w, 3, 1000, false);
    ask(w, 4, 1000, false);
    for (int i = 0; i < 4; i++) {
        struct spool_answer *a = answer(w);

        assert_int_equal(a->ok, taken[a->ticket - 1]);
        free(a->text);
    }
    ask(w, 5, 1000, true);
    ask(w, 6, 1000, false);
    for (int i = 4; i < 6; i++) {
        assert_true(answer(w)->ok);
    }
}

static void
below_the_floor_of_free_disk_it_takes_no_more(void **state)
{
    struct world *w = *state;
    struct spool_answer *a;

    w->config.floor = UINT64_MAX / 2;
    open_spool(w);
    give(w, "feed", 1, "x", 1, false);
    a = answer(w);
    assert_false(a->ok);
    free(a->text);
    assert_true(w->full);
}

/* --- damage --- */

static void
flip(const struct world *w, const char *what)
{
    DIR *dir = opendir(w->dir);
    const struct dirent *entry;
    char path[2 * PATH];
    int flipped = 0;

    while ((entry = readdir(dir)) != NULL) {
        char *bytes, *at;
        struct stat st;
        int fd;

        if (strncmp(entry->d_name, "seg-", 4) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", w->dir, entry->d_name);
        fd = open(path, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0 && fstat(fd, &st) == 0);
        bytes = malloc((size_t)st.st_size);
        assert_int_equal(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
        at = memmem(bytes, (size_t)st.st_size, what, strlen(what));
        if (at != NULL) {
            assert_int_equal(pwrite(fd, "#", 1, at - bytes), 1);
            flipped++;
        }
        free(bytes);
        close(fd);
    }
    closedir(dir);
    assert_int_equal(flipped, 1);
}

static void
what_is_damaged_is_told_and_the_rest_is_given(void **state)
{
    struct world *w = *state;
    struct spool_answer *a;

    open_spool(w);
    append(w, "feed", 1, "the first", 9);
    append(w, "feed", 2, "the second", 10);
    append(w, "feed", 3, "the third", 9);
    close_spool(w);
    flip(w, "the second");
    open_spool(w);
    assert_true(spool_fetch(w->spool, 5, "feed", 1, 1000, 10));
    a = answer(w);
    assert_int_equal(a->kind, SPOOL_FETCHED);
    assert_memory_equal(a->body, "the first", 9);
    free(a->body);
    a = answer(w);
    assert_int_equal(a->kind, SPOOL_DAMAGED);
    assert_int_equal(a->pos, 2);
    assert_non_null(a->text);
    free(a->text);
    a = answer(w);
    assert_int_equal(a->kind, SPOOL_FETCHED);
    assert_memory_equal(a->body, "the third", 9);
    free(a->body);
    a = answer(w);
    assert_int_equal(a->kind, SPOOL_FETCH_END);
    assert_int_equal(a->pos, 4);
}

/* --- no memory --- */

enum { TRIES = 24 };

struct answers {
    uint64_t pos[TRIES]; /* 0: not answered with ok */
};

static void
note(void *ctx, enum spool_kind kind, uint64_t ticket, bool ok, uint64_t pos, const char *why)
{
    struct answers *a = ctx;

    (void)why;
    if (kind == SPOOL_APPENDED)
        a->pos[ticket] = ok ? pos : 0;
}

static void
some_work(struct spool_log *l, const char *body, struct answers *a)
{
    static const char *const ids[] = {"feed", "misp", "kev"};

    for (uint64_t i = 1; i < TRIES - 1; i++) {
        const size_t size = i == 7 ? 300000 : 100000;
        const struct spool_bundle bundle = {.id = ids[i % 3], .epoch = 1, .seq = i, .size = size};

        spool_log_append(l, i, &bundle, &(struct spool_chunk){body, size}, 1);
        if (i % 3 == 0)
            spool_log_commit(l, i % 2 == 0);
    }
    spool_log_commit(l, false);
    spool_log_bury(l, 0, "feed", 1);
    spool_log_commit(l, false);
    spool_log_revive(l, TRIES - 1, "feed", 1);
    for (uint64_t i = 1; i < TRIES - 1; i++) {
        if (i % 5 != 0 && a->pos[i] != 0) {
            spool_log_release(l, ids[i % 3], a->pos[i]);
            a->pos[i] = 0;
        }
    }
    spool_log_commit(l, true);
    while (spool_log_clean(l, MIB))
        continue;
    spool_log_commit(l, true);
}

static void
whichever_allocation_fails_what_was_answered_is_there(void **state)
{
    static const char *const ids[] = {"feed", "misp", "kev"};
    struct world *w = *state;
    char *body = calloc(1, 300000);
    bool over = false;

    for (uint64_t n = 1; !over; n++) {
        struct answers a = {0};
        bool working = true;
        struct spool_log *l;

        remove_folder(w->dir);
        heap_double.only = &working;
        heap_double.left = n;
        l = spool_log_open(&w->config, note, &a, NULL, &w->err);
        if (l != NULL)
            some_work(l, body, &a);
        spool_log_close(l);
        over = heap_double.left > 0;
        heap_double.left = 0;
        l = spool_log_open(&w->config, note, &a, NULL, &w->err);
        if (l == NULL)
            fail_msg("allocation %d: %s", (int)n, w->err.text);
        for (uint64_t i = 1; i < TRIES - 1; i++) {
            uint64_t pos = a.pos[i];
            struct spool_answer found;

            if (pos == 0)
                continue;
            assert_int_equal(spool_log_fetch(l, ids[i % 3], &pos, UINT64_MAX, &found, &w->err), SPOOL_FOUND);
            assert_int_equal(pos, a.pos[i]);
            assert_int_equal(found.bundle.seq, i);
            free(found.body);
        }
        spool_log_close(l);
    }
    heap_double.only = NULL;
    free(body);
}

/* --- its parts --- */

static void
sums_are_those_of_the_standard_by_tables_and_by_the_processor(void **state)
{
    struct crc32c c, tables;
    unsigned char bytes[8000];

    (void)state;
    crc32c_init(&c);
    tables = c;
    tables.hardware = false;
    assert_int_equal(crc32c_add(&c, 0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_add(&tables, 0, "123456789", 9), 0xe3069283);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * i >> 3);
    for (size_t i = 0; i < 4000; i += 37) {
        const uint32_t whole = crc32c_add(&c, 0, bytes + i, sizeof(bytes) - i);

        assert_int_equal(whole, crc32c_add(&tables, 0, bytes + i, sizeof(bytes) - i));
        assert_int_equal(whole, crc32c_add(&c, crc32c_add(&c, 0, bytes + i, i), bytes + 2 * i, sizeof(bytes) - 2 * i));
    }
}

static void
a_set_of_positions_is_that_of_a_plain_list(void **state)
{
    struct posset s = {0};
    bool plain[64] = {false};
    unsigned draw = 1;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        draw = draw * 1103515245 + 12345;
        const uint64_t at = draw >> 16 & 63, to = at + (draw >> 24 & 3);

        if ((draw >> 10 & 1) != 0) {
            assert_int_equal(posset_add(&s, at, to > 64 ? 64 : to), 0);
            for (uint64_t p = at; p < to && p < 64; p++)
                plain[p] = true;
        } else {
            assert_int_equal(posset_remove(&s, at), 0);
            plain[at] = false;
        }
        uint64_t sum = 0;
        for (uint64_t p = 0; p < 64; p++) {
            assert_int_equal(posset_has(&s, p), plain[p]);
            sum += plain[p];
        }
        assert_int_equal(posset_count(&s, 0, 64), sum);
        for (size_t k = 1; k < s.n; k++)
            assert_true(s.ranges[k].from > s.ranges[k - 1].to);
    }
    posset_clear(&s);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(a_folder_that_is_not_there_is_made_and_its_parent_is_not),
        WORLD(a_file_in_the_folders_place_is_refused),
        WORLD(a_folder_with_files_of_others_is_refused_and_they_stay),
        WORLD(a_newer_format_is_refused),
        WORLD(segments_without_a_format_are_refused),
        WORLD(what_is_in_the_place_of_a_segment_is_refused),
        WORLD(a_second_gateway_is_refused),
        WORLD(a_folder_that_is_not_writable_is_refused),
        WORLD(a_segment_size_out_of_its_range_is_refused),
        WORLD(what_was_answered_is_there_after_a_start_with_its_marks),
        WORLD(marks_outlive_the_segments_of_what_was_released),
        WORLD(a_bundle_that_is_larger_than_a_segment_passes),
        WORLD(a_fetch_gives_them_in_order_up_to_its_bounds_and_leaves_out_what_is_gone),
        WORLD(a_dead_letter_stays_until_it_is_revived_behind_the_others),
        WORLD(what_cannot_be_kept_is_refused_with_words),
        WORLD(many_appends_share_a_flush),
        WORLD(at_its_limit_it_takes_no_more_until_there_is_room),
        WORLD(behind_one_that_was_not_taken_none_is_until_one_comes_alone),
        WORLD(below_the_floor_of_free_disk_it_takes_no_more),
        WORLD(whichever_allocation_fails_what_was_answered_is_there),
        WORLD(what_is_damaged_is_told_and_the_rest_is_given),
        cmocka_unit_test(sums_are_those_of_the_standard_by_tables_and_by_the_processor),
        cmocka_unit_test(a_set_of_positions_is_that_of_a_plain_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
