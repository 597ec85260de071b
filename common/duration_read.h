/* duration_read.h - the grammar of durations, for duration.c alone.  Pure; any thread. */
#ifndef DURATION_READ_H
#define DURATION_READ_H

struct duration;

/* Read text as duration_parse does, save the bare "0".  Returns NULL, or what is wrong with it, as the end of
 * a sentence; *ret is written on success only. */
const char *duration_read(const char *text, struct duration *ret);

#endif
