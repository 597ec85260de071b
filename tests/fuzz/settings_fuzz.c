/* settings_fuzz.c - any bytes as a configuration: no crash, an error in words, and what is taken survives printing.
 *
 * Up to the first NUL the input is the file; what follows are variables, each ended by a NUL. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "err.h"
#include "settings.h"

enum { VARIABLES_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libconfig 1.5 forgets a text that a syntax error interrupts.  The name is the sanitizer's. */
const char *__lsan_default_suppressions(void); // NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

const char *
__lsan_default_suppressions(void) // NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
{
    return "leak:libconfig.so";
}

/* Load text through a file in memory, so that no disk is used. */
static struct settings *
load(const char *text, size_t len, char *const *env, struct err *err)
{
    char path[32];
    int  fd = memfd_create("sluice.cfg", MFD_CLOEXEC);

    if (fd < 0 || write(fd, text, len) != (ssize_t)len)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct settings *s = settings_load(path, env, err);
    close(fd);
    return s;
}

static char *
print(const struct settings *s, size_t *ret_len)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, ret_len);

    if (to == NULL)
        abort();
    settings_print(s, to);
    fclose(to);
    return text;
}

/* The password is not printed, so what has one comes back with the same variables only. */
static void
check_round_trip(const struct settings *s, char *const *env)
{
    struct err err = {0};
    size_t len, len_again;
    char  *text = print(s, &len);
    struct settings *again = load(text, len, env, &err);

    if (again == NULL) {
        fprintf(stderr, "%s\n%s", err.text, text);
        abort();
    }
    char *text_again = print(again, &len_again);
    if (len != len_again || memcmp(text, text_again, len) != 0)
        abort();
    free(text);
    free(text_again);
    settings_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char  *input = malloc(size + 1), *env[VARIABLES_MAX + 1] = {0};
    struct err err = {0};
    size_t len;

    if (input == NULL)
        abort();
    memcpy(input, data, size);
    input[size] = '\0';
    len = strlen(input);
    size_t at = len + 1;
    for (size_t i = 0; i < VARIABLES_MAX && at < size; at += strlen(input + at) + 1)
        env[i++] = input + at;
    struct settings *s = load(input, len, env, &err);
    if (s != NULL)
        check_round_trip(s, env);
    else if (err.code == ERR_NONE || err.text[0] == '\0')
        abort();
    settings_free(s);
    free(input);
    return 0;
}
