#include "ledger.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer.h"

enum { CONNECTORS_MAX = 4096 };

/* The first bytes of a body. */
struct stamp {
    char magic[8];
    uint32_t who, pad;
    uint64_t number, size;
};

static const char MAGIC[8] = {'S', 'L', 'U', 'I', 'C', 'E', 'L', '1'};

struct entry {
    uint64_t size, seq, epoch; /* seq 0: never consumed */
    uint32_t times;            /* consumed */
    enum ledger_answer answer;
};

struct book {
    struct entry *entries; /* of bundle number i + 1 */
    uint64_t n, cap;
    uint64_t last; /* highest number consumed so far */
    char name[80]; /* the connector's id, as its first message says */
};

struct ledger {
    pthread_mutex_t lock;
    struct book *books[CONNECTORS_MAX];
    struct ledger_report r;
};

_Static_assert(sizeof(struct stamp) == LEDGER_BODY_MIN, "a body of the least size is its stamp alone");

struct ledger *
ledger_new(void)
{
    struct ledger *l = calloc(1, sizeof(*l));
    if (l == NULL || pthread_mutex_init(&l->lock, NULL) != 0)
        abort();
    return l;
}

/* splitmix64: every word of every body is another. */
static uint64_t
mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

/* Word i of what follows the stamp. */
static uint64_t
word_at(uint32_t who, uint64_t number, uint64_t i)
{
    return mix(((uint64_t)who << 40) ^ (number << 20) ^ i);
}

void
ledger_body(void *buf, size_t size, uint32_t who, uint64_t number)
{
    struct stamp stamp = {.who = who, .number = number, .size = size};
    unsigned char *at = buf;
    memcpy(stamp.magic, MAGIC, sizeof(MAGIC));
    memcpy(at, &stamp, sizeof(stamp));
    for (size_t off = sizeof(stamp), i = 0; off < size; off += 8, i++) {
        uint64_t word = word_at(who, number, i);
        memcpy(at + off, &word, size - off < 8 ? size - off : 8);
    }
}

static bool
body_is_whole(const unsigned char *at, size_t size, const struct stamp *stamp)
{
    if (stamp->size != size || stamp->pad != 0)
        return false;
    for (size_t off = sizeof(*stamp), i = 0; off < size; off += 8, i++) {
        uint64_t word = word_at(stamp->who, stamp->number, i);
        if (memcmp(at + off, &word, size - off < 8 ? size - off : 8) != 0)
            return false;
    }
    return true;
}

static struct book *
book_of(struct ledger *l, uint32_t who)
{
    if (who >= CONNECTORS_MAX)
        return NULL;
    if (l->books[who] == NULL)
        l->books[who] = calloc(1, sizeof(struct book));
    if (l->books[who] == NULL)
        abort();
    return l->books[who];
}

static void
add_entry(struct book *b, size_t size)
{
    if (b->n == b->cap) {
        b->cap = b->cap > 0 ? b->cap * 2 : 64;
        b->entries = realloc(b->entries, b->cap * sizeof(*b->entries));
        if (b->entries == NULL)
            abort();
    }
    b->entries[b->n++] = (struct entry){.size = size};
}

void
ledger_pushed(struct ledger *l, uint32_t who, uint64_t number, size_t size)
{
    pthread_mutex_lock(&l->lock);
    struct book *b = book_of(l, who);
    if (b == NULL || number != b->n + 1)
        abort(); /* a mistake of the test: numbers have no gaps */
    add_entry(b, size);
    pthread_mutex_unlock(&l->lock);
}

void
ledger_answered(struct ledger *l, uint32_t who, uint64_t number, enum ledger_answer answer)
{
    pthread_mutex_lock(&l->lock);
    struct book *b = book_of(l, who);
    if (b == NULL || number < 1 || number > b->n)
        abort();
    b->entries[number - 1].answer = answer;
    pthread_mutex_unlock(&l->lock);
}

static void
fault(struct ledger *l, uint64_t *count, const char *what, const struct consumed *m, uint64_t number)
{
    if (*count == 0 && l->r.first[0] == '\0')
        (void)snprintf(l->r.first, sizeof(l->r.first), "%s: %.60s, bundle %llu, %zu bytes", what, m->message_id,
                       (unsigned long long)number, m->len);
    ++*count;
}

