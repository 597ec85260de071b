/* opencti_doc.h - the tables of docs/opencti.md as cases for tests, so that the document cannot say what is not so.
 *
 * Programs that use it run from the top of the checkout, as `make check` does, or where that is in $SLUICE_SOURCE. */
#ifndef OPENCTI_DOC_H
#define OPENCTI_DOC_H

#include <stdbool.h>
#include <stddef.h>

enum { OPENCTI_ROWS_MAX = 160, OPENCTI_NAMES_MAX = 160 };

/* What is written, and what becomes of it. */
struct opencti_row {
    char given[64];
    char here[40];   /* "5 s", "one run", "taken", ...; "refused" with words */
    char words[320]; /* the exact words of the refusal; "" if it is none */
};

/* The rows of the table below this heading ("## Periods"); each text in its first column makes one.  Returns how many,
 * 0 where the document, the heading or the table is not there. */
size_t opencti_table(const char *heading, struct opencti_row rows[OPENCTI_ROWS_MAX]);

/* Does the document quote these words, as `words`? */
bool opencti_quotes(const char *words);

/* The names of tests in the last columns of its tables: all that have three underscores or more.  Returns how many. */
size_t opencti_names(char names[OPENCTI_NAMES_MAX][160]);

#endif
