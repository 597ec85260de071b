#include "paths.h"

#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "err.h"

static int
by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int
add_one(struct paths *p, const char *path, uint64_t size, struct err *err)
{
    if (p->n == PATHS_MAX)
        return err_set(err, ERR_FULL, 0, "%s: more than %d files; give fewer folders at a time", path, PATHS_MAX);
    if (p->n == p->room) {
        size_t room = p->room == 0 ? 64 : 2 * p->room;
        char **bigger = reallocarray(p->at, room, sizeof(*bigger));

        if (bigger == NULL)
            return err_set(err, ERR_NOMEM, errno, "%zu files", room);
        p->at = bigger;
        p->room = room;
    }
    p->at[p->n] = strdup(path);
    if (p->at[p->n] == NULL)
        return err_set(err, ERR_NOMEM, errno, "%s", path);
    p->n++;
    if (size > p->largest)
        p->largest = size;
    return 0;
}

static bool
is_json(const FTSENT *e)
{
    return e->fts_namelen > 5 && strcmp(e->fts_name + e->fts_namelen - 5, ".json") == 0;
}

static int
take_entry(struct paths *p, const FTSENT *e, struct err *err)
{
    bool named = e->fts_level == FTS_ROOTLEVEL;

    switch (e->fts_info) {
    case FTS_F:
        if (named || is_json(e))
            return add_one(p, e->fts_path, (uint64_t)e->fts_statp->st_size, err);
        return 0;
    case FTS_NS:
    case FTS_DNR:
    case FTS_ERR:
        return err_set(err, ERR_IO, e->fts_errno, "%s", e->fts_path);
    case FTS_DEFAULT:
        return named ? err_set(err, ERR_IO, 0, "%s is neither a file nor a folder", e->fts_path) : 0;
    case FTS_SLNONE:
        return err_set(err, ERR_IO, 0, "%s is a link to nothing", e->fts_path);
    default:
        return 0;
    }
}

int
paths_add(struct paths *p, const char *name, struct err *err)
{
    char *copy = strdup(name);
    char *roots[] = {copy, NULL};
    FTS *fts = copy == NULL ? NULL : fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
    size_t before = p->n;
    FTSENT *e = NULL;
    int rc = 0;

    if (fts == NULL) {
        rc = err_set(err, errno == ENOMEM ? ERR_NOMEM : ERR_IO, errno, "\"%s\"", name);
        free(copy);
        return rc;
    }
    errno = 0;
    while (rc == 0 && (e = fts_read(fts)) != NULL) {
        rc = take_entry(p, e, err);
        errno = 0;
    }
    if (rc == 0 && errno != 0)
        rc = err_set(err, ERR_IO, errno, "reading the folder %s", name);
    fts_close(fts);
    free(copy);
    if (rc == 0 && p->n == before)
        rc = err_set(err, ERR_IO, 0, "%s: there is no file *.json below it", name);
    return rc;
}

void
paths_free(struct paths *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->at[i]);
    free(p->at);
    *p = (struct paths){0};
}
