/* bodies.c - the bodies in memory, by the core's slots. */
#include "bodies.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "parts.h"

struct bodies {
    struct body **at;
    uint32_t      n;
};

struct bodies *
bodies_new(struct err *err)
{
    struct bodies *b = calloc(1, sizeof(*b));

    if (b == NULL)
        err_set(err, ERR_NOMEM, 0, "bodies");
    return b;
}

static bool
reach(struct bodies *b, uint32_t slot)
{
    uint32_t n = b->n == 0 ? 256 : b->n;
    struct body **fresh;

    if (slot < b->n)
        return true;
    while (n <= slot)
        n *= 2;
    fresh = realloc(b->at, n * sizeof(struct body *));
    if (fresh == NULL)
        return false;
    memset(fresh + b->n, 0, (n - b->n) * sizeof(struct body *));
    b->at = fresh;
    b->n = n;
    return true;
}

/* A body with `extra` bytes behind its content type and its options. */
static struct body *
open_with(struct bodies *b, uint32_t slot, const struct wire_msg *m, size_t extra)
{
    static const char plain[] = "application/octet-stream";
    struct wire_text ctype = m->ctype;
    struct body *body;

    if (ctype.at == NULL)
        ctype = (struct wire_text){plain, sizeof(plain) - 1};
    body = reach(b, slot) ? malloc(sizeof(*body) + ctype.len + 1 + m->options.len + 1 + extra) : NULL;
    if (body == NULL)
        return NULL;
    *body = (struct body){.size = m->size, .cap = 1, .options_len = m->options.len};
    body->chunks = &body->one;
    memcpy(body->tail, ctype.at, ctype.len);
    body->tail[ctype.len] = '\0';
    body->ctype = body->tail;
    if (m->options.len > 0)
        memcpy(body->tail + ctype.len + 1, m->options.at, m->options.len);
    body->tail[ctype.len + 1 + m->options.len] = '\0';
    body->options = body->tail + ctype.len + 1;
    b->at[slot] = body;
    return body;
}

struct body *
bodies_open(struct bodies *b, uint32_t slot, const struct wire_msg *header)
{
    return open_with(b, slot, header, 0);
}

struct body *
bodies_open_whole(struct bodies *b, uint32_t slot, const struct wire_msg *header, const void *bytes)
{
    struct body *body = open_with(b, slot, header, header->size);
    char *to;

    if (body == NULL)
        return NULL;
    to = (char *)(uintptr_t)body->options + body->options_len + 1;
    memcpy(to, bytes, header->size);
    body->one.at = to;
    body->one.len = header->size;
    body->one.release = NULL;
    bodies_added(body);
    return body;
}

static void
release_owned(struct chunk *c)
{
    free((void *)(uintptr_t)c->at);
}

struct body *
bodies_open_owned(struct bodies *b, uint32_t slot, const struct wire_msg *header, void *bytes)
{
    struct body *body = open_with(b, slot, header, 0);

    if (body == NULL)
        return NULL;
    body->one = (struct chunk){.at = bytes, .len = header->size, .release = release_owned};
    bodies_added(body);
    return body;
}

struct body *
bodies_at(const struct bodies *b, uint32_t slot)
{
    return slot < b->n ? b->at[slot] : NULL;
}

/* As many chunks as there are if all are as long as they may be; shorter ones make the list grow. */
static bool
grow(struct body *body)
{
    const uint32_t cap = body->cap > 1 ? body->cap * 2 : (uint32_t)(body->size / WIRE_CHUNK_MAX) + 2;
    struct chunk *fresh;

    if (body->chunks == &body->one) {
        fresh = malloc(cap * sizeof(*fresh));
        if (fresh != NULL)
            fresh[0] = body->one;
    } else {
        fresh = realloc(body->chunks, cap * sizeof(*fresh));
    }
    if (fresh == NULL)
        return false;
    body->chunks = fresh;
    body->cap = cap;
    return true;
}

struct chunk *
bodies_next(struct body *body)
{
    if (body->n == body->cap && !grow(body))
        return NULL;
    return &body->chunks[body->n];
}

void
bodies_added(struct body *body)
{
    body->have += body->chunks[body->n].len;
    body->n++;
}

/* A piece of memory that small chunks are copied into: what its chunk's frame holds. */
struct piece {
    char  *bytes;
    size_t cap;
};

static void
release_piece(struct chunk *c)
{
    struct piece p;

    memcpy(&p, c->frame, sizeof(p));
    free(p.bytes);
}

static bool
piece_open(struct body *body)
{
    const uint64_t left = body->size - body->have;
    struct piece p = {.cap = left < WIRE_CHUNK_MAX ? left : WIRE_CHUNK_MAX};
    struct chunk *c = bodies_next(body);

    p.bytes = c == NULL ? NULL : malloc(p.cap);
    if (p.bytes == NULL)
        return false;
    *c = (struct chunk){.at = p.bytes, .len = 0, .release = release_piece};
    memcpy(c->frame, &p, sizeof(p));
    body->n++;
    return true;
}

bool
bodies_copy(struct body *body, const void *bytes, size_t len)
{
    while (len > 0) {
        struct chunk *c = body->n == 0 ? NULL : &body->chunks[body->n - 1];
        struct piece p = {NULL, 0};
        size_t n;

        if (c != NULL && c->release == release_piece)
            memcpy(&p, c->frame, sizeof(p));
        if (c == NULL || p.bytes == NULL || c->len == p.cap) {
            if (!piece_open(body))
                return false;
            continue;
        }
        n = p.cap - c->len < len ? p.cap - c->len : len;
        memcpy(p.bytes + c->len, bytes, n);
        c->len += n;
        body->have += n;
        bytes = (const char *)bytes + n;
        len -= n;
    }
    return true;
}

static void
give_back(struct body *body)
{
    for (uint32_t i = 0; i < body->n; i++)
        if (body->chunks[i].release != NULL)
            body->chunks[i].release(&body->chunks[i]);
    if (body->chunks != &body->one)
        free(body->chunks);
    body->chunks = &body->one;
    body->n = 0;
}

void
bodies_formed(struct body *body, struct parts *parts)
{
    give_back(body);
    body->parts = parts;
}

void
bodies_close(struct bodies *b, uint32_t slot)
{
    struct body *body = bodies_at(b, slot);

    if (body == NULL)
        return;
    give_back(body);
    parts_free(body->parts);
    free(body);
    b->at[slot] = NULL;
}

void
bodies_free(struct bodies *b)
{
    if (b == NULL)
        return;
    for (uint32_t i = 0; i < b->n; i++)
        bodies_close(b, i);
    free(b->at);
    free(b);
}
