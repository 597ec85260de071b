/* state_file.h - the folder of the state: its lock, and whether the file in it is ours to open. */
#ifndef STATE_FILE_H
#define STATE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum {
    STATE_APPLICATION_ID = 0x534c4345, /* "SLCE", in SQLite's header: this file is Sluice's */
    STATE_USER_VERSION = 4,            /* of the tables; a gateway refuses what is newer than itself */
    STATE_PATH_MAX = 4096
};

/* Take the folder for this gateway alone, until the descriptor is closed.  Returns it, or -1: ERR_CONFIG where the
 * folder is missing, not writable, or another gateway's; ERR_IO. */
int state_folder_lock(const char *dir, struct err *err);

/* Write dir/name into buf (STATE_PATH_MAX bytes). */
int state_path(const char *dir, const char *name, char *buf, struct err *err);

/* Look at the header of path without SQLite, which might touch what is not ours.  *ret_there: is there a file?
 * ERR_CONFIG: not ours, newer, or damaged. */
int state_file_check(const char *path, bool *ret_there, struct err *err);

/* Is this version of the tables one that we know?  ERR_CONFIG. */
int state_version_check(const char *path, int64_t application_id, int64_t user_version, struct err *err);

/* Make what happened to names in dir durable. */
int state_folder_sync(const char *dir, struct err *err);

#endif
