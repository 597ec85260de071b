/* disk_real.c - the disk of this machine. */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { ZEROES = 1024 * 1024, PAGE = 4096 };

static int
real_open(void *ctx, const char *path, int flags)
{
    struct stat st;
    const int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

    (void)ctx;
    if (fd < 0 || (flags & O_DIRECTORY) != 0)
        return fd;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    errno = EISDIR; /* or a pipe, or a device: not a file, in any case */
    return -1;
}

static void
real_close(void *ctx, int fd)
{
    (void)ctx;
    close(fd);
}

static ssize_t
real_preadv(void *ctx, int fd, const struct iovec *v, int n, uint64_t at)
{
    (void)ctx;
    return preadv(fd, v, n, (off_t)at);
}

static ssize_t
real_pwritev(void *ctx, int fd, const struct iovec *v, int n, uint64_t at)
{
    (void)ctx;
    return pwritev(fd, v, n, (off_t)at);
}

/* Only a hint: what fails here is told by the flush.  The last page is filled by what comes next. */
static void
real_begin(void *ctx, int fd, uint64_t at, uint64_t len)
{
    const uint64_t end = (at + len) / PAGE * PAGE;

    (void)ctx;
    if (end > at)
        (void)sync_file_range(fd, (off_t)at, (off_t)(end - at), SYNC_FILE_RANGE_WRITE);
}

static int
real_fdatasync(void *ctx, int fd)
{
    (void)ctx;
    return fdatasync(fd);
}

static int
real_fsync(void *ctx, int fd)
{
    (void)ctx;
    return fsync(fd);
}

/* Where the file system cannot promise room, zeroes take it. */
static int
fill(int fd, uint64_t size)
{
    struct stat st;
    char *zeroes;
    int rc = fstat(fd, &st);

    if (rc != 0 || (zeroes = calloc(1, ZEROES)) == NULL)
        return -1;
    for (uint64_t at = (uint64_t)st.st_size; at < size && rc == 0;) {
        const uint64_t left = size - at;
        const ssize_t n = pwrite(fd, zeroes, left < ZEROES ? (size_t)left : ZEROES, (off_t)at);

        if (n > 0)
            at += (uint64_t)n;
        else if (n == 0 || errno != EINTR)
            rc = -1;
    }
    free(zeroes);
    return rc;
}

static int
real_allocate(void *ctx, int fd, uint64_t size)
{
    (void)ctx;
    while (fallocate(fd, 0, 0, (off_t)size) != 0) {
        if (errno == EINTR)
            continue;
        return errno == EOPNOTSUPP || errno == ENOSYS ? fill(fd, size) : -1;
    }
    return 0;
}

static int
real_truncate(void *ctx, int fd, uint64_t size)
{
    (void)ctx;
    return ftruncate(fd, (off_t)size);
}

static int
real_size(void *ctx, int fd, uint64_t *ret)
{
    struct stat st;

    (void)ctx;
    if (fstat(fd, &st) != 0)
        return -1;
    *ret = (uint64_t)st.st_size;
    return 0;
}

/* flock rather than fcntl: it belongs to this open file, and goes with the process however that ends. */
static int
real_lock(void *ctx, int fd)
{
    (void)ctx;
    return flock(fd, LOCK_EX | LOCK_NB);
}

static int
real_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    return rename(from, to);
}

static int
real_unlink(void *ctx, const char *path)
{
    (void)ctx;
    return unlink(path);
}

static int
real_mkdir(void *ctx, const char *path)
{
    (void)ctx;
    return mkdir(path, 0700);
}

static int
real_list(void *ctx, const char *path, void (*each)(void *arg, const char *name), void *arg)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;

    (void)ctx;
    if (dir == NULL)
        return -1;
    for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0)
        each(arg, entry->d_name);
    const int sys = errno;
    closedir(dir);
    errno = sys;
    return sys == 0 ? 0 : -1;
}

static int
real_room(void *ctx, const char *path, uint64_t *ret_free)
{
    struct statvfs st;

    (void)ctx;
    if (statvfs(path, &st) != 0)
        return -1;
    *ret_free = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

static int
real_random(void *ctx, void *at, size_t len)
{
    (void)ctx;
    return getrandom(at, len, 0) == (ssize_t)len ? 0 : -1;
}

const struct disk disk_real = {
    .open = real_open, .close = real_close, .preadv = real_preadv, .pwritev = real_pwritev, .begin = real_begin,
    .fdatasync = real_fdatasync, .fsync = real_fsync, .allocate = real_allocate, .truncate = real_truncate,
    .size = real_size, .lock = real_lock, .rename = real_rename, .unlink = real_unlink, .mkdir = real_mkdir,
    .list = real_list, .room = real_room, .random = real_random,
};
