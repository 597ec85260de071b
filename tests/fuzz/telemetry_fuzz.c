/* telemetry_fuzz.c - any bytes as an answer of RabbitMQ, in pieces of any size: no crash, and nothing is known that is
 * not written there.  The first byte chooses the size of the pieces, the second how they are read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/figures.h"
#include "broker/http.h"
#include "broker/prom.h"
#include "broker/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
on_row(void *ctx, const char *at, size_t len)
{
    struct figures_queue q;
    struct figures_consumer c;
    struct figures_node n;
    struct figures_page p;
    struct figures_overview o;
    bool memory, disk;
    char url[1024] = "";

    (void)ctx;
    if (at == NULL)
        return 0;
    if (len == 0 || len > ROWS_MAX || at[0] != '{' || at[len - 1] != '}')
        abort();
    if (figures_queue(at, len, &q, NULL) == 0) {
        if (q.name[0] == '\0' || q.vhost[0] == '\0' || q.q.gone || q.q.bytes > INT64_MAX)
            abort();
        if ((q.q.known & TELEMETRY_BYTES) == 0 && q.q.bytes != 0)
            abort();
        if (http_quote(url, sizeof(url), q.name) != 0 || strpbrk(url, "/?#\" \r\n\\") != NULL)
            abort();
    }
    if (figures_node(at, len, &n, NULL) == 0 && (n.uptime_us < 0 || n.name[0] == '\0'))
        abort();
    figures_consumer(at, len, &c, NULL);
    figures_page(at, len, &p, NULL);
    figures_overview(at, len, &o, NULL);
    figures_alarms(at, len, &memory, &disk, NULL);
    figures_healthy(at, len, NULL);
    figures_not_found(at, len);
    return 0;
}

static void
on_sample(void *ctx, const struct prom_sample *s)
{
    uint64_t n;
    int64_t us;

    (void)ctx;
    if (s->name_len == 0 || s->value_len == 0 || s->value_len + s->labels_len + s->name_len > PROM_LINE)
        abort();
    if (prom_number(s, &n) && n > INT64_MAX)
        abort();
    if (prom_micro(s, &us) && us < 0)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rows rows;
    static struct prom prom;

    if (size < 2)
        return 0;
    const size_t piece = data[0] > 0 ? data[0] : 4096;
    const unsigned how = data[1] % 4;
    const char *at = (const char *)data + 2;
    int rc = 0;

    rows_begin(&rows, how < 3 ? (enum rows_shape)how : ROWS_ONE, on_row, on_row, NULL);
    prom_begin(&prom, on_sample, NULL);
    for (size -= 2; size > 0 && rc == 0;) {
        const size_t n = size < piece ? size : piece;
        rc = how < 3 ? rows_feed(&rows, at, n, NULL) : prom_feed(&prom, at, n, NULL);
        at += n;
        size -= n;
    }
    if (rc == 0 && how < 3)
        rows_end(&rows, NULL);
    return 0;
}
