/* spool_folder.c - the folder of the spool: whether it is ours to use, its lock, its format, its names. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "spool_parts.h"

static const char format_text[] = "sluice spool ";

void
spool_path(const struct spool_log *l, const char *kind, uint64_t seq, char path[SPOOL_PATH_MAX])
{
    snprintf(path, SPOOL_PATH_MAX, "%s/%s-%016" PRIx64 ".log", l->dir, kind, seq);
}

static void
path_of(const struct spool_log *l, const char *name, char path[SPOOL_PATH_MAX])
{
    snprintf(path, SPOOL_PATH_MAX, "%s/%s", l->dir, name);
}

int
folder_flush(struct spool_log *l, struct err *err)
{
    if (l->disk->fsync(l->disk->ctx, l->dir_fd) != 0)
        return err_set(err, ERR_IO, errno, "spool.dir %.80s cannot be flushed", l->dir);
    l->names_waiting = false;
    return 0;
}

static int
refuse(const struct spool_log *l, int sys, struct err *err)
{
    switch (sys) {
    case ENOENT:
        return err_set(err, ERR_CONFIG, 0,
                       "spool.dir %.80s is not there, nor is the folder that it would be in: create that one "
                       "(mkdir -p), owned by the user that sluiced runs as",
                       l->dir);
    case ENOTDIR:
        return err_set(err, ERR_CONFIG, 0, "spool.dir %.80s is not a folder: name one", l->dir);
    case EACCES:
    case EPERM:
        return err_set(err, ERR_CONFIG, 0,
                       "spool.dir %.80s is not writable for user %u, as which sluiced runs: chown it to that user",
                       l->dir, (unsigned)geteuid());
    case EROFS:
        return err_set(err, ERR_CONFIG, 0,
                       "spool.dir %.80s lies on a file system that is mounted read-only: name another folder", l->dir);
    case EISDIR:
    case ELOOP:
        return err_set(err, ERR_CONFIG, 0,
                       "spool.dir %.80s: what is in the place of spool.lock or FORMAT is not a file: move it away",
                       l->dir);
    default:
        return err_set(err, ERR_IO, sys, "spool.dir %.80s cannot be opened", l->dir);
    }
}

/* --- what is in it --- */

struct survey {
    bool   format, ours, foreign;
    char   name[64]; /* of a foreign one */
    /* Of folder_numbers: */
    const char *kind;
    uint64_t   *numbers;
    size_t      n, cap;
    bool        nomem;
};

static bool
is_number(const char *name, const char *kind, uint64_t *ret)
{
    const size_t len = strlen(kind);
    char again[64];

    if (strncmp(name, kind, len) != 0 || name[len] != '-' || strlen(name) != len + 1 + 16 + 4)
        return false;
    *ret = strtoull(name + len + 1, NULL, 16);
    snprintf(again, sizeof(again), "%s-%016" PRIx64 ".log", kind, *ret);
    return strcmp(name, again) == 0;
}

static void
look(void *arg, const char *name)
{
    struct survey *s = arg;
    uint64_t seq;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0)
        return;
    if (strcmp(name, "FORMAT") == 0)
        s->format = true;
    else if (is_number(name, "seg", &seq) || is_number(name, "spare", &seq))
        s->ours = true;
    else if (strcmp(name, "spool.lock") != 0 && strcmp(name, "FORMAT.new") != 0) {
        s->foreign = true;
        snprintf(s->name, sizeof(s->name), "%.60s", name);
    }
}

static void
collect(void *arg, const char *name)
{
    struct survey *s = arg;
    uint64_t seq;

    if (!is_number(name, s->kind, &seq))
        return;
    if (s->n == s->cap) {
        const size_t cap = s->cap == 0 ? 64 : s->cap * 2;
        uint64_t *at = reallocarray(s->numbers, cap, sizeof(*at));

        if (at == NULL) {
            s->nomem = true;
            return;
        }
        s->numbers = at;
        s->cap = cap;
    }
    s->numbers[s->n++] = seq;
}

static int
by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

int
folder_numbers(struct spool_log *l, const char *kind, uint64_t **ret, size_t *ret_n, struct err *err)
{
    struct survey s = {.kind = kind};

    if (l->disk->list(l->disk->ctx, l->dir, collect, &s) != 0 || s.nomem) {
        free(s.numbers);
        return err_set(err, s.nomem ? ERR_NOMEM : ERR_IO, errno, "spool.dir %.80s cannot be listed", l->dir);
    }
    if (s.n > 1)
        qsort(s.numbers, s.n, sizeof(*s.numbers), by_number);
    *ret = s.numbers;
    *ret_n = s.n;
    return 0;
}

/* --- format and lock --- */

static int
format_write(struct spool_log *l, struct err *err)
{
    char path[SPOOL_PATH_MAX], to[SPOOL_PATH_MAX], text[64];
    const int len = snprintf(text, sizeof(text), "%s%d\n", format_text, SPOOL_FORMAT);

    path_of(l, "FORMAT.new", path);
    path_of(l, "FORMAT", to);
    const int fd = l->disk->open(l->disk->ctx, path, O_RDWR | O_CREAT | O_TRUNC);
    if (fd < 0)
        return refuse(l, errno, err);
    int rc = disk_write_at(l->disk, fd, text, (size_t)len, 0);
    if (rc == 0)
        rc = l->disk->fsync(l->disk->ctx, fd);
    const int sys = errno;
    l->disk->close(l->disk->ctx, fd);
    if (rc != 0 || l->disk->rename(l->disk->ctx, path, to) != 0)
        return err_set(err, ERR_IO, rc != 0 ? sys : errno, "spool.dir %.80s: FORMAT cannot be written: make room",
                       l->dir);
    return folder_flush(l, err);
}

