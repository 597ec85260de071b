/* state_file.c - the folder of the state: its lock, and whether the file in it is ours to open. */
#include "state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"

/* SQLite's header (sqlite.org/fileformat2.html, section 1.3). */
enum { HEADER = 100, USER_VERSION_AT = 60, APPLICATION_ID_AT = 68 };
static const char magic[16] = "SQLite format 3";

int
state_path(const char *dir, const char *name, char *buf, struct err *err)
{
    int n = snprintf(buf, STATE_PATH_MAX, "%s/%s", dir, name);

    if (n < 0 || n >= STATE_PATH_MAX)
        return err_set(err, ERR_CONFIG, 0, "state.dir: the path is too long: choose a shorter one");
    return 0;
}

static int
refuse_folder(const char *dir, int sys, struct err *err)
{
    switch (sys) {
    case ENOENT:
        return err_set(err, ERR_CONFIG, 0,
                       "state.dir %.80s is not there: create it (mkdir -p), owned by the user that sluiced runs as",
                       dir);
    case ENOTDIR:
        return err_set(err, ERR_CONFIG, 0, "state.dir %.80s is not a folder: name one", dir);
    case EACCES:
    case EPERM:
        return err_set(err, ERR_CONFIG, 0,
                       "state.dir %.80s is not writable for user %u, as which sluiced runs: chown it to that user",
                       dir, (unsigned)geteuid());
    case EROFS:
        return err_set(err, ERR_CONFIG, 0,
                       "state.dir %.80s lies on a file system that is mounted read-only: name another folder",
                       dir);
    default:
        return err_set(err, ERR_IO, sys, "state.dir %.80s: sluice.lock cannot be opened", dir);
    }
}

/* Who holds the lock wrote its process id into it. */
static int
refuse_second(int fd, const char *dir, struct err *err)
{
    char    pid[24] = "";
    ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

    pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
    return err_set(err, ERR_CONFIG, 0,
                   "state.dir %.80s is in use by another gateway (process %s): stop that one, or give this one a "
                   "folder of its own",
                   dir, pid[0] == '\0' ? "unknown" : pid);
}

/* Say who holds the lock.  For people only, so it may fail: a full disk keeps nobody from starting. */
static void
sign(int fd)
{
    char pid[24];
    int  len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)len, 0) != len)
        return; /* refuse_second then says "unknown" */
}

/* flock rather than fcntl: it belongs to this open file, so a close of another descriptor of it does not drop it,
 * and it goes with the process however that ends. */
int
state_folder_lock(const char *dir, struct err *err)
{
    char path[STATE_PATH_MAX];
    int  fd;

    if (state_path(dir, "sluice.lock", path, err) != 0)
        return -1;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return refuse_folder(dir, errno, err);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            refuse_second(fd, dir, err);
        else
            err_set(err, ERR_IO, errno, "state.dir %.80s: sluice.lock cannot be locked", dir);
        close(fd);
        return -1;
    }
    sign(fd);
    return fd;
}

int
state_folder_sync(const char *dir, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);

    if (rc != 0)
        err_set(err, ERR_IO, errno, "state.dir %.80s cannot be flushed", dir);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int64_t
big_endian_32(const unsigned char *at)
{
    return (int64_t)at[0] << 24 | (int64_t)at[1] << 16 | (int64_t)at[2] << 8 | (int64_t)at[3];
}

int
state_version_check(const char *path, int64_t application_id, int64_t user_version, struct err *err)
{
    if (application_id != STATE_APPLICATION_ID)
        return err_set(err, ERR_CONFIG, 0,
                       "%.100s is another program's SQLite file (application_id %" PRId64 "); it was left as it is: "
                       "move it away, or name another state.dir",
                       path, application_id);
    if (user_version > STATE_USER_VERSION)
        return err_set(err, ERR_CONFIG, 0,
                       "%.100s is of version %" PRId64 ", written by a newer sluiced; this one knows version %d: "
                       "install the newer one again, or name another state.dir",
                       path, user_version, STATE_USER_VERSION);
    if (user_version < 1)
        return err_set(err, ERR_CONFIG, 0,
                       "%.100s has no version: it is damaged; restore it from a backup, or move it away to begin "
                       "with empty states",
                       path);
    return 0;
}

static ssize_t
read_header(const char *path, unsigned char *header, bool *ret_there, struct err *err)
{
    struct stat st;
    ssize_t     n = -1;
    int         fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

    *ret_there = fd >= 0;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return err_set(err, ERR_CONFIG, errno, "%.100s cannot be opened for reading and writing by user %u", path,
                       (unsigned)geteuid());
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
        err_set(err, ERR_CONFIG, 0, "%.100s is not a regular file: move it away", path);
    else if ((n = pread(fd, header, HEADER, 0)) < 0)
        err_set(err, ERR_IO, errno, "%.100s cannot be read", path);
    close(fd);
    return n;
}

int
state_file_check(const char *path, bool *ret_there, struct err *err)
{
    unsigned char header[HEADER];
    ssize_t       n = read_header(path, header, ret_there, err);

    if (n < 0)
        return -1;
    if (!*ret_there)
        return 0;
    if (n == 0)
        return err_set(err, ERR_CONFIG, 0,
                       "%.100s is empty, as sluiced never leaves it: restore it from a backup, or remove it to begin "
                       "with empty states",
                       path);
    if (n < HEADER || memcmp(header, magic, sizeof(magic)) != 0)
        return err_set(err, ERR_CONFIG, 0,
                       "%.100s is not a SQLite file, or its head is damaged; it was left as it is: restore it from a "
                       "backup, or move it away to begin with empty states",
                       path);
    return state_version_check(path, big_endian_32(header + APPLICATION_ID_AT), big_endian_32(header + USER_VERSION_AT),
                               err);
}
