/* words.c - what a connector tells the gateway besides its bundles: its state, its log, its health. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "handle.h"
#include "text.h"
#include "wire.h"

/* --- state --- */

/* Put a request on the desk; one operation at a time, so others wait here. */
static int
ask_locked(struct sluice *s, struct desk_request *request, int64_t deadline, const char *what, struct sluice_error *err)
{
    struct desk *d = &s->desk;
    int rc;

    while ((rc = check_phase_locked(s, err)) == 0 && d->state_busy)
        if (!desk_wait_locked(d, deadline))
            return fail_again_locked(s, err, what);
    if (rc != 0)
        return rc;
    d->state_busy = true;
    d->state_step = DESK_STATE_ASKED;
    d->request = *request;
    request->bytes = NULL;
    return 0;
}

static void
give_up_locked(struct desk *d)
{
    if (d->state_step == DESK_STATE_TAKEN)
        d->state_cancel = true;
    free(d->request.bytes);
    d->request.bytes = NULL;
    d->state_step = DESK_STATE_NONE;
}

static int
await_locked(struct sluice *s, int64_t deadline, const char *what, struct sluice_error *err)
{
    struct desk *d = &s->desk;
    int rc = 0;

    while (d->state_step != DESK_STATE_DONE && (rc = check_phase_locked(s, err)) == 0)
        if (!desk_wait_locked(d, deadline)) {
            rc = fail_again_locked(s, err, what);
            break;
        }
    if (rc != 0)
        give_up_locked(d);
    d->state_step = DESK_STATE_NONE;
    d->state_busy = false;
    pthread_cond_broadcast(&d->changed);
    return rc;
}

static int
judge(const struct session_state *result, const char *what, struct sluice_error *err)
{
    switch (result->code) {
    case ERR_NONE:
        return 0;
    case ERR_STALE:
        return fail(err, SLUICE_ESTALE, "%s: version %llu is current now; get it again first", what,
                    (unsigned long long)result->version);
    case ERR_NOMEM:
        return fail(err, SLUICE_ENOMEM, "%s: %s", what, result->text);
    case ERR_DENIED:
        if (result->why == WIRE_R_NO_RUN)
            return fail(err, SLUICE_ENORUN, "%s: %s; the state was not set", what, result->text);
        return fail(err, SLUICE_ENACK, "%s: %s; see sluice_verdict_next, push again, then commit again", what,
                    result->text);
    default:
        return fail(err, SLUICE_EINVAL, "%s: the gateway refused it: %s", what, result->text);
    }
}

/* One operation from end to end.  On 0 *ret is filled, its bytes are the caller's. */
static int
operate(struct sluice *s, struct desk_request *request, int timeout_ms, const char *what, struct session_state *ret,
        struct sluice_error *err)
{
    struct desk *d = &s->desk;
    int64_t deadline = desk_deadline(timeout_ms);
    bool wake = false;
    int rc;

    pthread_mutex_lock(&d->lock);
    rc = ask_locked(s, request, deadline, what, err);
    if (rc == 0) {
        desk_unlock_waking(d);
        pthread_mutex_lock(&d->lock);
        rc = await_locked(s, deadline, what, err);
        wake = true; /* it may have to hear of a cancelled request */
        if (rc == 0) {
            *ret = d->state;
            d->state.bytes = NULL;
        }
    }
    if (wake)
        desk_unlock_waking(d);
    else
        pthread_mutex_unlock(&d->lock);
    free(request->bytes);
    return rc == 0 ? judge(ret, what, err) : rc;
}

int
sluice_state_get(struct sluice *s, struct sluice_state *ret, int timeout_ms, struct sluice_error *err)
{
    struct desk_request request = {.is_set = false};
    struct session_state result = {.code = ERR_NONE};
    int rc = operate(s, &request, timeout_ms, "state get", &result, err);

    if (rc == 0)
        *ret = (struct sluice_state){.bytes = result.bytes, .len = result.len, .version = result.version};
    return rc;
}

