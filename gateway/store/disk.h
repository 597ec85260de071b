/* disk.h - every way in which the spool touches a disk, as one table: a test passes a disk that fails on demand.
 *
 * As the system's calls of these names: -1 with errno on failure; reads and writes may be short or interrupted (who
 * uses them goes on: disk_read and disk_write do).  A path is a whole one.  Thread: the spool's alone, once it runs. */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct disk {
    void *ctx;
    int (*open)(void *ctx, const char *path, int flags); /* 0600; a regular file or, with O_DIRECTORY, a folder */
    void (*close)(void *ctx, int fd);
    ssize_t (*preadv)(void *ctx, int fd, const struct iovec *v, int n, uint64_t at);
    ssize_t (*pwritev)(void *ctx, int fd, const struct iovec *v, int n, uint64_t at);
    void (*begin)(void *ctx, int fd, uint64_t at, uint64_t len); /* a flush of this will come: begin with it */
    int (*fdatasync)(void *ctx, int fd);
    int (*fsync)(void *ctx, int fd);                     /* of a folder: its names; of a file: its size, too */
    int (*allocate)(void *ctx, int fd, uint64_t size);   /* it has that size now, and its room is its own; reads as 0 */
    int (*truncate)(void *ctx, int fd, uint64_t size);
    int (*size)(void *ctx, int fd, uint64_t *ret);
    int (*lock)(void *ctx, int fd);                      /* for this gateway alone: EWOULDBLOCK where it is another's */
    int (*rename)(void *ctx, const char *from, const char *to);
    int (*unlink)(void *ctx, const char *path);
    int (*mkdir)(void *ctx, const char *path);
    int (*list)(void *ctx, const char *path, void (*each)(void *arg, const char *name), void *arg);
    int (*room)(void *ctx, const char *path, uint64_t *ret_free); /* bytes that an ordinary user may still take */
    int (*random)(void *ctx, void *at, size_t len);
};

extern const struct disk disk_real;

/* All of it, or -1: errno is 0 where the file ends before.  v is used up. */
int disk_read(const struct disk *d, int fd, struct iovec *v, int n, uint64_t at);
int disk_write(const struct disk *d, int fd, struct iovec *v, int n, uint64_t at);

/* The same of one piece. */
int disk_read_at(const struct disk *d, int fd, void *to, size_t len, uint64_t at);
int disk_write_at(const struct disk *d, int fd, const void *from, size_t len, uint64_t at);

#endif
