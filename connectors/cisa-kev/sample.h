/* sample.h - a small feed of invented entries, compiled in: something to send where there is no network. */
#ifndef KEV_SAMPLE_H
#define KEV_SAMPLE_H

#include <stddef.h>

/* The name of the sample as a feed, in the state. */
#define KEV_SAMPLE_SOURCE "sample"

/* The bytes of sample.json; *ret_len of them. */
const char *kev_sample(size_t *ret_len);

#endif
