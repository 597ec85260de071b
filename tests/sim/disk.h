/* disk.h - a simulated disk: what was not flushed may be lost in any part, and it fails as it is told to.
 *
 * Written bytes are in its memory at once, and on its platter after a flush; a power cut keeps any 512 bytes or 4 KiB
 * of what was not flushed, and names only from the folder's last flush on, in their order.  Thread: one. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chance.h"
#include "store/disk.h"

enum { SIM_FILES = 512 };

struct sim_op {
    uint64_t       at, len; /* a write; without bytes: its size becomes len */
    unsigned char *bytes;   /* owned */
};

struct sim_file {
    unsigned char *now, *durable;
    uint64_t       size, durable_size, cap, durable_cap;
    struct sim_op *ops;
    size_t         n_ops, cap_ops;
};

struct sim_name {
    char name[48];
    int  file;
};

struct sim_names {
    struct sim_name list[SIM_FILES];
    int             n;
};

struct sim_disk {
    struct disk      table;
    struct chance    chance;
    struct sim_file *files;
    int              n_files;
    struct sim_names now, durable;
    struct sim_names steps[64]; /* the names after each change since the folder's flush */
    int              n_steps;
    int              fds[SIM_FILES];
    uint64_t         capacity;  /* bytes of all files */
    uint64_t         ops;       /* changes so far */
    uint64_t         dies_at;   /* at this change it loses power: all fails from here on; 0: never */
    bool             dead;
    double           eio, nospace, brief, flush; /* how likely a write fails so, is short; a flush fails */
};

void sim_disk_init(struct sim_disk *d, uint64_t seed, uint64_t capacity);
void sim_disk_cut(struct sim_disk *d);    /* what survives a power cut; it runs again */
void sim_disk_restart(struct sim_disk *d); /* only the process died */
void sim_disk_free(struct sim_disk *d);

/* The bytes of the file of this name as they are read; NULL: none. */
unsigned char *sim_disk_bytes(struct sim_disk *d, const char *name, uint64_t *ret_size);

#endif