static int
format_check(struct spool_log *l, struct err *err)
{
    char path[SPOOL_PATH_MAX], text[64] = "";
    uint64_t size = 0;

    path_of(l, "FORMAT", path);
    const int fd = l->disk->open(l->disk->ctx, path, O_RDONLY);
    if (fd < 0)
        return refuse(l, errno, err);
    int rc = l->disk->size(l->disk->ctx, fd, &size);
    if (rc == 0 && size < sizeof(text))
        rc = disk_read_at(l->disk, fd, text, (size_t)size, 0);
    l->disk->close(l->disk->ctx, fd);
    if (rc != 0)
        return err_set(err, ERR_IO, errno, "%.100s cannot be read", path);
    const bool ours = strncmp(text, format_text, strlen(format_text)) == 0;
    const long format = ours ? strtol(text + strlen(format_text), NULL, 10) : 0;
    if (format > SPOOL_FORMAT)
        return err_set(err, ERR_CONFIG, 0,
                       "spool.dir %.80s is of format %ld, written by a newer sluiced; this one knows format %d: "
                       "install the newer one again, or name another folder",
                       l->dir, format, SPOOL_FORMAT);
    if (format < 1)
        return err_set(err, ERR_CONFIG, 0,
                       "%.100s is not a spool's: restore it, or move it away with all that is in its folder", path);
    return 0;
}

static int
take_lock(struct spool_log *l, struct err *err)
{
    char path[SPOOL_PATH_MAX], pid[24] = "";
    uint64_t size = 0;

    path_of(l, "spool.lock", path);
    l->lock_fd = l->disk->open(l->disk->ctx, path, O_RDWR | O_CREAT);
    if (l->lock_fd < 0)
        return refuse(l, errno, err);
    if (l->disk->lock(l->disk->ctx, l->lock_fd) == 0) {
        /* For people only, so it may fail. */
        const int len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
        if (l->disk->truncate(l->disk->ctx, l->lock_fd, 0) == 0)
            (void)disk_write_at(l->disk, l->lock_fd, pid, (size_t)len, 0);
        return 0;
    }
    if (errno != EWOULDBLOCK)
        return err_set(err, ERR_IO, errno, "spool.dir %.80s: spool.lock cannot be locked", l->dir);
    if (l->disk->size(l->disk->ctx, l->lock_fd, &size) == 0 && size < sizeof(pid))
        (void)disk_read_at(l->disk, l->lock_fd, pid, (size_t)size, 0);
    pid[strspn(pid, "0123456789")] = '\0';
    return err_set(err, ERR_CONFIG, 0,
                   "spool.dir %.80s is in use by another gateway (process %s): stop that one, or give this one a "
                   "folder of its own",
                   l->dir, pid[0] == '\0' ? "unknown" : pid);
}

/* Made durable: what is answered for must not go with a folder that has no name. */
static int
make_folder(struct spool_log *l, struct err *err)
{
    char parent[SPOOL_PATH_MAX];
    char *slash;
    int fd, rc;

    if (l->disk->mkdir(l->disk->ctx, l->dir) != 0)
        return errno == EEXIST ? 0 : refuse(l, errno, err);
    snprintf(parent, sizeof(parent), "%s", l->dir);
    slash = strrchr(parent, '/');
    if (slash == NULL)
        strcpy(parent, ".");
    else
        slash[slash == parent ? 1 : 0] = '\0';
    fd = l->disk->open(l->disk->ctx, parent, O_RDONLY | O_DIRECTORY);
    rc = fd < 0 ? -1 : l->disk->fsync(l->disk->ctx, fd);
    if (rc != 0)
        err_set(err, ERR_IO, errno, "the folder that spool.dir %.80s is in cannot be flushed", l->dir);
    if (fd >= 0)
        l->disk->close(l->disk->ctx, fd);
    return rc;
}

int
folder_open(struct spool_log *l, struct err *err)
{
    struct survey s = {0};

    if (strlen(l->dir) + 64 > SPOOL_PATH_MAX)
        return err_set(err, ERR_CONFIG, 0, "spool.dir: the path is too long: choose a shorter one");
    l->dir_fd = l->disk->open(l->disk->ctx, l->dir, O_RDONLY | O_DIRECTORY);
    if (l->dir_fd < 0 && errno == ENOENT) {
        if (make_folder(l, err) != 0)
            return -1;
        l->dir_fd = l->disk->open(l->disk->ctx, l->dir, O_RDONLY | O_DIRECTORY);
    }
    if (l->dir_fd < 0)
        return refuse(l, errno, err);
    if (l->disk->list(l->disk->ctx, l->dir, look, &s) != 0)
        return refuse(l, errno, err);
    if (!s.format && s.foreign)
        return err_set(err, ERR_CONFIG, 0,
                       "spool.dir %.80s has files that are not a spool's (%.60s): nothing was touched; name an empty "
                       "folder, or one that is not there yet",
                       l->dir, s.name);
    if (!s.format && s.ours)
        return err_set(err, ERR_CONFIG, 0,
                       "spool.dir %.80s has segments and no file FORMAT: it is not whole; restore FORMAT (\"%s%d\"), "
                       "or name another folder",
                       l->dir, format_text, SPOOL_FORMAT);
    if (take_lock(l, err) != 0)
        return -1;
    return s.format ? format_check(l, err) : format_write(l, err);
}
