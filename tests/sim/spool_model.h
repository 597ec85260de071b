/* spool_model.h - a spool that nothing is written to: streams of records, appends that are not flushed yet, reads that
 * take their time.  A crash keeps what was flushed, perhaps the first of what was not answered, and forgets releases of
 * the last second. */
#ifndef SPOOL_MODEL_H
#define SPOOL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "chance.h"

enum { SPOOL_STREAMS = 24, SPOOL_PENDING = 8192 };

struct spool_record {
    uint32_t stream;
    uint64_t pos, epoch, seq, size;
    uint32_t format, slot; /* slot: while it is pending */
    void    *item;
    bool     alone, dead, damaged, released;
    int64_t  released_us;
};

struct spool_read {
    bool     under_way;
    uint64_t pos, bytes;
    uint32_t most;
    bool     gave;
};

struct spool_model {
    struct chance c;
    double   fail_rate, damage_rate;
    bool     full;
    struct spool_record *records;
    uint32_t n, cap;
    struct spool_record pending[SPOOL_PENDING]; /* oldest first, a ring */
    uint32_t head, n_pending;
    struct {
        uint64_t next, epoch, seq; /* of the last; epoch 0: none ever */
        bool     failed;           /* nothing is taken before one that is alone */
        struct spool_read read;
    } streams[SPOOL_STREAMS];
};

void spool_model_put(struct spool_model *m, const struct spool_record *r);
/* The oldest that is pending is flushed, or fails; *ret is the record, with its position.  true: it is there. */
bool spool_model_flush(struct spool_model *m, struct spool_record *ret);
/* The next of a read; NULL: it is at its end. */
struct spool_record *spool_model_next(struct spool_model *m, uint32_t stream);
struct spool_record *spool_model_at(struct spool_model *m, uint32_t stream, uint64_t pos);
void spool_model_crash(struct spool_model *m, int64_t now_us);
/* Of a stream, what is there: the first position, how many, bytes. */
void spool_model_stream(const struct spool_model *m, uint32_t stream, uint64_t *first, uint64_t *count,
                        uint64_t *bytes);
/* Forget what was released more than a second ago: where there is much, looking is dear. */
void spool_model_tidy(struct spool_model *m, int64_t now_us);
void spool_model_free(struct spool_model *m);

#endif
