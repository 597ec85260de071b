/* scene.h - what the tests of schedules have in common: a broker for all of them, and in each a gateway, programs and
 * peers that are taken down after it, whatever became of it.
 *
 * Functions fail the running test by themselves. */
#ifndef SCENE_H
#define SCENE_H

#include <stdbool.h>
#include <stddef.h>

#include "program.h"
#include "stage.h"

struct peer;

enum { SCENE_MOST = 8 /* programs, and peers, in one test */ };

struct scene {
    struct stage *stage;
    struct program *programs[SCENE_MOST];
    struct peer *peers[SCENE_MOST];
};

/* For cmocka, as those of stage.h. */
int scene_open(void **state);
int scene_close(void **state);
int scene_begin(void **state);
int scene_end(void **state);

/* Start a gateway that lets everybody in and is pinged so often; where broker is false, its broker is away. */
struct sluiced *scene_gateway(struct scene *c, const char *ping, bool broker);

struct program *scene_program(struct scene *c, const struct program_plan *plan);

/* Let go of one before the test is over. */
void scene_leaves(struct scene *c, struct program *p);

/* A raw connection. */
struct peer *scene_peer(struct scene *c);

/* Run cisa-kev to its end, with its built-in feed as a file, so much in its environment (NULL: nothing) and these
 * arguments (NULL-terminated).  Returns its exit status; what it said is in out. */
int scene_kev(struct scene *c, const char *variable, const char *const *args, char *out, size_t cap);

#endif
