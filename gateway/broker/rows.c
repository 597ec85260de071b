/* rows.c - JSON as it arrives, cut into rows. */
#include "rows.h"

#include <string.h>

#include "err.h"

enum state {
    START,   /* the outermost bracket is to come */
    AROUND,  /* in the object around a page's items */
    FIRST,   /* after '[': a row, or the end of the list */
    NEXT,    /* after ',': a row */
    AFTER,   /* after a row: ',' or the end of the list */
    IN_ROW,
    DONE,
    BROKEN
};

static bool
blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void
rows_begin(struct rows *r, enum rows_shape shape, rows_fn *row, rows_fn *rest, void *ctx)
{
    r->row = row;
    r->rest = rest;
    r->ctx = ctx;
    r->shape = shape;
    r->state = START;
    r->depth = 0;
    r->string = r->escape = r->left_out = false;
    r->len = r->rest_len = 0;
}

static void
open_bracket(struct rows *r, bool square)
{
    const uint32_t bit = r->depth < 32 ? 1U << r->depth : 0; /* deeper than ROWS_DEPTH nothing is kept */

    r->square = square ? r->square | bit : r->square & ~bit;
    r->depth++;
}

/* 1: it was the last that was open; -1: it is not the one that was open. */
static int
close_bracket(struct rows *r, bool square)
{
    r->depth--;
    if (r->depth < 32 && ((r->square >> r->depth) & 1) != square)
        return -1;
    return r->depth == 0;
}

/* Where in strings and brackets we are, after c.  1: it closed the last bracket; -1: it cannot stand here. */
static int
track(struct rows *r, char c)
{
    if (r->string) {
        if (r->escape)
            r->escape = false;
        else if (c == '\\')
            r->escape = true;
        else if (c == '"')
            r->string = false;
        return 0;
    }
    if (c == '"')
        r->string = true;
    if (c == '{' || c == '[')
        open_bracket(r, c == '[');
    return c == '}' || c == ']' ? close_bracket(r, c == ']') : 0;
}

static void
begin_row(struct rows *r)
{
    r->state = IN_ROW;
    r->depth = 1;
    r->square = 0;
    r->left_out = false;
    r->at[0] = '{';
    r->len = 1;
}

/* --- In a row ----------------------------------------------------------------------------------------------------- */

static int
end_row(struct rows *r)
{
    r->state = r->shape == ROWS_ONE ? DONE : AFTER;
    return r->left_out ? r->row(r->ctx, NULL, 0) : r->row(r->ctx, r->at, r->len);
}

static int
in_row(struct rows *r, char c)
{
    if (r->len < ROWS_MAX)
        r->at[r->len++] = c;
    else
        r->left_out = true;
    const int end = track(r, c);
    r->left_out = r->left_out || r->depth > ROWS_DEPTH;
    return end > 0 ? end_row(r) : end;
}

/* --- Around the rows of a page ------------------------------------------------------------------------------------ */

static int
keep(struct rows *r, char c)
{
    if (r->rest_len == ROWS_REST)
        return -1;
    r->rest_at[r->rest_len++] = c;
    return 0;
}

/* Does what is around end in "items": ? */
static bool
at_items(const struct rows *r)
{
    static const char key[] = "\"items\"";
    size_t n = r->rest_len;

    while (n > 0 && (blank(r->rest_at[n - 1]) || r->rest_at[n - 1] == ':'))
        n--;
    return n >= sizeof(key) - 1 && memcmp(r->rest_at + n - (sizeof(key) - 1), key, sizeof(key) - 1) == 0;
}

static int
around(struct rows *r, char c)
{
    const bool rows = c == '[' && !r->string && r->depth == 1 && at_items(r);

    if (keep(r, c) != 0)
        return -1;
    if (rows) {
        r->state = FIRST;
        return 0;
    }
    const int end = track(r, c);
    if (end > 0) {
        r->state = DONE;
        return r->rest(r->ctx, r->rest_at, r->rest_len);
    }
    return r->depth > ROWS_DEPTH ? -1 : end;
}

/* --- Between rows ------------------------------------------------------------------------------------------------- */

static int
end_list(struct rows *r)
{
    if (r->shape == ROWS_LIST) {
        r->state = DONE;
        return 0;
    }
    r->state = AROUND;
    r->depth = 1;
    r->square = 0;
    return keep(r, ']');
}

static int
between(struct rows *r, char c)
{
    if (blank(c))
        return 0;
    if (c == '{' && r->state != AFTER)
        begin_row(r);
    else if (c == ',' && r->state == AFTER)
        r->state = NEXT;
    else if (c == ']' && r->state != NEXT)
        return end_list(r);
    else
        return -1;
    return 0;
}

static int
start(struct rows *r, char c)
{
    if (blank(c))
        return 0;
    if (c != (r->shape == ROWS_LIST ? '[' : '{'))
        return -1;
    if (r->shape == ROWS_LIST)
        r->state = FIRST;
    else if (r->shape == ROWS_ONE)
        begin_row(r);
    else {
        r->state = AROUND;
        r->depth = 1;
        r->square = 0;
        return keep(r, c);
    }
    return 0;
}

static int
step(struct rows *r, char c)
{
    switch ((enum state)r->state) {
    case START: return start(r, c);
    case AROUND: return around(r, c);
    case FIRST:
    case NEXT:
    case AFTER: return between(r, c);
    case IN_ROW: return in_row(r, c);
    case DONE: return blank(c) ? 0 : -1;
    case BROKEN: break;
    }
    return -1;
}

int
rows_feed(struct rows *r, const char *data, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (step(r, data[i]) != 0) {
            r->state = BROKEN;
            return err_set(err, ERR_PROTO, 0, "the answer is not the JSON that was asked for");
        }
    return 0;
}

int
rows_end(const struct rows *r, struct err *err)
{
    return r->state == DONE ? 0 : err_set(err, ERR_PROTO, 0, "the answer ends before its JSON does");
}
