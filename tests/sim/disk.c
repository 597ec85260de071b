/* disk.c - a simulated disk: what was not flushed may be lost in any part, and it fails as it is told to. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FD_FOLDER = 1000000 };

static void *
must(void *at)
{
    if (at == NULL)
        abort(); /* a simulator may */
    return at;
}

static void
resize(unsigned char **at, uint64_t *cap, uint64_t *size, uint64_t to)
{
    if (to > *cap) {
        const uint64_t more = to > *cap * 2 ? to : *cap * 2;

        *at = must(realloc(*at, more));
        memset(*at + *cap, 0, more - *cap);
        *cap = more;
    }
    if (to < *size)
        memset(*at + to, 0, *size - to);
    *size = to;
}

static void
op_apply(struct sim_file *f, const struct sim_op *op, uint64_t from, uint64_t len)
{
    if (op->bytes == NULL) {
        resize(&f->durable, &f->durable_cap, &f->durable_size, op->len);
        return;
    }
    if (op->at + from + len > f->durable_size)
        resize(&f->durable, &f->durable_cap, &f->durable_size, op->at + from + len);
    memcpy(f->durable + op->at + from, op->bytes + from, len);
}

static void
ops_clear(struct sim_file *f)
{
    for (size_t i = 0; i < f->n_ops; i++)
        free(f->ops[i].bytes);
    f->n_ops = 0;
}

static void
op_add(struct sim_file *f, uint64_t at, const unsigned char *bytes, uint64_t len)
{
    if (f->n_ops == f->cap_ops) {
        f->cap_ops = f->cap_ops == 0 ? 16 : f->cap_ops * 2;
        f->ops = must(realloc(f->ops, f->cap_ops * sizeof(*f->ops)));
    }
    f->ops[f->n_ops] = (struct sim_op){.at = at, .len = len};
    if (bytes != NULL) {
        f->ops[f->n_ops].bytes = must(malloc(len));
        memcpy(f->ops[f->n_ops].bytes, bytes, len);
    }
    f->n_ops++;
}

/* Any part of what was not flushed. */
static void
ops_survive(struct sim_disk *d, struct sim_file *f)
{
    const double odds[] = {0, 0.1, 0.5, 0.9, 1};

    for (size_t i = 0; i < f->n_ops; i++) {
        struct sim_op *op = &f->ops[i];
        const double p = odds[chance_below(&d->chance, 5)];
        const uint64_t piece = chance_is(&d->chance, 0.5) ? 512 : 4096;

        if (op->bytes == NULL) {
            if (chance_is(&d->chance, p))
                op_apply(f, op, 0, 0);
            continue;
        }
        for (uint64_t at = 0, n; at < op->len; at += n) {
            n = piece - (op->at + at) % piece;
            n = n < op->len - at ? n : op->len - at;
            if (chance_is(&d->chance, p))
                op_apply(f, op, at, n);
        }
    }
    ops_clear(f);
}

/* --- one change --- */

static bool
dies(struct sim_disk *d)
{
    if (!d->dead && d->dies_at != 0 && d->ops >= d->dies_at)
        d->dead = true;
    d->ops++;
    if (d->dead)
        errno = EIO;
    return d->dead;
}

static struct sim_file *
file_of(struct sim_disk *d, int fd)
{
    return &d->files[d->fds[fd]];
}

static const char *
base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static int
find(const struct sim_names *names, const char *name)
{
    for (int i = 0; i < names->n; i++)
        if (strcmp(names->list[i].name, name) == 0)
            return i;
    return -1;
}

static void
remember(struct sim_disk *d)
{
    if (d->n_steps == 64) { /* the oldest are on the disk by now */
        d->durable = d->steps[0];
        memmove(d->steps, d->steps + 1, sizeof(d->steps) - sizeof(d->steps[0]));
        d->n_steps--;
    }
    d->steps[d->n_steps++] = d->now;
}

static uint64_t
used(const struct sim_disk *d)
{
    uint64_t sum = 0;

    for (int i = 0; i < d->now.n; i++)
        sum += d->files[d->now.list[i].file].size;
    return sum;
}

/* --- the table --- */