int
set_state(struct sluice *s, const char *what, const void *bytes, size_t len, uint64_t version,
          const struct session_commit *commit, uint64_t *ret_version, int timeout_ms, struct sluice_error *err)
{
    struct desk_request request = {.is_set = true, .len = len, .version = version};
    struct session_state result = {.code = ERR_NONE};
    int rc;

    if (len > WIRE_STATE_MAX)
        return fail(err, SLUICE_EINVAL, "%s: %zu bytes; a state has at most %d", what, len, WIRE_STATE_MAX);
    if ((bytes == NULL && len > 0) || version >= WIRE_NUMBER_MAX)
        return fail(err, SLUICE_EINVAL, "%s: %s", what, bytes == NULL ? "bytes is NULL" : "no such version");
    if (commit != NULL)
        request.commit = *commit;
    if (len > 0) {
        request.bytes = malloc(len);
        if (request.bytes == NULL)
            return fail(err, SLUICE_ENOMEM, "%s: no memory for %zu bytes", what, len);
        memcpy(request.bytes, bytes, len);
    }
    rc = operate(s, &request, timeout_ms, what, &result, err);
    if (rc == 0 && ret_version != NULL)
        *ret_version = result.version;
    return rc;
}

int
sluice_state_set(struct sluice *s, const void *bytes, size_t len, uint64_t version, uint64_t *ret_version,
                 int timeout_ms, struct sluice_error *err)
{
    return set_state(s, "state set", bytes, len, version, NULL, ret_version, timeout_ms, err);
}

int
sluice_state_commit(struct sluice *s, const void *bytes, size_t len, uint64_t version, uint64_t *ret_version,
                    int timeout_ms, struct sluice_error *err)
{
    const struct session_commit commit = {.after = true};

    return set_state(s, "state commit", bytes, len, version, &commit, ret_version, timeout_ms, err);
}

/* --- log and health --- */

size_t
cut_text(const char *text)
{
    size_t len = strlen(text);

    if (len <= WIRE_TEXT_MAX)
        return len;
    for (len = WIRE_TEXT_MAX; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
        continue;
    return len;
}

int
sluice_log(struct sluice *s, enum sluice_level level, const char *text, struct sluice_error *err)
{
    struct desk *d = &s->desk;
    struct desk_line *line;
    size_t len;

    if (text == NULL || text[0] == '\0' || !text_is_utf8(text, strlen(text)))
        return fail(err, SLUICE_EINVAL, "log: the text is %s", text == NULL || text[0] == '\0' ? "empty" : "not UTF-8");
    if (level < SLUICE_ERROR || level > SLUICE_DEBUG)
        return fail(err, SLUICE_EINVAL, "log: %d is not a level", (int)level);
    len = cut_text(text);
    line = malloc(sizeof(*line) + len + 1);
    if (line == NULL)
        return fail(err, SLUICE_ENOMEM, "log: no memory for a line");
    line->next = NULL;
    line->level = (enum wire_level)level;
    line->len = len;
    memcpy(line->text, text, len);
    line->text[len] = '\0';
    pthread_mutex_lock(&d->lock);
    if (d->lines_n == SESSION_LOG_MAX) {
        struct desk_line *oldest = d->lines;

        d->lines = oldest->next;
        d->lines_n--;
        free(oldest);
    }
    *d->lines_end = line;
    d->lines_end = &line->next;
    d->lines_n++;
    desk_unlock_waking(d);
    return 0;
}

int
sluice_health(struct sluice *s, enum sluice_status status, const char *text, struct sluice_error *err)
{
    struct desk *d = &s->desk;
    char *copy = NULL;

    if (status < SLUICE_HEALTHY || status > SLUICE_FAILED)
        return fail(err, SLUICE_EINVAL, "health: %d is not a status", (int)status);
    if (text != NULL && text[0] != '\0') {
        if (!text_is_utf8(text, strlen(text)))
            return fail(err, SLUICE_EINVAL, "health: the text is not UTF-8");
        copy = strndup(text, cut_text(text));
        if (copy == NULL)
            return fail(err, SLUICE_ENOMEM, "health: no memory for its text");
    }
    pthread_mutex_lock(&d->lock);
    free(d->health.text);
    d->health = (struct desk_health){.told = true, .status = (enum wire_status)status, .text = copy};
    desk_unlock_waking(d);
    return 0;
}
