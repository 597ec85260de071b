/* admission_parts.h - what the files of the world of queues share. */
#ifndef ADMISSION_PARTS_H
#define ADMISSION_PARTS_H

#include <stdio.h>

#include "admission.h"
#include "broker_model.h"
#include "chance.h"
#include "core/decide.h"
#include "heap.h"
#include "spool_model.h"

enum {
    RING = 2048,
    PARTS = 4,
    SLOTS = 16384,
    FLIGHTS = 16384,
    STEP_US = ADM_STEP_US,
    LATE_US = 5000000, /* as queues.c has it: what a lost connection carried comes within this */
    LOOK_US = 100000,  /* likewise: all queues are looked at so often */
    SECOND = 1000000,
    STEPS = SECOND / STEP_US /* in a second: for what happens once, and not at a rate */
};

/* The program of a connector. */
struct program {
    const struct adm_peer *fate;
    char id[8];
    struct chance c;
    uint32_t number;
    bool alive, welcomed, running, asked, first_over, paused;
    uint64_t conn; /* 0: none */
    uint32_t uses; /* of its connection's number */
    uint64_t epoch, attempt;
    uint64_t first, next, send; /* oldest without an answer; next to be made; next to be sent */
    uint64_t size[RING];
    uint64_t before[RING]; /* bytes that were made before it, of this program */
    uint64_t made;
    int64_t made_us[RING];
    uint64_t credit, spent, told_want;
    double owed;
    uint64_t run_left;
    uint8_t run[WIRE_RUN_LEN];
    int64_t out_us, in_us, back_us, ping_us, ask_us, paused_until_us;
    uint32_t permits;  /* since the calm began */
    int64_t change_us; /* second in which gate changes are counted */
    uint32_t changes;
    uint64_t threshold; /* in force */
    bool word_said;
};

/* A body, by the core's slot. */
struct body {
    bool used, formed;
    uint32_t peer, queue;
    uint64_t seq, size, bytes;
    uint32_t n, went;
    uint64_t went_bytes;
    uint64_t part[PARTS];
    bool gone[PARTS]; /* confirmed */
};

/* A bundle at a publisher: each message reaches the queue, and is confirmed later. */
struct flight {
    bool used, lost, refused;
    uint32_t slot, publisher, queue, n;
    int64_t over_us; /* of a lost one */
    enum core_event_kind end;
    struct {
        uint64_t bytes;
        uint32_t number; /* which message of the bundle */
        int64_t come_us, confirm_us;
        bool came, done, kept;
    } part[PARTS];
};

struct queue_world {
    struct model model;
    struct core_queue cfg;
    bool there, informed, fetched_there;
    uint32_t seen;    /* messages that had come by the newest sample */
    uint64_t pending; /* bytes of ours on their way to it, for sure or perhaps */
    int64_t asked_us; /* of the newest sample that the core was told; -1: none */
    int64_t back_us;  /* when it is made again */
    struct numbers fetched;
    bool counting;
    int64_t count_at_us, count_asked_us;
};

struct adm {
    const struct adm_fate *fate;
    struct adm_figures *fig;
    bool trace, calm;
    const char *broken;
    int64_t now_us;
    struct chance c, faults[ADM_FAULTS];
    struct core *core;
    struct core_sink sink;
    uint64_t next_epoch;
    struct heap *heap; /* messages on their way */
    struct program peers[ADM_PEERS];
    struct core_connector connectors[ADM_PEERS];
    struct core_limits limits;
    struct queue_world queues[ADM_QUEUES];
    struct body bodies[SLOTS];
    struct flight flights[FLIGHTS];
    uint32_t n_flights, forming[SLOTS], n_forming;
    struct {
        bool up, blocked;
        uint32_t session;
        int64_t line_us, back_us, unblock_us;
    } pubs[ADM_PUBLISHERS];
    struct {
        bool is;
        uint64_t epoch, answered;
    } marks[ADM_PEERS];
    struct core_row rows[ADM_PEERS];
    bool has_row[ADM_PEERS];
    uint64_t stored[256]; /* tickets to be answered */
    uint32_t n_stored;
    bool fetching, alarm;
    int64_t fetch_us, answer_us, poll_us, away_until_us, save_us, alarm_until_us;
    const struct wire_msg *message; /* of this step */
    uint32_t from;
    struct spool_model spool;
    const struct spool_record *fetched; /* of this step */
    struct spool_record buried[SLOTS];
    uint32_t n_buried;
};

#define TELL(w, ...)                                              \
    do {                                                          \
        if ((w)->trace) {                                         \
            fprintf(stderr, "%8.2f ", (double)(w)->now_us / 1e6); \
            fprintf(stderr, __VA_ARGS__);                         \
            fputc('\n', stderr);                                  \
        }                                                         \
    } while (0)

/* admission_world.c */
void adm_breaks(struct adm *w, const char *what);
void adm_step(struct adm *w, const struct core_event *e);
bool adm_happens(struct adm *w, enum adm_fault f, double times);
void adm_configure(struct adm *w);

/* admission_rules.c */
uint64_t rules_threshold(const struct adm *w, const struct program *p);
void rules_publish(struct adm *w, const struct core_effect *e);
void rules_journal(struct adm *w, const struct core_effect *e);
void rules_look(struct adm *w);

/* admission_peer.c */
void peer_open(struct adm *w, uint32_t n);
void peer_step(struct adm *w, struct program *p);
void peer_hears(struct adm *w, uint64_t conn, const struct wire_msg *m); /* the core says so; it arrives later */
void peer_lost(struct adm *w, struct program *p);                        /* its connection is no more, and it knows */
void peer_crash(struct adm *w, struct program *p);
void peer_network(struct adm *w); /* what arrives in this step */
bool peer_done(const struct adm *w, const struct program *p);
void peer_answered(struct program *p, uint64_t seq);

/* admission_broker.c */
void broker_open(struct adm *w);
void broker_publish(struct adm *w, const struct core_effect *e);
void broker_step(struct adm *w);
void broker_former_life(struct adm *w); /* the gateway has crashed */
void broker_down(struct adm *w, uint32_t publisher);
void broker_count(struct adm *w, uint32_t queue);
void broker_calm(struct adm *w);
void broker_close(struct adm *w);

/* admission_spool.c */
void spool_open(struct adm *w, uint64_t seed);
void spool_found(struct adm *w); /* the gateway has started */
void spool_effect(struct adm *w, const struct core_effect *e);
void spool_step(struct adm *w);
uint64_t spool_count(const struct adm *w); /* bundles that are there, or on their way */

#endif