static int
sim_open(void *ctx, const char *path, int flags)
{
    struct sim_disk *d = ctx;
    int i, fd;

    if ((flags & O_DIRECTORY) != 0)
        return FD_FOLDER;
    if (d->dead) {
        errno = EIO;
        return -1;
    }
    i = find(&d->now, base(path));
    if (i < 0 && (flags & O_CREAT) == 0) {
        errno = ENOENT;
        return -1;
    }
    if (i >= 0 && (flags & O_EXCL) != 0) {
        errno = EEXIST;
        return -1;
    }
    if (i < 0) {
        if (dies(d) || d->now.n == SIM_FILES)
            return -1;
        i = d->now.n++;
        snprintf(d->now.list[i].name, sizeof(d->now.list[i].name), "%s", base(path));
        d->files = must(realloc(d->files, (size_t)(d->n_files + 1) * sizeof(*d->files)));
        d->files[d->n_files] = (struct sim_file){0};
        d->now.list[i].file = d->n_files++;
        remember(d);
    }
    for (fd = 0; fd < SIM_FILES && d->fds[fd] >= 0; fd++)
        continue;
    if (fd == SIM_FILES) {
        errno = EMFILE;
        return -1;
    }
    d->fds[fd] = d->now.list[i].file;
    return fd;
}

static void
sim_close(void *ctx, int fd)
{
    struct sim_disk *d = ctx;

    if (fd != FD_FOLDER)
        d->fds[fd] = -1;
}

static ssize_t
sim_preadv(void *ctx, int fd, const struct iovec *v, int n, uint64_t at)
{
    struct sim_disk *d = ctx;
    const struct sim_file *f = file_of(d, fd);
    ssize_t done = 0;

    if (d->dead) {
        errno = EIO;
        return -1;
    }
    for (int i = 0; i < n && at < f->size; i++) {
        const uint64_t len = f->size - at < v[i].iov_len ? f->size - at : v[i].iov_len;

        if (len > 0)
            memcpy(v[i].iov_base, f->now + at, len);
        at += len;
        done += (ssize_t)len;
        if (done > 0 && chance_is(&d->chance, d->brief / 4))
            break;
    }
    return done;
}

static ssize_t
sim_pwritev(void *ctx, int fd, const struct iovec *v, int n, uint64_t at)
{
    struct sim_disk *d = ctx;
    ssize_t done = 0;

    if (chance_is(&d->chance, d->eio)) {
        errno = EIO;
        return -1;
    }
    if (chance_is(&d->chance, d->nospace)) {
        errno = ENOSPC;
        return -1;
    }
    for (int i = 0; i < n; i++) {
        struct sim_file *f = file_of(d, fd);
        uint64_t len = v[i].iov_len;
        const bool brief = len > 0 && chance_is(&d->chance, d->brief);

        if (dies(d))
            return done > 0 ? done : -1;
        len = brief ? (uint64_t)chance_below(&d->chance, (int64_t)len) : len;
        if (at + len > f->size && used(d) + at + len - f->size > d->capacity) {
            errno = ENOSPC;
            return done > 0 ? done : -1;
        }
        if (len > 0) {
            if (at + len > f->size)
                resize(&f->now, &f->cap, &f->size, at + len);
            memcpy(f->now + at, v[i].iov_base, len);
            op_add(f, at, f->now + at, len);
        }
        at += len;
        done += (ssize_t)len;
        if (brief)
            break;
    }
    return done;
}

static void
sim_begin(void *ctx, int fd, uint64_t at, uint64_t len)
{
    (void)ctx;
    (void)fd;
    (void)at;
    (void)len;
}

static int
sim_sync(void *ctx, int fd)
{
    struct sim_disk *d = ctx;

    if (dies(d))
        return -1;
    if (fd == FD_FOLDER) {
        d->durable = d->now;
        d->n_steps = 0;
        return 0;
    }
    struct sim_file *f = file_of(d, fd);
    if (chance_is(&d->chance, d->flush)) {
        ops_survive(d, f); /* the rest is dropped, and the next flush knows nothing of it */
        errno = EIO;
        return -1;
    }
    for (size_t i = 0; i < f->n_ops; i++)
        op_apply(f, &f->ops[i], 0, f->ops[i].bytes == NULL ? 0 : f->ops[i].len);
    ops_clear(f);
    return 0;
}

static int
sim_truncate(void *ctx, int fd, uint64_t size)
{
    struct sim_disk *d = ctx;
    struct sim_file *f = file_of(d, fd);

    if (dies(d))
        return -1;
    resize(&f->now, &f->cap, &f->size, size);
    op_add(f, 0, NULL, size);
    return 0;
}

static int
sim_allocate(void *ctx, int fd, uint64_t size)
{
    struct sim_disk *d = ctx;
    const struct sim_file *f = file_of(d, fd);

    if (size <= f->size)
        return 0;
    if (used(d) + size - f->size > d->capacity || chance_is(&d->chance, d->nospace)) {
        errno = ENOSPC;
        return -1;
    }
    return sim_truncate(ctx, fd, size);
}

