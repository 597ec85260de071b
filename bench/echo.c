#include "echo.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "crowd.h"
#include "err.h"
#include "system/world.h"

enum { RECEIVE_HWM = 128,
       BACKLOG = 4096,
       UP_MS = 10000 };

struct echo {
    atomic_int ready; /* 1: listens, -1: failed */
    pid_t pid;
};

/* The routing id, then the body, each as it came. */
static bool
one_frame(void *sock)
{
    zmq_msg_t m;
    (void)zmq_msg_init(&m);
    if (zmq_msg_recv(&m, sock, 0) < 0)
        return errno == EINTR;
    return zmq_msg_send(&m, sock, zmq_msg_more(&m) != 0 ? ZMQ_SNDMORE : 0) >= 0;
}

static void
child_main(struct echo *e, const char *endpoint)
{
    int hwm = RECEIVE_HWM, backlog = BACKLOG;
    void *sock = zmq_socket(zmq_ctx_new(), ZMQ_ROUTER);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    crowd_files();
    (void)zmq_setsockopt(sock, ZMQ_RCVHWM, &hwm, sizeof(hwm));
    (void)zmq_setsockopt(sock, ZMQ_BACKLOG, &backlog, sizeof(backlog));
    atomic_store(&e->ready, zmq_bind(sock, endpoint) == 0 ? 1 : -1);
    while (one_frame(sock))
        continue;
    _exit(1);
}

struct echo *
echo_start(const char *endpoint, struct err *err)
{
    struct echo *e = mmap(NULL, sizeof(*e), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (e == MAP_FAILED) {
        (void)err_set(err, ERR_NOMEM, errno, "the echo");
        return NULL;
    }
    pid_t pid = fork();
    if (pid == 0)
        child_main(e, endpoint);
    e->pid = pid; /* by the parent only: the memory is shared */
    for (int i = 0; i < UP_MS && atomic_load(&e->ready) == 0; i++)
        world_sleep_ms(1);
    if (atomic_load(&e->ready) == 1)
        return e;
    (void)err_set(err, ERR_IO, 0, "the echo does not listen at %s", endpoint);
    echo_stop(e);
    return NULL;
}

int64_t
echo_cpu_us(const struct echo *e)
{
    return world_cpu_us(e->pid);
}

void
echo_stop(struct echo *e)
{
    if (e == NULL)
        return;
    if (e->pid > 0) {
        (void)kill(e->pid, SIGKILL);
        (void)waitpid(e->pid, NULL, 0);
    }
    (void)munmap(e, sizeof(*e));
}
