#include "body.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"

/* Fill body up to len; returns how much there was, -1 with errno. */
static ssize_t
read_full(int fd, char *body, size_t len)
{
    size_t have = 0;

    while (have < len) {
        ssize_t n = read(fd, body + have, len - have);

        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0)
            have += (size_t)n;
    }
    return (ssize_t)have;
}

static int
read_sized(int fd, const char *path, size_t size, void **ret, struct err *err)
{
    char *body = malloc(size + 1); /* one more byte shows that the file has grown */
    ssize_t n;

    if (body == NULL)
        return err_set(err, ERR_NOMEM, errno, "%s: %zu bytes", path, size);
    n = read_full(fd, body, size + 1);
    if (n == (ssize_t)size) {
        *ret = body;
        return 0;
    }
    free(body);
    if (n < 0)
        return err_set(err, ERR_IO, errno, "%s", path);
    return err_set(err, ERR_IO, 0, "%s: changed while it was read; push it again when it is whole", path);
}

int
body_read(const char *path, uint64_t max, void **ret, size_t *ret_len, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
    struct stat st;

    if (fd < 0)
        return err_set(err, ERR_IO, errno, "%s", path);
    if (fstat(fd, &st) != 0)
        rc = err_set(err, ERR_IO, errno, "%s", path);
    else if (!S_ISREG(st.st_mode))
        rc = err_set(err, ERR_IO, 0, "%s: is not a file any more", path);
    else if (st.st_size == 0)
        rc = err_set(err, ERR_IO, 0, "%s: is empty, and a bundle has at least one byte", path);
    else if ((uint64_t)st.st_size > max)
        rc = err_set(err, ERR_FULL, 0, "%s: %lld bytes, and the gateway takes at most %llu (its max_bundle); split it",
                     path, (long long)st.st_size, (unsigned long long)max);
    else
        rc = read_sized(fd, path, (size_t)st.st_size, ret, err);
    close(fd);
    if (rc == 0)
        *ret_len = (size_t)st.st_size;
    return rc;
}

int
body_make(size_t size, uint32_t series, uint32_t number, void **ret, struct err *err)
{
    char prefix[BODY_PREFIX + 1];
    char *body = malloc(size);

    if (body == NULL)
        return err_set(err, ERR_NOMEM, errno, "a body of %zu bytes", size);
    snprintf(prefix, sizeof(prefix), "%08" PRIx32 "%08" PRIx32, series, number);
    memset(body, 's', size);
    memcpy(body, prefix, BODY_PREFIX);
    *ret = body;
    return 0;
}

const char *
body_type(const void *body, size_t len)
{
    const char *at = body;
    size_t i = len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* a byte order mark */

    while (i < len && (at[i] == ' ' || (at[i] >= '\t' && at[i] <= '\r')))
        i++;
    return i < len && at[i] == '{' ? BODY_STIX : BODY_BYTES;
}
