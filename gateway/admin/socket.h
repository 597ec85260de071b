/* socket.h - a unix socket that only its owner can open: making it, and taking it away again. */
#ifndef SOCKET_H
#define SOCKET_H

#include <sys/types.h>

struct err;

struct socket_file {
    char  path[108]; /* sun_path's size */
    dev_t dev;       /* which file it is, so that no other is removed */
    ino_t ino;
    int   fd;        /* -1: not open */
};

/* Listen at path, mode 0600, not blocking.  What a gateway left there is removed: a socket that is ours, and on which
 * nobody listens.  ERR_CONFIG, ERR_IO. */
int socket_listen(struct socket_file *s, const char *path, struct err *err);

/* Who is at the other end?  -1: nobody knows. */
int socket_peer(int fd, uid_t *ret_uid, pid_t *ret_pid);

void socket_close(struct socket_file *s);

#endif
