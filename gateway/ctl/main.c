/* main.c - sluice-replay: is every decision of a journal what its figures say? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "replay.h"

enum { TOLD_MAX = 10,
       NO_INPUT = 66,
       USAGE = 2 };

struct tally {
    unsigned long lines, same, other, bad;
};

static void
take_line(const char *path, const char *text, size_t len, struct tally *t)
{
    struct err err = {.text = ""};
    const enum replay r = replay_line(text, len, &err);

    t->lines++;
    t->same += r == REPLAY_SAME;
    t->other += r == REPLAY_OTHER;
    t->bad += r == REPLAY_NO_LINE;
    if ((r == REPLAY_OTHER || r == REPLAY_NO_LINE) && t->other + t->bad <= TOLD_MAX)
        fprintf(stderr, "%s:%lu: %s\n", path, t->lines, err.text);
}

/* A line that a crash cut off is ended by the next one; both halves are told as what they are. */
static int
take_file(const char *path, struct tally *t)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    if (in == NULL) {
        fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, path, strerror(errno));
        return NO_INPUT;
    }
    t->lines = 0;
    while ((len = getline(&line, &cap, in)) > 0) {
        if (line[len - 1] == '\n')
            len--;
        take_line(path, line, (size_t)len, t);
    }
    free(line);
    if (in != stdin)
        fclose(in);
    return 0;
}

int
main(int argc, char **argv)
{
    struct tally t = {0, 0, 0, 0};
    int rc = 0;

    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        printf("usage: %s JOURNAL...\n"
               "Decide again what a journal (journal.log in the gateway's state.dir; - is standard input) says was "
               "decided,\n"
               "from the figures that it says it was decided from.\n"
               "Exit status: 0 all the same; 1 some are not; 2 usage; 66 a file cannot be read.\n",
               program_invocation_short_name);
        return argc < 2 ? USAGE : 0;
    }
    for (int i = 1; i < argc && rc == 0; i++)
        rc = take_file(argv[i], &t);
    printf("same=%lu other=%lu unreadable=%lu\n", t.same, t.other, t.bad);
    return rc != 0 ? rc : t.other > 0 || t.bad > 0 ? 1
                                                   : 0;
}