/* Whose is this, and is it what was pushed?  NULL: no. */
static struct entry *
recognise(struct ledger *l, const struct consumed *m, struct stamp *ret)
{
    if (m->len < sizeof(*ret))
        return NULL;
    memcpy(ret, m->body, sizeof(*ret));
    if (memcmp(ret->magic, MAGIC, sizeof(MAGIC)) != 0 || !body_is_whole(m->body, m->len, ret))
        return NULL;
    struct book *b = book_of(l, ret->who);
    if (b == NULL || ret->number < 1 || ret->number > b->n || b->entries[ret->number - 1].size != m->len)
        return NULL;
    if (b->name[0] == '\0')
        (void)snprintf(b->name, sizeof(b->name), "%s", m->connector);
    char id[192];
    (void)snprintf(id, sizeof(id), "%s/%lld/%lld", m->connector, (long long)m->epoch, (long long)m->seq);
    if (strcmp(b->name, m->connector) != 0 || strcmp(id, m->message_id) != 0 || m->seq < 1 || !m->persistent)
        return NULL;
    return &b->entries[ret->number - 1];
}

void
ledger_consumed(struct ledger *l, const struct consumed *m)
{
    struct stamp stamp = {.number = 0};
    pthread_mutex_lock(&l->lock);
    l->r.consumed++;
    struct entry *e = recognise(l, m, &stamp);
    if (e == NULL) {
        fault(l, &l->r.invented, "not what was pushed", m, stamp.number);
    } else if (e->times++ > 0) {
        l->r.repeated++;
        l->r.redelivered += m->redelivered;
        if (e->seq != (uint64_t)m->seq || e->epoch != (uint64_t)m->epoch)
            fault(l, &l->r.renamed, "repeated under another id", m, stamp.number);
    } else {
        struct book *b = l->books[stamp.who];
        e->seq = (uint64_t)m->seq;
        e->epoch = (uint64_t)m->epoch;
        l->r.unique++;
        if (stamp.number < b->last)
            fault(l, &l->r.disordered, "out of order", m, stamp.number);
        else
            b->last = stamp.number;
    }
    pthread_mutex_unlock(&l->lock);
}

void
ledger_take(void *ctx, const struct consumed *message)
{
    ledger_consumed(ctx, message);
}

static void
check_entry(struct ledger_report *r, uint32_t who, uint64_t number, const struct entry *e)
{
    r->pushed++;
    r->acked += e->answer == LEDGER_ACKED;
    r->dead += e->answer == LEDGER_DEAD;
    r->nacked += e->answer == LEDGER_NACKED;
    r->open += e->answer == LEDGER_OPEN;
    r->refused += (e->answer == LEDGER_NACKED || e->answer == LEDGER_DEAD) && e->times > 0;
    if (e->answer == LEDGER_ACKED && e->times == 0 && r->lost++ == 0 && r->first[0] == '\0')
        (void)snprintf(r->first, sizeof(r->first), "lost: bundle %llu of connector %u, %llu bytes",
                       (unsigned long long)number, who, (unsigned long long)e->size);
}

void
ledger_check(struct ledger *l, struct ledger_report *ret)
{
    *ret = l->r;
    for (uint32_t who = 0; who < CONNECTORS_MAX; who++)
        for (uint64_t i = 0; l->books[who] != NULL && i < l->books[who]->n; i++)
            check_entry(ret, who, i + 1, &l->books[who]->entries[i]);
}

bool
ledger_good(const struct ledger_report *r, uint64_t most_repeated, char *text, size_t cap)
{
    bool good =
        r->lost + r->invented + r->refused + r->renamed + r->disordered + r->open == 0 && r->repeated <= most_repeated;
    (void)snprintf(text, cap,
                   "%s: pushed %llu acked %llu dead %llu nacked %llu open %llu; consumed %llu unique %llu; lost %llu "
                   "invented %llu refused-but-there %llu renamed %llu disordered %llu repeated %llu (at most %llu, "
                   "redelivered %llu); %s",
                   good ? "good" : "BAD", (unsigned long long)r->pushed, (unsigned long long)r->acked,
                   (unsigned long long)r->dead, (unsigned long long)r->nacked, (unsigned long long)r->open,
                   (unsigned long long)r->consumed, (unsigned long long)r->unique, (unsigned long long)r->lost,
                   (unsigned long long)r->invented, (unsigned long long)r->refused, (unsigned long long)r->renamed,
                   (unsigned long long)r->disordered, (unsigned long long)r->repeated,
                   (unsigned long long)most_repeated, (unsigned long long)r->redelivered,
                   r->first[0] != '\0' ? r->first : "no fault");
    return good;
}

void
ledger_free(struct ledger *l)
{
    if (l == NULL)
        return;
    for (uint32_t who = 0; who < CONNECTORS_MAX; who++) {
        if (l->books[who] != NULL)
            free(l->books[who]->entries);
        free(l->books[who]);
    }
    pthread_mutex_destroy(&l->lock);
    free(l);
}