static int
sim_size(void *ctx, int fd, uint64_t *ret)
{
    *ret = file_of(ctx, fd)->size;
    return 0;
}

static int
sim_lock(void *ctx, int fd)
{
    (void)ctx;
    (void)fd;
    return 0;
}

static int
sim_unlink(void *ctx, const char *path)
{
    struct sim_disk *d = ctx;
    const int i = find(&d->now, base(path));

    if (dies(d))
        return -1;
    if (i < 0) {
        errno = ENOENT;
        return -1;
    }
    d->now.list[i] = d->now.list[--d->now.n];
    remember(d);
    return 0;
}

static int
sim_rename(void *ctx, const char *from, const char *to)
{
    struct sim_disk *d = ctx;
    int i = find(&d->now, base(from)), k;

    if (dies(d))
        return -1;
    if (i < 0) {
        errno = ENOENT;
        return -1;
    }
    k = find(&d->now, base(to));
    if (k >= 0) {
        d->now.list[k] = d->now.list[--d->now.n];
        i = find(&d->now, base(from));
    }
    snprintf(d->now.list[i].name, sizeof(d->now.list[i].name), "%s", base(to));
    remember(d);
    return 0;
}

static int
sim_mkdir(void *ctx, const char *path)
{
    (void)ctx;
    (void)path;
    errno = EEXIST;
    return -1;
}

static int
sim_list(void *ctx, const char *path, void (*each)(void *arg, const char *name), void *arg)
{
    struct sim_disk *d = ctx;

    (void)path;
    for (int i = 0; i < d->now.n; i++)
        each(arg, d->now.list[i].name);
    return 0;
}

static int
sim_room(void *ctx, const char *path, uint64_t *ret_free)
{
    struct sim_disk *d = ctx;
    const uint64_t n = used(d);

    (void)path;
    *ret_free = n < d->capacity ? d->capacity - n : 0;
    return 0;
}

static int
sim_random(void *ctx, void *at, size_t len)
{
    struct sim_disk *d = ctx;

    for (size_t i = 0; i < len; i++)
        ((unsigned char *)at)[i] = (unsigned char)chance_next(&d->chance);
    return 0;
}

void
sim_disk_init(struct sim_disk *d, uint64_t seed, uint64_t capacity)
{
    *d = (struct sim_disk){
        .table = {.ctx = d, .open = sim_open, .close = sim_close, .preadv = sim_preadv, .pwritev = sim_pwritev,
                  .begin = sim_begin,
                  .fdatasync = sim_sync, .fsync = sim_sync, .allocate = sim_allocate, .truncate = sim_truncate,
                  .size = sim_size, .lock = sim_lock, .rename = sim_rename, .unlink = sim_unlink, .mkdir = sim_mkdir,
                  .list = sim_list, .room = sim_room, .random = sim_random},
        .chance = chance_stream(seed, 1), .capacity = capacity,
    };
    for (int i = 0; i < SIM_FILES; i++)
        d->fds[i] = -1;
}

void
sim_disk_restart(struct sim_disk *d)
{
    for (int i = 0; i < SIM_FILES; i++)
        d->fds[i] = -1;
    d->dead = false;
    d->dies_at = 0;
}

void
sim_disk_cut(struct sim_disk *d)
{
    const int kept = (int)chance_below(&d->chance, d->n_steps + 1);

    if (kept > 0)
        d->durable = d->steps[kept - 1];
    d->now = d->durable;
    d->n_steps = 0;
    for (int i = 0; i < d->n_files; i++) {
        struct sim_file *f = &d->files[i];

        ops_survive(d, f);
        resize(&f->now, &f->cap, &f->size, f->durable_size);
        if (f->durable_size > 0)
            memcpy(f->now, f->durable, f->durable_size);
    }
    sim_disk_restart(d);
}

void
sim_disk_free(struct sim_disk *d)
{
    for (int i = 0; i < d->n_files; i++) {
        ops_clear(&d->files[i]);
        free(d->files[i].ops);
        free(d->files[i].now);
        free(d->files[i].durable);
    }
    free(d->files);
}

unsigned char *
sim_disk_bytes(struct sim_disk *d, const char *name, uint64_t *ret_size)
{
    const int i = find(&d->now, name);

    if (i < 0)
        return NULL;
    *ret_size = d->files[d->now.list[i].file].size;
    return d->files[d->now.list[i].file].now;
}
