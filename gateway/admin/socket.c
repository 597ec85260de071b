/* socket.c - a unix socket that only its owner can open. */
#include "socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "err.h"

enum { BACKLOG = 16 };

static int
address(const char *path, struct sockaddr_un *ret, struct err *err)
{
    const size_t len = strlen(path);

    memset(ret, 0, sizeof(*ret));
    ret->sun_family = AF_UNIX;
    if (len == 0 || len >= sizeof(ret->sun_path))
        return err_set(err, ERR_CONFIG, 0, "operators.socket: the path has %zu bytes, and a socket's has 1 to %zu", len,
                       sizeof(ret->sun_path) - 1);
    memcpy(ret->sun_path, path, len + 1);
    return 0;
}

/* Does nobody listen there any more? */
static int
check_deserted(const struct sockaddr_un *a, struct err *err)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int why = 0;

    if (fd < 0)
        return err_set(err, ERR_IO, errno, "operators.socket %s", a->sun_path);
    if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) != 0)
        why = errno;
    close(fd);
    if (why == ECONNREFUSED)
        return 0;
    if (why == 0 || why == EAGAIN)
        return err_set(err, ERR_CONFIG, 0,
                       "operators.socket %s: another program listens there: stop it, or name another operators.socket",
                       a->sun_path);
    return err_set(err, ERR_CONFIG, why, "operators.socket %s: what is there cannot be looked at: move it away",
                   a->sun_path);
}

static int
remove_stale(const struct sockaddr_un *a, struct err *err)
{
    struct stat st;

    if (lstat(a->sun_path, &st) != 0)
        return errno == ENOENT ? 0 : err_set(err, ERR_CONFIG, errno, "operators.socket %s", a->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_CONFIG, 0,
                       "operators.socket %s: there is a file that is no socket: move it away, or name another "
                       "operators.socket",
                       a->sun_path);
    if (st.st_uid != geteuid())
        return err_set(err, ERR_CONFIG, 0,
                       "operators.socket %s: there is a socket of user %u, and sluiced runs as %u: remove it, or name "
                       "another operators.socket",
                       a->sun_path, (unsigned)st.st_uid, (unsigned)geteuid());
    if (check_deserted(a, err) != 0)
        return -1;
    if (unlink(a->sun_path) != 0)
        return err_set(err, ERR_CONFIG, errno, "operators.socket %s: what an earlier gateway left cannot be removed",
                       a->sun_path);
    return 0;
}

/* With its mode from the first moment on. */
static int
bind_private(int fd, const struct sockaddr_un *a, struct err *err)
{
    const mode_t before = umask(0177);
    const int rc = bind(fd, (const struct sockaddr *)a, sizeof(*a));
    const int why = errno;

    umask(before);
    if (rc == 0)
        return 0;
    return err_set(err, why == ENOENT || why == EACCES || why == EPERM || why == EROFS ? ERR_CONFIG : ERR_IO, why,
                   "operators.socket %s: it cannot be made: check its folder, or name another operators.socket",
                   a->sun_path);
}

int
socket_listen(struct socket_file *s, const char *path, struct err *err)
{
    struct sockaddr_un a;
    struct stat st;

    s->fd = -1;
    if (address(path, &a, err) != 0 || remove_stale(&a, err) != 0)
        return -1;
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return err_set(err, ERR_IO, errno, "operators.socket %s", path);
    if (bind_private(s->fd, &a, err) != 0) {
        close(s->fd);
        s->fd = -1;
        return -1;
    }
    memcpy(s->path, a.sun_path, sizeof(s->path));
    if (lstat(path, &st) == 0) {
        s->dev = st.st_dev;
        s->ino = st.st_ino;
    }
    if (listen(s->fd, BACKLOG) == 0)
        return 0;
    err_set(err, ERR_IO, errno, "operators.socket %s", path);
    socket_close(s);
    return -1;
}

int
socket_peer(int fd, uid_t *ret_uid, pid_t *ret_pid)
{
    struct ucred who;
    socklen_t len = sizeof(who);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
        return -1;
    *ret_uid = who.uid;
    *ret_pid = who.pid;
    return 0;
}

void
socket_close(struct socket_file *s)
{
    struct stat st;

    if (s->fd < 0)
        return;
    if (lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
        unlink(s->path);
    close(s->fd);
    s->fd = -1;
}
