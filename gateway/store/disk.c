/* disk.c - whole reads and writes, of a disk that does them in parts: short, or interrupted. */
#include "disk.h"

#include <errno.h>

typedef ssize_t part_fn(void *ctx, int fd, const struct iovec *v, int n, uint64_t at);

enum { IDLE_MAX = 16 }; /* writes in a row that took nothing: a disk that does that is full */

static int
whole(const struct disk *d, part_fn *part, int fd, struct iovec *v, int n, uint64_t at, int sys_at_end)
{
    int idle = 0;

    while (n > 0) {
        ssize_t done = part(d->ctx, fd, v, n, at);

        if (done < 0 && errno == EINTR && idle++ < IDLE_MAX)
            continue;
        if (done < 0)
            return -1;
        const bool nothing = done == 0;
        at += (uint64_t)done;
        idle = nothing ? idle : 0;
        for (; n > 0 && (size_t)done >= v->iov_len; v++, n--)
            done -= (ssize_t)v->iov_len;
        if (n == 0)
            return 0;
        v->iov_base = (char *)v->iov_base + done;
        v->iov_len -= (size_t)done;
        if (nothing && (sys_at_end == 0 || idle++ == IDLE_MAX)) {
            errno = sys_at_end;
            return -1;
        }
    }
    return 0;
}

int
disk_read(const struct disk *d, int fd, struct iovec *v, int n, uint64_t at)
{
    return whole(d, d->preadv, fd, v, n, at, 0);
}

int
disk_write(const struct disk *d, int fd, struct iovec *v, int n, uint64_t at)
{
    return whole(d, d->pwritev, fd, v, n, at, ENOSPC);
}

int
disk_read_at(const struct disk *d, int fd, void *to, size_t len, uint64_t at)
{
    struct iovec v = {to, len};

    return disk_read(d, fd, &v, 1, at);
}

int
disk_write_at(const struct disk *d, int fd, const void *from, size_t len, uint64_t at)
{
    struct iovec v = {(void *)(uintptr_t)from, len};

    return disk_write(d, fd, &v, 1, at);
}
