/* vectors.c - reads tests/vectors/index.tsv and what it names. */
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER "tests/vectors/"

unsigned char *
vectors_file(const char *path, size_t *ret_len)
{
    enum { FILE_MAX = 1024 * 1024 };
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = malloc(FILE_MAX + 1);

    if (f == NULL)
        fail_msg("cannot read %s: run this program from the top of the checkout", path);
    assert_non_null(bytes);
    *ret_len = fread(bytes, 1, FILE_MAX, f);
    assert_true(*ret_len < FILE_MAX && ferror(f) == 0);
    fclose(f);
    bytes[*ret_len] = '\0';
    return bytes;
}

/* The next column of a row; "-" stands for nothing. */
static void
column(char **row, char *to, size_t cap, const char *prefix)
{
    const char *from = strsep(row, "\t");

    assert_non_null(from);
    const int n = strcmp(from, "-") == 0 ? snprintf(to, cap, "%s", "") : snprintf(to, cap, "%s%s", prefix, from);
    assert_true(n >= 0 && (size_t)n < cap);
}

static void
read_row(char *row, struct vector *v)
{
    char side[16];

    column(&row, v->path, sizeof(v->path), FOLDER);
    column(&row, side, sizeof(side), "");
    column(&row, v->expected, sizeof(v->expected), "");
    column(&row, v->field, sizeof(v->field), "");
    column(&row, v->body, sizeof(v->body), FOLDER);
    assert_non_null(row); /* what it says, for people and other languages */
    assert_true(strcmp(side, "connector") == 0 || strcmp(side, "gateway") == 0);
    v->side = strcmp(side, "connector") == 0 ? WIRE_FROM_CONNECTOR : WIRE_FROM_GATEWAY;

    /* In a block of its own size, so that a sanitizer sees a read of one byte too many. */
    unsigned char *file = vectors_file(v->path, &v->len);
    v->frame = malloc(v->len == 0 ? 1 : v->len);
    assert_non_null(v->frame);
    memcpy(v->frame, file, v->len);
    free(file);
}

struct vectors *
vectors_read(void)
{
    struct vectors *vs = calloc(1, sizeof(*vs));
    size_t len;
    char *index = (char *)vectors_file(FOLDER "index.tsv", &len);
    char *rest = index;
    char *row;

    assert_non_null(vs);
    while ((row = strsep(&rest, "\n")) != NULL && row[0] != '\0') {
        assert_true(vs->n < VECTORS_MAX);
        read_row(row, &vs->list[vs->n++]);
    }
    assert_true(vs->n > 0);
    free(index);
    return vs;
}

void
vectors_free(struct vectors *vs)
{
    for (size_t i = 0; i < vs->n; i++)
        free(vs->list[i].frame);
    free(vs);
}

bool
vector_is_in(const struct vector *v, const char *folder)
{
    return strncmp(v->path + strlen(FOLDER), folder, strlen(folder)) == 0 &&
           v->path[strlen(FOLDER) + strlen(folder)] == '/';
}
