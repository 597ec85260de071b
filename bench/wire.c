/* wire.c - what does the codec cost for each message?  The header of a bundle is read and written once a chunk. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "wire.h"

enum {
    ROUNDS = 20000,
    REPEATS = 50
};

#define HAS(field) (UINT64_C(1) << WIRE_F_##field)
#define TEXT(literal) {(literal), sizeof(literal) - 1}

struct subject {
    const char     *name;
    enum wire_side  from;
    struct wire_msg msg;
};

static const struct subject subjects[] = {
    {"bundle, first chunk", WIRE_FROM_CONNECTOR,
     {.type = WIRE_BUNDLE,
      .has = HAS(WANT) | HAS(HEAD) | HAS(SEQ) | HAS(SIZE) | HAS(OFF) | HAS(CTYPE),
      .want = 5000000, .head = 70000, .seq = 123456, .size = 70000, .ctype = TEXT("application/json")}},
    {"bundle, next chunk", WIRE_FROM_CONNECTOR,
     {.type = WIRE_BUNDLE,
      .has = HAS(WANT) | HAS(HEAD) | HAS(SEQ) | HAS(SIZE) | HAS(OFF),
      .want = 5000000, .head = 70000, .seq = 123456, .size = 70000, .off = 65536}},
    {"ping", WIRE_FROM_CONNECTOR, {.type = WIRE_PING, .has = HAS(SEEN) | HAS(WANT) | HAS(HEAD), .seen = 123456}},
    {"verdict", WIRE_FROM_GATEWAY, {.type = WIRE_VERDICT, .has = HAS(SEQ) | HAS(VERDICT), .seq = 123456}},
    {"credit", WIRE_FROM_GATEWAY, {.type = WIRE_CREDIT, .has = HAS(CREDIT), .credit = 500000000}},
};

/* CPU time of this process: what others do on the machine is left out, as far as it can be. */
static int64_t
cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double
per_round(int64_t since_ns)
{
    return (double)(cpu_ns() - since_ns) / ROUNDS;
}

/* The least of some repeats: what the code costs, not what else the machine did. */
static int
measure(const struct subject *s)
{
    char frame[WIRE_HEADER_MAX];
    struct wire_msg msg;
    struct wire_fault fault;
    double encode = 1e9, decode = 1e9;
    size_t len = 0;

    for (int i = 0; i < REPEATS; i++) {
        int64_t since = cpu_ns();
        for (int n = 0; n < ROUNDS; n++)
            len = wire_encode(&s->msg, frame, sizeof(frame));
        const double one = per_round(since);
        encode = one < encode ? one : encode;
        since = cpu_ns();
        for (int n = 0; n < ROUNDS; n++) {
            if (wire_decode(frame, len, s->from, &msg, &fault) != 0) {
                fprintf(stderr, "%s: %s\n", s->name, fault.text);
                return -1;
            }
        }
        const double other = per_round(since);
        decode = other < decode ? other : decode;
    }
    printf("%-20s %4zu bytes  encode %5.0f ns  decode %5.0f ns\n", s->name, len, encode, decode);
    return 0;
}

int
main(void)
{
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        if (measure(&subjects[i]) != 0)
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
