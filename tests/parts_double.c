/* parts_double.c - a bundle of made-up messages, of which none is in memory. */
#include "parts_double.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct parts_double {
    struct parts     parts;
    uint64_t         size;
    uint32_t         odd; /* the one of another size; UINT32_MAX: none */
    uint64_t         odd_size;
    _Atomic uint64_t written;
    _Atomic uint32_t gate; /* the one before which is waited; UINT32_MAX: none */
    atomic_bool      waits;
};

static uint64_t
size_of(const struct parts *p, uint32_t i)
{
    const struct parts_double *d = (const struct parts_double *)p;

    return i == d->odd ? d->odd_size : d->size;
}

/* Eight bytes at a time, each of another value: it must not be what a measured publisher waits for. */
static void
fill(uint32_t i, unsigned char *to, uint64_t size)
{
    uint64_t word = ((uint64_t)i + 1) * 0x9E3779B97F4A7C15U;

    for (; size > 0; word += 0xD1B54A32D192ED03U) {
        const size_t len = size < sizeof(word) ? (size_t)size : sizeof(word);
        memcpy(to, &word, len);
        to += len;
        size -= len;
    }
}

static void
wait_at_gate(struct parts_double *d, uint32_t i)
{
    const struct timespec ms = {.tv_nsec = 1000000};

    while (atomic_load(&d->gate) == i) {
        atomic_store(&d->waits, true);
        nanosleep(&ms, NULL);
    }
    atomic_store_explicit(&d->waits, false, memory_order_relaxed);
}

static void
write_one(const struct parts *p, uint32_t i, void *to)
{
    struct parts_double *d = (struct parts_double *)(uintptr_t)p;

    wait_at_gate(d, i);
    atomic_fetch_add_explicit(&d->written, 1, memory_order_relaxed);
    fill(i, to, size_of(p, i));
}

static void
free_double(struct parts *p)
{
    free(p->went_bits);
    free(p);
}

static void
count_bytes(struct parts *p)
{
    p->bytes = p->largest = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        const uint64_t size = size_of(p, i);
        p->bytes += size;
        p->largest = size > p->largest ? size : p->largest;
    }
}

struct parts *
parts_double_new(uint32_t n, uint64_t size)
{
    static const struct parts_kind kind = {.size = size_of, .write = write_one, .free = free_double};
    struct parts_double *d = calloc(1, sizeof(*d));

    if (d == NULL)
        abort();
    d->parts = (struct parts){.kind = &kind, .ctype = "text/plain", .encoding = "", .n = n};
    d->parts.went_bits = calloc(n / 64 + 1, sizeof(*d->parts.went_bits));
    if (d->parts.went_bits == NULL)
        abort();
    d->size = size;
    d->odd = UINT32_MAX;
    d->gate = UINT32_MAX;
    count_bytes(&d->parts);
    return &d->parts;
}

void
parts_double_odd(struct parts *p, uint32_t i, uint64_t size)
{
    struct parts_double *d = (struct parts_double *)p;

    d->odd = i;
    d->odd_size = size;
    count_bytes(p);
}

void
parts_double_gate(struct parts *p, uint32_t i)
{
    atomic_store(&((struct parts_double *)p)->gate, i);
}

bool
parts_double_waits(const struct parts *p)
{
    return atomic_load(&((struct parts_double *)(uintptr_t)p)->waits);
}

void
parts_double_open(struct parts *p)
{
    parts_double_gate(p, UINT32_MAX);
}

uint64_t
parts_double_written(const struct parts *p)
{
    return atomic_load(&((struct parts_double *)(uintptr_t)p)->written);
}

bool
parts_double_is(const struct parts *p, uint32_t i, const void *bytes, size_t len)
{
    unsigned char *want = malloc(len + 1);
    bool same = len == size_of(p, i);

    if (want == NULL)
        abort();
    fill(i, want, len);
    same = same && memcmp(bytes, want, len) == 0;
    free(want);
    return same;
}
