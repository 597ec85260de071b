/* wanted.c - the queues that telemetry asks for, found by vhost and name. */
#include "wanted.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "telemetry.h"

enum { NAME_MAX_BYTES = 255, AROUND = 19 /* vhost="",queue="" and its NUL */ };

/* FNV-1a; who may choose the names of queues here is the operator. */
static uint64_t
hash_more(uint64_t h, const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)at[i]) * 0x100000001B3U;
    return h;
}

static uint64_t
hash_name(const char *vhost, const char *name)
{
    return hash_more(hash_more(0xCBF29CE484222325U, vhost, strlen(vhost) + 1), name, strlen(name));
}

static uint64_t
hash_labels(const char *at, size_t len)
{
    return hash_more(0xCBF29CE484222325U, at, len);
}

static size_t
place(const struct wanted *w, uint64_t hash)
{
    return (size_t)(hash ^ (hash >> 32)) & (w->slots - 1);
}

/* --- Finding ------------------------------------------------------------------------------------------------------ */

long
wanted_find(const struct wanted *w, const char *vhost, const char *name)
{
    if (w->slots == 0)
        return -1;
    for (size_t i = place(w, hash_name(vhost, name)); w->by_name[i] != 0; i = (i + 1) & (w->slots - 1)) {
        const struct wanted_queue *q = &w->queues[w->by_name[i] - 1];
        if (strcmp(q->name, name) == 0 && strcmp(q->vhost, vhost) == 0)
            return (long)w->by_name[i] - 1;
    }
    return -1;
}

long
wanted_find_labels(const struct wanted *w, const char *labels, size_t len)
{
    if (w->slots == 0)
        return -1;
    for (size_t i = place(w, hash_labels(labels, len)); w->by_labels[i] != 0; i = (i + 1) & (w->slots - 1)) {
        const char *own = w->queues[w->by_labels[i] - 1].labels;
        if (strlen(own) == len && memcmp(own, labels, len) == 0)
            return (long)w->by_labels[i] - 1;
    }
    return -1;
}

size_t
wanted_vhost_end(const struct wanted *w, size_t from)
{
    size_t to = from;

    while (to < w->n && strcmp(w->queues[to].vhost, w->queues[from].vhost) == 0)
        to++;
    return to;
}

/* --- Making ------------------------------------------------------------------------------------------------------- */

static int
by_vhost(const void *a, const void *b)
{
    const struct wanted_queue *x = a, *y = b;
    const int order = strcmp(x->vhost, y->vhost);

    return order != 0 ? order : strcmp(x->name, y->name);
}

/* Returns the bytes that all texts need, or 0 with *err filled. */
static size_t
judge(const struct telemetry_target *targets, size_t n, struct err *err)
{
    size_t bytes = 1;

    if (n > TELEMETRY_QUEUES) {
        err_set(err, ERR_CONFIG, 0, "%zu queues to watch are more than %d", n, TELEMETRY_QUEUES);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        const size_t vhost = strlen(targets[i].vhost), name = strlen(targets[i].name);
        if (vhost == 0 || vhost > NAME_MAX_BYTES || name == 0 || name > NAME_MAX_BYTES) {
            err_set(err, ERR_CONFIG, 0,
                    "a queue to watch and its vhost need names of 1 to %d bytes: '%.60s' in '%.60s'", NAME_MAX_BYTES,
                    targets[i].name, targets[i].vhost);
            return 0;
        }
        bytes += 2 * (vhost + name + 2) + AROUND;
    }
    return bytes;
}

/* Append text and a NUL at *at; returns where it begins. */
static char *
copy(char **at, const char *text)
{
    const size_t len = strlen(text) + 1;
    char *start = *at;

    memcpy(start, text, len);
    *at += len;
    return start;
}

static char *
copy_labels(char **at, const struct wanted_queue *q)
{
    const char *const parts[] = {"vhost=\"", q->vhost, "\",queue=\"", q->name, "\""};
    char *start = *at;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        copy(at, parts[i]);
        --*at; /* the next part goes over the NUL */
    }
    ++*at;
    return start;
}

static void
fill(struct wanted *w, const struct telemetry_target *targets)
{
    char *at = w->text;

    for (size_t i = 0; i < w->n; i++) {
        struct wanted_queue *q = &w->queues[i];
        q->queue = targets[i].queue;
        q->vhost = copy(&at, targets[i].vhost);
        q->name = copy(&at, targets[i].name);
        if (strpbrk(q->vhost, "\"\\\n") == NULL && strpbrk(q->name, "\"\\\n") == NULL)
            q->labels = copy_labels(&at, q);
    }
    if (w->n > 0)
        qsort(w->queues, w->n, sizeof(*w->queues), by_vhost);
}

static void
put(const struct wanted *w, uint32_t *slots, uint64_t hash, size_t index)
{
    size_t i = place(w, hash);

    while (slots[i] != 0)
        i = (i + 1) & (w->slots - 1);
    slots[i] = (uint32_t)index + 1;
}

static int
index_all(struct wanted *w, struct err *err)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct wanted_queue *q = &w->queues[i];
        if (wanted_find(w, q->vhost, q->name) >= 0)
            return err_set(err, ERR_CONFIG, 0, "queue '%.100s' in vhost '%.60s' is to be watched twice", q->name,
                           q->vhost);
        put(w, w->by_name, hash_name(q->vhost, q->name), i);
        if (q->labels != NULL)
            put(w, w->by_labels, hash_labels(q->labels, strlen(q->labels)), i);
    }
    return 0;
}

struct wanted *
wanted_new(const struct telemetry_target *targets, size_t n, struct err *err)
{
    const size_t bytes = judge(targets, n, err);
    struct wanted *w = bytes > 0 ? calloc(1, sizeof(*w)) : NULL;

    if (bytes == 0)
        return NULL;
    if (w != NULL) {
        w->n = n;
        for (w->slots = 16; w->slots < 2 * n; w->slots *= 2)
            ;
        w->queues = calloc(n + 1, sizeof(*w->queues));
        w->by_name = calloc(w->slots, sizeof(*w->by_name));
        w->by_labels = calloc(w->slots, sizeof(*w->by_labels));
        w->text = malloc(bytes);
    }
    if (w == NULL || w->queues == NULL || w->by_name == NULL || w->by_labels == NULL || w->text == NULL) {
        err_set(err, ERR_NOMEM, ENOMEM, "the list of %zu queues to watch", n);
        wanted_free(w);
        return NULL;
    }
    fill(w, targets);
    if (index_all(w, err) == 0)
        return w;
    wanted_free(w);
    return NULL;
}

void
wanted_free(struct wanted *w)
{
    if (w == NULL)
        return;
    free(w->queues);
    free(w->by_name);
    free(w->by_labels);
    free(w->text);
    free(w);
}
