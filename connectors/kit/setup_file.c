/* setup_file.c - the file: `connector = { id = "..."; duration_period = "P2D"; };`, read with libconfig. */
#include <ctype.h>
#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "setup.h"
#include "err.h"

enum { DIGITS_MAX = 9 }; /* in a number: libconfig 1.5 reads larger ones as others, in silence */

static char *
read_whole(const char *path, size_t *ret_len, struct err *err)
{
    FILE *f = fopen(path, "re");
    char *text = f == NULL ? NULL : malloc(SETUP_FILE_MAX + 1);

    if (text == NULL) {
        err_set(err, f == NULL ? ERR_CONFIG : ERR_NOMEM, errno, "--config %.120s", path);
        goto out;
    }
    *ret_len = fread(text, 1, SETUP_FILE_MAX + 1, f);
    if (ferror(f) || *ret_len > SETUP_FILE_MAX || memchr(text, '\0', *ret_len) != NULL) {
        err_set(err, ERR_CONFIG, ferror(f) ? errno : 0, "--config %.120s: %s", path,
                ferror(f)                   ? "it cannot be read"
                : *ret_len > SETUP_FILE_MAX ? "it is larger than 1 MiB; write less"
                                            : "it has NUL bytes; write text");
        free(text);
        text = NULL;
    } else {
        text[*ret_len] = '\0';
    }
out:
    if (f != NULL)
        fclose(f);
    return text;
}

/* --- what libconfig would misread in silence --- */

/* Past a text, a comment, or one character. */
static const char *
past(const char *at)
{
    const char *end = NULL;

    if (*at == '"') {
        for (at++; *at != '\0' && *at != '"'; at++)
            if (*at == '\\' && at[1] != '\0')
                at++;
        return *at == '"' ? at + 1 : at;
    }
    if (*at == '#' || (at[0] == '/' && at[1] == '/'))
        return at + strcspn(at, "\n");
    if (at[0] == '/' && at[1] == '*') {
        end = strstr(at + 2, "*/");
        return end == NULL ? at + strlen(at) : end + 2;
    }
    return at + 1;
}

static const char *
trap(const char *at, bool word_before)
{
    size_t digits = strspn(at, "0123456789");

    if (*at == '@')
        return "files cannot include others; write the keys here";
    if (!word_before && at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
        return "numbers are decimal here";
    if (!word_before && digits > DIGITS_MAX)
        return "the number is too large; write less";
    return NULL;
}

static bool
in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '*';
}

static int
scan(const char *path, const char *text, struct err *err)
{
    unsigned line = 1;

    for (const char *at = text, *next; *at != '\0'; at = next) {
        const char *wrong = trap(at, at > text && in_word(at[-1]));

        if (wrong != NULL)
            return err_set(err, ERR_CONFIG, 0, "%.120s:%u: %s", path, line, wrong);
        next = past(at);
        for (; at < next; at++)
            line += *at == '\n';
    }
    return 0;
}

/* --- values --- */

static bool
print_value(const config_setting_t *s, enum setup_key key, char *buf)
{
    const int type = config_setting_type(s);

    switch (key) {
    case SETUP_TERMINATE:
        if (type == CONFIG_TYPE_BOOL)
            return snprintf(buf, SETUP_TEXT_MAX, "%s", config_setting_get_bool(s) ? "true" : "false") > 0;
        if (type == CONFIG_TYPE_INT)
            return snprintf(buf, SETUP_TEXT_MAX, "%d", config_setting_get_int(s)) > 0;
        break;
    case SETUP_THRESHOLD:
        if (type == CONFIG_TYPE_INT)
            return snprintf(buf, SETUP_TEXT_MAX, "%d", config_setting_get_int(s)) > 0;
        if (type == CONFIG_TYPE_FLOAT)
            return snprintf(buf, SETUP_TEXT_MAX, "%.17g", config_setting_get_float(s)) > 0;
        break;
    case SETUP_PERIOD: /* a number without quotes is seconds, as in OpenCTI's files */
        if (type == CONFIG_TYPE_INT && config_setting_get_int(s) >= 0)
            return snprintf(buf, SETUP_TEXT_MAX, "PT%dS", config_setting_get_int(s)) > 0;
        break;
    default:
        break;
    }
    if (type != CONFIG_TYPE_STRING)
        return false;
    return snprintf(buf, SETUP_TEXT_MAX, "%s", config_setting_get_string(s)) < SETUP_TEXT_MAX;
}

static int
take_setting(struct setup *c, const char *path, const config_setting_t *s, struct err *err)
{
    static const char *const kinds[SETUP_KEYS] = {
        [SETUP_ID] = "a text in quotes",
        [SETUP_ENDPOINT] = "a text in quotes",
        [SETUP_PERIOD] = "a text such as \"P2D\", or whole seconds",
        [SETUP_THRESHOLD] = "a number of MB",
        [SETUP_TERMINATE] = "true or false",
        [SETUP_LOG_LEVEL] = "\"error\", \"warn\", \"info\" or \"debug\"",
    };
    const char *name = config_setting_name(s);

    for (enum setup_key key = SETUP_ID; key < SETUP_KEYS; key++) {
        if (strcmp(name, setup_name(key)) != 0)
            continue;
        if (print_value(s, key, c->file[key]))
            return 0;
        return err_set(err, ERR_CONFIG, 0, "%.120s:%u: %s: write %s", path, config_setting_source_line(s), name,
                       kinds[key]);
    }
    return err_set(err, ERR_CONFIG, 0,
                   "%.100s:%u: connector has no \"%.30s\"; write id, endpoint, duration_period, queue_threshold, "
                   "run_and_terminate or log_level",
                   path, config_setting_source_line(s), name);
}

static int
take_group(struct setup *c, const char *path, const config_t *file, struct err *err)
{
    const config_setting_t *group = config_lookup(file, "connector");

    if (group == NULL || config_setting_type(group) != CONFIG_TYPE_GROUP)
        return err_set(err, ERR_CONFIG, 0,
                       "%.120s: there is no group \"connector\"; write connector = { id = \"...\"; };", path);
    for (int i = 0; i < config_setting_length(group); i++)
        if (take_setting(c, path, config_setting_get_elem(group, (unsigned)i), err) != 0)
            return -1;
    return 0;
}

int
setup_read_file(struct setup *c, const char *path, struct err *err)
{
    size_t len;
    char *text = read_whole(path, &len, err);
    config_t file;
    int rc = -1;

    if (text == NULL)
        return -1;
    config_init(&file);
    if (scan(path, text, err) == 0) {
        if (config_read_string(&file, text) == CONFIG_TRUE)
            rc = take_group(c, path, &file, err);
        else
            err_set(err, ERR_CONFIG, 0, "%.120s:%d: %s", path, config_error_line(&file), config_error_text(&file));
    }
    config_destroy(&file);
    free(text);
    return rc;
}
