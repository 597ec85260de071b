/* kev_fuzz.c - any bytes as a feed and as a kept state: no crash, and whatever is taken can be sent and kept again. */
#include <stdint.h>
#include <stdlib.h>

#include "cisa-kev/cursor.h"
#include "cisa-kev/feed.h"
#include "cisa-kev/stix.h"
#include "err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
as_state(const uint8_t *data, size_t size)
{
    struct kev_cursor c, again;
    char *text;
    size_t len = 0;

    if (kev_cursor_parse(data, size, &c, NULL) != 0)
        return;
    text = kev_cursor_print(&c);
    if (text == NULL)
        abort();
    while (text[len] != '\0')
        len++;
    if (kev_cursor_parse(text, len, &again, NULL) != 0)
        abort();
    free(text);
    kev_cursor_free(&again);
    kev_cursor_free(&c);
}

static void
as_feed(const uint8_t *data, size_t size)
{
    struct kev_feed *feed = kev_feed_parse((const char *)data, size, NULL);

    if (feed == NULL)
        return;
    for (size_t i = 0; i < kev_feed_count(feed); i++) {
        const struct kev_entry *e = kev_feed_entry(feed, i);
        void *body;
        size_t len;

        if (kev_stix_bundle(&e, 1, &body, &len, NULL) != 0)
            abort();
        free(body);
    }
    kev_feed_free(feed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_state(data, size);
    as_feed(data, size);
    return 0;
}
