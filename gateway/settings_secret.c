/* settings_secret.c - files that hold secrets, and how secrets are forgotten. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "settings_parts.h"

/* Is this a file that may be read?  O_NONBLOCK at open keeps a FIFO from holding us up until here. */
static int
check_file(int fd, size_t cap, bool private, size_t *ret_size, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return err_set(err, ERR_CONFIG, errno, "it cannot be read");
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_CONFIG, 0, "it is not a regular file");
    if (private && (st.st_mode & S_IRWXO) != 0)
        return err_set(err, ERR_CONFIG, 0, "everybody may use it (mode %04o): it holds a secret, so chmod 0640 or less",
                       (unsigned)(st.st_mode & 07777));
    if (st.st_size < 0 || (uintmax_t)st.st_size > cap)
        return err_set(err, ERR_CONFIG, 0, "it is larger than %zu bytes", cap);
    *ret_size = (size_t)st.st_size;
    return 0;
}

/* Read up to size bytes; the file may have shrunk since it was looked at. */
static int
read_all(int fd, char *buf, size_t size, size_t *ret_len, struct err *err)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(fd, buf + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_CONFIG, errno, "it cannot be read");
        if (n == 0)
            break;
        len += (size_t)n;
    }
    buf[len] = '\0';
    *ret_len = len;
    return 0;
}

char *
settings_file_text(const char *path, size_t cap, bool private, size_t *ret_len, struct err *err)
{
    char  *text = NULL;
    size_t size = 0;
    int    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        err_set(err, ERR_CONFIG, errno, "it cannot be opened");
        return NULL;
    }
    if (check_file(fd, cap, private, &size, err) == 0) {
        text = malloc(size + 1);
        if (text == NULL)
            err_set(err, ERR_NOMEM, errno, "settings");
    }
    if (text != NULL && read_all(fd, text, size, ret_len, err) != 0) {
        free(text);
        text = NULL;
    }
    close(fd);
    return text;
}

/* Editors end a file with a newline that is no part of the password. */
static size_t
strip_newline(char *text, size_t len)
{
    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    text[len] = '\0';
    return len;
}

int
settings_password_read(struct settings_draft *d, const char *key, const char *path, char **password, struct err *err)
{
    struct err  why = {0};
    char        shown[SETTINGS_SHOWN_MAX];
    size_t      len = 0;
    char       *text = settings_file_text(path, SETTINGS_PATH_MAX, true, &len, &why);

    if (text == NULL)
        return settings_blame_key(d, key, err, "%s: %s", settings_show(path, shown), why.text);
    size_t stripped = strip_newline(text, len);
    if (stripped == 0 || strlen(text) != stripped) {
        explicit_bzero(text, len);
        free(text);
        return settings_blame_key(d, key, err, "%s: %s: write the password alone on one line",
                                  settings_show(path, shown), stripped == 0 ? "it is empty" : "it has a NUL byte");
    }
    settings_password_free(*password);
    *password = text;
    return 0;
}

void
settings_password_free(char *password)
{
    if (password != NULL)
        explicit_bzero(password, strlen(password));
    free(password);
}
