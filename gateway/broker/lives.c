/* lives.c - has a node of the broker begun anew since it was last heard of? */
#include "lives.h"

static uint64_t
hash(const char *text)
{
    uint64_t h = 0xCBF29CE484222325U;

    if (text[0] == '\0')
        return 0;
    for (; *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001B3U;
    return h != 0 ? h : 1;
}

static struct life *
find(struct lives *l, uint64_t name)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->all[i].name == name)
            return &l->all[i];
    return NULL;
}

bool
lives_seen(struct lives *l, const char *name, const char *pid, int64_t uptime_us, int64_t asked_us)
{
    const struct life now = {
        .name = hash(name), .pid = hash(pid), .uptime_us = uptime_us, .began_us = asked_us - uptime_us};
    struct life *before = find(l, now.name);

    if (before == NULL) {
        if (l->n < LIVES_MAX)
            l->all[l->n++] = now;
        return false;
    }
    const bool other = now.pid != 0 && before->pid != 0 && now.pid != before->pid;
    const bool anew = other || uptime_us < before->uptime_us || now.began_us > before->began_us + LIVES_SLACK_US;
    const int64_t began = before->began_us;
    *before = now;
    if (!anew && began < now.began_us)
        before->began_us = began;
    return anew;
}
