/* loop.h - the one thread that owns the core and the door, and moves bytes between them and the others.
 *
 * Nothing in it blocks: what takes time is posted to a thread that owns it, and comes back as a message. */
#ifndef LOOP_H
#define LOOP_H

struct err;
struct log;
struct loop;
struct settings;

/* How the loop gets new settings on SIGHUP: returns new ones, or NULL with *err filled. */
struct loop_source {
    struct settings *(*load)(void *ctx, struct err *err);
    void            *ctx;
};

/* Open the stores, the publishers and the door.  Takes settings (also on failure); borrows log and source until
 * loop_free.  SIGTERM, SIGINT and SIGHUP must be blocked in every thread: the loop reads them from a descriptor.
 * Returns a new loop, or NULL with *err filled (ERR_CONFIG: a person must act). */
struct loop *loop_new(struct settings *settings, const struct loop_source *source, struct log *log, struct err *err);

/* Run until a signal ends it.  0: stopped in order; -1: *err. */
int loop_run(struct loop *l, struct err *err);

/* Close all of it.  NULL does nothing. */
void loop_free(struct loop *l);

#endif
