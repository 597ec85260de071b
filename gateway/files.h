/* files.h - how many descriptors this process may have.
 *
 * Each connector costs one, and the door takes no more once they are used up: those that come then wait in silence. */
#ifndef FILES_H
#define FILES_H

#include <stddef.h>

struct log;

/* Descriptors that are no connector's: libraries, broker, state, log, and some peers that are not configured. */
enum { FILES_OWN = 256 };

/* Raise the soft limit to the hard one, and warn where that is too low for this many connectors.
 * Affects the whole process: to be called once, at start. */
void files_raise(size_t connectors, struct log *log);

#endif
