/* opencti_split.c - splits bundles for a script: cases on stdin, their messages on stdout.
 *
 * A case is two counted texts, options and bundle: the count in decimal, a newline, the bytes.  The answer is a line
 * "ok MESSAGES INCOMPATIBLE TOO_LARGE" and the messages, a line each, or a line "FAULT what is wrong".
 *
 * usage: opencti_split [--max BYTES] [--skip-large] [--applicant ID] */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"
#include "err.h"
#include "formats/format.h"
#include "parts.h"

enum { TEXT_MAX = 1 << 30 };

static const char *const FAULTS[] = {"nomem", "malformed", "too_large", "empty"};

/* A counted text, or NULL at the end. */
static char *
read_text(size_t *ret_len)
{
    char line[32];

    if (fgets(line, sizeof(line), stdin) == NULL)
        return NULL;
    const unsigned long len = strtoul(line, NULL, 10);
    char *text = len > TEXT_MAX ? NULL : malloc(len + 1);

    if (text == NULL || fread(text, 1, len, stdin) != len) {
        fprintf(stderr, "opencti_split: a text is not there\n");
        exit(2);
    }
    *ret_len = len;
    return text;
}

static int
print_messages(const struct parts *p, const struct format_notes *notes)
{
    char *message = malloc(p->largest + 1);

    if (message == NULL)
        return -1;
    printf("ok %" PRIu32 " %" PRIu32 " %" PRIu32 "\n", p->n, notes->incompatible, notes->too_large);
    for (uint32_t i = 0; i < p->n; i++) {
        p->kind->write(p, i, message);
        (void)fwrite(message, 1, p->kind->size(p, i), stdout);
        (void)putchar('\n');
    }
    free(message);
    return 0;
}

static int
split(struct format_ask ask, const char *text, size_t len)
{
    struct chunk chunk = {.at = text, .len = len};
    const struct body body = {.size = len, .have = len, .n = 1, .cap = 1, .chunks = &chunk, .ctype = ""};
    struct format_notes notes;
    enum format_fault fault;
    struct err err;
    struct parts *p;
    int rc = 0;

    ask.body = &body;
    if (opencti_parts(&ask, &p, &notes, &fault, &err) != 0) {
        printf("%s %s\n", FAULTS[fault], err.text);
    } else {
        rc = print_messages(p, &notes);
        parts_free(p);
    }
    return rc != 0 || fflush(stdout) != 0 ? -1 : 0;
}

int
main(int argc, char **argv)
{
    static const struct option OPTIONS[] = {{"max", required_argument, NULL, 'm'},
                                            {"skip-large", no_argument, NULL, 's'},
                                            {"applicant", required_argument, NULL, 'a'},
                                            {NULL, 0, NULL, 0}};
    struct format_ask ask = {.applicant_id = "", .max_message = UINT64_MAX};
    char *options;
    int rc = 0;

    for (int c; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
        switch (c) {
        case 'm': ask.max_message = strtoull(optarg, NULL, 10); break;
        case 's': ask.skip_large = true; break;
        case 'a': ask.applicant_id = optarg; break;
        default: fprintf(stderr, "usage: opencti_split [--max BYTES] [--skip-large] [--applicant ID]\n"); return 2;
        }
    }
    while (rc == 0 && (options = read_text(&ask.options_len)) != NULL) {
        size_t len;
        char *text = read_text(&len);
        ask.options = options;
        rc = text == NULL ? -1 : split(ask, text, len);
        free(text);
        free(options);
    }
    return rc == 0 ? 0 : 1;
}
