/* files.c - how many descriptors this process may have. */
#include "files.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "log.h"

void
files_raise(size_t connectors, struct log *log)
{
    struct rlimit files;
    const rlim_t needed = (rlim_t)connectors + FILES_OWN;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return; /* only for a limit or an address that there is not */
    const struct rlimit most = {.rlim_cur = files.rlim_max, .rlim_max = files.rlim_max};
    /* The soft limit is 1024 by custom, for the sake of select(), which nothing here uses. */
    if (files.rlim_cur < files.rlim_max) {
        if (setrlimit(RLIMIT_NOFILE, &most) == 0)
            files = most;
        else
            log_event(log, LOG_WARN, "descriptors_not_raised", LOG_INT("limit", files.rlim_cur),
                      LOG_STR("why", strerror(errno)));
    }
    if (files.rlim_cur < needed)
        log_event(log, LOG_WARN, "few_descriptors", LOG_INT("limit", files.rlim_cur), LOG_INT("needed", needed),
                  LOG_INT("connectors", connectors),
                  LOG_STR("advice", "some connectors will not get in: set LimitNOFILE of the service to what is needed "
                                    "(in a shell: ulimit -n)"));
}
