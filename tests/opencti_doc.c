#include "opencti_doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char path[] = "docs/opencti.md", code[] = "`", column[] = " | ", refused[] = "refused: `";

/* The whole document, to be freed; NULL: it is not there. */
static char *
document(void)
{
    const char *top = getenv("SLUICE_SOURCE");
    char whole[600];
    char *text = NULL;
    size_t cap = 0;

    snprintf(whole, sizeof(whole), "%s%s%s", top == NULL ? "" : top, top == NULL ? "" : "/", path);
    FILE *f = fopen(whole, "re");

    if (f == NULL)
        return NULL;
    if (getdelim(&text, &cap, '\0', f) < 0) {
        free(text);
        text = NULL;
    }
    fclose(f);
    return text;
}

static void
copy(char *to, size_t cap, const char *from, const char *end)
{
    snprintf(to, cap, "%.*s", (int)(end - from), from);
}

/* Of "| `"a"` `"b"` | here | there |": a row for a and one for b. */
static size_t
take_line(const char *line, const char *end, struct opencti_row *rows, size_t room)
{
    const char *here = strstr(line, column), *at = line;
    const char *there = here == NULL ? NULL : strstr(here + 1, column);
    size_t n = 0;

    if (there == NULL || there > end)
        return 0;
    here += strlen(column);
    while (n < room && (at = strstr(at, code)) != NULL && at < here) {
        const char *last = strstr(++at, code);
        struct opencti_row *r = &rows[n++];
        const bool quoted = *at == '"' && last[-1] == '"' && last - at >= 2;
        const bool no = strncmp(here, refused, strlen(refused)) == 0;

        *r = (struct opencti_row){.words = ""};
        copy(r->given, sizeof(r->given), at + quoted, last - quoted);
        copy(r->here, sizeof(r->here), here, no ? here + strlen("refused") : there);
        if (no)
            copy(r->words, sizeof(r->words), here + strlen(refused), there - 1);
        at = last + 1;
    }
    return n;
}

size_t
opencti_table(const char *heading, struct opencti_row rows[OPENCTI_ROWS_MAX])
{
    char *text = document();
    const char *line = text == NULL ? NULL : strstr(text, heading);
    size_t n = 0;

    for (line = line == NULL ? NULL : strchr(line, '\n'); line != NULL; line = strchr(line + 1, '\n')) {
        const char *end = line + 1 + strcspn(line + 1, "\n");

        if (strncmp(line + 1, "## ", 3) == 0)
            break;
        if (strncmp(line + 1, "| `", 3) == 0)
            n += take_line(line + 1, end, rows + n, OPENCTI_ROWS_MAX - n);
    }
    free(text);
    return n;
}

bool
opencti_quotes(const char *words)
{
    char quoted[700];
    char *text = document();
    bool found;

    snprintf(quoted, sizeof(quoted), "`%s`", words);
    found = text != NULL && strstr(text, quoted) != NULL;
    free(text);
    return found;
}

static bool
is_name(const char *at, size_t len)
{
    int under = 0;

    for (size_t i = 0; i < len; i++)
        under += at[i] == '_';
    return under >= 3 && len < 160 && strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

size_t
opencti_names(char names[OPENCTI_NAMES_MAX][160])
{
    char *text = document();
    size_t n = 0;

    for (const char *at = text; at != NULL && (at = strstr(at, code)) != NULL && n < OPENCTI_NAMES_MAX;) {
        const size_t len = strcspn(++at, code);

        if (is_name(at, len))
            copy(names[n++], 160, at, at + len);
        at += len + (at[len] != '\0');
    }
    free(text);
    return n;
}
